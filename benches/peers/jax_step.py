"""The step of a VAE in JAX: one compiled function, whose buffers are donated."""

import math
import os

from common import arguments, report, stopwatch

options = arguments("jax")
os.environ["XLA_FLAGS"] = " ".join(
    [
        f"--xla_cpu_multi_thread_eigen={'true' if options.threads > 1 else 'false'}",
        f"intra_op_parallelism_threads={options.threads}",
    ]
)

import jax
import jax.numpy as jnp

jax.config.update("jax_platforms", "cpu")

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def glorot(key, widths):
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        key, draw = jax.random.split(key)
        bound = math.sqrt(6 / (fan_in + fan_out))
        weight = jax.random.uniform(draw, (fan_in, fan_out), jnp.float32, -bound, bound)
        layers.append((weight, jnp.zeros(fan_out)))
    return layers


def mlp(layers, h):
    for index, (weight, bias) in enumerate(layers):
        h = h @ weight + bias
        if index + 1 < len(layers):
            h = jax.nn.relu(h)
    return h


def loss(parameters, x, key):
    encoder, decoder = parameters
    mu, s = jnp.split(mlp(encoder, x), 2, axis=-1)
    z = mu + jnp.exp(0.5 * s) * jax.random.normal(key, mu.shape)
    a = mlp(decoder, z)
    reconstruction = jnp.sum(x * a - jax.nn.softplus(a), -1)
    kl = 0.5 * jnp.sum(mu**2 + jnp.exp(s) - 1 - s, -1)
    return jnp.mean(kl - reconstruction)


def step(state, x):
    parameters, first, second, count, key = state
    key, draw = jax.random.split(key)
    value, gradients = jax.value_and_grad(loss)(parameters, x, draw)
    count = count + 1
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
    rate = RATE / (1 - BETA1**count)
    scale = 1 / jnp.sqrt(1 - BETA2**count)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) * scale + EPSILON), parameters, first, second
    )
    return (parameters, first, second, count, key), value


down, up = options.down, options.up
keys = jax.random.split(jax.random.key(0), 4)
parameters = (glorot(keys[0], down), glorot(keys[1], up))
zeros = lambda: jax.tree.map(jnp.zeros_like, parameters)
state = (parameters, zeros(), zeros(), jnp.float32(0), keys[2])
x = jax.random.uniform(keys[3], (options.batch, down[0]))
compiled = jax.jit(step, donate_argnums=0)


def one_step():
    global state
    state, value = compiled(state, x)
    jax.block_until_ready((state, value))
    return float(value)


report(options, stopwatch(options.steps, one_step))
