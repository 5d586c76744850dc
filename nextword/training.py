"""A training loop that can be read, interrupted and resumed exactly.

Home: chapter 10, notebooks/10_training.ipynb. Left out: the form of a
checkpoint, and how several processes share the work (`nextword.parallel`).
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from nextword import parallel
from nextword.batches import PairBatch, TokenBatch
from nextword.checkpoints import load_checkpoint, save_checkpoint
from nextword.losses import IGNORE, token_losses
from nextword.optim import clip_gradients, parameter_groups, warmup_cosine

Loss = Callable[[nn.Module, tuple], tuple[Tensor, int]]


def check_training(config: Any) -> None:
    """Raise ValueError, with a remedy, for the first wrong value."""
    reals = ("lr", "clip", "weight_decay")
    may_be_0 = ("weight_decay", "warmup", "seed")
    for name in ("steps", "accumulate", "save_every", *may_be_0[1:], *reals):
        value = getattr(config, name)
        right = isinstance(value, int | float if name in reals else int)
        right = right and (value > 0 or (name in may_be_0 and value == 0))
        if not right or (value == math.inf and name != "clip"):
            kind = "finite number" if name in reals else "whole number"
            least = "of 0 or more" if name in may_be_0 else "above 0"
            raise ValueError(f"{name} is {value!r}. Choose a {kind} {least}.")
    if config.precision not in ("float32", "bfloat16"):
        raise ValueError(
            f"precision is {config.precision!r}. Choose float32 or bfloat16."
        )
    warmup_cosine(0, config.steps, config.warmup, config.final)


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Raises ValueError for a value that makes no sense."""

    steps: int
    lr: float = 1e-3  # the learning rate at its peak
    warmup: int = 0  # steps
    final: float = 0.1  # the learning rate at the end, as a share of the peak
    weight_decay: float = 0.1
    clip: float = 1.0  # the largest norm of the gradient
    accumulate: int = 1  # batches that make one step
    precision: str = "float32"  # or "bfloat16"
    seed: int = 0  # of dropout
    save_every: int = 500  # steps between two checkpoints

    def __post_init__(self):
        check_training(self)


@dataclass
class History:
    """What a training run measured, one entry a step."""

    losses: list[float] = field(default_factory=list)  # nats a target
    learning_rates: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)  # before clipping
    targets: list[int] = field(default_factory=list)  # how many were predicted

    def add(self, lr: float, loss: float, norm: float, targets: int) -> None:
        """Append what one step measured."""
        self.learning_rates.append(lr)
        self.losses.append(loss)
        self.gradient_norms.append(norm)
        self.targets.append(targets)


def language_loss(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, int]:
    """The summed losses of a GPT on a batch, in nats, and their number."""
    losses = token_losses(model(batch.ids), batch.targets)  # (B, T)
    return losses.sum(), int((batch.targets != IGNORE).sum())


def pair_loss(
    model: nn.Module, batch: PairBatch, smoothing: float = 0.0
) -> tuple[Tensor, int]:
    """The summed losses of a Transformer on a batch, and their number.

    Teacher forcing: the decoder sees the right target, one token late.
    """
    logits = model(batch.source, batch.target_in, batch.real)  # (B, T, V)
    losses = token_losses(logits, batch.target_out, smoothing)  # (B, T)
    return losses.sum(), int((batch.target_out != IGNORE).sum())


def training_step(
    model: nn.Module,
    loss: Loss,
    batches: Sequence[tuple],
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
) -> tuple[float, float, int]:
    """One step on several batches, as if they were a single large one.

    Returns the mean loss, the norm of the gradient and the number of targets.
    Raises ValueError as `check_loss` does; then no parameter is changed.
    """
    device = next(model.parameters()).device
    total, count = 0.0, 0
    optimizer.zero_grad()
    for batch in batches:
        batch = type(batch)(*(part.to(device) for part in batch))
        with mixed_precision(device, config.precision):
            batch_total, batch_count = loss(model, batch)
        batch_total.backward()
        total, count = total + batch_total.item(), count + batch_count
    check_loss(total, count)
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= count  # of a sum we make a mean
    norm = clip_gradients(model.parameters(), config.clip)
    check_loss(norm, count, "norm of the gradient")
    optimizer.step()
    return total / count, norm, count


