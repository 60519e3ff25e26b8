/* settings.h - [section] key = value from INI files and -D options, each with where it was given, and tables
 * that turn them into structs. Unknown keys are errors with the nearest known one. */
#ifndef NJ_BASE_SETTINGS_H
#define NJ_BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "nightjar/module.h"

typedef struct nj_setting {
    const char *section, *key, *value;
    const char *where; /* "night.ini:12" or "-D" */
    int used;          /* set by nj_settings_apply and nj_settings_get */
} nj_setting;

typedef struct nj_settings {
    nj_arena arena;
    nj_setting *item; /* in the order given; of equal keys the last one counts */
    size_t n, cap;
} nj_settings; /* zero-initialised = none */

/* Adds the settings of an INI file (libinih) or of INI text. -1 with file and line on a syntax error. */
int nj_settings_file(nj_settings *s, const char *path, nj_error *err);
int nj_settings_ini(nj_settings *s, const char *name, const char *text, nj_error *err);
/* Adds one "section.key=value"; the section may hold dots, the key may not
 * ("module.gcvs.radius_arcsec=2"). */
int nj_settings_define(nj_settings *s, const char *text, nj_error *err);
/* Adds one "name=value" of librdkafka to [kafka] (-X). */
int nj_settings_kafka(nj_settings *s, const char *text, nj_error *err);
int nj_settings_set(nj_settings *s, const char *section, const char *key, const char *value,
                    const char *where);
/* The value, or NULL. Pointers live until nj_settings_free. */
const char *nj_settings_get(nj_settings *s, const char *section, const char *key);
/* It came with the binary: no user gave it. */
bool nj_setting_is_built_in(const nj_setting *t);
/* Fills conf by the table (ends with {0}): defaults first, then the section's values, each range-checked.
 * Strings point into the settings. Keys of the section that no row names are errors, but for those in `also`
 * (NULL-terminated list, or NULL; "need.*" stands for all keys that begin so).
 * Integers may end in k, M, G (powers of 1024). */
int nj_settings_apply(nj_settings *s, const char *section, const nj_param *table, const char *const *also,
                      void *conf, nj_error *err);
/* -1, and err says that t's section has no such key: the nearest of `known` is named, else all that fit. */
int nj_settings_no_key(const nj_setting *t, const char *const *known, size_t n, nj_error *err);
void nj_settings_free(nj_settings *s);

/* [a-z][a-z0-9_]*: what modules, instances, topics and columns may be called. */
bool nj_name_is_valid(const char *name);
/* The candidate nearest to `word` by edit distance, never the word itself, or NULL when none is close. */
const char *nj_nearest(const char *word, const char *const *candidate, size_t n);

#endif
