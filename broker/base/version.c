/* version.c - the build's version, revision, compiler and flags are compiled into one file, so that only it
 * is rebuilt. */
#include "version.h"

#ifndef NJ_VERSION
#define NJ_VERSION "unknown"
#endif
#ifndef NJ_DATE
#define NJ_DATE ""
#endif
#ifndef NJ_FLAGS
#define NJ_FLAGS ""
#endif

const char nj_version[] = "0.1.0";
const char nj_revision[] = NJ_VERSION;
const char nj_date[] = NJ_DATE;
const char nj_flags[] = NJ_FLAGS;
#ifdef __clang__
const char nj_compiler[] = __VERSION__;
#else
const char nj_compiler[] = "gcc " __VERSION__;
#endif
