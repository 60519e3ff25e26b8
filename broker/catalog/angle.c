/* angle.c - angles as catalogues write them: decimal degrees, or hours or degrees with minutes and
 * seconds. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"

static const char marks[] = ": \t";

int nj_angle_has_parts(const char *text, size_t n)
{
    int digits = 0;
    for (size_t i = 0; i < n; i++) {
        if (isdigit((unsigned char)text[i]))
            digits = 1;
        else if (digits && (strchr(": \t", text[i]) || strchr("hdHD", text[i])) && i + 1 < n)
            return 1;
    }
    return 0;
}

int nj_angle_has_letter(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr("hdHD", text[i])) return 1;
    return 0;
}

/* A part's end: a separator, a unit letter, or the end of the text. */
static const char *part_end(const char *p, const char *unit)
{
    if (*p && strchr(unit, tolower((unsigned char)*p)))
        p++;
    else if (*p && !strchr(marks, *p))
        return NULL;
    while (*p && strchr(marks, *p)) p++;
    return p;
}

double nj_parse_angle(const char *text, size_t n, int hours)
{
    static const char *const unit[] = { "hd", "m'", "s\"" };
    static const double share[] = { 1, 1.0 / 60, 1.0 / 3600 };
    char copy[64], *end;
    if (!n || n >= sizeof copy) return NAN;
    memcpy(copy, text, n);
    copy[n] = 0;
    const char *p = copy;
    while (*p == ' ') p++;
    double sign = *p == '-' ? -1 : 1, sum = 0;
    if (*p == '-' || *p == '+') p++;
    int parts = 0;
    if (strpbrk(p, "hH"))
        hours = 1; /* the text says more than its column */
    else if (strpbrk(p, "dD"))
        hours = 0;
    for (; *p && parts < 3; parts++) {
        if (!isdigit((unsigned char)*p) && *p != '.') return NAN;
        double v = strtod(p, &end);
        /* an exponent belongs to a plain number only; 1e-5 h is nothing that catalogues have */
        if (parts && (v < 0 || v > 60)) return NAN;
        p = part_end(end, unit[parts]);
        if (!p || (*p && v != floor(v))) return NAN;
        sum += v * share[parts];
    }
    return *p || !parts ? NAN : sign * sum * (hours ? 15 : 1);
}
