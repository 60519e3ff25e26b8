"""LightGBM, from its own dump (JSON): it compares doubles with `<=`, so each threshold is the largest float32
that goes the same way."""

from . import folder as mf
from .trees import rows_of, write

ZERO = 1e-35  # what LightGBM takes for zero
OBJECTIVES = (
    "binary, multiclass, cross_entropy, regression, regression_l1, huber, fair, quantile, mape, lambdarank"
)


def _flat(node, nodes, nan_yes, output, weight):
    """A nested tree as a list; returned: the place of its root."""
    at = len(nodes)
    if "leaf_value" in node:
        if node.get("leaf_coeff"):
            raise ValueError("a model with linear trees cannot be exported")
        nodes.append((None, {output: weight * float(node["leaf_value"])}))
        return at
    if node["decision_type"] != "<=":
        raise ValueError("a model with categorical features cannot be exported")
    nodes.append(None)
    limit, left = float(node["threshold"]), bool(node["default_left"])
    missing = node["missing_type"]
    if missing == "Zero" and left != (0.0 <= limit):
        raise ValueError("zero_as_missing: trees of ONNX know NaN alone; train with NaN for what is missing")
    if (0.0 <= limit) if missing == "None" else left:
        nan_yes.add(at)
    yes = _flat(node["left_child"], nodes, nan_yes, output, weight)
    no = _flat(node["right_child"], nodes, nan_yes, output, weight)
    nodes[at] = (int(node["split_feature"]), mf.float32_down(limit), yes, no)
    return at


def export_lightgbm(model, features, X, folder, tolerance=1e-6, **more):
    """Boosters and their scikit-learn wrappers; OBJECTIVES lists the objectives. Golden outputs:
    predict_proba of classifiers, else predict; of the best round after early stopping, as predict does it."""
    import lightgbm
    import numpy

    wrapped = hasattr(model, "booster_")
    if not wrapped and not isinstance(model, lightgbm.Booster):
        raise TypeError(
            "%s.%s is no model of LightGBM: a Booster or one of its scikit-learn wrappers is wanted"
            % (type(model).__module__, type(model).__name__)
        )
    booster = model.booster_ if wrapped else model
    dump = booster.dump_model()
    objective, *words = dump.get("objective", "none").split()
    words = dict(w.split(":", 1) for w in words if ":" in w)
    known = booster.feature_name()
    rows = rows_of(X, features, None if known[0].startswith("Column_") else known, booster.num_feature())
    given = numpy.array(rows, dtype=float)
    expected = model.predict_proba(given) if hasattr(model, "predict_proba") else model.predict(given)
    expected = numpy.asarray(expected, float).reshape(len(rows), -1).tolist()
    n_sums = int(dump["num_tree_per_iteration"])
    infos = dump["tree_info"]
    weight = n_sums / len(infos) if dump.get("average_output") and infos else 1.0
    trees, nan_yes = [], set()
    for t, info in enumerate(infos):
        nodes, nan = [], set()
        _flat(info["tree_structure"], nodes, nan, t % n_sums, weight)
        trees.append(nodes)
        nan_yes |= {(t, i) for i in nan}
    if not trees:
        raise ValueError("the model has no trees")
    labels, post = None, "NONE"
    if objective == "binary":
        labels, post = ["0", "1"], "LOGISTIC"
        if float(words.get("sigmoid", 1)) != 1:
            raise ValueError("sigmoid = %s cannot be exported" % words["sigmoid"])
        if len(expected[0]) == 1:
            expected = [[1 - p, p] for p, in expected]
    elif objective == "multiclass":
        labels, post = [str(k) for k in range(n_sums)], "SOFTMAX"
    elif objective in ("cross_entropy", "xentropy"):
        post = "LOGISTIC"
    elif objective.split("_")[0] not in (
        "regression",
        "huber",
        "fair",
        "quantile",
        "mape",
        "lambdarank",
    ) or "sqrt" in dump.get("objective", ""):
        raise ValueError("objective %s cannot be exported; these can: %s" % (objective, OBJECTIVES))
    if labels and wrapped and len(getattr(model, "classes_", [])) == len(labels):
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
        nan_yes=nan_yes,
        what="model of LightGBM",
    )
