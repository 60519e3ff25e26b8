/* scaling_show.c - the section of --scaling: exponents with their intervals, warnings, and the log-log
 * plots. */
#include <math.h>
#include <string.h>

#include "../base/format.h"
#include "profile.h"

static const char *const of_what[] = { "points", "pixels", "rows" };

/* "n^1.04 [0.99, 1.10] in points", or why there is none. */
static void in_words(const nj_scaled *s, int v, char text[160])
{
    char words[96];
    snprintf(text, 160, "%s", s->none ? s->none : nj_scaling_words(words, &s->time, nj_scaled_unit(v)));
}

/* What was left out, and by which measure. */
static void notes(const nj_scaled *s, int v, char text[256])
{
    int at = 0;
    text[0] = 0;
    for (uint32_t k = 0; k < s->refused && at < 200; k++)
        at += snprintf(text + at, 256 - (size_t)at, "%s%u", k ? ", " : "no alert is answered at ",
                       s->unanswered[k]);
    if (s->refused)
        at += snprintf(text + at, 256 - (size_t)at, v == NJ_SCALED_PIXELS ? " pixels a side; " : "; ");
    if (s->slow) at += snprintf(text + at, 256 - (size_t)at, "from %u on a call takes over 0.5 s; ", s->slow);
    if (s->crashed && at < 200)
        at += snprintf(text + at, 256 - (size_t)at, "CRASHES at %u%s; ", s->crashed,
                       v == NJ_SCALED_PIXELS ? " pixels a side" : "");
    if (at >= 2) text[at - 2] = 0;
}

static void show_warning(const nj_scaling *s, const char *what, const char *unit, FILE *to)
{
    if (nj_scaling_warns(s))
        fprintf(to, "  WARNING: %s %s as n^%.2f in %s: ten times as many cost %.0f times as much\n", what,
                s->low < NJ_SCALING_WARN ? "may grow" : "grows", s->exponent, unit, pow(10, s->exponent));
}

static void variable_table(const nj_scaled *s, int v, FILE *to)
{
    char words[160], note[256], instructions[96];
    in_words(s, v, words);
    notes(s, v, note);
    fprintf(to, "%26s  %s", nj_scaled_name(v), words);
    if (s->by_instructions.kind != NJ_SCALING_UNKNOWN)
        fprintf(to, "; by instructions %s",
                nj_scaling_words(instructions, &s->by_instructions, nj_scaled_unit(v)));
    if (!s->none) fprintf(to, "; from %g to %g", s->time.least, s->time.most);
    fprintf(to, "%s%s\n", note[0] ? "; " : "", note);
    if (!s->none) show_warning(&s->time, "the cost", nj_scaled_unit(v), to);
    if (s->n_sizes > 1) {
        fprintf(to, "%26s ", "");
        for (uint32_t k = 0; k < s->n_sizes; k++) {
            char t[24];
            fprintf(to, " %g: %s%s", s->size[k], nj_format_duration(t, s->cost[k]),
                    k + 1 < s->n_sizes ? "," : "");
        }
        fputc('\n', to);
    }
}

static bool is_executed(const nj_scaled_function *f)
{
    for (int v = 0; v <= NJ_SCALED_ROWS; v++)
        if (f->of[v].kind != NJ_SCALING_UNKNOWN) return true;
    return false;
}

