/* when.c - a time as people and programs write it: a date with or without a zone, or a number since 1970. */
#include "when.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The number of exactly n digits at *p, which moves behind it; -1: there are not so many. */
static int digits(const char **p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)(*p)[i])) return -1;
        v = 10 * v + (*p)[i] - '0';
    }
    *p += n;
    return v;
}

static bool take(const char **p, char c)
{
    if (**p != c) return false;
    ++*p;
    return true;
}

/* "12:30[:15[.5]]", or "1230[15]" behind a date without dashes; seconds of the day in *ms. */
static int parse_clock(const char **p, bool plain, int64_t *ms)
{
    int hour = digits(p, 2), minute = -1, second = 0;
    if (plain || take(p, ':')) minute = digits(p, 2);
    bool more = plain ? isdigit((unsigned char)**p) != 0 : take(p, ':');
    if (more) second = digits(p, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return -1;
    *ms = ((hour * 60 + minute) * (int64_t)60 + second) * 1000;
    if (!more || (**p != '.' && **p != ',')) return 0;
    ++*p;
    if (!isdigit((unsigned char)**p)) return -1;
    for (int64_t unit = 100; isdigit((unsigned char)**p); ++*p, unit /= 10) *ms += unit * (**p - '0');
    return 0;
}

/* "", "Z", "UTC", "+01:00", "+0100", "+01"; minutes to the east. */
static int parse_zone(const char *p, int *minutes)
{
    *minutes = 0;
    if (*p == ' ') p++;
    if (!*p || !strcasecmp(p, "Z") || !strcasecmp(p, "UTC") || !strcasecmp(p, "GMT")) return 0;
    int sign = *p == '+' ? 1 : *p == '-' ? -1 : 0;
    if (!sign) return -1;
    p++;
    int hours = digits(&p, 2), rest = 0;
    if (*p) {
        take(&p, ':');
        rest = digits(&p, 2);
    }
    if (hours < 0 || hours > 15 || rest < 0 || rest > 59 || *p) return -1;
    *minutes = sign * (60 * hours + rest);
    return 0;
}

int nj_when_date(const char *text, int64_t *ms)
{
    const char *p = text;
    int year = digits(&p, 4);
    if (year < 0) return -1;
    bool plain = !take(&p, '-');
    int month = digits(&p, 2), day = -1, minutes = 0;
    if (month >= 1 && (plain || take(&p, '-'))) day = digits(&p, 2);
    if (month < 1 || month > 12 || day < 1 || day > 31) return -1;
    struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };
    int64_t clock = 0, date = (int64_t)timegm(&tm) * 1000;
    if (tm.tm_mday != day || year < 1970) return -1; /* there is no such day */
    if (*p && *p != 'Z' && *p != 'z') {              /* a zone needs a clock before it */
        if (*p != 'T' && *p != 't' && *p != ' ' && *p != '_') return -1;
        p++;
        if (parse_clock(&p, plain, &clock)) return -1;
        if (parse_zone(p, &minutes)) return -1;
    } else if (*p && p[1]) {
        return -1;
    }
    *ms = date + clock - minutes * (int64_t)60000;
    return *ms < 0 ? -1 : 0;
}

const char *nj_when_number(const char *text, int64_t *ms)
{
    /* each unit's numbers from September 2001 to the year 2100, which no other unit's are */
    static const struct {
        const char *unit;
        double per_ms;
    } known[] = {
        { "seconds", 1e-3 }, { "milliseconds", 1 }, { "microseconds", 1e3 }, { "nanoseconds", 1e6 }
    };
    size_t whole = strspn(text, "0123456789"), all = whole;
    if (text[whole] == '.') all += 1 + strspn(text + whole + 1, "0123456789");
    if (!whole || text[all] || all == whole + 1) return NULL;
    double v = strtod(text, NULL);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double first = 1e12 * known[i].per_ms, last = 4102444800e3 * known[i].per_ms;
        if (v < first || v >= last || (i && all > whole)) continue;
        *ms =
            i ? (int64_t)(strtoull(text, NULL, 10) / (unsigned long long)known[i].per_ms) : llround(v * 1e3);
        return known[i].unit;
    }
    return NULL;
}

const char *nj_when_text(int64_t ms, char text[32])
{
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    size_t n = gmtime_r(&s, &tm) ? strftime(text, 24, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
    if (ms % 1000) {
        text[n++] = '.';
        text[n++] = (char)('0' + ms % 1000 / 100);
        text[n++] = (char)('0' + ms % 100 / 10);
        text[n++] = (char)('0' + ms % 10);
    }
    text[n++] = 'Z';
    text[n] = 0;
    return text;
}
