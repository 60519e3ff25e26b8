/* read.c - the inner loop of decode: it runs the steps of a plan over the bytes of one datum. */
#include "read_steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined __SSE2__
#include <emmintrin.h>
#endif

#include "../base/log.h"
#include "../base/utf8.h"

static const char truncated[] = "the datum ends here, in the middle of the field";
static const char long_number[] = "a number of more than 10 bytes";
static const char no_branch[] = "the union has no branch of this index";
static const char bad_length[] = "a negative length";

static __attribute__((cold, noinline)) const uint8_t *bad(nj_datum_reader *r, const nj_op *op, uint32_t i,
                                                          const uint8_t *p, const char *reason)
{
    r->reason = reason;
    r->field = r->plan->where[op->where + i];
    r->at = p;
    return NULL;
}

/* One zigzag number; NULL (and r->reason) when there is none. */
static inline const uint8_t *number(nj_datum_reader *r, const uint8_t *p, int64_t *value)
{
    if (__builtin_expect(p < r->end && !(*p & 0x80), 1)) {
        *value = (*p >> 1) ^ -(int64_t)(*p & 1);
        return p + 1;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == r->end) {
            r->reason = truncated;
            return NULL;
        }
        uint8_t byte = *p++;
        v |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
        if (!(byte & 0x80)) {
            *value = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
            return p;
        }
    }
    r->reason = long_number;
    return NULL;
}

static inline const uint8_t *skip_number(nj_datum_reader *r, const uint8_t *p)
{
#if defined __SSE2__ /* without a loop, whose length no branch predictor guesses */
    if (r->end - p >= 16) {
        unsigned last =
            ~(unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p)) & 0x3ff;
        if (last) return p + __builtin_ctz(last) + 1;
        r->reason = long_number;
        return NULL;
    }
#endif
    const uint8_t *stop = r->end - p > 10 ? p + 10 : r->end;
    while (p < stop)
        if (!(*p++ & 0x80)) return p;
    r->reason = p == r->end ? truncated : long_number;
    return NULL;
}

/* The length in front of a string; NULL when the bytes behind it are not all there. */
static inline const uint8_t *length(nj_datum_reader *r, const uint8_t *p, size_t *n)
{
    int64_t value;
    p = number(r, p, &value);
    if (!p) return NULL;
    if (value < 0 || value > r->end - p) {
        if (value < 0)
            r->reason = bad_length;
        else {
            snprintf(r->detail, sizeof r->detail, "announces %lld bytes, %lld are left", (long long)value,
                     (long long)(r->end - p));
            r->reason = r->detail;
        }
        return NULL;
    }
    *n = (size_t)value;
    return p;
}

/* ---- series ---------------------------------------------------------------------------------- */

/* The items of one block of an array. */
static const uint8_t *items(nj_datum_reader *r, const nj_op *op, const uint8_t *p, uint64_t n)
{
    const uint16_t *group = op->n ? &r->plan->array_group[2 * op->a] : NULL;
    for (uint32_t k = 0; k < op->n; k++)
        if (nj_datum_reserve(r, group[2 * k],
                             r->index[NJ_AT_GROUP + group[2 * k]] + n +
                                 r->plan->group[group[2 * k]].n_single)) {
            r->reason = NULL;
            return NULL;
        }
    if (op[1].code == NJ_OP_END) return p; /* items without a byte: nothing to walk through */
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t t = op->size0; op->tag && t < op->size; t++) nj_datum_preset(r, t);
        p = nj_datum_run(r, op + 1, p);
        if (!p) return NULL;
        for (uint32_t k = 0; k < op->n; k++) r->index[NJ_AT_GROUP + group[2 * k]]++;
    }
    return p;
}

/* The steps for a map's value behind this key. */
static const nj_op *body_of(const nj_plan *plan, const nj_op *op, const uint8_t *key, size_t size)
{
    for (uint32_t k = op->a; k < op->a + op->n; k++)
        if (plan->map_key[k].size == size && !memcmp(plan->map_key[k].key, key, size))
            return plan->op + plan->map_key[k].body;
    return op + 1;
}

