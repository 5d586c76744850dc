"""Activations that are thrown away, and computed again on the way back.

Home: chapter 23, notebooks/23_efficiency.ipynb. (Chen et al., 2016.) Left out:
autocast inside a layer, dropout on a GPU, and a choice of what to keep.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Recompute(torch.autograd.Function):
    """layer(x, *others), of which only x is saved for the way back."""

    @staticmethod
    def forward(ctx, layer: nn.Module, x: Tensor, *others: Any) -> Tensor:
        """X (..., C) gives what the layer gives."""
        ctx.layer, ctx.others, ctx.rng = layer, others, torch.get_rng_state()
        ctx.save_for_backward(x)
        return layer(x, *others)  # without a graph: autograd is off here

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x; those of the parameters are added to theirs."""
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(ctx.rng)  # the same dropout as before
            y = ctx.layer(x, *ctx.others)
        torch.autograd.backward(y, gradient)
        return None, x.grad, *(None for _ in ctx.others)


class Recomputed(nn.Module):
    """A layer whose inner activations are computed twice and kept never.

    Raises ValueError if parameters need a gradient and x asks for none: then
    autograd would not come here on its way back.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return self.layer(x, *others)
        trained = any(p.requires_grad for p in self.layer.parameters())
        if trained and not x.requires_grad:
            raise ValueError(
                "x needs no gradient, so the layer's parameters would get "
                "none. Pass x.requires_grad_()."
            )
        return Recompute.apply(self.layer, x, *others)


def recompute_layers(layers: nn.ModuleList) -> None:
    """Let each of these layers compute its activations again."""
    for i, layer in enumerate(layers):
        layers[i] = Recomputed(layer)
