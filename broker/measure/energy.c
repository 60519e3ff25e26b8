/* energy.c - machines differ in how power can be measured; this chooses the best source available and
 * records which it was. */
#include "energy.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "cpu.h"
#include "energy_counter.h"
#include "energy_gpu.h"
#include "energy_share.h"

enum { POLL_S = 10 }; /* RAPL: a 32-bit counter may wrap after 328 s at 200 W */

struct nj_energy {
    nj_energy_conf conf;
    nj_arena arena;
    nj_energy_counter counter;
    nj_energy_gpu gpu;
    nj_energy_source source, model; /* model: what a silent counter falls back to */
    nj_carbon carbon;
    const char *hint;
    double tdp;
    int sockets;
    /* of one run */
    nj_machine_ticks begin;
    nj_energy_share share;
    double own_s; /* of the run's CPU time, at its begin */
    int64_t begin_ns, polled_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool polling, stop;
    bool said_part, said_nothing;   /* once, however many runs there are */
    bool meter_hangs;               /* it is not asked again */
    double meter_joule, meter_last; /* integral so far; the reading before */
    int64_t meter_ns;
    uint32_t meter_n, meter_failed;
};

const nj_param nj_energy_settings[] = {
    { "source", NJ_STR, "auto", offsetof(nj_energy_conf, source), 0, 0, "1",
      "auto, meter, rapl, spec, tdp, unknown or constant" },
    { "country", NJ_STR, "", offsetof(nj_energy_conf, country), 0, 0, "1",
      "ISO 3166 code; empty = the world's mean intensity" },
    { "cpu_model", NJ_STR, "", offsetof(nj_energy_conf, cpu_model), 0, 0, "1",
      "the CPU, where the machine does not report it" },
    { "meter_command", NJ_STR, "", offsetof(nj_energy_conf, meter_command), 0, 0, "1",
      "prints what the machine's meter reads" },
    { "meter_file", NJ_STR, "", offsetof(nj_energy_conf, meter_file), 0, 0, "1",
      "holds what the machine's meter reads" },
    { "meter_unit", NJ_STR, "watt", offsetof(nj_energy_conf, meter_unit), 0, 0, "1",
      "watt (now) or joule (a counter)" },
    { "meter_s", NJ_F64, "1", offsetof(nj_energy_conf, meter_s), 0.1, 60, "s",
      "time between readings of the meter" },
    { "tdp_file", NJ_STR, "", offsetof(nj_energy_conf, tdp_file), 0, 0, "1",
      "CSV of CPU name, TDP in watts; empty = the short table inside" },
    { "spec_file", NJ_STR, "", offsetof(nj_energy_conf, spec_file), 0, 0, "1",
      "CSV of CPU pattern, watts of a vCPU at rest and at full load; empty = the short table inside" },
    { "pue", NJ_F64, "1.25", offsetof(nj_energy_conf, pue), 1, 5, "1",
      "energy of the site for one unit of the machines'" },
    { "intensity", NJ_F64, "0", offsetof(nj_energy_conf, intensity), 0, 5000, "g/kWh",
      "CO2 equivalent; 0 = the country's" },
    { "gpus", NJ_I64, "1", offsetof(nj_energy_conf, gpus), 0, 1, "1",
      "1: NVIDIA's library is looked for, and its GPUs are counted" },
    { "share", NJ_STR, "auto", offsetof(nj_energy_conf, share), 0, 0, "1",
      "whose CPU time is the run's: cgroup (its own), process (and what it started), auto" },
    { "dimms", NJ_F64, "0", offsetof(nj_energy_conf, dimms), 0, 4096, "1",
      "memory modules; 0 = not known, 0.284 W/GB" },
    { 0 },
};

/* ---- the machine ----------------------------------------------------------------------------- */

static double cpus(void)
{
    return (double)sysconf(_SC_NPROCESSORS_ONLN);
}

static double memory_gb(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE) / 1e9;
}

/* ---- models ---------------------------------------------------------------------------------- */

static int by_spec(nj_energy *e, const char *cpu, nj_energy_source *s)
{
    double idle, full;
    const char *name = nj_energy_spec(*e->conf.spec_file ? e->conf.spec_file : NULL, cpu, &idle, &full);
    if (!name) return -1;
    double watt = full - idle;
    *s = (nj_energy_source){
        "spec",     "modelled", nj_arena_printf(&e->arena, "SPECpower per vCPU, %s", name),
        2023,       watt,       0.6 * watt,
        1.4 * watt, true,       idle * cpus()
    };
    return s->source ? 0 : -1;
}

