/* values.c - reference values: a table of inputs and expected outputs, data/ref/<instance>.csv. Lines "# ..."
 * are the values' origin; "# tolerance 1e-9" is relative (absolute below 1). Then a header of paths (needs)
 * and "=give" or "=reason" columns, and rows; a cell is empty for null; the points of a series are separated
 * by blanks, a null point is "-". Needs without a column are absent. A stamp is @gauss(ROWS,COLS,sigma=S),
 * @flat(ROWS,COLS,value=V), @made(KIND,SEED), or @FILE.fits beside the table. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../base/reason.h"
#include "../image/fits.h"
#include "nightjar/csv.h"
#include "rules.h"

enum { MAX_SIDE = 4096, MAX_PIXELS = MAX_SIDE * MAX_SIDE, MAX_FITS = 256 << 20 };

double nj_check_tolerance(const nj_check *c, const char *key, double otherwise)
{
    const char *at = c->values ? strstr(c->values, key) : NULL;
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

/* ---- cells to columns ------------------------------------------------------------------------ */

typedef struct table {
    nj_check *c;
    nj_csv csv;
    nj_arena names;
    char *head[NJ_CSV_COLUMNS];
    uint32_t n_head, n_rows;
    double tolerance;
} table;

/* Stores a number of a cell. NULL, or what is wrong with it. */
static const char *store(nj_type type, void *data, size_t i, const char *word)
{
    char *end;
    const double v = strtod(word, &end);
    if (end == word || *end) return "is no number";
    nj_made_store(type, data, i, v);
    if (type == NJ_F32 || type == NJ_F64 || isnan(v)) return NULL;
    if (v != floor(v)) return "is no whole number";
    if (type == NJ_I64) { /* all of its digits, where it is written as an integer */
        errno = 0;
        const int64_t whole = strtoll(word, &end, 10);
        if (errno) return "is beyond the column's type";
        if (!*end) ((int64_t *)data)[i] = whole;
    }
    return isnan(nj_number(type, data, i)) ? "is beyond the column's type" : NULL;
}

static void wrong_cell(const table *t, uint32_t k, const char *cell, const char *what)
{
    nj_check_wrong(t->c, "a cell is empty for null; points have blanks between them, and a null point is -",
                   "line %u: %s: '%.40s' %s", t->csv.line, t->c->in->need[k].path, cell, what);
}

static void fill_scalar(const table *t, nj_made_batch *b, uint32_t k, const char *cell)
{
    const nj_need *need = &b->in->need[k];
    void *data = nj_arena_zalloc(&b->arena, nj_type_size(need->type));
    const char *wrong = NULL;
    if (!data) return;
    nj_fill_null(need->type, data, 1);
    if (*cell && need->type == NJ_STR)
        *(const char **)data = nj_arena_text(&b->arena, cell, strlen(cell));
    else if (*cell && (wrong = store(need->type, data, 0, cell)))
        wrong_cell(t, k, cell, wrong);
    b->col[k] = (nj_col){ data, NULL };
}

/* Columns of one light curve have the same points: a module takes the number of one for that of all.
 * Returned: one that has its cell already, or n_needs. */
static uint32_t like(const nj_made_batch *b, uint32_t k)
{
    uint32_t j = 0;
    while (j < b->in->n_needs &&
           (j == k || !b->col[j].off || !nj_made_is_like(b->in->need[j].path, b->in->need[k].path)))
        j++;
    return j;
}

static void compare_points(const table *t, const nj_made_batch *b, uint32_t k, uint32_t n)
{
    const uint32_t j = like(b, k);
    if (j < b->in->n_needs && b->col[j].off[1] != n)
        nj_check_wrong(t->c, "a null point is -", "line %u: %s has %u points, and %s %u", t->csv.line,
                       b->in->need[k].path, n, b->in->need[j].path, b->col[j].off[1]);
}

