#!/usr/bin/env python3
"""Forests with other operators around them, made here: which the own engine reads, which ONNX Runtime gets,
and what is said of those that neither takes; golden rows that check nothing; 64-bit numbers on their way to a
model."""

import math, os, sys
from tap import ROOT, Folder, done, nightjar, ok

sys.path.insert(0, os.path.join(ROOT, "modules", "python"))
from nightjar_export import folder as mf

ML = "ai.onnx.ml"
ZIPMAP, IDENTITY = ("ZipMap", ML, {"classlabels_int64s": [0, 1]}), ("Identity", "", {})
TO_FLOAT, TO_DOUBLE, TO_INT = (("Cast", "", {"to": k}) for k in (1, 11, 7))
SCALER = ("Scaler", ML, {"offset": [0.5, 0.0], "scale": [2.0, 1.0]})
# x0 <= 0.5: class 0 with 0.75, else class 1 with 0.9
TREE = [[(0, 0.5, 1, 2), (None, {0: 0.75, 1: 0.25}), (None, {0: 0.125, 1: 0.875})]]
LEFT, RIGHT = [0.75, 0.25], [0.125, 0.875]
ENGINE = os.path.exists(os.path.join(ROOT, ".onnxruntime", "libonnxruntime.so")) or os.environ.get(
    "ORT_DYLIB_PATH"
)


def folder(name, golden=None, trees=TREE, outputs=None, features=("a", "b"), **around):
    rows = golden or [[0.0, 1.0] + LEFT, [0.5, 1.0] + LEFT, [0.75, 1.0] + RIGHT]
    onnx = mf.forest(trees, ["0", "1"], "out", 2, **around)
    manifest = {
        "name": name,
        "version": "1",
        "licence": "",
        "inputs": [mf.port("X", ["N", 2])],
        "features": list(features),
        "outputs": outputs or [mf.port("out", ["N", 2], classes=["no", "yes"])],
    }
    mf.write_table(name, onnx, manifest, features, ["0", "1"], rows, 1e-6)
    return name


def check(name, *options):
    return nightjar("model", "check", name, *options)


def around():
    for name, more in (
        ("zipmap", {"tail": [ZIPMAP], "info": mf.maps_info("out")}),
        ("identity", {"tail": [IDENTITY]}),
        ("cast", {"tail": [TO_FLOAT]}),
        ("cast_double", {"tail": [TO_DOUBLE], "info": mf.value_info("out", ["N", 2], 11)}),
        ("three", {"tail": [IDENTITY, TO_FLOAT, ZIPMAP], "info": mf.maps_info("out")}),
        ("before", {"head": [IDENTITY, TO_FLOAT], "tail": [IDENTITY]}),
    ):
        r = check(folder(name, **more), "--engine", "builtin")
        ok("engine trees" in r.stdout, f"{name}: the own engine reads the forest in it", r.stdout + r.stderr)
    r = check("zipmap", "--engine", "ort")
    ok(
        ("zipmap" if ENGINE else "ONNX Runtime is not here") in r.stderr,
        "ZipMap in ONNX Runtime: refused, with the remedy",
        r.stderr,
    )


def others():
    folder("scaled", golden=[[0.5, 1.0] + LEFT, [0.75, 1.0] + LEFT, [1.0, 1.0] + RIGHT], head=[SCALER])
    r = check("scaled", "--engine", "builtin")
    ok(
        "Scaler, TreeEnsembleClassifier" in r.stderr,
        "a scaler before it: the own engine says which operators there are",
        r.stderr,
    )
    r = check("scaled")
    if ENGINE:
        ok("engine ort" in r.stdout, "a scaler before it: auto takes ONNX Runtime", r.stdout + r.stderr)
    else:
        ok(
            "ONNX Runtime is not here" in r.stderr,
            "a scaler before it: auto says that ONNX Runtime would be needed",
            r.stderr,
        )
    folder("whole", tail=[TO_INT], info=mf.value_info("out", ["N", 2], 7))
    r = check("whole", "--engine", "builtin")
    ok("comes from Cast" in r.stderr, "a cast to whole numbers is not skipped", r.stderr)
    r = check("whole")
    ok(r.returncode == 1, "nor does auto take it", r.stdout)
    circle = [[(0, 0.5, 1, 2), (None, {0: 1.0}), (0, 0.25, 0, 1)]]
    r = check(folder("circle", trees=circle))
    ok(
        "ONNX Runtime" not in r.stderr and r.returncode == 1,
        "a forest with a circle is refused, and not handed on",
        r.stderr,
    )


