/* model_trees.c - forests: golden rows of the real models, kernels against the plain walk, and files that
 * are no forests. */
#include "model_host.h"

static const char *const forests[] = { "kilonova",  "microlensing", "early_snia",
                                       "anomaly_g", "anomaly_r",    "slsn_ztf" };
enum { N_FORESTS = sizeof forests / sizeof *forests };

/* Every golden row with sum = double: within 1e-7 of scikit-learn's float64 (leaves are float32; early_snia
 * adds 1,000 of them, its own manifest allows 5e-8), and of XGBoost's and ONNX Runtime's float32 within their
 * manifests' tolerances. */
static void golden_rows(void **state)
{
    (void)state;
    if (!real_models()) skip();
    static const double tolerance[N_FORESTS] = { 1e-7, 1e-7, 1e-7, 3e-7, 2e-7, 1e-6 };
    for (int i = 0; i < N_FORESTS; i++) {
        model_host h;
        model_host_open(&h, real_models());
        nj_model *m = model_service()->open(&h.host, forests[i], NULL);
        if (!m) fail_msg("%s", h.log);
        const nj_model_info *info = model_service()->info(m);
        print_message("# %-14s %u rows, largest difference %.3g\n", forests[i], info->golden_rows,
                      info->golden_difference);
        assert_string_equal(info->engine, "trees");
        assert_int_equal(info->golden_rows, 64);
        assert_true(info->golden_difference <= tolerance[i]);
        model_service()->close(m);
        model_host_close(&h);
    }
}

static uint64_t seed = 20261121;

static double uniform(void)
{
    return model_uniform(&seed);
}

/* Values around the golden inputs, with NaN, infinities and repeated values,
 * so that many lie exactly on thresholds. */
static float *random_rows(const char *folder, uint32_t n, uint32_t n_in)
{
    char path[2048];
    size_t size;
    snprintf(path, sizeof path, "%s/%s/golden.csv", real_models(), folder);
    char *text = nj_file_read(path, SIZE_MAX, &size), *line = strchr(text, '\n') + 1;
    float *golden = calloc(64 * n_in, sizeof(float)), *x = calloc((size_t)n * n_in, sizeof(float));
    for (uint32_t r = 0; r < 64; r++, line = strchr(line, '\n') + 1) {
        char *p = line;
        int quoted = 0;
        for (int commas = 0; commas < 2; p++) {
            quoted ^= *p == '"';
            commas += *p == ',' && !quoted;
        }
        for (uint32_t k = 0; k < n_in; k++, p++) golden[r * n_in + k] = strtof(p, &p);
    }
    for (size_t i = 0; i < (size_t)n * n_in; i++) {
        double u = uniform();
        float g = golden[(size_t)(uniform() * 64) * n_in + i % n_in];
        x[i] = u < 0.03   ? NAN
               : u < 0.05 ? INFINITY
               : u < 0.07 ? -INFINITY
               : u < 0.5  ? g
                          : g * (float)(0.5 + uniform());
    }
    free(text);
    free(golden);
    return x;
}

/* One row, blocks of any size (with gathers and without) and the plain walk give the same bits,
 * with sum = float and double. */
static void kernels_are_equal(void **state)
{
    (void)state;
    if (!real_models()) skip();
    enum { N = 700 };
    for (int i = 0; i < N_FORESTS; i++)
        for (int s = 0; s < 4; s++) { /* s / 2: without gathers */
            model_host h;
            s / 2 ? setenv("NIGHTJAR_ISA", "portable", 1) : unsetenv("NIGHTJAR_ISA");
            model_host_open(&h, real_models());
            nj_model *m = model_service()->open(&h.host, forests[i],
                                                &(nj_model_options){ .sum = s % 2 ? "float" : "double" });
            if (!m) fail_msg("%s", h.log);
            const nj_model_info *info = model_service()->info(m);
            nj_model_thread *t = model_service()->thread_open(m, N, 0);
            float *x = random_rows(forests[i], N, info->n_features);
            double *plain = calloc(N * info->width, 8), *fast = calloc(N * info->width, 8);
            assert_int_equal(model_service()->predict(m, t,
                                                      &(nj_model_call){ .n_rows = N,
                                                                        .input = (const void *[]){ x },
                                                                        .out = plain,
                                                                        .reference = 1 }),
                             NJ_OK);
            for (uint32_t at = 0, n = 1; at < N; at += n, n = n * 2 + 1) {
                n = n < N - at ? n : N - at;
                const void *in = x + (size_t)at * info->n_features;
                assert_int_equal(model_service()->predict(
                                     m, t,
                                     &(nj_model_call){
                                         .n_rows = n, .input = &in, .out = fast + (size_t)at * info->width }),
                                 NJ_OK);
            }
            assert_memory_equal(plain, fast, N * info->width * 8);
            for (size_t k = 0; k < N * info->width; k++) assert_true(isfinite(plain[k]));
            free(x);
            free(plain);
            free(fast);
            model_service()->thread_close(t);
            model_service()->close(m);
            model_host_close(&h);
        }
    unsetenv("NIGHTJAR_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden_rows), cmocka_unit_test(kernels_are_equal) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
