/* singly_show.c - the section of --per-alert: percentiles, histogram, modes, outliers by name. */
#include <math.h>
#include <string.h>

#include "profile.h"

enum { NAMED = 20, BAR_WIDTH = 50 };

/* 12345 -> "12.3 us" */
static const char *duration(char text[24], double ns)
{
    const char *unit = ns < 999.5 ? "ns" : ns < 999.5e3 ? "us" : ns < 999.5e6 ? "ms" : "s";
    snprintf(text, 24, "%.3g %s",
             ns < 999.5     ? ns
             : ns < 999.5e3 ? ns / 1e3
             : ns < 999.5e6 ? ns / 1e6
                            : ns / 1e9,
             unit);
    return text;
}

static void name_of(char text[32], int64_t id)
{
    if (id == NJ_NO_I64)
        strcpy(text, "(no id)");
    else
        snprintf(text, 32, "%lld", (long long)id);
}

/* One sentence, for all formats. */
static const char *modes_in_words(const nj_singly *s, char text[640])
{
    const nj_modes *m = &s->modes;
    char t[24];
    if (m->n == 0) return strcpy(text, "Modes: not tested, fewer than 16 alerts or all alike");
    if (m->n == 1) {
        snprintf(text, 640, "One mode: dip %.3f, p = %.3f (more are said at p < 0.01 and Ashman's D > 2)",
                 m->dip, m->p);
        return text;
    }
    int at = snprintf(text, 640, "%s: ", m->n == 2 ? "BIMODAL" : "MULTIMODAL");
    for (uint32_t k = 0; k < m->n; k++)
        at += snprintf(text + at, 640 - (size_t)at, "%s%u alerts about %s", k ? ", " : "", s->n_mode[k],
                       duration(t, s->median[k]));
    snprintf(text + at, 640 - (size_t)at, "; dip %.3f, p %s %.3f; Ashman's D %.1f%s", m->dip,
             m->p < 0.0015 ? "<=" : "=", m->p, m->d, m->n > 2 ? " between the nearest two" : "");
    return text;
}

static const char reference[] = "Hartigan & Hartigan 1985; Ashman, Bird & Zepf 1994; of log time";

void nj_singly_table(const nj_singly *s, FILE *to)
{
    char t[6][24], words[640];
    fprintf(to, "\nPer alert: %u alerts one by one, median of %u rounds each", s->n, s->rounds);
    if (s->n_none) fprintf(to, "; %u more lack a required input", s->n_none);
    fprintf(to, "\n");
    if (!s->n) return;
    fprintf(to, "mean %s, p50 %s, p90 %s, p95 %s, p99 %s, max %s\n", duration(t[0], s->mean),
            duration(t[1], s->p50), duration(t[2], s->p90), duration(t[3], s->p95), duration(t[4], s->p99),
            duration(t[5], s->max));
    uint32_t most = 1;
    for (uint32_t k = 0; k < s->n_bars; k++) most = s->bar[k] > most ? s->bar[k] : most;
    for (uint32_t k = 0; k < s->n_bars; k++) {
        int width = s->bar[k] ? 1 + (int)((double)s->bar[k] / most * (BAR_WIDTH - 1)) : 0;
        fprintf(to, "%10s %7u %.*s\n", duration(t[0], nj_singly_edge(s, k)), s->bar[k], width,
                "##################################################");
    }
    modes_in_words(s, words);
    fprintf(to, "%s\n  (%s)\n", words, reference);
    fprintf(to,
            "Outliers: %u (1.5 times the median%s and more, and a modified z-score above 3.5; Iglewicz & "
            "Hoaglin 1993)\n",
            s->n_outliers, s->modes.n > 1 ? " of their mode" : "");
    if (s->n_outliers)
        fprintf(to, "%22s %12s %10s%s\n", "alert", "time", "x median",
                s->modes.n > 1 ? "  x its mode's" : "");
    for (uint32_t i = 0, shown = 0; i < s->n && shown < NAMED; i++) {
        const nj_singly_alert *a = &s->alert[i];
        if (!a->outlier) continue;
        name_of(words, a->id);
        fprintf(to, "%22s %12s %10.2f", words, duration(t[0], a->ns), a->ns / s->p50);
        if (s->modes.n > 1) fprintf(to, "  %12.2f", a->over_mode);
        fputc('\n', to);
        shown++;
    }
    if (s->n_outliers > NAMED) fprintf(to, "%22s\n", "... (all in --json)");
}

static void number(nj_buffer *o, const char *key, double value)
{
    nj_buffer_printf(o, "\"%s\":", key);
    nj_json_f64(o, value);
    nj_buffer_text(o, ",");
}

static void alert_json(const nj_singly *s, const nj_singly_alert *a, nj_buffer *o)
{
    nj_buffer_text(o, "{\"id\":");
    if (a->id == NJ_NO_I64)
        nj_buffer_text(o, "null,");
    else
        nj_buffer_printf(o, "%lld,", (long long)a->id);
    number(o, "ns", a->ns);
    number(o, "over_median", a->ns / s->p50);
    number(o, "over_median_of_mode", a->over_mode);
    nj_buffer_printf(o, "\"outlier\":%s}", a->outlier ? "true" : "false");
}

