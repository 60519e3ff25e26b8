/* nightjar/beside.h - a file that several processes may make at once, on one machine or on many that share
 * the folder: each writes one of its own beside it, and renames that. */
#ifndef NIGHTJAR_BESIDE_H
#define NIGHTJAR_BESIDE_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A new empty file for what is to replace `path`, which is relative to the folder `at` (AT_FDCWD: the working
 * directory); never one that was there. Its name, put into name[size], is `path`, a dot, 16 random
 * hexadecimal digits and ".tmp". `mode` as for open(). Returns its descriptor, for reading and writing, or -1
 * with errno: ENAMETOOLONG, or why the folder takes no file. The caller writes, closes, and renames the file,
 * or removes it. While the descriptor is open the file is locked: of those that killed processes left beside
 * the same `path`, without a lock and older than a minute, each call removes what it may. */
int nj_beside_open(int at, const char *path, unsigned mode, char *name, size_t size);

#ifdef __cplusplus
}
#endif
#endif
