#!/usr/bin/env python3
"""Exports a trained model to a folder that nightjar runs: model.onnx, manifest.json, golden rows.

    from export_model import export_sklearn, export_xgboost, export_torch
    export_sklearn(forest, ["g_amplitude", ...], X, "models/mine", licence="MIT")
    export_xgboost(classifier, ["g_amplitude", ...], X, "models/mine")
    export_torch(network, {"triplets": a, "features": b}, "models/mine", features=[...])

then `nightjar model check models/mine`, and in the configuration `[module.mine] kind = model`,
`model = mine`.

The golden outputs are what the model's own predict_proba or predict says of X, never what the exported trees
say; the trees are then held against them, and a model that cannot be exported so that both agree is a
ValueError (TypeError: not a kind of model that is known), never a folder. Decisions are equal, not nearly so:
scikit-learn compares with float64 thresholds, so each threshold is the largest float32 that goes the same way
(through the scalers of a pipeline, too); XGBoost compares float32 with `<`, kept as it is. X are the golden
inputs: 32 rows or more, real ones and some close to the thresholds."""

import math
import struct
import warnings

import model_folder as mf

MAX = 3.4028234663852886e38  # of float32

SKLEARN = (
    "RandomForest, ExtraTrees, DecisionTree, GradientBoosting and HistGradientBoosting, each as Classifier"
    " and Regressor, alone or in a Pipeline behind StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler"
    " and SimpleImputer"
)
OBJECTIVES = (
    "binary:logistic, binary:logitraw, multi:softprob (multi:softmax of an XGBClassifier), reg:logistic,"
    " reg:squarederror, reg:squaredlogerror, reg:absoluteerror, reg:pseudohubererror, rank:ndcg, rank:map,"
    " rank:pairwise"
)


def _manifest(name, features, outputs, more):
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


def _name(folder):
    return folder.rstrip("/").split("/")[-1]


def _rows(X, features, known=None, n_known=None):
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


# --- the trees against the golden rows ---


def _sum(trees, row, n, mode, nan_yes):
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


def _scores(sums, post, n_out):
    if post == "LOGISTIC":
        p = [1 / (1 + math.exp(-v)) if v > -700 else 0.0 for v in sums]
        return [1 - p[0], p[0]] if n_out == 2 and len(p) == 1 else p
    if post == "SOFTMAX":
        e = [math.exp(v - max(sums)) for v in sums]
        return [v / math.fsum(e) for v in e]
    return sums


def _write(
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
        sums = [a + b for a, b in zip(_sum(trees, row, n_sums, mode, nan_yes), base)]
        got = _scores(sums, post, n_out)
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
        raise ValueError("no negative leaf: ONNX Runtime would take the sums for probabilities")
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
        _manifest(_name(folder), features, outputs, more),
        features,
        ["out%d" % k for k in range(n_out)],
        lines,
        tolerance,
    )


# --- scikit-learn ---


