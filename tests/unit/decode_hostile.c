/* decode_hostile.c - decode: schemas and data that were made to harm, and packets damaged at random. */
#include "decode_packets.h"
#include "broker/avro/decoder.h"
#include <pthread.h>
#include "broker/image/opener.h"

enum { MOST_ROOM = 1 << 20 }; /* of a batch, when a datum is refused; most of them announce gigabytes */

/* ---- hostile schemas ------------------------------------------------------------------------- */

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
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"fixed\",\"name\":\"f\",\"size\":-2}}"),
                  "has the size -2");
    refuse_schema(
        r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"fixed\",\"name\":\"f\",\"size\":99999999999}}"),
        "has the size");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":\"nonsense\"}"), "'nonsense' before it is defined");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"array\"}}"), "no \"items\"");
    refuse_schema(r, RECORD("{\"name\":\"a\",\"type\":[\"null\",[\"int\"]]}"), "directly inside a union");
    refuse_schema(r, RECORD("{\"type\":\"int\"}"), "lacks a name or a type");
    refuse_schema(r, "{\"type\":\"record\",\"name\":\"weather.report\",\"fields\":[]}",
                  "no survey map matches the schema 'weather.report'");
    nj_buffer deep = { 0 }; /* arrays of arrays of ... */
    for (int i = 0; i < 500; i++) nj_buffer_text(&deep, "{\"type\":\"array\",\"items\":");
    nj_buffer_text(&deep, "\"int\"");
    for (int i = 0; i < 500; i++) nj_buffer_text(&deep, "}");
    refuse_schema(r, deep.data, "nests deeper than 128");
    deep.n = 0;
    for (int i = 0; i < 100000; i++) nj_buffer_text(&deep, "[");
    refuse_schema(r, deep.data, "not JSON"); /* jansson has its own limit */
    deep.n = 0; /* 30 records of two fields each, each of the type before: 2^30 fields when written out */
    nj_buffer_text(&deep, "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"x\",\"type\":{"
                          "\"type\":\"record\",\"name\":\"r0\","
                          "\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}}");
    for (int i = 1; i <= 30; i++)
        nj_buffer_printf(&deep,
                         ",{\"name\":\"x%d\",\"type\":{\"type\":\"record\",\"name\":\"r%d\",\"fields\":[{"
                         "\"name\":\"a\",\"type\":\"ztf.r%d\"},"
                         "{\"name\":\"b\",\"type\":\"ztf.r%d\"}]}}",
                         i, i, i - 1, i - 1);
    nj_buffer_text(&deep, "]}");
    refuse_schema(r, deep.data, "expands to more than");
    deep.n = 0; /* more names than a schema may have */
    nj_buffer_text(
        &deep, "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"z\",\"type\":\"int\"}");
    for (int i = 0; i < 5000; i++)
        nj_buffer_printf(
            &deep, ",{\"name\":\"f%d\",\"type\":{\"type\":\"enum\",\"name\":\"e%d\",\"symbols\":[\"a\"]}}", i,
            i);
    nj_buffer_text(&deep, "]}");
    refuse_schema(r, deep.data, "the schema defines more than 4096 names");
    nj_buffer_free(&deep);
    reader_free(r);
}

static void schemas_that_are_too_large_are_refused(void **state)
{
    (void)state;
    reader *r = reader_new(NULL);
    nj_buffer large = { 0 };
    const char *begin = "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"z\",\"type\":"
                        "\"int\"}";
    nj_buffer_text(&large, begin); /* a list longer than all lists may be together */
    for (int i = 0; i < 200001; i++) nj_buffer_printf(&large, ",{\"name\":\"f%d\",\"type\":\"int\"}", i);
    nj_buffer_text(&large, "]}");
    refuse_schema(r, large.data, "fields, branches and symbols");
    large.n = 0;
    nj_buffer_text(&large, begin);
    for (int i = 0; i < 101000; i++)
        nj_buffer_printf(&large, ",{\"name\":\"f%d\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}", i);
    nj_buffer_text(&large, "]}");
    refuse_schema(r, large.data, "fields, branches and symbols");
    large.n = 0;
    nj_buffer_text(&large, begin);
    nj_buffer_text(&large, "],\"doc\":\"");
    for (int i = 0; i < 9 << 20; i++) nj_buffer_add(&large, "x", 1);
    nj_buffer_text(&large, "\"}");
    refuse_schema(r, large.data, "bytes, more than");
    nj_buffer_free(&large);
    reader_free(r);
}

static int read_schema(reader *r, const char *schema)
{
    nj_buffer file = { 0 };
    kit_header(&file, schema, "null");
    kit_block(&file, 1, "\2", 1);
    int rc = read_all(r, file.data, file.n);
    nj_buffer_free(&file);
    return rc;
}

/* The table has a bound, and what comes last has room in it: a stream lasts for months. */
static void too_many_schemas(void **state)
{
    (void)state;
    reader *r = reader_new("decode.max_schemas=20");
    char schema[200];
    for (int i = 0; i < 70; i++) {
        snprintf(schema, sizeof schema, RECORD("{\"name\":\"f%d\",\"type\":\"int\"}"), i % 35);
        if (read_schema(r, schema)) fail_msg("schema %d: %s", i, r->err.text);
        assert_int_equal(r->batch->n, 1);
        assert_true(r->decoder->n_schemas <= 20);
    }
    reader_free(r);
}

