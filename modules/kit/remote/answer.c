/* answer.c - a remote service answers with a CSV table; this takes the nearest row for each position. */
#include "remote.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nightjar/csv.h"

typedef struct answer_columns {
    int id, distance, column[NJ_REMOTE_COLUMNS];
    uint32_t n;
} answer_columns;

static bool read_head(const nj_remote *r, const nj_csv *csv, answer_columns *a)
{
    a->n = csv->n;
    a->id = nj_csv_column(csv, "id");
    a->distance = nj_csv_column(csv, "angDist");
    for (uint32_t k = 0; k < r->n_columns; k++)
        if ((a->column[k] = nj_csv_column(csv, r->title[k])) < 0) return false;
    return a->id >= 0 && a->distance >= 0;
}

/* One row of the answer into the nearest of its id; false = it is not a row. */
static bool read_row(const nj_remote *r, const nj_csv *csv, const answer_columns *a, nj_remote_nearest *best,
                     uint32_t n)
{
    const char *const *cell = csv->cell;
    char *end;
    if (csv->n != a->n) return false;
    unsigned long id = strtoul(cell[a->id], &end, 10);
    if (*end || end == cell[a->id] || id >= n) return false;
    double sep = strtod(cell[a->distance], &end);
    if (*end || end == cell[a->distance] || !(sep >= 0) || sep > 2 * r->c.radius_arcsec + 1) return false;
    if (!(sep < best[id].sep_arcsec) || !(sep < r->c.radius_arcsec)) return true;
    best[id].sep_arcsec = sep;
    size_t at = 0;
    for (uint32_t k = 0; k < r->n_columns; k++) {
        const char *text = cell[a->column[k]];
        while (*text == ' ') text++;
        size_t length = strcspn(text, "\t\r\n");
        while (length && text[length - 1] == ' ') length--;
        if (k) best[id].text[at++] = '\t';
        size_t most = NJ_REMOTE_TEXT_BYTES - r->n_columns + k; /* the tabs to come and the NUL find room */
        if (at + length > most) length = most - at;
        memcpy(best[id].text + at, text, length);
        at += length;
        best[id].text[at] = 0;
    }
    return true;
}

bool nj_remote_read_answer(const nj_remote *r, const nj_flight *f, nj_remote_nearest *best)
{
    answer_columns a;
    nj_csv csv = { .at = f->answer, .end = f->answer + f->n_answer };
    if (f->overflow || f->n_answer == 0 || csv.end[-1] != '\n' || memchr(f->answer, 0, f->n_answer))
        return false;
    for (uint32_t i = 0; i < f->n; i++) best[i] = (nj_remote_nearest){ .sep_arcsec = INFINITY };
    bool good = nj_csv_row(&csv) == 1 && read_head(r, &csv, &a);
    for (int more = 1; good && (more = nj_csv_row(&csv)) != 0;)
        good = more == 1 && read_row(r, &csv, &a, best, f->n);
    nj_csv_free(&csv);
    return good;
}
