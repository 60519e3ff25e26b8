/* html.c - a run report is also wanted as a page in one file that needs no network; this makes it of the
 * JSON. */
#include "html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../measure/per_alert.h"
#include "html_analysis.h"
#include "html_cells.h"
#include "terms.h"

/* ---- the stages ------------------------------------------------------------------------------ */

/* By the function that made the figures of the report:
 * those of an older one had other names and another meaning. */
static nj_per_alert cost_of(const json_t *m)
{
    return nj_per_alert_of(nj_html_number(m, "offered"), nj_html_number(m, "hits"),
                           nj_html_number(m, "cpu_ns"), nj_html_number(m, "wall_ns"));
}

static double run_ns(const json_t *run)
{
    return 1e9 * nj_html_number(json_object_get(run, "throughput"), "cpu_s");
}

/* CPU time that no module or stage took; 0 when they were not clocked. */
static double rest_ns(const json_t *run)
{
    double stages = 0;
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(run, "modules"), i, m) stages += nj_html_number(m, "cpu_ns");
    return nj_cpu_rest(stages, run_ns(run));
}

static nj_per_alert run_cost(const json_t *run)
{
    double n = nj_html_number(json_object_get(run, "ledger"), "consumed");
    return nj_per_alert_of(n, n, run_ns(run),
                           1e9 * nj_html_number(json_object_get(run, "throughput"), "wall_s"));
}

/* Mean and sd over the runs; of a single run: how the middle half of its one-row calls
 * spreads about their median. */
