/* report.c - reports of shards become the report of their night: counts and histograms are added, what is per
 * alert is made from the sums, and what cannot be added stands shard by shard in `shards`. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../sink/file.h"
#include "merge.h"

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *t = json_string_value(json_object_get(object, key));
    return t ? t : "";
}

static json_int_t whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void put(json_t *to, const char *key, double value)
{
    json_object_set_new(to, key, isfinite(value) ? json_real(value) : json_null());
}

static void add(json_t *to, const json_t *from, const char *const *key)
{
    for (; *key; key++) {
        const json_t *a = json_object_get(to, *key), *b = json_object_get(from, *key);
        if (!b) continue;
        if ((!a || json_is_integer(a)) && json_is_integer(b))
            json_object_set_new(to, *key, json_integer(json_integer_value(a) + json_integer_value(b)));
        else
            put(to, *key, json_number_value(a) + json_number_value(b));
    }
}

static void keep_most(json_t *to, const json_t *from, const char *const *key)
{
    for (; *key; key++) {
        json_t *b = json_object_get(from, *key);
        if (b && (!json_object_get(to, *key) || json_number_value(b) > real(to, *key)))
            json_object_set(to, *key, b);
    }
}

static const char *const band[] = { "value", "low", "high", NULL };

/* Figures per alert, of n and m alerts. */
static void mean(json_t *to, const json_t *from, double n, double m)
{
    for (const char *const *key = band; *key; key++)
        put(to, *key, n + m > 0 ? (real(to, *key) * n + real(from, *key) * m) / (n + m) : 0);
}

/* The one of a list that has the same name (and the same `what`). */
static json_t *named(json_t *list, const json_t *like, const char *key, const char *other)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(text(item, key), text(like, key))) continue;
        if (!other || !strcmp(text(item, other), text(like, other))) return item;
    }
    return NULL;
}

/* Adds those of the list `key`; a new one is copied. */
static void add_list(json_t *to, const json_t *from, const char *key, const char *name, const char *other,
                     const char *const *sum)
{
    json_t *have = json_object_get(to, key), *item;
    const json_t *more = json_object_get(from, key);
    size_t i;
    json_array_foreach(more, i, item)
    {
        json_t *same = named(have, item, name, other);
        if (same)
            add(same, item, sum);
        else
            json_array_append_new(have, json_deep_copy(item));
    }
}

void nj_merge_add_runs(json_t *report)
{
    static const char *const key[] = { "emitted", "filtered", "dead", "duplicates" };
    json_t *source, *whole_ledger = json_object_get(report, "ledger");
    size_t i;
    json_array_foreach(json_object_get(report, "sources"), i, source)
    {
        json_t *ledger = json_object_get(source, "ledger"), *all = json_object_get(source, "all_runs");
        if (!all) continue;
        for (size_t k = 0; k < sizeof key / sizeof *key; k++) {
            json_int_t before = whole(all, key[k]) - whole(ledger, key[k]);
            const json_t *more = json_pack("{s:I,s:I}", key[k], before, "consumed", before);
            const char *const both[] = { key[k], "consumed", NULL };
            add(ledger, more, both);
            add(whole_ledger, more, both);
            json_decref((json_t *)(uintptr_t)more);
        }
        json_object_set_new(ledger, "others", json_integer(whole(all, "others")));
        json_object_del(source, "all_runs");
        json_object_set_new(report, "resumed", json_true());
    }
}

/* ---- modules --------------------------------------------------------------------------------- */

/* Both are sorted by their edges. */
static json_t *add_histograms(const json_t *a, const json_t *b)
{
    json_t *sum = json_array();
    size_t i = 0, k = 0, n = json_array_size(a), m = json_array_size(b);
    while (i < n || k < m) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, k);
        json_int_t at_x = json_integer_value(json_array_get(x, 0)),
                   at_y = json_integer_value(json_array_get(y, 0));
        bool take_x = i < n && (k == m || at_x <= at_y), take_y = k < m && (i == n || at_y <= at_x);
        json_int_t count = (take_x ? json_integer_value(json_array_get(x, 1)) : 0) +
                           (take_y ? json_integer_value(json_array_get(y, 1)) : 0);
        json_array_append_new(sum, json_pack("[I,I]", take_x ? at_x : at_y, count));
        i += take_x;
        k += take_y;
    }
    return sum;
}