void nj_scaling_table(const nj_profile *p, FILE *to)
{
    const nj_scalings *s = &p->scaling;
    fprintf(to, "\nScaling (cost = fixed + factor * n^p, of CPU time in process(); 95 %% by bootstrap):\n");
    for (int v = 0; v < NJ_SCALED; v++) variable_table(&s->of[v], v, to);
    if (s->no_counts[0]) fprintf(to, "  lines executed: %s\n", s->no_counts);
    if (!s->n_functions) return;
    fprintf(to, "  by lines executed (exact, instrumented build):\n");
    for (uint32_t i = 0; i < s->n_functions; i++) {
        const nj_scaled_function *f = &s->function[i];
        if (!is_executed(f)) continue;
        fprintf(to, "%26s ", f->name);
        for (int v = 0, n = 0; v <= NJ_SCALED_ROWS; v++) {
            char words[96];
            if (f->of[v].kind == NJ_SCALING_UNKNOWN) continue;
            fprintf(to, "%s %s", n++ ? ";" : "", nj_scaling_words(words, &f->of[v], nj_scaled_unit(v)));
        }
        fputc('\n', to);
        show_warning(&f->of[NJ_SCALED_POINTS], f->name, "points", to);
        show_warning(&f->of[NJ_SCALED_PIXELS], f->name, "pixels", to);
        show_warning(&f->of[NJ_SCALED_ROWS], f->name, "alerts", to);
    }
}

static void fit_json(nj_json *j, const char *name, const nj_scaling *s)
{
    static const char *const kind[] = { "unknown", "flat", "power" };
    nj_json_open(j, name, '{');
    nj_json_put(j,
                "kind=%s exponent=%g low=%g high=%g logarithm=%hhd fixed=%g factor=%g change=%g warning=%hhd",
                kind[s->kind], s->exponent, s->low, s->high, s->logarithm, s->fixed, s->factor, s->change,
                nj_scaling_warns(s));
    nj_json_close(j);
}

static void list_json(nj_json *j, const char *name, const double *value, uint32_t n)
{
    nj_json_open(j, name, '[');
    for (uint32_t k = 0; k < n; k++) nj_json_item(j, "%g", value[k]);
    nj_json_close(j);
}

