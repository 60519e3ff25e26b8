/* modules.c - modules are compiled in or loaded from files; both kinds pass the same ABI checks here. */
#include "modules.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/file.h"
#include "../base/log.h"
#include "../base/settings.h"
#include "crash.h"
#include "guard.h"
#include "slot.h"
#include "state.h"
#include "table.h"

int nj_table_rows(nj_arena *arena, const void *table, size_t stride, size_t size, void **rows)
{
    int n = 0;
    const char *at = table;
    while (at && *(const char *const *)(at + (size_t)n * stride))
        n++; /* every row type starts with
              * its name */
    char *copy = nj_arena_zalloc(arena, ((size_t)n + 1) * size);
    if (!copy) return -1;
    for (int i = 0; i < n; i++)
        memcpy(copy + (size_t)i * size, at + (size_t)i * stride, stride < size ? stride : size);
    *rows = copy;
    return n;
}

enum { MAX_TEXT = 512 };

static int check(const nj_module *m, const char *from, nj_error *err)
{
    if (!nj_is_there(m, offsetof(nj_module, need_size)))
        return nj_fail(err, "%s: its struct nj_module is not there", from);
    if (m->abi != NJ_ABI)
        return nj_fail(
            err,
            "%s: module ABI %u, this nightjar has %u: compile it again with this nightjar's include/ (cc "
            "-std=c11 -O2 -fPIC -shared -DNJ_SHARED -I include FILE.c -o FILE.so)%s",
            from, m->abi, NJ_ABI,
            m->abi == 1
                ? "; NJ_OPTIONAL is now NJ_NEED_OPTIONAL, NJ_CANONICAL NJ_GIVE_CANONICAL, NJ_WHOLE_BATCH "
                  "NJ_MODULE_WHOLE_BATCH"
                : "");
    if (m->size > sizeof *m || m->need_size > sizeof(nj_need) || m->give_size > sizeof(nj_give) ||
        m->param_size > sizeof(nj_param))
        return nj_fail(err, "%s: compiled for a newer nightjar (module of %u bytes, here %zu)", from, m->size,
                       sizeof *m);
    if (!nj_is_there(m, m->size))
        return nj_fail(err, "%s: its struct nj_module is shorter than it says", from);
    if (m->size < offsetof(nj_module, process) + sizeof m->process)
        return nj_fail(err, "%s: module struct of %u bytes is too short", from, m->size);
    if (m->need_size < offsetof(nj_need, flags) || m->give_size < offsetof(nj_give, doc) ||
        m->param_size < offsetof(nj_param, unit))
        return nj_fail(err, "%s: the sizes of its rows are not given: begin the struct with NJ_HEADER", from);
    if (!nj_is_text(m->build, MAX_TEXT) || strcmp(m->build, NJ_BUILD))
        return nj_fail(err, "%s: built as '%s', this nightjar as '%s'", from, m->build ? m->build : "?",
                       NJ_BUILD);
    if (!nj_is_text(m->name, MAX_TEXT)) return nj_fail(err, "%s: the module has no name", from);
    if (!nj_name_is_valid(m->name))
        return nj_fail(err, "%s: module name '%s' is not [a-z][a-z0-9_]*", from, m->name);
    if (!nj_is_text(m->version, MAX_TEXT) || !nj_is_text(m->summary, MAX_TEXT) ||
        !nj_is_text(m->paper, MAX_TEXT))
        return nj_fail(err, "%s: version, summary and paper must be given", m->name);
    if (!m->process) return nj_fail(err, "%s: no process()", m->name);
    return 0;
}

/* m: at the host's size; at: as it lies in its file. */
static int check_tables(const nj_module *m, const nj_module *at, const char *path, nj_error *err)
{
    char who[MAX_TEXT];
    snprintf(who, sizeof who, "%s%smodule %s", path ? path : "", path ? ": " : "", m->name);
    const nj_table_of of = { m, at, who };
    if (!m->declare && (!m->needs || !m->gives)) return nj_fail(err, "%s: needs or gives are missing", who);
    if (nj_table_check(&of, NJ_TABLE_NEEDS, m->needs, err) ||
        nj_table_check(&of, NJ_TABLE_GIVES, m->gives, err))
        return -1;
    return nj_table_check(&of, NJ_TABLE_PARAMS, m->params, err);
}

/* --- what replaces what --- */

/* Files whose replacing was reported, or is intended;
 * a process that runs modules many times reports it once. */
static char **reported;
static size_t n_reported;

/* False: it was reported before. */
static bool note_report(const char *real)
{
    for (size_t i = 0; i < n_reported; i++)
        if (!strcmp(reported[i], real)) return false;
    char **more = realloc(reported, (n_reported + 1) * sizeof *more);
    if (more) reported = more;
    if (more && (reported[n_reported] = strdup(real))) n_reported++;
    return true;
}

bool nj_modules_first_report(const char *path)
{
    char *real = realpath(path, NULL);
    bool first = !real || note_report(real);
    free(real);
    return first;
}

void nj_modules_asked(const char *path)
{
    char *real = realpath(path, NULL);
    if (real) note_report(real);
    free(real);
}

static nj_loaded_module *of_file(nj_modules *set, const char *real)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (set->item[i].path && !strcmp(set->item[i].path, real)) return &set->item[i];
    return NULL;
}

