/* terminal.c - the table that a run prints at its end. */
#include <math.h>
#include <string.h>

#include "report.h"

/* 54900 -> "54.9k", three digits. */
static const char *si(char text[16], double v)
{
    static const char *const suffix[] = { "", "k", "M", "G", "T" };
    int s = 0;
    if (!isfinite(v)) return strcpy(text, "-");
    while (fabs(v) >= 999.5 && s < 4) v /= 1000, s++;
    snprintf(text, 16, fabs(v) >= 99.95 ? "%.0f%s" : fabs(v) >= 9.995 ? "%.1f%s" : "%.2f%s", v, suffix[s]);
    return text;
}

/* 12345678 -> "12,345,678" */
static const char *grouped(char text[32], uint64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)v), k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[k++] = ',';
        text[k++] = digits[i];
    }
    text[k] = 0;
    return text;
}

/* Three digits, none behind the point from 100 on. */
static void three(char text[16], double v)
{
    snprintf(text, 16, v >= 99.95 ? "%.0f" : "%.3g", v);
}

/* Two significant digits: a modelled figure pretends no more. */
static const char *two(char text[16], double v)
{
    if (!(v > 0)) return strcpy(text, "0");
    double p = pow(10, floor(log10(v)) - 1), r = round(v / p) * p;
    snprintf(text, 16, r >= 10 ? "%.0f" : r >= 1 ? "%.1f" : r >= 0.1 ? "%.2f" : "%.3f", r);
    return text;
}

/* Hundredths of the currency unit per million alerts of so many busy us each. */
static const char *cents(char text[16], const nj_report *r, double busy_us)
{
    double v = 100 * nj_cost_busy(&r->cost, busy_us);
    if (!r->cost.currency) return strcpy(text, "-");
    return v > 0 && v < 0.0005 ? strcpy(text, "<.001") : two(text, v);
}

static void row(const nj_report *r, const nj_stage *s, double total_ns, FILE *to)
{
    const nj_counter *c = &s->count;
    char flag[16] = "-", p50[16] = "-", p99[16] = "-", on[16], eff[16], e[16], lo[16], hi[16], money[16];
    double n = (double)c->offered, us = n > 0 ? (double)c->wall_ns / n / 1e3 : 0, cpu_s = (double)c->cpu_ns / 1e9;
    if (c->flagged || s->is_module) snprintf(flag, sizeof flag, "%llu", (unsigned long long)c->flagged);
    if (c->one.n) {
        three(p50, nj_histogram_quantile(&c->one, 0.5) / 1e3);
        three(p99, nj_histogram_quantile(&c->one, 0.99) / 1e3);
    }
    double cpu_us = n > 0 ? cpu_s / n * 1e6 : 0;
    fprintf(to, "%-20.20s %7llu %6llu %5llu %4s %8.2f %6s %6s %5.1f%% %8s %8s %5s %s [%s, %s]\n", s->name,
            (unsigned long long)c->offered, (unsigned long long)c->passed, (unsigned long long)c->hits, flag, us, p50, p99,
            total_ns > 0 ? 100 * (double)c->wall_ns / total_ns : 0, si(on, n / cpu_s), si(eff, (double)c->hits / cpu_s),
            cents(money, r, cpu_us), two(e, cpu_us * r->energy.watt), two(lo, cpu_us * r->energy.low),
            two(hi, cpu_us * r->energy.high));
}

