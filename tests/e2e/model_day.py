#!/usr/bin/env python3
"""The day of who has a trained model: a folder by one call, a run by a section of settings, and of 5,000
simulated alerts every score is that of the framework's own predict, within 1e-6."""

import importlib, os, subprocess, sys, warnings
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, needs, nightjar, ok, skip

needs("numpy", "pandas", "pyarrow")
sys.path.insert(0, f"{ROOT}/modules/python")
os.environ.update(NIGHTJAR=os.path.abspath(NIGHTJAR))
import numpy as np
import nightjar as nj
import nightjar_export as export

FEATURES = ["mag", "mag_err", "rb", "drb", "ndethist", "mag - 2 * mag_err", "coalesce(rb, -1) * mag"]
ALERTS = 5000


def get(name, *words):
    """The framework, by pip where the tests have a Python of their own; None: it is not to be had."""
    try:
        return importlib.import_module(name)
    except ImportError:
        pass
    if not sys.prefix.startswith(os.path.join(ROOT, "build")):
        return None
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *words]
    subprocess.run(command, capture_output=True, timeout=300)
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def night():
    """The features of each alert, as float32, with holes where rb was made null."""
    r = nightjar("simulate", "-q", "-n", ALERTS, "-o", "night.tar")
    ok(r.returncode == 0, "a night", r.stderr)
    table = nj.run("night.tar", modules="nalerthist", form="pandas")
    c = {k: table[k].to_numpy(float) for k in ("mag", "mag_err", "rb", "drb", "ndethist")}
    x = [*c.values(), c["mag"] - 2 * c["mag_err"], np.where(np.isnan(c["rb"]), -1, c["rb"]) * c["mag"]]
    return table["candid"].tolist(), np.stack(x, 1).astype(np.float32)


def one(name, model, x, ids, of, nan=True, tolerance=1e-6):
    folder = os.path.abspath(name)
    export.export(model, FEATURES, export.golden_rows(x, nan=nan), folder)
    settings = {"m.kind": "model", "m.model": folder, "m.missing": "nan"}
    got = nj.run("night.tar", modules="m", settings=settings, form="pandas")
    column = [c for c in got.columns if c.startswith("m.") and c != "m.reason"][-1]
    ok(got["candid"].tolist() == ids, f"{name}: the same alerts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM and others about names of features
        want = np.asarray(of(x), float)
    worst = np.abs(got[column].to_numpy(float) - want).max()
    ok(worst <= tolerance, f"{name}: {len(ids)} scores of the framework (within {worst:.1e})", worst)


def all_of_them():
    ids, x = night()
    y = (x[:, 0] + 2 * x[:, 2] + np.sin(x[:, 4]) > np.median(x[:, 0] + 2 * x[:, 2])).astype(int)
    second = lambda model: lambda x: model.predict_proba(x.astype(float))[:, 1]  # a scaler's sums in float64
    train, held = slice(0, 3000), slice(3000, None)
    if get("sklearn", "scikit-learn"):
        from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        for name, model in (
            ("forest", RandomForestClassifier(60, max_depth=12, random_state=1)),
            ("boosting", GradientBoostingClassifier(n_estimators=40, random_state=1)),
            ("hist", HistGradientBoostingClassifier(max_iter=60, random_state=1)),
            (
                "scaled",
                make_pipeline(StandardScaler(), RandomForestClassifier(30, max_depth=9, random_state=1)),
            ),
        ):
            model.fit(x[train], y[train])
            one(name, model, x, ids, second(model), nan=name != "boosting")  # that one takes no NaN
    else:
        skip("scikit-learn", "not to be had")
    xgb = get("xgboost", "--no-deps", "xgboost-cpu")
    if xgb:
        model = xgb.XGBClassifier(n_estimators=400, early_stopping_rounds=5, learning_rate=0.3, n_jobs=1)
        model.fit(x[train], y[train], eval_set=[(x[held], y[held])], verbose=False)
        ok(model.best_iteration < 399, "XGBoost stopped early", model.best_iteration)
        one("xgboost", model, x, ids, second(model))  # it sums in float32
    else:
        skip("XGBoost", "not to be had")
    lgb = get("lightgbm", "--no-deps", "lightgbm")
    if lgb:
        model = lgb.LGBMClassifier(n_estimators=60, verbose=-1, n_jobs=1).fit(x[train], y[train])
        one("lightgbm", model, x, ids, second(model))
    else:
        skip("LightGBM", "not to be had")
    cb = get("catboost", "--no-deps", "catboost", "six")
    if cb:
        model = cb.CatBoostClassifier(iterations=60, verbose=0, thread_count=1, allow_writing_files=False)
        model.fit(x[train], y[train])
        one("catboost", model, x, ids, second(model))
    else:
        skip("CatBoost", "not to be had")


if SANITIZED:
    skip("a day with a trained model", "it is of the release build")
    done()
with Folder():
    all_of_them()
done()
