/* writer.c - Debian 12 has no C library for Parquet, so the files that people load into their tables are
 * written here. */
#include "writer.h"

#include <libdeflate.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>

#include "encode.h"
#include "thrift_write.h"

enum { LEVELS_MOST = 1 << 20, TEXT_MOST = 256 }; /* of a page; of a text in statistics */

/* What is used for one page, and again for the next one. */
typedef struct nj_parquet_packing {
    nj_buffer page, packed, head, number; /* number: uint32_t[], levels of a page */
    ZSTD_CCtx *zstd;
    struct libdeflate_compressor *gzip;
} packing;

/* A column chunk that is being written. */
typedef struct chunk {
    nj_parquet_writer *w;
    uint32_t column;
    size_t width;             /* of a value; 0 = texts */
    uint8_t there;            /* the level of a value */
    uint64_t at;              /* in the file */
    int64_t data, dictionary; /* where the first pages are; -1 = no dictionary */
    uint64_t plain, packed;
} chunk;

static const uint8_t width_of[] = { [NJ_PARQUET_I32] = 4,
                                    [NJ_PARQUET_I64] = 8,
                                    [NJ_PARQUET_F32] = 4,
                                    [NJ_PARQUET_F64] = 8,
                                    [NJ_PARQUET_BYTES] = 0 };
static const uint8_t physical[] = { [NJ_PARQUET_I32] = NJ_PQ_INT32,
                                    [NJ_PARQUET_I64] = NJ_PQ_INT64,
                                    [NJ_PARQUET_F32] = NJ_PQ_FLOAT,
                                    [NJ_PARQUET_F64] = NJ_PQ_DOUBLE,
                                    [NJ_PARQUET_BYTES] = NJ_PQ_BYTE_ARRAY };

static int no_memory(nj_error *err)
{
    return nj_fail(err, "Parquet: out of memory");
}

/* ---- the schema ------------------------------------------------------------------------------ */

static void add_node(nj_parquet_writer *w, const char *name, int repetition, int32_t n_children,
                     const nj_parquet_new *leaf, bool is_list)
{
    nj_thrift_out t = { &w->schema, 0 }, type, kind;
    if (leaf) nj_thrift_put_i32(&t, NJ_PQ_SE_TYPE, physical[leaf->type]);
    if (repetition >= 0) nj_thrift_put_i32(&t, NJ_PQ_SE_REPETITION, repetition);
    nj_thrift_put_text(&t, NJ_PQ_SE_NAME, name);
    if (n_children) nj_thrift_put_i32(&t, NJ_PQ_SE_CHILDREN, n_children);
    bool text = leaf && leaf->kind == NJ_PARQUET_TEXT, byte = leaf && leaf->kind == NJ_PARQUET_UNSIGNED;
    if (text || byte || is_list) {
        nj_thrift_put_i32(&t, NJ_PQ_SE_CONVERTED, text ? NJ_PQ_UTF8 : byte ? NJ_PQ_UINT_8 : NJ_PQ_LIST);
        type = nj_thrift_put_struct(&t, NJ_PQ_SE_LOGICAL);
        kind = nj_thrift_put_struct(&type, text ? NJ_PQ_LT_STRING : byte ? NJ_PQ_LT_INTEGER : NJ_PQ_LT_LIST);
        if (byte) nj_thrift_put_byte(&kind, NJ_PQ_IT_WIDTH, 8);
        if (byte) nj_thrift_put_bool(&kind, NJ_PQ_IT_SIGNED, false);
        nj_thrift_end(&kind);
        nj_thrift_end(&type);
    }
    nj_thrift_end(&t);
    w->n_schema++;
}

/* Does a struct begin with column c? How many columns it has; 0 = no. */
static int32_t begins_group(const nj_parquet_writer *w, uint32_t c)
{
    const char *group = w->column[c].group;
    if (!group || (c && w->column[c - 1].group && !strcmp(w->column[c - 1].group, group))) return 0;
    uint32_t end = c;
    while (end < w->n_columns && w->column[end].group && !strcmp(w->column[end].group, group)) end++;
    return (int32_t)(end - c);
}

