/* history.c - many run reports and bench files become one series per module, to show how its cost changed. */
#include "history.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/format.h"
#include "../base/log.h"
#include "../measure/stats.h"
#include "bench_file.h"
#include "history_data.h"
#include "json_get.h"

nj_history *nj_history_new(void)
{
    return calloc(1, sizeof(nj_history));
}

void nj_history_free(nj_history *h)
{
    if (!h) return;
    for (uint32_t i = 0; i < h->n_files; i++) {
        for (uint32_t k = 0; k < h->file[i].n; k++) free(h->file[i].entry[k].sample);
        free(h->file[i].entry);
    }
    for (uint32_t k = 0; k < h->n_names; k++) free(h->name[k]);
    free(h->file);
    free(h->name);
    free(h);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Number of a name, in order of first sight; UINT32_MAX when memory is short. */
static uint32_t name_of(nj_history *h, const char *text)
{
    for (uint32_t k = 0; k < h->n_names; k++)
        if (!strcmp(h->name[k], text)) return k;
    char **list = realloc(h->name, (h->n_names + 1) * sizeof *list), *copy = strdup(text);
    if (list) h->name = list;
    if (!list || !copy) return free(copy), UINT32_MAX;
    h->name[h->n_names] = copy;
    return h->n_names++;
}

static int add_entry(nj_history *h, nj_history_file *f, const char *name, double *sample, uint32_t n)
{
    uint32_t which = name ? name_of(h, name) : UINT32_MAX;
    nj_history_entry *list = which == UINT32_MAX || !n ? NULL : realloc(f->entry, (f->n + 1) * sizeof *list);
    if (!list) return free(sample), n && name ? -1 : 0;
    f->entry = list;
    f->entry[f->n++] = (nj_history_entry){ which, n, sample, nj_quantile(sample, n, 0.5), nj_mad(sample, n) };
    return 0;
}

typedef struct rounds {
    nj_history *h;
    nj_history_file *f;
} rounds;

/* One time of a bench file, into the entry of its name. Median and MAD follow when all are there. */
static int add_round(void *opaque, const char *name, double ns)
{
    const rounds *r = opaque;
    nj_history_file *f = r->f;
    uint32_t which = name_of(r->h, name), k = 0;
    if (which == UINT32_MAX) return -1;
    while (k < f->n && f->entry[k].name != which) k++;
    if (k == f->n) {
        nj_history_entry *list = realloc(f->entry, (f->n + 1) * sizeof *list);
        if (!list) return -1;
        f->entry = list;
        f->entry[f->n++] = (nj_history_entry){ .name = which };
    }
    nj_history_entry *e = &f->entry[k];
    double *sample = realloc(e->sample, (e->n + 1) * sizeof *sample);
    if (!sample) return -1;
    e->sample = sample;
    e->sample[e->n++] = ns;
    return 0;
}

static int add_bench(nj_history *h, nj_history_file *f, const json_t *list)
{
    nj_bench_left left;
    if (nj_bench_times(list, add_round, &(rounds){ h, f }, &left)) return -1;
    nj_bench_report_left(f->name, &left);
    for (uint32_t k = 0; k < f->n; k++) {
        f->entry[k].median = nj_quantile(f->entry[k].sample, f->entry[k].n, 0.5);
        f->entry[k].mad = nj_mad(f->entry[k].sample, f->entry[k].n);
    }
    return 0;
}

/* Batches, or one-row calls where a report is older than its drift (at most 200 of a cell). */
static int add_module(nj_history *h, nj_history_file *f, const json_t *m)
{
    enum { MOST = 200 };
    const json_t *points = json_object_get(json_object_get(m, "drift"), "points"),
                 *cells = json_object_get(m, "histogram");
    size_t n_points = json_array_size(points), n_cells = json_array_size(cells),
           room = n_points > n_cells * MOST ? n_points : n_cells * MOST;
    double *v = malloc((room + 1) * sizeof *v);
    uint32_t n = 0;
    if (!v) return -1;
    for (size_t i = 0; i < n_points; i++)
        v[n++] = json_number_value(json_array_get(json_array_get(points, i), 1));
    for (size_t i = 0; !n_points && i < n_cells; i++) {
        const json_t *cell = json_array_get(cells, i);
        double entries = json_number_value(json_array_get(cell, 1));
        for (double e = 0; e < entries && e < MOST; e++) v[n++] = json_number_value(json_array_get(cell, 0));
    }
    return add_entry(h, f, nj_get_text(m, "name"), v, n);
}

static int add_contents(nj_history *h, nj_history_file *f, const json_t *root)
{
    const json_t *list = json_object_get(root, "benchmarks"), *c = json_object_get(root, "context");
    int bench = json_is_array(list), rc = 0;
    size_t i;
    json_t *item;
    snprintf(f->date, sizeof f->date, "%.19s", nj_get_text(c, "date"));
    snprintf(f->git, sizeof f->git, "%.20s", nj_get_text(c, "git"));
    snprintf(f->cpu, sizeof f->cpu, "%.70s", nj_get_text(c, "cpu"));
    double cores = nj_get_number(c, "cores");
    f->cores = cores > 0 ? (int)cores : 0;
    snprintf(f->input, sizeof f->input, "%.70s", nj_get_text(c, bench ? "data" : "input_digest"));
    if (bench) rc = add_bench(h, f, list);
    json_array_foreach(bench ? NULL : json_object_get(root, "modules"), i, item)
    {
        rc = add_module(h, f, item);
        if (rc) break;
    }
    double speed = nj_get_number(json_object_get(root, "throughput"), "alerts_per_s_core");
    double *whole = rc == 0 && speed > 0 ? malloc(sizeof *whole) : NULL;
    if (!whole) return rc;
    *whole = 1e9 / speed;
    return add_entry(h, f, "(whole run)", whole, 1);
}

int nj_history_read(nj_history *h, const char *path, nj_error *err)
{
    json_t *root = nj_json_read(path, NULL, err);
    if (!root) return -1;
    if (!json_is_array(json_object_get(root, "modules")) &&
        !json_is_array(json_object_get(root, "benchmarks")))
        return json_decref(root), 1;
    nj_history_file *list = realloc(h->file, (h->n_files + 1) * sizeof *list);
    if (!list) return json_decref(root), nj_fail(err, "out of memory");
    h->file = list;
    nj_history_file *f = &h->file[h->n_files++];
    const char *slash = strrchr(path, '/');
    *f = (nj_history_file){ .n = 0 };
    snprintf(f->name, sizeof f->name, "%.190s", slash ? slash + 1 : path);
    int rc = add_contents(h, f, root);
    json_decref(root);
    return rc ? nj_fail(err, "out of memory") : 0;
}

static int is_json(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 5 && !strcmp(d->d_name + n - 5, ".json");
}

int nj_history_folder(nj_history *h, const char *path, nj_error *err)
{
    struct dirent **list;
    int n = scandir(path, &list, is_json, alphasort), added = 0;
    if (n < 0) return nj_fail(err, "%s: %m", path);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, list[i]->d_name);
        nj_error why;
        int rc = nj_history_read(h, file, &why);
        added += rc == 0;
        if (rc)
            nj_log(NJ_LOG_WARN, "skipped: %s%s", rc > 0 ? file : why.text,
                   rc > 0 ? " (neither a run report nor a bench file)" : "");
        free(list[i]);
    }
    free(list);
    return added;
}

