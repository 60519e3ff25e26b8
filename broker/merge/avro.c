/* avro.c - Avro outputs: rows are read and written by avro-c without their first field, which is their place;
 * of letters and packets, which have none, the blocks are copied as they are. */
#include <avro.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sink/ocf.h"
#include "merge.h"

enum { BLOCK = 1 << 20, ROW_MOST = 1 << 30, METADATA = 512 };

typedef struct in {
    const uint8_t *bytes; /* the file */
    size_t size, at;
    nj_ocf header;
    avro_file_reader_t file;
    avro_value_iface_t *class;
    avro_value_t row;
    int64_t count; /* of the present block; of letters and packets */
    size_t from, n;
} in;

typedef struct out {
    nj_outfile file;
    char codec[16];
    uint8_t sync[NJ_OCF_SYNC];
    struct libdeflate_compressor *deflate;
    avro_writer_t writer;
    nj_buffer block, packed, text;
    int64_t n; /* rows of the open block */
    uint64_t n_rows;
    bool rows; /* of places; else whole blocks */
} out;

static void close_in(nj_merge_shard *s)
{
    in *t = s->state;
    if (!t) return;
    if (t->row.iface) avro_value_decref(&t->row);
    if (t->class) avro_value_iface_decref(t->class);
    if (t->file) avro_file_reader_close(t->file);
    if (t->bytes) munmap((void *)(uintptr_t)t->bytes, t->size);
    free(t);
    s->state = NULL;
}

static int open_blocks(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state = calloc(1, sizeof *t);
    struct stat st;
    int fd = t ? open(s->path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0) close(fd);
        return nj_fail(err, "%s: cannot be read: %s", s->path, strerror(errno));
    }
    void *map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED) return nj_fail(err, "%s: cannot be read", s->path);
    t->bytes = map;
    t->size = (size_t)st.st_size;
    if (nj_ocf_parse(&t->header, t->bytes, t->size))
        return nj_fail(err, "%s: its header is damaged", s->path);
    t->at = t->header.size;
    s->part = s->k; /* shard behind shard */
    return 0;
}

static int open_rows(nj_merge_shard *s, nj_error *err)
{
    if (open_blocks(s, err)) return -1;
    in *t = s->state;
    if (avro_file_reader(s->path, &t->file)) return nj_fail(err, "%s: %s", s->path, avro_strerror());
    avro_schema_t schema = avro_file_reader_get_writer_schema(t->file);
    t->class = schema ? avro_generic_class_from_schema(schema) : NULL;
    avro_schema_decref(schema);
    if (!t->class || avro_generic_value_new(t->class, &t->row))
        return nj_fail(err, "%s: %s", s->path, avro_strerror());
    return 0;
}

/* A long within a union with null. */
static int read_place(avro_value_t *place, size_t i, int64_t *value)
{
    avro_value_t field, branch;
    return avro_value_get_by_index(place, i, &field, NULL) ||
           avro_value_get_current_branch(&field, &branch) || avro_value_get_type(&branch) != AVRO_INT64 ||
           avro_value_get_long(&branch, value);
}

static int next_row(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state;
    avro_value_t place;
    avro_value_reset(&t->row);
    int rc = avro_file_reader_read_value(t->file, &t->row);
    s->over = rc == EOF;
    if (s->over) return 0;
    if (rc)
        return nj_fail(err, "%s: row %llu: %s", s->path, (unsigned long long)s->n_rows + 1, avro_strerror());
    if (avro_value_get_by_index(&t->row, 0, &place, NULL) || avro_value_get_type(&place) != AVRO_RECORD ||
        read_place(&place, 0, &s->part) || read_place(&place, 1, &s->record))
        return nj_fail(err, "%s: row %llu has no place in the night", s->path,
                       (unsigned long long)s->n_rows + 1);
    return 0;
}

