/* hostless.c - transients without a visible host: a source in one of science and template alone, and how
 * much either stamp looks like noise.
 *
 * Method (Pessi et al. 2024, arXiv 2404.18165, as Fink runs it). Both stamps are sigma-clipped; when one of
 * them has masked pixels (a source) and the other has next to none, in the whole stamp (stage 1) or in its
 * central 14 x 14 pixels (stage 2), the alert is a candidate. For candidates alone, the power spectrum of
 * either stamp is compared with those of 200 shuffles of its pixels: ks_* is a Kolmogorov-Smirnov statistic,
 * small when the stamp cannot be distinguished from noise.
 * Reading it: candidate is no verdict. Of the candidates of an ordinary night most are asteroids and bad
 * subtractions; the columns clipped_*, lone, n_bad and the topics show it.
 *
 * Differences from the Python: the random numbers are keyed on the alert (rng = numpy brings the old stream
 * back); D is one draw of a random variable, so repeats = R takes the mean over R draws and gives their
 * standard deviation. The side of the stamps is the survey's to say (column stamp_px, a line of its map): the
 * rules are the same for any side from 14 to 63, and larger stamps are cropped to it. Where it is 30, those
 * of Rubin's variant hold: one clip, at most 20 masked pixels in the template, the raw centre clipped afresh,
 * and the spectrum of the whole stamp. */
#include <stdlib.h>
#include <string.h>

#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/list.h"
#include "nightjar/lone_source.h"
#include "nightjar/motion.h"

enum { SCIENCE = NJ_LONE_SCIENCE, TEMPLATE = NJ_LONE_TEMPLATE, IMAGES = NJ_LONE_STAMPS };
enum { STAMP_PX = IMAGES };
/* needs behind these, with gate = 1 alone: ZTF's gate, Rubin's gate */
enum { JD = STAMP_PX + 1, JDSTARTHIST, MAG, SNIA, SN, EARLY, KILONOVA, ROID, LABEL, TNS };
enum { NOW = STAMP_PX + 1, FIRST, N_SOURCES, SSO, FLUX, TEMPLATE_FLUX, TEMPLATE_ERR, LC_JD, RA, DEC, MATCH };
enum { MAX_MATCHES = 8 };
enum {
    CANDIDATE,
    STAGE,
    LONE,
    CLIPPED_SCIENCE,
    CLIPPED_TEMPLATE,
    KS_SCIENCE,
    KS_TEMPLATE,
    KS_SCIENCE_SD,
    KS_TEMPLATE_SD,
    N_NAN,
    N_BAD,
    VERDICT,
    VERDICT_REASON
};
enum { ZTF, RUBIN, VARIANTS }; /* whose rules */
enum { ZTF_PX = 63, RUBIN_PX = 30, CENTRE = NJ_LONE_CENTRE_PX };

typedef struct conf {
    const char *survey, *rng, *isa, *tns, *matches;
    int32_t repeats, seed, gate, min_points, stamp_px, bright_star;
    double max_science, max_template, bad_above, min_score, max_age_day, max_mag, max_speed, max_rms;
} conf;

typedef struct self {
    const conf *c;
    nj_elephant geometry[VARIANTS];
    nj_isa isa;
    uint32_t variant; /* ZTF, RUBIN or VARIANTS: by the side */
    uint32_t side;    /* of the stamps; 0: the survey says, else their shape */
    uint32_t n_repeats, n_matches;
    uint32_t bright; /* which need near_bright_star is: behind all others */
    int numpy;
} self_type;

typedef struct thread_type {
    nj_elephant_work work;
    nj_clip_work *clip;
    nj_numpy_random *rng; /* rng = numpy: the one exception to "nothing is kept between alerts" */
} thread_type;

/* --- the spectrum test --- */

typedef struct answer {
    double mean[IMAGES], sd[IMAGES]; /* NaN: none */
} answer;

