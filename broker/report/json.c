/* json.c - the run report as JSON; contract.md lists its parts. */
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/version.h"
#include "../measure/stats.h"
#include "report.h"

static void text(nj_buffer *b, const char *key, const char *value, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": ", key);
    nj_json_text(b, value);
    nj_buffer_text(b, tail);
}

/* A real stays one when it happens to be whole, for readers that take a column's type from its values. */
static void number(nj_buffer *b, const char *key, double value, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": ", key);
    size_t start = b->n;
    nj_json_f64(b, value);
    if (!b->failed && isfinite(value) && !strpbrk(b->data + start, ".e")) nj_buffer_text(b, ".0");
    nj_buffer_text(b, tail);
}

static void count(nj_buffer *b, const char *key, uint64_t value, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": %llu%s", key, (unsigned long long)value, tail);
}

static void cpu_model(char name[128])
{
    strcpy(name, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            snprintf(name, 128, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
            break;
        }
    if (f) fclose(f);
}

static void context(const nj_report *r, nj_buffer *b)
{
    struct utsname u;
    char cpu[128], digest[32];
    cpu_model(cpu);
    uname(&u);
    snprintf(digest, sizeof digest, "ids:%016llx", (unsigned long long)r->digest);
    nj_buffer_text(b, "  \"context\": {");
    text(b, "version", nj_version, ", ");
    text(b, "git", nj_revision, ", ");
    text(b, "compiler", nj_compiler, ", ");
    text(b, "flags", nj_flags, ",\n    ");
    text(b, "cpu", cpu, ", ");
    count(b, "cores", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), ", ");
    text(b, "kernel", u.release, ", ");
    text(b, "date", r->started, ", ");
    count(b, "threads", (uint64_t)r->threads, ",\n    ");
    text(b, "input", r->input, ", ");
    text(b, "input_digest", digest, ",\n    \"files\": [");
    for (uint32_t i = 0; i < r->n_files; i++) {
        nj_buffer_text(b, i ? ", {" : "{");
        text(b, "name", r->file[i].name, ", ");
        text(b, "sha256", r->file[i].sha256, r->file[i].generation ? ", " : "}");
        if (!r->file[i].generation) continue;
        count(b, "generation", r->file[i].generation, ", ");
        count(b, "searched", r->file[i].searched, "}");
    }
    nj_buffer_text(b, "]},\n");
}

static void ledger(nj_buffer *b, const nj_ledger *l)
{
    nj_buffer_text(b, "{");
    count(b, "consumed", l->consumed, ", ");
    count(b, "emitted", l->emitted, ", ");
    count(b, "filtered", l->filtered, ", ");
    count(b, "dead", l->dead, ", ");
    count(b, "duplicates", l->duplicates, ", ");
    count(b, "returned", l->returned, ", ");
    count(b, "again", l->again, ", ");
    nj_buffer_printf(b, "\"closed\": %s}", nj_ledger_closed(l) ? "true" : "false");
}

static void valued(nj_buffer *b, const char *key, const nj_energy_source *e, double factor, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": {", key);
    number(b, "value", e->watt * factor, ", ");
    number(b, "low", e->low * factor, ", ");
    number(b, "high", e->high * factor, ", ");
    text(b, "kind", e->kind, ", ");
    text(b, "source", e->source, ", ");
    nj_buffer_printf(b, "\"year\": %d}%s", e->year, tail);
}

/* Carbon of cpu_s busy seconds; no more certain than its worst factor,
 * and the bands of one another's ends. */
static void grams(nj_buffer *b, const char *key, const nj_report *r, double cpu_s, const char *tail)
{
    const nj_carbon *c = &r->carbon;
    const char *kind =
        !strcmp(r->energy.kind, "assumed") || !strcmp(c->kind, "assumed") ? "assumed" : "modelled";
    nj_buffer_printf(b, "\"%s\": {", key);
    number(b, "value", nj_carbon_grams(r->energy.watt * cpu_s, c->pue, c->g_per_kwh), ", ");
    number(b, "low", nj_carbon_grams(r->energy.low * cpu_s, c->pue, c->g_per_kwh), ", ");
    number(b, "high", nj_carbon_grams(r->energy.high * cpu_s, c->pue, c->g_per_kwh), ", ");
    text(b, "kind", kind, ", ");
    text(b, "source", c->source, ", ");
    nj_buffer_printf(b, "\"year\": %d}%s", c->year, tail);
}

/* Money for busy_s core-seconds. */
static void price(nj_buffer *b, const char *key, const nj_cost *c, double busy_s, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": {", key);
    number(b, "value", nj_cost_busy(c, busy_s), ", ");
    number(b, "low", nj_cost_busy_low(c, busy_s), ", ");
    number(b, "high", nj_cost_busy_high(c, busy_s), ", ");
    text(b, "kind", c->kind, ", ");
    text(b, "source", c->source, ", ");
    nj_buffer_printf(b, "\"year\": %d}%s", c->year, tail);
}

