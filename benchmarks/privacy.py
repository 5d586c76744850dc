"""Measure what a small model gives away, with and without DP-SGD.

    python -m benchmarks.privacy

Models read stories and secret codes, with five seeds each, and are attacked. It
writes ``benchmarks/results/privacy.json`` after each run, and the copy in
``nextword/data`` that chapter 24 draws. Stop it at any time: the same command
goes on with the runs that are missing.
"""

import torch

from benchmarks import record
from nextword.leaking import Run, measure

COMMAND = "python -m benchmarks.privacy"
SEEDS = range(5)
SIZES = (16, 32, 64)
NOISES = (0.0, 0.5, 1.0, 2.0)
NOTES = [
    "exposure: bits, of 12 codes among 10,000, each in the order of `repeats`. "
    "said: whether greedy decoding says the code. Losses are nats a token.",
    "auc and true (positives at 1 % false ones): of three attacks "
    "on 512 members and 512 other stories; few: on 128 members, all that this "
    "model read, four times as often.",
    "private with noise 0: gradients are clipped, and there is no promise "
    "(epsilon is null). Elsewhere epsilon holds for delta 1e-5.",
    "The learning rate of the private runs was chosen on seed 40, which is "
    "not in the record.",
]


def grid() -> list[Run]:
    """Every run, seed by seed."""
    runs = []
    for seed in SEEDS:
        runs += [Run("plain", size, 0.0, seed) for size in SIZES]
        runs += [Run(k, 32, 0.0, seed) for k in ("no copies", "near copies")]
        runs += [Run("private", 32, noise, seed) for noise in NOISES]
        runs += [Run("few", 64, 0.0, seed)]
    return runs


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "privacy",
        grid(),
        measure,
        COMMAND,
        packages=["torch", "opacus"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
