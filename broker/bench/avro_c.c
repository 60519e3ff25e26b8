/* avro_c.c - nightjar's decoder is timed against avro-c; this uses avro-c as most C programs do. */
#include "avro_c.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double nj_avro_c_number(const avro_value_t *record, const char *name)
{
    avro_value_t v, branch;
    int32_t i;
    int64_t l;
    float f;
    double d;
    if (avro_value_get_by_name(record, name, &v, NULL)) return NAN;
    if (avro_value_get_type(&v) == AVRO_UNION) {
        if (avro_value_get_current_branch(&v, &branch)) return NAN;
        v = branch;
    }
    switch (avro_value_get_type(&v)) {
    case AVRO_INT32: return avro_value_get_int(&v, &i) ? NAN : i;
    case AVRO_INT64: return avro_value_get_long(&v, &l) ? NAN : (double)l;
    case AVRO_FLOAT: return avro_value_get_float(&v, &f) ? NAN : (double)f;
    case AVRO_DOUBLE: return avro_value_get_double(&v, &d) ? NAN : d;
    default: return NAN;
    }
}

double nj_avro_c_sum(const avro_value_t *record, const nj_column_def *column, size_t from, size_t to,
                     const char *prefix, double *sum)
{
    double total = 0;
    for (size_t c = from; c < to; c++) {
        double x = nj_avro_c_number(record, column[c].path + strlen(prefix));
        if (isnan(x)) continue;
        total += x;
        if (sum) sum[c] += x;
    }
    return total;
}

double nj_avro_c_naive(const void *bytes, size_t size,
                       double (*fetch)(const avro_value_t *record, double *sum))
{
    FILE *f = fmemopen((void *)bytes, size, "rb");
    avro_file_reader_t file;
    if (!f || avro_file_reader_fp(f, "packet", 1, &file)) {
        if (f) fclose(f);
        return NAN;
    }
    avro_schema_t schema = avro_file_reader_get_writer_schema(file);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    avro_value_t value;
    avro_generic_value_new(class, &value);
    double answer = avro_file_reader_read_value(file, &value) ? NAN : fetch(&value, NULL);
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    avro_file_reader_close(file);
    return answer;
}
