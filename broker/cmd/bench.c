/* bench.c - `nightjar bench`: verifies each kernel and then times it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/option.h"
#include "../base/settings.h"
#include "../bench/harness.h"
#include "command.h"

static const char help[] =
    "Without a NAME all subjects run. Each first checks its answers, then times its cases in turn; ratios are\n"
    "medians over the rounds of one run. A missed bar (or one without a figure) ends with exit code 5, a NAME that had nothing "
    "to\n"
    "time with 1.\n"
    "  --json FILE      results in nightjar's own format (nightjar compare reads it)\n"
    "  --google FILE    results in Google Benchmark's format\n"
    "  --data DIR       real packets to decode (default: $NIGHTJAR_SHARED/real/ztf)\n"
    "  --survey NAME    ztf or lsst: which packets `decode` takes\n"
    "  --seconds S      time per case (default 1; at least 9 rounds whatever it says)\n"
    "  --list           the subjects";

static const nj_bench *find(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; nj_benches[i] && n < 64; i++) {
        if (!strcmp(nj_benches[i]->name, name)) return nj_benches[i];
        names[n++] = nj_benches[i]->name;
    }
    const char *near = nj_nearest(name, names, n);
    fprintf(stderr, "nightjar bench: no subject '%s'%s%s%s\n", name, near ? "; did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    return NULL;
}

typedef struct command {
    nj_bench_options options;
    const char *json, *google;
    const nj_bench *wanted[64];
    size_t n_wanted;
    int list;
} command;

static int take_option(command *c, int argc, char **argv, int *i)
{
    const struct {
        const char *name;
        const char **value;
    } text[] = {
        { "--json", &c->json }, { "--google", &c->google }, { "--data", &c->options.data }, { "--survey", &c->options.survey }
    };
    if (!strcmp(argv[*i], "--list")) {
        c->list = 1;
        return 0;
    }
    static const char *const known[] = { "--json=", "--google=", "--data=", "--survey=", "--seconds=", "--list", NULL };
    bool is_seconds = !strcmp(argv[*i], "--seconds"), has_value = *i + 1 < argc;
    nj_error err;
    for (size_t k = 0; k < sizeof text / sizeof *text && has_value; k++)
        if (!strcmp(argv[*i], text[k].name)) {
            *text[k].value = argv[++*i];
            return 0;
        }
    char *end;
    if (is_seconds && has_value && (c->options.seconds = strtod(argv[++*i], &end)) > 0 && !*end) return 0;
    if (is_seconds && has_value)
        nj_fail(&err, "--seconds %s: expected a number above 0", argv[*i]);
    else
        nj_option_wrong(argv[*i], known, &err);
    fprintf(stderr, "nightjar bench: %s\n", err.text);
    return -1;
}

static int bench(int argc, char **argv)
{
    command c = { .options = { .seconds = 1 } };
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            if (take_option(&c, argc, argv, &i)) return NJ_EXIT_USAGE;
        } else if (c.n_wanted == 64 || !(c.wanted[c.n_wanted++] = find(argv[i]))) {
            return NJ_EXIT_USAGE;
        }
    }
    int named = c.n_wanted > 0;
    if (!named)
        for (size_t i = 0; nj_benches[i] && i < 64; i++) c.wanted[c.n_wanted++] = nj_benches[i];
    for (size_t i = 0; c.list && i < c.n_wanted; i++) printf("%-16s %s\n", c.wanted[i]->name, c.wanted[i]->doc);
    if (c.list) return NJ_EXIT_OK;
    nj_bench_run *run = nj_bench_run_new(&c.options);
    if (!run) return NJ_EXIT_LEDGER;
    int failed = 0;
    size_t idle = 0;
    for (size_t i = 0; i < c.n_wanted; i++) {
        int rc = nj_bench_subject(run, c.wanted[i]);
        failed |= rc < 0;
        idle += rc > 0;
    }
    if (c.json && nj_bench_write(run, c.json)) failed = 1;
    if (c.google && nj_bench_write_google(run, c.google)) failed = 1;
    int missed = nj_bench_missed(run);
    if (missed) fprintf(stderr, "nightjar bench: %d bar%s missed\n", missed, missed == 1 ? "" : "s");
    nj_bench_run_free(run);
    /* Where all are wanted, one whose files are not here is told and passed over. */
    int nothing = idle && (named || idle == c.n_wanted);
    return failed ? NJ_EXIT_LEDGER : nothing ? NJ_EXIT_USAGE : missed ? NJ_EXIT_GATE : NJ_EXIT_OK;
}

NJ_COMMAND(bench) = { .name = "bench",
                      .usage = "bench [NAME...] [options]",
                      .summary = "verify, then time: decode, kernels, models, pipeline",
                      .help = help,
                      .main = bench };
