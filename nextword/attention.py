"""Attention: masks, weights, and softmax(Q K^T / sqrt(d_k)) V.

Home: chapter 5, notebooks/05_attention.ipynb. In a mask, True means "may look
here". Left out: several heads, dropout, and a fused computation that never
stores the weights.
"""

import math

import torch
from torch import Tensor


def causal_mask(T: int, device: torch.device | None = None) -> Tensor:
    """True where position t may look: at itself and at what is before it.

    Shape (T, T), bool: rows are the positions that look, columns those seen.
    Raises ValueError if T is below 1.
    """
    if T < 1:
        raise ValueError(f"T is {T}. A causal mask needs one position or more.")
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()  # (T, T)


def padding_mask(ids: Tensor, pad_id: int) -> Tensor:
    """True where a token is real, so that nobody looks at padding.

    From ids (B, S) to bool (B, 1, S): the same for every position that looks.
    Combine it with a causal mask by ``&``. Raises ValueError unless ids is
    (B, S).
    """
    if ids.dim() != 2:
        raise ValueError(
            f"ids has shape {tuple(ids.shape)}. Pass a batch of shape (B, S); "
            "for one sequence, ids[None]."
        )
    return (ids != pad_id)[:, None, :]  # (B, 1, S)


def check_attention(q: Tensor, k: Tensor, mask: Tensor | None) -> None:
    """Raise ValueError, with a remedy, for shapes that attention cannot use."""
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"Queries have {q.shape[-1]} numbers and keys {k.shape[-1]}. They "
            "are compared by a dot product, so project both to the same size."
        )
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(
            f"The mask is {mask.dtype}. Pass a bool mask that is True where a "
            "position may look; for a mask of zeros and ones, mask.bool()."
        )
    scores = (*q.shape[:-1], k.shape[-2])
    fits = mask.dim() <= len(scores) and all(
        m in (1, s)
        for m, s in zip(mask.shape[::-1], scores[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"A mask of shape {tuple(mask.shape)} does not fit scores of shape "
            f"{scores}. Its last two sizes are (T, S): who looks, who is seen."
        )


def attention_weights(
    q: Tensor, k: Tensor, mask: Tensor | None = None
) -> Tensor:
    """softmax(Q K^T / sqrt(D)) (Vaswani et al., 2017, equation 1).

    q (..., T, D) and k (..., S, D) give weights (..., T, S). Each row sums to
    1; a row that may look nowhere is all 0, and so is its gradient.
    """
    check_attention(q, k, mask)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., T, S)
    if mask is None:
        return scores.softmax(dim=-1)
    # Not -inf: a row of nothing but -inf would become NaN, and so its gradient.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Attention(Q, K, V) = softmax(Q K^T / sqrt(D)) V: a weighted mean of V.

    q (..., T, D), k (..., S, D) and v (..., S, E) give (..., T, E). ``mask``
    is bool and fits (..., T, S). Raises ValueError for sizes that do not fit.
    """
    if v.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"There are {k.shape[-2]} keys but {v.shape[-2]} values. Each key "
            "needs its value: make both from the same sequence."
        )
    return attention_weights(q, k, mask) @ v  # (..., T, E)
