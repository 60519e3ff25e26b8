/* inflate.c - one deflate stream is a chain of look-ups that leaves most of a core idle, so that four gzip
 * members are unpacked in one loop.
 *
 * Four streams share a loop only if none of them makes it guess: a wrong guess about one throws away the
 * work of all. So a step has no branch that depends on its bits. It looks up four symbols. A literal is
 * written, and takes its bits. What is no literal takes none, so that the further look-ups stay on it. The
 * last of them is then copied as a match, which for a literal copies nothing by the same instructions.
 * Short codes of length 3 and distance, which noise is packed by, fit the ten bits of one look-up together.
 * All else has an entry whose distance is farther than any byte: the one check of a step finds it, and
 * rare() decodes it. The same check refuses distances that lead out of the member. The look-ups of the four
 * take turns: a core that shares its window with a second thread sees little more than one stream's step at
 * a time.
 *
 * Reference: RFC 1951 (deflate), RFC 1952 (gzip). */
#include "inflate.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "huffman.h"

enum { LANES = 4, TABLE_BITS = 10, TABLE = 1 << TABLE_BITS };
enum { LITLENS = NJ_HUFFMAN_SYMBOLS, DISTS = 30, LENS = 19, LEN_BITS = 7 };
enum { END_OF_BLOCK = 256, FIRST_LENGTH = 257 };
enum { HEADER = 10, TRAILER = 8, MOST_ANNOUNCED = 65536 };
enum { MOST_PACKING = 4 }; /* what packs better is made of long matches, which libdeflate copies faster */
enum { STEP_IN = 8, STEP_OUT = 32 }; /* bytes that a step advances by at most; that it may touch */
enum { TAIL = 24, TAIL_ROOM = 96 }; /* at so many bytes before its end the input is copied, zeros behind it */

/* An entry of the table. Literal: itself, its bits at 10 and once more at 16, a one at 29. Entries can be
 * added up, which gives bits and number of the literals among them. Match of three bytes: the bits of both
 * codes at 16, its distance symbol at 22. The row of a table of matches is what stands from 22 on. */
enum { RARE_ROW = 31, LITERAL_ROW = 1 << 7, ROWS, NO_LENGTH = 31 };
#define LITERAL(symbol, bits)                                                                                \
    ((uint32_t)(symbol) | (uint32_t)(bits) << 10 | (uint32_t)(bits) << 16 | UINT32_C(1) << 29)
#define MATCH(bits, dist) ((uint32_t)(bits) << 16 | (uint32_t)(dist) << 22)
#define RARE(length) ((uint32_t)(length) | (uint32_t)RARE_ROW << 22) /* length symbol - 257, if it is one */
enum { SHORTEST = 3, FAR = 1 << 20 }; /* match: the only length of the table; distance of a rare entry */

typedef enum state { RUNNING, DONE, LEFT } state;

typedef struct lane {
    uint32_t table[TABLE];
    uint64_t pos;               /* address of the next bit: eight times that of its byte, and its number */
    const uint8_t *in, *in_end; /* what is read: the member, or the tail */
    uint8_t *out, *first, *out_end; /* out_end: where the announced bytes do */
    size_t before;                  /* bytes of the member before `in` */
    nj_member *member;
    state state;
    bool last_block;
    uint16_t dist_table[TABLE];
    int dist_bits; /* of the index of dist_table */
    uint8_t length_bits[LITLENS - FIRST_LENGTH];
    nj_huffman litlen, dist;
    uint8_t tail[TAIL_ROOM];
} lane;

