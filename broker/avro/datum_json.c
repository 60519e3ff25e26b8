/* datum_json.c - a whole datum as JSON by its writer schema: every field as it is there, for people and
 * for `inspect --json`, which columns cannot show (maps, lists in lists, records that hold themselves). */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../base/utf8.h"
#include "decoder.h"

enum { NESTING = 200, HEX_MOST = 64 };

typedef struct walk {
    const nj_tree *tree;
    const uint8_t *p, *end;
    nj_buffer *out, text; /* text: the present one, ended and without a NUL inside */
    uint32_t depth;
} walk;

static int value(walk *w, uint32_t at);

static int number(walk *w, int64_t *v)
{
    uint64_t u = 0;
    for (unsigned shift = 0; shift < 70 && w->p < w->end; shift += 7) {
        uint8_t byte = *w->p++;
        u |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
        if (byte & 0x80) continue;
        *v = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
        return 0;
    }
    return -1;
}

static int sized(walk *w, const uint8_t **bytes, size_t *n)
{
    int64_t v;
    if (number(w, &v) || v < 0 || v > w->end - w->p) return -1;
    *bytes = w->p;
    *n = (size_t)v;
    w->p += v;
    return 0;
}

static int text(walk *w)
{
    const uint8_t *bytes;
    size_t n;
    if (sized(w, &bytes, &n)) return -1;
    w->text.n = 0;
    nj_buffer_add(&w->text, "", 0);
    for (const uint8_t *nul; (nul = n ? memchr(bytes, 0, n) : NULL);) {
        nj_buffer_add(&w->text, bytes, (size_t)(nul - bytes));
        nj_buffer_text(&w->text, NJ_UTF8_NUL);
        n -= (size_t)(nul + 1 - bytes);
        bytes = nul + 1;
    }
    nj_buffer_add(&w->text, bytes, n);
    if (w->text.failed) return -1;
    nj_json_text(w->out, w->text.data);
    return 0;
}

/* JSON has no bytes: how many they are, and which when they are few. */
static void octets(walk *w, const uint8_t *bytes, size_t n)
{
    nj_buffer_printf(w->out, "{\"bytes\":%zu", n);
    if (n && n <= HEX_MOST) nj_buffer_text(w->out, ",\"hex\":\"");
    for (size_t i = 0; n <= HEX_MOST && i < n; i++) nj_buffer_printf(w->out, "%02x", bytes[i]);
    nj_buffer_text(w->out, n && n <= HEX_MOST ? "\"}" : "}");
}

/* A name that stands twice in a record means the last one, as readers that build dictionaries see it. */
static bool comes_again(const nj_tree *tree, const nj_node *record, uint32_t i)
{
    for (uint32_t k = i + 1; k < record->n; k++)
        if (!strcmp(tree->child[record->first + k].name, tree->child[record->first + i].name)) return true;
    return false;
}

static int record(walk *w, const nj_node *node)
{
    const char *comma = "";
    nj_buffer_text(w->out, "{");
    for (uint32_t i = 0; i < node->n; i++) {
        const nj_child *field = &w->tree->child[node->first + i];
        const size_t before = w->out->n;
        nj_buffer_text(w->out, comma);
        nj_json_text(w->out, field->name);
        nj_buffer_text(w->out, ":");
        if (value(w, field->node)) return -1;
        if (comes_again(w->tree, node, i))
            w->out->n = before;
        else
            comma = ",";
    }
    nj_buffer_text(w->out, "}");
    return 0;
}

static int blocks(walk *w, const nj_node *node)
{
    const bool map = node->kind == NJ_K_MAP;
    const uint32_t item = w->tree->child[node->first].node;
    const char *comma = "";
    int64_t n, bytes;
    nj_buffer_text(w->out, map ? "{" : "[");
    for (;;) {
        if (number(w, &n)) return -1;
        if (!n) break;
        if (n < 0 && (n == INT64_MIN || number(w, &bytes))) return -1;
        for (int64_t i = n < 0 ? -n : n; i > 0; i--, comma = ",") {
            const uint8_t *before = w->p;
            nj_buffer_text(w->out, comma);
            if (map && text(w)) return -1;
            if (map) nj_buffer_text(w->out, ":");
            if (value(w, item) || w->out->failed) return -1;
            if (w->p == before && i > 1000000) return -1; /* items without a byte cost a sender nothing */
        }
    }
    nj_buffer_text(w->out, map ? "}" : "]");
    return 0;
}

static int plain(walk *w, const nj_node *node)
{
    const uint8_t *bytes;
    size_t n;
    int64_t v;
    double d;
    float f;
    switch (node->kind) {
    case NJ_K_NULL: nj_buffer_text(w->out, "null"); return 0;
    case NJ_K_BOOLEAN:
        if (w->p == w->end) return -1;
        nj_buffer_text(w->out, *w->p++ ? "true" : "false");
        return 0;
    case NJ_K_FLOAT:
        if ((size_t)(w->end - w->p) < sizeof f) return -1;
        memcpy(&f, w->p, sizeof f);
        w->p += sizeof f;
        nj_json_value_f32(w->out, f);
        return 0;
    case NJ_K_DOUBLE:
        if ((size_t)(w->end - w->p) < sizeof d) return -1;
        memcpy(&d, w->p, sizeof d);
        w->p += sizeof d;
        nj_json_value_f64(w->out, d);
        return 0;
    case NJ_K_BYTES:
        if (sized(w, &bytes, &n)) return -1;
        octets(w, bytes, n);
        return 0;
    case NJ_K_STRING: return text(w);
    case NJ_K_FIXED:
        if ((size_t)(w->end - w->p) < node->size) return -1;
        octets(w, w->p, node->size);
        w->p += node->size;
        return 0;
    default: /* int, long, enum */
        if (number(w, &v)) return -1;
        if (node->kind != NJ_K_ENUM)
            nj_json_i64(w->out, v);
        else if (v < 0 || v >= node->n)
            return -1;
        else
            nj_json_text(w->out, w->tree->child[node->first + v].name);
        return 0;
    }
}

static int value(walk *w, uint32_t at)
{
    const nj_node *node = &w->tree->node[at];
    int64_t branch;
    int rc = -1;
    if (++w->depth > NESTING || w->out->failed) return -1;
    if (node->kind == NJ_K_RECORD)
        rc = record(w, node);
    else if (node->kind == NJ_K_ARRAY || node->kind == NJ_K_MAP)
        rc = blocks(w, node);
    else if (node->kind != NJ_K_UNION)
        rc = plain(w, node);
    else if (!number(w, &branch) && branch >= 0 && branch < node->n)
        rc = value(w, w->tree->child[node->first + branch].node);
    w->depth--;
    return rc;
}

int nj_datum_json(const nj_schema *schema, const uint8_t *datum, size_t size, nj_buffer *out)
{
    walk w = { .tree = &schema->tree, .p = datum, .end = datum + size, .out = out };
    int rc = value(&w, schema->tree.root);
    nj_buffer_free(&w.text);
    return rc || out->failed ? -1 : 0;
}
