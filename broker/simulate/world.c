/* world.c - tests of detection need a known truth; this makes the objects, their light and the exposures
 * from a seed. */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const nj_sim_class_names[NJ_SIM_N_CLASSES] = { "star",     "variable", "galaxy",  "supernova",
                                                           "asteroid", "hostless", "artefact" };
/* Shares of the alerts of a night: variables and asteroids lead, as they do in the survey. */
static const double class_share[NJ_SIM_N_CLASSES] = { 0.12, 0.40, 0.09, 0.07, 0.17, 0.05, 0.10 };

enum { TRIALS = 16, TRANSIENT_BLOCK_DAYS = 60 };
static const double faintest_static = 22.7;
static const double detection_sigma = 5.0;
static const double cut_share = 0.007; /* objects so near to the border that their stamps are cut */

static double flux_of(double mag)
{
    return pow(10, -0.4 * mag);
}

static double flux_error(const nj_sim_epoch *epoch, double flux)
{
    double limit = flux_of(epoch->limit_mag) / 5, own = 0.015 * fabs(flux);
    /* The object's own light: 6.2 electrons per DN of the zero point. */
    double photons = fabs(flux) * flux_of(epoch->zero_mag) / 6.2;
    return sqrt(limit * limit + own * own + photons);
}

/* ---- what stands in the template ------------------------------------------------------------- */
static nj_sim_source *add(nj_sim_object *o, nj_sim_source s)
{
    if (o->n_sources == NJ_SIM_SOURCES_MAX) return NULL;
    o->source[o->n_sources] = s;
    return &o->source[o->n_sources++];
}

static nj_sim_source galaxy(nj_sim_rng *r, double dx, double dy, double mag_r, double size)
{
    double colour = nj_sim_between(r, 0.4, 1.1);
    return (nj_sim_source){ (float)dx,
                            (float)dy,
                            { (float)(mag_r + colour), (float)mag_r },
                            (float)size,
                            (float)nj_sim_between(r, 0.35, 1),
                            (float)nj_sim_between(r, 0, M_PI) };
}

static nj_sim_source star(nj_sim_rng *r, double dx, double dy, double mag_r)
{
    double colour = nj_sim_between(r, 0.2, 1.3);
    return (nj_sim_source){ (float)dx, (float)dy, { (float)(mag_r + colour), (float)mag_r }, 0, 1, 0 };
}

/* Stars and galaxies around, none nearer than clear_px;
 * and one outside the stamp, so that a nearest source exists. */
static void add_neighbours(nj_sim_object *o, nj_sim_rng *r, double mean, double clear_px, double brightest)
{
    unsigned n = nj_sim_poisson(r, mean);
    if (n > NJ_SIM_SOURCES_MAX - 4) n = NJ_SIM_SOURCES_MAX - 4;
    for (unsigned i = 0; i < n; i++) {
        double dx = nj_sim_between(r, -31, 31), dy = nj_sim_between(r, -31, 31);
        double mag = faintest_static + 1.6 * log(nj_sim_uniform(r));
        int is_star = nj_sim_uniform(r) < 0.55;
        double size = nj_sim_between(r, 0.6, 1.6) * (1 + (22 - mag) * 0.25);
        if (mag < brightest) mag = brightest + nj_sim_uniform(r);
        nj_sim_source s = is_star ? star(r, dx, dy, mag) : galaxy(r, dx, dy, mag, size);
        if (hypot(dx, dy) >= clear_px) add(o, s);
    }
    double away = nj_sim_between(r, 0, 2 * M_PI), far = nj_sim_between(r, 46, 60);
    add(o, star(r, far * cos(away), far * sin(away), nj_sim_between(r, 17, 21)));
}

/* ---- kinds of objects ------------------------------------------------------------------------ */
static void set_amplitude(nj_sim_object *o, double mag_r, double g_minus_r)
{
    o->amplitude[1] = flux_of(mag_r);
    o->amplitude[0] = flux_of(mag_r + g_minus_r);
}

