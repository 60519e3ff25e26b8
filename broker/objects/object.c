/* object.c - what all alerts of an object say together: the newest one's values, and every point of every
 * series. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sink/ocf.h"
#include "internal.h"

enum { SLOT = 8 };
_Static_assert(sizeof(char *) <= SLOT, "a text's address fits");

int nj_objects_one_open(nj_objects_one *o, const nj_objects_survey *s, uint32_t most_points)
{
    *o = (nj_objects_one){ .survey = s,
                           .joined = calloc(s->n_groups + 1u, sizeof *o->joined),
                           .scalar = calloc(s->layout.n_packet + 1u, SLOT),
                           .most_points = most_points };
    for (uint32_t g = 0; o->joined && g < s->n_groups; g++)
        o->joined[g] = (nj_joined){ .group = &s->group[g], .layout = &s->layout };
    return o->joined && o->scalar ? 0 : -1;
}

void nj_objects_one_close(nj_objects_one *o)
{
    for (uint32_t g = 0; o->joined && g < o->survey->n_groups; g++) nj_joined_free(&o->joined[g]);
    free(o->joined);
    free(o->scalar);
    nj_arena_free(&o->arena);
    nj_arena_free(&o->texts[0]);
    nj_arena_free(&o->texts[1]);
    *o = (nj_objects_one){ 0 };
}

void nj_objects_one_begin(nj_objects_one *o)
{
    for (uint32_t g = 0; g < o->survey->n_groups; g++) o->joined[g].n = o->joined[g].sorted = 0;
    o->n_alerts = 0;
    o->private_program = NJ_NO_I64;
    nj_arena_reset(&o->arena);
}

static void *slot(const nj_objects_one *o, uint32_t column)
{
    return (char *)o->scalar + (size_t)column * SLOT;
}

/* Points of private alerts make the packet a private one. */
static void note_program(nj_objects_one *o)
{
    const nj_survey_facts *facts = o->survey->facts;
    if (o->survey->programid == NJ_NO_INDEX || !facts || !facts->n_programs) return;
    const nj_type type = o->survey->layout.col[o->survey->programid].type;
    const double program = nj_number(type, slot(o, o->survey->programid), 0);
    bool is_public = false;
    for (uint32_t i = 0; i < facts->n_programs; i++) is_public |= program == (double)facts->programs[i];
    if (!is_public) o->private_program = isnan(program) ? NJ_NO_I64 + 1 : (int64_t)program;
}

static int add_alert(nj_joined *j, double jd, int64_t id)
{
    if (nj_joined_room(j, 1)) return -1;
    for (uint32_t k = 0; k < j->group->n; k++) {
        if (k == j->group->jd)
            ((double *)j->value[k])[j->n] = jd;
        else
            ((int64_t *)j->value[k])[j->n] = id;
    }
    j->n++;
    return 0;
}

static int settle(nj_objects_one *o, nj_joined *j, const char *key, uint64_t *repeated)
{
    const uint32_t before = j->n;
    if (nj_joined_settle(j, key)) return -1;
    if (j->group->alerts) *repeated += before - j->n;
    (void)o;
    return 0;
}

int nj_objects_one_add(nj_objects_one *o, double jd, int64_t id, nj_objects_bytes bytes, const char *key,
                       uint64_t *repeated)
{
    const nj_objects_survey *s = o->survey;
    nj_arena_reset(&o->texts[0]);
    for (uint32_t i = 0; i < s->layout.n_packet; i++)
        if (s->layout.col[i].shape == NJ_SCALAR &&
            nj_objects_take_values(&bytes, s->layout.col[i].type, 1, slot(o, i), &o->texts[0]))
            return -1;
    note_program(o);
    o->n_alerts++;
    for (uint32_t g = 0; g < s->n_groups; g++) {
        nj_joined *j = &o->joined[g];
        const uint32_t n = nj_objects_take_count(&bytes);
        if (j->group->jd == NJ_NO_INDEX) j->n = 0; /* nothing orders its points: the newest alert's */
        if (nj_joined_room(j, n)) return -1;
        for (uint32_t k = 0; n && k < j->group->n; k++) {
            const nj_type type = s->layout.col[j->group->column[k]].type;
            if (nj_objects_take_values(&bytes, type, n, (char *)j->value[k] + j->n * nj_type_size(type),
                                       &o->arena))
                return -1;
        }
        j->n += n;
        if (j->group->alerts && !n && add_alert(j, isnan(jd) ? 0 : jd, id)) return -1;
        if (j->group->jd != NJ_NO_INDEX && j->n > 2 * j->sorted + 4096 && settle(o, j, key, repeated))
            return -1;
    }
    return 0;
}

