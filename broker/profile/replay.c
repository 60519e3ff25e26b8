#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"

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

nj_watch *nj_replay_watch(const nj_replay_options *o, int level)
{
    const char *call_s = nj_settings_get(o->settings, "run", "call_s");
    return nj_watch_start(&(nj_watch_options){ .call_s = call_s ? strtod(call_s, NULL) : 10, .level = level });
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
    const uint32_t full = r->batch_rows;
    if (nj_cursor_open(cursor, r->decoder, chunk, &why)) return r->n_dead++, 0;
    nj_replay_survey *s = survey_of(r, cursor->schema, err);
    if (!s) return -1;
    for (int more = 1; more && !(limit && r->n_alerts >= (uint64_t)limit);) {
        nj_batch *b = r->n_batches ? r->batch[r->n_batches - 1] : NULL;
        if (!b || b->n >= full || r->of[r->n_batches - 1] != s) b = add_batch(r, s, full);
        if (!b) return nj_fail(err, "out of memory");
        uint32_t rows = b->n, dead = b->n_dead, room = full;
        if (limit && (uint64_t)limit - r->n_alerts < full - rows) room = rows + (uint32_t)((uint64_t)limit - r->n_alerts);
        more = nj_cursor_read(cursor, b, room, BATCH_BYTES);
        if (more < 0) return nj_fail(err, "out of memory");
        r->n_alerts += b->n - rows;
        r->n_dead += b->n_dead - dead;
        if (more && b->n < full && !add_batch(r, s, full)) return nj_fail(err, "out of memory"); /* full by its bytes */
    }
    return 0;
}

static void drop_batches(nj_replay *r)
{
    for (uint32_t i = 0; i < r->n_batches; i++) {
        nj_batch_end(r->batch[i]);
        nj_batch_free(r->batch[i]);
    }
    r->n_batches = 0;
    r->n_alerts = r->n_dead = 0;
}

static int decode(nj_replay *r, const nj_alerts *alerts, int64_t limit, uint32_t rows, nj_error *err)
{
    nj_cursor cursor = { 0 };
    int rc = 0;
    drop_batches(r);
    r->batch_rows = rows;
    for (uint32_t i = 0; i < alerts->n && rc == 0 && !(limit && r->n_alerts >= (uint64_t)limit); i++)
        rc = decode_chunk(r, &cursor, alerts->chunk[i], limit, err);
    nj_cursor_free(&cursor);
    if (rc == 0 && !r->n_alerts) return nj_fail(err, "no packet could be read (%llu dead)", (unsigned long long)r->n_dead);
    return rc;
}

/* --- the workers and their threads ---------------------------------------------------------------------------------------- */

static void *serve(void *opaque)
{
    nj_replay_worker *w = opaque;
    nj_replay *r = w->replay;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->stop && w->done == r->order) pthread_cond_wait(&r->given, &r->lock);
        if (r->stop) break;
        pthread_mutex_unlock(&r->lock);
        int rc = r->work(r->opaque, w->number);
        pthread_mutex_lock(&r->lock);
        w->done = r->order;
        if (rc) r->failed = rc;
        if (--r->waiting == 0) pthread_cond_signal(&r->finished);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int nj_replay_each(nj_replay *r, int (*work)(void *opaque, uint32_t worker), void *opaque)
{
    if (r->n_workers == 1) return work(opaque, 0);
    pthread_mutex_lock(&r->lock);
    r->work = work;
    r->opaque = opaque;
    r->failed = 0;
    r->waiting = r->n_workers;
    r->order++;
    pthread_cond_broadcast(&r->given);
    while (r->waiting) pthread_cond_wait(&r->finished, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return r->failed;
}

typedef struct opening {
    nj_replay *r;
    nj_error *err;
} opening;

static int open_worker(void *opaque, uint32_t k)
{
    opening *o = opaque;
    nj_replay_worker *w = &o->r->worker[k];
    nj_error why;
    w->opener = nj_opener_new(o->r->decoder);
    w->worker = w->opener ? nj_worker_new(&o->r->instances, nj_stamp_for_graph, w->opener, 0, false, &why) : NULL;
    if (w->worker) return 0;
    pthread_mutex_lock(&o->r->lock);
    nj_fail(o->err, "%s", w->opener ? why.text : "out of memory");
    pthread_mutex_unlock(&o->r->lock);
    return -1;
}

static int open_workers(nj_replay *r, uint32_t n, nj_error *err)
{
    if (pthread_mutex_init(&r->lock, NULL) || pthread_cond_init(&r->given, NULL) || pthread_cond_init(&r->finished, NULL))
        return nj_fail(err, "out of memory");
    r->locks = true;
    r->worker = calloc(n, sizeof *r->worker);
    if (!r->worker) return nj_fail(err, "out of memory");
    for (uint32_t k = 0; k < n; k++) {
        r->worker[k].replay = r;
        r->worker[k].number = k;
    }
    for (uint32_t k = 0; k < n && n > 1; k++) {
        if (pthread_create(&r->worker[k].thread, NULL, serve, &r->worker[k])) return nj_fail(err, "no thread to be had");
        r->worker[k].joinable = true;
        r->n_workers = k + 1;
    }
    r->n_workers = n;
    return nj_replay_each(r, open_worker, &(opening){ r, err });
}

static void close_workers(nj_replay *r)
{
    if (!r->worker) return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->given);
    pthread_mutex_unlock(&r->lock);
    for (uint32_t k = 0; k < r->n_workers; k++) {
        nj_replay_worker *w = &r->worker[k];
        if (w->joinable) pthread_join(w->thread, NULL);
        nj_worker_free(w->worker);
        nj_opener_free(w->opener);
        nj_arena_free(&w->loop);
    }
    free(r->worker);
}