/* roid.so whose module is called otherwise leaves the built-in roid as it is: hardly what was meant. */
static void report_other_name(const nj_modules *set, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    size_t n = strcspn(file, ".");
    for (uint32_t i = 0; i < set->n; i++) {
        const char *other = set->item[i].module->name;
        if (strlen(other) == n && !strncmp(other, file, n) && strcmp(other, name) && note_report(path))
            nj_log(NJ_LOG_WARN, "%s: its module is called '%s', so that '%s' is still %s", path, name, other,
                   set->item[i].path ? set->item[i].path : "the built-in one");
    }
}

int nj_modules_add(nj_modules *set, const nj_module *module, const char *path, nj_error *err)
{
    if (check(module, path ? path : module->name, err)) return -1;
    nj_module *copy = nj_arena_zalloc(&set->arena, sizeof *copy);
    if (!copy) return nj_fail(err, "out of memory");
    memcpy(copy, module, module->size);
    if (check_tables(copy, module, path, err)) return -1;
    for (uint32_t i = 0; i < set->n; i++) {
        if (strcmp(set->item[i].module->name, module->name)) continue;
        const char *other = set->item[i].path;
        if (!path && !other) return nj_fail(err, "two built-in modules are called %s", module->name);
        if (path && other)
            return nj_fail(err, "two modules are called %s: %s and %s", module->name, other, path);
        if (path && note_report(path))
            nj_log(NJ_LOG_WARN, "module %s %s from %s replaces the built-in one", module->name,
                   module->version, path);
        set->item[i] = (nj_loaded_module){ .module = copy, .path = path };
        return 0;
    }
    if (set->n == set->cap) {
        uint32_t cap = set->cap ? 2 * set->cap : 64;
        nj_loaded_module *item = realloc(set->item, cap * sizeof *item);
        if (!item) return nj_fail(err, "out of memory");
        set->item = item;
        set->cap = cap;
    }
    set->item[set->n++] = (nj_loaded_module){ .module = copy, .path = path };
    return 0;
}

int nj_modules_builtin(nj_modules *set, nj_error *err)
{
    for (const nj_module *const *m = nj_builtin_modules; *m; m++)
        if (nj_modules_add(set, *m, NULL, err)) return -1;
    return 0;
}

static int load_one(nj_modules *set, const char *path, nj_error *err)
{
    /* dlopen looks a bare name up on the library path: make it a path */
    char *real = realpath(path, NULL);
    if (!real) return nj_fail(err, "%s: no such file", path);
    char *kept = nj_arena_text(&set->arena, real, strlen(real));
    free(real);
    if (!kept) return nj_fail(err, "out of memory");
    nj_loaded_module *again = of_file(set, kept);
    if (again) {
        if (!again->given_again)
            nj_log(NJ_LOG_WARN, "%s is given twice: module %s is loaded once", kept, again->module->name);
        again->given_again = true;
        return 0;
    }
    struct stat st;
    /* a pipe would not end */
    if (stat(kept, &st) || !S_ISREG(st.st_mode)) return nj_fail(err, "%s: not a file", kept);
    if (nj_guard_here) snprintf(nj_guard_here->probed, sizeof nj_guard_here->probed, "%s", kept);
    nj_slot_enter(nj_slot_set_up, kept, NJ_PHASE_LOAD);
    nj_state state;
    nj_state_begin(&state, true);
    void *handle = dlopen(kept, RTLD_NOW | RTLD_LOCAL); /* its constructors, and -ffast-math's */
    nj_state_left(&state, kept, nj_phase_name[NJ_PHASE_LOAD]);
    nj_slot_leave(nj_slot_set_up);
    if (!handle) return nj_fail(err, "%s", dlerror());
    const nj_module *(*entry)(void);
    *(void **)&entry = dlsym(handle, "nj_module_entry"); /* the POSIX idiom for a function from dlsym */
    if (!entry)
        return nj_fail(err, "%s: no nj_module_entry(): not a nightjar module (compile it with -DNJ_SHARED)",
                       kept);
    nj_slot_enter(nj_slot_set_up, kept, NJ_PHASE_LOAD);
    const nj_module *module = entry();
    nj_slot_leave(nj_slot_set_up);
    if (!module) return nj_fail(err, "%s: nj_module_entry() gave nothing", kept);
    if (nj_modules_add(set, module, kept, err)) return -1;
    nj_crash_file(module->name, *(void **)&entry);
    report_other_name(set, kept, module->name);
    return 0;
}

static int is_so(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 3 && !strcmp(d->d_name + n - 3, ".so");
}

int nj_modules_load(nj_modules *set, const char *path, nj_error *err)
{
    struct stat st;
    if (stat(path, &st)) return nj_fail(err, "%s: no such file or folder", path);
    if (!S_ISDIR(st.st_mode)) return load_one(set, path, err);
    struct dirent **entry;
    int n = scandir(path, &entry, is_so, alphasort), rc = 0;
    if (n < 0) return nj_fail(err, "%s: cannot be read", path);
    if (n == 0) rc = nj_fail(err, "%s: no *.so in this folder", path);
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (rc == 0) {
            bool fits = (size_t)snprintf(file, sizeof file, "%s/%s", path, entry[i]->d_name) < sizeof file;
            if (!fits)
                rc = nj_fail(err, "%s: the path of %s is too long", path, entry[i]->d_name);
            else
                rc = nj_is_special(file) ? nj_fail(err, "%s: is not a file", file) : load_one(set, file, err);
        }
        free(entry[i]);
    }
    free(entry);
    return rc;
}

const nj_loaded_module *nj_modules_find(const nj_modules *set, const char *name)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!strcmp(set->item[i].module->name, name)) return &set->item[i];
    return NULL;
}

void nj_modules_free(nj_modules *set)
{
    free(set->item);
    nj_arena_free(&set->arena);
    *set = (nj_modules){ 0 };
}
