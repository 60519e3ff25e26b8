/* packed.c - a file packed as a whole could not be cut back to a commit; frames that end there can. */
#include "packed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "../base/file.h"

enum { PIECE = 64 << 10 };

struct nj_packer {
    nj_packing kind;
    ZSTD_CCtx *zstd;
    z_stream z;
    bool has_z, open;                /* open: a frame has begun */
    uint64_t plain, given;           /* bytes that were added; that came out of them */
    uint64_t plain_done, given_done; /* the same, when all had come out */
};

static const struct {
    const char *ending;
    nj_packing kind; /* NOT: known, and not written */
} ending[] = { { ".gz", NJ_PACKED_GZIP },  { ".zst", NJ_PACKED_ZSTD }, { ".zstd", NJ_PACKED_NOT },
               { ".gzip", NJ_PACKED_NOT }, { ".bz2", NJ_PACKED_NOT },  { ".xz", NJ_PACKED_NOT },
               { ".lz4", NJ_PACKED_NOT },  { ".lzma", NJ_PACKED_NOT }, { ".Z", NJ_PACKED_NOT },
               { ".zip", NJ_PACKED_NOT } };

/* The index of the name's ending in the table; -1. */
static int ending_of(const char *path)
{
    static const char part[] = ".part";
    size_t n = strlen(path);
    if (n > sizeof part - 1 && !strcmp(path + n - (sizeof part - 1), part)) n -= sizeof part - 1;
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        size_t e = strlen(ending[i].ending);
        if (n > e && !strncasecmp(path + n - e, ending[i].ending, e)) return (int)i;
    }
    return -1;
}

nj_packing nj_packed_by_name(const char *path)
{
    int i = ending_of(path);
    return i < 0 ? NJ_PACKED_NOT : ending[i].kind;
}

int nj_packed_check(const char *path, const char *scheme, bool packs, const char *instead, nj_error *err)
{
    int i = ending_of(path);
    if (i < 0 || (packs && ending[i].kind != NJ_PACKED_NOT)) return 0;
    if (packs)
        return nj_fail(err, "%s: %s packs into .gz and .zst; %s is not written", path, scheme,
                       ending[i].ending);
    return nj_fail(err, "%s: the %s sink writes no compressed files%s%s", path, scheme, instead ? "; " : "",
                   instead ? instead : "");
}

nj_packer *nj_packer_new(nj_packing kind, int level)
{
    nj_packer *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->kind = kind;
    if (kind == NJ_PACKED_ZSTD) {
        p->zstd = ZSTD_createCCtx();
        if (p->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level)) &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1)))
            return p;
    } else if (deflateInit2(&p->z, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK) {
        p->has_z = true;
        return p;
    }
    nj_packer_free(p);
    return NULL;
}

void nj_packer_free(nj_packer *p)
{
    if (!p) return;
    ZSTD_freeCCtx(p->zstd);
    if (p->has_z) deflateEnd(&p->z);
    free(p);
}

static int zstd(nj_packer *p, nj_buffer *out, const void *bytes, size_t n, ZSTD_EndDirective what)
{
    ZSTD_inBuffer in = { bytes, n, 0 };
    for (size_t left = 1; left || in.pos < in.size;) {
        char *room = nj_buffer_room(out, PIECE);
        if (!room) return -1;
        ZSTD_outBuffer to = { room, PIECE, 0 };
        left = ZSTD_compressStream2(p->zstd, &to, &in, what);
        if (ZSTD_isError(left)) return -1;
        out->n += to.pos;
        if (what == ZSTD_e_continue && in.pos == in.size) break;
    }
    return 0;
}

static int gzip(nj_packer *p, nj_buffer *out, const void *bytes, size_t n, int what)
{
    p->z.next_in = (Bytef *)bytes;
    p->z.avail_in = (uInt)n;
    for (int rc = Z_OK; rc != Z_STREAM_END;) {
        char *room = nj_buffer_room(out, PIECE);
        if (!room) return -1;
        p->z.next_out = (Bytef *)room;
        p->z.avail_out = PIECE;
        rc = deflate(&p->z, what);
        if (rc == Z_STREAM_ERROR) return -1;
        out->n += PIECE - p->z.avail_out;
        if (what != Z_FINISH && p->z.avail_out) break; /* else there may be more */
    }
    return 0;
}

static int add(nj_packer *p, nj_buffer *out, const void *bytes, size_t n)
{
    if (p->kind == NJ_PACKED_ZSTD) return zstd(p, out, bytes, n, ZSTD_e_continue);
    for (const char *from = bytes; n;) { /* zlib counts in 32 bits */
        size_t part = n < 1 << 30 ? n : 1 << 30;
        if (gzip(p, out, from, part, Z_NO_FLUSH)) return -1;
        from += part;
        n -= part;
    }
    return 0;
}

