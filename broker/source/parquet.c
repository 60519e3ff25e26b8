/* parquet.c - downloaded nights come as a folder of Parquet files or as one file; this reads both. */
#include "source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/arena.h"
#include "../base/clock.h"
#include "../base/file.h"
#include "classes.h"
#include "hats_folder.h"
#include "../parquet/parquet_avro.h"

enum { MOST_FOLDER_COLUMNS = 16, PPM = 1000000 };

/* The schema that the chunks of a file share: a copy for each would be a tenth of what is in flight. */
typedef struct shared_key {
    uint32_t refs;
    uint8_t bytes[];
} shared_key;

typedef struct parquet_source {
    nj_source base;
    const nj_source_host *host;
    char *spec;
    const char **name; /* relative to the folder, sorted bytewise; one file: "" */
    size_t n, cap, at;
    nj_arena names;
    nj_folder_column column[MOST_FOLDER_COLUMNS]; /* value unused */
    uint32_t n_columns;
    nj_parquet_avro *rows; /* of name[at]; NULL between files */
    shared_key *key;
    size_t key_size;
    uint64_t row; /* of the file, next */
    const nj_shard *shard;
    uint32_t group;    /* of the file, the present or next one; with a shard by parts */
    bool in_group;     /* it is being read */
    uint64_t n_groups; /* of all files so far, this one's left out */
    int64_t n_handed;
    uint64_t done_ppm; /* files, in millionths */
    uint64_t damaged;
    char first_damaged[512];
    nj_skipped skipped;
} parquet_source;

/* What Spark and pyarrow write beside the data: _SUCCESS, _metadata, ._part.crc, _spark_metadata/ */
static int is_hidden(const FTSENT *e)
{
    return e->fts_level > 0 && (e->fts_name[0] == '.' || e->fts_name[0] == '_');
}

static FTS *walk(const char *folder)
{
    char *root[] = { (char *)folder, NULL };
    return fts_open(root, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL); /* the folder may be a link */
}

static int begins_as_parquet(const char *path)
{
    char magic[4];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, magic, sizeof magic);
    if (fd >= 0) close(fd);
    return n == 4 && !memcmp(magic, "PAR1", 4);
}

/* In a HATS catalogue any ending is allowed, also none ("npix_suffix"): there the content decides. */
static int is_table(const char *path)
{
    static const char *const ending[] = { ".parquet", ".parq", ".pq" };
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (nj_ends_with(path, ending[i])) return 1;
    return nj_hats_is_rows(path) && begins_as_parquet(path);
}

/* A folder is of this kind when it holds Parquet files and no packet of another kind, which would be lost. */
static int match(const char *spec)
{
    struct stat st;
    if (stat(spec, &st)) return 0;
    if (S_ISREG(st.st_mode)) return is_table(spec) || begins_as_parquet(spec);
    if (!S_ISDIR(st.st_mode)) return 0;
    FTS *tree = walk(spec);
    int parquet = 0, other = 0;
    for (FTSENT *e; tree && !other && (e = fts_read(tree));) {
        if (e->fts_info == FTS_D && is_hidden(e)) fts_set(tree, e, FTS_SKIP);
        if (e->fts_info == FTS_D || e->fts_info == FTS_DP || is_hidden(e)) continue;
        if (e->fts_info == FTS_DEFAULT || (e->fts_info == FTS_SL && nj_is_special(e->fts_path))) continue;
        parquet |= is_table(e->fts_path);
        other |= nj_source_is_packet_name(e->fts_name);
    }
    if (tree) fts_close(tree);
    return parquet && !other;
}

/* ---- the folder ---- */

static int add_name(parquet_source *s, const char *name)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        const char **grown = realloc(s->name, cap * sizeof *grown);
        if (!grown) return -1;
        s->name = grown;
        s->cap = cap;
    }
    s->name[s->n] = nj_arena_text(&s->names, name, strlen(name));
    return s->name[s->n++] ? 0 : -1;
}

static void damaged(parquet_source *s, const char *why)
{
    if (s->damaged++ == 0) snprintf(s->first_damaged, sizeof s->first_damaged, "%.500s", why);
    s->host->note(s->host->opaque, why);
    if (s->host->early) s->host->early(s->host->opaque, why);
}

/* On entering a folder: a part of a catalogue that repeats rows of another part is left out, unless it was
 * asked for by name. *catalogue: how long the path of the catalogue is that the walk is in; 0 = in none. */
