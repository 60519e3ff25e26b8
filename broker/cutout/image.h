/* image.h - a FITS image or cube to cut stamps from, opened once and read by all workers. */
#ifndef NJ_CUTOUT_IMAGE_H
#define NJ_CUTOUT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "ranges.h"
#include "tess.h"

enum { NJ_CUT_AXES = 9 };

typedef struct nj_cut_image {
    uint32_t cols, rows;          /* NAXIS1, NAXIS2 */
    uint64_t planes;              /* all further axes multiplied: 1 for an image */
    int n_axes;                   /* as stamps have them too */
    uint32_t length[NJ_CUT_AXES]; /* NAXISi */
    uint32_t width;               /* bytes of a pixel: 4 or 8 */
    const unsigned char *data;    /* big-endian floats or doubles, as FITS stores them: plane, row, column */
    nj_wcs wcs;
    char *cards; /* what a stamp inherits: n_cards of 80 characters; CRPIXi are not among them */
    uint32_t n_cards;
    void *map; /* the file, or NULL where pixels were read into memory */
    size_t map_size;
    void *pixels;
    nj_tess *tess; /* NULL, or what a TESS cube has besides its pixels: a frame is a plane, and flux and error
                    * of a pixel stand together: row, column, frame, flux and error */
    nj_ranges *remote; /* NULL: a file here. Blocks of mapped pixels are there once they are fetched */
    uint64_t data_at;  /* byte of the file where the mapped pixels begin */
} nj_cut_image;

/* Also http://, https://, s3://: of plain floats only what is wanted is fetched, of all else the whole HDU.
 * Opens the first HDU with two axes or more, or the one named as FILE[n] or FILE[EXTNAME]. Floats and doubles
 * of a plain file are mapped; compressed files, integers and scaled numbers are read whole (integers of up to
 * 16 bits as floats, BLANK as NaN). One thread. -1 with err, which names the file. Freed by
 * nj_cut_image_close, also after an error. */
int nj_cut_image_open(nj_cut_image *image, const char *path, nj_error *err);
void nj_cut_image_close(nj_cut_image *image);

#endif
