/* hdu.c - some surveys send several images in one FITS file; this finds the image that a stamp name asks
 * for. */
#include "hdu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CARD = 80, BLOCK = 2880, MOST_HDUS = 256, MOST_AXES = 16 };

typedef struct walk {
    long axis[MOST_AXES], pcount, gcount;
    bool extension, end;
} walk;

static bool is_key(const uint8_t *card, const char *key)
{
    size_t n = strlen(key);
    if (memcmp(card, key, n)) return false;
    while (n < 8 && card[n] == ' ') n++;
    return n == 8;
}

/* The text between quotes, trailing blanks cut off; '' inside means one quote. */
static void card_text(const uint8_t *card, char *text, size_t room)
{
    const uint8_t *p = memchr(card + 8, '\'', CARD - 8), *end = card + CARD;
    size_t n = 0;
    for (p = p ? p + 1 : end; p < end && n + 1 < room; p++) {
        if (*p == '\'' && (p + 1 == end || *++p != '\'')) break;
        text[n++] = (char)*p;
    }
    while (n && text[n - 1] == ' ') n--;
    text[n] = 0;
}

static int take_card(const uint8_t *card, nj_hdu *h, walk *w)
{
    static const char *const odd[] = { "BLANK", "GROUPS", "ZIMAGE" };
    char text[72];
    if (is_key(card, "END")) {
        w->end = true;
    } else if (is_key(card, "XTENSION")) {
        card_text(card, text, sizeof text);
        h->image = !strcmp(text, "IMAGE");
    } else if (is_key(card, "EXTNAME")) {
        card_text(card, h->name, sizeof h->name);
    } else if (is_key(card, "EXTTYPE")) {
        card_text(card, h->type, sizeof h->type);
    } else if (is_key(card, "BSCALE") || is_key(card, "BZERO")) {
        snprintf(text, sizeof text, "%.70s", (const char *)card + 10);
        h->unusual |= strtod(text, NULL) != (card[1] == 'S'); /* 1 and 0 scale nothing */
    } else if (is_key(card, "BUNIT")) {
        card_text(card, h->unit, sizeof h->unit);
    } else if (is_key(card, "BITPIX")) {
        return nj_fits_card_number(card, &h->bitpix) ? 0 : -1;
    } else if (is_key(card, "NAXIS")) {
        return nj_fits_card_number(card, &h->naxis) && h->naxis >= 0 && h->naxis <= MOST_AXES ? 0 : -1;
    } else if (is_key(card, "PCOUNT")) {
        return nj_fits_card_number(card, &w->pcount) && w->pcount >= 0 ? 0 : -1;
    } else if (is_key(card, "GCOUNT")) {
        return nj_fits_card_number(card, &w->gcount) && w->gcount >= 0 ? 0 : -1;
    } else if (!memcmp(card, "NAXIS", 5) && card[5] >= '1' && card[5] <= '9') {
        long k = 0;
        for (int i = 5; i < 8 && card[i] >= '0' && card[i] <= '9'; i++) k = 10 * k + card[i] - '0';
        if (k > MOST_AXES) return 0;
        return nj_fits_card_number(card, &w->axis[k - 1]) && w->axis[k - 1] >= 0 ? 0 : -1;
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) h->unusual |= is_key(card, odd[i]);
    return 0;
}

/* Bytes of data: |BITPIX| / 8 * GCOUNT * (PCOUNT + product of the axes). Reference: FITS standard 4.0, eq.
 * 1 and 2. */
static int data_size(const nj_hdu *h, const walk *w, size_t *bytes)
{
    uint64_t n = h->naxis > 0;
    for (long k = 0; k < h->naxis; k++)
        if (__builtin_mul_overflow(n, (uint64_t)w->axis[k], &n)) return -1;
    if (__builtin_add_overflow(n, (uint64_t)w->pcount, &n) ||
        __builtin_mul_overflow(n, (uint64_t)w->gcount, &n) ||
        __builtin_mul_overflow(n, (uint64_t)labs(h->bitpix) / 8, &n) || n > SIZE_MAX / 2)
        return -1;
    *bytes = (size_t)n;
    return 0;
}

int nj_hdu_next(const uint8_t *bytes, size_t size, nj_hdu *hdu, const char **why)
{
    const size_t from = hdu->next;
    const bool first = from == 0;
    nj_hdu h = { .number = first ? 0 : hdu->number + 1, .naxis = -1, .image = first };
    walk w = { .gcount = 1 };
    size_t at = from, n;
    if (from >= size) return 0;
    *why = "FITS header cut short, or not one";
    if (size - from < CARD || memcmp(bytes + from, first ? "SIMPLE  " : "XTENSION", 8))
        return first || (size - from >= CARD && bytes[from]) ? -1 : 0; /* zeros behind the last HDU
                                                                        * are only padding */
    *why = "a FITS file of more than 256 HDUs";
    _Static_assert(MOST_HDUS == 256, "the text says 256");
    if (h.number == MOST_HDUS) return -1;
    *why = "FITS header cut short, or not one";
    for (; !w.end; at += CARD) {
        if (size - at < CARD) return -1;
        if (take_card(bytes + at, &h, &w)) {
            *why = "FITS header: a card of the image's size is no number, or it has more than 16 axes";
            _Static_assert(MOST_AXES == 16, "the text says 16");
            return -1;
        }
    }
    *why = "FITS header without sizes";
    if (h.naxis < 0 || !h.bitpix || data_size(&h, &w, &n)) return -1;
    while (h.naxis > 2 && w.axis[h.naxis - 1] == 1)
        h.naxis--; /* axes of one pixel, as radio
                    * images have them, add nothing */
    h.axis[0] = w.axis[0];
    h.axis[1] = w.axis[1];
    h.data = from + (at - from + BLOCK - 1) / BLOCK * BLOCK;
    h.next = h.data + (n + BLOCK - 1) / BLOCK * BLOCK;
    *why = "FITS data cut short";
    if (h.data > size || n > size - h.data) return -1;
    if (first && !*h.name) memcpy(h.name, "PRIMARY", 8);
    *hdu = h;
    return 1;
}

nj_fits_result nj_hdu_open(const uint8_t *bytes, size_t size, const char *which, size_t max_pixels,
                           nj_arena *arena, nj_image *image, const char **why)
{
    char *end;
    unsigned long number = strtoul(which, &end, 10);
    bool by_number = *which && !*end;
    nj_hdu h = { 0 };
    int there;
    while ((there = nj_hdu_next(bytes, size, &h, why)) > 0)
        if (by_number ? h.number == number
                      : *which && (!strcasecmp(h.name, which) || !strcasecmp(h.type, which)))
            break;
    if (there < 0) return NJ_FITS_BAD;
    *why = "the FITS file has no HDU of that name or number";
    if (!there) return NJ_FITS_BAD;
    *why = "the HDU is not an image of two axes";
    if (!h.image || h.naxis != 2) return NJ_FITS_BAD;
    nj_fits_result rc = NJ_FITS_UNUSUAL;
    if (!h.unusual) rc = nj_fits_pixels(bytes, size, h.data, h.axis, h.bitpix, max_pixels, arena, image, why);
    return rc == NJ_FITS_UNUSUAL ? nj_fits_by_cfitsio(bytes, size, h.number, max_pixels, arena, image, why)
                                 : rc;
}
