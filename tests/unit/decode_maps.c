/* decode_maps.c - decode: a survey map and all it can say, and maps that are wrong. */
#include "decode_packets.h"

#include <unistd.h>

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
static const char toy_schema[] =
    "{\"type\":\"record\",\"name\":\"toy.packet\",\"fields\":["
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
                { "survey s\ntime gps start 30\n", "x.map:2: the scale of time is utc or tai, not 'gps'" },
                { "survey s\ntime utc middle 30\n", "jd is start, mid or end of an exposure, not 'middle'" },
                { "survey s\ntime utc mid soon\n", "an exposure lasts 0 to 86400 s, not 'soon'" },
                { "survey s\ntime utc mid\n", "time SCALE REF SECONDS" },
                { "survey s\npublic one\n", "the number of a programme is not 'one'" },
                { "survey s\npublic\n", "public names no programme" },
                { "survey s\nschemas mine\n", "schemas can only be builtin" },
                { "survey x\ncandid i65 = a\n", "x.map:2: no 'name type [unit] = path'" },
                { "survey x\ncandid i64 a\n", "x.map:2: no 'name type" },
                { "survey x\nmag f64 mag = a scale big\n", "no number: 'big'" },
                { "survey x\nmag f64 mag = \"bright\"\n", "no number: 'bright'" },
                { "survey x\nstamp_px i32 pixel = 51x\n", "no number: '51x'" },
                { "survey x\nmag f64 mag = a ? 1\n", "':' is missing" },
                { "survey x\nmag f64 mag = a b\n", "not known here: 'b'" },
                { "survey x\nmag f64 mag = a {t:1\n", "no end of what this opens: '{'" },
                { "survey x\nmag f64 mag = a {t=1}\n", "no from:to: 't=1'" },
                { "survey x\nlc.mag f64 mag = a\n", "no 'series' line above for 'lc.mag'" },
                { "survey x\nseries lc = a[] + b\nlc.mag f64 = a + b + c\n",
                  "more '+' than the series has parts" },
                { "survey x\nmag f64 = a\n\nmag f64 = b\n", "x.map:4: this column stands twice" },
                { "survey x\nmatch colour red\n", "name, both, topic or fields, not 'colour'" },
                { "survey x\nmatch both t_*\n", "match both a topic and fields; there is only 't_*'" } };
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

/* What the packets do not say: read, absent, and a column that has the name of a directive. */
static void facts_of_a_survey(void **state)
{
    (void)state;
    static const struct {
        const char *map;
        bool has_time;
        double end_s;
        uint32_t n_programs;
    } want[] = { { "survey s\ntime utc start 30\n", true, 30, 0 },
                 { "survey s\ntime utc mid 30\npublic 1 7\n", true, 15, 2 },
                 { "survey s\ntime tai end 15.5\n", true, -37, 0 },
                 { "survey s\ntime tai mid 30\n", true, -22, 0 },
                 { "survey s\ntime f64 d = a.time\n", false, 0, 0 } };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        nj_error err = { "" };
        nj_map *map = nj_map_read("x.map", want[i].map, &err);
        if (!map) fail_msg("%s: %s", want[i].map, err.text);
        assert_int_equal(map->facts.has_time, want[i].has_time);
        assert_true(map->facts.exposure_end_s == want[i].end_s);
        assert_int_equal(map->facts.n_programs, want[i].n_programs);
        nj_map_free(map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_and_all_it_can_say),
        cmocka_unit_test(wrong_maps_name_file_and_line),
        cmocka_unit_test(facts_of_a_survey),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
