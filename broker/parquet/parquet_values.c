/* parquet_values.c - a Parquet page has one of several encodings; they are decoded here, apart from the walk
 * over the file. */
#include "parquet_values.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"

size_t nj_page_width(nj_parquet_type type)
{
    static const uint8_t width[] = {
        [NJ_PARQUET_BOOL] = 1, [NJ_PARQUET_I32] = 4, [NJ_PARQUET_I64] = 8,
        [NJ_PARQUET_F32] = 4,  [NJ_PARQUET_F64] = 8, [NJ_PARQUET_BYTES] = sizeof(nj_parquet_bytes)
    };
    return width[type];
}

static size_t width_of(int physical)
{
    static const uint8_t width[] = { 1, 4, 8, 8, 4, 8, sizeof(nj_parquet_bytes), sizeof(nj_parquet_bytes) };
    return width[physical];
}

void nj_page_values_free(nj_page_values *v)
{
    free(v->value);
    free(v->text);
    free(v->owned);
    memset(v, 0, sizeof *v);
}

static int room(nj_page_values *v, size_t width, uint32_t n)
{
    if (n <= v->cap) return 0;
    uint8_t *value = realloc(v->value, width * n + 16);
    if (!value) return -1;
    v->value = value;
    v->cap = n;
    return 0;
}

/* ---- the RLE / bit-packed hybrid ---- */

typedef struct hybrid {
    const uint8_t *p, *end;
    uint32_t bits, left, repeated; /* values left in this run; is it a repeated value? */
    uint32_t value;
    uint64_t at_bit; /* of a packed run, from p of its start */
    const uint8_t *packed;
} hybrid;

static int next_run(hybrid *h)
{
    uint64_t head = 0;
    for (int shift = 0;; shift += 7) {
        if (h->p == h->end || shift > 35) return -1;
        uint8_t b = *h->p++;
        head |= (uint64_t)(b & 127) << shift;
        if (b < 128) break;
    }
    uint64_t n = head >> 1;
    if (head & 1) { /* n groups of 8 */
        uint64_t bytes = n * h->bits;
        if (n > UINT32_MAX / 8) return -1;
        if (bytes > (uint64_t)(h->end - h->p)) { /* the last group may be cut short by its writer */
            if (!h->bits) return -1;
            bytes = (uint64_t)(h->end - h->p);
            n = bytes * 8 / h->bits;
            h->left = (uint32_t)n;
        } else {
            h->left = (uint32_t)n * 8;
        }
        h->packed = h->p;
        h->at_bit = 0;
        h->repeated = 0;
        h->p += bytes;
    } else {
        uint32_t bytes = (h->bits + 7) / 8;
        if (n > UINT32_MAX || bytes > (uint64_t)(h->end - h->p)) return -1;
        h->value = 0;
        memcpy(&h->value, h->p, bytes);
        h->p += bytes;
        h->left = (uint32_t)n;
        h->repeated = 1;
    }
    return 0;
}

/* Takes up to n values of the present run; how many, or -1. */
static int64_t take(hybrid *h, uint32_t *to, uint32_t n)
{
    int empty = 0;
    while (!h->left)
        if (next_run(h) || ++empty > 1000) return -1;
    if (n > h->left) n = h->left;
    h->left -= n;
    if (h->repeated) {
        for (uint32_t i = 0; i < n; i++) to[i] = h->value;
        return n;
    }
    uint64_t mask = (UINT64_C(1) << h->bits) - 1;
    for (uint32_t i = 0; i < n; i++, h->at_bit += h->bits) {
        uint64_t word = 0;
        const uint8_t *p = h->packed + (h->at_bit >> 3);
        if (h->end - p >= 8)
            memcpy(&word, p, 8);
        else if (h->end > p)
            memcpy(&word, p, (size_t)(h->end - p));
        to[i] = (uint32_t)(word >> (h->at_bit & 7) & mask);
    }
    return n;
}

