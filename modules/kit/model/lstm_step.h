/* lstm_step.h - one step of an LSTM for several rows at once: the recurrent product and the gates behind
 * it, while the sums are still in the first cache. */
#ifndef NJ_MODEL_LSTM_STEP_H
#define NJ_MODEL_LSTM_STEP_H

#include <stdint.h>

#include "nightjar/num.h"

/* Units are taken in blocks of 16, the last one filled up with zeros. Sums and weights of a block lie side by
 * side as [gate i, o, f, c][16 units]. */
enum { NJ_LSTM_UNITS = 16, NJ_LSTM_BLOCK = 4 * NJ_LSTM_UNITS };

/* i, o, f, c of row r = what gate[r] and hidden[r] * weight sum up to, and of that -i, -o, -f, -2c (the
 *                       caller has packed weights and biases so)
 * cell[r]             = sigmoid(f) cell[r] + sigmoid(i) tanh(c)
 * next[r], out[r]     = sigmoid(o) tanh(cell[r])
 * Given:  r in [0, n); n_units units in n_blocks blocks; gate[r] [n_blocks][NJ_LSTM_BLOCK], bias included
 *         weight [n_blocks][n_units][NJ_LSTM_BLOCK], 64-byte aligned, zero beyond n_units
 *         hidden, next, cell [n][n_blocks][NJ_LSTM_UNITS], 64-byte aligned; starting: hidden counts as 0
 *         out: NULL, or [n] places of n_units floats each
 *         sums_only: gate[r] becomes the sum, nothing else is written or read but hidden and weight
 * Errors: sums beyond 25 (c: 12.5) count as that. What a step adds to a cell, and next, are within 4e-7 of
 *         what double arithmetic gives from the same sums, a cell that is kept within 4e-7 of its size. NaN
 *         stays.
 * Notes:  AVX-512 and AVX2 give equal bits; the portable version differs within rounding. The result of a
 *         row does not depend on n. */
typedef struct nj_lstm_step {
    const float *weight, *hidden;
    float *const *gate;
    float *next, *cell;
    float *const *out;
    uint32_t n, n_units, n_blocks, starting, sums_only;
} nj_lstm_step;

void nj_lstm_step_run(nj_isa isa, const nj_lstm_step *step);

#endif
