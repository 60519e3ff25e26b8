/* flow_script.h - a source and an output that do what a test wrote down, and note what the run did with them.
 * Alert i has id 100 + i. A test that includes it links with:
 * --wrap=nj_sink_open,--wrap=nj_dispatch,--wrap=malloc,--wrap=realloc (the first lets the output in; the
 * others break a thread where the script says). */
#ifndef TESTS_UNIT_FLOW_SCRIPT_H
#define TESTS_UNIT_FLOW_SCRIPT_H

#include "decode_packets.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "broker/base/exit.h"
#include "broker/base/log.h"
#include "broker/flow/cli.h"
#include "broker/graph/dispatch.h"

enum { SCRIPT_CHUNKS = 48, SCRIPT_ROWS = 256, NEVER = -1 };

typedef struct script_chunk {
    int first, n; /* alerts first .. first + n - 1; n = 0: bytes that are no packet */
} script_chunk;

typedef struct script {
    /* the source: chunk k has offset k; at chunk k it does this first (NEVER: not at all) */
    script_chunk chunk[SCRIPT_CHUNKS];
    int n_chunks;
    int source_fails_at; /* NJ_NEXT_ERROR */
    int no_memory_at;    /* the unit that takes the chunk cannot be had */
    int drain_at, drain_ms;
    int lost_at, again_from; /* the partition is lost, and comes back with what was not committed */
    bool revokes;            /* what is under way then comes again and is not written */
    /* the compute threads: the batches of chunk k */
    int slow_batch; /* it waits until `overtaken_by` other batches are through the modules */
    int overtaken_by;
    int broken_batch; /* memory is short there */
    /* the output: at row k */
    int write_fails_at, stop_at, refuse_at, no_receipt_at;
    bool flush_waits; /* until the source has asked for its drain */
    bool flush_fails, begin_fails, close_fails;
    int write_crashes_at; /* at this alert the process dies */

    /* what happened */
    int64_t row[SCRIPT_ROWS], offset[SCRIPT_ROWS]; /* ids and their chunks, in the order of write() */
    int n_rows, n_safe;                            /* n_safe: of these, written before the last
                                                    * flush that went well */
    int n_begun, n_flushed, n_closed;
    int64_t ack[SCRIPT_CHUNKS]; /* next_offset of each acknowledgement */
    _Atomic int n_acks;
    bool early;  /* an acknowledgement of a chunk with a row that was not safe, or that came later */
    int drained; /* what the drain said: 0, -1; 1 = was not asked for */
    int64_t acked_at_drain;
    _Atomic int through, asked_to_drain, stop;

    /* the run */
    int rc;
    nj_error err;
    nj_report report;
} script;

static script *script_now; /* of the present run */
static _Thread_local bool next_malloc_fails, next_realloc_fails;

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
int __real_nj_dispatch(const nj_graph *g, nj_worker *w, nj_batch *b);
int __wrap_nj_dispatch(const nj_graph *g, nj_worker *w, nj_batch *b);
nj_sink *__wrap_nj_sink_open(const char *spec, const nj_sink_args *args, nj_error *err);

void *__wrap_malloc(size_t n)
{
    if (!next_malloc_fails) return __real_malloc(n);
    next_malloc_fails = false;
    return NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!next_realloc_fails) return __real_realloc(p, n);
    next_realloc_fails = false;
    return NULL;
}

static inline int64_t last_ack(const script *s)
{
    int n = s->n_acks;
    return n ? s->ack[n - 1] : 0;
}

/* ---- the source ------------------------------------------------------------------------------ */

typedef struct script_source {
    nj_source source;
    const nj_source_host *host;
    int at;
    uint32_t generation;
} script_source;

