/* chunk.h - what a source delivers: bytes, how they are framed, and where they came from. Sources do not
 * read Avro; decode does not depend on Kafka or tar. */
#ifndef NJ_BATCH_CHUNK_H
#define NJ_BATCH_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    NJ_FRAME_AUTO,      /* look at the first bytes: "Obj\1" = OCF, 0x00 = Confluent, else bare */
    NJ_FRAME_OCF,       /* a whole Avro Object Container File, schema inside */
    NJ_FRAME_CONFLUENT, /* 0x00, 4-byte big-endian schema id, datum */
    NJ_FRAME_BARE,      /* a datum alone; the schema comes from the settings */
    NJ_FRAME_JSON,      /* objects of JSON: one, a list, or one behind the other */
    NJ_FRAME_KEYED      /* Fink's streams: the message key is the JSON schema, the value the datum */
} nj_framing;

/* One partition of a topic, or one file source: the unit of the ledger and of offsets.
 * Made by a source, lives until the run ends. Written by the ingest thread before the
 * first chunk refers to it. */
typedef struct nj_stream {
    uint32_t id;        /* index in the run's table of ledgers */
    const char *name;   /* "night.tar.gz", "kafka://host/ztf_20260101_programid1[3]" */
    const char *topic;  /* Kafka topic, else NULL: a hint for the survey */
    int32_t partition;  /* Kafka partition, else -1 */
    uint64_t key;       /* of its name: the same in every process; 0 = not needed */
    void *owner;        /* the source's own record of it */
    uint32_t revoked;   /* atomic: chunks up to this generation come again elsewhere, and are not written */
    const char *part;   /* what of it shards share: "member", "partition"; NULL = it was not dealt out */
    uint64_t own, left; /* atomic: parts that this shard takes, and leaves to the others */
    uint32_t source; /* number of its source in the run, and of itself in the source: a partition's place */
    uint32_t rank;
} nj_stream;

typedef struct nj_chunk {
    uint8_t *bytes;
    size_t size;
    uint8_t *key; /* NJ_FRAME_KEYED: the message key; else NULL */
    size_t key_size;
    nj_framing framing;
    nj_stream *stream;
    char *member;        /* file or archive member; NULL for Kafka */
    char *fault;         /* why it cannot be read, found by the source: a dead letter;
                                              * NULL = nothing known */
    int64_t offset;      /* Kafka offset, or number of the file or member in
                                              * its source, from 0 */
    int64_t part;        /* of its source, the same number in all shards of a night (shard.h) */
    bool by_block;       /* shards share its blocks: each reads the chunk, and its own blocks in it */
    uint32_t generation; /* of the partition's assignment; a stale receipt is dropped */
    int64_t arrival_ns;  /* nj_now_ns() when it was received */
    int64_t publish_ms;  /* Kafka timestamp, ms since 1970; -1 = none */
    uint64_t seq;        /* order of arrival over all sources, set by the host */
    void (*release)(struct nj_chunk *chunk); /* frees bytes, key, member, fault and the chunk itself;
                                              * set by the source */
    uint32_t refs;                           /* batches that still point into it, and its reader;
                                              * use the two functions below */
} nj_chunk;

/* A chunk from malloc with refs = 1 whose release() frees all by free(). Takes over bytes, key and member
 * (malloc'ed, NULL allowed). NULL when memory is short (then nothing was taken over). */
nj_chunk *nj_chunk_new(nj_stream *stream, uint8_t *bytes, size_t size);
void nj_chunk_hold(nj_chunk *chunk);
void nj_chunk_drop(nj_chunk *chunk); /* calls release() at the last drop; any thread */
/* "night.tar.gz: 123.avro", "kafka://h/t[3] offset 812": for messages and dead letters. Returns text. */
const char *nj_chunk_where(const nj_chunk *chunk, char *text, size_t size);

#endif
