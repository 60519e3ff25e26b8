/* fits.c - the binary table of a coverage map or a skymap. cfitsio is not used: a swap would wait for its
 * lock while workers open stamps, and these tables have a few plain columns. */
#include "rgn.h"

#include <chealpix.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BLOCK = 2880, CARD = 80, COLUMNS = 32 };

typedef struct column {
    char name[24], type; /* letter of TFORM */
    uint32_t at, repeat; /* in the row */
} column;

typedef struct table {
    const rgn_text *t;
    const char *header, *end; /* of its cards */
    const uint8_t *row;
    uint64_t width, n_rows, n_columns;
    column column[COLUMNS];
} table;

/* The value of a keyword, without its quotes; 0 = it is not there. */
static int card(const char *header, const char *end, const char *key, char value[72])
{
    size_t n = strlen(key);
    for (const char *c = header; c + CARD <= end; c += CARD) {
        if (memcmp(c, key, n) || strspn(c + n, " ") < 8 - n || memcmp(c + 8, "= ", 2)) continue;
        const char *from = c + 10;
        while (from < c + CARD && *from == ' ') from++;
        size_t k = 0;
        int quoted = from < c + CARD && *from == '\'';
        for (from += quoted; from < c + CARD && *from != (quoted ? '\'' : '/') && k < 70; from++)
            value[k++] = *from;
        while (k && value[k - 1] == ' ') k--;
        value[k] = 0;
        return 1;
    }
    return 0;
}

static int64_t whole(const char *header, const char *end, const char *key, int64_t missing)
{
    char value[72], *rest;
    if (!card(header, end, key, value)) return missing;
    int64_t v = strtoll(value, &rest, 10);
    return *rest || rest == value ? -1 : v;
}

/* The end of the cards that begin at `at`, behind END; NULL = none. */
static const char *header_end(const char *at, const char *stop)
{
    for (; at + CARD <= stop; at += CARD)
        if (!memcmp(at, "END     ", 8)) return at;
    return NULL;
}

static uint64_t blocks(uint64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Bytes of the data behind a header; UINT64_MAX = more than a file has. */
static uint64_t data_size(const char *header, const char *end)
{
    int64_t axes = whole(header, end, "NAXIS", 0), bits = llabs(whole(header, end, "BITPIX", 8));
    if (axes <= 0 || axes > 9) return axes ? UINT64_MAX : 0;
    double product = 1;
    for (int64_t k = 1; k <= axes; k++) {
        char key[16];
        snprintf(key, sizeof key, "NAXIS%d", (int)k);
        int64_t n = whole(header, end, key, -1);
        if (n < 0) return UINT64_MAX;
        product *= (double)n;
    }
    double size = (double)bits / 8 * ((double)whole(header, end, "PCOUNT", 0) + product) *
                  (double)whole(header, end, "GCOUNT", 1);
    return size >= 0 && size < 1e12 ? (uint64_t)size : UINT64_MAX;
}

static unsigned width_of(char type)
{
    return type == 'K' || type == 'D' ? 8 : type == 'J' || type == 'E' ? 4 : type == 'I' ? 2 : 1;
}

static int find_columns(table *t)
{
    char key[16], value[72];
    uint64_t at = 0, fields = (uint64_t)whole(t->header, t->end, "TFIELDS", 0);
    if (fields < 1 || fields > COLUMNS)
        return rgn_refuse(t->t, "its table must have 1 to %d columns", COLUMNS);
    for (; t->n_columns < fields; t->n_columns++) {
        column *c = &t->column[t->n_columns];
        int k = (int)t->n_columns + 1;
        snprintf(key, sizeof key, "TFORM%d", k);
        if (!card(t->header, t->end, key, value)) return rgn_refuse(t->t, "%s is missing", key);
        char *letter = value;
        unsigned long repeat = isdigit((unsigned char)*value) ? strtoul(value, &letter, 10) : 1;
        if (!*letter || !strchr("LBAIJKED", *letter) || repeat > UINT32_MAX / 8)
            return rgn_refuse(t->t, "%s = %s is not read", key, value);
        *c = (column){ .type = *letter, .at = (uint32_t)at, .repeat = (uint32_t)repeat };
        snprintf(key, sizeof key, "TTYPE%d", k);
        if (card(t->header, t->end, key, value)) snprintf(c->name, sizeof c->name, "%.23s", value);
        snprintf(key, sizeof key, "TZERO%d", k);
        if (card(t->header, t->end, key, value) && strtod(value, NULL) != 0)
            return rgn_refuse(t->t, "%s = %s: scaled columns are not read", key, value);
        at += repeat * width_of(c->type);
        if (at > UINT32_MAX) return rgn_refuse(t->t, "rows wider than 4 GiB");
    }
    if (at != t->width) return rgn_refuse(t->t, "NAXIS1 is not the width of the columns");
    return 0;
}

/* The first binary table of the file. */
static int find_table(const rgn_text *text, table *t)
{
    const char *at = text->data, *stop = text->data + text->n;
    char value[72];
    *t = (table){ .t = text };
    for (;;) {
        const char *end = header_end(at, stop);
        if (!end) return rgn_refuse(text, "has no binary table");
        uint64_t begin = blocks((uint64_t)(end + CARD - text->data)), size = data_size(at, end);
        int is_table = card(at, end, "XTENSION", value) && !strcmp(value, "BINTABLE");
        if (size == UINT64_MAX || begin > text->n || size > text->n - begin)
            return rgn_refuse(text, "is cut off: a header announces more bytes than there are");
        if (!is_table) {
            at = text->data + (begin + blocks(size) < text->n ? begin + blocks(size) : text->n);
            continue;
        }
        t->header = at;
        t->end = end;
        t->row = (const uint8_t *)text->data + begin;
        int64_t width = whole(at, end, "NAXIS1", -1), rows = whole(at, end, "NAXIS2", -1);
        if (width < 1 || rows < 0 || (rows && (uint64_t)width > size / (uint64_t)rows))
            return rgn_refuse(text, "NAXIS1, NAXIS2: no table of this size is there");
        t->width = (uint64_t)width;
        t->n_rows = (uint64_t)rows;
        return find_columns(t);
    }
}

static const column *named(const table *t, const char *name)
{
    for (uint64_t k = 0; k < t->n_columns; k++)
        if (!strcasecmp(t->column[k].name, name)) return &t->column[k];
    return NULL;
}

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    while (n--) v = v << 8 | *p++;
    return v;
}

