"""LoRA: a frozen matrix, and beside it two narrow ones that are trained.

Home: chapter 15, notebooks/15_finetuning.ipynb.
Left out: dropout on the way in, several adapters in one model, and frozen
matrices in fewer bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def check_rank(part: nn.Module, r: int, alpha: float) -> None:
    """Raise ValueError, with a remedy, where this LoRA does not fit."""
    if type(part) is not nn.Linear:
        raise ValueError(
            "LoRA stands beside a linear layer, but this part is a "
            f"{type(part).__name__}. Name linear layers that have no LoRA yet."
        )
    most = min(part.weight.shape)
    if not 1 <= r <= most or not alpha > 0:
        raise ValueError(
            f"The rank is {r} and alpha {alpha}, for a matrix of "
            f"{tuple(part.weight.shape)}. Choose a rank from 1 to {most}, "
            "and an alpha above 0."
        )


class LoRALinear(nn.Module):
    """x W^T + b + (alpha / r) x A^T B^T, where only A and B are trained.

    x (..., n) gives (..., m). W (m, n) and b are frozen; A (r, n) is random and
    B (m, r) is 0, so at first nothing is changed. Raises ValueError for a rank
    below 1 or above the matrix's. (Hu et al., 2021, equation 3.)
    """

    def __init__(self, linear: nn.Linear, r: int, alpha: float):
        super().__init__()
        check_rank(linear, r, alpha)
        m, n = linear.weight.shape
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / r
        self.A = nn.Parameter(linear.weight.new_empty(r, n))
        self.B = nn.Parameter(linear.weight.new_zeros(m, r))
        nn.init.normal_(self.A, 0.0, n**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        low = x @ self.A.T  # (..., r)
        return self.linear(x) + self.scale * (low @ self.B.T)  # (..., m)


def find_parts(
    model: nn.Module, names: Sequence[str]
) -> list[tuple[nn.Module, str]]:
    """Where the parts of these names are: the module that holds each, its name.

    Raises ValueError, with a remedy, if the model has none.
    """
    found = [
        (holder, name)
        for holder in model.modules()
        for name, _ in holder.named_children()
        if name in names
    ]
    if not found:
        raise ValueError(
            f"The model has no part named {' or '.join(names)}. Choose names "
            "of linear layers, such as q_proj, v_proj or linear1."
        )
    return found


def add_lora(
    model: nn.Module,
    r: int = 8,
    alpha: float = 16.0,
    names: Sequence[str] = ("q_proj", "v_proj"),
) -> list[nn.Parameter]:
    """Freeze a model, and put LoRA beside its layers of these names.

    Returns the new parameters: all that is left to train. After a ValueError,
    for names or a rank that do not fit, the model is as it was.
    """
    found = find_parts(model, names)
    for holder, name in found:
        check_rank(getattr(holder, name), r, alpha)
    model.requires_grad_(False)
    new = []
    for holder, name in found:
        layer = LoRALinear(getattr(holder, name), r, alpha)
        setattr(holder, name, layer)
        new += [layer.A, layer.B]
    return new


@torch.no_grad()
def merge(layer: LoRALinear) -> nn.Linear:
    """One linear layer that computes the same: its matrix is W + s B A."""
    linear = layer.linear
    m, n = linear.weight.shape
    one = nn.Linear(n, m, linear.bias is not None).to(linear.weight)
    one.weight.copy_(linear.weight + layer.scale * (layer.B @ layer.A))
    if linear.bias is not None:
        one.bias.copy_(linear.bias)
    return one


def take_out_lora(model: nn.Module, merged: bool) -> None:
    """Merge LoRA into the matrices of a model, or throw it away.

    Thrown away, the model is bit by bit what it was. All of its parameters can
    be trained again. Raises ValueError for a model without LoRA.
    """
    found = [
        (holder, name)
        for holder in model.modules()
        for name, part in holder.named_children()
        if isinstance(part, LoRALinear)
    ]
    if not found:
        raise ValueError("There is no LoRA in this model. Call add_lora first.")
    for holder, name in found:
        layer = getattr(holder, name)
        setattr(holder, name, merge(layer) if merged else layer.linear)
    model.requires_grad_(True)
