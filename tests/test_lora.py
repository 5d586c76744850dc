"""LoRA: by hand, against one merged matrix, and against its own gradients."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nextword.blocks import TransformerConfig
from nextword.lora import (
    LoRALinear,
    add_lora,
    check_rank,
    find_parts,
    merge,
    take_out_lora,
)
from nextword.transformer import BERT, GPT, initialise

EXACT = {"rtol": 1e-12, "atol": 1e-12}
QV = ("q_proj", "v_proj")
ALL = (*QV, "k_proj", "out_proj", "linear1", "linear2")


def linear(n=6, m=4, bias=True, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(n, m, bias).double()


def moved(layers, seed=1):
    """A and B as after some training: random and not 0."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in layers:
            layer.A.normal_()
            layer.B.normal_()


def small(kind=BERT, n_layers=2):
    torch.manual_seed(0)
    model = kind(TransformerConfig(11, 9, 16, 2, n_layers)).double()
    initialise(model, 0.3)
    return model


def loras(model):
    return [part for part in model.modules() if isinstance(part, LoRALinear)]


# One layer


def test_a_layer_by_hand():
    """With x = (1, 2), W = I, b = 0: A takes the sum, 3; B gives (30, -3), half."""
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        layer.bias.zero_()
    lora = LoRALinear(layer, r=1, alpha=0.5)
    with torch.no_grad():
        lora.A.copy_(torch.tensor([[1.0, 1.0]]))
        lora.B.copy_(torch.tensor([[10.0], [-1.0]]))
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert lora(x).tolist() == [1 + 15.0, 2 - 1.5]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("r", [1, 3, 4])
def test_at_first_nothing_is_changed(r, bias):
    layer = linear(bias=bias)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    before = layer(x)
    lora = LoRALinear(layer, r, alpha=8.0)
    assert torch.equal(lora(x), before)
    assert bool((lora.B == 0).all()) and bool((lora.A != 0).all())


def test_a_is_drawn_as_wide_as_its_input_asks():
    """Then x A^T has about the size of x, whatever n is."""
    for n in (50, 800):
        lora = LoRALinear(linear(n, 40), 40, 1.0)
        assert float(lora.A.detach().std()) == pytest.approx(n**-0.5, rel=0.1)


