/* clause.h - a WHERE clause as the user wrote it, taken apart:
 * which names it uses, and the text that SQLite gets. */
#ifndef NJ_QUERY_CLAUSE_H
#define NJ_QUERY_CLAUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/arena.h"
#include "../base/buffer.h"
#include "../base/error.h"

/* The columns of the light curve as a table, in the order of their declaration. */
enum {
    NJ_LC_JD,
    NJ_LC_BAND,
    NJ_LC_MAG,
    NJ_LC_MAG_ERR,
    NJ_LC_FLUX,
    NJ_LC_KIND,
    NJ_LC_TEMPLATE_FLUX,
    NJ_LC_COLUMNS
};
extern const char *const nj_lc_path[NJ_LC_COLUMNS]; /* "lc.jd", "lc.band", ... */

/* A comparison that drops null rows without saying so: `name != ...`, NOT IN, NOT LIKE. */
typedef struct nj_null_trap {
    size_t name;      /* index into nj_clause.name */
    const char *word; /* "!=", "NOT IN", "NOT LIKE" ... */
} nj_null_trap;

/* A comparison of a column with a number, or with null, that all rows of the clause satisfy. */
typedef enum {
    NJ_QUICK_LT,
    NJ_QUICK_LE,
    NJ_QUICK_GT,
    NJ_QUICK_GE,
    NJ_QUICK_EQ,
    NJ_QUICK_NE,
    NJ_QUICK_NULL,
    NJ_QUICK_GIVEN
} nj_quick_op;
typedef struct nj_quick {
    const size_t *name; /* [n] index into nj_clause.name; of several the first that is not null counts */
    size_t n;
    const char *instead; /* the number at the end of coalesce(a, b, 0), as it was written; NULL = none */
    nj_quick_op op;
    const char *number; /* as it was written, with its sign; NULL for NULL and GIVEN */
} nj_quick;

/* What a clause may call beside SQLite's own functions. */
typedef struct nj_query_function {
    const char *name, *form; /* "sep", "sep(ra, dec, ra2, dec2)" */
    const char *takes;       /* a letter for each value: n a number, d a declination, p a positive number, b a
                              * passband; NULL = the clause is rewritten before it is called */
    const char *type, *unit, *doc;
} nj_query_function;
extern const nj_query_function nj_query_functions[]; /* ends with {0} */

/* A value in a call that is a column and nothing else: of which kind it must be is known with the fields. */
typedef struct nj_call_column {
    size_t name; /* index into nj_clause.name */
    const nj_query_function *of;
    size_t at; /* which value, from 0 */
} nj_call_column;

/* What a name may have been meant as, where no column has it. */
/* "x"; behind =, !=, LIKE, in an IN list */
typedef enum { NJ_ROLE_PLAIN, NJ_ROLE_QUOTED, NJ_ROLE_COMPARED } nj_name_role;

/* in_region('INSTANCE') or in_region('INSTANCE.REGION') */
typedef struct nj_region_call {
    const char *instance, *region; /* NULL: any of them */
    struct nj_region_call *next;
} nj_region_call;

typedef struct nj_clause {
    nj_arena arena;     /* all of the below */
    char **name;        /* columns of the alert, each once, as written */
    nj_name_role *role; /* [n_names] of its first use */
    size_t n_names;
    unsigned lc_used; /* bit per NJ_LC_* */
    bool lc;          /* reads the light curve */
    char *sql;        /* rewritten: "alert"."hostless.ks_template" < 0.85; light curve as
                       * lc("alert"."nj_row") */
    nj_null_trap *trap;
    size_t n_traps;
    nj_quick *quick; /* joined by AND with each other and with the rest of the clause */
    size_t n_quick;
    bool all_quick; /* there is no rest */
    nj_call_column *given;
    size_t n_given;
    nj_region_call *regions;
    bool night; /* calls night(), which is of a site */
} nj_clause;

/* Which column of the light curve a name is, or -1. */
int nj_clause_lc_column(const char *name);
/* Adds the quoted name of a column in SQLite:
 * its own, and a number where it differs from another by capitals only. */
void nj_clause_quote(const nj_clause *clause, size_t index, nj_buffer *out);
/* What helps whoever wrote a name that is no column: "a text stands in single quotes: 'g'";
 * false: nothing to say. */
bool nj_clause_hint(const nj_clause *clause, size_t name, char *hint, size_t size);
/* The same of a clause that is not parsed yet. */
bool nj_clause_hint_for(const char *where, const char *name, char *hint, size_t size);

/* -1 with err: a quote or parenthesis left open, a comment, a semicolon, a parameter, a subquery on something
 * else than lc, or what other languages write and SQL takes for something else: &&, ||, = NULL, =>; an
 * operator with nothing behind it. Whether the names exist and the rest is SQL is not checked here. Free it
 * also after an error. */
int nj_clause_parse(nj_clause *clause, const char *where, nj_error *err);
void nj_clause_free(nj_clause *clause);

#endif
