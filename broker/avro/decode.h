/* decode.h - packets to rows: framing, schema cache, plans, survey maps. Thread-safe where noted. */
#ifndef NJ_AVRO_DECODE_H
#define NJ_AVRO_DECODE_H

#include "../base/buffer.h"
#include "../base/error.h"
#include "../base/settings.h"
#include "../batch/batch.h"
#include "../batch/shard.h"
#include "map.h"

typedef struct nj_decoder nj_decoder; /* schema cache and survey maps; one per run, shared by all threads */
typedef struct nj_schema
    nj_schema; /* one writer schema with its survey; a cursor keeps the one it reads by */

/* Reads the embedded survey maps (schemas/<survey>.map, and those of [decode] maps = DIR). NULL with err. */
nj_decoder *nj_decoder_new(nj_settings *settings, nj_error *err);
void nj_decoder_free(nj_decoder *decoder);
/* This is a run: alerts may wait for an unavailable registry until stopped() says that the run ends. */
void nj_decoder_waits(nj_decoder *decoder, bool (*stopped)(void *opaque), void *opaque);
/* The end of a run: what JSON packets lacked, and had that the first ones had not, is reported. */
void nj_decoder_end(const nj_decoder *decoder);
/* Schemas of a registry are not added to its cache on disk. Before there are threads. */
void nj_decoder_keeps_nothing(nj_decoder *decoder);
bool nj_decoder_waiting(const nj_decoder *decoder); /* alerts wait for a registry now; any thread */
/* Is the path a canonical name of any survey map? */
bool nj_decoder_defines(const nj_decoder *decoder, const char *path);

/* Packets of merged alerts (broker/objects): records NAMESPACE.SURVEY, whose fields are the canonical columns
 * of the survey's map and these. */
#define NJ_MERGED_NAMESPACE "nightjar.objects"
typedef struct nj_merged_column {
    const char *path;
    nj_type type;
    nj_shape shape;
    const char *unit;
} nj_merged_column;
extern const nj_merged_column nj_merged_columns[]; /* ends with a path NULL */
const nj_merged_column *nj_merged_find(const char *path);

/* The surveys that have a map, each once; their number, at most cap. */
uint32_t nj_decoder_surveys(const nj_decoder *decoder, const char **name, uint32_t cap);

/* The k-th survey that has a map, and what the map says of it; NULL behind the last. */
const nj_survey_facts *nj_decoder_facts(const nj_decoder *decoder, uint32_t k, const char **survey);

/* A column that packets of a survey can give. */
typedef struct nj_offer {
    nj_type type; /* the natural one; decode converts between all number types */
    nj_shape shape;
    const char *unit; /* of the map; NULL for packet.… paths */
    bool mixed;       /* a packet.… path whose values are texts and numbers,
                       * or numbers that no one type holds: type NJ_STR */
} nj_offer;
/* Can this schema give the path: a canonical name of its survey's map, stamp.*, or packet.a.b, packet.a[].b?
 * 0 = yes. in_map: the survey's map names it, although this schema may lack the field. */
int nj_schema_offer(const nj_schema *schema, const char *path, nj_offer *offer, bool *in_map);
/* Makes an offer one that holds the values of both: the wider type;
 * a unit only when they agree ("": they do not). */
void nj_offer_join(nj_offer *offer, const nj_offer *other);
/* Joins what every survey map says of a canonical name, and what the built-in layouts have at a packet.…
 * path. The offer stays as it is (type 0 when it was empty) where no map or schema has the name. */
void nj_decoder_offer(nj_decoder *decoder, const char *path, nj_offer *offer);
/* The k-th column of all survey maps, with what its map says of it; false behind the last. */
typedef struct nj_known {
    const char *survey, *path;
    nj_offer offer;
} nj_known;
bool nj_decoder_known(const nj_decoder *decoder, uint32_t k, nj_known *known);
/* The raw path (packet.…) of the schema that is nearest to a misspelt one; false: none is near. */
bool nj_schema_nearest(const nj_schema *schema, const char *path, char *near, size_t size);
/* A whole datum as JSON, field by field as it stands in the packet; bytes as {"bytes": N, "hex": the few}.
 * -1: the bytes are no such datum, or memory is short. */
int nj_datum_json(const nj_schema *schema, const uint8_t *datum, size_t size, nj_buffer *out);
const char *nj_schema_survey(const nj_schema *schema); /* "ztf" */
/* Whose alerts these are: "ztf" of a survey whose map says that it serves ztf; else the survey. */
const char *nj_schema_serves(const nj_schema *schema);
const nj_survey_facts *nj_schema_facts(const nj_schema *schema); /* what the survey's map says of
                                                                  * time, programmes */
uint64_t nj_schema_serial(const nj_schema *schema);              /* unique in this decoder, forever */
const char *nj_schema_name(const nj_schema *schema);             /* "ztf.alert 3.3", for messages */

/* A reader of one chunk. Used by one thread; hold the chunk as long as it is open. Zero-initialise; the work
 * areas (inflated blocks, stamp buffers) stay for the next chunk until nj_cursor_free. */
typedef struct nj_cursor {
    nj_decoder *decoder;
    nj_chunk *chunk;
    const nj_schema *schema; /* of the open chunk; lives until the next one of another schema is opened */
    const nj_shard *shard;   /* NULL = all records are read; else what is not its own goes to batch->others */
    /* With a shard by alerts: is the decoded row (behind those of the batch) its own? NULL = all are. */
    bool (*mine)(void *opaque, const nj_batch *batch, uint32_t row);
    void *opaque;
    struct nj_cursor_state *state;
} nj_cursor;

/* Recognises the framing and finds the schema. -1: the whole chunk is one dead letter, err says why; or with
 * err->memory and err->later, the chunk is not to blame. */
int nj_cursor_open(nj_cursor *cursor, nj_decoder *decoder, nj_chunk *chunk, nj_error *err);
/* Appends rows to the batch (whose layout is of the schema's survey) until it has max_rows or max_bytes of
 * datum, or the chunk ends; bad records become dead letters of the batch, and after a bad record the rest of
 * its block is one dead letter. Keeps the batch's receipt of the chunk up to date (n_rows, n_dead, last).
 * 1 = there is more in the chunk, 0 = the chunk is done, -1 = out of memory. */
int nj_cursor_read(nj_cursor *cursor, nj_batch *batch, uint32_t max_rows, size_t max_bytes);
void nj_cursor_free(nj_cursor *cursor);

/* nj_schema_offer as a graph asks for it (nj_offers), which has no schema.
 * 1 instead of 0: the offer is mixed, so that a number can be asked for as well. */
int nj_offer_for_graph(const void *schema, const char *path, nj_type *type, nj_shape *shape,
                       const char **unit, bool *in_map);

/* What [decode] and [registry] may say; each ends with {0}. */
extern const nj_param nj_decode_settings[], nj_registry_settings[];

#endif
