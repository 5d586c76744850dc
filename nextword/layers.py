"""The parts of a Transformer layer besides attention.

Home: chapter 7, notebooks/07_layers.ipynb. Left out: attention, positions,
and the order in which a layer uses its parts.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),  # GPT-2's
}


def check_width(x: Tensor, d_model: int) -> None:
    """Raise ValueError, with a remedy, unless x is (..., d_model)."""
    if x.shape[-1:] != (d_model,):
        raise ValueError(
            f"x has shape {tuple(x.shape)}, but this norm is for vectors of "
            f"{d_model} numbers. The last axis is the one that is normalised: "
            "make the norm with that size, or move the axis to the end."
        )


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * gain + bias, for each vector of x.

    The variance is the biased one: it divides by C (Ba et al., 2016). x is
    (..., C), gain and bias are (C,). Raises ValueError for another C.
    """
    check_width(x, len(gain))
    mean = x.mean(dim=-1, keepdim=True)  # (..., 1)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)  # (..., 1)
    return (x - mean) / torch.sqrt(variance + eps) * gain + bias


def rms_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Divide each vector by its root mean square (Zhang and Sennrich, 2019).

    x / sqrt(mean(x^2) + eps) * gain, with x (..., C) and gain (C,). Raises
    ValueError for another C.
    """
    check_width(x, len(gain))
    mean_square = (x**2).mean(dim=-1, keepdim=True)  # (..., 1)
    return x / torch.sqrt(mean_square + eps) * gain


class LayerNorm(nn.Module):
    """`layer_norm` with a gain and a bias that are learned, in one fused step.

    x (..., C) gives (..., C). Raises ValueError for another C.
    """

    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))  # the gain
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        check_width(x, len(self.weight))
        return F.layer_norm(
            x, self.weight.shape, self.weight, self.bias, self.eps
        )


class RMSNorm(nn.Module):
    """`rms_norm` with a gain that is learned, in one fused step.

    x (..., C) gives (..., C). Raises ValueError for another C.
    """

    def __init__(self, d_model: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))  # the gain
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        check_width(x, len(self.weight))
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class FeedForward(nn.Module):
    """activation(x W_1 + b_1) W_2 + b_2, the same for every position.

    Vaswani et al., 2017, equation 2. ``activation`` is one of ACTIVATIONS.
    Raises ValueError for another.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"There is no activation {activation!r}. Choose one of "
                f"{', '.join(ACTIVATIONS)}."
            )
        self.activation = ACTIVATIONS[activation]
        self.linear1 = nn.Linear(d_model, d_ff)
        self.linear2 = nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.linear1(x))  # (B, T, d_ff)
        return self.linear2(self.dropout(hidden))  # (B, T, C)


class SwiGLU(nn.Module):
    """(SiLU(x W_1) * x W_3) W_2: one half opens and closes the other.

    Shazeer, 2020. With two thirds of FeedForward's d_ff, its matrices hold as
    many parameters. x (..., C) gives (..., C).
    """

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.linear1 = nn.Linear(d_model, d_ff, bias=False)
        self.linear2 = nn.Linear(d_ff, d_model, bias=False)
        self.linear3 = nn.Linear(d_model, d_ff, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.silu(self.linear1(x))  # (B, T, d_ff)
        return self.linear2(gate * self.linear3(x))  # (B, T, C)


class Residual(nn.Module):
    """A sublayer f with its short cut, its norm and its dropout.

    Post-norm is norm(x + f(x)) (Vaswani et al., 2017, section 3.1), pre-norm
    is x + f(norm(x)) (Xiong et al., 2020).
    """

    def __init__(
        self,
        d_model: int,
        norm_first: bool,
        dropout: float = 0.0,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.norm = LayerNorm(d_model, eps)
        self.norm_first = norm_first
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(f(self.norm(x)))  # (B, T, C)
        return self.norm(x + self.dropout(f(x)))  # (B, T, C)
