/* ingest.c - one thread polls the sources and gathers chunks into units, so that slow computing never delays
 * a poll. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/assert.h"
#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/log.h"
#include "resume.h"

enum { TEND_MS = 100 }; /* while there is no room, sources show so often that they live */

/* Is the unit that waits passed on, or thrown away? */
static bool push_waiting(run *r, int timeout_ms)
{
    unit *u = r->ingest.waiting;
    int rc = u ? nj_ring_push_within(r->work, u, u->bytes, timeout_ms) : 0;
    if (!u) return true;
    if (rc > 0) return false;
    r->ingest.waiting = NULL;
    if (rc == 0) return true;
    for (uint32_t i = 0; i < u->n; i++)
        nj_chunk_drop(u->chunk[i]); /* the run was broken off;
                                     * the chunks come again */
    free(u);
    return true;
}

/* Sources whose members of groups must continue show that they do. false: there is none. */
static bool tend(run *r)
{
    bool any = false;
    __atomic_fetch_add(&r->ingest.polls, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < r->n_sources; i++) {
        nj_source *s = r->source[i];
        if (s->class->tend) s->class->tend(s);
        any |= s->class->tend != NULL;
    }
    return any;
}

/* Slow modules or sinks hold the stream, not the readers' membership of their groups. */
static void push_unit(run *r)
{
    unit *u = r->ingest.unit;
    if (!u || r->ingest.waiting) return; /* the second: a source that is being tended drains a stream */
    r->ingest.unit = NULL;
    r->ingest.waiting = u;
    __atomic_fetch_add(&r->ingest.handed, u->n, __ATOMIC_RELAXED);
    nj_debug(NJ_DEBUG_FLOW, "unit %llu: %u chunks, %zu bytes", (unsigned long long)u->seq, u->n, u->bytes);
    while (!push_waiting(r, TEND_MS)) tend(r);
}

static int add_chunk(run *r, nj_chunk *chunk)
{
    if (!r->ingest.unit) {
        uint32_t cap = (uint32_t)r->conf.batch_rows;
        unit *u = malloc(sizeof *u + cap * sizeof *u->chunk);
        if (!u) {
            nj_chunk_drop(chunk);
            return -1;
        }
        *u = (unit){ .seq = r->ingest.next_seq++, .cap = cap };
        r->ingest.unit = u;
        r->ingest.since_ns = nj_now_ns();
    }
    unit *u = r->ingest.unit;
    chunk->seq = u->seq;
    u->chunk[u->n++] = chunk;
    u->bytes += chunk->size;
    r->ingest.bytes += chunk->size;
    __atomic_add_fetch(&r->accounts.ledger[chunk->stream->id].chunks, 1, __ATOMIC_RELAXED);
    if (u->n == u->cap || u->bytes >= (size_t)r->conf.batch_bytes) push_unit(r);
    return 0;
}

/* How long the next poll may wait: until the open unit is due. */
static int poll_ms(const run *r, uint32_t live)
{
    int wait = live > 1 ? 1 : 100;
    if (!r->ingest.unit) return wait;
    int64_t left = r->conf.batch_ms - (nj_now_ns() - r->ingest.since_ns) / 1000000;
    return left < 0 ? 0 : left < wait ? (int)left : wait;
}

static int stopped(const run *r)
{
    const nj_run_options *o = r->options;
    return r->end.stop || (o->stop && *o->stop) || (o->shared && atomic_load(&o->shared->recycle));
}

static void no_memory(run *r)
{
    nj_error err;
    nj_fail(&err, "out of memory while reading");
    nj_flow_fatal(r, &err);
}

static void host_early(void *opaque, const char *text)
{
    run *r = opaque;
    uint32_t n = r->accounts.n_early;
    for (uint32_t i = 0; i < n && i < EARLY_MOST; i++)
        if (!strcmp(r->accounts.early[i], text)) return;
    char *copy = strdup(text);
    if (n < EARLY_MOST && !copy) return;
    if (n < EARLY_MOST)
        r->accounts.early[n] = copy;
    else
        free(copy);
    __atomic_store_n(&r->accounts.n_early, n + 1, __ATOMIC_RELEASE);
}

static int source_fails(run *r, const nj_error *err)
{
    host_early(r, err->text);
    nj_log(NJ_LOG_ERROR, "%s", err->text);
    r->ingest.error = *err;
    r->ingest.error.said = 1;
    r->ingest.failed = 1;
    return 0;
}