def modes():
    """All four comparisons on, below and above the threshold and for NaN, which goes to no unless
    missing_value_tracks_true says otherwise."""
    nan, tree = float("nan"), lambda t: [
        [(0, t, 1, 2), (None, {0: 0.75, 1: 0.25}), (None, {0: 0.125, 1: 0.875})]
    ]
    compare = {
        "BRANCH_LEQ": lambda x, t: x <= t,
        "BRANCH_LT": lambda x, t: x < t,
        "BRANCH_GT": lambda x, t: x > t,
        "BRANCH_GTE": lambda x, t: x >= t,
    }
    for mode, yes in compare.items():
        for nan_yes in (set(), {(0, 0)}):
            for limit in (0.5, -math.inf, math.inf, nan):
                rows = [
                    [x, 1.0] + (LEFT if (bool(nan_yes) if math.isnan(x) else yes(x, limit)) else RIGHT)
                    for x in (-1.0, 0.25, 0.5, 0.75, nan)
                ]
                name = f"{mode}_{len(nan_yes)}_{limit}"
                r = check(
                    folder(name, golden=rows, trees=tree(limit), mode=mode, nan_yes=nan_yes),
                    "--engine",
                    "builtin",
                )
                ok(
                    "engine trees" in r.stdout,
                    f"{mode} {limit}, NaN to {'yes' if nan_yes else 'no'}",
                    r.stdout + r.stderr,
                )


def golden():
    nan = float("nan")
    r = check(folder("nan", golden=[[0.0, 1.0, nan, nan]]))
    ok("they check nothing" in r.stderr, "golden rows without a number are refused", r.stderr)
    r = check(folder("wrong", golden=[[0.0, 1.0] + RIGHT]))
    ok("golden row 0" in r.stderr, "a wrong golden row is refused", r.stderr)
    name = folder("none")
    with open("none/golden.csv") as f:
        head = f.readline()
    open("none/golden.csv", "w").write(head)
    r = check(name)
    ok("0 rows, the manifest says 3" in r.stderr, "golden rows that are not there are refused", r.stderr)
    text = open("identity/manifest.json").read()
    open("identity/manifest.json", "w").write(text.replace('"rows": 3', '"rows": 0'))
    r = check("identity")
    ok("golden.rows" in r.stderr, "no golden rows: refused", r.stderr)


def types():
    name = folder("int64")
    text = open("int64/manifest.json").read()
    open("int64/manifest.json", "w").write(text.replace('"float32"', '"int64"', 1))
    r = check(name)
    ok("would be rounded" in r.stderr, "an int64 input in the manifest: refused, with the reason", r.stderr)
    folder("ids", features=("candid", "mag"), golden=[[0.0, 1.0] + LEFT, [0.75, 1.0] + RIGHT])
    settings = ("-D", "models.path=.", "-D", "module.mine.kind=model", "-D", "module.mine.model=ids")
    sample = os.path.join(ROOT, "data", "sample.tar.gz")
    r = nightjar(
        "run", sample, "-m", "mine", "-o", "null:", *settings, "-D", "module.mine.features=packet.candid,mag"
    )
    ok("packet.candid holds" in r.stderr, "a 64-bit number as a feature: its rounding is reported", r.stderr)
    ok(r.stderr.count("beyond 2^53") == 1, "once", r.stderr)
    r = nightjar("run", sample, "-m", "mine", "-o", "null:", *settings, "-D", "module.mine.features=jd,mag")
    ok("beyond 2^53" not in r.stderr, "others: not a word", r.stderr)


with Folder():
    around()
    others()
    modes()
    golden()
    types()
done()
