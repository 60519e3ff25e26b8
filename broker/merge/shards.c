/* shards.c - shards are read, put in their order and compared before a row of them is: one that is missing,
 * doubled, broken off or of another night would make a night that never was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../base/log.h"
#include "../base/version.h"
#include "../batch/shard.h"
#include "merge.h"

static const char *const class_name[] = { "emitted", "filtered", "dead", "duplicates" };

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *t = json_string_value(json_object_get(object, key));
    return t ? t : "";
}

static int64_t sum_of(const json_t *ledger)
{
    int64_t sum = 0;
    for (size_t i = 0; i < 4; i++) sum += number(ledger, class_name[i]);
    return sum;
}

static nj_merge_stream *stream_of(nj_merge_shard *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_streams; i++)
        if (!strcmp(s->stream[i].name, name)) return &s->stream[i];
    nj_merge_stream *more = realloc(s->stream, (s->n_streams + 1) * sizeof *more);
    if (!more) return NULL;
    s->stream = more;
    s->stream[s->n_streams] = (nj_merge_stream){ .name = name, .own = -1, .left = -1 };
    return &s->stream[s->n_streams++];
}

/* ---- what a shard says ----------------------------------------------------------------------- */

/* A shard that ended before its first commit has a configuration alone. */
static void read_line(nj_merge_shard *s)
{
    const char *line = strstr(s->configuration, "\nshard ");
    char by[16] = "";
    if (!line || sscanf(line, "\nshard %u/%u by %15s", &s->k, &s->n, by) != 3) return;
    for (int i = 0; i < 3; i++)
        if (!strcmp(by, nj_shard_by_name[i])) s->by = nj_shard_by_name[i];
}

static int from_journal(nj_merge_shard *s, nj_error *err)
{
    char spec[4200];
    const json_t *item;
    size_t i;
    bool database = nj_merge_kind_of(s->path, err) == NJ_MERGE_SQLITE;
    if (snprintf(spec, sizeof spec, "sqlite:%s", s->path) >= (int)sizeof spec)
        return nj_fail(err, "%.200s...: the name is too long", s->path);
    if (database ? nj_sink_look(spec, &s->mark, err) : nj_journal_look(s->path, &s->mark, err)) return -1;
    s->there = s->mark.kind == NJ_MARK_THERE;
    if (!s->there) return 0;
    s->said = json_loads(*s->mark.state ? s->mark.state : "{}", 0, NULL);
    if (!s->said || !(s->configuration = strdup(s->mark.configuration)))
        return nj_fail(err, "%s: its journal is damaged, or memory is short", s->path);
    const json_t *shard = json_object_get(s->said, "shard");
    s->k = (unsigned)number(shard, "k");
    s->n = (unsigned)number(shard, "n");
    s->by = text(shard, "by");
    if (!s->k) read_line(s);
    s->complete = s->mark.complete;
    json_array_foreach(json_object_get(shard, "parts"), i, item)
    {
        nj_merge_stream *to = stream_of(s, text(item, "source"));
        if (!to) return nj_fail(err, "out of memory");
        to->own = number(item, "own");
        to->left = number(item, "left");
    }
    json_array_foreach(json_object_get(s->said, "streams"), i, item)
    {
        nj_merge_stream *to = stream_of(s, text(item, "name"));
        if (!to) return nj_fail(err, "out of memory");
        to->alerts = sum_of(item);
        to->others = number(item, "others");
    }
    return 0;
}

/* What makes two reports those of one night, as lines. */
static char *lines_of(const json_t *report)
{
    nj_buffer out = { 0 };
    const json_t *context = json_object_get(report, "context"), *item;
    size_t i;
    json_array_foreach(json_object_get(context, "files"), i, item)
        nj_buffer_printf(&out, "file %s = %s\n", text(item, "name"), text(item, "sha256"));
    nj_buffer_printf(&out, "source %s\n", text(context, "input"));
    json_array_foreach(json_object_get(report, "modules"), i, item)
    {
        if (!strcmp(text(item, "kind"), "module"))
            nj_buffer_printf(&out, "module %s %s\n", text(item, "name"), text(item, "version"));
    }
    nj_buffer_text(&out, "");
    if (out.failed) nj_buffer_free(&out);
    return out.data;
}

