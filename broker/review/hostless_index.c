/* hostless_index.c - a night has hundreds of candidates; the index lists probable ones first and says why
 * others come last. */
#include "hostless_index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/format.h"
#include "../base/template.h"
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

static void put_distance(nj_template_values *v, json_t *list, const nj_hostless_line *l, int k)
{
    json_t *item = nj_template_put(v, list, "name=%s has_d=%d d=%g", k ? "D template" : "D science",
                                   !isnan(l->ks[k]), l->ks[k]);
    json_t *error = nj_template_list(v, item, "error");
    if (!isnan(l->sd[k])) nj_template_put(v, error, "value=%g", l->sd[k] / sqrt(l->repeats));
}

static void put_line(nj_template_values *v, json_t *lines, const nj_hostless_line *l)
{
    const char *class, *words = nj_hostless_badge(l->candidate, l->verdict, &class);
    json_t *line = nj_template_put(
        v, lines,
        "page=%s object=%s candid=%lld badge=%s verdict=%s doubt=%s topics=%s has_mag=%d "
        "mag=%g band=%s has_rb=%d rb=%g lone=%s sign=%s",
        l->page, l->object && *l->object ? l->object : "alert", (long long)l->candid, *l->doubt ? "" : class,
        words, l->doubt, l->topics, !isnan(l->mag), l->mag, l->band, !isnan(l->rb), l->rb, l->lone,
        l->positive == 1   ? "brighter"
        : l->positive == 0 ? "fainter"
                           : "");
    json_t *thumbs = nj_template_list(v, line, "thumbs"), *distances = nj_template_list(v, line, "distances");
    for (int k = 0; k < 3; k++)
        if (l->thumb[k]) nj_template_item(v, thumbs, l->thumb[k]);
    put_distance(v, distances, l, 0);
    put_distance(v, distances, l, 1);
}

/* Empty for 0: the sentence is left out then. */
static const char *unless_none(char text[32], uint64_t v)
{
    return v ? nj_format_grouped(text, v) : "";
}

/* What was read, and why not all of it is in the list. */
static void put_head(nj_template_values *v, const nj_hostless_line *line, uint32_t n,
                     const nj_hostless_index *about)
{
    char read[32], dead[32], filtered[32], candidates[32], verdicts[32], others[32], doubts[32];
    uint32_t n_verdicts = 0, n_doubts = 0, n_candidates = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_candidates += line[i].candidate == 1;
        n_verdicts += line[i].verdict == 1;
        n_doubts += *line[i].doubt != 0;
    }
    nj_template_put(
        v, NULL,
        "title=%s clauses=%s n_read=%s n_dead=%s n_filtered=%s n_candidates=%s n_verdicts=%s n_others=%s "
        "n_doubts=%s",
        about->title, about->clauses, nj_format_grouped(read, about->n_read),
        unless_none(dead, about->n_dead), nj_format_grouped(filtered, about->n_filtered),
        nj_format_grouped(candidates, n_candidates), nj_format_grouped(verdicts, n_verdicts),
        unless_none(others, about->n_others), unless_none(doubts, n_doubts));
}

int nj_hostless_index_html(nj_buffer *out, nj_hostless_line *line, uint32_t n, const nj_hostless_index *about,
                           nj_error *err)
{
    bool topics = false;
    nj_template_values v = nj_template_begin();
    json_t *lines = nj_template_list(&v, NULL, "lines");
    if (n) qsort(line, n, sizeof *line, by_promise);
    for (uint32_t i = 0; i < n; i++) {
        topics = topics || line[i].topics;
        put_line(&v, lines, &line[i]);
    }
    nj_template_put(&v, NULL, "with_topics=%d", topics);
    put_head(&v, line, n, about);
    int rc = nj_template_write("hostless_index.html", &v, out, err);
    nj_template_end(&v);
    return rc;
}
