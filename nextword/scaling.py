"""Scaling laws: how the loss falls with the model, the data and the compute.

Home: chapter 14, notebooks/14_scaling.ipynb. It holds one recipe for models of
all sizes, their operations counted, and the fit of a law to their losses. Left
out: the grid of runs, which `benchmarks/scaling.py` trains and records.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nextword.blocks import TransformerConfig
from nextword.stories import StoryBatches
from nextword.training import TrainConfig, fit, language_loss
from nextword.transformer import GPT, initialise
from nextword.words import town_tokenizer

BATCH = 16  # stories


def sizes(width: int) -> TransformerConfig:
    """The models of the experiment: they differ in their width C alone."""
    V = town_tokenizer().vocab_size
    return TransformerConfig(V, 160, width, n_heads=4, n_layers=4)


def training(width: int, stories: int) -> TrainConfig:
    """One whole cosine for this many stories; wide models learn slower."""
    steps = stories // BATCH
    lr = 0.06 / math.sqrt(width)
    return TrainConfig(steps, lr, warmup=steps // 10)


def train_model(
    width: int,
    stories: int,
    seed: int = 0,
    unique: int | None = None,
    device: torch.device | str = "cpu",
) -> tuple[GPT, int]:
    """A GPT trained on so many stories, and the tokens it had to predict.

    ``unique``: only so many of the stories differ, and they come repeatedly.
    """
    torch.manual_seed(seed)
    model = GPT(sizes(width))
    initialise(model, 0.5 / math.sqrt(width))
    batches = StoryBatches(BATCH, seed=seed, number=unique)
    config = training(width, stories)
    history = fit(model.to(device), language_loss, batches, config)
    return model, sum(history.targets)


def non_embedding(model: nn.Module) -> int:
    """The number of a GPT's parameters outside its two tables."""
    tables = sum(p.numel() for p in model.embedding.parameters())
    return sum(p.numel() for p in model.parameters()) - tables


def forward_flops(config: TransformerConfig, T: int) -> dict[str, int]:
    """The operations of a forward pass, for one of T tokens, by their place.

    Only products of matrices count. Attention counts all T x T scores, as the
    formula does; fused kernels skip the half that the mask hides.
    """
    C, layers = config.d_model, config.n_layers
    weights = 4 * C * C + 2 * C * config.d_ff  # q, k, v, out; feed-forward
    return {
        "layers": 2 * layers * weights,
        "attention": 2 * layers * 2 * T * C,  # scores, and the weighted mean
        "head": 2 * C * config.vocab_size,
    }


@dataclass(frozen=True)
class Law:
    """loss = E + A / parameters^alpha + B / tokens^beta, in nats a token.

    Hoffmann et al., 2022, equation 2. E is what no model can avoid.
    """

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters, tokens):
        """What a model of this size reaches after so many tokens."""
        by_size = self.A / parameters**self.alpha
        return self.E + by_size + self.B / tokens**self.beta

    def optimum(self, flops):
        """Size and tokens of the lowest loss that these operations can buy."""
        a, b = self.alpha, self.beta
        balance = (a * self.A / (b * self.B)) ** (1 / (a + b))
        parameters = balance * (flops / 6) ** (b / (a + b))
        return parameters, flops / 6 / parameters


def linear_parts(
    alphas: np.ndarray,
    betas: np.ndarray,
    runs: np.ndarray,
    E: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """For each pair of exponents (K,), the best A, B and E, and its error.

    ``runs`` (n, 3) hold parameters, tokens, losses. The error (K,) is the sum
    of squares of predicted / loss - 1; infinite where a part is below 0.
    """
    parameters, tokens, losses = runs.T
    columns = [parameters ** -alphas[:, None], tokens ** -betas[:, None]]
    columns += [np.ones_like(columns[0])] if E is None else []
    X = np.stack(columns, axis=-1) / losses[:, None]  # (K, n, 2 or 3)
    y = 1 - (E or 0.0) / losses  # (n,)
    scale = np.sqrt((X**2).sum(1, keepdims=True))  # (K, 1, 2 or 3)
    Z = X / scale
    Zt = Z.swapaxes(1, 2)
    scaled = np.linalg.solve(Zt @ Z, (Zt @ y)[..., None])  # (K, 2 or 3, 1)
    errors = (((Z @ scaled)[..., 0] - y) ** 2).sum(1)  # (K,)
    parts = scaled[..., 0] / scale[:, 0]
    return parts, np.where((parts >= 0).all(1), errors, np.inf)


def search_exponents(runs: np.ndarray, E: float | None) -> tuple[float, Law]:
    """The smallest error on runs (n, 3), and the law that has it.

    A net of exponents is drawn closer around the best pair, again and again.
    """
    low, high = np.full(2, 0.02), np.full(2, 3.0)
    for _ in range(12):
        axes = np.linspace(low, high, 21).T
        alphas, betas = (x.ravel() for x in np.meshgrid(*axes))
        parts, errors = linear_parts(alphas, betas, runs, E)
        best = errors.argmin()
        centre, reach = np.array([alphas[best], betas[best]]), (high - low) / 5
        low, high = np.maximum(centre - reach, 0.02), centre + reach
    A, B = parts[best, :2]
    E = parts[best, 2] if E is None else E
    law = Law(*map(float, (E, A, alphas[best], B, betas[best])))
    return float(errors[best]), law


def fit_law(runs: np.ndarray, E: float | None = None) -> Law:
    """The law with the smallest relative errors on runs (n, 3).

    E is fitted too, as a number of 0 or more, unless it is given. Raises
    ValueError for fewer runs than numbers to fit, and if no law fits.
    """
    needed = 5 if E is None else 4
    if len(runs) < needed:
        raise ValueError(
            f"{len(runs)} runs cannot fix {needed} numbers. Train more models."
        )
    floors = (None, 0.0) if E is None else (E,)  # 0: the end of what E may be
    found = [search_exponents(np.asarray(runs), floor) for floor in floors]
    error, law = min(found, key=lambda pair: pair[0])
    if not math.isfinite(error):
        raise ValueError(
            "No law with A, B and E above 0 fits these runs. Do the losses "
            "fall with size and with tokens, and do they stay above E?"
        )
    return law


def bootstrap_laws(
    runs: np.ndarray, E: float | None = None, number: int = 200, seed: int = 0
) -> list[Law]:
    """Laws fitted to as many runs, drawn from them with repetition."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(runs), size=(number, len(runs)))
    return [fit_law(np.asarray(runs)[draw], E) for draw in draws]


def gpu_days(flops: float, peak: float, utilisation: float) -> float:
    """Days that one GPU needs at this share of its peak FLOP/s."""
    return flops / (peak * utilisation) / 86_400
