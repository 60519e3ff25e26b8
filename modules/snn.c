/* snn.c - SuperNNova: a recurrent network classifies the light curve; one instance per trained model
 * (snn_snia_vs_nonia, ...).
 *
 * Method: points of one night are grouped into steps of fluxes, errors, time since the step before and the
 *   set of bands; the network reads the steps in both directions. Fluxes are SNANA's FLUXCAL, from magnitudes
 *   (ZTF: unsigned, as Fink) or from fluxes in nJy (Rubin). The manifest says which inputs there are, and how
 *   they are scaled.
 * Notes: models with norm cosmo_quantile divide fluxes by a quantile of their own instead of taking
 *   logarithms, and may want the host's redshift and the Galaxy's reddening (host_z and mwebv, which ELAsTiCC
 *   has). A single band of the model must be there. With cuts = fink: two valid points, at most 90 days since
 *   the first detection, no known asteroid, and a SIMBAD class that can be extragalactic or none.
 * Reference: Moeller & de Boissiere 2020, MNRAS 491, 4277, doi:10.1093/mnras/stz3312. */
#include <stdio.h>
#include <string.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/list.h"
#include "nightjar/model.h"

enum { JD, BAND, VALUE, ERROR, START, ROID, OTYPE, REDSHIFT };
enum { SCORE };
enum { MAX_FEATURES = 128, BANDS = 6, ROWS = 16, OBJECT_NUMBERS = 3 };
static const double step_days = 0.33; /* points within this of a step's first point belong to it */
static const char band_letter[] = "ugrizy";

typedef struct conf {
    const char *model, *cuts, *input, *y_band, *engine;
    int32_t max_steps;
    double max_age_day;
} conf;

typedef enum { FLUX, FLUX_ERROR, DELTA_TIME, BAND_SET, OBJECT } kind;

/* Numbers of the object, the same in every step: needs REDSHIFT, ... in this order. */
static const char *const object_name[OBJECT_NUMBERS] = { "HOSTGAL_SPECZ", "HOSTGAL_SPECZ_ERR", "MWEBV" };

typedef struct feature {
    kind kind;
    uint32_t band;         /* FLUX, FLUX_ERROR: index into band_letter; BANDS = none of them */
    uint32_t set;          /* BAND_SET: bits of the bands */
    uint32_t object;       /* OBJECT: index into object_name */
    double min, mean, std; /* of the logarithmic scaling */
    float absent;          /* what stands for 0 */
} feature;

typedef struct state {
    const conf *conf;
    const nj_model_service *service;
    nj_model *model;
    feature feature[MAX_FEATURES];
    uint32_t n_features, width, n_object; /* n_object: numbers of the object */
    uint32_t model_bands;                 /* bits of the bands that the model reads */
    int fink_cuts, from_flux, has_y;
    int by_quantile; /* norm cosmo_quantile: fluxes over a quantile of their own, not by logarithms */
} state;

typedef struct thread {
    nj_model_thread *model;
} thread;

/* One row's steps, ready for the model. */
typedef struct sequence {
    uint32_t row, n_steps;
    float *step; /* [n_steps][n_features] */
} sequence;

/* --- opening --- */

static double scaled(const feature *f, double v)
{
    v = v > f->min ? v : f->min;
    return (log(v - f->min + 1e-5) - f->mean) / f->std;
}

/* A flux or its error: by logarithms, or clipped only until by_quantile(). */
static float first_scaling(const state *s, const feature *f, double v)
{
    return (float)(s->by_quantile ? v > f->min ? v : f->min : scaled(f, v));
}

static uint32_t band_of(const state *s, char letter)
{
    const char *p = strchr(band_letter, letter == 'Y' && s->has_y ? 'y' : letter);
    return letter && p ? (uint32_t)(p - band_letter) : BANDS;
}

static int read_scaling(const state *s, const char *name, feature *f)
{
    char path[160];
    double *value[] = { &f->min, &f->mean, &f->std };
    static const char *const key[] = { "min", "mean", "std" };
    for (int k = 0; k < 3; k++) {
        snprintf(path, sizeof path, "preprocessing.constants.%s.%s", name, key[k]);
        if (s->service->number(s->model, path, value[k])) return -1;
    }
    f->absent = first_scaling(s, f, 0);
    return f->std > 0 ? 0 : -1;
}

