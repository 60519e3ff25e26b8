/* decode_map_values.c - values of Avro maps as columns: packet.MAP.key, as fields, below records, in items
 * of arrays. */
#include "decode_kit.h"

#include <math.h>

#define COLUMN(path, type, shape)                                                                            \
    {                                                                                                        \
        path, type, shape, NULL, 1                                                                           \
    }
enum { CANDID, LOW, LOW_TOO, DOTTED, NO_SUCH, WORD, DEEP_X, DEEP_Y, ITEM, AFTER, N_COLUMNS };
static const nj_column_def columns[N_COLUMNS] = {
    COLUMN("candid", NJ_I64, NJ_SCALAR),
    COLUMN("packet.number.low", NJ_F64, NJ_SCALAR),
    COLUMN("packet.number.low", NJ_I32, NJ_SCALAR), /* the same value twice */
    COLUMN("packet.number.a.b", NJ_F64, NJ_SCALAR), /* a key with a dot */
    COLUMN("packet.number.nosuch", NJ_F64, NJ_SCALAR),
    COLUMN("packet.half.word.lang", NJ_STR, NJ_SCALAR),
    COLUMN("packet.deep.p.x", NJ_F64, NJ_SCALAR),
    COLUMN("packet.deep.p.y[]", NJ_I32, NJ_SERIES),
    COLUMN("packet.items[].m.k", NJ_F64, NJ_SERIES),
    COLUMN("packet.after", NJ_STR, NJ_SCALAR),
};
static const nj_layout layout = { "ztf", N_COLUMNS, N_COLUMNS, columns, 0 };

static const char schema[] =
    "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"candid\",\"type\":\"long\"},"
    "{\"name\":\"number\",\"type\":[\"null\",{\"type\":\"map\",\"values\":[\"float\",\"null\"]}]},"
    "{\"name\":\"half\",\"type\":{\"type\":\"record\",\"name\":\"half\",\"fields\":[{\"name\":\"word\","
    "\"type\":{\"type\":"
    "\"map\",\"values\":\"string\"}}]}},"
    "{\"name\":\"deep\",\"type\":{\"type\":\"map\",\"values\":[\"null\",{\"type\":\"record\",\"name\":\"d\","
    "\"fields\":["
    "{\"name\":\"x\",\"type\":\"double\"},{\"name\":\"y\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}]}]"
    "}},"
    "{\"name\":\"items\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"i\","
    "\"fields\":["
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"double\"}}]}}},"
    "{\"name\":\"unread\",\"type\":{\"type\":\"map\",\"values\":\"string\"}},{\"name\":\"after\",\"type\":"
    "\"string\"}]}";

static void float_entry(nj_buffer *d, const char *key, float v)
{
    kit_text(d, key);
    kit_long(d, isnan(v));
    if (!isnan(v)) kit_f32(d, v);
}

static void deep_entry(nj_buffer *d, const char *key, double x, int n)
{
    kit_text(d, key);
    kit_long(d, 1);
    kit_f64(d, x);
    if (n) kit_long(d, n);
    for (int i = 0; i < n; i++) kit_long(d, 10 * n + i);
    kit_long(d, 0);
}

static void item(nj_buffer *d, const char *key, double v)
{
    kit_long(d, key != NULL);
    if (!key) return;
    kit_text(d, key);
    kit_f64(d, v);
    kit_long(d, 0);
}

static void all_there(nj_buffer *d)
{
    nj_buffer block = { 0 };
    kit_long(d, 11);
    kit_long(d, 1);
    float_entry(&block, "lo", 1);
    float_entry(&block, "low", 2.5f);
    float_entry(&block, "lower", 3);
    kit_long(d, -3); /* a block with its size: not to be skipped, one key is wanted */
    kit_long(d, (int64_t)block.n);
    nj_buffer_add(d, block.data, block.n);
    kit_long(d, 2);
    float_entry(d, "a.b", -4);
    float_entry(d, "low", 6.5f); /* twice: the last one, as readers that build dictionaries see it */
    kit_long(d, 0);
    kit_long(d, 2);
    kit_text(d, "lang"), kit_text(d, "Latin");
    kit_text(d, "other"), kit_text(d, "");
    kit_long(d, 0);
    kit_long(d, 3);
    deep_entry(d, "q", 1, 3);
    deep_entry(d, "p", 0.125, 2);
    kit_text(d, "r"), kit_long(d, 0);
    kit_long(d, 0);
    kit_long(d, 4);
    item(d, "k", 1), item(d, "x", 2), item(d, NULL, 0), item(d, "k", 4);
    kit_long(d, 0);
    nj_buffer_free(&block);
}

static void nothing_there(nj_buffer *d)
{
    kit_long(d, 12);
    kit_long(d, 0); /* the map is null */
    kit_long(d, 0);
    kit_long(d, 0);
    kit_long(d, 0);
}

static void null_there(nj_buffer *d)
{
    kit_long(d, 13);
    kit_long(d, 1);
    kit_long(d, 1);
    float_entry(d, "low", NAN);
    kit_long(d, 0);
    kit_long(d, 0);
    kit_long(d, 1);
    kit_text(d, "p"), kit_long(d, 0);
    kit_long(d, 0);
    kit_long(d, 0);
}

static void the_end(nj_buffer *d)
{
    kit_long(d, 1);
    kit_text(d, "some"), kit_text(d, "thing");
    kit_long(d, 0);
    kit_text(d, "here");
}

