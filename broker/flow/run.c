/* run.c - a run sets up sources, modules, sinks and threads, and waits for them. */
#include "run.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/exit.h"
#include "../base/log.h"
#include "../sink/waits.h"
#include "confine.h"
#include "duplicates.h"
#include "health.h"
#include "metrics.h"
#include "missing.h"
#include "notices.h"
#include "notify.h"
#include "overload.h"
#include "resume.h"
#include "topic_outputs.h"
#include "trace.h"

const nj_param nj_run_settings[] = {
    { "batch_rows", NJ_I64, "64", offsetof(run_conf, batch_rows), 1, 4096, "1", "alerts of a batch at most" },
    { "batch_bytes", NJ_I64, "8M", offsetof(run_conf, batch_bytes), 65536, 1 << 30, "byte",
      "packet bytes of a batch at most" },
    { "batch_ms", NJ_I64, "20", offsetof(run_conf, batch_ms), 1, 10000, "ms",
      "longest wait for a batch to fill" },
    { "budget_bytes", NJ_I64, "96M", offsetof(run_conf, budget_bytes), 1 << 20, 1e12, "byte",
      "packets, queues and images under way at most" },
    { "flush_ms", NJ_I64, "200", offsetof(run_conf, flush_ms), 1, 60000, "ms",
      "outputs are written at least this often" },
    { "commit_ms", NJ_I64, "1000", offsetof(run_conf, commit_ms), 0, 60000, "ms",
      "outputs reach the disk, and what they have is acknowledged to the sources, at least this often" },
    { "single_row", NJ_I64, "64", offsetof(run_conf, single_row), 0, 1e9, "1",
      "one row in so many is called alone and clocked; 0 = none" },
    { "dedup", NJ_I64, "0", offsetof(run_conf, dedup), 0, 1e9, "1",
      "drop alerts whose id is among the last so many; 0 = keep all" },
    { "call_s", NJ_F64, "10", offsetof(run_conf, call_s), 0, 1e6, "s",
      "a call of a module that lasts longer is reported, with its alerts; 0 = never" },
    { "stop_s", NJ_F64, "30", offsetof(run_conf, stop_s), 0, 1e6, "s",
      "after the first Ctrl-C or SIGTERM, the run is ended when nothing has moved for so long; 0 = it "
      "waits" },
    { "stall_s", NJ_F64, "10", offsetof(run_conf, stall_s), 0, 1e6, "s",
      "when nothing has moved for so long, /ready and /health say no and systemd's watchdog is not fed; 0 = "
      "never" },
    { "sink_retry_s", NJ_F64, "60", offsetof(run_conf, sink_retry_s), 0, 1e9, "s",
      "how long an output waits for room on a full disk, before the run ends (exit 3)" },
    { "site", NJ_STR, "", offsetof(run_conf, site), 0, 0, "1",
      "whose nights {night} in the name of an output means: palomar, rubin, ..., LON,LAT,HEIGHT or LON "
      "(degrees east), UTC-7" },
    { "open_files", NJ_I64, "64", offsetof(run_conf, open_files), 1, 4096, "1",
      "files of one output of several ({night}, {topic}, ...) that are open at once" },
    { "sync", NJ_U8, "0", offsetof(run_conf, sync), 0, 1, "1",
      "without effect since commits reach the disk: see commit_ms and durable" },
    { "durable", NJ_U8, "1", offsetof(run_conf, durable), 0, 1, "1",
      "0 = a commit does not wait for the disk (no fdatasync): a power cut loses alerts" },
    { "reference", NJ_U8, "0", offsetof(run_conf, reference), 0, 1, "1",
      "1 = the slow plain version of each module that has one" },
    { "private_topics", NJ_U8, "0", offsetof(run_conf, private_topics), 0, 1, "1",
      "1 = topics carry ZTF alerts of other programmes than 1 too" },
    { "counters", NJ_U8, "1", offsetof(run_conf, counters), 0, 1, "1",
      "0 = no clocks, no counts, no percentiles: only for measuring what they cost" },
    { "exposure_budget_s", NJ_F64, "60", offsetof(run_conf, exposure_budget_s), 0, 1e6, "s",
      "from the end of an exposure to its alerts with their users (Rubin: 60 s)" },
    { "broker_share", NJ_F64, "0.25", offsetof(run_conf, broker_share), 0, 1, "1",
      "part of it that the broker may take, from the first alert's arrival to the last one's "
      "acknowledgement" },
    { "data_path", NJ_STR, "", offsetof(run_conf, data_path), 0, 0, "1",
      "folders of models, catalogues and tables, ':' between them" },
    /* What the command line can say too; cli.c reads these where it does not. */
    { "modules", NJ_STR, "", offsetof(run_conf, said.modules), 0, 0, "1", "as -m" },
    { "where", NJ_STR, "", offsetof(run_conf, said.where), 0, 0, "1", "as -w" },
    { "topics", NJ_STR, "", offsetof(run_conf, said.topics), 0, 0, "1",
      "names of [topic.NAME] sections, blanks between them: as -t" },
    { "sinks", NJ_STR, "", offsetof(run_conf, said.sinks), 0, 0, "1", "as -o, blanks between them" },
    { "metrics", NJ_STR, "", offsetof(run_conf, said.metrics), 0, 0, "1", "as --metrics" },
    { "columns", NJ_STR, "", offsetof(run_conf, said.columns), 0, 0, "1", "as --columns" },
    { 0 },
};

