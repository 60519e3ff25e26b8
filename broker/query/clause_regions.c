/* clause_regions.c - in_region('NAME') in a clause: it stands for comparisons of the columns that an instance
 * of the module region has, so that neither SQLite nor the answer without it needs to know of the sky. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clause_parser.h"

/* The call at token i: in_region ( 'text' ). */
static bool is_call(const nj_clause_parser *p, size_t i)
{
    static const char name[] = "in_region";
    const nj_clause_token *t = &p->token[i];
    return t->kind == NJ_TOKEN_FUNCTION && t->end - t->start == sizeof name - 1 &&
           !strncasecmp(p->where + t->start, name, sizeof name - 1);
}

static int note(const nj_clause_parser *p, const char *name, size_t instance, size_t n)
{
    nj_arena *arena = &p->clause->arena;
    nj_region_call *c = nj_arena_zalloc(arena, sizeof *c);
    if (!c) return nj_fail(p->err, "out of memory");
    c->instance = nj_arena_text(arena, name, instance);
    if (instance < n) c->region = nj_arena_text(arena, name + instance + 1, n - instance - 1);
    if (!c->instance || (instance < n && !c->region)) return nj_fail(p->err, "out of memory");
    c->next = p->clause->regions;
    p->clause->regions = c;
    return 0;
}

/* 'INSTANCE' or 'INSTANCE.REGION', without its quotes. */
static int add_call(const nj_clause_parser *p, const nj_clause_token *t, nj_buffer *out)
{
    const char *from = p->where + t->start + 1;
    size_t n = t->end - t->start - 2, instance = 0;
    while (instance < n && from[instance] != '.') instance++;
    bool good = instance && instance + 1 != n && !memchr(from, '\'', n);
    for (size_t i = 0; i < instance; i++) good &= isalnum((unsigned char)from[i]) || from[i] == '_';
    if (!good)
        return nj_fail(p->err, "in_region('INSTANCE') or in_region('INSTANCE.REGION'), not in_region('%.*s')",
                       (int)n, from);
    if (note(p, from, instance, n)) return -1;
    nj_buffer_printf(out, "(%.*s.inside = 1", (int)instance, from);
    if (instance < n) /* outside of all regions there are no names, and the answer is still no */
        nj_buffer_printf(out, " AND instr(',' || coalesce(%.*s.names, '') || ',', ',%.*s,') > 0",
                         (int)instance, from, (int)(n - instance - 1), from + instance + 1);
    nj_buffer_text(out, ")");
    return 0;
}

int nj_clause_expand_regions(const nj_clause_parser *p, char **expanded)
{
    nj_buffer out = { 0 };
    size_t at = 0;
    int rc = 0;
    *expanded = NULL;
    for (size_t i = 0; i < p->n && !rc; i++) {
        if (!is_call(p, i)) continue;
        const nj_clause_token *t = &p->token[i];
        if (i + 3 >= p->n || t[2].kind != NJ_TOKEN_TEXT || !nj_clause_is_sign(p, &t[3], ')')) {
            rc = nj_fail(p->err, "in_region takes one text, a region's name in single quotes: %.40s",
                         p->where + t->start);
            break;
        }
        nj_buffer_add(&out, p->where + at, t->start - at);
        rc = add_call(p, &t[2], &out);
        at = t[3].end;
    }
    if (!rc && at) {
        nj_buffer_text(&out, p->where + at);
        *expanded = out.failed ? NULL : nj_arena_text(&p->clause->arena, out.data, out.n);
        if (!*expanded) rc = nj_fail(p->err, "out of memory");
    }
    nj_buffer_free(&out);
    return rc;
}
