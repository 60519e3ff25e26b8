/* cursor.c - chunks are cut into records here: framing, blocks, rows and dead letters. */
#include "decode.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json_scan.h"
#include "../base/unpack.h"
#include "decoder.h"
#include "container.h"
#include "framing.h"
#include "json_packets.h"
#include "read.h"

typedef struct nj_cursor_state {
    nj_datum_reader reader;
    nj_inflater inflater;
    nj_container ocf;
    bool blocks; /* a container file: more blocks may follow */
    bool packed; /* the current block was unpacked into the inflater, or is JSON's datum */
    bool is_json;
    nj_json_datums json_datums;
    uint32_t next_json;      /* number of the next packet of JSON */
    bool whole;              /* the chunk is one datum: its dead letter is the whole chunk */
    const uint8_t *p, *end;  /* what is left of the current block */
    int64_t left;            /* records in it */
    uint32_t record;         /* number of the next record */
    uint64_t block;          /* number of the next block */
    const nj_schema *held;   /* of this chunk, or of one before */
    int64_t held_id;         /* by which it came; -1 = by none */
    const nj_schema *schema; /* memo: the plan of this pair; the schema is the one held, or NULL */
    const nj_layout *layout;
    const nj_plan *plan;
    const uint64_t *absent;     /* its own, for the present batch */
    const char *name;           /* of the schema, for the present batch */
    const char *json;           /* its text, for the rows */
    const nj_batch *json_batch; /* of which json is; with json_of: copied for that schema */
    uint64_t json_of;
} state;

/* ---- framing --------------------------------------------------------------------------------- */

/* Are these bytes the schema of the packet before, and was it good? */
static bool is_held(const state *s, const uint8_t *bytes, size_t size)
{
    return s->held && s->held->size == size && !memcmp(s->held->bytes, bytes, size);
}

static bool key_is_schema(const state *s, const nj_chunk *chunk)
{
    if (!chunk->key_size || chunk->key[0] != '{') return false;
    if (is_held(s, chunk->key, chunk->key_size)) return true;
    return nj_is_schema(chunk->key, chunk->key_size);
}

/* The payload speaks first: a key is looked at only when the payload does not carry its schema itself. */
static nj_framing look(const nj_decoder *d, const state *s, const nj_chunk *chunk)
{
    if (chunk->framing != NJ_FRAME_AUTO) return chunk->framing;
    if (chunk->size >= 4 && !memcmp(chunk->bytes, "Obj\1", 4)) return NJ_FRAME_OCF;
    if (key_is_schema(s, chunk)) return NJ_FRAME_KEYED;
    if (d->bare && nj_registry_is_empty(d->registry)) return NJ_FRAME_BARE; /* its first number may be 0 */
    if (nj_json_begins(chunk->bytes, chunk->size)) return NJ_FRAME_JSON;
    return chunk->size > 5 && chunk->bytes[0] == 0 ? NJ_FRAME_CONFLUENT : NJ_FRAME_BARE;
}

/* Takes over a schema of the decoder's, NULL when it was refused. */
static int take_schema(nj_cursor *cursor, const nj_schema *schema)
{
    state *s = cursor->state;
    cursor->schema = schema;
    if (!schema) return -1;
    s->held_id = -1;
    if (schema != s->held) s->schema = NULL; /* the plan goes with it */
    nj_schema_drop(s->held);
    s->held = schema;
    return 0;
}

static const nj_schema *topic_schema(nj_cursor *cursor, const uint8_t *bytes, size_t size, nj_error *err)
{
    const char *topic = cursor->chunk->stream ? cursor->chunk->stream->topic : NULL;
    const nj_schema *schema = nj_decoder_schema(cursor->decoder, bytes, size, topic, err);
    if (schema && topic && schema != cursor->state->held) nj_decoder_note_version(cursor->decoder, schema);
    return schema;
}

static int open_ocf(nj_cursor *cursor, nj_error *err)
{
    state *s = cursor->state;
    const nj_chunk *chunk = cursor->chunk;
    if (nj_container_open(&s->ocf, chunk->bytes, chunk->size, err)) return -1;
    s->blocks = true;
    if (is_held(s, s->ocf.schema, s->ocf.schema_size)) { /* almost always */
        cursor->schema = s->held;
        return 0;
    }
    return take_schema(cursor, topic_schema(cursor, s->ocf.schema, s->ocf.schema_size, err));
}

static int open_datum(nj_cursor *cursor, const nj_schema *schema, size_t skip)
{
    state *s = cursor->state;
    s->p = cursor->chunk->bytes + skip;
    s->end = cursor->chunk->bytes + cursor->chunk->size;
    s->left = 1;
    s->whole = true;
    return take_schema(cursor, schema);
}

