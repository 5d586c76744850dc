"""DP-SGD: against loops, against Opacus, by hand, and its accountant."""

import copy
import math
import sys
import warnings

import pytest
import torch
from torch import nn

from nextword.dpsgd import (
    PrivateConfig,
    Unchecked,
    clipped_sum,
    epsilon,
    gradients_of_texts,
    norms,
    poisson_batch,
    private_step,
    text_loss,
    train_privately,
)
from nextword.losses import IGNORE, cross_entropy
from nextword.planted import as_batch, new_model

EXACT = {"rtol": 1e-9, "atol": 1e-12}
ROWS = [[1, 20, 30, 40, 1], [1, 25, 1], [1, 22, 23, 24, 1], [1, 8, 7, 1]]


@pytest.fixture
def model():
    return new_model(16, 0).double()


def by_loops(model, ids, targets):
    """The gradient of one text after the other, by the model's own forward."""
    found = []
    for x, y in zip(ids, targets, strict=True):
        model.zero_grad()
        cross_entropy(model(x[None]), y[None]).backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters()})
    model.zero_grad()
    return found


def test_without_checks_the_logits_are_the_same(model):
    ids, _ = as_batch(ROWS)
    assert torch.equal(Unchecked(model)(ids), model(ids))


def test_the_loss_of_a_text_is_its_mean_over_targets(model):
    ids, targets = as_batch(ROWS)
    bare = Unchecked(model)
    loss = text_loss(bare, dict(bare.named_parameters()), ids[1], targets[1])
    expected = cross_entropy(model(ids[1:2]), targets[1:2])
    torch.testing.assert_close(loss, expected, **EXACT)


def test_gradients_of_texts_are_those_of_loops(model):
    ids, targets = as_batch(ROWS)
    ours = gradients_of_texts(Unchecked(model), ids, targets)
    for n, one in enumerate(by_loops(model, ids, targets)):
        assert len(one) == len(ours)
        for name, g in one.items():
            torch.testing.assert_close(ours[f"gpt.{name}"][n], g, **EXACT)


def test_norms_and_clipped_sums_by_hand():
    gradients = {
        "a": torch.tensor([[3.0], [0.3], [0.0]]),
        "b": torch.tensor([[[4.0]], [[0.4]], [[0.0]]]),
    }
    assert norms(gradients).tolist() == pytest.approx([5.0, 0.5, 0.0])
    sums = clipped_sum(gradients, 1.0)
    assert sums["a"].tolist() == pytest.approx([0.6 + 0.3])
    assert sums["b"][0].tolist() == pytest.approx([0.8 + 0.4])


@pytest.mark.parametrize("bound", [0.01, 1.0])
def test_one_text_moves_the_sum_by_the_bound_at_most(model, bound):
    ids, targets = as_batch(ROWS)
    gradients = gradients_of_texts(Unchecked(model), ids, targets)
    whole = clipped_sum(gradients, bound)
    for gone in range(len(ids)):
        rest = [n for n in range(len(ids)) if n != gone]
        part = clipped_sum({n: g[rest] for n, g in gradients.items()}, bound)
        moved = norms({n: (whole[n] - part[n])[None] for n in whole})
        assert float(moved) <= bound * (1 + 1e-9)


def opacus_sum(model, ids, targets, bound):
    """Opacus' clipped sums, for the same texts."""
    pytest.importorskip("opacus")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        wrapped = GradSampleModule(model, loss_reduction="sum")
        optimizer = DPOptimizer(
            torch.optim.SGD(wrapped.parameters(), lr=0.1),
            noise_multiplier=0.0,
            max_grad_norm=bound,
            expected_batch_size=len(ids),
            loss_reduction="sum",
        )
        losses = [
            cross_entropy(x[None], y[None])
            for x, y in zip(wrapped(ids), targets, strict=True)
        ]
        torch.stack(losses).sum().backward()
        optimizer.clip_and_accumulate()
    return {n: p.summed_grad for n, p in wrapped._module.named_parameters()}


@pytest.mark.parametrize("bound", [0.05, 1.0, 100.0])
def test_clipped_sums_are_those_of_opacus(model, bound):
    ids, targets = as_batch(ROWS)
    bare = Unchecked(model)
    ours = clipped_sum(gradients_of_texts(bare, ids, targets), bound)
    theirs = opacus_sum(copy.deepcopy(bare), ids, targets, bound)
    assert ours.keys() == theirs.keys()
    for name, g in ours.items():
        # Opacus adds 1e-6 to each norm.
        torch.testing.assert_close(g, theirs[name], rtol=1e-4, atol=1e-6)


