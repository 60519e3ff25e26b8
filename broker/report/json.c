/* json.c - programs compare and plot runs, so the run report is also written as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/json.h"
#include "../base/reason.h"
#include "../base/version.h"
#include "../measure/cpu.h"
#include "../measure/stats.h"
#include "report.h"

static void context(const nj_report *r, nj_json *j)
{
    struct utsname u;
    char cpu[128], digest[32];
    nj_cpu_model(cpu, sizeof cpu, NULL);
    uname(&u);
    snprintf(digest, sizeof digest, "ids:%016llx", (unsigned long long)r->digest);
    nj_json_open(j, "context", '{');
    nj_json_put(j, "version=%s git=%s compiler=%s flags=%s cpu=%s cores=%ld kernel=%s date=%s threads=%d",
                nj_version, nj_revision, nj_compiler, nj_flags, cpu, sysconf(_SC_NPROCESSORS_ONLN), u.release,
                r->started, r->threads);
    nj_json_put(j, "input=%s input_digest=%s", r->input, digest);
    nj_json_open(j, "files", '[');
    for (uint32_t i = 0; i < r->n_files; i++) {
        const nj_report_file *f = &r->file[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s sha256=%s", f->name, f->sha256);
        if (f->generation)
            nj_json_put(j, "generation=%llu searched=%llu", (unsigned long long)f->generation,
                        (unsigned long long)f->searched);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

static void ledger(nj_json *j, const nj_ledger *l)
{
    nj_json_open(j, "ledger", '{');
    nj_json_put(j,
                "consumed=%llu emitted=%llu filtered=%llu dead=%llu duplicates=%llu returned=%llu again=%llu "
                "missing=%llu closed=%hhd",
                (unsigned long long)l->consumed, (unsigned long long)l->emitted,
                (unsigned long long)l->filtered, (unsigned long long)l->dead,
                (unsigned long long)l->duplicates, (unsigned long long)l->returned,
                (unsigned long long)l->again, (unsigned long long)l->missing, nj_ledger_closed(l));
    if (l->others) nj_json_count(j, "others", l->others);
    nj_json_close(j);
}

/* A figure with its band and where it comes from. */
static void valued(nj_json *j, const char *key, const double value[3], const char *kind, const char *source,
                   int year)
{
    nj_json_open(j, key, '{');
    nj_json_put(j, "value=%g low=%g high=%g kind=%s source=%s year=%d", value[0], value[1], value[2], kind,
                source, year);
    nj_json_close(j);
}

static void power(nj_json *j, const char *key, const nj_energy_source *e, double factor)
{
    valued(j, key, (double[]){ e->watt * factor, e->low * factor, e->high * factor }, e->kind, e->source,
           e->year);
}

/* Carbon of cpu_s busy seconds; no more certain than its worst factor,
 * and the bands of one another's ends. */
static void grams(nj_json *j, const char *key, const nj_report *r, double cpu_s)
{
    const nj_carbon *c = &r->carbon;
    const char *kind =
        !strcmp(r->energy.kind, "assumed") || !strcmp(c->kind, "assumed") ? "assumed" : "modelled";
    const double joule[3] = { r->energy.watt * cpu_s, r->energy.low * cpu_s, r->energy.high * cpu_s };
    double gram[3];
    for (int k = 0; k < 3; k++) gram[k] = nj_carbon_grams(joule[k], c->pue, c->g_per_kwh);
    valued(j, key, gram, kind, c->source, c->year);
}

/* Money for busy_s core-seconds. */
static void price(nj_json *j, const char *key, const nj_cost *c, double busy_s)
{
    valued(j, key,
           (double[]){ nj_cost_busy(c, busy_s), nj_cost_busy_low(c, busy_s), nj_cost_busy_high(c, busy_s) },
           c->kind, c->source, c->year);
}

static void cost(const nj_report *r, nj_json *j)
{
    const nj_cost *c = &r->cost;
    double n = (double)r->ledger.consumed;
    if (!c->currency) return;
    nj_json_open(j, "cost", '{');
    nj_json_put(j, "currency=%s core_hour=%g use=%g egress_gb=%g egress_of_packets_per_million=%g",
                c->currency, c->core_hour, c->use, c->egress_gb,
                n > 0 ? (double)r->bytes / n / 1e3 * c->egress_gb : 0);
    price(j, "per_million", c, n > 0 ? r->cpu_s / n * 1e6 : 0);
    nj_json_close(j);
}

