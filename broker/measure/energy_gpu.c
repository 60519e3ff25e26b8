/* energy_gpu.c - a module that computes on a GPU draws where no counter of the CPU sees it. */
#include "energy_gpu.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct nvml { /* of nvml.h, that is not needed to build this */
    int (*init)(void);
    int (*count)(unsigned int *n);
    int (*handle)(unsigned int i, void **device);
    int (*name)(void *device, char *text, unsigned int size);
} nvml;

static int load(nj_energy_gpu *g, nvml *n)
{
    const char *path = getenv("NIGHTJAR_NVML");
    g->library = dlopen(path && *path ? path : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!g->library) return snprintf(g->why, sizeof g->why, "%s", dlerror()), -1;
    *(void **)&n->init = dlsym(g->library, "nvmlInit_v2");
    *(void **)&n->count = dlsym(g->library, "nvmlDeviceGetCount_v2");
    *(void **)&n->handle = dlsym(g->library, "nvmlDeviceGetHandleByIndex_v2");
    *(void **)&n->name = dlsym(g->library, "nvmlDeviceGetName");
    *(void **)&g->energy = dlsym(g->library, "nvmlDeviceGetTotalEnergyConsumption");
    *(void **)&g->shutdown = dlsym(g->library, "nvmlShutdown");
    if (n->init && n->count && n->handle && n->name && g->energy && g->shutdown) return 0;
    snprintf(g->why, sizeof g->why, "the library is too old: it has no nvmlDeviceGetTotalEnergyConsumption");
    return -1;
}

static int find_devices(nj_energy_gpu *g, const nvml *n)
{
    unsigned int count = 0;
    int rc = n->init();
    if (rc) {
        g->shutdown = NULL;
        return snprintf(g->why, sizeof g->why, "nvmlInit_v2 says %d", rc), -1;
    }
    rc = n->count(&count);
    for (unsigned int i = 0; rc == 0 && i < count && g->n < NJ_GPUS; i++) {
        unsigned long long millijoule;
        void *device = NULL;
        if (n->handle(i, &device) || g->energy(device, &millijoule)) {
            snprintf(g->why, sizeof g->why, "GPU %u has no counter of energy (before Volta?)", i);
            continue;
        }
        if (!g->n) n->name(device, g->name, sizeof g->name);
        g->device[g->n++] = device;
    }
    if (!g->n && !g->why[0]) snprintf(g->why, sizeof g->why, "there is no GPU");
    return g->n ? 0 : -1;
}

int nj_energy_gpu_open(nj_energy_gpu *g)
{
    nvml n;
    memset(g, 0, sizeof *g);
    if (load(g, &n) == 0 && find_devices(g, &n) == 0) return 0;
    nj_energy_gpu_close(g);
    return -1;
}

void nj_energy_gpu_begin(nj_energy_gpu *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        unsigned long long now = 0;
        g->before[i] = g->energy(g->device[i], &now) ? UINT64_MAX : now;
    }
}

double nj_energy_gpu_joule(const nj_energy_gpu *g)
{
    double sum = g->n ? 0 : NAN;
    for (uint32_t i = 0; i < g->n; i++) {
        unsigned long long now = 0;
        if (g->before[i] == UINT64_MAX || g->energy(g->device[i], &now) || now < g->before[i]) return NAN;
        sum += (double)(now - g->before[i]) / 1000;
    }
    return sum;
}

/* The library stays: the driver's threads may still be in it. */
void nj_energy_gpu_close(nj_energy_gpu *g)
{
    if (g->shutdown) g->shutdown();
    g->shutdown = NULL;
    g->n = 0;
}
