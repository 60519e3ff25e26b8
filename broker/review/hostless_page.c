/* hostless_page.c - a person decides whether a hostless candidate is real; this writes one page with all
 * that is needed for it. */
#include "hostless_page.h"

#include <erfa.h>
#include <erfam.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/filelock.h"
#include "../base/template.h"
#include "hostless_index.h"
#include "hostless_plots.h"
#include "hostless_words.h"

struct nj_hostless_writer {
    char folder[3000];
    nj_elephant geometry[2]; /* ZTF, Rubin */
    nj_elephant_work *work;
    nj_clip_work *clip;
    nj_hostless_line *line;
    uint32_t n, cap;
    void *ids; /* search tree of nj_hostless_id: how often an id came */
    bool made; /* the folder was not there */
    int index; /* the open file of the index: locked, so that the folder has one writer */
};

typedef struct nj_hostless_id {
    int64_t candid;
    uint32_t n;
} nj_hostless_id;

/* Two writers of one folder would mix their pages under one index. */
static int open_index(nj_hostless_writer *w, nj_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/index.html", w->folder);
    w->index = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (w->index < 0) return nj_fail(err, "%s: %s", path, strerror(errno));
    return nj_file_lock(w->index, path, err);
}

nj_hostless_writer *nj_hostless_writer_new(const char *folder, nj_error *err)
{
    if (strlen(folder) >= sizeof((nj_hostless_writer *)0)->folder) {
        nj_fail(err, "%.60s...: the name is too long", folder);
        return NULL;
    }
    const bool made = !mkdir(folder, 0777);
    if (!made && errno != EEXIST) {
        nj_fail(err, "%s: %s", folder, strerror(errno));
        return NULL;
    }
    nj_hostless_writer *w = calloc(1, sizeof *w);
    if (w) {
        w->made = made;
        w->index = -1;
        snprintf(w->folder, sizeof w->folder, "%s", folder);
        w->work = aligned_alloc(64, (sizeof *w->work + 63) / 64 * 64);
        w->clip = aligned_alloc(64, (nj_clip_work_size() + 63) / 64 * 64);
    }
    if (!w || !w->work || !w->clip || nj_elephant_open(&w->geometry[0], 63, 14) ||
        nj_elephant_open(&w->geometry[1], 30, 30)) {
        nj_hostless_writer_free(w);
        nj_fail(err, "out of memory");
        return NULL;
    }
    memset(w->work, 0, sizeof *w->work);
    if (open_index(w, err)) {
        nj_hostless_writer_free(w);
        return NULL;
    }
    return w;
}

void nj_hostless_writer_free(nj_hostless_writer *w)
{
    if (!w) return;
    struct stat st;
    char path[4096];
    snprintf(path, sizeof path, "%s/index.html", w->folder);
    if (w->index >= 0 && !fstat(w->index, &st) && !st.st_size)
        unlink(path); /* made here, and nothing
                       * came of it */
    if (w->index >= 0) close(w->index);
    if (w->made) rmdir(w->folder); /* if it is empty */
    tdestroy(w->ids, free);
    for (uint32_t i = 0; i < w->n; i++) nj_hostless_line_free(&w->line[i]);
    for (int i = 0; i < 2; i++) nj_elephant_close(&w->geometry[i]);
    free(w->work);
    free(w->clip);
    free(w->line);
    free(w);
}

static int write_file(const nj_hostless_writer *w, const char *name, const nj_buffer *text, nj_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    if (nj_file_write(path, text->data, text->n)) return nj_fail(err, "%s: %s", path, strerror(errno));
    return 0;
}

/* --- facts --- */

