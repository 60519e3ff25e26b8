#include "read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined __SSE2__
#include <emmintrin.h>
#endif

#include "value.h"

static const char truncated[] = "the datum ends here, in the middle of the field";
static const char long_number[] = "a number of more than 10 bytes";
static const char no_branch[] = "the union has no branch of this index";
static const char bad_length[] = "a negative length";

static __attribute__((cold, noinline)) const uint8_t *bad(nj_reader *r, const nj_op *op, uint32_t i, const uint8_t *p,
                                                          const char *reason)
{
    r->reason = reason;
    r->field = r->plan->where[op->where + i];
    r->at = p;
    return NULL;
}

/* One zigzag number; NULL (and r->reason) when there is none. */
static inline const uint8_t *number(nj_reader *r, const uint8_t *p, int64_t *value)
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

static inline const uint8_t *skip_number(nj_reader *r, const uint8_t *p)
{
#if defined __SSE2__ /* without a loop, whose length no branch predictor guesses */
    if (r->end - p >= 16) {
        unsigned last = ~(unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p)) & 0x3ff;
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
static inline const uint8_t *length(nj_reader *r, const uint8_t *p, size_t *n)
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

/* --- series --------------------------------------------------------------------------------------------------- */

/* Room for `need` elements in every column of a group. */
static int reserve(nj_reader *r, uint32_t g, size_t need)
{
    const nj_plan_group *group = &r->plan->group[g];
    nj_batch *b = r->batch;
    uint32_t lead = group->column[0], cap = b->series_cap[lead];
    if (need <= cap) return 0;
    if (need > UINT32_MAX / 4) return -1;
    uint32_t more = cap ? cap : 32 * b->cap;
    while (more < need) more *= 2;
    size_t used = r->index[NJ_AT_GROUP + g];
    for (uint32_t k = 0; k < group->n_columns; k++) {
        uint32_t column = group->column[k];
        size_t size = nj_type_size(r->plan->layout->col[column].type);
        char *data = nj_arena_alloc(&b->arena, more * size);
        if (!data) return -1;
        if (used) memcpy(data, b->col[column].data, used * size);
        b->col[column].data = data;
        b->series_cap[column] = more;
    }
    for (uint32_t i = 0; i < r->plan->n_targets; i++)
        if (r->plan->target[i].at == NJ_AT_GROUP + g) r->base[i] = (char *)b->col[r->plan->target[i].column].data;
    return 0;
}

static void preset(nj_reader *r, uint32_t i)
{
    const nj_target *t = &r->plan->target[i];
    nj_put_null(t, r->base[i] + r->index[t->at] * t->size);
}

static const uint8_t *run(nj_reader *r, const nj_op *op, const uint8_t *p);

/* The items of one block of an array. */
static const uint8_t *items(nj_reader *r, const nj_op *op, const uint8_t *p, uint64_t n)
{
    const uint16_t *group = op->n ? &r->plan->array_group[2 * op->a] : NULL;
    for (uint32_t k = 0; k < op->n; k++)
        if (reserve(r, group[2 * k], r->index[NJ_AT_GROUP + group[2 * k]] + n + r->plan->group[group[2 * k]].n_single)) {
            r->reason = NULL;
            return NULL;
        }
    if (op[1].code == NJ_OP_END) return p; /* items without a byte: nothing to walk through */
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t t = op->size0; op->tag && t < op->size; t++) preset(r, t);
        p = run(r, op + 1, p);
        if (!p) return NULL;
        for (uint32_t k = 0; k < op->n; k++) r->index[NJ_AT_GROUP + group[2 * k]]++;
    }
    return p;
}

