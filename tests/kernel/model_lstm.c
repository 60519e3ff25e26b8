/* model_lstm.c - the step of an LSTM against double arithmetic, for each instruction set: gates within the
 * stated error, saturated and NaN ones too, and a row is the same whatever rows are beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "modules/kit/model/lstm_step.h"

enum { ROWS = 13, UNITS = 37, BLOCKS = 3, LINE = BLOCKS * NJ_LSTM_UNITS, SUMS = BLOCKS * NJ_LSTM_BLOCK };
static const float factor[4] = { -1, -1, -1, -2 };

typedef struct sample {
    float gate[ROWS][SUMS], *at[ROWS], out[ROWS][UNITS], *to[ROWS];
    _Alignas(64) float weight[BLOCKS][UNITS][NJ_LSTM_BLOCK], hidden[ROWS * LINE], next[ROWS * LINE],
        cell[ROWS * LINE];
} sample;

static uint32_t state = 1;
static double between(double a, double b)
{
    state = state * 1664525u + 1013904223u;
    return a + (b - a) * state / 4294967296.0;
}

static float *sum_of(sample *t, uint32_t row, int gate, uint32_t unit)
{
    return &t->gate[row][unit / NJ_LSTM_UNITS * NJ_LSTM_BLOCK + gate * NJ_LSTM_UNITS + unit % NJ_LSTM_UNITS];
}

/* Sums of all sizes: small, usual, far beyond where gates saturate. */
static sample *make(void)
{
    static const double size[] = { 1e-4, 1, 8, 30, 1e6 };
    sample *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    assert_non_null(t);
    memset(t, 0, sizeof *t);
    for (uint32_t r = 0; r < ROWS; r++) {
        t->at[r] = t->gate[r];
        t->to[r] = t->out[r];
        for (uint32_t u = 0; u < UNITS; u++) {
            t->cell[r * LINE + u] = (float)between(-1, 1) * (u % 5 ? 1 : 300);
            t->hidden[r * LINE + u] = (float)between(-1, 1);
            for (int g = 0; g < 4; g++)
                *sum_of(t, r, g, u) = (float)between(-size[(r + u) % 5], size[(r + u) % 5]) * factor[g];
        }
    }
    for (uint32_t u = 0; u < UNITS; u++)
        for (uint32_t k = 0; k < UNITS; k++)
            for (int g = 0; g < 4; g++)
                t->weight[u / NJ_LSTM_UNITS][k][g * NJ_LSTM_UNITS + u % NJ_LSTM_UNITS] =
                    (float)between(-0.3, 0.3) * factor[g];
    return t;
}

