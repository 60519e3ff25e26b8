/* parquet_avro.c - Parquet rows are converted to Avro, so that the decoder and the maps have to handle one
 * format only. */
#include "parquet_avro.h"

#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "avro_value.h"

/* Rows read from every column at a time: enough to spread the cost of a call over 200 columns, and the values
 * that repeat (a history) of so many rows still fit into the cache. */
enum { ROWS_AT_ONCE = 64, MOST_COLUMNS = 4096 };

enum { A_LEAF, A_RECORD, AN_ARRAY };

typedef struct item { /* of the datum, in preorder */
    uint8_t kind, nullable;
    uint8_t def;      /* level from which on it is there */
    uint8_t item_def; /* array: level from which on there is an element */
    uint8_t rep;      /* array: repetition level of its second element and those behind it */
    uint32_t leaf, n_leaves;
    uint32_t next; /* behind its parts */
} item;

typedef struct column {
    nj_parquet_column *cursor;
    const nj_parquet_leaf *leaf;
    nj_parquet_values got;
    uint32_t at, stop; /* level entries of the present row */
} column;

struct nj_parquet_avro {
    nj_parquet *file;
    const nj_parquet_node *node;
    uint32_t n_nodes;
    item *item;
    uint32_t n_items;
    column *column;
    uint32_t n_columns;
    uint64_t row, stop;            /* the next one, and the one that is not read any more */
    uint32_t in_hand, handed;      /* rows of the last read */
    nj_buffer schema, tail, datum; /* tail: the folder's columns, the same in every row */
    const char *why;               /* of a failure on the way */
};

/* ---- writing Avro ---- */

static void put_index(nj_buffer *b, int is_value)
{
    char byte = is_value ? 2 : 0;
    nj_buffer_add(b, &byte, 1);
}

/* ---- the schema ---- */

static int has_name(const nj_parquet_node *node, const char *name)
{
    return strlen(name) == node->n_name && !memcmp(node->name, name, node->n_name);
}

static void add_name(nj_parquet_avro *r, const nj_parquet_node *node)
{
    char name[1024]; /* the reader refuses longer ones */
    size_t n = node->n_name < sizeof name - 1 ? node->n_name : sizeof name - 1;
    memcpy(name, node->name, n);
    name[n] = 0;
    nj_json_text(&r->schema, name);
}

static uint32_t build(nj_parquet_avro *r, uint32_t at, uint8_t def, uint8_t rep);
enum { BAD = UINT32_MAX };

static uint32_t begin(nj_parquet_avro *r, uint8_t kind, uint32_t at, uint8_t def)
{
    item *it = &r->item[r->n_items];
    *it = (item){ .kind = kind, .def = def, .leaf = r->node[at].leaf };
    return r->n_items++;
}

static void end(nj_parquet_avro *r, uint32_t it, uint32_t next_leaf)
{
    r->item[it].next = r->n_items;
    r->item[it].n_leaves = next_leaf - r->item[it].leaf;
}

/* The first leaf behind everything before node `at`. */
static uint32_t leaf_at(const nj_parquet_avro *r, uint32_t at)
{
    for (; at < r->n_nodes; at++)
        if (r->node[at].leaf != UINT32_MAX) return r->node[at].leaf;
    return nj_parquet_leaves(r->file);
}

static uint32_t build_record(nj_parquet_avro *r, uint32_t at, uint8_t def, uint8_t rep)
{
    uint32_t it = begin(r, A_RECORD, at, def), child = at + 1;
    if (at) nj_buffer_printf(&r->schema, "{\"type\":\"record\",\"name\":\"part%u\",\"fields\":[", at);
    for (uint32_t i = 0; i < r->node[at].n_children; i++) {
        nj_buffer_text(&r->schema, i ? ",{\"name\":" : "{\"name\":");
        add_name(r, &r->node[child]);
        nj_buffer_text(&r->schema, ",\"type\":");
        if ((child = build(r, child, def, rep)) == BAD) return BAD;
        nj_buffer_text(&r->schema, "}");
    }
    if (at) nj_buffer_text(&r->schema, "]}");
    end(r, it, leaf_at(r, child));
    return child;
}

/* A node as it is when it is there. */
static uint32_t build_body(nj_parquet_avro *r, uint32_t at, uint8_t def, uint8_t rep);

/* The old two-level lists, where the repeated group is the element itself. */
static int is_element(const nj_parquet_node *node)
{
    static const char tuple[] = "_tuple";
    size_t n = sizeof tuple - 1;
    return node->n_children != 1 || has_name(node, "array") ||
           (node->n_name > n && !memcmp(node->name + node->n_name - n, tuple, n));
}