/* Blocks stand for rows here: record counts their rows. */
static int next_block(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state;
    size_t next;
    s->n_rows += t->count > 0 ? (uint64_t)t->count - 1 : 0; /* one was counted when the block came */
    s->over = t->at == t->size;
    t->count = 0;
    if (s->over) return 0;
    if (nj_ocf_block(&t->header, t->bytes, t->size, t->at, &t->count, &t->from, &next) || !t->count)
        return nj_fail(err, "%s: its end is cut, or damaged", s->path);
    t->n = next - NJ_OCF_SYNC - t->from;
    t->at = next;
    s->record++;
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

static int64_t read_long(const uint8_t **p)
{
    uint64_t u = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        u |= (uint64_t)(**p & 127) << shift;
        if (*(*p)++ < 128) break;
    }
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

static char *read_text(nj_arena *arena, const uint8_t **p)
{
    int64_t n = read_long(p);
    char *text = nj_arena_text(arena, (const char *)*p, (size_t)n);
    *p += n;
    return text;
}

/* The pairs of a header that was parsed: all but Avro's own. */
static int read_metadata(const in *t, nj_arena *arena, nj_metadata m[METADATA])
{
    const uint8_t *p = t->bytes + 4;
    uint32_t k = 0;
    for (int64_t n; (n = read_long(&p)) != 0;) {
        if (n < 0) n = -n, read_long(&p);
        for (; n > 0; n--) {
            char *key = read_text(arena, &p), *value = read_text(arena, &p);
            if (!key || !value) return -1;
            if (strncmp(key, "avro.", 5) != 0 && k + 1 < METADATA) m[k++] = (nj_metadata){ key, value };
        }
    }
    m[k] = (nj_metadata){ 0 };
    return 0;
}

/* The text of the schema without its first field, which is an object. */
static char *without_place(nj_arena *arena, const char *schema, size_t n)
{
    char *text = nj_arena_text(arena, schema, n);
    char *fields = text ? strstr(text, "\"fields\":[") : NULL;
    if (!fields) return text;
    char *first = strchr(fields, '['), *p = ++first;
    int depth = 0;
    bool quoted = false;
    do {
        if (*p == '\\' && quoted)
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (*p == '{') - (*p == '}');
    } while (*p && *++p && depth);
    p += strspn(p, " \n,");
    memmove(first, p, strlen(p) + 1);
    return text;
}

static int begin(nj_merge_out *o, nj_merge_set *set, bool rows, nj_error *err)
{
    out *t = o->state = calloc(1, sizeof *t);
    const in *first = set->shard[0].state;
    nj_arena arena = { 0 };
    nj_metadata *m = nj_arena_alloc(&arena, METADATA * sizeof *m);
    if (!t || !m) return nj_arena_free(&arena), nj_fail(err, "out of memory");
    t->file.fd = -1;
    t->rows = rows;
    snprintf(t->codec, sizeof t->codec, "%.*s", (int)first->header.codec_size, first->header.codec);
    char *schema = rows ? without_place(&arena, first->header.schema, first->header.schema_size)
                        : nj_arena_text(&arena, first->header.schema, first->header.schema_size);
    int rc = read_metadata(first, &arena, m) || !schema ? nj_fail(err, "out of memory") : 0;
    for (uint32_t i = 1; i < set->n && !rc; i++) {
        const nj_ocf *h = &((const in *)set->shard[i].state)->header;
        if (h->schema_size != first->header.schema_size ||
            memcmp(h->schema, first->header.schema, h->schema_size) != 0 ||
            h->codec_size != first->header.codec_size ||
            memcmp(h->codec, first->header.codec, h->codec_size) != 0)
            rc = nj_fail(err, "%s and %s have other schemas, or codecs", set->shard[0].path,
                         set->shard[i].path);
    }
    if (!rc && rows && !strcmp(t->codec, "deflate") && !(t->deflate = libdeflate_alloc_compressor(6)))
        rc = nj_fail(err, "out of memory");
    if (!rc && rows && !(t->writer = avro_writer_memory(t->codec, 1))) rc = nj_fail(err, "out of memory");
    if (!rc) rc = nj_outfile_open(&t->file, o->path, o->mode, err);
    if (!rc) {
        nj_ocf_header(&t->text, schema, t->codec, m, t->sync);
        rc = t->text.failed ? nj_fail(err, "out of memory")
                            : nj_outfile_write(&t->file, t->text.data, t->text.n, err);
    }
    nj_arena_free(&arena);
    return rc;
}

static int begin_rows(nj_merge_out *o, nj_merge_set *set, nj_error *err)
{
    return begin(o, set, true, err);
}

static int begin_blocks(nj_merge_out *o, nj_merge_set *set, nj_error *err)
{
    return begin(o, set, false, err);
}

static int write_block(out *t, int64_t count, const void *data, size_t n, nj_error *err)
{
    t->text.n = 0;
    nj_ocf_long(&t->text, count);
    nj_ocf_bytes(&t->text, data, n);
    nj_buffer_add(&t->text, t->sync, NJ_OCF_SYNC);
    if (t->text.failed) return nj_fail(err, "%s: out of memory", t->file.path);
    t->n_rows += (uint64_t)count;
    return nj_outfile_write(&t->file, t->text.data, t->text.n, err);
}

static int write_rows(out *t, nj_error *err)
{
    if (!t->n) return 0;
    const nj_buffer *data = nj_ocf_pack(t->codec, t->deflate, &t->block, &t->packed);
    if (!data) return nj_fail(err, "%s: out of memory", t->file.path);
    int rc = write_block(t, t->n, data->data, data->n, err);
    t->block.n = 0;
    t->n = 0;
    return rc;
}

/* All fields but the first. */
static int encode(out *t, const in *from, int64_t *size)
{
    size_t n = 0;
    int rc = avro_value_get_size(&from->row, &n);
    for (size_t f = 1; f < n && !rc; f++) {
        avro_value_t field;
        rc = avro_value_get_by_index(&from->row, f, &field, NULL);
        if (!rc) rc = avro_value_write(t->writer, &field);
    }
    *size = avro_writer_tell(t->writer);
    return rc;
}

static int put_row(nj_merge_out *o, nj_merge_shard *s, nj_error *err)
{
    out *t = o->state;
    for (size_t room = 4096; room <= ROW_MOST; room *= 4) {
        char *at = nj_buffer_room(&t->block, room);
        int64_t size;
        if (!at) break;
        avro_writer_memory_set_dest(t->writer, at, (int64_t)room);
        int rc = encode(t, s->state, &size);
        if (rc == ENOSPC) continue;
        if (rc) return nj_fail(err, "%s: a row cannot be written: %s", o->path, avro_strerror());
        t->block.n += (size_t)size;
        t->n++;
        return t->block.n >= BLOCK ? write_rows(t, err) : 0;
    }
    return nj_fail(err, "%s: out of memory for a row", o->path);
}

static int put_block(nj_merge_out *o, nj_merge_shard *s, nj_error *err)
{
    const in *from = s->state;
    return write_block(o->state, from->count, from->bytes + from->from, from->n, err);
}

static int end(nj_merge_out *o, nj_error *err)
{
    out *t = o->state;
    struct stat st;
    if (write_rows(t, err)) return -1;
    if (fstat(t->file.fd, &st)) return nj_fail(err, "%s: %s", o->path, strerror(errno));
    o->bytes = st.st_size;
    o->mark.rows = (int64_t)t->n_rows; /* blocks were counted */
    return 0;
}

static void drop(nj_merge_out *o, bool failed)
{
    out *t = o->state;
    if (!t) return;
    if (t->file.path) nj_outfile_close(&t->file, failed, NULL);
    if (t->writer) avro_writer_free(t->writer);
    if (t->deflate) libdeflate_free_compressor(t->deflate);
    nj_buffer_free(&t->block);
    nj_buffer_free(&t->packed);
    nj_buffer_free(&t->text);
    free(t);
    o->state = NULL;
}

const nj_merge_class nj_merge_avro = { open_rows, next_row, close_in, begin_rows, put_row, end, drop };
const nj_merge_class nj_merge_packets = { open_blocks, next_block, close_in, begin_blocks,
                                          put_block,   end,        drop };
