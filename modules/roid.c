/* roid.c - asteroids: known ones by the distance to their ephemeris, unknown ones by a star-like, short
 * light curve.
 *
 * Method: the sequential rules of Fink's asteroid tagging, each of which overwrites the ones before it. A
 * comparison with a null is false. Where the survey itself names a known object (LSST), that decides; its
 * packets have no Pan-STARRS star score, so 2 does not occur there, and 1 is a first detection of any kind.
 * Differs from the text of the rules where Fink's code does: the counterpart radius is 5 arcsec.
 * Reference: Carry et al. 2024, A&A 687, A38, doi:10.1051/0004-6361/202347872; Moeller et al.
 * 2021, MNRAS 501, 3272. */
#include <stdbool.h>

#include "nightjar/column.h"

enum { JD, MAG, NDETHIST, SGSCORE, PS1_DIST, SSO_DIST, SSO_ID };
enum { ROID };
enum { NOT_MOVING, FIRST_TIME, CANDIDATE, KNOWN };

typedef struct conf {
    double max_interval_min, star_score, ps1_radius_arcsec, sso_radius_arcsec;
} conf;

static int32_t classify(const conf *c, const nj_work *w, uint32_t row)
{
    uint32_t n_points = nj_points(w, MAG, row), n_valid = 0;
    const double *jd = nj_f64_series(w, JD, row), *mag = nj_f64_series(w, MAG, row);
    int32_t ndethist = nj_i32_of(w, NDETHIST, row), roid = NOT_MOVING;
    double ps1 = nj_f64_of(w, PS1_DIST, row), sso = nj_f64_of(w, SSO_DIST, row);
    for (uint32_t i = 0; i < n_points; i++) n_valid += !isnan(mag[i]);
    if (ndethist == 1) roid = FIRST_TIME;
    /* single precision: the packet's own, or a score of exactly 0.76 would count as below */
    if ((float)nj_f64_of(w, SGSCORE, row) < (float)c->star_score && ndethist <= 2) roid = CANDIDATE;
    if (ps1 > 0 && ps1 < c->ps1_radius_arcsec) roid = NOT_MOVING;
    if (n_valid == 2 && (jd[n_points - 1] - jd[n_points - 2]) * 1440 > c->max_interval_min) roid = NOT_MOVING;
    if (ndethist == 2 && n_valid == 1) roid = NOT_MOVING;
    if (sso >= 0 && sso < c->sso_radius_arcsec && fabs(ps1) - sso > 0 && ndethist <= 5 && n_valid <= 5)
        roid = KNOWN;
    return roid;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        bool named = !isnan(nj_f64_of(w, SSO_ID, row));
        w->reason[row] = NJ_NO_INPUT;
        if (!named && nj_i32_of(w, NDETHIST, row) == NJ_NO_I32) continue;
        nj_put_i32(w, ROID, row, named ? KNOWN : classify(self, w, row));
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

static int open_conf(const nj_host *host, const void *c, void **self)
{
    (void)host;
    *self = (void *)c; /* the settings are all the state there is; they outlive the instance */
    return NJ_OK;
}

NJ_MODULE(roid) = {
    NJ_HEADER,
    .name = "roid",
    .version = "1.0",
    .summary = "asteroids: 0 no, 1 first detection, 2 candidate, 3 known",
    .paper = "doi:10.1051/0004-6361/202347872",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "ndethist", NJ_I32, NJ_SCALAR, "1", 0 },
                                { "near1_star", NJ_F64, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                { "near1_dist", NJ_F64, NJ_SCALAR, "arcsec", NJ_NEED_OPTIONAL },
                                { "sso_dist", NJ_F64, NJ_SCALAR, "arcsec", NJ_NEED_OPTIONAL },
                                /* there or not */
                                { "sso_id", NJ_F64, NJ_SCALAR, "1", NJ_NEED_OPTIONAL },
                                { 0 } },
    .gives =
        (const nj_give[]){ { "roid", NJ_I32, 1, -1, "1", 0, 3, 1, 0,
                             "0 not a solar system object, 1 first detection, 2 candidate, 3 known object" },
                           { 0 } },
    .params = (const nj_param[]){ { "max_interval_min", NJ_F64, "30", offsetof(conf, max_interval_min), 0,
                                    1e6, "min",
                                    "two detections farther apart than this are not one moving object" },
                                  { "star_score", NJ_F64, "0.76", offsetof(conf, star_score), 0, 1, "1",
                                    "a nearest Pan-STARRS source with a score below this is not a star" },
                                  { "ps1_radius_arcsec", NJ_F64, "5", offsetof(conf, ps1_radius_arcsec), 0,
                                    60, "arcsec", "a Pan-STARRS source within this is a counterpart" },
                                  { "sso_radius_arcsec", NJ_F64, "5", offsetof(conf, sso_radius_arcsec), 0,
                                    60, "arcsec", "a known object within this is the alert" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .open = open_conf,
    .process = process
};
