/* adapt_sky.c - canonical columns that depend on where the telescope stands: airmass, distance from the Moon.
 *
 * Given: the position, the middle of the exposure, and the site of the survey (its map: site_lon, site_lat,
 *   site_height).
 * Returned: airmass = sec z without refraction, negative below the horizon; moon_dist = angle between the
 *   place and the Moon's centre as seen from the site.
 * Notes: UT1 = UTC and no polar motion, so that an airmass of 2 is right to 1e-4. The Moon is good to
 *   0.01 deg.
 * Reference: IAU SOFA by ERFA (eraApco13, eraMoon98); Meeus 1998, Astronomical Algorithms, ch. 47. */
#include <erfa.h>
#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { RA, DEC, MJD, LON, LAT, HEIGHT };
enum { AIRMASS, MOON_DIST };

/* What alerts of one exposure share. */
typedef struct moment {
    bool there, good;
    double mjd, lon, lat, height;
    eraASTROM astrom;
    double moon[3]; /* from the site, au */
} moment;

static bool set_moment(moment *m, double mjd, double lon, double lat, double height)
{
    if (m->there && m->mjd == mjd && m->lon == lon && m->lat == lat && m->height == height) return m->good;
    *m = (moment){ .there = true, .mjd = mjd, .lon = lon, .lat = lat, .height = height };
    double utc1, utc2, tt1, tt2, origins, moon[2][3], heliocentric[2][3], earth[2][3];
    m->good = eraTaiutc(2400000.5, mjd, &utc1, &utc2) >= 0 && eraTaitt(2400000.5, mjd, &tt1, &tt2) >= 0 &&
              eraApco13(utc1, utc2, 0, lon * NJ_RAD_PER_DEG, lat * NJ_RAD_PER_DEG, height, 0, 0, 0, 0, 0, 0.5,
                        &m->astrom, &origins) >= 0;
    if (!m->good) return false;
    eraMoon98(tt1, tt2, moon);
    eraEpv00(tt1, tt2, heliocentric, earth);
    for (int k = 0; k < 3; k++) m->moon[k] = moon[0][k] - (m->astrom.eb[k] - earth[0][k]);
    return true;
}

static void one(moment *m, const nj_work *w, uint32_t row)
{
    const double ra = nj_f64_of(w, RA, row), dec = nj_f64_of(w, DEC, row), mjd = nj_f64_of(w, MJD, row),
                 lon = nj_f64_of(w, LON, row), lat = nj_f64_of(w, LAT, row),
                 height = nj_f64_of(w, HEIGHT, row);
    w->reason[row] = NJ_NO_INPUT;
    if (!(fabs(dec) <= 90 && fabs(ra) <= 720 && fabs(lon) <= 360 && fabs(lat) <= 90) || isnan(mjd)) return;
    w->reason[row] = NJ_RANGE;
    if (!(mjd > 30000 && mjd < 90000 && fabs(height) < 1e5))
        return; /* 1941 to 2105: UTC is known, or nearly */
    if (!set_moment(m, mjd, lon, lat, height)) return;
    double ri, di, azimuth, zenith, hour, declination, right_ascension, place[3];
    eraAtciqz(ra * NJ_RAD_PER_DEG, dec * NJ_RAD_PER_DEG, &m->astrom, &ri, &di);
    eraAtioq(ri, di, &m->astrom, &azimuth, &zenith, &hour, &declination, &right_ascension);
    nj_put_f64(w, AIRMASS, row, 1 / cos(zenith));
    eraS2c(ra * NJ_RAD_PER_DEG, dec * NJ_RAD_PER_DEG, place);
    nj_put_f64(w, MOON_DIST, row, eraSepp(place, m->moon) * NJ_DEG_PER_RAD);
    w->reason[row] = NJ_DONE;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    for (uint32_t k = 0; k < w->n; k++) one(thread, w, w->row[k]);
    return NJ_OK;
}

NJ_MODULE(adapt_sky) = {
    NJ_HEADER,
    .name = "adapt_sky",
    .version = "1.0",
    .summary = "columns that depend on the survey's site: airmass, distance from the Moon",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .needs = (const nj_need[]){ { "ra", NJ_F64, NJ_SCALAR, "deg", 0 },
                                { "dec", NJ_F64, NJ_SCALAR, "deg", 0 },
                                { "mjd_tai_mid", NJ_F64, NJ_SCALAR, "d", 0 },
                                { "site_lon", NJ_F64, NJ_SCALAR, "deg", 0 },
                                { "site_lat", NJ_F64, NJ_SCALAR, "deg", 0 },
                                { "site_height", NJ_F64, NJ_SCALAR, "m", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "airmass", NJ_F64, 1, -1, "1", -INFINITY, INFINITY, NAN, NJ_GIVE_CANONICAL,
                                  "sec z without refraction, negative below the horizon; none without a "
                                  "position, a time or a site" },
                                { "moon_dist", NJ_F64, 1, -1, "deg", 0, 180, NAN, NJ_GIVE_CANONICAL,
                                  "distance from the Moon's centre, as seen from the site; none as airmass" },
                                { 0 } },
    .thread_size = sizeof(moment),
    .process = process
};
