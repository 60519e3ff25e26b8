/* fill.c - a simulated object becomes the fields of a ZTF packet here, apart from the encoding of the
 * packet. */
#include "fill.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define F(field, value) r->v[C_##field].f = (value)
#define I(field, value) r->v[C_##field].i = (value)
#define S(field, value) r->v[C_##field].s = (value)
#define P(field, value) r->v[FP_##field].f = (value)
#define Q(field, value) r->v[FP_##field].i = (value)

static const double missing = -999.0;
static const char *const real_bogus_version = "t17_f5_c3", *const deep_version = "d6_m7";

/* Days to dates in the proleptic Gregorian calendar; E. G.
 * Richards (2013), Explanatory Supplement, ch. 15. */
void nj_sim_civil(int night, int *year, int *month, int *day)
{
    int jdn = night + 2457755, f = jdn + 1401 + (((4 * jdn + 274277) / 146097) * 3) / 4 - 38, e = 4 * f + 3;
    int g = (e % 1461) / 4, h = 5 * g + 2;
    *day = (h % 153) / 5 + 1;
    *month = (h / 153 + 2) % 12 + 1;
    *year = e / 1461 - 4716 + (14 - *month) / 12;
}

int nj_sim_night_of(int year, int month, int day)
{
    int a = (14 - month) / 12, y = year + 4800 - a, m = month + 12 * a - 3;
    return day + (153 * m + 2) / 5 + 365 * y + y / 4 - y / 100 + y / 400 - 32045 - 2457755;
}

static double rounded(double x, double step)
{
    return round(x / step) * step;
}

/* ---- an epoch -------------------------------------------------------------------------------- */
static void fill_file(nj_sim_record *r, const nj_sim_epoch *e, int archived)
{
    int year, month, day;
    char date[24], folder[48] = "";
    nj_sim_civil(e->night, &year, &month, &day);
    unsigned frac = (unsigned)((e->jd - NJ_SIM_JD_NIGHT_0 - e->night) * 1e6) % 1000000,
             sensor = (unsigned)e->rcid % 256;
    snprintf(date, sizeof date, "%04u%02u%02u", (unsigned)year % 10000, (unsigned)month % 100,
             (unsigned)day % 100);
    if (archived) snprintf(folder, sizeof folder, "/ztf/archive/sci/%.4s/%.4s/%06u/", date, date + 4, frac);
    snprintf(r->file, sizeof r->file, "%sztf_%.8s%06u_%06u_%s_c%02u_o_q%u_scimrefdiffimg.fits%s", folder,
             date, frac, (unsigned)e->field % 1000000, e->band ? "zr" : "zg", sensor / 4 + 1, sensor % 4 + 1,
             archived ? ".fz" : "");
    S(pdiffimfilename, r->file);
}

static void fill_epoch(nj_sim_record *r, const nj_sim_epoch *e, int archived)
{
    F(jd, e->jd);
    I(fid, e->band + 1);
    I(pid, e->pid);
    F(diffmaglim, e->limit_mag);
    fill_file(r, e, archived);
    S(programpi, "Kulkarni");
    I(programid, 1);
    I(nid, e->night);
    I(rcid, e->rcid);
    I(field, e->field);
    F(magzpsci, e->zero_mag);
    F(magzpsciunc, e->zero_mag_unc);
    F(magzpscirms, e->zero_mag_rms);
    F(clrcoeff, e->colour_coeff);
    F(clrcounc, e->colour_unc);
    S(rbversion, real_bogus_version);
}

