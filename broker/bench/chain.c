/* chain.c - several benchmarks time decode, stamps and modules without sinks; this sets that chain up for one
 * thread. */
#include "chain.h"

#include <string.h>

#include "../base/log.h"
#include "../flow/run.h"

enum { ROWS = 64 };

static int show(void *opaque, const nj_graph *graph, nj_batch **batch)
{
    nj_bench_chain *chain = opaque;
    chain->batch = *batch;
    if (chain->each && graph) chain->each(chain->opaque, chain);
    chain->batch = NULL;
    return NJ_READ_ON;
}

int nj_bench_chain_open(nj_bench_chain *chain, const char *select, const char *models,
                        const nj_bench_packet *first, nj_error *err)
{
    *chain = (nj_bench_chain){ .stream = { .name = "bench", .partition = -1 } };
    const nj_compute_options options = { .computed = show, .opaque = chain, .batch_rows = ROWS };
    if (nj_run_defaults(&chain->settings, err) ||
        nj_settings_set(&chain->settings, "models", "path", models, "bench") ||
        nj_engine_load(&chain->engine, &chain->settings, NULL, 0, err) ||
        nj_engine_choose(&chain->engine, select, err) || nj_engine_open(&chain->engine, select, err) ||
        nj_computer_open(&chain->computer, &chain->engine, &options, err))
        return -1;
    nj_chunk chunk = nj_bench_chunk(first->bytes, first->size, &chain->stream);
    const nj_schema *schema = nj_reader_schema(&chain->computer.reader, &chunk, err);
    chain->graph = schema ? nj_graphs_of(&chain->computer.graphs, schema, err) : NULL;
    return chain->graph ? 0 : -1;
}

void nj_bench_chain_close(nj_bench_chain *chain)
{
    nj_computer_close(&chain->computer);
    nj_engine_close(&chain->engine);
    nj_settings_free(&chain->settings);
}

void nj_bench_chain_run(nj_bench_chain *chain, const nj_bench_packet *packet, size_t n,
                        void (*each)(void *opaque, const nj_bench_chain *chain), void *opaque)
{
    nj_chunk chunk[ROWS];
    nj_error err;
    chain->each = each;
    chain->opaque = opaque;
    for (size_t i = 0; i < n; i += ROWS) {
        for (size_t k = 0; k < ROWS && i + k < n; k++) {
            chunk[k] = nj_bench_chunk(packet[i + k].bytes, packet[i + k].size, &chain->stream);
            if (nj_computer_take(&chain->computer, &chunk[k], &err) < 0) nj_give_up("bench: %s", err.text);
        }
        if (nj_computer_flush(&chain->computer, &err) < 0) nj_give_up("bench: %s", err.text);
    }
}

const nj_step *nj_bench_chain_step(const nj_bench_chain *chain, const char *instance)
{
    for (uint32_t s = 0; s < chain->graph->n_steps; s++)
        if (!chain->graph->step[s].off && !strcmp(chain->graph->step[s].in->name, instance))
            return &chain->graph->step[s];
    return NULL;
}
