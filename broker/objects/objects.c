/* objects.c - modules that look at histories get more from all alerts of an object than from one packet: this
 * reads alerts, sorts them by object, and writes a packet for each object. */
#include "objects.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "../base/exit.h"
#include "../base/log.h"
#include "../engine/feed.h"
#include "../engine/reader.h"
#include "../sink/ocf.h"
#include "internal.h"

enum { BATCH_BYTES = 8 << 20, WAIT_MS = 200, BLOCK = 1 << 20, ZSTD_LEVEL = 3, KEY_TAIL = 16 };

typedef struct out_file {
    FILE *file;
    char path[4000], part[4096];
    nj_buffer block, bytes;
    int64_t n;
    uint8_t sync[NJ_OCF_SYNC];
} out_file;

struct nj_objects {
    const nj_objects_options *o;
    nj_objects_account *told;
    nj_decoder *decoder;
    nj_feed *feed;
    nj_reader reader;
    nj_sorter *sorter;
    nj_objects_survey *survey[NJ_OBJECTS_SURVEYS];
    uint32_t n_surveys;
    nj_dead_letters *dead;
    nj_buffer key, payload;
    nj_objects_one one;
    out_file out;
    int64_t most_points;
    bool failed;
    nj_error *err;
};

/* ---- alerts in ------------------------------------------------------------------------------- */

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    nj_objects *x = opaque;
    const char *name = nj_schema_survey(schema);
    for (uint32_t i = 0; i < x->n_surveys; i++)
        if (!strcmp(x->survey[i]->name, name)) return &x->survey[i]->layout;
    if (x->n_surveys == NJ_OBJECTS_SURVEYS)
        return nj_fail(err, "more than %d surveys", NJ_OBJECTS_SURVEYS), NULL;
    nj_objects_survey *s = nj_objects_survey_new(x->decoder, name, err);
    if (!s) return NULL;
    x->survey[x->n_surveys++] = s;
    for (uint32_t g = 0; g < s->n_groups; g++) {
        nj_objects_account *a = x->told;
        const size_t n = strlen(a->unmerged);
        if (s->group[g].jd == NJ_NO_INDEX)
            snprintf(a->unmerged + n, sizeof a->unmerged - n, "%s%s.%s", n ? ", " : "", s->name,
                     s->group[g].name);
        if (s->group[g].alerts || a->n_series == NJ_OBJECTS_SERIES) continue;
        s->group[g].told = &a->series[a->n_series++];
        *s->group[g].told = (nj_objects_series){ .survey = s->name, .name = s->group[g].name };
    }
    return &s->layout;
}

static const char *text_at(const nj_batch *b, uint32_t column, uint32_t row)
{
    return column == NJ_NO_INDEX ? NULL : ((const char *const *)b->col[column].data)[row];
}

/* What the alert is of; NULL: of nothing that it names, or (*far) of something else nearby. */
static const char *key_of(const nj_objects *x, const nj_objects_survey *s, const nj_batch *b, uint32_t row,
                          char text[32], bool *far)
{
    *far = false;
    if (!x->o->by_sso) {
        const char *object = text_at(b, s->object, row);
        return object && *object ? object : NULL;
    }
    const int64_t id = s->sso_id == NJ_NO_INDEX ? NJ_NO_I64 : ((const int64_t *)b->col[s->sso_id].data)[row];
    if (id != NJ_NO_I64) return snprintf(text, 32, "%lld", (long long)id), text;
    const char *name = text_at(b, s->sso_name, row);
    if (!name || !*name || !strcmp(name, "null") || !strcmp(name, "None")) return NULL;
    if (s->sso_dist == NJ_NO_INDEX) return name;
    const double d = nj_number(s->layout.col[s->sso_dist].type, b->col[s->sso_dist].data, row);
    *far = d < 0 || d > x->o->sso_radius;
    return *far ? NULL : name;
}

static void put_ordered(nj_buffer *out, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8) {
        const char byte = (char)(value >> shift);
        nj_buffer_add(out, &byte, 1);
    }
}

