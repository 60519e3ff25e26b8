#!/usr/bin/env python3
"""`nightjar model check`, and where a model's hash stands: refusals say what is wrong; scores carry the
model's sha256 into the report and every file."""

import csv, hashlib, json, os, shutil
from tap import ROOT, Folder, done, nightjar, ok, report, rows

MODELS = os.path.join(ROOT, "data", "models")
SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def refused(name, folder, *words, options=()):
    r = nightjar("model", "check", folder, *options)
    ok(
        r.returncode == 1
        and not r.stdout
        and ("refused" in r.stderr or "is not here" in r.stderr)
        and any(all(w in r.stderr for w in choice) for choice in words),
        name,
        r.stdout + r.stderr,
    )


def broken():
    """A copy of toy_snn with one thing changed; the hash in the manifest made right again where the hash is
    not the point."""
    for name, change, rehash, words in (
        ("cut off", lambda b: b[:500], False, ["sha256", "cut off, changed or swapped"]),
        ("cut off, hash made right", lambda b: b[:500], True, ["cut off"]),
        ("a byte changed", lambda b: b[:900] + bytes([b[900] ^ 1]) + b[901:], False, ["sha256"]),
        (
            "another model",
            lambda b: open(os.path.join(MODELS, "toy_braai", "model.onnx"), "rb").read(),
            True,
            ["no input 'x'"],
        ),
        ("empty", lambda b: b"", True, ["not an ONNX model"]),
    ):
        folder = name.replace(" ", "_").replace(",", "")
        shutil.copytree(os.path.join(MODELS, "toy_snn"), folder)
        path, manifest = os.path.join(folder, "model.onnx"), os.path.join(folder, "manifest.json")
        with open(path, "rb") as f:
            old = f.read()
        with open(path, "wb") as f:
            f.write(change(old))
        if rehash:
            with open(manifest, encoding="utf-8") as f:
                text = f.read()
            with open(manifest, "w", encoding="utf-8") as f:
                f.write(text.replace(hashlib.sha256(old).hexdigest(), sha256(path)))
        refused(f"model.onnx {name}: refused", folder, words)


def golden():
    """Golden rows that check nothing."""
    with open(os.path.join(MODELS, "toy_forest", "golden.csv"), encoding="utf-8") as f:
        largest = max(abs(float(x)) for row in csv.reader(f) for x in row[-3:] if row[0] != "row")
    none = "golden.rows (1 to 65536) and golden.tolerance_abs (> 0) are needed"
    for name, change, words in (
        ("no golden rows", lambda m: m.pop("golden"), none),
        ("rows = 0", lambda m: m["golden"].update(rows=0), none),
        ("no tolerance", lambda m: m["golden"].pop("tolerance_abs"), none),
        ("a negative tolerance", lambda m: m["golden"].update(tolerance_abs=-1), none),
        ("a tolerance that is text", lambda m: m["golden"].update(tolerance_abs="1e-6"), none),
        (
            "a tolerance beyond all outputs",
            lambda m: m["golden"].update(tolerance_abs=1e9),
            "a model that answers 0 would pass",
        ),
        (
            "the same, just so",
            lambda m: m["golden"].update(tolerance_abs=1.0001 * largest),
            "a model that answers 0 would pass",
        ),
    ):
        folder = "golden " + name
        shutil.copytree(os.path.join(MODELS, "toy_forest"), folder)
        path = os.path.join(folder, "manifest.json")
        manifest = json.load(open(path))
        change(manifest)
        json.dump(manifest, open(path, "w"))
        refused(f"golden rows, {name}: refused", folder, [words])


def main():
    with Folder():
        golden()
        r = nightjar("model", "info", os.path.join(MODELS, "toy_acai"))
        want = sha256(os.path.join(MODELS, "toy_acai", "model.onnx"))
        ok(
            r.returncode == 0
            and want in r.stdout
            and "neargaiabright" in r.stdout
            and "golden rows within" in r.stdout,
            "info: hash, features, golden rows",
            r.stdout + r.stderr,
        )
        refused("no such folder", "nowhere", ["nowhere/manifest.json is not there"])
        broken()
        cuda = (
            ["without CUDA", "ORT_DYLIB_PATH"],
            ["ONNX Runtime is not here", "make onnxruntime"],
            ["device = cuda:"],
        )
        refused(
            "device = cuda without it: refused, never done on the CPU instead",
            os.path.join(MODELS, "toy_snn"),
            *cuda,
            options=("--device", "cuda"),
        )
        refused(
            "nor by the built-in engine",
            os.path.join(MODELS, "toy_snn"),
            ["no device = cuda"],
            options=("--device", "cuda", "--engine", "builtin"),
        )

        settings = (
            "-q",
            "-m",
            "braai",
            "-D",
            "models.path=" + MODELS,
            "-D",
            "module.braai.model=toy_braai",
            "--limit",
            "40",
        )
        r = nightjar(
            "run",
            SAMPLE,
            *settings,
            "-o",
            "ndjson:a.ndjson",
            "-o",
            "avro:a.avro",
            "-o",
            "sqlite:a.db",
            "-o",
            "fits:a.fits",
            "--report",
            "a.json",
        )
        want = sha256(os.path.join(MODELS, "toy_braai", "model.onnx"))
        scores = [row["braai.score"] for row in rows("a.ndjson")]
        ok(r.returncode == 0 and sum(s is not None for s in scores) >= 10, "scores of the sample", r.stderr)
        ok(
            any(
                f["sha256"] == want and f["name"].endswith("model.onnx")
                for f in report("a.json")["context"]["files"]
            ),
            "the run report has the model's sha256",
        )
        for name in ("a.ndjson.meta.json", "a.avro", "a.db", "a.fits"):
            with open(
                name, "rb"
            ) as f:  # FITS keeps it in cards of 80 characters: the first half is looked for
                ok(want[:32].encode() in f.read(), f"{name} has it")

        r = nightjar("run", SAMPLE, *settings, "-o", "ndjson:b.ndjson", env={"NIGHTJAR_ISA": "portable"})
        other = [row["braai.score"] for row in rows("b.ndjson")]
        far = max((abs(a - b) for a, b in zip(scores, other) if a is not None), default=9)
        ok(
            r.returncode == 0
            and len(other) == len(scores)
            and far <= 1e-6
            and all((a is None) == (b is None) for a, b in zip(scores, other)),
            f"NIGHTJAR_ISA=portable: the same within {far:.2g}",
            r.stderr,
        )
        r = nightjar(
            "run",
            SAMPLE,
            "-q",
            "-m",
            "braai",
            "-D",
            "models.path=" + os.getcwd(),
            "-D",
            "module.braai.model=a_byte_changed",
            "-o",
            "null:",
        )
        ok(
            r.returncode == 1 and "sha256" in r.stderr,
            "a changed model that is asked for stops the start",
            r.stderr,
        )
    done()


main()
