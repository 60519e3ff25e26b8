/* bench.c - `nightjar bench`: verifies each kernel and then times it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/settings.h"
#include "../bench/harness.h"
#include "command.h"

static const nj_bench *find(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; nj_benches[i] && n < 64; i++) {
        if (!strcmp(nj_benches[i]->name, name)) return nj_benches[i];
        names[n++] = nj_benches[i]->name;
    }
    const char *near = nj_nearest(name, names, n);
    fprintf(stderr, "nightjar bench: no subject '%s'%s%s%s\n", name, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "");
    return NULL;
}

typedef struct command {
    nj_bench_options options;
    const char *json, *google;
    const nj_bench *wanted[64];
    size_t n_wanted;
    bool list;
} command;

#define AT(x) offsetof(command, x)

static const nj_option table[] = { { "json", 0, NJ_OPTION_TEXT, AT(json), "FILE",
                                     .doc = "results in nightjar's own format (nightjar compare reads it)" },
                                   { "google", 0, NJ_OPTION_TEXT, AT(google), "FILE",
                                     .doc = "results in Google Benchmark's format" },
                                   { "data", 0, NJ_OPTION_TEXT, AT(options.data), "DIR",
                                     .doc = "real packets to decode (default: $NIGHTJAR_SHARED/real/ztf)" },
                                   { "survey", 0, NJ_OPTION_TEXT, AT(options.survey), "NAME",
                                     .doc = "ztf or lsst: which packets `decode` takes" },
                                   { "seconds", 0, NJ_OPTION_F64, AT(options.seconds), "S", "1", 1e-6, 1e6,
                                     .doc = "time per case; at least 9 rounds whatever it says" },
                                   { "list", 0, NJ_OPTION_FLAG, AT(list), .doc = "the subjects" },
                                   { 0 } };

static int bench(int argc, char **argv);

NJ_COMMAND(bench) = {
    .name = "bench",
    .usage = "bench [NAME...] [options]",
    .summary = "verify, then time: decode, kernels, models, pipeline",
    .help = "Without a NAME all subjects run. Each first checks its answers, then times its cases in turn; "
            "ratios are medians over the rounds of one run.\n",
    .main = bench,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "NAME", "a subject; --list names them" }, { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage, or a NAME had nothing to time" },
                                   { "3", "a subject failed, or results could not be written" },
                                   { "5", "a bar was missed, or has no figure" },
                                   { 0 } },
};

static int parse(command *c, int argc, char **argv)
{
    nj_words words;
    nj_error err;
    if (nj_command_parse(&nj_command_bench, c, argc, argv, &words, &err))
        return fprintf(stderr, "nightjar bench: %s\n", err.text), -1;
    for (int i = 0; i < words.n; i++)
        if (c->n_wanted == 64 || !(c->wanted[c->n_wanted++] = find(words.item[i]))) return -1;
    return 0;
}

static int bench(int argc, char **argv)
{
    command c = { 0 };
    if (parse(&c, argc, argv)) return NJ_EXIT_USAGE;
    int named = c.n_wanted > 0;
    if (!named)
        for (size_t i = 0; nj_benches[i] && i < 64; i++) c.wanted[c.n_wanted++] = nj_benches[i];
    for (size_t i = 0; c.list && i < c.n_wanted; i++)
        printf("%-16s %s\n", c.wanted[i]->name, c.wanted[i]->doc);
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
    /* Where all are wanted, one whose files are missing is reported and skipped. */
    int nothing = idle && (named || idle == c.n_wanted);
    return failed ? NJ_EXIT_LEDGER : nothing ? NJ_EXIT_USAGE : missed ? NJ_EXIT_GATE : NJ_EXIT_OK;
}
