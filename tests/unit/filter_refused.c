/* filter_refused.c - clauses that must be refused, stopped or warned of, each with its reason. */
#include "filter_rows.h"

static void names_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *where, *names;
    } table[] = {
        { "hostless.ks_template < 0.85 AND roid.roid != 3 OR roid . roid IS NULL",
          "hostless.ks_template roid.roid" },
        { "\"a b\".c = 'x.y' AND abs(mag) > 1.5e-3 AND x'00' IS NOT `q.r`", "a b.c mag q.r" },
        { "mag < (SELECT min(mag) FROM lc WHERE band='g' AND packet.candidate.fid = 1)",
          "mag packet.candidate.fid lc.jd lc.band lc.mag" },
        { "EXISTS (SELECT 1 FROM lc p WHERE p.flux > alert.mag AND p.kind = roid.reason)",
          "mag roid.reason lc.jd lc.flux lc.kind" },
        { "CASE WHEN true THEN rb ELSE NULL END", "rb" },
        { "packet.fp_hists[].rcid > 3", "packet.fp_hists[].rcid" },
        { "1", "" },
        { "dmag_per_day(band, 10) < -0.1", "band jd lc.jd lc.band lc.mag lc.kind" },
        { "night(jd) = 20240315 AND sep(ra, dec, 1, 2) < 3", "jd ra dec" },
        { "(SELECT max(mag - p) FROM (SELECT mag, lag(mag) OVER (ORDER BY jd) AS p FROM lc) q) > alert.mag",
          "mag lc.jd lc.mag" },
        { "(SELECT 1 FROM (SELECT jd AS t FROM lc) WHERE t > alert.jd)", "jd lc.jd" },
        { "ndethist & 4 > 0 AND NOT rb >= -1", "ndethist rb" }, /* what is right stays right */
        { "object || 'x' = 'ZTFx' OR 'x' || object == \"object\"", "object" },
        { "programid | 1 <> 2 AND rb IS NOT NULL AND drb IS NULL", "programid rb drb" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char **name, got[512] = "";
        size_t n;
        nj_error err = { "" };
        if (nj_filter_names("-w", table[i].where, &name, &n, &err)) fail_msg("%s", err.text);
        for (size_t k = 0; k < n; k++) sprintf(got + strlen(got), "%s%s", k ? " " : "", name[k]);
        assert_null(name[n]);
        assert_string_equal(got, table[i].names);
        free(name);
    }
}

