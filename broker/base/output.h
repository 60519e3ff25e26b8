/* output.h - standard output, kept for the rows, or for the report, that are to go there. */
#ifndef NJ_BASE_OUTPUT_H
#define NJ_BASE_OUTPUT_H

#include <stdbool.h>

#include "error.h"

/* Is this target of a sink standard output: "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"? */
bool nj_output_is_standard(const char *target);
/* Is it that, or the same file or pipe by another name? */
bool nj_output_is_shared(const char *target);
/* From here on descriptor 1 is standard error, for the rest of the process: what a module or a library prints
 * lands there. Once more: no-op. -1 with err. */
int nj_output_take(nj_error *err);
bool nj_output_taken(void);
/* The descriptor that standard output has now: 1 until it is taken. */
int nj_output_fd(void);

#endif
