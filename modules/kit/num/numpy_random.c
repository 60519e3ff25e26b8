/* numpy_random.c - numpy's legacy random numbers, for reference values. */
#include "nightjar/num.h"

#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>

/* Random numbers of numpy's legacy generator (numpy.random.seed, standard_normal, shuffle)
 *
 * Notes
 * 1) The 32-bit stream is MT19937 with the initialisation of 2002, which is GSL's.
 * A double takes two words (27 and 26
 *    bits); a normal deviate is the polar method, of which the second one is kept for the next call; a
 *    shuffle runs from the end and draws each place by masking and rejection.
 * 2) One stream per process: a result depends on everything drawn before.
 * For reproducing reference values only.
 *
 * Reference: Matsumoto & Nishimura 1998, ACM Trans. Model. Comput. Simul.
 * 8, 3, DOI 10.1145/272991.272995; NumPy
 *            Enhancement Proposal 19 (the legacy stream is frozen). */
struct nj_numpy_random {
    gsl_rng *words;
    double kept;
    bool has_kept;
};

nj_numpy_random *nj_numpy_random_new(uint32_t seed)
{
    nj_numpy_random *rng = calloc(1, sizeof *rng);
    if (!rng) return NULL;
    rng->words = gsl_rng_alloc(gsl_rng_mt19937);
    if (!rng->words) {
        free(rng);
        return NULL;
    }
    gsl_rng_set(rng->words, seed);
    return rng;
}

void nj_numpy_random_free(nj_numpy_random *rng)
{
    if (!rng) return;
    gsl_rng_free(rng->words);
    free(rng);
}

static double uniform(nj_numpy_random *rng)
{
    double high = (double)(gsl_rng_get(rng->words) >> 5), low = (double)(gsl_rng_get(rng->words) >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

double nj_numpy_normal(nj_numpy_random *rng)
{
    if (rng->has_kept) {
        rng->has_kept = false;
        return rng->kept;
    }
    double x, y, r2;
    do {
        x = 2 * uniform(rng) - 1;
        y = 2 * uniform(rng) - 1;
        r2 = x * x + y * y;
    } while (r2 >= 1 || r2 == 0);
    double f = sqrt(-2 * log(r2) / r2);
    rng->kept = f * x;
    rng->has_kept = true;
    return f * y;
}

void nj_numpy_shuffle(nj_numpy_random *rng, double *item, uint32_t n)
{
    for (uint32_t i = n - 1; n && i > 0; i--) {
        uint32_t mask = UINT32_MAX >> __builtin_clz(i), j;
        do j = (uint32_t)gsl_rng_get(rng->words) & mask;
        while (j > i);
        double t = item[i];
        item[i] = item[j];
        item[j] = t;
    }
}
