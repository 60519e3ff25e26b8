#!/usr/bin/env python3
"""A science module in C++: every public header compiles as C++, and a module that uses the standard library
runs as a shared object."""

import glob, os, subprocess
from tap import ROOT, Folder, done, nightjar, ok, rows

MODULE = r"""
#include <algorithm>
#include <vector>
#include "nightjar/column.h"

static const nj_need needs[] = { { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 }, {} };
static const nj_give gives[] = {
    { "median", NJ_F64, 1, -1, "mag", -INFINITY, INFINITY, NAN, 0, "median magnitude" }, {} };

static int process(const void *, void *, const nj_work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t row = w->row[i], n = nj_points(w, 0, row);
        const double *mag = nj_f64_series(w, 0, row);
        std::vector<double> v;
        std::copy_if(mag, mag + n, std::back_inserter(v), [](double x) { return x == x; });
        w->reason[row] = v.empty() ? NJ_FEW_POINTS : NJ_DONE;
        if (v.empty()) continue;
        std::sort(v.begin(), v.end());
        nj_put_f64(w, 0, row, (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2);
    }
    return NJ_OK;
}

NJ_MODULE(middle) = { NJ_HEADER, .name = "middle", .version = "1.0", .summary = "a median",
    .paper = "none: a test",
                      .needs = needs, .gives = gives, .process = process };
"""
CXX = os.environ.get("CXX", "c++").split()[-1]


def compiles(path, *more):
    return subprocess.run(
        [CXX, "-std=c++20", "-O2", "-fPIC", f"-I{ROOT}/include", *more, path], capture_output=True, text=True
    )


for header in sorted(glob.glob(os.path.join(ROOT, "include", "nightjar", "*.h"))):
    r = compiles(header, "-x", "c++", "-fsyntax-only")
    ok(r.returncode == 0, f"{os.path.basename(header)} is C++, too", r.stderr)
with Folder():
    open("middle.cc", "w", encoding="utf-8").write(MODULE)
    r = compiles("middle.cc", "-shared", "-DNJ_SHARED", "-o", "middle.so")
    ok(r.returncode == 0, "a module in C++ compiles", r.stderr)
    nightjar("simulate", "-q", "-n", 20, "-o", "night.tar", "--truth", "t.csv")
    r = nightjar(
        "run",
        "night.tar",
        "-q",
        "--module-path",
        "middle.so",
        "-m",
        "middle",
        "--columns",
        "lc.mag",
        "-o",
        "ndjson:out.ndjson",
    )
    ok(r.returncode == 0, "and runs", r.stderr)
    bad = 0
    for row in rows("out.ndjson"):
        mags = sorted(x for x in row["lc.mag"] if x is not None)
        n = len(mags)
        want = (mags[(n - 1) // 2] + mags[n // 2]) / 2 if n else None
        bad += row["middle.median"] != want
    ok(bad == 0, "with the medians of the light curves", f"{bad} rows differ")
done()