static int open_keyed(nj_cursor *cursor, nj_error *err)
{
    const nj_chunk *chunk = cursor->chunk;
    if (!chunk->key_size) return nj_fail(err, "the message has no key, where its schema should be");
    return open_datum(cursor, topic_schema(cursor, chunk->key, chunk->key_size, err), 0);
}

static int open_bare(nj_cursor *cursor, nj_error *err)
{
    const nj_chunk *chunk = cursor->chunk;
    if (cursor->decoder->bare) return open_datum(cursor, nj_schema_hold(cursor->decoder->bare), 0);
    const char *kind = nj_kind_of(chunk->bytes, chunk->size);
    char start[24];
    size_t n = 0;
    while (n < sizeof start - 1 && n < chunk->size && isprint(chunk->bytes[n])) {
        start[n] = (char)chunk->bytes[n];
        n++;
    }
    start[n] = 0;
    if (kind && n > 5) return nj_fail(err, "not an Avro packet: it is %s; it starts with '%s'", kind, start);
    if (kind) return nj_fail(err, "not an Avro packet: it is %s", kind);
    if (n > 5) return nj_fail(err, "not an Avro packet: it starts with '%s'", start);
    if (chunk->size == 0) return nj_fail(err, "empty: 0 bytes");
    if (chunk->key_size)
        return nj_fail(err, "no container file and no schema id, and the key is JSON but not the schema of a "
                            "record; a bare datum needs [decode] schema = FILE");
    return nj_fail(err, "no container file, no schema id and no schema in the key; a bare datum needs "
                        "[decode] schema = FILE");
}

