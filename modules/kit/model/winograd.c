/* winograd.c - convolutions of 3 x 3 take most of the time of a network on stamps; Winograd's F(4 x 4, 3 x 3)
 * has a quarter of their multiplications.
 *
 * A tile of 6 x 6 inputs gives 4 x 4 results: both it and the filters are transformed to 36 numbers, so that
 * sums over the channels remain, one matrix product for each of the 36 (tile.h). The filters are transformed
 * when the model is opened. Bias, Relu and a maximum over 2 x 2 or 4 x 4 results go into the last transform.
 * Reference: Lavin & Gray 2016, CVPR, arXiv:1509.09308.
 *
 * Rounding: the transforms add and subtract, so that a result's error is that of the largest numbers of its
 * tile, not of its window (measured: tests/kernel/model_images.c). For the same reason a NaN would spread
 * over its tile. An image with a number that is not finite, or 2^64 and more, is convolved directly, whole:
 * its results are those of the other kernel to the bit, NaN in exactly those whose window has one. */
#include <math.h>
#include <string.h>

#include "fast.h"
#if defined __x86_64__
#include <immintrin.h>
#endif

enum { OUT = 4, IN = 6, PLACES = IN * IN, LANES = 16, LEAST = 12, MOST = 14 };

typedef struct nj_winograd_out {
    const float *bias;
    float *to;
    size_t row;                                   /* floats from one row of results to the next */
    uint32_t channels, rows, columns, pool, relu; /* rows and columns after the maximum */
} nj_winograd_out;

#define LANES_FILE "../model/winograd_lanes.h"
#define ISA_FMA
#include "../num/each_isa.h"
#undef ISA_FMA
static int (*const too_large[NJ_ISAS])(const float *, size_t) = EACH_ISA(too_large);
static void (*const tile_in[NJ_ISAS])(const float *const *, const size_t *, uint32_t, float *, size_t,
                                      size_t) = EACH_ISA(tile_in);
static void (*const tile_out[NJ_ISAS])(const nj_winograd_out *, const float *, size_t) = EACH_ISA(tile_out);

/* --- the filters --- */

/* G g G^T of one filter, in double. */
static void transform(const float g[9], double u[PLACES])
{
    static const double G[IN][3] = { { 1 / 4.0, 0, 0 },
                                     { -1 / 6.0, -1 / 6.0, -1 / 6.0 },
                                     { -1 / 6.0, 1 / 6.0, -1 / 6.0 },
                                     { 1 / 24.0, 1 / 12.0, 1 / 6.0 },
                                     { 1 / 24.0, -1 / 12.0, 1 / 6.0 },
                                     { 0, 0, 1 } };
    for (int y = 0; y < IN; y++)
        for (int x = 0; x < IN; x++) {
            double sum = 0;
            for (int k = 0; k < 9; k++) sum += G[y][k / 3] * G[x][k % 3] * (double)g[k];
            u[y * IN + x] = sum;
        }
}

static uint32_t tiles_of(int32_t rows, int32_t columns)
{
    return (uint32_t)((rows + OUT - 1) / OUT * ((columns + OUT - 1) / OUT));
}

int nj_winograd_fits(const nj_net_step *s, const nj_tensor *w, int32_t rows, int32_t columns)
{
    int plain =
        s->stride[0] == 1 && s->stride[1] == 1 && !s->pad[0] && !s->pad[1] && !s->pad[2] && !s->pad[3];
    if (!plain || s->group != 1 || w->dim[2] != 3 || w->dim[3] != 3 || w->dim[0] % LANES ||
        w->dim[1] % LANES || w->dim[0] % (int32_t)nj_product_block((uint32_t)w->dim[0], 0) ||
        tiles_of(rows, columns) < LEAST)
        return 0;
    for (size_t i = 0; i < w->n; i++)
        if (!(fabsf(w->data[i]) < 0x1p32f)) return 0; /* sums could overflow that the direct way keeps */
    return 1;
}

const float *nj_winograd_pack(nj_pool *pool, const nj_tensor *w, uint32_t block)
{
    const size_t n_out = (size_t)w->dim[0], n_in = (size_t)w->dim[1];
    float *to = nj_pool_alloc(pool, PLACES * n_out * n_in, sizeof *to);
    for (size_t o = 0; to && o < n_out; o++)
        for (size_t i = 0; i < n_in; i++) {
            double u[PLACES];
            transform(w->data + (o * n_in + i) * 9, u);
            for (size_t k = 0; k < PLACES; k++)
                to[k * n_out * n_in + (o / block * n_in + i) * block + o % block] = (float)u[k];
        }
    return to;
}

/* --- running --- */

/* Tiles at a time: what the products take at once, with the fewest tiles computed twice. */
static uint32_t block_of(uint32_t n_tiles)
{
    uint32_t best = n_tiles, least = UINT32_MAX;
    if (n_tiles < LEAST) return n_tiles; /* what is not read of the results was more (crop.c) */
    for (uint32_t n = MOST; n >= LEAST; n--) {
        uint32_t computed = (n_tiles + n - 1) / n * n;
        if (computed >= least) continue;
        least = computed;
        best = n;
    }
    return best;
}

