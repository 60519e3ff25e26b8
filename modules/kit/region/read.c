/* read.c - a region of a file: the format is told by the content, and text coverage maps are read here. */
#include "rgn.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MOST_BYTES ((size_t)1 << 30)

int rgn_refuse(const rgn_text *t, const char *format, ...)
{
    va_list args;
    int n = snprintf(t->why, t->why_size, "%s: ", t->path);
    va_start(args, format);
    if (n > 0 && (size_t)n < t->why_size) vsnprintf(t->why + n, t->why_size - (size_t)n, format, args);
    va_end(args);
    return -1;
}

void rgn_free(rgn_region *r)
{
    for (size_t k = 0; k < r->n_shapes; k++) {
        free(r->shape[k].x);
        free(r->shape[k].y);
    }
    free(r->shape);
    free(r->range);
    free(r->cell);
    *r = (rgn_region){ 0 };
}

int rgn_add_cells(rgn_region *r, size_t *cap, unsigned order, uint64_t first, uint64_t last)
{
    if (order > RGN_ORDER || first > last || last >= UINT64_C(12) << 2 * order) return -1;
    if (r->n_ranges == *cap) {
        size_t more = *cap ? 2 * *cap : 256;
        rgn_range *range = realloc(r->range, more * sizeof *range);
        if (!range) return -1;
        r->range = range;
        *cap = more;
    }
    unsigned shift = 2 * (RGN_ORDER - order);
    r->range[r->n_ranges++] = (rgn_range){ first << shift, (last + 1) << shift };
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const rgn_range *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

void rgn_sort(rgn_region *r)
{
    size_t n = 0;
    if (r->n_ranges) qsort(r->range, r->n_ranges, sizeof *r->range, by_begin);
    for (size_t k = 0; k < r->n_ranges; k++) {
        if (n && r->range[k].begin <= r->range[n - 1].end) {
            if (r->range[k].end > r->range[n - 1].end) r->range[n - 1].end = r->range[k].end;
            continue;
        }
        r->range[n++] = r->range[k];
    }
    r->n_ranges = n;
}

/* ---- MOC as text ---- */

typedef struct text_moc {
    const rgn_text *t;
    const char *at;
    rgn_region *region;
    size_t cap;
} text_moc;

static void skip(text_moc *m)
{
    while (isspace((unsigned char)*m->at)) m->at++;
}

static int number(text_moc *m, uint64_t *v)
{
    char *end;
    if (!isdigit((unsigned char)*m->at)) return -1;
    *v = strtoull(m->at, &end, 10);
    m->at = end;
    return 0;
}

static int wrong(const text_moc *m, const char *what)
{
    size_t line = 1;
    for (const char *c = m->t->data; c < m->at; c++) line += *c == '\n';
    return rgn_refuse(m->t, "line %zu: %s: '%.20s'", line, what, m->at);
}

static int add(text_moc *m, uint64_t order, uint64_t first, uint64_t last)
{
    if (order > RGN_ORDER) return wrong(m, "an order above 29");
    if (rgn_add_cells(m->region, &m->cap, (unsigned)order, first, last))
        return wrong(m, "a cell that its order does not have");
    return 0;
}

/* 3/1-5 8 4/ 20,22 29/: cells of an order behind its slash; the last order may be empty. */
static int read_ascii(const rgn_text *t, rgn_region *region)
{
    text_moc m = { .t = t, .at = t->data, .region = region };
    uint64_t order = UINT64_MAX, first, last;
    for (;;) {
        while (isspace((unsigned char)*m.at) || *m.at == ',') m.at++;
        if (*m.at == '#') {
            m.at += strcspn(m.at, "\n");
            continue;
        }
        if (!*m.at) return 0;
        if (*m.at == 't' || *m.at == 'f') return wrong(&m, "a coverage of time or frequency, not of the sky");
        if (*m.at == 's') m.at++; /* the sky's dimension, where a file may have several */
        const char *from = m.at;
        if (number(&m, &first)) return wrong(&m, "no number");
        last = first;
        if (*m.at == '/') {
            m.at++;
            order = first;
            if (order <= RGN_ORDER) continue;
            m.at = from;
            return wrong(&m, "an order above 29");
        }
        if (*m.at == '-') {
            m.at++;
            if (number(&m, &last)) return wrong(&m, "no number behind '-'");
        }
        const char *end = m.at;
        m.at = from;
        if (order == UINT64_MAX) return wrong(&m, "a cell without an order");
        if (add(&m, order, first, last)) return -1;
        m.at = end;
    }
}

static int sign(text_moc *m, char c)
{
    skip(m);
    if (*m->at != c) return 0;
    m->at++;
    skip(m);
    return 1;
}

/* {"3": [1, 2], "4": []} */
static int read_json(const rgn_text *t, rgn_region *region)
{
    text_moc m = { .t = t, .at = t->data, .region = region };
    uint64_t order, cell;
    sign(&m, '{');
    if (sign(&m, '}')) return 0;
    do {
        if (!sign(&m, '"') || number(&m, &order) || !sign(&m, '"') || !sign(&m, ':') || !sign(&m, '['))
            return wrong(&m, "not \"ORDER\": [CELL, ...]");
        if (sign(&m, ']')) continue;
        do {
            skip(&m);
            const char *from = m.at, *end;
            if (number(&m, &cell)) return wrong(&m, "no number of a cell");
            end = m.at;
            m.at = from;
            if (add(&m, order, cell, cell)) return -1;
            m.at = end;
        } while (sign(&m, ','));
        if (!sign(&m, ']')) return wrong(&m, "no ']'");
    } while (sign(&m, ','));
    if (!sign(&m, '}')) return wrong(&m, "no '}'");
    return *m.at ? wrong(&m, "more behind the '}'") : 0;
}

/* ---- files ---- */

/* The whole file, unpacked when it is gzip, with a NUL behind it. */
static int load(rgn_text *t)
{
    gzFile file = gzopen(t->path, "rb");
    if (!file) return rgn_refuse(t, "cannot be opened");
    size_t cap = 1 << 16;
    t->data = malloc(cap + 1);
    for (int got = 1; t->data && got > 0;) {
        if (t->n == cap) {
            char *data = cap < MOST_BYTES ? realloc(t->data, 2 * cap + 1) : NULL;
            if (!data) break;
            t->data = data;
            cap *= 2;
        }
        got = gzread(file, t->data + t->n, (unsigned)(cap - t->n));
        if (got > 0) t->n += (size_t)got;
    }
    int error;
    const char *what = gzerror(file, &error);
    if (!t->data || t->n == cap)
        rgn_refuse(t, "is larger than %zu MiB, or there is no memory", MOST_BYTES >> 20);
    else if (error != Z_OK && error != Z_STREAM_END)
        rgn_refuse(t, "%s", what);
    else
        error = 0, t->data[t->n] = 0;
    int bad = !t->data || t->n == cap || error;
    gzclose(file);
    return bad ? -1 : 0;
}

static int read_any(const rgn_text *t, double level, rgn_region *region)
{
    if (t->n > 9 && !memcmp(t->data, "SIMPLE  =", 9)) return rgn_read_fits(t, level, region);
    if (t->n > 3 && !memcmp(t->data, "\xef\xbb\xbf", 3)) memset(t->data, ' ', 3); /* as editors begin UTF-8 */
    if (strlen(t->data) != t->n) return rgn_refuse(t, "is neither FITS nor text");
    const char *at = t->data + strspn(t->data, " \t\r\n");
    if (!*at) return rgn_refuse(t, "is empty");
    if (*at == '{') {
        const char *key = at + 1 + strspn(at + 1, " \t\r\n"); /* a MOC's first key is an order */
        int is_moc = *key == '}' || (*key == '"' && isdigit((unsigned char)key[1]));
        return is_moc ? read_json(t, region) : rgn_read_notice(t, level, region);
    }
    if (isdigit((unsigned char)*at) ||
        ((*at == 's' || *at == 't' || *at == 'f') && isdigit((unsigned char)at[1])))
        return read_ascii(t, region);
    return rgn_read_ds9(t, region);
}

int rgn_read(const char *path, double level, rgn_region *region, char *why, size_t why_size)
{
    rgn_text t = { .path = path, .why = why, .why_size = why_size };
    *region = (rgn_region){ 0 };
    int rc = load(&t);
    if (!rc && t.data) rc = read_any(&t, level, region);
    free(t.data);
    if (rc)
        rgn_free(region);
    else
        rgn_sort(region);
    return rc;
}
