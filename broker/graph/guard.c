/* guard.c - a module that crashed on an alert would crash on it again at every start, so what is known of it
 * is kept outside of the process, and judged by rules that need no process at all. */
#include "guard.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

nj_guard *nj_guard_here;

void nj_guard_use(nj_guard *guard)
{
    nj_guard_here = guard;
    nj_slot_thread = 0; /* a fork keeps that of its parent */
    if (guard) nj_slot_set_up_at(&guard->slot[NJ_SLOT_SET_UP]);
}

static void take(nj_guard *g)
{
    while (atomic_exchange(&g->lock, 1)) sched_yield();
}

static void give(nj_guard *g)
{
    atomic_store(&g->lock, 0);
}

uint32_t nj_guard_module_of(nj_guard *g, const char *name)
{
    if (!g) return NJ_NO_MODULE;
    take(g);
    uint32_t n = atomic_load(&g->n_modules), i = 0;
    while (i < n && strcmp(g->module[i].name, name)) i++;
    if (i == n && n < NJ_GUARD_MODULES && strlen(name) < sizeof g->module[i].name) {
        strcpy(g->module[i].name, name);
        atomic_store(&g->n_modules, n + 1);
    } else if (i == n) {
        i = NJ_NO_MODULE;
    }
    give(g);
    return i;
}

nj_slot *nj_guard_slot(nj_guard *g)
{
    if (!g) return NULL;
    uint32_t i = NJ_SLOT_FIRST_WORKER + atomic_fetch_add(&g->n_slots, 1);
    return i < NJ_GUARD_SLOTS ? &g->slot[i] : NULL;
}

static uint32_t n_kept(const nj_guard *g)
{
    uint32_t n = atomic_load(&g->n_pairs);
    return n < NJ_GUARD_PAIRS ? n : NJ_GUARD_PAIRS;
}

const nj_failed_pair *nj_guard_pair(const nj_guard *g, uint32_t module, uint64_t key, int64_t offset,
                                    uint32_t record)
{
    for (uint32_t i = 0, n = n_kept(g); i < n; i++) {
        const nj_failed_pair *p = &g->pair[i];
        if (p->offset == offset && p->module == module && p->key == key &&
            (p->record == record || p->record == NJ_ANY_RECORD))
            return p;
    }
    return NULL;
}

bool nj_guard_add(nj_guard *g, const nj_failed_pair *pair)
{
    if (nj_guard_pair(g, pair->module, pair->key, pair->offset, pair->record)) return false;
    take(g);
    g->pair[atomic_load(&g->n_pairs) % NJ_GUARD_PAIRS] = *pair;
    atomic_fetch_add(&g->n_pairs, 1);
    give(g);
    return true;
}

bool nj_guard_count(nj_guard *g, uint32_t module)
{
    if (module >= NJ_GUARD_MODULES) return false;
    nj_guard_module *m = &g->module[module];
    const uint64_t most = (uint64_t)g->conf.quarantine, rows = atomic_load(&m->rows);
    bool off = false;
    take(g);
    uint64_t n = atomic_fetch_add(&m->n_failures, 1);
    /* the one that came `quarantine` failures ago: was that less than quarantine_alerts ago? */
    if (most && most < NJ_GUARD_RECENT && n >= most &&
        rows - m->recent[(n - most) % NJ_GUARD_RECENT] < (uint64_t)g->conf.quarantine_alerts)
        off = !atomic_exchange(&m->off, 1);
    m->recent[n % NJ_GUARD_RECENT] = rows;
    give(g);
    return off;
}

nj_slot *nj_guard_dead_slot(nj_guard *g)
{
    for (uint32_t i = 0; i < NJ_GUARD_SLOTS; i++)
        if (atomic_load(&g->slot[i].death.reported)) return &g->slot[i];
    return NULL;
}

/* The host's own parts that are judged like modules; NULL: a module. */
static const char *part_of(nj_phase phase)
{
    return phase == NJ_PHASE_DECODE   ? NJ_GUARD_DECODE
           : phase == NJ_PHASE_FILTER ? NJ_GUARD_FILTER
           : phase == NJ_PHASE_SINK   ? NJ_GUARD_SINK
                                      : NULL;
}

nj_blame nj_guard_judge(nj_guard *g, nj_slot *s, char *text, size_t size)
{
    const nj_death *death = s ? &s->death : &g->elsewhere;
    const char *what = atomic_load(&death->reported) ? death->what
                       : s ? "it was killed again and again, perhaps because memory was short"
                           : "it was killed";
    nj_phase phase = s ? atomic_load(&s->phase) : NJ_PHASE_LOAD;
    uint32_t n = s ? atomic_load(&s->n_rows) : 0, module = s ? atomic_load(&s->module) : NJ_NO_MODULE;
    bool host = part_of(phase) != NULL;
    if (host) module = nj_guard_module_of(g, part_of(phase));
    if (!s || death->sent || !n || module >= NJ_GUARD_MODULES ||
        !(host || phase == NJ_PHASE_PROCESS || phase == NJ_PHASE_STAMP)) {
        snprintf(text, size, "%s", what);
        return NJ_BLAME_NONE;
    }
    nj_guard_module *m = &g->module[module];
    if (atomic_load(&s->overdue)) atomic_store(&m->hung, 1);
    if (n > 1 && phase != NJ_PHASE_DECODE) {
        snprintf(text, size, "%s: %s, in a call of %" PRIu32 " rows: from now on they come singly", m->name,
                 what, n);
        return atomic_exchange(&m->tried, 1) ? NJ_BLAME_NONE : NJ_BLAME_TRIED;
    }
    nj_failed_pair pair = { .key = atomic_load(&s->key),
                            .offset = atomic_load(&s->offset),
                            .record = phase == NJ_PHASE_DECODE ? NJ_ANY_RECORD : atomic_load(&s->record),
                            .module = module };
    snprintf(pair.what, sizeof pair.what, "%s", what);
    snprintf(pair.stack, sizeof pair.stack, "%s", death->stack);
    snprintf(text, size, "%s: %s, offset %" PRId64 ": it does not get this alert again", m->name, what,
             pair.offset);
    atomic_store(&m->tried, 1);
    if (!nj_guard_add(g, &pair)) return NJ_BLAME_NONE;
    if (!host && nj_guard_count(g, module))
        snprintf(text, size, "%s: %s; it has failed too often, and is off for the rest of the run", m->name,
                 what);
    return NJ_BLAME_PAIR;
}

