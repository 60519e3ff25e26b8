"""Trains small models and exports them; the caller lets nightjar check the folders. usage: check_export.py FOLDER sklearn|xgboost|torch"""
import glob
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


NAMES = ["f%d" % k for k in range(6)]


def sklearn(folder):
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
    x, y = data(1)
    forest = RandomForestClassifier(40, max_depth=8, random_state=1).fit(x, y)
    t = numpy.concatenate([e.tree_.threshold[e.tree_.feature >= 0] for e in forest.estimators_])
    f = numpy.concatenate([e.tree_.feature[e.tree_.feature >= 0] for e in forest.estimators_])
    export_model.export_sklearn(forest, NAMES, on_thresholds(t, f, 64, 6, numpy.random.RandomState(3)), os.path.join(folder, "sklearn_classifier"))
    export_model.export_sklearn(ExtraTreesRegressor(30, max_depth=6, random_state=1).fit(x, x[:, 0] * x[:, 1]), NAMES, x[:64], os.path.join(folder, "sklearn_regressor"))


def xgboost(folder):
    import xgboost
    rng, (x, y) = numpy.random.RandomState(3), data(1)
    for name, labels, objective in (("binary", y > 0, "binary:logistic"), ("classes", y, "multi:softprob"), ("regression", x[:, 0] ** 2, "reg:squarederror")):
        parameters = {"objective": objective, "max_depth": 4, "seed": 1, "base_score": 0.5, **({"num_class": 3} if name == "classes" else {})}
        booster = xgboost.train(parameters, xgboost.DMatrix(x, labels), 20)
        golden = x[:64].copy()
        golden[rng.uniform(size=golden.shape) < 0.1] = numpy.nan
        export_model.export_xgboost(booster, NAMES, golden, os.path.join(folder, "xgboost_" + name))
        if name == "binary":  # saved in XGBoost's own formats and read again, as models are handed on
            for ending in ("ubj", "json"):
                path = os.path.join(folder, "saved." + ending)
                booster.save_model(path)
                again = xgboost.Booster(model_file=path)
                os.remove(path)
                export_model.export_xgboost(again, NAMES, golden, os.path.join(folder, "xgboost_from_" + ending))
    for path in sorted(glob.glob(os.path.join(os.environ.get("NIGHTJAR_SHARED") or "none", "real", "models", "*.ubj"))):  # real ones, as published
        booster = xgboost.Booster(model_file=path)
        names = booster.feature_names or ["f%d" % k for k in range(booster.num_features())]
        golden = rng.lognormal(0, 3, (64, len(names))).astype(numpy.float32) * rng.choice([-1, 1], (64, len(names)))
        golden[rng.uniform(size=golden.shape) < 0.1] = numpy.nan
        export_model.export_xgboost(booster, names, golden, os.path.join(folder, os.path.splitext(os.path.basename(path))[0]))


def torch(folder):
    import torch
    from torch import nn
    torch.manual_seed(5)

    class Stamps(nn.Module):
        """Stamps as [N, 63, 63, 3] and numbers beside them, as nightjar's modules feed them."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 24, 1),
                                      nn.BatchNorm2d(24), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.dense = nn.Sequential(nn.Linear(24 + 5, 16), nn.Tanh(), nn.Linear(16, 1), nn.Sigmoid())

        def forward(self, triplets, features):
            return self.dense(torch.cat([self.conv(triplets.permute(0, 3, 1, 2)), features], 1))

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3), nn.Softmax(-1))

        def forward(self, x):
            return self.layers(x)

    stamps = Stamps()
    stamps.train()
    for _ in range(3):  # so that the running means of the normalisation are not 0 and 1
        stamps(torch.randn(8, 63, 63, 3), torch.randn(8, 5))
    export_model.export_torch(stamps, {"triplets": torch.randn(32, 63, 63, 3) * 0.1, "features": torch.randn(32, 5)}, os.path.join(folder, "torch_stamps"), features=NAMES[:5])
    export_model.export_torch(Dense(), {"x": torch.randn(64, 6)}, os.path.join(folder, "torch_dense"), features=NAMES, output="probabilities")


if __name__ == "__main__":
    for x in (0.1, -0.1, 1e-46, -1e-46, 3.0, -1e30):
        assert mf.float32_down(x) <= x and float(numpy.nextafter(numpy.float32(mf.float32_down(x)), numpy.float32(numpy.inf))) > x
    {"sklearn": sklearn, "xgboost": xgboost, "torch": torch}[sys.argv[2]](sys.argv[1])
