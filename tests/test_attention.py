"""Attention against PyTorch's, in values and gradients, and its properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nextword.attention import (
    attention,
    attention_weights,
    causal_mask,
    check_attention,
    padding_mask,
)

LEAD = [(), (3,), (2, 4)]  # no batch, a batch, a batch with heads


def draw(*shape, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_(grad)


def qkv(lead=(2,), T=5, S=7, D=4, E=6):
    return (
        draw(*lead, T, D, seed=1),
        draw(*lead, S, D, seed=2),
        draw(*lead, S, E, seed=3),
    )


def values_and_gradients(function, tensors):
    for tensor in tensors:
        tensor.grad = None
    out = function(*tensors)
    out.backward(torch.cos(torch.arange(out.numel())).view_as(out).to(out))
    return [out.detach(), *(tensor.grad.clone() for tensor in tensors)]


def assert_equal_to_pytorch(tensors, mask):
    ours = values_and_gradients(lambda *t: attention(*t, mask), tensors)
    theirs = values_and_gradients(
        lambda *t: F.scaled_dot_product_attention(*t, attn_mask=mask), tensors
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lead", LEAD)
def test_without_a_mask_it_is_pytorchs(lead):
    assert_equal_to_pytorch(qkv(lead), None)


@pytest.mark.parametrize("lead", LEAD)
def test_with_a_causal_mask_it_is_pytorchs(lead):
    tensors = qkv(lead, T=6, S=6)
    assert_equal_to_pytorch(tensors, causal_mask(6))
    causal = F.scaled_dot_product_attention(*tensors, is_causal=True)
    torch.testing.assert_close(attention(*tensors, causal_mask(6)), causal)


def test_with_a_padding_mask_it_is_pytorchs():
    ids = torch.tensor([[5, 6, 7, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]])
    assert_equal_to_pytorch(qkv((2,)), padding_mask(ids, pad_id=0))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_with_any_mask_that_leaves_something_it_is_pytorchs(seed, T, S):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(T, S, generator=generator) < 0.5
    mask[torch.arange(T), torch.randint(S, (T,), generator=generator)] = True
    assert_equal_to_pytorch(qkv(T=T, S=S), mask)


def test_a_row_that_may_look_nowhere_is_zero_and_has_no_gradient():
    tensors = qkv()
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    out, dq, dk, dv = values_and_gradients(
        lambda *t: attention(*t, mask), tensors
    )
    assert (out[:, 2] == 0).all()
    assert (dq[:, 2] == 0).all()
    assert all(torch.isfinite(g).all() for g in (out, dq, dk, dv))


def test_rows_of_weights_sum_to_one():
    q, k, _ = qkv()
    for mask in (None, torch.ones(5, 7, dtype=torch.bool).tril(2)):
        rows = attention_weights(q, k, mask).sum(dim=-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))


def test_the_weights_of_equal_scores_are_equal():
    weights = attention_weights(torch.zeros(1, 2), torch.ones(4, 2))
    assert torch.equal(weights, torch.full((1, 4), 0.25))


def test_the_scale_is_the_root_of_the_size():
    q, k = torch.tensor([[2.0, 0, 0, 0]]), torch.eye(4)
    expected = torch.tensor([[math.e, 1, 1, 1]]) / (math.e + 3)
    torch.testing.assert_close(attention_weights(q, k), expected)


def test_causality_what_comes_later_changes_nothing_before():
    q, k, v = (t.detach() for t in qkv(T=6, S=6))
    before = attention(q, k, v, causal_mask(6))
    for t in range(6):
        changed = [x.clone() for x in (q, k, v)]
        for x in changed:
            x[:, t:] += 1
        after = attention(*changed, causal_mask(6))
        assert torch.equal(after[:, :t], before[:, :t])


def test_padding_changes_nothing():
    ids = torch.tensor([[3, 4, 5, 0, 0]])
    q, k, v = (t.detach() for t in qkv((1,), T=5, S=5))
    padded = attention(q, k, v, padding_mask(ids, 0))
    alone = attention(q, k[:, :3], v[:, :3])
    torch.testing.assert_close(padded, alone, rtol=1e-12, atol=1e-12)


def test_permutation_of_the_keys_changes_nothing():
    q, k, v = qkv()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        attention(q, k[:, order], v[:, order]), attention(q, k, v)
    )


def test_permutation_of_all_positions_permutes_the_output():
    q, k, v = qkv(T=7, S=7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        attention(q[:, order], k[:, order], v[:, order]),
        attention(q, k, v)[:, order],
    )


def test_half_precision_stays_finite():
    q, k, v = (100 * t.detach().to(torch.bfloat16) for t in qkv(T=7, S=7))
    assert torch.isfinite(attention(q, k, v, causal_mask(7))).all()


@pytest.mark.parametrize(
    ("sizes", "mask", "message"),
    [
        (((5, 4), (7, 3), (7, 6)), None, "Queries have 4 numbers and keys 3"),
        (((5, 4), (7, 4), (6, 6)), None, "7 keys but 6 values"),
        (((5, 4), (7, 4), (7, 6)), torch.ones(5, 7), r"mask\.bool\(\)"),
        (
            ((5, 4), (7, 4), (7, 6)),
            torch.ones(7, 5, dtype=torch.bool),
            r"shape \(7, 5\) does not fit scores of shape \(5, 7\)",
        ),
        (
            ((5, 4), (7, 4), (7, 6)),
            torch.ones(2, 5, 7, dtype=torch.bool),
            "does not fit",
        ),
    ],
)
def test_what_does_not_fit_is_refused(sizes, mask, message):
    q, k, v = (torch.zeros(size) for size in sizes)
    with pytest.raises(ValueError, match=message):
        attention(q, k, v, mask)


def test_masks_that_broadcast_fit():
    q, k = torch.zeros(2, 3, 5, 4), torch.zeros(2, 3, 7, 4)
    for shape in [(7,), (1, 7), (5, 1), (5, 7), (2, 1, 1, 7), (1, 3, 5, 7)]:
        check_attention(q, k, torch.ones(shape, dtype=torch.bool))


def test_masks_refuse_what_they_cannot_use():
    with pytest.raises(ValueError, match="one position or more"):
        causal_mask(0)
    with pytest.raises(ValueError, match=r"ids\[None\]"):
        padding_mask(torch.tensor([1, 2, 0]), 0)
