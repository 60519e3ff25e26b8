/* votable.c - VOTables (IVOA, version 1.x) whose rows are written as TABLEDATA, read as a stream by
 * libxml2. */
#include <ctype.h>
#include <libxml/xmlreader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "table.h"

enum { MOST_FIELDS = 4096 };

typedef struct field {
    char null[24]; /* VALUES null="..." of the column; "" = none */
} field;

typedef struct votable {
    nj_table table;
    xmlTextReaderPtr reader;
    field *field;          /* [n_columns] */
    xmlChar **text;        /* [n_columns] of the present row; NULL: an empty cell */
    uint32_t n_cells;      /* of the present row */
    char (*system)[3][64]; /* [n_systems] of coordinates: ID, system, equinox */
    uint32_t n_systems;
    uint64_t row;
    xmlChar *said; /* libxml2's last complaint */
} votable;

static int match(const char *path, const unsigned char *first, size_t n)
{
    (void)path;
    size_t at = n >= 3 && !memcmp(first, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < n && isspace(first[at])) at++;
    const char *p = (const char *)first + at;
    return n - at > 8 && *p == '<' && strncasecmp(p, "<html", 5) && strncasecmp(p, "<!doctype", 9);
}

static void close_table(nj_table *table)
{
    votable *t = (votable *)table;
    for (uint32_t i = 0; t->text && i < table->n_columns; i++) xmlFree(t->text[i]);
    if (t->reader) xmlFreeTextReader(t->reader);
    xmlFree(t->said);
    free(t->text);
    free(t->field);
    free(t->system);
    nj_table_free(table);
}

static void on_error(void *opaque, const char *message, xmlParserSeverities severity,
                     xmlTextReaderLocatorPtr where)
{
    votable *t = opaque;
    (void)severity;
    (void)where;
    if (!t->said) t->said = xmlStrdup((const xmlChar *)message);
}

static int damaged(const votable *t, nj_error *err)
{
    const char *said = t->said ? (const char *)t->said : "the XML ends early";
    return nj_fail(err, "%s:%d: is damaged: %.*s", t->table.path, xmlTextReaderGetParserLineNumber(t->reader),
                   (int)strcspn(said, "\n"), said);
}

static int is_element(const votable *t, const char *name)
{
    const xmlChar *local = xmlTextReaderConstLocalName(t->reader);
    return local && !strcmp((const char *)local, name);
}

static void attribute(votable *t, const char *name, char *to, size_t room)
{
    xmlChar *value = xmlTextReaderGetAttribute(t->reader, (const xmlChar *)name);
    snprintf(to, room, "%s", value ? (const char *)value : "");
    xmlFree(value);
}

static nj_type type_of(const char *datatype, const char *arraysize)
{
    static const char *const integer[] = { "long", "int", "short", "unsignedByte" };
    if (*arraysize && strcmp(arraysize, "1") != 0) return NJ_STR; /* a list, or a text */
    for (size_t k = 0; k < sizeof integer / sizeof *integer; k++)
        if (!strcmp(datatype, integer[k])) return NJ_I64;
    return !strcmp(datatype, "double") ? NJ_F64 : !strcmp(datatype, "float") ? NJ_F32 : NJ_STR;
}

static int add_system(votable *t, nj_error *err)
{
    char(*system)[3][64] = realloc(t->system, (t->n_systems + 1) * sizeof *system);
    if (!system) return nj_table_no_memory(&t->table, err);
    t->system = system;
    attribute(t, "ID", system[t->n_systems][0], 64);
    attribute(t, "system", system[t->n_systems][1], 64);
    attribute(t, "equinox", system[t->n_systems][2], 64);
    t->n_systems++;
    return 0;
}

/* What the COOSYS that a field refers to says; nothing for ICRS and for FK5 of 2000,
 * which is within 0.03 arcsec of it. */
