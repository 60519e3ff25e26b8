/* filter_functions.c - functions of clauses: separations, nights and slopes worked out by hand, coalesce. */
#include "filter_rows.h"

/* Which clauses need no SQLite is no matter of their answers, so it is asked of the parser. */
static void coalesce_is_answered_without_sqlite(void **state)
{
    (void)state;
    static const struct {
        const char *where;
        bool quick;
    } table[] = {
        { "coalesce(rb, mag) > 0.5", true },
        { "coalesce(rb, mag, 0) > 0.5 AND ifnull(jd, 1) IS NOT NULL", true },
        { "0.5 < ifnull(rb, -1) AND coalesce(rb, mag, jd) BETWEEN 1 AND 2", true },
        { "coalesce(rb, 0, mag) > 0.5", false },
        { "coalesce(rb, abs(mag)) > 0.5", false },
        { "coalesce(0, 1) > 0.5", false },
        { "coalesce(rb) > 0.5", false },
        { "ifnull(rb, mag, 1) > 0.5", false },
        { "coalesce(rb, mag) > jd", false },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        nj_clause c;
        nj_error err = { "" };
        if (nj_clause_parse(&c, table[i].where, &err)) fail_msg("%s", err.text);
        if (c.all_quick != table[i].quick) fail_msg("%s: %d", table[i].where, c.all_quick);
        nj_clause_free(&c);
    }
}

/* One row, and one light curve that is written here, so that the answers are known without a computer. */
static bool holds(const char *where, double longitude, uint32_t row, const nj_light_curve *curve)
{
    nj_error err = { "" };
    uint8_t pass = 7;
    nj_rows one = rows;
    one.row = &row;
    one.n = 1;
    nj_filter *f = nj_filter_new("-w", where, field, FIELDS, longitude, &err);
    if (!f || nj_filter_run(f, &one, curve, &pass, &err)) fail_msg("%s: %s", where, err.text);
    nj_filter_free(f);
    return pass == 1;
}

static void separations_are_known(void **state)
{
    (void)state;
    static const char *const table[] = {
        "sep(10, 20, 10, 20) = 0",
        "abs(sep(0, 0, 0, 1) - 3600) < 1e-9",
        "abs(sep(0, 0, 90, 0) - 324000) < 1e-9",
        "abs(sep(0, 0, 180, 0) - 648000) < 1e-9",
        "abs(sep(0, -90, 33, 90) - 648000) < 1e-9",
        "abs(sep(0, -45, 180, 45 - 1e-9) - (648000 - 3.6e-6)) < 1e-9", /* as near as that to the antipode */
        "sep(0, 90, 123, 90) < 1e-9",
        "abs(sep(0, 89, 180, 89) - 7200) < 1e-9", /* over the pole */
        "abs(sep(77, -89.9999, 257, -89.9999) - 0.72) < 1e-9",
        "abs(sep(359.9999, 0, 0.0001, 0) - 0.72) < 1e-9", /* over the meridian */
        "abs(sep(-0.0001, 0, 720.0001, 0) - 0.72) < 1e-9",
        "abs(sep(10, 60, 10 + 1 / 3600.0, 60) - 0.5) < 1e-9", /* a second of right ascension's arc, cos 60 */
        "abs(sep(0, 0, 0, 1e-12) - 3.6e-9) < 1e-15",          /* as the cosine could not tell */
        "abs(sep(200, 0, 200 + 1e-9, 0) - 3.6e-6) < 1e-9",
        "sep(NULL, 0, 0, 0) IS NULL AND sep(0, NULL, 0, 0) IS NULL AND sep(0, 0, 0, NULL) IS NULL",
        "sep(0, 90 + 1, 0, 0) IS NULL AND sep(0, 0, 0, -90.5 - 1) IS NULL",
        "sep(1e999, 0, 0, 0) IS NULL",
        "sep(kilonova.score, 0, 0, 0) IS NULL",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!holds(table[i], NAN, 0, NULL)) fail_msg("%s", table[i]);
}

