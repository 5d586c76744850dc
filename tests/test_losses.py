"""Cross-entropy against PyTorch's, in values and gradients, and its errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nextword.losses import IGNORE, check_targets, cross_entropy, token_losses

SMOOTHINGS = [0.0, 0.1, 1.0]
SHAPES = [(7,), (3, 5), (2, 3, 4)]  # a sequence, a batch (B, T), one axis more


def draw(*lead, V=6, seed=0):
    """Logits (..., V) in float64 and targets (...), a third of them IGNORE."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*lead, V, generator=generator, dtype=torch.float64)
    targets = torch.randint(V, lead, generator=generator)
    left_out = torch.rand(lead, generator=generator) < 1 / 3
    left_out.view(-1)[0] = False  # one at least is predicted
    return logits.requires_grad_(), targets.masked_fill(left_out, IGNORE)


def pytorchs(logits, targets, **settings):
    """F.cross_entropy, which wants all positions on one axis."""
    losses = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), **settings
    )
    return losses.view_as(targets) if losses.dim() else losses


def assert_equal_to_pytorch(ours, theirs, logits):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    weights = torch.cos(torch.arange(ours.numel(), dtype=torch.float64))
    gradients = [
        torch.autograd.grad((x.reshape(-1) * weights).sum(), logits)[0]
        for x in (ours, theirs)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
    assert gradients[0].abs().max() > 0


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("lead", SHAPES)
def test_each_loss_is_pytorchs(lead, smoothing):
    logits, targets = draw(*lead)
    ours = token_losses(logits, targets, smoothing)
    theirs = pytorchs(
        logits, targets, reduction="none", label_smoothing=smoothing
    )
    assert ours.shape == targets.shape
    assert_equal_to_pytorch(ours, theirs, logits)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("lead", SHAPES)
def test_the_mean_is_pytorchs(lead, smoothing):
    logits, targets = draw(*lead)
    ours = cross_entropy(logits, targets, smoothing)
    theirs = pytorchs(logits, targets, label_smoothing=smoothing)
    assert ours.shape == ()
    assert_equal_to_pytorch(ours, theirs, logits)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**31),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 1),
)
def test_any_batch_and_any_smoothing_give_pytorchs(seed, n, V, smoothing):
    logits, targets = draw(n, V=V, seed=seed)
    torch.testing.assert_close(
        cross_entropy(logits, targets, smoothing),
        F.cross_entropy(logits, targets, label_smoothing=smoothing),
        rtol=1e-10,
        atol=1e-12,
    )


def test_by_hand():
    """Probabilities 1/2, 1/4, 1/4: targets 0 and 1 cost ln 2 and ln 4."""
    logits = torch.tensor([[2.0, 1.0, 1.0], [2.0, 1.0, 1.0]]).log()
    targets = torch.tensor([0, 1])
    losses = token_losses(logits, targets).tolist()
    assert losses == pytest.approx([math.log(2), math.log(4)])
    assert float(cross_entropy(logits, targets)) == pytest.approx(
        1.5 * math.log(2)
    )


def test_smoothing_by_hand():
    """Of target 0, 0.7 + 0.1 stay; 0.1 goes to each of the others."""
    logits = torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64).log()
    expected = 0.8 * math.log(2) + 0.2 * math.log(4)
    loss = token_losses(logits, torch.tensor([0]), smoothing=0.3)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_logits_that_are_all_alike_cost_the_logarithm_of_the_vocabulary():
    losses = token_losses(torch.zeros(4, 50), torch.arange(4))
    torch.testing.assert_close(losses, torch.full((4,), math.log(50)))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_what_is_left_out_costs_nothing_and_moves_nothing(smoothing):
    logits, targets = draw(4, 5)
    token_losses(logits, targets, smoothing).sum().backward()
    out = targets == IGNORE
    assert out.any()
    assert (token_losses(logits, targets, smoothing)[out] == 0).all()
    assert (logits.grad[out] == 0).all()
    assert (logits.grad[~out] != 0).any()


@pytest.mark.parametrize("lead", [(3,), (2, 3), (0,)])
def test_nothing_to_predict_gives_nan_as_in_pytorch(lead):
    logits, targets = torch.zeros(*lead, 4), torch.full(lead, IGNORE)
    assert cross_entropy(logits, targets).isnan()
    assert pytorchs(logits, targets).isnan()
    assert (token_losses(logits, targets) == 0).all()


def test_large_logits_stay_finite():
    logits = torch.tensor([[1e4, 0.0], [1e4, 0.0]])
    assert token_losses(logits, torch.tensor([0, 1])).tolist() == [0.0, 1e4]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_losses_have_single_precision_or_more(given, expected):
    logits = draw(64, V=100)[0].detach().to(given)
    targets = torch.arange(64)
    losses = token_losses(logits, targets, 0.1)
    assert losses.dtype == cross_entropy(logits, targets).dtype == expected
    exact = token_losses(logits.double(), targets, 0.1)  # the same numbers
    torch.testing.assert_close(losses.double(), exact, rtol=1e-5, atol=1e-5)


def test_gradients_have_the_precision_of_the_logits():
    logits = torch.zeros(2, 3, dtype=torch.bfloat16, requires_grad=True)
    cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert logits.grad.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("size", "targets", "smoothing", "message"),
    [
        ((2, 3, 5), [[0, 1], [0, 1]], 0, r"\(2, 3, 5\) need .* \(2, 3\), but"),
        ((2, 5), 1, 0, r"shape \(2,\), but theirs is \(\)"),
        ((2, 5), [0, 5], 0, "5 is a target, .* ids 0 to 4"),
        ((2, 5), [0, -1], 0, "-1 is a target, .* to -100"),
        ((2, 5), [0, 1], -0.1, "smoothing is -0.1"),
        ((2, 5), [0, 1], 1.1, "smoothing is 1.1"),
        ((2, 5), [0, 1], math.nan, "smoothing is nan"),
    ],
)
def test_what_has_no_cross_entropy_is_refused(
    size, targets, smoothing, message
):
    logits, targets = torch.zeros(size), torch.tensor(targets)
    for function in (token_losses, cross_entropy, check_targets):
        with pytest.raises(ValueError, match=message):
            function(logits, targets, smoothing)
