/* base64.c - the two alphabets and the loose ends of base64, which brokers write in several ways. */
#include "base64.h"

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

size_t nj_base64_size(const char *text, size_t n)
{
    size_t digits = 0;
    for (size_t i = 0; i < n; i++) digits += digit_of(text[i]) >= 0;
    return digits / 4 * 3 + (digits % 4 ? digits % 4 - 1 : 0);
}

bool nj_base64_read(const char *text, size_t n, uint8_t *to)
{
    size_t digits = 0, pads = 0;
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < n; i++) {
        const int d = digit_of(text[i]);
        if (text[i] == '\n' || text[i] == '\r') continue;
        pads += text[i] == '=';
        if (d < 0 && text[i] != '=') return false;
        if (d < 0) continue;
        if (pads) return false;
        digits++;
        bits = bits << 6 | (uint32_t)d;
        held += 6;
        if (held >= 8) *to++ = (uint8_t)(bits >> (held -= 8));
    }
    if (digits % 4 == 1 || pads > 2 || (pads && (digits + pads) % 4)) return false;
    return !(bits & ((1u << held) - 1));
}
