/* account.c - what became of the alerts and points that were joined, in sentences and as JSON. */
#include "objects.h"

#include "../base/json.h"

static void say_series(const nj_objects_series *s, nj_buffer *out)
{
    nj_buffer_printf(out, "objects: %s %s: %llu points; %llu told again", s->survey, s->name,
                     (unsigned long long)s->points, (unsigned long long)s->repeated);
    if (s->differing)
        nj_buffer_printf(out,
                         ", %llu of them with other values, so that the newest alert's stand (first: %s)",
                         (unsigned long long)s->differing, s->first_differing);
    if (s->untimed)
        nj_buffer_printf(out, "; %llu without a time were left out", (unsigned long long)s->untimed);
    if (s->beyond)
        nj_buffer_printf(out,
                         "; %llu were left out, older than the newest [decode] max_items of an object "
                         "(first: %s)",
                         (unsigned long long)s->beyond, s->first_beyond);
    nj_buffer_text(out, "\n");
}

void nj_objects_say(const nj_objects_account *a, bool by_sso, nj_buffer *out)
{
    nj_buffer_printf(out, "objects: %llu alerts read: %llu of %llu %s", (unsigned long long)a->read,
                     (unsigned long long)a->merged, (unsigned long long)a->objects,
                     by_sso ? "solar system objects" : "objects");
    if (a->keyless) nj_buffer_printf(out, "; %llu of none", (unsigned long long)a->keyless);
    if (a->far) nj_buffer_printf(out, "; %llu beyond --sso-radius of one", (unsigned long long)a->far);
    if (a->repeated) nj_buffer_printf(out, "; %llu that had come before", (unsigned long long)a->repeated);
    if (a->dead) nj_buffer_printf(out, "; %llu dead letters", (unsigned long long)a->dead);
    nj_buffer_text(out, "\n");
    if (a->untimed)
        nj_buffer_printf(out, "objects: %llu alerts without a time count as the oldest\n",
                         (unsigned long long)a->untimed);
    for (uint32_t i = 0; i < a->n_series; i++)
        if (a->series[i].points || a->series[i].untimed) say_series(&a->series[i], out);
    if (*a->unmerged)
        nj_buffer_printf(out, "objects: %s: series without times, of the newest alert alone\n", a->unmerged);
}

void nj_objects_json(const nj_objects_account *a, bool by_sso, nj_buffer *out)
{
    nj_json writer = nj_json_begin_line(out), *j = &writer;
    nj_json_put(j, "by=%s", by_sso ? "sso" : "object");
    nj_json_count(j, "read", a->read);
    nj_json_count(j, "merged", a->merged);
    nj_json_count(j, "of_none", a->keyless);
    nj_json_count(j, "beyond_sso_radius", a->far);
    nj_json_count(j, "repeated", a->repeated);
    nj_json_count(j, "dead", a->dead);
    nj_json_count(j, "untimed", a->untimed);
    nj_json_count(j, "objects", a->objects);
    nj_json_count(j, "sorted_runs", a->runs);
    nj_json_open(j, "series", '[');
    for (uint32_t i = 0; i < a->n_series; i++) {
        const nj_objects_series *s = &a->series[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "survey=%s name=%s", s->survey, s->name);
        nj_json_count(j, "points", s->points);
        nj_json_count(j, "repeated", s->repeated);
        nj_json_count(j, "differing", s->differing);
        nj_json_string(j, "first_differing", *s->first_differing ? s->first_differing : NULL);
        nj_json_count(j, "untimed", s->untimed);
        nj_json_count(j, "beyond", s->beyond);
        nj_json_string(j, "first_beyond", *s->first_beyond ? s->first_beyond : NULL);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_string(j, "without_times", *a->unmerged ? a->unmerged : NULL);
    nj_json_end(j);
}
