/* kafka_value.c - a stream of alerts for the survey's own tools is the packets themselves: each message an
 * Avro file with its schema, so that a reader needs no registry. */
#include "kafka_value.h"

#include <stdlib.h>
#include <string.h>

/* Is the chunk an Avro file of this one record? Then it is sent as it came. */
static bool is_alone(const nj_row *row)
{
    const nj_chunk *c = row->chunk;
    nj_ocf ocf;
    int64_t count;
    size_t data, next;
    if (row->record || c->size < 4 || memcmp(c->bytes, "Obj\1", 4) != 0) return false;
    return !nj_ocf_parse(&ocf, c->bytes, c->size) &&
           !nj_ocf_block(&ocf, c->bytes, c->size, ocf.size, &count, &data, &next) && count == 1 &&
           next == c->size;
}

static int know_schema(nj_kafka_values *v, const nj_row *row)
{
    if (v->schema && v->schema_size == row->json_size && !memcmp(v->schema, row->json, row->json_size))
        return 0;
    free(v->schema);
    v->schema = strndup(row->json, row->json_size);
    if (!v->schema) return -1;
    v->schema_size = row->json_size;
    v->header.n = 0;
    nj_ocf_header(&v->header, v->schema, "null", NULL, v->sync);
    return v->header.failed ? -1 : 0;
}

static const char *packet(nj_kafka_values *v, const nj_rows *rows, uint32_t number, nj_buffer *out)
{
    if (!rows->batch) return "its packet is not here";
    const nj_row *row = &rows->batch->row[number];
    if (!row->json) { /* JSON is its own schema */
        nj_buffer_add(out, row->datum, row->size);
    } else if (is_alone(row)) {
        nj_buffer_add(out, row->chunk->bytes, row->chunk->size);
    } else if (know_schema(v, row)) {
        out->failed = 1;
    } else {
        nj_buffer_add(out, v->header.data, v->header.n);
        nj_ocf_long(out, 1);
        nj_ocf_bytes(out, row->datum, row->size);
        nj_buffer_add(out, v->sync, NJ_OCF_SYNC);
    }
    return NULL;
}

const char *nj_kafka_value(nj_kafka_values *v, const nj_rows *rows, uint32_t row, nj_buffer *out)
{
    if (v->form == NJ_KAFKA_PACKET) return packet(v, rows, row, out);
    if (v->form == NJ_KAFKA_SKYPORTAL) return nj_skyportal_write(&v->skyportal, rows, row, out);
    if (v->wording.json) {
        json_t *alert = nj_wording_alert(&v->keys, rows, row, &v->text);
        if (alert)
            nj_wording_write(&v->wording, &alert, 1, out);
        else
            out->failed = 1;
        json_decref(alert);
        return NULL;
    }
    nj_json_row(out, &v->keys, rows, row);
    /* {}: nothing to read, and to a compacted topic no bytes at all mean that the key is gone */
    return out->n <= 2 ? "its row for Kafka is empty" : NULL;
}

void nj_kafka_values_free(nj_kafka_values *v)
{
    nj_json_keys_free(&v->keys);
    nj_wording_free(&v->wording);
    nj_buffer_free(&v->text);
    nj_skyportal_free(&v->skyportal);
    nj_buffer_free(&v->header);
    free(v->schema);
}