/* A difference magnitude: few bright, many faint. */
static double amplitude_mag(nj_sim_rng *r)
{
    return 20.6 - 1.45 * -log(nj_sim_uniform(r));
}

static void make_star(nj_sim_object *o, nj_sim_rng *r)
{
    /* A bright star that does not vary and never subtracts quite clean: 1.2 % of its light. */
    double mag = nj_sim_between(r, 12.3, 15.6);
    o->kind = "residual";
    o->host = (int)o->n_sources;
    add(o, star(r, 0, 0, mag));
    set_amplitude(o, mag + 4.8, o->source[o->host].mag[0] - o->source[o->host].mag[1]);
}

static void make_variable(nj_sim_object *o, nj_sim_rng *r)
{
    static const struct {
        const char *kind;
        double share, period_lo, period_hi, range_lo, range_hi;
    } kinds[] = { { "rr_lyrae", 0.3, 0.25, 0.85, 0.4, 1.2 },
                  { "eclipsing", 0.35, 0.22, 8, 0.2, 0.9 },
                  { "long_period", 0.35, 60, 450, 0.2, 2.5 } };
    double u = nj_sim_uniform(r), peak = amplitude_mag(r);
    int k = u < 0.3 ? 0 : u < 0.65 ? 1 : 2;
    double range = nj_sim_between(r, kinds[k].range_lo, kinds[k].range_hi);
    double mag = peak + 2.5 * log10(pow(10, 0.4 * range / 2) - 1); /* so that half the range gives
                                                                    * the difference */
    o->kind = kinds[k].kind;
    o->period_day = exp(nj_sim_between(r, log(kinds[k].period_lo), log(kinds[k].period_hi)));
    o->phase = nj_sim_uniform(r);
    o->range_mag[0] = range * nj_sim_between(r, 1, 1.35);
    o->range_mag[1] = range;
    o->host = (int)o->n_sources;
    add(o, star(r, 0, 0, fmin(21, fmax(12.5, mag))));
}

static void make_galaxy(nj_sim_object *o, nj_sim_rng *r)
{
    double mag = nj_sim_between(r, 15.2, 19.6);
    o->kind = "agn";
    o->redshift = pow(10, nj_sim_between(r, -1.5, 0.0));
    o->period_day = exp(nj_sim_between(r, log(60), log(600)));
    o->phase = nj_sim_uniform(r);
    o->host = (int)o->n_sources;
    o->host_sep_arcsec = 0;
    add(o, galaxy(r, 0, 0, mag, nj_sim_between(r, 1.2, 4) * (1 + (19 - mag) * 0.15)));
    set_amplitude(o, mag + nj_sim_between(r, 0.6, 2.6), nj_sim_between(r, -0.2, 0.3));
}

/* Luminosity distance for H0 = 70, q0 = -0.55: the first terms of the series in z,
 * good to 1 % below z = 0.3. */
static double distance_modulus(double z)
{
    double mpc = 299792.458 / 70 * z * (1 + 0.775 * z - 0.25 * z * z);
    return 5 * log10(mpc) + 25;
}

typedef struct explosion {
    const char *kind;
    double until, absolute_mag, spread, colour, width_day, z_most; /* until: cumulative share */
} explosion;
static const explosion hosted[] = { { "Ia", 0.60, -19.2, 0.25, -0.05, 1.0, 0.11 },
                                    { "II", 0.85, -17.2, 0.7, 0.25, 1.0, 0.045 },
                                    { "Ibc", 0.96, -17.6, 0.5, 0.35, 0.8, 0.05 },
                                    { "TDE", 1.00, -20.0, 0.5, -0.25, 1.6, 0.14 } };
static const explosion lonely[] = { { "Ia", 0.45, -19.1, 0.3, -0.05, 1.0, 0.11 },
                                    { "SLSN", 0.75, -21.5, 0.4, -0.1, 2.2, 0.30 },
                                    { "fast", 1.00, -18.0, 0.6, -0.1, 0.25, 0.06 } };

