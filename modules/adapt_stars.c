/* adapt_stars.c - a canonical column that needs the nearest sources of the survey's catalogues: is there a
 * bright star near? Artefacts of its halo and spikes look like transients without a host.
 *
 * Returned: near_bright_star, 1: one of Gaia's of at most 12 mag within 20 arcsec; or one of the three
 *   nearest of the deep catalogue that is a star (score above 0.49), within 20 arcsec and of at most 15 mag
 *   in r; or a saturated source that coincides.
 * Notes: in single precision, as the packets have it; the same rule as properties.near_brightstar.
 * Reference: BOOM, src/enrichment/ztf.rs. */
#include <stdbool.h>

#include "nightjar/column.h"

enum { GAIA_DIST, GAIA_MAG, STAR1, DIST1 = STAR1 + 3, R1 = DIST1 + 3, G1 = R1 + 3, I1, NEEDS };

static float value(const nj_work *w, uint32_t need, uint32_t row, float otherwise)
{
    const double v = nj_f64_of(w, need, row);
    return isnan(v) ? otherwise : (float)v;
}

static bool is_near(const nj_work *w, uint32_t row)
{
    const float gaia = value(w, GAIA_DIST, row, INFINITY), bright = value(w, GAIA_MAG, row, INFINITY);
    if (gaia >= 0 && gaia <= 20 && bright > 0 && bright <= 12) return true;
    for (uint32_t k = 0; k < 3; k++) {
        const float r = value(w, R1 + k, row, INFINITY);
        if (value(w, STAR1 + k, row, 0) > 0.49f && value(w, DIST1 + k, row, INFINITY) <= 20 && r > 0 &&
            r <= 15)
            return true;
    }
    return value(w, STAR1, row, 0) == 0.5f && value(w, DIST1, row, INFINITY) < 0.5f &&
           (value(w, G1, row, INFINITY) < 17 || value(w, R1, row, INFINITY) < 17 ||
            value(w, I1, row, INFINITY) < 17);
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        const uint32_t row = w->row[k];
        bool known = false;
        for (uint32_t need = 0; need < NEEDS && !known; need++) known = !isnan(nj_f64_of(w, need, row));
        if (known) nj_put_u8(w, 0, row, is_near(w, row));
        w->reason[row] = known ? NJ_DONE : NJ_NO_INPUT;
    }
    return NJ_OK;
}

#define OPTIONAL(path, unit)                                                                                 \
    {                                                                                                        \
        path, NJ_F64, NJ_SCALAR, unit, NJ_NEED_OPTIONAL                                                      \
    }
NJ_MODULE(adapt_stars) = { NJ_HEADER,
                           .name = "adapt_stars",
                           .version = "1.0",
                           .summary = "is a bright star near, by the catalogues of the survey's packets",
                           .paper = "none: BOOM, src/enrichment/ztf.rs",
                           .flags = NJ_MODULE_ADAPTER,
                           .needs = (const nj_need[]){ { "gaia_bright_dist", NJ_F64, NJ_SCALAR, "arcsec", 0 },
                                                       { "gaia_bright_mag", NJ_F64, NJ_SCALAR, "mag", 0 },
                                                       OPTIONAL("near1_star", "1"),
                                                       OPTIONAL("near2_star", "1"),
                                                       OPTIONAL("near3_star", "1"),
                                                       OPTIONAL("near1_dist", "arcsec"),
                                                       OPTIONAL("near2_dist", "arcsec"),
                                                       OPTIONAL("near3_dist", "arcsec"),
                                                       OPTIONAL("near1_r", "mag"),
                                                       OPTIONAL("near2_r", "mag"),
                                                       OPTIONAL("near3_r", "mag"),
                                                       OPTIONAL("near1_g", "mag"),
                                                       OPTIONAL("near1_i", "mag"),
                                                       { 0 } },
                           .gives = (const nj_give[]){ { "near_bright_star", NJ_U8, 1, -1, "1", 0, 1, NAN,
                                                         NJ_GIVE_CANONICAL,
                                                         "1: a bright star is within 20 arcsec; none when "
                                                         "the packet names no neighbours" },
                                                       { 0 } },
                           .process = process };
