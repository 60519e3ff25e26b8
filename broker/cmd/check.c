/* check.c - `nightjar check MODULE [SOURCE]`: every rule of a module, each in a process of its own, so that a
 * crash or a hang is named and costs one rule. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/embed.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../check/alerts.h"
#include "../check/calls.h"
#include "../flow/cli.h"
#include "../graph/crash.h"
#include "../graph/trial.h"
#include "../profile/build.h"
#include "command.h"

typedef struct options {
    nj_cli cli;
    const char *values, *save;
    double deadline_s;
    int64_t limit;
} options;

#define AT(x) offsetof(options, x)

static const nj_option table[] = {
    { "values", 0, NJ_OPTION_TEXT, AT(values), "FILE.csv",
      .doc = "reference values; without it data/ref/NAME.csv, where that is there" },
    { "save", 0, NJ_OPTION_TEXT, AT(save), "FILE.csv",
      .doc = "where a made row that breaks a rule is written; without it NAME.check.csv" },
    { "deadline", 0, NJ_OPTION_F64, AT(deadline_s), "S", "30", 0.1, 3600,
      .doc = "seconds that one call may take" },
    { "limit", 0, NJ_OPTION_I64, AT(limit), "N", "2000", 1, 1e9, .doc = "alerts of the SOURCE at most" },
    { 0 }
};

static int check(int argc, char **argv);

NJ_COMMAND(check) = {
    .name = "check",
    .usage = "check MODULE [SOURCE...] [options]",
    .summary = "does a module keep the rules? each with its row, its column and the cure",
    .help = "Tables, needs, any input, order, threads, neighbours, memory, leaks, process_ref, reference "
            "values; with a SOURCE also its alerts. A made row that breaks a rule is written to a file, with "
            "which --values shows it again.\n",
    .main = check,
    .options = { table, nj_cli_settings, nj_cli_paths, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "MODULE",
                                         "a .c, .cc or .py file, a .so, or the name of an instance" },
                                       { "SOURCE", "as for run" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "0", "no rule is broken" },
                                   { "1", "wrong usage or settings, or the module could not be built" },
                                   { "2", "a source could not be read" },
                                   { "5", "a rule is broken" },
                                   { 0 } },
};

enum { MAX_RULES = 32, MAX_BYTES = 256 << 20 };

/* In memory that the processes of the rules share with this one. */
typedef struct shared {
    nj_slot slot;
    char name[96], version[32];
    bool loaded; /* the module's tables were taken */
    bool served; /* its open() asked for a service */
    char error[768];
    nj_check check;
} shared;

typedef struct job {
    options o;
    const char *module;
    char folder[256], object[512];
    const char *instance, *file; /* one of them: its name, or the shared object */
    nj_alerts *alerts;
    shared *s;
    bool saved; /* the row of the first rule that was broken by one */
    int n_wrong, n_held, n_none;
    char *values; /* text */
    char values_path[512];
} job;

/* ---- in the process of one rule -------------------------------------------------------------- */

static shared *here;
static const void *(*real_service)(void *, const char *, uint32_t);

static const void *noted_service(void *opaque, const char *name, uint32_t version)
{
    here->served = true;
    return real_service(opaque, name, version);
}

static const nj_instance *load(job *j, nj_engine *e, nj_error *err)
{
    nj_replay_options o = { .settings = &j->o.cli.settings,
                            .instance = j->instance,
                            .module_file = j->file,
                            .module_path = j->o.cli.module_path,
                            .n_module_paths = j->o.cli.options.n_module_paths };
    nj_replay r = { 0 };
    if (nj_replay_choose(&r, &o, err)) return NULL;
    *e = r.engine;
    const nj_instance *in = nj_instances_find(&e->instances, r.instance);
    if (!in) nj_fail(err, "%s: it has no module", j->module);
    return in;
}

