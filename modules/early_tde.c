/* early_tde.c - tidal disruption events while they rise: a Rainbow fit (sigmoid rise, constant
 * temperature) of the last 100 days, the cuts on it, and two forests.
 *
 * Given: detections and upper limits of g and r with their signs, galactic latitude, reddening E(B-V).
 * Returned: the numbers of the cuts before the fit, the fit, which cuts it fails, and with the forests two
 *   probabilities: nuclear (which knows the distance to the reference source) and broad. Before the fit:
 *   not a known asteroid, at least min_points detections, at most one negative, one detection in g and one
 *   in r, |galactic latitude| >= 20 degrees, rising. Rising in a band: the last point lies above an
 *   earlier one by 2 sigma, or a weighted line rises by 3; and no point lies above the last, or above its
 *   successor, by 1 sigma. A limit takes part when it is earlier than 1 d before the first detection and
 *   not above the lowest detection of its band; its standard deviation is a fifth of it.
 * Notes: SIMBAD's label is left to the clause that uses these columns. Upstream adds 30 months of its
 *   database to the packet's history: `nightjar objects` does so with stored alerts, and the two cuts on what
 *   was there more than 100 days ago then count. A detection whose sign the packet gives as "0" is negative
 *   here and positive there. Upstream keeps an alert also when a tenth of 1000 random fits are of the
 *   class; here the best fit decides. r_chisq is the reference's: half the chi^2, with the barrier of the
 *   bounds, per degree of freedom.
 * Reference: Llamas Lanza, Karpov et al. 2026, A&A 705, A144, doi:10.1051/0004-6361/202556558, and Fink's
 *   filter, written from notes on it; Russeil et al. 2024, A&A 683, A251; extinction: Schlafly &
 *   Finkbeiner 2011, ApJ 737, 103. */
#include <stdbool.h>
#include <stdio.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/forest.h"
#include "nightjar/rainbow.h"

enum { JD, GAL_B, REDDENING, ROID, LC_JD, LC_MAG, LC_ERR, LC_LIMIT, LC_BAND, LC_POSITIVE, LC_REF_DIST };
enum {
    N_DETECTIONS,
    N_NEGATIVE,
    N_G,
    N_R,
    IS_RISING,
    PREFILTER,
    N_FIT,
    N_UPPER,
    REFERENCE_TIME,
    FIRST_ERROR = REFERENCE_TIME + 4,
    R_CHISQ = FIRST_ERROR + 4,
    CHI2_DOF,
    OBJECTIVE,
    CONVERGED,
    N_STARTS,
    REL_REFERENCE_TIME,
    NORM_REL_REFERENCE_TIME,
    SNR_AMPLITUDE,
    SNR_RISE_TIME,
    SNR_TEMPERATURE,
    DISTNR,
    CUTS,
    P_NUCLEAR,
    P_BROAD,
    CANDIDATE,
    N_BEFORE,
    N_NEGATIVE_BEFORE
};
enum { G = 1, R = 2, BANDS = 2, PARAMETERS = 4, FORESTS = 2 };
static const double window_d = 100, least_latitude_deg = 20, before_first_d = 1;
static const double extinction[BANDS] = { 3.681, 2.635 }; /* A / E(B-V) in g, r */
static const uint32_t n_inputs[FORESTS] = { 4, 3 };
static const char *const forest_name[FORESTS] = { "nuclear", "broad" };

typedef struct conf {
    double ebv;
    int64_t min_points, starts, all;
    const char *model;
} conf;

typedef struct state {
    const conf *c;
    bool scores;
    nj_forest forest[FORESTS];
} state;

typedef struct curve { /* of one alert: detections and limits of g and r, in packet order */
    uint32_t n, n_upper;
    double *t, *flux, *err, *work;
    uint8_t *band, *upper;
} curve;

/* --- before the fit --- */

static bool is_negative(const nj_work *w, uint32_t row, uint32_t i)
{
    return nj_u8_series(w, LC_POSITIVE, row)[i] == 0;
}

