/* transient_features.c - seven tests that distinguish a transient from a bogus detection, a variable star and
 * a bright neighbour.
 *
 * Given: the alert's photometry, its reference, Pan-STARRS and Gaia neighbours, and its history.
 * Returned: 0, 1, or no answer. The logic is SQL's: a comparison with a null is unknown;
 * "unknown and false" is false,
 *   "unknown or true" is true, everything else with an unknown is unknown.
 * Notes: distances below 0 (the packet's "none") count as 99 arcsec.
 * History entries without a detection cannot pass.
 * Reference: the cuts of the ZTF Bright Transient Survey, Fremling et al. 2020, ApJ 895, 32,
 * doi:10.3847/1538-4357/ab8943,
 *   Perley et al. 2020, ApJ 904, 35, doi:10.3847/1538-4357/abbd98, as Fink applies them. */
#include "nightjar/column.h"

enum {
    JD,
    MAG,
    POSITIVE,
    START,
    RB,
    DRB,
    NDETHIST,
    REF_DIST,
    REF_MAG,
    DIST1,
    DIST2,
    DIST3,
    STAR1,
    STAR2,
    STAR3,
    G1,
    R1,
    R2,
    R3,
    I1,
    Z1,
    GAIA_DIST,
    GAIA_MAG,
    BRIGHT_DIST,
    BRIGHT_MAG,
    LC_JD,
    LC_MAG,
    LC_POSITIVE,
    LC_FID,
    NEEDS
};
enum { FAINT, POSSUB, REAL, POINTUNDER, BRIGHTSTAR, VARSOURCE, STATIONARY, GIVES };

/* --- three-valued logic --- */

typedef uint8_t tri; /* 0, 1, UNKNOWN */
enum { UNKNOWN = NJ_NO_U8 };

static tri lt(double a, double b)
{
    return isnan(a) || isnan(b) ? UNKNOWN : a < b;
}
static tri le(double a, double b)
{
    return isnan(a) || isnan(b) ? UNKNOWN : a <= b;
}
static tri gt(double a, double b)
{
    return lt(b, a);
}
static tri ge(double a, double b)
{
    return le(b, a);
}
static tri eq(double a, double b)
{
    return isnan(a) || isnan(b) ? UNKNOWN : a == b;
}
static tri not(tri a)
{
    return a == UNKNOWN ? a : !a;
}
static tri all_of(const tri *a, size_t n)
{
    tri all = 1;
    for (size_t i = 0; i < n; i++) {
        if (a[i] == 0) return 0;
        if (a[i] == UNKNOWN) all = UNKNOWN;
    }
    return all;
}
static tri any_of(const tri *a, size_t n)
{
    tri any = 0;
    for (size_t i = 0; i < n; i++) {
        if (a[i] == 1) return 1;
        if (a[i] == UNKNOWN) any = UNKNOWN;
    }
    return any;
}
#define ALL(...) all_of((const tri[]){ __VA_ARGS__ }, sizeof((const tri[]){ __VA_ARGS__ }))
#define ANY(...) any_of((const tri[]){ __VA_ARGS__ }, sizeof((const tri[]){ __VA_ARGS__ }))

/* --- one alert --- */

typedef struct alert {
    double v[NEEDS];         /* scalars, distances corrected */
    double age, peak;        /* days since the start of the history; brightest magnitude in this band */
    double ps1_mag, ps1_max; /* first usable and brightest magnitude of the nearest Pan-STARRS source;
                              * 99 = none */
    tri positive;
    uint32_t n_before; /* history entries, the current one left out */
    const double *jd, *mag;
    const uint8_t *lc_positive;
} alert;

static void read_history(const nj_work *w, uint32_t row, alert *a)
{
    uint32_t n = nj_points(w, LC_JD, row);
    const int32_t *fid = nj_i32_series(w, LC_FID, row);
    a->jd = nj_f64_series(w, LC_JD, row);
    a->mag = nj_f64_series(w, LC_MAG, row);
    a->lc_positive = nj_u8_series(w, LC_POSITIVE, row);
    a->n_before = n ? n - 1 : 0;
    a->peak = a->v[MAG];
    for (uint32_t i = 0; i < a->n_before; i++)
        if (fid[i] == fid[n - 1] && a->mag[i] < a->peak) a->peak = a->mag[i];
}

