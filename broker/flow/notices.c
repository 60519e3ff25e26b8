/* notices.c - gravitational waves are announced while a run lasts: a thread for each instance of the module
 * region that has a `from` reads their topic into the folder that this instance follows. The stream of alerts
 * never waits for it; when its topic is in trouble it tries again, later each time. */
#include "notices.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/json_scan.h"
#include "../base/log.h"
#include "../engine/feed.h"
#include "../graph/services.h"
#include "internal.h"
#include "metrics_text.h"
#include "nightjar/list.h"
#include "nightjar/sky.h"

enum { POLL_MS = 200, FIRST_WAIT_MS = 1000, LONGEST_WAIT_MS = 60000 };

typedef struct watcher {
    const run *r;
    const char *instance, *spec;
    nj_notice_rules rules;
    nj_settings settings; /* [kafka] and [source] of its own: those of the run have other threads */
    pthread_t thread;
    bool started, ends; /* ends: its source has an end */
    _Atomic uint64_t n[NJ_NOTICE_ENDS], troubles;
    nj_log_limit warned, wrong;
    int wait_ms;
} watcher;

struct nj_notices {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic bool stop;
    uint32_t n;
    watcher item[];
};

/* ---- settings ---- */

static bool is_region(const nj_settings *s, const char *section)
{
    const char *kind = section + strlen("module.");
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->item[i].section, section) && !strcmp(s->item[i].key, "kind")) kind = s->item[i].value;
    return !strcmp(kind, "region");
}

static const char *said(const nj_settings *s, const char *section, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->item[i].section, section) && !strcmp(s->item[i].key, key)) value = s->item[i].value;
    return value;
}

/* The one folder among the files of an instance that has a `from`; "" = it has none, or two. */
static void folder_of(const nj_settings *s, const char *section, char folder[256])
{
    const char *list = said(s, section, "files");
    char item[256];
    uint32_t n = 0;
    folder[0] = 0;
    while (list && nj_list_item(&list, item, NULL, sizeof item))
        if (*item && item[strlen(item) - 1] == '/' && !n++) strcpy(folder, item);
    if (n != 1) folder[0] = 0;
}

/* Sections that ask for notices, each once: the next one at or behind *i. */
static const char *next_section(const nj_settings *s, size_t *i)
{
    for (; *i < s->n; ++*i) {
        const nj_setting *t = &s->item[*i];
        if (strncmp(t->section, "module.", 7) || strcmp(t->key, "from") || !is_region(s, t->section))
            continue;
        const char *value = said(s, t->section, "from");
        if (t->value == value && *value) return s->item[(*i)++].section; /* the one that counts */
    }
    return NULL;
}

int nj_notices_folders(run *r, nj_error *err)
{
    const nj_settings *s = r->options->settings;
    char folder[256];
    size_t i = 0;
    for (const char *section; (section = next_section(s, &i));) {
        folder_of(s, section, folder);
        if (!folder[0])
            return nj_fail(err,
                           "[%s] from: its notices are kept in the folder of `files`: name one, as in "
                           "files = gw/",
                           section);
        if (mkdir(folder, 0777) && errno != EEXIST)
            return nj_fail(err, "[%s] files: %s cannot be made: %s", section, folder, strerror(errno));
    }
    return 0;
}

void nj_notices_each_folder(const run *r, void (*each)(void *opaque, const char *folder), void *opaque)
{
    char folder[256];
    size_t i = 0;
    for (const char *section; (section = next_section(r->options->settings, &i));) {
        folder_of(r->options->settings, section, folder);
        if (folder[0]) each(opaque, folder);
    }
}

/* What the source is told: the settings of `account`, or those of the run. */
static int take_settings(watcher *w, const char *file, nj_error *err)
{
    nj_settings *s = w->r->options->settings;
    for (size_t i = 0; i < s->n; i++) {
        nj_setting *t = &s->item[i];
        if (strcmp(t->section, "source") && (strcmp(t->section, "kafka") || *file)) continue;
        t->used = 1;
        if (nj_settings_set(&w->settings, t->section, t->key, t->value, t->where))
            return nj_fail(err, "out of memory");
    }
    size_t own = w->settings.n;
    if (*file && nj_settings_file(&w->settings, file, err)) return -1;
    for (size_t i = own; i < w->settings.n; i++)
        if (strcmp(w->settings.item[i].section, "kafka") && strcmp(w->settings.item[i].section, "source"))
            return nj_fail(err, "%s: [%s] is not read here: [kafka] and [source] of the notices' server are",
                           w->settings.item[i].where, w->settings.item[i].section);
    return 0;
}

