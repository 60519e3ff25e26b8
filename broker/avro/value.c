/* value.c - a survey's values become canonical ones (nulls, scale, words, number type) in one place for all
 * columns. */
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/buffer.h"
#include "../batch/rows.h"

static void put_null(nj_type type, void *to)
{
    switch (type) {
    case NJ_U8: *(uint8_t *)to = NJ_NO_U8; break;
    case NJ_I32: *(int32_t *)to = NJ_NO_I32; break;
    case NJ_I64: *(int64_t *)to = NJ_NO_I64; break;
    case NJ_F32: *(float *)to = NJ_NO_F32; break;
    case NJ_F64: *(double *)to = NJ_NO_F64; break;
    case NJ_STR: *(const char **)to = NJ_NO_STR; break;
    }
}

static void put_f64(nj_type type, void *to, double v)
{
    double whole = trunc(v);
    switch (type) {
    case NJ_U8:
        if (whole >= 0 && whole < NJ_NO_U8)
            *(uint8_t *)to = (uint8_t)whole;
        else
            put_null(type, to);
        break;
    case NJ_I32:
        if (whole > INT32_MIN && whole <= INT32_MAX)
            *(int32_t *)to = (int32_t)whole;
        else
            put_null(type, to);
        break;
    case NJ_I64: /* 2^63 itself does not fit, and is the nearest double to INT64_MAX */
        if (whole > -0x1p63 && whole < 0x1p63)
            *(int64_t *)to = (int64_t)whole;
        else
            put_null(type, to);
        break;
    case NJ_F32: *(float *)to = (float)v; break;
    case NJ_F64: *(double *)to = v; break;
    case NJ_STR: put_null(type, to); break;
    }
}

/* Is the number one of the type's, without a loss? A double beyond 2^53 stands for several whole numbers. */
static bool is_of(nj_type type, double v)
{
    switch (type) {
    case NJ_U8: return v == trunc(v) && v >= 0 && v < NJ_NO_U8;
    case NJ_I32: return v == trunc(v) && v > INT32_MIN && v <= INT32_MAX;
    case NJ_I64: return v == trunc(v) && fabs(v) <= 0x1p53;
    default: return true;
    }
}

/* False: it does not fit, and is no answer. */
static bool put_i64(nj_type type, void *to, int64_t v)
{
    switch (type) {
    case NJ_U8:
        if (v >= 0 && v < NJ_NO_U8)
            *(uint8_t *)to = (uint8_t)v;
        else
            return put_null(type, to), false;
        break;
    case NJ_I32:
        if (v > INT32_MIN && v <= INT32_MAX)
            *(int32_t *)to = (int32_t)v;
        else
            return put_null(type, to), false;
        break;
    case NJ_I64: *(int64_t *)to = v; break;
    case NJ_F32: *(float *)to = (float)v; break;
    case NJ_F64: *(double *)to = (double)v; break;
    case NJ_STR: put_null(type, to); break;
    }
    return true;
}

/* Behind its end a text has a byte that says what the packet had:
 * columns of texts and numbers need to know it. */
static void put_copy(const nj_target *t, void *to, const char *text, size_t n, nj_text_was was,
                     nj_arena *arena)
{
    size_t front = t->prefix ? strlen(t->prefix) : 0;
    char *copy = nj_arena_alloc(arena, front + n + 2);
    if (copy) {
        if (front) memcpy(copy, t->prefix, front);
        memcpy(copy + front, text, n);
        copy[front + n] = 0;
        copy[front + n + 1] = (char)was;
    }
    *(const char **)to = copy;
}

static void put_word(const nj_target *t, void *to, const nj_word *word)
{
    if (t->type == NJ_STR)
        *(const char **)to = word->text;
    else
        put_f64((nj_type)t->type, to, word->number * t->scale + t->offset);
}

