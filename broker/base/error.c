#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int nj_fail(nj_error *err, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -1;
}
