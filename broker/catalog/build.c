/* build.c - makes a catalogue: which columns, of which types, and every row of every input into the writer. */
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

#include "../../modules/kit/sky/njx.h"
#include "../base/settings.h"
#include "../base/sha256.h"
#include "table.h"

enum { MOST_FILES = 65536, PROGRESS_ROWS = 16384 };

typedef struct wanted {
    char source[72], name[48], unit[24];
    nj_type type; /* 0 = as the first input says */
    int guessed;  /* the type is what rows of a text file looked like */
    int big;      /* and one of them was a whole number that no double holds */
} wanted;

/* How a position's column is to be read. */
typedef struct angle {
    double factor; /* of a plain number, to degrees */
    int hours;     /* parts are hours, minutes, seconds */
    int settled;
} angle;

typedef struct job {
    const nj_catalog_build *b;
    nj_catalog_built *built;
    nj_error *err;
    char **file;
    uint32_t n_files;
    wanted column[NJX_COLUMNS];
    uint32_t n_columns; /* without the row number */
    char ra[72], dec[72];
    angle angle[2]; /* of ra, of dec */
    njx_writer *writer;
    uint64_t row;      /* of the source, over all files */
    uint64_t file_row; /* that the present file began with */
    int every_row;     /* second try: types of text files are those of all rows */
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
        if (bytes == MAP_FAILED) return nj_fail(j->err, "%s: cannot be read: %s", j->file[i], strerror(errno));
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
    const char **known = calloc(t->n_columns + 1, sizeof *known);
    char list[300] = "";
    for (uint32_t i = 0; known && i < t->n_columns; i++) {
        known[i] = t->column[i].name;
        size_t at = strlen(list);
        if (at < sizeof list - 80) snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", known[i]);
    }
    const char *near = known ? nj_nearest(name, known, t->n_columns) : NULL;
    nj_fail(j->err, "%s: no %s column '%s'%s%s%s (there are: %s)", file, what, name, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "", list);
    free(known);
    return -1;
}

/* The usual names of positions, most telling first. */
static const char *const usual_ra[] = { "ra",     "RAdeg",  "_RAJ2000", "RAJ2000",        "RA_ICRS",         "RAICRS", "raMean",
                                        "meanra", "ramean", "R.A.",     "RightAscension", "right_ascension", NULL };
static const char *const usual_dec[] = { "dec",     "DEdeg",   "_DEJ2000", "DEJ2000",     "DE_ICRS",     "DEICRS", "decMean",
                                         "meandec", "decmean", "Dec",      "Declination", "declination", NULL };

static int choose_position(const job *j, const nj_table *t, const char *file, const char *asked, const char *const *usual,
                           const char *what, char out[72])
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
    for (; *from && n < 47; from++) to[n++] = isalnum((unsigned char)*from) ? (char)tolower((unsigned char)*from) : '_';
    while (n > 1 && to[n - 1] == '_') n--;
    to[n] = 0;
}

