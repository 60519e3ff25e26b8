#!/usr/bin/env python3
"""nightjar check: a module that keeps the rules passes; each planted fault is found, with the row or column
and the cure, and a crash or a hang costs one rule."""

import os, re
from tap import Folder, compile_module, done, nightjar, ok

GOOD = """#include "nightjar/module.h"
typedef struct { double most; } conf;
typedef struct { long n; } block;
static int process(const void *self, void *thread, const nj_work *w)
{
    block *b = thread;
    const double *mag = w->in[1]->data;
    const uint32_t *off = w->in[1]->off;
    (void)self;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = 0;
        double least = NAN;
        b->n++;
        for (uint32_t i = off[row]; i < off[row + 1]; i++) {
            if (!isfinite(mag[i]) || fabs(mag[i]) > 1e6) continue;
            if (!(mag[i] >= least)) least = mag[i];
            n++;
        }
        w->reason[row] = n ? NJ_DONE : NJ_FEW_POINTS;
        ((double *)w->out[0])[row] = least;
        ((int32_t *)w->out[1])[row] = (int32_t)n;
        /*MORE*/
    }
    return NJ_OK;
}
NJ_MODULE(toy) = { NJ_HEADER, .name = "toy", .version = "1.0", .summary = "a toy", .paper = "none: a test",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "stamp.science", NJ_F32, NJ_IMAGE, "1", NJ_NEED_OPTIONAL }, { 0 } },
    .gives = (const nj_give[]){
        { "least", NJ_F64, 1, 0, "mag", -1e6, 1e6, NAN, 0, "The least magnitude; none without points." },
        { "n", NJ_I32, 1, 0, "1", 0, 10000, NAN, 0, "Number of points." }, { 0 } },
    .params = (const nj_param[]){
        { "most", NJ_F64, "1", offsetof(conf, most), 0, 9, "1", "Not used." }, { 0 } },
    .conf_size = sizeof(conf), .thread_size = sizeof(block), .process = process };
"""
N = "((int32_t *)w->out[1])[row] = (int32_t)n;"
DONE = "w->reason[row] = n ? NJ_DONE : NJ_FEW_POINTS;"

