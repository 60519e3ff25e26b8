/* avro.c - an Avro OCF: keys become nested records at their dots ("roid.roid" is field roid of record roid),
 * every value is a union with null. avro-c encodes the rows. Header and blocks are our own: its file writer
 * (1.11.1) has no way to put the provenance into the header, and does not report that the disk is full. */
#include <avro.h>
#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../batch/cell.h"
#include "classes.h"
#include "file.h"
#include "ocf.h"
#include "packed.h"

typedef struct avro_conf {
    const char *codec;
    int64_t block_bytes;
} avro_conf;

const nj_param nj_avro_settings[] = {
    { "codec", NJ_STR, "null", offsetof(avro_conf, codec), 0, 0, "1",
      "compression of the blocks: null, deflate or snappy" },
    { "block_bytes", NJ_I64, "1M", offsetof(avro_conf, block_bytes), 4096, 1 << 28, "byte",
      "a block is written when it is larger, or at a flush" },
    { 0 },
};

enum { ROW_MOST = 1 << 30 };

typedef struct avro_sink {
    nj_sink base;
    nj_outfile file;
    avro_conf conf;
    char codec[16];
    bool begun;
    uint8_t marker[NJ_OCF_SYNC];
    nj_buffer block, packed, out; /* rows of the open block; compressed; framed */
    int64_t n_rows, all_rows; /* in the open block; in the file, but for those of runs without a journal */
    uint64_t plain, given;    /* bytes of the blocks that were written, before and after the codec */
    nj_sink_args args;
    struct libdeflate_compressor *deflate;
    avro_writer_t writer; /* into room of block */
    avro_value_iface_t *iface;
    avro_value_t row, *leaf; /* leaf[field]: its union inside row; stays put for the life of row */
} avro_sink;

/* ---- schema ---------------------------------------------------------------------------------- */

/* One level of the nested records: a name, and either a field's number or children. */
typedef struct node {
    char *name;
    int32_t field;              /* -1 = a record */
    uint32_t first, last, next; /* children and siblings, as indices; 0 = none (0 is the root) */
} node;

typedef struct tree {
    node *node;
    uint32_t n, cap;
    nj_arena arena;
} tree;

/* A part of a key as an Avro name: [A-Za-z_][A-Za-z0-9_]*;
 * "fp_hists[]" is fp_hists, every other character that Avro does not allow becomes '_'. */
static char *avro_name(nj_arena *arena, const char *part, size_t n)
{
    char *name = nj_arena_alloc(arena, n + 2), *p = name;
    if (!name) return NULL;
    if (n >= 2 && !memcmp(part + n - 2, "[]", 2)) n -= 2;
    if (n == 0 || (part[0] >= '0' && part[0] <= '9')) *p++ = '_';
    for (size_t i = 0; i < n; i++) {
        char c = part[i], lower = (char)(c | 32);
        *p++ = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' ? c : '_';
    }
    *p = 0;
    return name;
}

static uint32_t add_node(tree *t, uint32_t parent, char *name, int32_t field)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        node *more = nj_arena_alloc(&t->arena, t->cap * sizeof *more);
        if (!more) return 0;
        if (t->n) memcpy(more, t->node, t->n * sizeof *more);
        t->node = more;
    }
    uint32_t i = t->n++;
    t->node[i] = (node){ .name = name, .field = field };
    if (i == 0) return 0; /* the root */
    if (t->node[parent].last)
        t->node[t->node[parent].last].next = i;
    else
        t->node[parent].first = i;
    t->node[parent].last = i;
    return i;
}

static int add_key(tree *t, const nj_field *field, int32_t number, const char *path, nj_error *err)
{
    uint32_t at = 0;
    for (const char *part = field->key;;) {
        const char *dot = strchr(part, '.');
        char *name = avro_name(&t->arena, part, dot ? (size_t)(dot - part) : strlen(part));
        if (!name) return nj_fail(err, "%s: out of memory", path);
        uint32_t child = t->node[at].first;
        while (child && strcmp(t->node[child].name, name)) child = t->node[child].next;
        if (child && (!dot || t->node[child].field >= 0))
            return nj_fail(err, "%s: the column %s has the same Avro name as another", path, field->key);
        if (!child) child = add_node(t, at, name, dot ? -1 : number);
        if (!child) return nj_fail(err, "%s: out of memory", path);
        if (!dot) return 0;
        at = child;
        part = dot + 1;
    }
}

