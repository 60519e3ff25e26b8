/* filter.c - SQL clauses against the same condition written in C, with nulls and light curves. */
#include "filter_rows.h"

/* ---- the same in C. A comparison with "no answer" is false, so is its negation:
 * written out where it matters. --- */
static bool null_f(double v)
{
    return isnan(v);
}
static int say(uint32_t i, const char *what)
{
    return otype[i] && !strcmp(otype[i], what);
}
static bool c_and(uint32_t i)
{
    return ks[i] < 0.85 && roid[i] != 3 && roid[i] != NJ_NO_I32;
}
static bool c_infinite(uint32_t i)
{
    return ks[i] > 0.5 && !null_f(ks[i]);
}
static bool c_not(uint32_t i)
{
    return !null_f(ks[i]) && !(ks[i] < 0.5);
}
static bool c_or_null(uint32_t i)
{
    return (double)rb[i] > 0.9 || roid[i] == NJ_NO_I32;
}
static bool c_three(uint32_t i) /* NOT (a AND b): true as soon as one is false, whatever the other is */
{
    bool a_false = !isnan(rb[i]) && !((double)rb[i] > 0.5), b_false = roid[i] != NJ_NO_I32 && roid[i] != 2;
    return a_false || b_false;
}
static bool c_text(uint32_t i)
{
    return say(i, "QSO") || say(i, "it's");
}
static bool c_not_in(uint32_t i)
{
    return otype[i] && !say(i, "QSO") && !say(i, "Star");
}
static bool c_is_not(uint32_t i)
{
    return !say(i, "QSO");
}
static bool c_like(uint32_t i)
{
    return !strncmp(object[i], "ZTF1", 4) && reason[i] == NJ_DONE;
}
static bool c_between(uint32_t i)
{
    return mag[i] >= 15 && mag[i] <= 18.5 && positive[i] == 1;
}
static bool c_case(uint32_t i)
{
    return (roid[i] == 3 ? mag[i] < 14 : mag[i] < 20);
}
static bool c_math(uint32_t i)
{
    return sqrt(ks[i]) < 0.5 && fabs(mag[i] - 17) < 2;
}
static bool c_candid(uint32_t i)
{
    return i == 4321;
}
static bool c_absent(uint32_t i)
{
    return ks[i] <= 0.25;
}
static bool c_packet(uint32_t i)
{
    return (double)sgscore[i] < 0.25 && mag[i] > 20;
}
static bool c_coalesce(uint32_t i)
{
    return null_f(ks[i]) || ks[i] > 0.9;
}
static bool c_lc_min(uint32_t i)
{
    double best = INFINITY;
    for (uint32_t k = lc_off[i]; k < lc_off[i + 1]; k++)
        if (lc_band[k] == 1 && (double)lc_mag[k] < best) best = (double)lc_mag[k];
    return best < 18;
}
static bool c_lc_exists(uint32_t i)
{
    for (uint32_t k = lc_off[i]; k < lc_off[i + 1]; k++)
        if (lc_kind[k] == 1 && jd[i] - lc_jd[k] < 3) return true;
    return false;
}
static bool c_lc_count(uint32_t i)
{
    return lc_off[i + 1] - lc_off[i] >= 5;
}
static bool c_lc_mean(uint32_t i) /* the alert is fainter than the mean of its r band points,
                                   * in a joined subquery */
{
    double sum = 0, n = 0;
    for (uint32_t k = lc_off[i]; k < lc_off[i + 1]; k++)
        if (lc_band[k] == 2 && !isnan(lc_mag[k])) sum += (double)lc_mag[k], n++;
    return n > 0 && mag[i] > sum / n;
}
static bool c_lc_self(uint32_t i) /* two points of different bands within a magnitude */
{
    for (uint32_t a = lc_off[i]; a < lc_off[i + 1]; a++)
        for (uint32_t b = lc_off[i]; b < lc_off[i + 1]; b++)
            if (lc_band[a] == 1 && lc_band[b] == 2 && fabs((double)lc_mag[a] - (double)lc_mag[b]) < 1)
                return true;
    return false;
}