static void cost(const nj_report *r, nj_buffer *b)
{
    const nj_cost *c = &r->cost;
    double n = (double)r->ledger.consumed;
    if (!c->currency) return;
    nj_buffer_text(b, "  \"cost\": {");
    text(b, "currency", c->currency, ", ");
    number(b, "core_hour", c->core_hour, ", ");
    number(b, "use", c->use, ", ");
    number(b, "egress_gb", c->egress_gb, ", ");
    number(b, "egress_of_packets_per_million", n > 0 ? (double)r->bytes / n / 1e3 * c->egress_gb : 0,
           ",\n    ");
    price(b, "per_million", c, n > 0 ? r->cpu_s / n * 1e6 : 0, "},\n  ");
}

/* Eight cells per power of two: [lower edge in ns, entries] of those that are not empty. */
static void distribution(nj_buffer *b, const nj_histogram *h)
{
    enum { COARSE = NJ_HISTOGRAM_SUB / 8 };
    nj_buffer_text(b, "\"histogram\": [");
    for (uint32_t i = 0, first = 1; i < NJ_HISTOGRAM_CELLS; i += COARSE) {
        uint64_t n = 0;
        for (uint32_t k = i; k < i + COARSE; k++) n += h->cell[k];
        if (!n) continue;
        nj_buffer_printf(b, "%s[%.0f, %llu]", first ? "" : ", ", nj_histogram_edge(i), (unsigned long long)n);
        first = 0;
    }
    nj_buffer_text(b, "]");
}

/* At most 128 points: medians of neighbours. */
static void drift(nj_buffer *b, const nj_drift_line *d)
{
    enum { POINTS = 128 };
    const nj_trend *t = &d->trend;
    uint32_t group = (d->n + POINTS - 1) / POINTS;
    double scale = t->median > 0 ? 1e5 / t->median : 0; /* ns per batch to % per 1000 batches */
    nj_buffer_text(b, "\"drift\": {");
    number(b, "percent_per_1000", d->percent_per_1000, ", ");
    number(b, "low", t->low * scale, ", ");
    number(b, "high", t->high * scale, ", ");
    number(b, "change_percent", d->change_percent, ", ");
    number(b, "tau", t->tau, ", ");
    number(b, "p", t->p, ", ");
    count(b, "n", d->n, ", ");
    count(b, "stride", d->stride, ", ");
    nj_buffer_printf(b, "\"drifts\": %s, \"points\": [", d->drifts ? "true" : "false");
    for (uint32_t i = 0; i < d->n; i += group) {
        uint32_t n = d->n - i < group ? d->n - i : group;
        nj_buffer_printf(b, "%s[%.0f, %.5g]", i ? ", " : "", d->batch[i + n / 2],
                         nj_quantile(d->ns + i, n, 0.5));
    }
    nj_buffer_text(b, "]}");
}

static void energy(const nj_report *r, nj_buffer *b)
{
    const nj_carbon *c = &r->carbon;
    nj_buffer_text(b, "  \"energy\": {");
    text(b, "tier", r->energy.tier, ", ");
    nj_buffer_printf(b, "\"sees_load\": %s, ", r->energy.sees_load ? "true" : "false");
    valued(b, "watt_per_busy_thread", &r->energy, 1, ",\n    ");
    valued(b, "joule", &r->energy, r->cpu_s, ",\n    \"machine\": {");
    number(b, "seconds", r->split.seconds, ", ");
    number(b, "load", r->split.load, ", ");
    number(b, "total_joule", r->split.total_j, ", ");
    number(b, "active_joule", r->split.active_j, ", ");
    number(b, "idle_joule", r->split.idle_j, "},\n    \"carbon\": {");
    text(b, "country", c->country, ", ");
    number(b, "g_per_kwh", c->g_per_kwh, ", ");
    number(b, "pue", c->pue, ", ");
    text(b, "kind", c->kind, ", ");
    text(b, "source", c->source, ", ");
    nj_buffer_printf(b, "\"year\": %d, ", c->year);
    grams(b, "gram", r, r->cpu_s, "}},\n  ");
}

