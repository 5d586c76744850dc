"""Transformer, GPT and BERT: equal to PyTorch's, causal, padded, tied, counted."""

import dataclasses
import io
import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text
from torch import nn
from torch.nn import functional as F

from nextword import diagrams
from nextword.attention import causal_mask
from nextword.blocks import Embedding, TransformerConfig
from nextword.layers import LayerNorm
from nextword.transformer import (
    BERT,
    GPT,
    MaskedHead,
    Transformer,
    initialise,
    tied_head,
)
from tests.test_blocks import (
    Cache,
    assert_equal_to_pytorch,
    draw,
    padding,
    randomised,
)

SMALL = TransformerConfig(
    vocab_size=11, context_length=12, d_model=8, n_heads=2, n_layers=2
)
POSITIONS = pytest.mark.parametrize(
    "positions", ["learned", "sinusoidal", "rotary"]
)
NORMS = pytest.mark.parametrize("norm_first", [True, False])
KINDS = {
    "Transformer": (Transformer, lambda m, ids: m(ids, ids)),
    "GPT": (GPT, lambda m, ids: m(ids)),
    "BERT": (BERT, lambda m, ids: m(ids)),
}


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


def some_ids(B, T, V=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(V, (B, T), generator=generator)


def size(model):
    return sum(p.numel() for p in model.parameters())


class Stacks(nn.Module):
    """The two stacks of a Transformer, from vectors to vectors."""

    def __init__(self, config):
        super().__init__()
        whole = Transformer(config)
        self.encoder, self.decoder = whole.encoder, whole.decoder

    def forward(self, x, y, real):
        return self.decoder(y, None, self.encoder(x, None, real), real)


@NORMS
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_the_stacks_are_pytorchs_transformer(norm_first):
    """But for one thing: PyTorch ends post-norm stacks with one norm more."""
    real = padding(3, 6)
    theirs = nn.Transformer(
        8, 2, 2, 2, 32, 0.0, "gelu", batch_first=True, norm_first=norm_first
    )
    norms = sum(isinstance(m, nn.LayerNorm) for m in theirs.modules())
    ours = Stacks(small(norm_first=norm_first))
    mine = sum(isinstance(m, LayerNorm) for m in ours.modules())
    assert (norms, mine) == (12, 12 if norm_first else 10)
    if not norm_first:
        theirs.encoder.norm = theirs.decoder.norm = None
    assert_equal_to_pytorch(
        ours,
        lambda model, x, y: model(x, y, real),
        theirs,
        lambda model, x, y: model(
            x,
            y,
            tgt_mask=~causal_mask(4),
            src_key_padding_mask=~real,
            memory_key_padding_mask=~real,
        ),
        [draw(3, 6, 8), draw(3, 4, 8, seed=1)],
    )


@POSITIONS
@NORMS
def test_shapes_and_gradients_reach_every_parameter(positions, norm_first):
    config = small(positions=positions, norm_first=norm_first)
    for make, run in KINDS.values():
        model = make(config)
        out = run(model, some_ids(3, 5))
        assert out.shape == (3, 5, 11)
        out.square().sum().backward()
        for name, p in model.named_parameters():
            assert p.grad is not None, name


def test_source_and_target_may_differ_in_length():
    model = Transformer(SMALL)
    assert model(some_ids(2, 7), some_ids(2, 3)).shape == (2, 3, 11)
    assert model.encode(some_ids(2, 7)).shape == (2, 7, 8)


@POSITIONS
@pytest.mark.parametrize("kind", ["Transformer", "GPT"])
def test_later_target_tokens_change_no_earlier_logits(kind, positions):
    make, _ = KINDS[kind]
    model = randomised(make(small(positions=positions)))
    source, ids = some_ids(2, 5, seed=1), some_ids(2, 6)
    run = (lambda x: model(source, x)) if kind == "Transformer" else model
    before = run(ids)
    for t in range(6):
        changed = ids.clone()
        changed[:, t] = (ids[:, t] + 1) % 11
        same = (run(changed) == before).all(dim=-1)
        assert same.tolist() == [[j < t for j in range(6)]] * 2


@POSITIONS
def test_every_token_changes_every_output_of_bert_and_of_the_source(positions):
    bert = randomised(BERT(small(positions=positions)))
    whole = randomised(Transformer(small(positions=positions)))
    ids, target = some_ids(1, 5), some_ids(1, 4)
    for run in (bert, lambda x: whole(x, target)):
        before = run(ids)
        for t in range(5):
            changed = ids.clone()
            changed[:, t] = (ids[:, t] + 1) % 11
            assert not torch.isclose(run(changed), before).all(-1).any()


@POSITIONS
def test_padding_on_the_right_of_a_source_changes_nothing(positions):
    model = randomised(Transformer(small(positions=positions)))
    source, target = some_ids(2, 5), some_ids(2, 4, seed=1)
    padded = torch.cat([source, some_ids(2, 3, seed=2)], dim=1)
    real = torch.arange(8).expand(2, 8) < 5
    expected = model(source, target)
    torch.testing.assert_close(model(padded, target, real), expected)
    assert not torch.allclose(model(padded, target), expected)
    only_encoder = model.decode(target, model.encode(padded, real))
    assert not torch.allclose(only_encoder, expected)


@POSITIONS
def test_padding_on_the_left_of_gpt_changes_nothing(positions):
    model = randomised(GPT(small(positions=positions)))
    ids = some_ids(2, 5)
    padded = torch.cat([some_ids(2, 3, seed=2), ids], dim=1)
    real = torch.arange(8).expand(2, 8) >= 3
    expected = model(ids)
    after = model(padded, real)
    assert after.isfinite().all()
    torch.testing.assert_close(after[:, 3:], expected)
    assert not torch.allclose(model(padded)[:, 3:], expected)


@POSITIONS
def test_padding_of_bert_changes_nothing(positions):
    model = randomised(BERT(small(positions=positions)))
    ids = some_ids(2, 5)
    padded = torch.cat([ids, some_ids(2, 3, seed=2)], dim=1)
    real = torch.arange(8).expand(2, 8) < 5
    torch.testing.assert_close(model(padded, real)[:, :5], model(ids))


def test_gradients_stay_finite_with_padding_on_the_left():
    model = randomised(GPT(SMALL))
    real = torch.tensor([[False, False, True, True], [True] * 4])
    model(some_ids(2, 4), real)[:, 2:].square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@POSITIONS
def test_sequences_of_a_batch_do_not_mix(positions):
    for make, run in KINDS.values():
        model = randomised(make(small(positions=positions)))
        ids = some_ids(3, 5)
        one_by_one = torch.cat([run(model, row[None]) for row in ids])
        torch.testing.assert_close(run(model, ids), one_by_one)


def test_without_positions_bert_sees_a_set():
    model = randomised(BERT(SMALL))
    with torch.no_grad():
        model.embedding.positions.weight.zero_()
    ids, order = some_ids(1, 6), torch.randperm(6)
    torch.testing.assert_close(model(ids[:, order]), model(ids)[:, order])


@POSITIONS
@pytest.mark.parametrize("steps", [(1, 1, 1, 1, 1, 1), (3, 1, 2)])
def test_cached_gpt_equals_uncached_also_with_padding(positions, steps):
    model = randomised(GPT(small(positions=positions)))
    ids = some_ids(2, 6)
    real = torch.tensor([[False, False, True, True, True, True], [True] * 6])
    for mask in (None, real):
        cache, pieces, seen = [Cache() for _ in range(2)], [], 0
        for piece in ids.split(steps, 1):
            seen += piece.shape[1]
            known = None if mask is None else mask[:, :seen]
            pieces.append(model(piece, known, cache))
        cached, plain = torch.cat(pieces, 1), model(ids, mask)
        torch.testing.assert_close(cached[:, 2:], plain[:, 2:])
        torch.testing.assert_close(cached[1], plain[1])


@POSITIONS
def test_cached_decoding_of_the_transformer_equals_uncached(positions):
    model = randomised(Transformer(small(positions=positions)))
    source, target, real = some_ids(2, 5), some_ids(2, 4, seed=1), padding(2, 5)
    memory = model.encode(source, real)
    cache = [(Cache(), Cache()) for _ in range(2)]
    pieces = [
        model.decode(target[:, t : t + 1], memory, real, cache)
        for t in range(4)
    ]
    torch.testing.assert_close(
        torch.cat(pieces, 1), model(source, target, real)
    )
    assert [(len(own), len(seen)) for own, seen in cache] == [(4, 5)] * 2


def test_a_cache_that_is_full_is_refused():
    model, cache = GPT(SMALL), [Cache() for _ in range(2)]
    model(some_ids(1, 12), None, cache)
    with pytest.raises(ValueError, match="13 tokens do not fit"):
        model(some_ids(1, 1), None, cache)


def test_tied_weights_are_one_parameter_and_its_gradients_sum():
    embedding = Embedding(SMALL).double()
    head = tied_head(embedding)
    assert head.weight is embedding.tokens.weight
    assert head.bias is None
    ids = some_ids(2, 3)
    x = embedding.tokens(ids)
    head(x).square().sum().backward()
    sum_of_both = embedding.tokens.weight.grad.clone()
    table = embedding.tokens.weight.detach()
    reading, writing = (table.clone().requires_grad_() for _ in range(2))
    (F.embedding(ids, reading) @ writing.T).square().sum().backward()
    torch.testing.assert_close(sum_of_both, reading.grad + writing.grad)


def test_every_model_has_one_table():
    for make, _ in KINDS.values():
        model = make(SMALL)
        tables = [p for p in model.parameters() if p.shape == (11, 8)]
        assert len(tables) == 1
        state = model.state_dict()
        same = [k for k, v in state.items() if v.shape == (11, 8)]
        assert len(same) == 2
        assert len({state[key].data_ptr() for key in same}) == 1


def test_the_output_of_bert_is_layer_norm_and_tied_table():
    tokens = nn.Embedding(11, 8)
    head = randomised(MaskedHead(SMALL, tokens))
    assert head.lm_head.weight is tokens.weight
    x = draw(2, 3, 8)
    inside = F.gelu(F.linear(x, head.linear.weight, head.linear.bias))
    inside = F.layer_norm(inside, (8,), head.norm.weight, head.norm.bias)
    expected = inside @ tokens.weight.T + head.lm_head.bias
    torch.testing.assert_close(head(x), expected)


def test_bert_uses_its_segments():
    model = randomised(BERT(SMALL))
    ids = some_ids(1, 4)
    zeros = torch.zeros_like(ids)
    torch.testing.assert_close(model(ids), model(ids, None, zeros))
    other = torch.tensor([[0, 0, 1, 1]])
    assert not torch.allclose(model(ids), model(ids, None, other))
    assert model.encode(ids).shape == (1, 4, 8)


def test_only_the_transformer_scales_its_embeddings():
    scales = [make(SMALL).embedding.scale for make, _ in KINDS.values()]
    assert scales == [math.sqrt(8), 1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_initial_numbers_have_the_standard_deviation_they_should(kind):
    torch.manual_seed(0)
    make, _ = KINDS[kind]
    model = make(small(vocab_size=500, d_model=128, n_heads=4))
    branches = {"Transformer": 2 * 2 + 2 * 3, "GPT": 4, "BERT": 4}[kind]
    for name, p in model.named_parameters():
        if p.dim() < 2:
            ones = name.endswith("weight")
            assert (p == (1 if ones else 0)).all(), name
            continue
        last = name.endswith(("out_proj.weight", "linear2.weight"))
        expected = 0.02 / math.sqrt(branches) if last else 0.02
        few = 5 / math.sqrt(2 * p.numel())  # five standard errors
        assert abs(p.std().item() / expected - 1) < few, name
        assert abs(p.mean().item()) < 5 * expected / math.sqrt(p.numel()), name


def test_initialise_takes_another_standard_deviation():
    torch.manual_seed(0)
    model = GPT(small(d_model=64))
    initialise(model, std=0.5)
    assert abs(model.embedding.tokens.weight.std().item() - 0.5) < 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("V", [50, 1000])
@NORMS
def test_the_first_loss_is_near_ln_v(kind, V, norm_first):
    torch.manual_seed(0)
    make, run = KINDS[kind]
    model = make(
        small(
            vocab_size=V,
            d_model=64,
            positions="sinusoidal" if kind == "Transformer" else "learned",
            norm_first=norm_first,
        )
    )
    labels = some_ids(16, 12, V, seed=1)
    with torch.no_grad():
        logits = run(model, some_ids(16, 12, V))
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten()).item()
    assert abs(loss - math.log(V) - 0.5 * 64 * 0.02**2) < 0.06


PUBLISHED = {
    "gpt2": (50_257, 1024, 768, 12, 12, 124_439_808),
    "gpt2-medium": (50_257, 1024, 1024, 16, 24, 354_823_168),
    "gpt2-large": (50_257, 1024, 1280, 20, 36, 774_030_080),
    "gpt2-xl": (50_257, 1024, 1600, 25, 48, 1_557_611_200),
    "gpt3": (50_257, 2048, 12_288, 96, 96, 174_604_259_328),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_gpt_has_the_published_size(name):
    V, T, C, H, L, expected = PUBLISHED[name]
    formula = V * C + T * C + L * (12 * C**2 + 13 * C) + 2 * C
    with torch.device("meta"):
        model = GPT(TransformerConfig(V, T, C, H, L))
    assert size(model) == formula == expected


def test_bert_has_the_published_size():
    V, T, C, L = 30_522, 512, 768, 12
    with torch.device("meta"):
        model = BERT(TransformerConfig(V, T, C, 12, L, norm_first=False))
    head, pooler = C * C + C + 2 * C + V, C * C + C
    assert size(model) - head == 108_891_648
    assert size(model) - head + pooler == 109_482_240
    assert size(model.head) - size(model.embedding.tokens) == head


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@NORMS
def test_the_transformer_has_the_size_of_the_formula(positions, norm_first):
    V, C, L = 11, 8, 2
    layers = L * (12 * C**2 + 13 * C) + L * (16 * C**2 + 19 * C)
    table = V * C + (12 * C if positions == "learned" else 0)
    final = 4 * C if norm_first else 0
    model = Transformer(small(positions=positions, norm_first=norm_first))
    assert size(model) == table + layers + final


@POSITIONS
def test_the_transformer_learns_one_batch_by_heart(positions):
    torch.manual_seed(0)
    config = small(positions=positions, d_model=32, context_length=8)
    model = Transformer(config)
    source = some_ids(4, 8)
    labels = source.flip(1)
    shifted = torch.cat([torch.zeros(4, 1).long(), labels[:, :-1]], dim=1)
    assert loss_after_training(model, lambda: model(source, shifted), labels)


@pytest.mark.parametrize("make", [GPT, BERT])
def test_the_halves_learn_one_batch_by_heart(make):
    torch.manual_seed(0)
    model = make(small(d_model=32))
    ids, labels = some_ids(4, 8), some_ids(4, 8, seed=1)
    assert loss_after_training(model, lambda: model(ids), labels)


def loss_after_training(model, run, labels, steps=150):
    """Whether the loss fell from about ln V to below 0.1."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        loss = F.cross_entropy(run().flatten(0, 1), labels.flatten())
        if step == 0:
            assert abs(loss.item() - math.log(11)) < 0.2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item() < 0.1


def test_the_same_seed_gives_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(Transformer(SMALL).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([[11]]), "only 0 to 10"),
        (torch.tensor([[-1]]), "from -1"),
        (torch.tensor([[0.5]]), "whole numbers"),
        (torch.tensor([3]), r"ids\[None\]"),
        (torch.zeros(1, 13, dtype=torch.long), "13 tokens do not fit"),
    ],
)
def test_wrong_ids_are_refused_by_every_model(kind, ids, message):
    make, run = KINDS[kind]
    with pytest.raises(ValueError, match=message):
        run(make(SMALL), ids)


def test_a_wrong_target_and_a_wrong_real_are_refused():
    model, ids = Transformer(SMALL), some_ids(2, 4)
    with pytest.raises(ValueError, match="only 0 to 10"):
        model(ids, ids + 11)
    for real in (torch.ones(2, 4), torch.ones(2, 5, dtype=torch.bool)):
        for run in (
            lambda real=real: model(ids, ids, real),
            lambda real=real: GPT(SMALL)(ids, real),
            lambda real=real: BERT(SMALL)(ids, real),
        ):
            with pytest.raises(ValueError, match=r"bools of shape \(2, 4\)"):
                run()


DRAWINGS = (
    diagrams.encoder_only,
    diagrams.encoder_decoder,
    diagrams.halves,
)


@pytest.mark.parametrize("draw_it", DRAWINGS)
def test_a_drawing_is_white_readable_and_leaves_no_trace(draw_it):
    plt.get_backend()  # chosen at its first use, and then a parameter too
    before, numbers = mpl.rcParams.copy(), plt.get_fignums()
    figure = draw_it()
    figure.savefig(io.BytesIO(), format="png")
    assert (mpl.rcParams, plt.get_fignums()) == (before, numbers)
    assert to_hex(figure.get_facecolor()) == "#ffffff"
    assert figure.get_figwidth() <= 6.0
    assert figure.dpi == 144
    texts = [t for t in figure.findobj(Text) if t.get_text().strip()]
    assert all(t.get_fontsize() >= 11 for t in texts)
    page = figure.bbox
    boxes = [t.get_window_extent() for t in texts]
    for text, box in zip(texts, boxes, strict=True):
        inside = page.x0 <= box.x0 and box.x1 <= page.x1
        assert inside and page.y0 <= box.y0 and box.y1 <= page.y1, text
    for number, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:number]), texts[number]


def test_the_drawings_name_what_they_should():
    def words(figure):
        return [t.get_text() for t in figure.findobj(Text)]

    whole = words(diagrams.encoder_decoder())
    assert {"source ids (B, S)", "target ids (B, T)", "memory", "logits"} <= {
        *whole
    }
    assert sum("attention" in w for w in whole) == 3
    assert whole.count("(B, T, V)") == 1
    halves = words(diagrams.halves())
    assert halves.count("(B, T, V)") == 2
    assert sum("causal" in w for w in halves) == 1
    assert words(diagrams.encoder_only()).count("norm") == 2
