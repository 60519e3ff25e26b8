/* ahead.h - unpacking in a thread of its own, some megabytes ahead of its reader. One reader at a time. */
#ifndef NJ_BASE_AHEAD_H
#define NJ_BASE_AHEAD_H

#include "unpack.h"

typedef struct nj_ahead nj_ahead;
/* Continues where nj_unpacker_next(u) stopped; u, what it reads from and their memory belong to the thread
 * until nj_ahead_free(), which waits for the read in hand: not for pipes that may stand still. NULL: no
 * memory or no thread, and u is as it was. */
nj_ahead *nj_ahead_new(nj_unpacker *u);
void nj_ahead_free(nj_ahead *a); /* NULL allowed; u stays the caller's */
/* As nj_unpacker_next(). */
long nj_ahead_next(nj_ahead *a, const uint8_t **bytes, nj_error *err);

#endif
