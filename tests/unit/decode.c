/* Decode: values of known packets, every natural and made damage, hostile schemas and data. */
#include "decode_kit.h"

#include <math.h>

#define COLUMN(path, type, shape) { path, type, shape, NULL, 1 }

static void ztf_values(void **state)
{
    (void)state;
    if (!kit_shared()) skip();
    static const nj_column_def col[] = { COLUMN("candid", NJ_I64, NJ_SCALAR), COLUMN("object", NJ_STR, NJ_SCALAR), COLUMN("jd", NJ_F64, NJ_SCALAR),
        COLUMN("band", NJ_STR, NJ_SCALAR), COLUMN("lc.mag", NJ_F32, NJ_SERIES), COLUMN("lc.jd", NJ_F64, NJ_SERIES), COLUMN("lc.kind", NJ_I32, NJ_SERIES),
        COLUMN("positive", NJ_U8, NJ_SCALAR), COLUMN("packet.prv_candidates[].rb", NJ_F64, NJ_SERIES), COLUMN("survey", NJ_STR, NJ_SCALAR) };
    static const nj_layout layout = { "ztf", sizeof col / sizeof *col, sizeof col / sizeof *col, col, 7 };
    nj_settings settings = { 0 };
    nj_decoder *d = kit_decoder(&settings, NULL);
    int n;
    char **names = kit_folder("ztf", ".avro", &n);
    nj_cursor cursor = { 0 };
    nj_batch *batch = nj_batch_new();
    nj_opener *opener = nj_opener_new(d);
    for (int i = 0; i < n; i++) {
        size_t size = 0;
        nj_error err = { "" };
        uint8_t *bytes = kit_file(names[i], &size);
        nj_chunk *chunk = kit_chunk(bytes, size);
        free(bytes);
        assert_int_equal(nj_batch_begin(batch, &layout, 4), 0);
        if (nj_cursor_open(&cursor, d, chunk, &err)) fail_msg("%s: %s", names[i], err.text);
        assert_int_equal(nj_cursor_read(&cursor, batch, 4, SIZE_MAX), 0);
        if (batch->n_dead) fail_msg("%s: %s", names[i], batch->dead[0].reason);
        uint32_t k = batch->col[4].off[1];
        assert_int_equal(batch->n, 1);
        assert_int_equal(batch->id[0], strtoll(strchr(names[i], '/') + 1, NULL, 10)); /* the file is named after its candid */
        assert_int_equal(KIT_AT(batch, 0, int64_t, 0), batch->id[0]);
        assert_int_equal(strncmp(KIT_AT(batch, 1, char *, 0), "ZTF", 3), 0);
        assert_true(KIT_AT(batch, 2, double, 0) > 2457000 && KIT_AT(batch, 2, double, 0) < 2462000);
        assert_non_null(strchr("gr", *KIT_AT(batch, 3, char *, 0)));
        assert_true(KIT_AT(batch, 4, float, k - 1) > 10 && KIT_AT(batch, 4, float, k - 1) < 25);
        assert_true(KIT_AT(batch, 5, double, k - 1) == KIT_AT(batch, 2, double, 0)); /* the current one is the last */
        assert_int_equal(KIT_AT(batch, 6, int, k - 1), 0);
        for (uint32_t p = 0; p < k; p++) assert_int_equal(KIT_AT(batch, 6, int, p), isnan(KIT_AT(batch, 4, float, p)) ? 1 : 0);
        assert_true(KIT_AT(batch, 7, uint8_t, 0) <= 1);
        if (!(batch->row[0].absent[0] >> 8 & 1)) assert_int_equal(batch->col[8].off[1] + 1, k); /* 3.5 has no rb there */
        assert_string_equal(KIT_AT(batch, 9, char *, 0), "ztf");
        for (int s = 0; s < NJ_STAMPS; s++) {
            const char *why = NULL;
            nj_stamp_open(opener, &batch->stamp[s][0], &batch->arena, &why);
            if (why) fail_msg("%s: %s", names[i], why);
            assert_int_equal(batch->stamp[s][0].state, NJ_STAMP_OPEN);
        }
        nj_chunk_drop(chunk);
        free(names[i]);
    }
    free(names);
    nj_batch_free(batch);
    nj_cursor_free(&cursor);
    nj_opener_free(opener);
    nj_decoder_free(d);
    nj_settings_free(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ztf_values) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
