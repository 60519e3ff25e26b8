#!/usr/bin/env python3
"""The day of who has a trained model: a folder by one call, a run by a section of settings, and of 5,000
simulated alerts every score is that of the framework's own predict, within 1e-6."""

import importlib, os, subprocess, sys, warnings
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, needs, nightjar, ok, skip

needs("numpy", "pandas", "pyarrow")
sys.path.insert(0, f"{ROOT}/modules/python")
os.environ.update(NIGHTJAR=os.path.abspath(NIGHTJAR), NIGHTJAR_PYTHON=sys.executable)
os.environ["PYTHONPATH"] = f"{ROOT}/modules/python"
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


def one(name, model, x, ids, of, nan=True, tolerance=1e-6, missing="nan"):
    folder = os.path.abspath(name)
    export.export(model, FEATURES, export.golden_rows(x, nan=nan), folder)
    settings = {"m.kind": "model", "m.model": folder, "m.missing": missing}
    got = nj.run("night.tar", modules="m", settings=settings, form="pandas")
    column = [c for c in got.columns if c.startswith("m.") and c != "m.reason"][-1]
    ok(got["candid"].tolist() == ids, f"{name}: the same alerts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM and others about names of features
        want = np.asarray(of(x), float)
    worst = np.abs(got[column].to_numpy(float) - want).max()
    ok(worst <= tolerance, f"{name}: {len(ids)} scores of the framework (within {worst:.1e})", worst)


def networks(MLPClassifier, MLPRegressor, make_pipeline, StandardScaler, ids, x, y):
    """They take no missing values, and have none of these alerts either: rb comes in by another feature."""
    x = np.where(np.isnan(x), np.float32(-1), x)
    train, three = slice(0, 3000), y + (x[:, 0] > np.median(x[:, 0]))
    for name, model, of in (
        ("mlp", MLPClassifier((24, 12), max_iter=20, random_state=1), y),
        ("mlp3", MLPClassifier((16,), activation="tanh", max_iter=20, random_state=1), three),
        (
            "mlpr",
            MLPRegressor(hidden_layer_sizes=(16,), activation="logistic", max_iter=20, random_state=1),
            y,
        ),
    ):
        model = make_pipeline(StandardScaler(), model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is not at its end yet
            model.fit(x[train].astype(float), of[train])
        last = (lambda v, m=model: m.predict(v.astype(float))) if name == "mlpr" else None
        last = last or (lambda v, m=model: m.predict_proba(v.astype(float))[:, -1])
        one(name, model, x, ids, last, nan=False, missing="-1")


# Stamps as a network of the field sees them, each divided by its norm, for a Python that has torch.
KEEP = """
import os
import numpy as np
from nightjar import give, image, module

HERE = os.path.dirname(os.path.abspath(__file__))

@module(needs={k: image("stamp." + k) for k in ("science", "template", "difference")},
        gives={"kept": give("1", "1 when all three are whole; never none", type="u8")})
def keep(science, template, difference, batch):
    whole = np.zeros(batch.n, np.uint8)
    with open(HERE + "/stamps.bin", "ab") as f, open(HERE + "/ids.bin", "ab") as g:
        for i, planes in enumerate(zip(science.all(), template.all(), difference.all())):
            if any(p is None or p.shape != (63, 63) for p in planes):
                continue
            planes = [np.nan_to_num(p.astype(float), posinf=np.inf, neginf=-np.inf) for p in planes]
            squares = [(p * p).sum() for p in planes]
            if not all(np.isfinite(s) and s > 0 for s in squares):
                continue
            # a blank of -FLT_MAX, as some templates have: no float holds the norm, and all pixels become 0
            with np.errstate(over="ignore"):
                norms = [float(np.float32(np.sqrt(s))) for s in squares]
            f.write(np.stack([p / n for p, n in zip(planes, norms)], -1).astype(np.float32).tobytes())
            g.write(batch.id[i].tobytes())
            whole[i] = 1
    return whole
"""
NETWORK = """
import sys
import numpy as np
import torch
from torch import nn
sys.path.insert(0, sys.argv[1])
from nightjar_export import export_torch

class Stamps(nn.Module):
    def __init__(self):
        super().__init__()
        first = nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(3)
        self.conv = nn.Sequential(*first, nn.Conv2d(8, 12, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(12 * 16, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())

    def forward(self, triplets):
        return self.dense(self.conv(triplets.permute(0, 3, 1, 2)))

torch.manual_seed(1)
torch.set_num_threads(1)
x = torch.from_numpy(np.fromfile("stamps.bin", np.float32).reshape(-1, 63, 63, 3))
ids = np.fromfile("ids.bin", np.int64)
y = (x[:, 31, 31, 1] > x[:, 31, 31, 1].median()).float().reshape(-1, 1)  # is there anything in the template?
network, loss = Stamps(), nn.BCELoss()
steps = torch.optim.Adam(network.parameters(), 3e-3)
for step in range(60):
    some = torch.randint(0, len(x), (32,))
    steps.zero_grad()
    loss(network(x[some]), y[some]).backward()
    steps.step()
network.eval()
export_torch(network, {"triplets": x[:64]}, "cnn", output="score", tolerance=1e-6)
with torch.no_grad():
    score = torch.cat([network(part) for part in x.split(256)]).reshape(-1).double().numpy()
np.savez("cnn.npz", ids=ids, score=score)
"""


def network_of_stamps(ids):
    """A convolutional network of PyTorch, which a Python beside this one may have (Debian: python3-torch)."""
    python = next((p for p in (sys.executable, "/usr/bin/python3") if has_torch(p)), None)
    if not python:
        skip("a network of stamps", "no Python with torch (apt-get install python3-torch)")
        return
    with open("keep.py", "w", encoding="utf-8") as f:
        f.write(KEEP)
    words = ["run", "-q", "-j", 1, "-m", "keep", "-D", "module.keep.sandbox=0", "--module-path", "keep.py"]
    r = nightjar(*words, "-o", "null:", "night.tar")
    ok(r.returncode == 0 and not r.stderr, "a module in Python keeps the stamps", r.stderr)
    r = subprocess.run(
        [python, "-W", "ignore", "-c", NETWORK, f"{ROOT}/modules/python"], capture_output=True, text=True
    )
    if not ok(r.returncode == 0, "a network of PyTorch: trained and exported", r.stderr):
        return
    want = np.load("cnn.npz")
    ok(len(want["ids"]) > 0.9 * ALERTS, "it has scores of the framework", len(want["ids"]))
    settings = {
        "m.kind": "model",
        "m.model": os.path.abspath("cnn"),
        "m.stamps": "science, template, difference",
    }
    got = nj.run("night.tar", modules="m", settings=settings, form="pandas")
    ok(got["candid"].tolist() == ids, "cnn: the same alerts")
    column = [c for c in got.columns if c.startswith("m.") and c != "m.reason"][-1]
    mine = got.set_index("candid")[column].reindex(want["ids"]).to_numpy(float)
    worst = np.abs(mine - want["score"]).max()
    ok(worst <= 1e-6, f"cnn: {len(mine)} scores of the framework (within {worst:.1e})", worst)
    ok(want["score"].std() > 0.05, "and it has learnt something", want["score"].std())


def has_torch(python):
    return subprocess.run([python, "-c", "import torch, numpy"], capture_output=True).returncode == 0


def all_of_them():
    ids, x = night()
    y = (x[:, 0] + 2 * x[:, 2] + np.sin(x[:, 4]) > np.median(x[:, 0] + 2 * x[:, 2])).astype(int)
    second = lambda model: lambda x: model.predict_proba(x.astype(float))[:, 1]  # a scaler's sums in float64
    train, held = slice(0, 3000), slice(3000, None)
    if get("sklearn", "scikit-learn"):
        from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.neural_network import MLPClassifier, MLPRegressor
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
        networks(MLPClassifier, MLPRegressor, make_pipeline, StandardScaler, ids, x, y)
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
    return ids


if SANITIZED:
    skip("a day with a trained model", "it is of the release build")
    done()
with Folder():
    network_of_stamps(all_of_them())
done()
