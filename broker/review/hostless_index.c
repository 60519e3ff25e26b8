/* hostless_index.c - a night has hundreds of candidates; the index lists probable ones first and says why
 * others come last. */
#include "hostless_index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostless_words.h"

int nj_hostless_line_make(nj_hostless_line *l, const nj_hostless_page *p, const char *name,
                          char *const thumb[3])
{
    *l = (nj_hostless_line){ .candid = p->candid,
                             .candidate = p->candidate,
                             .verdict = p->verdict,
                             .positive = p->positive,
                             .ks = { p->ks[0], p->ks[1] },
                             .sd = { p->sd[0], p->sd[1] },
                             .mag = p->mag,
                             .rb = p->rb,
                             .repeats = p->repeats,
                             .excess = INFINITY };
    if (!isnan(p->ks[0]) && !isnan(p->ks[1]))
        l->excess = fmax(p->ks[0] / p->limit[0], p->ks[1] / p->limit[1]);
    l->object = p->object ? strdup(p->object) : NULL;
    l->topics = p->topics ? strdup(p->topics) : NULL;
    if ((p->object && !l->object) || (p->topics && !l->topics)) {
        nj_hostless_line_free(l);
        return -1;
    }
    for (int k = 0; k < 3; k++) l->thumb[k] = thumb[k];
    snprintf(l->page, sizeof l->page, "%s", name);
    snprintf(l->band, sizeof l->band, "%s", p->band ? p->band : "");
    snprintf(l->lone, sizeof l->lone, "%s", p->lone ? p->lone : "");
    nj_hostless_doubt(p, l->doubt, sizeof l->doubt);
    return 0;
}

void nj_hostless_line_free(nj_hostless_line *l)
{
    free(l->object);
    free(l->topics);
    for (int k = 0; k < 3; k++) free(l->thumb[k]);
}

const char *nj_hostless_badge(int candidate, int verdict, const char **class)
{
    *class = verdict == 1 ? "yes" : candidate == 1 ? "maybe" : "";
    return verdict == 1     ? "passes both limits"
           : candidate == 1 ? "lone source, beyond a limit"
           : candidate == 0 ? "not a candidate"
                            : "no answer";
}

static int by_promise(const void *a, const void *b)
{
    const nj_hostless_line *x = a, *y = b;
    if (!*x->doubt != !*y->doubt) return *x->doubt ? 1 : -1;
    if (x->verdict != y->verdict) return y->verdict - x->verdict;
    if (x->candidate != y->candidate) return y->candidate - x->candidate;
    if (x->excess != y->excess) return x->excess < y->excess ? -1 : 1;
    if (x->mag != y->mag && !isnan(x->mag) && !isnan(y->mag)) return x->mag < y->mag ? -1 : 1;
    if (x->candid != y->candid) return x->candid < y->candid ? -1 : 1;
    return strcmp(x->page, y->page);
}

/* A cell; on a narrow screen, where there is no head, its name stands before it. */
static void begin_cell(nj_buffer *out, const char *name, bool number)
{
    nj_buffer_printf(out, "<td%s><span class=name>%s</span>", number ? " class=n" : "", name);
}

static void add_distance(nj_buffer *out, const nj_hostless_line *l, int k)
{
    if (isnan(l->ks[k])) {
        nj_buffer_text(out, "<td class=\"n empty\">&ndash;</td>");
        return;
    }
    begin_cell(out, k ? "D template" : "D science", true);
    nj_buffer_printf(out, "%.3f", l->ks[k]);
    if (!isnan(l->sd[k])) nj_buffer_printf(out, " &plusmn; %.3f", l->sd[k] / sqrt(l->repeats));
    nj_buffer_text(out, "</td>");
}

