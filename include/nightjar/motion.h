/* nightjar/motion.h - does what was seen at these places move? (libnightjar-kit.a,
 * modules/kit/num/motion.c) */
#ifndef NIGHTJAR_MOTION_H
#define NIGHTJAR_MOTION_H
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Straight lines through ra cos(dec) and dec [deg] against time [d]: faster than max_speed [arcsec/h], and
 * closer to the lines than max_rms [arcsec]? Needs 3 points. */
bool nj_is_moving(uint32_t n, const double *jd, const double *ra, const double *dec, double max_speed,
                  double max_rms);

#ifdef __cplusplus
}
#endif
#endif
