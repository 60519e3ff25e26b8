"""scikit-learn: decisions are equal, not nearly so. It compares with float64 thresholds, so each threshold is
the largest float32 that goes the same way, through the scalers of a pipeline, too."""

import math
import struct
import warnings

from . import folder as mf
from .mlp import export_mlp
from .trees import is_nan, rows_of, sum_of, write

MAX = 3.4028234663852886e38  # of float32
SKLEARN = (
    "RandomForest, ExtraTrees, DecisionTree, GradientBoosting and HistGradientBoosting, each as Classifier"
    " and Regressor, alone or in a Pipeline behind StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler"
    " and SimpleImputer; MLPClassifier and MLPRegressor behind the scalers"
)


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
                getattr(s, "add_indicator", False) or not is_nan(s.missing_values)
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
    """Forests, single trees, both kinds of gradient boosting and perceptrons, in a pipeline with scalers or
    not (SKLEARN lists them). Golden outputs: predict_proba of classifiers, predict of regressors."""
    import numpy

    whole, before = model, []
    if type(model).__name__ == "Pipeline":
        before, model = [s for _, s in model.steps[:-1]], model.steps[-1][1]
    kind = type(model).__name__
    if kind in ("MLPClassifier", "MLPRegressor"):
        return export_mlp(whole, before, model, features, X, folder, tolerance, **more)
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
    rows = rows_of(
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
                [a - b for a, b in zip(r, sum_of(trees, row, n_sums, "BRANCH_LEQ", nan_yes))]
                for r, row in zip(raw.tolist(), rows)
            ],
            kind,
        )
    write(
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
