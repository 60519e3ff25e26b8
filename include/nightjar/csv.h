/* nightjar/csv.h - reading a CSV table (RFC 4180: commas, quotes,
 * LF or CRLF) row by row in open() and declare(). */
#ifndef NIGHTJAR_CSV_H
#define NIGHTJAR_CSV_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NJ_CSV_COLUMNS = 512 };

/* A reader over bytes that stay where they are. Zero-initialise, set at and end; free with nj_csv_free. */
typedef struct nj_csv {
    const char *at, *end;
    uint32_t line;                    /* of the row last read, from 1 */
    uint32_t n;                       /* its cells */
    const char *cell[NJ_CSV_COLUMNS]; /* NUL-terminated, without quotes; valid until the next row */
    char *text;                       /* the reader's own */
    size_t cap;
} nj_csv;

/* The next row that is not blank. 1 = a row, 0 = the end, -1 = malformed (an open quote, too many columns,
 * no memory). */
int nj_csv_row(nj_csv *csv);
void nj_csv_free(nj_csv *csv);
/* Number of the column of that name in the row last read (a header), or -1. */
int nj_csv_column(const nj_csv *csv, const char *name);

#ifdef __cplusplus
}
#endif
#endif
