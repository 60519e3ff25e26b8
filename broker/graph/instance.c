/* instance.c - one module can run several times with different settings; this configures, opens and closes
 * the instances. */
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/sha256.h"
#include "nightjar/sky.h"
#include "services.h"
#include "slot.h"
#include "state.h"
#include "table.h"

static const char *const host_keys[] = { "kind", "default", "surveys", "need.*", NULL };
static const char *const words_for_no[] = { "0", "no", "false", "off", NULL };
static const char *const words_for_yes[] = { "1", "yes", "true", "on", NULL };

static bool is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(*list, word)) list++;
    return *list != NULL;
}

const char *nj_what_is_absent(int status)
{
    return status == NJ_ENO_MODEL     ? "model"
           : status == NJ_ENO_CATALOG ? "catalogue"
           : status == NJ_ENO_SERVICE ? "service"
                                      : NULL;
}

/* --- services for open() and declare() --- */

__attribute__((format(printf, 3, 4))) static void host_log(void *opaque, int level, const char *format, ...)
{
    nj_instances *set = opaque;
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (set->setting_up && level <= NJ_LOG_WARN) { /* logged once, with the reason, if it fails; else below */
        if (!set->said[0]) snprintf(set->said, sizeof set->said, "%.*s", (int)sizeof set->said - 1, text);
        level = NJ_LOG_DEBUG;
    }
    nj_log(level < NJ_LOG_ERROR ? NJ_LOG_ERROR : level > NJ_LOG_DEBUG ? NJ_LOG_DEBUG : level, "%s", text);
}

static void *host_alloc(void *opaque, size_t bytes)
{
    nj_instances *set = opaque;
    void *room = nj_arena_zalloc(&set->arena, bytes);
    if (!room) set->no_memory = true;
    return room;
}

/* name as it stands if absolute, else below each folder of the data path,
 * else below the working directory. -1: errno */
static int find_file(const nj_instances *set, const char *name, char path[4096])
{
    for (const char *dir = set->data_path; dir && *dir && name[0] != '/';) {
        const char *end = strchrnul(dir, ':');
        snprintf(path, 4096, "%.*s/%s", (int)(end - dir), dir, name);
        if (access(path, R_OK) == 0) return 0;
        dir = *end ? end + 1 : end;
    }
    snprintf(path, 4096, "%s", name);
    return access(path, R_OK);
}

static int no_room(nj_instances *set, void *map, size_t n)
{
    if (map) munmap(map, n);
    set->no_memory = true;
    return NJ_ENOMEM;
}

static int host_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    nj_instances *set = opaque;
    for (uint32_t i = 0; i < set->n_files; i++)
        if (!strcmp(set->file[i].name, name)) {
            *bytes = set->file[i].bytes;
            *n = set->file[i].n;
            return NJ_OK;
        }
    char path[4096];
    struct stat st;
    if (find_file(set, name, path)) return errno == ENOENT || errno == ENOTDIR ? NJ_ENO_CATALOG : NJ_ECONF;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NJ_ECONF;
    void *map = NULL;
    int ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (ok && st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = map != MAP_FAILED;
    }
    close(fd);
    if (!ok) return NJ_ECONF;
    if (set->n_files == set->cap_files) {
        uint32_t cap = set->cap_files ? 2 * set->cap_files : 16;
        nj_data_file *file = realloc(set->file, cap * sizeof *file);
        if (!file) return no_room(set, map, (size_t)st.st_size);
        set->file = file;
        set->cap_files = cap;
    }
    nj_data_file *f = &set->file[set->n_files];
    *f = (nj_data_file){ .path = nj_arena_text(&set->arena, path, strlen(path)),
                         .name = nj_arena_text(&set->arena, name, strlen(name)),
                         .bytes = map ? map : "",
                         .n = (size_t)st.st_size };
    if (!f->path || !f->name) return no_room(set, map, (size_t)st.st_size);
    set->n_files++;
    nj_sha256(f->bytes, f->n, f->sha256);
    *bytes = f->bytes;
    *n = f->n;
    return NJ_OK;
}

