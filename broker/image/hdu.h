/* hdu.h - the HDUs of a FITS file in memory, one after the other:
 * for stamps that hold more than one image. */
#ifndef NJ_IMAGE_HDU_H
#define NJ_IMAGE_HDU_H

#include <stdbool.h>

#include "fits.h"

typedef struct nj_hdu {
    uint32_t number; /* 0 = primary */
    char name[72];   /* EXTNAME; "PRIMARY" for a first one without */
    char type[72];   /* EXTTYPE, by which LSST's own files name their planes, or "" */
    char unit[72];   /* BUNIT, or "" */
    long bitpix, naxis, axis[2];
    bool image;   /* the primary or an IMAGE extension */
    bool unusual; /* scaled, with blank values, or compressed: not for direct reading */
    size_t data;  /* first byte of its data in the file */
    size_t next;  /* first byte behind it, padding included */
} nj_hdu;

/* The HDU behind the given one; a zero-initialised one gives the first.
 * 1 = there it is, 0 = the file has no more,
 * -1 = damaged (why: a static text). */
int nj_hdu_next(const uint8_t *bytes, size_t size, nj_hdu *hdu, const char **why);

/* The image of the first HDU of that EXTNAME or EXTTYPE (case does not matter), or of that number, as
 * nj_fits_plain() gives the primary one; unusual ones through cfitsio.
 * NJ_FITS_BAD with why when there is none. */
nj_fits_result nj_hdu_open(const uint8_t *bytes, size_t size, const char *which, size_t max_pixels,
                           nj_arena *arena, nj_image *image, const char **why);

#endif
