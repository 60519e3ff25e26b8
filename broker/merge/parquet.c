/* parquet.c - the rows of a shard's Parquet output as columns, and what its footer says of them. */
#include "../parquet/parquet.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../parquet/format.h"
#include "../parquet/thrift.h"
#include "table.h"

static const char columns_key[] = "nightjar.columns";

typedef struct parquet {
    nj_parquet *file;
    nj_parquet_column **column; /* [n_fields] */
    const nj_parquet_leaf **leaf;
} parquet;

/* ---- the footer ------------------------------------------------------------------------------ */

static char *read_text(nj_merge_table *t, nj_thrift *r)
{
    uint32_t n = 0;
    const uint8_t *text = nj_thrift_binary(r, &n);
    return text ? nj_arena_text(&t->arena, (const char *)text, n) : NULL;
}

/* A key and its value: of the columns into *columns, all others are provenance. */
static int read_pair(nj_merge_table *t, nj_thrift *r, uint32_t *n, char **columns)
{
    nj_thrift_field f = { 0 };
    char *key = NULL, *value = NULL;
    while (nj_thrift_next(r, &f)) {
        if (f.id == NJ_PQ_KV_KEY && f.type == NJ_THRIFT_BINARY)
            key = read_text(t, r);
        else if (f.id == NJ_PQ_KV_VALUE && f.type == NJ_THRIFT_BINARY)
            value = read_text(t, r);
        else
            nj_thrift_skip(r, f.type, 0);
    }
    if (!key || !value) return -1;
    if (!strcmp(key, columns_key))
        *columns = value;
    else if (strncmp(key, "nightjar.run", 12) != 0 && *n + 1 < NJ_MERGE_PAIRS) /* not those of further runs */
        t->m[(*n)++] = (nj_metadata){ key, value };
    return 0;
}

static int read_pairs(nj_merge_table *t, char **columns)
{
    const nj_parquet *file = ((parquet *)t->of)->file;
    uint32_t size, n = 0;
    memcpy(&size, file->bytes + file->n - 8, sizeof size); /* it was read before: the size is right */
    nj_thrift r = { file->bytes + file->n - 8 - size, file->bytes + file->n - 8, 0 };
    nj_thrift_field f = { 0 };
    t->m = nj_arena_zalloc(&t->arena, NJ_MERGE_PAIRS * sizeof *t->m);
    if (!t->m) return -1;
    while (nj_thrift_next(&r, &f)) {
        int type;
        if (f.id != NJ_PQ_FM_KEYS || f.type != NJ_THRIFT_LIST) {
            nj_thrift_skip(&r, f.type, 0);
            continue;
        }
        uint32_t count = nj_thrift_list(&r, &type);
        for (uint32_t i = 0; i < count && !r.bad; i++)
            if (read_pair(t, &r, &n, columns)) return -1;
    }
    return r.bad || !*columns ? -1 : 0;
}

static const char *text_of(nj_merge_table *t, const json_t *column, const char *key)
{
    const char *text = json_string_value(json_object_get(column, key));
    return text ? nj_arena_text(&t->arena, text, strlen(text)) : NULL;
}

static nj_type type_of(const char *name)
{
    for (nj_type type = NJ_U8; type <= NJ_STR; type++)
        if (name && !strcmp(nj_type_name(type), name)) return type;
    return 0;
}

static int read_fields(nj_merge_table *t, const char *columns)
{
    json_t *list = json_loads(columns, 0, NULL), *item;
    size_t i, n = json_array_size(list);
    int rc = n ? 0 : -1;
    t->field = nj_arena_zalloc(&t->arena, (n + 1) * sizeof *t->field);
    t->value = nj_arena_zalloc(&t->arena, (n + 1) * sizeof *t->value);
    t->absent = nj_arena_zalloc(&t->arena, (n + 1) * sizeof *t->absent);
    if (!t->field || !t->value || !t->absent) rc = -1;
    json_array_foreach(list, i, item)
    {
        if (rc) break;
        const json_t *width = json_object_get(item, "width");
        t->field[i] = (nj_field){ .key = text_of(t, item, "key"),
                                  .unit = text_of(t, item, "unit"),
                                  .doc = text_of(t, item, "doc"),
                                  .type = type_of(json_string_value(json_object_get(item, "type"))),
                                  .width = width ? (uint32_t)json_integer_value(width) : 1 };
        if (!t->field[i].key || !t->field[i].type) rc = -1;
    }
    t->n_fields = (uint32_t)n;
    json_decref(list);
    return rc;
}