static bool is_detection(const nj_work *w, uint32_t row, uint32_t i)
{
    const double mag = nj_f64_series(w, LC_MAG, row)[i], err = nj_f64_series(w, LC_ERR, row)[i];
    return isfinite(mag) && isfinite(err) && err > 0 && isfinite(nj_f64_series(w, LC_JD, row)[i]);
}

static double age_of(const nj_work *w, uint32_t row, uint32_t i)
{
    return nj_f64_of(w, JD, row) - nj_f64_series(w, LC_JD, row)[i];
}

static double flux_of(const nj_work *w, uint32_t row, uint32_t i)
{
    const double f = nj_fluxcal_of_mag(nj_f64_series(w, LC_MAG, row)[i]);
    return is_negative(w, row, i) ? -f : f;
}

static double flux_err_of(const nj_work *w, uint32_t row, uint32_t i)
{
    return nj_fluxcal_err_of_mag(nj_f64_series(w, LC_MAG, row)[i], nj_f64_series(w, LC_ERR, row)[i]);
}

/* Slope above 3 of its sigmas, by the weighted line. */
static bool line_rises(uint32_t n, const double *t, const double *f, const double *e)
{
    double sw = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double wt = 1 / (e[i] * e[i]);
        sw += wt, sx += wt * (t[i] - t[0]), sy += wt * f[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        const double wt = 1 / (e[i] * e[i]), x = t[i] - t[0] - sx / sw;
        sxx += wt * x * x, sxy += wt * x * (f[i] - sy / sw);
    }
    return sxx > 0 && sxy / sxx > 3 / sqrt(sxx);
}

static void band_trend(const nj_work *w, uint32_t row, int32_t band, double *work, bool *rises, bool *decays)
{
    const uint32_t n_all = nj_points(w, LC_JD, row);
    const int32_t *bands = nj_i32_series(w, LC_BAND, row);
    double *t = work, *f = t + n_all, *e = f + n_all;
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_all; i++) {
        if (bands[i] != band || !is_detection(w, row, i) || age_of(w, row, i) >= window_d) continue;
        t[n] = nj_f64_series(w, LC_JD, row)[i];
        f[n] = flux_of(w, row, i);
        e[n++] = flux_err_of(w, row, i);
    }
    if (n < 2) return;
    for (uint32_t i = 0; i + 1 < n; i++) {
        *decays |= f[i] - f[n - 1] > hypot(e[i], e[n - 1]) || f[i] - f[i + 1] > hypot(e[i], e[i + 1]);
        *rises |= f[n - 1] - f[i] > 2 * hypot(e[i], e[n - 1]);
    }
    *rises |= n >= 3 && line_rises(n, t, f, e);
}

static bool prefilter(const conf *c, const nj_work *w, uint32_t row, double *work)
{
    const uint32_t n = nj_points(w, LC_JD, row);
    const int32_t *band = nj_i32_series(w, LC_BAND, row);
    int32_t count[4] = { 0 }, before = 0, negative_before = 0;
    enum { ALL, NEGATIVE };
    for (uint32_t i = 0; i < n; i++) {
        if (!is_detection(w, row, i)) continue;
        const double age = age_of(w, row, i);
        if (age >= window_d) { /* a merged history alone is so long */
            before += age < 2 * window_d && (band[i] == G || band[i] == R);
            negative_before += is_negative(w, row, i) && (band[i] == G || band[i] == R);
            continue;
        }
        count[ALL]++;
        count[NEGATIVE] += is_negative(w, row, i);
        if (band[i] == G || band[i] == R) count[1 + band[i]]++;
    }
    bool rises = false, decays = false;
    for (int32_t b = G; b <= R; b++) band_trend(w, row, b, work, &rises, &decays);
    const bool passes = count[ALL] >= c->min_points && count[NEGATIVE] <= 1 && count[1 + G] && count[1 + R] &&
                        fabs(nj_f64_of(w, GAL_B, row)) >= least_latitude_deg && rises && !decays &&
                        nj_i32_of(w, ROID, row) != 3;
    for (uint32_t k = 0; k < 4; k++) nj_put_i32(w, N_DETECTIONS + k, row, count[k]);
    nj_put_i32(w, N_BEFORE, row, before);
    nj_put_i32(w, N_NEGATIVE_BEFORE, row, negative_before);
    nj_put_u8(w, IS_RISING, row, rises && !decays);
    nj_put_u8(w, PREFILTER, row, passes);
    return passes;
}