static alert read_alert(const nj_work *w, uint32_t row)
{
    static const uint8_t distance[] = { REF_DIST, DIST1, DIST2, DIST3 };
    alert a;
    for (uint32_t k = 0; k < LC_JD; k++) a.v[k] = k == POSITIVE ? NAN : nj_f64_of(w, k, row);
    for (uint32_t k = 0; k < sizeof distance; k++)
        if (a.v[distance[k]] < 0) a.v[distance[k]] = 99;
    a.positive = nj_u8_of(w, POSITIVE, row);
    a.age = a.v[JD] - a.v[START];
    const double first[] = { a.v[R1], a.v[I1], a.v[G1] }, all[] = { a.v[R1], a.v[I1], a.v[G1], a.v[Z1] };
    a.ps1_mag = a.ps1_max = 99;
    for (int k = 0; k < 3 && a.ps1_mag == 99; k++)
        if (first[k] > 0 && first[k] < 30) a.ps1_mag = first[k];
    for (int k = 0; k < 4; k++)
        if (all[k] > 0 && all[k] < a.ps1_max) a.ps1_max = all[k];
    read_history(w, row, &a);
    return a;
}

static tri faint(const alert *a)
{
    tri fading = 0;
    for (uint32_t i = 0; i < a->n_before; i++) fading |= fabs(a->v[JD] - a->jd[i]) < 0.75 && a->mag[i] >= 19;
    return ANY(ge(a->v[MAG], 19.8), ALL(a->positive, fading));
}

static tri not_real(const alert *a)
{
    const double *v = a->v;
    double rb = v[RB], drb = v[DRB], d1 = v[DIST1], gaia = fabs(v[GAIA_DIST]), gaia_mag = fabs(v[GAIA_MAG]);
    double r = fabs(v[R1]), i = fabs(v[I1]), z = fabs(v[Z1]);
    tri star = gt(v[STAR1], 0.49);
    return ANY(le(rb, 0.2), ALL(lt(rb, 0.35), lt(gaia, 1), lt(gaia_mag, 17)),
               ALL(lt(rb, 0.35), lt(d1, 1), star, ANY(lt(r, 17), lt(i, 17), lt(z, 16.5))),
               ALL(lt(rb, 0.45), lt(gaia, 1.5), lt(gaia_mag, 15.5)),
               ALL(lt(rb, 0.45), lt(d1, 1.5), star, ANY(lt(r, 15.5), lt(i, 15.5), lt(z, 15))), lt(drb, 0.8),
               ALL(gt(a->age, 90), ANY(ALL(lt(drb, 0.9), ANY(ALL(lt(d1, 3), lt(a->ps1_mag, 16)),
                                                             ALL(lt(d1, 1.1), lt(a->ps1_mag, 18)))),
                                       ALL(lt(drb, 0.95), ANY(ALL(lt(d1, 1.5), lt(a->ps1_mag, 15.5)),
                                                              ALL(lt(d1, 0.8), lt(a->ps1_mag, 17.5)))))));
}

static tri point_underneath(const alert *a)
{
    double d1 = a->v[DIST1], score = a->v[STAR1], r = a->v[R1], i = a->v[I1], z = a->v[Z1];
    return ANY(ALL(gt(score, 0.76), lt(d1, 2.5)),
               ALL(gt(score, 0.2), lt(d1, 1), gt(r, 0),
                   ANY(ALL(gt(z, 0), gt(r - z, 3)), ALL(gt(i, 0), gt(r - i, 3)))));
}

static tri bright_star(const alert *a)
{
    const double *v = a->v;
    tri near[3];
    for (int k = 0; k < 3; k++)
        near[k] = ALL(lt(v[DIST1 + k], 20), lt(fabs(v[R1 + k]), 14), gt(v[STAR1 + k], 0.9));
    return ANY(ALL(lt(fabs(v[BRIGHT_DIST]), 20), lt(fabs(v[BRIGHT_MAG]), 12)), near[0], near[1], near[2],
               ALL(lt(v[DIST1], 20), lt(fabs(v[I1]), 14), gt(v[STAR1], 0.9)),
               ALL(lt(v[DIST1], 10), lt(fabs(v[Z1]), 14), gt(v[STAR1], 0.9)));
}

/* Positive detections brighter than 19.8 mag, 0.75 to 30 days before. */
static uint32_t earlier_passes(const alert *a)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->n_before; i++) {
        double dt = a->v[JD] - a->jd[i];
        n += dt > 0.75 && dt < 30 && a->lc_positive[i] == 1 && a->mag[i] > 0 && a->mag[i] < 19.8;
    }
    return n;
}

