/* energy_model.c - the formulas and tables of energy.h that need no counter. */
#include "energy.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

double nj_energy_tdp_curve(double load)
{
    static const double at[] = { 0, 0.1, 0.5, 1 }, share[] = { 0.12, 0.32, 0.75, 1.02 };
    if (!(load > 0)) return share[0];
    for (int i = 1; i < 4; i++)
        if (load <= at[i])
            return share[i - 1] + (load - at[i - 1]) / (at[i] - at[i - 1]) * (share[i] - share[i - 1]);
    return share[3];
}

double nj_energy_dimm_watt(uint32_t n)
{
    static const struct {
        uint32_t upto;
        double each;
    } step[] = { { 4, 5.0 }, { 8, 4.5 }, { 16, 4.0 }, { UINT32_MAX, 3.5 } };
    double watt = 0;
    uint32_t done = 0;
    for (size_t i = 0; i < 4 && done < n; i++) {
        uint32_t upto = n < step[i].upto ? n : step[i].upto;
        watt += (upto - done) * step[i].each;
        done = upto;
    }
    return watt;
}

double nj_carbon_grams(double joule, double pue, double g_per_kwh)
{
    return joule / 3.6e6 * pue * g_per_kwh;
}

double nj_carbon_embodied_grams(double total_kg, double hours, double life_hours, double share)
{
    return total_kg * 1000 * hours / life_hours * share;
}

double nj_carbon_cpu_kg(double die_mm2)
{
    return 9.14 + 0.0197 * die_mm2;
}

bool nj_energy_difference(const nj_energy_source *s, double watt_a, double watt_b, char *text, size_t size)
{
    if (!s->sees_load) return snprintf(text, size, "A-B: not observable with this source"), false;
    snprintf(text, size, "%.1f W", watt_a - watt_b);
    return true;
}

/* ---- names of CPUs --------------------------------------------------------------------------- */

/* Ends the text before a word that begins with it. */
static void cut_at(char *text, const char *word)
{
    char *at = strstr(text, word);
    if (at) *at = 0;
}

static void drop(char *text, const char *word)
{
    for (char *at; (at = strstr(text, word)) != NULL;)
        memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

void nj_energy_cpu_key(const char *name, char *text, size_t size)
{
    size_t n = 0;
    for (; name[n] && n + 1 < size; n++) text[n] = (char)tolower((unsigned char)name[n]);
    text[n] = 0;
    drop(text, "(r)");
    drop(text, "(tm)");
    cut_at(text, " @");
    cut_at(text, " with ");
    drop(text, " cpu");
    drop(text, " processor");
    char *core = strstr(text, "-core"); /* "epyc 7702 64-core" */
    if (core) {
        while (core > text && isdigit((unsigned char)core[-1])) core--;
        *core = 0;
    }
    n = 0;
    for (size_t i = 0; text[i]; i++)
        if (text[i] != ' ' || (n && text[n - 1] != ' ')) text[n++] = text[i];
    while (n && text[n - 1] == ' ') n--;
    text[n] = 0;
}

/* Thermal design power by the vendors' data sheets. */
static const struct {
    const char *key;
    double watt;
} tdp_table[] = {
    { "amd epyc 7302", 155 },
    { "amd epyc 7402", 180 },
    { "amd epyc 7452", 155 },
    { "amd epyc 7502", 180 },
    { "amd epyc 7542", 225 },
    { "amd epyc 7702", 200 },
    { "amd epyc 7742", 225 },
    { "amd epyc 7h12", 280 },
    { "amd epyc 7313", 155 },
    { "amd epyc 7413", 180 },
    { "amd epyc 7513", 200 },
    { "amd epyc 7543", 225 },
    { "amd epyc 7713", 225 },
    { "amd epyc 7763", 280 },
    { "amd epyc 9354", 280 },
    { "amd epyc 9554", 360 },
    { "amd epyc 9654", 360 },
    { "intel xeon e5-2680 v4", 120 },
    { "intel xeon e5-2690 v4", 135 },
    { "intel xeon gold 6130", 125 },
    { "intel xeon gold 6148", 150 },
    { "intel xeon gold 6230", 125 },
    { "intel xeon gold 6248", 150 },
    { "intel xeon gold 6330", 205 },
    { "intel xeon gold 6338", 205 },
    { "intel xeon platinum 8160", 150 },
    { "intel xeon platinum 8280", 205 },
    { "intel xeon platinum 8380", 270 },
    { "intel xeon platinum 8480+", 350 },
};

static void take_tdp(double *found, double watt)
{
    *found = *found == 0 ? watt : *found == watt ? watt : NAN; /* NaN stays NaN: two entries disagree */
}

double nj_energy_tdp(const char *path, const char *cpu_model)
{
    char key[160], other[160], line[512];
    double found = 0;
    nj_energy_cpu_key(cpu_model, key, sizeof key);
    if (!*key) return NAN;
    for (size_t i = 0; !path && i < sizeof tdp_table / sizeof *tdp_table; i++)
        if (!strcmp(key, tdp_table[i].key)) take_tdp(&found, tdp_table[i].watt);
    FILE *f = path ? fopen(path, "r") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        char *comma = strrchr(line, ','), *end;
        if (!comma) continue;
        *comma = 0;
        double watt = strtod(comma + 1, &end);
        while (isspace((unsigned char)*end)) end++;
        if (*end || !(watt > 0)) continue; /* a broken row ("27.29.5"), or the heading */
        nj_energy_cpu_key(line, other, sizeof other);
        if (!strcmp(key, other)) take_tdp(&found, watt);
    }
    if (f) fclose(f);
    return found > 0 ? found : NAN;
}

