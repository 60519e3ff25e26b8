/* compare.c - nightjar compare: two bench files or run reports, before and after; or two binaries run in
 * turn. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/format.h"
#include "../base/log.h"
#include "../base/scratch.h"
#include "../measure/per_alert.h"
#include "../measure/stats.h"
#include "../report/bench_file.h"
#include "../report/history.h"
#include "command.h"

enum { MAX_REPORTS = 400, ENOUGH = 7 };

/* One thing that was timed, with its samples on both sides. */
typedef struct row {
    char *name;
    double *sample[2];
    uint32_t n[2], cap[2];
} row;

enum { OF_BENCH = 1, OF_RUNS = 2, OF_CALLS = 4 };

typedef struct rows {
    row *row;
    size_t n;
    unsigned kinds; /* what the samples are */
} rows;

static void add_sample(rows *all, const char *name, int side, double value)
{
    size_t i = 0;
    while (i < all->n && strcmp(all->row[i].name, name)) i++;
    if (i == all->n) {
        row *more = realloc(all->row, (all->n + 1) * sizeof *more);
        if (!more) nj_give_up("compare: out of memory");
        all->row = more;
        char *copy = strdup(name);
        if (!copy) nj_give_up("compare: out of memory");
        all->row[all->n++] = (row){ .name = copy };
    }
    row *r = &all->row[i];
    if (r->n[side] == r->cap[side]) {
        r->cap[side] = r->cap[side] ? 2 * r->cap[side] : 16;
        r->sample[side] = realloc(r->sample[side], r->cap[side] * sizeof *r->sample[side]);
        if (!r->sample[side]) nj_give_up("compare: out of memory");
    }
    r->sample[side][r->n[side]++] = value;
}

