/* embed.h - files of the project that travel inside the binary:
 * schemas/ and data/ (listed by the Makefile). */
#ifndef NJ_BASE_EMBED_H
#define NJ_BASE_EMBED_H

#include <stddef.h>

typedef struct nj_embedded {
    const char *name; /* path from the project root: "schemas/ztf.map" */
    const char *data; /* NUL-terminated behind n bytes */
    size_t n;
} nj_embedded;

extern const nj_embedded nj_embedded_files[]; /* ends with a NULL name */

/* The file of that name, or NULL. */
const nj_embedded *nj_embedded_find(const char *name);

#endif
