"""Trains small forests and exports them; the caller lets nightjar check the folders. usage: check_export.py FOLDER"""
import os
import sys

import numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import export_model
import model_folder as mf


def data(seed, rows=400, columns=6):
    rng = numpy.random.RandomState(seed)
    x = rng.normal(size=(rows, columns)).astype(numpy.float32)
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0.3).astype(int) + (x[:, 3] > 1)


def on_thresholds(thresholds, feature, rows, columns, rng):
    """Rows whose values are thresholds, rounded to nearest: half of them lie on the wrong side if a threshold is not rounded down."""
    x = rng.normal(size=(rows, columns)).astype(numpy.float32)
    for r in range(rows):
        for k in range(0, len(thresholds), max(1, len(thresholds) // 8)):
            j = (k + 7 * r) % len(thresholds)
            x[r, feature[j]] = numpy.float32(thresholds[j])
    return x


def main(folder):
    names, rng = ["f%d" % k for k in range(6)], numpy.random.RandomState(3)
    for x in (0.1, -0.1, 1e-46, -1e-46, 3.0, -1e30):
        assert mf.float32_down(x) <= x and float(numpy.nextafter(numpy.float32(mf.float32_down(x)), numpy.float32(numpy.inf))) > x
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
    x, y = data(1)
    forest = RandomForestClassifier(40, max_depth=8, random_state=1).fit(x, y)
    t = numpy.concatenate([e.tree_.threshold[e.tree_.feature >= 0] for e in forest.estimators_])
    f = numpy.concatenate([e.tree_.feature[e.tree_.feature >= 0] for e in forest.estimators_])
    export_model.export_sklearn(forest, names, on_thresholds(t, f, 64, 6, rng), os.path.join(folder, "sklearn_classifier"))
    export_model.export_sklearn(ExtraTreesRegressor(30, max_depth=6, random_state=1).fit(x, x[:, 0] * x[:, 1]), names, x[:64], os.path.join(folder, "sklearn_regressor"))
    try:
        import xgboost
    except ImportError:
        return
    for name, labels, objective in (("binary", y > 0, "binary:logistic"), ("classes", y, "multi:softprob"), ("regression", x[:, 0] ** 2, "reg:squarederror")):
        parameters = {"objective": objective, "max_depth": 4, "seed": 1, "base_score": 0.5, **({"num_class": 3} if name == "classes" else {})}
        booster = xgboost.train(parameters, xgboost.DMatrix(x, labels), 20)
        golden = x[:64].copy()
        golden[rng.uniform(size=golden.shape) < 0.1] = numpy.nan
        export_model.export_xgboost(booster, names, golden, os.path.join(folder, "xgboost_" + name))


if __name__ == "__main__":
    main(sys.argv[1])
