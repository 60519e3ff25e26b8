/* speed.c - `nightjar cutout --bench` measures how the speed grows with the number of workers. */
#include "speed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double centre_ra = 150, centre_dec = 20, scale_deg = 1.0 / 3600;
enum { SIDE = 4096, CUBE_SIDE = 256, CUBE_PLANES = 64, WALL_ROUNDS = 3 };

int nj_cut_speed(const nj_cut_job *job, int most, nj_cut_point point[NJ_CUT_POINTS], nj_error *err)
{
    int n = 0;
    for (int w = 1; w < most && n < NJ_CUT_POINTS - 1; w *= 2) point[n++].workers = w;
    point[n++].workers = most;
    for (int round = -1; round < NJ_CUT_ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            nj_cut_job made = *job, written = *job;
            nj_cut_result a, b;
            made.workers = written.workers = point[i].workers;
            made.folder = NULL;
            written.overwrite = true;
            if (nj_cut(&made, &a, err) || nj_cut(&written, &b, err)) return -1;
            if (round < 0) continue;
            point[i].cut[round] = (a.whole + a.partial) / a.wall_s;
            point[i].written[round] = (b.whole + b.partial) / b.wall_s;
        }
    return n;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int nj_cut_walls(const nj_cut_job *job, nj_cut_wall wall[NJ_CUT_WALLS], nj_error *err)
{
    static const uint32_t cutouts[] = { 1, 10, 100, 1000 };
    static const int workers[] = { 1, 4, 16 };
    int n = 0;
    double s[NJ_CUT_WALLS][WALL_ROUNDS];
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3 && cutouts[i] <= job->n_targets; k++)
            wall[n++] = (nj_cut_wall){ cutouts[i], workers[k], 0 };
    for (int round = 0; round < WALL_ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            nj_cut_job some = *job;
            nj_cut_result r;
            some.n_targets = wall[i].cutouts;
            some.workers = wall[i].workers;
            some.overwrite = true;
            if (nj_cut(&some, &r, err)) return -1;
            s[i][round] = r.wall_s;
        }
    for (int i = 0; i < n; i++) {
        qsort(s[i], WALL_ROUNDS, sizeof **s, by_value);
        wall[i].wall_s = s[i][WALL_ROUNDS / 2];
    }
    return n;
}

static int write_image(const char *path, const float *pixel, long side, long planes, nj_error *err)
{
    fitsfile *f = NULL;
    int status = 0, zero = 0;
    long axes[3] = { side, side, planes }, first[3] = { 1, 1, 1 };
    double middle = (double)side / 2 + 0.5, ra = centre_ra, dec = centre_dec, minus = -scale_deg,
           plus = scale_deg;
    char text[FLEN_STATUS];
    remove(path);
    fits_create_file(&f, path, &status);
    fits_create_img(f, FLOAT_IMG, planes > 1 ? 3 : 2, axes, &status);
    fits_write_key(f, TSTRING, "CTYPE1", "RA---TAN", NULL, &status);
    fits_write_key(f, TSTRING, "CTYPE2", "DEC--TAN", NULL, &status);
    fits_write_key(f, TDOUBLE, "CRPIX1", &middle, NULL, &status);
    fits_write_key(f, TDOUBLE, "CRPIX2", &middle, NULL, &status);
    fits_write_key(f, TDOUBLE, "CRVAL1", &ra, NULL, &status);
    fits_write_key(f, TDOUBLE, "CRVAL2", &dec, NULL, &status);
    fits_write_key(f, TDOUBLE, "CDELT1", &minus, NULL, &status);
    fits_write_key(f, TDOUBLE, "CDELT2", &plus, NULL, &status);
    fits_write_pix(f, TFLOAT, first, (LONGLONG)side * side * planes, (void *)pixel, &status);
    if (f) fits_close_file(f, status ? &zero : &status);
    if (!status) return 0;
    fits_get_errstatus(status, text);
    return nj_fail(err, "%s: %s", path, text);
}

/* Knuth's MMIX: noise that only has to differ. */
static void make_noise(float *pixel, size_t n, uint64_t *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        pixel[i] = (float)(*state >> 40) * 0x1p-24f;
    }
}

