/* wcs.h - from positions on the sky to pixels of a FITS image: gnomonic projection, with or without SIP distortion. */
#ifndef NJ_CUTOUT_WCS_H
#define NJ_CUTOUT_WCS_H

#include <fitsio.h>
#include <stdbool.h>

#include "../base/error.h"

enum { NJ_SIP_ORDER = 9 };

typedef struct nj_wcs {
    double crpix[2];      /* as in the header: the centre of the first pixel is 1 */
    double ra0, dec0;     /* of the tangent point, rad */
    double lonpole;       /* rad; pi unless the header says other */
    double inverse[2][2]; /* projected (axis 1, axis 2) in degrees -> pixels from crpix */
    int ra_axis;          /* 0 or 1: which of the two is the right ascension */
    int order[2];         /* of the distortion of each axis; 0 = none */
    double sip[2][NJ_SIP_ORDER + 1][NJ_SIP_ORDER + 1];
} nj_wcs;

/* Reads axes 1 and 2 of the HDU at hand: RA/DEC with CTYPE TAN or TAN-SIP, by CD, PC and CDELT, or CDELT and CROTA2.
 * What it does not know is refused by name, with err. */
int nj_wcs_read(nj_wcs *w, fitsfile *file, nj_error *err);

/* Position (deg) to pixel: x along NAXIS1, y along NAXIS2, the centre of the first pixel is 0. False: not on this side of
 * the sky, or the distortion cannot be undone there. Any thread. */
bool nj_wcs_pixel(const nj_wcs *w, double ra_deg, double dec_deg, double *x, double *y);

#endif