struct nj_inflate_work {
    lane lane[LANES];
    /* By row of an entry: the nearest distance, and of the bits behind the codes those that are added to it;
     * how many these are, and the bytes to be copied. Here and not constant, because then one register holds
     * the address of all. */
    uint64_t near[ROWS], mask[ROWS], extra[ROWS], length[ROWS];
    bool bmi2;
};
/* By distance symbol: the nearest distance, and how many bits are added to it. */
static const uint16_t nearest[DISTS] = { 1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                         33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                         1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577 };
static uint32_t extra_of(uint32_t dist)
{
    return dist < 4 ? 0 : dist / 2 - 1;
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline const uint8_t *byte_at(uint64_t pos)
{
    return (const uint8_t *)(uintptr_t)(pos >> 3);
}
static inline uint64_t bit_of(const uint8_t *p)
{
    return (uint64_t)(uintptr_t)p << 3;
}

/* Bytes from pos on. */
static size_t bytes_left(const lane *l)
{
    return byte_at(l->pos) < l->in_end ? (size_t)(l->in_end - byte_at(l->pos)) : 0;
}

/* 57 bits and more from pos on; zeros behind the end. */
static uint64_t peek(const lane *l)
{
    const size_t left = bytes_left(l);
    uint64_t v = 0;
    if (left >= 8)
        v = load64(byte_at(l->pos));
    else
        for (size_t i = 0; i < left; i++) v |= (uint64_t)byte_at(l->pos)[i] << 8 * i;
    return v >> (l->pos & 7);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Over the entries that begin with the code of length 3, those whose distance fits as well. */
static void add_matches(lane *l, uint32_t at, int bits)
{
    const int room = TABLE_BITS - bits;
    nj_huffman_table(&l->dist, l->dist_table, l->dist_bits = room > 8 ? room : 8);
    for (uint32_t rest = 0; rest < 1u << room; rest++) {
        const int more = l->dist_table[rest] & 15, dist = l->dist_table[rest] >> 4;
        /* a copy of eight bytes at once is right when it begins behind what it writes first */
        if (more && more <= room && nearest[dist] >= SHORTEST)
            l->table[at | rest << bits] = MATCH(bits + more, dist);
    }
}

static void fill_table(lane *l)
{
    uint32_t at = 0, at_3 = 0;
    int bits_3 = TABLE_BITS;
    const uint16_t *symbol = l->litlen.symbol;
    l->table[0] = 0;
    for (int bits = 1; bits <= TABLE_BITS; bits++) {
        memcpy(l->table + (1u << (bits - 1)), l->table, (sizeof *l->table) << (bits - 1));
        for (uint32_t k = l->litlen.count[bits]; k; k--, symbol++, at = nj_huffman_next(at, bits)) {
            if (*symbol < END_OF_BLOCK) {
                l->table[at] = LITERAL(*symbol, bits);
                continue;
            }
            l->table[at] = RARE(*symbol == END_OF_BLOCK ? NO_LENGTH : *symbol - FIRST_LENGTH);
            if (*symbol == FIRST_LENGTH) at_3 = at, bits_3 = bits;
        }
    }
    for (int bits = TABLE_BITS + 1; bits <= NJ_HUFFMAN_BITS; bits++)
        for (uint32_t k = l->litlen.count[bits]; k; k--, at = nj_huffman_next(at, bits))
            l->table[at & (TABLE - 1)] = RARE(NO_LENGTH);
    add_matches(l, at_3, bits_3);
}

/* ---- what is rare ---------------------------------------------------------------------------- */

/* The lengths of all codes, run-length coded by a code of their own. */
static bool read_lengths(lane *l, const nj_huffman *c, uint8_t *length, uint32_t n)
{
    uint16_t table[1 << LEN_BITS];
    nj_huffman_table(c, table, LEN_BITS);
    for (uint32_t i = 0; i < n;) {
        uint64_t bits = peek(l);
        for (int k = 0; k < 4 && i < n; k++) { /* four times 14 bits */
            const uint32_t entry = table[bits & ((1 << LEN_BITS) - 1)], used = entry & 15,
                           symbol = entry >> 4;
            bits >>= used;
            l->pos += used;
            if (symbol < 16) {
                length[i++] = (uint8_t)symbol;
                continue;
            }
            const uint32_t extra = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
            const uint32_t times = (symbol == 18 ? 11 : 3) + (uint32_t)(bits & ((1u << extra) - 1));
            bits >>= extra;
            l->pos += extra;
            if (times > n - i || (symbol == 16 && !i)) return false;
            memset(length + i, symbol == 16 ? length[i - 1] : 0, times);
            i += times;
        }
    }
    return byte_at(l->pos) <= l->in_end;
}

/* The header of a block; false for one that is left to libdeflate. */
static bool begin_block(lane *l)
{
    static const uint8_t order[LENS] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };
    uint8_t length[LITLENS + DISTS] = { 0 };
    nj_huffman c;
    uint64_t bits = peek(l);
    l->last_block = bits & 1;
    if ((bits >> 1 & 3) != 2) return false; /* stored, fixed */
    const uint32_t litlens = 257 + (uint32_t)(bits >> 3 & 31), dists = 1 + (uint32_t)(bits >> 8 & 31),
                   lens = 4 + (uint32_t)(bits >> 13 & 15);
    if (litlens > LITLENS || dists > DISTS) return false;
    l->pos += 17;
    bits = peek(l);
    for (uint32_t i = 0; i < lens; i++, bits >>= 3) length[order[i]] = bits & 7;
    l->pos += 3 * lens;
    if (!nj_huffman_make(&c, length, LENS)) return false;
    if (!read_lengths(l, &c, length, litlens + dists)) return false;
    if (!nj_huffman_make(&l->litlen, length, litlens) || !nj_huffman_make(&l->dist, length + litlens, dists))
        return false;
    memcpy(l->length_bits, length + FIRST_LENGTH, litlens - FIRST_LENGTH);
    fill_table(l);
    return true;
}

/* May write seven bytes more. */
static void copy_match(uint8_t *out, size_t distance, size_t length)
{
    const uint8_t *from = out - distance;
    if (distance == 1)
        memset(out, *from, length);
    else if (distance >= 8)
        for (size_t i = 0; i < length; i += 8) {
            uint64_t piece;
            memcpy(&piece, from + i, sizeof piece);
            memcpy(out + i, &piece, sizeof piece);
        }
    else
        for (size_t i = 0; i < length; i++) out[i] = from[i];
}

/* A match of length symbol k, whose code is read. */
static bool take_match(lane *l, uint32_t k, uint64_t bits)
{
    static const uint16_t base[] = { 3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258 };
    static const uint8_t extra[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
    const size_t length = base[k] + (size_t)(bits & ((1u << extra[k]) - 1));
    bits >>= extra[k];
    uint32_t used = l->dist_table[bits & ((1u << l->dist_bits) - 1)] & 15,
             dist = l->dist_table[bits & ((1u << l->dist_bits) - 1)] >> 4;
    if (!used) dist = nj_huffman_symbol(&l->dist, bits, &used);
    bits >>= used;
    const size_t distance = nearest[dist] + (size_t)(bits & ((1u << extra_of(dist)) - 1));
    l->pos += extra[k] + used + extra_of(dist);
    if (distance > (size_t)(l->out - l->first) || length > (size_t)(l->out_end - l->out)) return false;
    copy_match(l->out, distance, length);
    l->out += length;
    return true;
}

/* The symbol at pos, which has this entry. */
__attribute__((noinline, cold)) static void rare(lane *l, uint32_t entry)
{
    const uint64_t bits = peek(l);
    uint32_t k = entry & 31, used = k == NO_LENGTH ? 0 : l->length_bits[k];
    const uint32_t symbol = k == NO_LENGTH ? nj_huffman_symbol(&l->litlen, bits, &used) : k + FIRST_LENGTH;
    l->pos += used;
    if (symbol == END_OF_BLOCK) {
        l->state = l->last_block ? DONE : begin_block(l) ? RUNNING : LEFT;
    } else if (l->out >= l->out_end) {
        l->state = LEFT;
    } else if (symbol < END_OF_BLOCK) {
        *l->out++ = (uint8_t)symbol;
    } else if (!take_match(l, symbol - FIRST_LENGTH, bits >> used)) {
        l->state = LEFT;
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Steps that can be done without a look at the ends. */
static size_t steps_of(const lane *l)
{
    const size_t left = bytes_left(l);
    if (l->state != RUNNING || left < 2 * STEP_IN) return 0;
    const size_t in = (left - 2 * STEP_IN) / STEP_IN;
    const size_t out = (size_t)(l->out_end + NJ_INFLATE_SLACK - l->out) / STEP_OUT;
    return in < out ? in : out;
}

/* Near the end of the input the rest is copied, so that what is read behind it are zeros. */
static void go_to_tail(lane *l)
{
    const size_t left = bytes_left(l);
    if (l->in == l->tail || left > TAIL) {
        l->state = LEFT;
        return;
    }
    memcpy(l->tail, byte_at(l->pos), left);
    memset(l->tail + left, 0, sizeof l->tail - left);
    l->before += (size_t)(byte_at(l->pos) - l->in);
    l->pos = bit_of(l->tail) + (l->pos & 7);
    l->in = l->tail;
    l->in_end = l->tail + sizeof l->tail;
}

/* Of stream k. */
#define LOAD(k)                                                                                              \
    uint64_t bits##k = n > k ? load64(byte_at(pos##k)) >> (pos##k & 7) : 0;                                  \
    uint32_t sum##k = 0, last##k = 0;
#define LOOK(k, i)                                                                                           \
    if (n > k) {                                                                                             \
        const uint32_t entry = w->lane[k].table[bits##k & (TABLE - 1)];                                      \
        bits##k >>= (entry >> 10 | entry << 22) & 63; /* turned, for which there is one instruction */       \
        out##k[i] = (uint8_t)entry;                                                                          \
        sum##k += entry;                                                                                     \
    }
#define LOOK_0(k) LOOK(k, 0)
#define LOOK_1(k) LOOK(k, 1)
#define LOOK_2(k) LOOK(k, 2)
#define LOOK_3(k)                                                                                            \
    if (n > k) {                                                                                             \
        last##k = w->lane[k].table[bits##k & (TABLE - 1)];                                                   \
        out##k[3] = (uint8_t)last##k;                                                                        \
    }
#define COPY(k)                                                                                              \
    if (n > k) {                                                                                             \
        lane *const l = &w->lane[k];                                                                         \
        const uint32_t row = last##k >> 22, codes = last##k >> 16 & 63;                                      \
        bits##k >>= codes;                                                                                   \
        out##k += (sum##k + last##k) >> 29;                                                                  \
        pos##k += (sum##k >> 10 & 63) + codes;                                                               \
        const uintptr_t from =                                                                               \
            (uintptr_t)out##k - (uintptr_t)w->near[row] - (uintptr_t)(bits##k & w->mask[row]);               \
        if (__builtin_expect(from < (uintptr_t)l->first, 0)) {                                               \
            l->pos = pos##k - codes;                                                                         \
            l->out = out##k;                                                                                 \
            rare(l, last##k);                                                                                \
            pos##k = l->pos;                                                                                 \
            out##k = l->out;                                                                                 \
            const size_t left = steps_of(l);                                                                 \
            if (left < steps) steps = left;                                                                  \
        } else {                                                                                             \
            uint64_t piece;                                                                                  \
            memcpy(&piece, (const uint8_t *)from, sizeof piece);                                             \
            memcpy(out##k, &piece, sizeof piece);                                                            \
            out##k += w->length[row];                                                                        \
            pos##k += w->extra[row];                                                                         \
        }                                                                                                    \
    }
#define ALL(PART) PART(0) PART(1) PART(2) PART(3)
#define BEGIN(k)                                                                                             \
    uint64_t pos##k = w->lane[k].pos;                                                                        \
    uint8_t *out##k = w->lane[k].out;
#define END(k) w->lane[k].pos = pos##k, w->lane[k].out = out##k;

static inline __attribute__((always_inline)) void steps_n(nj_inflate_work *w, const int n, size_t steps)
{
    ALL(BEGIN)
    while (steps) {
        steps--; /* first: a rare symbol shortens what is left */
        ALL(LOAD)
        ALL(LOOK_0)
        ALL(LOOK_1)
        ALL(LOOK_2)
        ALL(LOOK_3)
        ALL(COPY)
    }
    ALL(END)
}

#define STEPS(name, attribute)                                                                               \
    attribute static void name(nj_inflate_work *w, int n, size_t steps)                                      \
    {                                                                                                        \
        switch (n) {                                                                                         \
        case 1: steps_n(w, 1, steps); break;                                                                 \
        case 2: steps_n(w, 2, steps); break;                                                                 \
        case 3: steps_n(w, 3, steps); break;                                                                 \
        default: steps_n(w, 4, steps); break;                                                                \
        }                                                                                                    \
    }
STEPS(steps_portable, )
#if defined __x86_64__
STEPS(steps_bmi2, __attribute__((target("bmi2"))))
#endif

/* Until one of the n streams is at its end. */
static void run_lanes(nj_inflate_work *w, int n, bool bmi2)
{
    for (;;) {
        size_t steps = SIZE_MAX;
        for (int k = 0; k < n; k++) {
            size_t left = steps_of(&w->lane[k]);
            if (!left && w->lane[k].state == RUNNING) {
                go_to_tail(&w->lane[k]);
                left = steps_of(&w->lane[k]);
            }
            if (w->lane[k].state != RUNNING) return;
            if (left < steps) steps = left;
        }
#if defined __x86_64__
        if (bmi2) {
            steps_bmi2(w, n, steps);
            continue;
        }
#endif
        (void)bmi2;
        steps_portable(w, n, steps);
    }
}

/* ---- members --------------------------------------------------------------------------------- */

static uint32_t little32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Bytes of the gzip header, without fields or with a name; 0 = another, or none. */
static size_t header_of(const uint8_t *bytes, size_t size)
{
    enum { FLAGS = 3, NAME = 8 };
    if (size < HEADER + TRAILER || bytes[0] != 0x1f || bytes[1] != 0x8b || bytes[2] != 8) return 0;
    if (!bytes[FLAGS]) return HEADER;
    const uint8_t *end = bytes[FLAGS] == NAME ? memchr(bytes + HEADER, 0, size - HEADER - TRAILER) : NULL;
    return end ? (size_t)(end - bytes) + 1 : 0;
}

size_t nj_inflate_announced(const uint8_t *bytes, size_t size)
{
    if (!header_of(bytes, size)) return 0;
    const size_t announced = little32(bytes + size - 4);
    return announced <= MOST_ANNOUNCED && announced / MOST_PACKING <= size ? announced : 0;
}

static bool begin_member(lane *l, nj_member *m)
{
    const size_t header = header_of(m->bytes, m->size);
    m->done = false;
    /* FAR must not lead around the end of the address space, nor the address of a bit beyond 64 bits */
    if ((uintptr_t)m->out < FAR || byte_at(bit_of(m->bytes)) != m->bytes) return false;
    if (!header || m->announced > MOST_ANNOUNCED || m->announced != little32(m->bytes + m->size - 4))
        return false;
    l->in = m->bytes;
    l->in_end = m->bytes + m->size, l->before = 0;
    l->pos = bit_of(m->bytes + header);
    l->out = l->first = m->out;
    l->out_end = m->out + m->announced;
    l->member = m;
    l->state = RUNNING;
    return begin_block(l);
}

/* What deflate says nothing about: that all is there, nothing behind it, and the bytes are those packed. */
static void end_member(lane *l)
{
    nj_member *m = l->member;
    m->done = l->state == DONE && l->out == l->out_end &&
              l->before + (size_t)(byte_at(l->pos + 7) - l->in) + TRAILER == m->size &&
              libdeflate_crc32(0, m->out, m->announced) == little32(m->bytes + m->size - TRAILER);
}

static void move_lane(lane *to, const lane *from)
{
    *to = *from;
    if (from->in != from->tail) return;
    to->pos = bit_of(to->tail) + (from->pos - bit_of(from->tail));
    to->in = to->tail;
    to->in_end = to->tail + sizeof to->tail;
}

static void inflate(nj_inflate_work *w, nj_member *member, size_t n, bool bmi2)
{
    size_t next = 0;
    for (int running = 0;;) {
        while (running < LANES && next < n) running += begin_member(&w->lane[running], &member[next++]);
        if (!running) return;
        run_lanes(w, running, bmi2);
        for (int k = running - 1; k >= 0; k--) {
            if (w->lane[k].state == RUNNING) continue;
            end_member(&w->lane[k]);
            if (k != --running) move_lane(&w->lane[k], &w->lane[running]);
        }
    }
}

void nj_inflate(nj_inflate_work *w, nj_member *member, size_t n)
{
    inflate(w, member, n, w->bmi2);
}
void nj_inflate_portable(nj_inflate_work *w, nj_member *member, size_t n)
{
    inflate(w, member, n, false);
}

nj_inflate_work *nj_inflate_work_new(void)
{
    nj_inflate_work *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    for (uint32_t dist = 0; dist < DISTS; dist++) {
        w->near[dist] = nearest[dist];
        w->mask[dist] = (1u << extra_of(dist)) - 1;
        w->extra[dist] = extra_of(dist);
        w->length[dist] = SHORTEST;
    }
    w->near[RARE_ROW] = FAR;
    /* The copy of no bytes behind literals reads ahead of what was written: a load of bytes that are on their
     * way to memory in smaller pieces would wait for all of them, in every step. */
    w->near[LITERAL_ROW] = (uint64_t)-16;
#if defined __x86_64__
    w->bmi2 = __builtin_cpu_supports("bmi2");
#endif
    return w;
}
void nj_inflate_work_free(nj_inflate_work *w)
{
    free(w);
}
