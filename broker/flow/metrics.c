/* metrics.c - the counters of a run in progress, as Prometheus reads them (text format 0.0.4).
 *
 * The server's thread (metrics_server.c) reads what the run's threads write, without a lock: 64-bit
 * counters, each with one writer, so a scrape may be a batch behind, and counters of one moment may differ
 * by a batch. It stops before the workers are freed. */
#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/version.h"
#include "../sink/waits.h"
#include "health.h"
#include "metrics_text.h"
#include "notices.h"
#include "overload.h"
#include "topic_outputs.h"

/* A copy, word by word, of what another thread writes meanwhile (see above); size is a multiple of 8. */
__attribute__((noinline, no_sanitize("thread"))) static void glance(void *to, const void *from, size_t size)
{
    const volatile uint64_t *word = from;
    for (size_t i = 0; i < size / 8; i++) ((uint64_t *)to)[i] = word[i];
}

/* ---- the text -------------------------------------------------------------------------------- */

/* Cumulative, at powers of four from 1 us to about 1100 s, or 17 s for what one alert costs. */
static void histogram(nj_buffer *b, const char *name, const char *key, const char *value,
                      const nj_histogram *h, int steps)
{
    uint64_t below = 0;
    uint32_t cell = 0;
    double ns = 1000;
    for (int k = 0; k <= steps; k++, ns *= 4) {
        char le[32] = "+Inf";
        if (k < steps) snprintf(le, sizeof le, "%.9g", ns / 1e9);
        while (cell < NJ_HISTOGRAM_CELLS && (k == steps || nj_histogram_edge(cell) < ns))
            below += h->cell[cell++];
        nj_buffer_printf(b, "%s_bucket{", name);
        if (key) nj_metrics_label(b, key, value), nj_buffer_text(b, ",");
        nj_metrics_label(b, "le", le);
        nj_buffer_printf(b, "} %llu\n", (unsigned long long)below);
    }
    for (int k = 0; k < 2; k++) { /* the count is that of the cells: the two must agree */
        nj_buffer_printf(b, "%s_%s", name, k ? "count" : "sum");
        if (key) nj_buffer_text(b, "{"), nj_metrics_label(b, key, value), nj_buffer_text(b, "}");
        nj_buffer_printf(b, " %.17g\n", k ? (double)below : h->sum / 1e9);
    }
}

/* ---- the ledger, sources, the process -------------------------------------------------------- */

static void accounts(const nj_metrics_of *m, nj_buffer *b)
{
    nj_ledger l = { 0 };
    uint64_t bytes;
    uint32_t n = __atomic_load_n(&m->r->accounts.n_streams, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n; i++) {
        nj_ledger one;
        glance(&one, &m->r->accounts.ledger[i], sizeof one);
        nj_ledger_add(&l, &one);
    }
    glance(&bytes, &m->r->ingest.bytes, sizeof bytes);
    nj_metrics_family(b, "nightjar_consumed_alerts_total", "counter",
                      "Alerts found in what the sources handed over.");
    nj_metrics_sample(b, "nightjar_consumed_alerts_total", NULL, NULL, (double)l.consumed);
    nj_metrics_family(
        b, "nightjar_alerts_total", "counter",
        "Alerts that are through, by what became of them; consumed is their sum when nothing is under way.");
    const struct {
        const char *outcome;
        uint64_t n;
    } outcome[] = { { "emitted", l.emitted },
                    { "filtered", l.filtered },
                    { "dead", l.dead },
                    { "duplicate", l.duplicates },
                    { "returned", l.returned } };
    for (size_t i = 0; i < sizeof outcome / sizeof *outcome; i++)
        nj_metrics_sample(b, "nightjar_alerts_total", "outcome", outcome[i].outcome, (double)outcome[i].n);
    nj_metrics_family(b, "nightjar_missing_alerts_total", "counter",
                      "Alerts that should have come and never will: offsets that the broker deleted unread.");
    nj_metrics_sample(b, "nightjar_missing_alerts_total", NULL, NULL, (double)l.missing);
    nj_metrics_family(b, "nightjar_packet_bytes_total", "counter", "Bytes of packets taken in.");
    nj_metrics_sample(b, "nightjar_packet_bytes_total", NULL, NULL, (double)bytes);
    nj_metrics_family(b, "nightjar_batches_total", "counter", "Batches that went through the modules.");
    nj_metrics_sample(b, "nightjar_batches_total", NULL, NULL,
                      (double)__atomic_load_n(&m->r->compute.batches, __ATOMIC_RELAXED));
}

