/* simulate.c - the simulator: whole packets of both surveys, and its way to pack a stamp against
 * libdeflate's levels 1 and 6. */
#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simulate/noise.h"
#include "../simulate/pack.h"
#include "../simulate/simulate.h"
#include "harness.h"

enum { ALERTS = 200, STAMPS = 30, HEAD = 2880, WHOLE = 7 * 2880, PIXELS = 63 * 63, ROOM = 32768 };
static const double least_alerts_per_s = 1000; /* of the project's own goals */

typedef struct stamp_set {
    uint8_t fits[STAMPS][WHOLE], packed[ROOM];
    struct libdeflate_compressor *level[2]; /* 1 and 6 */
    size_t bytes[3];                        /* packed, of all stamps: own, level 1, level 6 */
} stamp_set;

static void whole_night(void *state)
{
    nj_simulated a;
    for (uint64_t i = 0; i < ALERTS; i++)
        if (nj_simulator_make(state, i, &a) == 1) nj_bench_use(a.bytes);
}

static void own(void *state)
{
    stamp_set *s = state;
    s->bytes[0] = 0;
    for (int i = 0; i < STAMPS; i++)
        s->bytes[0] += nj_sim_deflate(s->fits[i], WHOLE, HEAD, HEAD + 4 * PIXELS, s->packed, ROOM);
}

static void library(stamp_set *s, int k)
{
    s->bytes[1 + k] = 0;
    for (int i = 0; i < STAMPS; i++)
        s->bytes[1 + k] += libdeflate_deflate_compress(s->level[k], s->fits[i], WHOLE, s->packed, ROOM);
}
static void level_1(void *state)
{
    library(state, 0);
}
static void level_6(void *state)
{
    library(state, 1);
}

/* A third each of science-, template- and difference-like noise. */
static void fill(stamp_set *s)
{
    static const float mean[3] = { 155, 155, 0 }, sigma[3] = { 6, 1.5f, 6 };
    static float noise[PIXELS + 1];
    for (int i = 0; i < STAMPS; i++) {
        memset(s->fits[i], ' ', HEAD);
        memset(s->fits[i] + HEAD, 0, WHOLE - HEAD);
        nj_sim_normals(noise, PIXELS + 1, nj_sim_key(1, (uint64_t)i));
        for (int k = 0; k < PIXELS; k++) {
            float v = mean[i % 3] + sigma[i % 3] * noise[k];
            uint32_t bits;
            memcpy(&bits, &v, 4);
            bits = __builtin_bswap32(bits);
            memcpy(s->fits[i] + HEAD + 4 * k, &bits, 4);
        }
    }
}

static bool comes_back(nj_bench_run *run, stamp_set *s)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    static uint8_t back[WHOLE];
    int wrong = 0;
    for (int i = 0; d && i < STAMPS; i++) {
        size_t got = 0, n = nj_sim_deflate(s->fits[i], WHOLE, HEAD, HEAD + 4 * PIXELS, s->packed, ROOM);
        if (libdeflate_deflate_decompress(d, s->packed, n, back, WHOLE, &got) || got != WHOLE ||
            memcmp(back, s->fits[i], WHOLE))
            wrong++;
    }
    libdeflate_free_decompressor(d);
    return nj_bench_verify(run, d && !wrong, "%d stamps packed and unpacked by libdeflate, %d differ", STAMPS,
                           wrong);
}

static bool same_again(nj_bench_run *run, nj_simulator *a, nj_simulator *b)
{
    int differ = 0;
    nj_simulated x, y;
    for (uint64_t i = 0; i < ALERTS; i++) {
        if (nj_simulator_make(a, i, &x) != 1 || nj_simulator_make(b, i, &y) != 1)
            return nj_bench_verify(run, false, "no memory");
        differ += x.size != y.size || memcmp(x.bytes, y.bytes, x.size);
    }
    return nj_bench_verify(run, !differ, "%d packets made twice, %d differ", ALERTS, differ);
}

static int run_all(nj_bench_run *run, nj_simulator *sim[3], stamp_set *s)
{
    fill(s);
    if (!same_again(run, sim[0], sim[2]) || !comes_back(run, s)) return -1;
    const nj_bench_case packets[] = { { "ztf packet", whole_night, sim[0], ALERTS, 0 },
                                      { "lsst packet", whole_night, sim[1], ALERTS, 0 } };
    nj_bench_time(run, packets, 2);
    nj_bench_bar(run, "ZTF packets", 1e9 / nj_bench_median(run, 0), "alerts/s per core", least_alerts_per_s,
                 NAN);
    nj_bench_bar(run, "LSST packets", 1e9 / nj_bench_median(run, 1), "alerts/s per core", least_alerts_per_s,
                 NAN);
    const nj_bench_case pack[] = { { "stamp, own", own, s, STAMPS, (double)STAMPS * WHOLE },
                                   { "stamp, libdeflate 1", level_1, s, STAMPS, (double)STAMPS * WHOLE },
                                   { "stamp, libdeflate 6", level_6, s, STAMPS, (double)STAMPS * WHOLE } };
    nj_bench_time(run, pack, 3);
    nj_bench_ratio(run, "libdeflate 1 against own", 1, 0, 1.5, NAN); /* or it is not worth its lines */
    nj_bench_ratio(run, "libdeflate 6 against own", 2, 0, NAN, NAN);
    nj_bench_figure(run, "size, own over libdeflate 6", (double)s->bytes[0] / (double)s->bytes[2], "1");
    nj_bench_figure(run, "size, libdeflate 1 over 6", (double)s->bytes[1] / (double)s->bytes[2], "1");
    return 0;
}

static int simulate(nj_bench_run *run)
{
    nj_error err = { "no memory" };
    const nj_simulator_conf ztf = { .alerts = ALERTS, .seed = 1 },
                            lsst = { .survey = "lsst", .alerts = ALERTS, .seed = 1 };
    nj_simulator *sim[3] = { nj_simulator_new(&ztf, &err), nj_simulator_new(&lsst, &err),
                             nj_simulator_new(&ztf, &err) };
    stamp_set *s = calloc(1, sizeof *s);
    int rc = -1;
    if (s) s->level[0] = libdeflate_alloc_compressor(1), s->level[1] = libdeflate_alloc_compressor(6);
    if (!sim[0] || !sim[1] || !sim[2] || !s || !s->level[0] || !s->level[1])
        nj_bench_verify(run, false, "%s", err.text);
    else
        rc = run_all(run, sim, s);
    for (int k = 0; k < 3; k++) nj_simulator_free(sim[k]);
    for (int k = 0; s && k < 2; k++) libdeflate_free_compressor(s->level[k]);
    free(s);
    return rc;
}

const nj_bench nj_bench_simulate = { "simulate", "packets of both surveys made from nothing; stamps packed",
                                     simulate };
