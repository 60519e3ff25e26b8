/* set_up.c - sets one instance up: its settings, what declare() says, and which columns it needs and
 * gives. */
#include "instances.h"

#include <stdio.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "slot.h"
#include "state.h"
#include "table.h"

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

/* From here to nj_set_up_end() an instance's complaints are kept instead of printed. */
void nj_set_up_begin(nj_instances *set)
{
    set->setting_up = true;
    set->no_memory = false;
    set->said[0] = 0;
}

void nj_set_up_end(nj_instances *set, bool failed)
{
    set->setting_up = false;
    if (!failed && set->said[0]) nj_log(NJ_LOG_WARN, "%s", set->said);
}

/* NJ_OK, or with err what declare() says; NJ_ECONF for a wrong key or value. */
int nj_instance_set_up(nj_instances *set, nj_instance *in, nj_error *err)
{
    const nj_module *m = in->module;
    const nj_module_section of = nj_module_section_of(in->name);
    void *params;
    in->conf = nj_arena_zalloc(&set->arena, m->conf_size + 1);
    if (!in->conf || nj_table_rows(&set->arena, m->params, m->param_size, sizeof(nj_param), &params) < 0)
        return nj_fail(err, "out of memory"), NJ_ENOMEM;
    if (nj_settings_apply(set->settings, of.name, params, nj_host_keys, in->conf, err)) return NJ_ECONF;
    nj_tables tables = { m->needs, m->gives };
    if (m->declare) {
        nj_set_up_begin(set);
        nj_slot_enter(nj_slot_set_up, in->name, NJ_PHASE_DECLARE);
        nj_state state;
        nj_state_begin(&state, true);
        int rc = m->declare(&set->host, in->conf, &tables);
        nj_state_left(&state, in->name, nj_phase_name[NJ_PHASE_DECLARE]);
        nj_slot_leave(nj_slot_set_up);
        bool failed = rc != NJ_OK || !tables.needs || !tables.gives;
        nj_set_up_end(set, failed);
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
    nj_debug(NJ_DEBUG_MODULE, "%s: version %s of module %s, %u needs, %u gives, from %s", in->name,
             m->version, m->name, in->n_needs, in->n_gives, in->path ? in->path : "the binary");
    return 0;
}
