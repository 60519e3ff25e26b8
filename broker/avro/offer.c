/* offer.c - what packets of a schema have: the question that comes before a graph is made. */
#include "decoder.h"

#include <stdio.h>
#include <string.h>

const nj_survey_facts *nj_decoder_facts(const nj_decoder *d, uint32_t k, const char **survey)
{
    if (k >= d->n_maps) return NULL;
    *survey = d->map[k]->survey;
    return &d->map[k]->facts;
}

const nj_survey_facts *nj_schema_facts(const nj_schema *schema)
{
    return &schema->map->facts;
}

const char *nj_schema_survey(const nj_schema *schema)
{
    return schema->map->survey;
}
const char *nj_schema_serves(const nj_schema *schema)
{
    return schema->map->serves ? schema->map->serves : schema->map->survey;
}
uint64_t nj_schema_serial(const nj_schema *schema)
{
    return schema->serial;
}
const char *nj_schema_name(const nj_schema *schema)
{
    return schema->name;
}

static int offer_raw(const nj_schema *schema, const char *path, nj_offer *offer)
{
    return strncmp(path, "packet.", 7) ? -1 : nj_plan_offer(&schema->tree, path + 7, offer);
}

int nj_schema_offer(const nj_schema *schema, const char *path, nj_offer *offer, bool *in_map)
{
    const nj_map_column *m = nj_map_find(schema->map, path);
    if (in_map) *in_map = m != NULL;
    if (!m) return offer_raw(schema, path, offer);
    *offer = (nj_offer){ m->type, m->shape, m->unit, false };
    if (m->constant) return 0;
    uint32_t n_parts = m->shape == NJ_SERIES ? schema->map->group[m->group].n_parts : 1;
    for (uint32_t part = 0; part < n_parts; part++)
        for (uint32_t i = 0; i < m->part[part].n; i++) {
            char full[512];
            nj_path found;
            const char *front = m->shape == NJ_SERIES ? schema->map->group[m->group].part[part] : "";
            snprintf(full, sizeof full, "%s%s%s", front, *front ? "." : "",
                     m->part[part].alternative[i].path);
            if (!nj_tree_find(&schema->tree, full, &found)) return 0;
        }
    return -1;
}

int nj_offer_for_graph(const void *schema, const char *path, nj_type *type, nj_shape *shape,
                       const char **unit, bool *in_map)
{
    nj_offer o = { 0 };
    int rc = nj_schema_offer(schema, path, &o, in_map);
    *type = o.type;
    *shape = o.shape;
    *unit = o.unit;
    return rc == 0 && o.mixed ? 1 : rc;
}
