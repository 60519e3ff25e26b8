/* image.c - a stamp is opened here: its encoding is detected, it is unpacked into a bounded buffer, and its
 * pixels are read. */
#include "opener.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "../base/unpack.h"
#include "../avro/decoder.h"
#include "hdu.h"
#include "inflate.h"

enum { FIRST_BUFFER = 64 * 1024 };

struct nj_opener {
    struct libdeflate_decompressor *inflate;
    nj_inflate_work
        *inflater; /* of several at a time, and their buffers one after the other; from the first ones on */
    uint8_t *buffer, *together;
    size_t cap, cap_together, limit, max_pixels;
};

nj_opener *nj_opener_new(nj_decoder *decoder)
{
    nj_opener *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->limit = (size_t)decoder->conf.max_stamp;
    o->max_pixels = (size_t)decoder->conf.max_pixels;
    o->cap = FIRST_BUFFER;
    o->buffer = malloc(o->cap);
    o->inflate = libdeflate_alloc_decompressor();
    if (o->buffer && o->inflate) return o;
    nj_opener_free(o);
    return NULL;
}

void nj_opener_free(nj_opener *o)
{
    if (!o) return;
    libdeflate_free_decompressor(o->inflate);
    nj_inflate_work_free(o->inflater);
    free(o->together);
    free(o->buffer);
    free(o);
}

/* Several gzip members, zstandard, bzip2, xz: as they come, up to the limit. */
static int unpack_stream(nj_opener *o, const nj_stamp *stamp, size_t *size, const char **why)
{
    static const char *const damaged[] = { [NJ_PACKED_GZIP] = "damaged gzip data",
                                           [NJ_PACKED_ZSTD] = "damaged zstandard data",
                                           [NJ_PACKED_BZIP2] = "damaged bzip2 data",
                                           [NJ_PACKED_XZ] = "damaged xz data" };
    nj_unpacked w = { o->buffer, o->cap, 0 };
    nj_error err;
    int rc = nj_unpack(&w, stamp->bytes, stamp->size, false, o->limit, "[decode] max_stamp", &err);
    o->buffer = w.buffer;
    o->cap = w.cap;
    *size = w.n;
    if (rc)
        *why = strstr(err.text, "max_stamp") ? "packed data that would unpack to more than [decode] max_stamp"
                                             : damaged[nj_packing_of(stamp->bytes, stamp->size)];
    return rc;
}

static bool has_second_member(const nj_stamp *stamp)
{
    const uint8_t *end = stamp->bytes + stamp->size - 3;
    for (const uint8_t *p = stamp->bytes + 3; p < end && (p = memchr(p, 0x1f, (size_t)(end - p))); p++)
        if (p[1] == 0x8b && p[2] == 8) return true;
    return false;
}

/* The size that the stream announces at its end comes first: a bomb is refused before anything is unpacked,
 * and one that lies about it runs into the end of the buffer. */
