/* check.c - a setting that nothing reads is probably a mistake; wrong sections, keys and names stop the run
 * at its start. */
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "internal.h"
#include "sections.h"
#include "topics.h"

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static int check_topic(const run *r, const nj_setting *t, nj_error *err)
{
    nj_topic ignored;
    if (!nj_name_is_valid(t->section + 6))
        return nj_fail(err, "%s: [%s]: the name of a topic is [a-z][a-z0-9_]*", t->where, t->section);
    return nj_topic_read(r->options->settings, t->section + 6, &ignored, err);
}

/* "ztf, lsst": each must be the survey of a map. */
static int check_surveys(const run *r, const nj_setting *t, nj_error *err)
{
    const char *known[64];
    uint32_t n = nj_decoder_surveys(r->engine.decoder, known, 64), k;
    for (const char *p = t->value + strspn(t->value, ", "); *p; p += strspn(p, ", ")) {
        char name[64];
        size_t word = strcspn(p, ", ");
        snprintf(name, sizeof name, "%.*s", (int)word, p);
        for (k = 0; k < n && strcmp(known[k], name); k++) continue;
        const char *near = k == n ? nj_nearest(name, known, n) : NULL;
        if (k == n)
            return nj_fail(err, "%s: [%s] surveys = %s: no survey '%s'%s%s%s", t->where, t->section, t->value,
                           name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        p += word;
    }
    return 0;
}

int nj_flow_check_settings(run *r, nj_error *err)
{
    static const char *const model_keys[] = { "path", "checked" }; /* catalogs have the first alone */
    nj_settings *s = r->options->settings;
    if (nj_source_check(s, err)) return -1; /* before a source fails: a wrong key is no fault of a source */
    for (size_t i = 0; i < s->n; i++) {
        nj_setting *t = &s->item[i];
        int rc = 0;
        if (starts(t->section, "module.")) {
            rc = strcmp(t->key, "surveys") ? 0 : check_surveys(r, t, err);
            t->used = 1; /* the rest was checked when the instances were chosen */
        } else if (starts(t->section, "topic.")) {
            rc = check_topic(r, t, err);
            t->used = 1;
        } else if (!strcmp(t->section, "models") || !strcmp(t->section, "catalogs")) {
            const size_t keys = *t->section == 'm' ? 2 : 1;
            size_t k = 0;
            while (k < keys && strcmp(t->key, model_keys[k]) != 0) k++;
            rc = k == keys ? nj_settings_no_key(t, model_keys, keys, err) : 0;
        } else {
            const char *known[64];
            size_t n = 0, k = 0;
            for (; nj_sections[n].name && n < 64; n++) known[n] = nj_sections[n].name;
            while (k < n && strcmp(known[k], t->section)) k++;
            const char *near = k == n ? nj_nearest(t->section, known, n) : NULL;
            if (nj_instances_find(&r->engine.instances, t->section)) /* -D hostless.repeats=4 */
                near = nj_arena_printf(&r->arena, "module.%s", t->section);
            if (k == n)
                rc = nj_fail(err, "%s: there is no section [%s] (key '%s')%s%s%s", t->where, t->section,
                             t->key, near ? "; did you mean [" : "", near ? near : "", near ? "]?" : "");
        }
        if (rc) return rc;
    }
    return 0;
}

void nj_flow_report_unused(run *r)
{
    const nj_settings *s = r->options->settings;
    for (size_t i = 0; i < s->n; i++)
        if (!s->item[i].used)
            nj_log(NJ_LOG_WARN, "%s: [%s] %s is not used: no source or output of this run reads that section",
                   s->item[i].where, s->item[i].section, s->item[i].key);
}
