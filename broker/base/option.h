/* option.h - command line options: getopt_long() whose complaints are errors with the nearest option that there is. */
#ifndef NJ_BASE_OPTION_H
#define NJ_BASE_OPTION_H

#include <getopt.h>

#include "error.h"

/* As getopt_long(), silent: '?' with err for an option that is not known or ambiguous, that lacks its value or takes none. A
 * long option with one dash (-columns) is refused as well, before any is read: it would be taken for -c olumns. */
int nj_getopt(int argc, char **argv, const char *shorts, const struct option *longs, nj_error *err);
/* The same complaint for commands that read argv on their own. known: "--gate", and "--only=" for one with a value; ends with
 * NULL. Always -1. */
int nj_option_wrong(const char *word, const char *const *known, nj_error *err);
/* A word that must be one of a few ("build", "info"; ends with NULL): fills err with the nearest. Always -1. */
int nj_word_wrong(const char *what, const char *word, const char *const *known, nj_error *err);

#endif
