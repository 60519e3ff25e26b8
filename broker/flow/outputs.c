/* outputs.c - the outputs of a run are opened and closed here, with the provenance that goes into them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../base/night.h"
#include "../base/output.h"
#include "../base/version.h"
#include "../graph/services.h"
#include "resume.h"
#include "nightjar/sky.h"

int nj_flow_keep_standard_output(const nj_run_options *o, nj_error *err)
{
    const char *first = NULL;
    for (uint32_t i = 0; i < o->n_sinks; i++) {
        const char *target = strchr(o->sink[i], ':');
        if (!target || !nj_output_is_shared(target + 1)) continue;
        if (first) return nj_fail(err, "-o %s: standard output has the rows of -o %s", o->sink[i], first);
        first = o->sink[i];
    }
    if (first && nj_output_take(err)) return -1;
    return 0;
}

/* --eos: rows and offsets in one transaction, when one Kafka has both. */
static int find_eos(run *r, nj_error *err)
{
    nj_sink *sink = NULL;
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        if (!r->sink[i]->transactional) continue;
        if (sink) return nj_fail(err, "--eos: one Kafka sink at most: two transactions may end differently");
        sink = r->sink[i];
    }
    if (!sink) return nj_fail(err, "--eos: there is no Kafka sink (-o kafka://HOST:PORT/TOPIC)");
    nj_source *s = r->n_sources == 1 ? r->source[0] : NULL;
    const char *cluster = s && s->class->cluster ? s->class->cluster(s) : NULL;
    if (cluster && sink->cluster && !strcmp(cluster, sink->cluster)) {
        s->class->hand_over(s);
        r->output.eos_source = s;
        return 0;
    }
    nj_log(NJ_LOG_WARN,
           "--eos: %s, so rows come in transactions, but those of the last one may come twice after a crash",
           r->n_sources > 1         ? "there is more than one source"
           : s && s->class->cluster ? "source and sink are not in the same Kafka cluster"
                                    : "the source is no Kafka");
    return 0;
}

const char *nj_flow_whose(run *r)
{
    const nj_run_options *o = r->options;
    char folder[4096];
    const char *text = nj_arena_printf(&r->arena, "%s", getcwd(folder, sizeof folder) ? folder : "");
    for (uint32_t i = 0; text && i < o->n_sinks; i++)
        text = nj_arena_printf(&r->arena, "%s\n%s", text, o->sink[i]);
    return text;
}

int nj_flow_sinks_open(run *r, nj_error *err)
{
    const nj_run_options *o = r->options;
    double longitude = 0;
    if (r->conf.site[0] && nj_site_parse(r->conf.site, &longitude, err)) return -1;
    r->sink = calloc(o->n_sinks + 2, sizeof *r->sink);
    if (!r->sink) return nj_fail(err, "out of memory");
    if (o->own_sink) r->sink[r->n_sinks++] = o->own_sink;
    for (uint32_t i = 0; i < (o->n_sinks ? o->n_sinks : !o->own_sink); i++) {
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(o->sink[i], o->sink[k])) return nj_fail(err, "-o %s: is given twice", o->sink[i]);
        nj_sink_args args = { .mode = o->mode,
                              .disk = r->conf.durable,
                              .settings = o->settings,
                              .run = r->resume->run,
                              .configuration = r->resume->configuration,
                              .mark = nj_flow_mark(r, r->n_sinks),
                              .whose = nj_flow_whose(r),
                              .known = nj_flow_mark_known(r, r->n_sinks),
                              .refuse = nj_flow_refuse,
                              .refuse_opaque = r,
                              .eos = o->eos,
                              .site = r->conf.site[0] != 0,
                              .longitude = longitude,
                              .topics = r->n_topics > 0,
                              .open_files = (uint32_t)r->conf.open_files };
        nj_sink *sink = nj_sink_open(o->n_sinks ? o->sink[i] : "null:", &args, err);
        if (!sink) return -1;
        r->sink[r->n_sinks++] = sink;
        r->output.at_commit |= sink->class->at_commit;
    }
    if (o->eos && find_eos(r, err)) return -1;
    r->output.time = calloc(r->n_sinks + 1, sizeof *r->output.time);
    if (!r->output.time) return nj_fail(err, "out of memory");
    r->output.n_times = r->n_sinks + 1;
    if (!r->conf.durable)
        nj_log(NJ_LOG_WARN, "[run] durable = 0: a power cut loses alerts that are acknowledged already");
    return 0;
}

