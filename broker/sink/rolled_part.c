/* rolled_part.c - the files of a rotated output, one by one: names that are free, how many are open, what the
 * journal says of them, and how one is finished. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "file.h"
#include "rolled.h"
#include "waits.h"

static nj_log_limit said; /* an output of several files says it for each */

enum { MOST_PARTS = 1000, MOST_NUMBER = 1000000, PATH_ROOM = 4200, PAUSE_S = 10 };

static bool is_there(const char *path, const char *ending)
{
    char text[PATH_ROOM];
    struct stat st;
    return snprintf(text, sizeof text, "%s%s", path, ending) < (int)sizeof text && !lstat(text, &st);
}

/* What stands beside such a file is called after this, malloc. */
static char *beside_of(const nj_rolled *r, const char *file)
{
    return r->name.folders ? nj_journal_hidden(file) : strdup(file);
}

/* Was it finished by this run? */
static bool is_ours(const nj_rolled *r, const char *file)
{
    nj_mark mark = { 0 };
    nj_error ignored;
    bool ours = r->args.run && !nj_journal_look(file, &mark, &ignored) && mark.kind == NJ_MARK_THERE &&
                mark.run && !strcmp(mark.run, r->args.run);
    nj_mark_free(&mark);
    return ours;
}

/* A finished file is never written again. Its journal alone keeps the name, too: the file may be in an
 * archive. --overwrite replaces those of other runs. */
static bool is_taken(const nj_rolled *r, const char *file)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (!strcmp(r->part[i]->file, file)) return true;
    if (r->args.mode == NJ_SINK_OVERWRITE && r->args.run) return is_ours(r, file);
    char *beside = beside_of(r, file);
    const bool there =
        is_there(file, "") || !beside || is_there(beside, ".journal") || is_there(beside, ".part");
    free(beside);
    return there;
}

static void free_part(nj_part *p)
{
    if (!p) return;
    free(p->survey);
    free(p->topic);
    free(p->schema);
    free(p->file);
    free(p->path);
    free(p->beside);
    free(p);
}

/* A record; its file's name by key and number. NULL: out of memory. */
static nj_part *add_part(nj_rolled *r, const nj_rolled_key *key, uint32_t number)
{
    if (r->n == r->cap) {
        uint32_t cap = r->cap ? 2 * r->cap : 16;
        nj_part **more = realloc(r->part, cap * sizeof *more);
        if (!more) return NULL;
        r->part = more;
        r->cap = cap;
    }
    nj_part *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->key = *key;
    p->number = number;
    p->end_s = INFINITY;
    p->since_s = (double)nj_calendar_ns() / 1e9;
    p->used_ns = nj_now_ns();
    p->key.survey = p->survey = strdup(key->survey);
    p->key.topic = p->topic = strdup(key->topic);
    p->key.schema = p->schema = strdup(key->schema);
    p->file = nj_rolled_file(&r->name, key, number);
    p->beside = p->file ? beside_of(r, p->file) : NULL;
    size_t n = p->beside ? strlen(p->beside) + sizeof ".part" : 0;
    p->path = n ? malloc(n) : NULL;
    if (!p->survey || !p->topic || !p->schema || !p->path) return free_part(p), NULL;
    snprintf(p->path, n, "%s.part", p->beside);
    return r->part[r->n++] = p;
}

void nj_part_drop(nj_rolled *r, uint32_t i)
{
    free_part(r->part[i]);
    memmove(r->part + i, r->part + i + 1, (--r->n - i) * sizeof *r->part); /* they stay in order */
}

static nj_part *least_used(const nj_rolled *r, bool open, bool clean)
{
    nj_part *least = NULL;
    for (uint32_t i = 0; i < r->n; i++) {
        nj_part *p = r->part[i];
        if ((open && !p->sink) || (clean && p->dirty) || p->full) continue;
        if (!least || p->used_ns < least->used_ns) least = p;
    }
    return least;
}