static const char *avro_type(const nj_field *field)
{
    static const char *const type[] = { "", "int", "int", "long", "float", "double", "string" };
    return nj_field_kind(field) == NJ_CELL_TEXT ? "string" : type[field->type];
}

static void add_type(nj_buffer *out, const nj_field *field)
{
    const char *type = avro_type(field);
    if (field->width == 1)
        nj_buffer_printf(out, "[\"null\",\"%s\"]", type);
    else
        nj_buffer_printf(out, "[\"null\",{\"type\":\"array\",\"items\":[\"null\",\"%s\"]}]", type);
}

/* Names of nested records are unique by their namespace: nightjar.alert.roid,
 * nightjar.alert.packet.candidate. */
static void add_record(nj_buffer *out, const tree *t, uint32_t at, const char *space, const nj_field *field)
{
    const node *n = &t->node[at];
    char inner[512];
    nj_buffer_printf(out, "{\"type\":\"record\",\"name\":\"%s\",\"namespace\":\"%s\",\"fields\":[", n->name,
                     space);
    snprintf(inner, sizeof inner, "%s.%s", space, n->name);
    for (uint32_t child = n->first; child; child = t->node[child].next) {
        const node *c = &t->node[child];
        nj_buffer_printf(out, "%s{\"name\":\"%s\",\"type\":", child == n->first ? "" : ",", c->name);
        if (c->field < 0) {
            add_record(out, t, child, inner, field);
        } else {
            const nj_field *f = &field[c->field];
            add_type(out, f);
            nj_buffer_text(out, ",\"default\":null,\"key\":");
            nj_json_text(out, f->key);
            if (f->unit) nj_buffer_text(out, ",\"unit\":"), nj_json_text(out, f->unit);
            if (f->doc) nj_buffer_text(out, ",\"doc\":"), nj_json_text(out, f->doc);
        }
        nj_buffer_text(out, "}");
    }
    nj_buffer_text(out, "]}");
}

static int find_leaves(avro_sink *s, const tree *t, uint32_t at, avro_value_t *record)
{
    size_t i = 0;
    for (uint32_t child = t->node[at].first; child; child = t->node[child].next, i++) {
        avro_value_t value;
        if (avro_value_get_by_index(record, i, &value, NULL)) return -1;
        if (t->node[child].field >= 0)
            s->leaf[t->node[child].field] = value;
        else if (find_leaves(s, t, child, &value))
            return -1;
    }
    return 0;
}

/* ---- the sink -------------------------------------------------------------------------------- */

static int failed(const avro_sink *s, const char *doing, nj_error *err)
{
    return nj_fail(err, "%s: %s: %s", s->file.path, doing, avro_strerror());
}

static nj_sink *open_avro(const nj_sink_args *args, nj_error *err)
{
    avro_sink *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "avro: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_avro;
    s->file.fd = -1;
    if (nj_packed_check(args->target, "avro", false, "[sink.avro] codec = deflate packs its blocks", err))
        goto bad;
    if (nj_settings_apply(args->settings, "sink.avro", nj_avro_settings, NULL, &s->conf, err)) goto bad;
    if (strcmp(s->conf.codec, "null") && strcmp(s->conf.codec, "deflate") &&
        strcmp(s->conf.codec, "snappy")) {
        nj_fail(err, "[sink.avro] codec = %s is none of null, deflate, snappy", s->conf.codec);
        goto bad;
    }
    snprintf(s->codec, sizeof s->codec, "%s", s->conf.codec);
    s->conf.codec = s->codec; /* the settings may not live as long */
    if (nj_outfile_open_for(&s->file, args, true, err)) goto bad;
    s->args = *args; /* run, configuration and mark live as long as the sink */
    if (nj_outfile_must_be_plain(&s->file, err) == 0) return &s->base;
bad:
    nj_outfile_close(&s->file, true, NULL);
    free(s);
    return NULL;
}