void nj_sim_fill_limit(nj_sim_record *r, const nj_sim_epoch *e)
{
    /* All that belongs to a source rather than to the exposure. */
    static const uint8_t without[] = {
        C_candid,     C_isdiffpos, C_tblid,       C_xpos,   C_ypos,     C_ra,        C_dec,
        C_magpsf,     C_sigmapsf,  C_chipsf,      C_magap,  C_sigmagap, C_distnr,    C_magnr,
        C_sigmagnr,   C_chinr,     C_sharpnr,     C_sky,    C_magdiff,  C_fwhm,      C_classtar,
        C_mindtoedge, C_seeratio,  C_magfromlim,  C_aimage, C_bimage,   C_aimagerat, C_bimagerat,
        C_elong,      C_nneg,      C_nbad,        C_rb,     C_ssdistnr, C_ssmagnr,   C_ssnamenr,
        C_sumrat,     C_magapbig,  C_sigmagapbig, C_ranr,   C_decnr,    C_scorr
    };
    memset(r->null, 0, sizeof r->null);
    fill_epoch(r, e, 1);
    for (size_t i = 0; i < sizeof without; i++) r->null[without[i]] = 1;
}

/* ---- a detection ----------------------------------------------------------------------------- */
void nj_sim_detect(nj_sim_detection *d, const nj_sim_object *o, const nj_sim_epoch *e, uint32_t rank)
{
    d->flux = nj_sim_measure_flux(o, e, &d->truth, &d->error);
    double border = fmin(fmin(o->x, o->y), NJ_SIM_QUADRANT_PIXELS + 1 - fmax(o->x, o->y));
    double room = border < 70 ? 0 : 1; /* near a border the pointing is taken as exact,
                                        * so that a cut stamp stays one */
    d->x = o->x + room * fmax(-30, fmin(30, e->dither_x));
    d->y = o->y + room * fmax(-30, fmin(30, e->dither_y));
    d->rank = rank;
    d->candid = e->pid * 1000000 + (d->flux > 0 ? 15000 : 10000) + rank;
}

/* The source of the template that lies nearest, in the pixels of the stamp. */
static const nj_sim_source *nearest(const nj_sim_object *o, double *distance)
{
    const nj_sim_source *best = &o->source[0];
    for (uint32_t i = 1; i < o->n_sources; i++)
        if (hypot(o->source[i].dx, o->source[i].dy) < hypot(best->dx, best->dy)) best = &o->source[i];
    *distance = hypot(best->dx, best->dy);
    return best;
}

static void offset(double ra, double dec, double dx_px, double dy_px, double *ra_out, double *dec_out)
{
    *dec_out = dec + dy_px * NJ_SIM_PIXEL_ARCSEC / 3600;
    *ra_out = fmod(ra + dx_px * NJ_SIM_PIXEL_ARCSEC / 3600 / cos(dec * M_PI / 180) + 360, 360);
}

static void fill_nearest(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e, nj_sim_rng *g)
{
    double distance, ra, dec;
    const nj_sim_source *s = nearest(o, &distance);
    int galaxy = s->size > 0;
    offset(o->ra, o->dec, s->dx, s->dy, &ra, &dec);
    F(distnr, fmax(0.01, distance + 0.06 * nj_sim_normal(g)));
    F(magnr, rounded(s->mag[e->band], 1e-3));
    F(sigmagnr, rounded(0.009 + 0.3 * pow(10, 0.4 * (s->mag[e->band] - 22.5)), 1e-3));
    F(chinr, galaxy ? nj_sim_between(g, 0.9, 6) : nj_sim_between(g, 0.3, 1.1));
    F(sharpnr, galaxy ? nj_sim_between(g, 0.08, 0.6) : 0.02 * nj_sim_normal(g));
    F(ranr, rounded(ra, 1e-7));
    F(decnr, rounded(dec, 1e-7));
}

