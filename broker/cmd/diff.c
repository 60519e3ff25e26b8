/* diff.c - nightjar diff: two builds or versions of one module over the same alerts: which outputs changed,
 * and what it cost. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../base/scratch.h"
#include "../flow/run.h"
#include "../graph/modules.h"
#include "../measure/stats.h"
#include "../sink/json.h"
#include "command.h"

enum { MOST_ROUNDS = 400 };

typedef struct change {
    double size; /* |new - old|; INFINITY: one of them is null, or they are texts */
    char alert[48], old[40], new[40];
} change;

typedef struct column {
    char name[96];
    uint64_t n, nulls; /* rows that differ; of these, rows where one side has no answer */
    change *change;
    size_t n_changes, cap;
} column;

typedef struct side {
    const char *spec, *path; /* path: of the shared object, or NULL */
    char module[96], folder[256], rows[264];
    const char *version;
    double cpu[MOST_ROUNDS];
} side;

typedef struct job {
    side side[2];
    char **source;
    int n_sources;
    const char *instance;
    double tolerance;
    int top, rounds;
    column *column;
    size_t n_columns;
    uint64_t n_rows, rows_changed, rows_answered; /* answered: one of the sides gives a value */
} job;

/* ---- the runs -------------------------------------------------------------------------------- */

static int name_side(side *s, nj_modules *set, nj_error *err)
{
    nj_modules own = { 0 };
    const nj_loaded_module *found = nj_modules_find(set, s->spec);
    if (!found && nj_ends_with(s->spec, ".py")) {
        const char *slash = strrchr(s->spec, '/'), *file = slash ? slash + 1 : s->spec;
        if (access(s->spec, R_OK)) return nj_fail(err, "%s: cannot be read", s->spec);
        snprintf(s->module, sizeof s->module, "%.*s", (int)strcspn(file, "."), file);
        s->version = "Python";
        nj_modules_asked(s->spec);
        s->path = s->spec;
        return 0;
    }
    if (!found) {
        if (access(s->spec, R_OK)) return nj_fail(err, "%s: neither a built-in module nor a file", s->spec);
        nj_modules_asked(s->spec);
        if (nj_modules_load(&own, s->spec, err)) return -1;
        if (own.n != 1) return nj_fail(err, "%s: %u modules, one is expected", s->spec, own.n);
        found = &own.item[0];
        s->path = s->spec;
    }
    snprintf(s->module, sizeof s->module, "%s", found->module->name);
    s->version = found->module->version;
    nj_modules_free(&own); /* its texts belong to the shared object, which stays */
    return 0;
}

/* One run of the module alone; cpu: its ns per alert. */
static int one_run(const job *j, const side *s, const char *sink, double *cpu, nj_error *err)
{
    nj_settings settings = { 0 };
    nj_report report = { 0 };
    const nj_run_options options = { .settings = &settings,
                                     .select = j->instance,
                                     .source = (const char *const *)j->source,
                                     .n_sources = (uint32_t)j->n_sources,
                                     .sink = &sink,
                                     .n_sinks = 1,
                                     .module_path = &s->path,
                                     .n_module_paths = s->path ? 1 : 0,
                                     .threads = 1,
                                     .mode = NJ_SINK_OVERWRITE };
    int rc = nj_run_defaults(&settings, err);
    if (rc == 0) rc = nj_run(&options, &report, err);
    for (uint32_t i = 0; rc == 0 && i < report.n_stages; i++)
        if (!strcmp(report.stage[i].name, j->instance) && report.stage[i].count.offered)
            *cpu = 1e3 * nj_counter_cost(&report.stage[i].count).cpu_us;
    nj_report_free(&report);
    nj_settings_free(&settings);
    return rc ? -1 : 0;
}

