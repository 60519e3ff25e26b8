/* json.h - JSON, written in one way: names and values by a format, commas and line breaks by themselves. */
#ifndef NJ_BASE_JSON_H
#define NJ_BASE_JSON_H

#include <stdbool.h>

#include "buffer.h"

enum { NJ_JSON_DEEPEST = 16 };

/* What is open, and whether something stands in it. Short of memory: out->failed. */
typedef struct nj_json {
    nj_buffer *out;
    int depth;
    struct {
        char close;
        bool filled, lines; /* lines: what stands in it has a line each */
    } open[NJ_JSON_DEEPEST];
} nj_json;

/* An object or a list begins: `bracket` is '{' or '['. The first one has no name, nor has an item of a list.
 * Members of the first one and objects in lists have a line each. */
nj_json nj_json_begin(nj_buffer *out, char bracket);
/* The same in one line, for files of a record a line. */
nj_json nj_json_begin_line(nj_buffer *out);
void nj_json_open(nj_json *j, const char *name, char bracket);
void nj_json_close(nj_json *j);
/* Closes all that is open, and the last line. */
void nj_json_end(nj_json *j);
/* Members of the present object: "name=%s cores=%u share=%g", with %s %d %u %zu %ld %lld %llu, %hhd for true
 * and false, and %g for a double. A NULL text and a number that is not finite are null; a double that is
 * whole has ".0", for readers that take a column's type from its values. */
__attribute__((format(printf, 2, 3))) void nj_json_put(nj_json *j, const char *names, ...);
/* A member whose name is not known here. */
void nj_json_count(nj_json *j, const char *name, uint64_t value);
void nj_json_number(nj_json *j, const char *name, double value);
void nj_json_string(nj_json *j, const char *name, const char *value);
/* An item of the present list. */
__attribute__((format(printf, 2, 3))) void nj_json_item(nj_json *j, const char *format, ...);
/* An item of so many significant digits, for lists of thousands. */
void nj_json_short(nj_json *j, double value, int digits);
/* JSON that was made elsewhere; name NULL = an item. */
void nj_json_raw(nj_json *j, const char *name, const char *json, size_t n);

#endif
