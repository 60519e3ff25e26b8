/* metrics_energy.c - energy, carbon and money of a run in progress. Watts change during a run, and a
 * counter must not fall: what each module took since the page before is added at the watts of now. */
#include <stdlib.h>
#include <string.h>

#include "metrics_text.h"

typedef struct spent {
    char name[64];
    double cpu_s, joule; /* so far */
} spent;

struct nj_metrics_spent {
    spent *item;
    uint32_t n;
};

nj_metrics_spent *nj_metrics_spent_new(void)
{
    return calloc(1, sizeof(nj_metrics_spent));
}

void nj_metrics_spent_free(nj_metrics_spent *s)
{
    if (s) free(s->item);
    free(s);
}

static spent *spent_of(nj_metrics_spent *s, const char *name)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!strncmp(s->item[i].name, name, sizeof s->item[i].name - 1)) return &s->item[i];
    spent *more = realloc(s->item, (s->n + 1) * sizeof *more);
    if (!more) return NULL;
    s->item = more;
    s->item[s->n] = (spent){ .cpu_s = 0 };
    strncpy(s->item[s->n].name, name, sizeof s->item->name - 1);
    return &s->item[s->n++];
}

/* Joules of the module so far. */
static double joules(nj_metrics_spent *s, const nj_metrics_module *m, double watt)
{
    spent *one = spent_of(s, m->name);
    double cpu_s = (double)m->count->cpu_ns / 1e9;
    if (!one) return 0;
    if (cpu_s > one->cpu_s) {
        one->joule += (cpu_s - one->cpu_s) * watt;
        one->cpu_s = cpu_s;
    }
    return one->joule;
}

static void labelled(nj_buffer *b, const char *name, const char *module, const char *key, const char *value,
                     const char *kind, double v)
{
    nj_buffer_printf(b, "%s{", name);
    nj_metrics_label(b, "module", module);
    nj_buffer_text(b, ",");
    nj_metrics_label(b, key, value);
    if (kind) nj_buffer_text(b, ","), nj_metrics_label(b, "kind", kind);
    nj_buffer_printf(b, "} %.17g\n", v);
}

static void info(nj_buffer *b, const nj_energy_source *source, const nj_carbon *carbon)
{
    char number[32];
    nj_metrics_family(b, "nightjar_energy_source_info", "gauge", "Where joules and grams come from; 1.");
    nj_buffer_text(b, "nightjar_energy_source_info{");
    nj_metrics_label(b, "tier", source->tier);
    nj_buffer_text(b, ",");
    nj_metrics_label(b, "kind", source->kind);
    nj_buffer_text(b, ",");
    nj_metrics_label(b, "country", carbon->country);
    nj_buffer_text(b, ",");
    snprintf(number, sizeof number, "%d", carbon->year);
    nj_metrics_label(b, "year", number);
    nj_buffer_text(b, ",");
    snprintf(number, sizeof number, "%g", carbon->pue);
    nj_metrics_label(b, "pue", number);
    nj_buffer_text(b, "} 1\n");
}

void nj_metrics_energy_text(const nj_metrics_of *m, nj_buffer *b, const nj_metrics_module *list, uint32_t n)
{
    if (!m->r->energy || !m->spent) return;
    const nj_energy_source *source = nj_energy_chosen(m->r->energy);
    const nj_carbon *carbon = nj_energy_carbon(m->r->energy);
    double watt = nj_energy_watt_now(m->r->energy);
    info(b, source, carbon);
    nj_metrics_family(
        b, "nightjar_module_energy_joules_total", "counter",
        "Watts of a busy thread times the module's CPU time; the machine at rest is not in it.");
    for (uint32_t i = 0; i < n; i++)
        labelled(b, "nightjar_module_energy_joules_total", list[i].name, "component", "cpu", source->kind,
                 joules(m->spent, &list[i], watt));
    nj_metrics_family(b, "nightjar_module_carbon_grams_total", "counter",
                      "CO2 equivalent of those joules, with the site's PUE.");
    for (uint32_t i = 0; i < n; i++)
        labelled(b, "nightjar_module_carbon_grams_total", list[i].name, "scope", "operational", NULL,
                 nj_carbon_grams(joules(m->spent, &list[i], watt), carbon->pue, carbon->g_per_kwh));
    nj_metrics_family(b, "nightjar_module_cost_total", "counter",
                      "Money for the module's CPU time ([cost]).");
    for (uint32_t i = 0; i < n; i++)
        labelled(b, "nightjar_module_cost_total", list[i].name, "currency", m->r->cost.currency, NULL,
                 nj_cost_busy(&m->r->cost, (double)list[i].count->cpu_ns / 1e9));
}
