/* decode_lsst.c - `bench decode --survey lsst`: real LSST datums (schema 9.0, Confluent payloads),
 * replicated beyond the caches; own projection and the three primary images against avro-c with a cached
 * schema and as most C programs use it. */
#include "decode_lsst.h"

#include <avro.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "../base/file.h"
#include "../avro/decode.h"
#include "rows.h"
#include "avro_c.h"

/* Alerts/s of one core that BOOM's decode with a cached schema took on a machine of this kind (11,000 to
 * 13,000, measured when this was planned; the faster end). Its own program is not run here. */
static const double boom_per_s = 13000;

enum {
    ROWS = 16 /* their pixels stay in the second-level cache */,
    RECEIVED = 64,
    NAIVE_SHARE = 8,
    TARGET_BYTES = 80000000
};

#define RAW(name) NJ_BENCH_NUMBER("packet.diaSource." name)
#define LC(name) NJ_BENCH_NUMBERS("lc." name)
#define FP(name) NJ_BENCH_NUMBERS("fp." name)
static const nj_column_def columns[] = { { "candid", NJ_I64, NJ_SCALAR, NULL, 1 },
                                         { "object", NJ_STR, NJ_SCALAR, NULL, 1 },
                                         { "band", NJ_STR, NJ_SCALAR, NULL, 1 },
                                         RAW("midpointMjdTai"),
                                         RAW("ra"),
                                         RAW("raErr"),
                                         RAW("dec"),
                                         RAW("decErr"),
                                         RAW("x"),
                                         RAW("y"),
                                         RAW("apFlux"),
                                         RAW("apFluxErr"),
                                         RAW("snr"),
                                         RAW("psfFlux"),
                                         RAW("psfFluxErr"),
                                         RAW("psfLnL"),
                                         RAW("psfChi2"),
                                         RAW("psfNdata"),
                                         RAW("scienceFlux"),
                                         RAW("scienceFluxErr"),
                                         RAW("templateFlux"),
                                         RAW("ixx"),
                                         RAW("iyy"),
                                         RAW("ixy"),
                                         RAW("extendedness"),
                                         RAW("reliability"),
                                         RAW("visit"),
                                         RAW("detector"),
                                         LC("jd"),
                                         LC("flux"),
                                         LC("flux_err"),
                                         LC("band"),
                                         FP("jd"),
                                         FP("flux"),
                                         FP("flux_err"),
                                         FP("band") };
enum { FIRST_RAW = 3, FIRST_SERIES = FIRST_RAW + 25, N_COLUMNS = sizeof columns / sizeof *columns };
static const nj_layout layout = { "lsst", N_COLUMNS, N_COLUMNS, columns, 7 };

typedef struct bench {
    uint8_t **datum;
    size_t *size;
    nj_buffer *file; /* the same as container files, for the naive reading */
    size_t n, n_real, bytes;
    uint64_t digest; /* FNV-1a of the real datums, in the order of their names */
    char *schema;
    nj_settings settings;
    nj_decoder *decoder;
    nj_bench_rows rows;
    bool open_stamps;
    size_t n_used; /* the first so many: fewer stay in the caches, as packets that have just been received */
    avro_value_t value;
    double sum;
} bench;

static void add_long(nj_buffer *b, uint64_t v)
{
    for (v *= 2; v > 127; v >>= 7) nj_buffer_add(b, &(uint8_t){ (uint8_t)(v | 128) }, 1);
    nj_buffer_add(b, &(uint8_t){ (uint8_t)v }, 1);
}

static void add_bytes(nj_buffer *b, const void *bytes, size_t n)
{
    add_long(b, n);
    nj_buffer_add(b, bytes, n);
}

static void as_file(nj_buffer *b, const char *schema, const uint8_t *datum, size_t n)
{
    nj_buffer_add(b, "Obj\1", 4);
    add_long(b, 2);
    add_bytes(b, "avro.codec", 10);
    add_bytes(b, "null", 4);
    add_bytes(b, "avro.schema", 11);
    add_bytes(b, schema, strlen(schema));
    add_long(b, 0);
    nj_buffer_add(b, "0123456789abcdef", 16);
    add_long(b, 1);
    add_bytes(b, datum, n);
    nj_buffer_add(b, "0123456789abcdef", 16);
}

static int is_datum(const struct dirent *entry)
{
    return strstr(entry->d_name, ".datum") != NULL;
}