/* --- passes ---------------------------------------------------------------------------------------------------------------- */

static int first_pass(void *opaque, uint32_t k)
{
    nj_replay *r = opaque;
    for (uint32_t i = 0; i < r->n_batches && k == 0; i++)
        if (r->batch[i]->n && nj_dispatch(r->of[i]->graph, r->worker[0].worker, r->batch[i])) return -1;
    return 0;
}

int nj_replay_cut(nj_replay *r, const nj_replay_options *o, const nj_alerts *alerts, uint32_t rows, nj_error *err)
{
    if (decode(r, alerts, o->limit, rows, err)) return -1;
    return nj_replay_each(r, first_pass, r) ? nj_fail(err, "out of memory") : 0;
}

/* As in a run: a module whose random numbers are one stream has answers that depend on the order of all alerts. */
static uint32_t threads_for(const nj_replay_options *o, const char *instance)
{
    char section[160];
    snprintf(section, sizeof section, "module.%s", instance);
    const char *rng = nj_settings_get(o->settings, section, "rng");
    if (o->threads < 2 || !rng || strcmp(rng, "numpy")) return o->threads ? o->threads : 1;
    nj_log(NJ_LOG_INFO, "[%s] rng = numpy: one thread", section);
    return 1;
}

int nj_replay_open(nj_replay *r, const nj_replay_options *o, const nj_alerts *alerts, nj_error *err)
{
    r->decoder = nj_decoder_new(o->settings, err);
    if (!r->decoder || nj_replay_choose(r, o, err)) return -1;
    if (nj_instances_open(&r->instances, r->instance, err) || find_target(r, err)) return -1; /* those that are off are gone */
    if (open_workers(r, threads_for(o, r->instance), err) || decode(r, alerts, o->limit, BATCH_ROWS, err)) return -1;
    uint32_t shares = 4 * r->n_workers; /* so that the threads end together */
    if (r->n_workers > 1 && r->n_batches < shares &&
        decode(r, alerts, o->limit, r->n_alerts < shares ? 1 : (uint32_t)(r->n_alerts / shares), err))
        return -1;
    if (nj_replay_each(r, first_pass, r)) return nj_fail(err, "out of memory");
    r->first = r->worker[0].worker->module[r->target];
    return 0;
}

const nj_instance *nj_replay_target(const nj_replay *r)
{
    return &r->instances.item[r->target];
}

nj_replay_clock nj_replay_clocks(const nj_replay *r)
{
    nj_replay_clock sum = { 0 };
    for (uint32_t k = 0; k < r->n_workers; k++) {
        const nj_counter *c = &r->worker[k].worker->module[r->target];
        sum.wall_ns += c->wall_ns;
        sum.calls += c->calls;
        sum.cpu_ns += r->worker[k].cpu_ns;
        sum.busy_ns += r->worker[k].busy_ns;
    }
    return sum;
}

static int take_batch(nj_replay *r, nj_replay_worker *w, uint32_t i)
{
    nj_batch *b = r->batch[i];
    nj_arena kept = b->arena; /* inputs, images and the providers' outputs stay; what this pass makes goes */
    b->arena = w->loop;
    int rc = b->n ? nj_dispatch(&r->of[i]->alone, w->worker, b) : 0;
    w->loop = b->arena;
    b->arena = kept;
    nj_arena_reset(&w->loop);
    return rc;
}

int nj_replay_batch(nj_replay *r, uint32_t batch)
{
    return take_batch(r, &r->worker[0], batch);
}

typedef struct share {
    nj_replay *r;
    int64_t times;
} share;

static int take_share(void *opaque, uint32_t k)
{
    const share *s = opaque;
    nj_replay_worker *w = &s->r->worker[k];
    int64_t cpu = nj_thread_cpu_ns(), begin = nj_now_ns();
    int rc = 0;
    for (int64_t t = 0; t < s->times && rc == 0; t++)
        for (uint32_t i = k; i < s->r->n_batches && rc == 0; i += s->r->n_workers) rc = take_batch(s->r, w, i);
    w->cpu_ns += nj_thread_cpu_ns() - cpu;
    w->busy_ns += nj_now_ns() - begin;
    return rc;
}

int nj_replay_times(nj_replay *r, int64_t times)
{
    return nj_replay_each(r, take_share, &(share){ r, times });
}

void nj_replay_close(nj_replay *r)
{
    close_workers(r);
    drop_batches(r);
    for (uint32_t i = 0; i < r->n_surveys; i++) nj_graph_free(r->survey[i].graph);
    nj_instances_close(&r->instances);
    nj_decoder_free(r->decoder);
    nj_modules_free(&r->modules);
    nj_arena_free(&r->arena);
    free(r->batch);
    free(r->of);
    if (!r->locks) return;
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->given);
    pthread_cond_destroy(&r->finished);
}
