/* survey.c - each survey's graph and where the run's columns are in it: made once, by one thread, and only
 * read after that. */
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "internal.h"

/* One line for people; each reason with -v. true: all that -m names is silent. */
static bool report_modules_off(const run *r, const nj_graph *g)
{
    nj_buffer names = { 0 };
    uint32_t asked = 0, silent = 0;
    for (uint32_t i = 0; i < g->n_steps; i++) {
        const nj_step *step = &g->step[i];
        bool named = nj_is_selected(r->options->select, step->in->name);
        asked += named && step->in->wanted;
        if (!step->off || !step->in->wanted) continue;
        silent += named;
        if (named) {
            nj_log(NJ_LOG_INFO, "%s gives no answers on survey %s: %s", step->in->name, g->layout.survey,
                   step->off);
            continue;
        }
        nj_debug(NJ_DEBUG_GRAPH, "%s gives no answers on survey %s: %s", step->in->name, g->layout.survey,
                 step->off);
        nj_buffer_printf(&names, "%s%s", names.n ? ", " : "", step->in->name);
    }
    if (names.n)
        nj_log(NJ_LOG_INFO,
               "no answers on survey %s, which lacks their inputs or is not theirs (-v says why): %s",
               g->layout.survey, names.data);
    if (asked && silent == asked) /* a night without one answer must not look like a night without a find */
        nj_log(NJ_LOG_WARN, "survey %s: every module that -m names is off: no row of it has an answer",
               g->layout.survey);
    nj_buffer_free(&names);
    return asked && silent == asked;
}

bool nj_flow_all_off(const run *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->surveys.n; i++) n += r->surveys.item[i]->all_off;
    return n && n == r->surveys.n;
}

static bool is_raw(const char *path)
{
    return !strncmp(path, "packet.", 7);
}

static void add_lacking(const nj_schema *schema, const char *path, const char *whose, nj_buffer *out)
{
    nj_offer ignored;
    char near[256];
    if (is_raw(path) && nj_schema_offer(schema, path, &ignored, NULL) >= 0) return;
    nj_buffer_printf(out, "%s%s%s%s%s", out->n ? ", " : "", path, *whose ? " (for module " : "", whose,
                     *whose ? ")" : "");
    if (is_raw(path) && nj_schema_nearest(schema, path, near, sizeof near))
        nj_buffer_printf(out, " (did you mean %s?)", near);
}

/* Columns that were asked for and that the survey's first packets lack:
 * once per survey, as others may have it. */
static void report_missing_columns(const run *r, const nj_graph *g, const nj_schema *schema)
{
    nj_buffer paths = { 0 };
    for (uint32_t f = r->n_base; f < r->n_fields; f++) {
        if (r->field_from[f].kind != FIELD_WANT) continue;
        const char *path = r->want[r->field_from[f].index].path;
        if (is_raw(path) || g->want[r->field_from[f].index] == NJ_NO_COLUMN)
            add_lacking(schema, path, "", &paths);
    }
    for (uint32_t i = 0; i < g->n_steps; i++) {
        const nj_instance *in = g->step[i].in;
        if (g->step[i].off || !nj_is_selected(r->options->select, in->name)) continue;
        for (uint32_t k = 0; k < in->n_needs; k++)
            if (!(in->need[k].flags & NJ_NEED_OPTIONAL) && is_raw(in->need[k].path))
                add_lacking(schema, in->need[k].path, in->name, &paths);
    }
    if (paths.n)
        nj_log(NJ_LOG_INFO, "packets of %s lack what is null in their rows: %s", nj_schema_name(schema),
               paths.data);
    nj_buffer_free(&paths);
}

static uint32_t column_of(const nj_graph *g, const char *path, nj_type type)
{
    for (uint32_t c = 0; c < g->layout.n_packet; c++)
        if (!strcmp(g->layout.col[c].path, path) && g->layout.col[c].type == type &&
            g->layout.col[c].scale == 1)
            return c;
    return NJ_NO_COLUMN;
}

/* ---- types ----------------------------------------------------------------------------------- */

/* Raw columns get the type that the first packets have;
 * where those lack the field, the one of the built-in layouts. */
