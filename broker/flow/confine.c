/* confine.c - which folders a run writes to, and whether its threads need sockets, is known from its options
 * and settings; all else is refused. */
#include "confine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "../base/output.h"
#include "../base/runtime.h"
#include "../graph/sandbox.h"
#include "internal.h"
#include "notices.h"
#include "supervise.h"

enum { MOST_PLACES = 256 };

typedef struct places {
    run *r;
    const char *item[MOST_PLACES], *program[MOST_PLACES];
    uint32_t n, n_programs;
    bool failed;
} places;

static void add(places *p, const char *text)
{
    if (!text || p->n == MOST_PLACES)
        p->failed = true;
    else
        p->item[p->n++] = text;
}

static void add_folder(void *places_, const char *folder)
{
    places *p = places_;
    add(p, nj_arena_text(&p->r->arena, folder, strlen(folder)));
}

/* The folder that a file is or will be in; of out/{night}/x it is out. A device or a pipe is itself. */
static void add_file(places *p, const char *path)
{
    struct stat st;
    if (!path || nj_output_is_standard(path)) return;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return add(p, path);
    size_t n = strcspn(path, "{");
    while (n && path[n - 1] != '/') n--;
    char *folder = nj_arena_text(&p->r->arena, n ? path : ".", n ? n : 1);
    /* one that is not there yet is made in the nearest one that is */
    while (folder && stat(folder, &st)) {
        size_t k = strlen(folder);
        while (k && folder[k - 1] == '/') k--;
        while (k && folder[k - 1] != '/') k--;
        folder = k ? nj_arena_text(&p->r->arena, folder, k) : nj_arena_text(&p->r->arena, ".", 1);
        if (!k) break;
    }
    add(p, folder);
}

static void add_program(places *p, const char *path)
{
    char *real = realpath(path, NULL), *kept = real ? nj_arena_text(&p->r->arena, real, strlen(real)) : NULL;
    free(real);
    if (kept && p->n_programs < MOST_PLACES) p->program[p->n_programs++] = kept;
}

/* pyenv and others put scripts before the interpreters, and the sandbox lets a run start no other program:
 * the interpreter behind is asked for its own path. NULL: the file is none, or says nothing. */
static const char *behind_script(places *p, const char *file)
{
    char two[2] = "", line[4096] = "", command[4200];
    FILE *f = fopen(file, "re");
    bool script = f && fread(two, 1, 2, f) == 2 && two[0] == '#' && two[1] == '!';
    if (f) fclose(f);
    if (!script) return NULL;
    snprintf(command, sizeof command, "'%s' -c 'import sys; print(sys.executable)' 2>/dev/null", file);
    f = strchr(file, '\'') ? NULL : popen(command, "r");
    bool says = f && fgets(line, sizeof line, f);
    line[strcspn(line, "\n")] = 0;
    if (f && (pclose(f) || access(line, X_OK))) says = false;
    if (says) return nj_arena_text(&p->r->options->settings->arena, line, strlen(line));
    nj_log(NJ_LOG_WARN,
           "[guard] sandbox: %s is a script, and what it starts is not known: name the interpreter "
           "itself",
           file);
    return NULL;
}

/* The interpreter of a Python module, as execvp() finds it. Returned: which one to start instead, or NULL. */
static const char *add_interpreter(places *p, const char *name)
{
    const char *path = getenv("PATH"), *real = NULL;
    if (strchr(name, '/')) {
        real = behind_script(p, name);
        add_program(p, real ? real : name);
        return real;
    }
    for (const char *at = path ? path : "/usr/bin:/bin", *end; *at; at = *end ? end + 1 : end) {
        char file[4096];
        end = strchrnul(at, ':');
        if ((size_t)snprintf(file, sizeof file, "%.*s/%s", (int)(end - at), at, name) >= sizeof file ||
            access(file, X_OK))
            continue;
        real = behind_script(p, file);
        add_program(p, real ? real : file);
        break;
    }
    return real;
}

/* Modules in Python have an interpreter, which open() starts. */
static void add_interpreters(places *p, const nj_run_options *o)
{
    const char *usual = getenv("NIGHTJAR_PYTHON");
    bool any = false;
    for (uint32_t i = 0; i < o->n_module_paths; i++) any |= nj_ends_with(o->module_path[i], ".py");
    for (size_t i = 0; i < o->settings->n; i++) {
        nj_setting *t = &o->settings->item[i];
        if (strncmp(t->section, "module.", 7)) continue;
        any |= !strcmp(t->key, "kind") && !strcmp(t->value, "python");
        if (strcmp(t->key, "python") || !t->value[0]) continue;
        const char *real = add_interpreter(p, t->value);
        if (real) t->value = real;
    }
    if (!any) return;
    const char *real = add_interpreter(p, usual && usual[0] ? usual : "python3");
    if (real) setenv("NIGHTJAR_PYTHON", real, 1);  /* no other thread runs yet */
    add_program(p, "/lib64/ld-linux-x86-64.so.2"); /* what execve() itself starts */
    add_program(p, "/lib/ld-linux-aarch64.so.1");
}

