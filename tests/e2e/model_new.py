#!/usr/bin/env python3
"""`nightjar model new`: a folder for an ONNX file of any origin, with golden rows of the framework or of its
own."""

import csv, json, os, shutil, sys
from tap import ROOT, Folder, done, nightjar, ok, rows

sys.path.insert(0, os.path.join(ROOT, "modules", "python"))
from nightjar_export import folder as mf

TOYS = f"{ROOT}/data/models"


def new(*words):
    return nightjar("model", "new", *words)


def table(name, of, change=None):
    """The golden rows of a folder as a person has them: features, then outputs."""
    with open(f"{of}/golden.csv", newline="", encoding="utf-8") as f:
        lines = [line[2:] for line in csv.reader(f)]
    lines = change(lines) if change else lines
    with open(name, "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows(lines)
    return name


def manifest(folder):
    with open(f"{folder}/manifest.json", encoding="utf-8") as f:
        return json.load(f)


def made():
    forest = f"{TOYS}/toy_forest"
    r = new(f"{forest}/model.onnx", "--features", "a, b,c,max(d, 1),e", "--golden", table("rows.csv", forest),
            "-o", "mine", "--licence", "MIT")  # fmt: skip
    ok(r.returncode == 0 and "32 golden rows within" in r.stdout, "a folder with given rows", r.stderr)
    m, old = manifest("mine"), manifest(forest)
    ok(m["model"] == old["model"] and m["inputs"] == old["inputs"], "the file and its inputs")
    ok(m["features"] == ["a", "b", "c", "max(d, 1)", "e"], "features may be expressions", m["features"])
    ok(m["licence"] == "MIT" and m["golden"]["origin"] == "given", "licence, and where the rows are from")
    ok("[module.NAME]" in r.stdout and "note" not in r.stderr, "it prints what comes next", r.stdout)
    r = nightjar("model", "check", "mine")
    ok(r.returncode == 0, "model check takes it", r.stderr)
    features = "mag,rb,jd,mag_err,ra"
    r = new(f"{forest}/model.onnx", "--features", features, "-o", "own")
    ok(r.returncode == 0 and "its own answers" in r.stderr.replace("this program's own", "its own"),
       "without rows it says what its own are worth", r.stderr)  # fmt: skip
    r = nightjar("run", "-D", "module.own.kind=model", "-D", "module.own.model=own", "-m", "own", "-o",
                 "ndjson:own.ndjson", "night.tar")  # fmt: skip
    got = rows("own.ndjson") if r.returncode == 0 else []
    scored = [x for x in got if x["own.reason"] == "done"]
    ok(
        len(scored) == 40 and abs(sum(scored[0][f"own.p_{k}"] for k in range(3)) - 1) < 1e-6,
        "a run by it",
        r.stderr,
    )
    for toy, what in (("toy_braai", "stamps"), ("toy_snn", "light curves and their lengths")):
        r = new(f"{TOYS}/{toy}/model.onnx", "-o", toy)
        ok(
            r.returncode == 0 and manifest(toy)["inputs"] == manifest(f"{TOYS}/{toy}")["inputs"],
            what,
            r.stderr,
        )
    tree = [(0, 0.5, 1, 2), (None, {0: 0.25, 1: 0.75}), (None, {0: 0.9, 1: 0.1})]
    zipped = mf.forest(
        [tree], ["no", "yes"], "probabilities", 1,
        tail=[("ZipMap", "ai.onnx.ml", {"classlabels_strings": ["no", "yes"]})],
        info=mf.maps_info("probabilities"),
    )  # fmt: skip
    with open("zip.onnx", "wb") as f:
        f.write(zipped)
    r = new("zip.onnx", "--features", "mag", "-o", "zipped")
    port = manifest("zipped")["outputs"][0] if r.returncode == 0 else {}
    ok(
        port.get("classes") == ["no", "yes"] and port["shape"] == ["N", 2],
        "a list of maps is its tensor",
        r.stderr,
    )


def refused():
    forest, file = f"{TOYS}/toy_forest", f"{TOYS}/toy_forest/model.onnx"
    five = ["--features", "a,b,c,d,e"]
    with open("no.onnx", "wb") as f:
        f.write(b"this is no model")

    def wrong(lines):
        lines[3][-1] = str(float(lines[3][-1]) + 0.25)
        return lines

    def text(lines):
        lines[2][0] = "low"
        return lines

    def order(lines):
        lines[0][:5] = "bacde"
        return lines

    for words, word in (
        (["-o", "x"], "expected FILE.onnx"),
        ([file], "expected FILE.onnx and -o DIR"),
        ([file, "--features", "a,b", "-o", "x"], "has 5 features, --features names 2"),
        ([file, "--features", "a,,b", "-o", "x"], "a name is empty"),
        (["no.onnx", *five, "-o", "x"], "no.onnx"),
        (["nothing.onnx", *five, "-o", "x"], "cannot be read"),
        ([file, *five, "-o", "mine"], "is there already"),
        ([file, *five, "-o", "x", "--golden", "nothing.csv"], "nothing.csv: cannot be read"),
        ([file, *five, "-o", "x", "--golden", table("few.csv", forest, lambda t: [r[:7] for r in t])],
         "has 2 outputs behind its features, the model 3"),
        ([file, *five, "-o", "x", "--golden", table("text.csv", forest, text)], "'low' is no number"),
        ([file, *five, "-o", "x", "--golden", table("head.csv", forest, lambda t: t[1:])], "it is to name"),
        ([file, *five, "-o", "x", "--golden", table("order.csv", forest, order)], "the order is another"),
        ([file, *five, "-o", "x", "--golden", table("none.csv", forest, lambda t: t[:1])], "no rows"),
        ([file, *five, "-o", "x", "--golden", table("wrong.csv", forest, wrong)], "no folder is left"),
        ([f"{TOYS}/toy_braai/model.onnx", "-o", "x", "--golden", "rows.csv"], "write_tensors"),
    ):  # fmt: skip
        r = new(*words)
        ok(r.returncode == 1 and word in r.stderr, f"refused: {word}", r.stdout + r.stderr)
        ok(not os.path.exists("x"), "and no folder is left")
        shutil.rmtree("x", ignore_errors=True)


with Folder():
    r = nightjar("simulate", "-q", "-n", 40, "-o", "night.tar")
    ok(r.returncode == 0, "a night of 40 alerts", r.stderr)
    made()
    refused()
done()
