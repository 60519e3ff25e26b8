/* build.c - makes a catalogue: which columns, of which types,
 * and every row of every input into the writer. */
#include "build.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/settings.h"
#include "../base/sha256.h"
#include "cells.h"

enum { MOST_FILES = 65536, PROGRESS_ROWS = 16384, NOT_AS_GUESSED = -2 };

typedef struct wanted {
    char source[72], name[48], unit[24];
    nj_type type; /* 0 = as the first input says */
    int asked;    /* the type was */
    int guessed;  /* the type is what rows of a text file looked like, or of numbers that may not fit */
    int big;      /* it has, or may have, whole numbers that no double holds */
} wanted;

typedef struct job {
    const nj_catalog_build *b;
    nj_catalog_built *built;
    nj_error *err;
    char **file;
    uint32_t n_files;
    wanted column[NJX_COLUMNS];
    uint32_t n_columns; /* without the row number */
    char ra[72], dec[72];
    nj_angle_form angle[2]; /* of ra, of dec */
    nj_spread spread;       /* of positions whose unit nothing says */
    double pm_scale;        /* of the present file */
    njx_writer *writer;
    uint64_t row;                 /* of the source, over all files */
    uint64_t file_row;            /* that the present file began with */
    int every_row;                /* second try: types of text files are those of all rows */
    nj_type instead[NJX_COLUMNS]; /* further tries: types that hold what the first file's do not; 0 = none */
} job;

/* ---- inputs ---- */

