"""Attention: masks, softmax(Q K^T / sqrt(d_k)) V, and several heads.

Home: chapter 5, notebooks/05_attention.ipynb, for one head, written out;
chapter 6, notebooks/06_heads.ipynb, for the fused computation and many heads.
In a mask, True means "may look here". Left out: positions and a memory of past keys.
Both can come in as a function ``prepare`` that changes q, k and v.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Prepare = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


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


def check_values(k: Tensor, v: Tensor) -> None:
    """Raise ValueError, with a remedy, unless each key has its value."""
    if v.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"There are {k.shape[-2]} keys but {v.shape[-2]} values. Each key "
            "needs its value: make both from the same sequence."
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
    check_values(k, v)
    return attention_weights(q, k, mask) @ v  # (..., T, E)


def fused_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """`attention` for all heads in one step that never stores the weights.

    q (B, H, T, D), k and v (B, H, S, D) give (B, H, T, D); ``mask`` fits
    (B, T, S). ``causal``: the queries are the last T of the S positions, and
    look only back. ``dropout`` acts on the weights. Raises ValueError for sizes
    that do not fit. (Dao et al., 2022.)
    """
    check_values(k, v)
    T, S = q.shape[-2], k.shape[-2]
    if causal and T > S:
        raise ValueError(
            f"{T} queries cannot be the last of {S} positions: pass a mask."
        )
    if mask is not None and mask.dim() == 3:
        mask = mask[:, None]  # (B, 1, T, S): the same for every head
    check_attention(q, k, mask)
    causal = causal and T > 1  # the last position may see all others
    if causal and (mask is not None or T < S):
        past = causal_mask(S, q.device)[S - T :]  # (T, S)
        mask, causal = past if mask is None else past & mask, False
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)


def head_size(d_model: int, n_heads: int) -> int:
    """D = C / H. Raises ValueError unless n_heads divides d_model."""
    if n_heads < 1 or d_model < 1 or d_model % n_heads:
        raise ValueError(
            f"{n_heads} heads cannot share d_model = {d_model} evenly. Choose "
            "n_heads among the divisors of d_model, such as d_model = 64 * "
            "n_heads."
        )
    return d_model // n_heads


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, T, C) to (B, H, T, D): cut each vector into H pieces of D numbers."""
    B, T, C = x.shape
    D = head_size(C, n_heads)
    return x.view(B, T, n_heads, D).transpose(1, 2)  # (B, H, T, D)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, D) to (B, T, C): put the pieces of each vector side by side."""
    B, H, T, D = x.shape
    return x.transpose(1, 2).reshape(B, T, H * D)  # (B, T, C)


class MultiHeadAttention(nn.Module):
    """H attentions side by side, on D = C / H numbers each, mixed at the end.

    x (B, T, C) looks at memory (B, S, C) or at itself; ``mask`` fits (B, T, S).
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0):
        super().__init__()
        C = n_heads * head_size(d_model, n_heads)  # checked: they fit
        self.n_heads, self.dropout = n_heads, dropout
        self.q_proj, self.k_proj = nn.Linear(C, C), nn.Linear(C, C)
        self.v_proj, self.out_proj = nn.Linear(C, C), nn.Linear(C, C)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        prepare: Prepare | None = None,
    ) -> Tensor:
        source = x if memory is None else memory
        q = split_heads(self.q_proj(x), self.n_heads)  # (B, H, T, D)
        k = split_heads(self.k_proj(source), self.n_heads)  # (B, H, S, D)
        v = split_heads(self.v_proj(source), self.n_heads)  # (B, H, S, D)
        q, k, v = prepare(q, k, v) if prepare else (q, k, v)
        p = self.dropout * self.training
        out = fused_attention(q, k, v, mask, causal, p)  # (B, H, T, D)
        return self.out_proj(merge_heads(out))  # (B, T, C)


class GroupedQueryAttention(MultiHeadAttention):
    """Attention whose heads share keys and values in ``n_groups`` groups.

    Ainslie et al., 2023. One group is multi-query attention (Shazeer, 2019).
    Causal. Raises ValueError unless n_groups divides n_heads.
    """

    def __init__(self, d_model: int, n_heads: int, n_groups: int):
        super().__init__(d_model, n_heads)
        if n_groups < 1 or n_heads % n_groups:
            raise ValueError(
                f"{n_heads} heads cannot form {n_groups} equal groups. Choose "
                f"n_groups among the divisors of {n_heads}."
            )
        self.n_groups = n_groups
        D = d_model // n_heads
        self.k_proj = nn.Linear(d_model, n_groups * D)
        self.v_proj = nn.Linear(d_model, n_groups * D)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.n_heads // self.n_groups
        q = split_heads(self.q_proj(x), self.n_heads)  # (B, H, T, D)
        k = split_heads(self.k_proj(x), self.n_groups)  # (B, G, T, D)
        v = split_heads(self.v_proj(x), self.n_groups)  # (B, G, T, D)
        k, v = (t.repeat_interleave(shared, dim=1) for t in (k, v))
        return self.out_proj(merge_heads(fused_attention(q, k, v, None, True)))


def window_mask(T: int, window: int) -> Tensor:
    """True for a position and the ``window`` - 1 before it, shape (T, T).

    Sliding-window attention (Beltagy et al., 2020). Raises ValueError if T or
    window is below 1.
    """
    if window < 1:
        raise ValueError(
            f"window is {window}. A position sees itself: 1 or more."
        )
    return causal_mask(T) & ~causal_mask(T).tril(-window)  # (T, T)
