/* json_scan.c - a bad object must not take those behind it along, so they are cut apart before they are
 * read. */
#include "json_scan.h"

#include <string.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool nj_json_begins(const uint8_t *p, size_t size)
{
    const uint8_t *end = p + size;
    if (size >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3;
    while (p < end && is_blank(*p)) p++;
    if (p == end) return false;
    if (*p == '[') {
        for (p++; p < end && is_blank(*p); p++) continue;
        return p < end && (*p == '{' || *p == ']');
    }
    if (*p != '{') return false;
    for (p++; p < end && is_blank(*p); p++) continue;
    return p < end && (*p == '"' || *p == '}');
}

/* Behind the object that begins at p; NULL: it has no end. */
static const uint8_t *behind(const uint8_t *p, const uint8_t *end)
{
    int depth = 0;
    for (; p < end; p++) {
        if (*p == '"') {
            for (p++; p < end && *p != '"' && *p != '\n'; p++) /* a text has no line's end */
                if (*p == '\\') p++;
            if (p >= end || *p == '\n') return NULL;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && --depth == 0) {
            return p + 1;
        }
    }
    return NULL;
}

/* A line each: an object without an end must not take the next line along, when that is a whole object. */
static bool is_line(const uint8_t *p, const uint8_t *stop, const uint8_t *end)
{
    const uint8_t *line = memchr(p, '\n', (size_t)(end - p)), *next = line ? line + 1 : end;
    if (!line || (stop && stop <= line) || next >= end || *next != '{') return false;
    const uint8_t *after = memchr(next, '\n', (size_t)(end - next)),
                  *whole = behind(next, after ? after : end);
    return whole != NULL;
}

const uint8_t *nj_json_piece(const uint8_t **at, const uint8_t *end, size_t *size)
{
    const uint8_t *p = *at;
    if (end - p >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3;
    while (p < end && (is_blank(*p) || *p == ',' || *p == '[' || *p == ']')) p++;
    if (p == end) return NULL;
    const uint8_t *stop = *p == '{' ? behind(p, end) : NULL;
    if (*p == '{' && is_line(p, stop, end)) stop = NULL;
    if (!stop) stop = memchr(p, '\n', (size_t)(end - p));
    if (!stop) stop = end;
    *size = (size_t)(stop - p);
    *at = stop;
    return p;
}
