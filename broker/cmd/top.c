/* top.c - `nightjar top`: what the runs of this host do now, from the memory that each run shares with its
 * worker; no server is needed. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../flow/block.h"
#include "command.h"

enum { WIDTH = 80, MOST_THREADS = 16, MOST_MODULES = 12 };

typedef struct options {
    bool once, json;
    int every;
} options;

static const nj_option table[] = { { "once", 0, NJ_OPTION_FLAG, offsetof(options, once),
                                     .doc = "print once, and end; so it is without a terminal" },
                                   { "json", 0, NJ_OPTION_FLAG, offsetof(options, json),
                                     .doc = "all of it as JSON, once" },
                                   { "every", 0, NJ_OPTION_INT, offsetof(options, every), "SECONDS", NULL, 1,
                                     3600, .doc = "between two looks (2)" },
                                   { 0 } };

static int top(int argc, char **argv);

NJ_COMMAND(top) = {
    .name = "top",
    .usage = "top [options] [PID]",
    .summary = "what the runs of this host do now: rate, lag, threads, modules by cost",
    .main = top,
    .options = { table },
    .arguments = (const nj_meaning[]){ { "PID", "of one `nightjar run`, when there are several" }, { 0 } },
    .exits = (const nj_meaning[]){ { "1", "no run is seen here" }, { 0 } },
};

/* ---- one run ----------------------------------------------------------------------------------- */

typedef struct seen {
    const nj_run_block *block;
    const nj_shared *shared; /* NULL: not to be read */
    nj_board board;
    bool whole; /* the board was written, and not while it was copied */
} seen;

static seen *look(const nj_run_block *b)
{
    seen *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->block = b;
    s->shared = b->shared;
    if (!s->shared) return s;
    s->whole = nj_board_copy(&s->board, &s->shared->board);
    if (s->board.n_modules > NJ_BOARD_MODULES) s->board.n_modules = 0;
    s->board.text[sizeof s->board.text - 1] = '\0';
    s->board.sources[sizeof s->board.sources - 1] = '\0';
    s->board.outputs[sizeof s->board.outputs - 1] = '\0';
    return s;
}

static uint64_t through(const nj_board *b)
{
    return b->emitted + b->filtered + b->dead + b->duplicates;
}

static double age_s(int64_t ns)
{
    return ns ? (double)(nj_now_ns() - ns) / 1e9 : NAN;
}

static int by_cost(const void *a, const void *b)
{
    const nj_board_module *x = a, *y = b;
    return (x->cpu_ns < y->cpu_ns) - (x->cpu_ns > y->cpu_ns);
}

typedef struct thread_of {
    char name[24];
    const char *module; /* NULL: in none */
    const char *phase;
    uint32_t rows;
    double for_s;
} thread_of;

/* The threads of the worker; false: no such one. */
static bool thread_at(const seen *s, uint32_t i, thread_of *t)
{
    const nj_guard *g = &s->shared->guard;
    uint32_t n = NJ_SLOT_FIRST_WORKER + atomic_load(&g->n_slots), n_modules = atomic_load(&g->n_modules);
    if (i >= n || i >= NJ_GUARD_SLOTS) return false;
    const nj_slot *slot = &g->slot[i];
    *t = (thread_of){ .name = "set-up" };
    if (i == NJ_SLOT_OUTPUT)
        snprintf(t->name, sizeof t->name, "output");
    else if (i >= NJ_SLOT_FIRST_WORKER)
        snprintf(t->name, sizeof t->name, "compute %u", i - NJ_SLOT_FIRST_WORKER + 1);
    if (!atomic_load(&slot->instance)) {
        if (i == NJ_SLOT_OUTPUT && s->whole && s->board.busy) t->phase = "writes, or waits for an output";
        return true;
    }
    uint32_t module = atomic_load(&slot->module);
    uint8_t phase = atomic_load(&slot->phase);
    t->module = module < n_modules && module < NJ_GUARD_MODULES ? g->module[module].name : "?";
    t->phase = phase <= NJ_PHASE_SINK ? nj_phase_name[phase] : "?";
    t->rows = atomic_load(&slot->n_rows);
    /* the worker's watch notes when it first saw a call */
    bool same = slot->watched.calls == atomic_load(&slot->calls);
    t->for_s = same && slot->watched.since_ns ? age_s(slot->watched.since_ns) : 0;
    return true;
}

/* ---- as text ----------------------------------------------------------------------------------- */

static const char *duration(double s, char *text, size_t size)
{
    if (!isfinite(s))
        snprintf(text, size, "-");
    else if (s < 100)
        snprintf(text, size, "%.1f s", s > 0 ? s : 0);
    else if (s < 6000)
        snprintf(text, size, "%.0f min", s / 60);
    else if (s < 172800)
        snprintf(text, size, "%.0f h", s / 3600);
    else
        snprintf(text, size, "%.0f days", s / 86400);
    return text;
}

