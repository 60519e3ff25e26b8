/* decode.c - decode of real packets, replicated beyond the caches: own projection, avro-c with a cached
 * schema, avro-c as most C programs use it, gunzip alone. */
#include <avro.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../avro/decode.h"
#include "../image/inflate.h"
#include "decode_lsst.h"
#include "rows.h"
#include "avro_c.h"

enum { NAIVE_SHARE = 4, TARGET_BYTES = 80000000, STAMP_BUFFER = 1 << 16 };

#define RAW(name) NJ_BENCH_NUMBER("packet.candidate." name)
#define LC(name) NJ_BENCH_NUMBERS("lc." name)
/* What a run with many modules asks for: 51 fields of the candidate,
 * 11 of each point of the light curve, three stamps. */
static const nj_column_def ztf_columns[] = {
    { "candid", NJ_I64, NJ_SCALAR, NULL, 1 },
    { "object", NJ_STR, NJ_SCALAR, NULL, 1 },
    { "band", NJ_STR, NJ_SCALAR, NULL, 1 },
    { "positive", NJ_U8, NJ_SCALAR, NULL, 1 },
    RAW("jd"),
    RAW("ra"),
    RAW("dec"),
    RAW("magpsf"),
    RAW("sigmapsf"),
    RAW("diffmaglim"),
    RAW("rb"),
    RAW("ndethist"),
    RAW("ncovhist"),
    RAW("programid"),
    RAW("fid"),
    RAW("field"),
    RAW("rcid"),
    RAW("xpos"),
    RAW("ypos"),
    RAW("chipsf"),
    RAW("magap"),
    RAW("sigmagap"),
    RAW("distnr"),
    RAW("magnr"),
    RAW("sigmagnr"),
    RAW("chinr"),
    RAW("sharpnr"),
    RAW("sky"),
    RAW("magdiff"),
    RAW("fwhm"),
    RAW("classtar"),
    RAW("mindtoedge"),
    RAW("seeratio"),
    RAW("aimage"),
    RAW("bimage"),
    RAW("elong"),
    RAW("nneg"),
    RAW("nbad"),
    RAW("ssdistnr"),
    RAW("ssmagnr"),
    RAW("sgmag1"),
    RAW("srmag1"),
    RAW("simag1"),
    RAW("szmag1"),
    RAW("sgscore1"),
    RAW("distpsnr1"),
    RAW("jdstarthist"),
    RAW("jdendhist"),
    RAW("scorr"),
    RAW("magzpsci"),
    RAW("nmtchps"),
    LC("jd"),
    LC("mag"),
    LC("mag_err"),
    LC("limit_mag"),
    LC("fid"),
    LC("rb"),
    LC("ra"),
    LC("dec"),
    LC("ref_dist"),
    LC("ref_mag"),
    LC("ref_mag_err"),
};
static const char *const lc_fields[] = { "jd", "magpsf", "sigmapsf", "diffmaglim", "fid",     "rb",
                                         "ra", "dec",    "distnr",   "magnr",      "sigmagnr" };
enum {
    FIRST_RAW = 4,
    FIRST_LC = sizeof ztf_columns / sizeof *ztf_columns - 11,
    N_COLUMNS = sizeof ztf_columns / sizeof *ztf_columns
};
static const nj_layout ztf_layout = { "ztf", N_COLUMNS, N_COLUMNS, ztf_columns, 7 };

typedef struct packet {
    uint8_t *bytes;
    size_t size, datum;   /* where the only record starts */
    avro_schema_t schema; /* shared by packets of one schema */
    avro_value_iface_t *class;
    avro_value_t *value; /* of the class, used again and again */
} packet;

typedef struct bench {
    nj_bench_packets packets;
    packet *packet; /* [n] the same, with what avro-c needs */
    size_t n, n_real, bytes;
    nj_settings settings;
    nj_decoder *decoder;
    nj_bench_rows rows;
    struct libdeflate_decompressor *inflate;
    nj_inflate_work *inflater;
    nj_stamp *stamp; /* [3 * n] packed, for gunzip alone */
    double sum;
    bool open_stamps;
} bench;

