"""Trains small models and exports them; the caller lets nightjar check the folders.

usage: check_export.py FOLDER sklearn|xgboost|lightgbm|catboost|torch"""

import glob
import os
import sys
import warnings

import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "modules", "python"))
import nightjar_export as export_model
from nightjar_export import folder as mf


def data(seed, rows=400, columns=6):
    rng = numpy.random.RandomState(seed)
    x = rng.normal(size=(rows, columns)).astype(numpy.float32)
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0.3).astype(int) + (x[:, 3] > 1)


def on_thresholds(thresholds, feature, rows, columns, rng):
    """Rows whose values are thresholds, rounded to nearest: half of them lie on the wrong side if a threshold
    is not rounded down."""
    x = rng.normal(size=(rows, columns)).astype(numpy.float32)
    for r in range(rows):
        for k in range(0, len(thresholds), max(1, len(thresholds) // 8)):
            j = (k + 7 * r) % len(thresholds)
            x[r, feature[j]] = numpy.float32(thresholds[j])
    return x


NAMES = ["f%d" % k for k in range(6)]


def refused(kind, word, call, *args, **more):
    """The export must end in an error of that kind with the word in it, and leave no folder."""
    try:
        call(*args, **more)
    except kind as e:
        assert word in str(e), "%r is not in: %s" % (word, e)
        assert not os.path.exists(args[-1]), args[-1]
        return
    raise AssertionError("%s was exported" % args[-1])


def golden_is(folder, expected):
    """The golden outputs are those of the model, and not of what was made of it."""
    with open(os.path.join(folder, "golden.csv")) as f:
        table = numpy.array(
            [[float(v) for v in line.split(",")[-expected.shape[1] :]] for line in f.read().splitlines()[1:]]
        )
    assert numpy.array_equal(table, expected.astype(float)), folder


def sklearn(folder):
    from sklearn.ensemble import (
        ExtraTreesRegressor,
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        IsolationForest,
        RandomForestClassifier,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    place = lambda name: os.path.join(folder, "sklearn_" + name)
    x, y = data(1)
    z = x[:, 0] * x[:, 1]
    forest = RandomForestClassifier(40, max_depth=8, random_state=1).fit(x, y)
    t = numpy.concatenate([e.tree_.threshold[e.tree_.feature >= 0] for e in forest.estimators_])
    f = numpy.concatenate([e.tree_.feature[e.tree_.feature >= 0] for e in forest.estimators_])
    rng = numpy.random.RandomState(3)
    close = on_thresholds(t, f, 64, 6, rng)
    export_model.export_sklearn(forest, NAMES, close, place("classifier"))
    golden_is(place("classifier"), forest.predict_proba(close))
    export_model.export_sklearn(
        ExtraTreesRegressor(30, max_depth=6, random_state=1).fit(x, z), NAMES, x[:64], place("regressor")
    )
    export_model.export_sklearn(
        DecisionTreeClassifier(max_depth=5, random_state=1).fit(x, y), NAMES, x[:64], place("tree")
    )
    holes = x.copy()
    holes[rng.uniform(size=x.shape) < 0.1] = numpy.nan
    for name, model, target, rows in (
        ("boosting", GradientBoostingClassifier(n_estimators=20, random_state=1), y > 0, x),
        ("boosting_classes", GradientBoostingClassifier(n_estimators=10, random_state=1), y, x),
        (
            "boosting_exponential",
            GradientBoostingClassifier(n_estimators=10, loss="exponential", random_state=1),
            y > 0,
            x,
        ),
        ("boosting_zero", GradientBoostingClassifier(n_estimators=10, init="zero", random_state=1), y > 0, x),
        (
            "boosting_stopped",
            GradientBoostingClassifier(n_estimators=200, n_iter_no_change=3, random_state=1),
            y > 0,
            x,
        ),
        ("boosting_regressor", GradientBoostingRegressor(n_estimators=20, random_state=1), 1000 * z + 5e4, x),
        ("hist", HistGradientBoostingClassifier(max_iter=20, random_state=1), y > 0, holes),
        ("hist_classes", HistGradientBoostingClassifier(max_iter=10, random_state=1), y, holes),
        (
            "hist_stopped",
            HistGradientBoostingClassifier(
                max_iter=200, early_stopping=True, n_iter_no_change=3, random_state=1
            ),
            y > 0,
            holes,
        ),
        ("hist_regressor", HistGradientBoostingRegressor(max_iter=20, random_state=1), 1000 * z + 5e4, holes),
        (
            "scaled",
            make_pipeline(StandardScaler(), RandomForestClassifier(20, max_depth=8, random_state=1)),
            y,
            100 * x + 7,
        ),
        (
            "scaled_boosting",
            make_pipeline(
                StandardScaler(), "passthrough", GradientBoostingClassifier(n_estimators=10, random_state=1)
            ),
            y > 0,
            100 * x + 7,
        ),
        (
            "scaled_hist",
            make_pipeline(RobustScaler(), HistGradientBoostingClassifier(max_iter=10, random_state=1)),
            y > 0,
            holes,
        ),
        (
            "imputed",
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value=-1),
                MinMaxScaler(clip=True),
                RandomForestClassifier(20, max_depth=8, random_state=1),
            ),
            y,
            holes,
        ),
    ):
        model.fit(rows, target)
        golden = rows[:64].copy()
        if name == "scaled":  # the thresholds as they are outside of the scaler, to the nearest float32
            inner = [
                (int(i), v)
                for e in model[-1].estimators_
                for i, v in zip(e.tree_.feature, e.tree_.threshold)
                if i >= 0
            ]
            golden = on_thresholds(
                [v * model[0].scale_[i] + model[0].mean_[i] for i, v in inner],
                [i for i, _ in inner],
                64,
                6,
                rng,
            )
        export_model.export_sklearn(model, NAMES, golden, place(name))
        golden_is(
            place(name),
            (
                model.predict_proba(golden.astype(float))
                if hasattr(model, "predict_proba")
                else model.predict(golden.astype(float)).reshape(-1, 1)
            ),
        )

    export = export_model.export_sklearn
    refused(
        TypeError, "it knows RandomForest", export, LogisticRegression().fit(x, y), NAMES, x[:64], place("no")
    )
    refused(
        TypeError,
        "it knows RandomForest",
        export,
        IsolationForest(n_estimators=5).fit(x),
        NAMES,
        x[:64],
        place("no"),
    )
    refused(
        TypeError,
        "Normalizer",
        export,
        make_pipeline(Normalizer(), RandomForestClassifier(2)).fit(x, y),
        NAMES,
        x[:64],
        place("no"),
    )
    refused(
        ValueError,
        "loss = poisson",
        export,
        HistGradientBoostingRegressor(loss="poisson", max_iter=3).fit(x, y),
        NAMES,
        x[:64],
        place("no"),
    )
    refused(
        ValueError,
        "categorical",
        export,
        HistGradientBoostingClassifier(max_iter=20, categorical_features=[5]).fit(
            numpy.c_[x[:, :5], x[:, 0].round() + 5], y > 0
        ),
        NAMES,
        numpy.c_[x[:, :5], x[:, 0].round() + 5][:64],
        place("no"),
    )
    refused(
        ValueError,
        "depends on the row",
        export,
        GradientBoostingClassifier(n_estimators=3, init=LogisticRegression()).fit(x, y > 0),
        NAMES,
        x[:64],
        place("no"),
    )
    refused(
        ValueError,
        "several outputs",
        export,
        RandomForestClassifier(2).fit(x, numpy.c_[y, y > 0]),
        NAMES,
        x[:64],
        place("no"),
    )
    refused(ValueError, "5 names", export, forest, NAMES[:5], x[:64], place("no"))
    refused(ValueError, "no golden rows", export, forest, NAMES, x[:0], place("no"))
    refused(ValueError, "not trained", export, RandomForestClassifier(), NAMES, x[:64], place("no"))
    alone = RandomForestClassifier(3).fit(x, y * 0)
    refused(ValueError, "one class alone", export, alone, NAMES, x[:64], place("alone"))


def xgboost_kinds(folder, x, y, holes):
    """What differs from a plain booster: what its own predict says, or a refusal."""
    import xgboost

    place = lambda name: os.path.join(folder, "xgboost_" + name)
    export = export_model.export_xgboost
    rng = numpy.random.RandomState(7)
    noisy = ((y > 0) ^ (rng.uniform(size=len(y)) < 0.3)).astype(int)
    common = dict(max_depth=5, random_state=1, n_jobs=1)
    early = dict(n_estimators=100, learning_rate=0.5, early_stopping_rounds=4, **common)
    fit = lambda m, target: m.fit(x[:200], target[:200], eval_set=[(x[200:], target[200:])], verbose=False)
    stopped = fit(xgboost.XGBClassifier(**early), noisy)
    assert stopped.best_iteration + 1 < stopped.get_booster().num_boosted_rounds()
    for name, model in (
        ("stopped", stopped),
        ("stopped_classes", fit(xgboost.XGBClassifier(**early), (noisy + y) % 3)),
        ("stopped_regressor", fit(xgboost.XGBRegressor(**early), noisy * 10.0)),
        (
            "dart",
            xgboost.XGBClassifier(booster="dart", rate_drop=0.5, n_estimators=15, **common).fit(x, y > 0),
        ),
        ("base_score", xgboost.XGBClassifier(base_score=0.9, n_estimators=10, **common).fit(x, y > 0)),
        ("base_estimated", xgboost.XGBRegressor(n_estimators=10, **common).fit(x, x[:, 0] + 300)),
        ("classes_named", xgboost.XGBClassifier(n_estimators=5, **common).fit(x, y)),
        ("random_forest", xgboost.XGBRFClassifier(n_estimators=12, **common).fit(x, y)),
        (
            "probability",
            xgboost.XGBRegressor(objective="reg:logistic", n_estimators=10, **common).fit(x, y > 0),
        ),
        (
            "two_targets",
            xgboost.XGBRegressor(n_estimators=6, **common).fit(x, numpy.c_[x[:, 0], x[:, 1] + 9]),
        ),
    ):
        export(model, NAMES, holes, place(name))
        said = (
            model.predict_proba(holes)
            if hasattr(model, "predict_proba")
            else model.predict(holes).reshape(len(holes), -1)
        )
        golden_is(place(name), said)
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 5, "eta": 0.5},
        xgboost.DMatrix(x[:200], noisy[:200]),
        100,
        evals=[(xgboost.DMatrix(x[200:], noisy[200:]), "e")],
        early_stopping_rounds=4,
        verbose_eval=False,
    )
    best = booster.best_iteration + 1
    export(booster, NAMES, holes, place("rounds"), rounds=best)
    said = booster.predict(xgboost.DMatrix(holes), iteration_range=(0, best))
    golden_is(place("rounds"), numpy.array([[1 - float(p), float(p)] for p in said]))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        export(booster, NAMES, holes, place("all_rounds"))
    assert any("takes all of them" in str(w.message) for w in told), told
    said = booster.predict(xgboost.DMatrix(holes))
    golden_is(place("all_rounds"), numpy.array([[1 - float(p), float(p)] for p in said]))

    no = place("no")
    refused(
        ValueError,
        "missing = -999",
        export,
        xgboost.XGBClassifier(missing=-999, n_estimators=3).fit(x, y > 0),
        NAMES,
        holes,
        no,
    )
    refused(
        ValueError,
        "gblinear",
        export,
        xgboost.XGBClassifier(booster="gblinear", n_estimators=3).fit(x, y > 0),
        NAMES,
        holes,
        no,
    )
    refused(
        ValueError,
        "binary:logistic, ",
        export,
        xgboost.XGBRegressor(objective="count:poisson", n_estimators=3).fit(x, y),
        NAMES,
        holes,
        no,
    )
    refused(
        ValueError,
        "reg:gamma",
        export,
        xgboost.XGBRegressor(objective="reg:gamma", n_estimators=3).fit(x, y + 1),
        NAMES,
        holes,
        no,
    )
    refused(
        ValueError,
        "multi_output_tree",
        export,
        xgboost.XGBRegressor(multi_strategy="multi_output_tree", n_estimators=3).fit(x, x[:, :2]),
        NAMES,
        holes,
        no,
    )
    refused(
        ValueError,
        "multi:softmax",
        export,
        xgboost.train({"objective": "multi:softmax", "num_class": 3}, xgboost.DMatrix(x, y), 3),
        NAMES,
        holes,
        no,
    )
    refused(
        ValueError,
        "another order",
        export,
        xgboost.train({}, xgboost.DMatrix(x, y, feature_names=NAMES), 3),
        NAMES[::-1],
        holes,
        no,
    )
    refused(ValueError, "5 names", export, stopped, NAMES[:5], holes[:, :5], no)
    alone = xgboost.XGBClassifier(n_estimators=3).fit(holes, numpy.zeros(len(holes)))
    refused(ValueError, "one class alone", export, alone, NAMES, holes, no)
    refused(TypeError, "no model of XGBoost", export, object(), NAMES, holes, no)


