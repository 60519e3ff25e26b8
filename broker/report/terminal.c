/* terminal.c - the table that a run prints at its end: measured figures first, then estimates, then what the
 * heads mean. */
#include <math.h>
#include <string.h>

#include "../base/file.h"
#include "../base/format.h"
#include "../base/reason.h"
#include "fit.h"
#include "report.h"

/* Three digits, none behind the point from 100 on. */
static void three(char text[16], double v)
{
    snprintf(text, 16, v >= 99.95 ? "%.0f" : "%.3g", v);
}

/* ---- the table ------------------------------------------------------------------------------- */

enum {
    NAME,
    OFFERED,
    PASSED,
    HITS,
    FLAGGED,
    CPU,
    SHARE,
    PER_CORE,
    HITS_PER_CORE,
    WALL,
    P50,
    P99,
    MOST,
    N_COLUMNS
};
static const nj_fit_column column[N_COLUMNS] = {
    [NAME] = { "", "module", 0 },
    [OFFERED] = { "", "offered", 0 },
    [PASSED] = { "", "passed", 8 },
    [HITS] = { "", "hits", 2 },
    [FLAGGED] = { "", "flagged", 4 },
    [CPU] = { "CPU", "us/alert", 0 },
    [SHARE] = { "", "share", 3 },
    [PER_CORE] = { "alerts/s", "per core", 1 },
    [HITS_PER_CORE] = { "hits/s", "per core", 9 },
    [WALL] = { "wall", "us/alert", 7 },
    [P50] = { "p50*", "us", 5 },
    [P99] = { "p99*", "us", 6 },
    [MOST] = { "max*", "us", 10 },
};

static void put_count(char cell[NJ_FIT_CELL], uint64_t v)
{
    snprintf(cell, NJ_FIT_CELL, "%llu", (unsigned long long)v);
}

static void put_cost(nj_fit_cells cell, const nj_per_alert *cost, double share)
{
    char text[24];
    snprintf(cell[CPU], NJ_FIT_CELL, "%s", nj_format_us(text, cost->cpu_us));
    snprintf(cell[PER_CORE], NJ_FIT_CELL, "%s", nj_format_rate(text, cost->per_s_core));
    snprintf(cell[SHARE], NJ_FIT_CELL, "%s", nj_format_share(text, share));
}

static void stage_cells(const nj_report *r, const nj_stage *s, nj_fit_cells cell)
{
    const nj_counter *c = &s->count;
    nj_per_alert cost = nj_counter_cost(c);
    char text[24];
    memset(cell, 0, sizeof(nj_fit_cells));
    snprintf(cell[NAME], NJ_FIT_CELL, "%s", s->name);
    put_count(cell[OFFERED], c->offered);
    put_count(cell[PASSED], c->passed);
    put_count(cell[HITS], c->hits);
    if (c->flagged || s->is_module)
        put_count(cell[FLAGGED], c->flagged);
    else
        strcpy(cell[FLAGGED], "-");
    put_cost(cell, &cost, nj_cpu_share((double)c->cpu_ns, r->cpu_s * 1e9));
    snprintf(cell[HITS_PER_CORE], NJ_FIT_CELL, "%s", nj_format_rate(text, cost.effective_per_s_core));
    snprintf(cell[WALL], NJ_FIT_CELL, "%s", nj_format_us(text, cost.wall_us));
    if (!c->one.n) {
        for (int k = P50; k <= MOST; k++) strcpy(cell[k], "-");
        return;
    }
    three(cell[P50], nj_histogram_quantile(&c->one, 0.5) / 1e3);
    three(cell[P99], nj_histogram_quantile(&c->one, 0.99) / 1e3);
    three(cell[MOST], (double)c->one.max / 1e3);
}

/* What no row above has, or all of it. */
static void run_cells(const nj_report *r, double cpu_ns, const char *name, nj_fit_cells cell)
{
    double n = (double)r->ledger.consumed;
    nj_per_alert cost = nj_per_alert_of(n, n, cpu_ns, 0);
    memset(cell, 0, sizeof(nj_fit_cells));
    snprintf(cell[NAME], NJ_FIT_CELL, "%s", name);
    put_count(cell[OFFERED], r->ledger.consumed);
    put_cost(cell, &cost, nj_cpu_share(cpu_ns, r->cpu_s * 1e9));
}