/* A whole number of a row; those of 16 and 32 bits have a sign. */
static int64_t integer(const table *t, const column *c, uint64_t row, uint32_t k)
{
    unsigned n = width_of(c->type);
    uint64_t v = big_endian(t->row + row * t->width + c->at + (size_t)k * n, n);
    return n == 4 ? (int32_t)v : n == 2 ? (int16_t)v : (int64_t)v;
}

static int is_whole(const column *c)
{
    return c->type == 'K' || c->type == 'J' || c->type == 'I' || c->type == 'B';
}

/* The order of a cell that is written as 4 * 4^order + number, and its number; -1 = it is none. */
static int split_uniq(const table *t, uint64_t row, int64_t uniq, unsigned *order, uint64_t *cell)
{
    *cell = 0;
    *order = uniq >= 4 ? (unsigned)(61 - __builtin_clzll((unsigned long long)uniq)) / 2 : 99;
    if (*order > RGN_ORDER || (*cell = (uint64_t)uniq - (UINT64_C(4) << 2 * *order)) >= UINT64_C(12)
                                                                                            << 2 * *order)
        return rgn_refuse(t->t, "row %llu: %lld is no cell in NUNIQ", (unsigned long long)row + 1,
                          (long long)uniq);
    return 0;
}

static int take_uniq(const table *t, const column *c, rgn_region *region)
{
    size_t cap = 0;
    for (uint64_t row = 0; row < t->n_rows; row++) {
        for (uint32_t k = 0; k < c->repeat; k++) {
            unsigned order;
            uint64_t cell;
            if (split_uniq(t, row, integer(t, c, row, k), &order, &cell)) return -1;
            if (rgn_add_cells(region, &cap, order, cell, cell)) return rgn_refuse(t->t, "no memory");
        }
    }
    return 0;
}

static double real_at(const table *t, const column *c, uint64_t row, uint32_t k)
{
    if (!c) return NAN;
    const uint8_t *p = t->row + row * t->width + c->at + k * width_of(c->type);
    uint64_t bits = big_endian(p, width_of(c->type));
    uint32_t low = (uint32_t)bits;
    double d;
    float f;
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &low, sizeof f);
    return c->type == 'D' ? d : (double)f;
}

static double real(const table *t, const column *c, uint64_t row)
{
    return real_at(t, c, row, 0);
}

static int is_real(const column *c)
{
    return c && c->repeat == 1 && (c->type == 'D' || c->type == 'E');
}

