/* file.c - opening a .njx file: every offset and count is checked before anything is read through it. */
#include "njx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct reader {
    njx_file *file;
    const njx_section *section;
    uint32_t n_sections;
    char *why;
    size_t why_size;
} reader;

__attribute__((format(printf, 2, 3))) static int refuse(const reader *r, const char *format, ...)
{
    if (!r->why_size) return -1;
    int at = snprintf(r->why, r->why_size, "%s: ", r->file->path);
    if (at < 0 || (size_t)at >= r->why_size) return -1;
    va_list ap;
    va_start(ap, format);
    vsnprintf(r->why + at, r->why_size - (size_t)at, format, ap);
    va_end(ap);
    return -1;
}

/* The file's bytes: a copy in huge pages when it is small enough, else a mapping without read-ahead. */
static int load(const reader *r, int *copied)
{
    njx_file *f = r->file;
    struct stat st;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC), rc = -1;
    if (fd < 0) return refuse(r, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        refuse(r, "is not a file");
        goto done;
    }
    f->size = (size_t)st.st_size;
    if (f->size < sizeof(njx_header)) {
        refuse(r, "has %zu bytes: too short for a catalogue (.njx), made by `nightjar catalog build`",
               f->size);
        goto done;
    }
    *copied = f->size <= NJX_COPY_BYTES;
    f->base = *copied ? mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                      : mmap(NULL, f->size, PROT_READ, MAP_SHARED, fd, 0);
    if (f->base == MAP_FAILED) {
        f->base = NULL;
        refuse(r, "cannot be mapped: %s", strerror(errno));
        goto done;
    }
    madvise(f->base, f->size, *copied ? MADV_HUGEPAGE : MADV_RANDOM);
    for (size_t n = 0; *copied && n < f->size;) {
        ssize_t got = read(fd, (char *)f->base + n, f->size - n);
        if (got <= 0) {
            refuse(r, "cannot be read: %s", got ? strerror(errno) : "it became shorter");
            goto done;
        }
        n += (size_t)got;
    }
    rc = 0;
done:
    close(fd);
    return rc;
}

static void content_digest(const njx_header *header, const njx_section *section, uint8_t digest[32])
{
    njx_header h = *header;
    h.file_size = 0;
    njx_sha256 s;
    njx_sha256_start(&s);
    njx_sha256_add(&s, &h, offsetof(njx_header, content_sha256));
    njx_sha256_add(&s, section, h.n_sections * sizeof *section);
    njx_sha256_end(&s, digest);
}

static int check_header(reader *r, int sums)
{
    const njx_file *f = r->file;
    const njx_header *h = f->header;
    uint8_t digest[32];
    if (memcmp(h->magic, NJX_MAGIC, sizeof h->magic))
        return refuse(r, "is not a catalogue (.njx): its first bytes differ");
    if (h->byte_order != 0x01020304) return refuse(r, "was written on a machine of the other byte order");
    if (h->version != NJX_VERSION)
        return refuse(r, "has format version %u, this program reads version %d: build it again", h->version,
                      NJX_VERSION);
    if (njx_sum(h, offsetof(njx_header, header_sum)) != h->header_sum)
        return refuse(r, "is corrupt: the header's checksum differs");
    if (h->file_size != f->size)
        return refuse(r, "is truncated: it has %zu bytes of %llu", f->size, (unsigned long long)h->file_size);
    if (h->n_columns > NJX_COLUMNS || !h->n_grids || h->n_grids > NJX_GRIDS ||
        h->n_sections > 16 + 4 * NJX_COLUMNS || sizeof *h + h->n_sections * sizeof *r->section > f->size ||
        memchr(h->frame, 0, sizeof h->frame) == NULL || memchr(h->source, 0, sizeof h->source) == NULL)
        return refuse(r, "is corrupt: impossible header");
    r->section = (const njx_section *)(h + 1);
    r->n_sections = h->n_sections;
    content_digest(h, r->section, digest);
    if (memcmp(digest, h->content_sha256, sizeof digest))
        return refuse(r, "is corrupt: the table of sections differs from its hash");
    for (uint32_t i = 0; i < r->n_sections; i++) {
        const njx_section *s = &r->section[i];
        if (s->offset % 64 || s->offset > f->size || s->size > f->size - s->offset)
            return refuse(r, "is corrupt: section %u lies outside the file", i);
        if (sums && njx_sum((const char *)f->base + s->offset, s->size) != s->sum)
            return refuse(r, "is corrupt: the checksum of section %u (kind %u) differs", i, s->kind);
    }
    return 0;
}

/* A section of exactly that many bytes (UINT64_MAX = any); *data NULL when it is absent and allowed to be. */
static int find(const reader *r, uint32_t kind, uint32_t index, uint64_t size, int must, const void **data,
                uint64_t *has)
{
    *data = NULL;
    for (uint32_t i = 0; i < r->n_sections; i++) {
        const njx_section *s = &r->section[i];
        if (s->kind != kind || s->index != index) continue;
        if (size != UINT64_MAX && s->size != size) {
            refuse(r, "is corrupt: section kind %u has %llu bytes, not %llu", kind,
                   (unsigned long long)s->size, (unsigned long long)size);
            return -1;
        }
        *data = (const char *)r->file->base + s->offset;
        if (has) *has = s->size;
        return 0;
    }
    if (!must) return 0;
    refuse(r, "is corrupt: section kind %u is missing", kind);
    return -1;
}

