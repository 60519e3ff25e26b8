/* stretch.c - how a module's cost grows cannot be read off one night's alerts, whose sizes are much alike;
 * these are the same alerts, longer and shorter. */
#include "stretch.h"

#include <math.h>
#include <string.h>

/* A series' group shares its times: which column has them. */
static int time_column(const nj_layout *layout, uint32_t column)
{
    const char *path = layout->col[column].path;
    size_t n = strcspn(path, ".[");
    for (uint32_t c = 0; c < layout->n_packet; c++) {
        const nj_column_def *def = &layout->col[c];
        const char *dot = strrchr(def->path, '.');
        if (def->shape == NJ_SERIES && def->type == NJ_F64 && dot && !strncmp(def->path, path, n) &&
            (!strcmp(dot, ".jd") || !strcmp(dot, ".mjd") || strstr(dot, "Mjd")))
            return (int)c;
    }
    return -1;
}

typedef struct span {
    bool newest_first;
    double days; /* from one copy to the next */
} span;

static span span_of(const nj_batch *b, uint32_t column, uint32_t row)
{
    int c = time_column(b->layout, column);
    span s = { false, 0 };
    const double *t = c < 0 ? NULL : b->col[c].data;
    if (!t) return s;
    double least = INFINITY, most = -INFINITY;
    uint32_t from = b->col[c].off[row], to = b->col[c].off[row + 1];
    for (uint32_t i = from; i < to; i++) least = fmin(least, t[i]), most = fmax(most, t[i]);
    s.newest_first = to > from + 1 && t[from] == most;
    s.days = isfinite(most - least) ? most - least + 1 : 0;
    return s;
}

/* The newest `want` of `have` points, with copies behind them. */
static void fill_series(const nj_batch *from, uint32_t column, uint32_t row, char *to, uint32_t want)
{
    const nj_column_def *def = &from->layout->col[column];
    const uint32_t *off = from->col[column].off;
    uint32_t have = off[row + 1] - off[row];
    size_t size = nj_type_size(def->type);
    const char *data = (const char *)from->col[column].data + off[row] * size;
    span s = span_of(from, column, row);
    bool is_time = time_column(from->layout, column) == (int)column;
    for (uint32_t k = 0; k < want; k++) { /* k-th newest */
        uint32_t source = s.newest_first ? k % have : have - 1 - k % have,
                 at = s.newest_first ? k : want - 1 - k;
        memcpy(to + at * size, data + source * size, size);
        if (is_time) ((double *)(void *)to)[at] -= k / have * s.days;
    }
}

static uint32_t source_of(const nj_stretch *size, uint32_t row)
{
    return size->pick[row % size->n_picks];
}

static uint32_t length_of(const nj_batch *from, uint32_t column, uint32_t row, const nj_stretch *size)
{
    const uint32_t *off = from->col[column].off;
    uint32_t have = off[row + 1] - off[row];
    return have && size->points ? size->points : have;
}

static int stretch_series(nj_batch *to, const nj_batch *from, uint32_t column, const nj_stretch *size)
{
    nj_col *col = &to->col[column];
    uint32_t *off = (uint32_t *)col->off;
    size_t bytes = nj_type_size(to->layout->col[column].type);
    for (uint32_t r = 0; r < size->rows; r++)
        off[r + 1] = off[r] + length_of(from, column, source_of(size, r), size);
    if (!from->col[column].data) return 0;
    char *data = nj_arena_zalloc(&to->arena, (off[size->rows] + 1) * bytes);
    if (!data) return -1;
    col->data = data;
    for (uint32_t r = 0; r < size->rows; r++)
        if (off[r + 1] > off[r])
            fill_series(from, column, source_of(size, r), data + off[r] * bytes, off[r + 1] - off[r]);
    return 0;
}

static void copy_scalars(nj_batch *to, const nj_batch *from, uint32_t column, const nj_stretch *stretch)
{
    size_t size = nj_type_size(to->layout->col[column].type);
    for (uint32_t r = 0; r < to->n && from->col[column].data; r++)
        memcpy((char *)to->col[column].data + r * size,
               (const char *)from->col[column].data + source_of(stretch, r) * size, size);
}

static int tile(nj_batch *to, nj_stamp *stamp, uint32_t side)
{
    const nj_image old = stamp->image;
    float *pixel = nj_arena_alloc(&to->arena, (size_t)side * side * sizeof *pixel);
    if (!pixel) return -1;
    stamp->image = (nj_image){ pixel, side, side, 0 };
    for (uint32_t y = 0; y < side; y++)
        for (uint32_t x = 0; x < side; x++) { /* the middle stays in the middle */
            uint32_t row = (y + old.rows * side - side / 2 + old.rows / 2) % old.rows,
                     col = (x + old.cols * side - side / 2 + old.cols / 2) % old.cols;
            float v = old.pixel[(size_t)row * old.cols + col];
            pixel[(size_t)y * side + x] = v;
            stamp->image.n_nan += isnan(v);
        }
    return 0;
}

static int stretch_stamps(nj_batch *to, nj_stamp *stamp, const nj_stamp *old, const nj_stretch *size)
{
    for (uint32_t r = 0; stamp && r < to->n; r++) {
        stamp[r] = old[source_of(size, r)];
        if (size->side && stamp[r].state == NJ_STAMP_OPEN && tile(to, &stamp[r], size->side)) return -1;
    }
    return 0;
}

int nj_stretch_batch(nj_batch *to, const nj_batch *from, const nj_stretch *size)
{
    if (nj_batch_begin(to, from->layout, size->rows)) return -1;
    to->n = size->rows;
    to->graph = from->graph;
    for (uint32_t r = 0; r < to->n; r++) {
        to->row[r] = from->row[source_of(size, r)];
        to->id[r] = from->id[source_of(size, r)];
    }
    for (uint32_t c = 0; c < to->layout->n_packet; c++) {
        if (!to->col[c].off)
            copy_scalars(to, from, c, size);
        else if (stretch_series(to, from, c, size))
            return -1;
    }
    for (uint32_t s = 0; s < NJ_STAMPS; s++)
        if (stretch_stamps(to, to->stamp[s], from->stamp[s], size)) return -1;
    for (uint32_t k = 0; k < to->layout->n_planes; k++)
        if (stretch_stamps(to, to->plane[k], from->plane[k], size)) return -1;
    return 0;
}

uint32_t nj_stretch_points(const nj_batch *b, uint32_t row)
{
    uint32_t most = 0;
    for (uint32_t c = 0; c < b->layout->n_packet; c++) {
        const uint32_t *off = b->col[c].off;
        if (off && off[row + 1] - off[row] > most) most = off[row + 1] - off[row];
    }
    return most;
}

uint32_t nj_stretch_pixels(const nj_batch *b, uint32_t row)
{
    uint32_t most = 0;
    for (uint32_t s = 0; s < NJ_STAMPS; s++) {
        const nj_stamp *stamp = b->stamp[s] ? &b->stamp[s][row] : NULL;
        if (stamp && stamp->state == NJ_STAMP_OPEN && stamp->image.rows * stamp->image.cols > most)
            most = stamp->image.rows * stamp->image.cols;
    }
    return most;
}