/* Partitions as the brokers reported them to the source last. */
typedef struct lag_of {
    nj_buffer *b;
    const char *name; /* of the family; NULL = only the sum */
    bool of_end;
    double sum;
    uint32_t n;
} lag_of;

static void one_lag(void *opaque, const nj_stream *of, int64_t done, int64_t end)
{
    lag_of *l = opaque;
    if (end < 0 || (done < 0 && !l->of_end)) return;
    double v = l->of_end ? (double)end : end > done ? (double)(end - done) : 0;
    l->n++;
    l->sum += v;
    if (!l->name) return;
    nj_buffer_printf(l->b, "%s{", l->name);
    nj_metrics_label(l->b, "topic", of->topic ? of->topic : of->name);
    nj_buffer_printf(l->b, ",partition=\"%d\"} %.17g\n", (int)of->partition, v);
}

static void sources(const nj_metrics_of *m, nj_buffer *b)
{
    static const struct {
        const char *name, *help;
    } of[] = { { "nightjar_partition_lag_messages",
                 "Messages of an assigned partition that are not in the outputs yet." },
               { "nightjar_partition_end_offset",
                 "The end of an assigned partition, as its broker said last." } };
    int any = 0;
    for (uint32_t i = 0; i < m->r->n_sources; i++) any |= m->r->source[i]->class->lag != NULL;
    if (!any) return;
    nj_metrics_family(b, "nightjar_consumer_lag_messages", "gauge",
                      "Messages of the assigned partitions that are not in the outputs yet.");
    for (uint32_t i = 0; i < m->r->n_sources; i++) {
        const nj_source *s = m->r->source[i];
        lag_of l = { .b = b };
        if (s->class->lag) s->class->lag(s, one_lag, &l);
        if (l.n)
            nj_metrics_sample(b, "nightjar_consumer_lag_messages", "source", m->r->options->source[i], l.sum);
    }
    for (int k = 0; k < 2; k++) {
        nj_metrics_family(b, of[k].name, "gauge", of[k].help);
        for (uint32_t i = 0; i < m->r->n_sources; i++) {
            const nj_source *s = m->r->source[i];
            lag_of l = { .b = b, .name = of[k].name, .of_end = k == 1 };
            if (s->class->lag) s->class->lag(s, one_lag, &l);
        }
    }
}

/* As /health and /ready say. */
static void health(const nj_metrics_of *m, nj_buffer *b)
{
    nj_health_state now = nj_health_now(m->r->health);
    nj_metrics_family(b, "nightjar_alive", "gauge", "0: the run hangs; a restart would help.");
    nj_metrics_sample(b, "nightjar_alive", NULL, NULL, now.alive);
    nj_metrics_family(b, "nightjar_ready", "gauge",
                      "0: alerts that arrive now do not come out; /ready says why.");
    nj_metrics_sample(b, "nightjar_ready", NULL, NULL, now.ready);
}

static void process(const nj_metrics_of *m, nj_buffer *b)
{
    struct rusage u;
    long pages = 0;
    getrusage(RUSAGE_SELF, &u);
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    nj_metrics_family(b, "process_cpu_seconds_total", "counter", "CPU time of the process.");
    nj_metrics_sample(b, "process_cpu_seconds_total", NULL, NULL, (double)nj_process_cpu_ns() / 1e9);
    nj_metrics_family(b, "process_resident_memory_bytes", "gauge", "Resident memory.");
    nj_metrics_sample(b, "process_resident_memory_bytes", NULL, NULL,
                      pages ? (double)pages * (double)sysconf(_SC_PAGESIZE) : (double)u.ru_maxrss * 1024);
    nj_metrics_family(b, "process_start_time_seconds", "gauge", "When the run began, seconds since 1970.");
    nj_metrics_sample(b, "process_start_time_seconds", NULL, NULL, m->started);
    nj_metrics_family(b, "nightjar_threads", "gauge", "Compute threads.");
    nj_metrics_sample(b, "nightjar_threads", NULL, NULL, m->r->n_threads);
    nj_metrics_family(b, "nightjar_build_info", "gauge", "What runs here; always 1.");
    nj_buffer_text(b, "nightjar_build_info{");
    nj_metrics_label(b, "version", nj_version);
    nj_buffer_text(b, ",");
    nj_metrics_label(b, "revision", nj_revision);
    nj_buffer_text(b, "} 1\n");
}

