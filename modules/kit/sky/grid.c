/* grid.c - bands and cells of the sky that a catalogue's rows are sorted into. */
#include "njx.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ROWS_PER_CELL = 4, MOST_BANDS = 1 << 20 };

uint32_t njx_n_bands(uint64_t n_rows, double radius_arcsec, int buckets)
{
    /* Square cells of ROWS_PER_CELL rows on average: (pi / n)^2 n_rows / (4 pi) = ROWS_PER_CELL. */
    double n = sqrt(M_PI * (double)n_rows / (4 * ROWS_PER_CELL));
    double most = radius_arcsec > 0 ? 180 * 3600 / (2 * radius_arcsec) : MOST_BANDS;
    if (n > most) n = most;
    if (n > MOST_BANDS) n = MOST_BANDS;
    if (n < 1) n = 1;
    if (buckets) n = ceil(n / NJX_BUCKETS) * NJX_BUCKETS;
    return (uint32_t)n;
}

uint64_t njx_lay_bands(njx_band *band, uint32_t n_bands)
{
    uint64_t cell0 = 0;
    double height = M_PI / n_bands;
    for (uint32_t i = 0; i < n_bands; i++) {
        double low = -M_PI / 2 + i * height, worst = fmax(fabs(low), fabs(low + height));
        double cells = floor(2 * n_bands * cos(low + height / 2));
        band[i].n_cells = cells < 1 ? 1 : (uint32_t)cells;
        band[i].cell0 = cell0;
        cell0 += band[i].n_cells + 1;
        /* Half a quantum of dec towards the pole, then up: a bound may be too wide, never too narrow. */
        double c = cos(fmin(worst + 1e-9, M_PI / 2));
        band[i].worst =
            i == 0 || i == n_bands - 1 || c < 1e-9 ? INFINITY : nextafterf((float)(1 / c), INFINITY);
    }
    return cell0;
}

static void *pages(size_t bytes)
{
    void *p = mmap(NULL, bytes + NJX_PAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, bytes + NJX_PAD, MADV_HUGEPAGE);
    return p;
}

static void free_pages(const void *p, size_t bytes)
{
    if (p) munmap((void *)p, bytes + NJX_PAD);
}

typedef struct source_row {
    double ra, dec;
    uint32_t row;
} source_row;

static uint32_t band_of(const njx_grid *g, double dec)
{
    return (uint32_t)((uint64_t)njx_dec_u32(dec) * g->n_bands >> 32);
}

/* First pass: rows into groups of whole bands, each group small enough to be sorted in the cache. */
static void group_rows(const njx_grid *g, const double *ra, const double *dec, int shift, uint64_t *start,
                       uint32_t n_groups, source_row *out)
{
    memset(start, 0, (n_groups + 1) * sizeof *start);
    for (uint64_t i = 0; i < g->n_rows; i++) start[(band_of(g, dec[i]) >> shift) + 1]++;
    for (uint32_t k = 0; k < n_groups; k++) start[k + 1] += start[k];
    for (uint64_t i = 0; i < g->n_rows; i++)
        out[start[band_of(g, dec[i]) >> shift]++] = (source_row){ ra[i], dec[i], (uint32_t)i };
    memmove(start + 1, start, n_groups * sizeof *start); /* each start became its group's end */
    start[0] = 0;
}

typedef struct rows_out {
    njx_band *band;
    uint32_t *offset, *position, *source_row;
    double *exact;
} rows_out;

