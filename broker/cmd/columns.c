/* columns.c - `nightjar columns [SOURCE]`: every name that can be needed, filtered on or written out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/embed.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../avro/decoder.h"
#include "../engine/engine.h"
#include "../engine/feed.h"
#include "../flow/cli.h"
#include "../flow/columns.h"
#include "../query/clause.h"
#include "../view/fields.h"
#include "command.h"

typedef struct options {
    nj_cli cli;
    bool json, names;
} options;

static int set_survey(void *conf, const char *value, nj_error *err)
{
    options *o = conf;
    return nj_settings_set(&o->cli.settings, "decode", "survey", value, "--survey")
               ? nj_fail(err, "out of memory")
               : 0;
}

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { "names", 0, NJ_OPTION_FLAG, offsetof(options, names),
                                     .doc = "names alone, one a line; images and functions are left out" },
                                   { "survey", 0, NJ_OPTION_CALL, .value = "NAME", .take = set_survey,
                                     .doc = "survey of packets that no map recognises" },
                                   { 0 } };

static int columns(int argc, char **argv);

NJ_COMMAND(columns) = {
    .name = "columns",
    .usage = "columns [SOURCE] [options]",
    .summary = "every column that can be needed, filtered on or written: type, unit, survey",
    .help = "Rows have the first group and the columns of their modules; --columns adds others. -w, -t and a "
            "module's needs may name any of them. T[] is a series: a list of T in every row. Any field of a "
            "packet is packet.PATH, whether it is listed or not. Functions of clauses are what -w and -t may "
            "call besides those of SQLite.\n",
    .main = columns,
    .options = { table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_options_of_debug },
    .arguments =
        (const nj_meaning[]){
            { "SOURCE", "as for run: the fields of its first packet are listed too, as packet.PATH" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "2", "the source could not be read" }, { 0 } },
};

typedef struct row {
    const char *group, *name, *unit, *surveys, *doc;
    nj_type type; /* 0: an image */
    bool series;
    bool call;           /* no column: what a clause may call */
    size_t first, place; /* row with which its group began; its own number */
} row;

typedef struct list {
    nj_arena arena;
    row *row;
    size_t n, cap;
    bool failed;
} list;

static void add(list *all, row r)
{
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 256;
        row *more = realloc(all->row, cap * sizeof *more);
        if (!more) {
            all->failed = true;
            return;
        }
        all->row = more;
        all->cap = cap;
    }
    if (!r.unit || !strcmp(r.unit, "1")) r.unit = "";
    if (!r.surveys || !*r.surveys) r.surveys = "all";
    if (!r.doc) r.doc = "";
    if (!r.name || !r.group) {
        all->failed = true;
        return;
    }
    r.first = 0;
    r.place = all->n;
    while (r.first < all->n && strcmp(all->row[r.first].group, r.group)) r.first++;
    all->row[all->n++] = r;
}

static bool has(const list *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (!strcmp(all->row[i].name, name)) return true;
    return false;
}

/* "ztf lsst": those whose map has the name; "" when all have it, or none (an adapter gives it). */
static const char *surveys_of(list *all, const nj_decoder *d, const char *name)
{
    nj_buffer b = { 0 };
    uint32_t n = 0;
    for (uint32_t m = 0; m < d->n_maps; m++) {
        if (!nj_map_find(d->map[m], name)) continue;
        nj_buffer_printf(&b, "%s%s", n++ ? " " : "", d->map[m]->survey);
    }
    const char *text = n && n < d->n_maps ? nj_arena_text(&all->arena, b.data, b.n) : "";
    all->failed |= b.failed || !text;
    nj_buffer_free(&b);
    return text;
}

