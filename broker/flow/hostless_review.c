#include "hostless_review.h"

#include <erfa.h>
#include <erfam.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/embed.h"
#include "../base/log.h"
#include "../decode/decode.h"
#include "../graph/dispatch.h"
#include "../report/hostless_page.h"
#include "../source/source.h"

enum { GRAPHS_MOST = 32, ROWS = 64, WAIT_MS = 10000, SINGLE = 64 };

/* What the page wants, of any survey: a column that a survey lacks is NaN or NULL. */
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
    N_WANTS
};
static const nj_want want[N_WANTS] = {
    [OBJECT] = { "object", NJ_STR, NULL },
    [SURVEY] = { "survey", NJ_STR, NULL },
    [BAND] = { "band", NJ_STR, NULL },
    [JD] = { "jd", NJ_F64, "d" },
    [RA] = { "ra", NJ_F64, "deg" },
    [DEC] = { "dec", NJ_F64, "deg" },
    [MAG] = { "mag", NJ_F64, "mag" },
    [MAG_ERR] = { "mag_err", NJ_F64, "mag" },
    [RB] = { "rb", NJ_F64, NULL },
    [DRB] = { "drb", NJ_F64, NULL },
    [POSITIVE] = { "positive", NJ_F64, NULL },
    [NDETHIST] = { "ndethist", NJ_F64, NULL },
    [NBAD] = { "packet.candidate.nbad", NJ_F64, NULL },
    [REF_DIST] = { "packet.candidate.distnr", NJ_F64, NULL },
    [REF_MAG] = { "packet.candidate.magnr", NJ_F64, NULL },
    [PS1_DIST] = { "packet.candidate.distpsnr1", NJ_F64, NULL },
    [PS1_STAR] = { "packet.candidate.sgscore1", NJ_F64, NULL },
    [SSO_DIST] = { "packet.candidate.ssdistnr", NJ_F64, NULL },
    [SSO_MAG] = { "packet.candidate.ssmagnr", NJ_F64, NULL },
    [LC_JD] = { "lc.jd", NJ_F64, "d" },
    [LC_MAG] = { "lc.mag", NJ_F64, "mag" },
    [LC_ERR] = { "lc.mag_err", NJ_F64, "mag" },
    [LC_LIMIT] = { "lc.limit_mag", NJ_F64, "mag" },
    [LC_BAND] = { "lc.band", NJ_F64, NULL },
    [LC_POSITIVE] = { "lc.positive", NJ_F64, NULL },
    [LC_FLUX] = { "lc.flux", NJ_F64, "nJy" },
    [LC_FLUX_ERR] = { "lc.flux_err", NJ_F64, "nJy" },
    [ROID] = { "roid.roid", NJ_F64, NULL },
    [CANDIDATE] = { "hostless.candidate", NJ_F64, NULL },
    [STAGE] = { "hostless.stage", NJ_F64, NULL },
    [LONE] = { "hostless.lone", NJ_STR, NULL },
    [CLIPPED_SCIENCE] = { "hostless.clipped_science", NJ_F64, NULL },
    [CLIPPED_TEMPLATE] = { "hostless.clipped_template", NJ_F64, NULL },
    [KS_SCIENCE] = { "hostless.ks_science", NJ_F64, NULL },
    [KS_TEMPLATE] = { "hostless.ks_template", NJ_F64, NULL },
    [KS_SCIENCE_SD] = { "hostless.ks_science_sd", NJ_F64, NULL },
    [KS_TEMPLATE_SD] = { "hostless.ks_template_sd", NJ_F64, NULL },
    [N_NAN] = { "hostless.n_nan", NJ_F64, NULL },
    [N_BAD] = { "hostless.n_bad", NJ_F64, NULL },
    [VERDICT] = { "hostless.verdict", NJ_F64, NULL },
};

typedef struct review {
    nj_settings settings;
    nj_modules modules;
    nj_instances set;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_worker *worker;
    nj_cursor cursor;
    nj_batch *batch;
    struct {
        const nj_schema *schema;
        nj_graph *graph;
    } graph[GRAPHS_MOST];
    uint32_t n_graphs, repeats, seed;
    double limit[2];
    nj_hostless_writer *writer;
    nj_source *source;
    nj_stream stream;
    nj_hostless_review counts;
} review;

/* --- graph --- */

static nj_graph *graph_of(review *r, const nj_schema *schema, nj_error *err)
{
    for (uint32_t i = 0; i < r->n_graphs; i++)
        if (r->graph[i].schema == schema) return r->graph[i].graph;
    if (r->n_graphs == GRAPHS_MOST) {
        nj_fail(err, "more than %d different schemas", GRAPHS_MOST);
        return NULL;
    }
    const nj_offers offers = { schema, nj_schema_survey(schema), nj_offer_for_graph };
    nj_graph *graph = nj_graph_new(&r->set, &offers, want, N_WANTS, err);
    if (!graph) return NULL;
    graph->layout.stamps |= 1 << NJ_SCIENCE | 1 << NJ_TEMPLATE | 1 << NJ_DIFFERENCE;
    r->graph[r->n_graphs].schema = schema;
    return r->graph[r->n_graphs++].graph = graph;
}

