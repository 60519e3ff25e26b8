/* footer.c - a Parquet file's metadata: its schema, its row groups, and the heads of its pages. */
#include "parquet.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "thrift.h"

enum { MOST_LEAVES = 1 << 16, MOST_NODES = 1 << 18, MOST_GROUPS = 1 << 22 };

/* ---- schema ---- */

typedef struct node {
    const uint8_t *name;
    uint32_t n_name;
    int32_t type, fixed_size, repetition, n_children, converted, scale;
    nj_parquet_kind kind;
    int is_list, is_map, is_text;
} node;

/* LogicalType is a union: one field, whose id says which; a timestamp holds its unit, again a union. */
static void logical_type(nj_thrift *r, node *t)
{
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(r, &f)) {
        if (f.id == NJ_PQ_LT_STRING || f.id == NJ_PQ_LT_ENUM || f.id == NJ_PQ_LT_JSON) t->is_text = 1;
        if (f.id == NJ_PQ_LT_MAP) t->is_map = 1;
        if (f.id == NJ_PQ_LT_LIST) t->is_list = 1;
        if (f.id != NJ_PQ_LT_TIME_STAMP || f.type != NJ_THRIFT_STRUCT) {
            nj_thrift_skip(r, f.type, 0);
            continue;
        }
        nj_thrift_field g = { 0 };
        while (nj_thrift_next(r, &g)) {
            if (g.id != NJ_PQ_TS_UNIT || g.type != NJ_THRIFT_STRUCT) {
                nj_thrift_skip(r, g.type, 0);
                continue;
            }
            nj_thrift_field unit = { 0 };
            while (nj_thrift_next(r, &unit)) {
                if (unit.id >= NJ_PQ_TU_MS && unit.id <= NJ_PQ_TU_NS)
                    t->kind = (nj_parquet_kind)(NJ_PARQUET_TIME_MS + unit.id - NJ_PQ_TU_MS);
                nj_thrift_skip(r, unit.type, 0);
            }
        }
    }
}

static void schema_element(nj_thrift *r, node *t)
{
    *t = (node){ .type = -1, .converted = -1 };
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(r, &f)) {
        switch (f.id) {
        case NJ_PQ_SE_TYPE: t->type = nj_thrift_i32(r); break;
        case NJ_PQ_SE_SIZE: t->fixed_size = nj_thrift_i32(r); break;
        case NJ_PQ_SE_REPETITION: t->repetition = nj_thrift_i32(r); break;
        case NJ_PQ_SE_NAME: t->name = nj_thrift_binary(r, &t->n_name); break;
        case NJ_PQ_SE_CHILDREN: t->n_children = nj_thrift_i32(r); break;
        case NJ_PQ_SE_CONVERTED: t->converted = nj_thrift_i32(r); break;
        case NJ_PQ_SE_SCALE: t->scale = nj_thrift_i32(r); break;
        case NJ_PQ_SE_LOGICAL: logical_type(r, t); break;
        default: nj_thrift_skip(r, f.type, 0); break;
        }
    }
    switch (t->converted) {
    case NJ_PQ_UTF8:
    case NJ_PQ_ENUM:
    case NJ_PQ_JSON: t->is_text = 1; break;
    case NJ_PQ_MAP:
    case NJ_PQ_MAP_KEY_VALUE: t->is_map = 1; break; /* what MAP was called at first */
    case NJ_PQ_LIST: t->is_list = 1; break;
    case NJ_PQ_TIME_STAMP_MS: t->kind = NJ_PARQUET_TIME_MS; break;
    case NJ_PQ_TIME_STAMP_US: t->kind = NJ_PARQUET_TIME_US; break;
    case NJ_PQ_DECIMAL: t->kind = NJ_PARQUET_DECIMAL; break;
    default:
        if (t->converted >= NJ_PQ_UINT_8 && t->converted <= NJ_PQ_UINT_64) t->kind = NJ_PARQUET_UNSIGNED;
    }
    if (t->is_text) t->kind = NJ_PARQUET_TEXT;
}

typedef struct walk {
    nj_parquet *file;
    const node *node;
    uint32_t n_nodes, at;
    nj_error *err;
} walk;

typedef struct place { /* where the walk is */
    char path[1024], name[1024];
    uint8_t def, rep, item_def;
    int in_list; /* 1: the next node is a list's repeated one; 2: it is that one's element */
} place;

static int join(char *to, size_t cap, const node *t)
{
    size_t n = strlen(to);
    if (n + t->n_name + 2 > cap || memchr(t->name, 0, t->n_name)) return -1;
    if (n) to[n++] = '.';
    memcpy(to + n, t->name, t->n_name);
    to[n + t->n_name] = 0;
    return 0;
}

