/* hats_tree.c - LSDB and the archives of surveys read HATS: Parquet files by place on the sky (HEALPix,
 * nested), each with about as many rows, sorted by place. How many rows a place has is known when all are
 * there, so the tree is made at the end, of the file that the run wrote. */
#include "hats_tree.h"

#include <chealpix.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "file.h"

enum { ORDER = 29, CHUNK = 65536, PATH = 4200, NOWHERE = -1 };

typedef struct spot {
    int64_t cell;
    uint32_t row;
} spot;

typedef struct tile {
    unsigned order;
    int64_t pixel;
    uint32_t from, n; /* in the order of the sky */
} tile;

typedef struct tree {
    const nj_hats_tree *of;
    nj_parquet *file;
    spot *spot; /* [n] in the order of the sky */
    uint32_t n;
    tile *tile;
    uint32_t n_tiles, cap_tiles;
    nj_parquet_new *column; /* [n_columns]; 0 is _healpix_29 */
    uint32_t *from;         /* [n_columns] field of a column */
    uint32_t n_columns;
    char *names;    /* of columns in groups */
    int32_t *where; /* [n] row of the file -> place in the slice; NOWHERE */
    char dataset[PATH];
    nj_error *err;
} tree;

static int no_memory(const tree *t)
{
    return nj_fail(t->err, "hats:%s: out of memory", t->of->folder);
}

/* ---- the sky --------------------------------------------------------------------------------- */

bool nj_hats_has_position(double ra, double dec)
{
    return isfinite(ra) && isfinite(dec) && fabs(dec) <= 90;
}

