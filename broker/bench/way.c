/* way.c - several benchmarks time decode, stamps and modules without sinks; this sets that chain up for one
 * thread. */
#include "way.h"

#include <string.h>

#include "../base/log.h"
#include "../flow/run.h"

enum { ROWS = 64 };

static int show(void *opaque, const nj_graph *graph, nj_batch **batch)
{
    nj_bench_way *way = opaque;
    way->batch = *batch;
    if (way->each && graph) way->each(way->opaque, way);
    way->batch = NULL;
    return NJ_READ_ON;
}

int nj_bench_way_open(nj_bench_way *way, const char *select, const char *models, const nj_bench_packet *first,
                      nj_error *err)
{
    *way = (nj_bench_way){ .stream = { .name = "bench", .partition = -1 } };
    const nj_compute_options options = { .computed = show, .opaque = way, .batch_rows = ROWS };
    if (nj_run_defaults(&way->settings, err) ||
        nj_settings_set(&way->settings, "models", "path", models, "bench") ||
        nj_engine_load(&way->engine, &way->settings, NULL, 0, err) ||
        nj_engine_choose(&way->engine, select, err) || nj_engine_open(&way->engine, select, err) ||
        nj_computer_open(&way->computer, &way->engine, &options, err))
        return -1;
    nj_chunk chunk = nj_bench_chunk(first->bytes, first->size, &way->stream);
    const nj_schema *schema = nj_reader_schema(&way->computer.reader, &chunk, err);
    way->graph = schema ? nj_graphs_of(&way->computer.graphs, schema, err) : NULL;
    return way->graph ? 0 : -1;
}

void nj_bench_way_close(nj_bench_way *way)
{
    nj_computer_close(&way->computer);
    nj_engine_close(&way->engine);
    nj_settings_free(&way->settings);
}

void nj_bench_way_run(nj_bench_way *way, const nj_bench_packet *packet, size_t n,
                      void (*each)(void *opaque, const nj_bench_way *way), void *opaque)
{
    nj_chunk chunk[ROWS];
    nj_error err;
    way->each = each;
    way->opaque = opaque;
    for (size_t i = 0; i < n; i += ROWS) {
        for (size_t k = 0; k < ROWS && i + k < n; k++) {
            chunk[k] = nj_bench_chunk(packet[i + k].bytes, packet[i + k].size, &way->stream);
            if (nj_computer_take(&way->computer, &chunk[k], &err) < 0) nj_give_up("bench: %s", err.text);
        }
        if (nj_computer_flush(&way->computer, &err) < 0) nj_give_up("bench: %s", err.text);
    }
}

const nj_step *nj_bench_way_step(const nj_bench_way *way, const char *instance)
{
    for (uint32_t s = 0; s < way->graph->n_steps; s++)
        if (!way->graph->step[s].off && !strcmp(way->graph->step[s].in->name, instance))
            return &way->graph->step[s];
    return NULL;
}
