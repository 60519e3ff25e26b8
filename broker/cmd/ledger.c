/* ledger.c - `nightjar ledger`: what became of a night's alerts, over all restarts, from the journals that
 * stand beside the outputs, also during a run. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/file.h"
#include "../sink/rolled_name.h"
#include "../sink/sink.h"
#include "command.h"

static const char *const class_name[] = { "chunks", "emitted", "filtered", "dead", "duplicates" };
enum { CLASSES = 5 };

/* One of several files of an output. */
typedef struct part {
    char *name, *of;
    int64_t rows, bytes;
    bool finished;
} part;

/* One run: its outputs have the same name in their journals; the one that is furthest counts. */
typedef struct night {
    nj_mark mark;
    char *path; /* of that output */
    uint32_t n_outputs, n_complete;
    part *part; /* [n_parts] */
    uint32_t n_parts;
    int64_t parts_rows; /* by the journals of the outputs that they are of */
} night;

typedef struct options {
    bool json;
    night *item; /* [n] */
    uint32_t n;
} options;

static const nj_option table[] = { { "json", 0, NJ_OPTION_FLAG, offsetof(options, json), .doc = "as JSON" },
                                   { 0 } };

static int ledger(int argc, char **argv);

NJ_COMMAND(ledger) = {
    .name = "ledger",
    .usage = "ledger FILE|FOLDER...",
    .summary = "what became of the alerts of runs, over their restarts, by the outputs' journals",
    .main = ledger,
    .options = { table },
    .arguments =
        (const nj_meaning[]){
            { "FILE",
              "an output of `nightjar run`, or its .journal; a run may be under way; of an output of several "
              "files one of them, or the name as -o has it" },
            { "FOLDER", "all outputs in it" },
            { 0 } },
    .exits = (const nj_meaning[]){ { "2", "a journal could not be read, or there is none" }, { 0 } },
};

static int add_part(night *n, const char *name, const char *of, int64_t rows, int64_t bytes, bool finished,
                    nj_error *err)
{
    part *more = realloc(n->part, (n->n_parts + 1) * sizeof *more);
    if (!more) return nj_fail(err, "out of memory");
    n->part = more;
    part *p = &n->part[n->n_parts++];
    *p = (part){ strdup(name), strdup(of), rows, bytes, finished };
    return p->name && p->of ? 0 : nj_fail(err, "out of memory");
}

/* An output of several files: those that are not finished stand in its journal, the others have their own. */
static int add_unfinished(night *n, const nj_mark *mark, const char *path, nj_error *err)
{
    json_t *list = json_loads(mark->files, 0, NULL), *item;
    size_t i;
    int rc = 0;
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "file"));
        if (name && !rc)
            rc = add_part(n, name, nj_base_name(path), json_integer_value(json_object_get(item, "rows")),
                          json_integer_value(json_object_get(item, "bytes")), false, err);
    }
    n->parts_rows += mark->rows;
    json_decref(list);
    return rc;
}

/* What a finished file is called in its output: with those of its folders that have places. */
static const char *name_in(const char *path, const char *of)
{
    int folders = 0;
    const char *at = path + strlen(path);
    for (const char *c = *of == '.' ? of : ""; *c; c++) folders += *c == '+';
    while (at > path && !(at[-1] == '/' && !folders--)) at--;
    return at;
}

static bool has_streams(const nj_mark *mark)
{
    json_t *state = mark->state && *mark->state ? json_loads(mark->state, 0, NULL) : NULL;
    const bool has = json_array_size(json_object_get(state, "streams")) > 0;
    json_decref(state);
    return has;
}

