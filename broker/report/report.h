/* report.h - what a run found out about itself: plain data, filled by the flow,
 * shown by terminal.c and json.c. */
#ifndef NJ_REPORT_REPORT_H
#define NJ_REPORT_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "../base/buffer.h"
#include "../measure/cost.h"
#include "../measure/counter.h"
#include "../measure/drift.h"
#include "../measure/energy.h"
#include "../measure/ledger.h"
#include "../measure/waterfall.h"
#include "shed.h"

enum { NJ_REPORT_SCHEMA = 2 };

typedef struct nj_stage {
    char name[64];
    const char *version; /* NULL for stages */
    bool is_module;
    bool per_row; /* percentiles come from one-row slices */
    nj_counter count;
    int64_t cold_start_ns;
    nj_drift_line drift; /* n = 0: nothing was kept */
} nj_stage;

typedef struct nj_report_stream {
    char name[256];
    nj_ledger ledger;
    const char *part; /* what shards share of it: "member"; NULL = it was not dealt out */
    uint64_t own, left;
    bool resumed; /* an earlier run had begun it: `all` counts what both have in the outputs */
    nj_ledger all;
} nj_report_stream;

typedef struct nj_report_file { /* a model, a catalogue, a table that was read */
    char name[256], sha256[65];
    uint64_t generation, searched; /* of a catalogue: 1, 2, ... as its file was replaced;
                                    * alerts that this state answered */
} nj_report_file;

typedef struct nj_report_wrong { /* a fault of a module that the host found in its outputs */
    char name[256];              /* of the module, or of the column */
    const char *what;            /* "call_failed" "no_reason" "invalid_reason" (rows), "out_of_range"
                                  * (values), "process_state" "written_beyond" (calls) */
    uint64_t n;
    int64_t first_id;           /* alert */
    double first_value, lo, hi; /* NAN = has none */
    bool is_whole;              /* first_whole is first_value, with all its digits */
    int64_t first_whole;
} nj_report_wrong;

typedef struct nj_report_failed { /* a module that crashed or hung */
    char name[64];
    uint64_t n;    /* alerts that it did so on */
    bool off;      /* too many: it was left out from then on */
    int64_t grown; /* bytes of memory for which it was left out; 0 = not for that */
} nj_report_failed;

typedef struct nj_report_lag { /* a partition that this run had at its end */
    char name[256];
    int64_t done, end; /* the next offset that is not acknowledged; the partition's end */
} nj_report_lag;

typedef struct nj_report_output {
    char name[160];
    nj_histogram flush, commit; /* ns; commit: until the disk has it, and the journal */
} nj_report_output;

typedef struct nj_report_topic {
    char name[64];
    uint64_t offered, matches; /* alerts that its clause was asked about, and that it took */
    int64_t ns;                /* that this took */
} nj_report_topic;

typedef struct nj_report_duplicate { /* alerts of one source that came before, in another or the same */
    char first[256], second[256];
    uint64_t n;
    int64_t id; /* the first of them */
} nj_report_duplicate;

typedef struct nj_report_notices { /* of an instance that makes regions of them */
    char module[64];
    struct nj_report_count {
        const char *what; /* static */
        uint64_t n;
    } count[8];
    uint32_t n_counts;
    uint64_t troubles; /* times that their source could not be read */
} nj_report_notices;

typedef struct nj_report {
    char input[256];  /* the sources as given */
    char started[32]; /* UTC, ISO 8601 */
    int threads;
    struct {
        uint32_t k, n;
        const char *by;
    } shard; /* n 0: the whole night */
    nj_ledger ledger;
    nj_report_stream *stream; /* [n_streams] */
    uint32_t n_streams;
    nj_stage *stage; /* [n_stages] decode, stamps, modules in their order, filter, output */
    uint32_t n_stages;
    nj_report_wrong *wrong;
    uint32_t n_wrong;
    nj_report_file *file;
    uint32_t n_files;
    double wall_s, cpu_s;
    uint64_t bytes;              /* of packets */
    uint64_t digest;             /* sum of mixed ids: the same alerts give the same digest in any order */
    nj_histogram latency;        /* ns, arrival to acknowledgement, per alert */
    bool live;                   /* a live stream: publish and total below mean something */
    nj_histogram publish, total; /* ns; Kafka timestamp - end of exposure;
                                  * acknowledgement - end of exposure */
    nj_waterfall_sum *waterfall; /* NULL: no row had an exposure; owned */
    uint64_t batches;
    double start_s; /* from the start of the process to the first poll */
    long rss_max_bytes;
    nj_energy_source energy;
    nj_energy_split split;
    nj_carbon carbon;
    nj_cost cost;              /* currency NULL: no run of its own */
    char energy_words[3][160]; /* the texts that energy and carbon point to, where they are not static */
    char cost_words[2][160];   /* the same of cost */
    bool interrupted;
    char **early; /* [n_early] sources, or parts of them, that ended before their end; owned */
    uint32_t n_early, more_early; /* more: that had no room */
    nj_report_lag *lag;           /* [n_lags] partitions, the worst first */
    uint32_t n_lags;
    nj_report_duplicate *duplicate; /* [n_duplicates] */
    uint32_t n_duplicates;
    nj_report_topic *topic; /* [n_topics] as given with -t */
    uint32_t n_topics;
    nj_report_output *output; /* [n_outputs] as given with -o, then the dead letters */
    uint32_t n_outputs;
    char dead_letters[256]; /* path, "" = none written */
    uint32_t restarts,
        recycled;     /* workers that died; that were replaced because of memory, or for new settings */
    uint32_t reloads; /* times that new settings were taken (SIGHUP) */
    nj_report_failed *failed;
    uint32_t n_failed;
    struct nj_report_refused {
        char module[64], act[32];
        uint64_t n;
    } * refused; /* [n_refused] what modules tried, and the sandbox refused; owned */
    uint32_t n_refused;
    struct nj_report_region {
        char name[256]; /* "gw.S260507a" */
        bool there;     /* at the end */
    } * region;         /* [n_regions] that clauses ask for by name; owned */
    uint32_t n_regions;
    nj_report_notices *notices; /* [n_notices] */
    uint32_t n_notices;
    nj_shed_account *shed;  /* NULL: no module was left out; owned */
    uint64_t future_points; /* light-curve points later than their alert */
    const char *objects;    /* JSON: how alerts were joined before (`objects`); NULL = they were not */
} nj_report;

/* Messages of the partition that are not acknowledged. */
uint64_t nj_report_behind(const nj_report_lag *lag);
/* What an alert cost the whole run. */
nj_per_alert nj_report_run_cost(const nj_report *report);
/* CPU ns of the run that no stage took; 0 when the stages were not clocked. */
double nj_report_rest_ns(const nj_report *report);
/* The table on `to`, as wide as nj_fit_width says. */
void nj_report_terminal(const nj_report *report, FILE *to);
/* The run report as JSON. */
void nj_report_json(const nj_report *report, nj_buffer *out);
void nj_report_free(nj_report *report);

#endif
