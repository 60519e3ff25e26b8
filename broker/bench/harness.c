/* harness.c - all benchmarks verify, time and compare by the same rules, which are written here once. */
#include "harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/buffer.h"
#include "../base/error.h"
#include "../base/file.h"
#include "../base/json.h"
#include "../base/clock.h"
#include "../base/version.h"
#include "../measure/cpu.h"
#include "../measure/stats.h"

enum { MAX_CASES = 16, MIN_ROUNDS = 9, MAX_ROUNDS = 201, FLOOR_NS = 5000000 };

typedef struct result {
    char name[128];
    double items, bytes;
    uint64_t calls; /* per round */
    uint32_t rounds;
    int threads;
    double *cpu, *wall; /* [rounds] ns per item */
    double min, median, mad;
} result;

typedef struct figure {
    char name[160];
    char unit[16];
    double value, low, high, at_least, at_most; /* NAN = none */
    bool bar, met;
} figure;

struct nj_bench_run {
    nj_bench_options options;
    const char *subject;
    result *result;
    size_t n_results, last; /* last: first result of the last nj_bench_time */
    figure *figure;
    size_t n_figures;
    int missed, wrong, verified;
    double timer_ns;
    char data[256]; /* what was timed, with its digest */
};

static double timer_cost(void)
{
    double best = INFINITY;
    for (int i = 0; i < 200; i++) {
        int64_t a = nj_thread_cpu_ns(), b = nj_thread_cpu_ns();
        if (b - a < best) best = (double)(b - a);
    }
    return best;
}

typedef struct pass {
    double cpu, wall; /* ns */
} pass;

static pass one_round(const nj_bench_run *run, const nj_bench_case *c, uint64_t calls)
{
    int64_t wall = nj_now_ns(), cpu = nj_thread_cpu_ns();
    for (uint64_t i = 0; i < calls; i++) c->work(c->state);
    cpu = nj_thread_cpu_ns() - cpu;
    wall = nj_now_ns() - wall;
    return (pass){ fmax((double)cpu - run->timer_ns, 0), fmax((double)wall - run->timer_ns, 0) };
}

/* A result with room for all rounds. */
static result *add_result(nj_bench_run *run, const char *name, double items, double bytes, uint64_t calls)
{
    result *more = realloc(run->result, (run->n_results + 1) * sizeof *more);
    if (!more) nj_give_up("bench: out of memory");
    run->result = more;
    result *r = &run->result[run->n_results++];
    *r = (result){ .items = items, .bytes = bytes, .calls = calls, .threads = 1 };
    snprintf(r->name, sizeof r->name, "%s/%s", run->subject, name);
    r->cpu = malloc(MAX_ROUNDS * sizeof *r->cpu);
    r->wall = malloc(MAX_ROUNDS * sizeof *r->wall);
    if (!r->cpu || !r->wall) nj_give_up("bench: out of memory");
    return r;
}

static void sum_up(result *r)
{
    r->min = nj_quantile(r->cpu, r->rounds, 0);
    r->median = nj_quantile(r->cpu, r->rounds, 0.5);
    r->mad = nj_mad(r->cpu, r->rounds);
}

void nj_bench_samples(nj_bench_run *run, const char *name, int threads, double items, uint32_t rounds,
                      const double *cpu, const double *wall)
{
    if (rounds > MAX_ROUNDS) nj_give_up("bench: %s: more than %d rounds", name, MAX_ROUNDS);
    result *r = add_result(run, name, items, 0, 1);
    r->threads = threads;
    r->rounds = rounds;
    memcpy(r->cpu, cpu, rounds * sizeof *cpu);
    memcpy(r->wall, wall, rounds * sizeof *wall);
    sum_up(r);
}

bool nj_bench_trial(const nj_bench_run *run)
{
    return run->options.seconds < 0.05;
}

uint32_t nj_bench_rounds(const nj_bench_run *run, uint32_t least, size_t n_cases, double round_s)
{
    double want = run->options.seconds * (double)n_cases / fmax(round_s, 1e-6);
    return want < least ? least : want > MAX_ROUNDS ? MAX_ROUNDS : (uint32_t)want;
}

