/* service.c - the region service: files, folders and bands of a list, indexed together, and followed when one
 * of them is replaced, added or taken away. */
#include "rgn.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../sky/njx.h"
#include "nightjar/list.h"

typedef struct entry { /* a region of the list: a file's, or a band */
    char *path, *name;
    struct stat stat;
    rgn_region *region; /* NULL until it is read; shared by the states that have it */
} entry;

typedef struct listing {
    entry *item;
    size_t n, cap;
} listing;

struct nj_region_view {
    listing list;
    const rgn_region **region;
    rgn_index index;
    uint64_t generation;
    int is_skymap;
    int held; /* by begin(); under the lock */
    nj_region_view *older;
};

typedef struct item { /* of the list as it was written */
    char *text, *name, *path;
    int is_folder, is_band;
    rgn_band band;
} item;

struct nj_region_set {
    pthread_mutex_t lock;
    item *item;
    size_t n_items;
    double level, days;
    nj_region_view *newest;
    listing refused; /* looked at and not taken: not tried again until it changes */
    time_t looked;
    int rechecks;
    char problem[512];
};

/* ---- what the list stands for now ---- */

static void free_entry(entry *e)
{
    free(e->path);
    free(e->name);
}

static void free_listing(listing *l)
{
    for (size_t k = 0; k < l->n; k++) free_entry(&l->item[k]);
    free(l->item);
    *l = (listing){ 0 };
}

/* The file's name without its folder and the endings that such files have. */
static void short_name(const char *path, char name[256])
{
    static const char *const ending[] = { ".gz",   ".fits", ".fit", ".moc",  ".multiorder",
                                          ".json", ".txt",  ".reg", ".ascii" };
    const char *slash = strrchr(path, '/');
    snprintf(name, 256, "%s", slash ? slash + 1 : path);
    for (size_t k = 0; k < sizeof ending / sizeof *ending; k++) {
        size_t n = strlen(name), m = strlen(ending[k]);
        if (n <= m || strcasecmp(name + n - m, ending[k])) continue;
        name[n - m] = 0;
        k = (size_t)-1; /* from the first again */
    }
}

static int add_entry(listing *l, const char *path, const char *name, const struct stat *st)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        entry *more = realloc(l->item, cap * sizeof *more);
        if (!more) return -1;
        l->item = more;
        l->cap = cap;
    }
    entry e = { .path = strdup(path), .name = strdup(name) };
    if (st) e.stat = *st;
    if (!e.path || !e.name) {
        free_entry(&e);
        return -1;
    }
    l->item[l->n++] = e;
    return 0;
}

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* days: how old a file may be; 0 = any age. */
static int list_folder(listing *l, const item *it, double days, char *why, size_t why_size)
{
    struct dirent **found;
    int n = scandir(it->path, &found, visible, alphasort), rc = 0;
    if (n < 0) {
        snprintf(why, why_size, "%s: the folder cannot be read", it->path);
        return -1;
    }
    for (int k = 0; k < n; k++) {
        char path[4096], name[256];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", it->path, found[k]->d_name);
        short_name(path, name);
        int there = !stat(path, &st) && S_ISREG(st.st_mode);
        if (there && days > 0) there = difftime(time(NULL), st.st_mtim.tv_sec) <= days * 86400;
        if (!rc && there) rc = add_entry(l, path, name, &st);
        free(found[k]);
    }
    free(found);
    if (rc) snprintf(why, why_size, "%s: no memory", it->path);
    return rc;
}

/* Names are told apart in the column of names, and there separated by commas. */
static int check_names(const listing *l, char *why, size_t why_size)
{
    for (size_t k = 0; k < l->n; k++) {
        const char *name = l->item[k].name;
        if (!*name || strchr(name, ',')) {
            snprintf(why, why_size, "%s: a region cannot be called '%s'", l->item[k].path, name);
            return -1;
        }
        for (size_t i = 0; i < k; i++)
            if (!strcmp(name, l->item[i].name)) {
                snprintf(why, why_size,
                         "%s and %s: two regions would be called '%s' (FILE:NAME gives a name)",
                         l->item[i].path, l->item[k].path, name);
                return -1;
            }
    }
    return 0;
}

/* old: the state whose files stand for those that are not there at this moment. */
static int list_now(const nj_region_set *set, const nj_region_view *old, listing *l, char *why,
                    size_t why_size)
{
    *l = (listing){ 0 };
    for (size_t k = 0; k < set->n_items; k++) {
        const item *it = &set->item[k];
        struct stat st = { 0 };
        int rc = 0;
        if (it->is_folder) {
            rc = list_folder(l, it, set->days, why, why_size);
        } else {
            if (!it->is_band && stat(it->path, &st))
                for (size_t i = 0; old && i < old->list.n; i++) /* between unlink and rename: keep */
                    if (!strcmp(old->list.item[i].path, it->path)) st = old->list.item[i].stat;
            rc = add_entry(l, it->is_band ? it->text : it->path, it->name, &st);
            if (rc) snprintf(why, why_size, "%s: no memory", it->text);
        }
        if (rc) {
            free_listing(l);
            return -1;
        }
    }
    return 0;
}