/* CPU above idle at this load, and a third more for board, fans and power supply, over the busy threads. */
static double tdp_watt(const nj_energy *e, double load)
{
    double n = cpus();
    if (load < 1 / n) load = 1 / n;
    return e->tdp * e->sockets * (nj_energy_tdp_curve(load) - nj_energy_tdp_curve(0)) * 1.33 / (load * n);
}

static int by_tdp(nj_energy *e, const char *cpu, nj_energy_source *s)
{
    e->tdp = nj_energy_tdp(*e->conf.tdp_file ? e->conf.tdp_file : NULL, cpu);
    if (isnan(e->tdp)) return -1;
    double gb = memory_gb(), watt = tdp_watt(e, 0);
    double memory = e->conf.dimms > 0 ? nj_energy_dimm_watt((uint32_t)e->conf.dimms) : 0.284 * gb;
    *s = (nj_energy_source){
        "tdp",
        "modelled",
        nj_arena_printf(&e->arena, "TDP %.0f W x load curve, x1.33 for the board", e->tdp),
        2021,
        watt,
        watt / 2,
        watt * 2,
        true,
        (e->tdp * e->sockets * nj_energy_tdp_curve(0) + memory) * 1.33
    };
    return s->source ? 0 : -1;
}

/* codecarbon's default for an unknown CPU; its error is an order of magnitude, so the band is a factor
 * sqrt(10) to each side. It is the same whatever the load. */
static const nj_energy_source unknown = { "unknown", "assumed", "codecarbon's 4 W for an unknown CPU",
                                          2024,      4.0,       1.3,
                                          13.0,      false,     NAN };

/* Half the TDP (85 W for an unknown CPU) and 3/8 W/GB of memory, as codecarbon's constant mode. */
static void by_constant(nj_energy *e, const char *cpu, nj_energy_source *s)
{
    double tdp = nj_energy_tdp(*e->conf.tdp_file ? e->conf.tdp_file : NULL, cpu), gb = memory_gb();
    double watt = (isnan(tdp) ? 85 : tdp) * e->sockets / 2 + 0.375 * gb;
    const char *text =
        nj_arena_printf(&e->arena, "constant %.1f W: half the TDP, 3/8 W per GB of %.1f GB", watt, gb);
    *s = (nj_energy_source){ "constant",    "assumed",         text ? text : "constant", 2024,
                             watt / cpus(), watt / cpus() / 2, 2 * watt / cpus(),        false,
                             watt };
}

static void find_model(nj_energy *e)
{
    char cpu[256];
    nj_cpu_model(cpu, sizeof cpu, &e->sockets);
    const char *name = *e->conf.cpu_model ? e->conf.cpu_model : cpu;
    const char *want = e->conf.source;
    if (!strcmp(want, "constant")) {
        by_constant(e, name, &e->model);
        return;
    }
    bool any = strcmp(want, "spec") && strcmp(want, "tdp") && strcmp(want, "unknown");
    if ((any || !strcmp(want, "spec")) && by_spec(e, name, &e->model) == 0) return;
    if ((any || !strcmp(want, "tdp")) && by_tdp(e, name, &e->model) == 0) return;
    e->model = unknown;
}

