/* model_networks.c - networks of the built-in engine: golden rows of the real models, fast kernels against
 * the plain ones. */
#include "model_rows.h"

#if defined __x86_64__
#include <xmmintrin.h>
#endif

#include "nightjar/num.h"

static const char *const networks[] = { "braai",
                                        "acai_h",
                                        "acai_n",
                                        "acai_v",
                                        "acai_o",
                                        "acai_b",
                                        "snn_snia_vs_nonia",
                                        "snn_sn_vs_all",
                                        "snn_elasticc_sn_vs_other",
                                        "snn_elasticc_broad",
                                        "cats" };
enum { N_NETWORKS = sizeof networks / sizeof *networks };

/* open() refuses a model whose golden rows differ by more than its manifest's tolerance:
 * that every one opens is the test. */
static void golden_rows(void **state)
{
    (void)state;
    if (!real_models()) skip();
    for (int i = 0; i < N_NETWORKS; i++) {
        model_host h;
        model_host_open(&h, real_models());
        nj_model *m = model_service()->open(&h.host, networks[i], &(nj_model_options){ .engine = "builtin" });
        if (!m) fail_msg("%s", h.log);
        const nj_model_info *info = model_service()->info(m);
        print_message("# %-26s %u rows, largest difference %.3g of %.3g\n", networks[i], info->golden_rows,
                      info->golden_difference, info->golden_tolerance);
        assert_string_equal(info->engine, "builtin");
        assert_true(info->golden_rows >= 32 && info->golden_difference <= info->golden_tolerance);
        model_service()->close(m);
        model_host_close(&h);
    }
}

/* Scores of random rows by the kernels of one instruction set;
 * the golden rows are checked by open() for each. */
static void scores_with(const char *isa, const char *name, uint64_t from, double *out)
{
    model_host h;
    uint64_t same_rows = from;
    setenv("NIGHTJAR_ISA", isa, 1);
    nj_model *m = open_named(&h, name);
    unsetenv("NIGHTJAR_ISA");
    const nj_model_info *info = model_service()->info(m);
    assert_true(info->golden_difference <= info->golden_tolerance);
    nj_model_thread *t = model_service()->thread_open(m, ROWS, STEPS);
    void **in = model_random_inputs(info, ROWS, STEPS, 1, &same_rows);
    memset(out, 0, sizeof *out * ROWS * 8);
    assert_true(info->width <= 8);
    assert_int_equal(predict(m, t, in, ROWS, out), NJ_OK);
    model_free_inputs(info, in);
    model_service()->thread_close(t);
    model_service()->close(m);
    model_host_close(&h);
}

/* The portable kernels have no fused multiply-add: 1e-5 (measured: below 2e-6).
 * AVX2 and AVX-512 give equal bits. */
static void instruction_sets(void **state)
{
    (void)state;
    static const char *const toys[] = { "toy_braai", "toy_acai", "toy_snn", "toy_lines" };
    enum { TOYS = 4 };
    for (int i = 0; i < TOYS + (real_models() ? N_NETWORKS : 0); i++) {
        const char *name = i < TOYS ? toys[i] : networks[i - TOYS];
        double out[NJ_ISAS][ROWS * 8], most = 0;
        for (int isa = 0; isa <= (int)nj_isa_best(); isa++)
            scores_with(nj_isa_name[isa], name, seed, out[isa]);
        if (nj_isa_best() == NJ_ISA_AVX512)
            assert_memory_equal(out[NJ_ISA_AVX2], out[NJ_ISA_AVX512], sizeof out[0]);
        for (int k = 0; k < ROWS * 8; k++)
            most = fmax(most, fabs(out[NJ_ISA_PORTABLE][k] - out[nj_isa_best()][k]));
        print_message("# %-26s portable against %s: %.3g\n", name, nj_isa_name[nj_isa_best()], most);
        assert_true(most <= 1e-5);
    }
}

/* Inputs that saturate every gate make numbers below 1.2e-38. The scores are scores, and the caller's
 * arithmetic is as before.
 * What they cost: tests/timing/model_networks.c. */
static void saturated_gates(void **state)
{
    (void)state;
    const char *name = real_models() ? "snn_sn_vs_all" : "toy_snn";
    model_host h;
    nj_model *m = open_named(&h, name);
    const nj_model_info *info = model_service()->info(m);
    nj_model_thread *t = model_service()->thread_open(m, ROWS, STEPS);
    void **far = model_random_inputs(info, ROWS, STEPS, 100, &seed);
    double out[ROWS * 8];
#if defined __x86_64__
    uint32_t mode = _mm_getcsr();
#endif
    assert_int_equal(predict(m, t, far, ROWS, out), NJ_OK);
    for (uint32_t k = 0; k < ROWS * info->width; k++) assert_true(out[k] >= 0 && out[k] <= 1);
#if defined __x86_64__
    assert_int_equal(_mm_getcsr(), mode);
#endif
    volatile float tiny = 1e-39f;
    assert_true(tiny * 2 > 0);
    model_free_inputs(info, far);
    model_service()->thread_close(t);
    model_service()->close(m);
    model_host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden_rows), cmocka_unit_test(instruction_sets),
                                        cmocka_unit_test(saturated_gates) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