static nj_batch *read_rows(nj_decoder *decoder, nj_cursor *cursor, const nj_buffer *file, nj_chunk **chunk)
{
    nj_batch *b = nj_batch_new();
    nj_error err;
    *chunk = kit_chunk(file->data, file->n);
    assert_int_equal(nj_batch_begin(b, &layout, 16), 0);
    if (nj_cursor_open(cursor, decoder, *chunk, &err)) fail_msg("%s", err.text);
    assert_int_equal(nj_cursor_read(cursor, b, 16, SIZE_MAX), 0);
    return b;
}

static void values_by_key(void **state)
{
    (void)state;
    static void (*const kind[])(nj_buffer *) = { all_there, nothing_there, null_there, all_there };
    nj_settings settings = { .n = 0 };
    nj_decoder *decoder = kit_decoder(&settings, NULL);
    nj_cursor cursor = { 0 };
    nj_buffer d = { 0 }, file = { 0 };
    nj_chunk *chunk;
    kit_header(&file, schema, "null");
    for (int i = 0; i < 4; i++) kind[i](&d), the_end(&d);
    kit_block(&file, 4, d.data, d.n);
    nj_batch *b = read_rows(decoder, &cursor, &file, &chunk);
    if (b->n != 4) fail_msg("%u rows: %s", b->n, b->n_dead ? b->dead[0].reason : "?");
    for (uint32_t row = 0; row < 4; row++) {
        bool all = row % 3 == 0;
        const uint32_t y = KIT_FROM(b, DEEP_Y, row), k = KIT_FROM(b, ITEM, row);
        assert_int_equal(KIT_AT(b, CANDID, int64_t, row), all ? 11 : 11 + row);
        assert_true(all ? KIT_AT(b, LOW, double, row) == 6.5 : isnan(KIT_AT(b, LOW, double, row)));
        assert_int_equal(KIT_AT(b, LOW_TOO, int32_t, row), NJ_NO_I32); /* 6.5 is no whole number */
        assert_true(all ? KIT_AT(b, DOTTED, double, row) == -4 : isnan(KIT_AT(b, DOTTED, double, row)));
        assert_true(isnan(KIT_AT(b, NO_SUCH, double, row)));
        assert_true(all ? !strcmp(KIT_AT(b, WORD, char *, row), "Latin") : !KIT_AT(b, WORD, char *, row));
        assert_true(all ? KIT_AT(b, DEEP_X, double, row) == 0.125 : isnan(KIT_AT(b, DEEP_X, double, row)));
        assert_int_equal(b->col[DEEP_Y].off[row + 1] - y, all ? 2 : 0);
        assert_int_equal(b->col[ITEM].off[row + 1] - k, all ? 4 : 0);
        assert_string_equal(KIT_AT(b, AFTER, char *, row), "here");
        if (!all) continue;
        assert_true(KIT_AT(b, DEEP_Y, int32_t, y) == 20 && KIT_AT(b, DEEP_Y, int32_t, y + 1) == 21);
        const double want[] = { 1, NAN, NAN, 4 };
        for (int i = 0; i < 4; i++)
            assert_true(isnan(want[i]) ? isnan(KIT_AT(b, ITEM, double, k + i))
                                       : KIT_AT(b, ITEM, double, k + i) == want[i]);
    }
    nj_offer offer;
    assert_int_equal(nj_schema_offer(cursor.schema, "packet.half.word.any", &offer, NULL), 0);
    assert_true(offer.type == NJ_STR && offer.shape == NJ_SCALAR);
    assert_int_equal(nj_schema_offer(cursor.schema, "packet.items[].m.any", &offer, NULL), 0);
    assert_true(offer.type == NJ_F64 && offer.shape == NJ_SERIES);
    assert_int_equal(nj_schema_offer(cursor.schema, "packet.deep.p", &offer, NULL), -1);
    assert_int_equal(nj_schema_offer(cursor.schema, "packet.deep.p.z", &offer, NULL), -1);
    nj_batch_free(b);
    nj_cursor_free(&cursor);
    nj_chunk_drop(chunk);
    nj_decoder_free(decoder);
    nj_settings_free(&settings);
    nj_buffer_free(&d);
    nj_buffer_free(&file);
}

/* A datum cut anywhere is a dead letter, never a read past its end (ASan) nor a wrong row. */
static void cut_anywhere(void **state)
{
    (void)state;
    nj_settings settings = { .n = 0 };
    nj_decoder *decoder = kit_decoder(&settings, NULL);
    nj_buffer d = { 0 };
    all_there(&d), the_end(&d);
    for (size_t cut = 0; cut < d.n; cut++) {
        nj_cursor cursor = { 0 };
        nj_buffer file = { 0 };
        nj_chunk *chunk;
        kit_header(&file, schema, "null");
        kit_block(&file, 1, d.data, cut);
        nj_batch *b = read_rows(decoder, &cursor, &file, &chunk);
        assert_true(b->n == 0 && b->n_dead == 1);
        nj_batch_free(b);
        nj_cursor_free(&cursor);
        nj_chunk_drop(chunk);
        nj_buffer_free(&file);
    }
    nj_decoder_free(decoder);
    nj_settings_free(&settings);
    nj_buffer_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values_by_key), cmocka_unit_test(cut_anywhere) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
