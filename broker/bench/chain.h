/* chain.h - decode, stamps and modules over packets in memory, on one thread and without a sink. */
#ifndef NJ_BENCH_CHAIN_H
#define NJ_BENCH_CHAIN_H

#include "../engine/engine.h"
#include "../graph/services.h"
#include "packets.h"

typedef struct nj_bench_chain {
    nj_stream stream;
    nj_settings settings;
    nj_engine engine;
    nj_computer computer;
    const nj_batch *batch; /* while each() looks at it */
    nj_graph *graph;
    void (*each)(void *opaque, const struct nj_bench_chain *chain);
    void *opaque;
} nj_bench_chain;

/* select: instances as after -m; models: the folder that models are in; first: a packet of the schema.
 * -1 with err. */
int nj_bench_chain_open(nj_bench_chain *chain, const char *select, const char *models,
                        const nj_bench_packet *first, nj_error *err);
void nj_bench_chain_close(nj_bench_chain *chain);
/* All n packets, 64 to a batch. each (or NULL) sees every batch when its modules are done. */
void nj_bench_chain_run(nj_bench_chain *chain, const nj_bench_packet *packet, size_t n,
                        void (*each)(void *opaque, const nj_bench_chain *chain), void *opaque);
/* The instance's step in the graph; NULL = it is off. */
const nj_step *nj_bench_chain_step(const nj_bench_chain *chain, const char *instance);

#endif
