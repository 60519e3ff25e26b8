/* lstm_step.c - recurrent networks spend their time in the recurrent product and the gates; this is both for
 * each instruction set. */
#include "lstm_step.h"

#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

/* ROWS: as many as leave registers for a vector of weights and the rows' inputs. */
#define W 4
#define ROWS 2
#define ISA(name) name##_portable
#define FMA(a, b, c) ((a) * (b) + (c))
#define SET1(x) ((vec){ x, x, x, x })
#define BETWEEN(x) ISA(choose)(x > most, most, ISA(choose)(x < least, least, x))
#include "lstm_step_body.h"

#if defined __x86_64__
#define ISA_FMA
#define ISA_TARGET 8
#include "../num/isa_target.h"
#define W 8
#define ROWS 3
#define ISA(name) name##_avx2
#define FMA(a, b, c) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define SET1(x) ((vec)_mm256_set1_ps(x))
#define BETWEEN(x) ((vec)_mm256_min_ps((__m256)most, _mm256_max_ps((__m256)least, (__m256)(x))))
#include "lstm_step_body.h"
#define ISA_TARGET 0
#include "../num/isa_target.h"

#define ISA_TARGET 16
#include "../num/isa_target.h"
#define W 16
#define ROWS 6
#define ISA(name) name##_avx512
#define FMA(a, b, c) ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define SET1(x) ((vec)_mm512_set1_ps(x))
#define BETWEEN(x) ((vec)_mm512_min_ps((__m512)most, _mm512_max_ps((__m512)least, (__m512)(x))))
#include "lstm_step_body.h"
#define ISA_TARGET 0
#include "../num/isa_target.h"
static void (*const run[NJ_ISAS])(const nj_lstm_step *) = { step_portable, step_avx2, step_avx512 };
#else
static void (*const run[NJ_ISAS])(const nj_lstm_step *) = { step_portable, step_portable, step_portable };
#endif

void nj_lstm_step_run(nj_isa isa, const nj_lstm_step *step)
{
    run[isa](step);
}
