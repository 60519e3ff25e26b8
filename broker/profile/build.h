/* build.h - a module's source compiled into a shared object of a scratch folder,
 * by the machine's C compiler. */
#ifndef NJ_PROFILE_BUILD_H
#define NJ_PROFILE_BUILD_H

#include <stdbool.h>

#include "../base/error.h"

typedef enum {
    NJ_BUILD_PRODUCTION,
    /* -O2 -g */ NJ_BUILD_HITS /* -O0 -g --coverage -fprofile-update=atomic */
} nj_build_kind;

/* A scratch folder; path[] receives its name. -1 with err. */
int nj_build_folder(char path[256], nj_error *err);
void nj_build_remove(const char *path); /* the folder and its files */
/* Is it a file of source by its name (.c, .cc, .cpp), of C++? */
bool nj_build_is_source(const char *source);
bool nj_build_is_cxx(const char *source);
/* Compiles source to folder/NAME.so (object[] receives the path). The compiler is $CC or cc, $CXX or c++;
 * headers and the kernel library are those of this binary's project or installation.
 * -1 with the compiler's first complaint. */
int nj_build(const char *source, nj_build_kind kind, const char *folder, char object[512], nj_error *err);
/* Runs a command without a shell; its output (stdout and stderr) in *text, malloc'ed, or NULL.
 * Returns its exit status, -1. */
int nj_build_command(char *const argv[], const char *folder, char **text);

#endif