static void fill_shape(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e, nj_sim_rng *g,
                       double snr)
{
    int sharp = o->class == NJ_SIM_ARTEFACT && o->kind[0] == 'c', flawed = o->class == NJ_SIM_ARTEFACT;
    double fwhm =
        sharp ? nj_sim_between(g, 1.0, 1.5) : e->fwhm * (1.05 + (0.05 + 0.5 / snr) * nj_sim_normal(g));
    double elong =
        flawed ? nj_sim_between(g, 1.15, 2.4) : 1 + fabs(0.02 + (0.04 + 0.4 / snr) * nj_sim_normal(g));
    if (fwhm < 0.9) fwhm = 0.9;
    double a = 0.32 * fwhm * (1 + 0.05 * nj_sim_normal(g)), b = a / elong;
    F(fwhm, rounded(fwhm, 1e-2));
    F(classtar, flawed ? nj_sim_between(g, 0.1, 0.9) : 1 - 0.03 * -log(nj_sim_uniform(g)));
    F(seeratio, e->fwhm / fwhm);
    F(aimage, rounded(a, 1e-3));
    F(bimage, rounded(b, 1e-3));
    F(aimagerat, a / fwhm);
    F(bimagerat, b / fwhm);
    F(elong, elong);
    F(chipsf, flawed ? nj_sim_lognormal(g, 9, 0.8) : nj_sim_lognormal(g, 1.0 + snr * snr / 400, 0.35));
}

static void fill_scores(nj_sim_record *r, const nj_sim_object *o, nj_sim_rng *g, double snr)
{
    int flawed = o->class == NJ_SIM_ARTEFACT;
    double x = flawed ? -1.3 + 0.7 * nj_sim_normal(g) : 0.7 + 0.5 * log(snr / 5) + 0.75 * nj_sim_normal(g);
    F(rb, rounded(1 / (1 + exp(-x)), 1.0 / 700));
    double depth = flawed ? 0 : 3.4 + 0.8 * log(snr / 8) + 1.1 * nj_sim_normal(g);
    F(drb, flawed ? pow(10, -0.4 - 1.4 * fabs(nj_sim_normal(g))) : 1 - fmin(0.95, pow(10, -depth)));
}

static void fill_photometry(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                            const nj_sim_detection *d, nj_sim_rng *g)
{
    double snr = fabs(d->flux) / d->error, mag = -2.5 * log10(fabs(d->flux)), sigma = 1.0857 / snr, ra, dec;
    double ap = mag + 0.7 * sigma * nj_sim_normal(g) - 0.02,
           big = mag + 0.9 * sigma * nj_sim_normal(g) - 0.02;
    offset(o->ra, o->dec, 0.4 * e->fwhm / snr * nj_sim_normal(g), 0.4 * e->fwhm / snr * nj_sim_normal(g), &ra,
           &dec);
    I(candid, d->candid);
    S(isdiffpos, d->flux > 0 ? "t" : "f");
    I(tblid, d->rank);
    F(xpos, rounded(d->x, 1e-3));
    F(ypos, rounded(d->y, 1e-3));
    F(ra, rounded(ra, 1e-7));
    F(dec, rounded(dec, 1e-7));
    F(magpsf, mag);
    F(sigmapsf, sigma);
    F(magap, rounded(ap, 1e-4));
    F(sigmagap, rounded(1.15 * sigma, 1e-4));
    F(sky, 0.5 * nj_sim_normal(g));
    F(magdiff, ap - mag);
    F(mindtoedge, fmin(fmin(d->x, d->y), NJ_SIM_QUADRANT_PIXELS + 1 - fmax(d->x, d->y)));
    F(magfromlim, e->limit_mag - ap);
    I(nneg, (int64_t)fmax(0, 5 - snr / 3 + 1.5 * nj_sim_normal(g)));
    I(nbad, 0);
    F(sumrat, fmin(1, 1 - 0.35 / snr * fabs(nj_sim_normal(g)) * 5));
    F(magapbig, rounded(big, 1e-4));
    F(sigmagapbig, rounded(1.4 * sigma, 1e-4));
    /* A matched filter is limited by the sky, not by the photons of the source itself. */
    F(scorr, fmax(5, rounded(5 * fabs(d->flux) / pow(10, -0.4 * e->limit_mag) * (1 + 0.03 * nj_sim_normal(g)),
                             1e-6)));
    fill_nearest(r, o, e, g);
    fill_shape(r, o, e, g, snr);
    fill_scores(r, o, g, snr);
}