void nj_flow_fatal(run *r, const nj_error *err)
{
    if (!atomic_exchange(&r->end.fatal, 1)) {
        r->end.error = *err;
        r->end.error.said = 1;
        nj_log(NJ_LOG_ERROR, "%s", err->text);
    }
    r->end.stop = 1;
}

/* --- setting up: the cheapest checks and the most likely user errors first --- */

/* What moves outside of modules; other threads add to it. */
static uint64_t progress(void *run_)
{
    const run *r = run_;
    uint64_t sum = 0, n = __atomic_load_n(&r->accounts.n_streams, __ATOMIC_ACQUIRE);
    for (uint64_t i = 0; i < n; i++)
        sum += __atomic_load_n(&r->accounts.ledger[i].consumed, __ATOMIC_RELAXED) +
               __atomic_load_n(&r->accounts.ledger[i].settled, __ATOMIC_RELAXED);
    return sum;
}

static bool stopped(void *run_)
{
    const run *r = run_;
    return r->end.stop || (r->options->stop && *r->options->stop);
}

static int set_up_modules(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (nj_settings_apply(o->settings, "run", nj_run_settings, NULL, &r->conf, err)) return -1;
    if (o->shared) o->shared->stop_s = r->conf.stop_s;
    const bool first = o->shared && !o->shared->incarnation;
    if (first && nj_engine_probe(o->settings, o->module_path, o->n_module_paths, o->select, err)) return -1;
    nj_watch_options watch = { r->conf.call_s, NJ_LOG_WARN, r->conf.stop_s, o->stop, progress, r };
    if (!(r->watch = nj_watch_start(&watch)))
        nj_log(NJ_LOG_WARN, "no thread to watch for calls that do not return");
    if (nj_engine_load(&r->engine, o->settings, o->module_path, o->n_module_paths, err)) return -1;
    if (nj_engine_remember(&r->engine, err)) return -1;
    if (nj_engine_choose(&r->engine, o->select, err)) return -1;
    nj_decoder_waits(r->engine.decoder, stopped, r);
    nj_waits_set(r->conf.sink_retry_s, stopped, r);
    return 0;
}

