/* skyportal.h - an alert as the record that SkyPortal's Kafka plug-in reads, in an Avro file of its own. */
#ifndef NJ_SINK_SKYPORTAL_H
#define NJ_SINK_SKYPORTAL_H

#include "../base/buffer.h"
#include "ocf.h"

/* Columns of packets that the record needs, ends with NULL. */
extern const char *const nj_skyportal_wants[];

enum { NJ_SKYPORTAL_COLUMNS = 24 };

typedef struct nj_skyportal {
    const nj_layout *layout; /* of `at` */
    uint32_t at[NJ_SKYPORTAL_COLUMNS];
    nj_buffer header, datum, points, text;
    uint8_t sync[NJ_OCF_SYNC];
} nj_skyportal; /* zero-initialised */

/* Appends the file. NULL, or why there can be none for this row. Short of memory: out->failed. */
const char *nj_skyportal_write(nj_skyportal *s, const nj_rows *rows, uint32_t row, nj_buffer *out);
void nj_skyportal_free(nj_skyportal *s);

#endif
