/* nightjar/column.h - reading the columns of a call. All functions take needs that may be absent: then the
 * answer is "no answer", or a series of no points. Pointers die with the call. */
#ifndef NIGHTJAR_COLUMN_H
#define NIGHTJAR_COLUMN_H
#include <string.h>

#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The value of a scalar need in a row. */
static inline double nj_f64_of(const nj_work *w, uint32_t need, uint32_t row)
{
    const double *data = (const double *)w->in[need]->data;
    return data ? data[row] : NJ_NO_F64;
}
static inline int32_t nj_i32_of(const nj_work *w, uint32_t need, uint32_t row)
{
    const int32_t *data = (const int32_t *)w->in[need]->data;
    return data ? data[row] : NJ_NO_I32;
}
static inline uint8_t nj_u8_of(const nj_work *w, uint32_t need, uint32_t row)
{
    const uint8_t *data = (const uint8_t *)w->in[need]->data;
    return data ? data[row] : NJ_NO_U8;
}
static inline const char *nj_text_of(const nj_work *w, uint32_t need, uint32_t row)
{
    const char *const *data = (const char *const *)w->in[need]->data;
    return data ? data[row] : NJ_NO_STR;
}

/* How many points a row has in a series need. */
static inline uint32_t nj_points(const nj_work *w, uint32_t need, uint32_t row)
{
    const nj_col *c = w->in[need];
    return c->data && c->off ? c->off[row + 1] - c->off[row] : 0;
}
/* The points of a row, NULL when the need is absent. Asked for as NJ_F64, NJ_I32, NJ_U8. */
static inline const double *nj_f64_series(const nj_work *w, uint32_t need, uint32_t row)
{
    const nj_col *c = w->in[need];
    return c->data && c->off ? (const double *)c->data + c->off[row] : (const double *)0;
}
static inline const int32_t *nj_i32_series(const nj_work *w, uint32_t need, uint32_t row)
{
    const nj_col *c = w->in[need];
    return c->data && c->off ? (const int32_t *)c->data + c->off[row] : (const int32_t *)0;
}
static inline const uint8_t *nj_u8_series(const nj_work *w, uint32_t need, uint32_t row)
{
    const nj_col *c = w->in[need];
    return c->data && c->off ? (const uint8_t *)c->data + c->off[row] : (const uint8_t *)0;
}

/* Writing an answer. */
static inline void nj_put_f64(const nj_work *w, uint32_t give, uint32_t row, double v)
{
    ((double *)w->out[give])[row] = v;
}
static inline void nj_put_i32(const nj_work *w, uint32_t give, uint32_t row, int32_t v)
{
    ((int32_t *)w->out[give])[row] = v;
}
static inline void nj_put_u8(const nj_work *w, uint32_t give, uint32_t row, uint8_t v)
{
    ((uint8_t *)w->out[give])[row] = v;
}
static inline void nj_put_text(const nj_work *w, uint32_t give, uint32_t row, const char *v)
{
    ((const char **)w->out[give])[row] = v;
}

#ifdef __cplusplus
}
#endif
#endif
