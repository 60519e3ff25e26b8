/* dedup.h - remembers the last ids, so that a redelivered alert is dropped and counted ([run] dedup = N). */
#ifndef NJ_QUERY_DEDUP_H
#define NJ_QUERY_DEDUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nj_dedup nj_dedup;

/* Remembers at least the last `window` ids; 24 bytes each. */
nj_dedup *nj_dedup_new(size_t window);
/* Was (id, salt) seen in the window? It is now. An id of NJ_NO_I64 never counts as seen. */
bool nj_dedup_seen(nj_dedup *dedup, int64_t id, uint64_t salt);
void nj_dedup_free(nj_dedup *dedup);

#endif
