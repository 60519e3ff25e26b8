/* threads.c - more compute threads: throughput, efficiency and the knee. First the part that scales or not
 * by itself (packets in memory to rows and three opened stamps), then the whole host with its default
 * modules; and the same output bytes for any number of threads. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/clock.h"
#include "../base/scratch.h"
#include "../avro/decode.h"
#include "../measure/stats.h"
#include "rows.h"

enum {
    ROWS = NJ_BENCH_ROWS,
    SIZES = 8,
    MAX_ROUNDS = 201,
    LEAST_ROUNDS = 5,
    TARGET_BYTES = 80000000,
    AT_LEAST_UP_TO = 16
};

static const nj_column_def columns[] = {
    { "candid", NJ_I64, NJ_SCALAR, NULL, 1 }, { "object", NJ_STR, NJ_SCALAR, NULL, 1 },
    { "jd", NJ_F64, NJ_SCALAR, NULL, 1 },     { "ra", NJ_F64, NJ_SCALAR, NULL, 1 },
    { "dec", NJ_F64, NJ_SCALAR, NULL, 1 },    { "lc.jd", NJ_F64, NJ_SERIES, NULL, 1 },
    { "lc.mag", NJ_F64, NJ_SERIES, NULL, 1 }, { "lc.mag_err", NJ_F64, NJ_SERIES, NULL, 1 },
    { "lc.band", NJ_U8, NJ_SERIES, NULL, 1 },
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* One thread's own state. */
typedef struct thread_state {
    nj_bench_rows decoded;
    uint64_t rows, stamps;
    int64_t cpu_ns;
} __attribute__((aligned(128))) thread_state;

typedef struct bench {
    nj_bench_packets packets;
    nj_settings settings;
    nj_decoder *decoder;
    nj_layout layout;
    thread_state *thread; /* [n_threads] */
    int n_threads;
    int size[SIZES];
    int n_sizes;
    size_t next; /* packet to take, atomically */
} bench;

typedef struct pass {
    double cpu, wall; /* ns per alert */
    uint64_t rows, stamps;
} pass;

/* Packets i .. i + ROWS to rows, and every stamp to pixels. */
static void one_batch(bench *b, thread_state *h, size_t i)
{
    nj_batch *batch = nj_bench_rows_read(&h->decoded, &b->packets.packet[i],
                                         b->packets.n - i < ROWS ? b->packets.n - i : ROWS);
    for (uint32_t row = 0; batch && row < batch->n; row++)
        for (int s = 0; s < NJ_STAMPS; s++) {
            nj_bench_rows_stamp(&h->decoded, &batch->stamp[s][row]);
            h->stamps += batch->stamp[s][row].state == NJ_STAMP_OPEN;
        }
    h->rows += batch ? batch->n : 0;
    nj_bench_rows_end(&h->decoded);
}

/* CPU time is read inside the region, so that the runtime's waiting between regions does not count. */
static pass decode_all(bench *b, int threads)
{
    b->next = 0;
    int64_t start = nj_now_ns();
#pragma omp parallel num_threads(threads)
    {
        thread_state *h = &b->thread[omp_get_thread_num()];
        h->rows = h->stamps = 0;
        int64_t cpu = nj_thread_cpu_ns();
        for (size_t i; (i = __atomic_fetch_add(&b->next, ROWS, __ATOMIC_RELAXED)) < b->packets.n;)
            one_batch(b, h, i);
        h->cpu_ns = nj_thread_cpu_ns() - cpu;
    }
    pass p = { .wall = (double)(nj_now_ns() - start) / (double)b->packets.n };
    for (int t = 0; t < threads; t++) {
        p.cpu += (double)b->thread[t].cpu_ns / (double)b->packets.n;
        p.rows += b->thread[t].rows;
        p.stamps += b->thread[t].stamps;
    }
    return p;
}

static pass host_run(nj_bench_run *run, bench *b, int threads)
{
    nj_report report;
    pass p = { NAN, NAN, 0, 0 };
    if (nj_bench_host_run(run, &(nj_bench_host){ .packets = &b->packets, .threads = threads }, &report) ==
        0) {
        p.rows = report.ledger.emitted;
        p.wall = 1e3 * nj_report_run_cost(&report).wall_us;
        p.cpu = 1e3 * nj_report_run_cost(&report).cpu_us;
    }
    nj_report_free(&report);
    return p;
}

/* ---- one sweep ------------------------------------------------------------------------------- */

