/* isa_target.h - compiles the functions behind it for an instruction set of x86-64. Not guarded.
 * Given before:
 *   ISA_TARGET 8     AVX2, with ISA_FMA defined also fused multiply-add
 *   ISA_TARGET 16    AVX-512, likewise
 *   ISA_TARGET 0     the end of it: the set of the command line again
 * It takes ISA_TARGET back. A kernel whose bits must not depend on the set has no ISA_FMA. */
#if ISA_TARGET == 0
#if defined __clang__ /* it accepts GCC's pragma and ignores it */
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#elif ISA_TARGET == 8 && defined ISA_FMA
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#elif ISA_TARGET == 8
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#endif
#elif defined ISA_FMA
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))),         \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#endif
#else
#if defined __clang__
#pragma clang attribute push(                                                                                \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi,bmi2,lzcnt,popcnt"))),                \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi,bmi2,lzcnt,popcnt,prefer-vector-width=512")
#endif
#endif
#undef ISA_TARGET