/* --- the points of the fit --- */

static bool in_window(const nj_work *w, uint32_t row, uint32_t i)
{
    const double age = age_of(w, row, i);
    const int32_t band = nj_i32_series(w, LC_BAND, row)[i];
    return age >= 0 && age < window_d && (band == G || band == R);
}

static void add(curve *c, double t, double flux, double err, int32_t band, bool upper, double ebv)
{
    const double dust = pow(10, -0.4 * ebv * extinction[band - G]);
    c->t[c->n] = t;
    c->flux[c->n] = flux / dust;
    c->err[c->n] = err / dust;
    c->band[c->n] = (uint8_t)(band - G);
    c->upper[c->n++] = upper;
    c->n_upper += upper;
}

/* False: no memory. */
static bool take_curve(const nj_work *w, uint32_t row, double ebv, curve *c)
{
    const uint32_t n = nj_points(w, LC_JD, row);
    const double *t = nj_f64_series(w, LC_JD, row), *limit = nj_f64_series(w, LC_LIMIT, row);
    const int32_t *band = nj_i32_series(w, LC_BAND, row);
    double first = INFINITY, lowest[BANDS] = { INFINITY, INFINITY };
    *c = (curve){ .t = w->scratch(w, (3 * (size_t)n + NJ_RAINBOW_WORK(n) + 1) * sizeof(double)),
                  .band = w->scratch(w, 2 * (size_t)n + 1) };
    if (!c->t || !c->band) return false;
    c->flux = c->t + n;
    c->err = c->flux + n;
    c->work = c->err + n;
    c->upper = c->band + n;
    for (uint32_t i = 0; i < n; i++) {
        if (!in_window(w, row, i) || !is_detection(w, row, i)) continue;
        first = fmin(first, t[i]);
        lowest[band[i] - G] = fmin(lowest[band[i] - G], flux_of(w, row, i));
    }
    for (uint32_t i = 0; i < n && isfinite(first); i++) { /* limits alone are no light curve */
        if (!in_window(w, row, i)) continue;
        if (is_detection(w, row, i)) {
            add(c, t[i], flux_of(w, row, i), flux_err_of(w, row, i), band[i], false, ebv);
        } else if (limit && limit[i] > 0 && isfinite(limit[i]) && isnan(nj_f64_series(w, LC_MAG, row)[i])) {
            const double f = nj_fluxcal_of_mag(limit[i]);
            if (t[i] <= first - before_first_d && f <= lowest[band[i] - G])
                add(c, t[i], f, f / 5, band[i], true, ebv);
        }
    }
    return true;
}

/* --- fit, cuts, forests --- */

static const nj_rainbow model = {
    .bolometric = NJ_SIGMOID, .temperature = NJ_T_CONSTANT, .n_bands = 3, .wavelength = { 4770, 6231, 7625 }
};

static double value(const nj_work *w, uint32_t give, uint32_t row)
{
    return ((const double *)w->out[give])[row];
}

static void put_fit(const nj_work *w, uint32_t row, const nj_rainbow_fit *f)
{
    for (uint32_t k = 0; k < PARAMETERS; k++) {
        nj_put_f64(w, REFERENCE_TIME + k, row, f->parameter[k]);
        nj_put_f64(w, FIRST_ERROR + k, row, f->error[k]);
        if (k) nj_put_f64(w, SNR_AMPLITUDE + k - 1, row, f->parameter[k] / f->error[k]);
    }
    nj_put_f64(w, R_CHISQ, row, f->half_chi2_dof);
    nj_put_f64(w, CHI2_DOF, row, f->chi2_dof);
    nj_put_f64(w, OBJECTIVE, row, f->objective);
    nj_put_u8(w, CONVERGED, row, f->converged);
    nj_put_i32(w, N_STARTS, row, (int32_t)f->n_starts);
    const double since = f->parameter[0] - nj_f64_of(w, JD, row);
    nj_put_f64(w, REL_REFERENCE_TIME, row, since);
    nj_put_f64(w, NORM_REL_REFERENCE_TIME, row, since / f->parameter[2]);
}