/* Times of explosions are drawn per block of days, so that the nights of a block see the same ones. */
static const explosion *explode(nj_sim_object *o, nj_sim_rng *r, const explosion *table, int night,
                                double *peak)
{
    double u = nj_sim_uniform(r);
    const explosion *x = table;
    while (u > x->until) x++;
    o->kind = x->kind;
    o->redshift = 0.006 + (x->z_most - 0.006) * pow(nj_sim_uniform(r), 0.45);
    *peak = x->absolute_mag + x->spread * nj_sim_normal(r) + distance_modulus(o->redshift);
    o->width_day = x->width_day * nj_sim_between(r, 0.85, 1.2) * (1 + o->redshift);
    o->t0 = NJ_SIM_JD_NIGHT_0 + night / TRANSIENT_BLOCK_DAYS * TRANSIENT_BLOCK_DAYS +
            nj_sim_between(r, -45, TRANSIENT_BLOCK_DAYS + 10);
    set_amplitude(o, *peak, x->colour + 0.08 * nj_sim_normal(r));
    return x;
}

static void make_supernova(nj_sim_object *o, nj_sim_rng *r, int night)
{
    double peak;
    const explosion *x = explode(o, r, hosted, night, &peak);
    double mag = -20.3 + 1.1 * nj_sim_normal(r) + distance_modulus(o->redshift);
    double kpc_per_arcsec = 299792.458 / 70 * o->redshift / (1 + o->redshift) * 1000 / 206265;
    double size = nj_sim_lognormal(r, 3.2, 0.35) / kpc_per_arcsec / NJ_SIM_PIXEL_ARCSEC;
    if (size > 8) size = 8;
    if (mag > 21) mag = 21;
    double apart = x == &hosted[3] ? 0 : size * sqrt(-log(nj_sim_uniform(r))) * 0.9,
           angle = nj_sim_between(r, 0, 2 * M_PI);
    o->host = (int)o->n_sources;
    o->host_sep_arcsec = apart * NJ_SIM_PIXEL_ARCSEC;
    add(o, galaxy(r, apart * cos(angle), apart * sin(angle), mag, size));
}

static void make_asteroid(nj_sim_object *o, nj_sim_rng *r, const nj_sim_epoch *now)
{
    o->kind = "main_belt";
    o->only_jd = now->jd;
    set_amplitude(o, amplitude_mag(r), 0.5);
}

static void make_artefact(nj_sim_object *o, nj_sim_rng *r, const nj_sim_epoch *now)
{
    double u = nj_sim_uniform(r);
    o->only_jd = now->jd;
    o->kind = u < 0.4 ? "dipole" : u < 0.7 ? "cosmic_ray" : "bad_column";
    if (u < 0.4) {
        o->host = (int)o->n_sources;
        add(o,
            star(r, nj_sim_between(r, -0.6, 0.6), nj_sim_between(r, -0.6, 0.6), nj_sim_between(r, 13, 16)));
    }
    set_amplitude(o, amplitude_mag(r), 0);
}

/* ZTF, the year, seven letters. */
static void name_object(nj_sim_object *o, int year)
{
    uint64_t h = nj_sim_key(o->key, 3);
    int n = snprintf(o->name, sizeof o->name, "ZTF%02da", year % 100);
    for (; n < 12; n++, h /= 26) o->name[n] = (char)('a' + h % 26);
    o->name[n] = 0;
}

