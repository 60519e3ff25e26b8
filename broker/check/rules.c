/* rules.c - rules that call the module with made inputs: valid answers, independence of order and neighbours,
 * no memory and no files, no leak, equality with its plain version. And the table of all rules. */
#include "rules.h"

#include <fenv.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "calls.h"

static const char own_inputs_only[] = "an answer may depend on the row's inputs alone: no static variable, "
                                      "nothing kept in self or in the thread's block from row to row";

/* ---- made inputs ----------------------------------------------------------------------------- */

enum { ROWS = 64 };

/* Mostly typical rows, the odd ones among them, one giant. */
static void mixed_rows(nj_made_row row[ROWS], uint64_t seed)
{
    for (uint32_t r = 0; r < ROWS; r++)
        row[r] = (nj_made_row){ r % 3 ? NJ_MADE_TYPICAL : (nj_made_kind)(1 + r / 3 % (NJ_MADE_KINDS - 2)),
                                nj_made_hash(seed + r) };
    row[ROWS / 2].kind = NJ_MADE_GIANT;
}

static bool called(nj_check *c, int rc)
{
    if (rc == NJ_OK) return true;
    nj_check_wrong(c, "a row without an answer has a reason; the call as a whole succeeds",
                   "process() gave %d for a batch of made rows", rc);
    return false;
}

static bool begun(nj_check *c, nj_made_thread *t)
{
    int rc = nj_made_thread_open(t, c->in);
    if (rc == NJ_OK) return true;
    nj_check_wrong(c, NULL, "thread_open() gave %d", rc);
    return false;
}

static void any_input_gets_a_valid_answer(nj_check *c)
{
    nj_made_thread t;
    if (!begun(c, &t)) return;
    uint32_t done = 0;
    for (int kind = 0; kind < NJ_MADE_KINDS && c->verdict != NJ_CHECKED_WRONG; kind++) {
        nj_made_row row[8];
        uint32_t n = kind == NJ_MADE_GIANT ? 1 : 8;
        for (uint32_t r = 0; r < n; r++)
            row[r] = (nj_made_row){ (nj_made_kind)kind, nj_made_hash(r + 100 * (uint64_t)kind) };
        nj_made_batch b;
        if (nj_made_build(&b, c->in, row, n)) nj_check_no_memory(c);
        for (uint32_t r = 0; r < n && c->verdict != NJ_CHECKED_WRONG;
             r++) { /* one a call: who crashes is known */
            nj_check_at(c, &b, r);
            done += called(c, nj_made_call(&b, &t, c->in->module->process, &r, 1, 1)) &&
                    nj_check_answer(c, &b, r);
        }
        nj_made_free(&b);
    }
    nj_made_batch none;
    if (nj_made_build(&none, c->in, NULL, 0))
        nj_check_no_memory(c);
    else if (c->verdict != NJ_CHECKED_WRONG)
        called(c, nj_made_call_all(&none, &t, c->in->module->process, 1));
    nj_made_free(&none);
    nj_made_thread_close(&t);
    nj_check_note(c, "%u rows of %d kinds, and a call of no rows", done, NJ_MADE_KINDS);
}

typedef struct helper { /* calls the module in a thread of its own */
    pthread_t thread;
    nj_made_batch b;
    nj_made_thread t;
    bool made;
    int rc;
} helper;

static void *help(void *opaque)
{
    helper *h = opaque;
    for (int k = 0; k < 4 && h->rc == NJ_OK; k++)
        if ((h->rc = nj_made_clear(&h->b) ? NJ_ENOMEM : NJ_OK) == NJ_OK)
            h->rc = nj_made_call_all(&h->b, &h->t, h->b.in->module->process, 7);
    return NULL;
}

static void two_threads(nj_check *c, const nj_made_batch *a, const nj_made_row *row)
{
    helper h[2] = { { .rc = NJ_OK }, { .rc = NJ_OK } };
    for (int k = 0; k < 2; k++)
        if (nj_made_build(&h[k].b, c->in, row, ROWS) || !begun(c, &h[k].t) ||
            pthread_create(&h[k].thread, NULL, help, &h[k]))
            nj_check_no_memory(c);
        else
            h[k].made = true;
    for (int k = 0; k < 2; k++) {
        if (h[k].made) pthread_join(h[k].thread, NULL);
        if (h[k].made && called(c, h[k].rc))
            for (uint32_t r = 0; r < ROWS; r++)
                if (!nj_check_same_row(
                        c, a, r, &h[k].b, r, "in two threads at once",
                        "self is read-only after open(): what a call changes belongs into the thread's "
                        "block (thread_size)"))
                    break;
        if (h[k].made) nj_made_thread_close(&h[k].t);
        nj_made_free(&h[k].b);
    }
}