static int add_leaf(walk *w, const node *t, const place *at)
{
    static const int8_t type[] = { NJ_PARQUET_BOOL, NJ_PARQUET_I32, NJ_PARQUET_I64,   NJ_PARQUET_I64,
                                   NJ_PARQUET_F32,  NJ_PARQUET_F64, NJ_PARQUET_BYTES, NJ_PARQUET_BYTES };
    nj_parquet *f = w->file;
    if (t->type < 0 || t->type > 7 || (t->type == 7 && (t->fixed_size <= 0 || t->fixed_size > 1 << 24)))
        return nj_fail(w->err, "%s: column '%s' has an impossible type", f->name, at->path);
    nj_parquet_leaf *leaf = &f->leaf[f->n_leaves];
    char *path = strdup(at->path), *name = strdup(at->name);
    *leaf = (nj_parquet_leaf){ .path = path,
                               .name = name,
                               .type = (nj_parquet_type)type[t->type],
                               .kind = t->type == 3 ? NJ_PARQUET_TIME_NS : t->kind,
                               .scale = t->scale,
                               .max_def = at->def,
                               .max_rep = at->rep,
                               .item_def = at->item_def };
    f->physical[f->n_leaves] = t->type;
    f->fixed_size[f->n_leaves++] = t->fixed_size;
    return path && name ? 0 : nj_fail(w->err, "%s: no memory", f->name);
}

static int visit(walk *w, const place *above, int depth)
{
    if (w->at == w->n_nodes || depth > 32) return nj_fail(w->err, "%s: the schema is damaged", w->file->name);
    nj_parquet_node *shown = &w->file->node[w->at];
    const node *t = &w->node[w->at++];
    place at = *above;
    if (t->repetition < 0 || t->repetition > 2 || !t->name || join(at.path, sizeof at.path, t))
        return nj_fail(w->err, "%s: the schema is damaged", w->file->name);
    int hidden = at.in_list && (at.in_list == 1 || t->repetition != 2); /* "list", "element" are not
                                                                         * names that are given */
    if (!hidden && join(at.name, sizeof at.name, t))
        return nj_fail(w->err, "%s: the schema is damaged", w->file->name);
    if (t->repetition != 0) at.def++;
    if (t->repetition == 2) {
        at.rep++;
        at.item_def = at.def;
    }
    if (at.in_list == 1 && ((t->n_name == 5 && !memcmp(t->name, "array", 5)) ||
                            (t->n_name > 6 && !memcmp(t->name + t->n_name - 6, "_tuple", 6))))
        at.in_list = 0; /* two-level lists of old writers: the repeated group is the element itself */
    at.in_list = at.in_list == 1 && t->n_children == 1 ? 2 : t->is_list ? 1 : 0;
    *shown = (nj_parquet_node){ .name = (const char *)t->name,
                                .n_name = t->n_name,
                                .n_children = t->n_children > 0 ? (uint32_t)t->n_children : 0,
                                .leaf = w->file->n_leaves,
                                .repetition = (uint8_t)t->repetition,
                                .is_list = t->is_list != 0,
                                .is_map = t->is_map != 0 };
    if (t->type >= 0 && t->n_children <= 0) return add_leaf(w, t, &at);
    if (t->n_children <= 0) shown->leaf = UINT32_MAX;
    for (int32_t i = 0; i < t->n_children; i++)
        if (visit(w, &at, depth + 1)) return -1;
    return 0;
}

static int schema(nj_parquet *file, nj_thrift *r, nj_error *err)
{
    int of, rc = -1;
    uint32_t n = nj_thrift_list(r, &of);
    if (!n || of != NJ_THRIFT_STRUCT) return nj_fail(err, "%s: the schema is damaged", file->name);
    if (n > MOST_NODES)
        return nj_fail(err, "%s: the schema has more than %d columns and groups", file->name, MOST_NODES);
    node *nodes = calloc(n, sizeof *nodes);
    file->leaf = calloc(n, sizeof *file->leaf);
    file->node = calloc(n, sizeof *file->node);
    file->physical = calloc(n, sizeof *file->physical);
    file->fixed_size = calloc(n, sizeof *file->fixed_size);
    place *top = calloc(1, sizeof *top);
    if (!nodes || !file->leaf || !file->node || !file->physical || !file->fixed_size || !top) {
        nj_fail(err, "%s: no memory", file->name);
        goto done;
    }
    for (uint32_t i = 0; i < n; i++) schema_element(r, &nodes[i]);
    walk w = { .file = file, .node = nodes, .n_nodes = n, .at = 1, .err = err };
    file->n_nodes = n;
    file->node[0].n_children = nodes[0].n_children > 0 ? (uint32_t)nodes[0].n_children : 0;
    if (r->bad) {
        nj_fail(err, "%s: the schema is damaged", file->name);
        goto done;
    }
    for (int32_t i = 0; i < nodes[0].n_children; i++)
        if (visit(&w, top, 0)) goto done;
    if (w.at != n) {
        nj_fail(err, "%s: the schema is damaged", file->name);
        goto done;
    }
    if (file->n_leaves > MOST_LEAVES) {
        nj_fail(err, "%s: the schema has more than %d columns", file->name, MOST_LEAVES);
        goto done;
    }
    rc = 0;
done:
    free(top);
    free(nodes);
    return rc;
}

