/* parquet.c - downloaded nights and catalogues come as Parquet; this reads their columns page by page in
 * bounded memory. */
#include "parquet.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "format.h"
#include "parquet_values.h"

enum { MOST_ROWS = 1 << 20 };
static const int32_t most_page_bytes = 1 << 30; /* of one page, unpacked: whatever the file claims */

nj_parquet *nj_parquet_memory(const char *name, const void *bytes, size_t n, nj_error *err)
{
    nj_parquet *f = calloc(1, sizeof *f);
    if (!f || !(f->name = strdup(name))) {
        free(f);
        nj_fail(err, "%s: no memory", name);
        return NULL;
    }
    f->bytes = bytes;
    f->n = n;
    uint32_t footer;
    if (n < 12 || memcmp(bytes, "PAR1", 4)) {
        nj_fail(err, n >= 4 && !memcmp(bytes, "PARE", 4) ? "%s: is encrypted" : "%s: is not a Parquet file",
                name);
        goto fail;
    }
    memcpy(&footer, f->bytes + n - 8, 4);
    if (memcmp(f->bytes + n - 4, "PAR1", 4) || footer > n - 12) {
        nj_fail(err, "%s: is truncated: no Parquet footer at its end", name);
        goto fail;
    }
    if (nj_parquet_footer(f, f->bytes + n - 8 - footer, footer, err)) goto fail;
    return f;
fail:
    nj_parquet_close(f);
    return NULL;
}

nj_parquet *nj_parquet_open(const char *path, nj_error *err)
{
    struct stat st;
    nj_parquet *f = NULL;
    void *bytes = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        nj_fail(err, "%s: cannot be opened: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size < 12) {
        nj_fail(err, "%s: is not a Parquet file", path);
    } else if ((bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
        nj_fail(err, "%s: cannot be mapped: %s", path, strerror(errno));
    } else {
        f = nj_parquet_memory(path, bytes, (size_t)st.st_size, err);
        if (f)
            f->mapped = 1;
        else
            munmap(bytes, (size_t)st.st_size);
    }
    if (fd >= 0) close(fd);
    return f;
}

void nj_parquet_close(nj_parquet *f)
{
    if (!f) return;
    for (uint32_t i = 0; i < f->n_leaves; i++) {
        free((char *)f->leaf[i].path);
        free((char *)f->leaf[i].name);
    }
    if (f->mapped) munmap((void *)f->bytes, f->n);
    free(f->leaf);
    free(f->node);
    free(f->physical);
    free(f->fixed_size);
    free(f->group_rows);
    free(f->chunk);
    free(f->name);
    free(f);
}

uint64_t nj_parquet_rows(const nj_parquet *file)
{
    return file->n_rows;
}
uint32_t nj_parquet_leaves(const nj_parquet *file)
{
    return file->n_leaves;
}
const nj_parquet_leaf *nj_parquet_leaf_at(const nj_parquet *file, uint32_t leaf)
{
    return &file->leaf[leaf];
}

const nj_parquet_node *nj_parquet_nodes(const nj_parquet *file, uint32_t *n)
{
    *n = file->n_nodes;
    return file->node;
}

int nj_parquet_find(const nj_parquet *file, const char *name)
{
    for (uint32_t i = 0; i < file->n_leaves; i++)
        if (!strcmp(file->leaf[i].name, name) || !strcmp(file->leaf[i].path, name)) return (int)i;
    return -1;
}

/* ---- a column ---- */

typedef struct kept { /* an unpacked page that values handed out may point into */
    struct kept *next;
    uint8_t *data;
} kept;

struct nj_parquet_column {
    const nj_parquet *file;
    uint32_t leaf, group;
    const uint8_t *p, *end; /* pages of the present chunk not yet read */
    int64_t values_left;    /* of the chunk, behind the present page */
    int codec;
    nj_page_values dictionary;
    /* the present page */
    nj_page_values page;
    uint8_t *def, *rep;
    uint32_t n, at, cap_levels; /* level entries, and how many were handed out */
    kept *kept;
    /* what the last read gave */
    uint8_t *out_def, *out_rep, *out_value;
    uint32_t *row_start, cap_out, cap_rows;
    struct libdeflate_decompressor *gzip;
};

static int damaged(const nj_parquet_column *c, nj_error *err, const char *what)
{
    return nj_fail(err, "%s: column '%s', row group %u: %s", c->file->name, c->file->leaf[c->leaf].path,
                   c->group, what);
}

nj_parquet_column *nj_parquet_column_open(const nj_parquet *file, uint32_t leaf, nj_error *err)
{
    nj_parquet_column *c = leaf < file->n_leaves ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        nj_fail(err, "%s: no column %u, or no memory", file->name, leaf);
        return NULL;
    }
    c->file = file;
    c->leaf = leaf;
    c->group = UINT32_MAX; /* before the first */
    return c;
}