/* Survey, object, time, id: in this order, byte by byte. */
static void make_key(nj_buffer *out, const char *survey, const char *object, double jd, int64_t id)
{
    uint64_t bits;
    memcpy(&bits, &jd, sizeof bits);
    bits = isnan(jd) ? 0 : bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
    out->n = 0;
    nj_buffer_add(out, survey, strlen(survey) + 1);
    nj_buffer_add(out, object, strlen(object) + 1);
    put_ordered(out, bits);
    put_ordered(out, (uint64_t)id ^ (uint64_t)1 << 63);
}

/* A packet of merged alerts stands for several. */
static uint32_t alerts_of(const nj_objects_survey *s, const nj_batch *b, uint32_t row)
{
    for (uint32_t g = 0; g < s->n_groups; g++) {
        const uint32_t *off = b->col[s->group[g].column[0]].off;
        if (s->group[g].alerts && off[row + 1] > off[row]) return off[row + 1] - off[row];
    }
    return 1;
}

static int take_row(nj_objects *x, const nj_objects_survey *s, const nj_batch *b, uint32_t row)
{
    char text[32];
    bool far;
    const char *object = key_of(x, s, b, row, text, &far);
    const uint32_t n = alerts_of(s, b, row);
    x->told->read += n;
    if (!object) {
        *(far ? &x->told->far : &x->told->keyless) += n;
        return 0;
    }
    const double jd = s->jd == NJ_NO_INDEX ? NAN : nj_number(NJ_F64, b->col[s->jd].data, row);
    if (!isfinite(jd)) x->told->untimed++;
    make_key(&x->key, s->name, object, isfinite(jd) ? jd : NAN, b->id[row]);
    x->payload.n = 0;
    if (nj_objects_pack(s, b, row, &x->payload) || x->key.failed) return nj_fail(x->err, "out of memory");
    return nj_sorter_add(x->sorter, x->key.data, (uint32_t)x->key.n, x->payload.data, (uint32_t)x->payload.n,
                         x->err);
}

static int write_dead(nj_objects *x, const nj_batch *b)
{
    if (!b->n_dead) return 0;
    if (!x->dead) {
        x->dead = nj_dead_letters_open(x->o->dead_letters, x->o->mode, NULL, x->err);
        if (!x->dead) return -1;
        nj_log(NJ_LOG_WARN, "%s; it and others like it are in %s", b->dead[0].reason, x->o->dead_letters);
    }
    x->told->dead += b->n_dead;
    x->told->read += b->n_dead;
    return nj_dead_letters_write(x->dead, b->dead, b->n_dead, x->err);
}

static int take_batch(void *opaque, nj_batch **batch)
{
    nj_objects *x = opaque;
    const nj_batch *b = *batch;
    x->failed = write_dead(x, b) != 0;
    for (uint32_t row = 0; !x->failed && row < b->n; row++)
        x->failed = take_row(x, b->layout->owner, b, row) != 0;
    return x->failed || (x->o->stop && *x->o->stop) ? NJ_READ_STOPPED : NJ_READ_ON;
}

/* -1: the source failed; 1: something else did; 2: a signal */
static int read_all(nj_objects *x)
{
    for (;;) {
        nj_chunk *chunk = NULL;
        if (x->o->stop && *x->o->stop) return 2;
        const nj_next next = nj_feed_next(x->feed, WAIT_MS, &chunk, x->err);
        if (next == NJ_NEXT_ERROR) return -1;
        if (next == NJ_NEXT_END) break;
        if (next == NJ_NEXT_IDLE) continue;
        const int rc = nj_reader_take(&x->reader, chunk, x->err);
        nj_chunk_drop(chunk);
        if (x->failed || rc == NJ_READ_FAILED || rc == NJ_READ_NO_LAYOUT) return 1;
        if (rc != NJ_READ_ON) return 2;
    }
    if (nj_reader_flush(&x->reader, false) == NJ_READ_FAILED) return nj_fail(x->err, "out of memory"), 1;
    return x->failed ? 1 : 0;
}

/* ---- packets out ----------------------------------------------------------------------------- */

static int cannot_write(const out_file *out, nj_error *err)
{
    return nj_fail(err, "%s: cannot be written: %m", out->part);
}