static void run(nj_isa isa, sample *t, uint32_t first, uint32_t n, uint32_t starting, uint32_t sums_only)
{
    nj_lstm_step_run(isa, &(nj_lstm_step){ .weight = t->weight[0][0],
                                           .hidden = t->hidden + first * LINE,
                                           .gate = t->at + first,
                                           .next = t->next + first * LINE,
                                           .cell = t->cell + first * LINE,
                                           .out = t->to + first,
                                           .n = n,
                                           .n_units = UNITS,
                                           .n_blocks = BLOCKS,
                                           .starting = starting,
                                           .sums_only = sums_only });
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void test_gates(void **unused)
{
    (void)unused;
    for (int isa = 0; isa <= (int)nj_isa_best(); isa++) {
        double most = 0, most_next = 0;
        for (int round = 0; round < 200; round++) {
            sample *t = make(), *was = make();
            memcpy(was->cell, t->cell, sizeof t->cell);
            memcpy(was->gate, t->gate, sizeof t->gate);
            run((nj_isa)isa, t, 0, ROWS, 1, 0);
            for (uint32_t r = 0; r < ROWS; r++)
                for (uint32_t u = 0; u < UNITS; u++) {
                    double x[4], kept, cell = t->cell[r * LINE + u];
                    for (int g = 0; g < 4; g++) x[g] = *sum_of(was, r, g, u) / factor[g];
                    kept = sigmoid(x[2]) * was->cell[r * LINE + u];
                    most = fmax(most, fabs(cell - kept - sigmoid(x[0]) * tanh(x[3])) - 4e-7 * fabs(kept));
                    most_next = fmax(most_next, fabs(t->out[r][u] - sigmoid(x[1]) * tanh(cell)));
                    assert_true(t->out[r][u] == t->next[r * LINE + u]);
                }
            free(was);
            free(t);
        }
        print_message("# %s: cells within %.2g, outputs within %.2g\n", nj_isa_name[isa], most, most_next);
        assert_true(most <= 4e-7 && most_next <= 4e-7);
    }
}

static void test_sums(void **unused)
{
    (void)unused;
    sample *t = make();
    float was[ROWS][SUMS], got[NJ_ISAS][ROWS][SUMS];
    memcpy(was, t->gate, sizeof was);
    for (int isa = 0; isa <= (int)nj_isa_best(); isa++) {
        memcpy(t->gate, was, sizeof was);
        run((nj_isa)isa, t, 0, ROWS, 0, 1);
        memcpy(got[isa], t->gate, sizeof was);
        for (uint32_t r = 0; r < ROWS; r++)
            for (uint32_t k = 0; k < SUMS; k++) {
                double sum = was[r][k];
                for (uint32_t j = 0; j < UNITS; j++)
                    sum +=
                        (double)t->hidden[r * LINE + j] * t->weight[k / NJ_LSTM_BLOCK][j][k % NJ_LSTM_BLOCK];
                assert_true(fabs(t->gate[r][k] - sum) <= 1e-6 * fmax(fabs(sum), 10));
            }
    }
    if (nj_isa_best() == NJ_ISA_AVX512) assert_memory_equal(got[NJ_ISA_AVX2], got[NJ_ISA_AVX512], sizeof was);
    free(t);
}

/* Alone, or beside any number of others; and AVX2 as AVX-512. */
static void test_same_bits(void **unused)
{
    (void)unused;
    sample *t = make(), *all = make(), *one = make();
    float first[ROWS][UNITS];
    for (int isa = (int)nj_isa_best(); isa >= 0; isa--) {
        memcpy(all->cell, t->cell, sizeof t->cell);
        memcpy(all->gate, t->gate, sizeof t->gate);
        memcpy(all->hidden, t->hidden, sizeof t->hidden);
        memcpy(all->weight, t->weight, sizeof t->weight);
        run((nj_isa)isa, all, 0, ROWS, 0, 0);
        for (uint32_t n = 1; n < ROWS; n++) {
            memcpy(one->cell, t->cell, sizeof t->cell);
            memcpy(one->gate, t->gate, sizeof t->gate);
            memcpy(one->hidden, t->hidden, sizeof t->hidden);
            memcpy(one->weight, t->weight, sizeof t->weight);
            run((nj_isa)isa, one, ROWS - n, n, 0, 0);
            assert_memory_equal(one->out[ROWS - n], all->out[ROWS - n], n * sizeof all->out[0]);
        }
        if (isa == (int)nj_isa_best()) memcpy(first, all->out, sizeof first);
        if (isa == NJ_ISA_AVX2) assert_memory_equal(first, all->out, sizeof first);
    }
    free(t);
    free(all);
    free(one);
}

static void test_nan_stays(void **unused)
{
    (void)unused;
    for (int isa = 0; isa <= (int)nj_isa_best(); isa++)
        for (int g = 0; g < 4; g++) {
            sample *t = make();
            *sum_of(t, 5, g, 20) = NAN;
            run((nj_isa)isa, t, 0, ROWS, 1, 0);
            for (uint32_t r = 0; r < ROWS; r++)
                for (uint32_t u = 0; u < UNITS; u++) {
                    assert_int_equal(isnan(t->out[r][u]) != 0, r == 5 && u == 20);
                    assert_int_equal(isnan(t->cell[r * LINE + u]) != 0, r == 5 && u == 20 && g != 1);
                }
            free(t);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gates), cmocka_unit_test(test_sums),
                                        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_nan_stays) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
