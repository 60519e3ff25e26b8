/* kafka_value.h - what a message of a row is: its columns, the alert itself, or a marshal's record. */
#ifndef NJ_SINK_KAFKA_VALUE_H
#define NJ_SINK_KAFKA_VALUE_H

#include "json.h"
#include "skyportal.h"
#include "wording.h"

typedef enum { NJ_KAFKA_ROW, NJ_KAFKA_PACKET, NJ_KAFKA_SKYPORTAL } nj_kafka_form;

typedef struct nj_kafka_values {
    nj_kafka_form form;
    nj_json_keys keys;
    nj_wording wording; /* of a row; json NULL = its columns */
    nj_skyportal skyportal;
    char *schema; /* of the last packet, and its header */
    size_t schema_size;
    nj_buffer header, text;
    uint8_t sync[NJ_OCF_SYNC];
} nj_kafka_values; /* zero-initialised = rows */

/* Appends the message. NULL, or why there can be none for this row. Short of memory: out->failed. */
const char *nj_kafka_value(nj_kafka_values *v, const nj_rows *rows, uint32_t row, nj_buffer *out);
void nj_kafka_values_free(nj_kafka_values *v);

#endif
