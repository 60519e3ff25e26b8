#include "report.h"

#include <stdlib.h>
#include <string.h>

void nj_report_free(nj_report *r)
{
    free(r->stream);
    for (uint32_t i = 0; r->stage && i < r->n_stages; i++) nj_drift_line_free(&r->stage[i].drift);
    free(r->waterfall);
    free(r->stage);
    free(r->file);
    free(r->wrong);
    memset(r, 0, sizeof *r);
}
