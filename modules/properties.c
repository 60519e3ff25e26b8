/* properties.c - what a light curve does, in numbers that people filter on: peak, rise and decline of
 * every band, and whether a star, a bright star or a known asteroid is there.
 *
 * Given: detections of either sign with magnitude and error, and forced photometry above forced_snr sigma,
 *   both up to the alert's time; the nearest sources of the survey's catalogue.
 * Returned: per band the peak (smallest magnitude, first of equals); the points up to and with it are the
 *   rise, those from it on the decline. A side has a rate when it has 2 points that span more than 0.01 d
 *   and its extremes lie apart by more than both their errors: the slope of the weighted line, its error 1
 *   / sqrt(sum w (t - mean)^2), and chi^2 per degree of freedom (none with 2 points). A rate below 0
 *   brightens. A peak at an end gives one side only.
 * Notes: magnitudes, errors and the line are single precision, times double, as in the reference, whose
 *   thresholds are compared in single precision; so are magnitudes of forced fluxes in counts (ZTF). They
 *   are then rounded to 2e-6 mag, which a slope of almost no change shows. Of neighbours equal in time and
 *   band the first is kept. A null distance or magnitude of a neighbour is beyond any radius and limit; a
 *   null star score is 0. So a neighbour with a null r magnitude counts as 3 mag redder than anything: the
 *   reference's rule, kept.
 * Reference: BOOM (Jegou du Laz et al. 2025, arXiv:2511.00164); written from its formulas. */
#include <float.h>
#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/lc.h"

enum {
    JD,
    LC_JD,
    LC_MAG,
    LC_ERR,
    LC_BAND,
    FP_JD,
    FP_MAG,
    FP_ERR,
    FP_BAND,
    FP_FLUX,
    FP_FLUX_ERR,
    FP_ZP,
    SSO_DIST,
    SSO_V,
    SSO_ID,
    STAR1,
    STAR2,
    STAR3,
    DIST1,
    DIST2,
    DIST3,
    R1,
    R2,
    R3,
    G1,
    I1,
    Z1,
    GAIA_DIST,
    GAIA_MAG
};
enum {
    ROCK,
    STAR,
    NEAR_BRIGHTSTAR,
    CATEGORY,
    N_POINTS,
    STATIONARY,
    PEAK_JD,
    PEAK_MAG,
    PEAK_MAG_ERR,
    PEAK_BAND,
    FAINTEST_JD,
    FAINTEST_MAG,
    FAINTEST_MAG_ERR,
    FAINTEST_BAND,
    FIRST_JD,
    LAST_JD,
    PER_BAND /* the columns of the first band; then those of the others */
};
enum {
    B_PEAK_JD,
    B_PEAK_MAG,
    B_PEAK_MAG_ERR,
    B_DT,
    B_RISING,
    B_FADING = B_RISING + 5,
    B_COLUMNS = B_FADING + 5
};
enum { RATE, RATE_ERROR, RED_CHI2, NB_DATA, DT };
enum { BANDS = 6 };
static const char *const band_name[BANDS] = { "u", "g", "r", "i", "z", "y" };
static const double least_span_d = 0.01;
static const float least_sxx = 1e-10f;

typedef struct conf {
    double forced_snr;
} conf;

typedef struct point {
    double jd;
    float mag, err;
    int32_t band;
} point;

/* --- points --- */

static bool add(point *p, double jd, double mag, double err, int32_t band)
{
    *p = (point){ jd, (float)mag, (float)err, band };
    return isfinite(jd) && isfinite(p->mag) && isfinite(p->err) && band >= 0 && band < BANDS;
}

/* Point i of the forced photometry: from its flux in single precision where the survey gives counts. */
static bool add_forced(point *p, const nj_work *w, uint32_t row, uint32_t i)
{
    const double *jd = nj_f64_series(w, FP_JD, row), *mag = nj_f64_series(w, FP_MAG, row),
                 *err = nj_f64_series(w, FP_ERR, row), *flux = nj_f64_series(w, FP_FLUX, row),
                 *flux_err = nj_f64_series(w, FP_FLUX_ERR, row), *zp = nj_f64_series(w, FP_ZP, row);
    const int32_t band = nj_i32_series(w, FP_BAND, row)[i];
    if (!flux || !flux_err || !zp) return add(p, jd[i], mag[i], err[i], band);
    const float size = fabsf((float)flux[i]), noise = (float)flux_err[i];
    return add(p, jd[i], -2.5f * log10f(size) + (float)zp[i], 2.5f / logf(10) * (noise / size), band);
}

