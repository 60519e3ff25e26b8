/* model_images.c - the fast convolutions of networks against sums in double: Winograd's, direct ones,
 * separable ones, each with its maximum and with what it leaves out; and what becomes of a NaN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/kit/model/fast.h"

static uint64_t seed = 20261130;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-53;
}

typedef struct layer {
    int32_t in, out, rows, columns; /* channels; size of the input */
    int32_t kernel, stride, pad, pool, crop, relu;
} layer;

typedef struct built {
    layer l;
    nj_pool pool;
    nj_net_step step;
    nj_tensor x, w, d, o; /* [1, C, H, W], memory channels last; weights; depthwise weights; results */
    const float *bias;
    float *scratch;
    double *exact;       /* [o.n] */
    double most, weight; /* largest |input|, largest sum of |weights| of a result */
} built;

static nj_tensor tensor(built *b, int32_t n0, int32_t n1, int32_t n2, int32_t n3, double scale)
{
    nj_tensor t = { .rank = 4, .dim = { n0, n1, n2, n3 } };
    t.n = (size_t)n0 * (size_t)n1 * (size_t)n2 * (size_t)n3;
    t.data = nj_pool_alloc(&b->pool, t.n, sizeof *t.data);
    assert_non_null(t.data);
    for (size_t i = 0; i < t.n; i++) t.data[i] = (float)(scale * (uniform() - 0.4));
    return t;
}

static float pixel(const built *b, int32_t y, int32_t x, int32_t c)
{
    if (y < 0 || x < 0 || y >= b->l.rows || x >= b->l.columns) return 0;
    return b->x.data[((size_t)y * (size_t)b->l.columns + (size_t)x) * (size_t)b->l.in + (size_t)c];
}

/* One result before the maximum; separable when there are depthwise weights. */
static double one(const built *b, int32_t o, int32_t y, int32_t x)
{
    const int32_t k = b->l.kernel, s = b->l.stride, p = b->l.pad;
    double sum = (double)b->bias[o];
    for (int32_t c = 0; c < b->l.in; c++) {
        double tap = 0;
        for (int32_t i = 0; i < k * k; i++) {
            const float *w = b->d.data ? b->d.data + (ptrdiff_t)c * k * k
                                       : b->w.data + ((ptrdiff_t)o * b->l.in + c) * k * k;
            tap += (double)pixel(b, y * s - p + i / k, x * s - p + i % k, c) * (double)w[i];
        }
        sum += b->d.data ? tap * (double)b->w.data[(ptrdiff_t)o * b->l.in + c] : tap;
    }
    return b->l.relu && sum < 0 ? 0 : sum;
}

static void work_out(built *b)
{
    const int32_t pool = b->l.pool;
    size_t at = 0;
    b->exact = calloc(b->o.n, sizeof *b->exact);
    for (int32_t y = 0; y < b->o.dim[2]; y++)
        for (int32_t x = 0; x < b->o.dim[3]; x++)
            for (int32_t c = 0; c < b->l.out; c++, at++) {
                b->exact[at] = -INFINITY;
                for (int32_t k = 0; k < pool * pool; k++)
                    b->exact[at] = fmax(b->exact[at], one(b, c, y * pool + k / pool, x * pool + k % pool));
            }
    for (size_t i = 0; i < b->x.n; i++) b->most = fmax(b->most, fabs((double)b->x.data[i]));
    for (int32_t o = 0; o < b->l.out; o++) {
        double sum = 0;
        for (size_t i = 0; i < b->w.n / (size_t)b->l.out; i++)
            sum += fabs((double)b->w.data[(size_t)o * (b->w.n / (size_t)b->l.out) + i]);
        b->weight = fmax(b->weight, sum);
    }
}

static void open_results(built *b)
{
    const nj_tensor *in[] = { &b->x, b->d.data ? &b->d : &b->w, &b->w };
    nj_tensor *out[] = { &b->o };
    assert_int_equal(b->step.op->shape(&b->step, in, out), 0);
    b->o.n = (size_t)b->o.dim[1] * (size_t)b->o.dim[2] * (size_t)b->o.dim[3];
    b->o.data = calloc(b->o.n, sizeof *b->o.data);
    size_t n = b->step.op->scratch(&b->step, in, out);
    b->scratch = aligned_alloc(64, (n * sizeof *b->scratch + 64) / 64 * 64);
    memset(b->scratch, 0, n * sizeof *b->scratch);
}