# what is planted: (name, from, to, the rule that finds it, what it says, the cure)
FAULTS = [
    (
        "no NJ_DONE",
        DONE,
        "if (!n) w->reason[row] = NJ_FEW_POINTS;",
        "any input",
        "no reason was set",
        "reason[row]",
    ),
    ("a reason of the host's", "n ? NJ_DONE", "n ? NJ_FAILED", "any input", "reason 7", "reason[row]"),
    (
        "a wrong unit",
        '"lc.mag", NJ_F64, NJ_SERIES, "mag"',
        '"lc.mag", NJ_F64, NJ_SERIES, "nJy"',
        "needs",
        "need lc.mag: it is in mag, asked for in nJy",
        "linear units",
    ),
    (
        "a wrong path",
        '"lc.mag", NJ_F64',
        '"lc.magg", NJ_F64',
        "needs",
        "need lc.magg: .*did you mean lc.mag",
        "nightjar columns",
    ),
    (
        "a wrong shape",
        '"lc.jd", NJ_F64, NJ_SERIES',
        '"lc.jd", NJ_F64, NJ_SCALAR',
        "needs",
        "need lc.jd: it is a series, asked for as one value",
        "",
    ),
    ("no such view", '"lc.jd", NJ_F64', '"lc.jd@x", NJ_F64', "needs", "there is no view '@x'", "@time"),
    (
        "a double into an i32 column",
        N,
        "((double *)w->out[1])[row] = n;",
        "other rows",
        r"n: byte \+\d behind its own element was written",
        "a wider number written into a column of type i32",
    ),
    (
        "a write to the row behind",
        N,
        N + "((int32_t *)w->out[1])[row + 1] = 1;",
        "other rows",
        "behind its own",
        "[row]",
    ),
    (
        "a write to the row before",
        N,
        N + "((double *)w->out[0])[(int)row - 1] = 1;",
        "other rows",
        "written",
        "[row]",
    ),
    (
        "all rows instead of those asked for",
        "uint32_t row = w->row[k], n = 0;",
        "uint32_t row = k, n = 0;",
        "other rows",
        "",
        "",
    ),
    (
        "static state",
        "/*MORE*/",
        "static int seen; ((double *)w->out[0])[row] = seen++ % 1000;",
        "order and threads",
        "least is",
        "no static variable",
    ),
    (
        "state in the thread's block",
        "/*MORE*/",
        "((double *)w->out[0])[row] = (double)(b->n % 1000);",
        "order and threads",
        "least is",
        "from row to row",
    ),
    ("malloc", "/*MORE*/", "kept = malloc(8); free(kept);", "neither alloc", r"malloc\(\)", "scratch"),
    (
        "a file in process",
        "/*MORE*/",
        'FILE *f = fopen("/dev/null", "r"); if (f) fclose(f);',
        "neither allocates",
        r"fopen\(\)",
        "scratch",
    ),
    (
        "a thread in process",
        "/*MORE*/",
        "pthread_t t; if (!pthread_create(&t, NULL, idle, NULL)) pthread_join(t, NULL);",
        "neither allocates",
        r"pthread_create\(\)",
        "are the host's",
    ),
    (
        "a handler of signals",
        "/*MORE*/",
        "signal(SIGUSR1, SIG_IGN);",
        "neither alloc",
        r"signal\(\)",
        "host's",
    ),
    (
        "mapped memory",
        "/*MORE*/",
        "kept = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);",
        "neither allocates",
        r"mmap\(\)",
        "scratch",
    ),
    (
        "a write to an input",
        "/*MORE*/",
        "if (n) ((double *)(uintptr_t)mag)[off[row]] += 1e-9;",
        "other rows",
        "need lc.mag: process.. has written to its input",
        "const",
    ),
    (
        "a stamp that is changed in place",
        "/*MORE*/",
        "const nj_image *im = w->image(w, 2, row); if (im) ((float *)(uintptr_t)im->pixel)[0] -= 9;",
        "other rows",
        "need stamp.science: process.. has written to its input",
        "const",
    ),
    ("another rounding", "/*MORE*/", "fesetround(FE_UPWARD);", "other rows", "the thread rounds", "back"),
    (
        "scratch memory that was not written",
        "/*MORE*/",
        "double *x = w->scratch(w, 80); if (x) ((double *)w->out[0])[row] = fabs(x[3]) < 1e6 ? x[3] : 1;",
        "order and threads",
        "least is",
        "",
    ),
    (
        "a leak",
        "/*MORE*/",
        "kept = malloc(64); if (kept) memset(kept, 1, 64);",
        "nothing leaks",
        "keeps .* bytes a call",
        "scratch",
    ),
    (
        "a value out of its range",
        N,
        "((int32_t *)w->out[1])[row] = n ? (int32_t)n : -1;",
        "any input",
        r"n is -1, outside of \[0, 10000\]",
        "NJ_RANGE",
    ),
    (
        "an infinite value",
        "least = mag[i];",
        "least = 1 / (mag[i] - mag[i]);",
        "any input",
        "least is -?inf",
        "lo and hi",
    ),
    (
        "a call that fails",
        "/*MORE*/",
        "if (!n) return NJ_EINTERNAL;",
        "any input",
        "process.. gave -4",
        "reason",
    ),
    ("no sentence", '"Number of points."', '""', "tables", "give n: no sentence", ""),
    (
        "process_ref says something else",
        ".process = process",
        ".process = process, .process_ref = other",
        "process equals",
        "by process_ref",
        "tolerance",
    ),
    (
        "a crash",
        "/*MORE*/",
        "if (n > 1000) *(volatile int *)8 = 1;",
        "any input",
        "signal 11.*giant row",
        "gdb",
    ),
    (
        "a division by zero",
        "/*MORE*/",
        "volatile int z = (int)n - 1; z = 7 / z;",
        "any input",
        "signal 8.*one point row",
        "gdb",
    ),
    ("exit()", "/*MORE*/", "if (!n) exit(0);", "any input", "exit", "gdb"),
]

