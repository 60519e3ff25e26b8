/* simulate.h - nights of alerts with known truth, packet by packet, without files. Alert i of a configuration
 * is a function of the configuration and i alone: any order, any number of simulators, the same bytes. */
#ifndef NJ_SIMULATE_SIMULATE_H
#define NJ_SIMULATE_SIMULATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../base/error.h"

typedef struct nj_simulator_conf {
    const char *survey; /* "ztf" (NULL = ztf) */
    uint64_t alerts;    /* of the night; 0 = 1000 */
    uint64_t seed;
    uint32_t exposures;  /* 0 = one per 300 alerts (lsst: 10,000), at least 4 */
    int night;           /* YYYYMMDD, UTC; 0 = 20240315 (lsst: 20260315) */
    const char *schema;  /* "3.3", "4.02", or "mix" (NULL); lsst: "11.0" (NULL) */
    const char *encoder; /* "stream", "archive", or "mix" (NULL): the two writers whose packets exist. lsst:
                          * "stream" (NULL) = container files, "confluent" = 0x00, schema id 1100, datum */
} nj_simulator_conf;

typedef struct nj_truth {
    int64_t candid;
    char object[24];
    const char *class; /* star, variable, galaxy, supernova, asteroid, hostless, artefact */
    const char *kind;  /* rr_lyrae, Ia, dipole, ... */
    double jd, ra, dec;
    const char *band;
    int positive;
    double mag;      /* true difference magnitude, before noise */
    double snr;      /* true flux over its error */
    double redshift; /* NaN = has none, as all below */
    double host_sep_arcsec;
    double host_mag;          /* of the host, or of the star itself, in this band */
    double period_day, t0_jd; /* t0: of the peak */
    int rows, cols, n_nan;    /* of the stamps */
    const char *schema, *encoder;
} nj_truth;

typedef struct nj_simulated {
    const uint8_t *bytes; /* lives until the simulator's next call */
    size_t size;
    char member[32]; /* "<candid>.avro" */
    nj_truth truth;
} nj_simulated;

typedef struct nj_simulator nj_simulator; /* used by one thread at a time; no global state */

/* NULL with err (unknown survey, schema or encoder; a date that is none;
 * too many alerts for the exposures). */
nj_simulator *nj_simulator_new(const nj_simulator_conf *conf, nj_error *err);
uint64_t nj_simulator_alerts(const nj_simulator *s);
/* The next alert of the night. 1 = there it is, 0 = the night is over, -1 = out of memory. */
int nj_simulator_next(nj_simulator *s, nj_simulated *alert);
/* Alert number i < nj_simulator_alerts(). 1, or -1 = out of memory. Does not move nj_simulator_next. */
int nj_simulator_make(nj_simulator *s, uint64_t i, nj_simulated *alert);
void nj_simulator_free(nj_simulator *s);

/* truth.csv: the heading, and one line. */
void nj_truth_heading(FILE *to);
void nj_truth_line(FILE *to, const nj_truth *truth);

#endif
