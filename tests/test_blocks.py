"""The layers of a Transformer against PyTorch's, and what they refuse."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nextword.attention import causal_mask
from nextword.blocks import (
    Decoder,
    DecoderLayer,
    Embedding,
    EncoderLayer,
    Stack,
    TransformerConfig,
    check_config,
    check_ids,
    final_norm,
    prepare_heads,
    residual,
    rotary,
    token_positions,
)
from nextword.layers import LayerNorm
from nextword.positions import rotate, sinusoidal

SMALL = TransformerConfig(
    vocab_size=11, context_length=12, d_model=8, n_heads=2, n_layers=2
)
NORMS = pytest.mark.parametrize("norm_first", [True, False])


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def randomised(module, seed=0):
    """The module in float64, no parameter left at 0 or 1."""
    module.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(0.1, 0.3, generator=generator)
    return module


def under_our_names(tensors):
    """PyTorch's parameters or gradients by the names of our layers."""
    found = {}
    for name, tensor in tensors.items():
        *parents, kind = name.split(".")
        names = {
            "self_attn": "attention",
            "multihead_attn": "cross_attention",
            "linear1": "feed_forward.linear1",
            "linear2": "feed_forward.linear2",
            "norm1": "residual1.norm",
            "norm2": "residual2.norm",
            "norm3": "residual3.norm",
        }
        parents = [names.get(part, part) for part in parents]
        if kind.startswith("in_proj_"):
            third = len(tensor) // 3
            for i, letter in enumerate("qkv"):
                new = [
                    *parents,
                    f"{letter}_proj",
                    kind.removeprefix("in_proj_"),
                ]
                found[".".join(new)] = tensor[i * third : (i + 1) * third]
        else:
            found[".".join([*parents, kind])] = tensor
    return found