def xgboost(folder):
    import xgboost

    rng, (x, y) = numpy.random.RandomState(3), data(1)
    golden = x[:64].copy()
    golden[rng.uniform(size=golden.shape) < 0.1] = numpy.nan
    xgboost_kinds(folder, x, y, golden)
    for name, labels, objective in (
        ("binary", y > 0, "binary:logistic"),
        ("classes", y, "multi:softprob"),
        ("regression", x[:, 0] ** 2, "reg:squarederror"),
    ):
        parameters = {
            "objective": objective,
            "max_depth": 4,
            "seed": 1,
            "base_score": 0.5,
            **({"num_class": 3} if name == "classes" else {}),
        }
        booster = xgboost.train(parameters, xgboost.DMatrix(x, labels), 20)
        export_model.export_xgboost(booster, NAMES, golden, os.path.join(folder, "xgboost_" + name))
        if name == "binary":  # saved in XGBoost's own formats and read again, as models are handed on
            for ending in ("ubj", "json"):
                path = os.path.join(folder, "saved." + ending)
                booster.save_model(path)
                again = xgboost.Booster(model_file=path)
                os.remove(path)
                export_model.export_xgboost(
                    again, NAMES, golden, os.path.join(folder, "xgboost_from_" + ending)
                )
    for path in sorted(
        glob.glob(os.path.join(os.environ.get("NIGHTJAR_SHARED") or "none", "real", "models", "*.ubj"))
    ):  # real ones, as published
        booster = xgboost.Booster(model_file=path)
        names = booster.feature_names or ["f%d" % k for k in range(booster.num_features())]
        golden = rng.lognormal(0, 3, (64, len(names))).astype(numpy.float32) * rng.choice(
            [-1, 1], (64, len(names))
        )
        golden[rng.uniform(size=golden.shape) < 0.1] = numpy.nan
        export_model.export_xgboost(
            booster, names, golden, os.path.join(folder, os.path.splitext(os.path.basename(path))[0])
        )


