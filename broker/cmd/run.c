/* run.c - `nightjar run`: options to nj_run, and the report at the end. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../flow/cli.h"
#include "../flow/supervise.h"
#include "command.h"

typedef struct options {
    nj_cli cli; /* first */
    bool alone, shard_by;
} options;

/* "2/4" */
static int take_shard(void *conf, const char *text, nj_error *err)
{
    nj_shard *shard = &((options *)conf)->cli.options.shard;
    unsigned k = 0, n = 0;
    int end = 0;
    bool whole = strspn(text, "0123456789/") == strlen(text);
    if (!whole || sscanf(text, "%6u/%6u%n", &k, &n, &end) != 2 || text[end] || !k || k > n)
        return nj_fail(err, "--shard %s: expected K/N, the K-th of N parts, from 1/N to N/N", text);
    shard->k = k;
    shard->n = n;
    return 0;
}

static int take_shard_by(void *conf, const char *text, nj_error *err)
{
    options *o = conf;
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, nj_shard_by_name[i])) return o->shard_by = true, o->cli.options.shard.by = i, 0;
    return nj_fail(err, "--shard-by %s: expected part, exposure or id", text);
}

static const nj_option table[] = { { "shard", 0, NJ_OPTION_CALL, .value = "K/N", .take = take_shard,
                                     .doc = "the K-th of N parts of the night; `nightjar merge` puts the "
                                            "outputs of all N together" },
                                   { "shard-by", 0, NJ_OPTION_CALL, .value = "WHAT", .take = take_shard_by,
                                     .doc =
                                         "what is dealt out: part (members, files, row groups, partitions, "
                                         "blocks; the default), exposure (its alerts stay together), id" },
                                   { "no-supervise", 0, NJ_OPTION_FLAG, offsetof(options, alone),
                                     .doc = "one process, which ends when a module crashes: for debuggers" },
                                   { 0 } };

static int run_main(int argc, char **argv);

NJ_COMMAND(run) = {
    .name = "run",
    .usage = "run [options] SOURCE...",
    .summary = "consume, decode, run the modules, write, account, measure",
    .main = run_main,
    .options = { table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_cli_run, nj_options_of_debug },
    .arguments =
        (const nj_meaning[]){
            { "SOURCE", "FILE.avro, FOLDER (Avro or Parquet), FILE.tar, FILE.tar.gz, - (stdin: OCF or tar), "
                        "kafka://HOST:PORT/TOPIC[,TOPIC] or /^REGEX with ?group=G&from=FROM&until=UNTIL, "
                        "embedded://SOURCE; FROM: committed, earliest, latest, OFFSET or TIMESTAMP; UNTIL: "
                        "idle:SECONDS, end or count:N; `nightjar sources` says more" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "0", "all alerts are accounted for" },
                                   { "1", "wrong usage or settings, or an output that cannot be opened: "
                                          "no alert was read" },
                                   { "2", "a source could not be read" },
                                   { "3", "the accounts do not close, or an output or the report failed" },
                                   { "4", "--strict, and there are dead letters, or alerts that never came" },
                                   { "130", "interrupted; what was read is accounted for" },
                                   { 0 } },
};

/* What the process that works is given. */
typedef struct job {
    options *o;
    nj_shared *shared; /* NULL: there is no supervisor */
    bool reported;
    int rc;
} job;

/* All is written; what modules do when they are closed no longer matters. */
static void on_report(void *job_, const nj_report *report, int rc, const nj_error *err)
{
    job *j = job_;
    nj_shared *shared = j->shared;
    j->reported = true;
    j->rc = rc;
    if (shared && shared->recycle && !*nj_stop_flag() && (rc == NJ_EXIT_OK || rc == NJ_EXIT_INTERRUPTED)) {
        j->rc = NJ_EXIT_OK; /* the next worker continues, and reports */
        return;
    }
    j->rc = nj_cli_report(&j->o->cli, report, rc, err);
    fflush(stdout);
    if (!shared) return;
    shared->exit_code = j->rc;
    shared->ended = 1;
}

static int work(void *options_, nj_shared *shared)
{
    options *o = options_;
    job j = { .o = o, .shared = shared };
    nj_run_options *run = &o->cli.options;
    nj_error err = { "" };
    nj_report report;
    if (!shared) nj_stop_on_signals(); /* a worker does already */
    run->stop = nj_stop_flag();
    run->shared = shared;
    run->own_process = true;
    run->report = o->cli.report_path;
    run->on_report = on_report;
    run->on_report_opaque = &j;
    if (shared && shared->incarnation && shared->run[0]) /* else none has begun: all is as for the first */
        run->resume = true; /* what those before it wrote stays; of the rest --overwrite means it still */
    int rc = nj_run(run, &report, &err);
    if (!j.reported && shared && shared->incarnation && !*nj_stop_flag()) {
        nj_log(NJ_LOG_WARN, "%s", err.text); /* a lock may still be held, a port still be taken */
        nj_report_free(&report);
        return rc;
    }
    if (!j.reported) on_report(&j, &report, rc, &err);
    nj_report_free(&report);
    return j.rc;
}

static const nj_option *const tables[] = { table,        nj_cli_settings, nj_cli_modules,
                                           nj_cli_paths, nj_cli_run,      nj_options_of_debug,
                                           NULL };

typedef struct words {
    int argc;
    char **argv;
} words;

static int read_again(void *words_, nj_cli *fresh, nj_error *err)
{
    const words *w = words_;
    options o = { .alone = false };
    int rc = nj_cli_read(&o.cli, tables, w->argc, w->argv, err);
    *fresh = o.cli;
    fresh->options.settings = &fresh->settings;
    return rc;
}

static int run_main(int argc, char **argv)
{
    options o = { .alone = false };
    nj_error err = { "" };
    nj_guard_conf guard;
    if (nj_cli_read(&o.cli, tables, argc, argv, &err) || nj_cli_begin(&o.cli, &err) ||
        nj_settings_apply(&o.cli.settings, "guard", nj_guard_settings, NULL, &guard, &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        nj_cli_free(&o.cli);
        return NJ_EXIT_USAGE;
    }
    if (o.shard_by && !o.cli.options.shard.n) {
        nj_log(NJ_LOG_ERROR, "--shard-by goes with --shard K/N");
        nj_cli_free(&o.cli);
        return NJ_EXIT_USAGE;
    }
    if (o.cli.options.n_sources == 0) {
        nj_log(NJ_LOG_ERROR, "run: no SOURCE given; `nightjar run --help` lists the kinds");
        nj_cli_free(&o.cli);
        return NJ_EXIT_USAGE;
    }
    const char *cannot = o.alone ? "--no-supervise" : nj_supervise_cannot(&o.cli.options);
    if (cannot) nj_debug(NJ_DEBUG_FLOW, "no supervisor: %s", cannot);
    words again = { argc, argv };
    nj_reload *reload = cannot ? NULL : nj_reload_new(&o.cli, read_again, &again);
    int rc = cannot ? work(&o, NULL) : nj_supervise(&guard, work, &o, reload, &err);
    nj_reload_free(reload);
    if (rc < 0) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        rc = NJ_EXIT_USAGE;
    }
    struct stat st;
    if (!cannot && o.cli.report.path && fstat(o.cli.report.fd, &st) == 0 && st.st_size > 0)
        nj_outfile_close(&o.cli.report, false, NULL); /* the worker wrote it */
    nj_cli_free(&o.cli);
    return rc;
}
