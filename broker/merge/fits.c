/* fits.c - the table ALERTS of a shard as columns: what the sink wrote is what it gets again. */
#include <fitsio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../base/reason.h"
#include "table.h"

typedef struct fits {
    fitsfile *file;
    LONGLONG n_rows, at; /* at: rows that were read */
    int *type;           /* [n_fields] of cfitsio; negative = a series */
    long *bytes;         /* [n_fields] of a text */
} fits;

static int failed(const char *path, int status, nj_error *err)
{
    char text[FLEN_STATUS] = "";
    fits_get_errstatus(status, text);
    fits_clear_errmsg();
    return nj_fail(err, "%s: %s", path, text);
}

static const char *read_text(nj_merge_table *t, const char *card)
{
    char *value = NULL;
    int none = 0;
    if (fits_read_key_longstr(((fits *)t->of)->file, card, &value, NULL, &none)) return NULL;
    const char *kept = nj_arena_text(&t->arena, value, strlen(value));
    fits_free_memory(value, &none);
    return kept;
}

/* NJKEY1 = 'run' begins each run's; the sink writes that itself. */
static int read_provenance(nj_merge_table *t)
{
    uint32_t n = 0;
    t->m = nj_arena_zalloc(&t->arena, NJ_MERGE_PAIRS * sizeof *t->m);
    if (!t->m) return -1;
    for (uint32_t i = 1; n + 1 < NJ_MERGE_PAIRS; i++) {
        char card[16];
        snprintf(card, sizeof card, "NJKEY%u", i);
        const char *key = read_text(t, card);
        snprintf(card, sizeof card, "NJVAL%u", i);
        const char *value = key ? read_text(t, card) : NULL;
        if (!key) break;
        if (!strcmp(key, "run") && n) break; /* a run that appended: the first one's stand for all */
        if (strcmp(key, "run") != 0) t->m[n++] = (nj_metadata){ key, value };
    }
    fits_clear_errmsg();
    return 0;
}

static nj_type type_of(int type)
{
    switch (abs(type)) {
    case TBYTE: return NJ_U8;
    case TINT:
    case TLONG: return NJ_I32; /* 32 bits in the file */
    case TLONGLONG: return NJ_I64;
    case TFLOAT: return NJ_F32;
    case TDOUBLE: return NJ_F64;
    default: return NJ_STR;
    }
}

static int read_column(nj_merge_table *t, uint32_t f, int *status)
{
    fits *x = t->of;
    nj_field *field = &t->field[f];
    char card[16];
    long repeat, width;
    unsigned number = f + 1;
    snprintf(card, sizeof card, "TKEY%u", number);
    field->key = read_text(t, card);
    snprintf(card, sizeof card, "TCOMM%u", number);
    field->doc = read_text(t, card);
    snprintf(card, sizeof card, "TUNIT%u", number);
    field->unit = read_text(t, card);
    fits_clear_errmsg();
    if (fits_get_coltype(x->file, (int)number, &x->type[f], &repeat, &width, status)) return -1;
    field->type = type_of(x->type[f]);
    field->width = x->type[f] < 0 ? 0 : (uint32_t)repeat;
    x->bytes[f] = width;
    if (field->type != NJ_STR) return field->key ? 0 : -1;
    field->width = width ? (uint32_t)(repeat / width) : 1;
    if (field->key && nj_ends_with(field->key, ".reason") &&
        field->width == 1) { /* of the width of reasons */
        field->type = NJ_U8;
        field->text = nj_reason_name;
    }
    return field->key ? 0 : -1;
}

int nj_merge_fits_open(nj_merge_table *t, const char *path, nj_error *err)
{
    fits *x = t->of = nj_arena_zalloc(&t->arena, sizeof *x);
    int status = 0, n = 0;
    if (!x) return nj_fail(err, "out of memory");
    if (fits_open_diskfile(&x->file, path, READONLY, &status)) return failed(path, status, err);
    if (read_provenance(t)) return nj_fail(err, "out of memory");
    fits_movnam_hdu(x->file, BINARY_TBL, (char *)"ALERTS", 0, &status);
    fits_get_num_cols(x->file, &n, &status);
    fits_get_num_rowsll(x->file, &x->n_rows, &status);
    if (status) return failed(path, status, err);
    t->n_fields = (uint32_t)n;
    t->field = nj_arena_zalloc(&t->arena, (size_t)n * sizeof *t->field);
    t->value = nj_arena_zalloc(&t->arena, (size_t)n * sizeof *t->value);
    t->absent = nj_arena_zalloc(&t->arena, (size_t)n * sizeof *t->absent);
    x->type = nj_arena_zalloc(&t->arena, (size_t)n * sizeof *x->type);
    x->bytes = nj_arena_zalloc(&t->arena, (size_t)n * sizeof *x->bytes);
    if (!t->field || !t->value || !t->absent || !x->type || !x->bytes) return nj_fail(err, "out of memory");
    for (uint32_t f = 0; f < t->n_fields; f++)
        if (read_column(t, f, &status))
            return status ? failed(path, status, err)
                          : nj_fail(err, "%s: column %u has no TKEY", path, f + 1);
    return 0;
}

