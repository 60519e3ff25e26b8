/* topic_outputs.c - who owns a topic wants its rows and nothing else, with the columns that he reads, and to
 * hear of it when it floods. */
#include "topic_outputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/night.h"
#include "keep.h"
#include "output.h"
#include "topics.h"

enum { FEW = 1000 }; /* alerts of a night from which on a share means something */

/* What one output has of one topic. */
typedef struct topic_output {
    int32_t topic; /* -1: it is one of all rows; -2: of a topic that is gone */
    nj_field *field;
    uint32_t *index; /* into the run's fields */
    uint32_t n;
} topic_output;

typedef struct topics_of_run {
    topic_output *of; /* [n_sinks] */
    uint32_t n;
    double longitude;
    struct cap {
        nj_topic_cap cap;
        const char *text;
        int32_t night;
        uint64_t offered, matches; /* of that night */
        bool said;
    } * cap; /* [n_topics] */
} topics_of_run;

/* ---- fields ---------------------------------------------------------------------------------- */

/* The next column of "mag, lc.mag"; NULL at the end. */
static const char *next_column(run *r, const char **list)
{
    *list += strspn(*list, ", \t\n");
    size_t n = strcspn(*list, ", \t\n");
    const char *word = n ? nj_arena_text(&r->arena, *list, n) : NULL;
    *list += n;
    return word;
}

int nj_flow_topic_fields(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    for (uint32_t i = 0; i < o->n_topics; i++) {
        nj_topic t;
        char label[160];
        if (nj_topic_read(o->settings, o->topic[i].name, &t, err)) return -1;
        snprintf(label, sizeof label, "[topic.%.100s] columns", t.name);
        const char *list = t.columns;
        for (const char *name; (name = next_column(r, &list));)
            if (nj_flow_add_column(r, label, name, err)) return -1;
    }
    return 0;
}

static uint32_t field_of(const run *r, const char *key)
{
    uint32_t k = 0;
    while (k < r->n_fields && strcmp(r->field[k].key, key)) k++;
    return k;
}

static int add_index(topic_output *t, uint32_t index)
{
    for (uint32_t k = 0; k < t->n; k++)
        if (t->index[k] == index) return 0;
    uint32_t *more = realloc(t->index, (t->n + 1) * sizeof *more);
    if (!more) return -1;
    t->index = more;
    t->index[t->n++] = index;
    return 0;
}

/* candid and jd first: they name a row, and the files of a night. */
static int choose_columns(run *r, topic_output *t, uint32_t sink, const char *list, nj_error *err)
{
    static const char *const first[] = { "candid", "jd" };
    int rc = 0;
    if (!*list) return 0;
    for (uint32_t k = 0; k < r->n_shard && r->sink[sink]->class->is_file; k++) rc |= add_index(t, k);
    for (int k = 0; k < 2; k++) rc |= add_index(t, field_of(r, first[k]));
    for (const char *name; (name = next_column(r, &list));) rc |= add_index(t, field_of(r, name));
    t->field = calloc(t->n + 1, sizeof *t->field);
    return rc || !t->field ? nj_fail(err, "out of memory") : 0;
}

int nj_flow_topic_outputs(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    const uint32_t own = o->own_sink ? 1 : 0;
    topics_of_run *all = r->topics = calloc(1, sizeof *all);
    if (all) all->of = calloc(r->n_sinks + 1, sizeof *all->of);
    if (all) all->cap = calloc(r->n_topics + 1, sizeof *all->cap);
    if (!all || !all->of || !all->cap) return nj_fail(err, "out of memory");
    all->n = r->n_sinks;
    all->longitude = -93; /* no site that observes has its noon in its night by it */
    if (r->conf.site[0] && nj_site_parse(r->conf.site, &all->longitude, err)) return -1;
    for (uint32_t i = 0; i < r->n_topics; i++) {
        nj_topic t;
        if (nj_topic_read(o->settings, r->topic[i].name, &t, err)) return -1;
        all->cap[i] = (struct cap){ .cap = t.cap, .text = t.cap_text, .night = NJ_NIGHT_UNKNOWN };
    }
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        topic_output *to = &all->of[i];
        const char *name = o->sink_topic && i >= own && i - own < o->n_sinks ? o->sink_topic[i - own] : NULL;
        nj_topic t;
        to->topic = name ? -2 : -1;
        for (uint32_t k = 0; name && k < r->n_topics; k++)
            if (!strcmp(r->topic[k].name, name)) to->topic = (int32_t)k;
        if (to->topic == -2)
            nj_log(NJ_LOG_WARN, "-o %s: its topic %s is gone, so it gets no rows", o->sink[i - own], name);
        if (to->topic < 0) continue;
        if (nj_topic_read(o->settings, name, &t, err) || choose_columns(r, to, i, t.columns, err)) return -1;
    }
    return 0;
}

void nj_flow_topic_free(run *r)
{
    topics_of_run *all = r->topics;
    for (uint32_t i = 0; all && all->of && i < all->n; i++) {
        free(all->of[i].field);
        free(all->of[i].index);
    }
    if (all) free(all->of);
    if (all) free(all->cap);
    free(all);
}

