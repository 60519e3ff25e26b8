/* scaling_catalog.c - a cross-match is fast on a small catalogue; this measures it on thinner copies of its
 * own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/clock.h"
#include "../catalog/thin.h"
#include "../measure/stats.h"
#include "scaling_pass.h"

enum { COPIES = 5, SAMPLES = 9, ALERTS = 64, LEAST_ROWS = 4 };
static const uint64_t part[COPIES] = { 256, 64, 16, 4, 1 }, most_rows = 20000000;
static const int64_t sample_ns = 2000000;

/* CPU time of an alert: the least of three, as often as there are samples. */
static int time_alerts(nj_replay *r, double *ns)
{
    int64_t times = 1, begin = nj_thread_cpu_ns();
    if (nj_replay_times(r, 1)) return -1;
    times += sample_ns / (nj_thread_cpu_ns() - begin + 1);
    for (int k = 0; k < SAMPLES; k++) {
        ns[k] = INFINITY;
        for (int again = 0; again < 3; again++) {
            begin = nj_thread_cpu_ns();
            if (nj_replay_times(r, times)) return -1;
            ns[k] = fmin(ns[k], (double)(nj_thread_cpu_ns() - begin) / (double)times / (double)r->n_alerts);
        }
    }
    return 0;
}

static int with_catalog(const char *path, const char *section, const nj_replay_options *options,
                        const nj_alerts *alerts, double *ns, nj_error *err)
{
    nj_replay r = { 0 };
    nj_replay_options o = *options;
    o.threads = 1;
    o.limit = options->limit && options->limit < ALERTS ? options->limit : ALERTS;
    int rc = nj_settings_set(o.settings, section, "catalog", path, "--scaling");
    if (rc) rc = nj_fail(err, "out of memory");
    if (rc == 0) rc = nj_replay_open(&r, &o, alerts, err);
    if (rc == 0 && time_alerts(&r, ns)) rc = nj_fail(err, "out of memory");
    nj_replay_close(&r);
    return rc;
}

static int measure(nj_scaled *to, const char *catalog, const char *section, const nj_replay_options *options,
                   const nj_alerts *alerts, const char *folder, nj_error *err)
{
    double x[COPIES * SAMPLES], y[COPIES * SAMPLES];
    uint32_t n = 0;
    for (int k = 0; k < COPIES; k++) {
        char path[700];
        uint64_t rows = 0;
        snprintf(path, sizeof path, "%s/thin-%d.njx", folder, k);
        if (nj_catalog_thin(catalog, path, part[k], &rows, err)) return -1;
        if (rows >= LEAST_ROWS) {
            if (with_catalog(path, section, options, alerts, y + n, err)) return -1;
            to->size[to->n_sizes] = (double)rows;
            to->instructions[to->n_sizes] = NAN;
            to->cost[to->n_sizes++] = nj_quantile(y + n, SAMPLES, 0.5);
            for (int i = 0; i < SAMPLES; i++) x[n++] = (double)rows;
        }
        remove(path);
    }
    to->rounds = SAMPLES;
    to->time = nj_scaling_of(x, y, n);
    if (to->time.kind == NJ_SCALING_UNKNOWN)
        to->none =
            to->n_sizes < 4 ? "the catalogue has too few rows to thin it" : "the times scatter too much";
    return 0;
}

int nj_scaling_catalog(nj_scalings *s, const char *name, const nj_replay_options *options,
                       const nj_alerts *alerts, const char *folder, nj_error *err)
{
    nj_scaled *to = &s->of[NJ_SCALED_CATALOG];
    char section[200], kept[512];
    uint64_t rows = 0;
    snprintf(section, sizeof section, "module.%.180s", name);
    const char *catalog = nj_settings_get(options->settings, section, "catalog");
    if (!catalog) return to->none = "the module has no catalogue", 0;
    snprintf(kept, sizeof kept, "%s", catalog);
    if (nj_catalog_rows(kept, &rows, err)) return -1;
    if (rows > most_rows) return to->none = "the catalogue has more rows than are copied", 0;
    int rc = measure(to, kept, section, options, alerts, folder, err);
    nj_settings_set(options->settings, section, "catalog", kept, "--scaling");
    return rc;
}
