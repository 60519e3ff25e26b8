/* curve.c - `nightjar curve`: the light curve of an object with a fit through it, as a picture. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../engine/engine.h"
#include "../engine/feed.h"
#include "../flow/run.h"
#include "../view/figure.h"
#include "command.h"
#include "nightjar/astro.h"
#include "nightjar/period.h"
#include "nightjar/phase.h"
#include "nightjar/rainbow.h"

enum { WAIT_MS = 10000, STEPS = 400, COLUMNS_PX = 1200, BANDS = 6 };

typedef struct options {
    nj_settings settings; /* first */
    const char *spec, *object, *fit, *terms, *out;
    bool overwrite;
    int64_t min_points;
    double max_frequency;
} options;

static const nj_option table[] = {
    { "object", 0, NJ_OPTION_TEXT, offsetof(options, object), "KEY",
      .doc = "object, or candid; else the first one" },
    { "fit", 0, NJ_OPTION_WORD, offsetof(options, fit), "WHAT", "none", .words = "none|rainbow|period|phase",
      .doc = "rainbow: black body and bolometric flux; period: periodogram, and folded; phase: HG1G2" },
    { "terms", 0, NJ_OPTION_TEXT, offsetof(options, terms), "B+T", "bazin+sigmoid",
      .doc = "of rainbow: sigmoid, bazin, linexp or doublexp + constant, sigmoid or delayed_sigmoid" },
    { "min-points", 0, NJ_OPTION_I64, offsetof(options, min_points), "N", "5", 4, 1e6,
      .doc = "of a band that takes part in a period" },
    { "max-frequency", 0, NJ_OPTION_F64, offsetof(options, max_frequency), "F", "22", 0.001, 1000,
      .doc = "highest frequency of a period, a day" },
    { "out", 'o', NJ_OPTION_TEXT, offsetof(options, out), "FILE",
      .doc = "the picture, SVG; else standard output" },
    { "overwrite", 0, NJ_OPTION_FLAG, offsetof(options, overwrite), .doc = "replace FILE" },
    { 0 }
};

static int curve_main(int argc, char **argv);

NJ_COMMAND(curve) = {
    .name = "curve",
    .usage = "curve [options] SOURCE [-o FILE.svg]",
    .summary = "the light curve of an object with a fit through it, as a picture",
    .help =
        "Of one alert, or of all alerts of an object: `nightjar objects --merged DIR` joins them, and SOURCE "
        "is then DIR/SURVEY.avro.\n",
    .main = curve_main,
    .options = { table, nj_options_of_settings, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "SOURCE", "as for run" }, { 0 } },
    .exits = (const nj_meaning[]){ { "2", "the source could not be read, or has no such object" },
                                   { "3", "there is no fit, or the picture cannot be written" },
                                   { 0 } },
};

/* ---- the points of an object ----------------------------------------------------------------- */

enum {
    OBJECT,
    KEY,
    JD,
    FLUX,
    ERR,
    BAND,
    SSO_JD,
    SSO_FLUX,
    SSO_ERR,
    SSO_BAND,
    RA,
    DEC,
    PHASE,
    HELIO,
    TOPO,
    WANTS
};
static const nj_want wants[WANTS] = {
    [OBJECT] = { "object", NJ_STR, NULL },
    [KEY] = { "object_key", NJ_STR, NULL },
    [JD] = { "lc.jd", NJ_F64, "d" },
    [FLUX] = { "lc.flux", NJ_F64, "nJy" },
    [ERR] = { "lc.flux_err", NJ_F64, "nJy" },
    [BAND] = { "lc.band", NJ_U8, "1" },
    [SSO_JD] = { "sso.jd", NJ_F64, "d" },
    [SSO_FLUX] = { "sso.flux", NJ_F64, "nJy" },
    [SSO_ERR] = { "sso.flux_err", NJ_F64, "nJy" },
    [SSO_BAND] = { "sso.band", NJ_U8, "1" },
    [RA] = { "sso.ra", NJ_F64, "deg" },
    [DEC] = { "sso.dec", NJ_F64, "deg" },
    [PHASE] = { "sso.phase", NJ_F64, "deg" },
    [HELIO] = { "sso.helio", NJ_F64, "au" },
    [TOPO] = { "sso.topo", NJ_F64, "au" },
};

