/* fields.c - the output columns of a run, what they and the filters read, and each survey's graph. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "internal.h"

/* The columns that every row has (contract.md). Doubles, so that a number prints as the packet's float widens. */
typedef struct base_column {
    const char *key;
    nj_type type;
    const char *unit, *doc;
} base_column;

static const base_column base_columns[] = {
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
};
enum { N_BASE = sizeof base_columns / sizeof *base_columns };

static uint32_t add_want(run *r, const char *path, nj_type type, const char *unit_name)
{
    for (uint32_t k = 0; k < r->n_wants; k++)
        if (!strcmp(r->want[k].path, path)) return k;
    nj_want *want = realloc(r->want, (r->n_wants + 1) * sizeof *want);
    if (!want) return UINT32_MAX;
    r->want = want;
    r->want[r->n_wants] = (nj_want){ nj_arena_text(&r->arena, path, strlen(path)), type, unit_name };
    return r->n_wants++;
}

static int add_field(run *r, nj_field field, field_source from)
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

/* A raw or canonical column; its type is known when the first schema is (0 until then). */
static int add_extra(run *r, const char *path)
{
    if (find_field(r, path)) return 0;
    uint32_t want = add_want(r, path, 0, NULL);
    if (want == UINT32_MAX) return -1;
    return add_field(r,
                     (nj_field){ .key = r->want[want].path, .type = NJ_F64, .width = 1, .unit = "", .doc = "as in the packet" },
                     (field_source){ FIELD_WANT, want, 0 });
}

static int add_base(run *r)
{
    for (uint32_t i = 0; i < N_BASE; i++) {
        const base_column *c = &base_columns[i];
        if (!strcmp(c->key, "programid")) r->programid_field = r->n_fields;
        if (!strcmp(c->key, "jd")) r->jd_field = r->n_fields;
        if (!strcmp(c->key, "exposure")) r->exposure_field = r->n_fields;
        uint32_t want = add_want(r, c->key, c->type, !strcmp(c->unit, "1") ? NULL : c->unit);
        if (want == UINT32_MAX ||
            add_field(r, (nj_field){ c->key, NULL, c->type, 1, c->unit, c->doc, NULL }, (field_source){ FIELD_WANT, want, 0 }))
            return -1;
    }
    return 0;
}

/* Which topics a row matches: filled by the output thread, after the filters. */
static int add_topics(run *r)
{
    if (!r->options->n_topics) return 0;
    r->topics_field = r->n_fields;
    return add_field(
        r, (nj_field){ "topics", NULL, NJ_STR, 1, "1", "names of the topics that the alert matches, commas between them", NULL },
        (field_source){ FIELD_TOPICS, 0, 0 });
}

static int add_modules(run *r)
{
    for (uint32_t i = 0; i < r->instances.n; i++) {
        const nj_instance *in = &r->instances.item[i];
        if (!in->wanted) continue;
        for (uint32_t k = 0; k < in->n_gives; k++) {
            const nj_give *g = &in->give[k];
            const char *key = g->flags & NJ_CANONICAL ? g->name : nj_arena_printf(&r->arena, "%s.%s", in->name, g->name);
            if (!key || add_field(r, (nj_field){ key, in->name, g->type, g->width, g->unit, g->doc, NULL },
                                  (field_source){ FIELD_GIVE, i, k }))
                return -1;
        }
        const char *key = nj_arena_printf(&r->arena, "%s.reason", in->name);
        if (!key || add_field(r, (nj_field){ key, in->name, NJ_U8, 1, "1", "why there is, or is no answer", nj_reason_name },
                              (field_source){ FIELD_REASON, i, 0 }))
            return -1;
    }
    return 0;
}

static bool is_image(const char *name)
{
    return !strncmp(name, "stamp.", 6);
}