/* A group that each folder has for itself, from the beginning of the topic, unless `from` names others. */
static int complete_spec(watcher *w, const char *spec, nj_error *err)
{
    char group[64] = "";
    nj_arena *arena = &w->settings.arena;
    const char *query = strchr(spec, '?'), *user = nj_settings_get(&w->settings, "kafka", "sasl.username");
    w->ends = strncmp(spec, "kafka://", 8) != 0;
    w->spec = spec;
    if (w->ends) return 0;
    if (query && (strstr(query, "?group=") || strstr(query, "&group="))) return 0;
    if (nj_notice_group(w->rules.folder, group, err)) return -1;
    bool has_from = query && (strstr(query, "?from=") || strstr(query, "&from="));
    w->spec = nj_arena_printf(arena, "%s%cgroup=%s%s%s%s", spec, query ? '&' : '?', user ? user : "",
                              user ? "-" : "", group, has_from ? "" : "&from=committed");
    return w->spec ? 0 : nj_fail(err, "out of memory");
}

/* ---- a thread ---- */

static bool stopped(const watcher *w, const nj_notices *all)
{
    return all->stop || w->r->end.stop || (w->r->options->stop && *w->r->options->stop);
}

/* Tells the instance, which then looks at its folder with the next batch. */
static void announce(const watcher *w, const nj_notice *n)
{
    static const char *const does[NJ_NOTICE_ENDS] = { [NJ_NOTICE_NEW] = "is a region now",
                                                      [NJ_NOTICE_REPLACED] = "replaces its region",
                                                      [NJ_NOTICE_RETRACTED] = "its region is removed" };
    const nj_sky *sky = nj_service("sky", NJ_SKY_VERSION);
    if (!does[n->end]) return;
    if (sky) sky->recheck();
    nj_log(NJ_LOG_INFO, "%s: %s %s: %s", w->instance, n->event, n->kind, does[n->end]);
}

static int take_notice(watcher *w, const uint8_t *text, size_t size, const nj_chunk *chunk, nj_error *err)
{
    nj_notice n;
    char where[512];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    w->rules.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (nj_notice_keep(&w->rules, text, size, chunk->publish_ms, &n, err)) return -1;
    w->n[n.end]++;
    if (n.why[0])
        nj_log_limited(&w->wrong, 20, NJ_LOG_WARN, "%s: %s%s%s: %s%s", w->instance,
                       nj_chunk_where(chunk, where, sizeof where), n.event[0] ? ": " : "", n.event, n.why,
                       n.end == NJ_NOTICE_WRONG ? "; the notice is left out" : "");
    announce(w, &n);
    return 0;
}

/* Until the source ends, fails, or the run does. */
static nj_next read_notices(watcher *w, const nj_notices *all, nj_feed *feed, nj_error *err)
{
    for (;;) {
        nj_chunk *chunk = NULL;
        if (stopped(w, all)) return NJ_NEXT_END;
        nj_next next = nj_feed_next(feed, POLL_MS, &chunk, err);
        if (next == NJ_NEXT_IDLE) continue;
        if (next != NJ_NEXT_CHUNK) return next;
        const uint8_t *at = chunk->bytes, *end = chunk->bytes + chunk->size;
        size_t size;
        int failed = 0;
        if (chunk->fault) nj_log_limited(&w->wrong, 20, NJ_LOG_WARN, "%s: %s", w->instance, chunk->fault);
        for (const uint8_t *piece; !failed && !chunk->fault && (piece = nj_json_piece(&at, end, &size));)
            failed = take_notice(w, piece, size, chunk, err);
        if (chunk->fault) w->n[NJ_NOTICE_WRONG]++;
        if (!failed) nj_feed_ack(feed, chunk);
        nj_chunk_drop(chunk);
        if (failed) return NJ_NEXT_ERROR;
        w->wait_ms = FIRST_WAIT_MS;
    }
}

static void pause_for(nj_notices *all, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&all->lock);
    while (!all->stop && pthread_cond_timedwait(&all->wake, &all->lock, &until) == 0) continue;
    pthread_mutex_unlock(&all->lock);
}

typedef struct thread_of {
    nj_notices *all;
    watcher *w;
} thread_of;

static void *watch(void *thread_)
{
    thread_of *t = thread_;
    watcher *w = t->w;
    nj_notices *all = t->all;
    free(t);
    w->wait_ms = FIRST_WAIT_MS;
    while (!stopped(w, all)) {
        nj_error err = { "" };
        nj_feed *feed = nj_feed_open(&w->settings, &w->spec, 1, 0, &err);
        nj_next next = feed ? read_notices(w, all, feed, &err) : NJ_NEXT_ERROR;
        nj_feed_close(feed);
        if (next == NJ_NEXT_END) break;
        w->troubles++;
        if (w->ends) {
            nj_log(NJ_LOG_WARN, "%s: from %s: %s; what follows in it is not read", w->instance, w->spec,
                   err.text);
            break;
        }
        nj_log_limited(&w->warned, 20, NJ_LOG_WARN,
                       "%s: from %s: %s; tried again in %d s, and the alerts go on", w->instance, w->spec,
                       err.text, w->wait_ms / 1000);
        pause_for(all, w->wait_ms);
        w->wait_ms = w->wait_ms * 2 < LONGEST_WAIT_MS ? w->wait_ms * 2 : LONGEST_WAIT_MS;
    }
    return NULL;
}

/* ---- of a run ---- */

/* What the instance has for a key of its module; it is of the module's table. */
static const void *value_of(const nj_instance *in, const char *key)
{
    const nj_param *p = in->module->params;
    while (strcmp(p->name, key)) p++;
    return (const char *)in->conf + p->offset;
}