void nj_singly_json(const nj_singly *s, nj_buffer *o)
{
    const nj_modes *m = &s->modes;
    nj_buffer_printf(o, ",\n\"per_alert\":{\"alerts\":%u,\"rounds\":%u,\"lacking_input\":%u,", s->n,
                     s->rounds, s->n_none);
    number(o, "mean_ns", s->mean);
    number(o, "p50_ns", s->p50);
    number(o, "p90_ns", s->p90);
    number(o, "p95_ns", s->p95);
    number(o, "p99_ns", s->p99);
    number(o, "max_ns", s->max);
    nj_buffer_text(o, "\"histogram\":[");
    for (uint32_t k = 0; k < s->n_bars; k++) {
        nj_buffer_text(o, k ? ",[" : "[");
        nj_json_f64(o, nj_singly_edge(s, k));
        nj_buffer_printf(o, ",%u]", s->bar[k]);
    }
    nj_buffer_printf(o, "],\"bimodal\":%s,\"modes\":{", m->n > 1 ? "true" : "false");
    number(o, "dip", m->dip);
    number(o, "dip_p", m->p);
    number(o, "ashman_d", m->d);
    nj_buffer_text(o, "\"mode\":[");
    for (uint32_t k = 0; k < m->n; k++) {
        nj_buffer_printf(o, "%s{\"alerts\":%u,", k ? "," : "", s->n_mode[k]);
        number(o, "median_ns", s->median[k]);
        number(o, "to_ns", k + 1 < m->n ? pow(10, m->split[k]) : NAN);
        nj_buffer_printf(o, "\"sd_of_log10\":%.4g}", m->mode[k].sd);
    }
    nj_buffer_text(o, "],\"reference\":");
    nj_json_text(o, reference);
    nj_buffer_printf(o, "},\"n_outliers\":%u,\"cost\":[", s->n_outliers);
    for (uint32_t i = 0; i < s->n; i++) {
        if (i) nj_buffer_text(o, ",\n");
        alert_json(s, &s->alert[i], o);
    }
    nj_buffer_text(o, "]}");
}

static void histogram_html(const nj_singly *s, nj_buffer *o)
{
    enum { STEP = 26, HEIGHT = 120, LEFT = 8 };
    uint32_t most = 1, width = s->n_bars * STEP + 2 * LEFT;
    char t[24];
    for (uint32_t k = 0; k < s->n_bars; k++) most = s->bar[k] > most ? s->bar[k] : most;
    nj_buffer_printf(o,
                     "<svg class=\"histogram\" viewBox=\"0 0 %u %d\" style=\"max-width:%upx\" role=\"img\" "
                     "aria-label=\"alerts by "
                     "cost\">\n",
                     width, HEIGHT + 38, 5 * width / 4);
    for (uint32_t k = 0; k < s->n_bars; k++) {
        double h = s->bar[k] ? fmax((double)s->bar[k] / most * (HEIGHT - 16), 1.5) : 0,
               x = LEFT + (double)k * STEP;
        nj_buffer_printf(
            o,
            "<g><title>from %s: %u alerts</title><rect x=\"%.0f\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>",
            duration(t, nj_singly_edge(s, k)), s->bar[k], x, HEIGHT - h, STEP - 3, h);
        if (s->bar[k])
            nj_buffer_printf(o, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"middle\">%u</text>",
                             x + (STEP - 3) / 2.0, HEIGHT - h - 3, s->bar[k]);
        nj_buffer_text(o, "</g>\n");
        if (k % 4 == 0)
            nj_buffer_printf(o, "<text class=\"axis\" x=\"%.0f\" y=\"%d\">%s</text>\n", x, HEIGHT + 14,
                             duration(t, nj_singly_edge(s, k)));
    }
    nj_buffer_printf(o, "<text class=\"axis\" x=\"%d\" y=\"%d\">time of one alert, log scale</text></svg>\n",
                     LEFT, HEIGHT + 32);
}

void nj_singly_html(const nj_singly *s, nj_buffer *o)
{
    char t[6][24], words[640];
    nj_buffer_printf(
        o, "<h2>Alert by alert</h2><p class=\"dim\">%u alerts one by one, median of %u rounds each</p>\n",
        s->n, s->rounds);
    if (!s->n) return;
    nj_buffer_printf(o, "<p>mean %s, p50 %s, p90 %s, p95 %s, p99 %s, max %s</p>\n", duration(t[0], s->mean),
                     duration(t[1], s->p50), duration(t[2], s->p90), duration(t[3], s->p95),
                     duration(t[4], s->p99), duration(t[5], s->max));
    histogram_html(s, o);
    modes_in_words(s, words);
    nj_buffer_text(o, "<p>");
    nj_profile_escape(o, words);
    nj_buffer_text(o, "</p><p class=\"dim\">");
    nj_profile_escape(o, reference);
    nj_buffer_printf(
        o, "</p>\n<p>Outliers: %u, at 1.5 times the median%s and more and a modified z-score above 3.5</p>\n",
        s->n_outliers, s->modes.n > 1 ? " of their mode" : "");
    if (!s->n_outliers) return;
    nj_buffer_text(
        o,
        "<div class=\"wide\"><table><tr><th class=\"name\">alert</th><th>time</th><th>&times; median</th><th "
        "class=\"last\">&times; its mode&#39;s</th></tr>\n");
    for (uint32_t i = 0, shown = 0; i < s->n && shown < NAMED; i++) {
        const nj_singly_alert *a = &s->alert[i];
        if (!a->outlier) continue;
        name_of(words, a->id);
        nj_buffer_printf(
            o, "<tr><td class=\"name\">%s</td><td>%s</td><td>%.2f</td><td class=\"last\">%.2f</td></tr>\n",
            words, duration(t[0], a->ns), a->ns / s->p50, a->over_mode);
        shown++;
    }
    nj_buffer_text(o, "</table></div>\n");
}
