/* Text tables: commas, tabs, semicolons or bars, quotes, blanks around cells, gzip; ECSV's comment lines are skipped. */
#include "table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

enum { MOST_COLUMNS = 4096, SAMPLE_ROWS = 10000, FIRST_BUFFER = 1 << 18, MOST_ROW_BYTES = 1 << 26 };

typedef struct span {
    char *text;
    uint32_t n;
} span;

typedef struct csv_table {
    nj_table table;
    char *path;
    gzFile file;
    int64_t size; /* of the file on disk */
    char *buffer;
    size_t at, n, cap;
    int end; /* nothing more to read */
    char separator;
    uint64_t line;
    span *cell; /* [MOST_COLUMNS] of the present row */
    uint32_t n_cells;
    int header_rows;
    uint32_t *select, n_select;
} csv_table;

static int match(const char *path, const unsigned char *first, size_t n)
{
    (void)path;
    if (n >= 2 && first[0] == 0x1f && first[1] == 0x8b) return 1;
    for (size_t i = 0; i < n; i++)
        if (!first[i]) return 0; /* any text: a header is asked for later */
    return n > 0;
}

/* More bytes behind the present ones; 0 at the end, -1 on damage. Moves the present row to the front. */
static int more(csv_table *t, size_t row, nj_error *err)
{
    if (t->end) return 0;
    memmove(t->buffer, t->buffer + row, t->n - row);
    t->n -= row;
    t->at -= row;
    if (t->cap - t->n < t->cap / 2) {
        if (t->cap > MOST_ROW_BYTES)
            return nj_fail(err, "%s:%llu: a row of more than 64 MiB: an open quote?", t->path, (unsigned long long)t->line);
        char *buffer = realloc(t->buffer, 2 * t->cap + 1);
        if (!buffer) return nj_fail(err, "%s: no memory", t->path);
        t->buffer = buffer;
        t->cap *= 2;
    }
    int got = gzread(t->file, t->buffer + t->n, (unsigned)(t->cap - t->n));
    int why;
    if (got < 0 || (got == 0 && !gzeof(t->file))) return nj_fail(err, "%s: does not unpack: %s", t->path, gzerror(t->file, &why));
    if (got == 0) {
        gzerror(t->file, &why);
        if (why == Z_BUF_ERROR) return nj_fail(err, "%s: is truncated", t->path);
        t->end = 1;
        return 0;
    }
    t->n += (size_t)got;
    t->buffer[t->n] = 0;
    return 1;
}

/* The end of the row that starts at t->at (its newline, or the end of the file): quotes may hold newlines. */
static int row_end(csv_table *t, size_t *end, nj_error *err)
{
    size_t row = t->at, p = row;
    int quoted = 0;
    for (;;) {
        for (; p < t->n; p++) {
            if (t->buffer[p] == '"')
                quoted = !quoted;
            else if (t->buffer[p] == '\n' && !quoted) {
                *end = p;
                return 1;
            }
        }
        size_t length = p - row;
        int rc = more(t, row, err);
        if (rc < 0) return -1;
        row = t->at;
        p = row + length;
        if (rc == 0) {
            if (quoted) return nj_fail(err, "%s:%llu: an open quote", t->path, (unsigned long long)t->line + 1);
            *end = p;
            return p > row;
        }
    }
}

/* One cell from p on: without blanks around it, without its quotes. Returns where the next one starts, NULL after the last. */
static char *one_cell(const csv_table *t, char *p, char *end, span *cell)
{
    while (p < end && *p == ' ') p++;
    if (p < end && *p == '"') {
        char *to = ++p;
        cell->text = p;
        for (; p < end; p++) {
            if (*p == '"' && p + 1 < end && p[1] == '"')
                p++;
            else if (*p == '"')
                break;
            *to++ = *p;
        }
        cell->n = (uint32_t)(to - cell->text);
        while (p < end && *p != t->separator) p++;
    } else {
        cell->text = p;
        if (t->separator == ' ')
            while (p < end && *p != ' ' && *p != '\t') p++;
        else
            while (p < end && *p != t->separator) p++;
        cell->n = (uint32_t)(p - cell->text);
    }
    while (cell->n && isspace((unsigned char)*cell->text)) cell->text++, cell->n--;
    while (cell->n && isspace((unsigned char)cell->text[cell->n - 1])) cell->n--;
    return p < end ? p + 1 : NULL;
}

