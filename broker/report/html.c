/* html.c - a run report is also wanted as a page in one file that needs no network; this fills
 * data/embed/pages/report.html from the JSON. */
#include "html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/reason.h"
#include "../base/template.h"
#include "../measure/per_alert.h"
#include "charts.h"
#include "json_get.h"
#include "terms.h"

/* ---- the stages ------------------------------------------------------------------------------ */

/* By the function that made the figures of the report: those of an older one had other names and another
 * meaning. */
static nj_per_alert cost_of(const json_t *m)
{
    return nj_per_alert_of(nj_get_number(m, "offered"), nj_get_number(m, "hits"), nj_get_number(m, "cpu_ns"),
                           nj_get_number(m, "wall_ns"));
}

static double run_ns(const json_t *run)
{
    return 1e9 * nj_get_number(json_object_get(run, "throughput"), "cpu_s");
}

/* CPU time that no module or stage took; 0 when they were not clocked. */
static double rest_ns(const json_t *run)
{
    double stages = 0;
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(run, "modules"), i, m) stages += nj_get_number(m, "cpu_ns");
    return nj_cpu_rest(stages, run_ns(run));
}

static double consumed(const json_t *run)
{
    return nj_get_number(json_object_get(run, "ledger"), "consumed");
}

/* Mean and sd over the runs. */
static void whiskers_of_runs(const nj_page *p, nj_html_stage *s)
{
    double sum = 0, square = 0, n = 0;
    for (uint32_t r = 0; r < p->n_runs; r++) {
        size_t i;
        json_t *m;
        json_array_foreach(json_object_get(p->run[r], "modules"), i, m)
        {
            double v = cost_of(m).per_s_core;
            if (strcmp(nj_get_text(m, "name"), s->name) || !(v > 0)) continue;
            sum += v;
            square += v * v;
            n++;
        }
    }
    if (n < 2) return;
    double mean = sum / n, sd = sqrt(fmax(square / n - mean * mean, 0) * n / (n - 1));
    s->onsky = mean;
    s->low = mean - sd;
    s->high = mean + sd;
}

