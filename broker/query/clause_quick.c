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

/* What is compared: a column, or the first of several that is not null. */
typedef struct operand {
    const size_t *name;
    size_t n;
    const char *instead;
} operand;

static bool add(nj_clause_parser *p, const operand *a, nj_quick_op op, const char *number)
{
    p->clause->quick[p->clause->n_quick++] = (nj_quick){ a->name, a->n, a->instead, op, number };
    return true;
}

static bool is_sign(const nj_clause_parser *p, const part *s, size_t i, char c)
{
    return i < s->n && nj_clause_is_sign(p, &s->token[i], c);
}

static bool is_call(const nj_clause_parser *p, const part *s, size_t i, const char *name)
{
    if (i >= s->n) return false;
    const nj_clause_token *t = &s->token[i];
    return t->kind == NJ_TOKEN_FUNCTION && t->end - t->start == strlen(name) &&
           !strncasecmp(p->where + t->start, name, strlen(name));
}

/* coalesce(a, b, ...) or ifnull(a, b) at `at`, of columns, with a number at the end or without: how many
 * tokens it has; 0 = there is none. */
static size_t coalesce_at(const nj_clause_parser *p, const part *s, size_t at, operand *a)
{
    const bool two = is_call(p, s, at, "ifnull");
    if ((!two && !is_call(p, s, at, "coalesce")) || !is_sign(p, s, at + 1, '(')) return 0;
    size_t i = at + 2, values = 0, *name = nj_arena_alloc(&p->clause->arena, s->n * sizeof *name);
    *a = (operand){ .name = name };
    if (!name) return 0;
    for (;; i++) {
        size_t digits = is_column(s, i) ? 0 : number_at(p, s, i, &a->instead);
        if (!digits && !is_column(s, i)) return 0;
        if (!digits) name[a->n++] = s->token[i].index;
        values++;
        i += digits ? digits : 1;
        if (is_sign(p, s, i, ')')) break;
        if (digits || !is_sign(p, s, i, ',')) return 0;
    }
    return a->n && values >= 2 && (!two || values == 2) ? i + 1 - at : 0;
}

static size_t operand_at(const nj_clause_parser *p, const part *s, size_t at, operand *a)
{
    if (!is_column(s, at)) return coalesce_at(p, s, at, a);
    size_t *name = nj_arena_alloc(&p->clause->arena, sizeof *name); /* tokens do not last */
    if (!name) return 0;
    *name = s->token[at].index;
    *a = (operand){ .name = name, .n = 1 };
    return 1;
}

/* x BETWEEN a AND b; x ends at `at`. */
static bool take_between(nj_clause_parser *p, const part *s, const operand *x, size_t at)
{
    const char *low, *high;
    if (!is_word(p, s, at, "BETWEEN")) return false;
    size_t n = number_at(p, s, ++at, &low);
    at += n;
    if (!n || !is_word(p, s, at, "AND")) return false;
    size_t m = number_at(p, s, at + 1, &high);
    if (!m || at + 1 + m != s->n) return false;
    return add(p, x, NJ_QUICK_GE, low) && add(p, x, NJ_QUICK_LE, high);
}

/* x IS NULL, x ISNULL, x IS NOT NULL, x NOTNULL, x NOT NULL */
static bool take_null(nj_clause_parser *p, const part *s, const operand *x, size_t at)
{
    if (s->n == at + 1 && is_word(p, s, at, "ISNULL")) return add(p, x, NJ_QUICK_NULL, NULL);
    if (s->n == at + 1 && is_word(p, s, at, "NOTNULL")) return add(p, x, NJ_QUICK_GIVEN, NULL);
    size_t words = is_word(p, s, at, "IS"), negated = is_word(p, s, at + words, "NOT");
    words += negated;
    if (!words || at + words + 1 != s->n || !is_word(p, s, at + words, "NULL")) return false;
    return add(p, x, negated ? NJ_QUICK_GIVEN : NJ_QUICK_NULL, NULL);
}

static bool take(nj_clause_parser *p, const part *s)
{
    nj_quick_op op;
    const char *number;
    operand x;
    size_t k = operand_at(p, s, 0, &x);
    if (k) {
        size_t n = operator_at(p, s, k, &op), m = n ? number_at(p, s, k + n, &number) : 0;
        if (m && k + n + m == s->n) return add(p, &x, op, number);
        return take_between(p, s, &x, k) || take_null(p, s, &x, k);
    }
    size_t m = number_at(p, s, 0, &number), n = m ? operator_at(p, s, m, &op) : 0;
    k = n ? operand_at(p, s, m + n, &x) : 0;
    return k && m + n + k == s->n && add(p, &x, turned(op), number);
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
