/* model_ort.c - the built-in engines against ONNX Runtime on the same files: forests bit for bit on rows
 * with NaN, infinities and exact ties; networks within rounding. Skipped without the library (make
 * onnxruntime, or ORT_DYLIB_PATH). */
#include "model_host.h"

#include <pthread.h>

static const char *const forests[] = { "toy_forest", "kilonova",  "microlensing", "early_snia",
                                       "anomaly_g",  "anomaly_r", "slsn_ztf" };
enum { N_FORESTS = 7, ROWS = 2048 };

static const char *folder_of(const char *name)
{
    return strncmp(name, "toy_", 4) ? real_models() : "data/models";
}

static nj_model *open_engine(model_host *h, const char *name, const char *engine, const char *sum)
{
    model_host_open(h, folder_of(name));
    nj_model *m = model_service()->open(&h->host, name, &(nj_model_options){ .engine = engine, .sum = sum });
    if (!m && !strstr(h->log, "ONNX Runtime is not here")) fail_msg("%s", h->log);
    return m;
}

static int library_is_here(void)
{
    model_host h;
    nj_model *m = open_engine(&h, "toy_forest", "ort", NULL);
    int here = m != NULL;
    model_service()->close(m);
    model_host_close(&h);
    return here;
}

static uint64_t seed = 20261121;

static double uniform(void)
{
    return model_uniform(&seed);
}

/* Numbers from the golden table, so that many are thresholds exactly, and NaN and infinities among them. */
static float *random_rows(const char *name, uint32_t n_in, int odd)
{
    char path[2048];
    size_t size;
    snprintf(path, sizeof path, "%s/%s/golden.csv", folder_of(name), name);
    char *text = nj_file_read(path, SIZE_MAX, &size), *line = strchr(text, '\n') + 1;
    float *golden = calloc(64 * n_in, sizeof(float)), *x = calloc((size_t)ROWS * n_in, sizeof(float));
    uint32_t n_golden = 0;
    for (; *line && n_golden < 64; line = strchr(line, '\n') + 1, n_golden++) {
        char *p = line;
        int quoted = 0;
        for (int commas = 0; commas < 2; p++) {
            quoted ^= *p == '"';
            commas += *p == ',' && !quoted;
        }
        for (uint32_t k = 0; k < n_in; k++, p++) golden[n_golden * n_in + k] = strtof(p, &p);
    }
    for (size_t i = 0; i < (size_t)ROWS * n_in; i++) {
        double u = uniform();
        float g = golden[(size_t)(uniform() * n_golden) * n_in + i % n_in];
        x[i] = odd && u < 0.03   ? NAN
               : odd && u < 0.05 ? INFINITY
               : odd && u < 0.07 ? -INFINITY
               : u < 0.5         ? g
                                 : g * (float)(0.5 + uniform());
    }
    free(text);
    free(golden);
    return x;
}

static void forests_are_bit_equal(void **state)
{
    (void)state;
    if (!library_is_here()) skip();
    for (int i = 0; i < N_FORESTS; i++) {
        if (!folder_of(forests[i])) continue;
        model_host ha, hb;
        nj_model *own = open_engine(&ha, forests[i], "builtin", "float"),
                 *ort = open_engine(&hb, forests[i], "ort", NULL);
        const nj_model_info *info = model_service()->info(own);
        assert_string_equal(info->engine, "trees");
        assert_int_equal(strncmp(model_service()->info(ort)->engine, "ort ", 4), 0);
        nj_model_thread *ta = model_service()->thread_open(own, ROWS, 0),
                        *tb = model_service()->thread_open(ort, ROWS, 0);
        double *a = calloc((size_t)ROWS * info->width, 8), *b = calloc((size_t)ROWS * info->width, 8);
        float *x = random_rows(forests[i], info->input[0].row_elements, 1);
        assert_int_equal(
            model_service()->predict(
                own, ta, &(nj_model_call){ .n_rows = ROWS, .input = (const void *[]){ x }, .out = a }),
            NJ_OK);
        assert_int_equal(
            model_service()->predict(
                ort, tb, &(nj_model_call){ .n_rows = ROWS, .input = (const void *[]){ x }, .out = b }),
            NJ_OK);
        long unequal = 0;
        for (size_t k = 0; k < (size_t)ROWS * info->width; k++) unequal += memcmp(&a[k], &b[k], 8) != 0;
        print_message("# %-14s %d rows, %ld of %d values differ in a bit\n", forests[i], ROWS, unequal,
                      (int)(ROWS * info->width));
        assert_int_equal(unequal, 0);
        for (int k = 0; k < 3; k++) { /* and a single row */
            double one[8];
            const void *in = x + (size_t)(k * 700) * info->input[0].row_elements;
            assert_int_equal(
                model_service()->predict(own, ta, &(nj_model_call){ .n_rows = 1, .input = &in, .out = one }),
                NJ_OK);
            assert_memory_equal(one, a + (size_t)(k * 700) * info->width, info->width * 8);
        }
        free(x);
        free(a);
        free(b);
        model_service()->thread_close(ta);
        model_service()->thread_close(tb);
        model_service()->close(own);
        model_service()->close(ort);
        model_host_close(&ha);
        model_host_close(&hb);
    }
}

