/* value.h - one value of a packet on its way into a column: translation, null values, scale, conversion. */
#ifndef NJ_AVRO_VALUE_H
#define NJ_AVRO_VALUE_H

#include "plan.h"

/* False: the column's type cannot hold the number, which becomes "no answer": a fraction in a whole type, a
 * number beyond the type, a double beyond 2^53 in 64 bits. (After a scale or an offset of the map fractions
 * are cut towards zero.) Texts are copied into the arena (when memory is short: no answer, and the arena has
 * failed). single: v is a float, which as text has no more digits than that needs. */
bool nj_put_real(const nj_target *t, void *to, double v, bool single, nj_arena *arena);
bool nj_put_whole(const nj_target *t, void *to, int64_t v, nj_arena *arena);
/* False: the column holds numbers, and the text is none that fits (nor empty). */
bool nj_put_text(const nj_target *t, void *to, const char *text, size_t n, nj_arena *arena);
void nj_put_null(const nj_target *t, void *to);
void nj_put_constant(nj_type type, void *to, const char *text, double number);
bool nj_is_null(nj_type type, const void *value);

#endif