static int fix_types(run *r, const nj_schema *schema, nj_error *err)
{
    for (uint32_t f = 0; f < r->n_fields; f++) {
        if (r->field_from[f].kind != FIELD_WANT) continue;
        nj_want *want = &r->want[r->field_from[f].index];
        nj_field *field = &r->field[f];
        nj_offer offer = { 0 };
        bool found = nj_schema_offer(schema, want->path, &offer, NULL) == 0;
        if (found && offer.unit && !(field->unit && *field->unit)) field->unit = offer.unit;
        if (want->type) continue;
        if (!found) nj_decoder_offer(r->engine.decoder, want->path, &offer);
        want->type = field->type = offer.type ? offer.type : NJ_F64;
        field->mixed = offer.mixed;
        if (offer.shape) field->width = offer.shape == NJ_SERIES ? 0 : 1;
        r->surveys.old_filters = true;
    }
    if (r->surveys.old_filters && nj_flow_filters(r, false, err)) return -1;
    r->surveys.old_filters = false;
    return 0;
}

static const char *words_of(nj_type type, nj_shape shape)
{
    static const char *const one[] = { "?",
                                       "small whole number",
                                       "32-bit whole number",
                                       "64-bit whole number",
                                       "32-bit float",
                                       "64-bit float",
                                       "text" };
    static const char *const list[] = { "?",
                                        "list of small whole numbers",
                                        "list of 32-bit whole numbers",
                                        "list of 64-bit whole numbers",
                                        "list of 32-bit floats",
                                        "list of 64-bit floats",
                                        "list of texts" };
    return shape == NJ_SERIES ? list[type] : one[type];
}

/* Is every value of one type a value of the other? */
static bool fits(nj_type from, nj_type into)
{
    nj_offer both = { .type = from };
    if (into == NJ_STR) return true;
    nj_offer_join(&both, &(nj_offer){ .type = into });
    return both.type == into && !(from == NJ_I64 && into == NJ_F64);
}

static bool has_unit(const char *name)
{
    return name && *name && strcmp(name, "1") != 0;
}

/* Where a schema has a field as something else than the run's column. True: its values would not be the
 * packet's. Numbers of a canonical column are the map's matter:
 * it says which type the survey's values become. */
static bool report_other_type(const run *r, uint32_t f, const char *whose, const nj_schema *schema)
{
    const nj_want *want = &r->want[r->field_from[f].index];
    const nj_field *field = &r->field[f];
    nj_shape shape = field->width ? NJ_SCALAR : NJ_SERIES;
    nj_offer have;
    if (nj_schema_offer(schema, want->path, &have, NULL)) return false;
    if (!want->unit && has_unit(field->unit) && has_unit(have.unit) && strcmp(field->unit, have.unit) != 0)
        nj_log(NJ_LOG_WARN,
               "%s is in %s in packets of %s, where the column is in %s: those values stay as published",
               want->path, have.unit, whose, field->unit);
    bool raw = !strncmp(want->path, "packet.", 7), words = have.type == NJ_STR;
    if ((raw ? fits(have.type, want->type) : words == (want->type == NJ_STR)) && have.shape == shape)
        return false;
    nj_log(NJ_LOG_WARN, "%s is a %s in packets of %s, and a %s in this run's columns: it has no answer there",
           want->path, words_of(have.type, have.shape), whose, words_of(want->type, shape));
    return true;
}

/* ---- surveys --------------------------------------------------------------------------------- */

static uint32_t column_for(const run *r, const survey *s, uint32_t f)
{
    const nj_graph *g = s->graph;
    field_source from = r->field_from[f];
    uint32_t c = NJ_NO_COLUMN;
    if (from.kind == FIELD_WANT)
        c = g->want[from.index];
    else if (from.kind == FIELD_GIVE && g->step_of[from.index] >= 0)
        c = g->step[g->step_of[from.index]].first_out + from.give;
    if (c >= NJ_FIRST_STAMP) return NJ_NO_COLUMN;
    const nj_column *have = &g->col[c];
    uint32_t width = have->shape == NJ_SERIES ? 0 : have->width;
    return have->type == r->field[f].type && width == r->field[f].width ? c : NJ_NO_COLUMN;
}

static void free_survey(survey *s)
{
    if (!s) return;
    nj_graph_free(s->graph);
    free(s->column);
    free(s->reason);
    free(s);
}

