/* elongation.c - how elongated what the science stamp shows is: a trail, or a star.
 *
 * Given: the science stamp; pixels above the median by more than 3 sigma, sigma = 1.4826 MAD (the standard
 *   deviation where that is 0).
 * Returned: sqrt(l1 / l2) of the second moments of these pixels, weighted by their values; none with fewer
 *   than 5 of them, or in a line.
 * Notes: a pixel without a value counts as 0, as in the reference. All that is bright in the stamp counts:
 *   with two stars the elongation is theirs.
 * Reference: fink-filters, rubin/livestream/filter_faint_trails. */
#include "nightjar/column.h"
#include "nightjar/lc.h"

enum { STAMP };
enum { ELONGATION, N_PIXELS };
enum { LEAST_PIXELS = 5 };

static double median_of(const double *v, uint32_t n, uint32_t *order)
{
    nj_order_f64(v, n, order);
    return n % 2 ? v[order[n / 2]] : 0.5 * (v[order[n / 2 - 1]] + v[order[n / 2]]);
}

static double standard_deviation(const double *v, uint32_t n)
{
    double mean = 0, sum = 0;
    for (uint32_t i = 0; i < n; i++) mean += v[i];
    mean /= n;
    for (uint32_t i = 0; i < n; i++) sum += (v[i] - mean) * (v[i] - mean);
    return sqrt(sum / n);
}

static int one(const nj_work *w, uint32_t row)
{
    const nj_image *s = w->image(w, STAMP, row);
    w->reason[row] = s ? NJ_NO_FIT : NJ_NO_INPUT;
    const uint32_t n = s ? s->rows * s->cols : 0;
    if (!n) return NJ_OK;
    double *v = w->scratch(w, 2 * (size_t)n * sizeof *v), *distance = v + n;
    uint32_t *order = w->scratch(w, (n + 1) * sizeof *order);
    if (!v || !order) return NJ_ENOMEM;
    for (uint32_t i = 0; i < n; i++) /* as numpy's nan_to_num() */
        v[i] = isnan(s->pixel[i])
                   ? 0
                   : fmin(fmax((double)s->pixel[i], -3.4028234663852886e38), 3.4028234663852886e38);
    const double median = median_of(v, n, order);
    for (uint32_t i = 0; i < n; i++) distance[i] = fabs(v[i] - median);
    const double mad = median_of(distance, n, order),
                 sigma = mad > 0 ? 1.4826 * mad : standard_deviation(v, n), threshold = median + 3 * sigma;
    double total = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!(v[i] > threshold)) continue;
        count++;
        total += v[i];
        x += v[i] * (i % s->cols);
        y += v[i] * (i / s->cols);
    }
    nj_put_i32(w, N_PIXELS, row, (int32_t)count);
    if (count < LEAST_PIXELS) {
        w->reason[row] = NJ_FEW_POINTS;
        return NJ_OK;
    }
    x /= total, y /= total;
    for (uint32_t i = 0; i < n; i++) {
        if (!(v[i] > threshold)) continue;
        const double dx = i % s->cols - x, dy = i / s->cols - y;
        xx += v[i] * dx * dx;
        yy += v[i] * dy * dy;
        xy += v[i] * dx * dy;
    }
    xx /= total, yy /= total, xy /= total;
    const double mean = 0.5 * (xx + yy), spread = sqrt(0.25 * (xx - yy) * (xx - yy) + xy * xy),
                 least = mean - spread;
    if (!(least > 1e-12 * fabs(mean)) || !isfinite(mean + spread)) return NJ_OK;
    nj_put_f64(w, ELONGATION, row, sqrt((mean + spread) / least));
    w->reason[row] = NJ_DONE;
    return NJ_OK;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        int rc = one(w, w->row[k]);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

static int open_conf(const nj_host *host, const void *c, void **self)
{
    (void)c;
    nj_every_row(host);
    *self = NULL;
    return NJ_OK;
}

NJ_MODULE(elongation) = {
    NJ_HEADER,
    .name = "elongation",
    .version = "1.0",
    .summary = "elongation of what the science stamp shows: trails",
    .paper = "none: fink-filters, faint_trails",
    .needs = (const nj_need[]){ { "stamp.science", NJ_F32, NJ_IMAGE, "nJy", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "elongation", NJ_F64, 1, -1, "1", 1, INFINITY, NAN, 0,
                                  "ratio of the axes of the bright pixels; none with fewer than 5, or in a "
                                  "line" },
                                { "n_pixels", NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0,
                                  "pixels above the median by 3 sigma; none without a stamp" },
                                { 0 } },
    .open = open_conf,
    .process = process
};