static int open_dedup(run *r, nj_error *err)
{
    if (!r->conf.dedup) return 0;
    r->output.dedup = nj_dedup_new((size_t)r->conf.dedup);
    return r->output.dedup ? 0 : nj_fail(err, "[run] dedup = %lld: out of memory", (long long)r->conf.dedup);
}

static int open_sources(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    r->source = calloc(o->n_sources + 1, sizeof *r->source);
    if (!r->source) return nj_fail(err, "out of memory");
    nj_source_host *host = nj_arena_alloc(&r->arena, sizeof *host);
    if (!host) return nj_fail(err, "out of memory");
    *host = nj_ingest_host;
    /* kept.turn alone is also that of a first worker which resumes */
    const nj_shared *shared = r->options->shared;
    host->goes_on = shared && shared->incarnation > 0 && atomic_load(&shared->kept.turn) > 0;
    host->opaque = r;
    host->whose = nj_flow_whose(r);
    for (uint32_t i = 0; i < o->n_sources; i++) {
        nj_source_args args = { .spec = o->source[i],
                                .settings = o->settings,
                                .host = host,
                                .limit = o->limit,
                                .shard = nj_flow_shard(r) };
        r->source[i] = o->open_source ? o->open_source(o->opaque, &args, err) : nj_source_open(&args, err);
        if (!r->source[i]) return -1;
        r->n_sources++;
    }
    return 0;
}

/* --- the run --- */

static int open_threads(run *r, int threads, nj_error *err)
{
    r->thread = calloc((size_t)threads, sizeof *r->thread);
    if (!r->thread) return nj_fail(err, "out of memory");
    for (int i = 0; i < threads; i++) {
        nj_compute_thread *t = &r->thread[r->n_threads++];
        if (nj_compute_thread_open(t, &r->engine, (uint64_t)r->conf.single_row, r->conf.reference, err))
            return -1;
        t->worker->uncounted = !r->conf.counters;
    }
    return 0;
}

/* CPU time of the processes of modules (kind = python). */
static int64_t elsewhere_ns(const run *r)
{
    int64_t ns = 0;
    for (int i = 0; i < r->n_threads; i++)
        for (uint32_t k = 0; k < r->engine.instances.n; k++)
            ns += r->thread[i].worker->module[k].elsewhere_ns;
    return ns;
}

static void *confined_compute(void *run_)
{
    nj_flow_confine_calls(run_);
    nj_compute(run_);
    return NULL;
}

/* Before the threads that look at them from outside, for metrics and `nightjar top`. */
static int make_rings(run *r, nj_error *err)
{
    size_t budget = (size_t)r->conf.budget_bytes / 3; /* the rest: librdkafka's queue,
                                                       * opened images, columns */
    r->work = nj_ring_new((size_t)r->n_threads * 4, budget);
    r->done = nj_ring_new((size_t)r->n_threads * 4 + 4, SIZE_MAX / 2);
    r->surveys.at_unit = malloc((size_t)r->n_threads * sizeof *r->surveys.at_unit);
    if (!r->work || !r->done || !r->surveys.at_unit) return nj_fail(err, "out of memory");
    for (int i = 0; i < r->n_threads; i++) r->surveys.at_unit[i] = NJ_NO_UNIT;
    return 0;
}

static int go(run *r, nj_error *err)
{
    pthread_t ingest, output, compute;
    if (pthread_create(&output, NULL, nj_output, r)) return nj_fail(err, "no thread for the output");
    if (pthread_create(&ingest, NULL, nj_ingest, r)) {
        nj_ring_close(r->done);
        pthread_join(output, NULL);
        return nj_fail(err, "no thread for the sources");
    }
    /* a thread of its own: what it is refused, this one still does when the outputs are closed */
    if (r->confined && pthread_create(&compute, NULL, confined_compute, r) == 0)
        pthread_join(compute, NULL);
    else
        nj_compute(r);
    pthread_join(output, NULL);
    r->ingest.over = true;
    pthread_join(ingest, NULL);
    return 0;
}

