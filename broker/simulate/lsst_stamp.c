/* lsst_stamp.c - cutouts of the simulated sky as LSST's FITS files. */
#include "lsst.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 2880,
    SIDE_MOST = 50,
    PSF_MOST = 49,
    STAMP_BYTES = 4 * BLOCK + 2 * 4 * BLOCK + 7 * BLOCK + 2 * BLOCK
};
static const double pixel_arcsec = 0.2;
/* Counts of noise from the source itself: nJy of variance per nJy of signal and pixel. */
static const float source_variance = 12;

struct nj_sim_lsst_painter {
    float fixed[2][NJ_SIM_PIXELS], moved[NJ_SIM_PIXELS], noise[2][NJ_SIM_PIXELS]; /* science, template */
    /* difference, science, template */
    float image[3][NJ_SIM_PIXELS], variance[3][NJ_SIM_PIXELS];
    uint8_t fits[3][STAMP_BYTES];
};

nj_sim_lsst_painter *nj_sim_lsst_painter_new(void)
{
    nj_sim_lsst_painter *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    if (p) memset(p, 0, sizeof *p);
    return p;
}

void nj_sim_lsst_painter_free(nj_sim_lsst_painter *p)
{
    free(p);
}

/* Sources of the world are given in pixels of 1.012 arcsec. Fainter galaxies are smaller: half the size. */
static void add_sources(float *image, const nj_sim_lsst_scene *scene, double centre, double fwhm)
{
    static const double share[3] = { 0.25, 0.45, 0.30 }, width[3] = { 0.35, 0.8, 1.5 };
    double scale = NJ_SIM_PIXEL_ARCSEC / pixel_arcsec, psf = fwhm / 2.3548;
    for (uint32_t i = 0; i < scene->object->n_sources; i++) {
        const nj_sim_source *s = &scene->object->source[i];
        double flux = pow(10, 0.4 * (31.4 - scene->mag_offset - s->mag[scene->band])),
               size = 0.5 * scale * s->size;
        double x = centre + scale * s->dx, y = centre + scale * s->dy;
        if (fabs(scale * s->dx) > SIDE_MOST || fabs(scale * s->dy) > SIDE_MOST) continue;
        if (size <= 0)
            nj_sim_add_gaussian(image, x, y, flux, 0, 1, 0, psf);
        else
            for (int k = 0; k < 3; k++)
                nj_sim_add_gaussian(image, x, y, share[k] * flux, width[k] * size, s->axis_ratio, s->angle,
                                    psf);
    }
}

/* ---- FITS ------------------------------------------------------------------------------------ */
typedef struct header {
    uint8_t *at;
    uint32_t n; /* cards so far */
} header;

__attribute__((format(printf, 3, 4))) static void card(header *h, const char *key, const char *format, ...)
{
    char text[96];
    va_list list;
    int n = snprintf(text, sizeof text, "%-8s= ", key);
    va_start(list, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, list);
    va_end(list);
    memcpy(h->at + 80 * h->n++, text, strnlen(text, 80));
}

static header header_start(uint8_t *at)
{
    memset(at, ' ', BLOCK);
    return (header){ at, 0 };
}

static uint8_t *header_end(header *h)
{
    memcpy(h->at + 80 * h->n, "END", 3);
    return h->at + BLOCK;
}

static void axes(header *h, int bits, uint32_t side)
{
    card(h, "BITPIX", "%20d / array data type", bits);
    card(h, "NAXIS", "%20d / number of array dimensions", 2);
    card(h, "NAXIS1", "%20u", side);
    card(h, "NAXIS2", "%20u", side);
}

static uint8_t *put_floats(uint8_t *at, const float *image, uint32_t side)
{
    uint8_t *start = at;
    for (uint32_t row = 0; row < side; row++)
        for (uint32_t col = 0; col < side; col++, at += 4) {
            uint32_t bits;
            memcpy(&bits, image + row * NJ_SIM_STRIDE + col, 4);
            bits = __builtin_bswap32(bits);
            memcpy(at, &bits, 4);
        }
    size_t n = (size_t)(at - start), whole = (n + BLOCK - 1) / BLOCK * BLOCK;
    memset(at, 0, whole - n);
    return start + whole;
}

static uint8_t *put_psf(uint8_t *at, double fwhm, uint32_t side)
{
    uint8_t *start = at;
    double sigma = fwhm / 2.3548, scale = 1 / (2 * M_PI * sigma * sigma), line[PSF_MOST];
    for (uint32_t i = 0; i < side; i++) line[i] = exp(-0.5 * pow(((double)i - (side - 1) / 2.0) / sigma, 2));
    for (uint32_t row = 0; row < side; row++)
        for (uint32_t col = 0; col < side; col++, at += 8) {
            double v = scale * line[row] * line[col];
            uint64_t bits;
            memcpy(&bits, &v, 8);
            bits = __builtin_bswap64(bits);
            memcpy(at, &bits, 8);
        }
    size_t n = (size_t)(at - start), whole = (n + BLOCK - 1) / BLOCK * BLOCK;
    memset(at, 0, whole - n);
    return start + whole;
}

