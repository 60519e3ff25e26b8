/* shard.h - N runs share a night: which parts of it are the K-th's. All of them agree without a word between
 * them, because only the night itself decides. */
#ifndef NJ_BATCH_SHARD_H
#define NJ_BATCH_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"

typedef enum {
    NJ_SHARD_PART,     /* what the source is made of: members, files, row groups, partitions, blocks */
    NJ_SHARD_EXPOSURE, /* the alerts of an exposure stay together */
    NJ_SHARD_ID        /* alert by alert */
} nj_shard_by;

typedef struct nj_shard {
    uint32_t k, n; /* the k-th, from 1; n 0 = the night is not shared */
    nj_shard_by by;
} nj_shard;

extern const char *const nj_shard_by_name[]; /* "part" "exposure" "id" */

/* Is part number `part` (from 0) this shard's? Parts are dealt out in turn. */
bool nj_shard_has(const nj_shard *shard, uint64_t part);
/* The same of what has a key in place of a number; keys are dealt out by a hash. */
bool nj_shard_has_key(const nj_shard *shard, uint64_t key);
/* What nobody can say whose it is (a packet that cannot be read has no exposure) is the first shard's. */
bool nj_shard_has_rest(const nj_shard *shard);

/* For sources, in the ingest thread: is the next part of the stream to be read? Counts it either way. True,
 * and not counted, when there is no shard (NULL), or when its alerts are dealt out one by one. */
bool nj_shard_take(const nj_shard *shard, nj_stream *stream, const char *of, uint64_t part);
/* The number of the part a chunk is of, so that rows of all shards can be put in the night's order. */
int64_t nj_shard_part(const nj_shard *shard, uint64_t part, int64_t offset);

#endif
