/* supervise.c - whatever kills a worker, a crash, a hang, a kill -9, must not end the stream, so a
 * process that runs no module makes the next one. */
#include "supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/exit.h"
#include "../base/log.h"
#include "../graph/crash.h"
#include "../graph/growth.h"
#include "block.h"
#include "cli.h"
#include "keep.h"
#include "relay.h"

enum { TICK_MS = 100, HANDLER_MS = 1000, LEAVING_MS = 10000 };
enum { SILENT_KILLS = 5 /* others kill workers, too */ };
enum { STOP_MORE_S = 2, STOP_LOOK_MS = 500, IDLE_PERCENT = 5 };

const nj_param nj_guard_settings[] = {
    { "deadline_s", NJ_F64, "30", offsetof(nj_guard_conf, deadline_s), 0, 1e6, "s",
      "a call of a module that lasts longer is ended, and its alert continues without it; one of a clause "
      "makes a dead letter; 0 = never" },
    { "quarantine", NJ_I64, "5", offsetof(nj_guard_conf, quarantine), 0, NJ_GUARD_RECENT - 1, "1",
      "a module that crashes or hangs on more alerts than this is off for the rest of the run; 0 = never" },
    { "quarantine_alerts", NJ_I64, "10000", offsetof(nj_guard_conf, quarantine_alerts), 1, 1e12, "1",
      "... among so many that it was given" },
    { "max_rss", NJ_I64, "0", offsetof(nj_guard_conf, max_rss), 0, 1e15, "byte",
      "a worker with more memory finishes what it has, and is replaced; a module that makes it grow again "
      "and again is off; 0 = never" },
    { "sandbox", NJ_I64, "-1", offsetof(nj_guard_conf, sandbox), -1, 1, "1",
      "1 = modules write no file, start no program and open no socket, and the process writes only where its "
      "outputs are; 0 = they may; -1 = 1 with --module-path" },
    { "max_lag_s", NJ_F64, "0", offsetof(nj_guard_conf, max_lag_s), 0, 1e9, "s",
      "so long may alerts wait: from two thirds of it on optional modules are left out, costliest first; "
      "0 = never" },
    { 0 },
};

/* ---- whether ----------------------------------------------------------------------------------- */

bool nj_deaths_again(nj_deaths *d, nj_blame verdict, bool killed, uint64_t batches, uint64_t settled,
                     int *pause_ms)
{
    bool began = batches != d->batches, moved = settled != d->settled;
    d->batches = batches;
    d->settled = settled;
    *pause_ms = 0;
    if (began) d->early = d->killed = 0;
    if (moved) d->stuck = 0;
    if (verdict != NJ_BLAME_NONE) { /* the next one does otherwise */
        d->early = d->stuck = 0;
        return true;
    }
    if (killed) {
        d->killed += !began;
        if (d->killed > 3) *pause_ms = d->killed > 8 ? 10000 : 250 << (d->killed - 4);
        return d->killed < NJ_KILLED_DEATHS;
    }
    if (!began) {
        *pause_ms = 200;
        return ++d->early < NJ_EARLY_DEATHS;
    }
    d->stuck += !moved;
    return d->stuck < NJ_STUCK_DEATHS;
}

static bool is_stream(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

const char *nj_supervise_cannot(const nj_run_options *o)
{
    for (uint32_t i = 0; i < o->n_sources; i++) {
        if (!strncmp(o->source[i], "embedded:", 9)) return "the embedded broker would die with its worker";
        if (!strcmp(o->source[i], "-")) return "standard input cannot be read again";
        if (!strstr(o->source[i], "://") && is_stream(o->source[i])) return "a pipe cannot be read again";
    }
    char line[64];
    bool traced = false;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "TracerPid:", 10)) traced = atoi(line + 10) != 0;
    if (f) fclose(f);
    return traced ? "a debugger is attached" : NULL;
}

/* ---- one worker -------------------------------------------------------------------------------- */

