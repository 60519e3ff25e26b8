/* reload.c - a night is long and a threshold is wrong: the supervisor reads the settings again, tries them in
 * a child, and keeps the old ones unless all is well. A new worker takes them, so the change is between two
 * alerts whatever module it is for. */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/tls.h"
#include "../base/exit.h"
#include "../graph/crash.h"
#include "supervise.h"

enum { MOST_S = 300 };

/* "x." stands for all that begin so. What is not here concerns files, columns or memory that are there. */
static const char *const reloadable[][2] = {
    { "topic.", "where" },
    { "topic.", "sentence" },
    { "topic.", "owner" },
    { "topic.", "cap" },
    { "topic.", "passes" },
    { "topic.", "fails" },
    { "topic.", "at_most" },
    { "run", "where" },
    { "run", "call_s" },
    { "run", "stop_s" },
    { "run", "stall_s" },
    { "run", "sink_retry_s" },
    { "run", "flush_ms" },
    { "run", "commit_ms" },
    { "run", "exposure_budget_s" },
    { "run", "broker_share" },
    { "guard", "deadline_s" },
    { "guard", "quarantine" },
    { "guard", "max_rss" },
    { "kafka", "ssl." },
    { "kafka", "sasl." },
    { "guard", "quarantine_alerts" },
    { "guard", "max_lag_s" },
};

static bool matches(const char *pattern, const char *text)
{
    size_t n = strlen(pattern);
    return n && pattern[n - 1] == '.' ? !strncmp(pattern, text, n) : !strcmp(pattern, text);
}

bool nj_reloads(const char *section, const char *key)
{
    if (!strncmp(section, "module.", 7)) /* an instance's own keys; these say which one it is */
        return strcmp(key, "kind") != 0 && strcmp(key, "default") != 0 && strcmp(key, "surveys") != 0 &&
               strncmp(key, "need.", 5) != 0;
    for (size_t i = 0; i < sizeof reloadable / sizeof *reloadable; i++)
        if (matches(reloadable[i][0], section) && matches(reloadable[i][1], key)) return true;
    return false;
}

/* Of equal keys the last one counts. */
static const char *value_in(const nj_settings *s, const char *section, const char *key)
{
    for (size_t i = s->n; i-- > 0;)
        if (!strcmp(s->item[i].section, section) && !strcmp(s->item[i].key, key)) return s->item[i].value;
    return NULL;
}

static void remove_key(nj_settings *s, const char *section, const char *key)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->item[i].section, section) != 0 || strcmp(s->item[i].key, key) != 0)
            s->item[n++] = s->item[i];
    s->n = n;
}

/* One key; `seen` in one of the lists already: nothing. 1: it changes. */
static int merge_key(const nj_settings *old, nj_settings *fresh, const char *section, const char *key,
                     nj_buffer *changed, nj_buffer *refused)
{
    const char *a = value_in(old, section, key), *b = value_in(fresh, section, key);
    if (a == b || (a && b && !strcmp(a, b))) return 0;
    bool may = nj_reloads(section, key);
    nj_buffer *list = may ? changed : refused;
    nj_buffer_printf(list, "%s%s.%s", list->n ? " " : "", section, key);
    if (may) return 1;
    if (!a) return remove_key(fresh, section, key), 0; /* no text to free: items are of an arena */
    return nj_settings_set(fresh, section, key, a, "as before");
}

static bool is_first(const nj_settings *s, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(s->item[k].section, s->item[i].section) && !strcmp(s->item[k].key, s->item[i].key))
            return false;
    return true;
}

int nj_reload_merge(const nj_settings *old, nj_settings *fresh, nj_buffer *changed, nj_buffer *refused)
{
    int n = 0, rc;
    for (size_t i = 0; i < old->n; i++) {
        if (!is_first(old, i)) continue;
        rc = merge_key(old, fresh, old->item[i].section, old->item[i].key, changed, refused);
        if (rc < 0) return -1;
        n += rc;
    }
    for (size_t i = 0; i < fresh->n;) {
        const nj_setting t = fresh->item[i];
        size_t before = fresh->n;
        if (is_first(fresh, i) && !value_in(old, t.section, t.key)) {
            rc = merge_key(old, fresh, t.section, t.key, changed, refused);
            if (rc < 0) return -1;
            n += rc;
        }
        if (fresh->n == before) i++; /* else others have its place */
    }
    return changed->failed || refused->failed ? -1 : n;
}

