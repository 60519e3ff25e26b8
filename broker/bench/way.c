#include "way.h"

#include <string.h>

#include "../base/embed.h"

enum { ROWS = 64 };

int nj_bench_way_open(nj_bench_way *way, const char *select, const char *models, const nj_bench_packet *first, nj_error *err)
{
    const nj_embedded *ini = nj_embedded_find("data/instances.ini");
    *way = (nj_bench_way){ .stream = { .name = "bench", .partition = -1 }, .set = { .data_path = models } };
    if (nj_modules_builtin(&way->modules, err) || (ini && nj_settings_ini(&way->settings, ini->name, ini->data, err)) ||
        nj_instances_choose(&way->set, &way->modules, &way->settings, select, err) || nj_instances_open(&way->set, select, err))
        return -1;
    way->decoder = nj_decoder_new(&way->settings, err);
    if (!way->decoder) return -1;
    way->opener = nj_opener_new(way->decoder);
    way->batch = nj_batch_new();
    way->worker = nj_worker_new(&way->set, nj_stamp_for_graph, way->opener, 0, false, err);
    nj_chunk chunk = nj_bench_chunk(first->bytes, first->size, &way->stream);
    if (!way->worker || nj_cursor_open(&way->cursor, way->decoder, &chunk, err)) return -1;
    nj_offers offers = { way->cursor.schema, nj_schema_survey(way->cursor.schema), nj_offer_for_graph };
    way->graph = nj_graph_new(&way->set, &offers, NULL, 0, err);
    return way->graph ? 0 : -1;
}

void nj_bench_way_close(nj_bench_way *way)
{
    nj_worker_free(way->worker);
    nj_graph_free(way->graph);
    nj_cursor_free(&way->cursor);
    nj_batch_free(way->batch);
    nj_opener_free(way->opener);
    nj_decoder_free(way->decoder);
    nj_instances_close(&way->set);
    nj_settings_free(&way->settings);
    nj_modules_free(&way->modules);
}

void nj_bench_way_run(nj_bench_way *way, const nj_bench_packet *packet, size_t n,
                      void (*each)(void *opaque, const nj_bench_way *way), void *opaque)
{
    nj_chunk chunk[ROWS];
    nj_error err;
    for (size_t i = 0; i < n; i += ROWS) {
        nj_batch_begin(way->batch, &way->graph->layout, ROWS);
        for (size_t k = 0; k < ROWS && i + k < n; k++) {
            chunk[k] = nj_bench_chunk(packet[i + k].bytes, packet[i + k].size, &way->stream);
            if (nj_cursor_open(&way->cursor, way->decoder, &chunk[k], &err)) continue;
            nj_cursor_read(&way->cursor, way->batch, ROWS, SIZE_MAX);
        }
        nj_dispatch(way->graph, way->worker, way->batch);
        if (each) each(opaque, way);
        nj_batch_end(way->batch);
    }
}

const nj_step *nj_bench_way_step(const nj_bench_way *way, const char *instance)
{
    for (uint32_t s = 0; s < way->graph->n_steps; s++)
        if (!way->graph->step[s].off && !strcmp(way->graph->step[s].in->name, instance)) return &way->graph->step[s];
    return NULL;
}