def mixed_precision(device: torch.device, precision: str) -> torch.autocast:
    """A context in which matrix products run in ``precision``.

    Parameters and their gradients stay in float32.
    """
    enabled = precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def check_loss(total: float, count: int, name: str = "loss") -> None:
    """Raise ValueError, with a remedy, for a loss that trains nothing."""
    if count == 0:
        raise ValueError(
            "No target of this step is to be predicted: all are padding. Leave "
            "empty sequences out of the batches."
        )
    if total != total or abs(total) == float("inf"):
        raise ValueError(
            f"The {name} is {total}. The last checkpoint is as it was. Try "
            "a lower learning rate, a longer warm-up or a smaller clip."
        )


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """PyTorch's AdamW: what chapter 10 writes by hand, in fused steps."""
    groups = parameter_groups(model, config.weight_decay)
    return torch.optim.AdamW(groups, config.lr, (0.9, 0.95), fused=True)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainConfig, step: int
) -> float:
    """Give every group the learning rate of this step, and return it."""
    share = warmup_cosine(step, config.steps, config.warmup, config.final)
    for group in optimizer.param_groups:
        group["lr"] = config.lr * share
    return config.lr * share


class StopOnCtrlC:
    """Ctrl-C, or Jupyter's stop button, ends training after the current step.

    So nothing is half-done. A second one stops at once. Outside the main
    thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self):
        self.requested = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *error):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.before)

    def _request(self, *signal_and_frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Callable[[int], tuple],
    config: TrainConfig,
    checkpoint: str | Path | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> History:
    """Train until ``config.steps``, or go on where the checkpoint stopped.

    ``batches(number)`` is a NamedTuple of tensors, ``loss`` its summed loss and
    number of targets. Ctrl-C stops after the current step, with a checkpoint.
    """
    optimizer = optimizer or adamw(model, config)
    history = begin(model.train(), optimizer, config, checkpoint)
    with StopOnCtrlC() as stop, Progress(config.steps, history) as progress:
        for step in range(len(history.losses), config.steps):
            first = step * config.accumulate
            parts = [batches(first + i) for i in range(config.accumulate)]
            lr = set_learning_rate(optimizer, config, step)
            done = training_step(model, loss, parts, optimizer, config)
            history.add(lr, *done)
            progress.show(history)
            end = parallel.anyone(stop.requested) or step + 1 == config.steps
            if checkpoint and (end or (step + 1) % config.save_every == 0):
                save_checkpoint(checkpoint, model, optimizer, config, history)
            if end:
                break
    return history


def begin(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    checkpoint: str | Path | None,
) -> History:
    """The history so far: that of the checkpoint, or an empty one."""
    if checkpoint and Path(checkpoint).exists():
        saved = load_checkpoint(checkpoint, model, optimizer, config)
        return History(**saved)
    torch.manual_seed(config.seed)
    return History()


class Progress:
    """A bar with the loss, the targets a second and the time left."""

    def __init__(self, steps: int, history: History):
        done = len(history.losses)
        settings = {"disable": True} if parallel.rank() else {}
        self.bar = tqdm(
            total=steps, initial=done, unit="step", leave=False, **settings
        )
        self.targets, self.start = 0, time.perf_counter()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.bar.close()

    def show(self, history: History) -> None:
        """Move on by one step."""
        self.targets += history.targets[-1]
        rate = self.targets / (time.perf_counter() - self.start)
        text = f"loss {history.losses[-1]:.3f}, {rate:,.0f} tokens/s"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()