/* The step as fuse.c makes it. */
static void open_layer(built *b, const layer *l, const nj_net_op *op)
{
    *b = (built){ .l = *l };
    const int32_t k = l->kernel;
    const uint32_t block = nj_product_block((uint32_t)l->out, 0);
    const int separable = op == &nj_op_separable;
    b->x = tensor(b, 1, l->in, l->rows, l->columns, 1);
    b->w = separable ? tensor(b, l->out, l->in, 1, 1, 0.3) : tensor(b, l->out, l->in, k, k, 0.3);
    if (separable) b->d = tensor(b, l->in, 1, k, k, 1);
    const nj_tensor bias = tensor(b, 1, 1, 1, l->out, 1);
    b->bias = bias.data;
    b->step = (nj_net_step){ .op = op,
                             .n_in = separable ? 3 : 2,
                             .kernel = { k, k },
                             .stride = { l->stride, l->stride },
                             .pad = { l->pad, l->pad, l->pad, l->pad },
                             .group = 1,
                             .relu = l->relu,
                             .crop = { l->crop, l->crop },
                             .pool = l->pool,
                             .block = { block } };
    b->step.packed[0] = nj_pack_conv(&b->pool, &b->w, block);
    b->step.bias[0] = nj_pack_bias(&b->pool, b->bias, NULL, (uint32_t)l->out, block);
    b->step.bias[1] = nj_pack_bias(&b->pool, NULL, NULL, (uint32_t)l->out, block);
    if (separable) {
        uint32_t in = (uint32_t)l->in, whole = in * (uint32_t)(l->columns - k + 1);
        b->step.block[1] = nj_depthwise_groups(in, (uint32_t)k, (uint32_t)k) ? in : whole;
        b->step.packed[1] = nj_pack_depthwise(&b->pool, &b->d, b->step.block[1]);
    } else if (op == &nj_op_winograd) {
        assert_true(nj_winograd_fits(&b->step, &b->w, l->rows - 2, l->columns - 2));
        b->step.packed[1] = nj_winograd_pack(&b->pool, &b->w, block);
    }
    open_results(b);
}

static void close_layer(built *b)
{
    free(b->o.data);
    free(b->scratch);
    free(b->exact);
    nj_pool_free(&b->pool);
}

static void run(built *b, const nj_net_op *op, nj_isa isa)
{
    const nj_net_plan plan = { .isa = isa };
    const nj_tensor *in[] = { &b->x, b->d.data ? &b->d : &b->w, &b->w };
    nj_tensor *out[] = { &b->o };
    memset(b->o.data, 0xff, b->o.n * sizeof *b->o.data); /* NaN where nobody writes */
    op->run(&plan, &b->step, in, out, b->scratch);
}

/* Largest error, in (largest input) * (largest sum of weights). AVX2 and AVX-512 give the same bits. */
static double error_of(const layer *l, const nj_net_op *op)
{
    built b;
    double worst = 0;
    open_layer(&b, l, op);
    work_out(&b);
    float *first = calloc(b.o.n, sizeof *first);
    for (nj_isa isa = NJ_ISA_PORTABLE; isa <= nj_isa_best(); isa++) {
        run(&b, op, isa);
        for (size_t i = 0; i < b.o.n; i++) {
            double error = fabs((double)b.o.data[i] - b.exact[i]) / (b.most * b.weight + 1);
            if (!(error <= 2e-6))
                fail_msg("%s, %d to %d channels, %d x %d, maximum of %d: result %zu is %g, not %g (%s)",
                         op->name, l->in, l->out, l->rows, l->columns, l->pool, i, (double)b.o.data[i],
                         b.exact[i], nj_isa_name[isa]);
            worst = fmax(worst, error);
        }
        if (isa == NJ_ISA_AVX512) assert_memory_equal(first, b.o.data, b.o.n * sizeof *first);
        memcpy(first, b.o.data, b.o.n * sizeof *first);
    }
    free(first);
    close_layer(&b);
    return worst;
}

static int32_t any(int32_t from, int32_t to)
{
    return from + (int32_t)(uniform() * (double)(to - from + 1));
}

/* What a maximum of `pool` leaves over, and more. */
static int32_t crop_of(int32_t results, int32_t pool)
{
    return results % pool + (uniform() < 0.5 ? pool : 0);
}

static void winograd(void **state)
{
    (void)state;
    static const int32_t channels[] = { 16, 32, 48, 64 }, outs[] = { 16, 32, 64, 96 };
    double worst = 0;
    for (int i = 0; i < 60; i++) {
        const int32_t side = any(15, 31), pool = 1 << any(0, 2);
        layer l = { .in = channels[any(0, 3)],
                    .out = outs[any(0, 3)],
                    .rows = side,
                    .columns = side,
                    .kernel = 3,
                    .stride = 1,
                    .pool = pool,
                    .crop = crop_of(side - 2, pool),
                    .relu = any(0, 1) };
        if (pool == 1 && i % 2) l.columns += any(1, 6);
        worst = fmax(worst, error_of(&l, &nj_op_winograd));
    }
    print_message("# Winograd: largest error %.3g of (largest input) x (sum of weights)\n", worst);
    /* so much cropped that few tiles remain */
    error_of(&(layer){ 16, 16, 20, 20, 3, 1, 0, 1, 15, 1 }, &nj_op_winograd);
}

