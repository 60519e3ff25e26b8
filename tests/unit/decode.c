/* decode.c - decode: every natural oddity of real packets, and made ones in blocks, batches and codecs of
 * every kind. */
#include "decode_packets.h"
#include "broker/image/opener.h"

#include <bzlib.h>
#include <libdeflate.h>
#include <lzma.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

/* ---- natural damage -------------------------------------------------------------------------- */

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
    { "crlf_516442330015015017.avro", 0, 0, 1,
      "announces 47987 bytes and a sync marker, 48002 bytes are left", 0, 0, 0, 0 },
    { "crlf_516442805615015004.avro", 0, 0, 1,
      "announces 47982 bytes and a sync marker, 47997 bytes are left", 0, 0, 0, 0 },
    { "gitlfs_pointer.avro", "starts with 'version https://git-lfs'", 0, 0, 0, 0, 0, 0, 0 },
    { "html500_1217406343915015013.avro", "starts with '<!DOCTYPE HTML", 0, 0, 0, 0, 0, 0, 0 },
    { "jpeg_stamps_351444681315015017.avro", 0, 1, 0, 0, 351444681315015017, 21, "ZTF17aabtmqh",
      NJ_STAMP_BAD },
    { "jpeg_stamps_351446864515015002.avro", 0, 1, 0, 0, 351446864515015002, 6, "ZTF17aabtngy",
      NJ_STAMP_BAD },
    { "lsst_bare_unknown_version.msg", "needs [decode] schema", 0, 0, 0, 0, 0, 0, 0 },
    { "multi_record_ztf33.avro", 0, 3, 0, 0, 1788116342915015046, 15, "ZTF19abbpaqb", NJ_STAMP_OPEN },
    { "negative_candid_121540793515135000.avro", 0, 1, 0, 0, -121540793515135000, 137, "ZTF18aaaaaac",
      NJ_STAMP_BAD },
    { "null_cutouts_ZTF20abyfpze.avro", 0, 1, 0, 0, 1382302730115015012, 124, "ZTF20abyfpze", NJ_STAMP_NONE },
    { "null_cutouts_v3.5_1661382530015060035.avro", 0, 1, 0, 0, 1661382530015060035, 24, "ZTF18abcgtxt",
      NJ_STAMP_NONE },
    { "null_cutouts_v3.5_1661382530115060027.avro", 0, 1, 0, 0, 1661382530115060027, 22, "ZTF18aayedgy",
      NJ_STAMP_NONE },
    { "null_cutouts_v3.5_1661382530115065009.avro", 0, 1, 0, 0, 1661382530115065009, 22, "ZTF18aaudygr",
      NJ_STAMP_NONE },
    { "same_candid_v3.0_472263571115115008.avro", 0, 1, 0, 0, 472263571115115008, 12, "ZTF18abdqakc",
      NJ_STAMP_OPEN },
    { "same_candid_v3.1_472263571115115014.avro", 0, 1, 0, 0, 472263571115115014, 12, "ZTF18abdqake",
      NJ_STAMP_OPEN },
    { "spark_402_jdfaked_2481168780615015008.avro", 0, 1, 0, 0, 2481168780615015008, 21, "ZTF23ablfjzc",
      NJ_STAMP_OPEN },
    { "spark_402_jdfaked_2481306564415015012.avro", 0, 1, 0, 0, 2481306564415015012, 41, "ZTF23ablhzpn",
      NJ_STAMP_OPEN },
    { "spark_402_jdfaked_2481537852915015014.avro", 0, 1, 0, 0, 2481537852915015014, 19, "ZTF23ablmzej",
      NJ_STAMP_OPEN },
    { "spark_402_plain_3213262934615015018.avro", 0, 1, 0, 0, 3213262934615015018, 39, "ZTF17aaawgox",
      NJ_STAMP_OPEN },
    { "spark_402_snappy_3213262934615015018.avro", 0, 1, 0, 0, 3213262934615015018, 39, "ZTF17aaawgox",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.0_616437181215010000.avro", 0, 1, 0, 0, 616437181215010000, 4, "ZTF18abtsrgt",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.0_621312745215010000.avro", 0, 1, 0, 0, 621312745215010000, 3, "ZTF18abufejb",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.1_628393611215010000.avro", 0, 1, 0, 0, 628393611215010000, 2, "ZTF18abybtnl",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.1_669216306215010000.avro", 0, 1, 0, 0, 669216306215010000, 1, "ZTF18acbxkxo",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.2_681190845015010000.avro", 0, 1, 0, 0, 681190845015010000, 3, "ZTF18acjwtdk",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.2_734127696115010000.avro", 0, 1, 0, 0, 734127696115010000, 9, "ZTF18acjwrgx",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.3_1003321121015010000.avro", 0, 1, 0, 0, 1003321121015010000, 20, "ZTF19abzqcmd",
      NJ_STAMP_OPEN },
    { "spark_snappy_v3.3_949461501215010000.avro", 0, 1, 0, 0, 949461501215010000, 15, "ZTF19abjovwu",
      NJ_STAMP_OPEN },
    { "trailing_garbage_2480088313915010007.avro", 0, 1, 1, "at byte 84476 does not end at its sync marker",
      2480088313915010007, 37, "ZTF21aapuacc", NJ_STAMP_OPEN },
    { "union_index_516442333915010047.avro", 0, 0, 1,
      "record 0: prv_candidates[].candid: the union has no branch", 0, 0, 0, 0 },
    { "union_toplevel_simIa_51.avro", 0, 8, 0, 0, 0, 0, 0, NJ_STAMP_NONE }, /* simulated: no candid in
                                                                             * the manifest */
    { "zero_records.avro", 0, 0, 0, 0, 0, 0, 0, 0 },
};