static int write_block(out_file *out, nj_error *err)
{
    if (!out->n) return 0;
    const size_t most = ZSTD_compressBound(out->block.n);
    nj_buffer packed = { 0 };
    char *room = nj_buffer_room(&packed, most);
    const size_t n = room ? ZSTD_compress(room, most, out->block.data, out->block.n, ZSTD_LEVEL) : 0;
    if (!room || ZSTD_isError(n)) return nj_buffer_free(&packed), nj_fail(err, "out of memory");
    out->bytes.n = 0;
    nj_ocf_long(&out->bytes, out->n);
    nj_ocf_bytes(&out->bytes, room, n);
    nj_buffer_add(&out->bytes, out->sync, NJ_OCF_SYNC);
    nj_buffer_free(&packed);
    out->n = 0;
    out->block.n = 0;
    if (out->bytes.failed) return nj_fail(err, "out of memory");
    return fwrite(out->bytes.data, 1, out->bytes.n, out->file) == out->bytes.n ? 0 : cannot_write(out, err);
}

static int end_file(out_file *out, nj_error *err)
{
    if (!out->file) return 0;
    int rc = write_block(out, err);
    if (fclose(out->file) && !rc) rc = cannot_write(out, err);
    out->file = NULL;
    if (!rc && rename(out->part, out->path)) rc = nj_fail(err, "%s: %m", out->path);
    if (rc) unlink(out->part);
    return rc;
}

static int begin_file(nj_objects *x, const nj_objects_survey *s)
{
    out_file *out = &x->out;
    nj_buffer schema = { 0 };
    const nj_metadata metadata[] = { { "by", x->o->by_sso ? "sso" : "object" }, { NULL, NULL } };
    if (end_file(out, x->err)) return -1;
    snprintf(out->path, sizeof out->path, "%s/%s.avro", x->o->folder, s->name);
    snprintf(out->part, sizeof out->part, "%s.part", out->path);
    if (x->o->mode != NJ_SINK_OVERWRITE && !access(out->path, F_OK))
        return nj_fail(x->err, "%s exists; --overwrite replaces it", out->path);
    if (!(out->file = fopen(out->part, "w"))) return cannot_write(out, x->err);
    nj_objects_schema(s, &schema);
    out->bytes.n = 0;
    nj_ocf_header(&out->bytes, schema.failed ? "" : schema.data, "zstandard", metadata, out->sync);
    const bool failed = schema.failed || out->bytes.failed;
    nj_buffer_free(&schema);
    if (failed) return nj_fail(x->err, "out of memory");
    x->told->survey[x->told->n_surveys++] = s->name;
    return fwrite(out->bytes.data, 1, out->bytes.n, out->file) == out->bytes.n ? 0
                                                                               : cannot_write(out, x->err);
}

static const nj_objects_survey *survey_of(const nj_objects *x, const char *name)
{
    for (uint32_t i = 0; i < x->n_surveys; i++)
        if (!strcmp(x->survey[i]->name, name)) return x->survey[i];
    return NULL;
}

static int end_object(nj_objects *x, const char *key)
{
    x->told->objects++;
    if (nj_objects_one_end(&x->one, key, &x->out.block, &x->told->repeated))
        return nj_fail(x->err, "out of memory");
    x->out.n++;
    return x->out.block.n < BLOCK ? 0 : write_block(&x->out, x->err);
}

/* The object of the present record is another one than `key` says: begins it. */
static int begin_object(nj_objects *x, nj_buffer *key, const nj_sorted *r)
{
    const char *survey = (const char *)r->key;
    const bool other = !key->n || strcmp(key->data, survey);
    const nj_objects_survey *s = survey_of(x, survey);
    if (key->n && end_object(x, key->data + strlen(key->data) + 1)) return -1;
    if (other) {
        nj_objects_one_close(&x->one);
        if (begin_file(x, s)) return -1;
        if (nj_objects_one_open(&x->one, s, (uint32_t)x->most_points))
            return nj_fail(x->err, "out of memory");
    }
    key->n = 0;
    nj_buffer_add(key, r->key, r->key_size - KEY_TAIL);
    nj_objects_one_begin(&x->one);
    return key->failed ? nj_fail(x->err, "out of memory") : 0;
}

static uint64_t ordered(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
    return value;
}

