/* filter_rows.c - the rows of a batch that the run's clause lets through, and the topics of each. */
#include <string.h>

#include "../base/clock.h"
#include "output.h"
#include "topic_outputs.h"
#include "trace.h"

/* May topics publish the alerts of this programme? */
static bool is_public(const nj_survey_facts *facts, const nj_col *programid, uint32_t row)
{
    if (!facts->n_programs) return true;
    for (uint32_t k = 0; programid->data && k < facts->n_programs; k++)
        if (((const int32_t *)programid->data)[row] == facts->programs[k]) return true;
    return false;
}

/* A clause cannot be answered for this alert: it is a dead letter, and the others continue. */
static void row_fails(void *out_, uint32_t row, const char *why)
{
    out *o = out_;
    const nj_row *from = &o->batch->row[row];
    nj_flow_refuse(o->r, &(nj_dead){ .chunk = from->chunk,
                                     .record = from->record,
                                     .bytes = from->datum,
                                     .size = from->size,
                                     .reason = why,
                                     .module = "filter" });
}

/* The names of a row's topics with commas between; hit: a bit for each topic. NULL: memory is short. */
static const char *join_names(const run *r, const uint64_t *hit, nj_arena *arena)
{
    size_t size = 0;
    uint32_t n = 0, last = 0;
    for (uint32_t t = 0; t < r->n_topics; t++)
        if (hit[t / 64] >> t % 64 & 1) size += strlen(r->topic[t].name) + 1, n++, last = t;
    if (n == 1) return r->topic[last].name;
    char *text = nj_arena_alloc(arena, size), *at = text;
    for (uint32_t t = 0; text && t <= last; t++) {
        if (!(hit[t / 64] >> t % 64 & 1)) continue;
        at = stpcpy(at, r->topic[t].name);
        *at++ = t < last ? ',' : 0;
    }
    return text;
}

int nj_flow_filter_rows(out *o, const survey *s, nj_batch *b, nj_rows *rows, uint8_t *outcome)
{
    run *r = o->r;
    nj_error err = { "" };
    nj_light_curve lc = nj_flow_light_curve(r, s, b);
    if (r->filter) {
        if (nj_flow_guard_ask(r->filter, rows, &lc, o->pass, row_fails, o, &err))
            return nj_flow_sink_fails(r, &err), -1;
        for (uint32_t k = 0; k < rows->n; k++)
            if (!o->pass[k] && outcome[rows->row[k]] == ROW_EMIT) outcome[rows->row[k]] = ROW_FILTERED;
        if (r->trace) nj_flow_trace_filter(o, "-w", "", rows, NULL);
    }
    if (!r->n_topics) return 0;
    const size_t words = (r->n_topics + 63) / 64;
    const char **names = nj_arena_zalloc(&b->arena, (b->n + 1) * sizeof *names);
    uint64_t *hits = nj_arena_zalloc(&b->arena, (b->n + 1) * words * sizeof *hits);
    const nj_col *programid = &o->value[r->programid_field];
    if (!names || !hits) return -1;
    for (uint32_t t = 0; t < r->n_topics; t++) {
        topic *asked = &r->topic[t];
        const int64_t from = nj_now_ns();
        uint64_t matches = 0;
        if (nj_flow_guard_ask(asked->filter, rows, &lc, o->pass, row_fails, o, &err))
            return nj_flow_sink_fails(r, &err), -1;
        const int64_t ns = nj_now_ns() - from;
        bool *shown = r->trace ? nj_arena_zalloc(&b->arena, b->n + 1) : NULL;
        for (uint32_t k = 0; k < rows->n; k++) {
            uint32_t i = rows->row[k];
            if (!o->pass[k] || (!r->conf.private_topics && !is_public(s->facts, programid, i))) continue;
            if (shown) shown[i] = true;
            matches++;
            names[i] = asked->name;
            hits[i * words + t / 64] |= UINT64_C(1) << t % 64;
        }
        nj_flow_topic_count(o, t, rows, matches, ns);
        if (shown) nj_flow_trace_filter(o, "topic", asked->name, rows, shown);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (outcome[i] == ROW_EMIT && !names[i]) outcome[i] = ROW_FILTERED;
        if (names[i] && !(names[i] = join_names(r, &hits[i * words], &b->arena))) return -1;
    }
    rows->topics = names;
    o->value[r->topics_field].data = names;
    return 0;
}
