/* hostless_page.c - a person decides whether a hostless candidate is real; this writes one page with all
 * that is needed for it. */
#include "hostless_page.h"

#include <erfa.h>
#include <erfam.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/filelock.h"
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

static const char style[] =
    "<style>body{font:14px/1.45 "
    "system-ui,sans-serif;color:#1c2430;background:#fff;max-width:1040px;margin:24px auto;padding:0 "
    "16px}"
    "h1{font-size:22px;margin:0 0 2px}h2{font-size:15px;margin:22px 0 6px;border-bottom:1px solid "
    "#d5dae1}a{color:#1b5fa8}"
    ".sub{color:#5c6675;margin:0 0 14px}.row{display:flex;gap:18px;flex-wrap:wrap}.row>*{flex:1 1 "
    "300px;min-width:280px}"
    "figure{margin:0}.quad{display:grid;grid-template-columns:1fr 1fr;gap:6px "
    "26px}figcaption{color:#5c6675;font-size:12.5px;margin-top:3px}table{border-collapse:collapse;width:100%}"
    "td,th{padding:2px 8px 2px "
    "0;text-align:left;vertical-align:top}th{font-weight:600}td.n{text-align:right;white-space:nowrap;font-"
    "variant-numeric:"
    "tabular-nums}"
    ".facts td:first-child{color:#5c6675;white-space:nowrap}.badge{display:inline-block;padding:1px "
    "9px;border-radius:9px;font-size:13px;color:#fff;background:#7a8494}"
    ".yes{background:#1d7a46}.maybe{background:#a86a12}ul{margin:4px 0;padding-left:20px}.none{color:#8a93a0}"
    "svg text{font:11px "
    "system-ui,sans-serif;fill:#3c4654}.stamp{width:100%;image-rendering:pixelated;display:block;background:#"
    "ddd}"
    ".stamp .mask{stroke:#ff8a1f;stroke-width:.28;fill:none}.stamp "
    ".box{stroke:#35b4ff;stroke-width:.3;fill:none}"
    ".stamp path.bar{stroke:#fff;stroke-width:.7}.stamp "
    "text.bar{font-size:3px;fill:#fff;paint-order:stroke;stroke:#000;stroke-width:.4}"
    ".plot{width:100%;display:block}.axis{stroke:#5c6675;fill:none}.grid{stroke:#e6e9ee;fill:none}.band{fill:"
    "#cfd8e4}.median{"
    "stroke:#8a97a8;stroke-dasharray:4 3;fill:none}"
    ".own{stroke:#b3361e;stroke-width:2;fill:none}.other{stroke:#5b7da6;stroke-width:2;stroke-dasharray:5 "
    "3;fill:none}.ks{stroke:#1c2430;stroke-width:2}text.ks{stroke:none;font-weight:600}"
    ".inside{fill:#cfe8d8}.outside{fill:#f2d9d3}.spread{stroke:#1c2430;stroke-width:1.4}.error{stroke:#"
    "1c2430;stroke-width:5}"
    ".thumbs{white-space:nowrap}.thumb{width:63px;height:63px;image-rendering:pixelated}tbody "
    "tr:nth-child(even){background:#f6f7f9}.why{color:#5c6675;font-size:12.5px}.long{overflow-wrap:anywhere}."
    "id{white-space:"
    "nowrap}"
    ".doubt td,.doubt a{color:#767e8a}.doubt .thumb{opacity:.55}td "
    ".name{display:none}h1,.sub{overflow-wrap:anywhere}"
    "@media(max-width:640px){.quad{grid-template-columns:1fr}.list thead{display:none}.list "
    "tr{display:block;padding:8px "
    "0;border-top:1px solid #d5dae1}.list td{display:inline-block;padding-right:14px}.list "
    "td.wide{display:block}.list "
    "td.empty{display:none}td .name{display:inline;color:#5c6675;margin-right:4px}}</style>\n";
