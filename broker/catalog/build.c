/* build.c - makes a catalogue: every row of every input into the writer, again with other types when the
 * first guess does not hold a value. */
#include "build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_job.h"
#include "cells.h"

enum { PROGRESS_ROWS = 16384, NOT_AS_GUESSED = -2 };

/* "row 17", and the line where the file is text. */
static const char *place(const nj_build_job *j, const nj_table *t, uint64_t row, char text[64])
{
    row -= j->file_row;
    if (t->line)
        snprintf(text, 64, "row %llu (line %llu)", (unsigned long long)row, (unsigned long long)t->line);
    else
        snprintf(text, 64, "row %llu", (unsigned long long)row);
    return text;
}

static void note_bad(nj_build_job *j, const nj_table *t, const nj_build_column *w, const nj_table_cell *cell)
{
    char where[64];
    if (j->built->n_bad_values++) return;
    char number[32];
    int text = cell->kind == NJ_TABLE_TEXT;
    snprintf(number, sizeof number, "%.17g", cell->number);
    snprintf(j->built->first_bad, sizeof j->built->first_bad, "column '%s', %s: '%.*s' is no %s", w->source,
             place(j, t, j->row + 1, where),
             text ? (int)(cell->n_text < 40 ? cell->n_text : 40) : (int)strlen(number),
             text ? cell->text : number,
             w->type == NJ_F32 || w->type == NJ_F64 ? "number" : "whole number of that type");
}

/* Does a later row show that the guessed type of its column alters it? */
static int is_misfit(const nj_build_column *w, const nj_table_cell *cell, int unreadable,
                     const njx_value *value)
{
    if (!w->guessed || cell->kind != NJ_TABLE_TEXT) return 0;
    return unreadable || (w->type == NJ_F64 && fabs(value->number) > 0x1p53 && nj_cell_is_digits(cell)) ||
           (w->type != NJ_STR && cell->n_text > 1 && nj_cell_is_digits(cell) && cell->text[0] == '0');
}

static void note_rejected(nj_build_job *j, const nj_table *t, const nj_table_cell *ra,
                          const nj_table_cell *dec, uint32_t file)
{
    char text[2][40], where[64];
    const nj_table_cell *cell[2] = { ra, dec };
    if (j->built->first_rejected[0]) return;
    for (int k = 0; k < 2; k++) {
        if (cell[k]->kind == NJ_TABLE_NULL)
            snprintf(text[k], sizeof text[k], "nothing");
        else if (cell[k]->kind == NJ_TABLE_TEXT)
            snprintf(text[k], sizeof text[k], "'%.*s'", (int)(cell[k]->n_text < 32 ? cell[k]->n_text : 32),
                     cell[k]->text);
        else
            snprintf(text[k], sizeof text[k], "%.12g", cell[k]->number);
    }
    snprintf(j->built->first_rejected, sizeof j->built->first_rejected, "%s%s%.60s: %s is %s, %s is %s",
             place(j, t, j->row, where), j->n_files > 1 ? " of " : "", j->n_files > 1 ? j->file[file] : "",
             j->ra, text[0], j->dec, text[1]);
}

/* 0, -1, NOT_AS_GUESSED. */
static int add_row(nj_build_job *j, const nj_table *t, const nj_table_cell *cell, int has_motion,
                   uint32_t file)
{
    njx_value value[NJX_COLUMNS];
    char text[NJX_COLUMNS][64];
    double pm_ra = NAN, pm_dec = NAN;
    const nj_table_cell *columns = cell + 2 + 2 * has_motion;
    for (int k = 0; k < 2 * has_motion; k++) {
        njx_value v;
        nj_build_column motion = { .type = NJ_F64 };
        snprintf(motion.source, sizeof motion.source, "%s", k ? j->b->pm_dec : j->b->pm_ra);
        if (nj_cell_value(&cell[2 + k], NJ_F64, &v, text[0])) note_bad(j, t, &motion, &cell[2 + k]);
        *(k ? &pm_dec : &pm_ra) = v.number * j->pm_scale;
    }
    for (uint32_t i = 0; i < j->n_columns; i++) {
        int bad = nj_cell_value(&columns[i], j->column[i].type, &value[i], text[i]);
        if (is_misfit(&j->column[i], &columns[i], bad, &value[i])) {
            if (j->every_row) j->instead[i] = NJ_STR;
            return NOT_AS_GUESSED;
        }
        if (!bad) continue;
        note_bad(j, t, &j->column[i], &columns[i]);
        value[i] = (njx_value){ .number = NJ_NO_F64, .integer = NJ_NO_I64 };
    }
    if (j->b->number) value[j->n_columns] = (njx_value){ .integer = (int64_t)j->row };
    const double ra = nj_cell_angle(&cell[0], &j->angle[0]), dec = nj_cell_angle(&cell[1], &j->angle[1]);
    if (j->angle[0].bare && j->angle[1].bare) nj_spread_add(&j->spread, ra, dec);
    int rc = njx_add(j->writer, ra, dec, pm_ra, pm_dec, value, j->err->text, sizeof j->err->text);
    j->row++;
    if (rc > 0) j->built->n_rows++;
    if (rc == 0) note_rejected(j, t, &cell[0], &cell[1], file);
    return rc < 0 ? -1 : 0;
}