typedef double ks_function(const self_type *s, thread_type *t, const nj_elephant *g, const nj_lone_stamp *f,
                           const nj_elephant_key *key);

static double ks_fast(const self_type *s, thread_type *t, const nj_elephant *g, const nj_lone_stamp *f,
                      const nj_elephant_key *key)
{
    return nj_elephant_ks(g, s->isa, &t->work, f->pixel, &f->whole, key);
}
static double ks_plain(const self_type *s, thread_type *t, const nj_elephant *g, const nj_lone_stamp *f,
                       const nj_elephant_key *key)
{
    (void)s;
    return nj_elephant_ks_plain(g, &t->work, f->pixel, &f->whole, key);
}

static answer test_spectra(const self_type *s, thread_type *t, ks_function *ks, const nj_elephant *g,
                           const nj_lone_stamp f[IMAGES], int64_t id)
{
    answer a;
    for (uint32_t image = 0; image < IMAGES; image++) {
        double sum = 0, square = 0, first = 0;
        uint32_t n = 0;
        for (uint32_t repeat = 0; repeat < s->n_repeats; repeat++) {
            const nj_elephant_key key = { id, image, repeat, (uint32_t)s->c->seed };
            double d = ks(s, t, g, &f[image], &key);
            if (d < 0) continue;
            if (!n++) first = d;
            sum += d - first, square += (d - first) * (d - first);
        }
        a.mean[image] = n ? first + sum / n : NAN;
        a.sd[image] = n > 1 ? sqrt(fmax(square - sum * sum / n, 0) / (n - 1)) : NAN;
    }
    return a;
}

static answer test_numpy(const self_type *s, thread_type *t, const nj_elephant *g,
                         const nj_lone_stamp f[IMAGES])
{
    answer a = { .sd = { NAN, NAN } };
    (void)s;
    nj_elephant_ks_numpy(g, &t->work, t->rng, (const float *const[]){ f[SCIENCE].pixel, f[TEMPLATE].pixel },
                         (const nj_clip[]){ f[SCIENCE].whole, f[TEMPLATE].whole }, a.mean);
    for (int i = 0; i < IMAGES; i++)
        if (a.mean[i] < 0) a.mean[i] = NAN;
    return a;
}

/* --- the gate of gated instances --- */

static int passes_ztf_gate(const conf *c, const nj_work *w, uint32_t row)
{
    const uint32_t n = nj_points(w, MAG, row);
    const double *mag = nj_f64_series(w, MAG, row);
    int32_t n_valid = 0;
    int wanted = nj_may_be_young_transient(nj_text_of(w, LABEL, row)) ||
                 (*c->tns && nj_is_tns_transient(nj_text_of(w, TNS, row)));
    for (uint32_t score = SNIA; score <= KILONOVA; score++)
        wanted |= nj_f64_of(w, score, row) >= c->min_score;
    if (!wanted || !(fabs(nj_f64_of(w, JD, row) - nj_f64_of(w, JDSTARTHIST, row)) <= c->max_age_day))
        return 0;
    if (nj_i32_of(w, ROID, row) == 3 || !n || !(mag[n - 1] <= c->max_mag)) return 0;
    for (uint32_t i = 0; i < n; i++) n_valid += !isnan(mag[i]);
    return n_valid >= c->min_points;
}

static int is_one_of(const char *text, const char *const *names)
{
    for (; text && *names; names++)
        if (!strcmp(text, *names)) return 1;
    return 0;
}

