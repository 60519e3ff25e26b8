/* profile.c - `nightjar profile MODULE SOURCE...`: what one module costs, to the line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../base/output.h"
#include "../flow/cli.h"
#include "../graph/answers.h"
#include "../profile/build.h"
#include "../profile/pass.h"
#include "../profile/profile.h"
#include "../profile/python.h"
#include "command.h"

typedef struct command {
    nj_cli cli;
    const char *module, *json, *html, *svg;
    nj_profile_show show;
    nj_pass_options pass;
    const char *clock, *period;
    int64_t limit;
    int threads;
    bool no_hits, counters, per_alert, scaling, energy;
    nj_energy_pass_options ab;
} command;

#define AT(x) offsetof(command, x)

static const nj_option table[] = {
    { "lines", 0, NJ_OPTION_FLAG, AT(show.lines), .doc = "the table of lines (without it: of functions)" },
    { "unit", 'u', NJ_OPTION_F64, AT(show.unit_s), "SECONDS", "1e-6", 1e-12, 1e6,
      .doc = "unit of the times" },
    { "skip-zero", 'z', NJ_OPTION_FLAG, AT(show.skip_zero), .doc = "leave out functions that took no time" },
    { "sort", 't', NJ_OPTION_FLAG, AT(show.sort), .doc = "sort functions by time" },
    { "summary", 'm', NJ_OPTION_FLAG, AT(show.summary), .doc = "a summary of the functions at the end" },
    { "min-samples", 0, NJ_OPTION_I64, AT(pass.min_samples), "N", "10000", 1, 2e6,
      .doc = "replay the alerts until there are so many" },
    { "seconds", 0, NJ_OPTION_F64, AT(pass.seconds), "S", "60", 1e-6, 1e6, .doc = "or at most so long" },
    { "repeat", 0, NJ_OPTION_I64, AT(pass.repeat), "R", NULL, 1, 1e9,
      .doc = "replay them R times, whatever the samples" },
    { "limit", 0, NJ_OPTION_I64, AT(limit), "N", NULL, 1, 1e12, .doc = "take the first N alerts" },
    { "threads", 'j', NJ_OPTION_INT, AT(threads), "N", "1", 1, NJ_REPLAY_THREADS,
      .doc = "run the module in N threads, each of them sampled" },
    { "clock", 0, NJ_OPTION_WORD, AT(clock), "wall|cpu", "wall", .words = "wall|cpu",
      .doc = "what is timed" },
    { "period", 0, NJ_OPTION_WORD, AT(period), "random|fixed", "random", .words = "random|fixed",
      .doc = "of the samples; fixed can lock to a loop and is here to show it" },
    { "interval", 0, NJ_OPTION_F64, AT(pass.interval_us), "US", "1000", 1e-3, 1e9,
      .doc = "mean microseconds between samples" },
    { "overhead", 0, NJ_OPTION_FLAG, AT(pass.overhead),
      .doc = "what the sampling itself costs, with more care: 201 pairs of replays with and without it" },
    { "per-alert", 0, NJ_OPTION_FLAG, AT(per_alert),
      .doc = "each alert alone, in rounds of 10 s in all: percentiles, modes, outliers by their ids" },
    { "scaling", 0, NJ_OPTION_FLAG, AT(scaling),
      .doc = "exponents of the cost over history length, stamp size and batch size; a warning from n^1.5" },
    { "energy", 0, NJ_OPTION_FLAG, AT(energy),
      .doc = "watts above the machine at rest, by pairs of runs with and without the module; where they go" },
    { "pairs", 0, NJ_OPTION_I64, AT(ab.pairs), "N", "9", 1, 10000, .doc = "of --energy" },
    { "run-seconds", 0, NJ_OPTION_F64, AT(ab.seconds), "S", "10", 0.001, 3600,
      .doc = "length of a run of --energy" },
    { "foreign", 0, NJ_OPTION_F64, AT(ab.foreign), "PERCENT", "2", 0, 100,
      .doc = "of all CPUs that others may be busy on during a pair of --energy" },
    { "survey", 0, NJ_OPTION_TEXT, AT(ab.survey), "ztf|lsst|VOLUME", "ztf",
      .doc = "alerts of --energy's night: of a survey, or ALERTS,PER_EXPOSURE,SECONDS,NIGHTS" },
    { "counters", 0, NJ_OPTION_FLAG, AT(counters),
      .doc = "the machine's counters (perf events) per alert, or why there are none" },
    { "no-hits", 0, NJ_OPTION_FLAG, AT(no_hits), .doc = "leave out the counting pass" },
    { "json", 0, NJ_OPTION_TEXT, AT(json), "FILE", .doc = "the profile as JSON" },
    { "html", 0, NJ_OPTION_TEXT, AT(html), "FILE",
      .doc = "one self-contained page: the source with its heat, and the flame graph" },
    { "svg", 0, NJ_OPTION_TEXT, AT(svg), "FILE", .doc = "the flame graph alone" },
    { 0 }
};

static int profile(int argc, char **argv);

NJ_COMMAND(profile) = {
    .name = "profile",
    .usage = "profile MODULE SOURCE... [options]",
    .summary = "what one module costs: hits and time per line, from the unmodified source",
    .help = "Two passes over the same alerts: a second, instrumented build counts each line exactly; the "
            "production build is timed by random samples of its call stack.\n",
    .main = profile,
    .options = { table, nj_cli_settings, nj_cli_paths, nj_options_of_debug },
    .arguments = (const nj_meaning[]){ { "MODULE", "an instance, a .c, .cc or .py file, or a .so" },
                                       { "SOURCE", "as for run" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1",
                                     "wrong usage or settings, or the module could not be built or run" },
                                   { "2", "a source could not be read" },
                                   { "3", "a file could not be written" },
                                   { 0 } },
};

static int parse(command *c, int argc, char **argv, nj_error *err)
{
    nj_run_options *o = &c->cli.options;
    *c = (command){ .show = { .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") } };
    if (nj_cli_read(&c->cli, nj_command_profile.options, argc, argv, err)) return -1;
    if (o->n_sources < 2) return nj_fail(err, "expected MODULE SOURCE...; see `nightjar profile --help`");
    c->pass.cpu = !strcmp(c->clock, "cpu");
    c->pass.fixed = !strcmp(c->period, "fixed");
    c->module = c->cli.source[0];
    o->n_sources--;
    memmove(c->cli.source, c->cli.source + 1, o->n_sources * sizeof *c->cli.source);
    return 0;
}

/* "GNU C11 12.2.0 -march=... -O2 -g": the compiler and what decides about speed. */
static const char *short_producer(nj_arena *arena, const char *producer)
{
    if (!producer) return NULL;
    nj_buffer b = { 0 };
    nj_buffer_add(&b, producer, strcspn(producer, "-"));
    for (const char *p = producer; (p = strstr(p, " -")) != NULL; p++)
        if (p[2] == 'O' || !strncmp(p, " -march", 7))
            nj_buffer_printf(&b, "%s%.*s", b.data[b.n - 1] == ' ' ? "" : " ", (int)strcspn(p + 1, " "),
                             p + 1);
    const char *text = nj_arena_text(arena, b.data, b.n);
    nj_buffer_free(&b);
    return text;
}

