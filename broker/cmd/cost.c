/* cost.c - `nightjar cost RUN.json`: what a survey's nights cost with what this run measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/embed.h"
#include "../base/file.h"
#include "../base/format.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../base/output.h"
#include "../measure/night_cost.h"
#include "../report/bench_file.h"
#include "../report/json_get.h"
#include "command.h"

typedef struct options {
    const char *prices, *survey, *json, *bill;
} options;

#define AT(x) offsetof(options, x)
static const nj_option table[] = {
    { "prices", 0, NJ_OPTION_TEXT, AT(prices), "FILE",
      .doc = "prices of your own over the dated ones inside (data/embed/prices.ini)" },
    { "survey", 0, NJ_OPTION_TEXT, AT(survey), "ztf|lsst|VOLUME", "ztf",
      .doc =
          "or ALERTS[,PER_EXPOSURE[,SECONDS[,NIGHTS[,BYTES]]]]: of a night, from one exposure to the next" },
    { "bill", 0, NJ_OPTION_TEXT, AT(bill), "FILE",
      .doc = "bills that were paid ([workflow.NAME]), instead of a run; workflows_2019: Rubin's on a cloud" },
    { "json", 0, NJ_OPTION_TEXT, AT(json), "FILE", .doc = "all rows as JSON" },
    { 0 }
};

static int cost(int argc, char **argv);

NJ_COMMAND(cost) = {
    .name = "cost",
    .usage = "cost RUN.json [--prices FILE] [--survey ztf|lsst|VOLUME]",
    .summary = "what a night costs on rented and on owned machines, with what a run measured",
    .help = "Sized by the exposure burst (live) and by the night (at once, afterwards); storage, egress and\n"
            "Kafka included. * marks what nothing beats in both cost and time.\n",
    .main = cost,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "RUN.json", "what `nightjar run --report RUN.json` writes" },
                                       { 0 } },
    .exits = (const nj_meaning[]){ { "1", "wrong usage, prices or report" },
                                   { "3", "a file could not be written" },
                                   { 0 } },
};

static int read_run(nj_alert_work *w, const char *path, nj_error *err)
{
    json_t *root = nj_json_read(path, NULL, err);
    if (!root) return -1;
    const json_t *t = json_object_get(root, "throughput"), *ledger = json_object_get(root, "ledger");
    double cpu = nj_get_number(t, "cpu_us_per_alert"), rate = nj_get_number(t, "bytes_per_s"),
           wall = nj_get_number(t, "wall_s"), alerts = nj_get_number(ledger, "consumed"),
           start = nj_get_number(t, "start_s");
    *w = (nj_alert_work){ cpu * 1e-6, rate * wall / alerts, isnan(start) ? 0 : start };
    json_decref(root);
    if (!(w->core_s > 0) || !isfinite(w->bytes))
        return nj_fail(err, "%s: no run report with CPU time and bytes per alert", path);
    return 0;
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const char *money(char text[24], double v)
{
    snprintf(text, 24, v >= 1000 ? "%.0f" : v >= 100 ? "%.1f" : v >= 0.1 ? "%.2f" : "%.2g", v);
    return text;
}

static void live_table(const nj_night_cost *row, uint32_t n, const nj_prices *p)
{
    char t[6][24];
    bool assumed = false;
    printf("\nLive: machines by the exposure burst at %.0f %% load, on for %g h a night;\n%s a night\n",
           100 * p->load, p->hours_of_night, p->currency);
    printf("%-12s %-9s %4s %9s %8s %7s %7s %7s %8s\n", "machine", "scheme", "n", "exposure", "machines",
           "Kafka", "storage", "egress", "together");
    for (uint32_t i = 0; i < n; i++) {
        const nj_night_cost *r = &row[i];
        if (!r->live) continue;
        const bool guess = !strcmp(r->kind, "assumed");
        printf("%-12s %-9s %4u %9s %8s %7s %7s %7s %8s%s\n", r->machine, nj_scheme_name[r->scheme], r->n,
               nj_format_duration(t[0], r->wall_h * 3600e9), money(t[1], r->compute), money(t[2], r->kafka),
               money(t[3], r->storage), money(t[4], r->egress), money(t[5], r->total), guess ? "~" : "");
        assumed |= guess;
    }
    if (assumed) printf("~ the price of the machine is a guess (assumed)\n");
}

static void cells(const char *machine, const char *scheme)
{
    printf("%-12s %-9s", machine, scheme);
}

/* Storage and egress are the same for all: the cells are what the machines cost. The time is that of a
 * machine, whatever the scheme: it stands above, once. */
