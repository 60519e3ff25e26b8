/* ocf.h - writing Avro Object Container Files: the header with our own metadata (avro-c's writer has no way
 * to add any), the primitives of dead letters, and the repair of a file whose writer was killed. */
#ifndef NJ_SINK_OCF_H
#define NJ_SINK_OCF_H

#include "../base/buffer.h"
#include "../base/error.h"
#include "file.h"
#include "sink.h"

enum { NJ_OCF_SYNC = 16 };

/* Avro primitives in binary encoding. */
void nj_ocf_long(nj_buffer *out, int64_t value);
void nj_ocf_bytes(nj_buffer *out, const void *bytes, size_t n);
void nj_ocf_text(nj_buffer *out, const char *text);          /* what is no UTF-8 as \xNN */
void nj_ocf_optional_text(nj_buffer *out, const char *text); /* union {null, string}; NULL = null */

/* A whole header: magic, schema, codec, the metadata (NULL allowed; a key gets the prefix "nightjar." unless
 * it has it), sync. The sync marker is made from schema and metadata: the same rows give the same bytes. */
void nj_ocf_header(nj_buffer *out, const char *schema, const char *codec, const nj_metadata *metadata,
                   uint8_t sync[NJ_OCF_SYNC]);

/* What a file's header says; pointers into the bytes. */
typedef struct nj_ocf {
    const char *schema;
    size_t schema_size;
    const char *codec; /* "null" when the header does not say */
    size_t codec_size;
    uint8_t sync[NJ_OCF_SYNC];
    size_t size; /* bytes of the header, sync marker included */
} nj_ocf;
/* 0, or -1 when this is no OCF header, or not all of one. */
int nj_ocf_parse(nj_ocf *ocf, const uint8_t *bytes, size_t size);
/* The block at bytes[at]: its records, its data; *next is behind its sync marker.
 * -1: no whole block there. */
int nj_ocf_block(const nj_ocf *ocf, const uint8_t *bytes, size_t size, size_t at, int64_t *count,
                 size_t *data, size_t *next);

/* The records of a block as the codec has them, in `block` itself or in `packed`; NULL = out of memory.
 * deflate: of the codec of that name, else NULL. */
struct libdeflate_compressor;
const nj_buffer *nj_ocf_pack(const char *codec, struct libdeflate_compressor *deflate, const nj_buffer *block,
                             nj_buffer *packed);

/* For --append: the file must be an OCF of exactly this schema and codec; what stands behind its last whole
 * block, or behind `bytes` (-1 = not known), is cut off, and the file stands at its end. sync gets its
 * marker. */
int nj_ocf_continue(nj_outfile *file, const char *schema, const char *codec, int64_t bytes,
                    uint8_t sync[NJ_OCF_SYNC], nj_error *err);

#endif
