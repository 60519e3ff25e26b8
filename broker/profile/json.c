/* json.c - a profile is also written as JSON, for other programs and for `nightjar compare`. */
#include <math.h>

#include "../base/version.h"
#include "profile.h"

static void key_text(nj_buffer *o, const char *key, const char *value)
{
    nj_buffer_printf(o, "\"%s\":", key);
    nj_json_text(o, value);
    nj_buffer_text(o, ",");
}

static void write_line(const nj_profile *p, const nj_profile_function *f, int k, nj_buffer *o)
{
    const nj_profile_line *l = &f->line[k - f->first];
    double share = f->samples ? (double)l->samples / f->samples : 0;
    nj_buffer_printf(o, "{\"line\":%d,\"hits\":", k);
    if (l->hits == NJ_NOT_A_LINE)
        nj_buffer_text(o, "null");
    else
        nj_buffer_printf(o, "%llu", (unsigned long long)l->hits);
    nj_buffer_printf(o, ",\"samples\":%u,\"time_ns\":", l->samples);
    nj_json_f64(o, f->total_ns * share);
    nj_buffer_text(o, ",\"share\":");
    nj_json_f64(o, share);
    nj_buffer_text(o, ",\"share_sd\":");
    nj_json_f64(o, l->samples ? nj_profile_error(share, f->samples) : NAN);
    nj_buffer_text(o, ",\"share_of_module\":");
    nj_json_f64(o, p->samples ? (double)l->samples / p->samples : 0);
    nj_buffer_text(o, ",\"below\":"); /* 95 %: a line that ran and was in no sample */
    nj_json_f64(o, !l->samples && f->samples && l->hits != NJ_NOT_A_LINE && l->hits
                       ? fmin(1, 3.0 / f->samples)
                       : NAN);
    nj_buffer_text(o, "}");
}

static void write_function(nj_profile *p, const nj_profile_function *f, nj_buffer *o)
{
    nj_buffer_text(o, "{");
    key_text(o, "name", f->name);
    key_text(o, "file", f->file);
    nj_buffer_text(o, "\"share_of_module\":");
    nj_json_f64(o, p->samples ? (double)f->samples / p->samples : 0);
    nj_buffer_printf(o, ",\"first\":%d,\"last\":%d,\"calls\":", f->first, f->last);
    if (f->counted)
        nj_buffer_printf(o, "%llu", (unsigned long long)f->calls);
    else
        nj_buffer_text(o, "null");
    nj_buffer_printf(o, ",\"samples\":%u,\"total_ns\":", f->samples);
    nj_json_f64(o, f->total_ns);
    nj_buffer_text(o, ",\"lines\":[");
    bool any = false;
    for (int k = f->first; k <= f->last; k++) {
        if (f->line[k - f->first].hits == NJ_NOT_A_LINE && !f->line[k - f->first].samples) continue;
        if (any) nj_buffer_text(o, ",");
        write_line(p, f, k, o);
        any = true;
    }
    nj_buffer_text(o, "]}");
}

int nj_profile_json(nj_profile *p, nj_buffer *o, nj_error *err)
{
    const nj_counter *c = &p->count;
    nj_buffer_text(o, "{\"schema_version\":1,\"kind\":\"profile\",\"context\":{");
    key_text(o, "version", nj_version);
    key_text(o, "revision", nj_revision);
    key_text(o, "clock", p->clock);
    key_text(o, "build", p->built);
    nj_buffer_text(o, "\"overhead\":{\"share\":");
    nj_json_f64(o, p->overhead.pairs ? p->overhead.median : NAN);
    nj_buffer_text(o, ",\"low\":");
    nj_json_f64(o, p->overhead.pairs ? p->overhead.low : NAN);
    nj_buffer_text(o, ",\"high\":");
    nj_json_f64(o, p->overhead.pairs ? p->overhead.high : NAN);
    nj_buffer_text(o, ",\"samples_per_cpu_s\":");
    nj_json_f64(o, p->overhead.pairs ? p->overhead.per_cpu_s : NAN);
    nj_buffer_printf(o, ",\"pairs\":%u,", p->overhead.pairs);
    key_text(o, "why_not", p->no_overhead);
    o->n--;
    nj_buffer_printf(o, "},\"threads\":%u,", p->threads);
    key_text(o, "no_hits", p->no_hits);
    key_text(o, "no_lines", p->no_lines);
    nj_buffer_printf(o, "\"input_digest\":\"sha256:%s\"},\"module\":{", p->digest);
    key_text(o, "name", p->instance);
    key_text(o, "version", p->version);
    key_text(o, "source", p->source);
    nj_buffer_printf(o, "\"offered\":%llu,\"passed\":%llu,\"hits\":%llu,\"flagged\":%llu},",
                     (unsigned long long)c->offered, (unsigned long long)c->passed,
                     (unsigned long long)c->hits, (unsigned long long)c->flagged);
    nj_buffer_printf(o,
                     "\"alerts\":%llu,\"rows_per_batch\":%u,\"dead\":%llu,\"replays\":%llu,\"samples\":%u,"
                     "\"unplaced\":%u,\"wall_"
                     "ns\":%lld,\"cpu_ns\":%"
                     "lld,\"span_ns\":",
                     (unsigned long long)p->alerts, p->batch_rows, (unsigned long long)p->dead,
                     (unsigned long long)p->replays, p->samples, p->unplaced, (long long)p->wall_ns,
                     (long long)p->cpu_ns);
    nj_json_f64(o, p->span_ns);
    nj_buffer_text(o, ",\"functions\":[");
    for (uint32_t i = 0; i < p->n_functions; i++) {
        if (i) nj_buffer_text(o, ",\n");
        write_function(p, &p->function[i], o);
    }
    nj_buffer_text(o, "]");
    if (p->energy.tier) nj_footprint_json(p, o);
    if (p->has_counters) nj_counters_json(p, o);
    if (p->has_singly) nj_singly_json(&p->singly, o);
    nj_buffer_text(o, "}\n");
    return o->failed ? nj_fail(err, "out of memory") : 0;
}
