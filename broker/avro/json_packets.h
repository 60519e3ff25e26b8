/* json_packets.h - packets of JSON as Avro datums with one schema: what decode reads from any stream. */
#ifndef NJ_AVRO_JSON_PACKETS_H
#define NJ_AVRO_JSON_PACKETS_H

#include "decoder.h"

typedef struct nj_json_packet {
    const uint8_t *text; /* in the chunk */
    size_t text_size;
    size_t from, size; /* its datum, in nj_json_datums.out */
    char why[200];     /* not empty: it is bad */
} nj_json_packet;

/* Of one chunk; the work areas stay for the next. Zero-initialise. */
typedef struct nj_json_datums {
    nj_json_packet *item;
    uint32_t n, cap;
    nj_buffer out;
} nj_json_datums;

/* Reads all packets of the chunk. *schema is the caller's to drop. -1 with err: none of them can be read. */
int nj_json_datums_read(nj_decoder *decoder, const nj_chunk *chunk, nj_json_datums *datums,
                        const nj_schema **schema, nj_error *err);
void nj_json_datums_free(nj_json_datums *datums);

/* Of the decoder: what it knows of JSON packets. NULL: out of memory. */
struct nj_json_kinds *nj_json_kinds_new(void);
void nj_json_kinds_free(struct nj_json_kinds *kinds);

#endif
