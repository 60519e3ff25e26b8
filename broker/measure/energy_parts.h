/* energy_parts.h - where the energy of an alert goes: the machine at rest, the CPU that works, memory, board,
 * the site, and the making of the machine. */
#ifndef NJ_MEASURE_ENERGY_PARTS_H
#define NJ_MEASURE_ENERGY_PARTS_H

#include "energy.h"

enum {
    NJ_PART_REST,
    NJ_PART_CPU,
    NJ_PART_RAM,
    NJ_PART_OTHER,
    NJ_PART_DISK,
    NJ_PART_PUE,
    NJ_PART_EMBODIED,
    NJ_PARTS
};

typedef struct nj_valued { /* a figure that says how far it can be trusted */
    double value, low, high;
    const char *kind, *source; /* "measured" "modelled" "assumed" */
    int year;
} nj_valued;

typedef struct nj_energy_part {
    const char *name;
    const char
        *in; /* the part that has it ("the machine at rest"), or why it is not known; NULL: joule is here */
    nj_valued joule; /* of an alert; EMBODIED: has none */
    nj_valued grams; /* CO2 equivalent of an alert */
} nj_energy_part;

/* What the machine draws when nothing works, by parts. NAN = not known. */
typedef struct nj_energy_machine {
    nj_valued rest; /* of what the source covers */
    nj_valued ram, other;
    bool rest_has_ram, rest_has_other; /* they are in rest, and are not counted again */
    double cpus;
    double kg, kg_low, kg_high, life_hours; /* embodied */
} nj_energy_machine;

typedef struct nj_energy_of_alert {
    double rest_share; /* of the machine, that is reserved for the module: its threads / CPUs */
    double wall_s;     /* of the machine, for an alert: 1 / (alerts/s of all threads) */
    nj_valued cpu;     /* watts of all threads above the machine at rest */
} nj_energy_of_alert;

/* Watts times time; bands by intervals (low x low, high x high): the errors are shared. The site takes PUE
 * - 1 of what the others take. */
void nj_energy_parts_of(nj_energy_part part[NJ_PARTS], const nj_energy_machine *machine,
                        const nj_energy_of_alert *alert, const nj_carbon *carbon);
/* Joules, grams of an alert with all its parts. */
nj_valued nj_energy_parts_joule(const nj_energy_part part[NJ_PARTS]);
nj_valued nj_energy_parts_grams(const nj_energy_part part[NJ_PARTS]);

/* Seconds of a year in Fink's convention: a core kept busy for 8 h of each day. */
#define NJ_SATURATED_YEAR_S (8.0 * 3600 * 365)
/* kg a year of a core (1 of `threads`) that is kept busy so long with such alerts. */
double nj_energy_saturated_kg(double grams, double wall_s, double threads);
/* kg a year of so many alerts a night, so many nights. */
double nj_energy_survey_kg(double grams, double per_night, double nights);

#endif