/* ---- does it move? --------------------------------------------------------------------------- */

static double age_s(const nj_metrics_of *m, const int64_t *then)
{
    int64_t ns = __atomic_load_n(then, __ATOMIC_RELAXED);
    return (double)(nj_now_ns() - (ns ? ns : m->r->start_ns)) / 1e9;
}

static void movement(const nj_metrics_of *m, nj_buffer *b)
{
    bool waiting;
    nj_metrics_family(b, "nightjar_last_row_age_seconds", "gauge",
                      "Since a row was last written; since the start when there was none.");
    nj_metrics_sample(b, "nightjar_last_row_age_seconds", NULL, NULL, age_s(m, &m->r->output.last_row_ns));
    nj_metrics_family(
        b, "nightjar_last_commit_age_seconds", "gauge",
        "Since alerts were last acknowledged to their sources; since the start when none were.");
    nj_metrics_sample(b, "nightjar_last_commit_age_seconds", NULL, NULL, age_s(m, &m->r->output.last_ack_ns));
    nj_metrics_family(b, "nightjar_output_waits_total", "counter",
                      "Times that an output began to wait for a lock or for room.");
    nj_metrics_sample(b, "nightjar_output_waits_total", NULL, NULL, (double)nj_waits_count(&waiting));
    nj_metrics_family(b, "nightjar_output_waiting", "gauge",
                      "1: an output waits for a lock or for room, and all else too.");
    nj_metrics_sample(b, "nightjar_output_waiting", NULL, NULL, waiting);
    nj_metrics_family(b, "nightjar_registry_waiting", "gauge",
                      "1: alerts wait for an unavailable schema registry.");
    nj_metrics_sample(b, "nightjar_registry_waiting", NULL, NULL, nj_decoder_waiting(m->r->engine.decoder));
    nj_metrics_family(b, "nightjar_output_failed", "gauge", "1: an output failed, and the run ends.");
    nj_metrics_sample(b, "nightjar_output_failed", NULL, NULL, m->r->output.failed != 0);
}

/* Of each output; commits are those that wait for the disk. */
static void output_times(const nj_metrics_of *m, nj_buffer *b)
{
    const run *r = m->r;
    static const struct {
        const char *name, *help;
        bool commit, count;
    } of[] = { { "nightjar_output_flushes_total", "Flushes: write(2), delivery reports.", false, true },
               { "nightjar_output_flush_seconds_total", "Time that flushes took.", false, false },
               { "nightjar_output_commits_total", "Commits: fdatasync, journal.", true, true },
               { "nightjar_output_commit_seconds_total", "Time that commits took.", true, false } };
    for (size_t k = 0; r->output.time && k < sizeof of / sizeof *of; k++) {
        nj_metrics_family(b, of[k].name, "counter", of[k].help);
        for (uint32_t i = 0; i < r->output.n_times; i++) {
            const nj_histogram *h = of[k].commit ? &r->output.time[i].commit : &r->output.time[i].flush;
            nj_metrics_sample(b, of[k].name, "output", nj_flow_output_name(r, i),
                              of[k].count ? (double)h->n : h->sum / 1e9);
        }
    }
}

/* Of the output i, or behind the last one the dead letters; false: it is one file. Letters that nobody asked
 * for begin with the first one, and are never in several files. */
static bool files_of(const run *r, uint32_t i, nj_sink_files *found)
{
    if (i == r->n_sinks) return r->options->dead_letters && nj_dead_letters_files(r->output.dead, found);
    const nj_sink *sink = r->sink[i];
    if (sink->class->files) sink->class->files(sink, found);
    return sink->class->files != NULL;
}