static const char *const networks[] = { "toy_braai", "toy_acai", "toy_snn",      "braai",
                                        "acai_h",    "acai_o",   "snn_sn_vs_all" };
enum { N_NETWORKS = 7, STEPS = 11, FEW = 13 };

typedef struct job {
    nj_model *model;
    void **in;
    double *out;
} job;

static void *run_job(void *p)
{
    job *j = p;
    const nj_model_info *info = model_service()->info(j->model);
    nj_model_thread *t = model_service()->thread_open(j->model, FEW, STEPS);
    nj_model_call call = { .n_rows = FEW,
                           .n_steps = info->input[0].has_steps ? STEPS : 0,
                           .input = (const void *const *)j->in,
                           .out = j->out };
    int rc = NJ_OK;
    for (int k = 0; k < 3 && rc == NJ_OK; k++) rc = model_service()->predict(j->model, t, &call);
    model_service()->thread_close(t);
    return rc == NJ_OK ? NULL : (void *)1;
}

/* Also: two threads on one session get what one gets, and a row alone what it gets among others. */
static void networks_agree(void **state)
{
    (void)state;
    if (!library_is_here()) skip();
    for (int i = 0; i < N_NETWORKS; i++) {
        if (!folder_of(networks[i])) continue;
        model_host ha, hb;
        nj_model *own = open_engine(&ha, networks[i], "builtin", NULL),
                 *ort = open_engine(&hb, networks[i], "ort", NULL);
        const nj_model_info *info = model_service()->info(own);
        void **in = model_random_inputs(info, FEW, STEPS, 1, &seed), *failed;
        double out[3][FEW * 4], most = 0;
        job jobs[3] = { { own, in, out[0] }, { ort, in, out[1] }, { ort, in, out[2] } };
        pthread_t other;
        assert_null(run_job(&jobs[0]));
        assert_int_equal(pthread_create(&other, NULL, run_job, &jobs[2]), 0);
        assert_null(run_job(&jobs[1]));
        pthread_join(other, &failed);
        assert_null(failed);
        assert_memory_equal(out[1], out[2], FEW * info->width * 8);
        for (uint32_t k = 0; k < FEW * info->width; k++) most = fmax(most, fabs(out[0][k] - out[1][k]));
        print_message("# %-14s largest difference %.3g\n", networks[i], most);
        assert_true(most <= 1e-5); /* both sum in float32, in another order */
        nj_model_thread *t = model_service()->thread_open(ort, 1, STEPS);
        const void *row[2];
        for (uint32_t k = 0; k < info->n_inputs; k++)
            row[k] = (char *)in[k] +
                     4 * 4 * (size_t)info->input[k].row_elements * (info->input[k].has_steps ? STEPS : 1);
        double one[4];
        nj_model_call call = {
            .n_rows = 1, .n_steps = info->input[0].has_steps ? STEPS : 0, .input = row, .out = one
        };
        assert_int_equal(model_service()->predict(ort, t, &call), NJ_OK);
        assert_memory_equal(one, out[1] + 4 * info->width, info->width * 8);
        model_service()->thread_close(t);
        model_free_inputs(info, in);
        model_service()->close(own);
        model_service()->close(ort);
        model_host_close(&ha);
        model_host_close(&hb);
    }
}

/* A library that was named and is none, and a device that it lacks, are refused:
 * nothing else is tried in its place. */
static void no_silent_fall_back(void **state)
{
    (void)state;
    model_host h;
    model_host_open(&h, "data/models");
    assert_null(model_service()->open(
        &h.host, "toy_snn", &(nj_model_options){ .engine = "ort", .library = "/no/such/library.so" }));
    assert_non_null(strstr(h.log, "/no/such/library.so"));
    assert_null(model_service()->open(&h.host, "toy_snn",
                                      &(nj_model_options){ .engine = "builtin", .device = "cuda" }));
    assert_non_null(strstr(h.log, "no device = cuda"));
    nj_model *m = model_service()->open(&h.host, "toy_snn", &(nj_model_options){ .device = "cuda" });
    if (m)
        assert_string_equal(model_service()->info(m)->device, "cuda");
    else
        assert_true(strstr(h.log, "without CUDA; ORT_DYLIB_PATH") ||
                    strstr(h.log, "ONNX Runtime is not here") ||
                    strstr(h.log, "device = cuda: ")); /* the library has it, and says what this
                                                        * machine lacks */
    model_service()->close(m);
    model_host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(forests_are_bit_equal),
                                        cmocka_unit_test(networks_agree),
                                        cmocka_unit_test(no_silent_fall_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
