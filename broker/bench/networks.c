/* braai and the five ACAI networks on real alerts from compressed packets: the broker's own way (decode, stamps, networks)
 * against the two things that it cannot do without: ONNX Runtime alone at its best batch and libdeflate alone for the
 * stamps. Figures per alert of the folder. */
#include <dirent.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/embed.h"
#include "../decode/decode.h"
#include "../graph/dispatch.h"
#include "../graph/services.h"
#include "harness.h"
#include "model_files.h"
#include "nightjar/stamp.h"

enum { MODELS = 6, FEATURES = 25, ROWS = 64, STAMP_BUFFER = 1 << 16, BATCHES = 3 };
static const char *const names[MODELS] = { "braai", "acai_h", "acai_n", "acai_v", "acai_o", "acai_b" };

typedef struct packet {
    uint8_t *bytes;
    size_t size;
} packet;

typedef struct ort {
    nj_model *model[BATCHES];
    nj_model_thread *thread[BATCHES];
} ort;

typedef struct bench {
    packet *packet;
    size_t n;
    nj_stream stream;
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_cursor cursor;
    nj_batch *batch;
    nj_graph *graph;
    nj_worker *worker;
    /* what the networks read, kept from one pass: for ONNX Runtime alone */
    float *triplet, *features;       /* [n][NJ_TRIPLET], [n][FEATURES] */
    float *score[MODELS];            /* [n] by the modules; NAN = none */
    float *triplet_25, *features_25; /* rows with all 25 numbers */
    size_t n_stamps, n_all;          /* rows with stamps; rows with stamps and numbers */
    double *out;
    uint8_t **gzip;
    size_t *gzip_size, n_gzip;
    struct libdeflate_decompressor *inflate;
    const nj_model_service *service;
    nj_model_files files;
    ort ort[MODELS];
    int best; /* index of the batch */
    int keep;
    size_t row;
} bench;

static const uint32_t batch_size[BATCHES] = { 4, 8, 16 };

/* --- packets --- */

static int is_packet(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 5 && !strcmp(entry->d_name + n - 5, ".avro");
}

static int load(bench *b, const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, is_packet, alphasort);
    if (n <= 0) return -1;
    b->packet = calloc((size_t)n, sizeof *b->packet);
    for (int i = 0; i < n; i++) {
        char path[8192];
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        free(entry[i]);
        FILE *f = fopen(path, "rb");
        packet *p = &b->packet[b->n];
        if (!f) continue;
        fseek(f, 0, SEEK_END);
        p->size = (size_t)ftell(f);
        rewind(f);
        p->bytes = malloc(p->size + 1);
        b->n += p->bytes && fread(p->bytes, 1, p->size, f) == p->size;
        fclose(f);
    }
    free(entry);
    return b->n ? 0 : -1;
}

/* --- the broker's way --- */

static void no_release(nj_chunk *chunk)
{
    (void)chunk;
}

static void open_stamp(void *opener, nj_stamp *stamp, nj_arena *arena, const char **why)
{
    nj_stamp_open(opener, stamp, arena, why);
}

static int offer(const void *schema, const char *path, nj_type *type, nj_shape *shape, const char **unit, bool *in_map)
{
    nj_offer o = { 0 };
    int rc = nj_schema_offer(schema, path, &o, in_map);
    *type = o.type;
    *shape = o.shape;
    *unit = o.unit;
    return rc;
}

static const nj_step *step_of(const bench *b, const char *name)
{
    for (uint32_t s = 0; s < b->graph->n_steps; s++)
        if (!b->graph->step[s].off && !strcmp(b->graph->step[s].in->name, name)) return &b->graph->step[s];
    return NULL;
}

static void keep_stamps(bench *b, uint32_t row)
{
    for (int s = 0; s < NJ_STAMPS; s++) {
        const nj_stamp *stamp = &b->batch->stamp[s][row];
        if (!stamp->bytes) continue;
        b->gzip[b->n_gzip] = malloc(stamp->size);
        memcpy(b->gzip[b->n_gzip], stamp->bytes, stamp->size);
        b->gzip_size[b->n_gzip++] = stamp->size;
    }
}

