/* lookup.c - joins columns of a CSV table to alerts by candid or by object name: a stored label, a name
 * list, another broker's scores.
 *
 *     [module.tns]
 *     kind = lookup
 *     file = tns.csv
 *     key = object            ; or candid; the table's column of that name, or the one after a colon:
 *     object:name columns = type, redshift:z   ; of the table, and after a colon the name it gets here;
 *     empty = all
 *
 * Types are inferred from all cells of a column: whole numbers, numbers, else text. An empty cell is null. Of
 * several rows with the same key the first counts. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "nightjar/column.h"
#include "nightjar/csv.h"
#include "nightjar/list.h"

typedef struct conf {
    const char *file, *key, *columns;
} conf;

typedef struct column {
    uint32_t at; /* in the table */
    nj_type type;
    char name[64];     /* as a give */
    const char *title; /* in the table */
    void *data;        /* [n_rows] */
} column;

typedef struct table {
    bool by_object;
    uint32_t n_columns, n_rows;
    column *column;
    uint32_t mask;   /* slots - 1 */
    uint32_t *slot;  /* row + 1, 0 = free */
    int64_t *candid; /* [n_rows] the keys */
    const char **object;
} table;

/* --- reading the table --- */

static char *copy_text(const nj_host *host, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = host->alloc(host->opaque, n);
    return copy ? memcpy(copy, s, n) : NULL;
}

static bool is_whole(const char *s, int64_t *v)
{
    char *end;
    *v = strtoll(s, &end, 10);
    return end != s && !*end && *v != INT64_MIN && *v != INT64_MAX;
}

static bool is_number(const char *s)
{
    char *end;
    strtod(s, &end);
    return end != s && !*end;
}

/* A give's name from a title: [a-z][a-z0-9_]*. */
static void give_name(const char *title, char name[64])
{
    uint32_t n = 0;
    for (; *title && n < 63; title++) {
        char c = (char)tolower((unsigned char)*title);
        name[n++] = isalnum((unsigned char)c) ? c : '_';
    }
    name[n] = 0;
    if (!islower((unsigned char)name[0])) {
        memmove(name + 1, name, n < 63 ? n + 1 : 63);
        name[0] = 'c';
        name[63] = 0;
    }
}

static int complain(const nj_host *host, const conf *c, const char *what, const char *which)
{
    host->log(host->opaque, 0, "lookup: %s: %s%s%s", c->file, what, *which ? " " : "", which);
    return NJ_ECONF;
}

static int add_column(const nj_host *host, const conf *c, const nj_csv *head, table *t, const char *title,
                      const char *name)
{
    int at = nj_csv_column(head, title);
    if (at < 0) return complain(host, c, "has no column", title);
    column *col = &t->column[t->n_columns];
    *col = (column){ .at = (uint32_t)at, .type = NJ_I64, .title = copy_text(host, title) };
    give_name(name, col->name);
    for (uint32_t k = 0; k < t->n_columns; k++)
        if (!strcmp(t->column[k].name, col->name))
            return complain(host, c, "two columns would be called", col->name);
    t->n_columns++;
    return col->title ? NJ_OK : NJ_ENOMEM;
}

/* The header: which column is the key, which are wanted. */
static int choose_columns(const nj_host *host, const conf *c, const nj_csv *head, table *t, int *key)
{
    char title[128], name[128];
    const char *list = c->key;
    if (!nj_list_item(&list, title, name, sizeof title))
        return complain(host, c, "key must be candid or object", "");
    t->by_object = !strcmp(title, "object");
    if (!t->by_object && strcmp(title, "candid"))
        return complain(host, c, "key must be candid or object, not", title);
    *key = nj_csv_column(head, name);
    if (*key < 0) return complain(host, c, "has no key column", name);
    t->column = host->alloc(host->opaque, (head->n + 1) * sizeof *t->column);
    if (!t->column) return NJ_ENOMEM;
    list = c->columns;
    if (!*list) {
        for (uint32_t k = 0; k < head->n; k++)
            if ((int)k != *key && add_column(host, c, head, t, head->cell[k], head->cell[k])) return NJ_ECONF;
        return t->n_columns ? NJ_OK : complain(host, c, "has no column but the key", "");
    }
    while (nj_list_item(&list, title, name, sizeof title)) {
        if (t->n_columns == head->n) return complain(host, c, "has not so many columns", "");
        if (add_column(host, c, head, t, title, name)) return NJ_ECONF;
    }
    return NJ_OK;
}