/* A need without a column: as many null points as the light curve has, or made ones. */
static int fill_absent(nj_made_batch *b, uint32_t k)
{
    const nj_need *need = &b->in->need[k];
    const uint32_t j = need->shape == NJ_SERIES ? like(b, k) : b->in->n_needs;
    if (j == b->in->n_needs) return nj_made_need(b, k);
    const uint32_t *off = b->col[j].off;
    void *data = nj_arena_zalloc(&b->arena, (off[1] + 1) * nj_type_size(need->type));
    if (!data) return -1;
    nj_fill_null(need->type, data, off[1]);
    b->col[k] = (nj_col){ data, off };
    return 0;
}

static void fill_series(const table *t, nj_made_batch *b, uint32_t k, const char *text)
{
    const char *wrong;
    char *cell = nj_arena_text(&b->arena, text, strlen(text)), *rest = NULL;
    const nj_need *need = &b->in->need[k];
    uint32_t n = 0, *off = nj_arena_zalloc(&b->arena, 2 * sizeof *off);
    char *data = nj_arena_alloc(&b->arena, (strlen(text) + 1) * nj_type_size(need->type));
    if (!cell || !off || !data) return;
    for (char *word = strtok_r(cell, " ", &rest); word; word = strtok_r(NULL, " ", &rest), n++) {
        if (need->type == NJ_STR)
            ((const char **)(void *)data)[n] = strcmp(word, "-") ? word : NULL;
        else if (!strcmp(word, "-"))
            nj_made_store(need->type, data, n, NAN);
        else if ((wrong = store(need->type, data, n, word)))
            return wrong_cell(t, k, word, wrong);
    }
    off[1] = n;
    compare_points(t, b, k, n);
    b->col[k] = (nj_col){ data, off };
}

/* "key=" of a stamp's words, or what else is meant. */
static double word_of(const char *cell, const char *key, double otherwise)
{
    const char *at = strstr(cell, key);
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static bool read_fits(nj_check *c, nj_made_batch *b, const char *name, nj_image *image)
{
    char path[1024];
    size_t size = 0;
    const char *why = "it cannot be read";
    snprintf(path, sizeof path, "%s/%s", c->values_folder ? c->values_folder : ".", name);
    char *bytes = nj_file_read(path, MAX_FITS, &size);
    nj_fits_result got = NJ_FITS_BAD;
    if (bytes) got = nj_fits_plain((const uint8_t *)bytes, size, MAX_PIXELS, &b->arena, image, &why);
    if (got == NJ_FITS_UNUSUAL)
        got = nj_fits_by_cfitsio((const uint8_t *)bytes, size, 0, MAX_PIXELS, &b->arena, image, &why);
    free(bytes);
    if (got != NJ_FITS_OK) nj_check_wrong(c, NULL, "%s: %s", path, why);
    return got == NJ_FITS_OK;
}

static void fill_image(nj_check *c, nj_made_batch *b, uint32_t k, const char *cell)
{
    uint32_t rows = 0, cols = 0;
    nj_image *image = nj_arena_zalloc(&b->arena, sizeof *image);
    if (!*cell || !image) return;
    bool gauss = sscanf(cell, "@gauss(%" SCNu32 ",%" SCNu32, &rows, &cols) == 2,
         flat = !gauss && sscanf(cell, "@flat(%" SCNu32 ",%" SCNu32, &rows, &cols) == 2;
    size_t n = strlen(cell);
    if (!gauss && !flat) {
        if (cell[0] != '@' || n < 6 || strcmp(cell + n - 5, ".fits"))
            nj_check_wrong(c, "@gauss(63,63,sigma=2), @flat(63,63,value=0) or @NAME.fits",
                           "need %s: '%.60s' is no stamp", b->in->need[k].path, cell);
        else if (read_fits(c, b, cell + 1, image))
            b->image[k] = image;
        return;
    }
    if (!rows || !cols || rows > MAX_SIDE || cols > MAX_SIDE)
        return nj_check_wrong(c, NULL, "need %s: '%.60s': 1 to %d rows and columns", b->in->need[k].path,
                              cell, MAX_SIDE);
    float *pixel = nj_arena_alloc(&b->arena, (size_t)rows * cols * sizeof *pixel);
    if (!pixel) return;
    double sigma = word_of(cell, "sigma=", 2), peak = word_of(cell, "peak=", 1),
           base = word_of(cell, "base=", 0), value = word_of(cell, "value=", 0),
           x0 = word_of(cell, "x=", (cols - 1) / 2.0), y0 = word_of(cell, "y=", (rows - 1) / 2.0);
    for (uint32_t i = 0; i < rows * cols; i++) {
        double dx = i % cols - x0, dy = i / cols - y0;
        pixel[i] = (float)(flat ? value : base + peak * exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)));
        image->n_nan += isnan(pixel[i]);
    }
    image->pixel = pixel;
    image->rows = rows;
    image->cols = cols;
    b->image[k] = image;
}