static int add_file(job *j, const char *path)
{
    if (j->n_files == MOST_FILES) return nj_fail(j->err, "%s: more than %d files", path, MOST_FILES);
    char **file = realloc(j->file, (j->n_files + 1) * sizeof *file);
    char *copy = strdup(path);
    if (file) j->file = file;
    if (!file || !copy) {
        free(copy);
        return nj_fail(j->err, "%s: no memory", path);
    }
    file[j->n_files++] = copy;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_folder(job *j, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return nj_fail(j->err, "%s: cannot be opened: %s", path, strerror(errno));
    uint32_t first = j->n_files;
    int rc = 0;
    for (struct dirent *e; !rc && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        char full[4096];
        if (n < 9 || strcmp(e->d_name + n - 8, ".parquet")) continue;
        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        rc = add_file(j, full);
    }
    closedir(dir);
    if (rc) return -1;
    if (!j->file || j->n_files == first) return nj_fail(j->err, "%s: no *.parquet file in this folder", path);
    qsort(j->file + first, j->n_files - first, sizeof *j->file, by_name);
    return 0;
}

static int list_files(job *j)
{
    for (uint32_t i = 0; i < j->b->n_inputs; i++) {
        struct stat st;
        const char *path = j->b->input[i];
        if (stat(path, &st)) return nj_fail(j->err, "%s: cannot be opened: %s", path, strerror(errno));
        if (S_ISDIR(st.st_mode) ? add_folder(j, path) : add_file(j, path)) return -1;
    }
    return 0;
}

/* Hash of one file's bytes; of several, the hash of their hashes in order. */
static int hash_files(const job *j, uint8_t digest[32])
{
    njx_sha256 all;
    njx_sha256_start(&all);
    char hex[65] = "";
    for (uint32_t i = 0; i < j->n_files; i++) {
        struct stat st;
        int fd = open(j->file[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st)) {
            if (fd >= 0) close(fd);
            return nj_fail(j->err, "%s: cannot be opened: %s", j->file[i], strerror(errno));
        }
        void *bytes = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
        close(fd);
        if (bytes == MAP_FAILED)
            return nj_fail(j->err, "%s: cannot be read: %s", j->file[i], strerror(errno));
        nj_sha256(bytes ? bytes : "", (size_t)st.st_size, hex);
        if (bytes) munmap(bytes, (size_t)st.st_size);
        njx_sha256_add(&all, hex, 64);
    }
    njx_sha256_end(&all, digest);
    for (int i = 0; j->n_files == 1 && i < 32; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        digest[i] = (uint8_t)byte;
    }
    return 0;
}

/* ---- columns ---- */

static int missing(const job *j, const nj_table *t, const char *file, const char *what, const char *name)
{
    const char *first = NULL;
    for (uint32_t i = 0; i < t->n_columns; i++) {
        if (strcasecmp(t->column[i].name, name) != 0) continue;
        if (first)
            return nj_fail(j->err, "%s: '%s' may be the column '%s' or '%s': write it as it stands there",
                           file, name, first, t->column[i].name);
        first = t->column[i].name;
    }
    const char **known = calloc(t->n_columns + 1, sizeof *known);
    char list[300] = "";
    for (uint32_t i = 0; known && i < t->n_columns; i++) {
        known[i] = t->column[i].name;
        size_t at = strlen(list);
        if (at < sizeof list - 80) snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", known[i]);
    }
    const char *near = known ? nj_nearest(name, known, t->n_columns) : NULL;
    nj_fail(j->err, "%s: no %s column '%s'%s%s%s (there are: %s)", file, what, name,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", list);
    free(known);
    return -1;
}

/* The usual names of positions, most telling first. */
static const char *const usual_ra[] = { "ra",      "RAdeg",  "_RAJ2000",       "RAJ2000",
                                        "RA_ICRS", "RAICRS", "raMean",         "meanra",
                                        "ramean",  "R.A.",   "RightAscension", "right_ascension",
                                        NULL };
static const char *const usual_dec[] = { "dec",         "DEdeg",       "_DEJ2000", "DEJ2000", "DE_ICRS",
                                         "DEICRS",      "decMean",     "meandec",  "decmean", "Dec",
                                         "Declination", "declination", NULL };

static int choose_position(const job *j, const nj_table *t, const char *file, const char *asked,
                           const char *const *usual, const char *what, char out[72])
{
    if (asked) {
        int c = nj_table_find(t, asked);
        if (c < 0) return missing(j, t, file, what, asked);
        snprintf(out, 72, "%s", t->column[c].name);
        return 0;
    }
    for (; *usual; usual++) {
        int c = nj_table_find(t, *usual);
        if (c < 0) continue;
        const char *other = nj_table_other_case(t, c);
        if (other)
            return nj_fail(j->err, "%s: '%s' and '%s' may both be the %s of the position: say --%s", file,
                           t->column[c].name, other, what, what);
        snprintf(out, 72, "%s", t->column[c].name);
        return 0;
    }
    return missing(j, t, file, what, what);
}

/* [a-z][a-z0-9_]*, as output columns are called. */
static void clean_name(const char *from, char to[48])
{
    size_t n = 0;
    if (!isalpha((unsigned char)*from)) to[n++] = 'c';
    for (; *from && n < 47; from++)
        to[n++] = isalnum((unsigned char)*from) ? (char)tolower((unsigned char)*from) : '_';
    while (n > 1 && to[n - 1] == '_') n--;
    to[n] = 0;
}

static int add_column(job *j, const char *source, const char *name, nj_type type)
{
    if (j->n_columns == NJX_COLUMNS - 1)
        return nj_fail(j->err, "%s: more than %d columns: choose some with --columns", j->b->output,
                       NJX_COLUMNS - 1);
    wanted *w = &j->column[j->n_columns];
    snprintf(w->source, sizeof w->source, "%s", source);
    clean_name(name, w->name);
    w->type = type;
    for (uint32_t i = 0; i < j->n_columns; i++)
        if (!strcmp(j->column[i].name, w->name))
            return nj_fail(j->err,
                           "two columns would be called '%s' ('%s' and '%s'): give one another name "
                           "(--columns '%s:NAME')",
                           w->name, j->column[i].source, source, source);
    if (j->b->number && !strcmp(j->b->number, w->name))
        return nj_fail(j->err, "two columns would be called '%s': choose another name for --number", w->name);
    j->n_columns++;
    return 0;
}

static int parse_columns(job *j)
{
    static const struct {
        const char *name;
        nj_type type;
    } types[] = { { "u8", NJ_U8 },   { "i32", NJ_I32 }, { "i64", NJ_I64 },
                  { "f32", NJ_F32 }, { "f64", NJ_F64 }, { "str", NJ_STR } };
    for (const char *p = j->b->columns; p && *p;) {
        char item[200], *part[3] = { item, NULL, NULL };
        size_t n = strcspn(p, ",");
        if (n >= sizeof item) return nj_fail(j->err, "--columns: '%.40s...' is too long", p);
        memcpy(item, p, n);
        item[n] = 0;
        p += n + (p[n] == ',');
        for (int k = 1; k < 3 && part[k - 1]; k++)
            if ((part[k] = strchr(part[k - 1], ':'))) *part[k]++ = 0;
        while (*part[0] == ' ') part[0]++;
        for (size_t end = strlen(part[0]); end && part[0][end - 1] == ' ';) part[0][--end] = 0;
        nj_type type = 0;
        for (size_t k = 0; part[2] && k < sizeof types / sizeof *types; k++)
            if (!strcmp(types[k].name, part[2])) type = types[k].type;
        if (part[2] && !type)
            return nj_fail(j->err, "--columns: '%s' is no type: u8, i32, i64, f32, f64 or str", part[2]);
        if (!*part[0]) return nj_fail(j->err, "--columns: an empty name");
        if (add_column(j, part[0], part[1] && *part[1] ? part[1] : part[0], type)) return -1;
    }
    return 0;
}

/* Settles what the first input decides: positions, all columns when none were chosen, types, units. */
static int settle(job *j, const nj_table *t)
{
    const nj_catalog_build *b = j->b;
    if (choose_position(j, t, j->file[0], b->ra, usual_ra, "ra", j->ra) ||
        choose_position(j, t, j->file[0], b->dec, usual_dec, "dec", j->dec))
        return -1;
    if (b->columns && parse_columns(j)) return -1;
    for (uint32_t i = 0; !b->columns && i < t->n_columns; i++) {
        const char *name = t->column[i].name;
        if (!strcmp(name, j->ra) || !strcmp(name, j->dec) || !*name) continue;
        if (add_column(j, name, name, 0)) return -1;
    }
    for (uint32_t i = 0; i < j->n_columns; i++) {
        int c = nj_table_find(t, j->column[i].source);
        if (c < 0) return missing(j, t, j->file[0], "such", j->column[i].source);
        wanted *w = &j->column[i];
        w->asked = w->type != 0;
        if (!w->asked) {
            w->type = j->instead[i] ? j->instead[i] : t->column[c].type;
            w->guessed = !t->column[c].declared;
            w->big = t->column[c].big;
        }
        snprintf(j->column[i].unit, sizeof j->column[i].unit, "%s", t->column[c].unit);
    }
    return 0;
}

static int create(job *j)
{
    nj_sky_column column[NJX_COLUMNS];
    char source[256] = "";
    for (uint32_t i = 0; i < j->n_columns; i++)
        column[i] = (nj_sky_column){ j->column[i].name, j->column[i].type, j->column[i].unit };
    uint32_t n = j->n_columns;
    if (j->b->number) column[n++] = (nj_sky_column){ j->b->number, NJ_I64, "" };
    for (uint32_t i = 0; i < j->n_files; i++) {
        const char *slash = strrchr(j->file[i], '/'), *name = slash ? slash + 1 : j->file[i];
        size_t at = strlen(source);
        if (at + strlen(name) + 8 > sizeof source) {
            snprintf(source + at, sizeof source - at, " ...");
            break;
        }
        snprintf(source + at, sizeof source - at, "%s%s", i ? " " : "", name);
    }
    njx_options o = { .path = j->b->output,
                      .source = source,
                      .frame = j->b->frame ? j->b->frame : "icrs",
                      .epoch_year = j->b->epoch_year,
                      .radius_arcsec = j->b->radius_arcsec,
                      .memory_bytes = j->b->memory_bytes,
                      .has_motion = j->b->pm_ra && j->b->pm_dec,
                      .compact = j->b->compact,
                      .n_columns = n,
                      .column = column };
    j->writer = njx_create(&o, j->err->text, sizeof j->err->text);
    return j->writer ? 0 : -1;
}

/* ---- rows ---- */

/* "row 17", and the line where the file is text. */
static const char *place(const job *j, const nj_table *t, uint64_t row, char text[64])
{
    row -= j->file_row;
    if (t->line)
        snprintf(text, 64, "row %llu (line %llu)", (unsigned long long)row, (unsigned long long)t->line);
    else
        snprintf(text, 64, "row %llu", (unsigned long long)row);
    return text;
}

static void note_bad(job *j, const nj_table *t, const wanted *w, const nj_table_cell *cell)
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
static int is_misfit(const wanted *w, const nj_table_cell *cell, int unreadable, const njx_value *value)
{
    if (!w->guessed || cell->kind != NJ_TABLE_TEXT) return 0;
    return unreadable || (w->type == NJ_F64 && fabs(value->number) > 0x1p53 && nj_cell_is_digits(cell)) ||
           (w->type != NJ_STR && cell->n_text > 1 && nj_cell_is_digits(cell) && cell->text[0] == '0');
}

static void note_rejected(job *j, const nj_table *t, const nj_table_cell *ra, const nj_table_cell *dec,
                          uint32_t file)
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
static int add_row(job *j, const nj_table *t, const nj_table_cell *cell, int has_motion, uint32_t file)
{
    njx_value value[NJX_COLUMNS];
    char text[NJX_COLUMNS][64];
    double pm_ra = NAN, pm_dec = NAN;
    const nj_table_cell *columns = cell + 2 + 2 * has_motion;
    for (int k = 0; k < 2 * has_motion; k++) {
        njx_value v;
        wanted motion = { .type = NJ_F64 };
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

static int select_all(const job *j, nj_table *t, const char *file, int has_motion)
{
    uint32_t column[NJX_COLUMNS + 4], n = 0;
    const char *names[4] = { j->ra, j->dec, j->b->pm_ra, j->b->pm_dec };
    for (int i = 0; i < 2 + 2 * has_motion; i++) {
        int c = nj_table_find(t, names[i]);
        if (c < 0) return missing(j, t, file, i < 2 ? "position" : "proper motion", names[i]);
        column[n++] = (uint32_t)c;
    }
    for (uint32_t i = 0; i < j->n_columns; i++) {
        int c = nj_table_find(t, j->column[i].source);
        if (c < 0) return missing(j, t, file, "such", j->column[i].source);
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
static int compare_types(job *j, const nj_table *t)
{
    int rc = 0;
    for (uint32_t i = 0; i < j->n_columns; i++) {
        wanted *w = &j->column[i];
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
static int refuse_frame(const job *j, const nj_table *t, uint32_t file)
{
    const nj_table_column *ra = &t->column[nj_table_find(t, j->ra)];
    if (!*ra->frame || j->b->frame) return 0;
    return nj_fail(j->err,
                   "%s: the positions in '%s' are in %s; bring them to ICRS first (astropy: "
                   "SkyCoord(...).icrs), or say --frame %s "
                   "to take them as they stand",
                   j->file[file], ra->name, ra->frame, ra->frame);
}

/* Proper motions are in the unit that --pm-unit says, else in that of their columns. */
static int settle_motion(job *j, const nj_table *t, uint32_t file)
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

static int add_table(job *j, nj_table *t, uint32_t file)
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
static int widen(job *j)
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

static void begin(job *j)
{
    njx_abandon(j->writer);
    j->writer = NULL;
    j->n_columns = 0;
    j->row = 0;
    memset(j->angle, 0, sizeof j->angle);
    memset(&j->spread, 0, sizeof j->spread);
    memset(j->built, 0, sizeof *j->built);
}

static void add_note(job *j, const char *form, const char *name, const char *text)
{
    size_t n = strlen(j->built->notes);
    if (!*text || n > sizeof j->built->notes - 200) return;
    snprintf(j->built->notes + n, sizeof j->built->notes - n, form, name, text);
    strncat(j->built->notes, "\n", sizeof j->built->notes - strlen(j->built->notes) - 1);
}

static int add_files(job *j)
{
    int rc = 0;
    begin(j);
    for (uint32_t i = 0; i < j->n_files && !rc; i++) {
        nj_table *t = nj_table_open(j->file[i], j->every_row, j->err);
        if (!t) return -1;
        if (i == 0 && (settle(j, t) || (j->every_row && widen(j)) || create(j))) rc = -1;
        if (!rc) rc = add_table(j, t, i);
        if (!rc) add_note(j, "%s: %s", j->file[i], t->note);
        nj_table_close(t);
    }
    return rc;
}

int nj_catalog_make(const nj_catalog_build *b, nj_catalog_built *built, nj_error *err)
{
    nj_error unused;
    job *j = calloc(1, sizeof *j);
    uint8_t digest[32];
    int rc = -1;
    memset(built, 0, sizeof *built);
    if (!j) return nj_fail(err, "no memory");
    j->b = b;
    j->built = built;
    j->err = err ? err : &unused;
    if (list_files(j) || hash_files(j, digest)) goto done;
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