/* Of outputs that are in several files. */
static void output_files(const nj_metrics_of *m, nj_buffer *b)
{
    const run *r = m->r;
    static const struct {
        const char *name, *type, *help;
        size_t at;
    } of[] = { { "nightjar_output_files_finished_total", "counter", "Files that have their names and stay.",
                 offsetof(nj_sink_files, finished) },
               { "nightjar_output_finished_rows_total", "counter", "Rows in files that were finished.",
                 offsetof(nj_sink_files, finished_rows) },
               { "nightjar_output_files_unfinished", "gauge", "Files that may get more rows (.part).",
                 offsetof(nj_sink_files, unfinished) } };
    nj_sink_files found = { 0 };
    bool any = false;
    for (uint32_t i = 0; i <= r->n_sinks; i++) any |= files_of(r, i, &found);
    for (size_t k = 0; any && k < sizeof of / sizeof *of; k++) {
        nj_metrics_family(b, of[k].name, of[k].type, of[k].help);
        for (uint32_t i = 0; i <= r->n_sinks; i++) {
            if (!files_of(r, i, &found)) continue;
            const uint64_t *value = (const uint64_t *)(const void *)((const char *)&found + of[k].at);
            nj_metrics_sample(b, of[k].name, "output", nj_flow_output_name(r, i), (double)*value);
        }
    }
}

static void queues(const nj_metrics_of *m, nj_buffer *b)
{
    if (!m->r->work || !m->r->done) return;
    const struct {
        const char *name;
        nj_ring_fill fill;
    } of[] = { { "compute", nj_ring_look(m->r->work) }, { "output", nj_ring_look(m->r->done) } };
    nj_metrics_family(b, "nightjar_queue_entries", "gauge", "Units or batches that wait for a thread.");
    for (int i = 0; i < 2; i++)
        nj_metrics_sample(b, "nightjar_queue_entries", "queue", of[i].name, (double)of[i].fill.entries);
    nj_metrics_family(b, "nightjar_queue_entries_most", "gauge", "How many may wait there.");
    for (int i = 0; i < 2; i++)
        nj_metrics_sample(b, "nightjar_queue_entries_most", "queue", of[i].name,
                          (double)of[i].fill.most_entries);
    nj_metrics_family(b, "nightjar_budget_used_bytes", "gauge",
                      "Packets under way; at the budget the source is not polled.");
    nj_metrics_sample(b, "nightjar_budget_used_bytes", NULL, NULL, (double)of[0].fill.bytes);
    nj_metrics_family(b, "nightjar_budget_bytes", "gauge",
                      "What packets under way may take: a third of run.budget_bytes.");
    nj_metrics_sample(b, "nightjar_budget_bytes", NULL, NULL, (double)of[0].fill.most_bytes);
}

static void dead_letters(const nj_metrics_of *m, nj_buffer *b)
{
    nj_dead_kind reason;
    nj_metrics_family(
        b, "nightjar_dead_letters_total", "counter",
        "Dead letters by who refused the packet and by the kind of reason; after 31 kinds: other.");
    for (uint32_t i = 0; nj_reasons_get(m->r->output.reasons, i, &reason); i++) {
        nj_buffer_text(b, "nightjar_dead_letters_total{");
        nj_metrics_label(b, "module", reason.module);
        nj_buffer_text(b, ",");
        nj_metrics_label(b, "reason", reason.text);
        nj_buffer_printf(b, "} %llu\n", (unsigned long long)reason.n);
    }
}

static void topics(const nj_metrics_of *m, nj_buffer *b)
{
    static const char *const of[][2] = { { "nightjar_topic_offered_alerts_total",
                                           "Alerts that the clause of a topic was asked about." },
                                         { "nightjar_topic_alerts_total", "Alerts that match a topic." },
                                         { "nightjar_topic_seconds_total", "Time that its clause took." } };
    for (uint32_t i = 0; i < 3 * m->r->n_topics; i++) {
        uint64_t n[2];
        int64_t ns;
        const uint32_t k = i / m->r->n_topics, t = i % m->r->n_topics;
        if (t == 0) nj_metrics_family(b, of[k][0], "counter", of[k][1]);
        nj_flow_topic_sums(m->r, t, &n[0], &n[1], &ns);
        nj_metrics_sample(b, of[k][0], "topic", m->r->topic[t].name, k < 2 ? (double)n[k] : (double)ns / 1e9);
    }
}

