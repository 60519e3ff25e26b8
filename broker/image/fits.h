/* fits.h - the image of a FITS file in memory as float pixels:
 * the plain case directly, every other by cfitsio. */
#ifndef NJ_IMAGE_FITS_H
#define NJ_IMAGE_FITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/arena.h"
#include "nightjar/module.h"

typedef enum nj_fits_result { NJ_FITS_OK, NJ_FITS_BAD, NJ_FITS_UNUSUAL } nj_fits_result;

/* The primary image of a file with NAXIS = 2, BITPIX 8, 16, 32, -32 or -64 and no scaling. The first card may
 * be "SIMPLE  =  T", its value in a column where strict readers do not look.
 * Pixels go to the arena, 64-byte aligned.
 * UNUSUAL: nothing wrong so far, but a case for nj_fits_by_cfitsio. why: a static text when not OK. */
nj_fits_result nj_fits_plain(const uint8_t *bytes, size_t size, size_t max_pixels, nj_arena *arena,
                             nj_image *image, const char **why);
/* The same through cfitsio (scaling, blank values, an image in the first extension); locks. hdu: 0 = the
 * first image, else the extension of this number. */
nj_fits_result nj_fits_by_cfitsio(const uint8_t *bytes, size_t size, uint32_t hdu, size_t max_pixels,
                                  nj_arena *arena, nj_image *image, const char **why);
/* The pixels at `data`, axis[0] columns and axis[1] rows; UNUSUAL for a BITPIX that is none of the above. */
nj_fits_result nj_fits_pixels(const uint8_t *bytes, size_t size, size_t data, const long axis[2], long bitpix,
                              size_t max_pixels, nj_arena *arena, nj_image *image, const char **why);
/* The whole number behind the equals sign of a card (80 bytes), wherever that stands. */
bool nj_fits_card_number(const uint8_t *card, long *value);

/* Big-endian float pixels to floats; returns the number of NaN.
 * The second is the portable one (equal results). */
uint32_t nj_fits_swap(float *to, const uint8_t *from, size_t n);
uint32_t nj_fits_swap_portable(float *to, const uint8_t *from, size_t n);

#endif
