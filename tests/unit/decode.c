/* Decode: every natural oddity, made damage, hostile schemas and data, survey maps, codecs, stamps. */
#include "decode_kit.h"

#include <libdeflate.h>
#include <math.h>
#include <snappy-c.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define COLUMN(path, type, shape)                                                                                                \
    {                                                                                                                            \
        path, type, shape, NULL, 1                                                                                               \
    }
enum { CANDID, OBJECT, JD, BAND, MAG, LC_JD, LC_MAG, LC_KIND, LC_BAND, FP_FLUX, RAW_RB, SURVEY, POSITIVE, RAW_SERIES, N_COLUMNS };
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
                                                  COLUMN("packet.prv_candidates[].magpsf", NJ_F32, NJ_SERIES) };
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

static reader *reader_new(const char *define)
{
    reader *r = calloc(1, sizeof *r);
    r->decoder = kit_decoder(&r->settings, define);
    r->batch = nj_batch_new();
    r->opener = nj_opener_new(r->decoder);
    return r;
}

static void reader_free(reader *r)
{
    nj_batch_free(r->batch);
    nj_cursor_free(&r->cursor);
    nj_opener_free(r->opener);
    nj_decoder_free(r->decoder);
    nj_settings_free(&r->settings);
    free(r);
}

/* Reads a chunk into one batch of at most `rows`; -1: the chunk was refused as a whole (r->err). The batch stays. */
static int read_as(reader *r, const void *bytes, size_t size, const nj_layout *layout, uint32_t rows)
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

static int read_all(reader *r, const void *bytes, size_t size)
{
    return read_as(r, bytes, size, &ztf, 64);
}

/* --- natural damage ---------------------------------------------------------------------------------------------------- */

static const struct oddity {
    const char *file, *refused; /* refused: text of the refusal of the whole file; NULL = it is read */
    uint32_t rows, dead;
    const char *reason; /* of dead letter 0 */
    int64_t candid;     /* of row 0, and the next from MANIFEST.tsv */
    uint32_t points;
    const char *object;
    uint8_t stamp; /* state after opening */
} oddities[] = {
    { "bare_datum_0.avro", "needs [decode] schema", 0, 0, 0, 0, 0, 0, 0 },
    { "bare_datum_1.avro", "needs [decode] schema", 0, 0, 0, 0, 0, 0, 0 },
    { "crlf_516442330015015017.avro", 0, 0, 1, "announces 47987 bytes and a sync marker, 48002 bytes are left", 0, 0, 0, 0 },
    { "crlf_516442805615015004.avro", 0, 0, 1, "announces 47982 bytes and a sync marker, 47997 bytes are left", 0, 0, 0, 0 },
    { "gitlfs_pointer.avro", "starts with 'version https://git-lfs'", 0, 0, 0, 0, 0, 0, 0 },
    { "html500_1217406343915015013.avro", "starts with '<!DOCTYPE HTML", 0, 0, 0, 0, 0, 0, 0 },
    { "jpeg_stamps_351444681315015017.avro", 0, 1, 0, 0, 351444681315015017, 21, "ZTF17aabtmqh", NJ_STAMP_BAD },
    { "jpeg_stamps_351446864515015002.avro", 0, 1, 0, 0, 351446864515015002, 6, "ZTF17aabtngy", NJ_STAMP_BAD },
    { "lsst_bare_unknown_version.msg", "needs [decode] schema", 0, 0, 0, 0, 0, 0, 0 },
    { "multi_record_ztf33.avro", 0, 3, 0, 0, 1788116342915015046, 15, "ZTF19abbpaqb", NJ_STAMP_OPEN },
    { "negative_candid_121540793515135000.avro", 0, 1, 0, 0, -121540793515135000, 137, "ZTF18aaaaaac", NJ_STAMP_BAD },
    { "null_cutouts_ZTF20abyfpze.avro", 0, 1, 0, 0, 1382302730115015012, 124, "ZTF20abyfpze", NJ_STAMP_NONE },
    { "null_cutouts_v3.5_1661382530015060035.avro", 0, 1, 0, 0, 1661382530015060035, 24, "ZTF18abcgtxt", NJ_STAMP_NONE },
    { "null_cutouts_v3.5_1661382530115060027.avro", 0, 1, 0, 0, 1661382530115060027, 22, "ZTF18aayedgy", NJ_STAMP_NONE },
    { "null_cutouts_v3.5_1661382530115065009.avro", 0, 1, 0, 0, 1661382530115065009, 22, "ZTF18aaudygr", NJ_STAMP_NONE },
    { "same_candid_v3.0_472263571115115008.avro", 0, 1, 0, 0, 472263571115115008, 12, "ZTF18abdqakc", NJ_STAMP_OPEN },
    { "same_candid_v3.1_472263571115115014.avro", 0, 1, 0, 0, 472263571115115014, 12, "ZTF18abdqake", NJ_STAMP_OPEN },
    { "spark_402_jdfaked_2481168780615015008.avro", 0, 1, 0, 0, 2481168780615015008, 21, "ZTF23ablfjzc", NJ_STAMP_OPEN },
    { "spark_402_jdfaked_2481306564415015012.avro", 0, 1, 0, 0, 2481306564415015012, 41, "ZTF23ablhzpn", NJ_STAMP_OPEN },
    { "spark_402_jdfaked_2481537852915015014.avro", 0, 1, 0, 0, 2481537852915015014, 19, "ZTF23ablmzej", NJ_STAMP_OPEN },
    { "spark_402_plain_3213262934615015018.avro", 0, 1, 0, 0, 3213262934615015018, 39, "ZTF17aaawgox", NJ_STAMP_OPEN },
    { "spark_402_snappy_3213262934615015018.avro", 0, 1, 0, 0, 3213262934615015018, 39, "ZTF17aaawgox", NJ_STAMP_OPEN },
    { "spark_snappy_v3.0_616437181215010000.avro", 0, 1, 0, 0, 616437181215010000, 4, "ZTF18abtsrgt", NJ_STAMP_OPEN },
    { "spark_snappy_v3.0_621312745215010000.avro", 0, 1, 0, 0, 621312745215010000, 3, "ZTF18abufejb", NJ_STAMP_OPEN },
    { "spark_snappy_v3.1_628393611215010000.avro", 0, 1, 0, 0, 628393611215010000, 2, "ZTF18abybtnl", NJ_STAMP_OPEN },
    { "spark_snappy_v3.1_669216306215010000.avro", 0, 1, 0, 0, 669216306215010000, 1, "ZTF18acbxkxo", NJ_STAMP_OPEN },
    { "spark_snappy_v3.2_681190845015010000.avro", 0, 1, 0, 0, 681190845015010000, 3, "ZTF18acjwtdk", NJ_STAMP_OPEN },
    { "spark_snappy_v3.2_734127696115010000.avro", 0, 1, 0, 0, 734127696115010000, 9, "ZTF18acjwrgx", NJ_STAMP_OPEN },
    { "spark_snappy_v3.3_1003321121015010000.avro", 0, 1, 0, 0, 1003321121015010000, 20, "ZTF19abzqcmd", NJ_STAMP_OPEN },
    { "spark_snappy_v3.3_949461501215010000.avro", 0, 1, 0, 0, 949461501215010000, 15, "ZTF19abjovwu", NJ_STAMP_OPEN },
    { "trailing_garbage_2480088313915010007.avro", 0, 1, 1, "at byte 84476 does not end at its sync marker", 2480088313915010007,
      37, "ZTF21aapuacc", NJ_STAMP_OPEN },
    { "union_index_516442333915010047.avro", 0, 0, 1, "record 0: prv_candidates[].candid: the union has no branch", 0, 0, 0, 0 },
    { "union_toplevel_simIa_51.avro", 0, 8, 0, 0, 0, 0, 0, NJ_STAMP_NONE }, /* simulated: no candid in the manifest */
    { "zero_records.avro", 0, 0, 0, 0, 0, 0, 0, 0 },
};