static void add_schema(nj_parquet_writer *w)
{
    int32_t n_top = 0;
    for (uint32_t c = 0; c < w->n_columns; c++) n_top += !w->column[c].group || begins_group(w, c);
    add_node(w, "alert", -1, n_top, NULL, false);
    for (uint32_t c = 0; c < w->n_columns; c++) {
        const nj_parquet_new *column = &w->column[c];
        const int32_t n_group = begins_group(w, c);
        if (n_group) add_node(w, column->group, NJ_PQ_REQUIRED, n_group, NULL, false);
        add_node(w, column->name, NJ_PQ_OPTIONAL, column->list, column->list ? NULL : column, column->list);
        if (!column->list) continue;
        add_node(w, "list", NJ_PQ_REPEATED, 1, NULL, false);
        add_node(w, "element", NJ_PQ_OPTIONAL, 0, column, false);
    }
}

int nj_parquet_writer_begin(nj_parquet_writer *w, const nj_parquet_new *column, uint32_t n, nj_error *err)
{
    w->column = column;
    w->n_columns = n;
    w->store = calloc(n + 1, sizeof *w->store);
    packing *p = w->packing = calloc(1, sizeof *p);
    if (!w->store || !p) return no_memory(err);
    if (w->codec == NJ_PQ_ZSTD && !(p->zstd = ZSTD_createCCtx())) return no_memory(err);
    if (w->codec == NJ_PQ_GZIP && !(p->gzip = libdeflate_alloc_compressor(w->level))) return no_memory(err);
    add_schema(w);
    return w->schema.failed ? no_memory(err) : 0;
}

void nj_parquet_writer_free(nj_parquet_writer *w)
{
    packing *p = w->packing;
    for (uint32_t c = 0; w->store && c < w->n_columns; c++) {
        nj_buffer_free(&w->store[c].value);
        nj_buffer_free(&w->store[c].level);
    }
    free(w->store);
    nj_buffer_free(&w->schema);
    nj_buffer_free(&w->groups);
    nj_buffer_free(&w->keys);
    if (p) {
        nj_buffer_free(&p->page);
        nj_buffer_free(&p->packed);
        nj_buffer_free(&p->head);
        nj_buffer_free(&p->number);
        ZSTD_freeCCtx(p->zstd);
        if (p->gzip) libdeflate_free_compressor(p->gzip);
    }
    free(p);
    *w = (nj_parquet_writer){ 0 };
}

bool nj_parquet_failed(const nj_parquet_writer *w)
{
    bool failed = w->groups.failed || w->keys.failed;
    for (uint32_t c = 0; c < w->n_columns; c++)
        failed |= w->store[c].value.failed || w->store[c].level.failed;
    return failed;
}

