/* log_json.c - programs read logs, too: one JSON object per message. A crash is reported by a signal handler,
 * so nothing here allocates, locks or calls stdio. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "utf8.h"

typedef struct line {
    char *text;
    size_t n, size;
} line;

static void put(line *l, const char *text)
{
    while (*text && l->n < l->size) l->text[l->n++] = *text++;
}

static void put_number(line *l, uint64_t value, int digits)
{
    char text[24];
    size_t n = sizeof text;
    text[--n] = '\0';
    do text[--n] = (char)('0' + value % 10);
    while ((value /= 10) || (int)(sizeof text - 1 - n) < digits);
    put(l, text + n);
}

/* Days since 1970 as a date; years that end in March have their odd day last. */
static void put_date(line *l, int64_t days)
{
    const int64_t d = days + 719468, era = d / 146097, day = d % 146097;
    const int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    const int64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    put_number(l, (uint64_t)(year + era * 400 + (month >= 10)), 4);
    put(l, "-");
    put_number(l, (uint64_t)(month < 10 ? month + 3 : month - 9), 2);
    put(l, "-");
    put_number(l, (uint64_t)(of_year - (153 * month + 2) / 5 + 1), 2);
}

static void put_time(line *l)
{
    struct timespec now = { 0 };
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t s = now.tv_sec;
    put_date(l, s / 86400);
    put(l, "T");
    put_number(l, (uint64_t)(s / 3600 % 24), 2);
    put(l, ":");
    put_number(l, (uint64_t)(s / 60 % 60), 2);
    put(l, ":");
    put_number(l, (uint64_t)(s % 60), 2);
    put(l, ".");
    put_number(l, (uint64_t)(now.tv_nsec / 1000000), 3);
    put(l, "Z");
}

/* One character; 0 of them at the end. What is no UTF-8 is \xNN, as everywhere. */
static size_t put_character(line *l, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char c = (unsigned char)*text;
    const size_t n = nj_utf8_length(text);
    char few[8] = "";
    if (c == '"' || c == '\\' || c == '\n' || c == '\t') {
        few[0] = '\\';
        few[1] = (char)(c == '\n' ? 'n' : c == '\t' ? 't' : c);
    } else if (c < 0x20 || !n) {
        memcpy(few, c < 0x20 ? "\\u00" : "\\\\x", 5);
        size_t at = strlen(few);
        few[at] = hex[c >> 4];
        few[at + 1] = hex[c & 15];
    } else {
        memcpy(few, text, n);
    }
    put(l, few);
    return few[0] == '\\' ? 1 : n;
}

/* What does not fit is cut; `room` bytes stay free behind it. */
static void put_text(line *l, const char *text, size_t room)
{
    put(l, "\"");
    while (*text && l->n + 8 + room < l->size) text += put_character(l, text);
    put(l, "\"");
}

size_t nj_log_json(char *to, size_t size, int level, const char *room, const char *site, const char *text,
                   const char *more)
{
    line l = { to, 0, size };
    put(&l, "{\"time\": \"");
    put_time(&l);
    put(&l, "\", \"level\": \"");
    put(&l, nj_level_name[level]);
    put(&l, "\", \"room\": \"");
    put(&l, room);
    put(&l, "\", \"text\": ");
    put_text(&l, text, 320);
    put(&l, ", \"fields\": {\"pid\": ");
    put_number(&l, (uint64_t)getpid(), 1);
    if (site[0]) put(&l, ", \"site\": "), put_text(&l, site, 160);
    if (more) put(&l, ", "), put(&l, more);
    put(&l, "}}\n");
    return l.n;
}