static nj_part *new_part(nj_rolled *r, const nj_rolled_key *key, uint32_t number, nj_error *err)
{
    char *first = NULL;
    nj_part *p = NULL;
    for (bool taken = true; taken && number <= MOST_NUMBER; number += taken) {
        char *file = nj_rolled_file(&r->name, key, number);
        if (!file) break;
        taken = is_taken(r, file);
        if (!taken) p = add_part(r, key, number);
        if (!first)
            first = file;
        else
            free(file);
        if (!taken && !p) break;
    }
    if (!p)
        nj_fail(err,
                number > MOST_NUMBER ? "%s: more than a million files have that name" : "%s: out of memory",
                first ? first : r->name.text);
    else if (!r->name.number && strcmp(first, p->file) != 0)
        nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_INFO,
                       "%s: is finished, or of another run: more rows of it go to %s", first, p->file);
    free(first);
    if (p) r->n_new++;
    return p;
}

static bool is_old(const nj_rolled *r, const nj_part *p, double now_s)
{
    return r->name.max_s > 0 && now_s - p->since_s >= r->name.max_s;
}

static bool same_key(const nj_rolled_key *a, const nj_rolled_key *b)
{
    return a->night == b->night && a->date == b->date && a->hour == b->hour &&
           !strcmp(a->survey, b->survey) && !strcmp(a->topic, b->topic) && !strcmp(a->schema, b->schema);
}

nj_part *nj_part_find(nj_rolled *r, const nj_rolled_key *key, double end_s, nj_error *err)
{
    uint32_t number = 1;
    nj_part *p = NULL;
    for (uint32_t i = 0; i < r->n && !p; i++) {
        nj_part *q = r->part[i];
        if (!same_key(&q->key, key)) continue;
        if (!q->full && r->name.max_s > 0) q->full = is_old(r, q, (double)nj_calendar_ns() / 1e9);
        if (!q->full) p = q;
        if (q->number >= number) number = q->number + 1;
    }
    if (!p) {
        nj_part *victim = r->n >= MOST_PARTS ? least_used(r, false, false) : NULL;
        if (victim) victim->full = true; /* it will not be waited for any more */
        p = new_part(r, key, number, err);
        if (p) p->end_s = end_s;
    } else if (isfinite(end_s) && end_s > p->end_s) {
        p->end_s = end_s;
    }
    if (p) p->used_ns = nj_now_ns();
    return p;
}

/* ---- open and closed ------------------------------------------------------------------------- */

int nj_part_close(nj_rolled *r, nj_part *p, nj_error *err)
{
    if (!p->sink) return 0;
    nj_sink *sink = p->sink;
    p->sink = NULL;
    r->n_open--;
    return r->of->close(sink, err);
}

int nj_part_commit(nj_rolled *r, nj_part *p, uint64_t commit, nj_error *err)
{
    if (!p->sink) return 0;
    const nj_keep keep = { .disk = r->args.disk, .commit = commit };
    if (r->of->flush(p->sink, err) || (r->of->commit && r->of->commit(p->sink, &keep, err))) return -1;
    r->of->extent(p->sink, &p->bytes, &p->rows);
    return 0;
}

int nj_part_make_whole(nj_rolled *r, nj_part *p, uint64_t commit, nj_error *err)
{
    if (!r->of->finish) return 0;
    return nj_part_open(r, p, err) || r->of->finish(p->sink, err) || nj_part_commit(r, p, commit, err) ? -1
                                                                                                       : 0;
}

/* What is closed is whole up to here, though no commit has come yet: the journal says up to where it
 * counts. */
static int put_away(nj_rolled *r, nj_error *err)
{
    nj_part *p = least_used(r, true, true);
    if (!p) p = least_used(r, true, false);
    /* what a FITS file kept to go back by would be lost: rather one more file is open until the commit */
    if (!p || (p->dirty && !strcmp(r->of->scheme, "fits"))) return 0;
    nj_debug(NJ_DEBUG_SINK, "%s: is closed for now, %u files are open", p->path, r->n_open);
    if (nj_part_commit(r, p, r->commit, err)) return -1;
    p->sink->comes_again = true;
    return nj_part_close(r, p, err);
}

