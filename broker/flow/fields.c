/* fields.c - the output columns of a run, and what they and the filters read. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/night.h"
#include "columns.h"
#include "internal.h"
#include "topic_outputs.h"

/* Doubles, so that a number prints as the packet's float widens. */
const nj_base_column nj_base_columns[] = {
    { "candid", NJ_I64, "1", "alert id; diaSourceId for LSST" },
    { "object", NJ_STR, "1", "object id" },
    { "survey", NJ_STR, "1", "survey" },
    { "jd", NJ_F64, "d", "Julian Date as published; see time_scale and time_ref" },
    { "ra", NJ_F64, "deg", "right ascension of this detection, J2000" },
    { "dec", NJ_F64, "deg", "declination of this detection, J2000" },
    { "gal_b", NJ_F64, "deg", "galactic latitude" },
    { "exposure", NJ_F64, "1", "what the alerts of one exposure share: ZTF jd, LSST visit" },
    { "band", NJ_STR, "1", "passband: u g r i z y" },
    { "mag", NJ_F64, "mag", "PSF magnitude of the difference detection" },
    { "mag_err", NJ_F64, "mag", "its 1-sigma error" },
    { "positive", NJ_U8, "1", "1 = brighter than the template, 0 = fainter" },
    { "rb", NJ_F64, "1", "real-bogus score of the survey" },
    { "drb", NJ_F64, "1", "deep-learning real-bogus score of the survey" },
    { "ndethist", NJ_I32, "1", "detections of the object so far" },
    { "programid", NJ_I32, "1", "observing programme; 1 = public" },
    { 0 },
};

static uint32_t add_want(run *r, const char *path, nj_type type, const char *unit_name)
{
    for (uint32_t k = 0; k < r->n_wants; k++)
        if (!strcmp(r->want[k].path, path)) return k;
    nj_want *want = realloc(r->want, (r->n_wants + 1) * sizeof *want);
    const char *kept = want ? nj_arena_text(&r->arena, path, strlen(path)) : NULL;
    if (want) r->want = want;
    if (!kept) return UINT32_MAX;
    r->want[r->n_wants] = (nj_want){ kept, type, unit_name };
    return r->n_wants++;
}

int nj_flow_add_field(run *r, nj_field field, field_source from)
{
    nj_field *list = realloc(r->field, (r->n_fields + 1) * sizeof *list);
    if (list) r->field = list;
    field_source *froms = realloc(r->field_from, (r->n_fields + 1) * sizeof *froms);
    if (froms) r->field_from = froms;
    if (!list || !froms) return -1;
    r->field[r->n_fields] = field;
    r->field_from[r->n_fields++] = from;
    return 0;
}

static const nj_field *find_field(const run *r, const char *key)
{
    for (uint32_t i = 0; i < r->n_fields; i++)
        if (!strcmp(r->field[i].key, key)) return &r->field[i];
    return NULL;
}

/* What all surveys agree on about a canonical column: it is the same whichever comes first.
 * An adapter's column counts too. */
static void offer_of_all(const run *r, const char *path, nj_offer *offer)
{
    nj_decoder_offer(r->engine.decoder, path, offer);
    for (uint32_t i = 0; i < r->engine.instances.n; i++)
        for (uint32_t k = 0; k < r->engine.instances.item[i].n_gives; k++) {
            const nj_give *g = &r->engine.instances.item[i].give[k];
            if (!(g->flags & NJ_GIVE_CANONICAL) || strcmp(g->name, path)) continue;
            nj_offer_join(offer, &(nj_offer){ g->type, g->width ? NJ_SCALAR : NJ_SERIES, g->unit, false });
        }
}

/* A raw or canonical column. The type of a raw one is known when the first schema is
 * (its want has 0 until then). */
static int add_extra(run *r, const char *path)
{
    if (find_field(r, path)) return 0;
    nj_offer offer = { 0 };
    if (strncmp(path, "packet.", 7)) offer_of_all(r, path, &offer);
    uint32_t want = add_want(r, path, offer.type, NULL);
    if (want == UINT32_MAX) return -1;
    if (!r->want[want].type)
        r->want[want].type = offer.type; /* the SQL table lc asked for it first,
                                          * of any type */
    bool series = offer.shape ? offer.shape == NJ_SERIES : strstr(path, "[]") != NULL;
    return nj_flow_add_field(r,
                             (nj_field){ .key = r->want[want].path,
                                         .type = offer.type ? offer.type : NJ_F64,
                                         .width = series ? 0 : 1,
                                         .unit = offer.unit ? offer.unit : "",
                                         .doc = "as in the packet" },
                             (field_source){ FIELD_WANT, want, 0 });
}