/* One line for what the figures in the last columns are, one for what they mean in carbon. */
static void energy(const nj_report *r, FILE *to)
{
    const nj_energy_source *s = &r->energy;
    char year[16] = "", v[16], lo[16], hi[16];
    if (s->year) snprintf(year, sizeof year, " (%d)", s->year);
    fprintf(to, "Energy %s: %s%s, %.1f W per busy thread [%.1f, %.1f]. Latency p50 %.3g, p99 %.3g ms\n", s->kind, s->source, year,
            s->watt, s->low, s->high, nj_histogram_quantile(&r->latency, 0.5) / 1e6,
            nj_histogram_quantile(&r->latency, 0.99) / 1e6);
    double million_s = r->ledger.consumed ? r->cpu_s / (double)r->ledger.consumed * 1e6 : 0;
    const nj_carbon *c = &r->carbon;
    if (!c->country) return;                                            /* no run of its own */
    snprintf(year, sizeof year, "%s%.0d", c->year ? " " : "", c->year); /* %.0d: nothing for 0 */
    fprintf(to, "Carbon, an estimate: %s [%s, %s] g CO2e per million alerts, %s%s %.3g g/kWh (%s), PUE %.3g; idle share apart\n",
            two(v, nj_carbon_grams(million_s * s->watt, c->pue, c->g_per_kwh)),
            two(lo, nj_carbon_grams(million_s * s->low, c->pue, c->g_per_kwh)),
            two(hi, nj_carbon_grams(million_s * s->high, c->pue, c->g_per_kwh)), c->country, year, c->g_per_kwh, c->source,
            c->pue);
}

static void money(const nj_report *r, FILE *to)
{
    const nj_cost *c = &r->cost;
    double n = (double)r->ledger.consumed, million_s = n > 0 ? r->cpu_s / n * 1e6 : 0,
           gb = n > 0 ? (double)r->bytes / n / 1e3 : 0;
    char v[16], lo[16], hi[16], sent[16], out[16], year[16] = "";
    if (!c->currency || n == 0) return;
    if (c->year) snprintf(year, sizeof year, ", %d", c->year);
    fprintf(to,
            "Money%s: %s [%s, %s] ct per million alerts; %.3g %s per core-hour (%s%s), %.0f %% busy; sending the packets on: %s "
            "GB, %s %s\n",
            strcmp(c->kind, "assumed") ? "" : ", an estimate", two(v, 100 * nj_cost_busy(c, million_s)),
            two(lo, 100 * nj_cost_busy_low(c, million_s)), two(hi, 100 * nj_cost_busy_high(c, million_s)), c->core_hour,
            c->currency, c->source, year, 100 * c->use, two(sent, gb), two(out, gb * c->egress_gb), c->currency);
}

static const char *span_of(char text[16], double ns)
{
    snprintf(text, 16,
             ns < 1e6   ? "%.3g us"
             : ns < 1e9 ? "%.3g ms"
                        : "%.3g s",
             ns < 1e6   ? ns / 1e3
             : ns < 1e9 ? ns / 1e6
                        : ns / 1e9);
    return text;
}

/* The exposures against the broker's share of their budget, and where the time of the slowest went. */
static void exposures(const nj_waterfall_sum *w, FILE *to)
{
    char p50[16], p99[16], max[16], t[16];
    fprintf(
        to,
        "Exposures %llu, first arrival to last acknowledgement p50 %s, p99 %s, max %s; over %.3g s (%.0f %% of %.3g s): %llu\n",
        (unsigned long long)w->n, span_of(p50, nj_histogram_quantile(&w->total, 0.5)),
        span_of(p99, nj_histogram_quantile(&w->total, 0.99)), span_of(max, (double)w->total.max), w->budget_s * w->broker_share,
        100 * w->broker_share, w->budget_s, (unsigned long long)w->over);
    if (!w->n_worst) return;
    const nj_waterfall_exposure *e = &w->worst[0];
    fprintf(to, "  the slowest, %s %.14g (%llu alerts):", e->survey, e->exposure, (unsigned long long)e->alerts);
    for (int k = 0; k < NJ_SPANS; k++) fprintf(to, "%s %s %s", k ? "," : "", nj_span_name[k], span_of(t, (double)e->span_ns[k]));
    fprintf(to, "\n");
}

/* Only what is beyond chance and beyond 10 %, and a hundredth of the time at least. */
static void drifts(const nj_report *r, double total_ns, FILE *to)
{
    uint32_t n = 0, judged = 0;
    for (uint32_t i = 0; i < r->n_stages; i++) {
        const nj_drift_line *d = &r->stage[i].drift;
        judged += d->n >= 3;
        if (!d->drifts || (double)r->stage[i].count.wall_ns < total_ns / 100) continue;
        fprintf(to, "%s%s %+.0f %% (%+.3g %%/1000 batches, p %.1g)", n++ ? ", " : "Drift along the run: ", r->stage[i].name,
                d->change_percent, d->percent_per_1000, d->trend.p);
    }
    if (n) fprintf(to, "%s\n", 2 * n > judged && judged > 3 ? ": most rows at once, so likely the machine" : "");
}