static void put_distance(const nj_work *w, uint32_t row)
{
    const double *d = nj_f64_series(w, LC_REF_DIST, row);
    double least = INFINITY;
    for (uint32_t i = 0; d && i < nj_points(w, LC_REF_DIST, row); i++)
        if (is_detection(w, row, i)) least = fmin(least, d[i]);
    if (isfinite(least)) nj_put_f64(w, DISTNR, row, least);
}

/* Names of the cuts that the fit fails; "" = none. */
static const char *cuts(const nj_work *w, uint32_t row)
{
    const double when = value(w, NORM_REL_REFERENCE_TIME, row);
    const struct {
        bool fails;
        const char *name;
    } cut[] = { { value(w, R_CHISQ, row) > 10, "r_chisq" },
                { !(value(w, FIRST_ERROR, row) <= 100), "e_reference_time" },
                { !(when >= -10), "early" },
                { when > 1, "late" },
                { !(value(w, SNR_RISE_TIME, row) >= 1.5), "snr_rise_time" },
                { !(value(w, SNR_TEMPERATURE, row) >= 1.5), "snr_temperature" },
                { ((const int32_t *)w->out[N_BEFORE])[row] > 0, "detected_before" },
                { ((const int32_t *)w->out[N_NEGATIVE_BEFORE])[row] > 1, "negative_before" } };
    char text[128];
    int n = 0;
    text[0] = 0;
    for (size_t k = 0; k < sizeof cut / sizeof *cut; k++)
        if (cut[k].fails) n += snprintf(text + n, sizeof text - (size_t)n, "%s%s", n ? "+" : "", cut[k].name);
    return w->text(w, text, (size_t)n);
}

static int score(const state *s, nj_forest_rows *rows, const nj_work *w, int reference)
{
    for (uint32_t k = 0; k < FORESTS; k++) {
        const uint32_t width = s->forest[k].width;
        int rc = nj_forest_evaluate(&s->forest[k], &rows[k], reference);
        if (rc != NJ_OK) return rc;
        for (uint32_t i = 0; i < rows[k].n; i++)
            nj_put_f64(w, P_NUCLEAR + k, rows[k].row[i], rows[k].out[(size_t)width * i + width - 1]);
    }
    for (uint32_t i = 0; i < rows->n; i++) {
        const uint32_t row = rows->row[i];
        const char *failed = ((const char *const *)w->out[CUTS])[row];
        nj_put_u8(w, CANDIDATE, row,
                  ((const uint8_t *)w->out[PREFILTER])[row] == 1 && failed && !*failed &&
                      value(w, P_NUCLEAR, row) > 0.5 && value(w, P_BROAD, row) > 0.5);
    }
    rows[0].n = rows[1].n = 0;
    return NJ_OK;
}

