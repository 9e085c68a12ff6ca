"""What the peers' steps share: arguments, the clock, the line that they print. Nothing but the standard library."""

import argparse
import math
import time


def arguments(name, fused=False, models=()):
    parser = argparse.ArgumentParser(description="Times a training step and prints one line.")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--layers", default="784-400-20", help="widths of data, hidden layers, latent or code")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="print peak and initial memory in MiB instead")
    if fused:
        parser.add_argument("--fused", action="store_true")
    if models:
        parser.add_argument("--model", choices=models, default=models[0])
    options = parser.parse_args()
    data, *hidden, latent = map(int, options.layers.split("-"))
    options.down = [data, *hidden, 2 * latent]
    options.up = [latent, *reversed(hidden), data]
    options.name = name + ("-fused" if fused and options.fused else "")
    options.initial_memory = resident("VmRSS:")
    return options


def stopwatch(steps, step):
    """The steps' times in milliseconds, in ascending order, without the first fifth."""
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = step()
        times.append((time.perf_counter() - start) * 1e3)
        assert math.isfinite(loss), "the training diverged"
    return sorted(times[steps // 5 :])


def resident(line):
    """A line of /proc/self/status, in MiB; NaN where there is none."""
    try:
        with open("/proc/self/status") as status:
            return next(int(found.split()[1]) / 1024 for found in status if found.startswith(line))
    except (OSError, StopIteration):
        return math.nan


def report(options, times):
    figures = [times[len(times) // 2], times[0]]
    if options.memory:
        figures = [resident("VmHWM:"), options.initial_memory]
    case = f"{options.name},{options.threads},{options.batch},{options.layers}"
    print(f"{case},{figures[0]:.4f},{figures[1]:.4f}")