static void check_oddity(reader *r, const struct oddity *o, const char *name)
{
    nj_batch *b = r->batch;
    if (b->n != o->rows || b->n_dead != o->dead)
        fail_msg("%s: %u rows and %u dead letters, not %u and %u", name, b->n, b->n_dead, o->rows, o->dead);
    if (o->reason && !strstr(b->dead[0].reason, o->reason)) fail_msg("%s: the reason is '%s'", name, b->dead[0].reason);
    assert_int_equal(b->n_receipts, 1);
    assert_int_equal(b->receipt[0].n_rows, o->rows);
    assert_int_equal(b->receipt[0].n_dead, o->dead);
    assert_true(b->receipt[0].last);
    if (!o->candid) return;
    assert_int_equal(b->id[0], o->candid);
    assert_int_equal(KIT_AT(b, CANDID, int64_t, 0), o->candid);
    assert_string_equal(KIT_AT(b, OBJECT, char *, 0), o->object);
    assert_int_equal(b->col[LC_JD].off[1], o->points);
    assert_true(KIT_AT(b, LC_JD, double, o->points - 1) == KIT_AT(b, JD, double, 0));
    for (int s = 0; s < NJ_STAMPS; s++) {
        nj_stamp_open(r->opener, &b->stamp[s][0], &b->arena, NULL);
        if (b->stamp[s][0].state != o->stamp) fail_msg("%s: %s is %d", name, nj_stamp_name[s], b->stamp[s][0].state);
    }
}

static void every_oddity_has_its_outcome(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    reader *r = reader_new(NULL);
    int n;
    char **names = kit_folder("oddities", "", &n);
    int seen = 0;
    for (int i = 0; i < n; i++) {
        const struct oddity *o = oddities;
        const char *base = strchr(names[i], '/') + 1;
        if (*base == '.') {
            free(names[i]);
            continue;
        }
        while (o < oddities + sizeof oddities / sizeof *oddities && strcmp(o->file, base)) o++;
        if (o == oddities + sizeof oddities / sizeof *oddities) fail_msg("%s is not in the table", names[i]);
        size_t size = 0;
        uint8_t *bytes = kit_file(names[i], &size);
        int rc = read_all(r, bytes, size);
        if (!!o->refused != (rc < 0)) fail_msg("%s: refused: %s", names[i], r->err.text);
        if (o->refused && !strstr(r->err.text, o->refused)) fail_msg("%s: refused with '%s'", names[i], r->err.text);
        if (!o->refused) check_oddity(r, o, names[i]);
        free(bytes);
        free(names[i]);
        seen++;
    }
    free(names);
    assert_int_equal(seen, sizeof oddities / sizeof *oddities);
    reader_free(r);
}

static void ztf_light_curves(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    reader *r = reader_new(NULL);
    int n;
    char **names = kit_folder("ztf", ".avro", &n);
    for (int i = 0; i < n; i++) {
        size_t size = 0;
        uint8_t *bytes = kit_file(names[i], &size);
        nj_batch *b = r->batch;
        assert_int_equal(read_all(r, bytes, size), 0);
        assert_int_equal(b->n, 1);
        assert_int_equal(b->id[0], strtoll(strchr(names[i], '/') + 1, NULL, 10)); /* the file is named after its candid */
        assert_non_null(strchr("gr", *KIT_AT(b, BAND, char *, 0)));
        assert_string_equal(KIT_AT(b, SURVEY, char *, 0), "ztf");
        assert_true(KIT_AT(b, POSITIVE, uint8_t, 0) <= 1);
        uint32_t k = b->col[LC_MAG].off[1];
        assert_ptr_equal(b->col[LC_JD].off, b->col[LC_MAG].off);
        /* history in packet order, then the current detection; 3.5 has forced photometry there and no magnitudes */
        bool has_history = !(b->row[0].absent[0] >> RAW_SERIES & 1);
        if (has_history) assert_int_equal(b->col[RAW_SERIES].off[1] + 1, k);
        for (uint32_t p = 0; has_history && p + 1 < k; p++)
            assert_memory_equal(&KIT_AT(b, LC_MAG, float, p), &KIT_AT(b, RAW_SERIES, float, p), 4);
        assert_true(KIT_AT(b, LC_MAG, float, k - 1) == KIT_AT(b, MAG, float, 0));
        assert_true(KIT_AT(b, LC_JD, double, k - 1) == KIT_AT(b, JD, double, 0));
        for (uint32_t p = 0; p < k; p++) assert_int_equal(KIT_AT(b, LC_KIND, int, p), isnan(KIT_AT(b, LC_MAG, float, p)) ? 1 : 0);
        free(bytes);
        free(names[i]);
    }
    free(names);
    reader_free(r);
}