static void add_line(nj_buffer *out, const nj_hostless_line *l, bool topics)
{
    const char *class, *words = nj_hostless_badge(l->candidate, l->verdict, &class);
    nj_buffer_printf(out, "<tr%s><td class=\"wide long\"><a href=%s>", *l->doubt ? " class=doubt" : "",
                     l->page);
    nj_markup_text(out, l->object && *l->object ? l->object : "alert");
    nj_buffer_printf(out, "</a><br><span class=id>%lld</span></td><td class=\"wide thumbs\">",
                     (long long)l->candid);
    for (int k = 0; k < 3; k++)
        if (l->thumb[k]) nj_buffer_printf(out, "<img class=thumb alt=\"\" src=\"%s\"> ", l->thumb[k]);
    nj_buffer_printf(out, "</td><td class=wide><span class=\"badge %s\">%s</span>", *l->doubt ? "" : class,
                     words);
    if (*l->doubt) {
        nj_buffer_text(out, "<br><span class=why>");
        nj_markup_text(out, l->doubt);
        nj_buffer_text(out, "</span>");
    }
    nj_buffer_text(out, "</td>");
    if (topics) {
        nj_buffer_text(out, "<td class=\"wide long\">");
        nj_markup_text(out, l->topics);
        nj_buffer_text(out, "</td>");
    }
    if (isnan(l->mag)) {
        nj_buffer_text(out, "<td class=\"n empty\">&ndash;</td>");
    } else {
        begin_cell(out, "mag", true);
        nj_buffer_printf(out, "%.2f ", l->mag);
        nj_markup_text(out, l->band);
        nj_buffer_text(out, "</td>");
    }
    if (isnan(l->rb)) {
        nj_buffer_text(out, "<td class=\"n empty\">&ndash;</td>");
    } else {
        begin_cell(out, "rb", true);
        nj_buffer_printf(out, "%.2f</td>", l->rb);
    }
    add_distance(out, l, 0);
    add_distance(out, l, 1);
    if (*l->lone) {
        begin_cell(out, "source in", false);
        nj_markup_text(out, l->lone);
        nj_buffer_text(out, "</td>");
    } else {
        nj_buffer_text(out, "<td class=empty></td>");
    }
    nj_buffer_printf(out, "<td>%s</td></tr>\n",
                     l->positive == 1   ? "brighter"
                     : l->positive == 0 ? "fainter"
                                        : "");
}

static const char *thousands(uint64_t v, char text[32])
{
    char plain[24];
    int n = snprintf(plain, sizeof plain, "%llu", (unsigned long long)v), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[at++] = ',';
        text[at++] = plain[i];
    }
    text[at] = 0;
    return text;
}

/* What was read, and why not all of it is in the list. */
static void add_head(nj_buffer *out, const nj_hostless_line *line, uint32_t n, const nj_hostless_index *about)
{
    char text[32];
    uint32_t n_verdicts = 0, n_doubts = 0, n_candidates = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_candidates += line[i].candidate == 1;
        n_verdicts += line[i].verdict == 1;
        n_doubts += *line[i].doubt != 0;
    }
    nj_markup_text(out, about->title);
    nj_buffer_printf(out, ": %s alerts", thousands(about->n_read, text));
    if (about->n_dead)
        nj_buffer_printf(out, " and %s that could not be read", thousands(about->n_dead, text));
    if (about->clauses && *about->clauses) {
        nj_buffer_printf(out, ", of which %s do not pass <code>", thousands(about->n_filtered, text));
        nj_markup_text(out, about->clauses);
        nj_buffer_text(out, "</code>");
    }
    nj_buffer_printf(out, ". %s have a source in one stamp alone", thousands(n_candidates, text));
    nj_buffer_printf(out, ", %s of these pass both limits.", thousands(n_verdicts, text));
    if (about->n_others)
        nj_buffer_printf(out, " %s others are no candidates and have no page (<code>--all</code>).",
                         thousands(about->n_others, text));
    nj_buffer_text(out, "</p>\n<p class=sub>Sorted by verdict, D against its limit, magnitude. D is small "
                        "when a stamp looks like "
                        "its own shuffled pixels, that is, like noise: no host.");
    if (n_doubts)
        nj_buffer_printf(out, " Asteroids and rb below 0.55 are last, in grey: %s.",
                         thousands(n_doubts, text));
    nj_buffer_text(out, " A verdict is no discovery: look at the reasons against.</p>\n");
}

void nj_hostless_index_html(nj_buffer *out, const char *style, nj_hostless_line *line, uint32_t n,
                            const nj_hostless_index *about)
{
    bool topics = false;
    if (n) qsort(line, n, sizeof *line, by_promise);
    for (uint32_t i = 0; i < n; i++) topics = topics || line[i].topics;
    nj_buffer_text(out, "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
                        "content=\"width=device-width,initial-scale=1\"><title>Hostless: ");
    nj_markup_text(out, about->title);
    nj_buffer_printf(out, "</title>\n%s<h1>Hostless candidates</h1>\n<p class=sub>", style);
    add_head(out, line, n, about);
    nj_buffer_printf(out,
                     "<table class=list><thead><tr><th>object<th>science, template, "
                     "difference<th>verdict%s<th>mag<th>rb<th>D "
                     "science<th>D template<th>source in<th>difference</tr></thead><tbody>\n",
                     topics ? "<th>topics" : "");
    for (uint32_t i = 0; i < n; i++) add_line(out, &line[i], topics);
    nj_buffer_printf(out, "</tbody></table>\n%s</html>\n", n ? "" : "<p class=none>No alert to show.</p>\n");
}