typedef struct finding {
    const options *o;
    nj_arena arena; /* of all below */
    bool found;
    char name[128];
    uint32_t n; /* points that can take part */
    double *t, *flux, *err, *phase, *helio, *topo, *ra, *dec;
    uint8_t *band;
} finding;

static const nj_col *column_of(const nj_graph *graph, const nj_batch *b, int want)
{
    const uint32_t c = graph->want[want];
    return c >= NJ_FIRST_STAMP || !b->col[c].data ? NULL : &b->col[c];
}

static const char *text_of(const nj_graph *graph, const nj_batch *b, int want, uint32_t row)
{
    const nj_col *c = column_of(graph, b, want);
    return c ? ((const char *const *)c->data)[row] : NULL;
}

static double value_of(const nj_graph *graph, const nj_batch *b, int want, uint32_t row, uint32_t i)
{
    const nj_col *c = column_of(graph, b, want);
    return c && c->off && i < c->off[row + 1] - c->off[row] ? ((const double *)c->data)[c->off[row] + i]
                                                            : NAN;
}

static int keep(finding *f, const nj_graph *graph, const nj_batch *b, uint32_t row)
{
    const bool sso = !strcmp(f->o->fit, "phase");
    const nj_col *jd = column_of(graph, b, sso ? SSO_JD : JD),
                 *band = column_of(graph, b, sso ? SSO_BAND : BAND);
    const uint32_t n = jd && jd->off ? jd->off[row + 1] - jd->off[row] : 0;
    double **const list[] = { &f->t, &f->flux, &f->err, &f->phase, &f->helio, &f->topo, &f->ra, &f->dec };
    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        if (!(*list[k] = nj_arena_alloc(&f->arena, (n + 1) * sizeof(double)))) return -1;
    if (!(f->band = nj_arena_alloc(&f->arena, n + 1))) return -1;
    for (uint32_t i = 0; i < n && band && band->off; i++) {
        const double t = value_of(graph, b, sso ? SSO_JD : JD, row, i),
                     flux = value_of(graph, b, sso ? SSO_FLUX : FLUX, row, i),
                     err = value_of(graph, b, sso ? SSO_ERR : ERR, row, i);
        const uint8_t of = ((const uint8_t *)band->data)[band->off[row] + i];
        if (!isfinite(t) || !isfinite(flux) || !(err > 0) || of >= BANDS) continue;
        f->t[f->n] = t, f->flux[f->n] = flux, f->err[f->n] = err, f->band[f->n] = of;
        f->phase[f->n] = value_of(graph, b, PHASE, row, i);
        f->helio[f->n] = value_of(graph, b, HELIO, row, i);
        f->topo[f->n] = value_of(graph, b, TOPO, row, i);
        f->ra[f->n] = value_of(graph, b, RA, row, i);
        f->dec[f->n] = value_of(graph, b, DEC, row, i);
        if (!sso || (f->phase[f->n] >= 0 && f->helio[f->n] > 0 && f->topo[f->n] > 0 && flux > 0)) f->n++;
    }
    const char *key = text_of(graph, b, KEY, row), *object = text_of(graph, b, OBJECT, row);
    snprintf(f->name, sizeof f->name, "%s", key ? key : object ? object : "");
    return 0;
}

static int look_at(void *opaque, const nj_graph *graph, nj_batch **batch)
{
    finding *f = opaque;
    const nj_batch *b = *batch;
    for (uint32_t i = 0; i < b->n_dead; i++) nj_log(NJ_LOG_WARN, "%s", b->dead[i].reason);
    for (uint32_t row = 0; graph && row < b->n; row++) {
        const char *key = text_of(graph, b, KEY, row), *object = text_of(graph, b, OBJECT, row),
                   *asked = f->o->object;
        char id[32];
        snprintf(id, sizeof id, "%lld", (long long)b->id[row]);
        if (asked && !(key && !strcmp(key, asked)) && !(object && !strcmp(object, asked)) &&
            strcmp(id, asked))
            continue;
        f->found = true;
        return keep(f, graph, b, row) ? NJ_READ_FAILED : NJ_READ_STOPPED;
    }
    return NJ_READ_ON;
}