static int write_rows(job *j, side *s, nj_error *err)
{
    char spec[280];
    double ignored;
    if (nj_scratch_make(s->folder, sizeof s->folder, NULL, "diff", err)) return -1;
    snprintf(s->rows, sizeof s->rows, "%s/rows", s->folder);
    snprintf(spec, sizeof spec, "ndjson:%s", s->rows);
    return one_run(j, s, spec, &ignored, err);
}

static int time_both(job *j, nj_error *err)
{
    for (int round = -1; round < j->rounds; round++)
        for (int k = 0; k < 2; k++) {
            double cpu = NAN;
            side *s = &j->side[(round & 1) ^ k];
            if (one_run(j, s, "null:", &cpu, err)) return -1;
            if (round >= 0) s->cpu[round] = cpu;
        }
    return 0;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static column *column_of(job *j, const char *name)
{
    for (size_t i = 0; i < j->n_columns; i++)
        if (!strcmp(j->column[i].name, name)) return &j->column[i];
    column *more = realloc(j->column, (j->n_columns + 1) * sizeof *more);
    if (!more) nj_give_up("diff: out of memory");
    j->column = more;
    column *c = &j->column[j->n_columns++];
    *c = (column){ .n = 0 };
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

static void in_words(char text[40], const json_t *v)
{
    if (json_is_real(v))
        snprintf(text, 40, "%.12g", json_real_value(v));
    else if (json_is_integer(v))
        snprintf(text, 40, "%lld", (long long)json_integer_value(v));
    else if (json_is_string(v))
        snprintf(text, 40, "%.38s", json_string_value(v));
    else
        snprintf(text, 40, "%s", json_is_array(v) ? "[...]" : v ? "null" : "(absent)");
}

/* 0 when equal, else the size of the difference. */
static double differ(const json_t *a, const json_t *b, double tolerance)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b), d = fabs(x - y);
        return d <= tolerance * fmax(fabs(x), fabs(y)) ? 0 : d;
    }
    if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        double worst = 0;
        for (size_t i = 0; i < json_array_size(a); i++)
            worst = fmax(worst, differ(json_array_get(a, i), json_array_get(b, i), tolerance));
        return worst;
    }
    return json_equal(a, b) ? 0 : INFINITY;
}

static void note_change(column *c, double size, const json_t *alert, const json_t *a, const json_t *b)
{
    if (c->n_changes == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 16;
        c->change = realloc(c->change, c->cap * sizeof *c->change);
        if (!c->change) nj_give_up("diff: out of memory");
    }
    change *x = &c->change[c->n_changes++];
    x->size = size;
    const json_t *id = json_object_get(alert, "candid"); /* some surveys have texts */
    if (json_is_string(id))
        snprintf(x->alert, sizeof x->alert, "%.47s", json_string_value(id));
    else
        snprintf(x->alert, sizeof x->alert, "%lld", (long long)json_integer_value(id));
    in_words(x->old, a);
    in_words(x->new, b);
    c->n++;
    c->nulls += (!a || json_is_null(a)) != (!b || json_is_null(b));
}

static void diff_row(job *j, const json_t *a, const json_t *b)
{
    bool changed = false, answered = false;
    const char *key;
    json_t *v;
    for (int pass = 0; pass < 2; pass++) /* keys of the old; then those that only the new has */
        json_object_foreach((json_t *)(pass ? b : a), key, v)
        {
            const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
            if (!strchr(key, '.') || (pass && x)) continue;
            if (!nj_ends_with(key, ".reason")) answered |= (x && !json_is_null(x)) || (y && !json_is_null(y));
            double size = x && y ? differ(x, y, j->tolerance) : INFINITY;
            if (size == 0) continue;
            note_change(column_of(j, key), size, a, x, y);
            changed = true;
        }
    j->n_rows++;
    j->rows_changed += changed;
    j->rows_answered += answered;
}

