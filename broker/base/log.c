/* log.c - messages come from several threads; each must be one whole line on stderr, with control characters
 * escaped. */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "exit.h"
#include "secret.h"
#include "utf8.h"

#define MINUTE_NS INT64_C(60000000000)

static bool with_stamps, as_json;
static _Atomic bool ending;

void nj_log_as_json(bool json)
{
    as_json = json;
}

bool nj_log_is_json(void)
{
    return as_json;
}

void nj_log_stamps(bool stamps)
{
    with_stamps = stamps;
}

void nj_log_ending(void)
{
    ending = true;
}

bool nj_log_can(void)
{
    struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
    return !ending || (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT));
}

size_t nj_log_stamp(char *to, size_t room)
{
    struct timespec now;
    struct tm utc;
    if (!with_stamps || clock_gettime(CLOCK_REALTIME, &now) || !gmtime_r(&now.tv_sec, &utc)) return 0;
    size_t n = strftime(to, room, "%Y-%m-%dT%H:%M:%S", &utc);
    return n + (size_t)snprintf(to + n, room - n, ".%03dZ ", (int)(now.tv_nsec / 1000000));
}

/* Ids, file names and errors of libraries are bytes of others:
 * what is no UTF-8, or would steer a terminal, is \xNN. */
size_t nj_log_plain(char *to, size_t room, const char *text)
{
    size_t n = 0;
    while (*text && n + 8 < room) {
        const unsigned char c = (unsigned char)*text;
        const size_t size = c == 0x7f || (c < 0x20 && c != '\n' && c != '\t') ? 0 : nj_utf8_length(text);
        if (!size) {
            n += (size_t)snprintf(to + n, 5, "\\x%02x", c);
            text++;
        } else {
            memcpy(to + n, text, size);
            n += size;
            text += size;
        }
    }
    return n;
}

/* kept_back: so many lines of this kind were not shown; last: the next ones will not be. */
static void write_line(const char *room, const char *site, int level, uint32_t kept_back, bool last,
                       const char *format, va_list ap)
{
    char text[2048], plain[2048 + 64], line[2 * sizeof plain + 640], tail[96] = "";
    const int whole = vsnprintf(text, sizeof text, format, ap);
    if (whole < 0) return;
    if (whole >= (int)sizeof text)
        nj_secret_scrub_cut(text);
    else
        nj_secret_scrub(text);
    plain[nj_log_plain(plain, sizeof plain, text)] = '\0';
    size_t n, at = 0;
    if (as_json) {
        if (kept_back || last)
            snprintf(tail, sizeof tail, "\"not_shown_before\": %u, \"not_shown_for_a_minute\": %s", kept_back,
                     last ? "true" : "false");
        n = nj_log_json(line, sizeof line, level, room, site, plain, tail[0] ? tail : NULL);
    } else {
        if (kept_back)
            at = (size_t)snprintf(tail, sizeof tail, " (%u more of this kind were not shown)", kept_back);
        if (last) snprintf(tail + at, sizeof tail - at, " (more of this kind are not shown for a minute)");
        n = nj_log_stamp(line, 40);
        n += (size_t)snprintf(line + n, sizeof line - n, "nightjar: %s: %s%s\n", nj_level_name[level], plain,
                              tail);
    }
    /* one write(2), so that lines of several threads do not mix; errors of stderr are ignored */
    if (!nj_log_can() || write(STDERR_FILENO, line, n) < 0) return;
}

void nj_log_debug(nj_room room, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    write_line(nj_room_name[room], "", NJ_LOG_DEBUG, 0, false, format, ap);
    va_end(ap);
}

void nj_log_at(const char *site, int level, const char *format, ...)
{
    if (!nj_log_wanted(site, level)) return;
    va_list ap;
    va_start(ap, format);
    write_line(nj_room_name[nj_room_of(site)], site, level, 0, false, format, ap);
    va_end(ap);
}

/* Counts one line of a call site: 0 = it is kept back. *before: lines kept back that can be reported now. */
static uint32_t count(nj_log_limit *limit, uint32_t most, uint32_t *before)
{
    uint32_t n = 0;
    *before = 0;
    while (__atomic_exchange_n(&limit->busy, true, __ATOMIC_ACQUIRE)) {
    }
    int64_t now = nj_now_ns();
    if (!limit->since_ns || now - limit->since_ns >= MINUTE_NS) {
        limit->since_ns = now;
        limit->said = 0;
    }
    if (limit->said < most) {
        n = ++limit->said;
        *before = limit->kept_back;
        limit->kept_back = 0;
    } else {
        limit->kept_back++;
    }
    __atomic_store_n(&limit->busy, false, __ATOMIC_RELEASE);
    return n;
}

void nj_log_limited_at(const char *site, nj_log_limit *limit, uint32_t most, int level, const char *format,
                       ...)
{
    uint32_t before;
    if (!nj_log_wanted(site, level)) return;
    uint32_t n = count(limit, most, &before);
    if (!n) return;
    va_list ap;
    va_start(ap, format);
    write_line(nj_room_name[nj_room_of(site)], site, level, before, n == most, format, ap);
    va_end(ap);
}

void nj_give_up(const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    nj_log(NJ_LOG_ERROR, "%s", text);
    exit(NJ_EXIT_USAGE);
}