static void night_table(const nj_night_cost *row, uint32_t n, const nj_prices *p)
{
    static const uint32_t sizes[] = { 1, 2, 4, 8, 16 };
    const char *machine = "";
    printf("\nThe night at once, afterwards: %s for machines, by their number\n", p->currency);
    cells("machine", "scheme");
    for (int k = 0; k < 5; k++) printf(" %9u ", sizes[k]);
    putchar('\n');
    for (uint32_t i = 0; i < n; i++) {
        const nj_night_cost *r = &row[i];
        char t[24];
        if (r->live) continue;
        if (r->n == 1 && strcmp(r->machine, machine) != 0) {
            cells(machine = r->machine, "hours");
            for (uint32_t k = i; k < n && (k == i || row[k].n > 1); k++) printf(" %9.2g ", row[k].wall_h);
            putchar('\n');
        }
        if (r->n == 1) cells("", nj_scheme_name[r->scheme]);
        printf(" %9s%c", money(t, r->compute), r->pareto ? '*' : ' ');
        if (r->n == 16) putchar('\n');
    }
}

static int by_wall(const void *a, const void *b)
{
    const nj_night_cost *x = *(const nj_night_cost *const *)a, *y = *(const nj_night_cost *const *)b;
    return (x->wall_h < y->wall_h) - (x->wall_h > y->wall_h);
}

static uint32_t pareto_of(const nj_night_cost *row, uint32_t n, const nj_night_cost **line)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (row[i].pareto && !row[i].live) line[k++] = &row[i];
    qsort(line, k, sizeof *line, by_wall);
    return k;
}

static void pareto_line(const nj_night_cost *row, uint32_t n, const nj_prices *p)
{
    const nj_night_cost *line[NJ_COST_ROWS];
    char t[24];
    uint32_t k = pareto_of(row, n, line);
    printf("\n* Nothing beats these in both cost and time (%s, all included):\n", p->currency);
    for (uint32_t i = 0; i < k; i++)
        printf("  %8s in %8.3g h: %u x %s, %s\n", money(t, line[i]->total), line[i]->wall_h, line[i]->n,
               line[i]->machine, nj_scheme_name[line[i]->scheme]);
}

/* Does it cost the same on any number of machines, as the proof of concept found? */
static void constancy(const nj_night_cost *row, uint32_t n)
{
    const nj_night_cost *one = NULL, *many = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (!row[i].live && row[i].scheme == NJ_ON_DEMAND) {
            if (row[i].n == 1 && !one) one = &row[i];
            if (row[i].n == 16 && !many) many = &row[i];
        }
    if (!one || !many) return;
    char t[2][24];
    double ratio = many->compute / one->compute;
    const char *say = fabs(ratio - 1) < 0.1 ? "It is, within 10 %: the time falls and the cost stays."
                      : ratio > 1           ? "It is not: each machine pays for its start."
                                            : "It is not: the machine that stays is paid for less time.";
    printf("\nIs the cost of a night the same on any number of machines?\n  On demand, %s:\n"
           "  %s on 1, %s on 16 (%+.0f %%), in %.3g and %.3g h.\n  %s\n",
           one->machine, money(t[0], one->compute), money(t[1], many->compute), 100 * (ratio - 1),
           one->wall_h, many->wall_h, say);
}

static void traffic_line(const nj_night_cost *row, uint32_t n, const nj_prices *p)
{
    const nj_night_cost *best = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (row[i].live && (!best || row[i].total < best->total)) best = &row[i];
    if (!best) return;
    printf("\nOf the cheapest live night %.0f %% is egress, %.0f %% Kafka, %.0f %% storage,\n"
           "%.0f %% machines.\n",
           100 * best->egress / best->total, 100 * best->kafka / best->total,
           100 * best->storage / best->total, 100 * best->compute / best->total);
    printf("Prices: %s, %d; machines:\n", p->traffic.source, (int)p->traffic.year);
    for (uint32_t i = 0; i < p->n_instances; i++)
        printf("  %s: %s, %d\n", p->instance[i].name, p->instance[i].source, (int)p->instance[i].year);
}

static int write_json(const options *o, const nj_night_cost *row, uint32_t n, const nj_prices *p,
                      const nj_volume *v, const nj_alert_work *w)
{
    nj_buffer b = { 0 };
    nj_json j = nj_json_begin(&b, '{');
    nj_json_put(&j, "schema_version=%d kind=%s currency=%s survey=%s alerts_per_night=%g", 1, "cost",
                p->currency, v->name, v->per_night);
    nj_json_put(&j, "alerts_per_exposure=%g exposure_s=%g nights=%g", v->per_exposure, v->exposure_s,
                v->nights);
    nj_json_put(&j, "core_s_per_alert=%g bytes_per_alert=%g start_s=%g load=%g", w->core_s, w->bytes,
                w->start_s, p->load);
    nj_json_open(&j, "rows", '[');
    for (uint32_t i = 0; i < n; i++) {
        const nj_night_cost *r = &row[i];
        nj_json_open(&j, NULL, '{');
        nj_json_put(&j,
                    "machine=%s scheme=%s n=%u live=%hhd wall_h=%g compute=%g kafka=%g storage=%g egress=%g",
                    r->machine, nj_scheme_name[r->scheme], r->n, r->live, r->wall_h, r->compute, r->kafka,
                    r->storage, r->egress);
        nj_json_put(&j, "total=%g pareto=%hhd kind=%s", r->total, r->pareto, r->kind);
        nj_json_close(&j);
    }
    nj_json_close(&j);
    nj_json_end(&j);
    int bad = b.failed || (nj_output_is_standard(o->json) ? fwrite(b.data, 1, b.n, stdout) != b.n
                                                          : nj_file_write(o->json, b.data, b.n));
    if (bad) nj_log(NJ_LOG_ERROR, "%s: cannot be written (%m)", o->json);
    nj_buffer_free(&b);
    return bad ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
}

