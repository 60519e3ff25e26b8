/* fill.h - objects and epochs to the fields of a packet. Pure functions of their arguments. */
#ifndef NJ_SIMULATE_FILL_H
#define NJ_SIMULATE_FILL_H

#include "packet.h"
#include "world.h"

/* A measurement of an object on one epoch. */
typedef struct nj_sim_detection {
    double flux, error, truth; /* as 10^(-0.4 mag), signed */
    double x, y;               /* on the quadrant, pixels from 1 */
    uint32_t rank;             /* row of the extraction table */
    int64_t candid;
} nj_sim_detection;

typedef struct nj_sim_context { /* the past of a candidate */
    uint32_t n_detections;      /* in the history, without this one */
    double first_jd;            /* of them; NaN = none */
    uint64_t seed;
} nj_sim_context;

/* Measures and places the object; rank numbers the detection on its quadrant. */
void nj_sim_detect(nj_sim_detection *d, const nj_sim_object *o, const nj_sim_epoch *e, uint32_t rank);
/* An epoch that did not detect the object: 41 fields null. */
void nj_sim_fill_limit(nj_sim_record *r, const nj_sim_epoch *e);
/* An earlier detection: all fields of prv_candidates, the three of known asteroids null. */
void nj_sim_fill_detection(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                           const nj_sim_detection *d);
/* The candidate itself, all fields; measured is what the difference stamp shows. */
void nj_sim_fill_candidate(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                           const nj_sim_detection *d, const nj_sim_context *c,
                           const nj_sim_measured *measured);
/* A forced flux. */
void nj_sim_fill_forced(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e);
/* Year, month and day (UTC) of a night number. */
void nj_sim_civil(int night, int *year, int *month, int *day);
int nj_sim_night_of(int year, int month, int day);

#endif