/* --- made packets: everything below runs without ../shared --------------------------------------------------------------- */

static const char small_schema[] =
    "{\"type\":\"record\",\"name\":\"alert\",\"namespace\":\"ztf\",\"version\":\"9.9\",\"fields\":["
    "{\"name\":\"objectId\",\"type\":\"string\"},{\"name\":\"candid\",\"type\":\"long\"},"
    "{\"name\":\"candidate\",\"type\":{\"type\":\"record\",\"name\":\"candidate\",\"fields\":["
    "{\"name\":\"jd\",\"type\":\"double\"},{\"name\":\"fid\",\"type\":\"int\"},{\"name\":\"magpsf\",\"type\":\"float\"},"
    "{\"name\":\"isdiffpos\",\"type\":\"string\"},{\"name\":\"rb\",\"type\":[\"float\",\"null\"]}]}},"
    "{\"name\":\"prv_candidates\",\"type\":[{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"prv\",\"fields\":["
    "{\"name\":\"jd\",\"type\":\"double\"},{\"name\":\"fid\",\"type\":\"int\"},{\"name\":\"magpsf\",\"type\":[\"null\",\"float\"]"
    "}]}},\"null\"]},"
    "{\"name\":\"cutoutScience\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"cutout\",\"fields\":[{\"name\":\"fileName\","
    "\"type\":\"string\"},"
    "{\"name\":\"stampData\",\"type\":\"bytes\"}]}]}]}";

/* Record i: history of i points (none for 0: null), point p at jd 1000 + p, every other one a limit. */
static void small_record(nj_buffer *b, int64_t i, const void *stamp, size_t stamp_size)
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

static void check_small(const nj_batch *b, uint32_t row, int64_t i)
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

static void small_file(nj_buffer *file, int n)
{
    nj_buffer block = { 0 };
    kit_header(file, small_schema, "null");
    for (int i = 0; i < n; i++) small_record(&block, i, NULL, 0);
    kit_block(file, n, block.data, block.n);
    nj_buffer_free(&block);
}

static void blocks_and_batches_of_any_size(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer file = { 0 }, block = { 0 };
    kit_header(&file, small_schema, "null");
    int64_t next = 0;
    for (int n = 1; n <= 7; n++, block.n = 0) { /* blocks of 1, 2, ... 7 records, and one of none */
        for (int i = 0; i < n; i++) small_record(&block, next++, NULL, 0);
        kit_block(&file, n, block.data, block.n);
        if (n == 3) kit_block(&file, 0, "", 0);
    }
    for (uint32_t rows = 1; rows < 40; rows += 3) {
        nj_chunk *chunk = kit_chunk(file.data, file.n);
        assert_int_equal(nj_cursor_open(&r->cursor, r->decoder, chunk, &r->err), 0);
        assert_string_equal(nj_schema_name(r->cursor.schema), "ztf.alert 9.9");
        int64_t seen = 0;
        for (int more = 1; more;) {
            assert_int_equal(nj_batch_begin(r->batch, &ztf, rows), 0);
            more = nj_cursor_read(&r->cursor, r->batch, rows, SIZE_MAX);
            assert_true(more >= 0 && r->batch->n_dead == 0);
            for (uint32_t k = 0; k < r->batch->n; k++, seen++) {
                check_small(r->batch, k, seen);
                assert_int_equal(r->batch->row[k].record, seen);
            }
            assert_int_equal(r->batch->receipt[0].last, !more);
        }
        assert_int_equal(seen, next);
        nj_batch_end(r->batch);
        nj_chunk_drop(chunk);
    }
    nj_buffer_free(&file);
    nj_buffer_free(&block);
    reader_free(r);
}

/* One batch takes rows of several chunks; a batch stops at max_bytes, but never before its first row. */
static void batches_of_several_chunks(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer file = { 0 };
    small_file(&file, 3);
    assert_int_equal(nj_batch_begin(r->batch, &ztf, 8), 0);
    nj_chunk *chunk[3];
    for (int k = 0; k < 3; k++) {
        chunk[k] = kit_chunk(file.data, file.n);
        assert_int_equal(nj_cursor_open(&r->cursor, r->decoder, chunk[k], &r->err), 0);
        assert_int_equal(nj_cursor_read(&r->cursor, r->batch, 8, SIZE_MAX), k == 2);
    }
    assert_int_equal(r->batch->n, 8);
    for (uint32_t row = 0; row < 8; row++) check_small(r->batch, row, row % 3);
    assert_int_equal(r->batch->n_receipts, 3);
    assert_true(r->batch->receipt[0].last && r->batch->receipt[1].last && !r->batch->receipt[2].last);
    assert_int_equal(r->batch->receipt[2].n_rows, 2);
    assert_int_equal(nj_batch_begin(r->batch, &ztf, 8), 0);
    assert_int_equal(nj_cursor_read(&r->cursor, r->batch, 8, 1), 0);
    assert_int_equal(r->batch->n, 1);
    check_small(r->batch, 0, 2);
    assert_int_equal(nj_cursor_open(&r->cursor, r->decoder, chunk[0], &r->err), 0);
    assert_int_equal(nj_batch_begin(r->batch, &ztf, 8), 0);
    assert_int_equal(nj_cursor_read(&r->cursor, r->batch, 8, 1), 1); /* one row reaches the byte limit */
    assert_int_equal(r->batch->n, 1);
    for (int k = 0; k < 3; k++) nj_chunk_drop(chunk[k]);
    nj_buffer_free(&file);
    reader_free(r);
}

static size_t pack(const char *codec, const nj_buffer *in, char *out, size_t cap)
{
    if (!strcmp(codec, "zstandard")) return ZSTD_compress(out, cap, in->data, in->n, 3);
    if (!strcmp(codec, "deflate")) {
        struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
        size_t n = libdeflate_deflate_compress(c, in->data, in->n, out, cap);
        libdeflate_free_compressor(c);
        return n;
    }
    size_t n = cap;
    assert_int_equal(snappy_compress(in->data, in->n, out, &n), SNAPPY_OK);
    uint32_t crc = libdeflate_crc32(0, in->data, in->n);
    for (int k = 0; k < 4; k++) out[n + (size_t)k] = (char)(crc >> (24 - 8 * k));
    return n + 4;
}

