/* quiet.c - a thread that wanders over the cores, or a clock that changes, looks like watts of the module. */
#include "quiet.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_word(const char *path, char *word, size_t size)
{
    const char *root = getenv("NIGHTJAR_SYSFS");
    char whole[512], line[64] = "";
    snprintf(whole, sizeof whole, "%s/%s", root && *root ? root : "/sys", path);
    FILE *f = fopen(whole, "re");
    if (f && !fgets(line, sizeof line, f)) line[0] = 0;
    if (f) fclose(f);
    line[strcspn(line, "\n")] = 0;
    snprintf(word, size, "%.*s", (int)size - 1, line);
}

nj_cpu_state nj_cpu_state_now(void)
{
    nj_cpu_state s = { .celsius = NAN };
    char word[32];
    read_word("devices/system/cpu/cpu0/cpufreq/scaling_governor", s.governor, sizeof s.governor);
    read_word("devices/system/cpu/smt/active", word, sizeof word);
    if (*word) strcpy(s.smt, *word == '1' ? "on" : "off");
    read_word("devices/system/cpu/cpufreq/boost", word, sizeof word);
    if (*word) strcpy(s.turbo, *word == '1' ? "on" : "off");
    read_word("devices/system/cpu/intel_pstate/no_turbo", word, sizeof word);
    if (*word) strcpy(s.turbo, *word == '1' ? "off" : "on");
    read_word("class/thermal/thermal_zone0/temp", word, sizeof word);
    if (*word) s.celsius = strtod(word, NULL) / 1000;
    return s;
}

/* The k-th CPU of a set; -1: it has fewer. */
static int cpu_of(const cpu_set_t *set, uint32_t k)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, set) && k-- == 0) return cpu;
    return -1;
}

static cpu_set_t allowed; /* before nj_pin: of the whole process, which has one replay at a time */

static int pin_one(void *opaque, uint32_t k)
{
    (void)opaque;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu_of(&allowed, k), &one);
    return sched_setaffinity(0, sizeof one, &one);
}

static int unpin_one(void *opaque, uint32_t k)
{
    (void)opaque, (void)k;
    return sched_setaffinity(0, sizeof allowed, &allowed);
}

bool nj_pin(nj_replay *r)
{
    if (sched_getaffinity(0, sizeof allowed, &allowed) || cpu_of(&allowed, r->n_workers - 1) < 0)
        return false;
    if (nj_replay_each(r, pin_one, NULL) == 0) return true;
    nj_unpin(r);
    return false;
}

void nj_unpin(nj_replay *r)
{
    nj_replay_each(r, unpin_one, NULL);
}