/* FLUXCAL_g, FLUXCALERR_g, delta_time, or a set of bands: g, gr, r. */
static int read_feature(state *s, const char *name, feature *f)
{
    if (!strncmp(name, "FLUXCAL_", 8) && strlen(name) == 9)
        *f = (feature){ .kind = FLUX, .band = band_of(s, name[8]) };
    else if (!strncmp(name, "FLUXCALERR_", 11) && strlen(name) == 12)
        *f = (feature){ .kind = FLUX_ERROR, .band = band_of(s, name[11]) };
    else if (!strcmp(name, "delta_time"))
        *f = (feature){ .kind = DELTA_TIME };
    else {
        for (uint32_t k = 0; k < OBJECT_NUMBERS; k++)
            if (!strcmp(name, object_name[k])) {
                *f = (feature){ .kind = OBJECT, .object = k };
                s->n_object++;
                return 0;
            }
        *f = (feature){ .kind = BAND_SET };
        for (const char *p = name; *p; p++) {
            if (!strchr("ugrizyY", *p)) return -1;
            f->set |= 1u << band_of(s, *p); /* a Y that is not read sets bit BANDS: no step has that set */
        }
        return 0;
    }
    if (f->kind == FLUX && f->band < BANDS) s->model_bands |= 1u << f->band;
    return read_scaling(s, name, f);
}

static int read_features(state *s, const nj_host *host)
{
    const nj_model_info *info = s->service->info(s->model);
    const char *norm = s->service->text(s->model, "preprocessing.norm");
    s->n_features = info->n_features;
    s->width = info->width;
    s->by_quantile = norm && !strcmp(norm, "cosmo_quantile");
    if (!info->feature || s->n_features > MAX_FEATURES || info->n_inputs != 2 || !info->input[0].has_steps ||
        info->input[1].type != NJ_I32 || (norm && strcmp(norm, "global") && !s->by_quantile)) {
        host->log(host->opaque, 1,
                  "model %s: not a SuperNNova model with inputs x, lengths and norm global or cosmo_quantile",
                  info->folder);
        return -1;
    }
    for (uint32_t k = 0; k < s->n_features; k++)
        if (read_feature(s, info->feature[k], &s->feature[k])) {
            host->log(host->opaque, 1, "model %s: input %s is not known, or its scaling is missing",
                      info->folder, info->feature[k]);
            return -1;
        }
    if (s->n_object && !s->from_flux) {
        host->log(host->opaque, 1, "model %s: wants numbers of the object, which only input = flux has",
                  info->folder);
        return -1;
    }
    return 0;
}

/* clang-format off */
#define NEEDS(value, unit) \
    { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 }, { "lc.band", NJ_U8, NJ_SERIES, "1", 0 }, \
    { "lc." value, NJ_F64, NJ_SERIES, unit, 0 }, { "lc." value "_err", NJ_F64, NJ_SERIES, unit, 0 }, \
    { "first_jd", NJ_F64, NJ_SCALAR, "d", NJ_NEED_OPTIONAL }, \
    { "roid.roid", NJ_I32, NJ_SCALAR, "1", NJ_NEED_OPTIONAL }, \
    { "simbad.otype", NJ_STR, NJ_SCALAR, "1", NJ_NEED_OPTIONAL }