/* Whole, row by row, backwards, elsewhere in another batch, with a worn thread block, in two threads: the
 * same row, the same answer. */
static void order_changes_nothing(nj_check *c)
{
    nj_made_thread fresh, worn;
    nj_made_row row[ROWS], turned[ROWS];
    nj_made_batch a, b;
    if (!begun(c, &fresh) || !begun(c, &worn)) return;
    mixed_rows(row, 7);
    for (uint32_t r = 0; r < ROWS; r++) turned[r] = row[(r * 29 + 11) % ROWS];
    if (nj_made_build(&a, c->in, row, ROWS)) nj_check_no_memory(c);
    bool well = c->verdict != NJ_CHECKED_WRONG &&
                called(c, nj_made_call_all(&a, &fresh, c->in->module->process, ROWS));
    static const uint32_t slices[] = { 1, 5, 16 };
    for (size_t s = 0; well && s < 3; s++) {
        char how[48];
        snprintf(how, sizeof how, "in calls of %u rows", slices[s]);
        well = nj_made_build(&b, c->in, row, ROWS) == 0 || nj_check_no_memory(c);
        well = well && called(c, nj_made_call_all(&b, &worn, c->in->module->process, slices[s]));
        for (uint32_t r = 0; well && r < ROWS; r++)
            well = nj_check_same_row(c, &a, r, &b, r, how, own_inputs_only);
        nj_made_free(&b);
    }
    if (well) {
        well = nj_made_build(&b, c->in, turned, ROWS) == 0 || nj_check_no_memory(c);
        well = well && called(c, nj_made_call_all(&b, &worn, c->in->module->process, ROWS));
        for (uint32_t r = 0; well && r < ROWS; r++)
            well = nj_check_same_row(c, &a, (r * 29 + 11) % ROWS, &b, r, "elsewhere in a batch",
                                     own_inputs_only);
        nj_made_free(&b);
    }
    if (well && !c->in->serial) two_threads(c, &a, row);
    nj_made_free(&a);
    nj_made_thread_close(&fresh);
    nj_made_thread_close(&worn);
    nj_check_note(c, "%d rows whole, in calls of 1, 5 and 16 rows, and in another order%s", ROWS,
                  c->in->serial ? "" : ", and in two threads at once");
}

/* What a call for one row changed outside of that row. */
static void look_around(nj_check *c, const nj_made_batch *b, const nj_made_batch *before, uint32_t row)
{
    for (uint32_t k = 0; k < b->in->n_gives && c->verdict != NJ_CHECKED_WRONG; k++) {
        const nj_give *g = &b->in->give[k];
        size_t first, n = nj_made_width(b, k, row, &first), size = nj_type_size(g->type), own = first * size,
                      behind = (first + n) * size, all = b->out_n[k] * size;
        const char *now = b->out[k], *was = before->out[k];
        for (size_t i = 0; i < all; i++) {
            if ((i >= own && i < behind) || now[i] == was[i]) continue;
            bool wide = size < 8 && i >= behind && i < behind + 8 - size;
            char cure[200];
            snprintf(cure, sizeof cure, "%s%s%s", nj_own_row_only,
                     wide ? ": is a wider number written into a column of type " : "",
                     wide ? nj_type_name(g->type) : "");
            nj_check_at(c, b, row);
            nj_check_wrong(c, cure, "%s row %u of %u: %s: byte %+td %s its own element was written",
                           nj_made_kind_name[b->row[row].kind], row, b->n, g->name,
                           i < own ? (ptrdiff_t)(own - i) : (ptrdiff_t)(i - behind),
                           i < own ? "before" : "behind");
            return;
        }
    }
    int broken = nj_made_fence(b);
    if (broken < 0) return;
    nj_check_at(c, b, row);
    nj_check_wrong(c, nj_own_row_only, "row %u of %u: bytes around the whole column %s were written", row,
                   b->n, b->in->give[broken].name);
}