static const uint8_t *blocks(nj_reader *r, const nj_op *op, const uint8_t *p)
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
            if (bytes < 0 || bytes > r->end - p) return bad(r, op, 0, at, "a block of items with an impossible size");
        }
        total += (uint64_t)n;
        if (total > r->max_items) {
            snprintf(r->detail, sizeof r->detail, "announces %llu items, more than the limit of %u ([decode] max_items)",
                     (unsigned long long)total, r->max_items);
            return bad(r, op, 0, at, r->detail);
        }
        const uint8_t *from = p;
        bool wanted = op->code == NJ_OP_ARRAY && op->n;
        if (bytes >= 0 && !wanted) {
            p += bytes;
        } else if (op->code == NJ_OP_ARRAY) {
            p = items(r, op, p, (uint64_t)n);
        } else {
            for (int64_t i = 0; i < n && p; i++) {
                size_t size;
                if (!(p = length(r, p, &size))) return bad(r, op, 0, from, r->reason);
                p = run(r, op + 1, p + size);
            }
        }
        if (!p) return NULL;
        if (bytes >= 0 && p != from + bytes) return bad(r, op, 0, from, "a block of items that does not end where it says");
    }
    for (uint32_t k = 0; op->code == NJ_OP_ARRAY && k < op->n; k++) {
        const uint16_t *pair = &r->plan->array_group[2 * (op->a + k)];
        uint32_t i = pair[0] * NJ_MAP_PARTS + pair[1];
        r->count[i] = (uint32_t)r->index[NJ_AT_GROUP + pair[0]] - r->from[i];
    }
    return p;
}

/* --- values --------------------------------------------------------------------------------------------------- */

static inline void store_real(nj_reader *r, const nj_op *op, double v)
{
    for (uint32_t i = op->a; i < op->a + op->n; i++) {
        const nj_target *t = &r->plan->target[i];
        char *to = r->base[i] + r->index[t->at] * t->size;
        if (t->plain && t->type == NJ_F32)
            *(float *)to = (float)v;
        else if (t->plain && t->type == NJ_F64)
            *(double *)to = v;
        else
            nj_put_real(t, to, v, &r->batch->arena);
    }
}

static inline void store_whole(nj_reader *r, const nj_op *op, int64_t v)
{
    for (uint32_t i = op->a; i < op->a + op->n; i++) {
        const nj_target *t = &r->plan->target[i];
        char *to = r->base[i] + r->index[t->at] * t->size;
        if (t->plain && t->type == NJ_I64)
            *(int64_t *)to = v;
        else
            nj_put_whole(t, to, v, &r->batch->arena);
    }
}

static void store_text(nj_reader *r, const nj_op *op, const uint8_t *text, size_t n)
{
    for (uint32_t i = op->a; i < op->a + op->n; i++) {
        const nj_target *t = &r->plan->target[i];
        char *to = r->base[i] + r->index[t->at] * t->size;
        if (t->stamp)
            *(nj_stamp *)to = (nj_stamp){ .bytes = text, .size = (uint32_t)n, .state = n ? NJ_STAMP_PACKED : NJ_STAMP_NONE };
        else
            nj_put_text(t, to, (const char *)text, n, &r->batch->arena);
    }
}

static void store_null(nj_reader *r, const nj_op *op)
{
    for (uint32_t i = op->a; i < op->a + op->n; i++)
        if (!r->plan->target[i].stamp) preset(r, i);
}

static const uint8_t *read_number(nj_reader *r, const nj_op *op, const uint8_t *p)
{
    int64_t v;
    const uint8_t *next = number(r, p, &v);
    if (!next) return bad(r, op, 0, p, r->reason);
    if (op->wire == NJ_K_INT && (v < INT32_MIN || v > INT32_MAX)) return bad(r, op, 0, p, "an int that does not fit 32 bits");
    if (op->wire == NJ_K_ENUM) {
        const nj_plan *plan = r->plan;
        if (v < 0 || v >= (int64_t)plan->tree->node[op->size].n) return bad(r, op, 0, p, "the enum has no symbol of this index");
        const char *symbol = plan->tree->child[plan->tree->node[op->size].first + v].name;
        store_text(r, op, (const uint8_t *)symbol, strlen(symbol));
    } else {
        store_whole(r, op, v);
    }
    return next;
}

static const uint8_t *read_string(nj_reader *r, const nj_op *op, const uint8_t *p)
{
    size_t n;
    const uint8_t *text = length(r, p, &n);
    if (!text) return bad(r, op, 0, p, r->reason);
    if (n > UINT32_MAX) return bad(r, op, 0, p, "more than 4 GiB");
    store_text(r, op, text, n);
    return text + n;
}

