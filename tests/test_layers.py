"""The parts of a layer against PyTorch's, in values and gradients."""

import math
import re

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
    check_width,
    layer_norm,
    rms_norm,
)

SHAPES = [(8,), (3, 8), (2, 5, 8)]  # one token, a sequence, a batch


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def values_and_gradients(function, *leaves):
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    out = function(*leaves)
    out.backward(torch.cos(torch.arange(out.numel())).view_as(out).to(out))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def module_run(module, x):
    """Output, and the gradients by x and by every parameter, by name."""
    module.zero_grad()
    out, dx = values_and_gradients(module, x)
    return {"out": out, "x": dx} | {
        name: p.grad.clone() for name, p in module.named_parameters()
    }


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def randomise(module, seed=0):
    for number, p in enumerate(module.parameters()):
        p.data = draw(*p.shape, seed=seed + number) * 0.3
    return module


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_layer_norm_is_pytorchs(shape, eps):
    leaves = 3 * draw(*shape) + 2, draw(8, seed=1), draw(8, seed=2)
    assert_same(
        values_and_gradients(lambda *t: layer_norm(*t, eps), *leaves),
        values_and_gradients(
            lambda x, *p: F.layer_norm(x, (8,), *p, eps), *leaves
        ),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-6, 0.3])
def test_rms_norm_is_pytorchs(shape, eps):
    leaves = 3 * draw(*shape) + 2, draw(8, seed=1)
    assert_same(
        values_and_gradients(lambda *t: rms_norm(*t, eps), *leaves),
        values_and_gradients(lambda x, g: F.rms_norm(x, (8,), g, eps), *leaves),
    )


@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(LayerNorm, nn.LayerNorm), (RMSNorm, nn.RMSNorm)]
)
def test_the_norms_are_pytorchs_modules(ours, theirs, eps):
    ours, theirs = ours(8, eps).double(), theirs(8, eps=eps).double()
    theirs.load_state_dict(randomise(ours).state_dict())
    x = 3 * draw(2, 5, 8) + 2
    assert_same(module_run(ours, x), module_run(theirs, x))


@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
def test_a_new_norm_has_a_gain_of_one_and_pytorchs_kind_of_state(norm):
    module = norm(8)
    assert (module.weight == 1).all()
    assert norm is RMSNorm or (module.bias == 0).all()
    assert module.weight.dtype == torch.float32
    assert module(torch.ones(2, 8)).dtype == torch.float32


def test_layer_norm_stays_true_far_from_zero_in_32_bits():
    x = draw(4, 64)
    small = layer_norm(
        (x + 1000).float(), torch.ones(64), torch.zeros(64), 1e-5
    )
    right = F.layer_norm(x, (64,))
    torch.testing.assert_close(small.double(), right, rtol=0, atol=1e-3)


def test_nearly_constant_vectors_show_where_eps_stands():
    x = 1e-4 * torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    y = layer_norm(x, torch.ones(4), torch.zeros(4), 1e-5)
    assert y.abs().max().item() == pytest.approx(1e-4 / math.sqrt(1e-8 + 1e-5))
    constant = torch.full((4,), 7.0, dtype=torch.float64, requires_grad=True)
    y = layer_norm(constant, torch.ones(4), torch.zeros(4), 1e-5)
    y.sum().backward()
    assert (y == 0).all() and torch.isfinite(constant.grad).all()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**31),
    st.integers(2, 40),
    st.floats(-50, 50),
    st.floats(0.1, 50),
)
def test_what_the_norms_do_not_see(seed, C, shift, scale):
    x, one, zero = draw(3, C, seed=seed), torch.ones(C), torch.zeros(C)
    if x.std(dim=-1).min() < 1e-2:
        return  # rounding would be all that is left
    y = layer_norm(x, one, zero, 0.0)
    torch.testing.assert_close(
        layer_norm(scale * x + shift, one, zero, 0.0), y, rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        rms_norm(scale * x, one, 0.0), rms_norm(x, one, 0.0)
    )
    centred = x - x.mean(dim=-1, keepdim=True)
    torch.testing.assert_close(rms_norm(centred, one, 0.0), y)
    torch.testing.assert_close(
        y.norm(dim=-1), torch.full((3,), C**0.5, dtype=torch.float64)
    )


def test_the_gradient_of_layer_norm_has_no_part_that_it_does_not_see():
    one, zero = torch.ones(8).double(), torch.zeros(8).double()
    x = draw(2, 5, 8)
    _, dx = values_and_gradients(lambda t: layer_norm(t, one, zero, 0.0), x)
    assert dx.sum(dim=-1).abs().max() < 1e-12
    assert (dx * x).sum(dim=-1).abs().max() < 1e-12
    assert dx.abs().max() > 0.1