/* Scores and inputs of the batch, once, before anything is timed. */
static void keep_rows(bench *b)
{
    const nj_step *acai = step_of(b, "acai_h");
    for (uint32_t row = 0; row < b->batch->n; row++) {
        for (int m = 0; m < MODELS; m++) {
            const nj_step *s = step_of(b, names[m]);
            b->score[m][b->row] = s ? ((const float *)b->batch->col[s->first_out].data)[row] : NAN;
        }
        keep_stamps(b, row);
        float *to = b->triplet + b->n_stamps * NJ_TRIPLET;
        int good = !isnan(b->score[0][b->row]);
        for (uint32_t s = 0; good && s < 3; s++)
            good = nj_stamp_plane(&b->batch->stamp[s][row].image, NJ_SMALL_BOOM, NJ_STAMP_SIDE, to + s, 3) == NJ_DONE;
        b->n_stamps += (size_t)good;
        if (good && acai && !isnan(b->score[1][b->row])) {
            memcpy(b->triplet_25 + b->n_all * NJ_TRIPLET, to, NJ_TRIPLET * sizeof *to);
            for (uint32_t k = 0; k < FEATURES; k++)
                b->features_25[b->n_all * FEATURES + k] =
                    acai->col[k] == NJ_NO_COLUMN ? NAN : (float)((const double *)b->batch->col[acai->col[k]].data)[row];
            b->n_all++;
        }
        b->row++;
    }
}

static void own(void *state)
{
    bench *b = state;
    nj_chunk chunk[ROWS];
    nj_error err;
    for (size_t i = 0; i < b->n; i += ROWS) {
        nj_batch_begin(b->batch, &b->graph->layout, ROWS);
        for (size_t k = 0; k < ROWS && i + k < b->n; k++) {
            chunk[k] = (nj_chunk){ .bytes = b->packet[i + k].bytes,
                                   .size = b->packet[i + k].size,
                                   .stream = &b->stream,
                                   .refs = 1,
                                   .release = no_release };
            if (nj_cursor_open(&b->cursor, b->decoder, &chunk[k], &err)) continue;
            nj_cursor_read(&b->cursor, b->batch, ROWS, SIZE_MAX);
        }
        nj_dispatch(b->graph, b->worker, b->batch);
        if (b->keep) keep_rows(b);
        nj_batch_end(b->batch);
    }
}

/* --- the parts alone --- */

static void run_ort(bench *b, int m, int batch)
{
    const void *in[2] = { m ? b->triplet_25 : b->triplet, b->features_25 };
    nj_model_call call = { .n_rows = (uint32_t)(m ? b->n_all : b->n_stamps), .input = in, .out = b->out };
    b->service->predict(b->ort[m].model[batch], b->ort[m].thread[batch], &call);
    nj_bench_use(b->out);
}

static void gunzip(bench *b)
{
    static uint8_t out[STAMP_BUFFER];
    size_t n;
    for (size_t i = 0; i < b->n_gzip; i++) {
        libdeflate_gzip_decompress(b->inflate, b->gzip[i], b->gzip_size[i], out, sizeof out, &n);
        nj_bench_use(out);
    }
}

static void all_ort(bench *b, int batch)
{
    for (int m = 0; m < MODELS; m++) run_ort(b, m, batch);
}

static void parts(void *state)
{
    bench *b = state;
    gunzip(b);
    all_ort(b, b->best);
}

static void ort_4(void *state)
{
    all_ort(state, 0);
}
static void ort_8(void *state)
{
    all_ort(state, 1);
}
static void ort_16(void *state)
{
    all_ort(state, 2);
}
static void gunzip_alone(void *state)
{
    gunzip(state);
}

/* --- getting ready --- */