/* clang-format on */
static const nj_need ztf_needs[] = { NEEDS("mag", "mag"), { 0 } };
static const nj_need flux_needs[] = { NEEDS("flux", "nJy"),
                                      { "host_z", NJ_F64, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                      { "host_z_err", NJ_F64, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                      { "mwebv", NJ_F64, NJ_SCALAR, "mag", NJ_NEED_OPTIONAL },
                                      { 0 } };
static const nj_give gives[] = {
    { "score", NJ_F32, 1, -1, "1", 0, 1, 0.5, 0,
      "probability of the model's first class; none if cut or without points in its bands" },
    { 0 }
};

static int declare(const nj_host *host, const void *c, nj_tables *tables)
{
    const conf *cf = c;
    uint32_t which;
    if (nj_list_choose(host, "snn", "cuts", cf->cuts, (const char *const[]){ "fink", "off" }, 2, &which) ||
        nj_list_choose(host, "snn", "input", cf->input, (const char *const[]){ "mag", "flux" }, 2, &which) ||
        nj_list_choose(host, "snn", "y_band", cf->y_band, (const char *const[]){ "fink", "read" }, 2, &which))
        return NJ_ECONF;
    *tables = (nj_tables){ strcmp(cf->input, "flux") ? ztf_needs : flux_needs, gives };
    return NJ_OK;
}

static int open_model(const nj_host *host, const void *c, void **self)
{
    const conf *cf = c;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    *s = (state){ .conf = cf,
                  .service = host->service(host->opaque, NJ_MODEL_SERVICE, 1),
                  .fink_cuts = !strcmp(cf->cuts, "fink"),
                  .from_flux = !strcmp(cf->input, "flux"),
                  .has_y = !strcmp(cf->y_band, "read") };
    int rc = nj_model_open(s->service, host, cf->model,
                           &(nj_model_options){ .size = sizeof(nj_model_options), .engine = cf->engine },
                           &s->model);
    if (rc != NJ_OK) return rc;
    if (read_features(s, host)) {
        s->service->close(s->model);
        return NJ_ECONF;
    }
    *self = s;
    return NJ_OK;
}

static void close_model(void *self)
{
    state *s = self;
    if (s) s->service->close(s->model);
}

static int thread_open(const void *self, void *block)
{
    const state *s = self;
    thread *t = block;
    t->model = s->service->thread_open(s->model, ROWS, (uint32_t)s->conf->max_steps);
    return t->model ? NJ_OK : NJ_ENOMEM;
}

static void thread_close(const void *self, void *block)
{
    ((const state *)self)->service->thread_close(((thread *)block)->model);
}

/* --- steps --- */

/* A night's worth of points, one per band. */
typedef struct night {
    double start;
    uint32_t bands;
    float flux[BANDS], error[BANDS];
} night;

static void write_step(const state *s, const night *n, float delta, float *out)
{
    for (uint32_t k = 0; k < s->n_features; k++) {
        const feature *f = &s->feature[k];
        int here = f->band < BANDS && n->bands & 1u << f->band;
        switch (f->kind) {
        case FLUX: out[k] = here ? first_scaling(s, f, n->flux[f->band]) : f->absent; break;
        case FLUX_ERROR: out[k] = here ? first_scaling(s, f, n->error[f->band]) : f->absent; break;
        case OBJECT: out[k] = 0; break; /* write_object() */
        case DELTA_TIME: out[k] = (float)scaled(f, delta); break;
        default: out[k] = f->set == (n->bands & s->model_bands) && n->bands & s->model_bands; break;
        }
    }
}

static void add_point(night *n, uint32_t band, double flux, double error)
{
    if (band >= BANDS || (n->bands & 1u << band && !(error < n->error[band]))) return;
    n->bands |= 1u << band;
    n->flux[band] = (float)flux;
    n->error[band] = (float)error;
}

/* Flux and error of a point in FLUXCAL. */
static void fluxcal(const state *s, double value, double error, double *flux, double *sigma)
{
    *flux = s->from_flux ? value * NJ_FLUXCAL_PER_NJY : nj_fluxcal_of_mag(value);
    *sigma = s->from_flux ? error * NJ_FLUXCAL_PER_NJY : nj_fluxcal_err_of_mag(value, error);
}

/* The valid points of a row; arrays have room for all. */
typedef struct points {
    uint32_t n;
    uint32_t *order;           /* [n] indices in the packet, in order of time */
    double *flux, *sigma;      /* by index in the packet, FLUXCAL */
    uint32_t *place, *by_time; /* work */
    double *key;
    int has_band; /* one is of a band that the model reads */
} points;

/* Steps of a row into out [valid points][n_features]; returns how many. */
static uint32_t make_steps(const state *s, const nj_work *w, uint32_t row, const points *v, float *out)
{
    const double *jd = nj_f64_series(w, JD, row);
    const uint8_t *band = nj_u8_series(w, BAND, row);
    night now = { 0 };
    uint32_t n = 0;
    double before = 0, last = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        uint32_t p = v->order[i];
        /* a point of exactly the time before opens a step, but steps of one time are one */
        if (i == 0 || (jd[p] == last && jd[p] != now.start) || jd[p] - now.start > step_days) {
            if (i > 0) {
                write_step(s, &now, n ? (float)(now.start - before) : 0, out + (size_t)n * s->n_features);
                before = now.start;
                n++;
            }
            now = (night){ .start = jd[p] };
        }
        add_point(&now, band[p], v->flux[p], v->sigma[p]);
        last = jd[p];
    }
    write_step(s, &now, n ? (float)(now.start - before) : 0, out + (size_t)n * s->n_features);
    return n + 1;
}

static int is_flux(const feature *f)
{
    return f->kind == FLUX || f->kind == FLUX_ERROR;
}

/* All fluxes and errors, those of absent bands too, over their 0.99 quantile (linear between neighbours).
 * 1 done, 0 the quantile is not above 0, -1 no memory. */
static int by_quantile(const state *s, const nj_work *w, uint32_t n_steps, float *step)
{
    double *v = w->scratch(w, sizeof *v * n_steps * s->n_features);
    uint32_t n = 0;
    if (!v) return -1;
    for (uint32_t i = 0; i < n_steps * s->n_features; i++)
        if (is_flux(&s->feature[i % s->n_features])) v[n++] = step[i];
    if (!n) return 1;
    nj_sort_f64(v, n);
    const double quantile = nj_quantile_sorted(v, n, 0.99);
    if (!(quantile > 0)) return 0;
    for (uint32_t i = 0; i < n_steps * s->n_features; i++)
        if (is_flux(&s->feature[i % s->n_features])) step[i] = (float)(step[i] / quantile);
    return 1;
}

/* The object's numbers into every step; 0 = one is missing. */
static int write_object(const state *s, const nj_work *w, uint32_t row, uint32_t n_steps, float *step)
{
    for (uint32_t k = 0; s->n_object && k < s->n_features; k++) {
        if (s->feature[k].kind != OBJECT) continue;
        float v = (float)nj_f64_of(w, REDSHIFT + s->feature[k].object, row);
        if (!isfinite(v)) return 0;
        for (uint32_t i = 0; i < n_steps; i++) step[(size_t)i * s->n_features + k] = v;
    }
    return 1;
}

/* --- rows --- */

static int is_cut(const state *s, const nj_work *w, uint32_t row, uint32_t n_points, uint32_t n_valid)
{
    const double *jd = nj_f64_series(w, JD, row);
    if (!s->fink_cuts) return 0;
    return n_valid < 2 || !(jd[n_points - 1] - nj_f64_of(w, START, row) <= s->conf->max_age_day) ||
           nj_i32_of(w, ROID, row) == 3 || !nj_may_be_extragalactic(nj_text_of(w, OTYPE, row));
}

static int open_points(const nj_work *w, uint32_t n_points, points *v)
{
    uint32_t *index = w->scratch(w, 3 * sizeof *index * n_points);
    double *number = w->scratch(w, 3 * sizeof *number * n_points);
    if (!index || !number) return -1;
    *v = (points){ .order = index,
                   .place = index + n_points,
                   .by_time = index + 2 * (size_t)n_points,
                   .key = number,
                   .flux = number + n_points,
                   .sigma = number + 2 * (size_t)n_points };
    return 0;
}

static void take_points(const state *s, const nj_work *w, uint32_t row, uint32_t n_points, points *v)
{
    const double *jd = nj_f64_series(w, JD, row), *value = nj_f64_series(w, VALUE, row),
                 *error = nj_f64_series(w, ERROR, row);
    const uint8_t *band = nj_u8_series(w, BAND, row);
    for (uint32_t i = 0; i < n_points; i++) {
        if (isnan(value[i]) || isnan(error[i]) || !isfinite(jd[i])) continue;
        fluxcal(s, value[i], error[i], &v->flux[i], &v->sigma[i]);
        if (!isfinite((float)v->flux[i]) || !isfinite((float)v->sigma[i])) continue;
        v->has_band |= band[i] < BANDS && s->model_bands & 1u << band[i];
        v->place[v->n] = i;
        v->key[v->n++] = jd[i];
    }
    nj_order_f64(v->key, v->n, v->by_time);
    for (uint32_t i = 0; i < v->n; i++) v->order[i] = v->place[v->by_time[i]];
}

/* 1 = q is ready; 0 = the row has its reason; -1 = no memory. */
static int prepare(const state *s, const nj_work *w, uint32_t row, sequence *q)
{
    uint32_t n_points = nj_points(w, VALUE, row), n_valid = 0;
    const double *value = nj_f64_series(w, VALUE, row);
    w->reason[row] = NJ_FEW_POINTS;
    for (uint32_t i = 0; i < n_points; i++) n_valid += !isnan(value[i]);
    if (n_points == 0) return 0;
    w->reason[row] = NJ_CUT;
    if (is_cut(s, w, row, n_points, n_valid)) return 0;
    points v;
    if (open_points(w, n_points, &v)) return -1;
    take_points(s, w, row, n_points, &v);
    w->reason[row] = NJ_FEW_POINTS;
    if (!v.n || !v.has_band) return 0;
    q->step = w->scratch(w, sizeof(float) * s->n_features * v.n);
    if (!q->step) return -1;
    q->row = row;
    q->n_steps = make_steps(s, w, row, &v, q->step);
    w->reason[row] = NJ_RANGE;
    int fits = s->by_quantile ? by_quantile(s, w, q->n_steps, q->step) : 1;
    if (fits < 1) return fits;
    w->reason[row] = NJ_NO_INPUT;
    if (!write_object(s, w, row, q->n_steps, q->step)) return 0;
    w->reason[row] = NJ_RANGE;
    return q->n_steps <= (uint32_t)s->conf->max_steps;
}

/* By length, so that little is padded; the C library's qsort may allocate. */
static void sort_by_length(sequence *q, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        sequence one = q[i];
        uint32_t k = i;
        for (; k > 0 && q[k - 1].n_steps > one.n_steps; k--) q[k] = q[k - 1];
        q[k] = one;
    }
}

