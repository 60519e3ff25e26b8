/* internal.h - the state of one run, shared by the files of this folder. */
#ifndef NJ_FLOW_INTERNAL_H
#define NJ_FLOW_INTERNAL_H

#include <pthread.h>

#include "../base/ring.h"
#include "../engine/engine.h"
#include "../graph/watch.h"
#include "../measure/waterfall.h"
#include "../query/dedup.h"
#include "../query/filter.h"
#include "keep.h"
#include "reasons.h"
#include "run.h"

typedef struct trace trace;

enum { MAX_STREAMS = 16384, SCHEMAS_SEEN = 256, EARLY_MOST = 64 };
#define NJ_NO_UNIT UINT64_MAX

typedef struct run_conf { /* [run] */
    int64_t batch_rows, batch_bytes, batch_ms, budget_bytes, flush_ms, commit_ms, single_row, dedup;
    uint8_t sync, durable, reference, private_topics;
    const char *data_path, *site;
    int64_t open_files;
    struct {
        const char *modules, *where, *topics, *sinks, *columns, *metrics;
    } said; /* what the command line may say instead: read by cli.c,
             * in this table so that a misspelt key is found */
    uint8_t counters;
    double exposure_budget_s, broker_share, call_s, stop_s, stall_s, sink_retry_s;
} run_conf;

/* An output column and where its values are. */
typedef struct field_source {
    enum { FIELD_WANT, FIELD_GIVE, FIELD_REASON, FIELD_TOPICS, FIELD_SHARD } kind;
    uint32_t index; /* of the want, or of the instance */
    uint32_t give;
} field_source;

/* One survey's graph, whose layout.owner it is, and which of its columns each field reads. */
typedef struct survey {
    nj_graph *graph;
    const nj_survey_facts *facts;
    uint32_t *column;              /* [n_fields] column number; NJ_NO_COLUMN:
                               * no answer, or not of the field's type */
    uint32_t exposure;             /* column of what --shard-by exposure deals out by */
    int32_t *reason;               /* [n_fields] step whose reason it is, or -1 */
    uint32_t jd, lc_jd;            /* columns of the alert's and its light curve's times, or NJ_NO_COLUMN */
    uint64_t schema[SCHEMAS_SEEN]; /* serials of those looked at */
    uint32_t n_schemas;
    bool all_off; /* every module that -m names is off here */
} survey;

typedef struct topic {
    const char *name;
    nj_filter *filter;
    uint64_t offered, matches; /* atomic: metrics glance at them */
    int64_t ns;
} topic;

/* Chunks that go through the compute threads as one: the unit of order. */
typedef struct unit {
    uint64_t seq;
    size_t bytes;
    uint32_t n, cap;
    nj_chunk *chunk[];
} unit;

/* Alerts of one chunk that are written but not yet acknowledged. */
typedef struct pending {
    uint32_t stream, generation;
    int64_t next_offset, arrival_ns;
    int64_t exposure_end_ms; /* of its first alert, since 1970; 0 = not known */
    int64_t publish_ms;
    uint32_t emitted, filtered, dead, duplicates, returned, others;
    bool last, held; /* held: not acknowledged, it comes again */
} pending;

typedef struct stream {
    nj_stream public; /* what the source sees */
    char *name, *topic;
    nj_source *source;
    struct progress_of *progress; /* resume.h */
    uint32_t acked_generation;    /* of the last acknowledgement, and its offset: they never go back */
    int64_t acked_offset;
} stream;

/* What only the ingest thread writes; others read it when it has ended. */
typedef struct run_ingest {
    uint64_t next_seq;
    unit *unit;        /* being filled */
    _Atomic bool over; /* all that was read is written, and acknowledged */
    unit *waiting;     /* full, and there is no room for it yet */
    int64_t since_ns;
    nj_error error;
    int failed;
    uint64_t bytes;
    uint64_t polls, handed; /* atomic: of sources; packets passed on to the compute threads */
} run_ingest;

/* What the compute threads write, each its own row or atomically. */
typedef struct run_compute {
    uint64_t future_points, batches; /* atomic */
    nj_drift **drift;                /* [n_drifts] one per thread; with counters */
    int n_drifts;
} run_compute;

/* How long an output takes; with counters. */
typedef struct run_output_time {
    nj_histogram flush, commit;
} run_output_time;

