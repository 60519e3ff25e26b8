/* merge.c - rows of shards come one behind the other in the order of the night: always the one whose part and
 * record come first. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/file.h"
#include "../base/log.h"
#include "../sink/rolled_name.h"
#include "merge.h"

static const nj_merge_class *const class_of[] = {
    [NJ_MERGE_NDJSON] = &nj_merge_text,      [NJ_MERGE_CSV] = &nj_merge_text,
    [NJ_MERGE_AVRO] = &nj_merge_avro,        [NJ_MERGE_LETTERS] = &nj_merge_packets,
    [NJ_MERGE_PACKETS] = &nj_merge_packets,  [NJ_MERGE_SQLITE] = &nj_merge_sqlite,
    [NJ_MERGE_FITS] = &nj_merge_table_class, [NJ_MERGE_PARQUET] = &nj_merge_table_class,
};

static bool is_before(const nj_merge_shard *a, const nj_merge_shard *b)
{
    return a->part < b->part || (a->part == b->part && a->record < b->record);
}

static int step(const nj_merge_class *class, nj_merge_shard *s, nj_error *err)
{
    const int64_t before = s->part;
    if (!s->complete && (int64_t)s->n_rows >= s->mark.rows) { /* what follows does not count */
        s->over = true;
        return 0;
    }
    if (class->next(s, err)) return -1;
    if (s->over) return 0;
    if (s->n_rows && s->part < before) s->unordered = true;
    s->n_rows++;
    return 0;
}

static int copy_rows(const nj_merge_class *class, nj_merge_out *out, nj_merge_set *set, nj_error *err)
{
    for (;;) {
        nj_merge_shard *first = NULL;
        for (uint32_t i = 0; i < set->n; i++) {
            nj_merge_shard *s = &set->shard[i];
            if (!s->over && (!first || is_before(s, first))) first = s;
        }
        if (!first) return 0;
        if (class->put(out, first, err) || step(class, first, err)) return -1;
        out->n_rows++;
    }
}

/* A journal counts the rows of its file. */
static void check_rows(nj_merge_set *set)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const nj_merge_shard *s = &set->shard[i];
        if (s->unordered)
            nj_log(NJ_LOG_INFO,
                   "%s: its rows are not in the night's order, as partitions come: nor are the merged ones",
                   s->path);
        if ((int64_t)s->n_rows == s->mark.rows) continue;
        set->n_faults++;
        nj_log(NJ_LOG_ERROR, "%s: has %llu rows, and its journal counts %lld", s->path,
               (unsigned long long)s->n_rows, (long long)s->mark.rows);
    }
}

/* In a tree of folders it is out of the way of readers, as that of the shard is. */
static int keep_journal(const nj_merge_out *out, const char *shard, nj_mark *mark, nj_error *err)
{
    const nj_journal_of of = { .run = mark->run, .configuration = mark->configuration, .disk = true };
    mark->bytes = out->bytes;
    char *path = nj_journal_is_hidden(shard) ? nj_journal_hidden(out->path) : strdup(out->path);
    if (!path) return nj_fail(err, "%s: out of memory", out->path);
    nj_journal *journal = nj_journal_begin(path, &of, mark, err);
    nj_journal_end(journal);
    free(path);
    return journal ? 0 : -1;
}

static int by_rows(const void *a, const void *b)
{
    const nj_merge_shard *x = a, *y = b;
    const bool x_has = x->mark.rows > 0, y_has = y->mark.rows > 0;
    return x_has == y_has ? (x->k > y->k) - (x->k < y->k) : y_has - x_has;
}

