"""scikit-learn's multi-layer perceptrons, behind scalers or not: a few operators of ONNX in float32."""

from . import folder as mf
from .trees import manifest, name_of, rows_of

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": None}


def _affine(step):
    """(x - shift) / scale of a scaler."""
    import numpy

    kind, n = type(step).__name__, getattr(step, "n_features_in_", 0)
    get = lambda name, default: (
        numpy.full(n, default) if getattr(step, name, None) is None else getattr(step, name)
    )
    if kind == "StandardScaler":
        return get("mean_", 0.0), get("scale_", 1.0)
    if kind == "RobustScaler":
        return get("center_", 0.0), get("scale_", 1.0)
    if kind == "MaxAbsScaler" and not getattr(step, "clip", False):
        return numpy.zeros(n), step.scale_
    if kind == "MinMaxScaler" and not step.clip:
        return -step.min_ / step.scale_, 1 / step.scale_
    raise TypeError(
        "a network behind %s cannot be exported; known are StandardScaler, RobustScaler, MaxAbsScaler and"
        " MinMaxScaler, without clip" % kind
    )


def _forward(x, scalers, layers, activation, softmax):
    """What the written network says, in float64."""
    import numpy

    for shift, scale in scalers:
        x = (x - shift) / scale
    for k, (w, b) in enumerate(layers):
        x = x @ w + b
        if k == len(layers) - 1 or activation == "identity":
            continue
        if activation == "relu":
            x = numpy.maximum(x, 0)
        else:
            x = numpy.tanh(x) if activation == "tanh" else 0.5 + 0.5 * numpy.tanh(x / 2)
    if softmax:
        x = numpy.exp(x - x.max(1, keepdims=True))
        x = x / x.sum(1, keepdims=True)
    return x


def export_mlp(whole, before, model, features, X, folder, tolerance=1e-6, **more):
    """MLPClassifier and MLPRegressor. A network takes no missing values: golden_rows(X, nan=False)."""
    import numpy

    if not hasattr(model, "coefs_"):
        raise ValueError("the %s is not trained" % type(model).__name__)
    classifier = type(model).__name__.endswith("Classifier")
    scalers = [_affine(s) for s in before if s not in (None, "passthrough")]
    layers = [
        (numpy.asarray(w, float), numpy.asarray(b, float)) for w, b in zip(model.coefs_, model.intercepts_)
    ]
    labels = [str(c) for c in model.classes_] if classifier else None
    if classifier and model.out_activation_ == "logistic":
        if len(labels) != 2:
            raise ValueError("MLPClassifier with several labels for one row cannot be exported")
        w, b = layers[-1]  # the logistic function of z is the second of softmax(0, z)
        layers[-1] = numpy.hstack([0 * w, w]), numpy.hstack([0 * b, b])
    names = getattr(whole, "feature_names_in_", None)
    rows = rows_of(X, features, None if names is None else list(names), whole.n_features_in_)
    given = numpy.array(rows, float)
    if not numpy.isfinite(given).all():
        raise ValueError("a network takes no missing values: golden_rows(X, nan=False)")
    if names is not None:
        import pandas

        given = pandas.DataFrame(given, columns=list(names))
    expected = numpy.asarray(whole.predict_proba(given) if classifier else whole.predict(given), float)
    expected = expected.reshape(len(rows), -1)
    tolerance = tolerance * max(1.0, float(numpy.abs(expected).max()))
    got = _forward(numpy.array(rows, float), scalers, layers, model.activation, classifier)
    if not numpy.abs(got - expected).max() <= tolerance:
        raise ValueError(
            "this %s cannot be exported: the written network says something else" % type(model).__name__
        )
    nodes, tensors, at = [], [], "X"

    def add(op, *values, **attributes):
        nonlocal at
        inputs, out = [at], "t%d" % len(nodes)
        for v in values:
            inputs.append("w%d" % len(tensors))
            v = numpy.asarray(v, numpy.float32)
            tensors.append(mf.tensor(inputs[-1], v.shape, v.reshape(-1).tolist()))
        nodes.append((op, inputs, out, attributes))
        at = out

    for shift, scale in scalers:
        add("Sub", shift)
        add("Div", scale)
    for k, (w, b) in enumerate(layers):
        add("Gemm", w, b)
        if k < len(layers) - 1 and ACTIVATIONS[model.activation]:
            add(ACTIVATIONS[model.activation])
    if classifier:
        add("Softmax", axis=1)
    output = "probabilities" if classifier else "score"
    nodes[-1] = (*nodes[-1][:2], output, nodes[-1][3])
    n_out = expected.shape[1]
    onnx = mf.model(
        [mf.node(op, inputs, [out], **attributes) for op, inputs, out, attributes in nodes],
        tensors,
        [mf.value_info("X", ["N", len(rows[0])])],
        [mf.value_info(output, ["N", n_out])],
        [("", 13)],
    )
    outputs = [mf.port(output, ["N", n_out], **({"classes": labels} if labels else {}))]
    lines = [x + [float(v) for v in y] for x, y in zip(rows, expected)]
    more = manifest(name_of(folder), features, outputs, more)
    mf.write_table(folder, onnx, more, list(features), ["out%d" % k for k in range(n_out)], lines, tolerance)