def test_batches_are_drawn_text_by_text():
    generator = torch.Generator().manual_seed(0)
    drawn = [poisson_batch(50, 0.2, generator) for _ in range(2000)]
    sizes = torch.tensor([float(len(d)) for d in drawn])
    assert float(sizes.mean()) == pytest.approx(10, abs=0.3)
    assert float(sizes.var()) == pytest.approx(50 * 0.2 * 0.8, abs=0.8)
    counts = torch.bincount(torch.cat(drawn), minlength=50)
    assert int(counts.min()) > 320 and int(counts.max()) < 480
    assert len(poisson_batch(50, 1.0, generator)) == 50


def test_without_noise_a_step_is_that_of_the_clipped_mean(model):
    ids, targets = as_batch(ROWS)
    bare = Unchecked(model)
    sums = clipped_sum(gradients_of_texts(bare, ids, targets), 0.5)
    before = {n: p.clone() for n, p in bare.named_parameters()}
    config = PrivateConfig(bound=0.5, noise=0.0, rate=1.0, steps=1, lr=0.1)
    optimizer = torch.optim.SGD(bare.parameters(), 0.1)
    generator = torch.Generator().manual_seed(0)
    private_step(bare, optimizer, ids, targets, config, generator)
    for name, p in bare.named_parameters():
        expected = before[name] - 0.1 * sums[name] / len(ids)
        torch.testing.assert_close(p.detach(), expected.detach(), **EXACT)


def test_the_noise_has_the_stated_size():
    model = Unchecked(new_model(32, 0))
    ids, targets = as_batch(ROWS)
    config = PrivateConfig(bound=1e-9 + 0.5, noise=4.0, rate=1e-12, steps=1)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    generator = torch.Generator().manual_seed(0)
    private_step(model, optimizer, ids, targets, config, generator)
    flat = torch.cat([p.grad.flatten() for p in model.parameters()])
    expected = 0.5 * 4.0 / (1e-12 * len(ids))  # an empty batch is noise alone
    assert float(flat.std()) == pytest.approx(expected, rel=0.02)
    assert abs(float(flat.mean())) < 0.05 * expected


def test_the_same_seed_gives_the_same_step():
    ids, targets = as_batch(ROWS)
    config = PrivateConfig(rate=0.5)

    def after(seed):
        model = Unchecked(new_model(16, 0))
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(2):
            private_step(model, optimizer, ids, targets, config, generator)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(after(1), after(1))
    assert not torch.equal(after(1), after(2))


def test_padding_changes_no_gradient(model):
    ids, targets = as_batch(ROWS)
    more = nn.functional.pad(ids, (0, 3), value=1)
    ignored = nn.functional.pad(targets, (0, 3), value=IGNORE)
    ours = gradients_of_texts(Unchecked(model), ids, targets)
    padded = gradients_of_texts(Unchecked(model), more, ignored)
    for name, g in ours.items():
        torch.testing.assert_close(padded[name], g, **EXACT)


def test_epsilon_of_one_step_with_all_texts_follows_from_a_formula():
    """Rényi: a / (2 σ²), made into ε at the best order a; at most 2 % apart."""
    pytest.importorskip("opacus")
    noise, delta = 2.0, 1e-5
    orders = [1 + x / 100 for x in range(1, 6000)]
    best = min(
        a / (2 * noise**2)
        + math.log((a - 1) / a)
        - (math.log(delta) + math.log(a)) / (a - 1)
        for a in orders
    )
    ours = epsilon(PrivateConfig(noise=noise, rate=1.0, steps=1), delta)
    assert ours == pytest.approx(best, rel=0.02)


def test_epsilon_grows_with_steps_and_rate_and_falls_with_noise():
    pytest.importorskip("opacus")
    middle = epsilon(PrivateConfig(noise=1.0, rate=0.1, steps=100), 1e-5)
    assert epsilon(PrivateConfig(noise=1.0, rate=0.1, steps=200), 1e-5) > middle
    assert epsilon(PrivateConfig(noise=1.0, rate=0.2, steps=100), 1e-5) > middle
    assert epsilon(PrivateConfig(noise=2.0, rate=0.1, steps=100), 1e-5) < middle
    assert epsilon(PrivateConfig(noise=0.0), 1e-5) == math.inf


def test_without_opacus_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(ValueError, match="pip install opacus"):
        epsilon(PrivateConfig(), 1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bound": 0.0},
        {"noise": -1.0},
        {"rate": 0.0},
        {"rate": 1.5},
        {"steps": 0},
        {"lr": 0.0},
    ],
)
def test_a_config_that_cannot_be_trained_is_refused(wrong):
    with pytest.raises(ValueError, match="rate is a probability"):
        PrivateConfig(**wrong)


def test_private_training_learns_and_repeats_itself():
    ids, targets = as_batch(ROWS)
    config = PrivateConfig(noise=0.0, rate=1.0, steps=12)
    found = []
    for _ in range(2):
        gpt = new_model(16, 0)
        before = cross_entropy(gpt(ids), targets).item()
        train_privately(gpt, ids, targets, config, seed=3)
        found.append(cross_entropy(gpt(ids), targets).item())
    assert found[0] == found[1] < before
