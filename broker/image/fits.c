/* fits.c - most stamps are plain FITS images, which are read directly; all others go through cfitsio, which
 * is slower. */
#include "fits.h"

#include <fitsio.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

#include "fitslock.h"

enum { MOST_AXES = 9 }; /* of an image that cfitsio reads */
enum { CARD = 80, BLOCK = 2880 };

/* ---- pixels ---------------------------------------------------------------------------------- */

static uint32_t big32(const uint8_t *b)
{
    uint32_t v;
    memcpy(&v, b, sizeof v);
    return __builtin_bswap32(v);
}

uint32_t nj_fits_swap_portable(float *to, const uint8_t *from, size_t n)
{
    uint32_t n_nan = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = big32(from + 4 * i);
        memcpy(&to[i], &v, sizeof v);
        n_nan += (v & 0x7fffffff) > 0x7f800000;
    }
    return n_nan;
}

#if defined __x86_64__
__attribute__((target("avx2"))) static uint32_t swap_avx2(float *to, const uint8_t *from, size_t n)
{
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    __m256i nan = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i v =
            _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(from + 4 * i)), order);
        __m256 f = _mm256_castsi256_ps(v);
        _mm256_storeu_ps(to + i, f);
        nan = _mm256_sub_epi32(nan, _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q)));
    }
    uint32_t lane[8], n_nan = 0;
    _mm256_storeu_si256((__m256i *)(void *)lane, nan);
    for (int k = 0; k < 8; k++) n_nan += lane[k];
    return n_nan + nj_fits_swap_portable(to + i, from + 4 * i, n - i);
}
#endif

uint32_t nj_fits_swap(float *to, const uint8_t *from, size_t n)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2")) return swap_avx2(to, from, n);
#endif
    return nj_fits_swap_portable(to, from, n);
}

static uint32_t convert(float *to, const uint8_t *from, size_t n, long bitpix)
{
    uint32_t n_nan = 0;
    if (bitpix == -32) return nj_fits_swap(to, from, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t wide;
        double real;
        switch (bitpix) {
        case 8: to[i] = from[i]; break;
        case 16: to[i] = (int16_t)(from[2 * i] << 8 | from[2 * i + 1]); break;
        case 32: to[i] = (float)(int32_t)big32(from + 4 * i); break;
        default:
            wide = (uint64_t)big32(from + 8 * i) << 32 | big32(from + 8 * i + 4);
            memcpy(&real, &wide, sizeof real);
            to[i] = (float)real;
            n_nan += isnan(real) != 0;
        }
    }
    return n_nan;
}

/* ---- header ---------------------------------------------------------------------------------- */

typedef struct header {
    long bitpix, naxis, naxis1, naxis2;
    size_t data; /* first byte of the data */
    bool unusual;
} header;

/* The eight bytes of a keyword as one number, as it stands in memory. */
static uint64_t key_of(const void *card)
{
    uint64_t key;
    memcpy(&key, card, sizeof key);
    return key;
}

bool nj_fits_card_number(const uint8_t *card, long *value)
{
    const uint8_t *p = card + 8, *end = card + CARD;
    const uint64_t blanks = UINT64_C(0x2020202020202020);
    while (p < end && *p == ' ') p++;
    if (p == end || *p++ != '=') return false;
    while (end - p >= 8 && key_of(p) == blanks) p += 8;
    while (p < end && *p == ' ') p++;
    bool minus = p < end && *p == '-';
    const uint8_t *first = p += minus;
    long v = 0;
    while (p < end && *p >= '0' && *p <= '9' && p - first < 10) v = 10 * v + (*p++ - '0');
    *value = minus ? -v : v;
    return p > first && (p == end || *p == ' ' || *p == '/');
}

