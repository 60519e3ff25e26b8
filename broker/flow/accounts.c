/* accounts.c - what a run found out about itself: its report and its exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../base/exit.h"
#include "../base/log.h"
#include "../graph/services.h"
#include "confine.h"
#include "duplicates.h"
#include "internal.h"
#include "notices.h"
#include "overload.h"
#include "resume.h"
#include "topic_outputs.h"
#include "nightjar/region.h"
#include "nightjar/sky.h"

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

static nj_report_file *add_file(catalog_list *list, const char *path, const char *hash)
{
    nj_report *report = list->report;
    const char *slash = strrchr(path, '/');
    nj_report_file *file = realloc(report->file, (report->n_files + 1) * sizeof *file);
    if (!file) {
        list->failed = true;
        return NULL;
    }
    report->file = file;
    nj_report_file *f = &file[report->n_files++];
    *f = (nj_report_file){ .generation = 0 };
    snprintf(f->name, sizeof f->name, "%s", slash ? slash + 1 : path);
    snprintf(f->sha256, sizeof f->sha256, "%s", hash);
    return f;
}

/* The states of the catalogues, each with the alerts that it answered. */
static void add_catalog(void *opaque, const nj_sky_served *s)
{
    if (!s->n_searched) return;
    nj_report_file *f = add_file(opaque, s->path, s->hash);
    if (!f) return;
    f->generation = s->generation;
    f->searched = s->n_searched;
}

static void add_region_file(void *opaque, const char *path, const char *hash)
{
    add_file(opaque, path, hash);
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

/* The most memory that this program had. Not ru_maxrss, which begins with what the parent had. */
static int64_t peak_memory(void)
{
    long kb = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && !kb && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &kb);
    if (f) fclose(f);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)(kb ? kb : usage.ru_maxrss) * 1024;
}

static int fill_early(const run *r, nj_report *report)
{
    uint32_t n = r->accounts.n_early < EARLY_MOST ? r->accounts.n_early : EARLY_MOST;
    report->early = calloc(n + 1, sizeof *report->early);
    if (!report->early) return -1;
    for (uint32_t i = 0; i < n; i++)
        if (!(report->early[report->n_early++] = strdup(r->accounts.early[i]))) return report->n_early--, -1;
    report->more_early = r->accounts.n_early - n;
    return 0;
}

typedef struct lag_list {
    nj_report *report;
    bool failed;
} lag_list;

static void add_lag(void *opaque, const nj_stream *of, int64_t done, int64_t end)
{
    lag_list *list = opaque;
    nj_report *report = list->report;
    if (end < 0 || done < 0) return;
    nj_report_lag *more = realloc(report->lag, (report->n_lags + 1) * sizeof *more);
    list->failed |= !more;
    if (!more) return;
    report->lag = more;
    nj_report_lag *to = &more[report->n_lags++];
    *to = (nj_report_lag){ .done = done, .end = end };
    snprintf(to->name, sizeof to->name, "%s", of->name);
}

static int by_lag(const void *a, const void *b)
{
    uint64_t x = nj_report_behind(a), y = nj_report_behind(b);
    return (x < y) - (x > y);
}

static int fill_lag(const run *r, nj_report *report)
{
    lag_list list = { report, false };
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (r->source[i]->class->lag) r->source[i]->class->lag(r->source[i], add_lag, &list);
    if (report->n_lags) qsort(report->lag, report->n_lags, sizeof *report->lag, by_lag);
    return list.failed ? -1 : 0;
}

static int fill_outputs(const run *r, nj_report *report)
{
    report->output = calloc(r->output.n_times, sizeof *report->output);
    if (!report->output) return -1;
    for (uint32_t i = 0; i < r->output.n_times; i++) {
        const run_output_time *time = &r->output.time[i];
        if (!time->flush.n && !time->commit.n) continue;
        nj_report_output *to = &report->output[report->n_outputs++];
        snprintf(to->name, sizeof to->name, "%s", nj_flow_output_name(r, i));
        to->flush = time->flush;
        to->commit = time->commit;
    }
    return 0;
}

static int fill_topics(const run *r, nj_report *report)
{
    report->topic = calloc(r->n_topics + 1, sizeof *report->topic);
    if (!report->topic) return -1;
    for (uint32_t i = 0; i < r->n_topics; i++) {
        nj_report_topic *to = &report->topic[report->n_topics++];
        nj_flow_topic_sums(r, i, &to->offered, &to->matches, &to->ns);
        snprintf(to->name, sizeof to->name, "%s", r->topic[i].name);
    }
    return 0;
}

static uint64_t through(const nj_ledger *l)
{
    return l->emitted + l->filtered + l->dead + l->duplicates + l->others;
}

/* A run that was resumed counts what it did itself; its journals, and these, have all of it. */
static void fill_all_runs(const run *r, nj_report *report)
{
    for (uint32_t i = 0; i < report->n_streams; i++) {
        nj_report_stream *s = &report->stream[i];
        s->all = r->accounts.stream[i]->progress->sum;
        s->resumed = through(&s->all) > through(&s->ledger);
    }
}

int nj_flow_accounts(run *r, nj_report *report)
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
    if (nj_flow_duplicates_report(r, report) || fill_topics(r, report) || fill_stages(r, report) ||
        fill_early(r, report) || fill_lag(r, report))
        return -1;
    if (r->output.time && fill_outputs(r, report)) return -1;
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
    const nj_region *regions = nj_service("region", NJ_REGION_VERSION);
    if (regions) regions->served(add_region_file, &catalogs);
    if (nj_flow_regions_report(r, report)) return -1;
    report->bytes = r->ingest.bytes;
    report->digest = r->output.digest;
    report->latency = *r->output.latency;
    report->live = r->output.live;
    report->publish = *r->output.publish;
    report->total = *r->output.total;
    nj_flow_keep_report(r, report);
    fill_all_runs(r, report);
    if (nj_flow_shard_report(r, report)) return -1;
    if (nj_flow_overload_report(r, report) || nj_flow_confine_report(r, report) ||
        nj_notices_report(r->notices, report))
        return -1;
    fill_energy(r, report);
    report->interrupted = o->stop && *o->stop;
    report->future_points = r->compute.future_points;
    if (r->output.has_dead)
        snprintf(report->dead_letters, sizeof report->dead_letters, "%s", r->output.dead_path);
    report->rss_max_bytes = peak_memory();
    return catalogs.failed ? -1 : 0;
}

int nj_flow_exit_code(const run *r, const nj_report *report, nj_error *err)
{
    if (r->end.fatal) return *err = r->end.error, NJ_EXIT_LEDGER;
    if (r->output.failed) return *err = r->output.error, NJ_EXIT_LEDGER;
    if (!nj_ledger_closed(&report->ledger)) return nj_fail(err, "the ledger does not close"), NJ_EXIT_LEDGER;
    if (report->interrupted) return NJ_EXIT_INTERRUPTED;
    if (r->ingest.failed) return *err = r->ingest.error, NJ_EXIT_SOURCE;
    if (r->options->strict && report->ledger.dead)
        return nj_fail(err, "--strict: %llu dead letters", (unsigned long long)report->ledger.dead),
               NJ_EXIT_STRICT;
    if (r->options->strict && report->ledger.missing)
        return nj_fail(err, "--strict: %llu alerts are missing", (unsigned long long)report->ledger.missing),
               NJ_EXIT_STRICT;
    if (nj_flow_all_off(r)) /* rows were written, and none has what was asked for */
        return nj_fail(err, "every module that -m names was off on every survey: no row has an answer"),
               NJ_EXIT_USAGE;
    return NJ_EXIT_OK;
}