static int find(finding *f, options *o, nj_error *err)
{
    nj_engine engine = { 0 };
    nj_computer computer = { 0 };
    const nj_compute_options how = { .want = wants, .n_wants = WANTS, .computed = look_at, .opaque = f };
    nj_feed *feed = NULL;
    int rc = nj_engine_load(&engine, &o->settings, NULL, 0, err);
    if (!rc) rc = nj_engine_choose(&engine, "nalerthist", err); /* the adapters are all that is used */
    if (!rc) rc = nj_engine_open(&engine, "nalerthist", err);
    bool opened = !rc && !(rc = nj_computer_open(&computer, &engine, &how, err));
    if (!rc && !(feed = nj_feed_open(&o->settings, &o->spec, 1, 0, err))) rc = -1;
    while (!rc && !f->found) {
        nj_chunk *chunk = NULL;
        const nj_next next = nj_feed_next(feed, WAIT_MS, &chunk, err);
        if (next == NJ_NEXT_ERROR) rc = -1;
        if (next != NJ_NEXT_CHUNK) break;
        const int read = nj_computer_take(&computer, chunk, err);
        nj_chunk_drop(chunk);
        if (read == NJ_READ_FAILED || read == NJ_READ_NO_LAYOUT) rc = -1;
    }
    if (!rc && !f->found && nj_computer_flush(&computer, err) == NJ_READ_FAILED) rc = -1;
    if (!rc && !f->found)
        rc = nj_fail(err, "%s: %s%s", o->spec, o->object ? "no object or alert " : "no alerts",
                     o->object ? o->object : "");
    if (opened) nj_computer_close(&computer);
    nj_feed_close(feed);
    nj_engine_close(&engine);
    return rc;
}

/* ---- figures --------------------------------------------------------------------------------- */

typedef struct figure {
    nj_figure_panel panel[2];
    uint32_t n;
    char title[2][256];
    nj_error *err;
} figure;

/* n doubles; NULL with err. */
static double *room(finding *f, figure *g, size_t n)
{
    double *p = nj_arena_alloc(&f->arena, (n + 1) * sizeof *p);
    if (!p) nj_fail(g->err, "out of memory");
    return p;
}

static double first_of(const finding *f)
{
    double first = INFINITY;
    for (uint32_t i = 0; i < f->n; i++) first = fmin(first, f->t[i]);
    return floor(first);
}

static bool has_band(const finding *f, uint8_t band)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->band[i] == band) return true;
    return false;
}

/* Fluxes in uJy against days. */
static int plain_panel(finding *f, figure *g)
{
    static char label[64];
    double *x = room(f, g, f->n), *y = room(f, g, f->n), *e = room(f, g, f->n);
    const double zero = first_of(f);
    if (!x || !y || !e) return -1;
    for (uint32_t i = 0; i < f->n; i++)
        x[i] = f->t[i] - zero, y[i] = f->flux[i] / 1e3, e[i] = f->err[i] / 1e3;
    snprintf(label, sizeof label, "days after JD %.0f", zero);
    snprintf(g->title[0], sizeof g->title[0], "%s: %u points", f->name, f->n);
    g->panel[0] = (nj_figure_panel){ .title = g->title[0],
                                     .x_label = label,
                                     .y_label = "uJy",
                                     .points = { f->n, x, y, e, f->band },
                                     .mark = NAN };
    g->n = 1;
    return 0;
}

