"""Recording changes nothing; cutting and patching change exactly what they say."""

import math

import pytest
import torch
from torch import nn

from nextword import patching
from nextword.attention import attention, causal_mask, split_heads
from nextword.blocks import TransformerConfig
from nextword.patching import (
    attention_map,
    changing,
    changing_heads,
    check_change,
    cut,
    hiding,
    layers_of,
    lens,
    put,
    recording,
    recording_maps,
    restored,
    streams_of,
)
from nextword.transformer import BERT, GPT, initialise

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def small(kind=GPT, positions="rotary"):
    torch.manual_seed(0)
    config = TransformerConfig(11, 9, 16, 2, 3, positions=positions)
    model = kind(config).double().eval()
    initialise(model, 0.3)
    return model


def some_ids(B=2, T=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(11, (B, T), generator=generator)


def attentions(model):
    return [layer.attention for layer in layers_of(model)]


def hooks(model):
    return sum(
        len(part._forward_hooks) + len(part._forward_pre_hooks)
        for part in model.modules()
    )


@pytest.mark.parametrize("kind", [GPT, BERT])
def test_recording_changes_nothing_and_leaves_nothing_behind(kind):
    model, ids = small(kind), some_ids()
    before = model(ids)
    with (
        recording(streams_of(model)) as streams,
        recording_maps(attentions(model)) as maps,
    ):
        during = model(ids)
    assert torch.equal(before, during)
    assert list(streams) == [0, 1, 2, 3]
    assert list(maps) == [0, 1, 2]
    assert hooks(model) == 0


def test_the_streams_are_the_layers_by_hand():
    model, ids = small(), some_ids()
    with recording(streams_of(model)) as streams:
        logits = model(ids)
    x = model.embedding(ids, torch.arange(7)[None])
    torch.testing.assert_close(streams[0], x, **EXACT)
    for number, layer in enumerate(layers_of(model)):
        with recording({"a": layer.attention, "f": layer.feed_forward}) as part:
            model(ids)
        rebuilt = streams[number] + part["a"] + part["f"]
        torch.testing.assert_close(streams[number + 1], rebuilt, **EXACT)
    torch.testing.assert_close(lens(model, streams[3]), logits, **EXACT)


def test_hooks_are_taken_out_after_an_error():
    model, ids = small(), some_ids()
    layers = attentions(model)
    hidden = torch.zeros(7, 7, dtype=torch.bool)
    with (
        pytest.raises(RuntimeError),
        recording(streams_of(model)),
        changing(model.dropout, lambda x: x),
        changing_heads(layers[0], lambda x: x),
        recording_maps(layers),
        hiding(layers, hidden),
    ):
        model(ids)
        raise RuntimeError
    assert hooks(model) == 0


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_map_is_the_attention_written_out(positions):
    model, ids = small(positions=positions), some_ids()
    with recording_maps(attentions(model)) as maps:
        model(ids)
    for number, layer in enumerate(attentions(model)):
        found = {}

        def keep(x, found=found):
            found["heads"] = x
            return x

        with (
            recording({"v": layer.v_proj}) as parts,
            changing_heads(layer, keep),
        ):
            model(ids)
        values = split_heads(parts["v"], 2)
        weights = maps[number]
        torch.testing.assert_close(weights @ values, found["heads"], **EXACT)
        torch.testing.assert_close(
            weights.sum(-1), torch.ones(2, 2, 7).double(), **EXACT
        )
        assert (weights.triu(1) == 0).all()


def test_a_map_with_padding_and_memory():
    torch.manual_seed(0)
    layer = patching.MultiHeadAttention(8, 2).double()
    x, memory = torch.randn(2, 3, 8).double(), torch.randn(2, 5, 8).double()
    mask = torch.ones(2, 1, 5, dtype=torch.bool)
    mask[1, :, 3:] = False
    weights = attention_map(layer, x, memory, mask)
    q, k, v = (
        split_heads(f(y), 2)
        for f, y in (
            (layer.q_proj, x),
            (layer.k_proj, memory),
            (layer.v_proj, memory),
        )
    )
    expected = attention(q, k, v, mask[:, None])
    torch.testing.assert_close(weights @ v, expected, **EXACT)
    assert (weights[1, ..., 3:] == 0).all()


def test_hidden_tokens_get_no_weight_and_the_others_all():
    model, ids = small(), some_ids()
    hidden = torch.zeros(7, 7, dtype=torch.bool)
    hidden[6, 2] = hidden[5, 0] = True
    layers = attentions(model)
    with recording_maps(layers) as before:
        plain = model(ids)
    with hiding(layers[:1], hidden), recording_maps(layers[:1]) as after:
        changed = model(ids)
    kept = before[0].masked_fill(hidden, 0.0)
    kept = kept / kept.sum(-1, keepdim=True)
    torch.testing.assert_close(after[0], kept, **EXACT)
    assert torch.equal(plain[:, :5], changed[:, :5])
    assert not torch.allclose(plain[:, 6], changed[:, 6])


def test_hiding_keeps_the_padding_hidden():
    model, ids = small(BERT, "learned"), some_ids()
    real = torch.ones(2, 7, dtype=torch.bool)
    real[0, 5:] = False
    hidden = torch.zeros(7, 7, dtype=torch.bool)
    hidden[1, 3] = True
    layers = attentions(model)
    with hiding(layers, hidden), recording_maps(layers) as maps:
        model(ids, real)
    for weights in maps.values():
        assert (weights[0, :, :, 5:] == 0).all()
        assert (weights[:, :, 1, 3] == 0).all()
        assert (weights[1, :, 0] > 0).all()


def test_hiding_what_comes_later_changes_nothing_in_a_gpt():
    model, ids = small(), some_ids()
    with hiding(attentions(model), ~causal_mask(7)):
        torch.testing.assert_close(model(ids), model(ids), **EXACT)


def test_all_heads_cut_is_a_layer_without_attention():
    model, ids = small(), some_ids()
    layer = attentions(model)[1]
    with changing_heads(layer, cut([0, 1])):
        by_heads = model(ids)
    with changing(layer, lambda x: torch.zeros_like(x) + layer.out_proj.bias):
        by_output = model(ids)
    torch.testing.assert_close(by_heads, by_output, **EXACT)


def test_one_head_cut_leaves_the_other():
    found = torch.randn(2, 3, 4, 5)
    after = cut([1])(found)
    assert torch.equal(after[:, [0, 2]], found[:, [0, 2]])
    assert (after[:, 1] == 0).all()
    means = torch.randn(3, 1, 5)
    after = cut([0, 2], means)(found)
    assert torch.equal(after[:, 1], found[:, 1])
    assert torch.equal(after[1, 2, 3], means[2, 0])


def test_a_patch_of_everything_gives_the_clean_run():
    model = small()
    clean, corrupted = some_ids(seed=1), some_ids(seed=2)
    with recording(streams_of(model)) as streams:
        expected = model(clean)
    for number, part in streams_of(model).items():
        with changing(part, put(streams[number], range(7))):
            torch.testing.assert_close(model(corrupted), expected, **EXACT)


def test_a_patch_acts_only_from_its_position_on():
    model = small()
    clean, corrupted = some_ids(seed=1), some_ids(seed=2)
    with recording(streams_of(model)) as streams:
        model(clean)
    plain = model(corrupted)
    with changing(model.dropout, put(streams[0], [4])):
        patched = model(corrupted)
    assert torch.equal(plain[:, :4], patched[:, :4])
    assert not torch.allclose(plain[:, 4], patched[:, 4])


def test_put_leaves_its_argument_as_it_is():
    x, source = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    after = put(source, [1])(x)
    assert (x == 0).all()
    assert after.sum(-1).tolist() == [[0, 4, 0]] * 2


def test_restored_by_hand():
    assert restored(1.0, 4.0, -2.0) == 0.5
    assert restored(-2.0, 4.0, -2.0) == 0
    assert restored(4.0, 4.0, -2.0) == 1
    assert restored(-5.0, 4.0, -2.0) == -0.5


def test_a_change_of_shape_is_refused_with_a_remedy():
    model, ids = small(), some_ids()
    refused = {"expected_exception": ValueError, "match": "of the same shape"}
    with pytest.raises(**refused), changing(model.dropout, lambda x: x[:, 1:]):
        model(ids)
    first = attentions(model)[0]
    with pytest.raises(**refused), changing_heads(first, lambda x: x[:, :1]):
        model(ids)
    with pytest.raises(ValueError, match="of the same shape"):
        check_change(torch.zeros(2), torch.zeros(3))


def test_a_change_can_be_differentiated_through():
    model, ids = small(), some_ids()
    direction = torch.zeros(16).double().requires_grad_()
    with changing(streams_of(model)[1], lambda x: x + direction):
        model(ids).logsumexp(-1).sum().backward()
    assert direction.grad.abs().sum() > 0 and math.isfinite(
        direction.grad.sum()
    )


def test_layers_of_both_kinds():
    for kind in (GPT, BERT):
        layers = layers_of(small(kind))
        assert isinstance(layers, nn.ModuleList) and len(layers) == 3
