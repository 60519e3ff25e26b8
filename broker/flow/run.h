/* run.h - the main job: consume, decode, run the modules, write, acknowledge, account, measure. */
#ifndef NJ_FLOW_RUN_H
#define NJ_FLOW_RUN_H

#include "../report/report.h"
#include "../sink/sink.h"
#include "../source/source.h"

typedef struct nj_topic_option {
    const char *name, *where; /* where NULL: the ready topic [topic.NAME] of the settings */
} nj_topic_option;

typedef struct nj_run_options {
    nj_settings *settings; /* [run], [module.*], [topic.*], [kafka], ...: with the defaults of
                            * data/instances.ini already in */
    const char *select;    /* -m */
    const char *where;     /* -w; NULL = all rows */
    const nj_topic_option *topic;
    uint32_t n_topics;
    const char *const *source; /* specs */
    uint32_t n_sources;
    const char *const *sink; /* specs; none = null: */
    uint32_t n_sinks;
    const char *const *sink_topic;  /* [n_sinks] the topic whose rows alone it gets, or NULL; NULL: no sink */
    const char *const *module_path; /* shared objects or folders of them */
    uint32_t n_module_paths;
    const char *columns;      /* --columns: comma-separated raw or canonical fields */
    int threads;              /* compute threads; 0 = all cores */
    int64_t limit;            /* alerts; 0 = all */
    const char *dead_letters; /* path; NULL = dead-letters.avro beside the first output file,
                               * made at the first one */
    nj_sink_mode mode;
    bool strict, progress, eos;
    nj_sink *own_sink;       /* besides those of `sink`: the caller's, who frees it behind close();
                              * NULL = none */
    const char *own_columns; /* as `columns`, for that sink: a survey that lacks one is not reported */
    uint8_t stamps;          /* bit per stamp that it opens, whether a module does or not */
    const int64_t *trace;    /* ids of alerts whose way is printed */
    uint32_t n_traces;
    const char *trace_file; /* where to; NULL = standard error */
    const char *metrics;    /* HOST:PORT of the metrics endpoint; NULL = none */
    /* Opens the sources in place of nj_source_open, for packets that are in memory (bench, profile);
     * NULL = as usual. */
    nj_source *(*open_source)(void *opaque, const nj_source_args *args, nj_error *err);
    void *opaque;
    /* Called with the report when all is written, before modules are closed: they may crash. NULL: not. */
    void (*on_report)(void *opaque, const nj_report *report, int rc, const nj_error *err);
    void *on_report_opaque;
    struct nj_shared *shared; /* of the supervisor (shared.h); NULL = none */
    const char *const *seen;  /* [n_seen] outputs of earlier runs, whose alerts count as duplicates */
    uint32_t n_seen;
    const char *missing;     /* an output of an earlier run: only its alerts that went without a module */
    const char *report;      /* a file that the caller writes when the run has ended, or NULL */
    bool own_process;        /* the process is this run's alone: [guard] sandbox may confine it */
    nj_shard shard;          /* n 0: the whole night */
    bool resume;             /* continue from what the outputs' journals say */
    const _Atomic int *stop; /* set by a signal: stop polling, finish what is under way */
} nj_run_options;

/* The settings that every run begins with (data/instances.ini), for callers without a command line.
 * -1 with err. */
int nj_run_defaults(nj_settings *settings, nj_error *err);

/* Runs until the sources end or *stop is set. Fills the report (caller frees). Returns an exit code of
 * base/exit.h; err is set for NJ_EXIT_USAGE, NJ_EXIT_SOURCE and NJ_EXIT_LEDGER. */
int nj_run(const nj_run_options *options, nj_report *report, nj_error *err);

/* Sets a run up as far as that needs no source and no output, and closes it again. *columns: of its outputs,
 * as nj_shared has them. -1 with err. */
int nj_run_try(const nj_run_options *options, uint64_t *columns, nj_error *err);

/* What a run would do with the survey of this packet's schema: for `nightjar graph`. */
int nj_run_graph(const nj_run_options *options, int dot, nj_buffer *out, nj_error *err);

#endif
