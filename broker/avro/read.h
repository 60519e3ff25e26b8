/* read.h - runs a plan over one datum and fills a row of a batch. One reader per thread. */
#ifndef NJ_AVRO_READ_H
#define NJ_AVRO_READ_H

#include "plan.h"

typedef union nj_value {
    uint8_t u8;
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
    const char *text;
} nj_value;

typedef struct nj_datum_reader {
    const nj_plan *plan;
    nj_batch *batch;
    const uint8_t *end;
    size_t *index;          /* by nj_target.at: the row, 0, the tails of the groups */
    char **base;            /* [n_targets] element 0 */
    nj_value *slot;         /* [n_slots] */
    uint32_t *from, *count; /* [n_groups * NJ_MAP_PARTS] elements of each array part of the current record */
    size_t cap_targets, cap_slots, cap_groups;
    uint32_t depth, max_depth, max_items;
    /* why a record was refused: */
    const char *reason; /* static text, or detail; NULL with memory = out of memory */
    const char *field;  /* lives as long as the plan */
    const uint8_t *at;
    char detail[160];
} nj_datum_reader; /* zero-initialise, then set max_depth and max_items */

/* Gets the reader and the batch's series ready for rows of this plan. -1 = out of memory. */
int nj_datum_begin(nj_datum_reader *r, const nj_plan *plan, nj_batch *batch);
/* Reads one datum that must end at or before end into row batch->n (which is not advanced).
 * Returns where it ended;
 * NULL: the record is bad (reason, field, at) and the row is as before, or memory is short (reason NULL). */
const uint8_t *nj_datum_record(nj_datum_reader *r, const uint8_t *datum, const uint8_t *end);
/* Takes back the row that the last call filled (its datum turned out to be bad). */
void nj_datum_undo(nj_datum_reader *r);
void nj_datum_free(nj_datum_reader *r);

#endif
