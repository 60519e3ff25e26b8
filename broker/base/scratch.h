/* scratch.h - folders for what a command writes only for itself. */
#ifndef NJ_SCRATCH_H
#define NJ_SCRATCH_H

#include <stddef.h>

#include "error.h"

/* A new folder nightjar-NAME-XXXXXX in `in` (NULL: $TMPDIR, else /tmp), this process's until it ends. Folders
 * of that name that a killed process left there are removed. */
int nj_scratch_make(char *path, size_t size, const char *in, const char *name, nj_error *err);

/* The folder with the files in it. */
void nj_scratch_remove(const char *path);

#endif