static int load(bench *b, const char *folder)
{
    struct dirent **entry;
    char path[8192];
    snprintf(path, sizeof path, "%s/schema_lsst_v9_0.json", folder);
    if (!(b->schema = nj_file_read(path, SIZE_MAX, NULL))) return -1;
    int n = scandir(folder, &entry, is_datum, alphasort);
    if (n <= 0) return -1;
    b->digest = UINT64_C(0xcbf29ce484222325);
    b->datum = calloc(20000, sizeof *b->datum);
    b->size = calloc(20000, sizeof *b->size);
    b->file = calloc((size_t)n, sizeof *b->file);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        free(entry[i]);
        if (!(b->datum[b->n] = (uint8_t *)nj_file_read(path, SIZE_MAX, &b->size[b->n]))) continue;
        if (!b->size[b->n]) {
            free(b->datum[b->n]);
            continue;
        }
        for (size_t k = 0; k < b->size[b->n]; k++)
            b->digest = (b->digest ^ b->datum[b->n][k]) * UINT64_C(0x100000001b3);
        as_file(&b->file[b->n], b->schema, b->datum[b->n], b->size[b->n]);
        b->bytes += b->size[b->n++];
    }
    free(entry);
    b->n_real = b->n;
    while (b->n && b->bytes < TARGET_BYTES && b->n < 20000) {
        size_t from = b->n % b->n_real;
        b->size[b->n] = b->size[from];
        if (!b->size[from] || !(b->datum[b->n] = malloc(b->size[from]))) return -1;
        memcpy(b->datum[b->n], b->datum[from], b->size[from]);
        b->bytes += b->size[b->n++];
    }
    return b->n ? 0 : -1;
}

static nj_batch *own_some(bench *b, size_t i, size_t n)
{
    nj_bench_packet packet[NJ_BENCH_ROWS];
    for (size_t k = 0; k < n; k++) packet[k] = (nj_bench_packet){ b->datum[i + k], b->size[i + k] };
    nj_batch *batch = nj_bench_rows_read(&b->rows, packet, n);
    return batch && batch->n == n ? batch : NULL;
}

static void own(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n_used; i += ROWS) {
        nj_batch *batch = own_some(b, i, b->n_used - i < ROWS ? b->n_used - i : ROWS);
        if (!batch) b->sum = NAN;
        for (uint32_t row = 0; batch && b->open_stamps && row < batch->n; row++)
            for (int s = 0; s < NJ_STAMPS; s++) nj_bench_rows_stamp(&b->rows, &batch->stamp[s][row]);
        nj_bench_use(batch);
    }
    nj_bench_rows_end(&b->rows);
}

static void own_with_stamps(void *state)
{
    bench *b = state;
    b->open_stamps = true;
    own(b);
    b->open_stamps = false;
}

static void own_received(void *state)
{
    bench *b = state;
    b->n_used = RECEIVED < b->n ? RECEIVED : b->n;
    own_with_stamps(b);
    b->n_used = b->n;
}

/* The scalar columns, each field fetched by its name. */
static double fetch(const avro_value_t *top, double *sum)
{
    avro_value_t source;
    if (avro_value_get_by_name(top, "diaSource", &source, NULL)) return NAN;
    return nj_avro_c_sum(&source, columns, FIRST_RAW, FIRST_SERIES, "packet.diaSource.", sum);
}

static void avro_cached(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n; i++) {
        avro_reader_t reader = avro_reader_memory((const char *)b->datum[i], (int64_t)b->size[i]);
        avro_value_reset(&b->value);
        b->sum += avro_value_read(reader, &b->value) ? NAN : fetch(&b->value, NULL);
        avro_reader_free(reader);
    }
}

static void avro_naive(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n; i += NAIVE_SHARE)
        b->sum += nj_avro_c_naive(b->file[i % b->n_real].data, b->file[i % b->n_real].n, fetch);
}

/* Sums of the scalar columns against avro-c's; and every stamp opens. */
static bool same_values(nj_bench_run *run, bench *b)
{
    double mine[N_COLUMNS] = { 0 }, theirs[N_COLUMNS] = { 0 };
    size_t values = 0, wrong = 0, stamps = 0;
    for (size_t i = 0; i < b->n_real; i++) {
        nj_batch *batch = own_some(b, i, 1);
        if (!batch) return nj_bench_verify(run, false, "datum %zu is not read", i);
        for (size_t c = FIRST_RAW; c < FIRST_SERIES; c++) {
            double x = ((const double *)batch->col[c].data)[0];
            if (isnan(x)) continue;
            mine[c] += x;
            values++;
        }
        for (int s = 0; s < NJ_STAMPS; s++) {
            nj_bench_rows_stamp(&b->rows, &batch->stamp[s][0]);
            stamps += batch->stamp[s][0].state == NJ_STAMP_OPEN;
        }
        avro_reader_t reader = avro_reader_memory((const char *)b->datum[i], (int64_t)b->size[i]);
        avro_value_reset(&b->value);
        if (!avro_value_read(reader, &b->value)) fetch(&b->value, theirs);
        avro_reader_free(reader);
    }
    for (size_t c = FIRST_RAW; c < FIRST_SERIES; c++) wrong += mine[c] != theirs[c];
    return nj_bench_verify(run, !wrong && stamps == 3 * b->n_real,
                           "%zu values of %zu datums, %zu column sums differ from avro-c; %zu stamps open",
                           values, b->n_real, wrong, stamps);
}