/* What a run before had done is skipped: 1 = this chunk is; 0 = it is new; -1: the source is not what it was
 * for one of the outputs. */
static int pass_over(const progress_of *p, const nj_chunk *chunk, nj_error *err)
{
    const char *member = chunk->member ? chunk->member : "";
    for (uint32_t i = 0; chunk->offset < p->furthest && i < p->n_had; i++) {
        const known *had = p->had[i];
        if (chunk->offset + 1 != had->at.offset || !had->member[0]) continue;
        if (strncmp(member, had->member, sizeof p->member - 1) != 0)
            return nj_fail(
                err,
                "%s: is not what it was: number %lld in it is %s now, and was %s; the run cannot continue "
                "there",
                p->key, (long long)chunk->offset, member, had->member);
    }
    return chunk->offset < p->skip.offset;
}

/* The end of a source: has it all that was read from it before? */
static int check_end(const run *r, const nj_source *s, nj_error *err)
{
    const progress_of *p = s->stream ? r->accounts.stream[s->stream->id]->progress : NULL;
    if (!p || p->seen >= p->furthest) return 0;
    return nj_fail(err, "%s: is shorter than it was: it has %lld packets, and %lld were read before", p->key,
                   (long long)p->seen, (long long)p->furthest);
}

/* One poll of one source: 1 = it is still live. */
static int poll_source(run *r, nj_source *s, uint32_t live, int64_t *taken)
{
    nj_chunk *chunk = NULL;
    nj_error err = { "" };
    __atomic_fetch_add(&r->ingest.polls, 1, __ATOMIC_RELAXED);
    switch (s->class->next(s, poll_ms(r, live), &chunk, &err)) {
    case NJ_NEXT_CHUNK:
        if (!chunk->arrival_ns) chunk->arrival_ns = nj_now_ns();
        NJ_ASSERT(chunk->stream->id < r->accounts.n_streams &&
                      chunk->stream == &r->accounts.stream[chunk->stream->id]->public,
                  "source %s gives a chunk of a stream that is not of this run", s->class->name);
        NJ_ASSERT(chunk->release && chunk->refs, "source %s gives a chunk without a holder", s->class->name);
        if (!r->accounts.stream[chunk->stream->id]->source) /* which the output thread acknowledges to;
                                                             * set before its first chunk is passed on */
            r->accounts.stream[chunk->stream->id]->source = s;
        for (chunk->stream->source = 0; r->source[chunk->stream->source] != s;) chunk->stream->source++;
        progress_of *p = r->accounts.stream[chunk->stream->id]->progress;
        p->seen = chunk->offset + 1;
        int passed = pass_over(p, chunk, &err);
        if (passed) nj_chunk_drop(chunk);
        if (passed < 0) return source_fails(r, &err);
        if (!passed && add_chunk(r, chunk)) return no_memory(r), 0;
        ++*taken;
        return 1;
    case NJ_NEXT_IDLE: return 1;
    case NJ_NEXT_END:
        nj_debug(NJ_DEBUG_SOURCE, "%s is at its end", s->class->name);
        return check_end(r, s, &err) ? source_fails(r, &err) : 0;
    case NJ_NEXT_ERROR: return source_fails(r, &err);
    }
    return 0;
}

void *nj_ingest(void *run_)
{
    run *r = run_;
    uint8_t *alive = calloc(r->n_sources + 1, 1);
    uint32_t live = alive ? r->n_sources : 0;
    int64_t taken = 0;
    if (alive)
        memset(alive, 1, r->n_sources);
    else
        no_memory(r);
    while (live && !stopped(r) && (!r->options->limit || taken < r->options->limit)) {
        for (uint32_t i = 0; i < r->n_sources && !stopped(r); i++) {
            if (!alive[i]) continue;
            /* files one after the other; live streams in turn */
            do {
                if (!poll_source(r, r->source[i], live, &taken)) {
                    alive[i] = 0;
                    live--;
                    break;
                }
                if (r->ingest.unit && nj_now_ns() - r->ingest.since_ns > r->conf.batch_ms * 1000000)
                    push_unit(r);
                if (r->options->limit && taken >= r->options->limit) break;
            } while (r->source[i]->stream && !stopped(r));
            if (r->options->limit && taken >= r->options->limit) break;
        }
    }
    push_unit(r);
    for (uint32_t i = 0; i < r->n_sources && alive; i++)
        if (alive[i] && r->source[i]->class->finish) r->source[i]->class->finish(r->source[i]);
    nj_ring_close(r->work);
    while (!r->ingest.over && tend(r)) nanosleep(&(struct timespec){ 0, TEND_MS * 1000000L }, NULL);
    free(alive);
    return NULL;
}

