#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int find_target(nj_replay *r, nj_error *err)
{
    for (r->target = 0; r->target < r->instances.n; r->target++)
        if (!strcmp(r->instances.item[r->target].name, r->instance)) return 0;
    return nj_fail(err, "%s: no such instance", r->instance);
}

/* The module that came from a file; the table keeps real paths. */
static const char *name_in(const nj_modules *modules, const char *file)
{
    char *real = realpath(file, NULL);
    const char *name = NULL;
    for (uint32_t i = 0; real && i < modules->n; i++)
        if (modules->item[i].path && !strcmp(modules->item[i].path, real)) name = modules->item[i].module->name;
    free(real);
    return name;
}

int nj_replay_choose(nj_replay *r, const nj_replay_options *o, nj_error *err)
{
    const char *instance = o->instance, *path[3];
    const char *const section[3] = { "run", "models", "catalogs" }, *const key[3] = { "data_path", "path", "path" };
    for (int i = 0; i < 3; i++)
        if (!(path[i] = nj_settings_get(o->settings, section[i], key[i]))) path[i] = "";
    if (nj_modules_builtin(&r->modules, err)) return -1;
    for (uint32_t i = 0; i < o->n_module_paths; i++)
        if (nj_modules_load(&r->modules, o->module_path[i], err)) return -1;
    if (o->module_file && nj_modules_load(&r->modules, o->module_file, err)) return -1;
    if (!instance) instance = o->module_file ? name_in(&r->modules, o->module_file) : NULL;
    if (!instance) return nj_fail(err, "no module to profile");
    r->instances.data_path = nj_arena_printf(&r->arena, "%s:%s:%s", path[0], path[1], path[2]);
    if (nj_instances_choose(&r->instances, &r->modules, o->settings, instance, err)) return -1;
    r->instance = nj_arena_text(&r->arena, instance, strlen(instance));
    return find_target(r, err);
}

static nj_replay_survey *survey_of(nj_replay *r, const nj_schema *schema, nj_error *err)
{
    const char *name = nj_schema_survey(schema);
    for (uint32_t i = 0; i < r->n_surveys; i++)
        if (!strcmp(r->survey[i].name, name)) return &r->survey[i];
    if (r->n_surveys == NJ_REPLAY_SURVEYS) return nj_fail(err, "more than %d surveys", NJ_REPLAY_SURVEYS), NULL;
    nj_replay_survey *s = &r->survey[r->n_surveys];
    nj_offers offers = { schema, name, nj_offer_for_graph };
    snprintf(s->name, sizeof s->name, "%s", name);
    s->graph = nj_graph_new(&r->instances, &offers, NULL, 0, err);
    if (!s->graph) return NULL;
    r->n_surveys++;
    const nj_step *step = NULL;
    for (uint32_t i = 0; i < s->graph->n_steps; i++)
        if (s->graph->step[i].instance == r->target) step = &s->graph->step[i];
    if (!step || step->off)
        return nj_fail(err, "%s cannot run on %s alerts: %s", nj_replay_target(r)->name, name,
                       step ? step->off : "nothing asks for it"),
               NULL;
    s->alone = *s->graph;
    s->alone.step = (nj_step *)step;
    s->alone.n_steps = 1;
    return s;
}

static nj_batch *add_batch(nj_replay *r, nj_replay_survey *s, uint32_t rows)
{
    nj_batch **batch = realloc(r->batch, (r->n_batches + 1) * sizeof *batch);
    if (batch) r->batch = batch;
    nj_replay_survey **of = realloc(r->of, (r->n_batches + 1) * sizeof *of);
    if (of) r->of = of;
    nj_batch *b = batch && of ? nj_batch_new() : NULL;
    if (!b || nj_batch_begin(b, &s->graph->layout, rows)) return nj_batch_free(b), NULL;
    r->batch[r->n_batches] = b;
    r->of[r->n_batches++] = s;
    return b;
}

enum { BATCH_ROWS = 64, BATCH_BYTES = 8 << 20 }; /* as in a run */