static int prepare(bench *b, const char *folder, nj_error *err)
{
    avro_schema_t schema;
    char define[8300];
    snprintf(define, sizeof define, "decode.schema=%s/schema_lsst_v9_0.json", folder);
    if (nj_settings_define(&b->settings, define, err) || !(b->decoder = nj_decoder_new(&b->settings, err)))
        return -1;
    if (nj_bench_rows_open(&b->rows, b->decoder, &layout, NJ_FRAME_BARE))
        return nj_fail(err, "out of memory");
    if (avro_schema_from_json_length(b->schema, strlen(b->schema), &schema))
        return nj_fail(err, "avro-c: %s", avro_strerror());
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    return avro_generic_value_new(class, &b->value) ? nj_fail(err, "avro-c: %s", avro_strerror()) : 0;
}

static void measure(nj_bench_run *run, bench *b)
{
    double n = (double)b->n, bytes = (double)b->bytes, received = b->n < RECEIVED ? n : RECEIVED;
    b->n_used = b->n;
    const nj_bench_case cases[] = {
        { "lsst projection", own, b, n, bytes },
        { "lsst projection + 3 primary images", own_with_stamps, b, n, bytes },
        { "lsst projection + 3 images, just received", own_received, b, received, bytes / n * received },
        { "lsst avro-c, schema cached, fields fetched", avro_cached, b, n, bytes },
        { "lsst avro-c, naive", avro_naive, b, (double)((b->n + NAIVE_SHARE - 1) / NAIVE_SHARE), 0 },
    };
    nj_bench_time(run, cases, sizeof cases / sizeof *cases);
    nj_bench_ratio(run, "lsst avro-c cached / projection", 3, 0, NAN, NAN);
    nj_bench_ratio(run, "lsst avro-c naive / projection + 3 images from memory", 4, 1, NAN, NAN);
    /* the naive reading takes its few files from the caches too */
    nj_bench_ratio(run, "lsst avro-c naive / projection + 3 images", 4, 2, 300, NAN);
    nj_bench_bar(run, "lsst projection + 3 images over BOOM's cached decode",
                 1e9 / nj_bench_median(run, 2) / boom_per_s, "1", 20, NAN);
    nj_bench_figure(run, "lsst projection + 3 images from memory over BOOM's cached decode",
                    1e9 / nj_bench_median(run, 1) / boom_per_s, "1");
}

int nj_bench_decode_lsst(nj_bench_run *run)
{
    bench b = { 0 };
    char folder[4096];
    nj_error err = { "" };
    const char *data = nj_bench_data(run), *shared = getenv("NIGHTJAR_SHARED");
    if (data)
        snprintf(folder, sizeof folder, "%s", data);
    else
        snprintf(folder, sizeof folder, "%s/real/lsst/bare", shared ? shared : "../shared");
    int rc = -1;
    if (load(&b, folder)) {
        nj_bench_note(
            run, "no bare LSST datums (*.datum, schema_lsst_v9_0.json) in %s; name their folder by --data",
            folder);
        rc = data ? -1 : 0;
    } else if (prepare(&b, folder, &err)) {
        nj_bench_note(run, "%s", err.text);
    } else if (same_values(run, &b)) {
        nj_bench_note(run, "%zu datums, replicated to %zu in separate buffers, %.0f MB", b.n_real, b.n,
                      (double)b.bytes / 1e6);
        nj_bench_digest(run, "%zu packets, fnv1a:%016llx", b.n_real, (unsigned long long)b.digest);
        measure(run, &b);
        rc = 0;
    }
    for (size_t i = 0; i < b.n; i++) free(b.datum[i]);
    for (size_t i = 0; i < b.n_real; i++) nj_buffer_free(&b.file[i]);
    free(b.datum);
    free(b.size);
    free(b.file);
    free(b.schema);
    nj_bench_rows_close(&b.rows);
    nj_decoder_free(b.decoder);
    nj_settings_free(&b.settings);
    return rc;
}