static void place(nj_sim_object *o, nj_sim_rng *r, const nj_sim_epoch *now)
{
    double centre_ra, centre_dec, lo = NJ_SIM_CENTRE + 2, hi = NJ_SIM_QUADRANT_PIXELS - NJ_SIM_CENTRE - 1;
    o->x = nj_sim_between(r, lo, hi);
    o->y = nj_sim_between(r, lo, hi);
    if (nj_sim_uniform(r) < cut_share) {
        double near = nj_sim_between(r, 10, 29), far = nj_sim_uniform(r) < 0.5;
        double *axis = nj_sim_uniform(r) < 0.5 ? &o->x : &o->y;
        *axis = far ? NJ_SIM_QUADRANT_PIXELS + 1 - near : near;
    }
    nj_sim_field_centre(now->field, &centre_ra, &centre_dec);
    int ccd = now->rcid / 4, q = now->rcid % 4;
    double step = NJ_SIM_QUADRANT_PIXELS * NJ_SIM_PIXEL_ARCSEC / 3600 + 0.05;
    double east = ((ccd % 4) * 2 + (q == 0 || q == 3) - 3.5) * step +
                  (o->x - NJ_SIM_QUADRANT_PIXELS / 2) * NJ_SIM_PIXEL_ARCSEC / 3600;
    double north = ((ccd / 4) * 2 + (q < 2) - 3.5) * step +
                   (o->y - NJ_SIM_QUADRANT_PIXELS / 2) * NJ_SIM_PIXEL_ARCSEC / 3600;
    o->dec = centre_dec + north;
    if (o->dec > 89.9) o->dec = 89.9;
    o->ra = fmod(centre_ra + east / cos(o->dec * M_PI / 180) + 360, 360);
}

static void make(nj_sim_object *o, nj_sim_class class, uint64_t key, const nj_sim_epoch *now, double density)
{
    nj_sim_rng r = { key, 0 };
    *o = (nj_sim_object){ .class = class,
                          .key = key,
                          .field = now->field,
                          .rcid = now->rcid,
                          .host = -1,
                          .redshift = NAN,
                          .host_sep_arcsec = NAN };
    place(o, &r, now);
    switch (class) {
    case NJ_SIM_STAR: make_star(o, &r); break;
    case NJ_SIM_VARIABLE: make_variable(o, &r); break;
    case NJ_SIM_GALAXY: make_galaxy(o, &r); break;
    case NJ_SIM_SUPERNOVA: make_supernova(o, &r, now->night); break;
    case NJ_SIM_ASTEROID: make_asteroid(o, &r, now); break;
    case NJ_SIM_HOSTLESS: {
        double peak;
        explode(o, &r, lonely, now->night, &peak);
        break;
    }
    default: make_artefact(o, &r, now); break;
    }
    if (class == NJ_SIM_HOSTLESS)
        add_neighbours(o, &r, 0.8, 16, 19);
    else if (class == NJ_SIM_ASTEROID)
        add_neighbours(o, &r, density, 7, 13);
    else
        add_neighbours(o, &r, density, 3, 13);
    int transient = class == NJ_SIM_SUPERNOVA || class == NJ_SIM_HOSTLESS || o->only_jd > 0;
    name_object(o, transient ? 2017 + (int)((now->night - 10) / 365.25) : 2017 + (int)(nj_sim_next(&r) % 3));
}

/* ---- light ----------------------------------------------------------------------------------- */
/* Fast rise, slow fall, mean near zero. */
static double pulsation(double phase)
{
    return phase < 0.18 ? -0.55 + 1.55 * phase / 0.18 : 1 - 1.55 * (phase - 0.18) / 0.82;
}

/* Out of eclipse a little above the mean; a deep and a shallow dip. */
static double eclipse(double phase)
{
    double first = fmin(phase, 1 - phase), second = fabs(phase - 0.5);
    double dip = first < 0.1 ? 1 - first / 0.1 : 0, shallow = second < 0.1 ? 0.6 * (1 - second / 0.1) : 0;
    return 0.35 - 1.35 * dip - 0.9 * shallow;
}

static double explosion_light(const nj_sim_object *o, double days, int band)
{
    double t = days / o->width_day, fall = band ? 1 : 0.75; /* g fades faster */
    if (t < -18) return 0;
    if (t < 0) return 1 - t * t / 324;
    if (o->kind[0] == 'I' && o->kind[1] == 'I')
        return t < 75 * fall ? exp(-t / (140 * fall)) : exp(-75 / 140.0 - (t - 75 * fall) / 9);
    if (o->kind[0] == 'T') return pow(1 + t / 30, -5.0 / 3);
    t /= fall;
    return 0.78 * exp(-t * t / (2 * 15.0 * 15)) + 0.22 * exp(-t / 45);
}

