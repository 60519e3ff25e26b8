/* hostless.c - hostless detection on real packets: its kernels, candidates by the fast and the plain
 * version, whole folders from compressed packets, and gunzip of the two stamps alone. */
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../avro/decode.h"
#include "../graph/instance.h"
#include "nightjar/num.h"
#include "rows.h"
#include "../image/opener.h"

enum { STAMP_BUFFER = 1 << 16, N_GIVES = 13, PLAIN_CANDIDATES = 2, CHECKED = 8 };
enum { CANDIDATE = 0, KS_SCIENCE = 5, KS_TEMPLATE = 6 }; /* gives of the module */
/* Fink's Python on one core of another machine, whole of the same folder (shared/notes/science.md). */
#define PYTHON_ALERTS_PER_S 27.0

static const nj_column_def columns[] = { { "candid", NJ_I64, NJ_SCALAR, NULL, 1 },
                                         { "jd", NJ_F64, NJ_SCALAR, NULL, 1 } };
static const nj_layout layout = { "ztf", 2, 2, columns, 1 << NJ_SCIENCE | 1 << NJ_TEMPLATE };

typedef struct packet {
    uint8_t *bytes;
    size_t size;
    int64_t id;
    nj_stamp stamp[2]; /* packed: pointers into bytes */
    nj_image image[2]; /* opened */
    bool candidate;
} packet;

typedef struct answers { /* of one row */
    uint8_t u8[3];
    const char *lone, *why;
    int32_t i32[4];
    double f64[4];
    uint8_t reason;
    void *out[N_GIVES];
} answers;

typedef struct bench {
    nj_bench_packets packets;
    packet *packet; /* [n] the same, with their images */
    size_t n;
    size_t *candidate, n_candidates; /* numbers of packets */
    size_t *mixed, n_mixed;          /* 3 in 100 are candidates */
    nj_settings settings;
    nj_modules modules;
    nj_instances set;
    const nj_instance *one, *sixteen;
    void *thread[2]; /* of the two instances */
    nj_decoder *decoder;
    nj_bench_rows rows;
    nj_batch *batch; /* of rows */
    nj_arena images, scratch;
    struct libdeflate_decompressor *inflate;
    nj_clip_work *clip;
    double *sorted;
    answers answer;
    const packet *current;
} bench;

/* --- one alert through the module --- */

static void *scratch(const nj_work *w, size_t bytes)
{
    return nj_arena_alloc(&((bench *)w->opaque)->scratch, bytes);
}
static const char *text(const nj_work *w, const char *s, size_t n)
{
    return nj_arena_text(&((bench *)w->opaque)->scratch, s, n);
}
static const nj_image *opened(const nj_work *w, uint32_t need, uint32_t row)
{
    (void)row;
    const nj_image *image = &((bench *)w->opaque)->current->image[need];
    return image->pixel ? image : NULL;
}
static const nj_image *open_now(const nj_work *w, uint32_t need, uint32_t row)
{
    bench *b = w->opaque;
    nj_stamp *stamp = &b->batch->stamp[need == 0 ? NJ_SCIENCE : NJ_TEMPLATE][row];
    nj_bench_rows_stamp(&b->rows, stamp);
    return stamp->state == NJ_STAMP_OPEN ? &stamp->image : NULL;
}

typedef int process_function(const void *, void *, const nj_work *);
typedef const nj_image *image_function(const nj_work *, uint32_t, uint32_t);

static void call(bench *b, int which, process_function *process, const int64_t *id, image_function *image)
{
    static const uint32_t zero = 0;
    static const nj_col none = { 0 };
    /* the stamps come by image(), the survey is by their shape, no star is known to be near */
    static const nj_col *const in[] = { &none, &none, &none, &none };
    answers *a = &b->answer;
    nj_work w = { .size = sizeof w,
                  .n = 1,
                  .row = &zero,
                  .in = in,
                  .out = a->out,
                  .reason = &a->reason,
                  .id = id,
                  .opaque = b,
                  .scratch = scratch,
                  .text = text,
                  .image = image };
    process((which ? b->sixteen : b->one)->self, b->thread[which], &w);
    nj_arena_reset(&b->scratch);
    nj_bench_use(a);
}

