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
#define ISA_TARGET 8
#include "isa_target.h"
#define ISA_SUFFIX avx2
#define W 8
LANES_TYPES
#include LANES_FILE
#undef W
#undef ISA_SUFFIX
#define ISA_TARGET 0
#include "isa_target.h"

#define ISA_TARGET 16
#include "isa_target.h"
#define ISA_SUFFIX avx512
#define W 16
LANES_TYPES
#include LANES_FILE
#undef W
#undef ISA_SUFFIX
#define ISA_TARGET 0
#include "isa_target.h"
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
