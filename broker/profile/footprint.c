/* footprint.c - joules and grams of CO2 equivalent per million alerts, with their bands and where they come
 * from. */
#include <math.h>
#include <string.h>

#include "../base/format.h"
#include "profile.h"

static const char *keep(nj_profile *p, const char *text)
{
    return text ? nj_arena_text(&p->arena, text, strlen(text)) : NULL;
}

void nj_footprint_take(nj_profile *p, nj_energy *energy)
{
    nj_energy_split split;
    nj_energy_end(energy, &p->energy, &split);
    p->energy.source = keep(p, p->energy.source);
    p->carbon = *nj_energy_carbon(energy);
    p->carbon.country = keep(p, p->carbon.country);
    p->energy_hint = keep(p, nj_energy_hint(energy));
}

/* A figure with its band; no more certain than the worst of its factors. */
typedef struct valued {
    double value, low, high;
    const char *kind, *source;
    int year;
} valued;

static valued joules(const nj_profile *p)
{
    double seconds = p->cpu_ns_per_alert * 1e6 / 1e9;
    const nj_energy_source *e = &p->energy;
    return (valued){ e->watt * seconds, e->low * seconds, e->high * seconds, e->kind, e->source, e->year };
}

static valued grams(const nj_profile *p)
{
    valued j = joules(p);
    const nj_carbon *c = &p->carbon;
    bool assumed = !strcmp(j.kind, "assumed") || !strcmp(c->kind, "assumed");
    return (valued){ nj_carbon_grams(j.value, c->pue, c->g_per_kwh),
                     nj_carbon_grams(j.low, c->pue, c->g_per_kwh),
                     nj_carbon_grams(j.high, c->pue, c->g_per_kwh),
                     assumed ? "assumed" : "modelled",
                     c->source,
                     c->year };
}

static void year_of(char text[16], int year)
{
    snprintf(text, 16, "%s%.0d", year ? ", " : "", year); /* %.0d: nothing for 0 */
}

void nj_footprint_table(const nj_profile *p, FILE *to)
{
    valued j = joules(p), g = grams(p);
    char v[24], lo[24], hi[24], year[16];
    year_of(year, j.year);
    fprintf(to, "Energy per million alerts, %s: %s J [%s, %s]; tier %s: %s%s%s\n", j.kind,
            nj_format_two(v, j.value), nj_format_two(lo, j.low), nj_format_two(hi, j.high), p->energy.tier,
            j.source, year, !nj_energy_is_read(&p->energy) ? "; no meter or RAPL counter could be read" : "");
    year_of(year, g.year);
    fprintf(to,
            "Carbon per million alerts, %s: %s g CO2e [%s, %s]; %s %.3g g/kWh (%s%s), PUE %.3g; of the CPU "
            "time, idle share apart\n",
            g.kind, nj_format_two(v, g.value), nj_format_two(lo, g.low), nj_format_two(hi, g.high),
            p->carbon.country, p->carbon.g_per_kwh, g.source, year, p->carbon.pue);
    if (p->energy_hint) fprintf(to, "  %s\n", p->energy_hint);
}

static void value_json(nj_json *j, const char *key, const valued *x)
{
    nj_json_open(j, key, '{');
    nj_json_put(j, "value=%g low=%g high=%g kind=%s source=%s year=%d", x->value, x->low, x->high, x->kind,
                x->source, x->year);
    nj_json_close(j);
}

void nj_footprint_json(const nj_profile *p, nj_json *j)
{
    const valued energy = joules(p), carbon = grams(p);
    nj_json_open(j, "energy", '{');
    nj_json_put(j, "tier=%s cpu_ns_per_alert=%g", p->energy.tier, p->cpu_ns_per_alert);
    value_json(j, "joule_per_million_alerts", &energy);
    value_json(j, "gco2e_per_million_alerts", &carbon);
    nj_json_put(j, "country=%s g_per_kwh=%g pue=%g hint=%s", p->carbon.country, p->carbon.g_per_kwh,
                p->carbon.pue, p->energy_hint);
    nj_json_close(j);
}

static void put_value(nj_template_values *v, json_t *values, const char *name, const char *unit,
                      const valued *x)
{
    char value[24], lo[24], hi[24], year[16];
    year_of(year, x->year);
    nj_template_put(v, values, "name=%s unit=%s value=%s low=%s high=%s kind=%s source=%s year=%s", name,
                    unit, nj_format_two(value, x->value), nj_format_two(lo, x->low),
                    nj_format_two(hi, x->high), x->kind, x->source, year);
}

void nj_footprint_put(nj_template_values *v, json_t *list, const nj_profile *p)
{
    if (!p->energy.tier) return;
    valued j = joules(p), g = grams(p);
    json_t *to = nj_template_put(v, list, "tier=%s not_read=%d country=%s g_per_kwh=%g pue=%g hint=%s",
                                 p->energy.tier, !nj_energy_is_read(&p->energy), p->carbon.country,
                                 p->carbon.g_per_kwh, p->carbon.pue, p->energy_hint);
    json_t *values = nj_template_list(v, to, "values");
    put_value(v, values, "energy", "J", &j);
    put_value(v, values, "carbon", "g CO2e", &g);
}