static void look(job *j, const nj_rule *rule)
{
    nj_engine e = { 0 };
    nj_error err = { "" };
    shared *s = j->s;
    nj_slot_enter(&s->slot, s->name[0] ? s->name : j->module, NJ_PHASE_LOAD);
    const nj_instance *in = load(j, &e, &err);
    nj_slot_leave(&s->slot);
    if (!in) {
        snprintf(s->error, sizeof s->error, "%s", err.text);
        return;
    }
    s->loaded = true;
    snprintf(s->name, sizeof s->name, "%s", in->name);
    snprintf(s->version, sizeof s->version, "%s", in->module->version);
    if (!rule) return;
    real_service = e.instances.host.service;
    e.instances.host.service = noted_service;
    if (rule->opened && nj_engine_open(&e, in->name, &err)) {
        nj_check_wrong(&s->check, NULL, "%s", err.text);
        return;
    }
    in = nj_instances_find(&e.instances, s->name); /* opening may move it */
    s->check.in = in;
    s->check.set = &e.instances;
    s->check.decoder = e.decoder;
    s->check.services = s->served;
    s->check.leak_s = 1;
    s->check.counts = nj_calls_watch();
    s->check.values = j->values;
    s->check.values_folder = j->values_path;
    rule->look(&s->check);
    if (s->check.verdict != NJ_CHECKED_WRONG || !s->check.has_row || j->saved) return;
    const char *path = j->o.save;
    if (!nj_check_write_row(&s->check, path)) return;
    s->check.has_row = false;
    nj_log(NJ_LOG_ERROR, "%s: cannot be written", path);
}

static void look_at_alerts(job *j)
{
    const nj_replay_options o = { .settings = &j->o.cli.settings,
                                  .instance = j->instance,
                                  .module_file = j->file,
                                  .module_path = j->o.cli.module_path,
                                  .n_module_paths = j->o.cli.options.n_module_paths,
                                  .limit = j->o.limit };
    nj_check_alerts(&j->s->check, &o, j->alerts);
}

static const nj_rule over_alerts = { "alerts of the source", NULL, true };

/* ---- in this process ------------------------------------------------------------------------- */

/* Runs a rule (NULL: only loads the module) in a child. False: it died, and slot.death says of what.
 * died: its row is to be written, the path stands in its cure. */
static bool try(job *j, const nj_rule *rule, const nj_check *died)
{
    shared *s = j->s;
    memset(&s->slot, 0, sizeof s->slot);
    s->check = (nj_check){ .verdict = NJ_CHECKED };
    if (died) s->check.row = died->row;
    if (died) snprintf(s->check.cure, sizeof s->check.cure, "%s", j->o.save);
    if (died) snprintf(s->check.what, sizeof s->check.what, "the module died of it");
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return nj_check_wrong(&s->check, NULL, "no process could be made for it"), true;
    if (child == 0) {
        const struct rlimit none = { 0, 0 };
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &none);
        here = s;
        nj_crash_child();
        nj_slot_set_up_at(&s->slot);
        if (rule == &over_alerts)
            look_at_alerts(j);
        else
            look(j, rule);
        fflush(NULL);
        nj_exit_at_once(0);
    }
    return !nj_trial_died(child, &s->slot, j->o.deadline_s, 20 * j->o.deadline_s);
}

/* As wide as a terminal is; in a file each is one line. */
static void say(const char *text)
{
    nj_buffer b = { 0 };
    if (isatty(STDOUT_FILENO)) nj_help_wrap(&b, text, 0, 7);
    if (b.data)
        fwrite(b.data, 1, b.n, stdout);
    else
        puts(text);
    nj_buffer_free(&b);
}

/* A row of the report: words, then lines below them. */
static void print(job *j, const char *name, bool alive)
{
    shared *s = j->s;
    nj_check *c = &s->check;
    static const char *const word[] = { "ok", "WRONG", "-" };
    if (!alive) {
        char what[sizeof c->what];
        const bool row = c->has_row;
        snprintf(what, sizeof what, "%.90s %s%s%s row%s%.400s", s->slot.death.what,
                 nj_phase_name[atomic_load(&s->slot.phase)], row ? ", " : "",
                 row ? nj_made_kind_name[c->row.kind] : "", s->slot.death.stack[0] ? "; stack: " : "",
                 s->slot.death.stack);
        c->verdict = NJ_CHECKED;
        nj_check_wrong(c, "broker/DEBUGGING.md: gdb on a module, and ASan with a shared object", "%s", what);
    }
    char text[1200];
    snprintf(text, sizeof text, "%-6s %s%s%s", word[c->verdict], name, c->what[0] ? ": " : "", c->what);
    say(text);
    snprintf(text, sizeof text, "       cure: %s", c->cure);
    if (c->verdict == NJ_CHECKED_WRONG && c->cure[0]) say(text);
    if (c->verdict == NJ_CHECKED_WRONG && c->has_row && !j->saved)
        printf("       the row: %s (nightjar check %s --values %s)\n", j->o.save, j->module, j->o.save);
    j->saved |= c->verdict == NJ_CHECKED_WRONG && c->has_row;
    if (c->verdict == NJ_CHECKED_WRONG)
        j->n_wrong++;
    else if (c->verdict == NJ_CHECKED)
        j->n_held++;
    else
        j->n_none++;
}

