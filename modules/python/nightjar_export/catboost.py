"""CatBoost, from its own JSON: a value goes to the right when it is above a border; both are float32."""

import json
import os
import tempfile

from .trees import rows_of, write

LOSSES = (
    "Logloss, CrossEntropy, MultiClass, RMSE, MAE, Quantile, MAPE, Huber, Lq, Expectile, LogLinQuantile,"
    " QueryRMSE, YetiRank, PairLogit"
)
_RAW = LOSSES.replace("LogLinQuantile", "").split(", ")[3:]


def _split(split):
    if split.get("split_type", "FloatFeature") != "FloatFeature":
        raise ValueError("a model with categorical features cannot be exported")
    return int(split["float_feature_index"]), float(split["border"])


def _leaf(value, scale):
    return (None, {k: scale * float(v) for k, v in enumerate(value)})


def _symmetric(tree, n_sums, scale):
    """A tree whose levels have one split each, as nodes from the root: the last split comes first."""
    splits, values = [_split(s) for s in tree["splits"] or []], tree["leaf_values"]
    depth = len(splits)
    if not depth:
        return [_leaf(values[:n_sums], scale)]
    nodes = []
    for level in range(depth):
        feature, border = splits[depth - 1 - level]
        first, below = 2**level - 1, 2 ** (level + 1) - 1
        nodes += [(feature, border, below + 2 * k, below + 2 * k + 1) for k in range(2**level)]
    return nodes + [_leaf(values[n_sums * k : n_sums * (k + 1)], scale) for k in range(2**depth)]


def _nested(node, n_sums, scale, nodes):
    at = len(nodes)
    if "split" not in node:
        value = node["value"]
        nodes.append(_leaf(value if isinstance(value, list) else [value], scale))
        return at
    nodes.append(None)
    feature, border = _split(node["split"])
    yes = _nested(node["left"], n_sums, scale, nodes)
    nodes[at] = (feature, border, yes, _nested(node["right"], n_sums, scale, nodes))
    return at


def export_catboost(model, features, X, folder, tolerance=1e-6, **more):
    """CatBoostClassifier, CatBoostRegressor, CatBoost; LOSSES lists the losses. Golden outputs: probabilities
    of classifiers, else predict, by the model's own code; of the best round where use_best_model shrank
    it."""
    import catboost
    import numpy

    if not isinstance(model, catboost.CatBoost):
        raise TypeError("%s.%s is no model of CatBoost" % (type(model).__module__, type(model).__name__))
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "model.json")
        model.save_model(path, format="json")
        with open(path, encoding="utf-8") as f:
            dump = json.load(f)
    info = dump["features_info"]
    if info.get("categorical_features") or info.get("text_features") or info.get("embedding_features"):
        raise ValueError("a model with categorical, text or embedding features cannot be exported")
    loss = dump["model_info"]["params"]["loss_function"]["type"]
    known = model.feature_names_
    rows = rows_of(X, features, None if known and known[0] == "0" else known, len(known))
    given = numpy.array(rows, dtype=numpy.float32)
    scale, bias = dump["scale_and_bias"]
    bias = [float(b) for b in (bias if isinstance(bias, list) else [bias])]
    n_sums = len(bias)
    if "oblivious_trees" in dump:
        trees = [_symmetric(tree, n_sums, scale) for tree in dump["oblivious_trees"]]
    else:
        trees = []
        for tree in dump["trees"]:
            nodes = []
            _nested(tree, n_sums, scale, nodes)
            trees.append(nodes)
    if not trees:
        raise ValueError("the model has no trees")
    # NaN is not above a border, unless it was told to be above all of them
    right = {
        f["feature_index"] for f in info["float_features"] if f.get("nan_value_treatment", "AsIs") == "AsTrue"
    }
    nan_yes = {
        (t, i)
        for t, tree in enumerate(trees)
        for i, n in enumerate(tree)
        if n[0] is not None and n[0] not in right
    }
    labels, post = None, "NONE"
    if loss in ("Logloss", "CrossEntropy"):
        labels, post = ["0", "1"], "LOGISTIC"
    elif loss == "MultiClass":
        labels, post = [str(k) for k in range(n_sums)], "SOFTMAX"
    elif loss not in _RAW:
        raise ValueError("loss_function %s cannot be exported; these can: %s" % (loss, LOSSES))
    expected = model.predict(given, prediction_type="Probability" if labels else "RawFormulaVal")
    expected = numpy.asarray(expected, float).reshape(len(rows), -1).tolist()
    if labels and len(getattr(model, "classes_", [])) == len(labels):
        labels = [str(c) for c in model.classes_]
    write(
        folder,
        trees,
        labels,
        rows,
        expected,
        features,
        more,
        tolerance,
        post=post,
        base=bias,
        nan_yes=nan_yes,
        what="model of CatBoost",
    )