static int one(const state *s, nj_forest_rows *rows, const nj_work *w, uint32_t row, int reference)
{
    const double reddening = nj_f64_of(w, REDDENING, row);
    const uint32_t n = nj_points(w, LC_JD, row);
    double *work = w->scratch(w, (3 * (size_t)n + 1) * sizeof *work);
    curve c;
    nj_rainbow_fit fit;
    if (!work) return NJ_ENOMEM;
    const bool passes = prefilter(s->c, w, row, work);
    w->reason[row] = passes || s->c->all ? NJ_DONE : NJ_CUT;
    if (w->reason[row] == NJ_CUT) return NJ_OK;
    if (!take_curve(w, row, isnan(reddening) ? s->c->ebv : reddening, &c)) return NJ_ENOMEM;
    nj_put_i32(w, N_FIT, row, (int32_t)c.n);
    nj_put_i32(w, N_UPPER, row, (int32_t)c.n_upper);
    const nj_rainbow_points points = {
        .n = c.n, .t = c.t, .flux = c.flux, .err = c.err, .band = c.band, .upper = c.upper
    };
    nj_rainbow_fit_points(&model, &points, (uint32_t)s->c->starts, c.work, &fit);
    if (!fit.fitted) {
        w->reason[row] = c.n < PARAMETERS ? NJ_FEW_POINTS : NJ_NO_FIT;
        return NJ_OK;
    }
    put_fit(w, row, &fit);
    put_distance(w, row);
    const char *failed = cuts(w, row);
    if (!failed) return NJ_ENOMEM;
    nj_put_text(w, CUTS, row, failed);
    if (!s->scores) return NJ_OK;
    const double input[] = { fit.error[0], fit.parameter[2], fit.parameter[3], value(w, DISTNR, row) };
    for (uint32_t k = 0; k < FORESTS; k++) {
        float *x = nj_forest_add(&s->forest[k], &rows[k], row);
        for (uint32_t i = 0; i < n_inputs[k]; i++) x[i] = (float)input[i];
    }
    return rows->n == NJ_FOREST_ROWS ? score(s, rows, w, reference) : NJ_OK;
}

static int all(const state *s, nj_forest_rows *rows, const nj_work *w, int reference)
{
    int rc = NJ_OK;
    rows[0].n = rows[1].n = 0;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) rc = one(s, rows, w, w->row[k], reference);
    return rc == NJ_OK && s->scores ? score(s, rows, w, reference) : rc;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 0);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 1);
}

/* --- the module --- */