static const char hatch[] =
    "<svg width=0 height=0 style=\"position:absolute\"><defs><pattern id=hatch width=1.2 height=1.2 "
    "patternUnits=userSpaceOnUse>"
    "<rect width=1.2 height=1.2 fill=\"#fff\"/><path d=\"M0 1.2L1.2 0\" stroke=\"#c0188c\" stroke-width=.35 "
    "/></pattern></defs></svg>\n";

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

static int write_file(const nj_hostless_writer *w, const char *name, nj_buffer *text, nj_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    if (text->failed) return nj_fail(err, "out of memory");
    FILE *f = fopen(path, "wb");
    if (!f) return nj_fail(err, "%s: %s", path, strerror(errno));
    size_t done = fwrite(text->data, 1, text->n, f);
    if (fclose(f) || done != text->n) return nj_fail(err, "%s: %s", path, strerror(errno));
    return 0;
}

/* --- facts --- */

__attribute__((format(printf, 3, 4))) static void fact(nj_buffer *out, const char *name, const char *format,
                                                       ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    nj_buffer_printf(out, "<tr><td>%s</td><td>", name);
    char *at = text;
    for (char *nan; (nan = strstr(at, "nan")); at = nan + 3) { /* what is not known is a dash */
        *nan = 0;
        nj_markup_text(out, at);
        nj_buffer_text(out, "&ndash;");
    }
    nj_markup_text(out, at);
    nj_buffer_text(out, "</td></tr>\n");
}

