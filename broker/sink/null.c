/* null.c - a sink that only counts rows, so that a run can be timed without output. */
#include <stdlib.h>

#include "classes.h"

static nj_sink *open_null(const nj_sink_args *args, nj_error *err)
{
    if (*args->target) {
        nj_fail(err, "null:%s: the null sink has no target", args->target);
        return NULL;
    }
    nj_sink *sink = calloc(1, sizeof *sink);
    if (sink)
        sink->class = &nj_sink_null;
    else
        nj_fail(err, "null: out of memory");
    return sink;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    (void)sink, (void)field, (void)n_fields, (void)metadata, (void)err;
    return 0;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    (void)sink, (void)rows, (void)err;
    return 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    (void)sink, (void)err;
    return 0;
}

static int close_null(nj_sink *sink, nj_error *err)
{
    (void)err;
    free(sink);
    return 0;
}

const nj_sink_class nj_sink_null = {
    .scheme = "null",
    .form = "null:",
    .doc = "takes every row and forgets it; the run is still measured and accounted for",
    .open = open_null,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .close = close_null,
};