void nj_parquet_drop_rows(nj_parquet_writer *w)
{
    for (uint32_t c = 0; c < w->n_columns; c++) w->store[c].value.n = w->store[c].level.n = 0;
    w->n_open = w->n_bytes = 0;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* The page as the codec has it; NULL = out of memory. */
static const nj_buffer *pack(nj_parquet_writer *w)
{
    packing *p = w->packing;
    const nj_buffer *page = &p->page;
    size_t n = w->codec == NJ_PQ_ZSTD     ? ZSTD_compressBound(page->n)
               : w->codec == NJ_PQ_GZIP   ? libdeflate_gzip_compress_bound(p->gzip, page->n)
               : w->codec == NJ_PQ_SNAPPY ? snappy_max_compressed_length(page->n)
                                          : 0;
    if (!n) return page;
    p->packed.n = 0;
    char *to = nj_buffer_room(&p->packed, n);
    if (!to) return NULL;
    if (w->codec == NJ_PQ_ZSTD) {
        n = ZSTD_compressCCtx(p->zstd, to, n, page->data, page->n, w->level);
        if (ZSTD_isError(n)) return NULL;
    } else if (w->codec == NJ_PQ_GZIP) {
        n = libdeflate_gzip_compress(p->gzip, page->data, page->n, to, n);
        if (!n) return NULL;
    } else if (snappy_compress(page->data, page->n, to, &n) != SNAPPY_OK) {
        return NULL;
    }
    p->packed.n = n;
    return &p->packed;
}

static int write_page(chunk *k, int kind, uint32_t n_values, int encoding, nj_error *err)
{
    packing *p = k->w->packing;
    const nj_buffer *body = pack(k->w);
    p->head.n = 0;
    if (!body || p->page.failed || body->n > INT32_MAX || p->page.n > INT32_MAX) return no_memory(err);
    nj_thrift_out t = { &p->head, 0 };
    nj_thrift_put_i32(&t, NJ_PQ_PH_KIND, kind);
    nj_thrift_put_i32(&t, NJ_PQ_PH_PLAIN, (int32_t)p->page.n);
    nj_thrift_put_i32(&t, NJ_PQ_PH_PACKED, (int32_t)body->n);
    nj_thrift_put_i32(&t, NJ_PQ_PH_CRC, (int32_t)libdeflate_crc32(0, body->data, body->n));
    bool data = kind == NJ_PQ_DATA_PAGE;
    nj_thrift_out of = nj_thrift_put_struct(&t, data ? NJ_PQ_PH_DATA : NJ_PQ_PH_DICTIONARY);
    nj_thrift_put_i32(&of, NJ_PQ_DP_VALUES, (int32_t)n_values);
    nj_thrift_put_i32(&of, NJ_PQ_DP_ENCODING, encoding);
    if (data) nj_thrift_put_i32(&of, NJ_PQ_DP_DEF_ENCODING, NJ_PQ_RLE);
    if (data) nj_thrift_put_i32(&of, NJ_PQ_DP_REP_ENCODING, NJ_PQ_RLE);
    nj_thrift_end(&of);
    nj_thrift_end(&t);
    if (p->head.failed) return no_memory(err);
    if (k->w->write(k->w->opaque, p->head.data, p->head.n, err) ||
        k->w->write(k->w->opaque, body->data, body->n, err))
        return -1;
    k->plain += p->head.n + p->page.n;
    k->packed += p->head.n + body->n;
    k->at += p->head.n + body->n;
    return 0;
}

/* Levels [from, to): how much is there, or which entries continue in a row; their length before them. */
static void add_levels(packing *p, const uint8_t *level, size_t n, bool repetition, uint32_t bits)
{
    p->number.n = 0;
    uint32_t *number = (uint32_t *)(void *)nj_buffer_room(&p->number, n * sizeof *number), size = 0;
    if (!number) {
        p->page.failed = 1;
        return;
    }
    for (size_t i = 0; i < n; i++)
        number[i] = repetition ? level[i] / NJ_PARQUET_MORE : level[i] % NJ_PARQUET_MORE;
    size_t at = p->page.n;
    nj_buffer_add(&p->page, &size, sizeof size);
    nj_rle_write(&p->page, number, n, bits);
    if (p->page.failed) return;
    size = (uint32_t)(p->page.n - at - sizeof size);
    memcpy(p->page.data + at, &size, sizeof size);
}

/* A piece of the column: levels [from, to), and its values. */
typedef struct piece {
    size_t from, to, value, n_values, byte, n_bytes;
} piece;

static int write_piece(chunk *k, const piece *of, const nj_dictionary *d, nj_error *err)
{
    packing *p = k->w->packing;
    const nj_parquet_store *s = &k->w->store[k->column];
    const uint8_t *level = (const uint8_t *)s->level.data + of->from;
    p->page.n = 0;
    bool list = k->w->column[k->column].list;
    if (list) add_levels(p, level, of->to - of->from, true, 1);
    add_levels(p, level, of->to - of->from, false, list ? 2 : 1);
    if (d) {
        uint8_t bits = (uint8_t)nj_rle_bits(d->n - 1);
        nj_buffer_add(&p->page, &bits, 1);
        nj_rle_write(&p->page, d->code + of->value, of->n_values, bits);
    } else if (of->n_bytes) {
        nj_buffer_add(&p->page, s->value.data + of->byte, of->n_bytes);
    }
    return write_page(k, NJ_PQ_DATA_PAGE, (uint32_t)(of->to - of->from),
                      d ? NJ_PQ_RLE_DICTIONARY : NJ_PQ_PLAIN, err);
}

/* Pages end between rows. */
static int write_pieces(chunk *k, const nj_dictionary *d, nj_error *err)
{
    const nj_parquet_store *s = &k->w->store[k->column];
    const uint8_t *level = (const uint8_t *)s->level.data;
    piece of = { 0 };
    for (; of.to < s->level.n; of.to++) {
        if (level[of.to] < NJ_PARQUET_MORE &&
            (of.n_bytes >= k->w->page_bytes || of.to - of.from >= LEVELS_MOST)) {
            if (write_piece(k, &of, d, err)) return -1;
            of = (piece){ of.to, of.to, of.value + of.n_values, 0, of.byte + of.n_bytes, 0 };
        }
        if (level[of.to] % NJ_PARQUET_MORE != k->there) continue;
        of.n_values++;
        of.n_bytes += nj_plain_size((const uint8_t *)s->value.data + of.byte + of.n_bytes, k->width);
    }
    return write_piece(k, &of, d, err);
}

/* ---- row groups ------------------------------------------------------------------------------ */

/* A smallest zero is -0, a largest +0: readers may take one for the other. Long texts are left out. */
static void add_extreme(nj_thrift_out *t, int id, const uint8_t *value, nj_parquet_type type)
{
    static const float f32[] = { -0.0f, 0.0f };
    static const double f64[] = { -0.0, 0.0 };
    size_t width = width_of[type], n = nj_plain_size(value, width);
    if (type == NJ_PARQUET_BYTES) value += 4, n -= 4;
    float f = 1;
    double d = 1;
    if (type == NJ_PARQUET_F32) memcpy(&f, value, sizeof f);
    if (type == NJ_PARQUET_F64) memcpy(&d, value, sizeof d);
    if (f == 0) value = (const uint8_t *)&f32[id == NJ_PQ_ST_MAX];
    if (d == 0) value = (const uint8_t *)&f64[id == NJ_PQ_ST_MAX];
    nj_thrift_put_binary(t, id, value, n);
}

static void add_statistics(nj_thrift_out *t, const chunk *k, const nj_buffer *values, size_t n_values,
                           size_t n_nulls)
{
    nj_parquet_type type = k->w->column[k->column].type;
    const uint8_t *min = NULL, *max = NULL;
    if (n_values) nj_plain_extremes(values, n_values, type, &min, &max);
    if (min && type == NJ_PARQUET_BYTES &&
        (nj_plain_size(min, 0) > TEXT_MOST || nj_plain_size(max, 0) > TEXT_MOST))
        min = NULL;
    nj_thrift_out of = nj_thrift_put_struct(t, NJ_PQ_CM_STATISTICS);
    nj_thrift_put_i64(&of, NJ_PQ_ST_NULLS, (int64_t)n_nulls);
    if (min) add_extreme(&of, NJ_PQ_ST_MAX, max, type);
    if (min) add_extreme(&of, NJ_PQ_ST_MIN, min, type);
    nj_thrift_end(&of);
}

static void add_path(nj_thrift_out *t, const nj_parquet_new *column)
{
    nj_thrift_put_list(t, NJ_PQ_CM_PATH, NJ_THRIFT_BINARY, (column->list ? 3 : 1) + (column->group != NULL));
    if (column->group) nj_thrift_item_binary(t->to, column->group, strlen(column->group));
    nj_thrift_item_binary(t->to, column->name, strlen(column->name));
    if (!column->list) return;
    nj_thrift_item_binary(t->to, "list", 4);
    nj_thrift_item_binary(t->to, "element", 7);
}

static void describe(nj_buffer *to, const chunk *k, const nj_dictionary *d, size_t n_values)
{
    const nj_parquet_new *column = &k->w->column[k->column];
    const nj_parquet_store *s = &k->w->store[k->column];
    nj_thrift_out t = { to, 0 };
    nj_thrift_put_i64(&t, NJ_PQ_CC_OFFSET, k->dictionary >= 0 ? k->dictionary : k->data);
    nj_thrift_out m = nj_thrift_put_struct(&t, NJ_PQ_CC_METADATA);
    nj_thrift_put_i32(&m, NJ_PQ_CM_TYPE, physical[column->type]);
    nj_thrift_put_list(&m, NJ_PQ_CM_ENCODINGS, NJ_THRIFT_I32, d ? 3 : 2);
    nj_thrift_item_i32(to, NJ_PQ_PLAIN);
    nj_thrift_item_i32(to, NJ_PQ_RLE);
    if (d) nj_thrift_item_i32(to, NJ_PQ_RLE_DICTIONARY);
    add_path(&m, column);
    nj_thrift_put_i32(&m, NJ_PQ_CM_CODEC, k->w->codec);
    nj_thrift_put_i64(&m, NJ_PQ_CM_VALUES, (int64_t)s->level.n);
    nj_thrift_put_i64(&m, NJ_PQ_CM_BYTES, (int64_t)k->plain);
    nj_thrift_put_i64(&m, NJ_PQ_CM_PACKED, (int64_t)k->packed);
    nj_thrift_put_i64(&m, NJ_PQ_CM_DATA, k->data);
    if (d) nj_thrift_put_i64(&m, NJ_PQ_CM_DICTIONARY, k->dictionary);
    add_statistics(&m, k, d ? &d->value : &s->value, d ? d->n : n_values, s->level.n - n_values);
    nj_thrift_end(&m);
    nj_thrift_end(&t);
}

static int write_chunk(chunk *k, nj_buffer *to, nj_error *err)
{
    const nj_parquet_store *s = &k->w->store[k->column];
    size_t n_values = 0;
    for (size_t i = 0; i < s->level.n; i++)
        n_values += (uint8_t)s->level.data[i] % NJ_PARQUET_MORE == k->there;
    nj_dictionary d;
    packing *p = k->w->packing;
    int pays = nj_dictionary_make(&d, &s->value, n_values, k->width), rc = 0;
    if (pays < 0) rc = no_memory(err);
    if (pays > 0) {
        k->dictionary = (int64_t)k->at;
        p->page.n = 0;
        nj_buffer_add(&p->page, d.value.data, d.value.n);
        rc = write_page(k, NJ_PQ_DICTIONARY_PAGE, d.n, NJ_PQ_PLAIN, err);
    }
    k->data = (int64_t)k->at;
    if (!rc) rc = write_pieces(k, pays > 0 ? &d : NULL, err);
    if (!rc) describe(to, k, pays > 0 ? &d : NULL, n_values);
    nj_dictionary_free(&d);
    return rc;
}

int nj_parquet_write_group(nj_parquet_writer *w, uint64_t at, nj_error *err)
{
    nj_buffer group = { 0 };
    nj_thrift_out t = { &group, 0 };
    uint64_t plain = 0, packed = 0, n_bytes = w->n_bytes;
    int rc = 0;
    if (!w->n_open) return 0;
    nj_thrift_put_list(&t, NJ_PQ_RG_COLUMNS, NJ_THRIFT_STRUCT, w->n_columns);
    for (uint32_t c = 0; c < w->n_columns && !rc; c++) {
        const nj_parquet_new *column = &w->column[c];
        chunk k = { .w = w,
                    .column = c,
                    .width = width_of[column->type],
                    .there = column->list ? 3 : 1,
                    .at = at + packed,
                    .dictionary = -1 };
        rc = write_chunk(&k, &group, err);
        plain += k.plain;
        packed += k.packed;
    }
    nj_thrift_put_i64(&t, NJ_PQ_RG_BYTES, (int64_t)plain);
    nj_thrift_put_i64(&t, NJ_PQ_RG_ROWS, (int64_t)w->n_open);
    nj_thrift_put_i64(&t, NJ_PQ_RG_OFFSET, (int64_t)at);
    nj_thrift_put_i64(&t, NJ_PQ_RG_PACKED, (int64_t)packed);
    nj_thrift_end(&t);
    if (!rc) nj_buffer_add(&w->groups, group.data, group.n);
    if (!rc && (group.failed || w->groups.failed)) rc = no_memory(err);
    nj_buffer_free(&group);
    if (rc) return rc;
    w->n_groups++;
    w->n_rows += w->n_open;
    w->plain += n_bytes;
    w->packed += packed;
    nj_parquet_drop_rows(w);
    return 0;
}

/* ---- the footer ------------------------------------------------------------------------------ */

void nj_parquet_add_key(nj_parquet_writer *w, const char *key, const char *value)
{
    nj_thrift_out t = { &w->keys, 0 };
    nj_thrift_put_text(&t, NJ_PQ_KV_KEY, key);
    nj_thrift_put_text(&t, NJ_PQ_KV_VALUE, value);
    nj_thrift_end(&t);
    w->n_keys++;
}

bool nj_parquet_has_key(const nj_parquet_writer *w, const char *key)
{
    nj_thrift r = { (const uint8_t *)w->keys.data, (const uint8_t *)w->keys.data + w->keys.n, 0 };
    bool found = false;
    for (uint32_t i = 0; i < w->n_keys && !r.bad && !found; i++) {
        nj_thrift_field f = { 0 };
        while (nj_thrift_next(&r, &f)) {
            uint32_t n;
            const uint8_t *text = nj_thrift_binary(&r, &n);
            found |= f.id == NJ_PQ_KV_KEY && n == strlen(key) && !memcmp(text, key, n);
        }
    }
    return found;
}

int nj_parquet_write_footer(nj_parquet_writer *w, nj_error *err)
{
    nj_buffer out = { 0 };
    nj_thrift_out t = { &out, 0 };
    nj_thrift_put_i32(&t, NJ_PQ_FM_VERSION, 1);
    nj_thrift_put_list(&t, NJ_PQ_FM_SCHEMA, NJ_THRIFT_STRUCT, w->n_schema);
    nj_buffer_add(&out, w->schema.data, w->schema.n);
    nj_thrift_put_i64(&t, NJ_PQ_FM_ROWS, (int64_t)w->n_rows);
    nj_thrift_put_list(&t, NJ_PQ_FM_GROUPS, NJ_THRIFT_STRUCT, w->n_groups);
    nj_buffer_add(&out, w->groups.data, w->groups.n);
    if (w->n_keys) nj_thrift_put_list(&t, NJ_PQ_FM_KEYS, NJ_THRIFT_STRUCT, w->n_keys);
    nj_buffer_add(&out, w->keys.data, w->keys.n);
    if (w->created_by) nj_thrift_put_text(&t, NJ_PQ_FM_CREATED_BY, w->created_by);
    nj_thrift_put_list(&t, NJ_PQ_FM_ORDERS, NJ_THRIFT_STRUCT, w->n_columns);
    for (uint32_t c = 0; c < w->n_columns; c++) { /* without it the extremes would be ignored */
        nj_thrift_out order = { &out, 0 }, type = nj_thrift_put_struct(&order, NJ_PQ_CO_TYPE);
        nj_thrift_end(&type);
        nj_thrift_end(&order);
    }
    nj_thrift_end(&t);
    uint32_t n = (uint32_t)out.n;
    nj_buffer_add(&out, &n, sizeof n);
    nj_buffer_add(&out, "PAR1", 4);
    int rc = out.failed || out.n > INT32_MAX ? no_memory(err) : w->write(w->opaque, out.data, out.n, err);
    nj_buffer_free(&out);
    return rc;
}

/* The items of a list of structs, without its head; how many. */
static uint32_t take_items(nj_thrift *r, const uint8_t **items, size_t *n)
{
    int of;
    uint32_t count = nj_thrift_list(r, &of);
    *items = r->p;
    if (count && of != NJ_THRIFT_STRUCT) r->bad = 1;
    for (uint32_t i = 0; i < count && !r->bad; i++) nj_thrift_skip(r, of, 0);
    *n = (size_t)(r->p - *items);
    return count;
}

int nj_parquet_take_up(nj_parquet_writer *w, const uint8_t *bytes, size_t n, size_t *footer)
{
    uint32_t size = 0, n_groups = 0, n_keys = 0;
    if (n < 12 || memcmp(bytes, "PAR1", 4) || memcmp(bytes + n - 4, "PAR1", 4)) return -1;
    memcpy(&size, bytes + n - 8, sizeof size);
    if (size > n - 12) return -1;
    *footer = n - 8 - size;
    nj_thrift r = { bytes + *footer, bytes + n - 8, 0 };
    nj_thrift_field f = { 0 };
    const uint8_t *schema = NULL, *groups = NULL, *keys = NULL;
    size_t schema_size = 0, groups_size = 0, keys_size = 0;
    int64_t rows = -1;
    while (nj_thrift_next(&r, &f)) {
        if (f.type == NJ_THRIFT_LIST && f.id == NJ_PQ_FM_SCHEMA)
            take_items(&r, &schema, &schema_size);
        else if (f.type == NJ_THRIFT_LIST && f.id == NJ_PQ_FM_GROUPS)
            n_groups = take_items(&r, &groups, &groups_size);
        else if (f.type == NJ_THRIFT_LIST && f.id == NJ_PQ_FM_KEYS)
            n_keys = take_items(&r, &keys, &keys_size);
        else if (f.type == NJ_THRIFT_I64 && f.id == NJ_PQ_FM_ROWS)
            rows = nj_thrift_zigzag(&r);
        else
            nj_thrift_skip(&r, f.type, 0);
    }
    if (r.bad || !schema || !groups || rows < 0) return -1;
    if (schema_size != w->schema.n || memcmp(schema, w->schema.data, schema_size)) return 1;
    w->groups.n = w->keys.n = 0;
    nj_buffer_add(&w->groups, groups, groups_size);
    if (keys) nj_buffer_add(&w->keys, keys, keys_size);
    w->n_groups = n_groups;
    w->n_keys = n_keys;
    w->n_rows = (uint64_t)rows;
    return 0;
}
