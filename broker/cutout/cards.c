/* cards.c - headers of FITS files written as text: cfitsio would write a file for each, and a stamp is made
 * in memory. */
#include "cards.h"

#if defined __x86_64__
#include <immintrin.h>
#endif

#include <fitsio.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void nj_card(nj_buffer *b, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n < 0) n = 0;
    char *room = nj_buffer_room(b, NJ_CARD);
    if (!room) return;
    if (n > NJ_CARD) n = NJ_CARD;
    memcpy(room, text, (size_t)n);
    memset(room + n, ' ', (size_t)(NJ_CARD - n));
    b->n += NJ_CARD;
    b->data[b->n] = 0;
}

void nj_card_text(nj_buffer *b, const char *key, const char *text, const char *comment)
{
    char quoted[72];
    size_t n = 0;
    for (; *text && n + 1 + (*text == '\'') < 69; text++) { /* with its quotes 70 characters at most */
        if (*text == '\'') quoted[n++] = '\'';
        quoted[n++] = (unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text;
    }
    while (n < 8) quoted[n++] = ' ';
    quoted[n] = 0;
    nj_card(b, "%-8s= '%s'%*s%s%s", key, quoted, n < 18 ? (int)(18 - n) : 0, "", *comment ? " / " : "",
            comment);
}

void nj_card_whole(nj_buffer *b, const char *key, long long value, const char *comment)
{
    nj_card(b, "%-8s= %20lld%s%s", key, value, *comment ? " / " : "", comment);
}

void nj_card_real(nj_buffer *b, const char *key, double value, const char *comment)
{
    char digits[40] = "";
    if (isfinite(value)) nj_shortest_f64(digits, value);
    for (char *p = digits; *p; p++)
        if (*p == 'e') *p = 'E';
    if (*digits && !strpbrk(digits, ".E")) strcat(digits, ".0");
    nj_card(b, "%-8s= %20s%s%s", key, digits, *comment ? " / " : "", comment);
}

void nj_cards_end(nj_buffer *b, size_t from)
{
    nj_card(b, "END");
    while (!b->failed && (b->n - from) % NJ_CARDS_BLOCK) nj_card(b, " ");
}

/* --- checksums --- */

void nj_cards_sums(nj_buffer *b)
{
    nj_card_text(b, "CHECKSUM", "0000000000000000", "HDU checksum");
    nj_card_text(b, "DATASUM", "          ", "data unit checksum");
}

static uint32_t folded(uint64_t sum)
{
    while (sum >> 32) sum = (sum & 0xffffffff) + (sum >> 32);
    return (uint32_t)sum;
}

static uint64_t add_words(uint64_t sum, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t word;
        memcpy(&word, bytes + i, 4);
        sum += __builtin_bswap32(word); /* up to 16 GB, none is lost */
    }
    return sum;
}

#if defined __x86_64__
/* Two words in eight bytes at a time, each in its order; a lane has room for the sum of both. */
__attribute__((target("avx2"))) static uint64_t sum_avx2(const unsigned char *bytes, size_t n)
{
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i sum = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i v =
            _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(bytes + i)), order);
        sum = _mm256_add_epi64(sum, _mm256_add_epi64(_mm256_and_si256(v, low), _mm256_srli_epi64(v, 32)));
    }
    uint64_t lane[4];
    _mm256_storeu_si256((__m256i *)(void *)lane, sum);
    return add_words(lane[0] + lane[1] + lane[2] + lane[3], bytes + i, n - i);
}
#endif

uint32_t nj_words_sum(const void *bytes, size_t n)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2")) return folded(sum_avx2(bytes, n));
#endif
    return folded(add_words(0, bytes, n));
}

uint32_t nj_words_plus(uint32_t a, uint32_t b)
{
    const uint64_t sum = (uint64_t)a + b;
    return (uint32_t)((sum & 0xffffffff) + (sum >> 32));
}

static char *value_of(nj_buffer *b, size_t from, size_t data, const char *key)
{
    for (char *card = b->data + data - NJ_CARD; card >= b->data + from; card -= NJ_CARD)
        if (!memcmp(card, key, strlen(key))) return card + 11;
    return NULL;
}

void nj_cards_sum_up(nj_buffer *b, size_t from, size_t data, uint32_t sum)
{
    char *of_data = b->failed ? NULL : value_of(b, from, data, "DATASUM ="),
         *of_all = b->failed ? NULL : value_of(b, from, data, "CHECKSUM="), digits[24], code[17];
    if (!of_data || !of_all) return;
    snprintf(digits, sizeof digits, "%-10u", sum);
    memcpy(of_data, digits, 10);
    memset(of_all, '0', 16);
    fits_encode_chksum(nj_words_plus(sum, nj_words_sum(b->data + from, data - from)), 1, code);
    memcpy(of_all, code, 16);
}