def lightgbm(folder):
    import lightgbm as lgb

    export, place = export_model.export_lightgbm, lambda name: os.path.join(folder, "lightgbm_" + name)
    x, y = data(3)
    holes = x.copy()
    holes[numpy.random.RandomState(4).uniform(size=x.shape) < 0.1] = numpy.nan
    quiet = dict(verbose=-1, n_jobs=1, random_state=1)
    z = x[:, 0] * x[:, 1]
    for name, model, target, rows in (
        ("binary", lgb.LGBMClassifier(n_estimators=30, **quiet), y > 0, x),
        ("missing", lgb.LGBMClassifier(n_estimators=30, **quiet), y > 0, holes),
        ("not_missing", lgb.LGBMClassifier(n_estimators=30, use_missing=False, **quiet), y > 0, holes),
        ("classes", lgb.LGBMClassifier(n_estimators=10, **quiet), y, holes),
        ("dart", lgb.LGBMClassifier(n_estimators=20, boosting_type="dart", **quiet), y > 0, x),
        ("regression", lgb.LGBMRegressor(n_estimators=30, **quiet), 1000 * z + 5e4, holes),
        ("ranks", lgb.LGBMRegressor(n_estimators=10, objective="mape", **quiet), z + 3, x),
        (
            "forest",
            lgb.LGBMClassifier(
                n_estimators=20, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **quiet
            ),
            y > 0,
            x,
        ),
    ):
        model.fit(rows, target)
        golden = export_model.golden_rows(rows)
        export_model.export(model, NAMES, golden, place(name))
        if hasattr(model, "predict_proba"):
            golden_is(place(name), model.predict_proba(golden))
    stopped = lgb.LGBMClassifier(n_estimators=500, learning_rate=0.3, **quiet)
    stopped.fit(
        x[:200], (y > 0)[:200], eval_set=[(x[200:], (y > 0)[200:])], callbacks=[lgb.early_stopping(3)]
    )
    assert 0 < stopped.best_iteration_ < 500
    export(stopped, NAMES, export_model.golden_rows(x), place("stopped"))
    booster = lgb.train({"objective": "binary", **quiet}, lgb.Dataset(x, y > 0), 20)
    export(booster, NAMES, x[:64], place("booster"))
    count = lgb.LGBMRegressor(n_estimators=5, objective="poisson", **quiet).fit(x, y)
    refused(ValueError, "poisson", export, count, NAMES, x[:32], place("poisson"))
    zeros = numpy.where(x < 0.3, 0, x)
    none = lgb.LGBMClassifier(n_estimators=20, zero_as_missing=True, **quiet).fit(zeros, y > 0)
    try:  # right where zero goes the same way
        export(none, NAMES, zeros[:64], place("zero"))
    except ValueError as e:
        assert "zero_as_missing" in str(e)
    kinds = lgb.LGBMClassifier(n_estimators=5, min_data_per_group=1, cat_smooth=1, **quiet)
    codes = numpy.round(abs(3 * x))
    kinds.fit(codes, codes[:, 0] % 2 > 0, categorical_feature=[0])
    refused(ValueError, "categorical", export, kinds, NAMES, codes[:32], place("kinds"))
    refused(TypeError, "no model of LightGBM", export, object(), NAMES, x[:32], place("object"))
    refused(TypeError, "models of sklearn", export_model.export, object(), NAMES, x[:32], place("any"))


