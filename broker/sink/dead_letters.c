/* dead_letters.c - dead letters as an Avro OCF, one block per letter; in several files when the name has
 * places. */
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/embed.h"
#include "../base/json_scan.h"
#include "../base/utf8.h"
#include "file.h"
#include "ocf.h"
#include "rolled.h"
#include "sink.h"

struct nj_dead_letters {
    nj_outfile file;
    nj_buffer record, block;
    uint8_t sync[NJ_OCF_SYNC];
    uint64_t n;
    int64_t before;  /* letters that the journal knew of */
    nj_sink *rolled; /* several files: all of them, each with letters of its own; else NULL */
};

static int write_rolled(nj_dead_letters *d, const nj_dead *dead, uint32_t n, nj_error *err);

/* The schema as data/embed/dead_letter.avsc has it, on one line. */
static void add_own_schema(nj_buffer *out)
{
    const nj_embedded *file = nj_embedded_find("data/embed/dead_letter.avsc");
    for (const char *line = file->data; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        line += strspn(line, " ");
        nj_buffer_add(out, line, strcspn(line, "\n"));
    }
    nj_buffer_add(out, "", 1);
}

static nj_dead_letters *open_one(const nj_sink_args *args, bool *held, nj_error *err)
{
    const char *path = args->target;
    const nj_mark *mark = args->mark && args->mark->kind == NJ_MARK_THERE ? args->mark : NULL;
    nj_buffer schema = { 0 };
    nj_dead_letters *d = calloc(1, sizeof *d);
    if (!d) {
        nj_fail(err, "%s: out of memory", path);
        return NULL;
    }
    if (nj_outfile_open_for(&d->file, args, true, err)) {
        if (held) *held = d->file.held;
        goto failed;
    }
    add_own_schema(&schema);
    if (schema.failed) {
        nj_fail(err, "%s: out of memory", path);
        goto failed;
    }
    if (nj_outfile_mode(args) == NJ_SINK_APPEND && d->file.size) {
        if (nj_ocf_continue(&d->file, schema.data, "null", mark ? mark->bytes : -1, d->sync, err))
            goto failed;
        d->before = mark ? mark->rows : 0;
    } else {
        nj_ocf_header(&d->block, schema.data, "null", NULL, d->sync);
        if (d->block.failed) nj_fail(err, "%s: out of memory", path);
        if (d->block.failed || nj_outfile_write(&d->file, d->block.data, d->block.n, err)) goto failed;
        d->block.n = 0;
    }
    if (nj_outfile_begin(&d->file, args, d->before, err)) goto failed;
    nj_buffer_free(&schema);
    return d;
failed:
    nj_buffer_free(&schema);
    nj_outfile_close(&d->file, true, NULL);
    nj_buffer_free(&d->block);
    free(d);
    return NULL;
}

/* What to keep of a dead letter so that it can be decoded again. */
typedef struct letter {
    const char *framing;
    const void *schema; /* NULL = none */
    size_t schema_size;
    const uint8_t *packet;
    size_t size;
} letter;

static nj_framing framing_of(const nj_chunk *chunk)
{
    if (chunk->framing != NJ_FRAME_AUTO) return chunk->framing;
    if (chunk->size >= 4 && !memcmp(chunk->bytes, "Obj\1", 4)) return NJ_FRAME_OCF;
    return chunk->size && chunk->bytes[0] == 0 ? NJ_FRAME_CONFLUENT : NJ_FRAME_BARE;
}

static letter choose(const nj_dead *dead)
{
    const nj_chunk *chunk = dead->chunk;
    letter whole = { "ocf", NULL, 0, chunk->bytes, chunk->size };
    nj_framing framing = framing_of(chunk);
    if (framing == NJ_FRAME_CONFLUENT) whole.framing = "confluent";
    if (framing == NJ_FRAME_BARE) whole.framing = "bare";
    bool all = dead->bytes == chunk->bytes && dead->size == chunk->size;
    if (framing == NJ_FRAME_JSON && all) whole.framing = "json";
    bool within = dead->bytes >= chunk->bytes && dead->bytes < chunk->bytes + chunk->size;
    if (framing == NJ_FRAME_JSON && within && !all)
        return (letter){ "json", NULL, 0, dead->bytes, dead->size };
    if (framing == NJ_FRAME_JSON && !all) { /* the text of this packet: `bytes` may be what was made of it */
        const uint8_t *at = chunk->bytes, *piece = NULL;
        size_t size = 0;
        for (uint32_t k = 0; k <= dead->record; k++)
            if (!(piece = nj_json_piece(&at, chunk->bytes + chunk->size, &size))) break;
        return piece ? (letter){ "json", NULL, 0, piece, size }
                     : (letter){ "json", NULL, 0, chunk->bytes, chunk->size };
    }
    if (framing == NJ_FRAME_KEYED) {
        whole.framing = "keyed";
        whole.schema = chunk->key;
        whole.schema_size = chunk->key_size;
    }
    nj_ocf ocf;
    int64_t count;
    size_t data, next;
    if (framing != NJ_FRAME_OCF || all) return whole;
    if (!dead->bytes || nj_ocf_parse(&ocf, chunk->bytes, chunk->size)) return whole;
    /* the chunk's only record: keep the packet as it came.
     * Of several, the others are rows already: keep this one's bytes. */
    if (dead->record == 0 &&
        nj_ocf_block(&ocf, chunk->bytes, chunk->size, ocf.size, &count, &data, &next) == 0 && count == 1 &&
        next == chunk->size)
        return whole;
    return (letter){ "datum", ocf.schema, ocf.schema_size, dead->bytes, dead->size };
}

