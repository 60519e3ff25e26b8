/* utf8.c - packets may hold text that is not UTF-8, which many readers reject; such bytes are escaped as
 * \xNN. */
#include "utf8.h"

#include <string.h>

size_t nj_utf8_length(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) return 0;
    if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))) return 0;
    return n;
}

/* The first byte that is no UTF-8, or the end. */
static const char *good_part(const char *p)
{
    while (*p) {
        size_t n = (unsigned char)*p < 0x80 ? 1 : nj_utf8_length(p); /* mostly ASCII, without a call */
        if (!n) break;
        p += n;
    }
    return p;
}

bool nj_utf8_is(const char *text)
{
    return !*good_part(text);
}

size_t nj_utf8_escape_one(nj_buffer *out, const char *p)
{
    const bool nul = !strncmp(p, NJ_UTF8_NUL, 2);
    nj_buffer_printf(out, "\\x%02x", nul ? 0 : (unsigned char)*p);
    return nul ? 2 : 1;
}

void nj_utf8_show(nj_buffer *out, const char *text)
{
    for (size_t n; *text; text += n) {
        const unsigned char c = (unsigned char)*text;
        n = nj_utf8_length(text);
        if (!n)
            n = nj_utf8_escape_one(out, text);
        else if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[1] < 0xa0))
            nj_buffer_printf(out, "\\x%02x", n == 1 ? c : (unsigned char)text[1]);
        else
            nj_buffer_add(out, text, n);
    }
}

void nj_utf8_escape(nj_buffer *out, const char *text)
{
    for (const char *end; *text;) {
        end = good_part(text);
        nj_buffer_add(out, text, (size_t)(end - text));
        text = end;
        if (*text) text += nj_utf8_escape_one(out, text);
    }
}