static int add_mark(options *o, nj_mark *mark, const char *path, nj_error *err)
{
    night *n = NULL;
    for (uint32_t i = 0; i < o->n && !n; i++)
        if (o->item[i].mark.run && !strcmp(o->item[i].mark.run, mark->run)) n = &o->item[i];
    if (!n) {
        night *more = realloc(o->item, (o->n + 1) * sizeof *more);
        if (!more) return nj_fail(err, "out of memory");
        o->item = more;
        n = &o->item[o->n++];
        *n = (night){ 0 };
    }
    int rc = 0;
    if (mark->part_of) {
        rc = add_part(n, name_in(path, mark->part_of), mark->part_of, mark->rows, mark->bytes, true, err);
    } else {
        n->n_outputs++;
        n->n_complete += mark->complete;
        if (mark->files) rc = add_unfinished(n, mark, path, err);
    }
    /* a file of several knows nothing of the run's streams */
    bool further = !mark->part_of && (n->mark.part_of || mark->commit > n->mark.commit);
    /* nor does one that was merged of such */
    if (n->path && !mark->part_of && has_streams(mark) != has_streams(&n->mark)) further = has_streams(mark);
    if (rc || (n->path && !further)) return nj_mark_free(mark), rc;
    free(n->path);
    nj_mark_free(&n->mark);
    n->mark = *mark;
    return (n->path = strdup(path)) ? 0 : nj_fail(err, "out of memory");
}

/* 0 also when the file is no output. */
static int add_file(options *o, const char *path, nj_error *err)
{
    char spec[4200], head[16] = "";
    nj_mark mark = { 0 };
    FILE *f = fopen(path, "rbe");
    size_t n = f ? fread(head, 1, sizeof head - 1, f) : 0;
    if (f) fclose(f);
    int rc;
    snprintf(spec, sizeof spec, "%s.journal", path);
    if (n >= 15 && access(spec, F_OK) && !memcmp(head, "SQLite format 3", 15)) {
        if (snprintf(spec, sizeof spec, "sqlite:%s", path) >= (int)sizeof spec)
            return nj_fail(err, "%.200s...: the name is too long", path);
        rc = nj_sink_look(spec, &mark, err);
    } else {
        const char *slash = strrchr(path, '/'); /* rows that became a HATS catalogue */
        const bool hats = slash && !strcmp(slash, "/rows.parquet");
        rc = hats ? nj_journal_look_consumed(path, &mark, err) : nj_journal_look(path, &mark, err);
    }
    if (rc) return -1;
    if (mark.kind == NJ_MARK_THERE) return add_mark(o, &mark, path, err);
    nj_mark_free(&mark);
    return 0;
}

/* The file that PATH.journal, or in a tree of folders _PATH.journal, is of. */
static void strip_journal(char *path)
{
    char *base = path + (nj_base_name(path) - path);
    path[strlen(path) - strlen(".journal")] = 0;
    if (*base != '.' || access(path, F_OK) == 0) return;
    memmove(base, base + 1, strlen(base));
    if (!nj_journal_is_hidden(path)) { /* it begins with a dot by itself */
        memmove(base + 1, base, strlen(base) + 1);
        *base = '.';
    }
}

/* The journals of a folder and of the trees in it, and its databases. */
static int add_folder(options *o, const char *folder, bool all, nj_error *err)
{
    struct dirent **list;
    int n = scandir(folder, &list, NULL, alphasort), rc = 0;
    if (n < 0) return nj_fail(err, "%s: cannot be read: %s", folder, strerror(errno));
    all |= nj_rolled_is_tree(folder);
    for (int i = 0; i < n; i++) {
        char path[4200], plain[4200];
        struct stat st, beside;
        bool fits = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name) < (int)sizeof path;
        bool journal = nj_ends_with(path, ".journal");
        snprintf(plain, sizeof plain, "%s", path);
        if (journal) strip_journal(plain);
        if (!rc && fits && list[i]->d_name[0] != '.' && !lstat(path, &st) && S_ISDIR(st.st_mode) &&
            (all || nj_rolled_is_tree(path)))
            rc = add_folder(o, path, all, err);
        /* an output has its turn by its journal; what has none may be a database */
        if (!rc && fits && !stat(path, &st) && S_ISREG(st.st_mode)) {
            char other[4300];
            snprintf(other, sizeof other, "%s.journal", path);
            if (journal || (stat(other, &beside) && !nj_journal_is_hidden(path)))
                rc = add_file(o, plain, err);
        }
        free(list[i]);
    }
    free(list);
    return rc;
}

