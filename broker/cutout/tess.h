/* tess.h - a cube that TESS pipelines make of full-frame images: an axis of two (flux, its error), one of
 * times, then columns and rows; a table has the header of each image. */
#ifndef NJ_CUTOUT_TESS_H
#define NJ_CUTOUT_TESS_H

#include <stdint.h>

#include "../base/buffer.h"
#include "wcs.h"

enum { NJ_TESS_AXES = 4 }; /* flux and error, time, column, row */

typedef struct nj_tess {
    uint32_t frames;
    double *time;      /* BTJD, the middle of each exposure */
    float *correction; /* d, to the barycentre */
    int32_t *quality;
    char *file; /* frames x file_width: the image that each frame was */
    uint32_t file_width;
    nj_buffer primary, pixels, aperture; /* cards of 80 for the headers of every target pixel file, but for
                                          * those that say where it was cut */
} nj_tess;

/* Whether the image that the file stands at is such a cube: four axes, and no positions of its own. */
bool nj_tess_is(fitsfile *f);
/* The file stands at the table behind the cube, which has such axes. Positions are those of the row in the
 * middle, else of the next one behind it that has any. -1 with err; freed by nj_tess_free in any case. */
int nj_tess_read(nj_tess *tess, nj_wcs *wcs, fitsfile *f, const uint32_t axis[NJ_TESS_AXES], nj_error *err);
void nj_tess_free(nj_tess *tess);

/* What of the cube a target pixel file has. */
typedef struct nj_tess_cut {
    const nj_tess *tess;
    const unsigned char *data; /* of the cube, as the file has it */
    int64_t cols, rows, size, left, bottom;
    nj_wcs *wcs; /* of this thread */
    const char *name;
    double ra, dec;
} nj_tess_cut;
/* Of one worker, for files of one cube and one size: what they have in common is written once. */
enum { NJ_TESS_OTHERS = 128 };
typedef struct nj_tess_work {
    nj_buffer file; /* the last one that was made */
    nj_buffer card;
    bool laid;                 /* the file has all that stays */
    size_t hdu[3], data[3];    /* where they begin */
    size_t at[NJ_TESS_OTHERS]; /* cards that differ */
    uint32_t n_at, rest;       /* rest: sum of all words of the table but flux and errors */
} nj_tess_work;                /* zero-initialised = no file yet */
/* The whole file, in w->file. -1 with err. */
int nj_tess_file(nj_tess_work *w, const nj_tess_cut *cut, nj_error *err);
void nj_tess_work_free(nj_tess_work *w);

#endif