/* ---- one reload ------------------------------------------------------------------------------- */

/* What the child that tries the settings sends. */
typedef struct verdict {
    int rc;
    uint64_t columns;
    nj_error err;
} verdict;

struct nj_reload {
    nj_run_options *options;
    int (*read)(void *opaque, nj_cli *fresh, nj_error *err);
    void *opaque;
    const char *asked; /* why, as messages begin; NULL = not */
    nj_followed *followed;
    uint32_t n_followed;
    int64_t looked_ns;
    uint64_t tls; /* state of the files that the workers have */
    /* of the reload in progress */
    char by[300]; /* how messages begin */
    bool by_signal;
    pid_t child; /* 0 = none */
    int from;    /* its verdict */
    int64_t since_ns;
    nj_cli *fresh; /* its memory stays: the workers' options point into it */
    nj_guard_conf guard;
    nj_buffer changed;
    uint64_t fresh_tls;
};

static const char by_signal[] = "SIGHUP";

nj_reload *nj_reload_new(nj_cli *cli, int (*read)(void *, nj_cli *, nj_error *), void *opaque)
{
    nj_reload *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    *l = (nj_reload){ .options = &cli->options,
                      .read = read,
                      .opaque = opaque,
                      .followed = cli->followed,
                      .n_followed = cli->n_followed };
    l->tls = nj_tls_state(cli->options.settings);
    return l;
}

void nj_reload_ask(nj_reload *l)
{
    if (l) l->asked = by_signal;
}

/* Once a second: has a file of topics changed? */
static void look_at_files(nj_reload *l)
{
    const int64_t now = nj_now_ns();
    if (now - l->looked_ns < 1000000000) return;
    l->looked_ns = now;
    for (uint32_t i = 0; i < l->n_followed; i++)
        if (nj_follow_changed(&l->followed[i], now) && !l->asked) l->asked = l->followed[i].name;
}

static void give_up(nj_reload *l, const char *why)
{
    nj_log(NJ_LOG_ERROR, "%s: the settings stay as they were: %s", l->by, why);
    if (l->fresh) nj_cli_free(l->fresh);
    free(l->fresh);
    l->fresh = NULL;
    nj_buffer_free(&l->changed);
}

/* A file of topics may have others now. Their outputs stay those of the start. */
static void take_topics(nj_run_options *to, const nj_cli *fresh)
{
    to->where = fresh->options.where;
    to->topic = fresh->options.topic;
    to->n_topics = fresh->options.n_topics;
}

static bool has_topic(const nj_run_options *o, const char *name)
{
    for (uint32_t i = 0; i < o->n_topics; i++)
        if (!strcmp(o->topic[i].name, name)) return true;
    return false;
}

/* Which topics come and go, beside the keys that say so. */
static void compare_topics(const nj_run_options *old, const nj_run_options *fresh, nj_buffer *changed)
{
    for (uint32_t i = 0; i < old->n_topics; i++)
        if (!has_topic(fresh, old->topic[i].name))
            nj_buffer_printf(changed, "%s-%s", changed->n ? " " : "", old->topic[i].name);
    for (uint32_t i = 0; i < fresh->n_topics; i++)
        if (!has_topic(old, fresh->topic[i].name))
            nj_buffer_printf(changed, "%s+%s", changed->n ? " " : "", fresh->topic[i].name);
}

static _Noreturn void try(const nj_reload *l, int to)
{
    const struct rlimit none = { 0, 0 };
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    verdict v = { .rc = 0 };
    nj_run_options o = *l->options;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &none);
    for (int fd = 0; fd < 3 && nowhere >= 0; fd++) dup2(nowhere, fd);
    o.settings = &l->fresh->settings;
    take_topics(&o, l->fresh);
    o.shared = NULL;
    v.rc = nj_tls_check(o.settings, &v.err);
    if (v.rc == 0) v.rc = nj_run_try(&o, &v.columns, &v.err);
    if (write(to, &v, sizeof v) != sizeof v) nj_exit_at_once(NJ_EXIT_USAGE);
    nj_exit_at_once(NJ_EXIT_OK); /* modules may hang or crash when they are closed */
}

