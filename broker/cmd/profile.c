/* profile.c - `nightjar profile MODULE SOURCE...`: what one module costs, to the line. */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../flow/cli.h"
#include "../profile/build.h"
#include "../profile/profile.h"
#include "command.h"

static const char help[] =
    "\nMODULE is an instance, a .c file or a .so. Two passes over the same alerts: a second, instrumented build counts each\n"
    "line exactly; the production build is timed by random samples of its call stack.\n"
    "  --lines              the table of lines (without it: of functions)\n"
    "  -u SECONDS           unit of the times (1e-6)\n"
    "  -z                   leave out functions that took no time\n"
    "  -t                   sort functions by time\n"
    "  -m                   a summary of the functions at the end\n"
    "  --min-samples N      replay the alerts until there are so many (10000)\n"
    "  --seconds S          or at most so long (60)\n"
    "  --repeat R           replay them R times, whatever the samples\n"
    "  --limit N            take the first N alerts\n"
    "  --clock wall|cpu     what is timed (wall)\n"
    "  --period random|fixed  of the samples (random; fixed can lock to a loop and is here to show it)\n"
    "  --interval US        mean microseconds between samples (1000)\n"
    "  --overhead           what the sampling itself costs: replays with and without it in turn, 101 pairs\n"
    "  --no-hits            leave out the counting pass\n"
    "  --json FILE          the profile as JSON\n"
    "  --html FILE          one self-contained page: the source with its heat, and the flame graph\n"
    "  --svg FILE           the flame graph alone\n"
    "  -c FILE, -D section.key=value, --module-path DIR   as for `nightjar run`\n";

typedef struct command {
    nj_cli cli;
    const char *module, *json, *html, *svg;
    nj_profile_show show;
    int64_t min_samples, repeat, limit;
    double seconds, interval_us;
    bool cpu, fixed, no_hits, overhead;
} command;

enum {
    OPT_LINES = 256,
    OPT_SAMPLES,
    OPT_SECONDS,
    OPT_REPEAT,
    OPT_LIMIT,
    OPT_CLOCK,
    OPT_PERIOD,
    OPT_NO_HITS,
    OPT_OVERHEAD,
    OPT_INTERVAL,
    OPT_JSON,
    OPT_HTML,
    OPT_SVG,
    OPT_MODULE_PATH
};
static const struct option longs[] = { { "lines", no_argument, NULL, OPT_LINES },
                                       { "min-samples", required_argument, NULL, OPT_SAMPLES },
                                       { "seconds", required_argument, NULL, OPT_SECONDS },
                                       { "repeat", required_argument, NULL, OPT_REPEAT },
                                       { "limit", required_argument, NULL, OPT_LIMIT },
                                       { "clock", required_argument, NULL, OPT_CLOCK },
                                       { "period", required_argument, NULL, OPT_PERIOD },
                                       { "no-hits", no_argument, NULL, OPT_NO_HITS },
                                       { "overhead", no_argument, NULL, OPT_OVERHEAD },
                                       { "json", required_argument, NULL, OPT_JSON },
                                       { "module-path", required_argument, NULL, OPT_MODULE_PATH },
                                       { "interval", required_argument, NULL, OPT_INTERVAL },
                                       { "html", required_argument, NULL, OPT_HTML },
                                       { "svg", required_argument, NULL, OPT_SVG },
                                       { 0 } };

static int positive(const char *name, const char *text, double most, double *value, nj_error *err)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end && *value > 0 && *value <= most
               ? 0
               : nj_fail(err, "%s %s: expected a number above 0, at most %g", name, text, most);
}

static int one_of(const char *name, const char *text, const char *first, const char *second, bool *is_second, nj_error *err)
{
    *is_second = !strcmp(text, second);
    return *is_second || !strcmp(text, first) ? 0 : nj_fail(err, "%s %s: expected %s or %s", name, text, first, second);
}

