/* clause.c - a WHERE clause is split into tokens to find the columns it uses, before SQLite compiles it. */
#include "clause.h"

#include <ctype.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/buffer.h"
#include "clause_parser.h"

static const char *const lc_name[NJ_LC_COLUMNS] = { "jd",   "band", "mag",          "mag_err",
                                                    "flux", "kind", "template_flux" };
const char *const nj_lc_path[NJ_LC_COLUMNS] = { "lc.jd",   "lc.band", "lc.mag",          "lc.mag_err",
                                                "lc.flux", "lc.kind", "lc.template_flux" };

enum { MAX_TOKENS = 8192, MAX_DEPTH = 64 };

static bool is_first(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}
static bool is_next(char c)
{
    return is_first(c) || isdigit((unsigned char)c);
}
bool nj_clause_is_word(const nj_clause_parser *p, const nj_clause_token *t, const char *word)
{
    size_t n = strlen(word);
    return t->kind == NJ_TOKEN_KEYWORD && t->end - t->start == n &&
           !strncasecmp(p->where + t->start, word, n);
}
bool nj_clause_is_sign(const nj_clause_parser *p, const nj_clause_token *t, char c)
{
    return t->kind == NJ_TOKEN_SIGN && t->end == t->start + 1 && p->where[t->start] == c;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* The end of a quoted text that begins at `at`, behind its closing quote (a doubled
 * quote stands for itself); 0 = none. */
static size_t quoted_end(const char *s, size_t at)
{
    char close = s[at] == '[' ? ']' : s[at];
    for (size_t i = at + 1; s[i]; i++) {
        if (s[i] != close) continue;
        if (close != ']' && s[i + 1] == close)
            i++;
        else
            return i + 1;
    }
    return 0;
}

/* One part of a name at `at`, added to `out` without its quotes; returns the end.
 * 0 = a quote is left open. */
static size_t name_part(const char *s, size_t at, nj_buffer *out)
{
    size_t end = at;
    if (is_first(s[at])) {
        while (is_next(s[end])) end++;
        if (s[end] == '[' && s[end + 1] == ']') end += 2; /* packet.fp_hists[].rcid */
        nj_buffer_add(out, s + at, end - at);
        return end;
    }
    end = quoted_end(s, at);
    for (size_t i = at + 1; end && i < end - 1; i++) {
        nj_buffer_add(out, s + i, 1);
        if (s[i] == s[at]) i++;
    }
    return end;
}

static size_t skip_space(const char *s, size_t at)
{
    while (isspace((unsigned char)s[at])) at++;
    return at;
}

/* A keyword, function or name of one or more parts. */
static int word_token(nj_clause_parser *p, nj_clause_token *t)
{
    nj_buffer name = { 0 };
    const char *s = p->where;
    size_t at = t->start, end = name_part(s, at, &name);
    t->parts = 1;
    while (end && s[skip_space(s, end)] == '.') {
        size_t next = skip_space(s, skip_space(s, end) + 1);
        if (!is_first(s[next]) && !strchr("\"`[", s[next] ? s[next] : ' ')) break;
        nj_buffer_text(&name, ".");
        end = name_part(s, next, &name);
        t->parts++;
    }
    if (!end) {
        nj_buffer_free(&name);
        return nj_fail(p->err, "a quote is left open: %.40s", s + at);
    }
    t->end = (uint32_t)end;
    t->kind = NJ_TOKEN_NAME;
    if (t->parts == 1 && is_first(s[at])) {
        if (sqlite3_keyword_check(s + at, (int)(end - at)))
            t->kind = NJ_TOKEN_KEYWORD;
        else if (s[skip_space(s, end)] == '(')
            t->kind = NJ_TOKEN_FUNCTION;
        else if (name.data && (!strcasecmp(name.data, "true") || !strcasecmp(name.data, "false")))
            t->kind = NJ_TOKEN_LITERAL;
    }
    if (t->kind == NJ_TOKEN_NAME)
        t->name = name.failed ? NULL : nj_arena_text(&p->clause->arena, name.data ? name.data : "", name.n);
    nj_buffer_free(&name);
    return t->kind == NJ_TOKEN_NAME && !t->name ? nj_fail(p->err, "out of memory") : 0;
}

static int next_token(nj_clause_parser *p, nj_clause_token *t)
{
    const char *s = p->where;
    size_t at = t->start, end = at + 1;
    if ((s[at] == 'x' || s[at] == 'X') && s[at + 1] == '\'') {
        t->kind = NJ_TOKEN_TEXT;
        end = quoted_end(s, at + 1);
    } else if (is_first(s[at]) || s[at] == '"' || s[at] == '`' || s[at] == '[') {
        return word_token(p, t);
    } else if (s[at] == '\'') {
        t->kind = NJ_TOKEN_TEXT;
        end = quoted_end(s, at);
    } else if (isdigit((unsigned char)s[at]) || (s[at] == '.' && isdigit((unsigned char)s[at + 1]))) {
        t->kind = NJ_TOKEN_LITERAL;
        while (isalnum((unsigned char)s[end]) || s[end] == '.' ||
               ((s[end] == '+' || s[end] == '-') && (s[end - 1] == 'e' || s[end - 1] == 'E') &&
                s[at + 1] != 'x'))
            end++;
    } else if ((s[at] == '-' && s[at + 1] == '-') || (s[at] == '/' && s[at + 1] == '*')) {
        return nj_fail(p->err, "comments are not allowed: %.40s", s + at);
    } else if (strchr(";?:@$#\\", s[at])) {
        return nj_fail(p->err, "'%c' is not allowed in a clause: %.40s", s[at], s + at);
    } else {
        t->kind = NJ_TOKEN_SIGN;
        if ((s[at] == '!' && s[at + 1] == '=') || (s[at] == '<' && s[at + 1] == '>')) end++;
    }
    if (!end) return nj_fail(p->err, "a quote is left open: %.40s", s + at);
    t->end = (uint32_t)end;
    return 0;
}

static int tokenise(nj_clause_parser *p)
{
    uint32_t stack[MAX_DEPTH], depth = 0;
    for (size_t at = skip_space(p->where, 0); p->where[at];
         at = skip_space(p->where, p->token[p->n - 1].end)) {
        if (p->n == MAX_TOKENS) return nj_fail(p->err, "more than %d words and signs", MAX_TOKENS);
        nj_clause_token *t = &p->token[p->n++];
        *t = (nj_clause_token){ .start = (uint32_t)at, .index = SIZE_MAX };
        if (next_token(p, t)) return -1;
        t->scope = depth ? stack[depth - 1] : 0;
        if (nj_clause_is_sign(p, t, '(')) {
            if (depth == MAX_DEPTH)
                return nj_fail(p->err, "parentheses are nested more than %d deep", MAX_DEPTH);
            p->scope[p->n_scopes] = (nj_clause_scope){ .parent = t->scope };
            stack[depth++] = p->n_scopes++;
        } else if (nj_clause_is_sign(p, t, ')')) {
            if (!depth) return nj_fail(p->err, "a ')' closes nothing: %.40s", p->where + at);
            depth--; /* the closing parenthesis still belongs to what it closes */
        }
    }
    if (depth) return nj_fail(p->err, "%u '(' left open", depth);
    return p->n ? 0 : nj_fail(p->err, "the clause is empty");
}

/* ---- tables of subqueries -------------------------------------------------------------------- */

static int add_alias(nj_clause_parser *p, nj_clause_token *t)
{
    if (p->n_aliases == NJ_CLAUSE_ALIASES) return nj_fail(p->err, "more than %d aliases", NJ_CLAUSE_ALIASES);
    t->kind = NJ_TOKEN_ALIAS;
    p->alias[p->n_aliases++] = t->name;
    return 0;
}

/* An optional [AS] alias behind a table. */
static int table_alias(nj_clause_parser *p, size_t i)
{
    if (i < p->n && nj_clause_is_word(p, &p->token[i], "AS")) i++;
    return i < p->n && p->token[i].kind == NJ_TOKEN_NAME && p->token[i].parts == 1
               ? add_alias(p, &p->token[i])
               : 0;
}

/* WINDOW name AS (...): its name is no column. */
static bool is_window(const nj_clause_parser *p, size_t i)
{
    return i + 2 < p->n && nj_clause_is_word(p, &p->token[i + 1], "AS") &&
           nj_clause_is_sign(p, &p->token[i + 2], '(');
}

static int find_tables(nj_clause_parser *p)
{
    uint32_t scope_at = 1;
    for (size_t i = 0; i < p->n; i++) {
        nj_clause_token *t = &p->token[i];
        nj_clause_scope *s = &p->scope[t->scope];
        if (s->expect) {
            s->expect = false;
            if (t->kind == NJ_TOKEN_NAME && t->parts == 1 && !strcasecmp(t->name, "lc")) {
                t->kind = NJ_TOKEN_LC_TABLE;
                s->lc = p->clause->lc = true;
                if (table_alias(p, i + 1)) return -1;
                continue;
            }
            if (!nj_clause_is_sign(p, t, '('))
                return nj_fail(p->err, "a subquery can read FROM lc only, not %.*s", (int)(t->end - t->start),
                               p->where + t->start);
            p->scope[scope_at].is_table = true;
            s->lc = true; /* what it selects is the light curve's, and so are the names out here */
        }
        if (nj_clause_is_sign(p, t, '('))
            scope_at++;
        else if (nj_clause_is_sign(p, t, ')') && s->is_table && table_alias(p, i + 1))
            return -1;
        else if (nj_clause_is_word(p, t, "FROM") && !(i && nj_clause_is_word(p, t - 1, "DISTINCT")))
            s->from = s->expect = true;
        else if (s->from && (nj_clause_is_word(p, t, "JOIN") || nj_clause_is_sign(p, t, ',')))
            s->expect = true;
        else if (nj_clause_is_word(p, t, "WHERE") || nj_clause_is_word(p, t, "GROUP") ||
                 nj_clause_is_word(p, t, "WINDOW") || nj_clause_is_word(p, t, "ORDER") ||
                 nj_clause_is_word(p, t, "HAVING") || nj_clause_is_word(p, t, "LIMIT") ||
                 nj_clause_is_word(p, t, "UNION") || nj_clause_is_word(p, t, "SELECT"))
            s->from = false;
        else if (t->kind == NJ_TOKEN_NAME && t->parts == 1 && is_window(p, i)) {
            if (add_alias(p, t)) return -1;
        } else if (i && t->kind == NJ_TOKEN_NAME && t->parts == 1 &&
                   (nj_clause_is_word(p, t - 1, "AS") || nj_clause_is_word(p, t - 1, "COLLATE"))) {
            if (nj_clause_is_word(p, t - 1, "COLLATE"))
                t->kind = NJ_TOKEN_ALIAS;
            else if (add_alias(p, t))
                return -1;
        }
    }
    return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool in_lc_scope(const nj_clause_parser *p, uint32_t s)
{
    for (;; s = p->scope[s].parent) {
        if (p->scope[s].lc) return true;
        if (!s) return false;
    }
}

int nj_clause_lc_column(const char *name)
{
    for (int c = 0; c < NJ_LC_COLUMNS; c++)
        if (!strcasecmp(name, lc_name[c])) return c;
    return -1;
}

static bool is_alias(const nj_clause_parser *p, const char *name, size_t n)
{
    for (size_t i = 0; i < p->n_aliases; i++)
        if (strlen(p->alias[i]) == n && !strncasecmp(p->alias[i], name, n)) return true;
    return false;
}

size_t nj_clause_name(nj_clause_parser *p, const char *name, nj_name_role role)
{
    nj_clause *c = p->clause;
    for (size_t i = 0; i < c->n_names; i++)
        if (!strcmp(c->name[i], name)) return i;
    c->role[c->n_names] = role;
    c->name[c->n_names] = (char *)name;
    return c->n_names++;
}

/* What a name means: a column of the light curve or of a subquery (stays as it is) or
 * of the alert (index is set). */
static int resolve(nj_clause_parser *p, nj_clause_token *t)
{
    nj_clause *c = p->clause;
    const char *name = t->name, *dot = strchr(name, '.');
    bool lc = in_lc_scope(p, t->scope);
    if (dot && lc &&
        (is_alias(p, name, (size_t)(dot - name)) || (dot - name == 2 && !strncasecmp(name, "lc", 2)))) {
        int column = nj_clause_lc_column(dot + 1);
        if (column >= 0)
            c->lc_used |= 1u << column;
        else if (!is_alias(p, dot + 1, strlen(dot + 1)))
            return nj_fail(p->err,
                           "lc has no column '%s'; it has jd, band, mag, mag_err, flux, kind, template_flux",
                           dot + 1);
        return 0;
    }
    if (dot && is_alias(p, name, (size_t)(dot - name))) return 0;
    if (!dot && lc && nj_clause_lc_column(name) >= 0) {
        c->lc_used |= 1u << nj_clause_lc_column(name);
        return 0;
    }
    if (!dot && is_alias(p, name, strlen(name))) return 0;
    /* alert.mag: not lc's */
    if (dot && t->parts > 1 && dot - name == 5 && !strncasecmp(name, "alert", 5)) name = dot + 1;
    t->index = nj_clause_name(p, name, nj_clause_role_of(p, t));
    return 0;
}

static void add_trap(nj_clause_parser *p, const nj_clause_token *name, const char *word)
{
    if (name->kind == NJ_TOKEN_NAME && name->index != SIZE_MAX)
        p->clause->trap[p->clause->n_traps++] = (nj_null_trap){ name->index, word };
}

/* Whoever says IS, ISNULL or NOTNULL of a column anywhere in the clause has thought of its nulls. */
static bool minds_nulls(const nj_clause_parser *p, size_t index)
{
    for (size_t i = 0; i + 1 < p->n; i++)
        if (p->token[i].kind == NJ_TOKEN_NAME && p->token[i].index == index &&
            (nj_clause_is_word(p, &p->token[i + 1], "IS") ||
             nj_clause_is_word(p, &p->token[i + 1], "ISNULL") ||
             nj_clause_is_word(p, &p->token[i + 1], "NOTNULL")))
            return true;
    return false;
}

static void find_traps(nj_clause_parser *p)
{
    for (size_t i = 0; i + 1 < p->n; i++) {
        const nj_clause_token *t = &p->token[i];
        if (i && nj_clause_is_unequal(p, t)) {
            add_trap(p, t - 1, "!=");
            add_trap(p, t + 1, "!=");
        }
        if (i && nj_clause_is_word(p, t, "NOT") && nj_clause_is_word(p, t + 1, "IN"))
            add_trap(p, t - 1, "NOT IN");
        if (i && nj_clause_is_word(p, t, "NOT") && nj_clause_is_word(p, t + 1, "LIKE"))
            add_trap(p, t - 1, "NOT LIKE");
        if (i && nj_clause_is_word(p, t, "NOT") && nj_clause_is_word(p, t + 1, "GLOB"))
            add_trap(p, t - 1, "NOT GLOB");
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->clause->n_traps; i++)
        if (!minds_nulls(p, p->clause->trap[i].name)) p->clause->trap[kept++] = p->clause->trap[i];
    p->clause->n_traps = kept;
}

void nj_clause_quote(const nj_clause *clause, size_t index, nj_buffer *out)
{
    bool twin = false; /* SQLite does not mind capitals in names */
    for (size_t i = 0; i < index; i++) twin |= !strcasecmp(clause->name[i], clause->name[index]);
    nj_buffer_text(out, "\"");
    for (const char *c = clause->name[index]; *c; c++)
        nj_buffer_add(out, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    if (twin) nj_buffer_printf(out, "#%zu", index);
    nj_buffer_text(out, "\"");
}

static int rewrite(nj_clause_parser *p)
{
    nj_buffer out = { 0 };
    size_t at = 0;
    for (size_t i = 0; i < p->n; i++) {
        const nj_clause_token *t = &p->token[i];
        nj_buffer_add(&out, p->where + at, t->start - at);
        if (t->kind == NJ_TOKEN_LC_TABLE) {
            nj_buffer_text(&out, "lc(\"alert\".\"nj_row\")");
        } else if (t->kind == NJ_TOKEN_NAME && t->index != SIZE_MAX) {
            nj_buffer_text(&out, "\"alert\".");
            nj_clause_quote(p->clause, t->index, &out);
        } else {
            nj_buffer_add(&out, p->where + t->start, t->end - t->start);
        }
        at = t->end;
        if (i && t[-1].call && nj_clause_is_sign(p, t, '(')) nj_clause_add_hidden(p, &t[-1], &out);
    }
    p->clause->sql = out.failed ? NULL : nj_arena_text(&p->clause->arena, out.data, out.n);
    nj_buffer_free(&out);
    return p->clause->sql ? 0 : nj_fail(p->err, "out of memory");
}

static int allocate(nj_clause_parser *p, nj_arena *work)
{
    nj_clause *c = p->clause;
    size_t length = strlen(p->where);
    size_t most = length < MAX_TOKENS ? length + 1 : MAX_TOKENS; /* a token has at least one character */
    p->n = 0;
    p->n_scopes = 1;
    p->token = nj_arena_alloc(work, most * sizeof *p->token);
    p->scope = nj_arena_zalloc(work, (most + 1) * sizeof *p->scope);
    c->name = nj_arena_alloc(&c->arena, (most + 1) * sizeof *c->name); /* jd, which nobody wrote */
    c->role = nj_arena_alloc(&c->arena, (most + 1) * sizeof *c->role);
    c->given = nj_arena_alloc(&c->arena, most * sizeof *c->given);
    c->trap = nj_arena_alloc(&c->arena, 2 * most * sizeof *c->trap);
    return p->token && p->scope && c->name && c->role && c->trap && c->given
               ? 0
               : nj_fail(p->err, "out of memory");
}

/* The clause's tokens, those of what in_region() stands for among them. */
static int find_tokens(nj_clause_parser *p, nj_arena *work)
{
    char *expanded;
    if (allocate(p, work) || tokenise(p) || nj_clause_expand_regions(p, &expanded)) return -1;
    if (!expanded) return 0;
    p->where = expanded;
    return allocate(p, work) || tokenise(p) ? -1 : 0;
}

int nj_clause_parse(nj_clause *clause, const char *where, nj_error *err)
{
    *clause = (nj_clause){ 0 };
    if (strlen(where) > 65536) return nj_fail(err, "the clause is longer than 64 kB");
    nj_arena work = { 0 };
    nj_clause_parser p = { .clause = clause, .where = where, .err = err };
    int rc = find_tokens(&p, &work);
    if (!rc) rc = nj_clause_check_habits(&p);
    if (!rc) rc = find_tables(&p);
    for (size_t i = 0; i < p.n && !rc; i++)
        if (p.token[i].kind == NJ_TOKEN_NAME) rc = resolve(&p, &p.token[i]);
    if (!rc) rc = nj_clause_check_calls(&p);
    if (!rc) rc = rewrite(&p);
    if (!rc) rc = nj_clause_find_quick(&p);
    if (!rc) find_traps(&p);
    if (clause->lc) clause->lc_used |= 1u << NJ_LC_JD; /* how many points there are */
    nj_arena_free(&work);
    return rc;
}

void nj_clause_free(nj_clause *clause)
{
    nj_arena_free(&clause->arena);
    *clause = (nj_clause){ 0 };
}
