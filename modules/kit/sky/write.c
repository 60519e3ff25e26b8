/* write.c - writing a .njx file, in bounded memory. */
#include "njx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Rows are kept as fixed-size records { ra, dec, [pm_ra, pm_dec as float,] 8 bytes per column } in one buffer
 * per bucket of declination and grid. Beyond the memory limit all buffers go to the
 * buckets' temporary files. */
typedef struct bucket {
    char *data;
    size_t n, cap;
    int fd;         /* -1 = nothing was put out */
    uint64_t n_out; /* bytes put out */
} bucket;

typedef struct dictionary {
    uint32_t *slot; /* code + 1; 0 = free */
    uint32_t n_slots, n;
    uint64_t *start; /* [n + 1] */
    uint32_t cap;
    char *text;
    size_t n_text, cap_text;
} dictionary;

struct njx_writer {
    njx_options o;
    char *path, *temp;
    nj_sky_column column[NJX_COLUMNS];
    char name[NJX_COLUMNS][48], unit[NJX_COLUMNS][24], source[256], frame[16];
    size_t stride, motion_at, values_at, in_memory;
    bucket bucket[NJX_GRIDS][NJX_BUCKETS];
    dictionary dictionary[NJX_COLUMNS];
    uint64_t n_rows[NJX_GRIDS], n_rejected;
    double max_motion[NJX_GRIDS]; /* mas/yr */
    int spilled, fd;
};

static int refuse(char *why, size_t why_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int refuse(char *why, size_t why_size, const char *format, ...)
{
    if (why_size) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(why, why_size, format, ap);
        va_end(ap);
    }
    return -1;
}

static uint64_t hash_text(const char *text, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    return h ^ h >> 31;
}

static int grow_slots(dictionary *d)
{
    uint32_t n = d->n_slots ? 2 * d->n_slots : 1024;
    uint32_t *slot = calloc(n, sizeof *slot);
    if (!slot) return -1;
    for (uint32_t code = 0; code < d->n; code++) {
        uint32_t at = (uint32_t)hash_text(d->text + d->start[code],
                                          (uint32_t)(d->start[code + 1] - d->start[code] - 1)) &
                      (n - 1);
        while (slot[at]) at = (at + 1) & (n - 1);
        slot[at] = code + 1;
    }
    free(d->slot);
    d->slot = slot;
    d->n_slots = n;
    return 0;
}

/* The text's code; NJX_NO_CODE when memory is short or the codes are used up. */
static uint32_t encode(dictionary *d, const char *text, uint32_t n)
{
    if (2 * (uint64_t)d->n >= d->n_slots && (d->n_slots >= 1u << 31 || grow_slots(d))) return NJX_NO_CODE;
    uint32_t at = (uint32_t)hash_text(text, n) & (d->n_slots - 1);
    for (; d->slot[at]; at = (at + 1) & (d->n_slots - 1)) {
        uint32_t code = d->slot[at] - 1;
        if (d->start[code + 1] - d->start[code] - 1 == n && !memcmp(d->text + d->start[code], text, n))
            return code;
    }
    if (d->n + 2 > d->cap) {
        uint32_t cap = d->cap ? 2 * d->cap : 256;
        uint64_t *start = realloc(d->start, cap * sizeof *start);
        if (!start) return NJX_NO_CODE;
        start[0] = 0;
        d->start = start;
        d->cap = cap;
    }
    if (d->cap_text - d->n_text < n + 1) {
        size_t cap = 2 * d->cap_text + n + 4096;
        char *room = realloc(d->text, cap);
        if (!room) return NJX_NO_CODE;
        d->text = room;
        d->cap_text = cap;
    }
    memcpy(d->text + d->n_text, text, n);
    d->n_text += n;
    d->text[d->n_text++] = 0;
    d->start[++d->n] = d->n_text;
    d->slot[at] = d->n;
    return d->n - 1;
}

