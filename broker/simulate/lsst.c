/* lsst.c - the same simulated sky is also wanted as Rubin would observe it: other bands, depths and packet
 * fields. */
#include "lsst.h"

#include <erfa.h>
#include <erfam.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsst_visit.h"

/* Fields that are set, by record. */
/* clang-format off */
#define SOURCE_FIELDS(F) \
    F(diaSourceId) F(visit) F(detector) F(diaObjectId) F(ssObjectId) F(parentDiaSourceId) \
    F(midpointMjdTai) F(ra) F(raErr) F(dec) F(decErr) F(x) F(xErr) F(y) F(yErr) F(apFlux) F(apFluxErr) \
    F(isNegative) F(snr) F(psfFlux) F(psfFluxErr) F(psfChi2) F(psfNdata) F(scienceFlux) F(scienceFluxErr) \
    F(templateFlux) F(templateFluxErr) F(ixx) F(iyy) F(ixy) F(ixxPSF) F(iyyPSF) F(ixyPSF) F(extendedness) \
    F(reliability) F(band) F(isDipole) F(dipoleFitAttempted) F(timeProcessedMjdTai) F(bboxSize)
/* clang-format on */
/* clang-format off */
#define FORCED_FIELDS(F) \
    F(diaForcedSourceId) F(diaObjectId) F(ra) F(dec) F(visit) F(detector) F(psfFlux) F(psfFluxErr) \
    F(midpointMjdTai) F(scienceFlux) F(scienceFluxErr) F(band) F(timeProcessedMjdTai)
/* clang-format on */
/* clang-format off */
#define OBJECT_FIELDS(F) \
    F(diaObjectId) F(validityStartMjdTai) F(ra) F(raErr) F(dec) F(decErr) F(firstDiaSourceMjdTai) \
    F(lastDiaSourceMjdTai) F(nDiaSources)
/* clang-format on */
/* clang-format off */
#define SS_FIELDS(F) \
    F(diaSourceId) F(ssObjectId) F(designation) F(eclLambda) F(eclBeta) F(galLon) F(galLat) F(elongation) \
    F(phaseAngle) F(topoRange) F(helioRange) F(ephRa) F(ephDec) F(ephVmag) F(ephRate) F(ephOffset) \
    F(diaDistanceRank)
/* clang-format on */
/* clang-format off */
#define ORBIT_FIELDS(F) \
    F(id) F(designation) F(packed_primary_provisional_designation) \
    F(unpacked_primary_provisional_designation) F(nobs_total) F(a) F(q) F(e) F(i) F(node) F(argperi) \
    F(mean_anomaly) F(epoch_mjd) F(h) F(g)
/* clang-format on */

#define S_(name) S_##name,
#define F_(name) F_##name,
#define O_(name) O_##name,
#define M_(name) M_##name,
#define B_(name) B_##name,
enum { SOURCE_FIELDS(S_) N_S };
enum { FORCED_FIELDS(F_) N_F };
enum { OBJECT_FIELDS(O_) N_O };
enum { SS_FIELDS(M_) N_M };
enum { ORBIT_FIELDS(B_) N_B };
#define TEXT(name) #name,
static const char
    *const source_names[] = { SOURCE_FIELDS(TEXT) },
           *const forced_names[] = { FORCED_FIELDS(TEXT) }, *const object_names[] = { OBJECT_FIELDS(TEXT) },
           *const ss_names[] = { SS_FIELDS(TEXT) }, *const orbit_names[] = { ORBIT_FIELDS(TEXT) };
static const struct {
    const char *const *name;
    uint32_t n;
} wanted[NJ_SIM_LSST_RECORDS] = { { source_names, N_S },
                                  { forced_names, N_F },
                                  { object_names, N_O },
                                  { ss_names, N_M },
                                  { orbit_names, N_B } };

