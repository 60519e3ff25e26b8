/* waterfall.c - exposures: the waterfall sums to the exposure's time, the last alert decides, the budget,
 * and a night of 200,000 exposures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "broker/measure/waterfall.h"

enum { MS = 1000000 };

/* Arrived at t ms, 1 ms of queue, 2 of decode, 4 of modules, 8 waiting for its turn, 16 of filter;
 * then `publish` ms. */
static nj_waterfall_part part(double exposure, int64_t t)
{
    return (nj_waterfall_part){ .survey = "ztf",
                                .exposure = exposure,
                                .n = 10,
                                .first_arrival_ns = t * MS,
                                .last_arrival_ns = t * MS,
                                .begin_ns = (t + 1) * MS,
                                .decoded_ns = (t + 3) * MS,
                                .computed_ns = (t + 7) * MS,
                                .filter_ns = (t + 15) * MS,
                                .filtered_ns = (t + 31) * MS };
}

static void last_alert_decides(void **state)
{
    (void)state;
    nj_waterfall *w = nj_waterfall_new(1, 0.1); /* 100 ms */
    nj_waterfall_part a = part(7, 1000), b = part(7, 1050), other = part(8, 1000),
                      same_number = part(7, 1000);
    same_number.survey = "lsst";
    assert_int_equal(nj_waterfall_add(w, &a, 1040 * MS), 0);
    assert_int_equal(nj_waterfall_add(w, &b, 1113 * MS), 0);
    assert_int_equal(nj_waterfall_add(w, &other, 1100 * MS), 0); /* exactly the budget: not over */
    assert_int_equal(nj_waterfall_add(w, &same_number, 1040 * MS), 0);
    const nj_waterfall_sum *s = nj_waterfall_end(w);
    assert_true(s->n == 3 && s->alerts == 40 && s->over == 1 && s->n_worst == 1 && s->closed_early == 0);
    const nj_waterfall_exposure *e = &s->worst[0];
    assert_true(e->exposure == 7 && e->alerts == 20 && nj_waterfall_total(e) == 113 * MS);
    const int64_t want[NJ_SPANS] = { 50, 9, 2, 4, 16, 32 };
    for (int k = 0; k < NJ_SPANS; k++) assert_int_equal(e->span_ns[k], want[k] * MS);
    nj_waterfall_free(w);
}

/* Sums hold whatever the order in which parts come. */
static void sums(void **state)
{
    (void)state;
    nj_waterfall *w = nj_waterfall_new(0, 0);
    srand(1);
    for (int i = 0; i < 5000; i++) {
        int64_t t = rand() % 100000;
        nj_waterfall_part p = part(rand() % 70, t);
        p.last_arrival_ns += rand() % MS;
        assert_int_equal(nj_waterfall_add(w, &p, (t + 40 + rand() % 100) * MS), 0);
    }
    const nj_waterfall_sum *s = nj_waterfall_end(w);
    assert_true(s->n == 70 && s->over == 70 && s->n_worst == 70 && s->alerts == 50000);
    for (uint32_t i = 0; i < s->n_worst; i++) {
        int64_t sum = 0;
        for (int k = 0; k < NJ_SPANS; k++) sum += s->worst[i].span_ns[k];
        assert_int_equal(sum, nj_waterfall_total(&s->worst[i]));
        if (i) assert_true(nj_waterfall_total(&s->worst[i]) <= nj_waterfall_total(&s->worst[i - 1]));
    }
    nj_waterfall_free(w);
}

/* 200,000 exposures, one after the other; every thousandth is over, by as much as its number. Nothing is
 * lost, the table does not grow beyond its room, and the worst hundred are the right ones. */
static void long_night(void **state)
{
    (void)state;
    enum { NIGHT = 200000 };
    nj_waterfall *w = nj_waterfall_new(60, 0.01); /* 600 ms */
    for (int64_t i = 0; i < NIGHT; i++) {
        nj_waterfall_part p = part((double)i, i * 40);
        for (int k = 0; k < 3; k++)
            assert_int_equal(nj_waterfall_add(w, &p, (i * 40 + 50 + (i % 1000 ? 0 : 1000 + i)) * MS), 0);
    }
    const nj_waterfall_sum *s = nj_waterfall_end(w);
    assert_true(s->n == NIGHT && s->alerts == (uint64_t)NIGHT * 30 && s->over == 200);
    assert_true(s->closed_early == NIGHT - NJ_WATERFALL_OPEN);
    assert_true(s->n_worst == NJ_WATERFALL_WORST && s->worst[0].exposure == 199000 &&
                s->worst[99].exposure == 100000);
    assert_true(fabs(nj_histogram_quantile(&s->total, 0.5) / (50.0 * MS) - 1) < 0.01);
    assert_true(fabs(nj_histogram_quantile(&s->span[NJ_SPAN_PUBLISH], 0.5) / (19.0 * MS) - 1) < 0.01);
    nj_waterfall_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_alert_decides),
        cmocka_unit_test(sums),
        cmocka_unit_test(long_night),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
