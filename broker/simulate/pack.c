/* pack.c - compression by libdeflate took most of the simulator's time; noise needs no search for matches. */
#include "pack.h"

#include <stdlib.h>
#include <string.h>

/* RFC 1951: literals 0..255, end of block 256, lengths from 257 on; one distance, 1, is used. */
enum {
    END = 256,
    LITERALS = 286,
    LENGTH_CODES = 19,
    LONGEST = 15,
    LONGEST_LENGTH = 7,
    RUN_LEAST = 4,
    RUN_MOST = 258
};

typedef struct code {
    uint16_t bits[LITERALS]; /* reversed, as they are written */
    uint8_t length[LITERALS];
} code;

typedef struct writer {
    uint8_t *at;
    uint64_t bits;
    unsigned n;
} writer;

static inline void put(writer *w, uint64_t bits, unsigned n)
{
    w->bits |= bits << w->n;
    w->n += n;
}
/* At most 7 bits stay behind. Writes up to 7 bytes beyond what counts. */
static inline void flush(writer *w)
{
    memcpy(w->at, &w->bits, 8);
    w->at += w->n >> 3;
    w->bits >>= w->n & ~7u; /* callers put less than 64 bits between flushes */
    w->n &= 7;
}

typedef struct leaf {
    uint32_t count;
    uint16_t symbol;
} leaf;

static int by_count(const void *a, const void *b)
{
    const leaf *x = a, *y = b;
    return x->count != y->count ? (x->count > y->count) - (x->count < y->count)
                                : (x->symbol > y->symbol) - (x->symbol < y->symbol);
}

/* Huffman's algorithm with two queues; returns the longest code. Leaves are sorted by count, at least two. */
static unsigned huffman(const leaf *sorted, unsigned n, uint8_t *length)
{
    uint32_t count[2 * LITERALS] = { 0 };
    uint16_t parent[2 * LITERALS];
    uint8_t depth[2 * LITERALS];
    unsigned next_leaf = 0, next_node = n, nodes = n, longest = 0;
    for (unsigned i = 0; i < n; i++) count[i] = sorted[i].count;
    while (nodes < 2 * n - 1) {
        unsigned pair[2];
        for (int k = 0; k < 2; k++)
            pair[k] = next_leaf < n && (next_node >= nodes || count[next_leaf] <= count[next_node])
                          ? next_leaf++
                          : next_node++;
        count[nodes] = count[pair[0]] + count[pair[1]];
        parent[pair[0]] = parent[pair[1]] = (uint16_t)nodes++;
    }
    depth[nodes - 1] = 0;
    for (unsigned i = nodes - 1; i-- > 0;) depth[i] = (uint8_t)(depth[parent[i]] + 1);
    for (unsigned i = 0; i < n; i++) {
        length[sorted[i].symbol] = depth[i];
        if (depth[i] > longest) longest = depth[i];
    }
    return longest;
}

/* A canonical code for the symbols that occur, none longer than `most`: flatter counts until it fits. */
static void build(code *c, const uint32_t *count, unsigned n_symbols, unsigned most)
{
    leaf sorted[LITERALS];
    unsigned n = 0, next = 0, at_length[LONGEST + 2] = { 0 };
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < n_symbols; i++)
        if (count[i]) sorted[n++] = (leaf){ count[i], (uint16_t)i };
    /* readers want a complete code */
    if (n == 1) sorted[n++] = (leaf){ 1, (uint16_t)(sorted[0].symbol ? 0 : 1) };
    qsort(sorted, n, sizeof *sorted, by_count);
    while (huffman(sorted, n, c->length) > most)
        for (unsigned i = 0; i < n; i++) sorted[i].count = (sorted[i].count + 1) / 2;
    for (unsigned i = 0; i < n_symbols; i++) at_length[c->length[i]]++;
    unsigned first[LONGEST + 2] = { 0 };
    for (unsigned length = 1; length <= LONGEST; length++) {
        first[length] = next;
        next = (next + at_length[length]) << 1;
    }
    for (unsigned i = 0; i < n_symbols; i++) {
        unsigned length = c->length[i], value = length ? first[length]++ : 0, reversed = 0;
        for (unsigned b = 0; b < length; b++) reversed |= (value >> b & 1) << (length - 1 - b);
        c->bits[i] = (uint16_t)reversed;
    }
}

