/* Fields of simulated packets as avro-c reads them. Include after cmocka. */
#ifndef TESTS_UNIT_SIMULATE_KIT_H
#define TESTS_UNIT_SIMULATE_KIT_H

#include <avro.h>
#include <math.h>

/* Through a union; *null says that it is null. */
static inline avro_value_t field(const avro_value_t *record, const char *name, int *null)
{
    avro_value_t f, v;
    if (avro_value_get_by_name(record, name, &f, NULL)) fail_msg("no field %s", name);
    *null = 0;
    if (avro_value_get_type(&f) != AVRO_UNION) return f;
    assert_int_equal(avro_value_get_current_branch(&f, &v), 0);
    *null = avro_value_get_type(&v) == AVRO_NULL;
    return v;
}

static inline double number(const avro_value_t *record, const char *name)
{
    int null;
    avro_value_t v = field(record, name, &null);
    float f = NAN;
    double d = NAN;
    int32_t i = 0;
    int64_t l = 0;
    if (null) return NAN;
    switch (avro_value_get_type(&v)) {
    case AVRO_FLOAT: avro_value_get_float(&v, &f); return (double)f;
    case AVRO_DOUBLE: avro_value_get_double(&v, &d); return d;
    case AVRO_INT32: avro_value_get_int(&v, &i); return i;
    case AVRO_INT64: avro_value_get_long(&v, &l); return (double)l;
    default: fail_msg("%s is not a number", name); return 0;
    }
}

#endif