void nj_sim_fill_detection(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                           const nj_sim_detection *d)
{
    nj_sim_rng g = { nj_sim_key(nj_sim_key(o->key, e->key), 5), 0 };
    memset(r->null, 0, sizeof r->null);
    fill_epoch(r, e, 1);
    fill_photometry(r, o, e, d, &g);
    F(magpsf, rounded(r->v[C_magpsf].f, 1e-4)); /* the archive keeps four digits */
    F(sigmapsf, rounded(r->v[C_sigmapsf].f, 1e-6));
    r->null[C_ssdistnr] = r->null[C_ssmagnr] = r->null[C_ssnamenr] = 1;
}

/* ---- catalogues around the candidate --------------------------------------------------------- */
static void fill_ps1(nj_sim_record *r, const nj_sim_object *o, nj_sim_rng *g)
{
    static const struct {
        int g, r, i, z, score, distance, id;
    } slot[3] = { { C_sgmag1, C_srmag1, C_simag1, C_szmag1, C_sgscore1, C_distpsnr1, C_objectidps1 },
                  { C_sgmag2, C_srmag2, C_simag2, C_szmag2, C_sgscore2, C_distpsnr2, C_objectidps2 },
                  { C_sgmag3, C_srmag3, C_simag3, C_szmag3, C_sgscore3, C_distpsnr3, C_objectidps3 } };
    uint8_t order[NJ_SIM_SOURCES_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_sources; i++) {
        double at = hypot(o->source[i].dx, o->source[i].dy);
        if (at * NJ_SIM_PIXEL_ARCSEC > 30) continue;
        uint32_t k = n++;
        for (; k && hypot(o->source[order[k - 1]].dx, o->source[order[k - 1]].dy) > at; k--)
            order[k] = order[k - 1];
        order[k] = (uint8_t)i;
    }
    I(nmtchps, n);
    for (uint32_t k = 0; k < 3; k++) {
        const nj_sim_source *s = k < n ? &o->source[order[k]] : NULL;
        double mag_g = s ? s->mag[0] : missing, mag_r = s ? s->mag[1] : missing, colour = mag_g - mag_r;
        double hazy = s && mag_r > 21 ? 0.5 : 0, score = s && s->size > 0
                                                             ? 0.02 * -log(nj_sim_uniform(g))
                                                             : 1 - 0.015 * -log(nj_sim_uniform(g));
        double mags[4] = { mag_g, mag_r, mag_r - 0.35 * colour, mag_r - 0.5 * colour };
        int at[4] = { slot[k].g, slot[k].r, slot[k].i, slot[k].z };
        double deepest[4] = { 22.0, 21.9, 21.8, 21.2 };
        for (int b = 0; b < 4; b++) /* too faint, or lost among the flags of the survey */
            r->v[at[b]].f = s && mags[b] < deepest[b] + 0.3 * nj_sim_normal(g) && nj_sim_uniform(g) > 0.05
                                ? rounded(mags[b], 1e-4)
                                : missing;
        r->v[slot[k].score].f = !s ? missing : nj_sim_uniform(g) < hazy ? 0.5 : fmax(0, fmin(1, score));
        r->v[slot[k].distance].f =
            s ? hypot(s->dx + 0.12 * nj_sim_normal(g), s->dy + 0.12 * nj_sim_normal(g)) * NJ_SIM_PIXEL_ARCSEC
              : missing;
        r->v[slot[k].id].i = s ? (int64_t)((o->dec + 90) * 120) * 10000000000000 +
                                     (int64_t)(o->ra * 1e6) * 10000 +
                                     (int64_t)(nj_sim_key(o->key, order[k]) % 10000)
                               : -999;
    }
}

static void fill_gaia(nj_sim_record *r, const nj_sim_object *o, double density, nj_sim_rng *g)
{
    double best = 90, mag = missing;
    for (uint32_t i = 0; i < o->n_sources; i++) {
        const nj_sim_source *s = &o->source[i];
        double at = hypot(s->dx, s->dy) * NJ_SIM_PIXEL_ARCSEC;
        if (s->size > 0 || s->mag[1] > 20.3 || at >= best) continue;
        best = at;
        mag = s->mag[1] - 0.1;
    }
    best = hypot(best, 0.08 * nj_sim_normal(g)); /* no two catalogues agree to less */
    F(neargaia, mag > 0 ? best : missing);
    F(maggaia, mag);
    int bright = mag > 0 && mag < 14;
    int other = !bright && nj_sim_uniform(g) < 1 - exp(-0.22 * density);
    F(neargaiabright, bright ? best : other ? 90 * sqrt(nj_sim_between(g, 0.2, 1)) : missing);
    F(maggaiabright, bright ? mag : other ? 14 + 1.2 * log(nj_sim_uniform(g)) : missing);
}

