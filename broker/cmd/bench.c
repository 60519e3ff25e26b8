/* bench.c - `nightjar bench`: verifies each kernel and then times it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/settings.h"
#include "../bench/harness.h"
#include "../graph/modules.h"
#include "../profile/build.h"
#include "command.h"

typedef struct command {
    nj_bench_options options;
    const char *json, *google;
    const nj_bench *wanted[64];
    size_t n_wanted;
    bool list;
    char folder[256], object[512], module[96]; /* of a module that was built, or loaded */
} command;

static const nj_bench *find(const char *name)
{
    for (size_t i = 0; nj_benches[i]; i++)
        if (!strcmp(nj_benches[i]->name, name)) return nj_benches[i];
    return NULL;
}

/* A module of a file: its name, and where it is. */
static int take_file(command *c, const char *file, nj_error *err)
{
    nj_modules own = { 0 };
    if (nj_build_is_source(file)) {
        if (nj_build_folder(c->folder, err) || nj_build(file, NJ_BUILD_PRODUCTION, c->folder, c->object, err))
            return -1;
        file = c->object;
    }
    nj_modules_asked(file);
    if (nj_modules_load(&own, file, err)) return -1;
    if (own.n == 1) snprintf(c->module, sizeof c->module, "%s", own.item[0].module->name);
    int rc = own.n == 1 ? 0 : nj_fail(err, "%s: %u modules, one is expected", file, own.n);
    nj_modules_free(&own); /* its texts belong to the shared object, which stays */
    c->options.module = c->module;
    c->options.module_file = file;
    return rc;
}

static bool is_built_in(const char *name)
{
    for (const nj_module *const *m = nj_builtin_modules; *m; m++)
        if (!strcmp((*m)->name, name)) return true;
    return false;
}

/* A subject, a module, or a source: in this order. */
static int take_word(command *c, const char *word, nj_error *err)
{
    const nj_bench *subject = find(word);
    if (subject && c->n_wanted < 64) return c->wanted[c->n_wanted++] = subject, 0;
    bool file = nj_ends_with(word, ".so") || nj_build_is_source(word);
    if (nj_ends_with(word, ".py"))
        return nj_fail(err, "%s: `nightjar profile %s` says what a module in Python costs", word, word);
    if (file || is_built_in(word)) {
        if (c->options.module) return nj_fail(err, "%s: one module at a time", word);
        c->options.module = word;
        return file ? take_file(c, word, err) : 0;
    }
    if (access(word, F_OK) == 0 || strstr(word, "://")) {
        if (c->options.data)
            return nj_fail(err, "%s: one source of alerts, %s is named too", word, c->options.data);
        c->options.data = word;
        return 0;
    }
    const char *names[512];
    size_t n = 0;
    for (size_t i = 0; nj_benches[i] && n < 64; i++) names[n++] = nj_benches[i]->name;
    for (const nj_module *const *m = nj_builtin_modules; *m && n < 512; m++) names[n++] = (*m)->name;
    const char *near = nj_nearest(word, names, n);
    return nj_fail(err, "no subject, module or file '%s'%s%s%s", word, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "");
}

#define AT(x) offsetof(command, x)

static const nj_option table[] = {
    { "json", 0, NJ_OPTION_TEXT, AT(json), "FILE",
      .doc = "results in nightjar's own format (nightjar compare reads it)" },
    { "google", 0, NJ_OPTION_TEXT, AT(google), "FILE", .doc = "results in Google Benchmark's format" },
    { "data", 0, NJ_OPTION_TEXT, AT(options.data), "SOURCE",
      .doc = "alerts (default: $NIGHTJAR_SHARED/real/ztf, else 500 simulated)" },
    { "survey", 0, NJ_OPTION_TEXT, AT(options.survey), "NAME",
      .doc = "ztf or lsst: which packets `decode` takes" },
    { "seconds", 0, NJ_OPTION_F64, AT(options.seconds), "S", "1", 1e-6, 1e6,
      .doc = "time per case; at least 9 rounds whatever it says" },
    { "list", 0, NJ_OPTION_FLAG, AT(list), .doc = "the subjects" },
    { 0 }
};

static int bench(int argc, char **argv);

NJ_COMMAND(bench) = {
    .name = "bench",
    .usage = "bench [NAME...] [SOURCE] [options]",
    .summary = "verify, then time: decode, kernels, models, pipeline",
    .help = "Without a NAME all subjects run. Each first checks its answers, then times its cases in turn; "
            "ratios are medians over the rounds of one run. With a module it is what this module costs.\n",
    .main = bench,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "NAME", "a subject; --list names them" },
                                       { "NAME", "or a module: its name, a .c or .cc file, or a .so" },
                                       { "SOURCE", "alerts, as for run" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage, or a NAME had nothing to time" },
                                   { "3", "a subject failed, or results could not be written" },
                                   { "5", "a bar was missed, or has no figure" },
                                   { 0 } },
};

static int parse(command *c, int argc, char **argv)
{
    nj_words words;
    nj_error err = { "" };
    int rc = nj_command_parse(&nj_command_bench, c, argc, argv, &words, &err);
    for (int i = 0; i < words.n && rc == 0; i++) rc = take_word(c, words.item[i], &err);
    if (rc == 0 && c->options.module && c->n_wanted)
        rc = nj_fail(&err, "a subject or a module, not both: %s, %s", c->wanted[0]->name, c->options.module);
    if (rc == 0 && c->options.module) c->wanted[c->n_wanted++] = find("modules");
    if (rc) fprintf(stderr, "nightjar bench: %s\n", err.text);
    return rc ? -1 : 0;
}

static int times(command *c)
{
    int named = c->n_wanted > 0;
    if (!named)
        for (size_t i = 0; nj_benches[i] && i < 64; i++) c->wanted[c->n_wanted++] = nj_benches[i];
    for (size_t i = 0; c->list && i < c->n_wanted; i++)
        printf("%-16s %s\n", c->wanted[i]->name, c->wanted[i]->doc);
    if (c->list) return NJ_EXIT_OK;
    nj_bench_run *run = nj_bench_run_new(&c->options);
    if (!run) return NJ_EXIT_LEDGER;
    int failed = 0;
    size_t idle = 0;
    for (size_t i = 0; i < c->n_wanted; i++) {
        int rc = nj_bench_subject(run, c->wanted[i]);
        failed |= rc < 0;
        idle += rc > 0;
    }
    if (c->json && nj_bench_write(run, c->json)) failed = 1;
    if (c->google && nj_bench_write_google(run, c->google)) failed = 1;
    int missed = nj_bench_missed(run);
    if (missed) fprintf(stderr, "nightjar bench: %d bar%s missed\n", missed, missed == 1 ? "" : "s");
    nj_bench_run_free(run);
    /* Where all are wanted, one whose files are missing is reported and skipped. */
    int nothing = idle && (named || idle == c->n_wanted);
    return failed ? NJ_EXIT_LEDGER : nothing ? NJ_EXIT_USAGE : missed ? NJ_EXIT_GATE : NJ_EXIT_OK;
}

static int bench(int argc, char **argv)
{
    command c = { 0 };
    int rc = parse(&c, argc, argv) ? NJ_EXIT_USAGE : times(&c);
    if (c.folder[0]) nj_build_remove(c.folder);
    return rc;
}