/* Signed difference flux against the template at a time, as 10^(-0.4 mag). */
static double object_flux(const nj_sim_object *o, double jd, int band, uint64_t epoch_key)
{
    double phase = o->period_day > 0 ? fmod((jd - 2458000) / o->period_day + o->phase, 1) : 0, shape = 0;
    nj_sim_rng r = { nj_sim_key(o->key, epoch_key), 0 };
    if (o->only_jd > 0) return fabs(jd - o->only_jd) < 1e-6 ? o->amplitude[band] : 0;
    switch (o->class) {
    case NJ_SIM_STAR: shape = nj_sim_normal(&r); break;
    case NJ_SIM_VARIABLE: /* the template holds the star at its mean magnitude */
        shape = o->kind[0] == 'r'   ? pulsation(phase)
                : o->kind[0] == 'e' ? eclipse(phase)
                                    : cos(2 * M_PI * phase);
        return flux_of(o->source[o->host].mag[band]) * (pow(10, 0.2 * o->range_mag[band] * shape) - 1);
    case NJ_SIM_GALAXY: /* a red, never repeating wander: three periods without a common one */
        shape = 0.6 * cos(2 * M_PI * phase) + 0.3 * cos(2 * M_PI * 2.7183 * phase + 1) +
                0.2 * cos(2 * M_PI * jd / (o->period_day * 0.1618));
        break;
    default: shape = explosion_light(o, jd - o->t0, band); break;
    }
    return o->amplitude[band] * shape;
}

double nj_sim_measure_flux(const nj_sim_object *object, const nj_sim_epoch *epoch, double *truth,
                           double *error)
{
    nj_sim_rng r = { nj_sim_key(nj_sim_key(object->key, epoch->key), 4), 0 };
    *truth = object_flux(object, epoch->jd, epoch->band, epoch->key);
    *error = flux_error(epoch, *truth);
    return *truth + *error * nj_sim_normal(&r);
}

void nj_sim_object_find(nj_sim_object *object, uint64_t seed, const nj_sim_epoch *now, uint32_t j)
{
    uint64_t slot =
        nj_sim_key(nj_sim_key(nj_sim_key(seed, 0x700000u + (uint64_t)now->field), (uint64_t)now->rcid), j);
    nj_sim_rng r = { slot, 0 };
    double u = nj_sim_uniform(&r), density = nj_sim_star_density(seed, now->field);
    int class = 0;
    while (class < NJ_SIM_N_CLASSES - 1 && u > class_share[class]) u -= class_share[class ++];
    int brief = class == NJ_SIM_ASTEROID || class == NJ_SIM_ARTEFACT,
        exploding = class == NJ_SIM_SUPERNOVA || class == NJ_SIM_HOSTLESS;
    uint64_t when = brief       ? (uint64_t)llround(now->jd * 1e7)
                    : exploding ? (uint64_t)(now->night / TRANSIENT_BLOCK_DAYS)
                                : 0;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        double truth, error;
        make(object, (nj_sim_class) class, nj_sim_key(nj_sim_key(slot, when), trial), now, density);
        double flux = nj_sim_measure_flux(object, now, &truth, &error);
        if (fabs(flux) > detection_sigma * error && fabs(truth) > 0.6 * detection_sigma * error &&
            (flux > 0 || !exploding))
            return;
    }
    /* A field so unlucky gets an asteroid at twice the limit. */
    make(object, NJ_SIM_ASTEROID, nj_sim_key(nj_sim_key(slot, (uint64_t)llround(now->jd * 1e7)), TRIALS), now,
         density);
    set_amplitude(object, now->limit_mag - 0.75, 0);
}
