/* stamps.h - cutting: the same square about every target, by several workers,
 * each stamp a FITS file of its own. */
#ifndef NJ_CUTOUT_STAMPS_H
#define NJ_CUTOUT_STAMPS_H

#include "image.h"

typedef struct nj_cut_target {
    char *name;     /* becomes a file name: letters, digits and ._+- */
    double ra, dec; /* deg */
} nj_cut_target;

typedef struct nj_cut_job {
    const nj_cut_image *image;
    const nj_cut_target *target;
    uint32_t n_targets;
    uint32_t size;      /* pixels of a side */
    const char *folder; /* that exists; NULL: stamps are made and thrown away */
    const char *suffix; /* FOLDER/NAME + suffix + .fits */
    const char *origin; /* name of the image, for the stamps' headers */
    int workers;
    bool overwrite;
} nj_cut_job;

typedef struct nj_cut_result {
    uint32_t whole, partial, outside; /* targets: their sum is n_targets unless writing failed;
                                       * partial: NaN beyond the border */
    uint64_t bytes;
    double wall_s;
} nj_cut_result;

/* Before nj_cut() of an image on a server: fetches the blocks that all stamps need, with so many requests at
 * a time. */
int nj_cut_fetch(const nj_cut_job *job, int connections, nj_error *err);
/* The stamp of a target has the rows ceil(y - size/2) ... + size - 1, and columns likewise; a target whose
 * stamp has no pixel of the image is outside. Values are those of the image, bit for bit. -1 with err, which
 * names the first file that could not be written. */
int nj_cut(const nj_cut_job *job, nj_cut_result *result, nj_error *err);

/* Targets from a table of any kind that catalogues are built of: columns ra and dec, in degrees, in parts or
 * in their declared unit, and name, id, object or candid (else the row's number from 0). Names that would
 * give the same file are refused. -1 with err. Freed by nj_cut_targets_free. */
int nj_cut_targets_read(const char *path, nj_cut_target **target, uint32_t *n, nj_error *err);
void nj_cut_targets_free(nj_cut_target *target, uint32_t n);

#endif
