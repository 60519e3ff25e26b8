/* energy.h - what the work costs: watts of a busy thread with a band and the name of where the figure comes
 * from, the idle share apart, and grams of CO2 equivalent.
 * A ladder of sources, the best that this machine has:
 *   meter    the user's command or file (IPMI DCMI, PDU, BMC): whole machine
 *   rapl     perf's `power` counters, else powercap: CPU packages
 *   spec     SPECpower watts per vCPU by microarchitecture: whole server, modelled
 *   tdp      TDP of the CPU model and a load curve: modelled
 *   unknown  4 W per busy thread: assumed
 *   constant half the TDP and 3/8 W/GB, whatever the load: codecarbon's constant mode, only when asked for
 * The first two are read around a run; the others are models.
 * Values are never more certain than their worst factor. */
#ifndef NJ_MEASURE_ENERGY_H
#define NJ_MEASURE_ENERGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/settings.h"

typedef struct nj_energy_source {
    const char *tier;       /* "meter" "rapl" "spec" "tdp" "unknown" */
    const char *kind;       /* "measured" "partial" "modelled" "assumed";
                             * partial: a counter of the machine was not read, the source names it */
    const char *source;     /* where the figure comes from, in words */
    int year;               /* of the source */
    double watt, low, high; /* of one busy thread, idle share taken off where the source can */
    bool sees_load;         /* does it distinguish a busy machine from an idle one? false:
                             * a difference of two runs means nothing */
    double idle_watt; /* of the whole machine (or what the source covers of it), idle; NAN = not known */
} nj_energy_source;

/* Grams of CO2 equivalent per kWh, and the PUE it is multiplied by. */
typedef struct nj_carbon {
    const char *country, *source, *kind;
    int year;
    double g_per_kwh, pue;
} nj_carbon;

/* What was read around a run, or modelled for it. */
typedef struct nj_energy_split {
    double seconds, load;             /* busy share of all CPUs, by every process */
    double total_j, active_j, idle_j; /* NAN = not known */
    double gpu_j; /* of all GPUs, beside total_j; NAN: there are none, or the source has them */
    double own_cpu_s, busy_cpu_s; /* CPU seconds of the run, and of everything on the machine */
    double own_share, own_j;      /* own / busy, 0 to 1; of active_j. NAN = not known. GPUs are not in it */
    char own_by[160];             /* how the run was told from the rest: "cgroup /a/b", "process" */
} nj_energy_split;

/* [energy] of the settings. */
typedef struct nj_energy_conf {
    const char *source, *country, *cpu_model, *meter_command, *meter_file, *meter_unit, *tdp_file, *spec_file,
        *share;
    double pue, intensity, meter_s, dimms;
    int64_t gpus;
} nj_energy_conf;

typedef struct nj_energy nj_energy;

/* Reads [energy] and finds the source: source = auto takes the best tier, a name that tier or an error.
 * settings NULL = all defaults. No thread is made before nj_energy_begin. NULL with err.
 * Strings live until nj_energy_free. */
nj_energy *nj_energy_open(nj_settings *settings, nj_error *err);
void nj_energy_free(nj_energy *energy);
/* Was it read from the machine, if only in part? */
bool nj_energy_is_read(const nj_energy_source *source);
/* Around the work, by one thread. A counter or meter that gave nothing falls back to the best model,
 * and says so. */
void nj_energy_begin(nj_energy *energy);
void nj_energy_end(nj_energy *energy, nj_energy_source *source, nj_energy_split *split);
/* Watts of a busy thread by what was read since begin (nothing is read here), or by the model before the
 * first reading. Any thread, between begin and end. */
double nj_energy_watt_now(nj_energy *energy);
const nj_carbon *nj_energy_carbon(const nj_energy *energy);
/* Why a better tier is not used ("RAPL counters are there, but ..."), and how to help it;
 * NULL = nothing to say. */
const char *nj_energy_hint(const nj_energy *energy);
/* "meter" "rapl" "gpu" "spec" "tdp" "constant" "unknown" "auto"; a name that is none: false. */
bool nj_energy_tier_is_known(const char *name);
/* Watts that the models give a machine at rest: of the CPUs, of the memory. NAN = not known. */
typedef struct nj_energy_at_rest {
    double cpu, ram, ram_low, ram_high;
    const char *cpu_source, *ram_source;
    bool reads_ram; /* the source's counters have the memory */
    bool reads_all; /* the source covers the whole machine */
} nj_energy_at_rest;
nj_energy_at_rest nj_energy_at_rest_of(const nj_energy *energy);
/* The source that was chosen, before anything was read. */
const nj_energy_source *nj_energy_chosen(const nj_energy *energy);
/* What nj_energy_open would choose with no settings and no counters:
 * a model, for those who do not time a run. */
nj_energy_source nj_energy_best(void);

/* --- the formulas, each with its golden value in tests/unit/energy.c --- */

/* Share of the TDP that a socket draws at a load of 0..1:
 * linear between (0, .12) (.1, .32) (.5, .75) (1, 1.02).
 * Reference: Teads' measurements of cloud servers (2021), also used by Boavizta. */
double nj_energy_tdp_curve(double load);
/* Watts of n DIMMs: 5 W each, x1.0 up to 4, x0.9 up to 8, x0.8 up to 16, x0.7 beyond.
 * Reference: codecarbon 3. */
double nj_energy_dimm_watt(uint32_t n);
/* Counter difference with at most one wrap at `range`. */
uint64_t nj_energy_wrapped(uint64_t before, uint64_t after, uint64_t range);
/* joule * PUE * intensity, in grams. */
double nj_carbon_grams(double joule, double pue, double g_per_kwh);
/* SCI's share of embodied emissions, in grams: total_kg * hours / life_hours * share of the machine.
 * (ISO/IEC 21031) */
double nj_carbon_embodied_grams(double total_kg, double hours, double life_hours, double share);
/* Embodied kg of a CPU of so much silicon: 9.14 + 0.0197 per mm2.
 * Reference: Boavizta's published coefficients. */
double nj_carbon_cpu_kg(double die_mm2);
/* Watts of run A less run B into text, or "A-B: not observable with this source" (returns false) where the
 * model cannot see load: then A and B are equal by construction, and 0.00 would be a lie. */
bool nj_energy_difference(const nj_energy_source *source, double watt_a, double watt_b, char *text,
                          size_t size);
/* "intel(r) xeon(r) gold 6248 cpu @ 2.50ghz" -> "intel xeon gold 6248", so that names compare.
 * text has size bytes. */
void nj_energy_cpu_key(const char *name, char *text, size_t size);
/* TDP in watts from a file of Name,TDP lines, or of the short table inside when path is NULL; NAN: no such
 * CPU, or two entries that disagree (never a guess). */
double nj_energy_tdp(const char *path, const char *cpu_model);
/* Watts of a vCPU at rest and at full load by microarchitecture, from a file of PATTERN,IDLE,FULL lines, or
 * of the short table inside when path is NULL: the name of the row, static or in a buffer that the next
 * call replaces; NULL: none fits. The pattern is a glob over nj_energy_cpu_key's name. */
const char *nj_energy_spec(const char *path, const char *cpu_model, double *idle, double *full);
/* Table of intensities: by ISO 3166 alpha-3 or alpha-2 code, any case; NULL or unknown = the world. */
nj_carbon nj_carbon_of(const char *country);

extern const nj_param nj_energy_settings[]; /* what [energy] may say; ends with {0} */

#endif
