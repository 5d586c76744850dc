"""Masked language modelling: hide some tokens, predict them from both sides.

Home: chapter 13, notebooks/13_bert.ipynb. Left out: the model, and masking of
whole words or spans.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nextword.losses import IGNORE, token_losses


class MaskedBatch(NamedTuple):
    """Texts with some tokens hidden, and what stood there."""

    ids: Tensor  # (B, T), some of them changed
    real: Tensor  # (B, T) bool, False on padding
    segments: Tensor  # (B, T), 0 or 1: which of two texts
    targets: Tensor  # (B, T), IGNORE where nothing is to be predicted


@dataclass(frozen=True)
class Masking:
    """How words are hidden. Raises ValueError for shares that make no sense."""

    mask_id: int
    pad_id: int
    first_word: int  # ids below are special: never hidden, never drawn
    vocab_size: int
    rate: float = 0.15  # the share of the words that are to be predicted
    masked: float = 0.8  # of these: become mask_id
    random: float = 0.1  # of these: become any word; the others stay

    def __post_init__(self):
        if not 0 < self.rate <= 1 or min(self.masked, self.random) < 0:
            raise ValueError(
                f"rate is {self.rate}, masked {self.masked} and random "
                f"{self.random}. They are shares, from 0 to 1; rate is above 0."
            )
        if not self.masked + self.random <= 1 + 1e-9:
            raise ValueError(
                f"masked {self.masked} and random {self.random} are more than "
                "all. Choose shares with a sum of 1 or less."
            )
        special = max(self.mask_id, self.pad_id)
        if not special < self.first_word < self.vocab_size:
            raise ValueError(
                f"first_word is {self.first_word}, of {self.vocab_size} ids. "
                f"Words need ids, and larger ones than {special}."
            )


def hide(
    ids: Tensor, masking: Masking, generator: torch.Generator
) -> MaskedBatch:
    """Texts, ids (B, T), with words hidden: each with probability ``rate``.

    Of the chosen words most become the mask, some any word, and some stay
    (Devlin et al., 2019).
    """
    draw = torch.rand(ids.shape, generator=generator)  # (B, T)
    chosen = (draw < masking.rate) & (ids >= masking.first_word)
    way = torch.rand(ids.shape, generator=generator)  # (B, T)
    words = torch.randint(
        masking.first_word, masking.vocab_size, ids.shape, generator=generator
    )
    masked = chosen & (way < masking.masked)
    random = chosen & (way >= 1 - masking.random)
    changed = torch.where(random, words, ids).masked_fill(
        masked, masking.mask_id
    )
    targets = ids.masked_fill(~chosen, IGNORE)
    real = ids != masking.pad_id
    return MaskedBatch(changed, real, torch.zeros_like(ids), targets)


@dataclass(frozen=True)
class MaskedBatches:
    """Batch number ``step`` of texts, with words hidden anew each time.

    ``texts(step)`` gives ids (B, T).
    """

    texts: Callable[[int], Tensor]
    masking: Masking
    seed: int = 0

    def __call__(self, step: int) -> MaskedBatch:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return hide(self.texts(step), self.masking, generator)


def masked_loss(model: nn.Module, batch: MaskedBatch) -> tuple[Tensor, int]:
    """The summed losses of a BERT at the hidden places, and their number."""
    logits = model(batch.ids, batch.real, batch.segments)  # (B, T, V)
    losses = token_losses(logits, batch.targets)  # (B, T)
    return losses.sum(), int((batch.targets != IGNORE).sum())