static int begin_file(avro_sink *s, const char *schema, const nj_metadata *metadata, nj_error *err)
{
    const nj_mark *mark = s->args.mark && s->args.mark->kind == NJ_MARK_THERE ? s->args.mark : NULL;
    if (mark) s->all_rows = mark->rows;
    if (s->file.size) /* --append, --resume */
        return nj_ocf_continue(&s->file, schema, s->codec, mark ? mark->bytes : -1, s->marker, err) ||
                       nj_outfile_begin(&s->file, &s->args, s->all_rows, err)
                   ? -1
                   : 0;
    nj_ocf_header(&s->out, schema, s->codec, metadata, s->marker);
    if (s->out.failed) return nj_fail(err, "%s: out of memory", s->file.path);
    size_t n = s->out.n;
    s->out.n = 0;
    return nj_outfile_write(&s->file, s->out.data, n, err);
}

static int begin_row(avro_sink *s, const tree *t, const char *schema, uint32_t n_fields, nj_error *err)
{
    avro_schema_t parsed = NULL;
    int rc = 0;
    s->leaf = calloc(n_fields + 1, sizeof *s->leaf);
    if (!s->leaf) return nj_fail(err, "%s: out of memory", s->file.path);
    if (avro_schema_from_json_length(schema, strlen(schema), &parsed)) return failed(s, "schema", err);
    s->iface = avro_generic_class_from_schema(parsed);
    if (!s->iface || avro_generic_value_new(s->iface, &s->row) || find_leaves(s, t, 0, &s->row))
        rc = failed(s, "schema", err);
    avro_schema_decref(parsed);
    s->writer = avro_writer_memory("", 0);
    if (!strcmp(s->codec, "deflate")) s->deflate = libdeflate_alloc_compressor(6);
    if (!s->writer || (!s->deflate && !strcmp(s->codec, "deflate")))
        rc = nj_fail(err, "%s: out of memory", s->file.path);
    return rc;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    avro_sink *s = (avro_sink *)sink;
    tree t = { 0 };
    nj_buffer schema = { 0 };
    int rc = 0;
    add_node(&t, 0, "alert", -1);
    if (!t.node) rc = nj_fail(err, "%s: out of memory", s->file.path);
    for (uint32_t f = 0; f < n_fields && !rc; f++) rc = add_key(&t, &field[f], (int32_t)f, s->file.path, err);
    if (!rc) {
        add_record(&schema, &t, 0, "nightjar", field);
        if (schema.failed) rc = nj_fail(err, "%s: out of memory", s->file.path);
    }
    if (!rc) rc = begin_row(s, &t, schema.data, n_fields, err);
    if (!rc) rc = begin_file(s, schema.data, metadata, err);
    s->begun = !rc;
    nj_buffer_free(&schema);
    nj_arena_free(&t.arena);
    return rc;
}

/* One value into the union `leaf`. */
static int put(avro_value_t *leaf, const nj_field *field, nj_cell cell)
{
    avro_value_t v;
    int rc = avro_value_set_branch(leaf, cell.kind == NJ_CELL_NULL ? 0 : 1, &v);
    if (rc) return rc;
    switch (cell.kind) {
    case NJ_CELL_NULL: return avro_value_set_null(&v);
    case NJ_CELL_INT:
        return field->type == NJ_I64 ? avro_value_set_long(&v, cell.i)
                                     : avro_value_set_int(&v, (int32_t)cell.i);
    case NJ_CELL_REAL:
        return field->type == NJ_F32 ? avro_value_set_float(&v, (float)cell.f)
                                     : avro_value_set_double(&v, cell.f);
    default: return avro_value_set_string(&v, cell.text);
    }
}

static int put_column(avro_value_t *leaf, const nj_field *field, const nj_col *col, uint32_t row)
{
    size_t from, to;
    if (!nj_cell_range(field, col, row, &from, &to))
        return put(leaf, field, (nj_cell){ NJ_CELL_NULL, { 0 } });
    if (field->width == 1) return put(leaf, field, nj_cell_get(field, col->data, from));
    avro_value_t array, item;
    int rc = avro_value_set_branch(leaf, 1, &array);
    for (size_t i = from; i < to && !rc; i++) {
        rc = avro_value_append(&array, &item, NULL);
        if (!rc) rc = put(&item, field, nj_cell_get(field, col->data, i));
    }
    return rc;
}