static void infer(table *t, const nj_csv *row)
{
    int64_t whole;
    for (uint32_t k = 0; k < t->n_columns; k++) {
        column *col = &t->column[k];
        const char *cell = col->at < row->n ? row->cell[col->at] : "";
        if (!*cell || col->type == NJ_STR) continue;
        if (col->type == NJ_I64 && !is_whole(cell, &whole)) col->type = NJ_F64;
        if (col->type == NJ_F64 && !is_number(cell)) col->type = NJ_STR;
    }
}

/* First walk: header, types, number of rows. */
static int survey(const nj_host *host, const conf *c, table *t, int *key, const void **bytes, size_t *n)
{
    if (!*c->file) return complain(host, c, "file = FILE.csv is missing", "");
    int rc = host->data(host->opaque, c->file, bytes, n);
    if (rc != NJ_OK) {
        complain(host, c, rc == NJ_ENO_CATALOG ? "is not on the data path" : "cannot be read", "");
        return rc;
    }
    nj_csv csv = { .at = *bytes, .end = (const char *)*bytes + *n };
    rc = nj_csv_row(&csv) == 1 ? choose_columns(host, c, &csv, t, key)
                               : complain(host, c, "has no header row", "");
    int got = 0;
    while (rc == NJ_OK && (got = nj_csv_row(&csv)) == 1) {
        infer(t, &csv);
        t->n_rows++;
    }
    if (rc == NJ_OK && got < 0) {
        host->log(host->opaque, 0, "lookup: %s:%u: malformed row (an open quote?)", c->file, csv.line);
        rc = NJ_ECONF;
    }
    nj_csv_free(&csv);
    return rc;
}

/* --- the hash of the keys --- */