static void fill_asteroid(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                          const nj_sim_detection *d, nj_sim_rng *g, char *room, size_t n)
{
    int known = o->class == NJ_SIM_ASTEROID && nj_sim_uniform(g) < 0.9;
    int passer_by = o->class != NJ_SIM_ASTEROID && nj_sim_uniform(g) < 0.015;
    F(ssdistnr, known       ? floor(fabs(0.8 * nj_sim_normal(g)))
                : passer_by ? floor(nj_sim_between(g, 3, 30))
                            : missing);
    F(ssmagnr,
      known ? rounded(-2.5 * log10(fabs(d->flux)) + 0.25 * nj_sim_normal(g) + (e->band ? 0.3 : -0.2), 0.1)
      : passer_by ? rounded(nj_sim_between(g, 17, 22), 0.1)
                  : missing);
    snprintf(room, n, "null");
    if (known || passer_by) snprintf(room, n, "%u", 100 + (unsigned)(nj_sim_key(o->key, 6) % 540000));
    S(ssnamenr, room);
}

static void fill_past(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                      const nj_sim_context *c, nj_sim_rng *g)
{
    nj_sim_rng place = { nj_sim_key(nj_sim_key(c->seed, 0x800000u + (uint64_t)e->field), (uint64_t)e->rcid),
                         0 };
    double covered = nj_sim_lognormal(&place, 1000, 0.7), share = 0,
           frames = 15 + -2 * log(nj_sim_uniform(&place));
    I(ncovhist, 20 + (int64_t)covered);
    if (o->class == NJ_SIM_VARIABLE) share = 0.5 * nj_sim_uniform(g) * nj_sim_uniform(g);
    if (o->class == NJ_SIM_STAR) share = 0.08 * nj_sim_uniform(g);
    if (o->class == NJ_SIM_GALAXY) share = 0.25 * nj_sim_uniform(g);
    I(ndethist, 1 + (int64_t)c->n_detections + (int64_t)(share * covered));
    double first = share * covered >= 1 ? 2458080 + nj_sim_between(g, 0, 400)
                   : isnan(c->first_jd) ? e->jd
                                        : c->first_jd;
    F(jdstarthist, rounded(fmin(first, e->jd), 1e-7));
    F(jdendhist, e->jd);
    double start = 2458170 + floor(nj_sim_between(&place, 0, 150));
    F(jdstartref, start + 0.8746);
    F(jdendref, start + floor(nj_sim_between(&place, 25, 90)) + 0.9441);
    I(nframesref, (int64_t)frames);
    I(rfid, (int64_t)e->field * 1000000 + 120000 + (e->band + 1) * 100 + e->rcid);
    I(tooflag, 0);
}

static void fill_calibration(nj_sim_record *r, const nj_sim_epoch *e, double density)
{
    nj_sim_rng g = { nj_sim_key(e->key, 7), 0 };
    I(nmatches, 60 + (int64_t)(280 * density * nj_sim_between(&g, 0.7, 1.3)));
    F(zpclrcov, -e->zero_mag_unc * nj_sim_between(&g, 0.9, 1.3));
    F(zpmed, rounded(e->zero_mag + 0.04 * nj_sim_normal(&g), 1e-3));
    F(clrmed, rounded(nj_sim_between(&g, 0.5, 0.85), 1e-3));
    F(clrrms, nj_sim_between(&g, 0.15, 0.33));
    F(exptime, 30);
}