static int terms_of(const char *text, nj_rainbow *model, nj_error *err)
{
    static const char *const bolometric[] = { "sigmoid", "bazin", "linexp", "doublexp", NULL },
                             *const temperature[] = { "constant", "sigmoid", "delayed_sigmoid", NULL };
    const char *plus = strchr(text, '+');
    const size_t n = plus ? (size_t)(plus - text) : 0;
    int b = 0, t = 0;
    while (bolometric[b] && (strlen(bolometric[b]) != n || strncmp(bolometric[b], text, n))) b++;
    while (plus && temperature[t] && strcmp(temperature[t], plus + 1)) t++;
    if (!plus || !bolometric[b] || !temperature[t])
        return nj_fail(err, "--terms %s: expected such as bazin+sigmoid; `nightjar help curve` lists them",
                       text);
    model->bolometric = (nj_bolometric)b;
    model->temperature = (nj_temperature)t;
    return 0;
}

static int rainbow(finding *f, figure *g)
{
    nj_rainbow model = { .n_bands = BANDS, .wavelength = { 3671, 4827, 6223, 7546, 8691, 9712 } };
    nj_rainbow_fit fit;
    if (terms_of(f->o->terms, &model, g->err) || plain_panel(f, g)) return -1;
    nj_figure_panel *p = &g->panel[0];
    double *work = room(f, g, NJ_RAINBOW_WORK(f->n)), last = -INFINITY, low = INFINITY;
    if (!work) return -1;
    const nj_rainbow_points points = {
        .n = f->n, .t = p->points.x, .flux = p->points.y, .err = p->points.err, .band = f->band
    };
    nj_rainbow_fit_points(&model, &points, NJ_RAINBOW_STARTS, work, &fit);
    if (!fit.fitted) return nj_fail(g->err, "%s: %u points have no fit of %s", f->name, f->n, f->o->terms);
    for (uint32_t i = 0; i < f->n; i++) last = fmax(last, p->points.x[i]), low = fmin(low, p->points.x[i]);
    double *x = room(f, g, STEPS);
    for (int k = 0; x && k < STEPS; k++) x[k] = low + (last - low) * (-0.05 + 1.1 * k / (STEPS - 1));
    for (uint8_t b = 0; b < BANDS && x; b++) {
        if (!has_band(f, b)) continue;
        double *y = room(f, g, STEPS);
        uint8_t *band = nj_arena_alloc(&f->arena, STEPS);
        if (!y || !band) return nj_fail(g->err, "out of memory");
        memset(band, b, STEPS);
        nj_rainbow_flux(&model, fit.parameter, &(nj_rainbow_points){ .n = STEPS, .t = x, .band = band }, y,
                        NULL);
        p->line[p->n_lines++] = (nj_figure_line){ STEPS, x, y, b };
    }
    snprintf(g->title[0], sizeof g->title[0], "%s: %s, chi2 / dof = %.2f, reference time JD %.2f +- %.2f",
             f->name, f->o->terms, fit.chi2_dof, first_of(f) + fit.parameter[0], fit.error[0]);
    return x ? 0 : -1;
}

/* The combined power of all bands; their number. */
static int powers(finding *f, figure *g, const nj_frequencies *grid, double *all)
{
    nj_period_fft fft;
    double *t = room(f, g, f->n), *y = room(f, g, f->n), *e = room(f, g, f->n), *power = room(f, g, grid->n),
           *work = room(f, g, nj_period_fft_work(f->n)), total = 0;
    int n_bands = 0;
    if (!t || !y || !e || !power || !work) return -1;
    if (nj_period_fft_open(&fft)) return nj_fail(g->err, "out of memory");
    for (uint32_t k = 0; k < grid->n; k++) all[k] = 0;
    for (uint8_t b = 0; b < BANDS; b++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < f->n; i++)
            if (f->band[i] == b) t[n] = f->t[i], y[n] = f->flux[i], e[n++] = f->err[i];
        if (n < f->o->min_points) continue;
        const double chi2 = nj_period_power_fft(&fft, n, t, y, e, grid, work, power);
        for (uint32_t k = 0; k < grid->n; k++) all[k] += chi2 * power[k];
        total += chi2;
        n_bands++;
    }
    nj_period_fft_close(&fft);
    for (uint32_t k = 0; k < grid->n && total > 0; k++) all[k] /= total;
    return n_bands;
}