/* All points in order of time, without repetitions; NULL = no memory. */
static point *take_points(const conf *c, const nj_work *w, uint32_t row, uint32_t *n_points)
{
    const uint32_t n_lc = nj_points(w, LC_MAG, row), n_fp = nj_points(w, FP_MAG, row), most = n_lc + n_fp + 1;
    const double *jd = nj_f64_series(w, LC_JD, row), *mag = nj_f64_series(w, LC_MAG, row),
                 *err = nj_f64_series(w, LC_ERR, row), *fp_jd = nj_f64_series(w, FP_JD, row),
                 *fp_err = nj_f64_series(w, FP_ERR, row);
    const int32_t *band = nj_i32_series(w, LC_BAND, row), *fp_band = nj_i32_series(w, FP_BAND, row);
    const double now = nj_f64_of(w, JD, row), most_err = NJ_MAG_PER_RELATIVE_FLUX / c->forced_snr;
    point *p = w->scratch(w, 2 * most * sizeof *p), *sorted = p ? p + most : NULL;
    double *key = w->scratch(w, most * sizeof *key);
    uint32_t *order = w->scratch(w, most * sizeof *order), n = 0;
    *n_points = 0;
    if (!p || !key || !order) return NULL;
    for (uint32_t i = 0; i < n_lc; i++)
        if (!(jd[i] > now)) n += add(&p[n], jd[i], mag[i], err[i], band[i]);
    for (uint32_t i = 0; i < n_fp && fp_jd && fp_err && fp_band; i++)
        if (fp_err[i] < most_err && fp_jd[i] <= now) n += add_forced(&p[n], w, row, i);
    for (uint32_t i = 0; i < n; i++) key[i] = p[i].jd;
    nj_order_f64(key, n, order);
    for (uint32_t k = 0; k < n; k++) {
        const point *next = &p[order[k]], *last = *n_points ? &sorted[*n_points - 1] : NULL;
        if (!last || last->jd != next->jd || last->band != next->band) sorted[(*n_points)++] = *next;
    }
    return sorted;
}

/* --- one side of a peak --- */

/* Writes the five columns of the points when they have a line. */
static void side(const nj_work *w, uint32_t row, uint32_t give, const point *p, uint32_t n)
{
    const point *low = p, *high = p;
    float sw = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, chi2 = 0;
    if (n < 2 || !(p[n - 1].jd - p[0].jd > least_span_d)) return;
    for (uint32_t i = 0; i < n; i++) {
        if (p[i].mag < low->mag) low = &p[i];
        if (p[i].mag > high->mag) high = &p[i];
        if (!(p[i].err > 0)) return;
    }
    if (!(low->mag + low->err < high->mag - high->err)) return;
    for (uint32_t i = 0; i < n; i++) {
        const float wt = 1 / (p[i].err * p[i].err), x = (float)(p[i].jd - p[0].jd);
        sw += wt, sx += wt * x, sy += wt * p[i].mag;
    }
    const float mx = sx / sw, my = sy / sw;
    for (uint32_t i = 0; i < n; i++) {
        const float wt = 1 / (p[i].err * p[i].err), x = (float)(p[i].jd - p[0].jd) - mx;
        sxx += wt * x * x, sxy += wt * x * (p[i].mag - my);
    }
    if (!(sxx >= least_sxx) || !isfinite(sxx) || !isfinite(sxy / sxx)) return;
    const float rate = sxy / sxx, intercept = my - rate * mx;
    for (uint32_t i = 0; i < n; i++) {
        const float x = (float)(p[i].jd - p[0].jd), r = (p[i].mag - (rate * x + intercept)) / p[i].err;
        chi2 += r * r;
    }
    ((float *)w->out[give + RATE])[row] = rate;
    ((float *)w->out[give + RATE_ERROR])[row] = sqrtf(1 / sxx);
    if (n > 2) ((float *)w->out[give + RED_CHI2])[row] = chi2 / (float)(n - 2);
    nj_put_i32(w, give + NB_DATA, row, (int32_t)n);
    ((float *)w->out[give + DT])[row] = (float)(p[n - 1].jd - p[0].jd);
}