static int open_confluent(nj_cursor *cursor, nj_error *err)
{
    const nj_chunk *chunk = cursor->chunk;
    const char *topic = chunk->stream ? chunk->stream->topic : NULL;
    if (chunk->size > 17 && chunk->bytes[0] == 1)
        return open_datum(cursor, nj_decoder_by_guid(cursor->decoder, chunk->bytes + 1, topic, err), 17);
    if (chunk->size < 5 || chunk->bytes[0] != 0)
        return nj_fail(err, "no Confluent framing: the first byte is not 0");
    const uint8_t *b = chunk->bytes;
    uint32_t id = (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 8 | b[4];
    state *s = cursor->state;
    const nj_schema *schema = s->held && s->held_id == id /* almost always; an id never changes its meaning */
                                  ? nj_schema_hold(s->held)
                                  : nj_decoder_by_id(cursor->decoder, id, topic, err);
    if (open_datum(cursor, schema, 5)) return -1;
    s->held_id = id;
    return 0;
}

static int open_json(nj_cursor *cursor, nj_error *err)
{
    state *s = cursor->state;
    const nj_schema *schema;
    if (nj_json_datums_read(cursor->decoder, cursor->chunk, &s->json_datums, &schema, err)) return -1;
    s->is_json = true;
    s->next_json = 0;
    s->whole = s->json_datums.n == 1;
    return take_schema(cursor, schema);
}

int nj_cursor_open(nj_cursor *cursor, nj_decoder *decoder, nj_chunk *chunk, nj_error *err)
{
    if (!cursor->state && !(cursor->state = calloc(1, sizeof *cursor->state)))
        return nj_fail(err, "out of memory");
    state *s = cursor->state;
    if (cursor->decoder != decoder) {
        nj_schema_drop(s->held);
        s->held = s->schema = NULL;
        s->held_id = -1;
    }
    cursor->decoder = decoder;
    cursor->chunk = chunk;
    cursor->schema = NULL;
    s->reader.max_depth = (uint32_t)decoder->conf.max_depth;
    s->reader.max_items = (uint32_t)decoder->conf.max_items;
    s->inflater.limit = (size_t)decoder->conf.max_block;
    s->blocks = s->packed = s->whole = s->is_json = false;
    s->left = 0;
    s->record = 0;
    s->block = 0;
    if (chunk->fault) return nj_fail(err, "%s", chunk->fault);
    /* the sync marker, far from all else */
    if (chunk->size > 16) __builtin_prefetch(chunk->bytes + chunk->size - 16);
    nj_framing found = look(decoder, s, chunk);
    chunk->framing = found; /* a dead letter says how it was read */
    switch (found) {
    case NJ_FRAME_OCF: return open_ocf(cursor, err);
    case NJ_FRAME_CONFLUENT: return open_confluent(cursor, err);
    case NJ_FRAME_KEYED: return open_keyed(cursor, err);
    case NJ_FRAME_JSON: return open_json(cursor, err);
    default: return open_bare(cursor, err);
    }
}

/* ---- shards ---------------------------------------------------------------------------------- */

/* What cannot be dealt out, because it cannot be read, or is one piece: is it another shard's? */
static bool rest_is_others(const nj_cursor *cursor)
{
    const nj_shard *shard = cursor->shard;
    bool dealt = shard && (cursor->chunk->by_block || shard->by != NJ_SHARD_PART);
    return dealt && !nj_shard_has_rest(shard);
}

/* As a letter about it would be counted. */
static uint32_t records_of(const state *s, const nj_block *block)
{
    bool can = nj_container_can_hold(s->ocf.codec, block->records, (int64_t)block->size);
    return can && block->records <= UINT32_MAX ? (uint32_t)block->records : 1;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

/* One letter for n records, each of which is counted. */
static int refuse_bytes(nj_cursor *cursor, nj_batch *batch, const uint8_t *bytes, size_t size, uint32_t n,
                        const char *field, const char *why)
{
    state *s = cursor->state;
    nj_receipt *receipt = nj_batch_receipt(batch, cursor->chunk);
    if (!receipt) return -1;
    if (cursor->shard && cursor->shard->by != NJ_SHARD_PART && rest_is_others(cursor))
        return nj_batch_others(batch, cursor->chunk, s->record, n);
    if (s->whole) {
        bytes = cursor->chunk->bytes;
        size = cursor->chunk->size;
    } else if (s->is_json) { /* the text, which can be read again, and not what was made of it */
        const nj_json_packet *p = &s->json_datums.item[s->next_json - 1];
        bytes = p->text;
        size = p->text_size;
    } else if (s->packed && bytes >= s->inflater.buffer && bytes < s->inflater.buffer + s->inflater.cap) {
        uint8_t *copy = nj_arena_alloc(&batch->arena, size + 1);
        if (!copy) return -1;
        bytes = memcpy(copy, bytes, size);
    }
    if (nj_batch_dead(batch, cursor->chunk, s->record, bytes, size, "decode", field, "%s", why)) return -1;
    receipt->n_dead += n;
    return 0;
}

/* A bad record, and the rest of its block, whose records cannot be found any more. */
static int refuse_record(nj_cursor *cursor, nj_batch *batch, const uint8_t *from, const char *field,
                         const uint8_t *at, const char *why)
{
    state *s = cursor->state;
    char text[400];
    const uint8_t *base = s->packed ? s->inflater.buffer : cursor->chunk->bytes;
    int n = snprintf(text, sizeof text, "record %u: %s%s%.200s", s->record, field && *field ? field : "",
                     field && *field ? ": " : "", why);
    if (!s->is_json)
        snprintf(text + n, sizeof text - (size_t)n, " (byte %zu of %s)", (size_t)(at - base),
                 s->packed ? "its unpacked block" : "the packet");
    if (refuse_bytes(cursor, batch, from, (size_t)(s->end - from), 1, field && *field ? field : NULL, text))
        return -1;
    s->record++;
    s->left--;
    if (s->left > 0) {
        snprintf(text, sizeof text,
                 "%lld more records behind the bad record %u of this block cannot be found",
                 (long long)s->left, s->record - 1);
        if (refuse_bytes(cursor, batch, at, (size_t)(s->end - at), (uint32_t)s->left, NULL, text)) return -1;
        s->record += (uint32_t)s->left;
    }
    s->left = 0;
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

enum { NO_MEMORY = -1, NO_MORE, A_BLOCK, A_LETTER };

static int next_json(nj_cursor *cursor, nj_batch *batch)
{
    state *s = cursor->state;
    if (s->next_json == s->json_datums.n) return NO_MORE;
    const nj_json_packet *p = &s->json_datums.item[s->next_json++];
    if (*p->why) {
        char text[240];
        snprintf(text, sizeof text, "record %u: %s", s->record, p->why);
        if (refuse_bytes(cursor, batch, p->text, p->text_size, 1, NULL, text)) return NO_MEMORY;
        s->record++;
        return A_LETTER;
    }
    s->p = (const uint8_t *)s->json_datums.out.data + p->from;
    s->end = s->p + p->size;
    s->left = 1;
    s->packed = true;
    return A_BLOCK;
}

static int next_block(nj_cursor *cursor, nj_batch *batch)
{
    state *s = cursor->state;
    nj_block block;
    nj_error err;
    if (s->is_json) return next_json(cursor, batch);
    if (!s->blocks) return NO_MORE;
    s->packed = false;
    int rc = nj_container_next(&s->ocf, &block, &err);
    if (rc == 0) return NO_MORE;
    const nj_shard *shard = cursor->chunk->by_block ? cursor->shard : NULL;
    if (shard && !nj_shard_has(shard, s->block++)) {
        uint32_t n = rc > 0 ? records_of(s, &block) : 1;
        if (n && nj_batch_others(batch, cursor->chunk, s->record, n)) return NO_MEMORY;
        s->record += n;
        s->left = 0;
        return A_BLOCK;
    }
    const uint8_t *stop = s->ocf.p;
    size_t size = 0;
    bool alone = s->record == 0 && s->ocf.p == s->ocf.end; /* its dead letter is then the whole file,
                                                            * schema and all */
    if (rc > 0) {
        alone = alone && block.records <= 1;
        rc = nj_container_inflate(&s->inflater, s->ocf.codec, &block, &s->p, &size, &err);
        if (rc < 0 && err.memory) return NO_MEMORY;
        /* a record of no bytes is no alert, and without this a few bytes could announce 2^63 of them */
        if (rc == 0 && block.records > (int64_t)size) {
            rc = nj_fail(&err, "the block announces %lld records in %zu bytes", (long long)block.records,
                         size);
            block.records = -1;
        }
        if (rc && !nj_container_can_hold(s->ocf.codec, block.records, (int64_t)block.size))
            block.records = -1;
        if (rc == 0 && block.records == 0 && size)
            rc = nj_fail(&err, "the block announces no record in %zu bytes", size);
    }
    s->whole = alone;
    if (rc < 0) {
        char text[sizeof err.text + 80];
        bool known = block.records > 0 && block.records <= (int64_t)s->inflater.limit / 16;
        uint32_t n = known ? (uint32_t)block.records : 1;
        snprintf(text, sizeof text, "%s; %s%u record%s", err.text,
                 known ? "lost: " : "how many records it had is not known; counted as ", n, n > 1 ? "s" : "");
        if (refuse_bytes(cursor, batch, block.from, (size_t)(stop - block.from), n, NULL, text))
            return NO_MEMORY;
        s->record += n;
        return A_LETTER;
    }
    s->packed = s->ocf.codec != NJ_CODEC_NULL;
    s->end = s->p + size;
    s->left = block.records;
    return A_BLOCK;
}

/* Packets of compressed blocks must outlive the block: a copy, and the stamps point into it. */
static const uint8_t *keep(nj_batch *batch, const uint8_t *datum, size_t size)
{
    uint8_t *copy = nj_arena_alloc(&batch->arena, size + 1);
    if (!copy) return NULL;
    memcpy(copy, datum, size);
    for (int k = 0; k < NJ_STAMPS; k++) {
        nj_stamp *stamp = batch->stamp[k] ? &batch->stamp[k][batch->n] : NULL;
        if (stamp && stamp->bytes) stamp->bytes = copy + (stamp->bytes - datum);
    }
    return copy;
}

static int read_record(nj_cursor *cursor, nj_batch *batch)
{
    state *s = cursor->state;
    const uint8_t *datum = s->p, *next = nj_datum_record(&s->reader, datum, s->end);
    if (!next && !s->reader.reason) return -1;
    if (!next) return refuse_record(cursor, batch, datum, s->reader.field, s->reader.at, s->reader.reason);
    size_t size = (size_t)(next - datum);
    if ((s->left == 1 && next != s->end) || size == 0) {
        char text[100];
        nj_datum_undo(&s->reader);
        snprintf(text, sizeof text, "the record ends %zu bytes before its block does",
                 (size_t)(s->end - next));
        return refuse_record(cursor, batch, datum, NULL, next, text);
    }
    if (cursor->mine && !cursor->mine(cursor->opaque, batch, batch->n)) {
        nj_datum_undo(&s->reader);
        if (nj_batch_others(batch, cursor->chunk, s->record, 1)) return -1;
        s->record++;
        s->left--;
        s->p = next;
        return 0;
    }
    nj_receipt *receipt = nj_batch_receipt(batch, cursor->chunk);
    const uint8_t *kept = s->packed ? keep(batch, datum, size) : datum;
    if (!receipt || !kept) return -1;
    batch->row[batch->n++] = (nj_row){ cursor->chunk, s->record++, kept,    (uint32_t)size,
                                       s->absent,     s->name,     s->json, cursor->schema->size };
    receipt->n_rows++;
    s->left--;
    s->p = next;
    return 0;
}

/* A schema that this run's columns cannot be read from: the whole chunk is one dead letter. */
static int refuse(nj_cursor *cursor, nj_batch *batch, const char *why)
{
    cursor->state->whole = true;
    if (rest_is_others(cursor)) {
        if (nj_batch_others(batch, cursor->chunk, 0, 1)) return NO_MEMORY;
    } else if (refuse_bytes(cursor, batch, cursor->chunk->bytes, cursor->chunk->size, 1, NULL, why)) {
        return NO_MEMORY;
    }
    nj_receipt *receipt = nj_batch_receipt(batch, cursor->chunk);
    if (!receipt) return NO_MEMORY;
    receipt->last = true;
    return A_LETTER;
}

/* The schema's JSON lives in the chunk, as the rows do; one of a registry is copied once a batch. */
static int keep_json(nj_cursor *cursor, nj_batch *batch)
{
    state *s = cursor->state;
    const nj_chunk *chunk = cursor->chunk;
    const nj_schema *schema = cursor->schema;
    const bool in_key = chunk->key_size == schema->size && !memcmp(chunk->key, schema->bytes, schema->size);
    if (s->blocks || in_key) {
        s->json = s->blocks ? (const char *)s->ocf.schema : (const char *)chunk->key;
        s->json_batch = NULL;
    } else if (!batch->n || s->json_batch != batch || s->json_of != schema->serial) {
        s->json = nj_arena_text(&batch->arena, (const char *)schema->bytes, schema->size);
        s->json_batch = batch;
        s->json_of = schema->serial;
    }
    return s->json ? 0 : -1;
}

/* A_BLOCK: the chunk can be read. A_LETTER: it became a dead letter. */
static int begin(nj_cursor *cursor, nj_batch *batch)
{
    state *s = cursor->state;
    nj_error err;
    if (s->schema != cursor->schema || s->layout != batch->layout) {
        s->plan = nj_decoder_plan(cursor->schema, batch->layout, &err);
        s->schema = s->plan ? cursor->schema : NULL;
        s->layout = batch->layout;
        if (!s->plan) return err.memory ? NO_MEMORY : refuse(cursor, batch, err.text);
    }
    /* rows outlive the schema, which may be forgotten */
    size_t words = (batch->layout->n_packet + 63) / 64;
    uint64_t *absent = nj_arena_alloc(&batch->arena, (words + 1) * sizeof *absent);
    if (!absent) return NO_MEMORY;
    memcpy(absent, s->plan->absent, words * sizeof *absent);
    s->absent = absent;
    s->name = nj_arena_text(&batch->arena, cursor->schema->name, strlen(cursor->schema->name));
    if (!s->name || keep_json(cursor, batch)) return NO_MEMORY;
    return nj_datum_begin(&s->reader, s->plan, batch) == 0 && nj_batch_receipt(batch, cursor->chunk)
               ? A_BLOCK
               : NO_MEMORY;
}

int nj_cursor_read(nj_cursor *cursor, nj_batch *batch, uint32_t max_rows, size_t max_bytes)
{
    state *s = cursor->state;
    int rc = begin(cursor, batch);
    if (rc != A_BLOCK) return rc == A_LETTER ? 0 : -1;
    if (max_rows > batch->cap) max_rows = batch->cap;
    if (cursor->chunk->by_block && !s->blocks && s->left && rest_is_others(cursor)) { /* one datum */
        if (nj_batch_others(batch, cursor->chunk, s->record, 1)) return -1;
        s->left = 0;
    }
    size_t bytes = 0;
    for (uint32_t done = 0;; done++) {
        while (s->left == 0) {
            rc = next_block(cursor, batch);
            if (rc == NO_MEMORY) return -1;
            if (rc == NO_MORE) {
                nj_receipt *receipt = nj_batch_receipt(batch, cursor->chunk);
                if (!receipt) return -1;
                receipt->last = true;
                return 0;
            }
            if (++done > 1000 && done > max_rows) return 1; /* a file of nothing but damage */
        }
        if (batch->n >= max_rows || bytes >= max_bytes) return 1;
        const uint8_t *from = s->p;
        if (read_record(cursor, batch)) return -1;
        bytes += (size_t)(s->p - from);
    }
}

void nj_cursor_free(nj_cursor *cursor)
{
    if (cursor->state) {
        nj_schema_drop(cursor->state->held);
        nj_datum_free(&cursor->state->reader);
        nj_inflater_free(&cursor->state->inflater);
        nj_json_datums_free(&cursor->state->json_datums);
        free(cursor->state);
    }
    *cursor = (nj_cursor){ 0 };
}