/* The locks of names in Kafka's groups and transactions. */
static void add_locks(places *p, const nj_run_options *o)
{
    char folder[4096];
    bool kafka = false;
    for (uint32_t i = 0; i < o->n_sources; i++) kafka |= !strncmp(o->source[i], "kafka", 5);
    for (uint32_t i = 0; i < o->n_sinks; i++) kafka |= !strncmp(o->sink[i], "kafka", 5);
    if (kafka && !nj_runtime_folder(folder, sizeof folder)) add_folder(p, folder);
}

static bool is_wanted(const run *r, const nj_guard_conf *conf)
{
    return conf->sandbox > 0 || (conf->sandbox < 0 && r->options->n_module_paths);
}

int nj_flow_confine_files(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    nj_guard_conf conf;
    char why[200];
    if (nj_settings_apply(o->settings, "guard", nj_guard_settings, NULL, &conf, err)) return -1;
    if (!o->own_process || !is_wanted(r, &conf)) return 0;
    r->confined = true;
    places *p = nj_arena_zalloc(&r->arena, sizeof *p);
    if (!p) return nj_fail(err, "out of memory");
    p->r = r;
    for (uint32_t i = 0; i < o->n_sinks; i++) {
        const char *target = strchr(o->sink[i], ':');
        if (nj_sink_path(o->sink[i]))
            add_file(p, nj_sink_path(o->sink[i]));
        else if (target && !strncmp(target, ":/dev/", 6))
            add_file(p, target + 1);
    }
    add_file(p, o->dead_letters ? o->dead_letters : nj_flow_letters_path(r, 1));
    add_locks(p, o);
    add_file(p, o->report);
    add_file(p, o->trace_file);
    for (size_t i = 0; i < o->settings->n; i++) { /* of modules that keep a service's answers */
        const nj_setting *t = &o->settings->item[i];
        if (!strncmp(t->section, "module.", 7) && !strcmp(t->key, "cache") && t->value[0])
            add_file(p, t->value);
    }
    nj_notices_each_folder(r, add_folder, p);
    add_interpreters(p, o);
    add(p, "/dev/null");
    add(p, "/dev/tty");
    if (p->failed) return nj_fail(err, "[guard] sandbox: too many outputs");
    for (uint32_t i = 0; i < p->n; i++) nj_debug(NJ_DEBUG_FLOW, "sandbox: may write below %s", p->item[i]);
    if (!nj_sandbox_files(p->item, p->n, p->program, p->n_programs, why, sizeof why))
        nj_log(NJ_LOG_WARN, "[guard] sandbox: files are not guarded but against threads of modules: %s", why);
    return 0;
}

/* The compute threads ask a schema registry, and services of modules may have theirs. */
static bool needs_sockets(const run *r)
{
    const nj_settings *s = r->options->settings;
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->item[i].section, "registry") && !strcmp(s->item[i].key, "url") && s->item[i].value[0])
            return true;
    return false;
}

void nj_flow_confine_calls(run *r)
{
    char why[200];
    if (!r->confined) return;
    bool sockets = needs_sockets(r);
    if (sockets) {
        nj_debug(NJ_DEBUG_FLOW, "sandbox: sockets stay allowed for the schema registry");
        /* the threads that decode write no files */
        nj_log(NJ_LOG_INFO, "[guard] sandbox: no schema is added to the cache of the registry");
        nj_decoder_keeps_nothing(r->engine.decoder);
    }
    r->sandbox = nj_sandbox_enter(sockets, &r->engine.instances, why, sizeof why);
    if (!r->sandbox) nj_log(NJ_LOG_WARN, "[guard] sandbox: calls of modules are not guarded: %s", why);
}

int nj_flow_confine_report(const run *r, nj_report *report)
{
    const nj_refused *list;
    uint32_t n = r->sandbox ? nj_sandbox_refused(r->sandbox, &list) : 0;
    if (!n) return 0;
    report->refused = calloc(n, sizeof *report->refused);
    if (!report->refused) return -1;
    report->n_refused = n;
    for (uint32_t i = 0; i < n; i++) {
        report->refused[i].n = list[i].n;
        snprintf(report->refused[i].module, sizeof report->refused[i].module, "%s", list[i].module);
        snprintf(report->refused[i].act, sizeof report->refused[i].act, "%s", list[i].act);
    }
    return 0;
}

void nj_flow_confine_free(run *r)
{
    nj_sandbox_free(r->sandbox);
    r->sandbox = NULL;
}
