/* file.h - whole files into memory and back, folders made on the way, and the ends of names. */
#ifndef NJ_BASE_FILE_H
#define NJ_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of a file, a NUL behind them; *size (NULL = not asked for) without it. The caller frees them.
 * NULL with errno: cannot be read, EFBIG when there are more than `most` bytes, ENOMEM. */
char *nj_file_read(const char *path, size_t most, size_t *size);
/* Writes a whole file. 0, or -1 with errno. */
int nj_file_write(const char *path, const void *bytes, size_t n);
/* As above, but who reads the path sees the old file or the whole new one, also when several processes write
 * it at once. */
int nj_file_replace(const char *path, const void *bytes, size_t n);
/* A folder and those above it, which get `mode` where they are not there. 0, or -1 with errno: the one that
 * cannot be made or entered, ENAMETOOLONG, ENOTDIR when a file has the name. */
int nj_folder_make(const char *folder, unsigned mode);

/* A pipe, a device or a socket, or a link to one: reading it may never end. False when it is not there. */
bool nj_is_special(const char *path);
bool nj_ends_with(const char *text, const char *end);
/* What follows the last slash; all of it when there is none. */
const char *nj_base_name(const char *path);

#endif