typedef struct size {
    uint32_t n_in, n_out, rows, columns, tiles_x, n_tiles, block; /* rows, columns: of the convolution */
    size_t image;                                                 /* floats of an input image */
    int32_t in_rows, in_columns;
} size;

static size size_of(const nj_net_step *s, const nj_tensor *x, const nj_tensor *o)
{
    size z = { .n_in = (uint32_t)x->dim[1],
               .n_out = (uint32_t)o->dim[1],
               .rows = (uint32_t)(o->dim[2] * s->pool),
               .columns = (uint32_t)(o->dim[3] * s->pool),
               .in_rows = x->dim[2],
               .in_columns = x->dim[3] };
    z.tiles_x = (z.columns + OUT - 1) / OUT;
    z.n_tiles = z.tiles_x * ((z.rows + OUT - 1) / OUT);
    z.block = block_of(z.n_tiles);
    z.image = (size_t)x->dim[2] * (size_t)x->dim[3] * z.n_in;
    return z;
}

static size_t scratch_winograd(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    size z = size_of(s, in[0], out[0]);
    return (size_t)PLACES * z.block * (z.n_in + z.n_out) + nj_pooled_lines(s, out[0]);
}

/* Beyond the border of the image its last row and column stand in: no result that is kept reads them. */
static void read_tile(nj_isa isa, const size *z, const float *image, uint32_t tile, uint32_t at, float *to)
{
    const float *row[IN];
    size_t column[IN];
    for (int32_t k = 0; k < IN; k++) {
        int32_t y = (int32_t)(tile / z->tiles_x) * OUT + k, x = (int32_t)(tile % z->tiles_x) * OUT + k;
        if (y >= z->in_rows) y = z->in_rows - 1;
        if (x >= z->in_columns) x = z->in_columns - 1;
        row[k] = image + (size_t)y * (size_t)z->in_columns * z->n_in;
        column[k] = (size_t)x * z->n_in;
    }
    tile_in[isa](row, column, z->n_in, to + (size_t)at * LANES, (size_t)z->block * z->n_in,
                 (size_t)z->block * LANES);
}

static uint32_t fewer(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void write_tile(nj_isa isa, const nj_net_step *s, const size *z, uint32_t tile, const float *from,
                       float *image)
{
    const uint32_t pool = (uint32_t)s->pool, y = tile / z->tiles_x * OUT, x = tile % z->tiles_x * OUT;
    const size_t row = (size_t)z->columns / pool * z->n_out;
    nj_winograd_out o = { .bias = s->bias[0],
                          .to = image + y / pool * row + (size_t)(x / pool) * z->n_out,
                          .row = row,
                          .channels = z->n_out,
                          .rows = fewer(OUT, z->rows - y) / pool,
                          .columns = fewer(OUT, z->columns - x) / pool,
                          .pool = pool,
                          .relu = (uint32_t)s->relu };
    tile_out[isa](&o, from, (size_t)z->block * z->n_out);
}

static void run_winograd(const nj_net_plan *plan, const nj_net_step *s, nj_inputs in, nj_net_outputs out,
                         float *scratch)
{
    const size z = size_of(s, in[0], out[0]);
    float *sums = scratch + (size_t)PLACES * z.block * z.n_in;
    const nj_product p = { .in = scratch,
                           .weight = s->packed[1],
                           .bias = s->bias[1],
                           .out = sums,
                           .in_step = LANES,
                           .out_step = (ptrdiff_t)z.n_out,
                           .segment_step = (ptrdiff_t)z.block * LANES,
                           .n = z.block,
                           .n_out = z.n_out,
                           .n_segments = z.n_in / LANES,
                           .segment = LANES,
                           .block = s->block[0],
                           .n_repeats = PLACES,
                           .in_repeat = (ptrdiff_t)z.block * z.n_in,
                           .weight_repeat = (ptrdiff_t)z.n_in * z.n_out,
                           .out_repeat = (ptrdiff_t)z.block * z.n_out };
    for (int32_t r = 0; r < in[0]->dim[0]; r++) {
        const float *image = in[0]->data + (size_t)r * z.image;
        float *to = out[0]->data + (size_t)r * (out[0]->n / (size_t)in[0]->dim[0]);
        if (too_large[plan->isa](image, z.image)) {
            nj_conv_image(plan, s, in[0], in[1], image, out[0], to, scratch);
            continue;
        }
        for (uint32_t first = 0; first < z.n_tiles; first += z.block) {
            const uint32_t tile = fewer(first, z.n_tiles - z.block);
            for (uint32_t i = 0; i < z.block; i++) read_tile(plan->isa, &z, image, tile + i, i, scratch);
            nj_product_run(plan->isa, &p);
            for (uint32_t i = 0; i < z.block; i++)
                write_tile(plan->isa, s, &z, tile + i, sums + (size_t)i * z.n_out, to);
        }
    }
}

const nj_net_op nj_op_winograd = { "Conv (Winograd)", nj_shape_conv_pool, run_winograd, scratch_winograd };
