/* clause_habits.c - habits of other languages in a WHERE clause: each is reported with what SQL says
 * instead. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clause_parser.h"

bool nj_clause_is_unequal(const nj_clause_parser *p, const nj_clause_token *t)
{
    return t->kind == NJ_TOKEN_SIGN && t->end == t->start + 2 && strchr("!<", p->where[t->start]);
}

static bool is_comparison(const nj_clause_parser *p, const nj_clause_token *t)
{
    return nj_clause_is_unequal(p, t) || nj_clause_is_sign(p, t, '=') || nj_clause_is_sign(p, t, '<') ||
           nj_clause_is_sign(p, t, '>');
}

/* Two signs that touch: &&, ||, =>. */
static bool is_pair(const nj_clause_parser *p, size_t i, const char *pair)
{
    return i + 1 < p->n && nj_clause_is_sign(p, &p->token[i], pair[0]) &&
           nj_clause_is_sign(p, &p->token[i + 1], pair[1]) && p->token[i].end == p->token[i + 1].start;
}

/* Can nothing end with it? (A `*` may: count(*).) */
static bool wants_more(const nj_clause_parser *p, const nj_clause_token *t)
{
    static const char *const word[] = { "AND",     "OR", "NOT",   "IN",   "LIKE", "GLOB",
                                        "BETWEEN", "IS", "WHERE", "FROM", "CASE" };
    for (size_t k = 0; k < sizeof word / sizeof *word; k++)
        if (nj_clause_is_word(p, t, word[k])) return true;
    if (t->kind != NJ_TOKEN_SIGN || t->end > t->start + 1) return t->kind == NJ_TOKEN_SIGN;
    return strchr("=<>+-/%&|~,!^", p->where[t->start]) != NULL;
}

static bool is_fraction(const nj_clause_parser *p, const nj_clause_token *t)
{
    return t->kind == NJ_TOKEN_LITERAL && memchr(p->where + t->start, '.', t->end - t->start);
}

static int check_pair(const nj_clause_parser *p, size_t i)
{
    const nj_clause_token *t = &p->token[i];
    const char *at = p->where + t->start;
    if (is_pair(p, i, "&&")) return nj_fail(p->err, "SQL says AND for &&: %.40s", at);
    bool text = (i && p->token[i - 1].kind == NJ_TOKEN_TEXT) ||
                (i + 2 < p->n && p->token[i + 2].kind == NJ_TOKEN_TEXT);
    if (is_pair(p, i, "||") && !text)
        return nj_fail(p->err, "SQL says OR for ||, which joins texts: %.40s", at);
    if (is_pair(p, i, "=>")) return nj_fail(p->err, "SQL says >= for =>: %.40s", at);
    if (is_pair(p, i, "=<")) return nj_fail(p->err, "SQL says <= for =<: %.40s", at);
    bool bits = i && i + 1 < p->n && (nj_clause_is_sign(p, t, '&') || nj_clause_is_sign(p, t, '|')) &&
                !is_pair(p, i, "||");
    if (bits && (is_fraction(p, t - 1) || is_fraction(p, t + 1)))
        return nj_fail(p->err, "%.1s works on the bits of whole numbers; conditions are joined by %s: %.40s",
                       at, *at == '&' ? "AND" : "OR", at);
    if (nj_clause_is_sign(p, t, '!')) return nj_fail(p->err, "SQL says NOT for !: %.40s", at);
    return 0;
}

int nj_clause_check_habits(const nj_clause_parser *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const nj_clause_token *t = &p->token[i], *next = i + 1 < p->n ? t + 1 : NULL;
        if (check_pair(p, i)) return -1;
        if (next && is_comparison(p, t) && nj_clause_is_word(p, next, "NULL"))
            return nj_fail(p->err, "nothing is equal to NULL, not even NULL: write %s NULL",
                           nj_clause_is_unequal(p, t) ? "IS NOT" : "IS");
        if (wants_more(p, t) && (!next || nj_clause_is_sign(p, next, ')')))
            return nj_fail(p->err, "is not finished: something is missing behind '%.*s'",
                           (int)(t->end - t->start), p->where + t->start);
    }
    return 0;
}

nj_name_role nj_clause_role_of(const nj_clause_parser *p, const nj_clause_token *t)
{
    if (p->where[t->start] == '"') return NJ_ROLE_QUOTED;
    if (t == p->token || t->parts > 1) return NJ_ROLE_PLAIN;
    const nj_clause_token *before = t - 1;
    if (is_comparison(p, before) || nj_clause_is_word(p, before, "LIKE") ||
        nj_clause_is_word(p, before, "GLOB") || nj_clause_is_word(p, before, "IS"))
        return NJ_ROLE_COMPARED;
    bool listed = nj_clause_is_sign(p, before, '(') || nj_clause_is_sign(p, before, ',');
    for (const nj_clause_token *k = before; listed && k > p->token; k--)
        if (nj_clause_is_sign(p, k, '('))
            return nj_clause_is_word(p, k - 1, "IN") ? NJ_ROLE_COMPARED : NJ_ROLE_PLAIN;
    return NJ_ROLE_PLAIN;
}

bool nj_clause_hint(const nj_clause *clause, size_t name, char *hint, size_t size)
{
    const char *text = clause->name[name];
    nj_name_role role = clause->role[name];
    if (role == NJ_ROLE_PLAIN) return false;
    if (!strcasecmp(text, "nan") || !strcasecmp(text, "none") || !strcasecmp(text, "inf"))
        snprintf(hint, size, "there is no %s in SQL: a value that is not there IS NULL", text);
    else
        snprintf(hint, size, "a text stands in single quotes: '%s'", text);
    return true;
}

bool nj_clause_hint_for(const char *where, const char *name, char *hint, size_t size)
{
    nj_clause c;
    nj_error ignored;
    bool said = false;
    if (nj_clause_parse(&c, where, &ignored) == 0)
        for (size_t i = 0; i < c.n_names && !said; i++)
            said = !strcmp(c.name[i], name) && nj_clause_hint(&c, i, hint, size);
    nj_clause_free(&c);
    return said;
}
