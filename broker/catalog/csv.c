/* csv.c - text tables row by row: commas, tabs, semicolons, bars or fixed columns, quotes, blanks around
 * cells, gzip. */
#include "text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

enum { SAMPLE_ROWS = 10000, FIRST_BUFFER = 1 << 18, MOST_ROW_BYTES = 1 << 26 };

static int match(const char *path, const unsigned char *first, size_t n)
{
    (void)path;
    if (n >= 2 && first[0] == 0x1f && first[1] == 0x8b) return 1;
    for (size_t i = 0; i < n; i++)
        if (!first[i]) return 0; /* any text: a header is asked for later */
    return n > 0;
}

/* More bytes behind the present ones; 0 at the end, -1 on damage. Moves the present row to the front. */
int nj_text_more(nj_text_table *t, size_t row, nj_error *err)
{
    if (t->end) return 0;
    memmove(t->buffer, t->buffer + row, t->n - row);
    t->n -= row;
    t->at -= row;
    if (t->cap - t->n < t->cap / 2) {
        if (t->cap > MOST_ROW_BYTES)
            return nj_fail(err, "%s:%llu: a row of more than 64 MiB: an open quote?", t->table.path,
                           (unsigned long long)t->line);
        char *buffer = realloc(t->buffer, 2 * t->cap + 1);
        if (!buffer) return nj_table_no_memory(&t->table, err);
        t->buffer = buffer;
        t->cap *= 2;
    }
    int got = gzread(t->file, t->buffer + t->n, (unsigned)(t->cap - t->n));
    int why;
    if (got < 0 || (got == 0 && !gzeof(t->file)))
        return nj_fail(err, "%s: does not unpack: %s", t->table.path, gzerror(t->file, &why));
    if (got == 0) {
        gzerror(t->file, &why);
        if (why == Z_BUF_ERROR) return nj_fail(err, "%s: is truncated", t->table.path);
        t->end = 1;
        return 0;
    }
    t->n += (size_t)got;
    t->buffer[t->n] = 0;
    return 1;
}

/* The end of the row that starts at t->at (its newline, or the end of the file). A quote at the start of a
 * cell may hold newlines; within a cell, in a comment and in fixed columns it is a
 * character like any other. */
static int row_end(nj_text_table *t, size_t *end, nj_error *err)
{
    size_t row = t->at, p = row;
    int quoted = 0, closed = 0, fresh = 1; /* closed: by the character before; fresh: no cell has begun */
    for (;;) {
        const char *line = t->buffer + row, *newline = p == row ? memchr(line, '\n', t->n - row) : NULL;
        int plain = t->n_bars || (row < t->n && *line == '#');
        if (newline && (plain || !memchr(line, '"', (size_t)(newline - line)))) {
            *end = (size_t)(newline - t->buffer);
            return 1;
        }
        for (; p < t->n; p++) {
            char c = t->buffer[p];
            if (c == '\n' && !quoted) {
                *end = p;
                return 1;
            }
            if (c == '"' && !plain && (quoted || fresh || closed)) {
                closed = quoted;
                quoted = !quoted;
                fresh = 0;
                continue;
            }
            closed = 0;
            if (!quoted)
                fresh = c == t->separator || (t->separator == ' ' && c == '\t') || (fresh && c == ' ');
        }
        size_t length = p - row;
        int rc = nj_text_more(t, row, err);
        if (rc < 0) return -1;
        row = t->at;
        p = row + length;
        if (rc == 0) {
            if (quoted)
                return nj_fail(err, "%s:%llu: an open quote", t->table.path, (unsigned long long)t->line + 1);
            *end = p;
            return p > row;
        }
    }
}

/* One cell from p on: without blanks around it, without its quotes.
 * Returns where the next one starts, NULL after the last. */
static char *one_cell(const nj_text_table *t, char *p, char *end, nj_span *cell)
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

