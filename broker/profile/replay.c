/* replay.c - a profile calls one module many times on the same alerts, through the same dispatch as a run. */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/file.h"
#include "../base/log.h"

static int find_target(nj_replay *r, nj_error *err)
{
    for (r->target = 0; r->target < r->engine.instances.n; r->target++)
        if (!strcmp(r->engine.instances.item[r->target].name, r->instance)) return 0;
    return nj_fail(err, "%s: no such instance", r->instance);
}

/* The module that came from a file; the table keeps real paths. */
static const char *name_in(const nj_modules *modules, const char *file)
{
    char *real = realpath(file, NULL);
    const char *name = NULL;
    for (uint32_t i = 0; real && i < modules->n; i++)
        if (modules->item[i].path && !strcmp(modules->item[i].path, real))
            name = modules->item[i].module->name;
    free(real);
    return name;
}

nj_watch *nj_replay_watch(const nj_replay_options *o, int level)
{
    const char *call_s = nj_settings_get(o->settings, "run", "call_s");
    return nj_watch_start(
        &(nj_watch_options){ .call_s = call_s ? strtod(call_s, NULL) : 10, .level = level });
}

int nj_replay_choose(nj_replay *r, const nj_replay_options *o, nj_error *err)
{
    const char *instance = o->instance;
    nj_modules *modules = &r->engine.modules;
    if (nj_engine_load(&r->engine, o->settings, o->module_path, o->n_module_paths, err)) return -1;
    const bool python = o->module_file && nj_ends_with(o->module_file, ".py");
    if (python && !(instance = nj_engine_python(o->settings, o->module_file, err))) return -1;
    if (o->module_file) nj_modules_asked(o->module_file);
    if (o->module_file && !python && nj_modules_load(modules, o->module_file, err)) return -1;
    if (!instance) instance = o->module_file ? name_in(modules, o->module_file) : NULL;
    if (!instance) return nj_fail(err, "no module to profile");
    if (nj_engine_choose(&r->engine, instance, err)) return -1;
    r->instance = nj_arena_text(&r->arena, instance, strlen(instance));
    return r->instance ? find_target(r, err) : nj_fail(err, "out of memory");
}

static int add_survey(nj_replay *r, nj_graph *graph, nj_error *err)
{
    const char *name = graph->layout.survey;
    if (r->n_surveys == NJ_REPLAY_SURVEYS) return nj_fail(err, "more than %d surveys", NJ_REPLAY_SURVEYS);
    const nj_step *step = NULL;
    for (uint32_t i = 0; i < graph->n_steps; i++)
        if (graph->step[i].instance == r->target) step = &graph->step[i];
    if (!step || step->off)
        return nj_fail(err, "%s cannot run on %s alerts: %s", nj_replay_target(r)->name, name,
                       step ? step->off : "nothing asks for it");
    nj_replay_survey *s = &r->survey[r->n_surveys++];
    graph->layout.owner = s;
    *s = (nj_replay_survey){ .graph = graph, .alone = *graph };
    s->alone.step = (nj_step *)step;
    s->alone.n_steps = 1;
    return 0;
}

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    nj_replay *r = opaque;
    nj_graph *graph = nj_graphs_of(&r->graphs, schema, err);
    if (!graph) return NULL;
    return graph->layout.owner != graph || !add_survey(r, graph, err) ? &graph->layout : NULL;
}

