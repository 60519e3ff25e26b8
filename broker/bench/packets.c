/* packets.c - benchmarks time the host and not the disk, so packets are held in memory and served from
 * there. */
#include "packets.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../base/log.h"
#include "../engine/feed.h"
#include "../simulate/simulate.h"

/* ---- loading --------------------------------------------------------------------------------- */

enum { SIMULATED = 500, MOST_BYTES = 512 << 20 };

static int is_packet(const struct dirent *entry)
{
    return nj_ends_with(entry->d_name, ".avro");
}

static nj_bench_packet *add(nj_bench_packets *p)
{
    nj_bench_packet *more = realloc(p->packet, (p->n + 1) * sizeof *more);
    if (!more) nj_give_up("bench: out of memory");
    p->packet = more;
    p->packet[p->n] = (nj_bench_packet){ 0 };
    return &p->packet[p->n++];
}

static void add_to_digest(nj_bench_packets *p, const nj_bench_packet *one)
{
    p->bytes += one->size;
    for (size_t k = 0; k < one->size; k++) p->digest = (p->digest ^ one->bytes[k]) * UINT64_C(0x100000001b3);
}

static void add_copy(nj_bench_packets *p, const uint8_t *bytes, size_t size)
{
    nj_bench_packet *one = add(p);
    if (!(one->bytes = malloc(size + 1))) nj_give_up("bench: out of memory");
    memcpy(one->bytes, bytes, size);
    one->size = size;
    add_to_digest(p, one);
}

static void read_folder(nj_bench_packets *p)
{
    struct dirent **entry;
    int n = scandir(p->folder, &entry, is_packet, alphasort);
    for (int i = 0; i < n; i++) {
        char path[4096 + 300];
        snprintf(path, sizeof path, "%s/%s", p->folder, entry[i]->d_name);
        free(entry[i]);
        nj_bench_packet *one = add(p);
        one->bytes = (uint8_t *)nj_file_read(path, SIZE_MAX, &one->size);
        if (!one->size) {
            free(one->bytes);
            p->n--;
            continue;
        }
        add_to_digest(p, one);
    }
    if (n >= 0) free(entry);
}

/* Any other source, as `nightjar run` reads it. */
static int read_source(nj_bench_packets *p, nj_error *err)
{
    nj_settings settings = { 0 };
    const char *spec = p->folder;
    nj_chunk *chunk = NULL;
    nj_next got = NJ_NEXT_IDLE;
    if (nj_run_defaults(&settings, err)) return -1;
    nj_feed *feed = nj_feed_open(&settings, &spec, 1, 0, err);
    while (feed && got != NJ_NEXT_END && got != NJ_NEXT_ERROR && p->bytes < MOST_BYTES) {
        got = nj_feed_next(feed, 1000, &chunk, err);
        if (got != NJ_NEXT_CHUNK) continue;
        if (!chunk->fault && chunk->size) add_copy(p, chunk->bytes, chunk->size);
        nj_chunk_drop(chunk);
    }
    if (feed) nj_feed_close(feed);
    nj_settings_free(&settings);
    return feed && got != NJ_NEXT_ERROR ? 0 : -1;
}

static int simulate(nj_bench_packets *p, const char *survey, nj_error *err)
{
    const nj_simulator_conf conf = { .survey = survey, .alerts = SIMULATED };
    nj_simulated alert;
    nj_simulator *s = nj_simulator_new(&conf, err);
    if (!s) return -1;
    while (nj_simulator_next(s, &alert) == 1) add_copy(p, alert.bytes, alert.size);
    nj_simulator_free(s);
    snprintf(p->folder, sizeof p->folder, "%d simulated alerts", SIMULATED);
    return 0;
}