static void nights_are_known(void **state)
{
    (void)state;
    static const struct {
        double longitude;
        const char *where;
    } table[] = {
        { 0, "night(2460385.0) = 20240315" }, /* 2024-03-15 12:00 UTC */
        { 0, "night(2460384.999999) = 20240314" },
        { 0, "night(2460385.999999) = 20240315" },
        { -90, "night(2460385.25) = 20240315" }, /* noon is at 18:00 UTC */
        { -90, "night(2460385.249999) = 20240314" },
        { 90, "night(2460384.75) = 20240315" },
        { 0, "night(2451605.0) = 20000301 AND night(2451604.9) = 20000229" },
        { 0, "night(1721426) = 10101" },
        { 0, "night(NULL) IS NULL AND night(5) IS NULL AND night(1e9) IS NULL AND night(1e999) IS NULL" },
        { 0, "typeof(night(2460385)) = 'integer'" },
        { 0, "night(jd) = 20230224" }, /* of row 0: 2460000.5 */
        { 0, "night(jd + 0.5) = 20230225 AND night(kilonova.score) IS NULL" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!holds(table[i].where, table[i].longitude, 0, NULL)) fail_msg("%s", table[i].where);
}

static void slopes_are_known(void **state)
{
    (void)state;
    enum { G = 1, R = 2, Z = 4, Y = 5, DETECTION = 0, LIMIT = 1, FORCED = 2 };
    static const struct {
        double before; /* days */
        double mag;
        uint8_t band, kind;
    } point[] = {
        { 30, 10, G, DETECTION }, /* old */
        { 4, 20, G, DETECTION },   { 3, 25, G, FORCED },     { 2, 19, G, DETECTION },
        { 1, NAN, G, LIMIT },      { 0, 18, G, DETECTION },  { 6, 18, R, DETECTION },
        { 4, 18.5, R, DETECTION }, { 1, 18, R, DETECTION },  { 0, 19.5, R, DETECTION },
        { 3, 17, Z, DETECTION },   { 2, NAN, Z, DETECTION }, /* one point with a magnitude */
        { 2, 17, Y, DETECTION },   { 2, 18, Y, DETECTION },  /* at one time */
        { -1, 5, G, DETECTION },                             /* later than the alert */
    };
    enum { N = sizeof point / sizeof *point };
    double time[N];
    float magnitude[N];
    uint8_t in[N], kind[N];
    uint32_t off[ROWS + 1] = { 0, N };
    for (int k = 0; k < N; k++) {
        time[k] = jd[0] - point[k].before;
        magnitude[k] = (float)point[k].mag;
        in[k] = point[k].band;
        kind[k] = point[k].kind;
    }
    const nj_light_curve curve = {
        .col = { [NJ_LC_JD] = { time, off },
                 [NJ_LC_BAND] = { in, off },
                 [NJ_LC_MAG] = { magnitude, off },
                 [NJ_LC_KIND] = { kind, off } },
        .type = { [NJ_LC_JD] = NJ_F64, [NJ_LC_BAND] = NJ_U8, [NJ_LC_MAG] = NJ_F32, [NJ_LC_KIND] = NJ_U8 }
    };
    static const char *const table[] = {
        "abs(dmag_per_day('g', 10) + 0.5) < 1e-12", /* 20, 19, 18 in steps of two days */
        "abs(dmag_per_day('g', 4) + 0.5) < 1e-12",  /* the first day is of them */
        "abs(dmag_per_day('g', 3.9) + 0.5) < 1e-12",
        "dmag_per_day('g', 1.9) IS NULL", /* one point */
        "dmag_per_day('u', 100) IS NULL",
        /* r: times -6 -4 -1 0, mean -2.75; magnitudes' mean 18.5; 1.625 + 0 - 0.875 + 2.75 over 22.75 */
        "abs(dmag_per_day('r', 10) - 3.5 / 22.75) < 1e-12",
        "abs(dmag_per_day('r', 1) - 1.5) < 1e-12",
        "dmag_per_day('z', 10) IS NULL",
        "dmag_per_day('y', 10) IS NULL",
        "dmag_per_day('g', 100) > 0", /* the old point was bright */
        "dmag_per_day(NULL, 10) IS NULL AND dmag_per_day('g', NULL) IS NULL",
        "dmag_per_day('g', 0 - 5) IS NULL AND dmag_per_day(upper('g'), 10) IS NULL",
        "dmag_per_day('g', kilonova.score) IS NULL",
        "EXISTS (SELECT 1 FROM lc WHERE dmag_per_day(band, 10) > 0.1 AND band = 'r')",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!holds(table[i], NAN, 0, &curve)) fail_msg("%s", table[i]);
    if (!holds("dmag_per_day('g', 10) IS NULL", NAN, 0, NULL)) fail_msg("no light curve");
}

/* A text that only the alerts bring is an error of that alert, and says whose. */
static void a_text_in_a_call_is_named(void **state)
{
    (void)state;
    static const char *const where[] = { "sep(lower(object), 0, 0, 0) < 1", "night(lower(object)) = 1",
                                         "dmag_per_day('g', lower(object)) < 1" };
    for (size_t i = 0; i < 3; i++) {
        uint8_t pass[ROWS];
        nj_error err = { "" };
        nj_filter *f = nj_filter_new("-w", where[i], field, FIELDS, 0, &err);
        if (!f) fail_msg("%s", err.text);
        assert_int_equal(nj_filter_run(f, &rows, &lc, pass, &err), -1);
        assert_non_null(strstr(err.text, "'ztf00a' is a text and no number"));
        nj_filter_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coalesce_is_answered_without_sqlite),
        cmocka_unit_test(separations_are_known),
        cmocka_unit_test(nights_are_known),
        cmocka_unit_test(slopes_are_known),
        cmocka_unit_test(a_text_in_a_call_is_named),
    };
    return cmocka_run_group_tests(tests, make_rows, NULL);
}