/* Of the instance that is being opened. */
static void host_serial(void *opaque)
{
    nj_instances *set = opaque;
    if (set->opening) set->opening->serial = true;
}

static const void *host_service(void *opaque, const char *name, uint32_t version)
{
    (void)opaque;
    return nj_service(name, version);
}

/* --- which instances --- */

/* Names are as long as the report has room for. */
enum { MAX_NAME = 63 };

typedef struct section {
    char name[MAX_NAME + sizeof "module."];
} section;

/* The section "module.NAME" as settings know it. */
static section section_of(const char *name)
{
    section s;
    snprintf(s.name, sizeof s.name, "module.%s", name);
    return s;
}

static const char *kind_of(nj_instances *set, const char *name)
{
    const char *kind = nj_settings_get(set->settings, section_of(name).name, "kind");
    return kind ? kind : name;
}

/* All names that could be an instance: modules without declare(), and sections of a known kind. */
static const char **all_names(nj_instances *set, uint32_t *n_names)
{
    uint32_t n = 0;
    const char **name = nj_arena_alloc(&set->arena, (set->modules->n + set->settings->n + 1) * sizeof *name);
    *n_names = 0;
    if (!name) return NULL;
    for (uint32_t i = 0; i < set->modules->n; i++)
        if (!set->modules->item[i].module->declare) name[n++] = set->modules->item[i].module->name;
    for (size_t i = 0; i < set->settings->n; i++) {
        const char *given = set->settings->item[i].section;
        if (strncmp(given, "module.", 7) || !nj_modules_find(set->modules, kind_of(set, given + 7))) continue;
        uint32_t k = 0;
        while (k < n && strcmp(name[k], given + 7)) k++;
        if (k == n) name[n++] = given + 7;
    }
    *n_names = n;
    return name;
}

const char *nj_instances_nearest(nj_instances *set, const char *name)
{
    uint32_t n;
    const char **known = all_names(set, &n);
    return known ? nj_nearest(name, known, n) : NULL;
}

static bool is_adapter(const nj_instances *set, const char *name)
{
    const nj_loaded_module *e = nj_modules_find(set->modules, name);
    return e && e->module->flags & NJ_MODULE_ADAPTER;
}

static int in_default_set(nj_instances *set, const char *name)
{
    const char *flag = nj_settings_get(set->settings, section_of(name).name, "default");
    return !is_adapter(set, name) && !(flag && is_one_of(flag, words_for_no));
}

static nj_instance *find(nj_instances *set, const char *name)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!strcmp(set->item[i].name, name)) return &set->item[i];
    return NULL;
}

const nj_instance *nj_instances_find(const nj_instances *set, const char *name)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!strcmp(set->item[i].name, name)) return &set->item[i];
    return NULL;
}