static int passes_rubin_gate(const self_type *s, const nj_work *w, uint32_t row)
{
    static const char *const no_match[] = { "",         "nan",  "Unknown",     "Fail",
                                            "Fail 504", "none", "unavailable", NULL };
    enum { MIN_SOURCES = 3 };
    const double min_template = 300, max_template = 2000, min_snr = 5, max_age_day = 30; /* fluxes in nJy */
    const double flux = nj_f64_of(w, TEMPLATE_FLUX, row);
    const int64_t *sso = w->in[SSO]->data;
    if (!(nj_i32_of(w, N_SOURCES, row) >= MIN_SOURCES) || (sso && sso[row] != NJ_NO_I64 && sso[row] != 0))
        return 0;
    if (!(nj_f64_of(w, NOW, row) - nj_f64_of(w, FIRST, row) < max_age_day) || !(nj_f64_of(w, FLUX, row) > 0))
        return 0;
    if (!(flux > min_template && flux < max_template && flux / nj_f64_of(w, TEMPLATE_ERR, row) > min_snr))
        return 0;
    for (uint32_t k = 0; k < s->n_matches; k++) {
        const char *match = nj_text_of(w, MATCH + k, row);
        if (match && !is_one_of(match, no_match)) return 0;
    }
    const uint32_t n = nj_points(w, LC_JD, row);
    return nj_points(w, RA, row) != n || nj_points(w, DEC, row) != n ||
           !nj_is_moving(n, nj_f64_series(w, LC_JD, row), nj_f64_series(w, RA, row),
                         nj_f64_series(w, DEC, row), s->c->max_speed, s->c->max_rms);
}

static int passes_gate(const self_type *s, const nj_work *w, uint32_t row)
{
    return s->variant == RUBIN ? passes_rubin_gate(s, w, row) : passes_ztf_gate(s->c, w, row);
}

/* --- rows --- */

/* The geometry that the settings, the survey's map (px) or else the shape of the stamps call for.
 * NULL = none; other: room for one of another side, which differs in nothing else. */
static const nj_elephant *geometry_of(const self_type *s, int32_t px, const nj_image *a, const nj_image *b,
                                      nj_elephant *other)
{
    const bool known = a->rows == a->cols && (a->rows == ZTF_PX || a->rows == RUBIN_PX);
    const uint32_t side = s->side ? s->side : px != NJ_NO_I32 ? (uint32_t)px : known ? a->rows : 0;
    if (a->rows != b->rows || a->cols != b->cols) return NULL;
    if (side < CENTRE || side > ZTF_PX || a->rows < side || a->cols < side) return NULL;
    const nj_elephant *g = &s->geometry[s->variant < VARIANTS ? s->variant : side == RUBIN_PX ? RUBIN : ZTF];
    if (g->stamp == side) return g;
    *other = *g;
    other->stamp = side;
    return other;
}

static void write_counts(const nj_work *w, uint32_t row, const nj_lone_stamp f[IMAGES],
                         const nj_lone_source *found)
{
    ((uint8_t *)w->out[CANDIDATE])[row] = found->stage > 0;
    ((uint8_t *)w->out[STAGE])[row] = (uint8_t)found->stage;
    ((uint8_t *)w->out[VERDICT])[row] = 0;
    nj_put_text(w, VERDICT_REASON, row, "no_candidate");
    if (found->stage) ((const char **)w->out[LONE])[row] = found->lone == SCIENCE ? "science" : "template";
    for (int i = 0; i < IMAGES; i++)
        ((int32_t *)w->out[CLIPPED_SCIENCE + i])[row] = (int32_t)found->clipped[i];
    ((int32_t *)w->out[N_NAN])[row] = (int32_t)(f[SCIENCE].n_nan + f[TEMPLATE].n_nan);
    ((int32_t *)w->out[N_BAD])[row] = (int32_t)(f[SCIENCE].n_bad + f[TEMPLATE].n_bad);
}