/* Eight cells per power of two: [lower edge in ns, entries] of those that are not empty. */
static void distribution(nj_json *j, const nj_histogram *h)
{
    enum { COARSE = NJ_HISTOGRAM_SUB / 8 };
    nj_json_open(j, "histogram", '[');
    for (uint32_t i = 0; i < NJ_HISTOGRAM_CELLS; i += COARSE) {
        uint64_t n = 0;
        for (uint32_t k = i; k < i + COARSE; k++) n += h->cell[k];
        if (!n) continue;
        nj_json_open(j, NULL, '[');
        nj_json_item(j, "%lld", llround(nj_histogram_edge(i)));
        nj_json_item(j, "%llu", (unsigned long long)n);
        nj_json_close(j);
    }
    nj_json_close(j);
}

/* At most 128 points: medians of neighbours. */
static void drift(nj_json *j, const nj_drift_line *d)
{
    enum { POINTS = 128 };
    const nj_trend *t = &d->trend;
    uint32_t group = (d->n + POINTS - 1) / POINTS;
    double scale = t->median > 0 ? 1e5 / t->median : 0; /* ns per batch to % per 1000 batches */
    nj_json_open(j, "drift", '{');
    nj_json_put(
        j, "percent_per_1000=%g low=%g high=%g change_percent=%g tau=%g p=%g n=%u stride=%llu drifts=%hhd",
        d->percent_per_1000, t->low * scale, t->high * scale, d->change_percent, t->tau, t->p, d->n,
        (unsigned long long)d->stride, d->drifts);
    nj_json_open(j, "points", '[');
    for (uint32_t i = 0; i < d->n; i += group) {
        uint32_t n = d->n - i < group ? d->n - i : group;
        nj_json_open(j, NULL, '[');
        nj_json_item(j, "%lld", llround(d->batch[i + n / 2]));
        nj_json_short(j, nj_quantile(d->ns + i, n, 0.5), 5);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

static void energy(const nj_report *r, nj_json *j)
{
    const nj_carbon *c = &r->carbon;
    nj_json_open(j, "energy", '{');
    nj_json_put(j, "tier=%s sees_load=%hhd", r->energy.tier, r->energy.sees_load);
    power(j, "watt_per_busy_thread", &r->energy, 1);
    power(j, "joule", &r->energy, r->cpu_s);
    nj_json_open(j, "machine", '{');
    nj_json_put(j, "seconds=%g load=%g total_joule=%g active_joule=%g idle_joule=%g gpu_joule=%g",
                r->split.seconds, r->split.load, r->split.total_j, r->split.active_j, r->split.idle_j,
                r->split.gpu_j);
    nj_json_close(j);
    nj_json_open(j, "attributed", '{'); /* of the machine's active energy, by CPU time */
    nj_json_put(j, "by=%s cpu_s=%g machine_cpu_s=%g share=%g", r->split.own_by, r->split.own_cpu_s,
                r->split.busy_cpu_s, r->split.own_share);
    power(j, "joule", &r->energy, r->split.own_j / r->energy.watt);
    nj_json_close(j);
    nj_json_open(j, "carbon", '{');
    nj_json_put(j, "country=%s g_per_kwh=%g pue=%g kind=%s source=%s year=%d", c->country, c->g_per_kwh,
                c->pue, c->kind, c->source, c->year);
    grams(j, "gram", r, r->cpu_s);
    nj_json_close(j);
    nj_json_close(j);
}

static void stage(const nj_report *r, const nj_stage *s, nj_json *j)
{
    const nj_counter *c = &s->count;
    const nj_per_alert each = nj_counter_cost(c);
    double n = (double)c->offered, cpu_s = (double)c->cpu_ns / 1e9;
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s version=%s kind=%s calls=%llu offered=%llu passed=%llu hits=%llu flagged=%llu",
                s->name, s->version, s->is_module ? "module" : "stage", (unsigned long long)c->calls,
                (unsigned long long)c->offered, (unsigned long long)c->passed, (unsigned long long)c->hits,
                (unsigned long long)c->flagged);
    nj_json_open(j, "reasons", '{');
    for (int k = 0; k < NJ_REASON_NAMES; k++)
        if (c->reason[k]) nj_json_count(j, nj_reason_name[k], c->reason[k]);
    nj_json_close(j);
    nj_json_put(j, "wall_ns=%llu cpu_ns=%llu cpu_us_per_alert=%g cpu_us_per_hit=%g wall_us_per_alert=%g",
                (unsigned long long)c->wall_ns, (unsigned long long)c->cpu_ns, each.cpu_us, each.cpu_us_hit,
                each.wall_us);
    nj_json_put(
        j,
        "p50_ns=%g p95_ns=%g p99_ns=%g max_ns=%llu onsky_per_s_core=%g effective_per_s_core=%g share=%g "
        "cold_start_ns=%llu",
        nj_histogram_quantile(&c->one, 0.5), nj_histogram_quantile(&c->one, 0.95),
        nj_histogram_quantile(&c->one, 0.99), (unsigned long long)c->one.max, each.per_s_core,
        each.effective_per_s_core, nj_cpu_share((double)c->cpu_ns, r->cpu_s * 1e9),
        (unsigned long long)s->cold_start_ns);
    nj_json_open(j, "energy", '{');
    power(j, "joule_per_alert", &r->energy, n > 0 ? cpu_s / n : 0);
    grams(j, "gco2e_per_million", r, n > 0 ? cpu_s / n * 1e6 : 0);
    nj_json_close(j);
    if (r->cost.currency) price(j, "cost_per_million", &r->cost, n > 0 ? cpu_s / n * 1e6 : 0);
    distribution(j, &c->one);
    if (s->drift.n) drift(j, &s->drift);
    nj_json_close(j);
}

static void milliseconds(nj_json *j, const nj_histogram *h)
{
    nj_json_put(j, "p50_ms=%g p99_ms=%g max_ms=%g", nj_histogram_quantile(h, 0.5) / 1e6,
                nj_histogram_quantile(h, 0.99) / 1e6, (double)h->max / 1e6);
}

static void latency(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "latency", '{');
    milliseconds(j, &r->latency);
    nj_json_put(j, "live=%hhd", r->live);
    for (int k = 0; k < 2 && r->live; k++) {
        nj_json_open(j, k ? "total" : "publish", '{');
        milliseconds(j, k ? &r->total : &r->publish);
        nj_json_close(j);
    }
    nj_json_close(j);
}

