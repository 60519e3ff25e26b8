/* stamps.c - stamps of many targets are cut by several workers; this holds the work of one worker and starts
 * all of them. */
#include "stamps.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/clock.h"

enum { BLOCK = 2880 };

__attribute__((format(printf, 2, 3))) static void card(nj_buffer *b, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    nj_buffer_printf(b, "%-80.80s", text);
}

static void header(nj_buffer *b, const nj_cut_job *job, const nj_cut_target *t, double x, double y,
                   int64_t left, int64_t bottom)
{
    const nj_cut_image *image = job->image;
    card(b, "SIMPLE  =                    T / a stamp cut by nightjar");
    card(b, "BITPIX  = %20d", image->width == 4 ? -32 : -64);
    card(b, "NAXIS   = %20d", image->n_axes);
    card(b, "NAXIS1  = %20u", job->size);
    card(b, "NAXIS2  = %20u", job->size);
    for (int k = 2; k < image->n_axes; k++) card(b, "NAXIS%d  = %20u", k + 1, image->length[k]);
    nj_buffer_add(b, image->cards, (size_t)80 * image->n_cards);
    card(b, "CRPIX1  = %20.17G", nj_wcs_crpix(&image->wcs, 0) - (double)left);
    card(b, "CRPIX2  = %20.17G", nj_wcs_crpix(&image->wcs, 1) - (double)bottom);
    card(b, "NJ_IMAGE= '%-8.60s' / the image", job->origin);
    card(b, "NJ_NAME = '%-8.60s' / the target", t->name);
    card(b, "NJ_RA   = %20.17G / deg, of the target", t->ra);
    card(b, "NJ_DEC  = %20.17G / deg", t->dec);
    card(b, "NJ_X    = %20.17G / its pixel in the image, the first is 0", x);
    card(b, "NJ_Y    = %20.17G", y);
    card(b, "NJ_LEFT = %20lld / first column of the stamp in the image", (long long)left);
    card(b, "NJ_BOTT = %20lld / first row", (long long)bottom);
    card(b, "END");
    while (b->n % BLOCK) nj_buffer_add(b, " ", 1);
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
           padded = (bytes + BLOCK - 1) / BLOCK * BLOCK;
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
        ssize_t n = write(fd, b->data + done, b->n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (close(fd) || done < b->n) return nj_fail(err, "%s: %s", path, strerror(errno));
    return 0;
}

/* Its pixel, and the corner of its stamp; false: no pixel of the image is in it. */
static bool place(const nj_cut_job *job, nj_wcs *wcs, const nj_cut_target *t, double *x, double *y,
                  int64_t *left, int64_t *bottom)
{
    const double size = job->size, cols = job->image->cols, rows = job->image->rows;
    if (!nj_wcs_pixel(wcs, t->ra, t->dec, x, y)) return false;
    double l = ceil(*x - size / 2), m = ceil(*y - size / 2);
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
        for (uint64_t plane = 0; plane < image->planes; plane++)
            for (int64_t row = bottom > 0 ? bottom : 0; row < bottom + size && row < rows; row++) {
                uint64_t pixel = (plane * (uint64_t)rows + (uint64_t)row) * (uint64_t)cols + (uint64_t)from;
                nj_ranges_want(image->remote, image->data_at + pixel * image->width,
                               (uint64_t)(to - from) * image->width);
            }
    }
    nj_wcs_free(&wcs);
    return nj_ranges_fetch(image->remote, connections, err);
}

/* 1 = whole, 2 = partial, 0 = outside, -1 = failed. */
static int one(const nj_cut_job *job, nj_wcs *wcs, const nj_cut_target *t, nj_buffer *b, nj_error *err)
{
    double x, y;
    const int64_t size = job->size, cols = job->image->cols, rows = job->image->rows;
    int64_t left, bottom;
    if (!place(job, wcs, t, &x, &y, &left, &bottom)) return 0;
    b->n = 0;
    header(b, job, t, x, y, left, bottom);
    size_t before = b->n;
    pixels(b, job, left, bottom);
    if (b->n == before) return nj_fail(err, "out of memory");
    if (job->folder && write_stamp(job, t, b, err)) return -1;
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
        nj_buffer b = { 0 };
        nj_error mine = { "" };
        nj_wcs wcs; /* of this thread */
        if (nj_wcs_copy(&wcs, &job->image->wcs) && !__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
            nj_fail(err, "out of memory");
#pragma omp for schedule(dynamic, 8)
        for (uint32_t i = 0; i < job->n_targets; i++) {
            if (__atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            int what = one(job, &wcs, &job->target[i], &b, &mine);
            if (what < 0) {
                if (!__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
                    nj_fail(err, "%s", mine.text); /* the first one is reported */
                continue;
            }
            count[what]++;
            if (what) bytes += b.n;
        }
        nj_buffer_free(&b);
        nj_wcs_free(&wcs);
    }
    *result = (nj_cut_result){ .outside = count[0],
                               .whole = count[1],
                               .partial = count[2],
                               .bytes = bytes,
                               .wall_s = (double)(nj_now_ns() - start) * 1e-9 };
    return failed ? -1 : 0;
}
