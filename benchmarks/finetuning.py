"""Measure what pretraining is worth on three tasks, and record every run.

    python -m benchmarks.finetuning

Each method learns each task from 20 to 1,000 labels, with five seeds. It writes
``benchmarks/results/finetuning.json`` after each run, and the copy in
``nextword/data`` that chapter 15 draws. Stop it at any time: the same command
goes on with the runs that are missing.
"""

import torch

from benchmarks import record
from nextword.town_tasks import TASKS
from nextword.transfer import Run, measure

COMMAND = "python -m benchmarks.finetuning"
LABELS = (20, 50, 200, 1_000)
SEEDS = range(5)
METHODS = (
    "majority",
    "bag of words",
    "scratch",
    "probe",
    "probe, mean",
    "full",
    "LoRA",
)
NOTES = [
    "accuracy: on the held-out stories 0 to 399 of the task; an ideal reader "
    "has 1.0. The seed is that of the labelled stories, the start values and "
    "the order.",
    "trained: parameters that training moves. last_loss: nats a text, the mean "
    "of the last five steps. hidden: the loss of the body at the hidden words "
    "of 100 stories; that of town-bert is 0.36.",
    "Learning rates, steps and the penalty of the probe were chosen on seeds "
    "40 and 41, which are not in the record.",
    "The seconds include the making of the stories and the test. The machine "
    "did other work too.",
]


def of_seed(seed: int) -> list[Run]:
    """The runs of one seed."""
    runs = [
        Run(task, method, labels, seed)
        for labels in LABELS
        for task in TASKS
        for method in METHODS
    ]
    for method in ("full, rows kept", "LoRA, rows kept"):
        runs += [Run("where", method, labels, seed) for labels in (50, 200)]
    return runs + [
        Run(task, "full, by layer", labels, seed)
        for labels in (20, 50)
        for task in TASKS
    ]


def grid() -> list[Run]:
    """Every run, seed by seed."""
    return [run for seed in SEEDS for run in of_seed(seed)]


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "finetuning",
        grid(),
        lambda run: [measure(run)],
        COMMAND,
        packages=["torch", "scikit-learn"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
