/* filter_rows.h - ten thousand rows with nulls and light curves, which the tests of clauses ask about. */
#ifndef NJ_TESTS_FILTER_ROWS_H
#define NJ_TESTS_FILTER_ROWS_H

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
static inline uint64_t draw(uint64_t n) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}
static inline double real(void)
{
    return (double)draw(1 << 20) / (1 << 20);
}

static inline int make_rows(void **state)
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

static inline nj_filter *must_make(const char *where)
{
    nj_error err = { "" };
    nj_filter *f = nj_filter_new("-w", where, field, FIELDS, NAN, &err);
    if (!f) fail_msg("%s", err.text);
    return f;
}

#endif