static int keep(void *opaque, nj_batch **batch)
{
    nj_replay *r = opaque;
    r->n_alerts += (*batch)->n;
    r->n_dead += (*batch)->n_dead;
    if (!(*batch)->n) return NJ_READ_ON;
    nj_batch **more = realloc(r->batch, (r->n_batches + 1) * sizeof *more);
    if (!more) return NJ_READ_FAILED;
    r->batch = more;
    r->batch[r->n_batches++] = *batch;
    *batch = NULL;
    return NJ_READ_ON;
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
    nj_reader reader = { .o = { .decoder = r->engine.decoder,
                                .batch_rows = rows,
                                .batch_bytes = NJ_BATCH_BYTES,
                                .limit = (uint64_t)limit,
                                .layout = layout_of,
                                .full = keep,
                                .opaque = r } };
    int rc = NJ_READ_ON;
    drop_batches(r);
    r->batch_rows = rows;
    r->graphs.engine = &r->engine;
    for (uint32_t i = 0; i < alerts->n && rc == NJ_READ_ON; i++)
        rc = nj_reader_take(&reader, alerts->chunk[i], err);
    if (rc >= 0 && nj_reader_flush(&reader, false) < 0) rc = (nj_fail(err, "out of memory"), NJ_READ_FAILED);
    nj_reader_free(&reader);
    if (rc < 0) return -1;
    return r->n_alerts ? 0
                       : nj_fail(err, "no packet could be read (%llu dead)", (unsigned long long)r->n_dead);
}

/* ---- the workers and their threads ----------------------------------------------------------- */

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
    if (nj_compute_thread_open(&w->own, &o->r->engine, 0, false, &why) == 0) return 0;
    pthread_mutex_lock(&o->r->lock);
    nj_fail(o->err, "%s", why.text);
    pthread_mutex_unlock(&o->r->lock);
    return -1;
}