static survey *make_survey(run *r, const nj_schema *schema, nj_error *err)
{
    nj_offers offers = { schema, nj_schema_survey(schema), nj_offer_for_graph, nj_schema_serves(schema) };
    if (!r->surveys.n && fix_types(r, schema, err)) return NULL;
    survey *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory"), NULL;
    s->graph = nj_graph_new(&r->engine.instances, &offers, r->want, r->n_wants, err);
    s->column = calloc(r->n_fields + 1, sizeof *s->column);
    s->reason = calloc(r->n_fields + 1, sizeof *s->reason);
    if (!s->graph || !s->column || !s->reason) {
        if (s->graph) nj_fail(err, "out of memory");
        free_survey(s);
        return NULL;
    }
    s->graph->layout.stamps |= r->options->stamps | r->sink_stamps;
    for (uint32_t f = 0; f < r->n_fields; f++) {
        field_source from = r->field_from[f];
        s->column[f] = column_for(r, s, f);
        if (from.kind == FIELD_WANT && report_other_type(r, f, s->graph->layout.survey, schema))
            s->column[f] = NJ_NO_COLUMN;
        s->reason[f] = from.kind == FIELD_REASON ? s->graph->step_of[from.index] : -1;
    }
    s->schema[s->n_schemas++] = nj_schema_serial(schema);
    s->graph->layout.owner = s;
    s->facts = nj_schema_facts(schema);
    s->jd = column_of(s->graph, "jd", NJ_F64);
    s->lc_jd = column_of(s->graph, "lc.jd", NJ_F64);
    if (nj_flow_shard_survey(r, s, err)) return free_survey(s), NULL;
    s->all_off = report_modules_off(r, s->graph);
    report_missing_columns(r, s->graph, schema);
    return s;
}

/* The graph is resolved on the survey's first schema. Canonical columns are the map's, whatever a schema has,
 * and a raw column that a schema lacks is null there:
 * only the type of a raw column depends on who comes first. */
static void look_at_schema(const run *r, survey *s, const nj_schema *schema)
{
    uint64_t serial = nj_schema_serial(schema);
    for (uint32_t i = 0; i < s->n_schemas && i < SCHEMAS_SEEN; i++)
        if (s->schema[i] == serial) return;
    s->schema[s->n_schemas++ % SCHEMAS_SEEN] = serial; /* of too many the oldest is reported again */
    for (uint32_t f = 0; f < r->n_fields; f++)
        if (r->field_from[f].kind == FIELD_WANT && !strncmp(r->field[f].key, "packet.", 7) &&
            s->column[f] != NJ_NO_COLUMN)
            report_other_type(r, f, nj_schema_name(schema), schema);
}

static survey *find_survey(const run *r, const char *name)
{
    for (uint32_t i = 0; i < r->surveys.n; i++)
        if (!strcmp(r->surveys.item[i]->graph->layout.survey, name)) return r->surveys.item[i];
    return NULL;
}

static bool units_before(const run *r, uint64_t seq)
{
    for (int i = 0; i < r->n_threads; i++)
        if (r->surveys.at_unit[i] < seq) return true;
    return false;
}

survey *nj_flow_survey(run *r, const nj_schema *schema, uint64_t seq, nj_error *err)
{
    const char *name = nj_schema_survey(schema);
    survey *found;
    pthread_mutex_lock(&r->surveys.lock);
    while (!(found = find_survey(r, name)) && units_before(r, seq))
        pthread_cond_wait(&r->surveys.turn, &r->surveys.lock);
    if (found) {
        look_at_schema(r, found, schema);
    } else {
        survey **list = realloc(r->surveys.item, (r->surveys.n + 1) * sizeof *list);
        if (list) r->surveys.item = list;
        if (!list) nj_fail(err, "out of memory");
        found = list ? make_survey(r, schema, err) : NULL;
        if (found) r->surveys.item[r->surveys.n++] = found;
        pthread_cond_broadcast(&r->surveys.turn);
    }
    pthread_mutex_unlock(&r->surveys.lock);
    return found;
}

void nj_flow_at_unit(run *r, int thread, uint64_t seq)
{
    pthread_mutex_lock(&r->surveys.lock);
    r->surveys.at_unit[thread] = seq;
    pthread_cond_broadcast(&r->surveys.turn);
    pthread_mutex_unlock(&r->surveys.lock);
}

void nj_flow_surveys_free(run *r)
{
    for (uint32_t i = 0; i < r->surveys.n; i++) free_survey(r->surveys.item[i]);
    free(r->surveys.item);
    r->surveys.item = NULL;
    r->surveys.n = 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

void nj_flow_values(const run *r, const survey *s, const nj_batch *b, nj_col *value)
{
    const nj_outputs *outputs = b->state;
    for (uint32_t f = 0; f < r->n_fields; f++) {
        value[f] = (nj_col){ NULL, NULL };
        if (s->reason[f] >= 0)
            value[f].data = outputs->reason[s->reason[f]];
        else if (s->column[f] != NJ_NO_COLUMN)
            value[f] = b->col[s->column[f]];
    }
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
