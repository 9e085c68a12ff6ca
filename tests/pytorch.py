#!/usr/bin/env python3
"""Rebuilds a model's decoder in PyTorch (NumPy, where PyTorch is not installed) and compares.

    elbo train --epochs 1
    elbo sample --arrays samples.safetensors
    python3 tests/pytorch.py runs/vae/model.safetensors samples.safetensors

It needs the Python package `safetensors`, and `torch` or `numpy`. Parameters are named as in PyTorch's
Sequential(Linear, ReLU, Linear, ...), and weights are stored (outputs, inputs) as in Linear, so that the decoder's
state dict loads as it is.
"""

import json
import sys

TOLERANCE = 1e-5


def description(path):
    """What elbo wrote about the model, from the metadata of its file."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["elbo"])


def decode_with_torch(model, samples, architecture):
    import torch
    from safetensors.torch import load_file

    tensors = load_file(model)
    decoder = {
        name.removeprefix("decoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("decoder.") and name != "decoder.log_variance"
    }
    activations = {
        "relu": torch.nn.ReLU,
        "tanh": torch.nn.Tanh,
        "sigmoid": torch.nn.Sigmoid,
        "softplus": torch.nn.Softplus,
        "identity": torch.nn.Identity,
    }
    widths = [architecture["latent"], *reversed(architecture["hidden"]), architecture["dimensions"]]
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(inputs, outputs), activations[architecture["activation"]]()]
    network = torch.nn.Sequential(*layers[:-1])
    network.load_state_dict(decoder)
    arrays = load_file(samples)
    with torch.no_grad():
        output = network(arrays["z"])
        mean = torch.sigmoid(output) if bernoulli(architecture) else output
    return "PyTorch", mean.numpy(), arrays["mean"].numpy()


def decode_with_numpy(model, samples, architecture):
    import numpy as np
    from safetensors.numpy import load_file

    tensors, arrays = load_file(model), load_file(samples)
    activations = {
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "softplus": lambda x: np.logaddexp(x, 0),
        "identity": lambda x: x,
    }
    x = arrays["z"]
    layers = len(architecture["hidden"]) + 1
    for layer in range(layers):
        x = x @ tensors[f"decoder.{2 * layer}.weight"].T + tensors[f"decoder.{2 * layer}.bias"]
        if layer < layers - 1:
            x = activations[architecture["activation"]](x)
    mean = activations["sigmoid"](x) if bernoulli(architecture) else x
    return "NumPy", mean, arrays["mean"]


def bernoulli(architecture):
    return architecture["likelihood"] == "bernoulli"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model, samples = sys.argv[1:]
    written = description(model)
    architecture = written["options"] | {"dimensions": written["shape"]["height"] * written["shape"]["width"]}
    try:
        name, theirs, ours = decode_with_torch(model, samples, architecture)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        name, theirs, ours = decode_with_numpy(model, samples, architecture)
    assert theirs.shape == ours.shape, (theirs.shape, ours.shape)
    difference = float(abs(theirs - ours).max())
    spread = float(ours.max() - ours.min())
    print(f"{name}: {len(ours)} images, largest difference {difference:.1e}, over values that span {spread:.2f}")
    if not difference <= TOLERANCE:
        sys.exit(f"expected at most {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
