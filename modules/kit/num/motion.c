/* motion.c - an asteroid that is taken for one object moves along a straight line. */
#include "nightjar/motion.h"

#include <math.h>

#include "nightjar/astro.h"

bool nj_is_moving(uint32_t n_points, const double *jd, const double *ra, const double *dec, double max_speed,
                  double max_rms)
{
    const uint32_t last = n_points - 1;
    double n = 0, mean_dec = 0, st = 0, sx = 0, sy = 0, stt = 0, stx = 0, sty = 0, sxx = 0, syy = 0;
    for (uint32_t i = 0; i < n_points; i++) mean_dec += dec[i] / n_points;
    for (uint32_t i = 0; i < n_points; i++) { /* arcsec and days from the last one */
        const double t = jd[i] - jd[last], y = (dec[i] - dec[last]) * 3600,
                     x = remainder(ra[i] - ra[last], 360) * 3600 * cos(mean_dec * NJ_RAD_PER_DEG);
        n++, st += t, sx += x, sy += y, stt += t * t, stx += t * x, sty += t * y, sxx += x * x, syy += y * y;
    }
    const double vtt = stt - st * st / n, vtx = stx - st * sx / n, vty = sty - st * sy / n;
    if (n < 3 || !(vtt > 0)) return false;
    const double speed = hypot(vtx / vtt, vty / vtt) / 24;
    const double rms =
        sqrt(fmax(sxx - sx * sx / n - vtx * vtx / vtt + syy - sy * sy / n - vty * vty / vtt, 0) / n);
    return speed > max_speed && rms < max_rms;
}
