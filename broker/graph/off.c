/* off.c - a default module whose model, catalogue or service is not here is left out, with its reason. */
#include "instances.h"

#include <stdlib.h>
#include <string.h>

int nj_instances_note_off(nj_instances *set, const char *name, int status, const char *why, nj_error *err)
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

const nj_off *nj_instances_find_off(const nj_instances *set, const char *name, size_t n)
{
    for (uint32_t i = 0; i < set->n_off; i++)
        if (strlen(set->off[i].name) == n && !strncmp(set->off[i].name, name, n)) return &set->off[i];
    return NULL;
}

/* The value of a setting that was given, and that `why` names:
 * what is not here is not here by its name. */
static const nj_setting *said_in(const nj_instances *set, const char *name, const char *why)
{
    const nj_module_section of = nj_module_section_of(name);
    const nj_setting *found = NULL;
    for (size_t i = 0; i < set->settings->n; i++) {
        const nj_setting *t = &set->settings->item[i];
        if (strcmp(t->section, of.name) || nj_word_is_in(t->key, nj_host_keys) ||
            !strncmp(t->key, "need.", 5))
            continue;
        if (!*t->value || nj_setting_is_built_in(t)) continue;
        const char *at = strstr(why, t->value);
        const char *last = nj_settings_get(set->settings, of.name, t->key);
        if (at && last && !strcmp(last, t->value)) found = t;
    }
    return found;
}

/* Off, unless the name of what is not here was given: then it is more likely wrong than missing. */
int nj_instances_leave_out(nj_instances *set, const char *name, int status, const char *why, nj_error *err)
{
    const nj_setting *t = said_in(set, name, why);
    if (!t) return nj_instances_note_off(set, name, status, why, err);
    return nj_fail(err, "%s: [%s] %s = %s: %s (-m -%s leaves it out)", t->where, t->section, t->key, t->value,
                   why, name);
}