/* A schema that is no UTF-8 decodes nothing, but it must not stop the readers of this file. */
static void add_schema(nj_buffer *out, const char *bytes, size_t n)
{
    nj_buffer text = { 0 };
    nj_buffer_add(&text, bytes, n);
    if (!text.failed && !nj_utf8_is(text.data))
        nj_ocf_text(out, text.data);
    else
        nj_ocf_bytes(out, bytes, n);
    out->failed |= text.failed;
    nj_buffer_free(&text);
}

static void add_letter(nj_buffer *out, const nj_dead *dead)
{
    char origin[4096] = "";
    letter l = { "datum", NULL, 0, dead->bytes, dead->size };
    const char *topic = NULL;
    if (dead->chunk) {
        l = choose(dead);
        nj_chunk_where(dead->chunk, origin, sizeof origin);
        topic = dead->chunk->stream ? dead->chunk->stream->topic : NULL;
    }
    nj_ocf_text(out, origin);
    nj_ocf_long(out, dead->record);
    nj_ocf_text(out, dead->reason ? dead->reason : "");
    nj_ocf_text(out, dead->module ? dead->module : "");
    nj_ocf_optional_text(out, dead->field);
    nj_ocf_text(out, l.framing);
    nj_ocf_optional_text(out, topic);
    nj_ocf_long(out, l.schema ? 1 : 0);
    if (l.schema) add_schema(out, l.schema, l.schema_size);
    nj_ocf_bytes(out, l.packet, l.packet ? l.size : 0);
}

static int write_out(nj_dead_letters *file, nj_error *err)
{
    size_t n = file->block.n;
    file->block.n = 0;
    return n ? nj_outfile_write(&file->file, file->block.data, n, err) : 0;
}

int nj_dead_letters_write(nj_dead_letters *file, const nj_dead *dead, uint32_t n, nj_error *err)
{
    if (file->rolled) return write_rolled(file, dead, n, err);
    for (uint32_t i = 0; i < n; i++) {
        /* one record per block: a packet can be large, and a damaged file loses one letter only */
        file->record.n = 0;
        add_letter(&file->record, &dead[i]);
        nj_ocf_long(&file->block, 1);
        nj_ocf_bytes(&file->block, file->record.data, file->record.n);
        nj_buffer_add(&file->block, file->sync, NJ_OCF_SYNC);
        file->n++;
        if (file->record.failed || file->block.failed)
            return nj_fail(err, "%s: out of memory", file->file.path);
        if (file->block.n > 1 << 20 && write_out(file, err)) return -1;
    }
    return 0;
}

/* Nothing is written: what reaches the disk by itself, before the commit, may be half a letter, and readers
 * of Avro stop there. */
int nj_dead_letters_flush(nj_dead_letters *file, nj_error *err)
{
    return file->rolled ? file->rolled->class->flush(file->rolled, err) : nj_outfile_look(&file->file, err);
}

int nj_dead_letters_commit(nj_dead_letters *file, const nj_keep *keep, nj_error *err)
{
    if (file->rolled) return file->rolled->class->commit(file->rolled, keep, err);
    if (write_out(file, err)) return -1;
    return nj_outfile_commit(&file->file, file->before + (int64_t)file->n, keep, err);
}

uint64_t nj_dead_letters_count(const nj_dead_letters *file)
{
    return file->n;
}

int nj_dead_letters_close(nj_dead_letters *file, nj_error *err)
{
    if (!file) return 0;
    int rc = write_out(file, err);
    if (file->rolled)
        rc = file->rolled->class->close(file->rolled, err);
    else if (nj_outfile_close(&file->file, file->n == 0 && file->before == 0, rc ? NULL : err))
        rc = -1;
    nj_buffer_free(&file->record);
    nj_buffer_free(&file->block);
    free(file);
    return rc;
}

/* ---- in several files ------------------------------------------------------------------------ */

/* To the rules of such outputs a letter is a row with a time. The packet could not be read, so the time is
 * that of its publication, or the clock's where it has none. */