static void seconds(nj_json *j, const char *key, const nj_histogram *h)
{
    nj_json_open(j, key, '{');
    nj_json_put(j, "p50_s=%g p99_s=%g max_s=%g", nj_histogram_quantile(h, 0.5) / 1e9,
                nj_histogram_quantile(h, 0.99) / 1e9, (double)h->max / 1e9);
    nj_json_close(j);
}

/* Where the time of each exposure went, against the broker's share of the budget. */
static void exposures(const nj_waterfall_sum *w, nj_json *j)
{
    nj_json_open(j, "exposures", '{');
    nj_json_put(
        j, "n=%llu alerts=%llu budget_s=%g broker_share=%g broker_budget_s=%g over=%llu closed_early=%llu",
        (unsigned long long)w->n, (unsigned long long)w->alerts, w->budget_s, w->broker_share,
        w->budget_s * w->broker_share, (unsigned long long)w->over, (unsigned long long)w->closed_early);
    nj_json_open(j, "spans", '{');
    for (int k = 0; k < NJ_SPANS; k++) seconds(j, nj_span_name[k], &w->span[k]);
    nj_json_close(j);
    seconds(j, "total", &w->total);
    nj_json_open(j, "worst", '[');
    for (uint32_t i = 0; i < w->n_worst; i++) {
        const nj_waterfall_exposure *e = &w->worst[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "survey=%s exposure=%g alerts=%llu total_s=%g", e->survey, e->exposure,
                    (unsigned long long)e->alerts, (double)nj_waterfall_total(e) / 1e9);
        nj_json_open(j, "spans_s", '{');
        for (int k = 0; k < NJ_SPANS; k++) nj_json_number(j, nj_span_name[k], (double)e->span_ns[k] / 1e9);
        nj_json_close(j);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

/* What the host found wrong with the outputs of modules. */
static void wrong(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "wrong_outputs", '[');
    for (uint32_t i = 0; i < r->n_wrong; i++) {
        const nj_report_wrong *w = &r->wrong[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s what=%s n=%llu first_id=%lld", w->name, w->what, (unsigned long long)w->n,
                    (long long)w->first_id);
        if (w->is_whole)
            nj_json_put(j, "first_value=%lld", (long long)w->first_whole);
        else
            nj_json_put(j, "first_value=%g", w->first_value);
        nj_json_put(j, "lo=%g hi=%g", w->lo, w->hi);
        nj_json_close(j);
    }
    nj_json_close(j);
}

/* Per instance that makes regions of notices. */
static void notices(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "notices", '[');
    for (uint32_t i = 0; i < r->n_notices; i++) {
        const nj_report_notices *of = &r->notices[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "module=%s troubles=%llu", of->module, (unsigned long long)of->troubles);
        for (uint32_t k = 0; k < of->n_counts; k++) nj_json_count(j, of->count[k].what, of->count[k].n);
        nj_json_close(j);
    }
    nj_json_close(j);
}

