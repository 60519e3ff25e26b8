/* speed.c - `nightjar cutout --bench` measures how the speed grows with the number of workers. */
#include "speed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double centre_ra = 150, centre_dec = 20, scale_deg = 1.0 / 3600;
enum { SIDE = 4096 };

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

static int write_image(const char *path, const float *pixel, nj_error *err)
{
    fitsfile *f = NULL;
    int status = 0, zero = 0;
    long axes[2] = { SIDE, SIDE }, first[2] = { 1, 1 };
    double middle = SIDE / 2 + 0.5, ra = centre_ra, dec = centre_dec, minus = -scale_deg, plus = scale_deg;
    char text[FLEN_STATUS];
    remove(path);
    fits_create_file(&f, path, &status);
    fits_create_img(f, FLOAT_IMG, 2, axes, &status);
    fits_write_key(f, TSTRING, "CTYPE1", "RA---TAN", NULL, &status);
    fits_write_key(f, TSTRING, "CTYPE2", "DEC--TAN", NULL, &status);
    fits_write_key(f, TDOUBLE, "CRPIX1", &middle, NULL, &status);
    fits_write_key(f, TDOUBLE, "CRPIX2", &middle, NULL, &status);
    fits_write_key(f, TDOUBLE, "CRVAL1", &ra, NULL, &status);
    fits_write_key(f, TDOUBLE, "CRVAL2", &dec, NULL, &status);
    fits_write_key(f, TDOUBLE, "CDELT1", &minus, NULL, &status);
    fits_write_key(f, TDOUBLE, "CDELT2", &plus, NULL, &status);
    fits_write_pix(f, TFLOAT, first, (LONGLONG)SIDE * SIDE, (void *)pixel, &status);
    if (f) fits_close_file(f, status ? &zero : &status);
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
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX: noise that
                                                                      * only has to differ */
        pixel[i] = (float)(state >> 40) * 0x1p-24f;
    }
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
    int rc = write_image(path, pixel, err);
    free(pixel);
    return rc;
}