static void check_oddity(reader *r, const struct oddity *o, const char *name)
{
    nj_batch *b = r->batch;
    if (b->n != o->rows || b->n_dead != o->dead)
        fail_msg("%s: %u rows and %u dead letters, not %u and %u", name, b->n, b->n_dead, o->rows, o->dead);
    if (o->reason && !strstr(b->dead[0].reason, o->reason))
        fail_msg("%s: the reason is '%s'", name, b->dead[0].reason);
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
        if (b->stamp[s][0].state != o->stamp)
            fail_msg("%s: %s is %d", name, nj_stamp_name[s], b->stamp[s][0].state);
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
        if (o->refused && !strstr(r->err.text, o->refused))
            fail_msg("%s: refused with '%s'", names[i], r->err.text);
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
        /* the file is named after its candid */
        assert_int_equal(b->id[0], strtoll(strchr(names[i], '/') + 1, NULL, 10));
        assert_non_null(strchr("gr", *KIT_AT(b, BAND, char *, 0)));
        assert_string_equal(KIT_AT(b, SURVEY, char *, 0), "ztf");
        assert_true(KIT_AT(b, POSITIVE, uint8_t, 0) <= 1);
        uint32_t k = b->col[LC_MAG].off[1];
        assert_ptr_equal(b->col[LC_JD].off, b->col[LC_MAG].off);
        /* history in packet order, then the current detection;
         * 3.5 has forced photometry there and no magnitudes */
        bool has_history = !(b->row[0].absent[0] >> RAW_SERIES & 1);
        if (has_history) assert_int_equal(b->col[RAW_SERIES].off[1] + 1, k);
        for (uint32_t p = 0; has_history && p + 1 < k; p++)
            assert_memory_equal(&KIT_AT(b, LC_MAG, float, p), &KIT_AT(b, RAW_SERIES, float, p), 4);
        assert_true(KIT_AT(b, LC_MAG, float, k - 1) == KIT_AT(b, MAG, float, 0));
        assert_true(KIT_AT(b, LC_JD, double, k - 1) == KIT_AT(b, JD, double, 0));
        for (uint32_t p = 0; p < k; p++)
            assert_int_equal(KIT_AT(b, LC_KIND, int, p), isnan(KIT_AT(b, LC_MAG, float, p)) ? 1 : 0);
        free(bytes);
        free(names[i]);
    }
    free(names);
    reader_free(r);
}