static int merge_rows(nj_merge_set *set, const nj_merge_class *class, const char *path, nj_merge_kind kind,
                      const nj_merge_options *o, nj_error *err)
{
    nj_merge_out out = { .path = path, .mode = o->mode };
    int rc = 0;
    /* a shard without a row may know no types of columns */
    qsort(set->shard, set->n, sizeof *set->shard, by_rows);
    nj_merge_set some = { .shard = set->shard };
    while (some.n < set->n && (!some.n || set->shard[some.n].mark.rows)) some.n++;
    for (uint32_t i = 0; i < some.n && !rc; i++) rc = class->open(&set->shard[i], err);
    if (!rc) rc = class->begin(&out, &some, err);
    for (uint32_t i = 0; i < some.n && !rc; i++) rc = step(class, &set->shard[i], err);
    if (!rc) rc = copy_rows(class, &out, &some, err);
    if (!rc) check_rows(set);
    if (!rc) rc = nj_merge_mark(set, &out.mark, err);
    out.mark.rows = (int64_t)out.n_rows;
    if (!rc) rc = class->end(&out, err);
    bool written = !rc && (!set->n_faults || o->anyway);
    class->drop(&out, !written);
    if (written && kind != NJ_MERGE_SQLITE) rc = keep_journal(&out, set->shard[0].path, &out.mark, err);
    nj_mark_free(&out.mark);
    for (uint32_t i = 0; i < set->n; i++) class->close(&set->shard[i]);
    return rc;
}

static bool is_same(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int nj_merge_files(const char *out, const char *const *path, uint32_t n, const nj_merge_options *o,
                   nj_error *err)
{
    nj_merge_kind kind = NJ_MERGE_UNKNOWN;
    nj_merge_set set = { .shard = calloc(n, sizeof *set.shard), .n = n };
    int rc = 0;
    if (!set.shard) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < n && !rc; i++) {
        set.shard[i].path = path[i];
        nj_merge_kind other = nj_merge_kind_of(path[i], err);
        if (!i) kind = other;
        if (other == NJ_MERGE_UNKNOWN) rc = -1;
        if (!rc && other != kind) rc = nj_fail(err, "%s and %s are files of two kinds", path[0], path[i]);
        if (!rc && is_same(path[i], out)) rc = nj_fail(err, "%s: is a shard, and to be written", out);
    }
    if (!rc) rc = nj_merge_look(&set, kind, err);
    if (!rc) rc = nj_merge_check(&set, kind, o, err);
    const bool anyway = o->anyway && !set.n_foreign;
    if (!rc && (!set.n_faults || anyway))
        rc = kind == NJ_MERGE_REPORT ? nj_merge_reports(out, &set, o, err)
                                     : merge_rows(&set, class_of[kind], out, kind, o, err);
    if (!rc && set.n_faults) {
        nj_log(NJ_LOG_ERROR, "%s: %s", out,
               anyway          ? "is not the whole night: its account does not close"
               : set.n_foreign ? "is not written: these are not shards of one night"
                               : "is not written; --anyway writes what there is");
        rc = 1;
    }
    nj_merge_set_free(&set);
    return rc;
}

/* ---- folders --------------------------------------------------------------------------------- */

typedef struct names {
    char **item;
    size_t n;
} names;

static int add_name(names *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->item[i], name)) return 0;
    char **more = realloc(list->item, (list->n + 1) * sizeof *more);
    if (!more) return -1;
    list->item = more;
    list->item[list->n] = strdup(name);
    return list->item[list->n] ? (list->n++, 0) : -1;
}

/* What stands beside an output, and is not one. */
static bool is_beside(const char *name)
{
    static const char *const end[] = { ".journal", ".meta.json", ".rows",   ".undo",
                                       ".lock",    ".part",      "-journal" };
    bool beside = name[0] == '.';
    for (size_t i = 0; i < sizeof end / sizeof *end; i++) beside |= nj_ends_with(name, end[i]);
    return beside;
}

/* inside: the folder of it that is looked at, with a slash behind it; "" = itself. Of folders in it those of
 * an output whose name has places in folders. */
static int list_folder(names *list, const char *folder, const char *inside, bool all, nj_error *err)
{
    char at[4200];
    struct dirent **entry;
    snprintf(at, sizeof at, "%s/%s", folder, inside);
    int n = scandir(at, &entry, NULL, alphasort), rc = 0;
    if (n < 0) return nj_fail(err, "%s: cannot be read: %s", at, strerror(errno));
    all |= nj_rolled_is_tree(at);
    for (int i = 0; i < n; i++) {
        char name[4200], path[8500];
        struct stat st;
        bool fits = snprintf(name, sizeof name, "%s%s", inside, entry[i]->d_name) < (int)sizeof name - 1;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (!rc && fits && !is_beside(entry[i]->d_name) && !stat(path, &st)) {
            if (S_ISDIR(st.st_mode) && (all || nj_rolled_is_tree(path)))
                rc = list_folder(list, folder, strcat(name, "/"), all, err);
            else if (S_ISREG(st.st_mode) && add_name(list, name))
                rc = nj_fail(err, "out of memory");
        }
        free(entry[i]);
    }
    free(entry);
    return rc;
}