/* The edge of the cell that holds it: as fine as the report's cells, eight per power of two. */
static double quantile(const json_t *histogram, double q)
{
    json_int_t n = 0, seen = 0;
    const json_t *cell;
    size_t i;
    json_array_foreach(histogram, i, cell) n += json_integer_value(json_array_get(cell, 1));
    json_array_foreach(histogram, i, cell)
    {
        seen += json_integer_value(json_array_get(cell, 1));
        if ((double)seen >= q * (double)n) return json_number_value(json_array_get(cell, 0));
    }
    return 0;
}

static void add_module(json_t *to, const json_t *from)
{
    static const char *const sum[] = { "calls",   "offered", "passed", "hits",
                                       "flagged", "wall_ns", "cpu_ns", NULL };
    static const char *const most[] = { "max_ns", "cold_start_ns", NULL };
    double n = real(to, "offered"), m = real(from, "offered");
    const char *key;
    const json_t *value, *energy = json_object_get(to, "energy"), *more = json_object_get(from, "energy");
    json_object_foreach((json_t *)(uintptr_t)json_object_get(from, "reasons"), key, value) add(
        json_object_get(to, "reasons"), json_object_get(from, "reasons"), (const char *const[]){ key, NULL });
    mean(json_object_get(energy, "joule_per_alert"), json_object_get(more, "joule_per_alert"), n, m);
    mean(json_object_get(energy, "gco2e_per_million"), json_object_get(more, "gco2e_per_million"), n, m);
    if (json_object_get(to, "cost_per_million"))
        mean(json_object_get(to, "cost_per_million"), json_object_get(from, "cost_per_million"), n, m);
    add(to, from, sum);
    keep_most(to, from, most);
    json_t *histogram = add_histograms(json_object_get(to, "histogram"), json_object_get(from, "histogram"));
    json_object_set_new(to, "histogram", histogram);
}

/* What follows from the sums. */
static void finish_module(json_t *m, double cpu_s)
{
    double offered = real(m, "offered"), hits = real(m, "hits"), cpu = real(m, "cpu_ns");
    const json_t *h = json_object_get(m, "histogram");
    put(m, "cpu_us_per_alert", offered > 0 ? cpu / offered / 1e3 : 0);
    put(m, "cpu_us_per_hit", hits > 0 ? cpu / hits / 1e3 : 0);
    put(m, "wall_us_per_alert", offered > 0 ? real(m, "wall_ns") / offered / 1e3 : 0);
    put(m, "onsky_per_s_core", cpu > 0 ? offered / cpu * 1e9 : 0);
    put(m, "effective_per_s_core", cpu > 0 ? hits / cpu * 1e9 : 0);
    put(m, "share", cpu_s > 0 ? cpu / (cpu_s * 1e9) : 0);
    if (json_array_size(h)) {
        put(m, "p50_ns", quantile(h, 0.5));
        put(m, "p95_ns", quantile(h, 0.95));
        put(m, "p99_ns", quantile(h, 0.99));
    }
    json_object_del(m, "drift"); /* along one run */
}

static void add_modules(json_t *to, const json_t *from)
{
    json_t *have = json_object_get(to, "modules"), *item;
    size_t i;
    json_array_foreach(json_object_get(from, "modules"), i, item)
    {
        /* "(output: ndjson)" and "(stamps: sci)" are one stage whatever stands behind them */
        json_t *same = named(have, item, "name", NULL);
        if (same)
            add_module(same, item);
        else
            json_array_append_new(have, json_deep_copy(item));
    }
}

/* ---- all else -------------------------------------------------------------------------------- */

static const char *const ledger_key[] = { "consumed", "emitted", "filtered", "dead", "duplicates",
                                          "returned", "again",   "missing",  NULL };

static void add_sources(json_t *to, const json_t *from)
{
    json_t *have = json_object_get(to, "sources"), *item;
    size_t i;
    json_array_foreach(json_object_get(from, "sources"), i, item)
    {
        json_t *same = named(have, item, "name", NULL);
        if (same)
            add(json_object_get(same, "ledger"), json_object_get(item, "ledger"), ledger_key);
        else
            json_array_append_new(have, json_deep_copy(item));
    }
}

static void add_topics(json_t *to, const json_t *from)
{
    static const char *const sum[] = { "offered", "matches", NULL };
    json_t *have = json_object_get(to, "topics"), *item;
    size_t i;
    json_array_foreach(json_object_get(from, "topics"), i, item)
    {
        json_t *same = named(have, item, "name", NULL);
        double n = real(same, "offered"), m = real(item, "offered");
        double us = real(same, "clause_us_per_alert") * n + real(item, "clause_us_per_alert") * m;
        if (!same) {
            json_array_append_new(have, json_deep_copy(item));
            continue;
        }
        add(same, item, sum);
        put(same, "share", n + m > 0 ? real(same, "matches") / (n + m) : 0);
        put(same, "clause_us_per_alert", n + m > 0 ? us / (n + m) : 0);
    }
}

