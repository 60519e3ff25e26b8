/* decode_image.c - stamps: encodings, sizes, damage, bombs; every BITPIX against cfitsio. */
#include "decode_kit.h"

#include <bzlib.h>
#include <fitsio.h>
#include <float.h>
#include <libdeflate.h>
#include <lzma.h>
#include <math.h>
#include <zstd.h>

#include "broker/image/hdu.h"
#include "broker/image/opener.h"

typedef struct bench {
    nj_settings settings;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_arena arena;
} bench;

static bench *bench_new(const char *define)
{
    bench *b = calloc(1, sizeof *b);
    b->decoder = kit_decoder(&b->settings, define);
    b->opener = nj_opener_new(b->decoder);
    return b;
}

static void bench_free(bench *b)
{
    nj_arena_free(&b->arena);
    nj_opener_free(b->opener);
    nj_decoder_free(b->decoder);
    nj_settings_free(&b->settings);
    free(b);
}

/* Opens a copy of exactly these bytes; NULL when it is good, else why not. */
static const char *open_stamp(bench *b, const void *bytes, size_t size, nj_image *image)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    nj_stamp stamp = { .bytes = copy, .size = (uint32_t)size, .state = NJ_STAMP_PACKED };
    const char *why = NULL;
    nj_stamp_open(b->opener, &stamp, &b->arena, &why);
    assert_int_equal(stamp.state, why ? NJ_STAMP_BAD : NJ_STAMP_OPEN);
    if (image) *image = stamp.image;
    free(copy);
    return why;
}

static void card(nj_buffer *b, const char *text)
{
    nj_buffer_printf(b, "%-80s", text);
}
static void pad(nj_buffer *b, char with)
{
    while (b->n % 2880) nj_buffer_add(b, &with, 1);
}

/* A file as ZTF makes them: SIMPLE's value in column 12. */
static void ztf_fits(nj_buffer *b, int cols, int rows, const float *pixel)
{
    char text[81];
    card(b, "SIMPLE  =  T");
    card(b, "BITPIX  =                  -32 / size");
    card(b, "NAXIS   =                    2");
    snprintf(text, sizeof text, "NAXIS1  = %20d", cols);
    card(b, text);
    snprintf(text, sizeof text, "NAXIS2  = %20d", rows);
    card(b, text);
    card(b, "BUNIT   = 'DN      '");
    card(b, "END");
    pad(b, ' ');
    for (int i = 0; i < rows * cols; i++) {
        uint32_t v;
        memcpy(&v, &pixel[i], 4);
        v = __builtin_bswap32(v);
        nj_buffer_add(b, &v, 4);
    }
    pad(b, 0);
}

static size_t gzip(const nj_buffer *in, uint8_t **out)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t cap = libdeflate_gzip_compress_bound(c, in->n);
    *out = malloc(cap);
    size_t n = libdeflate_gzip_compress(c, in->data, in->n, *out, cap);
    libdeflate_free_compressor(c);
    return n;
}

static void edge_stamps_with_nan_and_lowest(void **state)
{
    (void)state;
    bench *b = bench_new(NULL);
    enum { ROWS = 41, COLS = 63 };
    float pixel[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) pixel[i] = (float)i - 0.25f;
    pixel[0] = NAN;
    pixel[COLS] = -FLT_MAX;
    pixel[ROWS * COLS - 1] = -NAN;
    pixel[7] = INFINITY;
    nj_buffer file = { 0 };
    ztf_fits(&file, COLS, ROWS, pixel);
    uint8_t *gz;
    size_t n = gzip(&file, &gz);
    for (int packed = 0; packed < 2; packed++) {
        nj_image image;
        const char *why = packed ? open_stamp(b, gz, n, &image) : open_stamp(b, file.data, file.n, &image);
        if (why) fail_msg("%s", why);
        assert_int_equal(image.rows, ROWS);
        assert_int_equal(image.cols, COLS);
        assert_int_equal(image.n_nan, 2);
        assert_memory_equal(image.pixel, pixel, sizeof pixel);
        assert_int_equal((uintptr_t)image.pixel % 64, 0);
    }
    /* cut anywhere: bad, or (in the padding behind the data) good; never a read past the end */
    for (size_t k = 0; k < n; k++) assert_non_null(open_stamp(b, gz, k, NULL));
    size_t data = 2880 + sizeof pixel;
    for (size_t k = 0; k <= file.n; k++) {
        const char *why = open_stamp(b, file.data, k, NULL);
        if (!why != (k >= data)) fail_msg("cut at %zu: %s", k, why ? why : "accepted");
    }
    free(gz);
    nj_buffer_free(&file);
    bench_free(b);
}