static void stage(const nj_report *r, const nj_stage *s, nj_buffer *b)
{
    static const char *const reason[] = { "done",  "cut",         "few_points", "no_input", "no_fit",
                                          "range", "unavailable", "failed",     "shed" };
    const nj_counter *c = &s->count;
    const nj_per_alert each = nj_counter_cost(c);
    double n = (double)c->offered, cpu_s = (double)c->cpu_ns / 1e9;
    nj_buffer_text(b, "    {");
    text(b, "name", s->name, ", ");
    text(b, "version", s->version, ", ");
    text(b, "kind", s->is_module ? "module" : "stage", ", ");
    count(b, "calls", c->calls, ", ");
    count(b, "offered", c->offered, ", ");
    count(b, "passed", c->passed, ", ");
    count(b, "hits", c->hits, ", ");
    count(b, "flagged", c->flagged, ",\n     \"reasons\": {");
    for (int k = 0, first = 1; k < 9; k++) {
        if (!c->reason[k]) continue;
        if (!first) nj_buffer_text(b, ", ");
        count(b, reason[k], c->reason[k], "");
        first = 0;
    }
    nj_buffer_text(b, "}, ");
    count(b, "wall_ns", (uint64_t)c->wall_ns, ", ");
    count(b, "cpu_ns", (uint64_t)c->cpu_ns, ", ");
    number(b, "cpu_us_per_alert", each.cpu_us, ", ");
    number(b, "cpu_us_per_hit", each.cpu_us_hit, ", ");
    number(b, "wall_us_per_alert", each.wall_us, ",\n     ");
    number(b, "p50_ns", nj_histogram_quantile(&c->one, 0.5), ", ");
    number(b, "p95_ns", nj_histogram_quantile(&c->one, 0.95), ", ");
    number(b, "p99_ns", nj_histogram_quantile(&c->one, 0.99), ", ");
    count(b, "max_ns", c->one.max, ", ");
    number(b, "onsky_per_s_core", each.per_s_core, ", ");
    number(b, "effective_per_s_core", each.effective_per_s_core, ", ");
    number(b, "share", nj_cpu_share((double)c->cpu_ns, r->cpu_s * 1e9), ", ");
    count(b, "cold_start_ns", (uint64_t)s->cold_start_ns, ",\n     \"energy\": {");
    valued(b, "joule_per_alert", &r->energy, n > 0 ? cpu_s / n : 0, ", ");
    grams(b, "gco2e_per_million", r, n > 0 ? cpu_s / n * 1e6 : 0, "},\n     ");
    if (r->cost.currency) price(b, "cost_per_million", &r->cost, n > 0 ? cpu_s / n * 1e6 : 0, ",\n     ");
    distribution(b, &c->one);
    if (s->drift.n) {
        nj_buffer_text(b, ",\n     ");
        drift(b, &s->drift);
    }
    nj_buffer_text(b, "}");
}

static void latency(const char *key, const nj_histogram *h, nj_buffer *b, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": {", key);
    number(b, "p50_ms", nj_histogram_quantile(h, 0.5) / 1e6, ", ");
    number(b, "p99_ms", nj_histogram_quantile(h, 0.99) / 1e6, ", ");
    number(b, "max_ms", (double)h->max / 1e6, "}");
    nj_buffer_text(b, tail);
}

static void seconds(nj_buffer *b, const char *key, const nj_histogram *h, const char *tail)
{
    nj_buffer_printf(b, "\"%s\": {", key);
    number(b, "p50_s", nj_histogram_quantile(h, 0.5) / 1e9, ", ");
    number(b, "p99_s", nj_histogram_quantile(h, 0.99) / 1e9, ", ");
    number(b, "max_s", (double)h->max / 1e9, "}");
    nj_buffer_text(b, tail);
}

/* Where the time of each exposure went, against the broker's share of the budget. */
static void exposures(const nj_waterfall_sum *w, nj_buffer *b)
{
    nj_buffer_text(b, "  \"exposures\": {");
    count(b, "n", w->n, ", ");
    count(b, "alerts", w->alerts, ", ");
    number(b, "budget_s", w->budget_s, ", ");
    number(b, "broker_share", w->broker_share, ", ");
    number(b, "broker_budget_s", w->budget_s * w->broker_share, ", ");
    count(b, "over", w->over, ", ");
    count(b, "closed_early", w->closed_early, ",\n    \"spans\": {");
    for (int k = 0; k < NJ_SPANS; k++)
        seconds(b, nj_span_name[k], &w->span[k], k + 1 < NJ_SPANS ? ", " : "},\n    ");
    seconds(b, "total", &w->total, ",\n    \"worst\": [");
    for (uint32_t i = 0; i < w->n_worst; i++) {
        const nj_waterfall_exposure *e = &w->worst[i];
        nj_buffer_text(b, i ? ",\n      {" : "\n      {");
        text(b, "survey", e->survey, ", ");
        number(b, "exposure", e->exposure, ", ");
        count(b, "alerts", e->alerts, ", ");
        number(b, "total_s", (double)nj_waterfall_total(e) / 1e9, ", \"spans_s\": {");
        for (int k = 0; k < NJ_SPANS; k++)
            number(b, nj_span_name[k], (double)e->span_ns[k] / 1e9, k + 1 < NJ_SPANS ? ", " : "}}");
    }
    nj_buffer_text(b, "]},\n");
}

