#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const nj_table_class *const classes[] = { &nj_table_parquet, &nj_table_fits, &nj_table_csv };

nj_table *nj_table_open(const char *path, nj_error *err)
{
    unsigned char first[32];
    FILE *f = fopen(path, "rb");
    if (!f) {
        nj_fail(err, "%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    size_t n = fread(first, 1, sizeof first, f);
    fclose(f);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i]->match(path, first, n)) return classes[i]->open(path, err);
    nj_fail(err, "%s: neither CSV nor FITS nor Parquet", path);
    return NULL;
}

int nj_table_find(const nj_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->n_columns; i++)
        if (!strcmp(table->column[i].name, name)) return (int)i;
    for (uint32_t i = 0; i < table->n_columns; i++)
        if (!strcasecmp(table->column[i].name, name)) return (int)i;
    return -1;
}

void nj_table_close(nj_table *table)
{
    if (table) table->class->close(table);
}
