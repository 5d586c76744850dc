"""Many heads against PyTorch's layer, in values and gradients, and variants."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nextword.attention import (
    GroupedQueryAttention,
    MultiHeadAttention,
    attention,
    causal_mask,
    fused_attention,
    head_size,
    merge_heads,
    padding_mask,
    split_heads,
    window_mask,
)

IDS = torch.tensor([[5, 6, 7, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def values_and_gradients(function, tensors):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    out = function(*leaves)
    out.backward(torch.cos(torch.arange(out.numel())).view_as(out).to(out))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def assert_equal(ours, theirs, tolerance=1e-10):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def pair_of_layers(C=12, H=3):
    """PyTorch's layer and ours with the same parameters, all drawn."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(C, H, batch_first=True).double()
    nn.init.normal_(theirs.in_proj_bias)
    nn.init.normal_(theirs.out_proj.bias)
    ours = MultiHeadAttention(C, H).double()
    W, b = theirs.in_proj_weight, theirs.in_proj_bias
    state = dict(theirs.out_proj.named_parameters(prefix="out_proj"))
    for i, name in enumerate(PROJECTIONS[:3]):
        state[f"{name}.weight"] = W[i * C : (i + 1) * C]
        state[f"{name}.bias"] = b[i * C : (i + 1) * C]
    ours.load_state_dict(state)
    return ours, theirs


MASKS = {
    "none": ({}, {}),
    "causal": (
        {"causal": True},
        {"attn_mask": torch.ones(6, 6, dtype=torch.bool).triu(1)},
    ),
    "causal mask": (
        {"mask": causal_mask(6)},
        {"attn_mask": torch.ones(6, 6, dtype=torch.bool).triu(1)},
    ),
    "padding": (
        {"mask": padding_mask(IDS, 0)},
        {"key_padding_mask": IDS == 0},
    ),
    "causal and padding": (
        {"mask": padding_mask(IDS, 0), "causal": True},
        {
            "attn_mask": torch.ones(6, 6, dtype=torch.bool).triu(1),
            "key_padding_mask": IDS == 0,
        },
    ),
}


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("H", [1, 3, 12])
def test_it_is_pytorchs_layer_in_values_and_all_gradients(H, case, cross):
    ours, theirs = pair_of_layers(H=H)
    our_mask, their_mask = MASKS[case]
    x, memory = draw(2, 6, 12, seed=1), draw(2, 6, 12, seed=2)
    if cross:
        tensors = [x, memory]
        own = values_and_gradients(
            lambda x, memory: ours(x, memory, **our_mask), tensors
        )
        other = values_and_gradients(
            lambda x, memory: theirs(x, memory, memory, **their_mask)[0],
            tensors,
        )
    else:
        own = values_and_gradients(lambda x: ours(x, **our_mask), [x])
        other = values_and_gradients(
            lambda x: theirs(x, x, x, **their_mask)[0], [x]
        )
    assert_equal(own, other)
    W, b = theirs.in_proj_weight.grad, theirs.in_proj_bias.grad
    expected = [*zip(W.split(12), b.split(12), strict=True)]
    expected.append((theirs.out_proj.weight.grad, theirs.out_proj.bias.grad))
    for name, gradients in zip(PROJECTIONS, expected, strict=True):
        layer = getattr(ours, name)
        assert_equal((layer.weight.grad, layer.bias.grad), gradients)


def test_cross_attention_to_a_memory_of_another_length():
    ours, theirs = pair_of_layers()
    x, memory = draw(2, 4, 12, seed=1), draw(2, 6, 12, seed=2)
    own = values_and_gradients(
        lambda x, memory: ours(x, memory, padding_mask(IDS, 0)), [x, memory]
    )
    other = values_and_gradients(
        lambda x, memory: theirs(x, memory, memory, key_padding_mask=IDS == 0)[
            0
        ],
        [x, memory],
    )
    assert_equal(own, other)


@pytest.mark.parametrize("H", [1, 2, 4, 64])
def test_the_number_of_parameters_does_not_depend_on_the_heads(H):
    count = sum(p.numel() for p in MultiHeadAttention(64, H).parameters())
    assert count == 4 * 64**2 + 4 * 64