/* The sentence of a canonical name: "lc.mag: ..." of data/embed/columns.txt; "" = none. */
static const char *sentence(list *all, const char *name)
{
    const nj_embedded *f = nj_embedded_find("data/embed/columns.txt");
    size_t n = strlen(name);
    for (const char *line = f ? (const char *)f->data : ""; *line;
         line += strcspn(line, "\n"), line += *line == '\n')
        if (!strncmp(line, name, n) && line[n] == ':')
            return nj_arena_text(&all->arena, line + n + 2, strcspn(line + n + 2, "\n"));
    return "";
}

/* The sentence, and which adapters compute the column for surveys whose packets lack it. */
static const char *with_adapters(list *all, const nj_engine *e, const char *name, const char *doc)
{
    nj_buffer b = { 0 };
    nj_buffer_text(&b, doc);
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->instances.n; i++)
        for (uint32_t k = 0; k < e->instances.item[i].n_gives; k++) {
            const nj_give *g = &e->instances.item[i].give[k];
            if (g->flags & NJ_GIVE_CANONICAL && !strcmp(g->name, name))
                nj_buffer_printf(&b, "%s%s", n++ ? ", " : "; computed where packets lack it, by ",
                                 e->instances.item[i].name);
        }
    const char *text = n ? nj_arena_text(&all->arena, b.data, b.n) : doc;
    all->failed |= b.failed || !text;
    nj_buffer_free(&b);
    return text;
}

/* ---- the groups ------------------------------------------------------------------------------ */

static void add_base(list *all, const nj_engine *e)
{
    const nj_decoder *d = e->decoder;
    for (const nj_base_column *c = nj_base_columns; c->key; c++)
        add(all, (row){ "in every row", c->key, c->unit, surveys_of(all, d, c->key),
                        with_adapters(all, e, c->key, c->doc), c->type, false });
    add(all, (row){ "in every row", "topics", "", "",
                    "names of the topics (-t) that the alert matches, when there are any", NJ_STR, false });
}

static void add_canonical(list *all, const nj_engine *e)
{
    nj_decoder *d = e->decoder;
    nj_known known;
    for (uint32_t k = 0; nj_decoder_known(d, k, &known); k++) {
        nj_offer offer = { 0 };
        if (has(all, known.path)) continue;
        nj_decoder_offer(d, known.path, &offer);
        bool image = offer.shape == NJ_IMAGE;
        add(all, (row){ image ? "images, for the needs of modules" : "of the survey's maps", known.path,
                        offer.unit, surveys_of(all, d, known.path),
                        with_adapters(all, e, known.path, sentence(all, known.path)), image ? 0 : offer.type,
                        offer.shape == NJ_SERIES });
    }
}

static void add_instance(list *all, const nj_instance *in)
{
    for (uint32_t k = 0; k < in->n_gives; k++) {
        const nj_give *g = &in->give[k];
        bool canonical = g->flags & NJ_GIVE_CANONICAL;
        if (canonical && has(all, g->name)) continue;
        const char *group = canonical ? "of the survey's maps"
                                      : nj_arena_printf(&all->arena, "of module %s", in->name),
                   *name = nj_arena_printf(&all->arena, canonical ? "%.0s%s" : "%s.%s", in->name, g->name);
        add(all, (row){ group, name, g->unit, in->surveys, g->doc, g->type, !g->width || g->width > 1 });
    }
    if (!in->wanted) return; /* an adapter */
    add(all, (row){ nj_arena_printf(&all->arena, "of module %s", in->name),
                    nj_arena_printf(&all->arena, "%s.reason", in->name), "", in->surveys,
                    "why there is, or is no answer", NJ_U8, false });
}

/* Instances that run only when they are asked for: each alone,
 * so that one that cannot run here hides no other. */