/* Statistics of the object, one set per band: <band>_<name>. */
typedef enum {
    MEAN,
    MEAN_ERR,
    SIGMA,
    N_DATA,
    MIN,
    MAX,
    ERR_MEAN,
    SCIENCE_MEAN,
    SCIENCE_MEAN_ERR,
    STATISTICS
} statistic;
static const char *const statistic_names[STATISTICS] = {
    "psfFluxMean", "psfFluxMeanErr", "psfFluxSigma",    "psfFluxNdata",      "psfFluxMin",
    "psfFluxMax",  "psfFluxErrMean", "scienceFluxMean", "scienceFluxMeanErr"
};

struct nj_sim_lsst {
    nj_sim_lsst_schema *schema;
    nj_sim_lsst_painter *painter;
    int16_t at[NJ_SIM_LSST_RECORDS][NJ_SIM_LSST_FIELDS_MAX]; /* number of each wanted field in its record */
    int16_t statistic[NJ_SIM_LSST_BANDS][STATISTICS];
    nj_sim_lsst_record source, object, ss_source, orbit, prv[NJ_SIM_EPOCHS_MAX], forced[NJ_SIM_EPOCHS_MAX];
    char designation[32], packed[16];
};

nj_sim_lsst *nj_sim_lsst_new(nj_error *err)
{
    nj_sim_lsst *l = calloc(1, sizeof *l);
    const char *lost = NULL;
    if (!l) {
        nj_fail(err, "out of memory");
        return NULL;
    }
    if (!(l->schema = nj_sim_lsst_schema_new(err))) goto failed;
    for (int k = 0; k < NJ_SIM_LSST_RECORDS; k++)
        for (uint32_t i = 0; i < wanted[k].n; i++)
            if ((l->at[k][i] =
                     (int16_t)nj_sim_lsst_field(l->schema, (nj_sim_lsst_kind)k, wanted[k].name[i])) < 0)
                lost = wanted[k].name[i];
    for (int b = 0; b < NJ_SIM_LSST_BANDS; b++)
        for (int k = 0; k < STATISTICS; k++) {
            char name[48];
            snprintf(name, sizeof name, "%s_%s", nj_sim_lsst_band[b], statistic_names[k]);
            if ((l->statistic[b][k] = (int16_t)nj_sim_lsst_field(l->schema, NJ_SIM_DIA_OBJECT, name)) < 0)
                lost = statistic_names[k];
        }
    if (lost) {
        nj_fail(err, "schema lsst 11.0 has no field '%s'", lost);
        goto failed;
    }
    if ((l->painter = nj_sim_lsst_painter_new())) return l;
    nj_fail(err, "out of memory");
failed:
    nj_sim_lsst_free(l);
    return NULL;
}

void nj_sim_lsst_free(nj_sim_lsst *l)
{
    if (!l) return;
    nj_sim_lsst_schema_free(l->schema);
    nj_sim_lsst_painter_free(l->painter);
    free(l);
}

/* ---- records --------------------------------------------------------------------------------- */
/* clang-format off */
#define PUT(record, kind, key, member, value) \
    do { int at_ = l->at[kind][key]; (record)->v[at_].member = (value); (record)->set[at_] = 1; } while (0)
/* clang-format on */

typedef struct sighting {
    const nj_sim_epoch *epoch;
    double flux, error; /* nJy */
    int64_t id, visit, object, sso;
    int band;
} sighting;

static sighting sight(const nj_sim_epoch *e, double flux, double error, uint32_t visit, uint32_t j,
                      const nj_sim_object *o)
{
    sighting s = { .epoch = e,
                   .band = nj_sim_lsst_band_of(e),
                   .id = nj_sim_lsst_source_id(e->night, visit, j),
                   .visit = nj_sim_lsst_visit(e->night, visit) };
    s.flux = flux * nj_sim_lsst_njy(s.band);
    s.error = error * nj_sim_lsst_njy(s.band);
    if (o->class == NJ_SIM_ASTEROID)
        s.sso = 21000000000000000 + (int64_t)(o->key % 1000000000000);
    else
        s.object = 170000000000000000 + (int64_t)(o->key % 900000000000000);
    return s;
}