bool nj_flow_topic_columns(const run *r, uint32_t sink, nj_rows *rows)
{
    const topic_output *t = r->topics ? &r->topics->of[sink] : NULL;
    if (!t || !t->field) return false;
    for (uint32_t k = 0; k < t->n; k++) t->field[k] = r->field[t->index[k]]; /* types are known by now */
    rows->field = t->field;
    rows->n_fields = t->n;
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Is the name among "young,orphans"? */
static bool is_in(const char *names, const char *name)
{
    const size_t n = strlen(name);
    for (; names && *names; names += strcspn(names, ","), names += *names == ',')
        if (strcspn(names, ",") == n && !strncmp(names, name, n)) return true;
    return false;
}

int nj_flow_rows_of(const run *r, uint32_t sink, nj_batch *b, nj_rows *rows)
{
    const topic_output *t = r->topics ? &r->topics->of[sink] : NULL;
    if (!t || t->topic == -1) return nj_flow_shard_columns(r, sink, rows), 0;
    const char *name = t->topic >= 0 ? r->topic[t->topic].name : NULL;
    uint32_t *row = nj_arena_alloc(&b->arena, (rows->n + 1) * sizeof *row), n = 0;
    const char **topics = nj_arena_zalloc(&b->arena, (b->n + 1) * sizeof *topics);
    if (!row || !topics) return -1;
    for (uint32_t k = 0; name && k < rows->n; k++)
        if (rows->topics && is_in(rows->topics[rows->row[k]], name)) {
            row[n++] = rows->row[k];
            topics[rows->row[k]] = name; /* {topic} in the output's name is this one */
        }
    rows->row = row;
    rows->n = n;
    rows->topics = topics;
    if (!t->field || !n) return nj_flow_shard_columns(r, sink, rows), 0;
    nj_col *value = nj_arena_alloc(&b->arena, (t->n + 1) * sizeof *value);
    if (!value) return -1;
    for (uint32_t k = 0; k < t->n; k++) value[k] = rows->value[t->index[k]];
    rows->field = t->field;
    rows->n_fields = t->n;
    rows->value = value;
    return 0;
}

/* ---- counts ---------------------------------------------------------------------------------- */

static void look_at_cap(struct cap *c, const char *name, int32_t night, uint64_t offered, uint64_t matches)
{
    if (c->night != night) *c = (struct cap){ .cap = c->cap, .text = c->text, .night = night };
    c->offered += offered;
    c->matches += matches;
    if (c->said || (!c->cap.n && c->offered < FEW)) return;
    if (!nj_topic_over(&c->cap, c->matches, c->offered)) return;
    c->said = true;
    nj_log(NJ_LOG_WARN, "topic %s: %llu of the %llu alerts of this night match, above its cap of %s", name,
           (unsigned long long)c->matches, (unsigned long long)c->offered, c->text);
}

void nj_flow_topic_count(struct out *o, uint32_t i, const nj_rows *rows, uint64_t matches, int64_t ns)
{
    run *r = o->r;
    topic *t = &r->topic[i];
    const nj_col *jd = &o->value[r->jd_field];
    __atomic_fetch_add(&t->offered, rows->n, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->matches, matches, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->ns, ns, __ATOMIC_RELAXED);
    if (!r->topics || !rows->n || !*r->topics->cap[i].text || !jd->data) return;
    int32_t night = nj_night_of(((const double *)jd->data)[rows->row[0]], r->topics->longitude);
    if (night != NJ_NIGHT_UNKNOWN) look_at_cap(&r->topics->cap[i], t->name, night, rows->n, matches);
}

static const nj_kept_topic *kept_of(const nj_kept_set *set, const char *name)
{
    for (uint32_t k = 0; set && k < set->n_topics; k++)
        if (!strncmp(set->topic[k].name, name, sizeof set->topic[k].name - 1)) return &set->topic[k];
    return NULL;
}

void nj_flow_topic_sums(const run *r, uint32_t i, uint64_t *offered, uint64_t *matches, int64_t *ns)
{
    const topic *t = &r->topic[i];
    const nj_kept_topic *base = kept_of(nj_flow_kept_base(r), t->name);
    *offered = __atomic_load_n(&t->offered, __ATOMIC_RELAXED) + (base ? base->offered : 0);
    *matches = __atomic_load_n(&t->matches, __ATOMIC_RELAXED) + (base ? base->matches : 0);
    *ns = __atomic_load_n(&t->ns, __ATOMIC_RELAXED) + (base ? base->ns : 0);
}

void nj_flow_topic_keep(const run *r, const nj_kept_set *base, nj_kept_set *next)
{
    next->n_topics = 0;
    for (uint32_t k = 0; base && k < base->n_topics; k++) { /* of topics that are gone */
        bool there = false;
        for (uint32_t i = 0; i < r->n_topics; i++)
            there |= kept_of(base, r->topic[i].name) == &base->topic[k];
        if (!there) next->topic[next->n_topics++] = base->topic[k];
    }
    for (uint32_t i = 0; i < r->n_topics && next->n_topics < NJ_KEPT_TOPICS; i++) {
        nj_kept_topic *to = &next->topic[next->n_topics++];
        snprintf(to->name, sizeof to->name, "%s", r->topic[i].name);
        nj_flow_topic_sums(r, i, &to->offered, &to->matches, &to->ns);
    }
}
