/* objects.c - `nightjar objects`: alerts joined by object, then a run over one packet per object. */
#include "../objects/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../base/scratch.h"
#include "../flow/cli.h"
#include "command.h"

typedef struct options {
    nj_cli cli; /* first */
    const char *by, *merged, *work;
    int64_t memory;
    double sso_radius;
} options;

static const nj_option table[] = {
    { "by", 0, NJ_OPTION_WORD, offsetof(options, by), "WHAT", "object", .words = "object|sso",
      .doc = "what alerts are joined by: the survey's object, or the solar system object" },
    { "merged", 0, NJ_OPTION_TEXT, offsetof(options, merged), "DIR",
      .doc = "keep the joined packets there, DIR/SURVEY.avro: a SOURCE of later runs, and of this command" },
    { "memory", 0, NJ_OPTION_I64, offsetof(options, memory), "MB", "512", 1, 1e6,
      .doc = "alerts in memory while they are sorted; the rest is on the disk" },
    { "sso-radius", 0, NJ_OPTION_F64, offsetof(options, sso_radius), "ARCSEC", "5", 0, 3600,
      .doc = "an alert further from the predicted place is not of the object (ZTF)" },
    { "work", 0, NJ_OPTION_TEXT, offsetof(options, work), "DIR",
      .doc = "where alerts are sorted; else $TMPDIR or /tmp" },
    { 0 }
};

static int objects_main(int argc, char **argv);

NJ_COMMAND(objects) = {
    .name = "objects",
    .usage = "objects [--by object|sso] [run options] SOURCE...",
    .summary = "join the alerts of nights by object, run the modules once per object",
    .help =
        "Without -m the modules are features, period and rainbow, with --by sso phase_curve and its three "
        "other models; +x and -x change this set. Those of `nightjar run` judge one packet.\n",
    .main = objects_main,
    .options = { table, nj_cli_settings, nj_cli_modules, nj_cli_paths, nj_cli_run, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "SOURCE", "as for run, with an end; packets of --merged, too" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage or settings, or an output that cannot be opened" },
                                   { "2", "a source could not be read" },
                                   { "3", "the accounts do not close, or an output failed" },
                                   { "4", "--strict, and there are dead letters" },
                                   { "130", "interrupted" },
                                   { 0 } },
};

static int check(const options *o, nj_error *err)
{
    if (o->cli.options.n_sources == 0) return nj_fail(err, "objects: no SOURCE given");
    if (o->cli.options.resume)
        return nj_fail(err, "objects: --resume has no meaning here: all alerts are read again");
    if (o->merged && mkdir(o->merged, 0777) && errno != EEXIST)
        return nj_fail(err, "--merged %s: %s", o->merged, strerror(errno));
    return 0;
}

/* Where alerts that cannot be read go: as asked, else to a file that is not there yet. */
static const char *letters_of(options *o)
{
    const char *path = o->cli.options.dead_letters;
    if (path) return path;
    path = "dead-letters-alerts.avro";
    for (int k = 2; path && k < 1000 && !access(path, F_OK) && o->cli.options.mode == NJ_SINK_CREATE; k++)
        path = nj_arena_printf(&o->cli.arena, "dead-letters-alerts-%d.avro", k);
    return path;
}

