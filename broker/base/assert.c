/* assert.c - a broken assertion says in words what is broken before it ends the process. */
#include "assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

void nj_assert_fails(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    nj_log(NJ_LOG_ERROR, "internal fault: %s (%s:%d: %s)", text, file, line, condition);
    abort();
}
