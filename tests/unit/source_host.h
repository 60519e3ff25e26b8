/* source_host.h - a host for sources under test: keeps streams and notes, and reads a source to its end. */
#ifndef NJ_TESTS_SOURCE_HOST_H
#define NJ_TESTS_SOURCE_HOST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/source/source.h"

typedef struct test_host {
    nj_source_host host;
    nj_settings settings;
    nj_stream stream[256];
    uint32_t n_streams;
    char notes[8192];
    uint64_t returned, missing;
    char why[256]; /* of the last that are missing */
    char early[1024];
} test_host;

static nj_stream *test_stream(void *opaque, const char *name, const char *topic, int32_t partition)
{
    test_host *t = opaque;
    if (t->n_streams == 256) abort();
    nj_stream *s = &t->stream[t->n_streams];
    *s = (nj_stream){ .id = t->n_streams++,
                      .name = strdup(name),
                      .topic = topic ? strdup(topic) : NULL,
                      .partition = partition };
    return s;
}

static int test_drain(void *opaque, nj_stream *stream, int timeout_ms)
{
    (void)opaque;
    (void)stream;
    (void)timeout_ms;
    return 0;
}

static void test_note(void *opaque, const char *text)
{
    test_host *t = opaque;
    size_t n = strlen(t->notes);
    snprintf(t->notes + n, sizeof t->notes - n, "%s\n", text);
}

static void test_returned(void *opaque, nj_stream *stream, uint64_t n)
{
    (void)stream;
    ((test_host *)opaque)->returned += n;
}

static void test_missing(void *opaque, nj_stream *stream, uint64_t n, const char *why)
{
    test_host *t = opaque;
    (void)stream;
    t->missing += n;
    snprintf(t->why, sizeof t->why, "%s", why);
}

static void test_early(void *opaque, const char *text)
{
    test_host *t = opaque;
    size_t n = strlen(t->early);
    snprintf(t->early + n, sizeof t->early - n, "%s\n", text);
}

static inline test_host *test_host_new(void)
{
    test_host *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->host = (nj_source_host){ t,    test_stream,  test_drain, test_note, test_returned,
                                NULL, test_missing, test_early };
    return t;
}

static inline void test_host_free(test_host *t)
{
    for (uint32_t i = 0; i < t->n_streams; i++) {
        free((char *)t->stream[i].name);
        free((char *)t->stream[i].topic);
    }
    nj_settings_free(&t->settings);
    free(t);
}

static inline nj_source *test_open(test_host *t, const char *spec, nj_error *err)
{
    nj_source_args args = { .spec = spec, .settings = &t->settings, .host = &t->host };
    return nj_source_open(&args, err);
}

/* FNV-1a, to compare bytes without keeping them. */
static inline uint64_t test_hash(const void *bytes, size_t n)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    return h;
}

#endif
