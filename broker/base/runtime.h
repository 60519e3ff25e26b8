/* runtime.h - the folder in which runs of one user on one host find each other. */
#ifndef NJ_BASE_RUNTIME_H
#define NJ_BASE_RUNTIME_H

#include <stddef.h>

/* $XDG_RUNTIME_DIR/nightjar-UID, or /tmp/nightjar-UID where that cannot be written: for locks, open to this
 * user alone, made if it is not there. 0; -1: it cannot be had. */
int nj_runtime_folder(char *path, size_t size);

#endif