static void fill_source(const nj_sim_lsst *l, nj_sim_lsst_record *r, const nj_sim_object *o,
                        const sighting *s)
{
    nj_sim_rng g = { nj_sim_key(nj_sim_key(o->key, s->epoch->key), 41), 0 };
    double snr = fabs(s->flux) / s->error, fwhm_arcsec = 0.75 * s->epoch->fwhm / 2.05,
           error_arcsec = 0.5 * fwhm_arcsec / snr;
    double moment = pow(fwhm_arcsec / 2.3548, 2), static_flux = nj_sim_lsst_template(o, s->epoch, s->band),
           day = nj_sim_lsst_mjd_tai(s->epoch->jd);
    int flawed = o->class == NJ_SIM_ARTEFACT;
    memset(r->set, 0, sizeof r->set);
#define PS(key, member, value) PUT(r, NJ_SIM_DIA_SOURCE, S_##key, member, value)
    PS(diaSourceId, i, s->id);
    PS(visit, i, s->visit);
    PS(detector, i, s->epoch->rcid);
    if (s->object) PS(diaObjectId, i, s->object);
    if (s->sso) PS(ssObjectId, i, s->sso);
    PS(parentDiaSourceId, i, 0);
    PS(midpointMjdTai, f, day);
    PS(ra, f, o->ra + error_arcsec / 3600 * nj_sim_normal(&g) / cos(o->dec * M_PI / 180));
    PS(dec, f, o->dec + error_arcsec / 3600 * nj_sim_normal(&g));
    PS(raErr, f, error_arcsec / 3600);
    PS(decErr, f, error_arcsec / 3600);
    PS(x, f, o->x);
    PS(y, f, o->y);
    PS(xErr, f, error_arcsec / 0.2);
    PS(yErr, f, error_arcsec / 0.2);
    PS(psfFlux, f, s->flux);
    PS(psfFluxErr, f, s->error);
    PS(apFlux, f, s->flux + 0.6 * s->error * nj_sim_normal(&g));
    PS(apFluxErr, f, 1.6 * s->error);
    PS(snr, f, snr);
    PS(isNegative, i, s->flux < 0);
    PS(psfNdata, i, 1681);
    PS(psfChi2, f, 1681 * (1 + 0.035 * nj_sim_normal(&g) + (flawed ? 0.8 : 0)));
    PS(scienceFlux, f, static_flux + s->flux + 0.7 * s->error * nj_sim_normal(&g));
    PS(scienceFluxErr, f, s->error * 0.97);
    PS(templateFlux, f, static_flux + 0.15 * s->error * nj_sim_normal(&g));
    PS(templateFluxErr, f, 0.22 * s->error);
    PS(ixx, f, moment * (1 + 0.2 * nj_sim_normal(&g)));
    PS(iyy, f, moment * (1 + 0.2 * nj_sim_normal(&g)));
    PS(ixy, f, 0.1 * moment * nj_sim_normal(&g));
    PS(ixxPSF, f, moment);
    PS(iyyPSF, f, moment * 1.01);
    PS(ixyPSF, f, 0.01 * moment);
    PS(extendedness, f,
       o->host >= 0 && o->source[o->host].size > 0 ? nj_sim_between(&g, 0.7, 1) : nj_sim_between(&g, 0, 0.2));
    PS(reliability, f, flawed ? 0.35 * nj_sim_uniform(&g) : 1 - 0.4 * pow(nj_sim_uniform(&g), 1 + snr / 6));
    PS(band, s, nj_sim_lsst_band[s->band]);
    PS(isDipole, i, flawed && o->kind[0] == 'd');
    PS(dipoleFitAttempted, i, flawed && o->kind[0] == 'd');
    PS(timeProcessedMjdTai, f, day + 90.0 / 86400);
    PS(bboxSize, i, 20 + (int64_t)(10 * nj_sim_uniform(&g)));
}

