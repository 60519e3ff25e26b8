/* clause_quick.c - most clauses are comparisons of columns with numbers, joined by AND: what of a clause has
 * that form is answered without SQLite, and a row that fails it needs no further question. */
#include <string.h>
#include <strings.h>

#include "clause_parser.h"

/* A part between two ANDs of the clause itself. */
typedef struct part {
    const nj_clause_token *token;
    size_t n;
} part;

static bool is_word(const nj_clause_parser *p, const part *s, size_t i, const char *word)
{
    return i < s->n && nj_clause_is_word(p, &s->token[i], word);
}

static bool is_column(const part *s, size_t i)
{
    return i < s->n && s->token[i].kind == NJ_TOKEN_NAME && s->token[i].index != SIZE_MAX;
}

/* A number at `at`, with its sign: how many tokens it has; 0 = there is none. SQLite reads its text. */
static size_t number_at(const nj_clause_parser *p, const part *s, size_t at, const char **text)
{
    bool is_signed =
        at < s->n && (nj_clause_is_sign(p, &s->token[at], '-') || nj_clause_is_sign(p, &s->token[at], '+'));
    size_t last = at + is_signed;
    if (last >= s->n || s->token[last].kind != NJ_TOKEN_LITERAL) return 0;
    const char *from = p->where + s->token[at].start;
    *text = nj_arena_text(&p->clause->arena, from, s->token[last].end - s->token[at].start);
    return *text ? 1 + is_signed : 0;
}

/* A comparison at `at`: how many tokens it has; 0 = there is none. */
static size_t operator_at(const nj_clause_parser *p, const part *s, size_t at, nj_quick_op *op)
{
    if (at >= s->n || s->token[at].kind != NJ_TOKEN_SIGN) return 0;
    if (nj_clause_is_unequal(p, &s->token[at])) return *op = NJ_QUICK_NE, 1;
    bool less = nj_clause_is_sign(p, &s->token[at], '<'), more = nj_clause_is_sign(p, &s->token[at], '>'),
         equal = nj_clause_is_sign(p, &s->token[at], '=');
    bool then = at + 1 < s->n && nj_clause_is_sign(p, &s->token[at + 1], '=');
    if (!less && !more && !equal) return 0;
    *op = equal ? NJ_QUICK_EQ : less ? (then ? NJ_QUICK_LE : NJ_QUICK_LT) : then ? NJ_QUICK_GE : NJ_QUICK_GT;
    return 1 + then;
}

static nj_quick_op turned(nj_quick_op op)
{
    switch (op) {
    case NJ_QUICK_LT: return NJ_QUICK_GT;
    case NJ_QUICK_LE: return NJ_QUICK_GE;
    case NJ_QUICK_GT: return NJ_QUICK_LT;
    case NJ_QUICK_GE: return NJ_QUICK_LE;
    default: return op;
    }
}

static bool add(nj_clause_parser *p, size_t name, nj_quick_op op, const char *number)
{
    p->clause->quick[p->clause->n_quick++] = (nj_quick){ .name = name, .op = op, .number = number };
    return true;
}

/* name BETWEEN a AND b */
static bool take_between(nj_clause_parser *p, const part *s)
{
    const char *low, *high;
    if (!is_word(p, s, 1, "BETWEEN")) return false;
    size_t n = number_at(p, s, 2, &low), at = 2 + n;
    if (!n || !is_word(p, s, at, "AND")) return false;
    size_t m = number_at(p, s, at + 1, &high);
    if (!m || at + 1 + m != s->n) return false;
    return add(p, s->token[0].index, NJ_QUICK_GE, low) && add(p, s->token[0].index, NJ_QUICK_LE, high);
}

/* name IS NULL, name ISNULL, name IS NOT NULL, name NOTNULL, name NOT NULL */
static bool take_null(nj_clause_parser *p, const part *s)
{
    size_t at = 1 + is_word(p, s, 1, "IS"), negated = is_word(p, s, at, "NOT");
    if (s->n == 2 && is_word(p, s, 1, "ISNULL")) return add(p, s->token[0].index, NJ_QUICK_NULL, NULL);
    if (s->n == 2 && is_word(p, s, 1, "NOTNULL")) return add(p, s->token[0].index, NJ_QUICK_GIVEN, NULL);
    at += negated;
    if (at < 2 || at + 1 != s->n || !is_word(p, s, at, "NULL")) return false;
    return add(p, s->token[0].index, negated ? NJ_QUICK_GIVEN : NJ_QUICK_NULL, NULL);
}

static bool take(nj_clause_parser *p, const part *s)
{
    nj_quick_op op;
    const char *number;
    if (is_column(s, 0)) {
        size_t n = operator_at(p, s, 1, &op), m = n ? number_at(p, s, 1 + n, &number) : 0;
        if (m && 1 + n + m == s->n) return add(p, s->token[0].index, op, number);
        return take_between(p, s) || take_null(p, s);
    }
    size_t m = number_at(p, s, 0, &number), n = m ? operator_at(p, s, m, &op) : 0;
    if (!n || !is_column(s, m + n) || m + n + 1 != s->n) return false;
    return add(p, s->token[m + n].index, turned(op), number);
}

/* Where the part that begins at `from` ends: at an AND that is not BETWEEN's and in no CASE. SIZE_MAX: the
 * clause is no chain of ANDs. */
static size_t part_end(const nj_clause_parser *p, size_t from)
{
    size_t betweens = 0, cases = 0, at = from;
    for (; at < p->n; at++) {
        const nj_clause_token *t = &p->token[at];
        if (t->scope) continue;
        cases += nj_clause_is_word(p, t, "CASE");
        cases -= cases && nj_clause_is_word(p, t, "END");
        if (cases) continue;
        if (nj_clause_is_word(p, t, "OR")) return SIZE_MAX;
        betweens += nj_clause_is_word(p, t, "BETWEEN");
        if (!nj_clause_is_word(p, t, "AND")) continue;
        if (!betweens) break;
        betweens--;
    }
    return at;
}

int nj_clause_find_quick(nj_clause_parser *p)
{
    nj_clause *c = p->clause;
    c->quick = nj_arena_alloc(&c->arena, (p->n + 1) * sizeof *c->quick); /* each has two tokens at least */
    if (!c->quick) return nj_fail(p->err, "out of memory");
    c->all_quick = true;
    for (size_t from = 0; from <= p->n;) {
        size_t end = part_end(p, from);
        if (end == SIZE_MAX) return c->n_quick = 0, c->all_quick = false, 0;
        if (!take(p, &(part){ &p->token[from], end - from })) c->all_quick = false;
        from = end + 1;
    }
    return 0;
}