static void put_place(nj_template_values *v, const nj_hostless_page *p)
{
    char sign, text[64] = "";
    int h[4], d[4], year, month, day, time[4];
    double fraction;
    eraA2tf(2, eraAnp(p->ra * ERFA_DD2R), &sign, h);
    eraA2af(1, p->dec * ERFA_DD2R, &sign, d);
    snprintf(text, sizeof text, "%02d:%02d:%02d.%02d %c%02d:%02d:%02d.%d", h[0], h[1], h[2], h[3], sign, d[0],
             d[1], d[2], d[3]);
    nj_template_put(v, NULL, "ra=%g dec=%g sexagesimal=%s gal_b=%g", p->ra, p->dec, text, p->gal_b);
    *text = 0;
    if (!eraJd2cal(p->jd, 0, &year, &month, &day, &fraction)) {
        eraD2tf(0, fraction, &sign, time);
        snprintf(text, sizeof text, "%d-%02d-%02d %02d:%02d:%02d", year, month, day, time[0], time[1],
                 time[2]);
    }
    nj_template_put(v, NULL, "jd=%g date=%s", p->jd, text);
}

static void put_facts(nj_template_values *v, const nj_hostless_page *p)
{
    static const char *const roid[] = { "no", "first detection", "candidate", "known" };
    put_place(v, p);
    nj_template_put(
        v, NULL,
        "mag=%g mag_err=%g band=%s subtraction=%s rb=%g drb=%g ref_dist=%g ref_mag=%g roid=%s n_nan=%d "
        "n_bad=%d nbad=%d",
        p->mag, p->mag_err, p->band ? p->band : "?",
        p->positive == 1   ? "positive"
        : p->positive == 0 ? "negative"
                           : "–",
        p->rb, p->drb, p->ref_dist, p->ref_mag, p->roid >= 0 && p->roid <= 3 ? roid[p->roid] : "–", p->n_nan,
        p->n_bad, p->nbad);
    json_t *detected = nj_template_list(v, NULL, "detected"), *ps1 = nj_template_list(v, NULL, "ps1"),
           *sso = nj_template_list(v, NULL, "sso");
    if (p->ndethist >= 0) nj_template_put(v, detected, "n=%d", p->ndethist);
    if (p->ps1_dist >= 0) nj_template_put(v, ps1, "dist=%g star=%g", p->ps1_dist, p->ps1_star);
    if (p->sso_dist >= 0) nj_template_put(v, sso, "dist=%g mag=%g", p->sso_dist, p->sso_mag);
}

/* --- stamps and the test --- */

/* One stretch for all: the science stamp's, each image about its own sky. */
static void stretch(const nj_hostless_page *p, float lo[3], float hi[3])
{
    float width = 0;
    for (int k = 0; k < 3; k++) {
        if (!p->stamp[k].pixel) continue;
        nj_zscale(&p->stamp[k], &lo[k], &hi[k]);
        if (width <= 0) width = hi[k] - lo[k];
    }
    for (int k = 0; k < 3; k++) {
        float middle = p->stamp[k].pixel ? (lo[k] + hi[k]) / 2 : 0;
        lo[k] = middle - width / 2, hi[k] = middle + width / 2;
    }
}

static const char *const stamp_name[] = { "science", "template", "difference" };

static void put_stamps(nj_hostless_writer *w, nj_template_values *v, const nj_hostless_page *p,
                       nj_clip clip[2])
{
    float lo[3] = { 0 }, hi[3] = { 0 };
    stretch(p, lo, hi);
    json_t *stamps = nj_template_list(v, NULL, "stamps");
    for (int k = 0; k < 3; k++) {
        const nj_picture *s = &p->stamp[k];
        const uint32_t n = s->rows * s->cols;
        uint8_t mask[NJ_CLIP_MAX];
        const bool is_masked = s->pixel && k < 2 && n <= NJ_CLIP_MAX;
        json_t *stamp = nj_template_put(v, stamps, "name=%s", stamp_name[k]);
        json_t *masked = nj_template_list(v, stamp, "masked");
        if (is_masked) {
            nj_clip_begin(w->clip, nj_isa_best(), s->pixel, n, &clip[k]);
            nj_clip_passes(w->clip, 3, 10, &clip[k]);
            nj_clip_mask(&clip[k], s->pixel, n, mask);
            nj_template_put(v, masked, "n=%u", clip[k].n - clip[k].n_kept);
        }
        if (s->pixel)
            nj_plot_stamp(v, nj_template_object(v, stamp, "picture"), s, lo[k], hi[k],
                          is_masked ? mask : NULL, p->pixel_arcsec);
        else
            nj_template_list(v, stamp, "picture"); /* none */
    }
}