const char *nj_flow_output_name(const run *r, uint32_t i)
{
    const nj_run_options *o = r->options;
    if (i + 1 >= r->output.n_times) return "dead letters";
    if (o->own_sink && i == 0) return "(the caller's)";
    return o->n_sinks ? o->sink[i - (o->own_sink ? 1 : 0)] : "null:";
}

int nj_flow_sinks_close(run *r, nj_error *err)
{
    int rc = 0;
    nj_error e;
    if (r->n_sinks) nj_debug(NJ_DEBUG_SINK, "%u outputs are closed", r->n_sinks);
    for (uint32_t i = 0; i < r->n_sinks; i++)
        if (r->sink[i]->class->close(r->sink[i], &e) && rc == 0) {
            *err = e;
            rc = -1;
        }
    r->n_sinks = 0;
    nj_dead_letters *dead = r->output.dead;
    r->output.dead = NULL;
    if (dead) r->output.has_dead = nj_dead_letters_count(dead) > 0;
    if (dead && nj_dead_letters_close(dead, &e) && rc == 0) {
        *err = e;
        rc = -1;
    }
    return rc;
}

typedef struct metadata_list {
    run *r;
    nj_metadata *m; /* ends with an empty one */
    uint32_t n, cap;
    bool failed;
} metadata_list;

/* A key of two parts, and its value. */
static void add_metadata(metadata_list *list, const char *kind, const char *name, const char *value)
{
    if (list->n + 1 >= list->cap) { /* the smaller list stays in the arena, unused */
        uint32_t cap = list->cap ? 2 * list->cap : 128;
        nj_metadata *more = nj_arena_zalloc(&list->r->arena, cap * sizeof *more);
        if (!more) {
            list->failed = true;
            return;
        }
        if (list->n) memcpy(more, list->m, list->n * sizeof *more);
        list->m = more;
        list->cap = cap;
    }
    nj_metadata item = { nj_arena_printf(&list->r->arena, "%s%s", kind, name),
                         nj_arena_text(&list->r->arena, value, strlen(value)) };
    if (!item.key || !item.value)
        list->failed = true;
    else
        list->m[list->n++] = item;
}

static void add_catalog_hash(void *opaque, const nj_sky_served *s)
{
    const char *slash = strrchr(s->path, '/');
    add_metadata(opaque, "catalog.", slash ? slash + 1 : s->path, s->hash);
}

/* What jd is in each survey, as the maps say. */
static void add_times(metadata_list *list)
{
    nj_buffer scale = { 0 }, moment = { 0 };
    const nj_survey_facts *facts;
    const char *name;
    for (uint32_t k = 0; (facts = nj_decoder_facts(list->r->engine.decoder, k, &name)) != NULL; k++) {
        if (!facts->has_time) continue;
        nj_buffer_printf(&scale, "%s %s %s", scale.n ? "," : "jd as published:", name, facts->scale);
        nj_buffer_printf(&moment, "%s %s %s", moment.n ? "," : "jd as published:", name, facts->moment);
    }
    if (scale.failed || moment.failed) list->failed = true;
    if (scale.n) add_metadata(list, "time_", "scale", scale.data);
    if (moment.n) add_metadata(list, "time_", "ref", moment.data);
    nj_buffer_free(&scale);
    nj_buffer_free(&moment);
}

int nj_flow_metadata(run *r)
{
    char text[256];
    metadata_list list = { .r = r };
    snprintf(text, sizeof text, "%s (%s)", nj_version, nj_revision);
    add_metadata(&list, "nightjar.", "version", text);
    add_times(&list);
    for (uint32_t i = 0; i < r->engine.instances.n; i++) {
        const nj_instance *in = &r->engine.instances.item[i];
        snprintf(text, sizeof text, "%s %s", in->module->name, in->module->version);
        if (in->wanted) add_metadata(&list, "module.", in->name, text);
    }
    for (uint32_t i = 0; i < r->engine.instances.n_files; i++)
        add_metadata(&list, "file.", r->engine.instances.file[i].name, r->engine.instances.file[i].sha256);
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    if (sky) sky->served(add_catalog_hash, &list); /* as they stand at the start; a swap is in the report */
    r->metadata = list.m;
    return list.failed ? -1 : 0;
}