static int take_number(command *c, int option, nj_error *err)
{
    double v = 0;
    switch (option) {
    case 'u': return positive("-u", optarg, 1e6, &c->show.unit_s, err);
    case OPT_INTERVAL: return positive("--interval", optarg, 1e9, &c->interval_us, err);
    case OPT_SECONDS: return positive("--seconds", optarg, 1e6, &c->seconds, err);
    case OPT_SAMPLES:
        if (positive("--min-samples", optarg, 2e6, &v, err)) return -1;
        c->min_samples = (int64_t)v;
        return 0;
    case OPT_REPEAT:
        if (positive("--repeat", optarg, 1e9, &v, err)) return -1;
        c->repeat = (int64_t)v;
        return 0;
    default:
        if (positive("--limit", optarg, 1e12, &v, err)) return -1;
        c->limit = (int64_t)v;
        return 0;
    }
}

static int take_option(command *c, int option, char **pass, int *n_pass, nj_error *err)
{
    switch (option) {
    case 'c':
        pass[(*n_pass)++] = (char *)"-c";
        pass[(*n_pass)++] = optarg;
        return 0;
    case 'D':
        pass[(*n_pass)++] = (char *)"-D";
        pass[(*n_pass)++] = optarg;
        return 0;
    case OPT_MODULE_PATH:
        pass[(*n_pass)++] = (char *)"--module-path";
        pass[(*n_pass)++] = optarg;
        return 0;
    case 'z': c->show.skip_zero = true; return 0;
    case 't': c->show.sort = true; return 0;
    case 'm': c->show.summary = true; return 0;
    case OPT_LINES: c->show.lines = true; return 0;
    case OPT_NO_HITS: c->no_hits = true; return 0;
    case OPT_OVERHEAD: c->overhead = true; return 0;
    case OPT_JSON: c->json = optarg; return 0;
    case OPT_HTML: c->html = optarg; return 0;
    case OPT_SVG: c->svg = optarg; return 0;
    case OPT_CLOCK: return one_of("--clock", optarg, "wall", "cpu", &c->cpu, err);
    case OPT_PERIOD: return one_of("--period", optarg, "random", "fixed", &c->fixed, err);
    case 'u':
    case OPT_INTERVAL:
    case OPT_SECONDS:
    case OPT_SAMPLES:
    case OPT_REPEAT:
    case OPT_LIMIT: return take_number(c, option, err);
    default: return nj_fail(err, "see `nightjar profile --help`");
    }
}