static void print_result(result *r)
{
    sum_up(r);
    char speed[32] = "-";
    if (r->bytes > 0) snprintf(speed, sizeof speed, "%.0f MB/s", r->bytes / r->items / r->median * 1e3);
    printf("%-44s %12.1f %12.1f %9.1f %7u %12s\n", r->name, r->min, r->median, r->mad, r->rounds, speed);
}

void nj_bench_time(nj_bench_run *run, const nj_bench_case *cases, size_t n)
{
    uint64_t calls[MAX_CASES];
    int64_t budget = 0, start;
    if (n > MAX_CASES) nj_give_up("bench: more than %d cases at once", MAX_CASES);
    for (size_t i = 0; i < n; i++) {
        one_round(run, &cases[i], 1); /* warm-up: page faults, caches, lazy set-up */
        for (calls[i] = 1;
             calls[i] < (uint64_t)1 << 40 && one_round(run, &cases[i], calls[i]).wall < FLOOR_NS;
             calls[i] *= 2) {
        }
    }
    run->last = run->n_results;
    for (size_t i = 0; i < n; i++) add_result(run, cases[i].name, cases[i].items, cases[i].bytes, calls[i]);
    budget = (int64_t)(run->options.seconds * 1e9 * (double)n);
    start = nj_now_ns();
    for (uint32_t round = 0; round < MAX_ROUNDS && (round < MIN_ROUNDS || nj_now_ns() - start < budget);
         round++)
        for (size_t i = 0; i < n; i++) {
            result *r = &run->result[run->last + i];
            if (n > 1)
                cases[i].work(cases[i].state); /* untimed: no case pays for the caches
                                                * that the one before left */
            pass p = one_round(run, &cases[i], calls[i]);
            r->cpu[round] = p.cpu / ((double)calls[i] * r->items);
            r->wall[round] = p.wall / ((double)calls[i] * r->items);
            r->rounds = round + 1;
        }
    printf("%-44s %12s %12s %9s %7s %12s\n", "ns per item, CPU of one thread", "min", "median", "MAD",
           "rounds", "input");
    for (size_t i = 0; i < n; i++) print_result(&run->result[run->last + i]);
    fflush(stdout);
}

static figure *add_figure(nj_bench_run *run, const char *name)
{
    figure *more = realloc(run->figure, (run->n_figures + 1) * sizeof *more);
    if (!more) nj_give_up("bench: out of memory");
    run->figure = more;
    figure *f = &run->figure[run->n_figures++];
    *f = (figure){ .unit = "1", .low = NAN, .high = NAN, .at_least = NAN, .at_most = NAN, .met = true };
    snprintf(f->name, sizeof f->name, "%s/%s", run->subject, name);
    return f;
}

/* Sets the bar and says whether it is met; ends the line. */
static void hold_against(nj_bench_run *run, figure *f, double at_least, double at_most)
{
    f->at_least = at_least;
    f->at_most = at_most;
    f->bar = !isnan(at_least) || !isnan(at_most);
    const char *word = !f->bar || !isnan(f->value) ? NULL : "MISSED: there is no figure";
    f->met = !word && !(f->value < at_least) && !(f->value > at_most); /* NAN is neither below nor above */
    run->missed += !f->met;
    if (!word) word = f->met ? "met" : "MISSED";
    if (!isnan(at_least)) printf("  bar: at least %g, %s", at_least, word);
    if (!isnan(at_most)) printf("  bar: at most %g, %s", at_most, word);
    printf("\n");
}

double nj_bench_ratio(nj_bench_run *run, const char *what, size_t slow, size_t fast, double at_least,
                      double at_most)
{
    const result *a = &run->result[run->last + slow], *b = &run->result[run->last + fast];
    double ratio[MAX_ROUNDS];
    for (uint32_t i = 0; i < a->rounds; i++) ratio[i] = a->cpu[i] / b->cpu[i];
    figure *f = add_figure(run, what);
    f->value = nj_quantile(ratio, a->rounds, 0.5);
    f->low = nj_quantile(ratio, a->rounds, 0.25);
    f->high = nj_quantile(ratio, a->rounds, 0.75);
    printf("%-44s %.3f [%.3f, %.3f]", f->name, f->value, f->low, f->high);
    hold_against(run, f, at_least, at_most);
    return f->value;
}