static run *new_run(const nj_run_options *options)
{
    run *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->options = options;
    r->accounts.ledger = calloc(MAX_STREAMS, sizeof *r->accounts.ledger);
    r->output.latency = calloc(4, sizeof *r->output.latency);
    r->output.reasons = nj_reasons_new();
    r->output.count_filter = calloc(2, sizeof *r->output.count_filter);
    if (!r->accounts.ledger || !r->output.latency || !r->output.count_filter || !r->output.reasons) {
        nj_reasons_free(r->output.reasons);
        free(r->accounts.ledger);
        free(r->output.latency);
        free(r->output.count_filter);
        free(r);
        return NULL;
    }
    r->output.publish = r->output.latency + 1;
    r->output.total = r->output.latency + 2;
    r->output.flush = r->output.latency + 3;
    r->output.count = r->output.count_filter + 1;
    pthread_mutex_init(&r->surveys.lock, NULL);
    pthread_cond_init(&r->surveys.turn, NULL);
    pthread_mutex_init(&r->surveys.take_lock, NULL);
    pthread_mutex_init(&r->accounts.lock, NULL);
    return r;
}

static void free_run(run *r)
{
    nj_notices_free(r->notices);
    nj_flow_trace_free(r);
    nj_error ignored;
    nj_waits_set(0, NULL, NULL);
    for (int i = 0; i < r->n_threads; i++) nj_compute_thread_close(&r->thread[i]);
    free(r->thread);
    nj_flow_sinks_close(r, &ignored);
    nj_watch_no_limit(r->watch);
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (r->source[i]) r->source[i]->class->close(r->source[i]);
    nj_filter_free(r->filter);
    for (uint32_t i = 0; i < r->n_topics; i++) nj_filter_free(r->topic[i].filter);
    nj_flow_surveys_free(r);
    nj_engine_close(&r->engine);
    nj_watch_stop(r->watch);
    for (uint32_t i = 0; i < r->accounts.n_streams; i++) {
        nj_flow_stream_end(r->accounts.stream[i]);
        free(r->accounts.stream[i]->name);
        free(r->accounts.stream[i]->topic);
        free(r->accounts.stream[i]);
    }
    nj_energy_free(r->energy);
    nj_flow_confine_free(r);
    nj_flow_overload_free(r);
    nj_flow_missing_free(r);
    nj_flow_duplicates_free(r);
    for (uint32_t i = 0; i < EARLY_MOST; i++) free(r->accounts.early[i]);
    nj_flow_keep_free(r);
    nj_flow_resume_free(r);
    nj_flow_analysis_free(r);
    nj_dedup_free(r->output.dedup);
    nj_reasons_free(r->output.reasons);
    nj_ring_free(r->work);
    nj_ring_free(r->done);
    free(r->source);
    free(r->sink);
    nj_flow_topic_free(r);
    free(r->topic);
    free(r->want);
    free(r->field);
    free(r->field_from);
    free(r->accounts.ledger);
    free(r->output.latency);
    free(r->output.count_filter);
    free(r->output.time);
    free(r->surveys.at_unit);
    nj_arena_free(&r->arena);
    free(r);
}

/* Those of one status: "; no model here (-D models.path=DIR): braai, acai_h". */
static void add_off(const nj_instances *set, int status, const char *cure, nj_buffer *out)
{
    bool first = true;
    for (uint32_t i = 0; i < set->n_off; i++) {
        if (set->off[i].status != status) continue;
        if (first)
            nj_buffer_printf(out, "%sno %s here%s: ", out->n ? "; " : "", nj_what_is_absent(status), cure);
        nj_buffer_printf(out, "%s%s", first ? "" : ", ", set->off[i].name);
        first = false;
    }
}

