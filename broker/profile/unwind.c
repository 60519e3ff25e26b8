/* unwind.c - libunwind is too slow for a signal handler, so call frames are found by tables that were
 * prepared before. */
#include "unwind.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { MOST_FRAME = 64 << 20 };

struct nj_unwind {
    nj_cfi *rule; /* [n], ascending, apart */
    uint32_t n, cap;
};

nj_unwind *nj_unwind_new(void)
{
    return calloc(1, sizeof(nj_unwind));
}

void nj_unwind_free(nj_unwind *u)
{
    if (!u) return;
    free(u->rule);
    free(u);
}

static const nj_cfi *find(const nj_unwind *u, uint64_t pc)
{
    uint32_t lo = 0, hi = u->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (u->rule[mid].to <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < u->n && u->rule[lo].from <= pc ? &u->rule[lo] : NULL;
}

int nj_unwind_walk(const nj_unwind *u, const void *context, uint64_t stack_end, uint64_t *to, int most,
                   uint64_t *missed)
{
    *missed = 0;
#if defined __x86_64__
    const greg_t *reg = ((const ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t pc = (uint64_t)reg[REG_RIP], sp = (uint64_t)reg[REG_RSP], bp = (uint64_t)reg[REG_RBP];
    for (int n = 0; n < most;) {
        const nj_cfi *rule = find(u, n ? pc - 1 : pc); /* the call lies before its return address */
        if (!rule) return *missed = n ? pc - 1 : pc, 0;
        to[n++] = pc;
        if (rule->kind == NJ_CFI_END) return n;
        if (rule->kind != NJ_CFI_PLAIN) return 0;
        uint64_t cfa = (rule->from_bp ? bp : sp) + (uint64_t)rule->cfa_offset;
        if (cfa <= sp || cfa > stack_end || cfa - sp > MOST_FRAME || cfa % 8) return 0;
        uint64_t low = cfa - 8 < cfa + (uint64_t)rule->bp_offset ? cfa - 8 : cfa + (uint64_t)rule->bp_offset;
        if (low < sp - 128) return 0; /* below the red zone: no frame of this function */
        if (rule->bp_saved)
            memcpy(&bp, (const void *)(uintptr_t)(cfa + (uint64_t)rule->bp_offset), sizeof bp);
        memcpy(&pc, (const void *)(uintptr_t)(cfa - 8), sizeof pc);
        sp = cfa;
        if (!pc) return n;
    }
    return most;
#else
    (void)u, (void)context, (void)stack_end, (void)to, (void)most;
    return 0;
#endif
}

static int ascending(const void *a, const void *b)
{
    const nj_cfi *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* Rules of one row of the table begin alike: what is known of it grows. */
static void add(nj_unwind *u, const nj_cfi *rule)
{
    for (uint32_t i = 0; i < u->n; i++)
        if (u->rule[i].from == rule->from) {
            if (u->rule[i].to < rule->to) u->rule[i].to = rule->to;
            return;
        }
    if (u->n == u->cap) {
        uint32_t cap = u->cap ? 2 * u->cap : 256;
        nj_cfi *more = realloc(u->rule, cap * sizeof *more);
        if (!more) return;
        u->rule = more;
        u->cap = cap;
    }
    u->rule[u->n++] = *rule;
    qsort(u->rule, u->n, sizeof *u->rule, ascending);
}

uint32_t nj_unwind_learn(nj_unwind *u, nj_symbols *symbols, const uint64_t *missed, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (find(u, missed[i])) continue;
        nj_cfi rule = nj_symbols_cfi(symbols, missed[i]);
        add(u, &rule);
    }
    return u->n;
}
