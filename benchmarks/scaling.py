"""Train a grid of GPTs on the town, and record what each of them reached.

    python -m benchmarks.scaling

Eight widths meet up to five amounts of stories, each with a cosine of its own,
some with three seeds. It writes ``benchmarks/results/scaling.json`` after each
run, and the copy in ``nextword/data`` that chapter 14 draws. Stop it at any
time: the same command goes on with the runs that are missing. All of them
took about two hours of one thread on a busy machine.
"""

import time
from typing import Any, NamedTuple

import torch

from benchmarks import record
from nextword import scaling
from nextword.evaluation import mean_loss
from nextword.stories import held_out

COMMAND = "python -m benchmarks.scaling"
WIDTHS = (16, 24, 32, 48, 64, 96, 128, 144)
STORIES = 2_800  # about a quarter of a million tokens
HELD_OUT = 300
NOTES = [
    "Losses are nats a target on the held-out stories 0 to 299; floor: the "
    "loss of the model that knows the town, on the same stories.",
    "tokens: the targets of training, END counted, padding not. unique: how "
    "many different stories there were.",
    "parameters: without the tables of tokens and positions; all_parameters: "
    "with them. lr: the peak of the learning rate.",
    "The order of the runs is that of the grid in benchmarks/scaling.py. The "
    "seconds are those of training, on a machine that did other work too.",
]


class Run(NamedTuple):
    """One cell of the grid."""

    width: int
    stories: int  # that are read
    seed: int
    unique: int  # stories that differ


def once(width: int, amount: int, seed: int = 0) -> Run:
    """Every story is read once; ``amount`` is in units of STORIES."""
    return Run(width, amount * STORIES, seed, amount * STORIES)


def again(width: int, amount: int, seed: int = 0) -> Run:
    """As long, but an eighth of the stories is read eight times."""
    return Run(width, amount * STORIES, seed, amount * STORIES // 8)


def grid() -> list[Run]:
    """Every run, in an order in which each beginning is of use."""
    runs = [once(width, k) for k in (1, 2) for width in WIDTHS]
    some = [(width, k) for k in (1, 2) for width in (16, 32, 64)]
    runs += [once(*cell, seed) for seed in (1, 2) for cell in some]
    runs += [once(width, 4) for width in WIDTHS] + [again(64, 4)]
    runs += [once(width, 8) for width in WIDTHS[:-1]]
    runs += [kind(64, 4, seed) for seed in (1, 2) for kind in (once, again)]
    return runs + [once(width, 16) for width in WIDTHS[:3]]


def train(run: Run, held: tuple) -> dict[str, Any]:
    """The row of one run."""
    start = time.perf_counter()
    model, tokens = scaling.train_model(*run)
    seconds = time.perf_counter() - start
    batch, floor = held
    config = scaling.training(run.width, run.stories)
    return {
        "parameters": scaling.non_embedding(model),
        "all_parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens,
        "steps": config.steps,
        "lr": round(config.lr, 6),
        "loss": round(mean_loss(model, batch), 5),
        "floor": round(floor, 5),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    torch.set_num_threads(1)
    held = held_out(HELD_OUT)
    record.run_grid(
        "scaling",
        grid(),
        lambda run: [train(run, held)],
        COMMAND,
        packages=["torch"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