/* One line for people, by what is not here; every reason with -v. */
static void report_what_is_off(const nj_instances *set)
{
    nj_buffer text = { 0 };
    for (uint32_t i = 0; i < set->n_off; i++)
        nj_debug(NJ_DEBUG_MODULE, "%s is off: %s", set->off[i].name, set->off[i].why);
    add_off(set, NJ_ENO_MODEL, " (-D models.path=DIR)", &text);
    add_off(set, NJ_ENO_CATALOG, " (-D catalogs.path=DIR)", &text);
    add_off(set, NJ_ENO_SERVICE, "", &text);
    if (set->n_off == 1)
        nj_log(NJ_LOG_INFO, "%s is off: no %s here: %s", set->off[0].name,
               nj_what_is_absent(set->off[0].status), set->off[0].why);
    else if (set->n_off)
        nj_log(NJ_LOG_INFO, "%u modules are off (-v gives each reason): %s", set->n_off,
               text.data ? text.data : "");
    nj_buffer_free(&text);
}

static int set_up(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (nj_flow_keep_standard_output(o, err)) return NJ_EXIT_USAGE;
    if (nj_notices_folders(r, err)) return NJ_EXIT_USAGE;
    if (nj_flow_confine_files(r, err)) return NJ_EXIT_USAGE;
    if (set_up_modules(r, err)) return NJ_EXIT_USAGE;
    if (nj_flow_check_settings(r, err) || nj_engine_open(&r->engine, o->select, err)) return NJ_EXIT_USAGE;
    report_what_is_off(&r->engine.instances);
    if (nj_flow_shard_check(r, err) || nj_flow_fields(r, err)) return NJ_EXIT_USAGE;
    if (nj_cost_read(o->settings, &r->cost, err)) return NJ_EXIT_USAGE;
    r->energy = nj_energy_open(o->settings, err);
    if (!r->energy) return NJ_EXIT_USAGE;
    if (nj_flow_metadata(r)) return nj_fail(err, "out of memory"), NJ_EXIT_USAGE;
    return NJ_EXIT_OK;
}

/* Another number for other columns; 0 stands for: not known. */
static uint64_t columns_of(const run *r)
{
    uint64_t h = 1;
    for (uint32_t i = 0; i < r->n_out; i++)
        h = h * UINT64_C(1099511628211) + nj_flow_key(r->field[i].key) + r->field[i].width;
    return h ? h : 1;
}

int nj_run_try(const nj_run_options *options, uint64_t *columns, nj_error *err)
{
    run *r = new_run(options);
    if (!r) return nj_fail(err, "out of memory");
    int rc = set_up(r, err);
    *columns = columns_of(r);
    free_run(r);
    return rc == NJ_EXIT_OK ? 0 : -1;
}

static int threads_of(const run *r)
{
    const char *serial = nj_engine_serial(&r->engine);
    if (!serial) return r->options->threads > 0 ? r->options->threads : omp_get_num_procs();
    if (r->options->threads != 1)
        nj_log(NJ_LOG_INFO, "module %s takes alerts in the order of the source: one thread", serial);
    return 1;
}

