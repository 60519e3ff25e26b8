/* lstm.c - the fast LSTM: rows in order of their lengths, so that no step past a row's end is computed. */
#include <string.h>

#include "lstm_step.h"
#include "ops.h"

/* packed[dir] of the input, packed[2 + dir] of the recurrence, bias[dir], all in the order of lstm_step.h;
 * axis = 1: the output is [T, N, directions * H] instead of [T, directions, N, H]. */

static int shape_lstm(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    if (nj_shape_lstm(s, in, out)) return -1;
    if (s->axis && s->out[0] >= 0)
        *out[0] = (nj_tensor){ .data = out[0]->data,
                               .rank = 3,
                               .dim = { in[0]->dim[0], in[0]->dim[1], s->n_directions * s->hidden } };
    return 0;
}

static uint32_t blocks_of(const nj_net_step *s)
{
    return ((uint32_t)s->hidden + NJ_LSTM_UNITS - 1) / NJ_LSTM_UNITS;
}

/* Step t of the k-th longest row is cell first[t] + k: no cells but these are computed. */
typedef struct cells {
    uint32_t n_rows, n_steps;
    uint32_t *row;    /* [n_rows] which row is the k-th */
    uint32_t *length; /* [n_rows] of the k-th */
    uint32_t *active; /* [n_steps + 1] rows that have step t */
    uint32_t *first;  /* [n_steps + 1] */
} cells;

/* The work area of one run, laid out in the plan's scratch. */
typedef struct work {
    cells cells;
    float **gate;     /* [rows] */
    float **out;      /* [rows] */
    float *input;     /* [cells][features] */
    float *sum;       /* [cells][blocks][NJ_LSTM_BLOCK]: the input's share */
    float *cell;      /* [rows][blocks][NJ_LSTM_UNITS] */
    float *hidden[2]; /* the same: before and after a step */
} work;

enum { LINE = 16 }; /* floats of 64 bytes: each part of the scratch begins at such a place */

/* Takes n numbers of 4 bytes from the scratch. memory = NULL: only counts them. */
static void *take(float *memory, size_t *used, size_t n)
{
    void *at = memory ? memory + *used : NULL;
    *used += (n + LINE - 1) / LINE * LINE;
    return at;
}

/* Returns the floats that all of it takes. */
static size_t lay_out(const nj_net_step *s, const nj_tensor *x, float *memory, work *w)
{
    enum { POINTER = sizeof(void *) / 4 };
    const size_t rows = (size_t)x->dim[1], steps = (size_t)x->dim[0], all = rows * steps,
                 blocks = blocks_of(s), line = rows * blocks * NJ_LSTM_UNITS;
    size_t used = 0;
    w->cells.n_rows = (uint32_t)rows;
    w->cells.n_steps = (uint32_t)steps;
    w->cells.row = take(memory, &used, rows);
    w->cells.length = take(memory, &used, rows);
    w->cells.active = take(memory, &used, steps + 1);
    w->cells.first = take(memory, &used, steps + 1);
    w->gate = take(memory, &used, rows * POINTER);
    w->out = take(memory, &used, rows * POINTER);
    w->input = take(memory, &used, all * (size_t)x->dim[2]);
    w->sum = take(memory, &used, all * blocks * NJ_LSTM_BLOCK);
    w->cell = take(memory, &used, line);
    w->hidden[0] = take(memory, &used, line);
    w->hidden[1] = take(memory, &used, line);
    return used;
}

static size_t scratch_lstm(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)out;
    work w;
    return lay_out(s, in[0], NULL, &w);
}

static uint32_t length_of(const nj_net_step *s, nj_inputs in, uint32_t row)
{
    const int32_t all = in[0]->dim[0];
    if (s->n_in <= 4 || s->in[4] < 0) return (uint32_t)all;
    const int32_t length = ((const int32_t *)(const void *)in[4]->data)[row];
    return (uint32_t)(length < 0 ? 0 : length < all ? length : all);
}

/* By counting; rows of one length stay in their order. */
static void sort_rows(const nj_net_step *s, nj_inputs in, cells *c)
{
    uint32_t *place = c->first; /* [n_steps + 1] rows of that length; then where the next of them goes */
    memset(place, 0, (c->n_steps + 1) * sizeof *place);
    for (uint32_t r = 0; r < c->n_rows; r++) place[length_of(s, in, r)]++;
    uint32_t longer = 0;
    for (uint32_t t = c->n_steps + 1; t-- > 0;) {
        c->active[t] = longer;
        longer += place[t];
        place[t] = c->active[t];
    }
    for (uint32_t r = 0; r < c->n_rows; r++) {
        const uint32_t length = length_of(s, in, r), k = place[length]++;
        c->row[k] = r;
        c->length[k] = length;
    }
    c->first[0] = 0;
    for (uint32_t t = 0; t < c->n_steps; t++) c->first[t + 1] = c->first[t] + c->active[t];
}