typedef struct sharer {
    pthread_t thread;
    nj_decoder *decoder;
    uint32_t seed, n_rows;
} sharer;

/* Reads packets of 30 schemas in an order of its own; rows are looked at when their schema may be gone. */
static void *share(void *arg)
{
    sharer *s = arg;
    reader r = { .decoder = s->decoder, .batch = nj_batch_new() };
    for (int i = 0; i < 400; i++) {
        char schema[200];
        s->seed = s->seed * 1664525 + 1013904223;
        snprintf(schema, sizeof schema, RECORD("{\"name\":\"f%u\",\"type\":\"int\"}"), (s->seed >> 16) % 30);
        if (read_schema(&r, schema)) break;
        s->n_rows += r.batch->n && r.batch->row[0].absent[0];
    }
    nj_batch_free(r.batch);
    nj_cursor_free(&r.cursor);
    return NULL;
}

static void threads_share_a_table_that_is_too_small(void **state)
{
    (void)state;
    reader *r = reader_new("decode.max_schemas=5");
    sharer s[4];
    for (uint32_t i = 0; i < 4; i++) {
        s[i] = (sharer){ .decoder = r->decoder, .seed = i };
        assert_int_equal(pthread_create(&s[i].thread, NULL, share, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(s[i].thread, NULL);
    for (int i = 0; i < 4; i++) assert_int_equal(s[i].n_rows, 400);
    assert_true(r->decoder->n_schemas <= 9); /* those that a thread reads by stay */
    reader_free(r);
}

static void junk_schemas_do_not_push_out_good_ones(void **state)
{
    (void)state;
    reader *r = reader_new("decode.max_schemas=20");
    char schema[200];
    assert_int_equal(read_schema(r, RECORD("{\"name\":\"first\",\"type\":\"int\"}")), 0);
    uint64_t first = nj_schema_serial(r->cursor.schema);
    assert_int_equal(read_schema(r, RECORD("{\"name\":\"second\",\"type\":\"int\"}")), 0);
    for (int i = 0; i < 60; i++) {
        snprintf(schema, sizeof schema,
                 "{\"type\":\"record\",\"name\":\"junk%d\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}",
                 i);
        assert_int_equal(read_schema(r, schema), -1);
        assert_true(r->decoder->n_schemas <= 20);
    }
    assert_int_equal(read_schema(r, RECORD("{\"name\":\"first\",\"type\":\"int\"}")), 0);
    assert_int_equal(nj_schema_serial(r->cursor.schema), first);
    reader_free(r);
}

/* ---- hostile data ---------------------------------------------------------------------------- */

static void refuse_datum(reader *r, const char *schema, const nj_buffer *datum, const char *says)
{
    nj_buffer file = { 0 };
    kit_header(&file, schema, "null");
    kit_block(&file, 1, datum->data, datum->n);
    assert_int_equal(read_all(r, file.data, file.n), 0);
    if (r->batch->n_dead != 1 || !strstr(r->batch->dead[0].reason, says))
        fail_msg("%s: %s", says, r->batch->n_dead ? r->batch->dead[0].reason : "accepted");
    assert_int_equal(r->batch->n, 0);
    if (r->batch->arena.used > MOST_ROOM)
        fail_msg("%s: refused only after it had taken %zu bytes", says, r->batch->arena.used);
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
    refuse_datum(r, RECORD("{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}"), &d,
                 "announces 19998 items");
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
    refuse_datum(r, RECORD("{\"name\":\"next\",\"type\":[\"null\",\"ztf.alert\"]}"), &d,
                 "nested deeper than the limit");
    d.n = 0;
    nj_buffer nested = { 0 }; /* 20 arrays inside each other */
    nj_buffer_text(&nested,
                   "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"a\",\"type\":");
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
    kit_header(
        &file,
        RECORD("{\"name\":\"candid\",\"type\":\"long\"},{\"name\":\"next\",\"type\":[\"null\",\"alert\"]},"
               "{\"name\":\"more\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":"
               "\"alert\"}}}"),
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

/* ---- random damage --------------------------------------------------------------------------- */

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
        for (uint64_t k = 1 + random_u64() % 4; k > 0; k--)
            bytes[random_u64() % size] ^= (uint8_t)(1 + random_u64() % 255);
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
    print_message("# %ld packets with 1 to 4 bytes changed (seed 20260321): %zu rows, %zu dead letters, %zu "
                  "refused, %zu stamps still good\n",
                  n, rows, dead, refused, open);
    assert_true(rows > 0 && dead > 0 && refused > 0);
    free(good);
    free(bytes);
    reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_schemas_are_refused),
        cmocka_unit_test(schemas_that_are_too_large_are_refused),
        cmocka_unit_test(too_many_schemas),
        cmocka_unit_test(junk_schemas_do_not_push_out_good_ones),
        cmocka_unit_test(threads_share_a_table_that_is_too_small),
        cmocka_unit_test(hostile_data_is_refused),
        cmocka_unit_test(recursive_types_are_read),
        cmocka_unit_test(a_packet_cut_at_every_byte),
        cmocka_unit_test(random_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
