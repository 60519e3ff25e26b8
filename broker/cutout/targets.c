/* targets.c - the places that stamps are wanted of, from a table of any kind that catalogues are built of. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/log.h"
#include "../catalog/cells.h"
#include "stamps.h"

enum { RA, DEC, NAME, COLUMNS };

typedef struct reading {
    const char *path;
    nj_table *table;
    nj_angle_form form[2];
    int column[COLUMNS]; /* of the table; -1 = none */
    bool has_name;
    nj_cut_target *target;
    uint32_t n, cap;
    nj_spread spread; /* of positions whose unit nothing says */
} reading;

static int find_columns(reading *r, nj_error *err)
{
    static const char *const usual[COLUMNS][6] = { { "ra", "RAdeg", "RAJ2000", "_RAJ2000" },
                                                   { "dec", "DEdeg", "DEJ2000", "_DEJ2000" },
                                                   { "name", "id", "object", "candid" } };
    for (int k = 0; k < COLUMNS; k++) {
        r->column[k] = -1;
        for (int i = 0; usual[k][i] && r->column[k] < 0; i++)
            r->column[k] = nj_table_find(r->table, usual[k][i]);
        const char *other = r->column[k] < 0 ? NULL : nj_table_other_case(r->table, r->column[k]);
        if (other && k != NAME)
            return nj_fail(err, "%s: '%s' and '%s' may both be the %s", r->path,
                           r->table->column[r->column[k]].name, other, usual[k][0]);
    }
    if (r->column[RA] < 0 || r->column[DEC] < 0)
        return nj_fail(err, "%s: the first line must name the columns, ra and dec among them", r->path);
    const char *frame = r->table->column[r->column[RA]].frame;
    if (*frame) return nj_fail(err, "%s: the positions are in %s; bring them to ICRS first", r->path, frame);
    r->has_name = r->column[NAME] >= 0;
    uint32_t select[COLUMNS] = { (uint32_t)r->column[RA], (uint32_t)r->column[DEC],
                                 (uint32_t)r->column[NAME] };
    return r->table->class->select(r->table, select, 2 + r->has_name, err);
}

/* The cell as it stands, or its digits. */
static const char *cell_text(const nj_table_cell *cell, char text[256])
{
    switch (cell->kind) {
    case NJ_TABLE_NULL: text[0] = 0; break;
    case NJ_TABLE_INTEGER: snprintf(text, 256, "%lld", (long long)cell->integer); break;
    case NJ_TABLE_REAL: snprintf(text, 256, "%.17g", cell->number); break;
    case NJ_TABLE_TEXT:
        snprintf(text, 256, "%.*s", (int)(cell->n_text < 255 ? cell->n_text : 255), cell->text);
        break;
    }
    return text;
}

static char *file_name(const char *cell, uint32_t row)
{
    char number[16];
    snprintf(number, sizeof number, "%06u", row);
    char *name = strdup(cell && *cell ? cell : number);
    for (char *p = name; p && *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._+-", *p)) *p = '_';
    if (name && *name == '.') *name = '_';
    return name;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int refuse_equal_names(const char *path, const nj_cut_target *t, uint32_t n, nj_error *err)
{
    char **name = malloc((n + 1) * sizeof *name);
    int rc = name ? 0 : nj_fail(err, "out of memory");
    for (uint32_t i = 0; name && i < n; i++) name[i] = t[i].name;
    if (name) qsort(name, n, sizeof *name, by_name);
    for (uint32_t i = 1; name && i < n && rc == 0; i++)
        if (!strcmp(name[i - 1], name[i]))
            rc = nj_fail(err, "%s: two targets would both be %s.fits", path, name[i]);
    free(name);
    return rc;
}

static int add_row(reading *r, const nj_table_cell *cell, uint64_t row, nj_error *err)
{
    char text[2][256], name[256], where[48];
    double at[2];
    if (r->table->line)
        snprintf(where, sizeof where, "line %llu", (unsigned long long)r->table->line);
    else
        snprintf(where, sizeof where, "row %llu", (unsigned long long)row);
    for (int k = RA; k <= DEC; k++) {
        const nj_table_column *c = &r->table->column[r->column[k]];
        nj_error why;
        if (!r->form[k].settled && cell[k].kind != NJ_TABLE_NULL &&
            nj_settle_angle(&r->form[k], NJ_ANGLE_AUTO, k, c, &cell[k], &why))
            return nj_fail(err, "%s: %.*s; give the column the unit deg, hourangle or rad", r->path,
                           (int)strcspn(why.text, ":"), why.text);
        at[k] = nj_cell_angle(&cell[k], &r->form[k]);
    }
    if (!(at[RA] >= -360 && at[RA] <= 360 && at[DEC] >= -90 && at[DEC] <= 90))
        return nj_fail(err, "%s: %s: '%s', '%s' is no position%s", r->path, where,
                       cell_text(&cell[RA], text[0]), cell_text(&cell[DEC], text[1]),
                       isnan(at[RA]) || isnan(at[DEC]) ? ", or written in another form than the first one"
                                                       : " in the columns' units");
    if (r->n == r->cap) {
        nj_cut_target *more = realloc(r->target, (r->cap = r->cap ? 2 * r->cap : 256) * sizeof *r->target);
        if (!more) return nj_fail(err, "out of memory");
        r->target = more;
    }
    nj_cut_target t = { file_name(r->has_name ? cell_text(&cell[NAME], name) : NULL, r->n), at[RA], at[DEC] };
    if (!t.name) return nj_fail(err, "out of memory");
    if (r->form[RA].bare && r->form[DEC].bare) nj_spread_add(&r->spread, at[RA], at[DEC]);
    r->target[r->n++] = t;
    return 0;
}

static int read_rows(reading *r, nj_error *err)
{
    nj_table_cell cell[COLUMNS];
    uint64_t row = 0;
    int rc;
    while ((rc = r->table->class->next(r->table, cell, err)) > 0)
        if (add_row(r, cell, ++row, err)) return -1;
    if (rc < 0) return -1;
    if (!r->n) return nj_fail(err, "%s: has no targets", r->path);
    const char *doubt = nj_spread_doubt(&r->spread);
    if (doubt)
        nj_log(NJ_LOG_WARN,
               "%s: positions as all of the sky has in %s, and nothing says their unit: taken as degrees",
               r->path, doubt);
    return refuse_equal_names(r->path, r->target, r->n, err);
}

int nj_cut_targets_read(const char *path, nj_cut_target **target, uint32_t *n, nj_error *err)
{
    reading r = { .path = path, .table = nj_table_open(path, 1, err) };
    int rc = !r.table || find_columns(&r, err) || read_rows(&r, err) ? -1 : 0;
    if (r.table && *r.table->note) nj_log(NJ_LOG_INFO, "%s: %s", path, r.table->note);
    nj_table_close(r.table);
    *target = r.target;
    *n = r.n;
    return rc;
}

void nj_cut_targets_free(nj_cut_target *target, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) free(target[i].name);
    free(target);
}