static void states(const nj_metrics_of *m, nj_buffer *b)
{
    const nj_instances *set = &m->r->engine.instances;
    nj_metrics_family(
        b, "nightjar_module_up", "gauge",
        "1: the module runs; 0: it is off, because a model, a catalogue or a service is not here.");
    for (uint32_t i = 0; i < set->n; i++)
        nj_metrics_sample(b, "nightjar_module_up", "module", set->item[i].name, 1);
    for (uint32_t i = 0; i < set->n_off; i++)
        nj_metrics_sample(b, "nightjar_module_up", "module", set->off[i].name, 0);
}

/* ---- modules and latency --------------------------------------------------------------------- */

static uint32_t collect(const nj_metrics_of *m, nj_metrics_module *list)
{
    uint32_t n = 0;
    nj_counter *one = malloc(sizeof *one);
    for (uint32_t i = 0; one && i < m->r->engine.instances.n + 2; i++) {
        nj_counter *sum = calloc(1, sizeof *sum);
        if (!sum) break;
        for (int t = 0; t < m->r->n_threads; t++) {
            const nj_worker *w = m->r->thread[t].worker;
            glance(one, i == 0 ? w->decode : i == 1 ? w->stamps : &w->module[i - 2], sizeof *one);
            nj_counter_merge(sum, one);
        }
        const char *name = i == 0   ? "(decode)"
                           : i == 1 ? "(stamps)"
                                    : m->r->engine.instances.item[i - 2].name;
        if (sum->offered)
            list[n++] = (nj_metrics_module){ name, sum };
        else
            free(sum);
    }
    free(one);
    return n;
}

static void modules(nj_buffer *b, const nj_metrics_module *list, uint32_t n)
{
    nj_metrics_family(b, "nightjar_module_alerts_total", "counter",
                      "Rows given to a module, by the reason it gave (done: it has an answer).");
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].name[0] == '(') continue;
        for (int k = 0; k < NJ_REASONS; k++) {
            if (!list[i].count->reason[k]) continue;
            nj_buffer_text(b, "nightjar_module_alerts_total{");
            nj_metrics_label(b, "module", list[i].name);
            nj_buffer_text(b, ",");
            nj_metrics_label(b, "outcome", nj_reason_name[k]);
            nj_buffer_printf(b, "} %llu\n", (unsigned long long)list[i].count->reason[k]);
        }
    }
    nj_metrics_family(b, "nightjar_module_flagged_alerts_total", "counter",
                      "Rows with the module's flag set.");
    for (uint32_t i = 0; i < n; i++)
        nj_metrics_sample(b, "nightjar_module_flagged_alerts_total", "module", list[i].name,
                          (double)list[i].count->flagged);
    nj_metrics_family(b, "nightjar_module_calls_total", "counter", "Calls of process().");
    for (uint32_t i = 0; i < n; i++)
        nj_metrics_sample(b, "nightjar_module_calls_total", "module", list[i].name,
                          (double)list[i].count->calls);
    nj_metrics_family(b, "nightjar_module_cpu_seconds_total", "counter",
                      "CPU time, shared out by wall time within each batch.");
    for (uint32_t i = 0; i < n; i++)
        nj_metrics_sample(b, "nightjar_module_cpu_seconds_total", "module", list[i].name,
                          (double)list[i].count->cpu_ns / 1e9);
    nj_metrics_family(b, "nightjar_module_duration_seconds", "histogram",
                      "Wall time of calls with a single row, one row in so many.");
    for (uint32_t i = 0; i < n; i++)
        histogram(b, "nightjar_module_duration_seconds", "module", list[i].name, &list[i].count->one, 13);
}