/* The step between two detections of a band that follow each other; what has no band is one of its own. */
static bool c_lc_step(uint32_t i)
{
    for (uint32_t band = 0; band < 256; band++) {
        double before = NAN;
        for (uint32_t k = lc_off[i]; k < lc_off[i + 1]; k++) {
            if (lc_band[k] != band || lc_kind[k] != 0) continue;
            if ((double)lc_mag[k] - before > 2) return true;
            before = (double)lc_mag[k];
        }
    }
    return false;
}
static bool c_lc_last(uint32_t i)
{
    return lc_off[i + 1] > lc_off[i] && (double)lc_mag[lc_off[i + 1] - 1] < 17;
}
static bool c_slope(uint32_t i) /* by the normal equations, not as the function does it */
{
    long double n = 0, t = 0, m = 0, tt = 0, tm = 0;
    for (uint32_t k = lc_off[i]; k < lc_off[i + 1]; k++) {
        long double x = lc_jd[k] - jd[i], y = (long double)lc_mag[k];
        if (lc_band[k] != 1 || lc_kind[k] != 0 || x < -5) continue;
        n++, t += x, m += y, tt += x * x, tm += x * y;
    }
    return n >= 2 && (n * tm - t * m) / (n * tt - t * t) < 0.25L;
}
static bool c_sep(uint32_t i) /* haversine */
{
    long double d = acosl(-1) / 180, a = (10 * (long double)rb[i]) * d, b = (long double)mag[i] * d,
                e = 12.5L * d, f = 18 * d, x = sinl((f - b) / 2), y = sinl((e - a) / 2);
    return !isnan(rb[i]) && !isnan(mag[i]) &&
           2 * asinl(sqrtl(x * x + cosl(b) * cosl(f) * y * y)) / d * 3600 < 25000;
}

static const struct {
    const char *where;
    bool (*in_c)(uint32_t row);
} cases[] = {
    { "hostless.ks_template < 0.85 AND roid.roid != 3", c_and },
    { "\"hostless.ks_template\" < 0.85 and `roid.roid` <> 3", c_and },
    { "[hostless.ks_template]<0.85 AND roid . roid!=3", c_and },
    { "\"hostless\".\"ks_template\"<.85e0 AND alert.roid.roid != 3", c_and },
    { "hostless.ks_template > 0.5", c_infinite },
    { "NOT (hostless.ks_template < 0.5)", c_not },
    { "rb > 0.9 OR roid.roid IS NULL", c_or_null },
    { "NOT (rb > 0.5 AND roid.roid = 2)", c_three },
    { "simbad.otype = 'QSO' OR simbad.otype = 'it''s'", c_text },
    { "simbad.otype IN ('QSO', 'it''s')", c_text },
    { "simbad.otype NOT IN ('QSO', 'Star')", c_not_in },
    { "simbad.otype != 'QSO' AND 'Star' <> simbad.otype", c_not_in },
    { "simbad.otype IS NOT 'QSO'", c_is_not },
    { "simbad.otype IS DISTINCT FROM 'QSO'", c_is_not },
    { "object LIKE 'ztf1%' AND roid.reason = 'done'", c_like },
    { "object GLOB 'ZTF1*' AND roid.reason = 'DONE' COLLATE nocase", c_like },
    { "mag BETWEEN 15 AND 18.5 AND positive", c_between },
    { "CASE WHEN roid.roid = 3 THEN mag < 14 ELSE mag < 20 END", c_case },
    { "sqrt(hostless.ks_template) < 0.5 AND abs(mag - 17) < 2", c_math },
    { "candid = 2481168780615019329", c_candid },
    { "coalesce(kilonova.score, hostless.ks_template) <= 0.25", c_absent },
    { "kilonova.score IS NULL AND hostless.ks_template <= CAST('0.25' AS REAL)", c_absent },
    { "packet.candidate.sgscore1 < 0.25 AND mag > 20", c_packet },
    { "coalesce(hostless.ks_template, 1) > 0.9", c_coalesce },
    { "(SELECT min(mag) FROM lc WHERE band='g') < 18", c_lc_min },
    { "EXISTS (SELECT * FROM lc AS p WHERE p.band = 'g' AND p.mag < 18)", c_lc_min },
    { "18 > (SELECT mag FROM lc WHERE band = 'g' AND mag IS NOT NULL ORDER BY mag LIMIT 1)", c_lc_min },
    { "EXISTS(SELECT 1 FROM lc WHERE kind='limit' AND alert.jd - jd < 3)", c_lc_exists },
    { "EXISTS(SELECT 1 FROM lc AS p WHERE lower(p.kind) = 'limit' and alert.\"jd\" < p.jd + 3)",
      c_lc_exists },
    { "(SELECT count(*) FROM lc) >= 5", c_lc_count },
    { "5 <= (SELECT count(*) FROM (SELECT jd FROM lc) AS q)", c_lc_count },
    { "alert.mag > (SELECT avg(mag) FROM lc WHERE band = 'r')", c_lc_mean },
    { "mag > (SELECT avg(flux) / 100 FROM lc WHERE band = 'r')", c_lc_mean },
    { "EXISTS(SELECT 1 FROM lc a, lc AS b WHERE a.band='g' AND b.band='r' AND abs(a.mag-b.mag)<1)",
      c_lc_self },
    { "(SELECT max(d) FROM (SELECT mag - lag(mag) OVER (PARTITION BY band ORDER BY jd) AS d FROM lc WHERE "
      "kind = 'detection')) > 2",
      c_lc_step },
    { "(SELECT max(mag - p) FROM (SELECT mag, lag(mag) OVER w AS p FROM lc WHERE kind = 'detection' WINDOW w "
      "AS (PARTITION BY band ORDER BY jd), v AS (ORDER BY jd))) > 2 AND candid > 0",
      c_lc_step },
    { "EXISTS (SELECT 1 FROM (SELECT mag, row_number() OVER (ORDER BY jd DESC) AS n FROM lc) WHERE n = 1 "
      "AND mag < 17) AND coalesce(mag, 1) > 0",
      c_lc_last },
    { "(SELECT last_value(mag) OVER (ORDER BY jd ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) "
      "FROM lc LIMIT 1) < 17",
      c_lc_last },
    { "dmag_per_day('g', 5) < 0.25", c_slope },
    { "Dmag_Per_Day ( lower('G') , 4 + 1.0 ) < 0.25 AND lower(object) > ''", c_slope },
    { "sep(10 * rb, mag, 12.5, 18) < 25000", c_sep },
    { "25000 > SEP(12.5, +18, rb * 10, mag) AND rb IS NOT NULL", c_sep },
    { "sep(360 + 10 * rb, mag, -347.5, 18) < 25000", c_sep },
    { "EXISTS(SELECT 1 FROM lc a JOIN lc b ON abs(a.mag-b.mag)<1 AND a.band='g' AND b.band='r')", c_lc_self },
};