static void whiskers(const nj_page *p, nj_html_stage *s)
{
    double sum = 0, square = 0, n = 0;
    for (uint32_t r = 0; r < p->n_runs; r++) {
        size_t i;
        json_t *m;
        json_array_foreach(json_object_get(p->run[r], "modules"), i, m)
        {
            double v = cost_of(m).per_s_core;
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
    for (size_t i = 0; i < json_array_size(cells); i++)
        all += json_number_value(json_array_get(json_array_get(cells, i), 1));
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
        const nj_per_alert cost = cost_of(m);
        *s = (nj_html_stage){ .name = nj_html_words(m, "name"),
                              .json = m,
                              .is_module = !strcmp(nj_html_words(m, "kind"), "module"),
                              .offered = nj_html_number(m, "offered"),
                              .passed = nj_html_number(m, "passed"),
                              .hits = nj_html_number(m, "hits"),
                              .flagged = nj_html_number(m, "flagged"),
                              .share = nj_cpu_share(nj_html_number(m, "cpu_ns"), run_ns(p->run[0])),
                              .onsky = cost.per_s_core };
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

static void cost_cell(nj_buffer *b, double us)
{
    char text[24];
    nj_html_cell(b, us, nj_us_words(text, us));
}

static void rate_cell(nj_buffer *b, double per_s)
{
    char text[24];
    nj_html_cell(b, per_s, nj_rate_words(text, per_s));
}

static void share_cell(nj_buffer *b, double share)
{
    char text[24];
    nj_html_cell(b, share, nj_share_words(text, share));
}

static void energy_cell(nj_buffer *b, double micro, const json_t *value)
{
    char v[24], lo[24], hi[24];
    nj_buffer_printf(b, "<td data-v=\"%.9g\">%.8s<span class=range>[%.8s, %.8s]</span></td>",
                     nj_html_number(value, "value"),
                     nj_html_si(v, two_digits(micro * nj_html_number(value, "value"))),
                     nj_html_si(lo, two_digits(micro * nj_html_number(value, "low"))),
                     nj_html_si(hi, two_digits(micro * nj_html_number(value, "high"))));
}

/* Of the whole run, below the rows that are sorted. */
static void run_row(nj_buffer *b, const json_t *run, const char *name, double cpu_ns)
{
    double n = nj_html_number(json_object_get(run, "ledger"), "consumed");
    const nj_per_alert cost = nj_per_alert_of(n, n, cpu_ns, NAN);
    nj_buffer_text(b, "<tr>");
    nj_html_text_cell(b, name);
    nj_html_count_cell(b, n);
    nj_buffer_text(b, "<td></td><td></td><td></td>");
    cost_cell(b, cost.cpu_us);
    share_cell(b, nj_cpu_share(cpu_ns, run_ns(run)));
    rate_cell(b, cost.per_s_core);
    nj_buffer_text(b, "<td></td><td></td><td></td><td></td><td></td>");
    energy_cell(b, cost.cpu_us, json_object_get(json_object_get(run, "energy"), "watt_per_busy_thread"));
    nj_buffer_text(b, "<td></td><td></td></tr>\n");
}

static void foot_rows(nj_buffer *b, const json_t *run)
{
    double rest = rest_ns(run);
    nj_buffer_text(b, "</tbody><tfoot>\n");
    if (rest > 0) run_row(b, run, "rest of the run", rest);
    run_row(b, run, "whole run", run_ns(run));
    nj_buffer_text(b, "</tfoot></table></div>\n");
}

static void module_table(nj_buffer *b, const json_t *run, const nj_html_stage *s, uint32_t n)
{
    static const char *const head[] = { "module",
                                        "offered",
                                        "passed",
                                        "hits",
                                        "flagged",
                                        "CPU us/alert",
                                        "share",
                                        "alerts/s per core",
                                        "hits/s per core",
                                        "wall us/alert",
                                        "p50*",
                                        "p99*",
                                        "max*",
                                        "µJ /alert",
                                        "g CO2e, cents /million",
                                        "cold start",
                                        NULL };
    nj_html_heading(b, "Modules and stages", NULL);
    nj_buffer_text(b, "<p class=dim>CPU us/alert: CPU time per alert offered, the cost. alerts/s per core = "
                      "1e6 / (CPU us/alert). "
                      "Share: of the run's CPU time. In brackets: lowest and highest. * wall time of calls "
                      "of one row, one in so "
                      "many. <a href=\"#words\">All words</a></p>\n");
    nj_html_table(b, head);
    for (uint32_t i = 0; i < n; i++) {
        const json_t *m = s[i].json, *energy = json_object_get(m, "energy");
        const nj_per_alert cost = cost_of(m);
        char v[24], lo[24];
        nj_buffer_text(b, "<tr>");
        name_cell(b, s[i].name, nj_html_words(m, "version"));
        nj_html_count_cell(b, s[i].offered);
        nj_html_count_cell(b, s[i].passed);
        nj_html_count_cell(b, s[i].hits);
        nj_html_count_cell(b, s[i].is_module ? s[i].flagged : NAN);
        cost_cell(b, cost.cpu_us);
        share_cell(b, s[i].share);
        rate_cell(b, cost.per_s_core);
        rate_cell(b, cost.effective_per_s_core);
        cost_cell(b, cost.wall_us);
        int sampled = json_array_size(json_object_get(m, "histogram")) > 0;
        nj_html_duration_cell(b, sampled ? nj_html_number(m, "p50_ns") : NAN);
        nj_html_duration_cell(b, sampled ? nj_html_number(m, "p99_ns") : NAN);
        nj_html_duration_cell(b, sampled ? nj_html_number(m, "max_ns") : NAN);
        energy_cell(b, 1e6, json_object_get(energy, "joule_per_alert"));
        const json_t *gram = json_object_get(energy, "gco2e_per_million"),
                     *price = json_object_get(m, "cost_per_million");
        nj_buffer_printf(b, "<td data-v=\"%.9g\">%s<span class=range>%s%s</span></td>",
                         nj_html_number(gram, "value"), small(v, nj_html_number(gram, "value")),
                         price ? small(lo, 100 * nj_html_number(price, "value")) : "", price ? " ct" : "");
        nj_html_duration_cell(b, s[i].is_module ? nj_html_number(m, "cold_start_ns") : NAN);
        nj_buffer_text(b, "</tr>\n");
    }
    foot_rows(b, run);
}

static void shares(nj_buffer *b, const json_t *run, const nj_html_stage *s, uint32_t n)
{
    char note[96], share[24];
    snprintf(note, sizeof note, "Blue: modules. Grey: stages of the host. The rest of the run: %s.",
             nj_share_words(share, nj_cpu_share(rest_ns(run), run_ns(run))));
    nj_html_heading(b, "Share of the CPU time", note);
    nj_svg_share(b, s, n);
}

static void distributions(nj_buffer *b, const nj_html_stage *s, uint32_t n)
{
    nj_html_heading(b, "Wall time of single alerts", "From calls of one row, log axis; bars are counts.");
    nj_buffer_text(b, "<div class=grid>\n");
    for (uint32_t i = 0; i < n; i++) {
        const json_t *cells = json_object_get(s[i].json, "histogram");
        char p95[24];
        double all = 0;
        for (size_t k = 0; k < json_array_size(cells); k++)
            all += json_number_value(json_array_get(json_array_get(cells, k), 1));
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
    static const char *const reason[] = { "cut",   "few_points",  "no_input", "no_fit",
                                          "range", "unavailable", "failed",   "shed" };
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

/* ---- the run --------------------------------------------------------------------------------- */

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
    tile(b, nj_us_words(v, run_cost(run).cpu_us), "CPU us/alert, the whole run");
    tile(b, nj_rate_words(v, run_cost(run).per_s_core), "alerts/s per core");
    snprintf(text, sizeof text, "alerts/s by the wall clock, in %s",
             nj_html_duration(v, 1e9 * nj_html_number(t, "wall_s")));
    tile(b, nj_rate_words(v, nj_html_number(t, "alerts_per_s")), text);
    snprintf(text, sizeof text, "%.3g / %.3g ms", nj_html_number(y, "p50_ms"), nj_html_number(y, "p99_ms"));
    tile(b, text, "latency p50 / p99, arrival to acknowledgement");
    snprintf(text, sizeof text, "%.0f MB",
             nj_html_number(json_object_get(run, "memory"), "rss_max_bytes") / 1e6);
    tile(b, text, "memory at most");
    double million = 1e6 / fmax(nj_html_number(l, "consumed"), 1);
    if (gram) {
        char note[96];
        snprintf(text, sizeof text, "%.2g g", million * nj_html_number(gram, "value"));
        snprintf(note, sizeof note, "CO2e per million alerts, an estimate [%.2g, %.2g]",
                 million * nj_html_number(gram, "low"), million * nj_html_number(gram, "high"));
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
    } span[] = { { "publish", "end of exposure to publication" },
                 { "total", "end of exposure to acknowledgement" } };
    const json_t *y = json_object_get(run, "latency");
    nj_html_heading(b, "Latency",
                    json_is_true(json_object_get(y, "live"))
                        ? NULL
                        : "Not a live stream: arrival to acknowledgement alone means something.");
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
    static const char *const key[] = { "version", "git",  "compiler", "flags",       "cpu",
                                       "kernel",  "date", "input",    "input_digest" };
    static const char *const head[] = { "what", "value", NULL };
    const json_t *c = json_object_get(run, "context"), *e = json_object_get(run, "energy"),
                 *w = json_object_get(e, "watt_per_busy_thread"), *file;
    const json_t *carbon = json_object_get(e, "carbon");
    char text[512];
    nj_html_heading(b, "Where these numbers come from", NULL);
    nj_html_table(b, head);
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) fact(b, key[i], nj_html_words(c, key[i]));
    snprintf(text, sizeof text, "%.0f of %.0f cores", nj_html_number(c, "threads"),
             nj_html_number(c, "cores"));
    fact(b, "compute threads", text);
    snprintf(text, sizeof text, "%s, %s: %s (%.0f); %.3g W per busy thread [%.3g, %.3g]; idle share apart",
             nj_html_words(e, "tier"), nj_html_words(w, "kind"), nj_html_words(w, "source"),
             nj_html_number(w, "year"), nj_html_number(w, "value"), nj_html_number(w, "low"),
             nj_html_number(w, "high"));
    fact(b, "energy", text);
    if (carbon) {
        snprintf(text, sizeof text, "%s: %.4g g CO2e/kWh, %s (%.0f), %s; PUE %.3g",
                 nj_html_words(carbon, "country"), nj_html_number(carbon, "g_per_kwh"),
                 nj_html_words(carbon, "source"), nj_html_number(carbon, "year"),
                 nj_html_words(carbon, "kind"), nj_html_number(carbon, "pue"));
        fact(b, "carbon", text);
    }
    const json_t *cost = json_object_get(run, "cost"), *per = json_object_get(cost, "per_million");
    if (cost) {
        snprintf(
            text, sizeof text,
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

/* What `nightjar help terms` prints. */
static void words(nj_buffer *b)
{
    nj_term term;
    nj_buffer_text(b, "\n<h2 id=words>Words</h2>\n<dl>\n");
    for (const char *at = NULL; nj_terms_next(&at, &term);) {
        nj_buffer_text(b, "<dt>");
        nj_html_text(b, term.name);
        nj_buffer_text(b, "</dt><dd>");
        nj_html_text(b, term.meaning);
        nj_buffer_text(b, "</dd>\n");
    }
    nj_buffer_text(b, "</dl>\n");
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
    nj_html_heading(b, "Throughput per core",
                    p->n_runs > 1 ? "Mean over the runs, whiskers: one standard deviation. Dashed: what a "
                                    "core must do for 1 s and 2 s per exposure."
                                  : "Whiskers: the middle half of the one-row calls about their median, by "
                                    "wall time. Dashed: what a core must do for "
                                    "1 s and 2 s per exposure.");
    nj_svg_throughput(b, stage ? stage : none, n, p->exposure, p->n_exposures);
    module_table(b, run, stage ? stage : none, n);
    shares(b, run, stage ? stage : none, n);
    nj_html_heading(b, "From offered to flagged", NULL);
    nj_buffer_text(
        b, "<p class=dim><span class=key style=\"background:var(--offered)\"></span>offered<span class=key "
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
    words(b);
    embedded(b, p->json);
    nj_html_end(b);
    free(module);
    free(stage);
}
