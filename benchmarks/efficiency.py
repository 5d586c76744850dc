"""Train students of town-gpt in several ways, and record every run.

    python -m benchmarks.efficiency

Each way has five seeds. It writes
``benchmarks/results/efficiency.json`` after each run, and the copy in
``nextword/data`` that chapter 23 draws. Stop it at any time: the same command
goes on with the runs that are missing.
"""

import torch

from benchmarks import record
from nextword.distillation import Run, measure

COMMAND = "python -m benchmarks.efficiency"
SEEDS = range(5)
NEW = (
    "no teacher",
    "teacher, T = 1",
    "bfloat16 products",
    "bfloat16 weights",
    "teacher, T = 2",
    "no teacher, long",
)
FEW = ("no teacher", "teacher, T = 1")
NOTES = [
    "loss: nats a token on the held-out stories 0 to 199; floor: that of the "
    "town itself. The seed is that of the stories and of the start values.",
    "Learning rates were chosen on seed 40, which is not in the record, among "
    "0.003, 0.006 and 0.01, with 300 steps, and 320 stories where few.",
    "The seconds include the making of the stories and the test. The machine "
    "did other work too.",
]


def grid() -> list[Run]:
    """Every run, seed by seed."""
    return [
        Run(stories, method, seed)
        for seed in SEEDS
        for stories, methods in (("new", NEW), ("few", FEW))
        for method in methods
    ]


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "efficiency",
        grid(),
        lambda run: [measure(run)],
        COMMAND,
        packages=["torch"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