static void enter(parquet_source *s, FTS *tree, FTSENT *e, size_t *catalogue)
{
    if (*catalogue) return;
    nj_hats_kind kind = nj_hats_kind_of(e->fts_path);
    if (kind == NJ_HATS_NONE && e->fts_level == 0) kind = nj_hats_kind_around(e->fts_path);
    if (kind == NJ_HATS_BESIDE && e->fts_level > 0) {
        fts_set(tree, e, FTS_SKIP);
        nj_skipped_add_metadata(&s->skipped, e->fts_path + strlen(s->spec) + 1);
    } else if (kind != NJ_HATS_NONE) {
        *catalogue = e->fts_pathlen;
    }
}

static int is_link_to_folder(const FTSENT *e)
{
    struct stat st;
    return e->fts_info == FTS_SL && stat(e->fts_path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int scan(parquet_source *s, nj_error *err)
{
    size_t skip = strlen(s->spec) + 1, catalogue = 0;
    FTS *tree = walk(s->spec);
    int rc = tree ? 0 : nj_fail(err, "%s: cannot be read: %s", s->spec, strerror(errno));
    for (FTSENT *e; rc == 0 && (e = fts_read(tree));) {
        const char *inside = e->fts_pathlen >= skip ? e->fts_path + skip : "";
        char text[512];
        if (e->fts_info == FTS_D && is_hidden(e)) fts_set(tree, e, FTS_SKIP);
        if (e->fts_info != FTS_DP && is_hidden(e)) nj_skipped_add_metadata(&s->skipped, inside);
        if (e->fts_info == FTS_D && !is_hidden(e)) enter(s, tree, e, &catalogue);
        if (e->fts_info == FTS_DP && e->fts_pathlen == catalogue) catalogue = 0;
        if (e->fts_info == FTS_D || e->fts_info == FTS_DP || is_hidden(e)) continue;
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR) {
            snprintf(text, sizeof text, "%s: cannot be read: %s", e->fts_path, strerror(e->fts_errno));
            damaged(s, text);
        } else if (nj_is_special(e->fts_path)) {
            nj_skipped_add_special(&s->skipped, inside);
        } else if (is_link_to_folder(e)) {
            nj_skipped_add_special(&s->skipped, inside);
        } else if (!is_table(e->fts_path)) {
            nj_skipped_add(&s->skipped, inside, 0);
        } else if (catalogue && !nj_hats_is_rows(e->fts_path + catalogue)) {
            nj_skipped_add_metadata(&s->skipped, inside);
        } else if (add_name(s, inside)) {
            rc = nj_fail(err, "%s: out of memory for the names", s->spec);
        }
    }
    if (tree) fts_close(tree);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* ---- folder=names ---- */

static int hex(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? (tolower((unsigned char)c) - 'a') + 10
                                        : -1;
}

/* "Early%20SN": pyarrow and Spark escape what a file name may not hold. */
static char *unescaped(nj_arena *arena, const char *text, size_t n)
{
    char *to = nj_arena_text(arena, text, n);
    size_t k = 0;
    for (size_t i = 0; to && i < n; i++) {
        int high = text[i] == '%' && i + 2 < n ? hex(text[i + 1]) : -1,
            low = high < 0 ? -1 : hex(text[i + 2]);
        if (low >= 0) i += 2;
        to[k++] = low >= 0 && high + low ? (char)(high * 16 + low) : text[i];
    }
    if (to) to[k] = 0;
    return to;
}

static int is_whole_number(const char *text)
{
    size_t n = strspn(text + (*text == '-'), "0123456789");
    return n >= 1 && n <= 18 && !text[(*text == '-') + n];
}

static nj_folder_column *find_column(nj_folder_column *column, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(column[i].name, name)) return &column[i];
    return NULL;
}

/* The key=value folders of a name; 0 when there are no more, -1 when memory is short. */
static int next_part(nj_arena *arena, const char **at, char **key, char **value)
{
    static const char nothing[] = "__HIVE_DEFAULT_PARTITION__";
    for (const char *slash; (slash = strchr(*at, '/')); *at = slash + 1) {
        const char *equals = memchr(*at, '=', (size_t)(slash - *at));
        if (!equals || equals == *at) continue;
        *key = unescaped(arena, *at, (size_t)(equals - *at));
        *value = unescaped(arena, equals + 1, (size_t)(slash - equals - 1));
        if (!*key || !*value) return -1;
        if (!strcmp(*value, nothing)) *value = NULL;
        *at = slash + 1;
        return 1;
    }
    return 0;
}

/* All names first: a column is a number only if it is one in every folder. */
static int find_folder_columns(parquet_source *s, nj_error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *at = s->name[i];
        char *key, *value;
        int rc;
        while ((rc = next_part(&s->names, &at, &key, &value)) > 0) {
            nj_folder_column *c = find_column(s->column, s->n_columns, key);
            if (!c && s->n_columns == MOST_FOLDER_COLUMNS)
                return nj_fail(err, "%s: folders name more than %d columns", s->spec, MOST_FOLDER_COLUMNS);
            if (!c) {
                c = &s->column[s->n_columns++];
                *c = (nj_folder_column){ .name = key, .is_long = 1 };
            }
            c->is_long &= !value || is_whole_number(value);
        }
        if (rc < 0) return nj_fail(err, "%s: out of memory for the names", s->spec);
    }
    return 0;
}

