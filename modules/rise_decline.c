/* rise_decline.c - the first days of a transient in numbers: when it was seen first and last, whether
 * limits and gaps leave its start open, how fast it rises and falls, its colour; and AMPEL's score of a
 * supernova.
 *
 * Given: detections that are positive and have a time, magnitude, error and real-bogus score, none of them
 *   0; of detections of one time those of the largest score. Limits count from 20 mag on.
 * Returned: det = first, last = last detection, peak = smallest magnitude, the last of equals. The light
 *   curve is past its peak (bool_peaked) when the last point is at least 2 d later and fainter by more
 *   than both errors; else it may still rise, and has no jd_max. Slopes are weighted lines per band, up to
 *   the peak (of all points when there is none yet) and from it on. A colour is the mean of g minus the
 *   mean of r within 2 d. Medians are of the detections that carry the number: of the current one alone
 *   for what the packet's history lacks.
 * Notes: times are taken from the first point before the line is fitted; upstream's are not and lose 1e-6
 *   of the slope. The score is the forest's for exactly this number of detections (2, 3 or 4), and only of
 *   young, pure light curves (Score below); upstream gives 0.5 elsewhere, this module none. That
 *   upstream's production scores use the forests which it published (files of 2020, without names of their
 *   features) is inferred from the values at which they split, not known.
 * Reference: AMPEL (Nordin et al. 2019, A&A 631, A147, doi:10.1051/0004-6361/201935634), its units
 *   T2RiseDeclineStat and T2BrightSNProb; SNGuess: Miranda et al. 2022, A&A 665, A99. Written from notes
 *   on them. */
#include <stdbool.h>
#include <stdio.h>

#include "nightjar/column.h"
#include "nightjar/forest.h"
#include "nightjar/lc.h"

/* clang-format off */
enum {
    LC_JD, LC_MAG, LC_ERR, LC_BAND, LC_POSITIVE, LC_RB, LC_CANDID, LC_LIMIT, LC_REF_DIST, LC_REF_MAG,
    LC_CLASSTAR, DRB, STAR1, DIST1, STAR2, DIST2, GAIA_DIST, GAIA_MAG
};
enum {
    SCORE, STATUS, CUT_PP, NDET, JD_DET, JD_LAST, T_LC, MAG_DET, MAG_LAST, PURE, T_PREDETECT, PEAKED,
    JD_MAX, MAG_PEAK, RISING, NORISE, HASGAPS, SLOPE_RISE_G, SLOPE_FALL_G, SLOPE_RISE_R, SLOPE_FALL_R,
    COL_DET, COL_LAST, COL_PEAK, RB_MED, DRB_MED, DISTNR_MED, MAGNR_MED, CLASSTAR_MED, SGSCORE1_MED,
    DISTPSNR1_MED, SGSCORE2_MED, DISTPSNR2_MED, NEARGAIA_MED, MAGGAIA_MED
};
/* clang-format on */
enum { G = 1, R = 2, FORESTS = 3, LEAST_NDET = 2, FEATURES = 13 };
static const double limit_mag_from = 20, gap_d = 30, near_d = 2;
/* Score: no limit after the first detection and one at most so many days before; no gap; not older than; not
 * brighter than. */
static const double most_predetect_d = 3.5, most_t_lc_d[FORESTS] = { 3.5, 6.5, 6.5 }, least_mag_det = 16;

typedef struct conf {
    const char *model;
} conf;

typedef struct state {
    bool scores;
    nj_forest forest[FORESTS];
} state;

typedef struct detections { /* in order of time */
    uint32_t n, *at;        /* indices into the packet's series */
    uint32_t n_all, *all;   /* likewise, of those left out too */
    double *jd, *mag, *err;
    const int32_t *band;
    double *work; /* room for as many numbers as the packet has points */
    bool current; /* the last one of the packet is among them */
} detections;

/* --- points --- */

