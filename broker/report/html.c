#include "html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "html_analysis.h"
#include "html_cells.h"

/* --- the stages ------------------------------------------------------------------------------------------------------------ */

/* Mean and sd over the runs; of a single run: how the middle half of its one-row calls spreads about their median. */
static void whiskers(const nj_page *p, nj_html_stage *s)
{
    double sum = 0, square = 0, n = 0;
    for (uint32_t r = 0; r < p->n_runs; r++) {
        size_t i;
        json_t *m;
        json_array_foreach(json_object_get(p->run[r], "modules"), i, m)
        {
            double v = nj_html_number(m, "onsky_per_s_core");
            if (strcmp(nj_html_words(m, "name"), s->name) || !(v > 0)) continue;
            sum += v;
            square += v * v;
            n++;
        }
    }
    s->low = s->high = NAN;
    if (p->n_runs > 1 && n > 1) {
        double mean = sum / n, sd = sqrt(fmax(square / n - mean * mean, 0) * n / (n - 1));
        s->onsky = mean;
        s->low = mean - sd;
        s->high = mean + sd;
        return;
    }
    const json_t *cells = json_object_get(s->json, "histogram");
    double all = 0, seen = 0, q1 = NAN, q3 = NAN, p50 = nj_html_number(s->json, "p50_ns");
    for (size_t i = 0; i < json_array_size(cells); i++) all += json_number_value(json_array_get(json_array_get(cells, i), 1));
    for (size_t i = 0; i < json_array_size(cells) && all >= 4; i++) {
        seen += json_number_value(json_array_get(json_array_get(cells, i), 1));
        double middle = json_number_value(json_array_get(json_array_get(cells, i), 0)) * 1.06;
        if (isnan(q1) && seen >= 0.25 * all) q1 = middle;
        if (isnan(q3) && seen >= 0.75 * all) q3 = middle;
    }
    if (!(p50 > 0) || !(q1 > 0) || !(q3 > 0)) return;
    s->low = s->onsky * fmin(p50 / q3, 1);
    s->high = s->onsky * fmax(p50 / q1, 1);
}

static uint32_t collect(const nj_page *p, nj_html_stage stage[NJ_HTML_STAGES])
{
    size_t i;
    json_t *m;
    uint32_t n = 0;
    json_array_foreach(json_object_get(p->run[0], "modules"), i, m)
    {
        if (n == NJ_HTML_STAGES || !(nj_html_number(m, "offered") > 0)) continue;
        nj_html_stage *s = &stage[n++];
        *s = (nj_html_stage){ .name = nj_html_words(m, "name"),
                              .json = m,
                              .is_module = !strcmp(nj_html_words(m, "kind"), "module"),
                              .offered = nj_html_number(m, "offered"),
                              .passed = nj_html_number(m, "passed"),
                              .hits = nj_html_number(m, "hits"),
                              .flagged = nj_html_number(m, "flagged"),
                              .share = nj_html_number(m, "share"),
                              .onsky = nj_html_number(m, "onsky_per_s_core") };
        whiskers(p, s);
    }
    return n;
}

/* A modelled figure pretends no more. */
static double two_digits(double v)
{
    if (!(v > 0)) return v;
    double p = pow(10, floor(log10(v)) - 1);
    return round(v / p) * p;
}

static void name_cell(nj_buffer *b, const char *name, const char *version)
{
    nj_buffer_text(b, "<td>");
    nj_html_text(b, name);
    if (*version) {
        nj_buffer_text(b, " <span class=dim>");
        nj_html_text(b, version);
        nj_buffer_text(b, "</span>");
    }
    nj_buffer_text(b, "</td>");
}

static const char *small(char text[24], double v)
{
    snprintf(text, 24, v > 0 && v < 0.001 ? "<.001" : "%.2g", v);
    return text;
}