/* Every row, twice: once for the widths, once for the reader. */
static void rows(const nj_report *r, nj_fit *table, FILE *to)
{
    nj_fit_cells cell;
    double rest = nj_report_rest_ns(r);
    for (uint32_t i = 0; i < r->n_stages; i++) {
        if (!r->stage[i].count.offered) continue;
        stage_cells(r, &r->stage[i], cell);
        to ? nj_fit_row(table, cell, to) : nj_fit_see(table, cell);
    }
    if (rest > 0) {
        run_cells(r, rest, "rest of the run", cell);
        to ? nj_fit_row(table, cell, to) : nj_fit_see(table, cell);
    }
    run_cells(r, r->cpu_s * 1e9, "whole run", cell);
    to ? nj_fit_row(table, cell, to) : nj_fit_see(table, cell);
}

static void table(const nj_report *r, int width, nj_fit *t, FILE *to)
{
    nj_fit_begin(t, column, N_COLUMNS);
    rows(r, t, NULL);
    nj_fit_choose(t, width);
    nj_fit_head(t, to);
    rows(r, t, to);
}

/* The heads in words, and the columns that had no room. */
static void foot(const nj_fit *t, int width, FILE *to)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "CPU us/alert: CPU time per alert offered, the cost. alerts/s per core = 1e6 / (CPU "
                     "us/alert). share: of the run's CPU time. %s`nightjar help terms` explains all words.",
                     t->shown[P50] ? "* wall time of calls with one row. " : "");
    for (int i = 0, first = 1; i < t->n; i++) {
        if (t->shown[i]) continue;
        const char *over = t->column[i].over;
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s%s%s",
                      first ? " In a wider terminal (COLUMNS=120): " : ", ", over, *over ? " " : "",
                      t->column[i].head);
        first = 0;
    }
    nj_fit_text(to, width, text);
}

/* ---- estimates ------------------------------------------------------------------------------- */

/* A line for each: the figure with its band, then what it rests on, as far as there is room. */
static void energy(const nj_report *r, double cpu_us, int width, FILE *to)
{
    const nj_energy_source *s = &r->energy;
    char v[24], lo[24], hi[24], figure[96], source[192], year[16] = "", watt[80], share[224] = "";
    snprintf(figure, sizeof figure, "Energy %s [%s, %s] uJ/alert, %s", nj_format_two(v, cpu_us * s->watt),
             nj_format_two(lo, cpu_us * s->low), nj_format_two(hi, cpu_us * s->high), s->kind);
    snprintf(source, sizeof source, ": %s", s->source);
    if (s->year) snprintf(year, sizeof year, " (%d)", s->year);
    snprintf(watt, sizeof watt, "; %.1f W per busy thread [%.1f, %.1f]", s->watt, s->low, s->high);
    if (nj_energy_is_read(s) && isfinite(r->split.own_share)) /* others may have used the machine, too */
        snprintf(share, sizeof share, "; %.0f %% of the machine's CPU time, by %s", 100 * r->split.own_share,
                 r->split.own_by);
    nj_fit_parts(to, width, (const char *const[]){ figure, source, year, watt, share, NULL });
}

static void carbon(const nj_report *r, double million_s, int width, FILE *to)
{
    const nj_energy_source *s = &r->energy;
    const nj_carbon *c = &r->carbon;
    char v[24], lo[24], hi[24], figure[96], factor[96], source[192], year[16] = "", site[64];
    if (!c->country) return; /* no run of its own */
    snprintf(figure, sizeof figure, "Carbon %s [%s, %s] g CO2e per million alerts, estimated",
             nj_format_two(v, nj_carbon_grams(million_s * s->watt, c->pue, c->g_per_kwh)),
             nj_format_two(lo, nj_carbon_grams(million_s * s->low, c->pue, c->g_per_kwh)),
             nj_format_two(hi, nj_carbon_grams(million_s * s->high, c->pue, c->g_per_kwh)));
    if (c->year) snprintf(year, sizeof year, ", %d", c->year);
    snprintf(factor, sizeof factor, ": %.40s, %.3g g/kWh", c->country, c->g_per_kwh);
    snprintf(source, sizeof source, " (%.160s%s)", c->source, year);
    snprintf(site, sizeof site, ", PUE %.3g; idle share apart", c->pue);
    nj_fit_parts(to, width, (const char *const[]){ figure, factor, source, site, NULL });
}