static bool is_detection(const nj_work *w, uint32_t row, uint32_t i)
{
    const double *jd = nj_f64_series(w, LC_JD, row), *mag = nj_f64_series(w, LC_MAG, row),
                 *err = nj_f64_series(w, LC_ERR, row), *rb = nj_f64_series(w, LC_RB, row);
    const uint8_t *positive = nj_u8_series(w, LC_POSITIVE, row);
    const int32_t *band = nj_i32_series(w, LC_BAND, row);
    const int64_t *candid = (const int64_t *)w->in[LC_CANDID]->data + w->in[LC_CANDID]->off[row];
    return candid[i] != NJ_NO_I64 && positive[i] != 0 && band[i] != NJ_NO_I32 && isfinite(jd[i]) &&
           jd[i] != 0 && isfinite(mag[i]) && mag[i] != 0 && isfinite(err[i]) && err[i] > 0 &&
           isfinite(rb[i]) && rb[i] != 0;
}

static bool take_detections(const nj_work *w, uint32_t row, detections *d, uint32_t *n_cut)
{
    const uint32_t n = nj_points(w, LC_JD, row);
    const double *jd = nj_f64_series(w, LC_JD, row), *rb = nj_f64_series(w, LC_RB, row);
    double *key = w->scratch(w, (5 * (size_t)n + 1) * sizeof *key);
    uint32_t *index = w->scratch(w, (3 * (size_t)n + 1) * sizeof *index), *order = index + n, k = 0;
    if (!key || !index) return false;
    *d = (detections){ .at = order + n,
                       .jd = key + n,
                       .mag = key + 2 * (size_t)n,
                       .err = key + 3 * (size_t)n,
                       .work = key + 4 * (size_t)n,
                       .band = nj_i32_series(w, LC_BAND, row) };
    for (uint32_t i = 0; i < n; i++)
        if (is_detection(w, row, i)) key[k] = jd[i], index[k++] = i;
    d->n_all = k;
    d->all = index;
    nj_order_f64(key, k, order);
    *n_cut = 0;
    for (uint32_t a = 0, b; a < k; a = b) { /* [a, b) have one time */
        double best = -INFINITY;
        for (b = a; b < k && key[order[b]] == key[order[a]]; b++) best = fmax(best, rb[index[order[b]]]);
        for (uint32_t i = a; i < b; i++) {
            if (rb[index[order[i]]] == best)
                d->at[d->n++] = index[order[i]];
            else
                ++*n_cut;
        }
    }
    for (uint32_t i = 0; i < d->n; i++) {
        d->jd[i] = jd[d->at[i]];
        d->mag[i] = nj_f64_series(w, LC_MAG, row)[d->at[i]];
        d->err[i] = nj_f64_series(w, LC_ERR, row)[d->at[i]];
        d->current |= d->at[i] == n - 1;
    }
    return true;
}

/* --- features --- */

static double median(const detections *d, const double *series)
{
    uint32_t n = 0;
    for (uint32_t i = 0; series && i < d->n_all; i++)
        if (!isnan(series[d->all[i]])) d->work[n++] = series[d->all[i]];
    if (!n) return NJ_NO_F64;
    nj_sort_f64(d->work, n);
    return nj_median_sorted(d->work, n);
}

static void limits(const nj_work *w, uint32_t row, double jd_det)
{
    const uint32_t n = nj_points(w, LC_JD, row);
    const double *jd = nj_f64_series(w, LC_JD, row), *limit = nj_f64_series(w, LC_LIMIT, row);
    const int64_t *candid = (const int64_t *)w->in[LC_CANDID]->data + w->in[LC_CANDID]->off[row];
    double before = -INFINITY;
    bool pure = true;
    for (uint32_t i = 0; limit && i < n; i++) {
        if (candid[i] != NJ_NO_I64 || !(limit[i] >= limit_mag_from)) continue;
        if (jd[i] > jd_det) pure = false;
        if (jd[i] < jd_det && jd[i] > before) before = jd[i];
    }
    nj_put_u8(w, PURE, row, pure);
    if (isfinite(before)) nj_put_f64(w, T_PREDETECT, row, jd_det - before);
}

