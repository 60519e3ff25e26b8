/* extent.h - how long a variable of a loaded file is, as its symbols say. */
#ifndef NJ_GRAPH_EXTENT_H
#define NJ_GRAPH_EXTENT_H

#include <stdint.h>

/* First address behind the variable that this address is in; 0 = not known (no such file, no symbols, memory
 * from a heap). For one thread at a time. */
uintptr_t nj_extent_end(const void *at);

#endif
