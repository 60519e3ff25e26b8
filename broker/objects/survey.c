/* survey.c - which columns the packets of merged alerts have: all of the survey's map, whatever its packets
 * of the day lack, so that files of different nights have one schema. */
#include <string.h>

#include "internal.h"

static const char *const identities[] = { "candid", "pid", "rcid", "field", "exposure" };

static uint32_t find(const nj_layout *layout, const char *path)
{
    for (uint32_t i = 0; i < layout->n_packet; i++)
        if (!strcmp(layout->col[i].path, path)) return i;
    return NJ_NO_INDEX;
}

static nj_objects_group *group_of(nj_objects_survey *s, const char *path)
{
    const size_t n = strcspn(path, ".");
    for (uint32_t g = 0; g < s->n_groups; g++)
        if (!strncmp(s->group[g].name, path, n) && !s->group[g].name[n]) return &s->group[g];
    nj_objects_group *g = &s->group[s->n_groups++];
    *g = (nj_objects_group){ .name = nj_arena_text(&s->arena, path, n),
                             .column = nj_arena_alloc(&s->arena, s->layout.n_packet * sizeof *g->column),
                             .jd = NJ_NO_INDEX,
                             .band = NJ_NO_INDEX,
                             .kind = NJ_NO_INDEX };
    g->alerts = g->name && !strcmp(g->name, "alert");
    return g;
}

static void add_to_group(nj_objects_survey *s, uint32_t column)
{
    nj_objects_group *g = group_of(s, s->layout.col[column].path);
    const char *name = strchr(s->layout.col[column].path, '.') + 1;
    if (!g->name || !g->column) return;
    const uint32_t k = g->n++;
    g->column[k] = column;
    if (!strcmp(name, "jd")) g->jd = k;
    if (!strcmp(name, "band")) g->band = k;
    if (!strcmp(name, "kind")) g->kind = k;
    for (size_t i = 0; i < sizeof identities / sizeof *identities; i++)
        if (!strcmp(name, identities[i])) g->identity[g->n_identities++] = k;
}

/* Counted first, then filled: NULL counts. */
static uint32_t list(const nj_decoder *decoder, const char *survey, nj_column_def *to)
{
    nj_known known;
    uint32_t n = 0;
    for (uint32_t k = 0; nj_decoder_known(decoder, k, &known); k++) {
        if (strcmp(known.survey, survey) || known.offer.shape == NJ_IMAGE || nj_merged_find(known.path))
            continue;
        if (to)
            to[n] = (nj_column_def){ known.path, known.offer.type, known.offer.shape, known.offer.unit, 1 };
        n++;
    }
    for (const nj_merged_column *c = nj_merged_columns; c->path; c++, n++)
        if (to) to[n] = (nj_column_def){ c->path, c->type, c->shape, c->unit, 1 };
    return n;
}

nj_objects_survey *nj_objects_survey_new(const nj_decoder *decoder, const char *survey, nj_error *err)
{
    nj_arena arena = { 0 };
    if (strspn(survey, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(survey) ||
        strspn(survey, "0123456789"))
        return nj_fail(err, "the survey '%s' cannot name a record of Avro: letters, digits and _", survey),
               NULL;
    nj_objects_survey *s = nj_arena_zalloc(&arena, sizeof *s);
    const uint32_t n = list(decoder, survey, NULL);
    nj_column_def *def = nj_arena_alloc(&arena, n * sizeof *def);
    nj_objects_group *group = nj_arena_zalloc(&arena, n * sizeof *group);
    if (!s || !def || !group) return nj_arena_free(&arena), nj_fail(err, "out of memory"), NULL;
    list(decoder, survey, def);
    s->arena = arena;
    s->name = nj_arena_text(&s->arena, survey, strlen(survey));
    s->group = group;
    s->layout = (nj_layout){ .survey = s->name, .n_packet = n, .n = n, .col = def, .owner = s };
    const char *name = NULL;
    for (uint32_t k = 0; (s->facts = nj_decoder_facts(decoder, k, &name)) && strcmp(name, survey);) k++;
    for (uint32_t i = 0; i < n; i++)
        if (def[i].shape == NJ_SERIES) add_to_group(s, i);
    s->jd = find(&s->layout, "jd");
    s->object = find(&s->layout, "object");
    s->sso_id = find(&s->layout, "sso_id");
    s->sso_name = find(&s->layout, "sso_name");
    s->sso_dist = find(&s->layout, "sso_dist");
    s->programid = find(&s->layout, "programid");
    if (!s->arena.failed) return s;
    nj_objects_survey_free(s);
    return nj_fail(err, "out of memory"), NULL;
}

void nj_objects_survey_free(nj_objects_survey *s)
{
    if (!s) return;
    nj_arena arena = s->arena; /* it holds itself */
    nj_arena_free(&arena);
}

static void field(nj_buffer *out, const char *name, nj_type type, const char *unit)
{
    static const char *const avro[] = { "", "int", "int", "long", "float", "double", "string" };
    nj_buffer_printf(out, "{\"name\": \"%s\", \"type\": [\"null\", \"%s\"], \"default\": null", name,
                     avro[type]);
    if (unit && strcmp(unit, "1")) {
        nj_buffer_text(out, ", \"unit\": ");
        nj_json_text(out, unit);
    }
    nj_buffer_text(out, "}");
}

void nj_objects_schema(const nj_objects_survey *s, nj_buffer *out)
{
    const char *comma = "";
    nj_buffer_printf(out,
                     "{\"type\": \"record\", \"namespace\": \"" NJ_MERGED_NAMESPACE "\", \"name\": \"%s\", "
                     "\"doc\": \"All alerts of an object, joined by nightjar objects\", \"fields\": [",
                     s->name);
    for (uint32_t i = 0; i < s->layout.n_packet; i++) {
        const nj_column_def *c = &s->layout.col[i];
        if (c->shape != NJ_SCALAR) continue;
        nj_buffer_text(out, comma);
        field(out, c->path, c->type, c->unit);
        comma = ", ";
    }
    for (uint32_t g = 0; g < s->n_groups; g++) {
        nj_buffer_printf(out,
                         "%s{\"name\": \"%s\", \"type\": {\"type\": \"array\", \"items\": {\"type\": "
                         "\"record\", \"name\": \"%s_point\", \"fields\": [",
                         comma, s->group[g].name, s->group[g].name);
        for (uint32_t k = 0; k < s->group[g].n; k++) {
            const nj_column_def *c = &s->layout.col[s->group[g].column[k]];
            if (k) nj_buffer_text(out, ", ");
            field(out, strchr(c->path, '.') + 1, c->type, c->unit);
        }
        nj_buffer_text(out, "]}}}");
        comma = ", ";
    }
    nj_buffer_text(out, "]}");
}