static int unpack(nj_opener *o, const nj_stamp *stamp, size_t *size, const char **why)
{
    const uint8_t *tail = stamp->bytes + stamp->size - 4;
    size_t announced = (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 | (size_t)tail[3] << 24;
    *why = "gzip data that would unpack to more than [decode] max_stamp";
    if (announced > o->limit) return -1;
    if (announced > o->cap) {
        uint8_t *bigger = realloc(o->buffer, announced);
        *why = "out of memory";
        if (!bigger) return -1;
        o->buffer = bigger;
        o->cap = announced;
    }
    size_t used;
    switch (libdeflate_gzip_decompress_ex(o->inflate, stamp->bytes, stamp->size, o->buffer, announced, &used,
                                          size)) {
    case LIBDEFLATE_SUCCESS:
        if (!nj_packing_of(stamp->bytes + used, stamp->size - used) && !nj_packing_of(o->buffer, *size))
            return 0;
        return unpack_stream(o, stamp, size, why);
    case LIBDEFLATE_INSUFFICIENT_SPACE: /* several members, or a lie */
        if (has_second_member(stamp)) return unpack_stream(o, stamp, size, why);
        *why = "gzip data that unpacks to more than it announces";
        return -1;
    default: *why = "damaged gzip data"; return -1;
    }
}

/* Scaled, blanked, in the first extension: cfitsio's, when all its data are there. */
static nj_fits_result open_unusual(nj_opener *o, const uint8_t *bytes, size_t size, nj_arena *arena,
                                   nj_image *image, const char **why)
{
    nj_hdu h = { 0 };
    int there = nj_hdu_next(bytes, size, &h, why);
    if (there > 0 && h.naxis == 0) there = nj_hdu_next(bytes, size, &h, why);
    return there < 0 ? NJ_FITS_BAD : nj_fits_by_cfitsio(bytes, size, 0, o->max_pixels, arena, image, why);
}

static int open_fits(nj_opener *o, const uint8_t *bytes, size_t size, const char *hdu, nj_arena *arena,
                     nj_image *image, const char **why)
{
    if (size < 80 || memcmp(bytes, "SIMPLE ", 7)) {
        const char *kind = nj_kind_of(bytes, size);
        *why = !size ? "empty" : "neither packed nor FITS";
        if (size >= 2 && bytes[0] == 0xff && bytes[1] == 0xd8) *why = "a JPEG picture, not FITS";
        if (kind && !strcmp(kind, "a PNG image")) *why = "a PNG picture, not FITS";
        return -1;
    }
    nj_fits_result rc = hdu ? nj_hdu_open(bytes, size, hdu, o->max_pixels, arena, image, why)
                            : nj_fits_plain(bytes, size, o->max_pixels, arena, image, why);
    if (rc == NJ_FITS_UNUSUAL && !hdu) rc = open_unusual(o, bytes, size, arena, image, why);
    return rc == NJ_FITS_OK ? 0 : -1;
}

void nj_stamp_open(nj_opener *o, nj_stamp *stamp, nj_arena *arena, const char **why)
{
    const char *text = NULL;
    if (stamp->state != NJ_STAMP_PACKED) return;
    const uint8_t *bytes = stamp->bytes;
    size_t size = stamp->size;
    int rc = 0;
    if (size >= 18 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
        rc = unpack(o, stamp, &size, &text);
        bytes = o->buffer;
    } else if (nj_packing_of(bytes, size)) {
        rc = unpack_stream(o, stamp, &size, &text);
        bytes = o->buffer;
    }
    if (rc == 0) rc = open_fits(o, bytes, size, stamp->hdu, arena, &stamp->image, &text);
    stamp->state = rc ? NJ_STAMP_BAD : NJ_STAMP_OPEN;
    if (why) *why = rc ? text : NULL;
}

static bool has_room_together(nj_opener *o, size_t bytes)
{
    if (!o->inflater) o->inflater = nj_inflate_work_new();
    if (o->inflater && bytes > o->cap_together) {
        free(o->together);
        o->together = malloc(bytes);
        o->cap_together = o->together ? bytes : 0;
    }
    return o->inflater && bytes <= o->cap_together;
}

void nj_stamps_open_ahead(nj_opener *o, nj_stamp *const *stamp, uint32_t n, nj_arena *arena)
{
    nj_member member[NJ_OPENER_AHEAD];
    nj_stamp *of[NJ_OPENER_AHEAD];
    uint32_t taken = 0;
    size_t bytes = 0;
    const char *why;
    for (uint32_t k = 0; k < n && taken < NJ_OPENER_AHEAD; k++) {
        const size_t announced =
            stamp[k]->state == NJ_STAMP_PACKED ? nj_inflate_announced(stamp[k]->bytes, stamp[k]->size) : 0;
        if (!announced || announced > o->limit) continue;
        of[taken] = stamp[k];
        member[taken++] =
            (nj_member){ .bytes = stamp[k]->bytes, .size = stamp[k]->size, .announced = announced };
        bytes += announced + NJ_INFLATE_SLACK;
    }
    /* one alone is libdeflate's */
    if (taken < 2 || !has_room_together(o, bytes)) return;
    bytes = 0;
    for (uint32_t k = 0; k < taken; k++) {
        member[k].out = o->together + bytes;
        bytes += member[k].announced + NJ_INFLATE_SLACK;
    }
    nj_inflate(o->inflater, member, taken);
    for (uint32_t k = 0; k < taken; k++) {
        const nj_member *m = &member[k];
        if (m->done && !nj_packing_of(m->out, m->announced) &&
            open_fits(o, m->out, m->announced, of[k]->hdu, arena, &of[k]->image, &why) == 0)
            of[k]->state = NJ_STAMP_OPEN;
    }
}

void nj_stamp_for_graph(void *opener, nj_stamp *const *stamp, uint32_t n, nj_arena *arena, const char **why)
{
    if (n > 1) nj_stamps_open_ahead(opener, stamp, n, arena);
    nj_stamp_open(opener, stamp[0], arena, why);
}