static void bombs_are_refused_at_once(void **state)
{
    (void)state;
    bench *b = bench_new(NULL);
    enum { GIB_SHARE = 256 };
    /* 1 GiB of zeros as gzip: deflate blocks of 4 MiB of zeros, joined; made without unpacking anything */
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(12);
    size_t part = (size_t)1 << 22, cap = libdeflate_deflate_compress_bound(c, part);
    char *zero = calloc(1, part), *out = malloc(cap);
    size_t n = libdeflate_deflate_compress(c, zero, part, out, cap);
    nj_buffer bomb = { 0 };
    nj_buffer_add(&bomb, "\x1f\x8b\x08\0\0\0\0\0\2\3", 10);
    for (int i = 0; i < GIB_SHARE; i++) {
        out[0] &= (char)~1; /* not the last block: harmless to the size of what it unpacks to in total */
        nj_buffer_add(&bomb, out, n);
    }
    uint32_t tail[2] = { 0, 1u << 30 };
    nj_buffer_add(&bomb, tail, 8);
    for (int lie = 0; lie < 2; lie++) { /* 1: it announces the size of a real stamp */
        if (lie) {
            tail[1] = 20160;
            memcpy(bomb.data + bomb.n - 4, &tail[1], 4);
        }
        const char *why = NULL;
        nj_stamp stamp = { .bytes = (const uint8_t *)bomb.data,
                           .size = (uint32_t)bomb.n,
                           .state = NJ_STAMP_PACKED };
        nj_stamp_open(b->opener, &stamp, &b->arena, &why);
        assert_int_equal(stamp.state, NJ_STAMP_BAD);
        print_message("# a bomb of %zu bytes: '%s', %zu bytes taken\n", bomb.n, why, b->arena.used);
        assert_non_null(strstr(why, lie ? "more than it announces" : "more than [decode] max_stamp"));
        assert_true(b->arena.used < 1 << 20);
    }
    libdeflate_free_compressor(c);
    free(zero);
    free(out);
    nj_buffer_free(&bomb);
    bench_free(b);
}