static uint32_t build_array(nj_parquet_avro *r, uint32_t at, uint32_t repeated, uint8_t def, uint8_t rep)
{
    uint32_t it = begin(r, AN_ARRAY, at, def);
    uint8_t item_def = (uint8_t)((repeated == at ? def : def + 1)), item_rep = (uint8_t)(rep + 1);
    r->item[it].item_def = item_def;
    r->item[it].rep = item_rep;
    int is_map = r->node[at].is_map && repeated != at && r->node[repeated].n_children == 2 &&
                 !r->node[repeated + 1].repetition && !r->node[repeated + 1].n_children &&
                 r->column[r->node[repeated + 1].leaf].leaf->kind == NJ_PARQUET_TEXT;
    nj_buffer_text(&r->schema, is_map ? "{\"type\":\"map\",\"values\":" : "{\"type\":\"array\",\"items\":");
    uint32_t next;
    if (is_map) { /* written as an array of key and value would be, but for its schema */
        size_t n = r->schema.n;
        uint32_t pair = begin(r, A_RECORD, repeated, item_def);
        next = build(r, repeated + 1, item_def, item_rep);
        r->schema.n = n; /* the key goes without saying */
        next = next == BAD ? BAD : build(r, next, item_def, item_rep);
        if (next != BAD) end(r, pair, leaf_at(r, next));
    } else if (repeated != at && r->node[at].is_list && !is_element(&r->node[repeated])) {
        next = build(r, repeated + 1, item_def, item_rep);
    } else {
        next = build_body(r, repeated, item_def, item_rep);
    }
    if (next == BAD) return BAD;
    nj_buffer_text(&r->schema, "}");
    end(r, it, leaf_at(r, next));
    return next;
}

/* In a HATS catalogue a struct of lists is a nested table, a column a list: a light curve. */
static int is_table(const nj_parquet_avro *r, uint32_t at)
{
    const nj_parquet_node *node = &r->node[at];
    int hats = 0;
    for (uint32_t i = 0; i < r->n_columns; i++) hats |= !strncmp(r->column[i].leaf->path, "_healpix_", 9);
    if (!hats || !at || node->is_list || node->is_map) return 0;
    for (uint32_t i = 0; i < node->n_children; i++) {
        const nj_parquet_node *list = &node[1 + 3 * i];
        if (!list->is_list || list->n_children != 1 || list->repetition != node[1].repetition ||
            list[1].repetition != 2 || is_element(&list[1]) || list[2].n_children)
            return 0;
    }
    return node->n_children > 0;
}

/* Its rows are the items of a list of records. */
static uint32_t build_table(nj_parquet_avro *r, uint32_t at, uint8_t def, uint8_t rep)
{
    const uint32_t array = begin(r, AN_ARRAY, at, def), record = begin(r, A_RECORD, at, def),
                   n = r->node[at].n_children;
    const uint8_t item_def = (uint8_t)(def + 1 + r->node[at + 1].repetition);
    r->item[array].item_def = r->item[record].def = item_def;
    r->item[array].rep = (uint8_t)(rep + 1);
    nj_buffer_printf(&r->schema,
                     "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"part%u\",\"fields\":[",
                     at);
    for (uint32_t i = 0; i < n; i++) {
        nj_buffer_text(&r->schema, i ? ",{\"name\":" : "{\"name\":");
        add_name(r, &r->node[at + 1 + 3 * i]);
        nj_buffer_text(&r->schema, ",\"type\":");
        build(r, at + 3 + 3 * i, item_def, (uint8_t)(rep + 1));
        nj_buffer_text(&r->schema, "}");
    }
    nj_buffer_text(&r->schema, "]}}");
    end(r, record, leaf_at(r, at + 1 + 3 * n));
    end(r, array, leaf_at(r, at + 1 + 3 * n));
    return at + 1 + 3 * n;
}

static uint32_t build_body(nj_parquet_avro *r, uint32_t at, uint8_t def, uint8_t rep)
{
    const nj_parquet_node *node = &r->node[at];
    if (node->leaf == UINT32_MAX) {
        r->why = "a struct of nothing";
        return BAD;
    }
    if (!node->n_children) {
        uint32_t it = begin(r, A_LEAF, at, def);
        nj_buffer_text(&r->schema, nj_parquet_avro_type(r->column[node->leaf].leaf));
        end(r, it, node->leaf + 1);
        return at + 1;
    }
    if ((node->is_list || node->is_map) && node->n_children == 1 && node[1].repetition == 2)
        return build_array(r, at, at + 1, def, rep);
    return is_table(r, at) ? build_table(r, at, def, rep) : build_record(r, at, def, rep);
}

