/* image.c - opens an image or a cube once: its pixels, its positions, and the cards that stamps inherit. */
#include "image.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two axes of the sky and any further ones; radio images have four, the last two of one pixel. */
static int is_image(nj_cut_image *image, fitsfile *f, int *status)
{
    int type = 0, n = 0;
    long axes[NJ_CUT_AXES];
    double pixels = 1; /* a double does not overflow: 2^55 pixels are more than any disk holds */
    if (fits_get_hdu_type(f, &type, status) || (type != IMAGE_HDU && !fits_is_compressed_image(f, status)))
        return 0;
    if (fits_get_img_dim(f, &n, status) || n < 2 || n > NJ_CUT_AXES || fits_get_img_size(f, n, axes, status))
        return 0;
    image->n_axes = n;
    image->planes = 1;
    for (int k = 0; k < n; k++) {
        if (axes[k] <= 0 || axes[k] >= 1L << 31) return 0;
        pixels *= (double)axes[k];
        image->length[k] = (uint32_t)axes[k];
        if (k > 1 && pixels < 0x1p55) image->planes *= (uint64_t)axes[k];
    }
    image->cols = image->length[0], image->rows = image->length[1];
    return pixels < 0x1p55;
}

/* Keys of structure, scaling and sums describe the image's own bytes, and CRPIX its own corner:
 * a stamp has others. */
static int keep_cards(nj_cut_image *image, fitsfile *f, int *status)
{
    int n = 0;
    char card[FLEN_CARD], padded[96];
    if (fits_get_hdrspace(f, &n, NULL, status) || !(image->cards = malloc((size_t)n * 80 + 1))) return -1;
    for (int i = 1; i <= n; i++) {
        if (fits_read_record(f, i, card, status)) return -1;
        int class = fits_get_keyclass(card);
        if (class == TYP_STRUC_KEY || class == TYP_CMPRS_KEY || class == TYP_SCAL_KEY ||
            class == TYP_NULL_KEY || class == TYP_DIM_KEY || class == TYP_RANG_KEY ||
            class == TYP_CKSUM_KEY || class == TYP_HDUID_KEY)
            continue;
        if (!strncmp(card, "CRPIX1 ", 7) || !strncmp(card, "CRPIX2 ", 7)) continue;
        snprintf(padded, sizeof padded, "%-80s", card);
        memcpy(image->cards + 80 * image->n_cards++, padded, 80);
    }
    return 0;
}

static int has_key(fitsfile *f, const char *key, double plain)
{
    int status = 0;
    double value = plain;
    return fits_read_key(f, TDOUBLE, key, &value, NULL, &status) == 0 && value != plain;
}

/* Pixels as they stand in the file, for nothing. */
static int map_pixels(nj_cut_image *image, fitsfile *f, const char *path, size_t bytes, nj_error *err)
{
    LONGLONG head = 0, data = 0, end = 0;
    int status = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    fits_get_hduaddrll(f, &head, &data, &end, &status);
    if (fd < 0 || fstat(fd, &st) || status) {
        if (fd >= 0) close(fd);
        return nj_fail(err, "%s: cannot be read", path);
    }
    image->map_size = (size_t)st.st_size;
    image->map = (size_t)data + bytes <= image->map_size
                     ? mmap(NULL, image->map_size, PROT_READ, MAP_SHARED, fd, 0)
                     : MAP_FAILED;
    close(fd);
    if (image->map == MAP_FAILED) {
        image->map = NULL;
        return nj_fail(err, "%s: ends before its last pixel", path);
    }
    if (!nj_tess_is(f)) madvise(image->map, image->map_size, MADV_RANDOM); /* else pixels are long */
    image->data = (const unsigned char *)image->map + data;
    image->data_at = (uint64_t)data;
    return 0;
}

/* Floats that compression made whole numbers of: their NaN is a blank. */
static bool is_quantized(fitsfile *f)
{
    int status = 0, column = 0;
    if (!fits_is_compressed_image(f, &status) || status) return false;
    fits_write_errmark();
    fits_get_colnum(f, CASEINSEN, (char[]){ "ZSCALE" }, &column, &status);
    fits_clear_errmark();
    return !status;
}

