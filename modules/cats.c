/* cats.c - CATS: a network that separates five broad classes by a six-band light curve (Rubin, ELAsTiCC).
 *
 * Given: time, flux, error and band of the points in packet order (history, then the current one).
 * Returned: the most probable class (11 like a supernova, 12 fast, 13 long, 21 periodic,
 * 22 not periodic) and its probability.
 * Notes: time counts from the first point; flux and error are scaled to [0, 1] over all points and bands;
 * the last 395
 *   points are padded with -999 (band 0). The padding goes through the network, so it is always 395 steps.
 *   Fewer than two points: no answer; fluxes (or errors) that are all equal:
 *   no answer, as they cannot be scaled.
 * Reference: Fraga et al. 2024, A&A 692, A208, doi:10.1051/0004-6361/202450370. */
#include "nightjar/column.h"
#include "nightjar/scored.h"

enum { JD, FLUX, FLUX_ERR, BAND };
enum { CLASS, SCORE };
enum { STEPS = 395, COLUMNS = 4, CLASSES = 5, ALERTS = 4, BANDS = 6 };
static const int32_t code[CLASSES] = { 11, 12, 13, 21, 22 };
static const float padding = -999;

typedef struct conf {
    const char *model, *engine;
} conf;

typedef struct range {
    double low, high;
} range;

static void widen(range *r, double v)
{
    r->low = v < r->low ? v : r->low;
    r->high = v > r->high ? v : r->high;
}

static int is_point(const double *jd, const double *flux, const double *err, uint32_t i)
{
    return isfinite(jd[i]) && isfinite(flux[i]) && isfinite(err[i]);
}

/* The row's light curve as the network reads it, into x [STEPS][COLUMNS]. */
static int fill(const void *self, const nj_work *w, uint32_t row, float *x)
{
    (void)self;
    const double *jd = nj_f64_series(w, JD, row), *flux = nj_f64_series(w, FLUX, row),
                 *err = nj_f64_series(w, FLUX_ERR, row);
    const uint8_t *band = nj_u8_series(w, BAND, row);
    uint32_t n = nj_points(w, FLUX, row), n_good = 0, at = 0;
    range f = { INFINITY, -INFINITY }, e = f;
    double start = NAN;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_point(jd, flux, err, i)) continue;
        if (!n_good++) start = jd[i];
        widen(&f, flux[i]);
        widen(&e, err[i]);
    }
    if (n_good < 2) return NJ_FEW_POINTS;
    if (!(f.high > f.low) || !(e.high > e.low)) return NJ_RANGE;
    uint32_t skip = n_good > STEPS ? n_good - STEPS : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_point(jd, flux, err, i)) continue;
        if (skip) {
            skip--;
            continue;
        }
        x[at++] = (float)(jd[i] - start);
        x[at++] = (float)((flux[i] - f.low) / (f.high - f.low));
        x[at++] = (float)((err[i] - e.low) / (e.high - e.low));
        x[at++] = band[i] < BANDS ? (float)(band[i] + 1) : 0;
    }
    while (at < STEPS * COLUMNS) {
        for (int k = 0; k < COLUMNS - 1; k++) x[at++] = padding;
        x[at++] = 0;
    }
    return NJ_DONE;
}

static nj_reason answer(const nj_work *w, uint32_t row, const double *p)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < CLASSES; k++) best = p[k] > p[best] ? k : best;
    if (isnan(p[best])) return NJ_RANGE;
    nj_put_i32(w, CLASS, row, code[best]);
    ((float *)w->out[SCORE])[row] = (float)p[best];
    return NJ_DONE;
}

static const nj_scored_kind kind = { .module = "cats",
                                     .n_features = STEPS * COLUMNS,
                                     .width = CLASSES,
                                     .vectors = 1,
                                     .alerts = ALERTS,
                                     .features = fill,
                                     .answer = answer };

static int open_model(const nj_host *host, const void *settings, void **self)
{
    const conf *c = settings;
    return nj_scored_open(host, &kind, c->model, c->engine, NULL, sizeof(nj_scored), self);
}

NJ_MODULE(cats) = {
    NJ_HEADER,
    .name = "cats",
    .version = "1.0",
    .summary =
        "five broad classes (supernova-like, fast, long, periodic, not periodic) from a six-band light curve",
    .paper = "doi:10.1051/0004-6361/202450370",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.band", NJ_U8, NJ_SERIES, "1", 0 },
                                { 0 } },
    .gives =
        (const nj_give[]){
            { "class", NJ_I32, 1, -1, "1", 11, 22, NAN, 0,
              "11 like a supernova, 12 fast, 13 long, 21 periodic, 22 not periodic; none below 2 points" },
            { "score", NJ_F32, 1, -1, "1", 0, 1, NAN, 0, "probability of that class" },
            { 0 } },
    .params = (const nj_param[]){ { "model", NJ_STR, "cats", offsetof(conf, model), 0, 0, "1",
                                    "the model's folder, along the data path" },
                                  { "engine", NJ_STR, "auto", offsetof(conf, engine), 0, 0, "1",
                                    "auto, builtin or ort (ONNX Runtime)" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .rows_hint = ALERTS,
    .open = open_model,
    NJ_SCORED_CALLS(ALERTS, 1, STEPS *COLUMNS, CLASSES)
};