/* need.lc.mag = mylookup.mag: reads the column elsewhere. */
static int redirect(nj_instances *set, const char *of, nj_need *need, int n, nj_error *err)
{
    for (size_t i = 0; i < set->settings->n; i++) {
        const nj_setting *t = &set->settings->item[i];
        if (strcmp(t->section, of) || strncmp(t->key, "need.", 5)) continue;
        const char **path = nj_arena_alloc(&set->arena, ((size_t)n + 1) * sizeof *path);
        if (!path) return nj_fail(err, "out of memory");
        int k = 0;
        for (; k < n && strcmp(need[k].path, t->key + 5); k++) path[k] = need[k].path;
        if (k < n) continue;
        const char *near = nj_nearest(t->key + 5, path, (size_t)n);
        return nj_fail(err, "%s: [%s] %s: it has no need '%s'%s%s%s", t->where, of, t->key, t->key + 5,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    for (int i = 0; i < n; i++) {
        const char *key = nj_arena_printf(&set->arena, "need.%s", need[i].path);
        if (!key) return nj_fail(err, "out of memory");
        const char *other = nj_settings_get(set->settings, of, key);
        if (other) need[i].path = other;
    }
    return 0;
}

static bool is_canonical_name(const char *name)
{
    const char *dot = strchr(name, '.');
    char first[64];
    if (!dot) return nj_name_is_valid(name);
    snprintf(first, sizeof first, "%.*s", (int)(dot - name), name);
    return nj_name_is_valid(first) && nj_name_is_valid(dot + 1);
}

/* Names of outputs become keys of rows: each once, and one that every output format can hold. */
static int check_gives(const char *module, const nj_give *give, int n, nj_error *err)
{
    for (int i = 0; i < n; i++) {
        const char *name = give[i].name;
        if (give[i].flags & NJ_GIVE_CANONICAL ? !is_canonical_name(name) : !nj_name_is_valid(name))
            return nj_fail(err, "module %s gives '%s': the name of an output is [a-z][a-z0-9_]*", module,
                           name);
        if (!strcmp(name, "reason"))
            return nj_fail(err, "module %s gives 'reason', which the host gives for every module", module);
        for (int k = 0; k < i; k++)
            if (!strcmp(give[k].name, name)) return nj_fail(err, "module %s gives '%s' twice", module, name);
    }
    return 0;
}

/* From here to end_set_up() an instance's complaints are kept instead of printed. */
static void begin_set_up(nj_instances *set)
{
    set->setting_up = true;
    set->no_memory = false;
    set->said[0] = 0;
}

static void end_set_up(nj_instances *set, bool failed)
{
    set->setting_up = false;
    if (!failed && set->said[0]) nj_log(NJ_LOG_WARN, "%s", set->said);
}

/* NJ_OK, or with err what declare() says; NJ_ECONF for a wrong key or value. */
static int set_up(nj_instances *set, nj_instance *in, nj_error *err)
{
    const nj_module *m = in->module;
    const section of = section_of(in->name);
    void *params;
    in->conf = nj_arena_zalloc(&set->arena, m->conf_size + 1);
    if (!in->conf || nj_table_rows(&set->arena, m->params, m->param_size, sizeof(nj_param), &params) < 0)
        return nj_fail(err, "out of memory"), NJ_ENOMEM;
    if (nj_settings_apply(set->settings, of.name, params, host_keys, in->conf, err)) return NJ_ECONF;
    nj_tables tables = { m->needs, m->gives };
    if (m->declare) {
        begin_set_up(set);
        nj_slot_enter(&nj_slot_set_up, in->name, NJ_PHASE_DECLARE);
        nj_state state;
        nj_state_begin(&state, true);
        int rc = m->declare(&set->host, in->conf, &tables);
        nj_state_left(&state, in->name, nj_phase_name[NJ_PHASE_DECLARE]);
        nj_slot_leave(&nj_slot_set_up);
        bool failed = rc != NJ_OK || !tables.needs || !tables.gives;
        end_set_up(set, failed);
        if (failed && set->no_memory) rc = NJ_ENOMEM;
        if (failed && rc == NJ_ENOMEM) return nj_fail(err, "module %s: out of memory", in->name), rc;
        if (failed) {
            const char *why = set->said[0] ? set->said : "it does not say why";
            if (rc == NJ_OK) rc = NJ_EINTERNAL;
            nj_fail(err, "%s%s%s%s", nj_what_is_absent(rc) ? "" : "module ",
                    nj_what_is_absent(rc) ? "" : in->name,
                    nj_what_is_absent(rc) ? "" : " cannot be set up: ", why);
            return rc;
        }
    }
    const nj_table_of table_of = { m, NULL, nj_arena_printf(&set->arena, "module %s", in->name) };
    if (!table_of.who) return nj_fail(err, "out of memory"), NJ_ENOMEM;
    if (m->declare && (nj_table_check(&table_of, NJ_TABLE_NEEDS, tables.needs, err) ||
                       nj_table_check(&table_of, NJ_TABLE_GIVES, tables.gives, err)))
        return NJ_ECONF;
    void *need, *give;
    int n_needs = nj_table_rows(&set->arena, tables.needs, m->need_size, sizeof(nj_need), &need);
    int n_gives = nj_table_rows(&set->arena, tables.gives, m->give_size, sizeof(nj_give), &give);
    if (n_needs < 0 || n_gives < 0) return nj_fail(err, "out of memory"), NJ_ENOMEM;
    if (nj_table_likes(&table_of, need, n_needs, give, n_gives, err)) return NJ_ECONF;
    if (redirect(set, of.name, need, n_needs, err) || check_gives(in->name, give, n_gives, err))
        return NJ_ECONF;
    in->surveys = nj_settings_get(set->settings, of.name, "surveys");
    if (!in->surveys) in->surveys = m->surveys;
    in->need = need;
    in->give = give;
    in->n_needs = (uint32_t)n_needs;
    in->n_gives = (uint32_t)n_gives;
    return 0;
}

/* NJ_OK: added, or there. Else err says why; what nj_what_is_absent() names may leave
 * a default module out. */
static int add(nj_instances *set, const char *name, bool wanted, nj_error *err)
{
    nj_instance *there = find(set, name);
    if (there) {
        there->wanted |= wanted;
        return 0;
    }
    const char *kind = kind_of(set, name);
    const nj_loaded_module *e = nj_modules_find(set->modules, kind);
    if (!e) {
        const char *near = nj_instances_nearest(set, name); /* a section of an unknown kind is found before */
        nj_fail(err, "no module '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
        return NJ_ECONF;
    }
    if (e->module->declare && !strcmp(kind, name) &&
        !nj_settings_get(set->settings, section_of(name).name, "kind"))
        return nj_fail(err, "module '%s' needs a section of its own: [module.NAME] kind = %s ...", name,
                       name),
               NJ_ECONF;
    nj_instance *item = realloc(set->item, (set->n + 1) * sizeof *item);
    if (!item) return nj_fail(err, "out of memory"), NJ_ENOMEM;
    set->item = item;
    nj_instance *in = &set->item[set->n];
    *in = (nj_instance){ .name = nj_arena_text(&set->arena, name, strlen(name)),
                         .module = e->module,
                         .path = e->path,
                         .wanted = wanted };
    if (!in->name) return nj_fail(err, "out of memory"), NJ_ENOMEM;
    int rc = set_up(set, in, err);
    if (rc == NJ_OK) set->n++;
    return rc;
}

static int note_off(nj_instances *set, const char *name, int status, const char *why, nj_error *err)
{
    nj_off *off = realloc(set->off, (set->n_off + 1) * sizeof *off);
    if (!off) return nj_fail(err, "out of memory");
    set->off = off;
    nj_off *o = &set->off[set->n_off];
    *o = (nj_off){ nj_arena_text(&set->arena, name, strlen(name)),
                   nj_arena_text(&set->arena, why, strlen(why)), status };
    if (!o->name || !o->why) return nj_fail(err, "out of memory");
    set->n_off++;
    return 0;
}

static const nj_off *find_off(const nj_instances *set, const char *name, size_t n)
{
    for (uint32_t i = 0; i < set->n_off; i++)
        if (strlen(set->off[i].name) == n && !strncmp(set->off[i].name, name, n)) return &set->off[i];
    return NULL;
}

/* The value of a setting that somebody gave, and that `why` speaks of:
 * what is not here is not here by its name. */
static const nj_setting *said_in(const nj_instances *set, const char *name, const char *why)
{
    const section of = section_of(name);
    const nj_setting *found = NULL;
    for (size_t i = 0; i < set->settings->n; i++) {
        const nj_setting *t = &set->settings->item[i];
        if (strcmp(t->section, of.name) || is_one_of(t->key, host_keys) || !strncmp(t->key, "need.", 5))
            continue;
        if (!*t->value || nj_setting_is_built_in(t)) continue;
        const char *at = strstr(why, t->value);
        const char *last = nj_settings_get(set->settings, of.name, t->key);
        if (at && last && !strcmp(last, t->value)) found = t;
    }
    return found;
}

/* Off, unless somebody gave the name of what is not here: then it is more likely wrong than missing. */
static int leave_out(nj_instances *set, const char *name, int status, const char *why, nj_error *err)
{
    const nj_setting *t = said_in(set, name, why);
    if (!t) return note_off(set, name, status, why, err);
    return nj_fail(err, "%s: [%s] %s = %s: %s (-m -%s leaves it out)", t->where, t->section, t->key, t->value,
                   why, name);
}

/* An instance that was not asked for by name: off when what it needs is not here;
 * every other fault stops the run. */
static int add_unasked(nj_instances *set, const char *name, const char *whose, nj_error *err)
{
    nj_error why = { "" };
    int rc = add(set, name, true, &why);
    if (rc == NJ_OK) return 0;
    if (nj_what_is_absent(rc)) return leave_out(set, name, rc, why.text, err);
    return nj_fail(err, "%s%s", whose, why.text);
}

/* Is the name in the -m list, with this sign ('+', '-') or without one (0)? */
static int selected(const char *select, const char *name, char sign)
{
    size_t n = strlen(name);
    for (const char *p = select; p && *p;) {
        const char *end = strchrnul(p, ',');
        char s = *p == '+' || *p == '-' ? *p : 0;
        const char *word = s ? p + 1 : p;
        if (s == sign && (size_t)(end - word) == n && !strncmp(word, name, n)) return 1;
        p = *end ? end + 1 : end;
    }
    return 0;
}

static int has_plain(const char *select)
{
    for (const char *p = select; p && *p;) {
        if (*p != '+' && *p != '-') return 1;
        const char *end = strchrnul(p, ',');
        p = *end ? end + 1 : end;
    }
    return 0;
}

bool nj_instances_could(const nj_instances *set, const char *name)
{
    const nj_loaded_module *e = nj_modules_find(set->modules, name);
    if (e && !e->module->declare) return true;
    for (size_t i = 0; i < set->settings->n; i++) {
        const char *given = set->settings->item[i].section;
        if (!strncmp(given, "module.", 7) && !strcmp(given + 7, name)) return true;
    }
    return false;
}

static int add_selected(nj_instances *set, const char *select, nj_error *err)
{
    for (const char *p = select; p && *p;) {
        const char *end = strchrnul(p, ',');
        char name[MAX_NAME + 1];
        const char *word = *p == '+' || *p == '-' ? p + 1 : p;
        if (end - word > MAX_NAME)
            return nj_fail(err, "-m: %.*s: a module's name has at most %d characters", (int)(end - word),
                           word, MAX_NAME);
        snprintf(name, sizeof name, "%.*s", (int)(end - word), word);
        nj_error why = { "" };
        if (*p == '-') {
            if (!nj_instances_could(set, name)) {
                const char *near = nj_instances_nearest(set, name);
                return nj_fail(err, "-m: no module '%s'%s%s%s", name, near ? "; did you mean '" : "",
                               near ? near : "", near ? "'?" : "");
            }
        } else if (add(set, name, true, &why))
            return nj_fail(err, "-m: %s", why.text);
        p = *end ? end + 1 : end;
    }
    return 0;
}

/* The instance that a need's path names ("roid.roid" -> "roid"), if it could be one. */
static int provider_name(nj_instances *set, const char *path, char name[MAX_NAME + 1])
{
    const char *dot = strchr(path, '.');
    if (!dot || dot - path > MAX_NAME) return 0;
    snprintf(name, MAX_NAME + 1, "%.*s", (int)(dot - path), path);
    return nj_instances_could(set, name);
}

static int add_providers(nj_instances *set, const char *select, nj_error *err)
{
    for (uint32_t i = 0; i < set->n; i++)
        for (uint32_t k = 0; k < set->item[i].n_needs; k++) {
            nj_need need = set->item[i].need[k];
            char name[MAX_NAME + 1];
            if (need.flags & NJ_NEED_OPTIONAL || !provider_name(set, need.path, name) || find(set, name))
                continue;
            if (find_off(set, name, strlen(name))) continue;
            if (selected(select, name, '-'))
                return nj_fail(err, "-m -%s: but %s needs %s", name, set->item[i].name, need.path);
            char whose[300];
            snprintf(whose, sizeof whose, "%s needs %.128s: ", set->item[i].name, need.path);
            if (add_unasked(set, name, whose, err)) return -1;
        }
    return 0;
}

static int add_adapters(nj_instances *set, nj_error *err)
{
    for (uint32_t i = 0; i < set->modules->n; i++)
        if (set->modules->item[i].module->flags & NJ_MODULE_ADAPTER &&
            add(set, set->modules->item[i].module->name, false, err) != NJ_OK)
            return -1;
    return 0;
}

static const char *nearest_module(nj_instances *set, const char *kind)
{
    const char **known = nj_arena_alloc(&set->arena, (set->modules->n + 1) * sizeof *known);
    for (uint32_t i = 0; known && i < set->modules->n; i++) known[i] = set->modules->item[i].module->name;
    return known ? nj_nearest(kind, known, set->modules->n) : NULL;
}

static int check_host_key(const nj_setting *t, nj_error *err)
{
    if (!strcmp(t->key, "default") && !is_one_of(t->value, words_for_yes) &&
        !is_one_of(t->value, words_for_no))
        return nj_fail(err, "%s: [%s] default = %s: must be 0 or 1", t->where, t->section, t->value);
    return 0;
}

/* A section of another kind that has a module's name: that module could never run. */
static int hides(const nj_instances *set, const nj_setting *t, const char *kind, nj_error *err)
{
    const char *name = t->section + 7, *path = nj_modules_find(set->modules, name)->path;
    if (path)
        return nj_fail(err, "%s: module %s has the name of the instance [%s] kind = %s (%s): call it another",
                       path, name, t->section, kind, t->where);
    return nj_fail(err, "%s: [%s] kind = %s: '%s' is a built-in module's name: call the instance another",
                   t->where, t->section, kind, name);
}

/* All sections [module.NAME], also of instances that do not run: a typing error is never silent. */
static int check_sections(nj_instances *set, nj_error *err)
{
    for (size_t i = 0; i < set->settings->n; i++) {
        const nj_setting *t = &set->settings->item[i];
        if (strncmp(t->section, "module.", 7)) continue;
        const char *name = t->section + 7;
        if (strlen(name) > MAX_NAME)
            return nj_fail(err, "%s: %s: a module's name has at most %d characters", t->where, name,
                           MAX_NAME);
        const char *kind = kind_of(set, name);
        const nj_loaded_module *e = nj_modules_find(set->modules, kind);
        if (!e) {
            const char *near =
                strcmp(kind, name) ? nearest_module(set, kind) : nj_instances_nearest(set, kind);
            return nj_fail(err, "%s: [%s]: no module '%s'%s%s%s", t->where, t->section, kind,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
        if (strcmp(kind, name) && nj_modules_find(set->modules, name)) return hides(set, t, kind, err);
        if (!nj_name_is_valid(name))
            return nj_fail(err, "%s: [%s]: the name of an instance is [a-z][a-z0-9_]*", t->where, t->section);
        if (check_host_key(t, err)) return -1;
        size_t first = 0;
        while (strcmp(set->settings->item[first].section, t->section)) first++;
        if (first < i) continue; /* the section is checked as a whole, once */
        const nj_module *m = e->module;
        void *params, *conf = nj_arena_zalloc(&set->arena, m->conf_size + 1);
        if (!conf || nj_table_rows(&set->arena, m->params, m->param_size, sizeof(nj_param), &params) < 0)
            return nj_fail(err, "out of memory");
        if (nj_settings_apply(set->settings, t->section, params, host_keys, conf, err)) return -1;
    }
    return 0;
}

int nj_instances_choose(nj_instances *set, const nj_modules *modules, nj_settings *settings,
                        const char *select, nj_error *err)
{
    set->modules = modules;
    set->settings = settings;
    set->host = (nj_host){ .abi = NJ_ABI,
                           .size = sizeof(nj_host),
                           .opaque = set,
                           .log = host_log,
                           .data = host_data,
                           .service = host_service,
                           .alloc = host_alloc,
                           .serial = host_serial };
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    if (sky)
        sky->folders(set->data_path); /* catalogues are followed by name,
                                       * so data() is not enough for them */
    if (check_sections(set, err)) return -1;
    uint32_t n;
    const char **known = all_names(set, &n);
    if (!known) return nj_fail(err, "out of memory");
    if (!has_plain(select))
        for (uint32_t i = 0; i < n; i++)
            if (in_default_set(set, known[i]) && !selected(select, known[i], '-') &&
                (selected(select, known[i], '+') ? add(set, known[i], true, err)
                                                 : add_unasked(set, known[i], "", err)))
                return -1;
    if (add_selected(set, select, err)) return -1;
    if (add_providers(set, select, err)) return -1;
    return add_adapters(set, err);
}

/* --- open and close --- */

/* A need that an instance would give which is off; *off is that one. */
static const char *missing_provider(const nj_instances *set, const nj_instance *in, const nj_off **off)
{
    for (uint32_t k = 0; k < in->n_needs; k++) {
        const char *path = in->need[k].path, *dot = strchr(path, '.');
        if (in->need[k].flags & NJ_NEED_OPTIONAL || !dot) continue;
        if ((*off = find_off(set, path, (size_t)(dot - path)))) return path;
    }
    return NULL;
}

bool nj_is_selected(const char *select, const char *name)
{
    return selected(select, name, 0) || selected(select, name, '+');
}

static void close_one(const nj_instance *in)
{
    if (!in->opened || !in->module->close) return;
    nj_slot_enter(&nj_slot_set_up, in->name, NJ_PHASE_CLOSE);
    in->module->close(in->self);
    nj_slot_leave(&nj_slot_set_up);
}

static void take_out(nj_instances *set, uint32_t i)
{
    memmove(&set->item[i], &set->item[i + 1], (set->n - i - 1) * sizeof *set->item);
    set->n--;
}

static int open_one(nj_instances *set, nj_instance *in)
{
    nj_state state;
    nj_state_begin(&state, true);
    int rc = in->module->open(&set->host, in->conf, &in->self);
    nj_state_left(&state, in->name, nj_phase_name[NJ_PHASE_OPEN]);
    return rc;
}

int nj_instances_open(nj_instances *set, const char *select, nj_error *err)
{
    for (uint32_t i = 0; i < set->n;) {
        nj_instance *in = &set->item[i];
        int64_t start = nj_now_ns();
        begin_set_up(set);
        nj_slot_enter(&nj_slot_set_up, in->name, NJ_PHASE_OPEN);
        set->opening = in;
        int rc = in->module->open ? open_one(set, in) : NJ_OK;
        set->opening = NULL;
        nj_slot_leave(&nj_slot_set_up);
        end_set_up(set, rc != NJ_OK);
        in->cold_start_ns = nj_now_ns() - start;
        if (rc != NJ_OK && set->no_memory) rc = NJ_ENOMEM;
        if (rc == NJ_OK) {
            in->opened = true;
            i++;
            continue;
        }
        const char *why = set->said[0]      ? set->said
                          : rc == NJ_ENOMEM ? "out of memory"
                                            : "it does not say why";
        if (nj_is_selected(select, in->name)) return nj_fail(err, "module %s cannot open: %s", in->name, why);
        if (!nj_what_is_absent(rc))
            return nj_fail(err, "module %s cannot open: %s (-m -%s leaves it out)", in->name, why, in->name);
        if (leave_out(set, in->name, rc, why, err)) return -1;
        take_out(set, i);
    }
    for (uint32_t i = 0; i < set->n;) { /* again from the start after each one: it may have been a provider */
        const nj_off *off;
        const char *path = missing_provider(set, &set->item[i], &off);
        if (!path) {
            i++;
            continue;
        }
        nj_instance gone = set->item[i];
        char why[512];
        snprintf(why, sizeof why, "it needs %.128s, and %s is off: %.256s", path, off->name, off->why);
        if (nj_is_selected(select, gone.name)) return nj_fail(err, "module %s: %s", gone.name, why);
        close_one(&gone);
        take_out(set, i);
        if (note_off(set, gone.name, off->status, why, err)) return -1;
        i = 0;
    }
    return 0;
}

void nj_instances_close(nj_instances *set)
{
    for (uint32_t i = 0; i < set->n; i++) close_one(&set->item[i]);
    for (uint32_t i = 0; i < set->n_files; i++)
        if (set->file[i].n) munmap((void *)set->file[i].bytes, set->file[i].n);
    free(set->file);
    free(set->off);
    free(set->item);
    nj_arena_free(&set->arena);
    *set = (nj_instances){ 0 };
}