int nj_cut_toy_cube(const char *path, nj_error *err)
{
    const size_t n = (size_t)CUBE_SIDE * CUBE_SIDE * CUBE_PLANES;
    float *pixel = malloc(n * sizeof *pixel);
    uint64_t state = 2;
    if (!pixel) return nj_fail(err, "out of memory");
    make_noise(pixel, n, &state);
    int rc = write_image(path, pixel, CUBE_SIDE, CUBE_PLANES, err);
    free(pixel);
    return rc;
}

/* The table behind the cube: times half an hour apart, positions as those of the image. */
static void write_tess_table(fitsfile *f, int *status)
{
    static char *names[] = { "TSTART", "TSTOP",  "BARYCORR", "CRPIX1", "CRPIX2", "CRVAL1",  "CRVAL2",
                             "CDELT1", "CDELT2", "DQUALITY", "CTYPE1", "CTYPE2", "RADESYS", "FFI_FILE" },
                *forms[] = { "D", "D", "D", "D", "D", "D", "D", "D", "D", "J", "12A", "12A", "4A", "12A" },
                *text[] = { "RA---TAN", "DEC--TAN", "ICRS", "noise.fits" };
    const double middle = (double)CUBE_SIDE / 2 + 0.5;
    int zero = 0;
    fits_create_tbl(f, BINARY_TBL, 0, 14, names, forms, NULL, NULL, status);
    for (long i = 1; i <= CUBE_PLANES; i++) {
        double real[] = { 1325.3 + (double)i / 48,
                          1325.3 + (double)(i + 1) / 48,
                          0.004,
                          middle,
                          middle,
                          centre_ra,
                          centre_dec,
                          -scale_deg,
                          scale_deg };
        for (int c = 0; c < 9; c++) fits_write_col(f, TDOUBLE, c + 1, i, 1, 1, &real[c], status);
        fits_write_col(f, TINT, 10, i, 1, 1, &zero, status);
        for (int c = 0; c < 4; c++) fits_write_col(f, TSTRING, c + 11, i, 1, 1, &text[c], status);
    }
}

int nj_cut_toy_tess(const char *path, nj_error *err)
{
    const size_t n = (size_t)CUBE_SIDE * CUBE_SIDE * CUBE_PLANES * 2;
    float *pixel = malloc(n * sizeof *pixel);
    uint64_t state = 3;
    fitsfile *f = NULL;
    int status = 0, zero = 0;
    long axes[4] = { 2, CUBE_PLANES, CUBE_SIDE, CUBE_SIDE }, first[4] = { 1, 1, 1, 1 };
    double start = 1325.3, stop = 1325.3 + CUBE_PLANES / 48.0;
    char text[FLEN_STATUS];
    if (!pixel) return nj_fail(err, "out of memory");
    make_noise(pixel, n, &state);
    remove(path);
    fits_create_file(&f, path, &status);
    fits_create_img(f, BYTE_IMG, 0, axes, &status);
    fits_write_key(f, TDOUBLE, "TSTART", &start, NULL, &status);
    fits_write_key(f, TDOUBLE, "TSTOP", &stop, NULL, &status);
    fits_create_img(f, FLOAT_IMG, 4, axes, &status);
    fits_write_pix(f, TFLOAT, first, (LONGLONG)n, pixel, &status);
    write_tess_table(f, &status);
    if (f) fits_close_file(f, status ? &zero : &status);
    free(pixel);
    if (!status) return 0;
    fits_get_errstatus(status, text);
    return nj_fail(err, "%s: %s", path, text);
}

int nj_cut_toy(const char *path, nj_cut_target **target, uint32_t n, nj_error *err)
{
    float *pixel = malloc(sizeof *pixel * SIDE * SIDE);
    *target = calloc(n, sizeof **target);
    if (!pixel || !*target) {
        free(pixel);
        return nj_fail(err, "out of memory");
    }
    uint64_t state = 1;
    make_noise(pixel, (size_t)SIDE * SIDE, &state);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        double at[2];
        for (int k = 0; k < 2; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            at[k] = ((double)(state >> 11) * 0x1p-53 - 0.5) * (SIDE - 512) * scale_deg;
        }
        snprintf(name, sizeof name, "%06u", i);
        (*target)[i] = (nj_cut_target){ strdup(name), centre_ra + at[0], centre_dec + at[1] };
    }
    int rc = write_image(path, pixel, SIDE, 1, err);
    free(pixel);
    return rc;
}