static void call_opened(bench *b, int which, process_function *process, size_t p)
{
    b->answer.f64[0] = b->answer.f64[1] = NAN;
    b->answer.u8[0] = 0;
    b->current = &b->packet[p];
    call(b, which, process, &b->current->id, opened);
}

/* --- cases --- */

static void clip_fast(void *state)
{
    bench *b = state;
    nj_clip c;
    for (size_t i = 0; i < 2 * b->n; i++) {
        const nj_image *image = &b->packet[i / 2].image[i % 2];
        if (!image->pixel || image->rows * image->cols > NJ_CLIP_MAX) continue;
        nj_clip_begin(b->clip, nj_isa_best(), image->pixel, image->rows * image->cols, &c);
        nj_clip_passes(b->clip, 3, 10, &c);
        nj_bench_use(&c);
    }
}

static void clip_plain(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < 2 * b->n; i += 8) {
        const nj_image *image = &b->packet[i / 2].image[0];
        nj_clip c = { .lo = -INFINITY, .hi = INFINITY };
        if (!image->pixel || image->rows * image->cols > NJ_CLIP_MAX) continue;
        nj_clip_plain(image->pixel, image->rows * image->cols, 3, 10, b->sorted, &c);
        nj_bench_use(&c);
    }
}

static void candidates_fast(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n_candidates; i++) call_opened(b, 0, b->one->module->process, b->candidate[i]);
}
static void candidates_16(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n_candidates; i += 8)
        call_opened(b, 1, b->one->module->process, b->candidate[i]);
}
static void candidates_plain(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n_candidates && i < PLAIN_CANDIDATES; i++)
        call_opened(b, 0, b->one->module->process_ref, b->candidate[i]);
}

static int from_packet(bench *b, const packet *p, int which)
{
    const nj_bench_packet one = { p->bytes, p->size };
    b->batch = nj_bench_rows_read(&b->rows, &one, 1);
    if (!b->batch || !b->batch->n) return -1;
    if (which >= 0) call(b, which, b->one->module->process, b->batch->id, open_now);
    return 0;
}

static void whole(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n; i++) from_packet(b, &b->packet[i], 0);
}
static void whole_16(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n; i++) from_packet(b, &b->packet[i], 1);
}
static void mixed(void *state)
{
    bench *b = state;
    for (size_t i = 0; i < b->n_mixed; i++) from_packet(b, &b->packet[b->mixed[i]], 0);
}

static void gunzip(void *state)
{
    bench *b = state;
    static uint8_t out[STAMP_BUFFER];
    size_t n;
    for (size_t i = 0; i < 2 * b->n_mixed; i++) {
        const nj_stamp *stamp = &b->packet[b->mixed[i / 2]].stamp[i % 2];
        if (!stamp->bytes) continue;
        libdeflate_gzip_decompress(b->inflate, stamp->bytes, stamp->size, out, sizeof out, &n);
        nj_bench_use(out);
    }
}

/* --- getting ready --- */

static int load(bench *b)
{
    b->n = b->packets.n;
    b->packet = calloc(b->n, sizeof *b->packet);
    for (size_t i = 0; b->packet && i < b->n; i++) {
        b->packet[i].bytes = b->packets.packet[i].bytes;
        b->packet[i].size = b->packets.packet[i].size;
    }
    return b->packet ? 0 : -1;
}