/* A multi-order map of probabilities, with the distance along each line of sight where it has one. */
static int take_skymap(const table *t, double level, rgn_region *region)
{
    const column *uniq = named(t, "UNIQ"), *density = named(t, "PROBDENSITY"), *mu = named(t, "DISTMU"),
                 *sigma = named(t, "DISTSIGMA");
    if (!uniq || uniq->type != 'K' || uniq->repeat != 1)
        return rgn_refuse(t->t, "a skymap needs a column UNIQ (1K)");
    if (!is_real(density) || (mu && !is_real(mu)) || (sigma && !is_real(sigma)))
        return rgn_refuse(t->t, "PROBDENSITY, DISTMU, DISTSIGMA must be real numbers, one a row");
    region->cell = malloc((t->n_rows + 1) * sizeof *region->cell);
    if (!region->cell) return rgn_refuse(t->t, "no memory");
    for (uint64_t row = 0; row < t->n_rows; row++) {
        unsigned order;
        uint64_t cell;
        if (split_uniq(t, row, integer(t, uniq, row, 0), &order, &cell)) return -1;
        unsigned shift = 2 * (RGN_ORDER - order);
        rgn_cell c = { cell << shift, (cell + 1) << shift, real(t, density, row),
                       NAN,           real(t, mu, row),    real(t, sigma, row) };
        if (!(c.density >= 0 && c.density < INFINITY))
            return rgn_refuse(t->t, "row %llu: PROBDENSITY is no probability", (unsigned long long)row + 1);
        if (!isfinite(c.distmu)) c.distmu = NAN; /* no distance in this direction */
        if (!isfinite(c.distsigma)) c.distsigma = NAN;
        region->cell[region->n_cells++] = c;
    }
    return rgn_make_skymap(t->t, level, region);
}

/* What the pixels of a flat map are called by. */
typedef struct flat {
    const column *value, *pixel, *mu, *sigma;
    int is_density, is_ring;
    int64_t nside;
    unsigned order;
} flat;

static int flat_header(const table *t, flat *f)
{
    char ordering[72] = "", scheme[72] = "IMPLICIT";
    card(t->header, t->end, "ORDERING", ordering);
    card(t->header, t->end, "INDXSCHM", scheme);
    f->nside = whole(t->header, t->end, "NSIDE", -1);
    f->is_ring = !strcmp(ordering, "RING");
    f->pixel = named(t, "PIXEL");
    if (!f->is_ring && strcmp(ordering, "NESTED") && strcmp(ordering, "NEST"))
        return rgn_refuse(t->t, "ORDERING = %s: RING and NESTED are read", ordering);
    while (f->order < RGN_ORDER && INT64_C(1) << f->order < f->nside) f->order++;
    if (f->nside != INT64_C(1) << f->order)
        return rgn_refuse(t->t, "NSIDE = %lld is no power of two", (long long)f->nside);
    if (!strcmp(scheme, "EXPLICIT") != !!f->pixel)
        return rgn_refuse(t->t, "INDXSCHM = %s, and %s column PIXEL", scheme, f->pixel ? "it has a" : "no");
    const column *all[] = { f->value, f->mu, f->sigma };
    for (size_t k = 0; k < 3; k++)
        if (all[k] && ((all[k]->type != 'D' && all[k]->type != 'E') || all[k]->repeat != f->value->repeat))
            return rgn_refuse(t->t, "%s must be real numbers, as many a row as there are pixels",
                              all[k]->name);
    if (f->pixel && (!is_whole(f->pixel) || f->pixel->repeat != f->value->repeat))
        return rgn_refuse(t->t, "PIXEL must be whole numbers, as many a row as there are values");
    return 0;
}