static void free_rows(rows *all)
{
    for (size_t i = 0; i < all->n; i++) {
        free(all->row[i].name);
        free(all->row[i].sample[0]);
        free(all->row[i].sample[1]);
    }
    free(all->row);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct bench_side {
    rows *all;
    int side;
} bench_side;

static int take_time(void *opaque, const char *name, double ns)
{
    const bench_side *b = opaque;
    add_sample(b->all, name, b->side, ns);
    return 0;
}

static int from_bench(rows *all, int side, const char *path, const json_t *benchmarks)
{
    nj_bench_left left;
    all->kinds |= OF_BENCH;
    nj_bench_times(benchmarks, take_time, &(bench_side){ all, side }, &left);
    nj_bench_report_left(path, &left);
    return 0;
}

/* CPU ns per alert, one sample for each report. calls: there is one report of each side, and the wall time of
 * its calls with one row, from its histogram, is all that has samples. */
static int from_report(rows *all, int side, const json_t *root, int calls)
{
    size_t i, k;
    json_t *m, *cell;
    json_array_foreach(json_object_get(root, "modules"), i, m)
    {
        const char *name = json_string_value(json_object_get(m, "name"));
        if (!name) return -1;
        all->kinds |= calls ? OF_CALLS : OF_RUNS;
        if (!calls) {
            double cpu_us = nj_per_alert_of(json_number_value(json_object_get(m, "offered")), 0,
                                            json_number_value(json_object_get(m, "cpu_ns")), 0)
                                .cpu_us;
            if (isfinite(cpu_us)) add_sample(all, name, side, 1e3 * cpu_us);
            continue;
        }
        json_array_foreach(json_object_get(m, "histogram"), k, cell)
        {
            double ns = json_number_value(json_array_get(cell, 0)),
                   entries = json_number_value(json_array_get(cell, 1));
            for (double e = 0; e < entries && e < 2000; e++) add_sample(all, name, side, ns);
        }
    }
    double speed =
        json_number_value(json_object_get(json_object_get(root, "throughput"), "alerts_per_s_core"));
    if (!calls && speed > 0) add_sample(all, "(whole run)", side, 1e9 / speed);
    return 0;
}

static int read_one(rows *all, int side, const char *path, int calls)
{
    nj_error err;
    json_t *root = nj_json_read(path, NULL, &err);
    const json_t *benchmarks = json_object_get(root, "benchmarks");
    int rc = -1;
    if (!root)
        fprintf(stderr, "nightjar compare: %s\n", err.text);
    else if (json_is_array(benchmarks))
        rc = from_bench(all, side, path, benchmarks);
    else if (json_is_array(json_object_get(root, "modules")))
        rc = from_report(all, side, root, calls);
    if (root && rc) fprintf(stderr, "nightjar compare: %s: neither a bench file nor a run report\n", path);
    json_decref(root);
    return rc;
}

/* A side: one path, or several with commas. */
static int read_side(rows *all, int side, const char *spec, int calls)
{
    char *text = strdup(spec), *rest = text;
    int rc = 0;
    if (!text) nj_give_up("compare: out of memory");
    for (char *path; rc == 0 && (path = strsep(&rest, ",")) != NULL;)
        if (*path) rc = read_one(all, side, path, calls);
    free(text);
    return rc;
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct table_summary {
    int shared, judged, regressions, sides[2]; /* rows of both sides; enough samples for a gate;
                                                * rows of each side */
} table_summary;

/* Two costs must not be taken for one. */
static void say_what(unsigned kinds)
{
    if (kinds & OF_RUNS) printf("CPU time per alert, a sample for each report\n");
    if (kinds & OF_CALLS)
        printf("wall time of calls with one row: a report of each side has no other samples; several, or "
               "--rerun, give CPU time per alert\n");
    if (kinds & OF_BENCH) printf("CPU time of each round; real time where Google Benchmark was set so\n");
}

static table_summary print_rows(const rows *all, const char *only)
{
    table_summary t = { 0 };
    int one_sided = 0;
    double *ratio = malloc((all->n + 1) * sizeof *ratio);
    uint32_t n_ratios = 0;
    if (!ratio) nj_give_up("compare: out of memory");
    say_what(all->kinds);
    printf("%-40s %10s %10s %7s %10s %10s %10s %9s  %s\n", "name", "A median", "B median", "B/A", "A MAD",
           "B MAD", "p", "n", "verdict, with the 95 % interval");
    for (size_t i = 0; i < all->n; i++) {
        const row *r = &all->row[i];
        char a[24], b[24], ma[24], mb[24], n[24], words[NJ_WORDS];
        if (only && !strstr(r->name, only)) continue;
        for (int side = 0; side < 2; side++) t.sides[side] += r->n[side] > 0;
        if (!r->n[0] || !r->n[1]) {
            printf("%-40.40s only in %s\n", r->name, r->n[0] ? "A" : "B");
            one_sided++;
            continue;
        }
        nj_comparison c = nj_compare(r->sample[0], r->n[0], r->sample[1], r->n[1]);
        snprintf(n, sizeof n, "%u %u", r->n[0], r->n[1]);
        printf("%-40.40s %10s %10s %7.3f %10s %10s %10.2g %9s  %s\n", r->name,
               nj_format_duration(a, c.median_a), nj_format_duration(b, c.median_b), c.ratio,
               nj_format_duration(ma, c.mad_a), nj_format_duration(mb, c.mad_b), c.p, n,
               nj_comparison_words(words, &c, NULL));
        t.regressions += c.verdict == NJ_REGRESSION;
        t.judged += c.verdict != NJ_TOO_FEW;
        t.shared++;
        ratio[n_ratios++] = c.ratio;
    }
    double middle = nj_quantile(ratio, n_ratios, 0.5);
    free(ratio);
    if (t.shared)
        printf("%d regression%s in %d row%s of both sides%s%s\n", t.regressions,
               t.regressions == 1 ? "" : "s", t.shared, t.shared == 1 ? "" : "s",
               one_sided ? "; rows of one side alone are not judged" : "",
               t.judged < t.shared ? "; too few samples in some rows: p cannot get below 0.002" : "");
    if (t.shared >= 10) printf("by chance alone 1 in 20 rows is slower or faster, and no regression\n");
    if (n_ratios >= 4 && (middle > 1.1 || middle < 1 / 1.1))
        printf("note: half of all rows changed by x%.2f and beyond: likely the machine, not the code; "
               "--rerun runs both sides in turn\n",
               middle);
    return t;
}

/* A comparison of nothing must not look like one without a regression. */
static int verdict_of(const table_summary *t, const char *only, int gate)
{
    if (!t->shared) {
        fprintf(stderr,
                "nightjar compare: nothing was compared: no name%s%s%s is on both sides (A has %d, B %d)\n",
                only ? " with '" : "", only ? only : "", only ? "' in it" : "", t->sides[0], t->sides[1]);
        return NJ_EXIT_USAGE;
    }
    if (gate && !t->judged) {
        fprintf(
            stderr,
            "nightjar compare: --gate judged nothing: no row has samples enough (%d of each side at least)\n",
            ENOUGH);
        return NJ_EXIT_USAGE;
    }
    return gate && t->regressions ? NJ_EXIT_GATE : NJ_EXIT_OK;
}

/* ---- two binaries in turn -------------------------------------------------------------------- */

static int run_once(const char *binary, char **args, int n_args, const char *path)
{
    int bench = n_args && !strcmp(args[0], "bench"), n = 0;
    char **argv = calloc((size_t)n_args + 8, sizeof *argv);
    if (!argv) return -1;
    argv[n++] = (char *)binary;
    if (!bench) argv[n++] = (char *)"run", argv[n++] = (char *)"-q";
    for (int i = 0; i < n_args; i++) argv[n++] = args[i];
    argv[n++] = (char *)(bench ? "--json" : "--report");
    argv[n++] = (char *)path;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (bench && !freopen("/dev/null", "w", stdout)) _exit(126);
        execvp(binary, argv);
        fprintf(stderr, "nightjar compare: %s: %s\n", binary, strerror(errno));
        _exit(127);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) status = -1;
    free(argv);
    int ok = status != -1 && WIFEXITED(status) &&
             (WEXITSTATUS(status) == 0 || (bench && WEXITSTATUS(status) == NJ_EXIT_GATE));
    if (!ok)
        fprintf(stderr, "nightjar compare: %s ended with %d\n", binary,
                status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return ok ? 0 : -1;
}

/* A B B A A B B A ...: neither side always has the warmer machine. */
static int rerun(rows *all, int rounds, char **binary, char **args, int n_args)
{
    char folder[256], path[272];
    nj_error err = { "" };
    int rc = nj_scratch_make(folder, sizeof folder, NULL, "compare", &err);
    if (rc) fprintf(stderr, "nightjar compare: %s\n", err.text);
    snprintf(path, sizeof path, "%s/report", folder);
    for (int i = -1; i < rounds && rc == 0; i++) /* -1: warm-up */
        for (int k = 0; k < 2 && rc == 0; k++) {
            int side = (i & 1) ^ k;
            rc = run_once(binary[side], args, n_args, path);
            if (rc == 0 && i >= 0) rc = read_one(all, side, path, 0);
            if (isatty(STDERR_FILENO)) fprintf(stderr, "\rround %d of %d", i + 1, rounds);
        }
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\n");
    if (folder[0]) nj_scratch_remove(folder);
    return rc;
}

static int add_folder(nj_history *h, const char *path, int *n, nj_error *err)
{
    int added = nj_history_folder(h, path, err);
    if (added == 0) nj_fail(err, "%s: no run report and no bench file in it (*.json)", path);
    *n += added > 0;
    return added < 0 ? NJ_EXIT_SOURCE : added ? 0 : NJ_EXIT_USAGE;
}

/* As verdict_of(). One report alone is a table, but no gate. */
static int history_verdict(const nj_history_summary *t, const char *only, int gate)
{
    if (!t->names)
        fprintf(stderr, "nightjar compare: nothing to show: no name%s%s%s in these files\n",
                only ? " with '" : "", only ? only : "", only ? "' in it" : "");
    else if (gate && !t->judged)
        fprintf(stderr,
                "nightjar compare: --gate judged nothing: no name has two reports with samples enough (%d "
                "each)\n",
                ENOUGH);
    else
        return gate && t->regressions ? NJ_EXIT_GATE : NJ_EXIT_OK;
    return NJ_EXIT_USAGE;
}

typedef struct options {
    bool gate, history;
    const char *only, *page;
    int rounds;
} options;

#define AT(x) offsetof(options, x)

static const nj_option table[] = {
    { "gate", 0, NJ_OPTION_FLAG, AT(gate),
      .doc = "exit code 5 when there is a regression, 1 when no row has samples enough for one" },
    { "only", 0, NJ_OPTION_TEXT, AT(only), "TEXT", .doc = "rows whose name has this in it" },
    { "rerun", 0, NJ_OPTION_INT, AT(rounds), "N", NULL, 1, MAX_REPORTS,
      .doc = "--rerun N BIN_A BIN_B -- ARGS runs both binaries in turn, N times each (A B B A ...): `BIN run "
             "ARGS` when ARGS begin with a SOURCE or an option, `BIN bench ...` when the first is bench; "
             "then compares. N of 7 or more can show a regression" },
    { "history", 0, NJ_OPTION_FLAG, AT(history),
      .doc = "a series of reports or bench files (DIR or FILE...), by date: median and MAD of each name, the "
             "last against the one before" },
    { "output", 'o', NJ_OPTION_TEXT, AT(page), "PAGE.html", .doc = "of --history, as a page" },
    { 0 }
};

static int compare(int argc, char **argv);

NJ_COMMAND(compare) = {
    .name = "compare",
    .usage = "compare A.json B.json [--gate]",
    .summary = "two bench files or run reports: ratio, significance, verdict; or a series",
    .help = "Per benchmark, module and stage: ratio B/A, Mann-Whitney p, MAD, and in words: same (the 95 % "
            "interval of the ratio holds 1, and nothing beyond 1.10), slower or faster and by how much, or "
            "undecided. Regression: p < 0.002 and ratio > 1.10 and the medians more than 3 MAD "
            "apart, or the two sides not overlapping at all.\n"
            "Several reports of a side: CPU time per alert, a sample each. One report of each side: wall "
            "time of its calls with one row, and the machine may have changed between the two; --rerun "
            "avoids that. Of a series: wall time of each batch per alert.\n",
    .main = compare,
    .options = { table },
    .arguments =
        (const nj_meaning[]){
            { "A.json, B.json",
              "before and after: bench files (bench --json; Google Benchmark's are read as well) "
              "or run reports (run --report). Several run reports of one side: comma-separated" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage, or the two sides have no name in common" },
                                   { "2", "a file could not be read, or a binary failed" },
                                   { "5", "--gate, and there is a regression" },
                                   { 0 } },
};

/* --history: folders and files in any number, all in order of date. */
static int history(const options *o, const nj_words *words)
{
    int n = 0, rc = 0;
    nj_error err = { "" };
    nj_history *h = nj_history_new();
    for (int i = 0; h && i < words->n && rc == 0; i++) {
        const char *path = words->item[i];
        struct stat s;
        if (stat(path, &s) == 0 && S_ISDIR(s.st_mode))
            rc = add_folder(h, path, &n, &err);
        else if ((rc = nj_history_read(h, path, &err)) != 0)
            rc = (rc > 0 ? nj_fail(&err, "%s: neither a bench file nor a run report", path) : rc,
                  NJ_EXIT_SOURCE);
        else
            n++;
    }
    if (h && rc == 0 && !n) rc = (nj_fail(&err, "--history: no reports given"), NJ_EXIT_USAGE);
    if (err.text[0] && rc) fprintf(stderr, "nightjar compare: %s\n", err.text);
    nj_history_summary t = { 0 };
    if (h && rc == 0) {
        t = nj_history_terminal(h, o->only, stdout);
        rc = history_verdict(&t, o->only, o->gate);
    }
    nj_buffer b = { 0 };
    if (o->page && h && t.names) {
        if (nj_history_html(h, o->only, &b, &err) ||
            (nj_file_write(o->page, b.data, b.n) && nj_fail(&err, "%s: cannot be written (%m)", o->page)))
            rc = (fprintf(stderr, "nightjar compare: %s\n", err.text), NJ_EXIT_USAGE);
    }
    nj_buffer_free(&b);
    nj_history_free(h);
    return rc ? rc : !h ? NJ_EXIT_SOURCE : NJ_EXIT_OK;
}

static int check(const options *o, const nj_words *words, nj_error *err)
{
    int args = words->n - words->before;
    if (o->page) return nj_fail(err, "-o goes with --history");
    if (words->before > 2) return nj_fail(err, "a third file: %s", words->item[2]);
    if (words->before != 2 || (o->rounds > 0) != (args > 0))
        return nj_fail(err, "two files, or --rerun N with two binaries, -- and what they are to run");
    if (o->rounds && o->rounds < ENOUGH && o->gate)
        return nj_fail(err, "--gate needs --rerun %d or more: %d rounds cannot show a regression", ENOUGH,
                       o->rounds);
    if (o->rounds && o->rounds < ENOUGH)
        fprintf(stderr, "nightjar compare: %d rounds are too few for a verdict; %d at least\n", o->rounds,
                ENOUGH);
    return 0;
}

static int compare(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err;
    int bad = nj_command_parse(&nj_command_compare, &o, argc, argv, &words, &err);
    if (!bad && o.history && o.rounds) bad = nj_fail(&err, "--history and --rerun do not go together");
    if (!bad && !o.history) bad = check(&o, &words, &err);
    if (bad) return fprintf(stderr, "nightjar compare: %s\n", err.text), NJ_EXIT_USAGE;
    if (o.history) return history(&o, &words);
    rows all = { 0 };
    int calls = !strchr(words.item[0], ',') && !strchr(words.item[1], ',');
    int rc = o.rounds ? rerun(&all, o.rounds, words.item, words.item + 2, words.n - 2)
                      : read_side(&all, 0, words.item[0], calls) || read_side(&all, 1, words.item[1], calls);
    if (rc) {
        free_rows(&all);
        return NJ_EXIT_SOURCE;
    }
    table_summary t = print_rows(&all, o.only);
    free_rows(&all);
    return verdict_of(&t, o.only, o.gate);
}