/* Instances with 1 and 16 repeats. */
static int open_instances(bench *b, nj_error *err)
{
    static const char ini[] =
        "[module.one]\nkind = hostless\n[module.sixteen]\nkind = hostless\nrepeats = 16\n";
    if (nj_modules_builtin(&b->modules, err) || nj_settings_ini(&b->settings, "bench.ini", ini, err) ||
        nj_instances_choose(&b->set, &b->modules, &b->settings, "one,sixteen", err) ||
        nj_instances_open(&b->set, "one,sixteen", err))
        return -1;
    b->one = nj_instances_find(&b->set, "one");
    b->sixteen = nj_instances_find(&b->set, "sixteen");
    for (int k = 0; k < 2; k++) {
        const nj_instance *in = k ? b->sixteen : b->one;
        size_t size = (in->module->thread_size + 63) / 64 * 64;
        if (!(b->thread[k] = aligned_alloc(64, size))) return nj_fail(err, "out of memory");
        memset(b->thread[k], 0, size);
        if (in->module->thread_open(in->self, b->thread[k])) return nj_fail(err, "out of memory");
    }
    answers *a = &b->answer;
    void *const out[N_GIVES] = { &a->u8[0],  &a->u8[1],  &a->lone,   &a->i32[0], &a->i32[1],
                                 &a->f64[0], &a->f64[1], &a->f64[2], &a->f64[3], &a->i32[2],
                                 &a->i32[3], &a->u8[2],  &a->why };
    memcpy(a->out, out, sizeof out);
    return 0;
}

/* Opens every stamp, keeps where its bytes lie, finds the candidates,
 * and picks rows of which 3 in 100 are. */
static int prepare(bench *b)
{
    size_t others = 0;
    b->candidate = calloc(b->n, sizeof *b->candidate);
    b->mixed = calloc(b->n, sizeof *b->mixed);
    for (size_t i = 0; i < b->n; i++) {
        packet *p = &b->packet[i];
        if (from_packet(b, p, -1)) return -1;
        p->id = b->batch->id[0];
        for (int k = 0; k < 2; k++) {
            p->stamp[k] = b->batch->stamp[k == 0 ? NJ_SCIENCE : NJ_TEMPLATE][0];
            nj_stamp open = p->stamp[k];
            nj_stamp_open(b->rows.opener, &open, &b->images, NULL);
            if (open.state == NJ_STAMP_OPEN) p->image[k] = open.image;
        }
        call_opened(b, 0, b->one->module->process, i);
        p->candidate = b->answer.u8[CANDIDATE] == 1;
        if (p->candidate)
            b->candidate[b->n_candidates++] = i;
        else
            others++;
    }
    size_t wanted = (size_t)lround((double)others * 3 / 97);
    for (size_t i = 0, had = 0; i < b->n; i++) {
        if (b->packet[i].candidate && had++ >= wanted) continue;
        b->mixed[b->n_mixed++] = i;
    }
    return b->n_candidates ? 0 : -1;
}

/* The fast version against the plain one, on the first candidates. */
static bool verify(nj_bench_run *run, bench *b)
{
    double worst = 0;
    size_t n = b->n_candidates < CHECKED ? b->n_candidates : CHECKED;
    for (size_t i = 0; i < n; i++) {
        double fast[2];
        call_opened(b, 0, b->one->module->process, b->candidate[i]);
        memcpy(fast, b->answer.f64, sizeof fast);
        call_opened(b, 0, b->one->module->process_ref, b->candidate[i]);
        for (int k = 0; k < 2; k++) worst = fmax(worst, fabs(fast[k] - b->answer.f64[k]));
    }
    return nj_bench_verify(
        run, worst < 2.5 / 39800,
        "%zu candidates of %zu alerts; on %zu of them the fast and the plain version differ by at most %.3g "
        "(2 steps of the grid are %.3g)",
        b->n_candidates, b->n, n, worst, 2 / 39800.0);
}

