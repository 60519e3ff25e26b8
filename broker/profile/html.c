/* html.c - a profile as one page: no script, no network, dark and light, desktop and phone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/version.h"
#include "profile.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width,initial-scale=1\">\n<title>";
static const char style[] =
    "</title>\n<style>:root{color-scheme:light "
    "dark;--fg:#1b1f24;--bg:#fff;--dim:#5d6670;--line:#d8dee4;--bar:#2a6fb0;--heat:220,"
    "60,20}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e3e8ee;--bg:#14171b;--dim:#97a1ab;--line:#30363d;--bar:#"
    "5aa2e6;--heat:235,90,"
    "40}}\n"
    "*{box-sizing:border-box}body{font:15px/1.5 "
    "system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:0 "
    "auto;max-width:88rem;padding:1rem}\n"
    "h1{font-size:1.5rem;margin:.2rem 0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:2rem 0 "
    ".3rem}p{margin:.3rem "
    "0;overflow-wrap:anywhere}.dim{color:var(--dim)}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.6rem "
    "0}dt{color:var(--dim)}dd{margin:0;"
    "overflow-wrap:anywhere}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font:13px/1.45 ui-monospace,monospace}\n"
    "th{text-align:right;border-bottom:1px solid "
    "var(--line);color:var(--dim);font-weight:normal}th,td{padding:0 "
    ".6rem;white-space:pre;text-align:right}\n"
    ".source td:last-child,.source "
    "th:last-child,.name,.words{text-align:left}.words{white-space:normal}.name,.words{vertical-align:top}td."
    "n{color:var(--dim)}"
    "\n"
    ".flame svg{display:block;width:100%;min-width:56rem}.histogram{display:block;width:100%;font:11px "
    "system-ui,sans-serif}.histogram rect{fill:var(--bar)}.histogram text{fill:var(--fg)}.histogram "
    ".axis{fill:var(--dim)}\n"
    "@media(max-width:40rem){body{padding:.7rem;font-size:14px}dl{grid-template-columns:1fr;gap:0}dd{margin:"
    "0 0 "
    ".3rem}table{font-size:12px}th,td{padding:0 .35rem}}</style></head><body>\n";

static const double table_share = 0.01; /* functions of other files are listed from this share
                                         * of the module on */

static void cell(nj_buffer *o, const char *format, double value)
{
    nj_buffer_text(o, "<td>"), nj_buffer_printf(o, format, value), nj_buffer_text(o, "</td>");
}

static void write_row(const nj_profile *p, const nj_profile_function *f, int k, const char *text,
                      nj_buffer *o)
{
    const nj_profile_line *l = &f->line[k - f->first];
    double share = f->samples ? (double)l->samples / f->samples : 0,
           time = f->total_ns * share / 1e9 / p->show.unit_s;
    bool run = l->hits != NJ_NOT_A_LINE && l->hits > 0;
    nj_buffer_printf(o, "<tr style=\"background:rgba(var(--heat),%.2f)\"><td class=\"n\">%d</td>",
                     0.7 * share, k);
    if (run)
        nj_buffer_printf(o, "<td>%llu</td>", (unsigned long long)l->hits);
    else
        nj_buffer_text(o, "<td></td>");
    if (l->samples) {
        cell(o, "%.1f", time);
        if (run)
            cell(o, "%.3g", time / (double)l->hits);
        else
            nj_buffer_text(o, "<td></td>");
        cell(o, "%.1f", 100 * share);
        cell(o, "%.1f", 100 * nj_profile_error(share, f->samples));
        cell(o, "%.1f", 100.0 * l->samples / p->samples);
    } else {
        nj_buffer_text(o, "<td></td><td></td><td></td><td></td><td></td>");
    }
    nj_buffer_text(o, "<td>");
    nj_profile_escape(o, text);
    nj_buffer_text(o, "</td></tr>\n");
}

static bool has_rare(const nj_profile_function *f)
{
    for (int k = 0; k <= f->last - f->first; k++)
        if (f->line[k].hits != NJ_NOT_A_LINE && f->line[k].hits && !f->line[k].samples) return true;
    return false;
}

