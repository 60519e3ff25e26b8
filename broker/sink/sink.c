/* sink.c - `-o KIND:TARGET` is looked up here, so that a new sink is one row in a table. */
#include "sink.h"

#include <stdio.h>
#include <string.h>

#include "../base/debug.h"
#include "classes.h"
#include "rolled.h"

const nj_sink_class *const nj_sink_classes[] = {
    &nj_sink_ndjson,  &nj_sink_csv,           &nj_sink_avro,
    &nj_sink_sqlite,  &nj_sink_fits,          &nj_sink_parquet,
    &nj_sink_hats,    &nj_sink_packets,       &nj_sink_archive,
    &nj_sink_kafka,   &nj_sink_kafka_packets, &nj_sink_kafka_skyportal,
    &nj_sink_webhook, &nj_sink_null,          NULL
};

static int unknown(const char *spec, const char *scheme, nj_error *err)
{
    const char *name[16];
    char list[240] = "";
    size_t n = 0;
    for (; nj_sink_classes[n] && n < 16; n++) {
        name[n] = nj_sink_classes[n]->scheme;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "", name[n]);
    }
    if (!scheme) {
        /* out.ndjson instead of ndjson:out.ndjson */
        const char *dot = strrchr(spec, '.');
        for (size_t i = 0; dot && i < n; i++)
            if (!strcmp(dot + 1, name[i]))
                return nj_fail(err, "-o %s: its target is missing: -o %s:%s", spec, name[i], spec);
        return nj_fail(err, "-o %s: expected SINK:TARGET, where SINK is one of %s", spec, list);
    }
    const char *near = nj_nearest(scheme, name, n);
    return nj_fail(err, "-o %s: there is no sink '%s'; %s%s%sthere are %s", spec, scheme,
                   near ? "did you mean '" : "", near ? near : "", near ? "'? " : "", list);
}

const char *nj_sink_path(const char *spec)
{
    const char *path = strchr(spec, ':');
    if (!path || !strcmp(path, ":-") || !strncmp(path, ":/dev/", 6)) return NULL;
    for (size_t i = 0; nj_sink_classes[i]; i++)
        if (nj_sink_classes[i]->is_file &&
            !strncmp(nj_sink_classes[i]->scheme, spec, (size_t)(path - spec)) &&
            !nj_sink_classes[i]->scheme[path - spec])
            return path + 1;
    return NULL;
}

static const nj_sink_class *class_of(const char *spec, const char **target)
{
    const char *colon = strchr(spec, ':');
    for (size_t i = 0; colon && nj_sink_classes[i]; i++) {
        const char *scheme = nj_sink_classes[i]->scheme;
        if (strlen(scheme) != (size_t)(colon - spec) || strncmp(scheme, spec, strlen(scheme))) continue;
        *target = colon + 1;
        return nj_sink_classes[i];
    }
    return NULL;
}

const nj_sink_class *nj_sink_class_of(const char *spec)
{
    const char *target;
    return class_of(spec, &target);
}

static bool is_rolled(const nj_sink_class *class, const char *target)
{
    return class->is_file && (nj_rolled_is(target) || (class->ending && nj_rolled_is_folder(target)));
}

int nj_sink_look(const char *spec, nj_mark *mark, nj_error *err)
{
    const char *target;
    const nj_sink_class *class = nj_sink_path(spec) ? class_of(spec, &target) : NULL;
    *mark = (nj_mark){ .kind = NJ_MARK_NONE };
    if (class && is_rolled(class, target)) return nj_rolled_look(class, target, mark, err);
    return class && class->look ? class->look(target, mark, err) : 0;
}

bool nj_sink_refuse_row(const nj_sink_args *args, const nj_rows *rows, uint32_t k, const char *module,
                        const char *why)
{
    if (!args->refuse || !rows->batch) return false;
    const nj_row *row = &rows->batch->row[rows->row[k]];
    args->refuse(args->refuse_opaque, &(nj_dead){ .chunk = row->chunk,
                                                  .record = row->record,
                                                  .bytes = row->datum,
                                                  .size = row->size,
                                                  .reason = why,
                                                  .module = module });
    return true;
}

nj_sink *nj_sink_open(const char *spec, const nj_sink_args *args, nj_error *err)
{
    const char *colon = strchr(spec, ':');
    size_t n = colon ? (size_t)(colon - spec) : 0;
    char scheme[32] = "";
    if (!colon || n >= sizeof scheme) {
        unknown(spec, NULL, err);
        return NULL;
    }
    memcpy(scheme, spec, n);
    for (size_t i = 0; nj_sink_classes[i]; i++) {
        if (strcmp(nj_sink_classes[i]->scheme, scheme)) continue;
        nj_settings none = { 0 };
        nj_sink_args own = *args;
        if (!own.settings) own.settings = &none; /* a sink copies what it keeps */
        own.scheme = nj_sink_classes[i]->scheme;
        own.target = strncmp(colon + 1, "//", 2) == 0 && !strncmp(scheme, "kafka", 5) ? colon + 3 : colon + 1;
        nj_debug(NJ_DEBUG_SINK, "%s: an output of kind %s", spec, scheme);
        if (is_rolled(nj_sink_classes[i], own.target)) {
            own.settings = args->settings;
            return nj_rolled_open(nj_sink_classes[i], &own, err);
        }
        return nj_sink_classes[i]->open(&own, err);
    }
    unknown(spec, scheme, err);
    return NULL;
}
