"""Sequences that repeat themselves, and how far back heads look in them.

Home: chapter 22, notebooks/22_interpretability.ipynb. Olsson et al., 2022. Left
out: models.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nextword.batches import TokenBatch
from nextword.losses import IGNORE


def repeats(
    periods: Tensor, T: int, V: int, generator: torch.Generator
) -> Tensor:
    """For each period (B,), so many different tokens, repeated: (B, T).

    From position ``period`` on, every next token follows from the ones before.
    Raises ValueError unless 1 < period <= V for each.
    """
    if periods.min() < 2 or periods.max() > V:
        raise ValueError(
            f"The periods go from {int(periods.min())} to "
            f"{int(periods.max())}. Choose them from 2 to V = {V}."
        )
    order = torch.rand(len(periods), V, generator=generator).argsort(1)
    return order.gather(1, torch.arange(T) % periods[:, None])  # (B, T)


def repeat_batch(ids: Tensor, periods: Tensor) -> TokenBatch:
    """Ids (B, T + 1) as input and targets (B, T), where these can be known."""
    T = ids.shape[1] - 1
    unknown = torch.arange(T) < periods[:, None]  # (B, T)
    return TokenBatch(ids[:, :-1], ids[:, 1:].masked_fill(unknown, IGNORE))


@dataclass(frozen=True)
class RepeatBatches:
    """Batch number ``step``: repeated sequences, each with a random period.

    So no fixed distance leads to the answer.
    """

    batch_size: int
    seed: int = 0
    T: int = 40
    V: int = 32
    shortest: int = 16
    longest: int = 20

    def __call__(self, step: int) -> TokenBatch:
        generator = torch.Generator().manual_seed(self.seed * 10**6 + step)
        size, end = (self.batch_size,), self.longest + 1
        periods = torch.randint(self.shortest, end, size, generator=generator)
        ids = repeats(periods, self.T + 1, self.V, generator)
        return repeat_batch(ids, periods)


def looks_back(weights: Tensor, distance: int, first: int) -> Tensor:
    """The mean weight of each head on the token ``distance`` before: (H,).

    weights (B, H, T, T); the mean is over the positions from ``first`` on. At
    distance 1 it tells previous-token heads, at period - 1 induction heads.
    Raises ValueError if the token before is none.
    """
    if not 0 <= distance <= first < weights.shape[-1]:
        raise ValueError(
            f"Position {first} has no token {distance} before it. Choose 0 <= "
            "distance <= first < T."
        )
    back = weights.diagonal(-distance, dim1=-2, dim2=-1)  # (B, H, T - distance)
    return back[..., first - distance :].mean((0, 2))  # (H,)