static void codecs(void **state)
{
    (void)state;
    static const char *const codec[] = { "deflate", "snappy", "zstandard" };
    reader *r = reader_new("decode.max_block=1M");
    char *out = malloc(1 << 22), *zero = calloc(1, 3 << 20);
    for (int c = 0; c < 3; c++) {
        nj_buffer file = { 0 }, block = { 0 };
        kit_header(&file, small_schema, codec[c]);
        for (int i = 0; i < 5; i++) small_record(&block, i, NULL, 0);
        size_t n = pack(codec[c], &block, out, 1 << 22), header = file.n;
        kit_block(&file, 5, out, n);
        assert_int_equal(read_all(r, file.data, file.n), 0);
        assert_int_equal(r->batch->n, 5);
        for (uint32_t row = 0; row < 5; row++) check_small(r->batch, row, row);
        /* datums of compressed blocks live as long as the batch, whatever happens to the cursor */
        assert_int_equal(r->batch->row[4].size + r->batch->row[3].size + r->batch->row[2].size + r->batch->row[1].size +
                             r->batch->row[0].size,
                         block.n);
        nj_cursor_free(&r->cursor);
        for (size_t k = 0, at = 0; k < 5; at += r->batch->row[k].size, k++)
            assert_memory_equal(r->batch->row[k].datum, block.data + at, r->batch->row[k].size);
        /* every byte of the compressed block damaged in turn: a dead letter, or by luck five rows */
        for (size_t at = header; at + 16 < file.n; at++) {
            file.data[at] ^= 0x55;
            int rc = read_all(r, file.data, file.n);
            assert_int_equal(rc, 0);
            assert_true(r->batch->n == 5 || r->batch->n_dead > 0);
            file.data[at] ^= 0x55;
        }
        /* a bomb: 3 MB behind a limit of 1 MB */
        nj_buffer big = { .data = zero, .n = 3 << 20 };
        file.n = header;
        n = pack(codec[c], &big, out, 1 << 22);
        kit_block(&file, 1, out, n);
        assert_int_equal(read_all(r, file.data, file.n), 0);
        assert_int_equal(r->batch->n_dead, 1);
        assert_non_null(strstr(r->batch->dead[0].reason, "more than 1048576 bytes"));
        assert_int_equal(r->batch->dead[0].size, file.n); /* the only record: the whole file, to be read again */
        nj_buffer_free(&file);
        nj_buffer_free(&block);
    }
    free(out);
    free(zero);
    reader_free(r);
}

/* A bad record costs itself and what stands behind it in its block; the next block is read again. */
static void a_bad_record_costs_its_block(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer file = { 0 }, block = { 0 };
    kit_header(&file, small_schema, "null");
    for (int i = 0; i < 5; i++) {
        if (i == 2) block.data[block.n - 1] = 9; /* union index of the stamp of record 1 */
        small_record(&block, i, NULL, 0);
    }
    kit_block(&file, 5, block.data, block.n);
    block.n = 0;
    small_record(&block, 5, NULL, 0);
    kit_block(&file, 1, block.data, block.n);
    assert_int_equal(read_all(r, file.data, file.n), 0);
    nj_batch *b = r->batch;
    assert_int_equal(b->n, 2);
    check_small(b, 0, 0);
    check_small(b, 1, 5);
    assert_int_equal(b->row[1].record, 5);
    assert_int_equal(b->n_dead, 2);
    assert_int_equal(b->dead[0].record, 1);
    assert_string_equal(b->dead[0].field, "cutoutScience");
    assert_non_null(strstr(b->dead[0].reason, "record 1: cutoutScience: the union has no branch -5"));
    assert_string_equal(b->dead[0].module, "decode");
    assert_non_null(strstr(b->dead[1].reason, "3 more records behind the bad record 1"));
    nj_buffer_free(&file);
    nj_buffer_free(&block);
    reader_free(r);
}