static void drop_kept(nj_parquet_column *c)
{
    while (c->kept) {
        kept *k = c->kept;
        c->kept = k->next;
        free(k->data);
        free(k);
    }
}

void nj_parquet_column_close(nj_parquet_column *c)
{
    if (!c) return;
    drop_kept(c);
    nj_page_values_free(&c->dictionary);
    nj_page_values_free(&c->page);
    free(c->def);
    free(c->rep);
    free(c->out_def);
    free(c->out_rep);
    free(c->out_value);
    free(c->row_start);
    if (c->gzip) libdeflate_free_decompressor(c->gzip);
    free(c);
}

/* Unpacks n bytes into room of `plain` bytes. */
static int unpack(nj_parquet_column *c, const uint8_t *from, size_t n, uint8_t *to, size_t plain)
{
    size_t got = plain;
    switch (c->codec) {
    case NJ_PQ_SNAPPY:
        return snappy_uncompress((const char *)from, n, (char *)to, &got) == SNAPPY_OK && got == plain ? 0
                                                                                                       : -1;
    case NJ_PQ_GZIP:
        if (!c->gzip && !(c->gzip = libdeflate_alloc_decompressor())) return -1;
        return libdeflate_gzip_decompress(c->gzip, from, n, to, plain, NULL) == LIBDEFLATE_SUCCESS ? 0 : -1;
    case NJ_PQ_ZSTD:
        got = ZSTD_decompress(to, plain, from, n);
        return !ZSTD_isError(got) && got == plain ? 0 : -1;
    default: return -1;
    }
}

/* The values that were handed out may point into what the page held: it goes only at the next read. */
static int keep(nj_parquet_column *c, nj_page_values *v)
{
    for (int i = 0; i < 2; i++) {
        uint8_t **data = i ? &v->text : &v->owned;
        if (!*data) continue;
        kept *k = malloc(sizeof *k);
        if (!k) return -1;
        *k = (kept){ c->kept, *data };
        c->kept = k;
        *data = NULL;
    }
    return 0;
}

static int next_group(nj_parquet_column *c, nj_error *err)
{
    c->group++;
    if (c->group == c->file->n_groups) return 0;
    const nj_parquet_chunk *k = &c->file->chunk[(size_t)c->group * c->file->n_leaves + c->leaf];
    c->p = c->file->bytes + k->offset;
    c->end = c->p + k->size;
    c->values_left = k->n_values;
    c->codec = k->codec;
    if (keep(c, &c->dictionary)) return damaged(c, err, "no memory");
    c->dictionary.n = 0;
    if (c->codec != NJ_PQ_NONE && c->codec != NJ_PQ_SNAPPY && c->codec != NJ_PQ_GZIP &&
        c->codec != NJ_PQ_ZSTD)
        return damaged(
            c, err,
            "compressed with Brotli, LZ4 or LZO, which are not read: rewrite it with Zstandard or Snappy");
    if (!c->file->leaf[c->leaf].max_rep && (uint64_t)k->n_values != c->file->group_rows[c->group])
        return damaged(c, err, "as many values as rows were expected");
    return 1;
}

static int room_for_levels(nj_parquet_column *c, uint32_t n)
{
    if (n <= c->cap_levels) return 0;
    free(c->def);
    free(c->rep);
    c->def = malloc(n);
    c->rep = malloc(n);
    c->cap_levels = c->def && c->rep ? n : 0;
    return c->cap_levels ? 0 : -1;
}

/* Decodes levels that stand with their length before them (v1) or have it from the header (v2). */
static int levels(const uint8_t **p, const uint8_t *end, int32_t v2_bytes, int encoding, int max, uint8_t *to,
                  uint32_t n)
{
    if (!max) return v2_bytes > 0 ? -1 : 0;
    uint32_t size = (uint32_t)v2_bytes;
    if (v2_bytes < 0) {
        if (encoding != NJ_PQ_RLE || end - *p < 4) return -1; /* BIT_PACKED levels were given up in 2013 */
        memcpy(&size, *p, 4);
        *p += 4;
    }
    if (size > (size_t)(end - *p)) return -1;
    if (nj_rle_levels(*p, *p + size, max, to, n)) return -1;
    *p += size;
    return 0;
}

