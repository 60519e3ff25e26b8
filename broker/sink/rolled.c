/* rolled.c - an output that is written for months to one file cannot be kept: this one is in several, and to
 * the host it is one sink with one journal, so that a commit of all its files is one line.
 *
 * The journal stands beside where the file would be if its name had no places: `out-{night}.ndjson.journal`,
 * `out/.night={night}+part-{n}.parquet.journal`.
 * Each line has the bytes and rows of all files that are not finished. A file is named there before it is
 * made.
 */
#include "rolled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"

enum { OPEN_FILES = 64 };

int nj_rolled_look(const nj_sink_class *of, const char *target, nj_mark *mark, nj_error *err)
{
    nj_rolled_name name;
    *mark = (nj_mark){ .kind = NJ_MARK_NONE };
    if (nj_rolled_parse(&name, of->scheme, of->ending, target, err)) return -1;
    int rc = nj_journal_look(name.stem, mark, err);
    nj_rolled_name_free(&name);
    return rc;
}

/* ---- opening --------------------------------------------------------------------------------- */

static char *beside(const nj_rolled *r, const char *ending)
{
    size_t n = strlen(r->name.stem) + strlen(ending) + 1;
    char *path = malloc(n);
    if (path) snprintf(path, n, "%s%s", r->name.stem, ending);
    return path;
}

static int close_rolled(nj_sink *sink, nj_error *err)
{
    nj_rolled *r = (nj_rolled *)sink;
    nj_error e;
    int rc = 0;
    for (; r->n; nj_part_drop(r, 0))
        if (nj_part_close(r, r->part[0], &e) && !rc) {
            rc = -1;
            if (err) *err = e;
        }
    nj_journal_end(r->journal);
    if (r->journal && r->fresh && !r->begun) nj_journal_remove(r->name.stem);
    if (r->lock.fd >= 0) unlink(r->lock.path); /* while it is held */
    if (!r->begun) nj_rolled_remove_root(r);
    nj_outfile_close(&r->lock, false, NULL);
    if (r->n_unknown > 1)
        nj_log(NJ_LOG_WARN, "%s: %llu alerts had no usable time", r->name.text,
               (unsigned long long)r->n_unknown);
    nj_rolled_name_free(&r->name);
    nj_settings_free(&r->none);
    free(r->state);
    nj_schema_forms_free(&r->forms);
    free(r->some);
    free(r->value);
    free(r->part);
    free(r->place);
    free(r);
    return rc;
}

/* The sink of its kind must take such a file here: settings, ending and folder are looked at now, not at the
 * first row. */
static int try_one(nj_rolled *r, nj_error *err)
{
    char *path = beside(r, ".part");
    nj_sink_args args = r->args;
    if (!path) return nj_fail(err, "%s: out of memory", r->name.text);
    args.target = path;
    args.mode = NJ_SINK_OVERWRITE;
    args.mark = NULL;
    args.part = true;
    nj_sink *sink = r->of->open(&args, err);
    int rc = sink ? r->of->close(sink, err) : -1;
    if (sink) unlink(path);
    free(path);
    return rc;
}

static int check(const nj_rolled *r, nj_error *err)
{
    if (r->name.night && !r->args.site) return nj_fail(err, "%s: {night} " NJ_NIGHT_NO_SITE, r->name.text);
    if (r->name.topic && !r->args.topics)
        return nj_fail(err, "%s: {topic} is the name of a topic, and there are none (-t)", r->name.text);
    return 0;
}