/* Scores n <= ROWS sequences; the longest is the last. */
static int score(const state *s, const thread *t, const nj_work *w, const sequence *q, uint32_t n)
{
    uint32_t steps = q[n - 1].n_steps;
    float *x = w->scratch(w, sizeof *x * n * steps * s->n_features);
    double *out = w->scratch(w, sizeof *out * n * s->width);
    int32_t length[ROWS];
    if (!x || !out) return NJ_ENOMEM;
    memset(x, 0, sizeof *x * n * steps * s->n_features);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(x + (size_t)i * steps * s->n_features, q[i].step, sizeof *x * q[i].n_steps * s->n_features);
        length[i] = (int32_t)q[i].n_steps;
    }
    int rc = s->service->predict(
        s->model, t->model,
        &(nj_model_call){
            .n_rows = n, .n_steps = steps, .input = (const void *[]){ x, length }, .out = out });
    if (rc != NJ_OK) return rc;
    for (uint32_t i = 0; i < n; i++) {
        double p = out[(size_t)i * s->width];
        w->reason[q[i].row] = isnan(p) ? NJ_RANGE : NJ_DONE;
        ((float *)w->out[SCORE])[q[i].row] = (float)p;
    }
    return NJ_OK;
}

static int process(const void *self, void *block, const nj_work *w)
{
    const state *s = self;
    sequence *q = w->scratch(w, sizeof *q * (w->n + 1));
    uint32_t n = 0;
    if (!q) return NJ_ENOMEM;
    for (uint32_t k = 0; k < w->n; k++) {
        int rc = prepare(s, w, w->row[k], &q[n]);
        if (rc < 0) return NJ_ENOMEM;
        n += (uint32_t)rc;
    }
    sort_by_length(q, n);
    for (uint32_t at = 0; at < n; at += ROWS) {
        int rc = score(s, block, w, q + at, n - at < ROWS ? n - at : ROWS);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

NJ_MODULE(snn) = {
    NJ_HEADER,
    .name = "snn",
    .version = "1.0",
    .summary = "SuperNNova: a recurrent network classifies the light curve",
    .paper = "doi:10.1093/mnras/stz3312",
    .rows_hint = 64,
    .needs = ztf_needs,
    .gives = gives,
    .params =
        (const nj_param[]){
            { "model", NJ_STR, "", offsetof(conf, model), 0, 0, "1",
              "the model's folder, along the data path" },
            { "cuts", NJ_STR, "fink", offsetof(conf, cuts), 0, 0, "1",
              "fink: only young, possibly extragalactic alerts; off: every light curve with a point" },
            { "input", NJ_STR, "mag", offsetof(conf, input), 0, 0, "1",
              "mag: unsigned magnitudes (ZTF); flux: signed fluxes (Rubin)" },
            { "y_band", NJ_STR, "fink", offsetof(conf, y_band), 0, 0, "1",
              "fink: y points carry no flux, as Rubin alerts say y and its models Y; read: y is the model's "
              "Y" },
            { "engine", NJ_STR, "auto", offsetof(conf, engine), 0, 0, "1",
              "auto, builtin or ort (ONNX Runtime)" },
            { "max_steps", NJ_I32, "512", offsetof(conf, max_steps), 1, 65536, "1",
              "longer light curves get no answer (range)" },
            { "max_age_day", NJ_F64, "90", offsetof(conf, max_age_day), 0, INFINITY, "d",
              "cuts = fink: days since the first detection" },
            { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(thread),
    .declare = declare,
    .open = open_model,
    .thread_open = thread_open,
    .process = process,
    .thread_close = thread_close,
    .close = close_model
};