static int open_graph(bench *b, const char *models, nj_error *err)
{
    static const char select[] = "braai,acai_h,acai_n,acai_v,acai_o,acai_b";
    const nj_embedded *ini = nj_embedded_find("data/instances.ini");
    b->set.data_path = models;
    if (nj_modules_builtin(&b->modules, err) || (ini && nj_settings_ini(&b->settings, ini->name, ini->data, err)) ||
        nj_instances_choose(&b->set, &b->modules, &b->settings, select, err) || nj_instances_open(&b->set, select, err))
        return -1;
    b->decoder = nj_decoder_new(&b->settings, err);
    if (!b->decoder) return -1;
    b->opener = nj_opener_new(b->decoder);
    b->batch = nj_batch_new();
    b->worker = nj_worker_new(&b->set, open_stamp, b->opener, 0, false, err);
    nj_chunk chunk = {
        .bytes = b->packet[0].bytes, .size = b->packet[0].size, .stream = &b->stream, .refs = 1, .release = no_release
    };
    if (!b->worker || nj_cursor_open(&b->cursor, b->decoder, &chunk, err)) return -1;
    nj_offers offers = { b->cursor.schema, nj_schema_survey(b->cursor.schema), offer };
    b->graph = nj_graph_new(&b->set, &offers, NULL, 0, err);
    return b->graph ? 0 : -1;
}

static int open_ort(bench *b, const char *models)
{
    nj_model_files_open(&b->files, models);
    for (int m = 0; m < MODELS; m++)
        for (int k = 0; k < BATCHES; k++) {
            nj_model_options o = { .size = sizeof o, .engine = "ort", .ort_batch = batch_size[k] };
            b->ort[m].model[k] = b->service->open(&b->files.host, names[m], &o);
            b->ort[m].thread[k] = b->ort[m].model[k] ? b->service->thread_open(b->ort[m].model[k], (uint32_t)b->n + 1, 0) : NULL;
            if (!b->ort[m].thread[k]) return -1;
        }
    return 0;
}

static int make_room(bench *b)
{
    b->triplet = malloc(b->n * NJ_TRIPLET * sizeof *b->triplet);
    b->triplet_25 = malloc(b->n * NJ_TRIPLET * sizeof *b->triplet);
    b->features_25 = malloc(b->n * FEATURES * sizeof *b->features_25);
    b->out = malloc(b->n * sizeof *b->out);
    b->gzip = malloc(3 * b->n * sizeof *b->gzip);
    b->gzip_size = malloc(3 * b->n * sizeof *b->gzip_size);
    b->inflate = libdeflate_alloc_decompressor();
    for (int m = 0; m < MODELS; m++) b->score[m] = malloc(b->n * sizeof **b->score);
    return b->triplet && b->triplet_25 && b->features_25 && b->out && b->gzip && b->gzip_size && b->inflate &&
                   b->score[MODELS - 1]
               ? 0
               : -1;
}

/* The batch at which ONNX Runtime is fastest here: the least of five runs each. */
static void find_best(bench *b)
{
    int64_t least = INT64_MAX;
    for (int round = 0; round < 5; round++)
        for (int k = 0; k < BATCHES; k++) {
            int64_t start = nj_thread_cpu_ns();
            all_ort(b, k);
            int64_t ns = nj_thread_cpu_ns() - start;
            if (ns >= least) continue;
            least = ns;
            b->best = k;
        }
}

/* The modules' scores against ONNX Runtime's on the same inputs: 1e-5, both sum in single precision. */
static bool verify(nj_bench_run *run, bench *b)
{
    double most = 0;
    for (int m = 0; m < MODELS; m++) {
        run_ort(b, m, b->best);
        for (size_t r = 0, i = 0; r < b->n; r++) {
            if (isnan(b->score[m ? 1 : 0][r])) continue;
            most = fmax(most, fabs(b->score[m][r] - b->out[i++]));
        }
    }
    return nj_bench_verify(run, most <= 1e-5, "scores of %zu alerts (ACAI %zu) are ONNX Runtime's within %.2g", b->n_stamps,
                           b->n_all, most);
}