static double slope(const detections *d, int32_t band, double from, double to)
{
    double sw = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->band[d->at[i]] != band || d->jd[i] < from || d->jd[i] > to) continue;
        const double wt = 1 / (d->err[i] * d->err[i]);
        n++, sw += wt, sx += wt * (d->jd[i] - d->jd[0]), sy += wt * d->mag[i];
    }
    if (n < 2) return NJ_NO_F64;
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->band[d->at[i]] != band || d->jd[i] < from || d->jd[i] > to) continue;
        const double wt = 1 / (d->err[i] * d->err[i]), x = d->jd[i] - d->jd[0] - sx / sw;
        sxx += wt * x * x, sxy += wt * x * (d->mag[i] - sy / sw);
    }
    return sxx > 0 && isfinite(sxy / sxx) ? sxy / sxx : NJ_NO_F64;
}

/* From `from` on, when the band's last point lies more than 2 d behind it. */
static double slope_fall(const detections *d, int32_t band, double from)
{
    double last = -INFINITY;
    for (uint32_t i = 0; i < d->n; i++)
        if (d->band[d->at[i]] == band) last = d->jd[i];
    return last - from > near_d ? slope(d, band, from, INFINITY) : NJ_NO_F64;
}

static double colour(const detections *d, double jd)
{
    double sum[2] = { 0, 0 };
    uint32_t n[2] = { 0, 0 };
    for (uint32_t i = 0; i < d->n; i++) {
        const int32_t band = d->band[d->at[i]];
        if ((band != G && band != R) || !(fabs(d->jd[i] - jd) <= near_d)) continue;
        sum[band == R] += d->mag[i];
        n[band == R]++;
    }
    return n[0] && n[1] ? sum[0] / n[0] - sum[1] / n[1] : NJ_NO_F64;
}

static void shape(const nj_work *w, uint32_t row, const detections *d)
{
    const uint32_t last = d->n - 1;
    uint32_t peak = 0;
    double gap = 0;
    for (uint32_t i = 1; i < d->n; i++) {
        if (d->mag[i] <= d->mag[peak]) peak = i;
        gap = fmax(gap, d->jd[i] - d->jd[i - 1]);
    }
    const bool late = d->jd[last] - d->jd[peak] >= near_d,
               peaked = late && d->mag[last] - d->mag[peak] > hypot(d->err[last], d->err[peak]);
    const uint32_t top = peaked ? peak : last;
    const bool norise = !(d->mag[0] - d->mag[top] > hypot(d->err[0], d->err[top]));
    nj_put_u8(w, PEAKED, row, peaked);
    nj_put_u8(w, RISING, row, !late);
    nj_put_u8(w, NORISE, row, norise);
    if (d->jd[last] > d->jd[0]) nj_put_u8(w, HASGAPS, row, gap > gap_d);
    for (int32_t band = G; band <= R; band++) {
        const uint32_t rise = band == G ? SLOPE_RISE_G : SLOPE_RISE_R,
                       fall = band == G ? SLOPE_FALL_G : SLOPE_FALL_R;
        if (!norise) nj_put_f64(w, rise, row, slope(d, band, -INFINITY, peaked ? d->jd[peak] : INFINITY));
        if (peaked) nj_put_f64(w, fall, row, slope_fall(d, band, d->jd[peak]));
    }
    nj_put_f64(w, COL_DET, row, colour(d, d->jd[0]));
    nj_put_f64(w, COL_LAST, row, colour(d, d->jd[last]));
    if (!peaked) return;
    nj_put_f64(w, JD_MAX, row, d->jd[peak]);
    nj_put_f64(w, MAG_PEAK, row, d->mag[peak]);
    nj_put_f64(w, COL_PEAK, row, colour(d, d->jd[peak]));
}