typedef struct passes {
    const command *c;
    nj_profile *p;
    nj_alerts *alerts;
    nj_replay_options options;
    char folder[256], object[512];
    nj_replay replay;
    nj_hits hits;
    bool has_hits;
    nj_watch *watch;
} passes;

static int sample_and_collect(passes *s, nj_symbols *symbols, nj_error *err)
{
    const nj_module *m = nj_replay_target(&s->replay)->module;
    uint32_t n = s->replay.n_workers;
    nj_sampler **sampler = calloc(n, sizeof *sampler);
    nj_energy *energy = sampler ? nj_energy_open((nj_settings *)&s->c->cli.settings, err) : NULL;
    if (!energy) return free(sampler), sampler ? -1 : nj_fail(err, "out of memory");
    nj_energy_begin(energy);
    int rc = nj_pass_time(s->p, &s->replay, &s->c->pass, symbols, sampler, err);
    nj_footprint_take(s->p, energy);
    nj_energy_free(energy);
    if (rc == 0)
        rc = nj_profile_collect(s->p, sampler, n, symbols, (uint64_t)(uintptr_t)m->process,
                                s->has_hits ? &s->hits : NULL, err);
    for (uint32_t k = 0; k < n; k++) nj_sampler_free(sampler[k]);
    free(sampler);
    return rc;
}