double nj_bench_median(const nj_bench_run *run, size_t which)
{
    return run->result[run->last + which].median;
}

void nj_bench_bar(nj_bench_run *run, const char *what, double value, const char *unit, double at_least,
                  double at_most)
{
    figure *f = add_figure(run, what);
    f->value = value;
    snprintf(f->unit, sizeof f->unit, "%s", unit);
    printf("%-44s %.6g %s", f->name, value, unit);
    hold_against(run, f, at_least, at_most);
}

void nj_bench_keep(nj_bench_run *run, const char *name, double value, const char *unit)
{
    figure *f = add_figure(run, name);
    f->value = value;
    snprintf(f->unit, sizeof f->unit, "%s", unit);
}

void nj_bench_figure(nj_bench_run *run, const char *name, double value, const char *unit)
{
    nj_bench_keep(run, name, value, unit);
    printf("%-44s %.6g %s\n", run->figure[run->n_figures - 1].name, value, unit);
}

bool nj_bench_verify(nj_bench_run *run, bool ok, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    printf("%s: ", ok ? "verified" : "WRONG");
    vprintf(format, ap);
    printf("\n");
    va_end(ap);
    run->wrong += !ok;
    run->verified++;
    return ok;
}

void nj_bench_note(nj_bench_run *run, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    printf("%s: ", run->subject);
    vprintf(format, ap);
    printf("\n");
    va_end(ap);
}

void nj_bench_digest(nj_bench_run *run, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(run->data, sizeof run->data, format, ap);
    va_end(ap);
}

const char *nj_bench_data(const nj_bench_run *run)
{
    return run->options.data;
}
const char *nj_bench_survey(const nj_bench_run *run)
{
    return run->options.survey ? run->options.survey : "ztf";
}
const nj_bench_options *nj_bench_asked(const nj_bench_run *run)
{
    return &run->options;
}
int nj_bench_missed(const nj_bench_run *run)
{
    return run->missed;
}

nj_bench_run *nj_bench_run_new(const nj_bench_options *options)
{
    nj_bench_run *run = calloc(1, sizeof *run);
    if (!run) return NULL;
    run->options = *options;
    run->timer_ns = timer_cost();
    return run;
}

void nj_bench_run_free(nj_bench_run *run)
{
    if (!run) return;
    for (size_t i = 0; i < run->n_results; i++) {
        free(run->result[i].cpu);
        free(run->result[i].wall);
    }
    free(run->result);
    free(run->figure);
    free(run);
}

