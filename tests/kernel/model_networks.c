/* Networks of the built-in engine: golden rows of the real models, fast kernels against the plain ones. */
#include "model_host.h"

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

/* open() refuses a model whose golden rows differ by more than its manifest's tolerance: that every one opens is the test. */
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden_rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