/* What only the output thread writes while it runs; metrics glance at the counters. */
typedef struct run_output {
    struct out *thread;    /* its own; NULL when it is not there */
    nj_source *eos_source; /* whose offsets a sink commits with its rows; NULL = it does itself */
    nj_dead_letters *dead;
    const char *dead_path; /* where they go; NULL until nj_flow_letters_place() */
    bool has_dead;
    nj_error error;
    _Atomic int failed;
    _Atomic int hurry; /* a source drains: every flush commits */
    bool at_commit;    /* an output shows its rows only then */
    nj_counter *count_filter, *count;
    nj_histogram *latency, *publish, *total;
    run_output_time *time; /* [n_times] of the outputs, and of the dead letters; NULL before all are open */
    uint32_t n_times;
    nj_histogram *flush;              /* of all sinks together; NULL without counters */
    int64_t last_row_ns, last_ack_ns; /* atomic; 0 = none yet */
    nj_reasons *reasons;              /* dead letters by kind */
    nj_dedup *dedup;                  /* NULL: all alerts are kept */
    uint64_t digest, written, rows;
    uint64_t *escaped; /* [n_out] texts that were no UTF-8; NULL before the first rows */
    int live;          /* atomic: messages have times of publication */
    int busy;          /* atomic: the thread is not waiting for rows; a sink may be */
    nj_drift *drift;   /* with counters */
    nj_waterfall *waterfall;
} run_output;

/* The graphs of the surveys: made once each, and only read after that. */
typedef struct run_surveys {
    pthread_mutex_t lock; /* of all below but take_lock */
    pthread_cond_t turn;  /* a unit is through, or a survey is there */
    survey **item;
    uint32_t n;
    bool old_filters;          /* they were made for other types than the fields have now */
    uint64_t *at_unit;         /* [n_threads] what each compute thread is in */
    pthread_mutex_t take_lock; /* a unit is taken and noted in at_unit as one */
} run_surveys;

/* One ledger per stream; each field of a ledger has one thread that writes it. */
typedef struct run_accounts {
    pthread_mutex_t lock; /* of the list */
    stream *stream[MAX_STREAMS];
    nj_ledger *ledger; /* [MAX_STREAMS] */
    uint32_t n_streams;
    char *
        early[EARLY_MOST]; /* what ended before its end; the ingest thread adds, others read behind n_early */
    uint32_t n_early;      /* atomic: all of them, those that had no room included */
} run_accounts;

/* Why the run ends before its sources do: any thread. */
typedef struct run_end {
    nj_error error; /* of the thread that set fatal first */
    _Atomic int fatal, stop;
    _Atomic bool later; /* a schema was waited for when the run was to end: what follows comes again */
} run_end;

typedef struct run {
    /* set up, then read-only */
    const nj_run_options *options;
    run_conf conf;
    struct asked *regions; /* regions.c */
    nj_arena arena;
    nj_watch *watch;
    struct nj_health *health; /* NULL = not needed */
    nj_engine engine;
    nj_compute_thread *thread; /* [n_threads] one per compute thread */
    int n_threads;
    nj_source **source;
    uint32_t n_sources;
    nj_sink **sink;
    uint32_t n_sinks;
    nj_want *want; /* columns that outputs and filters ask for; types of raw ones: with the first survey */
    uint32_t n_wants;
    nj_field *field; /* [n_fields]; the first n_out go to sinks, the rest only to filters */
    field_source *field_from;
    uint8_t sink_stamps; /* bit per stamp that an output reads */
    uint32_t n_shown;    /* n_out, and what the outputs of topics have besides */
    uint32_t n_base;     /* the columns that every row has come first */
    /* the last only with topics */
    uint32_t n_shard; /* columns of the shard: the first ones; outputs that are no files lack them */
    uint32_t n_fields, n_out, programid_field, jd_field, exposure_field, topics_field;
    uint32_t lc_want[NJ_LC_COLUMNS]; /* wants of the SQL table lc; UINT32_MAX = no filter reads it */
    nj_filter *filter;               /* -w */
    topic *topic;
    struct topics_of_run *topics; /* topic_outputs.h; NULL before the outputs are open */
    uint32_t n_topics;
    const nj_metadata *metadata;
    int64_t start_ns;
    nj_energy *energy;
    nj_cost cost;

    nj_ring *work, *done; /* units to compute; batches to write */
    run_ingest ingest;
    run_compute compute;
    run_output output;
    run_surveys surveys;
    run_accounts accounts;
    run_end end;
    struct kept_state *kept;       /* of the workers before this one (keep.h); NULL: there is no supervisor */
    struct run_resume *resume;     /* resume.h */
    trace *trace;                  /* NULL: no alert is traced */
    bool confined;                 /* [guard] sandbox */
    struct nj_sandbox *sandbox;    /* of the threads that run modules; NULL = none */
    struct overload *overload;     /* NULL: nothing is left out */
    struct duplicates *duplicates; /* NULL: nothing is looked at (duplicates.h) */
    struct nj_notices *notices;    /* NULL: no instance asks for any (notices.h) */
    struct missing *missing;       /* NULL: all alerts are wanted (missing.h) */
} run;