static nj_parquet_avro *open_rows(parquet_source *s, const char *path, nj_error *err)
{
    nj_folder_column column[MOST_FOLDER_COLUMNS];
    nj_arena texts = { 0 };
    memcpy(column, s->column, sizeof column);
    const char *at = s->name[s->at];
    char *key, *value;
    while (next_part(&texts, &at, &key, &value) > 0) {
        nj_folder_column *c = find_column(column, s->n_columns, key);
        if (c) c->value = value;
    }
    nj_parquet_avro *rows = nj_parquet_avro_open(path, column, s->n_columns, err);
    nj_arena_free(&texts);
    return rows;
}

/* ---- chunks ---- */

static void drop_key(shared_key *key)
{
    if (key && __atomic_sub_fetch(&key->refs, 1, __ATOMIC_ACQ_REL) == 0) free(key);
}

static void release(nj_chunk *chunk)
{
    if (chunk->key) drop_key((shared_key *)(chunk->key - offsetof(shared_key, bytes)));
    free(chunk->bytes);
    free(chunk->member);
    free(chunk);
}

static void close_file(parquet_source *s)
{
    if (s->rows) s->n_groups += nj_parquet_avro_groups(s->rows);
    s->group = 0;
    s->in_group = false;
    nj_parquet_avro_close(s->rows);
    drop_key(s->key);
    s->rows = NULL;
    s->key = NULL;
}

static int open_next(parquet_source *s, nj_error *err)
{
    char path[4608];
    const char *name = s->name[s->at];
    if (snprintf(path, sizeof path, "%s%s%s", s->spec, *name ? "/" : "", name) >= (int)sizeof path)
        return nj_fail(err, "%.300s...: the path is too long", path);
    s->rows = open_rows(s, path, err);
    if (!s->rows) return -1;
    const char *schema = nj_parquet_avro_schema(s->rows, &s->key_size);
    s->key = malloc(sizeof *s->key + s->key_size);
    s->row = 0;
    if (!s->key) return nj_fail(err, "%s: out of memory", path);
    s->key->refs = 1;
    memcpy(s->key->bytes, schema, s->key_size);
    return 0;
}

static nj_chunk *make_chunk(parquet_source *s, const uint8_t *datum, size_t size)
{
    char member[4608];
    const char *name = s->name[s->at];
    snprintf(member, sizeof member, "%s%srow %llu", name, *name ? " " : "", (unsigned long long)s->row);
    uint8_t *bytes = malloc(size);
    char *copy = strdup(member);
    nj_chunk *chunk = bytes && copy ? nj_chunk_new(s->base.stream, bytes, size) : NULL;
    if (!chunk) {
        free(bytes);
        free(copy);
        return NULL;
    }
    memcpy(bytes, datum, size);
    __atomic_add_fetch(&s->key->refs, 1, __ATOMIC_RELAXED);
    chunk->release = release;
    chunk->member = copy;
    chunk->key = s->key->bytes;
    chunk->key_size = s->key_size;
    chunk->framing = NJ_FRAME_KEYED;
    chunk->offset = s->n_handed++;
    chunk->part = nj_shard_part(s->shard, s->n_groups + s->group, chunk->offset);
    chunk->arrival_ns = nj_now_ns();
    return chunk;
}

/* The next row of the open file: 1, 0 at its end, -1. */
static int next_row(parquet_source *s, nj_chunk **chunk, nj_error *err)
{
    const uint8_t *datum;
    size_t size;
    uint64_t count = nj_parquet_avro_count(s->rows);
    int rc = nj_parquet_avro_next(s->rows, &datum, &size, err);
    if (rc <= 0) return rc;
    *chunk = make_chunk(s, datum, size);
    if (!*chunk) return nj_fail(err, "%s: out of memory", s->spec);
    s->row++;
    __atomic_store_n(&s->done_ppm, s->at * (uint64_t)PPM + (uint64_t)(PPM * ((double)s->row / (double)count)),
                     __ATOMIC_RELAXED);
    return 1;
}