static int from_report(nj_merge_shard *s, nj_error *err)
{
    json_error_t why;
    const json_t *item;
    size_t i;
    s->said = json_load_file(s->path, 0, &why);
    if (!s->said) return nj_fail(err, "%s: is no report: %s", s->path, why.text);
    s->there = true;
    nj_merge_add_runs(s->said);
    const json_t *shard = json_object_get(s->said, "shard"), *ledger = json_object_get(s->said, "ledger");
    s->k = (unsigned)number(shard, "k");
    s->n = (unsigned)number(shard, "n");
    s->by = text(shard, "by");
    s->complete = json_is_true(json_object_get(ledger, "closed")) && !number(ledger, "returned") &&
                  !json_is_true(json_object_get(s->said, "interrupted"));
    if (!(s->configuration = lines_of(s->said))) return nj_fail(err, "out of memory");
    json_array_foreach(json_object_get(s->said, "sources"), i, item)
    {
        nj_merge_stream *to = stream_of(s, text(item, "name"));
        if (!to) return nj_fail(err, "out of memory");
        ledger = json_object_get(item, "ledger");
        to->alerts = sum_of(ledger);
        to->others = number(ledger, "others");
        if (!json_object_get(item, "part")) continue;
        to->own = number(item, "own");
        to->left = number(item, "left");
    }
    return 0;
}

int nj_merge_look(nj_merge_set *set, nj_merge_kind kind, nj_error *err)
{
    for (uint32_t i = 0; i < set->n; i++) {
        nj_merge_shard *s = &set->shard[i];
        if (kind == NJ_MERGE_REPORT ? from_report(s, err) : from_journal(s, err)) return -1;
    }
    return 0;
}

/* ---- are they one night? --------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void fault(nj_merge_set *set, const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    set->n_faults++;
    nj_log(NJ_LOG_ERROR, "%s", line);
}

/* What is found from here on is of another night, or of other settings. */
static void note_foreign(nj_merge_set *set, uint32_t before)
{
    set->n_foreign += set->n_faults - before;
}

static bool is_the_shards(const char *line)
{
    return !strncmp(line, "shard ", 6) || !strncmp(line, "column shard.", 13) ||
           !strncmp(line, "letters of ", 11);
}

static bool has_line(const char *lines, const char *line, size_t n)
{
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        if ((size_t)(end - lines) == n && !memcmp(lines, line, n)) return true;
    return false;
}

/* A shard whose process had no alert of its own does not name the modules: there was none, or all had been
 * done before it was killed and only the report was left. The journals of the outputs name them always. */
static bool names_modules(const nj_merge_shard *s)
{
    return !strncmp(s->configuration, "module ", 7) || strstr(s->configuration, "\nmodule ");
}

/* The lines that one has and the other lacks, a few of them. */
static void compare_lines(nj_merge_set *set, const nj_merge_shard *has, const nj_merge_shard *lacks)
{
    enum { SHOWN = 5 };
    int n = 0;
    for (const char *line = has->configuration, *end; (end = strchr(line, '\n')); line = end + 1) {
        size_t size = (size_t)(end - line);
        if (!strncmp(line, "module ", 7) && (!names_modules(has) || !names_modules(lacks))) continue;
        if (is_the_shards(line) || has_line(lacks->configuration, line, size)) continue;
        if (n++ < SHOWN) fault(set, "%s has, and %s has not: %.*s", has->path, lacks->path, (int)size, line);
    }
    if (n > SHOWN) fault(set, "%s has %d more lines that %s has not", has->path, n - SHOWN, lacks->path);
}

/* A raw column has the type that a shard's first packets have; one run has the night's first. */
static void compare_types(nj_merge_set *set)
{
    const nj_merge_shard *first = NULL;
    for (uint32_t i = 0; i < set->n; i++) {
        const nj_merge_shard *s = &set->shard[i];
        const json_t *mine = json_object_get(s->said, "columns"), *other, *column;
        size_t k;
        if (!s->mark.rows || !mine) continue;
        if (!first) first = s;
        other = json_object_get(first->said, "columns");
        json_array_foreach(mine, k, column)
        {
            const json_t *there = json_array_get(other, k);
            if (json_equal(column, there)) continue;
            fault(set,
                  "column %s is %s in %s and %s in %s: their first packets decided, and in one run the "
                  "night's first one does",
                  text(column, "key"), text(column, "type"), s->path, text(there, "type"), first->path);
        }
    }
}

static const char *version_of(const nj_merge_shard *s)
{
    const json_t *context = json_object_get(s->said, "context");
    return context ? text(context, "git") : text(json_object_get(s->said, "shard"), "version");
}

