/* counters.c - what the always-on counters cost: whole runs with and without them, in turn, A B B A A
 * B B A. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../measure/stats.h"
#include "packets.h"

enum { MAX_ROUNDS = 201, LEAST_ROUNDS = 9, OFF = 0, ON = 1, TARGET_BYTES = 80000000 };
static const double AT_MOST = 1.01; /* the promise */

typedef struct bench {
    nj_bench_packets packets;
    double cpu[2][MAX_ROUNDS], wall[2][MAX_ROUNDS]; /* ns per alert */
    bool same;                                      /* every alert emitted; clocks ran only when
                                                     * they were to */
} bench;

static int once(nj_bench_run *run, bench *b, int on, uint32_t round)
{
    nj_report report;
    nj_bench_host host = { .packets = &b->packets,
                           .threads = 1,
                           .define = on ? "run.counters=1" : "run.counters=0" };
    int rc = nj_bench_host_run(run, &host, &report);
    if (rc == 0) {
        int64_t clocked = 0;
        for (uint32_t i = 0; i < report.n_stages; i++) clocked += report.stage[i].count.wall_ns;
        b->same &=
            report.ledger.emitted == b->packets.n && nj_ledger_closed(&report.ledger) && (clocked > 0) == on;
        b->cpu[on][round] = 1e3 * nj_report_run_cost(&report).cpu_us;
        b->wall[on][round] = 1e3 * nj_report_run_cost(&report).wall_us;
    }
    nj_report_free(&report);
    return rc;
}

/* Median of the paired ratios, its middle half and its standard error: of a normal sample, 1.2533 sd /
 * sqrt(n), sd from the quartiles. */
static void judge(nj_bench_run *run, const bench *b, uint32_t rounds)
{
    double ratio[MAX_ROUNDS], off = nj_quantile(b->cpu[OFF], rounds, 0.5),
                              on = nj_quantile(b->cpu[ON], rounds, 0.5);
    for (uint32_t i = 0; i < rounds; i++) ratio[i] = b->cpu[ON][i] / b->cpu[OFF][i];
    double q1 = nj_quantile(ratio, rounds, 0.25), middle = nj_quantile(ratio, rounds, 0.5),
           q3 = nj_quantile(ratio, rounds, 0.75), error = 1.2533 * (q3 - q1) / 1.349 / sqrt(rounds);
    printf("%-24s %12s\n%-24s %12.2f\n%-24s %12.2f\n", "counters", "CPU us/alert", "off", off / 1e3, "on",
           on / 1e3);
    nj_bench_samples(run, "off", 1, (double)b->packets.n, rounds, b->cpu[OFF], b->wall[OFF]);
    nj_bench_samples(run, "on", 1, (double)b->packets.n, rounds, b->cpu[ON], b->wall[ON]);
    nj_bench_keep(run, "on / off, first quartile", q1, "1");
    nj_bench_keep(run, "on / off, third quartile", q3, "1");
    nj_bench_figure(run, "on / off, standard error", error, "1");
    /* fastest against fastest: other work on the machine only ever adds */
    nj_bench_figure(run, "on / off, smallest of each",
                    nj_quantile(b->cpu[ON], rounds, 0) / nj_quantile(b->cpu[OFF], rounds, 0), "1");
    nj_bench_bar(run, "on / off", middle, "of CPU", NAN, AT_MOST);
}

static int run_counters(nj_bench_run *run)
{
    bench *b = calloc(1, sizeof *b);
    if (!b) nj_give_up("bench: out of memory");
    int found = nj_bench_packets_load(run, &b->packets, TARGET_BYTES), rc = 0;
    if (found) return free(b), found < 0 ? -1 : 0;
    nj_bench_digest(run, "%zu packets, fnv1a:%016llx", b->packets.n_real,
                    (unsigned long long)b->packets.digest);
    b->same = true;
    rc = once(run, b, ON, 0) || once(run, b, OFF, 0); /* warm-up */
    uint32_t rounds = rc ? 0
                         : nj_bench_rounds(run, LEAST_ROUNDS, 1,
                                           (b->wall[0][0] + b->wall[1][0]) * (double)b->packets.n / 1e9);
    for (uint32_t round = 0; round < rounds && rc == 0; round++)
        rc = once(run, b, round & 1, round) || once(run, b, !(round & 1), round);
    if (rc == 0 &&
        nj_bench_verify(run, b->same, "%zu alerts in = out in each of %u runs; clocks only where they are on",
                        b->packets.n, 2 * rounds + 2))
        judge(run, b, rounds);
    nj_bench_packets_free(&b->packets);
    free(b);
    return rc ? -1 : 0;
}

extern const nj_bench nj_bench_counters;
const nj_bench nj_bench_counters = {
    "counters", "what the always-on counters cost: whole runs with and without them in turn", run_counters
};