def catboost(folder):
    import catboost as cb

    export, place = export_model.export_catboost, lambda name: os.path.join(folder, "catboost_" + name)
    x, y = data(5)
    holes = x.copy()
    holes[numpy.random.RandomState(6).uniform(size=x.shape) < 0.1] = numpy.nan
    quiet = dict(verbose=0, thread_count=1, random_seed=1, allow_writing_files=False)
    z = x[:, 0] * x[:, 1]
    for name, model, target, rows in (
        ("binary", cb.CatBoostClassifier(iterations=30, depth=4, **quiet), y > 0, x),
        ("missing_low", cb.CatBoostClassifier(iterations=30, nan_mode="Min", **quiet), y > 0, holes),
        ("missing_high", cb.CatBoostClassifier(iterations=30, nan_mode="Max", **quiet), y > 0, holes),
        ("classes", cb.CatBoostClassifier(iterations=20, loss_function="MultiClass", **quiet), y, holes),
        ("regression", cb.CatBoostRegressor(iterations=30, **quiet), 1000 * z + 5e4, holes),
        (
            "lossguide",
            cb.CatBoostClassifier(iterations=20, grow_policy="Lossguide", max_leaves=9, **quiet),
            y > 0,
            holes,
        ),
        (
            "depthwise",
            cb.CatBoostClassifier(
                iterations=10, grow_policy="Depthwise", loss_function="MultiClass", **quiet
            ),
            y,
            x,
        ),
    ):
        model.fit(rows, target)
        golden = export_model.golden_rows(rows, nan=bool(numpy.isnan(rows).any()))
        export_model.export(model, NAMES, golden, place(name))
        if isinstance(model, cb.CatBoostClassifier):
            golden_is(place(name), model.predict_proba(golden))
    stopped = cb.CatBoostClassifier(iterations=300, learning_rate=0.3, **quiet)
    stopped.fit(x[:200], (y > 0)[:200], eval_set=(x[200:], (y > 0)[200:]), early_stopping_rounds=5)
    assert stopped.tree_count_ < 300
    export(stopped, NAMES, export_model.golden_rows(x, nan=False), place("stopped"))
    count = cb.CatBoostRegressor(iterations=5, loss_function="Poisson", **quiet).fit(x, y)
    refused(ValueError, "Poisson", export, count, NAMES, x[:32], place("poisson"))
    kinds = cb.CatBoostClassifier(iterations=5, cat_features=[0], **quiet)
    text = [[str(int(abs(r[0]))), *r[1:]] for r in x.tolist()]
    kinds.fit(text, y > 0)
    refused(ValueError, "categorical", export, kinds, NAMES, x[:32], place("kinds"))
    refused(TypeError, "no model of CatBoost", export, object(), NAMES, x[:32], place("object"))