/* A stamp packed by another packer, in several members, or twice. */
static void stamps_in_any_packing(void **state)
{
    (void)state;
    bench *b = bench_new(NULL);
    static float pixel[63 * 63];
    for (int i = 0; i < 63 * 63; i++) pixel[i] = (float)i;
    nj_buffer file = { 0 }, made[6] = { { 0 } };
    ztf_fits(&file, 63, 63, pixel);
    uint8_t *gz;
    size_t cap = 1 << 20, n = gzip(&file, &gz), out = 0;
    char *room = malloc(cap);
    nj_buffer half = { .data = file.data, .n = 10000 },
              rest = { .data = file.data + 10000, .n = file.n - 10000 };
    nj_buffer once = { .data = (char *)gz, .n = n };
    unsigned packed = (unsigned)cap;
    nj_buffer_add(&made[0], room, ZSTD_compress(room, cap, file.data, file.n, 3));
    assert_int_equal(BZ2_bzBuffToBuffCompress(room, &packed, file.data, (unsigned)file.n, 9, 0, 0), BZ_OK);
    nj_buffer_add(&made[1], room, packed);
    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, (uint8_t *)file.data, file.n,
                                             (uint8_t *)room, &out, cap),
                     LZMA_OK);
    nj_buffer_add(&made[2], room, out);
    for (int k = 0; k < 2; k++) { /* a long member first, then a short one, and the other way round */
        uint8_t *part;
        nj_buffer first = k ? half : (nj_buffer){ .data = file.data, .n = 15000 };
        nj_buffer second = k ? rest : (nj_buffer){ .data = file.data + 15000, .n = file.n - 15000 };
        size_t m = gzip(&first, &part);
        nj_buffer_add(&made[3 + k], part, m);
        free(part);
        m = gzip(&second, &part);
        nj_buffer_add(&made[3 + k], part, m);
        free(part);
    }
    uint8_t *twice;
    size_t m = gzip(&once, &twice);
    nj_buffer_add(&made[5], twice, m);
    free(twice);
    for (int k = 0; k < 6; k++) {
        nj_image image;
        const char *why = open_stamp(b, made[k].data, made[k].n, &image);
        if (why) fail_msg("%d: %s", k, why);
        assert_memory_equal(image.pixel, pixel, sizeof pixel);
        why = open_stamp(b, made[k].data, made[k].n - 9, NULL);
        if (!why) fail_msg("%d: cut, and accepted", k);
        nj_buffer_free(&made[k]);
    }
    free(room);
    free(gz);
    nj_buffer_free(&file);
    bench_free(b);
}

static void what_is_no_stamp(void **state)
{
    (void)state;
    bench *b = bench_new("decode.max_pixels=5000");
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } bad[] = { { "\xff\xd8\xff\xe0 a picture", 14, "JPEG" },
                { "", 0, "empty" },
                { "hello", 5, "neither packed nor FITS" },
                { "\x1f\x8b\x08\0\0\0\0\0\2\3damaged bytes\4\0\0\0", 27, "damaged gzip" },
                { "\x1f\x8b", 2, "neither" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = open_stamp(b, bad[i].bytes, bad[i].n, NULL);
        if (!why || !strstr(why, bad[i].says)) fail_msg("%zu: %s", i, why ? why : "accepted");
    }
    static float pixel[71 * 71];
    nj_buffer file = { 0 };
    ztf_fits(&file, 71, 71, pixel);
    const char *why = open_stamp(b, file.data, file.n, NULL);
    assert_true(why && strstr(why, "too many pixels"));
    memcpy(strstr(file.data, "  71"), "  -1", 4);
    why = open_stamp(b, file.data, file.n, NULL);
    assert_true(why && strstr(why, "no or too many"));
    memcpy(strstr(file.data, "  -1"), "   x", 4);
    why = open_stamp(b, file.data, file.n, NULL);
    assert_true(why && strstr(why, "is no number"));
    /* a stamp that is none, or opened already, stays as it is */
    nj_stamp none = { .state = NJ_STAMP_NONE };
    nj_stamp_open(b->opener, &none, &b->arena, NULL);
    assert_int_equal(none.state, NJ_STAMP_NONE);
    nj_buffer_free(&file);
    bench_free(b);
}

/* Images that cfitsio writes, with and without scaling, against what cfitsio reads;
 * *plain counts the direct ones. */