static void frame_of(votable *t, nj_table_column *c)
{
    char ref[64];
    attribute(t, "ref", ref, sizeof ref);
    for (uint32_t i = 0; *ref && i < t->n_systems; i++) {
        const char *system = t->system[i][1], *equinox = t->system[i][2];
        if (strcmp(ref, t->system[i][0]) != 0) continue;
        if (!strncasecmp(system, "eq_", 3)) system += 3;
        int j2000 = !*equinox || !strcasecmp(equinox, "J2000") || !strcmp(equinox, "2000") ||
                    !strcasecmp(equinox, "J2000.0");
        if (!strcasecmp(system, "FK4") || (!strcasecmp(system, "FK5") && !j2000))
            snprintf(c->frame, sizeof c->frame, "%.10s/%.16s", system, *equinox ? equinox : "B1950");
    }
}

static int add_field(votable *t, nj_error *err)
{
    uint32_t n = t->table.n_columns;
    char datatype[32], arraysize[32];
    if (n == MOST_FIELDS)
        return nj_fail(err, "%s: a VOTable of more than %d columns", t->table.path, MOST_FIELDS);
    nj_table_column *column = realloc(t->table.column, (n + 1) * sizeof *column);
    if (column) t->table.column = column;
    field *f = realloc(t->field, (n + 1) * sizeof *f);
    if (f) t->field = f;
    if (!column || !f) return nj_table_no_memory(&t->table, err);
    nj_table_column *c = &column[n];
    *c = (nj_table_column){ .declared = 1 };
    f[n] = (field){ "" };
    attribute(t, "name", c->name, sizeof c->name);
    if (!*c->name) attribute(t, "ID", c->name, sizeof c->name);
    attribute(t, "unit", c->unit, sizeof c->unit);
    attribute(t, "datatype", datatype, sizeof datatype);
    attribute(t, "arraysize", arraysize, sizeof arraysize);
    c->type = type_of(datatype, arraysize);
    c->big = !strcmp(datatype, "long");
    frame_of(t, c);
    t->table.n_columns++;
    return 0;
}

/* Up to the first TABLEDATA, over the FIELDs before it. 1 found. */
static int read_fields(votable *t, nj_error *err)
{
    int rc, first = 1;
    while ((rc = xmlTextReaderRead(t->reader)) == 1) {
        if (xmlTextReaderNodeType(t->reader) != XML_READER_TYPE_ELEMENT) continue;
        if (first && !is_element(t, "VOTABLE"))
            return nj_fail(err, "%s: is XML, but no VOTable: its first element is %s", t->table.path,
                           (const char *)xmlTextReaderConstLocalName(t->reader));
        first = 0;
        if (is_element(t, "TABLE")) t->table.n_columns = 0;
        if (is_element(t, "COOSYS") && add_system(t, err)) return -1;
        if (is_element(t, "FIELD") && add_field(t, err)) return -1;
        if (is_element(t, "VALUES") && t->table.n_columns)
            attribute(t, "null", t->field[t->table.n_columns - 1].null, sizeof t->field->null);
        if (is_element(t, "BINARY") || is_element(t, "BINARY2") || is_element(t, "FITS"))
            return nj_fail(err,
                           "%s: a VOTable whose rows are written as %s; only TABLEDATA is read. astropy's "
                           "Table.read(...).write('x.fits') makes a table that is",
                           t->table.path, (const char *)xmlTextReaderConstLocalName(t->reader));
        if (is_element(t, "TABLEDATA")) return 0;
    }
    if (rc < 0) return damaged(t, err);
    return nj_fail(err, "%s: a VOTable without rows (no TABLEDATA)", t->table.path);
}

static nj_table *open_table(const char *path, int every_row, nj_error *err)
{
    (void)every_row;
    votable *t = nj_table_new(&nj_table_votable, sizeof *t, path, err);
    if (!t) return NULL;
    /* no entities, no network: a table has no need of either */
    t->reader = xmlReaderForFile(path, NULL, XML_PARSE_NONET | XML_PARSE_COMPACT);
    if (!t->reader) {
        nj_fail(err, "%s: cannot be opened", path);
        goto fail;
    }
    xmlTextReaderSetErrorHandler(t->reader, on_error, t);
    if (read_fields(t, err)) goto fail;
    t->text = calloc(t->table.n_columns + 1, sizeof *t->text);
    if (!t->text) {
        nj_table_no_memory(&t->table, err);
        goto fail;
    }
    return &t->table;
fail:
    close_table(&t->table);
    return NULL;
}

