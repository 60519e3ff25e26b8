/* dialect.c - what the first lines of a text table say: names, units and types, as CSV, ECSV, IPAC, VizieR
 * and TOPCAT write them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

/* --- cells --- */

int nj_text_is_null(const nj_span *c)
{
    return !c->n || (c->n == 4 && !strncasecmp(c->text, "null", 4)) ||
           (c->n == 2 && (!memcmp(c->text, "\\N", 2) || !memcmp(c->text, "--", 2)));
}

int nj_text_is_nan(const nj_span *c)
{
    return c->n == 3 && !strncasecmp(c->text, "nan", 3);
}

static nj_type type_of_integer(const char *text, nj_type so_far, char *big)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (digits[0] == '0' && digits[1]) return NJ_STR; /* an id such as 00123 */
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (errno || v == INT64_MIN) return NJ_STR;
    if (v > 1LL << 53 || v < -(1LL << 53)) *big = 1;
    if (so_far == NJ_F64) return *big ? NJ_STR : NJ_F64;
    return NJ_I64;
}

nj_type nj_text_type(const nj_span *cell, nj_type so_far, char *big)
{
    char text[64], *end;
    if (nj_text_is_null(cell) || nj_text_is_nan(cell) || so_far == NJ_STR) return so_far;
    if (cell->n >= sizeof text) return NJ_STR;
    memcpy(text, cell->text, cell->n);
    text[cell->n] = 0;
    size_t sign = *text == '-' || *text == '+';
    if (text[sign] && strspn(text + sign, "0123456789") == cell->n - sign)
        return type_of_integer(text, so_far, big);
    strtod(text, &end);
    return *end || strpbrk(text, "xX") || *big ? NJ_STR : NJ_F64;
}

static int is_number(const nj_span *cell)
{
    char big = 0;
    nj_type type = nj_text_type(cell, 0, &big);
    return type == NJ_I64 || type == NJ_F64 ||
           (type == NJ_STR && cell->n && strspn(cell->text, "0123456789") >= cell->n);
}

static int is_dashes(const nj_text_table *t)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->n_cells; i++) {
        for (uint32_t k = 0; k < t->cell[i].n; k++)
            if (t->cell[i].text[k] != '-') return 0;
        if (t->cell[i].n > longest) longest = t->cell[i].n;
    }
    return longest > 2;
}

static int is_unit(const nj_span *c)
{
    static const char *const known[] = { "deg",    "degree", "degrees",  "rad",       "h",   "hr",
                                         "hour",   "hours",  "h:m:s",    "d:m:s",     "mag", "mas",
                                         "arcsec", "mas/yr", "mas.yr-1", "arcsec/yr", "yr",  "d",
                                         "day",    "km/s",   "Jy",       "mJy",       "pix" };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strlen(known[k]) == c->n && !strncasecmp(c->text, known[k], c->n)) return 1;
    return 0;
}