/* The machines' CPU time together, and what of it was the runs'. */
static void add_attributed(json_t *to, const json_t *from)
{
    static const char *const sum[] = { "cpu_s", "machine_cpu_s", NULL };
    add(to, from, sum);
    add(json_object_get(to, "joule"), json_object_get(from, "joule"), band);
    if (real(to, "machine_cpu_s") > 0) put(to, "share", real(to, "cpu_s") / real(to, "machine_cpu_s"));
}

static void add_energy(json_t *to, const json_t *from)
{
    static const char *const machine[] = { "seconds", "total_joule", "active_joule", "idle_joule", NULL };
    add(json_object_get(to, "joule"), json_object_get(from, "joule"), band);
    add(json_object_get(to, "machine"), json_object_get(from, "machine"), machine);
    add_attributed(json_object_get(to, "attributed"), json_object_get(from, "attributed"));
    add(json_object_get(json_object_get(to, "carbon"), "gram"),
        json_object_get(json_object_get(from, "carbon"), "gram"), band);
}

static void add_guard(json_t *to, const json_t *from)
{
    static const char *const sum[] = { "restarts", "recycled", "reloads", NULL },
                             *const failed[] = { "failed_alerts", NULL }, *const n[] = { "n", NULL },
                             *const alerts[] = { "alerts", NULL };
    add(to, from, sum);
    add_list(to, from, "modules", "name", NULL, failed);
    add_list(to, from, "refused", "module", "act", n);
    add_list(to, from, "shed", "name", NULL, alerts);
}

static void add_throughput(json_t *to, const json_t *from)
{
    static const char *const sum[] = { "cpu_s", "rest_cpu_s", "batches", NULL }, *const most[] = { "wall_s",
                                                                                                   "start_s",
                                                                                                   NULL };
    double bytes =
        real(to, "bytes_per_s") * real(to, "wall_s") + real(from, "bytes_per_s") * real(from, "wall_s");
    add(to, from, sum);
    keep_most(to, from, most);
    put(to, "bytes_per_s", real(to, "wall_s") > 0 ? bytes / real(to, "wall_s") : 0);
}

/* The shards ran beside each other: the longest is the wall time. */
static void finish_throughput(json_t *t, double consumed)
{
    double wall = real(t, "wall_s"), cpu = real(t, "cpu_s");
    put(t, "alerts_per_s", wall > 0 ? consumed / wall : 0);
    put(t, "alerts_per_s_core", cpu > 0 ? consumed / cpu : 0);
    put(t, "cpu_us_per_alert", consumed > 0 ? cpu / consumed * 1e6 : 0);
    put(t, "wall_us_per_alert", consumed > 0 ? wall / consumed * 1e6 : 0);
}

static void add_shard(json_t *list, const nj_merge_shard *s)
{
    static const char *const kept[] = { "shard",        "interrupted", "throughput", "latency",
                                        "exposures",    "memory",      "outputs",    "ledger",
                                        "dead_letters", "resumed",     NULL };
    json_t *one = json_object();
    json_object_set_new(one, "report", json_string(s->path));
    for (const char *const *key = kept; *key; key++) {
        json_t *value = json_object_get(s->said, *key);
        if (value) json_object_set_new(one, *key, json_deep_copy(value));
    }
    json_object_set(one, "context", json_object_get(s->said, "context"));
    json_array_append_new(list, one);
}