static void put(nj_buffer *out, nj_type type, const void *data, size_t i)
{
    const bool there =
        type == NJ_STR ? ((const char *const *)data)[i] != NULL : !isnan(nj_number(type, data, i));
    nj_ocf_long(out, there);
    if (!there) return;
    switch (type) {
    case NJ_U8: nj_ocf_long(out, ((const uint8_t *)data)[i]); break;
    case NJ_I32: nj_ocf_long(out, ((const int32_t *)data)[i]); break;
    case NJ_I64: nj_ocf_long(out, ((const int64_t *)data)[i]); break;
    case NJ_F32: nj_buffer_add(out, (const float *)data + i, sizeof(float)); break;
    case NJ_F64: nj_buffer_add(out, (const double *)data + i, sizeof(double)); break;
    case NJ_STR: nj_ocf_text(out, ((const char *const *)data)[i]); break;
    }
}

/* What the packet says besides its alerts' own columns. */
static void put_merged(nj_objects_one *o, nj_buffer *out, const char *path, const char *key,
                       const nj_joined *alerts)
{
    const int32_t n = (int32_t)alerts->n;
    const double first = n ? ((const double *)alerts->value[alerts->group->jd])[0] : NAN;
    (void)o;
    if (!strcmp(path, "object_key"))
        put(out, NJ_STR, &key, 0);
    else if (!strcmp(path, "n_alerts"))
        put(out, NJ_I32, &n, 0);
    else
        put(out, NJ_F64, &first, 0);
}

static void put_group(const nj_objects_one *o, const nj_joined *j, const char *key, nj_buffer *out)
{
    nj_objects_series *told = j->group->told;
    const uint32_t from = j->n > o->most_points ? j->n - o->most_points : 0;
    if (told) told->points += j->n - from;
    if (told && from) {
        if (!told->beyond) snprintf(told->first_beyond, sizeof told->first_beyond, "%s", key);
        told->beyond += from;
    }
    if (j->n) nj_ocf_long(out, j->n - from);
    for (uint32_t i = from; i < j->n; i++)
        for (uint32_t k = 0; k < j->group->n; k++)
            put(out, o->survey->layout.col[j->group->column[k]].type, j->value[k], i);
    nj_ocf_long(out, 0);
}

int nj_objects_one_end(nj_objects_one *o, const char *key, nj_buffer *datum, uint64_t *repeated)
{
    const nj_objects_survey *s = o->survey;
    const nj_joined *alerts = NULL;
    for (uint32_t g = 0; g < s->n_groups; g++) {
        if (s->group[g].jd != NJ_NO_INDEX && settle(o, &o->joined[g], key, repeated)) return -1;
        if (s->group[g].alerts) alerts = &o->joined[g];
    }
    if (o->private_program != NJ_NO_I64 && s->layout.col[s->programid].type == NJ_I32)
        *(int32_t *)slot(o, s->programid) =
            o->private_program < INT32_MIN ? NJ_NO_I32 : (int32_t)o->private_program;
    for (uint32_t i = 0; i < s->layout.n_packet; i++) {
        const nj_column_def *c = &s->layout.col[i];
        if (c->shape != NJ_SCALAR) continue;
        if (nj_merged_find(c->path))
            put_merged(o, datum, c->path, key, alerts);
        else
            put(datum, c->type, slot(o, i), 0);
    }
    for (uint32_t g = 0; g < s->n_groups; g++) put_group(o, &o->joined[g], key, datum);
    return datum->failed ? -1 : 0;
}