/* It has all that is kept: a file that became shorter would be filled up with zeros. */
static int check_size(const nj_rolled *r, const nj_part *p, nj_error *err)
{
    struct stat st;
    if (stat(p->path, &st))
        return nj_fail(err, "%s: is gone (%s); the journal of %s says that it has %" PRId64 " rows", p->path,
                       strerror(errno), r->name.text, p->rows);
    if (st.st_size >= p->bytes) return 0;
    return nj_fail(err, "%s: has %lld bytes; the journal of %s says that %" PRId64 " were there", p->path,
                   (long long)st.st_size, r->name.text, p->bytes);
}

/* Files are made, and renamed, in the middle of a run: a disk without room, or a missing one, is waited
 * for as it is by writes. False: it is something else, or long enough. */
static bool wait_for_place(nj_wait *wait, const char *path)
{
    struct statvfs fs;
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = 0;
    const char *why = nj_folder_is_away(path) ? "its folder is missing"
                      : !folder || statvfs(slash ? folder : ".", &fs) ? NULL
                      : fs.f_flag & ST_RDONLY                            ? "its file system is read-only"
                      : fs.f_bavail < 16 || (fs.f_files && !fs.f_favail) ? "no room on the disk"
                                                                         : NULL;
    free(folder);
    return why && nj_wait_more(wait, NJ_WAIT_FOR_ROOM, path, why);
}

int nj_part_open(nj_rolled *r, nj_part *p, nj_error *err)
{
    if (p->sink) return 0;
    while (r->n_open >= r->args.open_files) {
        uint32_t before = r->n_open;
        if (put_away(r, err)) return -1;
        if (r->n_open == before) break; /* those that are left wait for the commit */
    }
    bool goes_on = p->bytes > 0;
    if (goes_on && check_size(r, p, err)) return -1;
    p->mark = (nj_mark){ .kind = NJ_MARK_THERE,
                         .bytes = p->bytes,
                         .rows = p->rows,
                         .commit = r->commit,
                         .run = (char *)r->args.run,
                         .configuration = (char *)r->args.configuration,
                         .state = r->state };
    nj_sink_args args = r->args;
    args.target = p->path;
    args.part = true;
    args.mark = goes_on ? &p->mark : NULL;
    args.known = goes_on && p->known;
    if (r->args.mode == NJ_SINK_APPEND) args.mode = NJ_SINK_CREATE;
    nj_wait wait = { 0 };
    for (bool made = false; !made || !p->sink;) {
        made = !nj_rolled_make_folders(r, p->path, err);
        if (made) p->sink = r->of->open(&args, err);
        if (!p->sink && !wait_for_place(&wait, made ? p->path : r->name.stem)) return -1;
    }
    nj_wait_over(&wait, p->path);
    r->n_open++;
    if (r->of->begin(p->sink, r->field, r->n_fields, r->metadata, err)) return -1;
    p->known = true;
    return 0;
}

/* ---- finished -------------------------------------------------------------------------------- */

/* Is this file, of which nothing more will come, on the disk? */
static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int rc = fdatasync(fd) && errno != EINVAL ? -1 : 0;
    close(fd);
    return rc;
}