static void add_facts(nj_buffer *out, const nj_hostless_page *p)
{
    static const char *const roid[] = { "no", "first detection", "candidate", "known" };
    char sign;
    int h[4], d[4], year, month, day, time[4];
    double fraction;
    nj_buffer_text(out, "<table class=facts>\n");
    eraA2tf(2, eraAnp(p->ra * ERFA_DD2R), &sign, h);
    eraA2af(1, p->dec * ERFA_DD2R, &sign, d);
    fact(out, "RA, Dec", "%.6f, %+.6f° = %02d:%02d:%02d.%02d %c%02d:%02d:%02d.%d", p->ra, p->dec, h[0], h[1],
         h[2], h[3], sign, d[0], d[1], d[2], d[3]);
    fact(out, "Galactic b", "%+.2f°", p->gal_b);
    if (!eraJd2cal(p->jd, 0, &year, &month, &day, &fraction)) {
        eraD2tf(0, fraction, &sign, time);
        fact(out, "JD", "%.5f (%d-%02d-%02d %02d:%02d:%02d)", p->jd, year, month, day, time[0], time[1],
             time[2]);
    }
    fact(out, "Magnitude", "%.2f ± %.2f in %s", p->mag, p->mag_err, p->band ? p->band : "?");
    fact(out, "Subtraction", "%s", p->positive == 1 ? "positive" : p->positive == 0 ? "negative" : "–");
    fact(out, "rb, drb", "%.2f, %.3f", p->rb, p->drb);
    if (p->ndethist >= 0) fact(out, "Detections", "%d", p->ndethist);
    fact(out, "Reference source", "%.2f px, %.2f mag", p->ref_dist, p->ref_mag);
    fact(out, "Pan-STARRS", p->ps1_dist >= 0 ? "%.2f″, star score %.2f" : "none near", p->ps1_dist,
         p->ps1_star);
    fact(out, "Solar System",
         p->sso_dist >= 0 ? "%.1f″ to a known object of %.1f mag" : "no known object near", p->sso_dist,
         p->sso_mag);
    fact(out, "Asteroid (roid)", "%s", p->roid >= 0 && p->roid <= 3 ? roid[p->roid] : "–");
    fact(out, "Pixels", "%d NaN, %d beyond 1e30, nbad %d", p->n_nan, p->n_bad, p->nbad);
    nj_buffer_text(out, "</table>\n");
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

static void add_stamps(nj_hostless_writer *w, nj_buffer *out, const nj_hostless_page *p, nj_clip clip[2])
{
    static const char *const name[] = { "science", "template", "difference" };
    float lo[3] = { 0 }, hi[3] = { 0 };
    stretch(p, lo, hi);
    nj_buffer_text(out, "<h2>Stamps</h2>\n<div class=row>\n");
    for (int k = 0; k < 3; k++) {
        const nj_picture *s = &p->stamp[k];
        const uint32_t n = s->rows * s->cols;
        uint8_t mask[NJ_CLIP_MAX];
        int masked = s->pixel && k < 2 && n <= NJ_CLIP_MAX;
        nj_buffer_text(out, "<figure>");
        if (!s->pixel) nj_buffer_text(out, "<p class=none>absent or unreadable</p>");
        if (masked) {
            nj_clip_begin(w->clip, nj_isa_best(), s->pixel, n, &clip[k]);
            nj_clip_passes(w->clip, 3, 10, &clip[k]);
            nj_clip_mask(&clip[k], s->pixel, n, mask);
        }
        if (s->pixel)
            nj_plot_stamp(out, s, lo[k], hi[k], masked ? mask : NULL, s->rows >= 14 && s->cols >= 14 ? 14 : 0,
                          p->pixel_arcsec);
        nj_buffer_printf(out, "<figcaption>%s", name[k]);
        if (masked) nj_buffer_printf(out, ": %u masked pixels", clip[k].n - clip[k].n_kept);
        nj_buffer_text(out, "</figcaption></figure>\n");
    }
    nj_buffer_text(out, "</div>\n<p class=sub>One stretch (IRAF zscale of the science stamp) about each "
                        "image's own sky; first "
                        "row at the bottom. Orange: outline "
                        "of the sigma-clipped pixels; blue: the central 14 &times; 14; hatched: missing or "
                        "beyond 1e30.</p>\n");
}

enum { MAX_SIDE = 63, MIN_SIDE = 14 }; /* of a stamp that the module looks at */

static void add_test(nj_hostless_writer *w, nj_buffer *out, const nj_hostless_page *p, const nj_clip clip[2])
{
    static const char *const name[] = { "science", "template" };
    float area[NJ_SPECTRUM_BINS * NJ_ELEPHANT_STRIDE];
    const nj_picture *stamp = p->stamp;
    const uint32_t side = stamp[0].rows;
    const bool testable = side >= MIN_SIDE && side <= MAX_SIDE && stamp[0].cols == side &&
                          stamp[1].rows == side && stamp[1].cols == side;
    nj_elephant geometry = w->geometry[side == w->geometry[1].stamp], *g = &geometry;
    g->stamp = side; /* the plans depend on the part that is transformed alone */
    nj_buffer_text(out, "<h2>Power spectra against their own shuffles</h2>\n");
    if (p->candidate != 1 || !testable) {
        nj_buffer_printf(out, "<p class=none>%s</p>\n",
                         p->candidate == 1   ? "No test: these stamps are not the square that was tested."
                         : p->candidate == 0 ? "Not a candidate: the test was not made."
                                             : "No test.");
        return;
    }
    nj_plot_verdict(out, p);
    nj_buffer_printf(out,
                     "<p class=sub>D is small when a stamp looks like its own shuffled pixels, that is, like "
                     "noise: no host. Dot: mean of %u "
                     "draw%s; thin line: "
                     "spread of one draw; thick line: error of the mean. Green: within the limit of a "
                     "verdict.</p>\n<div class=quad>\n",
                     p->repeats, p->repeats == 1 ? "" : "s");
    for (int k = 0; k < 2; k++) {
        const nj_elephant_key key = { p->candid, (uint32_t)k, 0, p->seed };
        w->work->keep_area = area;
        double d = nj_elephant_ks(g, nj_isa_best(), w->work, p->stamp[k].pixel, &clip[k], &key);
        w->work->keep_area = NULL;
        nj_buffer_text(out, "<figure>");
        if (w->work->n_y && d >= 0) {
            nj_plot_power(out, area, g->spectrum.n_bins, g->crop, p->pixel_arcsec, name[k]);
            nj_buffer_printf(out,
                             "<figcaption>%s: its power (red), 5&ndash;50&ndash;95 %% of the shuffles "
                             "(grey)</figcaption></figure>\n<figure>",
                             name[k]);
            nj_plot_distances(out, w->work, name[k]);
            nj_buffer_printf(out,
                             "<figcaption>%s: distances shuffle to stamp (red) and between shuffles (blue), "
                             "first draw</figcaption>",
                             name[k]);
        } else {
            nj_buffer_printf(
                out,
                "<p class=none>%s: not drawn, its pixels have no bounded range or no spread (D = %.3f)</p>",
                name[k], d);
        }
        nj_buffer_text(out, "</figure>\n");
    }
    nj_buffer_text(out, "</div>\n");
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

int nj_hostless_write(nj_hostless_writer *w, const nj_hostless_page *alert, nj_error *err)
{
    float cropped[3][MAX_SIDE * MAX_SIDE];
    nj_hostless_page page = *alert;
    const nj_hostless_page *p = &page;
    const uint32_t side = page.stamp_px > 0 && page.stamp_px <= MAX_SIDE ? (uint32_t)page.stamp_px : 0;
    for (int k = 0; k < 3 && side; k++)
        if (page.stamp[k].pixel && page.stamp[k].rows >= side && page.stamp[k].cols >= side)
            crop(&page.stamp[k], side, cropped[k]);
    nj_buffer out = { 0 };
    nj_clip clip[2] = { { 0 } };
    const char *class, *words = nj_hostless_badge(p->candidate, p->verdict, &class);
    char name[64], doubt[128];
    nj_hostless_doubt(p, doubt, sizeof doubt);
    if (page_name(w, p->candid, name, sizeof name)) return nj_fail(err, "out of memory");
    nj_buffer_text(&out, "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
                         "content=\"width=device-width,initial-scale=1\"><title>");
    nj_markup_text(&out, p->object ? p->object : "alert");
    nj_buffer_printf(&out, " %lld</title>\n%s%s<h1>", (long long)p->candid, style, hatch);
    nj_markup_text(&out, p->object ? p->object : "alert");
    nj_buffer_printf(&out, " <span class=\"badge %s\">%s</span>", *doubt ? "" : class, words);
    if (*doubt) nj_buffer_printf(&out, " <span class=badge>%s</span>", doubt);
    nj_buffer_text(&out, "</h1>\n<p class=sub>");
    nj_markup_text(&out, p->survey);
    nj_buffer_printf(&out, " candid %lld &middot; <a href=index.html>index</a></p>\n", (long long)p->candid);
    add_stamps(w, &out, p, clip);
    nj_buffer_text(&out, "<div class=row>\n<div><h2>For</h2><ul>\n");
    nj_hostless_reasons(&out, p, false);
    nj_buffer_text(&out, "</ul></div>\n<div><h2>Against</h2><ul>\n");
    nj_hostless_reasons(&out, p, true);
    nj_buffer_text(&out, "</ul></div>\n</div>\n");
    add_test(w, &out, p, clip);
    nj_buffer_text(&out, "<div class=row>\n<div><h2>Facts</h2>\n");
    add_facts(&out, p);
    nj_buffer_text(&out, "</div>\n<div style=\"flex:2 1 520px\"><h2>Light curve</h2>\n");
    nj_plot_curve(&out, p->point, p->n_points);
    nj_buffer_text(&out, "<p class=sub>Open circles: fainter than the template. Triangles: upper "
                         "limits.</p></div>\n</div>\n</html>\n");
    int rc = write_file(w, name, &out, err);
    nj_buffer_free(&out);
    return rc ? rc : remember(w, p, name, err);
}

int nj_hostless_write_index(nj_hostless_writer *w, const nj_hostless_index *about, nj_error *err)
{
    nj_buffer out = { 0 };
    int rc = 0;
    nj_hostless_index_html(&out, style, w->line, w->n, about);
    if (out.failed) rc = nj_fail(err, "out of memory");
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