static const char *ago(int64_t ns, char *text, size_t size)
{
    char d[32];
    snprintf(text, size, ns ? "%s ago" : "never", duration(age_s(ns), d, sizeof d));
    return text;
}

/* A line of at most 80 columns: what is too long ends in "...". */
__attribute__((format(printf, 2, 3))) static void line(nj_buffer *out, const char *format, ...)
{
    char raw[1024], text[4 * sizeof raw];
    va_list ap;
    va_start(ap, format);
    vsnprintf(raw, sizeof raw, format, ap);
    va_end(ap);
    text[nj_log_plain(text, sizeof text, raw)] = '\0';
    size_t n = 0, columns = 0, cut = 0;
    for (; text[n]; n++) {
        columns += ((unsigned char)text[n] & 0xc0) != 0x80;
        if (columns == WIDTH - 2) cut = n; /* where "..." may begin */
        if (columns > WIDTH) break;
    }
    if (text[n])
        nj_buffer_printf(out, "%.*s...\n", (int)cut, text);
    else
        nj_buffer_printf(out, "%s\n", text);
}

static const char *lag_text(double lag, char *text, size_t size)
{
    if (isnan(lag))
        snprintf(text, size, "-");
    else
        snprintf(text, size, "%.0f", lag);
    return text;
}

static const char *quarantined(const seen *s, char *text, size_t size)
{
    const nj_guard *g = &s->shared->guard;
    uint32_t n = atomic_load(&g->n_modules);
    text[0] = '\0';
    for (uint32_t i = 0; i < n && i < NJ_GUARD_MODULES; i++) {
        size_t used = strlen(text);
        if (atomic_load(&g->module[i].off) && used < size)
            snprintf(text + used, size - used, "%s%s", used ? ", " : "", g->module[i].name);
    }
    return text[0] ? text : "none";
}

/* How many alerts went without it so far. */
static uint64_t n_shed(const seen *s, const char *name)
{
    const nj_shed_account *a = &s->shared->shed;
    for (uint32_t i = 0; i < a->n && i < NJ_SHED_KINDS; i++)
        if (!strncmp(a->module[i].name, name, sizeof a->module[i].name)) return a->module[i].alerts;
    return 0;
}

/* Modules that alerts go without now, because they wait too long; "" = none. */
static const char *left_out(const seen *s, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = 0; s->whole && i < s->board.n_modules; i++) {
        const nj_board_module *m = &s->board.module[i];
        size_t used = strlen(text);
        if (m->left_out && used < size)
            snprintf(text + used, size - used, "%s%s (%" PRIu64 " alerts)", used ? ", " : "", m->name,
                     n_shed(s, m->name));
    }
    return text;
}

/* In the list of runs: what is behind the state. */
static const char *without(const seen *s, char *text, size_t size)
{
    char off[200], out[200];
    bool none = !strcmp(quarantined(s, off, sizeof off), "none");
    left_out(s, out, sizeof out);
    snprintf(text, size, "%s%s%s%s", none ? "" : "; off: ", none ? "" : off, out[0] ? "; without " : "", out);
    return text;
}

static void show_threads(const seen *s, nj_buffer *out)
{
    thread_of t;
    char d[32];
    uint32_t shown = 0, more = 0;
    line(out, "%-12s %-28s %5s %9s  %s", "thread", "module", "rows", "since", "where");
    for (uint32_t i = 0; thread_at(s, i, &t); i++) {
        if (i == NJ_SLOT_SET_UP && !t.module) continue;
        if (shown == MOST_THREADS) {
            more++;
            continue;
        }
        shown++;
        if (t.module)
            line(out, "%-12s %-28s %5u %9s  %s", t.name, t.module, t.rows, duration(t.for_s, d, sizeof d),
                 t.phase);
        else
            line(out, "%-12s %-28s %5s %9s  %s", t.name, "-", "", "", t.phase ? t.phase : "");
    }
    if (more) line(out, "... and %u threads more (--json has all)", more);
}

static void show_modules(const seen *s, nj_buffer *out)
{
    const nj_board *b = &s->board;
    nj_board_module list[NJ_BOARD_MODULES];
    memcpy(list, b->module, b->n_modules * sizeof *list);
    qsort(list, b->n_modules, sizeof *list, by_cost);
    double sum = 0;
    uint32_t shown = 0, more = 0;
    for (uint32_t i = 0; i < b->n_modules; i++) sum += (double)list[i].cpu_ns;
    line(out, "%-28s %12s %7s %12s %12s", "module", "CPU us/alert", "share", "alerts", "done");
    for (uint32_t i = 0; i < b->n_modules; i++) {
        const nj_board_module *m = &list[i];
        if (shown == MOST_MODULES || !m->offered) {
            more++;
            continue;
        }
        shown++;
        line(out, "%-28.28s %12.1f %5.1f %% %12" PRIu64 " %12" PRIu64, m->name,
             (double)m->cpu_ns / 1e3 / (double)m->offered, sum > 0 ? 100 * (double)m->cpu_ns / sum : 0,
             m->offered, m->done);
    }
    if (more || b->n_off) line(out, "%u cheaper ones or without an alert; %u are off", more, b->n_off);
}

