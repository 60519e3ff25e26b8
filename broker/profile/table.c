/* table.c - the profile in a terminal has the columns of Python's line_profiler, which many users have seen
 * before. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profile.h"

enum { W_LINE = 6, W_HITS = 9, W_TIME = 12, W_PER_HIT = 8, W_SHARE = 8, W_ERROR = 5, W_MODULE = 6 };
static const double shown_share = 0.001; /* a function of another file: shown from this share
                                          * of the module on */
static const double table_share = 0.01;  /* ... and with a table of its own from this one on */

/* %5.1f, or %5.3g where that is too wide: line_profiler's rule. */
static void figure(char text[32], double value, int width)
{
    snprintf(text, 32, "%5.1f", value);
    if ((int)strlen(text) > width) snprintf(text, 32, "%5.3g", value);
}

static const char *heat(const nj_profile_show *show, double share)
{
    if (!show->colour) return "";
    return share >= 0.2 ? "\033[1;31m" : share >= 0.05 ? "\033[33m" : "";
}

const char *nj_profile_path(const char *path)
{
    char here[4096];
    size_t n = getcwd(here, sizeof here) ? strlen(here) : 0;
    return n > 1 && !strncmp(path, here, n) && path[n] == '/' ? path + n + 1 : path;
}

static void print_header(const nj_profile *p, FILE *to)
{
    const nj_counter *c = &p->count;
    double wall = (double)p->wall_ns / 1e9;
    fprintf(to, "Module %s %s, %s\n", p->instance, p->version,
            p->source ? nj_profile_path(p->source) : "source not known");
    fprintf(to,
            "Alerts: %llu%s (%llu dead), sha256 %.16s; replayed %llu times, %u thread%s; times below are of "
            "one replay\n",
            (unsigned long long)p->alerts, p->cut ? ", the first of more" : "", (unsigned long long)p->dead,
            p->digest, (unsigned long long)p->replays, p->threads, p->threads == 1 ? "" : "s");
    fprintf(to, "Counts: %llu offered, %llu passed, %llu hits, %llu flagged\n",
            (unsigned long long)c->offered, (unsigned long long)c->passed, (unsigned long long)c->hits,
            (unsigned long long)c->flagged);
    fprintf(to,
            "Time: sampled %s, n=%u (%u more in the host's clock or not placed), %s build; %.3f s in "
            "process(), CPU of the loop %.3f s; %.2f CPU us/alert\n",
            p->clock, p->samples, p->unplaced, p->built ? p->built : "unknown", wall, (double)p->cpu_ns / 1e9,
            p->cpu_ns_per_alert / 1e3);
    const nj_profile_overhead *o = &p->overhead;
    if (o->pairs)
        fprintf(to,
                "Overhead of sampling: %.1f %% of CPU [%.1f, %.1f] at %.2f kHz, %.0f us each (median and its "
                "95 %% interval, %u pairs with and without)\n",
                100 * o->median, 100 * o->low, 100 * o->high, o->per_cpu_s / 1e3,
                1e6 * o->median / o->per_cpu_s, o->pairs);
    else
        fprintf(to, "Overhead of sampling: %s\n", p->no_overhead);
    if (p->no_hits)
        fprintf(to, "Hits: none: %s\n", p->no_hits);
    else
        fprintf(to, "Hits: exact (gcov -O0), of one replay and of opening the module\n");
    if (p->no_lines) fprintf(to, "Lines: none: %s\n", p->no_lines);
}

typedef struct line_view {
    int number;
    const nj_profile_line *line;
} line_view;

static void print_line(const nj_profile *p, const nj_profile_function *f, const nj_profile_show *show,
                       const line_view *v, const char *text, bool *rare, FILE *to)
{
    char hits[32] = "", time[32] = "", per_hit[32] = "", share[32] = "", error[32] = "", module[32] = "";
    const nj_profile_line *l = v->line;
    double part = f->samples ? (double)l->samples / f->samples : 0, ns = f->total_ns * part;
    bool run = l->hits != NJ_NOT_A_LINE && l->hits > 0;
    if (run) {
        snprintf(hits, sizeof hits, "%llu", (unsigned long long)l->hits);
        if (strlen(hits) > W_HITS) snprintf(hits, sizeof hits, "%g", (double)l->hits);
    }
    if (l->samples) {
        figure(time, ns / 1e9 / show->unit_s, W_TIME);
        snprintf(share, sizeof share, "%5.1f", 100 * part);
        snprintf(error, sizeof error, "%.1f", 100 * nj_profile_error(part, f->samples));
        snprintf(module, sizeof module, "%.1f", 100.0 * l->samples / p->samples);
        if (run) figure(per_hit, ns / 1e9 / show->unit_s / (double)l->hits, W_PER_HIT);
    } else if (run) {
        *rare = true;
    }
    fprintf(to, "%s%*d %*s %*s %*s %*s %*s %*s  %s%s\n", heat(show, l->samples ? part : 0), W_LINE, v->number,
            W_HITS, hits, W_TIME, time, W_PER_HIT, per_hit, W_SHARE, share, W_ERROR, error, W_MODULE, module,
            text, *heat(show, l->samples ? part : 0) ? "\033[0m" : "");
}