static void every_bitpix_as_cfitsio_reads_it(void **state)
{
    (void)state;
    bench *b = bench_new(NULL);
    static const struct {
        int bitpix;
        double scale, zero;
        int naxis, empty_primary;
        bool plain;
    } kind[] = { { 8, 1, 0, 2, 0, true },       { 16, 1, 0, 2, 0, true },    { 32, 1, 0, 2, 0, true },
                 { -32, 1, 0, 2, 0, true },     { -64, 1, 0, 2, 0, true },   { 16, 0.5, 100, 2, 0, false },
                 { 16, 1, 32768, 2, 0, false }, { -32, 2, -1, 2, 0, false }, { 64, 1, 0, 2, 0, false },
                 { -32, 1, 0, 2, 1, false },    { -32, 1, 0, 3, 0, false },  { 16, 0.5, 100, 4, 0, false },
                 { -32, 1, 0, 4, 1, false } };
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        enum { COLS = 7, ROWS = 5 };
        size_t size = 2880;
        void *memory = malloc(size);
        fitsfile *f;
        int status = 0, any;
        long axis[4] = { COLS, ROWS, 1, 1 }; /* further axes of one pixel are skipped */
        double value[ROWS * COLS];
        for (int i = 0; i < ROWS * COLS; i++)
            value[i] = kind[k].zero + kind[k].scale * (kind[k].bitpix == 8 ? i * 7 : i * 11 - 100);
        if (kind[k].bitpix < 0) value[3] = NAN;
        fits_create_memfile(&f, &memory, &size, 2880, realloc, &status);
        if (kind[k].empty_primary) fits_create_img(f, 8, 0, NULL, &status);
        fits_create_img(f, kind[k].bitpix, kind[k].naxis, axis, &status);
        if (kind[k].scale != 1 || kind[k].zero != 0) {
            double scale = kind[k].scale, zero = kind[k].zero;
            fits_write_key(f, TDOUBLE, "BSCALE", &scale, NULL, &status);
            fits_write_key(f, TDOUBLE, "BZERO", &zero, NULL, &status);
            fits_set_hdustruc(f, &status);
        }
        fits_write_img(f, TDOUBLE, 1, ROWS * COLS, value, &status);
        fits_flush_file(f, &status);
        float want[ROWS * COLS], null = NAN;
        fits_read_img(f, TFLOAT, 1, ROWS * COLS, &null, want, &any, &status);
        fits_close_file(f, &status);
        assert_int_equal(status, 0);
        nj_image image;
        const char *why = open_stamp(b, memory, size, &image);
        if (why) fail_msg("kind %zu: %s", k, why);
        assert_int_equal(image.rows, ROWS);
        assert_int_equal(image.cols, COLS);
        assert_int_equal(image.n_nan, kind[k].bitpix < 0);
        for (int i = 0; i < ROWS * COLS; i++)
            if (isnan(want[i]) ? !isnan(image.pixel[i]) : image.pixel[i] != want[i])
                fail_msg("kind %zu pixel %d: %g, not %g", k, i, (double)image.pixel[i], (double)want[i]);
        size_t end =
            2880 * (1 + (size_t)kind[k].empty_primary) + ROWS * COLS * (size_t)abs(kind[k].bitpix) / 8;
        assert_null(open_stamp(b, memory, end, NULL)); /* without its padding */
        assert_non_null(open_stamp(b, memory, end - 1, NULL));
        assert_non_null(open_stamp(b, memory, end - ROWS * COLS, NULL));
        nj_fits_result direct = nj_fits_plain(memory, size, 1000, &b->arena, &image, &why);
        assert_int_equal(direct, kind[k].plain ? NJ_FITS_OK : NJ_FITS_UNUSUAL);
        free(memory);
    }
    bench_free(b);
}