int nj_packer_add(nj_packer *p, nj_buffer *out, const void *bytes, size_t n)
{
    const size_t before = out->n;
    if (!n) return 0;
    p->open = true;
    const int rc = add(p, out, bytes, n);
    p->plain += n;
    p->given += out->n - before;
    return rc;
}

/* All has come out, of what there was until now. */
static int done(nj_packer *p, int rc, size_t n)
{
    p->given += n;
    p->plain_done = p->plain;
    p->given_done = p->given;
    return rc;
}

size_t nj_packer_holds(const nj_packer *p)
{
    const double ratio = p->plain_done ? (double)p->given_done / (double)p->plain_done : 0.25;
    const double whole = (double)p->given_done + ratio * (double)(p->plain - p->plain_done);
    return whole > (double)p->given ? (size_t)(whole - (double)p->given) : 0;
}

int nj_packer_flush(nj_packer *p, nj_buffer *out)
{
    const size_t before = out->n;
    if (!p->open) return 0;
    const int rc =
        p->kind == NJ_PACKED_ZSTD ? zstd(p, out, "", 0, ZSTD_e_flush) : gzip(p, out, "", 0, Z_SYNC_FLUSH);
    return done(p, rc, out->n - before);
}

int nj_packer_end(nj_packer *p, nj_buffer *out)
{
    const size_t before = out->n;
    int rc;
    if (!p->open) return 0;
    p->open = false;
    if (p->kind == NJ_PACKED_ZSTD)
        rc = zstd(p, out, "", 0, ZSTD_e_end);
    else
        rc = gzip(p, out, "", 0, Z_FINISH) || deflateReset(&p->z) != Z_OK ? -1 : 0;
    return done(p, rc, out->n - before);
}

/* ---- what a killed run left ------------------------------------------------------------------ */

typedef struct reader {
    ZSTD_DStream *zstd;
    z_stream z;
    bool has_z;
} reader;

/* Reads on in a frame: how many bytes were used. *ended: with them the frame. -1: damaged. */
static long read_on(reader *r, const uint8_t *bytes, size_t n, bool *ended)
{
    static _Thread_local uint8_t waste[PIECE];
    *ended = false;
    if (r->zstd) {
        ZSTD_inBuffer in = { bytes, n, 0 };
        while (in.pos < in.size && !*ended) {
            ZSTD_outBuffer out = { waste, sizeof waste, 0 };
            size_t rc = ZSTD_decompressStream(r->zstd, &out, &in);
            if (ZSTD_isError(rc)) return -1;
            *ended = rc == 0;
        }
        return (long)in.pos;
    }
    r->z.next_in = (Bytef *)bytes;
    r->z.avail_in = (uInt)n;
    while (!*ended) {
        r->z.next_out = waste;
        r->z.avail_out = sizeof waste;
        int rc = inflate(&r->z, Z_NO_FLUSH);
        if (rc == Z_BUF_ERROR || (rc == Z_OK && !r->z.avail_in && r->z.avail_out)) break;
        if (rc != Z_OK && rc != Z_STREAM_END) return -1;
        *ended = rc == Z_STREAM_END;
    }
    if (*ended && inflateReset(&r->z) != Z_OK) return -1;
    return (long)(n - r->z.avail_in);
}

int nj_packed_whole(const nj_outfile *file, nj_packing kind, off_t *end, nj_error *err)
{
    uint8_t *block = malloc(PIECE);
    reader r = { 0 };
    off_t at = 0;
    ssize_t got = 0;
    int rc = 0;
    bool damaged = false;
    if (kind == NJ_PACKED_ZSTD)
        r.zstd = ZSTD_createDStream();
    else
        r.has_z = inflateInit2(&r.z, MAX_WBITS + 16) == Z_OK;
    *end = 0;
    if (!block || (!r.zstd && !r.has_z)) rc = nj_fail(err, "%s: out of memory", file->path);
    while (!rc && !damaged && (got = pread(file->fd, block, PIECE, at)) > 0)
        for (size_t used = 0; used < (size_t)got && !damaged;) {
            bool ended;
            long n = read_on(&r, block + used, (size_t)got - used, &ended);
            damaged = n < 0;
            if (damaged) break;
            used += (size_t)n;
            at += n;
            if (ended) *end = at;
        }
    if (!rc && got < 0) rc = nj_fail(err, "%s: cannot be read: %s", file->path, strerror(errno));
    if (!rc && damaged) {
        const char *name = kind == NJ_PACKED_ZSTD ? "zstd" : "gzip";
        rc = *end ? nj_fail(err, "%s: is damaged behind byte %lld, where its last whole %s %s ends",
                            file->path, (long long)*end, name, kind == NJ_PACKED_ZSTD ? "frame" : "member")
                  : nj_fail(err, "%s: is no whole %s data, which its ending says", file->path, name);
    }
    ZSTD_freeDStream(r.zstd);
    if (r.has_z) inflateEnd(&r.z);
    free(block);
    return rc;
}
