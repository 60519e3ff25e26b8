/* sort.c - a night of alerts is larger than memory, and its objects are spread over all of it: an external
 * merge sort. */
#include "sort.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RUNS = 64, BUFFER = 256 << 10 };

/* Before each record's key and payload. */
typedef struct head {
    uint64_t number; /* in which it came */
    uint32_t key_size, size;
} head;

typedef struct run {
    FILE *file;  /* NULL: the records in memory */
    uint64_t at; /* in memory: the next of `place` */
    head h;
    uint8_t *bytes; /* key and payload of the present record */
    size_t cap;
    bool ended;
} run;

struct nj_sorter {
    char *folder;
    size_t memory;
    uint8_t *data; /* heads, keys and payloads, one behind the other */
    size_t n, cap;
    size_t *place; /* where each record begins */
    size_t n_places, cap_places;
    uint64_t number;
    run run[MOST_RUNS + 1];
    uint32_t n_runs, written;
    bool reading;
    int last; /* the run of the record that was given last; -1: none */
};

static int compare(const head *a, const uint8_t *a_key, const head *b, const uint8_t *b_key)
{
    const uint32_t n = a->key_size < b->key_size ? a->key_size : b->key_size;
    const int c = memcmp(a_key, b_key, n);
    if (c) return c;
    if (a->key_size != b->key_size) return a->key_size < b->key_size ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int compare_places(const void *a, const void *b, void *data_)
{
    const uint8_t *data = data_, *x = data + *(const size_t *)a, *y = data + *(const size_t *)b;
    head p, q;
    memcpy(&p, x, sizeof p);
    memcpy(&q, y, sizeof q);
    return compare(&p, x + sizeof p, &q, y + sizeof q);
}

nj_sorter *nj_sorter_new(const char *folder, size_t memory, nj_error *err)
{
    nj_sorter *s = calloc(1, sizeof *s);
    if (s) *s = (nj_sorter){ .folder = strdup(folder), .memory = memory, .last = -1 };
    if (s && s->folder) return s;
    nj_sorter_free(s);
    return nj_fail(err, "out of memory"), NULL;
}

void nj_sorter_free(nj_sorter *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->n_runs; i++) {
        if (!s->run[i].file) continue; /* the bytes of memory's run are in `data` */
        fclose(s->run[i].file);
        free(s->run[i].bytes);
    }
    free(s->folder);
    free(s->data);
    free(s->place);
    free(s);
}

uint32_t nj_sorter_runs(const nj_sorter *s)
{
    return s->written;
}

/* A file without a name: it is gone with the process, whatever ends it. */
static FILE *new_file(nj_sorter *s, nj_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/nightjar-sort-XXXXXX", s->folder);
    const int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");
    if (fd >= 0) unlink(path);
    if (f && setvbuf(f, NULL, _IOFBF, BUFFER) == 0) return f;
    nj_fail(err, "%s: %s", s->folder, strerror(errno));
    if (f)
        fclose(f);
    else if (fd >= 0)
        close(fd);
    return NULL;
}

static int cannot_write(const nj_sorter *s, nj_error *err)
{
    return nj_fail(err, "%s: cannot write what is sorted: %s", s->folder, strerror(errno));
}

static int end_file(nj_sorter *s, FILE *f, nj_error *err)
{
    s->written++;
    return fflush(f) || fseek(f, 0, SEEK_SET) ? cannot_write(s, err) : 0;
}

static void sort_memory(nj_sorter *s)
{
    qsort_r(s->place, s->n_places, sizeof *s->place, compare_places, s->data);
}

/* 1: it has a record; 0: it is at its end; -1 with err. */
static int advance(nj_sorter *s, run *r, nj_error *err)
{
    if (!r->file) {
        if (r->at == s->n_places) return r->ended = true, 0;
        memcpy(&r->h, s->data + s->place[r->at], sizeof r->h);
        r->bytes = s->data + s->place[r->at++] + sizeof r->h;
        return 1;
    }
    if (fread(&r->h, 1, sizeof r->h, r->file) != sizeof r->h) {
        r->ended = true;
        return ferror(r->file)
                   ? nj_fail(err, "%s: cannot read what was sorted: %s", s->folder, strerror(errno))
                   : 0;
    }
    const size_t n = (size_t)r->h.key_size + r->h.size;
    if (n > r->cap) {
        uint8_t *more = realloc(r->bytes, n);
        if (!more) return nj_fail(err, "out of memory");
        r->bytes = more;
        r->cap = n;
    }
    if (fread(r->bytes, 1, n, r->file) != n)
        return nj_fail(err, "%s: what was sorted is cut: %s", s->folder, strerror(errno));
    return 1;
}