static int check_grid(const reader *r, const njx_grid_head *head, uint32_t k, uint64_t row0)
{
    njx_grid *g = &r->file->grid[k];
    const void *band, *offset;
    uint64_t n_offsets = 0, at = 0, cell = 0;
    if (head->row0 != row0 || head->n_rows > r->file->header->n_rows - row0 || !head->n_bands ||
        head->n_bands > 1u << 24 || !(head->max_motion >= 0))
        return refuse(r, "is corrupt: impossible grid");
    if (find(r, NJX_BANDS, k, (uint64_t)head->n_bands * sizeof(njx_band), 1, &band, NULL)) return -1;
    if (find(r, NJX_OFFSETS, k, UINT64_MAX, 1, &offset, &n_offsets)) return -1;
    n_offsets /= sizeof(uint32_t);
    *g = (njx_grid){ .n_rows = head->n_rows,
                     .row0 = row0,
                     .n_bands = head->n_bands,
                     .max_motion = head->max_motion,
                     .band = band,
                     .offset = offset };
    for (uint32_t b = 0; b < g->n_bands; b++) { /* no search may leave the rows, whatever the file says */
        const njx_band *x = &g->band[b];
        if (x->cell0 != cell || !x->n_cells || x->row0 != at || x->n_cells >= n_offsets - cell ||
            !(x->worst >= 1))
            return refuse(r, "is corrupt: impossible band %u", b);
        const uint32_t *o = g->offset + cell;
        if (o[0] != 0) return refuse(r, "is corrupt: band %u does not start at 0", b);
        uint32_t falls = 0;
        for (uint32_t c = 0; c < x->n_cells; c++) falls |= o[c + 1] < o[c];
        if (falls) return refuse(r, "is corrupt: the cells of band %u are not in order", b);
        at += o[x->n_cells];
        cell += x->n_cells + 1;
    }
    if (cell != n_offsets || at != g->n_rows) return refuse(r, "is corrupt: cells and rows do not agree");
    return 0;
}

static int check_grids(const reader *r)
{
    njx_file *f = r->file;
    const njx_header *h = f->header;
    const void *heads, *position, *exact, *motion;
    uint64_t row0 = 0;
    if (h->n_rows > f->size / 8) return refuse(r, "is corrupt: impossible number of rows");
    if (find(r, NJX_GRID, 0, h->n_grids * sizeof(njx_grid_head), 1, &heads, NULL)) return -1;
    if (find(r, NJX_POSITION, 0, h->n_rows * 8 + NJX_PAD, 1, &position, NULL)) return -1;
    if (find(r, NJX_EXACT, 0, h->n_rows * 16, 0, &exact, NULL)) return -1;
    if (find(r, NJX_MOTION, 0, h->n_rows * 8, 0, &motion, NULL)) return -1;
    for (uint32_t k = 0; k < h->n_grids; k++) {
        njx_grid *g = &f->grid[k];
        if (check_grid(r, (const njx_grid_head *)heads + k, k, row0)) return -1;
        g->position = (const uint32_t *)position + 2 * row0;
        g->exact = exact ? (const double *)exact + 2 * row0 : NULL;
        g->motion = motion ? (const float *)motion + 2 * row0 : NULL;
        row0 += g->n_rows;
    }
    if (row0 != h->n_rows) return refuse(r, "is corrupt: the grids do not hold all rows");
    f->exact = exact;
    f->position = position;
    f->info.has_motion = motion != NULL;
    return 0;
}

static int good_name(const char *name, size_t cap)
{
    size_t n = strnlen(name, cap);
    if (n == cap || !(name[0] >= 'a' && name[0] <= 'z')) return 0;
    for (size_t i = 0; i < n; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '_'))
            return 0;
    return 1;
}

static int check_text(const reader *r, uint32_t c, const njx_column_head *head)
{
    njx_file *f = r->file;
    const void *start, *text;
    uint64_t size = 0;
    if (find(r, NJX_TEXT_START, c, ((uint64_t)head->n_text + 1) * sizeof(uint64_t), 1, &start, NULL) ||
        find(r, NJX_TEXT, c, UINT64_MAX, 1, &text, &size))
        return -1;
    f->text_start[c] = start;
    f->text[c] = text;
    const uint64_t *at = start;
    for (uint32_t i = 0; i < head->n_text; i++)
        if (at[i + 1] <= at[i] || at[i + 1] > size || f->text[c][at[i + 1] - 1])
            return refuse(r, "is corrupt: texts of column '%s'", head->name);
    return 0;
}

