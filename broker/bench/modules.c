/* modules.c - what each module costs on real packets: alerts offered and alerts answered per second of one
 * core, cold start, and the share of alerts it answers. From the host's own clocks, over runs of one compute
 * thread with packets in memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../measure/stats.h"
#include "packets.h"

enum { MAX_ROUNDS = 201, LEAST_ROUNDS = 9, MAX_STAGES = 260 };

typedef struct row {
    char name[64];
    bool is_module;
    uint64_t offered, hits;
    double cold_ns;                           /* smallest of the runs */
    double cpu[MAX_ROUNDS], wall[MAX_ROUNDS]; /* ns per alert offered */
} row;

typedef struct bench {
    nj_bench_packets packets;
    row *row;
    uint32_t n_rows;
    bool same;
} bench;

static void take(bench *b, const nj_report *report, uint32_t round)
{
    if (!b->n_rows) b->n_rows = report->n_stages < MAX_STAGES ? report->n_stages : MAX_STAGES;
    b->same &= report->n_stages == b->n_rows && report->ledger.emitted == b->packets.n;
    for (uint32_t i = 0; i < b->n_rows && i < report->n_stages; i++) {
        const nj_stage *s = &report->stage[i];
        row *r = &b->row[i];
        nj_per_alert cost = nj_counter_cost(&s->count);
        if (round == 0) {
            snprintf(r->name, sizeof r->name, "%s", s->name);
            r->is_module = s->is_module;
            r->offered = s->count.offered;
            r->hits = s->count.hits;
            r->cold_ns = INFINITY;
        }
        b->same &= r->offered == s->count.offered && r->hits == s->count.hits && !strcmp(r->name, s->name);
        r->cold_ns = fmin(r->cold_ns, (double)s->cold_start_ns);
        r->cpu[round] = isfinite(cost.cpu_us) ? 1e3 * cost.cpu_us : 0;
        r->wall[round] = isfinite(cost.wall_us) ? 1e3 * cost.wall_us : 0;
    }
}

static void show(nj_bench_run *run, const row *r, uint32_t rounds)
{
    double cpu = nj_quantile(r->cpu, rounds, 0.5), low = nj_quantile(r->cpu, rounds, 0.25),
           high = nj_quantile(r->cpu, rounds, 0.75);
    double hit_rate = r->offered ? (double)r->hits / (double)r->offered : 0,
           onsky = cpu > 0 ? 1e9 / cpu : NAN;
    char what[96], cold[32] = "-";
    if (r->is_module) snprintf(cold, sizeof cold, "%.3f", r->cold_ns / 1e6);
    printf("%-24s %12.3f %9.3f %9.3f %17.0f %15.0f %8.1f%% %9s\n", r->name, cpu / 1e3, low / 1e3, high / 1e3,
           onsky, onsky * hit_rate, 100 * hit_rate, cold);
    nj_bench_samples(run, r->name, 1, (double)r->offered, rounds, r->cpu, r->wall);
    if (!r->is_module) return;
    const struct {
        const char *name;
        double value;
        const char *unit;
    } figure[] = { { "on-sky alerts/s/core", onsky, "1/s" },
                   { "effective alerts/s/core", onsky * hit_rate, "1/s" },
                   { "hit rate", hit_rate, "1" },
                   { "cold start", r->cold_ns, "ns" } };
    for (size_t i = 0; i < sizeof figure / sizeof *figure; i++) {
        snprintf(what, sizeof what, "%s, %s", r->name, figure[i].name);
        nj_bench_keep(run, what, figure[i].value, figure[i].unit);
    }
}

static int run_modules(nj_bench_run *run)
{
    bench b = { .same = true };
    int found = nj_bench_packets_load(run, &b.packets, 0), rc;
    if (found) return found < 0 ? -1 : 0;
    nj_bench_digest(run, "%zu packets, fnv1a:%016llx", b.packets.n_real,
                    (unsigned long long)b.packets.digest);
    b.row = calloc(MAX_STAGES, sizeof *b.row);
    if (!b.row) nj_give_up("bench: out of memory");
    nj_report report;
    /* beside the default ones those that run on request and need neither a model nor a catalogue */
    nj_bench_host host = { .packets = &b.packets,
                           .threads = 1,
                           .select = "+flux_features,+properties,+rise_decline,+period,+rainbow,+early_tde" };
    rc = nj_bench_host_run(run, &host, &report); /* warm-up */
    uint32_t rounds = rc ? 0 : nj_bench_rounds(run, LEAST_ROUNDS, 1, report.wall_s);
    nj_report_free(&report);
    for (uint32_t round = 0; round < rounds && rc == 0; round++) {
        rc = nj_bench_host_run(run, &host, &report);
        if (rc == 0) take(&b, &report, round);
        nj_report_free(&report);
    }
    if (rc == 0 && nj_bench_verify(run, b.same, "the same counts in each of %u runs of %zu alerts", rounds,
                                   b.packets.n)) {
        printf("%-24s %12s %9s %9s %17s %15s %9s %9s\n", "module", "CPU us/alert", "25 %", "75 %",
               "alerts/s per core", "hits/s per core", "hit rate", "cold ms");
        for (uint32_t i = 0; i < b.n_rows; i++)
            if (b.row[i].offered) show(run, &b.row[i], rounds);
    }
    free(b.row);
    nj_bench_packets_free(&b.packets);
    return rc;
}

extern const nj_bench nj_bench_modules;
const nj_bench nj_bench_modules = {
    "modules", "each module on real packets: on-sky and effective alerts/s/core, hit rate, cold start",
    run_modules
};
