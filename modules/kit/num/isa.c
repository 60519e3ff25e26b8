#include "nightjar/num.h"

const char *const nj_isa_name[NJ_ISAS] = { "portable", "avx2", "avx512" };

nj_isa nj_isa_best(void)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return NJ_ISA_AVX512;
    if (__builtin_cpu_supports("avx2")) return NJ_ISA_AVX2;
#endif
    return NJ_ISA_PORTABLE;
}
