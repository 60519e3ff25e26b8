/* sink.h - where rows go. A sink serialises inside write() and keeps no pointer into the batch.
 * All calls of one sink come from the output thread. */
#ifndef NJ_SINK_SINK_H
#define NJ_SINK_SINK_H

#include "../base/error.h"
#include "../base/settings.h"
#include "../batch/rows.h"
#include "journal.h"

enum { NJ_SINK_LINES = 60 }; /* messages of one kind a minute */

typedef struct nj_sink nj_sink;

typedef struct nj_metadata {
    const char *key, *value;
} nj_metadata;

typedef enum { NJ_SINK_CREATE, NJ_SINK_OVERWRITE, NJ_SINK_APPEND } nj_sink_mode;

/* A row that a sink's target will never take, by the packet that it came from. The sink reports it within
 * write() or flush(), and continues; the host makes it a dead letter. */
typedef void nj_sink_refuse(void *opaque, const nj_dead *dead);

typedef struct nj_sink_args {
    const char *scheme; /* NULL: that of the class */
    const char *target; /* behind the scheme: a path, "-", "host:port/topic" */
    nj_sink_mode mode;  /* CREATE: an existing file is an error that names --overwrite and --append */
    bool disk;          /* commit() waits for the disk */
    const char *run, *configuration; /* of the journal that stands beside a file; NULL = none is kept */
    const nj_mark *mark;             /* go back to this commit of it, and on from there; NULL = by mode */
    bool known;                      /* with mark: the file has this run's provenance already */
    const char *whose;               /* what tells this run from others of this host; NULL = nothing */
    nj_settings *settings;           /* [sink.<scheme>], [kafka] */
    nj_sink_refuse *refuse;          /* NULL: such a row fails the sink */
    void *refuse_opaque;
    bool eos;  /* rows of a commit become visible together, or not at all, where the target can do that */
    bool part; /* a file of a rotated output, which keeps the journal: run says only that there is one */
    /* of rotated outputs */
    bool site, topics;   /* [run] site is given; there are topics */
    double longitude;    /* of the site, degrees east */
    uint32_t open_files; /* at most; 0 = 64 */
} nj_sink_args;

/* Up to where a partition of a source is done. */
typedef struct nj_place {
    const char *topic;
    int32_t partition;
    int64_t offset;
} nj_place;

/* What the host keeps with a file at a commit. */
typedef struct nj_keep {
    bool disk, complete; /* wait until it is on the disk; nothing will follow */
    uint64_t commit;
    const char *state; /* JSON; NULL = none yet */
    /* For a sink whose transactions have the source's offsets, too; the group is librdkafka's metadata,
     * which the sink destroys. */
    const nj_place *place;
    uint32_t n_places;
    void *group;
    bool *undone; /* set when the transaction failed and is as if it had not been: who begins anew at the last
                   * commit goes on. NULL = nobody asks */
} nj_keep;

/* Of an output that is in several files, by this process. */
typedef struct nj_sink_files {
    uint64_t finished, finished_rows, unfinished;
} nj_sink_files;