static void damaged_blocks(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer block = { 0 };
    small_record(&block, 1, NULL, 0);
    static const struct {
        int64_t records;
        int more;
        const char *says;
    } bad[] = { { 2, 0, "record 1: objectId: the datum ends here" },
                { 0, 0, "announces no record" },
                { INT64_C(1) << 60, 0, "records in" },
                { -1, 0, "no block at byte" },
                { 1, 3, "ends 3 bytes before its block does" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nj_buffer file = { 0 };
        kit_header(&file, small_schema, "null");
        size_t n = block.n;
        if (bad[i].more) nj_buffer_add(&block, "\0\0\0", (size_t)bad[i].more);
        kit_block(&file, bad[i].records, block.data, block.n);
        kit_block(&file, 1, block.data, n); /* and a good one */
        block.n = n;
        assert_int_equal(read_all(r, file.data, file.n), 0);
        assert_int_equal(r->batch->n_dead, 1);
        if (!strstr(r->batch->dead[0].reason, bad[i].says)) fail_msg("%zu: %s", i, r->batch->dead[0].reason);
        assert_int_equal(r->batch->n, 1 + (bad[i].records == 2));
        check_small(r->batch, r->batch->n - 1, 1);
        nj_buffer_free(&file);
    }
    nj_buffer_free(&block);
    reader_free(r);
}

/* --- hostile schemas ------------------------------------------------------------------------------------------------------ */

static void refuse_schema(reader *r, const char *schema, const char *says)
{
    nj_buffer file = { 0 };
    kit_header(&file, schema, "null");
    kit_block(&file, 1, "\0\0\0\0\0\0\0\0", 8);
    if (read_all(r, file.data, file.n) >= 0) fail_msg("accepted: %.300s", schema);
    if (!strstr(r->err.text, says)) fail_msg("%.300s: refused with '%s'", schema, r->err.text);
    assert_true(read_all(r, file.data, file.n) < 0); /* and again, from the cache */
    nj_buffer_free(&file);
}

#define RECORD(fields) "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[" fields "]}"

static void hostile_schemas_are_refused(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    refuse_schema(r, "", "not JSON");
    refuse_schema(r, "{\"type\":\"rec", "not JSON");
    refuse_schema(r, "17", "neither a name, a list nor an object");
    refuse_schema(r, "[]", "0 branches");
    refuse_schema(r, "{\"type\":\"record\",\"fields\":[]}", "without a name");
    refuse_schema(r, "{\"type\":\"record\",\"name\":\"ztf.alert\"}", "no list of fields");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"fixed\",\"name\":\"f\",\"size\":-2}}"), "has the size -2");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"fixed\",\"name\":\"f\",\"size\":99999999999}}"),
                  "has the size");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":\"nonsense\"}"), "'nonsense' before it is defined");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"array\"}}"), "no \"items\"");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":[\"null\",[\"int\"]]}"), "directly inside a union");
    refuse_schema(r, RECORD("{\"type\":\"int\"}"), "lacks a name or a type");
    refuse_schema(r, "{\"type\":\"record\",\"name\":\"weather.report\",\"fields\":[]}",
                  "no survey map knows the schema 'weather.report'");
    nj_buffer deep = { 0 }; /* arrays of arrays of ... */
    for (int i = 0; i < 500; i++) nj_buffer_text(&deep, "{\"type\":\"array\",\"items\":");
    nj_buffer_text(&deep, "\"int\"");
    for (int i = 0; i < 500; i++) nj_buffer_text(&deep, "}");
    refuse_schema(r, deep.data, "nests deeper than 128");
    deep.n = 0;
    for (int i = 0; i < 100000; i++) nj_buffer_text(&deep, "[");
    refuse_schema(r, deep.data, "not JSON"); /* jansson has its own limit */
    deep.n = 0; /* 30 records of two fields each, each of the type before: 2^30 fields when written out */
    nj_buffer_text(
        &deep,
        "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"x\",\"type\":{\"type\":\"record\",\"name\":\"r0\","
        "\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}}");
    for (int i = 1; i <= 30; i++)
        nj_buffer_printf(
            &deep,
            ",{\"name\":\"x%d\",\"type\":{\"type\":\"record\",\"name\":\"r%d\",\"fields\":[{\"name\":\"a\",\"type\":\"ztf.r%d\"},"
            "{\"name\":\"b\",\"type\":\"ztf.r%d\"}]}}",
            i, i, i - 1, i - 1);
    nj_buffer_text(&deep, "]}");
    refuse_schema(r, deep.data, "expands to more than");
    deep.n = 0; /* more names than a schema may have */
    nj_buffer_text(&deep, "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"z\",\"type\":\"int\"}");
    for (int i = 0; i < 5000; i++)
        nj_buffer_printf(&deep, ",{\"name\":\"f%d\",\"type\":{\"type\":\"enum\",\"name\":\"e%d\",\"symbols\":[\"a\"]}}", i, i);
    nj_buffer_text(&deep, "]}");
    refuse_schema(r, deep.data, "more than 4096 names");
    nj_buffer_free(&deep);
    reader_free(r);
}

static void too_many_schemas(void **state)
{
    (void)state;
    reader *r = reader_new("decode.max_schemas=20");
    int refused = 0;
    for (int i = 0; i < 30; i++) {
        char schema[200];
        snprintf(schema, sizeof schema, RECORD("{\"name\":\"f%d\",\"type\":\"int\"}"), i);
        nj_buffer file = { 0 };
        kit_header(&file, schema, "null");
        kit_block(&file, 1, "\2", 1);
        int rc = read_all(r, file.data, file.n);
        if (rc < 0) assert_non_null(strstr(r->err.text, "more than 20 different schemas"));
        refused += rc < 0;
        nj_buffer_free(&file);
    }
    assert_int_equal(refused, 10);
    reader_free(r);
}

/* --- hostile data ------------------------------------------------------------------------------------------------------------ */

static void refuse_datum(reader *r, const char *schema, const nj_buffer *datum, const char *says)
{
    nj_buffer file = { 0 };
    kit_header(&file, schema, "null");
    kit_block(&file, 1, datum->data, datum->n);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(read_all(r, file.data, file.n), 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    if (r->batch->n_dead != 1 || !strstr(r->batch->dead[0].reason, says))
        fail_msg("%s: %s", says, r->batch->n_dead ? r->batch->dead[0].reason : "accepted");
    assert_int_equal(r->batch->n, 0);
    if (ms > 500) fail_msg("%s: refused only after %.0f ms", says, ms); /* each is a few microseconds; sanitizers are slow */
    nj_buffer_free(&file);
}

static void hostile_data_is_refused(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer d = { 0 };
    const char *ints = RECORD("{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}");
    kit_long(&d, 100000000); /* 1e8 items in 5 bytes */
    refuse_datum(r, ints, &d, "announces 100000000 items, more than the limit of 10000");
    d.n = 0;
    kit_long(&d, INT64_MIN);
    kit_long(&d, 0);
    refuse_datum(r, ints, &d, "more than the limit of 10000");
    d.n = 0;
    for (int i = 0; i < 11; i++) { /* many blocks, each within the limit */
        kit_long(&d, 1000);
        for (int k = 0; k < 1000; k++) kit_long(&d, 1);
    }
    refuse_datum(r, ints, &d, "announces 11000 items");
    d.n = 0;
    kit_long(&d, 10);
    refuse_datum(r, ints, &d, "the datum ends here");
    d.n = 0;
    kit_long(&d, 9999); /* items of no bytes */
    kit_long(&d, 9999);
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}"), &d, "announces 19998 items");
    d.n = 0;
    nj_buffer_add(&d, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 18);
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":\"long\"}"), &d, "more than 10 bytes");
    d.n = 0;
    kit_long(&d, INT64_C(1) << 40);
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":\"string\"}"), &d, "announces 1099511627776 bytes");
    d.n = 0;
    kit_long(&d, -3);
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":\"bytes\"}"), &d, "negative length");
    d.n = 0;
    kit_long(&d, 77777);
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":[\"null\",\"int\",\"string\"]}"), &d, "no branch 77777");
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":[\"null\",\"int\"]}"), &d, "no branch");
    d.n = 0; /* a list of 100,000 links */
    for (int i = 0; i < 100000; i++) kit_long(&d, 1);
    kit_long(&d, 0);
    refuse_datum(r, RECORD("{\"name\":\"next\",\"type\":[\"null\",\"ztf.alert\"]}"), &d, "nested deeper than the limit");
    d.n = 0;
    nj_buffer nested = { 0 }; /* 20 arrays inside each other */
    nj_buffer_text(&nested, "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"a\",\"type\":");
    for (int i = 0; i < 20; i++) nj_buffer_text(&nested, "{\"type\":\"array\",\"items\":");
    nj_buffer_text(&nested, "\"int\"");
    for (int i = 0; i < 20; i++) nj_buffer_text(&nested, "}");
    nj_buffer_text(&nested, "}]}");
    for (int i = 0; i < 20; i++) kit_long(&d, 1);
    refuse_datum(r, nested.data, &d, "nested deeper than the limit");
    nj_buffer_free(&nested);
    nj_buffer_free(&d);
    reader_free(r);
}

