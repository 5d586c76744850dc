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


def speed_adamw(model: SpeedGPT) -> torch.optim.AdamW:
    """AdamW for all that Muon does not move; ``part`` scales the rate."""
    recipe, groups = model.recipe, []
    for name, p in model.values.items():
        matrix = name in ("square", "wide")
        if not (matrix and recipe.muon):
            part = recipe.head_lr if name == "head" else 1.0
            decay = recipe.decay if matrix else 0.0
            groups.append({"params": [p], "part": part, "weight_decay": decay})
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)


class SpeedOptimizer:
    """Muon for ``square`` and ``wide`` if the recipe wants it, else AdamW."""

    def __init__(self, model: SpeedGPT):
        self.recipe = recipe = model.recipe
        matrices = [model.values["square"], model.values["wide"]]
        self.means = [(p, torch.zeros_like(p)) for p in matrices if recipe.muon]
        self.adamw = speed_adamw(model)

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at this share of the learning rates; gradients go."""
        for group in self.adamw.param_groups:
            group["lr"] = self.recipe.lr * share * group["part"]
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
def speed_loss(model: SpeedGPT, ids: Tensor, seen: int = 0) -> float:
    """Nats a token of a stream (N,), in windows of the model's length T.

    Every token but the first is predicted once. ``seen``: each window begins
    with so many tokens of the one before, which only give context. Raises
    ValueError unless 0 <= seen < T.
    """
    T, N, total = model.recipe.context_length, len(ids) - 1, 0.0
    if not 0 <= seen < T:
        raise ValueError(f"seen is {seen}. Choose it from 0 to {T - 1}.")
    starts = torch.arange(0, max(N - seen, 1), T - seen)
    full = [int(a) for a in starts if a + T <= N]
    places = torch.tensor(full)[:, None] + torch.arange(T + 1)
    windows = list(ids[places].split(64)) if full else []
    windows += [ids[None, a:] for a in starts[len(full) :]]  # the last, shorter
    for number, window in enumerate(windows):
        logits = model(window[:, :-1]).mT  # (B, V, T)
        losses = F.cross_entropy(logits, window[:, 1:], reduction="none")
        known = losses[:1, :seen] if number == 0 else losses[:0]
        total += (losses[:, seen:].sum() + known.sum()).item()
    return total / N