/* All pixels as they are, blanks as NaN. Returns cfitsio's status. */
static int read_all(const nj_cut_image *image, fitsfile *f, size_t n, bool blanks, void *to)
{
    int status = 0, any = 0; /* cfitsio writes to the latter unasked */
    long first[NJ_CUT_AXES];
    float none_f = NAN;
    double none_d = NAN;
    void *none = image->width == 4 ? (void *)&none_f : (void *)&none_d;
    for (int k = 0; k < NJ_CUT_AXES; k++) first[k] = 1;
    return fits_read_pix(f, image->width == 4 ? TFLOAT : TDOUBLE, first, (LONGLONG)n, blanks ? none : NULL,
                         to, &any, &status);
}

static bool is_nan_at(const nj_cut_image *image, const void *pixel, size_t i)
{
    return image->width == 4 ? isnan(((const float *)pixel)[i]) : isnan(((const double *)pixel)[i]);
}

/* Asked for blanks, cfitsio takes infinities for some; not asked, it makes numbers of blanks. */
static int keep_infinities(nj_cut_image *image, fitsfile *f, size_t n)
{
    size_t i = 0, width = image->width;
    while (i < n && !is_nan_at(image, image->pixels, i)) i++;
    if (i == n) return 0;
    char *raw = malloc(n * width);
    int status = raw ? read_all(image, f, n, false, raw) : MEMORY_ALLOCATION;
    for (; !status && i < n; i++)
        if (is_nan_at(image, image->pixels, i) &&
            (width == 4 ? isinf(((const float *)(void *)raw)[i]) : isinf(((const double *)(void *)raw)[i])))
            memcpy((char *)image->pixels + i * width, raw + i * width, width);
    free(raw);
    return status;
}

static int read_pixels(nj_cut_image *image, fitsfile *f, const char *path, size_t n, nj_error *err)
{
    int status = 0, kind = 0;
    fits_get_img_type(f, &kind, &status);
    const bool blanks = kind > 0 || is_quantized(f);
    if (!(image->pixels = malloc(n * image->width)))
        return nj_fail(err, "%s: %zu MB of pixels do not fit", path, n * image->width >> 20);
    if (!status) status = read_all(image, f, n, blanks, image->pixels);
    if (!status && blanks && kind < 0) status = keep_infinities(image, f, n);
    if (status) {
        char text[FLEN_STATUS];
        fits_get_errstatus(status, text);
        return nj_fail(err, "%s: pixels cannot be read: %s", path, text);
    }
    if (image->width == 4)
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)image->pixels)[i] = __builtin_bswap32(((uint32_t *)image->pixels)[i]);
    else
        for (size_t i = 0; i < n; i++)
            ((uint64_t *)image->pixels)[i] = __builtin_bswap64(((uint64_t *)image->pixels)[i]);
    image->data = image->pixels;
    return 0;
}

/* What cfitsio unpacks or scales is wanted whole. */
static int fetch_hdu(nj_cut_image *image, fitsfile *f, nj_error *err)
{
    LONGLONG head = 0, data = 0, end = 0;
    int status = 0;
    if (!image->remote) return 0;
    if (fits_get_hduaddrll(f, &head, &data, &end, &status)) return nj_fail(err, "a header cannot be read");
    nj_ranges_want(image->remote, (uint64_t)head, (uint64_t)(end - head));
    return nj_ranges_fetch(image->remote, 8, err);
}

static int find_hdu(nj_cut_image *image, fitsfile *f, const char *path, nj_error *err)
{
    int n = 0, status = 0, named = strchr(path, '[') != NULL;
    fits_get_num_hdus(f, &n, &status);
    for (int i = 1; i <= n && !status; i++) {
        if (!named) fits_movabs_hdu(f, i, NULL, &status);
        if (is_image(image, f, &status)) return 0;
        if (named) break;
    }
    return nj_fail(err, "%s: has no image of two to nine axes%s", path, named ? " there" : "");
}

/* The header of the table behind a cube on a server: cfitsio, which has found no HDU there, opens the file
 * again. */