static void time_all(nj_bench_run *run, bench *b, int with_ort)
{
    double items = (double)b->n;
    const nj_bench_case alone[] = { { .name = "ONNX Runtime, batch 4", .work = ort_4, .state = b, .items = items },
                                    { .name = "ONNX Runtime, batch 8", .work = ort_8, .state = b, .items = items },
                                    { .name = "ONNX Runtime, batch 16", .work = ort_16, .state = b, .items = items },
                                    { .name = "libdeflate alone", .work = gunzip_alone, .state = b, .items = items } };
    const nj_bench_case cases[] = {
        { .name = "packets to six scores", .work = own, .state = b, .items = items },
        { .name = "ONNX Runtime at its best batch, and libdeflate", .work = parts, .state = b, .items = items }
    };
    if (with_ort) nj_bench_time(run, alone, 4);
    nj_bench_time(run, cases, with_ort ? 2 : 1);
    if (with_ort) nj_bench_ratio(run, "packets to six scores over the parts alone", 0, 1, NAN, 1.1);
}

static void free_bench(bench *b)
{
    for (int m = 0; m < MODELS; m++) {
        for (int k = 0; k < BATCHES; k++) {
            if (b->ort[m].thread[k]) b->service->thread_close(b->ort[m].thread[k]);
            b->service->close(b->ort[m].model[k]);
        }
        free(b->score[m]);
    }
    nj_model_files_close(&b->files);
    nj_worker_free(b->worker);
    nj_graph_free(b->graph);
    nj_cursor_free(&b->cursor);
    nj_batch_free(b->batch);
    nj_opener_free(b->opener);
    nj_decoder_free(b->decoder);
    nj_instances_close(&b->set);
    nj_settings_free(&b->settings);
    nj_modules_free(&b->modules);
    if (b->inflate) libdeflate_free_decompressor(b->inflate);
    for (size_t i = 0; i < b->n_gzip; i++) free(b->gzip[i]);
    for (size_t i = 0; i < b->n; i++) free(b->packet[i].bytes);
    free(b->packet);
    free(b->triplet);
    free(b->triplet_25);
    free(b->features_25);
    free(b->out);
    free(b->gzip);
    free(b->gzip_size);
    free(b);
}

static int run_networks(nj_bench_run *run)
{
    const char *models = nj_model_files_real(), *shared = getenv("NIGHTJAR_SHARED");
    char folder[4096];
    nj_error err = { "out of memory" };
    snprintf(folder, sizeof folder, "%s/real/ztf", shared && *shared ? shared : "../shared");
    bench *b = calloc(1, sizeof *b);
    if (!b) return -1;
    b->service = nj_service(NJ_MODEL_SERVICE, 1);
    b->stream = (nj_stream){ .name = "bench", .partition = -1 };
    b->best = 1;
    int rc = 0;
    if (!models || load(b, nj_bench_data(run) ? nj_bench_data(run) : folder))
        nj_bench_note(run, "the real models or packets are not here: nothing timed");
    else if (make_room(b) || open_graph(b, models, &err)) {
        nj_bench_note(run, "%s", err.text);
        rc = -1;
    } else {
        b->keep = 1;
        own(b);
        b->keep = 0;
        int with_ort = !open_ort(b, models);
        if (!with_ort) nj_bench_note(run, "%s", b->files.log);
        nj_bench_note(run, "%zu alerts, %zu with stamps, %zu with all 25 numbers", b->n, b->n_stamps, b->n_all);
        if (with_ort) find_best(b);
        if (with_ort) nj_bench_note(run, "ONNX Runtime is fastest at batch %u", batch_size[b->best]);
        rc = with_ort && !verify(run, b) ? -1 : 0;
        time_all(run, b, with_ort);
    }
    free_bench(b);
    return rc;
}

const nj_bench nj_bench_networks = { "networks",
                                     "braai and ACAI from compressed packets, against ONNX Runtime and libdeflate alone",
                                     run_networks };
