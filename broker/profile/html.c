/* html.c - a profile as one page. */
#include <stdlib.h>
#include <string.h>

#include "../base/version.h"
#include "profile.h"

static const char head[] = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                           "content=\"width=device-width,initial-scale=1\">\n<title>";
static const char style[] =
    "</title>\n<style>:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#6a737d;--line:#d8dee4}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e3e8ee;--bg:#14171b;--dim:#8b949e;--line:#30363d}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:1.5rem auto;max-width:84rem;padding:0 "
    "1rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}p{margin:.3rem 0}.dim{color:var(--dim)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font:13px/1.45 ui-monospace,monospace}\n"
    "th{text-align:right;border-bottom:1px solid var(--line);color:var(--dim);font-weight:normal}th,td{padding:0 "
    ".6rem;white-space:pre}\n"
    "td{text-align:right}td:last-child,th:last-child{text-align:left}td.n{color:var(--dim)}svg{width:100%;min-width:40rem}</"
    "style></head><body>\n";

static void cell(nj_buffer *o, const char *format, double value)
{
    nj_buffer_text(o, "<td>"), nj_buffer_printf(o, format, value), nj_buffer_text(o, "</td>");
}

static void write_row(const nj_profile *p, const nj_profile_function *f, int k, const char *text, nj_buffer *o)
{
    const nj_profile_line *l = &f->line[k - f->first];
    double share = f->samples ? (double)l->samples / f->samples : 0, us = f->total_ns * share / 1e3;
    bool run = l->hits != NJ_NOT_A_LINE && l->hits > 0;
    nj_buffer_printf(o, "<tr style=\"background:rgba(220,60,20,%.2f)\"><td class=\"n\">%d</td>", 0.7 * share, k);
    if (run)
        nj_buffer_printf(o, "<td>%llu</td>", (unsigned long long)l->hits);
    else
        nj_buffer_text(o, "<td></td>");
    if (l->samples) {
        cell(o, "%.1f", us);
        if (run)
            cell(o, "%.3g", us / (double)l->hits);
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

static void write_function(nj_profile *p, const nj_profile_function *f, nj_buffer *o)
{
    uint32_t n = 0;
    const char **text = nj_profile_text(&p->arena, f->file, &n);
    nj_buffer_text(o, "<h2>");
    nj_profile_escape(o, f->name);
    nj_buffer_printf(o, " &mdash; %.1f %%</h2><p class=\"dim\">", p->samples ? 100.0 * f->samples / p->samples : 0);
    nj_profile_escape(o, f->file);
    nj_buffer_printf(
        o,
        ":%d, %.6g ms per replay%s</p>\n<div class=\"wide\"><table><tr><th>line</th><th>hits</th><th>&micro;s</th><th>per "
        "hit</th><th>%% time</th><th>&plusmn;</th>"
        "<th>%% module</th><th>source</th></tr>\n",
        f->first, f->total_ns / 1e6, f->counted ? "" : "; hits are counted in the module's own file only");
    for (int k = f->first; k <= f->last; k++) write_row(p, f, k, text && (uint32_t)k <= n ? text[k] : "", o);
    nj_buffer_printf(
        o, "</table></div>\n<p class=\"dim\">A line with hits and no time took less than %.2g %% of the function (3/n).</p>\n",
        f->samples ? 300.0 / f->samples : 100.0);
}

static int dearest_first(const void *a, const void *b)
{
    const nj_profile_function *x = *(nj_profile_function *const *)a, *y = *(nj_profile_function *const *)b;
    return (x->samples < y->samples) - (x->samples > y->samples);
}

void nj_profile_html(nj_profile *p, nj_buffer *o)
{
    const nj_counter *c = &p->count;
    nj_buffer_text(o, head);
    nj_profile_escape(o, p->instance);
    nj_buffer_text(o, ": where its time goes");
    nj_buffer_text(o, style);
    nj_buffer_text(o, "<h1>");
    nj_profile_escape(o, p->instance);
    nj_buffer_text(o, " ");
    nj_profile_escape(o, p->version);
    nj_buffer_printf(o, "</h1>\n<p>%llu offered, %llu passed, %llu hits, %llu flagged. %.4g &micro;s per alert.</p>\n",
                     (unsigned long long)c->offered, (unsigned long long)c->passed, (unsigned long long)c->hits,
                     (unsigned long long)c->flagged, c->offered ? p->span_ns / 1e3 / (double)c->offered : 0);
    nj_buffer_printf(o,
                     "<p class=\"dim\">Input sha256 %.16s, %llu alerts, replayed %llu times. Time: sampled %s, n=%u (%u more in "
                     "the host's clock or not placed), ",
                     p->digest, (unsigned long long)p->alerts, (unsigned long long)p->replays, p->clock, p->samples, p->unplaced);
    nj_profile_escape(o, p->built ? p->built : "unknown");
    nj_buffer_text(o, " build. Hits: ");
    nj_profile_escape(o, p->no_hits ? p->no_hits : "exact (gcov -O0)");
    nj_buffer_printf(o, ". nightjar %s</p>\n<h2>Flame graph</h2><div class=\"wide\">", nj_version);
    nj_profile_flame(p, o);
    nj_buffer_text(o, "</div>\n");
    if (p->no_lines) nj_buffer_printf(o, "<p>No lines: %s.</p>\n", p->no_lines);
    nj_profile_function **list = calloc(p->n_functions + 1, sizeof *list);
    uint32_t n = 0;
    for (uint32_t i = 0; list && i < p->n_functions; i++)
        if (p->function[i].last >= p->function[i].first && p->function[i].samples) list[n++] = &p->function[i];
    if (list) qsort(list, n, sizeof *list, dearest_first);
    for (uint32_t i = 0; i < n; i++) write_function(p, list[i], o);
    free(list);
    nj_buffer_text(o, "</body></html>\n");
}
