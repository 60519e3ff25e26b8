/* history_changes.c - reports of several machines in one folder must not pass for changes of the program:
 * change points are looked for among the reports of each machine alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/format.h"
#include "../base/log.h"
#include "history_data.h"

static bool same_machine(const nj_history_file *a, const nj_history_file *b)
{
    return a->cores == b->cores && !strcmp(a->cpu, b->cpu);
}

static bool is_first_of_its_machine(const nj_history *h, uint32_t file)
{
    for (uint32_t i = 0; i < file; i++)
        if (same_machine(&h->file[i], &h->file[file])) return false;
    return true;
}

/* Medians of the name in the reports of that machine; which: their files. */
static uint32_t series_of(const nj_history *h, uint32_t name, uint32_t machine, double *median,
                          uint32_t *which)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        if (!e || !same_machine(&h->file[i], &h->file[machine])) continue;
        median[n] = e->median;
        which[n++] = i;
    }
    return n;
}

uint32_t nj_history_changes(const nj_history *h, uint32_t name, nj_history_change found[NJ_CHANGES])
{
    double *median = calloc(h->n_files + 1, sizeof *median);
    uint32_t *which = calloc(h->n_files + 1, sizeof *which), n_found = 0;
    if (!median || !which) nj_give_up("out of memory for the history of %u reports", h->n_files);
    for (uint32_t m = 0; m < h->n_files; m++) {
        nj_level_change change[NJ_CHANGES];
        if (!is_first_of_its_machine(h, m)) continue;
        uint32_t n = series_of(h, name, m, median, which), k = nj_change_points(median, n, change);
        for (uint32_t i = 0; i < k && n_found < NJ_CHANGES; i++)
            found[n_found++] = (nj_history_change){ .last = which[change[i].at - 1],
                                                    .file = which[change[i].at],
                                                    .n_before = change[i].at - change[i].from,
                                                    .n_after = change[i].to - change[i].at,
                                                    .change = change[i] };
    }
    free(median);
    free(which);
    return n_found;
}

const char *nj_history_change_words(char text[400], const nj_history *h, const nj_history_change *c)
{
    const nj_history_file *last = &h->file[c->last], *file = &h->file[c->file];
    double ratio = c->change.after / c->change.before;
    char a[24], b[24], cores[24] = "";
    if (file->cores > 0) snprintf(cores, sizeof cores, ", %d cores", file->cores);
    snprintf(
        text, 400,
        "x%.3f %s from %s (%s, the one before %s): %s to %s, %u reports and %u; %s%s; confidence %.1f %%",
        fmax(ratio, 1 / ratio), ratio > 1 ? "slower" : "faster", file->date, file->git, last->git,
        nj_format_duration(a, c->change.before), nj_format_duration(b, c->change.after), c->n_before,
        c->n_after, *file->cpu ? file->cpu : "a machine without a name", cores, 100 * (1 - c->change.p));
    return text;
}
