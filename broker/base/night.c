/* night.c - a night of a site: observers count by nights, and a night has two dates of UTC nearly
 * everywhere. */
#include "night.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "settings.h"

static const struct {
    const char *name;
    double longitude;
} site[] = { { "palomar", -116.8597 },  { "ztf", -116.8597 },
             { "rubin", -70.7494 },     { "lsst", -70.7494 },
             { "ctio", -70.8065 },      { "lasilla", -70.7317 },
             { "paranal", -70.4042 },   { "lapalma", -17.8925 },
             { "maunakea", -155.4761 }, { "haleakala", -156.2568 },
             { "kittpeak", -111.5967 }, { "siding_spring", 149.0672 },
             { "sutherland", 20.8102 }, { "utc", 0 } };
enum { SITES = sizeof site / sizeof *site };

/* "UTC-7", "UTC+5:30" */
static bool read_offset(const char *text, double *longitude)
{
    unsigned hours, minutes = 0;
    int used = 0;
    if (strncasecmp(text, "utc", 3) || (text[3] != '+' && text[3] != '-')) return false;
    if (text[4] < '0' || text[4] > '9') return false;
    if (sscanf(text + 4, "%2u:%2u%n", &hours, &minutes, &used) < 2 || text[4 + used]) {
        minutes = 0;
        if (sscanf(text + 4, "%2u%n", &hours, &used) < 1 || text[4 + used]) return false;
    }
    if (hours > 14 || minutes > 59) return false;
    *longitude = (text[3] == '-' ? -15.0 : 15.0) * (hours + minutes / 60.0);
    return true;
}

static bool read_degrees(const char *text, double *longitude)
{
    static const double least[] = { -180, -90, -1000 }, most[] = { 360, 90, 10000 };
    const char *at = text;
    for (int i = 0; i < 3; i++) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || !(v >= least[i] && v <= most[i])) return false;
        if (!i) *longitude = v > 180 ? v - 360 : v;
        if (!*end) return true;
        if (*end != ',') return false;
        at = end + 1;
    }
    return false;
}

int nj_site_parse(const char *text, double *longitude, nj_error *err)
{
    const char *name[SITES];
    char list[256] = "";
    for (int i = 0; i < SITES; i++) {
        size_t n = strlen(list);
        name[i] = site[i].name;
        if (!strcasecmp(text, site[i].name)) return *longitude = site[i].longitude, 0;
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", name[i]);
    }
    if (read_offset(text, longitude) || read_degrees(text, longitude)) return 0;
    const char *near = nj_nearest(text, name, SITES);
    return nj_fail(
        err,
        "[run] site = %s is no site; %s%s%sit is LON,LAT,HEIGHT or LON (degrees east), UTC-7, or one of %s",
        text, near ? "did you mean '" : "", near ? near : "", near ? "'? " : "", list);
}

static const double epoch = 2440587.5; /* 1970-01-01 00:00 as a Julian Date */

int32_t nj_night_of(double jd, double longitude)
{
    bool usable = jd >= 1721425.5 && jd < 5373484.5; /* years 1 to 9999; NaN is in none of them */
    return usable ? (int32_t)floor(jd + longitude / 360 - epoch - 0.5) : NJ_NIGHT_UNKNOWN;
}

/* Days to dates in the proleptic Gregorian calendar, years that begin in March. */
int32_t nj_date_of(int32_t days)
{
    if (days == NJ_NIGHT_UNKNOWN) return 0;
    int64_t z = (int64_t)days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097,
            year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365,
            of_year = of_era - (365 * year + year / 4 - year / 100), march = (5 * of_year + 2) / 153,
            day = of_year - (153 * march + 2) / 5 + 1, month = march < 10 ? march + 3 : march - 9;
    return (int32_t)((year + era * 400 + (month <= 2)) * 10000 + month * 100 + day);
}
