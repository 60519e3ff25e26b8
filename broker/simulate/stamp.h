/* stamp.h - draws the three stamps of an alert and packs them as the survey does: FITS, gzipped. */
#ifndef NJ_SIMULATE_STAMP_H
#define NJ_SIMULATE_STAMP_H

#include <stddef.h>
#include <stdint.h>

#include "noise.h"

enum { NJ_SIM_STAMP = 63, NJ_SIM_CENTRE = 31, NJ_SIM_STAMP_PACKED_MAX = 24576, NJ_SIM_SOURCES_MAX = 16 };

/* A source that does not change: a star, or a galaxy of three elliptical Gaussians. */
typedef struct nj_sim_source {
    float dx, dy; /* from the candidate, pixels */
    float mag[2]; /* g, r */
    float size;   /* half-light radius of a galaxy in pixels; 0 = star */
    float axis_ratio, angle;
} nj_sim_source;

typedef enum { NJ_SIM_CLEAN, NJ_SIM_DIPOLE, NJ_SIM_COSMIC_RAY, NJ_SIM_BAD_COLUMN } nj_sim_flaw;

typedef struct nj_sim_scene {
    const nj_sim_source *source;
    uint32_t n_sources, band; /* band: index into mag */
    double zero_mag;          /* magnitude of one DN */
    float fwhm, fwhm_ref;     /* pixels */
    float sky, sky_ref;       /* DN */
    uint32_t n_frames;        /* of the template */
    float flux;               /* of the transient in the science image, DN, signed */
    nj_sim_flaw flaw;
    float flaw_flux;                           /* DN, > 0 */
    int negative;                              /* the difference is template minus science */
    uint32_t first_row, rows, first_col, cols; /* the part of the 63 x 63 window that lies on the quadrant */
    int holes;                                 /* NaN pixels in science and difference */
    int deep_holes;                            /* and float lowest there in the template */
    uint32_t mtime;                            /* of the gzip header, s since 1970 */
    uint64_t key;
} nj_sim_scene;

/* What the difference stamp shows at the candidate. */
typedef struct nj_sim_measured {
    int n_negative;    /* of the central 5 x 5 */
    double sum_ratio;  /* sum over sum of absolute values there */
    double peak_sigma; /* largest of the central 3 x 3, in units of the background's scatter */
    int n_nan;
} nj_sim_measured;

typedef struct nj_sim_painter nj_sim_painter; /* work areas; one per thread */
nj_sim_painter *nj_sim_painter_new(void);     /* NULL when memory is short */
void nj_sim_painter_free(nj_sim_painter *p);
/* Draws and packs science, template, difference; the bytes live in the painter until the next call. */
void nj_sim_paint(nj_sim_painter *p, const nj_sim_scene *scene, const uint8_t *packed[3], size_t n_packed[3],
                  nj_sim_measured *measured);
/* Scatter of a sky pixel of the exposure, DN. */
double nj_sim_sky_sigma(double sky_dn);

#endif
