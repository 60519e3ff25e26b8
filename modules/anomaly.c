/* anomaly.c - anomaly score: active anomaly discovery forests (AAD) over the light-curve features of two
 * bands.
 *
 * Returned: score, the smaller of the two bands' sums over the trees (lower = more anomalous).
 * Notes: Fink feeds the features of the g band to the forest that was published as r,
 * and those of r to g; the defaults
 *   keep that, as its thresholds and its users' labels were made so.
 *   A band with an undefined feature is left out.
 * Reference: Pruzhinskaya et al. 2023, A&A 672, A111, doi:10.1051/0004-6361/202245172; Das et al.
 * 2017, arXiv:1708.09441. */
#include <string.h>
#include <strings.h>

#include "nightjar/column.h"
#include "nightjar/forest.h"

enum { SCORE, G, R };
enum { FEATURES = 25, BANDS = 2 };

typedef struct conf {
    const char *model_for_g, *model_for_r;
} conf;

typedef struct state {
    nj_forest forest[BANDS]; /* by the band of the features, not by the name of the model */
} state;

typedef struct thread {
    nj_forest_rows rows[BANDS];
} thread;

/* The forests' order. */
#define FEATURE(b, name, unit) { "features." b "_" name, NJ_F64, NJ_SCALAR, unit, 0 },
/* clang-format off */
#define BAND(b) \
    FEATURE(b, "amplitude", "mag") FEATURE(b, "anderson_darling_normal", "1") \
    FEATURE(b, "beyond_1_std", "1") FEATURE(b, "chi2", "1") FEATURE(b, "cusum", "1") \
    FEATURE(b, "kurtosis", "1") FEATURE(b, "linear_fit_slope", "mag/d") \
    FEATURE(b, "linear_fit_slope_sigma", "mag/d") FEATURE(b, "linear_trend_noise", "mag") \
    FEATURE(b, "linear_trend_sigma", "mag/d") FEATURE(b, "magnitude_percentage_ratio_20_10", "1") \
    FEATURE(b, "magnitude_percentage_ratio_40_5", "1") FEATURE(b, "maximum_slope", "mag/d") \
    FEATURE(b, "median", "mag") FEATURE(b, "median_absolute_deviation", "mag") \
    FEATURE(b, "median_buffer_range_percentage_10", "1") FEATURE(b, "skew", "1") \
    FEATURE(b, "stetson_k", "1") FEATURE(b, "percent_amplitude", "mag") \
    FEATURE(b, "linear_fit_reduced_chi2", "1") FEATURE(b, "inter_percentile_range_10", "mag") \
    FEATURE(b, "linear_trend", "mag/d") FEATURE(b, "standard_deviation", "mag") \
    FEATURE(b, "weighted_mean", "mag") FEATURE(b, "mean", "mag")
/* clang-format on */
static const nj_need needs[] = { BAND("g") BAND("r"){ 0 } };

/* Does the model want our features in our order? (stetson_K = stetson_k) */
static int check_features(const nj_forest *f, const nj_host *host)
{
    const nj_model_info *info = f->service->info(f->model);
    for (uint32_t k = 0; info->feature && k < FEATURES; k++)
        if (strcasecmp(info->feature[k], needs[k].path + strlen("features.g_"))) {
            host->log(host->opaque, 0, "model %s: feature %u is %s, expected %s", info->folder, k,
                      info->feature[k], needs[k].path + strlen("features.g_"));
            return NJ_ECONF;
        }
    return NJ_OK;
}

static void close_models(void *self)
{
    state *s = self;
    if (s) nj_forests_close(s->forest, BANDS);
}

static int open_models(const nj_host *host, const void *c, void **self)
{
    const conf *cf = c;
    const char *folder[BANDS] = { cf->model_for_g, cf->model_for_r };
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    for (int b = 0; b < BANDS; b++) {
        int rc = nj_forest_open(&s->forest[b], host, folder[b], FEATURES, 1);
        if (rc == NJ_OK) rc = check_features(&s->forest[b], host);
        if (rc != NJ_OK) {
            close_models(s);
            return rc;
        }
    }
    *self = s;
    return NJ_OK;
}

static int thread_open(const void *self, void *block)
{
    const state *s = self;
    thread *t = block;
    return nj_forests_thread_open(s->forest, t->rows, BANDS);
}

static void thread_close(const void *self, void *block)
{
    const state *s = self;
    thread *t = block;
    nj_forests_thread_close(s->forest, t->rows, BANDS);
}

static int evaluate(const state *s, nj_forest_rows *rows, const nj_work *w, int band, int reference)
{
    int rc = nj_forest_evaluate(&s->forest[band], rows, reference);
    for (uint32_t i = 0; rc == NJ_OK && i < rows->n; i++)
        nj_put_f64(w, band ? R : G, rows->row[i], rows->out[i]);
    rows->n = 0;
    return rc;
}

/* Adds the row if none of its features is missing. */
static int add_band(const state *s, thread *t, const nj_work *w, int band, uint32_t row, int reference)
{
    float x[FEATURES];
    for (uint32_t k = 0; k < FEATURES; k++) {
        x[k] = (float)nj_f64_of(w, (uint32_t)band * FEATURES + k, row);
        if (isnan(x[k])) return NJ_OK;
    }
    memcpy(nj_forest_add(&s->forest[band], &t->rows[band], row), x, sizeof x);
    return t->rows[band].n == NJ_FOREST_ROWS ? evaluate(s, &t->rows[band], w, band, reference) : NJ_OK;
}

static int all(const state *s, thread *t, const nj_work *w, int reference)
{
    for (int band = 0; band < BANDS; band++) {
        int rc = NJ_OK;
        t->rows[band].n = 0;
        for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) rc = add_band(s, t, w, band, w->row[k], reference);
        if (rc == NJ_OK) rc = evaluate(s, &t->rows[band], w, band, reference);
        if (rc != NJ_OK) return rc;
    }
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        /* of one band when the other has none */
        double score = fmin(((double *)w->out[G])[row], ((double *)w->out[R])[row]);
        w->reason[row] = isnan(score) ? NJ_NO_INPUT : NJ_DONE;
        if (!isnan(score)) nj_put_f64(w, SCORE, row, score);
    }
    return NJ_OK;
}

static int process(const void *self, void *block, const nj_work *w)
{
    return all(self, block, w, 0);
}

static int process_ref(const void *self, void *block, const nj_work *w)
{
    return all(self, block, w, 1);
}

NJ_MODULE(anomaly) = {
    NJ_HEADER,
    .name = "anomaly",
    .version = "1.0",
    .summary = "anomaly score of the light curve: lower is more unusual",
    .paper = "doi:10.1051/0004-6361/202245172",
    .needs = needs,
    .gives = (const nj_give[]){ { "score", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
                                  "the lower of the two bands; none when both lack a feature" },
                                { "g", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
                                  "score of the g-band features; none when one of them is undefined" },
                                { "r", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, 0,
                                  "score of the r-band features; none when one of them is undefined" },
                                { 0 } },
    .params = (const nj_param[]){ { "model_for_g", NJ_STR, "anomaly_r", offsetof(conf, model_for_g), 0, 0,
                                    "1", "folder of the forest that reads the g-band features" },
                                  { "model_for_r", NJ_STR, "anomaly_g", offsetof(conf, model_for_r), 0, 0,
                                    "1", "folder of the forest that reads the r-band features" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(thread),
    .rows_hint = 4 * NJ_FOREST_ROWS, /* not every row has all features */
    .open = open_models,
    .thread_open = thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = thread_close,
    .close = close_models
};
