/* energy_parts.c - "what consumes most: CPU, RAM, or just the machine?"; this divides the energy of an
 * alert. */
#include "energy_parts.h"

#include <math.h>
#include <string.h>

static nj_valued times(nj_valued v, double factor)
{
    v.value *= factor;
    v.low *= factor;
    v.high *= factor;
    return v;
}

/* No more certain than the worse of the two. */
static const char *worse(const char *a, const char *b)
{
    static const char *const order[] = { "measured", "partial", "modelled", "assumed" };
    int at[2] = { 0, 0 };
    for (int i = 0; i < 4; i++) {
        if (!strcmp(order[i], a)) at[0] = i;
        if (!strcmp(order[i], b)) at[1] = i;
    }
    return order[at[0] > at[1] ? at[0] : at[1]];
}

static nj_valued grams_of(const nj_valued *joule, const nj_carbon *c)
{
    nj_valued g = *joule;
    g.value = nj_carbon_grams(joule->value, 1, c->g_per_kwh);
    g.low = nj_carbon_grams(joule->low, 1, c->g_per_kwh);
    g.high = nj_carbon_grams(joule->high, 1, c->g_per_kwh);
    g.kind = worse(joule->kind, c->kind);
    g.source = c->source;
    g.year = c->year;
    return g;
}

static void put(nj_energy_part *p, const char *name, nj_valued watt, double seconds, const nj_carbon *c)
{
    p->name = name;
    p->joule = times(watt, seconds);
    p->grams = grams_of(&p->joule, c);
    p->in = isnan(watt.value) ? "not known" : NULL;
}

static void add(nj_valued *sum, const nj_valued *v)
{
    if (isnan(v->value)) return;
    sum->kind = sum->value > 0 || sum->high > 0 ? worse(sum->kind, v->kind) : v->kind;
    sum->value += v->value;
    sum->low += v->low;
    sum->high += v->high;
}

void nj_energy_parts_of(nj_energy_part part[NJ_PARTS], const nj_energy_machine *m,
                        const nj_energy_of_alert *a, const nj_carbon *c)
{
    double reserved_s = a->rest_share * a->wall_s;
    memset(part, 0, NJ_PARTS * sizeof *part);
    put(&part[NJ_PART_REST], "machine at rest", m->rest, reserved_s, c);
    put(&part[NJ_PART_CPU], "CPU active", a->cpu, a->wall_s, c);
    put(&part[NJ_PART_RAM], "RAM", m->ram, reserved_s, c);
    put(&part[NJ_PART_OTHER], "board, fans, power supply", m->other, reserved_s, c);
    put(&part[NJ_PART_DISK], "disk and network", (nj_valued){ NAN, NAN, NAN, "assumed", "", 0 }, a->wall_s,
        c);
    if (m->rest_has_ram) part[NJ_PART_RAM].in = "in the machine at rest";
    if (m->rest_has_other) part[NJ_PART_OTHER].in = part[NJ_PART_DISK].in = "in the machine at rest";
    if (!m->rest_has_other) part[NJ_PART_DISK].in = "not metered";
    nj_valued site = { 0, 0, 0, "assumed", "PUE", 0 };
    for (int i = 0; i < NJ_PART_PUE; i++)
        if (!part[i].in) add(&site, &part[i].joule);
    site.kind = worse(site.kind, "modelled");
    put(&part[NJ_PART_PUE], "PUE", site, c->pue - 1, c);
    nj_energy_part *e = &part[NJ_PART_EMBODIED];
    double hours = a->wall_s / 3600;
    *e = (nj_energy_part){ .name = "embodied",
                           .joule = { NAN, NAN, NAN, "assumed", "", 0 },
                           .grams = {
                               nj_carbon_embodied_grams(m->kg, hours, m->life_hours, a->rest_share),
                               nj_carbon_embodied_grams(m->kg_low, hours, m->life_hours, a->rest_share),
                               nj_carbon_embodied_grams(m->kg_high, hours, m->life_hours, a->rest_share),
                               "assumed", "Boavizta, a server over its life", 2021 } };
}

nj_valued nj_energy_parts_joule(const nj_energy_part part[NJ_PARTS])
{
    nj_valued sum = { 0, 0, 0, "assumed", "sum of the parts", 0 };
    for (int i = 0; i < NJ_PART_EMBODIED; i++)
        if (!part[i].in) add(&sum, &part[i].joule);
    return sum;
}

nj_valued nj_energy_parts_grams(const nj_energy_part part[NJ_PARTS])
{
    nj_valued sum = { 0, 0, 0, "assumed", "sum of the parts", 0 };
    for (int i = 0; i < NJ_PARTS; i++)
        if (!part[i].in) add(&sum, &part[i].grams);
    return sum;
}

double nj_energy_saturated_kg(double grams, double wall_s, double threads)
{
    return grams / 1000 * NJ_SATURATED_YEAR_S / wall_s / threads;
}

double nj_energy_survey_kg(double grams, double per_night, double nights)
{
    return grams / 1000 * per_night * nights;
}