/* ---- row groups ---- */

static void column_metadata(nj_thrift *r, nj_parquet_chunk *c)
{
    int64_t data = -1, dictionary = -1, size = -1;
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(r, &f)) {
        switch (f.id) {
        case NJ_PQ_CM_TYPE: c->type = nj_thrift_i32(r); break;
        case NJ_PQ_CM_CODEC: c->codec = nj_thrift_i32(r); break;
        case NJ_PQ_CM_VALUES: c->n_values = nj_thrift_zigzag(r); break;
        case NJ_PQ_CM_PACKED: size = nj_thrift_zigzag(r); break;
        case NJ_PQ_CM_DATA: data = nj_thrift_zigzag(r); break;
        case NJ_PQ_CM_DICTIONARY: dictionary = nj_thrift_zigzag(r); break;
        default: nj_thrift_skip(r, f.type, 0); break;
        }
    }
    /* Old writers leave a dictionary offset of 0 when there is none. */
    int64_t first = dictionary > 0 && dictionary < data ? dictionary : data;
    c->offset = (uint64_t)first;
    c->size = (uint64_t)size;
    if (first < 0 || size < 0 || c->n_values < 0) r->bad = 1;
}

static int column_chunk(nj_thrift *r, nj_parquet_chunk *c)
{
    int has = 0, elsewhere = 0;
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(r, &f)) {
        if (f.id == NJ_PQ_CC_METADATA && f.type == NJ_THRIFT_STRUCT) {
            column_metadata(r, c);
            has = 1;
        } else {
            elsewhere |= f.id == NJ_PQ_CC_FILE;
            nj_thrift_skip(r, f.type, 0);
        }
    }
    return has && !elsewhere && !r->bad;
}

static int row_group(nj_parquet *file, nj_thrift *r, uint32_t g, nj_error *err)
{
    nj_thrift_field f = { 0 };
    uint32_t n = 0;
    int of;
    while (nj_thrift_next(r, &f)) {
        if (f.id == NJ_PQ_RG_ROWS) {
            int64_t rows = nj_thrift_zigzag(r);
            if (rows < 0) r->bad = 1;
            file->group_rows[g] = (uint64_t)rows;
        } else if (f.id == NJ_PQ_RG_COLUMNS && f.type == NJ_THRIFT_LIST) {
            n = nj_thrift_list(r, &of);
            if (n != file->n_leaves)
                return nj_fail(err, "%s: row group %u has %u columns, the schema %u", file->name, g, n,
                               file->n_leaves);
            for (uint32_t i = 0; i < n; i++) {
                nj_parquet_chunk *c = &file->chunk[(size_t)g * n + i];
                if (!column_chunk(r, c) || c->offset > file->n || c->size > file->n - c->offset ||
                    c->type != file->physical[i] || c->n_values > INT64_C(1) << 40)
                    return nj_fail(err, "%s: row group %u, column '%s': damaged, or kept in another file",
                                   file->name, g, file->leaf[i].path);
            }
        } else {
            nj_thrift_skip(r, f.type, 0);
        }
    }
    return r->bad || n != file->n_leaves ? nj_fail(err, "%s: row group %u is damaged", file->name, g) : 0;
}

static int row_groups(nj_parquet *file, nj_thrift *r, nj_error *err)
{
    int of;
    uint32_t n = nj_thrift_list(r, &of);
    if (n > MOST_GROUPS) return nj_fail(err, "%s: more than %d row groups", file->name, MOST_GROUPS);
    if ((n && of != NJ_THRIFT_STRUCT) || !file->leaf)
        return nj_fail(err, "%s: the row groups are damaged", file->name);
    /* A chunk's metadata takes some 20 bytes: a count that the footer cannot hold asks for no memory. */
    if ((uint64_t)n * file->n_leaves > (uint64_t)(r->end - r->p))
        return nj_fail(err, "%s: the row groups are damaged", file->name);
    file->group_rows = calloc(n + 1, sizeof *file->group_rows);
    file->chunk = calloc((size_t)n * file->n_leaves + 1, sizeof *file->chunk);
    if (!file->group_rows || !file->chunk) return nj_fail(err, "%s: no memory", file->name);
    file->n_groups = n;
    for (uint32_t g = 0; g < n; g++)
        if (row_group(file, r, g, err)) return -1;
    return 0;
}