# what the tables themselves refuse: the module is not loaded
REFUSED = [
    (
        "no { 0 } behind the gives",
        '"Number of points." }, { 0 } }',
        '"Number of points." } }',
        "gives|table|{ 0 }",
    ),
    ("a give twice", '{ "n", NJ_I32', '{ "least", NJ_I32', "least.*twice|twice.*least"),
    ("a range upside down", '"1", 0, 10000', '"1", 10000, 0', "range whose begin"),
    ("a setting out of its struct", "offsetof(conf, most)", "4096", "row 1 of its params, 'most'"),
    ("another ABI", "NJ_HEADER, .name", "NJ_HEADER, .abi = 1, .name", "ABI|abi"),
]


def source(name, *changes):
    text = GOOD
    for old, new in changes:
        assert old in text, (name, old)
        text = text.replace(old, new)
    names = "fenv", "pthread", "signal", "stdio", "stdlib", "string", "sys/mman"
    includes = "".join(f"#include <{name}.h>\n" for name in names)
    other = """static void *volatile kept;
static inline void *idle(void *p)
{
    return p;
}
static int process(const void *self, void *thread, const nj_work *w);
static inline int other(const void *self, void *thread, const nj_work *w)
{
    int rc = process(self, thread, w);
    (void)kept;
    for (uint32_t k = 0; k < w->n; k++) ((double *)w->out[0])[w->row[k]] += 1;
    return rc;
}
"""
    text = includes + text.replace(
        "typedef struct { double most; } conf;", other + "typedef struct { double most; } conf;"
    )
    with open("toy.c", "w", encoding="ascii") as f:
        f.write(text)
    for old in ("toy.check.csv",):
        if os.path.exists(old):
            os.unlink(old)


def lines(r):
    """The rules' lines: {rule: (verdict, text)}, with the cure behind the text."""
    out, last = {}, None
    for line in r.stdout.splitlines():
        m = re.match(r"(ok|WRONG|-) +([a-z][^:]*)(?:: (.*))?$", line)
        if m:
            last = m.group(2)
            out[last] = [m.group(1), m.group(3) or ""]
        elif last and line.startswith("       "):
            out[last][1] += "\n" + line.strip()
    return out


def one_fault(name, old, new, rule, says, cure):
    source(name, (old, new))
    r = nightjar("check", "toy.c", "--deadline", 3)
    said = lines(r)
    found = [(k, v) for k, v in said.items() if k.startswith(rule)]
    ok(r.returncode == 5, f"{name}: exit code 5", (r.returncode, r.stdout, r.stderr))
    well = found and found[0][1][0] == "WRONG"
    well = well and re.search(says, found[0][1][1]) and cure in found[0][1][1]
    ok(well, f"{name}: found by '{rule}'", r.stdout + r.stderr)
    ok("toy: " in r.stdout.splitlines()[-1], f"{name}: and the other rules were looked at", r.stdout)


def good():
    source("good")
    r = nightjar("check", "toy.c")
    ok(r.returncode == 0 and "WRONG" not in r.stdout, "a module that keeps the rules", r.stdout + r.stderr)
    ok("toy: 7 rules hold, 0 broken, 3 do not apply" in r.stdout, "and what does not apply is said", r.stdout)
    ok(not os.path.exists("toy.check.csv"), "and no file is left", "")
    ok(compile_module("toy.c", "toy.so"), "as a shared object")
    r = nightjar("check", "./toy.so")
    ok(r.returncode == 0, "checked in the same way", r.stdout + r.stderr)
    nightjar("simulate", "-q", "-n", 60, "-o", "night.tar")
    r = nightjar("check", "toy.c", "night.tar")
    ok("alerts of the source: 60 alerts" in r.stdout, "over the alerts of a source", r.stdout + r.stderr)


def saved_row():
    source("crash", ("/*MORE*/", "if (n > 1000) *(volatile int *)8 = 1;"))
    nightjar("check", "toy.c")
    r = nightjar("check", "toy.c", "--values", "toy.check.csv")
    said = lines(r)
    ok(said["reference values"][0] == "WRONG", "the saved row kills it again", r.stdout)
    source("range", (N, "((int32_t *)w->out[1])[row] = n == 1 ? -1 : (int32_t)n;"))
    nightjar("check", "toy.c", "--save", "row.csv")
    ok(os.path.exists("row.csv"), "--save says where the row goes", os.listdir("."))
    r = nightjar("check", "toy.c", "--values", "row.csv", "--save", "again.csv")
    ok("n is -1, outside" in lines(r)["reference values"][1], "the saved row breaks the same rule", r.stdout)


