/* run.c - a run sets up sources, modules, sinks and threads, waits for them, and makes the report and the
 * exit code. */
#include "run.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/exit.h"
#include "../base/log.h"
#include "../base/output.h"
#include "../base/version.h"
#include "../graph/services.h"
#include "internal.h"
#include "metrics.h"
#include "nightjar/sky.h"

const nj_param nj_run_settings[] = {
    { "batch_rows", NJ_I64, "64", offsetof(run_conf, batch_rows), 1, 4096, "1", "alerts of a batch at most" },
    { "batch_bytes", NJ_I64, "8M", offsetof(run_conf, batch_bytes), 65536, 1 << 30, "byte",
      "packet bytes of a batch at most" },
    { "batch_ms", NJ_I64, "20", offsetof(run_conf, batch_ms), 1, 10000, "ms",
      "longest wait for a batch to fill" },
    { "budget_bytes", NJ_I64, "96M", offsetof(run_conf, budget_bytes), 1 << 20, 1e12, "byte",
      "packets, queues and images under way at most" },
    { "flush_ms", NJ_I64, "200", offsetof(run_conf, flush_ms), 1, 60000, "ms",
      "sinks acknowledge at least this often" },
    { "single_row", NJ_I64, "64", offsetof(run_conf, single_row), 0, 1e9, "1",
      "one row in so many is called alone and clocked; 0 = none" },
    { "dedup", NJ_I64, "0", offsetof(run_conf, dedup), 0, 1e9, "1",
      "drop alerts whose id is among the last so many; 0 = keep all" },
    { "call_s", NJ_F64, "10", offsetof(run_conf, call_s), 0, 1e6, "s",
      "a call of a module that lasts longer is reported, with its alerts; 0 = never" },
    { "stop_s", NJ_F64, "30", offsetof(run_conf, stop_s), 0, 1e6, "s",
      "after the first Ctrl-C or SIGTERM, the run is ended when nothing has moved for so long; 0 = it "
      "waits" },
    { "sync", NJ_U8, "0", offsetof(run_conf, sync), 0, 1, "1", "1 = flush reaches the disk (fdatasync)" },
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

/* --- setting up, in the order in which errors help most --- */

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

static int set_up_modules(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (nj_settings_apply(o->settings, "run", nj_run_settings, NULL, &r->conf, err)) return -1;
    nj_watch_options watch = { r->conf.call_s, NJ_LOG_WARN, r->conf.stop_s, o->stop, progress, r };
    if (!(r->watch = nj_watch_start(&watch)))
        nj_log(NJ_LOG_WARN, "no thread to watch for calls that do not return");
    if (nj_engine_load(&r->engine, o->settings, o->module_path, o->n_module_paths, err)) return -1;
    return nj_engine_choose(&r->engine, o->select, err);
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
    host->opaque = r;
    for (uint32_t i = 0; i < o->n_sources; i++) {
        nj_source_args args = {
            .spec = o->source[i], .settings = o->settings, .host = host, .limit = o->limit
        };
        r->source[i] = o->open_source ? o->open_source(o->opaque, &args, err) : nj_source_open(&args, err);
        if (!r->source[i]) return -1;
        r->n_sources++;
    }
    return 0;
}

static int open_sinks(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    r->sink = calloc(o->n_sinks + 2, sizeof *r->sink);
    if (!r->sink) return nj_fail(err, "out of memory");
    if (o->own_sink) r->sink[r->n_sinks++] = o->own_sink;
    for (uint32_t i = 0; i < (o->n_sinks ? o->n_sinks : !o->own_sink); i++) {
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(o->sink[i], o->sink[k])) return nj_fail(err, "-o %s: is given twice", o->sink[i]);
        nj_sink_args args = { .mode = o->mode,
                              .sync = r->conf.sync,
                              .settings = o->settings,
                              .refuse = nj_flow_refuse,
                              .refuse_opaque = r };
        nj_sink *sink = nj_sink_open(o->n_sinks ? o->sink[i] : "null:", &args, err);
        if (!sink) return -1;
        r->sink[r->n_sinks++] = sink;
    }
    return 0;
}

typedef struct metadata_list {
    run *r;
    nj_metadata *m; /* ends with an empty one */
    uint32_t n, cap;
    bool failed;
} metadata_list;