enum { PER_ALERT_S = 10, SCALING_S = 2 };

/* Times of each alert alone, for --per-alert and for the alerts' own spread of --scaling. */
static int each_alert(passes *s, nj_error *err)
{
    nj_singly own = { 0 }, *singly = s->c->per_alert ? &s->p->singly : &own;
    double most = s->c->per_alert ? PER_ALERT_S : SCALING_S;
    if (nj_replay_cut(&s->replay, &s->options, s->alerts, 1, err)) return -1;
    s->p->has_singly = s->c->per_alert;
    int rc = nj_singly_time(singly, &s->replay, fmin(s->c->pass.seconds, most), err);
    if (rc == 0 && s->c->scaling) rc = nj_scaling_spread(&s->p->scaling, &s->replay, singly, err);
    nj_singly_free(&own);
    return rc;
}

/* The other passes, that have no samples. */
static int more_passes(passes *s, nj_error *err)
{
    if (s->c->counters && nj_counters_count(s->p, &s->replay, err)) return -1;
    if (s->c->energy && nj_energy_pass_run(&s->p->energy_ab, &s->replay, (nj_settings *)&s->c->cli.settings,
                                           &s->p->arena, &s->c->ab, err))
        return -1;
    if (!s->c->per_alert && !s->c->scaling) return 0;
    if (s->replay.n_workers > 1) { /* one alert after the other is one thread */
        nj_replay_close(&s->replay);
        s->replay = (nj_replay){ 0 };
        s->options.threads = 1;
        if (nj_replay_open(&s->replay, &s->options, s->alerts, err)) return -1;
    }
    s->p->has_scaling = s->c->scaling;
    if (s->c->scaling &&
        (nj_scaling_time(&s->p->scaling, &s->replay, fmin(s->c->pass.seconds, SCALING_S), err) ||
         nj_scaling_catalog(&s->p->scaling, s->p->instance, &s->options, s->alerts, s->folder, err)))
        return -1;
    return each_alert(s, err);
}

/* Where the source is, before the module is opened:
 * the counting pass comes first, in a process of its own. */
static const char *find_source(passes *s, nj_error *err)
{
    if (nj_build_is_source(s->c->module)) {
        char *real = realpath(s->c->module, NULL);
        const char *kept = real ? nj_arena_text(&s->p->arena, real, strlen(real)) : s->c->module;
        free(real);
        return kept;
    }
    nj_replay r = { 0 };
    const char *source = NULL;
    nj_symbols *symbols = NULL;
    if (nj_replay_choose(&r, &s->options, err) == 0 && (symbols = nj_symbols_new(err))) {
        source = nj_symbols_source(symbols, (uint64_t)(uintptr_t)nj_replay_target(&r)->module->process, NULL);
        if (source) source = nj_arena_text(&s->p->arena, source, strlen(source));
    }
    nj_symbols_free(symbols);
    nj_replay_close(&r);
    return source;
}

