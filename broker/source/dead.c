/* dead.c - a dead-letter file can be read as a source: each letter's packet is delivered as its original
 * chunk. The layout is our own and fixed (broker/sink/README.md): an uncompressed OCF whose records are
 * origin, record, reason, module, field?, framing, topic?, schema?, packet; so a bounded walk over it needs
 * no Avro library. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/unpack.h"
#include "classes.h"

typedef struct dead_source {
    nj_source base;
    char *spec;
    uint8_t *map; /* the file */
    size_t map_size;
    nj_unpacked plain; /* of a packed one, what was in it */
    uint8_t *bytes;    /* the letters: in one of these */
    size_t size, at;
    size_t block_end; /* 0 = between blocks */
    int64_t records;  /* left in the block */
    int64_t n_letters;
    const nj_shard *shard;
    int64_t n_handed;
} dead_source;

static int begins_as_letters(const uint8_t *bytes, size_t n)
{
    return n > 4 && !memcmp(bytes, "Obj\1", 4) &&
           memmem(bytes, n, "\"name\":\"dead_letter\",\"namespace\":\"nightjar\"", 42);
}

static long fill(void *fd, void *into, size_t room, nj_error *err)
{
    (void)err;
    return (long)read(*(int *)fd, into, room);
}

/* Packed or not: its first bytes decide. */
static int match(const char *spec)
{
    uint8_t head[4096];
    struct stat st;
    if (stat(spec, &st) || !S_ISREG(st.st_mode))
        return 0; /* opening a pipe and closing it would
                   * end its writer */
    int fd = open(spec, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, head, sizeof head);
    int is_dead = n > 0 && begins_as_letters(head, (size_t)n);
    if (n > 0 && nj_packing_of(head, (size_t)n) && lseek(fd, 0, SEEK_SET) == 0) {
        nj_unpacker *u = nj_unpacker_new(fill, &fd, NULL, 0, NJ_ZSTD_WINDOW);
        const uint8_t *piece;
        long got = u ? nj_unpacker_next(u, &piece, NULL) : 0;
        is_dead = got > 0 && begins_as_letters(piece, (size_t)got);
        nj_unpacker_free(u);
    }
    close(fd);
    return is_dead;
}

static int read_long(const dead_source *s, size_t *at, size_t end, int64_t *value)
{
    uint64_t z = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = s->bytes[(*at)++];
        z |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return *value = (int64_t)(z >> 1) ^ -(int64_t)(z & 1), 0;
    }
    return -1;
}

static int read_bytes(const dead_source *s, size_t *at, size_t end, const uint8_t **bytes, size_t *n)
{
    int64_t length;
    if (read_long(s, at, end, &length) || length < 0 || (uint64_t)length > end - *at) return -1;
    *bytes = s->bytes + *at;
    *n = (size_t)length;
    *at += *n;
    return 0;
}

/* ["null","string"]: *bytes NULL for null. */
static int read_optional(const dead_source *s, size_t *at, size_t end, const uint8_t **bytes, size_t *n)
{
    int64_t branch;
    *bytes = NULL;
    *n = 0;
    if (read_long(s, at, end, &branch) || branch < 0 || branch > 1) return -1;
    return branch ? read_bytes(s, at, end, bytes, n) : 0;
}

/* Skips the OCF header: metadata map and sync marker. */
static int skip_header(dead_source *s)
{
    s->at = 4;
    for (;;) {
        int64_t n;
        if (read_long(s, &s->at, s->size, &n)) return -1;
        if (n == 0) break;
        const uint8_t *text;
        size_t length;
        int64_t size;
        if (n < 0 && read_long(s, &s->at, s->size, &size)) return -1;
        for (int64_t i = 0; i < (n < 0 ? -n : n); i++)
            if (read_bytes(s, &s->at, s->size, &text, &length) ||
                read_bytes(s, &s->at, s->size, &text, &length))
                return -1;
    }
    if (s->size - s->at < 16) return -1;
    s->at += 16;
    return 0;
}

static void close_dead(nj_source *source)
{
    dead_source *s = (dead_source *)source;
    if (s->map) munmap(s->map, s->map_size);
    free(s->plain.buffer);
    free(s->spec);
    free(s);
}

