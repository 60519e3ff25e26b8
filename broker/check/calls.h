/* calls.h - counts calls that process() must not make: memory of the C library, files, sockets, programs. */
#ifndef NJ_CHECK_CALLS_H
#define NJ_CHECK_CALLS_H

#include <stdbool.h>

/* From now on calls of every object that is loaded, but the C library's own, are counted while
 * nj_made_inside is set; a thread that a module starts is not looked at. False: not known for this kind of
 * machine. Once in a process, after the last module was loaded, in a process that does nothing else. */
bool nj_calls_watch(void);
/* How many since the last call, and the name of the first one ("malloc"). */
unsigned long nj_calls_taken(const char **first);

#endif
