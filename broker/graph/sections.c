/* sections.c - every section [module.NAME] is checked, also that of an instance which does not run: a typing
 * error in it is always reported. */
#include "instances.h"

#include <string.h>

#include "../base/log.h"
#include "table.h"

static const char *nearest_module(nj_instances *set, const char *kind)
{
    const char **known = nj_arena_alloc(&set->arena, (set->modules->n + 1) * sizeof *known);
    for (uint32_t i = 0; known && i < set->modules->n; i++) known[i] = set->modules->item[i].module->name;
    return known ? nj_nearest(kind, known, set->modules->n) : NULL;
}

static int check_host_key(const nj_setting *t, nj_error *err)
{
    if (!strcmp(t->key, "default") && !nj_word_is_in(t->value, nj_words_for_yes) &&
        !nj_word_is_in(t->value, nj_words_for_no))
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
    return nj_fail(err,
                   "%s: [%s] kind = %s: '%s' is a built-in module's name: give the instance another name",
                   t->where, t->section, kind, name);
}

/* As a shared object does: to compare a Python version with that of C. */
static void replaces(nj_instances *set, const char *name)
{
    const char *file = nj_settings_get(set->settings, nj_module_section_of(name).name, "file");
    if (file && nj_modules_first_report(file))
        nj_log(NJ_LOG_WARN, "module %s from %s replaces the built-in one", name, file);
}

/* All sections [module.NAME], also of instances that do not run: a typing error is never silent. */
int nj_instances_check_sections(nj_instances *set, nj_error *err)
{
    for (size_t i = 0; i < set->settings->n; i++) {
        const nj_setting *t = &set->settings->item[i];
        if (strncmp(t->section, "module.", 7)) continue;
        const char *name = t->section + 7;
        if (strlen(name) > NJ_INSTANCE_NAME)
            return nj_fail(err, "%s: %s: a module's name has at most %d characters", t->where, name,
                           NJ_INSTANCE_NAME);
        const char *kind = nj_instances_kind_of(set, name);
        const nj_loaded_module *e = nj_modules_find(set->modules, kind);
        if (!e) {
            const char *near =
                strcmp(kind, name) ? nearest_module(set, kind) : nj_instances_nearest(set, kind);
            return nj_fail(err, "%s: [%s]: no module '%s'%s%s%s", t->where, t->section, kind,
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
        if (strcmp(kind, name) && nj_modules_find(set->modules, name)) {
            if (strcmp(kind, "python")) return hides(set, t, kind, err);
            replaces(set, name);
        }
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
        if (nj_settings_apply(set->settings, t->section, params, nj_host_keys, conf, err)) return -1;
    }
    return 0;
}
