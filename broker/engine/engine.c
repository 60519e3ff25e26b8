/* engine.c - opening modules, schemas and workers in one place, so that every command runs the modules that
 * a run would run. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/file.h"
#include "../graph/services.h"
#include "../image/opener.h"

/* ---- what threads share ---------------------------------------------------------------------- */

const char *nj_engine_python(nj_settings *settings, const char *path, nj_error *err)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    char *name = nj_arena_text(&settings->arena, file, strcspn(file, "."));
    char *section = name ? nj_arena_printf(&settings->arena, "module.%s", name) : NULL;
    if (!section) return nj_fail(err, "out of memory"), NULL;
    if (access(path, R_OK)) return nj_fail(err, "%s: cannot be read", path), NULL;
    if (!nj_name_is_valid(name))
        return nj_fail(err, "%s: its module would be called '%s': a name is [a-z][a-z0-9_]*", path, name),
               NULL;
    const char *had = nj_settings_get(settings, section, "file");
    if (had && !strcmp(had, path)) return name;
    if (nj_settings_set(settings, section, "kind", "python", path) ||
        nj_settings_set(settings, section, "file", path, path))
        return nj_fail(err, "out of memory"), NULL;
    return name;
}

int nj_engine_load(nj_engine *e, nj_settings *settings, const char *const *module_path, uint32_t n_paths,
                   nj_error *err)
{
    static const char *const section[3] = { "run", "models", "catalogs" }, *const key[3] = { "data_path",
                                                                                             "path", "path" };
    const char *path[3];
    e->settings = settings;
    for (int i = 0; i < 3; i++)
        if (!(path[i] = nj_settings_get(settings, section[i], key[i]))) path[i] = "";
    if (nj_modules_builtin(&e->modules, err)) return -1;
    for (uint32_t i = 0; i < n_paths; i++)
        if (nj_ends_with(module_path[i], ".py") ? !nj_engine_python(settings, module_path[i], err)
                                                : nj_modules_load(&e->modules, module_path[i], err))
            return -1;
    e->instances.data_path = nj_arena_printf(&e->arena, "%s:%s:%s", path[0], path[1], path[2]);
    return e->instances.data_path ? 0 : nj_fail(err, "out of memory");
}

int nj_engine_choose(nj_engine *e, const char *select, nj_error *err)
{
    if (nj_instances_choose(&e->instances, &e->modules, e->settings, select, err)) return -1;
    e->decoder = nj_decoder_new(e->settings, err);
    return e->decoder ? 0 : -1;
}

int nj_engine_open(nj_engine *e, const char *select, nj_error *err)
{
    return nj_instances_open(&e->instances, select, err);
}