static void one_band(const nj_work *w, uint32_t row, int32_t band, const point *all, uint32_t n_all,
                     point *own)
{
    const uint32_t give = PER_BAND + (uint32_t)band * B_COLUMNS;
    uint32_t n = 0, peak = 0;
    for (uint32_t i = 0; i < n_all; i++) {
        if (all[i].band != band) continue;
        own[n] = all[i];
        if (own[n].mag < own[peak].mag) peak = n;
        n++;
    }
    if (!n) return;
    nj_put_f64(w, give + B_PEAK_JD, row, own[peak].jd);
    ((float *)w->out[give + B_PEAK_MAG])[row] = own[peak].mag;
    ((float *)w->out[give + B_PEAK_MAG_ERR])[row] = own[peak].err;
    ((float *)w->out[give + B_DT])[row] = (float)(own[n - 1].jd - own[0].jd);
    side(w, row, give + B_RISING, own, peak + 1);
    side(w, row, give + B_FADING, own + peak, n - peak);
}

static void all_bands(const nj_work *w, uint32_t row, const point *p, uint32_t n)
{
    const point *peak = p, *faintest = p;
    for (uint32_t i = 1; i < n; i++) {
        if (p[i].mag < peak->mag) peak = &p[i];
        if (p[i].mag > faintest->mag) faintest = &p[i];
    }
    nj_put_u8(w, STATIONARY, row, p[n - 1].jd - p[0].jd > least_span_d);
    nj_put_f64(w, PEAK_JD, row, peak->jd);
    ((float *)w->out[PEAK_MAG])[row] = peak->mag;
    ((float *)w->out[PEAK_MAG_ERR])[row] = peak->err;
    nj_put_text(w, PEAK_BAND, row, band_name[peak->band]);
    nj_put_f64(w, FAINTEST_JD, row, faintest->jd);
    ((float *)w->out[FAINTEST_MAG])[row] = faintest->mag;
    ((float *)w->out[FAINTEST_MAG_ERR])[row] = faintest->err;
    nj_put_text(w, FAINTEST_BAND, row, band_name[faintest->band]);
    nj_put_f64(w, FIRST_JD, row, p[0].jd);
    nj_put_f64(w, LAST_JD, row, p[n - 1].jd);
}

/* --- flags --- */

static float value(const nj_work *w, uint32_t need, uint32_t row, float otherwise)
{
    const double v = nj_f64_of(w, need, row);
    return isnan(v) ? otherwise : (float)v;
}

static bool within(float v, float low, float high)
{
    return v >= low && v <= high;
}

static void flags(const nj_work *w, uint32_t row)
{
    float star[3], dist[3], r[3];
    const float g1 = value(w, G1, row, INFINITY), i1 = value(w, I1, row, INFINITY),
                z1 = value(w, Z1, row, INFINITY);
    bool galaxy = false;
    for (uint32_t k = 0; k < 3; k++) {
        star[k] = value(w, STAR1 + k, row, 0);
        dist[k] = value(w, DIST1 + k, row, INFINITY);
        r[k] = value(w, R1 + k, row, INFINITY);
        galaxy |= !isnan(nj_f64_of(w, STAR1 + k, row)) && within(star[k], 0, 0.5f);
    }
    const bool red = (z1 > 0 && r[0] - z1 > 3) || (i1 > 0 && r[0] - i1 > 3);
    const bool is_star = (star[0] > 0.76f && within(dist[0], 0, 2)) ||
                         (star[0] > 0.2f && within(dist[0], 0, 1) && r[0] > 0 && red);
    const float bright = value(w, GAIA_MAG, row, INFINITY);
    bool near = within(value(w, GAIA_DIST, row, INFINITY), 0, 20) && bright > 0 && bright <= 12;
    for (uint32_t k = 0; k < 3; k++) near |= star[k] > 0.49f && dist[k] <= 20 && r[k] > 0 && r[k] <= 15;
    near |= star[0] == 0.5f && dist[0] < 0.5f && (g1 < 17 || r[0] < 17 || i1 < 17);
    nj_put_u8(w, STAR, row, is_star);
    nj_put_u8(w, NEAR_BRIGHTSTAR, row, near);
    nj_put_text(w, CATEGORY, row, is_star || near ? "stellar" : galaxy ? "hosted" : "hostless");
}

