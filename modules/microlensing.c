/* microlensing.c - classifies microlensing events: 47 statistics of the flux per band, and a forest of four
 * classes.
 *
 * Given: apparent magnitudes (difference plus reference) of g and r.
 * Cuts (cuts = fink): fewer than 100 detections in
 *   the survey's history, at least 20 in the packet.
 * Returned: the mean of P(ML) over the two bands when ML is the most probable class in both, else 0;
 * no answer when a
 *   band has fewer than 10 detections.
 * Notes: a detection without an apparent magnitude (no reference,
 * negative flux) spoils all statistics of its band, as
 *   upstream: modules/kit/num/flux_features.c.
 * Reference: Godines et al. 2019, Astronomy and Computing 28, 100298, doi:10.1016/j.ascom.2019.100298. */
#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/forest.h"
#include "nightjar/lc.h"

enum { MAG, MAG_ERR, BAND, REF_MAG, REF_MAG_ERR, POSITIVE, NDETHIST };
enum { SCORE };
enum { CONSTANT, CV, ML, VARIABLE, CLASSES };
enum { LEAST = 10 };

typedef struct conf {
    const char *model, *cuts;
} conf;

typedef struct state {
    nj_forest forest; /* first: the table's entries of forest.h look for it there */
    bool cuts;
} state;

static int open_model(const nj_host *host, const void *conf_, void **self)
{
    const conf *c = conf_;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    if (nj_forest_cuts(host, "microlensing", c->cuts, &s->cuts)) return NJ_ECONF;
    int rc = nj_forest_open(&s->forest, host, c->model, NJ_FLUX_FEATURES, CLASSES);
    if (rc == NJ_OK) *self = s;
    return rc;
}

static nj_reason cut(const nj_work *w, uint32_t row)
{
    uint32_t n = nj_points(w, MAG, row), n_valid = 0;
    const double *mag = nj_f64_series(w, MAG, row);
    int32_t ndethist = nj_i32_of(w, NDETHIST, row);
    if (ndethist == NJ_NO_I32 || !n) return NJ_NO_INPUT;
    if (ndethist >= 100) return NJ_CUT;
    for (uint32_t i = 0; i < n; i++) n_valid += !isnan(mag[i]);
    return n_valid >= 20 ? NJ_DONE : NJ_FEW_POINTS;
}

/* Apparent magnitudes and errors of the band's detections; returns how many there are. */
static uint32_t take_band(const nj_work *w, uint32_t row, int32_t fid, double *mag, double *err)
{
    uint32_t n = nj_points(w, MAG, row), k = 0;
    const double *m = nj_f64_series(w, MAG, row), *s = nj_f64_series(w, MAG_ERR, row);
    const double *ref = nj_f64_series(w, REF_MAG, row), *ref_err = nj_f64_series(w, REF_MAG_ERR, row);
    const uint8_t *positive = nj_u8_series(w, POSITIVE, row);
    const int32_t *of = nj_i32_series(w, BAND, row);
    for (uint32_t i = 0; i < n; i++) {
        if (of[i] != fid || isnan(m[i])) continue;
        nj_dc dc = ref && ref_err ? nj_dc_flux(m[i], s[i], ref[i], ref_err[i], positive[i] == 1)
                                  : (nj_dc){ NAN, NAN };
        mag[k] = nj_mag_of_flux(dc.flux);
        err[k++] = dc.sigma / dc.flux * 1.0857;
    }
    return k;
}

static bool is_lensed(const double *p)
{
    return p[ML] > p[CONSTANT] && p[ML] > p[CV] && p[ML] >= p[VARIABLE]; /* the first of equals is
                                                                          * the class */
}

/* Rows come in pairs, g and r of one alert. */
static int evaluate(const state *s, nj_forest_rows *rows, const nj_work *w, int reference)
{
    int rc = nj_forest_evaluate(&s->forest, rows, reference);
    for (uint32_t k = 0; k < rows->n && rc == NJ_OK; k += 2) {
        const double *g = rows->out + (size_t)CLASSES * k, *r = g + CLASSES;
        nj_put_f64(w, SCORE, rows->row[k], is_lensed(g) && is_lensed(r) ? 0.5 * (g[ML] + r[ML]) : 0);
        w->reason[rows->row[k]] = NJ_DONE;
    }
    rows->n = 0;
    return rc;
}

static void add_band(const state *s, nj_forest_rows *rows, uint32_t row, uint32_t n, const double *mag,
                     const double *err, double *work)
{
    double out[NJ_FLUX_FEATURES];
    nj_flux_features(n, mag, err, work, out);
    float *x = nj_forest_add(&s->forest, rows, row);
    for (int k = 0; k < NJ_FLUX_FEATURES; k++) x[k] = (float)out[k];
}

static int all(const state *s, nj_forest_rows *rows, const nj_work *w, int reference)
{
    int rc = NJ_OK;
    rows->n = 0;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) {
        uint32_t row = w->row[k], n = nj_points(w, MAG, row);
        nj_reason why = s->cuts ? cut(w, row) : NJ_DONE;
        w->reason[row] = (uint8_t)why;
        if (why != NJ_DONE) continue;
        double *mag = w->scratch(w, 9 * (size_t)(n + 1) * sizeof *mag);
        if (!mag) return NJ_ENOMEM;
        double *err = mag + n, *mag_r = err + n, *err_r = mag_r + n;
        uint32_t n_g = take_band(w, row, 1, mag, err), n_r = take_band(w, row, 2, mag_r, err_r);
        w->reason[row] = NJ_FEW_POINTS;
        if (n_g < LEAST || n_r < LEAST) continue;
        add_band(s, rows, row, n_g, mag, err, err_r + n);
        add_band(s, rows, row, n_r, mag_r, err_r, err_r + n);
        if (rows->n == NJ_FOREST_ROWS) rc = evaluate(s, rows, w, reference);
    }
    return rc == NJ_OK ? evaluate(s, rows, w, reference) : rc;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 0);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 1);
}

#define LC(name, flags)                                                                                      \
    {                                                                                                        \
        "lc." name, NJ_F64, NJ_SERIES, "mag", flags                                                          \
    }
NJ_MODULE(microlensing) = {
    NJ_HEADER,
    .name = "microlensing",
    .version = "1.0",
    .summary = "probability of microlensing, from statistics of both bands",
    .paper = "doi:10.1016/j.ascom.2019.100298",
    .needs = (const nj_need[]){ LC("mag", 0),
                                LC("mag_err", 0),
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                LC("ref_mag", NJ_NEED_OPTIONAL),
                                LC("ref_mag_err", NJ_NEED_OPTIONAL),
                                { "lc.positive", NJ_U8, NJ_SERIES, "1", 0 },
                                { "ndethist", NJ_I32, NJ_SCALAR, "1", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "score", NJ_F64, 1, -1, "1", 0, 1, 0, 0,
                                  "mean P(ML) of g and r, 0 unless ML wins in both; none when cut or with "
                                  "fewer than 10 detections in a band" },
                                { 0 } },
    .params = (const nj_param[]){ { "model", NJ_STR, "microlensing", offsetof(conf, model), 0, 0, "1",
                                    "folder of the forest" },
                                  { "cuts", NJ_STR, "fink", offsetof(conf, cuts), 0, 0, "1",
                                    "fink: the broker's cuts before the statistics; off: none" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(nj_forest_rows),
    .rows_hint = NJ_FOREST_ROWS,
    .open = open_model,
    .thread_open = nj_forest_self_thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = nj_forest_self_thread_close,
    .close = nj_forest_self_close
};