/* All stages together, below the rows that are sorted. */
static void total_row(nj_buffer *b, const json_t *run)
{
    const json_t *watt = json_object_get(json_object_get(run, "energy"), "watt_per_busy_thread");
    double wall = 0, cpu = 0, n = nj_html_number(json_object_get(run, "ledger"), "consumed");
    char v[24], lo[24], hi[24];
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(run, "modules"), i, m)
    {
        wall += nj_html_number(m, "wall_ns");
        cpu += nj_html_number(m, "cpu_ns");
    }
    double uj = cpu / 1e9 / n * 1e6;
    nj_buffer_text(b, "</tbody><tfoot><tr>");
    nj_html_text_cell(b, "total per core");
    nj_html_count_cell(b, n);
    nj_buffer_text(b, "<td></td><td></td><td></td>");
    nj_html_duration_cell(b, wall / n);
    nj_buffer_text(b, "<td></td><td></td><td></td><td>100 %</td>");
    nj_html_si_cell(b, n / (cpu / 1e9));
    nj_buffer_printf(b,
                     "<td></td><td>%.8s<span class=range>[%.8s, %.8s]</span></td><td></td><td></td></tr></tfoot></table></div>\n",
                     nj_html_si(v, two_digits(uj * nj_html_number(watt, "value"))),
                     nj_html_si(lo, two_digits(uj * nj_html_number(watt, "low"))),
                     nj_html_si(hi, two_digits(uj * nj_html_number(watt, "high"))));
}

static void module_table(nj_buffer *b, const json_t *run, const nj_html_stage *s, uint32_t n)
{
    static const char *const head[] = {
        "module",     "offered", "passed", "hits",           "flagged",           "per alert", "p50*",
        "p99*",       "max*",    "share",  "alerts/s /core", "effective /s/core", "µJ /alert", "g CO2e; cents /million",
        "cold start", NULL
    };
    nj_html_heading(
        b, "Modules and stages",
        "Offered: rows given. Passed: not rejected by the module's own cheap cut. Hits: rows with an answer. Flagged: the "
        "module's flag is set. Effective: hits per CPU second. In brackets: lowest and highest. * from calls of one row, one in "
        "so many.");
    nj_html_table(b, head);
    for (uint32_t i = 0; i < n; i++) {
        const json_t *m = s[i].json, *energy = json_object_get(m, "energy"), *joule = json_object_get(energy, "joule_per_alert");
        char text[96], v[24], lo[24], hi[24];
        nj_buffer_text(b, "<tr>");
        name_cell(b, s[i].name, nj_html_words(m, "version"));
        nj_html_count_cell(b, s[i].offered);
        nj_html_count_cell(b, s[i].passed);
        nj_html_count_cell(b, s[i].hits);
        nj_html_count_cell(b, s[i].is_module ? s[i].flagged : NAN);
        nj_html_duration_cell(b, nj_html_number(m, "ns_per_alert"));
        int sampled = json_array_size(json_object_get(m, "histogram")) > 0;
        nj_html_duration_cell(b, sampled ? nj_html_number(m, "p50_ns") : NAN);
        nj_html_duration_cell(b, sampled ? nj_html_number(m, "p99_ns") : NAN);
        nj_html_duration_cell(b, sampled ? nj_html_number(m, "max_ns") : NAN);
        snprintf(text, sizeof text, "%.2f %%", 100 * s[i].share);
        nj_html_cell(b, s[i].share, text);
        nj_html_si_cell(b, nj_html_number(m, "onsky_per_s_core"));
        nj_html_si_cell(b, nj_html_number(m, "effective_per_s_core"));
        nj_buffer_printf(b, "<td data-v=\"%.9g\">%.8s<span class=range>[%.8s, %.8s]</span></td>", nj_html_number(joule, "value"),
                         nj_html_si(v, two_digits(1e6 * nj_html_number(joule, "value"))),
                         nj_html_si(lo, two_digits(1e6 * nj_html_number(joule, "low"))),
                         nj_html_si(hi, two_digits(1e6 * nj_html_number(joule, "high"))));
        const json_t *gram = json_object_get(energy, "gco2e_per_million"), *cost = json_object_get(m, "cost_per_million");
        snprintf(text, sizeof text, "%s%s%s", small(v, nj_html_number(gram, "value")), cost ? "; " : "",
                 cost ? small(lo, 100 * nj_html_number(cost, "value")) : "");
        nj_html_cell(b, nj_html_number(gram, "value"), text);
        nj_html_duration_cell(b, s[i].is_module ? nj_html_number(m, "cold_start_ns") : NAN);
        nj_buffer_text(b, "</tr>\n");
    }
    total_row(b, run);
}