static uint32_t need_index(const nj_instance *in, const char *path)
{
    uint32_t k = 0;
    while (k < in->n_needs && strcmp(in->need[k].path, path)) k++;
    return k;
}

/* @made(KIND,SEED): the row's kind and seed are those; its needs without a cell, its stamps and texts follow
 * from them. */
static bool is_made(const char *cell, nj_made_row *row)
{
    int kind;
    uint64_t seed;
    if (sscanf(cell, "@made(%d,%" SCNu64 ")", &kind, &seed) != 2 || kind < 0 || kind >= NJ_MADE_KINDS)
        return false;
    *row = (nj_made_row){ (nj_made_kind)kind, seed };
    return true;
}

/* ---- what is expected ------------------------------------------------------------------------ */

static void expect_reason(const table *t, const nj_made_batch *b, const char *cell)
{
    const char *got = b->reason[0] < NJ_REASONS ? nj_reason_name[b->reason[0]] : "none";
    if (strcmp(got, cell))
        nj_check_wrong(t->c, NULL, "line %u: reason is %s, expected %s", t->csv.line, got, cell);
}

static void expect_cell(const table *t, const nj_made_batch *b, const char *name, const char *cell)
{
    uint32_t k = 0;
    if (!strcmp(name, "reason")) return expect_reason(t, b, cell);
    while (strcmp(b->in->give[k].name, name)) k++; /* the header was checked */
    nj_type type = b->in->give[k].type;
    if (type == NJ_STR) {
        const char *got = *(const char *const *)b->out[k];
        if (strcmp(got ? got : "", cell))
            nj_check_wrong(t->c, NULL, "line %u: %s is '%s', expected '%s'", t->csv.line, name,
                           got ? got : "", cell);
        return;
    }
    size_t at, n = nj_made_width(b, k, 0, &at);
    for (size_t e = 0; e < n; e++) {
        const char *word = cell;
        size_t length = strcspn(cell, " ");
        bool null = length == 0 || (length == 1 && *word == '-');
        char *end = NULL;
        double want = null ? NAN : strtod(word, &end), got = nj_number(type, b->out[k], at + e);
        if (!null && end != word + length)
            return nj_check_wrong(t->c, NULL, "line %u: =%s: '%.40s' is no number", t->csv.line, name, word);
        bool same = nj_check_near(got, want, t->tolerance);
        if (type == NJ_I64 && !null) same &= ((const int64_t *)b->out[k])[at + e] == strtoll(word, NULL, 10);
        if (!same)
            nj_check_wrong(t->c, "\"# tolerance 1e-6\" in the table states another tolerance",
                           n > 1 ? "line %u: %s[%zu] is %.17g, expected %.17g"
                                 : "line %u: %s%.0zu is %.17g, expected %.17g",
                           t->csv.line, name, n > 1 ? e : (size_t)0, got, want);
        cell += length;
        cell += *cell == ' ';
    }
    if (*cell)
        nj_check_wrong(t->c, NULL, "line %u: =%s has more values than the %zu of the row", t->csv.line, name,
                       n);
}

/* ---- what it answers ------------------------------------------------------------------------- */

static void write_text(FILE *f, const char *text)
{
    if (!text) {
        fputs("null", f);
        return;
    }
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(f, "\\u%04x", *p);
        else
            fputc(*p, f);
    fputc('"', f);
}

