/* python.c - samples of this process's stack say nothing of a function that runs in another one, so that one
 * traces itself, and this file says what the tracing costs. */
#include "python.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/scratch.h"
#include "../graph/answers.h"

enum { PASS_NS = 2000000000, MOST_REPEATS = 10000 };

typedef struct pass {
    double wall_us, cpu_us; /* per alert */
    double call_us;
    uint64_t alerts, answered;
    int64_t repeat;
} pass;

static int one_pass(const nj_replay_options *o, const nj_alerts *alerts, int64_t repeat, pass *p,
                    nj_error *err)
{
    nj_replay r = { 0 };
    int rc = nj_replay_open(&r, o, alerts, err);
    if (rc == 0) {
        const nj_counter *c = &r.worker[0].own.worker->module[r.target];
        const double first_ns = (double)r.first.wall_ns;
        nj_answers_report(&r.engine.instances, r.worker[0].own.worker->answers);
        if (!repeat) repeat = first_ns > 0 ? 1 + (int64_t)(PASS_NS / first_ns) : 1;
        if (repeat > MOST_REPEATS) repeat = MOST_REPEATS;
        rc = nj_replay_times(&r, repeat) ? nj_fail(err, "out of memory") : 0;
        const double rows = (double)(c->offered - r.first.offered),
                     calls = (double)(c->calls - r.first.calls);
        const double wall = (double)(c->wall_ns - r.first.wall_ns);
        const double cpu = (double)(c->elsewhere_ns - r.first.elsewhere_ns);
        *p = (pass){
            wall / 1e3 / rows, cpu / 1e3 / rows, wall / 1e3 / calls, r.n_alerts, r.first.hits, repeat
        };
    }
    nj_replay_close(&r); /* the worker writes its table when it ends */
    return rc;
}

static void copy(const char *path, FILE *out)
{
    char part[4096];
    FILE *f = fopen(path, "r");
    for (size_t n; f && (n = fread(part, 1, sizeof part, f)) > 0;) fwrite(part, 1, n, out);
    if (f) fclose(f);
}

int nj_python_profile(const nj_replay_options *o, const nj_alerts *alerts, int64_t repeat, bool lines,
                      FILE *out, nj_error *err)
{
    char folder[256], path[272], section[96];
    pass plain, traced;
    const char *name = o->instance ? o->instance : nj_engine_python(o->settings, o->module_file, err);
    if (!name || one_pass(o, alerts, repeat, &plain, err)) return -1;
    fprintf(out,
            "%s: %llu alerts, %llu answered, replayed %lld times\n"
            "  %.3f wall us/alert, %.1f wall us per call, %.3f CPU us/alert in the worker\n",
            name, (unsigned long long)plain.alerts, (unsigned long long)plain.answered,
            (long long)plain.repeat, plain.wall_us, plain.call_us, plain.cpu_us);
    if (!lines) return 0;
    if (nj_scratch_make(folder, sizeof folder, NULL, "lines", err)) return -1;
    snprintf(path, sizeof path, "%s/lines", folder);
    snprintf(section, sizeof section, "module.%s", name);
    int rc =
        nj_settings_set(o->settings, section, "profile", path, "profile") ? nj_fail(err, "out of memory") : 0;
    if (rc == 0) rc = one_pass(o, alerts, plain.repeat, &traced, err);
    if (rc == 0) {
        fprintf(out, "  traced: %.3f CPU us/alert, %.1f times as much; times below have that in them\n\n",
                traced.cpu_us, traced.cpu_us / plain.cpu_us);
        copy(path, out);
    }
    nj_scratch_remove(folder);
    return rc;
}