static void add_report(json_t *sum, const json_t *from)
{
    static const char *const latency[] = { "p50_ms", "p99_ms", "max_ms", NULL },
                             *const rss[] = { "rss_max_bytes", NULL }, *const n[] = { "n", NULL },
                             *const top[] = { "future_points", NULL }, *const threads[] = { "threads", NULL };
    json_t *context = json_object_get(sum, "context"), *cost = json_object_get(sum, "cost");
    const json_t *of = json_object_get(from, "context"), *ledger = json_object_get(from, "ledger");
    char digest[32];
    unsigned long long ids = strtoull(text(context, "input_digest") + 4, NULL, 16) +
                             strtoull(text(of, "input_digest") + 4, NULL, 16);
    snprintf(digest, sizeof digest, "ids:%016llx", ids);
    json_object_set_new(context, "input_digest", json_string(digest));
    if (strcmp(text(of, "date"), text(context, "date")) < 0)
        json_object_set(context, "date", json_object_get(of, "date"));
    add(context, of, threads);
    if (cost)
        mean(json_object_get(cost, "per_million"),
             json_object_get(json_object_get(from, "cost"), "per_million"),
             real(json_object_get(sum, "ledger"), "consumed"), real(ledger, "consumed"));
    add(json_object_get(sum, "ledger"), ledger, ledger_key);
    add_throughput(json_object_get(sum, "throughput"), json_object_get(from, "throughput"));
    add_modules(sum, from);
    keep_most(json_object_get(sum, "latency"), json_object_get(from, "latency"), latency);
    add_energy(json_object_get(sum, "energy"), json_object_get(from, "energy"));
    keep_most(json_object_get(sum, "memory"), json_object_get(from, "memory"), rss);
    add_list(sum, from, "wrong_outputs", "name", "what", n);
    add_guard(json_object_get(sum, "guard"), json_object_get(from, "guard"));
    add(sum, from, top);
    add_sources(sum, from);
    add_topics(sum, from);
    if (json_is_true(json_object_get(from, "interrupted")))
        json_object_set_new(sum, "interrupted", json_true());
    json_t *letters = json_object_get(from, "dead_letters"), *early;
    if (json_is_string(letters) && !json_is_string(json_object_get(sum, "dead_letters")))
        json_object_set(sum, "dead_letters", letters);
    size_t i, k;
    json_array_foreach(json_object_get(from, "ended_early"), i, early)
    {
        json_t *have = json_object_get(sum, "ended_early"), *other;
        bool there = false;
        json_array_foreach(have, k, other) there |= json_equal(other, early);
        if (!there) json_array_append(have, early);
    }
}

/* A topic stands beside its partitions, for the shards alone. */
static void drop_topics(json_t *sources)
{
    for (size_t i = json_array_size(sources); i-- > 0;)
        if (!strcmp(text(json_array_get(sources, i), "part"), "partition")) json_array_remove(sources, i);
}

static bool is_closed(const json_t *ledger)
{
    json_int_t sum = 0;
    for (const char *const *key = ledger_key + 1; strcmp(*key, "again") != 0; key++)
        sum += whole(ledger, *key);
    return sum == whole(ledger, "consumed");
}

int nj_merge_reports(const char *out, const nj_merge_set *set, const nj_merge_options *o, nj_error *err)
{
    static const char *const one_runs[] = { "shard", "resumed", "exposures", NULL };
    uint32_t base = 0; /* one with alerts, which names the modules */
    while (base + 1 < set->n && !whole(json_object_get(set->shard[base].said, "ledger"), "consumed")) base++;
    json_t *sum = json_deep_copy(set->shard[base].said), *shards = json_array(), *item;
    size_t i;
    for (const char *const *key = one_runs; *key; key++) json_object_del(sum, *key);
    json_object_set_new(sum, "outputs", json_array());
    for (uint32_t k = 0; k < set->n; k++) {
        if (k != base) add_report(sum, set->shard[k].said);
        add_shard(shards, &set->shard[k]);
    }
    json_t *ledger = json_object_get(sum, "ledger");
    json_object_del(ledger, "others");
    json_object_set_new(ledger, "closed", json_boolean(is_closed(ledger) && !set->n_faults));
    finish_throughput(json_object_get(sum, "throughput"), real(ledger, "consumed"));
    json_array_foreach(json_object_get(sum, "modules"), i, item)
        finish_module(item, real(json_object_get(sum, "throughput"), "cpu_s"));
    drop_topics(json_object_get(sum, "sources"));
    json_array_foreach(json_object_get(sum, "sources"), i, item)
    {
        static const char *const dealt[] = { "part", "own", "left", NULL };
        for (const char *const *key = dealt; *key; key++) json_object_del(item, *key);
        json_object_del(json_object_get(item, "ledger"), "others");
    }
    json_object_set_new(sum, "shards", shards);
    char *json = json_dumps(sum, JSON_COMPACT);
    nj_outfile file = { .fd = -1 };
    int rc = json ? nj_outfile_open(&file, out, o->mode, err) : nj_fail(err, "out of memory");
    if (json && !rc) rc = nj_outfile_write(&file, json, strlen(json), err);
    if (file.path && nj_outfile_close(&file, rc != 0, rc ? NULL : err)) rc = -1;
    free(json);
    json_decref(sum);
    return rc;
}
