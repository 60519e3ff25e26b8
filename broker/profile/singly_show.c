/* singly_show.c - the section of --per-alert: percentiles, histogram, modes, outliers by name. */
#include <math.h>
#include <string.h>

#include "../base/format.h"
#include "profile.h"

enum { NAMED = 20, BAR_WIDTH = 50 };

static void name_of(char text[32], int64_t id)
{
    if (id == NJ_NO_I64)
        strcpy(text, "(no id)");
    else
        snprintf(text, 32, "%lld", (long long)id);
}

/* One sentence, for all formats. */
static const char *modes_in_words(const nj_singly *s, char text[640],
                                  const char *(*duration)(char text[24], double ns))
{
    const nj_modes *m = &s->modes;
    char t[24];
    if (m->n == 0) return strcpy(text, "Modes: not tested, fewer than 16 alerts or all alike");
    if (m->n == 1) {
        snprintf(text, 640, "One mode: dip %.3f, p = %.3f (more are reported at p < 0.01 and Ashman's D > 2)",
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

/* Why there are several modes, as far as the alerts say it. "" when there is one. */
static const char *causes_in_words(const nj_singly *s, char text[400])
{
    static const char *const name[NJ_CAUSES] = { "points of history", "pixels of a stamp", "" };
    size_t at = 0;
    text[0] = 0;
    if (s->modes.n < 2) return text;
    for (int c = 0; c < NJ_CAUSES; c++) {
        const nj_singly_cause *x = &s->cause[c];
        const char *more = x->superior > 0.5 ? "more" : "fewer";
        if (!(fabs(x->superior - 0.5) >= 0.4)) continue;
        at += (size_t)snprintf(text + at, 400 - at, at ? "; " : "What goes with it: ");
        if (c == NJ_CAUSE_ANSWERED)
            at += (size_t)snprintf(text + at, 400 - at,
                                   "%.0f %% of the slower ones were answered, %.0f %% of the fast",
                                   100 * x->slow, 100 * x->fast);
        else
            at += (size_t)snprintf(text + at, 400 - at, "the slower ones have %s %s, %.0f against %.0f", more,
                                   name[c], x->slow, x->fast);
    }
    if (!at)
        snprintf(text, 400,
                 "Neither the length of the history, nor the size of the stamps, nor whether there was an "
                 "answer tells the modes apart: --lines shows where the time goes");
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
    fprintf(to, "mean %s, p50 %s, p90 %s, p95 %s, p99 %s, max %s\n", nj_format_duration(t[0], s->mean),
            nj_format_duration(t[1], s->p50), nj_format_duration(t[2], s->p90),
            nj_format_duration(t[3], s->p95), nj_format_duration(t[4], s->p99),
            nj_format_duration(t[5], s->max));
    uint32_t most = 1;
    for (uint32_t k = 0; k < s->n_bars; k++) most = s->bar[k] > most ? s->bar[k] : most;
    for (uint32_t k = 0; k < s->n_bars; k++) {
        int width = s->bar[k] ? 1 + (int)((double)s->bar[k] / most * (BAR_WIDTH - 1)) : 0;
        fprintf(to, "%10s %7u %.*s\n", nj_format_duration(t[0], nj_singly_edge(s, k)), s->bar[k], width,
                "##################################################");
    }
    modes_in_words(s, words, nj_format_duration);
    fprintf(to, "%s\n  (%s)\n", words, reference);
    if (causes_in_words(s, words)[0]) fprintf(to, "%s\n", words);
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
        fprintf(to, "%22s %12s %10.2f", words, nj_format_duration(t[0], a->ns), a->ns / s->p50);
        if (s->modes.n > 1) fprintf(to, "  %12.2f", a->over_mode);
        fputc('\n', to);
        shown++;
    }
    if (s->n_outliers > NAMED) fprintf(to, "%22s\n", "... (all in --json)");
}

static void alert_json(const nj_singly *s, const nj_singly_alert *a, nj_json *j)
{
    nj_json_open(j, NULL, '{');
    if (a->id == NJ_NO_I64)
        nj_json_raw(j, "id", "null", 4);
    else
        nj_json_put(j, "id=%lld", (long long)a->id);
    nj_json_put(j, "ns=%g over_median=%g over_median_of_mode=%g outlier=%hhd", a->ns, a->ns / s->p50,
                a->over_mode, a->outlier);
    nj_json_close(j);
}

static void modes_json(const nj_singly *s, nj_json *j)
{
    const nj_modes *m = &s->modes;
    nj_json_open(j, "modes", '{');
    nj_json_put(j, "dip=%g dip_p=%g ashman_d=%g", m->dip, m->p, m->d);
    nj_json_open(j, "mode", '[');
    for (uint32_t k = 0; k < m->n; k++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "alerts=%u median_ns=%g to_ns=%g sd_of_log10=%g", s->n_mode[k], s->median[k],
                    k + 1 < m->n ? pow(10, m->split[k]) : NAN, m->mode[k].sd);
        nj_json_close(j);
    }
    nj_json_close(j);
    char words[400];
    nj_json_put(j, "reference=%s", reference);
    if (m->n > 1) nj_json_put(j, "goes_with=%s", causes_in_words(s, words));
    nj_json_close(j);
}

void nj_singly_json(const nj_singly *s, nj_json *j)
{
    nj_json_open(j, "per_alert", '{');
    nj_json_put(
        j,
        "alerts=%u rounds=%u lacking_input=%u mean_ns=%g p50_ns=%g p90_ns=%g p95_ns=%g p99_ns=%g max_ns=%g",
        s->n, s->rounds, s->n_none, s->mean, s->p50, s->p90, s->p95, s->p99, s->max);
    nj_json_open(j, "histogram", '[');
    for (uint32_t k = 0; k < s->n_bars; k++) {
        nj_json_open(j, NULL, '[');
        nj_json_item(j, "%g", nj_singly_edge(s, k));
        nj_json_item(j, "%u", s->bar[k]);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_put(j, "bimodal=%hhd", s->modes.n > 1);
    modes_json(s, j);
    nj_json_put(j, "n_outliers=%u", s->n_outliers);
    nj_json_open(j, "cost", '[');
    for (uint32_t i = 0; i < s->n; i++) alert_json(s, &s->alert[i], j);
    nj_json_close(j);
    nj_json_close(j);
}

static void put_bars(nj_template_values *v, json_t *to, const nj_singly *s)
{
    enum { STEP = 26, HEIGHT = 120, LEFT = 8 }; /* as in alert_histogram.svg */
    uint32_t most = 1, width = s->n_bars * STEP + 2 * LEFT;
    for (uint32_t k = 0; k < s->n_bars; k++) most = s->bar[k] > most ? s->bar[k] : most;
    nj_template_put(v, to, "width=%u max_width=%u", width, 5 * width / 4);
    json_t *bars = nj_template_list(v, to, "bars");
    for (uint32_t k = 0; k < s->n_bars; k++)
        nj_template_put(v, bars, "ns=%g n=%u x=%g height=%g labelled=%d", nj_singly_edge(s, k), s->bar[k],
                        LEFT + (double)k * STEP,
                        s->bar[k] ? fmax((double)s->bar[k] / most * (HEIGHT - 16), 1.5) : 0, k % 4 == 0);
}

static void put_outliers(nj_template_values *v, json_t *to, const nj_singly *s)
{
    json_t *outliers = nj_template_list(v, to, "outliers");
    for (uint32_t i = 0, shown = 0; i < s->n && shown < NAMED; i++) {
        const nj_singly_alert *a = &s->alert[i];
        char id[32];
        if (!a->outlier) continue;
        name_of(id, a->id);
        nj_template_put(v, outliers, "id=%s ns=%g over_median=%g over_mode=%g", id, a->ns, a->ns / s->p50,
                        a->over_mode);
        shown++;
    }
}

void nj_singly_put(nj_template_values *v, json_t *list, const nj_singly *s)
{
    char words[640], causes[400];
    json_t *to = nj_template_put(v, list, "n=%u rounds=%u mean=%g p50=%g p90=%g p95=%g p99=%g max=%g", s->n,
                                 s->rounds, s->mean, s->p50, s->p90, s->p95, s->p99, s->max);
    nj_template_put(v, to, "modes=%s causes=%s reference=%s n_outliers=%u by_mode=%d",
                    modes_in_words(s, words, nj_format_duration_micro), causes_in_words(s, causes), reference,
                    s->n_outliers, s->modes.n > 1);
    put_bars(v, to, s);
    put_outliers(v, to, s);
}