static int periodogram(finding *f, figure *g)
{
    double low = INFINITY, high = -INFINITY;
    for (uint32_t i = 0; i < f->n; i++) low = fmin(low, f->t[i]), high = fmax(high, f->t[i]);
    const double count = f->o->max_frequency * 5 * (high - low);
    if (!(count >= 10 && count < 5e6))
        return nj_fail(g->err, "%s: a span of %g d has no periodogram up to %g a day", f->name, high - low,
                       f->o->max_frequency);
    const double step = 0.2 / (high - low);
    const nj_frequencies grid = { 0.5 * step, step, (uint32_t)count };
    double *all = room(f, g, grid.n), *x = room(f, g, COLUMNS_PX), *y = room(f, g, COLUMNS_PX);
    const int n_bands = all && x && y ? powers(f, g, &grid, all) : -1;
    if (n_bands < 0) return -1;
    if (!n_bands) return nj_fail(g->err, "%s: no band has %lld points", f->name, (long long)f->o->min_points);
    uint32_t best = 0;
    for (uint32_t c = 0; c < COLUMNS_PX;
         c++) { /* the highest of the frequencies of a column of the picture */
        const uint32_t from = (uint32_t)((uint64_t)grid.n * c / COLUMNS_PX),
                       to = (uint32_t)((uint64_t)grid.n * (c + 1) / COLUMNS_PX);
        x[c] = grid.first + grid.step * from;
        y[c] = all[from];
        for (uint32_t k = from; k < to; k++) {
            y[c] = fmax(y[c], all[k]);
            if (all[k] > all[best]) best = k;
        }
    }
    const double frequency = nj_period_refine(&grid, all, best);
    snprintf(g->title[0], sizeof g->title[0], "%s: period %.6g d, power %.3f, %d bands", f->name,
             1 / frequency, all[best], n_bands);
    g->panel[0] = (nj_figure_panel){ .title = g->title[0],
                                     .x_label = "cycles per day",
                                     .y_label = "power",
                                     .line = { { COLUMNS_PX, x, y, NJ_FIGURE_GREY } },
                                     .n_lines = 1,
                                     .mark = frequency };
    double *px = room(f, g, 2 * f->n), *py = room(f, g, 2 * f->n), *pe = room(f, g, 2 * f->n);
    uint8_t *pb = nj_arena_alloc(&f->arena, 2 * (size_t)f->n + 1);
    if (!px || !py || !pe || !pb) return nj_fail(g->err, "out of memory");
    for (uint32_t i = 0; i < 2 * f->n; i++) {
        const uint32_t k = i % f->n;
        const double turn = (f->t[k] - low) * frequency;
        px[i] = turn - floor(turn) + (i >= f->n);
        py[i] = f->flux[k] / 1e3, pe[i] = f->err[k] / 1e3, pb[i] = f->band[k];
    }
    g->panel[1] = (nj_figure_panel){ .title = "folded with it, two turns",
                                     .x_label = "turns",
                                     .y_label = "uJy",
                                     .points = { 2 * f->n, px, py, pe, pb },
                                     .mark = NAN };
    g->n = 2;
    return 0;
}

