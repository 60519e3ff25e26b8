/* build.c - line counts need an instrumented build of the module, so its source is compiled into a temporary
 * folder. */
#include "build.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/file.h"
#include "../base/scratch.h"

int nj_build_folder(char path[256], nj_error *err)
{
    return nj_scratch_make(path, 256, NULL, "profile", err);
}

void nj_build_remove(const char *path)
{
    nj_scratch_remove(path);
}

int nj_build_command(char *const argv[], const char *folder, char **text)
{
    int pipe_end[2], status = -1;
    *text = NULL;
    if (pipe(pipe_end)) return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_end[1], 1);
        dup2(pipe_end[1], 2);
        close(pipe_end[0]);
        unsetenv("GCOV_PREFIX"); /* the counters are read where the compiler puts them */
        if (folder && chdir(folder)) _exit(127);
        execvp(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(pipe_end[1]);
    nj_buffer out = { 0 };
    char part[65536];
    ssize_t n;
    while (child > 0 && ((n = read(pipe_end[0], part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) nj_buffer_add(&out, part, (size_t)n);
    close(pipe_end[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    *text = out.data;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The folder with include/ and the kernel library: the project's root, or the installation's prefix. */
static void find_root(char include[512], char kit[512])
{
    static const char *const way[][2] = { { "include", "build/release/libnightjar-kit.a" },
                                          { "../include", "../lib/libnightjar-kit.a" },
                                          { "../../include", "libnightjar-kit.a" },
                                          /* tests, sanitized builds */
                                          { "../../../../include", "../../libnightjar-kit.a" } };
    char self[400] = "", probe[1024];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    include[0] = kit[0] = 0;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        snprintf(probe, sizeof probe, "%s/%s/nightjar/module.h", self, way[i][0]);
        if (!include[0] && access(probe, R_OK) == 0) snprintf(include, 512, "%.380s/%s", self, way[i][0]);
        snprintf(probe, sizeof probe, "%s/%s", self, way[i][1]);
        if (!kit[0] && access(probe, R_OK) == 0) snprintf(kit, 512, "%.380s/%s", self, way[i][1]);
    }
}

/* The compiler's first error, or its first line. */
static void complaint(const char *text, char line[400])
{
    const char *at = text ? strstr(text, "error") : NULL;
    if (!at) at = text ? text : "no output";
    while (text && at > text && at[-1] != '\n') at--;
    snprintf(line, 400, "%.*s", (int)(strcspn(at, "\n") < 399 ? strcspn(at, "\n") : 399), at);
}

bool nj_build_is_cxx(const char *source)
{
    return nj_ends_with(source, ".cc") || nj_ends_with(source, ".cpp");
}

bool nj_build_is_source(const char *source)
{
    return nj_ends_with(source, ".c") || nj_build_is_cxx(source);
}

enum { MAX_WORDS = 64 };

static int add_words(char *argv[], int n, char *text)
{
    char *save = NULL;
    for (char *word = strtok_r(text, " ", &save); word && n < MAX_WORDS - 24;
         word = strtok_r(NULL, " ", &save))
        argv[n++] = word;
    return n;
}

int nj_build(const char *source, nj_build_kind kind, const char *folder, char object[512], nj_error *err)
{
    static const char *const flags[] = { "-O2 -g", "-O0 -g --coverage -fprofile-update=atomic" };
    static const char common[] = "-fopenmp -ffp-contract=off -fno-math-errno -fPIC -D_GNU_SOURCE "
                                 "-fvisibility=hidden -DNJ_SHARED";
    const bool cxx = nj_build_is_cxx(source);
    char include[512], kit[512], real[4096], here[4104], compiler[256], words[2][256], also[600], name[200],
        unit[600], *text = NULL;
    const char *cc = getenv(cxx ? "CXX" : "CC");
    if (!realpath(source, real)) return nj_fail(err, "%s: %s", source, strerror(errno));
    find_root(include, kit);
    if (!include[0]) return nj_fail(err, "nightjar/module.h is not beside this binary");
    snprintf(also, sizeof also, "-I%s", include);
    char *file = strrchr(real, '/'); /* realpath's answer has one */
    if (!file) return nj_fail(err, "%s: not a file", real);
    snprintf(here, sizeof here, "-I%.*s", (int)(file - real), real);
    snprintf(name, sizeof name, "%.150s%s", file + 1, kind == NJ_BUILD_HITS ? ".hits" : "");
    snprintf(unit, sizeof unit, "%s/%s.o", folder, name);
    snprintf(object, 512, "%s/%s.so", folder, name);
    snprintf(compiler, sizeof compiler, "%s", cc && *cc ? cc : cxx ? "c++" : "cc");
    if (kind == NJ_BUILD_HITS && strstr(compiler, "clang"))
        snprintf(compiler, sizeof compiler, cxx ? "g++" : "gcc"); /* gcov reads its own compiler's files */
    snprintf(words[0], sizeof words[0], "%s %s", cxx ? "-std=c++20" : "-std=c11", common);
    snprintf(words[1], sizeof words[1], "%s", flags[kind]);
    char *argv[MAX_WORDS];
    int n = add_words(argv, 0, compiler);
    n = add_words(argv, add_words(argv, n, words[0]), words[1]);
    int options = n;
    char *const compile[] = { also, here, (char *)"-c", real, (char *)"-o", unit, NULL };
    memcpy(argv + n, compile, sizeof compile);
    if (nj_build_command(argv, folder, &text) == 0) {
        char *const link[] = { (char *)"-shared",
                               (char *)"-o",
                               object,
                               unit,
                               kit[0] ? kit : unit,
                               (char *)"-Wl,--as-needed",
                               (char *)"-lm",
                               (char *)"-lfftw3",
                               (char *)"-lgsl",
                               (char *)"-lgslcblas",
                               (char *)"-lerfa",
                               NULL };
        memcpy(argv + options, link, sizeof link);
        if (!kit[0]) argv[options + 4] = (char *)"-Wl,--as-needed";
        free(text);
        if (nj_build_command(argv, folder, &text) == 0) return free(text), 0;
    }
    char line[400];
    complaint(text, line);
    free(text);
    return nj_fail(err, "%s: %s", compiler, line);
}