def values():
    source(
        "stamp",
        (
            "/*MORE*/",
            """const nj_image *im = w->image(w, 2, row);
        ((double *)w->out[0])[row] = im ? im->pixel[im->cols * (im->rows / 2) + im->cols / 2] : NAN;""",
        ),
    )
    head = "lc.jd,lc.mag,stamp.science,=least,=n\n"

    def table(name, *rows):
        with open(name, "w", encoding="ascii") as f:
            f.write("# tolerance 1e-6\n" + head + "".join(rows))

    def run(name):
        r = nightjar("check", "toy.c", "--values", name)
        return r, lines(r).get("reference values", ["", ""])

    table(
        "v.csv",
        '1 2,18 19,"@gauss(63,63,sigma=2,peak=7)",7,2\n',
        '1,18,"@flat(5,5,value=3)",3,1\n',
        "1,-,,,0\n",
    )
    r, said = run("v.csv")
    ok(said == ["ok", "3 rows within 1e-06"], "stamps in a table of values", (said, r.stderr))
    table("w.csv", '1 2,18 19,"@gauss(63,63,sigma=2,peak=7)",8,2\n')
    r, said = run("w.csv")
    ok(
        said[0] == "WRONG" and "line 3: least is 7, expected 8" in said[1],
        "a wrong value, with its line",
        said,
    )
    try:
        import numpy
        from astropy.io import fits
    except ImportError:
        numpy = None
    if numpy is not None:
        image = numpy.zeros((9, 9), dtype=">f4")
        image[4, 4] = 11
        fits.PrimaryHDU(image).writeto("spot.fits")
        table("f.csv", "1,18,@spot.fits,11,1\n")
        r, said = run("f.csv")
        ok(said[0] == "ok", "a FITS file beside the table", (said, r.stderr))
    for cell, says in (
        ("@missing.fits", "missing.fits: it cannot be read"),
        ("gauss", "is no stamp"),
        ('"@flat(0,5)"', "1 to 4096 rows"),
    ):
        table("x.csv", f"1,18,{cell},3,1\n")
        ok(says in run("x.csv")[1][1], f"the stamp {cell}", run("x.csv")[1])
    table("x.csv", "1,18,,3\n")
    ok("line 3: 4 cells, the header has 5" in run("x.csv")[1][1], "a cell too few", run("x.csv")[1])
    with open("x.csv", "w", encoding="ascii") as f:
        f.write("lc.jd,lc.magg,=least\n1,2,3\n")
    ok(
        "column lc.magg: the module has no such need" in run("x.csv")[1][1],
        "a column of no need",
        run("x.csv")[1],
    )
    r = nightjar("check", "toy.c", "--values", "none.csv")
    ok(r.returncode == 1 and "none.csv" in r.stderr, "a table that is not there", r.stderr)


def refused():
    for name, old, new, says in REFUSED:
        source(name, (old, new))
        r = nightjar("check", "toy.c")
        ok(
            r.returncode == 1 and re.search(says, r.stderr),
            f"{name}: refused, and said why",
            (r.returncode, r.stderr),
        )
    source("hang", ("/*MORE*/", "volatile int z = n > 1000; while (z) { }"))
    r = nightjar("check", "toy.c", "--deadline", 1)
    said = lines(r)
    ok(said["any input gets a valid answer"][0] == "WRONG", "a hang is ended and named", r.stdout)
    ok("in time" in said["any input gets a valid answer"][1], "as one", said)
    for args, says in ((["nothing.c"], "nothing.c"), (["nosuch"], "nosuch"), ([], "MODULE")):
        r = nightjar("check", *args)
        ok(r.returncode == 1 and says in r.stderr, f"check {' '.join(args)}: an error", r.stderr)


with Folder():
    good()
    for fault in FAULTS:
        one_fault(*fault)
    saved_row()
    values()
    refused()
    for name in ("roid", "hostless", "features"):
        r = nightjar("check", name)
        ok(r.returncode == 0, f"{name} of the binary", r.stdout + r.stderr)
done()
