/* format.c - a duration or a rate must look the same in the table, the report and the pages, so each is
 * written by one function. */
#include "format.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* "-" when v is not finite. */
__attribute__((format(printf, 3, 4))) static const char *put(char text[24], double v, const char *format, ...)
{
    va_list ap;
    if (!isfinite(v)) return strcpy(text, "-");
    va_start(ap, format);
    vsnprintf(text, 24, format, ap);
    va_end(ap);
    return text;
}

/* The value below 999.5 and what it was divided by. */
static const char *thousands(double *v)
{
    static const char *const suffix[] = { "", "k", "M", "G", "T" };
    int s = 0;
    while (fabs(*v) >= 999.5 && s < 4) *v /= 1000, s++;
    return suffix[s];
}

const char *nj_format_duration(char text[24], double ns)
{
    static const struct {
        double upto, unit;
        const char *name;
    } step[] = { { 999.5, 1, "ns" }, { 999.5e3, 1e3, "us" }, { 999.5e6, 1e6, "ms" }, { INFINITY, 1e9, "s" } };
    if (!isfinite(ns)) return strcpy(text, "-");
    int i = 0;
    while (!(ns < step[i].upto)) i++;
    snprintf(text, 24, "%.3g %s", ns / step[i].unit, step[i].name);
    return text;
}

const char *nj_format_duration_micro(char text[24], double ns)
{
    char plain[24];
    const char *u = strstr(nj_format_duration(plain, ns), "us");
    if (!u) return strcpy(text, plain);
    snprintf(text, 24, "%.*sµs", (int)(u - plain), plain);
    return text;
}

const char *nj_format_si(char text[24], double v)
{
    const char *suffix = thousands(&v);
    return put(text, v, "%.3g%s", v, suffix);
}

const char *nj_format_rate(char text[24], double v)
{
    const char *suffix = thousands(&v);
    return put(text, v, fabs(v) >= 99.95 ? "%.0f%s" : fabs(v) >= 9.995 ? "%.1f%s" : "%.2f%s", v, suffix);
}

const char *nj_format_us(char text[24], double us)
{
    return us > 0 && us < 0.005 ? strcpy(text, "<0.01") : put(text, us, "%.2f", us);
}

const char *nj_format_share(char text[24], double share)
{
    return put(text, share, "%.1f %%", 100 * share);
}

const char *nj_format_small(char text[24], double v)
{
    return v > 0 && v < 0.001 ? strcpy(text, "<.001") : put(text, v, "%.2g", v);
}

const char *nj_format_two(char text[24], double v)
{
    if (!(v > 0)) return strcpy(text, "0");
    const double r = nj_two_digits(v);
    snprintf(text, 24, r >= 10 ? "%.0f" : r >= 1 ? "%.1f" : r >= 0.1 ? "%.2f" : "%.2g", r);
    return text;
}

const char *nj_format_grouped(char text[32], uint64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)v), k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[k++] = ',';
        text[k++] = digits[i];
    }
    text[k] = 0;
    return text;
}

double nj_two_digits(double v)
{
    if (!(v > 0)) return v;
    double p = pow(10, floor(log10(v)) - 1);
    return round(v / p) * p;
}
