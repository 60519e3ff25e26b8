/* source.h - where packets come from. One ingest thread opens and polls all sources; ack() alone comes from
 * the output thread. */
#ifndef NJ_SOURCE_SOURCE_H
#define NJ_SOURCE_SOURCE_H

#include <stdbool.h>

#include "../base/error.h"
#include "../base/settings.h"
#include "../batch/shard.h"

typedef struct nj_source nj_source;

/* What a source may ask of its host. All calls from the ingest thread. */
typedef struct nj_source_host {
    void *opaque;
    /* A new stream with its own ledger; name is copied. Lives until the run ends. */
    nj_stream *(*stream)(void *opaque, const char *name, const char *topic, int32_t partition);
    /* Waits until every chunk handed over from the stream is acknowledged, at most timeout_ms.
     * 0 = all are. */
    int (*drain)(void *opaque, nj_stream *stream, int timeout_ms);
    /* A message that people should see once at the end: "member x skipped because ..." */
    void (*note)(void *opaque, const char *text);
    /* Chunks of the stream that were handed over but will come again (assignment lost). */
    void (*returned)(void *opaque, nj_stream *stream, uint64_t n);
    /* Where a stream continues: 0 with *next_offset when the outputs on disk have everything before it, and
     * *published = the latest time of publication among that (ms since 1970, 0 = not known); 1 = nothing is
     * known of this stream, it begins as the settings say. NULL = nothing is ever known. */
    int (*resume)(void *opaque, const nj_stream *stream, int64_t *next_offset, int64_t *published);
    /* Alerts that should have come and never will: offsets that the broker deleted, a member that is gone.
     * NULL = not counted. */
    void (*missing)(void *opaque, nj_stream *stream, uint64_t n, const char *why);
    /* A source, or a part of it, ended before its end: "night.tar: cut after x.avro". A note says so as well.
     * NULL = there is no list. */
    void (*early)(void *opaque, const char *text);
    /* This worker replaces one that had alerts: brokers that are unreachable now are waited for. */
    bool goes_on;
    /* What tells this run from others on this host, also when it is started again; NULL = nothing. */
    const char *whose;
} nj_source_host;

/* A host for those who only read: nothing is acknowledged, notes are warnings in the log, what comes again is
 * forgotten. The caller has the streams. */
nj_source_host nj_source_reader_host(nj_stream *(*stream)(void *opaque, const char *name, const char *topic,
                                                          int32_t partition),
                                     void *opaque);

typedef struct nj_source_args {
    const char *spec;      /* as the user wrote it */
    nj_settings *settings; /* [kafka], [source] */
    const nj_source_host *host;
    int64_t limit;         /* hint: about this many alerts are wanted; 0 = all */
    const nj_shard *shard; /* only the parts that are its own, with their numbers in nj_chunk; NULL = all */
} nj_source_args;

typedef enum { NJ_NEXT_CHUNK, NJ_NEXT_IDLE, NJ_NEXT_END, NJ_NEXT_ERROR } nj_next;

typedef void nj_source_lag(void *opaque, const nj_stream *stream, int64_t done, int64_t end);

typedef enum {
    NJ_SOURCE_ASKS,  /* the server has not answered yet */
    NJ_SOURCE_WAITS, /* it has: no partition is this reader's */
    NJ_SOURCE_READY
} nj_source_state;

typedef struct nj_source_class {
    const char *name, *form, *doc; /* "tar", "FILE.tar, FILE.tar.gz", one sentence */
    const char *query;             /* "key=VALUE meaning" of what may stand behind the '?', one a line;
                                    * NULL = nothing */
    /* Is this spec mine? A look at the name, and at the file if there is one; no error here. */
    int (*match)(const char *spec);
    nj_source *(*open)(const nj_source_args *args, nj_error *err);
    /* The next chunk, refs = 1, owned by the caller. IDLE: nothing within timeout_ms (a live stream).
     * ERROR: this source cannot continue (exit code 2); what was handed over stays good. */
    nj_next (*next)(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err);
    /* Every chunk of the stream with offset < next_offset is done. Output thread. NULL = nothing to do. */
    void (*ack)(nj_source *source, nj_stream *stream, uint32_t generation, int64_t next_offset);
    /* Commits what was acknowledged and closes. */
    void (*close)(nj_source *source);
    /* For a progress bar: done and whole in any one unit; 0 = not known. NULL allowed. */
    int (*progress)(const nj_source *source, double *done, double *whole);
    /* Calls back for each stream that has an end which others move: what is done (a Kafka offset), and that
     * end; -1 = not known. Any thread. NULL allowed. */
    void (*lag)(const nj_source *source, nj_source_lag *each, void *opaque);
    /* Can alerts come? Any thread. NULL = always. */
    nj_source_state (*ready)(const nj_source *source);
    /* Offsets may be committed by a transaction of a sink in the same cluster: which cluster is that (NULL
     * = not known), from now on ack() commits nothing, and the group as it is now (librdkafka's metadata,
     * which the caller destroys; any thread). All NULL = it keeps no offsets in a cluster. */
    const char *(*cluster)(nj_source *source);
    void (*hand_over)(nj_source *source);
    void *(*group)(nj_source *source);
    /* The host has no room for a chunk now: a source that must show others that it lives does so, and hands
     * nothing over. Called at least once a second. NULL = nothing to do. */
    void (*tend)(nj_source *source);
    /* No next() follows: what the source has to say to its host. Ingest thread. NULL = nothing. */
    void (*finish)(nj_source *source);
} nj_source_class;

struct nj_source {
    const nj_source_class *class;
    nj_stream *stream; /* of a source with one stream; else NULL */
};                     /* first member of each source's own struct */

/* Are the keys and values of [source] right? Every source that opens asks as well. */
int nj_source_check(nj_settings *settings, nj_error *err);
/* What [source] may say; ends with {0}. All kinds, in the order in which they are asked; ends with NULL. */
extern const nj_param nj_source_settings[];
extern const nj_source_class *const nj_source_classes[];
nj_source *nj_source_open(const nj_source_args *args, nj_error *err);

#endif