/* An IPAC row: cells stand between the bars of the header, the last one to the end of the line. */
static int cut_fixed(nj_text_table *t, char *p, char *stop, nj_error *err)
{
    size_t length = (size_t)(stop - p);
    for (uint32_t i = 0; i + 1 < t->n_bars; i++)
        if (t->bar[i] < length && !isspace((unsigned char)p[t->bar[i]]))
            return nj_fail(
                err, "%s:%llu: a value stands where the header of this IPAC table has a bar (character %u)",
                t->table.path, (unsigned long long)t->line, t->bar[i] + 1);
    for (uint32_t i = 0; i + 1 < t->n_bars; i++) {
        size_t from = t->bar[i] < length ? t->bar[i] : length,
               to = t->bar[i + 1] < length ? t->bar[i + 1] : length;
        if (i + 2 == t->n_bars) to = length;
        char *text = p + from, *end = p + to;
        while (text < end && isspace((unsigned char)*text)) text++;
        while (end > text && isspace((unsigned char)end[-1])) end--;
        t->cell[t->n_cells++] = (nj_span){ text, (uint32_t)(end - text) };
    }
    return 1;
}

/* The header's comments, a line each: ECSV's types and names in a comment are read from them. */
static int keep_comment(nj_text_table *t, const char *p, const char *stop)
{
    size_t had = t->comment ? strlen(t->comment) : 0, n = (size_t)(stop - p);
    if (had + n > MOST_ROW_BYTES) return -1;
    char *text = realloc(t->comment, had + n + 2);
    if (!text) return -1;
    t->comment = text;
    for (size_t i = 0; i < n; i++) text[had + i] = p[i] ? p[i] : ' '; /* a NUL would end the text */
    memcpy(text + had + n, "\n", 2);
    return 0;
}

int nj_text_row(nj_text_table *t, nj_error *err)
{
    for (;;) {
        size_t end = 0;
        int rc = row_end(t, &end, err);
        if (rc <= 0) return rc;
        char *p = t->buffer + t->at, *stop = t->buffer + end;
        for (char *q = p; q < stop; q++) t->line += *q == '\n';
        t->line++;
        t->at = end < t->n ? end + 1 : end;
        while (stop > p && (stop[-1] == '\r' || (t->separator != '\t' && isspace((unsigned char)stop[-1]))))
            stop--;
        if (p == stop) continue;
        if (*p == '#') {
            if (t->data_line && t->line > t->data_line && stop - p > 8 && !memcmp(p, "#Column", 7))
                t->second_table = 1;
            if (t->keep_comments && keep_comment(t, p + 1, stop)) return nj_table_no_memory(&t->table, err);
            continue;
        }
        if (t->second_table)
            return nj_fail(err, "%s:%llu: a second table begins here; save each as a file of its own",
                           t->table.path, (unsigned long long)t->line);
        t->n_cells = 0;
        if (t->n_bars) {
            if (!t->in_rows && (*p == '\\' || *p == '|')) continue;
            t->in_rows = 1;
            return cut_fixed(t, p, stop, err);
        }
        while (p) {
            if (t->n_cells == NJ_TEXT_COLUMNS)
                return nj_fail(err, "%s:%llu: a text table of more than %d columns", t->table.path,
                               (unsigned long long)t->line, NJ_TEXT_COLUMNS);
            p = one_cell(t, p, stop, &t->cell[t->n_cells++]);
        }
        return 1;
    }
}

static void close_table(nj_table *table)
{
    nj_text_table *t = (nj_text_table *)table;
    if (t->file) gzclose(t->file);
    free(t->bar);
    free(t->null);
    free(t->comment);
    free(t->cell);
    free(t->buffer);
    nj_table_free(table);
}

static int start(nj_text_table *t, nj_error *err)
{
    if (t->file) gzclose(t->file);
    t->file = gzopen(t->table.path, "rb");
    if (!t->file) return nj_fail(err, "%s: cannot be opened", t->table.path);
    gzbuffer(t->file, 1 << 17);
    t->at = t->n = 0;
    t->end = 0;
    t->line = 0;
    t->in_rows = t->second_table = 0;
    int rc = nj_text_more(t, 0, err);
    if (rc < 0) return -1;
    if (t->n >= 3 && !memcmp(t->buffer, "\xef\xbb\xbf", 3)) t->at = 3;
    return 0;
}