static int by_number(const void *a, const void *b)
{
    const nj_merge_shard *x = a, *y = b;
    return (x->k > y->k) - (x->k < y->k);
}

/* Each says how much there was in all: they must agree, and their own must be all of it. */
static void check_stream(nj_merge_set *set, const nj_merge_stream *first, bool sums)
{
    int64_t own = 0, alerts = 0;
    uint32_t n = 0;
    bool looked = first->others > 0;
    for (uint32_t i = 0; i < set->n; i++) {
        nj_merge_shard *s = &set->shard[i];
        const nj_merge_stream *t = NULL;
        for (uint32_t k = 0; k < s->n_streams && !t; k++)
            if (!strcmp(s->stream[k].name, first->name)) t = &s->stream[k];
        if (!t) continue;
        n++;
        own += t->own;
        alerts += t->alerts;
        looked |= t->others > 0;
        if (t->own + t->left != first->own + first->left)
            fault(set, "%s: %s had %lld parts, and in %s it had %lld: they are not of one night", s->path,
                  t->name, (long long)(t->own + t->left), set->shard[0].path,
                  (long long)(first->own + first->left));
        if (looked && t->alerts + t->others != first->alerts + first->others)
            fault(set, "%s: %s had %lld alerts, and in %s it had %lld: they are not of one night", s->path,
                  t->name, (long long)(t->alerts + t->others), set->shard[0].path,
                  (long long)(first->alerts + first->others));
    }
    if (!sums) return;
    if (first->own >= 0 && own != first->own + first->left)
        fault(set, "%s: the shards have %lld of %lld parts", first->name, (long long)own,
              (long long)(first->own + first->left));
    if (looked && n == set->n && alerts != first->alerts + first->others)
        fault(set, "%s: the shards account for %lld of %lld alerts", first->name, (long long)alerts,
              (long long)(first->alerts + first->others));
}

bool nj_merge_may_lack(const nj_merge_shard *s, nj_merge_kind kind)
{
    return kind == NJ_MERGE_LETTERS || s->mark.part_of;
}

int nj_merge_check(nj_merge_set *set, nj_merge_kind kind, const nj_merge_options *o, nj_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        nj_merge_shard *s = &set->shard[i];
        if (!s->there)
            return nj_fail(err, "%s: no journal of a run stands beside it, so that nobody knows what it is",
                           s->path);
        if (!s->k) return nj_fail(err, "%s: is no shard: `nightjar run --shard K/N` writes them", s->path);
    }
    qsort(set->shard, set->n, sizeof *set->shard, by_number);
    for (uint32_t i = 0; i < set->n; i++) { /* the same one twice: the second one is left out */
        nj_merge_shard *s = &set->shard[i], *last = n ? &set->shard[n - 1] : NULL;
        if (s->n != set->shard[0].n || strcmp(s->by, set->shard[0].by) != 0) {
            fault(set, "%s is shard %u of %u by %s, and %s is of %u by %s", s->path, s->k, s->n, s->by,
                  set->shard[0].path, set->shard[0].n, set->shard[0].by);
            set->n_foreign++;
        } else if (last && last->k == s->k) {
            fault(set, "shard %u of %u is there twice: %s and %s", s->k, s->n, last->path, s->path);
            nj_merge_shard twice = *s;
            memmove(s, s + 1, (set->n - i - 1) * sizeof *s);
            set->shard[--set->n] = twice;
            nj_merge_set one = { &set->shard[set->n], 1, 0 };
            nj_mark_free(&one.shard->mark);
            json_decref(one.shard->said);
            free(one.shard->configuration);
            free(one.shard->stream);
            i--;
            continue;
        }
        n++;
    }
    const nj_merge_shard *first = &set->shard[0];
    for (unsigned k = 1; k <= first->n; k++) {
        bool there = false;
        for (uint32_t i = 0; i < set->n; i++) there |= set->shard[i].k == k;
        /* a shard without letters has no file of them */
        if (!there && (!nj_merge_may_lack(first, kind) || (o->n_folders && o->n_folders < first->n)))
            fault(set, "shard %u of %u is missing", k, first->n);
    }
    for (uint32_t i = 0; i < set->n; i++) {
        nj_merge_shard *s = &set->shard[i];
        if (!s->complete)
            fault(set,
                  "shard %u of %u did not come to its end: %s; `nightjar run` with --resume continues it",
                  s->k, s->n, s->path);
        if (!i) continue;
        if (strcmp(version_of(s), version_of(first)) != 0)
            fault(set, "%s is of nightjar %s, and %s of %s", s->path, version_of(s), first->path,
                  version_of(first));
        const uint32_t before = set->n_faults;
        compare_lines(set, first, s);
        compare_lines(set, s, first);
        note_foreign(set, before);
    }
    const uint32_t before = set->n_faults;
    compare_types(set);
    note_foreign(set, before);
    if (nj_merge_may_lack(first, kind)) return 0;
    const uint32_t faults = set->n_faults; /* with one of them sums would say the same in other words */
    for (uint32_t k = 0; k < first->n_streams; k++) check_stream(set, &first->stream[k], !faults);
    note_foreign(set, faults);
    return 0;
}