static const uint8_t *blocks(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    uint64_t total = 0;
    for (uint32_t k = 0; op->code == NJ_OP_ARRAY && k < op->n; k++) {
        const uint16_t *pair = &r->plan->array_group[2 * (op->a + k)];
        r->from[pair[0] * NJ_MAP_PARTS + pair[1]] = (uint32_t)r->index[NJ_AT_GROUP + pair[0]];
    }
    for (;;) {
        int64_t n, bytes = -1;
        const uint8_t *at = p;
        if (!(p = number(r, p, &n))) return bad(r, op, 0, at, r->reason);
        if (n == 0) break;
        if (n < 0) {
            n = n == INT64_MIN ? INT64_MAX : -n;
            if (!(p = number(r, p, &bytes))) return bad(r, op, 0, at, r->reason);
            if (bytes < 0 || bytes > r->end - p)
                return bad(r, op, 0, at, "a block of items with an impossible size");
        }
        total += (uint64_t)n;
        if (total > r->max_items) {
            snprintf(r->detail, sizeof r->detail,
                     "announces %llu items, more than the limit of %u ([decode] max_items)",
                     (unsigned long long)total, r->max_items);
            return bad(r, op, 0, at, r->detail);
        }
        const uint8_t *from = p;
        bool wanted = op->n != 0;
        if (bytes >= 0 && !wanted) {
            p += bytes;
        } else if (op->code == NJ_OP_ARRAY) {
            p = items(r, op, p, (uint64_t)n);
        } else {
            for (int64_t i = 0; i < n && p; i++) {
                size_t size;
                if (!(p = length(r, p, &size))) return bad(r, op, 0, from, r->reason);
                p = nj_datum_run(r, body_of(r->plan, op, p, size), p + size);
            }
        }
        if (!p) return NULL;
        if (bytes >= 0 && p != from + bytes)
            return bad(r, op, 0, from, "a block of items that does not end where it says");
    }
    for (uint32_t k = 0; op->code == NJ_OP_ARRAY && k < op->n; k++) {
        const uint16_t *pair = &r->plan->array_group[2 * (op->a + k)];
        uint32_t i = pair[0] * NJ_MAP_PARTS + pair[1];
        r->count[i] = (uint32_t)r->index[NJ_AT_GROUP + pair[0]] - r->from[i];
    }
    return p;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Once, and not for each of a night's alerts. */
static __attribute__((cold, noinline)) void report_number(const nj_datum_reader *r, const nj_op *op, double v)
{
    static nj_log_limit said;
    nj_log_limited(&said, 10, NJ_LOG_WARN,
                   "%s: the number %.17g is no whole number that its column can hold: no answer there",
                   r->plan->where[op->where], v);
}

static inline void store_real(nj_datum_reader *r, const nj_op *op, double v)
{
    bool stored = true;
    for (uint32_t i = op->a; i < op->a + op->n; i++) {
        const nj_target *t = &r->plan->target[i];
        char *to = r->base[i] + r->index[t->at] * t->size;
        if (t->plain && t->type == NJ_F32)
            *(float *)to = (float)v;
        else if (t->plain && t->type == NJ_F64)
            *(double *)to = v;
        else
            stored &= nj_put_real(t, to, v, op->wire == NJ_K_FLOAT, &r->batch->arena);
    }
    if (__builtin_expect(!stored, 0)) report_number(r, op, v);
}

static inline void store_whole(nj_datum_reader *r, const nj_op *op, int64_t v)
{
    bool stored = true;
    for (uint32_t i = op->a; i < op->a + op->n; i++) {
        const nj_target *t = &r->plan->target[i];
        char *to = r->base[i] + r->index[t->at] * t->size;
        if (t->plain && t->type == NJ_I64)
            *(int64_t *)to = v;
        else
            stored &= nj_put_whole(t, to, v, &r->batch->arena);
    }
    if (__builtin_expect(!stored, 0)) report_number(r, op, (double)v);
}

static void store_null(nj_datum_reader *r, const nj_op *op)
{
    for (uint32_t i = op->a; i < op->a + op->n; i++)
        if (!r->plan->target[i].stamp) nj_datum_preset(r, i);
}

/* A text where a column of numbers is. */
static __attribute__((cold, noinline)) void report_text(const nj_datum_reader *r, const nj_op *op,
                                                        const uint8_t *text, size_t n)
{
    static nj_log_limit said;
    nj_log_limited(&said, 10, NJ_LOG_WARN,
                   "%s: the text '%.*s' is no number that its column can hold; it has no answer there",
                   r->plan->where[op->where], (int)(n < 40 ? n : 40), (const char *)text);
}

/* Texts in memory end at their NUL. One inside is kept in another form, which outputs show as \x00;
 * NULL = no memory. */
static __attribute__((cold, noinline)) const uint8_t *keep_nuls(nj_datum_reader *r, const uint8_t *text,
                                                                size_t *n)
{
    uint8_t *copy = nj_arena_alloc(&r->batch->arena, 2 * *n), *to = copy;
    for (size_t i = 0; copy && i < *n; i++) {
        if (text[i])
            *to++ = text[i];
        else
            to = (uint8_t *)mempcpy(to, NJ_UTF8_NUL, 2);
    }
    *n = (size_t)(to - copy);
    return copy;
}

static void store_text(nj_datum_reader *r, const nj_op *op, const uint8_t *text, size_t n)
{
    const bool stamp = r->plan->target[op->a].stamp;
    if (!stamp && __builtin_expect(memchr(text, 0, n) != NULL, 0) && !(text = keep_nuls(r, text, &n))) {
        store_null(r, op);
        return;
    }
    bool stored = true;
    for (uint32_t i = op->a; i < op->a + op->n; i++) {
        const nj_target *t = &r->plan->target[i];
        char *to = r->base[i] + r->index[t->at] * t->size;
        if (t->stamp)
            *(nj_stamp *)to = (nj_stamp){ .bytes = text,
                                          .size = (uint32_t)n,
                                          .state = n ? NJ_STAMP_PACKED : NJ_STAMP_NONE };
        else
            stored &= nj_put_text(t, to, (const char *)text, n, &r->batch->arena);
    }
    if (__builtin_expect(!stored, 0)) report_text(r, op, text, n);
}

static const uint8_t *read_number(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    int64_t v;
    const uint8_t *next = number(r, p, &v);
    if (!next) return bad(r, op, 0, p, r->reason);
    if (op->wire == NJ_K_INT && (v < INT32_MIN || v > INT32_MAX))
        return bad(r, op, 0, p, "an int that does not fit 32 bits");
    if (op->wire == NJ_K_ENUM) {
        const nj_plan *plan = r->plan;
        if (v < 0 || v >= (int64_t)plan->tree->node[op->size].n)
            return bad(r, op, 0, p, "the enum has no symbol of this index");
        const char *symbol = plan->tree->child[plan->tree->node[op->size].first + v].name;
        if (plan->target[op->a].stamp) /* its bytes are not copied, and must outlive the schema */
            symbol = nj_arena_text(&r->batch->arena, symbol, strlen(symbol));
        if (symbol) store_text(r, op, (const uint8_t *)symbol, strlen(symbol));
    } else {
        store_whole(r, op, v);
    }
    return next;
}

static const uint8_t *read_string(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    size_t n;
    const uint8_t *text = length(r, p, &n);
    if (!text) return bad(r, op, 0, p, r->reason);
    if (n > UINT32_MAX) return bad(r, op, 0, p, "more than 4 GiB");
    store_text(r, op, text, n);
    return text + n;
}

static inline const uint8_t *read_value(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    size_t left = (size_t)(r->end - p);
    if (op->tag != NJ_NO_TAG) {
        if (!left) return bad(r, op, 0, p, truncated);
        uint8_t tag = *p++;
        left--;
        if (tag != op->tag) {
            if (tag != (op->tag ^ 2)) return bad(r, op, 0, p - 1, no_branch);
            store_null(r, op);
            return p;
        }
    }
    switch (op->wire) {
    case NJ_K_FLOAT: {
        float v;
        if (left < sizeof v) break;
        memcpy(&v, p, sizeof v);
        store_real(r, op, (double)v);
        return p + sizeof v;
    }
    case NJ_K_DOUBLE: {
        double v;
        if (left < sizeof v) break;
        memcpy(&v, p, sizeof v);
        store_real(r, op, v);
        return p + sizeof v;
    }
    case NJ_K_BOOLEAN:
        if (!left) break;
        if (*p > 1) return bad(r, op, 0, p, "a boolean that is neither 0 nor 1");
        store_whole(r, op, *p);
        return p + 1;
    case NJ_K_INT:
    case NJ_K_LONG:
    case NJ_K_ENUM: return read_number(r, op, p);
    case NJ_K_FIXED:
        if (left < op->size) break;
        store_text(r, op, p, op->size);
        return p + op->size;
    default: return read_string(r, op, p);
    }
    return bad(r, op, 0, p, truncated);
}

/* ---- skips ----------------------------------------------------------------------------------- */

/* n unions of null and `size` bytes. The branch on the tag is meant to be one: predicted, it keeps the chain
 * of addresses short, where a conditional move would wait for every tag byte. */
static inline const uint8_t *skip_opt(nj_datum_reader *r, const nj_op *op, const uint8_t *p, size_t size)
{
    uint8_t some = op->tag, none = op->tag ^ 2;
    const uint8_t *end = r->end;
    for (uint32_t i = 0; i < op->n; i++) {
        if (p == end) return bad(r, op, i, p, truncated);
        if (__builtin_expect_with_probability(*p == some, 1, 0.9)) {
            if ((size_t)(end - p) <= size) return bad(r, op, i, p, truncated);
            p += 1 + size;
        } else if (*p == none) {
            p++;
        } else {
            return bad(r, op, i, p, no_branch);
        }
    }
    return p;
}

/* n numbers or strings, each in a union with null or not.
 * Called with constants, so that each sort has its own loop. */
static inline __attribute__((always_inline)) const uint8_t *skip_many(nj_datum_reader *r, const nj_op *op,
                                                                      const uint8_t *p, bool opt,
                                                                      bool strings)
{
    uint32_t n = op->n;
    uint8_t some = op->tag;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *from = p;
        if (opt) {
            if (p == r->end) return bad(r, op, i, p, truncated);
            uint8_t tag = *p++;
            if (tag != some) {
                if (tag != (some ^ 2)) return bad(r, op, i, from, no_branch);
                continue;
            }
        }
        if (strings) {
            size_t size;
            if (!(p = length(r, p, &size))) return bad(r, op, i, from, r->reason);
            p += size;
        } else if (!(p = skip_number(r, p))) {
            return bad(r, op, i, from, r->reason);
        }
    }
    return p;
}

