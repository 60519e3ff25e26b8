/* file.h - what all sinks that write a file share: which file may be written,
 * and giving it back untouched. */
#ifndef NJ_SINK_FILE_H
#define NJ_SINK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "journal.h"
#include "sink.h"

typedef struct nj_outfile {
    char *path;          /* owned */
    int fd;              /* read and write, at the end of the file; -1 = closed */
    off_t size;          /* when it was opened: 0 = nothing to continue */
    off_t end;           /* bytes that it must have by now; set by whoever cuts it */
    bool regular;        /* a plain file: no pipe, no device */
    bool named;          /* its name is on the disk, too */
    nj_journal *journal; /* beside it; NULL = none */
    bool created;        /* it did not exist before */
    bool held;           /* the open failed, because another run is writing it */
} nj_outfile;

/* Opens the file by the rule of all outputs: CREATE refuses an existing regular file
 * with a text naming --overwrite and
 * --append, OVERWRITE empties it, APPEND keeps it. A file that another run, or another output of this run, is
 * writing is refused in every mode, by whatever name; devices and pipes are taken in every mode. */
int nj_outfile_open(nj_outfile *file, const char *path, nj_sink_mode mode, nj_error *err);
/* The same, and every write goes to the end, wherever that is by then: for formats that only grow. */
int nj_outfile_open_to_append(nj_outfile *file, const char *path, nj_sink_mode mode, nj_error *err);
/* As a sink's arguments say, its journal and mark included: what is to be overwritten has its new journal
 * before it loses a byte. The format cuts the file back to the mark itself, and then calls the next one. */
int nj_outfile_open_for(nj_outfile *file, const nj_sink_args *args, bool to_append, nj_error *err);
/* The file is what it shall be before the first row: its journal begins, with `rows` rows. Once. */
int nj_outfile_begin(nj_outfile *file, const nj_sink_args *args, int64_t rows, nj_error *err);
/* How a file is opened when there is a mark. */
nj_sink_mode nj_outfile_mode(const nj_sink_args *args);
/* Cuts it to so many bytes, and stands there. */
int nj_outfile_cut(nj_outfile *file, off_t end, nj_error *err);
/* Is it still the file that the path names, with all bytes that were written? A file that was removed, moved
 * or cut under the run takes rows that are lost. Pipes and devices are skipped. */
int nj_outfile_look(const nj_outfile *file, nj_error *err);
/* What was written so far, `rows` rows, survives a power cut (keep->disk), and the journal says so. */
int nj_outfile_commit(nj_outfile *file, int64_t rows, const nj_keep *keep, nj_error *err);
/* -1 with err when it is a device or a pipe: for formats that must go back to what they wrote. */
int nj_outfile_must_be_plain(const nj_outfile *file, nj_error *err);
/* write(2) until all is written; a full disk and a full pipe are waited for (waits.h). */
int nj_outfile_write(nj_outfile *file, const void *bytes, size_t n, nj_error *err);
/* Room on the disk for so many bytes behind its end, which stays where it is; waited for when there is none.
 * For libraries that lose what they have when a write fails. 0 also where a file system does not say. */
int nj_outfile_reserve(const nj_outfile *file, off_t bytes, nj_error *err);
/* A whole file beside it, by a new one and a rename: readers never see half of it. Waits as a write does. */
int nj_outfile_beside(const char *path, const char *bytes, size_t n, nj_error *err);
/* Closes; with `discard` a file that this run created is removed again (a start-up
 * that failed leaves nothing behind). */
int nj_outfile_close(nj_outfile *file, bool discard, nj_error *err);

#endif
