"""Weights as whole numbers of few bits, with scales that bring them back.

Home: chapter 23, notebooks/23_efficiency.ipynb. The numbers are symmetric: 0
stays 0. Left out: activations in few bits, products of whole numbers, and
choices of the scale that look at data.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Share = str | int  # "tensor", "row", or so many numbers of a row


def largest_whole(bits: int) -> int:
    """The largest whole number: 127 for 8 bits, 7 for 4. ValueError else."""
    if bits not in range(2, 9):
        raise ValueError(f"bits is {bits!r}. Choose a whole number, 2 to 8.")
    return 2 ** (bits - 1) - 1


def cut_groups(W: Tensor, share: Share) -> Tensor:
    """W (m, n) as one row for each group of weights that share a scale.

    ``share``: "tensor" gives (1, m n), "row" (m, n), a number g (m n / g, g).
    Raises ValueError for what is no matrix and for a g that does not divide n.
    """
    if W.dim() != 2:
        raise ValueError(f"W has shape {tuple(W.shape)}. Pass a matrix.")
    size = {"tensor": W.numel(), "row": W.shape[1]}.get(share, share)
    whole = size == W.numel() or (
        isinstance(size, int) and size > 0 and W.shape[1] % size == 0
    )
    if not whole:
        raise ValueError(
            f"share is {share!r}, for rows of {W.shape[1]} numbers. Choose "
            "'tensor', 'row', or a number that divides the length of a row."
        )
    return W.reshape(-1, size)


def quantise(
    W: Tensor, bits: int = 8, share: Share = "row"
) -> tuple[Tensor, Tensor]:
    """Whole numbers (m, n), int8, and the scales (groups, 1) of a matrix W.

    s = max |w| / (2^(bits-1) - 1) in each group; q = round(w / s). A group of
    zeros has the scale 1. Raises ValueError for numbers that are not finite,
    and as `largest_whole` and `cut_groups` do. (Jacob et al., 2018, section
    2.1, with the zero point at 0.)
    """
    most = largest_whole(bits)
    groups = cut_groups(W, share)  # (G, g)
    if not torch.isfinite(W).all():
        raise ValueError("W holds infinity or NaN. Quantise finite weights.")
    scales = groups.abs().amax(1, keepdim=True) / most  # (G, 1)
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    whole = (groups / scales).round().clamp(-most, most)
    return whole.to(torch.int8).view(W.shape), scales


def restore(whole: Tensor, scales: Tensor) -> Tensor:
    """The matrix (m, n) that the whole numbers and scales stand for: s q."""
    groups = whole.reshape(len(scales), -1).to(scales.dtype)  # (G, g)
    return (groups * scales).view(whole.shape)


def pack_pairs(whole: Tensor) -> Tensor:
    """Two numbers from -8 to 7 in each byte: int8 (m, n) to uint8 (m, n / 2).

    Raises ValueError for an odd n or a number that does not fit in 4 bits.
    """
    if whole.shape[-1] % 2 or whole.min() < -8 or whole.max() > 7:
        raise ValueError(
            f"Numbers from {int(whole.min())} to {int(whole.max())} in rows of "
            f"{whole.shape[-1]} do not fit two by two. Quantise to 4 bits or "
            "fewer, in rows of even length."
        )
    low, high = ((whole[..., i::2] + 8).to(torch.uint8) for i in (0, 1))
    return low | high << 4


def unpack_pairs(packed: Tensor) -> Tensor:
    """The int8 numbers (m, n) that `pack_pairs` put into bytes (m, n / 2)."""
    pair = torch.stack((packed & 15, packed >> 4), dim=-1)  # (m, n / 2, 2)
    return pair.flatten(-2).to(torch.int8) - 8


class QuantisedLinear(nn.Module):
    """x (s q)^T + b: a linear layer that stores whole numbers and scales.

    x (..., n) gives (..., m). With 4 bits or fewer, two numbers share a byte.
    The weights are restored at each call, so this saves memory and not time.
    Nothing of it is trained.
    """

    def __init__(self, linear: nn.Linear, bits: int = 8, share: Share = "row"):
        super().__init__()
        whole, scales = quantise(linear.weight.detach(), bits, share)
        self.packed = bits <= 4
        stored = pack_pairs(whole) if self.packed else whole
        self.register_buffer("whole", stored)
        self.register_buffer("scales", scales)
        bias = linear.bias
        self.register_buffer("bias", None if bias is None else bias.detach())

    def weight(self) -> Tensor:
        """The matrix (m, n) that it computes with."""
        whole = unpack_pairs(self.whole) if self.packed else self.whole
        return restore(whole, self.scales)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight().to(x.dtype), self.bias)  # (..., m)


def quantise_linears(
    model: nn.Module,
    bits: int = 8,
    share: Share = "row",
    skip: Sequence[str] = ("lm_head",),
) -> int:
    """Replace linear layers by quantised ones; returns how many it replaced.

    Layers whose name is in ``skip`` stay: a head that is tied to the table of
    embeddings has no matrix of its own. ValueError if there are no layers.
    """
    found = [
        (holder, name, part)
        for holder in model.modules()
        for name, part in holder.named_children()
        if type(part) is nn.Linear and name not in skip
    ]
    if not found:
        raise ValueError("The model has no linear layer left to quantise.")
    new = [QuantisedLinear(part, bits, share) for _, _, part in found]
    for (holder, name, _), layer in zip(found, new, strict=True):
        setattr(holder, name, layer)
    return len(found)
