/* error.c - all set-up functions report failure in the same way: a text in nj_error and the return
 * value -1. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "secret.h"

int nj_fail(nj_error *err, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        const int n = vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
        if (n >= (int)sizeof err->text)
            nj_secret_scrub_cut(err->text);
        else
            nj_secret_scrub(err->text);
        err->memory = strstr(err->text, "out of memory") != NULL;
        err->later = err->said = 0;
    }
    return -1;
}