static bool may_lack(const char *path, nj_merge_kind kind)
{
    nj_merge_shard s = { .path = path };
    nj_error ignored;
    if (kind != NJ_MERGE_SQLITE && nj_journal_look(path, &s.mark, &ignored)) return false;
    bool may = nj_merge_may_lack(&s, kind);
    nj_mark_free(&s.mark);
    return may;
}

static int make_folder_of(const char *path, nj_error *err)
{
    char *folder = strndup(path, (size_t)(nj_base_name(path) - path));
    int rc = !folder                        ? nj_fail(err, "%s: out of memory", path)
             : nj_folder_make(folder, 0777) ? nj_fail(err, "%s: cannot be made: %s", folder, strerror(errno))
                                            : 0;
    free(folder);
    return rc;
}

/* The files of one name. 0, 1, -1 as for files; a file that is no output is left out, and named. */
static int merge_name(const char *out, const char *name, const char *const *folder, uint32_t n,
                      const nj_merge_options *o, nj_error *err)
{
    char target[4200], (*text)[4200] = calloc(n, sizeof *text);
    const char **path = calloc(n, sizeof *path);
    uint32_t there = 0, absent = 0;
    bool gone = false;
    int rc = 0;
    if (!text || !path) {
        free(text);
        free(path);
        return nj_fail(err, "out of memory");
    }
    nj_merge_kind kind = NJ_MERGE_UNKNOWN;
    for (uint32_t i = 0; i < n && !rc; i++) {
        struct stat st;
        snprintf(text[there], sizeof *text, "%s/%s", folder[i], name);
        if (stat(text[there], &st)) {
            nj_mark mark = { 0 };
            nj_error ignored;
            if (!absent || !gone) absent = i + 1;
            gone |= nj_journal_look(text[there], &mark, &ignored) ||
                    mark.kind == NJ_MARK_THERE; /* it was there */
            nj_mark_free(&mark);
            continue;
        }
        path[there] = text[there];
        kind = nj_merge_kind_of(path[there++], err);
    }
    snprintf(target, sizeof target, "%s/%s", out, name);
    if (!rc && kind == NJ_MERGE_UNKNOWN) {
        nj_log(NJ_LOG_INFO, "%s: left out", err->text);
    } else if (!rc && absent && (gone || !may_lack(path[0], kind)) && !o->anyway) {
        nj_log(NJ_LOG_ERROR, "%s/%s: is not there; the other shards have it", folder[absent - 1], name);
        rc = 1;
    } else if (!rc) {
        rc = make_folder_of(target, err) ? -1 : nj_merge_files(target, path, there, o, err);
    }
    free(path);
    free(text);
    return rc;
}

int nj_merge_folders(const char *out, const char *const *folder, uint32_t n, const nj_merge_options *o,
                     nj_error *err)
{
    names list = { 0 };
    nj_merge_options of = *o;
    of.n_folders = n;
    int rc = 0, wrong = 0;
    for (uint32_t i = 0; i < n && !rc; i++) rc = list_folder(&list, folder[i], "", false, err);
    if (!rc && !list.n) rc = nj_fail(err, "%s: holds no output of a run", folder[0]);
    if (!rc && mkdir(out, 0777) && errno != EEXIST) rc = nj_fail(err, "%s: %s", out, strerror(errno));
    for (size_t i = 0; i < list.n && rc >= 0; i++) {
        rc = merge_name(out, list.item[i], folder, n, &of, err);
        wrong |= rc == 1;
    }
    for (size_t i = 0; i < list.n; i++) free(list.item[i]);
    free(list.item);
    return rc < 0 ? -1 : wrong;
}
