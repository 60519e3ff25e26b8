/* missing_parquet.c - ids of the rows of a Parquet output, which has a reader of its own. */
#include <stdlib.h>
#include <string.h>

#include "../parquet/parquet.h"
#include "missing.h"

enum { PART = 4096 }; /* rows */

typedef struct table {
    nj_parquet *file;
    nj_parquet_column **reason; /* [n] */
    uint32_t n;
    nj_parquet_column *candid, *survey; /* survey: NULL = there is none */
    bool taken[PART];
    char of[64]; /* the survey of a row */
} table;

static bool is_text(const nj_parquet_leaf *leaf)
{
    return leaf->type == NJ_PARQUET_BYTES && !leaf->max_rep;
}

static bool is_reason(const nj_parquet_leaf *leaf)
{
    size_t n = strlen(leaf->name);
    return n > 7 && !strcmp(leaf->name + n - 7, ".reason") && is_text(leaf);
}

static int open_columns(const nj_ids *to, table *t)
{
    uint32_t n = nj_parquet_leaves(t->file);
    int id = nj_parquet_find(t->file, "candid"), survey = nj_parquet_find(t->file, "survey");
    t->reason = calloc(n + 1, sizeof *t->reason);
    if (!t->reason) return nj_fail(to->err, "out of memory");
    for (uint32_t i = 0; i < n && to->shed; i++) {
        if (!is_reason(nj_parquet_leaf_at(t->file, i))) continue;
        if (!(t->reason[t->n++] = nj_parquet_column_open(t->file, i, to->err))) return -1;
    }
    if (id < 0 || nj_parquet_leaf_at(t->file, (uint32_t)id)->type != NJ_PARQUET_I64)
        return nj_fail(to->err, "%s %s: rows have no candid", to->option, to->path);
    if (!(t->candid = nj_parquet_column_open(t->file, (uint32_t)id, to->err))) return -1;
    if (survey < 0 || !is_text(nj_parquet_leaf_at(t->file, (uint32_t)survey))) return 0;
    return (t->survey = nj_parquet_column_open(t->file, (uint32_t)survey, to->err)) ? 0 : -1;
}

static int choose(const nj_ids *to, table *t, uint32_t rows)
{
    memset(t->taken, !to->shed, sizeof t->taken);
    for (uint32_t i = 0; i < t->n; i++) {
        nj_parquet_values v;
        if (nj_parquet_read(t->reason[i], rows, &v, to->err)) return -1;
        const nj_parquet_bytes *text = v.value;
        for (uint32_t k = 0; k < v.n_rows && k < PART; k++)
            if (!v.def || v.def[k]) t->taken[k] |= text[k].n == 4 && !memcmp(text[k].data, "shed", 4);
    }
    return 0;
}

static const char *survey_of(table *t, const nj_parquet_values *survey, uint32_t k)
{
    const nj_parquet_bytes *text = survey->value;
    if (!t->survey || (survey->def && !survey->def[k]) || text[k].n >= sizeof t->of) return NULL;
    memcpy(t->of, text[k].data, text[k].n);
    t->of[text[k].n] = 0;
    return t->of;
}

static int take_part(const nj_ids *to, table *t, uint64_t from, uint32_t rows)
{
    nj_parquet_values id, survey = { 0 };
    if (choose(to, t, rows) || nj_parquet_read(t->candid, rows, &id, to->err)) return -1;
    if (t->survey && nj_parquet_read(t->survey, rows, &survey, to->err)) return -1;
    for (uint32_t k = 0; k < id.n_rows && k < PART; k++) {
        if (!t->taken[k]) continue;
        if (id.def && !id.def[k])
            return nj_fail(to->err, "%s %s: row %llu has no candid", to->option, to->path,
                           (unsigned long long)(from + k + 1));
        if (to->add(to->opaque, ((const int64_t *)id.value)[k], survey_of(t, &survey, k)))
            return nj_fail(to->err, "out of memory");
    }
    return 0;
}

int nj_ids_parquet(const nj_ids *to)
{
    table *t = calloc(1, sizeof *t);
    if (!t) return nj_fail(to->err, "out of memory");
    int rc = (t->file = nj_parquet_open(to->path, to->err)) ? open_columns(to, t) : -1;
    uint64_t n = rc ? 0 : nj_parquet_rows(t->file);
    for (uint64_t at = 0; at < n && !rc; at += PART)
        rc = take_part(to, t, at, n - at < PART ? (uint32_t)(n - at) : PART);
    for (uint32_t i = 0; i < t->n; i++) nj_parquet_column_close(t->reason[i]);
    nj_parquet_column_close(t->candid);
    nj_parquet_column_close(t->survey);
    nj_parquet_close(t->file);
    free(t->reason);
    free(t);
    return rc;
}
