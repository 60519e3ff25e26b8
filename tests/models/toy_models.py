#!/usr/bin/env python3
"""Makes data/models: small untrained models of each kind, with golden rows computed here in plain Python
float64.

usage: toy_models.py FOLDER (the files in the repository were made with FOLDER = data/models)"""

import math
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "modules", "python"))
from nightjar_export import folder as mf

SIDE, CHANNELS = 63, 3
LICENCE = {"version": "1", "licence": "as nightjar", "task": "none: random weights for tests"}


def numbers(rng, n, scale):
    return [mf.float32(rng.gauss(0, scale)) for _ in range(n)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def dot(a, b):
    return math.fsum(p * q for p, q in zip(a, b))


# --- a forest ---


def random_tree(rng, depth, n_features, n_classes, n_trees):
    nodes = []

    def grow(d):
        at = len(nodes)
        nodes.append(None)
        if d == 0 or rng.random() < 0.15:
            counts = [rng.randint(0, 9) for _ in range(n_classes)]
            counts[rng.randrange(n_classes)] += 1
            nodes[at] = (None, {k: mf.float32(c / sum(counts) / n_trees) for k, c in enumerate(counts)})
        else:
            yes, no = grow(d - 1), grow(d - 1)
            nodes[at] = (
                rng.randrange(n_features),
                mf.float32_down(rng.choice([rng.uniform(-3, 3), rng.randint(-3, 3)])),
                yes,
                no,
            )
        return at

    grow(depth)
    return nodes


def walk(tree, x):
    at = 0
    while tree[at][0] is not None:
        at = tree[at][2] if x[tree[at][0]] <= tree[at][1] else tree[at][3]
    return tree[at][1]


def toy_forest(folder):
    rng, n_trees, features, classes = random.Random(1), 12, ["a", "b", "c", "d", "e"], ["one", "two", "three"]
    trees = [random_tree(rng, 6, len(features), len(classes), n_trees) for _ in range(n_trees)]
    lines = []
    for _ in range(32):
        x = [mf.float32(rng.choice([rng.uniform(-4, 4), rng.randint(-4, 4)])) for _ in features]
        lines.append(x + [math.fsum(walk(t, x)[k] for t in trees) for k in range(len(classes))])
    manifest = dict(
        LICENCE,
        name="toy_forest",
        inputs=[mf.port("X", ["N", len(features)])],
        features=features,
        outputs=[mf.port("probabilities", ["N", len(classes)], classes=classes)],
    )
    mf.write_table(
        folder,
        mf.forest(trees, classes, "probabilities", len(features)),
        manifest,
        features,
        classes,
        lines,
        1e-7,
    )


# --- stamps: a separable convolution, pooling, dense; with or without 25 numbers beside them ---


def pixel(image, kernel, y, x):
    """kernel [channel][dy][dx] over image [y][x][channel]."""
    total = 0.0
    for dy in range(3):
        for dx in range(3):
            at = image[y + dy][x + dx]
            total += kernel[0][dy][dx] * at[0] + kernel[1][dy][dx] * at[1] + kernel[2][dy][dx] * at[2]
    return total


def features_of_stamps(image, kernels, bias):
    """3x3 convolution, ReLU, 2x2 maximum, mean over the image: one number per kernel."""
    half = (SIDE - 2) // 2
    out = []
    for kernel, shift in zip(kernels, bias):
        total = 0.0
        for y in range(half):
            for x in range(half):
                total += max(
                    0.0,
                    *(pixel(image, kernel, 2 * y + i, 2 * x + j) + shift for i in range(2) for j in range(2)),
                )
        out.append(total / half / half)
    return out


def stamp_graph(features):
    nodes = [
        mf.node("Transpose", ["triplets"], ["t"], perm=[0, 3, 1, 2]),
        mf.node("Conv", ["t", "depth"], ["d"], kernel_shape=[3, 3], group=CHANNELS),
        mf.node("Conv", ["d", "point", "bias"], ["p"], kernel_shape=[1, 1]),
        mf.node("Relu", ["p"], ["r"]),
        mf.node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        mf.node("GlobalAveragePool", ["m"], ["g"]),
        mf.node("Squeeze", ["g", "axes"], ["s"]),
    ]
    if features:
        nodes.append(mf.node("Concat", ["s", "features"], ["c"], axis=1))
    return nodes + [
        mf.node("MatMul", ["c" if features else "s", "dense"], ["z"]),
        mf.node("Add", ["z", "shift"], ["a"]),
        mf.node("Sigmoid", ["a"], ["score"]),
    ]


def toy_stamps(folder, name, features):
    rng, c_out, rows, shift = random.Random(len(name)), 5, 2, 0.25
    depth, point, bias = (
        numbers(rng, CHANNELS * 9, 0.5),
        numbers(rng, c_out * CHANNELS, 0.7),
        numbers(rng, c_out, 0.01),
    )
    dense = numbers(rng, c_out, 20.0) + numbers(rng, len(features), 0.01)
    tensors = [
        mf.tensor("depth", [CHANNELS, 1, 3, 3], depth),
        mf.tensor("point", [c_out, CHANNELS, 1, 1], point),
        mf.tensor("bias", [c_out], bias),
        mf.tensor("axes", [2], [2, 3], mf.INT64),
        mf.tensor("dense", [len(dense), 1], dense),
        mf.tensor("shift", [1], [shift]),
    ]
    shapes = [("triplets", [SIDE, SIDE, CHANNELS])] + ([("features", [len(features)])] if features else [])
    kernels = [
        [
            [[point[o * CHANNELS + i] * depth[9 * i + 3 * dy + dx] for dx in range(3)] for dy in range(3)]
            for i in range(CHANNELS)
        ]
        for o in range(c_out)
    ]
    given, scores = {"triplets": [], "features": []}, []
    for _ in range(rows):
        source = [
            0.3 * math.exp(-((k // SIDE - 31) ** 2 + (k % SIDE - 31) ** 2) / 8) for k in range(SIDE * SIDE)
        ]
        flat = [
            mf.float32(rng.gauss(0, 0.016) + (source[k // 3] if k % 3 != 1 else 0))
            for k in range(SIDE * SIDE * CHANNELS)
        ]
        x = numbers(rng, len(features), 5.0)
        image = [[flat[(y * SIDE + k) * CHANNELS :][:CHANNELS] for k in range(SIDE)] for y in range(SIDE)]
        scores.append(sigmoid(dot(features_of_stamps(image, kernels, bias) + x, dense) + shift))
        given["triplets"] += flat
        given["features"] += x
    onnx = mf.model(
        stamp_graph(features),
        tensors,
        [mf.value_info(n, ["N"] + s) for n, s in shapes],
        [mf.value_info("score", ["N", 1])],
        [("", 13)],
    )
    manifest = dict(
        LICENCE,
        name=name,
        inputs=[mf.port(n, ["N"] + s) for n, s in shapes],
        features=features or None,
        outputs=[mf.port("score", ["N", 1])],
    )
    golden = [(n, "float32", [rows] + s, given[n]) for n, s in shapes] + [
        ("score", "float32", [rows, 1], scores)
    ]
    mf.write_tensors(folder, onnx, manifest, rows, golden, 2e-6)


# --- a light curve: one bidirectional LSTM, mean over time ---


def lstm(x, w, r, b, hidden, backwards):
    """x [T][F]; gates in ONNX order i o f c; returns [T][hidden]."""
    out, h, c = [None] * len(x), [0.0] * hidden, [0.0] * hidden
    for t in reversed(range(len(x))) if backwards else range(len(x)):
        gate = [b[g] + b[4 * hidden + g] + dot(w[g], x[t]) + dot(r[g], h) for g in range(4 * hidden)]
        c = [
            sigmoid(gate[2 * hidden + k]) * c[k] + sigmoid(gate[k]) * math.tanh(gate[3 * hidden + k])
            for k in range(hidden)
        ]
        out[t] = h = [sigmoid(gate[hidden + k]) * math.tanh(c[k]) for k in range(hidden)]
    return out


def toy_snn(folder):
    rng, hidden, steps, rows = random.Random(7), 3, 6, 8
    features = ["FLUXCAL_g", "FLUXCAL_r", "FLUXCALERR_g", "FLUXCALERR_r", "delta_time", "g", "gr", "r"]
    f, gates = len(features), 4 * hidden
    w, r, b = (
        numbers(rng, 2 * gates * f, 0.5),
        numbers(rng, 2 * gates * hidden, 0.5),
        numbers(rng, 4 * gates, 0.2),
    )
    out_w, out_b = numbers(rng, 4 * hidden, 1.0), numbers(rng, 2, 0.2)
    nodes = [
        mf.node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        mf.node(
            "LSTM", ["t", "W", "R", "B", "lengths"], ["y"], direction="bidirectional", hidden_size=hidden
        ),
        mf.node("Transpose", ["y"], ["u"], perm=[0, 2, 1, 3]),
        mf.node("Reshape", ["u", "shape"], ["h"]),
        mf.node("ReduceSum", ["h", "zero"], ["sum"], keepdims=0),
        mf.node("Cast", ["lengths"], ["n"], to=1),
        mf.node("Unsqueeze", ["n", "one"], ["n1"]),
        mf.node("Div", ["sum", "n1"], ["mean"]),
        mf.node("Gemm", ["mean", "out_w", "out_b"], ["logits"], transB=1),
        mf.node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    tensors = [
        mf.tensor("W", [2, gates, f], w),
        mf.tensor("R", [2, gates, hidden], r),
        mf.tensor("B", [2, 2 * gates], b),
        mf.tensor("shape", [3], [0, 0, -1], mf.INT64),
        mf.tensor("zero", [1], [0], mf.INT64),
        mf.tensor("one", [1], [1], mf.INT64),
        mf.tensor("out_w", [2, 2 * hidden], out_w),
        mf.tensor("out_b", [2], out_b),
    ]
    onnx = mf.model(
        nodes,
        tensors,
        [mf.value_info("x", ["N", "T", f]), mf.value_info("lengths", ["N"], mf.INT32)],
        [mf.value_info("probabilities", ["N", 2])],
        [("", 13)],
    )
    xs, lengths, ps = [], [1 + row % steps for row in range(rows)], []
    for length in lengths:
        x = [numbers(rng, f, 1.0) for _ in range(steps)]
        both = [
            lstm(
                x[:length],
                [w[(d * gates + g) * f :][:f] for g in range(gates)],
                [r[(d * gates + g) * hidden :][:hidden] for g in range(gates)],
                b[d * 2 * gates :][: 2 * gates],
                hidden,
                d == 1,
            )
            for d in range(2)
        ]
        mean = [math.fsum(step[k] for step in both[d]) / length for d in range(2) for k in range(hidden)]
        e = [math.exp(out_b[k] + dot(out_w[2 * hidden * k :][: 2 * hidden], mean)) for k in range(2)]
        xs += [v for step in x for v in step]
        ps += [v / sum(e) for v in e]
    manifest = dict(
        LICENCE,
        name="toy_snn",
        features=features,
        inputs=[mf.port("x", ["N", "T", f]), mf.port("lengths", ["N"], "int32")],
        outputs=[mf.port("probabilities", ["N", 2], classes=["first", "second"])],
        preprocessing={
            "norm": "global",
            "constants": {k: {"min": 0.0, "mean": 5.0, "std": 4.0} for k in features[:5]},
        },
    )
    mf.write_tensors(
        folder,
        onnx,
        manifest,
        rows,
        [
            ("x", "float32", [rows, steps, f], xs),
            ("lengths", "int32", [rows], lengths),
            ("probabilities", "float32", [rows, 2], ps),
        ],
        1e-6,
    )


# --- lines: two convolutions with steps and borders, an LSTM of more than 32 gates, its last state ---


def conv_lines(x, weight, bias, step, before, after):
    """x [channel][column], weight [filter][channel][tap]."""
    n = len(x[0])
    taps = len(weight[0][0])
    columns = (n + before + after - taps) // step + 1

    def at(line, k):
        return line[k] if 0 <= k < n else 0.0

    return [
        [
            b
            + math.fsum(w[c][t] * at(x[c], i * step + t - before) for c in range(len(x)) for t in range(taps))
            for i in range(columns)
        ]
        for w, b in zip(weight, bias)
    ]


def toy_lines(folder):
    rng, rows, hidden = random.Random(11), 7, 20
    shapes = [(7, 5, 3), (33, 7, 2)]  # filters, channels, taps
    weights = [numbers(rng, a * b * c, 0.4) for a, b, c in shapes]
    bias, gates = numbers(rng, 7, 0.3), 4 * hidden
    w, r, b = numbers(rng, gates * 33, 0.3), numbers(rng, gates * hidden, 0.3), numbers(rng, 2 * gates, 0.2)
    last = numbers(rng, hidden, 2.0)
    nodes = [
        mf.node("Conv", ["lines", "w0", "b0"], ["c0"], kernel_shape=[3], strides=[2], pads=[1, 2]),
        mf.node("Relu", ["c0"], ["r0"]),
        mf.node("Conv", ["r0", "w1"], ["c1"], kernel_shape=[2]),
        mf.node("Transpose", ["c1"], ["t"], perm=[2, 0, 1]),
        mf.node("LSTM", ["t", "W", "R", "B"], ["y", "h"], hidden_size=hidden),
        mf.node("Squeeze", ["h", "zero"], ["s"]),
        mf.node("MatMul", ["s", "last"], ["z"]),
        mf.node("Sigmoid", ["z"], ["score"]),
    ]
    tensors = [mf.tensor(f"w{i}", list(shapes[i]), weights[i]) for i in range(2)] + [
        mf.tensor("b0", [7], bias),
        mf.tensor("W", [1, gates, 33], w),
        mf.tensor("R", [1, gates, hidden], r),
        mf.tensor("B", [1, 2 * gates], b),
        mf.tensor("zero", [1], [0], mf.INT64),
        mf.tensor("last", [hidden, 1], last),
    ]
    cut = [
        [[weights[i][(f * c + k) * t :][:t] for k in range(c)] for f in range(n)]
        for i, (n, c, t) in enumerate(shapes)
    ]
    given, scores = [], []
    for _ in range(rows):
        flat = numbers(rng, 5 * 70, 1.0)
        x = conv_lines([flat[70 * k :][:70] for k in range(5)], cut[0], bias, 2, 1, 2)
        x = conv_lines([[max(0.0, v) for v in line] for line in x], cut[1], [0.0] * 33, 1, 0, 0)
        steps = [[line[i] for line in x] for i in range(len(x[0]))]
        wide = [w[33 * g :][:33] for g in range(gates)], [r[hidden * g :][:hidden] for g in range(gates)]
        scores.append(sigmoid(dot(lstm(steps, *wide, b, hidden, False)[-1], last)))
        given += flat
    onnx = mf.model(
        nodes,
        tensors,
        [mf.value_info("lines", ["N", 5, 70])],
        [mf.value_info("score", ["N", 1])],
        [("", 13)],
    )
    manifest = dict(
        LICENCE,
        name="toy_lines",
        inputs=[mf.port("lines", ["N", 5, 70])],
        features=None,
        outputs=[mf.port("score", ["N", 1])],
    )
    golden = [("lines", "float32", [rows, 5, 70], given), ("score", "float32", [rows, 1], scores)]
    mf.write_tensors(folder, onnx, manifest, rows, golden, 2e-6)


ACAI = (
    "drb diffmaglim ra dec magpsf sigmapsf chipsf fwhm sky chinr sharpnr sgscore1 distpsnr1 sgscore2"
    " distpsnr2 sgscore3 distpsnr3 ndethist ncovhist scorr nmtchps clrcoeff clrcounc neargaia neargaiabright"
).split()

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    toy_forest(os.path.join(sys.argv[1], "toy_forest"))
    toy_stamps(os.path.join(sys.argv[1], "toy_braai"), "toy_braai", [])
    toy_stamps(os.path.join(sys.argv[1], "toy_acai"), "toy_acai", ACAI)
    toy_snn(os.path.join(sys.argv[1], "toy_snn"))
    toy_lines(os.path.join(sys.argv[1], "toy_lines"))
