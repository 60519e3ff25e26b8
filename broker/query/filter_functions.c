/* filter_functions.c - the functions of clauses that SQLite does not have: what astronomers ask of positions,
 * nights and light curves. */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "../base/night.h"
#include "../batch/cell.h"
#include "filter_state.h"

/* The values as numbers. False: there is nothing to compute, because one is null (the result is null) or a
 * text (the result is an error that names the function). */
static bool numbers(sqlite3_context *out, const char *form, int n, sqlite3_value **given, double *number)
{
    bool all = true;
    for (int i = 0; i < n; i++) {
        int type = sqlite3_value_type(given[i]);
        if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
            char why[160];
            const char *text = (const char *)sqlite3_value_text(given[i]);
            snprintf(why, sizeof why, "%s: '%.40s' is a text and no number", form, text ? text : "");
            sqlite3_result_error(out, why, -1);
            return false;
        }
        all &= type != SQLITE_NULL;
        number[i] = sqlite3_value_double(given[i]);
    }
    return all;
}

/* By the arc tangent of Vincenty's formula, which is exact near 0 and near 180 degrees; the difference of
 * declinations is taken before any sine, so that it keeps its digits. */
static void give_sep(sqlite3_context *out, int n, sqlite3_value **given)
{
    const double degree = M_PI / 180;
    double v[4];
    if (!numbers(out, "sep(ra, dec, ra2, dec2)", n, given, v)) return;
    if (!isfinite(v[0]) || !isfinite(v[2]) || !(fabs(v[1]) <= 90) || !(fabs(v[3]) <= 90)) return;
    double east = remainder(v[2] - v[0], 360) * degree, half = sin(east / 2), d1 = v[1] * degree,
           d2 = v[3] * degree, s1 = sin(d1), c1 = cos(d1), s2 = sin(d2), c2 = cos(d2);
    double x = c2 * sin(east), y = sin((v[3] - v[1]) * degree) + 2 * s1 * c2 * half * half,
           z = s1 * s2 + c1 * c2 * cos(east);
    sqlite3_result_double(out, atan2(hypot(x, y), z) / degree * 3600);
}

static void give_night(sqlite3_context *out, int n, sqlite3_value **given)
{
    const nj_filter *f = sqlite3_user_data(out);
    double jd;
    if (!numbers(out, "night(jd)", n, given, &jd)) return;
    int32_t night = nj_night_of(jd, f->longitude);
    if (night != NJ_NIGHT_UNKNOWN) sqlite3_result_int64(out, nj_date_of(night));
}

typedef struct slope { /* Welford's sums: exact for equal times, and no second pass */
    double n, t, m, tt, tm;
} slope;

static void add_point(slope *s, double t, double m)
{
    double dt = t - s->t;
    s->n++;
    s->t += dt / s->n;
    s->m += (m - s->m) / s->n;
    s->tt += dt * (t - s->t);
    s->tm += dt * (m - s->m);
}

/* Hidden first values: the row, and the alert's own time. */
static void give_slope(sqlite3_context *out, int n, sqlite3_value **given)
{
    const nj_filter *f = sqlite3_user_data(out);
    const char *form = "dmag_per_day(band, days)", *band = (const char *)sqlite3_value_text(given[2]);
    double jd, days;
    slope s = { 0 };
    (void)n;
    bool asked = numbers(out, form, 1, &given[1], &jd) && numbers(out, form, 1, &given[3], &days);
    if (!asked || !band || !(days > 0)) return;
    size_t at, end;
    nj_filter_lc_range(f, sqlite3_value_int64(given[0]), &at, &end);
    for (; at < end; at++) {
        nj_cell kind = nj_filter_lc_cell(f, NJ_LC_KIND, at), in = nj_filter_lc_cell(f, NJ_LC_BAND, at),
                t = nj_filter_lc_cell(f, NJ_LC_JD, at), mag = nj_filter_lc_cell(f, NJ_LC_MAG, at);
        if (kind.kind != NJ_CELL_TEXT || strcmp(kind.text, "detection")) continue;
        if (in.kind != NJ_CELL_TEXT || strcmp(in.text, band)) continue;
        if (t.kind != NJ_CELL_REAL || mag.kind != NJ_CELL_REAL || !isfinite(mag.f)) continue;
        if (t.f <= jd && t.f >= jd - days) add_point(&s, t.f - jd, mag.f);
    }
    if (s.n >= 2 && s.tt > 0) sqlite3_result_double(out, s.tm / s.tt);
}

int nj_filter_make_functions(nj_filter *f)
{
    const int pure = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    int rc = sqlite3_create_function(f->db, "sep", 4, pure, f, give_sep, NULL, NULL);
    if (!rc) rc = sqlite3_create_function(f->db, "night", 1, pure, f, give_night, NULL, NULL);
    if (!rc) rc = sqlite3_create_function(f->db, "dmag_per_day", 4, SQLITE_UTF8, f, give_slope, NULL, NULL);
    return rc;
}