static void money(const nj_report *r, double million_s, int width, FILE *to)
{
    const nj_cost *c = &r->cost;
    double gb = (double)r->bytes / (double)r->ledger.consumed / 1e3;
    char v[24], lo[24], hi[24], figure[128], price[80], source[192], year[16] = "", busy[32], sent[80];
    if (!c->currency) return;
    snprintf(figure, sizeof figure, "Money %s [%s, %s] %.16s per million alerts%s",
             nj_format_two(v, nj_cost_busy(c, million_s)), nj_format_two(lo, nj_cost_busy_low(c, million_s)),
             nj_format_two(hi, nj_cost_busy_high(c, million_s)), c->currency,
             strcmp(c->kind, "assumed") ? "" : ", estimated");
    if (c->year) snprintf(year, sizeof year, ", %d", c->year);
    snprintf(price, sizeof price, ": %.3g a core-hour", c->core_hour);
    snprintf(source, sizeof source, " (%.160s%s)", c->source, year);
    snprintf(busy, sizeof busy, ", %.0f %% busy", 100 * c->use);
    snprintf(sent, sizeof sent, "; packets sent on: %s GB, %s", nj_format_two(lo, gb),
             nj_format_two(hi, gb * c->egress_gb));
    nj_fit_parts(to, width, (const char *const[]){ figure, price, source, busy, sent, NULL });
}

static void estimates(const nj_report *r, int width, FILE *to)
{
    double cpu_us = nj_report_run_cost(r).cpu_us;
    if (!isfinite(cpu_us)) return;
    energy(r, cpu_us, width, to);
    carbon(r, cpu_us, width, to); /* us per alert are seconds per million */
    money(r, cpu_us, width, to);
}

/* ---- along the run --------------------------------------------------------------------------- */

/* A text that may be long; n: how many things it lists. */
static void say(FILE *to, int width, uint32_t n, nj_buffer *text)
{
    if (n && !text->failed) nj_fit_text(to, width, text->data);
    if (text->failed) fprintf(to, "(a line is missing here: out of memory)\n");
    nj_buffer_free(text);
}

/* The exposures against the broker's share of their budget, and where the time of the slowest went. */
static void exposures(const nj_waterfall_sum *w, int width, FILE *to)
{
    char p50[24], p99[24], max[24], t[24], text[512];
    snprintf(text, sizeof text,
             "Exposures %llu, first arrival to last acknowledgement p50 %s, p99 %s, max %s; over %.3g s "
             "(%.0f %% of %.3g s): %llu",
             (unsigned long long)w->n, nj_format_duration(p50, nj_histogram_quantile(&w->total, 0.5)),
             nj_format_duration(p99, nj_histogram_quantile(&w->total, 0.99)),
             nj_format_duration(max, (double)w->total.max), w->budget_s * w->broker_share,
             100 * w->broker_share, w->budget_s, (unsigned long long)w->over);
    nj_fit_text(to, width, text);
    if (!w->n_worst) return;
    const nj_waterfall_exposure *e = &w->worst[0];
    int n = snprintf(text, sizeof text, "  the slowest, %.64s %.14g (%llu alerts):", e->survey, e->exposure,
                     (unsigned long long)e->alerts);
    for (int k = 0; k < NJ_SPANS; k++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s %s %s", k ? "," : "", nj_span_name[k],
                      nj_format_duration(t, (double)e->span_ns[k]));
    nj_fit_text(to, width, text);
}

/* Only what is beyond chance and beyond 10 %, and a hundredth of the time at least. */
static void drifts(const nj_report *r, int width, FILE *to)
{
    uint32_t n = 0, judged = 0;
    double total_ns = 0;
    nj_buffer text = { 0 };
    for (uint32_t i = 0; i < r->n_stages; i++) total_ns += (double)r->stage[i].count.wall_ns;
    for (uint32_t i = 0; i < r->n_stages; i++) {
        const nj_drift_line *d = &r->stage[i].drift;
        judged += d->n >= 3;
        if (!d->drifts || (double)r->stage[i].count.wall_ns < total_ns / 100) continue;
        nj_buffer_printf(&text, "%s%s %+.0f %% (%+.3g %%/1000 batches, p %.1g)",
                         n++ ? ", " : "Drift along the run: ", r->stage[i].name, d->change_percent,
                         d->percent_per_1000, d->trend.p);
    }
    if (2 * n > judged && judged > 3) nj_buffer_text(&text, ": most rows at once, so likely the machine");
    say(to, width, n, &text);
}

