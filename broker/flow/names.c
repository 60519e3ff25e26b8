/* names.c - every name that a user or a module gives for a column, checked in one place before anything is
 * read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Does a give have this path? */
static bool is_give(const nj_instance *in, const nj_give *give, const char *path)
{
    size_t n = strlen(in->name);
    if (give->flags & NJ_GIVE_CANONICAL) return !strcmp(give->name, path);
    return !strncmp(in->name, path, n) && path[n] == '.' && !strcmp(path + n + 1, give->name);
}

static bool is_given(const run *r, const char *path)
{
    for (uint32_t i = 0; i < r->engine.instances.n; i++)
        for (uint32_t k = 0; k < r->engine.instances.item[i].n_gives; k++)
            if (is_give(&r->engine.instances.item[i], &r->engine.instances.item[i].give[k], path))
                return true;
    return false;
}

static bool is_field(const run *r, const char *path)
{
    for (uint32_t i = 0; i < r->n_fields; i++)
        if (!strcmp(r->field[i].key, path)) return true;
    return false;
}

/* All that a path could have meant; their number. Arena memory. */
static const char **all_paths(run *r, size_t *n)
{
    nj_known known;
    size_t most = r->n_fields, k = 0;
    for (uint32_t i = 0; i < r->engine.instances.n; i++) most += r->engine.instances.item[i].n_gives;
    while (nj_decoder_known(r->engine.decoder, (uint32_t)k, &known)) k++;
    const char **list = nj_arena_alloc(&r->arena, (most + k + 1) * sizeof *list);
    *n = 0;
    if (!list) return NULL;
    for (uint32_t i = 0; i < r->n_fields; i++) list[(*n)++] = r->field[i].key;
    for (uint32_t i = 0; nj_decoder_known(r->engine.decoder, i, &known); i++) list[(*n)++] = known.path;
    for (uint32_t i = 0; i < r->engine.instances.n; i++)
        for (uint32_t j = 0; j < r->engine.instances.item[i].n_gives; j++) {
            const nj_instance *in = &r->engine.instances.item[i];
            const char *name = in->give[j].name;
            list[*n] = in->give[j].flags & NJ_GIVE_CANONICAL
                           ? name
                           : nj_arena_printf(&r->arena, "%s.%s", in->name, name);
            if (list[*n]) ++*n;
        }
    return list;
}

/* Why nothing has this path, with the nearest one that there is. */
static int unknown(run *r, const char *label, const char *path, nj_error *err)
{
    char owner[128];
    const char *dot = strchr(path, '.');
    snprintf(owner, sizeof owner, "%.*s", (int)(dot ? dot - path : 0), path);
    for (uint32_t i = 0; i < r->engine.instances.n_off; i++)
        if (!strcmp(r->engine.instances.off[i].name, owner))
            return nj_fail(err, "%s: %s: module %s is off: %s", label, path, owner,
                           r->engine.instances.off[i].why);
    if (dot && !nj_instances_find(&r->engine.instances, owner) &&
        nj_instances_could(&r->engine.instances, owner))
        return nj_fail(err, "%s: %s: module %s does not run here (add it with -m +%s)", label, path, owner,
                       owner);
    size_t n;
    const char **list = all_paths(r, &n), *near = list ? nj_nearest(path, list, n) : NULL;
    if (!near && dot) { /* nothing is near the whole of hostlesss.x */
        near = nj_instances_nearest(&r->engine.instances, owner);
        if (near) return nj_fail(err, "%s: %s: no module '%s'; did you mean '%s'?", label, path, owner, near);
    }
    return nj_fail(err, "%s: no column '%s'%s%s%s", label, path, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "");
}

/* lc.mag@g: cuts the view off. False: there is no such view. */
static bool without_view(const char *path, char base[256])
{
    const char *at = strchrnul(path, '@');
    snprintf(base, 256, "%.*s", (int)(at - path), path);
    return !*at || !strcmp(at, "@time") || !strcmp(at, "@sorted") ||
           (at[1] && strchr("ugrizy", at[1]) && !at[2]);
}

