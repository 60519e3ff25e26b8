/* history.h - the cost of each module over a series of run reports or bench files:
 * median and MAD per report, in order of date. */
#ifndef NJ_REPORT_HISTORY_H
#define NJ_REPORT_HISTORY_H

#include <stdint.h>
#include <stdio.h>

#include "../base/buffer.h"
#include "../base/error.h"

typedef struct nj_history nj_history;

nj_history *nj_history_new(void); /* NULL when memory is short */
void nj_history_free(nj_history *history);
/* Adds one file. Samples of a run report: ns per alert of its batches (the points of its drift), or without
 * those its one-row calls; of a bench file: its rounds. 0; 1 = JSON of another kind (nothing added); -1 with
 * err = cannot be read. */
int nj_history_read(nj_history *history, const char *path, nj_error *err);
/* Adds every .json file of a folder that is a report or a bench file; the others are named on stderr.
 * Number of files added, or
 * -1 with err. */
int nj_history_folder(nj_history *history, const char *path, nj_error *err);

typedef struct nj_history_summary {
    uint32_t names, compared, judged,
        regressions; /* names with two reports; with samples enough for a gate; found slower by it */
} nj_history_summary;

/* A line per name (those that have `only` in them; NULL = all): the last report against the one before, and
 * all as a line of blocks. */
nj_history_summary nj_history_terminal(nj_history *history, const char *only, FILE *to);
/* The same as a self-contained page, with a chart for each name. -1 with err: memory is short. */
int nj_history_html(nj_history *history, const char *only, nj_buffer *out, nj_error *err);

#endif