static void count_pass(passes *s, const char *source)
{
    nj_error why = { "" };
    nj_profile *p = s->p;
    if (s->c->no_hits)
        p->no_hits = "--no-hits";
    else if (!source)
        p->no_hits = "the source is not known (the module was built without -g)";
    else if (access(source, R_OK))
        p->no_hits = nj_arena_printf(&p->arena, "%s cannot be read", source);
    else if (nj_hits_count(&s->hits, source, s->folder, &s->options, s->alerts, &why))
        p->no_hits = nj_arena_printf(&p->arena, "%s", why.text);
    else
        s->has_hits = true;
    if (!s->c->scaling) return;
    if (s->has_hits)
        nj_scaling_count(&p->scaling, source, s->hits.object, s->folder, &s->options, s->alerts);
    else
        snprintf(p->scaling.no_counts, sizeof p->scaling.no_counts, "none: %.240s", p->no_hits);
}

static int run_passes(passes *s, nj_error *err)
{
    const command *c = s->c;
    nj_profile *p = s->p;
    s->options = (nj_replay_options){ .settings = (nj_settings *)&c->cli.settings,
                                      .limit = c->limit,
                                      .module_path = c->cli.module_path,
                                      .n_module_paths = c->cli.options.n_module_paths };
    if (nj_build_is_source(c->module)) {
        if (nj_build(c->module, NJ_BUILD_PRODUCTION, s->folder, s->object, err)) return -1;
        s->options.module_file = s->object;
    } else if (nj_ends_with(c->module, ".so")) {
        s->options.module_file = c->module;
    } else {
        s->options.instance = c->module;
    }
    err->text[0] = 0;
    const char *source = find_source(s, err);
    if (!source && err->text[0]) return -1;
    count_pass(s, source);
    s->watch = nj_replay_watch(&s->options, NJ_LOG_WARN); /* after the other process was forked */
    /* from here on: the counting pass is another process, of one thread */
    s->options.threads = (uint32_t)c->threads;
    if (nj_replay_open(&s->replay, &s->options, s->alerts, err)) return -1;
    nj_answers_report(&s->replay.engine.instances,
                      s->replay.worker[0].own.worker->answers); /* of the first pass: it is the first
                                                               * worker's */
    p->threads = s->replay.n_workers;
    p->show = c->show;
    p->batch_rows = s->replay.batch_rows;
    const nj_instance *in = nj_replay_target(&s->replay);
    nj_symbols *symbols = nj_symbols_new(err);
    if (!symbols) return -1;
    const char *producer = NULL,
               *own = nj_symbols_source(symbols, (uint64_t)(uintptr_t)in->module->process, &producer);
    if (!own) p->no_lines = "the module was built without -g";
    p->source = source;
    p->built = short_producer(&p->arena, producer);
    p->clock = c->pass.cpu ? "CPU" : "wall";
    p->instance = nj_arena_text(&p->arena, in->name, strlen(in->name));
    p->version = nj_arena_text(&p->arena, in->module->version, strlen(in->module->version));
    p->count = s->replay.first;
    p->alerts = s->replay.n_alerts;
    p->dead = s->replay.n_dead;
    p->cut = s->alerts->cut;
    memcpy(p->digest, s->alerts->digest, sizeof p->digest);
    int rc = sample_and_collect(s, symbols, err);
    nj_symbols_free(symbols);
    if (rc == 0) rc = more_passes(s, err);
    if (rc == 0 && s->has_hits &&
        (s->hits.offered != p->count.offered || s->hits.hits != p->count.hits ||
         s->hits.flagged != p->count.flagged))
        nj_log(NJ_LOG_WARN,
               "the instrumented build answered %llu alerts and flagged %llu, the production build %llu and "
               "%llu: the hits are of other work",
               (unsigned long long)s->hits.hits, (unsigned long long)s->hits.flagged,
               (unsigned long long)p->count.hits, (unsigned long long)p->count.flagged);
    return rc;
}

