/* scored.c - modules that score a light curve by a trained model differ in their numbers alone: the cuts, the
 * loop over rows and the calls of the model stand here. */
#include "nightjar/scored.h"

#include <string.h>

#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/list.h"

/* Behind it in the block: answers, numbers, rows (NJ_SCORED_BLOCK). */
typedef struct rows {
    nj_model_thread *thread;
    uint32_t n; /* alerts collected */
} rows;
_Static_assert(sizeof(rows) <= 16, "NJ_SCORED_BLOCK leaves 16 bytes");

static double *out_of(rows *r)
{
    return (double *)((char *)r + 16);
}
static float *numbers_of(const nj_scored_kind *k, rows *r)
{
    return (float *)(out_of(r) + (size_t)k->alerts * k->vectors * k->width);
}
static uint32_t *row_of(const nj_scored_kind *k, rows *r)
{
    return (uint32_t *)(numbers_of(k, r) + (size_t)k->alerts * k->vectors * k->n_features);
}

/* --- opening --- */

int nj_scored_open(const nj_host *host, const nj_scored_kind *kind, const char *folder, const char *engine,
                   const char *cuts, size_t size, void **self)
{
    nj_scored *s = host->alloc(host->opaque, size);
    if (!s) return NJ_ENOMEM;
    memset(s, 0, size);
    s->kind = kind;
    s->service = (const nj_model_service *)host->service(host->opaque, NJ_MODEL_SERVICE, 1);
    if (cuts &&
        nj_list_choose(host, kind->module, "cuts", cuts, (const char *const[]){ "off", "fink" }, 2, &s->cuts))
        return NJ_ECONF;
    const nj_model_options options = { .size = sizeof options, .engine = engine };
    int rc = nj_model_open(s->service, host, folder, engine ? &options : NULL, &s->model);
    if (rc != NJ_OK) return rc;
    const nj_model_info *info = s->service->info(s->model);
    if (info->n_inputs == 1 && info->input[0].row_elements == kind->n_features &&
        info->width == kind->width) {
        *self = s;
        return NJ_OK;
    }
    host->log(host->opaque, 0, "model %s: %u inputs of %u values and %u outputs, expected 1 of %u and %u",
              folder, info->n_inputs, info->n_inputs ? info->input[0].row_elements : 0, info->width,
              kind->n_features, kind->width);
    nj_scored_close(s);
    return NJ_ECONF;
}

void nj_scored_close(void *self)
{
    nj_scored *s = self;
    if (!s || !s->model) return;
    s->service->close(s->model);
    s->model = NULL;
}

int nj_scored_thread_open(const void *self, void *block)
{
    const nj_scored *s = self;
    rows *r = block;
    r->n = 0;
    r->thread = s->service->thread_open(s->model, s->kind->alerts * s->kind->vectors, 0);
    return r->thread ? NJ_OK : NJ_ENOMEM;
}

void nj_scored_thread_close(const void *self, void *block)
{
    const rows *r = block;
    if (r->thread) ((const nj_scored *)self)->service->thread_close(r->thread);
}

/* --- rows --- */

static nj_reason cut(const nj_scored_cuts *c, const nj_work *w, uint32_t row)
{
    const uint32_t n = nj_points(w, c->mag, row);
    const double *mag = nj_f64_series(w, c->mag, row);
    const int32_t ndethist = nj_i32_of(w, c->ndethist, row);
    const double start = c->first_jd == NJ_SCORED_NONE ? 0 : nj_f64_of(w, c->first_jd, row);
    uint32_t n_valid = 0;
    if (ndethist == NJ_NO_I32 || isnan(start) || !n) return NJ_NO_INPUT;
    if (ndethist > c->max_ndethist) return NJ_CUT;
    if (c->jd != NJ_SCORED_NONE && !(nj_f64_series(w, c->jd, row)[n - 1] - start < c->max_age_day))
        return NJ_CUT;
    if (c->otype != NJ_SCORED_NONE && !nj_may_be_extragalactic(nj_text_of(w, c->otype, row))) return NJ_CUT;
    for (uint32_t i = 0; i < n; i++) n_valid += !isnan(mag[i]);
    return n_valid >= c->min_points ? NJ_DONE : NJ_FEW_POINTS;
}

/* The model's answers for the alerts collected; empties the block. */
static int score(const nj_scored *s, rows *r, const nj_work *w, uint32_t reference)
{
    const nj_scored_kind *k = s->kind;
    const void *input = numbers_of(k, r);
    nj_model_call call = {
        .n_rows = r->n * k->vectors, .input = &input, .out = out_of(r), .reference = reference
    };
    int rc = r->n ? s->service->predict(s->model, r->thread, &call) : NJ_OK;
    const uint32_t *row = row_of(k, r);
    for (uint32_t i = 0; i < r->n && rc == NJ_OK; i++)
        w->reason[row[i]] = (uint8_t)k->answer(w, row[i], call.out + (size_t)i * k->vectors * k->width);
    r->n = 0;
    return rc;
}

static int all_rows(const nj_scored *s, rows *r, const nj_work *w, uint32_t reference)
{
    const nj_scored_kind *k = s->kind;
    const size_t stride = (size_t)k->vectors * k->n_features;
    float *x = numbers_of(k, r);
    int rc = NJ_OK;
    r->n = 0;
    for (uint32_t i = 0; i < w->n && rc == NJ_OK; i++) {
        const uint32_t row = w->row[i];
        int why = s->cuts ? (int)cut(&k->cuts, w, row) : NJ_DONE;
        if (why == NJ_DONE) why = k->features(s, w, row, x + r->n * stride);
        if (why < 0) return why;
        w->reason[row] = (uint8_t)why;
        if (why != NJ_DONE) continue;
        row_of(k, r)[r->n++] = row;
        if (r->n == k->alerts) rc = score(s, r, w, reference);
    }
    return rc == NJ_OK ? score(s, r, w, reference) : rc;
}

int nj_scored_process(const void *self, void *block, const nj_work *w)
{
    return all_rows(self, block, w, 0);
}

int nj_scored_process_ref(const void *self, void *block, const nj_work *w)
{
    return all_rows(self, block, w, 1);
}
