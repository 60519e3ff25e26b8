/* cpu.c - reports, bench files and the energy models name the processor; this reads /proc/cpuinfo for all of
 * them. */
#include "cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nj_cpu_model(char *name, size_t size, int *sockets)
{
    char line[512];
    unsigned long long seen = 0;
    *name = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon) continue;
        colon += strspn(colon, ": \t");
        if (!strncmp(line, "model name", 10) && !*name)
            snprintf(name, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        if (!strncmp(line, "physical id", 11)) seen |= 1ull << (strtoul(colon, NULL, 10) % 64);
    }
    if (f) fclose(f);
    if (!*name) snprintf(name, size, "unknown");
    if (sockets) *sockets = seen ? __builtin_popcountll(seen) : 1;
}
