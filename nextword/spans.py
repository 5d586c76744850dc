"""A BERT that answers by two places in a text: where the answer starts and ends.

Home: chapter 19, notebooks/19_questions.ipynb. Devlin et al., 2019, sections 4.2
and 4.3. The first token, CLS, stands for "no answer". Left out: texts that are
too long for the model.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nextword.batches import pad
from nextword.generation import evaluating
from nextword.losses import token_losses
from nextword.transformer import BERT


class SpanRow(NamedTuple):
    """One question with its text, as ids; a span has both its ends."""

    ids: list[int]  # CLS, text, SEP, question, SEP, in either order
    segments: list[int]
    text: tuple[int, int]  # the first and last place of an answer
    span: tuple[int, int] = (0, 0)  # of the answer; 0, 0 if there is none


class SpanBatch(NamedTuple):
    """Questions with their texts, padded to equal length."""

    ids: Tensor  # (B, T)
    real: Tensor  # (B, T) bool, False on padding
    segments: Tensor  # (B, T)
    text: Tensor  # (B, T) bool, True where an answer may stand
    spans: Tensor  # (B, 2), start and end


def span_batch(rows: Sequence[SpanRow], pad_id: int) -> SpanBatch:
    """Rows as one batch, padded on the right. ValueError for no rows."""
    ids = pad([row.ids for row in rows], pad_id)  # (B, T)
    segments = pad([row.segments for row in rows], 0)  # (B, T)
    places = torch.arange(ids.shape[1])
    real = places < torch.tensor([[len(row.ids)] for row in rows])  # (B, T)
    first, last = torch.tensor([row.text for row in rows]).T[..., None]
    text = (first <= places) & (places <= last)  # (B, T)
    spans = torch.tensor([row.span for row in rows])  # (B, 2)
    return SpanBatch(ids, real, segments, text, spans)


class SpanModel(nn.Module):
    """A BERT, and a linear layer that gives each token two logits.

    ids, real and segments (B, T) give (B, T, 2): how well a token does as the
    start of the answer, and as its end. Padding has the logit -inf.
    """

    def __init__(self, body: BERT):
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.config.d_model, 2)
        nn.init.normal_(self.head.weight, 0.0, 0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor) -> Tensor:
        x = self.body.encode(ids, real, segments)  # (B, T, C)
        return self.head(x).masked_fill(~real[..., None], -torch.inf)


def span_loss(model: nn.Module, batch: SpanBatch) -> tuple[Tensor, int]:
    """The summed loss of a span model, in nats, and the number of questions.

    For each question, the mean of -ln P(start) and -ln P(end).
    """
    logits = model(batch.ids, batch.real, batch.segments)  # (B, T, 2)
    losses = token_losses(logits.transpose(1, 2), batch.spans)  # (B, 2)
    return losses.mean(dim=1).sum(), len(batch.spans)


class BestSpans(NamedTuple):
    """For each question the best span, its score, and that of no answer."""

    first: Tensor  # (B,)
    last: Tensor  # (B,)
    score: Tensor  # (B,), start logit + end logit
    no_answer: Tensor  # (B,), the same sum at the first token


def best_spans(logits: Tensor, text: Tensor, longest: int) -> BestSpans:
    """Of all spans of ``text`` (B, T) the one with the largest sum of logits.

    logits (B, T, 2). A span has its start at or before its end, and at most
    ``longest`` tokens. Raises ValueError for longest < 1 and for empty texts.
    """
    if longest < 1 or not text.any(dim=1).all():
        raise ValueError(
            "No span is allowed. Choose longest of 1 or more, and mark where "
            "an answer may stand."
        )
    T = text.shape[1]
    start, end = logits.masked_fill(~text[..., None], -torch.inf).unbind(-1)
    sums = start[:, :, None] + end[:, None, :]  # (B, T, T)
    allowed = torch.ones(T, T, dtype=torch.bool, device=text.device)
    allowed = allowed.triu() & ~allowed.triu(longest)
    sums = sums.masked_fill(~allowed, -torch.inf)
    score, place = sums.flatten(1).max(dim=1)  # (B,)
    return BestSpans(place // T, place % T, score, logits[:, 0].sum(-1))


def find_spans(
    model: nn.Module, batch: SpanBatch, longest: int, rows: int = 64
) -> BestSpans:
    """The best spans of a batch of any size, without dropout, on the CPU."""
    parts = []
    with evaluating(model) as device:
        for first in range(0, len(batch.ids), rows):
            part = SpanBatch(
                *(x[first : first + rows].to(device) for x in batch)
            )
            logits = model(part.ids, part.real, part.segments)  # (B, T, 2)
            found = best_spans(logits, part.text, longest)
            parts.append([x.cpu() for x in found])
    return BestSpans(*(torch.cat(x) for x in zip(*parts, strict=True)))
