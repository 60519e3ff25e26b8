/* python.c - a Python function as a module: kind = python, file = mine.py.
 *
 * Given: what the file declares (modules/python/README.md), as NumPy arrays of whole batches.
 * Returned: the columns that it declares.
 * Notes: each compute thread has a worker process of its own, fed through shared memory. A worker that dies
 *   costs no alert: another one does the batch again. What the function raises fails the rows that raise it,
 *   which are found by calls of one row. A row that kills or hangs a worker twice is failed, and with too
 *   many of them the module is off. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nightjar/python.h"

enum { SEEN = 32, STATUS_MS = 200 };

typedef struct conf {
    const char *file, *python, *settings, *profile;
    int64_t sandbox, quarantine, quarantine_alerts;
    double deadline_s, start_s;
} conf;

/* What all threads count. */
typedef struct counts {
    _Atomic uint64_t rows, failures, since; /* since: rows when the failures began to be counted */
    atomic_int off, said_dead;
    _Atomic uint64_t seen[SEEN]; /* hashes of what was raised: each is reported once */
} counts;

typedef struct state {
    nj_python *python;
    const nj_host *host;
    const conf *c;
    nj_python_tables tables;
    bool serial;
    counts *count;
} state;

typedef struct thread {
    nj_python_peer peer; /* all 0: not open */
    pid_t owner;         /* who opened it; a fork of that has copies of the descriptors only */
    nj_python_memory memory;
    int64_t pid, cpu_ns; /* of the worker: its CPU time when that was last looked at */
} thread;

static int64_t *head(const thread *t)
{
    return nj_python_head(&t->memory);
}

/* ---- what the file declares ------------------------------------------------------------------ */