/* A short list and a tree within the limits are read. */
static void recursive_types_are_read(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer d = { 0 }, file = { 0 };
    kit_header(&file,
               RECORD("{\"name\":\"candid\",\"type\":\"long\"},{\"name\":\"next\",\"type\":[\"null\",\"alert\"]},"
                      "{\"name\":\"more\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"alert\"}}}"),
               "null");
    for (int64_t i = 0; i < 6; i++) {
        kit_long(&d, 7 + i);
        kit_long(&d, i < 5); /* six links */
    }
    for (int i = 0; i < 6; i++) kit_long(&d, 0);
    kit_block(&file, 1, d.data, d.n);
    assert_int_equal(read_all(r, file.data, file.n), 0);
    if (r->batch->n != 1) fail_msg("%s", r->batch->dead[0].reason);
    assert_int_equal(r->batch->id[0], 7);
    nj_buffer_free(&d);
    nj_buffer_free(&file);
    reader_free(r);
}

/* --- random damage ---------------------------------------------------------------------------------------------------------- */

static uint64_t random_state = 20260321; /* splitmix64; the seed is this number */
static uint64_t random_u64(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A real packet, or a made one. */
static uint8_t *good_packet(size_t *size)
{
    if (kit_shared()) {
        int n;
        char **names = kit_folder("ztf", ".avro", &n);
        uint8_t *bytes = n ? kit_file(names[n / 2], size) : NULL;
        for (int i = 0; i < n; i++) free(names[i]);
        free(names);
        if (bytes) return bytes;
    }
    nj_buffer file = { 0 };
    small_file(&file, 1);
    *size = file.n;
    return (uint8_t *)file.data;
}

static void a_packet_cut_at_every_byte(void **state)
{
    (void)state;
    size_t size = 0, empty = 0;
    uint8_t *bytes = good_packet(&size);
    reader *r = reader_new(NULL);
    for (size_t n = 0; n <= size; n++) {
        int rc = read_all(r, bytes, n);
        if (rc < 0) continue;
        if (n == size)
            assert_true(r->batch->n == 1 && r->batch->n_dead == 0);
        else if (r->batch->n == 0 && r->batch->n_dead == 0)
            empty++; /* cut exactly behind the header: a file of no records */
        else
            assert_true(r->batch->n == 0 && r->batch->n_dead == 1);
    }
    assert_int_equal(empty, 1);
    free(bytes);
    reader_free(r);
}

static void random_flips(void **state)
{
    (void)state;
    size_t size = 0, rows = 0, dead = 0, refused = 0, open = 0;
    uint8_t *good = good_packet(&size), *bytes = malloc(size);
    const char *flips = getenv("NIGHTJAR_FLIPS");
    long n = flips ? atol(flips) : 10000;
    reader *r = reader_new(NULL);
    for (long i = 0; i < n; i++) {
        if (i % 400 == 399) { /* before the cache of schemas is full */
            reader_free(r);
            r = reader_new(NULL);
        }
        memcpy(bytes, good, size);
        for (uint64_t k = 1 + random_u64() % 4; k > 0; k--) bytes[random_u64() % size] ^= (uint8_t)(1 + random_u64() % 255);
        if (read_all(r, bytes, size) < 0) {
            refused++;
            continue;
        }
        nj_batch *b = r->batch;
        assert_int_equal(b->n, b->receipt[0].n_rows);
        assert_int_equal(b->n_dead, b->receipt[0].n_dead);
        rows += b->n;
        dead += b->n_dead;
        for (uint32_t row = 0; row < b->n; row++)
            for (int s = 0; s < NJ_STAMPS; s++) {
                nj_stamp_open(r->opener, &b->stamp[s][row], &b->arena, NULL);
                open += b->stamp[s][row].state == NJ_STAMP_OPEN;
            }
    }
    print_message("# %ld packets with 1 to 4 bytes changed (seed 20260321): %zu rows, %zu dead letters, %zu refused, %zu stamps "
                  "still good\n",
                  n, rows, dead, refused, open);
    assert_true(rows > 0 && dead > 0 && refused > 0);
    free(good);
    free(bytes);
    reader_free(r);
}

/* --- survey maps ----------------------------------------------------------------------------------------------------------- */

static const char toy_map[] = "# a survey that uses everything a map can say\n"
                              "survey toy\n"
                              "match name toy.*\n"
                              "candid i64 = a.id\n"
                              "object str = a.object | \"sso:\" a.other null 0\n"
                              "survey str = \"toy\"\n"
                              "exposure f64 d = a.mjd offset 2400000.5\n"
                              "rb f32 = a.score null -1\n"
                              "mag f64 mag = a.millimag scale 0.001\n"
                              "band str = a.filter {u:u 7:g y:y}\n"
                              "positive u8 = a.flux above0 ? 1 : 0\n"
                              "drb f32 = a.nothing | a.score\n"
                              "ndethist i32 = a.lost\n"
                              "series lc = a + old[] + older[]\n"
                              "lc.jd f64 d = mjd offset 2400000.5\n"
                              "lc.flux f32 nJy = flux + flux + brightness\n"
                              "lc.mag f32 mag = - + mag + -\n"
                              "lc.kind u8 = flux ? 0 : 1\n";
static const char toy_schema[] = "{\"type\":\"record\",\"name\":\"toy.packet\",\"fields\":["
                                 "{\"name\":\"older\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"o\","
                                 "\"fields\":[{\"name\":\"mjd\",\"type\":\"int\"},"
                                 "{\"name\":\"brightness\",\"type\":\"double\"}]}}},"
                                 "{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"now\",\"fields\":[{\"name\":\"id\","
                                 "\"type\":\"int\"},{\"name\":\"object\",\"type\":[\"null\",\"long\"]},"
                                 "{\"name\":\"other\",\"type\":[\"null\",\"long\"]},{\"name\":\"mjd\",\"type\":\"double\"},{"
                                 "\"name\":\"score\",\"type\":\"float\"},"
                                 "{\"name\":\"millimag\",\"type\":\"int\"},{\"name\":\"filter\",\"type\":{\"type\":\"enum\","
                                 "\"name\":\"f\",\"symbols\":[\"u\",\"q\",\"y\"]}},"
                                 "{\"name\":\"flux\",\"type\":[\"float\",\"null\"]}]}},"
                                 "{\"name\":\"old\",\"type\":[\"null\",{\"type\":\"array\",\"items\":{\"type\":\"record\","
                                 "\"name\":\"p\",\"fields\":[{\"name\":\"mjd\",\"type\":\"double\"},"
                                 "{\"name\":\"flux\",\"type\":[\"null\",\"float\"]},{\"name\":\"mag\",\"type\":\"float\"}]}}]}]}";

static void toy_record(nj_buffer *d, int n_older, int n_old, int64_t object, int filter, float flux)
{
    kit_long(d, n_older);
    for (int i = 0; i < n_older; i++) {
        kit_long(d, 10 + i);
        kit_f64(d, 0.5 + i);
    }
    if (n_older) kit_long(d, 0);
    kit_long(d, 4711);
    kit_long(d, object >= 0);
    if (object >= 0) kit_long(d, object);
    kit_long(d, 1);
    kit_long(d, 99);
    kit_f64(d, 60000.25);
    kit_f32(d, -1);
    kit_long(d, 19250);
    kit_long(d, filter);
    kit_long(d, isnan(flux));
    if (!isnan(flux)) kit_f32(d, flux);
    kit_long(d, n_old >= 0);
    if (n_old >= 0) {
        if (n_old) kit_long(d, n_old);
        for (int i = 0; i < n_old; i++) {
            kit_f64(d, 20 + i);
            kit_long(d, i % 2);
            if (i % 2) kit_f32(d, (float)i);
            kit_f32(d, 21);
        }
        kit_long(d, 0);
    }
}

enum {
    T_OBJECT,
    T_EXPOSURE,
    T_RB,
    T_MAG,
    T_BAND,
    T_POSITIVE,
    T_DRB,
    T_LOST,
    T_JD,
    T_FLUX,
    T_LCMAG,
    T_KIND,
    T_MAG_MILLI,
    T_UNKNOWN,
    T_RAW,
    T_TEXT,
    T_COLUMNS
};
static const nj_column_def toy_columns[T_COLUMNS] = { COLUMN("object", NJ_STR, NJ_SCALAR),
                                                      COLUMN("exposure", NJ_F64, NJ_SCALAR),
                                                      COLUMN("rb", NJ_F32, NJ_SCALAR),
                                                      COLUMN("mag", NJ_F64, NJ_SCALAR),
                                                      COLUMN("band", NJ_STR, NJ_SCALAR),
                                                      COLUMN("positive", NJ_U8, NJ_SCALAR),
                                                      COLUMN("drb", NJ_F64, NJ_SCALAR),
                                                      COLUMN("ndethist", NJ_I32, NJ_SCALAR),
                                                      COLUMN("lc.jd", NJ_F64, NJ_SERIES),
                                                      COLUMN("lc.flux", NJ_F64, NJ_SERIES),
                                                      COLUMN("lc.mag", NJ_F32, NJ_SERIES),
                                                      COLUMN("lc.kind", NJ_I64, NJ_SERIES),
                                                      { "mag", NJ_I32, NJ_SCALAR, "mmag", 1000 },
                                                      COLUMN("lc.nothing", NJ_F32, NJ_SERIES),
                                                      COLUMN("packet.a.score", NJ_I64, NJ_SCALAR),
                                                      COLUMN("packet.a.filter", NJ_STR, NJ_SCALAR) };
static const nj_layout toy = { "toy", T_COLUMNS, T_COLUMNS, toy_columns, 0 };

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_map_and_all_it_can_say(void **state)
{
    (void)state;
    char folder[] = "/tmp/nightjar-map-XXXXXX", define[600];
    assert_non_null(mkdtemp(folder));
    write_file(folder, "toy.map", toy_map);
    snprintf(define, sizeof define, "decode.maps=%s", folder);
    reader *r = reader_new(define);
    nj_buffer d = { 0 }, file = { 0 };
    kit_header(&file, toy_schema, "null");
    toy_record(&d, 2, 3, 5, 0, 2.5f);
    toy_record(&d, 0, -1, -1, 1, NAN); /* older empty, old null, no object, an unknown filter, no flux */
    toy_record(&d, 1, 0, 0, 2, -1.f);  /* object 0 is none */
    kit_block(&file, 3, d.data, d.n);
    assert_int_equal(read_as(r, file.data, file.n, &toy, 4), 0);
    nj_batch *b = r->batch;
    if (b->n != 3) fail_msg("%s", b->dead[0].reason);
    static const char *const object[] = { "5", "sso:99", "sso:99" }, *const band[] = { "u", NULL, "y" },
                             *const filter[] = { "u", "q", "y" };
    static const uint8_t positive[] = { 1, NJ_NO_U8, 0 };
    for (uint32_t k = 0; k < 3; k++) {
        assert_int_equal(b->id[k], 4711);
        assert_string_equal(KIT_AT(b, T_OBJECT, char *, k), object[k]);
        assert_true(KIT_AT(b, T_EXPOSURE, double, k) == 2460000.75);
        assert_true(isnan(KIT_AT(b, T_RB, float, k)));
        assert_true(fabs(KIT_AT(b, T_MAG, double, k) - 19.25) < 1e-12); /* one rounding of 19250 * 0.001 */
        assert_int_equal(KIT_AT(b, T_MAG_MILLI, int32_t, k), 19250);
        if (band[k])
            assert_string_equal(KIT_AT(b, T_BAND, char *, k), band[k]);
        else
            assert_null(KIT_AT(b, T_BAND, char *, k));
        assert_string_equal(KIT_AT(b, T_TEXT, char *, k), filter[k]);
        assert_int_equal(KIT_AT(b, T_POSITIVE, uint8_t, k), positive[k]);
        assert_true(KIT_AT(b, T_DRB, double, k) ==
                    -1); /* its first alternative is not in the schema, the second has no null value */
        assert_int_equal(KIT_AT(b, T_LOST, int32_t, k), NJ_NO_I32);
        assert_int_equal(KIT_AT(b, T_RAW, int64_t, k), -1);
        assert_int_equal(b->col[T_UNKNOWN].off[k + 1], 0);
        assert_int_equal(b->row[k].absent[0], 1u << T_LOST | 1u << T_UNKNOWN);
    }
    assert_non_null(b->col[T_UNKNOWN].data);
    /* the map's order (now, old, older), although the packet has older, now, old */
    const uint32_t *off = b->col[T_JD].off;
    assert_int_equal(off[1], 6);
    assert_int_equal(off[2], 7);
    assert_int_equal(off[3], 9);
    static const double mjd[] = { 60000.25, 20, 21, 22, 10, 11, 60000.25, 60000.25, 10 },
                        flux[] = { 2.5, NAN, 1, NAN, 0.5, 1.5, NAN, -1, 0.5 },
                        mag[] = { NAN, 21, 21, 21, NAN, NAN, NAN, NAN, NAN };
    static const int64_t kind[] = {
        0, 1, 0, 1, 1, 1, 1, 0, 1
    }; /* older has no field "flux": no answer there, as the map says it */
    for (uint32_t p = 0; p < 9; p++) {
        assert_true(KIT_AT(b, T_JD, double, p) == mjd[p] + 2400000.5);
        double f = KIT_AT(b, T_FLUX, double, p), m = KIT_AT(b, T_LCMAG, float, p);
        assert_true(isnan(flux[p]) ? isnan(f) : f == flux[p]);
        assert_true(isnan(mag[p]) ? isnan(m) : m == mag[p]);
        assert_int_equal(KIT_AT(b, T_KIND, int64_t, p), kind[p]);
    }
    nj_offer offer;
    bool in_map;
    assert_int_equal(nj_schema_offer(r->cursor.schema, "lc.flux", &offer, &in_map), 0);
    assert_true(in_map && offer.type == NJ_F32 && offer.shape == NJ_SERIES && !strcmp(offer.unit, "nJy"));
    assert_int_equal(nj_schema_offer(r->cursor.schema, "ndethist", &offer, &in_map), -1);
    assert_true(in_map);
    assert_int_equal(nj_schema_offer(r->cursor.schema, "packet.old[].mag", &offer, &in_map), 0);
    assert_true(!in_map && offer.type == NJ_F32 && offer.shape == NJ_SERIES && !offer.unit);
    assert_int_equal(nj_schema_offer(r->cursor.schema, "packet.old.mag", &offer, &in_map), -1);
    assert_int_equal(nj_schema_offer(r->cursor.schema, "magnitude", &offer, &in_map), -1);
    assert_string_equal(nj_schema_survey(r->cursor.schema), "toy");
    char path[600];
    snprintf(path, sizeof path, "%s/toy.map", folder);
    unlink(path);
    rmdir(folder);
    nj_buffer_free(&d);
    nj_buffer_free(&file);
    reader_free(r);
}

static void wrong_maps_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *map, *says;
    } bad[] = { { "candid i64 = a\n", "x.map:1: the first line must be 'survey NAME'" },
                { "survey x\ncandid i65 = a\n", "x.map:2: no 'name type [unit] = path'" },
                { "survey x\ncandid i64 a\n", "x.map:2: no 'name type" },
                { "survey x\nmag f64 mag = a scale big\n", "no number: 'big'" },
                { "survey x\nmag f64 mag = a ? 1\n", "':' is missing" },
                { "survey x\nmag f64 mag = a b\n", "not known here: 'b'" },
                { "survey x\nmag f64 mag = a {t:1\n", "no end of what this opens: '{'" },
                { "survey x\nmag f64 mag = a {t=1}\n", "no from:to: 't=1'" },
                { "survey x\nlc.mag f64 mag = a\n", "no 'series' line above for 'lc.mag'" },
                { "survey x\nseries lc = a[] + b\nlc.mag f64 = a + b + c\n", "more '+' than the series has parts" },
                { "survey x\nmag f64 = a\n\nmag f64 = b\n", "x.map:4: this column stands twice" },
                { "survey x\nmatch colour red\n", "name, topic or fields, not 'colour'" } };
    char folder[] = "/tmp/nightjar-map-XXXXXX", define[600], path[600];
    assert_non_null(mkdtemp(folder));
    snprintf(define, sizeof define, "decode.maps=%s", folder);
    snprintf(path, sizeof path, "%s/x.map", folder);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nj_settings s = { 0 };
        nj_error err = { "" };
        write_file(folder, "x.map", bad[i].map);
        assert_int_equal(nj_settings_define(&s, define, &err), 0);
        assert_null(nj_decoder_new(&s, &err));
        if (!strstr(err.text, bad[i].says)) fail_msg("%s: %s", bad[i].map, err.text);
        nj_settings_free(&s);
    }
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_oddity_has_its_outcome),
        cmocka_unit_test(ztf_light_curves),
        cmocka_unit_test(blocks_and_batches_of_any_size),
        cmocka_unit_test(batches_of_several_chunks),
        cmocka_unit_test(codecs),
        cmocka_unit_test(a_bad_record_costs_its_block),
        cmocka_unit_test(damaged_blocks),
        cmocka_unit_test(hostile_schemas_are_refused),
        cmocka_unit_test(too_many_schemas),
        cmocka_unit_test(hostile_data_is_refused),
        cmocka_unit_test(recursive_types_are_read),
        cmocka_unit_test(a_packet_cut_at_every_byte),
        cmocka_unit_test(random_flips),
        cmocka_unit_test(a_map_and_all_it_can_say),
        cmocka_unit_test(wrong_maps_name_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