class _Before:
    """The steps of a pipeline before its model, each of which changes every feature by itself and never turns
    its order round."""

    def __init__(self, steps):
        self.steps = [s for s in steps if s not in (None, "passthrough")]
        for s in self.steps:
            kind = type(s).__name__
            if kind not in (
                "StandardScaler",
                "MinMaxScaler",
                "MaxAbsScaler",
                "RobustScaler",
                "SimpleImputer",
            ):
                raise TypeError("a pipeline with %s cannot be exported; known are %s" % (kind, SKLEARN))
            if kind == "SimpleImputer" and (
                getattr(s, "add_indicator", False) or not _is_nan(s.missing_values)
            ):
                raise ValueError(
                    "SimpleImputer: only missing_values=nan without add_indicator can be exported"
                )

    def transform(self, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arrays without names, for steps that were trained with them
            for s in self.steps:
                x = s.transform(x)
        return x

    def limits(self, trees, single):
        """Thresholds in terms of what goes into the pipeline: for each the largest float32 that still goes to
        the yes side, found by halving with the pipeline's own arithmetic. single: the model takes float32.
        Returned: the trees, and the nodes whose NaN is filled in and goes to yes, or no.
        """
        import numpy

        if not self.steps:
            return [
                [n if n[0] is None else (n[0], mf.float32_down(n[1])) + n[2:] for n in tree] for tree in trees
            ], {}
        n = self.steps[0].n_features_in_
        if self.transform(numpy.zeros((1, n))).shape[1] != n:
            raise ValueError("the pipeline changes the number of features")
        cast = (lambda v: v.astype(numpy.float32).astype(float)) if single else (lambda v: v)
        filled = cast(numpy.asarray(self.transform(numpy.full((1, n), numpy.nan)), float))[0]
        limit, fills = {}, {}
        for f in range(n):
            want = numpy.array(sorted({x[1] for tree in trees for x in tree if x[0] == f}))
            if not len(want):
                continue
            low, high = numpy.full(len(want), _order(-MAX)), numpy.full(len(want), _order(MAX))

            def yes(keys):
                x = numpy.zeros((len(keys), n))
                x[:, f] = [_float(int(k)) for k in keys]
                return cast(numpy.asarray(self.transform(x), float)[:, f]) <= want

            with numpy.errstate(all="ignore"):
                never, always = ~yes(low), yes(high)
                while (high - low > 1).any():
                    middle = low + (high - low) // 2
                    good = yes(middle)
                    low, high = numpy.where(good, middle, low), numpy.where(good, high, middle)
            for k, t in enumerate(want.tolist()):
                limit[f, t] = -math.inf if never[k] else math.inf if always[k] else _float(int(low[k]))
        out = []
        for t, tree in enumerate(trees):
            for i, x in enumerate(tree):
                if x[0] is not None and not math.isnan(filled[x[0]]):
                    fills[t, i] = bool(filled[x[0]] <= x[1])
            out.append([x if x[0] is None else (x[0], limit[x[0], x[1]]) + x[2:] for x in tree])
        return out, fills


def _is_nan(v):
    return isinstance(v, float) and math.isnan(v)


def _order(x):
    """float32 as an integer in the same order; _float is the way back."""
    bits = struct.unpack("<i", struct.pack("<f", x))[0]
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _float(k):
    return (
        struct.unpack("<f", struct.pack("<i", k))[0]
        if k >= 0
        else -struct.unpack("<f", struct.pack("<i", -k))[0]
    )


def _sklearn_tree(tree, leaf):
    """leaf: the values of a leaf -> {output: weight}. Returned: nodes with float64 thresholds, and those that
    send NaN to yes."""
    nodes, nan = [], set()
    to_left = getattr(tree, "missing_go_to_left", None)
    for i in range(tree.node_count):
        if tree.children_left[i] >= 0:
            nodes.append(
                (
                    int(tree.feature[i]),
                    float(tree.threshold[i]),
                    int(tree.children_left[i]),
                    int(tree.children_right[i]),
                )
            )
            if to_left is not None and to_left[i]:
                nan.add(i)
        else:
            nodes.append((None, leaf([float(v) for v in tree.value[i].ravel()])))
    return nodes, nan


def _hist_tree(nodes, k):
    out, nan = [], set()
    for i, n in enumerate(nodes):
        if n["is_leaf"]:
            out.append((None, {k: float(n["value"])}))
            continue
        out.append((int(n["feature_idx"]), float(n["num_threshold"]), int(n["left"]), int(n["right"])))
        if n["missing_go_to_left"]:
            nan.add(i)
    return out, nan


def _constant(values, what):
    """One number for each output, from what predict says less what the trees say."""
    first = values[0]
    scale = max(1.0, *(abs(v) for row in values for v in row))
    if any(abs(a - b) > 1e-6 * scale for row in values for a, b in zip(row, first)):
        raise ValueError("%s with an init that depends on the row cannot be exported" % what)
    return [float(v) for v in first]


def export_sklearn(model, features, X, folder, tolerance=1e-6, **more):
    """Forests, single trees and both kinds of gradient boosting, in a pipeline with scalers or not (SKLEARN
    lists them). Golden outputs: predict_proba of classifiers, predict of regressors."""
    import numpy

    whole, before = model, []
    if type(model).__name__ == "Pipeline":
        before, model = [s for _, s in model.steps[:-1]], model.steps[-1][1]
    kind = type(model).__name__
    family = kind.replace("Classifier", "").replace("Regressor", "")
    if (
        not type(model).__module__.startswith("sklearn.")
        or not kind.endswith(("Classifier", "Regressor"))
        or family
        not in (
            "RandomForest",
            "ExtraTrees",
            "DecisionTree",
            "ExtraTree",
            "GradientBoosting",
            "HistGradientBoosting",
        )
    ):
        raise TypeError(
            "%s.%s is not a kind of model that export_sklearn knows; it knows %s. XGBoost: export_xgboost;"
            " others: convert to ONNX and write the folder by model_folder.write_table"
            % (type(model).__module__, kind, SKLEARN)
        )
    before = _Before(before)
    if not hasattr(model, "n_features_in_"):
        raise ValueError("the %s is not trained" % kind)
    names = getattr(whole, "feature_names_in_", None)
    rows = _rows(
        X,
        features,
        None if names is None else list(names),
        getattr(whole, "n_features_in_", model.n_features_in_),
    )
    classifier = kind.endswith("Classifier")
    if classifier and getattr(model, "n_outputs_", 1) > 1:
        raise ValueError("%s with several outputs cannot be exported" % kind)
    given = numpy.array(rows, dtype=float)
    if names is not None:  # as it was trained: a table with names
        import pandas

        given = pandas.DataFrame(given, columns=list(names))
    expected = numpy.asarray(
        whole.predict_proba(given) if classifier else whole.predict(given), float
    ).reshape(len(rows), -1)
    labels = [str(c) for c in model.classes_] if classifier else None
    post, base, single = "NONE", None, family != "HistGradientBoosting"
    if family in ("RandomForest", "ExtraTrees", "DecisionTree", "ExtraTree"):
        parts = [model] if family in ("DecisionTree", "ExtraTree") else model.estimators_

        def leaf(value):
            total = sum(value) if classifier else 1.0
            return {k: v / total / len(parts) for k, v in enumerate(value)}

        pairs = [_sklearn_tree(e.tree_, leaf) for e in parts]
    else:
        loss = getattr(model, "loss", None)
        if loss in ("poisson", "gamma"):
            raise ValueError(
                "%s with loss = %s predicts an exponential, which a forest of ONNX cannot" % (kind, loss)
            )
        if getattr(model, "is_categorical_", None) is not None and any(model.is_categorical_):
            raise ValueError("%s with categorical features cannot be exported" % kind)
        twice = (
            2.0 if loss == "exponential" else 1.0
        )  # predict_proba is then the logistic function of twice the sum
        if family == "GradientBoosting":
            pairs = [
                _sklearn_tree(e.tree_, lambda v, k=k: {k: twice * model.learning_rate * v[0]})
                for stage in model.estimators_
                for k, e in enumerate(stage)
            ]
        else:
            pairs = [_hist_tree(t.nodes, k) for stage in model._predictors for k, t in enumerate(stage)]
        if classifier:
            post = "LOGISTIC" if len(labels) == 2 else "SOFTMAX"
    trees, nan_yes = [nodes for nodes, _ in pairs], {(t, i) for t, (_, nan) in enumerate(pairs) for i in nan}
    trees, fills = before.limits(trees, single)
    nan_yes = {at for at in nan_yes if at not in fills} | {at for at, to_yes in fills.items() if to_yes}
    if family in ("GradientBoosting", "HistGradientBoosting"):
        n_sums = 1 if not classifier or len(labels) == 2 else len(labels)
        raw = (
            numpy.asarray(
                whole.decision_function(given) if classifier else whole.predict(given), float
            ).reshape(len(rows), -1)
            * twice
        )
        base = _constant(
            [
                [a - b for a, b in zip(r, _sum(trees, row, n_sums, "BRANCH_LEQ", nan_yes))]
                for r, row in zip(raw.tolist(), rows)
            ],
            kind,
        )
    _write(
        folder,
        trees,
        labels,
        rows,
        expected.tolist(),
        features,
        more,
        tolerance,
        post=post,
        base=base,
        nan_yes=nan_yes,
        what=kind,
    )


# --- XGBoost ---


def _xgboost_tree(tree, output, weight):
    """A tree of XGBoost's own JSON: arrays over the nodes."""
    nodes, nan_yes = [], set()
    if any(tree.get("split_type", [])) or tree.get("categories_nodes"):
        raise ValueError("a model with categorical splits cannot be exported")
    for i, left in enumerate(tree["left_children"]):
        if left < 0:
            nodes.append((None, {output: mf.float32(weight * mf.float32(tree["split_conditions"][i]))}))
            continue
        nodes.append(
            (
                int(tree["split_indices"][i]),
                mf.float32(tree["split_conditions"][i]),
                int(left),
                int(tree["right_children"][i]),
            )
        )
        if tree["default_left"][i]:
            nan_yes.add(i)
    return nodes, nan_yes


def _logit(p):
    return math.log(p / (1 - p))


def export_xgboost(model, features, X, folder, tolerance=4e-6, rounds=None, **more):
    """Boosters (gbtree and dart) and their scikit-learn wrappers; OBJECTIVES lists the objectives. Golden
    outputs: predict_proba of classifiers, else predict, float32. A wrapper that stopped early uses the trees
    up to its best round, as its own predict does; a Booster uses all of them, as its predict does, unless
    rounds says how many (booster.best_iteration + 1)."""
    import json
    import numpy
    import xgboost

    wrapped = hasattr(model, "get_booster")
    if not wrapped and not isinstance(model, xgboost.Booster):
        raise TypeError(
            "%s.%s is no model of XGBoost: a Booster or one of its scikit-learn wrappers is wanted"
            " (scikit-learn: export_sklearn)" % (type(model).__module__, type(model).__name__)
        )
    booster = model.get_booster() if wrapped else model
    missing = getattr(model, "missing", None) if wrapped else None
    if missing is not None and not _is_nan(float(missing)):
        raise ValueError(
            "missing = %s: trees of ONNX know NaN alone; train with NaN for what is missing" % missing
        )
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, parameters, boost = (
        learner["objective"]["name"],
        learner["learner_model_param"],
        learner["gradient_booster"],
    )
    if boost["name"] not in ("gbtree", "dart"):
        raise ValueError("booster = %s cannot be exported; gbtree and dart can" % boost["name"])
    forest = boost["gbtree"]["model"] if boost["name"] == "dart" else boost["model"]
    n_class, n_target = int(parameters.get("num_class", "0")), int(parameters.get("num_target", "1"))
    n_sums = max(n_class, n_target, 1)
    per_round = n_sums * max(1, int(forest["gbtree_model_param"].get("num_parallel_tree", "1")))
    starts = forest.get("iteration_indptr") or list(range(0, len(forest["trees"]) + 1, per_round))
    best = None
    try:
        best = booster.best_iteration
    except AttributeError:
        pass
    if wrapped and rounds is not None and (best is None or rounds != best + 1):
        raise ValueError("rounds is for a Booster; a wrapper's own predict decides")
    if wrapped and best is not None:
        rounds = best + 1
    elif best is not None and rounds is None and best + 1 < len(starts) - 1:
        warnings.warn(
            "the best of %d rounds was %d; a Booster's predict takes all of them, and so does this export"
            " (rounds=%d for the best)" % (len(starts) - 1, best + 1, best + 1)
        )
    n_trees = starts[min(rounds, len(starts) - 1)] if rounds else len(forest["trees"])
    if any(int(tree["tree_param"].get("size_leaf_vector", "1")) > 1 for tree in forest["trees"]):
        raise ValueError("multi_strategy = multi_output_tree cannot be exported")
    drop = boost.get("weight_drop", [1.0] * len(forest["trees"]))
    pairs = [
        _xgboost_tree(tree, forest["tree_info"][t], mf.float32(drop[t]))
        for t, tree in enumerate(forest["trees"][:n_trees])
    ]
    trees, nan_yes = [nodes for nodes, _ in pairs], {(t, i) for t, (_, nan) in enumerate(pairs) for i in nan}
    if not trees:
        raise ValueError("the model has no trees")

    rows = _rows(X, features, booster.feature_names, booster.num_features())
    given = numpy.array(rows, dtype=numpy.float32)
    if wrapped and booster.feature_names:
        import pandas

        given = pandas.DataFrame(given, columns=booster.feature_names)
    if wrapped:
        expected = model.predict_proba(given) if hasattr(model, "predict_proba") else model.predict(given)
    else:
        expected = booster.predict(
            xgboost.DMatrix(given, feature_names=booster.feature_names), iteration_range=(0, rounds or 0)
        )
    expected = numpy.asarray(expected).reshape(len(rows), -1).tolist()
    base = parameters["base_score"]
    base = [float(v) for v in json.loads(base)] if base.startswith("[") else [float(base)]
    base = base * (n_sums if len(base) == 1 else 1)
    labels, post = None, "NONE"
    if objective == "binary:logistic":
        labels, post, base = ["0", "1"], "LOGISTIC", [_logit(base[0])]
        if len(expected[0]) == 1:
            expected = [[1 - p, p] for p, in expected]
    elif objective == "multi:softprob" or (objective == "multi:softmax" and wrapped):
        labels, post = [str(k) for k in range(n_class)], "SOFTMAX"
    elif objective in ("reg:logistic", "binary:logitraw"):
        post, base = "LOGISTIC" if objective == "reg:logistic" else "NONE", [_logit(b) for b in base]
        if len(expected[0]) == 2:
            raise ValueError(
                "objective %s in a classifier cannot be exported: binary:logistic can" % objective
            )
    elif objective not in (
        "reg:squarederror",
        "reg:linear",
        "reg:squaredlogerror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "rank:ndcg",
        "rank:map",
        "rank:pairwise",
    ):
        raise ValueError("objective %s cannot be exported; these can: %s" % (objective, OBJECTIVES))
    if labels and wrapped and len(getattr(model, "classes_", [])) == len(labels):
        labels = [str(c) for c in model.classes_]
    # XGBoost sums in float32
    _write(
        folder,
        trees,
        labels,
        rows,
        expected,
        features,
        more,
        tolerance,
        mode="BRANCH_LT",
        post=post,
        base=base,
        nan_yes=nan_yes,
        what="model of XGBoost",
    )


# --- PyTorch ---


def export_torch(network, inputs, folder, features=None, output="score", tolerance=1e-5, **more):
    """A torch module in eval mode; inputs: {name: tensor}, first axis the golden rows (float32), in the order
    of forward(). The operators that the built-in engine knows are in modules/kit/model/ops.c; others need
    ONNX Runtime."""
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
    manifest = dict(
        {
            "name": _name(folder),
            "version": "1",
            "licence": "",
            "inputs": ports,
            "features": features,
            "outputs": [mf.port(output, ["N", expected.shape[1]])],
        },
        **more
    )
    mf.write_tensors(folder, out.getvalue(), manifest, rows, tensors, tolerance)