static int add_column(job *j, const char *source, const char *name, nj_type type)
{
    if (j->n_columns == NJX_COLUMNS - 1)
        return nj_fail(j->err, "%s: more than %d columns: choose some with --columns", j->b->output, NJX_COLUMNS - 1);
    wanted *w = &j->column[j->n_columns];
    snprintf(w->source, sizeof w->source, "%s", source);
    clean_name(name, w->name);
    w->type = type;
    for (uint32_t i = 0; i < j->n_columns; i++)
        if (!strcmp(j->column[i].name, w->name))
            return nj_fail(j->err,
                           "two columns would be called '%s' ('%s' and '%s'): give one another name (--columns '%s:NAME')",
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
    } types[] = {
        { "u8", NJ_U8 }, { "i32", NJ_I32 }, { "i64", NJ_I64 }, { "f32", NJ_F32 }, { "f64", NJ_F64 }, { "str", NJ_STR }
    };
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
        if (part[2] && !type) return nj_fail(j->err, "--columns: '%s' is no type: u8, i32, i64, f32, f64 or str", part[2]);
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
        if (!j->column[i].type) {
            j->column[i].type = t->column[c].type;
            j->column[i].guessed = !t->column[c].declared;
            j->column[i].big = t->column[c].big;
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
                      .frame = j->b->frame,
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

static int text_number(const nj_cell *cell, double *v)
{
    char text[64], *end;
    if (cell->n_text >= sizeof text) return -1;
    memcpy(text, cell->text, cell->n_text);
    text[cell->n_text] = 0;
    *v = strtod(text, &end);
    return *end || end == text ? -1 : 0;
}

static int text_integer(const nj_cell *cell, int64_t *v)
{
    char text[32], *end;
    double d;
    if (cell->n_text < sizeof text) {
        memcpy(text, cell->text, cell->n_text);
        text[cell->n_text] = 0;
        errno = 0;
        *v = strtoll(text, &end, 10);
        if (!*end && end != text && !errno) return 0;
    }
    if (text_number(cell, &d) || d != floor(d) || fabs(d) > 9e15) return -1;
    *v = (int64_t)d;
    return 0;
}

/* A cell as the column's type; text[64] holds the digits of a number that goes into a text column. */
static int value_of(const nj_cell *cell, nj_type type, njx_value *v, char text[64])
{
    *v = (njx_value){ .number = NJ_NO_F64, .integer = NJ_NO_I64 };
    if (cell->kind == NJ_CELL_NULL) return 0;
    if (type == NJ_STR) {
        v->text = cell->text;
        v->n_text = cell->n_text;
        if (cell->kind == NJ_CELL_TEXT) return 0;
        v->text = text;
        v->n_text = (uint32_t)(cell->kind == NJ_CELL_INTEGER ? snprintf(text, 64, "%lld", (long long)cell->integer)
                                                             : snprintf(text, 64, "%.17g", cell->number));
        return 0;
    }
    if (type == NJ_F32 || type == NJ_F64) {
        if (cell->kind == NJ_CELL_TEXT) return text_number(cell, &v->number);
        v->number = cell->number;
        return 0;
    }
    if (cell->kind == NJ_CELL_TEXT) return text_integer(cell, &v->integer);
    if (cell->kind == NJ_CELL_REAL && (cell->number != floor(cell->number) || fabs(cell->number) > 9e15)) return -1;
    v->integer = cell->kind == NJ_CELL_REAL ? (int64_t)cell->number : cell->integer;
    return (type == NJ_U8 && (v->integer < 0 || v->integer > 254)) ||
                   (type == NJ_I32 && (v->integer <= INT32_MIN || v->integer > INT32_MAX))
               ? -1
               : 0;
}

/* How the column of a position is written: by --unit, else by its own unit and its first value. */
static int settle_angle(job *j, int is_dec, const nj_table_column *column, const nj_cell *first)
{
    static const struct {
        const char *word;
        double factor;
    } known[] = { { "", 1 },
                  { "deg", 1 },
                  { "degree", 1 },
                  { "degrees", 1 },
                  { "d", 1 },
                  { "rad", 180 / M_PI },
                  { "radian", 180 / M_PI },
                  { "radians", 180 / M_PI },
                  { "h", 15 },
                  { "hr", 15 },
                  { "hour", 15 },
                  { "hours", 15 },
                  { "hourangle", 15 },
                  { "h:m:s", 15 },
                  { "hms", 15 },
                  { "d:m:s", 1 },
                  { "dms", 1 },
                  { "hh:mm:ss", 15 },
                  { "dd:mm:ss", 1 },
                  { "\"h:m:s\"", 15 },
                  { "\"d:m:s\"", 1 },
                  { "angle", 1 },
                  { "\u00b0", 1 } };
    angle *a = &j->angle[is_dec];
    int parts = first->kind == NJ_CELL_TEXT && nj_angle_has_parts(first->text, first->n_text);
    a->settled = 1;
    switch (j->b->unit) {
    case NJ_ANGLE_DEG: *a = (angle){ 1, 0, 1 }; return 0;
    case NJ_ANGLE_RAD: *a = (angle){ 180 / M_PI, 0, 1 }; return 0;
    case NJ_ANGLE_HMS: *a = (angle){ is_dec ? 1 : 15, !is_dec, 1 }; return 0;
    case NJ_ANGLE_AUTO: break;
    }
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (strcasecmp(known[k].word, column->unit) != 0) continue;
        a->factor = known[k].factor;
        /* parts of a right ascension are hours, unless its unit is one of degrees */
        a->hours = parts && !is_dec ? !*column->unit || a->factor == 15 : a->factor == 15;
        if (parts && a->factor != 1 && a->factor != 15)
            return nj_fail(j->err, "column '%s' is in %s, and '%.*s' has parts: say --unit", column->name, column->unit,
                           (int)first->n_text, first->text);
        return 0;
    }
    return nj_fail(j->err, "column '%s' is in '%s', which is no unit of positions that is known: say --unit deg, hms or rad",
                   column->name, column->unit);
}

static double angle_of(const nj_cell *cell, const angle *a)
{
    double v;
    if (cell->kind == NJ_CELL_NULL) return NAN;
    if (cell->kind != NJ_CELL_TEXT) return cell->number * a->factor;
    if (nj_angle_has_parts(cell->text, cell->n_text)) {
        if (a->factor != 1 && a->factor != 15) return NAN;
        return nj_parse_angle(cell->text, cell->n_text, a->hours);
    }
    return text_number(cell, &v) ? NAN : v * a->factor;
}

static void note_bad(job *j, const wanted *w, const nj_cell *cell)
{
    if (j->built->n_bad_values++) return;
    char number[32];
    int text = cell->kind == NJ_CELL_TEXT;
    snprintf(number, sizeof number, "%.17g", cell->number);
    snprintf(j->built->first_bad, sizeof j->built->first_bad, "column '%s', row %llu: '%.*s' is no %s", w->source,
             (unsigned long long)j->row + 1, text ? (int)(cell->n_text < 40 ? cell->n_text : 40) : (int)strlen(number),
             text ? cell->text : number, w->type == NJ_F32 || w->type == NJ_F64 ? "number" : "whole number of that type");
}

static int is_digits(const nj_cell *cell)
{
    uint32_t at = cell->n_text && (*cell->text == '-' || *cell->text == '+');
    for (uint32_t i = at; i < cell->n_text; i++)
        if (!isdigit((unsigned char)cell->text[i])) return 0;
    return cell->n_text > at;
}

/* Does a later row show that the guessed type of its column alters it? */
static int is_misfit(const job *j, const wanted *w, const nj_cell *cell, int unreadable, const njx_value *value)
{
    if (j->every_row || !w->guessed || cell->kind != NJ_CELL_TEXT) return 0;
    return unreadable || (w->type == NJ_F64 && fabs(value->number) > 0x1p53 && is_digits(cell)) ||
           (w->type != NJ_STR && cell->n_text > 1 && is_digits(cell) && cell->text[0] == '0');
}

static void note_rejected(job *j, const nj_cell *ra, const nj_cell *dec, uint32_t file)
{
    char text[2][40];
    const nj_cell *cell[2] = { ra, dec };
    if (j->built->first_rejected[0]) return;
    for (int k = 0; k < 2; k++) {
        if (cell[k]->kind == NJ_CELL_NULL)
            snprintf(text[k], sizeof text[k], "nothing");
        else if (cell[k]->kind == NJ_CELL_TEXT)
            snprintf(text[k], sizeof text[k], "'%.*s'", (int)(cell[k]->n_text < 32 ? cell[k]->n_text : 32), cell[k]->text);
        else
            snprintf(text[k], sizeof text[k], "%.12g", cell[k]->number);
    }
    snprintf(j->built->first_rejected, sizeof j->built->first_rejected, "row %llu%s%.60s: %s is %s, %s is %s",
             (unsigned long long)(j->row - j->file_row), j->n_files > 1 ? " of " : "", j->n_files > 1 ? j->file[file] : "", j->ra,
             text[0], j->dec, text[1]);
}

enum { NOT_AS_GUESSED = -2 };

/* 0, -1, NOT_AS_GUESSED. */
static int add_row(job *j, const nj_cell *cell, int has_motion, uint32_t file)
{
    njx_value value[NJX_COLUMNS];
    char text[NJX_COLUMNS][64];
    double pm_ra = NAN, pm_dec = NAN;
    const nj_cell *columns = cell + 2 + 2 * has_motion;
    if (has_motion) {
        njx_value v;
        if (!value_of(&cell[2], NJ_F64, &v, text[0])) pm_ra = v.number * j->b->pm_scale;
        if (!value_of(&cell[3], NJ_F64, &v, text[0])) pm_dec = v.number * j->b->pm_scale;
    }
    for (uint32_t i = 0; i < j->n_columns; i++) {
        int bad = value_of(&columns[i], j->column[i].type, &value[i], text[i]);
        if (is_misfit(j, &j->column[i], &columns[i], bad, &value[i])) return NOT_AS_GUESSED;
        if (!bad) continue;
        note_bad(j, &j->column[i], &columns[i]);
        value[i] = (njx_value){ .number = NJ_NO_F64, .integer = NJ_NO_I64 };
    }
    if (j->b->number) value[j->n_columns] = (njx_value){ .integer = (int64_t)j->row };
    int rc = njx_add(j->writer, angle_of(&cell[0], &j->angle[0]), angle_of(&cell[1], &j->angle[1]), pm_ra, pm_dec, value,
                     j->err->text, sizeof j->err->text);
    j->row++;
    if (rc > 0) j->built->n_rows++;
    if (rc == 0) note_rejected(j, &cell[0], &cell[1], file);
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

static int add_table(job *j, nj_table *t, uint32_t file)
{
    int has_motion = j->b->pm_ra && j->b->pm_dec, rc;
    nj_cell cell[NJX_COLUMNS + 4];
    const char *names[2] = { j->ra, j->dec };
    if (select_all(j, t, j->file[file], has_motion)) return -1;
    j->file_row = j->row;
    while ((rc = t->class->next(t, cell, j->err)) > 0) {
        for (int k = 0; k < 2; k++)
            if (!j->angle[k].settled && cell[k].kind != NJ_CELL_NULL &&
                settle_angle(j, k, &t->column[nj_table_find(t, names[k])], &cell[k]))
                return -1;
        rc = add_row(j, cell, has_motion, file);
        if (rc) return rc;
        if (j->row % PROGRESS_ROWS == 0 && j->b->progress)
            j->b->progress(j->b->opaque, (file + t->class->done(t)) / j->n_files, j->row);
    }
    return rc;
}

/* The type that holds the values of both. */
static nj_type wider(nj_type a, nj_type b, int big)
{
    if (a == b) return a;
    return a == NJ_STR || b == NJ_STR || big ? NJ_STR : NJ_F64;
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
    memset(j->built, 0, sizeof *j->built);
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
    rc = add_files(j);
    if (rc == NOT_AS_GUESSED) { /* once more, with types that all rows agree with */
        j->every_row = 1;
        rc = add_files(j);
    }
    if (rc) {
        rc = -1;
        goto done;
    }
    built->n_rejected = njx_rejected(j->writer);
    if (!built->n_rows) {
        rc = built->n_rejected ? nj_fail(j->err, "%s: no row with a position; the first of %llu: %s; is --unit right?", b->output,
                                         (unsigned long long)built->n_rejected, built->first_rejected)
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
