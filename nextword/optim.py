"""AdamW, its two groups of parameters, and the schedule of its learning rate.

Home: chapter 10, notebooks/10_training.ipynb. `AdamW` is written to be read:
`nextword.training` uses PyTorch's, which is equal and faster.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def adamw_step(
    parameter: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> None:
    """Step ``t`` = 1, 2, ... of AdamW: changes parameter, m and v in place.

    Loshchilov and Hutter, 2019, algorithm 2, with the decay times the learning
    rate, as in PyTorch. m and v are running means of the gradient and of its
    square, of the parameter's shape, 0 at first.
    """
    beta1, beta2 = betas
    m.mul_(beta1).add_(gradient, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    m_hat = m / (1 - beta1**t)  # a mean that began at 0 is too small
    v_hat = v / (1 - beta2**t)
    parameter.mul_(1 - lr * weight_decay)  # apart from the gradient: the W
    parameter.sub_(lr * m_hat / (v_hat.sqrt() + eps))


class AdamW:
    """`adamw_step` for all parameters, with the interface of torch.optim.

    ``groups`` are dicts of "params" and, if they differ, "weight_decay".
    """

    def __init__(self, groups: Iterable[dict], lr: float, **settings: float):
        self.param_groups = [{"lr": lr, **settings, **g} for g in groups]
        self.state, self.t = {}, {}  # of each parameter: (m, v), and its steps
        for group in self.param_groups:
            group["params"] = list(group["params"])
            for p in group["params"]:
                self.state[p] = torch.zeros_like(p), torch.zeros_like(p)
                self.t[p] = 0

    def zero_grad(self) -> None:
        for p in self.state:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            settings = {k: x for k, x in group.items() if k != "params"}
            for p in group["params"]:
                if p.grad is not None:
                    self.t[p] += 1
                    adamw_step(p, p.grad, *self.state[p], self.t[p], **settings)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices decay towards 0; biases and the gains of norms do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {
            "params": [p for p in parameters if p.dim() >= 2],
            "weight_decay": weight_decay,
        },
        {
            "params": [p for p in parameters if p.dim() < 2],
            "weight_decay": 0.0,
        },
    ]


def warmup_cosine(
    step: int, steps: int, warmup: int, final: float = 0.1
) -> float:
    """The share of the peak learning rate at ``step`` = 0 ... steps - 1.

    It rises in a line over ``warmup`` steps, then falls along half a cosine to
    ``final`` at the last step (Loshchilov and Hutter, 2017). Raises ValueError
    if the warm-up is not shorter than the training or ``final`` is no share.
    """
    if not 0 <= warmup < steps:
        raise ValueError(
            f"A warm-up of {warmup} steps does not fit in {steps} steps. "
            "Choose one of 0 or more steps, shorter than the training."
        )
    if not 0 <= final <= 1:
        raise ValueError(f"final is {final}. Choose a share, from 0 to 1.")
    if step < warmup:
        return (step + 1) / (warmup + 1)
    fallen = min((step - warmup) / max(steps - 1 - warmup, 1), 1.0)
    return final + (1 - final) * (1 + math.cos(math.pi * fallen)) / 2


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], largest: float) -> float:
    """Shorten all gradients by one factor, so that their norm is no larger.

    The norm is over all numbers of all gradients together (Pascanu et al.,
    2013). Returns the norm before, in nats per unit of the parameters; 0
    without any gradient.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    norm = torch.stack([g.norm() for g in gradients]).norm()
    if norm > largest:
        for gradient in gradients:
            gradient.mul_(largest / norm)
    return float(norm)
