/* filter.c - SQL clauses: against the same condition written in C, with nulls, light curves, and what must
 * be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/query/filter.h"

enum { ROWS = 10000, POINTS = 8 };
enum {
    CANDID,
    OBJECT,
    SURVEY,
    RB,
    MAG,
    JD,
    POSITIVE,
    ROID,
    REASON,
    OTYPE,
    KS,
    SGSCORE,
    RATE,
    SERIES,
    ABSENT,
    FIELDS
};
static const nj_field field[FIELDS] = {
    [CANDID] = { "candid", NULL, NJ_I64, 1, NULL, NULL, NULL },
    [OBJECT] = { "object", NULL, NJ_STR, 1, NULL, NULL, NULL },
    [SURVEY] = { "survey", NULL, NJ_STR, 1, NULL, NULL, NULL },
    [RB] = { "rb", NULL, NJ_F32, 1, NULL, NULL, NULL },
    [MAG] = { "mag", NULL, NJ_F64, 1, NULL, NULL, NULL },
    [JD] = { "jd", NULL, NJ_F64, 1, NULL, NULL, NULL },
    [POSITIVE] = { "positive", NULL, NJ_U8, 1, NULL, NULL, NULL },
    [ROID] = { "roid.roid", "roid", NJ_I32, 1, NULL, NULL, NULL },
    [REASON] = { "roid.reason", "roid", NJ_U8, 1, NULL, NULL, nj_reason_name },
    [OTYPE] = { "simbad.otype", "simbad", NJ_STR, 1, NULL, NULL, NULL },
    [KS] = { "hostless.ks_template", "hostless", NJ_F64, 1, NULL, NULL, NULL },
    [SGSCORE] = { "packet.candidate.sgscore1", NULL, NJ_F32, 1, NULL, NULL, NULL },
    [RATE] = { "fit.rate", "fit", NJ_F64, 3, NULL, NULL, NULL },
    [SERIES] = { "fit.points", "fit", NJ_F64, 0, NULL, NULL, NULL },
    [ABSENT] = { "kilonova.score", "kilonova", NJ_F64, 1, NULL, NULL, NULL },
};
static int64_t candid[ROWS];
static const char *object[ROWS], *survey[ROWS], *otype[ROWS];
static float rb[ROWS], sgscore[ROWS];
static double mag[ROWS], jd[ROWS], ks[ROWS], rate[3 * ROWS];
static uint8_t positive[ROWS], reason[ROWS];
static int32_t roid[ROWS];
static uint32_t list[ROWS], n_list;
static uint32_t lc_off[ROWS + 1];
static double lc_jd[ROWS * POINTS], lc_flux[ROWS * POINTS];
static float lc_mag[ROWS * POINTS], lc_err[ROWS * POINTS];
static uint8_t lc_band[ROWS * POINTS], lc_kind[ROWS * POINTS];
static nj_col column[FIELDS];
static nj_rows rows;
static nj_light_curve lc;

static uint64_t seed = 20261121;
static uint64_t draw(uint64_t n) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}
static double real(void)
{
    return (double)draw(1 << 20) / (1 << 20);
}

static int make_rows(void **state)
{
    (void)state;
    static const char *const types[] = { "QSO", "Star", "Unknown", "Fail", "EB*", NULL, "it's" };
    uint32_t at = 0;
    printf("# seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < ROWS; i++) {
        static char name[ROWS][16];
        snprintf(name[i], sizeof name[i], "ZTF%02u%c", i % 23, (int)('a' + i % 26));
        candid[i] = INT64_C(2481168780615015008) + i;
        object[i] = name[i], survey[i] = "ztf", otype[i] = types[draw(7)];
        rb[i] = draw(10) ? (float)real() : NAN;
        mag[i] = draw(10) ? 12 + 10 * real() : NAN;
        jd[i] = 2460000.5 + i;
        positive[i] = draw(10) ? (uint8_t)draw(2) : NJ_NO_U8;
        roid[i] = draw(10) ? (int32_t)draw(4) : NJ_NO_I32;
        reason[i] = (uint8_t)draw(NJ_REASONS);
        ks[i] = draw(4) ? real() : draw(2) ? NAN : INFINITY;
        sgscore[i] = draw(3) ? (float)real() : NAN;
        lc_off[i] = at;
        for (uint64_t k = draw(POINTS + 1); k > 0; k--, at++) {
            lc_jd[at] = jd[i] - (double)k;
            lc_band[at] = (uint8_t)(draw(8) ? 1 + draw(2) : NJ_NO_U8);
            lc_kind[at] = (uint8_t)draw(3);
            lc_mag[at] = lc_kind[at] == 1 ? NAN : (float)(15 + 6 * real());
            lc_err[at] = isnan(lc_mag[at]) ? NAN : 0.1f;
            lc_flux[at] = (double)lc_mag[at] * 100;
        }
        if (i % 5 != 4) list[n_list++] = i; /* not every row of a batch is asked about */
    }
    lc_off[ROWS] = at;
    const nj_col all[FIELDS] = {
        [CANDID] = { candid, NULL },
        [OBJECT] = { object, NULL },
        [SURVEY] = { survey, NULL },
        [RB] = { rb, NULL },
        [MAG] = { mag, NULL },
        [JD] = { jd, NULL },
        [POSITIVE] = { positive, NULL },
        [ROID] = { roid, NULL },
        [REASON] = { reason, NULL },
        [OTYPE] = { otype, NULL },
        [KS] = { ks, NULL },
        [SGSCORE] = { sgscore, NULL },
        [RATE] = { rate, NULL },
        [SERIES] = { lc_jd, lc_off },
        [ABSENT] = { NULL, NULL },
    };
    memcpy(column, all, sizeof all);
    rows = (nj_rows){ field, FIELDS, column, list, n_list, NULL, NULL };
    lc = (nj_light_curve){ .col = { { lc_jd, lc_off },
                                    { lc_band, lc_off },
                                    { lc_mag, lc_off },
                                    { lc_err, lc_off },
                                    { lc_flux, lc_off },
                                    { lc_kind, lc_off } },
                           .type = { NJ_F64, NJ_U8, NJ_F32, NJ_F32, NJ_F64, NJ_U8 } };
    return 0;
}

static nj_filter *must_make(const char *where)
{
    nj_error err = { "" };
    nj_filter *f = nj_filter_new("-w", where, field, FIELDS, &err);
    if (!f) fail_msg("%s", err.text);
    return f;
}

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
    const char *c = name[draw(NAMES)], *a = number[draw(NUMBERS)], *b = number[draw(NUMBERS)];
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
        nj_filter *f = nj_filter_new("-w", table[i].where, field, FIELDS, &err);
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
    assert_null(nj_filter_new("-w", text, field, FIELDS, &err));
    for (size_t n = 0; n < 66000; n += 10) memcpy(text + n, "1 AND rb> ", 11);
    assert_null(nj_filter_new("-w", text, field, FIELDS, &err));
    assert_non_null(strstr(err.text, "longer than 64 kB"));
    text[50000] = 0;
    assert_null(nj_filter_new("-w", text, field, FIELDS, &err));
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
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(bad_clauses_are_start_up_errors),
        cmocka_unit_test(deep_and_long_clauses_end),
        cmocka_unit_test(a_clause_without_end_is_stopped),
        cmocka_unit_test(dropped_nulls_are_warned_of),
        cmocka_unit_test(cost_per_row),
    };
    return cmocka_run_group_tests(tests, make_rows, NULL);
}