static nj_reason write_answer(const self_type *s, const nj_work *w, uint32_t row, const answer *a)
{
    const conf *c = s->c;
    const double d[IMAGES] = { a->mean[SCIENCE], a->mean[TEMPLATE] };
    for (int i = 0; i < IMAGES; i++) {
        ((double *)w->out[KS_SCIENCE + i])[row] = d[i];
        ((double *)w->out[KS_SCIENCE_SD + i])[row] = a->sd[i];
    }
    /* false for NaN */
    const bool low = d[SCIENCE] <= c->max_science && d[TEMPLATE] <= c->max_template,
               bright = nj_u8_of(w, s->bright, row) == 1;
    ((uint8_t *)w->out[VERDICT])[row] = low && !(bright && c->bright_star);
    nj_put_text(w, VERDICT_REASON, row, !low ? "ks" : bright ? "bright_star" : NULL);
    return isnan(d[SCIENCE]) || isnan(d[TEMPLATE]) ? NJ_NO_FIT : NJ_DONE;
}

static nj_reason do_row(const self_type *s, thread_type *t, const nj_work *w, uint32_t row, nj_lone_stamp *f,
                        bool plain)
{
    if (s->c->gate && !passes_gate(s, w, row)) return NJ_CUT;
    const nj_image *image[IMAGES];
    for (uint32_t i = 0; i < IMAGES; i++)
        if (!(image[i] = w->image(w, i, row))) return NJ_NO_INPUT;
    nj_elephant other;
    const nj_elephant *g =
        geometry_of(s, nj_i32_of(w, STAMP_PX, row), image[SCIENCE], image[TEMPLATE], &other);
    if (!g) return NJ_RANGE;
    const nj_lone_rules rules = { g->stamp, g->crop == RUBIN_PX, (float)s->c->bad_above, s->isa, plain };
    for (int i = 0; i < IMAGES; i++) nj_lone_look(&rules, t->clip, t->work.image, image[i], &f[i]);
    nj_lone_source found = nj_lone_judge(&rules, f);
    write_counts(w, row, f, &found);
    if (!found.stage) return NJ_DONE;
    answer a =
        s->numpy ? test_numpy(s, t, g, f) : test_spectra(s, t, plain ? ks_plain : ks_fast, g, f, w->id[row]);
    return write_answer(s, w, row, &a);
}

static int do_rows(const self_type *s, thread_type *t, const nj_work *w, bool plain)
{
    nj_lone_stamp *f = w->scratch(w, IMAGES * sizeof *f);
    if (!f) return NJ_ENOMEM;
    for (uint32_t k = 0; k < w->n; k++) w->reason[w->row[k]] = (uint8_t)do_row(s, t, w, w->row[k], f, plain);
    return NJ_OK;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    return do_rows(self, thread, w, false);
}
static int process_ref(const void *self, void *thread, const nj_work *w)
{
    return do_rows(self, thread, w, true);
}

/* --- life --- */

static void close_self(void *self)
{
    self_type *s = self;
    for (int i = 0; s && i < VARIANTS; i++) nj_elephant_close(&s->geometry[i]);
}

