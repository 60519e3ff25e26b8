/* csv.c - several parts of the kit read CSV files, so there is one reader. */
#include "nightjar/csv.h"

#include <stdlib.h>
#include <string.h>

/* One cell of csv->at into *to; leaves csv->at on the comma or line end behind it. */
static int read_cell(nj_csv *csv, char **to)
{
    if (csv->at < csv->end && *csv->at == '"') {
        for (csv->at++;; csv->at++) {
            if (csv->at == csv->end) return -1;
            if (*csv->at == '"') {
                csv->at++;
                if (csv->at == csv->end || *csv->at != '"') break;
            } else if (*csv->at == '\n') {
                csv->line++;
            }
            *(*to)++ = *csv->at;
        }
    }
    while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n') *(*to)++ = *csv->at++;
    return 0;
}

static void skip_blank_lines(nj_csv *csv)
{
    while (csv->at < csv->end && (*csv->at == '\n' || *csv->at == '\r')) csv->line += *csv->at++ == '\n';
}

/* The longest a row can be: to the end of the bytes when it begins a quote, else to the line end. */
static size_t row_limit(const nj_csv *csv)
{
    const char *line_end = memchr(csv->at, '\n', (size_t)(csv->end - csv->at));
    size_t length = (size_t)((line_end ? line_end : csv->end) - csv->at);
    return memchr(csv->at, '"', length) ? (size_t)(csv->end - csv->at) : length;
}

int nj_csv_row(nj_csv *csv)
{
    skip_blank_lines(csv);
    csv->n = 0;
    if (csv->at >= csv->end) return 0;
    size_t need = row_limit(csv) + NJ_CSV_COLUMNS + 1;
    if (need > csv->cap) {
        char *text = realloc(csv->text, need);
        if (!text) return -1;
        csv->text = text;
        csv->cap = need;
    }
    char *to = csv->text;
    csv->line++;
    for (;;) {
        if (csv->n == NJ_CSV_COLUMNS) return -1;
        csv->cell[csv->n++] = to;
        if (read_cell(csv, &to)) return -1;
        int last = csv->at == csv->end || *csv->at == '\n';
        if (last && to > csv->cell[csv->n - 1] && to[-1] == '\r') to--;
        *to++ = 0;
        if (csv->at < csv->end) csv->at++;
        if (last) return 1;
    }
}

void nj_csv_free(nj_csv *csv)
{
    free(csv->text);
    csv->text = NULL;
    csv->cap = 0;
}

int nj_csv_column(const nj_csv *csv, const char *name)
{
    for (uint32_t k = 0; k < csv->n; k++)
        if (!strcmp(csv->cell[k], name)) return (int)k;
    return -1;
}