static int decode_chunk(nj_replay *r, nj_cursor *cursor, nj_chunk *chunk, int64_t limit, nj_error *err)
{
    nj_error why;
    if (nj_cursor_open(cursor, r->decoder, chunk, &why)) return r->n_dead++, 0;
    nj_replay_survey *s = survey_of(r, cursor->schema, err);
    if (!s) return -1;
    for (int more = 1; more && !(limit && r->n_alerts >= (uint64_t)limit);) {
        nj_batch *b = r->n_batches ? r->batch[r->n_batches - 1] : NULL;
        if (!b || b->n >= BATCH_ROWS || r->of[r->n_batches - 1] != s) b = add_batch(r, s, BATCH_ROWS);
        if (!b) return nj_fail(err, "out of memory");
        uint32_t rows = b->n, dead = b->n_dead, room = BATCH_ROWS;
        if (limit && (uint64_t)limit - r->n_alerts < BATCH_ROWS - rows) room = rows + (uint32_t)((uint64_t)limit - r->n_alerts);
        more = nj_cursor_read(cursor, b, room, BATCH_BYTES);
        if (more < 0) return nj_fail(err, "out of memory");
        r->n_alerts += b->n - rows;
        r->n_dead += b->n_dead - dead;
        if (more && b->n < BATCH_ROWS && !add_batch(r, s, BATCH_ROWS))
            return nj_fail(err, "out of memory"); /* full by its bytes */
    }
    return 0;
}

static int decode(nj_replay *r, const nj_alerts *alerts, int64_t limit, nj_error *err)
{
    nj_cursor cursor = { 0 };
    int rc = 0;
    for (uint32_t i = 0; i < alerts->n && rc == 0 && !(limit && r->n_alerts >= (uint64_t)limit); i++)
        rc = decode_chunk(r, &cursor, alerts->chunk[i], limit, err);
    nj_cursor_free(&cursor);
    if (rc == 0 && !r->n_alerts) return nj_fail(err, "no packet could be read (%llu dead)", (unsigned long long)r->n_dead);
    return rc;
}

int nj_replay_open(nj_replay *r, const nj_replay_options *o, const nj_alerts *alerts, nj_error *err)
{
    r->decoder = nj_decoder_new(o->settings, err);
    if (!r->decoder || nj_replay_choose(r, o, err)) return -1;
    if (nj_instances_open(&r->instances, r->instance, err) || find_target(r, err)) return -1; /* those that are off are gone */
    r->opener = nj_opener_new(r->decoder);
    if (!r->opener) return nj_fail(err, "out of memory");
    r->worker = nj_worker_new(&r->instances, nj_stamp_for_graph, r->opener, 0, false, err);
    if (!r->worker || decode(r, alerts, o->limit, err)) return -1;
    for (uint32_t i = 0; i < r->n_batches; i++)
        if (r->batch[i]->n && nj_dispatch(r->of[i]->graph, r->worker, r->batch[i])) return nj_fail(err, "out of memory");
    r->first = *nj_replay_counter(r);
    return 0;
}

const nj_instance *nj_replay_target(const nj_replay *r)
{
    return &r->instances.item[r->target];
}
nj_counter *nj_replay_counter(nj_replay *r)
{
    return &r->worker->module[r->target];
}

int nj_replay_once(nj_replay *r)
{
    int rc = 0;
    for (uint32_t i = 0; i < r->n_batches && rc == 0; i++) {
        nj_batch *b = r->batch[i];
        nj_arena kept = b->arena; /* inputs, images and the providers' outputs stay; what this pass makes goes */
        b->arena = r->loop;
        if (b->n) rc = nj_dispatch(&r->of[i]->alone, r->worker, b);
        r->loop = b->arena;
        b->arena = kept;
        nj_arena_reset(&r->loop);
    }
    return rc;
}

void nj_replay_close(nj_replay *r)
{
    for (uint32_t i = 0; i < r->n_batches; i++) {
        nj_batch_end(r->batch[i]);
        nj_batch_free(r->batch[i]);
    }
    nj_worker_free(r->worker);
    nj_opener_free(r->opener);
    for (uint32_t i = 0; i < r->n_surveys; i++) nj_graph_free(r->survey[i].graph);
    nj_instances_close(&r->instances);
    nj_decoder_free(r->decoder);
    nj_modules_free(&r->modules);
    nj_arena_free(&r->loop);
    nj_arena_free(&r->arena);
    free(r->batch);
    free(r->of);
}