static inline const uint8_t *read_value(nj_reader *r, const nj_op *op, const uint8_t *p)
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

/* --- skips ---------------------------------------------------------------------------------------------------- */

/* n unions of null and `size` bytes. The branch on the tag is meant to be one: predicted, it keeps the chain of
 * addresses short, where a conditional move would wait for every tag byte. */
static inline const uint8_t *skip_opt(nj_reader *r, const nj_op *op, const uint8_t *p, size_t size)
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

/* n numbers or strings, each in a union with null or not. Called with constants, so that each sort has its own loop. */
static inline __attribute__((always_inline)) const uint8_t *skip_many(nj_reader *r, const nj_op *op, const uint8_t *p, bool opt,
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

static const uint8_t *branch(nj_reader *r, const nj_op *op, const uint8_t *p)
{
    int64_t i;
    const uint8_t *from = p;
    if (!(p = number(r, p, &i))) return bad(r, op, 0, from, r->reason);
    if (i < 0 || i >= op->n) {
        snprintf(r->detail, sizeof r->detail, "the union has no branch %lld", (long long)i);
        return bad(r, op, 0, from, r->detail);
    }
    return run(r, r->plan->op + r->plan->jump[op->a + i], p);
}

static const uint8_t *call(nj_reader *r, const nj_op *op, const uint8_t *p)
{
    if (r->depth == r->max_depth) return bad(r, op, 0, p, "nested deeper than the limit ([decode] max_depth)");
    r->depth++;
    p = run(r, r->plan->op + op->a, p);
    r->depth--;
    return p;
}

/* A number of fixed size for one column, as it stands. Written out for each pair of types: these steps are most of
 * what a light curve costs. */
#define FIXED_STEP(wire_type, column_type, no_answer)                                                                            \
    do {                                                                                                                         \
        column_type *to = (column_type *)(void *)r->base[op->a] + r->index[op->at];                                              \
        size_t left = (size_t)(end - p);                                                                                         \
        if (op->tag != NJ_NO_TAG) {                                                                                              \
            if (left <= sizeof(wire_type)) return read_short(r, op, p, op + 1);                                                  \
            if (*p != op->tag) {                                                                                                 \
                if (*p != (op->tag ^ 2)) return bad(r, op, 0, p, no_branch);                                                     \
                *to = no_answer;                                                                                                 \
                p++;                                                                                                             \
                break;                                                                                                           \
            }                                                                                                                    \
            p++;                                                                                                                 \
        } else if (left < sizeof(wire_type)) {                                                                                   \
            return bad(r, op, 0, p, truncated);                                                                                  \
        }                                                                                                                        \
        wire_type v;                                                                                                             \
        memcpy(&v, p, sizeof v);                                                                                                 \
        p += sizeof v;                                                                                                           \
        *to = (column_type)v;                                                                                                    \
    } while (0)

/* Near the end of the datum a null may still fit where the number would not. */
static const uint8_t *read_short(nj_reader *r, const nj_op *op, const uint8_t *p, const nj_op *next)
{
    p = read_value(r, op, p);
    return p ? run(r, next, p) : NULL;
}

static const uint8_t *run(nj_reader *r, const nj_op *op, const uint8_t *p)
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

/* --- the end of a record ---------------------------------------------------------------------------------------- */

static void finish_picks(nj_reader *r)
{
    const nj_layout *layout = r->plan->layout;
    for (uint32_t i = 0; i < r->plan->n_picks; i++) {
        const nj_pick *pick = &r->plan->pick[i];
        uint32_t k = 0;
        while (k + 1 < pick->n && nj_is_null((nj_type)pick->type, &r->slot[pick->slot + k])) k++;
        size_t size = nj_type_size((nj_type)pick->type);
        char *data = pick->column == nj_plan_id_column(layout) ? (char *)r->batch->id : (char *)r->batch->col[pick->column].data;
        memcpy(data + r->batch->n * size, &r->slot[pick->slot + k], size);
    }
}

/* Elements of a part that lacks the column's field. */
static void fill_missing(nj_type type, char *to, size_t n, double value)
{
    if (isnan(value))
        nj_fill_null(type, to, n);
    else
        for (size_t i = 0; i < n; i++) nj_put_constant(type, to + i * nj_type_size(type), "", value);
}

/* Puts the array parts of a group into the map's order when the packet has another. `to` has room for all. */
static int reorder(nj_reader *r, uint32_t g, size_t start, size_t total)
{
    const nj_plan_group *group = &r->plan->group[g];
    for (uint32_t k = 0; k < group->n_columns; k++) {
        uint32_t column = group->column[k];
        size_t size = nj_type_size(r->plan->layout->col[column].type);
        char *data = (char *)r->batch->col[column].data, *copy = nj_arena_alloc(&r->batch->arena, (total + 1) * size),
             *to = data + start * size;
        if (!copy) return -1;
        memcpy(copy, to, (r->index[NJ_AT_GROUP + g] - start) * size);
        for (uint32_t part = 0; part < group->n_parts; part++) {
            uint32_t i = g * NJ_MAP_PARTS + part, slot = group->slot[part * r->plan->layout->n_packet + k];
            if (group->array[part]) {
                memcpy(to, copy + (r->from[i] - start) * size, r->count[i] * size);
                to += r->count[i] * size;
            } else {
                if (slot == NJ_NO_SLOT)
                    fill_missing(r->plan->layout->col[column].type, to, 1, group->missing[k]);
                else
                    memcpy(to, &r->slot[slot], size);
                to += size;
            }
        }
    }
    r->index[NJ_AT_GROUP + g] = start + total;
    return 0;
}

/* Appends the single elements, and sets what the schema lacks to "no answer". */
static int finish_group(nj_reader *r, uint32_t g)
{
    const nj_plan_group *group = &r->plan->group[g];
    const nj_layout *layout = r->plan->layout;
    uint32_t *off = (uint32_t *)r->batch->col[group->column[0]].off;
    size_t start = off[r->batch->n], *tail = &r->index[NJ_AT_GROUP + g], total = *tail - start + group->n_single;
    if (reserve(r, g, start + total)) return -1;
    for (uint32_t part = 0; part < group->n_parts; part++) {
        uint32_t i = g * NJ_MAP_PARTS + part;
        for (uint32_t k = 0; group->array[part] && r->count[i] && k < group->n_columns; k++) {
            if (group->slot[part * layout->n_packet + k] != NJ_NO_SLOT) continue;
            nj_type type = layout->col[group->column[k]].type;
            fill_missing(type, (char *)r->batch->col[group->column[k]].data + r->from[i] * nj_type_size(type), r->count[i],
                         group->missing[k]);
        }
    }
    if (!group->in_order) {
        if (reorder(r, g, start, total)) return -1;
    } else {
        for (uint32_t part = 0; part < group->n_parts; part++) {
            if (group->array[part]) continue;
            for (uint32_t k = 0; k < group->n_columns; k++) {
                uint32_t slot = group->slot[part * layout->n_packet + k];
                nj_type type = layout->col[group->column[k]].type;
                size_t size = nj_type_size(type);
                char *to = (char *)r->batch->col[group->column[k]].data + *tail * size;
                if (slot == NJ_NO_SLOT)
                    fill_missing(type, to, 1, group->missing[k]);
                else
                    memcpy(to, &r->slot[slot], size);
            }
            ++*tail;
        }
    }
    off[r->batch->n + 1] = (uint32_t)*tail;
    return 0;
}

static void finish_constants(nj_reader *r)
{
    nj_batch *b = r->batch;
    for (uint32_t i = 0; i < r->plan->n_constants; i++) {
        const nj_constant *c = &r->plan->constant[i];
        size_t from = b->n, to = b->n + 1, size = nj_type_size((nj_type)c->type);
        if (b->col[c->column].off) {
            from = b->col[c->column].off[b->n];
            to = b->col[c->column].off[b->n + 1];
        }
        for (; from < to; from++)
            nj_put_constant((nj_type)c->type, (char *)b->col[c->column].data + from * size, c->text, c->number);
    }
}

const uint8_t *nj_reader_record(nj_reader *r, const uint8_t *datum, const uint8_t *end)
{
    const nj_plan *plan = r->plan;
    nj_batch *b = r->batch;
    r->end = end;
    r->depth = 0;
    r->reason = r->field = NULL;
    r->at = datum;
    r->index[NJ_AT_ROW] = b->n;
    for (uint32_t g = 0; g < plan->n_groups; g++) r->index[NJ_AT_GROUP + g] = b->col[plan->group[g].column[0]].off[b->n];
    memset(r->count, 0, plan->n_groups * NJ_MAP_PARTS * sizeof *r->count);
    b->id[b->n] = NJ_NO_I64;
    for (uint32_t i = 0; i < plan->n_preset; i++) preset(r, plan->preset[i]);
    const uint8_t *p = run(r, plan->op, datum);
    if (p) {
        finish_picks(r);
        for (uint32_t g = 0; g < plan->n_groups && p; g++)
            if (finish_group(r, g)) p = NULL;
        if (p) finish_constants(r);
    }
    if (!p) nj_reader_undo(r);
    return p;
}

void nj_reader_undo(nj_reader *r)
{
    const nj_layout *layout = r->plan->layout;
    nj_batch *b = r->batch;
    for (uint32_t c = 0; c < layout->n_packet; c++) {
        nj_type type = layout->col[c].type;
        if (!b->col[c].off) nj_fill_null(type, (char *)b->col[c].data + b->n * nj_type_size(type), 1);
    }
    for (int s = 0; s < NJ_STAMPS; s++)
        if (b->stamp[s]) b->stamp[s][b->n] = (nj_stamp){ 0 };
}

static int room(nj_reader *r, const nj_plan *plan)
{
    if (plan->n_targets > r->cap_targets) {
        free(r->base);
        r->base = malloc(plan->n_targets * sizeof *r->base);
        r->cap_targets = r->base ? plan->n_targets : 0;
    }
    if (plan->n_slots > r->cap_slots) {
        free(r->slot);
        r->slot = malloc(plan->n_slots * sizeof *r->slot);
        r->cap_slots = r->slot ? plan->n_slots : 0;
    }
    if (plan->n_groups + 1 > r->cap_groups) {
        size_t n = plan->n_groups + 1;
        free(r->index);
        free(r->from);
        free(r->count);
        r->index = calloc(n + NJ_AT_GROUP, sizeof *r->index);
        r->from = calloc(n * NJ_MAP_PARTS, sizeof *r->from);
        r->count = calloc(n * NJ_MAP_PARTS, sizeof *r->count);
        r->cap_groups = r->index && r->from && r->count ? n : 0;
    }
    return plan->n_targets > r->cap_targets || plan->n_slots > r->cap_slots || r->cap_groups == 0 ? -1 : 0;
}

/* Columns of a group share the leader's offsets; no series is without data, however short. */
static int begin_series(nj_reader *r)
{
    for (uint32_t g = 0; g < r->plan->n_groups; g++) {
        const nj_plan_group *group = &r->plan->group[g];
        nj_col *lead = &r->batch->col[group->column[0]];
        if (lead->data) continue;
        r->index[NJ_AT_GROUP + g] = 0;
        if (reserve(r, g, 1)) return -1;
        for (uint32_t k = 1; k < group->n_columns; k++) r->batch->col[group->column[k]].off = lead->off;
    }
    return 0;
}

int nj_reader_begin(nj_reader *r, const nj_plan *plan, nj_batch *batch)
{
    if (room(r, plan)) return -1;
    r->plan = plan;
    r->batch = batch;
    if (begin_series(r)) return -1;
    r->index[NJ_AT_SLOT] = 0;
    for (uint32_t i = 0; i < plan->n_targets; i++) {
        const nj_target *t = &plan->target[i];
        if (t->stamp)
            r->base[i] = (char *)batch->stamp[t->stamp - 1];
        else if (t->at == NJ_AT_SLOT)
            r->base[i] = (char *)&r->slot[t->slot];
        else if (t->column == nj_plan_id_column(plan->layout))
            r->base[i] = (char *)batch->id;
        else
            r->base[i] = (char *)batch->col[t->column].data;
    }
    return 0;
}

void nj_reader_free(nj_reader *r)
{
    free(r->base);
    free(r->slot);
    free(r->index);
    free(r->from);
    free(r->count);
    *r = (nj_reader){ 0 };
}