static int give_name(const nj_part *p, const char *beside, nj_error *err)
{
    char from[PATH_ROOM], to[PATH_ROOM];
    if (snprintf(from, sizeof from, "%s%s", p->path, beside) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s%s", p->file, beside) >= (int)sizeof to)
        return nj_fail(err, "%s: the name is too long", p->file);
    nj_wait wait = { 0 };
    while (rename(from, to)) {
        int error = errno;
        if (*beside && error == ENOENT && !nj_folder_is_away(from)) return 0;
        if (!wait_for_place(&wait, from))
            return nj_fail(err, "%s: cannot be renamed to %s: %s", from, to, strerror(error));
    }
    nj_wait_over(&wait, from);
    return 0;
}

static void remove_beside(const nj_part *p, const char *beside)
{
    char path[PATH_ROOM];
    if (snprintf(path, sizeof path, "%s%s", p->path, beside) < (int)sizeof path) unlink(path);
}

/* There is a file of another program where this one was to go: it is left alone. */
static int make_way(const nj_rolled *r, nj_part *p, nj_error *err)
{
    if (r->args.mode == NJ_SINK_OVERWRITE || !is_there(p->file, "")) return 0;
    char *file = NULL;
    for (uint32_t number = p->number + 1; number <= MOST_NUMBER && !file; number++) {
        file = nj_rolled_file(&r->name, &p->key, number);
        if (!file) break;
        if (is_taken(r, file)) free(file), file = NULL;
    }
    if (!file) return nj_fail(err, "%s: is there already, and no other name is free", p->file);
    nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN,
                   "%s: another program has made such a file: the rows go to %s", p->file, file);
    char *beside = beside_of(r, file);
    if (!beside) return free(file), nj_fail(err, "%s: out of memory", p->file);
    free(p->file);
    free(p->beside);
    p->file = file;
    p->beside = beside;
    return 0;
}

int nj_part_finish(nj_rolled *r, nj_part *p, nj_error *err)
{
    const nj_journal_of of = { r->args.run, r->args.configuration, r->args.disk, nj_base_name(r->name.stem) };
    const nj_mark last = { .bytes = p->bytes, .rows = p->rows, .commit = r->commit, .complete = true };
    remove_beside(p, ".undo");
    remove_beside(p, ".rows");
    if (!strcmp(r->of->scheme, "sqlite")) remove_beside(p, "-journal"); /* empty since the last commit */
    if (!p->rows) {                                                     /* every row of it was refused */
        remove_beside(p, ".meta.json");
        remove_beside(p, "");
        nj_rolled_remove_folders(r, p->file);
        return 0;
    }
    if (!is_there(p->path, "")) { /* the run before came so far */
        if (!is_there(p->beside, ".journal"))
            nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN,
                           "%s: is not there any more: it was finished under another name, or removed",
                           p->path);
        return 0;
    }
    if (make_way(r, p, err)) return -1;
    if (r->args.disk && sync_file(p->path)) return nj_fail(err, "%s: %s", p->path, strerror(errno));
    if (r->args.run) {
        nj_journal *journal = nj_journal_begin(p->beside, &of, &last, err);
        if (!journal) return -1;
        nj_journal_end(journal);
    }
    if (give_name(p, ".meta.json", err) || give_name(p, "", err)) return -1;
    if (r->args.disk) nj_sync_folder_of(p->file);
    nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_INFO, "%s: is finished: %" PRId64 " rows, %" PRId64 " bytes",
                   p->file, p->rows, p->bytes);
    return 0;
}

bool nj_part_is_over(const nj_rolled *r, nj_part *p, int64_t now_ns, double now_s)
{
    if (!p->full) p->full = is_old(r, p, now_s);
    if (p->full) return true;
    double idle_s = (double)(now_ns - p->used_ns) / 1e9, late_s = r->name.late_s;
    if (p->end_s <= r->latest_s) return idle_s >= late_s;
    /* of old alerts every period is over: then a pause must say that no more of it come */
    return p->end_s <= now_s && idle_s >= (late_s > PAUSE_S ? late_s : PAUSE_S);
}

/* ---- the journal ----------------------------------------------------------------------------- */

static void add_time(nj_buffer *out, const char *key, double t)
{
    if (isfinite(t)) nj_buffer_printf(out, ",\"%s\":%.3f", key, t);
}

