/* trim.h - memory that was freed and is still the process's goes back to the system. */
#ifndef NJ_FLOW_TRIM_H
#define NJ_FLOW_TRIM_H

#include <stdint.h>

enum { NJ_TRIM_LOOKS = 10 }; /* what was free in each of so many looks is not needed soon */

typedef struct nj_trim { /* zero-initialised; one thread's */
    int looks;
    int64_t least, floor; /* bytes: free in the looks so far; free after the last time, which stays */
} nj_trim;

/* Each second or so. Every NJ_TRIM_LOOKS looks it gives back what was free in all of them, when that is much.
 * Returns the bytes that went back, 0 = it did nothing. */
int64_t nj_trim_look(nj_trim *trim);

#endif