static void print_function(nj_profile *p, const nj_profile_function *f, const nj_profile_show *show, FILE *to)
{
    uint32_t n_text = 0;
    const char **text = nj_profile_text(&p->arena, f->file, &n_text);
    bool rare = false;
    fprintf(to, "\nTotal time: %g s\nFile: %s\nFunction: %s at line %d", f->total_ns / 1e9,
            nj_profile_path(f->file), f->name, f->first);
    fprintf(to, "   (%.1f %% of the module%s)\n\n", p->samples ? 100.0 * f->samples / p->samples : 0,
            f->counted ? "" : "; hits are counted in the module's own file only");
    char header[160];
    int n = snprintf(header, sizeof header, "%*s %*s %*s %*s %*s %*s %*s  Line Contents", W_LINE, "Line #",
                     W_HITS, "Hits", W_TIME, "Time", W_PER_HIT, "Per Hit", W_SHARE, "% Time", W_ERROR, "+-",
                     W_MODULE, "% Mod");
    fprintf(to, "%s\n", header);
    for (int i = 0; i < n; i++) fputc('=', to);
    fputc('\n', to);
    uint64_t placed = 0;
    for (int k = f->first; k <= f->last; k++) {
        line_view v = { k, &f->line[k - f->first] };
        placed += v.line->samples;
        print_line(p, f, show, &v, text && (uint32_t)k <= n_text ? text[k] : "", &rare, to);
    }
    if (placed < f->samples)
        fprintf(to,
                "%*s %.1f %% of its time is on no line here (left by a tail call, or code of another file)\n",
                W_LINE, "", 100.0 * (double)(f->samples - placed) / f->samples);
    if (rare && f->samples)
        fprintf(to, "%*s lines with hits and no time: below 3/n = %.2g %% of the function each (95 %%)\n",
                W_LINE, "", fmin(100, 300.0 / f->samples));
}

bool nj_profile_has_table(const nj_profile *p, const nj_profile_function *f)
{
    if (f->last < f->first) return false;
    return f->counted || (f->samples >= table_share * p->samples && strncmp(f->file, "/usr/", 5));
}

static bool is_shown(const nj_profile *p, const nj_profile_function *f, const nj_profile_show *show)
{
    if (show->skip_zero && !f->samples) return false;
    return f->counted ? f->calls || f->samples : f->samples && f->samples >= shown_share * p->samples;
}

static void print_never_called(const nj_profile *p, FILE *to)
{
    const char *before = "\nNever called: ";
    for (uint32_t i = 0; i < p->n_functions; i++) {
        if (!p->function[i].counted || p->function[i].calls || p->function[i].samples) continue;
        fprintf(to, "%s%s", before, p->function[i].name);
        before = ", ";
    }
    if (*before == ',') fputc('\n', to);
}

static int by_time(const void *a, const void *b)
{
    const nj_profile_function *x = *(nj_profile_function *const *)a, *y = *(nj_profile_function *const *)b;
    return (x->samples > y->samples) - (x->samples < y->samples); /* the most expensive last,
                                                                   * as line_profiler sorts */
}

void nj_profile_table(nj_profile *p, FILE *to)
{
    const nj_profile_show *show = &p->show;
    print_header(p, to);
    nj_profile_function **list = calloc(p->n_functions + 1, sizeof *list);
    if (!list) return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_functions; i++)
        if (is_shown(p, &p->function[i], show)) list[n++] = &p->function[i];
    if (show->sort) qsort(list, n, sizeof *list, by_time);
    if (show->lines) {
        fprintf(to, "\nTimer unit: %g s\n", show->unit_s);
        for (uint32_t i = 0; i < n; i++)
            if (nj_profile_has_table(p, list[i])) print_function(p, list[i], show, to);
    }
    if (show->summary || !show->lines) {
        fputc('\n', to);
        for (uint32_t i = 0; i < n; i++)
            fprintf(to, "%10.3g seconds %5.1f %% - %s:%d - %s\n", list[i]->total_ns / 1e9,
                    p->samples ? 100.0 * list[i]->samples / p->samples : 0,
                    *list[i]->file ? nj_profile_path(list[i]->file) : "(no lines)", list[i]->first,
                    list[i]->name);
    } else {
        bool any = false;
        for (uint32_t i = 0; i < n; i++) {
            if (nj_profile_has_table(p, list[i])) continue;
            fprintf(to, "%s%s %.1f %%", any ? ", " : "\nOther functions: ", list[i]->name,
                    100.0 * list[i]->samples / p->samples);
            any = true;
        }
        if (any) fputc('\n', to);
    }
    if (!show->skip_zero) print_never_called(p, to);
    free(list);
    fputc('\n', to);
    if (p->energy.tier) nj_footprint_table(p, to);
    if (p->has_counters) nj_counters_table(p, to);
    if (p->has_singly) nj_singly_table(&p->singly, to);
    if (p->energy_ab.tier[0]) nj_energy_pass_table(&p->energy_ab, to);
    if (p->has_scaling) nj_scaling_table(p, to);
}
