"""Train a small model on stories and secrets, attack it, and report.

Chapter 24, notebooks/24_limits.ipynb, draws what ``benchmarks/privacy.py`` records
with it. Left out: the attacks and DP-SGD, which are in `nextword.privacy` and
`nextword.dpsgd`.
"""

from collections.abc import Sequence
from functools import cache
from math import inf
from typing import Any, NamedTuple

from torch import Tensor, nn

from nextword.dpsgd import PrivateConfig, epsilon, train_privately
from nextword.generation import generate
from nextword.planted import (
    CODES,
    LENGTH,
    TEXTS,
    Canary,
    as_batch,
    encode_texts,
    make_canaries,
    new_model,
    source_losses,
    stories,
    train,
    training_texts,
)
from nextword.privacy import (
    auc,
    code_log_p,
    exposure,
    rank,
    roc,
    text_losses,
    true_at,
    without_copies,
)
from nextword.transformer import GPT

EPOCHS = (1, 2, 5, 10, 20)  # after these, a model is attacked
DELTA = 1e-5
RATE = 1 / 8  # so 20 epochs are 160 steps of DP-SGD
PRIVATE_LR = 1e-2
FEW = 128  # stories of the kind "few", which is read four times as often


class Run(NamedTuple):
    """One training run of the experiment."""

    kind: str  # "plain", "no copies", "near copies", "few" or "private"
    d_model: int
    noise: float  # of a private run; 0 elsewhere
    seed: int


@cache
def reference_model(seed: int) -> GPT:
    """A model of other stories, stopped before it knows them by heart."""
    model = new_model(32, seed + 500)
    list(train(model, stories("reference", seed), 5, seed))
    return model


def attack_scores(
    model: nn.Module, part: str, seed: int, number: int
) -> dict[str, Tensor]:
    """Three scores of the first stories of a part; larger says "member".

    "loss" is -loss (Yeom et al., 2018). The other two subtract how hard the
    story is: for a reference model, or in the town itself.
    """
    batch = as_batch(encode_texts(stories(part, seed)[:number]))
    losses = text_losses(model, *batch)
    return {
        "loss": -losses,
        "reference": text_losses(reference_model(seed), *batch) - losses,
        "source": source_losses(part, seed)[:number] - losses,
    }


def membership(model: nn.Module, seed: int, number: int) -> dict[str, Any]:
    """How well three attacks tell ``number`` members from other stories."""
    inside = attack_scores(model, "members", seed, number)
    outside = attack_scores(model, "others", seed, TEXTS)
    row: dict[str, Any] = {}
    for name in inside:
        curve = roc(inside[name].numpy(), outside[name].numpy())
        row[f"auc_{name}"] = round(auc(*curve), 4)
        row[f"true_{name}"] = round(true_at(*curve, 0.01), 4)
    words = sum(len(text) + 1 for text in stories("others", seed))
    row["test_loss"] = round(-float(outside["loss"].sum()) / words, 4)
    words = sum(len(text) + 1 for text in stories("members", seed)[:number])
    row["train_loss"] = round(-float(inside["loss"].sum()) / words, 4)
    return row


def leaks(model: GPT, canaries: Sequence[Canary]) -> dict[str, Any]:
    """Exposure of each canary, and whether greedy decoding says its code."""
    prompts = [row[:-1] for row in encode_texts([c.prefix for c in canaries])]
    said = generate(model, prompts, LENGTH)
    right = [encode_texts([c.text])[0][-LENGTH - 2 : -2] for c in canaries]
    ranks = [rank(code_log_p(model, c), c.code) for c in canaries]
    return {
        "repeats": [c.repeats for c in canaries],
        "exposure": [round(exposure(r, CODES), 3) for r in ranks],
        "said": [bool(a == b) for a, b in zip(said, right, strict=True)],
    }


def attack(run: Run, model: GPT, epoch: int, spent: float) -> dict[str, Any]:
    """One row of the record."""
    row = {
        "epoch": epoch,
        "epsilon": round(spent, 3) if 0 < spent < inf else None,
    }
    row |= {"parameters": sum(p.numel() for p in model.parameters())}
    return (
        row
        | membership(model, run.seed, FEW if run.kind == "few" else TEXTS)
        | leaks(model, make_canaries(run.seed))
    )


def private_config(noise: float) -> PrivateConfig:
    """As many passes over the texts as a plain run makes."""
    steps = round(EPOCHS[-1] / RATE)
    return PrivateConfig(1.0, noise, RATE, steps, PRIVATE_LR)


def measure(run: Run) -> list[dict[str, Any]]:
    """Train one model and attack it: a row for each of EPOCHS, or one row."""
    model, texts = new_model(run.d_model, run.seed), training_texts(*run[::3])
    if run.kind == "private":
        config = private_config(run.noise)
        train_privately(model, *as_batch(encode_texts(texts)), config, run.seed)
        spent = epsilon(config, DELTA)
        return [attack(run, model, EPOCHS[-1], spent)]
    if run.kind == "no copies":
        texts = without_copies(texts)
    often = 1
    if run.kind == "few":
        texts, often = stories("members", run.seed)[:FEW], TEXTS // FEW
    return [
        attack(run, model, epoch, 0.0)
        for epoch in train(model, texts, often * EPOCHS[-1], run.seed)
        if epoch in [often * number for number in EPOCHS]
    ]