nj_energy_source nj_energy_best(void)
{
    nj_error err;
    nj_energy *e = nj_energy_open(NULL, &err);
    nj_energy_source s = unknown;
    if (e && !strcmp(e->model.tier, "spec")) s = e->model, s.source = "SPECpower per vCPU";
    if (e && !strcmp(e->model.tier, "tdp")) s = e->model, s.source = "TDP x load curve";
    nj_energy_free(e);
    return s;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static int set_meter(nj_energy *e)
{
    if (!*e->conf.meter_command && !*e->conf.meter_file) return -1;
    double now = nj_energy_meter_read(e->conf.meter_command, e->conf.meter_file);
    const char *name = *e->conf.meter_command ? e->conf.meter_command : e->conf.meter_file;
    if (isnan(now)) {
        e->hint = nj_arena_printf(&e->arena, "the meter `%s` gives no number", name);
        return -1;
    }
    e->source = (nj_energy_source){
        "meter", "measured", nj_arena_printf(&e->arena, "meter `%s`, whole machine", name), 0, NAN, NAN, NAN,
        true,    NAN
    };
    return 0;
}

static int set_rapl(nj_energy *e)
{
    int rc = nj_energy_counter_open(&e->counter);
    if (e->counter.hint[0]) e->hint = e->counter.hint;
    if (rc) return -1;
    e->source = (nj_energy_source){ "rapl", "measured", e->counter.what, 0, NAN, NAN, NAN, true, NAN };
    return 0;
}

static int choose(nj_energy *e, nj_error *err)
{
    const char *want = e->conf.source;
    bool any = !strcmp(want, "auto");
    if (!nj_energy_tier_is_known(want))
        return nj_fail(
            err, "[energy] source = %s: expected auto, meter, rapl, spec, tdp, unknown or constant", want);
    if (strcmp(e->conf.meter_unit, "watt") && strcmp(e->conf.meter_unit, "joule"))
        return nj_fail(err, "[energy] meter_unit = %s: expected watt or joule", e->conf.meter_unit);
    find_model(e);
    if ((any || !strcmp(want, "meter")) && set_meter(e) == 0) return 0;
    if ((any || !strcmp(want, "rapl")) && set_rapl(e) == 0) return 0;
    e->source = e->model;
    if (any || !strcmp(e->source.tier, want)) return 0;
    return nj_fail(err, "[energy] source = %s: not on this machine%s%s", want, e->hint ? ": " : "",
                   e->hint ? e->hint : "");
}

static int set_carbon(nj_energy *e, nj_error *err)
{
    const nj_energy_conf *c = &e->conf;
    e->carbon = nj_carbon_of(c->country);
    if (*c->country && !strcmp(e->carbon.country, "world") && !(c->intensity > 0) &&
        strcmp(c->country, "world"))
        return nj_fail(err,
                       "[energy] country = %s: not in the short table (FRA CHL USA GBR DEU CHE SWE ZAF AUS "
                       "world); give intensity = g/kWh",
                       c->country);
    e->carbon.pue = c->pue;
    if (c->intensity > 0)
        e->carbon = (nj_carbon){ *c->country ? c->country : "given",
                                 "setting energy.intensity",
                                 "modelled",
                                 0,
                                 c->intensity,
                                 c->pue };
    return 0;
}

nj_energy *nj_energy_open(nj_settings *settings, nj_error *err)
{
    nj_settings none = { 0 };
    nj_energy *e = calloc(1, sizeof *e);
    if (!e) return nj_fail(err, "out of memory"), NULL;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    if (nj_settings_apply(settings ? settings : &none, "energy", nj_energy_settings, NULL, &e->conf, err) ||
        choose(e, err) || set_carbon(e, err) || nj_energy_share_open(&e->share, e->conf.share, err)) {
        nj_energy_free(e);
        e = NULL;
    }
    if (e && e->conf.gpus && strcmp(e->source.tier, "meter"))
        nj_energy_gpu_open(&e->gpu); /* a meter has them */
    return e;
}

void nj_energy_free(nj_energy *e)
{
    if (!e) return;
    nj_energy_counter_close(&e->counter);
    nj_energy_gpu_close(&e->gpu);
    nj_arena_free(&e->arena);
    free(e);
}

const nj_carbon *nj_energy_carbon(const nj_energy *e)
{
    return &e->carbon;
}
const char *nj_energy_hint(const nj_energy *e)
{
    return e->hint;
}

bool nj_energy_tier_is_known(const char *name)
{
    static const char *const names[] = { "auto", "meter", "rapl", "spec", "tdp", "unknown", "constant" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

const nj_energy_source *nj_energy_chosen(const nj_energy *e)
{
    return &e->source;
}

nj_energy_at_rest nj_energy_at_rest_of(const nj_energy *e)
{
    char cpu[256];
    int sockets;
    nj_cpu_model(cpu, sizeof cpu, &sockets);
    double gb = memory_gb(), tdp = nj_energy_tdp(*e->conf.tdp_file ? e->conf.tdp_file : NULL,
                                                 *e->conf.cpu_model ? e->conf.cpu_model : cpu);
    double dimms = e->conf.dimms > 0 ? nj_energy_dimm_watt((uint32_t)e->conf.dimms) : NAN;
    return (nj_energy_at_rest){ .cpu = tdp * sockets * nj_energy_tdp_curve(0),
                                .ram = isnan(dimms) ? 0.284 * gb : dimms,
                                .ram_low = fmin(0.284 * gb, dimms), /* of the two that are known */
                                .ram_high = fmax(0.375 * gb, dimms),
                                .cpu_source = "TDP x load curve",
                                .ram_source = isnan(dimms) ? "0.284 W/GB (Boavizta)" : "DIMMs (codecarbon 3)",
                                .reads_ram =
                                    !strcmp(e->source.tier, "rapl") &&
                                    (strstr(e->counter.what, "dram") || strstr(e->counter.what, "DRAM")),
                                .reads_all =
                                    !strcmp(e->source.tier, "meter") || !strcmp(e->source.tier, "spec") };
}

/* ---- around a run ---------------------------------------------------------------------------- */

/* Watts are integrated by trapezoids; of joules the differences count. The lock is let go meanwhile. */
static void poll_meter(nj_energy *e)
{
    if (e->meter_hangs) return;
    pthread_mutex_unlock(&e->lock);
    const int64_t asked_ns = nj_now_ns();
    double now = nj_energy_meter_read(e->conf.meter_command, e->conf.meter_file);
    int64_t ns = nj_now_ns();
    pthread_mutex_lock(&e->lock);
    e->meter_failed += isnan(now);
    e->meter_hangs = isnan(now) && ns - asked_ns > NJ_METER_MOST_S * INT64_C(1000000000);
    if (isnan(now)) return;
    if (e->meter_n++) {
        if (!strcmp(e->conf.meter_unit, "watt"))
            e->meter_joule += 0.5 * (now + e->meter_last) * (double)(ns - e->meter_ns) / 1e9;
        else
            e->meter_joule += fmax(now - e->meter_last, 0);
    }
    e->meter_last = now;
    e->meter_ns = ns;
}

static void poll_source(nj_energy *e)
{
    if (!strcmp(e->source.tier, "meter"))
        poll_meter(e);
    else
        nj_energy_counter_poll(&e->counter);
    e->polled_ns = nj_now_ns();
}

static void *poll_thread(void *energy)
{
    nj_energy *e = energy;
    double wait_s = !strcmp(e->source.tier, "meter") ? e->conf.meter_s : POLL_S;
    pthread_mutex_lock(&e->lock);
    while (!e->stop) {
        int64_t until_ns = nj_calendar_ns() + (int64_t)(wait_s * 1e9);
        struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };
        if (pthread_cond_timedwait(&e->wake, &e->lock, &until) == ETIMEDOUT && !e->stop) poll_source(e);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

double nj_energy_watt_now(nj_energy *e)
{
    double watt = e->model.watt;
    pthread_mutex_lock(&e->lock);
    double joule = !strcmp(e->source.tier, "meter") ? e->meter_joule : nj_energy_counter_joule(&e->counter);
    if (e->polling && e->polled_ns > e->begin_ns && joule > 0)
        watt = joule / ((double)(e->polled_ns - e->begin_ns) / 1e9) / cpus();
    pthread_mutex_unlock(&e->lock);
    return watt;
}

void nj_energy_begin(nj_energy *e)
{
    nj_energy_gpu_begin(&e->gpu);
    e->own_s = nj_energy_share_cpu_s(&e->share);
    e->begin = nj_machine_ticks_now();
    e->begin_ns = nj_now_ns();
    if (strcmp(e->source.kind, "measured")) return;
    pthread_mutex_lock(&e->lock); /* someone may ask for the watts already */
    e->meter_joule = 0;
    e->meter_n = 0;
    e->meter_failed = 0;
    e->stop = false;
    e->polled_ns = 0;
    if (!strcmp(e->source.tier, "meter"))
        poll_meter(e);
    else
        nj_energy_counter_begin(&e->counter);
    e->polling = pthread_create(&e->thread, NULL, poll_thread, e) == 0;
    pthread_mutex_unlock(&e->lock);
}

/* Joules of the whole that the source covers, since begin; NAN = it gave nothing. */
static double end_joule(nj_energy *e)
{
    if (e->polling) {
        pthread_mutex_lock(&e->lock);
        e->stop = true;
        pthread_cond_signal(&e->wake);
        pthread_mutex_unlock(&e->lock);
        pthread_join(e->thread, NULL);
    }
    if (strcmp(e->source.kind, "measured")) return NAN;
    pthread_mutex_lock(&e->lock);
    e->polling = false;
    poll_source(e);
    pthread_mutex_unlock(&e->lock);
    if (!strcmp(e->source.tier, "meter")) return e->meter_n > 1 && e->meter_joule > 0 ? e->meter_joule : NAN;
    double joule = nj_energy_counter_joule(&e->counter);
    return joule > 0 ? joule : NAN; /* shorter than the counter's step */
}

/* Not all of it was read: at most so many times as much. */
static void part_only(nj_energy *e, nj_energy_source *s, double grow, const char *what, const char *hint)
{
    s->kind = "partial";
    s->high *= grow;
    s->source = what ? what : s->source;
    if (!e->said_part) nj_log(NJ_LOG_WARN, "energy: a part only; %s%s%s", s->source, *hint ? "; " : "", hint);
    e->said_part = true;
}

/* Without a baseline the busy share of the time has the busy share of the energy (Kepler's split), over the
 * CPU seconds of all processes: watts of a busy thread = mean watts / CPUs. */
static void by_measure(nj_energy *e, double joule, nj_energy_source *s, nj_energy_split *split)
{
    *s = e->source;
    s->watt = joule / split->seconds / cpus();
    s->low = 0.95 * s->watt;
    s->high = 1.05 * s->watt;
    const nj_energy_counter *c = &e->counter;
    if (c->n_missing && !strcmp(e->source.tier, "rapl")) /* what is missing may be as much again for each */
        part_only(e, s, (double)(c->n + c->n_missing) / c->n,
                  nj_arena_printf(&e->arena, "%s; not read: %s", c->what, c->missing), c->hint);
    if (e->meter_failed && !strcmp(e->source.tier, "meter"))
        part_only(e, s, 1 + (double)e->meter_failed / e->meter_n,
                  nj_arena_printf(&e->arena, "%s; %u readings failed", s->source, e->meter_failed),
                  e->meter_hangs ? "the last one did not end" : "");
    split->total_j = joule;
    split->active_j = joule * split->load;
    split->idle_j = joule - split->active_j;
}

static void by_model(const nj_energy *e, nj_energy_source *s, nj_energy_split *split)
{
    *s = e->model;
    if (!strcmp(s->tier, "constant")) {
        split->active_j = split->idle_j = NAN;
        split->total_j = s->idle_watt * split->seconds;
        return;
    }
    if (!strcmp(s->tier, "tdp")) {
        s->watt = tdp_watt(e, split->load);
        s->low = s->watt / 2;
        s->high = s->watt * 2;
    }
    split->active_j = s->watt * split->load * cpus() * split->seconds;
    split->idle_j = s->idle_watt * split->seconds;
    split->total_j = split->active_j + split->idle_j;
}

/* What of the active energy is the run's, by its share of all CPU time (Kepler's split). */
static void attribute(const nj_energy *e, nj_energy_split *split, double busy_ticks)
{
    split->own_cpu_s = nj_energy_share_cpu_s(&e->share) - e->own_s;
    split->busy_cpu_s = busy_ticks / (double)sysconf(_SC_CLK_TCK);
    double share = split->own_cpu_s / split->busy_cpu_s;
    split->own_share = isfinite(share) && share >= 0 ? fmin(share, 1) : NAN; /* whole ticks may be too few */
    split->own_j = split->active_j * split->own_share;
    if (e->share.by_cgroup)
        snprintf(split->own_by, sizeof split->own_by, "cgroup %.140s", e->share.cgroup);
    else
        snprintf(split->own_by, sizeof split->own_by, "process");
}

void nj_energy_end(nj_energy *e, nj_energy_source *s, nj_energy_split *split)
{
    double joule = end_joule(e);
    nj_machine_ticks now = nj_machine_ticks_now();
    *split = (nj_energy_split){ .seconds = fmax((double)(nj_now_ns() - e->begin_ns) / 1e9, 1e-6),
                                .gpu_j = nj_energy_gpu_joule(&e->gpu) };
    double all = now.all - e->begin.all;
    split->load = all > 0 ? (now.busy - e->begin.busy) / all : 1;
    if (!isnan(joule)) {
        by_measure(e, joule, s, split);
        attribute(e, split, now.busy - e->begin.busy);
        return;
    }
    if (!strcmp(e->source.kind, "measured") && !e->said_nothing) {
        nj_log(NJ_LOG_INFO, "energy: %s gave nothing in %.3f s; modelled instead", e->source.source,
               split->seconds);
        e->said_nothing = true;
    }
    by_model(e, s, split);
    attribute(e, split, now.busy - e->begin.busy);
}