def test_split_by_hand():
    x = torch.arange(12).view(1, 2, 6)
    assert split_heads(x, 3).tolist() == [
        [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
    ]


@given(*[st.integers(1, 5)] * 4)
def test_merge_undoes_split(B, T, H, D):
    x = torch.arange(B * T * H * D).view(B, T, H * D)
    heads = split_heads(x, H)
    assert heads.shape == (B, H, T, D)
    assert torch.equal(merge_heads(heads), x)
    for h in range(H):
        assert torch.equal(heads[:, h], x[..., h * D : (h + 1) * D])


def test_a_view_that_is_not_contiguous_can_be_split():
    x = torch.arange(24).view(2, 6, 2).transpose(1, 2)  # (2, 2, 6)
    assert torch.equal(split_heads(x, 3), split_heads(x.contiguous(), 3))


@pytest.mark.parametrize(
    ("C", "H"), [(6, 4), (6, 0), (6, -2), (0, 1), (2, 4), (-4, 2)]
)
def test_heads_that_do_not_fit_are_refused(C, H):
    with pytest.raises(ValueError, match=f"{H} heads cannot share d_model"):
        head_size(C, H)
    with pytest.raises(ValueError, match="divisors of d_model"):
        MultiHeadAttention(C, H)


def test_head_size():
    assert head_size(768, 12) == 64
    assert head_size(5, 5) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_fused_is_attention_for_any_mask(seed, T, S):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(2, T, S, generator=generator) < 0.6
    mask[0, torch.randint(T, (), generator=generator)] = False  # an empty row
    tensors = [
        draw(2, 3, n, 4, seed=seed % 1000 + i) for i, n in enumerate((T, S, S))
    ]
    ours = values_and_gradients(
        lambda *t: fused_attention(*t, mask=mask), tensors
    )
    expected = values_and_gradients(
        lambda *t: attention(*t, mask[:, None]), tensors
    )
    assert_equal(ours, expected)
    empty = ~mask.any(dim=-1)  # (2, T)
    assert (ours[0].transpose(1, 2)[empty] == 0).all()
    assert (ours[1].transpose(1, 2)[empty] == 0).all()
    assert all(x.isfinite().all() for x in ours)


@pytest.mark.parametrize("T", [1, 2, 5, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_causal_queries_are_the_last_of_the_positions(T, masked):
    q, k, v = (draw(2, 3, 7, 4, seed=i) for i in range(3))
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 2, 3, 4, 5]])
    mask = padding_mask(ids, 0) if masked else None
    seen = causal_mask(7) & mask if masked else causal_mask(7)[None]
    whole = attention(q, k, v, seen[:, None])
    last = fused_attention(q[:, :, 7 - T :], k, v, mask, causal=True)
    assert_equal([last], [whole[:, :, 7 - T :]])


def test_causal_flag_and_causal_mask_are_the_same_in_gradients_too():
    tensors = [draw(2, 3, 6, 4, seed=i) for i in range(3)]
    flag = values_and_gradients(
        lambda *t: fused_attention(*t, causal=True), tensors
    )
    mask = values_and_gradients(
        lambda *t: fused_attention(*t, causal_mask(6)), tensors
    )
    assert_equal(flag, mask)


def test_fused_attention_refuses_what_it_cannot_use():
    q, k = torch.zeros(1, 2, 5, 4), torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match="5 queries cannot be the last of 3"):
        fused_attention(q, k, k, causal=True)
    with pytest.raises(ValueError, match=r"mask\.bool\(\)"):
        fused_attention(q, k, k, torch.ones(5, 3))
    with pytest.raises(ValueError, match="does not fit scores of shape"):
        fused_attention(q, k, k, torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="Queries have 4 numbers and keys 3"):
        fused_attention(q, torch.zeros(1, 2, 3, 3), k)
    with pytest.raises(ValueError, match="3 keys but 2 values"):
        fused_attention(q, k, k[:, :, :2])


def test_what_comes_later_changes_nothing_before():
    layer, x = MultiHeadAttention(12, 3).double(), draw(2, 6, 12)
    before = layer(x, causal=True)
    for t in range(6):
        changed = x.clone()
        changed[:, t:] += 1
        after = layer(changed, causal=True)
        torch.testing.assert_close(
            after[:, :t], before[:, :t], rtol=0, atol=1e-12
        )
        assert (after[:, t] - before[:, t]).abs().max() > 1e-6


def test_permuting_the_memory_changes_nothing():
    layer = MultiHeadAttention(12, 3).double()
    x, memory = draw(2, 4, 12, seed=1), draw(2, 7, 12, seed=2)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    assert_equal([layer(x, memory[:, order])], [layer(x, memory)])