static int select_all(const nj_build_job *j, nj_table *t, const char *file, int has_motion)
{
    uint32_t column[NJX_COLUMNS + 4], n = 0;
    const char *names[4] = { j->ra, j->dec, j->b->pm_ra, j->b->pm_dec };
    for (int i = 0; i < 2 + 2 * has_motion; i++) {
        int c = nj_table_find(t, names[i]);
        if (c < 0) return nj_build_missing(j, t, file, i < 2 ? "position" : "proper motion", names[i]);
        column[n++] = (uint32_t)c;
    }
    for (uint32_t i = 0; i < j->n_columns; i++) {
        int c = nj_table_find(t, j->column[i].source);
        if (c < 0) return nj_build_missing(j, t, file, "such", j->column[i].source);
        column[n++] = (uint32_t)c;
    }
    return t->class->select(t, column, n, j->err);
}

/* The type that holds the values of both. */
static nj_type wider(nj_type a, nj_type b, int big)
{
    if (a == b) return a;
    if (a + b == NJ_F32 + NJ_F64 && (a == NJ_F32 || a == NJ_F64)) return NJ_F64;
    return a == NJ_STR || b == NJ_STR || big ? NJ_STR : NJ_F64;
}

/* May the types that this file declares be altered by those of the files before it?
 * Then the catalogue gets wider ones. */
static int compare_types(nj_build_job *j, const nj_table *t)
{
    int rc = 0;
    for (uint32_t i = 0; i < j->n_columns; i++) {
        nj_build_column *w = &j->column[i];
        const nj_table_column *c = &t->column[nj_table_find(t, w->source)];
        if (w->asked || !c->declared) continue;
        nj_type type = wider(w->type, c->type, w->big || c->big);
        if (type == w->type) continue;
        j->instead[i] = type;
        rc = NOT_AS_GUESSED;
    }
    return rc;
}

/* Positions of another frame are refused unless --frame says that they are meant as they stand. */
static int refuse_frame(const nj_build_job *j, const nj_table *t, uint32_t file)
{
    const nj_table_column *ra = &t->column[nj_table_find(t, j->ra)];
    if (!*ra->frame || j->b->frame) return 0;
    return nj_fail(j->err,
                   "%s: the positions in '%s' are in %s; bring them to ICRS first (astropy: "
                   "SkyCoord(...).icrs), or say --frame %s to take them as they stand",
                   j->file[file], ra->name, ra->frame, ra->frame);
}

/* Proper motions are in the unit that --pm-unit says, else in that of their columns. */
static int settle_motion(nj_build_job *j, const nj_table *t, uint32_t file)
{
    const char *name[2] = { j->b->pm_ra, j->b->pm_dec };
    double factor[2];
    j->pm_scale = j->b->pm_scale;
    if (j->pm_scale > 0 || !name[0] || !name[1]) return 0;
    for (int k = 0; k < 2; k++) {
        const nj_table_column *c = &t->column[nj_table_find(t, name[k])];
        factor[k] = nj_motion_factor(c->unit);
        if (!(factor[k] > 0) || factor[k] != factor[0])
            return nj_fail(j->err,
                           "%s: proper motion '%s' is in '%s', which is not known or not that of the other "
                           "one: say --pm-unit",
                           j->file[file], c->name, c->unit);
    }
    j->pm_scale = factor[0];
    return 0;
}

static int add_table(nj_build_job *j, nj_table *t, uint32_t file)
{
    int has_motion = j->b->pm_ra && j->b->pm_dec, rc;
    nj_table_cell cell[NJX_COLUMNS + 4];
    const char *names[2] = { j->ra, j->dec };
    if (select_all(j, t, j->file[file], has_motion)) return -1;
    if (refuse_frame(j, t, file) || settle_motion(j, t, file)) return -1;
    if ((rc = compare_types(j, t))) return rc;
    j->file_row = j->row;
    memset(j->angle, 0, sizeof j->angle);
    while ((rc = t->class->next(t, cell, j->err)) > 0) {
        for (int k = 0; k < 2; k++)
            if (!j->angle[k].settled && cell[k].kind != NJ_TABLE_NULL &&
                nj_settle_angle(&j->angle[k], j->b->unit, k, &t->column[nj_table_find(t, names[k])], &cell[k],
                                j->err))
                return -1;
        rc = add_row(j, t, cell, has_motion, file);
        if (rc) return rc;
        if (j->row % PROGRESS_ROWS == 0 && j->b->progress)
            j->b->progress(j->b->opaque, (file + t->class->done(t)) / j->n_files, j->row);
    }
    return rc;
}

