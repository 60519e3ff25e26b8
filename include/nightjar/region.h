/* nightjar/region.h - which regions of the sky hold a position: coverage maps (MOC), skymaps, cones and
 * polygons, and bands of a latitude.
 *
 *     const nj_region *sky = host->service(host->opaque, "region", NJ_REGION_VERSION);
 *     sky->open("gw.fits, galactic -10 10:plane", 0.9, 0, &set, why, sizeof why);       in open()
 *     const nj_region_view *view = sky->begin(set);                 in process(): one state of the files
 *     uint32_t n = sky->find(view, ra, dec, bits);
 *     sky->end(set, view);
 *
 * A file that is replaced, or added to a folder, is taken by the next begin(); views already begun keep the
 * old state. Any thread may call all functions but open and close at once; none allocates but open and a
 * swap. Append only, as module.h. */
#ifndef NIGHTJAR_REGION_H
#define NIGHTJAR_REGION_H
#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NJ_REGION_VERSION 1u

typedef struct nj_region_set nj_region_set;   /* a list of files, followed */
typedef struct nj_region_view nj_region_view; /* one state of them; valid from begin() to end() */

typedef struct nj_region_at { /* what a skymap says of a position; NaN = no answer */
    double level;             /* credible level: the probability of all cells that are at least as likely */
    double prob;              /* probability per square degree */
    double distmu, distsigma; /* of the distance in this direction, Mpc */
} nj_region_at;

/* Of nj_region.have. */
enum {
    NJ_REGION_NEVER, /* no region is called so, and none can be */
    NJ_REGION_THERE,
    NJ_REGION_LATER /* not now, but the list has a folder, which may get one */
};

typedef struct nj_region {
    uint32_t abi, size; /* NJ_REGION_VERSION, sizeof(nj_region) */
    /* list: files, folders (a name that ends in '/'), or bands ("galactic LOW HIGH", "ecliptic LOW HIGH",
     * degrees of latitude), separated by commas; ":NAME" behind one is the name of the region, which is else
     * the file's name without its ending. level: the credible level within which a position counts as in a
     * skymap, 0 to 1. days: files of a folder that are older are left out; 0 = of any age. NJ_ENO_CATALOG
     * when a file is not there, NJ_ECONF when it is wrong; `why` has the file and the reason. */
    int (*open)(const char *list, double level, double days, nj_region_set **set, char *why, size_t why_size);
    void (*close)(nj_region_set *set); /* NULL allowed; no view may be held */
    /* The present state, looked at once per second at most. A file that is wrong is reported once in
     * `problem` and the old state stays. Never NULL. */
    const nj_region_view *(*begin)(nj_region_set *set);
    void (*end)(nj_region_set *set, const nj_region_view *view);
    uint32_t (*count)(const nj_region_view *view);      /* regions */
    uint64_t (*generation)(const nj_region_view *view); /* 1, then 2 after a swap, ... */
    const char *(*name)(const nj_region_view *view, uint32_t k);
    /* Sets bit k (of word k / 64) for each region k that holds the position (deg) and returns how many do.
     * bits: (count + 63) / 64 words, cleared first. -1: no position (NaN, or a declination beyond 90). */
    int32_t (*find)(const nj_region_view *view, double ra, double dec, uint64_t *bits);
    /* find() by the definition, without an index: slow, for tests and process_ref. */
    int32_t (*find_plain)(const nj_region_view *view, double ra, double dec, uint64_t *bits);
    /* Why the last new state was refused since the last call, copied into why; 0 = nothing to say. */
    int (*problem)(nj_region_set *set, char *why, size_t why_size);
    /* Is the list one skymap and nothing else? It then stays one: another new state is refused. */
    int (*is_skymap)(const nj_region_view *view);
    /* The skymap's values at a position (deg); all NaN where the map has no cell, or the list is none. */
    void (*at)(const nj_region_view *view, double ra, double dec, nj_region_at *at);
    /* Would an instance of this list and these days have a region of that name? The files are not read.
     * names: those that there are, separated by commas. -1: the list cannot be understood. Hosts before it
     * have a smaller size. */
    int (*have)(const char *list, double days, const char *name, char *names, size_t names_size);
    /* Calls back for each file that was read so far: where it is, and the SHA-256 of its bytes. A file that
     * was replaced comes once for each of its states. */
    void (*served)(void (*each)(void *opaque, const char *path, const char *hash), void *opaque);
} nj_region;

#ifdef __cplusplus
}
#endif
#endif