/* ---- own decoder ----------------------------------------------------------------------------- */

static void open_stamps(bench *b)
{
    nj_batch *batch = b->rows.batch;
    for (uint32_t row = 0; row < batch->n; row++)
        for (int s = 0; s < NJ_STAMPS; s++) {
            nj_bench_rows_stamp(&b->rows, &batch->stamp[s][row]);
            nj_bench_use(batch->stamp[s][row].image.pixel);
        }
}

static void own(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n; i += NJ_BENCH_ROWS) {
        nj_batch *batch = nj_bench_rows_read(&b->rows, &b->packets.packet[i],
                                             b->n - i < NJ_BENCH_ROWS ? b->n - i : NJ_BENCH_ROWS);
        if (batch && b->open_stamps) open_stamps(b);
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

/* The three stamps of every packet by libdeflate alone, into one buffer:
 * what no decoder can be faster than. */
static void gunzip(void *state)
{
    bench *b = state;
    static uint8_t out[STAMP_BUFFER];
    size_t n;
    for (size_t i = 0; i < 3 * b->n; i++) {
        if (!b->stamp[i].bytes) continue;
        libdeflate_gzip_decompress(b->inflate, b->stamp[i].bytes, b->stamp[i].size, out, sizeof out, &n);
        nj_bench_use(out);
    }
}

/* Science and template of every packet, as hostless asks for them: by libdeflate; by columns of so many rows
 * together. */
enum { TOGETHER = 4 };

static bool gunzip_one(bench *b, const nj_stamp *stamp, uint8_t *out, size_t *n)
{
    return stamp->bytes &&
           !libdeflate_gzip_decompress(b->inflate, stamp->bytes, stamp->size, out, STAMP_BUFFER, n);
}

static void gunzip_two(void *state)
{
    bench *b = state;
    static uint8_t out[STAMP_BUFFER];
    size_t n;
    for (size_t i = 0; i < b->n; i++)
        for (size_t s = 0; s < 2; s++) {
            gunzip_one(b, &b->stamp[3 * i + s], out, &n);
            nj_bench_use(out);
        }
}

/* Stamps s of the packets from `from` on; how many were left to libdeflate. */
static size_t gunzip_group(bench *b, size_t from, size_t s, nj_member member[TOGETHER], size_t *n_members)
{
    static uint8_t out[TOGETHER][STAMP_BUFFER + NJ_INFLATE_SLACK];
    size_t n = 0, left = 0, size;
    for (size_t i = from; i < b->n && i < from + TOGETHER; i++) {
        const nj_stamp *stamp = &b->stamp[3 * i + s];
        const size_t announced = stamp->bytes ? nj_inflate_announced(stamp->bytes, stamp->size) : 0;
        if (announced && announced <= STAMP_BUFFER)
            member[n] = (nj_member){ stamp->bytes, stamp->size, out[n], announced, false }, n++;
        else
            left += gunzip_one(b, stamp, out[TOGETHER - 1], &size);
    }
    nj_inflate(b->inflater, member, n);
    for (size_t k = 0; k < n; k++) {
        left += !member[k].done;
        if (!member[k].done)
            libdeflate_gzip_decompress(b->inflate, member[k].bytes, member[k].size, member[k].out,
                                       STAMP_BUFFER, &size);
        nj_bench_use(member[k].out);
    }
    *n_members = n;
    return left;
}

static void gunzip_together(void *state)
{
    bench *b = state;
    nj_member member[TOGETHER];
    size_t n;
    for (size_t i = 0; i < b->n; i += TOGETHER)
        for (size_t s = 0; s < 2; s++) gunzip_group(b, i, s, member, &n);
}

/* Every stamp together and alone: the same bytes? */
static bool same_stamps(nj_bench_run *run, bench *b)
{
    static uint8_t alone[STAMP_BUFFER];
    nj_member member[TOGETHER];
    size_t all = 0, wrong = 0, left = 0, n, size;
    for (size_t i = 0; i < b->n_real; i += TOGETHER)
        for (size_t s = 0; s < 3; s++) {
            left += gunzip_group(b, i, s, member, &n);
            all += n;
            for (size_t k = 0; k < n; k++)
                wrong += libdeflate_gzip_decompress(b->inflate, member[k].bytes, member[k].size, alone,
                                                    sizeof alone, &size) ||
                         size != member[k].announced || memcmp(alone, member[k].out, size);
        }
    return nj_bench_verify(run, !wrong,
                           "%zu stamps together, %zu left to libdeflate: %zu differ from its bytes", all,
                           left, wrong);
}

static void copy(void *state)
{
    bench *b = state;
    static uint8_t out[1 << 20];
    for (size_t i = 0; i < b->n; i++) {
        memcpy(out, b->packet[i].bytes, b->packet[i].size < sizeof out ? b->packet[i].size : sizeof out);
        nj_bench_use(out);
    }
}

/* ---- avro-c ---------------------------------------------------------------------------------- */

/* The columns of ztf_columns, each field fetched by its name; sums in sum[] when it is not NULL. */
static double fetch(const avro_value_t *top, double *sum)
{
    avro_value_t candidate, history, list, item, v;
    size_t n = 0;
    const void *bytes;
    if (avro_value_get_by_name(top, "candidate", &candidate, NULL)) return NAN;
    double total = nj_avro_c_sum(&candidate, ztf_columns, FIRST_RAW, FIRST_LC, "packet.candidate.", sum);
    static const char *const text[] = { "objectId", "candid" };
    for (size_t i = 0; i < 2; i++)
        if (!avro_value_get_by_name(top, text[i], &v, NULL)) nj_bench_use(&v);
    if (!avro_value_get_by_name(&candidate, "isdiffpos", &v, NULL)) nj_bench_use(&v);
    bool some = !avro_value_get_by_name(top, "prv_candidates", &history, NULL) &&
                !avro_value_get_current_branch(&history, &list) && avro_value_get_type(&list) == AVRO_ARRAY;
    if (some) avro_value_get_size(&list, &n);
    for (size_t i = 0; i <= n; i++) {
        if (i < n)
            avro_value_get_by_index(&list, i, &item, NULL);
        else
            item = candidate;
        for (size_t c = FIRST_LC; c < N_COLUMNS; c++) {
            double x = nj_avro_c_number(&item, lc_fields[c - FIRST_LC]);
            if (isnan(x)) continue;
            total += x;
            if (sum) sum[c] += x;
        }
    }
    static const char *const cutout[] = { "cutoutScience", "cutoutTemplate", "cutoutDifference" };
    for (size_t s = 0; s < 3; s++) {
        avro_value_t data;
        if (avro_value_get_by_name(top, cutout[s], &v, NULL)) continue;
        if (avro_value_get_type(&v) == AVRO_UNION) {
            avro_value_t branch;
            if (avro_value_get_current_branch(&v, &branch)) continue;
            v = branch;
        }
        if (avro_value_get_type(&v) == AVRO_RECORD && !avro_value_get_by_name(&v, "stampData", &data, NULL) &&
            !avro_value_get_bytes(&data, &bytes, &n))
            nj_bench_use(bytes);
    }
    return total;
}

static void avro_cached(bench *b, bool fetch_fields)
{
    for (size_t i = 0; i < b->n; i++) {
        packet *p = &b->packet[i];
        avro_reader_t reader =
            avro_reader_memory((const char *)p->bytes + p->datum, (int64_t)(p->size - p->datum));
        avro_value_reset(p->value);
        if (avro_value_read(reader, p->value))
            b->sum = NAN;
        else if (fetch_fields)
            b->sum += fetch(p->value, NULL);
        nj_bench_use(p->value);
        avro_reader_free(reader);
    }
}

static void avro_cached_decode(void *state)
{
    avro_cached(state, false);
}
static void avro_cached_fetch(void *state)
{
    avro_cached(state, true);
}

static void avro_naive(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n; i += NAIVE_SHARE)
        b->sum += nj_avro_c_naive(b->packet[i].bytes, b->packet[i].size, fetch);
}