/* ---- looking --------------------------------------------------------------------------------- */

static int by_date(const void *a, const void *b)
{
    const nj_history_file *x = a, *y = b;
    int order = strcmp(x->date, y->date);
    return order ? order : strcmp(x->name, y->name);
}

void nj_history_sort(nj_history *h)
{
    qsort(h->file, h->n_files, sizeof *h->file, by_date);
}

const nj_history_entry *nj_history_entry_of(const nj_history *h, uint32_t file, uint32_t name)
{
    for (uint32_t k = 0; k < h->file[file].n; k++)
        if (h->file[file].entry[k].name == name) return &h->file[file].entry[k];
    return NULL;
}

void nj_history_look(const nj_history *h, uint32_t name, nj_history_line *line)
{
    memset(line, 0, sizeof *line);
    line->low = INFINITY;
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        if (!e) continue;
        line->before = line->last;
        line->last = e;
        if (!line->first) line->first = e;
        line->low = fmin(line->low, e->median);
        line->high = fmax(line->high, e->median);
        line->n++;
    }
    if (line->before)
        line->compared = nj_compare(line->before->sample, line->before->n, line->last->sample, line->last->n);
    else
        line->compared = (nj_comparison){ .verdict = NJ_TOO_FEW, .found = NJ_CANNOT_TELL };
}

