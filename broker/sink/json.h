/* json.h - output rows as JSON objects: ndjson lines and Kafka values. */
#ifndef NJ_SINK_JSON_H
#define NJ_SINK_JSON_H

#include "sink.h"
#include "../base/buffer.h"

/* The keys, quoted and escaped once: `,"hostless.ks_template":`. */
typedef struct nj_json_keys {
    char *text;      /* owned: all keys behind each other */
    uint32_t *start; /* [n_fields + 1] into text */
    uint32_t n_fields;
} nj_json_keys;

int nj_json_keys_new(nj_json_keys *keys, const nj_field *field, uint32_t n_fields, nj_error *err);
void nj_json_keys_free(nj_json_keys *keys);

/* Adds row `row` (an index into the values) as one JSON object without a newline. "No answer" and what is not finite is null,
 * a series or a width above 1 is an array. Memory shortage shows in out->failed. */
void nj_json_row(nj_buffer *out, const nj_json_keys *keys, const nj_rows *rows, uint32_t row);
/* Adds values [from, to) of a column as a JSON array. */
void nj_json_array(nj_buffer *out, const nj_field *field, const void *data, size_t from, size_t to);

#endif
