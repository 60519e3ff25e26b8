/* waits.c - every sink waits for the same troubles by the same rules; they are those of the one run that
 * continues. */
#include "waits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/log.h"

#define SECOND_NS INT64_C(1000000000)

enum { FIRST_PAUSE_MS = 10, LAST_PAUSE_MS = 1000, SLICE_MS = 100, AFTER_STOP_S = 5, REPORT_EVERY_S = 60 };

static struct {
    double retry_s;
    bool (*stopped)(void *opaque);
    void *opaque;
    uint64_t n;   /* atomic */
    bool waiting; /* atomic */
} waits;

void nj_waits_set(double retry_s, bool (*stopped)(void *opaque), void *opaque)
{
    waits.retry_s = retry_s;
    waits.stopped = stopped;
    waits.opaque = opaque;
}

static bool run_ends(void)
{
    return waits.stopped && waits.stopped(waits.opaque);
}

static void sleep_ms(int64_t ms)
{
    for (int64_t part; ms > 0; ms -= part) {
        part = ms < SLICE_MS ? ms : SLICE_MS;
        nanosleep(&(struct timespec){ 0, part * 1000000 }, NULL);
        if (run_ends()) return;
    }
}

static bool long_enough(nj_wait *w, nj_wait_kind kind, int64_t now)
{
    if (!waits.stopped) return true;
    if (run_ends()) {
        if (!w->stop_ns) w->stop_ns = now;
        if (now - w->stop_ns > AFTER_STOP_S * SECOND_NS) return true;
    }
    return kind == NJ_WAIT_FOR_ROOM && (double)(now - w->since_ns) >= waits.retry_s * 1e9;
}

static void begin(nj_wait *w, int64_t now)
{
    if (w->since_ns) return;
    w->since_ns = now;
    w->pause_ms = FIRST_PAUSE_MS;
    __atomic_add_fetch(&waits.n, 1, __ATOMIC_RELAXED);
}

/* worth: what lasts less than that is not worth a line. */
static void say(nj_wait *w, int64_t now, bool worth, const char *path, const char *why)
{
    __atomic_store_n(&waits.waiting, true, __ATOMIC_RELAXED);
    double waited_s = (double)(now - w->since_ns) / 1e9;
    if (!w->reported_ns && worth) {
        nj_log(NJ_LOG_WARN, "%s: %s; waiting", path, why);
        w->reported_ns = now;
    } else if (w->reported_ns && now - w->reported_ns >= REPORT_EVERY_S * SECOND_NS) {
        nj_log(NJ_LOG_WARN, "%s: %s; waiting for %.0f s", path, why, waited_s);
        w->reported_ns = now;
    }
}

void nj_wait_notes(nj_wait *w, const char *path, const char *why)
{
    int64_t now = nj_now_ns();
    begin(w, now);
    say(w, now, now - w->since_ns >= SECOND_NS, path, why);
}

bool nj_wait_more(nj_wait *w, nj_wait_kind kind, const char *path, const char *why)
{
    int64_t now = nj_now_ns();
    begin(w, now);
    if (long_enough(w, kind, now)) {
        __atomic_store_n(&waits.waiting, false, __ATOMIC_RELAXED);
        return false;
    }
    say(w, now, w->pause_ms >= LAST_PAUSE_MS / 2, path, why);
    sleep_ms(w->pause_ms);
    w->pause_ms = 2 * w->pause_ms < LAST_PAUSE_MS ? 2 * w->pause_ms : LAST_PAUSE_MS;
    return true;
}

bool nj_wait_helps(int fd, int error, nj_wait_kind *kind)
{
    struct stat st;
    *kind = error == EAGAIN ? NJ_WAIT_FOR_LOCK : NJ_WAIT_FOR_ROOM;
    if (error == EAGAIN) return true;
    if (error != ENOSPC && error != EDQUOT && error != EROFS) return false;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

bool nj_folder_is_away(const char *path)
{
    struct stat st;
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) + 1 < sizeof folder)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    return stat(folder, &st) != 0;
}

void nj_wait_over(nj_wait *w, const char *path)
{
    if (!w->since_ns) return;
    __atomic_store_n(&waits.waiting, false, __ATOMIC_RELAXED);
    if (w->reported_ns)
        nj_log(NJ_LOG_INFO, "%s: continues after %.1f s", path, (double)(nj_now_ns() - w->since_ns) / 1e9);
    *w = (nj_wait){ 0 };
}

void nj_wait_given_up(nj_wait *w)
{
    if (w->since_ns) __atomic_store_n(&waits.waiting, false, __ATOMIC_RELAXED);
    *w = (nj_wait){ 0 };
}

uint64_t nj_waits_count(bool *waiting)
{
    *waiting = __atomic_load_n(&waits.waiting, __ATOMIC_RELAXED);
    return __atomic_load_n(&waits.n, __ATOMIC_RELAXED);
}
