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
#include <sys/socket.h>
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
    int socket; /* 0: not open */
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

typedef enum { ANSWERED, RAISED, DIED, HUNG, NO_MEMORY } ending;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool tell(const thread *t, int64_t what, int64_t a, int64_t b)
{
    const int64_t m[NJ_PYTHON_WORDS] = { what, a, b, 0 };
    return send(t->socket, m, sizeof m, MSG_NOSIGNAL) == sizeof m;
}

static bool open_worker(const state *s, thread *t)
{
    head(t)[NJ_PYTHON_PID] = head(t)[NJ_PYTHON_STATUS] = 0;
    int socket = nj_python_worker(s->python, t->memory.fd);
    t->socket = socket < 0 ? 0 : socket;
    return socket >= 0;
}

static void close_worker(thread *t)
{
    if (t->socket) close(t->socket);
    t->socket = 0;
}

/* The pictures of some rows, behind what is used. */
static bool open_images(const state *s, thread *t, const nj_work *w, const int64_t *m)
{
    size_t table = nj_python_put_images(&s->tables, &t->memory, w, m[1], m[2], m[3]);
    return table && tell(t, NJ_PYTHON_OPENED, (int64_t)t->memory.size, (int64_t)table);
}

/* What a call cost elsewhere. */
typedef struct cost {
    int64_t cpu_ns, wait_ns;
} spent;

static ending wait_for(const state *s, thread *t, const nj_work *w, spent *cost)
{
    const int64_t until = now_ns() + (int64_t)(s->c->deadline_s * 1e9);
    for (;;) {
        int64_t m[NJ_PYTHON_WORDS], left = s->c->deadline_s > 0 ? (until - now_ns()) / 1000000 + 1 : -1;
        struct pollfd f = { .fd = t->socket, .events = POLLIN };
        if (s->c->deadline_s > 0 && left < 1) return HUNG;
        const int64_t before = now_ns();
        int rc = poll(&f, 1, (int)(left > 1000000 ? 1000000 : left));
        cost->wait_ns += now_ns() - before;
        if (rc < 0 && errno == EINTR) continue;
        if (rc == 0) continue;
        if (recv(t->socket, m, sizeof m, 0) != sizeof m) return DIED;
        if (m[0] == NJ_PYTHON_IMAGES) {
            if (!open_images(s, t, w, m)) return NO_MEMORY;
            continue;
        }
        if ((m[0] != NJ_PYTHON_DONE && m[0] != NJ_PYTHON_RAISED) || !nj_python_map(&t->memory, (size_t)m[1]))
            return NO_MEMORY;
        return m[0] == NJ_PYTHON_DONE ? ANSWERED : RAISED;
    }
}

static ending ask(const state *s, thread *t, const nj_work *w, spent *cost)
{
    if (!nj_python_put(&s->tables, &t->memory, w)) return NO_MEMORY;
    if (!tell(t, NJ_PYTHON_CALL, (int64_t)t->memory.size, 0)) return DIED;
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
    const char *text = t->memory.base + head(t)[NJ_PYTHON_TEXT];
    size_t n = (size_t)head(t)[NJ_PYTHON_TEXT_BYTES];
    const int64_t place = head(t)[NJ_PYTHON_TEXT];
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

/* How the worker ended, as the interpreter that forked it noted. */
static const char *how_it_died(const thread *t, ending end, char text[64])
{
    if (end == HUNG) return "it did not return in time (deadline_s)";
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
        if (!t->socket && !open_worker(s, t)) return all_off(w);
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
    if (end == NO_MEMORY) close_worker(t), errno = 0; /* what it is at is not known */
    if ((end == DIED || end == HUNG) && w->n == 1) count_failure(s);
    cost.cpu_ns += worker_ns(t);
    note_cost(w, &cost);
    return rc;
}

static int thread_open(const void *self, void *memory)
{
    const state *s = self;
    thread *t = memory;
    if (nj_python_memory_open(&t->memory)) return NJ_ENOMEM;
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
            { "start_s", NJ_F64, "60", AT(start_s), 0.1, 1e6, "s", "so long may importing the file take" },
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
