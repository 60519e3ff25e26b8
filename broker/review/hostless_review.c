/* hostless_review.c - `inspect --hostless` is a normal run whose sink writes one page per candidate. */
#include "hostless_review.h"

#include <erfa.h>
#include <erfam.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/exit.h"
#include "../base/log.h"
#include "../avro/decode.h"
#include "hostless_page.h"
#include "../flow/cli.h"
#include "../image/opener.h"
#include "nightjar/astro.h"

/* What a page wants, of any survey: a column that a survey lacks is NaN or NULL. */
enum {
    OBJECT,
    SURVEY,
    BAND,
    JD,
    RA,
    DEC,
    MAG,
    MAG_ERR,
    RB,
    DRB,
    POSITIVE,
    NDETHIST,
    NBAD,
    REF_DIST,
    REF_MAG,
    PS1_DIST,
    PS1_STAR,
    SSO_DIST,
    SSO_MAG,
    STAMP_PX,
    PIXEL_ARCSEC,
    LC_JD,
    LC_MAG,
    LC_ERR,
    LC_LIMIT,
    LC_BAND,
    LC_POSITIVE,
    LC_FLUX,
    LC_FLUX_ERR,
    ROID,
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
    REASON,
    N_KEYS
};
static const char *const key[N_KEYS] = {
    [OBJECT] = "object",
    [SURVEY] = "survey",
    [BAND] = "band",
    [JD] = "jd",
    [RA] = "ra",
    [DEC] = "dec",
    [MAG] = "mag",
    [MAG_ERR] = "mag_err",
    [RB] = "rb",
    [DRB] = "drb",
    [POSITIVE] = "positive",
    [NDETHIST] = "ndethist",
    [NBAD] = "nbad",
    [REF_DIST] = "ref_dist",
    [REF_MAG] = "ref_mag",
    [PS1_DIST] = "near1_dist",
    [PS1_STAR] = "near1_star",
    [SSO_DIST] = "sso_dist",
    [SSO_MAG] = "sso_v",
    [STAMP_PX] = "stamp_px",
    [PIXEL_ARCSEC] = "pixel_arcsec",
    [LC_JD] = "lc.jd",
    [LC_MAG] = "lc.mag",
    [LC_ERR] = "lc.mag_err",
    [LC_LIMIT] = "lc.limit_mag",
    [LC_BAND] = "lc.band",
    [LC_POSITIVE] = "lc.positive",
    [LC_FLUX] = "lc.flux",
    [LC_FLUX_ERR] = "lc.flux_err",
    [ROID] = "roid.roid",
    [CANDIDATE] = "hostless.candidate",
    [STAGE] = "hostless.stage",
    [LONE] = "hostless.lone",
    [CLIPPED_SCIENCE] = "hostless.clipped_science",
    [CLIPPED_TEMPLATE] = "hostless.clipped_template",
    [KS_SCIENCE] = "hostless.ks_science",
    [KS_TEMPLATE] = "hostless.ks_template",
    [KS_SCIENCE_SD] = "hostless.ks_science_sd",
    [KS_TEMPLATE_SD] = "hostless.ks_template_sd",
    [N_NAN] = "hostless.n_nan",
    [N_BAD] = "hostless.n_bad",
    [VERDICT] = "hostless.verdict",
    [REASON] = "hostless.reason",
};

/* The sink of the run: a page for a row. */
typedef struct pages {
    nj_sink base;
    bool all;
    uint32_t field[N_KEYS]; /* number of the field, or UINT32_MAX */
    const nj_field *fields;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_batch *batch; /* of the present rows */
    uint32_t repeats, seed;
    int stamp_px; /* of the settings; 0: as the survey's map says */
    double limit[2];
    nj_hostless_writer *writer;
    nj_hostless_review counts;
} pages;

/* --- values --- */

