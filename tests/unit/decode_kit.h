/* What the tests of decode share: files, chunks, decoders, container files made in memory. */
#ifndef TESTS_UNIT_DECODE_KIT_H
#define TESTS_UNIT_DECODE_KIT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/buffer.h"
#include "broker/base/file.h"
#include "broker/avro/decode.h"

static inline const char *kit_shared(void)
{
    const char *path = getenv("NIGHTJAR_SHARED");
    return path && *path ? path : NULL;
}

/* A file of $NIGHTJAR_SHARED/real, or NULL. Free it. */
static inline uint8_t *kit_file(const char *name, size_t *size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", *name == '/' ? "" : kit_shared(), *name == '/' ? "" : "/real/",
             name);
    return (uint8_t *)nj_file_read(path, SIZE_MAX, size);
}

/* Names of a folder of $NIGHTJAR_SHARED/real that end in `suffix`, sorted, with the folder in front. */
static inline char **kit_folder(const char *folder, const char *suffix, int *n)
{
    char path[4096];
    struct dirent **entry;
    snprintf(path, sizeof path, "%s/real/%s", kit_shared(), folder);
    int all = scandir(path, &entry, NULL, alphasort);
    char **names = calloc((size_t)(all > 0 ? all : 0) + 1, sizeof *names);
    *n = 0;
    for (int i = 0; i < all; i++) {
        size_t length = strlen(entry[i]->d_name), tail = strlen(suffix);
        if (length > tail && !strcmp(entry[i]->d_name + length - tail, suffix)) {
            snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
            names[(*n)++] = strdup(path);
        }
        free(entry[i]);
    }
    if (all >= 0) free(entry);
    return names;
}

static inline nj_decoder *kit_decoder(nj_settings *settings, const char *define)
{
    nj_error err = { "" };
    if (define && nj_settings_define(settings, define, &err)) fail_msg("%s", err.text);
    nj_decoder *d = nj_decoder_new(settings, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

/* A chunk of a copy of the bytes, so that a read past their end is seen by ASan. */
static inline nj_chunk *kit_chunk(const void *bytes, size_t size)
{
    static nj_stream stream = { .name = "test", .partition = -1 };
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    return nj_chunk_new(&stream, copy, size);
}

/* Avro's numbers and lengths. */
static inline void kit_long(nj_buffer *b, int64_t v)
{
    uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
    do {
        uint8_t byte = (uint8_t)((z & 0x7f) | (z > 0x7f ? 0x80 : 0));
        nj_buffer_add(b, &byte, 1);
        z >>= 7;
    } while (z);
}
static inline void kit_bytes(nj_buffer *b, const void *bytes, size_t n)
{
    kit_long(b, (int64_t)n);
    nj_buffer_add(b, bytes, n);
}
static inline void kit_text(nj_buffer *b, const char *text)
{
    kit_bytes(b, text, strlen(text));
}
static inline void kit_f64(nj_buffer *b, double v)
{
    nj_buffer_add(b, &v, 8);
}
static inline void kit_f32(nj_buffer *b, float v)
{
    nj_buffer_add(b, &v, 4);
}

static inline void kit_header(nj_buffer *b, const char *schema, const char *codec)
{
    nj_buffer_add(b, "Obj\1", 4);
    kit_long(b, 2);
    kit_text(b, "avro.codec");
    kit_text(b, codec);
    kit_text(b, "avro.schema");
    kit_text(b, schema);
    kit_long(b, 0);
    nj_buffer_add(b, "0123456789abcdef", 16);
}
static inline void kit_block(nj_buffer *b, int64_t records, const void *bytes, size_t n)
{
    kit_long(b, records);
    kit_bytes(b, bytes, n);
    nj_buffer_add(b, "0123456789abcdef", 16);
}

/* Element [row] of a scalar column, [off[row] + i] of a series. */
#define KIT_AT(batch, column, type, i) (((const type *)(batch)->col[column].data)[i])
#define KIT_FROM(batch, column, row) ((batch)->col[column].off[row])

#endif