static void fill_forced(const nj_sim_lsst *l, nj_sim_lsst_record *r, const nj_sim_object *o,
                        const sighting *s)
{
    double day = nj_sim_lsst_mjd_tai(s->epoch->jd);
    memset(r->set, 0, sizeof r->set);
#define PF(key, member, value) PUT(r, NJ_SIM_DIA_FORCED, F_##key, member, value)
    PF(diaForcedSourceId, i, s->id + ((int64_t)1 << 31));
    PF(diaObjectId, i, s->object);
    PF(ra, f, o->ra);
    PF(dec, f, o->dec);
    PF(visit, i, s->visit);
    PF(detector, i, s->epoch->rcid);
    PF(psfFlux, f, s->flux);
    PF(psfFluxErr, f, s->error);
    PF(midpointMjdTai, f, day);
    PF(scienceFlux, f, s->flux + nj_sim_lsst_template(o, s->epoch, s->band));
    PF(scienceFluxErr, f, s->error);
    PF(band, s, nj_sim_lsst_band[s->band]);
    PF(timeProcessedMjdTai, f, day + 90.0 / 86400);
}

static void put_statistic(nj_sim_lsst_record *r, int at, double value)
{
    r->v[at].f = value;
    r->set[at] = 1;
}

/* Means over the detections in prv and the current one. */
static void fill_object(const nj_sim_lsst *l, nj_sim_lsst_record *r, const nj_sim_object *o,
                        const sighting *all, uint32_t n)
{
    memset(r->set, 0, sizeof r->set);
#define PO(key, member, value) PUT(r, NJ_SIM_DIA_OBJECT, O_##key, member, value)
    PO(diaObjectId, i, all[n - 1].object);
    PO(validityStartMjdTai, f, nj_sim_lsst_mjd_tai(all[n - 1].epoch->jd));
    PO(ra, f, o->ra);
    PO(dec, f, o->dec);
    PO(raErr, f, 0.05 / 3600 / sqrt(n));
    PO(decErr, f, 0.05 / 3600 / sqrt(n));
    PO(firstDiaSourceMjdTai, f, nj_sim_lsst_mjd_tai(all[0].epoch->jd));
    PO(lastDiaSourceMjdTai, f, nj_sim_lsst_mjd_tai(all[n - 1].epoch->jd));
    PO(nDiaSources, i, n);
    for (int b = 0; b < NJ_SIM_LSST_BANDS; b++) {
        double weight = 0, sum = 0, plain = 0, squares = 0, least = INFINITY, most = -INFINITY, errors = 0,
               science = 0;
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (all[i].band != b) continue;
            double w = 1 / (all[i].error * all[i].error);
            weight += w, sum += w * all[i].flux, plain += all[i].flux, squares += all[i].flux * all[i].flux,
                errors += all[i].error, m++;
            science += all[i].flux + nj_sim_lsst_template(o, all[i].epoch, b);
            least = fmin(least, all[i].flux), most = fmax(most, all[i].flux);
        }
        const int16_t *at = l->statistic[b];
        r->v[at[N_DATA]].i = m;
        r->set[at[N_DATA]] = 1;
        if (!m) continue;
        put_statistic(r, at[MEAN], sum / weight);
        put_statistic(r, at[MEAN_ERR], sqrt(1 / weight));
        put_statistic(r, at[MIN], least);
        put_statistic(r, at[MAX], most);
        put_statistic(r, at[ERR_MEAN], errors / m);
        put_statistic(r, at[SCIENCE_MEAN], science / m);
        put_statistic(r, at[SCIENCE_MEAN_ERR], sqrt(1 / weight));
        if (m > 1) put_statistic(r, at[SIGMA], sqrt(fmax(0, (squares - plain * plain / m) / (m - 1))));
    }
}

