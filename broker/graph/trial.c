/* trial.c - restarting a worker for every alert that a module crashes on would cost more than the alerts, so
 * a module that crashed once has its rows tried in a forked child, which may die of them. */
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "crash.h"
#include "growth.h"

enum { LOOK_MS = 20, PATIENCE_MS = 500 };

/* The row is not for this module: logged and noted; a dead letter says more. */
static int mark(nj_worker *w, const nj_step *s, nj_batch *b, uint8_t *reason, uint32_t row,
                const nj_failed_pair *why)
{
    static nj_log_limit said;
    const nj_row *from = &b->row[row];
    char where[512];
    nj_log_limited(&said, 20, NJ_LOG_WARN,
                   "%s: alert %" PRId64 ": module %s failed: %s; its answers are null",
                   nj_chunk_where(from->chunk, where, sizeof where), b->id[row], s->in->name, why->what);
    reason[row] = NJ_FAILED;
    nj_counter *count = &w->module[s->instance];
    count->offered++;
    count->passed++;
    count->reason[NJ_FAILED]++;
    if (nj_batch_dead(b, from->chunk, from->record, from->datum, from->size, s->in->name, NULL,
                      "%s in process(); the row is written without its answers%s%s", why->what,
                      why->stack[0] ? "; stack: " : "", why->stack))
        return -1;
    b->dead[b->n_dead - 1].kept = true;
    return 0;
}

static void off(nj_worker *w, const nj_step *s, uint8_t *reason, const uint32_t *rows, uint32_t n)
{
    nj_counter *count = &w->module[s->instance];
    for (uint32_t k = 0; k < n; k++) reason[rows[k]] = NJ_UNAVAILABLE;
    count->offered += n;
    count->passed += n;
    count->reason[NJ_UNAVAILABLE] += n;
}

/* ---- the child ------------------------------------------------------------------------------- */

/* How long one row may take: [guard] deadline_s; once the module has hung, as long as ten of its longest. */
static double limit_s(const nj_guard_module *m)
{
    double most = nj_guard_here->conf.deadline_s, s = 10e-9 * (double)atomic_load(&m->longest_ns);
    if (!atomic_load(&m->hung) || s <= 0) return most;
    if (s < 1) s = 1;
    return most > 0 && most < s ? most : s;
}

bool nj_trial_died(pid_t child, nj_slot *trial, double limit, double most)
{
    int fd = (int)syscall(SYS_pidfd_open, child, 0), status = 0;
    uint64_t calls = 0;
    const int64_t begin = nj_now_ns();
    int64_t since = begin;
    bool given_up = false;
    for (int late_ms = 0;;) {
        pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child || (got < 0 && errno != EINTR)) break;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (fd >= 0)
            poll(&p, 1, LOOK_MS);
        else
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        if (!late_ms && atomic_load(&trial->death.reported)) late_ms = 1; /* its handler is at work */
        if (late_ms && (late_ms += LOOK_MS) > PATIENCE_MS) kill(child, SIGKILL);
        int64_t now = nj_now_ns();
        uint64_t n = atomic_load(&trial->calls);
        nj_phase phase = atomic_load(&trial->phase);
        if (n != calls || !(phase == NJ_PHASE_PROCESS || phase == NJ_PHASE_STAMP)) calls = n, since = now;
        if (!given_up && most > 0 && (double)(now - begin) / 1e9 >= most) {
            given_up = true;
            kill(child, SIGKILL);
        }
        if (late_ms || limit <= 0 || (double)(now - since) / 1e9 < limit) continue;
        atomic_store(&trial->overdue, 1);
        kill(child, SIGXCPU); /* its handler reports where it is */
        late_ms = 1;
    }
    if (fd >= 0) close(fd);
    if (given_up) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !atomic_load(&trial->death.reported)) return false;
    if (!atomic_load(&trial->death.reported))
        snprintf(trial->death.what, sizeof trial->death.what, "%s",
                 atomic_load(&trial->overdue) ? "it did not return in time (guard.deadline_s)"
                                              : "it was killed");
    return true;
}

/* Rows rows[from .. n) one after the other, and no further than one that kills it. Returns the number of
 * the one that failed, or n. */