int nj_rle_levels(const uint8_t *p, const uint8_t *end, int max, uint8_t *to, uint32_t n)
{
    hybrid h = { .p = p, .end = end, .bits = 32 - (uint32_t)__builtin_clz((unsigned)max) };
    uint32_t some[256];
    while (n) {
        int64_t got = take(&h, some, n < 256 ? n : 256);
        if (got < 0) return -1;
        for (int64_t i = 0; i < got; i++) {
            if (some[i] > (uint32_t)max) return -1;
            to[i] = (uint8_t)some[i];
        }
        to += got;
        n -= (uint32_t)got;
    }
    return 0;
}

static const char *from_dictionary(nj_page_values *v, size_t width, const uint8_t *p, const uint8_t *end,
                                   uint32_t n, const nj_page_values *dictionary)
{
    if (!n) return NULL;
    if (!dictionary || !dictionary->value) return "values point into a dictionary that is not there";
    if (p == end || *p > 32) return "damaged dictionary codes";
    hybrid h = { .p = p + 1, .end = end, .bits = *p };
    uint32_t some[256], done = 0;
    while (done < n) {
        int64_t got = take(&h, some, n - done < 256 ? n - done : 256);
        if (got < 0) return "damaged dictionary codes";
        for (int64_t i = 0; i < got; i++)
            if (some[i] >= dictionary->n) return "a code lies outside the dictionary";
        uint8_t *to = v->value + done * width;
        const uint8_t *from = dictionary->value;
        switch (width) {
        case 4:
            for (int64_t i = 0; i < got; i++) memcpy(to + 4 * i, from + (size_t)4 * some[i], 4);
            break;
        case 8:
            for (int64_t i = 0; i < got; i++) memcpy(to + 8 * i, from + (size_t)8 * some[i], 8);
            break;
        default:
            for (int64_t i = 0; i < got; i++) memcpy(to + width * (size_t)i, from + width * some[i], width);
            break;
        }
        done += (uint32_t)got;
    }
    return NULL;
}

/* ---- DELTA_BINARY_PACKED ---- */

static int varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (*p == end) return -1;
        uint8_t b = *(*p)++;
        *v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return 0;
    }
    return -1;
}

static uint64_t unzigzag(uint64_t v)
{
    return v >> 1 ^ -(v & 1);
}

/* n integers into to (as int64); *p moves behind them. */
static const char *delta_packed(const uint8_t **p, const uint8_t *end, int64_t *to, uint32_t n)
{
    static const char bad[] = "damaged delta-packed integers";
    uint64_t block, minis, total, value, min_delta;
    if (varint(p, end, &block) || varint(p, end, &minis) || varint(p, end, &total) || varint(p, end, &value))
        return bad;
    if (!minis || minis > 512 || !block || block > 1 << 20 || block % minis || total < n ||
        total > NJ_PAGE_LEVELS)
        return bad;
    uint64_t per = block / minis, last = unzigzag(value);
    if (per % 32) return bad;
    uint32_t done = 0;
    if (n) to[done++] = (int64_t)last;
    uint64_t left = total ? total - 1 : 0;
    while (left) {
        if (varint(p, end, &min_delta) || minis > (uint64_t)(end - *p)) return bad;
        min_delta = unzigzag(min_delta);
        const uint8_t *bits = *p;
        *p += minis;
        for (uint64_t m = 0; m < minis && left; m++) {
            uint64_t size = per * bits[m] / 8;
            if (bits[m] > 64 || size > (uint64_t)(end - *p)) return bad;
            for (uint64_t i = 0; i < per && left; i++, left--) {
                uint64_t delta = 0, at = i * bits[m];
                for (uint32_t got = 0; got < bits[m];) { /* by bytes: this encoding is rare */
                    uint32_t in = (uint32_t)((at + got) & 7),
                             some = 8 - in < bits[m] - got ? 8 - in : bits[m] - got;
                    delta |= (uint64_t)((*p)[(at + got) >> 3] >> in & ((1u << some) - 1)) << got;
                    got += some;
                }
                last += min_delta + delta;
                if (done < n) to[done++] = (int64_t)last;
            }
            *p += size;
        }
    }
    return done == n ? NULL : bad;
}

