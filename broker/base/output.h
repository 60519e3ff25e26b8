/* output.h - standard output, kept for the rows when a sink writes there. */
#ifndef NJ_BASE_OUTPUT_H
#define NJ_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Is this target of a sink standard output: "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"? */
bool nj_output_is_standard(const char *target);
/* From here on descriptor 1 is standard error, for the rest of the process: what a module or a library prints lands
 * there. Once more: no-op. -1 with err. */
int nj_output_take(nj_error *err);
bool nj_output_taken(void);
/* The descriptor that standard output has now: 1 until it is taken. */
int nj_output_fd(void);
/* The path to open for a target: itself, or the one that standard output has now (text in room). */
const char *nj_output_path(const char *target, char *room, size_t size);

#endif
