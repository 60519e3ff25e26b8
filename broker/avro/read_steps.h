/* read_steps.h - what a record's reader (record.c) and its hot loop (read.c) call of each other. */
#ifndef NJ_AVRO_READ_STEPS_H
#define NJ_AVRO_READ_STEPS_H

#include "read.h"
#include "value.h"

/* Runs steps until the END of their body. Returns where the datum continues; NULL: bad (reason, field, at)
 * or, with reason NULL, out of memory. */
const uint8_t *nj_datum_run(nj_datum_reader *r, const nj_op *op, const uint8_t *p);
/* Room for `need` elements in every column of a group. -1 = out of memory. */
int nj_datum_reserve(nj_datum_reader *r, uint32_t group, size_t need);

/* Sets the place that a target would write next to "no answer". */
static inline void nj_datum_preset(nj_datum_reader *r, uint32_t i)
{
    const nj_target *t = &r->plan->target[i];
    nj_put_null(t, r->base[i] + r->index[t->at] * t->size);
}

#endif
