#!/usr/bin/env python3
"""Makes data/models/toy_cats and data/ref/toy_cats.csv: a toy network of the shape that module cats runs (the
mean over its 395 steps, a dense layer, softmax), and light curves with the class and probability computed
here in plain Python.

usage: toy_cats.py MODELS REFERENCES (the files in the repository were made with data/models data/ref)"""

import math
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "modules", "python"))
from nightjar_export import folder as mf

STEPS, COLUMNS, CODES = 395, 4, [11, 12, 13, 21, 22]


def classes_of(steps, dense, shift):
    mean = [math.fsum(s[k] for s in steps) / STEPS for k in range(COLUMNS)]
    z = [math.fsum(mean[k] * dense[5 * k + c] for k in range(COLUMNS)) + shift[c] for c in range(5)]
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


def steps_of(points):
    """points (jd, flux, error, band): as the network reads them; None where there is no answer."""
    points = [p for p in points if None not in p[:3]]
    if len(points) < 2:
        return None
    scaled = []
    for k in (1, 2):
        low, high = min(p[k] for p in points), max(p[k] for p in points)
        if low == high:
            return []
        scaled.append([(p[k] - low) / (high - low) for p in points])
    rows = [
        [mf.float32(p[0] - points[0][0]), mf.float32(f), mf.float32(e), p[3] + 1.0]
        for p, f, e in zip(points, *scaled)
    ][-STEPS:]
    return rows + [[-999.0, -999.0, -999.0, 0.0]] * (STEPS - len(rows))


def curve(rng, n, hidden=()):
    return [
        (
            2461000.25 + 1.5 * i + rng.random(),
            None if i in hidden else 500 * rng.gauss(1, 2),
            20 + 5 * rng.random(),
            rng.randrange(6),
        )
        for i in range(n)
    ]


def main(models, references):
    rng = random.Random(12)
    dense = [mf.float32(rng.gauss(0, 0.004 if k < 15 else 0.8)) for k in range(5 * COLUMNS)]
    shift = [mf.float32(rng.gauss(0, 0.5)) for _ in range(5)]
    nodes = [
        mf.node("ReduceMean", ["lc"], ["mean"], axes=[1], keepdims=0),
        mf.node("MatMul", ["mean", "dense"], ["z"]),
        mf.node("Add", ["z", "shift"], ["a"]),
        mf.node("Softmax", ["a"], ["probabilities"], axis=-1),
    ]
    onnx = mf.model(
        nodes,
        [mf.tensor("dense", [COLUMNS, 5], dense), mf.tensor("shift", [5], shift)],
        [mf.value_info("lc", ["N", STEPS, COLUMNS])],
        [mf.value_info("probabilities", ["N", 5])],
        [("", 13)],
    )
    golden = [steps_of(curve(rng, n)) for n in (5, 60, 380)]
    manifest = dict(
        version="1",
        licence="as nightjar",
        task="none: random weights for tests",
        name="toy_cats",
        inputs=[mf.port("lc", ["N", STEPS, COLUMNS])],
        outputs=[mf.port("probabilities", ["N", 5], classes=[str(c) for c in CODES])],
    )
    flat = [v for g in golden for s in g for v in s]
    mf.write_tensors(
        os.path.join(models, "toy_cats"),
        onnx,
        manifest,
        len(golden),
        [
            ("lc", "float32", [len(golden), STEPS, COLUMNS], flat),
            (
                "probabilities",
                "float32",
                [len(golden), 5],
                [p for g in golden for p in classes_of(g, dense, shift)],
            ),
        ],
        2e-6,
    )
    curves = [
        curve(rng, 2),
        curve(rng, 40, hidden=(0, 7)),
        curve(rng, 395),
        curve(rng, 500),
        curve(rng, 1),
        curve(rng, 4, hidden=(0, 1, 2)),
        [(2461000.0 + i, 100.0, 1.0 + i, 2) for i in range(9)],
        [(2461000.0 + i, 100.0 + i, 1.0, 2) for i in range(9)],
        [],
    ]
    with open(os.path.join(references, "toy_cats.csv"), "w") as f:
        f.write(
            "# Made by tests/models/toy_cats.py, which says how.\n# tolerance 1e-6\n# process_ref"
            " 1e-6\nlc.jd,lc.flux,lc.flux_err,lc.band,=class,=score,=reason\n"
        )
        for c in curves:
            steps = steps_of(c)
            p = classes_of(steps, dense, shift) if steps else None
            best = p.index(max(p)) if p else 0
            cells = [" ".join("-" if v is None else repr(v) for v in column) for column in zip(*c)] or [
                ""
            ] * 4
            f.write(
                ",".join(
                    cells
                    + (
                        [str(CODES[best]), "%.17g" % p[best], "done"]
                        if p
                        else ["", "", "few_points" if steps is None else "range"]
                    )
                )
                + "\n"
            )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