static void write_element(FILE *f, nj_type type, const void *data, size_t i)
{
    const double v = type == NJ_STR ? 0 : nj_number(type, data, i);
    if (type == NJ_STR)
        write_text(f, ((const char *const *)data)[i]);
    else if (isnan(v))
        fputs("null", f);
    else if (isinf(v))
        fputs(v > 0 ? "1e999" : "-1e999", f);
    else if (type == NJ_I64)
        fprintf(f, "%" PRId64, ((const int64_t *)data)[i]);
    else { /* of a column of fractions also 2 is one: 2.0 */
        char text[40];
        snprintf(text, sizeof text, "%.17g", v);
        const bool whole = (type == NJ_F32 || type == NJ_F64) && !text[strcspn(text, ".e")];
        fprintf(f, "%s%s", text, whole ? ".0" : "");
    }
}

static void write_answer(FILE *f, const nj_made_batch *b)
{
    fputc('{', f);
    for (uint32_t k = 0; k < b->in->n_gives; k++) {
        const nj_give *give = &b->in->give[k];
        size_t at, n = b->out[k] ? nj_made_width(b, k, 0, &at) : 0;
        const bool list = give->width != 1;
        write_text(f, give->name);
        fputs(list ? ": [" : ": ", f);
        for (size_t i = 0; i < n; i++) {
            if (i) fputs(", ", f);
            write_element(f, give->type, b->out[k], at + i);
        }
        if (!list && !n) fputs("null", f);
        fputs(list ? "], " : ", ", f);
    }
    fprintf(f, "\"reason\": \"%s\"}\n", b->reason[0] < NJ_REASONS ? nj_reason_name[b->reason[0]] : "failed");
}

/* ---- the table ------------------------------------------------------------------------------- */

static void look_at_row(table *t, nj_made_thread *thread)
{
    nj_check *c = t->c;
    const nj_instance *in = c->in;
    nj_made_row row = { NJ_MADE_ALL_NULL, t->csv.line };
    nj_made_batch b;
    bool made = false;
    for (uint32_t i = 0; i < t->csv.n; i++) made |= is_made(t->csv.cell[i], &row);
    if (nj_made_begin(&b, in, &row, 1)) nj_check_no_memory(c);
    if (!made) b.id[0] = t->csv.line;
    c->row = row;
    c->has_row = made;
    for (uint32_t i = 0; i < t->csv.n && c->verdict != NJ_CHECKED_WRONG; i++) {
        const char *cell = t->csv.cell[i];
        uint32_t k = need_index(in, t->head[i]);
        nj_made_row ignored;
        if (k == in->n_needs || is_made(cell, &ignored)) continue;
        if (in->need[k].shape == NJ_IMAGE)
            fill_image(c, &b, k, cell);
        else if (in->need[k].shape == NJ_SERIES)
            fill_series(t, &b, k, cell);
        else
            fill_scalar(t, &b, k, cell);
    }
    for (uint32_t k = 0; k < in->n_needs && c->verdict != NJ_CHECKED_WRONG; k++)
        if (!b.col[k].data && (made || !(in->need[k].flags & NJ_NEED_OPTIONAL)) &&
            (made ? nj_made_need(&b, k) : fill_absent(&b, k)))
            nj_check_no_memory(c);
    if (b.arena.failed || nj_made_clear(&b)) nj_check_no_memory(c);
    if (c->verdict != NJ_CHECKED_WRONG) {
        int rc = nj_made_call_all(&b, thread, in->module->process, 1);
        if (rc != NJ_OK)
            nj_check_wrong(c, NULL, "line %u: process() gave %d", t->csv.line, rc);
        else if (made)
            nj_check_answer(c, &b, 0);
    }
    if (c->answers && c->verdict != NJ_CHECKED_WRONG) write_answer(c->answers, &b);
    for (uint32_t i = 0; i < t->csv.n && c->verdict != NJ_CHECKED_WRONG; i++)
        if (t->head[i][0] == '=') expect_cell(t, &b, t->head[i] + 1, t->csv.cell[i]);
    nj_made_free(&b);
    t->n_rows++;
}

static bool is_expected(const nj_instance *in, const char *name)
{
    if (!strcmp(name, "reason")) return true;
    for (uint32_t k = 0; k < in->n_gives; k++)
        if (!strcmp(in->give[k].name, name)) return true;
    return false;
}