void nj_merge_set_free(nj_merge_set *set)
{
    for (uint32_t i = 0; i < set->n; i++) {
        nj_mark_free(&set->shard[i].mark);
        json_decref(set->shard[i].said);
        free(set->shard[i].configuration);
        free(set->shard[i].stream);
    }
    free(set->shard);
    *set = (nj_merge_set){ 0 };
}

/* ---- the account of all ---------------------------------------------------------------------- */

/* Adds the numbers of `from`; the sums of one stream. */
static void add_stream(json_t *to, const json_t *from)
{
    static const char *const key[] = { "chunks", "emitted", "filtered", "dead", "duplicates", "offset" };
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        json_object_set_new(to, key[i], json_integer(number(to, key[i]) + number(from, key[i])));
    int64_t published = number(from, "published");
    if (published > number(to, "published")) json_object_set_new(to, "published", json_integer(published));
}

static json_t *streams_of(const nj_merge_set *set)
{
    json_t *list = json_array(), *item, *have;
    size_t k, j;
    for (uint32_t i = 0; i < set->n; i++)
        json_array_foreach(json_object_get(set->shard[i].said, "streams"), k, item)
        {
            json_t *to = NULL;
            json_array_foreach(list, j, have) if (!strcmp(text(have, "name"), text(item, "name"))) to = have;
            if (!to) {
                to = json_object();
                json_object_set_new(to, "name", json_string(text(item, "name")));
                json_object_set_new(to, "record", json_integer(0));
                json_object_set_new(to, "member", json_string(""));
                json_array_append_new(list, to);
            }
            add_stream(to, item);
        }
    return list;
}

int nj_merge_mark(const nj_merge_set *set, nj_mark *mark, nj_error *err)
{
    nj_buffer lines = { 0 };
    uint64_t digest = 0;
    int64_t written = 0;
    const nj_merge_shard *first = &set->shard[0];
    for (const char *line = first->configuration, *end; (end = strchr(line, '\n')); line = end + 1)
        if (!is_the_shards(line)) nj_buffer_add(&lines, line, (size_t)(end + 1 - line));
    nj_buffer_text(&lines, "");
    json_t *early = json_array(), *item;
    size_t k;
    for (uint32_t i = 0; i < set->n; i++) {
        digest += strtoull(text(set->shard[i].said, "digest"), NULL, 16);
        written += number(set->shard[i].said, "written");
        json_array_foreach(json_object_get(set->shard[i].said, "ended_early"), k, item) if (!i)
            json_array_append(early, item); /* each shard read the same source */
    }
    char hex[24];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)digest);
    json_t *state = json_pack("{s:I,s:s,s:o,s:{s:i,s:i,s:s,s:s}}", "written", (json_int_t)written, "digest",
                              hex, "streams", streams_of(set), "merged", "shards", (int)set->n, "of",
                              (int)first->n, "by", first->by, "version", nj_version);
    if (state && json_array_size(early)) json_object_set(state, "ended_early", early);
    json_decref(early);
    mark->kind = NJ_MARK_THERE;
    mark->commit = 1;
    mark->complete = !set->n_faults;
    if (asprintf(&mark->run, "merged-%s", first->mark.run ? first->mark.run : "") < 0) mark->run = NULL;
    mark->configuration = lines.data;
    mark->state = state ? json_dumps(state, JSON_COMPACT) : NULL;
    json_decref(state);
    if (mark->run && mark->state && !lines.failed) return 0;
    nj_mark_free(mark);
    return nj_fail(err, "out of memory for the journal");
}
