/* wcs.h - from positions on the sky to pixels of a FITS image, by wcslib and ERFA. */
#ifndef NJ_CUTOUT_WCS_H
#define NJ_CUTOUT_WCS_H

#include <fitsio.h>
#include <stdbool.h>

#include "../base/error.h"

struct wcsprm;

typedef struct nj_wcs {
    struct wcsprm *prm; /* of the two celestial axes, which are axes 1 and 2 of the image */
    double turn[3][3];  /* ICRS direction to the image's frame; the identity for ICRS */
    double fk4;         /* > 0: FK4 of this Besselian equinox, which no matrix can express */
} nj_wcs;

/* Reads axes 1 and 2 of a header: right ascension and declination (ICRS, FK5 of any equinox, FK4 of 1950;
 * RADESYS, else EQUINOX, decides) or galactic longitude and latitude, in any projection and with any
 * distortion that wcslib supports (SIP also where CTYPE does not say so, TPV, TPD). Further axes must be of
 * one pixel or stand apart from the sky. What cannot be honoured (lookup tables, other frames) is refused by
 * name, with err. One thread at a time. Freed by nj_wcs_free. */
int nj_wcs_read(nj_wcs *w, fitsfile *file, nj_error *err);
/* The same from n_cards of 80 characters each. */
int nj_wcs_parse(nj_wcs *w, const char *cards, int n_cards, nj_error *err);
/* A copy for one more thread: wcslib writes to its own structure while it undoes a distortion.
 * -1: out of memory. */
int nj_wcs_copy(nj_wcs *to, const nj_wcs *from);
void nj_wcs_free(nj_wcs *w);

/* CRPIX of axis 0 or 1, as in the header: the centre of the first pixel is 1. */
double nj_wcs_crpix(const nj_wcs *w, int axis);
/* Position (ICRS, deg) to pixel: x along NAXIS1, y along NAXIS2, the centre of the first pixel is 0. False:
 * not on this side of the sky, or the distortion cannot be undone there.
 * FK5 to 0.1 mas, FK4 without proper motions to 1 mas. */
bool nj_wcs_pixel(nj_wcs *w, double ra_deg, double dec_deg, double *x, double *y);
/* The other way. False also for FK4, which no matrix turns back. */
bool nj_wcs_sky(nj_wcs *w, double x, double y, double *ra_deg, double *dec_deg);

#endif
