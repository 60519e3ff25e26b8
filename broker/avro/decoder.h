/* decoder.h - the schemas of a run: maps, cache, limits. Shared by all threads, read-mostly. */
#ifndef NJ_AVRO_DECODER_H
#define NJ_AVRO_DECODER_H

#include <pthread.h>

#include "decode.h"
#include "map.h"
#include "plan.h"
#include "../schema/registry.h"
#include "tree.h"

typedef struct nj_decode_conf {
    const char *maps, *survey, *schema;
    int64_t max_depth, max_items, max_block, max_stamp, max_pixels, max_schemas;
} nj_decode_conf;

typedef struct nj_plan_link {
    struct nj_plan_link *next;
    nj_plan *plan;
} nj_plan_link;

/* Counted: the table has a share, and so has whoever got it from one of the functions below. */
struct nj_schema {
    nj_schema *next; /* of the same bucket */
    uint32_t refs;   /* atomic */
    uint64_t serial; /* of this decoder, never given twice: an address is */
    uint64_t used;   /* when it was last asked for; under the lock */
    uint8_t *bytes;  /* the JSON: the key */
    size_t size;
    nj_tree tree;
    const nj_map *map;
    char name[128];     /* "ztf.alert 3.3" */
    char why[512];      /* not empty: the schema is refused */
    nj_plan_link *plan; /* pushed under the decoder's lock, read without */
    nj_decoder *decoder;
};

enum { NJ_BUCKETS = 1024, NJ_IDS = 256 };

/* What an id, or a GUID, of the registry stands for; never changes once it is known. */
typedef struct nj_id {
    struct nj_id *next;
    uint8_t guid[16];        /* an id stands in the first four, behind it zeros */
    const nj_schema *schema; /* NULL: refused */
    uint64_t used;
    char why[500];
} nj_id;

struct nj_decoder {
    nj_decode_conf conf;
    nj_map **map;
    nj_map **merged; /* [n_maps] of packets of merged alerts, each made at the first one; NULL = none yet */
    uint32_t n_maps;
    pthread_mutex_t lock;          /* of all below, and of every schema's list of plans */
    nj_schema *bucket[NJ_BUCKETS]; /* max_schemas at most: the oldest one that is not in use goes */
    uint32_t n_schemas;
    uint64_t clock, serial; /* counts questions, and schemas */
    nj_registry *registry;
    nj_id *id[NJ_IDS]; /* max_schemas at most, the oldest goes */
    uint32_t n_ids;
    const nj_schema *newest;    /* last one that came by id: what a new one is compared with */
    struct nj_json_kinds *json; /* json_packets.h; has its own lock */
    const nj_schema **highest;  /* [n_maps] of those that came without an id: of the highest major version */
    const nj_schema *bare;      /* for bare datums; NULL = none given */
};

/* One share more, and one less; NULL: no-op. Any thread, also without a decoder. */
const nj_schema *nj_schema_hold(const nj_schema *schema);
void nj_schema_drop(const nj_schema *schema);
/* The schema of these bytes, parsed at the first call. NULL with the reason. This one and the two below are
 * the caller's to drop. */
const nj_schema *nj_decoder_schema(nj_decoder *decoder, const uint8_t *bytes, size_t size, const char *topic,
                                   nj_error *err);
/* The schema of an id of the registry; may wait for its answer. NULL with the reason. */
const nj_schema *nj_decoder_by_id(nj_decoder *decoder, uint32_t id, const char *topic, nj_error *err);
/* The same for a GUID. */
const nj_schema *nj_decoder_by_guid(nj_decoder *decoder, const uint8_t guid[16], const char *topic,
                                    nj_error *err);
/* ids.c: the oldest id, under the lock; it is fetched again when it comes again. */
void nj_decoder_forget_id(nj_decoder *decoder);
/* Warns, field by field, how a schema differs from the one before. */
/* id 0: it came without one. */
void nj_schema_report_change(uint32_t id, const nj_schema *before, const nj_schema *now);
/* A topic's packets have this schema, which came without an id: a higher major version than before is
 * reported, with the fields that differ. */
void nj_decoder_note_version(nj_decoder *decoder, const nj_schema *schema);
/* The plan for a layout, compiled at the first call; the layout must live as long as the decoder. */
const nj_plan *nj_decoder_plan(const nj_schema *schema, const nj_layout *layout, nj_error *err);

/* maps.c: the survey maps of the binary, and of the folder [decode] maps. */
int nj_decoder_read_maps(nj_decoder *d, nj_error *err);
const nj_map *nj_decoder_map_named(const nj_decoder *d, const char *survey);
/* merged.c: the map of packets of merged alerts, by the schema's name; NULL: it is none of them, its survey
 * has no map, or memory is short. */
const nj_map *nj_decoder_map_merged(nj_decoder *d, const char *name);
void nj_decoder_free_merged(nj_decoder *d);
/* By the schema's name, then by the topic, then by its fields, then by the setting [decode] survey. */
const nj_map *nj_decoder_choose_map(nj_decoder *d, const nj_tree *tree, const char *name, const char *topic);

#endif
