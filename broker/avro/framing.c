/* framing.c - a message key may be the schema of the packet, or anything else that is JSON. */
#include "framing.h"

#include <ctype.h>
#include <string.h>

static const uint8_t *skip_blanks(const uint8_t *p, const uint8_t *end)
{
    while (p < end && isspace(*p)) p++;
    return p;
}

/* Behind the text that begins at p with its quote. */
static const uint8_t *skip_text(const uint8_t *p, const uint8_t *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p + 1 : end;
}

bool nj_is_schema(const uint8_t *p, size_t size)
{
    const uint8_t *const end = p + size;
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            const uint8_t *text = p, *after = skip_blanks(skip_text(p, end), end);
            bool is_type = depth == 1 && after - text >= 6 && !memcmp(text, "\"type\"", 6) && after < end &&
                           *after == ':';
            if (is_type) {
                const uint8_t *value = skip_blanks(after + 1, end);
                return (end - value > 8 && !memcmp(value, "\"record\"", 8)) ||
                       (end - value > 7 && !memcmp(value, "\"error\"", 7));
            }
            p = after > text ? after : text + 1;
            continue;
        }
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        p++;
    }
    return false;
}
