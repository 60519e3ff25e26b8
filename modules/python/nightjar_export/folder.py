"""Writes model folders for nightjar: model.onnx, manifest.json, golden rows. Standard library only.

The ONNX file is written as protobuf by hand: a few messages with a few fields each, so nothing need be
installed.
"""

import hashlib
import json
import math
import os
import struct

FLOAT, INT32, INT64 = 1, 6, 7


def _varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while True:
        out.append((n & 127) | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


def integer(number, value):
    return _varint(number << 3) + _varint(value)


def blob(number, data):
    data = data.encode() if isinstance(data, str) else bytes(data)
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def attribute(name, value):
    """By the type of value: int, float, str, or a list of one of them."""
    out = blob(1, name)
    if isinstance(value, str):
        return out + blob(4, value) + integer(20, 3)
    if isinstance(value, float):
        return out + _varint(2 << 3 | 5) + struct.pack("<f", value) + integer(20, 1)
    if isinstance(value, int):
        return out + integer(3, value) + integer(20, 2)
    if isinstance(value[0], str):
        return out + b"".join(blob(9, v) for v in value) + integer(20, 8)
    if isinstance(value[0], float):
        return out + blob(7, struct.pack("<%df" % len(value), *value)) + integer(20, 6)
    return out + blob(8, b"".join(_varint(v) for v in value)) + integer(20, 7)


def node(op, inputs, outputs, domain="", **attributes):
    out = (
        b"".join(blob(1, i) for i in inputs)
        + b"".join(blob(2, o) for o in outputs)
        + blob(3, outputs[-1])
        + blob(4, op)
    )
    out += b"".join(blob(5, attribute(k, v)) for k, v in attributes.items() if v != [])
    return out + (blob(7, domain) if domain else b"")


def tensor(name, shape, values, kind=FLOAT):
    raw = struct.pack("<%d%s" % (len(values), "f" if kind == FLOAT else "q"), *values)
    return blob(1, b"".join(_varint(d) for d in shape)) + integer(2, kind) + blob(8, name) + blob(9, raw)


def value_info(name, shape, kind=FLOAT):
    dims = b"".join(blob(1, blob(2, d) if isinstance(d, str) else integer(1, d)) for d in shape)
    return blob(1, name) + blob(2, blob(1, integer(1, kind) + blob(2, dims)))


def model(nodes, initializers, inputs, outputs, opsets):
    """opsets: [("", 13), ("ai.onnx.ml", 1)]; inputs, outputs: value_info()."""
    graph = (
        b"".join(blob(1, n) for n in nodes) + blob(2, "nightjar") + b"".join(blob(5, t) for t in initializers)
    )
    graph += b"".join(blob(11, v) for v in inputs) + b"".join(blob(12, v) for v in outputs)
    sets = b"".join(blob(8, (blob(1, d) if d else b"") + integer(2, v)) for d, v in opsets)
    return integer(1, 8) + sets + blob(2, "nightjar model_folder.py") + blob(7, graph)


def port(name, shape, dtype="float32", **more):
    """An input or output for the manifest; the first axis is "N", a sequence's second one "T"."""
    return dict({"name": name, "dtype": dtype, "shape": list(shape)}, **more)


def _write_manifest(folder, onnx, manifest, golden):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(onnx)
    entry = {"file": "model.onnx", "sha256": hashlib.sha256(onnx).hexdigest(), "bytes": len(onnx)}
    with open(os.path.join(folder, "manifest.json"), "w") as f:
        json.dump(dict(manifest, model=entry, golden=golden), f, indent=1)
        f.write("\n")


def write_tensors(folder, onnx, manifest, rows, tensors, tolerance):
    """tensors: (name, dtype, shape, flat values) of each input and output, whole."""
    entries, data = [], b""
    for name, dtype, shape, values in tensors:
        raw = struct.pack("<%d%s" % (len(values), "i" if dtype == "int32" else "f"), *values)
        entries.append(
            {"name": name, "dtype": dtype, "shape": list(shape), "offset": len(data), "bytes": len(raw)}
        )
        data += raw
    _write_manifest(
        folder,
        onnx,
        manifest,
        {"file": "golden.bin", "rows": rows, "tensors": entries, "tolerance_abs": tolerance},
    )
    with open(os.path.join(folder, "golden.bin"), "wb") as f:
        f.write(data)


def write_table(folder, onnx, manifest, names_in, names_out, lines, tolerance):
    """lines: lists of the inputs (float32) and then the expected outputs (float64)."""
    _write_manifest(
        folder, onnx, manifest, {"file": "golden.csv", "rows": len(lines), "tolerance_abs": tolerance}
    )
    with open(os.path.join(folder, "golden.csv"), "w") as f:
        f.write(
            ",".join(["row", "origin"] + ["x." + n for n in names_in] + ["y." + n for n in names_out]) + "\n"
        )
        for i, line in enumerate(lines):
            f.write(
                ",".join(
                    [str(i), "synthetic"]
                    + [("%.9g" if k < len(names_in) else "%.17g") % v for k, v in enumerate(line)]
                )
                + "\n"
            )


def float32(x):
    """The nearest float32, as a Python float."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def float32_down(x):
    """The largest float32 that is not above x: for float32 v, v <= x and v <= float32_down(x) are the
    same."""
    try:
        y = float32(x)
    except OverflowError:  # a finite double beyond float32
        return 3.4028234663852886e38 if x > 0 else -math.inf
    if y <= x:
        return y
    if y == 0:  # x is negative and rounds to -0
        return -1.401298464324817e-45
    bits = struct.unpack("<i", struct.pack("<f", y))[0]
    return struct.unpack("<f", struct.pack("<i", bits - 1 if bits > 0 else bits + 1))[0]


def maps_info(name, kind=FLOAT):
    """A list of maps from class to score, as ZipMap gives it: no tensor."""
    element = blob(5, integer(1, INT64) + blob(2, blob(1, integer(1, kind))))
    return blob(1, name) + blob(2, blob(4, blob(1, element)))


def forest(
    trees,
    labels,
    output,
    n_features,
    mode="BRANCH_LEQ",
    post="NONE",
    base=None,
    nan_yes=None,
    head=(),
    tail=(),
    info=None,
):
    """An .onnx file with one TreeEnsembleClassifier (labels given) or Regressor (labels None) over the input
    X.

    trees: lists of nodes (feature, threshold, yes, no) or (None, {output: weight}); node 0 is the root.
    Thresholds are written as they are: round them first. nan_yes: a set of (tree, node) where NaN goes to the
    yes side. head, tail: (operator, domain, attributes) of nodes before and behind it, one after the other.
    info: the output's value_info.
    """
    a = {
        k: []
        for k in (
            "treeids",
            "nodeids",
            "featureids",
            "values",
            "truenodeids",
            "falsenodeids",
            "modes",
            "missing_value_tracks_true",
        )
    }
    w = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for t, tree in enumerate(trees):
        for i, n in enumerate(tree):
            leaf = n[0] is None
            row = (
                t,
                i,
                0 if leaf else n[0],
                0.0 if leaf else float(n[1]),
                0 if leaf else n[2],
                0 if leaf else n[3],
                "LEAF" if leaf else mode,
                int((t, i) in (nan_yes or ())),
            )
            for key, v in zip(a, row):
                a[key].append(v)
            for k, weight in n[1].items() if leaf else ():
                for key, v in zip(w, (t, i, k, float(weight))):
                    w[key].append(v)
    prefix = "target" if labels is None else "class"
    attributes = {"nodes_" + k: v for k, v in a.items()}
    attributes.update({prefix + "_" + k: v for k, v in w.items()})
    attributes.update(post_transform=post, base_values=[float(b) for b in base or []])
    names = ["X"] + ["head%d" % k for k in range(len(head))]
    before = [
        node(op, [names[k]], [names[k + 1]], domain, **more) for k, (op, domain, more) in enumerate(head)
    ]
    scores = ["scores%d" % k for k in range(len(tail))] + [output]
    behind = [
        node(op, [scores[k]], [scores[k + 1]], domain, **more) for k, (op, domain, more) in enumerate(tail)
    ]
    if labels is None:
        n_out = 1 + max(w["ids"])
        body = node(
            "TreeEnsembleRegressor", [names[-1]], [scores[0]], "ai.onnx.ml", n_targets=n_out, **attributes
        )
    else:
        n_out = len(labels)
        body = node(
            "TreeEnsembleClassifier",
            [names[-1]],
            ["label", scores[0]],
            "ai.onnx.ml",
            classlabels_int64s=list(range(n_out)),
            **attributes
        )
    return model(
        before + [body] + behind,
        [],
        [value_info("X", ["N", n_features])],
        [info or value_info(output, ["N", n_out])],
        [("ai.onnx.ml", 1), ("", 13)],
    )