def torch(folder):
    import torch
    from torch import nn

    torch.manual_seed(5)

    class Stamps(nn.Module):
        """Stamps as [N, 63, 63, 3] and numbers beside them, as nightjar's modules feed them."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv2d(3, 16, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(16, 16, 3, padding=1, groups=16),
                nn.Conv2d(16, 24, 1),
                nn.BatchNorm2d(24),
                nn.LeakyReLU(0.1),
                nn.MaxPool2d(2),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
            )
            self.dense = nn.Sequential(nn.Linear(24 + 5, 16), nn.Tanh(), nn.Linear(16, 1), nn.Sigmoid())

        def forward(self, triplets, features):
            return self.dense(torch.cat([self.conv(triplets.permute(0, 3, 1, 2)), features], 1))

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3), nn.Softmax(-1)
            )

        def forward(self, x):
            return self.layers(x)

    stamps = Stamps()
    stamps.train()
    for _ in range(3):  # so that the running means of the normalisation are not 0 and 1
        stamps(torch.randn(8, 63, 63, 3), torch.randn(8, 5))
    export_model.export_torch(
        stamps,
        {"triplets": torch.randn(32, 63, 63, 3) * 0.1, "features": torch.randn(32, 5)},
        os.path.join(folder, "torch_stamps"),
        features=NAMES[:5],
    )
    export_model.export_torch(
        Dense(),
        {"x": torch.randn(64, 6)},
        os.path.join(folder, "torch_dense"),
        features=NAMES,
        output="probabilities",
    )


if __name__ == "__main__":
    for x in (0.1, -0.1, 1e-46, -1e-46, 3.0, -1e30, 1e300, -1e300):
        assert mf.float32_down(x) <= x
        with numpy.errstate(over="ignore"):
            assert float(numpy.nextafter(numpy.float32(mf.float32_down(x)), numpy.float32(numpy.inf))) > x
    {"sklearn": sklearn, "xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost, "torch": torch}[
        sys.argv[2]
    ](sys.argv[1])