/* What the host found wrong with the outputs of modules. */
static void wrong(const nj_report *r, nj_buffer *b)
{
    nj_buffer_text(b, "  \"wrong_outputs\": [");
    for (uint32_t i = 0; i < r->n_wrong; i++) {
        const nj_report_wrong *w = &r->wrong[i];
        nj_buffer_text(b, i ? ",\n    {" : "\n    {");
        text(b, "name", w->name, ", ");
        text(b, "what", w->what, ", ");
        count(b, "n", w->n, ", ");
        nj_buffer_printf(b, "\"first_id\": %lld, ", (long long)w->first_id);
        if (w->is_whole)
            nj_buffer_printf(b, "\"first_value\": %lld, ", (long long)w->first_whole);
        else
            number(b, "first_value", w->first_value, ", ");
        number(b, "lo", w->lo, ", ");
        number(b, "hi", w->hi, "}");
    }
    nj_buffer_text(b, "],\n");
}

/* What the supervisor had to do. */
static void guard(const nj_report *r, nj_buffer *b)
{
    nj_buffer_printf(b, "  \"guard\": {\"restarts\": %u, \"recycled\": %u, \"modules\": [", r->restarts,
                     r->recycled);
    for (uint32_t i = 0; i < r->n_guilty; i++) {
        nj_buffer_text(b, i ? ", {" : "{");
        text(b, "name", r->guilty[i].name, ", ");
        count(b, "failed_alerts", r->guilty[i].n, ", ");
        nj_buffer_printf(b, "\"quarantined\": %s}", r->guilty[i].off ? "true" : "false");
    }
    nj_buffer_text(b, "]},\n");
}

void nj_report_json(const nj_report *r, nj_buffer *b)
{
    const nj_per_alert each = nj_report_run_cost(r);
    double n = (double)r->ledger.consumed, wall = r->wall_s > 0 ? r->wall_s : 1e-9;
    nj_buffer_printf(b, "{\n  \"schema_version\": %d,\n", NJ_REPORT_SCHEMA);
    context(r, b);
    nj_buffer_text(b, "  \"ledger\": ");
    ledger(b, &r->ledger);
    nj_buffer_printf(b, ",\n  \"interrupted\": %s,\n  \"throughput\": {", r->interrupted ? "true" : "false");
    number(b, "alerts_per_s", n / wall, ", ");
    number(b, "alerts_per_s_core", each.per_s_core, ", ");
    number(b, "cpu_us_per_alert", each.cpu_us, ", ");
    number(b, "wall_us_per_alert", each.wall_us, ", ");
    number(b, "bytes_per_s", (double)r->bytes / wall, ", ");
    number(b, "wall_s", r->wall_s, ", ");
    number(b, "cpu_s", r->cpu_s, ", ");
    number(b, "rest_cpu_s", nj_report_rest_ns(r) / 1e9, ", ");
    count(b, "batches", r->batches, ", ");
    number(b, "start_s", r->start_s, "},\n  \"modules\": [\n");
    for (uint32_t i = 0; i < r->n_stages; i++) {
        stage(r, &r->stage[i], b);
        nj_buffer_text(b, i + 1 < r->n_stages ? ",\n" : "\n");
    }
    nj_buffer_text(b, "  ],\n  ");
    latency("latency", &r->latency, b, "");
    b->n--; /* into the object just closed */
    nj_buffer_printf(b, ", \"live\": %s", r->live ? "true" : "false");
    if (r->live) {
        nj_buffer_text(b, ", ");
        latency("publish", &r->publish, b, "");
        nj_buffer_text(b, ", ");
        latency("total", &r->total, b, "");
    }
    nj_buffer_text(b, "},\n");
    if (r->waterfall) exposures(r->waterfall, b);
    energy(r, b);
    cost(r, b);
    nj_buffer_printf(b, "\"memory\": {\"rss_max_bytes\": %ld},\n", r->rss_max_bytes);
    wrong(r, b);
    guard(r, b);
    nj_buffer_printf(b, "  \"future_points\": %llu,\n  ", (unsigned long long)r->future_points);
    text(b, "dead_letters", r->dead_letters[0] ? r->dead_letters : NULL, ",\n  \"sources\": [\n");
    for (uint32_t i = 0; i < r->n_streams; i++) {
        nj_buffer_text(b, "    {");
        text(b, "name", r->stream[i].name, ", \"ledger\": ");
        ledger(b, &r->stream[i].ledger);
        nj_buffer_text(b, i + 1 < r->n_streams ? "},\n" : "}\n");
    }
    nj_buffer_text(b, "  ]\n}\n");
}