/* fields.c */
int nj_flow_add_column(run *r, const char *label, const char *name, nj_error *err); /* raw or canonical */
int nj_flow_fields(run *r, nj_error *err); /* output columns, wants, filters:
                                                        * before anything is opened */
int nj_flow_add_field(run *r, nj_field field, field_source from);
int nj_flow_filters(run *r, bool warn, nj_error *err); /* made (again) for the types that the
                                                        * fields have now */
void nj_flow_filters_of_stream(run *r); /* once the sources are open: of a stream they never end it */

/* survey.c */
/* The survey of a schema, in whose unit (of that number) a thread found it. A new survey waits until the
 * units before are through, so that the one that fixes the types of raw columns is the
 * same for any number of threads. */
survey *nj_flow_survey(run *r, const nj_schema *schema, uint64_t seq, nj_error *err);
/* A compute thread is in this unit now; NJ_NO_UNIT: in none. */
void nj_flow_at_unit(run *r, int thread, uint64_t seq);
bool nj_flow_all_off(const run *r); /* no module that -m names had answers on any survey */
void nj_flow_surveys_free(run *r);
void nj_flow_values(const run *r, const survey *s, const nj_batch *batch, nj_col *value); /* [n_fields] */
/* Before the sinks: texts that are no UTF-8 become readable ones, counted and reported once per column.
 * -1: out of memory. */
int nj_flow_readable(run *r, nj_batch *b, const nj_rows *rows, nj_col *value);
/* reports the sums */
void nj_flow_readable_end(run *r);
/* what the SQL table lc reads */
nj_light_curve nj_flow_light_curve(const run *r, const survey *s, const nj_batch *batch);

/* check.c */
int nj_flow_check_settings(run *r, nj_error *err); /* sections, keys and names that nothing reads:
                                                    * once there is a decoder */
void nj_flow_report_unused(run *r);                /* settings of sources and outputs that this run lacks */

/* names.c: the one check of names; `label` begins the message, which has a near miss */
/* raw paths are left to the packets */
int nj_flow_check_column(run *r, const char *label, const char *path, nj_error *err);
int nj_flow_check_needs(run *r, nj_error *err); /* paths, units, types and shapes of all modules' needs */
int nj_flow_check_topics(const run *r, nj_error *err);

/* regions.c: the regions that a clause asks for. -1 with err: no instance can ever have one of them */
int nj_flow_check_regions(run *r, const char *label, const char *where, nj_error *err);
int nj_flow_regions_report(const run *r, nj_report *report); /* -1: memory is short */

/* ingest.c */
void *nj_ingest(void *run_);                /* thread */
extern const nj_source_host nj_ingest_host; /* opaque = run */

/* compute.c */
int nj_compute(run *r); /* the OpenMP region: returns when the work ring is drained */

/* output.c */
void *nj_output(void *run_);                          /* thread */
void nj_flow_refuse(void *run_, const nj_dead *dead); /* nj_sink_refuse; in the output thread */

/* outputs.c */
/* Before a module is loaded: what it prints must not come between the rows. */
int nj_flow_keep_standard_output(const nj_run_options *o, nj_error *err);
int nj_flow_sinks_open(run *r, nj_error *err);
/* What tells this run from others on this host, and is the same when it is started again: its folder and its
 * outputs. NULL: out of memory. */
