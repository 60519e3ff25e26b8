/* stamps.c - stamps of many targets are cut by several workers; this holds the work of one worker and starts
 * all of them. */
#include "stamps.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "cards.h"

static void header(nj_buffer *b, const nj_cut_job *job, const nj_cut_target *t, double x, double y,
                   int64_t left, int64_t bottom)
{
    const nj_cut_image *image = job->image;
    nj_card(b, "SIMPLE  =                    T / a stamp cut by nightjar");
    nj_card(b, "BITPIX  = %20d", image->width == 4 ? -32 : -64);
    nj_card(b, "NAXIS   = %20d", image->n_axes);
    nj_card(b, "NAXIS1  = %20u", job->size);
    nj_card(b, "NAXIS2  = %20u", job->size);
    for (int k = 2; k < image->n_axes; k++) nj_card(b, "NAXIS%d  = %20u", k + 1, image->length[k]);
    nj_buffer_add(b, image->cards, (size_t)80 * image->n_cards);
    nj_card(b, "CRPIX1  = %20.17G", nj_wcs_crpix(&image->wcs, 0) - (double)left);
    nj_card(b, "CRPIX2  = %20.17G", nj_wcs_crpix(&image->wcs, 1) - (double)bottom);
    nj_card(b, "NJ_IMAGE= '%-8.60s' / the image", job->origin);
    nj_card(b, "NJ_NAME = '%-8.60s' / the target", t->name);
    nj_card(b, "NJ_RA   = %20.17G / deg, of the target", t->ra);
    nj_card(b, "NJ_DEC  = %20.17G / deg", t->dec);
    nj_card(b, "NJ_X    = %20.17G / its pixel in the image, the first is 0", x);
    nj_card(b, "NJ_Y    = %20.17G", y);
    nj_card(b, "NJ_LEFT = %20lld / first column of the stamp in the image", (long long)left);
    nj_card(b, "NJ_BOTT = %20lld / first row", (long long)bottom);
    nj_cards_end(b, 0);
}

static void nans(unsigned char *to, size_t n, uint32_t width)
{
    static const unsigned char none4[] = { 0x7f, 0xc0, 0, 0 }, none8[] = { 0x7f, 0xf8, 0, 0, 0, 0, 0, 0 };
    for (size_t i = 0; i < n; i++) memcpy(to + i * width, width == 4 ? none4 : none8, width);
}

static void pixels(nj_buffer *b, const nj_cut_job *job, int64_t left, int64_t bottom)
{
    const nj_cut_image *image = job->image;
    const uint32_t width = image->width;
    const int64_t size = job->size, cols = image->cols, rows = image->rows;
    const int64_t from = left > 0 ? left : 0, to = left + size < cols ? left + size : cols;
    size_t bytes = (size_t)size * (size_t)size * image->planes * width,
           padded = (bytes + NJ_CARDS_BLOCK - 1) / NJ_CARDS_BLOCK * NJ_CARDS_BLOCK;
    unsigned char *out = (unsigned char *)nj_buffer_room(b, padded);
    if (!out) return;
    memset(out + bytes, 0, padded - bytes);
    for (uint64_t plane = 0; plane < image->planes; plane++)
        for (int64_t row = bottom; row < bottom + size; row++, out += (size_t)size * width) {
            if (row < 0 || row >= rows) {
                nans(out, (size_t)size, width);
                continue;
            }
            const unsigned char *in =
                image->data +
                (((size_t)plane * (size_t)rows + (size_t)row) * (size_t)cols + (size_t)from) * width;
            nans(out, (size_t)(from - left), width);
            memcpy(out + (size_t)(from - left) * width, in, (size_t)(to - from) * width);
            nans(out + (size_t)(to - left) * width, (size_t)(left + size - to), width);
        }
    b->n += padded;
}

/* Bytes of a write: of one of 10 MB, ext4 asks for pages of 2 MB, and looks for them long. */
enum { PIECE = 256 << 10 };