typedef struct watched {
    nj_shared *shared;
    nj_reload *reload;
    pid_t pid;
    int status;
    bool stop, at_once;                    /* asked for; asked for twice */
    bool grew;                             /* it is replaced for its memory, not for new settings */
    int64_t overdue_ns;                    /* when its handler was asked to report, 0 = not */
    nj_slot *overdue;                      /* in which call */
    int64_t ended_ns, reported_ns, rss_ns; /* it said that it ends; that it dies; memory was looked at */
    nj_overdue seen[NJ_GUARD_SLOTS];
    uint64_t moved; /* since the stop: what grows while it works, at the last look */
    int64_t moved_ns, cpu_ns, looked_ns;
} watched;

static void begin_worker(nj_shared *shared, pid_t parent, const sigset_t *mask,
                         int (*work)(void *, nj_shared *), void *opaque)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) nj_exit_at_once(NJ_EXIT_INTERRUPTED);
    nj_stop_on_signals_quietly(); /* a Ctrl-C reaches this process, too, and may be here already */
    pthread_sigmask(SIG_SETMASK, mask, NULL);
    nj_block_forget();
    nj_guard_use(&shared->guard);
    nj_crash_watch(); /* of this process */
    exit(work(opaque, shared));
}

/* A module that does not return: its thread reports where it is, and ends; if it cannot, it is killed. */
static void look_at_calls(watched *w, int64_t now)
{
    nj_guard *g = &w->shared->guard;
    if (w->overdue_ns) {
        if (now - w->overdue_ns < HANDLER_MS * 1000000LL) return;
        if (!atomic_load(&w->overdue->death.reported)) {
            snprintf(w->overdue->death.what, sizeof w->overdue->death.what,
                     "it did not return in time (guard.deadline_s)");
            atomic_store(&w->overdue->death.reported, 1);
        }
        kill(w->pid, SIGKILL);
        return;
    }
    nj_slot *s = nj_guard_overdue(g, w->seen, now);
    if (!s) return;
    atomic_store(&s->overdue, 1);
    w->overdue = s;
    w->overdue_ns = now;
    syscall(SYS_tgkill, w->pid, atomic_load(&s->thread), SIGXCPU);
}

/* What a crash left may be such that its report does not end. */
static void look_at_death(watched *w, int64_t now)
{
    nj_guard *g = &w->shared->guard;
    if (!nj_guard_dead_slot(g) && !atomic_load(&g->elsewhere.reported)) return;
    if (!w->reported_ns) w->reported_ns = now;
    if (now - w->reported_ns > HANDLER_MS * 1000000LL) kill(w->pid, SIGKILL);
}

/* A worker that grew too large finishes what it has. */
static void look_at_memory(watched *w, int64_t now)
{
    int64_t most = w->shared->guard.conf.max_rss;
    long pages = 0;
    char path[64];
    if (!most || now - w->rss_ns < 1000000000 || atomic_load(&w->shared->recycle)) return;
    w->rss_ns = now;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)w->pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    if ((int64_t)pages * sysconf(_SC_PAGESIZE) <= most) return;
    nj_log(NJ_LOG_WARN, "the worker has %lld MB of memory ([guard] max_rss): it is replaced",
           (long long)((int64_t)pages * sysconf(_SC_PAGESIZE) >> 20));
    w->grew = true;
    atomic_store(&w->shared->recycle, 1);
}

/* Of all threads, since its start; -1: not known. */
static int64_t cpu_of(pid_t pid)
{
    struct timespec used;
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used)) return -1;
    return used.tv_sec * 1000000000LL + used.tv_nsec;
}

/* It moves while alerts or calls are finished, and while it computes outside of calls: closing a large file
 * finishes neither. Threads that only wait for something take a little CPU time, too. */
static bool moves(watched *w, int64_t now)
{
    const nj_shared *shared = w->shared;
    bool inside;
    uint64_t sum = nj_guard_calls(&shared->guard, &inside) + atomic_load(&shared->batches) +
                   nj_flow_kept_settled(&shared->kept);
    int64_t cpu = cpu_of(w->pid), least = (now - w->looked_ns) * IDLE_PERCENT / 100;
    bool does = sum != w->moved || (!inside && cpu >= 0 && cpu - w->cpu_ns > least);
    w->moved = sum;
    w->cpu_ns = cpu;
    w->looked_ns = now;
    return does;
}

/* A worker that is to stop ends by itself when nothing moves for [run] stop_s. One whose own watch hangs (it
 * is stopped, stderr is full, a file is being closed on a disk that does not answer) has as long again. */