/* One draw of the test, with all that it compares. */
static void put_spectrum(nj_hostless_writer *w, nj_template_values *v, json_t *list,
                         const nj_hostless_page *p, const nj_elephant *g, const nj_clip *clip, int k)
{
    float area[NJ_SPECTRUM_BINS * NJ_ELEPHANT_STRIDE];
    const nj_elephant_key key = { p->candid, (uint32_t)k, 0, p->seed };
    w->work->keep_area = area;
    const double d = nj_elephant_ks(g, nj_isa_best(), w->work, p->stamp[k].pixel, clip, &key);
    w->work->keep_area = NULL;
    const bool drawn = w->work->n_y && d >= 0;
    json_t *item = nj_template_put(v, list, "name=%s d=%g drawn=%d", stamp_name[k], d, drawn);
    if (!drawn) return;
    nj_plot_power(v, nj_template_object(v, item, "power"), area, g->spectrum.n_bins, g->crop,
                  p->pixel_arcsec);
    nj_plot_distances(v, nj_template_object(v, item, "distances"), w->work);
}

enum { MAX_SIDE = 63, MIN_SIDE = 14 }; /* of a stamp that the module looks at */

static void put_test(nj_hostless_writer *w, nj_template_values *v, const nj_hostless_page *p,
                     const nj_clip clip[2])
{
    const nj_picture *stamp = p->stamp;
    const uint32_t side = stamp[0].rows;
    const bool testable = side >= MIN_SIDE && side <= MAX_SIDE && stamp[0].cols == side &&
                          stamp[1].rows == side && stamp[1].cols == side;
    nj_elephant geometry = w->geometry[side == w->geometry[1].stamp];
    geometry.stamp = side; /* the plans depend on the part that is transformed alone */
    nj_template_put(v, NULL, "no_test=%s",
                    p->candidate == 1   ? "No test: these stamps are not the square that was tested."
                    : p->candidate == 0 ? "Not a candidate: the test was not made."
                                        : "No test.");
    if (p->candidate != 1 || !testable) {
        nj_template_list(v, NULL, "test"); /* none */
        return;
    }
    json_t *test = nj_template_object(v, NULL, "test");
    nj_plot_verdict(v, test, p);
    nj_template_put(v, test, "repeats=%u several=%d", p->repeats, p->repeats != 1);
    json_t *spectra = nj_template_list(v, test, "spectra");
    for (int k = 0; k < 2; k++) put_spectrum(w, v, spectra, p, &geometry, &clip[k], k);
}

/* --- pages --- */

static int by_id(const void *a, const void *b)
{
    const nj_hostless_id *x = a, *y = b;
    return (x->candid > y->candid) - (x->candid < y->candid);
}

/* "CANDID.html"; "CANDID-2.html" for the second alert of that id,
 * whose page would replace the first one's. -1: no memory. */
static int page_name(nj_hostless_writer *w, int64_t candid, char *name, size_t size)
{
    nj_hostless_id *id = calloc(1, sizeof *id), **found;
    if (!id) return -1;
    id->candid = candid;
    found = tsearch(id, &w->ids, by_id);
    if (!found || *found != id) free(id);
    if (!found) return -1;
    if (++(*found)->n == 1)
        snprintf(name, size, "%lld.html", (long long)candid);
    else
        snprintf(name, size, "%lld-%u.html", (long long)candid, (*found)->n);
    return 0;
}

