"""Compares the training steps of chapter 6's autoencoders with the same steps in PyTorch.

    python3 benches/peers/autoencoders.py

Rounds, turns and processors as in compare.py. Ratios are taken within a round; the table has their median.
"""

import argparse
import statistics
import sys

import compare

BATCH = 128

# The model, its layers, what the table calls it.
MODELS = [
    ("autoencoder", "784-400-64", "784-400-64, squared error"),
    ("tied", "784-500", "500 sigmoid units, tied, cross-entropy"),
    ("denoising", "784-500", "the same, a quarter masked"),
    ("sparse", "784-500", "the same, sparse: $`\\rho = 0.1`$, $`\\beta = 3`$"),
    ("contractive", "784-500", "the same, contractive: $`\\lambda = 0.1`$"),
    ("k-sparse", "784-1000", "$`k`$-sparse, 1000 units, $`k = 25`$"),
]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how many (default 7)")
    parser.add_argument("--seconds", type=float, default=1, help="for the steps of one run, roughly (default 1)")
    parser.add_argument("--threads", type=int, action="append", help="1 and 2 if not given; may be repeated")
    parser.add_argument("--only", help="models, separated by commas")
    parser.add_argument("--fused", action="store_true", help="PyTorch with its fused Adam")
    parser.add_argument("--binary", help="a step benchmark that is built already")
    return parser.parse_args()


def main():
    chosen = options()
    binary = chosen.binary or compare.build()
    peer = [sys.executable, str(compare.HERE / "pytorch_autoencoders.py"), *["--fused"][: chosen.fused]]
    contenders = [("elbo", [binary]), ("PyTorch", peer)]
    wanted = chosen.only.split(",") if chosen.only else [model for model, _, _ in MODELS]
    print("| model | threads | elbo, ms | PyTorch, ms | elbo / PyTorch | least and most | of the fastest steps |")
    print("|---" * 7 + "|")
    for model, layers, title in MODELS:
        for threads in (chosen.threads or [1, 2]) if model in wanted else []:
            commands = [(name, [*command, "--model", model]) for name, command in contenders]
            figures = compare.measure((threads, BATCH, layers), commands, chosen.rounds, chosen.seconds, False)
            print(f"| {title} | {threads} | {row(figures)} |", flush=True)


def row(figures):
    """The medians of the rounds; the ratios of a round's medians, and of its fastest steps."""
    ours, theirs = figures.values()
    milliseconds = [f"{statistics.median(median for median, _ in pairs):.2f}" for pairs in (ours, theirs)]
    medians, fastest = ([a[i] / b[i] for a, b in zip(ours, theirs)] for i in (0, 1))
    spread = f"{min(medians):.2f} – {max(medians):.2f}"
    ratios = [f"{statistics.median(medians):.2f}", spread, f"{statistics.median(fastest):.2f}"]
    return " | ".join(milliseconds + ratios)


if __name__ == "__main__":
    main()