/* ---- getting ready --------------------------------------------------------------------------- */

/* Where the record starts, and avro-c's class for its schema,
 * made once for all packets that share the bytes. */
static int prepare(bench *b)
{
    for (size_t i = 0; i < b->n; i++) {
        packet *p = &b->packet[i];
        const nj_batch *batch = nj_bench_rows_read(&b->rows, &b->packets.packet[i], 1);
        if (!batch || batch->n != 1) return -1;
        p->datum = (size_t)(batch->row[0].datum - p->bytes);
        for (int s = 0; s < NJ_STAMPS; s++) b->stamp[3 * i + (size_t)s] = batch->stamp[s][0];
        for (size_t k = 0; k < i && !p->class;
             k++) /* nj_schema is the same pointer for the same bytes; avro-c has no such cache */
            if (b->packet[k].datum == p->datum &&
                !memcmp(b->packet[k].bytes, p->bytes, p->datum - 64 < p->datum ? p->datum - 64 : 0)) {
                p->schema = b->packet[k].schema;
                p->class = b->packet[k].class;
                p->value = b->packet[k].value;
            }
        if (p->class) continue;
        FILE *f = fmemopen(p->bytes, p->size, "rb");
        avro_file_reader_t file;
        if (!f || avro_file_reader_fp(f, "packet", 1, &file)) return -1;
        p->schema = avro_file_reader_get_writer_schema(file);
        p->class = avro_generic_class_from_schema(p->schema);
        p->value = malloc(sizeof *p->value);
        avro_file_reader_close(file);
        if (!p->class || avro_generic_value_new(p->class, p->value)) return -1;
    }
    return 0;
}

