"""Norms, feed-forward nets and residuals against PyTorch's, and their rules."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nextword.attention import MultiHeadAttention
from nextword.layers import (
    ACTIVATIONS,
    FeedForward,
    LayerNorm,
    Residual,
    RMSNorm,
    SwiGLU,
    layer_norm,
    rms_norm,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_()


def values_and_gradients(function, tensors):
    """The result and the gradient of a weighted sum of it."""
    for tensor in tensors:
        tensor.grad = None
    out = function()
    weights = torch.cos(torch.arange(out.numel())).view_as(out).to(out)
    (out * weights).sum().backward()
    return [out.detach(), *(t.grad.clone() for t in tensors)]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def copy_linear(theirs, ours):
    with torch.no_grad():
        theirs.weight.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (2, 3, 4, 2)])
@pytest.mark.parametrize("eps", [1e-5, 1e-12, 0.5])
def test_layer_norm_is_pytorchs(shape, eps):
    x, gain, bias = (
        draw(*shape),
        draw(shape[-1], seed=1),
        draw(shape[-1], seed=2),
    )
    tensors = [x, gain, bias]
    assert_same(
        values_and_gradients(lambda: layer_norm(x, gain, bias, eps), tensors),
        values_and_gradients(
            lambda: F.layer_norm(x, gain.shape, gain, bias, eps), tensors
        ),
    )


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7)])
@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_rms_norm_is_pytorchs(shape, eps):
    x, gain = draw(*shape), draw(shape[-1], seed=1)
    assert_same(
        values_and_gradients(lambda: rms_norm(x, gain, eps), [x, gain]),
        values_and_gradients(
            lambda: F.rms_norm(x, gain.shape, gain, eps), [x, gain]
        ),
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "function"),
    [
        (LayerNorm(6), nn.LayerNorm(6), layer_norm),
        (RMSNorm(6), nn.RMSNorm(6, eps=1e-6), rms_norm),
    ],
)
def test_the_modules_are_their_functions_and_pytorchs(ours, theirs, function):
    ours, theirs = ours.double(), theirs.double()
    with torch.no_grad():
        for seed, (a, b) in enumerate(
            zip(ours.parameters(), theirs.parameters(), strict=True)
        ):
            assert a.shape == b.shape and torch.equal(a, b)  # the same start
            a.copy_(draw(6, seed=seed + 5))
            b.copy_(a)
    x = draw(2, 3, 6)
    mine = values_and_gradients(lambda: ours(x), [x, *ours.parameters()])
    assert_same(
        mine, values_and_gradients(lambda: theirs(x), [x, *theirs.parameters()])
    )
    written = function(x, *ours.parameters(), ours.eps)
    torch.testing.assert_close(mine[0], written.detach(), **EXACT)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.floats(0.1, 100), st.floats(-50, 50))
def test_layer_norm_ignores_shift_and_scale_and_rms_norm_only_scale(
    seed, scale, shift
):
    x = draw(3, 8, seed=seed).detach()
    one, zero = torch.ones(8).double(), torch.zeros(8).double()
    same = layer_norm(scale * x + shift, one, zero, 0.0)
    torch.testing.assert_close(
        same, layer_norm(x, one, zero, 0.0), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        rms_norm(scale * x, one, 0.0), rms_norm(x, one, 0.0), **EXACT
    )
    if abs(shift) > 1:
        shifted = rms_norm(x + shift, one, 0.0)
        assert not torch.allclose(shifted, rms_norm(x, one, 0.0))


def test_layer_norm_by_hand():
    x = torch.tensor([1.0, 3.0], dtype=torch.float64)  # mean 2, variance 1
    one, zero = torch.ones(2).double(), torch.zeros(2).double()
    assert layer_norm(x, one, zero, 0.0).tolist() == [-1.0, 1.0]
    assert layer_norm(x, 2 * one, one, 0.0).tolist() == [-1.0, 3.0]
    third = layer_norm(x, one, zero, 3.0).tolist()  # root of 1 + 3 is 2
    assert third == [-0.5, 0.5]
    rms = rms_norm(torch.tensor([3.0, 4.0]).double(), one, 0.0)
    expected = torch.tensor([3.0, 4.0]).double() / math.sqrt(12.5)
    torch.testing.assert_close(rms, expected, **EXACT)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("relu", nn.ReLU()),
        ("gelu", nn.GELU()),
        ("gelu_tanh", nn.GELU(approximate="tanh")),
    ],
)
def test_feed_forward_is_two_linear_layers(name, module):
    ours = FeedForward(4, 10, name).double()
    theirs = nn.Sequential(nn.Linear(4, 10), module, nn.Linear(10, 4)).double()
    copy_linear(theirs[0], ours.linear1)
    copy_linear(theirs[2], ours.linear2)
    x = draw(2, 3, 4)
    assert_same(
        values_and_gradients(lambda: ours(x), [x, *ours.parameters()]),
        values_and_gradients(lambda: theirs(x), [x, *theirs.parameters()]),
    )


def test_feed_forward_looks_at_each_position_alone():
    net = FeedForward(4, 10).double()
    x = draw(1, 5, 4).detach()
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(net(x)[:, order], net(x[:, order]), **EXACT)


def test_swiglu_by_its_formula():
    net = SwiGLU(4, 6).double()
    x = draw(2, 3, 4).detach()
    a, b = x @ net.linear1.weight.T, x @ net.linear3.weight.T
    expected = (a * torch.sigmoid(a) * b) @ net.linear2.weight.T
    torch.testing.assert_close(net(x), expected, **EXACT)
    names = dict(net.named_parameters())
    assert set(names) == {f"linear{n}.weight" for n in (1, 2, 3)}


@pytest.mark.parametrize("norm_first", [True, False])
def test_residual_by_its_formula(norm_first):
    layer = Residual(4, norm_first).double()
    with torch.no_grad():
        layer.norm.weight.copy_(draw(4, seed=3))
        layer.norm.bias.copy_(draw(4, seed=4))
    x = draw(2, 3, 4)
    norm = nn.LayerNorm(4).double()
    copy_linear(norm, layer.norm)
    expected = x + torch.sin(norm(x)) if norm_first else norm(x + torch.sin(x))
    torch.testing.assert_close(layer(x, torch.sin), expected, **EXACT)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_parts_make_pytorchs_encoder_layer(norm_first, activation):
    theirs = nn.TransformerEncoderLayer(
        12, 3, 20, 0.0, activation, batch_first=True, norm_first=norm_first
    ).double()
    attention = MultiHeadAttention(12, 3).double()
    net = FeedForward(12, 20, activation).double()
    first, second = (Residual(12, norm_first).double() for _ in range(2))
    with torch.no_grad():
        three = (attention.q_proj, attention.k_proj, attention.v_proj)
        theirs.self_attn.in_proj_weight.copy_(
            torch.cat([p.weight for p in three])
        )
        theirs.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in three]))
    copy_linear(theirs.self_attn.out_proj, attention.out_proj)
    copy_linear(theirs.linear1, net.linear1)
    copy_linear(theirs.linear2, net.linear2)
    x = draw(2, 5, 12)
    assert_same(
        values_and_gradients(lambda: second(first(x, attention), net), [x]),
        values_and_gradients(lambda: theirs(x), [x]),
    )


@pytest.mark.parametrize("where", ["feed_forward", "residual"])
def test_dropout_acts_in_training_only_and_keeps_the_mean(where):
    torch.manual_seed(0)
    x = torch.ones(4000, 4)
    if where == "residual":
        layer = Residual(4, norm_first=True, dropout=0.25)
        run = lambda: layer(torch.zeros_like(x), torch.ones_like)  # noqa: E731
    else:
        layer = FeedForward(4, 8, dropout=0.25)
        run = lambda: layer(x)  # noqa: E731
    still = layer.eval()(
        *(
            (torch.zeros_like(x), torch.ones_like)
            if where == "residual"
            else (x,)
        )
    )
    assert torch.equal(run(), still)
    layer.train()
    noisy = run()
    assert not torch.equal(noisy, still)
    torch.testing.assert_close(noisy.mean(0), still.mean(0), rtol=0, atol=0.05)
    if where == "residual":
        assert set(noisy.unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
        assert abs((noisy == 0).float().mean().item() - 0.25) < 0.02


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="gelu_tanh"):
        FeedForward(4, 8, "gelo")
    assert set(ACTIVATIONS) == {"relu", "gelu", "gelu_tanh"}
    x = torch.ones(2, 3)
    for norm in (LayerNorm(4), RMSNorm(4)):
        with pytest.raises(ValueError, match="last axis"):
            norm(x)
    one = torch.ones(1)  # it would be broadcast without a word
    with pytest.raises(ValueError, match="numbers"):
        layer_norm(x, one, one, 1e-5)
    with pytest.raises(ValueError, match="numbers"):
        rms_norm(x, one, 1e-5)