int nj_bench_subject(nj_bench_run *run, const nj_bench *bench)
{
    run->subject = bench->name;
    run->wrong = run->verified = 0;
    printf("\n== %s: %s\n", bench->name, bench->doc);
    size_t before = run->n_results + run->n_figures;
    int rc = bench->run(run);
    if (!rc && !run->wrong && run->n_results + run->n_figures == before && !run->verified) {
        fprintf(stderr, "nightjar bench: %s: nothing was timed and nothing verified\n", bench->name);
        return 1;
    }
    return rc || run->wrong ? -1 : 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void context(nj_json *j, const nj_bench_run *run)
{
    char date[40], cpu[128];
    struct utsname u;
    time_t now = time(NULL);
    struct tm tm;
    double load[3] = { NAN, NAN, NAN };
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S+00:00", gmtime_r(&now, &tm));
    nj_cpu_model(cpu, sizeof cpu, NULL);
    uname(&u);
    if (getloadavg(load, 3) < 0) load[0] = NAN;
    nj_json_open(j, "context", '{');
    nj_json_put(j,
                "date=%s version=%s git=%s compiler=%s flags=%s cpu=%s kernel=%s timer_ns=%g num_cpus=%ld "
                "load_1_min=%g",
                date, nj_version, nj_revision, nj_compiler, nj_flags, cpu, u.release, run->timer_ns,
                sysconf(_SC_NPROCESSORS_ONLN), load[0]);
    if (run->data[0]) nj_json_put(j, "data=%s", run->data);
}

static int write_file(nj_buffer *b, const char *path)
{
    nj_error err = { "" };
    int rc = b->failed ? nj_fail(&err, "out of memory") : 0;
    if (!rc && nj_file_write(path, b->data, b->n)) rc = nj_fail(&err, "%s: cannot be written (%m)", path);
    if (rc) fprintf(stderr, "nightjar: %s\n", err.text);
    nj_buffer_free(b);
    return rc;
}

static void samples(nj_json *j, const char *name, const double *ns, uint32_t n)
{
    nj_json_open(j, name, '[');
    for (uint32_t k = 0; k < n; k++) nj_json_short(j, ns[k], 6);
    nj_json_close(j);
}

static void result_json(nj_json *j, const result *r)
{
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s unit=%s rounds=%u threads=%d items=%g calls=%llu min=%g median=%g mad=%g",
                r->name, "ns", r->rounds, r->threads, r->items, (unsigned long long)r->calls, r->min,
                r->median, r->mad);
    if (r->bytes > 0) nj_json_put(j, "bytes_per_s=%g", r->bytes / r->items / r->median * 1e9);
    samples(j, "samples", r->cpu, r->rounds);
    samples(j, "wall_samples", r->wall, r->rounds);
    nj_json_close(j);
}

static void figure_json(nj_json *j, const figure *f)
{
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s unit=%s value=%g low=%g high=%g at_least=%g at_most=%g", f->name, f->unit,
                f->value, f->low, f->high, f->at_least, f->at_most);
    if (f->bar)
        nj_json_put(j, "met=%hhd", f->met);
    else
        nj_json_raw(j, "met", "null", 4);
    nj_json_close(j);
}

int nj_bench_write(const nj_bench_run *run, const char *path)
{
    nj_buffer b = { 0 };
    nj_json writer = nj_json_begin(&b, '{'), *j = &writer;
    nj_json_put(j, "schema_version=%d", 1);
    context(j, run);
    nj_json_close(j);
    nj_json_open(j, "benchmarks", '[');
    for (size_t i = 0; i < run->n_results; i++) result_json(j, &run->result[i]);
    nj_json_close(j);
    nj_json_open(j, "figures", '[');
    for (size_t i = 0; i < run->n_figures; i++) figure_json(j, &run->figure[i]);
    nj_json_end(j);
    return write_file(&b, path);
}

int nj_bench_write_google(const nj_bench_run *run, const char *path)
{
    nj_buffer b = { 0 };
    nj_json writer = nj_json_begin(&b, '{'), *j = &writer;
    context(j, run);
    nj_json_put(j, "executable=%s cpu_scaling_enabled=%hhd", "nightjar", false);
    nj_json_raw(j, "caches", "[]", 2);
    nj_json_raw(j, "load_avg", "[]", 2);
    nj_json_put(j, "mhz_per_cpu=%d library_build_type=%s", 0, "release");
    nj_json_close(j);
    nj_json_open(j, "benchmarks", '[');
    for (size_t i = 0; i < run->n_results; i++) {
        const result *r = &run->result[i];
        for (uint32_t k = 0; k < r->rounds; k++) {
            nj_json_open(j, NULL, '{');
            nj_json_put(j, "name=%s run_name=%s family_index=%zu per_family_instance_index=%d run_type=%s",
                        r->name, r->name, i, 0, "iteration");
            nj_json_put(
                j, "repetitions=%u repetition_index=%u threads=%d iterations=%lld real_time=%g cpu_time=%g",
                r->rounds, k, r->threads, llround((double)r->calls * r->items), r->wall[k], r->cpu[k]);
            nj_json_put(j, "time_unit=%s", "ns");
            nj_json_close(j);
        }
    }
    nj_json_end(j);
    return write_file(&b, path);
}
