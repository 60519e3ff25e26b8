/* modules.h - all modules of this process: built in, and loaded from shared objects;
 * every ABI check is here. */
#ifndef NJ_GRAPH_MODULES_H
#define NJ_GRAPH_MODULES_H

#include "../base/arena.h"
#include "../base/error.h"
#include "nightjar/module.h"

extern const nj_module *const nj_builtin_modules[]; /* made by the Makefile; ends with NULL */

typedef struct nj_loaded_module {
    const nj_module *module; /* at the host's size: a smaller module's missing tail is zero */
    const char *path;        /* of the shared object; NULL = built in */
    bool given_again;        /* and reported */
} nj_loaded_module;

typedef struct nj_modules {
    nj_arena arena;
    nj_loaded_module *item;
    uint32_t n, cap;
} nj_modules; /* zero-initialised = none */

/* Adds the built-in table. -1 when one of them breaks the ABI's rules. */
int nj_modules_builtin(nj_modules *m, nj_error *err);
/* Adds one module after all ABI checks; path: of its shared object, NULL = built in (kept, not copied). */
int nj_modules_add(nj_modules *m, const nj_module *module, const char *path, nj_error *err);
/* Loads one shared object, or every *.so of a folder; a module of the same name replaces the built-in one.
 * The same file again is reported and skipped. A shared object is never closed: its code and tables may be in
 * use until the process ends. */
int nj_modules_load(nj_modules *m, const char *path, nj_error *err);
/* This file is meant to replace a module, so that is not reported. Another is, once in a process. */
void nj_modules_asked(const char *path);
/* It was neither asked for nor reported: it is to be, and counts as reported. */
bool nj_modules_first_report(const char *path);
const nj_loaded_module *nj_modules_find(const nj_modules *m, const char *name);
void nj_modules_free(nj_modules *m);

/* Copies a module's table of needs, gives or params (rows of `stride` bytes, ended by a zero name) into rows
 * of the host's size. Returns the number of rows, or -1 when memory is short. */
int nj_table_rows(nj_arena *arena, const void *table, size_t stride, size_t size, void **rows);

#endif
