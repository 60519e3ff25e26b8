/* pipeline.c - the whole chain from files to the sink with the default modules, as `nightjar run` does it:
 * alerts/s/core. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/log.h"
#include "../measure/stats.h"
#include "packets.h"

enum { MAX_ROUNDS = 201, LEAST_ROUNDS = 9, CASES = 3 };

typedef struct run_case {
    const char *name;
    const char *sink;
    bool all_cores;
    double cpu[MAX_ROUNDS], wall[MAX_ROUNDS];
} run_case;

static int once(nj_bench_run *run, const char *source, run_case *w, uint32_t round, uint64_t *emitted)
{
    nj_report report;
    nj_bench_host host = { .source = source,
                           .sink = w->sink,
                           .threads = w->all_cores ? omp_get_num_procs() : 1 };
    int rc = nj_bench_host_run(run, &host, &report);
    if (rc == 0) {
        nj_per_alert cost = nj_report_run_cost(&report);
        w->cpu[round] = 1e3 * cost.cpu_us;
        w->wall[round] = 1e3 * cost.wall_us;
        *emitted = nj_ledger_closed(&report.ledger) && report.ledger.emitted == report.ledger.consumed
                       ? report.ledger.emitted
                       : 0;
    }
    nj_report_free(&report);
    return rc;
}

static void show(nj_bench_run *run, run_case *w, uint32_t rounds, uint64_t n, int threads)
{
    char what[96];
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        double speed = 1e9 / w->cpu[i];
        sum += speed;
        square += speed * speed;
    }
    double mean = sum / rounds, sd = sqrt(fmax(square / rounds - mean * mean, 0) * rounds / (rounds - 1));
    double wall = nj_quantile(w->wall, rounds, 0.5), cpu = nj_quantile(w->cpu, rounds, 0.5);
    printf("%-22s %7d %12.0f %17.0f %9.0f %7.0f %12.1f\n", w->name, threads, 1e9 / wall, 1e9 / cpu, mean, sd,
           cpu / 1e3);
    nj_bench_samples(run, w->name, threads, (double)n, rounds, w->cpu, w->wall);
    snprintf(what, sizeof what, "%s, alerts/s/core", w->name);
    nj_bench_keep(run, what, 1e9 / cpu, "1/s");
}

static int run_pipeline(nj_bench_run *run)
{
    nj_bench_packets packets; /* for its digest, and to have the files in the page cache */
    int found = nj_bench_packets_load(run, &packets, 0);
    if (found) return found < 0 ? -1 : 0;
    nj_bench_digest(run, "%zu packets, fnv1a:%016llx", packets.n_real, (unsigned long long)packets.digest);
    char source[sizeof packets.folder];
    snprintf(source, sizeof source, "%s", packets.folder);
    nj_bench_packets_free(&packets);

    run_case *w = calloc(CASES, sizeof *w);
    if (!w) nj_give_up("bench: out of memory");
    w[0] = (run_case){ .name = "null, 1 thread", .sink = "null:" };
    w[1] = (run_case){ .name = "ndjson, 1 thread", .sink = "ndjson:/dev/null" };
    w[2] = (run_case){ .name = "null, all cores", .sink = "null:", .all_cores = true };
    uint64_t n = 0, again = 0;
    bool same = true;
    int rc = once(run, source, &w[0], 0, &n); /* warm-up */
    uint32_t rounds =
        rc ? 0 : nj_bench_rounds(run, LEAST_ROUNDS, CASES, w[0].wall[0] * (double)n / 1e9 * CASES);
    for (uint32_t round = 0; round < rounds && rc == 0; round++)
        for (int k = 0; k < CASES && rc == 0; k++) {
            rc = once(run, source, &w[k], round, &again);
            same &= n && again == n;
        }
    if (rc == 0 && nj_bench_verify(run, same, "%llu alerts in = out, ledger closed, in each of %u runs",
                                   (unsigned long long)n, rounds * CASES)) {
        printf("%-22s %7s %12s %17s %9s %7s %12s\n", "files to sink", "threads", "alerts/s",
               "alerts/s per core", "mean", "sd", "CPU us/alert");
        for (int k = 0; k < CASES; k++) show(run, &w[k], rounds, n, w[k].all_cores ? omp_get_num_procs() : 1);
    }
    free(w);
    return rc;
}

extern const nj_bench nj_bench_pipeline;
const nj_bench nj_bench_pipeline = {
    "pipeline", "files to sink with the default modules, as `nightjar run` does it: alerts/s/core",
    run_pipeline
};
