/* report.c - terminal, JSON and page must show the same derived costs, so these are computed here. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

nj_per_alert nj_report_run_cost(const nj_report *r)
{
    return nj_per_alert_of((double)r->ledger.consumed, (double)r->ledger.consumed, r->cpu_s * 1e9,
                           r->wall_s * 1e9);
}

uint64_t nj_report_behind(const nj_report_lag *lag)
{
    return lag->end > lag->done ? (uint64_t)(lag->end - lag->done) : 0;
}

double nj_report_rest_ns(const nj_report *r)
{
    double stages = 0;
    for (uint32_t i = 0; i < r->n_stages; i++) stages += (double)r->stage[i].count.cpu_ns;
    return nj_cpu_rest(stages, r->cpu_s * 1e9);
}

void nj_report_free(nj_report *r)
{
    free(r->stream);
    for (uint32_t i = 0; r->stage && i < r->n_stages; i++) nj_drift_line_free(&r->stage[i].drift);
    free(r->waterfall);
    free(r->stage);
    free(r->file);
    free(r->failed);
    free(r->topic);
    free(r->duplicate);
    free(r->shed);
    for (uint32_t i = 0; i < r->n_early; i++) free(r->early[i]);
    free(r->early);
    free(r->lag);
    free(r->output);
    free(r->refused);
    free(r->region);
    free(r->notices);
    free(r->wrong);
    memset(r, 0, sizeof *r);
}