/* Cuts the next row that is neither blank nor a comment: 1, 0 at the end, -1. */
static int next_row(csv_table *t, nj_error *err)
{
    for (;;) {
        size_t end = 0;
        int rc = row_end(t, &end, err);
        if (rc <= 0) return rc;
        char *p = t->buffer + t->at, *stop = t->buffer + end;
        for (char *q = p; q < stop; q++) t->line += *q == '\n';
        t->line++;
        t->at = end < t->n ? end + 1 : end;
        while (stop > p && (stop[-1] == '\r' || (t->separator != '\t' && isspace((unsigned char)stop[-1])))) stop--;
        if (p == stop) continue;
        if (*p == '#') {
            if (strstr(p, "delimiter: ','") && strstr(p, "delimiter: ','") < stop) t->separator = ',';
            continue;
        }
        t->n_cells = 0;
        while (p) {
            if (t->n_cells == MOST_COLUMNS)
                return nj_fail(err, "%s:%llu: more than %d columns", t->path, (unsigned long long)t->line, MOST_COLUMNS);
            p = one_cell(t, p, stop, &t->cell[t->n_cells++]);
        }
        return 1;
    }
}

/* The separator that the header has most of. */
static char guess_separator(const char *head, const char *end)
{
    static const char known[] = ",\t;|";
    char best = ',';
    long most = 0;
    for (const char *s = known; *s; s++) {
        long n = 0;
        int quoted = 0;
        for (const char *p = head; p < end && *p != '\n'; p++) {
            if (*p == '"') quoted = !quoted;
            n += *p == *s && !quoted;
        }
        if (n > most) {
            most = n;
            best = *s;
        }
    }
    if (!most) /* ECSV's default */
        for (const char *p = head; p < end && *p != '\n'; p++)
            if (*p == ' ' && p > head && p[1] != ' ' && p[1] != '\n') return ' ';
    return best;
}

/* What writers put where there is no value. */
static int is_null(const span *c)
{
    return !c->n || (c->n == 4 && !strncasecmp(c->text, "null", 4)) ||
           (c->n == 2 && (!memcmp(c->text, "\\N", 2) || !memcmp(c->text, "--", 2)));
}

static nj_type type_of(const span *cell, nj_type so_far)
{
    char text[64], *end;
    if (is_null(cell) || so_far == NJ_STR) return so_far;
    if (cell->n >= sizeof text) return NJ_STR;
    memcpy(text, cell->text, cell->n);
    text[cell->n] = 0;
    if (so_far == NJ_I64) {
        strtoll(text, &end, 10);
        if (!*end && cell->n < 19) return NJ_I64;
    }
    strtod(text, &end);
    return *end ? NJ_STR : NJ_F64;
}

static void close_table(nj_table *table)
{
    csv_table *t = (csv_table *)table;
    if (t->file) gzclose(t->file);
    free(t->select);
    free(t->cell);
    free(t->buffer);
    free(t->path);
    free(table->column);
    free(t);
}

static int start(csv_table *t, nj_error *err)
{
    if (t->file) gzclose(t->file);
    t->file = gzopen(t->path, "rb");
    if (!t->file) return nj_fail(err, "%s: cannot be opened", t->path);
    gzbuffer(t->file, 1 << 17);
    t->at = t->n = 0;
    t->end = 0;
    t->line = 0;
    int rc = more(t, 0, err);
    if (rc < 0) return -1;
    if (t->n >= 3 && !memcmp(t->buffer, "\xef\xbb\xbf", 3)) t->at = 3;
    return 0;
}