static void show_run(const seen *s, nj_buffer *out)
{
    char when[40], a[48], c[48], names[400];
    const nj_board *b = &s->board;
    if (!s->shared) {
        line(out, "run %d: %s", s->block->pid, s->block->why);
        return;
    }
    time_t began = (time_t)s->shared->head.began;
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%SZ", gmtime_r(&began, &utc));
    if (!s->whole) {
        line(out, "run %d since %s: its worker starts, or has just died", s->block->pid, when);
    } else {
        line(out, "run %d since %s, %s: %s", s->block->pid, when,
             b->ready   ? "ready"
             : b->alive ? "not ready"
                        : "HANGS",
             b->text);
        line(out, "from      %s", b->sources);
        line(out, "to        %s", b->outputs);
        line(out,
             "alerts    %" PRIu64 " emitted, %" PRIu64 " filtered, %" PRIu64 " dead, %" PRIu64
             " twice; %" PRIu64 " under way",
             b->emitted, b->filtered, b->dead, b->duplicates, b->under_way);
        line(out, "rate      %.1f/s    lag %s", b->per_s, lag_text(b->lag, a, sizeof a));
        line(out, "last      row %s, commit %s", ago(b->last_row_ns, a, sizeof a),
             ago(b->last_commit_ns, c, sizeof c));
        line(out, "buffers   compute %" PRIu64 "/%" PRIu64 ", output %" PRIu64 "/%" PRIu64 ", %.1f/%.0f MB",
             b->work, b->work_most, b->done, b->done_most, (double)b->bytes / 1e6,
             (double)b->bytes_most / 1e6);
    }
    line(out, "worker    %d; restarts %u, replaced %u; quarantined: %s", b->pid,
         s->shared->incarnation - s->shared->n_recycled, s->shared->n_recycled,
         quarantined(s, names, sizeof names));
    if (left_out(s, names, sizeof names)[0]) line(out, "left out  %s: alerts wait too long", names);
    nj_buffer_text(out, "\n");
    show_threads(s, out);
    if (!s->whole) return;
    nj_buffer_text(out, "\n");
    show_modules(s, out);
}

static void show_list(seen *const *list, uint32_t n, nj_buffer *out)
{
    char a[32], c[420];
    line(out, "%7s %9s %9s %12s %8s %8s  %s", "run", "rate/s", "lag", "through", "dead", "restarts", "state");
    for (uint32_t i = 0; i < n; i++) {
        const seen *s = list[i];
        if (!s->shared) {
            line(out, "%7d %s", s->block->pid, s->block->why);
            continue;
        }
        const nj_board *b = &s->board;
        line(out, "%7d %9.1f %9s %12" PRIu64 " %8" PRIu64 " %8u  %s", s->block->pid, b->per_s,
             lag_text(b->lag, a, sizeof a), through(b), b->dead,
             s->shared->incarnation - s->shared->n_recycled,
             !s->whole  ? "starts"
             : b->ready ? "ready"
             : b->alive ? "not ready"
                        : "HANGS");
        if (without(s, c, sizeof c)[0]) line(out, "        %s", c + 2);
        line(out, "        %s -> %s", b->sources, b->outputs);
    }
    line(out, "`nightjar top PID` shows one of them");
}

/* ---- as JSON ----------------------------------------------------------------------------------- */

