/* What the tests of decode read and read with: ZTF's columns, a reader with its buffers,
 * and small packets made here. */
#ifndef TESTS_UNIT_DECODE_PACKETS_H
#define TESTS_UNIT_DECODE_PACKETS_H

#include "decode_kit.h"
#include "broker/image/opener.h"

#include <math.h>

#define COLUMN(path, type, shape)                                                                            \
    {                                                                                                        \
        path, type, shape, NULL, 1                                                                           \
    }
enum {
    CANDID,
    OBJECT,
    JD,
    BAND,
    MAG,
    LC_JD,
    LC_MAG,
    LC_KIND,
    LC_BAND,
    FP_FLUX,
    RAW_RB,
    SURVEY,
    POSITIVE,
    RAW_SERIES,
    N_COLUMNS
};
static const nj_column_def columns[N_COLUMNS] = { COLUMN("candid", NJ_I64, NJ_SCALAR),
                                                  COLUMN("object", NJ_STR, NJ_SCALAR),
                                                  COLUMN("jd", NJ_F64, NJ_SCALAR),
                                                  COLUMN("band", NJ_STR, NJ_SCALAR),
                                                  COLUMN("mag", NJ_F32, NJ_SCALAR),
                                                  COLUMN("lc.jd", NJ_F64, NJ_SERIES),
                                                  COLUMN("lc.mag", NJ_F32, NJ_SERIES),
                                                  COLUMN("lc.kind", NJ_I32, NJ_SERIES),
                                                  COLUMN("lc.band", NJ_U8, NJ_SERIES),
                                                  COLUMN("fp.flux", NJ_F32, NJ_SERIES),
                                                  COLUMN("packet.candidate.rb", NJ_F64, NJ_SCALAR),
                                                  COLUMN("survey", NJ_STR, NJ_SCALAR),
                                                  COLUMN("positive", NJ_U8, NJ_SCALAR),
                                                  COLUMN("packet.prv_candidates[].magpsf", NJ_F32,
                                                         NJ_SERIES) };
static const nj_layout ztf = { "ztf", N_COLUMNS, N_COLUMNS, columns, 7 };

/* A decoder with all that a thread needs beside it. */
typedef struct reader {
    nj_settings settings;
    nj_decoder *decoder;
    nj_cursor cursor;
    nj_batch *batch;
    nj_opener *opener;
    nj_error err;
} reader;

static inline reader *reader_new(const char *define)
{
    reader *r = calloc(1, sizeof *r);
    r->decoder = kit_decoder(&r->settings, define);
    r->batch = nj_batch_new();
    r->opener = nj_opener_new(r->decoder);
    return r;
}

static inline void reader_free(reader *r)
{
    nj_batch_free(r->batch);
    nj_cursor_free(&r->cursor);
    nj_opener_free(r->opener);
    nj_decoder_free(r->decoder);
    nj_settings_free(&r->settings);
    free(r);
}

/* Reads a chunk into one batch of at most `rows`; -1: the chunk was refused as a whole (r->err).
 * The batch stays. */
static inline int read_as(reader *r, const void *bytes, size_t size, const nj_layout *layout, uint32_t rows)
{
    nj_chunk *chunk = kit_chunk(bytes, size);
    strcpy(r->err.text, "");
    int rc = nj_cursor_open(&r->cursor, r->decoder, chunk, &r->err);
    assert_int_equal(nj_batch_begin(r->batch, layout, rows), 0);
    if (rc == 0)
        rc = nj_cursor_read(&r->cursor, r->batch, rows, SIZE_MAX);
    else
        assert_int_not_equal(strlen(r->err.text), 0);
    for (uint32_t i = 0; i < r->batch->n_dead; i++) assert_true(strlen(r->batch->dead[i].reason) > 10);
    nj_chunk_drop(chunk); /* the batch's receipt holds it as long as its rows need it */
    return rc;
}

static inline int read_all(reader *r, const void *bytes, size_t size)
{
    return read_as(r, bytes, size, &ztf, 64);
}

