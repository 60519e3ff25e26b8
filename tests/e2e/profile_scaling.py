#!/usr/bin/env python3
"""nightjar profile --scaling: parts of known growth are recovered, from the lines that they execute: exact,
so that nothing here rests on a clock."""

import os, re
from profile_toy import SAMPLE, write
from tap import Folder, done, nightjar, ok, report, skip

# line() walks the history, halves() n log n of it, pairs() all pairs, image() the stamp, fixed() nothing.
GROWS = r'''
#include "nightjar/module.h"

static volatile double sink;
static __attribute__((noinline)) void fixed(void)
{
    for (int i = 0; i < 200; i++)
        sink += i;
}
static __attribute__((noinline)) void line(const double *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sink += v[i];
}
static __attribute__((noinline)) void halves(const double *v, uint32_t n)
{
    for (uint32_t step = 1; step < n; step *= 2)
        for (uint32_t i = 0; i < n; i++)
            sink += v[i ^ (step & (n - 1)) & 0];
}
static __attribute__((noinline)) void pairs(const double *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++)
            sink += v[i] - v[k];
}
static __attribute__((noinline)) void image(const nj_image *m)
{
    for (uint32_t i = 0; i < m->rows * m->cols; i++)
        sink += m->pixel[i];
}
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t r = w->row[k], from = w->in[0]->off[r], n = w->in[0]->off[r + 1] - from;
        const double *v = (const double *)w->in[0]->data + from;
        const nj_image *m = w->image(w, 1, r);
        fixed();
        line(v, n);
        halves(v, n);
        PAIRS(v, n);
        if (m) image(m);
        ((double *)w->out[0])[r] = n;
        w->reason[r] = !m || (ONLY && m->rows != ONLY) ? NJ_NO_INPUT : NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(grows) = { NJ_HEADER, .name = "grows", .version = "1.0", .summary = "grows in known ways",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "stamp.science", NJ_F32, NJ_IMAGE, "1", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "n", NJ_F64, 1, -1, "1", 0, INFINITY, NAN, 0, "points" }, { 0 } },
    .process = process };
'''


def grows(only=0, pairs="pairs"):
    return GROWS.replace("ONLY", str(only)).replace("PAIRS(", pairs + "(")


def profile(name, source, *more):
    write(f"{name}.c", source)
    r = nightjar(
        "profile",
        f"{name}.c",
        SAMPLE,
        "--scaling",
        "--repeat",
        1,
        "--seconds",
        0.05,
        "--json",
        f"{name}.json",
        *more,
    )
    ok(r.returncode == 0 and os.path.exists(f"{name}.json"), f"{name}: profiled", r.stdout + r.stderr)
    return r, report(f"{name}.json")["scaling"]


def near(fit, exponent, name):
    ok(abs(fit["exponent"] - exponent) <= 0.05, name, fit)
    ok(fit["low"] - 0.05 <= exponent <= fit["high"] + 0.05, f"{name}: in its interval", fit)


def parts(f):
    near(f["line"]["points"]["fit"], 1, "a loop over the history: n^1")
    near(f["halves"]["points"]["fit"], 1, "n log n: the power beside the logarithm is 1")
    ok(f["halves"]["points"]["fit"]["logarithm"], "n log n: with its logarithm", f["halves"]["points"])
    ok(not f["line"]["points"]["fit"]["logarithm"], "a loop has no logarithm", f["line"]["points"])
    near(f["pairs"]["points"]["fit"], 2, "all pairs: n^2")
    ok(f["fixed"]["points"]["fit"]["kind"] == "flat", "a constant part does not grow", f["fixed"]["points"])
    ok(
        f["image"]["points"]["fit"]["kind"] == "flat",
        "pixels do not grow with the history",
        f["image"]["points"],
    )
    near(f["image"]["pixels"]["fit"], 1, "a loop over the stamp: n^1 in pixels")
    ok(f["pairs"]["pixels"]["fit"]["kind"] == "flat", "the history does not grow with the stamp", f["pairs"])
    for name in ("line", "pairs", "image"):
        near(f[name]["rows"]["fit"], 1, f"{name}: n^1 in the alerts of a call")


def counts(f):
    """The lines themselves: at 8 and at 1024 points."""
    lines = f["line"]["points"]["lines"]
    ok(lines[-1] - lines[-2] == 2 * 16 * 512, "lines of a loop are exact", lines)
    lines = f["pairs"]["points"]["lines"]
    ok(lines[-1] > 2**20 * 16, "lines of all pairs are exact", lines)