enum { JD, LETTER, FIELDS };
static const nj_field field[FIELDS] = { { .key = "jd", .type = NJ_F64, .width = 1 },
                                        { .key = "letter", .type = NJ_U8, .width = 1 } };

typedef struct part {
    nj_sink base;
    nj_dead_letters *letters;
} part;

static int part_begin(nj_sink *sink, const nj_field *fields, uint32_t n_fields, const nj_metadata *metadata,
                      nj_error *err)
{
    (void)sink, (void)fields, (void)n_fields, (void)metadata, (void)err;
    return 0;
}

static int part_write(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    const nj_dead *dead = rows->value[LETTER].data;
    for (uint32_t k = 0; k < rows->n; k++)
        if (nj_dead_letters_write(((part *)sink)->letters, &dead[rows->row[k]], 1, err)) return -1;
    return 0;
}

static int part_flush(nj_sink *sink, nj_error *err)
{
    return nj_dead_letters_flush(((part *)sink)->letters, err);
}

static int part_commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    return nj_dead_letters_commit(((part *)sink)->letters, keep, err);
}

static int part_close(nj_sink *sink, nj_error *err)
{
    int rc = nj_dead_letters_close(((part *)sink)->letters, err);
    free(sink);
    return rc;
}

static void part_extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const nj_dead_letters *d = ((const part *)sink)->letters;
    *bytes = d->file.end + (int64_t)d->block.n;
    *rows = d->before + (int64_t)d->n;
}

static nj_sink *part_open(const nj_sink_args *args, nj_error *err);
static const nj_sink_class parts = { .scheme = "dead letters",
                                     .is_file = true,
                                     .open = part_open,
                                     .begin = part_begin,
                                     .write = part_write,
                                     .flush = part_flush,
                                     .commit = part_commit,
                                     .close = part_close,
                                     .extent = part_extent };

static nj_sink *part_open(const nj_sink_args *args, nj_error *err)
{
    part *p = calloc(1, sizeof *p);
    if (!p) {
        nj_fail(err, "%s: out of memory", args->target);
        return NULL;
    }
    p->base.class = &parts;
    p->letters = open_one(args, NULL, err);
    if (p->letters) return &p->base;
    free(p);
    return NULL;
}

static nj_dead_letters *open_rolled(const nj_sink_args *args, nj_error *err)
{
    static const nj_metadata none[] = { { NULL, NULL } };
    nj_dead_letters *d = calloc(1, sizeof *d);
    if (!d) {
        nj_fail(err, "%s: out of memory", args->target);
        return NULL;
    }
    d->rolled = nj_rolled_open(&parts, args, err);
    if (d->rolled && d->rolled->class->begin(d->rolled, field, FIELDS, none, err) == 0) return d;
    if (d->rolled) d->rolled->class->close(d->rolled, NULL);
    free(d);
    return NULL;
}

nj_dead_letters *nj_dead_letters_open_for(const nj_sink_args *args, bool *held, nj_error *err)
{
    return nj_rolled_is(args->target) ? open_rolled(args, err) : open_one(args, held, err);
}

nj_dead_letters *nj_dead_letters_open(const char *path, nj_sink_mode mode, bool *held, nj_error *err)
{
    return nj_dead_letters_open_for(&(nj_sink_args){ .target = path, .mode = mode }, held, err);
}

static double jd_of(const nj_dead *dead)
{
    int64_t ms = dead->chunk ? dead->chunk->publish_ms : 0;
    if (ms <= 0) ms = nj_calendar_ns() / 1000000;
    return 2440587.5 + (double)ms / 86400e3;
}

static int write_rolled(nj_dead_letters *d, const nj_dead *dead, uint32_t n, nj_error *err)
{
    double *jd = malloc((n + 1) * sizeof *jd);
    uint32_t *row = malloc((n + 1) * sizeof *row);
    for (uint32_t i = 0; jd && row && i < n; i++) {
        jd[i] = jd_of(&dead[i]);
        row[i] = i;
    }
    const nj_col value[FIELDS] = { [JD] = { .data = jd }, [LETTER] = { .data = dead } };
    const nj_rows rows = { .field = field, .n_fields = FIELDS, .value = value, .row = row, .n = n };
    int rc = jd && row ? d->rolled->class->write(d->rolled, &rows, err) : nj_fail(err, "out of memory");
    d->n += rc ? 0 : n;
    free(jd);
    free(row);
    return rc;
}

int nj_dead_letters_look(const char *path, nj_mark *mark, nj_error *err)
{
    return nj_rolled_is(path) ? nj_rolled_look(&parts, path, mark, err) : nj_journal_look(path, mark, err);
}

bool nj_dead_letters_due(nj_dead_letters *d)
{
    return d->rolled && d->rolled->class->due(d->rolled);
}

bool nj_dead_letters_files(const nj_dead_letters *d, nj_sink_files *files)
{
    if (d->rolled) d->rolled->class->files(d->rolled, files);
    return d->rolled != NULL;
}