/* A row of units with no dashes below it: words only, two of them well-known units. */
static int is_unit_row(const nj_text_table *t)
{
    int n = 0;
    for (uint32_t i = 0; i < t->n_cells; i++) {
        if (is_number(&t->cell[i])) return 0;
        n += is_unit(&t->cell[i]);
    }
    return n > 1;
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

/* --- names --- */

static int make_columns(nj_text_table *t, uint32_t n, nj_error *err)
{
    t->table.n_columns = n;
    t->table.column = calloc(n + 1, sizeof *t->table.column);
    return t->table.column ? 0 : nj_table_no_memory(&t->table, err);
}

static void set_text(char *to, size_t room, const char *text, size_t n)
{
    while (n && isspace((unsigned char)*text)) text++, n--;
    while (n && isspace((unsigned char)text[n - 1])) n--;
    snprintf(to, room, "%.*s", (int)n, text);
}

static void set_units(nj_text_table *t)
{
    for (uint32_t i = 0; i < t->n_cells && i < t->table.n_columns; i++)
        set_text(t->table.column[i].unit, sizeof t->table.column[i].unit, t->cell[i].text, t->cell[i].n);
}

static void declare(nj_table_column *c, nj_type type)
{
    c->type = type;
    c->declared = 1;
}

/* --- IPAC: bars above fixed columns, and up to four lines of names, types, units, nulls --- */

static nj_type ipac_type(const char *word)
{
    static const char *const integer[] = { "int", "i", "long", "l" }, *const real[] = { "double", "d",
                                                                                        "float",  "f",
                                                                                        "real",   "r" };
    for (size_t k = 0; k < sizeof integer / sizeof *integer; k++)
        if (!strcasecmp(word, integer[k])) return NJ_I64;
    for (size_t k = 0; k < sizeof real / sizeof *real; k++)
        if (!strcasecmp(word, real[k])) return NJ_F64;
    return NJ_STR;
}

static int ipac_line(nj_text_table *t, int which, const char *p, const char *stop, nj_error *err)
{
    if (which == 0) {
        uint32_t n = 0;
        for (const char *q = p; q < stop; q++) n += *q == '|';
        if (n < 3 || n > NJ_TEXT_COLUMNS)
            return nj_fail(err, "%s: an IPAC table of no or too many columns", t->table.path);
        t->bar = calloc(n + 1, sizeof *t->bar);
        if (!t->bar || make_columns(t, n - 1, err)) return nj_table_no_memory(&t->table, err);
        t->null = calloc(n, sizeof *t->null);
        if (!t->null) return nj_table_no_memory(&t->table, err);
        for (const char *q = p; q < stop; q++)
            if (*q == '|') t->bar[t->n_bars++] = (uint32_t)(q - p);
    }
    for (uint32_t i = 0; i < t->table.n_columns; i++) {
        nj_table_column *c = &t->table.column[i];
        const char *from = p + t->bar[i] + 1, *to = p + t->bar[i + 1];
        char word[72];
        if (to > stop) to = stop;
        set_text(word, sizeof word, from, from < to ? (size_t)(to - from) : 0);
        if (which == 0) snprintf(c->name, sizeof c->name, "%s", word);
        if (which == 1) declare(c, ipac_type(word)), c->big = tolower((unsigned char)*word) == 'l';
        if (which == 2) snprintf(c->unit, sizeof c->unit, "%.23s", word);
        if (which == 3) snprintf(t->null[i], sizeof *t->null, "%.23s", word);
    }
    return 0;
}

/* Is what should be the line of types one of values, or of dashes? */
static int has_no_types(const char *p, const char *stop)
{
    for (; p < stop; p++)
        if (isdigit((unsigned char)*p) || *p == '-') return 1;
    return 0;
}

static int ipac_header(nj_text_table *t, nj_error *err)
{
    int which = 0, not_types = 0;
    size_t at = t->at;
    for (;;) {
        char *newline = memchr(t->buffer + at, '\n', t->n - at);
        if (!newline) {
            size_t behind = at - t->at;
            int rc = nj_text_more(t, t->at, err);
            if (rc < 0) return -1;
            at = t->at + behind;
            if (rc > 0) continue;
            newline = t->buffer + t->n;
        }
        char *p = t->buffer + at, *stop = newline;
        if (stop > p && stop[-1] == '\r') stop--;
        if (stop == p || (*p != '\\' && *p != '|')) break;
        if (*p == '|' && which < 4 && ipac_line(t, which, p, stop, err)) return -1;
        if (*p == '|' && which++ == 1) not_types = has_no_types(p, stop);
        if (newline == t->buffer + t->n) break;
        at = (size_t)(newline - t->buffer) + 1;
    }
    if (!which)
        return nj_fail(err, "%s: an IPAC table without the line of names between bars", t->table.path);
    if (which > 4 || not_types)
        return nj_fail(err,
                       "%s: a table with bars at both ends of each line, and no IPAC table; write it as CSV",
                       t->table.path);
    return 0;
}

/* --- VizieR: a format for each column, in comments --- */

static void vizier_types(nj_text_table *t)
{
    for (char *line = t->comment, *next; line && *line; line = next) {
        char *newline = strchr(line, '\n'), *name = line + 7, *format, kind, text[72];
        unsigned width;
        next = newline ? newline + 1 : NULL;
        if (strncmp(line, "Column", 6) || (line[6] != t->separator && line[6] != '\t')) continue;
        format = memchr(name, line[6], newline ? (size_t)(newline - name) : strlen(name));
        if (!format || sscanf(format + 1, " (%c%u", &kind, &width) != 2) continue;
        set_text(text, sizeof text, name, (size_t)(format - name));
        int k = nj_table_find(&t->table, text);
        if (k < 0) continue;
        if (kind == 'A') declare(&t->table.column[k], NJ_STR);
        if (kind == 'I' && width < 16)
            declare(&t->table.column[k], NJ_I64); /* a longer one may not fit:
                                                   * its values decide */
        if (strchr("FEDG", kind)) declare(&t->table.column[k], NJ_F64);
    }
}

/* --- ECSV: types and units in the comments, a YAML list --- */

/* The value of `key: value` where a line of YAML, block or flow, has the key; 0: it has not. */
static int yaml_value(const char *line, const char *key, char value[72])
{
    size_t n = strlen(key);
    for (const char *p = line; (p = strstr(p, key)); p += n) {
        if (p > line && !strchr(" {,-", p[-1])) continue;
        if (p[n] != ':') continue;
        const char *from = p + n + 1;
        while (*from == ' ') from++;
        char quote = *from == '\'' || *from == '"' ? *from++ : 0;
        size_t length = quote ? strcspn(from, quote == '"' ? "\"" : "'") : strcspn(from, ",}\r");
        set_text(value, 72, from, length);
        return 1;
    }
    return 0;
}

static void ecsv_type(nj_table_column *c, const char *word)
{
    if (!strcmp(word, "uint64")) return; /* may not fit: its values decide */
    c->big = !strcmp(word, "int64");
    if (!strncmp(word, "int", 3) || !strncmp(word, "uint", 4))
        declare(c, NJ_I64);
    else if (!strcmp(word, "float64") || !strcmp(word, "float16"))
        declare(c, NJ_F64);
    else if (!strcmp(word, "float32"))
        declare(c, NJ_F32);
    else
        declare(c, NJ_STR);
}

static void ecsv_types(nj_text_table *t)
{
    nj_table_column *c = NULL;
    for (char *line = t->comment, *next; line && *line; line = next) {
        char *newline = strchr(line, '\n'), value[72];
        next = newline ? newline + 1 : NULL;
        if (newline) *newline = 0;
        if (yaml_value(line, "name", value)) {
            int k = nj_table_find(&t->table, value);
            c = k < 0 ? NULL : &t->table.column[k];
        }
        if (c && yaml_value(line, "unit", value)) snprintf(c->unit, sizeof c->unit, "%.23s", value);
        if (c && yaml_value(line, "datatype", value)) ecsv_type(c, value);
        if (c && yaml_value(line, "subtype", value)) declare(c, NJ_STR); /* lists and objects, as JSON */
        if (newline) *newline = '\n';
    }
}

/* --- names in the last comment --- */

static const char *last_comment(const nj_text_table *t)
{
    if (!t->comment) return NULL;
    const char *end = t->comment + strlen(t->comment), *p = end - 1;
    while (p > t->comment && p[-1] != '\n') p--;
    return p;
}

/* The next word of a comment: up to the separator, or to a blank where the table has blanks. */
static int comment_word(const nj_text_table *t, const char **p, nj_span *word)
{
    int blanks = t->separator == ' ';
    while (**p == ' ' || (blanks && **p == '\t')) ++*p;
    if (!**p || **p == '\n') return 0;
    const char *from = *p;
    while (**p && **p != '\n' && !(blanks ? isspace((unsigned char)**p) : **p == t->separator)) ++*p;
    *word = (nj_span){ (char *)from, (uint32_t)(*p - from) };
    if (**p && **p != '\n') ++*p;
    return 1;
}

/* Does the last comment name the columns of the row at hand, which has numbers? */
static int names_in_comment(const nj_text_table *t)
{
    const char *p = last_comment(t);
    nj_span word;
    uint32_t n = 0;
    int numbers = 0;
    for (uint32_t i = 0; i < t->n_cells; i++) numbers |= is_number(&t->cell[i]);
    if (!p || !numbers) return 0;
    while (comment_word(t, &p, &word)) {
        if (is_number(&word)) return 0;
        n++;
    }
    return n == t->n_cells;
}

static int take_comment(nj_text_table *t, nj_error *err)
{
    const char *p = last_comment(t);
    nj_span word;
    if (make_columns(t, t->n_cells, err)) return -1;
    for (uint32_t i = 0; i < t->table.n_columns && comment_word(t, &p, &word); i++)
        set_text(t->table.column[i].name, sizeof t->table.column[i].name, word.text, word.n);
    t->data_line = 0;
    return 0;
}

/* --- all --- */

static int take_names(nj_text_table *t, nj_error *err)
{
    if (make_columns(t, t->n_cells, err)) return -1;
    for (uint32_t i = 0; i < t->n_cells; i++)
        set_text(t->table.column[i].name, sizeof t->table.column[i].name, t->cell[i].text, t->cell[i].n);
    t->data_line = t->line;
    return 0;
}

/* Units and dashes below the names, as VizieR writes them, or units alone. */
static int take_units(nj_text_table *t, nj_error *err)
{
    int rc = nj_text_row(t, err);
    if (rc > 0 && is_dashes(t)) {
        t->data_line = t->line;
        return 0;
    }
    if (rc <= 0 || t->n_cells != t->table.n_columns) return rc < 0 ? -1 : 0;
    uint64_t line = t->line;
    int words = is_unit_row(t);
    set_units(t);
    if ((rc = nj_text_row(t, err)) < 0) return -1;
    if (rc > 0 && is_dashes(t))
        t->data_line = t->line;
    else if (words)
        t->data_line = line;
    else
        for (uint32_t i = 0; i < t->table.n_columns; i++) t->table.column[i].unit[0] = 0;
    return 0;
}

static int refuse_what_is_no_table(nj_text_table *t, const char *head, const char *end, nj_error *err)
{
    static const char cds[] = "Byte-by-byte Description";
    if (*head == '<') return nj_fail(err, "%s: is an XML or HTML page, not a table", t->table.path);
    if (*head == '{' || *head == '[')
        return nj_fail(err, "%s: is JSON; write it as CSV, FITS or Parquet", t->table.path);
    if (memmem(head, (size_t)(end - head), cds, sizeof cds - 1))
        return nj_fail(err,
                       "%s: is a CDS table with a byte-by-byte description; astropy's Table.read(..., "
                       "format='ascii.cds') can write it as CSV or FITS",
                       t->table.path);
    return 0;
}

/* The first line that is neither blank nor a comment. */
static char *find_head(nj_text_table *t, nj_error *err)
{
    size_t p = t->at;
    for (;;) {
        while (p < t->n && isspace((unsigned char)t->buffer[p]) && t->buffer[p] != '\t') p++;
        if (p < t->n && t->buffer[p] != '#') return t->buffer + p;
        char *newline = p < t->n ? memchr(t->buffer + p, '\n', t->n - p) : NULL;
        if (newline) {
            p = (size_t)(newline - t->buffer) + 1;
            continue;
        }
        size_t behind = p - t->at;
        int rc = nj_text_more(t, t->at, err);
        if (rc < 0) return NULL;
        p = t->at + behind;
        if (rc == 0) return nj_fail(err, "%s: no header with two columns or more", t->table.path), NULL;
    }
}

int nj_text_header(nj_text_table *t, nj_error *err)
{
    char *head = find_head(t, err);
    if (!head) return -1;
    const char *end = t->buffer + t->n;
    if (refuse_what_is_no_table(t, head, end, err)) return -1;
    if (*head == '\\' || *head == '|') {
        t->at = (size_t)(head - t->buffer);
        return ipac_header(t, err);
    }
    int ecsv = head - t->buffer > (ptrdiff_t)t->at &&
               memmem(t->buffer + t->at, (size_t)(head - t->buffer) - t->at, "%ECSV", 5);
    t->separator = guess_separator(head, end);
    if (ecsv) /* the only one but the blank that it may have */
        t->separator =
            memmem(t->buffer + t->at, (size_t)(head - t->buffer) - t->at, "delimiter: ','", 14) ? ',' : ' ';
    t->keep_comments = 1;
    int rc = nj_text_row(t, err);
    t->keep_comments = 0;
    if (rc > 0 && t->n_cells == 1 && !ecsv) { /* a title of one cell, such as the date that the
                                               * TNS puts there */
        head = t->buffer + t->at;
        t->separator = guess_separator(head, t->buffer + t->n);
        rc = nj_text_row(t, err);
    }
    if (rc < 0) return -1;
    if (rc == 0 || t->n_cells < 2)
        return nj_fail(err, "%s: no header with two columns or more", t->table.path);
    if (!ecsv && names_in_comment(t)) return take_comment(t, err);
    uint32_t numbers = 0;
    for (uint32_t i = 0; i < t->n_cells; i++) numbers += is_number(&t->cell[i]);
    if (numbers == t->n_cells)
        return nj_fail(
            err, "%s:%llu: numbers where the columns' names are expected; put a line of names before it",
            t->table.path, (unsigned long long)t->line);
    if (take_names(t, err)) return -1;
    if (ecsv) {
        ecsv_types(t);
        return 0;
    }
    vizier_types(t);
    return take_units(t, err);
}