static int open_self(const nj_host *host, const void *settings, void **self)
{
    static const char *const variants[] = { "ztf", "rubin", "auto" }, *const rngs[] = { "counter", "numpy" };
    const conf *c = settings;
    uint32_t numpy, isa = nj_isa_best();
    self_type *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    *s = (self_type){ .c = c, .n_repeats = (uint32_t)c->repeats };
    *self = s;
    if (nj_list_choose(host, "hostless", "survey", c->survey, variants, 3, &s->variant) ||
        nj_list_choose(host, "hostless", "rng", c->rng, rngs, 2, &numpy))
        return NJ_ECONF;
    s->side = c->stamp_px           ? (uint32_t)c->stamp_px
              : s->variant == ZTF   ? ZTF_PX
              : s->variant == RUBIN ? RUBIN_PX
                                    : 0;
    if ((s->side && s->side < CENTRE) || (s->variant == RUBIN && s->side != RUBIN_PX)) {
        host->log(host->opaque, 0, "hostless: stamp_px = %u: must be 14 to 63, and 30 with survey = rubin",
                  s->side);
        return NJ_ECONF;
    }
    if (strcmp(c->isa, "auto") && nj_list_choose(host, "hostless", "isa", c->isa, nj_isa_name, NJ_ISAS, &isa))
        return NJ_ECONF;
    s->isa = isa < (uint32_t)nj_isa_best() ? (nj_isa)isa : nj_isa_best();
    s->numpy = numpy == 1;
    char name[256];
    for (const char *list = c->matches;
         s->n_matches < MAX_MATCHES && nj_list_item(&list, name, NULL, sizeof name);)
        s->n_matches++;
    if (s->numpy && c->repeats != 1) {
        host->log(host->opaque, 0, "hostless: rng = numpy has one stream: repeats must be 1");
        return NJ_ECONF;
    }
    if (s->numpy) host->serial(host->opaque); /* one stream of numbers for all alerts */
    s->bright = !c->gate                          ? STAMP_PX + 1
                : strcmp(c->survey, "rubin") != 0 ? TNS + (*c->tns != 0)
                                                  : MATCH + s->n_matches;
    if (!c->gate) nj_every_row(host);
    if (nj_elephant_open(&s->geometry[ZTF], ZTF_PX, CENTRE) ||
        nj_elephant_open(&s->geometry[RUBIN], RUBIN_PX, RUBIN_PX))
        return NJ_EINTERNAL;
    return NJ_OK;
}

static void thread_close(const void *self, void *thread)
{
    thread_type *t = thread;
    (void)self;
    free(t->clip);
    nj_numpy_random_free(t->rng);
}

static int thread_open(const void *self, void *thread)
{
    const self_type *s = self;
    thread_type *t = thread;
    t->clip = aligned_alloc(64, (nj_clip_work_size() + 63) / 64 * 64);
    if (s->numpy) t->rng = nj_numpy_random_new((uint32_t)s->c->seed);
    return t->clip && (!s->numpy || t->rng) ? NJ_OK : NJ_ENOMEM;
}

/* The next name of a comma-separated list, copied; NULL at the end. */
static const char *next_name(const nj_host *host, const char **list)
{
    char item[256];
    if (!nj_list_item(list, item, NULL, sizeof item)) return NULL;
    char *name = host->alloc(host->opaque, strlen(item) + 1);
    return name ? strcpy(name, item) : NULL;
}

#define IMAGE_NEEDS                                                                                          \
    { "stamp.science", NJ_F32, NJ_IMAGE, "DN", 0 }, { "stamp.template", NJ_F32, NJ_IMAGE, "DN", 0 },         \
    {                                                                                                        \
        "stamp_px", NJ_I32, NJ_SCALAR, "pixel", NJ_NEED_OPTIONAL                                             \
    }
#define NEED(path, type, shape, unit)                                                                        \
    {                                                                                                        \
        path, type, shape, unit, NJ_NEED_OPTIONAL                                                            \
    }
#define BRIGHT_NEED NEED("near_bright_star", NJ_U8, NJ_SCALAR, "1")
static const nj_need image_needs[] = { IMAGE_NEEDS, BRIGHT_NEED, { 0 } };
static const nj_need ztf_gate_needs[] = { IMAGE_NEEDS,
                                          NEED("jd", NJ_F64, NJ_SCALAR, "d"),
                                          NEED("first_jd", NJ_F64, NJ_SCALAR, "d"),
                                          NEED("lc.mag", NJ_F64, NJ_SERIES, "mag"),
                                          NEED("snn_snia_vs_nonia.score", NJ_F64, NJ_SCALAR, "1"),
                                          NEED("snn_sn_vs_all.score", NJ_F64, NJ_SCALAR, "1"),
                                          NEED("early_snia.score", NJ_F64, NJ_SCALAR, "1"),
                                          NEED("kilonova.score", NJ_F64, NJ_SCALAR, "1"),
                                          NEED("roid.roid", NJ_I32, NJ_SCALAR, "1"),
                                          NEED("finkclass.label", NJ_STR, NJ_SCALAR, "1") };