/* Item and schema of node `at`, whose parent stands at the levels given; the node behind it. */
static uint32_t build(nj_parquet_avro *r, uint32_t at, uint8_t def, uint8_t rep)
{
    uint8_t repetition = r->node[at].repetition;
    /* repeated without a list around it */
    if (repetition == 2) return build_array(r, at, at, (uint8_t)(def + 1), rep);
    if (repetition == 0) return build_body(r, at, def, rep);
    uint32_t it = r->n_items;
    nj_buffer_text(&r->schema, "[\"null\",");
    uint32_t next = build_body(r, at, (uint8_t)(def + 1), rep);
    nj_buffer_text(&r->schema, "]");
    if (next != BAD) r->item[it].nullable = 1;
    return next;
}

static int file_has(const nj_parquet_avro *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_columns; i++) {
        const char *own = r->column[i].leaf->path;
        size_t n = strlen(name);
        if (!strncmp(own, name, n) && (own[n] == 0 || own[n] == '.')) return 1;
    }
    return 0;
}

static void add_folder_column(nj_parquet_avro *r, const nj_folder_column *c)
{
    if (file_has(r, c->name)) return;
    nj_buffer_text(&r->schema, ",{\"name\":");
    nj_json_text(&r->schema, c->name);
    nj_buffer_printf(&r->schema, ",\"type\":[\"null\",\"%s\"]}", c->is_long ? "long" : "string");
    put_index(&r->tail, c->value != NULL);
    if (c->value && c->is_long)
        nj_parquet_put_long(&r->tail, strtoll(c->value, NULL, 10));
    else if (c->value)
        nj_parquet_put_bytes(&r->tail, c->value, strlen(c->value));
}

static int build_all(nj_parquet_avro *r, const nj_folder_column *c, uint32_t n)
{
    /* The name that Spark gives. */
    nj_buffer_text(&r->schema, "{\"type\":\"record\",\"name\":\"topLevelRecord\",\"fields\":[");
    if (build_record(r, 0, 0, 0) == BAD) return -1;
    for (uint32_t i = 0; i < n; i++) add_folder_column(r, &c[i]);
    nj_buffer_text(&r->schema, "]}");
    return r->schema.failed || r->tail.failed ? -1 : 0;
}

nj_parquet_avro *nj_parquet_avro_open(const char *path, const nj_folder_column *folder_column, uint32_t n,
                                      nj_error *err)
{
    nj_parquet_avro *r = calloc(1, sizeof *r);
    if (!r) {
        nj_fail(err, "%s: out of memory", path);
        return NULL;
    }
    r->file = nj_parquet_open(path, err);
    if (!r->file) goto fail;
    r->stop = nj_parquet_rows(r->file);
    r->n_columns = nj_parquet_leaves(r->file);
    r->node = nj_parquet_nodes(r->file, &r->n_nodes);
    if (!r->n_columns || r->n_columns > MOST_COLUMNS) {
        nj_fail(err, "%s: has %u columns; 1 to %d are read as alerts", path, r->n_columns, MOST_COLUMNS);
        goto fail;
    }
    r->column = calloc(r->n_columns, sizeof *r->column);
    r->item = calloc(2 * (size_t)r->n_nodes + 1, sizeof *r->item);
    if (!r->column || !r->item) {
        nj_fail(err, "%s: out of memory", path);
        goto fail;
    }
    for (uint32_t i = 0; i < r->n_columns; i++) {
        r->column[i].leaf = nj_parquet_leaf_at(r->file, i);
        if (!(r->column[i].cursor = nj_parquet_column_open(r->file, i, err))) goto fail;
    }
    if (!build_all(r, folder_column, n)) return r;
    nj_fail(err, "%s: %s", path, r->why ? r->why : "out of memory");
fail:
    nj_parquet_avro_close(r);
    return NULL;
}

void nj_parquet_avro_close(nj_parquet_avro *r)
{
    if (!r) return;
    for (uint32_t i = 0; r->column && i < r->n_columns; i++) nj_parquet_column_close(r->column[i].cursor);
    nj_parquet_close(r->file);
    nj_buffer_free(&r->schema);
    nj_buffer_free(&r->tail);
    nj_buffer_free(&r->datum);
    free(r->column);
    free(r->item);
    free(r);
}

const char *nj_parquet_avro_schema(const nj_parquet_avro *r, size_t *size)
{
    *size = r->schema.n;
    return r->schema.data;
}

uint64_t nj_parquet_avro_count(const nj_parquet_avro *r)
{
    return nj_parquet_rows(r->file);
}

/* ---- the rows ---- */

static uint8_t def_of(const column *c)
{
    return c->got.def ? c->got.def[c->at] : 0;
}
static uint8_t rep_of(const column *c)
{
    return c->got.rep ? c->got.rep[c->at] : 0;
}

/* Is there an entry where it ought to be? */
static int there(const column *c, uint8_t rep)
{
    return c->at < c->stop && rep_of(c) == rep;
}