/* Together: the pixels of each as alone. What is damaged or no image stays packed, for who asks for it. */
static void stamps_opened_ahead(void **state)
{
    (void)state;
    enum { SIDE = 63, N = 8, DAMAGED = 1, TEXT = 6, PLAIN = 2 };
    bench *b = bench_new(NULL);
    nj_stamp stamp[N], *together[N];
    uint8_t *packed[N];
    for (int k = 0; k < N; k++) {
        float pixel[SIDE * SIDE];
        uint32_t noise = (uint32_t)k + 1;
        for (int i = 0; i < SIDE * SIDE; i++) {
            noise = noise * 1664525 + 1013904223;
            pixel[i] = 200 + (float)(noise >> 8) * 0x1p-20f;
        }
        nj_buffer file = { 0 };
        ztf_fits(&file, SIDE, SIDE, pixel);
        if (k == TEXT) memcpy(file.data, "HARDLY ", 7);
        size_t n = gzip(&file, &packed[k]);
        if (k == DAMAGED) packed[k][n / 2] ^= 4;
        if (k == PLAIN) {
            n = file.n;
            packed[k] = realloc(packed[k], n);
            memcpy(packed[k], file.data, n);
        }
        stamp[k] = (nj_stamp){ .bytes = packed[k], .size = (uint32_t)n, .state = NJ_STAMP_PACKED };
        together[k] = &stamp[k];
        nj_buffer_free(&file);
    }
    /* of those that can be, so many at a time */
    for (int k = 0; k < 3; k++) nj_stamps_open_ahead(b->opener, together, N, &b->arena);
    for (int k = 0; k < N; k++) {
        nj_image image = { 0 };
        const char *why = open_stamp(b, stamp[k].bytes, stamp[k].size, &image);
        const bool left = k == DAMAGED || k == TEXT || k == PLAIN;
        assert_int_equal(!why, k != DAMAGED && k != TEXT);
        assert_int_equal(stamp[k].state, left ? NJ_STAMP_PACKED : NJ_STAMP_OPEN);
        if (left) continue;
        assert_int_equal(stamp[k].image.rows, SIDE);
        assert_memory_equal(stamp[k].image.pixel, image.pixel, sizeof(float) * SIDE * SIDE);
    }
    const char *why;
    nj_stamp_for_graph(b->opener, &together[DAMAGED], N - DAMAGED, &b->arena, &why);
    assert_int_equal(stamp[DAMAGED].state, NJ_STAMP_BAD);
    assert_string_equal(why, "damaged gzip data");
    for (int k = 0; k < N; k++) free(packed[k]);
    bench_free(b);
}

/* Beyond [decode] max_stamp nothing is unpacked, together or alone. */
static void stamps_ahead_keep_the_limit(void **state)
{
    (void)state;
    bench *b = bench_new("decode.max_stamp=4000");
    nj_buffer file = { 0 };
    float pixel[1600];
    for (int i = 0; i < 1600; i++) pixel[i] = (float)i * 1.1f;
    ztf_fits(&file, 40, 40, pixel);
    uint8_t *gz;
    size_t n = gzip(&file, &gz);
    nj_stamp stamp[2] = { { .bytes = gz, .size = (uint32_t)n, .state = NJ_STAMP_PACKED } },
             *both[2] = { stamp, stamp + 1 };
    stamp[1] = stamp[0];
    nj_stamps_open_ahead(b->opener, both, 2, &b->arena);
    assert_int_equal(stamp[0].state, NJ_STAMP_PACKED);
    assert_int_equal(stamp[1].state, NJ_STAMP_PACKED);
    free(gz);
    nj_buffer_free(&file);
    bench_free(b);
}

/* The image of HDU `number` (from 0) as cfitsio reads it, from malloc; NULL when it is none. */
static float *by_cfitsio(const void *bytes, size_t size, int number, char *name, long axis[2])
{
    fitsfile *f;
    int status = 0, naxis = 0, bitpix, type, any;
    void *memory = (void *)(uintptr_t)bytes;
    float *pixel = NULL;
    name[0] = 0;
    if (fits_open_memfile(&f, "x", READONLY, &memory, &size, 0, NULL, &status)) return NULL;
    fits_movabs_hdu(f, number + 1, &type, &status);
    fits_get_img_param(f, 2, &bitpix, &naxis, axis, &status);
    if (!status && type == IMAGE_HDU && naxis == 2) {
        pixel = malloc((size_t)(axis[0] * axis[1]) * sizeof *pixel);
        /* NULL: infinities stay what they are */
        fits_read_img(f, TFLOAT, 1, axis[0] * axis[1], NULL, pixel, &any, &status);
        assert_int_equal(status, 0);
        fits_read_key(f, TSTRING, "EXTNAME", name, NULL, &status);
        if (status) name[0] = 0;
    }
    status = 0;
    fits_close_file(f, &status);
    return pixel;
}