static const nj_col *column(const pages *s, const nj_rows *rows, int k)
{
    static const nj_col none = { NULL, NULL };
    return s->field[k] == UINT32_MAX ? &none : &rows->value[s->field[k]];
}
static double number(const pages *s, const nj_rows *rows, int k, size_t i)
{
    const nj_col *c = column(s, rows, k);
    return c->data ? nj_number(s->fields[s->field[k]].type, c->data, i) : NAN;
}
static int whole(const pages *s, const nj_rows *rows, int k, uint32_t row)
{
    double v = number(s, rows, k, row);
    return isnan(v) ? -1 : (int)v;
}
static const char *word(const pages *s, const nj_rows *rows, int k, uint32_t row)
{
    const nj_col *c = column(s, rows, k);
    return c->data && s->fields[s->field[k]].type == NJ_STR ? ((const char *const *)c->data)[row] : NULL;
}

/* Points of the light curve, from malloc. */
static nj_curve_point *light_curve(const pages *s, const nj_rows *rows, uint32_t row, uint32_t *n)
{
    const uint32_t *off = column(s, rows, LC_JD)->data ? column(s, rows, LC_JD)->off : NULL;
    *n = off ? off[row + 1] - off[row] : 0;
    nj_curve_point *point = calloc(*n + 1, sizeof *point);
    for (uint32_t i = 0; point && i < *n; i++) {
        const uint32_t at = off[row] + i;
        double band = number(s, rows, LC_BAND, at), positive = number(s, rows, LC_POSITIVE, at),
               flux = number(s, rows, LC_FLUX, at);
        point[i] =
            (nj_curve_point){ number(s, rows, LC_JD, at),        number(s, rows, LC_MAG, at),
                              number(s, rows, LC_ERR, at),       number(s, rows, LC_LIMIT, at),
                              isnan(band) ? 255 : (uint8_t)band, isnan(positive) ? 255 : (uint8_t)positive };
        if (isnan(point[i].mag) && isfinite(flux) && flux != 0) {
            point[i].mag = nj_mag_of_flux(fabs(flux) / NJ_NJY_OF_MAG0);
            point[i].mag_err = NJ_MAG_PER_RELATIVE_FLUX * number(s, rows, LC_FLUX_ERR, at) / fabs(flux);
            point[i].positive = flux > 0;
        }
    }
    return point;
}

static double galactic_b(double ra, double dec)
{
    double l, b = NAN;
    if (!isnan(ra) && !isnan(dec)) eraIcrs2g(ra * ERFA_DD2R, dec * ERFA_DD2R, &l, &b);
    return b * ERFA_DR2D;
}

static int write_page(pages *s, const nj_rows *rows, uint32_t row, nj_error *err)
{
    static const char *const stamp_title[NJ_STAMPS] = { "science", "template", "difference" };
    static const int order[NJ_STAMPS] = { NJ_SCIENCE, NJ_TEMPLATE, NJ_DIFFERENCE };
    nj_batch *b = s->batch;
    const uint8_t *reasons = column(s, rows, REASON)->data;
    const uint8_t reason = reasons ? reasons[row] : NJ_UNAVAILABLE;
    const double ra = number(s, rows, RA, row), dec = number(s, rows, DEC, row);
#define N(k) number(s, rows, k, row)
#define I(k) whole(s, rows, k, row)
    nj_hostless_page page = { .candid = b->id[row],
                              .object = word(s, rows, OBJECT, row),
                              .survey = word(s, rows, SURVEY, row),
                              .band = word(s, rows, BAND, row),
                              .jd = N(JD),
                              .ra = ra,
                              .dec = dec,
                              .gal_b = galactic_b(ra, dec),
                              .mag = N(MAG),
                              .mag_err = N(MAG_ERR),
                              .rb = N(RB),
                              .drb = N(DRB),
                              .positive = I(POSITIVE),
                              .ndethist = I(NDETHIST),
                              .nbad = I(NBAD),
                              .roid = I(ROID),
                              .ref_dist = N(REF_DIST),
                              .ref_mag = N(REF_MAG),
                              .ps1_dist = N(PS1_DIST),
                              .ps1_star = N(PS1_STAR),
                              .sso_dist = N(SSO_DIST),
                              .sso_mag = N(SSO_MAG),
                              .stamp_px = s->stamp_px ? s->stamp_px : I(STAMP_PX),
                              .pixel_arcsec = N(PIXEL_ARCSEC),
                              .reason = reason < NJ_REASONS ? nj_reason_name[reason] : "unavailable",
                              .topics = rows->topics ? rows->topics[row] : NULL,
                              .candidate = I(CANDIDATE),
                              .stage = I(STAGE),
                              .verdict = I(VERDICT),
                              .n_nan = I(N_NAN),
                              .n_bad = I(N_BAD),
                              .clipped = { I(CLIPPED_SCIENCE), I(CLIPPED_TEMPLATE) },
                              .lone = word(s, rows, LONE, row),
                              .ks = { N(KS_SCIENCE), N(KS_TEMPLATE) },
                              .sd = { N(KS_SCIENCE_SD), N(KS_TEMPLATE_SD) },
                              .limit = { s->limit[0], s->limit[1] },
                              .repeats = s->repeats,
                              .seed = s->seed };
#undef N
#undef I
    for (int k = 0; k < NJ_STAMPS; k++) {
        nj_stamp *stamp = b->stamp[order[k]] ? &b->stamp[order[k]][row] : NULL;
        page.stamp[k].title = stamp_title[k];
        if (!stamp) continue;
        nj_stamp_open(s->opener, stamp, &b->arena, NULL);
        if (stamp->state == NJ_STAMP_OPEN)
            page.stamp[k] =
                (nj_picture){ stamp->image.pixel, stamp->image.rows, stamp->image.cols, stamp_title[k] };
    }
    nj_curve_point *point = light_curve(s, rows, row, &page.n_points);
    page.point = point;
    if (point && page.n_points && isnan(page.mag)) { /* a survey of fluxes */
        page.mag = point[page.n_points - 1].mag;
        page.mag_err = point[page.n_points - 1].mag_err;
    }
    int rc = point ? nj_hostless_write(s->writer, &page, err) : nj_fail(err, "out of memory");
    free(point);
    if (!rc) s->counts.n_pages++;
    return rc;
}

