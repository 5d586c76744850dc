"""Cross-entropy of logits, with padding left out and label smoothing.

Home: chapter 10, notebooks/10_training.ipynb. Left out: what a model is and
where targets come from.
"""

import torch
from torch import Tensor

IGNORE = -100  # a target that is not to be predicted, as in PyTorch


def token_losses(
    logits: Tensor, targets: Tensor, smoothing: float = 0.0
) -> Tensor:
    """-ln p(target) for each target, in nats; 0 where the target is IGNORE.

    logits (..., V) and targets (...) give (...). With ``smoothing`` e, the
    target keeps 1 - e of its probability, and e is shared among all V tokens
    (Szegedy et al., 2016, section 7). Raises ValueError for targets outside
    the vocabulary and for a smoothing outside [0, 1].
    """
    check_targets(logits, targets, smoothing)
    exact = torch.promote_types(logits.dtype, torch.float32)  # not bfloat16
    log_p = logits.log_softmax(dim=-1, dtype=exact)  # (..., V)
    ignored = targets == IGNORE  # (...)
    index = targets.masked_fill(ignored, 0)[..., None]  # (..., 1)
    losses = -(1 - smoothing) * log_p.gather(-1, index)[..., 0]  # (...)
    if smoothing:
        losses = losses - smoothing * log_p.mean(dim=-1)
    return losses.masked_fill(ignored, 0.0)


def check_targets(logits: Tensor, targets: Tensor, smoothing: float) -> None:
    """Raise ValueError, with a remedy, for what has no cross-entropy."""
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"Logits of shape {tuple(logits.shape)} need targets of shape "
            f"{tuple(logits.shape[:-1])}, but theirs is {tuple(targets.shape)}."
        )
    if not 0 <= smoothing <= 1:
        raise ValueError(
            f"smoothing is {smoothing}. It is a probability: 0 for none, 0.1 "
            "as in the paper."
        )
    V = logits.shape[-1]
    wrong = (targets != IGNORE) & ((targets < 0) | (targets >= V))
    if wrong.any():
        raise ValueError(
            f"{int(targets[wrong][0])} is a target, but the logits are for ids "
            f"0 to {V - 1}. To leave a place out, set its target to {IGNORE}."
        )


def cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.0
) -> Tensor:
    """The mean of `token_losses` over the targets that are not IGNORE.

    A batch without any such target has no mean: it gives NaN, as in PyTorch.
    """
    losses = token_losses(logits, targets, smoothing)
    return losses.sum() / (targets != IGNORE).sum()