static void write_function(nj_profile *p, const nj_profile_function *f, uint32_t number, nj_buffer *o)
{
    uint32_t n = 0;
    const char **text = nj_profile_text(&p->arena, f->file, &n);
    nj_buffer_printf(o, "<h2 id=\"f%u\">", number);
    nj_profile_escape(o, f->name);
    nj_buffer_printf(o, " &mdash; %.1f %%</h2><p class=\"dim\">",
                     p->samples ? 100.0 * f->samples / p->samples : 0);
    nj_profile_escape(o, nj_profile_path(f->file));
    nj_buffer_printf(o,
                     ":%d, %.6g s per replay%s</p>\n<div class=\"wide\"><table class=\"source\"><tr><th>Line "
                     "#</th><th>Hits</th>"
                     "<th>Time</th><th>Per Hit</th><th>%% Time</th><th>&plusmn;</th><th>%% Mod</th><th>Line "
                     "Contents</th></tr>\n",
                     f->first, f->total_ns / 1e9,
                     f->counted ? "" : "; hits are counted in the module's own file only");
    uint64_t placed = 0;
    for (int k = f->first; k <= f->last; k++) {
        placed += f->line[k - f->first].samples;
        write_row(p, f, k, text && (uint32_t)k <= n ? text[k] : "", o);
    }
    nj_buffer_text(o, "</table></div>\n");
    if (placed < f->samples)
        nj_buffer_printf(o,
                         "<p class=\"dim\">%.1f %% of its time is on no line here (left by a tail call, or "
                         "code of another "
                         "file).</p>\n",
                         100.0 * (double)(f->samples - placed) / f->samples);
    if (f->samples && has_rare(f))
        nj_buffer_printf(o,
                         "<p class=\"dim\">Lines with hits and no time: below 3/n = %.2g %% of the function "
                         "each (95 %%).</p>\n",
                         fmin(100, 300.0 / f->samples));
}

static int dearest_first(const void *a, const void *b)
{
    const nj_profile_function *x = *(nj_profile_function *const *)a, *y = *(nj_profile_function *const *)b;
    return (x->samples < y->samples) - (x->samples > y->samples);
}

static void item(nj_buffer *o, const char *name)
{
    nj_buffer_printf(o, "<dt>%s</dt><dd>", name);
}

static void write_header(const nj_profile *p, nj_buffer *o)
{
    const nj_counter *c = &p->count;
    const nj_profile_overhead *v = &p->overhead;
    nj_buffer_printf(o, "<p>%llu offered, %llu passed, %llu hits, %llu flagged; %.2f CPU us/alert</p>\n<dl>",
                     (unsigned long long)c->offered, (unsigned long long)c->passed,
                     (unsigned long long)c->hits, (unsigned long long)c->flagged, p->cpu_ns_per_alert / 1e3);
    item(o, "alerts");
    nj_buffer_printf(
        o, "%llu%s (%llu dead), sha256 %.16s; replayed %llu times, %u thread%s; times are of one replay",
        (unsigned long long)p->alerts, p->cut ? ", the first of more" : "", (unsigned long long)p->dead,
        p->digest, (unsigned long long)p->replays, p->threads, p->threads == 1 ? "" : "s");
    item(o, "time");
    nj_buffer_printf(o,
                     "sampled %s, n = %u (%u more in the host&#39;s clock or not placed); %.3f s in "
                     "process(), CPU of the loop "
                     "%.3f s; unit %g s",
                     p->clock, p->samples, p->unplaced, (double)p->wall_ns / 1e9, (double)p->cpu_ns / 1e9,
                     p->show.unit_s);
    item(o, "build");
    nj_profile_escape(o, p->built ? p->built : "unknown");
    item(o, "overhead");
    if (v->pairs)
        nj_buffer_printf(o,
                         "%.1f %% of CPU [%.1f, %.1f] at %.2f kHz, %.0f &micro;s each; median and its 95 %% "
                         "interval, %u pairs with and "
                         "without samples",
                         100 * v->median, 100 * v->low, 100 * v->high, v->per_cpu_s / 1e3,
                         1e6 * v->median / v->per_cpu_s, v->pairs);
    else
        nj_profile_escape(o, p->no_overhead ? p->no_overhead : "not measured");
    item(o, "hits");
    if (p->no_hits) nj_buffer_text(o, "none: ");
    nj_profile_escape(o,
                      p->no_hits ? p->no_hits : "exact (gcov -O0), of one replay and of opening the module");
    if (p->no_lines) {
        item(o, "lines");
        nj_buffer_text(o, "none: ");
        nj_profile_escape(o, p->no_lines);
    }
    item(o, "nightjar");
    nj_profile_escape(o, nj_version);
    nj_buffer_text(o, "</dl>\n");
}

