"""DP-SGD: gradients of single texts, clipped, summed, and hidden in noise.

Home: chapter 24, notebooks/24_limits.ipynb. (Abadi et al., 2016.) The privacy
accountant is that of Opacus. Left out: cheaper ways to the same sums, such as
ghost clipping.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nextword.losses import IGNORE
from nextword.transformer import GPT

Gradients = Mapping[str, Tensor]  # name of a parameter: a tensor for it


@dataclass(frozen=True)
class PrivateConfig:
    """What the privacy of a training run depends on, and its learning rate."""

    bound: float = 1.0  # c: no text has a longer gradient
    noise: float = 1.0  # σ: the noise has the standard deviation σ c
    rate: float = 0.125  # q: each text is in a batch with this probability
    steps: int = 160
    lr: float = 3e-3

    def __post_init__(self):
        positive = min(self.bound, self.steps, self.lr) > 0
        if not positive or self.noise < 0 or not 0 < self.rate <= 1:
            raise ValueError(
                f"{self} cannot be trained. The rate is a probability above 0, "
                "the noise is 0 or more, and all else is above 0."
            )


class Unchecked(nn.Module):
    """The logits of a `GPT`, without the checks of ids that read numbers.

    ids (B, T) give (B, T, V). Inside vmap, a number cannot be read.
    """

    def __init__(self, gpt: GPT):
        super().__init__()
        self.gpt = gpt

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        x = self.gpt.embedding(ids, positions)  # (B, T, C)
        return self.gpt.lm_head(self.gpt.decoder(x, positions))


def text_loss(
    model: nn.Module, parameters: Gradients, ids: Tensor, targets: Tensor
) -> Tensor:
    """The mean loss of one text, as a function of the parameters.

    ids (T,) and targets (T,), IGNORE on padding, give one number.
    """
    logits = functional_call(model, dict(parameters), (ids[None],))[0]  # (T, V)
    return F.cross_entropy(logits, targets, ignore_index=IGNORE)


def gradients_of_texts(
    model: nn.Module, ids: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    """The gradient of each text of a batch: a (B, ...) for each parameter."""
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    one = grad(lambda p, x, y: text_loss(model, p, x, y))
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels are not for vmap
        return vmap(one, in_dims=(None, 0, 0))(parameters, ids, targets)


def norms(gradients: Gradients) -> Tensor:
    """The length of the whole gradient of each text: (B,)."""
    squares = [g.flatten(1).square().sum(1) for g in gradients.values()]
    return torch.stack(squares).sum(0).sqrt()


def clipped_sum(gradients: Gradients, bound: float) -> dict[str, Tensor]:
    """The sum over texts of g min(1, c / |g|), for each parameter."""
    lengths = norms(gradients)  # (B,)
    tiny = torch.finfo(lengths.dtype).tiny
    shares = (bound / lengths.clamp(min=tiny)).clamp(max=1.0)
    return {
        name: torch.einsum("b,b...->...", shares, g)
        for name, g in gradients.items()
    }


def poisson_batch(
    number: int, rate: float, generator: torch.Generator
) -> Tensor:
    """Which of the texts are in a batch: each one with probability ``rate``."""
    return (torch.rand(number, generator=generator) < rate).nonzero()[:, 0]


def private_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ids: Tensor,
    targets: Tensor,
    config: PrivateConfig,
    generator: torch.Generator,
) -> None:
    """One step of DP-SGD with the texts (N, T), of which a batch is drawn.

    Whatever the optimizer makes of the noisy gradient costs no privacy.
    """
    batch = poisson_batch(len(ids), config.rate, generator)
    expected = config.rate * len(ids)  # not the true size: that is private
    parameters = dict(model.named_parameters())
    sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
    if len(batch):
        real = (targets[batch] != IGNORE).any(0).sum()  # columns with a target
        x, y = ids[batch, :real], targets[batch, :real]
        sums = clipped_sum(gradients_of_texts(model, x, y), config.bound)
    for name, p in parameters.items():
        noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
        spread = config.noise * config.bound
        p.grad = (sums[name] + spread * noise.to(p.device)) / expected
    optimizer.step()


def train_privately(
    gpt: GPT, ids: Tensor, targets: Tensor, config: PrivateConfig, seed: int
) -> None:
    """Train by DP-SGD on texts (N, T); Adam makes steps of its gradients."""
    model = Unchecked(gpt)
    optimizer = torch.optim.Adam(model.parameters(), config.lr)
    # Not the stream of numbers that the model began with.
    generator = torch.Generator().manual_seed(seed + 10**6)
    for _ in range(config.steps):
        private_step(model, optimizer, ids, targets, config, generator)


def epsilon(config: PrivateConfig, delta: float) -> float:
    """The ε of all steps together, by the accountant of Opacus.

    Rényi differential privacy of the sampled Gaussian mechanism (Mironov et
    al., 2019). Without noise it is infinite. Raises ValueError, with the
    remedy, where Opacus is not installed.
    """
    if not config.noise:
        return float("inf")
    try:
        from opacus.accountants import RDPAccountant
    except ModuleNotFoundError as error:
        raise ValueError(
            "The privacy accountant needs Opacus: pip install opacus"
        ) from error
    accountant = RDPAccountant()
    accountant.history = [(config.noise, config.rate, config.steps)]
    return float(accountant.get_epsilon(delta))
