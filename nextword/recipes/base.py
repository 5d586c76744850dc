"""What every recipe takes and gives: its size, its request, its outcome.

Left out: the recipes themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from nextword.finetuning import (
    LabelledBatches,
    fine_tune,
    label_loss,
    labelled_batch,
)
from nextword.training import Loss, TrainConfig

FOR_BPE = 4_000_000  # characters are enough to learn the merges


@dataclass(frozen=True)
class Size:
    """How much is trained, on how much, and how large the model is."""

    steps: int
    batch_size: int
    lr: float  # the peak of the learning rate
    context_length: int  # longer texts are cut, or left out of training
    train: int | None = None  # the most examples to train on; None: all
    test: int | None = None  # likewise, to test on
    d_model: int = 0  # of a model that is made here, and so are the next two
    n_heads: int = 0
    n_layers: int = 0
    vocab_size: int = 0  # tokens made by BPE, where BPE makes them

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {value}" for name, value in vars(self).items() if value
        )


@dataclass(frozen=True)
class Request:
    """What one run is asked for."""

    size: Size
    paths: dict[str, Path]  # of the files, by the names that a recipe gives
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    language: str = "fr"  # of Multi30k's translations
    own: Path | None = None  # a file of the reader's instead of the public ones


class Outcome(NamedTuple):
    """What a recipe measured, on what, and a few lines to look at."""

    data: str  # what was read, and how it was divided
    train: int  # how many examples it learned from
    test: int  # how many it was measured on
    scores: list[dict[str, Any]]  # each with a model, a measure and a value
    examples: list[str]


def score(model: str, measure: str, value: float, note: str = "") -> dict:
    """One line of an outcome; the note says how exactly it was measured."""
    return {
        "model": model,
        "measure": measure,
        "value": round(value, 4),
        "note": note,
    }


def finished(losses: list[float], steps: int) -> None:
    """Raise KeyboardInterrupt for training that Ctrl-C has stopped early."""
    if len(losses) < steps:
        raise KeyboardInterrupt


def ticking(batches: Callable[[int], Any], steps: int) -> Callable[[int], Any]:
    """The same batches, with a bar that shows how many were asked for."""
    bar = tqdm(total=steps, unit="step")

    def call(step: int) -> Any:
        bar.update()
        if step + 1 == steps:
            bar.close()
        return batches(step)

    return call


def tune(
    model: nn.Module,
    rows: Sequence[Any],
    pad_id: int,
    request: Request,
    loss: Loss = label_loss,
    collate: Callable[[Sequence[Any], int], Any] = labelled_batch,
) -> None:
    """Fine-tune the whole model, with a tenth of the steps to warm up."""
    size, seed = request.size, request.seed
    batches = LabelledBatches(rows, size.batch_size, pad_id, seed, collate)
    warmup = size.steps // 10
    config = TrainConfig(
        size.steps, size.lr, warmup, weight_decay=0.01, seed=seed
    )
    fine_tune(model, ticking(batches, size.steps), config, loss=loss)
