/* filelock.h - one writer per file, whatever name it was opened by. */
#ifndef NJ_BASE_FILELOCK_H
#define NJ_BASE_FILELOCK_H

#include "error.h"

/* Takes the file behind fd for this open file alone; closing fd gives it up. Another run, or another open
 * file of this process, that has it: -1, err names path and holder.
 * A file system without locks: reported once, 0. */
int nj_file_lock(int fd, const char *path, nj_error *err);

#endif