static inline nj_next script_next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    script_source *from = (script_source *)source;
    script *s = script_now;
    (void)timeout_ms;
    if (from->at == s->drain_at && s->drained == 1) {
        s->asked_to_drain = !s->flush_waits;
        s->drained = from->host->drain(from->host->opaque, source->stream, s->drain_ms);
        s->acked_at_drain = last_ack(s);
        s->asked_to_drain = 1;
    }
    if (from->at == s->lost_at && !from->generation++) {
        if (s->revokes) __atomic_store_n(&source->stream->revoked, 1, __ATOMIC_RELAXED);
        from->at = s->again_from;
    }
    if (from->at == s->source_fails_at) return nj_fail(err, "script: it broke"), NJ_NEXT_ERROR;
    if (from->at == s->n_chunks) return NJ_NEXT_END;
    const script_chunk *c = &s->chunk[from->at];
    nj_buffer file = { 0 }, block = { 0 };
    if (c->n) {
        kit_header(&file, small_schema, "null");
        for (int i = 0; i < c->n; i++) small_record(&block, c->first + i, NULL, 0);
        kit_block(&file, c->n, block.data, block.n);
    } else {
        kit_text(&file, "no packet");
    }
    *chunk = nj_chunk_new(source->stream, (uint8_t *)file.data, file.n);
    (*chunk)->offset = from->at;
    (*chunk)->generation = from->generation + s->revokes; /* those of sources begin with 1 */
    nj_buffer_free(&block);
    next_malloc_fails = from->at == s->no_memory_at;
    from->at++;
    return NJ_NEXT_CHUNK;
}

static inline void script_ack(nj_source *source, nj_stream *stream, uint32_t generation, int64_t next_offset)
{
    script *s = script_now;
    (void)source, (void)stream, (void)generation;
    for (int i = s->n_safe; i < s->n_rows; i++)
        if (s->offset[i] < next_offset) s->early = true;
    s->ack[s->n_acks] = next_offset; /* the source may look at it in its own thread */
    s->n_acks++;
}

static inline void script_close(nj_source *source)
{
    free(source);
}

static const nj_source_class script_source_class = { .name = "script",
                                                     .form = "(test)",
                                                     .doc = "a script",
                                                     .next = script_next,
                                                     .ack = script_ack,
                                                     .close = script_close };

static inline nj_source *script_open(void *opaque, const nj_source_args *args, nj_error *err)
{
    (void)opaque, (void)err;
    script_source *from = calloc(1, sizeof *from);
    *from = (script_source){ .host = args->host };
    from->source.class = &script_source_class;
    from->source.stream = args->host->stream(args->host->opaque, "script", NULL, -1);
    return &from->source;
}

/* ---- the compute threads --------------------------------------------------------------------- */

int __wrap_nj_dispatch(const nj_graph *g, nj_worker *w, nj_batch *b)
{
    script *s = script_now;
    if ((int)b->seq == s->broken_batch) return -1;
    while ((int)b->seq == s->slow_batch && s->through < s->overtaken_by) sched_yield();
    int rc = __real_nj_dispatch(g, w, b);
    s->through++;
    return rc;
}

/* ---- the output ------------------------------------------------------------------------------ */

typedef struct script_sink {
    nj_sink sink;
    nj_sink_refuse *refuse;
    void *refuse_opaque;
} script_sink;

static inline int script_begin(nj_sink *sink, const nj_field *field, uint32_t n, const nj_metadata *metadata,
                               nj_error *err)
{
    (void)sink, (void)field, (void)n, (void)metadata;
    script_now->n_begun++;
    return script_now->begin_fails ? nj_fail(err, "script: no header") : 0;
}

static inline int script_write(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    script *s = script_now;
    script_sink *to = (script_sink *)sink;
    for (uint32_t k = 0; k < rows->n; k++) {
        uint32_t row = rows->row[k];
        if (s->n_rows == s->write_fails_at) return nj_fail(err, "script: it is full");
        if (s->n_rows == s->stop_at) s->stop = 1;
        if (rows->batch->id[row] == s->write_crashes_at + 100) raise(SIGTRAP);
        if (s->n_rows == s->no_receipt_at) next_realloc_fails = true;
        if (rows->batch->id[row] == s->refuse_at + 100) {
            const nj_row *o = &rows->batch->row[row];
            nj_dead dead = { .chunk = o->chunk,
                             .record = o->record,
                             .bytes = o->datum,
                             .size = o->size,
                             .module = "script",
                             .reason = "script: not this one" };
            to->refuse(to->refuse_opaque, &dead);
            continue;
        }
        s->offset[s->n_rows] = rows->batch->row[row].chunk->offset;
        if (s->offset[s->n_rows] < last_ack(s)) s->early = true;
        s->row[s->n_rows++] = rows->batch->id[row];
    }
    return 0;
}