/* Length symbol and extra bits of a run of 3..258, RFC 1951, 3.2.5. */
static unsigned length_symbol(unsigned run, unsigned *extra, unsigned *n_extra)
{
    static const uint16_t base[29] = { 3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258 };
    static const uint8_t bits[29] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                      2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
    unsigned k = 28;
    while (base[k] > run) k--;
    *extra = run - base[k];
    *n_extra = bits[k];
    return 257 + k;
}

/* Walks bytes[from, to) as literals and runs of the byte before.
 * Counts symbols, or writes them when w is given. */
static void walk_runs(const uint8_t *bytes, size_t from, size_t to, uint32_t *count, const code *c, writer *w)
{
    for (size_t i = from; i < to;) {
        size_t run = 0;
        while (i > from && i + run < to && run < RUN_MOST && bytes[i + run] == bytes[i - 1]) run++;
        unsigned extra = 0, n_extra = 0,
                 symbol = run >= RUN_LEAST ? length_symbol((unsigned)run, &extra, &n_extra) : bytes[i];
        if (w) {
            put(w, c->bits[symbol], c->length[symbol]);
            put(w, extra, n_extra);
            if (run >= RUN_LEAST) put(w, 0, 1); /* distance 1: the only code, one bit */
            flush(w);
        } else {
            count[symbol]++;
        }
        i += run >= RUN_LEAST ? run : 1;
    }
}

static void count_noise(const uint8_t *bytes, size_t from, size_t to, uint32_t *count)
{
    uint32_t part[4][256] = { 0 }; /* four tables: the same byte twice in a row does not wait for itself */
    for (size_t i = from; i < to; i += 4)
        for (int k = 0; k < 4; k++) part[k][bytes[i + (size_t)k]]++;
    for (int s = 0; s < 256; s++) count[s] += part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* The block's head: lengths of the codes, themselves coded. */
static void put_head(writer *w, const code *c)
{
    static const uint8_t order[LENGTH_CODES] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                 11, 4,  12, 3, 13, 2, 14, 1, 15 };
    uint32_t count[LENGTH_CODES] = { 0 };
    code lengths;
    for (int i = 0; i < LITERALS; i++) count[c->length[i]]++;
    count[1]++; /* the one distance code */
    build(&lengths, count, LENGTH_CODES, LONGEST_LENGTH);
    put(w, 1, 1); /* the last block, */
    put(w, 2, 2); /* with its own codes */
    put(w, LITERALS - 257, 5);
    put(w, 0, 5);
    put(w, LENGTH_CODES - 4, 4);
    flush(w);
    for (int i = 0; i < LENGTH_CODES; i++) {
        put(w, lengths.length[order[i]], 3);
        flush(w);
    }
    for (int i = 0; i <= LITERALS; i++) {
        unsigned length = i < LITERALS ? c->length[i] : 1;
        put(w, lengths.bits[length], lengths.length[length]);
        flush(w);
    }
}

size_t nj_sim_deflate(const uint8_t *bytes, size_t n, size_t from, size_t to, uint8_t *out, size_t room)
{
    uint32_t count[LITERALS] = { 0 };
    code c;
    walk_runs(bytes, 0, from, count, NULL, NULL);
    count_noise(bytes, from, to, count);
    walk_runs(bytes, to, n, count, NULL, NULL);
    count[END] = 1;
    build(&c, count, LITERALS, LONGEST);
    uint64_t bits = 4096; /* the head, and 22 bits for each length */
    for (int i = 0; i < LITERALS; i++) bits += (uint64_t)count[i] * (i > END ? 22u : c.length[i]);
    if (bits / 8 + 16 > room) return 0;
    writer w = { .at = out };
    put_head(&w, &c);
    walk_runs(bytes, 0, from, NULL, &c, &w);
    for (size_t i = from; i < to; i += 2) { /* 7 bits left and two of at most 15 */
        put(&w, c.bits[bytes[i]], c.length[bytes[i]]);
        put(&w, c.bits[bytes[i + 1]], c.length[bytes[i + 1]]);
        flush(&w);
    }
    walk_runs(bytes, to, n, NULL, &c, &w);
    put(&w, c.bits[END], c.length[END]);
    flush(&w);
    if (w.n) *w.at++ = (uint8_t)w.bits;
    return (size_t)(w.at - out);
}
