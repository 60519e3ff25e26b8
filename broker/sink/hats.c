/* hats.c - a night for LSDB: rows go into DIR/rows.parquet, with all that a Parquet output does about commits
 * and restarts, and become a HATS catalogue when the run is complete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/version.h"
#include "classes.h"
#include "hats_tree.h"

typedef struct hats_conf {
    int64_t rows, order;
} hats_conf;

const nj_param nj_hats_settings[] = {
    { "rows", NJ_I64, "200000", offsetof(hats_conf, rows), 1, 1 << 30, "1",
      "rows of a file, at most: a place of the sky with more is divided; as many are in memory at the end" },
    { "order", NJ_I64, "7", offsetof(hats_conf, order), 0, 10, "1",
      "HEALPix order of the smallest place, whatever it has" },
    { 0 }
};

typedef struct hats_sink {
    nj_sink base;
    nj_sink *rows; /* DIR/rows.parquet; NULL when a run before made the catalogue of it */
    nj_sink_args args;
    hats_conf conf;
    char path[4200], created_by[64];
    nj_hats_tree tree;
    uint32_t ra, dec; /* fields */
    uint64_t n_lost;
    bool complete;
} hats_sink;

static bool is_there(const char *folder, const char *name)
{
    char path[4400];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0;
}

static int rows_of(const char *folder, char path[4200], nj_error *err)
{
    return snprintf(path, 4200, "%s/rows.parquet", folder) < 4100
               ? 0
               : nj_fail(err, "hats: the path is too long");
}

static int check(const nj_sink_args *args, nj_error *err)
{
    const bool finished = is_there(args->target, "hats.properties");
    if (args->part)
        return nj_fail(err, "hats:%s: is one catalogue: its files are places of the sky", args->target);
    if (finished && args->mode == NJ_SINK_APPEND && !args->mark)
        return nj_fail(err,
                       "hats:%s: is a complete catalogue, which takes no more rows; another night wants a "
                       "folder of its own",
                       args->target);
    if (finished && args->mode == NJ_SINK_CREATE && !args->mark)
        return nj_fail(err, "hats:%s: has a catalogue; say --overwrite to replace it", args->target);
    return 0;
}

static int close_hats(nj_sink *sink, nj_error *err);

/* A run that ended between this output's last commit and another's has made the catalogue already: the run
 * that goes on has no rows for it. */
static bool was_finished(const nj_sink_args *args)
{
    return args->mark && args->mark->complete && !is_there(args->target, "rows.parquet");
}

static nj_sink *open_hats(const nj_sink_args *args, nj_error *err)
{
    hats_sink *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "hats: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_hats;
    s->args = *args;
    nj_sink_args own = *args;
    if (check(args, err) || rows_of(args->target, s->path, err) ||
        nj_settings_apply(args->settings, "sink.hats", nj_hats_settings, NULL, &s->conf, err))
        goto bad;
    if (mkdir(args->target, 0777) && errno != EEXIST) {
        nj_fail(err, "hats:%s: cannot be made: %s", args->target, strerror(errno));
        goto bad;
    }
    own.target = s->path;
    if (was_finished(args)) return &s->base;
    if (nj_parquet_packing(args->settings, &s->tree.codec, &s->tree.level, &s->tree.page_bytes, err))
        goto bad;
    s->rows = nj_sink_parquet.open(&own, err);
    if (s->rows) return &s->base;
bad:
    free(s);
    return NULL;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    hats_sink *s = (hats_sink *)sink;
    snprintf(s->created_by, sizeof s->created_by, "nightjar version %s", nj_version);
    s->tree.folder = s->args.target;
    s->tree.rows = s->path;
    s->tree.field = field;
    s->tree.n_fields = n_fields;
    s->tree.metadata = metadata;
    s->tree.file_rows = s->conf.rows;
    s->tree.most_order = s->conf.order;
    s->tree.created_by = s->created_by;
    s->tree.disk = s->args.disk;
    s->ra = s->dec = UINT32_MAX;
    for (uint32_t f = 0; f < n_fields; f++) {
        if (!strcmp(field[f].key, "ra") && field[f].type == NJ_F64) s->ra = f;
        if (!strcmp(field[f].key, "dec") && field[f].type == NJ_F64) s->dec = f;
    }
    if (s->ra == UINT32_MAX || s->dec == UINT32_MAX)
        return nj_fail(err, "hats:%s: the columns ra and dec are wanted", s->args.target);
    return s->rows ? s->rows->class->begin(s->rows, field, n_fields, metadata, err) : 0;
}

/* A row without a place is in no file of the sky. */
static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    hats_sink *s = (hats_sink *)sink;
    const double *ra = rows->value[s->ra].data, *dec = rows->value[s->dec].data;
    if (!s->rows)
        return rows->n ? nj_fail(err, "hats:%s: is a complete catalogue, which takes no more rows",
                                 s->args.target)
                       : 0;
    uint32_t *list = malloc((rows->n + 1) * sizeof *list);
    nj_rows own = *rows;
    if (!list) return nj_fail(err, "hats:%s: out of memory", s->args.target);
    own.row = list;
    own.n = 0;
    int rc = 0;
    for (uint32_t k = 0; k < rows->n && !rc; k++) {
        const uint32_t row = rows->row[k];
        if (ra && dec && nj_hats_has_position(ra[row], dec[row]))
            list[own.n++] = row;
        else if (!nj_sink_refuse_row(&s->args, rows, k, "sink.hats", "it has no position, which HATS needs"))
            rc = nj_fail(err, "hats:%s: a row has no position", s->args.target);
    }
    if (!rc && own.n) rc = s->rows->class->write(s->rows, &own, err);
    free(list);
    return rc;
}

static int flush(nj_sink *sink, nj_error *err)
{
    hats_sink *s = (hats_sink *)sink;
    return s->rows ? s->rows->class->flush(s->rows, err) : 0;
}

/* The tree is made before the journal says that all is complete: a run that dies in between makes it
 * again. */
static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    hats_sink *s = (hats_sink *)sink;
    if (!s->rows) return 0;
    if (keep->complete && !s->complete) {
        if (s->rows->class->finish(s->rows, err) || nj_hats_tree_make(&s->tree, err)) return -1;
        s->complete = true;
    }
    return s->rows->class->commit(s->rows, keep, err);
}

static int close_hats(nj_sink *sink, nj_error *err)
{
    hats_sink *s = (hats_sink *)sink;
    int rc = s->rows ? s->rows->class->close(s->rows, err) : 0;
    if (s->complete && !rc) unlink(s->path);
    if (!s->complete && is_there(s->args.target, "rows.parquet"))
        nj_log(NJ_LOG_WARN, "hats:%s: the run was not complete, so its rows are in %s; --resume goes on",
               s->args.target, s->path);
    rmdir(s->args.target); /* of a start that failed: it is empty */
    free(s);
    return rc;
}

static int look(const char *target, nj_mark *mark, nj_error *err)
{
    char path[4200];
    return rows_of(target, path, err) ? -1 : nj_journal_look_consumed(path, mark, err);
}

static void extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const hats_sink *s = (const hats_sink *)sink;
    *bytes = *rows = 0;
    if (s->rows) s->rows->class->extent(s->rows, bytes, rows);
}

const nj_sink_class nj_sink_hats = {
    .scheme = "hats",
    .is_file = true,
    .refuses = true,
    .at_commit = true,
    .form = "hats:DIR",
    .doc =
        "a HATS catalogue for LSDB: Parquet files by place on the sky, light curves nested; there when the "
        "run is complete",
    .open = open_hats,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .look = look,
    .close = close_hats,
    .extent = extent,
};
