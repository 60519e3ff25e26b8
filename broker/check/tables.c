/* tables.c - rules about what a module declares, and about an open() that finds nothing it needs. */
#include <ctype.h>
#include <string.h>

#include "rules.h"

/* ---- tables ---------------------------------------------------------------------------------- */

static bool is_name(const char *s)
{
    if (!islower((unsigned char)*s)) return false;
    while (islower((unsigned char)*s) || isdigit((unsigned char)*s) || *s == '_') s++;
    return !*s;
}

static bool is_type(nj_type type)
{
    return type >= NJ_U8 && type <= NJ_STR;
}

static void look_at_give(nj_check *c, uint32_t k)
{
    const nj_instance *in = c->in;
    const nj_give *g = &in->give[k];
    if (!(g->flags & NJ_GIVE_CANONICAL) && !is_name(g->name))
        nj_check_wrong(c, "small letters, digits and _ only", "give '%s': the name is not [a-z][a-z0-9_]*",
                       g->name);
    if (!g->unit) nj_check_wrong(c, "\"1\" for a number without one", "give %s: no unit", g->name);
    if (!g->doc || strlen(g->doc) < 4) nj_check_wrong(c, NULL, "give %s: no sentence (doc)", g->name);
    if (!is_type(g->type)) nj_check_wrong(c, NULL, "give %s: no type", g->name);
    if (g->type != NJ_STR && !(g->lo <= g->hi))
        nj_check_wrong(c, "lo <= hi; -INFINITY and INFINITY where it is open",
                       "give %s: no valid range [%g, %g]", g->name, g->lo, g->hi);
    if (!g->width &&
        (g->like < 0 || (uint32_t)g->like >= in->n_needs || in->need[g->like].shape != NJ_SERIES))
        nj_check_wrong(c, "width = 1 for one value; else like = index of the need that is the series",
                       "give %s: width 0 means one value per point, but like = %d is no series", g->name,
                       (int)g->like);
    for (uint32_t i = 0; i < k; i++)
        if (!strcmp(g->name, in->give[i].name))
            nj_check_wrong(c, "each give has a name of its own", "give %s: twice", g->name);
}

void nj_check_tables(nj_check *c)
{
    const nj_instance *in = c->in;
    const nj_module *m = in->module;
    if (!m->summary || strlen(m->summary) < 4) nj_check_wrong(c, NULL, "no summary");
    if (!m->paper || strlen(m->paper) < 4)
        nj_check_wrong(c, "a DOI, an arXiv number, or \"none: why\"", "no paper");
    if (!m->version || !strchr(m->version, '.'))
        nj_check_wrong(c, "\"1.0\": the first number changes when answers do", "no version");
    for (uint32_t k = 0; k < in->n_needs; k++) {
        const nj_need *need = &in->need[k];
        if (!is_type(need->type)) nj_check_wrong(c, NULL, "need %s: no type", need->path);
        if (need->shape < NJ_SCALAR || need->shape > NJ_IMAGE)
            nj_check_wrong(c, "NJ_SCALAR, NJ_SERIES or NJ_IMAGE", "need %s: no shape", need->path);
        if (!need->unit) nj_check_wrong(c, "\"1\" for a number without one", "need %s: no unit", need->path);
    }
    if (in->n_gives == 0) nj_check_wrong(c, NULL, "it gives nothing");
    for (uint32_t k = 0; k < in->n_gives; k++) look_at_give(c, k);
    uint32_t n_params = 0;
    for (const nj_param *p = m->params; p && p->name; p++, n_params++) {
        if (!is_name(p->name)) nj_check_wrong(c, NULL, "setting '%s': not [a-z][a-z0-9_]*", p->name);
        if (!p->doc || strlen(p->doc) < 4) nj_check_wrong(c, NULL, "setting %s: no sentence (doc)", p->name);
        if (!p->unit) nj_check_wrong(c, NULL, "setting %s: no unit", p->name);
        if (p->offset >= m->conf_size)
            nj_check_wrong(c, ".conf_size = sizeof(conf), offset = offsetof(conf, ...)",
                           "setting %s: outside of the conf struct", p->name);
    }
    nj_check_note(c, "%u needs, %u gives, %u settings", in->n_needs, in->n_gives, n_params);
}

/* ---- open() that fails ----------------------------------------------------------------------- */

static int no_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    (void)opaque;
    (void)name;
    *bytes = NULL;
    *n = 0;
    return NJ_ECONF;
}
static const void *no_service(void *opaque, const char *name, uint32_t version)
{
    (void)opaque;
    (void)name;
    (void)version;
    return NULL;
}
static void *no_alloc(void *opaque, size_t bytes)
{
    (void)opaque;
    (void)bytes;
    return NULL;
}
static void no_log(void *opaque, int level, const char *format, ...)
{
    (void)opaque;
    (void)level;
    (void)format;
}

void nj_check_failed_open(nj_check *c)
{
    const nj_module *m = c->in->module;
    if (!m->open) return nj_check_none(c, "it has no open()");
    for (int k = 0; k < 2; k++) {
        nj_host poor = c->set->host;
        poor.log = no_log;
        poor.data = no_data;
        poor.service = no_service;
        if (k) poor.alloc = no_alloc;
        void *self = NULL;
        int rc = m->open(&poor, c->in->conf, &self);
        if (rc > 0)
            nj_check_wrong(c, "NJ_OK, or one of the negative statuses of module.h", "open() gave %d", rc);
        if (m->close) m->close(self);
    }
    nj_check_note(c, "without files and services, and without memory");
}