/* Every HDU by number and by name, against cfitsio; returns how many images there are. */
static int same_hdus(bench *b, const char *where, const void *bytes, size_t size, size_t *n_pixels)
{
    nj_hdu h = { 0 };
    const char *why = NULL;
    int n = 0, there;
    while ((there = nj_hdu_next(bytes, size, &h, &why)) > 0) {
        char name[80], number[8];
        long axis[2] = { 0, 0 };
        float *want = by_cfitsio(bytes, size, (int)h.number, name, axis);
        snprintf(number, sizeof number, "%u", h.number);
        for (int by_name = 0; by_name < 3; by_name++) {
            const char *which = by_name == 2 ? h.type : by_name ? h.name : number;
            nj_image image = { 0 };
            if (by_name && (!*which || (by_name == 2 && !h.image))) continue; /* tables share a type */
            nj_fits_result rc = nj_hdu_open(bytes, size, which, 1 << 20, &b->arena, &image, &why);
            if ((rc == NJ_FITS_OK) != (want != NULL))
                fail_msg("%s[%s]: %s", where, which, rc == NJ_FITS_OK ? "opened" : why);
            if (!want) continue;
            if (image.cols != axis[0] || image.rows != axis[1])
                fail_msg("%s[%s]: %ux%u", where, which, image.rows, image.cols);
            for (size_t i = 0; i < (size_t)image.rows * image.cols; i++, *n_pixels += !by_name)
                /* the same cast of the same number */
                if (isnan(want[i]) ? !isnan(image.pixel[i]) : image.pixel[i] != want[i])
                    fail_msg("%s[%s] pixel %zu: %g, not %g", where, which, i, (double)image.pixel[i],
                             (double)want[i]);
        }
        if (want)
            assert_true(h.number ? !strcmp(h.name, name)
                                 : !strcmp(h.name, "PRIMARY") || !strcmp(h.name, name));
        n += want != NULL;
        free(want);
    }
    if (there < 0) fail_msg("%s: %s", where, why);
    return n;
}

/* An empty primary, a scaled image, a table with a heap, one pixel plane of doubles with NaN, a cube. */
static void every_hdu_as_cfitsio_reads_it(void **state)
{
    (void)state;
    bench *b = bench_new(NULL);
    size_t size = 2880, n_pixels = 0;
    void *memory = malloc(size);
    fitsfile *f;
    int status = 0;
    long axis[3] = { 6, 4, 2 };
    double value[48], scale = 0.5, zero = 3;
    char *type[] = { "words" }, *form[] = { "PA" }, *text[] = { "some" }, *name = "VARIANCE";
    for (int i = 0; i < 48; i++) value[i] = i % 5 == 4 ? NAN : i * 1.37;
    fits_create_memfile(&f, &memory, &size, 2880, realloc, &status);
    fits_create_img(f, 8, 0, NULL, &status);
    fits_create_img(f, 16, 2, axis, &status);
    fits_write_key(f, TSTRING, "EXTNAME", "MASK", NULL, &status);
    fits_write_key(f, TDOUBLE, "BSCALE", &scale, NULL, &status);
    fits_write_key(f, TDOUBLE, "BZERO", &zero, NULL, &status);
    fits_set_hdustruc(f, &status);
    double whole[24];
    for (int i = 0; i < 24; i++) whole[i] = zero + scale * i;
    fits_write_img(f, TDOUBLE, 1, 24, whole, &status);
    fits_create_tbl(f, BINARY_TBL, 0, 1, type, form, NULL, "TABLE", &status);
    fits_write_col(f, TSTRING, 1, 1, 1, 1, text, &status);
    fits_create_img(f, -64, 2, axis, &status);
    fits_write_key(f, TSTRING, "EXTNAME", name, NULL, &status);
    fits_write_img(f, TDOUBLE, 1, 24, value, &status);
    fits_create_img(f, -32, 3, axis, &status);
    fits_write_key(f, TSTRING, "EXTNAME", "CUBE", NULL, &status);
    fits_write_img(f, TDOUBLE, 1, 48, value, &status);
    fits_flush_file(f, &status);
    fits_close_file(f, &status);
    assert_int_equal(status, 0);
    assert_int_equal(same_hdus(b, "made", memory, size, &n_pixels), 2);
    assert_int_equal(n_pixels, 2 * 24);
    static const char *const none[] = { "NOSUCH", "17", "TABLE", "CUBE", "0", "" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        nj_image image;
        const char *why = NULL;
        assert_int_equal(nj_hdu_open(memory, size, none[i], 1000, &b->arena, &image, &why), NJ_FITS_BAD);
        assert_non_null(strstr(why, i < 2 || i == 5 ? "no HDU of that name" : "not an image of two axes"));
    }
    /* cut anywhere: an error or fewer HDUs, never a read past the end */
    for (size_t cut = 0; cut < size; cut += cut % 2880 < 2000 ? 80 : 1) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, memory, cut);
        uint8_t *exact = realloc(copy, cut ? cut : 1);
        nj_hdu h = { 0 };
        const char *why;
        int n = 0;
        while (nj_hdu_next(exact, cut, &h, &why) > 0) n++;
        assert_true(n <= 5);
        free(exact);
    }
    free(memory);
    bench_free(b);
}