/* --- the sink --- */

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    pages *s = (pages *)sink;
    (void)metadata, (void)err;
    s->fields = field;
    for (int k = 0; k < N_KEYS; k++) {
        s->field[k] = UINT32_MAX;
        for (uint32_t f = 0; f < n_fields; f++)
            if (!strcmp(field[f].key, key[k])) s->field[k] = f;
    }
    return 0;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    pages *s = (pages *)sink;
    /* the output thread has the batch to itself now; images are opened in its memory */
    s->batch = (nj_batch *)(uintptr_t)rows->batch;
    for (uint32_t k = 0; k < rows->n; k++) {
        const uint32_t row = rows->row[k];
        const bool candidate = whole(s, rows, CANDIDATE, row) == 1;
        s->counts.n_alerts++;
        s->counts.n_candidates += candidate;
        s->counts.n_verdicts += whole(s, rows, VERDICT, row) == 1;
        if ((s->all || candidate) && write_page(s, rows, row, err)) return -1;
    }
    return 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    (void)sink, (void)err;
    return 0;
}

static int close_pages(nj_sink *sink, nj_error *err) /* its owner still writes the index */
{
    (void)sink, (void)err;
    return 0;
}

static const nj_sink_class class = {
    .scheme = "pages", .begin = begin, .write = write_rows, .flush = flush, .close = close_pages
};

/* --- the run --- */

extern const nj_module nj_module_hostless; /* its table has the defaults */

/* What the settings say, else the module's default; "" when it has no such setting. */
static const char *setting(nj_settings *all, const char *name)
{
    const char *value = nj_settings_get(all, "module.hostless", name);
    for (const nj_param *p = nj_module_hostless.params; !value && p->name; p++)
        if (!strcmp(p->name, name)) value = p->def;
    return value ? value : "";
}

/* The default instances under the user's settings; 16 repeats unless another number is given. */
static int read_settings(pages *s, nj_settings *all, const nj_settings *user, nj_error *err)
{
    if (nj_settings_set(all, "module.hostless", "repeats", "16", "inspect --hostless") ||
        nj_run_defaults(all, err))
        return -1;
    for (size_t i = 0; user && i < user->n; i++)
        if (nj_settings_set(all, user->item[i].section, user->item[i].key, user->item[i].value,
                            user->item[i].where))
            return nj_fail(err, "out of memory");
    s->repeats = (uint32_t)atoi(setting(all, "repeats"));
    s->seed = (uint32_t)atoll(setting(all, "seed"));
    s->stamp_px = atoi(setting(all, "stamp_px"));
    s->limit[0] = atof(setting(all, "max_science"));
    s->limit[1] = atof(setting(all, "max_template"));
    s->decoder = nj_decoder_new(all, err);
    if (!s->decoder) return -1;
    s->opener = nj_opener_new(s->decoder);
    return s->opener ? 0 : nj_fail(err, "out of memory");
}

