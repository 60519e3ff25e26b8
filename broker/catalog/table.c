/* table.c - which kind of table a file is, by its first bytes. */
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

static const nj_table_class *const classes[] = { &nj_table_parquet, &nj_table_fits, &nj_table_csv };

/* The first bytes, also of what gzip packed. */
static size_t peek(const char *path, unsigned char *first, size_t room)
{
    gzFile f = gzopen(path, "rb");
    int n = f ? gzread(f, first, (unsigned)room) : 0;
    if (f) gzclose(f);
    return n > 0 ? (size_t)n : 0;
}

nj_table *nj_table_open(const char *path, int every_row, nj_error *err)
{
    unsigned char first[512], unpacked[512];
    FILE *f = fopen(path, "rb");
    if (!f) {
        nj_fail(err, "%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    size_t n = fread(first, 1, sizeof first, f), n_unpacked = peek(path, unpacked, sizeof unpacked);
    fclose(f);
    if (n == 0) return nj_fail(err, "%s: is empty", path), NULL;
    if (nj_table_votable.match(path, unpacked, n_unpacked))
        return nj_table_votable.open(path, every_row, err);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i]->match(path, first, n)) return classes[i]->open(path, every_row, err);
    if (n > 1 && (!memcmp(first, "\xff\xfe", 2) || !memcmp(first, "\xfe\xff", 2)))
        return nj_fail(err, "%s: is text in UTF-16; write it as UTF-8", path), NULL;
    return nj_fail(err, "%s: neither text nor VOTable nor FITS nor Parquet", path), NULL;
}

int nj_table_find(const nj_table *table, const char *name)
{
    int found = -1;
    for (uint32_t i = 0; i < table->n_columns; i++)
        if (!strcmp(table->column[i].name, name)) return (int)i;
    for (uint32_t i = 0; i < table->n_columns; i++)
        if (!strcasecmp(table->column[i].name, name)) found = found == -1 ? (int)i : -2;
    return found < 0 ? -1 : found;
}

const char *nj_table_other_case(const nj_table *table, int column)
{
    for (uint32_t i = 0; i < table->n_columns; i++)
        if ((int)i != column && !strcasecmp(table->column[i].name, table->column[column].name))
            return table->column[i].name;
    return NULL;
}

void nj_table_leave_out(nj_table *table, const char *what, const char *name)
{
    size_t n = strlen(table->note), room = sizeof table->note - n;
    if (room < 100) {
        if (n && table->note[n - 1] != '.') snprintf(table->note + n, room, ", ...");
        return;
    }
    if (strstr(table->note, what))
        snprintf(table->note + n, room, ", %.72s", name);
    else
        snprintf(table->note + n, room, "%s%s: %.72s", n ? "; " : "", what, name);
}

void nj_table_close(nj_table *table)
{
    if (table) table->class->close(table);
}

int nj_table_no_memory(const nj_table *table, nj_error *err)
{
    return nj_fail(err, "%s: no memory", table->path);
}

void *nj_table_new(const nj_table_class *class, size_t size, const char *path, nj_error *err)
{
    nj_table *table = calloc(1, size);
    if (table && (table->path = strdup(path))) {
        table->class = class;
        return table;
    }
    free(table);
    return nj_fail(err, "%s: no memory", path), NULL;
}

int nj_table_select(nj_table *table, const uint32_t *column, uint32_t n, nj_error *err)
{
    table->select = malloc((n + 1) * sizeof *column);
    if (!table->select) return nj_table_no_memory(table, err);
    memcpy(table->select, column, n * sizeof *column);
    table->n_select = n;
    return 0;
}

void nj_table_free(nj_table *table)
{
    free(table->select);
    free(table->column);
    free(table->path);
    free(table);
}