static void left_out(const nj_metrics_of *m, nj_buffer *b)
{
    const nj_instances *set = &m->r->engine.instances;
    nj_metrics_family(b, "nightjar_module_left_out", "gauge",
                      "1: alerts wait too long, and go without the module.");
    for (uint32_t i = 0; i < set->n; i++)
        nj_metrics_sample(b, "nightjar_module_left_out", "module", set->item[i].name,
                          nj_flow_is_left_out(m->r, i));
}

static void guarded(const nj_metrics_of *m, nj_buffer *b)
{
    const nj_shared *shared = m->r->options->shared;
    if (!shared) return;
    const nj_guard *g = &shared->guard;
    uint32_t n = atomic_load(&g->n_modules);
    nj_metrics_family(b, "nightjar_worker_restarts_total", "counter",
                      "Workers that died, or had too much memory, and were replaced.");
    nj_metrics_sample(b, "nightjar_worker_restarts_total", NULL, NULL, shared->incarnation);
    nj_metrics_family(b, "nightjar_module_crashed_alerts_total", "counter",
                      "Alerts on which a module crashed or hung.");
    for (uint32_t i = 0; i < n; i++)
        nj_metrics_sample(b, "nightjar_module_crashed_alerts_total", "module", g->module[i].name,
                          (double)atomic_load(&g->module[i].n_failures));
    nj_metrics_family(b, "nightjar_module_quarantined", "gauge",
                      "1: the module crashed, hung or grew too often, and is off.");
    for (uint32_t i = 0; i < n; i++)
        nj_metrics_sample(b, "nightjar_module_quarantined", "module", g->module[i].name,
                          atomic_load(&g->module[i].off));
    nj_metrics_family(
        b, "nightjar_module_grown_bytes", "gauge",
        "Memory that the module took in its calls and kept; measured after a worker was too large.");
    for (uint32_t i = 0; i < n; i++) {
        const nj_guard_module *of = &g->module[i];
        int64_t grown = atomic_load(&of->off_grown);
        nj_metrics_sample(b, "nightjar_module_grown_bytes", "module", of->name,
                          (double)(grown ? grown : atomic_load(&of->grown)));
    }
}

static void latencies(const nj_metrics_of *m, nj_buffer *b)
{
    const struct {
        const char *stage;
        const nj_histogram *h;
    } of[] = { { "broker", m->r->output.latency },
               { "publish", m->r->output.publish },
               { "total", m->r->output.total } };
    nj_histogram *copy = malloc(sizeof *copy);
    nj_metrics_family(
        b, "nightjar_latency_seconds", "histogram",
        "Per alert. broker: arrival to acknowledgement; live streams also publish (Kafka timestamp) and "
        "total, from the end of the exposure.");
    for (size_t i = 0; copy && i < (__atomic_load_n(&m->r->output.live, __ATOMIC_RELAXED) ? 3u : 1u); i++) {
        glance(copy, of[i].h, sizeof *copy);
        histogram(b, "nightjar_latency_seconds", "stage", of[i].stage, copy, 16);
    }
    nj_metrics_family(b, "nightjar_flush_duration_seconds", "histogram",
                      "Until all outputs have what was written, and it is acknowledged.");
    if (copy) {
        glance(copy, m->r->output.flush, sizeof *copy);
        histogram(b, "nightjar_flush_duration_seconds", NULL, NULL, copy, 13);
    }
    free(copy);
}

void nj_metrics_text(const nj_metrics_of *m, nj_buffer *b)
{
    nj_metrics_module *list = calloc(m->r->engine.instances.n + 2, sizeof *list);
    uint32_t n = list ? collect(m, list) : 0;
    process(m, b);
    health(m, b);
    accounts(m, b);
    dead_letters(m, b);
    topics(m, b);
    sources(m, b);
    movement(m, b);
    output_times(m, b);
    output_files(m, b);
    queues(m, b);
    states(m, b);
    nj_notices_metrics(m->r->notices, b);
    modules(b, list, n);
    nj_metrics_energy_text(m, b, list, n);
    left_out(m, b);
    guarded(m, b);
    latencies(m, b);
    for (uint32_t i = 0; i < n; i++) free(list[i].count);
    free(list);
}
