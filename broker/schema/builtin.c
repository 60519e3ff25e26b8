/* builtin.c - LSST's schemas are compiled into the binary, so that its packets can be read without a
 * registry. */
#include <stdio.h>

#include "../base/embed.h"
#include "registry.h"

const char *nj_schema_builtin(uint32_t id, size_t *size)
{
    char name[64];
    snprintf(name, sizeof name, "schemas/lsst/alert_%u.%u.avsc", id / 100, id % 100);
    const nj_embedded *file = nj_embedded_find(name);
    if (file) *size = file->n;
    return file ? file->data : NULL;
}

uint32_t nj_schema_newest_builtin(void)
{
    uint32_t newest = 0;
    for (const nj_embedded *f = nj_embedded_files; f->name; f++) {
        unsigned major, minor;
        if (sscanf(f->name, "schemas/lsst/alert_%u.%u.avsc", &major, &minor) == 2 &&
            100 * major + minor > newest)
            newest = 100 * major + minor;
    }
    return newest;
}
