/* avro_c.h - avro-c as C programs use it: what own decoding is compared with. One thread. */
#ifndef NJ_BENCH_AVRO_C_H
#define NJ_BENCH_AVRO_C_H

#include <avro.h>
#include <stddef.h>

#include "../batch/batch.h"

/* The number in a field, through a union; NaN for null and for what is no number. */
double nj_avro_c_number(const avro_value_t *record, const char *name);
/* The fields of a record that columns [from, to) name behind `prefix`, each by its name. Adds each number to
 * sum[column] when sum is not NULL; returns the sum of all. */
double nj_avro_c_sum(const avro_value_t *record, const nj_column_def *column, size_t from, size_t to,
                     const char *prefix, double *sum);
/* As most programs do it: open the container file, make a value of its schema, read one record, take the
 * fields. Returns what fetch(record, NULL) does; NaN when the file cannot be read. */
double nj_avro_c_naive(const void *file, size_t size,
                       double (*fetch)(const avro_value_t *record, double *sum));

#endif