typedef struct nj_sink_class {
    const char *scheme, *form, *doc; /* "ndjson", "ndjson:PATH, ndjson:-", one sentence */
    bool is_file;                    /* the target is a path */
    const char *ending;       /* of files in a folder that is the target, ".parquet"; NULL = it takes none */
    bool refuses;             /* it may refuse rows: it is asked before the other sinks write theirs */
    const char *const *wants; /* columns of packets that it reads from the batch, ends with NULL; or NULL */
    uint8_t stamps;           /* bit per stamp of the batch that it reads */
    bool at_commit;           /* others see rows only after commit(), not after flush() */
    /* Checks the target and opens it. NULL with err. */
    nj_sink *(*open)(const nj_sink_args *args, nj_error *err);
    /* Once, before the first write: the columns and the provenance (key, value pairs, ends with a NULL key).
     * Also called at the end of a run without rows, so that a header exists. Pointers live until close. */
    int (*begin)(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err);
    int (*write)(nj_sink *sink, const nj_rows *rows, nj_error *err);
    /* All writes before it are with the target: write(2) returned, delivery reports in, headers valid. A file
     * that is no longer the one its path names, or has become shorter, is an error. */
    int (*flush)(nj_sink *sink, nj_error *err);
    /* What was flushed outlives a power cut, and with it keep->state. NULL = with flush() all is done. */
    int (*commit)(nj_sink *sink, const nj_keep *keep, nj_error *err);
    /* What the target has of a run before: nothing is changed. NULL = it has no memory. */
    int (*look)(const char *target, nj_mark *mark, nj_error *err);
    /* Nothing will follow: the file becomes whole. Before the last commit(), which counts it. A commit() that
     * is complete does it, too. NULL = it always is. */
    int (*finish)(nj_sink *sink, nj_error *err);
    int (*close)(nj_sink *sink, nj_error *err); /* frees the sink also on error */
    /* Of a file, after commit(): what it has. NULL = not reported. */
    void (*extent)(const nj_sink *sink, int64_t *bytes, int64_t *rows);
    /* About how many bytes the file would have if it were finished now. NULL = as extent() says. */
    int64_t (*will_be)(const nj_sink *sink);
    /* It wants a commit now, even without rows. NULL = never. */
    bool (*due)(nj_sink *sink);
    /* What is finished. Any thread. NULL = it is one file, or none. */
    void (*files)(const nj_sink *sink, nj_sink_files *files);
} nj_sink_class;

struct nj_sink {
    const nj_sink_class *class;
    bool transactional;  /* its commit() is the last one, and takes the places */
    const char *cluster; /* in which those can be kept; NULL = in none */
    bool comes_again;    /* close() need not make the file whole: it is opened again */
};                       /* first member of each sink's own struct */

/* "ndjson:out.ndjson", "null:", "kafka://host:port/topic": finds the class and opens. NULL with err. */
nj_sink *nj_sink_open(const char *spec, const nj_sink_args *args, nj_error *err);

/* NULL: there is none. */
const nj_sink_class *nj_sink_class_of(const char *spec);

/* The memory of the target of a spec; MARK_NONE when it has none, or there is no such sink. */
int nj_sink_look(const char *spec, nj_mark *mark, nj_error *err);

/* The path that a spec writes; NULL when that is no file: a stream, standard output, a device. */
const char *nj_sink_path(const char *spec);

/* The dead-letter file: an Avro OCF of {origin, reason, module, field, packet}, itself a SOURCE. */
typedef struct nj_dead_letters nj_dead_letters;
/* *held (NULL allowed): it was refused only because another run is writing it. */
nj_dead_letters *nj_dead_letters_open(const char *path, nj_sink_mode mode, bool *held, nj_error *err);
/* The same with a journal, and from a mark: target is the path. */
nj_dead_letters *nj_dead_letters_open_for(const nj_sink_args *args, bool *held, nj_error *err);
int nj_dead_letters_write(nj_dead_letters *file, const nj_dead *dead, uint32_t n, nj_error *err);
int nj_dead_letters_flush(nj_dead_letters *file, nj_error *err); /* a look: they are written at the commit */
int nj_dead_letters_commit(nj_dead_letters *file, const nj_keep *keep, nj_error *err);
uint64_t nj_dead_letters_count(const nj_dead_letters *file); /* that were written to it by this run */
/* Of a name with places ('dead-{night}.avro'): what a run before has; is a file to be finished? any thread:
 * what is finished (false: it is one file). */
int nj_dead_letters_look(const char *path, nj_mark *mark, nj_error *err);
bool nj_dead_letters_due(nj_dead_letters *file);
bool nj_dead_letters_files(const nj_dead_letters *file, nj_sink_files *files);
/* A file that this run made, and wrote no letter to, is removed again. */
int nj_dead_letters_close(nj_dead_letters *file, nj_error *err);

/* For sinks: row k of these rows will never be taken. False: it cannot be reported, and the sink fails. */
bool nj_sink_refuse_row(const nj_sink_args *args, const nj_rows *rows, uint32_t k, const char *module,
                        const char *why);

extern const nj_sink_class *const nj_sink_classes[]; /* ends with NULL */

#endif
