/* json.h - output rows as JSON objects: ndjson lines and Kafka values. */
#ifndef NJ_SINK_JSON_H
#define NJ_SINK_JSON_H

#include <jansson.h>

#include "sink.h"
#include "../base/buffer.h"

/* A reason as it is written. */
typedef struct nj_json_word {
    uint8_t n;
    char text[15]; /* with quotes */
} nj_json_word;

/* The keys, quoted and escaped once: `,"hostless.ks_template":`. */
typedef struct nj_json_keys {
    char *text;      /* owned: all keys behind each other */
    uint32_t *start; /* [n_fields + 1] into text */
    uint32_t n_fields;
    const nj_field *field;
    const char *what;     /* "ndjson", "kafka": for messages and the section of settings */
    bool no_infinity;     /* an infinity is null */
    uint64_t *n_infinite; /* [n_fields] */
    nj_json_word reason[NJ_REASONS];
} nj_json_keys;

/* How infinities are written: "number" (1e999) or "null". Before nj_json_keys_new. */
#define NJ_JSON_INFINITY_DOC "infinities: number (1e999, which most readers take for infinity) or null"
int nj_json_infinity(nj_json_keys *keys, const char *what, const char *word, nj_error *err);
int nj_json_keys_new(nj_json_keys *keys, const nj_field *field, uint32_t n_fields, nj_error *err);
void nj_json_keys_free(nj_json_keys *keys);

/* Adds row `row` (an index into the values) as one JSON object without a newline. "No answer" and NaN is
 * null, an infinity as the keys say and reported once per column, a series or a width above 1 is an array.
 * Memory shortage shows in out->failed. */
void nj_json_row(nj_buffer *out, nj_json_keys *keys, const nj_rows *rows, uint32_t row);
/* Adds values [from, to) of a column as a JSON array. Keys NULL: an infinity is 1e999, without a word. */
void nj_json_array(nj_buffer *out, nj_json_keys *keys, const nj_field *field, const void *data, size_t from,
                   size_t to);

/* Reads a row that nj_json_row wrote: jansson refuses 1e999, so that an infinity becomes the text "inf" or
 * "-inf". Changes the line. NULL: it is no JSON. */
json_t *nj_json_read_row(char *line, size_t n);

#endif
