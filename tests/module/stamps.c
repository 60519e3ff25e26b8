/* stamps.c - braai and ACAI end to end: the alerts that the models' golden rows were made of go through the
 * broker's own decoder, stamps and modules, and must get the golden scores. Skipped without the shared
 * folder. */
#include "oracle.h"

#include <jansson.h>

#include "broker/base/embed.h"

static const char *const names[] = { "braai", "acai_h", "acai_n", "acai_v", "acai_o", "acai_b" };
enum { MODELS = 6 };

typedef struct wanted {
    const char *instance;
    double score; /* of the only alert */
} wanted;

static void keep_score(runner *r)
{
    wanted *w = r->owner;
    assert_int_equal(r->batch->n, 1);
    for (uint32_t s = 0; s < r->graph->n_steps; s++)
        if (!strcmp(r->graph->step[s].in->name, w->instance))
            w->score = ((const float *)r->batch->col[r->graph->step[s].first_out].data)[0];
}

static void golden_scores(void **state)
{
    const char *name = *state;
    if (!shared || !*shared) skip();
    char path[4096], models[3072];
    size_t n;
    wanted w = { name, NAN };
    runner r;
    snprintf(models, sizeof models, "%s/real/models/onnx", shared);
    start(&r, models, nj_embedded_find("data/instances.ini")->data,
          "braai,acai_h,acai_n,acai_v,acai_o,acai_b", keep_score);
    r.owner = &w;
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
        /* "... (padded)": a stamp below 63 x 63 */
        snprintf(path, sizeof path, "%s/%.*s", shared, (int)strcspn(file, " "), file);
        w.score = NAN;
        run_file(&r, path);
        double x = w.score, d = fabs(x - y);
        /* the golden rows allow up to 8e-6 */
        if (!(d <= 1e-5)) fail_msg("%s: %s gives %.9g, golden %.9g", name, file, x, y);
        most = fmax(most, d);
    }
    print_message("# %s: %zu alerts, largest difference %.3g\n", name, json_array_size(files), most);
    assert_int_equal(json_array_size(files), 32);
    json_decref(manifest);
    free(bytes);
    stop(&r);
}

int main(void)
{
    struct CMUnitTest tests[MODELS];
    shared = getenv("NIGHTJAR_SHARED");
    for (int m = 0; m < MODELS; m++)
        tests[m] = (struct CMUnitTest){ .name = names[m],
                                        .test_func = golden_scores,
                                        .initial_state = (void *)(uintptr_t)names[m] };
    return cmocka_run_group_tests_name("golden scores of stamps", tests, NULL, NULL);
}