static size_t put_fits(uint8_t *fits, const nj_sim_lsst_scene *s, const float *image, const float *variance,
                       double fwhm, uint32_t psf_side)
{
    double step = pixel_arcsec / 3600, angle = nj_sim_key(s->key, 3) % 360 * M_PI / 180,
           c = cos(angle) * step, n = sin(angle) * step;
    header h = header_start(fits);
    card(&h, "SIMPLE", "%20s / conforms to FITS standard", "T");
    axes(&h, -32, s->side);
    card(&h, "EXTEND", "%20s", "T");
    card(&h, "CUTMINX", "%20d", (int)(s->x - s->side / 2.0));
    card(&h, "CUTMINY", "%20d", (int)(s->y - s->side / 2.0));
    card(&h, "BUNIT", "'nJy     '");
    card(&h, "WCSAXES", "%20d", 2);
    card(&h, "CRPIX1", "%20.12f", s->side / 2.0 + 0.5);
    card(&h, "CRPIX2", "%20.12f", s->side / 2.0 + 0.5);
    card(&h, "PC1_1", "%20.13E", -c);
    card(&h, "PC1_2", "%20.13E", n);
    card(&h, "PC2_1", "%20.13E", n);
    card(&h, "PC2_2", "%20.13E", c);
    card(&h, "CTYPE1", "'RA---TAN'");
    card(&h, "CTYPE2", "'DEC--TAN'");
    card(&h, "CRVAL1", "%20.12f", s->ra);
    card(&h, "CRVAL2", "%20.12f", s->dec);
    uint8_t *at = put_floats(header_end(&h), image, s->side);
    h = header_start(at);
    card(&h, "XTENSION", "'IMAGE   '");
    axes(&h, -32, s->side);
    card(&h, "PCOUNT", "%20d", 0);
    card(&h, "GCOUNT", "%20d", 1);
    card(&h, "EXTNAME", "'UNCERT  '");
    at = put_floats(header_end(&h), variance, s->side);
    h = header_start(at);
    card(&h, "XTENSION", "'IMAGE   '");
    axes(&h, -64, psf_side);
    card(&h, "PCOUNT", "%20d", 0);
    card(&h, "GCOUNT", "%20d", 1);
    card(&h, "EXTNAME", "'PSFIMAGE'");
    return (size_t)(put_psf(header_end(&h), fwhm, psf_side) - fits);
}

/* ---- the three stamps ------------------------------------------------------------------------ */
static void compose(nj_sim_lsst_painter *p, float sigma, float sigma_template, nj_sim_rng *r)
{
    float mismatch = 0.002f * (float)nj_sim_normal(r), pedestal = 0.1f * sigma * (float)nj_sim_normal(r);
    for (int i = 0; i < NJ_SIM_PIXELS; i++) {
        float signal = p->fixed[0][i] + p->moved[i], bright = signal > 0 ? signal : 0;
        float v = sigma * sigma + source_variance * bright,
              v_template = sigma_template * sigma_template + source_variance / 20 * p->fixed[1][i];
        float noise = p->noise[0][i] * __builtin_sqrtf(v),
              noise_template = p->noise[1][i] * __builtin_sqrtf(v_template);
        p->image[1][i] = signal + noise;
        p->image[2][i] = p->fixed[1][i] + noise_template;
        p->image[0][i] = p->moved[i] + mismatch * p->fixed[0][i] + pedestal + noise - noise_template;
        p->variance[0][i] = v + v_template;
        p->variance[1][i] = v;
        p->variance[2][i] = v_template;
    }
}

int nj_sim_lsst_paint(nj_sim_lsst_painter *p, const nj_sim_lsst_scene *s, const uint8_t *fits[3],
                      size_t n_fits[3])
{
    nj_sim_rng r = { nj_sim_key(s->key, 30), 0 };
    double centre = (s->side - 1) / 2.0 + nj_sim_between(&r, -0.5, 0.5), psf = s->fwhm / 2.3548;
    /* The error of a matched fit is the pixel's scatter times sqrt(4 pi) sigma of the point spread. */
    float sigma = (float)(s->error_njy / (sqrt(4 * M_PI) * psf)), sigma_template = sigma * 0.22f;
    uint32_t psf_side = 39 + 2 * (uint32_t)(nj_sim_uniform(&r) * 6),
             psf_side_template = 39 + 2 * (uint32_t)(nj_sim_uniform(&r) * 6);
    int n_nan = 0;
    memset(p->fixed, 0, sizeof p->fixed);
    memset(p->moved, 0, sizeof p->moved);
    add_sources(p->fixed[0], s, centre, s->fwhm);
    add_sources(p->fixed[1], s, centre, s->fwhm_template);
    nj_sim_add_gaussian(p->moved, centre, centre, s->flux_njy, s->object->class == NJ_SIM_ARTEFACT ? 0.3 : 0,
                        1, 0, s->object->class == NJ_SIM_ARTEFACT ? 0.5 : psf);
    nj_sim_normals(p->noise[0], NJ_SIM_PIXELS, nj_sim_key(s->key, 31));
    nj_sim_normals(p->noise[1], NJ_SIM_PIXELS, nj_sim_key(s->key, 32));
    compose(p, sigma, sigma_template, &r);
    /* columns of the
     * science image that do
     * not exist */
    uint32_t beyond = s->edge ? 1 + (uint32_t)nj_sim_between(&r, 0, s->side / 2.0 - 4) : 0;
    for (uint32_t row = 0; row < s->side; row++)
        for (uint32_t col = 0; col < beyond; col++, n_nan++) {
            uint32_t i = row * NJ_SIM_STRIDE + col;
            p->image[0][i] = p->image[1][i] = p->variance[0][i] = p->variance[1][i] = NAN;
        }
    for (int k = 0; k < 3; k++) {
        n_fits[k] = put_fits(p->fits[k], s, p->image[k], p->variance[k], k == 2 ? s->fwhm_template : s->fwhm,
                             k == 2 ? psf_side_template : psf_side);
        fits[k] = p->fits[k];
    }
    return n_nan;
}