static int write_file(const char *path, nj_profile *p, int (*make)(nj_profile *, nj_buffer *, nj_error *))
{
    nj_buffer b = { 0 };
    nj_error err = { "" };
    FILE *f = NULL;
    int bad = make(p, &b, &err);
    if (!bad) {
        f = nj_output_is_standard(path) ? fdopen(nj_output_fd(), "w") : fopen(path, "w");
        bad = !f || fwrite(b.data, 1, b.n, f) != b.n;
    }
    if (f && fclose(f)) bad = 1;
    nj_buffer_free(&b);
    if (bad) nj_log(NJ_LOG_ERROR, "%s: %s", path, err.text[0] ? err.text : "cannot be written");
    return bad ? 1 : 0;
}

enum { MAX_BYTES = 512 << 20 };

/* Before the module is loaded, which may print. */
static int keep_standard_output(const command *c, nj_error *err)
{
    const char *const path[] = { c->json, c->html, c->svg };
    int n = 0;
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        if (path[i] && nj_output_is_standard(path[i]) && (n++ || nj_output_take(err)))
            return n > 1 ? nj_fail(err, "%s: another output goes to standard output, too", path[i]) : -1;
    return 0;
}

/* A file of Python, or an instance of that kind. */
static bool is_python(const command *c)
{
    char section[96];
    if (nj_ends_with(c->module, ".py")) return true;
    snprintf(section, sizeof section, "module.%.80s", c->module);
    const char *kind = nj_settings_get((nj_settings *)&c->cli.settings, section, "kind");
    return kind && !strcmp(kind, "python");
}

static int python(const command *c, const nj_alerts *alerts, nj_error *err)
{
    const bool file = nj_ends_with(c->module, ".py");
    const nj_replay_options o = { .settings = (nj_settings *)&c->cli.settings,
                                  .instance = file ? NULL : c->module,
                                  .module_file = file ? c->module : NULL,
                                  .module_path = c->cli.module_path,
                                  .n_module_paths = c->cli.options.n_module_paths,
                                  .limit = c->limit };
    if (c->json || c->html || c->svg || c->counters || c->per_alert || c->scaling || c->energy)
        return nj_fail(err,
                       "a module in Python has a table of lines, and no --json, --html, --svg, --counters, "
                       "--per-alert, --scaling or --energy");
    return nj_python_profile(&o, alerts, c->pass.repeat, c->show.lines, stdout, err);
}

static int profile(int argc, char **argv)
{
    command c = { 0 };
    nj_error err = { "" };
    nj_profile p = { 0 };
    passes s = { .c = &c, .p = &p, .alerts = calloc(1, sizeof *s.alerts) };
    int rc = NJ_EXIT_OK, bad = 0;
    if (!s.alerts || parse(&c, argc, argv, &err) || keep_standard_output(&c, &err)) {
        rc = NJ_EXIT_USAGE;
    } else if (nj_alerts_read(s.alerts, &c.cli.settings, c.cli.source, c.cli.options.n_sources, MAX_BYTES,
                              &err)) {
        rc = NJ_EXIT_SOURCE;
    } else if (is_python(&c)) {
        if (python(&c, s.alerts, &err)) rc = NJ_EXIT_USAGE;
    } else if (nj_build_folder(s.folder, &err) || run_passes(&s, &err)) {
        rc = NJ_EXIT_USAGE;
    } else {
        nj_profile_table(&p, stdout);
        if (c.json) bad |= write_file(c.json, &p, nj_profile_json);
        if (c.html) bad |= write_file(c.html, &p, nj_profile_html);
        if (c.svg) bad |= write_file(c.svg, &p, nj_profile_flame);
        if (bad) rc = NJ_EXIT_LEDGER;
    }
    if (rc && err.text[0]) fprintf(stderr, "nightjar profile: %s\n", err.text);
    nj_watch_stop(s.watch);
    nj_hits_free(&s.hits);
    nj_replay_close(&s.replay);
    nj_alerts_free(s.alerts);
    nj_profile_free(&p);
    nj_cli_free(&c.cli);
    if (s.folder[0]) nj_build_remove(s.folder);
    return rc;
}
