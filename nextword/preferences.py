"""Learning from preferences: a reward model, and DPO without one.

Home: chapter 20, notebooks/20_prompting.ipynb. A preference is a pair of answers
to the same prompt, of which one was preferred. Left out: where answers come from
and who judges them, and reinforcement learning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.batches import epoch_order
from nextword.blocks import token_positions
from nextword.instructions import answer_batch
from nextword.losses import IGNORE, token_losses
from nextword.transformer import GPT


class Preference(NamedTuple):
    """Two answers to a prompt."""

    prompt: Sequence[int]  # ids
    chosen: Sequence[int]
    rejected: Sequence[int]


class PreferenceBatch(NamedTuple):
    """Chosen and rejected answers after their prompts, (2 B, T).

    The first B rows are the chosen ones. Only answers are targets.
    """

    ids: Tensor
    targets: Tensor
    reference: Tensor  # (2 B,) ln P of the answers in the reference model


def log_probabilities(model: nn.Module, ids: Tensor, targets: Tensor) -> Tensor:
    """The ln P of the targets of each row, summed: (B, T) gives (B,)."""
    return -token_losses(model(ids), targets).sum(-1)


def reward_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-ln sigma(r_w - r_l) for rewards (B,) of chosen and rejected answers.

    Bradley and Terry, 1952; Ouyang et al., 2022, equation 1.
    """
    return -F.logsigmoid(chosen - rejected)  # (B,)


def dpo_loss(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """The loss (B,) of direct preference optimisation, for each pair.

    ``policy`` and ``reference`` (2 B,) hold ln P of the answers in the model
    and in the reference; the first B are the chosen ones. Rafailov et al.,
    2023, equation 7. Raises ValueError for a beta of 0 or less.
    """
    if not beta > 0:
        raise ValueError(f"beta is {beta}. Choose one above 0, such as 0.1.")
    rewards = beta * (policy - reference)  # (2 B,)
    return reward_loss(*rewards.chunk(2))


def best_policy(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """The policy with the largest E[r] - beta KL(policy | reference).

    ``reference`` (..., K) holds ln P of each of K answers, ``rewards``
    (..., K) their rewards. It is the reference times e^(r / beta), normalised.
    """
    return (reference + rewards / beta).softmax(-1)


class RewardModel(nn.Module):
    """A GPT, and a linear layer that gives a whole text one number.

    ids and targets (B, T) give rewards (B,): the layer reads the vector at the
    last target, where the whole text but the sign of its end was read.
    """

    def __init__(self, body: GPT):
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.config.d_model, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        positions = token_positions(ids, self.body.config)
        x = self.body.embedding(ids, positions)
        x = self.body.decoder(x, positions)  # (B, T, C)
        places = torch.arange(ids.shape[1], device=ids.device)
        last = torch.where(targets != IGNORE, places, -1).amax(-1)  # (B,)
        rows = torch.arange(len(ids), device=ids.device)
        return self.head(x[rows, last])[:, 0]  # (B,)


@dataclass(frozen=True)
class PreferenceBatches:
    """Batch number ``step`` of pairs, which are reshuffled each epoch.

    ``reference`` (2, N) holds ln P of the chosen and of the rejected answers.
    """

    pairs: Sequence[Preference]
    reference: Tensor
    batch_size: int
    seed: int = 0

    def __post_init__(self):
        if not 1 <= self.batch_size <= len(self.pairs):
            raise ValueError(
                f"{len(self.pairs)} pairs do not fill batches of "
                f"{self.batch_size}. Collect more, or choose smaller batches."
            )

    def __call__(self, step: int) -> PreferenceBatch:
        per_epoch = len(self.pairs) // self.batch_size
        epoch, number = divmod(step, per_epoch)
        order = epoch_order(len(self.pairs), epoch, self.seed)
        numbers = list(order[number * self.batch_size :][: self.batch_size])
        pairs = [self.pairs[n] for n in numbers]
        rows = [(p.prompt, p.chosen) for p in pairs]
        rows += [(p.prompt, p.rejected) for p in pairs]
        reference = self.reference[:, numbers].flatten()  # (2 B,)
        return PreferenceBatch(*answer_batch(rows), reference)


def reward_pair_loss(
    model: RewardModel, batch: PreferenceBatch
) -> tuple[Tensor, int]:
    """The summed loss of a reward model on pairs, and their number."""
    rewards = model(batch.ids, batch.targets)  # (2 B,)
    return reward_loss(*rewards.chunk(2)).sum(), len(rewards) // 2


def dpo_pair_loss(beta: float):
    """A loss for `fit`: that of DPO, summed over the pairs of a batch."""

    def loss(model: nn.Module, batch: PreferenceBatch) -> tuple[Tensor, int]:
        policy = log_probabilities(model, batch.ids, batch.targets)  # (2 B,)
        losses = dpo_loss(policy, batch.reference, beta)  # (B,)
        return losses.sum(), len(losses)

    return loss
