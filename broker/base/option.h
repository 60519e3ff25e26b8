/* option.h - command line options: one table per command, as the settings have. Parsing, help, man pages,
 * completion and the nearest name of a wrong one come from the table. */
#ifndef NJ_BASE_OPTION_H
#define NJ_BASE_OPTION_H

#include <stddef.h>

#include "error.h"

typedef enum nj_option_type {
    NJ_OPTION_FLAG, /* bool: no value */
    NJ_OPTION_TEXT, /* const char * */
    NJ_OPTION_WORD, /* const char *: one of `words` */
    NJ_OPTION_INT,  /* int, int64_t, uint64_t, double: within lo .. hi */
    NJ_OPTION_I64,
    NJ_OPTION_U64,
    NJ_OPTION_F64,
    NJ_OPTION_CALL /* take() has it, each time that it is given */
} nj_option_type;

typedef struct nj_option {
    const char *name; /* long, without dashes */
    char letter;      /* 0: there is none */
    nj_option_type type;
    size_t offset;     /* into the command's struct */
    const char *value; /* as the help shows it: "FILE", "N"; NULL: it takes none */
    const char *def;   /* as a user would write it; stored before the command line is read */
    double lo, hi;
    const char *words; /* "wall|cpu" */
    int (*take)(void *conf, const char *value, nj_error *err);
    const char *doc; /* a sentence */
} nj_option;         /* a table ends with {0}; several tables of one command have offsets into one struct */

/* The options of all tables (ends with NULL), one after the other. */
const nj_option *nj_option_next(const nj_option *const *tables, const nj_option *last, size_t *table);
#define NJ_EACH_OPTION(o, tables)                                                                            \
    for (size_t o##_table = 0, o##_once = 1; o##_once; o##_once = 0)                                         \
        for (const nj_option *o = nj_option_next(tables, NULL, &o##_table); o;                               \
             o = nj_option_next(tables, o, &o##_table))

/* -X, -c and -D of a command whose struct begins with nj_settings. */
extern const nj_option nj_options_of_settings[];

/* The words that are no options, in order; item points into argv, which is reordered. */
typedef struct nj_words {
    char **item;
    int n, before; /* before: how many of them stood before a "--" (n when there was none) */
} nj_words;

/* Reads argv[1] and on by the tables (ends with NULL), defaults first. As getopt_long(): options and words in
 * any order, abbreviations, --name=value, -xVALUE, letters together. -5 is a word when no letter is a digit.
 * -1 with err for an option that is not known or could be several, that lacks its value or takes none, for a
 * value out of its range; -columns for --columns. */
int nj_options_parse(const nj_option *const *tables, void *conf, int argc, char **argv, nj_words *words,
                     nj_error *err);

/* A word that must be one of a few ("build", "info"; ends with NULL): fills err with the nearest.
 * Always -1. */
int nj_word_wrong(const char *what, const char *word, const char *const *known, nj_error *err);

#endif