/* A key of two parts, and its value. */
static void add_metadata(metadata_list *list, const char *kind, const char *name, const char *value)
{
    if (list->n + 1 >= list->cap) { /* the smaller list stays in the arena, unused */
        uint32_t cap = list->cap ? 2 * list->cap : 128;
        nj_metadata *more = nj_arena_zalloc(&list->r->arena, cap * sizeof *more);
        if (!more) {
            list->failed = true;
            return;
        }
        if (list->n) memcpy(more, list->m, list->n * sizeof *more);
        list->m = more;
        list->cap = cap;
    }
    nj_metadata item = { nj_arena_printf(&list->r->arena, "%s%s", kind, name),
                         nj_arena_text(&list->r->arena, value, strlen(value)) };
    if (!item.key || !item.value)
        list->failed = true;
    else
        list->m[list->n++] = item;
}

static void add_catalog_hash(void *opaque, const nj_sky_served *s)
{
    const char *slash = strrchr(s->path, '/');
    add_metadata(opaque, "catalog.", slash ? slash + 1 : s->path, s->hash);
}

/* What jd is in each survey, as the maps say. */
static void add_times(metadata_list *list)
{
    nj_buffer scale = { 0 }, moment = { 0 };
    const nj_survey_facts *facts;
    const char *name;
    for (uint32_t k = 0; (facts = nj_decoder_facts(list->r->engine.decoder, k, &name)) != NULL; k++) {
        if (!facts->has_time) continue;
        nj_buffer_printf(&scale, "%s %s %s", scale.n ? "," : "jd as published:", name, facts->scale);
        nj_buffer_printf(&moment, "%s %s %s", moment.n ? "," : "jd as published:", name, facts->moment);
    }
    if (scale.failed || moment.failed) list->failed = true;
    if (scale.n) add_metadata(list, "time_", "scale", scale.data);
    if (moment.n) add_metadata(list, "time_", "ref", moment.data);
    nj_buffer_free(&scale);
    nj_buffer_free(&moment);
}

/* Provenance: once in the files' metadata and in the report. */
static int make_metadata(run *r)
{
    char text[256];
    metadata_list list = { .r = r };
    snprintf(text, sizeof text, "%s (%s)", nj_version, nj_revision);
    add_metadata(&list, "nightjar.", "version", text);
    add_times(&list);
    for (uint32_t i = 0; i < r->engine.instances.n; i++) {
        const nj_instance *in = &r->engine.instances.item[i];
        snprintf(text, sizeof text, "%s %s", in->module->name, in->module->version);
        if (in->wanted) add_metadata(&list, "module.", in->name, text);
    }
    for (uint32_t i = 0; i < r->engine.instances.n_files; i++)
        add_metadata(&list, "file.", r->engine.instances.file[i].name, r->engine.instances.file[i].sha256);
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    if (sky) sky->served(add_catalog_hash, &list); /* as they stand at the start; a swap is in the report */
    r->metadata = list.m;
    return list.failed ? -1 : 0;
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

static int go(run *r, nj_error *err)
{
    pthread_t ingest, output;
    size_t budget = (size_t)r->conf.budget_bytes / 3; /* the rest: librdkafka's queue,
                                                       * opened images, columns */
    r->work = nj_ring_new((size_t)r->n_threads * 4, budget);
    r->done = nj_ring_new((size_t)r->n_threads * 4 + 4, SIZE_MAX / 2);
    r->surveys.at_unit = malloc((size_t)r->n_threads * sizeof *r->surveys.at_unit);
    if (!r->work || !r->done || !r->surveys.at_unit) return nj_fail(err, "out of memory");
    for (int i = 0; i < r->n_threads; i++) r->surveys.at_unit[i] = NJ_NO_UNIT;
    if (pthread_create(&output, NULL, nj_output, r)) return nj_fail(err, "no thread for the output");
    if (pthread_create(&ingest, NULL, nj_ingest, r)) {
        nj_ring_close(r->done);
        pthread_join(output, NULL);
        return nj_fail(err, "no thread for the sources");
    }
    nj_compute(r);
    pthread_join(ingest, NULL);
    pthread_join(output, NULL);
    return 0;
}

static int close_sinks(run *r, nj_error *err)
{
    int rc = 0;
    nj_error e;
    for (uint32_t i = 0; i < r->n_sinks; i++)
        if (r->sink[i]->class->close(r->sink[i], &e) && rc == 0) {
            *err = e;
            rc = -1;
        }
    r->n_sinks = 0;
    nj_dead_letters *dead = r->output.dead;
    r->output.dead = NULL;
    if (dead) r->output.has_dead = nj_dead_letters_count(dead) > 0;
    if (dead && nj_dead_letters_close(dead, &e) && rc == 0) {
        *err = e;
        rc = -1;
    }
    return rc;
}

/* --- what it found out about itself --- */

static void add_stage(nj_report *report, const char *name, const char *version, bool is_module,
                      const nj_counter *count, int64_t cold)
{
    nj_stage *s = &report->stage[report->n_stages++];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->version = version;
    s->is_module = is_module;
    s->count = *count;
    s->cold_start_ns = cold;
}

static int fill_stages(run *r, nj_report *report)
{
    static const char *const short_name[NJ_STAMPS] = { "sci", "tpl", "dif" };
    uint32_t n = r->engine.instances.n;
    report->stage = calloc(n + 4, sizeof *report->stage);
    nj_counter *sum = calloc(1, sizeof *sum);
    if (!report->stage || !sum) return free(sum), -1;
    for (int i = 0; i < r->n_threads; i++) nj_counter_merge(sum, r->thread[i].worker->decode);
    add_stage(report, "(decode)", NULL, false, sum, 0);
    memset(sum, 0, sizeof *sum);
    for (int i = 0; i < r->n_threads; i++) nj_counter_merge(sum, r->thread[i].worker->stamps);
    char name[64] = "(stamps";
    uint8_t stamps = 0;
    for (uint32_t i = 0; i < r->surveys.n; i++) stamps |= r->surveys.item[i]->graph->layout.stamps;
    for (int s = 0, first = 1; s < NJ_STAMPS; s++)
        if (stamps & 1u << s) {
            snprintf(name + strlen(name), sizeof name - strlen(name), "%s %s", first ? ":" : ",",
                     short_name[s]);
            first = 0;
        }
    snprintf(name + strlen(name), sizeof name - strlen(name), ")");
    if (stamps) add_stage(report, name, NULL, false, sum, 0);
    const nj_graph *g = r->surveys.n ? r->surveys.item[0]->graph : NULL;
    for (uint32_t k = 0; g && k < g->n_steps; k++) { /* in the order of dispatch */
        uint32_t i = g->step[k].instance;
        memset(sum, 0, sizeof *sum);
        for (int t = 0; t < r->n_threads; t++) nj_counter_merge(sum, &r->thread[t].worker->module[i]);
        const nj_instance *in = &r->engine.instances.item[i];
        add_stage(report, in->name, in->module->version, true, sum, in->cold_start_ns);
    }
    if (r->filter || r->n_topics) add_stage(report, "(filters)", NULL, false, r->output.count_filter, 0);
    char out[64] = "(output:";
    for (uint32_t i = 0; i < (r->options->n_sinks ? r->options->n_sinks : 1); i++) {
        const char *spec = r->options->n_sinks ? r->options->sink[i] : "null:";
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s %.*s", i ? "," : "",
                 (int)strcspn(spec, ":"), spec);
    }
    snprintf(out + strlen(out), sizeof out - strlen(out), ")");
    add_stage(report, out, NULL, false, r->output.count, 0);
    free(sum);
    return 0;
}