static int write_block(avro_sink *s, nj_error *err)
{
    if (!s->n_rows) return 0;
    const nj_buffer *data = nj_ocf_pack(s->codec, s->deflate, &s->block, &s->packed);
    s->out.n = 0;
    nj_ocf_long(&s->out, s->n_rows);
    if (data) nj_ocf_bytes(&s->out, data->data, data->n);
    nj_buffer_add(&s->out, s->marker, NJ_OCF_SYNC);
    if (!data || s->out.failed) return nj_fail(err, "%s: out of memory", s->file.path);
    s->plain += s->block.n;
    s->given += data->n;
    s->block.n = 0;
    s->all_rows += s->n_rows;
    s->n_rows = 0;
    return nj_outfile_write(&s->file, s->out.data, s->out.n, err);
}

/* Encodes the row behind the block; the room grows until it fits. 1: the row is to blame, err says why. */
static int add_row(avro_sink *s, nj_error *err)
{
    for (size_t room = 4096;; room *= 4) {
        if (room > ROW_MOST)
            return nj_fail(err, "%s: a row of more than %d bytes", s->file.path, ROW_MOST), 1;
        char *at = nj_buffer_room(&s->block, room);
        if (!at) return nj_fail(err, "%s: out of memory", s->file.path);
        size_t free_bytes = s->block.cap - s->block.n;
        avro_writer_memory_set_dest(s->writer, at, (int64_t)free_bytes);
        int rc = avro_value_write(s->writer, &s->row);
        if (rc == 0) {
            s->block.n += (size_t)avro_writer_tell(s->writer);
            s->n_rows++;
            return 0;
        }
        if (rc != ENOSPC) return failed(s, "a row cannot be written", err), rc == ENOMEM ? -1 : 1;
        room = room < free_bytes ? free_bytes : room;
    }
}

/* The same answers. */
static int fill_row(avro_sink *s, const nj_rows *rows, uint32_t k, nj_error *err)
{
    avro_value_reset(&s->row);
    for (uint32_t f = 0; f < rows->n_fields; f++) {
        int rc = put_column(&s->leaf[f], &rows->field[f], &rows->value[f], rows->row[k]);
        if (rc) return failed(s, rows->field[f].key, err), rc == ENOMEM ? -1 : 1;
    }
    return add_row(s, err);
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    avro_sink *s = (avro_sink *)sink;
    for (uint32_t k = 0; k < rows->n; k++) {
        int rc = fill_row(s, rows, k, err);
        if (rc == 1 && nj_sink_refuse_row(&s->args, rows, k, "sink.avro", err->text)) continue;
        if (rc) return -1;
        if (s->block.n >= (size_t)s->conf.block_bytes && write_block(s, err)) return -1;
    }
    return 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    avro_sink *s = (avro_sink *)sink;
    return write_block(s, err) || nj_outfile_look(&s->file, err) ? -1 : 0;
}

static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    avro_sink *s = (avro_sink *)sink;
    return nj_outfile_commit(&s->file, s->all_rows, keep, err);
}

static int close_avro(nj_sink *sink, nj_error *err)
{
    avro_sink *s = (avro_sink *)sink;
    int rc = write_block(s, err);
    if (s->writer) avro_writer_free(s->writer);
    if (s->deflate) libdeflate_free_compressor(s->deflate);
    if (s->iface) {
        if (s->row.iface) avro_value_decref(&s->row);
        avro_value_iface_decref(s->iface);
    }
    if (nj_outfile_close(&s->file, !s->begun, rc ? NULL : err)) rc = -1;
    nj_buffer_free(&s->block);
    nj_buffer_free(&s->packed);
    nj_buffer_free(&s->out);
    free(s->leaf);
    free(s);
    return rc;
}

static void extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const avro_sink *s = (const avro_sink *)sink;
    *bytes = s->file.end;
    *rows = s->all_rows;
}

/* The open block packs as those before it did; the first perhaps to a third. */
static int64_t will_be(const nj_sink *sink)
{
    const avro_sink *s = (const avro_sink *)sink;
    double ratio = !strcmp(s->codec, "null") ? 1.0 : s->plain ? (double)s->given / (double)s->plain : 1.0 / 3;
    return s->file.end + (int64_t)(ratio * (double)s->block.n);
}

const nj_sink_class nj_sink_avro = {
    .scheme = "avro",
    .is_file = true,
    .ending = ".avro",
    .refuses = true,
    .form = "avro:PATH",
    .doc = "an Avro file, one nested record per instance, every value nullable; provenance in its header",
    .open = open_avro,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .look = nj_journal_look,
    .close = close_avro,
    .extent = extent,
    .will_be = will_be,
};
