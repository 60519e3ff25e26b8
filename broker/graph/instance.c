/* instance.c - one module can run several times with different settings; these are the names that instances
 * have, in the settings, in the -m list and in columns. */
#include "instances.h"

#include <stdio.h>
#include <string.h>

const char *const nj_host_keys[] = { "kind", "default", "surveys", "need.*", NULL };
const char *const nj_words_for_no[] = { "0", "no", "false", "off", NULL };
const char *const nj_words_for_yes[] = { "1", "yes", "true", "on", NULL };

bool nj_word_is_in(const char *word, const char *const *list)
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

nj_module_section nj_module_section_of(const char *name)
{
    nj_module_section s;
    snprintf(s.name, sizeof s.name, "module.%s", name);
    return s;
}

const char *nj_instances_kind_of(nj_instances *set, const char *name)
{
    const char *kind = nj_settings_get(set->settings, nj_module_section_of(name).name, "kind");
    return kind ? kind : name;
}

/* Modules without declare(), and sections of a known kind. */
const char **nj_instances_names(nj_instances *set, uint32_t *n_names)
{
    uint32_t n = 0;
    const char **name = nj_arena_alloc(&set->arena, (set->modules->n + set->settings->n + 1) * sizeof *name);
    *n_names = 0;
    if (!name) return NULL;
    for (uint32_t i = 0; i < set->modules->n; i++)
        if (!set->modules->item[i].module->declare) name[n++] = set->modules->item[i].module->name;
    for (size_t i = 0; i < set->settings->n; i++) {
        const char *given = set->settings->item[i].section;
        if (strncmp(given, "module.", 7) ||
            !nj_modules_find(set->modules, nj_instances_kind_of(set, given + 7)))
            continue;
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
    const char **known = nj_instances_names(set, &n);
    return known ? nj_nearest(name, known, n) : NULL;
}

const nj_instance *nj_instances_find(const nj_instances *set, const char *name)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!strcmp(set->item[i].name, name)) return &set->item[i];
    return NULL;
}

int nj_select_has(const char *select, const char *name, char sign)
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

bool nj_is_selected(const char *select, const char *name)
{
    return nj_select_has(select, name, 0) || nj_select_has(select, name, '+');
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
