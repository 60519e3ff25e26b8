/* kinds.c - files of shards are told apart by their content, whatever they are called. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/file.h"
#include "../base/unpack.h"
#include "merge.h"

static long fill(void *file, void *into, size_t room, nj_error *err)
{
    size_t n = fread(into, 1, room, file);
    return n || !ferror((FILE *)file) ? (long)n : nj_fail(err, "%s", strerror(errno));
}

static bool has(const uint8_t *head, size_t n, const char *text)
{
    return memmem(head, n, text, strlen(text)) != NULL;
}

/* An empty file: NDJSON without rows. */
static nj_merge_kind kind_of(const char *path, const uint8_t *head, size_t n)
{
    if (n >= 15 && !memcmp(head, "SQLite format 3", 15)) return NJ_MERGE_SQLITE;
    if (n >= 9 && !memcmp(head, "SIMPLE  =", 9)) return NJ_MERGE_FITS;
    if (n >= 4 && !memcmp(head, "PAR1", 4)) return NJ_MERGE_PARQUET;
    if (n >= 4 && !memcmp(head, "Obj\1", 4)) {
        if (has(head, n, "\"name\":\"dead_letter\",\"namespace\":\"nightjar\"")) return NJ_MERGE_LETTERS;
        return has(head, n, "\"nightjar.alert.shard\"") || has(head, n, "{\"name\":\"shard\",\"type\":")
                   ? NJ_MERGE_AVRO
                   : NJ_MERGE_PACKETS;
    }
    if (n && head[0] == '{') return has(head, n, "\"schema_version\"") ? NJ_MERGE_REPORT : NJ_MERGE_NDJSON;
    if (n >= 10 && !memcmp(head, "shard.part", 10)) return NJ_MERGE_CSV;
    return n || !strstr(nj_base_name(path), "json") ? NJ_MERGE_UNKNOWN : NJ_MERGE_NDJSON;
}

nj_merge_kind nj_merge_kind_of(const char *path, nj_error *err)
{
    FILE *f = fopen(path, "rbe");
    if (!f) return nj_fail(err, "%s: cannot be read: %s", path, strerror(errno)), NJ_MERGE_UNKNOWN;
    uint8_t head[4096];
    size_t n = 0;
    nj_unpacker *u = nj_unpacker_new(fill, f, NULL, 0, NJ_ZSTD_WINDOW);
    const uint8_t *piece;
    for (long got; u && n < sizeof head && (got = nj_unpacker_next(u, &piece, NULL)) > 0;) {
        size_t more = (size_t)got < sizeof head - n ? (size_t)got : sizeof head - n;
        memcpy(head + n, piece, more);
        n += more;
    }
    nj_unpacker_free(u);
    fclose(f);
    nj_merge_kind kind = kind_of(path, head, n);
    if (kind == NJ_MERGE_UNKNOWN) nj_fail(err, "%s: is no output of a run", path);
    return kind;
}
