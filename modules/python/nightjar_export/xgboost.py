"""XGBoost, from its own JSON: it compares float32 with `<`, kept as it is."""

import math
import warnings

from . import folder as mf
from .trees import is_nan, rows_of, write

OBJECTIVES = (
    "binary:logistic, binary:logitraw, multi:softprob (multi:softmax of an XGBClassifier), reg:logistic,"
    " reg:squarederror, reg:squaredlogerror, reg:absoluteerror, reg:pseudohubererror, rank:ndcg, rank:map,"
    " rank:pairwise"
)


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
    if not 0 < p < 1:
        raise ValueError(
            "base_score = %g has no logarithm of the odds: was it trained on one class alone?" % p
        )
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
    if missing is not None and not is_nan(float(missing)):
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

    rows = rows_of(X, features, booster.feature_names, booster.num_features())
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
    write(
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
