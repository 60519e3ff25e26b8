/* oracle.h - real alerts through the broker's own decoder, graph and dispatch,
 * for tests that compare with Fink. */
#ifndef TESTS_MODULE_ORACLE_H
#define TESTS_MODULE_ORACLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/base/file.h"
#include "broker/avro/decode.h"
#include "broker/graph/dispatch.h"
#include "nightjar/csv.h"
#include "broker/image/opener.h"

typedef struct set {
    const char *name, *alerts; /* below the shared folder */
} set;
static const set sets[] = { { "host", "oracles/alerts/host.avro" },
                            { "few", "oracles/alerts/few.avro" },
                            { "reg0", "oracles/alerts/reg0.avro" },
                            { "slsn", "oracles/alerts/slsn.avro" },
                            { "yso", "oracles/alerts/yso.avro" },
                            { "sym", "oracles/alerts/sym.avro" },
                            { "dt", "oracles/alerts/dt.avro" },
                            { "G", "real/other/fink_ztf/public_20260322_31alerts.avro" },
                            { "dev", "real/ztf" } };
enum { SETS = sizeof sets / sizeof *sets };

static const char *shared; /* NULL: not here */

static inline void find_shared(void)
{
    static char oracles[4096];
    struct stat st;
    const char *folder = getenv("NIGHTJAR_SHARED");
    snprintf(oracles, sizeof oracles, "%s/oracles/computed", folder ? folder : "");
    shared = folder && !stat(oracles, &st) ? folder : NULL;
}

typedef struct runner {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    nj_decoder *decoder;
    nj_graph *graph;
    nj_worker *worker;
    nj_opener *opener;
    nj_batch *batch;
    nj_cursor cursor;
    nj_stream stream;
    const nj_want *want; /* columns beside those of the modules; batch->col[graph->want[k]] */
    uint32_t n_wants;
    void (*each)(struct runner *r); /* called with every batch */
    void *owner;
} runner;

/* Where the modules find their files: models of the shared folder. Lives until the next call. */
static inline const char *models_path(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/real/models/onnx:tests/module", shared);
    return path;
}

/* Opens the instances of the settings text that `select` (a -m list) chooses; each(r) sees every batch. The
 * data path lives as long as the runner. */
static inline void start(runner *r, const char *data_path, const char *ini, const char *select,
                         void (*each)(runner *r))
{
    nj_error err = { "" };
    *r = (runner){ .stream = { .name = "oracles", .partition = -1 },
                   .set = { .data_path = data_path },
                   .each = each };
    if (nj_modules_builtin(&r->modules, &err) || nj_settings_ini(&r->settings, "test", ini, &err) ||
        nj_instances_choose(&r->set, &r->modules, &r->settings, select, &err) ||
        nj_instances_open(&r->set, select, &err))
        fail_msg("%s", err.text);
    r->decoder = nj_decoder_new(&r->settings, &err);
    if (!r->decoder) fail_msg("%s", err.text);
    r->opener = nj_opener_new(r->decoder);
    r->worker = nj_worker_new(&r->set, nj_stamp_for_graph, r->opener, 0, false, &err);
    if (!r->worker) fail_msg("%s", err.text);
    r->batch = nj_batch_new();
}

static inline void stop(runner *r)
{
    nj_batch_free(r->batch);
    nj_cursor_free(&r->cursor);
    nj_worker_free(r->worker);
    nj_graph_free(r->graph);
    nj_opener_free(r->opener);
    nj_decoder_free(r->decoder);
    nj_instances_close(&r->set);
    nj_settings_free(&r->settings);
    nj_modules_free(&r->modules);
}

static inline void run_file(runner *r, const char *path)
{
    nj_error err = { "" };
    size_t n;
    char *bytes = nj_file_read(path, SIZE_MAX, &n);
    if (!bytes) fail_msg("%s: cannot be read", path);
    nj_chunk *chunk = nj_chunk_new(&r->stream, (uint8_t *)bytes, n);
    assert_non_null(chunk);
    if (nj_cursor_open(&r->cursor, r->decoder, chunk, &err)) fail_msg("%s: %s", path, err.text);
    if (!r->graph) {
        nj_offers offers = { r->cursor.schema, nj_schema_survey(r->cursor.schema), nj_offer_for_graph };
        r->graph = nj_graph_new(&r->set, &offers, r->want, r->n_wants, &err);
        if (!r->graph) fail_msg("%s", err.text);
    }
    for (int more = 1; more;) {
        assert_int_equal(nj_batch_begin(r->batch, &r->graph->layout, 64), 0);
        more = nj_cursor_read(&r->cursor, r->batch, 64, 8 << 20);
        assert_true(more >= 0);
        if (r->batch->n_dead) fail_msg("%s: %s", path, r->batch->dead[0].reason);
        assert_int_equal(nj_dispatch(r->graph, r->worker, r->batch), 0);
        r->each(r);
        nj_batch_end(r->batch);
    }
    nj_chunk_drop(chunk);
}

static inline void run_set(runner *r, const set *s)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", shared, s->alerts);
    if (stat(path, &st)) fail_msg("%s: not there", path);
    if (!S_ISDIR(st.st_mode)) {
        run_file(r, path);
        return;
    }
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", shared, s->alerts, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.') run_file(r, path);
        free(entry[i]);
    }
    free(entry);
}

#endif
