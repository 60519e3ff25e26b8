/* history_data.h - what history.c has read, for history_page.c. */
#ifndef NJ_REPORT_HISTORY_DATA_H
#define NJ_REPORT_HISTORY_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "../measure/change.h"
#include "../measure/stats.h"
#include "history.h"

typedef struct nj_history_entry {
    uint32_t name, n;
    double *sample; /* [n] ns; owned */
    double median, mad;
} nj_history_entry;

typedef struct nj_history_file {
    char name[192], date[24], git[24], cpu[72], input[72];
    int cores; /* 0 = not known */
    nj_history_entry *entry;
    uint32_t n;
} nj_history_file;

struct nj_history {
    nj_history_file *file; /* by date once sorted */
    uint32_t n_files;
    char **name; /* in order of first sight */
    uint32_t n_names;
};

/* One name over all files. */
typedef struct nj_history_line {
    const nj_history_entry *first, *before, *last; /* before: NULL with one report */
    uint32_t n;
    double low, high;       /* of the medians */
    nj_comparison compared; /* last against before */
} nj_history_line;

/* A change of level between two reports of one machine. */
typedef struct nj_history_change {
    uint32_t last, file;        /* the last one before, the first one after */
    uint32_t n_before, n_after; /* reports of both levels */
    nj_level_change change;
} nj_history_change;

/* history_changes.c: of one name, by machine and date. Returns how many. */
uint32_t nj_history_changes(const nj_history *history, uint32_t name, nj_history_change found[NJ_CHANGES]);
/* "x1.200 slower from DATE (COMMIT, the one before COMMIT): ...; MACHINE; confidence 99.9 %" */
const char *nj_history_change_words(char text[400], const nj_history *history,
                                    const nj_history_change *change);

void nj_history_sort(nj_history *history);
/* NULL = not in it */
const nj_history_entry *nj_history_entry_of(const nj_history *history, uint32_t file, uint32_t name);
void nj_history_look(const nj_history *history, uint32_t name, nj_history_line *line);
const char *nj_history_differ(const nj_history *history); /* why the reports may not be alike;
                                                           * NULL = they are */

#endif
