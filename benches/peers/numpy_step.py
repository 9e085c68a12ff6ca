"""The step of a VAE in NumPy, its gradients written by hand."""

from common import arguments, report, stopwatch

options = arguments("numpy")

import numpy as np

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
rng = np.random.default_rng(0)


def glorot(fan_in, fan_out):
    bound = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)


def mlp(widths):
    return [
        (glorot(fan_in, fan_out), np.zeros(fan_out, np.float32))
        for fan_in, fan_out in zip(widths, widths[1:])
    ]


def forward(layers, h):
    """The input of every layer, and the last layer's output."""
    inputs = []
    for index, (weight, bias) in enumerate(layers):
        inputs.append(h)
        h = h @ weight
        h += bias
        if index + 1 < len(layers):
            np.maximum(h, 0, out=h)
    return inputs, h


def backward(layers, inputs, a, want_input):
    """The gradients, first layer first, from the output's cotangent; and the input's cotangent."""
    gradients = []
    for index in reversed(range(len(layers))):
        gradients[:0] = [inputs[index].T @ a, a.sum(0)]
        if index > 0 or want_input:
            a = a @ layers[index][0].T
        if index > 0:
            a *= inputs[index] > 0
    return gradients, a


encoder, decoder = mlp(options.down), mlp(options.up)
parameters = [array for layer in encoder + decoder for array in layer]
first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
x = rng.random((options.batch, options.down[0]), dtype=np.float32)
latent = options.up[0]
count = 0


def one_step():
    global count
    weight = np.float32(1 / options.batch)
    inputs, q = forward(encoder, x)
    mu, s = q[:, :latent], q[:, latent:]
    noise = rng.standard_normal(mu.shape, dtype=np.float32)
    offset = np.exp(0.5 * s) * noise
    decoder_inputs, a = forward(decoder, mu + offset)
    e = np.exp(-np.abs(a))
    reconstruction = np.sum(x * a - np.maximum(a, 0) - np.log1p(e))
    variance_less_one = np.expm1(s)
    kl = 0.5 * np.sum(mu**2 + variance_less_one - s)
    a_bar = weight * (np.where(a >= 0, np.float32(1), e) / (1 + e) - x)
    decoder_gradients, z_bar = backward(decoder, decoder_inputs, a_bar, True)
    q_bar = np.concatenate(
        [z_bar + weight * mu, 0.5 * (z_bar * offset + weight * variance_less_one)], axis=1
    )
    gradients, _ = backward(encoder, inputs, q_bar, False)
    count += 1
    rate = np.float32(RATE / (1 - BETA1**count))
    scale = np.float32(1 / np.sqrt(1 - BETA2**count))
    for p, m, v, g in zip(parameters, first, second, gradients + decoder_gradients):
        m *= BETA1
        m += (1 - BETA1) * g
        v *= BETA2
        g *= g
        g *= 1 - BETA2
        v += g
        update = np.sqrt(v)
        update *= scale
        update += EPSILON
        np.divide(m, update, out=update)
        update *= rate
        p -= update
    return float((kl - reconstruction) * weight)


report(options, stopwatch(options.steps, one_step))
