/* simulator.c - the simulator's interface: a night's alerts by number, each as packet and truth. */
#include "simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "fill.h"
#include "lsst.h"

enum { FORCED_MOST = 21 };

typedef struct survey {
    const char *name;
    const nj_sim_cadence *cadence;
    uint32_t alerts_per_exposure, most_per_exposure; /* mean (lsst: 10,000, and every 16th has
                                                      * four times as many); on average */
    int night;                                       /* when none is named */
    const char *schema[2], *encoder[2];
} survey;
static const survey surveys[] = {
    { "ztf", &nj_sim_ztf_cadence, 300, 2500, 20240315, { "3.3", "4.02" }, { "stream", "archive" } },
    { "lsst", &nj_sim_lsst_cadence, 11875, 40000, 20260315, { "11.0", "11.0" }, { "stream", "confluent" } },
};
static const double archive_share = 0.5, schema_402_share = 0.3;
static const double holes_share = 0.12, deep_holes_share = 0.05;

struct nj_simulator {
    nj_simulator_conf conf;
    const survey *survey;
    nj_sim_lsst *lsst; /* NULL = ZTF */
    nj_sim_night night;
    uint64_t next;
    nj_sim_encoder *encoder[2][2]; /* [3.3, 4.02][stream, archive] */
    nj_sim_painter *painter;
    nj_sim_record candidate, prv[NJ_SIM_EPOCHS_MAX], forced[FORCED_MOST];
    nj_sim_epoch epoch[NJ_SIM_EPOCHS_MAX];
    nj_buffer out;
};

/* Index of text in names, or 2 for a mix; -1 = neither. */
static int choice(const char *text, const char *const names[2])
{
    if (!text || !strcmp(text, "mix")) return 2;
    for (int i = 0; i < 2; i++)
        if (!strcmp(text, names[i])) return i;
    return -1;
}

static int check_names(nj_simulator *s, nj_error *err)
{
    nj_simulator_conf *c = &s->conf;
    if (!c->survey) c->survey = "ztf";
    for (size_t i = 0; i < sizeof surveys / sizeof *surveys; i++)
        if (!strcmp(c->survey, surveys[i].name)) s->survey = &surveys[i];
    const survey *v = s->survey;
    if (!v) return nj_fail(err, "simulate: no survey '%s'; there are ztf and lsst", c->survey);
    if (choice(c->schema, v->schema) < 0)
        return nj_fail(err, "simulate: no schema '%s' of %s; there are %s, %s and mix", c->schema, v->name,
                       v->schema[0], v->schema[1]);
    if (choice(c->encoder, v->encoder) < 0)
        return nj_fail(err, "simulate: no encoder '%s' of %s; there are %s and %s", c->encoder, v->name,
                       v->encoder[0], v->encoder[1]);
    return 0;
}

static int check(nj_simulator *s, int *night, nj_error *err)
{
    nj_simulator_conf *c = &s->conf;
    if (check_names(s, err)) return -1;
    if (!c->alerts) c->alerts = 1000;
    if (!c->exposures) {
        uint64_t n = c->alerts / s->survey->alerts_per_exposure;
        c->exposures = (uint32_t)(n < 4 ? 4 : n > 1u << 20 ? 1u << 20 : n);
    }
    if (c->exposures > 1u << 20) return nj_fail(err, "simulate: at most 1048576 exposures");
    if (c->alerts / c->exposures > s->survey->most_per_exposure)
        return nj_fail(err, "simulate: %u exposures are too few for %llu alerts: at most %u each",
                       c->exposures, (unsigned long long)c->alerts, s->survey->most_per_exposure);
    if (!c->night) c->night = s->survey->night;
    int year = c->night / 10000, month = c->night / 100 % 100, day = c->night % 100, back[3];
    *night = nj_sim_night_of(year, month, day);
    nj_sim_civil(*night, &back[0], &back[1], &back[2]);
    if (back[0] != year || back[1] != month || back[2] != day || *night < 400 || *night > 9999)
        return nj_fail(err, "simulate: %d is no night of the survey (YYYYMMDD, from 20180205 on)", c->night);
    return 0;
}

