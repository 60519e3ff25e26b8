/* bench_file.c - two commands read bench files; both must find the same times in them. */
#include "bench_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../base/log.h"

static void leave(nj_bench_left *left, const char *name, const char *why)
{
    size_t n = strlen(left->which);
    left->n++;
    if (n < sizeof left->which / 2)
        snprintf(left->which + n, sizeof left->which - n, "%s'%.150s' (%s)", n ? ", " : "", name, why);
    else if (!nj_ends_with(left->which, "..."))
        snprintf(left->which + n, sizeof left->which - n, ", ...");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

/* NAN: no such unit. Google Benchmark leaves the key out of files of its first versions: ns. */
static double unit_ns(const json_t *b)
{
    const char *unit = text_of(b, "time_unit");
    return !*unit || !strcmp(unit, "ns") ? 1
           : !strcmp(unit, "us")         ? 1e3
           : !strcmp(unit, "ms")         ? 1e6
           : !strcmp(unit, "s")          ? 1e9
                                         : NAN;
}

static int is_time(const json_t *v)
{
    double x = json_number_value(v);
    return json_is_number(v) && isfinite(x) && x >= 0;
}

/* In the older format an aggregate is known by its name alone. */
static int is_aggregate(const json_t *b)
{
    const char *type = text_of(b, "run_type"), *name = text_of(b, "name");
    if (*type) return !strcmp(type, "aggregate");
    return nj_ends_with(name, "_mean") || nj_ends_with(name, "_median") || nj_ends_with(name, "_stddev") ||
           nj_ends_with(name, "_cv") || nj_ends_with(name, "_BigO") || nj_ends_with(name, "_RMS");
}

/* The benchmark that an entry belongs to. */
static size_t stem(const char *name, const json_t *b)
{
    const char *run = text_of(b, "run_name");
    if (*run && !strncmp(name, run, strlen(run))) return strlen(run);
    const char *last = is_aggregate(b) ? strrchr(name, '_') : NULL;
    return last ? (size_t)(last - name) : strlen(name);
}

/* How well an entry stands for its benchmark: its runs themselves, else their median, else their mean;
 * 0: not at all. */
static int worth(const json_t *b)
{
    const char *name = text_of(b, "name");
    return !is_aggregate(b) ? 3 : nj_ends_with(name, "_median") ? 2 : nj_ends_with(name, "_mean") ? 1 : 0;
}

/* Is there another entry of this benchmark that says more? */
static int has_better(const json_t *benchmarks, const json_t *aggregate)
{
    const char *name = text_of(aggregate, "name");
    size_t i, n = stem(name, aggregate);
    const json_t *b;
    json_array_foreach((json_t *)benchmarks, i, b)
    {
        const char *other = text_of(b, "name");
        if (worth(b) > worth(aggregate) && stem(other, b) == n && !strncmp(other, name, n)) return 1;
    }
    return 0;
}

static int take_google(const json_t *benchmarks, const json_t *b, nj_bench_take take, void *opaque,
                       nj_bench_left *left)
{
    const char *name = text_of(b, "name");
    const json_t *cpu = json_object_get(b, "cpu_time"), *real = json_object_get(b, "real_time");
    size_t n = stem(name, b);
    char run[256];
    if (json_is_true(json_object_get(b, "error_occurred")))
        return leave(left, name, "it ended in an error"), 0;
    if (json_is_true(json_object_get(b, "skipped"))) return leave(left, name, "it was skipped"), 0;
    if (is_aggregate(b) && has_better(benchmarks, b)) return 0;
    if (!worth(b)) return leave(left, name, "of aggregates only median and mean are taken"), 0;
    if (n >= sizeof run) return leave(left, name, "its name is too long"), 0;
    snprintf(run, sizeof run, "%.*s", (int)n, name);
    const json_t *time =
        (nj_ends_with(run, "/real_time") || nj_ends_with(run, "/manual_time") || !cpu) && real ? real : cpu;
    double unit = unit_ns(b);
    if (isnan(unit)) return leave(left, name, "its time_unit is not ns, us, ms or s"), 0;
    if (!is_time(time))
        return leave(left, name, time ? "its time is no number of 0 or more" : "it has no time"), 0;
    return take(opaque, run, unit * json_number_value(time));
}

static int take_samples(const char *name, const json_t *samples, nj_bench_take take, void *opaque,
                        nj_bench_left *left)
{
    size_t k;
    const json_t *v;
    if (!json_array_size(samples)) leave(left, name, "its samples are none");
    json_array_foreach((json_t *)samples, k, v)
    {
        if (!is_time(v))
            leave(left, name, "a sample is no number of 0 or more");
        else if (take(opaque, name, json_number_value(v)))
            return -1;
    }
    return 0;
}

int nj_bench_times(const json_t *benchmarks, nj_bench_take take, void *opaque, nj_bench_left *left)
{
    size_t i;
    const json_t *b;
    *left = (nj_bench_left){ 0 };
    json_array_foreach((json_t *)benchmarks, i, b)
    {
        const char *name = text_of(b, "name");
        const json_t *samples = json_object_get(b, "samples");
        int rc = 0;
        if (!*name)
            leave(left, "(an entry)", "it has no name");
        else if (samples)
            rc = take_samples(name, samples, take, opaque, left);
        else
            rc = take_google(benchmarks, b, take, opaque, left);
        if (rc) return rc;
    }
    return 0;
}

void nj_bench_report_left(const char *file, const nj_bench_left *left)
{
    if (left->n) nj_log(NJ_LOG_WARN, "%s: %u entries not taken: %s", file, left->n, left->which);
}

json_t *nj_json_read(const char *path, char **text, nj_error *err)
{
    json_error_t why;
    size_t n = 0;
    char *bytes = nj_file_read(path, (size_t)1 << 30, &n);
    json_t *root = NULL;
    if (!bytes) return nj_fail(err, "%s: cannot be read (%s)", path, strerror(errno)), NULL;
    const char *first = bytes + strspn(bytes, " \t\r\n");
    if (!n)
        nj_fail(err, "%s: it is empty", path);
    else if (*first != '{' && *first != '[')
        nj_fail(err, "%s: it is no JSON, so neither a run report nor a bench file", path);
    else if (!(root = json_loadb(bytes, n, 0, &why)))
        nj_fail(err, "%s: its JSON is damaged: %s (line %d)", path, why.text, why.line);
    if (root && text)
        *text = bytes;
    else
        free(bytes);
    return root;
}
