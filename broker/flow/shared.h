/* shared.h - what outlives a worker process: memory that `nightjar run`'s supervisor and its workers share.
 *
 * The supervisor maps it before the first fork and hands it to nj_run() in nj_run_options.shared. A run
 * without a supervisor (tests, bench, diff, --no-supervise) has none.
 * Everything here is plain data: no pointers. */
#ifndef NJ_FLOW_SHARED_H
#define NJ_FLOW_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#include "../graph/guard.h"
#include "../measure/ledger.h"
#include "../report/shed.h"
#include "board.h"

enum { NJ_STOP_S = 30 /* the default of [run] stop_s, for a worker that has not read it */ };
enum { NJ_KEPT_STREAMS = 16384 /* all that a run has */, NJ_STREAM_NAME = 256, NJ_KEPT_TOPICS = 256 };

/* One stream as of the last commit: all alerts before (offset, record) are in every output. */
typedef struct nj_kept_stream {
    char name[NJ_STREAM_NAME]; /* of nj_stream, cut */
    int64_t offset;            /* of the next chunk: a Kafka offset, or the number of a file or member */
    uint32_t record;           /* records of that chunk that are done */
    nj_ledger ledger;          /* sums over all workers so far */
    nj_ledger sum;             /* and over the runs before them: what the journals have */
} nj_kept_stream;

/* Alerts that a topic was asked about, and that it took, over all workers so far. */
typedef struct nj_kept_topic {
    char name[64];
    uint64_t offered, matches;
    int64_t ns;
} nj_kept_topic;

typedef struct nj_kept_set {
    uint32_t n, n_topics;
    nj_kept_topic topic[NJ_KEPT_TOPICS];
    uint64_t digest; /* of the alerts that are through (nj_report) */
    nj_kept_stream stream[NJ_KEPT_STREAMS];
} nj_kept_set;

/* Two sets in turn: a worker that dies while it writes one leaves the other whole. */
typedef struct nj_kept {
    _Atomic uint32_t turn; /* set[turn & 1] is whole; 0 = nothing is kept yet */
    nj_kept_set set[2];
} nj_kept;

/* What a reader of another nightjar can read too. */
typedef struct nj_shared_head {
    char magic[8];
    uint64_t bytes; /* of all of nj_shared: another number is another layout */
    int32_t pid;    /* of the supervisor */
    char version[64];
    int64_t began; /* seconds since 1970 */
} nj_shared_head;

typedef struct nj_shared {
    nj_shared_head head;
    uint32_t incarnation;     /* workers before this one */
    char run[48];             /* the run's name in the journals of its outputs; "" = no worker was so far */
    _Atomic int ended;        /* the worker ends by itself: its exit code is the run's */
    int exit_code;            /* which */
    _Atomic int recycle;      /* the worker is to finish what it has, and to end: another one continues */
    uint32_t n_recycled;      /* workers that did */
    uint32_t n_reloads;       /* new settings that were taken (reload.h) */
    double stop_s;            /* [run] stop_s, once the worker has read it */
    uint64_t columns;         /* of the outputs: another number when they are others; 0 = not known yet */
    int64_t start_ns;         /* when the first one began to poll */
    double dead_cpu_s;        /* of those that are gone */
    _Atomic uint64_t batches; /* written by all workers: a worker that dies before its first did not start */
    nj_kept kept;
    nj_guard guard;
    nj_shed_account shed;
    nj_board board; /* for `nightjar top` */
} nj_shared;

#endif