/* A main-belt asteroid near opposition. */
static void fill_asteroid(nj_sim_lsst *l, const nj_sim_object *o, const sighting *s, double mag)
{
    nj_sim_rng g = { nj_sim_key(o->key, 42), 0 };
    nj_sim_lsst_record *r = &l->ss_source;
    double ecl_lon, ecl_lat, gal_lon, gal_lat, a = nj_sim_between(&g, 2.2, 3.3),
                                               e = nj_sim_between(&g, 0.02, 0.25);
    double helio = a * (1 + e * nj_sim_between(&g, -1, 1)), topo = helio - nj_sim_between(&g, 0.75, 1);
    unsigned number = 10000 + (unsigned)(nj_sim_next(&g) % 600000);
    eraEqec06(2400000.5, nj_sim_lsst_mjd_tai(s->epoch->jd), o->ra * ERFA_DD2R, o->dec * ERFA_DD2R, &ecl_lon,
              &ecl_lat);
    eraIcrs2g(o->ra * ERFA_DD2R, o->dec * ERFA_DD2R, &gal_lon, &gal_lat);
    snprintf(l->designation, sizeof l->designation, "2021 %c%c%u", (int)('A' + number % 25),
             (int)('A' + number / 25 % 25), number % 300);
    snprintf(l->packed, sizeof l->packed, "K21%c%02u%c", (int)('A' + number % 25), number % 100,
             (int)('A' + number / 25 % 25));
    memset(r->set, 0, sizeof r->set);
#define PM(key, member, value) PUT(r, NJ_SIM_SS_SOURCE, M_##key, member, value)
    PM(diaSourceId, i, s->id);
    PM(ssObjectId, i, s->sso);
    PM(designation, s, l->designation);
    PM(eclLambda, f, ecl_lon * ERFA_DR2D);
    PM(eclBeta, f, ecl_lat * ERFA_DR2D);
    PM(galLon, f, gal_lon * ERFA_DR2D);
    PM(galLat, f, gal_lat * ERFA_DR2D);
    PM(elongation, f, nj_sim_between(&g, 120, 180));
    PM(phaseAngle, f, nj_sim_between(&g, 1, 20));
    PM(topoRange, f, topo);
    PM(helioRange, f, helio);
    PM(ephRa, f, o->ra + 0.05 / 3600 * nj_sim_normal(&g));
    PM(ephDec, f, o->dec + 0.05 / 3600 * nj_sim_normal(&g));
    PM(ephVmag, f, mag + 0.3 + 0.1 * nj_sim_normal(&g));
    PM(ephRate, f, nj_sim_between(&g, 0.1, 0.3));
    PM(ephOffset, f, 0.07 * fabs(nj_sim_normal(&g)));
    PM(diaDistanceRank, i, 1);
    r = &l->orbit;
    memset(r->set, 0, sizeof r->set);
#define PB(key, member, value) PUT(r, NJ_SIM_MPC_ORBIT, B_##key, member, value)
    PB(id, i, number);
    PB(designation, s, l->designation);
    PB(packed_primary_provisional_designation, s, l->packed);
    PB(unpacked_primary_provisional_designation, s, l->designation);
    PB(nobs_total, i, 20 + (int64_t)(nj_sim_next(&g) % 900));
    PB(a, f, a);
    PB(e, f, e);
    PB(q, f, a * (1 - e));
    PB(i, f, nj_sim_between(&g, 0.5, 20));
    PB(node, f, nj_sim_between(&g, 0, 360));
    PB(argperi, f, nj_sim_between(&g, 0, 360));
    PB(mean_anomaly, f, nj_sim_between(&g, 0, 360));
    PB(epoch_mjd, f, 61000);
    PB(h, f, mag - 5 * log10(helio * topo));
    PB(g, f, 0.15);
}

/* ---- a packet -------------------------------------------------------------------------------- */
static void fill_truth(nj_truth *t, const nj_sim_lsst_alert *a, const sighting *s, uint32_t side, int n_nan)
{
    const nj_sim_object *o = a->object;
    double to_njy = nj_sim_lsst_njy(s->band);
    const nj_sim_source *host = o->host >= 0 ? &o->source[o->host] : NULL;
    t->candid = s->id;
    if (s->sso)
        snprintf(t->object, sizeof t->object, "sso:%lld", (long long)s->sso);
    else
        snprintf(t->object, sizeof t->object, "%lld", (long long)s->object);
    t->jd = nj_sim_lsst_mjd_tai(s->epoch->jd) + 2400000.5;
    t->ra = o->ra;
    t->dec = o->dec;
    t->band = nj_sim_lsst_band[s->band];
    t->mag = 31.4 - 2.5 * log10(fabs(a->detection.truth) * to_njy);
    t->host_mag = host ? (double)host->mag[s->epoch->band] + nj_sim_lsst_offset(s->band) : NAN;
    t->redshift = NAN; /* the world's distances are for its own brightness */
    t->rows = t->cols = (int)side;
    t->n_nan = n_nan;
    t->schema = "11.0";
    t->encoder = a->confluent ? "confluent" : "stream";
}

