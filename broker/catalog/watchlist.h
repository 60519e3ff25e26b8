/* watchlist.h - a list of positions that somebody watches, checked row by row. */
#ifndef NJ_CATALOG_WATCHLIST_H
#define NJ_CATALOG_WATCHLIST_H

#include "../base/buffer.h"
#include "build.h"

enum { NJ_WATCH_EXTRA = 32 };

typedef struct nj_watchlist {
    const char *path;
    const char *ra, *dec, *id, *radius, *owner, *expires; /* columns; NULL = the usual names */
    const char *columns;                                  /* further ones to keep, by commas; NULL = none */
    nj_angle unit;
    double radius_arcsec;                       /* of rows that say none */
    int64_t now_ms;                             /* since 1970: rows that expired before are left out */
    void (*bad)(void *opaque, const char *row); /* "row 17 (line 21): radius is 'x'" */
    void *opaque;
} nj_watchlist;

typedef struct nj_watched {
    uint64_t n_rows, n_bad, n_expired; /* kept; left out */
    double widest;                     /* arcsec */
    char ra[72], dec[72];              /* the columns that were taken; "" = the list has none */
    char id[72], radius[72], owner[72], expires[72];
    char extra[NJ_WATCH_EXTRA][72];
    uint32_t n_extra;
} nj_watched;

/* Writes what is right as CSV with the columns id, ra, dec (deg), radius (arcsec), owner, expires (Julian
 * Date) and the further ones. -1 with err: the list cannot be read. */
int nj_watchlist_read(const nj_watchlist *list, nj_buffer *csv, nj_watched *got, nj_error *err);

#endif
