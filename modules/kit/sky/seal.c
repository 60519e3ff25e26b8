/* seal.c - the rows that write.c collected become a .njx file: each bucket is sorted by cell and written to
 * its places, then the sections, their sums and the header. */
#include "write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
    rc = njx_write_all(w->fd, (const char *)offset, n_cells * sizeof *offset,
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
            if (njx_write_all(w->fd, p->out, n, at)) return -1;
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

static int read_back(const njx_bucket *b, char *to)
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
        njx_bucket *b = &w->bucket[g][k];
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
    const njx_dictionary *d = &w->dictionary[s->index];
    static const uint64_t no_text[1];
    switch (s->kind) {
    case NJX_GRID: {
        njx_grid_head head[NJX_GRIDS] = { 0 };
        for (uint32_t g = 0; g < p->n_grids; g++)
            head[g] = (njx_grid_head){ .row0 = g ? w->n_rows[0] : 0,
                                       .n_rows = w->n_rows[g],
                                       .n_bands = p->n_bands[g],
                                       .max_motion = w->max_motion[g] / 1000 };
        return njx_write_all(w->fd, (const char *)head, s->size, s->offset);
    }
    case NJX_COLUMN:
        for (uint32_t c = 0; c < w->o.n_columns; c++) {
            njx_column_head head = { .type = w->column[c].type, .n_text = w->dictionary[c].n };
            memcpy(head.name, w->name[c], sizeof head.name);
            memcpy(head.unit, w->unit[c], sizeof head.unit);
            if (njx_write_all(w->fd, (const char *)&head, sizeof head, s->offset + c * sizeof head))
                return -1;
        }
        return 0;
    case NJX_BANDS: return njx_write_all(w->fd, (const char *)p->band[s->index], s->size, s->offset);
    case NJX_TEXT_START:
        return njx_write_all(w->fd, (const char *)(d->start ? d->start : no_text), s->size, s->offset);
    case NJX_TEXT: return njx_write_all(w->fd, d->text, s->size, s->offset);
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
    return njx_write_all(w->fd, (const char *)&h, sizeof h, 0) ||
           njx_write_all(w->fd, (const char *)p->section, p->n * sizeof *p->section, sizeof h);
}

int njx_finish(njx_writer *w, const uint8_t *source_sha256, char *why, size_t why_size)
{
    plan *p = calloc(1, sizeof *p);
    uint64_t row0 = 0;
    int rc = -1;
    if (!p || !(p->out = malloc(OUT_BYTES)) || lay_out(w, p)) {
        njx_refuse(why, why_size, "%s: no memory", w->path);
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
        njx_refuse(why, why_size, "%s: cannot be written: %s", w->path,
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