static int add_columns(run *r, const char *list, nj_error *err)
{
    for (const char *p = list; p && *p;) {
        const char *end = strchrnul(p, ',');
        while (p < end && isspace((unsigned char)*p)) p++;
        char name[256];
        int n = (int)(end - p);
        while (n && isspace((unsigned char)p[n - 1])) n--;
        snprintf(name, sizeof name, "%.*s", n, p);
        if (is_image(name)) return nj_fail(err, "--columns %s: an image is no column; modules read it, `inspect` draws it", name);
        if (n && add_extra(r, name)) return nj_fail(err, "out of memory");
        p = *end ? end + 1 : end;
    }
    return 0;
}

/* A column of the SQL table lc becomes a want of its own. */
static bool is_light_curve(run *r, const char *name)
{
    for (int k = 0; k < NJ_LC_COLUMNS; k++)
        if (!strcmp(nj_lc_path[k], name)) {
            r->lc_want[k] = add_want(r, name, 0, NULL);
            return true;
        }
    return false;
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
            rc = nj_fail(err, "%s: topics: is known only after all topics were asked", label);
            continue;
        }
        if (is_light_curve(r, name[i]) || find_field(r, name[i])) continue;
        const char *dot = strchr(name[i], '.');
        char owner[128];
        snprintf(owner, sizeof owner, "%.*s", (int)(dot ? dot - name[i] : 0), name[i]);
        if (is_image(name[i])) {
            rc = nj_fail(err, "%s: %s: an image is no column; modules read it", label, name[i]);
            continue;
        }
        if (nj_decoder_knows(r->decoder, name[i]) || !strncmp(name[i], "packet.", 7)) {
            if (add_extra(r, name[i])) rc = nj_fail(err, "out of memory");
            continue;
        }
        const char *known[4096];
        size_t k = 0;
        for (; k < r->n_fields && k < 4096; k++) known[k] = r->field[k].key;
        const char *near = nj_nearest(name[i], known, k);
        if (dot && !nj_instances_find(&r->instances, owner) && nj_modules_find(&r->modules, owner))
            rc = nj_fail(err, "%s: %s: module %s does not run here (add it with -m +%s)", label, name[i], owner, owner);
        else
            rc = nj_fail(err, "%s: no column '%s'%s%s%s", label, name[i], near ? "; did you mean '" : "", near ? near : "",
                         near ? "'?" : "");
    }
    free(name);
    return rc;
}

/* The ready topic of the settings, or the clause as given. */
static const char *topic_where(run *r, const nj_topic_option *t)
{
    return t->where ? t->where : nj_settings_get(r->options->settings, nj_arena_printf(&r->arena, "topic.%s", t->name), "where");
}

static int make_filters(run *r, bool warn, nj_error *err)
{
    const nj_run_options *o = r->options;
    nj_filter_free(r->filter);
    r->filter = NULL;
    if (o->where && !(r->filter = nj_filter_new("-w", o->where, r->field, r->n_fields, err))) return -1;
    if (warn && r->filter && nj_filter_warning(r->filter)) nj_log(NJ_LOG_WARN, "%s", nj_filter_warning(r->filter));
    for (uint32_t i = 0; i < o->n_topics; i++) {
        nj_filter_free(r->topic[i].filter);
        r->topic[i].name = o->topic[i].name;
        r->topic[i].filter = nj_filter_new(o->topic[i].name, topic_where(r, &o->topic[i]), r->field, r->n_fields, err);
        if (!r->topic[i].filter) return -1;
        if (warn && nj_filter_warning(r->topic[i].filter)) nj_log(NJ_LOG_WARN, "%s", nj_filter_warning(r->topic[i].filter));
    }
    r->n_topics = o->n_topics;
    return 0;
}