/* Back to the start, and over the header. */
static int from_first_row(nj_text_table *t, nj_error *err)
{
    if (start(t, err)) return -1;
    while (t->line < t->data_line) {
        int rc = nj_text_row(t, err);
        if (rc < 0) return -1;
        if (rc == 0) return nj_fail(err, "%s: changed while it was read", t->table.path);
    }
    return 0;
}

static int is_declared_null(const nj_text_table *t, uint32_t column)
{
    const char *null = t->null ? t->null[column] : "";
    return *null && strlen(null) == t->cell[column].n &&
           !memcmp(null, t->cell[column].text, t->cell[column].n);
}

/* Types of the columns that declare none, by the rows up to `most`. */
static int guess_types(nj_text_table *t, uint64_t most, nj_error *err)
{
    nj_table_column *column = t->table.column;
    for (uint64_t row = 0; row < most; row++) {
        int rc = nj_text_row(t, err);
        if (rc < 0) return -1;
        if (rc == 0) break;
        for (uint32_t i = 0; i < t->n_cells && i < t->table.n_columns; i++)
            if (!column[i].declared && !is_declared_null(t, i))
                column[i].type = nj_text_type(&t->cell[i], column[i].type, &column[i].big);
    }
    for (uint32_t i = 0; i < t->table.n_columns; i++)
        if (!column[i].type) column[i].type = NJ_F64; /* no value at all so far */
    return 0;
}

static nj_table *open_table(const char *path, int every_row, nj_error *err)
{
    struct stat st;
    nj_text_table *t = nj_table_new(&nj_table_csv, sizeof *t, path, err);
    if (!t) return NULL;
    t->buffer = malloc(FIRST_BUFFER + 1);
    t->cell = calloc(NJ_TEXT_COLUMNS, sizeof *t->cell);
    if (!t->buffer || !t->cell) {
        nj_table_no_memory(&t->table, err);
        goto fail;
    }
    t->cap = FIRST_BUFFER;
    t->size = stat(path, &st) ? 0 : st.st_size;
    if (start(t, err) || nj_text_header(t, err)) goto fail;
    if (from_first_row(t, err) || guess_types(t, every_row ? UINT64_MAX : SAMPLE_ROWS, err)) goto fail;
    if (from_first_row(t, err)) goto fail;
    return &t->table;
fail:
    close_table(&t->table);
    return NULL;
}

static int next(nj_table *table, nj_table_cell *cell, nj_error *err)
{
    nj_text_table *t = (nj_text_table *)table;
    int rc = nj_text_row(t, err);
    if (rc <= 0) return rc;
    table->line = t->line;
    if (t->n_cells != table->n_columns && t->n_cells > 1)
        return nj_fail(err, "%s:%llu: %u cells where the header has %u", t->table.path,
                       (unsigned long long)t->line, t->n_cells, table->n_columns);
    for (uint32_t i = 0; i < t->table.n_select; i++) {
        const nj_span *s = &t->cell[t->table.select[i]];
        int there = t->table.select[i] < t->n_cells && !nj_text_is_null(s) &&
                    !is_declared_null(t, t->table.select[i]);
        cell[i] =
            (nj_table_cell){ .kind = there ? NJ_TABLE_TEXT : NJ_TABLE_NULL, .text = s->text, .n_text = s->n };
    }
    return 1;
}

static double done(const nj_table *table)
{
    const nj_text_table *t = (const nj_text_table *)table;
    return t->size ? (double)gzoffset(t->file) / (double)t->size : 0;
}

const nj_table_class nj_table_csv = { .name = "CSV",
                                      .match = match,
                                      .open = open_table,
                                      .select = nj_table_select,
                                      .next = next,
                                      .done = done,
                                      .close = close_table };