/* Sums of every column over the real packets: the decoder's against avro-c's.
 * Both add doubles in the same order. */
static bool same_values(nj_bench_run *run, bench *b)
{
    double own_sum[N_COLUMNS] = { 0 }, avro_sum[N_COLUMNS] = { 0 };
    size_t values = 0;
    bool same = true;
    for (size_t i = 0; i < b->n_real && same; i++) {
        packet *p = &b->packet[i];
        const nj_batch *batch = nj_bench_rows_read(&b->rows, &b->packets.packet[i], 1);
        same = batch && batch->n == 1;
        for (size_t c = FIRST_RAW; same && c < N_COLUMNS; c++) {
            const nj_col *col = &batch->col[c];
            for (uint32_t k = 0, n = col->off ? col->off[1] : 1; k < n; k++) {
                double x = ((const double *)col->data)[k];
                if (isnan(x)) continue;
                own_sum[c] += x;
                values++;
            }
        }
        avro_reader_t reader =
            avro_reader_memory((const char *)p->bytes + p->datum, (int64_t)(p->size - p->datum));
        avro_value_reset(p->value);
        same = same && !avro_value_read(reader, p->value);
        fetch(p->value, avro_sum);
        avro_reader_free(reader);
    }
    size_t wrong = 0;
    for (size_t c = FIRST_RAW; c < N_COLUMNS; c++) wrong += own_sum[c] != avro_sum[c];
    return nj_bench_verify(run, same && !wrong,
                           "%zu values of %d columns of %zu packets: %zu column sums differ from avro-c",
                           values, N_COLUMNS - FIRST_RAW, b->n_real, wrong);
}

