#!/usr/bin/env python3
"""Operators of the built-in engine on axes that the real networks do not use: models of one operator whose
golden rows are computed here in plain Python; also by ONNX Runtime where it is installed (make
onnxruntime)."""

import itertools, math, os, random, sys
from tap import ROOT, Folder, done, nightjar, ok, skip

sys.path.insert(0, os.path.join(ROOT, "modules", "python"))
from nightjar_export import folder as mf

ROWS, SHAPE = 3, (2, 3, 4)  # each row; axis 0 is the batch
rng = random.Random(20261121)


def places(shape):
    return itertools.product(*(range(n) for n in shape))


def reduced(op, x, axes, keep):
    """x {place: value}; axes counted from 1, as the batch is axis 0."""
    groups = {}
    for at, v in x.items():
        groups.setdefault(tuple(0 if k + 1 in axes else i for k, i in enumerate(at)), []).append(v)
    value = {"ReduceMean": lambda v: math.fsum(v) / len(v), "ReduceSum": math.fsum, "ReduceMax": max}[op]
    shape = [1 if k + 1 in axes else n for k, n in enumerate(SHAPE)]
    return [value(groups[at]) for at in places(shape)], (
        shape if keep else [n for k, n in enumerate(SHAPE) if k + 1 not in axes]
    )


def transposed(x, perm):
    shape = [SHAPE[p - 1] for p in perm]
    out = []
    for at in places(shape):
        where = [0] * len(SHAPE)
        for k, p in enumerate(perm):
            where[p - 1] = at[k]
        out.append(x[tuple(where)])
    return out, shape


def softmax(x):
    out = {}
    for at in x:
        line = [math.exp(x[at[:-1] + (k,)]) for k in range(SHAPE[-1])]
        out[at] = line[at[-1]] / math.fsum(line)
    return [out[at] for at in places(SHAPE)], list(SHAPE)


def cases():
    for op in ("ReduceMean", "ReduceMax", "ReduceSum"):
        for n in (1, 2, 3):
            for axes in itertools.combinations((1, 2, 3), n):
                for keep in (0, 1):
                    if keep or len(axes) < 3:  # all axes gone leaves [N]: no port of that shape
                        yield (
                            f"{op} axes {list(axes)} keepdims {keep}",
                            op,
                            (
                                axes,
                                keep,
                            ),
                            lambda x, op=op, a=axes, k=keep: reduced(op, x, a, k),
                        )
    for perm in itertools.permutations((1, 2, 3)):
        yield f"Transpose {list(perm)}", "Transpose", perm, lambda x, p=perm: transposed(x, p)
    yield "Softmax, last axis", "Softmax", None, softmax


def write(folder, op, how, compute):
    given, expected, shape = [], [], None
    for _ in range(ROWS):
        x = {at: mf.float32(rng.gauss(0, 2)) for at in places(SHAPE)}
        values, shape = compute(x)
        given += [x[at] for at in places(SHAPE)]
        expected += values
    tensors, inputs, more = [], ["x"], {}
    if op == "ReduceSum":  # its axes are an input
        tensors, inputs, more = (
            [mf.tensor("axes", [len(how[0])], list(how[0]), mf.INT64)],
            ["x", "axes"],
            {"keepdims": how[1]},
        )
    elif op.startswith("Reduce"):
        more = {"axes": list(how[0]), "keepdims": how[1]}
    elif op == "Transpose":
        more = {"perm": [0, *how]}
    else:
        more = {"axis": -1}
    onnx = mf.model(
        [mf.node(op, inputs, ["y"], **more)],
        tensors,
        [mf.value_info("x", ["N", *SHAPE])],
        [mf.value_info("y", ["N", *shape])],
        [("", 13)],
    )
    manifest = dict(
        name="op",
        version="1",
        licence="as nightjar",
        inputs=[mf.port("x", ["N", *SHAPE])],
        outputs=[mf.port("y", ["N", *shape])],
    )
    mf.write_tensors(
        folder,
        onnx,
        manifest,
        ROWS,
        [("x", "float32", [ROWS, *SHAPE], given), ("y", "float32", [ROWS, *shape], expected)],
        2e-6,
    )


def main():
    with_ort = os.path.exists(os.path.join(ROOT, ".onnxruntime", "libonnxruntime.so"))
    (
        os.environ.setdefault("ORT_DYLIB_PATH", os.path.join(ROOT, ".onnxruntime", "libonnxruntime.so"))
        if with_ort
        else None
    )
    with Folder():
        names = []
        for name, op, how, compute in cases():
            write(f"m{len(names)}", op, how, compute)
            names.append(name)
        folders = [f"m{i}" for i in range(len(names))]
        for engine in ("builtin", "ort"):
            if engine == "ort" and not with_ort:
                skip("the same by ONNX Runtime", "not installed (make onnxruntime)")
                continue
            r = nightjar("model", "check", "--engine", engine, *folders)
            bad = [names[i] for i, f in enumerate(folders) if f"{f}: op 1" not in r.stdout]
            ok(
                r.returncode == 0 and not bad and len(names) > 40,
                f"{engine}: {len(names)} models of one operator give their golden rows",
                f"{bad}\n{r.stderr}",
            )
    done()


main()