static int least(const nj_sorter *s)
{
    int best = -1;
    for (uint32_t i = 0; i < s->n_runs; i++) {
        if (s->run[i].ended) continue;
        if (best < 0 || compare(&s->run[i].h, s->run[i].bytes, &s->run[best].h, s->run[best].bytes) < 0)
            best = (int)i;
    }
    return best;
}

/* All runs become one. */
static int join_runs(nj_sorter *s, nj_error *err)
{
    FILE *f = new_file(s, err);
    if (!f) return -1;
    int rc = 0, k;
    for (uint32_t i = 0; i < s->n_runs && rc >= 0; i++) rc = advance(s, &s->run[i], err);
    while (rc >= 0 && (k = least(s)) >= 0) {
        const run *r = &s->run[k];
        const size_t n = (size_t)r->h.key_size + r->h.size;
        if (fwrite(&r->h, 1, sizeof r->h, f) != sizeof r->h || fwrite(r->bytes, 1, n, f) != n)
            rc = cannot_write(s, err);
        else
            rc = advance(s, &s->run[k], err);
    }
    if (rc >= 0) rc = end_file(s, f, err);
    for (uint32_t i = 0; i < s->n_runs; i++) {
        fclose(s->run[i].file);
        free(s->run[i].bytes);
    }
    s->run[0] = (run){ .file = f };
    s->n_runs = 1;
    return rc;
}

static int spill(nj_sorter *s, nj_error *err)
{
    if (s->n_runs == MOST_RUNS && join_runs(s, err)) return -1;
    FILE *f = new_file(s, err);
    if (!f) return -1;
    s->run[s->n_runs++] = (run){ .file = f };
    sort_memory(s);
    for (size_t i = 0; i < s->n_places; i++) {
        head h;
        memcpy(&h, s->data + s->place[i], sizeof h);
        const size_t n = sizeof h + h.key_size + h.size;
        if (fwrite(s->data + s->place[i], 1, n, f) != n) return cannot_write(s, err);
    }
    s->n = s->n_places = 0;
    return end_file(s, f, err);
}

int nj_sorter_add(nj_sorter *s, const void *key, uint32_t key_size, const void *payload, uint32_t size,
                  nj_error *err)
{
    const head h = { s->number++, key_size, size };
    const size_t need = sizeof h + key_size + size;
    if (s->n_places && s->n + need + (s->n_places + 1) * sizeof *s->place > s->memory && spill(s, err))
        return -1;
    if (s->n + need > s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 1 << 20;
        if (cap > s->memory) cap = s->memory;
        if (cap < s->n + need) cap = s->n + need;
        uint8_t *more = realloc(s->data, cap);
        if (!more) return nj_fail(err, "out of memory");
        s->data = more;
        s->cap = cap;
    }
    if (s->n_places == s->cap_places) {
        const size_t cap = s->cap_places ? s->cap_places * 2 : 1024;
        size_t *more = realloc(s->place, cap * sizeof *more);
        if (!more) return nj_fail(err, "out of memory");
        s->place = more;
        s->cap_places = cap;
    }
    s->place[s->n_places++] = s->n;
    memcpy(s->data + s->n, &h, sizeof h);
    memcpy(s->data + s->n + sizeof h, key, key_size);
    if (size) memcpy(s->data + s->n + sizeof h + key_size, payload, size);
    s->n += need;
    return 0;
}

int nj_sorter_next(nj_sorter *s, nj_sorted *record, nj_error *err)
{
    if (!s->reading) {
        s->reading = true;
        sort_memory(s);
        s->run[s->n_runs++] = (run){ .file = NULL };
        for (uint32_t i = 0; i < s->n_runs; i++)
            if (advance(s, &s->run[i], err) < 0) return -1;
    } else if (s->last >= 0 && advance(s, &s->run[s->last], err) < 0) {
        return -1;
    }
    s->last = least(s);
    if (s->last < 0) return 0;
    const run *r = &s->run[s->last];
    *record = (nj_sorted){ r->bytes, r->bytes + r->h.key_size, r->h.key_size, r->h.size };
    return 1;
}