int nj_merge_parquet_open(nj_merge_table *t, const char *path, nj_error *err)
{
    parquet *x = t->of = nj_arena_zalloc(&t->arena, sizeof *x);
    char *columns = NULL;
    if (!x) return nj_fail(err, "out of memory");
    if (!(x->file = nj_parquet_open(path, err))) return -1;
    if (read_pairs(t, &columns) || read_fields(t, columns) || t->n_fields != nj_parquet_leaves(x->file))
        return nj_fail(err, "%s: its footer does not say what its columns are", path);
    x->column = nj_arena_zalloc(&t->arena, t->n_fields * sizeof *x->column);
    x->leaf = nj_arena_zalloc(&t->arena, t->n_fields * sizeof *x->leaf);
    if (!x->column || !x->leaf) return nj_fail(err, "out of memory");
    for (uint32_t f = 0; f < t->n_fields; f++) {
        static const nj_parquet_type type[] = {
            [NJ_U8] = NJ_PARQUET_I32,  [NJ_I32] = NJ_PARQUET_I32, [NJ_I64] = NJ_PARQUET_I64,
            [NJ_F32] = NJ_PARQUET_F32, [NJ_F64] = NJ_PARQUET_F64, [NJ_STR] = NJ_PARQUET_BYTES
        };
        x->leaf[f] = nj_parquet_leaf_at(x->file, f);
        if (x->leaf[f]->type != type[t->field[f].type] || x->leaf[f]->max_rep != (t->field[f].width != 1))
            return nj_fail(err, "%s: column %s is not what the footer says", path, t->field[f].key);
        if (!(x->column[f] = nj_parquet_column_open(x->file, f, err))) return -1;
    }
    return 0;
}

void nj_merge_parquet_close(nj_merge_table *t)
{
    parquet *x = t->of;
    for (uint32_t f = 0; x && x->column && f < t->n_fields; f++) nj_parquet_column_close(x->column[f]);
    if (x) nj_parquet_close(x->file);
    t->of = NULL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Value i of what was read, into place k. -1: out of memory. */
static int take(nj_merge_table *t, nj_type type, const void *from, size_t i, void *data, size_t k)
{
    const nj_parquet_bytes *text = (const nj_parquet_bytes *)from + i;
    switch (type) {
    case NJ_U8: ((uint8_t *)data)[k] = (uint8_t)((const int32_t *)from)[i]; return 0;
    case NJ_STR:
        ((const char **)data)[k] = nj_arena_text(&t->rows, (const char *)text->data, text->n);
        return ((const char **)data)[k] ? 0 : -1;
    default:
        memcpy((char *)data + k * nj_type_size(type), (const char *)from + i * nj_type_size(type),
               nj_type_size(type));
        return 0;
    }
}

static int fill_flat(nj_merge_table *t, uint32_t f, const nj_parquet_values *v, const nj_parquet_leaf *leaf)
{
    nj_type type = t->field[f].type;
    void *data = nj_arena_alloc(&t->rows, (v->n_rows + 1) * nj_type_size(type));
    if (!data) return -1;
    nj_fill_null(type, data, v->n_rows);
    for (uint64_t i = 0; i < v->n_rows; i++)
        if ((!v->def || v->def[i] == leaf->max_def) && take(t, type, v->value, i, data, i)) return -1;
    t->value[f].data = data;
    return 0;
}

/* A list per row: null, empty, or with its values; of a width there are as many in each. */
static int fill_lists(nj_merge_table *t, uint32_t f, const nj_parquet_values *v, const nj_parquet_leaf *leaf)
{
    const nj_field *field = &t->field[f];
    size_t room = field->width ? v->n_rows * field->width : v->n_levels;
    char *data = nj_arena_alloc(&t->rows, (room + 1) * nj_type_size(field->type));
    uint32_t *off = nj_arena_alloc(&t->rows, (v->n_rows + 1) * sizeof *off);
    bool *absent = nj_arena_zalloc(&t->rows, v->n_rows + 1);
    if (!data || !off || !absent) return -1;
    nj_fill_null(field->type, data, room);
    off[0] = 0;
    for (uint64_t row = 0; row < v->n_rows; row++) {
        uint32_t from = v->row_start[row], to = v->row_start[row + 1];
        size_t k = field->width ? row * field->width : off[row];
        absent[row] = v->def[from] + 1 < leaf->item_def;
        for (uint32_t i = from; i < to; i++) {
            if (v->def[i] < leaf->item_def) continue; /* the list itself, of no values */
            if (k >= room || (v->def[i] == leaf->max_def && take(t, field->type, v->value, i, data, k)))
                return -1;
            k++;
        }
        off[row + 1] = (uint32_t)k;
    }
    t->value[f] = (nj_col){ .data = data, .off = field->width ? NULL : off };
    t->absent[f] = absent;
    return 0;
}

int nj_merge_parquet_fill(nj_merge_table *t, const char *path, nj_error *err)
{
    const parquet *x = t->of;
    nj_parquet_values v;
    for (uint32_t f = 0; f < t->n_fields; f++) {
        if (nj_parquet_read(x->column[f], NJ_MERGE_ROWS, &v, err)) return -1;
        if (!f) t->in_hand = (uint32_t)v.n_rows;
        if (v.n_rows != t->in_hand) return nj_fail(err, "%s: its columns are of different lengths", path);
        int rc = t->field[f].width == 1 ? fill_flat(t, f, &v, x->leaf[f]) : fill_lists(t, f, &v, x->leaf[f]);
        if (rc) return nj_fail(err, "%s: out of memory, or a list is longer than its column", path);
    }
    return 0;
}