typedef struct sweep {
    const char *name;
    double cpu[SIZES][MAX_ROUNDS], wall[SIZES][MAX_ROUNDS];
    uint32_t rounds;
    bool same; /* every pass gave the rows and stamps of the first */
} sweep;

static pass one_pass(nj_bench_run *run, bench *b, bool host, int threads)
{
    return host ? host_run(run, b, threads) : decode_all(b, threads);
}

/* Rounds 1 2 4 1 2 4 ..., so that a slow minute of the machine is every size's. */
static void do_sweep(nj_bench_run *run, bench *b, bool host, sweep *s)
{
    pass first = one_pass(run, b, host, 1); /* warm-up */
    for (int k = 1; k < b->n_sizes; k++) one_pass(run, b, host, b->size[k]);
    s->same = true;
    s->rounds = nj_bench_rounds(run, LEAST_ROUNDS, (size_t)b->n_sizes,
                                first.wall * (double)first.rows / 1e9 * b->n_sizes);
    for (uint32_t round = 0; round < s->rounds; round++)
        for (int k = 0; k < b->n_sizes; k++) {
            pass p = one_pass(run, b, host, b->size[k]);
            s->cpu[k][round] = p.cpu;
            s->wall[k][round] = p.wall;
            s->same &= p.rows == first.rows && p.stamps == first.stamps;
        }
    nj_bench_verify(run, s->same && first.rows >= b->packets.n,
                    "%s: %llu rows%s in every pass, whatever the number of threads", s->name,
                    (unsigned long long)first.rows, host ? "" : " with their stamps");
}

/* Median over the rounds of a[i] / b[i]. */
static double paired(const double *a, const double *b, uint32_t n)
{
    double ratio[MAX_ROUNDS];
    for (uint32_t i = 0; i < n; i++) ratio[i] = a[i] / b[i];
    return nj_quantile(ratio, n, 0.5);
}

/* The shape of the TESS cutout table: throughput, speed-up, efficiency;
 * the knee is the last size at 75 % or better. */
static void print_sweep(nj_bench_run *run, const bench *b, const sweep *s)
{
    int knee = 1, up_to_here = 1;
    printf("%-22s %8s %12s %10s %11s %13s %9s\n", s->name, "threads", "alerts/s", "speed-up", "efficiency",
           "CPU us/alert", "CPU ratio");
    for (int k = 0; k < b->n_sizes; k++) {
        char name[64], what[96];
        double n = b->size[k], up = paired(s->wall[0], s->wall[k], s->rounds),
               cpu = paired(s->cpu[k], s->cpu[0], s->rounds);
        double wall = nj_quantile(s->wall[k], s->rounds, 0.5);
        up_to_here &= up / n >= 0.75;
        if (up_to_here) knee = b->size[k];
        printf("%-22s %8d %12.0f %9.2fx %10.0f%% %13.1f %9.2f\n",
               b->size[k] > omp_get_num_procs() ? "(more than cores)" : "", b->size[k], 1e9 / wall, up,
               100 * up / n, nj_quantile(s->cpu[k], s->rounds, 0.5) / 1e3, cpu);
        snprintf(name, sizeof name, "%s/%d", s->name, b->size[k]);
        nj_bench_samples(run, name, b->size[k], (double)b->packets.n, s->rounds, s->cpu[k], s->wall[k]);
        snprintf(what, sizeof what, "%s, alerts/s by %d thread%s", s->name, b->size[k],
                 b->size[k] == 1 ? "" : "s");
        nj_bench_keep(run, what, 1e9 / wall, "1/s");
    }
    char what[96];
    snprintf(what, sizeof what, "%s, knee (last size with 75 %% efficiency)", s->name);
    nj_bench_figure(run, what, knee, "threads");
}

/* ---- the same bytes -------------------------------------------------------------------------- */

static char *written_by(nj_bench_run *run, bench *b, int threads, size_t *size)
{
    char folder[256], path[272], spec[300];
    nj_error err = { "" };
    if (nj_scratch_make(folder, sizeof folder, NULL, "bench", &err)) {
        nj_log(NJ_LOG_ERROR, "%s", err.text);
        return NULL;
    }
    snprintf(path, sizeof path, "%s/rows", folder);
    snprintf(spec, sizeof spec, "ndjson:%s", path);
    nj_report report;
    char *bytes = NULL;
    if (nj_bench_host_run(run, &(nj_bench_host){ .packets = &b->packets, .threads = threads, .sink = spec },
                          &report) == 0) {
        FILE *f = fopen(path, "rb");
        long n = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
        if (f) rewind(f);
        bytes = n > 0 ? malloc((size_t)n) : NULL;
        *size = bytes ? fread(bytes, 1, (size_t)n, f) : 0;
        if (f) fclose(f);
    }
    nj_report_free(&report);
    nj_scratch_remove(folder);
    return bytes;
}