static void medians(const nj_work *w, uint32_t row, const detections *d)
{
    static const uint32_t series[][2] = { { RB_MED, LC_RB },
                                          { DISTNR_MED, LC_REF_DIST },
                                          { MAGNR_MED, LC_REF_MAG },
                                          { CLASSTAR_MED, LC_CLASSTAR } };
    static const uint32_t current[][2] = { { DRB_MED, DRB },         { SGSCORE1_MED, STAR1 },
                                           { DISTPSNR1_MED, DIST1 }, { SGSCORE2_MED, STAR2 },
                                           { DISTPSNR2_MED, DIST2 }, { NEARGAIA_MED, GAIA_DIST },
                                           { MAGGAIA_MED, GAIA_MAG } };
    for (size_t k = 0; k < sizeof series / sizeof *series; k++)
        nj_put_f64(w, series[k][0], row, median(d, nj_f64_series(w, series[k][1], row)));
    for (size_t k = 0; d->current && k < sizeof current / sizeof *current; k++)
        nj_put_f64(w, current[k][0], row, nj_f64_of(w, current[k][1], row));
}

/* --- the score --- */

static double given(const nj_work *w, uint32_t give, uint32_t row)
{
    return ((const double *)w->out[give])[row];
}

/* Which forest an alert is for; -1 = none, and the status says why. */
static int forest_of(const nj_work *w, uint32_t row)
{
    const int k = ((const int32_t *)w->out[NDET])[row] - LEAST_NDET;
    const char *why = "ok";
    if (((const uint8_t *)w->out[PURE])[row] != 1 || ((const uint8_t *)w->out[HASGAPS])[row] == 1)
        why = "gaps_or_limits";
    else if (k < 0 || k >= FORESTS)
        why = "ndet";
    else if (!(given(w, T_LC, row) <= most_t_lc_d[k] && given(w, T_PREDETECT, row) <= most_predetect_d &&
               given(w, MAG_DET, row) >= least_mag_det))
        why = "outside";
    nj_put_text(w, STATUS, row, why);
    return strcmp(why, "ok") ? -1 : k;
}

static int score(const nj_forest *forest, nj_forest_rows *rows, const nj_work *w, int reference)
{
    const uint32_t width = forest->width;
    int rc = nj_forest_evaluate(forest, rows, reference);
    for (uint32_t k = 0; k < rows->n && rc == NJ_OK; k++)
        nj_put_f64(w, SCORE, rows->row[k], rows->out[(size_t)width * k + width - 1]);
    rows->n = 0;
    return rc;
}

static int ask(const state *s, nj_forest_rows *rows, const nj_work *w, uint32_t row, int reference)
{
    static const uint32_t input[FEATURES] = { MAG_DET,      MAG_LAST,     T_LC,          RB_MED,
                                              COL_DET,      T_PREDETECT,  DISTNR_MED,    MAGNR_MED,
                                              CLASSTAR_MED, SGSCORE1_MED, DISTPSNR1_MED, NEARGAIA_MED,
                                              MAGGAIA_MED };
    const int k = forest_of(w, row);
    if (k < 0 || !s->scores) return NJ_OK;
    float *x = nj_forest_add(&s->forest[k], &rows[k], row);
    for (uint32_t i = 0; i < FEATURES; i++) x[i] = (float)given(w, input[i], row);
    return rows[k].n == NJ_FOREST_ROWS ? score(&s->forest[k], &rows[k], w, reference) : NJ_OK;
}

/* --- the module --- */

static int one(const state *s, nj_forest_rows *rows, const nj_work *w, uint32_t row, int reference)
{
    detections d;
    uint32_t n_cut;
    if (!take_detections(w, row, &d, &n_cut)) return NJ_ENOMEM;
    w->reason[row] = d.n ? NJ_DONE : NJ_FEW_POINTS;
    if (!d.n) {
        nj_put_text(w, STATUS, row, "no_detection");
        return NJ_OK;
    }
    nj_put_i32(w, CUT_PP, row, (int32_t)n_cut);
    nj_put_i32(w, NDET, row, (int32_t)d.n);
    nj_put_f64(w, JD_DET, row, d.jd[0]);
    nj_put_f64(w, JD_LAST, row, d.jd[d.n - 1]);
    nj_put_f64(w, T_LC, row, d.jd[d.n - 1] - d.jd[0]);
    nj_put_f64(w, MAG_DET, row, d.mag[0]);
    nj_put_f64(w, MAG_LAST, row, d.mag[d.n - 1]);
    limits(w, row, d.jd[0]);
    shape(w, row, &d);
    medians(w, row, &d);
    return ask(s, rows, w, row, reference);
}

