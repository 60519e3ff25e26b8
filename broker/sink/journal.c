/* journal.c - a file alone does not say up to which alert it is complete: a second file beside it does.
 *
 * One JSON object a line: the header, then the commits; the last whole line counts. Lines are added and
 * synced, because a rename for each commit would need the folder on the disk too before offsets may move. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/file.h"
#include "waits.h"

enum { VERSION = 1, LONGEST = 1 << 20, MOST_BYTES = 256 << 20 };
static const char magic[] = "nightjar.journal";

struct nj_journal {
    char *path, *file;                   /* of the output; of the journal */
    char *run, *configuration, *part_of; /* part_of: NULL = of none */
    bool disk;
    int fd;
    off_t end;
};

void nj_mark_free(nj_mark *mark)
{
    free(mark->run);
    free(mark->configuration);
    free(mark->state);
    free(mark->files);
    free(mark->part_of);
    *mark = (nj_mark){ 0 };
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_header(json_t *header, nj_mark *mark)
{
    const char *run = json_string_value(json_object_get(header, "run"));
    const json_t *lines = json_object_get(header, "configuration"), *line;
    nj_buffer text = { 0 };
    size_t i;
    if (json_integer_value(json_object_get(header, magic)) != VERSION || !run || !json_is_array(lines))
        return -1;
    json_array_foreach(lines, i, line)
    {
        nj_buffer_text(&text, json_string_value(line) ? json_string_value(line) : "");
        nj_buffer_text(&text, "\n");
    }
    nj_buffer_text(&text, "");
    const char *part_of = json_string_value(json_object_get(header, "part_of"));
    mark->run = strdup(run);
    mark->configuration = text.data;
    if (part_of && !(mark->part_of = strdup(part_of))) return -1;
    return mark->run && mark->configuration && !text.failed ? 0 : -1;
}

static int read_commit(json_t *line, nj_mark *mark)
{
    const json_t *bytes = json_object_get(line, "bytes"), *rows = json_object_get(line, "rows"),
                 *commit = json_object_get(line, "commit"), *state = json_object_get(line, "state"),
                 *files = json_object_get(line, "files");
    if (!json_is_integer(bytes) || !json_is_integer(rows) || !json_is_integer(commit)) return -1;
    char *text = json_is_object(state) ? json_dumps(state, JSON_COMPACT) : strdup("");
    if (!text) return -1;
    free(mark->state);
    free(mark->files);
    mark->state = text;
    mark->files = json_is_array(files) ? json_dumps(files, JSON_COMPACT) : NULL;
    if (json_is_array(files) && !mark->files) return -1;
    mark->bytes = json_integer_value(bytes);
    mark->rows = json_integer_value(rows);
    mark->commit = (uint64_t)json_integer_value(commit);
    mark->complete = json_is_true(json_object_get(line, "complete"));
    return 0;
}

/* The header, and the last line that is whole: a crash leaves half a line at most, a power cut zeros. */
static int parse(char *text, size_t n, nj_mark *mark)
{
    char *first = memchr(text, '\n', n), *end = memrchr(text, '\n', n);
    int rc = -1;
    if (!first) return -1;
    *first = 0;
    json_t *header = json_loads(text, 0, NULL);
    if (header && !read_header(header, mark))
        while (rc && end > first) {
            *end = 0;
            char *before = memrchr(first + 1, '\n', (size_t)(end - first - 1)),
                 *line = before ? before + 1 : first + 1;
            json_t *commit = json_loads(line, 0, NULL);
            if (commit) rc = read_commit(commit, mark);
            json_decref(commit);
            end = before;
            if (!before) break;
        }
    json_decref(header);
    return rc;
}

static char *name_of(const char *path)
{
    size_t n = strlen(path) + sizeof ".journal";
    char *name = malloc(n);
    if (name) snprintf(name, n, "%s.journal", path);
    return name;
}

char *nj_journal_hidden(const char *path)
{
    const size_t n = strlen(path), folder = (size_t)(nj_base_name(path) - path);
    char *hidden = malloc(n + 2);
    if (!hidden) return NULL;
    memcpy(hidden, path, folder);
    hidden[folder] = '.';
    memcpy(hidden + folder + 1, path + folder, n - folder + 1);
    return hidden;
}

static char *hidden_name_of(const char *path)
{
    char *hidden = nj_journal_hidden(path), *name = hidden ? name_of(hidden) : NULL;
    free(hidden);
    return name;
}

bool nj_journal_is_hidden(const char *path)
{
    char *name = name_of(path), *hidden = hidden_name_of(path);
    const bool is = name && hidden && access(name, F_OK) && !access(hidden, F_OK);
    free(name);
    free(hidden);
    return is;
}

static int look(const char *path, bool consumed, nj_mark *mark, nj_error *err)
{
    struct stat st;
    size_t n;
    *mark = (nj_mark){ .kind = NJ_MARK_NONE };
    bool there = stat(path, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) return 0;
    char *file = nj_journal_is_hidden(path) ? hidden_name_of(path) : name_of(path),
         *text = file ? nj_file_read(file, MOST_BYTES, &n) : NULL;
    int rc = 0;
    if (!text && (!file || errno != ENOENT)) {
        rc = nj_fail(err, "%s: %s", file ? file : path, file ? strerror(errno) : "out of memory");
    } else if (!text) {
        mark->kind = there && st.st_size ? NJ_MARK_UNKNOWN : NJ_MARK_NEW;
    } else if (parse(text, n, mark)) {
        nj_mark_free(mark);
        rc = nj_fail(err, "%s: is no journal of nightjar", file);
    } else if (mark->bytes > (there ? st.st_size : 0) &&
               (there || !(mark->part_of || (consumed && mark->complete)))) {
        rc = there ? nj_fail(err, "%s: has %lld bytes; its journal says that %lld were there", path,
                             (long long)st.st_size, (long long)mark->bytes)
                   : nj_fail(err, "%s: is gone; its journal says that it had %lld bytes", path,
                             (long long)mark->bytes);
        nj_mark_free(mark);
    } else {
        mark->kind = NJ_MARK_THERE;
    }
    free(text);
    free(file);
    return rc;
}

int nj_journal_look(const char *path, nj_mark *mark, nj_error *err)
{
    return look(path, false, mark, err);
}

int nj_journal_look_consumed(const char *path, nj_mark *mark, nj_error *err)
{
    return look(path, true, mark, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add_header(nj_buffer *out, const nj_journal *j)
{
    nj_buffer_printf(out, "{\"%s\":%d,\"run\":", magic, VERSION);
    nj_json_text(out, j->run);
    if (j->part_of) {
        nj_buffer_text(out, ",\"part_of\":");
        nj_json_text(out, j->part_of);
    }
    nj_buffer_text(out, ",\"configuration\":[");
    for (const char *at = j->configuration, *end; (end = strchr(at, '\n')); at = end + 1) {
        char *line = strndup(at, (size_t)(end - at));
        if (at != j->configuration) nj_buffer_text(out, ",");
        if (line)
            nj_json_text(out, line);
        else
            out->failed = 1;
        free(line);
    }
    nj_buffer_text(out, "]}\n");
}

static void add_commit(nj_buffer *out, const nj_mark *mark)
{
    char when[32];
    struct tm utc;
    time_t now = time(NULL);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    nj_buffer_printf(out, "{\"commit\":%llu,\"time\":\"%s\",\"bytes\":%lld,\"rows\":%lld",
                     (unsigned long long)mark->commit, when, (long long)mark->bytes, (long long)mark->rows);
    if (mark->complete) nj_buffer_text(out, ",\"complete\":true");
    if (mark->files) {
        nj_buffer_text(out, ",\"files\":");
        nj_buffer_text(out, mark->files);
    }
    if (mark->state && *mark->state) {
        nj_buffer_text(out, ",\"state\":");
        nj_buffer_text(out, mark->state);
    }
    nj_buffer_text(out, "}\n");
}

static int put(const nj_journal *j, int fd, const char *bytes, size_t n)
{
    nj_wait wait = { 0 };
    nj_wait_kind kind;
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            int error = errno;
            if (nj_wait_helps(fd, error, &kind) && nj_wait_more(&wait, kind, j->file, strerror(error)))
                continue;
            return errno = error, -1;
        }
        nj_wait_over(&wait, j->file);
        bytes += done;
        n -= (size_t)done;
    }
    return j->disk && fdatasync(fd) && errno != EINVAL ? -1 : 0;
}

void nj_sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Header and one commit into a new file, and that into the place of the journal. */
static int begin_anew(nj_journal *j, const nj_mark *first, nj_error *err)
{
    nj_buffer text = { 0 };
    char fresh[4200];
    int rc = 0;
    add_header(&text, j);
    add_commit(&text, first);
    if (text.failed || snprintf(fresh, sizeof fresh, "%s.new", j->file) >= (int)sizeof fresh) {
        rc = nj_fail(err, "%s: %s", j->file, text.failed ? "out of memory" : "the name is too long");
    } else {
        int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
        if (fd < 0 || put(j, fd, text.data, text.n) || rename(fresh, j->file)) {
            rc = nj_fail(err, "%s: cannot be written: %s", j->file, strerror(errno));
            unlink(fresh);
            if (fd >= 0) close(fd);
        } else {
            if (j->disk) nj_sync_folder_of(j->file);
            if (j->fd >= 0) close(j->fd);
            j->fd = fd;
            j->end = (off_t)text.n;
        }
    }
    nj_buffer_free(&text);
    return rc;
}

nj_journal *nj_journal_begin(const char *path, const nj_journal_of *of, const nj_mark *first, nj_error *err)
{
    nj_journal *j = calloc(1, sizeof *j);
    if (!j) {
        nj_fail(err, "%s: out of memory", path);
        return NULL;
    }
    j->fd = -1;
    j->disk = of->disk;
    j->path = strdup(path);
    j->file = name_of(path);
    j->run = strdup(of->run);
    j->configuration = strdup(of->configuration);
    j->part_of = of->part_of ? strdup(of->part_of) : NULL;
    if (j->path && j->file && j->run && j->configuration && !j->part_of == !of->part_of) {
        if (begin_anew(j, first, err) == 0) return j;
    } else {
        nj_fail(err, "%s: out of memory", path);
    }
    nj_journal_end(j);
    return NULL;
}

int nj_journal_add(nj_journal *j, const nj_mark *mark, nj_error *err)
{
    nj_buffer text = { 0 };
    if (j->end > LONGEST)
        return begin_anew(j, mark, err); /* old commits say nothing that the last does not */
    add_commit(&text, mark);
    int rc = text.failed ? nj_fail(err, "%s: out of memory", j->file) : 0;
    if (!rc && put(j, j->fd, text.data, text.n)) {
        rc = nj_fail(err, "%s: cannot be written: %s", j->file, strerror(errno));
        if (ftruncate(j->fd, j->end)) rc = -1; /* half a line would spoil the next one */
    } else if (!rc) {
        j->end += (off_t)text.n;
    }
    nj_buffer_free(&text);
    return rc;
}

void nj_journal_end(nj_journal *j)
{
    if (!j) return;
    if (j->fd >= 0) close(j->fd);
    free(j->path);
    free(j->file);
    free(j->run);
    free(j->configuration);
    free(j->part_of);
    free(j);
}

void nj_journal_remove(const char *path)
{
    char *file = name_of(path);
    if (file) unlink(file);
    free(file);
}