static int same_entry(const entry *a, const entry *b)
{
    return !strcmp(a->path, b->path) && a->stat.st_dev == b->stat.st_dev &&
           a->stat.st_ino == b->stat.st_ino && a->stat.st_size == b->stat.st_size &&
           a->stat.st_mtim.tv_sec == b->stat.st_mtim.tv_sec &&
           a->stat.st_mtim.tv_nsec == b->stat.st_mtim.tv_nsec;
}

static int same_listing(const listing *a, const listing *b)
{
    if (a->n != b->n) return 0;
    for (size_t k = 0; k < a->n; k++)
        if (!same_entry(&a->item[k], &b->item[k])) return 0;
    return 1;
}

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
    free_listing(&v->list);
    free(v);
}

static int read_entry(const nj_region_set *set, entry *e, const nj_region_view *old, char *why,
                      size_t why_size)
{
    for (size_t i = 0; old && i < old->list.n; i++)
        if (same_entry(e, &old->list.item[i])) {
            e->region = old->list.item[i].region;
            return 0;
        }
    rgn_region *region = calloc(1, sizeof *region);
    if (!region) {
        snprintf(why, why_size, "%s: no memory", e->path);
        return -1;
    }
    for (size_t k = 0; k < set->n_items; k++)
        if (set->item[k].is_band && !strcmp(set->item[k].text, e->path)) {
            region->band = set->item[k].band;
            region->is_band = 1;
        }
    if (!region->is_band && rgn_read(e->path, set->level, region, why, why_size)) {
        free(region);
        return -1;
    }
    e->region = region;
    return 0;
}

static int region_is_skymap(const nj_region_view *view)
{
    return view->is_skymap;
}

/* One file, and it is a map. A folder with one map in it may get others. */
static int one_skymap(const nj_region_set *set, const listing *l)
{
    return set->n_items == 1 && !set->item[0].is_folder && l->n == 1 && l->item[0].region->is_map;
}

/* The state of a listing, which becomes its own; NULL with the reason in why, and the listing is as it was
 * but for its regions. */
static nj_region_view *load_view(const nj_region_set *set, listing *l, char *why, size_t why_size)
{
    nj_region_view *old = set->newest, *v = calloc(1, sizeof *v);
    if (v) v->region = calloc(l->n + 1, sizeof *v->region);
    int rc = v && v->region ? 0 : -1;
    if (rc) snprintf(why, why_size, "no memory for %zu regions", l->n);
    if (!rc) rc = check_names(l, why, why_size);
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
        *l = (listing){ 0 };
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
    listing l;
    char why[400];
    if (list_now(set, set->newest, &l, set->problem, sizeof set->problem)) return;
    if (same_listing(&l, &set->newest->list) || (set->refused.n && same_listing(&l, &set->refused))) {
        free_listing(&l);
        return;
    }
    free_listing(&set->refused);
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
    for (size_t k = 0; k < set->n_items; k++) {
        free(set->item[k].text);
        free(set->item[k].name);
        free(set->item[k].path);
    }
    free(set->item);
    free_listing(&set->refused);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static int add_item(nj_region_set *set, const char *text, const char *name, char *why, size_t why_size)
{
    item *more = realloc(set->item, (set->n_items + 1) * sizeof *more);
    if (!more) return NJ_ENOMEM;
    set->item = more;
    item *it = &more[set->n_items++];
    *it = (item){ .text = strdup(text), .is_folder = text[strlen(text) - 1] == '/' };
    int band = rgn_make_band(text, &it->band);
    char given[256];
    if (band < 0) {
        snprintf(why, why_size,
                 "%s: a band is 'galactic LOW HIGH' or 'ecliptic LOW HIGH', in degrees from -90 "
                 "to 90",
                 text);
        return NJ_ECONF;
    }
    it->is_band = band;
    snprintf(given, sizeof given, "%s", name);
    if (!strcmp(text, name) && band) given[strcspn(given, " ")] = 0;
    if (!strcmp(text, name) && !band) short_name(text, given);
    it->name = strdup(given);
    if (!band && !(it->path = njx_find(text))) {
        snprintf(why, why_size, "%s: no such %s here or along the data path", text,
                 it->is_folder ? "folder" : "file");
        return NJ_ENO_CATALOG;
    }
    return it->text && it->name ? NJ_OK : NJ_ENOMEM;
}

static int region_open(const char *list, double level, double days, nj_region_set **opened, char *why,
                       size_t why_size)
{
    char text[256], name[256];
    nj_region_set *set = calloc(1, sizeof *set);
    *opened = NULL;
    snprintf(why, why_size, "no memory");
    if (!set) return NJ_ENOMEM;
    pthread_mutex_init(&set->lock, NULL);
    set->level = level;
    set->days = days;
    int rc = NJ_OK;
    while (rc == NJ_OK && nj_list_item(&list, text, name, sizeof text)) {
        if (*text) rc = add_item(set, text, name, why, why_size);
    }
    listing l = { 0 };
    if (rc == NJ_OK && !set->n_items) {
        snprintf(why, why_size, "no file, folder or band is named");
        rc = NJ_ECONF;
    }
    if (rc == NJ_OK && list_now(set, NULL, &l, why, why_size)) rc = NJ_ECONF;
    if (rc == NJ_OK && !(set->newest = load_view(set, &l, why, why_size))) rc = NJ_ECONF;
    free_listing(&l);
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
                                     .at = region_at };
    return version == NJ_REGION_VERSION ? &table : NULL;
}
