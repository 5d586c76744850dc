"""Integrated gradients: closed forms, completeness, and tables that are replaced."""

import math

import pytest
import torch
from torch import nn

from nextword.attribution import integrated_gradients, path_points, reading
from nextword.blocks import TransformerConfig
from nextword.transformer import BERT, initialise

EXACT = {"rtol": 0, "atol": 1e-12}


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_points_are_the_middles_of_equal_parts(steps):
    x, baseline = numbers(3, 2), numbers(3, 2, seed=1)
    points = path_points(x, baseline, steps)
    assert points.shape == (steps, 3, 2)
    for n in range(steps):
        share = (2 * n + 1) / (2 * steps)
        expected = (1 - share) * baseline + share * x
        torch.testing.assert_close(points[n], expected, **EXACT)


@pytest.mark.parametrize("steps", [1, 7])
def test_a_linear_function_gets_its_own_terms_back(steps):
    weights, x, baseline = (numbers(4, 3, seed=s) for s in (0, 1, 2))
    found = integrated_gradients(
        lambda v: (v * weights).sum((1, 2)) + 5, x, baseline, steps
    )
    torch.testing.assert_close(found, weights * (x - baseline), **EXACT)


def test_a_product_is_shared_by_its_factors():
    x = torch.tensor([3.0, 4.0]).double()
    found = integrated_gradients(
        lambda v: v[:, 0] * v[:, 1], x, torch.zeros_like(x), 3
    )
    torch.testing.assert_close(found, torch.tensor([6.0, 6.0]).double())


def test_a_flat_end_does_not_hide_what_decided():
    """At x the gradient is nearly 0, but the share is the whole change."""
    x, zero = torch.tensor([20.0]).double(), torch.zeros(1).double()
    found = integrated_gradients(lambda v: v[:, 0].tanh(), x, zero, 2000)
    assert 1 - math.tanh(20) ** 2 < 1e-10
    assert abs(float(found) - math.tanh(20)) < 1e-4


def test_shares_are_complete():
    """Their sum is f(x) - f(baseline), and each step brings it nearer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1)).double()
    x, baseline = 2 * numbers(6), numbers(6, seed=1)

    def f(v):
        return net(v)[:, 0]

    change = (f(x[None]) - f(baseline[None])).item()
    gaps = [
        abs(float(integrated_gradients(f, x, baseline, n).sum()) - change)
        for n in (1, 8, 64, 512)
    ]
    assert abs(change) > 0.1
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-6 < gaps[0]


def test_what_does_not_differ_from_the_baseline_gets_nothing():
    x, baseline = numbers(5), numbers(5, seed=1)
    baseline[2] = x[2]
    found = integrated_gradients(lambda v: v.prod(1), x, baseline, 4)
    assert found[2] == 0 and (found != 0).sum() == 4


def test_two_functions_that_say_the_same_get_the_same_shares():
    """Implementation invariance, the second axiom of the paper."""
    x, zero = numbers(4), torch.zeros(4).double()
    one = integrated_gradients(lambda v: (v.exp().log() * 2).sum(1), x, zero)
    two = integrated_gradients(lambda v: 2 * v.sum(1), x, zero)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-10)


def test_parameters_get_no_gradient():
    net = nn.Linear(3, 1).double()
    x = numbers(3).requires_grad_()
    found = integrated_gradients(
        lambda v: net(v)[:, 0], x, torch.zeros(3).double()
    )
    assert not found.requires_grad and x.grad is None
    assert all(p.grad is None for p in net.parameters())


def test_what_makes_no_sense_is_refused():
    x = torch.ones(3)
    with pytest.raises(ValueError, match="two tensors of one shape"):
        integrated_gradients(lambda v: v.sum(1), x, torch.ones(2))
    with pytest.raises(ValueError, match="1 step or more"):
        integrated_gradients(lambda v: v.sum(1), x, x, 0)
    with pytest.raises(ValueError, match="one number for each"):
        integrated_gradients(lambda v: v, x, 0 * x)


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    model = BERT(TransformerConfig(11, 8, 12, 2, 2)).double().eval()
    initialise(model, 0.4)
    return model


def test_a_model_reads_the_vectors_that_it_is_given(bert):
    table = bert.embedding.tokens
    asked, instead = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 7, 3]])
    with torch.no_grad():
        with reading(table, table.weight[instead]):
            found = bert.encode(asked)
        torch.testing.assert_close(found, bert.encode(instead), **EXACT)
        assert not torch.allclose(found, bert.encode(asked))  # closed again


def test_a_table_is_itself_again_after_an_error(bert):
    ids = torch.tensor([[4, 5]])
    before = bert.encode(ids)
    wrong = torch.zeros(1, 3, 12).double()
    with (
        pytest.raises(ValueError, match="Pass one for each id"),
        reading(bert.embedding.tokens, wrong),
    ):
        bert.encode(ids)
    assert torch.equal(bert.encode(ids), before)


def test_shares_of_the_words_of_a_bert_are_complete(bert):
    table = bert.embedding.tokens
    ids, empty = torch.tensor([1, 9, 5, 2]), torch.tensor([1, 3, 3, 2])

    def f(vectors):
        with reading(table, vectors):
            hidden = bert.encode(ids.expand(len(vectors), -1))
        return hidden.mean(1)[:, 0]

    x, baseline = table.weight[ids].detach(), table.weight[empty].detach()
    found = integrated_gradients(f, x, baseline, 400)
    change = (f(x[None]) - f(baseline[None])).item()
    assert abs(change) > 0.01
    assert abs(float(found.sum()) - change) < 1e-4
    assert found[0].abs().sum() == found[3].abs().sum() == 0
