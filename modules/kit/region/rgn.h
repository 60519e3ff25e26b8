/* rgn.h - what the files of this folder share: a region as it is read, and the index over many. */
#ifndef MODULES_KIT_REGION_RGN_H
#define MODULES_KIT_REGION_RGN_H
#include <stddef.h>
#include <stdint.h>

#include "nightjar/region.h"

enum { RGN_ORDER = 29, RGN_POINTS = 4096 /* most vertices of a polygon */ };

typedef struct rgn_range { /* cells of order 29 in NESTED numbering, half open */
    uint64_t begin, end;
} rgn_range;

typedef struct rgn_shape {               /* a cone, a polygon of great circles, or an ellipse */
    double centre[3], east[3], north[3]; /* of an ellipse: along its axes */
    double chord2;                       /* squared chord of the cone that holds it */
    uint32_t n_points;                   /* 0 = the cone itself, or an ellipse */
    double a, b;   /* radii of an ellipse on the plane that touches the sphere at the centre; 0 = none */
    double *x, *y; /* of its vertices on the plane that touches the sphere at the centre */
} rgn_shape;

typedef struct rgn_band { /* of a latitude, closed */
    double pole[3], low, high;
} rgn_band;

typedef struct rgn_cell { /* of a skymap */
    uint64_t begin, end;  /* of order 29, half open */
    double density;       /* per steradian */
    double level;         /* credible level: the probability of all cells that are at least as likely */
    double distmu, distsigma;
} rgn_cell;

typedef struct rgn_region { /* of one file */
    rgn_range *range;       /* sorted, disjoint */
    size_t n_ranges;
    rgn_shape *shape;
    size_t n_shapes;
    rgn_band band;
    int is_band;
    rgn_cell *cell; /* of a skymap, by begin */
    size_t n_cells;
    int is_map; /* a skymap, or a notice that has none (any more) */
} rgn_region;

typedef struct rgn_text { /* a file in memory, and where to say what is wrong with it */
    const char *path;
    char *data;
    size_t n;
    char *why;
    size_t why_size;
} rgn_text;

/* Writes "PATH: ..." into why; -1. */
int rgn_refuse(const rgn_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* read.c: a region of a file, by its content: FITS, JSON, ASCII MOC or DS9. A skymap's region is that of a
 * credible level. -1 with the reason in why. */
int rgn_read(const char *path, double level, rgn_region *region, char *why, size_t why_size);
void rgn_free(rgn_region *region);
/* Adds the cells [first, last] of an order. -1 = out of range, or no memory. */
int rgn_add_cells(rgn_region *region, size_t *cap, unsigned order, uint64_t first, uint64_t last);
void rgn_sort(rgn_region *region); /* sorts the ranges and joins what touches */

/* served.c: notes the file's hash; calls back for all that were noted. */
void rgn_note_file(const char *path);
void rgn_served(void (*each)(void *opaque, const char *path, const char *hash), void *opaque);

/* fits.c */
int rgn_read_fits(const rgn_text *t, double level, rgn_region *region);
/* notice.c */
int rgn_read_notice(const rgn_text *t, double level, rgn_region *region);
/* skymap.c: adds a cell behind all others; four equal ones that fill their parent become it. -1: no memory */
int rgn_push_cell(rgn_region *region, size_t *cap, const rgn_cell *cell);
/* Sorts the cells, gives them their levels and the region its ranges. */
int rgn_make_skymap(const rgn_text *t, double level, rgn_region *region);
/* The cell that holds a cell of order 29; NULL = the map has none there. */
const rgn_cell *rgn_skymap_at(const rgn_region *region, uint64_t cell);
/* ds9.c */
int rgn_read_ds9(const rgn_text *t, rgn_region *region);

/* shape.c */
void rgn_vector(double ra, double dec, double v[3]); /* deg */
int rgn_make_cone(rgn_shape *shape, const double centre[3], double radius_deg);
/* NULL, or why these n vertices make no polygon. */
const char *rgn_make_polygon(rgn_shape *shape, const double (*vertex)[3], uint32_t n);
/* along: the direction of the first axis, at a right angle to the centre; radii in degrees on the plane that
 * touches the sphere at the centre, as on an image. -1 = a radius that is none. */
int rgn_make_ellipse(rgn_shape *shape, const double centre[3], const double along[3], double a_deg,
                     double b_deg);
/* The corners of a box there, w_deg along by h_deg. */
void rgn_box_corners(const double centre[3], const double along[3], double w_deg, double h_deg,
                     double corner[4][3]);
int rgn_in_shape(const rgn_shape *shape, const double v[3]);
int rgn_in_band(const rgn_band *band, const double v[3]);
/* "galactic LOW HIGH" or "ecliptic LOW HIGH": 1; 0 = it is no band; -1 = a wrong one. */
int rgn_make_band(const char *text, rgn_band *band);

/* index.c: of many regions */
typedef struct rgn_index {
    uint32_t n, words; /* regions; words of a set */
    const rgn_region *const *region;
    /* the coverage maps: from start[i] to start[i + 1] the regions are those of set[i] */
    uint64_t *start;
    uint32_t *set;
    size_t n_starts;
    uint64_t *sets; /* [n_sets * words]; the first is empty */
    uint32_t n_sets;
    uint32_t *first; /* [cells of first_order + 1] the last start at or before each cell's begin */
    unsigned first_order;
    /* the shapes: of each cell of shape_order those whose cone touches it */
    struct rgn_place *place;
    uint32_t *place_first;
    uint32_t *band; /* regions that are bands */
    uint32_t n_bands, n_shapes;
} rgn_index;

int rgn_index_make(rgn_index *index, const rgn_region *const *region, uint32_t n); /* -1 = no memory */
void rgn_index_free(rgn_index *index);
int32_t rgn_index_find(const rgn_index *index, double ra, double dec, uint64_t *bits);
uint64_t rgn_cell_of(double ra, double dec); /* the cell of order 29 that holds a position */
int32_t rgn_find_plain(const rgn_index *index, double ra, double dec, uint64_t *bits);

/* service.c */
const void *nj_region_service(uint32_t version);

#endif