/* Of the open file only the row groups that are this shard's. */
static int next_of_shard(parquet_source *s, nj_chunk **chunk, nj_error *err)
{
    uint32_t n = nj_parquet_avro_groups(s->rows);
    if (!s->shard || s->shard->by != NJ_SHARD_PART) return next_row(s, chunk, err);
    for (; s->group < n; s->group++) {
        nj_error why;
        if (!s->in_group && !nj_shard_take(s->shard, s->base.stream, "row group", s->n_groups + s->group))
            continue;
        if (!s->in_group) s->row = nj_parquet_avro_seek(s->rows, s->group);
        s->in_group = true;
        int rc = next_row(s, chunk, &why);
        if (rc > 0) return 1;
        s->in_group = false;
        if (rc < 0) damaged(s, why.text); /* the others of the file are dealt out all the same */
    }
    (void)err;
    return 0;
}

/* A damaged file does not cost the rest of the night: it is noted, and the source ends as an error. */
static nj_next next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    parquet_source *s = (parquet_source *)source;
    while (s->at < s->n) {
        nj_error why = { "" };
        int rc = s->rows || !open_next(s, &why) ? next_of_shard(s, chunk, &why) : -1;
        if (rc > 0) return NJ_NEXT_CHUNK;
        if (rc < 0) damaged(s, why.text);
        close_file(s);
        s->at++;
        __atomic_store_n(&s->done_ppm, s->at * (uint64_t)PPM, __ATOMIC_RELAXED);
    }
    nj_skipped_report(&s->skipped, s->host, s->spec, "file");
    s->skipped = (nj_skipped){ 0 };
    if (!s->damaged) return NJ_NEXT_END;
    if (s->n == 1)
        nj_fail(err, "%s", s->first_damaged);
    else
        nj_fail(err, "%s: %llu of its files and folders could not be read to the end; the first: %s", s->spec,
                (unsigned long long)s->damaged, s->first_damaged);
    return NJ_NEXT_ERROR;
}

static void close_source(nj_source *source)
{
    parquet_source *s = (parquet_source *)source;
    close_file(s);
    nj_arena_free(&s->names);
    free(s->name);
    free(s->spec);
    free(s);
}

static nj_source *open_source(const nj_source_args *args, nj_error *err)
{
    struct stat st;
    parquet_source *s = calloc(1, sizeof *s);
    if (!s || !(s->spec = strdup(args->spec))) {
        free(s);
        nj_fail(err, "%s: out of memory", args->spec);
        return NULL;
    }
    s->base.class = &nj_source_parquet;
    s->host = args->host;
    s->shard = args->shard;
    for (size_t n = strlen(s->spec); n > 1 && s->spec[n - 1] == '/';) s->spec[--n] = 0;
    int rc = stat(s->spec, &st) ? nj_fail(err, "%s: cannot be read: %s", s->spec, strerror(errno)) : 0;
    if (rc == 0 && S_ISDIR(st.st_mode))
        rc = scan(s, err);
    else if (rc == 0 && add_name(s, ""))
        rc = nj_fail(err, "%s: out of memory", s->spec);
    if (rc == 0 && s->n) qsort(s->name, s->n, sizeof *s->name, by_bytes);
    if (rc == 0) rc = find_folder_columns(s, err);
    if (rc == 0 && !(s->base.stream = s->host->stream(s->host->opaque, s->spec, NULL, -1)))
        rc = nj_fail(err, "%s: no room for another source", s->spec);
    if (rc == 0) return &s->base;
    close_source(&s->base);
    return NULL;
}

static int progress(const nj_source *source, double *done, double *whole)
{
    const parquet_source *s = (const parquet_source *)source;
    *done = (double)__atomic_load_n(&s->done_ppm, __ATOMIC_RELAXED) / PPM;
    *whole = (double)s->n;
    return 0;
}

const nj_source_class nj_source_parquet = {
    .name = "parquet",
    .form = "FOLDER of .parquet, FILE.parquet",
    .doc = "a downloaded night (fink_datatransfer); folders key=value are columns packet.key",
    .match = match,
    .open = open_source,
    .next = next,
    .close = close_source,
    .progress = progress
};