/* "nbad,ref_dist,...,lc.jd,lc.mag,...": what is no column of every row already. */
static char *columns_of_pages(void)
{
    nj_buffer list = { 0 };
    for (int k = NBAD; k <= LC_FLUX_ERR; k++) nj_buffer_printf(&list, "%s%s", list.n ? "," : "", key[k]);
    if (list.failed) nj_buffer_free(&list);
    return list.data;
}

static int write_index(pages *s, const nj_hostless_asked *asked, const nj_ledger *ledger, nj_error *err)
{
    nj_buffer clauses = { 0 };
    if (asked->where) nj_buffer_printf(&clauses, "-w '%s' ", asked->where);
    for (uint32_t i = 0; i < asked->n_topics; i++)
        nj_buffer_printf(&clauses, "-t %s%s%s ", asked->topic[i].name, asked->topic[i].where ? "=" : "",
                         asked->topic[i].where ? asked->topic[i].where : "");
    const nj_hostless_index about = { .title = asked->source,
                                      .clauses = clauses.data,
                                      .n_read = ledger->emitted + ledger->filtered,
                                      .n_filtered = ledger->filtered,
                                      .n_dead = ledger->dead,
                                      .n_others = s->all ? 0 : s->counts.n_alerts - s->counts.n_pages };
    int rc = clauses.failed ? nj_fail(err, "out of memory") : nj_hostless_write_index(s->writer, &about, err);
    nj_buffer_free(&clauses);
    return rc;
}

int nj_hostless_review_run(const nj_hostless_asked *asked, const nj_settings *user,
                           nj_hostless_review *counts, nj_error *err)
{
    pages s = { .base.class = &class, .all = asked->all };
    nj_settings all = { 0 };
    nj_report *report = calloc(1, sizeof *report);
    char *columns = columns_of_pages(), letters[4096], select[1024];
    int rc = NJ_EXIT_USAGE;
    snprintf(letters, sizeof letters, "%s/dead-letters.avro", asked->folder);
    if (!report || !columns) {
        nj_fail(err, "out of memory");
        goto done;
    }
    if (snprintf(select, sizeof select, "hostless,roid%s%s", asked->select ? "," : "",
                 asked->select ? asked->select : "") >= (int)sizeof select) {
        nj_fail(err, "-m: the list is too long");
        goto done;
    }
    if (read_settings(&s, &all, user, err) || !(s.writer = nj_hostless_writer_new(asked->folder, err)))
        goto done;
    const nj_run_options options = { .settings = &all,
                                     .select = select,
                                     .where = asked->where,
                                     .topic = asked->topic,
                                     .n_topics = asked->n_topics,
                                     .source = &asked->source,
                                     .n_sources = 1,
                                     .own_sink = &s.base,
                                     .own_columns = columns,
                                     .stamps = 1 << NJ_SCIENCE | 1 << NJ_TEMPLATE | 1 << NJ_DIFFERENCE,
                                     .threads = asked->threads,
                                     .limit = asked->limit,
                                     .dead_letters = letters,
                                     .mode = NJ_SINK_OVERWRITE,
                                     .progress = isatty(STDERR_FILENO),
                                     .stop = nj_stop_flag() };
    nj_stop_on_signals();
    rc = nj_run(&options, report, err);
    s.counts.n_dead = report->ledger.dead;
    s.counts.n_filtered = report->ledger.filtered;
    if ((rc == NJ_EXIT_OK || rc == NJ_EXIT_INTERRUPTED) && write_index(&s, asked, &report->ledger, err))
        rc = NJ_EXIT_LEDGER;
done:
    *counts = s.counts;
    if (report) nj_report_free(report);
    free(report);
    free(columns);
    nj_hostless_writer_free(s.writer);
    nj_opener_free(s.opener);
    if (s.decoder) nj_decoder_free(s.decoder);
    nj_settings_free(&all);
    return rc;
}