nj_slot *nj_guard_silent(nj_guard *g, uint64_t settled, uint32_t most)
{
    bool inside[NJ_GUARD_MODULES] = { false };
    nj_slot *found = NULL;
    const bool moved = settled != g->silent_settled;
    g->silent_settled = settled;
    for (uint32_t i = 0; i < NJ_GUARD_SLOTS; i++) {
        nj_slot *s = &g->slot[i];
        nj_phase phase = atomic_load(&s->phase);
        uint32_t module = atomic_load(&s->module);
        /* an output may wait for a disk, and be killed meanwhile as often as people like */
        bool host = phase == NJ_PHASE_DECODE || phase == NJ_PHASE_FILTER;
        if (!atomic_load(&s->instance) || !atomic_load(&s->n_rows)) continue;
        if (!host && phase != NJ_PHASE_PROCESS && phase != NJ_PHASE_STAMP) continue;
        if (host) module = nj_guard_module_of(g, part_of(phase));
        if (module >= NJ_GUARD_MODULES || inside[module]) continue;
        inside[module] = true;
        g->module[module].n_silent = moved ? 1 : g->module[module].n_silent + 1;
        if (!found && g->module[module].n_silent >= most) found = s;
        if (found == s) g->module[module].n_silent = 0;
    }
    for (uint32_t i = 0; i < NJ_GUARD_MODULES; i++)
        if (!inside[i]) g->module[i].n_silent = 0;
    return found;
}

nj_blame nj_guard_judge_thread(nj_guard *g, uint64_t settled, char *text, size_t size)
{
    uint32_t i = 0, n = atomic_load(&g->n_modules);
    while (i < n && strcmp(g->module[i].name, g->elsewhere_of)) i++;
    if (!g->elsewhere_of[0] || g->elsewhere.sent || i == n) {
        snprintf(text, size, "%s", g->elsewhere.what);
        return NJ_BLAME_NONE;
    }
    nj_guard_module *m = &g->module[i];
    const bool stands = g->elsewhere_settled == settled + 1, was_off = atomic_load(&m->off);
    g->elsewhere_settled = settled + 1;
    const bool off = nj_guard_count(g, i) || stands;
    if (off) {
        atomic_store(&m->tried, 1); /* from now on it is looked whether it is off */
        atomic_store(&m->off, 1);
    }
    snprintf(text, size, "%s: %s, in a thread of its own%s", m->name, g->elsewhere.what,
             off ? ", again: it is off for the rest of the run" : "");
    return off && !was_off ? NJ_BLAME_PAIR : NJ_BLAME_NONE;
}

void nj_guard_fresh(nj_guard *g)
{
    memset(g->slot, 0, sizeof g->slot);
    memset(g->trial, 0, sizeof g->trial);
    memset(&g->elsewhere, 0, sizeof g->elsewhere);
    memset(g->elsewhere_of, 0, sizeof g->elsewhere_of);
    atomic_store(&g->n_slots, 0);
    atomic_store(&g->lock, 0); /* its holder may be dead */
}

static uint32_t slots_of(const nj_guard *g)
{
    uint32_t n = NJ_SLOT_FIRST_WORKER + atomic_load(&g->n_slots);
    return n < NJ_GUARD_SLOTS ? n : NJ_GUARD_SLOTS;
}

uint64_t nj_guard_calls(const nj_guard *g, bool *inside)
{
    uint64_t sum = 0;
    *inside = false;
    for (uint32_t i = 0, n = slots_of(g); i < n; i++) {
        sum += atomic_load(&g->slot[i].calls);
        *inside |= atomic_load(&g->slot[i].instance) != NULL;
    }
    return sum;
}

nj_slot *nj_guard_overdue(nj_guard *g, nj_overdue *seen, int64_t now_ns)
{
    nj_slot *longest = NULL;
    int64_t since = 0;
    for (uint32_t i = 0, n = slots_of(g); i < n; i++) {
        nj_slot *s = &g->slot[i];
        uint64_t calls = atomic_load(&s->calls);
        nj_phase phase = atomic_load(&s->phase);
        /* a decoder may wait for a registry, an output for a disk */
        bool in = atomic_load(&s->instance) &&
                  (phase == NJ_PHASE_PROCESS || phase == NJ_PHASE_STAMP || phase == NJ_PHASE_FILTER);
        if (!in || calls != seen[i].calls) {
            seen[i] = (nj_overdue){ calls, now_ns };
            continue;
        }
        if (g->conf.deadline_s <= 0 || (double)(now_ns - seen[i].since_ns) / 1e9 < g->conf.deadline_s)
            continue;
        if (!longest || seen[i].since_ns < since) longest = s, since = seen[i].since_ns;
    }
    return longest;
}