static int fetch_table(nj_cut_image *image, fitsfile **f, const char *file, nj_error *err)
{
    int status = 0;
    if (nj_ranges_headers(image->remote, true, err)) return -1;
    fits_close_file(*f, &status);
    *f = NULL;
    if (fits_open_file(f, file, READONLY, &status))
        return nj_fail(err, "%s: cannot be opened as FITS again", file);
    return find_hdu(image, *f, file, err);
}

/* The table of its images stands behind the cube. */
static int open_tess(nj_cut_image *image, fitsfile *f, nj_error *err)
{
    int status = 0;
    if (!(image->tess = calloc(1, sizeof *image->tess))) return nj_fail(err, "out of memory");
    fits_write_errmark();
    fits_movrel_hdu(f, 1, NULL, &status);
    fits_clear_errmark();
    if (status)
        return nj_fail(err, "has neither positions (CTYPE1) nor a table of its images behind the cube");
    if (fetch_hdu(image, f, err) || nj_tess_read(image->tess, &image->wcs, f, image->length, err)) return -1;
    image->planes = image->length[1], image->cols = image->length[2], image->rows = image->length[3];
    return 0;
}

int nj_cut_image_open(nj_cut_image *image, const char *path, nj_error *err)
{
    fitsfile *f = NULL;
    int status = 0, bitpix = 0, rc = -1;
    char text[FLEN_STATUS], scheme[FLEN_FILENAME] = "", url[4096], local[4200];
    const char *file = path;
    nj_error why = { "" };
    memset(image, 0, sizeof *image);
    if (nj_ranges_is(path)) {
        const char *hdu = strrchr(path, '/');
        hdu = hdu ? strchr(hdu, '[') : NULL;
        snprintf(url, sizeof url, "%.*s", (int)(hdu ? hdu - path : (long)strlen(path)), path);
        if (!(image->remote = nj_ranges_open(url, err)) || nj_ranges_headers(image->remote, hdu, err))
            return -1;
        snprintf(local, sizeof local, "%s%s", nj_ranges_path(image->remote), hdu ? hdu : "");
        file = local;
    }
    if (fits_open_file(&f, file, READONLY, &status)) {
        fits_get_errstatus(status, text);
        return nj_fail(err, "%s: cannot be opened as FITS: %s", path, text);
    }
    if (find_hdu(image, f, file, err)) goto done;
    if (image->remote && nj_tess_is(f) && fetch_table(image, &f, file, err)) goto done;
    fits_get_img_type(f, &bitpix, &status);
    const bool tess = nj_tess_is(f);
    if (tess ? bitpix != FLOAT_IMG &&
                   nj_fail(&why, "is a cube of images in another type than floats of 32 bits")
             : nj_wcs_read(&image->wcs, f, &why)) {
        nj_fail(err, "%s: %s", path, why.text);
        goto done;
    }
    image->width = bitpix == DOUBLE_IMG || bitpix == LONG_IMG || bitpix == LONGLONG_IMG ? 8 : 4;
    fits_url_type(f, scheme, &status);
    if (status || keep_cards(image, f, &status)) {
        nj_fail(err, "%s: its header cannot be read", path);
        goto done;
    }
    size_t n = (size_t)image->cols * image->rows * (size_t)image->planes;
    int plain = bitpix < 0 && !has_key(f, "BSCALE", 1) && !has_key(f, "BZERO", 0) &&
                !fits_is_compressed_image(f, &status) && !strcmp(scheme, "file://") &&
                (image->remote || !strchr(path, '['));
    if (!plain && fetch_hdu(image, f, err)) goto done;
    rc = plain ? map_pixels(image, f, image->remote ? nj_ranges_path(image->remote) : path, n * image->width,
                            err)
               : read_pixels(image, f, path, n, err);
    if (!rc && tess && (rc = open_tess(image, f, &why))) nj_fail(err, "%s: %s", path, why.text);
done:
    status = 0;
    if (f) fits_close_file(f, &status);
    return rc;
}

void nj_cut_image_close(nj_cut_image *image)
{
    if (image->map) munmap(image->map, image->map_size);
    nj_ranges_close(image->remote);
    free(image->pixels);
    free(image->cards);
    if (image->tess) nj_tess_free(image->tess);
    free(image->tess);
    nj_wcs_free(&image->wcs);
    memset(image, 0, sizeof *image);
}
