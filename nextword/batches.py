"""Token ids into batches of tensors: windows of a stream, or padded pairs.

Home: chapter 10, notebooks/10_training.ipynb. A batch is a function of the seed
and of its number alone, so training can go on anywhere. Left out: streams too
large for memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from nextword.losses import IGNORE


class PairBatch(NamedTuple):
    """Source texts and their targets, padded to equal length."""

    source: Tensor  # (B, S) ids
    real: Tensor  # (B, S) bool, False on padding
    target_in: Tensor  # (B, T) ids, what the decoder sees: start, then target
    target_out: Tensor  # (B, T) ids, what it must say: target, then end


def pad(sequences: Sequence[Sequence[int]], value: int) -> Tensor:
    """Lists of ids as one tensor (B, longest), ``value`` on the right.

    Raises ValueError for no sequences or an empty one.
    """
    if not sequences or not all(len(s) for s in sequences):
        raise ValueError(
            "There is an empty sequence, or none at all. Leave empty ones out "
            "before making batches."
        )
    longest = max(len(s) for s in sequences)
    rows = [[*s, *[value] * (longest - len(s))] for s in sequences]
    return torch.tensor(rows)  # (B, longest)


def pair_batch(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    start_id: int,
    end_id: int,
    pad_id: int,
) -> PairBatch:
    """Pairs of (source, target) ids as one batch for a `Transformer`.

    The decoder's input is the target shifted right by ``start_id``; its last
    output is ``end_id``. Padding of the output is IGNORE.
    """
    source = pad([s for s, _ in pairs], pad_id)
    target_in = pad([[start_id, *t] for _, t in pairs], pad_id)
    target_out = pad([[*t, end_id] for _, t in pairs], IGNORE)
    return PairBatch(source, source != pad_id, target_in, target_out)


@lru_cache(maxsize=2)
def epoch_order(n: int, epoch: int, seed: int) -> tuple[int, ...]:
    """The numbers 0 to n - 1 in an order that each epoch has for itself."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return tuple(torch.randperm(n, generator=generator).tolist())


@dataclass(frozen=True)
class PairBatches:
    """Batch number ``step`` of (source, target) pairs, reshuffled each epoch.

    Within an epoch every pair comes once; its last batch may be smaller.
    Raises ValueError without pairs and for a batch_size below 1.
    """

    pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    batch_size: int
    start_id: int
    end_id: int
    pad_id: int
    seed: int = 0

    def __post_init__(self):
        if min(len(self.pairs), self.batch_size) < 1:
            raise ValueError(
                f"{len(self.pairs)} pairs do not make batches of "
                f"{self.batch_size}. Pass 1 or more of each."
            )

    def __call__(self, step: int) -> PairBatch:
        per_epoch = -(-len(self.pairs) // self.batch_size)
        epoch, number = divmod(step, per_epoch)
        order = epoch_order(len(self.pairs), epoch, self.seed)
        first = number * self.batch_size
        pairs = [self.pairs[i] for i in order[first : first + self.batch_size]]
        return pair_batch(pairs, self.start_id, self.end_id, self.pad_id)


class TokenBatch(NamedTuple):
    """Windows of a stream of ids, and the ids that follow at each place."""

    ids: Tensor  # (B, T)
    targets: Tensor  # (B, T)


@dataclass(frozen=True)
class TokenBatches:
    """Batch number ``step``: windows that begin anywhere in a stream of ids.

    Raises ValueError if the stream (N,) is too short for one window, and for
    sizes below 1.
    """

    ids: Tensor
    batch_size: int
    context_length: int
    seed: int = 0

    def __post_init__(self):
        B, T, N = self.batch_size, self.context_length, len(self.ids)
        if min(B, T, N - T) < 1:
            raise ValueError(
                f"{N} ids do not give {B} windows of {T} ids, with the id "
                "after each. Use a longer text or a shorter context_length, "
                "and sizes of 1 or more."
            )

    def __call__(self, step: int) -> TokenBatch:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        last = len(self.ids) - self.context_length
        starts = torch.randint(last, (self.batch_size, 1), generator=generator)
        places = starts + torch.arange(self.context_length)  # (B, T)
        return TokenBatch(self.ids[places], self.ids[places + 1])