static int add_base(run *r)
{
    for (const nj_base_column *c = nj_base_columns; c->key; c++) {
        if (!strcmp(c->key, "programid")) r->programid_field = r->n_fields;
        if (!strcmp(c->key, "jd")) r->jd_field = r->n_fields;
        if (!strcmp(c->key, "exposure")) r->exposure_field = r->n_fields;
        uint32_t want = add_want(r, c->key, c->type, !strcmp(c->unit, "1") ? NULL : c->unit);
        if (want == UINT32_MAX ||
            nj_flow_add_field(r, (nj_field){ c->key, NULL, c->type, 1, c->unit, c->doc, NULL },
                              (field_source){ FIELD_WANT, want, 0 }))
            return -1;
    }
    return 0;
}

/* Which topics a row matches: filled by the output thread, after the filters. */
static int add_topics(run *r)
{
    if (!r->options->n_topics) return 0;
    r->topics_field = r->n_fields;
    return nj_flow_add_field(r,
                             (nj_field){ "topics", NULL, NJ_STR, 1, "1",
                                         "names of the topics that the alert matches, commas between them",
                                         NULL },
                             (field_source){ FIELD_TOPICS, 0, 0 });
}

static int add_modules(run *r, nj_error *err)
{
    for (uint32_t i = 0; i < r->engine.instances.n; i++) {
        const nj_instance *in = &r->engine.instances.item[i];
        if (!in->wanted) continue;
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *g = &in->give[k];
            const char *key = g->flags & NJ_GIVE_CANONICAL
                                  ? g->name
                                  : nj_arena_printf(&r->arena, "%s.%s", in->name, g->name);
            if (key && find_field(r, key))
                return nj_fail(err, "module %s gives %s, and there is such a column already", in->name, key);
            if (!key ||
                nj_flow_add_field(r, (nj_field){ key, in->name, g->type, g->width, g->unit, g->doc, NULL },
                                  (field_source){ FIELD_GIVE, i, k }))
                return nj_fail(err, "out of memory");
        }
        const char *key = nj_arena_printf(&r->arena, "%s.reason", in->name);
        if (!key || nj_flow_add_field(r,
                                      (nj_field){ key, in->name, NJ_U8, 1, "1",
                                                  "why there is, or is no answer", nj_reason_name },
                                      (field_source){ FIELD_REASON, i, 0 }))
            return nj_fail(err, "out of memory");
    }
    return 0;
}

int nj_flow_add_column(run *r, const char *label, const char *name, nj_error *err)
{
    if (nj_flow_check_column(r, label, name, err)) return -1;
    return add_extra(r, name) ? nj_fail(err, "out of memory") : 0;
}

static int add_columns(run *r, const char *label, const char *list, nj_error *err)
{
    for (const char *p = list; p && *p;) {
        const char *end = strchrnul(p, ',');
        while (p < end && isspace((unsigned char)*p)) p++;
        size_t n = (size_t)(end - p);
        while (n && isspace((unsigned char)p[n - 1])) n--;
        const char *name = nj_arena_text(&r->arena, p, n);
        if (!name) return nj_fail(err, "out of memory");
        if (n && nj_flow_add_column(r, label, name, err)) return -1;
        p = *end ? end + 1 : end;
    }
    return 0;
}

/* A column of the SQL table lc is requested as a column of its own.
 * 1: it is one, 0: it is none, -1: memory is short. */
static int light_curve(run *r, const char *name)
{
    for (int k = 0; k < NJ_LC_COLUMNS; k++)
        if (!strcmp(nj_lc_path[k], name)) {
            r->lc_want[k] = add_want(r, name, 0, NULL);
            return r->lc_want[k] == UINT32_MAX ? -1 : 1;
        }
    return 0;
}

/* Names that a clause uses and no field has yet: canonical columns or raw packet fields, or a mistake. */
static int add_names(run *r, const char *label, const char *where, nj_error *err)
{
    char **name = NULL;
    size_t n = 0;
    if (nj_filter_names(label, where, &name, &n, err)) return -1;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (r->options->n_topics && !strcmp(name[i], "topics")) {
            rc = nj_fail(err, "%s: topics: has its value only after all topics were evaluated", label);
            continue;
        }
        int lc = light_curve(r, name[i]);
        if (lc < 0) rc = nj_fail(err, "out of memory");
        if (lc || find_field(r, name[i])) continue;
        char hint[160];
        rc = nj_flow_check_column(r, label, name[i], err);
        if (rc && nj_clause_hint_for(where, name[i], hint, sizeof hint))
            nj_fail(err, "%s: no column '%s'; %s", label, name[i], hint);
        if (!rc && add_extra(r, name[i])) rc = nj_fail(err, "out of memory");
    }
    free(name);
    return rc ? rc : nj_flow_check_regions(r, label, where, err);
}