/* Types of guessed columns over all rows of all inputs: a later file may hold what the first one has not. */
static int widen(nj_build_job *j)
{
    char big[NJX_COLUMNS] = { 0 };
    for (uint32_t f = 1; f < j->n_files; f++) {
        nj_table *t = nj_table_open(j->file[f], 1, j->err);
        if (!t) return -1;
        for (uint32_t i = 0; i < j->n_columns; i++) {
            int c = nj_table_find(t, j->column[i].source);
            if (c < 0 || !j->column[i].guessed) continue;
            big[i] |= t->column[c].big || j->column[i].big;
            j->column[i].type = wider(j->column[i].type, t->column[c].type, big[i]);
        }
        nj_table_close(t);
    }
    return 0;
}

static void begin(nj_build_job *j)
{
    njx_abandon(j->writer);
    j->writer = NULL;
    j->n_columns = 0;
    j->row = 0;
    memset(j->angle, 0, sizeof j->angle);
    memset(&j->spread, 0, sizeof j->spread);
    memset(j->built, 0, sizeof *j->built);
}

static void add_note(nj_build_job *j, const char *form, const char *name, const char *text)
{
    size_t n = strlen(j->built->notes);
    if (!*text || n > sizeof j->built->notes - 200) return;
    snprintf(j->built->notes + n, sizeof j->built->notes - n, form, name, text);
    strncat(j->built->notes, "\n", sizeof j->built->notes - strlen(j->built->notes) - 1);
}

static int add_files(nj_build_job *j)
{
    int rc = 0;
    begin(j);
    for (uint32_t i = 0; i < j->n_files && !rc; i++) {
        nj_table *t = nj_table_open(j->file[i], j->every_row, j->err);
        if (!t) return -1;
        if (i == 0 && (nj_build_settle(j, t) || (j->every_row && widen(j)) || nj_build_create(j))) rc = -1;
        if (!rc) rc = add_table(j, t, i);
        if (!rc) add_note(j, "%s: %s", j->file[i], t->note);
        nj_table_close(t);
    }
    return rc;
}

int nj_catalog_make(const nj_catalog_build *b, nj_catalog_built *built, nj_error *err)
{
    nj_error unused;
    nj_build_job *j = calloc(1, sizeof *j);
    uint8_t digest[32];
    int rc = -1;
    memset(built, 0, sizeof *built);
    if (!j) return nj_fail(err, "no memory");
    j->b = b;
    j->built = built;
    j->err = err ? err : &unused;
    if (nj_build_list(j) || nj_build_hash(j, digest)) goto done;
    while ((rc = add_files(j)) == NOT_AS_GUESSED)
        j->every_row = 1; /* once more, with types that
                           * all rows agree with */
    if (rc) {
        rc = -1;
        goto done;
    }
    built->n_rejected = njx_rejected(j->writer);
    for (uint32_t i = 0; i < j->n_columns; i++)
        if (j->instead[i])
            add_note(j, "column '%s' is %s, which holds the values of every row and file",
                     j->column[i].source, j->instead[i] == NJ_STR ? "text" : "f64");
    const char *doubt = nj_spread_doubt(&j->spread);
    if (doubt)
        add_note(j,
                 "positions as all of the sky has in %s, and nothing says their unit: taken as degrees; if "
                 "they are not, --unit %s",
                 doubt, *doubt == 'h' ? "hms" : "rad");
    if (!built->n_rows) {
        rc = built->n_rejected
                 ? nj_fail(j->err, "%s: no row with a position; the first of %llu: %s; is --unit right?",
                           b->output, (unsigned long long)built->n_rejected, built->first_rejected)
                 : nj_fail(j->err, "%s: no row in the input", b->output);
        goto done;
    }
    rc = njx_finish(j->writer, digest, j->err->text, sizeof j->err->text);
    j->writer = NULL;
done:
    njx_abandon(j->writer);
    for (uint32_t i = 0; i < j->n_files; i++) free(j->file[i]);
    free(j->file);
    free(j);
    return rc;
}