/* The name of an output of several files is that of no file, but of a journal. */
static bool is_rolled(const char *word)
{
    char journal[4300];
    snprintf(journal, sizeof journal, "%s.journal", word);
    return access(journal, F_OK) == 0;
}

static int add_word(options *o, const char *word, nj_error *err)
{
    struct stat st;
    uint32_t before = 0, after = 0;
    char plain[4200];
    bool journal = nj_ends_with(word, ".journal");
    char *stem = nj_rolled_stem(word);
    snprintf(plain, sizeof plain, "%s", stem ? stem : word);
    free(stem);
    if (journal) strip_journal(plain);
    for (uint32_t i = 0; i < o->n; i++) before += o->item[i].n_outputs + o->item[i].n_parts;
    if (stat(word, &st) && !(strlen(word) < sizeof plain - 8 && is_rolled(plain)))
        return nj_fail(err, "%s: %s", word, strerror(errno));
    if (!stat(word, &st) && S_ISDIR(st.st_mode) ? add_folder(o, word, false, err) : add_file(o, plain, err))
        return -1;
    for (uint32_t i = 0; i < o->n; i++) after += o->item[i].n_outputs + o->item[i].n_parts;
    return after > before ? 0 : nj_fail(err, "%s: no journal of a run is there", word);
}

static void add_sums(const json_t *streams, json_int_t sum[CLASSES])
{
    size_t i;
    const json_t *s;
    json_array_foreach(streams, i, s) for (int c = 0; c < CLASSES; c++) sum[c] +=
        json_integer_value(json_object_get(s, class_name[c]));
}

static void show_line(nj_buffer *out, const char *name, const json_int_t sum[CLASSES])
{
    nj_buffer_printf(out, "%-40.200s", name);
    for (int c = 0; c < CLASSES; c++) nj_buffer_printf(out, " %10" JSON_INTEGER_FORMAT, sum[c]);
    nj_buffer_text(out, "\n");
}

static void show_parts(const night *n, nj_buffer *out)
{
    int64_t rows = 0;
    uint32_t finished = 0;
    for (uint32_t i = 0; i < n->n_parts; i++) {
        rows += n->part[i].rows;
        finished += n->part[i].finished;
    }
    nj_buffer_printf(out, "%u file%s, %u of them finished, %" PRId64 " rows\n", n->n_parts,
                     n->n_parts == 1 ? "" : "s", finished, rows);
    for (uint32_t i = 0; i < n->n_parts; i++)
        nj_buffer_printf(out, "%-40.200s %10" PRId64 " rows %12" PRId64 " bytes%s\n", n->part[i].name,
                         n->part[i].rows, n->part[i].bytes, n->part[i].finished ? "" : ", not finished");
    if (n->n_outputs && rows < n->parts_rows)
        nj_buffer_printf(out, "%" PRId64 " more rows are in finished files whose journals are not here\n",
                         n->parts_rows - rows);
}

static void show(const options *o, nj_buffer *out)
{
    json_int_t all[CLASSES] = { 0 };
    for (uint32_t i = 0; i < o->n; i++) {
        const night *n = &o->item[i];
        json_int_t sum[CLASSES] = { 0 };
        json_t *state = n->mark.state[0] ? json_loads(n->mark.state, 0, NULL) : NULL;
        const json_t *streams = json_object_get(state, "streams"), *s;
        size_t k;
        if (!n->n_outputs) {
            nj_buffer_printf(out, "%srun %s: files of %s\n", i ? "\n" : "", n->mark.run, n->mark.part_of);
            show_parts(n, out);
            continue;
        }
        nj_buffer_printf(out, "%srun %s: %u output%s, %s\n", i ? "\n" : "", n->mark.run, n->n_outputs,
                         n->n_outputs > 1 ? "s" : "",
                         n->n_complete == n->n_outputs
                             ? "complete"
                             : "not complete: under way, or to be resumed (--resume)");
        nj_buffer_printf(out, "%-40s", "");
        for (int c = 0; c < CLASSES; c++) nj_buffer_printf(out, " %10s", class_name[c]);
        nj_buffer_text(out, "\n");
        json_array_foreach(streams, k, s)
        {
            json_int_t own[CLASSES];
            for (int c = 0; c < CLASSES; c++) own[c] = json_integer_value(json_object_get(s, class_name[c]));
            show_line(out, json_string_value(json_object_get(s, "name")), own);
        }
        add_sums(streams, sum);
        if (json_array_size(streams) != 1) show_line(out, "all", sum);
        json_array_foreach(json_object_get(state, "ended_early"), k, s)
            nj_buffer_printf(out, "ended early: %s\n", json_string_value(s));
        if (n->n_parts) show_parts(n, out);
        for (int c = 0; c < CLASSES; c++) all[c] += sum[c];
        json_array_foreach(json_object_get(state, "shed"), k, s)
            nj_buffer_printf(out, "without %s, which was left out: %" JSON_INTEGER_FORMAT "\n",
                             json_string_value(json_object_get(s, "module")),
                             json_integer_value(json_object_get(s, "alerts")));
        json_decref(state);
    }
    if (o->n > 1) nj_buffer_text(out, "\n"), show_line(out, "all runs", all);
}

