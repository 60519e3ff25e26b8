/* oracle.h - real alerts with their stamps, and the reference tables that go with them (shared/oracles). */
#ifndef TESTS_KERNEL_ORACLE_H
#define TESTS_KERNEL_ORACLE_H

#include <math.h>

#include "tests/unit/decode_kit.h"
#include "broker/image/opener.h"

/* One alert: the two stamps, and what the gate looks at. */
typedef struct alert {
    int64_t id;
    nj_image stamp[2]; /* pixel NULL: unreadable */
    double jd, jdstarthist, *mag;
    uint32_t n_mag;
} alert;

typedef struct alerts {
    alert *item;
    int n;
    nj_arena arena;
} alerts;

static inline void alerts_add(alerts *all, nj_decoder *d, nj_cursor *cursor, nj_opener *opener,
                              nj_batch *batch, const char *path)
{
    static const nj_column_def col[] = { { "candid", NJ_I64, NJ_SCALAR, NULL, 1 },
                                         { "jd", NJ_F64, NJ_SCALAR, NULL, 1 },
                                         { "packet.candidate.jdstarthist", NJ_F64, NJ_SCALAR, NULL, 1 },
                                         { "lc.mag", NJ_F64, NJ_SERIES, NULL, 1 } };
    static const nj_layout layout = { "ztf", 4, 4, col, 1 << NJ_SCIENCE | 1 << NJ_TEMPLATE };
    size_t size = 0;
    nj_error err = { "" };
    uint8_t *bytes = kit_file(path, &size);
    if (!bytes) fail_msg("%s: cannot read", path);
    nj_chunk *chunk = kit_chunk(bytes, size);
    free(bytes);
    assert_int_equal(nj_batch_begin(batch, &layout, 512), 0);
    if (nj_cursor_open(cursor, d, chunk, &err)) fail_msg("%s: %s", path, err.text);
    assert_int_equal(nj_cursor_read(cursor, batch, 512, SIZE_MAX), 0);
    if (batch->n_dead) fail_msg("%s: %s", path, batch->dead[0].reason);
    for (uint32_t r = 0; r < batch->n; r++) {
        alert *a = &all->item[all->n++];
        *a = (alert){ .id = batch->id[r],
                      .jd = KIT_AT(batch, 1, double, r),
                      .jdstarthist = KIT_AT(batch, 2, double, r) };
        a->n_mag = KIT_FROM(batch, 3, r + 1) - KIT_FROM(batch, 3, r);
        a->mag = nj_arena_alloc(&all->arena, (a->n_mag + 1) * sizeof *a->mag);
        memcpy(a->mag, (const double *)batch->col[3].data + KIT_FROM(batch, 3, r), a->n_mag * sizeof *a->mag);
        for (int s = 0; s < 2; s++) {
            nj_stamp *stamp = &batch->stamp[s == 0 ? NJ_SCIENCE : NJ_TEMPLATE][r];
            const char *why = NULL;
            nj_stamp_open(opener, stamp, &all->arena, &why);
            if (stamp->state == NJ_STAMP_OPEN) a->stamp[s] = stamp->image;
        }
    }
    nj_batch_end(batch);
    nj_chunk_drop(chunk);
}

/* All alerts of a set ("host" ... "G", "dev"), in the order of its tables. */
static inline void alerts_load(alerts *all, const char *set)
{
    char path[2048];
    nj_settings settings = { 0 };
    nj_decoder *d = kit_decoder(&settings, NULL);
    nj_opener *opener = nj_opener_new(d);
    nj_batch *batch = nj_batch_new();
    nj_cursor cursor = { 0 };
    *all = (alerts){ .item = calloc(512, sizeof(alert)) };
    if (!strcmp(set, "dev")) {
        int n;
        char **names = kit_folder("ztf", ".avro", &n);
        for (int i = 0; i < n; i++) {
            alerts_add(all, d, &cursor, opener, batch, names[i]);
            free(names[i]);
        }
        free(names);
    } else {
        if (!strcmp(set, "G"))
            snprintf(path, sizeof path, "%s/real/other/fink_ztf/public_20260322_31alerts.avro", kit_shared());
        else
            snprintf(path, sizeof path, "%s/oracles/alerts/%s.avro", kit_shared(), set);
        alerts_add(all, d, &cursor, opener, batch, path);
    }
    nj_batch_free(batch);
    nj_cursor_free(&cursor);
    nj_opener_free(opener);
    nj_decoder_free(d);
    nj_settings_free(&settings);
}

static inline void alerts_free(alerts *all)
{
    nj_arena_free(&all->arena);
    free(all->item);
}

/* A reference table: cells as text, NULL where there is no such table. */
typedef struct table {
    char **head, ***cell;
    uint32_t n_cols, n;
    nj_arena arena;
} table;

static inline int table_load(table *t, const char *set, const char *kind)
{
    char path[2048], *rest = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/oracles/computed/%s%s.csv", kit_shared(), set, kind);
    char *text = (char *)kit_file(path, &size);
    *t = (table){ 0 };
    if (!text) return -1;
    t->cell = nj_arena_alloc(&t->arena, 1024 * sizeof *t->cell);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char **cell = nj_arena_alloc(&t->arena, 512 * sizeof *cell),
             *at = nj_arena_text(&t->arena, line, strlen(line));
        uint32_t n = 0;
        for (char *field; n < 512 && (field = at); n++) { /* quoted cells hold no quotes here */
            char *end = *at == '"' ? strchr(++field, '"') : at + strcspn(at, ",");
            at = *end == '"' ? end + 1 : end;
            at = *at == ',' ? at + 1 : NULL;
            *end = 0;
            cell[n] = field;
        }
        if (!t->head)
            t->head = cell, t->n_cols = n;
        else
            t->cell[t->n++] = cell;
    }
    free(text);
    return 0;
}

static inline const char *table_text(const table *t, uint32_t row, const char *column)
{
    for (uint32_t c = 0; c < t->n_cols; c++)
        if (!strcmp(t->head[c], column)) return t->cell[row][c];
    fail_msg("no column %s", column);
    return NULL;
}
static inline double table_number(const table *t, uint32_t row, const char *column)
{
    const char *text = table_text(t, row, column);
    return *text ? strtod(text, NULL) : NAN;
}
static inline void table_free(table *t)
{
    nj_arena_free(&t->arena);
}

#endif