/* Translation, null value and question; false: the value continues as it is. */
static bool changed(const nj_target *t, void *to, double v)
{
    const nj_change *c = t->change;
    if (!c) return false;
    if (c->has_null && v == c->null_value) {
        nj_put_null(t, to);
        return true;
    }
    if (c->n_words) {
        for (uint32_t i = 0; i < c->n_words; i++) {
            if (c->word[i].from_number != v) continue;
            put_word(t, to, &c->word[i]);
            return true;
        }
        nj_put_null(t, to);
        return true;
    }
    if (!c->asks) return false;
    if (isnan(v))
        nj_put_null(t, to);
    else
        put_f64((nj_type)t->type, to, !c->asks_sign || v > 0 ? c->if_present : c->if_absent);
    return true;
}

bool nj_put_real(const nj_target *t, void *to, double v, bool single, nj_arena *arena)
{
    const bool scaled = t->scale != 1 || t->offset != 0;
    if (changed(t, to, v)) return true;
    if (scaled) single = false;
    if (scaled) v = v * t->scale + t->offset;
    if (t->type != NJ_STR) {
        if (!scaled && !isnan(v) && !is_of((nj_type)t->type, v)) return nj_put_null(t, to), false;
        put_f64((nj_type)t->type, to, v);
        return true;
    }
    char text[32];
    if (isnan(v))
        put_null(NJ_STR, to);
    else
        put_copy(t, to, text, (size_t)(single ? nj_shortest_f32(text, (float)v) : nj_shortest_f64(text, v)),
                 NJ_TEXT_WAS_NUMBER, arena);
    return true;
}

bool nj_put_whole(const nj_target *t, void *to, int64_t v, nj_arena *arena)
{
    if (changed(t, to, (double)v)) return true;
    if (t->scale != 1 || t->offset != 0) return nj_put_real(t, to, (double)v, false, arena);
    if (t->type != NJ_STR) return put_i64((nj_type)t->type, to, v);
    char text[24], *first = text + sizeof text;
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do *--first = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0) *--first = '-';
    put_copy(t, to, first, (size_t)(text + sizeof text - first), NJ_TEXT_WAS_NUMBER, arena);
    return true;
}

/* The same text, or, when the word ends with *, one that starts with it. */
static bool is_word(const char *from, const char *text, size_t n)
{
    size_t m = strlen(from);
    if (m && from[m - 1] == '*') return n >= m - 1 && !memcmp(from, text, m - 1);
    return m == n && !memcmp(from, text, n);
}

/* FNV-1a, its top bit dropped: never negative, the same on every machine. */
static int64_t hash_of(const char *text, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return (int64_t)(h >> 1);
}

/* A number that a survey publishes as text, such as an id of 19 digits. False: it is none. */
static bool put_number(const nj_target *t, void *to, const char *text, size_t n, nj_arena *arena)
{
    char copy[48], *end;
    while (n && isspace((unsigned char)*text)) text++, n--;
    while (n && isspace((unsigned char)text[n - 1])) n--;
    if (n == 0) return nj_put_null(t, to), true;
    if (n >= sizeof copy) return nj_put_null(t, to), false;
    memcpy(copy, text, n);
    copy[n] = 0;
    errno = 0;
    long long whole = strtoll(copy, &end, 10);
    if (!*end && !errno && strlen(copy) == n) return nj_put_whole(t, to, whole, arena);
    double real = strtod(copy, &end);
    bool plain = strspn(copy, "0123456789+-.eE") == n || !strcasecmp(copy, "nan") ||
                 !strcasecmp(copy + (*copy == '-'), "inf") || !strcasecmp(copy + (*copy == '-'), "infinity");
    if (!plain || *end) return nj_put_null(t, to), false;
    return nj_put_real(t, to, real, false, arena);
}

/* "2026-01-29T11:40:14.5Z", "2026-01-29 11:40:14 UTC", "2026-01-29T11:40:14+01:00" as Julian Date.
 * False: it is none of them. */