static uint32_t fill_history(nj_sim_lsst *l, const nj_sim_lsst_alert *a, sighting *seen, uint32_t *n_forced)
{
    uint32_t n = 0;
    *n_forced = 0;
    for (uint32_t i = 0; i < a->n_history; i++) {
        nj_sim_detection d;
        const nj_sim_epoch *e = &a->history[i];
        int twin = i >= a->same_night;
        uint32_t visit = twin ? a->first_visit_index
                              : 4096 + (uint32_t)(nj_sim_key(7, (uint64_t)llround(e->jd * 1e7)) % 4096);
        nj_sim_detect(&d, a->object, e, 0);
        sighting s =
            sight(e, d.flux, d.error, visit,
                  twin ? a->j : (uint32_t)(nj_sim_key(a->object->key, e->key) % (1u << 20)), a->object);
        int detected = fabs(d.flux) > 5 * d.error;
        if (detected) {
            fill_source(l, &l->prv[n], a->object, &s);
            seen[n++] = s;
        }
        if (n)
            fill_forced(l, &l->forced[(*n_forced)++], a->object, &s); /* forced from the first
                                                                       * detection on */
    }
    return n;
}

void nj_sim_lsst_make(nj_sim_lsst *l, const nj_sim_lsst_alert *a, nj_buffer *out, nj_truth *truth)
{
    sighting seen[NJ_SIM_EPOCHS_MAX + 1];
    nj_sim_rng r = { nj_sim_key(nj_sim_key(a->object->key, a->now->key), 43), 0 };
    uint32_t n_forced, n = fill_history(l, a, seen, &n_forced);
    sighting s = sight(a->now, a->detection.flux, a->detection.error, a->visit_index, a->j, a->object);
    double size = nj_sim_uniform(&r), seeing = 0.75 * a->now->fwhm / 2.05;
    seen[n] = s;
    nj_sim_lsst_scene scene = { .object = a->object,
                                .flux_njy = s.flux,
                                .error_njy = s.error,
                                .fwhm = seeing / 0.2,
                                .fwhm_template = 3.6,
                                .ra = a->object->ra,
                                .dec = a->object->dec,
                                .x = a->object->x,
                                .y = a->object->y,
                                .mag_offset = nj_sim_lsst_offset(s.band),
                                .band = a->now->band,
                                .key = r.key };
    scene.side = size < 0.6 ? 30 : 30 + 2 * (uint32_t)(11 * (size - 0.6) / 0.4);
    scene.edge = nj_sim_uniform(&r) < 1.0 / 18;
    nj_sim_lsst_packet p = { .id = s.id,
                             .reason = "science",
                             .target = "lowdust",
                             .source = &l->source,
                             .prv = l->prv,
                             .n_prv = n,
                             .forced = l->forced,
                             .n_forced = n_forced,
                             .key = r.key,
                             .confluent = a->confluent };
    int n_nan = nj_sim_lsst_paint(l->painter, &scene, p.fits, p.n_fits);
    fill_source(l, &l->source, a->object, &s);
    if (s.sso) {
        fill_asteroid(l, a->object, &s, 31.4 - 2.5 * log10(fabs(s.flux)));
        p.ss_source = &l->ss_source;
        p.orbit = &l->orbit;
        p.n_prv = p.n_forced = 0;
    } else {
        fill_object(l, &l->object, a->object, seen, n + 1);
        p.object = &l->object;
    }
    nj_sim_lsst_encode(l->schema, &p, out);
    fill_truth(truth, a, &s, scene.side, n_nan);
}