/* Those that clauses ask for by name. */
static void regions(const nj_report *r, nj_json *j)
{
    if (!r->n_regions) return;
    nj_json_open(j, "regions", '[');
    for (uint32_t i = 0; i < r->n_regions; i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s there=%hhd", r->region[i].name, r->region[i].there);
        nj_json_close(j);
    }
    nj_json_close(j);
}

/* What the supervisor had to do. */
static void guard(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "guard", '{');
    nj_json_put(j, "restarts=%u recycled=%u reloads=%u", r->restarts, r->recycled, r->reloads);
    nj_json_open(j, "modules", '[');
    for (uint32_t i = 0; i < r->n_failed; i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s failed_alerts=%llu quarantined=%hhd grown_bytes=%lld", r->failed[i].name,
                    (unsigned long long)r->failed[i].n, r->failed[i].off, (long long)r->failed[i].grown);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_open(j, "refused", '[');
    for (uint32_t i = 0; i < r->n_refused; i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "module=%s act=%s n=%llu", r->refused[i].module, r->refused[i].act,
                    (unsigned long long)r->refused[i].n);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_open(j, "shed", '[');
    for (uint32_t i = 0; r->shed && i < r->shed->n; i++) {
        const nj_shed_module *m = &r->shed->module[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s alerts=%llu more_ranges=%hhd", m->name, (unsigned long long)m->alerts,
                    m->more);
        nj_json_open(j, "ranges", '[');
        for (uint32_t k = 0; k < m->n_ranges; k++) {
            const nj_shed_range *g = &m->range[k];
            nj_json_open(j, NULL, '{');
            nj_json_put(j, "stream=%s first=%lld last=%lld alerts=%llu", g->stream, (long long)g->first,
                        (long long)g->last, (unsigned long long)g->alerts);
            nj_json_close(j);
        }
        nj_json_close(j);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

static void topics(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "topics", '[');
    for (uint32_t i = 0; i < r->n_topics; i++) {
        const nj_report_topic *t = &r->topic[i];
        const double n = (double)t->offered;
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s offered=%llu matches=%llu share=%g clause_us_per_alert=%g", t->name,
                    (unsigned long long)t->offered, (unsigned long long)t->matches, (double)t->matches / n,
                    (double)t->ns / 1e3 / n);
        nj_json_close(j);
    }
    nj_json_close(j);
}

static void duplicates(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "duplicates_in_files", '[');
    for (uint32_t i = 0; i < r->n_duplicates; i++) {
        const nj_report_duplicate *d = &r->duplicate[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "first=%s second=%s n=%llu id=%lld", d->first, d->second, (unsigned long long)d->n,
                    (long long)d->id);
        nj_json_close(j);
    }
    nj_json_close(j);
}

static void early(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "ended_early", '[');
    for (uint32_t i = 0; i < r->n_early; i++) nj_json_item(j, "%s", r->early[i]);
    nj_json_close(j);
    nj_json_count(j, "ended_early_unlisted", r->more_early);
}