static void reasons(const nj_report *r, FILE *to)
{
    static const char *const name[] = { "done",  "cut",         "few_points", "no_input", "no_fit",
                                        "range", "unavailable", "failed",     "shed" };
    const char *lead = "* from 1-row slices.  No answer: ";
    int column = 0;
    for (uint32_t i = 0; i < r->n_stages; i++) {
        if (!r->stage[i].is_module) continue;
        int first = 1;
        for (int k = 1; k < 9; k++) {
            uint64_t n = r->stage[i].count.reason[k];
            if (!n) continue;
            if (column > 90) column = 0, lead = ",\n  ";
            column += fprintf(to, "%s%s%s%llu %s", lead, first ? r->stage[i].name : "", first ? " " : "", (unsigned long long)n,
                              name[k]);
            lead = first ? " + " : " + ";
            first = 0;
        }
        if (!first) lead = ", ";
    }
    if (column || lead[0] == ',')
        fprintf(to, "\n");
    else
        fprintf(to, "* from 1-row slices.\n");
}

void nj_report_terminal(const nj_report *r, FILE *to)
{
    const nj_ledger *l = &r->ledger;
    char a[32], b[32], c[32], d[32], e[32];
    fprintf(to, "%s: %s in = %s out + %s filtered + %s dead", r->input, grouped(a, l->consumed), grouped(b, l->emitted),
            grouped(c, l->filtered), grouped(d, l->dead));
    if (l->duplicates) fprintf(to, " + %s duplicates", grouped(e, l->duplicates));
    if (l->returned) fprintf(to, " + %s returned", grouped(e, l->returned));
    fprintf(to, ", ledger %s.%s", nj_ledger_closed(l) ? "closed" : "NOT CLOSED", r->interrupted ? " Interrupted." : "");
    fprintf(to, " Wall %.3f s, %d thread%s, %s alerts/s, RSS %.0f MB\n", r->wall_s, r->threads, r->threads == 1 ? "" : "s",
            grouped(a, (uint64_t)((double)l->consumed / (r->wall_s > 0 ? r->wall_s : 1))), (double)r->rss_max_bytes / 1e6);
    if (l->again)
        fprintf(to,
                "%s messages come again to whoever has their partitions now: they were lost before this run acknowledged them\n",
                grouped(a, l->again));
    if (r->dead_letters[0]) fprintf(to, "Dead letters with their bytes: %s\n", r->dead_letters);
    energy(r, to);
    money(r, to);
    fprintf(to, "%-20s offered passed  hits flag us/alert   p50*   p99*  share alerts/s  effect. ct/1M uJ/alert [low, high]\n",
            "module");
    double total = 0, cpu = 0;
    for (uint32_t i = 0; i < r->n_stages; i++) {
        total += (double)r->stage[i].count.wall_ns;
        cpu += (double)r->stage[i].count.cpu_ns;
    }
    for (uint32_t i = 0; i < r->n_stages; i++)
        if (r->stage[i].count.offered) row(r, &r->stage[i], total, to);
    double n = (double)l->consumed, us = n > 0 ? cpu / n / 1e3 : 0;
    char on[16], t[16], lo[16], hi[16], m[16];
    fprintf(to, "%-20s %7llu %6s %5s %4s %8.2f %6s %6s %6s %8s %8s %5s %s [%s, %s]\n", "total per core",
            (unsigned long long)l->consumed, "", "", "", n > 0 ? total / n / 1e3 : 0, "", "", "100%", si(on, n / (cpu / 1e9)), "",
            cents(m, r, us), two(t, us * r->energy.watt), two(lo, us * r->energy.low), two(hi, us * r->energy.high));
    reasons(r, to);
    if (r->waterfall) exposures(r->waterfall, to);
    drifts(r, total, to);
}