static void write_row(nj_check *c)
{
    c->has_row = nj_check_write_row(c, c->cure) == 0;
}

/* The made row that a child died of, written by another one: this process never loads the module. */
static void save_row(job *j)
{
    static const nj_rule writes = { "", write_row, false };
    const nj_check died = j->s->check;
    const nj_slot slot = j->s->slot;
    if (!died.has_row || j->saved) return;
    bool written = try(j, &writes, &died) && j->s->check.has_row;
    j->s->check = died;
    j->s->check.has_row = written;
    memcpy(&j->s->slot, &slot, sizeof slot);
}

static int find_values(job *j, nj_error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s", j->o.values ? j->o.values : "");
    if (!j->o.values) snprintf(path, sizeof path, "data/ref/%s.csv", j->s->name);
    j->values = nj_file_read(path, MAX_BYTES, NULL);
    const nj_embedded *own = j->values || j->o.values ? NULL : nj_embedded_find(path);
    if (own) j->values = strdup((const char *)own->data);
    if (!j->values && j->o.values) return nj_fail(err, "%s: cannot be read", path);
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    else
        strcpy(path, ".");
    snprintf(j->values_path, sizeof j->values_path, "%s", path);
    return 0;
}

static int find_module(job *j, nj_error *err)
{
    if (nj_build_is_source(j->module)) {
        if (nj_build_folder(j->folder, err) ||
            nj_build(j->module, NJ_BUILD_PRODUCTION, j->folder, j->object, err))
            return -1;
        j->file = j->object;
    } else if (nj_ends_with(j->module, ".so") || nj_ends_with(j->module, ".py")) {
        j->file = j->module;
    } else {
        j->instance = j->module;
    }
    if (!try(j, NULL, NULL))
        return nj_fail(err, "%s: it crashed %s: %s; is a table without its { 0 }?", j->module,
                       nj_phase_name[atomic_load(&j->s->slot.phase)], j->s->slot.death.what);
    return j->s->loaded ? 0 : nj_fail(err, "%s", j->s->error);
}

static int work(job *j, nj_error *err)
{
    char save[160];
    const nj_run_options *o = &j->o.cli.options;
    if (o->n_sources > 1 &&
        nj_alerts_read(j->alerts, &j->o.cli.settings, j->o.cli.source + 1, o->n_sources - 1, MAX_BYTES, err))
        return NJ_EXIT_SOURCE;
    if (find_module(j, err) || find_values(j, err)) return NJ_EXIT_USAGE;
    snprintf(save, sizeof save, "%s.check.csv", j->s->name);
    if (!j->o.save) j->o.save = save;
    printf("%s %s (%s)\n", j->s->name, j->s->version, j->module);
    for (const nj_rule *rule = nj_rules; rule->name; rule++) {
        bool alive = try(j, rule, NULL);
        if (!alive) save_row(j);
        print(j, rule->name, alive);
    }
    if (o->n_sources > 1) print(j, over_alerts.name, try(j, &over_alerts, NULL));
    printf("%s: %d rules hold, %d broken, %d do not apply\n", j->s->name, j->n_held, j->n_wrong, j->n_none);
    return j->n_wrong ? NJ_EXIT_GATE : NJ_EXIT_OK;
}

static int check(int argc, char **argv)
{
    job j = { .alerts = calloc(1, sizeof *j.alerts) };
    nj_error err = { "" };
    int rc = NJ_EXIT_USAGE;
    void *room = mmap(NULL, sizeof *j.s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    j.s = room == MAP_FAILED ? NULL : room;
    if (!j.alerts || !j.s) {
        nj_fail(&err, "out of memory");
    } else if (nj_cli_read(&j.o.cli, nj_command_check.options, argc, argv, &err) == 0) {
        nj_log_level(NJ_LOG_WARN);
        if (j.o.cli.options.n_sources < 1) {
            nj_fail(&err, "expected MODULE [SOURCE...]; see `nightjar check --help`");
        } else {
            j.module = j.o.cli.source[0];
            rc = work(&j, &err);
        }
    }
    if (err.text[0]) fprintf(stderr, "nightjar check: %s\n", err.text);
    if (j.alerts) nj_alerts_free(j.alerts);
    if (j.folder[0]) nj_build_remove(j.folder);
    free(j.values);
    nj_cli_free(&j.o.cli);
    if (j.s) munmap(j.s, sizeof *j.s);
    return rc;
}
