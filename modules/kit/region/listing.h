/* listing.h - the list of an instance as it was written, and what it stands for now. */
#ifndef MODULES_KIT_REGION_LISTING_H
#define MODULES_KIT_REGION_LISTING_H
#include <sys/stat.h>

#include "rgn.h"

typedef struct rgn_entry { /* a region of the list: a file's, or a band */
    char *path, *name;
    struct stat stat;
    rgn_region *region; /* NULL until it is read; shared by the states that have it */
} rgn_entry;

typedef struct rgn_listing {
    rgn_entry *item;
    size_t n, cap;
} rgn_listing;

typedef struct rgn_item { /* of the list as it was written */
    char *text, *name, *path;
    int is_folder, is_band;
    rgn_band band;
} rgn_item;

typedef struct rgn_items {
    rgn_item *item;
    size_t n;
    double days; /* how old a file of a folder may be; 0 = any age */
} rgn_items;

/* Reads a list; NJ_ECONF, NJ_ENO_CATALOG or NJ_ENOMEM with why. Free it also then. */
int rgn_read_list(rgn_items *items, const char *list, double days, char *why, size_t why_size);
void rgn_free_items(rgn_items *items);
/* old: the state whose files stand for those that are not there at this moment. -1 with why. */
int rgn_list_now(const rgn_items *items, const rgn_listing *old, rgn_listing *listing, char *why,
                 size_t why_size);
void rgn_free_listing(rgn_listing *listing);
int rgn_same_entry(const rgn_entry *a, const rgn_entry *b);
int rgn_same_listing(const rgn_listing *a, const rgn_listing *b);
/* Names are told apart in the column of names, and there separated by commas. -1 with why. */
int rgn_check_names(const rgn_listing *listing, char *why, size_t why_size);
/* As nj_region.have. */
int rgn_have(const char *list, double days, const char *name, char *names, size_t names_size);

#endif
