/* check.h - what must hold for every module, one function per rule: for `nightjar check` and the conformance
 * test. */
#ifndef NJ_CHECK_CHECK_H
#define NJ_CHECK_CHECK_H

#include <stdio.h>

#include "../avro/decode.h"
#include "inputs.h"

typedef enum nj_verdict { NJ_CHECKED, NJ_CHECKED_WRONG, NJ_CHECKED_NONE } nj_verdict;

/* One rule over one instance. Plain data from `verdict` on: another process may read it, also after a
 * crash. */
typedef struct nj_check {
    const nj_instance *in;
    const nj_instances *set;   /* that it is of: what others give, and the host */
    nj_decoder *decoder;       /* survey maps; NULL: needs are not looked up */
    const char *values;        /* text of its reference values, or NULL */
    const char *values_folder; /* where a .fits that they name is */
    FILE *answers;             /* of nj_check_values(): each row's outputs go there, as a JSON object */
    bool services;             /* its open() asked for a service of the host, which may take memory */
    bool counts;               /* nj_calls_watch() works here */
    double leak_s;             /* most seconds for the calls that look for leaks */
    nj_verdict verdict;
    char what[640]; /* wrong: row, column, value; else what was looked at, or why nothing was */
    char cure[320]; /* "" = none */
    bool has_row;   /* the row that the last call had, alone or with others */
    nj_made_row row;
} nj_check;

typedef struct nj_rule {
    const char *name;
    void (*look)(nj_check *c);
    bool opened; /* it calls the module, which must be open */
} nj_rule;
extern const nj_rule nj_rules[]; /* ends with {0} */

/* For rules: the verdict, once; what a second one would say is left out. */
__attribute__((format(printf, 3, 4))) void nj_check_wrong(nj_check *c, const char *cure, const char *format,
                                                          ...);
__attribute__((format(printf, 2, 3))) void nj_check_note(nj_check *c, const char *format, ...);
__attribute__((format(printf, 2, 3))) void nj_check_none(nj_check *c, const char *format, ...);

void nj_check_needs(nj_check *c);  /* needs.c: every need against the survey maps and what others give */
void nj_check_values(nj_check *c); /* values.c: reference values */
/* values.c: "# process_ref 1e-7" and the like of the values' text; else `otherwise`. */
double nj_check_tolerance(const nj_check *c, const char *key, double otherwise);
/* values.c: the row of has_row as a table that nj_check_values() reads. -1: it cannot be written. */
int nj_check_write_row(const nj_check *c, const char *path);
/* Is the row a valid answer? False: said. */
bool nj_check_answer(nj_check *c, const nj_made_batch *b, uint32_t row);
bool nj_check_near(double x, double y, double tolerance); /* relative above 1; NaN equals NaN */
bool nj_check_same(nj_type type, const void *a, size_t i, const void *b, size_t j); /* but for a NaN's sign */

#endif
