/* isa.c - kernels exist for several instruction sets; this detects which of them the processor has. */
#include "nightjar/num.h"

#include <stdlib.h>
#include <string.h>

const char *const nj_isa_name[NJ_ISAS] = { "portable", "avx2", "avx512" };

static nj_isa of_processor(void)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return NJ_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return NJ_ISA_AVX2;
#endif
    return NJ_ISA_PORTABLE;
}

nj_isa nj_isa_best(void)
{
    nj_isa best = of_processor();
    const char *wanted = getenv("NIGHTJAR_ISA");
    for (nj_isa isa = NJ_ISA_PORTABLE; wanted && isa < best; isa++)
        if (!strcmp(wanted, nj_isa_name[isa])) return isa;
    return best;
}