def toy():
    r, s = profile("grows", grows(), "--html", "grows.html")
    f = {x["name"]: x for x in s["functions"]}
    ok(set(f) >= {"fixed", "line", "halves", "pairs", "image"}, "all functions of the module", list(f))
    parts(f)
    counts(f)
    v = {x["name"]: x for x in s["variables"]}
    ok(len(v["history points"]["size"]) == 8, "sizes of the history", v)
    ok(v["stamp pixels"]["size"][-1] == 65536, "sizes of the stamps, in pixels", v["stamp pixels"])
    by = v["history points"]["by_instructions"]
    if by["kind"] == "unknown":
        skip("by instructions: n^2", "this machine counts none")
    else:
        near(by, 2, "by instructions: n^2")
    ok(re.search(r"WARNING: pairs grows as n\^(1\.9|2\.0)", r.stdout), "all pairs: warned", r.stdout)
    ok("WARNING: line grows" not in r.stdout, "a loop: not warned", r.stdout)
    ok(
        re.search(r" line  n\^\d\.\d\d \[\d\.\d\d, \d\.\d\d\] in points; n\^0 in pixels", r.stdout),
        "in words",
        r.stdout,
    )
    with open("grows.html", encoding="utf-8") as page:
        text = page.read()
    ok(
        text.count('<svg class=plot') == 3,
        "the page has a plot of each variable",
        text.count('<svg class=plot'),
    )
    ok("n^0 in pixels" in text, "the page has the words")


def one_size():
    """The sample's stamps have 63 pixels a side: none of the sizes is answered."""
    r, s = profile("fixed_size", grows(only=63))
    v = {x["name"]: x for x in s["variables"]}
    ok(
        "too few of the sizes" in v["stamp pixels"]["why_not"],
        "sizes that it does not answer: said",
        v["stamp pixels"],
    )
    ok("no alert is answered at 16" in v["stamp pixels"]["left_out"], "those are named", v["stamp pixels"])


def crashes():
    """A module that cannot take long histories: found by the process that counts, before one that times."""
    source = grows().replace("grows", "short_only")
    source = source.replace("fixed();", "fixed(); if (n > 300) __builtin_trap();")
    r, s = profile("short_only", source)
    v = {x["name"]: x for x in s["variables"]}["history points"]
    ok(v["left_out"] == "CRASHES at 512", "the size at which it crashes is named", v)
    ok(v["size"][-1] == 256, "the sizes below it are measured", v["size"])
    ok("512 points: the counting pass failed: it crashed" in s["no_counts"], "and why lines are missing", s)


def nothing():
    write("none.c", GROWS.replace("ONLY", "0").replace("PAIRS(", "pairs("))
    r = nightjar(
        "profile",
        "roid",
        SAMPLE,
        "--scaling",
        "--repeat",
        1,
        "--seconds",
        0.05,
        "--no-hits",
        "--json",
        "none.json",
    )
    ok(
        r.returncode == 0 and "none: --no-hits" in r.stdout,
        "without the counting pass: said",
        r.stdout + r.stderr,
    )
    v = {x["name"]: x for x in report("none.json")["scaling"]["variables"]}
    ok(v["stamp pixels"]["why_not"] == "the module opened no stamp", "a module without stamps: said", v)


def catalogue():
    """A cross-match is measured on thinner copies of its catalogue, which is as it was afterwards."""
    with open("sky.csv", "w", encoding="utf-8") as f:
        f.write("ra,dec,name,z\n")
        for i in range(4096):
            f.write(f"{i * 360 / 4096:.6f},{(i * 37 % 120) - 60},object {i},{i / 4096}\n")
    r = nightjar("catalog", "build", "sky.csv", "-o", "sky.njx", "-q")
    ok(r.returncode == 0, "a catalogue", r.stderr)
    here = [
        "-D",
        "module.sky.kind=xmatch",
        "-D",
        "module.sky.catalog=sky.njx",
        "-D",
        f"catalogs.path={os.getcwd()}",
    ]
    r = nightjar(
        "profile",
        "sky",
        SAMPLE,
        *here,
        "--scaling",
        "--repeat",
        1,
        "--seconds",
        0.05,
        "--no-hits",
        "--json",
        "sky.json",
    )
    ok(r.returncode == 0, "a cross-match", r.stdout + r.stderr)
    v = {x["name"]: x for x in report("sky.json")["scaling"]["variables"]}["catalogue rows"]
    ok(len(v["size"]) == 5, "five catalogues", v)
    ok(v["size"][-1] == 4096, "the last one is whole", v["size"])
    ok(8 <= v["size"][0] <= 32, "the first has about one row of 256", v["size"])
    ok(len(v["cost_ns"]) == 5 and min(v["cost_ns"]) > 0, "each is measured", v["cost_ns"])
    left = [x for x in os.listdir(".") if "thin" in x]
    ok(not left, "no copy is left", left)


with Folder():
    toy()
    catalogue()
    one_size()
    crashes()
    nothing()
done()