typedef struct catalog_list {
    nj_report *report;
    bool failed;
} catalog_list;

/* The states of the catalogues, each with the alerts that it answered. */
static void add_catalog(void *opaque, const nj_sky_served *s)
{
    catalog_list *list = opaque;
    nj_report *report = list->report;
    if (!s->n_searched) return;
    nj_report_file *file = realloc(report->file, (report->n_files + 1) * sizeof *file);
    if (!file) {
        list->failed = true;
        return;
    }
    report->file = file;
    nj_report_file *f = &file[report->n_files++];
    const char *slash = strrchr(s->path, '/');
    *f = (nj_report_file){ .generation = s->generation, .searched = s->n_searched };
    snprintf(f->name, sizeof f->name, "%s", slash ? slash + 1 : s->path);
    snprintf(f->sha256, sizeof f->sha256, "%s", s->hash);
}

/* Keeps a text in the report, which outlives the run. */
static const char *kept(char *room, size_t size, const char *text)
{
    snprintf(room, size, "%s", text);
    return room;
}

static void fill_energy(run *r, nj_report *report)
{
    size_t size = sizeof report->energy_words[0];
    report->carbon = *nj_energy_carbon(r->energy);
    report->energy.source = kept(report->energy_words[0], size, report->energy.source);
    report->carbon.country = kept(report->energy_words[1], size, report->carbon.country);
    report->carbon.source = kept(report->energy_words[2], size, report->carbon.source);
    report->cost = r->cost;
    report->cost.currency = kept(report->cost_words[0], size, report->cost.currency);
    report->cost.source = kept(report->cost_words[1], size, report->cost.source);
    const char *hint = nj_energy_hint(r->energy);
    if (hint) nj_log(NJ_LOG_INFO, "energy: %s", hint);
}