/* Of a single run: how the middle half of its one-row calls spreads about their median. */
static void whiskers_of_calls(nj_html_stage *s)
{
    const json_t *cells = json_object_get(s->json, "histogram");
    double all = 0, seen = 0, q1 = NAN, q3 = NAN, p50 = nj_get_number(s->json, "p50_ns");
    for (size_t i = 0; i < json_array_size(cells); i++) all += nj_get_pair(cells, i, 1);
    for (size_t i = 0; i < json_array_size(cells) && all >= 4; i++) {
        seen += nj_get_pair(cells, i, 1);
        double middle = nj_get_pair(cells, i, 0) * 1.06;
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
        if (n == NJ_HTML_STAGES || !(nj_get_number(m, "offered") > 0)) continue;
        nj_html_stage *s = &stage[n++];
        *s = (nj_html_stage){ .name = nj_get_text(m, "name"),
                              .json = m,
                              .is_module = !strcmp(nj_get_text(m, "kind"), "module"),
                              .offered = nj_get_number(m, "offered"),
                              .passed = nj_get_number(m, "passed"),
                              .hits = nj_get_number(m, "hits"),
                              .flagged = nj_get_number(m, "flagged"),
                              .share = nj_cpu_share(nj_get_number(m, "cpu_ns"), run_ns(p->run[0])),
                              .onsky = cost_of(m).per_s_core,
                              .low = NAN,
                              .high = NAN };
        if (p->n_runs > 1) whiskers_of_runs(p, s);
        if (isnan(s->low)) whiskers_of_calls(s);
    }
    return n;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void put_stages(nj_template_values *v, const nj_html_stage *s, uint32_t n)
{
    json_t *list = nj_template_list(v, NULL, "stages");
    for (uint32_t i = 0; i < n; i++) {
        const json_t *m = s[i].json;
        const nj_per_alert cost = cost_of(m);
        const bool sampled = json_array_size(json_object_get(m, "histogram")) > 0;
        nj_template_put(
            v, list,
            "name=%s json=%p offered=%g passed=%g hits=%g flagged=%g cpu_us=%g share=%g per_s_core=%g "
            "effective=%g wall_us=%g p50=%g p99=%g max=%g cold_start=%g",
            s[i].name, (void *)json_incref((json_t *)m), s[i].offered, s[i].passed, s[i].hits,
            s[i].is_module ? s[i].flagged : NAN, cost.cpu_us, s[i].share, cost.per_s_core,
            cost.effective_per_s_core, cost.wall_us, sampled ? nj_get_number(m, "p50_ns") : NAN,
            sampled ? nj_get_number(m, "p99_ns") : NAN, sampled ? nj_get_number(m, "max_ns") : NAN,
            s[i].is_module ? nj_get_number(m, "cold_start_ns") : NAN);
    }
}

/* Of the whole run, below the rows that are sorted. */
static void put_sum(nj_template_values *v, json_t *list, const json_t *run, const char *name, double cpu_ns)
{
    const double n = consumed(run);
    const nj_per_alert cost = nj_per_alert_of(n, n, cpu_ns, NAN);
    const json_t *watt = json_object_get(json_object_get(run, "energy"), "watt_per_busy_thread");
    nj_template_put(v, list,
                    "name=%s alerts=%g cpu_us=%g share=%g per_s_core=%g watt=%g energy=%g energy_low=%g "
                    "energy_high=%g",
                    name, n, cost.cpu_us, nj_cpu_share(cpu_ns, run_ns(run)), cost.per_s_core,
                    nj_get_number(watt, "value"), cost.cpu_us * nj_get_number(watt, "value"),
                    cost.cpu_us * nj_get_number(watt, "low"), cost.cpu_us * nj_get_number(watt, "high"));
}

static void put_sums(nj_template_values *v, const json_t *run)
{
    json_t *list = nj_template_list(v, NULL, "sums");
    const double rest = rest_ns(run);
    if (rest > 0) put_sum(v, list, run, "rest of the run", rest);
    put_sum(v, list, run, "whole run", run_ns(run));
    nj_template_put(v, NULL, "rest_share=%g", nj_cpu_share(rest, run_ns(run)));
}

static void put_unanswered(nj_template_values *v, const nj_html_stage *s, uint32_t n)
{
    json_t *reasons = nj_template_list(v, NULL, "reasons"), *list = nj_template_list(v, NULL, "unanswered");
    bool any = false;
    for (int k = 1; k < NJ_REASON_NAMES; k++) nj_template_item(v, reasons, nj_reason_name[k]); /* 0: done */
    for (uint32_t i = 0; i < n; i++) {
        const json_t *count = json_object_get(s[i].json, "reasons");
        if (!s[i].is_module || s[i].hits == s[i].offered) continue;
        any = true;
        json_t *rows = nj_template_list(v, nj_template_put(v, list, "name=%s", s[i].name), "rows");
        for (int k = 1; k < NJ_REASON_NAMES; k++)
            nj_template_put(
                v, rows, "n=%g",
                json_object_get(count, nj_reason_name[k]) ? nj_get_number(count, nj_reason_name[k]) : 0);
    }
    nj_template_put(v, NULL, "has_unanswered=%d", any);
}

/* ---- the sky --------------------------------------------------------------------------------- */

/* Which regions clauses ask for, and what notices of gravitational waves did. */
static void put_sky(nj_template_values *v, const json_t *run)
{
    const json_t *region = json_object_get(run, "regions"), *notices = json_object_get(run, "notices"), *item;
    json_t *list = nj_template_list(v, NULL, "regions"), *count;
    const char *what;
    size_t i;
    json_array_foreach(region, i, item)
    {
        nj_template_put(v, list, "name=%s there=%d", nj_get_text(item, "name"),
                        json_is_true(json_object_get(item, "there")));
    }
    list = nj_template_list(v, NULL, "notices");
    json_array_foreach(notices, i, item)
    {
        nj_buffer said = { 0 };
        json_object_foreach((json_t *)item, what, count)
        {
            if (strcmp(what, "troubles") && json_is_integer(count) && json_integer_value(count))
                nj_buffer_printf(&said, "%s%lld %s", said.n ? ", " : "", json_integer_value(count), what);
        }
        nj_template_put(v, list, "module=%s said=%s troubles=%g", nj_get_text(item, "module"),
                        said.n ? said.data : "none", nj_get_number(item, "troubles"));
        nj_buffer_free(&said);
    }
    nj_template_put(v, NULL, "has_regions=%d has_notices=%d", json_array_size(region) > 0,
                    json_array_size(notices) > 0);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void put_tiles(nj_template_values *v, const json_t *run)
{
    const json_t *gram = json_object_get(json_object_get(json_object_get(run, "energy"), "carbon"), "gram");
    const double n = consumed(run), million = 1e6 / fmax(n, 1);
    const nj_per_alert cost = nj_per_alert_of(n, n, run_ns(run), NAN);
    json_t *list = nj_template_list(v, NULL, "gram");
    nj_template_put(v, NULL, "cpu_us=%g per_s_core=%g", cost.cpu_us, cost.per_s_core);
    if (gram)
        nj_template_put(v, list, "value=%g low=%g high=%g", million * nj_get_number(gram, "value"),
                        million * nj_get_number(gram, "low"), million * nj_get_number(gram, "high"));
}

/* What `nightjar help terms` prints. */
static void put_words(nj_template_values *v)
{
    nj_term term;
    json_t *list = nj_template_list(v, NULL, "words");
    for (const char *at = NULL; nj_terms_next(&at, &term);)
        nj_template_put(v, list, "name=%s meaning=%s", term.name, term.meaning);
}

static void put_modules(nj_template_values *v, const nj_html_stage *stage, uint32_t n)
{
    nj_html_stage *module = calloc(n + 1, sizeof *module);
    uint32_t n_modules = 0;
    if (!module) v->failed = true;
    for (uint32_t i = 0; module && i < n; i++)
        if (stage[i].is_module) module[n_modules++] = stage[i];
    nj_chart_funnel(v, module, n_modules);
    free(module);
}

int nj_report_html(const nj_page *p, nj_buffer *out, nj_error *err)
{
    const json_t *run = p->run[0];
    const json_t *exposures = json_object_get(run, "exposures");
    nj_html_stage *stage = calloc(NJ_HTML_STAGES, sizeof *stage);
    if (!stage) return nj_fail(err, "out of memory");
    const uint32_t n = collect(p, stage);
    nj_buffer title = { 0 }, json = { 0 };
    nj_buffer_printf(&title, "nightjar: %.480s", nj_get_text(json_object_get(run, "context"), "input"));
    nj_markup_json(&json, p->json);
    nj_template_values v = nj_template_begin();
    v.failed |= title.failed || json.failed;
    nj_template_put(&v, NULL, "title=%s run=%p json=%s several=%d has_topics=%d", title.data,
                    (void *)json_incref((json_t *)run), json.data, p->n_runs > 1,
                    json_array_size(json_object_get(run, "topics")) > 0);
    put_tiles(&v, run);
    nj_chart_throughput(&v, stage, n, p);
    put_stages(&v, stage, n);
    put_sums(&v, run);
    nj_chart_shares(&v, stage, n);
    put_modules(&v, stage, n);
    put_sky(&v, run);
    nj_chart_distributions(&v, stage, n);
    put_unanswered(&v, stage, n);
    nj_chart_drifts(&v, run);
    if (exposures) nj_chart_waterfall(&v, exposures);
    if (exposures) nj_chart_slowest(&v, exposures);
    put_words(&v);
    const int rc = nj_template_write("report.html", &v, out, err);
    nj_template_end(&v);
    nj_buffer_free(&title);
    nj_buffer_free(&json);
    free(stage);
    return rc;
}