static char *copied(const nj_host *host, const char *text, size_t n)
{
    char *copy = host->alloc(host->opaque, n + 1);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* The next word of a line. */
static char *word(char **at)
{
    char *p = *at, *end = p ? strchr(p, '\t') : NULL;
    *at = end ? end + 1 : NULL;
    if (end) *end = 0;
    return p ? p : (char *)"";
}

static nj_need need_of(char *line)
{
    nj_need n = { .path = word(&line) };
    n.type = (nj_type)atoi(word(&line));
    n.shape = (nj_shape)atoi(word(&line));
    n.unit = word(&line);
    n.flags = (uint32_t)atoi(word(&line));
    return n;
}

static nj_give give_of(char *line)
{
    nj_give g = { .name = word(&line) };
    g.type = (nj_type)atoi(word(&line));
    g.width = (uint32_t)atoi(word(&line));
    g.like = atoi(word(&line));
    g.unit = word(&line);
    g.lo = strtod(word(&line), NULL);
    g.hi = strtod(word(&line), NULL);
    g.flag_above = strtod(word(&line), NULL);
    g.doc = word(&line);
    return g;
}

static int read_tables(state *s, const nj_host *host, const char *says)
{
    char *text = copied(host, says, strlen(says)), *next;
    if (!text) return NJ_ENOMEM;
    uint32_t n = 0;
    for (const char *p = says; *p; p++) n += *p == '\n';
    nj_need *need = host->alloc(host->opaque, (n + 1) * sizeof *need);
    nj_give *give = host->alloc(host->opaque, (n + 1) * sizeof *give);
    if (!need || !give) return NJ_ENOMEM;
    for (char *line = text; (next = strchr(line, '\n')) != NULL; line = next + 1) {
        *next = 0;
        char *at = line;
        const char *what = word(&at);
        if (!strcmp(what, "need"))
            need[s->tables.n_needs++] = need_of(at);
        else if (!strcmp(what, "give"))
            give[s->tables.n_gives++] = give_of(at);
        else if (!strcmp(what, "serial"))
            s->serial = true;
    }
    s->tables.need = need;
    s->tables.give = give;
    return NJ_OK;
}

static int start(state *s, const nj_host *host, const conf *c)
{
    char why[900] = "it names no file";
    const char *says = NULL;
    const void *bytes;
    size_t n;
    *s = (state){ .host = host, .c = c };
    /* its hash is in the report */
    int rc = c->file[0] ? host->data(host->opaque, c->file, &bytes, &n) : NJ_ECONF;
    if (rc != NJ_OK || access(c->file, R_OK)) {
        host->log(host->opaque, 0, "kind = python: file = %s: %s", c->file,
                  c->file[0] ? "it cannot be read" : "which file is not said");
        return rc == NJ_ENOMEM ? rc : NJ_ECONF;
    }
    const char *interpreter = c->python[0] ? c->python : getenv("NIGHTJAR_PYTHON");
    if (!interpreter || !interpreter[0]) interpreter = "python3";
    const nj_python_options o = {
        interpreter, c->file, c->settings, c->profile, (int)c->sandbox, c->start_s
    };
    s->python = nj_python_start(&o, &says, why, sizeof why);
    if (!s->python) {
        host->log(host->opaque, 0, "%s", why);
        return NJ_ECONF;
    }
    rc = read_tables(s, host, says);
    if (rc != NJ_OK) nj_python_end(s->python);
    return rc;
}

static int declare(const nj_host *host, const void *c, nj_tables *tables)
{
    state s;
    int rc = start(&s, host, c);
    if (rc != NJ_OK) return rc;
    nj_python_park(s.python);
    *tables = (nj_tables){ s.tables.need, s.tables.give };
    return NJ_OK;
}

static int open_python(const nj_host *host, const void *c, void **self)
{
    state *s = host->alloc(host->opaque, sizeof *s);
    counts *count = host->alloc(host->opaque, sizeof *count);
    if (!s || !count) return NJ_ENOMEM;
    int rc = start(s, host, c);
    if (rc != NJ_OK) return rc;
    s->count = count;
    if (s->serial) host->serial(host->opaque);
    nj_python_keep(s->python, host);
    *self = s;
    return NJ_OK;
}

static void close_python(void *self)
{
    if (self) nj_python_end(((state *)self)->python);
}

/* ---- one call -------------------------------------------------------------------------------- */

/* SPOILT: what the worker left in the shared memory makes no sense. */
typedef enum { ANSWERED, RAISED, DIED, HUNG, SPOILT, NO_MEMORY } ending;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void tell(const thread *t, nj_python_ask what)
{
    head(t)[NJ_PYTHON_SIZE] = (int64_t)t->memory.size;
    head(t)[NJ_PYTHON_ANSWER] = NJ_PYTHON_DONE;
    head(t)[NJ_PYTHON_ASK] = what;
    eventfd_write(t->peer.call, 1); /* a system call: all of the above is written before */
}

static bool open_worker(const state *s, thread *t)
{
    for (int k = NJ_PYTHON_PID; k <= NJ_PYTHON_ALONE; k++) head(t)[k] = 0;
    t->owner = getpid();
    return nj_python_worker(s->python, t->memory.fd, &t->peer) == 0;
}

static void close_worker(thread *t)
{
    if (t->peer.socket && t->owner == getpid()) tell(t, NJ_PYTHON_END);
    nj_python_close(&t->peer);
}

/* The pictures of some rows, behind what is used. */
static bool open_images(const state *s, thread *t, const nj_work *w)
{
    const int64_t *h = head(t);
    size_t table = nj_python_put_images(&s->tables, &t->memory, w, h[NJ_PYTHON_NEED], h[NJ_PYTHON_FIRST],
                                        h[NJ_PYTHON_COUNT]);
    head(t)[NJ_PYTHON_FIRST] = (int64_t)table;
    if (table) tell(t, NJ_PYTHON_OPENED);
    return table != 0;
}

/* What a call cost elsewhere. */
typedef struct cost {
    int64_t cpu_ns, wait_ns;
} spent;

enum { READY_MS = 50 };

/* A worker that has just been forked sets itself up first (`opened`), which no deadline of a call is for.
 * False: it takes longer than start_s. */
static bool is_ready(const state *s, const thread *t, int64_t asked, int64_t *began)
{
    if (*began) return true;
    const int64_t now = now_ns();
    if (!head(t)[NJ_PYTHON_READY]) return (double)(now - asked) < s->c->start_s * 1e9;
    *began = now;
    return true;
}

/* For what the worker writes to `answer`, or for its end. */
static ending wait_for(const state *s, thread *t, const nj_work *w, spent *cost)
{
    const bool limited = s->c->deadline_s > 0;
    const int64_t asked = now_ns(), most = (int64_t)(s->c->deadline_s * 1e9);
    int64_t before = asked, began = head(t)[NJ_PYTHON_READY] ? asked : 0;
    for (;;) {
        struct pollfd f[2] = { { .fd = t->peer.answer, .events = POLLIN }, { .fd = t->peer.socket } };
        if (!is_ready(s, t, asked, &began)) return HUNG;
        int64_t left = !began ? READY_MS : limited ? (began + most - before) / 1000000 + 1 : -1;
        if (left < 1 && limited) return HUNG;
        int rc = poll(f, 2, (int)(left > 1000000 ? 1000000 : left));
        const int64_t after = now_ns();
        cost->wait_ns += after - before;
        before = after;
        if (rc <= 0) continue; /* a signal, or time to look whether there is time left */
        eventfd_t n;
        if (!(f[0].revents & POLLIN) || eventfd_read(t->peer.answer, &n)) return DIED;
        const int64_t answer = head(t)[NJ_PYTHON_ANSWER];
        if (!nj_python_map(&t->memory, (size_t)head(t)[NJ_PYTHON_SIZE])) return SPOILT;
        if (answer == NJ_PYTHON_DONE) return ANSWERED;
        if (answer == NJ_PYTHON_RAISED) return RAISED;
        if (answer != NJ_PYTHON_IMAGES || !open_images(s, t, w)) return SPOILT;
        before = now_ns();
    }
}

static ending ask(const state *s, thread *t, const nj_work *w, spent *cost)
{
    if (!nj_python_put(&s->tables, &t->memory, w)) return NO_MEMORY;
    nj_python_near(&t->peer, &t->memory);
    tell(t, NJ_PYTHON_CALL);
    return wait_for(s, t, w, cost);
}

/* ---- what went wrong ------------------------------------------------------------------------- */

/* Is it the first of its kind? */
static bool is_new(counts *c, const char *text, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) /* numbers differ from batch to batch */
        if (text[i] < '0' || text[i] > '9') h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    h |= 1;
    for (int k = 0; k < SEEN; k++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&c->seen[k], &none, h)) return true;
        if (none == h) return false;
    }
    return false;
}

