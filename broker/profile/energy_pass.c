/* energy_pass.c - Fink measured 31.27 - 31.27 = -0.00 kg for its modules, with a source that cannot see
 * load; this measures the difference, or says why it cannot be measured. */
#include "energy_pass.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../measure/energy.h"

/* A server of 1 t, made and used for 4 years; 750 to 1400 kg by its memory. Reference: Boavizta. */
static const double server_kg = 1000, server_low = 750, server_high = 1400, life_hours = 4 * 8760;
/* Board, fans and power supply over CPU and memory. Reference: Boavizta. */
static const double other = 0.33, other_low = 0.2, other_high = 0.6;

typedef struct running {
    nj_energy_pass *to;
    nj_replay *r;
    nj_energy *energy;
    nj_energy_source last; /* what the last run was read by */
} running;

static void rest_for(double seconds)
{
    struct timespec t = { (time_t)seconds, (long)((seconds - floor(seconds)) * 1e9) };
    while (nanosleep(&t, &t)) continue;
}

static int run_one(void *opaque, bool on, double seconds, nj_ab_reading *reading, nj_error *err)
{
    running *x = opaque;
    nj_energy_split split;
    int64_t cpu = nj_process_cpu_ns(), module = nj_replay_clocks(x->r).cpu_ns;
    uint64_t alerts = 0;
    int rc = 0;
    nj_energy_begin(x->energy);
    if (on)
        rc = nj_replay_until(x->r, nj_now_ns() + (int64_t)(seconds * 1e9), &alerts);
    else
        rest_for(seconds);
    nj_energy_end(x->energy, &x->last, &split);
    double own = (double)(nj_process_cpu_ns() - cpu) / 1e9 / split.seconds / x->to->cpus;
    *reading = (nj_ab_reading){ .joule = strcmp(x->last.tier, x->to->tier)
                                             ? NAN
                                             : split.total_j + (isnan(split.gpu_j) ? 0 : split.gpu_j),
                                .seconds = split.seconds,
                                .alerts = (double)alerts,
                                .cpu_s = (double)(nj_replay_clocks(x->r).cpu_ns - module) / 1e9,
                                .foreign = fmax(split.load - own, 0) };
    return rc ? nj_fail(err, "out of memory") : 0;
}

static nj_valued valued(double value, double low, double high, const char *kind, const char *source, int year)
{
    return (nj_valued){ value, low, high, kind, source, year };
}

/* The machine at rest: as the runs without the module read it, and models of what the source does not
 * cover. */
static nj_energy_machine machine_of(const nj_energy_pass *e, const nj_energy *energy)
{
    const nj_energy_at_rest at = nj_energy_at_rest_of(energy);
    const bool tdp = !strcmp(e->tier, "tdp"); /* its idle watts are those of CPU, memory and board together */
    double rest = tdp ? at.cpu : e->ab.rest_watt, band = strcmp(e->kind, "measured") ? 0.4 : 0.05;
    if (isnan(rest)) rest = at.cpu;
    double sum = rest + (at.reads_ram ? 0 : at.ram);
    return (
        nj_energy_machine){ .rest = valued(rest, (1 - band) * rest, (1 + band) * rest, e->kind, e->source, 0),
                            .ram = valued(at.ram, at.ram_low, at.ram_high, "modelled", at.ram_source, 2024),
                            .other = valued(other * sum, other_low * sum, other_high * sum, "modelled",
                                            "x 0.33 of CPU and RAM", 2021),
                            .rest_has_ram = at.reads_ram || at.reads_all,
                            .rest_has_other = at.reads_all,
                            .cpus = e->cpus,
                            .kg = server_kg,
                            .kg_low = server_low,
                            .kg_high = server_high,
                            .life_hours = life_hours };
}

static void divide(nj_energy_pass *e, const nj_energy *energy)
{
    const nj_ab *ab = &e->ab;
    const nj_energy_machine m = machine_of(e, energy);
    nj_energy_of_alert a = { .rest_share = fmin(e->threads / e->cpus, 1),
                             .wall_s = 1 / ab->alerts_per_s,
                             .cpu = valued(fmax(ab->watt, 0), fmax(ab->low, 0), fmax(ab->high, 0), e->kind,
                                           e->source, 0) };
    nj_energy_parts_of(e->part, &m, &a, &e->carbon);
}

int nj_energy_pass_run(nj_energy_pass *e, nj_replay *r, nj_settings *settings, nj_arena *arena,
                       const nj_energy_pass_options *o, nj_error *err)
{
    running x = { .to = e, .r = r };
    if (nj_volume_of(&e->volume, o->survey, err)) return -1;
    if (!(x.energy = nj_energy_open(settings, err))) return -1;
    const nj_energy_source *source = nj_energy_chosen(x.energy);
    const char *hint = nj_energy_hint(x.energy);
    snprintf(e->tier, sizeof e->tier, "%s", source->tier);
    snprintf(e->kind, sizeof e->kind, "%s", source->kind);
    snprintf(e->source, sizeof e->source, "%s", source->source);
    snprintf(e->hint, sizeof e->hint, "%s", hint ? hint : "");
    e->threads = r->n_workers;
    e->cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
    e->run_s = o->seconds;
    e->carbon = *nj_energy_carbon(x.energy);
    e->carbon.country = nj_arena_text(arena, e->carbon.country, strlen(e->carbon.country));
    int rc = 0;
    if (!source->sees_load) {
        e->ab.verdict = NJ_AB_REFUSED;
    } else {
        const nj_ab_options ab = { .pairs = (uint32_t)o->pairs,
                                   .seconds = o->seconds,
                                   .most_foreign = o->foreign / 100,
                                   .seed = 1,
                                   .run = run_one,
                                   .opaque = &x };
        e->before = nj_cpu_state_now();
        e->pinned = nj_pin(r);
        rc = nj_ab_measure(&e->ab, &ab, err);
        if (e->pinned) nj_unpin(r);
        e->after = nj_cpu_state_now();
        if (x.last.kind && nj_energy_is_read(&x.last)) {
            snprintf(e->kind, sizeof e->kind, "%s", x.last.kind);
            snprintf(e->source, sizeof e->source, "%s", x.last.source);
        }
        if (rc == 0) divide(e, x.energy);
    }
    nj_energy_free(x.energy);
    return rc;
}

void nj_energy_pass_free(nj_energy_pass *e)
{
    nj_ab_free(&e->ab);
}