static nj_source *open_dead(const nj_source_args *args, nj_error *err)
{
    dead_source *s = calloc(1, sizeof *s);
    struct stat st;
    int fd = open(args->spec, O_RDONLY | O_CLOEXEC);
    if (!s || fd < 0 || fstat(fd, &st) || !(s->spec = strdup(args->spec))) {
        if (fd >= 0) close(fd);
        free(s);
        nj_fail(err, "%s: cannot be read", args->spec);
        return NULL;
    }
    s->base.class = &nj_source_dead;
    s->shard = args->shard;
    s->size = s->map_size = (size_t)st.st_size;
    void *map = mmap(NULL, s->size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    s->bytes = s->map = map == MAP_FAILED ? NULL : map;
    nj_source_conf conf;
    if (nj_source_configure(args->settings, &conf, err)) {
        close_dead(&s->base);
        return NULL;
    }
    if (s->bytes && nj_packing_of(s->bytes, s->size)) {
        nj_error why;
        if (nj_unpack(&s->plain, s->bytes, s->size, false, (size_t)conf.max_member, "[source] max_member",
                      &why)) {
            nj_fail(err, "%s: %s", args->spec, why.text);
            close_dead(&s->base);
            return NULL;
        }
        s->bytes = s->plain.buffer;
        s->size = s->plain.n;
    }
    s->base.stream = args->host->stream(args->host->opaque, args->spec, NULL, -1);
    if (s->bytes && s->base.stream && skip_header(s) == 0) return &s->base;
    close_dead(&s->base);
    nj_fail(err, "%s: the header of this dead-letter file is cut", args->spec);
    return NULL;
}

static uint8_t *copy(const uint8_t *bytes, size_t n)
{
    uint8_t *p = malloc(n + 1);
    if (p && n) memcpy(p, bytes, n);
    return p;
}

static nj_chunk *make_chunk(dead_source *s, const uint8_t *packet, size_t n, const uint8_t *schema,
                            size_t n_schema, nj_framing framing)
{
    char member[64];
    snprintf(member, sizeof member, "letter %lld", (long long)s->n_letters);
    nj_chunk *chunk = nj_chunk_new(s->base.stream, copy(packet, n), n);
    if (!chunk || !chunk->bytes || !(chunk->member = strdup(member))) goto failed;
    if (schema && !(chunk->key = copy(schema, n_schema))) goto failed;
    chunk->key_size = schema ? n_schema : 0;
    chunk->framing = framing;
    chunk->offset = s->n_handed++;
    chunk->part = nj_shard_part(s->shard, (uint64_t)s->n_letters, chunk->offset);
    s->n_letters++;
    chunk->arrival_ns = nj_now_ns();
    return chunk;
failed:
    nj_chunk_drop(chunk);
    return NULL;
}

static int next_block(dead_source *s)
{
    int64_t size;
    if (read_long(s, &s->at, s->size, &s->records) || read_long(s, &s->at, s->size, &size)) return -1;
    if (s->records < 0 || size < 0 || (uint64_t)size + 16 > s->size - s->at) return -1;
    s->block_end = s->at + (size_t)size;
    return 0;
}

/* 1 = *chunk is the next letter, or NULL where it is another shard's; 0 = the end; -1. */
static int next_letter(dead_source *s, nj_chunk **chunk, nj_error *err)
{
    const uint8_t *skipped, *framing, *topic, *schema, *packet;
    size_t n, n_framing, n_schema, n_packet;
    int64_t record;
    while (s->block_end == 0 || s->records == 0) {
        if (s->block_end) s->at = s->block_end + 16, s->block_end = 0;
        if (s->at >= s->size) return 0;
        if (next_block(s)) return nj_fail(err, "%s: letter %lld is cut", s->spec, (long long)s->n_letters);
    }
    size_t end = s->block_end;
    if (read_bytes(s, &s->at, end, &skipped, &n) || read_long(s, &s->at, end, &record) ||
        read_bytes(s, &s->at, end, &skipped, &n) || read_bytes(s, &s->at, end, &skipped, &n) ||
        read_optional(s, &s->at, end, &skipped, &n) || read_bytes(s, &s->at, end, &framing, &n_framing) ||
        read_optional(s, &s->at, end, &topic, &n) || read_optional(s, &s->at, end, &schema, &n_schema) ||
        read_bytes(s, &s->at, end, &packet, &n_packet))
        return nj_fail(err, "%s: letter %lld is damaged", s->spec, (long long)s->n_letters);
    s->records--;
    *chunk = NULL;
    if (!nj_shard_take(s->shard, s->base.stream, "letter", (uint64_t)s->n_letters)) return s->n_letters++, 1;
    static const struct {
        const char *name;
        nj_framing framing;
    } form[] = {
        { "ocf", NJ_FRAME_OCF },     { "confluent", NJ_FRAME_CONFLUENT }, { "bare", NJ_FRAME_BARE },
        { "keyed", NJ_FRAME_KEYED }, { "datum", NJ_FRAME_KEYED },         { "json", NJ_FRAME_JSON },
    };
    nj_framing how = NJ_FRAME_AUTO;
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        if (strlen(form[i].name) == n_framing && !memcmp(form[i].name, framing, n_framing))
            how = form[i].framing;
    *chunk = make_chunk(s, packet, n_packet, schema, n_schema, how);
    return *chunk ? 1 : nj_fail(err, "%s: out of memory", s->spec);
}

static nj_next next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    int rc;
    while ((rc = next_letter((dead_source *)source, chunk, err)) > 0)
        if (*chunk) return NJ_NEXT_CHUNK;
    return rc ? NJ_NEXT_ERROR : NJ_NEXT_END;
}

const nj_source_class nj_source_dead = { .name = "dead letters",
                                         .form = "FILE.avro",
                                         .doc = "a dead-letter file: its packets come again",
                                         .match = match,
                                         .open = open_dead,
                                         .next = next,
                                         .close = close_dead };
