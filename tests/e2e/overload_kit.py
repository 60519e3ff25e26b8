"""overload_kit.py - modules of a cost that is known, for runs that cannot keep up. Not a test."""

import os, subprocess
from tap import ROOT

SOURCE = """
#include <math.h>
#include "nightjar/module.h"
static volatile double sink;
static int process(const void *self, void *thread, const nj_work *w)
{
    double *x = w->out[0];
    const double *in = w->in[0]->data;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        for (int i = 0; i < @TURNS@; i++) sink = sqrt(i + in[row]);
        x[row] = in[row] + @TURNS@, w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}
NJ_MODULE(@NAME@) = { NJ_HEADER, .name = "@NAME@", .version = "1.0", .summary = "a test",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "@NEED@", NJ_F64, NJ_SCALAR, @UNIT@, 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .process = process };
"""


def module(name, turns, need="mag", unit='"mag"'):
    text = SOURCE
    for k, v in {"NAME": name, "TURNS": turns, "NEED": need, "UNIT": unit}.items():
        text = text.replace(f"@{k}@", str(v))
    os.makedirs("modules", exist_ok=True)
    with open(f"{name}.c", "w", encoding="utf-8") as f:
        f.write(text)
    flags = "-std=gnu11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    cc = [os.environ.get("CC_MODULE", "cc"), *flags, f"-I{ROOT}/include"]
    subprocess.run([*cc, f"{name}.c", "-o", f"modules/{name}.so", "-lm"], check=True)
