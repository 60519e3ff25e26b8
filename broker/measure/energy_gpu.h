/* energy_gpu.h - joules of the machine's NVIDIA GPUs since the driver was loaded, by the vendor's library,
 * which is looked for when it is needed. $NIGHTJAR_NVML names another one. */
#ifndef NJ_MEASURE_ENERGY_GPU_H
#define NJ_MEASURE_ENERGY_GPU_H

#include <stdint.h>

enum { NJ_GPUS = 16 };

typedef struct nj_energy_gpu {
    void *library;
    void *device[NJ_GPUS];
    int (*energy)(void *device, unsigned long long *millijoule);
    int (*shutdown)(void);
    uint64_t before[NJ_GPUS];
    uint32_t n;
    char name[96]; /* of the first one */
    char why[256]; /* why there is none */
} nj_energy_gpu;   /* zero-initialised */

/* 0; -1 with why: there is no library, or no device whose energy can be read. */
int nj_energy_gpu_open(nj_energy_gpu *gpu);
void nj_energy_gpu_begin(nj_energy_gpu *gpu);
/* Of all GPUs since begin; NAN: there is none, or one could not be read. */
double nj_energy_gpu_joule(const nj_energy_gpu *gpu);
void nj_energy_gpu_close(nj_energy_gpu *gpu);

#endif