static void gather(const cells *c, const nj_tensor *x, float *to)
{
    const size_t f = (size_t)x->dim[2];
    for (uint32_t t = 0; t < c->n_steps; t++)
        for (uint32_t k = 0; k < c->active[t]; k++, to += f)
            memcpy(to, x->data + ((size_t)t * c->n_rows + c->row[k]) * f, f * sizeof(float));
}

/* Where the output of a row's step goes. */
static float *place_of(const nj_net_step *s, const nj_tensor *y, size_t rows, size_t t, size_t dir,
                       size_t row)
{
    const size_t h = (size_t)s->hidden, d = (size_t)s->n_directions;
    return y->data + (s->axis ? ((t * rows + row) * d + dir) * h : ((t * d + dir) * rows + row) * h);
}

static void separate_gates(const nj_net_plan *plan, const nj_net_step *s, const work *w, uint32_t n,
                           float *next)
{
    const size_t blocks = blocks_of(s), line = blocks * NJ_LSTM_UNITS;
    for (uint32_t k = 0; k < n; k++) {
        for (size_t b = 0; b < blocks; b++)
            nj_lanes_of(plan->isa)->lstm(w->gate[k] + b * NJ_LSTM_BLOCK, NJ_LSTM_UNITS,
                                         w->cell + k * line + b * NJ_LSTM_UNITS,
                                         next + k * line + b * NJ_LSTM_UNITS);
        if (s->out[0] >= 0) memcpy(w->out[k], next + k * line, (size_t)s->hidden * sizeof(float));
    }
}

static void run_direction(const nj_net_plan *plan, const nj_net_step *s, nj_net_outputs out, uint32_t dir,
                          uint32_t features, work *w)
{
    const cells *c = &w->cells;
    const uint32_t blocks = blocks_of(s), back = dir == 1 || s->reverse, h = (uint32_t)s->hidden;
    const size_t sums = (size_t)blocks * NJ_LSTM_BLOCK, line = (size_t)blocks * NJ_LSTM_UNITS;
    nj_product_run(plan->isa, &(nj_product){ .in = w->input,
                                             .weight = s->packed[dir],
                                             .bias = s->bias[dir],
                                             .out = w->sum,
                                             .in_step = features,
                                             .out_step = (ptrdiff_t)sums,
                                             .n = c->first[c->n_steps],
                                             .n_out = (uint32_t)sums,
                                             .n_segments = 1,
                                             .segment = features,
                                             .block = s->block[0] });
    memset(w->cell, 0, c->n_rows * line * sizeof(float));
    for (uint32_t i = 0; i < c->n_steps && c->active[i]; i++) {
        for (uint32_t k = 0; k < c->active[i]; k++) {
            const uint32_t t = back ? c->length[k] - 1 - i : i;
            w->gate[k] = w->sum + (c->first[t] + k) * sums;
            if (s->out[0] >= 0) w->out[k] = place_of(s, out[0], c->n_rows, t, dir, c->row[k]);
        }
        nj_lstm_step_run(plan->isa, &(nj_lstm_step){ .weight = s->packed[2 + dir],
                                                     .hidden = w->hidden[i % 2],
                                                     .gate = w->gate,
                                                     .next = w->hidden[(i + 1) % 2],
                                                     .cell = w->cell,
                                                     .out = s->out[0] >= 0 ? w->out : NULL,
                                                     .n = c->active[i],
                                                     .n_units = h,
                                                     .n_blocks = blocks,
                                                     .starting = i == 0,
                                                     .sums_only = !s->gates_fused });
        if (!s->gates_fused) separate_gates(plan, s, w, c->active[i], w->hidden[(i + 1) % 2]);
        for (uint32_t k = c->active[i + 1]; s->n_out > 1 && s->out[1] >= 0 && k < c->active[i]; k++)
            memcpy(out[1]->data + ((size_t)dir * c->n_rows + c->row[k]) * h,
                   w->hidden[(i + 1) % 2] + k * line, h * sizeof(float));
    }
}

static void run_lstm(const nj_net_plan *plan, const nj_net_step *s, nj_inputs in, nj_net_outputs out,
                     float *scratch)
{
    work w;
    lay_out(s, in[0], scratch, &w);
    sort_rows(s, in, &w.cells);
    gather(&w.cells, in[0], w.input);
    for (uint32_t k = 0; k < 2 && k < s->n_out; k++)
        if (s->out[k] >= 0) memset(out[k]->data, 0, out[k]->n * sizeof(float));
    for (int32_t dir = 0; dir < s->n_directions; dir++)
        run_direction(plan, s, out, (uint32_t)dir, (uint32_t)in[0]->dim[2], &w);
}

const nj_net_op nj_op_lstm_fast = { "LSTM (fast)", shape_lstm, run_lstm, scratch_lstm };
