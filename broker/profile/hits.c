/* hits.c - samples show time but not how often a line ran; exact counts come from a second build with
 * gcov. */
#include "hits.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/log.h"
#include "../graph/crash.h"
#include "build.h"

typedef struct child_answer { /* what the child sends back */
    int done;
    uint64_t offered, hits, flagged;
    nj_error err;
} child_answer;

/* gcov writes its counters when the object's destructors run: at exit(), since a module is never dlclosed. */
static void child(child_answer *t, const nj_replay_options *options, const nj_alerts *alerts,
                  const nj_hits_more *more)
{
    nj_replay r = { 0 };
    nj_log_level(NJ_LOG_ERROR); /* this pass repeats what the other one says */
    unsetenv("GCOV_PREFIX");
    unsetenv("GCOV_PREFIX_STRIP");
    nj_crash_watch();
    nj_replay_watch(options, NJ_LOG_ERROR); /* a call that hangs here never reaches the other pass */
    if (nj_replay_open(&r, options, alerts, &t->err)) _exit(1);
    if (more && more->work(more->opaque, &r, &t->err)) _exit(1);
    t->offered = r.first.offered;
    t->hits = r.first.hits;
    t->flagged = r.first.flagged;
    t->done = 1;
    exit(0);
}

static int run_child(nj_hits *h, const nj_replay_options *options, const nj_alerts *alerts,
                     const nj_hits_more *more, nj_error *err)
{
    child_answer *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED) return nj_fail(err, "out of memory");
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) child(t, options, alerts, more);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    h->offered = t->offered;
    h->hits = t->hits;
    h->flagged = t->flagged;
    int rc = 0;
    if (pid < 0 || !t->done || !WIFEXITED(status))
        rc = nj_fail(err, "the counting pass failed: %s", t->err.text[0] ? t->err.text : "it crashed");
    munmap(t, sizeof *t);
    return rc;
}

static int take_line(nj_hits *h, json_t *entry)
{
    json_int_t line = json_integer_value(json_object_get(entry, "line_number"));
    if (line <= 0 || line > 1000000) return 0;
    if ((uint32_t)line >= h->n_lines) {
        uint32_t n = (uint32_t)line + 1024;
        uint64_t *more = realloc(h->line, n * sizeof *more);
        if (!more) return -1;
        memset(more + h->n_lines, 0xff, (n - h->n_lines) * sizeof *more);
        h->line = more;
        h->n_lines = n;
    }
    uint64_t count = (uint64_t)json_integer_value(json_object_get(entry, "count")), *cell = &h->line[line];
    *cell = *cell == NJ_NOT_A_LINE ? count : *cell + count;
    return 0;
}

static int take_file(nj_hits *h, json_t *file)
{
    size_t i;
    json_t *entry, *functions = json_object_get(file, "functions");
    h->function = calloc(json_array_size(functions) + 1, sizeof *h->function);
    if (!h->function) return -1;
    json_array_foreach(functions, i, entry)
    {
        nj_hits_function *f = &h->function[h->n_functions++];
        const char *name = json_string_value(json_object_get(entry, "name"));
        snprintf(f->name, sizeof f->name, "%s", name ? name : "");
        f->first = (int)json_integer_value(json_object_get(entry, "start_line"));
        f->last = (int)json_integer_value(json_object_get(entry, "end_line"));
        f->calls = (uint64_t)json_integer_value(json_object_get(entry, "execution_count"));
    }
    json_array_foreach(json_object_get(file, "lines"), i, entry) if (take_line(h, entry)) return -1;
    return 0;
}

static int read_counters(nj_hits *h, const char *source, const char *object, const char *folder,
                         nj_error *err)
{
    char data[512], *text = NULL;
    const char *chosen = getenv("GCOV"), *gcov = chosen && *chosen ? chosen : "gcov",
               *base = nj_base_name(source);
    /* NAME.so beside NAME.gcda */
    snprintf(data, sizeof data, "%.*s.gcda", (int)(strlen(object) - 3), object);
    if (access(data, R_OK)) return nj_fail(err, "the instrumented module left no counters");
    char *argv[] = { (char *)gcov, (char *)"-j", (char *)"-t", data, NULL };
    int status = nj_build_command(argv, folder, &text);
    const char *begin = text ? strchr(text, '{') : NULL;
    json_error_t e;
    json_t *root = status == 0 && begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, &e) : NULL, *file;
    int rc =
        root ? 1
             : nj_fail(err, "%s -j -t: %.*s", gcov, text ? (int)strcspn(text, "\n") : 0, text ? text : "");
    size_t i;
    json_array_foreach(json_object_get(root, "files"), i, file)
    {
        const char *name = json_string_value(json_object_get(file, "file"));
        if (rc == 1 && name && !strcmp(nj_base_name(name), base))
            rc = take_file(h, file) ? nj_fail(err, "out of memory") : 0;
    }
    if (rc == 1) rc = nj_fail(err, "%s says nothing about %s", gcov, base);
    json_decref(root);
    free(text);
    return rc;
}

int nj_hits_again(nj_hits *h, const char *source, const char *object, const char *folder,
                  const nj_replay_options *options, const nj_alerts *alerts, const nj_hits_more *more,
                  nj_error *err)
{
    nj_replay_options o = *options;
    o.module_file = object;
    if (run_child(h, &o, alerts, more, err) || read_counters(h, source, object, folder, err)) {
        nj_hits_free(h);
        return -1;
    }
    return 0;
}

int nj_hits_count(nj_hits *h, const char *source, const char *folder, const nj_replay_options *options,
                  const nj_alerts *alerts, nj_error *err)
{
    char object[512];
    if (nj_build(source, NJ_BUILD_HITS, folder, object, err)) return -1;
    if (nj_hits_again(h, source, object, folder, options, alerts, NULL, err)) return -1;
    memcpy(h->object, object, sizeof h->object);
    return 0;
}

void nj_hits_free(nj_hits *h)
{
    free(h->function);
    free(h->line);
    *h = (nj_hits){ 0 };
}
