/* json_get.c - a report that lacks a value must still become a page, so a missing value is no error here. */
#include "json_get.h"

#include <math.h>

double nj_get_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *nj_get_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double nj_get_pair(const json_t *pairs, size_t i, size_t which)
{
    return json_number_value(json_array_get(json_array_get(pairs, i), which));
}