static int remember(nj_hostless_writer *w, const nj_hostless_page *p, const char *name, nj_error *err)
{
    if (w->n == w->cap) {
        nj_hostless_line *more = realloc(w->line, (2 * w->cap + 64) * sizeof *more);
        if (!more) return nj_fail(err, "out of memory");
        w->line = more;
        w->cap = 2 * w->cap + 64;
    }
    nj_buffer thumb[3] = { { 0 } };
    float lo[3] = { 0 }, hi[3] = { 0 };
    stretch(p, lo, hi);
    for (int k = 0; k < 3 && p->candidate == 1; k++)
        if (p->stamp[k].pixel) nj_plot_png(&thumb[k], &p->stamp[k], lo[k], hi[k], 4);
    if (thumb[0].failed || thumb[1].failed || thumb[2].failed ||
        nj_hostless_line_make(&w->line[w->n], p, name,
                              (char *[]){ thumb[0].data, thumb[1].data, thumb[2].data })) {
        for (int k = 0; k < 3; k++) nj_buffer_free(&thumb[k]);
        return nj_fail(err, "out of memory");
    }
    w->n++;
    return 0;
}

/* The central square, as the module looks at it. */
static void crop(nj_picture *picture, uint32_t side, float *pixel)
{
    const uint32_t top = picture->rows / 2 - side / 2, left = picture->cols / 2 - side / 2;
    for (uint32_t row = 0; row < side; row++)
        memcpy(pixel + row * side, picture->pixel + (size_t)(top + row) * picture->cols + left,
               side * sizeof *pixel);
    picture->pixel = pixel;
    picture->rows = picture->cols = side;
}

static int make_page(nj_hostless_writer *w, const nj_hostless_page *p, nj_buffer *out, nj_error *err)
{
    nj_clip clip[2] = { { 0 } };
    char doubt[128];
    const char *class, *words = nj_hostless_badge(p->candidate, p->verdict, &class);
    nj_template_values v = nj_template_begin();
    nj_hostless_doubt(p, doubt, sizeof doubt);
    nj_template_put(&v, NULL, "object=%s candid=%lld survey=%s badge=%s verdict=%s doubt=%s",
                    p->object ? p->object : "alert", (long long)p->candid, p->survey, *doubt ? "" : class,
                    words, doubt);
    put_stamps(w, &v, p, clip);
    nj_hostless_reasons(&v, p);
    put_test(w, &v, p, clip);
    put_facts(&v, p);
    nj_plot_curve(&v, p->point, p->n_points);
    const int rc = nj_template_write("hostless.html", &v, out, err);
    nj_template_end(&v);
    return rc;
}

int nj_hostless_write(nj_hostless_writer *w, const nj_hostless_page *alert, nj_error *err)
{
    float cropped[3][MAX_SIDE * MAX_SIDE];
    nj_hostless_page page = *alert;
    const nj_hostless_page *p = &page;
    const uint32_t side = page.stamp_px > 0 && page.stamp_px <= MAX_SIDE ? (uint32_t)page.stamp_px : 0;
    for (int k = 0; k < 3 && side; k++)
        if (page.stamp[k].pixel && page.stamp[k].rows >= side && page.stamp[k].cols >= side)
            crop(&page.stamp[k], side, cropped[k]);
    char name[64];
    if (page_name(w, p->candid, name, sizeof name)) return nj_fail(err, "out of memory");
    nj_buffer out = { 0 };
    const int rc = make_page(w, p, &out, err) || write_file(w, name, &out, err) ? -1 : 0;
    nj_buffer_free(&out);
    return rc ? rc : remember(w, p, name, err);
}

int nj_hostless_write_index(nj_hostless_writer *w, const nj_hostless_index *about, nj_error *err)
{
    nj_buffer out = { 0 };
    int rc = nj_hostless_index_html(&out, w->line, w->n, about, err);
    size_t done = 0;
    if (!rc && ftruncate(w->index, 0)) rc = nj_fail(err, "%s/index.html: %s", w->folder, strerror(errno));
    while (!rc && done < out.n) {
        ssize_t n = pwrite(w->index, out.data + done, out.n - done, (off_t)done);
        if (n < 0 && errno != EINTR) rc = nj_fail(err, "%s/index.html: %s", w->folder, strerror(errno));
        if (n > 0) done += (size_t)n;
    }
    nj_buffer_free(&out);
    return rc;
}
