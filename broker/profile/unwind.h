/* unwind.h - from an interrupted address to its callers in a microsecond: where a function keeps its caller
 * is looked up in the tables of the debugger (CFI) beforehand, outside of the signal handler, for the
 * stretches of code that were met. */
#ifndef NJ_PROFILE_UNWIND_H
#define NJ_PROFILE_UNWIND_H

#include "symbols.h"

typedef struct nj_unwind nj_unwind;

nj_unwind *nj_unwind_new(void); /* NULL: out of memory */
void nj_unwind_free(nj_unwind *u);
/* For a handler: the frames from the context on, innermost first, to the host's dispatch or the end of the
 * stack. Returns their number, at most `most`; 0 when a rule is missing (*missed: the address to learn, 0 =
 * it is of a kind that has none). stack_end: above the thread's stack. */
int nj_unwind_walk(const nj_unwind *u, const void *context, uint64_t stack_end, uint64_t *to, int most,
                   uint64_t *missed);
/* Not while a handler may walk. Returns how many rules there are. */
uint32_t nj_unwind_learn(nj_unwind *u, nj_symbols *symbols, const uint64_t *missed, uint32_t n);

#endif
