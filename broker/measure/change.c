/* change.c - the last report against the one before misses a step between others, and takes noise for one;
 * this looks at the whole series. */
#include "change.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "stats.h"

enum { PERMUTATIONS = 999, LEAST = 8, LEAST_SIDE = 3 };
static const double P_LIMIT = 0.01, RATIO_LIMIT = 1.02;

typedef struct placed {
    double value;
    uint32_t at;
} placed;

static int by_value(const void *a, const void *b)
{
    double x = ((const placed *)a)->value, y = ((const placed *)b)->value;
    return (x > y) - (x < y);
}

/* Twice the rank less n + 1: sums to 0; ties have their mean. */
static void rank(const double *value, uint32_t n, double *centred)
{
    placed *r = calloc(n + 1, sizeof *r);
    if (!r) nj_give_up("out of memory for the ranks of %u values", n);
    for (uint32_t i = 0; i < n; i++) r[i] = (placed){ value[i], i };
    qsort(r, n, sizeof *r, by_value);
    for (uint32_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && r[j].value == r[i].value;) j++;
        for (uint32_t k = i; k < j; k++) centred[r[k].at] = (double)(i + 1) + j - (n + 1.0);
    }
    free(r);
}

/* Pettitt's K over the splits that leave a few values on both sides; *at: where. */
static double largest(const double *centred, uint32_t n, uint32_t *at)
{
    double sum = 0, most = -1;
    for (uint32_t k = 0; k + LEAST_SIDE < n; k++) {
        sum += centred[k];
        if (k + 1 >= LEAST_SIDE && fabs(sum) > most) most = fabs(sum), *at = k + 1;
    }
    return most;
}

static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double chance(double *centred, uint32_t n, double found)
{
    uint64_t state = 1;
    uint32_t as_large = 1, at;
    for (int k = 0; k < PERMUTATIONS; k++) {
        for (uint32_t i = n - 1; i > 0; i--) {
            uint32_t j = (uint32_t)((draw(&state) >> 32) * (i + 1) >> 32);
            double swap = centred[i];
            centred[i] = centred[j];
            centred[j] = swap;
        }
        as_large += largest(centred, n, &at) >= found - 1e-9;
    }
    return as_large / (PERMUTATIONS + 1.0);
}

static uint32_t split(const double *value, uint32_t from, uint32_t to, nj_level_change *change, uint32_t room)
{
    uint32_t n = to - from, at = 0;
    if (n < LEAST || !room) return 0;
    double *centred = calloc(n, sizeof *centred);
    if (!centred) nj_give_up("out of memory for a series of %u values", n);
    rank(value + from, n, centred);
    double k = largest(centred, n, &at), p = chance(centred, n, k);
    free(centred);
    nj_level_change c = {
        from + at, from, to, nj_quantile(value + from, at, 0.5), nj_quantile(value + from + at, n - at, 0.5),
        p
    };
    double ratio = c.after / c.before;
    if (!(p <= P_LIMIT) || !(fmax(ratio, 1 / ratio) > RATIO_LIMIT)) return 0;
    uint32_t left = split(value, from, c.at, change, room - 1);
    change[left] = c;
    return left + 1 + split(value, c.at, to, change + left + 1, room - left - 1);
}

uint32_t nj_change_points(const double *value, uint32_t n, nj_level_change change[NJ_CHANGES])
{
    uint32_t found = split(value, 0, n, change, NJ_CHANGES);
    for (uint32_t i = 0; i < found; i++) { /* a part that was split again has other neighbours now */
        change[i].from = i ? change[i - 1].at : 0;
        change[i].to = i + 1 < found ? change[i + 1].at : n;
        change[i].before = nj_quantile(value + change[i].from, change[i].at - change[i].from, 0.5);
        change[i].after = nj_quantile(value + change[i].at, change[i].to - change[i].at, 0.5);
    }
    return found;
}