static void look_at_stop(watched *w, int64_t now)
{
    double most = w->shared->stop_s;
    if (!w->stop || w->at_once || most <= 0 || now - w->looked_ns < STOP_LOOK_MS * 1000000LL) return;
    if (moves(w, now) || !w->moved_ns) w->moved_ns = now;
    double still = (double)(now - w->moved_ns) / 1e9;
    if (still < 2 * most + STOP_MORE_S) return;
    kill(w->pid, SIGKILL);
    w->moved_ns = 0; /* it is said once, also when the process needs a while to go */
    nj_log(NJ_LOG_ERROR, "the worker does not stop: nothing has moved for %.3g s (run.stop_s); it is killed",
           still);
}

static void on_stop(watched *w)
{
    if (w->stop) {
        w->at_once = true;
        kill(w->pid, SIGKILL);
        return;
    }
    w->stop = true;
    kill(w->pid, SIGTERM); /* to it a second one is as one */
    nj_log_ending();       /* a pipe that nobody reads must not keep the next signal waiting */
    if (!nj_log_can()) return;
    if (nj_log_is_json())
        nj_log(NJ_LOG_INFO, NJ_STOP_WORDS);
    else
        fprintf(stderr, "%snightjar: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", NJ_STOP_WORDS);
}

/* Until it is dead. Signals that came meanwhile are in w. */
static void watch_over(watched *w, const sigset_t *signals)
{
    const struct timespec tick = { 0, TICK_MS * 1000000L };
    struct rusage usage;
    for (;;) {
        pid_t got = wait4(w->pid, &w->status, WNOHANG, &usage);
        if (got == w->pid) break;
        if (got < 0 && errno != EINTR) return;
        siginfo_t info;
        int number = sigtimedwait(signals, &info, &tick);
        if (number == SIGHUP) kill(w->pid, SIGHUP), nj_reload_ask(w->reload);
        if (!w->stop && nj_reload_look(w->reload, w->shared)) atomic_store(&w->shared->recycle, 1);
        if (number == SIGTERM || number == SIGINT) on_stop(w);
        nj_relay_pass(w->stop);
        int64_t now = nj_now_ns();
        look_at_calls(w, now);
        look_at_death(w, now);
        look_at_memory(w, now);
        look_at_stop(w, now);
        if (!atomic_load(&w->shared->ended)) continue;
        if (!w->ended_ns) w->ended_ns = now;
        if (now - w->ended_ns > LEAVING_MS * 1000000LL)
            kill(w->pid, SIGKILL); /* what modules do at the exit */
    }
    w->shared->dead_cpu_s += (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static const char *end_of(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exit code %d", WEXITSTATUS(status));
    return text;
}

/* Waits, and takes the signals that end a run. */
static void wait_ms(watched *w, const sigset_t *signals, int ms)
{
    int64_t until = nj_now_ns() + ms * 1000000LL;
    for (int64_t left; !w->stop && (left = until - nj_now_ns()) > 0;) {
        const struct timespec t = { left / 1000000000, left % 1000000000 };
        int number = sigtimedwait(signals, NULL, &t);
        w->stop |= number == SIGTERM || number == SIGINT;
        if (number == SIGHUP) nj_reload_ask(w->reload);
    }
}

/* What follows from the death of this one. True: there is another. */
static bool again(nj_shared *shared, watched *w, nj_deaths *deaths, const sigset_t *signals)
{
    char why[1024], end[128];
    nj_slot *slot = w->overdue ? w->overdue : nj_guard_dead_slot(&shared->guard);
    int pause_ms;
    if (!slot && !atomic_load(&shared->guard.elsewhere.reported) && WIFSIGNALED(w->status))
        slot = nj_guard_silent(&shared->guard, nj_flow_kept_settled(&shared->kept),
                               WTERMSIG(w->status) == SIGKILL ? SILENT_KILLS : NJ_EARLY_DEATHS);
    const uint64_t settled = nj_flow_kept_settled(&shared->kept);
    nj_blame verdict = !slot && atomic_load(&shared->guard.elsewhere.reported)
                           ? nj_guard_judge_thread(&shared->guard, settled, why, sizeof why)
                           : nj_guard_judge(&shared->guard, slot, why, sizeof why);
    bool reported = slot || atomic_load(&shared->guard.elsewhere.reported);
    bool sent = slot ? slot->death.sent : shared->guard.elsewhere.sent;
    bool killed = sent || (!reported && WIFSIGNALED(w->status) && WTERMSIG(w->status) == SIGKILL);
    bool more = nj_deaths_again(deaths, verdict, killed, atomic_load(&shared->batches),
                                nj_flow_kept_settled(&shared->kept), &pause_ms);
    if (!reported) snprintf(why, sizeof why, "%s", end_of(w->status, end, sizeof end));
    if (!more) {
        nj_log(NJ_LOG_ERROR, "the run cannot continue: %u workers died %s; the last: %s",
               deaths->early   ? deaths->early
               : deaths->stuck ? deaths->stuck
                               : deaths->killed,
               deaths->stuck ? "without an alert more in the outputs" : "before their first batch", why);
        return false;
    }
    nj_log(NJ_LOG_WARN, "the worker died (%s); another one continues", why);
    wait_ms(w, signals, pause_ms);
    return true;
}

/* A worker was replaced; because it was too large: is it always the same module? */
static void after_replacement(nj_shared *shared, bool grew)
{
    char text[256];
    shared->n_recycled++;
    if (!grew) return;
    uint32_t module = nj_growth_replaced(&shared->guard, text, sizeof text);
    if (text[0]) nj_log(module == NJ_NO_MODULE ? NJ_LOG_WARN : NJ_LOG_ERROR, "[guard] max_rss: %s", text);
}

static int look_after(nj_shared *shared, watched *w, const sigset_t *signals, const sigset_t *mask,
                      int (*work)(void *, nj_shared *), void *opaque, nj_reload *reload, nj_error *err)
{
    nj_deaths deaths = { 0 };
    pid_t parent = getpid();
    for (;; shared->incarnation++) {
        *w = (watched){ .shared = shared, .reload = reload };
        nj_guard_fresh(&shared->guard);
        atomic_store(&shared->recycle, 0);
        fflush(NULL); /* a child would write it again */
        w->pid = fork();
        if (w->pid < 0) return nj_fail(err, "no process for the worker: %s", strerror(errno));
        if (w->pid == 0) begin_worker(shared, parent, mask, work, opaque);
        watch_over(w, signals);
        if (w->at_once) return NJ_EXIT_INTERRUPTED;
        if (atomic_load(&shared->ended)) return shared->exit_code;
        if (w->stop) { /* also when it gave up waiting */
            /* one that was to be replaced had finished what it had before the stop came */
            bool replaced = atomic_load(&shared->recycle) && WIFEXITED(w->status) && !WEXITSTATUS(w->status);
            if (!replaced && (!WIFEXITED(w->status) || WEXITSTATUS(w->status) != NJ_EXIT_INTERRUPTED))
                nj_log(NJ_LOG_ERROR, "the worker died while it stopped: what it had not written comes again");
            return NJ_EXIT_INTERRUPTED;
        }
        if (atomic_load(&shared->recycle) && WIFEXITED(w->status) && WEXITSTATUS(w->status) == NJ_EXIT_OK)
            after_replacement(shared, w->grew);
        else if (!again(shared, w, &deaths, signals))
            return NJ_EXIT_LEDGER;
        if (!w->stop) continue;
        nj_log(NJ_LOG_WARN, "stopped before another worker began; what was not written comes again");
        return NJ_EXIT_INTERRUPTED;
    }
}

int nj_supervise(const nj_guard_conf *conf, int (*work)(void *, nj_shared *), void *opaque, nj_reload *reload,
                 nj_error *err)
{
    nj_shared *shared = nj_block_make(err);
    if (!shared) return -1;
    watched *w = malloc(sizeof *w);
    sigset_t signals, mask;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    shared->guard.conf = *conf;
    shared->stop_s = NJ_STOP_S;
    if (w) pthread_sigmask(SIG_BLOCK, &signals, &mask);
    nj_relay_begin();
    int rc =
        w ? look_after(shared, w, &signals, &mask, work, opaque, reload, err) : nj_fail(err, "out of memory");
    if (w) pthread_sigmask(SIG_SETMASK, &mask, NULL);
    nj_relay_end();
    free(w);
    nj_block_free(shared);
    return rc;
}
