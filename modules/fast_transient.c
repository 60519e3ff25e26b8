/* fast_transient.c - how fast the source changes: the slope between the current detection and the last point
 * of the same band.
 *
 * Given: the light curve in packet order, current detection last. The point before it is searched backwards;
 * the first point of the same band is taken, a detection or an upper limit. A point of the survey's stop_band
 * on the way ends the search, as an i-band point of ZTF does in Fink's code.
 * Returned: slopes in mag/day, negative = brightening,
 * with their standard deviation and their 5 % and 95 % points:
 *   detection:    rate = (m - m0) / dt,              sd = sqrt(s^2 + s0^2) / dt,    rate -/+ 1.6449 sd
 *   upper limit:  the flux before is uniform in [0, flux(L)],
 *   so that its magnitude is L + an exponential deviate of
 *                 mean and sd e = 2.5 / ln 10:       rate = (m - L - e) / dt,       sd = sqrt(s^2 + e^2) /
 *                 dt, (m - L - e ln 20) / dt and (m - L - e ln(20/19)) / dt:
 *                 of the exponential alone (Notes).
 * Notes: Fink draws random fluxes and shifts them by the lowest draw of the whole batch,
 * so that its rates depend on
 *   the other alerts of the batch; these are the exact moments of the same model without that shift. For an
 *   upper limit the two percentiles leave out the noise s of the current point: with s <= 0.2 mag they differ
 *   from those of the whole sum by less than 0.1 mag / dt (by quadrature).
 * Reference: the model is that of Fink's rate estimate, fink-broker.org; Moeller et al.
 * 2021, MNRAS 501, 3272. */
#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { JD, MAG, MAG_ERR, LIMIT, BAND, START, STOP_BAND };
enum { FIRST_DET, SINCE_START, DELTA_TIME, FROM_UPPER, RATE, SIGMA, LOWER, UPPER };

static const double z_95 = 1.6448536269514722;

/* The last earlier point of the current band, or -1. */
static int32_t earlier_point(const int32_t *fid, uint32_t n, int32_t stop_band)
{
    for (uint32_t i = n - 1; i-- > 0;) {
        if (fid[i] == stop_band && stop_band != NJ_NO_I32) return -1;
        if (fid[i] == fid[n - 1]) return (int32_t)i;
    }
    return -1;
}

static nj_reason rates(const nj_work *w, uint32_t row, double mag, double err, double mag0, double err0,
                       double limit, double dt)
{
    bool upper = isnan(mag0);
    double rise = mag - (upper ? limit + NJ_MAG_PER_RELATIVE_FLUX : mag0);
    double sd = sqrt(err * err + (upper ? NJ_MAG_PER_RELATIVE_FLUX * NJ_MAG_PER_RELATIVE_FLUX : err0 * err0));
    double low = upper ? mag - limit - NJ_MAG_PER_RELATIVE_FLUX * log(20) : rise - z_95 * sd;
    double high = upper ? mag - limit - NJ_MAG_PER_RELATIVE_FLUX * log(20.0 / 19) : rise + z_95 * sd;
    if (isnan(rise) || isnan(sd)) return NJ_NO_INPUT;
    if (dt == 0) return NJ_RANGE;
    nj_put_f64(w, RATE, row, rise / dt);
    nj_put_f64(w, SIGMA, row, sd / fabs(dt));
    nj_put_f64(w, LOWER, row, (dt > 0 ? low : high) / dt);
    nj_put_f64(w, UPPER, row, (dt > 0 ? high : low) / dt);
    return NJ_DONE;
}

static nj_reason one(const nj_work *w, uint32_t row)
{
    uint32_t n = nj_points(w, JD, row);
    const double *jd = nj_f64_series(w, JD, row), *mag = nj_f64_series(w, MAG, row),
                 *err = nj_f64_series(w, MAG_ERR, row);
    const double *limit = nj_f64_series(w, LIMIT, row);
    const int32_t *fid = nj_i32_series(w, BAND, row);
    uint32_t first = 0;
    while (first < n && isnan(mag[first])) first++;
    if (first == n) return NJ_NO_INPUT;
    nj_put_f64(w, FIRST_DET, row, jd[first]);
    nj_put_f64(w, SINCE_START, row, jd[first] - nj_f64_of(w, START, row));
    if (fid[n - 1] == NJ_NO_I32) return NJ_NO_INPUT;
    int32_t i = earlier_point(fid, n, nj_i32_of(w, STOP_BAND, row));
    nj_put_u8(w, FROM_UPPER, row, i >= 0 && isnan(mag[i]));
    if (i < 0) return NJ_FEW_POINTS;
    double dt = jd[n - 1] - jd[i];
    nj_put_f64(w, DELTA_TIME, row, dt);
    return rates(w, row, mag[n - 1], err[n - 1], mag[i], err[i], limit ? limit[i] : NAN, dt);
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) w->reason[w->row[k]] = (uint8_t)one(w, w->row[k]);
    return NJ_OK;
}

#define OPEN -INFINITY, INFINITY, NAN, 0
NJ_MODULE(fast_transient) = {
    NJ_HEADER,
    .name = "fast_transient",
    .version = "1.0",
    .summary = "slope to the last point of the same band",
    .paper = "doi:10.1093/mnras/staa3602",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.mag_err", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.limit_mag", NJ_F64, NJ_SERIES, "mag", NJ_NEED_OPTIONAL },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { "first_jd", NJ_F64, NJ_SCALAR, "d", NJ_NEED_OPTIONAL },
                                { "stop_band", NJ_I32, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                { 0 } },
    .gives =
        (const nj_give[]){
            { "jd_first_real_det", NJ_F64, 1, -1, "d", OPEN,
              "time of the first detection of the light curve; none without detections" },
            { "jdstarthist_dt", NJ_F64, 1, -1, "d", OPEN,
              "that time minus the start of the survey's own history" },
            { "delta_time", NJ_F64, 1, -1, "d", OPEN,
              "time since the last point of the same band; none without such a point" },
            { "from_upper", NJ_U8, 1, -1, "1", 0, 1, NAN, 0,
              "1 when that point is an upper limit; 0 also without such a point; none without detections" },
            { "mag_rate", NJ_F64, 1, -1, "mag/d", OPEN,
              "mean slope, negative = brightening; none without an earlier point" },
            { "sigma_rate", NJ_F64, 1, -1, "mag/d", 0, INFINITY, NAN, 0, "standard deviation of the slope" },
            { "lower_rate", NJ_F64, 1, -1, "mag/d", OPEN, "5 % point of the slope" },
            { "upper_rate", NJ_F64, 1, -1, "mag/d", OPEN, "95 % point of the slope" },
            { 0 } },
    .process = process
};