/* A FITS file of so many HDUs without data, the first with so many axes of no length; its size. */
static size_t empty_hdus(char **file, int n, int axes)
{
    *file = malloc((size_t)n * 2880);
    memset(*file, ' ', (size_t)n * 2880);
    for (int i = 0; i < n; i++) {
        char *at = *file + (size_t)i * 2880, card[24];
        int k = 0, more = i ? 0 : axes;
        memcpy(at + 80 * k++, i ? "XTENSION= 'IMAGE   '" : "SIMPLE  =                    T", i ? 20 : 30);
        memcpy(at + 80 * k++, "BITPIX  =                    8", 30);
        snprintf(card, sizeof card, "%10d", more);
        memcpy(at + 80 * k, "NAXIS   =           ", 20);
        memcpy(at + 80 * k++ + 20, card, 10);
        for (int a = 1; a <= more; a++) {
            snprintf(card, sizeof card, "NAXIS%-3d", a);
            memcpy(at + 80 * k, card, 8);
            memcpy(at + 80 * k++ + 8, "=                    0", 22);
        }
        if (i) memcpy(at + 80 * k++, "PCOUNT  =                    0", 30);
        if (i) memcpy(at + 80 * k++, "GCOUNT  =                    1", 30);
        memcpy(at + 80 * k, "END", 3);
    }
    return (size_t)n * 2880;
}

/* MOST_HDUS and MOST_AXES, reached and passed. */
static void as_many_hdus_and_axes_as_may_be(void **state)
{
    (void)state;
    bench *b = bench_new(NULL);
    static const struct {
        int hdus, axes;
        const char *which, *why;
    } ask[] = {
        { 256, 0, "255", "not an image of two axes" }, { 256, 0, "256", "no HDU of that name or number" },
        { 257, 0, "255", "not an image of two axes" }, { 257, 0, "256", "a FITS file of more than 256 HDUs" },
        { 257, 0, "NOSUCH", "more than 256 HDUs" },    { 1, 16, "0", "not an image of two axes" },
        { 1, 17, "0", "more than 16 axes" },
    };
    for (size_t i = 0; i < sizeof ask / sizeof *ask; i++) {
        char *file;
        nj_image image;
        const char *why = "";
        const size_t size = empty_hdus(&file, ask[i].hdus, ask[i].axes);
        const nj_fits_result rc =
            nj_hdu_open((const uint8_t *)file, size, ask[i].which, 1000, &b->arena, &image, &why);
        assert_int_equal(rc, NJ_FITS_BAD);
        if (!strstr(why, ask[i].why)) fail_msg("%d, %s: %s", ask[i].hdus, ask[i].which, why);
        free(file);
    }
    bench_free(b);
}