static int no_view(const char *label, const char *path, nj_error *err)
{
    return nj_fail(err, "%s: no view '%s'; there are @time and @u @g @r @i @z @y", label, strchr(path, '@'));
}

static bool is_raw_path(const char *path)
{
    if (!starts(path, "packet.")) return false;
    size_t n = strlen(path);
    return path[n - 1] != '.' && !strstr(path, "..");
}

int nj_flow_check_column(run *r, const char *label, const char *path, nj_error *err)
{
    char base[256];
    if (starts(path, "stamp."))
        return nj_fail(err, "%s: %s: an image is no column; modules read it, `inspect` draws it", label,
                       path);
    if (is_field(r, path) || is_raw_path(path)) return 0;
    if (!without_view(path, base)) return no_view(label, path, err);
    if (nj_decoder_defines(r->engine.decoder, base) || is_given(r, base)) return 0;
    return unknown(r, label, path, err);
}

/* ---- what modules need ----------------------------------------------------------------------- */

static const char *shape_word(nj_shape shape)
{
    return shape == NJ_SCALAR ? "one value per alert" : shape == NJ_SERIES ? "a series" : "an image";
}

static const char *unit_word(const char *name)
{
    return name && *name ? name : "without a unit";
}

/* Can a need be served by a column that is there? The graph's own rules;
 * `why` says what differs, with both sides. */
static bool can_serve(const nj_need *need, const nj_offer *has, uint32_t width, const char *path,
                      char why[256])
{
    bool number = need->type != NJ_STR, is_number = has->type != NJ_STR;
    if (need->shape && need->shape != has->shape)
        snprintf(why, 256, "it asks %s, %s is %s", shape_word(need->shape), path, shape_word(has->shape));
    else if (isnan(nj_unit_factor(has->unit, need->unit)))
        snprintf(why, 256, "it asks %s, %s is %s", unit_word(need->unit), path, unit_word(has->unit));
    else if (number != is_number)
        snprintf(why, 256, "it asks %s, %s is %s", number ? "a number" : "text", path,
                 is_number ? "a number" : "text");
    else if (width > 1 && (need->type != has->type || nj_unit_factor(has->unit, need->unit) != 1))
        snprintf(why, 256,
                 "it asks another type or unit, and %s has %u values per alert, which are not converted",
                 path, width);
    else
        return true;
    return false;
}

/* 1 = something serves it, 0 = there are columns of that name and none serves it (why),
 * -1 = there is none. */
static int find_server(const run *r, const nj_need *need, const char *base, char why[256])
{
    nj_known known;
    int found = -1;
    for (uint32_t i = 0; i < r->engine.instances.n; i++)
        for (uint32_t k = 0; k < r->engine.instances.item[i].n_gives; k++) {
            const nj_give *g = &r->engine.instances.item[i].give[k];
            if (!is_give(&r->engine.instances.item[i], g, base)) continue;
            nj_offer has = { g->type, g->width ? NJ_SCALAR : NJ_SERIES, g->unit };
            if (can_serve(need, &has, g->width, base, why)) return 1;
            found = 0;
        }
    for (uint32_t i = 0; nj_decoder_known(r->engine.decoder, i, &known); i++) {
        if (strcmp(known.path, base)) continue;
        if (can_serve(need, &known.offer, 1, base, why)) return 1;
        found = 0;
    }
    return found;
}

/* A setting that was given for the instance has this path among its words. */
static const nj_setting *said_in(const run *r, const char *instance, const char *path)
{
    const nj_settings *s = r->options->settings;
    const size_t n = strlen(path);
    for (size_t i = s->n; i-- > 0;) {
        const nj_setting *t = &s->item[i];
        if (!starts(t->section, "module.") || strcmp(t->section + 7, instance) || nj_setting_is_built_in(t))
            continue;
        for (const char *at = t->value; (at = strstr(at, path)); at++)
            if ((at == t->value || strchr(", ", at[-1])) && (!at[n] || strchr(", ", at[n]))) return t;
    }
    return NULL;
}

