/* answer.c - what rules say of one row's answer: is it valid, is it the same as another. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules.h"

const char nj_own_row_only[] = "write element [row] of each output, as the type of its give";
static const char missing_reason[] = "set reason[row] for every row of w->row: NJ_DONE, or why there is no "
                                     "answer (NJ_CUT, NJ_FEW_POINTS, ...)";

static void say(nj_check *c, nj_verdict verdict, const char *cure, const char *format, va_list ap)
{
    if (c->verdict == NJ_CHECKED_WRONG) return;
    vsnprintf(c->what, sizeof c->what, format, ap);
    snprintf(c->cure, sizeof c->cure, "%s", cure ? cure : "");
    c->verdict = verdict;
}

void nj_check_wrong(nj_check *c, const char *cure, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(c, NJ_CHECKED_WRONG, cure, format, ap);
    va_end(ap);
}

void nj_check_note(nj_check *c, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(c, NJ_CHECKED, NULL, format, ap);
    va_end(ap);
}

void nj_check_none(nj_check *c, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(c, NJ_CHECKED_NONE, NULL, format, ap);
    va_end(ap);
}

bool nj_check_no_memory(nj_check *c)
{
    nj_check_wrong(c, NULL, "out of memory");
    return false;
}

bool nj_check_same(nj_type type, const void *a, size_t i, const void *b, size_t j)
{
    if (type == NJ_STR) {
        const char *x = ((const char *const *)a)[i], *y = ((const char *const *)b)[j];
        return x == y || (x && y && !strcmp(x, y));
    }
    size_t size = nj_type_size(type);
    if (memcmp((const char *)a + i * size, (const char *)b + j * size, size) == 0) return true;
    return (type == NJ_F32 || type == NJ_F64) && isnan(nj_number(type, a, i)) && isnan(nj_number(type, b, j));
}

bool nj_check_near(double x, double y, double tolerance)
{
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= tolerance * fmax(1, fabs(y));
}

/* For a message; whole numbers with all their digits. */
const char *nj_check_words(nj_type type, const void *data, size_t i, char text[40])
{
    if (type == NJ_I64)
        snprintf(text, 40, "%lld", (long long)((const int64_t *)data)[i]);
    else if (type == NJ_STR)
        snprintf(text, 40, "%.38s",
                 ((const char *const *)data)[i] ? ((const char *const *)data)[i] : "(none)");
    else
        snprintf(text, 40, "%.17g", nj_number(type, data, i));
    return text;
}

void nj_check_at(nj_check *c, const nj_made_batch *b, uint32_t row)
{
    c->has_row = true;
    c->row = b->row[row];
}

/* Are row r of a and row s of b the same, bit for bit? */
bool nj_check_same_row(nj_check *c, const nj_made_batch *a, uint32_t r, const nj_made_batch *b, uint32_t s,
                       const char *how, const char *cure)
{
    const char *kind = nj_made_kind_name[a->row[r].kind];
    nj_check_at(c, a, r);
    if (a->reason[r] != b->reason[s]) {
        nj_check_wrong(c, cure, "%s: %s row: reason %u, was %u", how, kind, b->reason[s], a->reason[r]);
        return false;
    }
    for (uint32_t k = 0; k < a->in->n_gives; k++) {
        const nj_give *g = &a->in->give[k];
        size_t i, j, n = nj_made_width(a, k, r, &i);
        nj_made_width(b, k, s, &j);
        for (size_t e = 0; e < n; e++) {
            if (nj_check_same(g->type, a->out[k], i + e, b->out[k], j + e)) continue;
            char now[40], before[40];
            nj_check_wrong(c, cure, "%s: %s row: %s is %s, was %s", how, kind, g->name,
                           nj_check_words(g->type, b->out[k], j + e, now),
                           nj_check_words(g->type, a->out[k], i + e, before));
            return false;
        }
    }
    return true;
}

bool nj_check_answer(nj_check *c, const nj_made_batch *b, uint32_t r)
{
    const char *kind = nj_made_kind_name[b->row[r].kind];
    nj_check_at(c, b, r);
    if (b->reason[r] == NJ_NO_REASON)
        nj_check_wrong(c, missing_reason, "%s row: no reason was set", kind);
    else if (b->reason[r] >= NJ_FAILED)
        nj_check_wrong(c, missing_reason, "%s row: reason %u; a module sets 0 to %d", kind, b->reason[r],
                       NJ_FAILED - 1);
    int broken = nj_made_fence(b);
    if (broken >= 0)
        nj_check_wrong(c, nj_own_row_only, "%s row: bytes around the whole column %s were written", kind,
                       b->in->give[broken].name);
    for (uint32_t k = 0; k < b->in->n_gives; k++) {
        const nj_give *g = &b->in->give[k];
        size_t at, n = nj_made_width(b, k, r, &at);
        for (size_t e = 0; e < n; e++) {
            if (g->type == NJ_STR) {
                const char *s = ((const char *const *)b->out[k])[at + e];
                if (s && strnlen(s, 4097) > 4096)
                    nj_check_wrong(c, "end it by 0; w->text() keeps a copy as long as the batch lives",
                                   "%s row: %s is a text of more than 4,096 bytes", kind, g->name);
                continue;
            }
            double v = nj_number(g->type, b->out[k], at + e);
            if (!isnan(v) && !(v >= g->lo && v <= g->hi))
                nj_check_wrong(c,
                               "widen lo and hi of the give, or answer NJ_RANGE without a value; infinite is "
                               "written out as null",
                               "%s row: %s is %.17g, outside of [%g, %g]", kind, g->name, v, g->lo, g->hi);
        }
    }
    return c->verdict != NJ_CHECKED_WRONG;
}
