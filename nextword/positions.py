"""Positions: sinusoidal, rotary, and ALiBi.

Home: chapter 8, notebooks/08_positions.ipynb. Sinusoids are added to the
embeddings, rotary positions turn queries and keys, ALiBi adds to the scores.
Left out: learned positions, which are an ``nn.Embedding``, and ways to stretch
a trained model to longer texts.
"""

import torch
from torch import Tensor


def rotary_angles(
    positions: Tensor, d_head: int, base: float = 10_000.0
) -> Tensor:
    """The angle p * base^(-2i / D) of position p for each pair i of numbers.

    Positions (...) give angles (..., D / 2), in radians: in the floating type
    of the positions, in float32 for integers. Raises ValueError if d_head is
    odd.
    """
    if d_head % 2:
        raise ValueError(
            f"The size is {d_head}, but positions act on pairs of numbers. "
            "Choose an even size."
        )
    dtype = positions.dtype if positions.is_floating_point() else None
    i = torch.arange(d_head // 2, dtype=dtype, device=positions.device)
    return positions[..., None] * base ** (-2 * i / d_head)  # (..., D / 2)


def sinusoidal(positions: Tensor, d_model: int) -> Tensor:
    """sin(p w_i) at number 2i, cos(p w_i) at 2i + 1; w_i = 10000^(-2i / C).

    Vaswani et al., 2017, section 3.5. Positions (...) give (..., C). Raises
    ValueError if d_model is odd.
    """
    angles = rotary_angles(positions, d_model)  # (..., C / 2)
    pairs = torch.stack([angles.sin(), angles.cos()], dim=-1)
    return pairs.flatten(-2)  # (..., C)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn pair i of each vector, the numbers i and i + D / 2, by angle i.

    Su et al., 2021, equation 34, which pairs neighbours instead. x (..., T, D)
    and angles (..., T, D / 2) give (..., T, D). Afterwards the dot product of
    a query and a key depends on the difference of their positions alone.
    """
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)  # (..., T, D / 2) each
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def alibi_slopes(n_heads: int) -> Tensor:
    """2^(-8 h / H) for head h = 1 ... H (Press et al., 2022, section 3)."""
    h = torch.arange(1, n_heads + 1)
    return 2.0 ** (-8.0 * h / n_heads)  # (H,)


def alibi_bias(n_heads: int, T: int) -> Tensor:
    """What ALiBi adds to the scores: -slope * distance, -inf on the future.

    Shape (H, T, T), for the ``attn_mask`` of scaled dot-product attention.
    """
    t = torch.arange(T)
    distance = t[:, None] - t  # (T, T), negative on the future
    bias = alibi_slopes(n_heads)[:, None, None] * -distance  # (H, T, T)
    return bias.masked_fill(distance < 0, -torch.inf)