/* One card of those that matter; most cards are turned away by their first letter. */
static nj_fits_result read_card(const uint8_t *card, header *h, const char **why)
{
    static const struct {
        char key[9];
        size_t at;
    } number[] = { { "BITPIX  ", offsetof(header, bitpix) },
                   { "NAXIS   ", offsetof(header, naxis) },
                   { "NAXIS1  ", offsetof(header, naxis1) },
                   { "NAXIS2  ", offsetof(header, naxis2) } };
    static const char unusual[][9] = { "BSCALE  ", "BZERO   ", "BLANK   ", "GROUPS  " };
    uint64_t key = key_of(card);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (key == key_of(number[i].key) &&
            !nj_fits_card_number(card, (long *)(void *)((char *)h + number[i].at))) {
            *why = "FITS header: a card of the image's size is no number";
            return NJ_FITS_BAD;
        }
    for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++) h->unusual |= key == key_of(unusual[i]);
    return NJ_FITS_OK;
}

static nj_fits_result read_header(const uint8_t *bytes, size_t size, header *h, const char **why)
{
    /* first letters of the cards that matter */
    enum { BEGN = 1 | 1 << ('E' - 'B') | 1 << ('G' - 'B') | 1 << ('N' - 'B') };
    const uint64_t end = key_of("END     ");
    *h = (header){ .naxis = -1 };
    for (size_t at = 0; at + CARD <= size; at += CARD) {
        const uint8_t *card = bytes + at;
        unsigned letter = card[0] - (unsigned)'B';
        if (letter > 12 || !(BEGN >> letter & 1)) continue;
        if (key_of(card) == end) {
            h->data = (at + BLOCK) / BLOCK * BLOCK;
            return NJ_FITS_OK;
        }
        if (read_card(card, h, why) != NJ_FITS_OK) return NJ_FITS_BAD;
    }
    *why = "FITS header without an END card";
    return NJ_FITS_BAD;
}

nj_fits_result nj_fits_pixels(const uint8_t *bytes, size_t size, size_t data, const long axis[2], long bitpix,
                              size_t max_pixels, nj_arena *arena, nj_image *image, const char **why)
{
    *why = "unusual FITS image";
    if (bitpix != 8 && bitpix != 16 && bitpix != 32 && bitpix != -32 && bitpix != -64) return NJ_FITS_UNUSUAL;
    *why = "FITS image of no or too many pixels ([decode] max_pixels)";
    if (axis[0] <= 0 || axis[1] <= 0 || axis[0] > 1 << 24 || axis[1] > 1 << 24) return NJ_FITS_BAD;
    size_t n = (size_t)axis[0] * (size_t)axis[1], width = (size_t)labs(bitpix) / 8;
    if (n > max_pixels) return NJ_FITS_BAD;
    *why = "FITS data cut short";
    if (data > size || (size - data) / width < n) return NJ_FITS_BAD;
    float *pixel = nj_arena_alloc(arena, n * sizeof *pixel);
    *why = "out of memory";
    if (!pixel) return NJ_FITS_BAD;
    *image =
        (nj_image){ pixel, (uint32_t)axis[1], (uint32_t)axis[0], convert(pixel, bytes + data, n, bitpix) };
    return NJ_FITS_OK;
}

nj_fits_result nj_fits_plain(const uint8_t *bytes, size_t size, size_t max_pixels, nj_arena *arena,
                             nj_image *image, const char **why)
{
    header h;
    nj_fits_result rc = read_header(bytes, size, &h, why);
    if (rc != NJ_FITS_OK) return rc;
    *why = "unusual FITS image";
    if (h.unusual || h.naxis != 2) return NJ_FITS_UNUSUAL;
    return nj_fits_pixels(bytes, size, h.data, (const long[2]){ h.naxis1, h.naxis2 }, h.bitpix, max_pixels,
                          arena, image, why);
}

/* ---- everything else ------------------------------------------------------------------------- */

