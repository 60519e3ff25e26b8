/* stamp.c - modules that look at images need stamps with stars, galaxies, noise and flaws; these are drawn
 * here. */
#include "stamp.h"

#include <float.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"

/* Electrons per DN and what the electronics add (DN^2),
 * so that the scatter of a sky pixel is that of real stamps:
 * 4.5 DN on 78 DN, 6.1 DN on 179 DN. */
static const float gain = 6.2f, read_variance = 8.0f;
static const float saturation_dn = 58000.0f;
/* Below 0.5 % of a source's flux remains when two exposures are subtracted. */
static const float mismatch = 0.002f, misregistration_px = 0.015f;
/* Neighbouring template pixels share noise, because the template was resampled: (a, b, a) along rows and
 * columns gives the correlation of 0.27 that real templates show. */
static const float share_a = 0.11f, share_b = 0.78f;

enum { MARGIN = NJ_SIM_STRIDE, FITS_BLOCK = 2880, PIXEL_BYTES = 7 * 2880 - FITS_BLOCK };

struct nj_sim_painter {
    /* sources in both images, transient and flaw */
    float fixed[NJ_SIM_PIXELS], fixed_ref[NJ_SIM_PIXELS], moved[NJ_SIM_PIXELS];
    float noise[NJ_SIM_PIXELS], raw[NJ_SIM_PIXELS + 2 * MARGIN], half[NJ_SIM_PIXELS + 2 * MARGIN],
        noise_ref[NJ_SIM_PIXELS];
    float image[3][NJ_SIM_PIXELS];
    uint8_t fits[FITS_BLOCK + PIXEL_BYTES];
    uint8_t packed[3][NJ_SIM_STAMP_PACKED_MAX];
};

nj_sim_painter *nj_sim_painter_new(void)
{
    nj_sim_painter *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    if (p) memset(p, 0, sizeof *p);
    return p;
}

void nj_sim_painter_free(nj_sim_painter *p)
{
    free(p);
}

double nj_sim_sky_sigma(double sky_dn)
{
    return sqrt(sky_dn / gain + read_variance);
}

/* A point source: a core, and wings twice as wide with an eighth of the light. */
static void add_point(float *image, double x, double y, double flux, double fwhm)
{
    double sigma = fwhm / 2.3548;
    nj_sim_add_gaussian(image, x, y, 0.875 * flux, 0, 1, 0, sigma);
    if (fabs(flux) > 300) nj_sim_add_gaussian(image, x, y, 0.125 * flux, 0, 1, 0, 2.1 * sigma);
}

static void add_source(float *image, const nj_sim_source *s, double flux, double fwhm)
{
    static const double share[3] = { 0.25, 0.45, 0.30 }, width[3] = { 0.35, 0.8, 1.5 };
    double x = NJ_SIM_CENTRE + s->dx, y = NJ_SIM_CENTRE + s->dy;
    if (s->size <= 0)
        add_point(image, x, y, flux, fwhm);
    else
        for (int i = 0; i < 3; i++)
            nj_sim_add_gaussian(image, x, y, share[i] * flux, width[i] * s->size, s->axis_ratio, s->angle,
                                fwhm / 2.3548);
}

static void add_flaw(nj_sim_painter *p, const nj_sim_scene *scene, nj_sim_rng *r)
{
    double angle = nj_sim_between(r, 0, 2 * M_PI);
    switch (scene->flaw) {
    case NJ_SIM_DIPOLE: { /* a source that lies elsewhere in the template by part of its width */
        double apart = nj_sim_between(r, 0.35, 0.8) * scene->fwhm, dx = apart * cos(angle),
               dy = apart * sin(angle);
        add_point(p->moved, NJ_SIM_CENTRE, NJ_SIM_CENTRE, 2 * scene->flaw_flux, scene->fwhm);
        add_point(p->moved, NJ_SIM_CENTRE + dx, NJ_SIM_CENTRE + dy, -2 * scene->flaw_flux, scene->fwhm);
        break;
    }
    case NJ_SIM_COSMIC_RAY: { /* a track sharper than any star */
        double length = nj_sim_between(r, 1, 9), bits = ceil(2 * length);
        for (double t = -0.5; t <= 0.5; t += 1 / bits)
            nj_sim_add_gaussian(p->moved, NJ_SIM_CENTRE + t * length * cos(angle),
                                NJ_SIM_CENTRE + t * length * sin(angle), scene->flaw_flux / (bits + 1), 0, 1,
                                0, 0.38);
        break;
    }
    case NJ_SIM_BAD_COLUMN: {
        float level = scene->flaw_flux / 9;
        int last = (int)nj_sim_between(r, NJ_SIM_CENTRE + 2, NJ_SIM_STRIDE - 1);
        for (int y = 0; y < last; y++) p->moved[y * NJ_SIM_STRIDE + NJ_SIM_CENTRE] += level;
        break;
    }
    case NJ_SIM_CLEAN: break;
    }
}