static int all(const state *s, nj_forest_rows *rows, const nj_work *w, int reference)
{
    int rc = NJ_OK;
    for (uint32_t k = 0; k < FORESTS; k++) rows[k].n = 0;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) rc = one(s, rows, w, w->row[k], reference);
    for (uint32_t k = 0; k < FORESTS && s->scores && rc == NJ_OK; k++)
        rc = score(&s->forest[k], &rows[k], w, reference);
    return rc;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 0);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 1);
}

static int open_forests(const nj_host *host, const void *settings, void **self)
{
    const char *model = ((const conf *)settings)->model;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    memset(s, 0, sizeof *s);
    *self = s;
    for (uint32_t k = 0; k < FORESTS && *model; k++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s%u", model, LEAST_NDET + k);
        int rc = nj_forest_open(&s->forest[k], host, folder, FEATURES, 2);
        if (rc != NJ_OK) return rc;
    }
    s->scores = *model;
    return NJ_OK;
}

static void close_forests(void *self)
{
    state *s = self;
    if (s) nj_forests_close(s->forest, FORESTS);
}

static int thread_open(const void *self, void *thread)
{
    const state *s = self;
    return nj_forests_thread_open(s->forest, thread, s->scores ? FORESTS : 0);
}

static void thread_close(const void *self, void *thread)
{
    const state *s = self;
    nj_forests_thread_close(s->forest, thread, s->scores ? FORESTS : 0);
}

#define SERIES(path, type, unit, flags)                                                                      \
    {                                                                                                        \
        path, type, NJ_SERIES, unit, flags                                                                   \
    }
#define OPTIONAL(path, unit)                                                                                 \
    {                                                                                                        \
        path, NJ_F64, NJ_SCALAR, unit, NJ_NEED_OPTIONAL                                                      \
    }
#define NUMBER(name, unit, doc)                                                                              \
    {                                                                                                        \
        name, NJ_F64, 1, -1, unit, -INFINITY, INFINITY, NAN, 0, doc                                          \
    }
#define COUNT(name, doc)                                                                                     \
    {                                                                                                        \
        name, NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0, doc                                                  \
    }
#define FLAG(name, doc)                                                                                      \
    {                                                                                                        \
        name, NJ_U8, 1, -1, "1", 0, 1, NAN, 0, doc                                                           \
    }
#define SLOPES(b)                                                                                            \
    NUMBER("slope_rise_" b, "mag/d",                                                                         \
           "slope up to the peak in band " b ", of all points when there is no peak yet; none with "         \
           "bool_norise or below 2 points"),                                                                 \
        NUMBER("slope_fall_" b, "mag/d",                                                                     \
               "slope from the peak on in band " b                                                           \
               "; none without a peak, below 2 points, or when the last "                                    \
               "is within 2 d of it")

