/* plain.c - cone search by the definition, row by row, over the functions of the service: tests and
 * process_ref compare search() with it. Proper motions are left out. */
#include <math.h>

#include "nightjar/sky.h"

/* Every row of the catalogue for one cone, nearest first. */
static void search_rows(const nj_sky *sky, const nj_sky_view *view, double ra, double dec, double radius,
                        uint32_t cap, const nj_sky_matches *out)
{
    const double deg = M_PI / 180;
    uint64_t n_rows = sky->info(view)->n_rows;
    uint32_t kept = 0;
    for (uint64_t row = 0; row < n_rows; row++) {
        double row_ra, row_dec;
        sky->position(view, row, &row_ra, &row_dec);
        double s = sin((row_dec - dec) * deg / 2), t = sin((row_ra - ra) * deg / 2);
        double sep =
            2 * asin(fmin(1, sqrt(s * s + cos(dec * deg) * cos(row_dec * deg) * t * t))) / deg * 3600;
        if (!(sep < radius)) continue;
        out->n[0]++;
        uint32_t at = kept < cap ? kept++ : cap;
        for (; at > 0 && out->sep_arcsec[at - 1] > sep; at--) {
            if (at == cap) continue;
            out->sep_arcsec[at] = out->sep_arcsec[at - 1];
            out->row[at] = out->row[at - 1];
        }
        if (at == cap) continue;
        out->sep_arcsec[at] = sep;
        out->row[at] = row;
    }
}

int nj_sky_search_plain(const nj_sky *sky, const nj_sky_view *view, const nj_sky_cones *cones,
                        const nj_sky_matches *out)
{
    for (uint32_t k = 0; k < cones->n; k++) {
        nj_sky_matches o = { out->state + k, out->n + k, out->row + (size_t)k * cones->cap,
                             out->sep_arcsec + (size_t)k * cones->cap };
        double ra = cones->ra[k], dec = cones->dec[k];
        o.n[0] = 0;
        int good = isfinite(ra) && dec >= -90 && dec <= 90;
        if (good) search_rows(sky, view, ra, dec, cones->one_radius_arcsec, cones->cap, &o);
        o.state[0] = !good                 ? NJ_SKY_NO_INPUT
                     : o.n[0] == 0         ? NJ_SKY_NONE
                     : o.n[0] > cones->cap ? NJ_SKY_OVERFLOW
                                           : NJ_SKY_MATCH;
    }
    return 0;
}