static void distributions(nj_buffer *b, const nj_html_stage *s, uint32_t n)
{
    nj_html_heading(b, "Run times of single alerts", "From calls of one row, log axis; bars are counts.");
    nj_buffer_text(b, "<div class=grid>\n");
    for (uint32_t i = 0; i < n; i++) {
        const json_t *cells = json_object_get(s[i].json, "histogram");
        char p95[24];
        double all = 0;
        for (size_t k = 0; k < json_array_size(cells); k++) all += json_number_value(json_array_get(json_array_get(cells, k), 1));
        if (all < 2) continue;
        nj_buffer_text(b, "<div class=cell><b>");
        nj_html_text(b, s[i].name);
        nj_buffer_printf(b, "</b> <span class=dim>%.0f calls, p95 %s</span>", all,
                         nj_html_duration(p95, nj_html_number(s[i].json, "p95_ns")));
        nj_svg_histogram(b, cells, nj_html_number(s[i].json, "p50_ns"), nj_html_number(s[i].json, "p99_ns"));
        nj_buffer_text(b, "</div>\n");
    }
    nj_buffer_text(b, "</div>\n");
}

static void no_answers(nj_buffer *b, const nj_html_stage *s, uint32_t n)
{
    static const char *const reason[] = { "cut", "few_points", "no_input", "no_fit", "range", "unavailable", "failed", "shed" };
    static const char *const head[] = { "module", "cut",         "few_points", "no_input", "no_fit",
                                        "range",  "unavailable", "failed",     "shed",     NULL };
    nj_html_heading(b, "Rows without an answer", NULL);
    nj_html_table(b, head);
    for (uint32_t i = 0; i < n; i++) {
        const json_t *r = json_object_get(s[i].json, "reasons");
        if (!s[i].is_module || s[i].hits == s[i].offered) continue;
        nj_buffer_text(b, "<tr>");
        nj_html_text_cell(b, s[i].name);
        for (size_t k = 0; k < sizeof reason / sizeof *reason; k++)
            nj_html_count_cell(b, json_object_get(r, reason[k]) ? nj_html_number(r, reason[k]) : 0);
        nj_buffer_text(b, "</tr>\n");
    }
    nj_html_end_table(b);
}

/* --- the run --------------------------------------------------------------------------------------------------------------- */

static void tile(nj_buffer *b, const char *value, const char *name)
{
    nj_buffer_text(b, "<div class=tile><b>");
    nj_html_text(b, value);
    nj_buffer_text(b, "</b><span>");
    nj_html_text(b, name);
    nj_buffer_text(b, "</span></div>\n");
}

static void tiles(nj_buffer *b, const json_t *run)
{
    const json_t *t = json_object_get(run, "throughput"), *l = json_object_get(run, "ledger"),
                 *y = json_object_get(run, "latency");
    const json_t *gram = json_object_get(json_object_get(json_object_get(run, "energy"), "carbon"), "gram");
    char text[96], v[24];
    nj_buffer_text(b, "<div class=tiles>\n");
    snprintf(text, sizeof text, "%.0f", nj_html_number(l, "consumed"));
    tile(b, text, "alerts consumed");
    tile(b, json_is_true(json_object_get(l, "closed")) ? "closed" : "NOT CLOSED", "ledger");
    tile(b, nj_html_si(v, nj_html_number(t, "alerts_per_s_core")), "alerts/s/core, all stages");
    tile(b, nj_html_si(v, nj_html_number(t, "alerts_per_s")), "alerts/s");
    tile(b, nj_html_duration(v, 1e9 * nj_html_number(t, "wall_s")), "wall time");
    snprintf(text, sizeof text, "%.3g / %.3g ms", nj_html_number(y, "p50_ms"), nj_html_number(y, "p99_ms"));
    tile(b, text, "latency p50 / p99, arrival to acknowledgement");
    snprintf(text, sizeof text, "%.0f MB", nj_html_number(json_object_get(run, "memory"), "rss_max_bytes") / 1e6);
    tile(b, text, "memory at most");
    double million = 1e6 / fmax(nj_html_number(l, "consumed"), 1);
    if (gram) {
        char note[96];
        snprintf(text, sizeof text, "%.2g g", million * nj_html_number(gram, "value"));
        snprintf(note, sizeof note, "CO2e per million alerts, an estimate [%.2g, %.2g]", million * nj_html_number(gram, "low"),
                 million * nj_html_number(gram, "high"));
        tile(b, text, note);
    }
    nj_buffer_text(b, "</div>\n");
}

