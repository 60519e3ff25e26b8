/* hostless_page.h - one candidate of a host-free transient on one page, for a person to judge: stamps with
 * what was masked, facts, light curve, both power spectra against their shuffles, and the reasons for and
 * against in words. Pages are HTML files that need nothing else. One thread per writer. */
#ifndef NJ_REVIEW_HOSTLESS_PAGE_H
#define NJ_REVIEW_HOSTLESS_PAGE_H

#include <stdbool.h>

#include "../base/error.h"
#include "../view/draw.h"

/* All of one alert. NaN, -1 and NULL: not known. Pointers are the caller's and are not kept. */
typedef struct nj_hostless_page {
    int64_t candid;
    const char *object, *survey, *band;
    double jd, ra, dec, gal_b; /* d, deg */
    double mag, mag_err, rb, drb;
    int positive, ndethist, nbad, roid; /* roid: 0 .. 3 */
    double ref_dist, ref_mag;           /* nearest source of the reference image:
                                         * pixel or arcsec as published, mag */
    double ps1_dist, ps1_star;          /* nearest PS1 source: arcsec, star score 0 .. 1 */
    double sso_dist, sso_mag;           /* nearest known Solar System object: arcsec, mag */
    const nj_curve_point *point;
    uint32_t n_points;
    nj_picture stamp[3]; /* science, template, difference; pixel NULL: absent */
    int stamp_px;        /* side of the central square that is looked at; up to 0: the whole stamp */
    double pixel_arcsec; /* side of a pixel */
    /* the module's answer */
    const char *reason; /* "done", "range", ... */
    const char *topics; /* names of the topics that it matches; NULL = none were asked for */
    int candidate, stage, verdict, n_nan, n_bad, clipped[2];
    const char *lone;
    double ks[2], sd[2], limit[2]; /* science, template; limit: the largest of a verdict */
    uint32_t repeats, seed;
} nj_hostless_page;

typedef struct nj_hostless_writer nj_hostless_writer;
/* Pages go to folder/CANDID.html. The folder has one writer: NULL with err when another one has its index. */
nj_hostless_writer *nj_hostless_writer_new(const char *folder, nj_error *err);
void nj_hostless_writer_free(nj_hostless_writer *writer);
/* Writes the alert's page and remembers its line of the index. -1 with err. */
int nj_hostless_write(nj_hostless_writer *writer, const nj_hostless_page *page, nj_error *err);
/* What stands above the list. */
typedef struct nj_hostless_index {
    const char *title;   /* the source */
    const char *clauses; /* that alerts had to pass, as typed; NULL = none */
    uint64_t n_read, n_filtered, n_dead;
    uint64_t n_others; /* alerts without a page, because they are no candidates */
} nj_hostless_index;

/* folder/index.html: what is in doubt (an asteroid, a low rb) last and grey, with the reason; before that by
 * verdict, then by the larger of D / limit, then by magnitude. */
int nj_hostless_write_index(nj_hostless_writer *writer, const nj_hostless_index *about, nj_error *err);

#endif
