/* embed.c - the binary runs without its source tree, so schemas and data are compiled in; this finds one by
 * its name. */
#include "embed.h"

#include <string.h>

const nj_embedded *nj_embedded_find(const char *name)
{
    for (const nj_embedded *f = nj_embedded_files; f->name; f++)
        if (!strcmp(f->name, name)) return f;
    return NULL;
}
