"""Exports a trained model to a folder that nightjar runs: model.onnx, manifest.json, golden rows.

    from nightjar_export import export, golden_rows
    export(forest, ["g_amplitude", ...], golden_rows(X), "models/mine", licence="MIT")

then `nightjar model check models/mine`, and in the configuration `[module.mine] kind = model`,
`model = mine`.

The golden outputs are what the model's own predict_proba or predict says of X, never what the exported trees
say; the trees are then held against them, and a model that cannot be exported so that both agree is a
ValueError (TypeError: not a kind of model that is known), never a folder. X are the golden inputs: 32 rows or
more, real ones and some close to the thresholds."""

from .catboost import export_catboost
from .lightgbm import export_lightgbm
from .sklearn import export_sklearn
from .torch import export_torch
from .xgboost import export_xgboost

__all__ = [
    "export",
    "export_catboost",
    "export_lightgbm",
    "export_sklearn",
    "export_torch",
    "export_xgboost",
    "golden_rows",
]


def export(model, features, X, folder, **more):
    """By the library that the model is of. PyTorch: export_torch, whose inputs have names."""
    family = type(model).__module__.split(".")[0]
    known = {
        "sklearn": export_sklearn,
        "xgboost": export_xgboost,
        "lightgbm": export_lightgbm,
        "catboost": export_catboost,
    }
    if family not in known:
        raise TypeError(
            "%s.%s: models of %s are known; PyTorch: export_torch; others: convert to ONNX, then"
            " `nightjar model new`" % (type(model).__module__, type(model).__name__, ", ".join(known))
        )
    return known[family](model, features, X, folder, **more)


def golden_rows(X, n=64, nan=True, seed=1):
    """Rows for an export: typical ones of X, and ones with an extreme value, a zero, and (nan) a missing one
    in each feature, and in all."""
    import numpy

    X = numpy.asarray(X.values if hasattr(X, "values") else X, numpy.float32)
    rng = numpy.random.RandomState(seed)
    typical = X[rng.permutation(len(X))[:n]]
    odd = []
    for value in (1e30, -1e30, 0.0) + ((numpy.nan,) if nan else ()):
        odd.append(numpy.full(X.shape[1], value))
        for k in range(X.shape[1]):
            row = typical[k % len(typical)].copy()
            row[k] = value
            odd.append(row)
    return numpy.concatenate([typical, numpy.array(odd, numpy.float32)])