/* -1: memory is short, and the report lacks something. */
static int fill_report(run *r, nj_report *report)
{
    catalog_list catalogs = { report, false };
    const nj_run_options *o = r->options;
    size_t n = 0;
    for (uint32_t i = 0; i < o->n_sources && n + 2 < sizeof report->input; i++) {
        const char *slash = strstr(o->source[i], "://") ? NULL : strrchr(o->source[i], '/');
        const char *name = slash && slash[1] ? slash + 1 : o->source[i];
        n += (size_t)snprintf(report->input + n, sizeof report->input - n, "%s%.120s", i ? ", " : "", name);
    }
    report->threads = r->n_threads;
    report->stream = calloc(r->accounts.n_streams + 1, sizeof *report->stream);
    report->file = calloc(r->engine.instances.n_files + 1, sizeof *report->file);
    if (!report->stream || !report->file) return -1;
    for (uint32_t i = 0; i < r->accounts.n_streams; i++) {
        nj_report_stream *s = &report->stream[report->n_streams++];
        snprintf(s->name, sizeof s->name, "%s", r->accounts.stream[i]->name);
        s->ledger = r->accounts.ledger[i];
        nj_ledger_add(&report->ledger, &r->accounts.ledger[i]);
    }
    if (fill_stages(r, report)) return -1;
    nj_flow_answers(r, report);
    if (nj_flow_analysis_report(r, report)) return -1;
    for (uint32_t i = 0; i < r->engine.instances.n_files; i++) {
        nj_report_file *f = &report->file[report->n_files++];
        snprintf(f->name, sizeof f->name, "%s", r->engine.instances.file[i].name);
        memcpy(f->sha256, r->engine.instances.file[i].sha256, sizeof f->sha256);
        f->generation = f->searched = 0;
    }
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    if (sky) sky->served(add_catalog, &catalogs);
    report->bytes = r->ingest.bytes;
    report->digest = r->output.digest;
    report->latency = *r->output.latency;
    report->live = r->output.live;
    report->publish = *r->output.publish;
    report->total = *r->output.total;
    fill_energy(r, report);
    report->interrupted = o->stop && *o->stop;
    report->future_points = r->compute.future_points;
    if (r->output.has_dead)
        snprintf(report->dead_letters, sizeof report->dead_letters, "%s", r->output.dead_path);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    report->rss_max_bytes = usage.ru_maxrss * 1024L;
    return catalogs.failed ? -1 : 0;
}

static int exit_code(const run *r, const nj_report *report, nj_error *err)
{
    if (r->end.fatal) return *err = r->end.error, NJ_EXIT_LEDGER;
    if (r->output.failed) return *err = r->output.error, NJ_EXIT_LEDGER;
    if (!nj_ledger_closed(&report->ledger)) return nj_fail(err, "the ledger does not close"), NJ_EXIT_LEDGER;
    if (report->interrupted) return NJ_EXIT_INTERRUPTED;
    if (r->ingest.failed) return *err = r->ingest.error, NJ_EXIT_SOURCE;
    if (r->options->strict && report->ledger.dead)
        return nj_fail(err, "--strict: %llu dead letters", (unsigned long long)report->ledger.dead),
               NJ_EXIT_STRICT;
    if (nj_flow_all_off(r)) /* rows were written, and none has what was asked for */
        return nj_fail(err, "every module that -m names was off on every survey: no row has an answer"),
               NJ_EXIT_USAGE;
    return NJ_EXIT_OK;
}

static run *new_run(const nj_run_options *options)
{
    run *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->options = options;
    r->accounts.ledger = calloc(MAX_STREAMS, sizeof *r->accounts.ledger);
    r->output.latency = calloc(3, sizeof *r->output.latency);
    r->output.count_filter = calloc(2, sizeof *r->output.count_filter);
    if (!r->accounts.ledger || !r->output.latency || !r->output.count_filter) {
        free(r->accounts.ledger);
        free(r->output.latency);
        free(r->output.count_filter);
        free(r);
        return NULL;
    }
    r->output.publish = r->output.latency + 1;
    r->output.total = r->output.latency + 2;
    r->output.count = r->output.count_filter + 1;
    pthread_mutex_init(&r->surveys.lock, NULL);
    pthread_cond_init(&r->surveys.turn, NULL);
    pthread_mutex_init(&r->surveys.take_lock, NULL);
    pthread_mutex_init(&r->accounts.lock, NULL);
    return r;
}