static int check_need(run *r, const nj_instance *in, const nj_need *need, nj_error *err)
{
    char base[256], why[256] = "", label[300];
    snprintf(label, sizeof label, "module %s needs %s", in->name, need->path);
    if (is_raw_path(need->path)) return 0; /* packets are asked when they come */
    if (starts(need->path, "stamp.") && nj_decoder_defines(r->engine.decoder, need->path))
        return need->shape == NJ_IMAGE
                   ? 0
                   : nj_fail(err, "%s: it asks %s, that is an image", label, shape_word(need->shape));
    if (!without_view(need->path, base)) return no_view(label, need->path, err);
    int found = find_server(r, need, base, why);
    if (found == 0) return nj_fail(err, "%s: %s", label, why);
    if (found > 0) return 0;
    const nj_setting *said = need->flags & NJ_NEED_OPTIONAL ? said_in(r, in->name, need->path) : NULL;
    if (said)
        snprintf(label, sizeof label, "%.64s: [%.80s] %.64s", said->where, said->section, said->key);
    else if (need->flags & NJ_NEED_OPTIONAL)
        return 0; /* it may be of a module that is not here, when it was not asked for */
    return unknown(r, label, base, err);
}

/* need.PATH = OTHER: the user says OTHER, so it must be there, also for an optional need. */
static int check_redirections(run *r, nj_error *err)
{
    const nj_settings *s = r->options->settings;
    for (size_t i = 0; i < s->n; i++) {
        const nj_setting *t = &s->item[i];
        char label[512];
        if (!starts(t->section, "module.") || !starts(t->key, "need.")) continue;
        if (!nj_instances_find(&r->engine.instances, t->section + 7)) continue;
        snprintf(label, sizeof label, "%s: [%.128s] %.128s", t->where, t->section, t->key);
        if (starts(t->value, "stamp.") && nj_decoder_defines(r->engine.decoder, t->value)) continue;
        if (nj_flow_check_column(r, label, t->value, err)) return -1;
    }
    return 0;
}

/* An instance `lc` would hide the canonical columns lc.…. */
static int check_instance_name(const run *r, const char *name, nj_error *err)
{
    nj_known known;
    size_t n = strlen(name);
    bool taken = !strcmp(name, "packet") || !strcmp(name, "stamp") || !strcmp(name, "alert") ||
                 !strcmp(name, "topics");
    for (uint32_t i = 0; !taken && nj_decoder_known(r->engine.decoder, i, &known); i++)
        taken = !strncmp(known.path, name, n) && (known.path[n] == '.' || !known.path[n]);
    return taken ? nj_fail(err,
                           "[module.%s]: that name is taken by columns of the packet: give the instance "
                           "another name",
                           name)
                 : 0;
}

int nj_flow_check_needs(run *r, nj_error *err)
{
    if (check_redirections(r, err)) return -1;
    for (uint32_t i = 0; i < r->engine.instances.n; i++) {
        const nj_instance *in = &r->engine.instances.item[i];
        if (check_instance_name(r, in->name, err)) return -1;
        for (uint32_t k = 0; k < in->n_needs; k++)
            if (check_need(r, in, &in->need[k], err)) return -1;
    }
    return 0;
}

int nj_flow_check_topics(const run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    for (uint32_t i = 0; i < o->n_topics; i++) {
        if (!nj_name_is_valid(o->topic[i].name))
            return nj_fail(err, "-t %s: the name of a topic is [a-z][a-z0-9_]*", o->topic[i].name);
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(o->topic[i].name, o->topic[k].name))
                return nj_fail(err, "-t %s: given twice", o->topic[i].name);
    }
    return 0;
}
