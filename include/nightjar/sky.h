/* nightjar/sky.h - positions on the sky against local catalogues (.njx files,
 * made by `nightjar catalog build`).
 *
 *     const nj_sky *sky = host->service(host->opaque, "sky", NJ_SKY_VERSION);
 *     nj_sky_catalog *cat = sky->open("gcvs.njx", why, sizeof why);        in open(): once per instance
 *     const nj_sky_view *view = sky->begin(cat);                           in process(): one state of the
 *     file sky->search(view, &cones, &matches);
 *     ... sky->text(view, column, matches.row[0]) ...
 *     sky->end(cat, view);
 *
 * A catalogue is mapped once per process, however many instances open it. When its file is replaced (by a
 * rename, as the builder does), begin() gives the new state and views already begun keep the old one. All
 * functions but open and close may be called from any thread at once; none allocates but open and the swap.
 * Append only, as module.h. */
#ifndef NIGHTJAR_SKY_H
#define NIGHTJAR_SKY_H
#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NJ_SKY_VERSION 1u

typedef struct nj_sky_catalog nj_sky_catalog; /* a file that is followed */
typedef struct nj_sky_view nj_sky_view;       /* one state of it; valid from begin() to end() */

typedef struct nj_sky_column {
    const char *name; /* [a-z][a-z0-9_]*, unique in its catalogue */
    nj_type type;
    const char *unit; /* "" when the source named none */
} nj_sky_column;

typedef struct nj_sky_info {
    const char *path;            /* the file */
    const char *hash;            /* 64 hex digits: sha256 over the content, equal for equal content */
    const char *source;          /* names of the files it was built from */
    const char *source_hash;     /* 64 hex digits: sha256 of that file;
                                  * of several, of their hex digits in order */
    const char *frame;           /* "icrs" */
    double epoch_year;           /* Julian year of the positions; NaN = not given */
    double radius_arcsec;        /* search radius that the builder had in mind */
    uint64_t n_rows, n_rejected; /* rows here; source rows left out (no position, out of range) */
    uint64_t generation;         /* 1 for the first state that this process saw of the file, then 2, ... */
    int has_motion;              /* rows have proper motions */
    uint32_t n_columns;
    const nj_sky_column *column;
} nj_sky_info;

typedef struct nj_sky_cones { /* what to search */
    uint32_t n;
    uint32_t cap;                /* most matches kept per cone, >= 1 */
    const double *ra, *dec;      /* [n] deg; any finite ra (wrapped), dec in [-90, 90] */
    const double *radius_arcsec; /* [n], or NULL: one_radius_arcsec for all; up to 648000 (the whole sky) */
    double one_radius_arcsec;
    const double *epoch_year; /* [n] Julian year to which proper motions are applied, NaN = leave them;
                               * NULL = none */
} nj_sky_cones;

enum {
    NJ_SKY_NONE,     /* no row nearer than the radius */
    NJ_SKY_MATCH,    /* all of them are given */
    NJ_SKY_OVERFLOW, /* more than cap: the nearest cap are given, n counts all */
    NJ_SKY_NO_INPUT
}; /* position or radius is NaN or out of range */

typedef struct nj_sky_matches { /* the caller's arrays, filled by search */
    uint8_t *state;             /* [n] NJ_SKY_* */
    uint32_t *n;                /* [n] rows with separation < radius (strictly), kept or not */
    uint64_t *row;              /* [n * cap] those of cone i from i * cap, nearest first,
                                 * at a tie the lower row */
    double *sep_arcsec;         /* [n * cap] great-circle separation, good to 1e-9 arcsec below a degree */
} nj_sky_matches;

typedef struct nj_sky_served { /* one state of one catalogue that this process has used */
    const char *path, *hash;
    uint64_t generation, n_rows, n_searched; /* cones searched in it so far */
} nj_sky_served;

typedef struct nj_sky {
    uint32_t abi, size; /* NJ_SKY_VERSION, sizeof(nj_sky) */
    /* Maps and checks the file, or shares it when it is open already. NULL and the reason in `why` (path,
     * what is wrong) when it cannot be used. A relative name is looked for below the
     * folders of the data path, below those of
     * $NIGHTJAR_DATA, then below the working directory. */
    nj_sky_catalog *(*open)(const char *path, char *why, size_t why_size);
    void (*close)(nj_sky_catalog *cat); /* NULL allowed; no view may be held */
    /* The file's present state (looked at once per second at most). A new file that is corrupt or lacks a
     * column of the old one is reported once in `problem` and the old state stays. Never NULL. */
    const nj_sky_view *(*begin)(nj_sky_catalog *cat);
    void (*end)(nj_sky_catalog *cat, const nj_sky_view *view);
    const nj_sky_info *(*info)(const nj_sky_view *view);
    /* Index of the column of that name, capitals or not; -1 when there is none. */
    int (*column)(const nj_sky_view *view, const char *name);
    /* All cones in one go: prefetching needs some 16 of them or more. 0, or -1 when an argument is wrong. */
    int (*search)(const nj_sky_view *view, const nj_sky_cones *cones, const nj_sky_matches *matches);
    /* A value of a row; "no answer" when it is null, the row or column is out of range, or the type is
     * another (number() reads every numeric column). Text lives as long as the view. */
    double (*number)(const nj_sky_view *view, int column, uint64_t row);
    int64_t (*integer)(const nj_sky_view *view, int column, uint64_t row);
    const char *(*text)(const nj_sky_view *view, int column, uint64_t row);
    /* deg, as in the source */
    void (*position)(const nj_sky_view *view, uint64_t row, double *ra, double *dec);
    /* Why the last new file was refused since the last call, copied into why; 0 = nothing to say. */
    int (*problem)(nj_sky_catalog *cat, char *why, size_t why_size);
    /* Every begin() from now on looks at its file at once (SIGHUP). Safe in a signal handler. */
    void (*recheck)(void);
    /* Calls `each` for every state of every catalogue used so far, also those closed. */
    void (*served)(void (*each)(void *opaque, const nj_sky_served *served), void *opaque);
    /* The host's data path: folders separated by ':'; copied. Before the first open(). */
    void (*folders)(const char *folders);
    /* open() that says why not: NJ_ENO_CATALOG when there is no such file,
     * NJ_ECONF when there is one that is wrong. */
    int (*try_open)(const char *path, nj_sky_catalog **cat, char *why, size_t why_size);
} nj_sky;

/* search() by the definition, over the functions of the service and without proper motions: slow, for tests
 * and process_ref (libnightjar-kit.a). */
int nj_sky_search_plain(const nj_sky *sky, const nj_sky_view *view, const nj_sky_cones *cones,
                        const nj_sky_matches *out);

#ifdef __cplusplus
}
#endif
#endif
