/* topics_find.c - a clause is trusted when one has seen what it matches: one run over alerts with all topics
 * and an output that counts, so that the answers are those of a run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/exit.h"
#include "../base/scratch.h"
#include "../batch/cell.h"
#include "../query/filter.h"
#include "topics.h"

static const char EVERY[] = "nj_every_alert"; /* a topic besides those of the file, which takes all */

typedef struct counts {
    nj_sink base; /* first */
    const nj_run_options *o;
    nj_topics_found *found;
    nj_topic_look *look;
    uint32_t n_looks;
    const nj_field *field;
    uint32_t n_fields, rb, roid;
    uint8_t *in; /* [n_topics] */
} counts;

static uint32_t field_of(const counts *c, const char *key)
{
    for (uint32_t i = 0; i < c->n_fields; i++)
        if (!strcmp(c->field[i].key, key)) return i;
    return UINT32_MAX;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    counts *c = (counts *)sink;
    (void)metadata, (void)err;
    c->field = field;
    c->n_fields = n_fields;
    c->rb = field_of(c, "rb");
    c->roid = field_of(c, "roid.roid");
    return 0;
}

/* Which topics "young,orphans,nj_every_alert" names. */
static void parse(counts *c, const char *names)
{
    const uint32_t n = c->found->n_topics;
    memset(c->in, 0, n);
    for (uint32_t next = 0; names && *names; names += strcspn(names, ","), names += *names == ',') {
        size_t length = strcspn(names, ",");
        for (uint32_t t = next; t < n; t++) /* they come in this order */
            if (!strncmp(c->o->topic[t].name, names, length) && !c->o->topic[t].name[length]) {
                c->in[t] = 1;
                next = t + 1;
                break;
            }
    }
}

static double number(const counts *c, const nj_rows *rows, uint32_t field, uint32_t row)
{
    if (field == UINT32_MAX) return NAN;
    nj_cell cell = nj_cell_get(&c->field[field], rows->value[field].data, row);
    return cell.kind == NJ_CELL_REAL ? cell.f : cell.kind == NJ_CELL_INT ? (double)cell.i : NAN;
}

static void count(nj_topic_tally *t, int64_t id, double rb, double roid)
{
    if (t->n_ids < NJ_TOPIC_IDS) t->id[t->n_ids++] = id;
    t->n++;
    t->n_rb += !isnan(rb);
    t->n_low_rb += rb < 0.5;
    t->n_roid += !isnan(roid);
    t->n_moving += roid >= 2; /* a candidate of roid, or a known one */
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    counts *c = (counts *)sink;
    nj_topics_found *f = c->found;
    const uint32_t n = f->n_topics;
    (void)err;
    for (uint32_t k = 0; k < rows->n; k++) {
        uint32_t i = rows->row[k];
        int64_t id = rows->batch->id[i];
        double rb = number(c, rows, c->rb, i), roid = number(c, rows, c->roid, i);
        parse(c, rows->topics ? rows->topics[i] : NULL);
        count(&f->of[n], id, rb, roid);
        for (uint32_t a = 0; a < n; a++) {
            if (!c->in[a]) continue;
            count(&f->of[a], id, rb, roid);
            for (uint32_t b = 0; b < n; b++) f->both[a * n + b] += c->in[b];
        }
        for (uint32_t l = 0; l < c->n_looks; l++) {
            if (c->look[l].id != id) continue;
            c->look[l].seen = true;
            for (uint32_t a = 0; a < n; a++) c->look[l].in[a] |= c->in[a];
        }
    }
    return 0;
}

static int nothing(nj_sink *sink, nj_error *err)
{
    (void)sink, (void)err;
    return 0;
}

static const nj_sink_class class = { .scheme = "topics",
                                     .form = "topics:",
                                     .doc = "counts what topics match",
                                     .begin = begin,
                                     .write = write_rows,
                                     .flush = nothing,
                                     .close = nothing };

/* ---- the modules that the clauses read ------------------------------------------------------- */

static bool has_section(const nj_settings *s, const char *name, size_t n)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *section = s->item[i].section;
        if (!strncmp(section, "module.", 7) && !strncmp(section + 7, name, n) && !section[7 + n]) return true;
    }
    return false;
}