/* The traceback, a line each: once. */
static void report_raised(const state *s, const thread *t, const nj_work *w)
{
    const int64_t place = head(t)[NJ_PYTHON_TEXT];
    const size_t n = (size_t)head(t)[NJ_PYTHON_TEXT_BYTES];
    const char *text = t->memory.base + place;
    if (place <= 0 || (size_t)place > t->memory.size || n > t->memory.size - (size_t)place) return;
    if (!is_new(s->count, text, n)) return;
    s->host->log(s->host->opaque, 0, "%s: raised in a call of %u rows from alert %lld:", s->c->file, w->n,
                 (long long)w->id[w->row[0]]);
    for (size_t i = 0; i < n;) {
        size_t line = 0;
        while (i + line < n && text[i + line] != '\n') line++;
        s->host->log(s->host->opaque, 0, "  %.*s", (int)line, text + i);
        i += line + 1;
    }
}

/* What it is at is not known: another one is started for the next call. */
static void report_spoilt(const state *s, thread *t, const nj_work *w)
{
    static const char what[] = "a worker left what makes no sense in the memory that it shares";
    if (is_new(s->count, what, strlen(what)))
        s->host->log(s->host->opaque, 0, "%s: %s, in a call of %u rows from alert %lld", s->c->file, what,
                     w->n, (long long)w->id[w->row[0]]);
    close_worker(t);
}

