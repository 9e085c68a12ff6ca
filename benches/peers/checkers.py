"""Compares the gradient checker with torch.autograd.gradcheck and jax.test_util.check_grads, where they are installed.

    python3 benches/peers/checkers.py

The functions and the wrong gradients are those of tests/check/cases.rs, in ten trials each; every checker has its own
defaults, in float64. Prints how many right gradients each refuses, and how many wrong ones it passes, and writes nothing.
"""

import hashlib
import struct
import subprocess
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TRIALS = 10
RIPPLE = 9161.005264500758
FORTY = [0.1 + 0.05 * i for i in range(40)]


def near(*x):
    return lambda trial: np.array(x) * (1 + trial / 1000)


def exactly(*x):
    return lambda trial: np.array(x)


def dropped(x):
    """0 or 2, from the bits of each number."""
    bits = [hashlib.sha256(struct.pack("d", v)).digest()[0] % 2 for v in np.asarray(x).ravel()]
    return 2.0 * np.array(bits).reshape(np.shape(x))


def kept():
    """tanh, with the slope at the first point that its backward pass sees."""
    store = []

    def rule(x, y, g):
        if not store:
            store.append(1 - y * y)
        return g * store[0]

    return rule


def one_of_forty(x, y, g):
    return g * y * (1 - y) * np.where(np.arange(len(g)) == 17, 1.01, 1.0)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def elu_slope(x):
    return np.where(x > 0, 1.0, np.exp(np.minimum(x, 0)))


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1 / (1 + e), e / (1 + e))


def ripples(x):
    return x + 0.1 / RIPPLE * np.sin(RIPPLE * x)


def ripples_slope(x):
    return 1 + 0.1 * np.cos(RIPPLE * x)


def right_cases(m):
    """Names, points and functions, from the operations `m` of a framework."""
    own = m.operation
    return [
        ("sigmoid at 40", near(40.0), m.sigmoid),
        ("sigmoid at ±40", near(40.0, -40.0, 0.3), m.sigmoid),
        ("sigmoid(x + 38) halved", near(0.5, 1.0), lambda x: m.sigmoid(x + 38.0) * 0.5),
        ("softmax of 0, -40, -100", near(0.0, -40.0, -100.0), m.softmax),
        ("softmax with a peak", near(0.3, 30.0, -1.0), m.softmax),
        ("sum of a softmax", near(0.3, -1.0, 2.0), lambda x: m.softmax(x).sum()),
        ("log-softmax with a peak", near(0.3, 20.0, -1.0), m.log_softmax),
        ("exp at 350", near(350.0), m.exp),
        ("ELU at its corner", exactly(0.0), own(elu, lambda x, y, g: g * elu_slope(x))),
        (
            "Huber at its corner",
            exactly(1.0),
            own(lambda x: np.where(x < 1, x * x / 2, x - 0.5), lambda x, y, g: g * np.minimum(x, 1.0)),
        ),
        (
            "relu(x - 1)² + x at its corner",
            exactly(1.0),
            own(
                lambda x: np.maximum(x - 1, 0) ** 2 + x,
                lambda x, y, g: g * (2 * np.maximum(x - 1, 0) + 1),
            ),
        ),
        ("relu near its kink", near(1e-5, -1e-4, 1.0), m.relu),
        ("ripples", near(-2.958928974592051), lambda x: x + m.sin(x * RIPPLE) * (0.1 / RIPPLE)),
        ("sin at a million", near(1e6 + 0.3), m.sin),
        ("ln at 1e-12", near(1e-12), m.log),
        ("sqrt at 1e-100", near(1e-100), m.sqrt),
        ("tanh of 10⁷ x", near(3e-8, -1e-7), lambda x: m.tanh(x * 1e7)),
        ("a bell of width 10⁻⁶", near(5e-7), lambda x: m.exp(-((x * 1e6) ** 2))),
        ("tanh + 10⁶", near(0.5, -1.0), lambda x: m.tanh(x) + 1e6),
        ("slopes 10⁶ and 10⁻⁴ in one array", near(0.3), lambda x: m.concatenate([x * 1e6, x * 1e-4])),
        ("10⁻³⁰ times a sum of squares", near(0.5, -1.0), lambda x: (x**2).sum() * 1e-30),
    ]