njx_writer *njx_create(const njx_options *o, char *why, size_t why_size)
{
    if (o->n_columns > NJX_COLUMNS) {
        refuse(why, why_size, "%s: %u columns, but at most %d fit", o->path, o->n_columns, NJX_COLUMNS);
        return NULL;
    }
    njx_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(o->path)) || asprintf(&w->temp, "%s.%d.tmp", o->path, (int)getpid()) < 0) {
        refuse(why, why_size, "%s: no memory", o->path);
        if (w) free(w->path);
        free(w);
        return NULL;
    }
    w->o = *o;
    if (!w->o.memory_bytes) w->o.memory_bytes = (size_t)1 << 30;
    if (!(w->o.fast_mas > 0)) w->o.fast_mas = 50;
    snprintf(w->source, sizeof w->source, "%s", o->source ? o->source : "");
    snprintf(w->frame, sizeof w->frame, "%s", o->frame ? o->frame : "icrs");
    for (uint32_t c = 0; c < o->n_columns; c++) {
        snprintf(w->name[c], sizeof w->name[c], "%s", o->column[c].name);
        snprintf(w->unit[c], sizeof w->unit[c], "%s", o->column[c].unit ? o->column[c].unit : "");
        w->column[c] = (nj_sky_column){ w->name[c], o->column[c].type, w->unit[c] };
    }
    w->motion_at = 16;
    w->values_at = 16 + (o->has_motion ? 8 : 0);
    w->stride = w->values_at + 8 * (size_t)o->n_columns;
    for (int g = 0; g < NJX_GRIDS; g++)
        for (int b = 0; b < NJX_BUCKETS; b++) w->bucket[g][b].fd = -1;
    w->fd = open(w->temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        refuse(why, why_size, "%s: cannot be written: %s", w->temp, strerror(errno));
        njx_abandon(w);
        return NULL;
    }
    return w;
}

