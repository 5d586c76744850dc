"""The sparse autoencoder: by hand, its gradient, and directions it must find."""

import math

import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score
from torch.nn import functional as F

from nextword.sparse import (
    SparseAutoencoder,
    best_f1,
    explained,
    f1_at,
    principal,
    sparse_loss,
    train_sparse,
)


def by_hand():
    """C = 2, M = 3, centre (1, 0)."""
    sae = SparseAutoencoder(2, 3)
    with torch.no_grad():
        sae.centre.copy_(torch.tensor([1.0, 0.0]))
        sae.reader.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]))
        sae.bias.copy_(torch.tensor([0.0, -1.0, 0.0]))
        sae.directions.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]))
    return sae


def test_one_vector_by_hand():
    """With x - c = (2, 3): features (2, 2, 0), rebuilt (3, 2), error 1."""
    sae, x = by_hand(), torch.tensor([[3.0, 3.0]])
    assert sae.encode(x).tolist() == [[2.0, 2.0, 0.0]]
    assert sae(x).tolist() == [[3.0, 2.0]]
    assert sparse_loss(sae, x, 0.5).item() == 1 + 0.5 * 4


def test_the_loss_is_a_mean_over_vectors():
    sae = by_hand()
    x = torch.tensor([[3.0, 3.0], [1.0, 0.0]])
    assert sparse_loss(sae, x, 0.5).item() == 3 / 2


def test_gradients_against_finite_differences():
    sae = SparseAutoencoder(3, 5, seed=1).double()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    sparse_loss(sae, x, 0.3).backward()
    for parameter in sae.parameters():
        flat, grad = parameter.data.view(-1), parameter.grad.view(-1)
        for n in range(0, len(flat), 4):
            values = []
            for step in (1e-6, -2e-6):
                flat[n] += step
                values.append(sparse_loss(sae, x, 0.3).item())
            flat[n] += 1e-6
            slope = (values[0] - values[1]) / 2e-6
            assert math.isclose(slope, grad[n], rel_tol=1e-4, abs_tol=1e-6)


def sparse_data(N=4000, C=16, M=24, active=2, seed=0):
    """Vectors that are sums of a few of M true directions."""
    g = torch.Generator().manual_seed(seed)
    true = F.normalize(torch.randn(M, C, generator=g), dim=-1)
    chosen = torch.rand(N, M, generator=g).argsort(1)[:, :active]
    sizes = 1 + torch.rand(N, active, generator=g)
    f = torch.zeros(N, M).scatter(1, chosen, sizes)
    return f @ true, true


def test_it_finds_more_directions_than_there_are_axes():
    x, true = sparse_data()
    sae = train_sparse(x, 48, 0.2, 1500, lr=5e-3)
    with torch.no_grad():
        cosines = (true @ sae.directions.T).amax(1)
        active = (sae.encode(x) > 0).float().sum(-1).mean()
        assert explained(x, sae(x)) > 0.9
    assert (cosines > 0.9).float().mean() > 0.8
    assert active < 10  # of 48
    components = principal(x)
    best = (true @ components.T).abs().amax(1)
    assert (best > 0.9).float().mean() < 0.2  # axes cannot be 24 directions


def test_a_larger_penalty_leaves_fewer_features_and_more_error():
    x, _ = sparse_data(1000)
    active, error = [], []
    for penalty in (0.05, 1.0):
        sae = train_sparse(x, 32, penalty, 200)
        with torch.no_grad():
            active.append((sae.encode(x) > 0).float().sum().item())
            error.append(1 - explained(x, sae(x)))
    assert active[1] < active[0] and error[1] > error[0]


def test_directions_keep_length_1_and_seeds_repeat():
    x, _ = sparse_data(500)
    one, two = (train_sparse(x, 20, 0.2, 20, seed=3) for _ in range(2))
    lengths = one.directions.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(20))
    assert torch.equal(one.directions, two.directions)
    other = train_sparse(x, 20, 0.2, 20, seed=4)
    assert not torch.equal(one.directions, other.directions)


def test_what_is_no_table_of_vectors_is_refused():
    for x in (torch.zeros(0, 4), torch.zeros(2, 3, 4)):
        with pytest.raises(ValueError, match="Pass vectors"):
            train_sparse(x, 8, 0.1, 1)


def test_explained_by_hand():
    x = torch.tensor([[1.0], [3.0]])
    assert explained(x, x) == 1
    assert explained(x, torch.tensor([[2.0], [2.0]])) == 0
    assert explained(x, torch.tensor([[1.0], [2.0]])) == 0.5


def test_components_are_those_of_scikit_learn():
    x, _ = sparse_data(300, C=6)
    ours = principal(x.double())
    theirs = torch.from_numpy(PCA(6).fit(x.double().numpy()).components_)
    torch.testing.assert_close(
        (ours * theirs).sum(-1).abs(), torch.ones(6).double()
    )


def test_the_best_f1_is_that_of_the_best_threshold():
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 6, (40, 5), generator=generator).float()
    truth = torch.rand(40, generator=generator) < 0.3
    best, threshold = best_f1(values, truth)
    for column in range(5):
        tried = [
            f1_score(truth.numpy(), (values[:, column] >= v).numpy())
            for v in values[:, column].unique()
        ]
        assert math.isclose(best[column], max(tried), rel_tol=1e-9)
    torch.testing.assert_close(f1_at(values, truth, threshold), best)


def test_a_perfect_detector_and_a_blind_one():
    truth = torch.tensor([True, False, True, False])
    values = torch.tensor([[5.0, 0.0], [1.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    best, threshold = best_f1(values, truth)
    assert best.tolist() == [1.0, 2 * 2 / (4 + 2)]
    assert threshold.tolist() == [4.0, 0.0]
    with pytest.raises(ValueError, match="No row is true"):
        best_f1(values, torch.zeros(4, dtype=torch.bool))