/* Other modules read the same columns and stamps, in the same thread. */
static void inputs_stay(nj_check *c, const nj_made_batch *b)
{
    if (fegetround() != FE_TONEAREST) {
        fesetround(FE_TONEAREST);
        return nj_check_wrong(c, "fesetround() back before the call ends",
                              "process() changed how the thread rounds");
    }
    const int changed = nj_made_changed(b);
    if (changed >= 0)
        nj_check_wrong(c, "what w->in and w->image() give is const: work on a copy in w->scratch()",
                       "need %s: process() has written to its input", c->in->need[changed].path);
}

/* Only the rows that were given may be written. */
static void other_rows_stay_untouched(nj_check *c)
{
    nj_made_thread t;
    nj_made_row row[ROWS];
    nj_made_batch b, before;
    if (!begun(c, &t)) return;
    mixed_rows(row, 8);
    bool well = nj_made_build(&b, c->in, row, ROWS) == 0;
    well = nj_made_build(&before, c->in, row, ROWS) == 0 && well;
    if (!well) nj_check_no_memory(c);
    for (uint32_t r = 0; well && r < ROWS; r++) {
        if (r % 4 != 1 && r != ROWS - 1) continue; /* a row in the middle first: it shows what is beside it */
        if (nj_made_clear(&b)) well = nj_check_no_memory(c);
        nj_check_at(c, &b, r);
        well = well && called(c, nj_made_call(&b, &t, c->in->module->process, &r, 1, 1));
        if (well) look_around(c, &b, &before, r);
        for (uint32_t i = 0; i < ROWS; i++)
            if (i != r && b.reason[i] != NJ_NO_REASON)
                nj_check_wrong(c, "set the reason of the rows of w->row, not of 0 to n",
                               "row %u was asked for, and row %u of %d got a reason", r, i, ROWS);
        well = well && c->verdict != NJ_CHECKED_WRONG;
    }
    uint32_t rows[ROWS], n = 0;
    for (uint32_t r = ROWS; r-- > 0;)
        if (r % 4 == 1) rows[n++] = r;
    if (well)
        well = nj_made_clear(&b) == 0 && called(c, nj_made_call(&b, &t, c->in->module->process, rows, n, n));
    for (uint32_t r = 0; well && r < ROWS; r++)
        well = r % 4 == 1
                   ? nj_check_answer(c, &b, r)
                   : nj_check_same_row(c, &before, r, &b, r, "a row that was not asked for", nj_own_row_only);
    if (well) inputs_stay(c, &b);
    nj_made_free(&b);
    nj_made_free(&before);
    nj_made_thread_close(&t);
    nj_check_note(c, "rows one by one, and every fourth one");
}

static void takes_no_memory(nj_check *c)
{
    if (!c->counts) return nj_check_none(c, "calls cannot be counted on this kind of machine");
    if (c->services) return nj_check_none(c, "it uses a service of the host, which may");
    nj_made_thread t;
    nj_made_row row[ROWS];
    nj_made_batch b;
    const char *first = NULL;
    if (!begun(c, &t)) return;
    mixed_rows(row, 9);
    if (nj_made_build(&b, c->in, row, ROWS)) nj_check_no_memory(c);
    /* once before: the C library's own first uses */
    bool well = c->verdict != NJ_CHECKED_WRONG &&
                called(c, nj_made_call_all(&b, &t, c->in->module->process, ROWS)) &&
                (nj_made_clear(&b) == 0 || nj_check_no_memory(c));
    nj_calls_taken(&first);
    if (well) called(c, nj_made_call_all(&b, &t, c->in->module->process, 16));
    unsigned long n = nj_calls_taken(&first);
    if (n)
        nj_check_wrong(c,
                       "w->scratch() for memory of one call, host->alloc() in open() for what stays, "
                       "host->data() in open() for files; threads, signals, the locale and the environment "
                       "are the host's",
                       "process() called %s() and the like %lu times for %d rows", first, n, ROWS);
    nj_made_free(&b);
    nj_made_thread_close(&t);
    nj_check_note(c, "no malloc(), no file, no socket, no program, no thread in a call of %d rows", ROWS);
}

static size_t memory_in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

enum { LEAK_CALLS = 100000, LEAK_WARM = 100 };