@pytest.mark.parametrize("norm", [LayerNorm(8), RMSNorm(8)])
def test_a_norm_treats_each_token_alone(norm):
    x = draw(2, 5, 8).float()
    changed = x.clone()
    changed[:, 3] += torch.arange(8.0)
    moved = (norm(changed) != norm(x)).any(dim=-1)
    assert moved[:, 3].all() and moved.sum() == 2


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("relu", F.relu),
        ("gelu", F.gelu),
        ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh")),
    ],
)
def test_feed_forward_is_two_linear_maps_and_an_activation(name, theirs):
    module = randomise(FeedForward(8, 20, name))
    w1, b1, w2, b2 = module.parameters()
    x = draw(2, 5, 8, seed=9)
    run = module_run(module, x)
    out, *gradients = values_and_gradients(
        lambda x, w1, b1, w2, b2: theirs(x @ w1.T + b1) @ w2.T + b2,
        x, w1, b1, w2, b2,
    )  # fmt: skip
    assert_same(list(run.values()), [out, *gradients])


def test_the_activations_are_their_formulas():
    x = torch.linspace(-6, 6, 601, dtype=torch.float64)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    formulas = {
        "relu": x.clamp(min=0),
        "gelu": x * torch.special.ndtr(x),
        "gelu_tanh": 0.5 * x * (1 + inner.tanh()),
    }
    assert formulas.keys() == ACTIVATIONS.keys()
    for name, expected in formulas.items():
        assert_same(ACTIVATIONS[name](x), expected)


def test_swiglu_is_its_formula():
    module = randomise(SwiGLU(8, 12))
    w1, w2, w3 = (
        m.weight for m in (module.linear1, module.linear2, module.linear3)
    )
    x = draw(2, 5, 8, seed=9)
    run = module_run(module, x)

    def formula(x, w1, w2, w3):
        score = x @ w1.T
        return (score / (1 + (-score).exp()) * (x @ w3.T)) @ w2.T

    assert_same(
        list(run.values()), values_and_gradients(formula, x, w1, w2, w3)
    )