nj_simulator *nj_simulator_new(const nj_simulator_conf *conf, nj_error *err)
{
    int night = 0, rc = -1;
    nj_simulator *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "out of memory");
        return NULL;
    }
    s->conf = *conf;
    if (check(s, &night, err)) goto done;
    for (int v = 0; v < 2; v++)
        for (int a = 0; a < 2; a++)
            if (!(s->encoder[v][a] = nj_sim_encoder_new(surveys[0].schema[v], a, err))) goto done;
    s->painter = nj_sim_painter_new();
    if (!strcmp(s->survey->name, "lsst") && !(s->lsst = nj_sim_lsst_new(err))) goto done;
    if (!s->painter || nj_sim_night_plan(&s->night, s->survey->cadence, s->conf.seed, night, s->conf.alerts,
                                         s->conf.exposures)) {
        nj_fail(err, "out of memory");
        goto done;
    }
    rc = 0;
done:
    if (rc) {
        nj_simulator_free(s);
        s = NULL;
    }
    return s;
}

void nj_simulator_free(nj_simulator *s)
{
    if (!s) return;
    for (int v = 0; v < 2; v++)
        for (int a = 0; a < 2; a++) nj_sim_encoder_free(s->encoder[v][a]);
    nj_sim_lsst_free(s->lsst);
    if (s->painter) nj_sim_painter_free(s->painter);
    nj_sim_night_free(&s->night);
    nj_buffer_free(&s->out);
    free(s);
}

uint64_t nj_simulator_alerts(const nj_simulator *s)
{
    return s->conf.alerts;
}

/* Earlier detections and limits, oldest first, into s->prv; those of this night's first visit come last. */
static uint32_t fill_history(nj_simulator *s, const nj_sim_exposure *exposure, const nj_sim_object *o,
                             const nj_sim_epoch *now, uint32_t rank, uint32_t *n_epochs, nj_sim_context *c)
{
    uint32_t n = nj_sim_epochs_before(s->epoch, s->conf.seed, now), same_night = n;
    const nj_sim_exposure *twin = &s->night.exposure[exposure->twin];
    if (twin->jd < now->jd)
        nj_sim_epoch_fill(&s->epoch[n++], s->conf.seed, twin->jd, twin->field, now->rcid, twin->band);
    *c = (nj_sim_context){ .first_jd = NAN, .seed = s->conf.seed };
    *n_epochs = n;
    for (uint32_t i = 0; i < n; i++) {
        nj_sim_detection d;
        const nj_sim_epoch *e = &s->epoch[i];
        nj_sim_detect(&d, o, e, i >= same_night ? rank : 1 + (uint32_t)(nj_sim_key(o->key, e->key) % 60));
        if (fabs(d.flux) > 5 * d.error) {
            nj_sim_fill_detection(&s->prv[i], o, e, &d);
            if (!c->n_detections++) c->first_jd = e->jd;
        } else {
            nj_sim_fill_limit(&s->prv[i], e);
        }
    }
    return n;
}

/* The last epochs of the history, newest first, as packets of schema 4 list them. */
static uint32_t fill_forced(nj_simulator *s, const nj_sim_object *o, uint32_t n_epochs)
{
    uint32_t n = n_epochs < FORCED_MOST ? n_epochs : FORCED_MOST;
    for (uint32_t i = 0; i < n; i++) nj_sim_fill_forced(&s->forced[i], o, &s->epoch[n_epochs - 1 - i]);
    return n;
}

/* What part of a 63 pixel window about x lies on a quadrant of pixels 1..3072. */
static void window(double x, uint32_t *first, uint32_t *n)
{
    int centre = (int)lround(x), lo = centre - NJ_SIM_CENTRE, hi = centre + NJ_SIM_CENTRE,
        from = lo < 1 ? 1 : lo;
    int to = hi > NJ_SIM_QUADRANT_PIXELS ? NJ_SIM_QUADRANT_PIXELS : hi;
    *first = (uint32_t)(from - lo);
    *n = (uint32_t)(to - from + 1);
}

