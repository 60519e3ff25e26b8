/* shed.h - which alerts went without which module while a run could not keep up. Plain data: it outlives a
 * worker in memory that its supervisor has. */
#ifndef NJ_REPORT_SHED_H
#define NJ_REPORT_SHED_H

#include <stdbool.h>
#include <stdint.h>

enum { NJ_SHED_KINDS = 64, NJ_SHED_RANGES = 64 };

/* Alerts of one stream, from the first to the last offset. */
typedef struct nj_shed_range {
    char stream[256];
    int64_t first, last;
    uint64_t alerts;
} nj_shed_range;

typedef struct nj_shed_module {
    char name[64];
    uint64_t alerts;
    uint32_t n_ranges;
    bool more; /* ranges than there is room for: the last one has them all, of whatever stream */
    nj_shed_range range[NJ_SHED_RANGES];
} nj_shed_module;

typedef struct nj_shed_account {
    uint32_t n;
    nj_shed_module module[NJ_SHED_KINDS];
} nj_shed_account;

#endif
