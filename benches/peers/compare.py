"""Compares the crate's training step with the same step by hand, and in JAX, PyTorch and NumPy where they are installed.

    python3 benches/peers/compare.py

Each round runs every contender once, in a process of its own, pinned to as many processors as it has threads, and in an
order that turns from round to round. The machine's speed drifts, so that a ratio is taken within a round, and its median
over the rounds. Needs nothing but Python's standard library; README.md says how to install the peers.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Threads, batch, layers.
CASES = [
    (1, 128, "784-400-20"),
    (2, 128, "784-400-20"),
    (1, 16, "784-400-20"),
    (1, 1024, "784-400-20"),
    (2, 1024, "784-400-20"),
    (1, 256, "784-1024-1024-64"),
    (2, 256, "784-1024-1024-64"),
]

# What a contender is called, the module that it needs, its script and arguments.
PEERS = [
    ("jax", "jax", ["jax_step.py"]),
    ("pytorch", "torch", ["pytorch_step.py"]),
    ("pytorch-fused", "torch", ["pytorch_step.py", "--fused"]),
    ("numpy", "numpy", ["numpy_step.py"]),
]

THREAD_VARIABLES = [
    "RAYON_NUM_THREADS",
    "MATMUL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NPROC",
]

# They would choose the kernels of OpenBLAS for another processor than this one.
UNSET = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how many (default 7)")
    parser.add_argument("--seconds", type=float, default=2, help="for the steps of one run, roughly (default 2)")
    parser.add_argument(
        "--case",
        action="append",
        type=case,
        metavar="THREADS,BATCH,LAYERS",
        help="such as 1,128,784-400-20, instead of the usual list; may be repeated",
    )
    parser.add_argument("--only", help="contenders besides elbo, separated by commas")
    parser.add_argument("--memory", action="store_true", help="peak resident memory instead of time")
    parser.add_argument("--binary", help="a step benchmark that is built already")
    return parser.parse_args()


def case(text):
    threads, batch, layers = text.split(",")
    return int(threads), int(batch), layers


def build():
    """The path of the step benchmark, freshly built."""
    command = ["cargo", "bench", "--no-run", "--bench", "step", "--message-format=json"]
    built = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "step":
            return message["executable"]
    sys.exit("cargo built no step benchmark")


def contenders(binary, only):
    """Names and commands; elbo first."""
    found = [("elbo", [binary]), ("by-hand", [binary, "--by-hand"])]
    for name, module, (script, *arguments) in PEERS:
        if importlib.util.find_spec(module):
            found.append((name, [sys.executable, str(HERE / script), *arguments]))
        else:
            print(f"without {name}: there is no module {module}", file=sys.stderr)
    wanted = only.split(",") if only is not None else [name for name, _ in found]
    return [(name, command) for name, command in found if name == "elbo" or name in wanted]


def steps_for(batch, layers, threads, seconds):
    """As many as take roughly the given time, at fifty thousand million operations a second on each thread."""
    data, *hidden, latent = map(int, layers.split("-"))
    down, up = [data, *hidden, 2 * latent], [latent, *reversed(hidden), data]
    weights = sum(a * b for widths in (down, up) for a, b in zip(widths, widths[1:]))
    operations = 6 * weights * batch + 100 * weights
    return max(20, min(5000, int(seconds * threads * 5e10 / operations)))


def run(command, case, steps, memory):
    """The figures of the line that the command prints: of times the median and the least, of memory peak and start."""
    threads, batch, layers = case
    processors = sorted(os.sched_getaffinity(0))[:threads]
    if len(processors) < threads:
        sys.exit(f"{threads} threads need as many processors, found {len(processors)}")
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    environment |= {name: str(threads) for name in THREAD_VARIABLES}
    if memory:
        # A mapping of its own for every large array: else the peak depends on the holes that earlier ones left.
        environment["MALLOC_MMAP_THRESHOLD_"] = "131072"
    arguments = ["--batch", batch, "--layers", layers, "--steps", steps, "--threads", threads]
    arguments += ["--memory"] if memory else []
    finished = subprocess.run(
        [*command, *map(str, arguments)],
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, processors),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return tuple(map(float, finished.stdout.strip().splitlines()[-1].split(",")[4:6]))


def measure(case, commands, rounds, seconds, memory):
    """One list for each contender: the two figures of each round."""
    threads, batch, layers = case
    steps = 20 if memory else steps_for(batch, layers, threads, seconds)
    figures = {name: [] for name, _ in commands}
    for index in range(rounds):
        turn = index % len(commands)
        for name, command in commands[turn:] + commands[:turn]:
            figures[name].append(run(command, case, steps, memory))
    return figures


def table(case, figures, unit):
    threads, batch, layers = case
    print(f"\n{layers}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}\n")
    print(f"| step | {unit} | elbo / step | least and most |\n|---|---|---|---|")
    figures = {name: [first for first, _ in pairs] for name, pairs in figures.items()}
    for name, values in figures.items():
        ratios = [ours / theirs for ours, theirs in zip(figures["elbo"], values)]
        spread = f"{min(ratios):.3f} – {max(ratios):.3f}"
        print(f"| {name} | {statistics.median(values):.3f} | {statistics.median(ratios):.3f} | {spread} |", flush=True)


def main():
    chosen = options()
    commands = contenders(chosen.binary or build(), chosen.only)
    unit = "peak MiB" if chosen.memory else "ms"
    for case in chosen.case or CASES:
        table(case, measure(case, commands, chosen.rounds, chosen.seconds, chosen.memory), unit)


if __name__ == "__main__":
    main()