/* Only of a source that has an end which others move. */
static void lag(const nj_report *r, nj_json *j)
{
    uint64_t sum = 0;
    if (!r->n_lags) return;
    for (uint32_t i = 0; i < r->n_lags; i++) sum += nj_report_behind(&r->lag[i]);
    nj_json_open(j, "lag", '{');
    nj_json_put(j, "messages=%llu", (unsigned long long)sum);
    nj_json_open(j, "partitions", '[');
    for (uint32_t i = 0; i < r->n_lags; i++) {
        const nj_report_lag *l = &r->lag[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s done=%lld end=%lld messages=%llu", l->name, (long long)l->done,
                    (long long)l->end, (unsigned long long)nj_report_behind(l));
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

static void outputs(const nj_report *r, nj_json *j)
{
    nj_json_open(j, "outputs", '[');
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const nj_report_output *o = &r->output[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s", o->name);
        for (int k = 0; k < 2; k++) {
            const nj_histogram *h = k ? &o->commit : &o->flush;
            nj_json_open(j, k ? "commit" : "flush", '{');
            nj_json_put(j, "n=%llu total_s=%g", (unsigned long long)h->n, h->sum / 1e9);
            milliseconds(j, h);
            nj_json_close(j);
        }
        nj_json_close(j);
    }
    nj_json_close(j);
}

static void throughput(const nj_report *r, nj_json *j)
{
    const nj_per_alert each = nj_report_run_cost(r);
    const double wall = r->wall_s > 0 ? r->wall_s : 1e-9;
    nj_json_open(j, "throughput", '{');
    nj_json_put(
        j,
        "alerts_per_s=%g alerts_per_s_core=%g cpu_us_per_alert=%g wall_us_per_alert=%g bytes_per_s=%g "
        "wall_s=%g cpu_s=%g rest_cpu_s=%g batches=%llu start_s=%g",
        (double)r->ledger.consumed / wall, each.per_s_core, each.cpu_us, each.wall_us,
        (double)r->bytes / wall, r->wall_s, r->cpu_s, nj_report_rest_ns(r) / 1e9,
        (unsigned long long)r->batches, r->start_s);
    nj_json_close(j);
}

void nj_report_json(const nj_report *r, nj_buffer *out)
{
    nj_json writer = nj_json_begin(out, '{'), *j = &writer;
    nj_json_put(j, "schema_version=%d", NJ_REPORT_SCHEMA);
    context(r, j);
    ledger(j, &r->ledger);
    nj_json_put(j, "interrupted=%hhd", r->interrupted);
    if (r->shard.n) {
        nj_json_open(j, "shard", '{');
        nj_json_put(j, "k=%u n=%u by=%s", r->shard.k, r->shard.n, r->shard.by);
        nj_json_close(j);
    }
    throughput(r, j);
    nj_json_open(j, "modules", '[');
    for (uint32_t i = 0; i < r->n_stages; i++) stage(r, &r->stage[i], j);
    nj_json_close(j);
    latency(r, j);
    if (r->waterfall) exposures(r->waterfall, j);
    energy(r, j);
    cost(r, j);
    nj_json_open(j, "memory", '{');
    nj_json_put(j, "rss_max_bytes=%ld", r->rss_max_bytes);
    nj_json_close(j);
    wrong(r, j);
    guard(r, j);
    notices(r, j);
    regions(r, j);
    topics(r, j);
    duplicates(r, j);
    early(r, j);
    lag(r, j);
    outputs(r, j);
    if (r->objects) nj_json_raw(j, "objects", r->objects, strlen(r->objects));
    nj_json_put(j, "future_points=%llu dead_letters=%s", (unsigned long long)r->future_points,
                r->dead_letters[0] ? r->dead_letters : NULL);
    nj_json_open(j, "sources", '[');
    for (uint32_t i = 0; i < r->n_streams; i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s", r->stream[i].name);
        ledger(j, &r->stream[i].ledger);
        if (r->stream[i].resumed) {
            const nj_ledger *all = &r->stream[i].all;
            nj_json_open(j, "all_runs", '{');
            nj_json_put(j, "emitted=%llu filtered=%llu dead=%llu duplicates=%llu others=%llu",
                        (unsigned long long)all->emitted, (unsigned long long)all->filtered,
                        (unsigned long long)all->dead, (unsigned long long)all->duplicates,
                        (unsigned long long)all->others);
            nj_json_close(j);
        }
        if (r->stream[i].part)
            nj_json_put(j, "part=%s own=%llu left=%llu", r->stream[i].part,
                        (unsigned long long)r->stream[i].own, (unsigned long long)r->stream[i].left);
        nj_json_close(j);
    }
    nj_json_end(j);
}
