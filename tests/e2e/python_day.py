#!/usr/bin/env python3
"""The day of who comes with Python: modules of this repository in NumPy (modules/python/examples) hold the
rules and have the answers of those in C, by `nightjar diff`, which prints what each costs; `nightjar profile`
has their lines; a pandas function of another broker runs as it is."""

import os, re, shutil, subprocess, sys
from tap import ROOT, SANITIZED, Folder, compile_module, done, needs, nightjar, ok, rows, skip

needs("numpy", "pandas")

ENV = {"PYTHONPATH": f"{ROOT}/modules/python", "NIGHTJAR_PYTHON": sys.executable}
EXAMPLES = f"{ROOT}/modules/python/examples"

SPECTRUM = r"""
#include "nightjar/column.h"
enum { SIDE = 14, BINS = 7 };
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    for (uint32_t r = 0; r < w->n; r++) {
        uint32_t row = w->row[r];
        const nj_image *s = w->image(w, 0, row);
        w->reason[row] = NJ_NO_INPUT;
        if (!s || s->rows < SIDE || s->cols < SIDE) continue;
        const float *pixel = s->pixel + (s->rows - SIDE) / 2 * s->cols + (s->cols - SIDE) / 2;
        double sum[BINS] = { 0 }, *out = (double *)w->out[0] + (size_t)row * BINS;
        int n[BINS] = { 0 }, bad = 0;
        for (int kx = -SIDE / 2; kx < SIDE / 2; kx++)
            for (int ky = -SIDE / 2; ky < SIDE / 2; ky++) {
                int b = (int)floor(sqrt(kx * kx + ky * ky) - 0.5);
                double re = 0, im = 0;
                if (b < 0 || b >= BINS) continue;
                for (int y = 0; y < SIDE; y++)
                    for (int x = 0; x < SIDE; x++) {
                        double a = 2 * M_PI * (kx * y + ky * x) / SIDE;
                        re += pixel[y * s->cols + x] * cos(a);
                        im -= pixel[y * s->cols + x] * sin(a);
                    }
                sum[b] += re * re + im * im;
                n[b]++;
            }
        for (int b = 0; b < BINS; b++) bad |= isnan(sum[b]);
        if (bad) continue;
        for (int b = 0; b < BINS; b++) out[b] = (b + 1) * sum[b] / n[b];
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(stamp_spectrum) = {
    NJ_HEADER, .name = "stamp_spectrum", .version = "1.0", .summary = "power spectrum",
    .paper = "none: a test",
    .needs = (const nj_need[]){ { "stamp.science", NJ_F32, NJ_IMAGE, "DN", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "power", NJ_F64, BINS, -1, "1", 0, INFINITY, NAN, 0,
                                  "by bin; none without" },
                                { 0 } },
    .process = process
};
"""


def diff(c, python, tolerance):
    """Every answer is that of the module in C."""
    r = nightjar("diff", c, python, "night.tar", "--tolerance", tolerance, "--rounds", 1, env=ENV)
    name = os.path.basename(python)
    ok(
        r.returncode == 0 and "no output changed" in r.stdout,
        f"{name}: the answers of C",
        r.stdout + r.stderr,
    )
    cost = re.search(r"cost: ([\d.]+) -> ([\d.]+) CPU us/alert, ratio ([\d.]+)", r.stdout)
    ok(cost is not None, f"{name}: what each costs", r.stdout)
    print(f"# {name}: {cost[0] if cost else ''}", flush=True)
    r = nightjar("check", python, "night.tar", env=ENV)
    ok(r.returncode == 0, f"{name}: nightjar check finds nothing", r.stdout + r.stderr)


def a_difference():
    """A version with a mistake: diff names column and alerts."""
    with open(f"{EXAMPLES}/fast_transient.py", encoding="utf-8") as f:
        text = f.read()
    with open("fast_transient.py", "w", encoding="utf-8") as f:
        f.write(text.replace("E * np.log(20)", "E * np.log(10)"))
    r = nightjar("diff", "fast_transient", "fast_transient.py", "night.tar", "--rounds", 1, env=ENV)
    ok("fast_transient.lower_rate: " in r.stdout, "diff names the column that differs", r.stdout + r.stderr)
    ok("fast_transient.delta_time" not in r.stdout, "and no other", r.stdout)


def profile():
    """Hits are exact: one of each line for each call; what the tracing costs is said."""
    words = ["profile", f"{EXAMPLES}/nalerthist.py", "night.tar", "--repeat", 3]
    r = nightjar(*words, "--lines", env=ENV)
    ok(r.returncode == 0 and "traced: " in r.stdout, "profile --lines", r.stdout + r.stderr)
    hits = re.findall(r"^ +\d+ +(\d+) .*return mag\.count\(\)$", r.stdout, re.M)
    ok(len(hits) == 1 and int(hits[0]) % 4 == 0, "with exact hits: a first pass and three more", r.stdout)
    ok("def nalerthist(mag):" in r.stdout, "and the source", r.stdout)
    ok("@module" not in r.stdout, "without its decorators", r.stdout)
    r = nightjar(*words, env=ENV)
    ok(r.returncode == 0 and "CPU us/alert in the worker" in r.stdout, "profile", r.stdout + r.stderr)
    ok("traced" not in r.stdout, "which traces only when it is asked to", r.stdout)
    r = nightjar(*words, "--json", "x.json", env=ENV)
    ok(r.returncode == 1 and "no --json" in r.stderr, "--json is refused", r.stderr)
    for option in ("--scaling", "--energy"):
        r = nightjar(*words, option)
        ok(r.returncode == 1 and option in r.stderr, f"profile {option}: refused", r.stderr)


def adapter():
    r = nightjar(
        "run", "--module-path", f"{EXAMPLES}/fink_adapter.py", "-m", "fink_adapter", "-o",
        "ndjson:adapter.ndjson", "night.tar", env=ENV,
    )  # fmt: skip
    if not ok(r.returncode == 0, "a pandas function of another broker runs", r.stderr):
        return
    got = rows("adapter.ndjson")
    scored = [x for x in got if x["fink_adapter.score"] is not None]
    ok(len(scored) > 20, "it has scores", len(scored))
    few = [x for x in got if x["fink_adapter.reason"] == "few_points"]
    ok(len(few) + len(scored) == len(got), "and its -1 is none")
    ok(all("roid.roid" in x for x in got), "another module's answer was one of its columns")


if SANITIZED:
    skip("a day with Python", "it is of the release build")
    done()
with Folder():
    r = nightjar("simulate", "-q", "-n", 400, "-o", "night.tar")
    ok(r.returncode == 0, "a night of 400 alerts", r.stderr)
    with open("spectrum.c", "w", encoding="utf-8") as f:
        f.write(SPECTRUM)
    compile_module("spectrum.c", "spectrum.so", "-O2")
    diff("nalerthist", f"{EXAMPLES}/nalerthist.py", 0)
    diff("fast_transient", f"{EXAMPLES}/fast_transient.py", 1e-12)
    diff("spectrum.so", f"{EXAMPLES}/stamp_spectrum.py", 1e-9)
    a_difference()
    profile()
    adapter()
done()