static void draw_noise(nj_sim_painter *p, const nj_sim_scene *scene)
{
    float sky = scene->sky, sky_ref = scene->sky_ref, per_frame = 1 / (float)scene->n_frames;
    float keep = share_b * share_b + 2 * share_a * share_a,
          scale = 1 / keep; /* both passes together multiply the scatter by keep */
    nj_sim_normals(p->noise, NJ_SIM_PIXELS, nj_sim_key(scene->key, 11));
    nj_sim_normals(p->raw + MARGIN, NJ_SIM_PIXELS, nj_sim_key(scene->key, 12));
    float *restrict raw = p->raw + MARGIN, *restrict half = p->half + MARGIN;
    for (int i = 0; i < NJ_SIM_PIXELS; i++) half[i] = share_a * (raw[i - 1] + raw[i + 1]) + share_b * raw[i];
    for (int i = 0; i < NJ_SIM_PIXELS; i++) {
        float correlated = share_a * (half[i - MARGIN] + half[i + MARGIN]) + share_b * half[i];
        float signal = p->fixed[i] + p->moved[i],
              variance = (sky + (signal > 0 ? signal : 0)) / gain + read_variance;
        float variance_ref = ((sky_ref + p->fixed_ref[i]) / gain + read_variance) * per_frame;
        p->noise[i] *= __builtin_sqrtf(variance);
        p->noise_ref[i] = correlated * scale * __builtin_sqrtf(variance_ref);
    }
}

static void compose(nj_sim_painter *p, const nj_sim_scene *scene, nj_sim_rng *r)
{
    float dx = misregistration_px * (float)nj_sim_normal(r),
          dy = misregistration_px * (float)nj_sim_normal(r);
    float gain_error = mismatch * (float)nj_sim_normal(r), pedestal = 0.8f * (float)nj_sim_normal(r);
    float sign = scene->negative ? -1.0f : 1.0f;
    for (int row = 0; row < NJ_SIM_STRIDE; row++)
        for (int col = 0; col < NJ_SIM_STRIDE; col++) {
            int i = row * NJ_SIM_STRIDE + col, left = col ? i - 1 : i,
                right = col < NJ_SIM_STRIDE - 1 ? i + 1 : i;
            int down = row ? i - NJ_SIM_STRIDE : i, up = row < NJ_SIM_STRIDE - 1 ? i + NJ_SIM_STRIDE : i;
            float slope = dx * (p->fixed[right] - p->fixed[left]) + dy * (p->fixed[up] - p->fixed[down]);
            float science = scene->sky + p->fixed[i] + p->moved[i] + p->noise[i];
            float reference = scene->sky_ref + p->fixed_ref[i] + p->noise_ref[i];
            p->image[0][i] = science < saturation_dn ? science : saturation_dn;
            p->image[1][i] = reference < saturation_dn ? reference : saturation_dn;
            p->image[2][i] = sign * (p->moved[i] + p->noise[i] - p->noise_ref[i] + slope +
                                     gain_error * p->fixed[i] + pedestal);
        }
}

/* A patch, or some columns, that the camera could not measure; never at the candidate itself. */
static int punch_holes(nj_sim_painter *p, const nj_sim_scene *scene, nj_sim_rng *r)
{
    double area = nj_sim_lognormal(r, 240, 0.85);
    if (area > 1600) area = 1600;
    double radius = sqrt(area / M_PI) * 1.1, angle = nj_sim_between(r, 0, 2 * M_PI),
           apart = nj_sim_between(r, radius + 4, radius + 14);
    double x = NJ_SIM_CENTRE + apart * cos(angle), y = NJ_SIM_CENTRE + apart * sin(angle);
    int columns = nj_sim_uniform(r) < 0.35, width = 1 + (int)(area / NJ_SIM_STAMP);
    int first = nj_sim_uniform(r) < 0.5
                    ? (int)nj_sim_between(r, 0, NJ_SIM_CENTRE - 5 - (width < 24 ? width : 24))
                    : (int)nj_sim_between(r, NJ_SIM_CENTRE + 5, NJ_SIM_STAMP - width);
    int n = 0;
    for (int row = (int)scene->first_row; row < (int)(scene->first_row + scene->rows); row++)
        for (int col = (int)scene->first_col; col < (int)(scene->first_col + scene->cols); col++) {
            int inside = columns ? col >= first && col < first + width
                                 : (col - x) * (col - x) + (row - y) * (row - y) < radius * radius;
            if (!inside) continue;
            int i = row * NJ_SIM_STRIDE + col;
            p->image[0][i] = p->image[2][i] = NAN;
            if (scene->deep_holes) p->image[1][i] = -FLT_MAX;
            n++;
        }
    return n;
}

