/* choose.c - which instances run: the default set or the -m list, and what these need from others. */
#include "instances.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nightjar/sky.h"
#include "services.h"

static bool is_adapter(const nj_instances *set, const char *name)
{
    const nj_loaded_module *e = nj_modules_find(set->modules, name);
    return e && e->module->flags & NJ_MODULE_ADAPTER;
}

static int in_default_set(nj_instances *set, const char *name)
{
    const char *flag = nj_settings_get(set->settings, nj_module_section_of(name).name, "default");
    return !is_adapter(set, name) && !(flag && nj_word_is_in(flag, nj_words_for_no));
}

static nj_instance *find(nj_instances *set, const char *name)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!strcmp(set->item[i].name, name)) return &set->item[i];
    return NULL;
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
    const char *kind = nj_instances_kind_of(set, name);
    const nj_loaded_module *e = nj_modules_find(set->modules, kind);
    if (!e) {
        const char *near = nj_instances_nearest(set, name); /* a section of an unknown kind is found before */
        nj_fail(err, "no module '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
        return NJ_ECONF;
    }
    if (e->module->declare && !strcmp(kind, name) &&
        !nj_settings_get(set->settings, nj_module_section_of(name).name, "kind"))
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
    int rc = nj_instance_set_up(set, in, err);
    if (rc == NJ_OK) set->n++;
    return rc;
}

/* An instance that was not asked for by name: off when what it needs is not here;
 * every other fault stops the run. */
static int add_unasked(nj_instances *set, const char *name, const char *whose, nj_error *err)
{
    nj_error why = { "" };
    int rc = add(set, name, true, &why);
    if (rc == NJ_OK) return 0;
    if (nj_what_is_absent(rc)) return nj_instances_leave_out(set, name, rc, why.text, err);
    return nj_fail(err, "%s%s", whose, why.text);
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

static int add_selected(nj_instances *set, const char *select, nj_error *err)
{
    for (const char *p = select; p && *p;) {
        const char *end = strchrnul(p, ',');
        char name[NJ_INSTANCE_NAME + 1];
        const char *word = *p == '+' || *p == '-' ? p + 1 : p;
        if (end - word > NJ_INSTANCE_NAME)
            return nj_fail(err, "-m: %.*s: a module's name has at most %d characters", (int)(end - word),
                           word, NJ_INSTANCE_NAME);
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
static int provider_name(nj_instances *set, const char *path, char name[NJ_INSTANCE_NAME + 1])
{
    const char *dot = strchr(path, '.');
    if (!dot || dot - path > NJ_INSTANCE_NAME) return 0;
    snprintf(name, NJ_INSTANCE_NAME + 1, "%.*s", (int)(dot - path), path);
    return nj_instances_could(set, name);
}

static int add_providers(nj_instances *set, const char *select, nj_error *err)
{
    for (uint32_t i = 0; i < set->n; i++)
        for (uint32_t k = 0; k < set->item[i].n_needs; k++) {
            nj_need need = set->item[i].need[k];
            char name[NJ_INSTANCE_NAME + 1];
            if (need.flags & NJ_NEED_OPTIONAL || !provider_name(set, need.path, name) || find(set, name))
                continue;
            if (nj_instances_find_off(set, name, strlen(name))) continue;
            if (nj_select_has(select, name, '-'))
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

int nj_instances_choose(nj_instances *set, const nj_modules *modules, nj_settings *settings,
                        const char *select, nj_error *err)
{
    set->modules = modules;
    set->settings = settings;
    nj_instances_make_host(set);
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    if (sky)
        sky->folders(set->data_path); /* catalogues are followed by name,
                                       * so data() is not enough for them */
    if (nj_instances_check_sections(set, err)) return -1;
    uint32_t n;
    const char **known = nj_instances_names(set, &n);
    if (!known) return nj_fail(err, "out of memory");
    if (!has_plain(select))
        for (uint32_t i = 0; i < n; i++)
            if (in_default_set(set, known[i]) && !nj_select_has(select, known[i], '-') &&
                (nj_select_has(select, known[i], '+') ? add(set, known[i], true, err)
                                                      : add_unasked(set, known[i], "", err)))
                return -1;
    if (add_selected(set, select, err)) return -1;
    if (add_providers(set, select, err)) return -1;
    return add_adapters(set, err);
}