static void fill_scene(nj_sim_scene *scene, const nj_sim_object *o, const nj_sim_epoch *e,
                       const nj_sim_detection *d)
{
    nj_sim_rng r = { nj_sim_key(nj_sim_key(o->key, e->key), 20), 0 },
               template = { nj_sim_key(nj_sim_key((uint64_t)o->field, (uint64_t)o->rcid), 21), 0 };
    double dn = pow(10, 0.4 * e->zero_mag);
    int flawed = o->class == NJ_SIM_ARTEFACT;
    *scene = (nj_sim_scene){ .source = o->source,
                             .n_sources = o->n_sources,
                             .band = (uint32_t)e->band,
                             .zero_mag = e->zero_mag,
                             .fwhm = e->fwhm,
                             .sky = e->sky,
                             .negative = d->flux < 0,
                             .key = r.key };
    scene->fwhm_ref = (float)nj_sim_between(&template, 1.75, 2.3);
    scene->sky_ref = (float)(e->sky * nj_sim_between(&template, 0.85, 1.2));
    scene->n_frames = 15 + (uint32_t)(-2 * log(nj_sim_uniform(&template)));
    scene->flux = flawed ? 0 : (float)(d->flux * dn);
    scene->flaw = !flawed             ? NJ_SIM_CLEAN
                  : o->kind[0] == 'd' ? NJ_SIM_DIPOLE
                  : o->kind[0] == 'c' ? NJ_SIM_COSMIC_RAY
                                      : NJ_SIM_BAD_COLUMN;
    scene->flaw_flux = (float)(fabs(d->flux) * dn);
    window(d->x, &scene->first_col, &scene->cols);
    window(d->y, &scene->first_row, &scene->rows);
    scene->holes = nj_sim_uniform(&r) < holes_share;
    scene->deep_holes = scene->holes && nj_sim_uniform(&r) < deep_holes_share;
    scene->mtime = (uint32_t)((e->jd - 2440587.5) * 86400 + 700 + 300 * nj_sim_uniform(&r));
}

static void fill_truth(nj_truth *t, const nj_sim_object *o, const nj_sim_epoch *e, const nj_sim_detection *d,
                       const nj_sim_scene *scene, int n_nan)
{
    const nj_sim_source *host = o->host >= 0 ? &o->source[o->host] : NULL;
    int explodes = o->class == NJ_SIM_SUPERNOVA || o->class == NJ_SIM_HOSTLESS;
    *t = (nj_truth){ .candid = d->candid,
                     .class = nj_sim_class_names[o->class],
                     .kind = o->kind,
                     .jd = e->jd,
                     .ra = o->ra,
                     .dec = o->dec,
                     .band = e->band ? "r" : "g",
                     .positive = d->flux > 0,
                     .mag = -2.5 * log10(fabs(d->truth)),
                     .snr = fabs(d->truth) / d->error,
                     .redshift = o->redshift,
                     .host_sep_arcsec = o->host_sep_arcsec,
                     .host_mag = host ? host->mag[e->band] : NAN,
                     .period_day = o->class == NJ_SIM_VARIABLE ? o->period_day : NAN,
                     .t0_jd = explodes ? o->t0 : NAN,
                     .rows = (int)scene->rows,
                     .cols = (int)scene->cols,
                     .n_nan = n_nan };
    memcpy(t->object, o->name, sizeof o->name);
}

static void name_stamps(nj_sim_packet *p, const nj_sim_epoch *e, const nj_sim_detection *d)
{
    long long candid = (long long)d->candid, pid = (long long)e->pid;
    snprintf(p->stamp[0].name, sizeof p->stamp[0].name, "candid%lld_pid%lld_targ_sci.fits.gz", candid, pid);
    snprintf(p->stamp[1].name, sizeof p->stamp[1].name, "candid%lld_ref.fits.gz", candid);
    snprintf(p->stamp[2].name, sizeof p->stamp[2].name, "candid%lld_pid%lld_targ_%s.fits.gz", candid, pid,
             d->flux > 0 ? "scimref" : "refmsci");
}

/* LSST: the same objects on other sensors, in other packets. */
static int make_lsst(nj_simulator *s, const nj_sim_exposure *exposure, uint32_t j, nj_sim_object *object,
                     const nj_sim_epoch *now, nj_simulated *alert)
{
    const nj_sim_exposure *twin = &s->night.exposure[exposure->twin];
    nj_sim_lsst_alert a = { .object = object,
                            .now = now,
                            .history = s->epoch,
                            .visit_index = exposure->index,
                            .j = j,
                            .first_visit_index = twin->index,
                            .seed = s->conf.seed,
                            .confluent = choice(s->conf.encoder, s->survey->encoder) == 1 };
    nj_sim_lsst_place(object, now);
    nj_sim_detect(&a.detection, object, now, 0);
    a.n_history = a.same_night = nj_sim_epochs_before(s->epoch, s->conf.seed, now);
    if (twin->jd < now->jd)
        nj_sim_epoch_fill(&s->epoch[a.n_history++], s->conf.seed, twin->jd, twin->field, now->rcid,
                          twin->band);
    fill_truth(&alert->truth, object, now, &a.detection, &(nj_sim_scene){ 0 }, 0);
    s->out.n = 0;
    nj_sim_lsst_make(s->lsst, &a, &s->out, &alert->truth);
    if (s->out.failed) return -1;
    alert->bytes = (const uint8_t *)s->out.data;
    alert->size = s->out.n;
    snprintf(alert->member, sizeof alert->member, "%lld.%s", (long long)alert->truth.candid,
             a.confluent ? "msg" : "avro");
    return 1;
}