def wrong_cases(m):
    own = m.operation

    def scaled(factor):
        return own(lambda x: x, lambda x, y, g: g * factor)

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    def mixing(x, y, g):
        return g + (np.abs(g).sum() - np.abs(g).max()) * 0.1

    mask = own(lambda x: x * dropped(x), lambda x, y, g: g * dropped(x))
    return [
        ("gradient × 1.0005", near(0.3, -1.2), own(np.tanh, lambda x, y, g: g * (1 - y * y) * 1.0005)),
        (
            "cotangent ignored",
            near(0.3, -1.2),
            lambda x: own(lambda x: x, lambda x, y, g: np.ones_like(g))(m.exp(x)).sum(),
        ),
        ("softmax with gradient 0", near(0.3, -1.2, 0.5), own(softmax, lambda x, y, g: g * 0)),
        ("one entry of forty off by 1 %", near(*FORTY), own(sigmoid, one_of_forty)),
        ("sum × (1 + 10⁻⁴)", near(0.3, -1.2), lambda x: scaled(1 + 1e-4)(x).sum()),
        (
            "slope rounded to f32",
            near(0.3, -1.2),
            own(np.exp, lambda x, y, g: g * y.astype(np.float32).astype(np.float64)),
        ),
        ("loss × 10⁻⁶ with gradient 0", near(0.3, -1.2), lambda x: scaled(0.0)(x**2).sum() * 1e-6),
        ("not linear in the cotangent", near(0.3, -1.2, 0.7), own(lambda x: x, mixing)),
        ("ripples × 1.0001", near(-2.958928974592051), own(ripples, lambda x, y, g: g * ripples_slope(x) * 1.0001)),
        ("ripples with slope 1", near(0.3), own(ripples, lambda x, y, g: g)),
        (
            "ELU at its corner × (1 + 10⁻⁶)",
            exactly(0.0),
            own(elu, lambda x, y, g: g * elu_slope(x) * (1 + 1e-6)),
        ),
        ("mask by the bits of x, 1 entry", near(0.7), mask),
        ("mask by the bits of x, 40 entries", near(*FORTY), mask),
        ("slope kept from the first call", near(0.3, -1.2), lambda: own(np.tanh, kept())),
        (
            "whole gradient to tied maxima",
            exactly(0.5, 0.5),
            own(lambda x: x.max(keepdims=True), lambda x, y, g: (x == y[0]) * g[0]),
        ),
        ("exp at 350 × 1.0005", near(350.0), own(np.exp, lambda x, y, g: g * y * 1.0005)),
        (
            "σ at -40 × 1.0005",
            near(40.0, -40.0, 0.3),
            own(sigmoid, lambda x, y, g: g * y * sigmoid(-x) * np.array([1, 1.0005, 1])),
        ),
        ("ln at 10⁻¹² × 1.0005", near(1e-12), own(np.log, lambda x, y, g: g / x * 1.0005)),
        (
            "10⁻⁴ × 0.999 beside 10⁶",
            near(0.3),
            lambda x: m.concatenate([x * 1e6, scaled(0.999)(x) * 1e-4]),
        ),
        (
            "sign of one slope, relu",
            near(0.3, -1.2),
            own(lambda x: np.maximum(x, 0.01 * x), lambda x, y, g: g * np.where(x > 0, 1.0, -0.01)),
        ),
    ]