/* ---- made packets: these run without ../shared ----------------------------------------------- */

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
    if (!strcmp(codec, "bzip2")) {
        unsigned made = (unsigned)cap;
        assert_int_equal(BZ2_bzBuffToBuffCompress(out, &made, in->data, (unsigned)in->n, 9, 0, 0), BZ_OK);
        return made;
    }
    if (!strcmp(codec, "xz")) {
        size_t made = 0;
        assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, (const uint8_t *)in->data, in->n,
                                                 (uint8_t *)out, &made, cap),
                         LZMA_OK);
        return made;
    }
    if (!strcmp(codec, "zstandard long")) { /* a frame that asks for a window of 2^28 bytes */
        ZSTD_CCtx *c = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 28);
        ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
        ZSTD_inBuffer from = { in->data, in->n, 0 };
        ZSTD_outBuffer to = { out, cap, 0 };
        while (ZSTD_compressStream2(c, &to, &from, ZSTD_e_flush)) continue;
        while (ZSTD_compressStream2(c, &to, &from, ZSTD_e_end)) continue;
        ZSTD_freeCCtx(c);
        return to.pos;
    }
    if (!strcmp(codec, "deflate open")) { /* ends with a flush, without a last block */
        z_stream z = { .next_in = (Bytef *)in->data,
                       .avail_in = (uInt)in->n,
                       .next_out = (Bytef *)out,
                       .avail_out = (uInt)cap };
        deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
        size_t made = z.total_out;
        deflateEnd(&z);
        return made;
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
    static const char *const codec[] = { "deflate", "snappy",         "zstandard",   "bzip2",
                                         "xz",      "zstandard long", "deflate open" };
    reader *r = reader_new("decode.max_block=1M");
    char *out = malloc(1 << 22), *zero = calloc(1, 3 << 20);
    for (int c = 0; c < 7; c++) {
        nj_buffer file = { 0 }, block = { 0 };
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(codec[c], " "), codec[c]);
        kit_header(&file, small_schema, name);
        for (int i = 0; i < 5; i++) small_record(&block, i, NULL, 0);
        size_t n = pack(codec[c], &block, out, 1 << 22), header = file.n;
        kit_block(&file, 5, out, n);
        assert_int_equal(read_all(r, file.data, file.n), 0);
        assert_int_equal(r->batch->n, 5);
        for (uint32_t row = 0; row < 5; row++) check_small(r->batch, row, row);
        /* datums of compressed blocks live as long as the batch, whatever happens to the cursor */
        assert_int_equal(r->batch->row[4].size + r->batch->row[3].size + r->batch->row[2].size +
                             r->batch->row[1].size + r->batch->row[0].size,
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
            /* a block whose own header can be believed costs all its records */
            if (at >= header + 3 && r->batch->n == 0 && !r->batch->dead[0].field)
                assert_int_equal(r->batch->receipt[0].n_dead, 5);
            file.data[at] ^= 0x55;
        }
        /* a block of nothing at the end, in no bytes and packed */
        size_t end = file.n;
        kit_block(&file, 0, "", 0);
        assert_int_equal(read_all(r, file.data, file.n), 0);
        assert_int_equal(r->batch->n, 5);
        assert_int_equal(r->batch->n_dead, 0);
        file.n = end;
        /* a bomb: 3 MB behind a limit of 1 MB */
        nj_buffer big = { .data = zero, .n = 3 << 20 };
        file.n = header;
        n = pack(codec[c], &big, out, 1 << 22);
        kit_block(&file, 1, out, n);
        assert_int_equal(read_all(r, file.data, file.n), 0);
        assert_int_equal(r->batch->n_dead, 1);
        assert_non_null(strstr(r->batch->dead[0].reason, "more than 1048576 bytes"));
        assert_int_equal(r->batch->dead[0].size, file.n); /* the only record: the whole file,
                                                           * to be read again */
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
    assert_int_equal(b->receipt[0].n_dead, 4); /* as many as there were */
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

/* A damaged block counts the records it announces; what follows it is read, and keeps its number. */
static void a_damaged_block_counts_its_records(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int damage; /* 0: the marker of the middle block, 1: its data, 2:
                     * the file is cut in the last one, 3: garbage behind */
        uint32_t rows, dead;
        const char *says;
    } kind[] = { { "null", 0, 5, 3, "does not end at its sync marker; lost: 3 records" },
                 { "deflate", 0, 5, 3, "lost: 3 records" },
                 { "deflate", 1, 5, 3, "lost: 3 records" },
                 { "snappy", 1, 5, 3, "lost: 3 records" },
                 { "zstandard", 1, 5, 3, "lost: 3 records" },
                 { "bzip2", 1, 5, 3, "lost: 3 records" },
                 { "xz", 1, 5, 3, "lost: 3 records" },
                 { "null", 2, 7, 1, "lost: 1 record" },
                 { "deflate", 2, 7, 1, "lost: 1 record" },
                 { "null", 3, 8, 1, "how many records it had is not known" } };
    reader *r = reader_new(NULL);
    char *out = malloc(1 << 20);
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        static const int size[] = { 4, 3, 1 };
        nj_buffer file = { 0 }, block = { 0 };
        kit_header(&file, small_schema, kind[i].name);
        size_t middle = 0;
        for (int b = 0, k = 0; b < 3; b++) {
            block.n = 0;
            for (int n = 0; n < size[b]; n++) small_record(&block, k++, NULL, 0);
            size_t n = !strcmp(kind[i].name, "null") ? block.n : pack(kind[i].name, &block, out, 1 << 20);
            kit_block(&file, size[b], !strcmp(kind[i].name, "null") ? block.data : out, n);
            if (b == 1) middle = file.n;
        }
        if (kind[i].damage == 0) file.data[middle - 5] ^= 1;
        if (kind[i].damage == 1)
            for (size_t k = middle - 26; k < middle - 16; k++) file.data[k] ^= 0x5a;
        if (kind[i].damage == 2) file.n -= 25;
        if (kind[i].damage == 3)
            nj_buffer_text(&file, "zz garbage that is no block, of some length, and of no meaning at all");
        assert_int_equal(read_all(r, file.data, file.n), 0);
        if (r->batch->n != kind[i].rows) fail_msg("%zu: %u rows", i, r->batch->n);
        if (!strstr(r->batch->dead[0].reason, kind[i].says)) fail_msg("%zu: %s", i, r->batch->dead[0].reason);
        assert_int_equal(r->batch->receipt[0].n_dead, kind[i].dead);
        if (kind[i].damage < 2) assert_int_equal(r->batch->row[4].record, 7);
        nj_buffer_free(&file);
        nj_buffer_free(&block);
    }
    free(out);
    reader_free(r);
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
        cmocka_unit_test(a_damaged_block_counts_its_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
