/* framing.h - what the key of a message is. */
#ifndef NJ_AVRO_FRAMING_H
#define NJ_AVRO_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is the key the schema of a record, {"type": "record", ...}? Keys of other kinds are JSON objects, too
 * ({"objectId": ...}, or what Kafka Connect writes, which has "type" and "fields" further in), and each of
 * them differs: they must not fill the schema cache. */
bool nj_is_schema(const uint8_t *bytes, size_t size);

#endif