static int open_forests(const nj_host *host, const void *conf_, void **self)
{
    const conf *c = conf_;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    memset(s, 0, sizeof *s);
    s->c = c;
    *self = s;
    for (uint32_t k = 0; k < FORESTS && *c->model; k++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s_%s", c->model, forest_name[k]);
        int rc = nj_forest_open(&s->forest[k], host, folder, n_inputs[k], 2);
        if (rc != NJ_OK) return rc;
    }
    s->scores = *c->model;
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
#define NUMBER(name, unit, doc)                                                                              \
    {                                                                                                        \
        name, NJ_F64, 1, -1, unit, -INFINITY, INFINITY, NAN, 0, doc                                          \
    }
#define COUNT(name, doc)                                                                                     \
    {                                                                                                        \
        name, NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0, doc                                                  \
    }
#define UNIT(name, type, doc)                                                                                \
    {                                                                                                        \
        name, type, 1, -1, "1", 0, 1, NAN, 0, doc                                                            \
    }

NJ_MODULE(early_tde) = {
    NJ_HEADER,
    .name = "early_tde",
    .version = "1.0",
    .summary = "tidal disruption events while they rise: Rainbow fit, cuts, two forests",
    .paper = "doi:10.1051/0004-6361/202556558",
    .surveys = "ztf",
    .needs = (const nj_need[]){ { "jd", NJ_F64, NJ_SCALAR, "d", 0 },
                                { "gal_b", NJ_F64, NJ_SCALAR, "deg", 0 },
                                { "mwebv", NJ_F64, NJ_SCALAR, "mag", NJ_NEED_OPTIONAL },
                                { "roid.roid", NJ_I32, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                SERIES("lc.jd", NJ_F64, "d", 0),
                                SERIES("lc.mag", NJ_F64, "mag", 0),
                                SERIES("lc.mag_err", NJ_F64, "mag", 0),
                                SERIES("lc.limit_mag", NJ_F64, "mag", NJ_NEED_OPTIONAL),
                                SERIES("lc.band", NJ_I32, "1", 0),
                                SERIES("lc.positive", NJ_U8, "1", 0),
                                SERIES("lc.ref_dist", NJ_F64, "pixel", NJ_NEED_OPTIONAL),
                                { 0 } },
    .gives =
        (const nj_give[]){
            COUNT("n_detections", "detections of the last 100 days"),
            COUNT("n_negative", "of them negative ones"),
            COUNT("n_g", "of them in g"),
            COUNT("n_r", "of them in r"),
            UNIT("is_rising", NJ_U8, "1: rises in a band and decays in none"),
            UNIT("prefilter", NJ_U8, "1: passes the cuts before the fit"),
            COUNT("n_fit", "points of the fit, limits among them; none when cut before"),
            COUNT("n_upper", "limits among them; none when cut before"),
            NUMBER("reference_time", "d", "middle of the rise; none when cut or not fitted, as all below"),
            NUMBER("amplitude", "1", "bolometric flux it rises to, in the scale of SNANA's FLUXCAL"),
            NUMBER("rise_time", "d", "time scale of the rise"),
            NUMBER("temperature", "K", "its temperature"),
            NUMBER("e_reference_time", "d", "1-sigma error of reference_time, of the full Hessian"),
            NUMBER("e_amplitude", "1", "1-sigma error of amplitude"),
            NUMBER("e_rise_time", "d", "1-sigma error of rise_time"),
            NUMBER("e_temperature", "K", "1-sigma error of temperature"),
            NUMBER("r_chisq", "1", "half the chi^2 per degree of freedom, as the reference's cut takes it"),
            NUMBER("chi2_dof", "1", "the usual chi^2 per degree of freedom"),
            NUMBER("objective", "1", "what the fit minimises: half the chi^2, and the barrier of the bounds"),
            UNIT("converged", NJ_U8, "1: the fit ended by itself"),
            COUNT("n_starts", "starts that were tried"),
            NUMBER("rel_reference_time", "d", "reference_time minus the alert's time"),
            NUMBER("norm_rel_reference_time", "1", "that in units of rise_time"),
            NUMBER("snr_amplitude", "1", "amplitude over its error"),
            NUMBER("snr_rise_time", "1", "rise_time over its error"),
            NUMBER("snr_temperature", "1", "temperature over its error"),
            NUMBER("distnr", "pixel", "least distance of the reference source to a detection"),
            { "cuts", NJ_STR, 1, -1, "1", 0, 0, NAN, 0,
              "cuts that the fit fails, joined by +: r_chisq (above 10), e_reference_time (above 100 d), "
              "early and late (norm_rel_reference_time outside -10 to 1), snr_rise_time, snr_temperature "
              "(below 1.5), detected_before (n_before above 0), negative_before (above 1); empty: none" },
            UNIT("p_nuclear", NJ_F64, "probability in a nucleus; none without model or fit"),
            UNIT("p_broad", NJ_F64, "probability at any place; none without model or fit"),
            { "candidate", NJ_U8, 1, -1, "1", 0, 1, 0.5, 0,
              "1: passes all cuts, and both probabilities are above 0.5; none without the model or a fit" },
            COUNT("n_before", "detections in the 100 days before those; packets do not reach so far"),
            COUNT("n_negative_before", "negative detections at any time before those"),
            { 0 } },
    .params =
        (const nj_param[]){
            { "model", NJ_STR, "", offsetof(conf, model), 0, 0, "1",
              "first part of the names of two model folders, which end in _nuclear and _broad; empty: no "
              "probabilities" },
            { "ebv", NJ_F64, "0", offsetof(conf, ebv), 0, 10, "mag",
              "reddening E(B-V) where the packet has none (mwebv)" },
            { "min_points", NJ_I64, "5", offsetof(conf, min_points), 1, 1000, "1", "fewest detections" },
            { "starts", NJ_I64, "7", offsetof(conf, starts), 1, NJ_RAINBOW_STARTS, "1",
              "most starts; it ends when 2 (3 above the noise) agree" },
            { "all", NJ_I64, "0", offsetof(conf, all), 0, 1, "1",
              "1: fit also what fails the cuts before the fit" },
            { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = FORESTS * sizeof(nj_forest_rows),
    .rows_hint = 16,
    .open = open_forests,
    .thread_open = thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = thread_close,
    .close = close_forests
};
