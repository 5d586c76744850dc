"""Quantisation: by hand, equal to PyTorch's, and within its bounds."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nextword.blocks import TransformerConfig
from nextword.quantisation import (
    QuantisedLinear,
    cut_groups,
    largest_whole,
    pack_pairs,
    quantise,
    quantise_linears,
    restore,
    unpack_pairs,
)
from nextword.transformer import GPT


def matrix(m=6, n=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, n, generator=generator)


def test_the_largest_whole_numbers():
    assert [largest_whole(b) for b in (2, 3, 4, 8)] == [1, 3, 7, 127]


@pytest.mark.parametrize("bits", [0, 1, 9, 4.5])
def test_other_bits_are_refused(bits):
    with pytest.raises(ValueError, match="2 to 8"):
        largest_whole(bits)


def test_by_hand():
    W = torch.tensor([[3.0, -1.0, 0.4], [0.3, -0.1, 0.04]])
    whole, scales = quantise(W, 3, "tensor")
    assert whole.tolist() == [[3, -1, 0], [0, 0, 0]]
    assert scales.tolist() == [[1.0]]
    whole, scales = quantise(W, 3, "row")
    assert whole.tolist() == [[3, -1, 0], [3, -1, 0]]
    torch.testing.assert_close(scales, torch.tensor([[1.0], [0.1]]))


@pytest.mark.parametrize("share, groups", [("tensor", 1), ("row", 6), (4, 12)])
def test_groups_are_neighbours_in_a_row(share, groups):
    W = matrix()
    cut = cut_groups(W, share)
    assert len(cut) == groups and torch.equal(cut.flatten(), W.flatten())


@pytest.mark.parametrize("share", ["column", 3, 0, -8, 16, 2.0])
def test_groups_that_do_not_fit_are_refused(share):
    with pytest.raises(ValueError, match="divides the length of a row"):
        cut_groups(matrix(), share)


def test_only_finite_matrices():
    with pytest.raises(ValueError, match="Pass a matrix"):
        quantise(torch.ones(3))
    with pytest.raises(ValueError, match="finite"):
        quantise(torch.tensor([[1.0, torch.inf]]))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rows_equal_pytorchs(bits):
    W, most = matrix(20, 30, bits), largest_whole(bits)
    whole, scales = quantise(W, bits)
    zeros = torch.zeros(20, dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(
        W, scales[:, 0], zeros, 0, -most, most
    )
    torch.testing.assert_close(restore(whole, scales), theirs)
    assert torch.equal((theirs / scales).round().to(torch.int8), whole)


def test_a_whole_tensor_equals_pytorchs():
    W = matrix(20, 30)
    whole, scales = quantise(W, 8, "tensor")
    theirs = torch.fake_quantize_per_tensor_affine(
        W, scales.item(), 0, -127, 127
    )
    torch.testing.assert_close(restore(whole, scales), theirs)
    assert torch.equal((theirs / scales).round().to(torch.int8), whole)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from([2, 3, 4, 5, 8]),
    st.sampled_from(["tensor", "row", 4]),
    st.floats(1e-6, 1e6),
)
def test_the_error_is_at_most_half_a_step(seed, bits, share, size):
    W = matrix(seed=seed) * size
    whole, scales = quantise(W, bits, share)
    error = cut_groups(restore(whole, scales) - W, share).abs()
    assert (error <= 0.501 * scales).all()
    assert whole.abs().max() == largest_whole(bits)
    assert torch.equal(quantise(-W, bits, share)[0], -whole)


def test_zeros_stay_zeros():
    W = matrix()
    W[2] = 0.0
    whole, scales = quantise(W)
    assert scales[2] == 1 and not restore(whole, scales)[2].any()


def test_every_pair_fits_in_a_byte():
    values = torch.arange(-8, 8, dtype=torch.int8)
    pairs = torch.cartesian_prod(values, values)
    packed = pack_pairs(pairs)
    assert packed.dtype == torch.uint8 and packed.shape == (256, 1)
    assert len(packed.unique()) == 256
    assert torch.equal(unpack_pairs(packed), pairs)


@pytest.mark.parametrize("wrong", [[[1, 2, 3]], [[8, 0]], [[0, -9]]])
def test_what_does_not_fit_in_pairs_is_refused(wrong):
    with pytest.raises(ValueError, match="do not fit two by two"):
        pack_pairs(torch.tensor(wrong, dtype=torch.int8))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bits, share", [(8, "row"), (4, 4), (3, "tensor")])
def test_a_layer_computes_with_the_restored_matrix(bits, share, bias):
    torch.manual_seed(0)
    linear = nn.Linear(8, 6, bias)
    layer = QuantisedLinear(linear, bits, share)
    W = restore(*quantise(linear.weight.detach(), bits, share))
    x = torch.randn(2, 3, 8)
    assert torch.equal(layer.weight(), W)
    wanted = nn.functional.linear(x, W, linear.bias)
    torch.testing.assert_close(layer(x), wanted)
    assert layer.whole.nbytes == (24 if bits <= 4 else 48)
    assert not list(layer.parameters())


def test_a_model_keeps_its_head_and_its_outputs_nearly():
    torch.manual_seed(0)
    model = GPT(TransformerConfig(11, 9, 16, 2, 2)).eval()
    small, ids = copy.deepcopy(model), torch.randint(0, 11, (2, 9))
    assert quantise_linears(small) == 2 * 6
    assert type(small.lm_head) is nn.Linear
    apart = (small(ids) - model(ids)).abs().max()
    assert 0 < apart < 0.02 * model(ids).abs().max()
    with pytest.raises(ValueError, match="no linear layer left"):
        quantise_linears(small)


def test_a_stored_model_comes_back():
    torch.manual_seed(0)
    model = GPT(TransformerConfig(11, 9, 16, 2, 1)).eval()
    other, ids = copy.deepcopy(model), torch.randint(0, 11, (2, 9))
    quantise_linears(model, 4, 8)
    quantise_linears(other, 4, 8)
    for buffer in other.buffers():
        buffer.zero_()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(ids), model(ids))
