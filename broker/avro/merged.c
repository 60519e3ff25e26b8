/* merged.c - packets that were made of all alerts of an object (broker/objects) have the survey's columns
 * under their own names: their map follows from the survey's. */
#include "decoder.h"

#include <stdlib.h>
#include <string.h>

const nj_merged_column nj_merged_columns[] = {
    { "object_key", NJ_STR, NJ_SCALAR, "1" },     { "n_alerts", NJ_I32, NJ_SCALAR, "1" },
    { "first_alert_jd", NJ_F64, NJ_SCALAR, "d" }, { "alert.candid", NJ_I64, NJ_SERIES, "1" },
    { "alert.jd", NJ_F64, NJ_SERIES, "d" },       { NULL }
};

const nj_merged_column *nj_merged_find(const char *path)
{
    for (const nj_merged_column *c = nj_merged_columns; c->path; c++)
        if (!strcmp(c->path, path)) return c;
    return NULL;
}

/* The group of a series column, made at its first one. */
static int group_of(nj_map *map, const char *path)
{
    const size_t n = strcspn(path, ".");
    uint32_t g = 0;
    while (g < map->n_groups && (strncmp(map->group[g].name, path, n) || map->group[g].name[n])) g++;
    if (g == map->n_groups) {
        map->group[g].name = nj_arena_text(&map->arena, path, n);
        map->group[g].part[0] = nj_arena_printf(&map->arena, "%.*s[]", (int)n, path);
        map->group[g].n_parts = 1;
        map->n_groups++;
    }
    return (int)g;
}

static void add(nj_map *map, const char *path, nj_type type, nj_shape shape, const char *unit,
                const char *constant)
{
    nj_map_column *c = &map->column[map->n_columns++];
    *c = (nj_map_column){ .name = path,
                          .unit = unit,
                          .type = type,
                          .shape = shape,
                          .group = NJ_MAP_NO_GROUP,
                          .constant = constant,
                          .change = { .scale = 1 } };
    if (shape == NJ_SERIES) c->group = (uint8_t)group_of(map, path);
    c->part[0].n = 1;
    c->part[0].alternative[0].path = shape == NJ_SERIES ? strchr(path, '.') + 1 : path;
}

static nj_map *make(const nj_map *of)
{
    nj_map *map = calloc(1, sizeof *map);
    uint32_t n = of->n_columns;
    for (const nj_merged_column *c = nj_merged_columns; c->path; c++) n++;
    if (!map) return NULL;
    map->survey = of->survey;
    map->serves = of->serves;
    map->facts = of->facts;
    map->group = calloc(of->n_groups + 1u, sizeof *map->group);
    map->column = calloc(n, sizeof *map->column);
    map->name = calloc(n + 1u, sizeof *map->name);
    if (!map->group || !map->column || !map->name) return nj_map_free(map), NULL;
    for (uint32_t i = 0; i < of->n_columns; i++) {
        const nj_map_column *c = &of->column[i];
        if (c->shape != NJ_IMAGE) add(map, c->name, c->type, c->shape, c->unit, c->constant);
    }
    for (const nj_merged_column *c = nj_merged_columns; c->path; c++)
        if (!nj_map_find(of, c->path)) add(map, c->path, c->type, c->shape, c->unit, NULL);
    for (uint32_t i = 0; i < map->n_columns; i++) map->name[i] = map->column[i].name;
    if (!map->arena.failed) return map;
    nj_map_free(map);
    return NULL;
}

const nj_map *nj_decoder_map_merged(nj_decoder *d, const char *name)
{
    const size_t n = sizeof NJ_MERGED_NAMESPACE; /* its end is the dot */
    if (strncmp(name, NJ_MERGED_NAMESPACE ".", n)) return NULL;
    const nj_map *of = nj_decoder_map_named(d, name + n), *found = NULL;
    if (!of) return NULL;
    pthread_mutex_lock(&d->lock);
    if (!d->merged) d->merged = calloc(d->n_maps, sizeof *d->merged);
    for (uint32_t i = 0; d->merged && i < d->n_maps; i++)
        if (d->map[i] == of) found = d->merged[i] ? d->merged[i] : (d->merged[i] = make(of));
    pthread_mutex_unlock(&d->lock);
    return found;
}

void nj_decoder_free_merged(nj_decoder *d)
{
    for (uint32_t i = 0; d->merged && i < d->n_maps; i++) nj_map_free(d->merged[i]);
    free(d->merged);
}