const char *nj_flow_whose(run *r);
int nj_flow_sinks_close(run *r, nj_error *err);
const char *nj_flow_output_name(const run *r, uint32_t i); /* as given with -o; the last: "dead letters" */
int nj_flow_metadata(run *r); /* provenance: once in the files' metadata and in the report */

/* accounts.c: when the threads have ended */
int nj_flow_accounts(run *r, nj_report *report); /* -1: memory is short, and the report lacks something */
int nj_flow_exit_code(const run *r, const nj_report *report, nj_error *err);

/* guarded.c: the host's own parts, guarded as modules are; without a supervisor all of it does nothing */
void nj_flow_guard_begin(run *r);                              /* before the threads */
void nj_flow_guard_decode(nj_worker *worker, nj_chunk *chunk); /* the thread reads it from here on */
void nj_flow_guard_decoded(nj_worker *worker);                 /* and no more */
void nj_flow_guard_chunk(nj_chunk *chunk);                     /* one that killed a worker is not opened */
void nj_flow_guard_rows(run *r, const nj_batch *b);            /* such rows are dead letters */
/* nj_filter_run_each(), in a slot: row by row once a worker died in a clause. */
int nj_flow_guard_ask(nj_filter *clause, const nj_rows *rows, const nj_light_curve *lc, uint8_t *pass,
                      nj_filter_failed *on_failed, void *opaque, nj_error *err);
int nj_flow_guard_write(nj_sink *to, const nj_rows *rows, nj_error *err);

/* letters.c: where dead letters go */
const char *nj_flow_letters_path(run *r, unsigned number); /* of default files, from 1; NULL: no memory */
int nj_flow_letters_place(run *r, nj_error *err);          /* at the start: a place that cannot be written
                                                   * is found here */
int nj_flow_letters_open(run *r, nj_error *err);           /* before each write; 0 also when it is open */

/* analysis.c: the run looked at along its length, and exposure by exposure */
int nj_flow_analysis_begin(run *r, int threads, nj_error *err);
void nj_flow_analysis_free(run *r);
int nj_flow_analysis_report(run *r, nj_report *report); /* after fill_stages; writers have stopped.
                                                         * -1: memory is short */
/* Alerts that are written but not yet acknowledged, by exposure. */
typedef struct parts {
    nj_waterfall_part *part;
    uint32_t n, cap, first; /* first: of the present batch */
} parts;
/* One row of a batch, in order. 0, or -1 when memory is short. */
int nj_flow_part(parts *p, const nj_batch *b, const nj_chunk *chunk, double exposure, int64_t filter_ns,
                 int64_t filtered_ns);
void nj_flow_drift_output(run *r, uint32_t offered, int64_t filter_ns, uint32_t written, int64_t output_ns);
void nj_flow_parts_settle(run *r, parts *p, bool acknowledged, int64_t now_ns);

/* answers.c: what was wrong with the outputs of modules, on stderr and in the report; writers have stopped */
void nj_flow_answers(const run *r, nj_report *report);

/* shard.c: a run that has a part of the night */
const nj_shard *nj_flow_shard(const run *r);          /* NULL: it has all of it */
int nj_flow_shard_check(const run *r, nj_error *err); /* what N runs cannot share; once modules are open */
int nj_flow_shard_fields(run *r);                     /* -1: out of memory */
bool nj_flow_shard_mine(const run *r, const nj_batch *b, uint32_t row);
int nj_flow_shard_survey(const run *r, survey *s, nj_error *err); /* can its alerts be dealt out? */
/* The shard's columns of a batch. -1: out of memory. */
int nj_flow_shard_values(const run *r, nj_batch *b, nj_col *value);
/* What an output gets of the columns. */
void nj_flow_shard_columns(const run *r, uint32_t sink, nj_rows *rows);
void nj_flow_shard_state(const run *r, nj_buffer *out);    /* a member of the journals' state, or nothing */
int nj_flow_shard_report(const run *r, nj_report *report); /* and in the log; -1: out of memory */

/* Something that must end the run (out of memory, a survey's graph): kept, and polling stops. */
void nj_flow_fatal(run *r, const nj_error *err);

extern const nj_param nj_run_settings[]; /* what [run] may say; ends with {0} */

#endif