static void no_topic(run *r, const char *name, nj_error *err)
{
    const nj_settings *s = r->options->settings;
    const char **known = nj_arena_alloc(&r->arena, (s->n + 1) * sizeof *known), *near = NULL;
    size_t n = 0;
    for (size_t i = 0; known && i < s->n; i++)
        if (!strncmp(s->item[i].section, "topic.", 6)) known[n++] = s->item[i].section + 6;
    if (known) near = nj_nearest(name, known, n);
    if (near)
        nj_fail(err, "-t %s: no ready topic of that name; did you mean '%s'?", name, near);
    else
        nj_fail(err, "-t %s: no ready topic of that name; use -t %s='SQL'", name, name);
}

/* The ready topic of the settings, or the clause as given. NULL with err: there is none. */
static const char *topic_where(run *r, const nj_topic_option *t, nj_error *err)
{
    if (t->where) return t->where;
    const char *section = nj_arena_printf(&r->arena, "topic.%s", t->name);
    if (!section) return nj_fail(err, "out of memory"), NULL;
    const char *where = nj_settings_get(r->options->settings, section, "where");
    if (!where) no_topic(r, t->name, err);
    return where;
}

void nj_flow_filters_of_stream(run *r)
{
    bool any = false;
    for (uint32_t i = 0; i < r->n_sources; i++) any |= r->source[i]->class->ack != NULL;
    if (!any) return;
    if (r->filter) nj_filter_never_ends(r->filter);
    for (uint32_t i = 0; i < r->n_topics; i++) nj_filter_never_ends(r->topic[i].filter);
}

int nj_flow_filters(run *r, bool warn, nj_error *err)
{
    const nj_run_options *o = r->options;
    double longitude = NAN;
    if (r->conf.site[0] && nj_site_parse(r->conf.site, &longitude, err)) return -1;
    nj_filter_free(r->filter);
    r->filter = NULL;
    if (o->where) r->filter = nj_filter_new("-w", o->where, r->field, r->n_fields, longitude, err);
    if (o->where && !r->filter) return -1;
    if (warn && r->filter && nj_filter_warning(r->filter))
        nj_log(NJ_LOG_WARN, "%s", nj_filter_warning(r->filter));
    for (uint32_t i = 0; i < o->n_topics; i++) {
        nj_filter_free(r->topic[i].filter);
        r->topic[i].name = o->topic[i].name;
        r->topic[i].filter = NULL;
        const char *where = topic_where(r, &o->topic[i], err);
        if (where)
            r->topic[i].filter =
                nj_filter_new(o->topic[i].name, where, r->field, r->n_fields, longitude, err);
        if (!r->topic[i].filter) return -1;
        if (warn && nj_filter_warning(r->topic[i].filter))
            nj_log(NJ_LOG_WARN, "%s", nj_filter_warning(r->topic[i].filter));
    }
    r->n_topics = o->n_topics;
    nj_flow_filters_of_stream(r);
    return 0;
}

/* What outputs read from the batches themselves. */
static int add_wants_of_sinks(run *r)
{
    const nj_run_options *o = r->options;
    for (uint32_t i = 0; i < o->n_sinks; i++) {
        const nj_sink_class *class = nj_sink_class_of(o->sink[i]);
        if (!class) continue; /* reported when it is opened */
        r->sink_stamps |= class->stamps;
        for (const char *const *path = class->wants; path && *path; path++)
            if (add_want(r, *path, 0, NULL) == UINT32_MAX) return -1;
    }
    return 0;
}

int nj_flow_fields(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    memset(r->lc_want, 0xff, sizeof r->lc_want);
    if (nj_flow_check_topics(r, err)) return -1;
    if (nj_flow_shard_fields(r) || add_base(r)) return nj_fail(err, "out of memory");
    if (add_columns(r, "columns", o->own_columns, err)) return -1;
    r->n_base = r->n_fields;
    if (add_topics(r)) return nj_fail(err, "out of memory");
    if (add_modules(r, err) || nj_flow_check_needs(r, err)) return -1;
    if (add_columns(r, "--columns", o->columns, err)) return -1;
    r->n_out = r->n_fields;
    if (nj_flow_topic_fields(r, err)) return -1;
    r->n_shown = r->n_fields;
    if (add_wants_of_sinks(r)) return nj_fail(err, "out of memory");
    if (o->where && add_names(r, "-w", o->where, err)) return -1;
    r->topic = calloc(o->n_topics + 1, sizeof *r->topic);
    if (!r->topic) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < o->n_topics; i++) {
        const char *where = topic_where(r, &o->topic[i], err);
        if (!where) return -1;
        const char *label = nj_arena_printf(&r->arena, "-t %s", o->topic[i].name);
        if (!label) return nj_fail(err, "out of memory");
        if (add_names(r, label, where, err)) return -1;
    }
    return nj_flow_filters(r, true, err);
}