static const char *delta_integers(nj_page_values *v, int physical, const uint8_t *p, const uint8_t *end,
                                  uint32_t n)
{
    int64_t *wide = physical == NJ_PQ_INT64 ? (int64_t *)v->value : malloc((size_t)n * 8 + 8);
    if (!wide) return "no memory";
    const char *why = delta_packed(&p, end, wide, n);
    if (physical == NJ_PQ_INT32) {
        for (uint32_t i = 0; !why && i < n; i++)
            ((int32_t *)v->value)[i] = (int32_t)(uint32_t)(uint64_t)wide[i];
        free(wide);
    }
    return why;
}

static const char *delta_lengths(nj_page_values *v, const uint8_t *p, const uint8_t *end, uint32_t n)
{
    int64_t *length = malloc((size_t)n * 8 + 8);
    if (!length) return "no memory";
    const char *why = delta_packed(&p, end, length, n);
    nj_parquet_bytes *to = (nj_parquet_bytes *)v->value;
    for (uint32_t i = 0; !why && i < n; i++) {
        if (length[i] < 0 || length[i] > end - p)
            why = "a text is longer than its page";
        else
            to[i] = (nj_parquet_bytes){ p, (uint32_t)length[i] };
        p += why ? 0 : length[i];
    }
    free(length);
    return why;
}

/* Each text begins with some bytes of the one before. */
static const char *delta_texts(nj_page_values *v, const uint8_t *p, const uint8_t *end, uint32_t n)
{
    static const char bad[] = "damaged delta-packed texts";
    int64_t *prefix = malloc((size_t)n * 16 + 8), *suffix = prefix ? prefix + n : NULL;
    if (!prefix) return "no memory";
    const char *why = delta_packed(&p, end, prefix, n);
    if (!why) why = delta_packed(&p, end, suffix, n);
    uint64_t total = 0, before = 0;
    for (uint32_t i = 0; !why && i < n; i++) {
        if (prefix[i] < 0 || suffix[i] < 0 || (uint64_t)prefix[i] > before || suffix[i] > end - p)
            why = bad;
        else
            total += before = (uint64_t)(prefix[i] + suffix[i]);
        if (total > (uint64_t)1 << 30) why = "texts of more than 1 GiB in one page";
    }
    v->owned = why ? NULL : malloc(total + 8);
    if (!why && !v->owned) why = "no memory";
    nj_parquet_bytes *to = (nj_parquet_bytes *)v->value;
    uint8_t *at = v->owned;
    for (uint32_t i = 0; !why && i < n; i++) {
        if (suffix[i] > end - p) {
            why = bad;
            break;
        }
        if (prefix[i]) memcpy(at, to[i - 1].data, (size_t)prefix[i]);
        memcpy(at + prefix[i], p, (size_t)suffix[i]);
        to[i] = (nj_parquet_bytes){ at, (uint32_t)(prefix[i] + suffix[i]) };
        p += suffix[i];
        at += prefix[i] + suffix[i];
    }
    free(prefix);
    return why;
}

/* ---- PLAIN and the rest ---- */

static const char *plain_bytes(nj_page_values *v, int fixed_size, const uint8_t *p, const uint8_t *end,
                               uint32_t n)
{
    nj_parquet_bytes *to = (nj_parquet_bytes *)v->value;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = (uint32_t)fixed_size;
        if (!fixed_size) {
            if (end - p < 4) return "a text is longer than its page";
            memcpy(&size, p, 4);
            p += 4;
        }
        if (size > (size_t)(end - p)) return "a text is longer than its page";
        to[i] = (nj_parquet_bytes){ p, size };
        p += size;
    }
    return NULL;
}

/* Impala's and Spark's time stamps: nanoseconds of the day, Julian day number. */
static void int96(nj_page_values *v, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, p += 12) {
        uint64_t ns;
        uint32_t day;
        memcpy(&ns, p, 8);
        memcpy(&day, p + 8, 4);
        ((uint64_t *)v->value)[i] = ((uint64_t)day - 2440588) * UINT64_C(86400000000000) + ns;
    }
}