int nj_flow_fields(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    memset(r->lc_want, 0xff, sizeof r->lc_want);
    if (add_base(r) || add_topics(r) || add_modules(r)) return nj_fail(err, "out of memory");
    if (add_columns(r, o->columns, err)) return -1;
    r->n_out = r->n_fields;
    if (o->where && add_names(r, "-w", o->where, err)) return -1;
    r->topic = calloc(o->n_topics + 1, sizeof *r->topic);
    if (!r->topic) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < o->n_topics; i++) {
        const char *where = topic_where(r, &o->topic[i]);
        if (!where)
            return nj_fail(err, "-t %s: no ready topic of that name; say -t %s='SQL'", o->topic[i].name, o->topic[i].name);
        if (add_names(r, o->topic[i].name, where, err)) return -1;
    }
    return make_filters(r, true, err);
}

/* --- surveys --- */

/* One line for people; each reason with -v. */
static void tell_what_is_silent(const nj_graph *g)
{
    char names[1024] = "";
    for (uint32_t i = 0; i < g->n_steps; i++) {
        const nj_step *step = &g->step[i];
        if (!step->off || !step->in->wanted) continue;
        nj_log(NJ_LOG_DEBUG, "%s gives no answers on survey %s: %s", step->in->name, g->layout.survey, step->off);
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", step->in->name);
    }
    if (names[0])
        nj_log(NJ_LOG_INFO, "no answers on survey %s, which lacks their inputs or is not theirs (-v says why): %s",
               g->layout.survey, names);
}

static uint32_t column_of(const nj_graph *g, const char *path, nj_type type)
{
    for (uint32_t c = 0; c < g->layout.n_packet; c++)
        if (!strcmp(g->layout.col[c].path, path) && g->layout.col[c].type == type && g->layout.col[c].scale == 1) return c;
    return NJ_NO_COLUMN;
}

static survey *make_survey(run *r, const nj_schema *schema, nj_error *err)
{
    nj_offers offers = { schema, nj_schema_survey(schema), nj_offer_for_graph };
    survey *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory"), NULL;
    s->graph = nj_graph_new(&r->instances, &offers, r->want, r->n_wants, err);
    s->column = calloc(r->n_fields + 1, sizeof *s->column);
    s->reason = calloc(r->n_fields + 1, sizeof *s->reason);
    if (!s->graph || !s->column || !s->reason) {
        nj_graph_free(s->graph);
        free(s->column);
        free(s->reason);
        free(s);
        return NULL;
    }
    const nj_graph *g = s->graph;
    for (uint32_t f = 0; f < r->n_fields; f++) {
        field_source from = r->field_from[f];
        s->column[f] = NJ_NO_COLUMN;
        s->reason[f] = -1;
        if (from.kind == FIELD_WANT)
            s->column[f] = g->want[from.index];
        else if (from.kind == FIELD_REASON)
            s->reason[f] = g->step_of[from.index];
        else if (from.kind == FIELD_GIVE && g->step_of[from.index] >= 0)
            s->column[f] = g->step[g->step_of[from.index]].first_out + from.give;
    }
    s->jd = column_of(g, "jd", NJ_F64);
    s->lc_jd = column_of(g, "lc.jd", NJ_F64);
    tell_what_is_silent(g);
    return s;
}

/* The graph is resolved on the survey's first schema. Canonical columns are the map's, whatever a schema has, and a raw
 * column that a schema lacks is null there: only the type of a raw column depends on who comes first. */
static void look_at_schema(const run *r, survey *s, const nj_schema *schema)
{
    for (uint32_t i = 0; i < s->n_schemas; i++)
        if (s->schema[i] == schema) return;
    if (s->n_schemas == sizeof s->schema / sizeof *s->schema) return;
    s->schema[s->n_schemas++] = schema;
    for (uint32_t k = 0; k < r->n_wants; k++) {
        uint32_t c = s->graph->want[k];
        nj_offer offer;
        if (strncmp(r->want[k].path, "packet.", 7) || c >= NJ_FIRST_STAMP ||
            nj_schema_offer(schema, r->want[k].path, &offer, NULL))
            continue;
        const nj_column *have = &s->graph->col[c];
        if ((offer.type == NJ_STR) != (have->type == NJ_STR) || offer.shape != have->shape)
            nj_log(NJ_LOG_WARN, "%s is a %s%s in %s; the run began with packets where it is not, and has no answer for it",
                   r->want[k].path, offer.shape == NJ_SERIES ? "list of " : "", offer.type == NJ_STR ? "text" : "number",
                   nj_schema_name(schema));
    }
}