/* Under the lock: what is there of a run before. */
static int take_up(nj_rolled *r, nj_error *err)
{
    const nj_mark *mark = r->args.mark;
    nj_mark there = { 0 };
    int rc = 0;
    if (!mark && r->args.run && nj_journal_look(r->name.stem, &there, err)) return -1;
    if (!mark && there.kind == NJ_MARK_THERE) {
        if (r->args.mode == NJ_SINK_CREATE)
            rc = nj_fail(err,
                         "%s.journal: exists, and so does the output; say --resume to continue with its run, "
                         "--append to add to it, --overwrite to start over",
                         r->name.stem);
        else if (r->args.mode == NJ_SINK_OVERWRITE)
            rc = nj_parts_read(r, &there, false,
                               err); /* those that are finished stay until they are replaced */
        else
            rc = nj_parts_read(r, &there, true, err);
    }
    r->fresh = there.kind != NJ_MARK_THERE && (!mark || mark->kind != NJ_MARK_THERE);
    if (mark && mark->kind == NJ_MARK_THERE) {
        r->commit = mark->commit;
        r->state = strdup(mark->state ? mark->state : "");
        rc = r->state ? nj_parts_read(r, mark, true, err) : nj_fail(err, "%s: out of memory", r->name.text);
    }
    nj_mark_free(&there);
    return rc ? rc : nj_parts_note(r, false, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A column that a folder says is in none of the files. */
static int omit(nj_rolled *r, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    r->omitted = UINT32_MAX;
    for (uint32_t f = 0; f < n_fields; f++)
        if (nj_rolled_says(&r->name, field[f].key)) r->omitted = f;
    if (r->omitted == UINT32_MAX) return 0;
    r->some = calloc(n_fields, sizeof *r->some);
    r->value = calloc(n_fields, sizeof *r->value);
    if (!r->some || !r->value) return nj_fail(err, "%s: out of memory", r->name.text);
    r->n_fields = 0;
    for (uint32_t f = 0; f < n_fields; f++)
        if (f != r->omitted) r->some[r->n_fields++] = field[f];
    r->field = r->some;
    return 0;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    nj_rolled *r = (nj_rolled *)sink;
    r->field = field;
    r->n_fields = n_fields;
    r->metadata = metadata;
    r->jd = UINT32_MAX;
    for (uint32_t f = 0; f < n_fields; f++)
        if (!strcmp(field[f].key, "jd") && field[f].type == NJ_F64 && !field[f].text) r->jd = f;
    if (omit(r, field, n_fields, err)) return -1;
    r->begun = true;
    for (uint32_t i = 0; i < r->n; i++) /* each is cut back to the mark now, also if it gets no more rows */
        if (nj_part_open(r, r->part[i], err)) return -1;
    return 0;
}

static int put_place(nj_rolled *r, const nj_rolled_key *key, double jd, uint32_t row, nj_error *err)
{
    if (r->n_places == r->cap_places) {
        uint32_t cap = r->cap_places ? 2 * r->cap_places : 256;
        struct place *more = realloc(r->place, cap * sizeof *more);
        if (!more) return nj_fail(err, "%s: out of memory", r->name.text);
        r->place = more;
        r->cap_places = cap;
    }
    nj_part *p = nj_part_find(r, key, nj_rolled_end(&r->name, jd), err);
    if (!p) return -1;
    r->place[r->n_places++] = (struct place){ p, row };
    return 0;
}

/* What stands for the row's schema. NULL: out of memory. */
static const char *schema_of(nj_rolled *r, const nj_rows *rows, uint32_t row)
{
    const nj_row *from = rows->batch ? &rows->batch->row[row] : NULL;
    if (!from || !from->json) return "unknown";
    const nj_schema_form *form = nj_schema_form_of(&r->forms, from->json, from->json_size, from->schema);
    return form ? form->label : NULL;
}

/* The files that a row goes into: one, or one for each of its topics. */
static int find_places(nj_rolled *r, const nj_rows *rows, uint32_t row, nj_error *err)
{
    const double *jds = r->jd < rows->n_fields ? rows->value[r->jd].data : NULL;
    double jd = jds ? jds[row] : 0, time_s = (jd - 2440587.5) * 86400;
    nj_rolled_key key = nj_rolled_key_of(&r->name, jd);
    if (r->name.schema && !(key.schema = schema_of(r, rows, row)))
        return nj_fail(err, "%s: out of memory", r->name.text);
    if (r->name.survey) key.survey = rows->batch ? rows->batch->layout->survey : "unknown";
    bool unknown = key.night == NJ_ROLLED_UNKNOWN || key.date == NJ_ROLLED_UNKNOWN;
    if (unknown && r->n_unknown++ == 0)
        nj_log(NJ_LOG_WARN, "%s: an alert has no usable time: it goes to the file of `unknown`",
               r->name.text);
    if (time_s > r->latest_s) r->latest_s = time_s;
    if (!r->name.topic) return put_place(r, &key, jd, row, err);
    const char *names = rows->topics ? rows->topics[row] : NULL;
    for (char topic[256]; names && *names;) {
        size_t n = strcspn(names, ",");
        snprintf(topic, sizeof topic, "%.*s", (int)n, names);
        key.topic = topic;
        if (put_place(r, &key, jd, row, err)) return -1;
        names += n + (names[n] == ',');
    }
    return 0;
}

static int write_part(nj_rolled *r, nj_part *p, const nj_rows *rows, uint32_t *list, uint32_t from,
                      nj_error *err)
{
    nj_rows own = *rows;
    int64_t ignored;
    if (r->some) {
        own.field = r->field;
        own.n_fields = r->n_fields;
        own.value = r->value;
    }
    own.row = list;
    own.n = 0;
    for (uint32_t i = from; i < r->n_places; i++) {
        if (r->place[i].to != p) continue;
        list[own.n++] = r->place[i].row;
        r->place[i].to = NULL;
    }
    if (nj_part_open(r, p, err)) return -1;
    p->dirty = true;
    if (r->of->write(p->sink, &own, err)) return -1;
    r->of->extent(p->sink, &p->bytes, &ignored);
    const int64_t size = r->of->will_be ? r->of->will_be(p->sink) : p->bytes;
    if (r->name.max_bytes && size >= r->name.max_bytes) p->full = true;
    return 0;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    nj_rolled *r = (nj_rolled *)sink;
    r->n_places = 0;
    for (uint32_t f = 0, to = 0; r->some && f < rows->n_fields; f++)
        if (f != r->omitted) r->value[to++] = rows->value[f];
    for (uint32_t k = 0; k < rows->n; k++)
        if (find_places(r, rows, rows->row[k], err)) return -1;
    /* the journal has the names of files before they are there */
    if (r->n_new && nj_parts_note(r, false, err)) return -1;
    r->n_new = 0;
    uint32_t *list = malloc((r->n_places + 1) * sizeof *list);
    int rc = 0;
    if (!list) return nj_fail(err, "%s: out of memory", r->name.text);
    for (uint32_t i = 0; i < r->n_places && !rc; i++)
        if (r->place[i].to) rc = write_part(r, r->place[i].to, rows, list, i, err);
    r->n_undone = r->n;
    free(list);
    return rc;
}

static int flush(nj_sink *sink, nj_error *err)
{
    nj_rolled *r = (nj_rolled *)sink;
    for (uint32_t i = 0; i < r->n; i++)
        if (r->part[i]->sink && r->of->flush(r->part[i]->sink, err)) return -1;
    return 0;
}

/* ---- commits --------------------------------------------------------------------------------- */

static int commit_files(nj_rolled *r, const nj_keep *keep, nj_error *err)
{
    int64_t now = nj_now_ns();
    double now_s = (double)nj_calendar_ns() / 1e9;
    for (uint32_t i = 0; i < r->n; i++) {
        nj_part *p = r->part[i];
        if (p->dirty && nj_part_commit(r, p, keep->commit, err)) return -1;
        if (r->name.max_bytes && p->bytes >= r->name.max_bytes) p->full = true;
        p->dirty = false;
        p->ending = keep->complete || nj_part_is_over(r, p, now, now_s);
        if (p->ending && nj_part_make_whole(r, p, keep->commit, err)) return -1;
        if (p->ending && nj_part_close(r, p, err)) return -1;
        p->kept_bytes = p->bytes;
        p->kept_rows = p->rows;
    }
    return 0;
}

/* First the files, then the journal's line, which is the commit, then the names of those that are finished: a
 * run that dies in between does the last step when it continues. */
static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    nj_rolled *r = (nj_rolled *)sink;
    char *state = strdup(keep->state ? keep->state : "");
    if (!state) return nj_fail(err, "%s: out of memory", r->name.text);
    if (commit_files(r, keep, err)) return free(state), -1;
    free(r->state);
    r->state = state;
    r->commit = keep->commit;
    if (nj_parts_note(r, keep->complete && !r->n, err)) return -1;
    bool some = r->n > 0;
    for (uint32_t i = 0; i < r->n;) {
        nj_part *p = r->part[i];
        if (p->ending && nj_part_finish(r, p, err)) return -1;
        r->done_rows += p->ending ? p->rows : 0;
        if (!p->ending) {
            i++;
            continue;
        }
        r->n_done_rows += (uint64_t)p->rows;
        r->n_done++;
        nj_part_drop(r, i);
    }
    r->n_undone = r->n;
    return keep->complete && some ? nj_parts_note(r, true, err) : 0;
}

/* At night's end no rows come, and the file shall be finished. */
static bool due(nj_sink *sink)
{
    nj_rolled *r = (nj_rolled *)sink;
    int64_t now = nj_now_ns();
    double now_s = (double)nj_calendar_ns() / 1e9;
    if (now - r->looked_ns < 1000000000) return false;
    r->looked_ns = now;
    for (uint32_t i = 0; i < r->n; i++)
        if (nj_part_is_over(r, r->part[i], now, now_s)) return true;
    return false;
}

static void files(const nj_sink *sink, nj_sink_files *found)
{
    const nj_rolled *r = (const nj_rolled *)sink;
    *found = (nj_sink_files){ r->n_done, r->n_done_rows, r->n_undone };
}

nj_sink *nj_rolled_open(const nj_sink_class *of, const nj_sink_args *args, nj_error *err)
{
    nj_rolled *r = calloc(1, sizeof *r);
    if (!r) {
        nj_fail(err, "%s: out of memory", args->target);
        return NULL;
    }
    r->of = of;
    r->args = *args;
    if (!r->args.settings) r->args.settings = &r->none;
    if (!r->args.open_files) r->args.open_files = OPEN_FILES;
    r->class = *of; /* what it is called, and what the host must know of it */
    r->class.begin = begin;
    r->class.write = write_rows;
    r->class.flush = flush;
    r->class.commit = commit;
    r->class.close = close_rolled;
    r->class.due = due;
    r->class.files = files;
    r->class.extent = NULL;
    r->class.open = NULL;
    r->class.look = NULL;
    r->base.class = &r->class;
    r->lock.fd = -1;
    char *lock = NULL;
    int rc = nj_rolled_parse(&r->name, of->scheme, of->ending, args->target, err);
    if (!rc && !(lock = beside(r, ".lock"))) rc = nj_fail(err, "%s: out of memory", args->target);
    if (!rc) rc = nj_rolled_make_root(r, err);
    r->name.longitude = args->longitude;
    if (!rc) rc = check(r, err);
    if (!rc) rc = nj_outfile_open(&r->lock, lock, NJ_SINK_OVERWRITE, err);
    if (!rc) rc = try_one(r, err);
    if (!rc) rc = take_up(r, err);
    free(lock);
    if (!rc) return &r->base;
    close_rolled(&r->base, NULL);
    return NULL;
}