static void measure(const nj_sim_painter *p, const nj_sim_scene *scene, nj_sim_measured *m)
{
    const float *difference = p->image[2];
    double sum = 0, absolute = 0, peak = -INFINITY;
    for (int row = NJ_SIM_CENTRE - 2; row <= NJ_SIM_CENTRE + 2; row++)
        for (int col = NJ_SIM_CENTRE - 2; col <= NJ_SIM_CENTRE + 2; col++) {
            double v = difference[row * NJ_SIM_STRIDE + col];
            m->n_negative += v < 0;
            sum += v;
            absolute += fabs(v);
            if (abs(row - NJ_SIM_CENTRE) <= 1 && abs(col - NJ_SIM_CENTRE) <= 1 && v > peak) peak = v;
        }
    m->sum_ratio = absolute > 0 ? sum / absolute : 0;
    m->peak_sigma = peak / nj_sim_sky_sigma(scene->sky);
}

static size_t put_cards(uint8_t *at, const nj_sim_scene *scene)
{
    char card[7][81];
    memset(at, ' ', FITS_BLOCK);
    /* The first card as the survey writes it, with the value in the wrong column. */
    snprintf(card[0], 81, "SIMPLE  =  T");
    snprintf(card[1], 81, "BITPIX  = %20d", -32);
    snprintf(card[2], 81, "NAXIS   = %20d", 2);
    snprintf(card[3], 81, "NAXIS1  = %20u", scene->cols);
    snprintf(card[4], 81, "NAXIS2  = %20u", scene->rows);
    snprintf(card[5], 81, "BUNIT   = 'DN      '");
    snprintf(card[6], 81, "END");
    for (size_t i = 0; i < 7; i++) memcpy(at + 80 * i, card[i], strlen(card[i]));
    return FITS_BLOCK;
}

static size_t pack(nj_sim_painter *p, const nj_sim_scene *scene, const float *image, uint8_t *out)
{
    size_t n = put_cards(p->fits, scene);
    for (uint32_t row = 0; row < scene->rows; row++) {
        const float *from = image + (scene->first_row + row) * NJ_SIM_STRIDE + scene->first_col;
        for (uint32_t col = 0; col < scene->cols; col++, n += 4) {
            uint32_t bits;
            memcpy(&bits, from + col, 4);
            bits = __builtin_bswap32(bits);
            memcpy(p->fits + n, &bits, 4);
        }
    }
    size_t whole = (n + FITS_BLOCK - 1) / FITS_BLOCK * FITS_BLOCK;
    memset(p->fits + n, 0, whole - n);
    /* The gzip header of the survey: no name, a time, "best compression", Unix. */
    const uint8_t header[10] = { 0x1f,
                                 0x8b,
                                 8,
                                 0,
                                 (uint8_t)scene->mtime,
                                 (uint8_t)(scene->mtime >> 8),
                                 (uint8_t)(scene->mtime >> 16),
                                 (uint8_t)(scene->mtime >> 24),
                                 2,
                                 3 };
    memcpy(out, header, 10);
    size_t body = nj_sim_deflate(p->fits, whole, FITS_BLOCK, n, out + 10, NJ_SIM_STAMP_PACKED_MAX - 18);
    uint32_t tail[2] = { libdeflate_crc32(0, p->fits, whole), (uint32_t)whole };
    memcpy(out + 10 + body, tail, 8);
    return body + 18;
}

void nj_sim_paint(nj_sim_painter *p, const nj_sim_scene *scene, const uint8_t *packed[3], size_t n_packed[3],
                  nj_sim_measured *measured)
{
    nj_sim_rng r = { nj_sim_key(scene->key, 10), 0 };
    memset(p->fixed, 0, sizeof p->fixed);
    memset(p->fixed_ref, 0, sizeof p->fixed_ref);
    memset(p->moved, 0, sizeof p->moved);
    for (uint32_t i = 0; i < scene->n_sources; i++) {
        double flux = pow(10, 0.4 * (scene->zero_mag - scene->source[i].mag[scene->band]));
        add_source(p->fixed, &scene->source[i], flux, scene->fwhm);
        add_source(p->fixed_ref, &scene->source[i], flux, scene->fwhm_ref);
    }
    if (scene->flux != 0) add_point(p->moved, NJ_SIM_CENTRE, NJ_SIM_CENTRE, scene->flux, scene->fwhm);
    add_flaw(p, scene, &r);
    draw_noise(p, scene);
    compose(p, scene, &r);
    *measured = (nj_sim_measured){ 0 };
    measure(p, scene, measured);
    if (scene->holes) measured->n_nan = punch_holes(p, scene, &r);
    for (int i = 0; i < 3; i++) {
        n_packed[i] = pack(p, scene, p->image[i], p->packed[i]);
        packed[i] = p->packed[i];
    }
}
