/* service.c - the region service: files, folders and bands of a list, indexed together, and followed when one
 * of them is replaced, added or taken away. */
#include "listing.h"
#include "rgn.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../sky/njx.h"

struct nj_region_view {
    rgn_listing list;
    const rgn_region **region;
    rgn_index index;
    uint64_t generation;
    int is_skymap;
    int held; /* by begin(); under the lock */
    nj_region_view *older;
};

struct nj_region_set {
    pthread_mutex_t lock;
    rgn_items items;
    double level;
    nj_region_view *newest;
    rgn_listing refused; /* looked at and not taken: not tried again until it changes */
    time_t looked;
    int rechecks;
    char problem[512];
};

/* ---- states ---- */

static int has_region(const nj_region_view *v, const rgn_region *region)
{
    for (size_t k = 0; v && k < v->list.n; k++)
        if (v->list.item[k].region == region) return 1;
    return 0;
}

/* Frees a state, but for the regions that one of the chain that is left has. */
static void free_view(nj_region_view *v, const nj_region_view *left)
{
    for (size_t k = 0; k < v->list.n; k++) {
        rgn_region *region = v->list.item[k].region;
        int used = 0;
        for (const nj_region_view *o = left; o && region; o = o->older)
            used |= o != v && has_region(o, region);
        if (!region || used) continue;
        rgn_free(region);
        free(region);
    }
    rgn_index_free(&v->index);
    free(v->region);
    rgn_free_listing(&v->list);
    free(v);
}

static int read_entry(const nj_region_set *set, rgn_entry *e, const nj_region_view *old, char *why,
                      size_t why_size)
{
    for (size_t i = 0; old && i < old->list.n; i++)
        if (rgn_same_entry(e, &old->list.item[i])) {
            e->region = old->list.item[i].region;
            return 0;
        }
    rgn_region *region = calloc(1, sizeof *region);
    if (!region) {
        snprintf(why, why_size, "%s: no memory", e->path);
        return -1;
    }
    for (size_t k = 0; k < set->items.n; k++)
        if (set->items.item[k].is_band && !strcmp(set->items.item[k].text, e->path)) {
            region->band = set->items.item[k].band;
            region->is_band = 1;
        }
    if (!region->is_band && rgn_read(e->path, set->level, region, why, why_size)) {
        free(region);
        return -1;
    }
    if (!region->is_band) rgn_note_file(e->path);
    e->region = region;
    return 0;
}

static int region_is_skymap(const nj_region_view *view)
{
    return view->is_skymap;
}

/* One file, and it is a map. A folder with one map in it may get others. */
static int one_skymap(const nj_region_set *set, const rgn_listing *l)
{
    return set->items.n == 1 && !set->items.item[0].is_folder && l->n == 1 && l->item[0].region->is_map;
}

/* The state of a listing, which becomes its own; NULL with the reason in why, and the listing is as it was
 * but for its regions. */
static nj_region_view *load_view(const nj_region_set *set, rgn_listing *l, char *why, size_t why_size)
{
    nj_region_view *old = set->newest, *v = calloc(1, sizeof *v);
    if (v) v->region = calloc(l->n + 1, sizeof *v->region);
    int rc = v && v->region ? 0 : -1;
    if (rc) snprintf(why, why_size, "no memory for %zu regions", l->n);
    if (!rc) rc = rgn_check_names(l, why, why_size);
    for (size_t k = 0; k < l->n && !rc; k++) {
        rc = read_entry(set, &l->item[k], old, why, why_size);
        if (!rc) v->region[k] = l->item[k].region;
    }
    if (!rc && old && region_is_skymap(old) && !one_skymap(set, l)) {
        snprintf(why, why_size, "%s: is no skymap any more", l->item[0].path);
        rc = -1;
    }
    if (!rc && rgn_index_make(&v->index, v->region, (uint32_t)l->n)) {
        snprintf(why, why_size, "no memory for the index of %zu regions", l->n);
        rc = -1;
    }
    if (!rc) {
        v->is_skymap = one_skymap(set, l);
        v->list = *l;
        v->generation = old ? old->generation + 1 : 1;
        v->older = old;
        *l = (rgn_listing){ 0 };
        return v;
    }
    for (size_t k = 0; k < l->n; k++) {
        rgn_region *region = l->item[k].region;
        l->item[k].region = NULL;
        if (!region || has_region(old, region)) continue;
        rgn_free(region);
        free(region);
    }
    if (v) rgn_index_free(&v->index);
    if (v) free(v->region);
    free(v);
    return NULL;
}

/* Frees the states that nobody holds and that are not the newest. Under the lock. */
static void drop_unused(nj_region_set *set)
{
    for (nj_region_view **at = &set->newest->older; *at;) {
        nj_region_view *v = *at;
        if (v->held) {
            at = &v->older;
            continue;
        }
        *at = v->older;
        free_view(v, set->newest);
    }
}