static void clauses_equal_their_c_versions(void **state)
{
    (void)state;
    static uint8_t pass[ROWS];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        nj_filter *f = must_make(cases[c].where);
        nj_error err = { "" };
        for (int again = 0; again < 2; again++) {
            if (nj_filter_run(f, &rows, &lc, pass, &err)) fail_msg("%s", err.text);
            uint32_t n = 0;
            for (uint32_t k = 0; k < n_list; k++) {
                n += pass[k];
                if (pass[k] != cases[c].in_c(list[k]))
                    fail_msg("%s: row %u: %d", cases[c].where, list[k], pass[k]);
            }
            assert_true(n > 0 && n < n_list); /* a clause that passes all or nothing tests nothing */
        }
        nj_filter_free(f);
    }
}

/* One comparison of a column with a number or with null, in one of the ways to write it. */
static void write_part(char *to, size_t room)
{
    static const char *const name[] = { "candid",
                                        "rb",
                                        "mag",
                                        "\"mag\"",
                                        "positive",
                                        "roid.roid",
                                        "jd",
                                        "hostless.ks_template",
                                        "packet.candidate.sgscore1",
                                        "kilonova.score" };
    static const char *const number[] = { "0.5",
                                          "1",
                                          "2",
                                          "- 1",
                                          "0x2",
                                          "+.5e0",
                                          "3.0",
                                          "17.25",
                                          "1e3",
                                          "1e999",
                                          "2460500.5",
                                          "2460500",
                                          "-0.0",
                                          "TRUE",
                                          "2481168780615016000",
                                          "2481168780615016000.0",
                                          "9223372036854775808",
                                          "0.6499999761581421" };
    static const char *const op[] = { "<", "<=", ">", ">=", "=", "==", "!=", "<>" };
    enum { NAMES = sizeof name / sizeof *name, NUMBERS = sizeof number / sizeof *number };
    char several[128];
    const char *c = name[draw(NAMES)], *a = number[draw(NUMBERS)], *b = number[draw(NUMBERS)];
    static const char *const way[] = { "coalesce(%s, %s)", "IFNULL(%s, %s)", "ifnull(%s,%.0s -1.5)",
                                       "coalesce ( %s, %s, 0.5 )", "Coalesce(%s, %s, jd)" };
    if (!draw(3)) {
        snprintf(several, sizeof several, way[draw(5)], c, name[draw(NAMES)]);
        c = several;
    }
    switch (draw(9)) {
    case 0: snprintf(to, room, "%s BETWEEN %s AND %s", c, a, b); return;
    case 1: snprintf(to, room, "%s %s", c, draw(2) ? "IS NULL" : "isnull"); return;
    case 2: snprintf(to, room, "%s %s", c, draw(2) ? "IS NOT NULL" : "NOTNULL"); return;
    case 3: snprintf(to, room, "%s %s %s", a, op[draw(8)], c); return;
    default: snprintf(to, room, "%s %s %s", c, op[draw(8)], a); return;
    }
}

/* Comparisons with numbers are answered without SQLite; what cannot be is asked of the rows that they leave.
 * `... OR 0` is no chain of ANDs, so SQLite answers all of it. */
