/* template.h - a page or a chart is a file of data/embed/pages with places for values, which C fills in.
 *
 *   {{name}}            a value, escaped for elements and quoted attributes
 *   {{{name}}}          as it is: markup that was made elsewhere
 *   {{#name}} {{/name}} a list: once per item; an object: within it; else once unless it is false, 0, empty
 *   {{^name}} {{/name}} the contrary: once if the list is empty, or the value is false, 0, empty or null
 *   {{>file}}           another file of the folder, with the same values
 *   {{! comment}}
 *   {{name %.2f}}       a number by printf's %e, %f or %g, or by a format's name: {{cost us}}
 *   {{x*100-4 %.1f}}    a factor and a number to be added, before it is written
 *
 * The formats: those of format.h (duration, si, rate, us, share, small), `estimate` (si of two digits),
 * `count` (no digits behind the point) and `sort` (what a column is sorted by; nothing for null). A name is
 * looked for in the innermost item or object, then in those around it; `.` is the innermost itself, `a.b` is
 * b of the object a. A name that is not found is an error with file, line and name. `a.b?` may be missing
 * and is null then; `b?` is looked for in the innermost only. null is nothing, as a number "–". Blanks at
 * the begin of a line are not written, and a line with nothing but a section, comment or file is none. */
#ifndef NJ_BASE_TEMPLATE_H
#define NJ_BASE_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>

#include "buffer.h"
#include "error.h"

typedef struct nj_template_values {
    json_t *root; /* an object */
    bool failed;  /* memory ran short; nj_template_write reports it */
} nj_template_values;

nj_template_values nj_template_begin(void);
void nj_template_end(nj_template_values *values);
/* Puts values into an object (NULL = the root), or appends an object with them to a list; returns the
 * object, which is not the caller's. names: "x=%g name=%s", with %s %d %u %zu %lld %llu %g, and %p for a
 * json_t, which is taken over. A NULL text and a number that is not finite are null. */
__attribute__((format(printf, 3, 4))) json_t *nj_template_put(nj_template_values *values, json_t *to,
                                                              const char *names, ...);
/* A new list or object in an object (NULL = the root); a new text at the end of a list. */
json_t *nj_template_object(nj_template_values *values, json_t *to, const char *name);
json_t *nj_template_list(nj_template_values *values, json_t *to, const char *name);
void nj_template_item(nj_template_values *values, json_t *list, const char *text);

/* Appends the file with its values. -1 with err: a name is missing, or memory; what was appended is of no
 * use. */
int nj_template_write(const char *file, const nj_template_values *values, nj_buffer *out, nj_error *err);
/* The same of a text that is no file. */
int nj_template_text(const char *text, const nj_template_values *values, nj_buffer *out, nj_error *err);
/* Are the tags of a file, and of those it calls, well formed? -1 with err. */
int nj_template_check(const char *file, nj_error *err);

#endif