/* Name, then consumed = emitted + ... as one row of the ledger's table. */
static void ledger_row(nj_buffer *b, const char *name, const json_t *l)
{
    static const char *const key[] = { "consumed", "emitted", "filtered", "dead", "duplicates", "returned" };
    nj_buffer_text(b, "<tr>");
    nj_html_text_cell(b, name);
    for (size_t i = 0; i < 6; i++) nj_html_count_cell(b, nj_html_number(l, key[i]));
    nj_html_text_cell(b, json_is_true(json_object_get(l, "closed")) ? "yes" : "NO");
    nj_buffer_text(b, "</tr>\n");
}

static void sources(nj_buffer *b, const json_t *run)
{
    static const char *const head[] = { "source",     "consumed", "emitted", "filtered", "dead",
                                        "duplicates", "returned", "closed",  NULL };
    size_t i;
    json_t *s;
    nj_html_heading(b, "Accounts", "consumed = emitted + filtered + dead + duplicates + returned");
    nj_html_table(b, head);
    json_array_foreach(json_object_get(run, "sources"), i, s)
        ledger_row(b, nj_html_words(s, "name"), json_object_get(s, "ledger"));
    ledger_row(b, "all", json_object_get(run, "ledger"));
    nj_html_end_table(b);
}

/* Latency of a live stream: where the time from the end of the exposure went. */
static void latency(nj_buffer *b, const json_t *run)
{
    static const char *const head[] = { "span", "p50", "p99", "max", NULL };
    static const struct {
        const char *key, *name;
    } span[] = { { "publish", "end of exposure to publication" }, { "total", "end of exposure to acknowledgement" } };
    const json_t *y = json_object_get(run, "latency");
    nj_html_heading(
        b, "Latency",
        json_is_true(json_object_get(y, "live")) ? NULL : "Not a live stream: arrival to acknowledgement alone means something.");
    nj_html_table(b, head);
    for (int i = -1; i < 2; i++) {
        const json_t *v = i < 0 ? y : json_object_get(y, span[i].key);
        if (!v) continue;
        nj_buffer_text(b, "<tr>");
        nj_html_text_cell(b, i < 0 ? "arrival to acknowledgement" : span[i].name);
        nj_html_duration_cell(b, 1e6 * nj_html_number(v, "p50_ms"));
        nj_html_duration_cell(b, 1e6 * nj_html_number(v, "p99_ms"));
        nj_html_duration_cell(b, 1e6 * nj_html_number(v, "max_ms"));
        nj_buffer_text(b, "</tr>\n");
    }
    nj_html_end_table(b);
}

static void fact(nj_buffer *b, const char *name, const char *value)
{
    nj_buffer_text(b, "<tr>");
    nj_html_text_cell(b, name);
    nj_buffer_text(b, "<td style=\"text-align:left;white-space:normal\">");
    nj_html_text(b, value);
    nj_buffer_text(b, "</td></tr>\n");
}

static void facts(nj_buffer *b, const json_t *run)
{
    static const char *const key[] = { "version", "git", "compiler", "flags", "cpu", "kernel", "date", "input", "input_digest" };
    static const char *const head[] = { "what", "value", NULL };
    const json_t *c = json_object_get(run, "context"), *e = json_object_get(run, "energy"),
                 *w = json_object_get(e, "watt_per_busy_thread"), *file;
    const json_t *carbon = json_object_get(e, "carbon");
    char text[512];
    nj_html_heading(b, "Where these numbers come from", NULL);
    nj_html_table(b, head);
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) fact(b, key[i], nj_html_words(c, key[i]));
    snprintf(text, sizeof text, "%.0f of %.0f cores", nj_html_number(c, "threads"), nj_html_number(c, "cores"));
    fact(b, "compute threads", text);
    snprintf(text, sizeof text, "%s, %s: %s (%.0f); %.3g W per busy thread [%.3g, %.3g]; idle share apart",
             nj_html_words(e, "tier"), nj_html_words(w, "kind"), nj_html_words(w, "source"), nj_html_number(w, "year"),
             nj_html_number(w, "value"), nj_html_number(w, "low"), nj_html_number(w, "high"));
    fact(b, "energy", text);
    if (carbon) {
        snprintf(text, sizeof text, "%s: %.4g g CO2e/kWh, %s (%.0f), %s; PUE %.3g", nj_html_words(carbon, "country"),
                 nj_html_number(carbon, "g_per_kwh"), nj_html_words(carbon, "source"), nj_html_number(carbon, "year"),
                 nj_html_words(carbon, "kind"), nj_html_number(carbon, "pue"));
        fact(b, "carbon", text);
    }
    const json_t *cost = json_object_get(run, "cost"), *per = json_object_get(cost, "per_million");
    if (cost) {
        snprintf(text, sizeof text,
                 "%.2g [%.2g, %.2g] %s per million alerts, %s: %.3g per core-hour (%s, %.0f), %.0f %% of it busy",
                 nj_html_number(per, "value"), nj_html_number(per, "low"), nj_html_number(per, "high"),
                 nj_html_words(cost, "currency"), nj_html_words(per, "kind"), nj_html_number(cost, "core_hour"),
                 nj_html_words(per, "source"), nj_html_number(per, "year"), 100 * nj_html_number(cost, "use"));
        fact(b, "money", text);
    }
    for (size_t i = 0; (file = json_array_get(json_object_get(c, "files"), i)) != NULL; i++) {
        snprintf(text, sizeof text, "sha256 %s", nj_html_words(file, "sha256"));
        fact(b, nj_html_words(file, "name"), text);
    }
    nj_html_end_table(b);
}

