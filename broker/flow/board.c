/* board.c - a look at a run from outside should need no server: once a second the worker writes its figures
 * to the memory that it shares with its supervisor. */
#include "board.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/secret.h"
#include "health.h"
#include "overload.h"

enum { TRIES = 200, MOMENT_S = 1 };

/* Words with blanks between them; what does not fit is cut, and "..." says so. */
static void add_word(char *text, size_t size, const char *word)
{
    size_t n = strlen(text);
    int more = snprintf(text + n, size - n, "%s%s", n ? " " : "", word);
    if (more >= (int)(size - n)) memcpy(text + size - 4, "...", 4);
}

void nj_board_begin(run *r)
{
    nj_shared *shared = r->options->shared;
    if (!shared) return;
    nj_board *b = &shared->board;
    atomic_store(&b->turn, 0);
    b->n_moments = 0;
    memset(b->before, 0, sizeof b->before);
    uint32_t turn = atomic_load(&shared->kept.turn);
    const nj_kept_set *set = &shared->kept.set[turn & 1];
    for (uint32_t i = 0; turn && i < set->n; i++) {
        const nj_ledger *l = &set->stream[i].ledger;
        b->before[0] += l->emitted;
        b->before[1] += l->filtered;
        b->before[2] += l->dead;
        b->before[3] += l->duplicates;
    }
    b->sources[0] = b->outputs[0] = '\0';
    for (uint32_t i = 0; i < r->options->n_sources; i++)
        add_word(b->sources, sizeof b->sources, r->options->source[i]);
    for (uint32_t i = 0; i < r->options->n_sinks; i++)
        add_word(b->outputs, sizeof b->outputs, r->options->sink[i]);
    nj_secret_scrub(b->sources);
    nj_secret_scrub(b->outputs);
}

/* Fields of a ledger have one writer each, and are read as they are. */
__attribute__((noinline, no_sanitize("thread"))) static void accounts(const run *r, nj_board *b)
{
    uint64_t sum[4], settled = 0;
    memcpy(sum, b->before, sizeof sum);
    uint32_t n = __atomic_load_n(&r->accounts.n_streams, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n; i++) {
        const volatile nj_ledger *l = &r->accounts.ledger[i];
        sum[0] += l->emitted;
        sum[1] += l->filtered;
        sum[2] += l->dead;
        sum[3] += l->duplicates;
        settled += l->settled;
    }
    uint64_t handed = __atomic_load_n(&r->ingest.handed, __ATOMIC_RELAXED);
    b->emitted = sum[0];
    b->filtered = sum[1];
    b->dead = sum[2];
    b->duplicates = sum[3];
    b->under_way = handed > settled ? handed - settled : 0;
}

__attribute__((noinline, no_sanitize("thread"))) static void one_counter(nj_board_module *m,
                                                                         const nj_counter *counter)
{
    const volatile nj_counter *c = counter;
    m->offered += c->offered;
    m->done += c->hits;
    m->calls += c->calls;
    m->cpu_ns += c->cpu_ns;
}

static void modules(const run *r, nj_board *b)
{
    const nj_instances *set = &r->engine.instances;
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n + 2 && n < NJ_BOARD_MODULES; i++) {
        nj_board_module *m = &b->module[n++];
        *m = (nj_board_module){ .offered = 0 };
        snprintf(m->name, sizeof m->name, "%s",
                 i == 0   ? "(decode)"
                 : i == 1 ? "(stamps)"
                          : set->item[i - 2].name);
        m->left_out = i > 1 && nj_flow_is_left_out(r, i - 2);
        for (int t = 0; t < r->n_threads; t++) {
            const nj_worker *w = r->thread[t].worker;
            one_counter(m, i == 0 ? w->decode : i == 1 ? w->stamps : &w->module[i - 2]);
        }
    }
    b->n_modules = n;
    b->n_off = set->n_off;
}

static void add_lag(void *sum_, const nj_stream *of, int64_t done, int64_t end)
{
    double *sum = sum_;
    (void)of;
    if (end < 0 || done < 0) return;
    *sum = (isnan(*sum) ? 0 : *sum) + (end > done ? (double)(end - done) : 0);
}

/* The oldest moment that is kept is some sixteen seconds old. */
static void rate(nj_board *b)
{
    uint64_t through = b->emitted + b->filtered + b->dead + b->duplicates;
    uint32_t n = b->n_moments, last = (n + NJ_BOARD_MOMENTS - 1) % NJ_BOARD_MOMENTS;
    if (!n || b->now_ns - b->moment[last].ns >= MOMENT_S * (int64_t)900000000) {
        b->moment[n % NJ_BOARD_MOMENTS].ns = b->now_ns;
        b->moment[n % NJ_BOARD_MOMENTS].through = through;
        b->n_moments = ++n;
    }
    uint32_t first = n > NJ_BOARD_MOMENTS ? n % NJ_BOARD_MOMENTS : 0;
    double s = (double)(b->now_ns - b->moment[first].ns) / 1e9;
    b->per_s = s > 0 ? (double)(through - b->moment[first].through) / s : 0;
}

static void queues(const run *r, nj_board *b)
{
    if (!r->work || !r->done) return;
    nj_ring_fill work = nj_ring_look(r->work), done = nj_ring_look(r->done);
    b->work = work.entries;
    b->work_most = work.most_entries;
    b->done = done.entries;
    b->done_most = done.most_entries;
    b->bytes = work.bytes;
    b->bytes_most = work.most_bytes;
}

void nj_board_write(run *r, const nj_health_state *state)
{
    if (!r->options->shared) return;
    nj_board *b = &r->options->shared->board;
    atomic_fetch_or(&b->turn, 1);
    b->pid = (int32_t)getpid();
    b->threads = r->n_threads;
    b->alive = state->alive;
    b->ready = state->ready;
    b->busy = __atomic_load_n(&r->output.busy, __ATOMIC_RELAXED) != 0;
    snprintf(b->text, sizeof b->text, "%s", state->text);
    b->now_ns = nj_now_ns();
    b->last_row_ns = __atomic_load_n(&r->output.last_row_ns, __ATOMIC_RELAXED);
    b->last_commit_ns = __atomic_load_n(&r->output.last_ack_ns, __ATOMIC_RELAXED);
    b->lag = NAN;
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (r->source[i]->class->lag) r->source[i]->class->lag(r->source[i], add_lag, &b->lag);
    accounts(r, b);
    rate(b);
    queues(r, b);
    modules(r, b);
    atomic_fetch_add(&b->turn, 1);
}

bool nj_board_copy(nj_board *to, const nj_board *from)
{
    const struct timespec moment = { 0, 2000000 };
    for (int i = 0; i < TRIES; i++) {
        uint32_t turn = atomic_load(&from->turn);
        memcpy(to, from, sizeof *to);
        atomic_thread_fence(memory_order_acquire);
        if (turn && !(turn & 1) && atomic_load(&from->turn) == turn) return true;
        nanosleep(&moment, NULL);
    }
    return false;
}