@pytest.mark.parametrize("C", [6, 96])
def test_the_number_of_parameters(C):
    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(FeedForward(C, 4 * C)) == 8 * C**2 + 5 * C
    assert count(SwiGLU(C, 8 * C // 3)) == 8 * C**2
    assert count(LayerNorm(C)) == count(Residual(C, True)) == 2 * C
    assert count(RMSNorm(C)) == C


@pytest.mark.parametrize("module", [FeedForward(8, 32), SwiGLU(8, 32)])
def test_each_position_is_transformed_alone(module):
    module, x = module.double(), draw(2, 5, 8)
    out = module(x)
    alone = torch.stack([module(x[:, t]) for t in range(5)], dim=1)
    assert_same(out, alone)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert_same(module(x[:, order]), out[:, order])


def test_feed_forward_drops_hidden_numbers_in_training_only():
    module = FeedForward(4, 1000, dropout=0.25).double()
    plain = FeedForward(4, 1000).double()
    plain.load_state_dict(module.state_dict())
    x = draw(3, 4)
    assert_same(module.eval()(x), plain(x))
    module.train()
    torch.manual_seed(1)
    hidden = F.dropout(F.relu(module.linear1(x)), 0.25)
    torch.manual_seed(1)
    assert_same(module(x), module.linear2(hidden))
    kept = (hidden != 0).sum() / (F.relu(module.linear1(x)) != 0).sum()
    assert abs(kept - 0.75) < 0.05


def f(x):
    return torch.tanh(2 * x.flip(-1)) + 1


def test_residual_by_hand():
    x = torch.tensor([0.0, 6.0, 6.0, 8.0], dtype=torch.float64)
    hat = torch.tensor([-5.0, 1.0, 1.0, 3.0], dtype=torch.float64) / 3
    post, pre = (
        Residual(4, first, eps=0.0).double() for first in (False, True)
    )
    assert_same(post(x, lambda z: 2 * z), hat)
    assert_same(pre(x, lambda z: 2 * z), x + 2 * hat)


@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("norm_first", [False, True])
def test_residual_is_its_formula(norm_first, eps):
    module = randomise(Residual(8, norm_first, eps=eps))
    weight, bias = module.norm.weight, module.norm.bias

    def formula(x):
        def norm(z):
            return F.layer_norm(z, (8,), weight, bias, eps)

        return x + f(norm(x)) if norm_first else norm(x + f(x))

    x = draw(2, 5, 8)
    assert_same(
        values_and_gradients(lambda x: module(x, f), x),
        values_and_gradients(formula, x),
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_residual_drops_the_output_of_the_sublayer_only(norm_first):
    module = Residual(8, norm_first, dropout=0.5).double()
    x = draw(2, 5, 8)
    torch.manual_seed(3)
    dropped = F.dropout(f(F.layer_norm(x, (8,)) if norm_first else x), 0.5)
    expected = x + dropped if norm_first else F.layer_norm(x + dropped, (8,))
    torch.manual_seed(3)
    assert_same(module(x, f), expected)
    before = x.clone()
    plain = Residual(8, norm_first).double()
    assert_same(module.eval()(x, f), plain(x, f))
    assert torch.equal(x, before), "the argument is left alone"


def pytorchs_layer(norm_first, activation, dropout=0.0):
    layer = nn.TransformerEncoderLayer(
        16, 4, 40, dropout, activation, batch_first=True, norm_first=norm_first
    )
    return randomise(layer.double(), seed=20)


def copied_parts(theirs, dropout=0.0, activation="relu"):
    """Attention, feed-forward net and two residuals with PyTorch's weights."""
    C, first = 16, theirs.norm_first
    parts = nn.ModuleDict(
        {
            "attention": MultiHeadAttention(C, 4, dropout),
            "feed_forward": FeedForward(C, 40, activation, dropout),
            "residual1": Residual(C, first, dropout),
            "residual2": Residual(C, first, dropout),
        }
    ).double()
    state, copied = theirs.state_dict(), {}
    for kind in ("weight", "bias"):
        q, k, v = state[f"self_attn.in_proj_{kind}"].chunk(3)
        out = state[f"self_attn.out_proj.{kind}"]
        for name, value in {"q": q, "k": k, "v": v, "out": out}.items():
            copied[f"attention.{name}_proj.{kind}"] = value
        for i in (1, 2):
            copied[f"feed_forward.linear{i}.{kind}"] = state[
                f"linear{i}.{kind}"
            ]
            copied[f"residual{i}.norm.{kind}"] = state[f"norm{i}.{kind}"]
    parts.load_state_dict(copied)
    return parts


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_layer_of_these_parts_is_pytorchs(norm_first, masked, activation):
    theirs = pytorchs_layer(norm_first, activation)
    parts = copied_parts(theirs, activation=activation)
    x = draw(2, 6, 16)
    future = torch.ones(6, 6, dtype=torch.bool).triu(1) if masked else None

    def layer(x):
        def attend(z):
            return parts["attention"](z, causal=masked)

        x = parts["residual1"](x, attend)
        return parts["residual2"](x, parts["feed_forward"])

    ours = values_and_gradients(layer, x)
    expected = values_and_gradients(lambda x: theirs(x, src_mask=future), x)
    assert_same(ours, expected)
    pairs = {
        "attention.out_proj": theirs.self_attn.out_proj,
        "feed_forward.linear1": theirs.linear1,
        "feed_forward.linear2": theirs.linear2,
        "residual1.norm": theirs.norm1,
        "residual2.norm": theirs.norm2,
    }
    for name, module in pairs.items():
        mine = parts.get_submodule(name)
        assert_same(mine.weight.grad, module.weight.grad)
        assert_same(mine.bias.grad, module.bias.grad)
    maps = [getattr(parts["attention"], f"{n}_proj").weight.grad for n in "qkv"]
    assert_same(torch.cat(maps), theirs.self_attn.in_proj_weight.grad)


def test_another_width_is_refused_with_the_remedy():
    message = (
        "x has shape (2, 8), but this norm is for vectors of 6 numbers. The "
        "last axis is the one that is normalised: make the norm with that "
        "size, or move the axis to the end."
    )
    x, six = torch.zeros(2, 8), torch.zeros(6)
    for call in (
        lambda: check_width(x, 6),
        lambda: layer_norm(x, six, six, 1e-5),
        lambda: rms_norm(x, six, 1e-5),
        lambda: LayerNorm(6)(x),
        lambda: RMSNorm(6)(x),
        lambda: Residual(6, True)(x, nn.Identity()),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call()


def test_a_width_that_would_broadcast_is_refused():
    one = torch.ones(1)
    with pytest.raises(ValueError, match=r"vectors of 1 numbers"):
        layer_norm(torch.zeros(2, 8), one, one, 1e-5)
    with pytest.raises(ValueError, match=r"x has shape \(2, 1\)"):
        rms_norm(torch.zeros(2, 1), torch.ones(8), 1e-5)
    with pytest.raises(ValueError, match=r"x has shape \(\)"):
        RMSNorm(8)(torch.tensor(1.0))


def test_an_unknown_activation_is_refused_with_the_choices():
    message = (
        "There is no activation 'tanh'. Choose one of relu, gelu, gelu_tanh."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        FeedForward(8, 32, "tanh")
