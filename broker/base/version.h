/* version.h - what this binary is. */
#ifndef NJ_BASE_VERSION_H
#define NJ_BASE_VERSION_H

extern const char nj_version[];  /* "0.1.0" */
extern const char nj_revision[]; /* git describe */
extern const char nj_date[];     /* of that revision, 2026-01-31; empty when it is not known */
extern const char nj_compiler[], nj_flags[];

#endif
