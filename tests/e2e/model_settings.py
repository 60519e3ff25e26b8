#!/usr/bin/env python3
"""Settings of kind = model: expressions, what a null feature becomes, names of outputs, flags, wide ones."""

import math, os, struct, sys
from tap import ROOT, Folder, done, nightjar, ok, report, rows

sys.path.insert(0, os.path.join(ROOT, "modules", "python"))
from nightjar_export import folder as mf

f32 = lambda x: struct.unpack("<f", struct.pack("<f", x))[0]


def linear(name, n, width, weight):
    """A model that gives its n features times a matrix, as a folder."""
    w = [float(weight(i, k)) for i in range(n) for k in range(width)]
    onnx = mf.model(
        [mf.node("MatMul", ["X", "W"], ["Y"])],
        [mf.tensor("W", [n, width], w)],
        [mf.value_info("X", ["N", n])],
        [mf.value_info("Y", ["N", width])],
        [("", 13)],
    )
    with open(f"{name}.onnx", "wb") as f:
        f.write(onnx)
    names = ",".join("f%d" % k for k in range(n))
    r = nightjar("model", "new", f"{name}.onnx", "--features", names, "-o", name)
    ok(r.returncode == 0, f"a model of {n} features and {width} outputs", r.stderr)


def run(model, *settings):
    words = [w for s in ("kind=model", f"model={model}", *settings) for w in ("-D", f"module.m.{s}")]
    r = nightjar("run", "--overwrite", "-q", *words, "-m", "m", "-o", "ndjson:out.ndjson", "--columns",
                 "packet.candidate.distnr", "--report", "r.json", "night.tar")  # fmt: skip
    return (rows("out.ndjson") if r.returncode == 0 else []), r.stderr


def expressions():
    null = "ln(0 - 1)"
    for text, of in (
        ("log1p(mag)", lambda x: math.log1p(x["mag"])),
        ("clip(mag, 18, 19.5)", lambda x: min(max(x["mag"], 18), 19.5)),
        (f"coalesce({null}, -1)", lambda x: -1),
        ("coalesce(mag, -1)", lambda x: x["mag"]),
        (f"coalesce({null}, coalesce({null}, mag) + 1)", lambda x: x["mag"] + 1),
        ("where(mag > 19, mag, -mag)", lambda x: x["mag"] if x["mag"] > 19 else -x["mag"]),
        ("where(mag >= 19, 1, 0) + (mag < 19) * 2", lambda x: 1 if x["mag"] >= 19 else 2),
        (f"where(mag != mag, {null}, 7)", lambda x: 7),
        ("(1 + 1 == 2) - (2 <= 1)", lambda x: 1),
        ("min(max(mag, 19), 20) - ln(exp(1)) ^ 2", lambda x: min(max(x["mag"], 19), 20) - 1),
        (f"{null} + 1", None),
        (f"{null} < 1", None),
        (f"where({null}, 1, 2)", None),
        (f"clip({null}, 1, 2)", None),
    ):
        got, said = run("one", f"features={text}")
        value = [x["m.score"] for x in got]
        want = [None if of is None else f32(of(x)) for x in got]
        same = len(got) == 60 and all(
            (a is None) == (b is None) and (a is None or abs(a - b) <= 2e-6 * max(1, abs(b)))
            for a, b in zip(value, want)
        )
        ok(same, text, (value[:3], want[:3], said))
    for text, word in (
        ("coalesce(mag)", "two arguments"),
        ("clip(mag, 1)", "three arguments"),
        ("where(mag > 1, 2)", "three arguments"),
        ("1 < mag < 2", "expected an operator"),
        ("rint(mag)", "no such function"),
        ("mag =< 2", "expected an operator"),
    ):
        got, said = run("one", f"features={text}")
        ok(not got and word in said, f"refused: {text}", said)


def missing():
    null = "features=ln(0 - mag)"
    got, said = run("one", null)
    ok(all(x["m.reason"] == "no_input" for x in got), "missing = skip: no answer", said)
    got, said = run("one", null, "missing=-999")
    ok(len(got) == 60 and all(x["m.score"] == -999 for x in got), "missing = -999", said)
    got, said = run("one", "features=mag", "missing=-1")
    ok(all(x["m.score"] == f32(x["mag"]) for x in got), "which is for nulls alone", said)
    got, said = run("one", "features=mag", "missing=none")
    ok(not got and "skip, nan or a number" in said, "another word is refused", said)
    got, said = run("one", "features=packet.candidate.nothing", "missing=-1")
    ok(all(x["m.reason"] == "no_input" for x in got), "a field that no packet has stays no input", said)


def outputs():
    got, said = run("two", "features=mag,jd")
    ok("m.p_0" in got[0] and "m.p_1" in got[0], "without names they are numbered", said)
    got, said = run("two", "features=mag,jd", "outputs=small, large")
    ok("m.small" in got[0] and "m.large" in got[0], "names of outputs", said)
    got, said = run("two", "features=mag,jd", "outputs=small")
    ok(not got and "another number of columns" in said, "too few names are refused", said)
    got, said = run("two", "features=mag,jd", "outputs=Small,large")
    ok(not got and "[a-z][a-z0-9_]*" in said, "so is one that no output can have", said)
    flagged = lambda: {m["name"]: m for m in report("r.json")["modules"]}["m"]["flagged"]
    got, said = run("two", "features=mag,jd", "outputs=a,b", "flag_above=19", "flag=a")
    ok(
        flagged() == sum(x["m.a"] > 19 for x in got) and 0 < flagged() < 60,
        "rows above flag_above are counted",
        said,
    )
    got, said = run("two", "features=0,mag", "flag_above=19")
    ok(flagged() == sum(x["m.p_1"] > 19 for x in got), "of the last output, if none is named", said)
    got, said = run("two", "features=mag,jd", "flag_above=19", "flag=c")
    ok(not got and "flag names no output" in said, "a flag of no output is refused", said)
    got, said = run("two", "features=mag,jd", "flag_above=high")
    ok(not got and "must be a number" in said, "and one above no number", said)
    got, said = run("wide", "features=mag,1", "outputs=embedding")
    first = got[0]["m.embedding"] if got else []
    ok(
        len(first) == 40 and first[3] == f32(f32(got[0]["mag"]) * 3),
        "40 values are one column",
        (first[:5], said),
    )


with Folder():
    r = nightjar("simulate", "-q", "-n", 60, "-o", "night.tar")
    ok(r.returncode == 0, "a night of 60 alerts", r.stderr)
    linear("one", 1, 1, lambda i, k: 1)
    linear("two", 2, 2, lambda i, k: i == k)
    linear("wide", 2, 40, lambda i, k: k if i == 0 else 0)
    expressions()
    missing()
    outputs()
done()