static const uint8_t *branch(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    int64_t i;
    const uint8_t *from = p;
    if (!(p = number(r, p, &i))) return bad(r, op, 0, from, r->reason);
    if (i < 0 || i >= op->n) {
        snprintf(r->detail, sizeof r->detail, "the union has no branch %lld", (long long)i);
        return bad(r, op, 0, from, r->detail);
    }
    return nj_datum_run(r, r->plan->op + r->plan->jump[op->a + i], p);
}

static const uint8_t *call(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    if (r->depth == r->max_depth)
        return bad(r, op, 0, p, "nested deeper than the limit ([decode] max_depth)");
    r->depth++;
    p = nj_datum_run(r, r->plan->op + op->a, p);
    r->depth--;
    return p;
}

/* A number of fixed size for one column, as it stands. Written out for each pair of types: these steps are
 * most of what a light curve costs. */
#define FIXED_STEP(wire_type, column_type, no_answer)                                                        \
    do {                                                                                                     \
        column_type *to = (column_type *)(void *)r->base[op->a] + r->index[op->at];                          \
        size_t left = (size_t)(end - p);                                                                     \
        if (op->tag != NJ_NO_TAG) {                                                                          \
            if (left <= sizeof(wire_type)) return read_short(r, op, p, op + 1);                              \
            if (*p != op->tag) {                                                                             \
                if (*p != (op->tag ^ 2)) return bad(r, op, 0, p, no_branch);                                 \
                *to = no_answer;                                                                             \
                p++;                                                                                         \
                break;                                                                                       \
            }                                                                                                \
            p++;                                                                                             \
        } else if (left < sizeof(wire_type)) {                                                               \
            return bad(r, op, 0, p, truncated);                                                              \
        }                                                                                                    \
        wire_type v;                                                                                         \
        memcpy(&v, p, sizeof v);                                                                             \
        p += sizeof v;                                                                                       \
        *to = (column_type)v;                                                                                \
    } while (0)