static uint32_t try_rows(nj_worker *w, const nj_step *s, nj_work *work, const uint32_t *rows, uint32_t from,
                         uint32_t n, nj_slot *trial, nj_guard_module *m)
{
    memset(trial, 0, sizeof *trial);
    pid_t child = fork();
    if (child < 0) return n; /* then they come singly, and the worker dies of them */
    if (child == 0) {
        const struct rlimit none = { 0, 0 };
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &none);
        nj_crash_child();
        nj_growth_child();
        w->slot = trial;
        work->n = 1;
        pthread_cleanup_push(nj_crash_thread_left, NULL);
        for (uint32_t k = from; k < n; k++) {
            work->row = rows + k;
            nj_dispatch_call(w, s, work);
        }
        nj_exit_at_once(0);
        pthread_cleanup_pop(0);
    }
    if (!nj_trial_died(child, trial, limit_s(m), 0)) return n;
    if (atomic_load(&trial->overdue)) atomic_store(&m->hung, 1);
    uint64_t calls = atomic_load(&trial->calls);
    return from + (uint32_t)(calls ? calls - 1 : 0);
}

/* ---- what the module may see ----------------------------------------------------------------- */

static int note_failed(nj_worker *w, const nj_step *s, nj_batch *b, uint8_t *reason, uint32_t row,
                       const nj_death *death)
{
    const nj_row *from = &b->row[row];
    nj_failed_pair pair = { .key = from->chunk->stream ? from->chunk->stream->key : 0,
                            .offset = from->chunk->offset,
                            .record = from->record,
                            .module = w->guarded[s->instance] };
    memcpy(pair.what, death->what, sizeof pair.what);
    memcpy(pair.stack, death->stack, sizeof pair.stack);
    pair.what[sizeof pair.what - 1] = pair.stack[sizeof pair.stack - 1] = 0;
    if (nj_guard_add(nj_guard_here, &pair) && nj_guard_count(nj_guard_here, pair.module))
        nj_log(NJ_LOG_ERROR,
               "module %s failed on more than %" PRId64 " of %" PRId64
               " alerts ([guard] quarantine): it is off for the rest of the run",
               s->in->name, nj_guard_here->conf.quarantine, nj_guard_here->conf.quarantine_alerts);
    return mark(w, s, b, reason, row, &pair);
}

int nj_trial_rows(nj_worker *w, const nj_step *s, nj_batch *b, nj_work *work, uint32_t *rows, uint32_t *n)
{
    uint32_t number = w->guarded[s->instance], kept = 0;
    if (number >= NJ_GUARD_MODULES) return 0;
    nj_guard_module *m = &nj_guard_here->module[number];
    atomic_fetch_add_explicit(&m->rows, *n, memory_order_relaxed);
    if (!nj_trial_wanted(w, s)) return 0;
    uint8_t *reason = work->reason;
    if (atomic_load(&m->off)) {
        off(w, s, reason, rows, *n);
        *n = 0;
        return 0;
    }
    for (uint32_t k = 0; k < *n; k++) { /* those that are known */
        const nj_row *from = &b->row[rows[k]];
        const nj_failed_pair *known =
            nj_guard_pair(nj_guard_here, number, from->chunk->stream->key, from->chunk->offset, from->record);
        if (!known)
            rows[kept++] = rows[k];
        else if (mark(w, s, b, reason, rows[k], known))
            return -1;
    }
    *n = kept;
    nj_slot *trial = w->slot == &w->own_slot ? NULL : &nj_guard_here->trial[w->slot - nj_guard_here->slot];
    if (!trial || s->in->module->flags & NJ_MODULE_WHOLE_BATCH)
        return 0; /* its engine does not live in a child */
    for (uint32_t from = 0; from < *n;) {
        uint32_t at = try_rows(w, s, work, rows, from, *n, trial, m);
        if (at >= *n) break;
        if (note_failed(w, s, b, reason, rows[at], &trial->death)) return -1;
        memmove(rows + at, rows + at + 1, (*n - at - 1) * sizeof *rows);
        --*n;
        from = at;
        if (!atomic_load(&m->off)) continue;
        off(w, s, reason, rows + at, *n - at);
        *n = at;
    }
    return 0;
}