def outcome(module, run, inputs):
    """Everything that one run gives: outputs and all gradients, by name."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    module.zero_grad()
    out = run(module, *inputs)
    out.backward(
        torch.sin(1.0 + torch.arange(out.numel())).view_as(out).to(out)
    )
    weights = {name: p.grad for name, p in module.named_parameters()}
    return {
        "out": out,
        **{f"input {i}": x.grad for i, x in enumerate(inputs)},
    }, (weights)


def assert_equal_to_pytorch(ours, run_ours, theirs, run_theirs, inputs):
    randomised(theirs)
    ours.double().load_state_dict(under_our_names(theirs.state_dict()))
    mine, my_weights = outcome(ours, run_ours, inputs)
    yours, your_weights = outcome(theirs, run_theirs, inputs)
    yours |= under_our_names(your_weights)
    mine |= my_weights
    assert mine.keys() == yours.keys()
    for name in mine:
        torch.testing.assert_close(
            mine[name], yours[name], rtol=1e-10, atol=1e-10, msg=name
        )


def pytorch_layer(kind, norm_first, activation="gelu", d_ff=32):
    return kind(
        8, 2, d_ff, 0.0, activation, batch_first=True, norm_first=norm_first
    )


def padding(B, S):
    """True on real tokens: the last sequence has two fewer."""
    real = torch.ones(B, S, dtype=torch.bool)
    real[-1, -2:] = False
    return real


@NORMS
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("B", "T"), [(1, 3), (3, 6)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_encoder_layer_is_pytorchs(norm_first, padded, B, T, activation):
    real = padding(B, T) if padded else None
    assert_equal_to_pytorch(
        EncoderLayer(small(norm_first=norm_first, activation=activation)),
        lambda layer, x: layer(x, real[:, None] if padded else None),
        pytorch_layer(nn.TransformerEncoderLayer, norm_first, activation),
        lambda layer, x: layer(
            x, src_key_padding_mask=~real if padded else None
        ),
        [draw(B, T, 8)],
    )


@NORMS
def test_the_causal_encoder_layer_is_pytorchs_with_a_mask(norm_first):
    assert_equal_to_pytorch(
        EncoderLayer(small(norm_first=norm_first, d_ff=20)),
        lambda layer, x: layer(x, causal=True),
        pytorch_layer(nn.TransformerEncoderLayer, norm_first, d_ff=20),
        lambda layer, x: layer(x, src_mask=~causal_mask(5)),
        [draw(2, 5, 8)],
    )


@NORMS
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("B", "T", "S"), [(1, 4, 3), (3, 2, 6), (2, 5, 5)])
def test_the_decoder_layer_is_pytorchs(norm_first, padded, B, T, S):
    real = padding(B, S) if padded else None
    assert_equal_to_pytorch(
        DecoderLayer(small(norm_first=norm_first)),
        lambda layer, x, m: layer(x, m, real[:, None] if padded else None),
        pytorch_layer(nn.TransformerDecoderLayer, norm_first),
        lambda layer, x, m: layer(
            x,
            m,
            tgt_mask=~causal_mask(T),
            memory_key_padding_mask=~real if padded else None,
        ),
        [draw(B, T, 8), draw(B, S, 8, seed=1)],
    )


@NORMS
def test_the_stack_is_pytorchs_encoder(norm_first):
    real = padding(3, 6)
    norm = nn.LayerNorm(8) if norm_first else None
    layer = pytorch_layer(nn.TransformerEncoderLayer, norm_first)
    assert_equal_to_pytorch(
        Stack(small(norm_first=norm_first, n_layers=3), causal=False),
        lambda stack, x: stack(x, None, real),
        nn.TransformerEncoder(layer, 3, norm, enable_nested_tensor=False),
        lambda stack, x: stack(x, src_key_padding_mask=~real),
        [draw(3, 6, 8)],
    )


@NORMS
def test_the_decoder_is_pytorchs_decoder(norm_first):
    real = padding(3, 6)
    norm = nn.LayerNorm(8) if norm_first else None
    layer = pytorch_layer(nn.TransformerDecoderLayer, norm_first)
    assert_equal_to_pytorch(
        Decoder(small(norm_first=norm_first, n_layers=3)),
        lambda stack, x, m: stack(x, None, m, real),
        nn.TransformerDecoder(layer, 3, norm),
        lambda stack, x, m: stack(
            x, m, tgt_mask=~causal_mask(4), memory_key_padding_mask=~real
        ),
        [draw(3, 4, 8), draw(3, 6, 8, seed=1)],
    )


@NORMS
def test_post_norm_outputs_are_normal_and_pre_norm_ones_end_in_a_norm(
    norm_first,
):
    stack = Stack(small(norm_first=norm_first), causal=False).double()
    out = stack(5 * draw(2, 4, 8), None)
    ones = torch.ones(2, 4, dtype=torch.float64)
    torch.testing.assert_close(out.mean(-1), 0 * ones)
    torch.testing.assert_close(
        out.var(-1, unbiased=False), ones, rtol=1e-3, atol=0
    )


def test_the_final_norm_depends_on_the_form():
    assert isinstance(final_norm(SMALL), LayerNorm)
    assert isinstance(final_norm(small(norm_first=False)), nn.Identity)


def test_a_residual_takes_its_choices_from_the_config():
    config = small(norm_first=False, dropout=0.3, norm_eps=1e-12)
    part = residual(config)
    assert (part.norm_first, part.dropout.p, part.norm.eps) == (
        False,
        0.3,
        1e-12,
    )


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_without_positions_an_encoder_does_not_know_the_order(positions):
    """Rotary positions do know it: the same test must be able to fail."""
    stack = randomised(Stack(small(positions=positions), causal=False))
    x, order = draw(1, 6, 8), torch.randperm(6)
    at = torch.arange(6)[None]
    same = torch.allclose(stack(x, at)[:, order], stack(x[:, order], at))
    assert same == (positions == "learned")


def test_a_decoder_does_not_know_the_order_of_its_memory():
    decoder = randomised(Decoder(SMALL))
    x, memory = draw(1, 3, 8), draw(1, 6, 8, seed=1)
    order = torch.randperm(6)
    torch.testing.assert_close(
        decoder(x, None, memory[:, order]), decoder(x, None, memory)
    )


def test_causal_layers_do_not_see_the_future():
    layers = {
        "encoder layer": (EncoderLayer(SMALL), lambda f, x: f(x, causal=True)),
        "decoder layer": (
            DecoderLayer(SMALL),
            lambda f, x: f(x, draw(1, 4, 8, seed=1)),
        ),
        "stack": (Stack(SMALL, causal=True), lambda f, x: f(x, None)),
    }
    for name, (layer, run) in layers.items():
        randomised(layer)
        x = draw(1, 6, 8)
        before = run(layer, x)
        for t in range(6):
            changed = x.clone()
            changed[:, t] += draw(8, seed=9)  # a constant would pass a norm
            same = (run(layer, changed) == before).all(-1)[0]
            assert same.tolist() == [j < t for j in range(6)], name


def test_every_token_of_an_encoder_sees_every_other():
    stack = randomised(Stack(SMALL, causal=False))
    x = draw(1, 5, 8)
    before = stack(x, None)
    for t in range(5):
        changed = x.clone()
        changed[:, t] += draw(8, seed=9)
        assert not (stack(changed, None) == before).all(-1).any()


def test_rotary_stacks_see_only_differences_of_positions():
    stack = randomised(Stack(small(positions="rotary"), causal=True))
    x, at = draw(1, 5, 8), torch.arange(5.0, dtype=torch.float64)[None]
    torch.testing.assert_close(stack(x, at), stack(x, at + 3))
    assert not torch.allclose(stack(x, at), stack(x, 2 * at))


def test_rotary_angles_are_for_one_head_and_only_for_rotary():
    at = torch.arange(5)[None]
    assert rotary(SMALL, at) is None
    assert rotary(small(positions="rotary"), at).shape == (1, 1, 5, 2)


class Cache:
    """The least that a cache must be able to do."""

    def __init__(self):
        self.pair = None

    def __len__(self):
        return 0 if self.pair is None else self.pair[0].shape[-2]

    def extend(self, k, v):
        if self.pair is not None:
            k, v = (
                torch.cat([old, new], dim=-2)
                for old, new in zip(self.pair, (k, v), strict=True)
            )
        self.pair = (k, v)
        return k, v


def test_prepare_turns_first_and_then_puts_the_past_in_front():
    assert prepare_heads(None) is None
    q, k, v = (draw(1, 2, 3, 4, seed=i) for i in range(3))
    angles = draw(1, 1, 3, 2)
    turned = prepare_heads(angles)(q, k, v)
    assert torch.equal(turned[0], rotate(q, angles))
    assert torch.equal(turned[1], rotate(k, angles))
    assert torch.equal(turned[2], v)
    cache = Cache()
    prepare = prepare_heads(angles, cache)
    prepare(q, k, v)
    _, keys, values = prepare(q, k, v)
    assert torch.equal(keys, torch.cat([turned[1]] * 2, dim=-2))
    assert torch.equal(values, torch.cat([v] * 2, dim=-2))


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("steps", [(1, 1, 1, 1, 1, 1), (3, 1, 2), (6,)])
def test_a_cached_stack_equals_an_uncached_one(positions, steps):
    stack = randomised(Stack(small(positions=positions), causal=True))
    x, at = draw(2, 6, 8), torch.arange(6)[None]
    cache = [Cache() for _ in range(2)]
    pieces = [
        stack(x, at, None, cache)
        for x, at in zip(x.split(steps, 1), at.split(steps, 1), strict=True)
    ]
    torch.testing.assert_close(torch.cat(pieces, 1), stack(x, at))
    assert [len(one) for one in cache] == [6, 6]


@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (2, 2)])
def test_a_cached_decoder_equals_an_uncached_one(steps):
    decoder = randomised(Decoder(small(positions="rotary")))
    x, at, memory = draw(2, 4, 8), torch.arange(4)[None], draw(2, 5, 8, seed=1)
    real = padding(2, 5)
    cache = [(Cache(), Cache()) for _ in range(2)]
    pieces = [
        decoder(x, at, memory, real, cache)
        for x, at in zip(x.split(steps, 1), at.split(steps, 1), strict=True)
    ]
    torch.testing.assert_close(
        torch.cat(pieces, 1), decoder(x, at, memory, real)
    )
    assert [(len(a), len(b)) for a, b in cache] == [(4, 5)] * 2


def test_the_embedding_is_scaled_and_the_positions_are_not():
    ids = torch.tensor([[3, 1, 3]])
    at = token_positions(ids, SMALL)
    for positions in ("learned", "sinusoidal", "rotary"):
        part = Embedding(small(positions=positions), scale=3.0).double()
        rows = 3 * part.tokens.weight[ids]
        added = {
            "learned": lambda part=part: part.positions.weight[:3],
            "sinusoidal": lambda: sinusoidal(torch.arange(3), 8).double(),
            "rotary": lambda: torch.zeros(3, 8, dtype=torch.float64),
        }[positions]()
        torch.testing.assert_close(part(ids, at), rows + added)
        assert hasattr(part, "positions") == (positions == "learned")


def test_positions_count_from_the_first_real_token():
    ids = torch.ones(3, 5, dtype=torch.long)
    assert token_positions(ids, SMALL).tolist() == [[0, 1, 2, 3, 4]]
    assert token_positions(ids, SMALL, start=7).tolist() == [[7, 8, 9, 10, 11]]
    real = torch.tensor(
        [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool
    )
    assert token_positions(ids, SMALL, real).tolist() == [
        [0, 0, 0, 1, 2],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 2, 2],
    ]
    last = token_positions(ids[:, :1], SMALL, real, start=4)
    assert last.tolist() == [[2], [4], [2]]


def test_a_config_fills_in_d_ff_and_stays_as_it_is():
    assert SMALL.d_ff == 32
    assert small(d_ff=5).d_ff == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.d_ff = 7
    with pytest.raises(TypeError, match="layers"):
        TransformerConfig(11, 12, layers=3)
    check_config(SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_heads": 3}, "3 heads cannot share d_model = 8 evenly.*divisors"),
        ({"vocab_size": 0}, "vocab_size is 0. Pass an int of 1 or more"),
        ({"context_length": -1}, "context_length is -1"),
        ({"d_model": 8.0}, "d_model is 8.0. Pass an int"),
        ({"n_layers": True}, "n_layers is True"),
        ({"n_heads": 0}, "n_heads is 0"),
        ({"d_ff": 0}, "d_ff is 0"),
        ({"dropout": 1.0}, "dropout is 1.0.*less than 1"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"dropout": "0.1"}, "dropout is '0.1'"),
        ({"dropout": None}, "dropout is None"),
        ({"norm_eps": -1.0}, "norm_eps is -1.0. Choose a number of 0 or more"),
        ({"norm_eps": float("nan")}, "norm_eps is nan"),
        ({"norm_eps": "x"}, "norm_eps is 'x'"),
        ({"activation": ["relu"]}, "Choose one of relu, gelu"),
        ({"activation": "gleu"}, "activation is 'gleu'.*relu, gelu, gelu_tanh"),
        ({"positions": "sine"}, "positions is 'sine'.*sinusoidal, rotary"),
        ({"norm_first": "post"}, "norm_first is 'post'.*True, False"),
        ({"positions": "rotary", "n_heads": 8}, "size is 1.*even size"),
        (
            {"positions": "sinusoidal", "d_model": 7, "n_heads": 1},
            "size is 7.*even size",
        ),
    ],
)
def test_a_wrong_config_is_refused_with_a_remedy(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([[0, 11]]), "from 0 to 11.*only 0 to 10.*tokenizer"),
        (torch.tensor([[-1, 3]]), "from -1 to 3"),
        (torch.tensor([[1.0]]), "torch.float32 of shape.*whole numbers"),
        (torch.tensor([[True]]), "torch.bool"),
        (torch.tensor([1, 2]), r"shape \(2,\).*ids\[None\]"),
        (torch.zeros(1, 2, 3, dtype=torch.long), r"shape \(1, 2, 3\)"),
    ],
)
def test_wrong_ids_are_refused_with_a_remedy(ids, message):
    with pytest.raises(ValueError, match=message):
        check_ids(ids, SMALL)
    with pytest.raises(ValueError, match=message):
        token_positions(ids, SMALL)


def test_ids_at_the_ends_of_the_vocabulary_and_none_at_all_pass():
    check_ids(torch.tensor([[0, 10]]), SMALL)
    check_ids(torch.zeros(2, 0, dtype=torch.long), SMALL)
    check_ids(torch.tensor([[3]], dtype=torch.int32), SMALL)
    check_ids(torch.zeros(2, 3, dtype=torch.long, device="meta"), SMALL)


def test_more_tokens_than_the_context_are_refused():
    token_positions(torch.zeros(1, 12, dtype=torch.long), SMALL)
    with pytest.raises(ValueError, match=r"13 tokens do not fit.*12.*Cut"):
        token_positions(torch.zeros(1, 13, dtype=torch.long), SMALL)
    with pytest.raises(ValueError, match="13 tokens"):
        token_positions(torch.zeros(1, 1, dtype=torch.long), SMALL, start=12)


@pytest.mark.parametrize(
    "real",
    [
        torch.ones(2, 3, dtype=torch.long),
        torch.ones(2, 4, dtype=torch.bool),
        torch.ones(1, 3, dtype=torch.bool),
    ],
)
def test_a_wrong_real_is_refused(real):
    with pytest.raises(ValueError, match=r"Pass bools of shape \(2, 3\)"):
        token_positions(torch.ones(2, 3, dtype=torch.long), SMALL, real)


def test_wrong_masks_and_memories_are_refused():
    x = draw(2, 3, 8)
    layer = EncoderLayer(SMALL).double()
    with pytest.raises(ValueError, match=r"float64.*bool mask"):
        layer(x, torch.ones(2, 1, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"shape \(2, 1, 1, 4\) does not fit"):
        layer(x, torch.ones(2, 1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="does not fit"):
        Decoder(SMALL).double()(
            x, None, draw(2, 5, 8), torch.ones(2, 3, dtype=torch.bool)
        )


def test_dropout_acts_in_training_only():
    layer = EncoderLayer(small(dropout=0.5)).double()
    x = draw(2, 3, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    plain = EncoderLayer(SMALL).double()
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("C", [8, 24])
@pytest.mark.parametrize("d_ff", [None, 10])
def test_layers_have_as_many_parameters_as_the_formula_says(C, d_ff):
    config = small(d_model=C, d_ff=d_ff)
    inner = d_ff or 4 * C
    attention, norm = 4 * (C * C + C), 2 * C
    feed_forward = 2 * C * inner + inner + C
    counts = [
        sum(p.numel() for p in layer(config).parameters())
        for layer in (EncoderLayer, DecoderLayer)
    ]
    assert counts == [
        attention + feed_forward + 2 * norm,
        2 * attention + feed_forward + 3 * norm,
    ]


def test_the_feed_forward_net_uses_the_activation_of_the_config():
    x = draw(1, 2, 8)
    for name, function in (("relu", F.relu), ("gelu", F.gelu)):
        net = EncoderLayer(small(activation=name)).double().feed_forward
        expected = net.linear2(function(net.linear1(x)))
        torch.testing.assert_close(net(x), expected)
