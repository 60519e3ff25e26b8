/* ocf.c - avro-c cannot write our metadata or repair a file whose writer was killed, so container files are
 * written here. */
#include "ocf.h"

#include <errno.h>
#include <libdeflate.h>
#include <snappy-c.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/utf8.h"

void nj_ocf_long(nj_buffer *out, int64_t value)
{
    uint8_t byte[10];
    size_t n = 0;
    uint64_t u = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    for (; u > 127; u >>= 7) byte[n++] = (uint8_t)(u | 128);
    byte[n++] = (uint8_t)u;
    nj_buffer_add(out, byte, n);
}

void nj_ocf_bytes(nj_buffer *out, const void *bytes, size_t n)
{
    nj_ocf_long(out, (int64_t)n);
    nj_buffer_add(out, bytes, n);
}

void nj_ocf_text(nj_buffer *out, const char *text)
{
    if (nj_utf8_is(text)) {
        nj_ocf_bytes(out, text, strlen(text));
        return;
    }
    nj_buffer readable = { 0 }; /* readers of Avro stop at a string that is no UTF-8 */
    nj_utf8_escape(&readable, text);
    out->failed |= readable.failed;
    nj_ocf_bytes(out, readable.data, readable.n);
    nj_buffer_free(&readable);
}

void nj_ocf_optional_text(nj_buffer *out, const char *text)
{
    nj_ocf_long(out, text ? 1 : 0);
    if (text) nj_ocf_text(out, text);
}

/* FNV-1a, then the finaliser of splitmix64: any change of one byte changes about half of the bits. */
static void make_sync(const char *bytes, size_t n, uint8_t sync[NJ_OCF_SYNC])
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    for (int half = 0; half < 2; half++) {
        uint64_t z = h += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        memcpy(sync + 8 * half, &z, 8);
    }
}

void nj_ocf_header(nj_buffer *out, const char *schema, const char *codec, const nj_metadata *metadata,
                   uint8_t sync[NJ_OCF_SYNC])
{
    int64_t n = 2;
    size_t start = out->n;
    for (const nj_metadata *m = metadata; m && m->key; m++) n++;
    nj_buffer_add(out, "Obj\1", 4);
    nj_ocf_long(out, n);
    nj_ocf_text(out, "avro.codec");
    nj_ocf_text(out, codec);
    nj_ocf_text(out, "avro.schema");
    nj_ocf_text(out, schema);
    for (const nj_metadata *m = metadata; m && m->key; m++) {
        char key[256];
        snprintf(key, sizeof key, "%s%s", strncmp(m->key, "nightjar.", 9) ? "nightjar." : "", m->key);
        nj_ocf_text(out, key);
        nj_ocf_text(out, m->value ? m->value : "");
    }
    nj_ocf_long(out, 0);
    if (out->failed) return;
    make_sync(out->data + start, out->n - start, sync);
    nj_buffer_add(out, sync, NJ_OCF_SYNC);
}

const nj_buffer *nj_ocf_pack(const char *codec, struct libdeflate_compressor *deflate, const nj_buffer *block,
                             nj_buffer *packed)
{
    size_t n;
    packed->n = 0;
    if (deflate) {
        n = libdeflate_deflate_compress_bound(deflate, block->n);
        if (!nj_buffer_room(packed, n)) return NULL;
        packed->n = libdeflate_deflate_compress(deflate, block->data, block->n, packed->data, n);
        return packed->n ? packed : NULL;
    }
    if (!strcmp(codec, "snappy")) { /* followed by the CRC-32 of the uncompressed bytes, big-endian */
        n = snappy_max_compressed_length(block->n);
        if (!nj_buffer_room(packed, n + 4) ||
            snappy_compress(block->data, block->n, packed->data, &n) != SNAPPY_OK)
            return NULL;
        uint32_t crc = libdeflate_crc32(0, block->data, block->n);
        for (int shift = 24; shift >= 0; shift -= 8) packed->data[n++] = (char)(crc >> shift);
        packed->n = n;
        return packed;
    }
    return block;
}

/* A zigzag long at bytes[*at]. */
static int read_long(const uint8_t *bytes, size_t size, size_t *at, int64_t *value)
{
    uint64_t u = 0;
    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t b = bytes[(*at)++];
        u |= (uint64_t)(b & 127) << shift;
        if (b < 128) {
            *value = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
            return 0;
        }
    }
    return -1;
}