static void bad_clauses_are_start_up_errors(void **state)
{
    (void)state;
    static const struct {
        const char *where, *says;
    } table[] = {
        { "hostles.ks_template < 1",
          "no column 'hostles.ks_template'; did you mean 'hostless.ks_template'?" },
        { "hostless.ks_templat < 1", "did you mean 'hostless.ks_template'?" },
        { "magg < 1", "did you mean 'mag'?" },
        { "\"done\" = roid.reason",
          "no column 'done'; a text stands in single quotes: 'done'" }, /* DQS off: no text in double
                                                                         * quotes */
        { "completely_other > 1", "-w 'completely_other > 1': there is no column 'completely_other'" },
        { "fit.points > 1", "any number of values per row" },
        { "fit.rate > 1", "several values per row" },
        { "lc.mag < 18", "SELECT min(mag) FROM lc" },
        { "rb >", "is not finished: something is missing behind '>'" },
        { "rb > 0.5 AND", "behind 'AND'" },
        { "rb > 0.5 OR (mag < )", "behind '<'" },
        { "NOT", "behind 'NOT'" },
        { "rb BETWEEN 1", "is not finished" },
        { "CASE WHEN rb > 1 THEN 2", "is not finished" },
        { "object IN", "behind 'IN'" },
        { "rb > 0.5 && mag < 18", "AND for &&" },
        { "rb > 0.5 || mag < 18", "OR for ||" },
        { "rb > 0.5 & mag < 18", "joined by AND" },
        { "rb > 0.5 | mag < 18", "joined by OR" },
        { "!(rb > 0.5)", "NOT for !" },
        { "rb => 0.5", ">= for =>" },
        { "rb =< 0.5", "<= for =<" },
        { "rb = NULL", "write IS NULL" },
        { "rb != NULL", "write IS NOT NULL" },
        { "rb <> null", "write IS NOT NULL" },
        { "object = \"ZTF1\"", "a text stands in single quotes: 'ZTF1'" },
        { "object = g", "a text stands in single quotes: 'g'" },
        { "object IN (a, b)", "a text stands in single quotes: 'a'" },
        { "object LIKE ztf", "a text stands in single quotes: 'ztf'" },
        { "rb = nan", "there is no nan in SQL" },
        { "rb > > 1", "syntax error" },
        { "", "empty" },
        { "  ", "empty" },
        { "rb > 1)", "closes nothing" },
        { "(rb > 1", "left open" },
        { "object = 'x", "quote is left open" },
        { "\"object = 'x'", "quote is left open" },
        { "rb > ?", "'?' is not allowed" },
        { "rb > :x", "':' is not allowed" },
        { "rb > 1 -- really", "comments are not allowed" },
        { "rb > 1 /* really", "comments are not allowed" },
        { "no_such_function(rb) > 1", "no such function: no_such_function" },
        { "max(rb) > 0.5 AND sum(rb) > 1", "misuse of aggregate" },
        { "EXISTS (SELECT 1 FROM lc WHERE lc.magg < 1)", "lc has no column 'magg'; it has jd, band" },
        { "(SELECT mag, band FROM lc) < 1", "row value misused" },
        { "sep(1, 2, 3) < 1", "sep(ra, dec, ra2, dec2) takes 4 values, not 3: sep(1, 2, 3) < 1" },
        { "sep() < 1", "takes 4 values, not 0" },
        { "sep(mag, mag, mag, mag, mag) < 1", "takes 4 values, not 5" },
        { "sep(1, 2, , 4) < 1", "the third value is missing" },
        { "sep(1, 2, '3', 4) < 1", "sep(ra, dec, ra2, dec2): the third value, '3', is a text and no number" },
        { "sep(object, 2, 3, 4) < 1", "sep(ra, dec, ra2, dec2): object is a text and no number" },
        { "sep(1, 2, 3, 91) < 1", "the fourth value, 91, is no declination: -90 to 90" },
        { "sep(1, - 90.5, 3, 1) < 1", "the second value, - 90.5, is no declination" },
        { "(SELECT max(sep(jd, mag, kind, 0)) FROM lc) > 1", "the third value, kind, is a text" },
        { "night(jd, 1) = 1", "night(jd) takes 1 value, not 2" },
        { "night('2024') = 1", "the first value, '2024', is a text" },
        { "night(jd) = 20240315", "night(jd) goes from noon to noon of a place, and there is none" },
        { "dmag_per_day('g') < 1", "dmag_per_day(band, days) takes 2 values, not 1" },
        { "dmag_per_day(10, 'g') < 1", "the first value, 10, is a number: a passband is 'u'" },
        { "dmag_per_day('gr', 10) < 1", "the first value, 'gr', is no passband" },
        { "dmag_per_day(g, 10) < 1", "no column 'g'; a text stands in single quotes: 'g'" },
        { "dmag_per_day('g', '10') < 1", "the second value, '10', is a text" },
        { "dmag_per_day('g', 0) < 1", "the second value, 0, is not above 0" },
        { "dmag_per_day('g', -3) < 1", "the second value, -3, is not above 0" },
        { "dmag_per_day(mag, 3) < 1", "dmag_per_day(band, days): mag is a number and no passband" },
        { "dmag_per_day(survey, object) < 1", "dmag_per_day(band, days): object is a text and no number" },
        { "(SELECT max(jd) FROM (SELECT mag FROM lc)) > 1",
          "the subquery selects no jd; the alert's own is alert.jd" },
        /* hostile */
        { "1); ATTACH 'x.db' AS y; SELECT (1", "closes nothing" },
        { "rb > 1; DROP TABLE alert", "';' is not allowed" },
        { "ATTACH 'x.db' AS y", "syntax error" },
        { "PRAGMA writable_schema = 1", "no column 'writable_schema'" },
        { "(PRAGMA table_info(rb))", "syntax error" },
        { "load_extension('evil') = 1", "load_extension" },
        { "random() > 0", "function 'random' is not allowed" },
        { "length(randomblob(1000000000)) > 0", "function 'randomblob' is not allowed" },
        { "(SELECT count(*) FROM alert) > 3", "FROM lc only, not alert" },
        { "(SELECT count(*) FROM sqlite_master) > 3", "FROM lc only, not sqlite_master" },
        { "(SELECT count(*) FROM lc, sqlite_master) > 3", "FROM lc only, not sqlite_master" },
        { "(SELECT count(*) FROM lc JOIN pragma_database_list()) > 3",
          "FROM lc only, not pragma_database_list" },
        { "rb IN (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)",
          "FROM lc only, not c" },
        { "rb IN (WITH RECURSIVE lc(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM lc) SELECT x FROM lc)", "" },
        { "rb IN json_each('[1]')", "not allowed in a clause" },
        { "rb IN (VALUES (1)) AND rb IN sqlite_master", "no column 'sqlite_master'" },
        { "writefile('x', 'y')", "no such function" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        nj_error err = { "" };
        nj_filter *f = nj_filter_new("-w", table[i].where, field, FIELDS, NAN, &err);
        if (f) fail_msg("accepted: %s", table[i].where);
        if (!strstr(err.text, table[i].says)) fail_msg("%s\n  said: %s", table[i].where, err.text);
        assert_true(!strncmp(err.text, "-w '", 4)); /* every message names the clause */
    }
}

static void deep_and_long_clauses_end(void **state)
{
    (void)state;
    static char text[70000];
    nj_error err;
    memset(text, '(', 5000);
    text[5000] = 0;
    assert_null(nj_filter_new("-w", text, field, FIELDS, NAN, &err));
    for (size_t n = 0; n < 66000; n += 10) memcpy(text + n, "1 AND rb> ", 11);
    assert_null(nj_filter_new("-w", text, field, FIELDS, NAN, &err));
    assert_non_null(strstr(err.text, "longer than 64 kB"));
    text[50000] = 0;
    assert_null(nj_filter_new("-w", text, field, FIELDS, NAN, &err));
}

static void a_clause_without_end_is_stopped(void **state)
{
    (void)state;
    static uint8_t pass[ROWS];
    nj_error err = { "" };
    nj_rows few = rows;
    few.n = 8;
    /* 8^12 combinations */
    nj_filter *f = must_make(
        "(SELECT count(*) FROM lc a, lc b, lc c, lc d, lc e, lc f, lc g, lc h, lc i, lc j, lc k, lc l) > 1");
    int64_t start = nj_now_ns();
    assert_int_equal(nj_filter_run(f, &few, &lc, pass, &err), -1);
    assert_non_null(strstr(err.text, "million steps"));
    printf("# stopped after %.2f s\n", (double)(nj_now_ns() - start) / 1e9);
    nj_filter_free(f);
    f = must_make("length(replace(hex(zeroblob(400000)), '0', 'xxxxxxxxxx')) > 0");
    assert_int_equal(nj_filter_run(f, &few, &lc, pass, &err), -1);
    assert_non_null(strstr(err.text, "too big"));
    nj_filter_free(f);
    f = must_make("rb > 0.5"); /* and the next clause is none the worse */
    assert_int_equal(nj_filter_run(f, &few, &lc, pass, &err), 0);
    nj_filter_free(f);
}

static void dropped_nulls_are_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *where, *says;
    } table[] = {
        { "simbad.otype != 'QSO'", "drops the rows where simbad.otype is null; IS NOT keeps them" },
        { "'QSO' <> simbad.otype", "IS NOT keeps them" },
        { "simbad.otype NOT IN ('QSO')", "simbad.otype NOT IN ... OR simbad.otype IS NULL" },
        { "simbad.otype NOT LIKE 'Q%'", "NOT LIKE" },
        { "simbad.otype != 'QSO' OR simbad.otype IS NULL", NULL },
        { "simbad.otype IS NOT 'QSO'", NULL },
        { "simbad.otype = 'QSO' AND rb != 1", NULL },
        { "object != 'x' AND survey != 'y' AND roid.reason != 'cut'", NULL }, /* never null */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        nj_filter *f = must_make(table[i].where);
        const char *warning = nj_filter_warning(f);
        if (!table[i].says != !warning || (warning && !strstr(warning, table[i].says)))
            fail_msg("%s: %s", table[i].where, warning ? warning : "no warning");
        nj_filter_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(bad_clauses_are_start_up_errors),
        cmocka_unit_test(deep_and_long_clauses_end),
        cmocka_unit_test(a_clause_without_end_is_stopped),
        cmocka_unit_test(dropped_nulls_are_warned_of),
    };
    return cmocka_run_group_tests(tests, make_rows, NULL);
}