/* ---- SPECpower --------------------------------------------------------------------------------- */

/* Watts per vCPU at idle and at full load, fitted to SPECpower results by microarchitecture. Reference: Cloud
 * Carbon Footprint coefficients (Apache-2.0). The generation shows in the last digit of EPYC,
 * in the second of Xeon Scalable. */
static const struct {
    const char *pattern, *name;
    double idle, full;
} spec_table[] = {
    { "amd epyc 7[2-7f]?2*", "EPYC gen 2", 0.474, 1.693 },
    { "amd epyc 7h12*", "EPYC gen 2", 0.474, 1.693 },
    { "amd epyc 7[2-7]?3*", "EPYC gen 3", 0.445, 2.019 },
    { "amd epyc 7[2-7]f3*", "EPYC gen 3", 0.445, 2.019 },
    { "intel xeon platinum 82??*", "Cascade Lake", 0.639, 3.967 },
    { "intel xeon gold [56]2??*", "Cascade Lake", 0.639, 3.967 },
    { "intel xeon silver 42??*", "Cascade Lake", 0.639, 3.967 },
    { "intel xeon bronze 32??*", "Cascade Lake", 0.639, 3.967 },
};

static char spec_name[96];

static const char *take_spec(const char *name, double low, double high, double *idle, double *full)
{
    *idle = low;
    *full = high;
    return name;
}

/* A line PATTERN,IDLE,FULL that fits; a heading and broken lines fit nothing. */
static bool line_fits(char *line, const char *key, double *idle, double *full)
{
    char *second = strchr(line, ','), *third = second ? strchr(second + 1, ',') : NULL, *end[2];
    if (!third) return false;
    *second = *third = 0;
    for (char *c = line; *c; c++) *c = (char)tolower((unsigned char)*c);
    *idle = strtod(second + 1, &end[0]);
    *full = strtod(third + 1, &end[1]);
    snprintf(spec_name, sizeof spec_name, "%.90s", line);
    return end[0] != second + 1 && end[1] != third + 1 && *idle >= 0 && *full > *idle &&
           !fnmatch(line, key, 0);
}

const char *nj_energy_spec(const char *path, const char *cpu_model, double *idle, double *full)
{
    char key[160], line[512];
    nj_energy_cpu_key(cpu_model, key, sizeof key);
    for (size_t i = 0; !path && i < sizeof spec_table / sizeof *spec_table; i++)
        if (!fnmatch(spec_table[i].pattern, key, 0))
            return take_spec(spec_table[i].name, spec_table[i].idle, spec_table[i].full, idle, full);
    FILE *f = path ? fopen(path, "re") : NULL;
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) found = line_fits(line, key, idle, full);
    if (f) fclose(f);
    return found ? spec_name : NULL;
}

/* ---- carbon intensity ------------------------------------------------------------------------ */

/* Life-cycle, location-based, production mix. Ember, yearly electricity data (CC BY 4.0). */
static const struct {
    const char *iso3, *iso2;
    double g;
} intensity[] = {
    { "FRA", "FR", 44.2 },  { "CHL", "CL", 265.5 }, { "USA", "US", 383.6 },
    { "GBR", "GB", 215.8 }, { "DEU", "DE", 342.1 }, { "CHE", "CH", 36.7 },
    { "SWE", "SE", 35.9 },  { "ZAF", "ZA", 713.9 }, { "AUS", "AU", 553.8 },
};

nj_carbon nj_carbon_of(const char *country)
{
    for (size_t i = 0; country && i < sizeof intensity / sizeof *intensity; i++)
        if (!strcasecmp(country, intensity[i].iso3) || !strcasecmp(country, intensity[i].iso2))
            return (nj_carbon){ intensity[i].iso3, "Ember yearly electricity data",
                                "modelled",        2024,
                                intensity[i].g,    1.25 };
    return (nj_carbon){ "world", "Ember yearly electricity data", "assumed", 2024, 472.9, 1.25 };
}

bool nj_energy_is_read(const nj_energy_source *s)
{
    return !strcmp(s->kind, "measured") || !strcmp(s->kind, "partial");
}