/* 1 with err: there was nothing to compare, which is not the same as no difference. */
static int diff_rows(job *j, nj_error *err)
{
    FILE *f[2] = { fopen(j->side[0].rows, "r"), fopen(j->side[1].rows, "r") };
    char *line[2] = { NULL, NULL };
    size_t cap[2] = { 0, 0 };
    int rc = f[0] && f[1] ? 0 : nj_fail(err, "the rows cannot be read");
    while (rc == 0) {
        ssize_t n0 = getline(&line[0], &cap[0], f[0]), n1 = getline(&line[1], &cap[1], f[1]);
        if (n0 < 0 && n1 < 0) break;
        json_t *a = n0 > 0 ? nj_json_read_row(line[0], (size_t)n0) : NULL,
               *b = n1 > 0 ? nj_json_read_row(line[1], (size_t)n1) : NULL;
        if (a && b && json_equal(json_object_get(a, "candid"), json_object_get(b, "candid")))
            diff_row(j, a, b);
        else
            rc = nj_fail(err, "row %llu: the two runs do not have the same alerts",
                         (unsigned long long)j->n_rows + 1);
        json_decref(a);
        json_decref(b);
    }
    for (int i = 0; i < 2; i++) {
        free(line[i]);
        if (f[i]) fclose(f[i]);
    }
    if (rc == 0 && !j->n_rows)
        return nj_fail(err, "nothing was compared: no alert came out of the source"), 1;
    if (rc == 0 && !j->rows_answered)
        return nj_fail(
                   err,
                   "nothing was compared: %s answered none of the %llu alerts (nightjar run -m %s says why)",
                   j->instance, (unsigned long long)j->n_rows, j->instance),
               1;
    return rc;
}

/* ---- printing -------------------------------------------------------------------------------- */

static int larger_first(const void *a, const void *b)
{
    double x = ((const change *)a)->size, y = ((const change *)b)->size;
    return (x < y) - (x > y);
}

static void print_column(const job *j, column *c)
{
    qsort(c->change, c->n_changes, sizeof *c->change, larger_first);
    size_t finite = 0;
    while (finite < c->n_changes && isinf(c->change[finite].size)) finite++;
    printf("\n%s: %llu of %llu alerts", c->name, (unsigned long long)c->n, (unsigned long long)j->n_rows);
    if (c->nulls) printf(", %llu between an answer and none", (unsigned long long)c->nulls);
    if (finite < c->n_changes)
        printf(", largest difference %.6g, median %.6g", c->change[finite].size,
               c->change[finite + (c->n_changes - finite) / 2].size);
    printf("\n");
    for (size_t i = 0; i < c->n_changes && i < (size_t)j->top; i++)
        printf("    %-22s %18s -> %-18s\n", c->change[i].alert, c->change[i].old, c->change[i].new);
    if (c->n_changes > (size_t)j->top) printf("    ... %zu more\n", c->n_changes - (size_t)j->top);
}

static void print_diff(job *j)
{
    const side *a = &j->side[0], *b = &j->side[1];
    printf("%s: %s (%s) -> %s (%s), %llu alerts\n", j->instance, a->spec, a->version, b->spec, b->version,
           (unsigned long long)j->n_rows);
    if (!j->n_columns)
        printf("no output changed%s\n", j->tolerance > 0 ? " beyond the tolerance" : "");
    else
        printf("%llu alerts changed, in %zu column%s\n", (unsigned long long)j->rows_changed, j->n_columns,
               j->n_columns == 1 ? "" : "s");
    for (size_t i = 0; i < j->n_columns; i++) print_column(j, &j->column[i]);
    nj_comparison c = nj_compare(a->cpu, (uint32_t)j->rounds, b->cpu, (uint32_t)j->rounds);
    char words[NJ_WORDS];
    printf("\ncost: %.3f -> %.3f CPU us/alert, ratio %.3f (p %.2g, %d runs each in turn): %s\n",
           c.median_a / 1e3, c.median_b / 1e3, c.ratio, c.p, j->rounds,
           nj_comparison_words(words, &c, "--rounds"));
}