static int phase_curve(finding *f, figure *g)
{
    nj_phase_fit fit;
    double *angle = room(f, g, f->n), *mag = room(f, g, f->n), *err = room(f, g, f->n),
           *ra = room(f, g, f->n), *dec = room(f, g, f->n), *work = room(f, g, NJ_PHASE_WORK(f->n)),
           *x = room(f, g, STEPS), most = 0;
    uint8_t *place = nj_arena_alloc(&f->arena, f->n + 1), of[BANDS];
    uint32_t n_bands = 0;
    if (!angle || !mag || !err || !ra || !dec || !work || !x || !place)
        return nj_fail(g->err, "out of memory");
    for (uint8_t b = 0; b < BANDS; b++) {
        for (uint32_t i = 0; i < f->n; i++)
            if (f->band[i] == b) place[i] = (uint8_t)n_bands;
        if (has_band(f, b)) of[n_bands++] = b;
    }
    for (uint32_t i = 0; i < f->n; i++) {
        mag[i] = nj_mag_of_flux(f->flux[i] / NJ_NJY_OF_MAG0) - 5 * log10(f->helio[i] * f->topo[i]);
        err[i] = NJ_MAG_PER_RELATIVE_FLUX * f->err[i] / f->flux[i];
        angle[i] = f->phase[i] * NJ_RAD_PER_DEG;
        ra[i] = f->ra[i] * NJ_RAD_PER_DEG, dec[i] = f->dec[i] * NJ_RAD_PER_DEG;
        most = fmax(most, f->phase[i]);
    }
    const nj_phase_points points = { f->n, mag, err, angle, ra, dec, place, n_bands };
    if (n_bands) nj_phase_fit_points(NJ_HG1G2, &points, false, work, &fit);
    if (!n_bands || !fit.fitted)
        return nj_fail(g->err, "%s: %u points with distances and phase angle have no HG1G2", f->name, f->n);
    nj_figure_panel *p = &g->panel[0];
    *p = (nj_figure_panel){ .title = g->title[0],
                            .x_label = "phase angle, degrees",
                            .y_label = "mag",
                            .down = true,
                            .points = { f->n, f->phase, mag, err, f->band },
                            .mark = NAN };
    int at = snprintf(g->title[0], sizeof g->title[0], "%s at 1 au: HG1G2, rms %.3f mag", f->name, fit.rms);
    for (int k = 0; k < STEPS; k++) x[k] = 1.02 * most * k / (STEPS - 1);
    for (uint32_t b = 0; b < n_bands; b++) {
        double *y = room(f, g, STEPS);
        if (!y) return -1;
        for (int k = 0; k < STEPS; k++)
            y[k] = nj_phase_mag(NJ_HG1G2, fit.parameter, b, n_bands, x[k] * NJ_RAD_PER_DEG, 0, 0);
        p->line[p->n_lines++] = (nj_figure_line){ STEPS, x, y, of[b] };
        if (at < (int)sizeof g->title[0])
            at += snprintf(g->title[0] + at, sizeof g->title[0] - (size_t)at, ", H_%c = %.3f +- %.3f",
                           "ugrizy"[of[b]], fit.parameter[3 * b], fit.error[3 * b]);
    }
    g->n = 1;
    return 0;
}

static int write_out(const options *o, const nj_buffer *text, nj_error *err)
{
    if (!o->out) return fwrite(text->data, 1, text->n, stdout) == text->n ? 0 : nj_fail(err, "%m");
    FILE *f = fopen(o->out, o->overwrite ? "w" : "wx");
    if (!f)
        return nj_fail(err, "%s: %s%s", o->out, strerror(errno),
                       errno == EEXIST ? "; --overwrite replaces it" : "");
    const bool good = fwrite(text->data, 1, text->n, f) == text->n;
    return fclose(f) || !good ? nj_fail(err, "%s: %s", o->out, strerror(errno)) : 0;
}

static int draw(finding *f, const options *o, nj_error *err)
{
    figure g = { .err = err };
    nj_buffer text = { 0 };
    int rc = !strcmp(o->fit, "rainbow")  ? rainbow(f, &g)
             : !strcmp(o->fit, "period") ? periodogram(f, &g)
             : !strcmp(o->fit, "phase")  ? phase_curve(f, &g)
                                         : plain_panel(f, &g);
    if (!rc) rc = nj_figure_write(g.panel, g.n, &text, err);
    if (!rc) rc = write_out(o, &text, err);
    nj_buffer_free(&text);
    return rc;
}

static int curve_main(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    nj_words words;
    finding f = { .o = &o };
    int rc = NJ_EXIT_USAGE;
    if (nj_run_defaults(&o.settings, &err) ||
        nj_command_parse(&nj_command_curve, &o, argc, argv, &words, &err))
        goto done;
    if (words.n != 1) {
        nj_fail(&err, "curve: one SOURCE is expected");
        goto done;
    }
    o.spec = words.item[0];
    rc = find(&f, &o, &err) ? NJ_EXIT_SOURCE : draw(&f, &o, &err) ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
done:
    if (rc) nj_log(NJ_LOG_ERROR, "%s", err.text);
    nj_arena_free(&f.arena);
    nj_settings_free(&o.settings);
    return rc;
}
