/* notice.c - a notice of igwn.gwalert as it comes from the topic: its skymap stands in it as base64. */
#include "rgn.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Both alphabets of RFC 4648. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* NULL = no base64, or no memory. */
static char *decode(const char *text, size_t n, size_t *size)
{
    char *out = malloc(n / 4 * 3 + 4);
    uint32_t bits = 0, have = 0;
    *size = 0;
    while (n && (text[n - 1] == '=' || text[n - 1] == '\n')) n--;
    for (size_t k = 0; out && k < n; k++) {
        int v = value_of(text[k]);
        if (v < 0 && (text[k] == '\n' || text[k] == '\r')) continue;
        if (v < 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[(*size)++] = (char)(bits >> have & 255);
    }
    return out;
}

static int take_map(const rgn_text *t, const json_t *map, double level, rgn_region *region)
{
    rgn_text inner = { .path = t->path, .why = t->why, .why_size = t->why_size };
    inner.data = decode(json_string_value(map), json_string_length(map), &inner.n);
    if (!inner.data) return rgn_refuse(t, "event.skymap is no base64");
    int rc = inner.n > 9 && !memcmp(inner.data, "SIMPLE  =", 9)
                 ? rgn_read_fits(&inner, level, region)
                 : rgn_refuse(t, "event.skymap is no FITS file");
    if (!rc && !region->is_map) rc = rgn_refuse(t, "event.skymap has no PROBDENSITY");
    free(inner.data);
    return rc;
}

int rgn_read_notice(const rgn_text *t, double level, rgn_region *region)
{
    json_error_t error;
    json_t *notice = json_loadb(t->data, t->n, JSON_REJECT_DUPLICATES, &error);
    const json_t *event = json_object_get(notice, "event"), *map = json_object_get(event, "skymap");
    const char *kind = json_string_value(json_object_get(notice, "alert_type"));
    int rc = 0;
    if (!notice)
        rc = rgn_refuse(t, "line %d: %s", error.line, error.text);
    else if (!kind)
        rc = rgn_refuse(t, "is neither a MOC (\"ORDER\": [...]) nor a notice (alert_type)");
    else if (json_is_string(map) && strcmp(kind, "RETRACTION"))
        rc = take_map(t, map, level, region);
    else if (map && !json_is_null(map) && !json_is_string(map))
        rc = rgn_refuse(t, "event.skymap is no text");
    region->is_map = 1; /* taken back, or without a map: holds nothing, until an update brings one */
    json_decref(notice);
    return rc;
}