static int work(job *j, nj_error *err)
{
    nj_modules set = { 0 };
    int rc = nj_modules_builtin(&set, err);
    for (int i = 0; i < 2 && rc == 0; i++) rc = name_side(&j->side[i], &set, err);
    nj_modules_free(&set);
    if (rc == 0 && strcmp(j->side[0].module, j->side[1].module))
        rc = nj_fail(err, "%s is module %s, %s is module %s: not the same module", j->side[0].spec,
                     j->side[0].module, j->side[1].spec, j->side[1].module);
    if (rc) return NJ_EXIT_USAGE;
    if (!j->instance) j->instance = j->side[0].module;
    for (int i = 0; i < 2 && rc == 0; i++) rc = write_rows(j, &j->side[i], err);
    if (rc == 0) rc = diff_rows(j, err);
    int empty = rc == 1;
    if (rc == 0) rc = time_both(j, err);
    for (int i = 0; i < 2; i++)
        if (j->side[i].folder[0]) nj_scratch_remove(j->side[i].folder);
    if (rc) return empty ? NJ_EXIT_USAGE : NJ_EXIT_SOURCE;
    print_diff(j);
    return NJ_EXIT_OK;
}

#define AT(x) offsetof(job, x)

static const nj_option table[] = {
    { "tolerance", 0, NJ_OPTION_F64, AT(tolerance), "X", "0", 0, 1e300,
      .doc = "numbers that differ by no more than X times the larger are equal; 0: to the last bit" },
    { "top", 0, NJ_OPTION_INT, AT(top), "N", "5", 0, INT_MAX, .doc = "alerts named per column" },
    { "rounds", 0, NJ_OPTION_INT, AT(rounds), "N", "7", 1, MOST_ROUNDS, .doc = "timed runs of each side" },
    { "instance", 0, NJ_OPTION_TEXT, AT(instance), "NAME",
      .doc = "an instance other than the one with the module's name" },
    { 0 }
};

static int diff(int argc, char **argv);

NJ_COMMAND(diff) = {
    .name = "diff",
    .usage = "diff OLD NEW SOURCE...",
    .summary = "two builds of one module over the same alerts: what changed, what it cost",
    .help = "Columns that differ, with the alerts of the largest differences first, and the cost of NEW over "
            "OLD (median of interleaved runs; same, faster or slower by the 95 % interval of the ratio).\n",
    .main = diff,
    .options = { table, nj_options_of_debug },
    .arguments =
        (const nj_meaning[]){
            { "OLD, NEW",
              "a shared object (module.so), a file of Python (module.py), or the name of a built-in "
              "module" },
            { "SOURCE", "as in `nightjar run`" },
            { 0 } },
    .exits =
        (const nj_meaning[]){
            { "0", "compared, whether or not outputs differ" },
            { "1", "wrong usage, or nothing to compare: no alert, or none that the module answers" },
            { "2", "a source could not be read" },
            { 0 } },
};

static int diff(int argc, char **argv)
{
    job *j = calloc(1, sizeof *j);
    if (!j) return NJ_EXIT_LEDGER;
    nj_words words;
    nj_error err = { "" };
    int rc = NJ_EXIT_USAGE, bad = nj_command_parse(&nj_command_diff, j, argc, argv, &words, &err);
    if (!bad && words.n < 3) bad = nj_fail(&err, "OLD NEW SOURCE...; see `nightjar diff --help`");
    if (bad) {
        fprintf(stderr, "nightjar diff: %s\n", err.text);
    } else {
        nj_log_level(NJ_LOG_WARN);
        for (int k = 0; k < 2; k++) j->side[k].spec = words.item[k];
        j->source = words.item + 2;
        j->n_sources = words.n - 2;
        rc = work(j, &err);
        if (rc) nj_log(NJ_LOG_ERROR, "diff: %s", err.text);
    }
    for (size_t i = 0; i < j->n_columns; i++) free(j->column[i].change);
    free(j->column);
    free(j);
    return rc;
}