static void add_files(const nj_rolled *r, nj_buffer *out)
{
    nj_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n; i++) {
        const nj_part *p = r->part[i];
        nj_buffer_text(out, i ? ",{\"file\":" : "{\"file\":");
        nj_json_text(out, r->name.folders ? p->file + r->name.root : nj_base_name(p->file));
        nj_buffer_printf(out, ",\"bytes\":%" PRId64 ",\"rows\":%" PRId64 ",\"number\":%u", p->kept_bytes,
                         p->kept_rows, p->number);
        nj_buffer_printf(out, ",\"night\":%d,\"date\":%d,\"hour\":%d,\"topic\":", p->key.night, p->key.date,
                         p->key.hour);
        nj_json_text(out, p->topic);
        if (*p->survey) nj_buffer_text(out, ",\"survey\":"), nj_json_text(out, p->survey);
        if (*p->schema) nj_buffer_text(out, ",\"schema\":"), nj_json_text(out, p->schema);
        add_time(out, "since", p->since_s);
        add_time(out, "end", p->end_s);
        nj_buffer_text(out, p->ending ? ",\"finished\":true}" : "}");
    }
    nj_buffer_text(out, "]");
}

int nj_parts_note(nj_rolled *r, bool complete, nj_error *err)
{
    nj_buffer files = { 0 };
    if (!r->args.run) return 0;
    add_files(r, &files);
    nj_mark mark = { .rows = r->done_rows,
                     .commit = r->commit,
                     .complete = complete,
                     .state = r->state,
                     .files = files.data };
    for (uint32_t i = 0; i < r->n; i++) mark.rows += r->part[i]->kept_rows;
    const nj_journal_of of = { r->args.run, r->args.configuration, r->args.disk, NULL };
    int rc = files.failed ? nj_fail(err, "%s: out of memory for its journal", r->name.text) : 0;
    if (!rc && r->journal) rc = nj_journal_add(r->journal, &mark, err);
    if (!rc && !r->journal && !(r->journal = nj_journal_begin(r->name.stem, &of, &mark, err))) rc = -1;
    nj_buffer_free(&files);
    return rc;
}

static int32_t number_of(const json_t *item, const char *key)
{
    return (int32_t)json_integer_value(json_object_get(item, key));
}

static const char *text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));
    return text ? text : "";
}

/* One that had no committed row is begun again when it is wanted. */
static int read_part(nj_rolled *r, const json_t *item, bool go_on, nj_error *err)
{
    const nj_rolled_key key = { number_of(item, "night"), number_of(item, "date"), number_of(item, "hour"),
                                text_of(item, "survey"),  text_of(item, "topic"),  text_of(item, "schema") };
    nj_part *p = add_part(r, &key, (uint32_t)number_of(item, "number"));
    if (!p) return nj_fail(err, "%s: out of memory", r->name.text);
    const json_t *end = json_object_get(item, "end");
    p->since_s = json_number_value(json_object_get(item, "since"));
    if (json_is_number(end)) p->end_s = json_number_value(end);
    p->bytes = p->kept_bytes = json_integer_value(json_object_get(item, "bytes"));
    p->rows = p->kept_rows = json_integer_value(json_object_get(item, "rows"));
    p->known = r->args.known;
    if (!go_on) p->rows = 0;
    bool finished = json_is_true(json_object_get(item, "finished"));
    if (p->rows && !finished) return check_size(r, p, err);
    r->done_rows += finished ? p->rows : 0;
    if (nj_part_finish(r, p, err)) return -1;
    nj_part_drop(r, r->n - 1);
    return 0;
}

int nj_parts_read(nj_rolled *r, const nj_mark *mark, bool go_on, nj_error *err)
{
    json_t *list = mark->files ? json_loads(mark->files, 0, NULL) : NULL, *item;
    int rc = list ? 0 : nj_fail(err, "%s.journal: is no journal of an output of several files", r->name.stem);
    int64_t rows = 0;
    size_t i;
    json_array_foreach(list, i, item)
    {
        rows += json_integer_value(json_object_get(item, "rows"));
        if (!rc) rc = read_part(r, item, go_on, err);
    }
    if (r->args.mark) r->done_rows += mark->rows - rows; /* else those are another run's */
    if (!go_on) r->done_rows = 0;
    json_decref(list);
    return rc;
}
