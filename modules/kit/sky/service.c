/* service.c - the sky service: one mapping per catalogue and process, followed when the file is replaced. */
#include "njx.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One state of a file. The last end() of a state that is no longer the newest closes its file; the record
 * itself stays for the report (a hundred bytes per swap). */
struct nj_sky_view {
    njx_file *file;
    nj_sky_info info;
    _Atomic uint64_t n_searched;
    int held; /* by begin(); under the catalogue's lock */
    char hash[65];
    uint64_t generation, n_rows;
    nj_sky_view *older;
};

typedef struct file_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
} file_stamp;

struct nj_sky_catalog {
    pthread_mutex_t lock;
    char *path;
    int users;
    nj_sky_view *newest;
    file_stamp stamp;  /* of the file last looked at, good or refused */
    time_t looked;     /* second of the last look */
    int rechecks;      /* value of `rechecks` then */
    char problem[512]; /* not yet reported */
    nj_sky_catalog *next;
};

/* The process's catalogues: one mapping each, whoever opens them, and where they are looked for. The only
 * state that is not an instance's own. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static nj_sky_catalog *registry;
static char *data_path;
static atomic_int rechecks; /* lock-free: set by a signal handler */

static int stamp_of(const char *path, file_stamp *stamp)
{
    struct stat st;
    if (stat(path, &st)) return -1;
    *stamp = (file_stamp){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
    return 0;
}

static int same_stamp(const file_stamp *a, const file_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* The file below the first of the folders ("a:b") that has it; NULL. Caller frees. */
static char *find_below(const char *folders, const char *name)
{
    char *path = NULL;
    while (folders && *folders && !path) {
        size_t n = strcspn(folders, ":");
        char *joined;
        if (n && asprintf(&joined, "%.*s/%s", (int)n, folders, name) < 0) return NULL;
        if (n) {
            path = realpath(joined, NULL);
            free(joined);
        }
        folders += n + (folders[n] == ':');
    }
    return path;
}

/* The file that a name stands for; NULL when there is none. Caller frees. Under the registry's lock. */
static char *resolve(const char *name)
{
    char *path = NULL;
    if (name[0] != '/') path = find_below(data_path, name);
    if (!path && name[0] != '/') path = find_below(getenv("NIGHTJAR_DATA"), name);
    return path ? path : realpath(name, NULL);
}

char *njx_find(const char *name)
{
    pthread_mutex_lock(&registry_lock);
    char *path = resolve(name);
    pthread_mutex_unlock(&registry_lock);
    return path;
}

int njx_rechecks(void)
{
    return atomic_load_explicit(&rechecks, memory_order_relaxed);
}

static nj_sky_view *load_view(const char *path, uint64_t generation, char *why, size_t why_size)
{
    nj_sky_view *v = calloc(1, sizeof *v);
    if (!v || !(v->file = njx_open(path, 0, why, why_size))) {
        free(v);
        return NULL;
    }
    v->info = v->file->info;
    v->info.generation = v->generation = generation;
    v->n_rows = v->info.n_rows;
    memcpy(v->hash, v->file->hash, sizeof v->hash);
    return v;
}

static void drop_if_unused(nj_sky_catalog *cat, nj_sky_view *view)
{
    if (view->held || view == cat->newest) return;
    njx_close(view->file);
    view->file = NULL;
}

/* Do all columns of the old state stand in the new one, with their types? */
static int keeps_columns(const nj_sky_view *old, const nj_sky_view *new, char *why, size_t why_size)
{
    for (uint32_t c = 0; c < old->info.n_columns; c++) {
        const nj_sky_column *had = &old->info.column[c];
        int now = njx_find_column(new->file, had->name);
        if (now >= 0 && new->info.column[now].type == had->type) continue;
        snprintf(why, why_size, "%s: the new file %s column '%s'; the old state stays in use", new->info.path,
                 now < 0 ? "lacks" : "has another type of", had->name);
        return 0;
    }
    return 1;
}

/* Takes the file's new state if it has one. Under the lock. */
static void look(nj_sky_catalog *cat)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int asked = njx_rechecks();
    if (now.tv_sec == cat->looked && asked == cat->rechecks) return;
    cat->looked = now.tv_sec;
    cat->rechecks = asked;
    file_stamp stamp;
    /* between unlink and rename: keep */
    if (stamp_of(cat->path, &stamp) || same_stamp(&stamp, &cat->stamp)) return;
    cat->stamp = stamp;
    nj_sky_view *v = load_view(cat->path, cat->newest->generation + 1, cat->problem, sizeof cat->problem);
    if (!v) return;
    if (!keeps_columns(cat->newest, v, cat->problem, sizeof cat->problem)) {
        njx_close(v->file);
        free(v);
        return;
    }
    nj_sky_view *old = cat->newest;
    v->older = old;
    cat->newest = v;
    drop_if_unused(cat, old);
}

static nj_sky_catalog *new_catalog(char *path, char *why, size_t why_size)
{
    nj_sky_catalog *cat = calloc(1, sizeof *cat);
    if (!cat) {
        snprintf(why, why_size, "%s: no memory", path);
        return NULL;
    }
    cat->path = path;
    pthread_mutex_init(&cat->lock, NULL);
    cat->next = registry;
    registry = cat;
    return cat;
}

/* The first user, or the first after all had closed it:
 * then an unchanged file is the same state as before. */
static int load_again(nj_sky_catalog *cat, char *why, size_t why_size)
{
    file_stamp stamp = { 0 };
    stamp_of(cat->path, &stamp);
    nj_sky_view *old = cat->newest, *v = load_view(cat->path, old ? old->generation + 1 : 1, why, why_size);
    if (!v) return -1;
    cat->stamp = stamp;
    if (old && !strcmp(old->hash, v->hash)) {
        v->info.generation = old->generation;
        old->file = v->file;
        old->info = v->info;
        free(v);
        return 0;
    }
    v->older = old;
    cat->newest = v;
    return 0;
}

static int sky_try_open(const char *name, nj_sky_catalog **opened, char *why, size_t why_size)
{
    *opened = NULL;
    pthread_mutex_lock(&registry_lock);
    char *path = resolve(name);
    if (!path) {
        pthread_mutex_unlock(&registry_lock);
        snprintf(why, why_size,
                 "%s: no such catalogue here or along the data path; `nightjar catalog build` makes one",
                 name);
        return NJ_ENO_CATALOG;
    }
    nj_sky_catalog *cat = registry;
    while (cat && strcmp(cat->path, path)) cat = cat->next;
    if (cat)
        free(path);
    else if (!(cat = new_catalog(path, why, why_size)))
        free(path);
    if (cat) {
        pthread_mutex_lock(&cat->lock);
        int ready = (cat->newest && cat->newest->file) || load_again(cat, why, why_size) == 0;
        cat->users += ready;
        pthread_mutex_unlock(&cat->lock);
        if (!ready) cat = NULL;
    }
    pthread_mutex_unlock(&registry_lock);
    *opened = cat;
    return cat ? NJ_OK : NJ_ECONF;
}

static nj_sky_catalog *sky_open(const char *name, char *why, size_t why_size)
{
    nj_sky_catalog *cat;
    sky_try_open(name, &cat, why, why_size);
    return cat;
}

static void sky_close(nj_sky_catalog *cat)
{
    if (!cat) return;
    pthread_mutex_lock(&cat->lock);
    if (--cat->users == 0) {
        njx_close(cat->newest->file);
        cat->newest->file = NULL;
    }
    pthread_mutex_unlock(&cat->lock);
}

static const nj_sky_view *sky_begin(nj_sky_catalog *cat)
{
    pthread_mutex_lock(&cat->lock);
    look(cat);
    nj_sky_view *v = cat->newest;
    v->held++;
    pthread_mutex_unlock(&cat->lock);
    return v;
}

static void sky_end(nj_sky_catalog *cat, const nj_sky_view *view)
{
    nj_sky_view *v = (nj_sky_view *)view; /* made by begin(), counted here */
    pthread_mutex_lock(&cat->lock);
    v->held--;
    drop_if_unused(cat, v);
    pthread_mutex_unlock(&cat->lock);
}

static const nj_sky_info *sky_info(const nj_sky_view *view)
{
    return &view->info;
}
static int sky_column(const nj_sky_view *view, const char *name)
{
    return njx_find_column(view->file, name);
}

static int sky_search(const nj_sky_view *view, const nj_sky_cones *cones, const nj_sky_matches *matches)
{
    const njx_file *f = view->file;
    atomic_fetch_add_explicit(&((nj_sky_view *)view)->n_searched, cones->n, memory_order_relaxed);
    return njx_search(f->grid, f->header->n_grids, f->header->epoch_year, cones, matches);
}

static double sky_number(const nj_sky_view *view, int column, uint64_t row)
{
    return njx_number(view->file, column, row);
}
static int64_t sky_integer(const nj_sky_view *view, int column, uint64_t row)
{
    return njx_integer(view->file, column, row);
}
static const char *sky_text(const nj_sky_view *view, int column, uint64_t row)
{
    return njx_text(view->file, column, row);
}
static void sky_position(const nj_sky_view *view, uint64_t row, double *ra, double *dec)
{
    njx_position(view->file, row, ra, dec);
}

static int sky_problem(nj_sky_catalog *cat, char *why, size_t why_size)
{
    pthread_mutex_lock(&cat->lock);
    int had = cat->problem[0] != 0;
    if (had) snprintf(why, why_size, "%s", cat->problem);
    cat->problem[0] = 0;
    pthread_mutex_unlock(&cat->lock);
    return had;
}

static void sky_recheck(void)
{
    atomic_fetch_add_explicit(&rechecks, 1, memory_order_relaxed);
}

static void visit(const nj_sky_catalog *cat, const nj_sky_view *v,
                  void (*each)(void *, const nj_sky_served *), void *opaque)
{
    if (!v) return;
    visit(cat, v->older, each, opaque);
    nj_sky_served s = { .path = cat->path,
                        .hash = v->hash,
                        .generation = v->generation,
                        .n_rows = v->n_rows,
                        .n_searched = atomic_load_explicit(&v->n_searched, memory_order_relaxed) };
    each(opaque, &s);
}

static void sky_served(void (*each)(void *opaque, const nj_sky_served *served), void *opaque)
{
    pthread_mutex_lock(&registry_lock);
    for (nj_sky_catalog *cat = registry; cat; cat = cat->next) {
        pthread_mutex_lock(&cat->lock);
        visit(cat, cat->newest, each, opaque);
        pthread_mutex_unlock(&cat->lock);
    }
    pthread_mutex_unlock(&registry_lock);
}

static void sky_folders(const char *folders)
{
    pthread_mutex_lock(&registry_lock);
    free(data_path);
    data_path = folders ? strdup(folders) : NULL;
    pthread_mutex_unlock(&registry_lock);
}

const void *nj_sky_service(uint32_t version)
{
    static const nj_sky table = {
        .abi = NJ_SKY_VERSION,
        .size = sizeof table,
        .open = sky_open,
        .close = sky_close,
        .begin = sky_begin,
        .end = sky_end,
        .info = sky_info,
        .column = sky_column,
        .search = sky_search,
        .number = sky_number,
        .integer = sky_integer,
        .text = sky_text,
        .position = sky_position,
        .problem = sky_problem,
        .recheck = sky_recheck,
        .served = sky_served,
        .folders = sky_folders,
        .try_open = sky_try_open,
    };
    return version == NJ_SKY_VERSION ? &table : NULL;
}
