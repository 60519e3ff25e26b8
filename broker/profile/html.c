/* html.c - a profile as one page: no script, no network, dark and light; this fills
 * data/embed/pages/profile.html. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/version.h"
#include "profile.h"

static const double table_share = 0.01; /* functions of other files are listed from this share
                                         * of the module on */

/* Where a function was: "FILE:LINE". */
static void place_of(char text[512], const nj_profile_function *f)
{
    if (*f->file)
        snprintf(text, 512, "%s:%d", nj_profile_path(f->file), f->first);
    else
        strcpy(text, "(no lines)");
}

static void put_line(nj_template_values *v, json_t *lines, const nj_profile *p, const nj_profile_function *f,
                     int k, const char *text)
{
    const nj_profile_line *l = &f->line[k - f->first];
    const double share = f->samples ? (double)l->samples / f->samples : 0,
                 time = f->total_ns * share / 1e9 / p->show.unit_s;
    const uint64_t hits = l->hits != NJ_NOT_A_LINE ? l->hits : 0;
    nj_template_put(
        v, lines,
        "heat=%g line=%d hits=%llu timed=%u time=%g per_hit=%g percent=%g error=%g of_module=%g text=%s",
        0.7 * share, k, (unsigned long long)hits, l->samples, time, time / (double)hits, 100 * share,
        100 * nj_profile_error(share, f->samples), 100.0 * l->samples / p->samples, text);
}

static bool has_rare(const nj_profile_function *f)
{
    for (int k = 0; k <= f->last - f->first; k++)
        if (f->line[k].hits != NJ_NOT_A_LINE && f->line[k].hits && !f->line[k].samples) return true;
    return false;
}

/* The table of a function's lines. */
static void put_source(nj_template_values *v, json_t *sources, nj_profile *p, const nj_profile_function *f,
                       uint32_t number)
{
    uint32_t n = 0;
    const char **text = nj_profile_text(&p->arena, f->file, &n);
    uint64_t placed = 0;
    json_t *source =
        nj_template_put(v, sources, "number=%u name=%s percent=%g file=%s first=%d seconds=%g counted=%d",
                        number, f->name, p->samples ? 100.0 * f->samples / p->samples : 0,
                        nj_profile_path(f->file), f->first, f->total_ns / 1e9, f->counted);
    json_t *lines = nj_template_list(v, source, "lines");
    for (int k = f->first; k <= f->last; k++) {
        placed += f->line[k - f->first].samples;
        put_line(v, lines, p, f, k, text && (uint32_t)k <= n ? text[k] : "");
    }
    nj_template_put(v, source, "elsewhere=%g rare=%g",
                    placed < f->samples ? 100.0 * (double)(f->samples - placed) / f->samples : 0,
                    f->samples && has_rare(f) ? fmin(100, 300.0 / f->samples) : 0);
}

static int slowest_first(const void *a, const void *b)
{
    const nj_profile_function *x = *(nj_profile_function *const *)a, *y = *(nj_profile_function *const *)b;
    return (x->samples < y->samples) - (x->samples > y->samples);
}

static void put_header(nj_template_values *v, const nj_profile *p)
{
    const nj_counter *c = &p->count;
    const nj_profile_overhead *o = &p->overhead;
    nj_template_put(v, NULL,
                    "instance=%s version=%s offered=%llu passed=%llu hits=%llu flagged=%llu cpu_us=%g",
                    p->instance, p->version, (unsigned long long)c->offered, (unsigned long long)c->passed,
                    (unsigned long long)c->hits, (unsigned long long)c->flagged, p->cpu_ns_per_alert / 1e3);
    char digest[17];
    snprintf(digest, sizeof digest, "%.16s", p->digest);
    nj_template_put(v, NULL, "alerts=%llu cut=%d dead=%llu digest=%s replays=%llu threads=%u several=%d",
                    (unsigned long long)p->alerts, p->cut, (unsigned long long)p->dead, digest,
                    (unsigned long long)p->replays, p->threads, p->threads != 1);
    nj_template_put(v, NULL,
                    "clock=%s samples=%u unplaced=%u wall_s=%g cpu_s=%g unit_s=%g built=%s nightjar=%s",
                    p->clock, p->samples, p->unplaced, (double)p->wall_ns / 1e9, (double)p->cpu_ns / 1e9,
                    p->show.unit_s, p->built ? p->built : "unknown", nj_version);
    nj_template_put(v, NULL, "no_hits=%s no_lines=%s no_overhead=%s", p->no_hits, p->no_lines,
                    p->no_overhead ? p->no_overhead : "not measured");
    json_t *overhead = nj_template_list(v, NULL, "overhead");
    if (o->pairs)
        nj_template_put(v, overhead, "median=%g low=%g high=%g khz=%g each_us=%g pairs=%u", 100 * o->median,
                        100 * o->low, 100 * o->high, o->per_cpu_s / 1e3, 1e6 * o->median / o->per_cpu_s,
                        o->pairs);
}

static void put_functions(nj_template_values *v, const nj_profile *p, nj_profile_function *const *list,
                          uint32_t n)
{
    json_t *functions = nj_template_list(v, NULL, "functions");
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < n; i++) {
        const nj_profile_function *f = list[i];
        char place[512];
        if (!f->counted && f->samples < table_share * p->samples) {
            left_out++;
            continue;
        }
        place_of(place, f);
        nj_template_put(v, functions,
                        "seconds=%g percent=%g counted=%d calls=%llu table=%d number=%u name=%s file=%s",
                        f->total_ns / 1e9, 100.0 * f->samples / p->samples, f->counted,
                        (unsigned long long)f->calls, nj_profile_has_table(p, f), i, f->name, place);
    }
    nj_template_put(v, NULL, "left_out=%u least_percent=%g", left_out, 100 * table_share);
}

int nj_profile_html(nj_profile *p, nj_buffer *out, nj_error *err)
{
    nj_profile_function **list = calloc(p->n_functions + 1, sizeof *list);
    uint32_t n = 0;
    if (!list) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < p->n_functions; i++)
        if (p->function[i].samples) list[n++] = &p->function[i];
    qsort(list, n, sizeof *list, slowest_first);
    nj_template_values v = nj_template_begin();
    put_header(&v, p);
    nj_flame_put(&v, nj_template_object(&v, NULL, "flame"), p);
    put_functions(&v, p, list, n);
    nj_footprint_put(&v, nj_template_list(&v, NULL, "energy"), p);
    nj_counters_put(&v, nj_template_list(&v, NULL, "counters"), p);
    nj_energy_pass_put(&v, nj_template_list(&v, NULL, "energy_ab"), &p->energy_ab);
    nj_scaling_put(&v, nj_template_list(&v, NULL, "scaling"), p);
    json_t *singly = nj_template_list(&v, NULL, "singly"), *sources = nj_template_list(&v, NULL, "sources");
    if (p->has_singly) nj_singly_put(&v, singly, &p->singly);
    for (uint32_t i = 0; i < n; i++)
        if (nj_profile_has_table(p, list[i])) put_source(&v, sources, p, list[i], i);
    const int rc = nj_template_write("profile.html", &v, out, err);
    nj_template_end(&v);
    free(list);
    return rc;
}