/* The report itself, so that the page can be read by a program. */
static void embedded(nj_buffer *b, const char *json)
{
    nj_buffer_text(b, "<script type=\"application/json\" id=run>");
    nj_markup_json(b, json);
    nj_buffer_text(b, "</script>\n");
}

void nj_report_html(const nj_page *p, nj_buffer *b)
{
    static nj_html_stage none[1];
    nj_html_stage *stage = calloc(NJ_HTML_STAGES, sizeof *stage);
    const json_t *run = p->run[0], *context = json_object_get(run, "context");
    uint32_t n = stage ? collect(p, stage) : 0, n_modules = 0;
    char title[512];
    if (!stage) b->failed = 1;
    snprintf(title, sizeof title, "nightjar: %.480s", nj_html_words(context, "input"));
    nj_html_begin(b, title);
    nj_buffer_text(b, "<p class=dim>");
    nj_html_text(b, nj_html_words(context, "date"));
    nj_buffer_text(b, ", nightjar ");
    nj_html_text(b, nj_html_words(context, "version"));
    if (json_is_true(json_object_get(run, "interrupted"))) nj_buffer_text(b, ". <b>Interrupted.</b>");
    nj_buffer_text(b, "</p>\n");
    tiles(b, run);
    nj_html_heading(
        b, "Throughput per core",
        p->n_runs > 1
            ? "Mean over the runs, whiskers: one standard deviation. Dashed: what a core must do for 1 s and 2 s per exposure."
            : "Whiskers: the middle half of the one-row calls about their median. Dashed: what a core must do for 1 s and 2 s "
              "per exposure.");
    nj_svg_throughput(b, stage ? stage : none, n, p->exposure, p->n_exposures);
    module_table(b, run, stage ? stage : none, n);
    nj_html_heading(b, "Share of the time", "Blue: modules. Grey: stages of the host.");
    nj_svg_share(b, stage ? stage : none, n);
    nj_html_heading(b, "From offered to flagged", NULL);
    nj_buffer_text(b, "<p class=dim><span class=key style=\"background:var(--offered)\"></span>offered<span class=key "
                      "style=\"background:var(--passed)\"></span>passed"
                      "<span class=key style=\"background:var(--hits)\"></span>hits<span class=key "
                      "style=\"background:var(--flagged)\"></span>flagged</p>\n");
    for (uint32_t i = 0; i < n; i++) n_modules += stage[i].is_module != 0;
    nj_html_stage *module = calloc(n_modules + 1, sizeof *module);
    for (uint32_t i = 0, k = 0; module && i < n; i++)
        if (stage[i].is_module) module[k++] = stage[i];
    if (module) nj_svg_funnel(b, module, n_modules);
    distributions(b, stage ? stage : none, n);
    no_answers(b, stage ? stage : none, n);
    nj_html_drift(b, run);
    nj_html_exposures(b, run);
    latency(b, run);
    sources(b, run);
    facts(b, run);
    embedded(b, p->json);
    nj_html_end(b);
    free(module);
    free(stage);
}
