/* decode.c - libFuzzer entry for decode. The first byte says what the rest is: 0 a whole packet, 1 a datum of
 * the schema below, 2 a stamp, 3 schema JSON, a zero byte, a datum, 4 packets of JSON, 5 a datum behind an id
 * of LSST's schemas, as a registry's messages have it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/buffer.h"
#include "broker/avro/decode.h"
#include "broker/image/opener.h"
#include "broker/schema/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema[] = "{\"type\":\"record\",\"name\":\"ztf.alert\",\"fields\":[{\"name\":\"objectId\","
                             "\"type\":\"string\"},{\"name\":\"candid\","
                             "\"type\":\"long\"},"
                             "{\"name\":\"candidate\",\"type\":{\"type\":\"record\",\"name\":\"c\","
                             "\"fields\":[{\"name\":\"jd\",\"type\":\"double\"},"
                             "{\"name\":\"fid\",\"type\":\"int\"},{\"name\":\"magpsf\",\"type\":\"float\"},{"
                             "\"name\":\"isdiffpos\",\"type\":[\"null\","
                             "\"string\",\"boolean\"]},"
                             "{\"name\":\"rb\",\"type\":[\"float\",\"null\"]}]}},{\"name\":\"prv_"
                             "candidates\",\"type\":[\"null\",{\"type\":\"array\","
                             "\"items\":\"c\"}]},"
                             "{\"name\":\"self\",\"type\":[\"null\",\"ztf.alert\"]},{\"name\":\"m\",\"type\":"
                             "{\"type\":\"map\",\"values\":{\"type\":"
                             "\"array\",\"items\":\"c\"}}},"
                             "{\"name\":\"n\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"float\"]}},"
                             "{\"name\":\"cutoutScience\",\"type\":[\"null\",{\"type\":\"record\",\"name\":"
                             "\"s\",\"fields\":[{\"name\":\"stampData\","
                             "\"type\":\"bytes\"}]}]}]}";

#define COLUMN(path, type, shape)                                                                            \
    {                                                                                                        \
        path, type, shape, NULL, 1                                                                           \
    }
static const nj_column_def columns[] = { COLUMN("candid", NJ_I64, NJ_SCALAR),
                                         COLUMN("object", NJ_STR, NJ_SCALAR),
                                         COLUMN("jd", NJ_F64, NJ_SCALAR),
                                         COLUMN("band", NJ_STR, NJ_SCALAR),
                                         COLUMN("positive", NJ_U8, NJ_SCALAR),
                                         COLUMN("rb", NJ_I32, NJ_SCALAR),
                                         COLUMN("lc.jd", NJ_F64, NJ_SERIES),
                                         COLUMN("lc.mag", NJ_F32, NJ_SERIES),
                                         COLUMN("lc.kind", NJ_I32, NJ_SERIES),
                                         COLUMN("fp.flux", NJ_F32, NJ_SERIES),
                                         COLUMN("packet.candidate.isdiffpos", NJ_STR, NJ_SCALAR),
                                         COLUMN("packet.prv_candidates[].isdiffpos", NJ_STR, NJ_SERIES),
                                         COLUMN("packet.m.k[].jd", NJ_F64, NJ_SERIES),
                                         COLUMN("packet.n.k", NJ_F64, NJ_SCALAR),
                                         COLUMN("packet.n.low", NJ_I32, NJ_SCALAR) };
enum { N_COLUMNS = sizeof columns / sizeof *columns };
static const nj_layout layout = { "ztf", N_COLUMNS, N_COLUMNS, columns, 7 };

static nj_settings settings;
static nj_decoder *decoder;
static nj_opener *opener;
static nj_batch *batch;
static nj_cursor cursor;

/* Anew every few inputs, before the cache of schemas is full. */
static void begin(void)
{
    static int inputs;
    if (decoder && ++inputs % 300) return;
    nj_error err;
    nj_cursor_free(&cursor);
    nj_opener_free(opener);
    nj_decoder_free(decoder);
    if (!batch) batch = nj_batch_new();
    decoder = nj_decoder_new(&settings, &err);
    opener = decoder ? nj_opener_new(decoder) : NULL;
    if (!opener || !batch) abort();
}

static void open_stamp(const uint8_t *data, size_t size)
{
    static const char *const hdu[] = { NULL, "0", "1", "PSFIMAGE", "300" };
    for (size_t k = 0; k < sizeof hdu / sizeof *hdu; k++) {
        nj_stamp stamp = { .bytes = data, .size = (uint32_t)size, .state = NJ_STAMP_PACKED, .hdu = hdu[k] };
        nj_stamp_open(opener, &stamp, &batch->arena, NULL);
        if (stamp.state == NJ_STAMP_PACKED) abort();
    }
}

static void read_chunk(nj_chunk *chunk)
{
    nj_error err;
    if (nj_cursor_open(&cursor, decoder, chunk, &err)) return;
    for (int more = 1; more > 0;) {
        if (nj_batch_begin(batch, &layout, 5)) abort();
        more = nj_cursor_read(&cursor, batch, 5, SIZE_MAX);
        if (more < 0) abort();
        if (more && !batch->n && !batch->n_dead) abort(); /* it must get on */
        for (uint32_t row = 0; row < batch->n; row++)
            for (int s = 0; s < NJ_STAMPS; s++)
                nj_stamp_open(opener, &batch->stamp[s][row], &batch->arena, NULL);
        for (uint32_t c = 0; c < N_COLUMNS; c++) { /* every value is readable */
            uint32_t n = batch->col[c].off ? batch->col[c].off[batch->n] : batch->n;
            const char *bytes = batch->col[c].data;
            size_t sum = 0;
            for (size_t i = 0; i < n * nj_type_size(columns[c].type); i++) sum += (unsigned char)bytes[i];
            for (uint32_t i = 0; columns[c].type == NJ_STR && i < n; i++)
                if (((char *const *)batch->col[c].data)[i])
                    sum += strlen(((char *const *)batch->col[c].data)[i]);
            __asm__ volatile("" : : "r"(sum));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nj_stream stream = { .name = "fuzz", .partition = -1 };
    if (!size) return 0;
    begin();
    const uint8_t what = data[0] % 6;
    uint8_t *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    nj_chunk *chunk = nj_chunk_new(&stream, copy, size - 1);
    if (what == 1) {
        chunk->framing = NJ_FRAME_KEYED;
        chunk->key = (uint8_t *)strdup(schema);
        chunk->key_size = sizeof schema - 1;
    } else if (what == 3) {
        const uint8_t *end = memchr(copy, 0, size - 1);
        chunk->key_size = end ? (size_t)(end - copy) : 0;
        chunk->key = malloc(chunk->key_size + 1);
        memcpy(chunk->key, copy, chunk->key_size);
        chunk->framing = NJ_FRAME_KEYED;
        if (end) memmove(copy, end + 1, chunk->size -= chunk->key_size + 1);
    }
    if (what == 4) chunk->framing = NJ_FRAME_JSON;
    if (what == 5 && size > 5) {
        const uint32_t id = nj_schema_newest_builtin() - copy[0] % 4;
        const uint8_t head[5] = { 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8),
                                  (uint8_t)id };
        memcpy(copy, head, sizeof head); /* in place of the first bytes */
        chunk->framing = NJ_FRAME_CONFLUENT;
    }
    if (what == 2)
        open_stamp(copy, size - 1);
    else
        read_chunk(chunk);
    nj_batch_end(batch);
    nj_chunk_drop(chunk);
    return 0;
}