static void same_bytes(nj_bench_run *run, bench *b)
{
    size_t n1 = 0, n2 = 0;
    char *one = written_by(run, b, 1, &n1), *two = written_by(run, b, 2, &n2);
    nj_bench_verify(run, one && two && n1 == n2 && !memcmp(one, two, n1),
                    "ndjson of %zu alerts by 1 and by 2 threads: the same %zu bytes", b->packets.n, n1);
    free(one);
    free(two);
}

/* ---- the subject ----------------------------------------------------------------------------- */

static int make_threads(bench *b, int threads)
{
    b->thread = aligned_alloc(128, (size_t)threads * sizeof *b->thread);
    if (!b->thread) return -1;
    memset(b->thread, 0, (size_t)threads * sizeof *b->thread);
    for (b->n_threads = 0; b->n_threads < threads; b->n_threads++) {
        if (nj_bench_rows_open(&b->thread[b->n_threads].decoded, b->decoder, &b->layout, NJ_FRAME_AUTO))
            return -1;
    }
    return 0;
}

static void free_bench(bench *b)
{
    for (int t = 0; t < b->n_threads; t++) {
        nj_bench_rows_close(&b->thread[t].decoded);
    }
    free(b->thread);
    nj_decoder_free(b->decoder);
    nj_settings_free(&b->settings);
    nj_bench_packets_free(&b->packets);
}

static void measure(nj_bench_run *run, bench *b)
{
    const char *wait = getenv("OMP_WAIT_POLICY");
    double load = 0;
    getloadavg(&load, 1);
    nj_bench_note(
        run, "%zu packets in memory (%zu real, %.0f MB); %d cores, OMP_WAIT_POLICY %s, load average %.1f",
        b->packets.n, b->packets.n_real, (double)b->packets.bytes / 1e6, omp_get_num_procs(),
        wait ? wait : "not set", load);
    sweep *s = calloc(1, sizeof *s);
    if (!s) nj_give_up("bench: out of memory");
    s->name = "stamps";
    do_sweep(run, b, false, s);
    print_sweep(run, b, s);
    if (b->n_sizes > 1) {
        nj_bench_bar(run, "2 threads, times the throughput of 1", paired(s->wall[0], s->wall[1], s->rounds),
                     "1", 1.7, NAN);
        nj_bench_bar(run, "2 threads, CPU per alert to that of 1", paired(s->cpu[1], s->cpu[0], s->rounds),
                     "1", NAN, 1.1);
    }
    s->name = "host";
    do_sweep(run, b, true, s);
    print_sweep(run, b, s);
    free(s);
    same_bytes(run, b);
}

static int run_threads(nj_bench_run *run)
{
    bench b = { .layout = { nj_bench_survey(run), N_COLUMNS, N_COLUMNS, columns, 7 } };
    nj_error err = { "" };
    int found = nj_bench_packets_load(run, &b.packets, TARGET_BYTES), cores = omp_get_num_procs(), rc = -1;
    if (found) return found < 0 ? -1 : 0;
    nj_bench_digest(run, "%zu packets, fnv1a:%016llx", b.packets.n_real,
                    (unsigned long long)b.packets.digest);
    for (int n = 1; (n <= cores || n <= AT_LEAST_UP_TO) && b.n_sizes < SIZES; n *= 2) b.size[b.n_sizes++] = n;
    b.decoder = nj_decoder_new(&b.settings, &err);
    if (b.decoder && make_threads(&b, b.size[b.n_sizes - 1]) == 0) {
        measure(run, &b);
        rc = 0;
    } else {
        nj_bench_note(run, "%s", *err.text ? err.text : "out of memory");
    }
    free_bench(&b);
    return rc;
}

extern const nj_bench nj_bench_threads;
const nj_bench nj_bench_threads = {
    "threads", "1, 2, 4, 8, 16 threads and on to all cores: throughput, efficiency, the knee; the same bytes",
    run_threads
};