static int add_others(list *all, nj_engine *e, nj_error *err)
{
    nj_settings *s = e->settings;
    const size_t said = s->n;
    for (size_t i = 0; i < said; i++) {
        const char *section = s->item[i].section;
        char group[128];
        if (strncmp(section, "module.", 7) || nj_instances_find(&e->instances, section + 7)) continue;
        snprintf(group, sizeof group, "of module %s", section + 7);
        bool seen = false;
        for (size_t k = 0; k < all->n; k++) seen |= !strcmp(all->row[k].group, group);
        if (seen) continue;
        nj_instances one = { .data_path = e->instances.data_path };
        nj_error ignored;
        int rc = nj_instances_choose(&one, &e->modules, s, section + 7, &ignored);
        const nj_instance *in = rc ? NULL : nj_instances_find(&one, section + 7);
        if (in) {
            nj_instance copy = *in; /* its texts go with the set */
            copy.name = section + 7;
            add_instance(all, &copy);
        }
        for (size_t k = 0; in && k < all->n; k++) {
            row *r = &all->row[k];
            if (strcmp(r->group, group)) continue;
            r->unit = nj_arena_text(&all->arena, r->unit, strlen(r->unit));
            r->surveys = nj_arena_text(&all->arena, r->surveys, strlen(r->surveys));
            r->doc = nj_arena_text(&all->arena, r->doc, strlen(r->doc));
            if (!r->unit || !r->surveys || !r->doc) all->failed = true;
        }
        nj_instances_close(&one);
        if (all->failed) return nj_fail(err, "out of memory");
    }
    return 0;
}

static int add_view(list *all, const nj_schema *schema, nj_error *err)
{
    nj_packet_view view = { 0 };
    int rc = nj_packet_view_build(&view, schema, schema->bytes, schema->size, err);
    const char *group = nj_arena_printf(&all->arena, "of the first packet, %s", nj_schema_name(schema));
    for (uint32_t i = 0; rc == 0 && i < view.n_fields; i++) {
        const nj_packet_field *f = &view.field[i];
        const nj_column_def *c = f->column < 0 ? NULL : &view.column[f->column];
        if (!c || strncmp(c->path, "packet.", 7)) continue;
        nj_offer offer = { 0 };
        if (nj_schema_offer(schema, c->path, &offer, NULL)) offer.type = c->type;
        add(all,
            (row){ group, nj_arena_text(&all->arena, c->path, strlen(c->path)),
                   nj_arena_text(&all->arena, f->unit, strlen(f->unit)),
                   nj_arena_text(&all->arena, nj_schema_survey(schema), strlen(nj_schema_survey(schema))),
                   nj_arena_text(&all->arena, f->doc, strlen(f->doc)), offer.type, c->shape == NJ_SERIES });
    }
    nj_packet_view_free(&view);
    return rc;
}

static void add_functions(list *all)
{
    for (const nj_query_function *f = nj_query_functions; f->name; f++) {
        nj_type type = NJ_F64;
        for (nj_type t = NJ_U8; t <= NJ_STR; t++)
            if (!strcmp(nj_type_name(t), f->type)) type = t;
        add(all, (row){ .group = "functions of clauses (-w, -t)",
                        .name = f->form,
                        .unit = f->unit,
                        .doc = f->doc,
                        .type = type,
                        .call = true });
    }
}