static void free_run(run *r)
{
    nj_error ignored;
    for (int i = 0; i < r->n_threads; i++) nj_compute_thread_close(&r->thread[i]);
    free(r->thread);
    close_sinks(r, &ignored);
    nj_watch_no_limit(r->watch);
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (r->source[i]) r->source[i]->class->close(r->source[i]);
    nj_filter_free(r->filter);
    for (uint32_t i = 0; i < r->n_topics; i++) nj_filter_free(r->topic[i].filter);
    nj_flow_surveys_free(r);
    nj_engine_close(&r->engine);
    nj_watch_stop(r->watch);
    for (uint32_t i = 0; i < r->accounts.n_streams; i++) {
        free(r->accounts.stream[i]->name);
        free(r->accounts.stream[i]->topic);
        free(r->accounts.stream[i]);
    }
    nj_energy_free(r->energy);
    nj_flow_analysis_free(r);
    nj_dedup_free(r->output.dedup);
    nj_ring_free(r->work);
    nj_ring_free(r->done);
    free(r->source);
    free(r->sink);
    free(r->topic);
    free(r->want);
    free(r->field);
    free(r->field_from);
    free(r->accounts.ledger);
    free(r->output.latency);
    free(r->output.count_filter);
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
static void tell_what_is_off(const nj_instances *set)
{
    nj_buffer text = { 0 };
    for (uint32_t i = 0; i < set->n_off; i++)
        nj_log(NJ_LOG_DEBUG, "%s is off: %s", set->off[i].name, set->off[i].why);
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

/* Before a module is loaded: what it prints must not come between the rows. */
static int keep_standard_output(const nj_run_options *o, nj_error *err)
{
    const char *first = NULL;
    for (uint32_t i = 0; i < o->n_sinks; i++) {
        const char *target = strchr(o->sink[i], ':');
        if (!target || !nj_output_is_shared(target + 1)) continue;
        if (first) return nj_fail(err, "-o %s: standard output has the rows of -o %s", o->sink[i], first);
        first = o->sink[i];
    }
    if (first && nj_output_take(err)) return -1;
    return 0;
}

static int set_up(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    if (keep_standard_output(o, err)) return NJ_EXIT_USAGE;
    if (set_up_modules(r, err)) return NJ_EXIT_USAGE;
    if (nj_flow_check_settings(r, err) || nj_engine_open(&r->engine, o->select, err)) return NJ_EXIT_USAGE;
    tell_what_is_off(&r->engine.instances);
    if (nj_flow_fields(r, err)) return NJ_EXIT_USAGE;
    if (nj_cost_read(o->settings, &r->cost, err)) return NJ_EXIT_USAGE;
    r->energy = nj_energy_open(o->settings, err);
    if (!r->energy) return NJ_EXIT_USAGE;
    if (make_metadata(r)) return nj_fail(err, "out of memory"), NJ_EXIT_USAGE;
    return NJ_EXIT_OK;
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
    if (rc == NJ_EXIT_OK && open_sources(r, err)) rc = NJ_EXIT_SOURCE;
    if (rc == NJ_EXIT_OK && (open_sinks(r, err) || nj_flow_letters_place(r, err))) rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK) nj_flow_tell_unused(r);
    if (rc == NJ_EXIT_OK && open_dedup(r, err)) rc = NJ_EXIT_USAGE;
    int threads = rc == NJ_EXIT_OK ? threads_of(r) : 1;
    if (rc == NJ_EXIT_OK && open_threads(r, threads, err)) rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK && nj_flow_analysis_begin(r, threads, err)) rc = NJ_EXIT_USAGE;
    nj_metrics *metrics = NULL;
    if (rc == NJ_EXIT_OK && options->metrics && !(metrics = nj_metrics_start(options->metrics, r, err)))
        rc = NJ_EXIT_USAGE;
    if (rc == NJ_EXIT_OK) {
        nj_energy_begin(r->energy);
        int64_t cpu = nj_process_cpu_ns();
        r->start_ns = nj_now_ns();
        report->start_s = (double)(r->start_ns - begin) / 1e9;
        if (go(r, err)) rc = NJ_EXIT_USAGE;
        report->wall_s = (double)(nj_now_ns() - r->start_ns) / 1e9;
        report->cpu_s = (double)(nj_process_cpu_ns() - cpu) / 1e9;
        nj_energy_end(r->energy, &report->energy, &report->split);
    }
    nj_watch_no_limit(r->watch);
    nj_metrics_stop(metrics);
    if (rc == NJ_EXIT_OK) {
        nj_error closing;
        if (close_sinks(r, &closing) && !r->output.failed) { /* else it follows from what was said */
            r->output.error = closing;
            r->output.failed = 1;
        }
        rc = fill_report(r, report) ? (nj_fail(err, "out of memory for the report"), NJ_EXIT_LEDGER)
                                    : exit_code(r, report, err);
    }
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