static int data_page(nj_parquet_column *c, const nj_parquet_page *h, const uint8_t *body, nj_error *err)
{
    const nj_parquet_leaf *leaf = &c->file->leaf[c->leaf];
    uint32_t n = (uint32_t)h->n_values;
    int v2 = h->kind == NJ_PQ_DATA_PAGE_2;
    size_t level_bytes = v2 ? (size_t)h->def_bytes + (size_t)h->rep_bytes : 0;
    if (h->n_values < 0 || h->n_values > c->values_left || n > NJ_PAGE_LEVELS)
        return damaged(c, err, "a page claims too many values");
    if (level_bytes > (size_t)h->packed || level_bytes > (size_t)h->plain)
        return damaged(c, err, "a page's levels are longer than itself");
    if (keep(c, &c->page) || room_for_levels(c, n)) return damaged(c, err, "no memory");
    const uint8_t *p = body, *end = body + h->packed;
    if (v2 && (levels(&p, p + h->rep_bytes, h->rep_bytes, NJ_PQ_RLE, leaf->max_rep, c->rep, n) ||
               levels(&p, p + h->def_bytes, h->def_bytes, NJ_PQ_RLE, leaf->max_def, c->def, n)))
        return damaged(c, err, "a page's levels are damaged");
    if (c->codec && (!v2 || h->compressed)) { /* v2 keeps its levels outside the compressed part */
        size_t plain = (size_t)h->plain - level_bytes;
        c->page.text = malloc(plain + 8);
        if (!c->page.text) return damaged(c, err, "no memory");
        if (plain && unpack(c, body + level_bytes, (size_t)h->packed - level_bytes, c->page.text, plain))
            return damaged(c, err, "a page does not unpack");
        p = c->page.text;
        end = p + plain;
    }
    if (!v2 && (levels(&p, end, -1, h->rep_encoding, leaf->max_rep, c->rep, n) ||
                levels(&p, end, -1, h->def_encoding, leaf->max_def, c->def, n)))
        return damaged(c, err, "a page's levels are damaged, or in the old bit-packed form");
    uint32_t present = n;
    if (leaf->max_def) {
        present = 0;
        for (uint32_t i = 0; i < n; i++) present += c->def[i] == leaf->max_def;
    }
    const char *why = nj_page_decode(&c->page, h->encoding, c->file->physical[c->leaf],
                                     c->file->fixed_size[c->leaf], p, end, present, &c->dictionary);
    if (why) return damaged(c, err, why);
    if (leaf->max_def && nj_page_spread(&c->page, nj_page_width(leaf->type), c->def, leaf->max_def, n))
        return damaged(c, err, "no memory");
    c->n = n;
    c->at = 0;
    c->values_left -= n;
    return 1;
}

static int dictionary_page(nj_parquet_column *c, const nj_parquet_page *h, const uint8_t *body, nj_error *err)
{
    if (h->n_values < 0 || (uint32_t)h->n_values > NJ_PAGE_LEVELS ||
        (h->encoding != NJ_PQ_PLAIN && h->encoding != NJ_PQ_PLAIN_DICTIONARY))
        return damaged(c, err, "impossible dictionary");
    if (keep(c, &c->dictionary)) return damaged(c, err, "no memory");
    const uint8_t *p = body, *end = body + h->packed;
    if (c->codec) {
        c->dictionary.text = malloc((size_t)h->plain + 8);
        if (!c->dictionary.text) return damaged(c, err, "no memory");
        if (h->plain && unpack(c, body, (size_t)h->packed, c->dictionary.text, (size_t)h->plain))
            return damaged(c, err, "the dictionary does not unpack");
        p = c->dictionary.text;
        end = p + h->plain;
    }
    const char *why = nj_page_decode(&c->dictionary, NJ_PQ_PLAIN, c->file->physical[c->leaf],
                                     c->file->fixed_size[c->leaf], p, end, (uint32_t)h->n_values, NULL);
    return why ? damaged(c, err, why) : 0;
}

/* Makes the next data page the present one: 1, 0 at the end of the file, -1. */
static int next_page(nj_parquet_column *c, nj_error *err)
{
    for (;;) {
        while (c->group == UINT32_MAX || c->values_left == 0) {
            if (c->group != UINT32_MAX && c->group >= c->file->n_groups) return 0;
            int rc = next_group(c, err);
            if (rc <= 0) return rc;
        }
        nj_parquet_page h;
        size_t head = nj_parquet_page_header(c->p, (size_t)(c->end - c->p), &h);
        if (!head || (size_t)h.packed > (size_t)(c->end - c->p) - head)
            return damaged(c, err, "a page header is damaged, or the pages end early");
        if (h.plain > most_page_bytes) return damaged(c, err, "a page is larger than 1 GiB");
        const uint8_t *body = c->p + head;
        c->p = body + h.packed;
        int rc = h.kind == NJ_PQ_DATA_PAGE || h.kind == NJ_PQ_DATA_PAGE_2 ? data_page(c, &h, body, err)
                 : h.kind == NJ_PQ_DICTIONARY_PAGE                        ? dictionary_page(c, &h, body, err)
                                                                          : 0;
        if (rc) return rc;
    }
}