static void reasons(const nj_report *r, int width, FILE *to)
{
    nj_buffer text = { 0 };
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_stages; i++) {
        if (!r->stage[i].is_module) continue;
        for (int k = 1, first = 1; k < NJ_REASON_NAMES; k++) {
            uint64_t rows = r->stage[i].count.reason[k];
            if (!rows) continue;
            if (first) nj_buffer_printf(&text, "%s%s ", n++ ? ", " : "No answer: ", r->stage[i].name);
            nj_buffer_printf(&text, "%s%llu %s", first ? "" : " + ", (unsigned long long)rows,
                             nj_reason_name[k]);
            first = 0;
        }
    }
    say(to, width, n, &text);
}

static void topics(const nj_report *r, int width, FILE *to)
{
    char a[32], b[24];
    nj_buffer text = { 0 };
    for (uint32_t i = 0; i < r->n_topics; i++) {
        const nj_report_topic *t = &r->topic[i];
        nj_buffer_printf(&text, "%s%s %s (%s)", i ? ", " : "Topics: ", t->name,
                         nj_format_grouped(a, t->matches),
                         nj_format_share(b, t->offered ? (double)t->matches / (double)t->offered : NAN));
    }
    say(to, width, r->n_topics, &text);
}

/* "gw: notices: 2 new, 1 replaced" */
static void notices(const nj_report *r, FILE *to)
{
    for (uint32_t i = 0; i < r->n_notices; i++) {
        const nj_report_notices *of = &r->notices[i];
        const char *between = ": notices: ";
        fprintf(to, "%s", of->module);
        for (uint32_t k = 0; k < of->n_counts; k++) {
            if (!of->count[k].n) continue;
            fprintf(to, "%s%llu %s", between, (unsigned long long)of->count[k].n, of->count[k].what);
            between = ", ";
        }
        if (*between == ':') fprintf(to, ": notices: none");
        if (of->troubles)
            fprintf(to, "; their source was in trouble %llu time%s", (unsigned long long)of->troubles,
                    of->troubles == 1 ? "" : "s");
        fprintf(to, "\n");
    }
}

/* A clause that asked for a region in vain. */
static void regions(const nj_report *r, FILE *to)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_regions; i++) n += !r->region[i].there;
    if (!n) return;
    fprintf(to, "%u region%s that clauses ask for %s not there:", n, n == 1 ? "" : "s",
            n == 1 ? "is" : "are");
    for (uint32_t i = 0; i < r->n_regions; i++)
        if (!r->region[i].there) fprintf(to, " %s", r->region[i].name);
    fprintf(to, "\n");
}

/* What the supervisor had to do. */
static void guard(const nj_report *r, FILE *to)
{
    if (r->restarts)
        fprintf(to, "%u worker%s died and %s replaced; the rows of modules above are the last one's\n",
                r->restarts, r->restarts == 1 ? "" : "s", r->restarts == 1 ? "was" : "were");
    if (r->recycled) fprintf(to, "%u replaced because of memory or new settings\n", r->recycled);
    for (uint32_t i = 0; i < r->n_failed; i++)
        if (r->failed[i].grown)
            fprintf(to, "%s grew by %lld MB: quarantined, its answers are unavailable from then on\n",
                    r->failed[i].name, (long long)(r->failed[i].grown >> 20));
    for (uint32_t i = 0; i < r->n_failed; i++)
        if (r->failed[i].n)
            fprintf(to, "%s crashed or hung on %llu alert%s%s\n", r->failed[i].name,
                    (unsigned long long)r->failed[i].n, r->failed[i].n == 1 ? "" : "s",
                    r->failed[i].off ? ": quarantined, its answers are unavailable from then on" : "");
    for (uint32_t i = 0; i < r->n_refused; i++)
        fprintf(to, "%s %s %llu time%s: refused ([guard] sandbox)\n", r->refused[i].module, r->refused[i].act,
                (unsigned long long)r->refused[i].n, r->refused[i].n == 1 ? "" : "s");
    for (uint32_t i = 0; r->shed && i < r->shed->n; i++)
        fprintf(to, "%s was left out for %llu alerts (max_lag_s); `run --missing OUT SOURCE` fills them in\n",
                r->shed->module[i].name, (unsigned long long)r->shed->module[i].alerts);
}

