/* nalerthist.c - how many detections the light curve of the alert holds. */
#include "nightjar/column.h"

enum { MAG };
enum { N };

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n_points = nj_points(w, MAG, row);
        const double *mag = nj_f64_series(w, MAG, row);
        int32_t n = 0;
        for (uint32_t i = 0; i < n_points; i++) n += !isnan(mag[i]);
        nj_put_i32(w, N, row, n);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(nalerthist) = {
    NJ_HEADER,
    .name = "nalerthist",
    .version = "1.0",
    .summary = "number of detections in the light curve, the current one included",
    .paper = "none: a count",
    .needs = (const nj_need[]){ { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "n", NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0,
                                  "points of the light curve that are detections, not upper limits" },
                                { 0 } },
    .process = process
};