static nj_fits_result read_image(fitsfile *f, uint32_t hdu, size_t max_pixels, nj_arena *arena,
                                 nj_image *image, const char **why)
{
    int status = 0, naxis = 0, bitpix, n_hdu = 0;
    long size[MOST_AXES] = { 0, 0 }, first[MOST_AXES];
    if (hdu) fits_movabs_hdu(f, (int)hdu + 1, NULL, &status);
    fits_get_img_param(f, MOST_AXES, &bitpix, &naxis, size, &status);
    /* an empty primary */
    if (!status && !hdu && naxis == 0 && !fits_get_num_hdus(f, &n_hdu, &status) && n_hdu > 1) {
        fits_movrel_hdu(f, 1, NULL, &status);
        fits_get_img_param(f, MOST_AXES, &bitpix, &naxis, size, &status);
    }
    for (int k = 0; k < MOST_AXES; k++) first[k] = 1;
    while (naxis > 2 && naxis <= MOST_AXES && size[naxis - 1] == 1)
        naxis--; /* radio images have axes
                  * of one pixel */
    *why = "not a FITS image of two axes (further ones of one pixel are skipped)";
    if (status || naxis != 2) return NJ_FITS_BAD;
    *why = "FITS image of no or too many pixels ([decode] max_pixels)";
    if (size[0] <= 0 || size[1] <= 0 || size[0] > 1 << 24 || size[1] > 1 << 24 ||
        (size_t)size[0] * (size_t)size[1] > max_pixels)
        return NJ_FITS_BAD;
    size_t n = (size_t)size[0] * (size_t)size[1];
    float *pixel = nj_arena_alloc(arena, n * sizeof *pixel), null = NAN;
    int any;
    *why = pixel ? "FITS data that cfitsio cannot read" : "out of memory";
    /* asked for blanks, cfitsio would take infinities for some */
    if (!pixel ||
        fits_read_pix(f, TFLOAT, first, (LONGLONG)n, bitpix < 0 ? NULL : &null, pixel, &any, &status))
        return NJ_FITS_BAD;
    uint32_t n_nan = 0;
    for (size_t i = 0; i < n; i++) n_nan += isnan(pixel[i]) != 0;
    *image = (nj_image){ pixel, (uint32_t)size[1], (uint32_t)size[0], n_nan };
    return NJ_FITS_OK;
}

/* Tile-compressed images come through cfitsio's decompressors, which read past their input when it is damaged
 * (cfitsio #131, #132): not on bytes from the network. */
static bool is_tiled(const uint8_t *bytes, size_t size)
{
    return memmem(bytes, size, "ZIMAGE  =", 9) != NULL;
}

nj_fits_result nj_fits_by_cfitsio(const uint8_t *bytes, size_t size, uint32_t hdu, size_t max_pixels,
                                  nj_arena *arena, nj_image *image, const char **why)
{
    *why = "tile-compressed FITS image, not read from the network";
    if (is_tiled(bytes, size)) return NJ_FITS_BAD;
    fitsfile *f = NULL;
    int status = 0;
    /* a copy in whole blocks and one more: cfitsio reads the last block of a file whole, also where it is cut
     * short. It keeps the addresses of these two variables. */
    size_t n = (size + BLOCK - 1) / BLOCK * BLOCK;
    void *memory = nj_arena_alloc(arena, n + BLOCK);
    *why = "out of memory";
    if (!memory) return NJ_FITS_BAD;
    memcpy(memory, bytes, size);
    memset((char *)memory + size, 0, n + BLOCK - size);
    nj_fits_result rc = NJ_FITS_BAD;
    nj_fits_lock();
    *why = "not a FITS file that cfitsio can open";
    if (!fits_open_memfile(&f, "stamp", READONLY, &memory, &n, 0, NULL, &status)) {
        rc = read_image(f, hdu, max_pixels, arena, image, why);
        status = 0;
        fits_close_file(f, &status);
    }
    fits_clear_errmsg();
    nj_fits_unlock();
    return rc;
}
