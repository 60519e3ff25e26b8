/* hats_folder.c - LSDB writes more Parquet into a HATS catalogue than its rows: statistics, a sample, and
 * beside it copies of the rows at the borders. Read as alerts, those would be rows without an id, and rows
 * twice. */
#include "hats_folder.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"

enum { MOST_BYTES = 1 << 20 };

/* The value of KEY=VALUE, a line of its own; blanks around both are allowed. NULL: there is no such line. */
static const char *value_of(const char *text, const char *key, size_t *size)
{
    const size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n'), line += line != NULL) {
        line += strspn(line, " \t\r\n");
        const char *equals = line + n + strspn(line + (strncmp(line, key, n) ? 0 : n), " \t");
        if (strncmp(line, key, n) != 0 || *equals != '=') continue;
        equals += 1 + strspn(equals + 1, " \t");
        *size = strcspn(equals, " \t\r\n");
        return equals;
    }
    return NULL;
}

static bool is_one_of(const char *word, size_t size, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == size && !strncmp(word, *list, size)) return true;
    return false;
}

nj_hats_kind nj_hats_kind_of(const char *folder)
{
    /* the second is the name of older catalogues, and of other programs' files */
    static const char *const name[] = { "hats.properties", "properties" },
                             *const key[] = { "dataproduct_type", "catalog_type" },
                             *const beside[] = { "margin", "index", "association", "map", NULL };
    nj_hats_kind kind = NJ_HATS_NONE;
    for (int i = 0; i < 2 && kind == NJ_HATS_NONE; i++) {
        char path[4200];
        size_t n;
        if (snprintf(path, sizeof path, "%s/%s", folder, name[i]) >= (int)sizeof path) continue;
        char *text = nj_file_read(path, MOST_BYTES, &n);
        if (!text) continue;
        if (i == 0 || strstr(text, "hats_")) kind = NJ_HATS_ROWS;
        for (int k = 0; k < 2 && kind == NJ_HATS_ROWS; k++) {
            const char *type = value_of(text, key[k], &n);
            if (type && is_one_of(type, n, beside)) kind = NJ_HATS_BESIDE;
        }
        free(text);
    }
    return kind;
}

nj_hats_kind nj_hats_kind_around(const char *folder)
{
    char path[PATH_MAX + 1], *name, *real = realpath(folder, NULL);
    nj_hats_kind kind = NJ_HATS_NONE;
    if (real && strlen(real) < sizeof path && (name = strrchr(strcpy(path, real), '/')) &&
        !strcmp(name, "/dataset")) {
        *name = 0;
        kind = nj_hats_kind_of(path);
    }
    free(real);
    return kind;
}

bool nj_hats_is_rows(const char *inside)
{
    return !strncmp(inside, "Npix=", 5) || strstr(inside, "/Npix=");
}
