/* resume.h - what the outputs remember of a run before, and where the streams of this one stand: the memory
 * of commit.c. */
#ifndef NJ_FLOW_RESUME_H
#define NJ_FLOW_RESUME_H

#include "internal.h"

/* All alerts before it are done. */
typedef struct position {
    int64_t offset; /* of a chunk; -1 = nothing is known */
    uint32_t record;
} position;

static inline bool nj_before(int64_t offset, uint32_t record, position p)
{
    return offset < p.offset || (offset == p.offset && record < p.record);
}

/* One stream as an output's memory has it. */
typedef struct known {
    char *name, *member; /* member: of the last chunk that was done, "" = not known */
    position at;
    int64_t published; /* the latest time of publication, ms since 1970; 0 = not known */
    nj_ledger ledger;  /* over all workers and runs so far */
} known;

/* What one output remembers. */
typedef struct memory {
    nj_mark mark;
    known *item;
    uint32_t n;
    uint64_t written, digest;
    bool counts; /* it says where streams continue: it has a journal, or will have one */
} memory;

struct run_resume {
    memory *of; /* [n]: the outputs in their order, own_sink first, then the dead letters */
    uint32_t n;
    memory kept;      /* of the supervisor: where the next worker begins */
    uint64_t digest;  /* of the workers before this one */
    bool on, restart; /* continues; as the supervisor's next worker */
    char run[48];
    char *configuration; /* of this run, in lines */
    uint64_t commit;     /* number of the last one */
    char *letters;       /* path of the dead letters that belong to the run; NULL = none yet */
    nj_buffer columns;   /* raw ones, and what their types were found to be: objects of JSON */
};

/* Where a stream stands. */
typedef struct progress_of {
    char *key; /* its name in journals */
    bool is_kafka;
    position written; /* rows before it were given to the outputs */
    position kept;    /* as of the last commit; offset is read by the ingest thread */
    position next;    /* of the commit under way */
    position *ahead;  /* [resume.n] what each output has of a run before; NULL = nothing */
    position skip;    /* the ingest thread passes over what is before it */
    /* Of a source with an end: where each output was, and how the chunk before that must be called. */
    const known **had; /* [n_had], NULL = none */
    uint32_t n_had;
    int64_t furthest;  /* chunks that one of them had begun */
    int64_t seen;      /* chunks that the source had so far */
    int64_t published; /* the latest of those written; is read by the ingest thread */
    uint32_t generation;
    bool compare; /* chunks may come that are written already */
    nj_ledger sum, next_sum;
    char member[128], next_member[128];
} progress_of;

/* Before anything is opened. 0; 1 = the outputs are complete and nothing is to be done; -1 with err. */
int nj_flow_resume_look(run *r, nj_error *err);
/* What an output is opened with: the mark, or NULL. */
const nj_mark *nj_flow_mark(const run *r, uint32_t sink);
bool nj_flow_mark_known(const run *r, uint32_t sink);
/* A new stream: where it continues. -1: out of memory. */
int nj_flow_stream_begin(run *r, struct stream *s);
void nj_flow_stream_end(struct stream *s);
/* letters.c: whose letters a file has, as its journal says: of the run that writes this output. NULL: out of
 * memory. */
const char *nj_flow_letters_owner(run *r);
/* The state that goes into an output's journal, as of `next` of all streams. */
void nj_flow_state(const run *r, uint32_t sink, nj_buffer *out);
/* After a commit: `next` is kept. */
void nj_flow_kept(run *r);
void nj_flow_resume_free(run *r);
/* resume_configuration.c: a line for everything on which rows depend; NULL: out of memory. */
char *nj_flow_configuration(const run *r);
/* Logs what the journal beside path and this run do not share. How many lines that is; 0 = none. */
int nj_flow_configuration_differs(const char *journal, const char *mine, const char *path, int level);
/* resume_columns.c: the types of raw columns go into the state when they are known, and come from there. */
void nj_flow_columns_note(run *r);
bool nj_flow_columns_known(const run *r);
int nj_flow_columns_back(run *r, const char *state); /* -1: out of memory */

#endif
