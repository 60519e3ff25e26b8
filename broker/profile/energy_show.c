/* energy_show.c - the section of --energy: the verdict in words, and where an alert's energy goes. */
#include <math.h>
#include <string.h>

#include "../base/format.h"
#include "energy_pass.h"

/* What a source that cannot see load does to a difference, by the numbers that Fink published. */
static const char refused[] =
    "  Two runs then get the same watts by construction, whatever the module does. With such a source (half\n"
    "  the TDP of an EPYC 7702 and 3/8 W/GB: 100.94 W) Fink's two runs of 8 h a day were each\n"
    "  100.9447 W x PUE 1.25 x 2920 h x 84.879 g/kWh = 31.27 kgCO2eq/yr, and 31.27 - 31.27 = -0.00: that\n"
    "  says nothing about the module. What sees load: a meter, RAPL, or with -D energy.cpu_model=NAME a\n"
    "  model of the CPU by its load (`nightjar doctor` says what works here).\n";

/* kg a year: one core kept busy 8 h a day; the survey. */
static double saturated(const nj_energy_pass *e, double grams)
{
    return nj_energy_saturated_kg(grams, 1 / e->ab.alerts_per_s, e->threads);
}

static double of_survey(const nj_energy_pass *e, double grams)
{
    return nj_energy_survey_kg(grams, e->volume.per_night, e->volume.nights);
}

static const char *two(char text[24], double value)
{
    return isfinite(value) ? nj_format_two(text, value) : "-";
}

static void part_row(const nj_energy_pass *e, const char *name, const nj_valued *joule,
                     const nj_valued *grams, FILE *to)
{
    char t[5][24], band[64] = "";
    const nj_volume *v = &e->volume;
    if (isfinite(joule->value))
        snprintf(band, sizeof band, "[%s, %s]", two(t[0], joule->low), two(t[1], joule->high));
    fprintf(to, "%26s %10s %-22s", name, two(t[0], joule->value), band);
    fprintf(to, " %10s %10s %10s %10s  %s\n", two(t[0], joule->value * v->per_exposure),
            two(t[1], joule->value * v->per_night / 3.6e6), two(t[2], saturated(e, grams->value)),
            two(t[3], of_survey(e, grams->value)), isfinite(joule->value) ? joule->kind : grams->kind);
}

void nj_energy_pass_table(const nj_energy_pass *e, FILE *to)
{
    char words[256], t[2][24];
    const nj_ab *ab = &e->ab;
    fprintf(to, "\nEnergy, with the module less without:\n  %s\n", nj_ab_words(words, ab, e->source));
    if (ab->verdict == NJ_AB_REFUSED) {
        fputs(refused, to);
        if (e->hint[0]) fprintf(to, "  %s\n", e->hint);
        return;
    }
    fprintf(to, "  %u pairs of %g s count, of %u; %u thread%s of %.0f CPUs; %s: %s\n", ab->counted, e->run_s,
            ab->n, e->threads, e->threads == 1 ? "" : "s", e->cpus, e->kind, e->source);
    for (uint32_t i = 0, said = 0; i < ab->n && !said; i++)
        if (ab->pair[i].rejected) said = 1, fprintf(to, "  not counted: %s\n", ab->pair[i].rejected);
    if (strcmp(e->kind, "measured") && strcmp(e->kind, "partial"))
        fprintf(
            to,
            "  A model of the CPU's load: it sees CPU time, neither the kind of instructions nor memory.\n");
    if (!e->pinned) fprintf(to, "  The threads are not pinned: fewer CPUs than threads, or it is refused.\n");
    if (*e->before.governor)
        fprintf(to, "  governor %s, SMT %s, turbo %s, %.0f to %.0f C\n", e->before.governor, e->before.smt,
                e->before.turbo, e->before.celsius, e->after.celsius);
    if (strcmp(e->before.governor, e->after.governor))
        fprintf(to, "  WARNING: the governor changed meanwhile to %s\n", e->after.governor);
    fprintf(to, "  %.4g W at rest, %.4g W with the module; %s alerts/s, %.3g core-ms each\n", ab->rest_watt,
            ab->on_watt, nj_format_si(t[0], ab->alerts_per_s), 1e3 * ab->core_s_per_alert);
    if (!(ab->alerts_per_s > 0)) return;
    nj_valued j = nj_energy_parts_joule(e->part), g = nj_energy_parts_grams(e->part);
    fprintf(
        to, "\nWhere it goes (%u of %.0f CPUs reserved; %s: %g alerts an exposure, %g a night, %g nights):\n",
        e->threads, e->cpus, e->volume.name, e->volume.per_exposure, e->volume.per_night, e->volume.nights);
    fprintf(to, "%26s %10s %-22s %10s %10s %10s %10s\n", "", "J/alert", "", "J/exposure", "kWh/night",
            "kg/yr busy", "kg/yr");
    for (int i = 0; i < NJ_PARTS; i++) {
        const nj_energy_part *p = &e->part[i];
        if (p->in)
            fprintf(to, "%26s %10s %s\n", p->name, "-", p->in);
        else
            part_row(e, p->name, &p->joule, &p->grams, to);
    }
    part_row(e, "together", &j, &g, to);
    fprintf(to,
            "  kg of CO2 equivalent; kg/yr busy: one core kept busy 8 h a day with such alerts (Fink's); "
            "kg/yr: the survey.\n  %s %.3g g/kWh (%s, %d), PUE %.3g\n",
            e->carbon.country, e->carbon.g_per_kwh, e->carbon.source, e->carbon.year, e->carbon.pue);
}