NJ_MODULE(rise_decline) = {
    NJ_HEADER,
    .name = "rise_decline",
    .version = "1.0",
    .summary = "first days of a transient: rise, decline, colour, limits; AMPEL's SNGuess",
    .paper = "doi:10.1051/0004-6361/201935634",
    .surveys = "ztf",
    .needs = (const nj_need[]){ SERIES("lc.jd", NJ_F64, "d", 0),
                                SERIES("lc.mag", NJ_F64, "mag", 0),
                                SERIES("lc.mag_err", NJ_F64, "mag", 0),
                                SERIES("lc.band", NJ_I32, "1", 0),
                                SERIES("lc.positive", NJ_U8, "1", 0),
                                SERIES("lc.rb", NJ_F64, "1", 0),
                                SERIES("lc.candid", NJ_I64, "1", 0),
                                SERIES("lc.limit_mag", NJ_F64, "mag", NJ_NEED_OPTIONAL),
                                SERIES("lc.ref_dist", NJ_F64, "pixel", NJ_NEED_OPTIONAL),
                                SERIES("lc.ref_mag", NJ_F64, "mag", NJ_NEED_OPTIONAL),
                                SERIES("lc.classtar", NJ_F64, "1", NJ_NEED_OPTIONAL),
                                OPTIONAL("drb", "1"),
                                OPTIONAL("near1_star", "1"),
                                OPTIONAL("near1_dist", "arcsec"),
                                OPTIONAL("near2_star", "1"),
                                OPTIONAL("near2_dist", "arcsec"),
                                OPTIONAL("gaia_dist", "arcsec"),
                                OPTIONAL("gaia_mag", "mag"),
                                { 0 } },
    .gives =
        (const nj_give[]){
            { "snguess", NJ_F64, 1, -1, "1", 0, 1, 0.5, 0,
              "AMPEL's score of a supernova, above 0.5 = supernova; none without its models, or when status "
              "is not ok" },
            { "status", NJ_STR, 1, -1, "1", 0, 0, NAN, 0,
              "ok: the score is for such a light curve; no_detection, gaps_or_limits (a gap above 30 d, or a "
              "limit after the first detection), ndet (not 2, 3, 4), outside (older or brighter than the "
              "forests know, or without a limit shortly before): none" },
            COUNT("cut_pp", "detections left out beside a better one of the same time"),
            COUNT("ndet", "detections that take part; none without any"),
            NUMBER("jd_det", "d", "time of the first detection"),
            NUMBER("jd_last", "d", "time of the last one"),
            NUMBER("t_lc", "d", "from the first to the last"),
            NUMBER("mag_det", "mag", "magnitude of the first"),
            NUMBER("mag_last", "mag", "magnitude of the last"),
            FLAG("bool_pure", "1: no limit of 20 mag or deeper after the first detection"),
            NUMBER("t_predetect", "d", "from the last such limit to the first detection; none without one"),
            FLAG("bool_peaked", "1: past its peak by 2 d at least, and fainter by more than the errors"),
            NUMBER("jd_max", "d", "time of the peak; none when not past it"),
            NUMBER("mag_peak", "mag", "magnitude of the peak; none when not past it"),
            FLAG("bool_rising", "1: the brightest point is less than 2 d before the last"),
            FLAG("bool_norise", "1: not brighter than the first detection by more than the errors"),
            FLAG("bool_hasgaps", "1: a gap above 30 d between detections; none with one time"),
            SLOPES("g"),
            SLOPES("r"),
            NUMBER("col_det", "mag", "g - r within 2 d of the first detection; none unless both are there"),
            NUMBER("col_last", "mag", "g - r within 2 d of the last detection; none unless both are there"),
            NUMBER("col_peak", "mag", "g - r within 2 d of the peak; none unless both are there"),
            NUMBER("rb_med", "1", "median real-bogus score"),
            NUMBER("drb_med", "1",
                   "deep-learning score of the current detection; none when it takes no part"),
            NUMBER("distnr_med", "pixel", "median distance of the nearest reference source"),
            NUMBER("magnr_med", "mag", "median magnitude of it"),
            NUMBER("classtar_med", "1", "median star-likeness of the detections"),
            NUMBER("sgscore1_med", "1", "star score of the nearest catalogue source"),
            NUMBER("distpsnr1_med", "arcsec", "distance of it"),
            NUMBER("sgscore2_med", "1", "star score of the second nearest catalogue source"),
            NUMBER("distpsnr2_med", "arcsec", "distance of it"),
            NUMBER("neargaia_med", "arcsec", "distance of the nearest Gaia source"),
            NUMBER("maggaia_med", "mag", "magnitude of it"),
            { 0 } },
    .params =
        (const nj_param[]){ { "model", NJ_STR, "", offsetof(conf, model), 0, 0, "1",
                              "first part of the names of three model folders, which end in 2, 3 and 4; "
                              "empty: no score" },
                            { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = FORESTS * sizeof(nj_forest_rows),
    .rows_hint = 32,
    .open = open_forests,
    .thread_open = thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = thread_close,
    .close = close_forests
};
