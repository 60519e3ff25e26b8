/* each_isa.h - includes LANES_FILE for every instruction set. Not guarded: once per kernel. The file sees
 *   W          floats in a vector (4, 8, 16)
 *   ISA(name)  the name with the set's suffix
 *   vf, vi     W floats, W 32-bit integers;   hf, hd   W/2 floats, W/2 doubles
 * and defines static functions ISA(...). On other processors than x86-64 there is the
 * portable version alone. */
#define ISA_JOIN_(name, suffix) name##_##suffix
#define ISA_JOIN(name, suffix) ISA_JOIN_(name, suffix)
#define ISA(name) ISA_JOIN(name, ISA_SUFFIX)
#define vf ISA(vf)
#define vi ISA(vi)
#define hf ISA(hf)
#define hd ISA(hd)
#define LANES_TYPES                                                                                          \
    typedef float vf __attribute__((vector_size(4 * W), may_alias));                                         \
    typedef int32_t vi __attribute__((vector_size(4 * W), may_alias));                                       \
    typedef float hf __attribute__((vector_size(2 * W)));                                                    \
    typedef double hd __attribute__((vector_size(4 * W)));

#define ISA_SUFFIX portable
#define W 4
LANES_TYPES
#include LANES_FILE
#undef W
#undef ISA_SUFFIX

#if defined __x86_64__
#if defined __clang__ /* it knows GCC's pragma by name only */
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#endif
#define ISA_SUFFIX avx2
#define W 8
LANES_TYPES
#include LANES_FILE
#undef W
#undef ISA_SUFFIX
#if defined __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined __clang__
#pragma clang attribute push(                                                                                \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi,bmi2,lzcnt,popcnt"))),                \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi,bmi2,lzcnt,popcnt,prefer-vector-width=512")
#endif
#define ISA_SUFFIX avx512
#define W 16
LANES_TYPES
#include LANES_FILE
#undef W
#undef ISA_SUFFIX
#if defined __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#define EACH_ISA(name)                                                                                       \
    {                                                                                                        \
        name##_portable, name##_avx2, name##_avx512                                                          \
    }
#else
#define EACH_ISA(name)                                                                                       \
    {                                                                                                        \
        name##_portable, name##_portable, name##_portable                                                    \
    }
#endif
#undef LANES_FILE