/* Over the packets, as any run; the account of the alerts stands already. */
static int run_over(options *o, const nj_objects_account *account, const char *folder, bool dead,
                    nj_error *err)
{
    nj_run_options *run = &o->cli.options;
    const char **source = nj_arena_zalloc(&o->cli.arena, (account->n_surveys + 1) * sizeof *source);
    for (uint32_t i = 0; source && i < account->n_surveys; i++)
        if (!(source[i] = nj_arena_printf(&o->cli.arena, "%s/%s.avro", folder, account->survey[i])))
            source = NULL;
    if (!source) return nj_fail(err, "out of memory"), NJ_EXIT_USAGE;
    run->source = source;
    run->n_sources = account->n_surveys;
    if (run->dead_letters) /* that one has the alerts' */
        run->dead_letters = nj_arena_printf(&o->cli.arena, "%s.objects", run->dead_letters);
    nj_report report;
    nj_buffer joined = { 0 };
    nj_objects_json(account, !strcmp(o->by, "sso"), &joined);
    int rc = nj_run(run, &report, err);
    report.objects = joined.failed ? NULL : joined.data;
    rc = nj_cli_report(&o->cli, &report, rc, err);
    nj_report_free(&report);
    nj_buffer_free(&joined);
    return rc == NJ_EXIT_OK && dead && run->strict ? NJ_EXIT_STRICT : rc;
}

/* Most of a run's own modules judge a packet with its 30 days: classifiers were trained on those, and stamps
 * are not there. */
static int choose(options *o, nj_error *err)
{
    static const char *const sets[] = { "features,period,rainbow",
                                        "phase_curve,phase_curve_hg,phase_curve_hg12,phase_curve_hg1g2" };
    const char *set = sets[!strcmp(o->by, "sso")], *given = o->cli.options.select;
    if (given && *given != '+' && *given != '-') return 0;
    o->cli.options.select = given ? nj_arena_printf(&o->cli.arena, "%s,%s", set, given) : set;
    return o->cli.options.select ? 0 : nj_fail(err, "out of memory");
}

static int join_and_run(options *o, const char *folder, nj_error *err)
{
    nj_run_options *run = &o->cli.options;
    const nj_objects_options asked = { .settings = &o->cli.settings,
                                       .source = run->source,
                                       .n_sources = run->n_sources,
                                       .by_sso = !strcmp(o->by, "sso"),
                                       .sso_radius = o->sso_radius,
                                       .memory = (size_t)o->memory << 20,
                                       .work = folder,
                                       .folder = o->merged ? o->merged : folder,
                                       .dead_letters = letters_of(o),
                                       .mode = run->mode,
                                       .stop = nj_stop_flag() };
    nj_objects *objects = NULL;
    nj_objects_account account;
    nj_buffer text = { 0 };
    int rc = nj_objects_merge(&asked, &objects, &account, err);
    if (rc == NJ_EXIT_OK) {
        nj_objects_say(&account, asked.by_sso, &text);
        if (!o->cli.quiet && text.data) fputs(text.data, stderr);
        nj_buffer_free(&text);
        const char *columns = run->columns;
        run->columns = columns
                           ? nj_arena_printf(&o->cli.arena, "object_key,n_alerts,first_alert_jd,%s", columns)
                           : "object_key,n_alerts,first_alert_jd";
        if (account.objects)
            rc = run_over(o, &account, asked.folder, account.dead != 0, err);
        else
            nj_log(NJ_LOG_WARN, "objects: nothing to run over, and no output was written");
    } else if (rc == NJ_EXIT_INTERRUPTED) {
        nj_log(NJ_LOG_WARN, "interrupted while alerts were joined: nothing was written");
    } else {
        nj_log(NJ_LOG_ERROR, "%s", err->text);
    }
    nj_objects_free(objects);
    return rc;
}

static int objects_main(int argc, char **argv)
{
    options o = { 0 };
    nj_error err = { "" };
    char folder[4000];
    if (nj_cli_read(&o.cli, nj_command_objects.options, argc, argv, &err) || check(&o, &err) ||
        choose(&o, &err) || nj_cli_begin(&o.cli, &err) ||
        nj_scratch_make(folder, sizeof folder, o.work, "objects", &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        nj_cli_free(&o.cli);
        return NJ_EXIT_USAGE;
    }
    nj_stop_on_signals();
    o.cli.options.stop = nj_stop_flag();
    const int rc = join_and_run(&o, folder, &err);
    nj_scratch_remove(folder);
    nj_cli_free(&o.cli);
    return rc;
}