static uint64_t hash_whole(int64_t key)
{
    uint64_t h = (uint64_t)key * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t hash_text(const char *s)
{
    uint64_t h = 1469598103934665603u;
    while (*s) h = (h ^ (uint8_t)*s++) * 1099511628211u;
    return h ^ (h >> 29);
}

static bool is_key(const table *t, uint32_t row, int64_t candid, const char *object)
{
    return t->by_object ? !strcmp(t->object[row], object) : t->candid[row] == candid;
}

/* The slot of the key, or the free one where it would go. */
static uint32_t slot_of(const table *t, int64_t candid, const char *object)
{
    uint32_t s = (uint32_t)(t->by_object ? hash_text(object) : hash_whole(candid)) & t->mask;
    while (t->slot[s] && !is_key(t, t->slot[s] - 1, candid, object)) s = (s + 1) & t->mask;
    return s;
}

static int allocate(const nj_host *host, table *t)
{
    uint32_t slots = 16;
    while (slots < 2 * t->n_rows) slots *= 2;
    t->mask = slots - 1;
    t->slot = host->alloc(host->opaque, slots * sizeof *t->slot);
    t->candid = t->by_object ? NULL : host->alloc(host->opaque, (t->n_rows + 1) * sizeof *t->candid);
    t->object = t->by_object ? host->alloc(host->opaque, (t->n_rows + 1) * sizeof *t->object) : NULL;
    if (!t->slot || !(t->candid || t->object)) return NJ_ENOMEM;
    for (uint32_t k = 0; k < t->n_columns; k++) {
        t->column[k].data = host->alloc(host->opaque, (t->n_rows + 1) * sizeof(double));
        if (!t->column[k].data) return NJ_ENOMEM;
    }
    return NJ_OK;
}

static int store_cells(const nj_host *host, table *t, uint32_t row, const nj_csv *csv)
{
    for (uint32_t k = 0; k < t->n_columns; k++) {
        column *col = &t->column[k];
        const char *cell = col->at < csv->n ? csv->cell[col->at] : "";
        if (col->type == NJ_STR) {
            const char *text = *cell ? copy_text(host, cell) : NULL;
            if (*cell && !text) return NJ_ENOMEM;
            ((const char **)col->data)[row] = text;
        } else if (col->type == NJ_I64) {
            ((int64_t *)col->data)[row] = *cell ? strtoll(cell, NULL, 10) : NJ_NO_I64;
        } else {
            ((double *)col->data)[row] = *cell ? strtod(cell, NULL) : NJ_NO_F64;
        }
    }
    return NJ_OK;
}

/* Second walk: the cells and the keys. */
static int fill(const nj_host *host, const conf *c, table *t, int key, const void *bytes, size_t n)
{
    nj_csv csv = { .at = bytes, .end = (const char *)bytes + n };
    uint32_t row = 0, repeated = 0;
    int rc = NJ_OK;
    nj_csv_row(&csv);
    while (rc == NJ_OK && row < t->n_rows && nj_csv_row(&csv) == 1) {
        const char *cell = (uint32_t)key < csv.n ? csv.cell[key] : "";
        int64_t candid = 0;
        if (!t->by_object && !is_whole(cell, &candid)) {
            host->log(host->opaque, 0, "lookup: %s:%u: key '%s' is not a whole number", c->file, csv.line,
                      cell);
            rc = NJ_ECONF;
            break;
        }
        uint32_t s = slot_of(t, candid, cell);
        if (t->slot[s]) {
            repeated++;
            continue;
        }
        if (t->by_object)
            t->object[row] = copy_text(host, cell);
        else
            t->candid[row] = candid;
        rc = t->by_object && !t->object[row] ? NJ_ENOMEM : store_cells(host, t, row, &csv);
        t->slot[s] = ++row;
    }
    t->n_rows = row;
    nj_csv_free(&csv);
    if (repeated)
        host->log(host->opaque, 1, "lookup: %s: %u rows repeat a key: the first of each counts", c->file,
                  repeated);
    return rc;
}

/* --- the module --- */

static int declare(const nj_host *host, const void *conf_, nj_tables *tables)
{
    const conf *c = conf_;
    table t = { 0 };
    const void *bytes;
    size_t n;
    int key, rc = survey(host, c, &t, &key, &bytes, &n);
    if (rc != NJ_OK) return rc;
    nj_need *need = host->alloc(host->opaque, 2 * sizeof *need);
    nj_give *give = host->alloc(host->opaque, (t.n_columns + 1) * sizeof *give);
    if (!need || !give) return NJ_ENOMEM;
    need[0] = t.by_object ? (nj_need){ "object", NJ_STR, NJ_SCALAR, "", 0 }
                          : (nj_need){ "candid", NJ_I64, NJ_SCALAR, "", 0 };
    need[1] = (nj_need){ 0 };
    for (uint32_t k = 0; k < t.n_columns; k++) {
        const column *col = &t.column[k];
        size_t length = strlen(col->title) + strlen(c->file) + 64;
        char *doc = host->alloc(host->opaque, length), *name = copy_text(host, col->name);
        if (!doc || !name) return NJ_ENOMEM;
        snprintf(doc, length, "%s of %s; none when the table has no such row or cell", col->title, c->file);
        give[k] = (nj_give){ name, col->type, 1, -1, "", -INFINITY, INFINITY, NAN, 0, doc };
    }
    give[t.n_columns] = (nj_give){ 0 };
    *tables = (nj_tables){ need, give };
    return NJ_OK;
}

static int open_table(const nj_host *host, const void *conf_, void **self)
{
    const void *bytes;
    size_t n;
    int key;
    table *t = host->alloc(host->opaque, sizeof *t);
    if (!t) return NJ_ENOMEM;
    *t = (table){ 0 };
    int rc = survey(host, conf_, t, &key, &bytes, &n);
    if (rc == NJ_OK) rc = allocate(host, t);
    if (rc == NJ_OK) rc = fill(host, conf_, t, key, bytes, n);
    if (rc == NJ_OK) *self = t;
    return rc;
}

static void copy_row(const nj_work *w, const table *t, uint32_t from, uint32_t row)
{
    for (uint32_t k = 0; k < t->n_columns; k++) {
        const column *col = &t->column[k];
        if (col->type == NJ_STR)
            nj_put_text(w, k, row, ((const char *const *)col->data)[from]);
        else if (col->type == NJ_I64)
            ((int64_t *)w->out[k])[row] = ((const int64_t *)col->data)[from];
        else
            nj_put_f64(w, k, row, ((const double *)col->data)[from]);
    }
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    const table *t = self;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        w->reason[row] = NJ_NO_INPUT;
        const char *object = t->by_object ? nj_text_of(w, 0, row) : NULL;
        int64_t candid = t->by_object || !w->in[0]->data ? NJ_NO_I64 : ((const int64_t *)w->in[0]->data)[row];
        if (t->by_object ? !object : candid == NJ_NO_I64) continue;
        uint32_t found = t->slot[slot_of(t, candid, object)];
        if (!found) continue;
        copy_row(w, t, found - 1, row);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(lookup) = { NJ_HEADER,
                      .name = "lookup",
                      .version = "1.0",
                      .summary = "joins columns of a CSV table by candid or object",
                      .paper = "none: a join",
                      .params =
                          (const nj_param[]){
                              { "file", NJ_STR, "", offsetof(conf, file), 0, 0, "1",
                                "the CSV table, looked for along the data path" },
                              { "key", NJ_STR, "object", offsetof(conf, key), 0, 0, "1",
                                "candid or object; object:name when the table's column has another name" },
                              { "columns", NJ_STR, "", offsetof(conf, columns), 0, 0, "1",
                                "columns to join, comma-separated, title:name to rename; empty = all" },
                              { 0 } },
                      .conf_size = sizeof(conf),
                      .declare = declare,
                      .open = open_table,
                      .process = process };
