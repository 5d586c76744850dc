"""Distillation: a small model learns from the probabilities of a large one.

Home: chapter 23, notebooks/23_efficiency.ipynb. It holds the loss, and an
experiment with students of town-gpt; `benchmarks/efficiency.py` records it.
Left out: hidden layers as targets, and teachers of another vocabulary.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nextword.batches import TokenBatch
from nextword.blocks import TransformerConfig
from nextword.evaluation import mean_loss
from nextword.losses import IGNORE
from nextword.pretrained import load_pretrained
from nextword.stories import SHORT, StoryBatches, held_out
from nextword.training import Loss, TrainConfig, fit, language_loss
from nextword.transformer import GPT, initialise
from nextword.words import town_tokenizer

BATCH = 16  # stories a step
STEPS = 200
FEW = 160  # different stories, where stories are few
LONG = 4  # so many times the steps, where no teacher is paid


def soft_losses(
    logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    """T^2 KL(p || q) at each place, in nats: p the teacher's, q the student's.

    Both are softmax(logits / T). Logits (..., V) give losses (...); only the
    student gets a gradient. Raises ValueError for other shapes and T <= 0.
    (Hinton et al., 2015, section 2.)
    """
    if logits.shape != teacher_logits.shape or not temperature > 0:
        raise ValueError(
            f"Logits {tuple(logits.shape)}, the teacher's "
            f"{tuple(teacher_logits.shape)}, temperature {temperature}: use "
            "the same tokens for both, and a temperature above 0."
        )
    log_q = (logits / temperature).log_softmax(-1)  # (..., V)
    log_p = (teacher_logits.detach() / temperature).log_softmax(-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)


def distilled(teacher: nn.Module, temperature: float = 1.0) -> Loss:
    """The loss of a student on a batch, summed, and the number of targets.

    The true next tokens say only where there is padding.
    """

    def loss(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, int]:
        with torch.no_grad():
            aim = teacher(batch.ids)  # (B, T, V)
        losses = soft_losses(model(batch.ids), aim, temperature)  # (B, T)
        real = batch.targets != IGNORE
        return losses[real].sum(), int(real.sum())

    return loss


class Run(NamedTuple):
    """One student of the experiment."""

    stories: str  # "new", or "few": FEW of them, again and again
    method: str  # a key of METHODS
    seed: int  # of the stories and the start values


def student(seed: int) -> GPT:
    """A GPT of 2 layers and width 64, before its training."""
    torch.manual_seed(seed)
    V = town_tokenizer().vocab_size
    model = GPT(TransformerConfig(V, 96, 64, 4, 2, positions="rotary"))
    initialise(model, 0.5 / 64**0.5)
    return model


# The loss of each method, made from the teacher.
METHODS: dict[str, Callable[[nn.Module], Loss]] = {
    "no teacher": lambda teacher: language_loss,
    "no teacher, long": lambda teacher: language_loss,
    "bfloat16 products": lambda teacher: language_loss,
    "bfloat16 weights": lambda teacher: language_loss,
    "teacher, T = 1": lambda teacher: distilled(teacher, 1.0),
    "teacher, T = 2": lambda teacher: distilled(teacher, 2.0),
}


def recipe(run: Run) -> TrainConfig:
    """How a student is trained: all alike, but for what the method names.

    A few stories ask for a lower rate, or for a higher one with a teacher.
    """
    taught = run.method.startswith("teacher")
    lr = 6e-3 if run.stories == "new" else 1e-2 if taught else 3e-3
    config = TrainConfig(STEPS, lr, STEPS // 10, final=0.02)
    if run.method == "no teacher, long":
        return replace(config, steps=LONG * STEPS, warmup=STEPS // 10)
    if run.method == "bfloat16 products":
        return replace(config, precision="bfloat16")
    return config


def train_student(run: Run, device: torch.device | str = "cpu") -> GPT:
    """The student of a run. Raises ValueError for an unknown method."""
    if run.method not in METHODS or run.stories not in ("new", "few"):
        raise ValueError(
            f"There is no run {run}. Stories are 'new' or 'few', methods "
            f"{', '.join(METHODS)}."
        )
    model = student(run.seed).to(device)
    if run.method == "bfloat16 weights":
        model = model.bfloat16()
    number = FEW if run.stories == "few" else None
    batches = StoryBatches(BATCH, SHORT, run.seed, number)
    teacher = load_pretrained("town-gpt", device).model
    fit(model, METHODS[run.method](teacher), batches, recipe(run))
    return model.float()


def measure(run: Run, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The loss of one student on held-out stories, and its seconds."""
    begin = time.perf_counter()
    model = train_student(run, device)
    batch, floor = held_out(200, SHORT)
    return {
        "steps": recipe(run).steps,
        "loss": round(mean_loss(model, batch), 5),
        "floor": round(floor, 5),
        "seconds": round(time.perf_counter() - begin, 1),
    }
