/* json_get.h - values out of JSON that may lack them: of reports that are older, or were written by hand. */
#ifndef NJ_REPORT_JSON_GET_H
#define NJ_REPORT_JSON_GET_H

#include <jansson.h>

double nj_get_number(const json_t *object, const char *key);     /* NAN when it is none */
const char *nj_get_text(const json_t *object, const char *key);  /* "" when it is none */
double nj_get_pair(const json_t *pairs, size_t i, size_t which); /* of [[a, b], ...]; 0 when it is none */

#endif