static int room_for_out(nj_parquet_column *c, uint32_t n)
{
    if (n <= c->cap_out) return 0;
    uint32_t cap = c->cap_out ? c->cap_out : 1024;
    while (cap < n) cap *= 2;
    const nj_parquet_leaf *leaf = &c->file->leaf[c->leaf];
    uint8_t *value = realloc(c->out_value, (size_t)cap * nj_page_width(leaf->type));
    if (value) c->out_value = value;
    uint8_t *def = leaf->max_def ? realloc(c->out_def, cap) : NULL;
    if (def) c->out_def = def;
    uint8_t *rep = leaf->max_rep ? realloc(c->out_rep, cap) : NULL;
    if (rep) c->out_rep = rep;
    if (!value || (leaf->max_def && !def) || (leaf->max_rep && !rep)) return -1;
    c->cap_out = cap;
    return 0;
}

/* How many level entries of the page from c->at belong to the rows still wanted; counts rows that begin. */
static uint32_t take_rows(nj_parquet_column *c, uint32_t n_rows, uint32_t *rows, uint32_t n_out, int *done)
{
    if (!c->file->leaf[c->leaf].max_rep) {
        uint32_t k = c->n - c->at < n_rows - *rows ? c->n - c->at : n_rows - *rows;
        *rows += k;
        *done = *rows == n_rows;
        return k;
    }
    uint32_t k = 0;
    for (; c->at + k < c->n; k++) {
        if (c->rep[c->at + k]) continue;
        if (*rows == n_rows) {
            *done = 1;
            break;
        }
        c->row_start[(*rows)++] = n_out + k;
    }
    return k;
}

void nj_parquet_column_seek(nj_parquet_column *c, uint32_t group)
{
    c->at = c->n = 0; /* of a list the page behind its last row may be here already */
    c->values_left = 0;
    c->group = group - 1; /* which is complete; of 0: before the first */
}

int nj_parquet_read(nj_parquet_column *c, uint32_t n_rows, nj_parquet_values *out, nj_error *err)
{
    const nj_parquet_leaf *leaf = &c->file->leaf[c->leaf];
    uint32_t n_out = 0, rows = 0;
    int done = n_rows == 0;
    drop_kept(c);
    *out = (nj_parquet_values){ 0 };
    if (n_rows > MOST_ROWS) return damaged(c, err, "more than 2^20 rows asked for at once");
    if (leaf->max_rep && c->cap_rows < n_rows + 1) {
        uint32_t *start = realloc(c->row_start, (n_rows + 1) * sizeof *start);
        if (!start) return damaged(c, err, "no memory");
        c->row_start = start;
        c->cap_rows = n_rows + 1;
    }
    while (!done) {
        if (c->at == c->n) {
            int rc = next_page(c, err);
            if (rc < 0) return -1;
            if (!rc) break;
            continue;
        }
        uint32_t k = take_rows(c, n_rows, &rows, n_out, &done);
        if (!rows && k) return damaged(c, err, "it does not begin with a row");
        if (n_out + (uint64_t)k > 4 * (uint64_t)NJ_PAGE_LEVELS || room_for_out(c, n_out + k))
            return damaged(c, err, "too many values at once: read fewer rows");
        size_t width = nj_page_width(leaf->type);
        memcpy(c->out_value + n_out * width, c->page.value + c->at * width, k * width);
        if (leaf->max_def) memcpy(c->out_def + n_out, c->def + c->at, k);
        if (leaf->max_rep) memcpy(c->out_rep + n_out, c->rep + c->at, k);
        n_out += k;
        c->at += k;
    }
    if (leaf->max_rep) c->row_start[rows] = n_out;
    *out = (nj_parquet_values){ .n_rows = rows,
                                .n_levels = n_out,
                                .row_start = leaf->max_rep ? c->row_start : NULL,
                                .def = leaf->max_def ? c->out_def : NULL,
                                .rep = leaf->max_rep ? c->out_rep : NULL,
                                .value = c->out_value };
    return 0;
}