static const nj_need rubin_gate_needs[] = { IMAGE_NEEDS,
                                            NEED("jd", NJ_F64, NJ_SCALAR, "d"),
                                            NEED("first_jd", NJ_F64, NJ_SCALAR, "d"),
                                            NEED("ndethist", NJ_I32, NJ_SCALAR, "1"),
                                            NEED("sso_id", NJ_I64, NJ_SCALAR, "1"),
                                            NEED("flux", NJ_F64, NJ_SCALAR, "nJy"),
                                            NEED("template_flux", NJ_F64, NJ_SCALAR, "nJy"),
                                            NEED("template_flux_err", NJ_F64, NJ_SCALAR, "nJy"),
                                            NEED("lc.jd", NJ_F64, NJ_SERIES, "d"),
                                            NEED("lc.ra", NJ_F64, NJ_SERIES, "deg"),
                                            NEED("lc.dec", NJ_F64, NJ_SERIES, "deg") };

static int declare(const nj_host *host, const void *settings, nj_tables *tables)
{
    const conf *c = settings;
    const int rubin = !strcmp(c->survey, "rubin");
    const char *list = rubin ? c->matches : c->tns, *name;
    tables->needs = image_needs;
    if (!c->gate) return NJ_OK;
    const size_t n =
        rubin ? sizeof rubin_gate_needs / sizeof(nj_need) : sizeof ztf_gate_needs / sizeof(nj_need);
    nj_need *needs = host->alloc(host->opaque, (n + MAX_MATCHES + 2) * sizeof *needs);
    if (!needs) return NJ_ENOMEM;
    memcpy(needs, rubin ? rubin_gate_needs : ztf_gate_needs, n * sizeof *needs);
    size_t k = n;
    while (k < n + (rubin ? MAX_MATCHES : 1) && (name = next_name(host, &list)))
        needs[k++] = (nj_need)NEED(name, NJ_STR, NJ_SCALAR, "1");
    needs[k++] = (nj_need)BRIGHT_NEED;
    needs[k] = (nj_need){ 0 };
    tables->needs = needs;
    return NJ_OK;
}

#define COUNT(name, hi, doc)                                                                                 \
    {                                                                                                        \
        name, NJ_I32, 1, -1, "1", 0, hi, NAN, 0, doc                                                         \
    }
#define KS(name, hi, doc)                                                                                    \
    {                                                                                                        \
        name, NJ_F64, 1, -1, "1", 0, hi, NAN, 0, doc                                                         \
    }
#define PARAM(name, type, def, lo, hi, unit, doc)                                                            \
    {                                                                                                        \
#name, type, def, offsetof(conf, name), lo, hi, unit, doc                                            \
    }