static int check_columns(const reader *r)
{
    static const uint8_t width[] = {
        [NJ_U8] = 1, [NJ_I32] = 4, [NJ_I64] = 8, [NJ_F32] = 4, [NJ_F64] = 8, [NJ_STR] = 4
    };
    njx_file *f = r->file;
    const void *heads, *values;
    uint32_t n = f->header->n_columns;
    if (find(r, NJX_COLUMN, 0, n * sizeof(njx_column_head), 1, &heads, NULL)) return -1;
    f->column_head = heads;
    for (uint32_t c = 0; c < n; c++) {
        const njx_column_head *head = &f->column_head[c];
        if (!good_name(head->name, sizeof head->name) ||
            strnlen(head->unit, sizeof head->unit) == sizeof head->unit)
            return refuse(r, "is corrupt: column %u has an impossible name", c);
        if (head->type < NJ_U8 || head->type > NJ_STR)
            return refuse(r, "column '%s' has unknown type %u", head->name, head->type);
        for (uint32_t d = 0; d < c; d++)
            if (!strcmp(f->column_head[d].name, head->name))
                return refuse(r, "has two columns named '%s'", head->name);
        if (find(r, NJX_VALUES, c, f->header->n_rows * width[head->type], 1, &values, NULL)) return -1;
        f->values[c] = values;
        f->column[c] = (nj_sky_column){ head->name, (nj_type)head->type, head->unit };
        if (head->type == NJ_STR && check_text(r, c, head)) return -1;
    }
    return 0;
}

njx_file *njx_open(const char *path, int sums, char *why, size_t why_size)
{
    njx_file *f = calloc(1, sizeof *f);
    reader r = { .file = f, .why = why, .why_size = why_size };
    int copied = 0;
    if (f) f->path = strdup(path);
    if (!f || !f->path) {
        if (why_size) snprintf(why, why_size, "%s: no memory", path);
        goto fail;
    }
    if (load(&r, &copied)) goto fail;
    f->header = f->base;
    if (check_header(&r, sums || copied) || check_grids(&r) || check_columns(&r)) goto fail;
    const njx_header *h = f->header;
    njx_hex(f->hash, h->content_sha256);
    njx_hex(f->source_hash, h->source_sha256);
    f->info = (nj_sky_info){ .path = f->path,
                             .hash = f->hash,
                             .source = h->source,
                             .source_hash = f->source_hash,
                             .frame = h->frame,
                             .epoch_year = h->epoch_year,
                             .radius_arcsec = h->radius_arcsec,
                             .n_rows = h->n_rows,
                             .n_rejected = h->n_rejected,
                             .generation = 1,
                             .has_motion = f->info.has_motion,
                             .n_columns = h->n_columns,
                             .column = f->column };
    return f;
fail:
    njx_close(f);
    return NULL;
}

void njx_close(njx_file *file)
{
    if (!file) return;
    if (file->base) munmap(file->base, file->size);
    free(file->path);
    free(file);
}

int njx_find_column(const njx_file *file, const char *name)
{
    for (uint32_t c = 0; c < file->header->n_columns; c++)
        if (!strcasecmp(file->column[c].name, name)) return (int)c;
    return -1;
}

static int there(const njx_file *f, int column, uint64_t row)
{
    return column >= 0 && (uint32_t)column < f->header->n_columns && row < f->header->n_rows;
}

double njx_number(const njx_file *f, int column, uint64_t row)
{
    if (!there(f, column, row)) return NJ_NO_F64;
    const void *v = f->values[column];
    switch (f->column[column].type) {
    case NJ_F64: return ((const double *)v)[row];
    case NJ_F32: return ((const float *)v)[row];
    default: break;
    }
    int64_t i = njx_integer(f, column, row);
    return i == NJ_NO_I64 ? NJ_NO_F64 : (double)i;
}

int64_t njx_integer(const njx_file *f, int column, uint64_t row)
{
    if (!there(f, column, row)) return NJ_NO_I64;
    const void *v = f->values[column];
    switch (f->column[column].type) {
    case NJ_U8: return ((const uint8_t *)v)[row] == NJ_NO_U8 ? NJ_NO_I64 : ((const uint8_t *)v)[row];
    case NJ_I32: return ((const int32_t *)v)[row] == NJ_NO_I32 ? NJ_NO_I64 : ((const int32_t *)v)[row];
    case NJ_I64: return ((const int64_t *)v)[row];
    default: return NJ_NO_I64;
    }
}

const char *njx_text(const njx_file *f, int column, uint64_t row)
{
    if (!there(f, column, row) || f->column[column].type != NJ_STR) return NJ_NO_STR;
    uint32_t code = ((const uint32_t *)f->values[column])[row];
    return code < f->column_head[column].n_text ? f->text[column] + f->text_start[column][code] : NJ_NO_STR;
}

void njx_position(const njx_file *f, uint64_t row, double *ra, double *dec)
{
    *ra = *dec = NJ_NO_F64;
    if (row >= f->header->n_rows) return;
    if (f->exact) {
        *ra = f->exact[2 * row];
        *dec = f->exact[2 * row + 1];
    } else {
        *ra = (f->position[2 * row] + 0.5) * (360 / 4294967296.0);
        *dec = (f->position[2 * row + 1] + 0.5) * (180 / 4294967296.0) - 90;
    }
}
