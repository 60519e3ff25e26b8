/* braai and ACAI end to end: the alerts that the models' golden rows were made of go through the broker's own decoder,
 * stamps and modules, and must get the golden scores. Skipped without the shared folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/embed.h"
#include "broker/base/file.h"
#include "broker/decode/decode.h"
#include "broker/graph/dispatch.h"

static const char *const names[] = { "braai", "acai_h", "acai_n", "acai_v", "acai_o", "acai_b" };
enum { MODELS = 6 };
static const char *shared;

typedef struct pipeline {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_cursor cursor;
    nj_graph *graph;
    nj_worker *worker;
    nj_batch *batch;
    nj_stream stream;
} pipeline;

static void start(pipeline *p, const char *data_path)
{
    nj_error err = { "" };
    const char *select = "braai,acai_h,acai_n,acai_v,acai_o,acai_b";
    const nj_embedded *ini = nj_embedded_find("data/instances.ini");
    *p = (pipeline){ .stream = { .name = "golden", .partition = -1 }, .set = { .data_path = data_path } };
    if (nj_modules_builtin(&p->modules, &err) || nj_settings_ini(&p->settings, ini->name, ini->data, &err) ||
        nj_instances_choose(&p->set, &p->modules, &p->settings, select, &err) || nj_instances_open(&p->set, select, &err))
        fail_msg("%s", err.text);
    p->decoder = nj_decoder_new(&p->settings, &err);
    if (!p->decoder) fail_msg("%s", err.text);
    p->opener = nj_opener_new(p->decoder);
    p->worker = nj_worker_new(&p->set, nj_stamp_for_graph, p->opener, 0, false, &err);
    if (!p->worker) fail_msg("%s", err.text);
    p->batch = nj_batch_new();
}

static void stop(pipeline *p)
{
    nj_batch_free(p->batch);
    nj_cursor_free(&p->cursor);
    nj_worker_free(p->worker);
    nj_graph_free(p->graph);
    nj_opener_free(p->opener);
    nj_decoder_free(p->decoder);
    nj_instances_close(&p->set);
    nj_settings_free(&p->settings);
    nj_modules_free(&p->modules);
}

/* The instance's score of the only alert of the file. */
static double score_of(pipeline *p, const char *path, const char *instance)
{
    nj_error err = { "" };
    size_t n;
    uint8_t *bytes = (uint8_t *)nj_file_read(path, SIZE_MAX, &n);
    if (!bytes) fail_msg("%s: cannot be read", path);
    nj_chunk *chunk = nj_chunk_new(&p->stream, bytes, n);
    if (nj_cursor_open(&p->cursor, p->decoder, chunk, &err)) fail_msg("%s: %s", path, err.text);
    if (!p->graph) {
        nj_offers offers = { p->cursor.schema, nj_schema_survey(p->cursor.schema), nj_offer_for_graph };
        p->graph = nj_graph_new(&p->set, &offers, NULL, 0, &err);
        if (!p->graph) fail_msg("%s", err.text);
    }
    assert_int_equal(nj_batch_begin(p->batch, &p->graph->layout, 4), 0);
    assert_int_equal(nj_cursor_read(&p->cursor, p->batch, 4, SIZE_MAX), 0);
    assert_int_equal(p->batch->n, 1);
    assert_int_equal(nj_dispatch(p->graph, p->worker, p->batch), 0);
    double score = NAN;
    for (uint32_t s = 0; s < p->graph->n_steps; s++)
        if (!strcmp(p->graph->step[s].in->name, instance))
            score = ((const float *)p->batch->col[p->graph->step[s].first_out].data)[0];
    nj_batch_end(p->batch);
    nj_chunk_drop(chunk);
    return score;
}

static void golden_scores(void **state)
{
    const char *name = *state;
    if (!shared || !*shared) skip();
    char path[4096], models[3072];
    size_t n;
    pipeline p;
    snprintf(models, sizeof models, "%s/real/models/onnx", shared);
    start(&p, models);
    snprintf(path, sizeof path, "%s/%s/manifest.json", models, name);
    json_t *manifest = json_load_file(path, 0, NULL);
    assert_non_null(manifest);
    json_t *golden = json_object_get(manifest, "golden"), *files = json_object_get(golden, "origin_files"),
           *tensors = json_object_get(golden, "tensors");
    json_t *last = json_array_get(tensors, json_array_size(tensors) - 1);
    snprintf(path, sizeof path, "%s/%s/golden.bin", models, name);
    uint8_t *bytes = (uint8_t *)nj_file_read(path, SIZE_MAX, &n);
    if (!bytes) fail_msg("%s: cannot be read", path);
    const uint8_t *expected = bytes + json_integer_value(json_object_get(last, "offset"));
    double most = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *file = json_string_value(json_array_get(files, i));
        float y;
        memcpy(&y, expected + 4 * i, 4);
        snprintf(path, sizeof path, "%s/%.*s", shared, (int)strcspn(file, " "), file); /* "... (padded)": a stamp below 63 x 63 */
        double x = score_of(&p, path, name), d = fabs(x - y);
        if (!(d <= 1e-5)) fail_msg("%s: %s gives %.9g, golden %.9g", name, file, x, y); /* the golden rows allow up to 8e-6 */
        most = fmax(most, d);
    }
    print_message("# %s: %zu alerts, largest difference %.3g\n", name, json_array_size(files), most);
    assert_int_equal(json_array_size(files), 32);
    json_decref(manifest);
    free(bytes);
    stop(&p);
}

int main(void)
{
    struct CMUnitTest tests[MODELS];
    shared = getenv("NIGHTJAR_SHARED");
    for (int m = 0; m < MODELS; m++)
        tests[m] =
            (struct CMUnitTest){ .name = names[m], .test_func = golden_scores, .initial_state = (void *)(uintptr_t)names[m] };
    return cmocka_run_group_tests_name("golden scores of stamps", tests, NULL, NULL);
}