/* Takes the files' new state if they have one. Under the lock. */
static void look(nj_region_set *set)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int asked = njx_rechecks();
    if (now.tv_sec == set->looked && asked == set->rechecks) return;
    set->looked = now.tv_sec;
    set->rechecks = asked;
    rgn_listing l;
    char why[400];
    if (rgn_list_now(&set->items, &set->newest->list, &l, set->problem, sizeof set->problem)) return;
    if (rgn_same_listing(&l, &set->newest->list) || (set->refused.n && rgn_same_listing(&l, &set->refused))) {
        rgn_free_listing(&l);
        return;
    }
    rgn_free_listing(&set->refused);
    nj_region_view *v = load_view(set, &l, why, sizeof why);
    if (!v) {
        snprintf(set->problem, sizeof set->problem, "%s; the old state stays in use", why);
        set->refused = l;
        return;
    }
    set->newest = v;
    drop_unused(set);
}

/* ---- the service ---- */

static void region_close(nj_region_set *set)
{
    if (!set) return;
    for (nj_region_view *v = set->newest, *older; v; v = older) {
        older = v->older;
        free_view(v, older);
    }
    rgn_free_items(&set->items);
    rgn_free_listing(&set->refused);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static int region_open(const char *list, double level, double days, nj_region_set **opened, char *why,
                       size_t why_size)
{
    nj_region_set *set = calloc(1, sizeof *set);
    *opened = NULL;
    snprintf(why, why_size, "no memory");
    if (!set) return NJ_ENOMEM;
    pthread_mutex_init(&set->lock, NULL);
    set->level = level;
    int rc = rgn_read_list(&set->items, list, days, why, why_size);
    rgn_listing l = { 0 };
    if (rc == NJ_OK && !set->items.n) {
        snprintf(why, why_size, "no file, folder or band is named");
        rc = NJ_ECONF;
    }
    if (rc == NJ_OK && rgn_list_now(&set->items, NULL, &l, why, why_size)) rc = NJ_ECONF;
    if (rc == NJ_OK && !(set->newest = load_view(set, &l, why, why_size))) rc = NJ_ECONF;
    rgn_free_listing(&l);
    if (rc == NJ_OK)
        *opened = set;
    else
        region_close(set);
    return rc;
}

static const nj_region_view *region_begin(nj_region_set *set)
{
    pthread_mutex_lock(&set->lock);
    look(set);
    nj_region_view *v = set->newest;
    v->held++;
    pthread_mutex_unlock(&set->lock);
    return v;
}

static void region_end(nj_region_set *set, const nj_region_view *view)
{
    nj_region_view *v = (nj_region_view *)view; /* made by begin(), counted here */
    pthread_mutex_lock(&set->lock);
    v->held--;
    drop_unused(set);
    pthread_mutex_unlock(&set->lock);
}

static uint32_t region_count(const nj_region_view *view)
{
    return view->index.n;
}
static uint64_t region_generation(const nj_region_view *view)
{
    return view->generation;
}
static const char *region_name(const nj_region_view *view, uint32_t k)
{
    return view->list.item[k].name;
}
static int32_t region_find(const nj_region_view *view, double ra, double dec, uint64_t *bits)
{
    return rgn_index_find(&view->index, ra, dec, bits);
}
static int32_t region_find_plain(const nj_region_view *view, double ra, double dec, uint64_t *bits)
{
    return rgn_find_plain(&view->index, ra, dec, bits);
}

static void region_at(const nj_region_view *view, double ra, double dec, nj_region_at *at)
{
    *at = (nj_region_at){ NAN, NAN, NAN, NAN };
    if (!region_is_skymap(view) || !isfinite(ra) || !(dec >= -90 && dec <= 90)) return;
    const rgn_cell *c = rgn_skymap_at(view->region[0], rgn_cell_of(ra, dec));
    if (c)
        *at = (nj_region_at){ c->level, c->density * (M_PI / 180) * (M_PI / 180), c->distmu, c->distsigma };
}

static int region_problem(nj_region_set *set, char *why, size_t why_size)
{
    pthread_mutex_lock(&set->lock);
    int had = set->problem[0] != 0;
    if (had) snprintf(why, why_size, "%s", set->problem);
    set->problem[0] = 0;
    pthread_mutex_unlock(&set->lock);
    return had;
}

const void *nj_region_service(uint32_t version)
{
    static const nj_region table = { .abi = NJ_REGION_VERSION,
                                     .size = sizeof table,
                                     .open = region_open,
                                     .close = region_close,
                                     .begin = region_begin,
                                     .end = region_end,
                                     .count = region_count,
                                     .generation = region_generation,
                                     .name = region_name,
                                     .find = region_find,
                                     .find_plain = region_find_plain,
                                     .problem = region_problem,
                                     .is_skymap = region_is_skymap,
                                     .at = region_at,
                                     .have = rgn_have,
                                     .served = rgn_served };
    return version == NJ_REGION_VERSION ? &table : NULL;
}