void nj_sim_fill_candidate(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e,
                           const nj_sim_detection *d, const nj_sim_context *c,
                           const nj_sim_measured *measured)
{
    nj_sim_rng g = { nj_sim_key(nj_sim_key(o->key, e->key), 5), 0 },
               more = { nj_sim_key(nj_sim_key(o->key, e->key), 8), 0 };
    double density = nj_sim_star_density(c->seed, e->field), snr = fabs(d->flux) / d->error;
    memset(r->null, 0, sizeof r->null);
    fill_epoch(r, e, 0);
    fill_photometry(r, o, e, d, &g);
    char *room = r->file + sizeof r->file - 12;
    fill_asteroid(r, o, e, d, &more, room, 12);
    fill_ps1(r, o, &more);
    fill_gaia(r, o, density, &more);
    fill_past(r, o, e, c, &more);
    fill_calibration(r, e, density);
    I(nneg, measured->n_negative);
    F(sumrat, measured->sum_ratio);
    F(dsnrms, measured->peak_sigma);
    F(ssnrms, fmax(measured->peak_sigma, snr) * nj_sim_between(&more, 1.3, 2.2));
    F(dsdiff, r->v[C_dsnrms].f - r->v[C_ssnrms].f);
    S(drbversion, deep_version);
}

/* ---- forced photometry ----------------------------------------------------------------------- */
void nj_sim_fill_forced(nj_sim_record *r, const nj_sim_object *o, const nj_sim_epoch *e)
{
    static const double unmeasured = -99999.0;
    nj_sim_rng g = { nj_sim_key(nj_sim_key(o->key, e->key), 9), 0 };
    double u = nj_sim_uniform(&g), truth, error, flux = nj_sim_measure_flux(o, e, &truth, &error),
           dn = pow(10, 0.4 * e->zero_mag), ra, dec;
    int failed = u<0.43, source = u> 0.61; /* shares as measured in real packets */
    const nj_sim_source *s = nearest(o, &truth);
    memset(r->null, 0, sizeof r->null);
    Q(field, e->field);
    Q(rcid, e->rcid);
    Q(fid, e->band + 1);
    Q(pid, e->pid);
    Q(rfid, (int64_t)e->field * 1000000 + 120000 + (e->band + 1) * 100 + e->rcid);
    P(sciinpseeing, e->fwhm);
    P(scibckgnd, e->sky);
    P(scisigpix, nj_sim_sky_sigma(e->sky) * 1.1);
    P(magzpsci, e->zero_mag);
    P(magzpsciunc, e->zero_mag_unc);
    P(magzpscirms, e->zero_mag_rms);
    P(clrcoeff, e->colour_coeff);
    P(clrcounc, e->colour_unc);
    P(exptime, 30);
    P(adpctdif1, 0.083 * (1 + 0.15 * nj_sim_normal(&g)));
    P(adpctdif2, 0.084 * (1 + 0.13 * nj_sim_normal(&g)));
    P(diffmaglim, e->limit_mag);
    Q(programid, 1);
    P(jd, e->jd);
    P(forcediffimflux, failed ? unmeasured : flux * dn);
    P(forcediffimfluxunc, failed ? unmeasured : error * dn);
    r->v[FP_procstatus].s = failed ? "61" : u > 0.97 ? "56" : u > 0.95 ? "55" : "0";
    offset(o->ra, o->dec, s->dx, s->dy, &ra, &dec);
    P(distnr, source ? hypot(s->dx, s->dy) * NJ_SIM_PIXEL_ARCSEC : unmeasured);
    P(ranr, source ? rounded(ra, 1e-7) : unmeasured);
    P(decnr, source ? rounded(dec, 1e-7) : unmeasured);
    P(magnr, source ? rounded(s->mag[e->band], 1e-3) : unmeasured);
    P(sigmagnr, source ? rounded(0.009 + 0.3 * pow(10, 0.4 * (s->mag[e->band] - 22.5)), 1e-3) : unmeasured);
    P(chinr, source ? (s->size > 0 ? 2.1 : 0.6) : unmeasured);
    P(sharpnr, source ? (s->size > 0 ? 0.31 : -0.01) : unmeasured);
}
