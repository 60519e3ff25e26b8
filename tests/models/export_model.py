#!/usr/bin/env python3
"""Exports a trained model to a folder that nightjar runs: model.onnx, manifest.json, golden rows.

    from export_model import export_sklearn, export_xgboost, export_torch
    export_sklearn(forest, ["g_amplitude", ...], X, "models/mine", licence="MIT")
    export_xgboost(booster, ["g_amplitude", ...], X, "models/mine")
    export_torch(network, {"triplets": a, "features": b}, "models/mine", features=[...])

then `nightjar model check models/mine`, and in the configuration `[module.mine] kind = model`, `model = mine`.

Scores are equal, not nearly so: scikit-learn compares float32 features with float64 thresholds, so each threshold is
rounded DOWN to float32 (x <= t is then the same for every float32 x); XGBoost compares float32 with `<`, kept as it is.
X are the golden inputs: 32 rows or more, real ones and some close to the thresholds."""
import math

import model_folder as mf


def _manifest(name, features, outputs, more):
    return dict({"name": name, "version": "1", "licence": "", "inputs": [mf.port("X", ["N", len(features)])], "features": list(features), "outputs": outputs}, **more)


def _name(folder):
    return folder.rstrip("/").split("/")[-1]


def _rows(X):
    return [[mf.float32(float(v)) for v in row] for row in X]


def export_sklearn(forest, features, X, folder, tolerance=1e-6, **more):
    """RandomForest and ExtraTrees, classifiers and regressors. Golden outputs: predict_proba or predict, float64."""
    classifier = hasattr(forest, "classes_")
    n_trees, trees, nan_yes = len(forest.estimators_), [], set()
    for t, estimator in enumerate(forest.estimators_):
        tree, nodes = estimator.tree_, []
        to_left = getattr(tree, "missing_go_to_left", None)
        for i in range(tree.node_count):
            if tree.children_left[i] >= 0:
                nodes.append((int(tree.feature[i]), mf.float32_down(float(tree.threshold[i])), int(tree.children_left[i]), int(tree.children_right[i])))
                if to_left is not None and to_left[i]:
                    nan_yes.add((t, i))
                continue
            value = [float(v) for v in tree.value[i].ravel()]
            total = sum(value) if classifier else 1.0
            nodes.append((None, {k: v / total / n_trees for k, v in enumerate(value)}))
        trees.append(nodes)
    rows = _rows(X)
    expected = forest.predict_proba(rows) if classifier else forest.predict(rows).reshape(len(rows), -1)
    labels = [str(c) for c in forest.classes_] if classifier else None
    n_out = len(expected[0])
    output = "probabilities" if classifier else "score"
    onnx = mf.forest(trees, labels, output, len(features), nan_yes=nan_yes)
    outputs = [mf.port(output, ["N", n_out], **({"classes": labels} if labels else {}))]
    lines = [x + [float(v) for v in y] for x, y in zip(rows, expected)]
    mf.write_table(folder, onnx, _manifest(_name(folder), features, outputs, more), features, ["out%d" % k for k in range(n_out)], lines, tolerance)


def _xgboost_tree(dump):
    """The nested JSON of one tree as a list of nodes, and which of them send NaN to the yes side."""
    nodes, nan_yes = [], set()

    def add(n):
        at = len(nodes)
        nodes.append(None)
        if "leaf" in n:
            nodes[at] = (None, {0: mf.float32(n["leaf"])})
            return at
        child = {c["nodeid"]: c for c in n["children"]}
        yes, no = add(child[n["yes"]]), add(child[n["no"]])
        nodes[at] = (n["split"], mf.float32(float(n["split_condition"])), yes, no)
        if n["missing"] == n["yes"]:
            nan_yes.add(at)
        return at

    add(dump)
    return nodes, nan_yes


