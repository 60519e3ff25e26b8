/* fits.h - the image of a FITS file in memory as float pixels: the plain case directly, every other by cfitsio. */
#ifndef NJ_DECODE_FITS_H
#define NJ_DECODE_FITS_H

#include <stddef.h>
#include <stdint.h>

#include "../base/arena.h"
#include "nightjar/module.h"

typedef enum nj_fits_result { NJ_FITS_OK, NJ_FITS_BAD, NJ_FITS_UNUSUAL } nj_fits_result;

/* The primary image of a file with NAXIS = 2, BITPIX 8, 16, 32, -32 or -64 and no scaling. The first card may be
 * "SIMPLE  =  T", its value in a column where strict readers do not look. Pixels go to the arena, 64-byte aligned.
 * UNUSUAL: nothing wrong so far, but a case for nj_fits_by_cfitsio. why: a static text when not OK. */
nj_fits_result nj_fits_plain(const uint8_t *bytes, size_t size, size_t max_pixels, nj_arena *arena, nj_image *image,
                             const char **why);
/* The same through cfitsio (scaling, blank values, compressed images, an image in the first extension); locks. */
nj_fits_result nj_fits_by_cfitsio(const uint8_t *bytes, size_t size, size_t max_pixels, nj_arena *arena, nj_image *image,
                                  const char **why);

/* Big-endian float pixels to floats; returns the number of NaN. The second is the portable one (equal results). */
uint32_t nj_fits_swap(float *to, const uint8_t *from, size_t n);
uint32_t nj_fits_swap_portable(float *to, const uint8_t *from, size_t n);

#endif