static inline int script_flush(nj_sink *sink, nj_error *err)
{
    script *s = script_now;
    (void)sink;
    while (s->flush_waits && !s->asked_to_drain) sched_yield();
    s->n_flushed++;
    if (s->flush_fails) return nj_fail(err, "script: it does not arrive");
    s->n_safe = s->n_rows;
    return 0;
}

static inline int script_sink_close(nj_sink *sink, nj_error *err)
{
    free(sink);
    script_now->n_closed++;
    return script_now->close_fails ? nj_fail(err, "script: it does not end") : 0;
}

static const nj_sink_class script_sink_class = { .scheme = "script",
                                                 .doc = "a script",
                                                 .refuses = true,
                                                 .begin = script_begin,
                                                 .write = script_write,
                                                 .flush = script_flush,
                                                 .close = script_sink_close };

nj_sink *__wrap_nj_sink_open(const char *spec, const nj_sink_args *args, nj_error *err)
{
    (void)spec, (void)err;
    script_sink *to = calloc(1, sizeof *to);
    *to = (script_sink){ { &script_sink_class }, args->refuse, args->refuse_opaque };
    return &to->sink;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static char script_folder[] = "/tmp/nightjar-script.XXXXXX", script_dead[64];

static inline int script_make_folder(void **state)
{
    (void)state;
    nj_log_level(NJ_LOG_ERROR);
    if (!mkdtemp(script_folder)) return -1;
    snprintf(script_dead, sizeof script_dead, "%s/dead.avro", script_folder);
    return 0;
}

static inline int script_remove_folder(void **state)
{
    (void)state;
    char journal[sizeof script_dead + 16];
    snprintf(journal, sizeof journal, "%s.journal", script_dead);
    unlink(script_dead);
    unlink(journal);
    return rmdir(script_folder);
}

/* `chunks` chunks of `n` alerts each, and nothing that goes wrong. */
static inline void script_new(script *s, int chunks, int n)
{
    memset(s, 0, sizeof *s);
    s->n_chunks = chunks;
    for (int k = 0; k < chunks; k++) s->chunk[k] = (script_chunk){ k * n, n };
    s->source_fails_at = s->no_memory_at = s->drain_at = s->lost_at = s->slow_batch = s->broken_batch = NEVER;
    s->write_fails_at = s->stop_at = s->refuse_at = s->no_receipt_at = NEVER;
    s->write_crashes_at = -1000;
    s->drained = 1;
}

/* A chunk is a batch. Further options end with NULL. */
static inline void script_run(script *s, const char *threads, const char *const *more)
{
    char *argv[40] = { (char *)"run",
                       (char *)"-q",
                       (char *)"-j",
                       (char *)threads,
                       (char *)"-m",
                       (char *)"nalerthist",
                       (char *)"-D",
                       (char *)"run.batch_bytes=65536",
                       (char *)"-D",
                       (char *)"run.batch_rows=1",
                       (char *)"--overwrite",
                       (char *)"--dead-letters",
                       script_dead };
    int n = 13;
    for (; more && *more; more++) argv[n++] = (char *)*more;
    argv[n++] = (char *)"script:";
    argv[n] = NULL;
    nj_cli cli;
    assert_int_equal(nj_cli_parse(&cli, n, argv, &s->err), 0);
    cli.options.open_source = script_open;
    cli.options.stop = &s->stop;
    script_now = s;
    s->rc = nj_run(&cli.options, &s->report, &s->err);
    nj_cli_free(&cli);
    assert_false(s->early); /* whatever happened */
    assert_int_equal(s->n_closed, 1);
    for (int i = 1; i < s->n_acks; i++) assert_true(s->lost_at != NEVER || s->ack[i - 1] < s->ack[i]);
}

/* The rows are those of the alerts first .. first + n - 1, in this order. */
static inline void assert_rows(const script *s, int first, int n)
{
    assert_int_equal(s->n_rows, n);
    for (int i = 0; i < n; i++) assert_int_equal(s->row[i], 100 + first + i);
}

#endif