static void early(const nj_report *r, int width, FILE *to)
{
    enum { SHOWN = 5 };
    uint32_t n = r->n_early < SHOWN ? r->n_early : SHOWN, more = r->n_early - n + r->more_early;
    char text[640];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "Ended early: %.600s", r->early[i]);
        nj_fit_text(to, width, text);
    }
    if (more) fprintf(to, "Ended early: %u more, which the report lists\n", more);
}

/* The worst three; the rest has its own command. */
static void lag(const nj_report *r, int width, FILE *to)
{
    char text[1024], a[32];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->n_lags; i++) sum += nj_report_behind(&r->lag[i]);
    if (!r->n_lags) return;
    int n = snprintf(text, sizeof text, "Lag %s messages on %u partition%s", nj_format_grouped(a, sum),
                     r->n_lags, r->n_lags == 1 ? "" : "s");
    for (uint32_t i = 0; i < r->n_lags && i < 3 && nj_report_behind(&r->lag[i]); i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%.200s %s", i ? ", " : ": ",
                      nj_base_name(r->lag[i].name), nj_format_grouped(a, nj_report_behind(&r->lag[i])));
    if (r->n_lags > 3 && nj_report_behind(&r->lag[3]))
        snprintf(text + n, sizeof text - (size_t)n, "; `nightjar lag` shows all");
    nj_fit_text(to, width, text);
}

/* The account, then how long it took. */
static void summary(const nj_report *r, int width, FILE *to)
{
    const nj_ledger *l = &r->ledger;
    char a[32], b[32], c[32], d[32], e[64] = "", f[64] = "", text[1024];
    if (l->duplicates) snprintf(e, sizeof e, " + %s duplicates", nj_format_grouped(a, l->duplicates));
    if (l->returned) snprintf(f, sizeof f, " + %s returned", nj_format_grouped(a, l->returned));
    snprintf(text, sizeof text, "%s: %s in = %s out + %s filtered + %s dead%s%s, ledger %s.%s", r->input,
             nj_format_grouped(a, l->consumed), nj_format_grouped(b, l->emitted),
             nj_format_grouped(c, l->filtered), nj_format_grouped(d, l->dead), e, f,
             nj_ledger_closed(l) ? "closed" : "NOT CLOSED", r->interrupted ? " Interrupted." : "");
    nj_fit_text(to, width, text);
    snprintf(text, sizeof text,
             "Wall time %.3f s, %d thread%s, %s alerts/s; latency p50 %.3g, p99 %.3g ms; memory %.0f MB",
             r->wall_s, r->threads, r->threads == 1 ? "" : "s",
             nj_format_grouped(a, (uint64_t)((double)l->consumed / (r->wall_s > 0 ? r->wall_s : 1))),
             nj_histogram_quantile(&r->latency, 0.5) / 1e6, nj_histogram_quantile(&r->latency, 0.99) / 1e6,
             (double)r->rss_max_bytes / 1e6);
    nj_fit_text(to, width, text);
    if (r->shard.n) {
        uint64_t own = 0, left = 0;
        for (uint32_t i = 0; i < r->n_streams; i++) own += r->stream[i].own, left += r->stream[i].left;
        snprintf(text, sizeof text,
                 "Shard %u of %u: %s parts here, %s parts and %s alerts left to the others", r->shard.k,
                 r->shard.n, nj_format_grouped(a, own), nj_format_grouped(b, left),
                 nj_format_grouped(c, l->others));
        nj_fit_text(to, width, text);
    }
    if (l->missing) {
        snprintf(text, sizeof text,
                 "%s alerts are missing: the broker deleted them before they were read (the log says which)",
                 nj_format_grouped(a, l->missing));
        nj_fit_text(to, width, text);
    }
    if (l->again) {
        snprintf(text, sizeof text,
                 "%s messages come again to whoever has their partitions now: they were lost before this run "
                 "acknowledged them",
                 nj_format_grouped(a, l->again));
        nj_fit_text(to, width, text);
    }
    early(r, width, to);
    lag(r, width, to);
    guard(r, to);
    notices(r, to);
    regions(r, to);
    if (r->dead_letters[0]) fprintf(to, "Dead letters with their bytes: %s\n", r->dead_letters);
}

void nj_report_terminal(const nj_report *r, FILE *to)
{
    int width = nj_fit_width(to);
    nj_fit t;
    summary(r, width, to);
    table(r, width, &t, to);
    reasons(r, width, to);
    topics(r, width, to);
    if (r->waterfall) exposures(r->waterfall, width, to);
    drifts(r, width, to);
    estimates(r, width, to);
    foot(&t, width, to);
}