/* A map of pixels of one size: a probability each, or one per steradian. */
static int take_flat(const table *t, const column *value, double level, rgn_region *region)
{
    static const double unseen = -1.6375e30; /* of HEALPix: no value */
    flat f = { .value = value, .mu = named(t, "DISTMU"), .sigma = named(t, "DISTSIGMA") };
    f.is_density = !strcasecmp(value->name, "PROBDENSITY");
    if (!value->repeat) return rgn_refuse(t->t, "%s has no values", value->name);
    if (flat_header(t, &f)) return -1;
    uint64_t n = t->n_rows * value->repeat, all = UINT64_C(12) << 2 * f.order;
    unsigned shift = 2 * (RGN_ORDER - f.order);
    size_t cap = 0;
    double pixel_area = 4 * M_PI / (double)all;
    if (!f.pixel && n != all)
        return rgn_refuse(t->t, "%llu pixels, and NSIDE = %lld has %llu", (unsigned long long)n,
                          (long long)f.nside, (unsigned long long)all);
    for (uint64_t k = 0; k < n; k++) {
        int64_t from = (int64_t)k, cell = (int64_t)k;
        if (f.pixel) {
            cell = integer(t, f.pixel, k / value->repeat, (uint32_t)(k % value->repeat));
            if (cell < 0 || (uint64_t)cell >= all)
                return rgn_refuse(t->t, "row %llu: pixel %lld is none of NSIDE = %lld",
                                  (unsigned long long)(k / value->repeat) + 1, (long long)cell,
                                  (long long)f.nside);
            if (f.is_ring) ring2nest64(f.nside, cell, &cell);
        } else if (f.is_ring) {
            nest2ring64(f.nside, cell, &from); /* in the order of NESTED, so that equal ones meet */
        }
        uint64_t row = (uint64_t)from / value->repeat;
        uint32_t i = (uint32_t)((uint64_t)from % value->repeat);
        double v = real_at(t, value, row, i), mu = real_at(t, f.mu, row, i),
               sigma = real_at(t, f.sigma, row, i);
        if (fabs(v / unseen - 1) < 1e-6) continue;
        if (!(v >= 0 && v < INFINITY))
            return rgn_refuse(t->t, "row %llu: %s is no probability", (unsigned long long)row + 1,
                              value->name);
        rgn_cell c = { (uint64_t)cell << shift,           (uint64_t)(cell + 1) << shift,
                       f.is_density ? v : v / pixel_area, NAN,
                       isfinite(mu) ? mu : NAN,           isfinite(sigma) ? sigma : NAN };
        if (rgn_push_cell(region, &cap, &c)) return rgn_refuse(t->t, "no memory");
    }
    return rgn_make_skymap(t->t, level, region);
}

/* Pairs of cells of order 29, half open, one after the other through the rows. */
static int take_ranges(const table *t, const column *c, rgn_region *region)
{
    size_t cap = 0;
    uint64_t n = t->n_rows * c->repeat;
    int64_t begin = 0;
    if (n % 2) return rgn_refuse(t->t, "a range lacks its end");
    for (uint64_t k = 0; k < n; k++) {
        int64_t v = integer(t, c, k / c->repeat, (uint32_t)(k % c->repeat));
        if (k % 2 == 0) {
            begin = v;
            continue;
        }
        if (begin < 0 || v <= begin ||
            rgn_add_cells(region, &cap, RGN_ORDER, (uint64_t)begin, (uint64_t)v - 1))
            return rgn_refuse(t->t, "row %llu: %lld to %lld is no range",
                              (unsigned long long)(k / c->repeat) + 1, (long long)begin, (long long)v);
    }
    return 0;
}

int rgn_read_fits(const rgn_text *text, double level, rgn_region *region)
{
    table t;
    char value[72];
    if (find_table(text, &t)) return -1;
    if (card(t.header, t.end, "MOCDIM", value) && strcmp(value, "SPACE"))
        return rgn_refuse(text, "MOCDIM = %s: a coverage of the sky (SPACE) is read", value);
    if (card(t.header, t.end, "COORDSYS", value) && strcmp(value, "C") && strcmp(value, "ICRS"))
        return rgn_refuse(text, "COORDSYS = %s: equatorial coordinates (C) are read", value);
    static const char *const flat_name[] = { "PROBDENSITY", "PROB", "PROBABILITY" };
    for (size_t k = 0; k < sizeof flat_name / sizeof *flat_name && !named(&t, "UNIQ"); k++)
        if (named(&t, flat_name[k]) && whole(t.header, t.end, "NSIDE", -1) != -1)
            return take_flat(&t, named(&t, flat_name[k]), level, region);
    if (named(&t, "PROBDENSITY")) return take_skymap(&t, level, region);
    int range = card(t.header, t.end, "ORDERING", value) && !strcmp(value, "RANGE");
    const column *uniq = named(&t, "UNIQ"), *c = uniq ? uniq : &t.column[0];
    if (!range && !uniq && strcmp(value, "NUNIQ"))
        return rgn_refuse(text, "has no column UNIQ, and ORDERING is neither NUNIQ nor RANGE");
    if (!is_whole(c) || !c->repeat) return rgn_refuse(text, "its cells are no whole numbers");
    return range ? take_ranges(&t, c, region) : take_uniq(&t, c, region);
}
