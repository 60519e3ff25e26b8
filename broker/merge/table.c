/* table.c - rows of FITS and Parquet outputs go from column to column through the sinks, which know how a
 * file of their kind is made. */
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sink/file.h"

typedef struct in {
    nj_merge_table table; /* first */
    bool fits;
} in;

typedef struct out {
    nj_sink *sink;
    nj_settings settings;
    nj_col *value; /* of the present row */
    uint32_t n;
    bool created;
} out;

static void close_in(nj_merge_shard *s)
{
    in *t = s->state;
    if (!t) return;
    (t->fits ? nj_merge_fits_close : nj_merge_parquet_close)(&t->table);
    nj_arena_free(&t->table.arena);
    nj_arena_free(&t->table.rows);
    free(t);
    s->state = NULL;
}

static int open_in(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state = calloc(1, sizeof *t);
    if (!t) return nj_fail(err, "out of memory");
    t->fits = nj_merge_kind_of(s->path, err) == NJ_MERGE_FITS;
    if ((t->fits ? nj_merge_fits_open : nj_merge_parquet_open)(&t->table, s->path, err)) return -1;
    const nj_merge_table *table = &t->table;
    if (table->n_fields < 3 || strcmp(table->field[0].key, "shard.part") != 0 ||
        table->field[0].type != NJ_I64 || strcmp(table->field[1].key, "shard.record") != 0 ||
        table->field[1].type != NJ_I64)
        return nj_fail(err, "%s: its rows have no place in the night", s->path);
    return 0;
}

static int next(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state;
    nj_merge_table *table = &t->table;
    if (table->in_hand) table->at++;
    if (table->at >= table->in_hand) {
        nj_arena_reset(&table->rows);
        table->at = 0;
        if ((t->fits ? nj_merge_fits_fill : nj_merge_parquet_fill)(table, s->path, err)) return -1;
    }
    s->over = table->in_hand == 0;
    if (s->over) return 0;
    s->part = ((const int64_t *)table->value[0].data)[table->at];
    s->record = ((const int64_t *)table->value[1].data)[table->at];
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* "setting sink.fits.text_width = 32": as the shards were written. */
static int read_settings(nj_settings *settings, const char *lines, nj_error *err)
{
    static const char begins[] = "setting sink.";
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
        char line[512], *equals, *dot;
        if (strncmp(lines, begins, sizeof begins - 1) != 0 || end - lines >= (long)sizeof line) continue;
        snprintf(line, sizeof line, "%.*s", (int)(end - lines), lines);
        char *name = line + strlen("setting ");
        if (!(equals = strstr(name, " = "))) continue;
        *equals = 0;
        if (!(dot = strrchr(name, '.'))) continue;
        *dot = 0;
        if (nj_settings_set(settings, name, dot + 1, equals + 3, "the shards' settings"))
            return nj_fail(err, "out of memory");
    }
    return 0;
}

static bool same_fields(const nj_merge_table *a, const nj_merge_table *b)
{
    if (a->n_fields != b->n_fields) return false;
    for (uint32_t f = 0; f < a->n_fields; f++)
        if (strcmp(a->field[f].key, b->field[f].key) != 0 || a->field[f].type != b->field[f].type ||
            a->field[f].width != b->field[f].width)
            return false;
    return true;
}

static int begin(nj_merge_out *o, nj_merge_set *set, nj_error *err)
{
    out *t = o->state = calloc(1, sizeof *t);
    const in *first = set->shard[0].state;
    char spec[4300];
    if (!t) return nj_fail(err, "out of memory");
    for (uint32_t i = 1; i < set->n; i++)
        if (!same_fields(&first->table, &((const in *)set->shard[i].state)->table))
            return nj_fail(err, "%s and %s have other columns", set->shard[0].path, set->shard[i].path);
    t->n = first->table.n_fields - 2;
    t->value = calloc(t->n, sizeof *t->value);
    if (!t->value) return nj_fail(err, "out of memory");
    if (snprintf(spec, sizeof spec, "%s:%s", first->fits ? "fits" : "parquet", o->path) >= (int)sizeof spec)
        return nj_fail(err, "%.200s...: the name is too long", o->path);
    if (read_settings(&t->settings, set->shard[0].configuration, err)) return -1;
    const nj_sink_args args = { .mode = o->mode, .disk = true, .settings = &t->settings };
    if (!(t->sink = nj_sink_open(spec, &args, err))) return -1;
    t->created = true;
    return t->sink->class->begin(t->sink, first->table.field + 2, t->n, first->table.m, err);
}

static int put(nj_merge_out *o, nj_merge_shard *s, nj_error *err)
{
    out *t = o->state;
    const nj_merge_table *table = &((const in *)s->state)->table;
    uint32_t row = table->at;
    for (uint32_t f = 0; f < t->n; f++) {
        const bool *absent = table->absent[f + 2];
        t->value[f] = absent && absent[row] ? (nj_col){ 0 } : table->value[f + 2];
    }
    const nj_rows rows = {
        .field = table->field + 2, .n_fields = t->n, .value = t->value, .row = &row, .n = 1
    };
    return t->sink->class->write(t->sink, &rows, err);
}

static int end(nj_merge_out *o, nj_error *err)
{
    out *t = o->state;
    const nj_keep keep = { .disk = true, .complete = true, .commit = 1 };
    const nj_sink_class *class = t->sink->class;
    struct stat st;
    int rc = class->flush(t->sink, err) || (class->finish && class->finish(t->sink, err)) ||
                     class->commit(t->sink, &keep, err)
                 ? -1
                 : 0;
    nj_error closing;
    if (class->close(t->sink, &closing) && !rc) *err = closing, rc = -1;
    t->sink = NULL;
    if (!rc && stat(o->path, &st)) rc = nj_fail(err, "%s: %s", o->path, strerror(errno));
    if (!rc) o->bytes = st.st_size;
    return rc;
}

static void drop(nj_merge_out *o, bool failed)
{
    out *t = o->state;
    nj_error ignored;
    if (!t) return;
    if (t->sink) t->sink->class->close(t->sink, &ignored);
    if (t->created && failed) {
        unlink(o->path);
        nj_journal_remove(o->path);
    }
    nj_settings_free(&t->settings);
    free(t->value);
    free(t);
    o->state = NULL;
}

const nj_merge_class nj_merge_table_class = { open_in, next, close_in, begin, put, end, drop };