static int parse(command *c, int argc, char **argv, nj_error *err)
{
    char **pass = calloc((size_t)argc * 2 + 2, sizeof *pass);
    if (!pass) return nj_fail(err, "out of memory");
    int n = 0, rc = 0;
    *c = (command){ .show = { .unit_s = 1e-6, .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") },
                    .min_samples = 10000,
                    .seconds = 60,
                    .interval_us = 1000 };
    pass[n++] = argv[0];
    optind = 1;
    for (int option; rc == 0 && (option = getopt_long(argc, argv, "c:D:u:ztm", longs, NULL)) != -1;)
        rc = take_option(c, option, pass, &n, err);
    if (rc == 0 && argc - optind < 2) rc = nj_fail(err, "expected MODULE SOURCE...; see `nightjar profile --help`");
    for (int i = optind; rc == 0 && i < argc; i++) {
        if (i == optind)
            c->module = argv[i];
        else
            pass[n++] = argv[i];
    }
    if (rc == 0) rc = nj_cli_parse(&c->cli, n, pass, err);
    free(pass);
    return rc;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

/* "GNU C11 12.2.0 -march=... -O2 -g": the compiler and what decides about speed. */
static const char *short_producer(nj_arena *arena, const char *producer)
{
    if (!producer) return NULL;
    nj_buffer b = { 0 };
    nj_buffer_add(&b, producer, strcspn(producer, "-"));
    for (const char *p = producer; (p = strstr(p, " -")) != NULL; p++)
        if (p[2] == 'O' || !strncmp(p, " -march", 7))
            nj_buffer_printf(&b, "%s%.*s", b.data[b.n - 1] == ' ' ? "" : " ", (int)strcspn(p + 1, " "), p + 1);
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
} passes;

/* The loop whose time is measured. */
static int time_pass(passes *s, nj_sampler *sampler, nj_error *err)
{
    const command *c = s->c;
    nj_counter *count = nj_replay_counter(&s->replay);
    nj_profile *p = s->p;
    if (nj_replay_once(&s->replay)) return nj_fail(err, "out of memory"); /* warm */
    int64_t wall = count->wall_ns, cpu = nj_thread_cpu_ns(), begin = nj_now_ns();
    int rc = nj_sampler_start(sampler, err);
    while (rc == 0) {
        if (nj_replay_once(&s->replay)) rc = nj_fail(err, "out of memory");
        p->replays++;
        if (c->repeat ? p->replays >= (uint64_t)c->repeat
                      : nj_sampler_taken(sampler) >= c->min_samples || (double)(nj_now_ns() - begin) / 1e9 > c->seconds)
            break;
    }
    nj_sampler_stop(sampler);
    p->cpu_ns = nj_thread_cpu_ns() - cpu;
    p->wall_ns = count->wall_ns - wall;
    double loop = (double)(nj_now_ns() - begin), span = (double)p->wall_ns * (c->cpu ? (double)p->cpu_ns / loop : 1);
    p->span_ns = p->replays ? span / (double)p->replays : 0;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { PAIRS = 101 };

/* CPU time of the same replays with and without samples, in turn within one run: machines change speed by the minute. */
static int measure_overhead(passes *s, nj_sampler *sampler, nj_error *err)
{
    double ratio[PAIRS];
    int64_t least_ns = 20000000, begin = nj_now_ns();
    if (nj_replay_once(&s->replay)) return nj_fail(err, "out of memory");
    int64_t one = nj_now_ns() - begin, times = one < least_ns ? least_ns / (one + 1) + 1 : 1;
    for (int i = 0; i < PAIRS; i++) {
        int64_t cpu[2] = { 0, 0 };
        for (int k = 0; k < 2; k++) {
            int on = (i + k) % 2;
            if (on && nj_sampler_start(sampler, err)) return -1;
            int64_t start = nj_thread_cpu_ns();
            for (int64_t t = 0; t < times; t++)
                if (nj_replay_once(&s->replay)) return nj_fail(err, "out of memory");
            cpu[on] = nj_thread_cpu_ns() - start;
            if (on) nj_sampler_stop(sampler);
        }
        ratio[i] = (double)cpu[1] / (double)cpu[0] - 1;
    }
    qsort(ratio, PAIRS, sizeof *ratio, by_value);
    s->p->overhead = nj_arena_printf(&s->p->arena, "%.1f %% of CPU [%.1f, %.1f], median and middle half of %d pairs",
                                     100 * ratio[PAIRS / 2], 100 * ratio[PAIRS / 4], 100 * ratio[3 * PAIRS / 4], PAIRS);
    return 0;
}

static int sample_and_collect(passes *s, nj_symbols *symbols, nj_error *err)
{
    const nj_module *m = nj_replay_target(&s->replay)->module;
    nj_sampler_options o = { .where = &s->replay.worker->slot.instance,
                             .name = nj_replay_target(&s->replay)->name,
                             .mean_ns = (int64_t)fmax(s->c->interval_us * 1000, 1000),
                             .cpu = s->c->cpu,
                             .fixed = s->c->fixed,
                             .max_samples =
                                 (uint32_t)(s->c->repeat ? 2000000 : s->c->min_samples + s->c->min_samples / 2 + 1000) };
    nj_sampler *sampler = nj_sampler_new(&o, err);
    int rc = sampler ? time_pass(s, sampler, err) : -1;
    if (rc == 0)
        rc = nj_profile_collect(s->p, sampler, symbols, (uint64_t)(uintptr_t)m->process, s->has_hits ? &s->hits : NULL, err);
    if (rc == 0 && s->c->overhead) {
        nj_sampler_forget(sampler);
        rc = measure_overhead(s, sampler, err);
    }
    nj_sampler_free(sampler);
    return rc;
}

/* Where the source is, before the module is opened: the counting pass comes first, in a process of its own. */
static const char *find_source(passes *s, nj_error *err)
{
    if (ends_with(s->c->module, ".c")) {
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
}

static int run_passes(passes *s, nj_error *err)
{
    const command *c = s->c;
    nj_profile *p = s->p;
    s->options = (nj_replay_options){ .settings = (nj_settings *)&c->cli.settings,
                                      .limit = c->limit,
                                      .module_path = c->cli.module_path,
                                      .n_module_paths = c->cli.options.n_module_paths };
    if (ends_with(c->module, ".c")) {
        if (nj_build(c->module, NJ_BUILD_PRODUCTION, s->folder, s->object, err)) return -1;
        s->options.module_file = s->object;
    } else if (ends_with(c->module, ".so")) {
        s->options.module_file = c->module;
    } else {
        s->options.instance = c->module;
    }
    err->text[0] = 0;
    const char *source = find_source(s, err);
    if (!source && err->text[0]) return -1;
    count_pass(s, source);
    if (nj_replay_open(&s->replay, &s->options, s->alerts, err)) return -1;
    const nj_instance *in = nj_replay_target(&s->replay);
    nj_symbols *symbols = nj_symbols_new(err);
    if (!symbols) return -1;
    const char *producer = NULL, *own = nj_symbols_source(symbols, (uint64_t)(uintptr_t)in->module->process, &producer);
    if (!own) p->no_lines = "the module was built without -g";
    p->source = source;
    p->built = short_producer(&p->arena, producer);
    p->clock = c->cpu ? "CPU" : "wall";
    p->instance = nj_arena_text(&p->arena, in->name, strlen(in->name));
    p->version = nj_arena_text(&p->arena, in->module->version, strlen(in->module->version));
    p->count = s->replay.first;
    p->alerts = s->replay.n_alerts;
    p->dead = s->replay.n_dead;
    p->cut = s->alerts->cut;
    memcpy(p->digest, s->alerts->digest, sizeof p->digest);
    int rc = sample_and_collect(s, symbols, err);
    nj_symbols_free(symbols);
    if (rc == 0 && s->has_hits &&
        (s->hits.offered != p->count.offered || s->hits.hits != p->count.hits || s->hits.flagged != p->count.flagged))
        nj_log(NJ_LOG_WARN,
               "the instrumented build answered %llu alerts and flagged %llu, the production build %llu and %llu: the hits are "
               "of other work",
               (unsigned long long)s->hits.hits, (unsigned long long)s->hits.flagged, (unsigned long long)p->count.hits,
               (unsigned long long)p->count.flagged);
    return rc;
}

static int write_file(const char *path, nj_profile *p, void (*write)(nj_profile *, nj_buffer *))
{
    nj_buffer b = { 0 };
    write(p, &b);
    FILE *f = fopen(path, "w");
    int bad = !f || b.failed || fwrite(b.data, 1, b.n, f) != b.n;
    if (f && fclose(f)) bad = 1;
    nj_buffer_free(&b);
    if (bad) nj_log(NJ_LOG_ERROR, "%s: cannot be written", path);
    return bad;
}

enum { MAX_BYTES = 512 << 20 };

static int profile(int argc, char **argv)
{
    command c = { 0 };
    nj_error err = { "" };
    nj_profile p = { 0 };
    passes s = { .c = &c, .p = &p, .alerts = calloc(1, sizeof *s.alerts) };
    int rc = NJ_EXIT_OK, bad = 0;
    if (!s.alerts || parse(&c, argc, argv, &err)) {
        rc = NJ_EXIT_USAGE;
    } else if (nj_alerts_read(s.alerts, &c.cli.settings, c.cli.source, c.cli.options.n_sources, MAX_BYTES, &err)) {
        rc = NJ_EXIT_SOURCE;
    } else if (nj_build_folder(s.folder, &err) || run_passes(&s, &err)) {
        rc = NJ_EXIT_USAGE;
    } else {
        nj_profile_table(&p, &c.show, stdout);
        if (c.json) bad |= write_file(c.json, &p, nj_profile_json);
        if (c.html) bad |= write_file(c.html, &p, nj_profile_html);
        if (c.svg) bad |= write_file(c.svg, &p, nj_profile_flame);
        if (bad) rc = NJ_EXIT_LEDGER;
    }
    if (rc && err.text[0]) fprintf(stderr, "nightjar profile: %s\n", err.text);
    nj_hits_free(&s.hits);
    nj_replay_close(&s.replay);
    nj_alerts_free(s.alerts);
    nj_profile_free(&p);
    nj_cli_free(&c.cli);
    if (s.folder[0]) nj_build_remove(s.folder);
    return rc;
}

NJ_COMMAND(profile) = { "profile", "profile MODULE SOURCE... [options]",
                        "what one module costs: hits and time per line, from the unmodified source", help, profile };