void nj_scaling_json(const nj_profile *p, nj_json *j)
{
    const nj_scalings *s = &p->scaling;
    nj_json_open(j, "scaling", '{');
    nj_json_open(j, "variables", '[');
    for (int v = 0; v < NJ_SCALED; v++) {
        const nj_scaled *one = &s->of[v];
        char note[256];
        notes(one, v, note);
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s unit=%s how=%s why_not=%s rounds=%u left_out=%s", nj_scaled_name(v),
                    nj_scaled_unit(v), nj_scaled_how(v), one->none, one->rounds, note[0] ? note : NULL);
        list_json(j, "size", one->size, one->n_sizes);
        list_json(j, "cost_ns", one->cost, one->n_sizes);
        list_json(j, "instructions", one->instructions, one->n_sizes);
        fit_json(j, "time", &one->time);
        fit_json(j, "by_instructions", &one->by_instructions);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_put(j, "no_counts=%s", s->no_counts[0] ? s->no_counts : NULL);
    nj_json_open(j, "functions", '[');
    for (uint32_t i = 0; i < s->n_functions; i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s line=%d", s->function[i].name, s->function[i].first);
        for (int v = 0; v <= NJ_SCALED_ROWS; v++) {
            nj_json_open(j, of_what[v], '{');
            list_json(j, "lines", s->function[i].lines[v], s->n_counted[v]);
            fit_json(j, "fit", &s->function[i].of[v]);
            nj_json_close(j);
        }
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

/* ---- the page -------------------------------------------------------------------------------- */

enum { LEFT = 62, TOP = 12, RIGHT = 408, BOTTOM = 178 }; /* as in scaling.svg */

typedef struct axes {
    double least, most, low, high; /* logarithms */
} axes;

static double x_of(const axes *a, double size)
{
    return LEFT + (log10(size) - a->least) / (a->most - a->least) * (RIGHT - LEFT);
}

static double y_of(const axes *a, double ns)
{
    return BOTTOM - (log10(ns) - a->low) / (a->high - a->low) * (BOTTOM - TOP);
}

static void put_ticks(nj_template_values *v, json_t *plot, const axes *a)
{
    json_t *x = nj_template_list(v, plot, "x_ticks"), *y = nj_template_list(v, plot, "y_ticks");
    for (double d = ceil(a->least); d <= a->most; d++) {
        char text[24];
        nj_template_put(v, x, "x=%g text=%s", x_of(a, pow(10, d)), nj_format_si(text, pow(10, d)));
    }
    for (double d = ceil(a->low); d <= a->high; d++) {
        char text[24];
        nj_template_put(v, y, "y=%g text=%s", y_of(a, pow(10, d)),
                        nj_format_duration_micro(text, pow(10, d)));
    }
}

static void put_plot(nj_template_values *v, json_t *to, const nj_scaled *s, int variable)
{
    axes a = { log10(s->size[0]) - 0.08, log10(s->size[s->n_sizes - 1]) + 0.08, INFINITY, -INFINITY };
    for (uint32_t k = 0; k < s->n_sizes; k++) {
        a.low = fmin(a.low, floor(log10(fmax(s->cost[k], 1)) - 0.05));
        a.high = fmax(a.high, ceil(log10(fmax(s->cost[k], 1)) + 0.05));
    }
    json_t *plot = nj_template_put(v, nj_template_list(v, to, "plot"),
                                   "left=%d top=%d right=%d bottom=%d unit=%s line=%d", LEFT, TOP, RIGHT,
                                   BOTTOM, nj_scaled_unit(variable), !s->none);
    put_ticks(v, plot, &a);
    json_t *dots = nj_template_list(v, plot, "dots"), *line = nj_template_list(v, plot, "fit");
    for (uint32_t k = 0; k < s->n_sizes; k++)
        nj_template_put(v, dots, "x=%g y=%g size=%g ns=%g", x_of(&a, s->size[k]),
                        y_of(&a, fmax(s->cost[k], 1)), s->size[k], s->cost[k]);
    for (int k = 0; k <= 32 && !s->none; k++) {
        double size = s->size[0] * pow(s->size[s->n_sizes - 1] / s->size[0], k / 32.0);
        nj_template_put(v, line, "x=%g y=%g", x_of(&a, size),
                        y_of(&a, fmax(nj_scaling_at(&s->time, size), 1)));
    }
}

void nj_scaling_put(nj_template_values *v, json_t *list, const nj_profile *p)
{
    if (!p->has_scaling) return;
    const nj_scalings *s = &p->scaling;
    json_t *to = nj_template_put(v, list, "no_counts=%s", s->no_counts[0] ? s->no_counts : NULL);
    json_t *variables = nj_template_list(v, to, "variables"),
           *functions = nj_template_list(v, to, "functions");
    for (int k = 0; k < NJ_SCALED; k++) {
        char words[160], note[256];
        in_words(&s->of[k], k, words);
        notes(&s->of[k], k, note);
        json_t *one = nj_template_put(v, variables, "name=%s how=%s words=%s note=%s warning=%d",
                                      nj_scaled_name(k), nj_scaled_how(k), words, note[0] ? note : NULL,
                                      !s->of[k].none && nj_scaling_warns(&s->of[k].time));
        if (s->of[k].n_sizes < 2)
            nj_template_list(v, one, "plot");
        else
            put_plot(v, one, &s->of[k], k);
    }
    for (uint32_t i = 0; i < s->n_functions; i++) {
        const nj_scaled_function *f = &s->function[i];
        char words[NJ_SCALED_ROWS + 1][96];
        if (!is_executed(f)) continue;
        for (int k = 0; k <= NJ_SCALED_ROWS; k++)
            if (f->of[k].kind == NJ_SCALING_UNKNOWN)
                words[k][0] = 0;
            else
                nj_scaling_words(words[k], &f->of[k], nj_scaled_unit(k));
        nj_template_put(v, functions, "name=%s points=%s pixels=%s rows=%s warning=%d", f->name, words[0],
                        words[1], words[2],
                        nj_scaling_warns(&f->of[0]) || nj_scaling_warns(&f->of[1]) ||
                            nj_scaling_warns(&f->of[2]));
    }
}
