/* cpu.h - the processor of this machine, for reports and for the models of its power. */
#ifndef NJ_MEASURE_CPU_H
#define NJ_MEASURE_CPU_H

#include <stddef.h>

/* Its name as the kernel has it, "unknown" when it has none; sockets (NULL = not asked for): how many there
 * are, 1 when that is not known. */
void nj_cpu_model(char *name, size_t size, int *sockets);

#endif
