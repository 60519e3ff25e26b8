/* json.c - a profile is also written as JSON, for other programs and for `nightjar compare`. */
#include <math.h>

#include "../base/version.h"
#include "profile.h"

/* null where a count is not known */
static void count(nj_json *j, const char *name, bool known, uint64_t value)
{
    if (known)
        nj_json_count(j, name, value);
    else
        nj_json_raw(j, name, "null", 4);
}

static void write_line(const nj_profile *p, const nj_profile_function *f, int k, nj_json *j)
{
    const nj_profile_line *l = &f->line[k - f->first];
    const bool is_line = l->hits != NJ_NOT_A_LINE;
    double share = f->samples ? (double)l->samples / f->samples : 0;
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "line=%d", k);
    count(j, "hits", is_line, l->hits);
    nj_json_put(j, "samples=%u time_ns=%g share=%g share_sd=%g share_of_module=%g", l->samples,
                f->total_ns * share, share, l->samples ? nj_profile_error(share, f->samples) : NAN,
                p->samples ? (double)l->samples / p->samples : 0);
    /* 95 %: a line that ran and was in no sample */
    nj_json_put(j, "below=%g",
                !l->samples && f->samples && is_line && l->hits ? fmin(1, 3.0 / f->samples) : NAN);
    nj_json_close(j);
}

static void write_function(const nj_profile *p, const nj_profile_function *f, nj_json *j)
{
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "name=%s file=%s share_of_module=%g first=%d last=%d", f->name, f->file,
                p->samples ? (double)f->samples / p->samples : 0, f->first, f->last);
    count(j, "calls", f->counted, f->calls);
    nj_json_put(j, "samples=%u total_ns=%g", f->samples, f->total_ns);
    nj_json_open(j, "lines", '[');
    for (int k = f->first; k <= f->last; k++)
        if (f->line[k - f->first].hits != NJ_NOT_A_LINE || f->line[k - f->first].samples)
            write_line(p, f, k, j);
    nj_json_close(j);
    nj_json_close(j);
}

static void write_context(const nj_profile *p, nj_json *j)
{
    const nj_profile_overhead *o = &p->overhead;
    char digest[80];
    snprintf(digest, sizeof digest, "sha256:%s", p->digest);
    nj_json_open(j, "context", '{');
    nj_json_put(j, "version=%s revision=%s clock=%s build=%s", nj_version, nj_revision, p->clock, p->built);
    nj_json_open(j, "overhead", '{');
    nj_json_put(j, "share=%g low=%g high=%g samples_per_cpu_s=%g pairs=%u why_not=%s",
                o->pairs ? o->median : NAN, o->pairs ? o->low : NAN, o->pairs ? o->high : NAN,
                o->pairs ? o->per_cpu_s : NAN, o->pairs, p->no_overhead);
    nj_json_close(j);
    nj_json_put(j, "threads=%u no_hits=%s no_lines=%s input_digest=%s", p->threads, p->no_hits, p->no_lines,
                digest);
    nj_json_close(j);
}

int nj_profile_json(nj_profile *p, nj_buffer *out, nj_error *err)
{
    const nj_counter *c = &p->count;
    nj_json writer = nj_json_begin(out, '{'), *j = &writer;
    nj_json_put(j, "schema_version=%d kind=%s", 1, "profile");
    write_context(p, j);
    nj_json_open(j, "module", '{');
    nj_json_put(j, "name=%s version=%s source=%s offered=%llu passed=%llu hits=%llu flagged=%llu",
                p->instance, p->version, p->source, (unsigned long long)c->offered,
                (unsigned long long)c->passed, (unsigned long long)c->hits, (unsigned long long)c->flagged);
    nj_json_close(j);
    nj_json_put(j,
                "alerts=%llu rows_per_batch=%u dead=%llu replays=%llu samples=%u unplaced=%u wall_ns=%lld "
                "cpu_ns=%lld span_ns=%g",
                (unsigned long long)p->alerts, p->batch_rows, (unsigned long long)p->dead,
                (unsigned long long)p->replays, p->samples, p->unplaced, (long long)p->wall_ns,
                (long long)p->cpu_ns, p->span_ns);
    nj_json_open(j, "functions", '[');
    for (uint32_t i = 0; i < p->n_functions; i++) write_function(p, &p->function[i], j);
    nj_json_close(j);
    if (p->energy.tier) nj_footprint_json(p, j);
    if (p->has_counters) nj_counters_json(p, j);
    if (p->has_singly) nj_singly_json(&p->singly, j);
    if (p->energy_ab.tier[0]) nj_energy_pass_json(&p->energy_ab, j);
    if (p->has_scaling) nj_scaling_json(p, j);
    nj_json_end(j);
    return out->failed ? nj_fail(err, "out of memory") : 0;
}
