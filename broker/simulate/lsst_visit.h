/* lsst_visit.h - where and when Rubin sees an object of the simulated sky. */
#ifndef NJ_SIMULATE_LSST_VISIT_H
#define NJ_SIMULATE_LSST_VISIT_H

#include "world.h"

enum { NJ_SIM_LSST_BANDS = 6 };
extern const char *const nj_sim_lsst_band[NJ_SIM_LSST_BANDS];

int nj_sim_lsst_band_of(const nj_sim_epoch *e);
double nj_sim_lsst_mjd_tai(double jd_utc_start);
int64_t nj_sim_lsst_visit(int night, uint32_t sequence);
/* Unique per detection: night, exposure, number in it. */
int64_t nj_sim_lsst_source_id(int night, uint32_t visit, uint32_t j);
/* Magnitudes between the world's band and this one. */
double nj_sim_lsst_offset(int band);
/* nJy of flux 1 in the world's units. */
double nj_sim_lsst_njy(int band);
/* Flux of what stands in the template at the place itself, nJy. */
double nj_sim_lsst_template(const nj_sim_object *o, const nj_sim_epoch *e, int band);

#endif
