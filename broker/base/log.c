/* log.c - messages come from several threads; each must be one whole line on stderr, with control characters
 * escaped. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exit.h"
#include "utf8.h"

static int max_level = NJ_LOG_INFO;

void nj_log_level(int level)
{
    max_level = level;
}

/* Ids, file names and errors of libraries are bytes of others:
 * what is no UTF-8, or would steer a terminal, is \xNN. */
static size_t plain(char *to, size_t room, const char *text)
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

static void write_line(int level, const char *tail, const char *format, va_list ap)
{
    static const char *const name[] = { "error", "warning", "note", "debug" };
    char text[2048], line[2048 + 128];
    if (vsnprintf(text, sizeof text, format, ap) < 0) return;
    size_t n = (size_t)snprintf(line, 32, "nightjar: %s: ", name[level]);
    n += plain(line + n, sizeof line - n - 64, text);
    n += (size_t)snprintf(line + n, sizeof line - n, "%s\n", tail);
    /* one write(2), so that lines of several threads do not mix; errors of stderr are ignored */
    if (write(STDERR_FILENO, line, n) < 0) return;
}

void nj_log(int level, const char *format, ...)
{
    if (level > max_level) return;
    va_list ap;
    va_start(ap, format);
    write_line(level, "", format, ap);
    va_end(ap);
}

void nj_log_limited(int *counter, int limit, int level, const char *format, ...)
{
    int seen = __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
    if (level > max_level || seen > limit) return;
    va_list ap;
    va_start(ap, format);
    write_line(level, seen == limit ? " (more of this kind are not shown)" : "", format, ap);
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
