/* What the tests of the sky service share: awkward places,
 * and catalogues of them in a folder that goes again. */
#ifndef TESTS_KERNEL_SKY_KIT_H
#define TESTS_KERNEL_SKY_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/graph/services.h"
#include "modules/kit/sky/njx.h"
#include "tests/unit/folder.h"

static const double deg = M_PI / 180;
static uint64_t seed = 20260114; /* printed by nobody: fixed */

static inline double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) * 0x1p-53;
}

static inline double log_uniform(double low, double high)
{
    return low * pow(high / low, uniform());
}

/* A point at a distance of 0.1" to 1 deg from a pole, from ra 0 / 360, from a place on the equator,
 * or anywhere. */
static inline void awkward_place(double *ra, double *dec)
{
    double d = log_uniform(0.1, 3600) / 3600, side = uniform() < 0.5 ? -1 : 1;
    int kind = (int)(uniform() * 5);
    *ra = 360 * uniform();
    *dec = asin(2 * uniform() - 1) / deg;
    if (kind == 0) *dec = side * (90 - d);
    if (kind == 1) {
        double at = uniform() < 0.5 ? 0 : 80;
        *dec = at + d * (2 * uniform() - 1);
        *ra = side * d / cos(at * deg) + (side < 0 ? 360 : 0);
    }
    if (kind == 2) {
        *ra = 123.4 + side * d;
        *dec = d * (2 * uniform() - 1);
    }
    if (kind == 3 && uniform() < 0.01) {
        *ra = 0;
        *dec = side * 90;
    }
    if (*ra >= 360) *ra -= 360;
}

enum { ROWS = 20000, CONES = 3000, CAP = 40 };

typedef struct places {
    double ra[ROWS], dec[ROWS];
} places;

static inline places *awkward_places(void)
{
    places *p = malloc(sizeof *p);
    for (int i = 0; i < ROWS; i++) awkward_place(&p->ra[i], &p->dec[i]);
    return p;
}

static const nj_sky_column columns[] = {
    { "name", NJ_STR, "" }, { "z", NJ_F32, "1" }, { "id", NJ_I64, "" }, { "class", NJ_U8, "" }
};

static const char *path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Rows i of the places with name "s<i % 1000>", z = i / 10, id = i;
 * every 50th moves fast, every 3rd slowly. */
static inline void write_catalog(const char *path, const places *p, int n, const char *mark, size_t memory,
                                 int compact)
{
    char why[300] = "", name[40];
    uint8_t source[32] = { 7 };
    njx_options o = { .path = path,
                      .source = "test",
                      .epoch_year = 2000,
                      .radius_arcsec = 5,
                      .memory_bytes = memory,
                      .has_motion = 1,
                      .compact = compact,
                      .n_columns = 4,
                      .column = columns };
    njx_writer *w = njx_create(&o, why, sizeof why);
    assert_non_null(w);
    for (int i = 0; i < n; i++) {
        njx_value v[4] = { { .text = name,
                             .n_text = (uint32_t)snprintf(name, sizeof name, "%s%d", mark, i % 1000) },
                           { .number = i / 10.0 },
                           { .integer = i },
                           { .integer = i % 2 ? 3 : -1 } };
        if (i % 5 == 0) v[0].text = NULL;
        double pm = i % 50 == 0 ? 5000 * uniform() : i % 3 ? NAN : 30 * uniform();
        assert_int_equal(njx_add(w, p->ra[i], p->dec[i], pm, -pm / 2, v, why, sizeof why), 1);
    }
    assert_int_equal(njx_add(w, NAN, 0, 0, 0, (njx_value[4]){ 0 }, why, sizeof why), 0);
    assert_int_equal(njx_add(w, 0, 90.1, 0, 0, (njx_value[4]){ 0 }, why, sizeof why), 0);
    assert_int_equal(njx_finish(w, source, why, sizeof why), 0);
}

#endif
