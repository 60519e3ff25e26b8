/* listing.c - what the list of an instance stands for at this moment: files, the files of folders, bands. */
#include "listing.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "../sky/njx.h"
#include "nightjar/list.h"

void rgn_free_items(rgn_items *items)
{
    for (size_t k = 0; k < items->n; k++) {
        free(items->item[k].text);
        free(items->item[k].name);
        free(items->item[k].path);
    }
    free(items->item);
    *items = (rgn_items){ 0 };
}

static void free_entry(rgn_entry *e)
{
    free(e->path);
    free(e->name);
}

void rgn_free_listing(rgn_listing *l)
{
    for (size_t k = 0; k < l->n; k++) free_entry(&l->item[k]);
    free(l->item);
    *l = (rgn_listing){ 0 };
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

static int add_entry(rgn_listing *l, const char *path, const char *name, const struct stat *st)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        rgn_entry *more = realloc(l->item, cap * sizeof *more);
        if (!more) return -1;
        l->item = more;
        l->cap = cap;
    }
    rgn_entry e = { .path = strdup(path), .name = strdup(name) };
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
static int list_folder(rgn_listing *l, const rgn_item *it, double days, char *why, size_t why_size)
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
int rgn_check_names(const rgn_listing *l, char *why, size_t why_size)
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
int rgn_list_now(const rgn_items *items, const rgn_listing *old, rgn_listing *l, char *why, size_t why_size)
{
    *l = (rgn_listing){ 0 };
    for (size_t k = 0; k < items->n; k++) {
        const rgn_item *it = &items->item[k];
        struct stat st = { 0 };
        int rc = 0;
        if (it->is_folder) {
            rc = list_folder(l, it, items->days, why, why_size);
        } else {
            if (!it->is_band && stat(it->path, &st))
                for (size_t i = 0; old && i < old->n; i++) /* between unlink and rename: keep */
                    if (!strcmp(old->item[i].path, it->path)) st = old->item[i].stat;
            rc = add_entry(l, it->is_band ? it->text : it->path, it->name, &st);
            if (rc) snprintf(why, why_size, "%s: no memory", it->text);
        }
        if (rc) {
            rgn_free_listing(l);
            return -1;
        }
    }
    return 0;
}

int rgn_same_entry(const rgn_entry *a, const rgn_entry *b)
{
    return !strcmp(a->path, b->path) && a->stat.st_dev == b->stat.st_dev &&
           a->stat.st_ino == b->stat.st_ino && a->stat.st_size == b->stat.st_size &&
           a->stat.st_mtim.tv_sec == b->stat.st_mtim.tv_sec &&
           a->stat.st_mtim.tv_nsec == b->stat.st_mtim.tv_nsec;
}

int rgn_same_listing(const rgn_listing *a, const rgn_listing *b)
{
    if (a->n != b->n) return 0;
    for (size_t k = 0; k < a->n; k++)
        if (!rgn_same_entry(&a->item[k], &b->item[k])) return 0;
    return 1;
}

static int add_item(rgn_items *items, const char *text, const char *name, char *why, size_t why_size)
{
    rgn_item *more = realloc(items->item, (items->n + 1) * sizeof *more);
    if (!more) return NJ_ENOMEM;
    items->item = more;
    rgn_item *it = &more[items->n++];
    *it = (rgn_item){ .text = strdup(text), .is_folder = text[strlen(text) - 1] == '/' };
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

int rgn_read_list(rgn_items *items, const char *list, double days, char *why, size_t why_size)
{
    char text[256], name[256];
    int rc = NJ_OK;
    *items = (rgn_items){ .days = days };
    while (rc == NJ_OK && nj_list_item(&list, text, name, sizeof text))
        if (*text) rc = add_item(items, text, name, why, why_size);
    return rc;
}

int rgn_have(const char *list, double days, const char *name, char *names, size_t size)
{
    char why[400];
    rgn_items items;
    rgn_listing l = { 0 };
    int rc = rgn_read_list(&items, list, days, why, sizeof why), there = 0, folder = 0;
    size_t n = 0;
    if (rc == NJ_OK && rgn_list_now(&items, NULL, &l, why, sizeof why)) rc = NJ_ECONF;
    *names = 0;
    for (size_t k = 0; k < l.n; k++) {
        there |= !strcmp(l.item[k].name, name);
        if (n + 2 < size) n += (size_t)snprintf(names + n, size - n, "%s%s", n ? "," : "", l.item[k].name);
    }
    for (size_t k = 0; k < items.n; k++) folder |= items.item[k].is_folder;
    rgn_free_listing(&l);
    rgn_free_items(&items);
    return rc != NJ_OK ? -1 : there ? NJ_REGION_THERE : folder ? NJ_REGION_LATER : NJ_REGION_NEVER;
}