/* 0: there is nothing to be tried, or it cannot be. */
static void begin(nj_reload *l)
{
    nj_error err = { "" };
    nj_buffer refused = { 0 };
    int ends[2];
    l->by_signal = l->asked == by_signal;
    snprintf(l->by, sizeof l->by, "%.250s%s", l->asked, l->by_signal ? "" : " has changed");
    l->asked = NULL;
    for (uint32_t i = 0; i < l->n_followed; i++) nj_follow_take(&l->followed[i]);
    l->changed = (nj_buffer){ 0 };
    if (!(l->fresh = calloc(1, sizeof *l->fresh))) return give_up(l, "out of memory");
    if (l->read(l->opaque, l->fresh, &err)) return give_up(l, err.text);
    int n = nj_reload_merge(l->options->settings, &l->fresh->settings, &l->changed, &refused);
    if (refused.n)
        nj_log(NJ_LOG_WARN, "%s: these settings need a new start, and stay as they were: %s", l->by,
               refused.data);
    nj_buffer_free(&refused);
    if (n < 0 || nj_settings_apply(&l->fresh->settings, "guard", nj_guard_settings, NULL, &l->guard, &err))
        return give_up(l, n < 0 ? "out of memory" : err.text);
    compare_topics(l->options, &l->fresh->options, &l->changed);
    l->fresh_tls = nj_tls_state(&l->fresh->settings);
    if (l->fresh_tls != l->tls) nj_buffer_printf(&l->changed, "%sthe files of TLS", l->changed.n ? " " : "");
    if (!l->changed.n) {
        nj_log(NJ_LOG_INFO, "%s: no setting has changed%s", l->by,
               l->by_signal ? "; catalogues are looked at again" : "");
        nj_cli_free(l->fresh);
        free(l->fresh);
        l->fresh = NULL;
        return;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) return give_up(l, strerror(errno));
    fflush(NULL);
    l->child = fork();
    if (l->child == 0) try(l, ends[1]);
    close(ends[1]);
    l->from = ends[0];
    l->since_ns = nj_now_ns();
    if (l->child > 0) return;
    l->child = 0;
    close(l->from);
    give_up(l, strerror(errno));
}

/* The child has ended. True: the settings are the new ones. */
static bool end(nj_reload *l, nj_shared *shared, int status)
{
    verdict v = { .rc = -1 };
    char why[600];
    ssize_t n = read(l->from, &v, sizeof v);
    close(l->from);
    l->child = 0;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "a process that tried the new ones died (%s); they had: %.300s",
                 strsignal(WTERMSIG(status)), l->changed.data);
    else if (n != sizeof v)
        snprintf(why, sizeof why, "the process that tried the new ones ended without a word");
    else if (v.rc)
        snprintf(why, sizeof why, "%.550s", v.err.text);
    else if (shared->columns && v.columns != shared->columns)
        snprintf(why, sizeof why,
                 "the new ones change the columns of the outputs, which needs a new start: %.300s",
                 l->changed.data);
    else
        why[0] = '\0';
    if (why[0]) return give_up(l, why), false;
    nj_log(NJ_LOG_INFO, "%s: new settings: %s; the worker finishes what it has, the next one has them", l->by,
           l->changed.data);
    l->options->settings = &l->fresh->settings;
    take_topics(l->options, l->fresh);
    l->tls = l->fresh_tls;
    l->fresh = NULL;
    nj_buffer_free(&l->changed);
    shared->guard.conf = l->guard;
    shared->n_reloads++;
    return true;
}

bool nj_reload_look(nj_reload *l, nj_shared *shared)
{
    int status;
    if (!l) return false;
    if (!l->child) look_at_files(l);
    if (!l->child && l->asked) begin(l);
    if (!l->child) return false;
    pid_t got = waitpid(l->child, &status, WNOHANG);
    if (got == l->child) return end(l, shared, status);
    if (got < 0 && errno != EINTR) return end(l, shared, 0);
    if (nj_now_ns() - l->since_ns > MOST_S * INT64_C(1000000000)) kill(l->child, SIGKILL);
    return false;
}

void nj_reload_free(nj_reload *l)
{
    if (!l) return;
    if (l->child) {
        kill(l->child, SIGKILL);
        waitpid(l->child, NULL, 0);
        close(l->from);
    }
    nj_buffer_free(&l->changed);
    free(l);
}
