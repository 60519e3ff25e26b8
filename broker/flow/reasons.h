/* reasons.h - dead letters by kind of reason, a bounded number of them. Thread-safe. */
#ifndef NJ_FLOW_REASONS_H
#define NJ_FLOW_REASONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { NJ_REASON_TEXT = 96 };

typedef struct nj_reasons nj_reasons;
typedef struct nj_dead_kind {
    char module[24]; /* who refused it: "decode", "filter" ... */
    char text[NJ_REASON_TEXT];
    uint64_t n;
} nj_dead_kind;

nj_reasons *nj_reasons_new(void); /* NULL: out of memory */
void nj_reasons_free(nj_reasons *reasons);
void nj_reasons_add(nj_reasons *reasons, const char *module, const char *reason);
/* The i-th kind; false behind the last. After 31 kinds the rest is "other". */
bool nj_reasons_get(nj_reasons *reasons, uint32_t i, nj_dead_kind *out);
/* "the block at byte 120 announces 7 bytes" is of the kind "the block at byte N announces N bytes". */
void nj_reason_kind(const char *reason, char *to, size_t room);

#endif