static int open_workers(nj_replay *r, uint32_t n, nj_error *err)
{
    if (pthread_mutex_init(&r->lock, NULL) || pthread_cond_init(&r->given, NULL) ||
        pthread_cond_init(&r->finished, NULL))
        return nj_fail(err, "out of memory");
    r->locks = true;
    r->worker = calloc(n, sizeof *r->worker);
    if (!r->worker) return nj_fail(err, "out of memory");
    for (uint32_t k = 0; k < n; k++) {
        r->worker[k].replay = r;
        r->worker[k].number = k;
    }
    for (uint32_t k = 0; k < n && n > 1; k++) {
        if (pthread_create(&r->worker[k].thread, NULL, serve, &r->worker[k]))
            return nj_fail(err, "no thread could be created");
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
        nj_compute_thread_close(&w->own);
        nj_arena_free(&w->loop);
    }
    free(r->worker);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static const nj_replay_survey *survey_of(const nj_batch *b)
{
    return b->layout->owner;
}

static int first_pass(void *opaque, uint32_t k)
{
    nj_replay *r = opaque;
    for (uint32_t i = 0; i < r->n_batches && k == 0; i++)
        if (nj_dispatch(survey_of(r->batch[i])->graph, r->worker[0].own.worker, r->batch[i])) return -1;
    return 0;
}

int nj_replay_cut(nj_replay *r, const nj_replay_options *o, const nj_alerts *alerts, uint32_t rows,
                  nj_error *err)
{
    if (decode(r, alerts, o->limit, rows, err)) return -1;
    return nj_replay_each(r, first_pass, r) ? nj_fail(err, "out of memory") : 0;
}

/* As in a run. */
static uint32_t threads_for(const nj_replay *r, const nj_replay_options *o)
{
    const char *serial = o->threads > 1 ? nj_engine_serial(&r->engine) : NULL;
    if (!serial) return o->threads ? o->threads : 1;
    nj_log(NJ_LOG_INFO, "module %s takes alerts in the order of the source: one thread", serial);
    return 1;
}

int nj_replay_open(nj_replay *r, const nj_replay_options *o, const nj_alerts *alerts, nj_error *err)
{
    if (nj_replay_choose(r, o, err)) return -1;
    /* those that are off are gone */
    if (nj_engine_open(&r->engine, r->instance, err) || find_target(r, err)) return -1;
    if (open_workers(r, threads_for(r, o), err) || decode(r, alerts, o->limit, NJ_BATCH_ROWS, err)) return -1;
    uint32_t shares = 4 * r->n_workers; /* so that the threads end together */
    if (r->n_workers > 1 && r->n_batches < shares &&
        decode(r, alerts, o->limit, r->n_alerts < shares ? 1 : (uint32_t)(r->n_alerts / shares), err))
        return -1;
    if (nj_replay_each(r, first_pass, r)) return nj_fail(err, "out of memory");
    r->first = r->worker[0].own.worker->module[r->target];
    return 0;
}

const nj_instance *nj_replay_target(const nj_replay *r)
{
    return &r->engine.instances.item[r->target];
}

nj_replay_clock nj_replay_clocks(const nj_replay *r)
{
    nj_replay_clock sum = { 0 };
    for (uint32_t k = 0; k < r->n_workers; k++) {
        const nj_counter *c = &r->worker[k].own.worker->module[r->target];
        sum.wall_ns += c->wall_ns;
        sum.calls += c->calls;
        sum.cpu_ns += r->worker[k].cpu_ns;
        sum.busy_ns += r->worker[k].busy_ns;
    }
    return sum;
}

static int take_batch(nj_replay_worker *w, nj_batch *b)
{
    nj_arena kept = b->arena; /* inputs, images and the providers' outputs stay; what this pass makes goes */
    b->arena = w->loop;
    int rc = nj_dispatch(&survey_of(b)->alone, w->own.worker, b);
    w->loop = b->arena;
    b->arena = kept;
    nj_arena_reset(&w->loop);
    return rc;
}

int nj_replay_batch(nj_replay *r, uint32_t batch)
{
    return take_batch(&r->worker[0], r->batch[batch]);
}

int nj_replay_all(nj_replay *r, nj_batch *batch)
{
    return nj_dispatch(survey_of(batch)->graph, r->worker[0].own.worker, batch);
}

int nj_replay_alone(nj_replay *r, nj_batch *batch)
{
    return take_batch(&r->worker[0], batch);
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
        for (uint32_t i = k; i < s->r->n_batches && rc == 0; i += s->r->n_workers)
            rc = take_batch(w, s->r->batch[i]);
    w->cpu_ns += nj_thread_cpu_ns() - cpu;
    w->busy_ns += nj_now_ns() - begin;
    return rc;
}

int nj_replay_times(nj_replay *r, int64_t times)
{
    return nj_replay_each(r, take_share, &(share){ r, times });
}

typedef struct until {
    nj_replay *r;
    int64_t ns;
    uint64_t alerts[NJ_REPLAY_THREADS];
} until;

static int take_until(void *opaque, uint32_t k)
{
    until *u = opaque;
    nj_replay *r = u->r;
    int64_t cpu = nj_thread_cpu_ns(), begin = nj_now_ns();
    int rc = 0;
    uint32_t i = k < r->n_batches ? k : 0;
    while (rc == 0 && nj_now_ns() < u->ns) {
        rc = take_batch(&r->worker[k], r->batch[i]);
        u->alerts[k] += r->batch[i]->n;
        i += r->n_workers;
        if (i >= r->n_batches) i = k < r->n_batches ? k : 0;
    }
    r->worker[k].cpu_ns += nj_thread_cpu_ns() - cpu;
    r->worker[k].busy_ns += nj_now_ns() - begin;
    return rc;
}

int nj_replay_until(nj_replay *r, int64_t until_ns, uint64_t *alerts)
{
    until u = { .r = r, .ns = until_ns };
    int rc = nj_replay_each(r, take_until, &u);
    *alerts = 0;
    for (uint32_t k = 0; k < r->n_workers; k++) *alerts += u.alerts[k];
    return rc;
}

void nj_replay_close(nj_replay *r)
{
    close_workers(r);
    drop_batches(r);
    nj_graphs_free(&r->graphs);
    nj_engine_close(&r->engine);
    nj_arena_free(&r->arena);
    free(r->batch);
    if (!r->locks) return;
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->given);
    pthread_cond_destroy(&r->finished);
}
