/* schema_form.h - which texts of Avro schemas are one schema: the order of keys, blanks and words for people
 * do not count, and packets of one version may come with several texts. */
#ifndef NJ_SINK_SCHEMA_FORM_H
#define NJ_SINK_SCHEMA_FORM_H

#include <stddef.h>

enum { NJ_SCHEMA_FORMS = 8 };

typedef struct nj_schema_form {
    char *json; /* the text; owned */
    size_t size;
    char digest[65];
    char label[160]; /* for names of files: "ztf.alert-4.02-1a2b3c4d" */
} nj_schema_form;

/* Those that came last; zero-initialised. */
typedef struct nj_schema_forms {
    nj_schema_form item[NJ_SCHEMA_FORMS];
    unsigned n, next;
} nj_schema_forms;

/* name: "ztf.alert 4.02". NULL: out of memory. Lives until eight others came. */
const nj_schema_form *nj_schema_form_of(nj_schema_forms *forms, const char *json, size_t size,
                                        const char *name);
void nj_schema_forms_free(nj_schema_forms *forms);

#endif