static int by_place(const void *a, const void *b)
{
    const spot *x = a, *y = b;
    if (x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static uint32_t field_of(const nj_hats_tree *of, const char *key)
{
    uint32_t f = 0;
    while (f < of->n_fields && strcmp(of->field[f].key, key) != 0) f++;
    return f;
}

static int read_places(tree *t)
{
    const double deg = M_PI / 180;
    const uint32_t leaf[2] = { field_of(t->of, "ra"), field_of(t->of, "dec") };
    nj_parquet_column *c[2] = { nj_parquet_column_open(t->file, leaf[0], t->err), NULL };
    if (c[0]) c[1] = nj_parquet_column_open(t->file, leaf[1], t->err);
    int rc = c[0] && c[1] ? 0 : -1;
    nj_parquet_values v[2] = { 0 };
    for (uint32_t at = 0; !rc && at < t->n; at += (uint32_t)v[0].n_rows) {
        for (int k = 0; k < 2 && !rc; k++) rc = nj_parquet_read(c[k], CHUNK, &v[k], t->err);
        if (!rc && (!v[0].n_rows || v[0].n_rows != v[1].n_rows))
            rc = nj_fail(t->err, "%s: its columns are of different lengths", t->of->rows);
        for (uint32_t i = 0; !rc && i < v[0].n_rows; i++) {
            const double ra = fmod(((const double *)v[0].value)[i], 360),
                         dec = ((const double *)v[1].value)[i];
            int64_t cell;
            ang2pix_nest64((int64_t)1 << ORDER, (90 - dec) * deg, (ra < 0 ? ra + 360 : ra) * deg, &cell);
            t->spot[at + i] = (spot){ cell, at + i };
        }
    }
    nj_parquet_column_close(c[0]);
    nj_parquet_column_close(c[1]);
    if (!rc) qsort(t->spot, t->n, sizeof *t->spot, by_place);
    return rc;
}

static int add_tile(tree *t, tile one)
{
    if (t->n_tiles == t->cap_tiles) {
        const uint32_t cap = 2 * t->cap_tiles + 64;
        tile *more = realloc(t->tile, cap * sizeof *more);
        if (!more) return no_memory(t);
        t->tile = more;
        t->cap_tiles = cap;
    }
    t->tile[t->n_tiles++] = one;
    return 0;
}

/* A pixel with few rows is a file; one with more is its four pixels of the next order. */
static int divide(tree *t, unsigned order, int64_t pixel, uint32_t from, uint32_t n)
{
    if (!n) return 0;
    if (n <= t->of->file_rows || order >= t->of->most_order)
        return add_tile(t, (tile){ order, pixel, from, n });
    for (int64_t child = 4 * pixel; child < 4 * pixel + 4; child++) {
        const int64_t end = (child + 1) << 2 * (ORDER - order - 1);
        uint32_t k = 0;
        while (k < n && t->spot[from + k].cell < end) k++;
        if (divide(t, order + 1, child, from, k)) return -1;
        from += k;
        n -= k;
    }
    return 0;
}

static int make_tiles(tree *t)
{
    uint32_t from = 0;
    for (int64_t pixel = 0; pixel < 12; pixel++) {
        uint32_t k = 0;
        while (from + k < t->n && t->spot[from + k].cell < (pixel + 1) << 2 * ORDER) k++;
        if (divide(t, 0, pixel, from, k)) return -1;
        from += k;
    }
    return 0;
}

/* ---- columns --------------------------------------------------------------------------------- */

/* "lc" of "lc.jd": the columns of a light curve are one nested table for LSDB. 0 = none. */
static size_t group_of(const nj_field *field)
{
    const char *dot = strchr(field->key, '.');
    if (field->width || field->instance || !dot || strchr(dot + 1, '.') || !strncmp(field->key, "packet.", 7))
        return 0;
    return (size_t)(dot - field->key);
}

static int make_columns(tree *t)
{
    static const nj_parquet_type type[] = {
        [NJ_U8] = NJ_PARQUET_I32,  [NJ_I32] = NJ_PARQUET_I32, [NJ_I64] = NJ_PARQUET_I64,
        [NJ_F32] = NJ_PARQUET_F32, [NJ_F64] = NJ_PARQUET_F64, [NJ_STR] = NJ_PARQUET_BYTES
    };
    const nj_hats_tree *of = t->of;
    size_t room = 1;
    for (uint32_t f = 0; f < of->n_fields; f++) room += strlen(of->field[f].key) + 1;
    t->column = calloc(of->n_fields + 2, sizeof *t->column);
    t->from = calloc(of->n_fields + 2, sizeof *t->from);
    t->names = malloc(room);
    bool *done = calloc(of->n_fields + 1, sizeof *done);
    if (!t->column || !t->from || !t->names || !done) return free(done), no_memory(t);
    char *name = t->names;
    t->column[t->n_columns++] = (nj_parquet_new){ .name = "_healpix_29", .type = NJ_PARQUET_I64 };
    for (uint32_t f = 0; f < of->n_fields; f++) {
        const size_t n = group_of(&of->field[f]);
        const char *group = NULL;
        for (uint32_t k = f; k < (n ? of->n_fields : f + 1); k++) { /* its neighbours come with it */
            const nj_field *field = &of->field[k];
            if (done[k] || (n && (group_of(field) != n || strncmp(field->key, of->field[f].key, n) != 0)))
                continue;
            done[k] = true;
            const bool text = field->text || field->type == NJ_STR;
            nj_parquet_new *c = &t->column[t->n_columns];
            t->from[t->n_columns++] = k;
            *c = (nj_parquet_new){ .name = field->key,
                                   .type = text ? NJ_PARQUET_BYTES : type[field->type],
                                   .kind = text                   ? NJ_PARQUET_TEXT
                                           : field->type == NJ_U8 ? NJ_PARQUET_UNSIGNED
                                                                  : NJ_PARQUET_PLAIN,
                                   .list = field->width != 1 };
            if (!n) continue;
            if (!group) {
                memcpy(name, field->key, n);
                name[n] = 0;
                group = name;
                name += n + 1;
            }
            c->group = group;
            c->name = field->key + n + 1;
        }
    }
    free(done);
    return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int to_file(void *opaque, const void *bytes, size_t n, nj_error *err)
{
    return nj_outfile_write(opaque, bytes, n, err);
}

static int begin_writer(const tree *t, nj_parquet_writer *w)
{
    *w = (nj_parquet_writer){ .codec = t->of->codec,
                              .level = t->of->level,
                              .page_bytes = (uint32_t)t->of->page_bytes,
                              .write = to_file,
                              .created_by = t->of->created_by };
    return nj_parquet_writer_begin(w, t->column, t->n_columns, t->err);
}

static int write_file(const tree *t, nj_parquet_writer *w, const char *path)
{
    nj_outfile file = { .fd = -1 };
    char key[320];
    if (nj_outfile_open(&file, path, NJ_SINK_OVERWRITE, t->err)) return -1;
    w->opaque = &file;
    for (const nj_metadata *m = t->of->metadata; m && m->key; m++) {
        snprintf(key, sizeof key, "nightjar.%s", strncmp(m->key, "nightjar.", 9) ? m->key : m->key + 9);
        nj_parquet_add_key(w, key, m->value ? m->value : "");
    }
    int rc = nj_parquet_failed(w) ? no_memory(t) : 0;
    if (!rc) rc = nj_outfile_write(&file, "PAR1", 4, t->err);
    if (!rc) rc = nj_parquet_write_group(w, 4, t->err);
    if (!rc) rc = nj_parquet_write_footer(w, t->err);
    if (!rc && t->of->disk && fdatasync(file.fd)) rc = nj_fail(t->err, "%s: %s", path, strerror(errno));
    return nj_outfile_close(&file, rc != 0, rc ? NULL : t->err) ? -1 : rc;
}

static int make_folder(const tree *t, const char *path)
{
    return mkdir(path, 0777) && errno != EEXIST ? nj_fail(t->err, "%s: %s", path, strerror(errno)) : 0;
}

static int write_tile(const tree *t, const tile *one, nj_parquet_writer *w)
{
    char path[PATH + 200];
    int n = snprintf(path, sizeof path, "%s/Norder=%u", t->dataset, one->order);
    if (make_folder(t, path)) return -1;
    n += snprintf(path + n, sizeof path - (size_t)n, "/Dir=%lld", (long long)(one->pixel / 10000 * 10000));
    if (make_folder(t, path)) return -1;
    snprintf(path + n, sizeof path - (size_t)n, "/Npix=%lld.parquet", (long long)one->pixel);
    return write_file(t, w, path);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* One column of the rows of a slice, in the order of the file. */
typedef struct strip {
    nj_buffer level, value;
    uint64_t *level_at, *value_at; /* [n + 1] */
    int32_t *order;                /* [n] which place of the slice a row has */
    uint32_t n;
} strip;

static void take_value(strip *s, const nj_parquet_leaf *leaf, const void *value, size_t i)
{
    static const uint8_t width[] = {
        [NJ_PARQUET_I32] = 4, [NJ_PARQUET_I64] = 8, [NJ_PARQUET_F32] = 4, [NJ_PARQUET_F64] = 8
    };
    if (leaf->type != NJ_PARQUET_BYTES) {
        nj_buffer_add(&s->value, (const char *)value + i * width[leaf->type], width[leaf->type]);
        return;
    }
    const nj_parquet_bytes *text = (const nj_parquet_bytes *)value + i;
    nj_buffer_add(&s->value, &text->n, sizeof text->n);
    nj_buffer_add(&s->value, text->data, text->n);
}

static void take_row(strip *s, const nj_parquet_leaf *leaf, const nj_parquet_values *v, uint32_t row,
                     bool nested)
{
    const uint32_t from = v->row_start ? v->row_start[row] : row,
                   to = v->row_start ? v->row_start[row + 1] : row + 1;
    for (uint32_t i = from; i < to; i++) {
        uint8_t level = v->def ? v->def[i] : leaf->max_def;
        if (level == leaf->max_def) take_value(s, leaf, v->value, i);
        if (nested && !level) level = 1; /* no light curve is an empty one */
        level = (uint8_t)(level + (i > from ? NJ_PARQUET_MORE : 0));
        nj_buffer_add(&s->level, &level, 1);
    }
}

static int read_strip(const tree *t, uint32_t c, strip *s)
{
    const nj_parquet_leaf *leaf = nj_parquet_leaf_at(t->file, t->from[c]);
    nj_parquet_column *column = nj_parquet_column_open(t->file, t->from[c], t->err);
    nj_parquet_values v = { 0 };
    int rc = column ? 0 : -1;
    s->level.n = s->value.n = 0;
    s->n = 0;
    for (uint32_t at = 0; !rc && at < t->n; at += (uint32_t)v.n_rows) {
        rc = nj_parquet_read(column, CHUNK, &v, t->err);
        if (!rc && !v.n_rows) rc = nj_fail(t->err, "%s: has fewer rows than its footer says", t->of->rows);
        for (uint32_t i = 0; !rc && i < v.n_rows; i++) {
            if (t->where[at + i] == NOWHERE) continue;
            s->order[t->where[at + i]] = (int32_t)s->n;
            s->level_at[s->n] = s->level.n;
            s->value_at[s->n++] = s->value.n;
            take_row(s, leaf, &v, i, t->column[c].group != NULL);
        }
    }
    s->level_at[s->n] = s->level.n;
    s->value_at[s->n] = s->value.n;
    nj_parquet_column_close(column);
    return rc || !(s->level.failed || s->value.failed) ? rc : no_memory(t);
}

static void put_strip(const strip *s, const tile *one, uint32_t first, nj_parquet_writer *w, uint32_t c)
{
    for (uint32_t k = 0; k < one->n; k++) {
        const int32_t i = s->order[one->from - first + k];
        const size_t n_level = s->level_at[i + 1] - s->level_at[i],
                     n_value = s->value_at[i + 1] - s->value_at[i];
        nj_buffer_add(&w->store[c].level, s->level.data + s->level_at[i], n_level);
        if (n_value) nj_buffer_add(&w->store[c].value, s->value.data + s->value_at[i], n_value);
        w->n_bytes += n_level + n_value;
    }
}

static void put_cells(const tree *t, const tile *one, nj_parquet_writer *w)
{
    for (uint32_t k = 0; k < one->n; k++) nj_parquet_put(w, 0, 1, &t->spot[one->from + k].cell, 8);
    w->n_open = one->n;
}

/* Tiles [from, to): their rows are read from the file in one go. */
static int write_slice(tree *t, uint32_t from, uint32_t to)
{
    const uint32_t first = t->tile[from].from, n = t->tile[to - 1].from + t->tile[to - 1].n - first;
    nj_parquet_writer *w = calloc(to - from, sizeof *w);
    strip s = { .level_at = malloc((n + 1) * sizeof *s.level_at),
                .value_at = malloc((n + 1) * sizeof *s.value_at),
                .order = malloc((n + 1) * sizeof *s.order) };
    int rc = w && s.level_at && s.value_at && s.order ? 0 : no_memory(t);
    for (uint32_t i = 0; i < t->n; i++) t->where[i] = NOWHERE;
    for (uint32_t k = 0; k < n; k++) t->where[t->spot[first + k].row] = (int32_t)k;
    for (uint32_t i = from; i < to && !rc; i++) {
        rc = begin_writer(t, &w[i - from]);
        if (!rc) put_cells(t, &t->tile[i], &w[i - from]);
    }
    for (uint32_t c = 1; c < t->n_columns && !rc; c++) {
        rc = read_strip(t, c, &s);
        for (uint32_t i = from; i < to && !rc; i++) put_strip(&s, &t->tile[i], first, &w[i - from], c);
    }
    for (uint32_t i = from; i < to && !rc; i++) rc = write_tile(t, &t->tile[i], &w[i - from]);
    for (uint32_t i = from; w && i < to; i++)
        if (w[i - from].store) nj_parquet_writer_free(&w[i - from]);
    nj_buffer_free(&s.level);
    nj_buffer_free(&s.value);
    free(s.level_at);
    free(s.value_at);
    free(s.order);
    free(w);
    return rc;
}

static int write_tiles(tree *t)
{
    for (uint32_t from = 0, to; from < t->n_tiles; from = to) {
        int64_t n = t->tile[from].n;
        for (to = from + 1; to < t->n_tiles && n + t->tile[to].n <= t->of->file_rows; to++)
            n += t->tile[to].n;
        if (write_slice(t, from, to)) return -1;
    }
    return 0;
}

/* ---- the files beside ------------------------------------------------------------------------ */

static int write_schema(const tree *t)
{
    char path[PATH + 32];
    nj_parquet_writer w;
    snprintf(path, sizeof path, "%s/_common_metadata", t->dataset);
    int rc = begin_writer(t, &w);
    if (!rc) rc = write_file(t, &w, path);
    nj_parquet_writer_free(&w);
    return rc;
}

static int write_text(const tree *t, const char *name, const nj_buffer *text)
{
    char path[PATH + 64];
    snprintf(path, sizeof path, "%s/%s", t->of->folder, name);
    return text->failed ? no_memory(t) : nj_outfile_beside(path, text->data, text->n, t->err);
}

static int write_list(const tree *t)
{
    nj_buffer out = { 0 };
    nj_buffer_text(&out, "Norder,Npix\n");
    for (uint32_t i = 0; i < t->n_tiles; i++)
        nj_buffer_printf(&out, "%u,%lld\n", t->tile[i].order, (long long)t->tile[i].pixel);
    int rc = write_text(t, "partition_info.csv", &out);
    nj_buffer_free(&out);
    return rc;
}

/* The last one: with it the catalogue is there. */
static int write_properties(const tree *t)
{
    const char *slash = strrchr(t->of->folder, '/'), *name = slash && slash[1] ? slash + 1 : t->of->folder;
    unsigned order = 0;
    char date[32];
    const time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%MUTC", gmtime_r(&now, &utc));
    for (uint32_t i = 0; i < t->n_tiles; i++)
        if (t->tile[i].order > order) order = t->tile[i].order;
    nj_buffer out = { 0 };
    nj_buffer_printf(&out,
                     "#HATS catalog\nobs_collection=%s\ndataproduct_type=object\nhats_nrows=%u\n"
                     "hats_col_ra=ra\nhats_col_dec=dec\nhats_col_healpix=_healpix_29\n"
                     "hats_col_healpix_order=29\nhats_order=%u\nhats_max_rows=%lld\n"
                     "hats_npix_suffix=.parquet\nhats_version=v0.1\nhats_frame=equatorial\n"
                     "hats_creation_date=%s\nhats_builder=%s\n",
                     name, t->n, order, (long long)t->of->file_rows, date, t->of->created_by);
    int rc = write_text(t, "properties", &out);
    if (!rc) rc = write_text(t, "hats.properties", &out);
    nj_buffer_free(&out);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_folder(const tree *t, const char *path)
{
    struct stat st;
    if (stat(path, &st)) return 0;
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS)
               ? nj_fail(t->err, "%s: cannot be removed: %s", path, strerror(errno))
               : 0;
}

static int make(tree *t)
{
    char final[PATH];
    snprintf(t->dataset, sizeof t->dataset, "%.4000s/dataset.part", t->of->folder);
    snprintf(final, sizeof final, "%.4000s/dataset", t->of->folder);
    if (remove_folder(t, t->dataset) || make_folder(t, t->dataset) || make_columns(t) || read_places(t) ||
        make_tiles(t) || write_tiles(t) || write_schema(t) || remove_folder(t, final))
        return -1;
    if (rename(t->dataset, final)) return nj_fail(t->err, "%s: %s", final, strerror(errno));
    return write_list(t) || write_properties(t) ? -1 : 0;
}

int nj_hats_tree_make(const nj_hats_tree *of, nj_error *err)
{
    tree t = { .of = of, .err = err, .file = nj_parquet_open(of->rows, err) };
    if (!t.file) return -1;
    const uint64_t n = nj_parquet_rows(t.file);
    int rc = n < INT32_MAX ? 0 : nj_fail(err, "hats:%s: more than 2^31 rows", of->folder);
    t.n = (uint32_t)n;
    t.spot = malloc((t.n + 1) * sizeof *t.spot);
    t.where = malloc((t.n + 1) * sizeof *t.where);
    if (!rc) rc = t.spot && t.where ? make(&t) : no_memory(&t);
    nj_parquet_close(t.file);
    free(t.spot);
    free(t.where);
    free(t.tile);
    free(t.column);
    free(t.from);
    free(t.names);
    return rc;
}