static void every_hdu_of_real_lsst_stamps(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const nj_layout layout = { .survey = "lsst", .stamps = 7 };
    static const char *const folder[] = { "lsst/wire", "lsst/ocf", "lsst/fink", "lsst/bare" };
    char define[4200];
    size_t n_pixels = 0;
    int n_stamps = 0, n_images = 0;
    for (size_t k = 0; k < sizeof folder / sizeof *folder; k++) {
        snprintf(define, sizeof define,
                 k < 3 ? "registry.schemas=%s/real/schemas/lsst"
                       : "decode.schema=%s/real/lsst/bare/schema_lsst_v9_0.json",
                 kit_shared());
        bench *b = bench_new(define);
        int n;
        char **names = kit_folder(folder[k], k == 0 ? ".msg" : k < 3 ? ".avro" : ".datum", &n);
        for (int i = 0; i < n; i++) {
            nj_cursor cursor = { 0 };
            nj_error err;
            size_t size = 0;
            uint8_t *bytes = kit_file(names[i], &size);
            nj_chunk *chunk = kit_chunk(bytes, size);
            nj_batch *batch = nj_batch_new();
            assert_int_equal(nj_batch_begin(batch, &layout, 64), 0);
            if (nj_cursor_open(&cursor, b->decoder, chunk, &err)) fail_msg("%s: %s", names[i], err.text);
            assert_int_equal(nj_cursor_read(&cursor, batch, 64, SIZE_MAX), 0);
            for (uint32_t row = 0; row < batch->n; row++)
                for (int s = 0; s < NJ_STAMPS; s++) {
                    const nj_stamp *stamp = &batch->stamp[s][row];
                    if (stamp->state == NJ_STAMP_NONE || memcmp(stamp->bytes, "SIMPLE", 6)) continue;
                    n_images += same_hdus(b, names[i], stamp->bytes, stamp->size, &n_pixels);
                    n_stamps++;
                }
            nj_batch_free(batch);
            nj_cursor_free(&cursor);
            nj_chunk_drop(chunk);
            free(bytes);
            free(names[i]);
        }
        free(names);
        bench_free(b);
    }
    print_message("# %d images in %d stamps, %zu pixels equal cfitsio's\n", n_images, n_stamps, n_pixels);
    assert_true(n_stamps > 60 && n_images == 3 * n_stamps);
}

static void vector_code_equals_the_portable_one(void **state)
{
    (void)state;
    uint8_t bytes[4 * 300 + 3];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 167 ^ i >> 3);
    /* NaN, when aligned to pixels */
    for (size_t i = 0; i < 300; i += 7) bytes[4 * i] = 0x7f, bytes[4 * i + 1] = 0xff;
    for (size_t n = 0; n <= 299; n++)
        for (size_t shift = 0; shift < 4; shift += 3) {
            float a[300], b[300];
            uint32_t n_a = nj_fits_swap(a, bytes + shift, n),
                     n_b = nj_fits_swap_portable(b, bytes + shift, n);
            assert_int_equal(n_a, n_b);
            assert_memory_equal(a, b, n * sizeof *a); /* bit by bit */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edge_stamps_with_nan_and_lowest),
        cmocka_unit_test(bombs_are_refused_at_once),
        cmocka_unit_test(stamps_in_any_packing),
        cmocka_unit_test(what_is_no_stamp),
        cmocka_unit_test(every_bitpix_as_cfitsio_reads_it),
        cmocka_unit_test(stamps_opened_ahead),
        cmocka_unit_test(stamps_ahead_keep_the_limit),
        cmocka_unit_test(every_hdu_as_cfitsio_reads_it),
        cmocka_unit_test(as_many_hdus_and_axes_as_may_be),
        cmocka_unit_test(every_hdu_of_real_lsst_stamps),
        cmocka_unit_test(vector_code_equals_the_portable_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