static void show_json(const options *o, nj_buffer *out)
{
    nj_buffer_text(out, "[");
    for (uint32_t i = 0; i < o->n; i++) {
        const night *n = &o->item[i];
        json_int_t sum[CLASSES] = { 0 };
        json_t *state = n->mark.state[0] ? json_loads(n->mark.state, 0, NULL) : NULL;
        add_sums(json_object_get(state, "streams"), sum);
        json_decref(state);
        nj_buffer_text(out, i ? ",\n {\"run\": " : "{\"run\": ");
        nj_json_text(out, n->mark.run);
        nj_buffer_printf(out, ", \"outputs\": %u, \"complete\": %s", n->n_outputs,
                         n->n_outputs && n->n_complete == n->n_outputs ? "true" : "false");
        for (int c = 0; c < CLASSES; c++)
            nj_buffer_printf(out, ", \"%s\": %" JSON_INTEGER_FORMAT, class_name[c], sum[c]);
        if (n->n_parts) nj_buffer_text(out, ", \"files\": [");
        for (uint32_t k = 0; k < n->n_parts; k++) {
            nj_buffer_text(out, k ? ", {\"file\": " : "{\"file\": ");
            nj_json_text(out, n->part[k].name);
            nj_buffer_text(out, ", \"of\": ");
            nj_json_text(out, n->part[k].of);
            nj_buffer_printf(out, ", \"rows\": %" PRId64 ", \"bytes\": %" PRId64 ", \"finished\": %s}",
                             n->part[k].rows, n->part[k].bytes, n->part[k].finished ? "true" : "false");
        }
        if (n->n_parts) nj_buffer_text(out, "]");
        nj_buffer_printf(out, ", \"state\": %s}", n->mark.state[0] ? n->mark.state : "{}");
    }
    nj_buffer_text(out, "]\n");
}

static int ledger(int argc, char **argv)
{
    options o = { 0 };
    nj_words words;
    nj_error err = { "" };
    nj_buffer out = { 0 };
    int rc = NJ_EXIT_OK;
    if (nj_command_parse(&nj_command_ledger, &o, argc, argv, &words, &err) ||
        (!words.n && nj_fail(&err, "no FILE or FOLDER given")))
        rc = NJ_EXIT_USAGE;
    for (int i = 0; i < words.n && rc == NJ_EXIT_OK; i++)
        if (add_word(&o, words.item[i], &err)) rc = NJ_EXIT_SOURCE;
    if (rc == NJ_EXIT_OK) {
        if (o.json)
            show_json(&o, &out);
        else
            show(&o, &out);
    } else {
        fprintf(stderr, "nightjar ledger: %s\n", err.text);
    }
    for (uint32_t i = 0; i < o.n; i++) {
        nj_mark_free(&o.item[i].mark);
        for (uint32_t k = 0; k < o.item[i].n_parts; k++) {
            free(o.item[i].part[k].name);
            free(o.item[i].part[k].of);
        }
        free(o.item[i].part);
        free(o.item[i].path);
    }
    free(o.item);
    if (rc == NJ_EXIT_OK) return nj_command_print(&out);
    nj_buffer_free(&out);
    return rc;
}