static bool iso_of(const char *text, size_t n, double *jd)
{
    char copy[48], *end;
    int year, month, day, hour = 0, minute = 0, at = 0;
    double second = 0, minutes = 0;
    if (n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (sscanf(copy, "%4d-%2d-%2d%n", &year, &month, &day, &at) != 3 || at != 10) return false;
    if (copy[at] == 'T' || copy[at] == ' ') {
        int more = 0;
        if (sscanf(copy + at + 1, "%2d:%2d%n", &hour, &minute, &more) != 2) return false;
        at += 1 + more;
        if (copy[at] == ':') {
            second = strtod(copy + at + 1, &end);
            if (end == copy + at + 1) return false;
            at = (int)(end - copy);
        }
    }
    int h, m, zone = 0;
    const char *rest = copy + at + (copy[at] == ' ');
    if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d%n", &h, &m, &zone) == 2 &&
        !rest[1 + zone])
        minutes = (*rest == '-' ? 1 : -1) * (60 * h + m);
    else if (*rest && strcmp(rest, "Z") && strcmp(rest, "UTC"))
        return false;
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (month < 1 || month > 12 || day < 1 || hour < 0 || hour > 24 || minute < 0 || minute > 59)
        return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > days[month - 1] + (leap && month == 2)) return false;
    if (!(second >= 0 && second < 61) || (hour == 24 && (minute || second > 0))) return false;
    /* Fliegel & Van Flandern 1968, Comm. ACM 11, 657, doi:10.1145/364096.364097 */
    const int a = (month - 14) / 12;
    const long number = day - 32075L + 1461L * (year + 4800 + a) / 4 + 367L * (month - 2 - a * 12) / 12 -
                        3L * ((year + 4900 + a) / 100) / 4;
    *jd = (double)number - 0.5 + (hour * 3600 + (minute + minutes) * 60 + second) / 86400;
    return true;
}

bool nj_put_text(const nj_target *t, void *to, const char *text, size_t n, nj_arena *arena)
{
    const nj_change *c = t->change;
    if (c && c->n_words) {
        for (uint32_t i = 0; i < c->n_words; i++) {
            if (!is_word(c->word[i].from, text, n)) continue;
            put_word(t, to, &c->word[i]);
            return true;
        }
        nj_put_null(t, to);
    } else if (c && c->iso) {
        double jd;
        if (!n) return nj_put_null(t, to), true;
        if (!iso_of(text, n, &jd)) return nj_put_null(t, to), false;
        put_f64((nj_type)t->type, to, jd * t->scale + t->offset);
    } else if (c && c->hash) {
        put_i64((nj_type)t->type, to, hash_of(text, n));
    } else if (c && c->asks && !c->asks_sign) {
        put_f64((nj_type)t->type, to, c->if_present);
    } else if (t->type == NJ_STR) {
        put_copy(t, to, text, n, NJ_TEXT_WAS_TEXT, arena);
    } else {
        return put_number(t, to, text, n, arena);
    }
    return true;
}

void nj_put_null(const nj_target *t, void *to)
{
    const nj_change *c = t->change;
    if (c && c->asks && !c->asks_sign)
        put_f64((nj_type)t->type, to, c->if_absent);
    else
        put_null((nj_type)t->type, to);
}

void nj_put_constant(nj_type type, void *to, const char *text, double number)
{
    if (type == NJ_STR)
        *(const char **)to = text;
    else
        put_f64(type, to, number);
}

bool nj_is_null(nj_type type, const void *value)
{
    switch (type) {
    case NJ_U8: return *(const uint8_t *)value == NJ_NO_U8;
    case NJ_I32: return *(const int32_t *)value == NJ_NO_I32;
    case NJ_I64: return *(const int64_t *)value == NJ_NO_I64;
    case NJ_F32: return isnan(*(const float *)value);
    case NJ_F64: return isnan(*(const double *)value);
    case NJ_STR: return *(const char *const *)value == NULL;
    }
    return true;
}