static int start_one(nj_notices *all, run *r, const nj_instance *in, nj_error *err)
{
    char section[128];
    const char *spec = *(const char *const *)value_of(in, "from");
    char folder[256];
    if (!*spec) return 0;
    watcher *w = &all->item[all->n++];
    *w = (watcher){ .r = r, .instance = in->name };
    snprintf(section, sizeof section, "module.%s", in->name);
    folder_of(r->options->settings, section, folder);
    w->rules.folder = nj_arena_text(&w->settings.arena, folder, strlen(folder));
    w->rules.days = *(const double *)value_of(in, "days");
    w->rules.mock = *(const uint8_t *)value_of(in, "mock");
    if (!w->rules.folder) return nj_fail(err, "out of memory");
    if (take_settings(w, *(const char *const *)value_of(in, "account"), err) || complete_spec(w, spec, err))
        return -1;
    thread_of *t = malloc(sizeof *t);
    if (!t) return nj_fail(err, "out of memory");
    *t = (thread_of){ all, w };
    if (pthread_create(&w->thread, NULL, watch, t)) return free(t), nj_fail(err, "no thread for notices");
    w->started = true;
    return 0;
}

int nj_notices_start(run *r, nj_notices **notices, nj_error *err)
{
    const nj_instances *set = &r->engine.instances;
    *notices = NULL;
    size_t i = 0;
    if (!next_section(r->options->settings, &i)) return 0;
    nj_notices *all = calloc(1, sizeof *all + set->n * sizeof all->item[0]);
    if (!all) return nj_fail(err, "out of memory");
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&all->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&all->lock, NULL);
    *notices = all;
    for (uint32_t k = 0; k < set->n; k++)
        if (!strcmp(set->item[k].module->name, "region") && start_one(all, r, &set->item[k], err)) return -1;
    for (uint32_t k = 0; k < all->n; k++) { /* before the first alert */
        watcher *w = &all->item[k];
        if (w->ends && w->started) pthread_join(w->thread, NULL);
        if (w->ends) w->started = false;
    }
    return 0;
}

void nj_notices_stop(nj_notices *all)
{
    if (!all) return;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_broadcast(&all->wake);
    pthread_mutex_unlock(&all->lock);
    for (uint32_t k = 0; k < all->n; k++) {
        if (all->item[k].started) pthread_join(all->item[k].thread, NULL);
        all->item[k].started = false;
    }
}

void nj_notices_free(nj_notices *all)
{
    if (!all) return;
    nj_notices_stop(all);
    for (uint32_t k = 0; k < all->n; k++) nj_settings_free(&all->item[k].settings);
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static bool look_at(const nj_notices *all, uint32_t k, const char **instance, uint64_t n[NJ_NOTICE_ENDS],
                    uint64_t *troubles)
{
    if (!all || k >= all->n) return false;
    *instance = all->item[k].instance;
    for (int e = 0; e < NJ_NOTICE_ENDS; e++) n[e] = all->item[k].n[e];
    *troubles = all->item[k].troubles;
    return true;
}

void nj_notices_metrics(const nj_notices *all, nj_buffer *b)
{
    const char *instance;
    uint64_t n[NJ_NOTICE_ENDS], troubles;
    if (!look_at(all, 0, &instance, n, &troubles)) return;
    nj_metrics_family(b, "nightjar_notices_total", "counter",
                      "Notices of gravitational waves, by what they did to the regions.");
    for (uint32_t i = 0; look_at(all, i, &instance, n, &troubles); i++)
        for (int e = 0; e < NJ_NOTICE_ENDS; e++) {
            nj_buffer_text(b, "nightjar_notices_total{");
            nj_metrics_label(b, "module", instance);
            nj_buffer_text(b, ",");
            nj_metrics_label(b, "outcome", nj_notice_words[e]);
            nj_buffer_printf(b, "} %llu\n", (unsigned long long)n[e]);
        }
    nj_metrics_family(b, "nightjar_notices_troubles_total", "counter",
                      "Times that the source of notices could not be read.");
    for (uint32_t i = 0; look_at(all, i, &instance, n, &troubles); i++)
        nj_metrics_sample(b, "nightjar_notices_troubles_total", "module", instance, (double)troubles);
}

int nj_notices_report(const nj_notices *all, nj_report *report)
{
    if (!all || !all->n) return 0;
    report->notices = calloc(all->n, sizeof *report->notices);
    if (!report->notices) return -1;
    report->n_notices = all->n;
    for (uint32_t k = 0; k < all->n; k++) {
        nj_report_notices *to = &report->notices[k];
        const char *instance;
        uint64_t n[NJ_NOTICE_ENDS];
        look_at(all, k, &instance, n, &to->troubles);
        snprintf(to->module, sizeof to->module, "%s", instance);
        for (int e = 0; e < NJ_NOTICE_ENDS; e++)
            to->count[e] = (struct nj_report_count){ nj_notice_words[e], n[e] };
        to->n_counts = NJ_NOTICE_ENDS;
    }
    return 0;
}
