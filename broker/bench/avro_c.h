/* avro_c.h - avro-c as C programs use it: what own decoding is compared with. One thread. */
#ifndef NJ_BENCH_AVRO_C_H
#define NJ_BENCH_AVRO_C_H

#include <avro.h>
#include <stddef.h>

/* The number in a field, through a union; NaN for null and for what is no number. */
double nj_avro_c_number(const avro_value_t *record, const char *name);
/* As most programs do it: open the container file, make a value of its schema, read one record, take the
 * fields. Returns what fetch(record, NULL) does; NaN when the file cannot be read. */
double nj_avro_c_naive(const void *file, size_t size,
                       double (*fetch)(const avro_value_t *record, double *sum));

#endif
