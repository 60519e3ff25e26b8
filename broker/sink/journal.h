/* journal.h - what stands beside an output file, PATH.journal: to what a run may go back in it, and where its
 * sources were by then. */
#ifndef NJ_SINK_JOURNAL_H
#define NJ_SINK_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/error.h"

/* What an output's own memory says of its last commit. */
typedef struct nj_mark {
    enum {
        NJ_MARK_NONE,    /* the target has no memory: a stream, a device, a broker */
        NJ_MARK_NEW,     /* nothing is there yet, or an empty file */
        NJ_MARK_UNKNOWN, /* a file, and no journal of it */
        NJ_MARK_THERE
    } kind;
    int64_t bytes, rows; /* of the file; bytes is 0 where rows alone say it */
    uint64_t commit;     /* number of the commit within its run */
    bool complete;
    char *run;           /* name of the run, which stays when it is resumed; owned */
    char *configuration; /* lines; owned */
    char *state;         /* the host's, as it gave it; "" = it had none yet; owned */
    char *files;   /* of a rotated output: those that are not finished, JSON; NULL = it is none; owned */
    char *part_of; /* the rotated output that this finished file is of; NULL = of none; owned */
} nj_mark;
void nj_mark_free(nj_mark *mark);

/* Reads PATH.journal. UNKNOWN when PATH is there without it. A finished file of a rotated output may be
 * elsewhere by now. -1 with err: it cannot be read, or is none. */
int nj_journal_look(const char *path, nj_mark *mark, nj_error *err);
/* Of a file that is made into something else, and removed, once it is complete. */
int nj_journal_look_consumed(const char *path, nj_mark *mark, nj_error *err);

/* The header of a journal, and what stays the same for all its commits. */
typedef struct nj_journal_of {
    const char *run, *configuration;
    bool disk;           /* wait for the disk */
    const char *part_of; /* as in nj_mark */
} nj_journal_of;

typedef struct nj_journal nj_journal;
/* Starts PATH.journal over with this commit; a rename puts it in the place of the old one. NULL with err. */
nj_journal *nj_journal_begin(const char *path, const nj_journal_of *of, const nj_mark *first, nj_error *err);
/* One more commit. */
int nj_journal_add(nj_journal *journal, const nj_mark *mark, nj_error *err);
void nj_journal_end(nj_journal *journal); /* NULL allowed; the file stays */
/* A new file's name is the folder's, and goes to the disk with it. Where folders cannot be synced, the file
 * system sees to it. */
void nj_sync_folder_of(const char *path);
/* PATH with a dot before the name of the file, malloc: in a tree of folders that readers take as one table,
 * what is no data is hidden, and they skip it. (A name that begins with `_` is read by Spark when it has a
 * `=`.) A journal that is not at PATH.journal is looked for there. NULL when memory is short. */
char *nj_journal_hidden(const char *path);
/* Has PATH such a journal, and no other? */
bool nj_journal_is_hidden(const char *path);
/* There is no such file any more: nor is its journal. */
void nj_journal_remove(const char *path);

#endif
