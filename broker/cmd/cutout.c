/* cutout.c - `nightjar cutout`: stamps from FITS images and cubes, and how many a second by number of
 * workers. */
#include <inttypes.h>
#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/scratch.h"
#include "../cutout/speed.h"
#include "command.h"

enum { SIZE_MOST = 8192, TOY_TARGETS = 1000, CONNECTIONS = 16 };

typedef struct options {
    const char *targets, *folder;
    int size, workers;
    bool bench, overwrite;
} options;

/* "a/b.fits.fz[1]" -> "b" */
static void stem(const char *path, char out[256])
{
    const char *slash = strrchr(path, '/');
    snprintf(out, 256, "%s", slash ? slash + 1 : path);
    out[strcspn(out, nj_ranges_is(path) ? "[?" : "[")] = 0;
    static const char *const ends[] = { ".gz", ".fz", ".fits", ".fit", ".fts" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(out), m = strlen(ends[i]);
        if (n > m && !strcmp(out + n - m, ends[i])) out[n - m] = 0;
    }
    for (char *p = out; *p; p++)
        if (*p == '\'') *p = '_';
}

static int cut_image(const options *o, const char *path, bool several, const nj_cut_target *target,
                     uint32_t n, nj_error *err)
{
    nj_cut_image image;
    nj_cut_result r;
    char name[256], suffix[258] = "";
    stem(path, name);
    if (several) snprintf(suffix, sizeof suffix, "_%s", name);
    if (nj_cut_image_open(&image, path, err)) {
        nj_cut_image_close(&image);
        return NJ_EXIT_SOURCE;
    }
    nj_cut_job job = {
        &image, target, n, (uint32_t)o->size, o->folder, suffix, name, o->workers, o->overwrite
    };
    int rc = nj_cut_fetch(&job, CONNECTIONS, err) ? NJ_EXIT_SOURCE : NJ_EXIT_OK;
    if (rc == NJ_EXIT_OK && nj_cut(&job, &r, err)) rc = NJ_EXIT_LEDGER;
    if (rc == NJ_EXIT_OK)
        printf("%s: %u targets = %u whole + %u partial + %u outside; %.1f MB in %.3f s, %.0f cutouts/s, %d "
               "worker%s\n",
               path, n, r.whole, r.partial, r.outside, (double)r.bytes / 1e6, r.wall_s,
               (r.whole + r.partial) / r.wall_s, o->workers, o->workers == 1 ? "" : "s");
    if (rc == NJ_EXIT_OK && image.remote) {
        const nj_ranges_account a = nj_ranges_account_of(image.remote);
        printf("%s: %.2f MB of %.2f MB came, by %" PRIu64 " requests\n", path, (double)a.bytes / 1e6,
               (double)nj_ranges_size(image.remote) / 1e6, a.requests);
    }
    nj_cut_image_close(&image);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_points(nj_cut_point *point, int n)
{
    double first[2] = { 0 };
    printf("workers       cut/s [     least,       most]  speed-up |   written/s [     least,       most]  "
           "speed-up\n");
    for (int i = 0; i < n; i++) {
        double *rate[2] = { point[i].cut, point[i].written };
        printf("%7d", point[i].workers);
        for (int k = 0; k < 2; k++) {
            qsort(rate[k], NJ_CUT_ROUNDS, sizeof **rate, by_value);
            double median = rate[k][NJ_CUT_ROUNDS / 2];
            if (i == 0) first[k] = median;
            printf("%s%12.0f [%10.0f, %10.0f]  %8.2f", k ? " |" : "", median, rate[k][0],
                   rate[k][NJ_CUT_ROUNDS - 1], median / first[k]);
        }
        printf("\n");
    }
    printf("medians of %d rounds, all counts in turn; on %ld cores\n", NJ_CUT_ROUNDS,
           sysconf(_SC_NPROCESSORS_ONLN));
}

static int faster(const void *a, const void *b)
{
    const nj_cut_wall *x = a, *y = b;
    const double p = x->cutouts / x->wall_s, q = y->cutouts / y->wall_s;
    return (p < q) - (p > q);
}

/* Wall time by cutouts and workers, then all of them by their speed. */
static void print_walls(nj_cut_wall *wall, int n)
{
    printf("\n  cutouts       1 worker      4 workers     16 workers   wall time in s, made and written\n");
    for (int i = 0; i < n; i += 3)
        printf("%9u %14.6f %14.6f %14.6f\n", wall[i].cutouts, wall[i].wall_s, wall[i + 1].wall_s,
               wall[i + 2].wall_s);
    qsort(wall, (size_t)n, sizeof *wall, faster);
    printf("\n     rank      cutouts/s        cutouts        workers\n");
    for (int i = 0; i < n; i++)
        printf("%9d %14.0f %14u %14d\n", i + 1, wall[i].cutouts / wall[i].wall_s, wall[i].cutouts,
               wall[i].workers);
}

static int bench_walls(const nj_cut_job *job, const char *what, nj_error *err)
{
    nj_cut_wall wall[NJ_CUT_WALLS];
    const nj_cut_image *image = job->image;
    int n = nj_cut_walls(job, wall, err);
    if (n < 0) return -1;
    printf("\n%s: %u x %u x %" PRIu64 ", stamps of %u x %u x %" PRIu64 "\n", what, image->cols, image->rows,
           image->planes, job->size, job->size, image->planes);
    print_walls(wall, n);
    return 0;
}

typedef struct toy_cube {
    const char *what;
    int (*make)(const char *path, nj_error *err);
    int part, most; /* of the targets one in `part`; pixels of a side */
} toy_cube;

static const toy_cube CUBES[] = { { "noise cube", nj_cut_toy_cube, 10, SIZE_MOST },
                                  { "noise TESS cube, a target pixel file each", nj_cut_toy_tess, 1, 11 } };

/* The same of a cube: a stamp has all its planes. All targets are near its centre. */
static int bench_cube(const toy_cube *cube, const options *o, const char *folder, const nj_cut_target *target,
                      uint32_t n, nj_error *err)
{
    char path[2200];
    nj_cut_image image = { 0 };
    snprintf(path, sizeof path, "%s/cube", folder);
    n /= (uint32_t)cube->part;
    nj_cut_target *near = calloc(n, sizeof *near);
    int rc = near ? cube->make(path, err) : nj_fail(err, "out of memory");
    for (uint32_t i = 0; near && i < n; i++)
        near[i] = (nj_cut_target){ target[i].name, 150 + (target[i].ra - 150) / 32,
                                   20 + (target[i].dec - 20) / 32 };
    if (!rc) rc = nj_cut_image_open(&image, path, err);
    const uint32_t size = (uint32_t)(o->size < cube->most ? o->size : cube->most);
    const nj_cut_job job = { &image, near, n, size, folder, "", "cube", 1, true };
    if (!rc) rc = bench_walls(&job, cube->what, err);
    nj_cut_image_close(&image);
    unlink(path);
    free(near);
    return rc;
}

static int bench(const options *o, const char *path, nj_error *err)
{
    char folder[2048], toy[2100] = "", name[256];
    nj_cut_target *target = NULL;
    uint32_t n = TOY_TARGETS;
    nj_cut_image image = { 0 };
    nj_cut_point point[NJ_CUT_POINTS];
    int rc = NJ_EXIT_SOURCE, failed;
    if (nj_scratch_make(folder, sizeof folder, NULL, "cutout", err)) return NJ_EXIT_LEDGER;
    if (path)
        failed = nj_cut_targets_read(o->targets, &target, &n, err);
    else {
        snprintf(toy, sizeof toy, "%s/image", folder);
        failed = nj_cut_toy(toy, &target, n, err);
        path = toy;
    }
    if (!failed && nj_cut_image_open(&image, path, err) == 0) {
        stem(path, name);
        nj_cut_job job = { &image, target, n, (uint32_t)o->size, folder, "", name, 1, true };
        int points = nj_cut_fetch(&job, CONNECTIONS, err)
                         ? -1
                         : nj_cut_speed(&job, o->workers ? o->workers : 2 * omp_get_num_procs(), point, err);
        rc = points < 0 ? NJ_EXIT_LEDGER : NJ_EXIT_OK;
        if (points > 0) {
            printf("%s: %u x %u x %" PRIu64 ", %u targets, stamps of %u x %u\n", path == toy ? "noise" : path,
                   image.cols, image.rows, image.planes, n, o->size, o->size);
            print_points(point, points);
            if (bench_walls(&job, path == toy ? "noise" : path, err)) rc = NJ_EXIT_LEDGER;
            for (size_t i = 0; path == toy && rc == NJ_EXIT_OK && i < sizeof CUBES / sizeof *CUBES; i++)
                if (bench_cube(&CUBES[i], o, folder, target, n, err)) rc = NJ_EXIT_LEDGER;
        }
    }
    nj_cut_image_close(&image);
    nj_scratch_remove(folder);
    nj_cut_targets_free(target, target ? n : 0);
    return rc;
}

static int cut_all(const options *o, char **path, int n_paths, nj_error *err)
{
    nj_cut_target *target = NULL;
    uint32_t n = 0;
    if (nj_cut_targets_read(o->targets, &target, &n, err)) {
        nj_cut_targets_free(target, n);
        return NJ_EXIT_USAGE;
    }
    int rc = NJ_EXIT_OK;
    const char *folder = o->folder ? o->folder : ".";
    if (mkdir(folder, 0777) && errno != EEXIST) {
        nj_fail(err, "%s: %s", folder, strerror(errno));
        rc = NJ_EXIT_LEDGER;
    }
    for (int i = 0; i < n_paths && rc == NJ_EXIT_OK; i++)
        rc = cut_image(o, path[i], n_paths > 1, target, n, err);
    nj_cut_targets_free(target, n);
    return rc;
}

#define AT(x) offsetof(options, x)

static const nj_option table[] = {
    { "targets", 0, NJ_OPTION_TEXT, AT(targets), "CSV",
      .doc = "ra and dec (deg, or as the table declares them), and name, id, object or candid for the names "
             "of the files" },
    { "size", 0, NJ_OPTION_INT, AT(size), "N", "63", 1, SIZE_MOST, .doc = "pixels of a side" },
    { "out", 'o', NJ_OPTION_TEXT, AT(folder), "DIR",
      .doc = "where NAME.fits goes (NAME_IMAGE.fits when there are several images)" },
    { "threads", 'j', NJ_OPTION_INT, AT(workers), "N", NULL, 1, 1024, .doc = "workers (all cores)" },
    { "overwrite", 0, NJ_OPTION_FLAG, AT(overwrite), .doc = "replace stamps that exist" },
    { "bench", 0, NJ_OPTION_FLAG, AT(bench),
      .doc = "cutouts per second by number of workers, up to -j (twice the cores); wall time of 1 to 1000 "
             "cutouts by 1, 4 and 16 workers, and their ranks; without an image, of one of 4096 x 4096, of a "
             "cube and of a TESS cube that are made. Nothing is kept" },
    { 0 }
};

static int cutout_main(int argc, char **argv);

NJ_COMMAND(cutout) = {
    .name = "cutout",
    .usage = "cutout IMAGE_OR_CUBE... --targets CSV --size N -o DIR [-j N] | --bench",
    .summary = "stamps from FITS images and cubes; cutouts/s by number of workers",
    .help =
        "Floats stay as they are, bit for bit; integers and scaled numbers become floats (32 bits and "
        "more: doubles). What lies beyond the border is NaN. Integers of compressed images are read by "
        "cfitsio.\nOf a TESS cube (four axes: flux and error, time, column, row; a table of its images) a "
        "target pixel file is cut, as TESScut publishes them.\n",
    .main = cutout_main,
    .options = { table },
    .arguments =
        (const nj_meaning[]){
            { "IMAGE_OR_CUBE",
              "FITS, also compressed (.fz, .gz): the first HDU with two or three axes, or "
              "FILE[n], FILE[EXTNAME]. Axes 1 and 2 are the sky, in any projection; a stamp has "
              "all planes of the others. Also https://HOST/PATH and s3://BUCKET/KEY, of which only the "
              "blocks that stamps need are fetched" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "2", "an image could not be read" },
                                   { "3", "a stamp could not be written" },
                                   { 0 } },
};

static int cutout_main(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    int rc = NJ_EXIT_USAGE, failed = nj_command_parse(&nj_command_cutout, &o, argc, argv, &words, &err);
    if (!failed && o.bench && (words.n > 1 || (words.n == 1) != (o.targets != NULL)))
        failed = nj_fail(&err, "--bench takes one image with its --targets, or neither");
    if (!failed && !o.bench && (words.n < 1 || !o.targets || !o.folder))
        failed = nj_fail(&err, "expected IMAGE... --targets CSV --size N -o DIR");
    if (!failed && o.bench)
        rc = bench(&o, words.n ? words.item[0] : NULL, &err);
    else if (!failed) {
        if (!o.workers) o.workers = omp_get_num_procs();
        rc = cut_all(&o, words.item, words.n, &err);
    }
    if (rc) nj_log(NJ_LOG_ERROR, "cutout: %s", err.text);
    return rc;
}