static void take_header(table *t)
{
    for (uint32_t i = 0; i < t->csv.n; i++) {
        const char *name = t->csv.cell[i];
        t->head[i] = nj_arena_text(&t->names, name, strlen(name));
        if (!t->head[i]) nj_check_no_memory(t->c);
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(t->head[j], name))
                nj_check_wrong(t->c, NULL, "line %u: column %s is there twice", t->csv.line, name);
        if (name[0] == '=' ? !is_expected(t->c->in, name + 1)
                           : need_index(t->c->in, name) == t->c->in->n_needs)
            nj_check_wrong(t->c, "paths as they stand in the needs; =NAME for a give, =reason",
                           "line %u: column %s: the module has no such %s", t->csv.line, name,
                           name[0] == '=' ? "give" : "need");
    }
    t->n_head = t->csv.n;
}

void nj_check_values(nj_check *c)
{
    if (!c->values) return nj_check_none(c, "there is no table of them");
    table t = { .c = c,
                .csv = { .at = c->values, .end = c->values + strlen(c->values) },
                .tolerance = nj_check_tolerance(c, "# tolerance ", 1e-12) };
    nj_made_thread thread;
    int rc = nj_made_thread_open(&thread, c->in), more = 1;
    if (rc != NJ_OK) return nj_check_wrong(c, NULL, "thread_open() gave %d", rc);
    while (c->verdict != NJ_CHECKED_WRONG && (more = nj_csv_row(&t.csv)) == 1) {
        if (t.csv.cell[0][0] == '#') continue;
        if (!t.n_head)
            take_header(&t);
        else if (t.csv.n != t.n_head)
            nj_check_wrong(c, NULL, "line %u: %u cells, the header has %u", t.csv.line, t.csv.n, t.n_head);
        else
            look_at_row(&t, &thread);
    }
    if (more < 0) nj_check_wrong(c, NULL, "line %u: not a CSV table", t.csv.line);
    if (!t.n_rows) nj_check_wrong(c, NULL, "the table has no row");
    nj_csv_free(&t.csv);
    nj_arena_free(&t.names);
    nj_made_thread_close(&thread);
    nj_check_note(c, "%u rows within %g", t.n_rows, t.tolerance);
}

/* ---- a row as a table ------------------------------------------------------------------------ */

static void write_cell(FILE *f, const nj_made_batch *b, uint32_t k)
{
    const nj_need *need = &b->in->need[k];
    const nj_col *col = &b->col[k];
    if (need->shape == NJ_IMAGE || need->type == NJ_STR) {
        fprintf(f, "\"@made(%d,%" PRIu64 ")\"", (int)b->row->kind, b->row->seed);
        return;
    }
    uint32_t n = col->off ? col->off[1] : 1;
    for (uint32_t i = 0; i < n; i++) {
        double v = nj_number(need->type, col->data, i);
        if (i) fputc(' ', f);
        if (need->type == NJ_I64 && ((const int64_t *)col->data)[i] != NJ_NO_I64)
            fprintf(f, "%" PRId64, ((const int64_t *)col->data)[i]);
        else if (!isnan(v))
            fprintf(f, "%.17g", v);
        else if (col->off)
            fputc('-', f);
    }
}

int nj_check_write_row(const nj_check *c, const char *path)
{
    nj_made_batch b;
    FILE *f = fopen(path, "w");
    if (!f || nj_made_build(&b, c->in, &c->row, 1)) return f ? fclose(f), -1 : -1;
    fprintf(f, "# %s: a made row, kind %d (%s), seed %" PRIu64 ": %s\n", c->in->name, (int)c->row.kind,
            nj_made_kind_name[c->row.kind], c->row.seed, c->what);
    for (uint32_t k = 0; k < c->in->n_needs; k++) fprintf(f, "%s%s", k ? "," : "", c->in->need[k].path);
    fputc('\n', f);
    for (uint32_t k = 0; k < c->in->n_needs; k++) {
        if (k) fputc(',', f);
        write_cell(f, &b, k);
    }
    fputc('\n', f);
    nj_made_free(&b);
    return fclose(f) ? -1 : 0;
}
