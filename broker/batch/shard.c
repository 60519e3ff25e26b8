/* shard.c - the one rule by which parts and alerts are dealt out to shards. */
#include "shard.h"

const char *const nj_shard_by_name[] = { "part", "exposure", "id" };

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

bool nj_shard_has(const nj_shard *shard, uint64_t part)
{
    return part % shard->n == shard->k - 1;
}

bool nj_shard_has_key(const nj_shard *shard, uint64_t key)
{
    return nj_shard_has(shard, mix(key + UINT64_C(0x9e3779b97f4a7c15)));
}

bool nj_shard_has_rest(const nj_shard *shard)
{
    return shard->k == 1;
}

bool nj_shard_take(const nj_shard *shard, nj_stream *stream, const char *of, uint64_t part)
{
    if (!shard || shard->by != NJ_SHARD_PART) return true;
    bool mine = nj_shard_has(shard, part);
    stream->part = of;
    __atomic_add_fetch(mine ? &stream->own : &stream->left, 1, __ATOMIC_RELAXED);
    return mine;
}

int64_t nj_shard_part(const nj_shard *shard, uint64_t part, int64_t offset)
{
    return shard && shard->by == NJ_SHARD_PART ? (int64_t)part : offset;
}