/* --- what sources may ask of us --- */

static nj_stream *host_stream(void *opaque, const char *name, const char *topic_name, int32_t partition)
{
    run *r = opaque;
    nj_debug(NJ_DEBUG_SOURCE, "stream %s", name);
    stream *s = calloc(1, sizeof *s);
    if (s) s->name = strdup(name);
    if (s && topic_name) s->topic = strdup(topic_name);
    pthread_mutex_lock(&r->accounts.lock);
    bool full = r->accounts.n_streams == MAX_STREAMS;
    if (full || !s || !s->name || (topic_name && !s->topic)) {
        pthread_mutex_unlock(&r->accounts.lock);
        if (full)
            nj_log(NJ_LOG_ERROR, "%s: more than %d sources and partitions in one run", name, MAX_STREAMS);
        if (s) {
            free(s->name);
            free(s->topic);
        }
        free(s);
        return NULL;
    }
    s->public = (nj_stream){ .id = r->accounts.n_streams,
                             .name = s->name,
                             .topic = s->topic,
                             .partition = partition,
                             .key = nj_flow_key(name) };
    if (nj_flow_stream_begin(r, s)) {
        pthread_mutex_unlock(&r->accounts.lock);
        nj_flow_stream_end(s);
        free(s->name);
        free(s->topic);
        free(s);
        return NULL;
    }
    r->accounts.stream[r->accounts.n_streams] = s;
    __atomic_add_fetch(&r->accounts.n_streams, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&r->accounts.lock);
    return &s->public;
}

static int host_drain(void *opaque, nj_stream *s, int timeout_ms)
{
    run *r = opaque;
    nj_ledger *l = &r->accounts.ledger[s->id];
    int64_t until = nj_now_ns() + (int64_t)timeout_ms * 1000000;
    push_unit(r);
    r->output.hurry = 1;
    for (;;) {
        push_waiting(r, 0);
        uint64_t settled = __atomic_load_n(&l->settled, __ATOMIC_ACQUIRE),
                 chunks = __atomic_load_n(&l->chunks, __ATOMIC_RELAXED);
        bool done = settled >= chunks, late = nj_now_ns() > until || r->output.failed;
        if (done || late) {
            r->output.hurry = 0;
            return done ? 0 : -1;
        }
        nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
    }
}

static void host_note(void *opaque, const char *text)
{
    (void)opaque;
    nj_log(NJ_LOG_INFO, "%s", text);
}

static void host_returned(void *opaque, nj_stream *s, uint64_t n)
{
    run *r = opaque;
    if (!n) return;
    r->accounts.ledger[s->id].again += n; /* its own thread's field */
    nj_log(NJ_LOG_WARN, "%s: %llu messages in flight when the partition was lost will come again", s->name,
           (unsigned long long)n);
}

/* The outputs have all before it: of the last commit, or of a run before. */
static int host_resume(void *opaque, const nj_stream *s, int64_t *next_offset, int64_t *published)
{
    const run *r = opaque;
    const progress_of *p = r->accounts.stream[s->id]->progress;
    *next_offset = __atomic_load_n(&p->kept.offset, __ATOMIC_ACQUIRE);
    *published = __atomic_load_n(&p->published, __ATOMIC_RELAXED);
    return *next_offset < 0;
}

static void host_missing(void *opaque, nj_stream *s, uint64_t n, const char *why)
{
    run *r = opaque;
    r->accounts.ledger[s->id].missing += n; /* its own thread's field */
    nj_log(NJ_LOG_WARN, "%s: %llu alerts are missing: %s", s->name, (unsigned long long)n, why);
}

const nj_source_host nj_ingest_host = { .stream = host_stream,
                                        .drain = host_drain,
                                        .note = host_note,
                                        .returned = host_returned,
                                        .resume = host_resume,
                                        .missing = host_missing,
                                        .early = host_early };
