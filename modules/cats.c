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
#include "nightjar/model.h"

enum { JD, FLUX, FLUX_ERR, BAND };
enum { CLASS, SCORE };
enum { STEPS = 395, COLUMNS = 4, CLASSES = 5, ROWS = 4, BANDS = 6 };
static const int32_t code[CLASSES] = { 11, 12, 13, 21, 22 };
static const float padding = -999;

typedef struct conf {
    const char *model, *engine;
} conf;

typedef struct state {
    const nj_model_service *service;
    nj_model *model;
} state;

typedef struct thread {
    nj_model_thread *model;
    uint32_t n;
    uint32_t row[ROWS];
    float x[ROWS * STEPS * COLUMNS];
    double out[ROWS * CLASSES];
} thread;

static int open_model(const nj_host *host, const void *c, void **self)
{
    const conf *cf = c;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    s->service = host->service(host->opaque, NJ_MODEL_SERVICE, 1);
    int rc = nj_model_open(s->service, host, cf->model,
                           &(nj_model_options){ .size = sizeof(nj_model_options), .engine = cf->engine },
                           &s->model);
    if (rc != NJ_OK) return rc;
    *self = s;
    const nj_model_info *info = s->service->info(s->model);
    if (info->n_inputs == 1 && info->input[0].rank == 3 && info->input[0].dim[1] == STEPS &&
        info->input[0].dim[2] == COLUMNS && info->width == CLASSES)
        return NJ_OK;
    host->log(host->opaque, 1, "model %s: not one of %d steps of %d numbers and %d classes", info->folder,
              STEPS, COLUMNS, CLASSES);
    return NJ_ECONF;
}

static void close_model(void *self)
{
    state *s = self;
    if (s && s->model) s->service->close(s->model);
}

static int thread_open(const void *self, void *block)
{
    const state *s = self;
    thread *t = block;
    t->n = 0;
    t->model = s->service->thread_open(s->model, ROWS, 0);
    return t->model ? NJ_OK : NJ_ENOMEM;
}

static void thread_close(const void *self, void *block)
{
    const thread *t = block;
    if (t->model) ((const state *)self)->service->thread_close(t->model);
}

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
static nj_reason fill(const nj_work *w, uint32_t row, float *x)
{
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

static int score(const state *s, thread *t, const nj_work *w, int reference)
{
    const void *input = t->x;
    nj_model_call call = { .n_rows = t->n, .input = &input, .out = t->out, .reference = (uint32_t)reference };
    int rc = t->n ? s->service->predict(s->model, t->model, &call) : NJ_OK;
    for (uint32_t i = 0; rc == NJ_OK && i < t->n; i++) {
        const double *p = t->out + i * CLASSES;
        uint32_t best = 0;
        for (uint32_t k = 1; k < CLASSES; k++) best = p[k] > p[best] ? k : best;
        w->reason[t->row[i]] = isnan(p[best]) ? NJ_RANGE : NJ_DONE;
        if (isnan(p[best])) continue;
        nj_put_i32(w, CLASS, t->row[i], code[best]);
        ((float *)w->out[SCORE])[t->row[i]] = (float)p[best];
    }
    t->n = 0;
    return rc;
}

static int all(const state *s, thread *t, const nj_work *w, int reference)
{
    int rc = NJ_OK;
    t->n = 0;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) {
        uint32_t row = w->row[k];
        w->reason[row] = (uint8_t)fill(w, row, t->x + (size_t)t->n * STEPS * COLUMNS);
        if (w->reason[row] == NJ_DONE) t->row[t->n++] = row;
        if (t->n == ROWS) rc = score(s, t, w, reference);
    }
    return rc == NJ_OK ? score(s, t, w, reference) : rc;
}

static int process(const void *self, void *block, const nj_work *w)
{
    return all(self, block, w, 0);
}

static int process_ref(const void *self, void *block, const nj_work *w)
{
    return all(self, block, w, 1);
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
    .thread_size = sizeof(thread),
    .rows_hint = ROWS,
    .open = open_model,
    .thread_open = thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = thread_close,
    .close = close_model
};