static void rock(const nj_work *w, uint32_t row)
{
    const int64_t *id = w->in[SSO_ID]->data;
    if (w->in[SSO_DIST]->data) {
        const float dist = value(w, SSO_DIST, row, INFINITY), v = value(w, SSO_V, row, INFINITY);
        nj_put_u8(w, ROCK, row, dist >= 0 && dist < 12 && v >= 0);
    } else if (id) {
        nj_put_u8(w, ROCK, row, id[row] != NJ_NO_I64);
    }
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        const uint32_t row = w->row[k];
        uint32_t n;
        const point *p = take_points(self, w, row, &n);
        point *own = w->scratch(w, (n + 1) * sizeof *own);
        if (!p || !own) return NJ_ENOMEM;
        rock(w, row);
        if (w->in[STAR1]->data) flags(w, row);
        nj_put_i32(w, N_POINTS, row, (int32_t)n);
        w->reason[row] = n ? NJ_DONE : NJ_FEW_POINTS;
        if (!n) continue;
        all_bands(w, row, p, n);
        for (int32_t band = 0; band < BANDS; band++) one_band(w, row, band, p, n, own);
    }
    return NJ_OK;
}

static int open_conf(const nj_host *host, const void *c, void **self)
{
    (void)host;
    *self = (void *)c;
    return NJ_OK;
}

#define OPTIONAL(path, unit)                                                                                 \
    {                                                                                                        \
        path, NJ_F64, NJ_SCALAR, unit, NJ_NEED_OPTIONAL                                                      \
    }
#define NUMBER(name, unit, doc)                                                                              \
    {                                                                                                        \
        name, NJ_F32, 1, -1, unit, -INFINITY, INFINITY, NAN, 0, doc                                          \
    }
#define TIME(name, doc)                                                                                      \
    {                                                                                                        \
        name, NJ_F64, 1, -1, "d", -INFINITY, INFINITY, NAN, 0, doc                                           \
    }
#define FLAG(name, doc)                                                                                      \
    {                                                                                                        \
        name, NJ_U8, 1, -1, "1", 0, 1, NAN, 0, doc                                                           \
    }
#define TEXT(name, doc)                                                                                      \
    {                                                                                                        \
        name, NJ_STR, 1, -1, "1", 0, 0, NAN, 0, doc                                                          \
    }
#define SIDE(b, side, which, none)                                                                           \
    NUMBER(b "_" side "_rate", "mag/d",                                                                      \
           "slope of the weighted line through the " which " of band " b ", negative = brightening; " none), \
        NUMBER(b "_" side "_rate_error", "mag/d", "1-sigma error of that slope"),                            \
        NUMBER(b "_" side "_red_chi2", "1", "chi^2 of that line per degree of freedom; none with 2 points"), \
        { b "_" side "_nb_data", NJ_I32, 1, -1, "1", 2, INT32_MAX, NAN, 0, "its points" },                   \
        NUMBER(b "_" side "_dt", "d", "from the first to the last of them")
#define BLOCK(b)                                                                                             \
    TIME(b "_peak_jd",                                                                                       \
         "time of the smallest magnitude in band " b ", the first of equals; none without points"),          \
        NUMBER(b "_peak_mag", "mag", "smallest magnitude in band " b "; none without points"),               \
        NUMBER(b "_peak_mag_err", "mag", "its error"),                                                       \
        NUMBER(b "_dt", "d", "from the first to the last point of band " b),                                 \
        SIDE(b, "rising", "points up to the peak",                                                           \
             "none with 1 point, within 0.01 d, or when the extremes agree within their errors"),            \
        SIDE(b, "fading", "points from the peak on",                                                         \
             "none with 1 point, within 0.01 d, or when the extremes agree within their errors"),