static void valued_json(nj_json *j, const char *name, const nj_valued *v)
{
    nj_json_open(j, name, '{');
    nj_json_put(j, "value=%g low=%g high=%g kind=%s source=%s year=%d", v->value, v->low, v->high, v->kind,
                v->source, v->year);
    nj_json_close(j);
}

static void reading_json(nj_json *j, const char *name, const nj_ab_reading *r)
{
    nj_json_open(j, name, '{');
    nj_json_put(j, "joule=%g seconds=%g alerts=%g cpu_s=%g foreign=%g", r->joule, r->seconds, r->alerts,
                r->cpu_s, r->foreign);
    nj_json_close(j);
}

static const char *const verdict_name[] = { "refused", "too_few", "above", "below", "not_distinguishable" };

static const char *word(const char *text)
{
    return *text ? text : NULL;
}

void nj_energy_pass_json(const nj_energy_pass *e, nj_json *j)
{
    char words[256];
    const nj_ab *ab = &e->ab;
    nj_json_open(j, "energy_ab", '{');
    nj_json_put(j, "verdict=%s words=%s tier=%s kind=%s source=%s", verdict_name[ab->verdict],
                nj_ab_words(words, ab, e->source), e->tier, e->kind, e->source);
    if (ab->verdict != NJ_AB_REFUSED) {
        nj_json_put(j, "watt=%g low=%g high=%g rest_watt=%g on_watt=%g alerts_per_s=%g core_s_per_alert=%g",
                    ab->watt, ab->low, ab->high, ab->rest_watt, ab->on_watt, ab->alerts_per_s,
                    ab->core_s_per_alert);
        nj_json_put(j, "threads=%u cpus=%g pinned=%hhd", e->threads, e->cpus, e->pinned);
        nj_json_put(j, "governor=%s smt=%s turbo=%s celsius_before=%g celsius_after=%g",
                    word(e->before.governor), word(e->before.smt), word(e->before.turbo), e->before.celsius,
                    e->after.celsius);
        nj_json_open(j, "pairs", '[');
        for (uint32_t i = 0; i < ab->n; i++) {
            nj_json_open(j, NULL, '{');
            nj_json_put(j, "on_first=%hhd rejected=%s", ab->pair[i].on_first, ab->pair[i].rejected);
            reading_json(j, "on", &ab->pair[i].on);
            reading_json(j, "off", &ab->pair[i].off);
            nj_json_close(j);
        }
        nj_json_close(j);
        nj_json_open(j, "parts", '[');
        for (int i = 0; i < NJ_PARTS && ab->alerts_per_s > 0; i++) {
            const nj_energy_part *p = &e->part[i];
            nj_json_open(j, NULL, '{');
            nj_json_put(j, "name=%s in=%s kg_per_year_busy_core=%g kg_per_year=%g", p->name, p->in,
                        p->in ? NAN : saturated(e, p->grams.value),
                        p->in ? NAN : of_survey(e, p->grams.value));
            valued_json(j, "joule_per_alert", &p->joule);
            valued_json(j, "gco2e_per_alert", &p->grams);
            nj_json_close(j);
        }
        nj_json_close(j);
    }
    nj_json_close(j);
}

void nj_energy_pass_put(nj_template_values *v, json_t *list, const nj_energy_pass *e)
{
    enum { LEFT = 8, WIDTH = 380, STEP = 36, TOP = 34 }; /* as in energy_parts.svg */
    char words[256];
    if (!e->tier[0]) return;
    const nj_ab *ab = &e->ab;
    json_t *to = nj_template_put(v, list, "words=%s refused=%d source=%s kind=%s pairs=%u rest=%g on=%g",
                                 nj_ab_words(words, ab, e->source), ab->verdict == NJ_AB_REFUSED, e->source,
                                 e->kind, ab->counted, ab->rest_watt, ab->on_watt);
    json_t *parts = nj_template_list(v, to, "parts"), *stack = nj_template_list(v, to, "stack");
    const nj_valued all = nj_energy_parts_grams(e->part);
    uint32_t n = 0;
    double done = 0, scale = WIDTH / fmax(all.high, 1e-300);
    char t[3][24];
    bool some = ab->verdict != NJ_AB_REFUSED && all.high > 0 && ab->alerts_per_s > 0;
    for (int i = 0; i < NJ_PARTS && some; i++) {
        const nj_energy_part *p = &e->part[i];
        const nj_valued *g = &p->grams;
        if (p->in) continue;
        nj_template_put(v, stack, "name=%s part=%d x=%g width=%g", p->name, i, LEFT + done * scale,
                        g->value * scale);
        done += g->value;
        nj_template_put(v, parts, "name=%s y=%d width=%g low=%g high=%g x=%d kind=%s part=%d", p->name,
                        TOP + (int)++n * STEP, g->value * scale, LEFT + g->low * scale,
                        LEFT + g->high * scale, LEFT, g->kind, i);
        nj_template_put(v, json_array_get(parts, json_array_size(parts) - 1),
                        "grams=%s low_grams=%s high_grams=%s", two(t[0], 1e6 * g->value),
                        two(t[1], 1e6 * g->low), two(t[2], 1e6 * g->high));
    }
    nj_template_put(v, to, "height=%d some=%d low=%g high=%g all=%s low_all=%s high_all=%s",
                    TOP + (int)(n + 1) * STEP + 4, some, LEFT + all.low * scale, LEFT + all.high * scale,
                    two(t[0], 1e6 * all.value), two(t[1], 1e6 * all.low), two(t[2], 1e6 * all.high));
}