static nj_table_cell cell_of(const votable *t, uint32_t column)
{
    const char *text = (const char *)t->text[column];
    size_t n = text ? strlen(text) : 0;
    while (n && isspace((unsigned char)text[n - 1])) n--;
    while (n && isspace((unsigned char)*text)) text++, n--;
    const char *null = t->field[column].null;
    int none = !n || (*null && strlen(null) == n && !memcmp(null, text, n)) ||
               (t->table.column[column].type != NJ_STR && n == 3 && !strncasecmp(text, "NaN", 3));
    return (
        nj_table_cell){ .kind = none ? NJ_TABLE_NULL : NJ_TABLE_TEXT, .text = text, .n_text = (uint32_t)n };
}

/* The cells of the TR at hand, to its end. 1 = a row, -1. */
static int read_row(votable *t, nj_error *err)
{
    int rc, empty = xmlTextReaderIsEmptyElement(t->reader);
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->table.n_columns; i++) {
        xmlFree(t->text[i]);
        t->text[i] = NULL;
    }
    t->row++;
    while (!empty && (rc = xmlTextReaderRead(t->reader)) == 1) {
        int type = xmlTextReaderNodeType(t->reader);
        if (type == XML_READER_TYPE_END_ELEMENT && is_element(t, "TR")) break;
        if (type != XML_READER_TYPE_ELEMENT || !is_element(t, "TD")) continue;
        if (n < t->table.n_columns) t->text[n] = xmlTextReaderReadString(t->reader);
        n++;
    }
    if (!empty && rc != 1) return damaged(t, err);
    if (n != t->table.n_columns)
        return nj_fail(err, "%s: row %llu has %u cells, and the table has %u fields", t->table.path,
                       (unsigned long long)t->row, n, t->table.n_columns);
    return 1;
}

/* To the end of the file: it may be damaged there, or have more tables. */
static int behind(votable *t, nj_error *err)
{
    int rc;
    char name[64];
    while ((rc = xmlTextReaderRead(t->reader)) == 1) {
        if (xmlTextReaderNodeType(t->reader) != XML_READER_TYPE_ELEMENT || !is_element(t, "TABLE")) continue;
        attribute(t, "name", name, sizeof name);
        nj_table_leave_out(&t->table, "further tables are not read", *name ? name : "(no name)");
    }
    return rc < 0 ? damaged(t, err) : 0;
}

static int next(nj_table *table, nj_table_cell *cell, nj_error *err)
{
    votable *t = (votable *)table;
    table->line = 0;
    while (xmlTextReaderRead(t->reader) == 1) {
        int type = xmlTextReaderNodeType(t->reader);
        if (type == XML_READER_TYPE_END_ELEMENT && is_element(t, "TABLEDATA")) return behind(t, err);
        if (type != XML_READER_TYPE_ELEMENT || !is_element(t, "TR")) continue;
        if (read_row(t, err) < 0) return -1;
        int line = xmlTextReaderGetParserLineNumber(t->reader);
        table->line = line > 0 ? (uint64_t)line : 0;
        for (uint32_t i = 0; i < t->table.n_select; i++) cell[i] = cell_of(t, t->table.select[i]);
        return 1;
    }
    return damaged(t, err);
}

static double done(const nj_table *table)
{
    (void)table; /* nothing says how long the file is in rows */
    return 0;
}

const nj_table_class nj_table_votable = { .name = "VOTable",
                                          .match = match,
                                          .open = open_table,
                                          .select = nj_table_select,
                                          .next = next,
                                          .done = done,
                                          .close = close_table };
