/* fields.h - every field of a packet, whatever its survey: the writer schema's tree with its words and units,
 * and the columns by which decode reads it. */
#ifndef NJ_VIEW_FIELDS_H
#define NJ_VIEW_FIELDS_H

#include "../base/arena.h"
#include "../base/buffer.h"
#include "../batch/batch.h"
#include "../avro/decode.h"

typedef enum {
    NJ_FIELD_VALUE,
    NJ_FIELD_GROUP,
    NJ_FIELD_LIST,
    NJ_FIELD_OTHER
} nj_packet_field_kind; /* OTHER: bytes and what decode cannot read */

typedef struct nj_packet_field {
    nj_packet_field_kind kind;
    const char *name, *doc; /* doc: the schema's, "" = none */
    const char *unit;       /* from the [unit] at the end of doc; "" = none */
    uint32_t depth;         /* 0 = a field of the packet itself */
    uint32_t end;           /* index behind its last descendant */
    int32_t column;         /* of the layout; -1 for groups, lists and others */
} nj_packet_field;

/* The columns of the light curve, in the order of nj_view_series; -1 = the survey's map does not give it. */
enum {
    NJ_VIEW_JD,
    NJ_VIEW_MAG,
    NJ_VIEW_MAG_ERR,
    NJ_VIEW_LIMIT,
    NJ_VIEW_BAND,
    NJ_VIEW_POSITIVE,
    NJ_VIEW_FLUX,
    NJ_VIEW_FLUX_ERR,
    NJ_VIEW_SERIES
};

typedef struct nj_packet_view {
    nj_arena arena;
    const nj_schema *schema;
    nj_packet_field *field;
    uint32_t n_fields;
    nj_column_def *column;
    int32_t series[NJ_VIEW_SERIES];
    int32_t object, band; /* columns of the canonical names, or -1 */
    nj_layout layout;     /* its columns and stamps; must outlive the decoder */
} nj_packet_view;

/* Fills a zeroed view. json: the writer schema, size bytes of it. -1 with err. */
int nj_packet_view_build(nj_packet_view *view, const nj_schema *schema, const void *json, size_t size,
                         nj_error *err);
void nj_packet_view_free(nj_packet_view *view);

/* One value as text for a terminal: numbers as JSON has them, and inf; strings without quotes.
 * Returns false for "no answer". */
bool nj_packet_value(const nj_packet_view *view, const nj_batch *batch, int32_t column, uint32_t element,
                     nj_buffer *out);
/* Elements [*from, *to) of a list's columns in that row; 0, 0 when it has none. */
void nj_packet_items(const nj_packet_view *view, const nj_batch *batch, uint32_t list, uint32_t row,
                     uint32_t *from, uint32_t *to);

#endif