def export_xgboost(model, features, X, folder, tolerance=None, **more):
    """Boosters and their scikit-learn wrappers: binary:logistic, multi:softprob, reg:*. Golden outputs: predict, float32."""
    import json
    import numpy
    import xgboost

    booster = model.get_booster() if hasattr(model, "get_booster") else model
    config = json.loads(booster.save_config())["learner"]
    objective = config["objective"]["name"]
    n_class = int(config["learner_model_param"].get("num_class", "0"))
    base = config["learner_model_param"]["base_score"]
    base = [float(v) for v in json.loads(base)] if base.startswith("[") else [float(base)]
    names = list(booster.feature_names or ["f%d" % k for k in range(len(features))])
    trees, nan_yes = [], set()
    for t, text in enumerate(booster.get_dump(dump_format="json")):
        nodes, nan = _xgboost_tree(json.loads(text))
        shift = t % n_class if n_class > 1 else 0
        trees.append([n if n[0] is None and not shift else (None, {shift: n[1][0]}) if n[0] is None else (names.index(n[0]),) + n[1:] for n in nodes])
        nan_yes |= {(t, i) for i in nan}
    rows = _rows(X)
    expected = booster.predict(xgboost.DMatrix(numpy.array(rows, dtype=numpy.float32), feature_names=booster.feature_names))
    if objective == "binary:logistic":
        if all(w >= 0 for tree in trees for n in tree if n[0] is None for w in n[1].values()):
            raise ValueError("no negative leaf: ONNX Runtime would take the sums for probabilities")
        labels, post, base = ["0", "1"], "LOGISTIC", [math.log(base[0] / (1 - base[0]))]
        expected = [[1 - float(p), float(p)] for p in expected]
    elif objective == "multi:softprob":
        labels, post, base = [str(k) for k in range(n_class)], "SOFTMAX", base * (n_class if len(base) == 1 else 1)
    elif objective.startswith("reg:") and objective != "reg:logistic":
        labels, post = None, "NONE"
        expected = [[float(v)] for v in expected]
    else:
        raise ValueError("objective %s is not supported" % objective)
    if tolerance is None:  # XGBoost sums in float32
        tolerance = 4e-6 * max(1, *(abs(v) for y in expected for v in y))
    output, n_out = ("probabilities" if labels else "score"), len(expected[0])
    onnx = mf.forest(trees, labels, output, len(features), mode="BRANCH_LT", post=post, base=base, nan_yes=nan_yes)
    outputs = [mf.port(output, ["N", n_out], **({"classes": labels} if labels else {}))]
    lines = [x + [float(v) for v in y] for x, y in zip(rows, expected)]
    mf.write_table(folder, onnx, _manifest(_name(folder), features, outputs, more), features, ["out%d" % k for k in range(n_out)], lines, tolerance)


def export_torch(network, inputs, folder, features=None, output="score", tolerance=1e-5, **more):
    """A torch module in eval mode; inputs: {name: tensor}, first axis the golden rows (float32), in the order of forward().
    The operators that the built-in engine knows are in modules/kit/model/ops.c; others need ONNX Runtime."""
    import io
    import torch

    network = network.eval()
    with torch.no_grad():
        expected = network(*inputs.values())
    expected = expected.reshape(len(expected), -1)
    out = io.BytesIO()
    axes = {name: {0: "N"} for name in list(inputs) + [output]}
    arguments = dict(opset_version=13, input_names=list(inputs), output_names=[output], dynamic_axes=axes)
    try:
        torch.onnx.export(network, tuple(inputs.values()), out, dynamo=False, **arguments)
    except TypeError:  # before torch 2.5
        torch.onnx.export(network, tuple(inputs.values()), out, **arguments)
    rows = len(expected)
    ports = [mf.port(name, ["N"] + list(x.shape[1:])) for name, x in inputs.items()]
    tensors = [(name, "float32", list(x.shape), x.reshape(-1).tolist()) for name, x in inputs.items()]
    tensors.append((output, "float32", [rows, expected.shape[1]], expected.reshape(-1).tolist()))
    manifest = dict({"name": _name(folder), "version": "1", "licence": "", "inputs": ports, "features": features,
                     "outputs": [mf.port(output, ["N", expected.shape[1]])]}, **more)
    mf.write_tensors(folder, out.getvalue(), manifest, rows, tensors, tolerance)