def test_prepare_is_called_with_all_heads_and_its_result_is_used():
    layer = MultiHeadAttention(12, 3).double()
    x, memory, shapes = draw(2, 4, 12), draw(2, 7, 12, seed=1), []

    def first_key_only(q, k, v):
        shapes.extend([q.shape, k.shape, v.shape])
        return q, k[:, :, :1], v[:, :, :1]

    out = layer(x, memory, prepare=first_key_only)
    assert shapes == [(2, 3, 4, 4), (2, 3, 7, 4), (2, 3, 7, 4)]
    expected = layer.out_proj(layer.v_proj(memory[:, :1])).expand(2, 4, 12)
    assert_equal([out], [expected])


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(12, 3, dropout=0.5), torch.randn(2, 6, 12)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_dropout_keeps_the_mean_of_the_weights():
    torch.manual_seed(0)
    q, v = torch.zeros(1, 1, 4000, 2), torch.ones(1, 1, 4, 2)
    out = fused_attention(q, q[:, :, :4], v, dropout=0.25)[..., 0]
    assert out.mean().item() == pytest.approx(1, abs=0.03)
    ones = torch.round(out * 3)  # each weight is 0 or 1/4 / (3/4) = 1/3
    torch.testing.assert_close(out, ones / 3)
    assert out.unique().numel() > 1


def test_one_group_for_each_head_is_multi_head_attention():
    many = MultiHeadAttention(12, 3).double()
    grouped = GroupedQueryAttention(12, 3, n_groups=3).double()
    grouped.load_state_dict(many.state_dict())
    x = draw(2, 5, 12)
    ours = values_and_gradients(grouped, [x])
    theirs = values_and_gradients(lambda x: many(x, causal=True), [x])
    assert_equal(ours, theirs)
    for a, b in zip(grouped.parameters(), many.parameters(), strict=True):
        assert_equal([a.grad], [b.grad])


@pytest.mark.parametrize("G", [1, 2])
def test_groups_are_heads_with_equal_keys_and_values(G):
    grouped = GroupedQueryAttention(12, 4, n_groups=G).double()
    many = MultiHeadAttention(12, 4).double()
    state = grouped.state_dict()
    for name in ("k_proj", "v_proj"):
        for kind in ("weight", "bias"):
            groups = state[f"{name}.{kind}"].chunk(G)
            state[f"{name}.{kind}"] = torch.cat(
                [groups[h * G // 4] for h in range(4)]
            )
    many.load_state_dict(state)
    x = draw(2, 5, 12)
    assert_equal([grouped(x)], [many(x, causal=True)])


def test_multi_query_attention_by_hand():
    layer = GroupedQueryAttention(2, 2, n_groups=1)
    with torch.no_grad():
        for projection in (layer.q_proj, layer.out_proj):
            projection.weight.copy_(torch.eye(2))
            projection.bias.zero_()
        layer.k_proj.weight.copy_(torch.tensor([[1.0, 0.0]]))
        layer.v_proj.weight.copy_(torch.tensor([[0.0, 1.0]]))
        layer.k_proj.bias.zero_()
        layer.v_proj.bias.zero_()
    # Keys 0 and 1, values 5 and 9; token 1 asks with 1 and with 9.
    out = layer(torch.tensor([[[0.0, 5.0], [1.0, 9.0]]]))[0]

    def mean(score):
        return (5 + 9 * math.exp(score)) / (1 + math.exp(score))

    expected = torch.tensor([[5.0, 5.0], [mean(1.0), mean(9.0)]])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("G", [1, 2, 3, 6])
def test_the_parameters_of_groups(G):
    layer = GroupedQueryAttention(24, 6, n_groups=G)
    count = sum(p.numel() for p in layer.parameters())
    assert count == 2 * (24**2 + 24) + 2 * (24 * 4 * G + 4 * G)


@pytest.mark.parametrize("G", [0, -1, 4, 12])
def test_groups_that_do_not_fit_are_refused(G):
    with pytest.raises(ValueError, match=f"6 heads cannot form {G} equal"):
        GroupedQueryAttention(24, 6, n_groups=G)


@given(st.integers(1, 9), st.integers(1, 12))
def test_a_window_against_brute_force(T, window):
    mask = window_mask(T, window)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [
        [j <= t and t - j < window for j in range(T)] for t in range(T)
    ]


def test_a_window_as_wide_as_the_text_is_the_causal_mask():
    assert torch.equal(window_mask(6, 6), causal_mask(6))
    assert torch.equal(window_mask(6, 1), torch.eye(6, dtype=torch.bool))


def test_windows_of_no_size_are_refused():
    with pytest.raises(ValueError, match="window is 0"):
        window_mask(3, 0)
    with pytest.raises(ValueError, match="one position or more"):
        window_mask(0, 3)