NJ_MODULE(properties) = {
    NJ_HEADER,
    .name = "properties",
    .version = "1.0",
    .summary = "peak, rise and decline per band; star, bright star or asteroid",
    .paper = "arXiv:2511.00164",
    .needs = (const nj_need[]){ { "jd", NJ_F64, NJ_SCALAR, "d", 0 },
                                { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.mag_err", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { "fp.jd", NJ_F64, NJ_SERIES, "d", NJ_NEED_OPTIONAL },
                                { "fp.mag", NJ_F64, NJ_SERIES, "mag", NJ_NEED_OPTIONAL },
                                { "fp.mag_err", NJ_F64, NJ_SERIES, "mag", NJ_NEED_OPTIONAL },
                                { "fp.band", NJ_I32, NJ_SERIES, "1", NJ_NEED_OPTIONAL },
                                { "fp.flux", NJ_F64, NJ_SERIES, "DN", NJ_NEED_OPTIONAL },
                                { "fp.flux_err", NJ_F64, NJ_SERIES, "DN", NJ_NEED_OPTIONAL },
                                { "fp.zp", NJ_F64, NJ_SERIES, "mag", NJ_NEED_OPTIONAL },
                                OPTIONAL("sso_dist", "arcsec"),
                                OPTIONAL("sso_v", "mag"),
                                { "sso_id", NJ_I64, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                OPTIONAL("near1_star", "1"),
                                OPTIONAL("near2_star", "1"),
                                OPTIONAL("near3_star", "1"),
                                OPTIONAL("near1_dist", "arcsec"),
                                OPTIONAL("near2_dist", "arcsec"),
                                OPTIONAL("near3_dist", "arcsec"),
                                OPTIONAL("near1_r", "mag"),
                                OPTIONAL("near2_r", "mag"),
                                OPTIONAL("near3_r", "mag"),
                                OPTIONAL("near1_g", "mag"),
                                OPTIONAL("near1_i", "mag"),
                                OPTIONAL("near1_z", "mag"),
                                OPTIONAL("gaia_bright_dist", "arcsec"),
                                OPTIONAL("gaia_bright_mag", "mag"),
                                { 0 } },
    .gives =
        (const nj_give[]){
            FLAG("rock",
                 "1: a known solar system object lies within 12 arcsec; none when the survey names none"),
            FLAG("star",
                 "1: the nearest catalogue source is a star that coincides; none without a catalogue"),
            FLAG("near_brightstar",
                 "1: a bright star is within 20 arcsec; none without a catalogue of neighbours"),
            TEXT("category",
                 "stellar (star or near_brightstar), hosted (a galaxy among the three nearest sources) or "
                 "hostless; none without a catalogue"),
            { "n_points", NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0, "points that take part" },
            FLAG("stationary", "1: seen again here after more than 0.01 d; none without points"),
            TIME("peak_jd", "time of the smallest magnitude of all bands; none without points"),
            NUMBER("peak_mag", "mag", "that magnitude"),
            NUMBER("peak_mag_err", "mag", "its error"),
            TEXT("peak_band", "its band"),
            TIME("faintest_jd", "time of the largest magnitude of all bands; none without points"),
            NUMBER("faintest_mag", "mag", "that magnitude"),
            NUMBER("faintest_mag_err", "mag", "its error"),
            TEXT("faintest_band", "its band"),
            TIME("first_jd", "time of the first point; none without points"),
            TIME("last_jd", "time of the last point; none without points"),
            BLOCK("u") BLOCK("g") BLOCK("r") BLOCK("i") BLOCK("z") BLOCK("y"){ 0 } },
    .params = (const nj_param[]){ { "forced_snr", NJ_F64, "3", offsetof(conf, forced_snr), 0.1, 1000, "1",
                                    "forced photometry takes part above this signal to noise" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .open = open_conf,
    .process = process
};