class Torch:
    name = "torch.autograd.gradcheck"

    def __init__(self):
        import torch

        self.torch = torch
        self.sigmoid, self.exp, self.relu = torch.sigmoid, torch.exp, torch.relu
        self.sin, self.log, self.sqrt, self.tanh = torch.sin, torch.log, torch.sqrt, torch.tanh
        self.concatenate = torch.cat

    def softmax(self, x):
        return self.torch.softmax(x, 0)

    def log_softmax(self, x):
        return self.torch.log_softmax(x, 0)

    def operation(self, value, rule):
        torch = self.torch

        class Operation(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                y = torch.from_numpy(np.array(value(x.detach().numpy()), dtype=np.float64))
                context.save_for_backward(x, y)
                return y

            @staticmethod
            def backward(context, g):
                x, y = (v.detach().numpy() for v in context.saved_tensors)
                return torch.from_numpy(np.array(rule(x, y, g.detach().numpy()), dtype=np.float64))

        return Operation.apply

    def passes(self, f, x):
        x = self.torch.from_numpy(x.copy()).requires_grad_()
        return self.torch.autograd.gradcheck(f, (x,), raise_exception=False)


class Jax:
    name = "jax.test_util.check_grads"

    def __init__(self):
        import jax
        import jax.numpy
        from jax.test_util import check_grads

        jax.config.update("jax_enable_x64", True)
        self.jax, self.check_grads = jax, check_grads
        jnp = jax.numpy
        self.sigmoid, self.relu, self.softmax, self.log_softmax = (
            jax.nn.sigmoid,
            jax.nn.relu,
            jax.nn.softmax,
            jax.nn.log_softmax,
        )
        self.exp, self.sin, self.log, self.sqrt, self.tanh = jnp.exp, jnp.sin, jnp.log, jnp.sqrt, jnp.tanh
        self.concatenate = jnp.concatenate

    def operation(self, value, rule):
        jax = self.jax

        # Nothing is compiled here, so that the arrays are there as the rules see them.
        def call(x):
            return jax.numpy.asarray(value(np.asarray(x)))

        def forward(x):
            y = call(x)
            return y, (x, y)

        def backward(kept, g):
            return (jax.numpy.asarray(rule(*map(np.asarray, (*kept, g))), dtype=np.float64),)

        operation = jax.custom_vjp(call)
        operation.defvjp(forward, backward)
        return operation

    def passes(self, f, x):
        # First order, backwards: a wrong rule of one's own has no forward mode.
        try:
            self.check_grads(f, (self.jax.numpy.asarray(x),), order=1, modes=["rev"])
        except AssertionError:
            return False
        return True


def peer(kind):
    """How many trials pass, by kind and name."""
    m = kind()
    found = {}
    for kind, cases in [("right", right_cases(m)), ("wrong", wrong_cases(m))]:
        for name, at, f in cases:
            count = 0
            for trial in range(TRIALS):
                # What keeps something is made anew for each trial.
                g = f() if name == "slope kept from the first call" else f
                count += bool(m.passes(g, at(trial)))
            found[kind, name] = count
    return found


def elbo():
    command = ["cargo", "test", "--quiet", "--test", "library", "check::cases", "--", "--nocapture", "--test-threads=1"]
    printed = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split(" | ") for line in printed.splitlines() if line.count(" | ") == 2]
    return {(kind[-5:], name): int(count.split()[0]) for kind, name, count in rows}


def main():
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    columns = [("elbo", elbo())]
    for kind in [Torch, Jax]:
        try:
            columns.append((kind.name, peer(kind)))
        except ModuleNotFoundError as missing:
            print(f"{kind.name}: {missing}")
    for kind, title in [("right", "right gradients refused"), ("wrong", "wrong gradients passed")]:
        print(f"\n| {title}, of {TRIALS} | " + " | ".join(name for name, _ in columns) + " |")
        print("|---" * (len(columns) + 1) + "|")
        totals = [0] * len(columns)
        names = [name for k, name in columns[0][1] if k == kind]
        for name in names:
            counts = [found[kind, name] for _, found in columns]
            shown = [TRIALS - count if kind == "right" else count for count in counts]
            totals = [total + count for total, count in zip(totals, shown)]
            print(f"| {name} | " + " | ".join(map(str, shown)) + " |")
        print(f"| together, of {TRIALS * len(names)} | " + " | ".join(map(str, totals)) + " |")


if __name__ == "__main__":
    main()
