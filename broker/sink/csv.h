/* csv.h - output rows as lines of CSV, by RFC 4180. */
#ifndef NJ_SINK_CSV_H
#define NJ_SINK_CSV_H

#include "../base/buffer.h"
#include "file.h"
#include "sink.h"

/* The line of names, without its end. */
void nj_csv_names(nj_buffer *out, const nj_field *field, uint32_t n_fields);
/* A row, without the line's end. "No answer" is nothing between two commas, an empty text is "", a series is
 * a JSON array. */
void nj_csv_line(nj_buffer *out, const nj_rows *rows, uint32_t row);
/* Where the last whole record ends: a text may have line ends. -1 with err. */
off_t nj_csv_whole(const nj_outfile *file, nj_error *err);

#endif
