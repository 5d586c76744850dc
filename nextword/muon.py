"""Muon: steps whose size is the same in every direction of a matrix.

The gradient of a matrix, averaged over steps, has a few strong directions and
many weak ones. Muon gives all of them the same strength (Jordan et al., 2024).
What is no matrix of a layer, such as embeddings and norms, is left to AdamW. Left
out: convolutions.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nextword import parallel
from nextword.optim import adamw_step

# A polynomial that brings singular values from (0, 1] near 1 in few steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices (N, m, n) with their singular vectors, and values near 1.

    Newton-Schulz: X becomes a X + b (X X^T) X + c (X X^T)^2 X, again and again.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT.contiguous() if tall else x  # the smaller side first
    for _ in range(steps):
        square = x @ x.mT
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, factor, x, beta=a)  # product and sum in one call
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for the matrices of a model's layers, AdamW for everything else.

    A step has the size that AdamW's would have, so one learning rate serves
    both (Liu et al., 2025).
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
    ):
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        matrices = [
            p for n, p in named if p.dim() == 2 and "embedding" not in n
        ]
        chosen = set(map(id, matrices))
        rest = [p for _, p in named if id(p) not in chosen]
        settings = {"momentum": momentum, "weight_decay": weight_decay}
        groups = [
            {"params": matrices, "orthogonal": True, **settings},
            {"params": rest, "orthogonal": False, "weight_decay": 0.0},
        ]
        super().__init__([g for g in groups if g["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                alike = defaultdict(list)  # one shape together: it is faster
                for p in moved:
                    alike[p.shape].append(p)
                for matrices in alike.values():
                    self._orthogonal_step(matrices, group)
            else:
                for p in moved:
                    self._adamw_step(p, group)

    def _orthogonal_step(self, matrices: Sequence[Tensor], group: dict) -> None:
        ahead = [parallel.whole(self._ahead(p, group)) for p in matrices]
        updates = orthogonalise(torch.stack(ahead))
        updates *= 0.2 * math.sqrt(max(matrices[0].shape))  # as AdamW's steps
        for p, update in zip(matrices, updates, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.sub_(group["lr"] * parallel.like(update, p))

    def _ahead(self, p: Tensor, group: dict) -> Tensor:
        """Nesterov's momentum: the mean gradient, and a part of the new one."""
        state, beta = self.state[p], group["momentum"]
        if not state:
            state["mean"] = torch.zeros_like(p)
        state["mean"].lerp_(p.grad, 1 - beta)
        return p.grad.lerp(state["mean"], beta)

    def _adamw_step(self, p: Tensor, group: dict) -> None:
        state = self.state[p]
        if not state:
            state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] = torch.zeros(())
        state["step"] += 1
        adamw_step(
            p,
            p.grad,
            state["m"],
            state["v"],
            int(state["step"]),
            group["lr"],
            weight_decay=group["weight_decay"],
        )
