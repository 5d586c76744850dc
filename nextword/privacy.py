"""What a language model gives away: exposure of secrets, and who was read.

Home: chapter 24, notebooks/24_limits.ipynb. An attack on membership gives each
text a score, larger for texts that it takes for members of the training set. Left
out: the texts and the training.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nextword.losses import token_losses
from nextword.planted import (
    DIGITS,
    LENGTH,
    Canary,
    code_tokenizer,
    encode_texts,
)


@torch.inference_mode()
def code_log_p(model: nn.Module, canary: Canary) -> Tensor:
    """Ln P(code | prefix) of every code, in their order: (CODES,).

    A beginning is read once for all codes that share it, so ten thousand codes
    take 1,111 rows.
    """
    device = next(model.parameters()).device
    ids = code_tokenizer().ids
    digits = torch.tensor([ids[d] for d in DIGITS], device=device)
    rows = torch.tensor(encode_texts([canary.prefix]), device=device)[:, :-1]
    total = torch.zeros(1, device=device)
    for _ in range(LENGTH):
        log_p = model(rows)[:, -1].log_softmax(-1)[:, digits]  # (N, 10)
        total = (total[:, None] + log_p).flatten()  # (10 N,)
        new = digits.repeat(len(rows))[:, None]  # (10 N, 1)
        rows = torch.cat([rows.repeat_interleave(len(digits), 0), new], 1)
    return total


def rank(log_p: Tensor, code: int) -> int:
    """The place of a code when the likeliest comes first; 1 is the best."""
    return 1 + int((log_p > log_p[code]).sum())


def exposure(rank: int, candidates: int) -> float:
    """log2 candidates - log2 rank, in bits (Carlini et al., 2019).

    Raises ValueError for a rank that is none of 1 to candidates.
    """
    if not 1 <= rank <= candidates:
        raise ValueError(
            f"{rank} is no rank among {candidates} candidates. The likeliest "
            f"has rank 1, the last one {candidates}."
        )
    return math.log2(candidates) - math.log2(rank)


def without_copies(texts: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Each text once, in the order of its first copy (Lee et al., 2022)."""
    return list({tuple(text): text for text in texts}.values())


@torch.inference_mode()
def text_losses(
    model: nn.Module, ids: Tensor, targets: Tensor, rows: int = 128
) -> Tensor:
    """-ln P of each text, in nats: ids and targets (B, T) give (B,)."""
    parts = zip(ids.split(rows), targets.split(rows), strict=True)
    losses = [token_losses(model(x), y).sum(-1) for x, y in parts]
    return torch.cat(losses).double().cpu()


def check_scores(members: Sequence[float], others: Sequence[float]) -> None:
    """Raise ValueError, with a remedy, for scores that have no ROC curve."""
    for name, scores in (("members", members), ("others", others)):
        if not len(scores) or not np.isfinite(scores).all():
            raise ValueError(
                f"The scores of the {name} are none, or not all finite. Pass "
                "one number or more for each of the two groups."
            )


def roc(
    members: Sequence[float], others: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The false and the true positive rate at every threshold.

    Both begin at 0 (nothing is called a member) and end at 1. Equal scores
    cross the threshold together. Raises ValueError for scores without a curve.
    """
    check_scores(members, others)
    scores = np.concatenate([members, others])
    order = np.argsort(-scores, kind="stable")
    crossed = np.append(np.diff(scores[order]) != 0, True)  # not between equals
    called = np.arange(1, len(scores) + 1)[crossed]
    true = np.cumsum(order < len(members))[crossed]
    false = called - true
    zero = np.zeros(1)
    return (
        np.concatenate([zero, false / len(others)]),
        np.concatenate([zero, true / len(members)]),
    )


def auc(false: np.ndarray, true: np.ndarray) -> float:
    """The area under a ROC curve, by trapezoids.

    It is the probability that a member has a larger score than another text,
    where equal scores count one half.
    """
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))


def true_at(false: np.ndarray, true: np.ndarray, most: float) -> float:
    """The best true positive rate with at most this false positive rate."""
    return float(true[false <= most].max())


def most_true(false: np.ndarray, epsilon: float, delta: float) -> np.ndarray:
    """What differential privacy allows: no attack has more true positives.

    The bound is the smaller one of e^ε FPR + δ and 1 - e^-ε (1 - δ - FPR)
    (Kairouz et al., 2015). Raises ValueError for an ε below 0 or a δ that is
    no probability.
    """
    if epsilon < 0 or not 0 <= delta <= 1:
        raise ValueError(
            f"epsilon is {epsilon} and delta {delta}. Epsilon is 0 or more, "
            "delta a small probability."
        )
    false = np.asarray(false, dtype=float)
    grow = math.exp(min(epsilon, 700.0))  # a float holds no larger power
    bound = np.minimum(grow * false + delta, 1 - (1 - delta - false) / grow)
    return np.clip(bound, 0.0, 1.0)