static int read_header(csv_table *t, nj_error *err)
{
    const char *head = t->buffer + t->at, *end = t->buffer + t->n;
    while (head < end && *head == '#') {
        const char *newline = memchr(head, '\n', (size_t)(end - head));
        head = newline ? newline + 1 : end;
    }
    t->separator = guess_separator(head, end);
    int rc = next_row(t, err);
    t->header_rows = 1;
    if (rc > 0 && t->n_cells == 1) { /* a title of one cell, such as the date that the TNS puts there */
        head = t->buffer + t->at;
        t->separator = guess_separator(head, end);
        rc = next_row(t, err);
        t->header_rows++;
    }
    if (rc < 0) return -1;
    if (rc == 0 || t->n_cells < 2) return nj_fail(err, "%s: no header with two columns or more", t->path);
    t->table.n_columns = t->n_cells;
    t->table.column = calloc(t->n_cells, sizeof *t->table.column);
    if (!t->table.column) return nj_fail(err, "%s: no memory", t->path);
    for (uint32_t i = 0; i < t->n_cells; i++) {
        snprintf(t->table.column[i].name, sizeof t->table.column[i].name, "%.*s", (int)t->cell[i].n, t->cell[i].text);
        t->table.column[i].type = NJ_I64;
    }
    return 0;
}

static nj_table *open_table(const char *path, nj_error *err)
{
    struct stat st;
    csv_table *t = calloc(1, sizeof *t);
    if (t) t->table.class = &nj_table_csv;
    if (!t || !(t->path = strdup(path)) || !(t->buffer = malloc(FIRST_BUFFER + 1)) ||
        !(t->cell = calloc(MOST_COLUMNS, sizeof *t->cell))) {
        nj_fail(err, "%s: no memory", path);
        goto fail;
    }
    t->cap = FIRST_BUFFER;
    t->size = stat(path, &st) ? 0 : st.st_size;
    if (start(t, err) || read_header(t, err)) goto fail;
    for (int row = 0; row < SAMPLE_ROWS; row++) {
        int rc = next_row(t, err);
        if (rc < 0) goto fail;
        if (rc == 0) break;
        for (uint32_t i = 0; i < t->n_cells && i < t->table.n_columns; i++)
            t->table.column[i].type = type_of(&t->cell[i], t->table.column[i].type);
    }
    if (start(t, err)) goto fail;
    for (int i = 0; i < t->header_rows; i++)
        if (next_row(t, err) != 1) goto fail;
    return &t->table;
fail:
    if (t) close_table(&t->table);
    return NULL;
}

static int select_columns(nj_table *table, const uint32_t *column, uint32_t n, nj_error *err)
{
    csv_table *t = (csv_table *)table;
    t->select = malloc((n + 1) * sizeof *column);
    if (!t->select) return nj_fail(err, "%s: no memory", t->path);
    memcpy(t->select, column, n * sizeof *column);
    t->n_select = n;
    return 0;
}

static int next(nj_table *table, nj_cell *cell, nj_error *err)
{
    csv_table *t = (csv_table *)table;
    int rc = next_row(t, err);
    if (rc <= 0) return rc;
    if (t->n_cells != table->n_columns && t->n_cells > 1)
        return nj_fail(err, "%s:%llu: %u cells where the header has %u", t->path, (unsigned long long)t->line, t->n_cells,
                       table->n_columns);
    for (uint32_t i = 0; i < t->n_select; i++) {
        const span *s = &t->cell[t->select[i]];
        int there = t->select[i] < t->n_cells && !is_null(s);
        cell[i] = (nj_cell){ .kind = there ? NJ_CELL_TEXT : NJ_CELL_NULL, .text = s->text, .n_text = s->n };
    }
    return 1;
}

static double done(const nj_table *table)
{
    const csv_table *t = (const csv_table *)table;
    return t->size ? (double)gzoffset(t->file) / (double)t->size : 0;
}

const nj_table_class nj_table_csv = {
    .name = "CSV", .match = match, .open = open_table, .select = select_columns, .next = next, .done = done, .close = close_table
};
