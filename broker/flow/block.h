/* block.h - the memory of shared.h has a name, so that `nightjar top` finds the runs of a host without a
 * server and without a file. */
#ifndef NJ_FLOW_BLOCK_H
#define NJ_FLOW_BLOCK_H

#include "shared.h"
#include "../base/error.h"

/* In the supervisor, before the first worker: zeroed. NULL with err. */
nj_shared *nj_block_make(nj_error *err);
/* In a worker: the mapping is enough, and one process has the name. */
void nj_block_forget(void);
void nj_block_free(nj_shared *shared);

/* --- from another process --- */

typedef struct nj_run_block {
    int32_t pid;             /* of the supervisor */
    const nj_shared *shared; /* read-only; NULL: `why` */
    char why[200];
} nj_run_block;

typedef struct nj_run_blocks {
    nj_run_block *item;
    uint32_t n;
    uint32_t n_closed; /* processes named nightjar whose memory this user may not see */
} nj_run_blocks;

/* The runs of this host, by process number; pid 0: all. -1 with err. */
int nj_blocks_find(nj_run_blocks *blocks, int32_t pid, nj_error *err);
void nj_blocks_free(nj_run_blocks *blocks);

#endif
