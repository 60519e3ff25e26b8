/* regions.c - a clause that asks for a region which nobody has matches nothing, for nights and in silence:
 * the names in its in_region() are looked for before the first alert, and again after the last one. */
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../graph/services.h"
#include "../query/clause.h"
#include "internal.h"
#include "nightjar/region.h"

typedef struct asked { /* in_region('INSTANCE.REGION') of a clause */
    const char *instance, *region;
    struct asked *next;
} asked;

static bool has_it(const nj_region *sky)
{
    return sky && sky->size >= offsetof(nj_region, have) + sizeof sky->have;
}

/* As nj_region.have says it, of an instance. */
static int look(const run *r, const char *instance, const char *region, char *names, size_t size)
{
    const nj_region *sky = nj_service("region", NJ_REGION_VERSION);
    char section[256];
    snprintf(section, sizeof section, "module.%.200s", instance);
    const char *files = nj_settings_get(r->options->settings, section, "files"),
               *days = nj_settings_get(r->options->settings, section, "days");
    return has_it(sky) && files ? sky->have(files, days ? strtod(days, NULL) : 0, region, names, size) : -1;
}

static bool is_of_regions(const run *r, const char *instance)
{
    const nj_instance *in = nj_instances_find((nj_instances *)&r->engine.instances, instance);
    return in && !strcmp(in->module->name, "region");
}

/* "a, b, c": the nearest one, or all of them. */
static int no_region(const char *label, const nj_region_call *c, char *names, nj_error *err)
{
    const char *name[256], *near;
    char all[2048], *rest = NULL;
    size_t n = 0;
    snprintf(all, sizeof all, "%s", names);
    for (char *at = strtok_r(names, ",", &rest); at && n < 256; at = strtok_r(NULL, ",", &rest))
        name[n++] = at;
    near = nj_nearest(c->region, name, n);
    nj_fail(err,
            "%s: in_region('%s.%s'): %s has no region '%s', and no folder that could bring one; %s%.300s%s",
            label, c->instance, c->region, c->instance, c->region, near ? "did you mean '" : "it has ",
            near ? near : all, near ? "'?" : "");
    return -1;
}

/* Once, whatever clauses ask for it. */
static int note(run *r, const char *label, const nj_region_call *c, nj_error *err)
{
    const bool first = !r->options->shared || !r->options->shared->incarnation;
    for (const asked *a = r->regions; a; a = a->next)
        if (!strcmp(a->instance, c->instance) && !strcmp(a->region, c->region)) return 0;
    asked *a = nj_arena_alloc(&r->arena, sizeof *a);
    if (!a) return nj_fail(err, "out of memory");
    *a = (asked){ .instance = nj_arena_text(&r->arena, c->instance, strlen(c->instance)),
                  .region = nj_arena_text(&r->arena, c->region, strlen(c->region)),
                  .next = r->regions };
    if (!a->instance || !a->region) return nj_fail(err, "out of memory");
    r->regions = a;
    char names[2048];
    if (first && look(r, c->instance, c->region, names, sizeof names) == NJ_REGION_LATER)
        nj_log(
            NJ_LOG_WARN,
            "%s: in_region('%s.%s'): there is no region '%s' now, so this matches nothing until a folder of "
            "[module.%s] has a file of that name",
            label, c->instance, c->region, c->region, c->instance);
    return 0;
}

int nj_flow_check_regions(run *r, const char *label, const char *where, nj_error *err)
{
    nj_clause c;
    char names[2048];
    int rc = nj_clause_parse(&c, where, err);
    for (const nj_region_call *at = rc ? NULL : c.regions; at && !rc; at = at->next) {
        if (!at->region || !is_of_regions(r, at->instance)) continue;
        rc = look(r, at->instance, at->region, names, sizeof names) == NJ_REGION_NEVER
                 ? no_region(label, at, names, err)
                 : note(r, label, at, err);
    }
    nj_clause_free(&c);
    return rc;
}

int nj_flow_regions_report(const run *r, nj_report *report)
{
    uint32_t n = 0;
    for (const asked *a = r->regions; a; a = a->next) n++;
    if (!n) return 0;
    report->region = calloc(n, sizeof *report->region);
    if (!report->region) return -1;
    for (const asked *a = r->regions; a; a = a->next) {
        char names[2048];
        struct nj_report_region *to = &report->region[report->n_regions++];
        snprintf(to->name, sizeof to->name, "%s.%s", a->instance, a->region);
        to->there = look(r, a->instance, a->region, names, sizeof names) == NJ_REGION_THERE;
    }
    return 0;
}