static void direct(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < 120; i++) {
        static const int32_t channels[] = { 1, 3, 5, 16, 20, 32 };
        const int32_t kernel = any(1, 5), stride = any(1, 3), side = any(9, 47);
        layer l = { .in = channels[any(0, 5)],
                    .out = any(1, 40),
                    .rows = any(6, 12),
                    .columns = side,
                    .kernel = kernel,
                    .stride = stride,
                    .pad = any(0, 2),
                    .pool = 1,
                    .crop = any(0, 1),
                    .relu = any(0, 1) };
        if (i % 3 == 0) l.in = 3, l.out = 16, l.stride = 1, l.pad = 0, l.kernel = 3;
        worst = fmax(worst, error_of(&l, &nj_op_conv_fast));
    }
    print_message("# direct: largest error %.3g\n", worst);
}

static void separable(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < 120; i++) {
        static const int32_t channels[] = { 1, 3, 7, 16, 20, 32, 48 };
        const int32_t kernel = i % 4 ? 3 : any(1, 5), side = any(9, 40), pool = any(1, 2);
        layer l = { .in = channels[any(0, 6)],
                    .out = any(1, 3) * 16 - (i % 3 == 0),
                    .rows = side,
                    .columns = side,
                    .kernel = kernel,
                    .stride = 1,
                    .pool = pool,
                    .crop = crop_of(side - kernel + 1, pool),
                    .relu = any(0, 1) };
        worst = fmax(worst, error_of(&l, &nj_op_separable));
    }
    print_message("# separable: largest error %.3g\n", worst);
}

/* A number that Winograd's sums would spread goes the direct way: NaN in exactly the results whose window has
 * it, and all bits those of the other kernel. */
static void not_finite(void **state)
{
    (void)state;
    static const float wrong[] = { NAN, INFINITY, -INFINITY, 1e30f, -0x1p64f };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (nj_isa isa = NJ_ISA_PORTABLE; isa <= nj_isa_best(); isa++) {
            built b;
            open_layer(&b, &(layer){ 16, 32, 21, 19, 3, 1, 0, i % 2 ? 2 : 1, i % 2 ? 1 : 0, 0 },
                       &nj_op_winograd);
            const int32_t y = any(0, 20), x = any(0, 18), c = any(0, 15);
            b.x.data[(y * 19 + x) * 16 + c] = wrong[i];
            run(&b, &nj_op_winograd, isa);
            float *first = malloc(b.o.n * sizeof *first);
            memcpy(first, b.o.data, b.o.n * sizeof *first);
            const nj_net_plan plan = { .isa = isa };
            nj_conv_image(&plan, &b.step, &b.x, &b.w, b.x.data, &b.o, b.o.data, b.scratch);
            assert_memory_equal(first, b.o.data, b.o.n * sizeof *first);
            for (int32_t k = 0; isnan(wrong[i]) && k < (int32_t)b.o.n; k++) {
                const int32_t at_y = k / 32 / b.o.dim[3], at_x = k / 32 % b.o.dim[3];
                const int in_window = y >= at_y && y < at_y + 3 && x >= at_x && x < at_x + 3;
                assert_int_equal(isnan(first[k]) != 0, in_window);
            }
            free(first);
            close_layer(&b);
        }
}

static void refused(void **state)
{
    (void)state;
    built b;
    const layer good = { 16, 32, 18, 18, 3, 1, 0, 1, 0, 0 };
    open_layer(&b, &good, &nj_op_winograd);
    nj_net_step s = b.step;
    s.stride[1] = 2;
    assert_false(nj_winograd_fits(&s, &b.w, 16, 16));
    s = b.step;
    s.pad[3] = 1;
    assert_false(nj_winograd_fits(&s, &b.w, 16, 16));
    assert_false(nj_winograd_fits(&b.step, &b.w, 11, 8)); /* too few tiles to be worth it */
    b.w.data[7] = 1e10f;
    assert_false(nj_winograd_fits(&b.step, &b.w, 16, 16));
    b.w.data[7] = NAN;
    assert_false(nj_winograd_fits(&b.step, &b.w, 16, 16));
    close_layer(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(winograd), cmocka_unit_test(direct),
                                        cmocka_unit_test(separable), cmocka_unit_test(not_finite),
                                        cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