static void measure(nj_bench_run *run, bench *b)
{
    double n = (double)b->n, bytes = (double)b->bytes;
    const nj_bench_case cases[] = {
        { "copy of the packet", copy, b, n, bytes },
        { "projection", own, b, n, bytes },
        { "projection + 3 stamps", own_with_stamps, b, n, bytes },
        { "libdeflate alone, 3 stamps", gunzip, b, n, bytes },
        { "avro-c, schema cached, decode only", avro_cached_decode, b, n, bytes },
        { "avro-c, schema cached, fields fetched", avro_cached_fetch, b, n, bytes },
        { "avro-c, naive", avro_naive, b, (double)((b->n + NAIVE_SHARE - 1) / NAIVE_SHARE), 0 },
        { "libdeflate, science + template", gunzip_two, b, n, 0 },
        { "together, science + template", gunzip_together, b, n, 0 },
    };
    nj_bench_time(run, cases, sizeof cases / sizeof *cases);
    nj_bench_ratio(run, "avro-c cached, decode only / projection", 4, 1, NAN, NAN);
    nj_bench_ratio(run, "avro-c cached / projection", 5, 1, 12, NAN);
    nj_bench_ratio(run, "avro-c naive / projection", 6, 1, 80, NAN);
    nj_bench_ratio(run, "projection + 3 stamps / libdeflate alone", 2, 3, NAN, 1.15);
    nj_bench_ratio(run, "libdeflate / together, science + template", 7, 8, 1.7, NAN);
}

static void free_bench(bench *b)
{
    nj_bench_packets_free(&b->packets);
    free(b->packet);
    free(b->stamp);
    nj_bench_rows_close(&b->rows);
    nj_decoder_free(b->decoder);
    nj_settings_free(&b->settings);
    libdeflate_free_decompressor(b->inflate);
    nj_inflate_work_free(b->inflater);
}

static int load(bench *b)
{
    b->n = b->packets.n;
    b->n_real = b->packets.n_real;
    b->bytes = b->packets.bytes;
    b->packet = calloc(b->n, sizeof *b->packet);
    for (size_t i = 0; b->packet && i < b->n; i++)
        b->packet[i] = (packet){ .bytes = b->packets.packet[i].bytes, .size = b->packets.packet[i].size };
    return b->packet ? 0 : -1;
}

static int run_decode(nj_bench_run *run)
{
    bench b = { 0 };
    nj_error err = { "" };
    if (!strcmp(nj_bench_survey(run), "lsst")) return nj_bench_decode_lsst(run);
    int found = nj_bench_packets_load(run, &b.packets, TARGET_BYTES);
    if (found) return found < 0 ? -1 : 0;
    b.decoder = nj_decoder_new(&b.settings, &err);
    int opened = b.decoder ? nj_bench_rows_open(&b.rows, b.decoder, &ztf_layout, NJ_FRAME_AUTO) : -1;
    b.inflate = libdeflate_alloc_decompressor();
    b.inflater = nj_inflate_work_new();
    b.stamp = calloc(3 * b.packets.n, sizeof *b.stamp);
    int rc = -1;
    if (opened || !b.inflate || !b.inflater || !b.stamp || load(&b))
        nj_bench_note(run, "%s", *err.text ? err.text : "out of memory");
    else if (prepare(&b))
        nj_bench_note(run, "%s: a packet is no ZTF packet of one record", b.packets.folder);
    else if (same_values(run, &b) && same_stamps(run, &b)) {
        nj_bench_note(run, "%zu packets, replicated to %zu in separate buffers, %.0f MB", b.n_real, b.n,
                      (double)b.bytes / 1e6);
        measure(run, &b);
        rc = 0;
    }
    free_bench(&b);
    return rc;
}

extern const nj_bench nj_bench_decode;
const nj_bench nj_bench_decode = { "decode", "real packets to rows and stamps, against avro-c and libdeflate",
                                   run_decode };
