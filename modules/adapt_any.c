/* adapt_any.c - canonical columns that depend only on the alert's position: galactic latitude.
 *
 * Returned: gal_b, deg.
 * Notes: the galactic pole is the J2000 one (alpha 192.85948, delta 27.12825 deg),
 * good to 0.1 arcsec against the IAU
 *   definition in ICRS.
 * Reference: Blaauw et al. 1960, MNRAS 121, 123; ESA 1997, SP-1200, vol. 1, eq. 1.5.11. */
#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { RA, DEC };
enum { GAL_B };

static double galactic_latitude_deg(double ra_deg, double dec_deg)
{
    static const double pole_ra_deg = 192.85948, pole_dec_deg = 27.12825;
    double dec = dec_deg * NJ_RAD_PER_DEG, pole = pole_dec_deg * NJ_RAD_PER_DEG;
    double sin_b = sin(dec) * sin(pole) + cos(dec) * cos(pole) * cos((ra_deg - pole_ra_deg) * NJ_RAD_PER_DEG);
    return asin(fmax(-1, fmin(1, sin_b))) * NJ_DEG_PER_RAD;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        double ra = nj_f64_of(w, RA, row), dec = nj_f64_of(w, DEC, row);
        int there = fabs(dec) <= 90 && fabs(ra) <= 720;
        if (there) nj_put_f64(w, GAL_B, row, galactic_latitude_deg(ra, dec));
        w->reason[row] = there ? NJ_DONE : NJ_NO_INPUT;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_any) = { NJ_HEADER,
                         .name = "adapt_any",
                         .version = "1.0",
                         .summary = "canonical columns of any survey that need arithmetic",
                         .paper = "none: definitions",
                         .flags = NJ_MODULE_ADAPTER,
                         .needs = (const nj_need[]){ { "ra", NJ_F64, NJ_SCALAR, "deg", 0 },
                                                     { "dec", NJ_F64, NJ_SCALAR, "deg", 0 },
                                                     { 0 } },
                         .gives = (const nj_give[]){ { "gal_b", NJ_F64, 1, -1, "deg", -90, 90, NAN,
                                                       NJ_GIVE_CANONICAL,
                                                       "galactic latitude; none without a position" },
                                                     { 0 } },
                         .process = process };
