"""A sparse autoencoder: vectors as sums of a few directions out of many.

Home: chapter 22, notebooks/22_interpretability.ipynb. Bricken et al., 2023, and
Cunningham et al., 2023. Left out: dead features brought back to life.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SparseAutoencoder(nn.Module):
    """M features of vectors of C numbers, most of them 0.

    f = ReLU((x - c) W + b) and x' = f D + c. The rows of D have length 1.
    """

    def __init__(self, C: int, M: int, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(M, C, generator=generator)
        self.directions = nn.Parameter(F.normalize(directions, dim=-1))  # D
        self.reader = nn.Parameter(self.directions.detach().T.contiguous())  # W
        self.bias = nn.Parameter(torch.zeros(M))
        self.centre = nn.Parameter(torch.zeros(C))

    def encode(self, x: Tensor) -> Tensor:
        """(..., C) gives the features (..., M), 0 or more."""
        return F.relu((x - self.centre) @ self.reader + self.bias)

    def decode(self, f: Tensor) -> Tensor:
        """(..., M) gives (..., C)."""
        return f @ self.directions + self.centre

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def sparse_loss(sae: SparseAutoencoder, x: Tensor, penalty: float) -> Tensor:
    """The mean of ||x - x'||^2 + penalty * (sum of the features)."""
    f = sae.encode(x)  # (N, M)
    error = ((x - sae.decode(f)) ** 2).sum(-1)  # (N,)
    return (error + penalty * f.sum(-1)).mean()


def sparse_step(
    sae: SparseAutoencoder,
    x: Tensor,
    penalty: float,
    optimizer: torch.optim.Optimizer,
) -> float:
    """One step; then every direction gets length 1 again. Returns the loss.

    Else small features and long directions would escape the penalty.
    """
    loss = sparse_loss(sae, x, penalty)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        sae.directions.copy_(F.normalize(sae.directions, dim=-1))
    return loss.item()


def train_sparse(
    x: Tensor,
    M: int,
    penalty: float,
    steps: int,
    seed: int = 0,
    lr: float = 2e-3,
) -> SparseAutoencoder:
    """An autoencoder of M features for vectors x (N, C), 512 in a step.

    Raises ValueError for no vectors.
    """
    if x.dim() != 2 or not len(x):
        raise ValueError(
            f"x has shape {tuple(x.shape)}. Pass vectors of shape (N, C)."
        )
    sae = SparseAutoencoder(x.shape[1], M, seed).to(x)
    with torch.no_grad():
        sae.centre.copy_(x.mean(0))
    optimizer = torch.optim.Adam(sae.parameters(), lr)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        late = min(1.0, 5 * (1 - step / steps))  # the last fifth slows down
        optimizer.param_groups[0]["lr"] = lr * late
        rows = torch.randint(len(x), (512,), generator=generator)
        sparse_step(sae, x[rows.to(x.device)], penalty, optimizer)
    return sae


def explained(x: Tensor, rebuilt: Tensor) -> float:
    """The share of the variance of x (N, C) that is rebuilt."""
    total = ((x - x.mean(0)) ** 2).sum()
    return float(1 - ((x - rebuilt) ** 2).sum() / total)


def principal(x: Tensor) -> Tensor:
    """The principal components of x (N, C) as rows, the largest first."""
    return torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh


def best_f1(values: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The best F1 of each column as a detector, and its threshold.

    values (N, M) and truth (N,), bool. A detector says yes where a value is at
    or above its threshold; the best threshold is one of its values. Gives
    (M,) and (M,). Raises ValueError if nothing is true.
    """
    if not truth.any():
        raise ValueError("No row is true. Pass some that are.")
    ordered, order = values.sort(dim=0, descending=True)  # (N, M)
    hits = truth[order].double().cumsum(0)  # (N, M)
    said = torch.arange(1, len(truth) + 1, device=values.device)[:, None]
    f1 = 2 * hits / (said + truth.sum())  # (N, M)
    tied = torch.zeros_like(f1, dtype=torch.bool)
    tied[:-1] = ordered[:-1] == ordered[1:]  # the threshold takes both
    f1 = f1.masked_fill(tied, -1.0)
    best, place = f1.max(dim=0)  # (M,)
    return best, ordered.gather(0, place[None])[0]


def f1_at(values: Tensor, truth: Tensor, threshold: Tensor) -> Tensor:
    """F1 of detectors (N, M) with given thresholds (M,): (M,)."""
    said = values >= threshold  # (N, M)
    hits = (said & truth[:, None]).double().sum(0)
    return 2 * hits / (said.sum(0) + truth.sum())
