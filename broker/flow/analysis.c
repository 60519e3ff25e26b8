/* analysis.c - the run looked at along its length (what a batch cost) and exposure by exposure (where its
 * time went). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "internal.h"

/* Series of a worker: decode, stamps, then the instances; of the output thread: filters, output. */
enum { DECODE, STAMPS, FIRST_MODULE };
enum { FILTERS, OUTPUT, N_OUTPUT };

int nj_flow_analysis_begin(run *r, int threads, nj_error *err)
{
    if (!r->conf.counters) return 0;
    r->compute.drift = calloc((size_t)threads, sizeof *r->compute.drift);
    r->output.drift = nj_drift_new(N_OUTPUT);
    r->output.waterfall = nj_waterfall_new(r->conf.exposure_budget_s, r->conf.broker_share);
    int ok = r->compute.drift && r->output.drift && r->output.waterfall;
    for (int i = 0; ok && i < threads; i++, r->compute.n_drifts++)
        if (!(r->compute.drift[i] = nj_drift_new(FIRST_MODULE + r->engine.instances.n))) ok = 0;
    return ok ? 0 : nj_fail(err, "out of memory");
}

void nj_flow_analysis_free(run *r)
{
    for (int i = 0; i < r->compute.n_drifts; i++) nj_drift_free(r->compute.drift[i]);
    free(r->compute.drift);
    nj_drift_free(r->output.drift);
    nj_waterfall_free(r->output.waterfall);
}

void nj_flow_drift_output(run *r, uint32_t offered, int64_t filter_ns, uint32_t written, int64_t output_ns)
{
    float *row = nj_drift_row(r->output.drift, r->output.count->calls - 1);
    if (!row) return;
    if (offered && (r->filter || r->n_topics)) row[FILTERS] = (float)filter_ns / (float)offered;
    if (written) row[OUTPUT] = (float)output_ns / (float)written;
}

/* --- exposures --- */

int nj_flow_part(parts *p, const nj_batch *b, const nj_chunk *chunk, double exposure, int64_t filter_ns,
                 int64_t filtered_ns)
{
    if (!isfinite(exposure)) return 0;
    nj_waterfall_part *last = p->n > p->first ? &p->part[p->n - 1] : NULL;
    if (last && last->exposure == exposure) {
        last->n++;
        if (chunk->arrival_ns < last->first_arrival_ns) last->first_arrival_ns = chunk->arrival_ns;
        last->last_arrival_ns = chunk->arrival_ns;
        return 0;
    }
    if (!p->part || p->n == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : 256;
        nj_waterfall_part *list = realloc(p->part, cap * sizeof *list);
        if (!list) return -1;
        p->part = list;
        p->cap = cap;
    }
    p->part[p->n++] = (nj_waterfall_part){ .survey = b->layout->survey,
                                           .exposure = exposure,
                                           .n = 1,
                                           .first_arrival_ns = chunk->arrival_ns,
                                           .last_arrival_ns = chunk->arrival_ns,
                                           .begin_ns = b->begin_ns,
                                           .decoded_ns = b->decoded_ns,
                                           .computed_ns = b->computed_ns,
                                           .filter_ns = filter_ns,
                                           .filtered_ns = filtered_ns };
    return 0;
}

void nj_flow_parts_settle(run *r, parts *p, bool acknowledged, int64_t now_ns)
{
    for (uint32_t i = 0; i < p->n && acknowledged; i++)
        if (nj_waterfall_add(r->output.waterfall, &p->part[i], now_ns)) {
            nj_error err;
            nj_fail(&err, "out of memory: too many exposures under way");
            nj_flow_fatal(r, &err);
            break;
        }
    p->n = p->first = 0;
}

/* --- the report --- */

/* Which series of which writers a stage of the report is. */
static int drift_of(run *r, nj_stage *s)
{
    nj_drift *const *from = r->compute.drift;
    uint32_t n = (uint32_t)r->compute.n_drifts, series = UINT32_MAX;
    if (s->is_module) {
        for (uint32_t i = 0; i < r->engine.instances.n; i++)
            if (!strcmp(r->engine.instances.item[i].name, s->name)) series = FIRST_MODULE + i;
    } else if (!strcmp(s->name, "(decode)")) {
        series = DECODE;
    } else if (!strncmp(s->name, "(stamps", 7)) {
        series = STAMPS;
    } else {
        from = &r->output.drift;
        n = 1;
        series = !strcmp(s->name, "(filters)") ? FILTERS : OUTPUT;
    }
    return series == UINT32_MAX ? 0 : nj_drift_line_of(from, n, series, &s->drift);
}

int nj_flow_analysis_report(run *r, nj_report *report)
{
    if (!r->compute.drift) return 0;
    report->batches = r->compute.batches;
    for (uint32_t i = 0; i < report->n_stages; i++)
        if (drift_of(r, &report->stage[i])) return -1;
    const nj_waterfall_sum *sum = nj_waterfall_end(r->output.waterfall);
    report->waterfall = sum->n ? malloc(sizeof *sum) : NULL;
    if (report->waterfall) *report->waterfall = *sum;
    return sum->n && !report->waterfall ? -1 : 0;
}