int nj_bench_packets_load(nj_bench_run *run, nj_bench_packets *p, size_t at_least_bytes)
{
    if (nj_bench_trial(run)) at_least_bytes = 0;
    const char *data = nj_bench_data(run), *shared = getenv("NIGHTJAR_SHARED");
    nj_error err = { "" };
    *p = (nj_bench_packets){ .digest = UINT64_C(0xcbf29ce484222325) };
    if (data)
        snprintf(p->folder, sizeof p->folder, "%s", data);
    else
        snprintf(p->folder, sizeof p->folder, "%s/real/ztf", shared ? shared : "../shared");
    read_folder(p);
    if (!p->n && data) read_source(p, &err);
    if (!p->n && !data && simulate(p, nj_bench_survey(run), &err) == 0)
        nj_bench_note(run, "%s; --data names others", p->folder);
    p->n_real = p->n;
    if (!p->n) {
        nj_bench_note(run, "no packets in %s%s%s", p->folder, err.text[0] ? ": " : "", err.text);
        return -1;
    }
    for (size_t i = 0; p->bytes < at_least_bytes; i = (i + 1) % p->n_real) {
        nj_bench_packet *copy = add(p);
        *copy = p->packet[i];
        copy->bytes = malloc(copy->size);
        if (!copy->bytes) nj_give_up("bench: out of memory");
        memcpy(copy->bytes, p->packet[i].bytes, copy->size);
        p->bytes += copy->size;
    }
    return 0;
}

void nj_bench_packets_free(nj_bench_packets *p)
{
    for (size_t i = 0; i < p->n; i++) free(p->packet[i].bytes);
    free(p->packet);
    *p = (nj_bench_packets){ 0 };
}

static void no_release(nj_chunk *chunk)
{
    (void)chunk;
}

nj_chunk nj_bench_chunk(uint8_t *bytes, size_t size, nj_stream *stream)
{
    return (nj_chunk){ .bytes = bytes, .size = size, .stream = stream, .refs = 1, .release = no_release };
}

/* ---- the source ------------------------------------------------------------------------------ */

typedef struct memory {
    nj_source source;
    const nj_bench_packets *packets;
    size_t at;
} memory;

static void release(nj_chunk *chunk)
{
    free(chunk);
} /* the bytes are the packets' */

static nj_next next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    memory *m = (memory *)source;
    if (m->at == m->packets->n) return NJ_NEXT_END;
    const nj_bench_packet *p = &m->packets->packet[m->at];
    *chunk = nj_chunk_new(source->stream, p->bytes, p->size);
    if (!*chunk) return nj_fail(err, "out of memory"), NJ_NEXT_ERROR;
    (*chunk)->offset = (int64_t)m->at++;
    (*chunk)->release = release;
    return NJ_NEXT_CHUNK;
}

static void close_memory(nj_source *source)
{
    free(source);
}

static const nj_source_class memory_class = {
    .name = "memory", .form = "(bench)", .doc = "packets in memory", .next = next, .close = close_memory
};

static nj_source *open_memory(void *opaque, const nj_source_args *args, nj_error *err)
{
    memory *m = calloc(1, sizeof *m);
    if (!m) return nj_fail(err, "out of memory"), NULL;
    m->packets = opaque;
    m->source.class = &memory_class;
    m->source.stream = args->host->stream(args->host->opaque, "packets in memory", NULL, -1);
    if (m->source.stream) return &m->source;
    free(m);
    return nj_fail(err, "out of memory"), NULL;
}

/* ---- a run ----------------------------------------------------------------------------------- */

int nj_bench_host_run(nj_bench_run *run, const nj_bench_host *host, nj_report *report)
{
    nj_error err = { "" };
    nj_settings settings = { 0 };
    const nj_bench_options *own = nj_bench_asked(run);
    const char *sink = host->sink ? host->sink : "null:", *source = host->packets ? "memory:" : host->source;
    const nj_run_options options = { .settings = &settings,
                                     .source = &source,
                                     .n_sources = 1,
                                     .sink = &sink,
                                     .n_sinks = 1,
                                     .threads = host->threads,
                                     .select = host->select ? host->select : own->module,
                                     .module_path = &own->module_file,
                                     .n_module_paths = own->module_file ? 1 : 0,
                                     .mode = NJ_SINK_OVERWRITE,
                                     .open_source = host->packets ? open_memory : NULL,
                                     .opaque = host->packets };
    memset(report, 0, sizeof *report);
    nj_log_level(NJ_LOG_WARN); /* as run -q */
    int rc = nj_run_defaults(&settings, &err);
    if (rc == 0 && host->define) rc = nj_settings_define(&settings, host->define, &err);
    if (rc == 0) rc = nj_run(&options, report, &err);
    if (rc) nj_bench_note(run, "the run failed: %s", err.text);
    nj_settings_free(&settings);
    return rc ? -1 : 0;
}