static const char *plain(nj_page_values *v, int physical, int fixed_size, const uint8_t *p,
                         const uint8_t *end, uint32_t n)
{
    static const char early[] = "a page ends before its values";
    static const uint8_t size[] = { 0, 4, 8, 12, 4, 8, 0, 0 };
    if (physical == NJ_PQ_BYTE_ARRAY) return plain_bytes(v, 0, p, end, n);
    if (physical == NJ_PQ_FIXED) return plain_bytes(v, fixed_size, p, end, n);
    if (physical == NJ_PQ_BOOLEAN) {
        if ((n + 7) / 8 > (size_t)(end - p)) return early;
        for (uint32_t i = 0; i < n; i++) v->value[i] = p[i >> 3] >> (i & 7) & 1;
        return NULL;
    }
    if ((size_t)n * size[physical] > (size_t)(end - p)) return early;
    if (physical == NJ_PQ_INT96)
        int96(v, p, n);
    else
        memcpy(v->value, p, (size_t)n * size[physical]);
    return NULL;
}

static const char *run_booleans(nj_page_values *v, const uint8_t *p, const uint8_t *end, uint32_t n)
{
    uint32_t size;
    if (end - p < 4) return n ? "damaged booleans" : NULL;
    memcpy(&size, p, 4);
    if (size > (size_t)(end - p) - 4) return "damaged booleans";
    return nj_rle_levels(p + 4, p + 4 + size, 1, v->value, n) ? "damaged booleans" : NULL;
}

static const char *stream_split(nj_page_values *v, int physical, const uint8_t *p, const uint8_t *end,
                                uint32_t n)
{
    size_t width = physical == NJ_PQ_INT32 || physical == NJ_PQ_FLOAT    ? 4
                   : physical == NJ_PQ_INT64 || physical == NJ_PQ_DOUBLE ? 8
                                                                         : 0;
    if (!width) return "BYTE_STREAM_SPLIT of a type that it is not read for";
    if (width * n > (size_t)(end - p)) return "a page ends before its values";
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < width; k++) v->value[i * width + k] = p[k * n + i];
    return NULL;
}

const char *nj_page_decode(nj_page_values *v, int encoding, int physical, int fixed_size, const uint8_t *p,
                           const uint8_t *end, uint32_t n, const nj_page_values *dictionary)
{
    static const char unfit[] = "an encoding that does not fit the type";
    if (room(v, width_of(physical), n ? n : 1)) return "no memory"; /* never NULL */
    v->n = n;
    switch (encoding) {
    case NJ_PQ_PLAIN: return plain(v, physical, fixed_size, p, end, n);
    case NJ_PQ_PLAIN_DICTIONARY:
    case NJ_PQ_RLE_DICTIONARY: return from_dictionary(v, width_of(physical), p, end, n, dictionary);
    case NJ_PQ_RLE: return physical == NJ_PQ_BOOLEAN ? run_booleans(v, p, end, n) : unfit;
    case NJ_PQ_DELTA_BINARY_PACKED:
        return physical == NJ_PQ_INT32 || physical == NJ_PQ_INT64 ? delta_integers(v, physical, p, end, n)
                                                                  : unfit;
    case NJ_PQ_DELTA_LENGTH_BYTE_ARRAY:
        return physical == NJ_PQ_BYTE_ARRAY ? delta_lengths(v, p, end, n) : unfit;
    case NJ_PQ_DELTA_BYTE_ARRAY:
        return physical == NJ_PQ_BYTE_ARRAY || physical == NJ_PQ_FIXED ? delta_texts(v, p, end, n) : unfit;
    case NJ_PQ_BYTE_STREAM_SPLIT: return stream_split(v, physical, p, end, n);
    default: return "an encoding that is not known";
    }
}

int nj_page_spread(nj_page_values *v, size_t width, const uint8_t *def, uint8_t max_def, uint32_t n)
{
    uint32_t from = v->n;
    if (n == from) return 0;
    if (room(v, width, n)) return -1;
    for (uint32_t i = n; i-- > 0;) {
        if (def[i] != max_def)
            memset(v->value + i * width, 0, width);
        else
            memmove(v->value + i * width, v->value + --from * width, width);
    }
    v->n = n;
    return 0;
}