static int write_all(nj_objects *x)
{
    nj_sorted r;
    nj_buffer key = { 0 };
    int rc;
    while ((rc = nj_sorter_next(x->sorter, &r, x->err)) > 0) {
        const uint32_t n = r.key_size - KEY_TAIL;
        if (x->o->stop && *x->o->stop) break;
        if ((n != key.n || memcmp(r.key, key.data, n)) && begin_object(x, &key, &r)) {
            rc = -1;
            break;
        }
        uint64_t bits = ordered(r.key + n);
        double jd = NAN;
        bits = bits >> 63 ? bits & ~((uint64_t)1 << 63) : ~bits;
        if (ordered(r.key + n)) memcpy(&jd, &bits, sizeof jd);
        const int64_t id = (int64_t)(ordered(r.key + n + 8) ^ (uint64_t)1 << 63);
        if (nj_objects_one_add(&x->one, jd, id, (nj_objects_bytes){ r.payload, r.payload + r.size },
                               key.data + strlen(key.data) + 1, &x->told->repeated)) {
            rc = nj_fail(x->err, "out of memory");
            break;
        }
    }
    if (rc == 0 && key.n) rc = end_object(x, key.data + strlen(key.data) + 1);
    nj_buffer_free(&key);
    if (rc == 0) rc = end_file(&x->out, x->err);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int open_all(nj_objects *x)
{
    const char *items = nj_settings_get(x->o->settings, "decode", "max_items");
    x->most_points = items ? strtoll(items, NULL, 10) : 10000;
    if (x->most_points < 1) x->most_points = 10000;
    if (!(x->decoder = nj_decoder_new(x->o->settings, x->err)) ||
        !(x->sorter = nj_sorter_new(x->o->work, x->o->memory, x->err)))
        return -1;
    x->reader.o = (nj_reader_options){ .decoder = x->decoder,
                                       .batch_rows = NJ_BATCH_ROWS,
                                       .batch_bytes = BATCH_BYTES,
                                       .layout = layout_of,
                                       .full = take_batch,
                                       .opaque = x };
    return 0;
}

int nj_objects_merge(const nj_objects_options *options, nj_objects **objects, nj_objects_account *account,
                     nj_error *err)
{
    nj_objects *x = *objects = calloc(1, sizeof *x);
    *account = (nj_objects_account){ 0 };
    if (!x) return nj_fail(err, "out of memory"), NJ_EXIT_LEDGER;
    *x = (nj_objects){ .o = options, .told = account, .err = err };
    if (open_all(x)) return NJ_EXIT_USAGE;
    x->feed = nj_feed_open(options->settings, options->source, options->n_sources, 0, err);
    if (!x->feed) return NJ_EXIT_SOURCE;
    const int rc = read_all(x);
    nj_reader_free(&x->reader);
    nj_feed_close(x->feed);
    x->feed = NULL;
    if (x->dead && (nj_dead_letters_close(x->dead, err) || rc == 1)) return x->dead = NULL, NJ_EXIT_LEDGER;
    x->dead = NULL;
    if (rc == 2) return NJ_EXIT_INTERRUPTED;
    if (rc) return rc < 0 ? NJ_EXIT_SOURCE : NJ_EXIT_LEDGER;
    account->runs = nj_sorter_runs(x->sorter);
    if (write_all(x) < 0) return NJ_EXIT_LEDGER;
    if (options->stop && *options->stop) return NJ_EXIT_INTERRUPTED;
    account->merged = account->read - account->keyless - account->far - account->repeated - account->dead;
    return NJ_EXIT_OK;
}

void nj_objects_free(nj_objects *x)
{
    if (!x) return;
    nj_error ignored;
    if (x->dead) nj_dead_letters_close(x->dead, &ignored);
    if (x->out.file) {
        fclose(x->out.file);
        unlink(x->out.part);
    }
    nj_objects_one_close(&x->one);
    nj_buffer_free(&x->out.block);
    nj_buffer_free(&x->out.bytes);
    nj_buffer_free(&x->key);
    nj_buffer_free(&x->payload);
    nj_sorter_free(x->sorter);
    nj_reader_free(&x->reader);
    nj_feed_close(x->feed);
    nj_decoder_free(x->decoder);
    for (uint32_t i = 0; i < x->n_surveys; i++) nj_objects_survey_free(x->survey[i]);
    free(x);
}
