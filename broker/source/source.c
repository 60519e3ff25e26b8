#include "source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "classes.h"

/* The first match wins. */
static const nj_source_class *const classes[] = { &nj_source_embedded, &nj_source_kafka,  &nj_source_dead, &nj_source_archive,
                                                  &nj_source_parquet,  &nj_source_folder, &nj_source_file, NULL };

nj_source *nj_source_open(const nj_source_args *args, nj_error *err)
{
    if (!args->spec[0]) {
        nj_fail(err, "a source has an empty name");
        return NULL;
    }
    for (const nj_source_class *const *c = classes; *c; c++)
        if ((*c)->match(args->spec)) return (*c)->open(args, err);
    nj_fail(err, "%s: no kind of source has this form; `nightjar run --help` lists them", args->spec);
    return NULL;
}

int nj_source_is_packet_name(const char *name)
{
    static const char *const ending[] = { ".avro", ".msg", ".datum" };
    const char *slash = strrchr(name, '/');
    const char *dot = strrchr(slash ? slash + 1 : name, '.');
    for (size_t i = 0; dot && i < sizeof ending / sizeof *ending; i++)
        if (!strcmp(dot, ending[i])) return 1;
    return 0;
}

void nj_skipped_add(nj_skipped *skipped, const char *name, int empty)
{
    uint64_t *n = empty ? &skipped->empty : &skipped->other;
    char *first = empty ? skipped->first_empty : skipped->first_other;
    if ((*n)++ == 0) snprintf(first, sizeof skipped->first_empty, "%s", name);
}

void nj_skipped_tell(const nj_skipped *skipped, const nj_source_host *host, const char *source, const char *unit)
{
    char text[1024];
    int n = 0;
    if (skipped->other)
        n += snprintf(text, sizeof text, "%s: passed over %" PRIu64 " %s%s not an alert (%s%s)", source, skipped->other, unit,
                      skipped->other > 1 ? "s" : "", skipped->first_other, skipped->other > 1 ? ", ..." : "");
    if (n >= (int)sizeof text) n = (int)sizeof text - 1;
    if (skipped->empty)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s%" PRIu64 " empty %s%s (%s%s)", n ? ", and " : source,
                      n ? "" : ": passed over ", skipped->empty, unit, skipped->empty > 1 ? "s" : "", skipped->first_empty,
                      skipped->empty > 1 ? ", ..." : "");
    if (n) host->note(host->opaque, text);
}

/* --- a host that only reads --- */

static int nothing_to_drain(void *opaque, nj_stream *stream, int timeout_ms)
{
    (void)opaque, (void)stream, (void)timeout_ms;
    return 0;
}
static void warn(void *opaque, const char *text)
{
    (void)opaque;
    nj_log(NJ_LOG_WARN, "%s", text);
}
static void forget(void *opaque, nj_stream *stream, uint64_t n)
{
    (void)opaque, (void)stream, (void)n;
}

nj_source_host nj_source_reader_host(nj_stream *(*stream)(void *opaque, const char *name, const char *topic, int32_t partition),
                                     void *opaque)
{
    return (nj_source_host){ opaque, stream, nothing_to_drain, warn, forget };
}