/* How the worker ended, as the interpreter that forked it noted. */
static const char *how_it_died(const thread *t, ending end, char text[64])
{
    if (end == HUNG)
        return head(t)[NJ_PYTHON_READY] ? "it did not return in time (deadline_s)"
                                        : "it was not set up in time (start_s)";
    for (int k = 0; k < STATUS_MS && !head(t)[NJ_PYTHON_STATUS]; k++)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    int status = (int)head(t)[NJ_PYTHON_STATUS] - 1;
    if (status < 0)
        snprintf(text, 64, "its end is not known");
    else if (WIFSIGNALED(status))
        snprintf(text, 64, "signal %d", WTERMSIG(status));
    else
        snprintf(text, 64, "exit code %d", WEXITSTATUS(status));
    return text;
}

/* After a death: another worker. False: there is none to be had, and the module is off. */
static bool renew(const state *s, thread *t, ending end, const nj_work *w, bool again)
{
    char text[64];
    if (end == HUNG && head(t)[NJ_PYTHON_PID] > 1) kill((pid_t)head(t)[NJ_PYTHON_PID], SIGKILL);
    const char *how = how_it_died(t, end, text);
    if (atomic_fetch_add(&s->count->said_dead, 1) < 8)
        s->host->log(s->host->opaque, 1, "%s: a worker ended (%s) in a call of %u rows from alert %lld%s",
                     s->c->file, how, w->n, (long long)w->id[w->row[0]],
                     again ? "; another one does them again" : "");
    close_worker(t);
    if (open_worker(s, t)) return true;
    if (!atomic_exchange(&s->count->off, 1))
        s->host->log(s->host->opaque, 0,
                     "%s: no worker can be started any more: it is off for the rest of "
                     "the run",
                     s->c->file);
    return false;
}

static void count_failure(const state *s)
{
    counts *c = s->count;
    const uint64_t rows = atomic_load(&c->rows);
    if (rows - atomic_load(&c->since) > (uint64_t)s->c->quarantine_alerts) {
        atomic_store(&c->since, rows);
        atomic_store(&c->failures, 0);
    }
    uint64_t n = atomic_fetch_add(&c->failures, 1) + 1;
    if (!s->c->quarantine || n <= (uint64_t)s->c->quarantine || atomic_exchange(&c->off, 1)) return;
    s->host->log(s->host->opaque, 0,
                 "%s: it killed or hung its worker on more than %lld of %lld alerts (quarantine): it is off "
                 "for the rest of the run",
                 s->c->file, (long long)s->c->quarantine, (long long)s->c->quarantine_alerts);
}

static int all_off(const nj_work *w)
{
    for (uint32_t k = 0; k < w->n; k++) w->reason[w->row[k]] = NJ_UNAVAILABLE;
    return NJ_OK;
}

/* What the worker spent since the last look, this call's messages among it. */
static int64_t worker_ns(thread *t)
{
    struct timespec used;
    clockid_t clock;
    const int64_t pid = head(t)[NJ_PYTHON_PID], before = pid == t->pid ? t->cpu_ns : 0;
    if (!pid || clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &used)) return 0;
    t->pid = pid;
    t->cpu_ns = (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
    return t->cpu_ns - before;
}

static void note_cost(const nj_work *w, const spent *cost)
{
    if (w->size >= offsetof(nj_work, elsewhere) + sizeof w->elsewhere && w->elsewhere)
        w->elsewhere(w, cost->cpu_ns, cost->wait_ns);
}

