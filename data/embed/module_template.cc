/* What this module finds out about an alert, in a sentence; how it does so, and what must be known to use it.
 *
 * To be filled in: this one measures the range of the magnitudes in the light curve. */
#include "nightjar/column.h"

#include <algorithm>
#include <cmath>

namespace
{

enum { MAG };   /* needs, in the order of the table */
enum { RANGE }; /* gives, likewise */

struct settings { /* of [module.fill_in], by the table of params */
    int64_t min_points;
};

const nj_need needs[] = { { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 }, {} };
const nj_give gives[] = { { "range", NJ_F64, 1, -1, "mag", 0, INFINITY, NAN, 0,
                            "faintest minus brightest detection; none with too few detections" },
                          {} };
const nj_param params[] = {
    { "min_points", NJ_I64, "2", offsetof(settings, min_points), 1, 1000, "1", "fewest detections" }, {}
};

int open_self(const nj_host *, const void *conf, void **self)
{
    *self = const_cast<void *>(conf); /* they live as long as the instance: here they are all the state */
    return NJ_OK;
}

/* No exception may leave it. */
int process(const void *self, void *, const nj_work *w)
{
    const settings *c = static_cast<const settings *>(self);
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = 0;
        const double *mag = nj_f64_series(w, MAG, row);
        double lo = INFINITY, hi = -INFINITY;
        for (uint32_t i = 0; i < nj_points(w, MAG, row); i++) {
            if (std::isnan(mag[i])) continue; /* an upper limit */
            n++;
            lo = std::min(lo, mag[i]);
            hi = std::max(hi, mag[i]);
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

} // namespace

NJ_MODULE(fill_in) = { NJ_HEADER,
                       .name = "fill_in",
                       .version = "0.1",
                       .summary = "range of the magnitudes in the light curve",
                       .paper = "none: to be filled in",
                       .needs = needs,
                       .gives = gives,
                       .params = params,
                       .conf_size = sizeof(settings),
                       .open = open_self,
                       .process = process };