static bool is_listed(const char *list, const char *name, size_t n)
{
    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == n && !strncmp(list, name, n)) return true;
    return false;
}

/* roid, which says what moves, and whatever a column of a clause begins with. */
static int modules_of(const nj_cli *cli, nj_buffer *list, nj_error *err)
{
    static const char *const others[] = { "lc", "fp", "packet", "alert", "nd" };
    nj_buffer_text(list, "roid");
    for (uint32_t t = 0; t < cli->options.n_topics; t++) {
        char **name, label[160], section[160];
        size_t n;
        snprintf(section, sizeof section, "topic.%.100s", cli->topic[t].name);
        const char *where = cli->topic[t].where
                                ? cli->topic[t].where
                                : nj_settings_get((nj_settings *)&cli->settings, section, "where");
        snprintf(label, sizeof label, "-t %.100s", cli->topic[t].name);
        if (!where) continue; /* the run says it */
        if (nj_filter_names(label, where, &name, &n, err)) return -1;
        for (size_t i = 0; i < n; i++) {
            size_t length = strcspn(name[i], ".");
            bool other = !name[i][length];
            for (size_t k = 0; k < sizeof others / sizeof *others; k++)
                other |= strlen(others[k]) == length && !strncmp(others[k], name[i], length);
            if (!other || (name[i][length] && has_section(&cli->settings, name[i], length)))
                if (!is_listed(list->data, name[i], length))
                    nj_buffer_printf(list, ",%.*s", (int)length, name[i]);
        }
        free(name);
    }
    return list->failed ? nj_fail(err, "out of memory") : 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

static int make_room(counts *c, uint32_t n)
{
    c->found->n_topics = n;
    c->found->of = calloc(n + 1, sizeof *c->found->of);
    c->found->both = calloc((size_t)n * n + 1, sizeof *c->found->both);
    c->in = calloc(n + 1, 1);
    return c->found->of && c->found->both && c->in ? 0 : -1;
}

int nj_topics_find(nj_cli *cli, const char *const *source, uint32_t n_sources, nj_topic_look *look,
                   uint32_t n_looks, nj_topics_found *found, nj_error *err)
{
    const uint32_t n = cli->options.n_topics;
    nj_run_options o = cli->options;
    counts c = { .base.class = &class, .o = &o, .found = found, .look = look, .n_looks = n_looks };
    nj_topic_option *topic = calloc(n + 1, sizeof *topic);
    nj_buffer select = { 0 };
    nj_report report = { 0 };
    char folder[256] = "", letters[280];
    int rc = -1;
    *found = (nj_topics_found){ 0 };
    if (!topic || make_room(&c, n)) {
        nj_fail(err, "out of memory");
        goto done;
    }
    if (n) memcpy(topic, o.topic, n * sizeof *topic);
    topic[n] = (nj_topic_option){ EVERY, "1" };
    if (!o.select && modules_of(cli, &select, err)) goto done;
    if (nj_scratch_make(folder, sizeof folder, NULL, "topics", err)) goto done;
    snprintf(letters, sizeof letters, "%s/letters", folder);
    o.topic = topic;
    o.n_topics = n + 1;
    if (!o.select) o.select = select.data;
    o.source = source;
    o.n_sources = n_sources;
    o.n_sinks = 0;
    o.sink_topic = NULL;
    o.own_sink = &c.base;
    o.dead_letters = letters;
    o.mode = NJ_SINK_OVERWRITE;
    o.stop = nj_stop_flag();
    rc = nj_run(&o, &report, err) == NJ_EXIT_OK ? 0 : -1;
    if (rc && !err->text[0]) nj_fail(err, "interrupted");
    found->n_dead = report.ledger.dead;
    found->n_filtered = report.ledger.filtered;
    for (uint32_t t = 0; t <= n && t < report.n_topics; t++)
        if (report.topic[t].offered)
            found->of[t].clause_us = (double)report.topic[t].ns / 1e3 / (double)report.topic[t].offered;
done:
    if (folder[0]) nj_scratch_remove(folder);
    nj_report_free(&report);
    nj_buffer_free(&select);
    free(topic);
    free(c.in);
    return rc;
}

void nj_topics_found_free(nj_topics_found *found)
{
    free(found->of);
    free(found->both);
    *found = (nj_topics_found){ 0 };
}
