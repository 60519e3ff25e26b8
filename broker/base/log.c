#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "exit.h"

static int max_level = NJ_LOG_INFO;

void nj_log_level(int level)
{
    max_level = level;
}

static void write_line(int level, const char *tail, const char *format, va_list ap)
{
    static const char *const name[] = { "error", "warning", "note", "debug" };
    char line[2048];
    int n = snprintf(line, sizeof line, "nightjar: %s: ", name[level]);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 64, format, ap);
    if (m > 0) n += m < (int)sizeof line - n - 64 ? m : (int)sizeof line - n - 65;
    n += snprintf(line + n, sizeof line - (size_t)n, "%s\n", tail);
    /* one write(2), so that lines of several threads do not mix; a full stderr is nobody's concern */
    if (write(STDERR_FILENO, line, (size_t)n) < 0) return;
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
