/* counters.c - the machine's counters per alert: the module replayed under perf events, without samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "profile.h"

static const int64_t pass_ns = 1000000000;
enum { LEAST = 1, MOST = 1000000 };

typedef struct counting {
    nj_replay *r;
    nj_perf *perf; /* [n_workers] */
} counting;

static int open_one(void *opaque, uint32_t k)
{
    nj_perf_open(&((counting *)opaque)->perf[k]);
    return 0;
}

static int start_one(void *opaque, uint32_t k)
{
    nj_perf_start(&((counting *)opaque)->perf[k]);
    return 0;
}

static int stop_one(void *opaque, uint32_t k)
{
    nj_perf_stop(&((counting *)opaque)->perf[k]);
    return 0;
}

/* Sums over the threads; an event that one of them could not count is not known. */
static void sum_up(nj_profile *p, const counting *c, double alerts)
{
    for (int e = 0; e < NJ_PERF_EVENTS; e++) p->counter[e] = (nj_profile_counter){ .share = 1 };
    for (uint32_t k = 0; k < c->r->n_workers; k++) {
        nj_perf_count count[NJ_PERF_EVENTS];
        nj_perf_read(&c->perf[k], count);
        for (int e = 0; e < NJ_PERF_EVENTS; e++) {
            char why[256];
            p->counter[e].per_alert += count[e].value / alerts;
            p->counter[e].share = fmin(p->counter[e].share, count[e].share);
            if (!isnan(count[e].value) || p->counter[e].why) continue;
            nj_perf_why((nj_perf_event)e, count[e].error, why, sizeof why);
            p->counter[e].why = nj_arena_text(&p->arena, why, strlen(why));
        }
    }
    p->has_counters = true;
}

int nj_counters_count(nj_profile *p, nj_replay *r, nj_error *err)
{
    counting c = { r, calloc(r->n_workers, sizeof *c.perf) };
    if (!c.perf) return nj_fail(err, "out of memory");
    nj_replay_each(r, open_one, &c);
    int64_t begin = nj_now_ns(), times = 1;
    int rc = nj_replay_times(r, 1); /* warm; and how long it takes */
    times = pass_ns / (nj_now_ns() - begin + 1);
    times = times < LEAST ? LEAST : times > MOST ? MOST : times;
    nj_replay_each(r, start_one, &c);
    if (rc == 0) rc = nj_replay_times(r, times);
    nj_replay_each(r, stop_one, &c);
    sum_up(p, &c, (double)times * (double)p->count.offered);
    for (uint32_t k = 0; k < r->n_workers; k++) nj_perf_close(&c.perf[k]);
    free(c.perf);
    return rc ? nj_fail(err, "out of memory") : 0;
}

/* What the counters say together. */
typedef struct ratio {
    const char *name, *key;
    nj_perf_event of, per;
    double times;
} ratio;

static const ratio ratios[] = {
    { "instructions per cycle", "ipc", NJ_PERF_INSTRUCTIONS, NJ_PERF_CYCLES, 1 },
    { "cache misses per 1000 instructions", "cache_misses_per_1000_instructions", NJ_PERF_CACHE_MISSES,
      NJ_PERF_INSTRUCTIONS, 1000 },
    { "branch misses per 1000 instructions", "branch_misses_per_1000_instructions", NJ_PERF_BRANCH_MISSES,
      NJ_PERF_INSTRUCTIONS, 1000 },
    { "cycles per ns of CPU time (GHz)", "ghz", NJ_PERF_CYCLES, NJ_PERF_TASK_CLOCK, 1 },
};
enum { RATIOS = sizeof ratios / sizeof *ratios };

static double value_of(const nj_profile *p, const ratio *r)
{
    return r->times * p->counter[r->of].per_alert / p->counter[r->per].per_alert;
}

static const char *unit_of(int event)
{
    return event == NJ_PERF_TASK_CLOCK ? " ns" : "";
}

static const char what[] = "user space, the host's dispatch around process() included";

void nj_counters_table(const nj_profile *p, FILE *to)
{
    fprintf(to, "\nCounters per alert (%s):\n", what);
    for (int e = 0; e < NJ_PERF_EVENTS; e++) {
        const nj_profile_counter *c = &p->counter[e];
        if (c->why) {
            fprintf(to, "%18s  none: %s\n", nj_perf_name[e], c->why);
            continue;
        }
        fprintf(to, "%18s  %.4g%s", nj_perf_name[e], c->per_alert, unit_of(e));
        if (c->share < 0.99) fprintf(to, "  (counted %.0f %% of the time, scaled)", 100 * c->share);
        fputc('\n', to);
    }
    for (int i = 0; i < RATIOS; i++)
        if (isfinite(value_of(p, &ratios[i])))
            fprintf(to, "%18.3g  %s\n", value_of(p, &ratios[i]), ratios[i].name);
}

void nj_counters_json(const nj_profile *p, nj_json *j)
{
    nj_json_open(j, "counters", '{');
    nj_json_put(j, "what=%s", what);
    for (int e = 0; e < NJ_PERF_EVENTS; e++) {
        const nj_profile_counter *c = &p->counter[e];
        nj_json_open(j, nj_perf_name[e], '{');
        nj_json_put(j, "per_alert=%g counted_share=%g why_not=%s", c->per_alert, c->why ? 0 : c->share,
                    c->why);
        nj_json_close(j);
    }
    for (int i = 0; i < RATIOS; i++) nj_json_number(j, ratios[i].key, value_of(p, &ratios[i]));
    nj_json_close(j);
}

void nj_counters_put(nj_template_values *v, json_t *list, const nj_profile *p)
{
    if (!p->has_counters) return;
    json_t *to = nj_template_put(v, list, "what=%s", what);
    json_t *events = nj_template_list(v, to, "events"), *parts = nj_template_list(v, to, "ratios");
    for (int e = 0; e < NJ_PERF_EVENTS; e++) {
        const nj_profile_counter *c = &p->counter[e];
        nj_template_put(v, events, "name=%s why=%s per_alert=%g unit=%s scaled=%d percent=%g",
                        nj_perf_name[e], c->why, c->per_alert, unit_of(e), c->share < 0.99, 100 * c->share);
    }
    for (int i = 0; i < RATIOS; i++)
        if (isfinite(value_of(p, &ratios[i])))
            nj_template_put(v, parts, "name=%s value=%g", ratios[i].name, value_of(p, &ratios[i]));
}
