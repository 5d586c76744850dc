"""The count of operations and the fit of a law, against independent ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import scaling as benchmark
from nextword import scaling
from nextword.blocks import TransformerConfig
from nextword.evaluation import mean_loss
from nextword.losses import cross_entropy
from nextword.records import read_record
from nextword.scaling import Law, fit_law
from nextword.stories import held_out
from nextword.training import History
from nextword.transformer import GPT

TRUE = Law(E=0.6, A=30.0, alpha=0.45, B=300.0, beta=0.4)


def runs_of(law, noise=0.0, seed=0):
    """Runs (n, 3) on a grid that follow a law, up to relative noise."""
    rng = np.random.default_rng(seed)
    cells = [(n, d) for n in np.geomspace(1e4, 1e6, 7) for d in (3e5, 1e6, 4e6)]
    return np.array(
        [
            (n, d, law.loss(n, d) * (1 + noise * rng.standard_normal()))
            for n, d in cells
        ]
    )


def by_gradient(runs, start, E=None):
    """The same least squares by L-BFGS on all the numbers of the law."""
    n, d, loss = torch.tensor(runs).T
    first = [math.log(start.A), start.alpha, math.log(start.B), start.beta]
    free = torch.tensor(
        first + [start.E] * (E is None), dtype=torch.float64, requires_grad=True
    )
    optimizer = torch.optim.LBFGS(
        [free],
        max_iter=2000,
        tolerance_grad=1e-14,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def error():
        optimizer.zero_grad()
        A, alpha, B, beta = free[:4]
        floor = free[4] if E is None else E
        said = floor + torch.exp(A - alpha * n.log())
        said = said + torch.exp(B - beta * d.log())
        value = ((said / loss - 1) ** 2).sum()
        value.backward()
        return value

    for _ in range(5):
        optimizer.step(error)
    return float(error().detach())


def squares(law, runs):
    return float(
        ((law.loss(runs[:, 0], runs[:, 1]) / runs[:, 2] - 1) ** 2).sum()
    )


@pytest.mark.parametrize("E", [None, TRUE.E])
def test_a_fit_finds_the_law_behind_exact_runs(E):
    found = fit_law(runs_of(TRUE), E)
    assert pytest.approx(TRUE.E, abs=1e-3) == found.E
    assert found.alpha == pytest.approx(TRUE.alpha, abs=1e-3)
    assert found.beta == pytest.approx(TRUE.beta, abs=1e-3)
    assert pytest.approx(TRUE.A, rel=1e-2) == found.A
    assert pytest.approx(TRUE.B, rel=1e-2) == found.B


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("E", [None, TRUE.E])
def test_no_gradient_descent_finds_a_better_fit(E, seed):
    """From the truth and from the fit itself, L-BFGS gains nothing."""
    runs = runs_of(TRUE, 0.01, seed)
    found = fit_law(runs, E)
    error = squares(found, runs)
    for start in (TRUE, found):
        assert error < by_gradient(runs, start, E) * (1 + 1e-6)


def test_a_known_floor_is_kept_and_a_wrong_one_fits_worse():
    runs = runs_of(TRUE)
    assert fit_law(runs, 0.5).E == 0.5
    assert (
        squares(fit_law(runs, 0.5), runs)
        > 1e-6
        > squares(fit_law(runs, TRUE.E), runs)
    )


def test_the_linear_parts_are_those_of_lstsq():
    runs = runs_of(TRUE, 0.02)
    n, d, loss = runs.T
    alphas, betas = np.array([0.3, 0.6, 0.45]), np.array([0.5, 0.4, 0.41])
    parts, errors = scaling.linear_parts(alphas, betas, runs, None)
    for i, (a, b) in enumerate(zip(alphas, betas, strict=True)):
        X = np.stack([n**-a, d**-b, np.ones_like(n)], 1) / loss[:, None]
        expected, rest, *_ = np.linalg.lstsq(X, np.ones_like(n))
        np.testing.assert_allclose(parts[i], expected, rtol=1e-7)
        assert errors[i] == pytest.approx(rest[0], rel=1e-7)


def test_negative_parts_are_refused():
    runs = runs_of(TRUE)
    runs[:, 2] = 2 - runs[:, 2] / 10  # losses that rise, up to E
    half = np.array([0.5])
    _, errors = scaling.linear_parts(half, half, runs, None)
    assert np.isinf(errors).all()
    with pytest.raises(ValueError, match="No law with A, B and E above 0"):
        fit_law(runs, E=2.0)


def test_a_fitted_floor_is_never_below_0():
    """Without a floor the best E is negative: the fit stops at 0."""
    runs = runs_of(Law(-0.3, 30.0, 0.3, 300.0, 0.4))
    assert abs(fit_law(runs).E) < 1e-6
    zero = squares(fit_law(runs, 0.0), runs)
    assert squares(fit_law(runs), runs) <= zero * (1 + 1e-9)


@pytest.mark.parametrize(("E", "needed"), [(None, 5), (0.6, 4)])
def test_too_few_runs_are_refused(E, needed):
    runs = runs_of(TRUE)
    with pytest.raises(ValueError, match=f"cannot fix {needed} numbers. Train"):
        fit_law(runs[: needed - 1], E)


def test_the_bootstrap_is_seeded_and_holds_the_truth():
    runs = runs_of(TRUE, 0.005)
    laws = scaling.bootstrap_laws(runs, TRUE.E, number=40, seed=3)
    assert laws == scaling.bootstrap_laws(runs, TRUE.E, number=40, seed=3)
    assert laws != scaling.bootstrap_laws(runs, TRUE.E, number=40, seed=4)
    low, high = np.percentile([law.alpha for law in laws], [1, 99])
    assert low < TRUE.alpha < high and high - low > 1e-3


exponents = st.floats(0.1, 0.9)


@settings(deadline=None)
@given(exponents, exponents, st.floats(1, 1e3), st.floats(1, 1e3))
def test_the_optimum_spends_the_budget_and_has_no_better_neighbour(a, b, A, B):
    law, flops = Law(0.5, A, a, B, b), 6e12
    parameters, tokens = law.optimum(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    best = law.loss(parameters, tokens) - law.E
    for factor in (0.5, 0.8, 1.25, 2.0):
        other = law.loss(factor * parameters, tokens / factor) - law.E
        assert other > best * (1 - 1e-12)


@pytest.mark.parametrize("width", [8, 32])
@pytest.mark.parametrize("d_ff", [None, 20])
def test_the_count_of_operations_is_pytorchs(width, d_ff):
    config = TransformerConfig(37, 24, width, 2, 3, d_ff)
    ids = torch.zeros(2, 21, dtype=torch.long)
    model = GPT(config)
    one = sum(scaling.forward_flops(config, T=21).values())
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            model(ids)
        with FlopCounterMode(display=False) as step:
            cross_entropy(model(ids), ids).backward()
    assert forward.get_total_flops() == 42 * one
    assert step.get_total_flops() == 3 * 42 * one


@pytest.mark.parametrize("width", [16, 128])
def test_parameters_outside_the_tables(width):
    model = GPT(scaling.sizes(width))
    named = dict(model.named_parameters())
    inner = {n: p for n, p in named.items() if not n.startswith("embedding.")}
    assert scaling.non_embedding(model) == sum(
        p.numel() for p in inner.values()
    )
    matrices = sum(p.numel() for p in inner.values() if p.dim() == 2)
    assert matrices == 4 * 12 * width**2


def test_days_of_a_gpu():
    assert scaling.gpu_days(2 * 86_400e12, 4e12, 0.5) == pytest.approx(1)


def test_a_model_is_trained_by_the_recipe():
    """The same seed, the same model; and it learns."""
    model, tokens = scaling.train_model(16, 320, seed=1)
    same, _ = scaling.train_model(16, 320, seed=1)
    other, _ = scaling.train_model(16, 320, seed=2)
    batch, floor = held_out(20)
    loss = mean_loss(model, batch)
    assert floor < loss < 3.0 < math.log(92)
    assert mean_loss(same, batch) == loss != mean_loss(other, batch)
    assert 25_000 < tokens < 33_000
    config = scaling.training(16, 320)
    assert (config.steps, config.warmup) == (20, 2)
    assert config.lr == pytest.approx(0.015)


def test_few_stories_come_again(monkeypatch):
    seen = []

    def fit(model, loss, batches, config):
        seen.extend(batches.story(n) for n in range(6))
        return History()

    monkeypatch.setattr(scaling, "fit", fit)
    scaling.train_model(16, 48, unique=3)
    assert seen[:3] == seen[3:] and seen[0] != seen[1]


def test_the_rows_of_the_record_are_runs_of_the_grid():
    grid, rows = benchmark.grid(), read_record("scaling")["rows"]
    assert len(set(grid)) == len(grid) == 51
    runs = [benchmark.Run(*(r[k] for k in benchmark.Run._fields)) for r in rows]
    assert runs == [run for run in grid if run in runs], "in order, and once"
    for row in rows:
        config = scaling.training(row["width"], row["stories"])
        assert (row["steps"], row["lr"]) == (config.steps, round(config.lr, 6))
        model = GPT(scaling.sizes(row["width"]))
        assert row["parameters"] == scaling.non_embedding(model)
        assert row["floor"] < row["loss"] < 1.2
        assert row["tokens"] == pytest.approx(90 * row["stories"], rel=0.01)
