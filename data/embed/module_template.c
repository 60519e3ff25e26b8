/* What this module finds out about an alert, in a sentence; how it does so, and what must be known to use it.
 *
 * To be filled in: this one measures the range of the magnitudes in the light curve. */
#include "nightjar/column.h"

enum { MAG };   /* needs, in the order of the table at the end */
enum { RANGE }; /* gives, likewise */

typedef struct conf { /* the settings of [module.fill_in], by the table of params */
    int64_t min_points;
} conf;

static int open_self(const nj_host *host, const void *settings, void **self)
{
    (void)host;
    *self = (void *)settings; /* they live as long as the instance: here they are all the state */
    return NJ_OK;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    const conf *c = self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = 0;
        const double *mag = nj_f64_series(w, MAG, row);
        double lo = INFINITY, hi = -INFINITY;
        for (uint32_t i = 0; i < nj_points(w, MAG, row); i++) {
            if (isnan(mag[i])) continue; /* an upper limit */
            n++;
            lo = fmin(lo, mag[i]);
            hi = fmax(hi, mag[i]);
        }
        if (n < c->min_points) {
            w->reason[row] = NJ_FEW_POINTS; /* the outputs are "no answer" already */
            continue;
        }
        nj_put_f64(w, RANGE, row, hi - lo);
        w->reason[row] = NJ_DONE; /* every row needs a reason */
    }
    return NJ_OK;
}

NJ_MODULE(fill_in) = { NJ_HEADER,
                       .name = "fill_in",
                       .version = "0.1",
                       .summary = "range of the magnitudes in the light curve",
                       .paper = "none: to be filled in",
                       .needs = (const nj_need[]){ { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 }, { 0 } },
                       .gives = (const nj_give[]){ { "range", NJ_F64, 1, -1, "mag", 0, INFINITY, NAN, 0,
                                                     "faintest minus brightest detection; none with too few "
                                                     "detections" },
                                                   { 0 } },
                       .params = (const nj_param[]){ { "min_points", NJ_I64, "2", offsetof(conf, min_points),
                                                       1, 1000, "1", "fewest detections" },
                                                     { 0 } },
                       .conf_size = sizeof(conf),
                       .open = open_self,
                       .process = process };