static void measure(nj_bench_run *run, bench *b)
{
    const double n = (double)b->n, c = (double)b->n_candidates;
    const double stamps = 2 * n, plain = fmin(c, PLAIN_CANDIDATES), sixteen = ceil(c / 8);
    const nj_bench_case kernels[] = {
        { "clip of a stamp", clip_fast, b, stamps, 0 },
        { "clip of a stamp, by the definition", clip_plain, b, ceil(stamps / 8), 0 },
        { "candidate, both stamps", candidates_fast, b, c, 0 },
        { "candidate, 16 repeats", candidates_16, b, sixteen, 0 },
        { "candidate, process_ref with FFTW", candidates_plain, b, plain, 0 },
    };
    nj_bench_time(run, kernels, sizeof kernels / sizeof *kernels);
    nj_bench_ratio(run, "clip by the definition / clip", 1, 0, NAN, NAN);
    nj_bench_bar(run, "clip of a stamp, us", nj_bench_median(run, 0) / 1e3, "us", NAN, 8);
    nj_bench_bar(run, "candidate, both stamps, ms", nj_bench_median(run, 2) / 1e6, "ms", NAN, 0.13);
    nj_bench_ratio(run, "process_ref / process, one candidate", 4, 2, 20, NAN);
    const nj_bench_case folder[] = {
        { "alert from its packet", whole, b, n, 0 },
        { "alert from its packet, 16 repeats", whole_16, b, n, 0 },
        { "alert from its packet, 3 % candidates", mixed, b, (double)b->n_mixed, 0 },
        { "libdeflate alone, its two stamps", gunzip, b, (double)b->n_mixed, 0 },
    };
    nj_bench_time(run, folder, sizeof folder / sizeof *folder);
    nj_bench_bar(run, "whole folder, one core", 1e9 / nj_bench_median(run, 0), "alerts/s per core",
                 100 * PYTHON_ALERTS_PER_S, NAN);
    nj_bench_figure(run, "whole folder / the Python's 27 alerts/s",
                    1e9 / nj_bench_median(run, 0) / PYTHON_ALERTS_PER_S, "1");
    nj_bench_figure(run, "whole folder, 16 repeats", 1e9 / nj_bench_median(run, 1), "alerts/s per core");
    nj_bench_ratio(run, "from packets, 3 % candidates / libdeflate alone", 2, 3, NAN, 1.8);
}

static void free_bench(bench *b)
{
    nj_bench_packets_free(&b->packets);
    for (int k = 0; k < 2; k++) {
        const nj_instance *in = k ? b->sixteen : b->one;
        if (in && b->thread[k]) in->module->thread_close(in->self, b->thread[k]);
        free(b->thread[k]);
    }
    free(b->packet);
    free(b->candidate);
    free(b->mixed);
    free(b->clip);
    free(b->sorted);
    nj_instances_close(&b->set);
    nj_modules_free(&b->modules);
    nj_arena_free(&b->images);
    nj_arena_free(&b->scratch);
    nj_bench_rows_close(&b->rows);
    nj_decoder_free(b->decoder);
    nj_settings_free(&b->settings);
    libdeflate_free_decompressor(b->inflate);
}

static int run_hostless(nj_bench_run *run)
{
    bench b = { 0 };
    nj_error err = { "" };
    int found = nj_bench_packets_load(run, &b.packets, 0);
    if (found) return found < 0 ? -1 : 0;
    int rc = -1;
    b.inflate = libdeflate_alloc_decompressor();
    b.clip = aligned_alloc(64, (nj_clip_work_size() + 63) / 64 * 64);
    b.sorted = malloc(NJ_CLIP_MAX * sizeof *b.sorted);
    b.decoder = nj_decoder_new(&b.settings, &err);
    int opened = b.decoder ? nj_bench_rows_open(&b.rows, b.decoder, &layout, NJ_FRAME_AUTO) : -1;
    if (opened || !b.inflate || !b.clip || !b.sorted || load(&b) || open_instances(&b, &err))
        nj_bench_note(run, "%s", err.text);
    else if (prepare(&b))
        nj_bench_note(run, "%s: a packet is no ZTF packet of one record, or there is no candidate",
                      b.packets.folder);
    else if (verify(run, &b)) {
        nj_bench_digest(run, "%zu packets, fnv1a:%016llx", b.n, (unsigned long long)b.packets.digest);
        nj_bench_note(run, "kernels for %s; %zu alerts, of which %zu make the 3 %% mix",
                      nj_isa_name[nj_isa_best()], b.n, b.n_mixed);
        measure(run, &b);
        rc = 0;
    }
    free_bench(&b);
    return rc;
}

extern const nj_bench nj_bench_hostless;
const nj_bench nj_bench_hostless = { "hostless",
                                     "hostless detection on real packets: kernels, candidates, whole folders",
                                     run_hostless };
