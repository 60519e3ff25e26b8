/* way.h - the broker's own way over packets in memory, on one thread: decode, stamps, modules; no sink. */
#ifndef NJ_BENCH_WAY_H
#define NJ_BENCH_WAY_H

#include "../engine/engine.h"
#include "../graph/services.h"
#include "packets.h"

typedef struct nj_bench_way {
    nj_stream stream;
    nj_settings settings;
    nj_engine engine;
    nj_computer computer;
    const nj_batch *batch; /* while each() looks at it */
    nj_graph *graph;
    void (*each)(void *opaque, const struct nj_bench_way *way);
    void *opaque;
} nj_bench_way;

/* select: instances as after -m; models: the folder that models are in; first: a packet of the schema.
 * -1 with err. */
int nj_bench_way_open(nj_bench_way *way, const char *select, const char *models, const nj_bench_packet *first,
                      nj_error *err);
void nj_bench_way_close(nj_bench_way *way);
/* All n packets, 64 to a batch. each (or NULL) sees every batch when its modules are done. */
void nj_bench_way_run(nj_bench_way *way, const nj_bench_packet *packet, size_t n,
                      void (*each)(void *opaque, const nj_bench_way *way), void *opaque);
/* The instance's step in the graph; NULL = it is off. */
const nj_step *nj_bench_way_step(const nj_bench_way *way, const char *instance);

#endif
