/* speed.h - the table of `nightjar cutout --bench`: cutouts per second by number of workers. */
#ifndef NJ_CUTOUT_SPEED_H
#define NJ_CUTOUT_SPEED_H

#include "stamps.h"

enum { NJ_CUT_ROUNDS = 5, NJ_CUT_POINTS = 12 };

typedef struct nj_cut_point {
    int workers;
    double cut[NJ_CUT_ROUNDS], written[NJ_CUT_ROUNDS]; /* targets per second of each round: made only;
                                                        * made and written */
} nj_cut_point;

/* 1, 2, 4 ... workers up to `most` (and `most` itself) in turn, one warm-up and NJ_CUT_ROUNDS rounds; the
 * stamps of every round are written over those before, into job->folder.
 * Returns the number of points, -1 with err. */
int nj_cut_speed(const nj_cut_job *job, int most, nj_cut_point point[NJ_CUT_POINTS], nj_error *err);

/* Wall time of some cutouts by some workers. */
typedef struct nj_cut_wall {
    uint32_t cutouts; /* 1, 10, 100, 1000 */
    int workers;      /* 1, 4, 16 */
    double wall_s;    /* median of three, made and written */
} nj_cut_wall;
enum { NJ_CUT_WALLS = 12 };
/* All pairs, as far as there are targets: how many; -1 with err. Stamps are written over those before. */
int nj_cut_walls(const nj_cut_job *job, nj_cut_wall wall[NJ_CUT_WALLS], nj_error *err);

/* Writes a noise cube of 256 x 256 floats and 64 planes to path, with the same positions as the image. */
int nj_cut_toy_cube(const char *path, nj_error *err);
/* Writes noise as a TESS cube of 256 x 256 pixels and 64 images, with the same positions. */
int nj_cut_toy_tess(const char *path, nj_error *err);
/* Writes a noise image of 4096 x 4096 floats to path, and gives n targets on it.
 * Names and places depend on the numbers only. */
int nj_cut_toy(const char *path, nj_cut_target **target, uint32_t n, nj_error *err);

#endif
