/* maps.c - the survey maps of a run, from the binary and from the user's folder, and which of them a schema
 * belongs to. */
#include "decoder.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/embed.h"
#include "../base/file.h"

static int add_map(nj_decoder *d, const char *where, const char *text, nj_error *err)
{
    char survey[64];
    if (nj_map_amends(text, survey, sizeof survey)) {
        for (uint32_t i = 0; i < d->n_maps; i++)
            if (!strcmp(d->map[i]->survey, survey)) return nj_map_amend(d->map[i], where, text, err);
        return nj_fail(err, "%s: there is no map of a survey '%s' to amend", where, survey);
    }
    nj_map *map = nj_map_read(where, text, err);
    if (!map) return -1;
    for (uint32_t i = 0; i < d->n_maps; i++) {
        if (strcmp(d->map[i]->survey, map->survey)) continue;
        nj_map_free(d->map[i]); /* the user's map instead of the embedded one */
        d->map[i] = map;
        return 0;
    }
    nj_map **more = realloc(d->map, (d->n_maps + 1) * sizeof *more);
    if (!more) {
        nj_map_free(map);
        return nj_fail(err, "out of memory");
    }
    d->map = more;
    d->map[d->n_maps++] = map;
    return 0;
}

static int read_folder(nj_decoder *d, const char *folder, nj_error *err)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort), rc = 0;
    if (n < 0) return nj_fail(err, "[decode] maps: %s: %m", folder);
    for (int i = 0; i < n; i++) {
        char path[4096];
        if (rc == 0 && nj_ends_with(entry[i]->d_name, ".map")) {
            snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
            char *text = nj_file_read(path, NJ_SCHEMA_BYTES, NULL);
            rc = text ? add_map(d, path, text, err) : nj_fail(err, "%s: cannot be read (%m)", path);
            free(text);
        }
        free(entry[i]);
    }
    free(entry);
    return rc;
}

int nj_decoder_read_maps(nj_decoder *d, nj_error *err)
{
    for (const nj_embedded *f = nj_embedded_files; f->name; f++) {
        size_t n = strlen(f->name);
        if (strncmp(f->name, "schemas/", 8) || n < 12 || strcmp(f->name + n - 4, ".map")) continue;
        if (add_map(d, f->name, f->data, err)) return -1;
    }
    return *d->conf.maps ? read_folder(d, d->conf.maps, err) : 0;
}

const nj_map *nj_decoder_map_named(const nj_decoder *d, const char *survey)
{
    for (uint32_t i = 0; i < d->n_maps; i++)
        if (!strcmp(d->map[i]->survey, survey)) return d->map[i];
    return NULL;
}

static bool rule_matches(const nj_map_rule *rule, const nj_tree *tree, const char *name, const char *topic)
{
    nj_path path;
    for (uint32_t i = 0; i < rule->n; i++) {
        switch (rule->kind) {
        case NJ_RULE_NAME:
            if (!fnmatch(rule->word[i], name, 0)) return true;
            break;
        case NJ_RULE_TOPIC:
            if (topic && !fnmatch(rule->word[i], topic, 0)) return true;
            break;
        case NJ_RULE_BOTH: /* the topic, then fields */
            if (!i ? !topic || fnmatch(rule->word[i], topic, 0) : nj_tree_find(tree, rule->word[i], &path))
                return false;
            break;
        case NJ_RULE_FIELDS:
            if (nj_tree_find(tree, rule->word[i], &path)) return false;
            break;
        }
    }
    return rule->kind == NJ_RULE_FIELDS || rule->kind == NJ_RULE_BOTH;
}

/* By the schema's name, then by topic and fields together, then by the topic, then by its fields, then by the
 * setting. */
const nj_map *nj_decoder_choose_map(nj_decoder *d, const nj_tree *tree, const char *name, const char *topic)
{
    const nj_map *merged = nj_decoder_map_merged(d, name);
    if (merged) return merged;
    for (int kind = NJ_RULE_NAME; kind <= NJ_RULE_FIELDS; kind++)
        for (uint32_t i = 0; i < d->n_maps; i++)
            for (uint32_t k = 0; k < d->map[i]->n_rules; k++)
                if ((int)d->map[i]->rule[k].kind == kind &&
                    rule_matches(&d->map[i]->rule[k], tree, name, topic))
                    return d->map[i];
    return *d->conf.survey ? nj_decoder_map_named(d, d->conf.survey) : NULL;
}