static int write_all(int fd, const char *data, size_t n, uint64_t at)
{
    while (n) {
        ssize_t put = pwrite(fd, data, n, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return -1;
        data += put;
        n -= (size_t)put;
        at += (uint64_t)put;
    }
    return 0;
}

/* Puts every bucket's rows into its temporary file, which has no name any more. */
static int spill(njx_writer *w)
{
    for (int g = 0; g < NJX_GRIDS; g++)
        for (int k = 0; k < NJX_BUCKETS; k++) {
            bucket *b = &w->bucket[g][k];
            if (b->n && b->fd < 0) {
                char *name;
                if (asprintf(&name, "%s.XXXXXX", w->temp) < 0) return -1;
                b->fd = mkostemp(name, O_CLOEXEC);
                if (b->fd >= 0) unlink(name);
                free(name);
                if (b->fd < 0) return -1;
            }
            if (b->n && write_all(b->fd, b->data, b->n, b->n_out)) return -1;
            b->n_out += b->n;
            free(b->data);
            b->data = NULL;
            b->n = b->cap = 0;
        }
    w->in_memory = 0;
    w->spilled = 1;
    return 0;
}

static char *new_record(njx_writer *w, int grid, double dec)
{
    bucket *b = &w->bucket[grid][njx_dec_u32(dec) >> 24];
    if (b->cap - b->n < w->stride) {
        size_t cap = b->cap ? b->cap + b->cap / 2 : 16 * w->stride;
        char *data = realloc(b->data, cap);
        if (!data) return NULL;
        w->in_memory += cap - b->cap;
        b->data = data;
        b->cap = cap;
    }
    b->n += w->stride;
    return b->data + b->n - w->stride;
}

static int put_value(njx_writer *w, uint32_t c, const njx_value *v, char *to)
{
    switch (w->column[c].type) {
    case NJ_F64:
    case NJ_F32: memcpy(to, &v->number, 8); return 0;
    case NJ_STR: {
        uint64_t code = v->text ? encode(&w->dictionary[c], v->text, v->n_text) : NJX_NO_CODE;
        memcpy(to, &code, 8);
        return v->text && code == NJX_NO_CODE ? -1 : 0;
    }
    default: memcpy(to, &v->integer, 8); return 0;
    }
}

int njx_add(njx_writer *w, double ra, double dec, double pm_ra, double pm_dec, const njx_value *value,
            char *why, size_t why_size)
{
    if (!isfinite(ra) || !(dec >= -90 && dec <= 90) || ra < -180 || ra > 360) {
        w->n_rejected++;
        return 0;
    }
    if (!(ra >= 0 && ra < 360)) ra -= 360 * floor(ra / 360);
    if (ra >= 360) ra = 0; /* -1e-20 + 360 */
    double motion = w->o.has_motion ? hypot(isfinite(pm_ra) ? pm_ra : 0, isfinite(pm_dec) ? pm_dec : 0) : 0;
    int grid = motion > w->o.fast_mas;
    char *record = new_record(w, grid, dec);
    if (!record) return refuse(why, why_size, "%s: no memory", w->path);
    memcpy(record, &ra, 8);
    memcpy(record + 8, &dec, 8);
    if (w->o.has_motion) {
        float pm[2] = { isfinite(pm_ra) ? (float)pm_ra : NAN, isfinite(pm_dec) ? (float)pm_dec : NAN };
        memcpy(record + w->motion_at, pm, 8);
    }
    for (uint32_t c = 0; c < w->o.n_columns; c++)
        if (put_value(w, c, &value[c], record + w->values_at + 8 * c))
            return refuse(why, why_size, "%s: too many different texts in column '%s'", w->path, w->name[c]);
    w->n_rows[grid]++;
    if (motion > w->max_motion[grid]) w->max_motion[grid] = motion;
    if (w->in_memory > w->o.memory_bytes && spill(w))
        return refuse(why, why_size, "%s: temporary file: %s", w->path, strerror(errno));
    return 1;
}

uint64_t njx_rejected(const njx_writer *w)
{
    return w->n_rejected;
}

void njx_abandon(njx_writer *w)
{
    if (!w) return;
    for (int g = 0; g < NJX_GRIDS; g++)
        for (int k = 0; k < NJX_BUCKETS; k++) {
            free(w->bucket[g][k].data);
            if (w->bucket[g][k].fd >= 0) close(w->bucket[g][k].fd);
        }
    for (uint32_t c = 0; c < w->o.n_columns; c++) {
        free(w->dictionary[c].slot);
        free(w->dictionary[c].start);
        free(w->dictionary[c].text);
    }
    if (w->fd >= 0) close(w->fd);
    if (w->temp) unlink(w->temp);
    free(w->temp);
    free(w->path);
    free(w);
}

/* ---- the file ---- */

enum { SECTIONS = 16 + 4 * NJX_COLUMNS, OUT_BYTES = 1 << 20 };

typedef struct plan {
    njx_section section[SECTIONS];
    uint32_t n;
    uint64_t end; /* where the next section starts */
    njx_band *band[NJX_GRIDS];
    uint32_t n_bands[NJX_GRIDS], n_grids;
    uint64_t n_offsets[NJX_GRIDS];
    int position, exact, motion, values[NJX_COLUMNS], offsets[NJX_GRIDS]; /* indices of sections; -1 */
    char *out;                                                            /* [OUT_BYTES] */
} plan;

static const uint8_t width[] = {
    [NJ_U8] = 1, [NJ_I32] = 4, [NJ_I64] = 8, [NJ_F32] = 4, [NJ_F64] = 8, [NJ_STR] = 4
};

static int add_section(plan *p, uint32_t kind, uint32_t index, uint64_t size)
{
    p->section[p->n] = (njx_section){ .kind = kind, .index = index, .offset = p->end, .size = size };
    p->end = (p->end + size + 63) / 64 * 64;
    return (int)p->n++;
}

static int lay_out(const njx_writer *w, plan *p)
{
    uint64_t n_rows = w->n_rows[0] + w->n_rows[1];
    p->n_grids = w->n_rows[1] ? 2 : 1;
    p->end = sizeof(njx_header) + (7 + 2 * p->n_grids + 3 * w->o.n_columns) * sizeof(njx_section);
    p->end = (p->end + 63) / 64 * 64;
    add_section(p, NJX_GRID, 0, p->n_grids * sizeof(njx_grid_head));
    add_section(p, NJX_COLUMN, 0, w->o.n_columns * sizeof(njx_column_head));
    for (uint32_t g = 0; g < p->n_grids; g++) {
        p->n_bands[g] = njx_n_bands(w->n_rows[g], w->o.radius_arcsec, w->spilled);
        p->band[g] = calloc(p->n_bands[g], sizeof *p->band[g]);
        if (!p->band[g]) return -1;
        p->n_offsets[g] = njx_lay_bands(p->band[g], p->n_bands[g]);
        add_section(p, NJX_BANDS, g, p->n_bands[g] * sizeof(njx_band));
        p->offsets[g] = add_section(p, NJX_OFFSETS, g, p->n_offsets[g] * sizeof(uint32_t));
    }
    p->position = add_section(p, NJX_POSITION, 0, n_rows * 8 + NJX_PAD);
    p->exact = w->o.compact ? -1 : add_section(p, NJX_EXACT, 0, n_rows * 16);
    p->motion = w->o.has_motion ? add_section(p, NJX_MOTION, 0, n_rows * 8) : -1;
    for (uint32_t c = 0; c < w->o.n_columns; c++) {
        p->values[c] = add_section(p, NJX_VALUES, c, n_rows * width[w->column[c].type]);
        if (w->column[c].type != NJ_STR) continue;
        add_section(p, NJX_TEXT_START, c, (w->dictionary[c].n + (uint64_t)1) * sizeof(uint64_t));
        add_section(p, NJX_TEXT, c, w->dictionary[c].n_text);
    }
    return 0;
}

/* Rows of some bands, in memory: sorted by cell. */
typedef struct unit {
    const char *piece[NJX_BUCKETS];
    uint64_t n_piece[NJX_BUCKETS]; /* rows */
    uint32_t n_pieces, grid, band0, band1;
    uint64_t n, row0;   /* rows; first of them in the file */
    const char **order; /* [n] */
} unit;

static uint64_t cell_of(const plan *p, const unit *u, const char *record)
{
    double position[2];
    memcpy(position, record, sizeof position);
    uint64_t band = (uint64_t)njx_dec_u32(position[1]) * p->n_bands[u->grid] >> 32;
    const njx_band *b = &p->band[u->grid][band];
    return b->cell0 + ((uint64_t)njx_ra_u32(position[0]) * b->n_cells >> 32);
}

/* Counting sort; writes the offsets of the unit's bands. */
static int sort_unit(const njx_writer *w, const plan *p, unit *u, uint64_t grid_row0)
{
    const njx_band *band = p->band[u->grid];
    uint64_t cell0 = band[u->band0].cell0;
    uint64_t n_cells = band[u->band1 - 1].cell0 + band[u->band1 - 1].n_cells + 1 - cell0;
    uint32_t *offset = calloc(n_cells, sizeof *offset);
    uint64_t *next = malloc(n_cells * sizeof *next);
    int rc = -1;
    u->order = malloc(u->n * sizeof *u->order + 1);
    if (!offset || !next || !u->order) goto done;
    for (uint32_t k = 0; k < u->n_pieces; k++)
        for (uint64_t i = 0; i < u->n_piece[k]; i++)
            offset[cell_of(p, u, u->piece[k] + i * w->stride) - cell0 + 1]++;
    uint64_t row = 0;
    for (uint32_t b = u->band0; b < u->band1; b++) {
        uint32_t *o = offset + (band[b].cell0 - cell0);
        uint64_t *to = next + (band[b].cell0 - cell0), start = row;
        p->band[u->grid][b].row0 = u->row0 + row - grid_row0;
        for (uint32_t c = 0; c < band[b].n_cells; c++) {
            to[c] = row;
            row += o[c + 1];
            if (row - start > UINT32_MAX) goto done;
            o[c + 1] = (uint32_t)(row - start);
        }
    }
    for (uint32_t k = 0; k < u->n_pieces; k++)
        for (uint64_t i = 0; i < u->n_piece[k]; i++) {
            const char *record = u->piece[k] + i * w->stride;
            u->order[next[cell_of(p, u, record) - cell0]++] = record;
        }
    rc = write_all(w->fd, (const char *)offset, n_cells * sizeof *offset,
                   p->section[p->offsets[u->grid]].offset + cell0 * sizeof *offset);
done:
    free(offset);
    free(next);
    return rc;
}

typedef void take_fn(const njx_writer *w, const char *record, uint32_t column, char *to);

static void take_position(const njx_writer *w, const char *record, uint32_t column, char *to)
{
    (void)w;
    (void)column;
    double position[2];
    memcpy(position, record, sizeof position);
    uint32_t u[2] = { njx_ra_u32(position[0]), njx_dec_u32(position[1]) };
    memcpy(to, u, sizeof u);
}

static void take_exact(const njx_writer *w, const char *record, uint32_t column, char *to)
{
    (void)w;
    (void)column;
    memcpy(to, record, 16);
}

static void take_motion(const njx_writer *w, const char *record, uint32_t column, char *to)
{
    (void)column;
    memcpy(to, record + w->motion_at, 8);
}

static void take_value(const njx_writer *w, const char *record, uint32_t column, char *to)
{
    const char *from = record + w->values_at + 8 * column;
    int64_t i;
    double d;
    memcpy(&i, from, 8);
    memcpy(&d, from, 8);
    switch (w->column[column].type) {
    case NJ_U8: *(uint8_t *)to = i < 0 || i > 254 ? NJ_NO_U8 : (uint8_t)i; break;
    case NJ_I32: {
        int32_t v = i <= INT32_MIN || i > INT32_MAX ? NJ_NO_I32 : (int32_t)i;
        memcpy(to, &v, 4);
        break;
    }
    case NJ_F32: {
        float v = (float)d;
        memcpy(to, &v, 4);
        break;
    }
    case NJ_STR: {
        uint32_t code = (uint32_t)i;
        memcpy(to, &code, 4);
        break;
    }
    default: memcpy(to, from, 8); break;
    }
}

static int write_rows(const njx_writer *w, const plan *p, const unit *u, int section, size_t size,
                      take_fn *take, uint32_t column)
{
    if (section < 0) return 0;
    uint64_t at = p->section[section].offset + u->row0 * size;
    size_t n = 0;
    for (uint64_t i = 0; i < u->n; i++) {
        take(w, u->order[i], column, p->out + n);
        n += size;
        if (n + size > OUT_BYTES || i + 1 == u->n) {
            if (write_all(w->fd, p->out, n, at)) return -1;
            at += n;
            n = 0;
        }
    }
    return 0;
}

static int write_unit(const njx_writer *w, const plan *p, unit *u, uint64_t grid_row0)
{
    int rc = sort_unit(w, p, u, grid_row0) || write_rows(w, p, u, p->position, 8, take_position, 0) ||
             write_rows(w, p, u, p->exact, 16, take_exact, 0) ||
             write_rows(w, p, u, p->motion, 8, take_motion, 0);
    for (uint32_t c = 0; !rc && c < w->o.n_columns; c++)
        rc = write_rows(w, p, u, p->values[c], width[w->column[c].type], take_value, c);
    free(u->order);
    u->order = NULL;
    return rc ? -1 : 0;
}

static int read_back(const bucket *b, char *to)
{
    for (uint64_t n = 0; n < b->n_out;) {
        ssize_t got = pread(b->fd, to + n, b->n_out - n, (off_t)n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        n += (uint64_t)got;
    }
    return 0;
}

/* All rows of a grid: as one unit when they are in memory,
 * else bucket by bucket (a bucket holds whole bands). */
static int write_grid(njx_writer *w, const plan *p, uint32_t g, uint64_t row0)
{
    unit u = { .grid = g, .band1 = p->n_bands[g], .row0 = row0 };
    for (uint32_t k = 0; k < NJX_BUCKETS; k++) {
        bucket *b = &w->bucket[g][k];
        char *back = NULL;
        if (w->spilled) {
            uint32_t per = p->n_bands[g] / NJX_BUCKETS;
            u = (unit){ .grid = g, .band0 = k * per, .band1 = (k + 1) * per, .row0 = u.row0 + u.n };
            if (b->n_out) {
                back = malloc(b->n_out);
                if (!back || read_back(b, back)) {
                    free(back);
                    return -1;
                }
                u.piece[u.n_pieces] = back;
                u.n_piece[u.n_pieces++] = b->n_out / w->stride;
                u.n += b->n_out / w->stride;
            }
        }
        u.piece[u.n_pieces] = b->data;
        u.n_piece[u.n_pieces++] = b->n / w->stride;
        u.n += b->n / w->stride;
        int rc = w->spilled ? write_unit(w, p, &u, row0) : 0;
        free(back);
        if (rc) return -1;
        if (w->spilled) {
            free(b->data);
            b->data = NULL;
            b->n = b->cap = 0;
        }
    }
    return w->spilled ? 0 : write_unit(w, p, &u, row0);
}

static int write_section(const njx_writer *w, const njx_section *s, const plan *p)
{
    const dictionary *d = &w->dictionary[s->index];
    static const uint64_t no_text[1];
    switch (s->kind) {
    case NJX_GRID: {
        njx_grid_head head[NJX_GRIDS] = { 0 };
        for (uint32_t g = 0; g < p->n_grids; g++)
            head[g] = (njx_grid_head){ .row0 = g ? w->n_rows[0] : 0,
                                       .n_rows = w->n_rows[g],
                                       .n_bands = p->n_bands[g],
                                       .max_motion = w->max_motion[g] / 1000 };
        return write_all(w->fd, (const char *)head, s->size, s->offset);
    }
    case NJX_COLUMN:
        for (uint32_t c = 0; c < w->o.n_columns; c++) {
            njx_column_head head = { .type = w->column[c].type, .n_text = w->dictionary[c].n };
            memcpy(head.name, w->name[c], sizeof head.name);
            memcpy(head.unit, w->unit[c], sizeof head.unit);
            if (write_all(w->fd, (const char *)&head, sizeof head, s->offset + c * sizeof head)) return -1;
        }
        return 0;
    case NJX_BANDS: return write_all(w->fd, (const char *)p->band[s->index], s->size, s->offset);
    case NJX_TEXT_START:
        return write_all(w->fd, (const char *)(d->start ? d->start : no_text), s->size, s->offset);
    case NJX_TEXT: return write_all(w->fd, d->text, s->size, s->offset);
    default: return 0;
    }
}

static int seal(const njx_writer *w, plan *p, const uint8_t *source_sha256)
{
    njx_header h = { .magic = NJX_MAGIC,
                     .version = NJX_VERSION,
                     .byte_order = 0x01020304,
                     .n_rows = w->n_rows[0] + w->n_rows[1],
                     .n_rejected = w->n_rejected,
                     .n_sections = p->n,
                     .n_columns = w->o.n_columns,
                     .n_grids = p->n_grids,
                     .epoch_year = w->o.epoch_year,
                     .radius_arcsec = w->o.radius_arcsec };
    memcpy(h.magic, NJX_MAGIC, sizeof h.magic);
    memcpy(h.frame, w->frame, sizeof h.frame);
    memcpy(h.source, w->source, sizeof h.source);
    memcpy(h.source_sha256, source_sha256, sizeof h.source_sha256);
    char *base = mmap(NULL, p->end, PROT_READ, MAP_SHARED, w->fd, 0);
    if (base == MAP_FAILED) return -1;
    for (uint32_t i = 0; i < p->n; i++)
        p->section[i].sum = njx_sum(base + p->section[i].offset, p->section[i].size);
    munmap(base, p->end);
    njx_sha256 s;
    njx_sha256_start(&s);
    njx_sha256_add(&s, &h, offsetof(njx_header, content_sha256));
    njx_sha256_add(&s, p->section, p->n * sizeof *p->section);
    njx_sha256_end(&s, h.content_sha256);
    h.file_size = p->end;
    h.header_sum = njx_sum(&h, offsetof(njx_header, header_sum));
    return write_all(w->fd, (const char *)&h, sizeof h, 0) ||
           write_all(w->fd, (const char *)p->section, p->n * sizeof *p->section, sizeof h);
}

int njx_finish(njx_writer *w, const uint8_t *source_sha256, char *why, size_t why_size)
{
    plan *p = calloc(1, sizeof *p);
    uint64_t row0 = 0;
    int rc = -1;
    if (!p || !(p->out = malloc(OUT_BYTES)) || lay_out(w, p)) {
        refuse(why, why_size, "%s: no memory", w->path);
        goto done;
    }
    errno = 0;
    int failed = ftruncate(w->fd, (off_t)p->end);
    for (uint32_t g = 0; !failed && g < p->n_grids; g++) {
        failed = write_grid(w, p, g, row0);
        row0 += w->n_rows[g];
    }
    for (uint32_t i = 0; !failed && i < p->n; i++) failed = write_section(w, &p->section[i], p);
    if (failed || seal(w, p, source_sha256) || fsync(w->fd) || rename(w->temp, w->path)) {
        refuse(why, why_size, "%s: cannot be written: %s", w->path,
               errno ? strerror(errno) : "no memory, or too many rows in one band");
        goto done;
    }
    rc = 0;
done:
    if (p) {
        for (int g = 0; g < NJX_GRIDS; g++) free(p->band[g]);
        free(p->out);
    }
    free(p);
    njx_abandon(w);
    return rc;
}
