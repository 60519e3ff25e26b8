/* model_networks.c - what inputs cost that saturate every gate of a network: numbers below 1.2e-38 took five
 * times as long once. */
#include "tests/kernel/model_rows.h"

#include <time.h>

static double least_us(nj_model *m, nj_model_thread *t, void **in, double *out)
{
    double least = INFINITY;
    for (int k = 0; k < 60; k++) {
        struct timespec a, b;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        assert_int_equal(predict(m, t, in, ROWS, out), NJ_OK);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        least = fmin(least, (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) * 1e-3);
    }
    return least;
}

static void saturated_gates_cost_no_more(void **state)
{
    (void)state;
    const char *name = real_models() ? "snn_sn_vs_all" : "toy_snn";
    model_host h;
    nj_model *m = open_named(&h, name);
    const nj_model_info *info = model_service()->info(m);
    nj_model_thread *t = model_service()->thread_open(m, ROWS, STEPS);
    void **plain = model_random_inputs(info, ROWS, STEPS, 1, &seed),
         **far = model_random_inputs(info, ROWS, STEPS, 100, &seed);
    double out[ROWS * 8];
    double us = least_us(m, t, plain, out), us_far = least_us(m, t, far, out);
    print_message("# %s: %.1f us, saturated %.1f us\n", name, us, us_far);
    assert_true(us_far < 2 * us);
    model_free_inputs(info, plain);
    model_free_inputs(info, far);
    model_service()->thread_close(t);
    model_service()->close(m);
    model_host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(saturated_gates_cost_no_more) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