static void quick_answers_are_those_of_sqlite(void **state)
{
    (void)state;
    static const char *const rest[] = { "simbad.otype = 'QSO'",
                                        "NOT rb < 0.5",
                                        "roid.roid IN (1, 2)",
                                        "CASE WHEN rb > 0.5 AND mag < 20 THEN 1 ELSE 0 END",
                                        "mag NOT BETWEEN 15 AND 17",
                                        "mag + 1 < 20",
                                        "(SELECT min(mag) FROM lc WHERE band = 'g' AND mag > 3) < 18",
                                        "(rb > 0.5 OR mag < 17)",
                                        "simbad.otype < 3",
                                        "mag < rb" };
    static uint8_t quick[ROWS], slow[ROWS];
    nj_error err = { "" };
    nj_rows some = rows;
    uint32_t n_passed = 0;
    some.n = 500;
    for (int turn = 0; turn < 3000; turn++) {
        char where[1024] = "", part[256], all[1100];
        for (uint64_t n = 1 + draw(3), k = 0; k < n; k++) {
            if (draw(4))
                write_part(part, sizeof part);
            else
                snprintf(part, sizeof part, "%s", rest[draw(sizeof rest / sizeof *rest)]);
            snprintf(where + strlen(where), sizeof where - strlen(where), "%s%s",
                     k ? (draw(9) ? " AND " : " or ") : "", part);
        }
        snprintf(all, sizeof all, "(%s) OR 0", where);
        nj_filter *f = must_make(where), *g = must_make(all);
        some.row = list + draw(n_list - some.n);
        if (nj_filter_run(f, &some, &lc, quick, &err) || nj_filter_run(g, &some, &lc, slow, &err))
            fail_msg("%s: %s", where, err.text);
        for (uint32_t k = 0; k < some.n; k++) {
            if (quick[k] != slow[k]) fail_msg("%s: row %u: %d", where, some.row[k], quick[k]);
            n_passed += quick[k];
        }
        nj_filter_free(f);
        nj_filter_free(g);
    }
    assert_true(n_passed > 100000 && n_passed < 1400000);
}

static void batches_of_any_size_and_no_light_curve(void **state)
{
    (void)state;
    uint8_t pass[4] = { 7, 7, 7, 7 };
    nj_error err;
    nj_filter *f = must_make("(SELECT count(*) FROM lc) = 0");
    nj_rows none = rows, three = rows;
    none.n = 0;
    three.n = 3;
    assert_int_equal(nj_filter_run(f, &none, &lc, pass, &err), 0);
    assert_int_equal(pass[0], 7);
    assert_int_equal(nj_filter_run(f, &three, NULL, pass, &err), 0);
    assert_true(pass[0] == 1 && pass[1] == 1 && pass[2] == 1 && pass[3] == 7);
    nj_light_curve only_jd = { .col = { { lc_jd, lc_off } }, .type = { NJ_F64 } };
    nj_filter *g = must_make("EXISTS (SELECT 1 FROM lc WHERE mag IS NOT NULL OR band IS NOT NULL)");
    assert_int_equal(nj_filter_run(g, &three, &only_jd, pass, &err), 0);
    assert_true(!pass[0] && !pass[1] && !pass[2]);
    nj_filter_free(f);
    nj_filter_free(g);
}

/* Lines for people: what a row costs. */
static void cost_per_row(void **state)
{
    (void)state;
    static const char *const where[] = { "rb > 0.65",
                                         "hostless.ks_template < 0.85 AND roid.roid != 3 AND rb > 0.65",
                                         "simbad.otype IN ('QSO', 'Star')",
                                         "(SELECT min(mag) FROM lc WHERE band='g') < 18" };
    static uint8_t pass[ROWS];
    nj_error err;
    nj_rows batch = rows;
    batch.n = 64;
    for (size_t i = 0; i < 4; i++) {
        nj_filter *f = must_make(where[i]);
        double best = INFINITY;
        for (int trial = 0; trial < 9; trial++) {
            int64_t start = nj_now_ns();
            for (int k = 0; k < 100; k++) assert_int_equal(nj_filter_run(f, &batch, &lc, pass, &err), 0);
            double ns = (double)(nj_now_ns() - start) / 6400;
            if (ns < best) best = ns;
        }
        printf("# filter: %.0f ns per row: %s (64 rows a batch, best of 9)\n", best, where[i]);
        nj_filter_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clauses_equal_their_c_versions),
        cmocka_unit_test(quick_answers_are_those_of_sqlite),
        cmocka_unit_test(batches_of_any_size_and_no_light_curve),
        cmocka_unit_test(cost_per_row),
    };
    return cmocka_run_group_tests(tests, make_rows, NULL);
}
