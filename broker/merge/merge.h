/* merge.h - the outputs of N shards of a night become what one run would have written. */
#ifndef NJ_MERGE_MERGE_H
#define NJ_MERGE_MERGE_H

#include <jansson.h>

#include "../base/buffer.h"
#include "../sink/sink.h"

/* One stream as a shard's journal or report has it. */
typedef struct nj_merge_stream {
    const char *name;
    int64_t own, left;      /* parts; -1 = it was not dealt out in parts */
    int64_t alerts, others; /* accounted for; looked at and left to the others */
} nj_merge_stream;

/* What one shard says of itself. */
typedef struct nj_merge_shard {
    const char *path; /* of the file that is merged */
    unsigned k, n;    /* 0: it is no shard */
    const char *by;
    bool there, complete; /* complete: it came to its end, and its account is closed */
    char *configuration;  /* lines; owned */
    nj_merge_stream *stream;
    uint32_t n_streams;
    json_t *said; /* the state of the journal, or the report; owned; texts above point into it */
    nj_mark mark;
    int64_t part, record; /* of the present row */
    uint64_t n_rows;      /* read so far */
    bool over, unordered; /* unordered: a row came behind one of a later part */
    void *state;          /* of the kind */
} nj_merge_shard;

typedef struct nj_merge_set {
    nj_merge_shard *shard; /* [n] by their numbers, once checked */
    uint32_t n;
    uint32_t n_faults;  /* reported: a shard is missing, doubled, failed, or another night's */
    uint32_t n_foreign; /* of them, those of other settings or another night: no night can be made of these */
} nj_merge_set;

typedef struct nj_merge_options {
    bool anyway; /* writes what there is when something is wrong; the account does not close then */
    nj_sink_mode mode;
    uint32_t n_folders; /* that were given; 0 = files were */
} nj_merge_options;

typedef enum {
    NJ_MERGE_UNKNOWN,
    NJ_MERGE_NDJSON,
    NJ_MERGE_CSV,
    NJ_MERGE_AVRO,
    NJ_MERGE_LETTERS, /* and packets: Avro without places; shard behind shard */
    NJ_MERGE_PACKETS,
    NJ_MERGE_SQLITE,
    NJ_MERGE_FITS,
    NJ_MERGE_PARQUET,
    NJ_MERGE_REPORT
} nj_merge_kind;

/* A file of each shard into one. 0; 1 = something is wrong with the shards, and was reported; -1 with err. */
int nj_merge_files(const char *out, const char *const *path, uint32_t n, const nj_merge_options *o,
                   nj_error *err);
/* All files of each shard's folder into a folder, by their names. */
int nj_merge_folders(const char *out, const char *const *path, uint32_t n, const nj_merge_options *o,
                     nj_error *err);

/* kinds.c */
nj_merge_kind nj_merge_kind_of(const char *path, nj_error *err); /* by content; UNKNOWN with err */

/* shards.c */
/* Journals, or reports: into the set, whose shards have their paths. */
int nj_merge_look(nj_merge_set *set, nj_merge_kind kind, nj_error *err);
/* Reports what is wrong, in set->n_faults; drops shards that are there twice. */
int nj_merge_check(nj_merge_set *set, nj_merge_kind kind, const nj_merge_options *o, nj_error *err);
/* Not every shard has such a file: dead letters, a night or a topic of an output in several files. */
bool nj_merge_may_lack(const nj_merge_shard *s, nj_merge_kind kind);
void nj_merge_set_free(nj_merge_set *set);
/* The journal of what was merged: its configuration is that of one run, its state the sums. */
int nj_merge_mark(const nj_merge_set *set, nj_mark *mark, nj_error *err);

/* How a kind of file is read row by row, and written. */
typedef struct nj_merge_out {
    const char *path;
    nj_sink_mode mode;
    int64_t bytes;
    uint64_t n_rows;
    nj_mark mark; /* for SQLite, which has it inside */
    void *state;
} nj_merge_out;

typedef struct nj_merge_class {
    int (*open)(nj_merge_shard *s, nj_error *err);
    int (*next)(nj_merge_shard *s, nj_error *err); /* sets part and record, or over */
    void (*close)(nj_merge_shard *s);
    int (*begin)(nj_merge_out *out, nj_merge_set *set, nj_error *err);
    int (*put)(nj_merge_out *out, nj_merge_shard *s, nj_error *err); /* its present row */
    int (*end)(nj_merge_out *out, nj_error *err);                    /* all is written: sets bytes */
    void (*drop)(nj_merge_out *out, bool failed);                    /* failed: nothing of it stays */
} nj_merge_class;
extern const nj_merge_class nj_merge_text, nj_merge_avro, nj_merge_packets, nj_merge_sqlite,
    nj_merge_table_class;

/* report.c */
/* Of a shard that was resumed: its account becomes that of all its runs. */
void nj_merge_add_runs(json_t *report);
/* set->shard[].said are reports. */
int nj_merge_reports(const char *out, const nj_merge_set *set, const nj_merge_options *o, nj_error *err);

#endif
