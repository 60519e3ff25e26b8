/* nightjar/expression.h - numbers computed from columns, as a setting says them: "mag - 5 *
 * log10(lc_distance)". (libnightjar-kit.a, modules/kit/model/expression.c)
 *
 * Column names as in needs (packet.candidate.sgscore1, features.g_mean), numbers, + - * / and ^, parentheses,
 * comparisons (1 or 0), and the functions log10 ln log1p exp sqrt abs floor min max pow, clip(x, low, high),
 * coalesce(x, otherwise), where(condition, yes, no).
 * Arithmetic in float64; a null operand makes the result null (NaN), but for coalesce, and for the branch
 * that where does not take. */
#ifndef NIGHTJAR_EXPRESSION_H
#define NIGHTJAR_EXPRESSION_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NJ_EXPRESSION_STEPS = 64, NJ_EXPRESSION_DEPTH = 16 };

typedef struct nj_expression_step {
    uint16_t op;     /* what to do; NJ_EXPRESSION_NUMBER and _COLUMN push a value */
    uint16_t column; /* index of the name */
    double number;
} nj_expression_step;

typedef struct nj_expression {
    nj_expression_step step[NJ_EXPRESSION_STEPS];
    uint32_t n;
} nj_expression;

/* Names that expressions use, each once, in order of appearance.
 * The caller owns the array; texts are copied by `copy`. */
typedef struct nj_expression_names {
    const char **name;
    uint32_t n, cap;
    char *(*copy)(void *opaque, const char *text, uint32_t n);
    void *opaque;
} nj_expression_names;

/* Compiles text[0..n). -1: why says what is wrong (static text) and *at where (an index into text). */
int nj_expression_compile(nj_expression *e, const char *text, uint32_t n, nj_expression_names *names,
                          const char **why, uint32_t *at);
/* The value for these columns, [names.n]. */
double nj_expression_value(const nj_expression *e, const double *column);

#ifdef __cplusplus
}
#endif
#endif