const char *nj_history_differ(const nj_history *h)
{
    int cpu = 0, input = 0;
    for (uint32_t i = 1; i < h->n_files; i++) {
        cpu |= strcmp(h->file[i].cpu, h->file[0].cpu);
        input |= strcmp(h->file[i].input, h->file[0].input);
    }
    return cpu && input ? "not all of the same processor and the same input"
           : cpu        ? "not all of the same processor"
           : input      ? "not all of the same input"
                        : NULL;
}

/* ---- the terminal ---------------------------------------------------------------------------- */

/* The last 40 reports as blocks, from half of the highest median (or the lowest) to the highest: noise does
 * not look like a change. A point where a report has not the name. */
static void blocks(const nj_history *h, uint32_t name, const nj_history_line *line, FILE *to)
{
    static const char *const block[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    for (uint32_t i = h->n_files > 40 ? h->n_files - 40 : 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        double floor_ns = fmin(line->low, 0.5 * line->high);
        double share = e && line->high > 0 ? (e->median - floor_ns) / (line->high - floor_ns) : 0;
        fputs(e ? block[(int)fmin(7, 8 * share)] : "·", to);
    }
}

static void changes(const nj_history *h, const char *only, FILE *to)
{
    uint32_t all = 0;
    for (uint32_t k = 0; k < h->n_names; k++) {
        nj_history_change found[NJ_CHANGES];
        char text[400];
        if (only && !strstr(h->name[k], only)) continue;
        uint32_t n = nj_history_changes(h, k, found);
        for (uint32_t i = 0; i < n; i++) {
            if (!all++) fprintf(to, "changes of level, among the reports of one machine (p <= 0.01):\n");
            fprintf(to, "  %s: %s\n", h->name[k], nj_history_change_words(text, h, &found[i]));
        }
    }
    if (!all) fprintf(to, "no change of level in any series (of eight reports and more of one machine)\n");
}

nj_history_summary nj_history_terminal(nj_history *h, const char *only, FILE *to)
{
    nj_history_summary summary = { 0 };
    nj_history_sort(h);
    if (!h->n_files) return summary;
    const nj_history_file *first = &h->file[0], *last = &h->file[h->n_files - 1];
    fprintf(to, "%u reports, %s (%s) to %s (%s)%s%s\n", h->n_files, first->date, first->git, last->date,
            last->git, nj_history_differ(h) ? "; " : "", nj_history_differ(h) ? nj_history_differ(h) : "");
    fprintf(to, "%-40s %7s %10s %10s %10s %7s %9s  %-12s %s\n", "name", "reports", "first", "last", "MAD",
            "ratio*", "p*", "verdict*", "by date");
    for (uint32_t k = 0; k < h->n_names; k++) {
        nj_history_line line;
        char a[24], b[24], m[24];
        if (only && !strstr(h->name[k], only)) continue;
        nj_history_look(h, k, &line);
        if (!line.first) continue;
        fprintf(to, "%-40.40s %7u %10s %10s %10s %7.3f %9.2g  %-12s ", h->name[k], line.n,
                nj_format_duration(a, line.first->median), nj_format_duration(b, line.last->median),
                nj_format_duration(m, line.last->mad), line.before ? line.compared.ratio : 1.0,
                line.before ? line.compared.p : 1.0,
                line.before ? nj_comparison_word(&line.compared) : "one report");
        blocks(h, k, &line, to);
        fprintf(to, "\n");
        summary.names++;
        summary.compared += line.before != NULL;
        summary.judged += line.compared.verdict != NJ_TOO_FEW;
        summary.regressions += line.compared.verdict == NJ_REGRESSION;
    }
    fprintf(to, "* the last against the one before it, from the batches or rounds of each: the machine may "
                "have changed in between\n"
                "modules and stages: median wall time per alert, of batches; (whole run): CPU time per "
                "alert; bench files: CPU time of a round\n");
    changes(h, only, to);
    return summary;
}
