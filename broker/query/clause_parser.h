/* clause_parser.h - a WHERE clause while it is read: its tokens and its subqueries. */
#ifndef NJ_QUERY_CLAUSE_PARSER_H
#define NJ_QUERY_CLAUSE_PARSER_H

#include "clause.h"

enum { NJ_CLAUSE_ALIASES = 32 };

typedef enum {
    NJ_TOKEN_KEYWORD,
    NJ_TOKEN_NAME,
    NJ_TOKEN_FUNCTION,
    NJ_TOKEN_TEXT,
    NJ_TOKEN_LITERAL,
    NJ_TOKEN_SIGN,
    NJ_TOKEN_LC_TABLE,
    NJ_TOKEN_ALIAS
} nj_token_kind;

typedef struct nj_clause_token {
    nj_token_kind kind;
    uint32_t start, end;
    uint32_t scope;   /* number of its parenthesis, 0 = the clause itself */
    const char *name; /* NJ_TOKEN_NAME, NJ_TOKEN_ALIAS: parts joined by dots, without quotes */
    uint32_t parts;
    size_t index; /* NJ_TOKEN_NAME that is a column of the alert: in clause->name; else SIZE_MAX */
    const nj_query_function *call; /* NJ_TOKEN_FUNCTION: one of ours, or NULL */
} nj_clause_token;

typedef struct nj_clause_scope {
    uint32_t parent;
    bool lc, from, expect; /* reads lc; behind FROM; a table must come next */
    bool is_table;         /* the parenthesis itself stands where a table does */
} nj_clause_scope;

typedef struct nj_clause_parser {
    nj_clause *clause;
    const char *where;
    nj_clause_token *token;
    size_t n;
    nj_clause_scope *scope;
    uint32_t n_scopes;
    const char *alias[NJ_CLAUSE_ALIASES];
    size_t n_aliases;
    nj_error *err;
} nj_clause_parser;

/* clause.c: a keyword of that name, in any case; a sign of one character. */
bool nj_clause_is_word(const nj_clause_parser *p, const nj_clause_token *t, const char *word);
bool nj_clause_is_sign(const nj_clause_parser *p, const nj_clause_token *t, char c);

/* != or <>. */
bool nj_clause_is_unequal(const nj_clause_parser *p, const nj_clause_token *t);

/* clause_quick.c: fills clause->quick. -1 with p->err: out of memory. */
int nj_clause_find_quick(nj_clause_parser *p);

/* clause.c: the place of a column of the alert in clause->name. */
size_t nj_clause_name(nj_clause_parser *p, const char *name, nj_name_role role);

/* clause_functions.c: the calls of nj_query_functions; fills clause->given and notes what they read. -1 with
 * p->err: a wrong count of values, a text for a number, a number out of range. */
int nj_clause_check_calls(nj_clause_parser *p);
/* What stands behind the parenthesis of a call before the user's own values; "" = nothing. */
void nj_clause_add_hidden(const nj_clause_parser *p, const nj_clause_token *call, nj_buffer *out);

/* clause_regions.c: the clause with what in_region() stands for, in the clause's arena; NULL when it has no
 * such call. -1 with p->err where the call is not understood. */
int nj_clause_expand_regions(const nj_clause_parser *p, char **expanded);

/* clause_habits.c: -1 with p->err where another language's way of writing stands. */
int nj_clause_check_habits(const nj_clause_parser *p);
/* What a name is to the clause: a value of a comparison may be a text without its quotes. */
nj_name_role nj_clause_role_of(const nj_clause_parser *p, const nj_clause_token *t);

#endif