/* Second pass: counting sort of one group by cell. */
static void sort_group(const njx_grid *g, const source_row *in, uint64_t first, uint64_t end, uint32_t band0,
                       uint32_t band1, uint32_t *cell, const rows_out *out)
{
    for (uint64_t i = first; i < end; i++) {
        uint32_t dec = njx_dec_u32(in[i].dec), b = (uint32_t)((uint64_t)dec * g->n_bands >> 32);
        const njx_band *band = &out->band[b];
        cell[i - first] = (uint32_t)(band->cell0 - out->band[band0].cell0 +
                                     ((uint64_t)njx_ra_u32(in[i].ra) * band->n_cells >> 32));
        out->offset[out->band[band0].cell0 + cell[i - first] + 1]++;
    }
    uint64_t row = first;
    for (uint32_t b = band0; b < band1; b++) { /* offset[c + 1] becomes the start of cell c,
                                                * then its end as rows go in */
        uint32_t *o = out->offset + out->band[b].cell0, at = 0;
        out->band[b].row0 = row;
        for (uint32_t c = 1; c <= out->band[b].n_cells; c++) {
            uint32_t n = o[c];
            o[c] = at;
            at += n;
        }
        row += at;
    }
    for (uint64_t i = first; i < end; i++) {
        uint32_t dec = njx_dec_u32(in[i].dec), b = (uint32_t)((uint64_t)dec * g->n_bands >> 32);
        uint64_t to = out->band[b].row0 + out->offset[out->band[band0].cell0 + cell[i - first] + 1]++;
        out->position[2 * to] = njx_ra_u32(in[i].ra);
        out->position[2 * to + 1] = dec;
        out->exact[2 * to] = in[i].ra;
        out->exact[2 * to + 1] = in[i].dec;
        if (out->source_row) out->source_row[to] = in[i].row;
    }
}

int njx_build_grid(njx_grid *grid, uint64_t n, const double *ra, const double *dec, double radius_arcsec,
                   uint32_t *source_row_out)
{
    enum { MOST_GROUPS = 512 };
    *grid = (njx_grid){ .n_rows = n, .n_bands = njx_n_bands(n, radius_arcsec, 0) };
    int shift = 0;
    while (grid->n_bands >> shift > MOST_GROUPS - 1) shift++;
    uint32_t n_groups = (grid->n_bands >> shift) + 1;
    uint64_t start[MOST_GROUPS + 1], most = 1;
    int rc = -1;
    source_row *rows = NULL;
    uint32_t *cell = NULL;
    rows_out out = { .source_row = source_row_out };
    out.band = calloc(grid->n_bands, sizeof *out.band);
    if (!out.band) return -1;
    uint64_t n_offsets = njx_lay_bands(out.band, grid->n_bands);
    out.offset = pages(n_offsets * sizeof *out.offset);
    out.position = pages(n * 8);
    out.exact = pages(n * 16);
    rows = pages(n * sizeof *rows);
    grid->band = out.band;
    grid->offset = out.offset;
    grid->position = out.position;
    grid->exact = out.exact;
    if (!out.offset || !out.position || !out.exact || !rows) goto done;
    group_rows(grid, ra, dec, shift, start, n_groups, rows);
    for (uint32_t k = 0; k < n_groups; k++)
        if (start[k + 1] - start[k] > most) most = start[k + 1] - start[k];
    cell = pages(most * sizeof *cell);
    if (!cell) goto done;
    for (uint32_t k = 0; k < n_groups; k++) {
        uint32_t band0 = k << shift, band1 = (k + 1) << shift;
        if (band1 > grid->n_bands) band1 = grid->n_bands;
        if (band0 < band1) sort_group(grid, rows, start[k], start[k + 1], band0, band1, cell, &out);
    }
    rc = 0;
done:
    free_pages(rows, n * sizeof *rows);
    free_pages(cell, most * sizeof *cell);
    if (rc) njx_free_grid(grid);
    return rc;
}

void njx_free_grid(njx_grid *grid)
{
    if (grid->band) {
        const njx_band *last = &grid->band[grid->n_bands - 1];
        free_pages(grid->offset, (last->cell0 + last->n_cells + 1) * sizeof *grid->offset);
    }
    free_pages(grid->position, grid->n_rows * 8);
    free_pages(grid->exact, grid->n_rows * 16);
    free((void *)grid->band);
    memset(grid, 0, sizeof *grid);
}
