/* fast_transient's percentiles for upper limits leave out the noise of the current point: how much that is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nightjar/astro.h"

static const double e = NJ_MAG_PER_RELATIVE_FLUX;

/* P(N(0, s) - E <= z), E exponential of mean e, by Simpson's rule. */
static double distribution(double z, double s)
{
    enum { STEPS = 4000 };
    double h = 40.0 / STEPS, sum = 0;
    for (int i = 0; i <= STEPS; i++) {
        double y = i * h, weight = i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2;
        sum += weight * exp(-y / e) / e * 0.5 * erfc(-(z + y) / (s * sqrt(2)));
    }
    return sum * h / 3;
}

static double percentile(double p, double s)
{
    double low = -10, high = 5;
    for (int i = 0; i < 60; i++) {
        double middle = 0.5 * (low + high);
        if (distribution(middle, s) < p)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void the_noise_left_out_is_below_a_tenth_of_a_magnitude(void **state)
{
    (void)state;
    static const double sigma[] = { 0.02, 0.1, 0.2 };
    for (size_t k = 0; k < sizeof sigma / sizeof *sigma; k++) {
        double low = percentile(0.05, sigma[k]) + e * log(20), high = percentile(0.95, sigma[k]) + e * log(20.0 / 19);
        assert_true(fabs(low) < 0.02 && fabs(high) < 0.1);
        if (sigma[k] == 0.2) assert_true(high > 0.09); /* and it is not nothing */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_noise_left_out_is_below_a_tenth_of_a_magnitude) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
