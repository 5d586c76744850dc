"""A pretrained encoder learns to sort texts into classes.

Home: chapter 15, notebooks/15_finetuning.ipynb.
A probe reads frozen vectors; full fine-tuning moves every parameter. Left out:
LoRA, which `nextword.lora` has, and the tasks themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nextword.batches import epoch_order, pad
from nextword.generation import evaluating
from nextword.losses import token_losses
from nextword.optim import warmup_cosine
from nextword.training import Loss, TrainConfig, training_step
from nextword.transformer import BERT

Row = tuple[list[int], list[int], int]  # ids, segments and the label of a text


class LabelledBatch(NamedTuple):
    """Texts with one label each."""

    ids: Tensor  # (B, T)
    real: Tensor  # (B, T) bool, False on padding
    segments: Tensor  # (B, T), 0 or 1: which of two texts
    labels: Tensor  # (B,), from 0 to K - 1


def labelled_batch(rows: Sequence[Row], pad_id: int) -> LabelledBatch:
    """Rows as one batch, padded on the right. ValueError for no rows."""
    ids = pad([ids for ids, _, _ in rows], pad_id)  # (B, T)
    segments = pad([segments for _, segments, _ in rows], 0)  # (B, T)
    lengths = torch.tensor([len(ids) for ids, _, _ in rows])
    real = torch.arange(ids.shape[1]) < lengths[:, None]  # (B, T)
    labels = torch.tensor([label for _, _, label in rows])
    return LabelledBatch(ids, real, segments, labels)


@dataclass(frozen=True)
class LabelledBatches:
    """Batch number ``step`` of the rows, which are reshuffled each epoch.

    The last batch of an epoch may be smaller; ``collate`` makes it of rows.
    Raises ValueError without rows and for a batch_size below 1.
    """

    rows: Sequence[Any]
    batch_size: int
    pad_id: int
    seed: int = 0
    collate: Callable[[Sequence[Any], int], Any] = labelled_batch

    def __post_init__(self):
        if min(len(self.rows), self.batch_size) < 1:
            raise ValueError(
                f"{len(self.rows)} rows do not make batches of "
                f"{self.batch_size}. Pass 1 or more of each."
            )

    def __call__(self, step: int) -> Any:
        per_epoch = -(-len(self.rows) // self.batch_size)
        epoch, number = divmod(step, per_epoch)
        order = epoch_order(len(self.rows), epoch, self.seed)
        first = number * self.batch_size
        chosen = order[first : first + self.batch_size]
        return self.collate([self.rows[n] for n in chosen], self.pad_id)


class Classifier(nn.Module):
    """A BERT, and a new linear layer on its vector of the first token.

    ids, real and segments (B, T) give logits (B, K). ``mean``: the layer reads
    the mean of the vectors of all real tokens instead. Devlin et al., 2019,
    have one more layer in between.
    """

    def __init__(self, body: BERT, classes: int, mean: bool = False):
        super().__init__()
        self.body, self.mean = body, mean
        self.head = nn.Linear(body.config.d_model, classes)
        nn.init.normal_(self.head.weight, 0.0, 0.02)
        nn.init.zeros_(self.head.bias)

    def features(self, ids: Tensor, real: Tensor, segments: Tensor) -> Tensor:
        x = self.body.encode(ids, real, segments)  # (B, T, C)
        if not self.mean:
            return x[:, 0]  # (B, C)
        x = x.masked_fill(~real[..., None], 0.0)
        return x.sum(1) / real.sum(1, keepdim=True)  # (B, C)

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor) -> Tensor:
        return self.head(self.features(ids, real, segments))  # (B, K)


def label_loss(model: nn.Module, batch: LabelledBatch) -> tuple[Tensor, int]:
    """The summed losses of a classifier, in nats, and the number of texts."""
    logits = model(batch.ids, batch.real, batch.segments)  # (B, K)
    return token_losses(logits, batch.labels).sum(), len(batch.labels)


def in_parts(
    model: nn.Module,
    compute: Callable[..., Tensor],
    batch: LabelledBatch,
    rows: int = 64,
) -> Tensor:
    """``compute(ids, real, segments)`` for a batch of any size, on the CPU."""
    parts = []
    with evaluating(model) as device:
        for first in range(0, len(batch.ids), rows):
            part = (x[first : first + rows].to(device) for x in batch[:3])
            parts.append(compute(*part).cpu())
    return torch.cat(parts)


def features(model: Classifier, batch: LabelledBatch) -> Tensor:
    """What the head of a classifier reads (B, C), without dropout."""
    return in_parts(model, model.features, batch)


def label_accuracy(model: nn.Module, batch: LabelledBatch) -> float:
    """The share of the texts whose label has the largest logit."""
    said = in_parts(model, model, batch).argmax(-1)  # (B,)
    return float((said == batch.labels).double().mean())


class Probe(NamedTuple):
    """Logistic regression on vectors that are standardised first."""

    mean: Tensor  # (C,) of the training set
    std: Tensor  # (C,) of the training set
    weight: Tensor  # (C, K)
    bias: Tensor  # (K,)

    def logits(self, x: Tensor) -> Tensor:
        """(N, C) gives (N, K)."""
        z = (x.double() - self.mean) / self.std
        return z @ self.weight + self.bias


def fit_probe(
    x: Tensor, labels: Tensor, classes: int, penalty: float = 1.0
) -> Probe:
    """The probe that minimises: summed loss + penalty / 2 * sum of weight^2.

    x (N, C), labels (N,). The sum is convex, so the start does not matter.
    """
    x = x.double()
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 1e-9, std, 1.0)  # a constant tells nothing
    weight = x.new_zeros(x.shape[1], classes, requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    probe = Probe(mean, std, weight, bias)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=500, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = token_losses(probe.logits(x), labels).sum()
        loss = (loss + penalty / 2 * (weight**2).sum()) / len(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    return Probe(mean, std, weight.detach(), bias.detach())


@torch.no_grad()
def renew_rows(table: nn.Embedding, rows: Sequence[int], seed: int = 0) -> None:
    """Draw rows of a table anew, such as those of words that were never read.

    Each number comes from a normal distribution with the mean and the standard
    deviation that the other rows have in its column. If only one other row is
    left, the new ones equal it. Raises ValueError if none is left.
    """
    others = [n for n in range(len(table.weight)) if n not in set(rows)]
    if not others:
        raise ValueError("All rows are to be renewed. Keep one or more.")
    mean = table.weight[others].mean(0)  # (C,)
    std = table.weight[others].std(0, correction=0)  # (C,)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(len(rows), len(mean), generator=generator)
    table.weight[list(rows)] = mean + std * draw.to(std)


def layer_groups(model: Classifier, lr: float, decay: float) -> list[dict]:
    """Groups of parameters whose learning rate falls from the head downwards.

    The head has ``lr``, the top layer lr * decay, and so on; the embeddings
    have the lowest one (Howard and Ruder, 2018, section 3.2). What is frozen is
    left out. Raises ValueError for a decay outside (0, 1].
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay is {decay}. Choose one above 0, at most 1.")
    top = len(model.body.encoder.layers)
    groups: dict[int, list] = {}
    for name, parameter in model.named_parameters():
        depth = 1  # the norm at the end of the encoder
        if name.startswith("head."):
            depth = 0
        elif name.startswith("body.encoder.layers."):
            depth = top - int(name.split(".")[3])
        elif "embedding" in name or name.startswith("body.norm."):
            depth = top + 1
        if parameter.requires_grad:
            groups.setdefault(depth, []).append(parameter)
    return [
        {"params": groups[depth], "lr": lr * decay**depth}
        for depth in sorted(groups)
    ]


def fine_tune(
    model: nn.Module,
    batches: Callable[[int], tuple],
    config: TrainConfig,
    groups: Sequence[dict] | None = None,
    loss: Loss = label_loss,
) -> list[float]:
    """Train a classifier; returns the loss of each step.

    ``groups`` of parameters may have an "lr" of their own, the peak for them.
    Without groups, everything that is not frozen is trained at config.lr.
    Another head has another ``loss``.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        groups or trained, config.lr, weight_decay=config.weight_decay
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    torch.manual_seed(config.seed)
    model.train()
    losses = []
    for step in range(config.steps):
        share = warmup_cosine(step, config.steps, config.warmup, config.final)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = share * peak
        parts = [batches(step)]
        losses.append(training_step(model, loss, parts, optimizer, config)[0])
    return losses
