"""The speed-run: train a `SpeedGPT` as its recipe says, and count the seconds.

Home: chapter 23, notebooks/23_efficiency.ipynb. Left out: checkpoints, and the
model, which is in `nextword.speed_gpt`.
"""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.muon import orthogonalise
from nextword.speed_gpt import Recipe, SpeedGPT


class SpeedOptimizer:
    """Muon for ``square`` and ``wide`` if the recipe wants it, else AdamW."""

    def __init__(self, model: SpeedGPT):
        self.recipe = recipe = model.recipe
        rest = dict(model.values)
        matrices = [rest.pop("square"), rest.pop("wide")]
        self.means = [(p, torch.zeros_like(p)) for p in matrices if recipe.muon]
        groups = [{"params": list(rest.values()), "weight_decay": 0.0}]
        if not recipe.muon:
            groups += [{"params": matrices, "weight_decay": recipe.decay}]
        self.adamw = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at this share of the learning rates; gradients go."""
        for group in self.adamw.param_groups:
            group["lr"] = self.recipe.lr * share
        self.adamw.step()
        for p, mean in self.means:
            mean.lerp_(p.grad, 0.15)
            ahead = p.grad.lerp(mean, 0.85)  # Nesterov's momentum
            update = orthogonalise(ahead.flatten(0, 1).bfloat16())
            lr = self.recipe.muon * share
            p.mul_(1 - lr * self.recipe.decay)
            size = lr * math.sqrt(p.shape[-2] / p.shape[-1])
            p.add_(update.view_as(p), alpha=-size)
            p.grad = None
        self.adamw.zero_grad()


def share_of(recipe: Recipe, step: int) -> float:
    """The part of the learning rates that a step gets."""
    done = step / recipe.steps
    cosine = 0.55 + 0.45 * math.cos(math.pi * done)
    rise = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    return rise * (1 - done if recipe.linear else cosine)


def speed_windows(
    ids: Tensor, recipe: Recipe
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (B, T), without end. ValueError for a short text."""
    B, T = recipe.batch_size, recipe.context_length
    if len(ids) <= T * (B + 1):
        raise ValueError(f"{len(ids)} ids do not fill a batch. Use more text.")
    generator = torch.Generator().manual_seed(recipe.seed)
    starts = torch.empty(0, dtype=torch.long)
    while True:
        if not recipe.cover:
            starts = torch.randint(len(ids) - T, (B,), generator=generator)
        elif len(starts) < B:  # all windows once, from a new offset
            offset = int(torch.randint(T, (), generator=generator))
            number = (len(ids) - 1 - offset) // T
            order = torch.randperm(number, generator=generator)
            starts = torch.cat([starts, order * T + offset])
        window = ids[starts[:B, None] + torch.arange(T + 1)]
        starts = starts[B:]
        yield window[:, :-1], window[:, 1:]


def speed_train(
    ids: Tensor, vocab_size: int, recipe: Recipe
) -> tuple[SpeedGPT, float]:
    """A model trained on a stream of ids (N,), and the seconds of the loop."""
    model = SpeedGPT(recipe, vocab_size)
    optimizer, batches = SpeedOptimizer(model), speed_windows(ids, recipe)
    start = time.perf_counter()
    for step in range(recipe.steps):
        inputs, targets = next(batches)
        logits = model(inputs)
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        if not recipe.muon:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(share_of(recipe, step))
    return model, time.perf_counter() - start


@torch.no_grad()
def speed_loss(model: SpeedGPT, ids: Tensor) -> float:
    """Nats a token of a stream (N,), in windows side by side.

    Every token but the first is predicted once.
    """
    T = model.recipe.context_length
    full = (len(ids) - 1) // T * T
    inputs, targets = ids[:full].view(-1, T), ids[1 : full + 1].view(-1, T)
    parts = list(zip(inputs.split(64), targets.split(64), strict=True))
    if full < len(ids) - 1:
        parts.append((ids[None, full:-1], ids[None, full + 1 :]))
    total = 0.0
    for x, y in parts:
        logits = model(x).flatten(0, 1)
        total += F.cross_entropy(logits, y.flatten(), reduction="sum").item()
    return total / (len(ids) - 1)