@pytest.mark.parametrize("alpha", [1.0, 6.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("r", [1, 2, 4])
def test_merged_it_computes_the_same(r, bias, alpha):
    lora = LoRALinear(linear(bias=bias), r, alpha)
    moved([lora])
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    one = merge(lora)
    assert type(one) is nn.Linear and one.weight.dtype == torch.float64
    torch.testing.assert_close(one(x), lora(x), **EXACT)
    change = one.weight - lora.linear.weight
    assert int(torch.linalg.matrix_rank(change)) == r
    expected = alpha / r * torch.einsum("mr,rn->mn", lora.B, lora.A)
    torch.testing.assert_close(change, expected, **EXACT)
    assert (one.bias is None) == (not bias)


def test_gradients_follow_from_those_of_the_whole_matrix():
    """They are dA = s B^T dW and dB = s dW A^T, with dW of full fine-tuning."""
    lora = LoRALinear(linear(), 2, alpha=3.0)
    moved([lora])
    x = torch.randn(7, 6, dtype=torch.float64)
    whole = merge(lora)
    F.mse_loss(lora(x), torch.ones(7, 4, dtype=torch.float64)).backward()
    F.mse_loss(whole(x), torch.ones(7, 4, dtype=torch.float64)).backward()
    dW, s = whole.weight.grad, 3.0 / 2
    torch.testing.assert_close(lora.A.grad, s * lora.B.T @ dW, **EXACT)
    torch.testing.assert_close(lora.B.grad, s * dW @ lora.A.T, **EXACT)
    assert lora.linear.weight.grad is None and lora.linear.bias.grad is None


def test_in_the_first_step_only_b_has_a_gradient():
    lora = LoRALinear(linear(), 2, alpha=3.0)
    lora(torch.randn(7, 6, dtype=torch.float64)).square().sum().backward()
    assert float(lora.A.grad.abs().max()) == 0
    assert float(lora.B.grad.abs().max()) > 0


@pytest.mark.parametrize("r", [0, -1, 5])
def test_a_rank_that_cannot_be_is_refused(r):
    with pytest.raises(ValueError, match="Choose a rank from 1 to 4"):
        LoRALinear(linear(), r, 1.0)


@pytest.mark.parametrize("alpha", [0.0, -2.0, math.nan])
def test_an_alpha_that_cannot_be_is_refused(alpha):
    with pytest.raises(ValueError, match="an alpha above 0"):
        check_rank(linear(), 1, alpha)


@pytest.mark.parametrize(
    "part", [nn.LayerNorm(4), LoRALinear(linear(), 1, 1.0)]
)
def test_a_part_that_is_no_plain_linear_layer_is_refused(part):
    with pytest.raises(ValueError, match=f"a {type(part).__name__}"):
        check_rank(part, 1, 1.0)


# A whole model


@pytest.mark.parametrize("names", [QV, ALL, ("linear1",)])
@pytest.mark.parametrize("kind", [BERT, GPT])
def test_only_a_and_b_are_trained(kind, names):
    model = small(kind)
    plain = {id(p) for p in model.parameters()}
    new = add_lora(model, 2, 4.0, names)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in new}
    assert not {id(p) for p in new} & plain
    assert len(loras(model)) == 2 * len(names)
    sizes = {"linear1": (16, 64), "linear2": (64, 16)}
    each = (sum(sizes.get(name, (16, 16))) for name in names)
    assert sum(p.numel() for p in new) == 2 * 2 * sum(each)


@pytest.mark.parametrize("kind", [BERT, GPT])
def test_a_model_with_new_lora_is_the_old_model(kind):
    model, ids = small(kind), torch.randint(11, (2, 7))
    before = model(ids)
    add_lora(model, 2, 4.0, ALL)
    assert torch.equal(model(ids), before)


@pytest.mark.parametrize("names", [QV, ALL])
@pytest.mark.parametrize("kind", [BERT, GPT])
def test_a_merged_model_computes_the_same_in_values_and_gradients(kind, names):
    model, ids = small(kind), torch.randint(11, (2, 7))
    add_lora(model, 2, 4.0, names)
    moved(loras(model))
    plain = copy.deepcopy(model)
    take_out_lora(plain, merged=True)
    assert not loras(plain)
    assert [n for n, _ in plain.named_parameters()] == [
        n for n, _ in small(kind).named_parameters()
    ]
    torch.testing.assert_close(plain(ids), model(ids), **EXACT)
    model.requires_grad_(True)
    for one in (model, plain):
        one(ids).square().mean().backward()
    for a, b in zip(loras(model), find_parts(plain, names), strict=True):
        b = getattr(*b)
        torch.testing.assert_close(a.linear.weight.grad, b.weight.grad, **EXACT)


def test_thrown_away_it_leaves_the_old_model_bit_by_bit():
    model, ids = small(), torch.randint(11, (2, 7))
    before = {n: x.clone() for n, x in model.state_dict().items()}
    said = model(ids)
    add_lora(model, 3, 9.0, ALL)
    moved(loras(model))
    assert not torch.allclose(model(ids), said)
    take_out_lora(model, merged=False)
    assert torch.equal(model(ids), said)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.requires_grad for p in model.parameters())


def test_a_step_moves_a_and_b_and_nothing_else():
    model, ids = small(), torch.randint(11, (2, 7))
    new = add_lora(model, 2, 4.0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(new, 0.1, weight_decay=0.5)
    for _ in range(2):  # A moves once B is no longer 0
        optimizer.zero_grad()
        model(ids).square().mean().backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        same = torch.equal(parameter, before[name])
        assert same == (name.split(".")[-1] not in ("A", "B")), name


def test_the_tied_output_layer_stays_tied():
    model = small()
    add_lora(model, 2, 4.0)
    take_out_lora(model, merged=True)
    assert model.head.lm_head.weight is model.embedding.tokens.weight


@pytest.mark.parametrize(
    ("names", "r", "message"),
    [
        (("query",), 2, "no part named query. Choose names"),
        (("attention",), 2, "this part is a MultiHeadAttention"),
        (QV, 17, "Choose a rank from 1 to 16"),
        (("linear1", "norm"), 2, "this part is a LayerNorm"),
    ],
)
def test_what_cannot_be_done_leaves_the_model_as_it_was(names, r, message):
    model = small()
    with pytest.raises(ValueError, match=message):
        add_lora(model, r, 4.0, names)
    assert not loras(model)
    assert all(p.requires_grad for p in model.parameters())


def test_lora_is_added_once():
    model = small()
    add_lora(model, 2, 4.0)
    with pytest.raises(
        ValueError, match=r"a LoRALinear\. Name linear layers th"
    ):
        add_lora(model, 2, 4.0)
    assert len(loras(model)) == 4


@pytest.mark.parametrize("merged", [True, False])
def test_nothing_can_be_taken_out_where_nothing_is(merged):
    with pytest.raises(ValueError, match="no LoRA in this model"):
        take_out_lora(small(), merged)


def test_the_device_and_the_type_of_the_matrix_are_kept():
    model = small().to(torch.float32)
    for parameter in add_lora(model, 2, 4.0):
        assert parameter.dtype == torch.float32
    moved(loras(model))
    take_out_lora(model, merged=True)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