static const char small_schema[] =
    "{\"type\":\"record\",\"name\":\"alert\",\"namespace\":\"ztf\",\"version\":\"9.9\",\"fields\":["
    "{\"name\":\"objectId\",\"type\":\"string\"},{\"name\":\"candid\",\"type\":\"long\"},"
    "{\"name\":\"candidate\",\"type\":{\"type\":\"record\",\"name\":\"candidate\",\"fields\":["
    "{\"name\":\"jd\",\"type\":\"double\"},{\"name\":\"fid\",\"type\":\"int\"},{\"name\":\"magpsf\",\"type\":"
    "\"float\"},"
    "{\"name\":\"isdiffpos\",\"type\":\"string\"},{\"name\":\"rb\",\"type\":[\"float\",\"null\"]}]}},"
    "{\"name\":\"prv_candidates\",\"type\":[{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
    "\"prv\",\"fields\":["
    "{\"name\":\"jd\",\"type\":\"double\"},{\"name\":\"fid\",\"type\":\"int\"},{\"name\":\"magpsf\",\"type\":"
    "[\"null\",\"float\"]"
    "}]}},\"null\"]},"
    "{\"name\":\"cutoutScience\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"cutout\",\"fields\":[{"
    "\"name\":\"fileName\","
    "\"type\":\"string\"},"
    "{\"name\":\"stampData\",\"type\":\"bytes\"}]}]}]}";

/* Record i: history of i points (none for 0: null), point p at jd 1000 + p, every other one a limit. */
static inline void small_record(nj_buffer *b, int64_t i, const void *stamp, size_t stamp_size)
{
    kit_text(b, i % 2 ? "ZTF19odd" : "ZTF18even");
    kit_long(b, 100 + i);
    kit_f64(b, 2000.5 + (double)i);
    kit_long(b, 1 + i % 2);
    kit_f32(b, 18.5f);
    kit_text(b, i % 2 ? "t" : "f");
    kit_long(b, i % 3 == 0); /* rb: float or null */
    if (i % 3) kit_f32(b, 0.25f * (float)(i % 3));
    kit_long(b, i == 0);
    if (i) {
        kit_long(b, i > 2 ? -i : i); /* larger ones as a block with its size in front */
        nj_buffer items = { 0 };
        for (int64_t p = 0; p < i; p++) {
            kit_f64(&items, 1000.0 + (double)p);
            kit_long(&items, 2);
            kit_long(&items, p % 2 == 0);
            if (p % 2 == 0) kit_f32(&items, 19.0f + (float)p);
        }
        if (i > 2) kit_long(b, (int64_t)items.n);
        nj_buffer_add(b, items.data, items.n);
        kit_long(b, 0);
        nj_buffer_free(&items);
    }
    kit_long(b, stamp != NULL);
    if (stamp) {
        kit_text(b, "x.fits");
        kit_bytes(b, stamp, stamp_size);
    }
}

static inline void check_small(const nj_batch *b, uint32_t row, int64_t i)
{
    assert_int_equal(b->id[row], 100 + i);
    assert_string_equal(KIT_AT(b, OBJECT, char *, row), i % 2 ? "ZTF19odd" : "ZTF18even");
    assert_true(KIT_AT(b, JD, double, row) == 2000.5 + (double)i);
    assert_string_equal(KIT_AT(b, BAND, char *, row), i % 2 ? "r" : "g");
    assert_int_equal(KIT_AT(b, POSITIVE, uint8_t, row), i % 2);
    if (i % 3)
        assert_true(KIT_AT(b, RAW_RB, double, row) == 0.25 * (double)(i % 3));
    else
        assert_true(isnan(KIT_AT(b, RAW_RB, double, row)));
    const uint32_t *off = b->col[LC_JD].off;
    assert_int_equal(off[row + 1] - off[row], i + 1);
    for (uint32_t p = 0; p < i; p++) {
        assert_true(KIT_AT(b, LC_JD, double, off[row] + p) == 1000.0 + p);
        assert_int_equal(KIT_AT(b, LC_KIND, int, off[row] + p), p % 2);
        assert_int_equal(KIT_AT(b, LC_BAND, uint8_t, off[row] + p), 2);
        if (p % 2)
            assert_true(isnan(KIT_AT(b, LC_MAG, float, off[row] + p)));
        else
            assert_true(KIT_AT(b, LC_MAG, float, off[row] + p) == 19.0f + (float)p);
    }
    assert_true(KIT_AT(b, LC_MAG, float, off[row + 1] - 1) == 18.5f);
    assert_int_equal(b->col[FP_FLUX].off[row + 1], 0);
}

static inline void small_file(nj_buffer *file, int n)
{
    nj_buffer block = { 0 };
    kit_header(file, small_schema, "null");
    for (int i = 0; i < n; i++) small_record(&block, i, NULL, 0);
    kit_block(file, n, block.data, block.n);
    nj_buffer_free(&block);
}

#endif