int nj_run(const nj_run_options *options, nj_report *report, nj_error *err)
{
    memset(report, 0, sizeof *report);
    run *r = new_run(options);
    if (!r) return nj_fail(err, "out of memory"), NJ_EXIT_USAGE;
    time_t now = time(NULL);
    struct tm utc;
    strftime(report->started, sizeof report->started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    int64_t begin = nj_now_ns();
    int rc = set_up(r, err);
    if (rc == NJ_EXIT_OK && nj_flow_keep_begin(r)) rc = (nj_fail(err, "out of memory"), NJ_EXIT_USAGE);
    if (rc == NJ_EXIT_OK && options->shared) options->shared->columns = columns_of(r);
    int resumed = rc == NJ_EXIT_OK ? nj_flow_resume_look(r, err) : 0;
    if (resumed > 0) return free_run(r), NJ_EXIT_OK;
    if (resumed < 0) rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK && open_sources(r, err)) rc = NJ_EXIT_SOURCE;
    if (rc == NJ_EXIT_OK &&
        (nj_flow_sinks_open(r, err) || nj_flow_topic_outputs(r, err) || nj_flow_letters_place(r, err)))
        rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK && nj_notices_start(r, &r->notices, err)) rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK) nj_flow_report_unused(r);
    if (rc == NJ_EXIT_OK) nj_flow_filters_of_stream(r);
    if (rc == NJ_EXIT_OK && (open_dedup(r, err) || nj_flow_trace_begin(r, err))) rc = NJ_EXIT_USAGE;
    int threads = rc == NJ_EXIT_OK ? threads_of(r) : 1;
    if (rc == NJ_EXIT_OK && (open_threads(r, threads, err) || make_rings(r, err))) rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK &&
        (nj_flow_overload_begin(r, err) || nj_flow_missing_begin(r, err) || nj_flow_duplicates_begin(r, err)))
        rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK && nj_flow_analysis_begin(r, threads, err)) rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK && (options->metrics || options->shared || nj_notify_wanted()) &&
        !(r->health = nj_health_start(r, err)))
        rc = NJ_EXIT_USAGE;
    nj_metrics *metrics = NULL;
    if (rc == NJ_EXIT_OK && options->metrics && !(metrics = nj_metrics_start(options->metrics, r, err)))
        rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK) {
        nj_energy_begin(r->energy);
        int64_t cpu = nj_process_cpu_ns();
        r->start_ns = nj_now_ns();
        report->start_s = (double)(r->start_ns - begin) / 1e9;
        nj_flow_guard_begin(r);
        if (go(r, err)) rc = NJ_EXIT_USAGE;
        report->wall_s = (double)(nj_now_ns() - r->start_ns) / 1e9;
        report->cpu_s = (double)(nj_process_cpu_ns() - cpu + elsewhere_ns(r)) / 1e9;
        nj_energy_end(r->energy, &report->energy, &report->split);
    }
    nj_notices_stop(r->notices);
    nj_watch_no_limit(r->watch);
    nj_metrics_stop(metrics);
    nj_health_stop(r->health);
    if (rc == NJ_EXIT_OK) {
        nj_decoder_end(r->engine.decoder);
        nj_flow_trace_end(r);
        nj_error closing;
        if (nj_flow_sinks_close(r, &closing) && !r->output.failed) { /* else it follows from what was said */
            r->output.error = closing;
            r->output.failed = 1;
        }
        rc = nj_flow_accounts(r, report) ? (nj_fail(err, "out of memory for the report"), NJ_EXIT_LEDGER)
                                         : nj_flow_exit_code(r, report, err);
    }
    if (report->n_stages && options->on_report)
        options->on_report(options->on_report_opaque, report, rc, err);
    free_run(r);
    return rc;
}

int nj_run_graph(const nj_run_options *options, int dot, nj_buffer *out, nj_error *err)
{
    run *r = new_run(options);
    if (!r) return nj_fail(err, "out of memory");
    int rc = set_up(r, err) == NJ_EXIT_OK && open_sources(r, err) == 0 ? 0 : -1;
    nj_chunk *chunk = NULL;
    nj_reader reader = { .o.decoder = r->engine.decoder };
    if (rc == 0 &&
        (!r->n_sources || r->source[0]->class->next(r->source[0], 10000, &chunk, err) != NJ_NEXT_CHUNK))
        rc = nj_fail(err, "no packet to learn the schema from");
    const nj_schema *schema = rc == 0 ? nj_reader_schema(&reader, chunk, err) : NULL;
    const survey *s = schema ? nj_flow_survey(r, schema, 0, err) : NULL;
    if (s) nj_graph_print(s->graph, dot, out);
    nj_reader_free(&reader);
    nj_chunk_drop(chunk);
    free_run(r);
    return s ? 0 : -1;
}
