/* wording.h - what a receiver of JSON wants to read (webhooks, Kafka): a JSON document with places for the
 * values of alerts. */
#ifndef NJ_SINK_WORDING_H
#define NJ_SINK_WORDING_H

#include <jansson.h>

#include "../base/buffer.h"
#include "../base/error.h"
#include "../batch/rows.h"
#include "json.h"

typedef struct nj_wording {
    json_t *json;
    char *name;        /* of the template, for messages */
    const char *there; /* "$there": an answer with this text means that the server has it already; or NULL */
    bool each;         /* it has a place for several alerts; else each is a request of its own */
} nj_wording;

/* A template by its name (slack, mattermost, tom, rows) or path. -1 with err, which names the line. */
int nj_wording_read(nj_wording *words, const char *name, nj_error *err);
/* Does each place name a column of these? -1 with err, which has the nearest one. */
int nj_wording_check(const nj_wording *words, const nj_field *field, uint32_t n_fields, nj_error *err);
/* Appends the document of n alerts (objects of columns; "#topics" is a text). Short of memory:
 * out->failed. */
void nj_wording_write(const nj_wording *words, json_t *const *alert, uint32_t n, nj_buffer *out);
/* Row `row` as such an object, with "#topics". NULL: out of memory. text: room for its JSON. */
json_t *nj_wording_alert(nj_json_keys *keys, const nj_rows *rows, uint32_t row, nj_buffer *text);
void nj_wording_free(nj_wording *words);

#endif