static int process(const void *self, void *memory, const nj_work *w)
{
    const state *s = self;
    thread *t = memory;
    spent cost = { 0, 0 };
    if (!w->n) return NJ_OK;
    if (atomic_load_explicit(&s->count->off, memory_order_relaxed)) return all_off(w);
    atomic_fetch_add_explicit(&s->count->rows, w->n, memory_order_relaxed);
    ending end = DIED;
    for (int try = 0;; try++) {
        if (!t->peer.socket && !open_worker(s, t)) return all_off(w);
        end = ask(s, t, w, &cost);
        bool again = end == DIED && try == 0 && !s->serial;
        if (end == HUNG) cost.cpu_ns += worker_ns(t);
        if ((end == DIED || end == HUNG) && !renew(s, t, end, w, again)) return all_off(w);
        if (!again) break;
    }
    int rc = end == ANSWERED    ? nj_python_take(&s->tables, &t->memory, w)
             : end == NO_MEMORY ? NJ_ENOMEM
                                : NJ_EDATA;
    if (end == RAISED) report_raised(s, t, w);
    if (end == SPOILT || (rc == NJ_EDATA && end == ANSWERED)) report_spoilt(s, t, w);
    if (end == NO_MEMORY) close_worker(t), errno = 0;
    if (w->n == 1 && end != ANSWERED && end != RAISED) count_failure(s);
    cost.cpu_ns += worker_ns(t);
    note_cost(w, &cost);
    return rc;
}

static int thread_open(const void *self, void *memory)
{
    const state *s = self;
    thread *t = memory;
    if (nj_python_memory_open(&t->memory, &s->tables)) return NJ_ENOMEM;
    return open_worker(s, t) ? NJ_OK : NJ_EINTERNAL;
}

static void thread_close(const void *self, void *memory)
{
    thread *t = memory;
    (void)self;
    close_worker(t);
    nj_python_memory_close(&t->memory);
}

#define AT(x) offsetof(conf, x)
NJ_MODULE(python) = {
    NJ_HEADER,
    .name = "python",
    .version = "1.0",
    .summary = "a Python function over batches of columns, in processes of its own",
    .paper = "none: by settings",
    .flags = NJ_MODULE_WHOLE_BATCH, /* its workers do not live in a child */
    .params =
        (const nj_param[]){
            { "file", NJ_STR, "", AT(file), 0, 0, "1", "the file with the function" },
            { "settings", NJ_STR, "", AT(settings), 0, 0, "1",
              "settings that the function declares: min_points = 5, radius = 2.5" },
            { "python", NJ_STR, "", AT(python), 0, 0, "1",
              "the interpreter, with NumPy and the package nightjar; empty: $NIGHTJAR_PYTHON or python3" },
            { "sandbox", NJ_I64, "1", AT(sandbox), 0, 1, "1",
              "1 = the function writes no file, starts no program and opens no socket; 0 = it may" },
            { "deadline_s", NJ_F64, "20", AT(deadline_s), 0, 1e6, "s",
              "a call that lasts longer is ended with its worker; 0 = only [guard] deadline_s counts" },
            { "quarantine", NJ_I64, "5", AT(quarantine), 0, 1e9, "1",
              "off for the rest of the run when it kills or hangs workers on more alerts than this; 0 = "
              "never" },
            { "quarantine_alerts", NJ_I64, "10000", AT(quarantine_alerts), 1, 1e12, "1",
              "... among so many that it was given" },
            { "start_s", NJ_F64, "60", AT(start_s), 0.1, 1e6, "s",
              "so long may importing the file take, and what each worker sets up (`opened`)" },
            { "profile", NJ_STR, "", AT(profile), 0, 0, "1",
              "a file for the hits and times of each line; costs much" },
            { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(thread),
    .declare = declare,
    .open = open_python,
    .thread_open = thread_open,
    .process = process,
    .thread_close = thread_close,
    .close = close_python
};
