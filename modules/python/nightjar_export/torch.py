"""PyTorch, by its own export to ONNX."""

from . import folder as mf
from .trees import name_of


def export_torch(network, inputs, folder, features=None, output="score", tolerance=1e-5, **more):
    """A torch module in eval mode; inputs: {name: tensor}, first axis the golden rows (float32), in the order
    of forward(). The operators that the built-in engine knows are in modules/kit/model/ops.c; others need
    ONNX Runtime."""
    import io
    import torch

    network = network.eval()
    with torch.no_grad():
        expected = network(*inputs.values())
    expected = expected.reshape(len(expected), -1)
    out = io.BytesIO()
    axes = {name: {0: "N"} for name in list(inputs) + [output]}
    arguments = dict(opset_version=13, input_names=list(inputs), output_names=[output], dynamic_axes=axes)
    try:
        torch.onnx.export(network, tuple(inputs.values()), out, dynamo=False, **arguments)
    except TypeError:  # before torch 2.5
        torch.onnx.export(network, tuple(inputs.values()), out, **arguments)
    rows = len(expected)
    ports = [mf.port(name, ["N"] + list(x.shape[1:])) for name, x in inputs.items()]
    tensors = [(name, "float32", list(x.shape), x.reshape(-1).tolist()) for name, x in inputs.items()]
    tensors.append((output, "float32", [rows, expected.shape[1]], expected.reshape(-1).tolist()))
    manifest = dict(
        {
            "name": name_of(folder),
            "version": "1",
            "licence": "",
            "inputs": ports,
            "features": features,
            "outputs": [mf.port(output, ["N", expected.shape[1]])],
        },
        **more
    )
    mf.write_tensors(folder, out.getvalue(), manifest, rows, tensors, tolerance)