static const void *data_of(const review *r, const nj_graph *graph, int k)
{
    return graph->want[k] < graph->layout.n ? r->batch->col[graph->want[k]].data : NULL;
}
static double number(const review *r, const nj_graph *graph, int k, uint32_t row)
{
    const double *data = data_of(r, graph, k);
    return data ? data[row] : NAN;
}
static int whole(const review *r, const nj_graph *graph, int k, uint32_t row)
{
    double v = number(r, graph, k, row);
    return isnan(v) ? -1 : (int)v;
}
static const char *word(const review *r, const nj_graph *graph, int k, uint32_t row)
{
    const char *const *data = data_of(r, graph, k);
    return data ? data[row] : NULL;
}

/* Points of the light curve, from malloc. */
static nj_curve_point *light_curve(const review *r, const nj_graph *graph, uint32_t row, uint32_t *n)
{
    const uint32_t *off = data_of(r, graph, LC_JD) ? r->batch->col[graph->want[LC_JD]].off : NULL;
    *n = off ? off[row + 1] - off[row] : 0;
    nj_curve_point *point = calloc(*n + 1, sizeof *point);
    for (uint32_t i = 0; point && i < *n; i++) {
        const uint32_t at = off[row] + i;
        double band = number(r, graph, LC_BAND, at), positive = number(r, graph, LC_POSITIVE, at),
               flux = number(r, graph, LC_FLUX, at);
        point[i] = (nj_curve_point){ number(r, graph, LC_JD, at),       number(r, graph, LC_MAG, at),
                                     number(r, graph, LC_ERR, at),      number(r, graph, LC_LIMIT, at),
                                     isnan(band) ? 255 : (uint8_t)band, isnan(positive) ? 255 : (uint8_t)positive };
        if (isnan(point[i].mag) && isfinite(flux) && flux != 0) {
            point[i].mag = 31.4 - 2.5 * log10(fabs(flux));
            point[i].mag_err = 1.0857 * number(r, graph, LC_FLUX_ERR, at) / fabs(flux);
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

static int write_row(review *r, const nj_graph *graph, uint32_t row, nj_error *err)
{
    static const char *const stamp_title[NJ_STAMPS] = { "science", "template", "difference" };
    static const int order[NJ_STAMPS] = { NJ_SCIENCE, NJ_TEMPLATE, NJ_DIFFERENCE };
    const nj_instance *hostless = nj_instances_find(&r->set, "hostless");
    const int32_t step = graph->step_of[hostless - r->set.item];
    const nj_outputs *outputs = r->batch->state;
    uint8_t reason = step >= 0 ? outputs->reason[step][row] : NJ_UNAVAILABLE;
    const double ra = number(r, graph, RA, row), dec = number(r, graph, DEC, row);
#define N(k) number(r, graph, k, row)
#define I(k) whole(r, graph, k, row)
    nj_hostless_page page = { .candid = r->batch->id[row],
                              .object = word(r, graph, OBJECT, row),
                              .survey = word(r, graph, SURVEY, row),
                              .band = word(r, graph, BAND, row),
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
                              .reason = reason < NJ_REASONS ? nj_reason_name[reason] : "unavailable",
                              .candidate = I(CANDIDATE),
                              .stage = I(STAGE),
                              .verdict = I(VERDICT),
                              .n_nan = I(N_NAN),
                              .n_bad = I(N_BAD),
                              .clipped = { I(CLIPPED_SCIENCE), I(CLIPPED_TEMPLATE) },
                              .lone = word(r, graph, LONE, row),
                              .ks = { N(KS_SCIENCE), N(KS_TEMPLATE) },
                              .sd = { N(KS_SCIENCE_SD), N(KS_TEMPLATE_SD) },
                              .limit = { r->limit[0], r->limit[1] },
                              .repeats = r->repeats,
                              .seed = r->seed };
#undef N
#undef I
    for (int k = 0; k < NJ_STAMPS; k++) {
        nj_stamp *stamp = r->batch->stamp[order[k]] ? &r->batch->stamp[order[k]][row] : NULL;
        page.stamp[k].title = stamp_title[k];
        if (!stamp) continue;
        nj_stamp_open(r->opener, stamp, &r->batch->arena, NULL);
        if (stamp->state == NJ_STAMP_OPEN)
            page.stamp[k] = (nj_picture){ stamp->image.pixel, stamp->image.rows, stamp->image.cols, stamp_title[k] };
    }
    nj_curve_point *point = light_curve(r, graph, row, &page.n_points);
    page.point = point;
    if (point && page.n_points && isnan(page.mag)) { /* a survey of fluxes */
        page.mag = point[page.n_points - 1].mag;
        page.mag_err = point[page.n_points - 1].mag_err;
    }
    int rc = point ? nj_hostless_write(r->writer, &page, err) : nj_fail(err, "out of memory");
    free(point);
    r->counts.n_alerts++;
    r->counts.n_candidates += page.candidate == 1;
    r->counts.n_verdicts += page.verdict == 1;
    return rc;
}

/* --- source --- */

static nj_stream *on_stream(void *opaque, const char *name, const char *topic, int32_t partition)
{
    review *r = opaque; /* its name is only for messages */
    r->stream = (nj_stream){ .name = name, .topic = topic, .partition = partition };
    return &r->stream;
}

static int review_chunk(review *r, nj_chunk *chunk, nj_error *err)
{
    nj_error why;
    if (nj_cursor_open(&r->cursor, r->decoder, chunk, &why)) {
        nj_log(NJ_LOG_WARN, "%s", why.text);
        r->counts.n_dead++;
        return 0;
    }
    nj_graph *graph = graph_of(r, r->cursor.schema, err);
    if (!graph) return -1;
    for (int more = 1; more == 1;) {
        if (nj_batch_begin(r->batch, &graph->layout, ROWS)) return nj_fail(err, "out of memory");
        more = nj_cursor_read(&r->cursor, r->batch, ROWS, SIZE_MAX);
        if (more < 0 || nj_dispatch(graph, r->worker, r->batch)) return nj_fail(err, "out of memory");
        for (uint32_t i = 0; i < r->batch->n_dead; i++) nj_log(NJ_LOG_WARN, "%s", r->batch->dead[i].reason);
        r->counts.n_dead += r->batch->n_dead;
        for (uint32_t row = 0; row < r->batch->n; row++)
            if (write_row(r, graph, row, err)) return -1;
        nj_batch_end(r->batch);
    }
    return 0;
}

/* The default instances under the user's settings; 16 repeats unless something else is said. */
static int prepare(review *r, const nj_settings *user, nj_error *err)
{
    static const char select[] = "hostless,roid";
    const nj_embedded *ini = nj_embedded_find("data/instances.ini");
    if (nj_settings_set(&r->settings, "module.hostless", "repeats", "16", "inspect --hostless") ||
        (ini && nj_settings_ini(&r->settings, ini->name, ini->data, err)))
        return -1;
    for (size_t i = 0; user && i < user->n; i++)
        if (nj_settings_set(&r->settings, user->item[i].section, user->item[i].key, user->item[i].value, user->item[i].where))
            return nj_fail(err, "out of memory");
    if (nj_modules_builtin(&r->modules, err) || nj_instances_choose(&r->set, &r->modules, &r->settings, select, err) ||
        nj_instances_open(&r->set, select, err))
        return -1;
    const char *repeats = nj_settings_get(&r->settings, "module.hostless", "repeats"),
               *seed = nj_settings_get(&r->settings, "module.hostless", "seed");
    const char *science = nj_settings_get(&r->settings, "module.hostless", "max_science"),
               *template = nj_settings_get(&r->settings, "module.hostless", "max_template");
    r->repeats = (uint32_t)atoi(repeats);
    r->seed = seed ? (uint32_t)atoll(seed) : 1337; /* defaults of the module's table */
    r->limit[0] = science ? atof(science) : 0.5;
    r->limit[1] = template ? atof(template) : 0.85;
    r->batch = nj_batch_new();
    if (!r->batch || !(r->decoder = nj_decoder_new(&r->settings, err)) || !(r->opener = nj_opener_new(r->decoder))) return -1;
    return (r->worker = nj_worker_new(&r->set, nj_stamp_for_graph, r->opener, SINGLE, false, err)) ? 0 : -1;
}

static void review_free(review *r)
{
    if (r->source) r->source->class->close(r->source);
    nj_hostless_writer_free(r->writer);
    if (r->worker) nj_worker_free(r->worker);
    for (uint32_t i = 0; i < r->n_graphs; i++) nj_graph_free(r->graph[i].graph);
    if (r->batch) nj_batch_free(r->batch);
    nj_cursor_free(&r->cursor);
    if (r->opener) nj_opener_free(r->opener);
    if (r->decoder) nj_decoder_free(r->decoder);
    nj_instances_close(&r->set);
    nj_modules_free(&r->modules);
    nj_settings_free(&r->settings);
}

int nj_hostless_review_run(const char *spec, const char *folder, const nj_settings *user, nj_hostless_review *counts,
                           nj_error *err)
{
    review r = { 0 };
    const nj_source_host host = nj_source_reader_host(on_stream, &r);
    int rc = -2;
    if (prepare(&r, user, err)) goto done;
    rc = -1;
    if (!(r.writer = nj_hostless_writer_new(folder, err))) goto done;
    const nj_source_args args = { .spec = spec, .settings = &r.settings, .host = &host };
    if (!(r.source = nj_source_open(&args, err))) goto done;
    for (;;) {
        nj_chunk *chunk = NULL;
        nj_next next = r.source->class->next(r.source, WAIT_MS, &chunk, err);
        if (next == NJ_NEXT_ERROR) goto done;
        if (next != NJ_NEXT_CHUNK) break;
        int failed = review_chunk(&r, chunk, err);
        nj_chunk_drop(chunk);
        if (failed) goto done;
    }
    rc = nj_hostless_write_index(r.writer, spec, err);
done:
    *counts = r.counts;
    review_free(&r);
    return rc;
}
