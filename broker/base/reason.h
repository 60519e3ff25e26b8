/* reason.h - why a module gave no answer, in the words of every output: index = nj_reason of module.h. */
#ifndef NJ_BASE_REASON_H
#define NJ_BASE_REASON_H

enum { NJ_REASON_NAMES = 9 };

extern const char *const nj_reason_name[NJ_REASON_NAMES];

#endif
