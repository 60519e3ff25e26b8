"""profile_toy.py - modules of known cost for the tests of `nightjar profile`, and what to read of its report.
Not a test."""

import os, re
from tap import ROOT

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")

TOY = r'''
#include <stdlib.h>
#include <time.h>
#include "nightjar/module.h"

/* A chain of dependent steps of about 1 ns: cost in proportion, whoever else runs. */
static __attribute__((noinline)) void burn(long steps)
{
    unsigned long x = 1;
    for (long i = 0; i < steps; i++) {
        x = x * 2862933555777941757UL + 3037000493UL;
        __asm__ volatile("" : "+r"(x));
    }
}
static volatile int sink;
static __attribute__((noinline)) void deep(int depth)
{
    burn(25000); /* deep burns */
    if (depth) deep(depth - 1); /* deep calls */
    sink++;
}
static inline __attribute__((always_inline)) void inlined(void)
{
    burn(75000); /* inlined burns */
    sink++;
}
static int compare(const void *a, const void *b)
{
    burn(7000); /* compare burns */
    return *(const int *)a - *(const int *)b;
}
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        int v[8] = { 8, 7, 6, 5, 4, 3, 2, 1 };
        burn(100000); /* line A */
        burn(300000); /* line B */
        if (k % 8 == 0) /* the sample is one call of process() */
            burn(1000000); /* line C */
        deep(3); /* line D */
        inlined(); /* line E */
        qsort(v, 8, sizeof *v, compare); /* line F */
        ((double *)w->out[0])[w->row[k]] = v[0];
        w->reason[w->row[k]] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(toy) = { NJ_HEADER, .name = "toy", .version = "1.0", .summary = "burns known times",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "jd", NJ_F64, NJ_SCALAR, "d", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "v", NJ_F64, 1, -1, "1", 0, 9, NAN, 0, "a number" }, { 0 } },
    .process = process };
'''

# Each millisecond of the clock: the first half in line A, the second in line B. A sampler on the multiples of
# 1 ms always meets the same line; a random one finds half and half.
ALIAS = TOY.replace(
    "static volatile int sink;",
    r'''
static volatile int sink;
static __attribute__((noinline)) void burn_to(long phase, long period)
{
    struct timespec t;
    do clock_gettime(CLOCK_MONOTONIC, &t);
    while ((t.tv_sec * 1000000000L + t.tv_nsec) % period / (period / 2) != phase);
}''',
)
ALIAS = re.sub(r"burn\(100000\);", "burn_to(0, 1000000);", ALIAS)
ALIAS = re.sub(r"burn\(300000\);", "burn_to(1, 1000000);", ALIAS)
ALIAS = (
    re.sub(r"        if \(k % 8.*?line F \*/\n", "", ALIAS, flags=re.S)
    .replace('"toy"', '"alias"')
    .replace("(toy)", "(alias)")
)


def number(source, mark):
    return next(i for i, text in enumerate(source.split("\n"), 1) if mark in text)


def lines(p, name):
    return {x["line"]: x for f in p["functions"] if f["name"] == name for x in f["lines"]}


def write(name, text):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)


def shares(p):
    """{mark: (share found, true share)} of the toy's lines."""
    n, process = p["alerts"], lines(p, "process")
    n_compare = lines(p, "compare")[number(TOY, "compare burns")]["hits"]
    burnt = {
        "line A": n * 100,
        "line B": n * 300,
        "line C": sum(-(-part // 8) * 1000 for part in slices(p)),
        "line D": n * 100,
        "line E": n * 75,
        "line F": n_compare * 7,
    }
    return {
        m: (process[number(TOY, m)]["share_of_module"], t / sum(burnt.values())) for m, t in burnt.items()
    }


def slices(p):
    """Rows per call of process(): those of one batch."""
    return [p["rows_per_batch"]] * (p["alerts"] // p["rows_per_batch"]) + (
        [p["alerts"] % p["rows_per_batch"]] if p["alerts"] % p["rows_per_batch"] else []
    )


def sums(p):
    """What the lines of process() sum to, over its measured wall time."""
    return sum(x["time_ns"] for x in lines(p, "process").values()) * p["replays"] / p["wall_ns"]


# What it costs is in the libraries: the lines that call them must get it, though they keep no frame pointers.
LIBRARIES = (
    TOY[: TOY.index("static int process")].replace(
        "#include <time.h>", "#include <fftw3.h>\n#include <math.h>\n#include <time.h>"
    )
    + r'''
typedef struct { fftw_plan plan; double *in; fftw_complex *out; } tools;
static int open_tools(const nj_host *host, const void *conf, void **self)
{
    (void)conf;
    tools *t = host->alloc(host->opaque, sizeof *t);
    t->in = fftw_alloc_real(1024), t->out = fftw_alloc_complex(1024);
    t->plan = fftw_plan_dft_r2c_1d(1024, t->in, t->out, FFTW_ESTIMATE);
    *self = t;
    return NJ_OK;
}
static int process(const void *self, void *thread, const nj_work *w)
{
    const tools *t = self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        double sum = 0;
        for (int i = 0; i < 3000; i++)
            sum += exp(-i * 1e-3) + log(i + 1.5); /* libm */
        for (int i = 0; i < 1024; i++) t->in[i] = sum + i % 7;
        for (int i = 0; i < 12; i++)
            fftw_execute(t->plan); /* fftw */
        ((double *)w->out[0])[w->row[k]] = t->out[1][0] != 0;
        w->reason[w->row[k]] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(libraries) = { NJ_HEADER, .name = "libraries", .version = "1.0", .summary = "calls libm and FFTW",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "jd", NJ_F64, NJ_SCALAR, "d", 0 }, { 0 } }, .open = open_tools,
    .gives = (const nj_give[]){ { "v", NJ_F64, 1, -1, "1", 0, 9, NAN, 0, "a number" }, { 0 } },
    .process = process };
'''
)

SINGLY = TOY[: TOY.index("static int process")] + r'''
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        int64_t id = w->id[w->row[k]];
        /* to 24000: all a little different */
        burn(20000 + (long)((uint64_t)id * 11400714819323198485ULL >> 52));
        if (MANY) burn(200000);
        if (id == ODD) burn(ODD_STEPS);
        ((double *)w->out[0])[w->row[k]] = 1;
        w->reason[w->row[k]] = MUTE && !(MANY) ? NJ_CUT : NJ_DONE;
    }
    return NJ_OK;
}
''' + TOY[TOY.index("NJ_MODULE") :]
