/* turn.h - a TESS cube has the frames of a pixel in line, a target pixel file the pixels of a frame: words
 * are turned from one order to the other, as they are, in the byte order of FITS. */
#ifndef NJ_CUTOUT_TURN_H
#define NJ_CUTOUT_TURN_H

#include <stddef.h>
#include <stdint.h>

typedef struct nj_turned { /* where a table has them */
    unsigned char
        *flux;    /* of the first frame and the first pixel; those of a frame stand behind each other */
    size_t error; /* bytes from a flux to its error */
    size_t row;   /* bytes from a frame to the next one */
} nj_turned;

/* pair: of the first pixel, n_frames pairs of flux and error, 4 bytes each; the next of n_pixels begins
 * `pixel` bytes behind. */
void nj_turn(const nj_turned *to, const unsigned char *pair, size_t pixel, uint32_t n_pixels,
             uint32_t n_frames);
/* Flux and error of n_pixels become NaN in so many frames. */
void nj_turn_none(const nj_turned *to, uint32_t n_pixels, uint32_t n_frames);

#endif