int nj_simulator_make(nj_simulator *s, uint64_t i, nj_simulated *alert)
{
    const nj_sim_exposure *exposure = nj_sim_night_find(&s->night, i);
    uint32_t j = (uint32_t)(i - exposure->first), rank, n_epochs;
    int rcid = nj_sim_quadrant(&s->night, exposure, j, &rank);
    nj_sim_epoch now;
    nj_sim_object object;
    nj_sim_detection d;
    nj_sim_context past;
    nj_sim_scene scene;
    nj_sim_measured measured;
    const uint8_t *packed[3];
    size_t n_packed[3];

    nj_sim_epoch_fill(&now, s->conf.seed, exposure->jd, exposure->field, rcid, exposure->band);
    nj_sim_object_find(&object, s->conf.seed, &now, rank);
    if (s->lsst) return make_lsst(s, exposure, j, &object, &now, alert);
    nj_sim_detect(&d, &object, &now, rank + 1);
    nj_sim_packet p = { .object = object.name,
                        .candid = d.candid,
                        .candidate = &s->candidate,
                        .prv = s->prv,
                        .forced = s->forced,
                        .key = nj_sim_key(object.key, now.key) };
    p.n_prv = fill_history(s, exposure, &object, &now, rank + 1, &n_epochs, &past);
    fill_scene(&scene, &object, &now, &d);
    nj_sim_paint(s->painter, &scene, packed, n_packed, &measured);
    nj_sim_fill_candidate(&s->candidate, &object, &now, &d, &past, &measured);
    name_stamps(&p, &now, &d);
    for (int k = 0; k < 3; k++) p.stamp[k].data = packed[k], p.stamp[k].n = n_packed[k];

    /* One encoder and one release of the schema for all alerts of an exposure. */
    nj_sim_rng r = { nj_sim_key(nj_sim_key(s->conf.seed, 0x900000u), exposure->index), 0 };
    int archive = choice(s->conf.encoder, s->survey->encoder),
        v402 = choice(s->conf.schema, s->survey->schema);
    double u = nj_sim_uniform(&r), v = nj_sim_uniform(&r);
    if (archive == 2) archive = u < archive_share;
    if (v402 == 2) v402 = v < schema_402_share;
    if (v402) p.n_forced = fill_forced(s, &object, n_epochs);
    s->out.n = 0;
    nj_sim_encode(s->encoder[v402][archive], &p, &s->out);
    if (s->out.failed) return -1;

    alert->bytes = (const uint8_t *)s->out.data;
    alert->size = s->out.n;
    snprintf(alert->member, sizeof alert->member, "%lld.avro", (long long)d.candid);
    fill_truth(&alert->truth, &object, &now, &d, &scene, measured.n_nan);
    alert->truth.schema = s->survey->schema[v402];
    alert->truth.encoder = s->survey->encoder[archive];
    return 1;
}

int nj_simulator_next(nj_simulator *s, nj_simulated *alert)
{
    if (s->next >= s->conf.alerts) return 0;
    return nj_simulator_make(s, s->next++, alert);
}

/* ---- truth.csv ------------------------------------------------------------------------------- */
void nj_truth_heading(FILE *to)
{
    fputs("candid,object,class,kind,jd,band,ra,dec,positive,mag,snr,redshift,host_sep_arcsec,host_mag,period_"
          "day,t0_jd,rows,cols,"
          "n_nan,"
          "schema,encoder\n",
          to);
}

static void put(FILE *to, const char *format, double value)
{
    if (isfinite(value)) fprintf(to, format, value);
    fputc(',', to);
}

void nj_truth_line(FILE *to, const nj_truth *t)
{
    fprintf(to, "%lld,%s,%s,%s,%.7f,%s,%.7f,%.7f,%d,", (long long)t->candid, t->object, t->class, t->kind,
            t->jd, t->band, t->ra, t->dec, t->positive);
    put(to, "%.4f", t->mag);
    put(to, "%.2f", t->snr);
    put(to, "%.5f", t->redshift);
    put(to, "%.3f", t->host_sep_arcsec);
    put(to, "%.3f", t->host_mag);
    put(to, "%.6f", t->period_day);
    put(to, "%.3f", t->t0_jd);
    fprintf(to, "%d,%d,%d,%s,%s\n", t->rows, t->cols, t->n_nan, t->schema, t->encoder);
}