static void nothing_leaks(nj_check *c)
{
    nj_made_thread t;
    nj_made_row row = { NJ_MADE_TYPICAL, 1 };
    nj_made_batch b;
    uint32_t zero = 0, calls = 0;
    size_t before = 0, growth;
    if (!begun(c, &t)) return;
    if (nj_made_build(&b, c->in, &row, 1)) nj_check_no_memory(c);
    int64_t end = nj_now_ns() + (int64_t)(1e9 * c->leak_s);
    for (; calls < LEAK_CALLS + LEAK_WARM && c->verdict != NJ_CHECKED_WRONG; calls++) {
        if (calls == LEAK_WARM) before = memory_in_use();
        if (calls > LEAK_WARM && nj_now_ns() > end) break;
        nj_arena_reset(&b.texts);
        if (nj_made_clear(&b) == 0) called(c, nj_made_call(&b, &t, c->in->module->process, &zero, 1, 1));
    }
    growth = memory_in_use();
    growth = growth > before ? growth - before : 0;
    calls -= calls < LEAK_WARM ? calls : LEAK_WARM;
    if (calls && growth > 16384 && growth / calls >= 1)
        nj_check_wrong(c, "free what a call takes; better: w->scratch()",
                       "it keeps %zu bytes a call (%zu bytes after %u calls)", growth / calls, growth, calls);
    nj_made_free(&b);
    nj_made_thread_close(&t);
    nj_check_note(c, "%u calls", calls);
}

static void equals_its_plain_version(nj_check *c)
{
    if (!c->in->module->process_ref) return nj_check_none(c, "it has no process_ref");
    double tolerance = nj_check_tolerance(c, "# process_ref ", 1e-9);
    nj_made_thread t;
    nj_made_row row[ROWS];
    nj_made_batch a, b;
    if (!begun(c, &t)) return;
    mixed_rows(row, 10);
    bool well = nj_made_build(&a, c->in, row, ROWS) == 0;
    well = nj_made_build(&b, c->in, row, ROWS) == 0 && well;
    if (!well) nj_check_no_memory(c);
    well = well && called(c, nj_made_call_all(&a, &t, c->in->module->process, ROWS)) &&
           called(c, nj_made_call_all(&b, &t, c->in->module->process_ref, ROWS));
    for (uint32_t r = 0; well && r < ROWS && c->verdict != NJ_CHECKED_WRONG; r++) {
        const char *kind = nj_made_kind_name[row[r].kind];
        nj_check_at(c, &a, r);
        if (a.reason[r] != b.reason[r])
            nj_check_wrong(c, NULL, "%s row: reason %u, by process_ref %u", kind, a.reason[r], b.reason[r]);
        for (uint32_t k = 0; k < c->in->n_gives; k++) {
            const nj_give *g = &c->in->give[k];
            size_t at, n = nj_made_width(&a, k, r, &at);
            bool real = g->type == NJ_F64 || g->type == NJ_F32;
            for (size_t e = at; e < at + n; e++) {
                if (real ? nj_check_near(nj_number(g->type, a.out[k], e), nj_number(g->type, b.out[k], e),
                                         tolerance)
                         : nj_check_same(g->type, a.out[k], e, b.out[k], e))
                    continue;
                char fast[40], plain[40];
                nj_check_wrong(c, "\"# process_ref 1e-7\" in data/ref/NAME.csv states another tolerance",
                               "%s row: %s is %s, by process_ref %s", kind, g->name,
                               nj_check_words(g->type, a.out[k], e, fast),
                               nj_check_words(g->type, b.out[k], e, plain));
            }
        }
    }
    nj_made_free(&a);
    nj_made_free(&b);
    nj_made_thread_close(&t);
    nj_check_note(c, "%d rows within %g", ROWS, tolerance);
}

const nj_rule nj_rules[] = {
    { "tables are complete", nj_check_tables, false },
    { "needs can be had", nj_check_needs, false },
    { "any input gets a valid answer", any_input_gets_a_valid_answer, true },
    { "order and threads change nothing", order_changes_nothing, true },
    { "other rows stay untouched", other_rows_stay_untouched, true },
    { "neither allocates nor opens files", takes_no_memory, true },
    { "nothing leaks", nothing_leaks, true },
    { "process equals its plain version", equals_its_plain_version, true },
    { "a failed open can be closed", nj_check_failed_open, false },
    { "reference values", nj_check_values, true },
    { 0 },
};