NJ_MODULE(hostless) = {
    NJ_HEADER,
    .name = "hostless",
    .version = "1.0",
    .summary = "transients without a visible host, by power spectra (ELEPHANT)",
    .paper = "arXiv:2404.18165",
    .needs = image_needs,
    .gives =
        (const nj_give[]){
            { "candidate", NJ_U8, 1, -1, "1", 0, 1, 0.5, 0,
              "1 = one of the two stamps alone has a source; no verdict yet" },
            { "stage", NJ_U8, 1, -1, "1", 0, 2, NAN, 0,
              "where it has: 1 in the whole stamp, 2 in the centre, 0 no candidate" },
            { "lone", NJ_STR, 1, -1, "1", 0, 0, NAN, 0,
              "which stamp has it, science or template; none for no candidate" },
            COUNT("clipped_science", 4096,
                  "masked pixels of the science stamp, where the decision fell (stage 0: in the centre)"),
            COUNT("clipped_template", 4096, "masked pixels of the template stamp, likewise"),
            KS("ks_science", 1,
               "KS distance of the science stamp from its shuffles, mean over the repeats; none for no "
               "candidate"),
            KS("ks_template", 1,
               "KS distance of the template stamp from its shuffles, mean over the repeats; none for no "
               "candidate"),
            KS("ks_science_sd", 1, "standard deviation of one draw of ks_science; none with repeats = 1"),
            KS("ks_template_sd", 1, "standard deviation of one draw of ks_template; none with repeats = 1"),
            COUNT("n_nan", 8192, "NaN pixels in both stamps"),
            COUNT("n_bad", 8192, "pixels beyond bad_above in both stamps"),
            { "verdict", NJ_U8, 1, -1, "1", 0, 1, NAN, 0,
              "1 = candidate with ks_science <= max_science and ks_template <= max_template" },
            { "verdict_reason", NJ_STR, 1, -1, "1", 0, 0, NAN, 0,
              "no_candidate, ks: why verdict is 0; bright_star: one is within 20 arcsec; else none" },
            { 0 } },
    .params =
        (const nj_param[]){
            PARAM(
                survey, NJ_STR, "auto", 0, 0, "1",
                "ztf (63 x 63 stamps), rubin (central 30 x 30 and its rules), auto: as the survey's map says "
                "(stamp_px), else by the shape"),
            PARAM(stamp_px, NJ_I32, "0", 0, 63, "pixel",
                  "side of the central square that is looked at, 14 to 63; 0: what survey says"),
            PARAM(repeats, NJ_I32, "1", 1, 1000, "1",
                  "independent draws of a ks; 1 is the reference's noisy one, 16 is better"),
            PARAM(rng, NJ_STR, "counter", 0, 0, "1",
                  "counter: keyed on the alert; numpy: the reference's stream, slow, for one thread (-j 1) "
                  "and source order"),
            PARAM(seed, NJ_I32, "1337", 0, 2147483647, "1", "of the random numbers"),
            PARAM(max_science, NJ_F64, "0.5", 0, 1, "1", "largest ks_science of a verdict"),
            PARAM(max_template, NJ_F64, "0.85", 0, 1, "1", "largest ks_template of a verdict"),
            PARAM(bright_star, NJ_I32, "0", 0, 1, "1",
                  "1 = no verdict near a bright star, where the survey or a catalogue names those"),
            PARAM(bad_above, NJ_F64, "1e30", 0, INFINITY, "DN", "a pixel beyond it, either way, is bad"),
            PARAM(gate, NJ_I32, "0", 0, 1, "1",
                  "1 = only alerts that look like a young supernova by scores or labels, age, magnitude"),
            PARAM(min_score, NJ_F64, "0.5", 0, 1, "1", "gate: least of the four classifiers' scores"),
            PARAM(max_age_day, NJ_F64, "45", 0, INFINITY, "d",
                  "gate: longest time since the start of the history"),
            PARAM(max_mag, NJ_F64, "19.5", 0, 40, "mag", "gate: faintest current magnitude"),
            PARAM(min_points, NJ_I32, "3", 0, 100000, "1", "gate: fewest detections"),
            PARAM(tns, NJ_STR, "tns.type", 0, 0, "1", "gate: column of the TNS type, where there is one"),
            PARAM(matches, NJ_STR, "simbad.otype", 0, 0, "1",
                  "Rubin's gate: up to 8 text columns, comma-separated, that must show no match"),
            PARAM(max_speed, NJ_F64, "2", 0, INFINITY, "arcsec/h",
                  "Rubin's gate: an object faster than this ..."),
            PARAM(max_rms, NJ_F64, "0.5", 0, INFINITY, "arcsec",
                  "Rubin's gate: ... and this close to a straight line moves"),
            PARAM(isa, NJ_STR, "auto", 0, 0, "1", "portable, avx2, avx512 or auto; all give the same bits"),
            { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(thread_type),
    .declare = declare,
    .open = open_self,
    .thread_open = thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = thread_close,
    .close = close_self
};
