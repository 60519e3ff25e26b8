/* sort.h - records in the order of their keys, however many: sorted runs on the disk, memory with a bound. */
#ifndef NJ_OBJECTS_SORT_H
#define NJ_OBJECTS_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

typedef struct nj_sorted {
    const uint8_t *key, *payload; /* until the next call */
    uint32_t key_size, size;
} nj_sorted;

typedef struct nj_sorter nj_sorter;

/* memory: bytes of records that are kept before they go to the disk, into files without a name in `folder`.
 * NULL with err. */
nj_sorter *nj_sorter_new(const char *folder, size_t memory, nj_error *err);
/* Keys compare byte by byte; equal ones stay in the order in which they came. -1 with err. */
int nj_sorter_add(nj_sorter *sorter, const void *key, uint32_t key_size, const void *payload, uint32_t size,
                  nj_error *err);
/* The next record in order; the first call ends the adding. 1, or 0 behind the last, or -1 with err. */
int nj_sorter_next(nj_sorter *sorter, nj_sorted *record, nj_error *err);
uint32_t nj_sorter_runs(const nj_sorter *sorter); /* that were written so far */
void nj_sorter_free(nj_sorter *sorter);           /* NULL allowed */

#endif