static int is_too_large(const column *c)
{
    return c->leaf->type == NJ_PARQUET_I64 && c->leaf->kind == NJ_PARQUET_UNSIGNED &&
           ((const int64_t *)c->got.value)[c->at] < 0;
}

/* What is absent has one entry in each of its columns. */
static int pass(nj_parquet_avro *r, const item *it, uint8_t below, uint8_t rep)
{
    for (uint32_t i = it->leaf; i < it->leaf + it->n_leaves; i++) {
        column *c = &r->column[i];
        if (!there(c, rep) || def_of(c) >= below) return -1;
        c->at++;
    }
    return 0;
}

/* Writes one item whose first entries have the repetition level given;
 * -1: the columns contradict each other. */
static int encode(nj_parquet_avro *r, uint32_t at, uint8_t rep)
{
    const item *it = &r->item[at];
    column *c = &r->column[it->leaf];
    if (!there(c, rep)) return -1;
    uint8_t def = def_of(c);
    if (it->nullable) {
        put_index(&r->datum, def >= it->def);
        if (def < it->def) return pass(r, it, it->def, rep);
    } else if (def < it->def && it->kind != AN_ARRAY) {
        return -1;
    }
    if (it->kind == A_LEAF) {
        if (is_too_large(c)) {
            r->why = "an unsigned number of 2^63 or more, for which Avro has no type";
            return -1;
        }
        nj_parquet_put_value(&r->datum, c->leaf, c->got.value, c->at++);
        return 0;
    }
    if (it->kind == A_RECORD) {
        for (uint32_t i = at + 1; i < it->next; i = r->item[i].next)
            if (encode(r, i, rep)) return -1;
        return 0;
    }
    if (def < it->item_def) {
        nj_parquet_put_long(&r->datum, 0);
        return pass(r, it, it->item_def, rep);
    }
    uint32_t n = 1;
    for (uint32_t i = c->at + 1; i < c->stop && c->got.rep[i] >= it->rep; i++) n += c->got.rep[i] == it->rep;
    nj_parquet_put_long(&r->datum, n);
    for (uint32_t i = 0; i < n; i++)
        if (encode(r, at + 1, i ? it->rep : rep)) return -1;
    nj_parquet_put_long(&r->datum, 0);
    return 0;
}

static int read_rows(nj_parquet_avro *r, nj_error *err)
{
    uint64_t left = r->stop - r->row;
    uint32_t n = left < ROWS_AT_ONCE ? (uint32_t)left : ROWS_AT_ONCE;
    for (uint32_t i = 0; n && i < r->n_columns; i++) {
        column *c = &r->column[i];
        if (nj_parquet_read(c->cursor, n, &c->got, err)) return -1;
        if (c->got.n_rows != n)
            return nj_fail(err, "%s: column '%s' ends at row %llu of %llu", r->file->name, c->leaf->path,
                           (unsigned long long)(r->row + c->got.n_rows),
                           (unsigned long long)nj_parquet_rows(r->file));
    }
    r->in_hand = n;
    r->handed = 0;
    return 0;
}

uint32_t nj_parquet_avro_groups(const nj_parquet_avro *r)
{
    return r->file->n_groups;
}

uint64_t nj_parquet_avro_seek(nj_parquet_avro *r, uint32_t group)
{
    r->row = 0;
    for (uint32_t g = 0; g < group; g++) r->row += r->file->group_rows[g];
    r->stop = r->row + r->file->group_rows[group];
    r->in_hand = r->handed = 0;
    for (uint32_t i = 0; i < r->n_columns; i++) nj_parquet_column_seek(r->column[i].cursor, group);
    return r->row;
}

int nj_parquet_avro_next(nj_parquet_avro *r, const uint8_t **datum, size_t *size, nj_error *err)
{
    if (r->handed == r->in_hand && read_rows(r, err)) return -1;
    if (!r->in_hand) return 0;
    for (uint32_t i = 0; i < r->n_columns; i++) {
        column *c = &r->column[i];
        c->at = c->got.row_start ? c->got.row_start[r->handed] : r->handed;
        c->stop = c->got.row_start ? c->got.row_start[r->handed + 1] : r->handed + 1;
    }
    r->datum.n = 0;
    int bad = encode(r, 0, 0);
    uint32_t i = 0;
    while (!bad && i < r->n_columns && r->column[i].at == r->column[i].stop) i++;
    if (bad || i < r->n_columns)
        return nj_fail(err, "%s: row %llu: %s", r->file->name, (unsigned long long)r->row,
                       r->why ? r->why : "its columns disagree about how long a list is or what is null");
    nj_buffer_add(&r->datum, r->tail.data, r->tail.n);
    if (r->datum.failed) return nj_fail(err, "%s: out of memory", r->file->name);
    r->handed++;
    r->row++;
    *datum = (const uint8_t *)r->datum.data;
    *size = r->datum.n;
    return 1;
}