static int read_bytes(const uint8_t *bytes, size_t size, size_t *at, const char **text, size_t *n)
{
    int64_t length;
    if (read_long(bytes, size, at, &length) || length < 0 || (uint64_t)length > size - *at) return -1;
    *text = (const char *)bytes + *at;
    *n = (size_t)length;
    *at += *n;
    return 0;
}

int nj_ocf_parse(nj_ocf *ocf, const uint8_t *bytes, size_t size)
{
    size_t at = 4;
    *ocf = (nj_ocf){ 0 };
    if (size < 4 || memcmp(bytes, "Obj\1", 4)) return -1;
    for (;;) {
        int64_t n, block_size;
        if (read_long(bytes, size, &at, &n)) return -1;
        if (n == 0) break;
        if (n < 0) {
            if (n == INT64_MIN || read_long(bytes, size, &at, &block_size)) return -1;
            n = -n;
        }
        for (; n > 0; n--) {
            const char *key, *value;
            size_t key_size, value_size;
            if (read_bytes(bytes, size, &at, &key, &key_size) ||
                read_bytes(bytes, size, &at, &value, &value_size))
                return -1;
            if (key_size == 11 && !memcmp(key, "avro.schema", 11))
                ocf->schema = value, ocf->schema_size = value_size;
            if (key_size == 10 && !memcmp(key, "avro.codec", 10))
                ocf->codec = value, ocf->codec_size = value_size;
        }
    }
    if (!ocf->codec) ocf->codec = "null", ocf->codec_size = 4;
    if (!ocf->schema || size - at < NJ_OCF_SYNC) return -1;
    memcpy(ocf->sync, bytes + at, NJ_OCF_SYNC);
    ocf->size = at + NJ_OCF_SYNC;
    return 0;
}

int nj_ocf_block(const nj_ocf *ocf, const uint8_t *bytes, size_t size, size_t at, int64_t *count,
                 size_t *data, size_t *next)
{
    int64_t length;
    if (read_long(bytes, size, &at, count) || read_long(bytes, size, &at, &length) || *count < 0 ||
        length < 0)
        return -1;
    if ((uint64_t)length > size - at || size - at - (size_t)length < NJ_OCF_SYNC) return -1;
    if (memcmp(bytes + at + length, ocf->sync, NJ_OCF_SYNC)) return -1;
    *data = at;
    *next = at + (size_t)length + NJ_OCF_SYNC;
    return 0;
}

int nj_ocf_continue(nj_outfile *file, const char *schema, const char *codec, int64_t bytes_there,
                    uint8_t sync[NJ_OCF_SYNC], nj_error *err)
{
    nj_ocf ocf;
    int rc = -1;
    size_t size = (size_t)file->size, end, data, next;
    int64_t count;
    const uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file->fd, 0);
    if (bytes == MAP_FAILED) return nj_fail(err, "%s: cannot be read: %s", file->path, strerror(errno));
    if (nj_ocf_parse(&ocf, bytes, size)) {
        nj_fail(err, "%s: is not an Avro file that --append could continue (its header is not whole)",
                file->path);
    } else if (ocf.schema_size != strlen(schema) || memcmp(ocf.schema, schema, ocf.schema_size)) {
        nj_fail(
            err,
            "%s: holds other columns than this run writes (its Avro schema differs); --append needs the same",
            file->path);
    } else if (ocf.codec_size != strlen(codec) || memcmp(ocf.codec, codec, ocf.codec_size)) {
        nj_fail(err, "%s: its codec is %.*s, not %s; --append needs the same", file->path,
                (int)ocf.codec_size, ocf.codec, codec);
    } else {
        end = bytes_there > 0 ? (size_t)bytes_there : ocf.size;
        while (bytes_there < 0 && nj_ocf_block(&ocf, bytes, size, end, &count, &data, &next) == 0) end = next;
        memcpy(sync, ocf.sync, NJ_OCF_SYNC);
        rc = end == size ? 0 : nj_outfile_cut(file, (off_t)end, err); /* the torn last block goes */
    }
    munmap((void *)bytes, size);
    return rc;
}