survey *nj_flow_survey(run *r, const nj_schema *schema, nj_error *err)
{
    const char *name = nj_schema_survey(schema);
    survey *found = NULL;
    pthread_mutex_lock(&r->survey_lock);
    for (uint32_t i = 0; i < r->n_surveys && !found; i++)
        if (!strcmp(r->survey[i]->graph->layout.survey, name)) found = r->survey[i];
    if (!found) {
        survey **list = realloc(r->survey, (r->n_surveys + 1) * sizeof *list);
        if (list) r->survey = list;
        found = list ? make_survey(r, schema, err) : NULL;
        if (found) r->survey[r->n_surveys++] = found;
    }
    if (found) look_at_schema(r, found, schema);
    pthread_mutex_unlock(&r->survey_lock);
    return found;
}

const survey *nj_flow_survey_of(run *r, const nj_graph *graph)
{
    const survey *found = NULL;
    pthread_mutex_lock(&r->survey_lock);
    for (uint32_t i = 0; i < r->n_surveys && !found; i++)
        if (r->survey[i]->graph == graph) found = r->survey[i];
    pthread_mutex_unlock(&r->survey_lock);
    return found;
}

void nj_flow_surveys_free(run *r)
{
    for (uint32_t i = 0; i < r->n_surveys; i++) {
        nj_graph_free(r->survey[i]->graph);
        free(r->survey[i]->column);
        free(r->survey[i]->reason);
        free(r->survey[i]);
    }
    free(r->survey);
    r->survey = NULL;
    r->n_surveys = 0;
}

int nj_flow_fields_resolved(run *r, const survey *s, nj_error *err)
{
    const nj_graph *g = s->graph;
    for (uint32_t f = 0; f < r->n_fields; f++) {
        uint32_t c = s->column[f];
        if (r->field_from[f].kind != FIELD_WANT || c >= NJ_FIRST_STAMP) continue;
        r->field[f].type = g->col[c].type;
        r->field[f].width = g->col[c].shape == NJ_SERIES ? 0 : g->col[c].width;
        if (g->col[c].unit && !(r->field[f].unit && *r->field[f].unit)) r->field[f].unit = g->col[c].unit;
        r->want[r->field_from[f].index].type = g->col[c].type; /* surveys that come later convert to it */
    }
    return make_filters(r, false, err);
}

int nj_flow_values(const run *r, const survey *s, const nj_batch *b, nj_col *value)
{
    const nj_outputs *outputs = b->state;
    for (uint32_t f = 0; f < r->n_fields; f++) {
        uint32_t c = s->column[f];
        value[f] = (nj_col){ NULL, NULL };
        if (r->field_from[f].kind == FIELD_REASON) {
            if (s->reason[f] >= 0) value[f].data = outputs->reason[s->reason[f]];
        } else if (c < NJ_FIRST_STAMP && s->graph->col[c].type == r->field[f].type) {
            value[f] = b->col[c];
        }
    }
    return 0;
}

nj_light_curve nj_flow_light_curve(const run *r, const survey *s, const nj_batch *b)
{
    nj_light_curve lc = { 0 };
    for (int k = 0; k < NJ_LC_COLUMNS; k++) {
        uint32_t c = r->lc_want[k] == UINT32_MAX ? NJ_NO_COLUMN : s->graph->want[r->lc_want[k]];
        if (c >= NJ_FIRST_STAMP) continue;
        lc.col[k] = b->col[c];
        lc.type[k] = s->graph->col[c].type;
    }
    return lc;
}
