"""What all exporters of trees share: the golden rows, the trees held against them, and the folder."""

import math

from . import folder as mf


def manifest(name, features, outputs, more):
    return dict(
        {
            "name": name,
            "version": "1",
            "licence": "",
            "inputs": [mf.port("X", ["N", len(features)])],
            "features": list(features),
            "outputs": outputs,
        },
        **more
    )


def name_of(folder):
    return folder.rstrip("/").split("/")[-1]


def rows_of(X, features, known=None, n_known=None):
    """The golden rows as float32. known: the model's own names of its features, or None."""
    features = list(features)
    rows = [[mf.float32(float(v)) for v in row] for row in (X.values if hasattr(X, "values") else X)]
    if not rows:
        raise ValueError("no golden rows: X is empty")
    if any(len(row) != len(features) for row in rows):
        raise ValueError("X has %d columns, there are %d names of features" % (len(rows[0]), len(features)))
    if n_known is not None and n_known != len(features):
        raise ValueError("the model has %d features, %d names are given" % (n_known, len(features)))
    if known is not None and list(known) != features and sorted(known) == sorted(features):
        raise ValueError("the model's features are in another order: %s" % ", ".join(known))
    return rows


def sum_of(trees, row, n, mode, nan_yes):
    out = [0.0] * n
    for t, tree in enumerate(trees):
        i = 0
        while tree[i][0] is not None:
            feature, limit, yes, no = tree[i]
            x = row[feature]
            i = (
                yes
                if ((t, i) in nan_yes if math.isnan(x) else x < limit if mode == "BRANCH_LT" else x <= limit)
                else no
            )
        for k, w in tree[i][1].items():
            out[k] += w
    return out


def scores(sums, post, n_out):
    if post == "LOGISTIC":
        p = [1 / (1 + math.exp(-v)) if v > -700 else 0.0 for v in sums]
        return [1 - p[0], p[0]] if n_out == 2 and len(p) == 1 else p
    if post == "SOFTMAX":
        e = [math.exp(v - max(sums)) for v in sums]
        return [v / math.fsum(e) for v in e]
    return sums


def write(
    folder,
    trees,
    labels,
    rows,
    expected,
    features,
    more,
    tolerance,
    mode="BRANCH_LEQ",
    post="NONE",
    base=None,
    nan_yes=frozenset(),
    what="model",
):
    """Holds the trees against what the model said, and writes the folder only then."""
    n_out = len(expected[0])
    n_sums = 1 + max(k for tree in trees for n in tree if n[0] is None for k in n[1])
    base = list(base or [0.0] * n_sums)
    tolerance = tolerance * max(1.0, *(abs(float(v)) for y in expected for v in y))
    for k, (row, y) in enumerate(zip(rows[:512], expected)):
        sums = [a + b for a, b in zip(sum_of(trees, row, n_sums, mode, nan_yes), base)]
        got = scores(sums, post, n_out)
        worst = max(abs(a - float(b)) for a, b in zip(got, y)) if len(got) == len(y) else math.inf
        if not worst <= tolerance:
            raise ValueError(
                "this %s cannot be exported: of row %d of X it says %s, its trees say %s"
                % (what, k, [float(v) for v in y], got)
            )
    if (
        labels
        and n_sums == 1
        and post != "SOFTMAX"
        and all(w >= 0 for tree in trees for n in tree if n[0] is None for w in n[1].values())
    ):
        raise ValueError(
            "no leaf is negative, as in a model that was trained on one class alone: ONNX Runtime would take "
            "the sums for probabilities"
        )
    output = "probabilities" if labels else "score"
    onnx = mf.forest(
        trees,
        labels,
        output,
        len(features),
        mode=mode,
        post=post,
        base=base if any(base) else None,
        nan_yes=nan_yes,
    )
    outputs = [mf.port(output, ["N", n_out], **({"classes": labels} if labels else {}))]
    lines = [x + [float(v) for v in y] for x, y in zip(rows, expected)]
    mf.write_table(
        folder,
        onnx,
        manifest(name_of(folder), features, outputs, more),
        features,
        ["out%d" % k for k in range(n_out)],
        lines,
        tolerance,
    )


def is_nan(v):
    return isinstance(v, float) and math.isnan(v)