int nj_engine_remember(const nj_engine *e, nj_error *err)
{
    const char *set = nj_settings_get(e->settings, "models", "checked"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    char folder[4096] = "";
    int n = 0;
    if (set && !strcmp(set, "off"))
        n = 0;
    else if (set && *set)
        n = snprintf(folder, sizeof folder, "%s", set);
    else if (cache && *cache)
        n = snprintf(folder, sizeof folder, "%s/nightjar/models", cache);
    else if (home && *home)
        n = snprintf(folder, sizeof folder, "%s/.cache/nightjar/models", home);
    if (n >= (int)sizeof folder) return nj_fail(err, "[models] checked: the path is too long");
    if (set && n && (nj_folder_make(folder, 0700) || access(folder, W_OK))) /* asked for: an error */
        return nj_fail(err, "[models] checked = %.300s: it cannot be written: %s", folder, strerror(errno));
    nj_services_remember(folder);
    return 0;
}

void nj_engine_close(nj_engine *e)
{
    nj_decoder_free(e->decoder);
    nj_instances_close(&e->instances);
    nj_modules_free(&e->modules);
    nj_arena_free(&e->arena);
    *e = (nj_engine){ 0 };
}

const char *nj_engine_serial(const nj_engine *e)
{
    for (uint32_t i = 0; i < e->instances.n; i++)
        if (e->instances.item[i].serial) return e->instances.item[i].name;
    return NULL;
}

/* ---- one thread ------------------------------------------------------------------------------ */

int nj_compute_thread_open(nj_compute_thread *t, nj_engine *e, uint64_t single, bool reference, nj_error *err)
{
    t->opener = nj_opener_new(e->decoder);
    if (!t->opener) return nj_fail(err, "out of memory");
    t->worker = nj_worker_new(&e->instances, nj_stamp_for_graph, t->opener, single, reference, err);
    return t->worker ? 0 : -1;
}

void nj_compute_thread_close(nj_compute_thread *t)
{
    nj_worker_free(t->worker);
    nj_opener_free(t->opener);
    *t = (nj_compute_thread){ 0 };
}

nj_graph *nj_graphs_of(nj_graphs *s, const nj_schema *schema, nj_error *err)
{
    const char *name = nj_schema_survey(schema);
    for (uint32_t i = 0; i < s->n; i++)
        if (!strcmp(s->item[i]->layout.survey, name)) return s->item[i];
    nj_graph **more = realloc(s->item, (s->n + 1) * sizeof *more);
    if (!more) return nj_fail(err, "out of memory"), NULL;
    s->item = more;
    nj_offers offers = { schema, name, nj_offer_for_graph, nj_schema_serves(schema) };
    nj_graph *graph = nj_graph_new(&s->engine->instances, &offers, s->want, s->n_wants, err);
    if (!graph) return NULL;
    graph->layout.stamps |= s->stamps;
    graph->layout.owner = graph;
    return s->item[s->n++] = graph;
}

void nj_graphs_free(nj_graphs *s)
{
    for (uint32_t i = 0; i < s->n; i++) nj_graph_free(s->item[i]);
    free(s->item);
    s->item = NULL;
    s->n = 0;
}

/* ---- chunks in, computed batches out --------------------------------------------------------- */

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    nj_computer *c = opaque;
    const nj_graph *graph = nj_graphs_of(&c->graphs, schema, err);
    return graph ? &graph->layout : NULL;
}

static int compute(void *opaque, nj_batch **batch)
{
    nj_computer *c = opaque;
    const nj_graph *graph = (*batch)->layout ? (*batch)->layout->owner : NULL;
    if (graph && (*batch)->n && nj_dispatch(graph, c->thread.worker, *batch)) return NJ_READ_FAILED;
    return c->o.computed ? c->o.computed(c->o.opaque, graph, batch) : NJ_READ_ON;
}

int nj_computer_open(nj_computer *c, nj_engine *engine, const nj_compute_options *options, nj_error *err)
{
    *c = (nj_computer){ .o = *options,
                        .graphs = { engine, options->want, options->n_wants, options->stamps, NULL, 0 },
                        .reader.o = { .decoder = engine->decoder,
                                      .batch_rows = options->batch_rows ? options->batch_rows : NJ_BATCH_ROWS,
                                      .batch_bytes = NJ_BATCH_BYTES,
                                      .limit = options->limit,
                                      .layout = layout_of,
                                      .full = compute,
                                      .opaque = c } };
    return nj_compute_thread_open(&c->thread, engine, 0, false, err);
}

int nj_computer_take(nj_computer *c, nj_chunk *chunk, nj_error *err)
{
    return nj_reader_take(&c->reader, chunk, err);
}

int nj_computer_flush(nj_computer *c, nj_error *err)
{
    int rc = nj_reader_flush(&c->reader, false);
    return rc == NJ_READ_FAILED ? (nj_fail(err, "out of memory"), rc) : rc;
}

void nj_computer_close(nj_computer *c)
{
    nj_reader_free(&c->reader);
    nj_graphs_free(&c->graphs);
    nj_compute_thread_close(&c->thread);
}