/* Near the end of the datum a null may still fit where the number would not. */
static const uint8_t *read_short(nj_datum_reader *r, const nj_op *op, const uint8_t *p, const nj_op *next)
{
    p = read_value(r, op, p);
    return p ? nj_datum_run(r, next, p) : NULL;
}

const uint8_t *nj_datum_run(nj_datum_reader *r, const nj_op *op, const uint8_t *p)
{
    const uint8_t *const end = r->end;
    for (;; op++) {
        switch ((nj_code)op->code) {
        case NJ_OP_END: return p;
        case NJ_OP_FIXED:
            if ((size_t)(end - p) < op->a) return bad(r, op, 0, p, truncated);
            p += op->a;
            continue;
        case NJ_OP_OPT_FIXED: p = op->a == 4 ? skip_opt(r, op, p, 4) : skip_opt(r, op, p, op->a); break;
        case NJ_OP_FLOAT_F32: FIXED_STEP(float, float, NJ_NO_F32); continue;
        case NJ_OP_FLOAT_F64: FIXED_STEP(float, double, NJ_NO_F64); continue;
        case NJ_OP_DOUBLE_F64: FIXED_STEP(double, double, NJ_NO_F64); continue;
        case NJ_OP_VARINT: p = skip_many(r, op, p, false, false); break;
        case NJ_OP_STRING: p = skip_many(r, op, p, false, true); break;
        case NJ_OP_OPT_VARINT: p = skip_many(r, op, p, true, false); break;
        case NJ_OP_OPT_STRING: p = skip_many(r, op, p, true, true); break;
        case NJ_OP_READ: p = read_value(r, op, p); break;
        case NJ_OP_UNION:
            if (!(p = branch(r, op, p))) return NULL;
            op = r->plan->op + op->b - 1;
            continue;
        case NJ_OP_ARRAY:
        case NJ_OP_MAP:
            if (!(p = blocks(r, op, p))) return NULL;
            op = r->plan->op + op->b - 1;
            continue;
        case NJ_OP_CALL: p = call(r, op, p); break;
        case NJ_OP_TOO_DEEP: return bad(r, op, 0, p, "nested deeper than the limit ([decode] max_depth)");
        }
        if (!p) return NULL;
    }
}
