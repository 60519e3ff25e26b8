/* world.h - the sky and the survey that the simulator looks at: exposures of a night, their conditions,
 * objects and their light. Everything is a function of (seed, names of things),
 * never of what was asked before. */
#ifndef NJ_SIMULATE_WORLD_H
#define NJ_SIMULATE_WORLD_H

#include <stdint.h>

#include "noise.h"
#include "stamp.h"

#define NJ_SIM_JD_NIGHT_0 2457754.5 /* night numbers count UTC days from 2017 January 1 */
#define NJ_SIM_PIXEL_ARCSEC 1.012
enum {
    NJ_SIM_SENSORS_MAX = 189,
    NJ_SIM_QUADRANT_PIXELS = 3072,
    NJ_SIM_EPOCHS_MAX = 160,
    NJ_SIM_HISTORY_DAYS = 30
};

typedef enum {
    NJ_SIM_STAR,
    NJ_SIM_VARIABLE,
    NJ_SIM_GALAXY,
    NJ_SIM_SUPERNOVA,
    NJ_SIM_ASTEROID,
    NJ_SIM_HOSTLESS,
    NJ_SIM_ARTEFACT,
    NJ_SIM_N_CLASSES
} nj_sim_class;
extern const char *const nj_sim_class_names[NJ_SIM_N_CLASSES];

/* One exposure of the night. */
typedef struct nj_sim_exposure {
    double jd;
    int night, field, band; /* band: 0 g, 1 r */
    uint32_t index, visit;  /* second visits see the pointing of an earlier exposure again */
    uint32_t twin;          /* the other exposure of the pointing; itself when there is none */
    uint64_t first;         /* alerts [first, first + n) of the night */
    uint32_t n, n_nominal;
} nj_sim_exposure;

/* One quadrant of one exposure: what the object is seen through. */
typedef struct nj_sim_epoch {
    double jd;
    int night, field, rcid, band;
    int64_t pid;
    float fwhm, sky, limit_mag, zero_mag;
    float zero_mag_unc, zero_mag_rms, colour_coeff, colour_unc;
    double dither_x, dither_y; /* pixels by which the exposure's grid is off */
    uint64_t key;
} nj_sim_epoch;

typedef struct nj_sim_object {
    nj_sim_class class;
    const char *kind; /* "rr_lyrae", "Ia", "dipole": a sentence of truth */
    uint64_t key;
    char name[16];  /* ZTF18abcdefg */
    double ra, dec; /* of the object, deg */
    double x, y;    /* on the quadrant, pixels from 1 */
    int field, rcid;
    nj_sim_source source[NJ_SIM_SOURCES_MAX];
    uint32_t n_sources;
    int host;                                /* index of the host or of the star itself in source;
                                              * -1 = none */
    double amplitude[2];                     /* of the difference flux in g and r: 10^(-0.4 mag) */
    double range_mag[2];                     /* of a variable star, from peak to trough, in g and r */
    double period_day, phase, t0, width_day; /* what of them the kind needs */
    double redshift, host_sep_arcsec;        /* NaN = has none */
    double only_jd;                          /* asteroids and artefacts are there at this time only; else 0 */
} nj_sim_object;

typedef struct nj_sim_night {
    uint64_t seed;
    int night; /* number */
    uint32_t n_exposures, n_sensors;
    nj_sim_exposure *exposure;
} nj_sim_night;

/* How a survey observes. */
typedef struct nj_sim_cadence {
    uint32_t n_sensors; /* of the camera, at most NJ_SIM_SENSORS_MAX */
    uint32_t block;     /* pointings before the second visits of them */
    double step_s;      /* most seconds between exposures */
    int bursts;         /* every 16th exposure or so has four times as many alerts; else lognormal */
} nj_sim_cadence;
extern const nj_sim_cadence nj_sim_ztf_cadence, nj_sim_lsst_cadence;

/* Plans n_alerts over n_exposures. -1 when memory is short. */
int nj_sim_night_plan(nj_sim_night *plan, const nj_sim_cadence *cadence, uint64_t seed, int night,
                      uint64_t n_alerts, uint32_t n_exposures);
void nj_sim_night_free(nj_sim_night *plan);
/* The exposure that holds alert number i. */
const nj_sim_exposure *nj_sim_night_find(const nj_sim_night *plan, uint64_t alert);
/* Quadrant of the j-th alert of an exposure, and its rank among the alerts of that quadrant. */
int nj_sim_quadrant(const nj_sim_night *plan, const nj_sim_exposure *e, uint32_t j, uint32_t *rank);

void nj_sim_epoch_fill(nj_sim_epoch *epoch, uint64_t seed, double jd, int field, int rcid, int band);
/* Epochs of that quadrant within 30 days before the night of `now`, in order of time.
 * Returns their number. */
uint32_t nj_sim_epochs_before(nj_sim_epoch *epoch, uint64_t seed, const nj_sim_epoch *now);

/* The j-th object of a quadrant that this epoch detects. */
void nj_sim_object_find(nj_sim_object *object, uint64_t seed, const nj_sim_epoch *now, uint32_t j);
/* Truth and noise together: the flux that the survey measures, its truth (signed difference flux against the
 * template, as 10^(-0.4 mag)) and its one-sigma error in the same unit. */
double nj_sim_measure_flux(const nj_sim_object *object, const nj_sim_epoch *epoch, double *truth,
                           double *error);
/* Degrees of galactic latitude would be overkill: density of stars by field, 1 = at the poles. */
double nj_sim_star_density(uint64_t seed, int field);
void nj_sim_field_centre(int field, double *ra, double *dec);

#endif
