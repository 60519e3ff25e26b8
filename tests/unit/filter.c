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
#include "broker/query/clause.h"
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
    nj_filter *f = nj_filter_new("-w", where, field, FIELDS, NAN, &err);
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
        cmocka_unit_test(coalesce_is_answered_without_sqlite),
        cmocka_unit_test(separations_are_known),
        cmocka_unit_test(nights_are_known),
        cmocka_unit_test(slopes_are_known),
        cmocka_unit_test(a_text_in_a_call_is_named),
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