static int write_stamp(const nj_cut_job *job, const nj_cut_target *t, const nj_buffer *b, nj_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s%s.fits", job->folder, t->name, job->suffix) >= (int)sizeof path)
        return nj_fail(err, "%s: name too long", t->name);
    if (job->overwrite)
        unlink(path); /* ext4 waits for the disk at the close of a file that
                       * was cut to nothing */
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_EXCL, 0666);
    if (fd < 0)
        return nj_fail(err, "%s: %s%s", path, strerror(errno), errno == EEXIST ? " (--overwrite)" : "");
    size_t done = 0;
    while (done < b->n) {
        const size_t left = b->n - done;
        ssize_t n = write(fd, b->data + done, left < PIECE ? left : PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (!close(fd) && done == b->n) return 0;
    const int why = errno;
    unlink(path); /* a part of a stamp looks like one */
    return nj_fail(err, "%s: %s", path, strerror(why));
}

/* Its pixel, and the corner of its stamp; false: no pixel of the image is in it. */
static bool place(const nj_cut_job *job, nj_wcs *wcs, const nj_cut_target *t, double *x, double *y,
                  int64_t *left, int64_t *bottom)
{
    const double size = job->size, cols = job->image->cols, rows = job->image->rows;
    if (!nj_wcs_pixel(wcs, t->ra, t->dec, x, y)) return false;
    double l = ceil(*x - size / 2), m = ceil(*y - size / 2);
    if (job->image->tess) l = nearbyint(*x - size / 2), m = nearbyint(*y - size / 2); /* as TESScut has it */
    if (!(l > -size && l < cols && m > -size && m < rows)) return false;
    *left = (int64_t)l;
    *bottom = (int64_t)m;
    return true;
}

int nj_cut_fetch(const nj_cut_job *job, int connections, nj_error *err)
{
    const nj_cut_image *image = job->image;
    const int64_t size = job->size, cols = image->cols, rows = image->rows;
    nj_wcs wcs;
    if (!image->remote || !image->map) return 0;
    if (nj_wcs_copy(&wcs, &image->wcs)) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < job->n_targets; i++) {
        double x, y;
        int64_t left, bottom;
        if (!place(job, &wcs, &job->target[i], &x, &y, &left, &bottom)) continue;
        const int64_t from = left > 0 ? left : 0, to = left + size < cols ? left + size : cols;
        /* of a TESS cube a pixel has all its frames in line */
        const uint64_t planes = image->tess ? 1 : image->planes,
                       width = image->tess ? 8 * image->planes : image->width;
        for (uint64_t plane = 0; plane < planes; plane++)
            for (int64_t row = bottom > 0 ? bottom : 0; row < bottom + size && row < rows; row++) {
                uint64_t pixel = (plane * (uint64_t)rows + (uint64_t)row) * (uint64_t)cols + (uint64_t)from;
                nj_ranges_want(image->remote, image->data_at + pixel * width, (uint64_t)(to - from) * width);
            }
    }
    nj_wcs_free(&wcs);
    return nj_ranges_fetch(image->remote, connections, err);
}

/* What a worker needs. */
typedef struct bench {
    nj_wcs wcs; /* wcslib writes to it */
    nj_buffer stamp;
    nj_tess_work tess;
} bench;

static const nj_buffer *make(const nj_cut_job *job, bench *w, const nj_cut_target *t, double x, double y,
                             int64_t left, int64_t bottom, nj_error *err)
{
    const nj_cut_image *image = job->image;
    if (image->tess) {
        const nj_tess_cut cut = { image->tess, image->data, image->cols, image->rows, job->size, left,
                                  bottom,      &w->wcs,     t->name,     t->ra,       t->dec };
        return nj_tess_file(&w->tess, &cut, err) ? NULL : &w->tess.file;
    }
    w->stamp.n = 0;
    header(&w->stamp, job, t, x, y, left, bottom);
    pixels(&w->stamp, job, left, bottom);
    if (w->stamp.failed) nj_fail(err, "out of memory");
    return w->stamp.failed ? NULL : &w->stamp;
}

/* 1 = whole, 2 = partial, 0 = outside, -1 = failed. */
static int one(const nj_cut_job *job, bench *w, const nj_cut_target *t, uint64_t *bytes, nj_error *err)
{
    double x, y;
    const int64_t size = job->size, cols = job->image->cols, rows = job->image->rows;
    int64_t left, bottom;
    if (!place(job, &w->wcs, t, &x, &y, &left, &bottom)) return 0;
    const nj_buffer *b = make(job, w, t, x, y, left, bottom, err);
    if (!b || (job->folder && write_stamp(job, t, b, err))) return -1;
    *bytes += b->n;
    return left < 0 || bottom < 0 || left + size > cols || bottom + size > rows ? 2 : 1;
}

int nj_cut(const nj_cut_job *job, nj_cut_result *result, nj_error *err)
{
    uint32_t count[3] = { 0 };
    uint64_t bytes = 0;
    int failed = 0;
    int64_t start = nj_now_ns();
#pragma omp parallel num_threads(job->workers) reduction(+ : count[:3], bytes)
    {
        bench w = { .stamp = { 0 } };
        nj_error mine = { "" };
        if (nj_wcs_copy(&w.wcs, &job->image->wcs) && !__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
            nj_fail(err, "out of memory");
#pragma omp for schedule(dynamic, 8)
        for (uint32_t i = 0; i < job->n_targets; i++) {
            if (__atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            int what = one(job, &w, &job->target[i], &bytes, &mine);
            if (what < 0) {
                if (!__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
                    nj_fail(err, "%s", mine.text); /* the first one is reported */
                continue;
            }
            count[what]++;
        }
        nj_buffer_free(&w.stamp);
        nj_tess_work_free(&w.tess);
        nj_wcs_free(&w.wcs);
    }
    *result = (nj_cut_result){ .outside = count[0],
                               .whole = count[1],
                               .partial = count[2],
                               .bytes = bytes,
                               .wall_s = (double)(nj_now_ns() - start) * 1e-9 };
    return failed ? -1 : 0;
}