void nj_merge_fits_close(nj_merge_table *t)
{
    fits *x = t->of;
    int ignored = 0;
    if (x && x->file) fits_close_file(x->file, &ignored);
    t->of = NULL;
}

static int code_of(nj_type type)
{
    static const int code[] = {
        [NJ_U8] = TBYTE, [NJ_I32] = TINT, [NJ_I64] = TLONGLONG, [NJ_F32] = TFLOAT, [NJ_F64] = TDOUBLE
    };
    return code[type];
}

static uint8_t reason_of(const char *word)
{
    for (int k = 0; k < NJ_REASONS; k++)
        if (!strcmp(nj_reason_name[k], word)) return (uint8_t)k;
    return NJ_NO_U8;
}

/* Texts; an empty one is "no answer". */
static int fill_texts(nj_merge_table *t, uint32_t f, LONGLONG n, int *status)
{
    const fits *x = t->of;
    const nj_field *field = &t->field[f];
    size_t count = (size_t)n * field->width, room = (size_t)x->bytes[f] + 1;
    char **text = nj_arena_alloc(&t->rows, (count + 1) * sizeof *text),
         *bytes = nj_arena_zalloc(&t->rows, count * room + 1);
    if (!text || !bytes) return -1;
    for (size_t i = 0; i < count; i++) text[i] = bytes + i * room;
    fits_read_col_str(x->file, (int)f + 1, x->at + 1, 1, (LONGLONG)count, (char *)"", text, NULL, status);
    if (field->text) {
        uint8_t *code = nj_arena_alloc(&t->rows, count + 1);
        if (!code) return -1;
        for (size_t i = 0; i < count; i++) code[i] = reason_of(text[i]);
        t->value[f].data = code;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        if (!*text[i]) text[i] = NULL;
    t->value[f].data = text;
    return 0;
}

static int fill_series(nj_merge_table *t, uint32_t f, LONGLONG n, int *status)
{
    const fits *x = t->of;
    nj_type type = t->field[f].type;
    uint32_t *off = nj_arena_alloc(&t->rows, ((size_t)n + 1) * sizeof *off);
    LONGLONG length, where;
    if (!off) return -1;
    off[0] = 0;
    for (LONGLONG i = 0; i < n && !*status; i++) {
        fits_read_descriptll(x->file, (int)f + 1, x->at + 1 + i, &length, &where, status);
        off[i + 1] = off[i] + (uint32_t)length;
    }
    if (*status) return 0;
    char *data = nj_arena_alloc(&t->rows, ((size_t)off[n] + 1) * nj_type_size(type));
    if (!data) return -1;
    for (LONGLONG i = 0; i < n && !*status; i++)
        if (off[i + 1] > off[i])
            fits_read_col(x->file, code_of(type), (int)f + 1, x->at + 1 + i, 1, off[i + 1] - off[i], NULL,
                          data + off[i] * nj_type_size(type), NULL, status);
    t->value[f] = (nj_col){ .data = data, .off = off };
    return 0;
}

int nj_merge_fits_fill(nj_merge_table *t, const char *path, nj_error *err)
{
    fits *x = t->of;
    int status = 0, rc = 0;
    LONGLONG n = x->n_rows - x->at < NJ_MERGE_ROWS ? x->n_rows - x->at : NJ_MERGE_ROWS;
    t->in_hand = (uint32_t)n;
    for (uint32_t f = 0; f < t->n_fields && n && !status && !rc; f++) {
        const nj_field *field = &t->field[f];
        if (field->type == NJ_STR || field->text) {
            rc = fill_texts(t, f, n, &status);
        } else if (!field->width) {
            rc = fill_series(t, f, n, &status);
        } else {
            size_t count = (size_t)n * field->width;
            void *data = nj_arena_alloc(&t->rows, (count + 1) * nj_type_size(field->type));
            t->value[f].data = data;
            rc = data ? 0 : -1;
            if (data)
                fits_read_col(x->file, code_of(field->type), (int)f + 1, x->at + 1, 1, (LONGLONG)count, NULL,
                              data, NULL, &status);
        }
    }
    x->at += n;
    return rc ? nj_fail(err, "%s: out of memory", path) : status ? failed(path, status, err) : 0;
}