/* The schema of the first packet that has one. */
static int add_packet(list *all, nj_engine *e, const char *spec, nj_error *err)
{
    nj_feed *feed = nj_feed_open(e->settings, &spec, 1, 1, err);
    if (!feed) return -1;
    nj_reader reader = { .o = { .decoder = e->decoder, .batch_rows = 1, .batch_bytes = 1 } };
    nj_error why = { "" };
    const nj_schema *schema = NULL;
    int rc = 0;
    for (;;) {
        nj_chunk *chunk = NULL;
        nj_next next = nj_feed_next(feed, 1000, &chunk, err);
        if (next == NJ_NEXT_ERROR) rc = -1;
        if (next == NJ_NEXT_END)
            rc = nj_fail(err, "%s: no packet%s%s", spec, why.text[0] ? ": " : "", why.text);
        if (rc) break;
        if (next != NJ_NEXT_CHUNK) continue;
        if (!chunk->fault) schema = nj_reader_schema(&reader, chunk, &why);
        if (schema) rc = add_view(all, schema, err);
        nj_reader_forget(&reader);
        nj_chunk_drop(chunk);
        if (schema) break;
    }
    nj_reader_free(&reader);
    nj_feed_close(feed);
    return rc;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void show(const row *r, nj_buffer *out)
{
    nj_buffer text = { 0 };
    nj_buffer_printf(&text, "%s%s%s%s; %s", r->type ? nj_type_name(r->type) : "image", r->series ? "[]" : "",
                     *r->unit ? " " : "", r->unit, r->surveys);
    if (*r->doc) nj_buffer_printf(&text, "; %s", r->doc);
    if (text.data) nj_help_entry(out, r->name, text.data, NJ_HELP_AT);
    nj_buffer_free(&text);
}

static void show_json(const row *r, nj_json *json)
{
    nj_json_open(json, NULL, '{');
    nj_json_put(json, "name=%s group=%s type=%s series=%hhd unit=%s surveys=%s doc=%s", r->name, r->group,
                r->type ? nj_type_name(r->type) : "image", r->series, r->unit, r->surveys, r->doc);
    nj_json_close(json);
}

static void print(const options *o, const list *all, nj_buffer *out)
{
    const char *group = "";
    nj_json json = { 0 };
    if (o->json && !o->names) json = nj_json_begin(out, '[');
    for (size_t i = 0; i < all->n; i++) {
        const row *r = &all->row[i];
        if (o->names) {
            if (r->type && !r->call) nj_buffer_printf(out, "%s\n", r->name);
        } else if (o->json) {
            show_json(r, &json);
        } else {
            if (strcmp(group, r->group)) nj_buffer_printf(out, "%s%s\n", i ? "\n" : "", r->group);
            show(r, out);
        }
        group = r->group;
    }
    if (o->json && !o->names) nj_json_end(&json);
}

/* Groups in the order in which they came first; within a group the order of the tables. */
static int in_order(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int collect(list *all, options *o, nj_engine *e, nj_error *err)
{
    nj_run_options *r = &o->cli.options;
    if (nj_engine_load(e, r->settings, r->module_path, r->n_module_paths, err) ||
        nj_engine_choose(e, r->select, err))
        return -1;
    add_base(all, e);
    add_canonical(all, e);
    for (uint32_t i = 0; i < e->instances.n; i++) add_instance(all, &e->instances.item[i]);
    if (!r->select && add_others(all, e, err)) return -1;
    add_functions(all);
    return all->failed ? nj_fail(err, "out of memory") : 0;
}

static int columns(int argc, char **argv)
{
    options o = { 0 };
    nj_engine engine = { 0 };
    list all = { 0 };
    nj_error err = { "" };
    nj_buffer out = { 0 };
    int rc = nj_cli_read(&o.cli, nj_command_columns.options, argc, argv, &err) ? NJ_EXIT_USAGE : NJ_EXIT_OK;
    if (!rc && o.cli.options.n_sources > 1)
        rc = (nj_fail(&err, "one SOURCE, not %u", o.cli.options.n_sources), NJ_EXIT_USAGE);
    if (!rc && collect(&all, &o, &engine, &err)) rc = NJ_EXIT_USAGE;
    if (!rc && o.cli.options.n_sources && add_packet(&all, &engine, o.cli.source[0], &err))
        rc = NJ_EXIT_SOURCE;
    if (!rc) {
        if (all.n) qsort(all.row, all.n, sizeof *all.row, in_order);
        print(&o, &all, &out);
    }
    out.failed |= all.failed;
    if (rc) nj_log(NJ_LOG_ERROR, "columns: %s", err.text);
    nj_engine_close(&engine);
    nj_arena_free(&all.arena);
    free(all.row);
    nj_cli_free(&o.cli);
    return rc ? rc : nj_command_print(&out);
}