int nj_parquet_footer(nj_parquet *file, const uint8_t *bytes, size_t n, nj_error *err)
{
    nj_thrift r = { bytes, bytes + n, 0 };
    nj_thrift_field f = { 0 };
    int seen = 0;
    while (nj_thrift_next(&r, &f)) {
        if (f.id == NJ_PQ_FM_SCHEMA && f.type == NJ_THRIFT_LIST && !file->leaf) {
            if (schema(file, &r, err)) return -1;
            seen |= 1;
        } else if (f.id == NJ_PQ_FM_GROUPS && f.type == NJ_THRIFT_LIST && !file->chunk) {
            if (row_groups(file, &r, err)) return -1;
            seen |= 2;
        } else {
            nj_thrift_skip(&r, f.type, 0);
        }
    }
    if (r.bad || seen != 3) return nj_fail(err, "%s: the footer is damaged", file->name);
    for (uint32_t g = 0; g < file->n_groups; g++)
        if (__builtin_add_overflow(file->n_rows, file->group_rows[g], &file->n_rows))
            return nj_fail(err, "%s: the footer is damaged", file->name);
    return 0;
}

/* ---- page headers ---- */

static void data_page(nj_thrift *r, nj_parquet_page *page)
{
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(r, &f)) {
        switch (f.type == NJ_THRIFT_I32 ? f.id : 0) {
        case NJ_PQ_DP_VALUES: page->n_values = nj_thrift_i32(r); break;
        case NJ_PQ_DP_ENCODING: page->encoding = nj_thrift_i32(r); break;
        case NJ_PQ_DP_DEF_ENCODING: page->def_encoding = nj_thrift_i32(r); break;
        case NJ_PQ_DP_REP_ENCODING: page->rep_encoding = nj_thrift_i32(r); break;
        default: nj_thrift_skip(r, f.type, 0); break;
        }
    }
}

static void data_page_2(nj_thrift *r, nj_parquet_page *page)
{
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(r, &f)) {
        switch (f.type == NJ_THRIFT_I32 || f.id == NJ_PQ_D2_COMPRESSED ? f.id : 0) {
        case NJ_PQ_D2_VALUES: page->n_values = nj_thrift_i32(r); break;
        case NJ_PQ_D2_ENCODING: page->encoding = nj_thrift_i32(r); break;
        case NJ_PQ_D2_DEF_BYTES: page->def_bytes = nj_thrift_i32(r); break;
        case NJ_PQ_D2_REP_BYTES: page->rep_bytes = nj_thrift_i32(r); break;
        case NJ_PQ_D2_COMPRESSED: page->compressed = f.type == NJ_THRIFT_TRUE; break;
        default: nj_thrift_skip(r, f.type, 0); break;
        }
    }
}

size_t nj_parquet_page_header(const uint8_t *p, size_t n, nj_parquet_page *page)
{
    nj_thrift r = { p, p + n, 0 };
    *page = (nj_parquet_page){ .kind = -1,
                               .packed = -1,
                               .plain = -1,
                               .n_values = -1,
                               .compressed = 1,
                               .def_encoding = NJ_PQ_RLE,
                               .rep_encoding = NJ_PQ_RLE };
    nj_thrift_field f = { 0 };
    while (nj_thrift_next(&r, &f)) {
        switch (f.id) {
        case NJ_PQ_PH_KIND: page->kind = nj_thrift_i32(&r); break;
        case NJ_PQ_PH_PLAIN: page->plain = nj_thrift_i32(&r); break;
        case NJ_PQ_PH_PACKED: page->packed = nj_thrift_i32(&r); break;
        case NJ_PQ_PH_DATA:
        case NJ_PQ_PH_DICTIONARY:
        case NJ_PQ_PH_DATA_2:
            if (f.type != NJ_THRIFT_STRUCT)
                r.bad = 1;
            else if (f.id == NJ_PQ_PH_DATA_2)
                data_page_2(&r, page);
            else
                data_page(&r, page);
            if (f.id == NJ_PQ_PH_DICTIONARY)
                page->def_encoding = page->rep_encoding = NJ_PQ_RLE; /* a dictionary's third field
                                                              * is "sorted" */
            break;
        default: nj_thrift_skip(&r, f.type, 0); break;
        }
    }
    return r.bad || page->packed < 0 || page->plain < 0 || page->def_bytes < 0 || page->rep_bytes < 0
               ? 0
               : (size_t)(r.p - p);
}