static void write_summary(const nj_profile *p, nj_profile_function *const *list, uint32_t n, nj_buffer *o)
{
    nj_buffer_text(
        o,
        "<h2>Functions</h2>\n<div class=\"wide\"><table><tr><th>seconds</th><th>% Mod</th><th>calls</th><th "
        "class=\"name\">function</th><th class=\"name\">file</th></tr>\n");
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < n; i++) {
        const nj_profile_function *f = list[i];
        if (!f->counted && f->samples < table_share * p->samples) {
            left_out++;
            continue;
        }
        nj_buffer_printf(o, "<tr><td>%.3g</td><td>%.1f</td>", f->total_ns / 1e9,
                         100.0 * f->samples / p->samples);
        if (f->counted)
            nj_buffer_printf(o, "<td>%llu</td>", (unsigned long long)f->calls);
        else
            nj_buffer_text(o, "<td></td>");
        nj_buffer_printf(
            o, nj_profile_has_table(p, f) ? "<td class=\"name\"><a href=\"#f%u\">" : "<td class=\"name\"><a>",
            i);
        nj_profile_escape(o, f->name);
        nj_buffer_text(o, "</a></td><td class=\"name dim\">");
        nj_profile_escape(o, *f->file ? nj_profile_path(f->file) : "(no lines)");
        nj_buffer_printf(o, *f->file ? ":%d</td></tr>\n" : "</td></tr>\n", f->first);
    }
    nj_buffer_text(o, "</table></div>\n");
    if (left_out)
        nj_buffer_printf(
            o, "<p class=\"dim\">%u more, of other files and less than %g %% each, are in the JSON.</p>\n",
            left_out, 100 * table_share);
}

void nj_profile_html(nj_profile *p, nj_buffer *o)
{
    nj_buffer_text(o, head);
    nj_profile_escape(o, p->instance);
    nj_buffer_text(o, ": where its time goes");
    nj_buffer_text(o, style);
    nj_buffer_text(o, "<h1>");
    nj_profile_escape(o, p->instance);
    nj_buffer_text(o, " ");
    nj_profile_escape(o, p->version);
    nj_buffer_text(o, "</h1>\n");
    write_header(p, o);
    nj_buffer_text(o, "<h2>Flame graph</h2><div class=\"wide flame\">");
    nj_profile_flame(p, o);
    nj_buffer_text(o, "</div>\n");
    nj_profile_function **list = calloc(p->n_functions + 1, sizeof *list);
    uint32_t n = 0;
    for (uint32_t i = 0; list && i < p->n_functions; i++)
        if (p->function[i].samples) list[n++] = &p->function[i];
    if (list) qsort(list, n, sizeof *list, dearest_first);
    write_summary(p, list, n, o);
    if (p->energy.tier) nj_footprint_html(p, o);
    if (p->has_counters) nj_counters_html(p, o);
    if (p->has_singly) nj_singly_html(&p->singly, o);
    for (uint32_t i = 0; i < n; i++)
        if (nj_profile_has_table(p, list[i])) write_function(p, list[i], i, o);
    free(list);
    nj_buffer_text(o, "</body></html>\n");
}