static void json_run(const seen *s, nj_json *j)
{
    nj_json_open(j, NULL, '{');
    nj_json_put(j, "pid=%d", s->block->pid);
    if (!s->shared) {
        nj_json_put(j, "why=%s", s->block->why);
        nj_json_close(j);
        return;
    }
    const nj_board *b = &s->board;
    const nj_guard *g = &s->shared->guard;
    thread_of t;
    nj_json_put(j, "version=%s began=%lld worker=%d restarts=%u replaced=%u whole=%hhd",
                s->shared->head.version, (long long)s->shared->head.began, (int)b->pid,
                s->shared->incarnation - s->shared->n_recycled, s->shared->n_recycled, s->whole);
    nj_json_put(j, "alive=%hhd ready=%hhd state=%s sources=%s outputs=%s", b->alive != 0, b->ready != 0,
                b->text, b->sources, b->outputs);
    nj_json_count(j, "through", through(b));
    nj_json_count(j, "emitted", b->emitted);
    nj_json_count(j, "filtered", b->filtered);
    nj_json_count(j, "dead", b->dead);
    nj_json_count(j, "duplicates", b->duplicates);
    nj_json_count(j, "under_way", b->under_way);
    nj_json_put(j, "alerts_per_s=%g lag=%g last_row_age_s=%g last_commit_age_s=%g", b->per_s, b->lag,
                age_s(b->last_row_ns), age_s(b->last_commit_ns));
    nj_json_count(j, "queue_compute", b->work);
    nj_json_count(j, "queue_output", b->done);
    nj_json_count(j, "bytes", b->bytes);
    nj_json_count(j, "bytes_most", b->bytes_most);
    nj_json_open(j, "threads", '[');
    for (uint32_t i = 0; thread_at(s, i, &t); i++) {
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s module=%s where=%s rows=%u for_s=%g", t.name, t.module, t.phase, t.rows,
                    t.module ? t.for_s : NAN);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_open(j, "modules", '[');
    for (uint32_t i = 0; i < b->n_modules; i++) {
        const nj_board_module *m = &b->module[i];
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s offered=%llu done=%llu cpu_s=%g left_out=%hhd shed=%llu", m->name,
                    (unsigned long long)m->offered, (unsigned long long)m->done, (double)m->cpu_ns / 1e9,
                    m->left_out, (unsigned long long)n_shed(s, m->name));
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_open(j, "guarded", '[');
    for (uint32_t i = 0; i < atomic_load(&g->n_modules) && i < NJ_GUARD_MODULES; i++) {
        const nj_guard_module *m = &g->module[i];
        if (!atomic_load(&m->n_failures) && !atomic_load(&m->off)) continue;
        nj_json_open(j, NULL, '{');
        nj_json_put(j, "name=%s crashed_alerts=%llu quarantined=%hhd", m->name,
                    (unsigned long long)atomic_load(&m->n_failures), atomic_load(&m->off) != 0);
        nj_json_close(j);
    }
    nj_json_close(j);
    nj_json_close(j);
}

/* ---- the command ------------------------------------------------------------------------------- */

static int show(const options *o, int32_t pid, nj_buffer *out, nj_error *err)
{
    nj_run_blocks blocks;
    int rc = nj_blocks_find(&blocks, pid, err) ? NJ_EXIT_SOURCE : NJ_EXIT_OK;
    seen **list = rc == NJ_EXIT_OK ? calloc(blocks.n + 1, sizeof *list) : NULL;
    for (uint32_t i = 0; list && i < blocks.n; i++)
        if (!(list[i] = look(&blocks.item[i]))) out->failed = true;
    if (list && !out->failed && o->json) {
        nj_json j = nj_json_begin(out, '{');
        nj_json_put(&j, "closed=%u", blocks.n_closed);
        nj_json_open(&j, "runs", '[');
        for (uint32_t i = 0; i < blocks.n; i++) json_run(list[i], &j);
        nj_json_end(&j);
    } else if (list && !out->failed) {
        if (blocks.n == 1)
            show_run(list[0], out);
        else if (blocks.n)
            show_list(list, blocks.n, out);
        else if (pid)
            line(out, "process %d is no `nightjar run` with a supervisor, or not one of this user", (int)pid);
        else
            line(out, "no `nightjar run` with a supervisor is seen here");
        if (blocks.n_closed)
            line(out, "%u nightjar processes of other users cannot be looked at", blocks.n_closed);
    }
    for (uint32_t i = 0; list && i < blocks.n; i++) free(list[i]);
    if (rc == NJ_EXIT_OK && !blocks.n) rc = NJ_EXIT_USAGE;
    free(list);
    nj_blocks_free(&blocks);
    return rc;
}

static int top(int argc, char **argv)
{
    options o = { .every = 2 };
    nj_words words;
    nj_error err = { "" };
    char *end = NULL;
    if (nj_command_parse(&nj_command_top, &o, argc, argv, &words, &err) ||
        (words.n > 1 && nj_fail(&err, "one PID at most")))
        nj_give_up("top: %s", err.text);
    long pid = words.n ? strtol(words.item[0], &end, 10) : 0;
    if (words.n && (*end || pid <= 0 || pid > INT32_MAX))
        nj_give_up("top: %s: a PID is a number; without one all runs are listed", words.item[0]);
    bool once = o.once || o.json || !isatty(STDOUT_FILENO);
    for (;;) {
        nj_buffer out = { 0 };
        if (!once) nj_buffer_text(&out, "\033[H\033[J");
        int rc = show(&o, (int32_t)pid, &out, &err);
        if (err.text[0]) nj_give_up("top: %s", err.text);
        if (out.failed) nj_give_up("top: out of memory");
        if (nj_command_print(&out)) return NJ_EXIT_USAGE;
        if (once) return rc;
        sleep((unsigned)o.every);
    }
}