static void tables(const nj_night_cost *row, uint32_t n, const nj_prices *p, const nj_volume *v,
                   const nj_alert_work *w, const char *path)
{
    printf("%s: %g alerts a night, %g in an exposure, %g s apart,\n  %g nights a year (%s)\n", v->name,
           v->per_night, v->per_exposure, v->exposure_s, v->nights, v->source);
    printf("%s: %.4g core-ms and %.4g kB an alert, %.2g s to start\n", path, 1e3 * w->core_s, w->bytes / 1e3,
           w->start_s);
    live_table(row, n, p);
    night_table(row, n, p);
    pareto_line(row, n, p);
    constancy(row, n);
    traffic_line(row, n, p);
}

static int nights(const options *o, const nj_prices *p, const char *path, nj_error *err)
{
    nj_volume v;
    nj_alert_work w;
    if (nj_volume_of(&v, o->survey, err) || read_run(&w, path, err)) return NJ_EXIT_USAGE;
    nj_night_cost *row = calloc(NJ_COST_ROWS, sizeof *row);
    if (!row) return nj_fail(err, "out of memory"), NJ_EXIT_USAGE;
    uint32_t n = nj_cost_rows(row, p, &v, &w);
    if (!o->json || !nj_output_is_standard(o->json)) tables(row, n, p, &v, &w, path);
    int rc = o->json ? write_json(o, row, n, p, &v, &w) : NJ_EXIT_OK;
    free(row);
    return rc;
}

/* ---- bills that were paid -------------------------------------------------------------------- */

static void bills(const nj_prices *p)
{
    double least = INFINITY, most = 0;
    printf("%-9s %6s %3s %9s %6s %8s %7s %6s %8s %6s\n", "workflow", "hours", "n", "on demand", "spot",
           "database", "storage", "other", "together", "each");
    for (uint32_t i = 0; i < p->n_bills; i++) {
        const nj_bill *b = &p->bill[i];
        double total = nj_bill_total(b), each = total / b->workflows;
        printf("%s\n%-9s %6.2f %3.0f %9.2f %6.2f %8.2f %7.2f %6.2f %8.2f %6.2f\n", b->name, "", b->wall_h,
               b->workflows, b->on_demand, b->spot, b->database, b->storage, b->other, total, each);
        printf("  %.4f %s for an hour of a job; n: workflows at once\n", nj_bill_job_hour(b, 1), p->currency);
        least = fmin(least, each), most = fmax(most, each);
    }
    printf(
        "Machines cost %.4f %s for an hour of a job, on average.\nA workflow cost from %.2f to %.2f:\n%s\n",
        nj_bill_job_hour(p->bill, p->n_bills), p->currency, least, most,
        most < 1.1 * least ? "the same within 10 %." : "not the same; what was paid for and idled is in it.");
}

static const char *embedded_text(const char *name)
{
    const nj_embedded *e = nj_embedded_find(name);
    return e ? e->data : NULL;
}

static int cost(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    nj_prices p = { 0 };
    int rc = NJ_EXIT_USAGE;
    if (nj_command_parse(&nj_command_cost, &o, argc, argv, &words, &err) == 0) {
        char name[128] = "";
        if (o.bill) snprintf(name, sizeof name, "data/embed/%.100s.ini", o.bill);
        const char *text = embedded_text(o.bill ? name : "data/embed/prices.ini");
        if (words.n != (o.bill ? 0 : 1))
            nj_fail(&err,
                    o.bill ? "--bill takes no report" : "expected RUN.json; see `nightjar cost --help`");
        else if (nj_prices_read(&p, o.bill ? name : "prices.ini (built in)", text,
                                o.bill && !text ? o.bill : o.prices, &err) == 0)
            rc = o.bill ? (bills(&p), NJ_EXIT_OK) : nights(&o, &p, words.item[0], &err);
    }
    if (rc && err.text[0]) nj_log(NJ_LOG_ERROR, "cost: %s", err.text);
    nj_prices_free(&p);
    return rc;
}