static tri variable_source(const alert *a)
{
    const double *v = a->v;
    double m = v[MAG], d = v[REF_DIST], ref = v[REF_MAG], gd = v[GAIA_DIST], gm = v[GAIA_MAG], age = a->age,
           d1 = v[DIST1], s1 = v[STAR1];
    double enough = age > 360 ? 1 : 2;
    tri old = gt(age, 90);
    return ANY(ALL(old, gt(v[NDETHIST], 30), ge(earlier_passes(a), enough), gt(ref, 0),
                   not(ALL(le(m, a->peak), lt(m, 18.5))),
                   ANY(ALL(lt(d, 0.4), lt(ref, 19.5)), ALL(lt(d, 0.8), lt(ref, 17.5)),
                       ALL(lt(d, 1.2), lt(ref, 15.5)))),
               ALL(gt(gm, 0), gt(gd, 0),
                   ANY(ALL(lt(gd, 0.35),
                           ANY(ALL(lt(gm, 17), gt(age, 30)), ALL(lt(gm, 19), gt(age, 300), gt(m, 18.5)))),
                       ALL(lt(gd, 0.2), lt(gm, 18), old))),
               ALL(gt(s1, 0.25), lt(d1, 3), old, lt(a->ps1_max, 16)),
               ALL(eq(s1, 0.5), lt(d1, 0.5), old, lt(a->ps1_max, 17)),
               ALL(gt(ref, 0), lt(ref, m - 1), old, lt(d, 0.5), gt(m, a->peak)), gt(v[NDETHIST], 200));
}

static tri stationary(const alert *a)
{
    for (uint32_t i = 0; i < a->n_before; i++)
        if (a->lc_positive[i] == 1 && !isnan(a->mag[i]) && fabs(a->v[JD] - a->jd[i]) > 0.02) return 1;
    return 0;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        alert a = read_alert(w, row);
        const tri answer[GIVES] = { faint(&a),         a.positive,
                                    not(not_real(&a)), point_underneath(&a),
                                    bright_star(&a),   variable_source(&a),
                                    stationary(&a) };
        w->reason[row] = NJ_DONE;
        for (uint32_t g = 0; g < GIVES; g++) {
            nj_put_u8(w, g, row, answer[g]);
            if (answer[g] == UNKNOWN) w->reason[row] = NJ_NO_INPUT;
        }
    }
    return NJ_OK;
}

#define NUMBER(path, unit, flags)                                                                            \
    {                                                                                                        \
        path, NJ_F64, NJ_SCALAR, unit, flags                                                                 \
    }
#define FLAG(name, text)                                                                                     \
    {                                                                                                        \
        name, NJ_U8, 1, -1, "1", 0, 1, NAN, 0, text "; none when a missing value decides"                    \
    }

NJ_MODULE(transient_features) = {
    NJ_HEADER,
    .name = "transient_features",
    .version = "1.0",
    .summary = "seven tests for a real, new, unblended transient",
    .paper = "doi:10.3847/1538-4357/abbd98",
    .needs = (const nj_need[]){ NUMBER("jd", "d", 0),
                                NUMBER("mag", "mag", 0),
                                { "positive", NJ_U8, NJ_SCALAR, "1", 0 },
                                NUMBER("first_jd", "d", NJ_NEED_OPTIONAL),
                                NUMBER("rb", "1", NJ_NEED_OPTIONAL),
                                NUMBER("drb", "1", NJ_NEED_OPTIONAL),
                                NUMBER("ndethist", "1", NJ_NEED_OPTIONAL),
                                NUMBER("ref_dist", "pixel", NJ_NEED_OPTIONAL),
                                NUMBER("ref_mag", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("near1_dist", "arcsec", NJ_NEED_OPTIONAL),
                                NUMBER("near2_dist", "arcsec", NJ_NEED_OPTIONAL),
                                NUMBER("near3_dist", "arcsec", NJ_NEED_OPTIONAL),
                                NUMBER("near1_star", "1", NJ_NEED_OPTIONAL),
                                NUMBER("near2_star", "1", NJ_NEED_OPTIONAL),
                                NUMBER("near3_star", "1", NJ_NEED_OPTIONAL),
                                NUMBER("near1_g", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("near1_r", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("near2_r", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("near3_r", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("near1_i", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("near1_z", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("gaia_dist", "arcsec", NJ_NEED_OPTIONAL),
                                NUMBER("gaia_mag", "mag", NJ_NEED_OPTIONAL),
                                NUMBER("gaia_bright_dist", "arcsec", NJ_NEED_OPTIONAL),
                                NUMBER("gaia_bright_mag", "mag", NJ_NEED_OPTIONAL),
                                { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.positive", NJ_U8, NJ_SERIES, "1", 0 },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ FLAG("faint",
                                     "1: fainter than 19.8 mag, or seen faint within the last 0.75 d"),
                                FLAG("positivesubtraction", "1: brighter than the reference"),
                                FLAG("real",
                                     "1: the real-bogus scores and the neighbourhood say it is no artefact"),
                                FLAG("pointunderneath", "1: a point source lies underneath"),
                                FLAG("brightstar", "1: a bright star is close"),
                                FLAG("variablesource", "1: probably an old variable source"),
                                FLAG("stationary", "1: a positive detection more than 0.02 d apart exists"),
                                { 0 } },
    .process = process
};
