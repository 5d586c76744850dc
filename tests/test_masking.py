"""Masking: its shares by a binomial bound, its targets, and the loss of BERT."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nextword.blocks import TransformerConfig
from nextword.losses import IGNORE
from nextword.masking import (
    MaskedBatch,
    MaskedBatches,
    Masking,
    hide,
    masked_loss,
)
from nextword.transformer import BERT, initialise

PAD, CLS, SEP, MASK, FIRST, V = 0, 1, 2, 3, 4, 24
WORDS = V - FIRST
BERTS = Masking(MASK, PAD, FIRST, V)
OTHERS = [
    BERTS,
    replace(BERTS, rate=0.3, masked=0.5, random=0.5),
    replace(BERTS, rate=0.05, masked=0.2, random=0.3),
    replace(BERTS, rate=1.0, masked=0.0, random=0.6),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def texts(B=400, T=250, seed=9):
    """Texts of CLS, words of any kind, a mask, SEP, and padding on one half."""
    ids = torch.randint(FIRST, V, (B, T), generator=generator(seed))
    ids[:, 0], ids[:, 5], ids[:, -1] = CLS, MASK, SEP
    ids[B // 2 :, T // 2 :] = PAD
    return ids


def close(number, total, p):
    """Within 4.5 standard deviations of a binomial variable."""
    return abs(number - total * p) <= 4.5 * math.sqrt(total * p * (1 - p))


@pytest.mark.parametrize("masking", OTHERS)
def test_the_shares_are_those_that_were_asked_for(masking):
    ids = texts()
    batch = hide(ids, masking, generator())
    words = int((ids >= FIRST).sum())
    chosen = batch.targets != IGNORE
    n = int(chosen.sum())
    assert words > 70_000 and close(n, words, masking.rate)
    masked = int((batch.ids[chosen] == MASK).sum())
    same = int((batch.ids[chosen] == ids[chosen]).sum())
    rest = 1 - masking.masked - masking.random
    # A random word is the old one once in so many times as there are words.
    assert close(masked, n, masking.masked)
    assert close(same, n, rest + masking.random / WORDS)
    other = n - masked - same
    assert close(other, n, masking.random * (1 - 1 / WORDS))


def test_the_defaults_are_those_of_the_paper():
    """Of 100 words, 15 are chosen: 12 become masks, 1.5 others, 1.5 stay."""
    assert (BERTS.rate, BERTS.masked, BERTS.random) == (0.15, 0.8, 0.1)


@pytest.mark.parametrize("masking", OTHERS)
def test_special_signs_are_never_chosen_and_never_drawn(masking):
    ids = texts()
    special = ids < FIRST
    for seed in range(5):
        batch = hide(ids, masking, generator(seed))
        assert (batch.targets[special] == IGNORE).all()
        assert torch.equal(batch.ids[special], ids[special])
        # Among the words, the mask is the only special sign that appears.
        assert {*batch.ids[~special].tolist()} <= {MASK, *range(FIRST, V)}
        if not masking.masked:
            assert batch.ids[~special].min() == FIRST


def chi_square(counts):
    expected = counts.sum() / counts.numel()
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("old", [FIRST, 11, V - 1])
def test_random_words_are_uniform_whatever_stood_there(old):
    masking = replace(BERTS, rate=1.0, masked=0.0, random=1.0)
    ids = torch.full((200, 300), old)
    drawn = hide(ids, masking, generator(1)).ids
    counts = drawn.flatten().bincount(minlength=V)
    assert (counts[:FIRST] == 0).all() and len(counts) == V
    assert chi_square(counts[FIRST:].double()) < 43.8  # 19 d.f.: 1 in 1,000


def test_the_random_words_of_bert_are_uniform_too():
    """Which words are drawn does not depend on which places are."""
    ids = torch.full((1_000, 500), FIRST)
    batch = hide(ids, BERTS, generator(2))
    changed = (batch.ids != ids) & (batch.ids != MASK)
    counts = batch.ids[changed].bincount(minlength=V)[FIRST + 1 :]
    assert counts.sum() > 5_000
    assert chi_square(counts.double()) < 42.3  # 18 d.f.: 1 in 1,000


def test_every_place_is_chosen_equally_often():
    ids = torch.full((20_000, 12), 9)
    chosen = hide(ids, BERTS, generator(3)).targets != IGNORE
    assert all(close(int(n), 20_000, 0.15) for n in chosen.sum(0))
    # And each by itself: two neighbours together as often as chance has it.
    both = int((chosen[:, 1:] & chosen[:, :-1]).sum())
    assert close(both, 11 * 20_000, 0.15**2)
    spread = chosen.sum(1).double().var()
    assert abs(spread - 12 * 0.15 * 0.85) < 0.08


share = st.floats(0, 1)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, V - 1), min_size=6, max_size=6),
        min_size=1,
        max_size=9,
    ),
    st.floats(0.01, 1),
    share,
    share,
    st.integers(0, 10**6),
)
def test_targets_stand_exactly_where_words_were_chosen(rows, rate, a, b, seed):
    masking = Masking(MASK, PAD, FIRST, V, rate, a * b, (1 - a) * b)
    ids = torch.tensor(rows)
    before = ids.clone()
    batch = hide(ids, masking, generator(seed))
    assert torch.equal(ids, before)  # the texts themselves are left alone
    chosen = batch.targets != IGNORE
    assert torch.equal(batch.targets[chosen], ids[chosen])
    assert torch.equal(batch.ids[~chosen], ids[~chosen])
    assert torch.equal(batch.real, ids != PAD)
    assert batch.real.dtype == torch.bool
    assert not batch.segments.any()
    assert {part.shape for part in batch} == {ids.shape}
    for part in (batch.ids, batch.segments, batch.targets):
        assert part.dtype == torch.int64


@pytest.mark.parametrize(
    ("masked", "random", "expected"),
    [(1.0, 0.0, "mask"), (0.0, 0.0, "same"), (0.0, 1.0, "other")],
)
def test_the_extreme_shares(masked, random, expected):
    masking = Masking(MASK, PAD, FIRST, 10**9, 1.0, masked, random)
    ids = torch.arange(FIRST, FIRST + 600).view(20, 30)
    batch = hide(ids, masking, generator())
    assert torch.equal(batch.targets, ids)  # a rate of 1 leaves no word out
    if expected == "mask":
        assert (batch.ids == MASK).all()
    elif expected == "same":
        assert torch.equal(batch.ids, ids)
    else:
        assert (batch.ids != ids).all() and (batch.ids >= FIRST).all()


@pytest.mark.parametrize("masked", [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_shares_that_are_all_leave_no_word(masked):
    """The two sums 0.7 + 0.3 and 0.1 + 0.9 are not 1 in every order."""
    masking = Masking(MASK, PAD, FIRST, 10**9, 1.0, masked, 1 - masked)
    ids = torch.full((100, 100), FIRST)
    batch = hide(ids, masking, generator())
    assert (batch.ids != ids).all()
    assert close(int((batch.ids == MASK).sum()), 10_000, masked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0, masked 0.8 and random 0.1"),
        ({"rate": -0.1}, "rate is above 0"),
        ({"rate": 1.01}, "shares, from 0 to 1"),
        ({"rate": math.nan}, "rate is nan"),
        ({"masked": -0.1}, "masked -0.1 and random 0.1. They are shares"),
        ({"random": -1e-6}, "They are shares"),
        ({"masked": 0.95}, "masked 0.95 and random 0.1 are more than all"),
        ({"random": 0.21}, "with a sum of 1 or less"),
        ({"masked": math.nan}, "masked nan"),
        ({"random": math.nan}, "random nan"),
        ({"vocab_size": FIRST}, "first_word is 4, of 4 ids. Words need ids"),
        ({"first_word": V + 1}, "first_word is 25, of 24 ids"),
        ({"first_word": MASK}, "larger ones than 3"),
        ({"pad_id": FIRST}, "larger ones than 4"),
        ({"mask_id": V - 1}, "larger ones than 23"),
    ],
)
def test_a_masking_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(BERTS, **change)


def test_words_begin_right_after_the_special_signs_or_later():
    assert Masking(0, 0, 1, 2).vocab_size == 2  # one sign and one word
    later = Masking(3, 0, 20, V, rate=1.0, masked=0.0, random=1.0)
    batch = hide(texts(20, 50), later, generator())
    low = texts(20, 50) < 20
    assert (batch.targets[low] == IGNORE).all()
    assert {*batch.ids[~low].tolist()} == {20, 21, 22, 23}


# Batches without end


def same(one, other):
    return all(map(torch.equal, one, other))


def test_a_batch_depends_on_seed_and_number_alone():
    def make(seed=0):
        return MaskedBatches(lambda step: texts(6, 40, step), BERTS, seed)

    batches = make()
    inorder = [batches(step) for step in range(8)]
    torch.manual_seed(123)  # the global random numbers play no part
    state = torch.get_rng_state()
    for step in (7, 2, 0, 5, 2):
        assert same(batches(step), inorder[step])
        assert same(make()(step), inorder[step])
        assert type(batches(step)) is MaskedBatch
        whole = torch.where(
            inorder[step].targets == IGNORE,
            inorder[step].ids,
            inorder[step].targets,
        )
        assert torch.equal(whole, texts(6, 40, step))
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_and_steps_hide_other_words_of_the_same_text():
    ids = texts(6, 40)
    hidden = {
        str(MaskedBatches(lambda _: ids, BERTS, seed)(step).targets.tolist())
        for seed in range(5)
        for step in range(40)
    }
    assert len(hidden) == 200


def test_in_time_every_word_is_hidden():
    ids = texts(4, 30)
    batches = MaskedBatches(lambda _: ids, BERTS)
    chosen = torch.stack([batches(n).targets != IGNORE for n in range(400)])
    words = ids >= FIRST
    assert all(close(int(n), 400, 0.15) for n in chosen.sum(0)[words])


# The loss


def bert(positions="learned"):
    """A small BERT in float64 that is far from uniform."""
    torch.manual_seed(0)
    config = TransformerConfig(V, 64, 16, 2, 2, positions=positions)
    model = BERT(config).double()
    initialise(model, 0.4)
    return model


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_the_loss_is_pytorchs_at_the_hidden_places(positions):
    model = bert(positions)
    batch = hide(texts(6, 30), BERTS, generator(4))
    total, number = masked_loss(model, batch)
    places = (batch.targets != IGNORE).nonzero(as_tuple=True)
    logits = model(batch.ids, batch.real, batch.segments)[places]  # (N, V)
    expected = F.cross_entropy(logits, batch.targets[places], reduction="sum")
    assert number == len(places[0]) > 10 and type(number) is int
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-12)
    ours, theirs = gradients(model, total), gradients(model, expected)
    assert len(ours) == len(theirs) == len(list(model.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_more_padding_changes_neither_loss_nor_gradient(positions):
    model = bert(positions)
    batch = hide(texts(6, 30), BERTS, generator(4))
    longer = MaskedBatch(
        *(
            F.pad(part, (0, 9), value=value)
            for part, value in zip(batch, (PAD, False, 0, IGNORE), strict=True)
        )
    )
    changed = longer._replace(ids=longer.ids.masked_fill(~longer.real, 17))
    total, number = masked_loss(model, batch)
    expected = gradients(model, total)
    for other in (longer, changed):
        its_total, its_number = masked_loss(model, other)
        assert its_number == number
        torch.testing.assert_close(its_total, total, rtol=1e-11, atol=1e-11)
        for a, b in zip(gradients(model, its_total), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_the_loss_of_a_batch_is_the_sum_of_those_of_its_texts():
    model = bert()
    batch = hide(texts(6, 30), BERTS, generator(4))
    total, number = masked_loss(model, batch)
    rows = [
        masked_loss(model, MaskedBatch(*(part[i : i + 1] for part in batch)))
        for i in range(6)
    ]
    torch.testing.assert_close(total, sum(t for t, _ in rows))
    assert number == sum(n for _, n in rows)


class Seen(nn.Module):
    """Keeps what it was asked, and finds every token equally likely."""

    def forward(self, ids, real, segments):
        self.asked = ids, real, segments
        return torch.zeros(*ids.shape, V, dtype=torch.float64)


def test_the_model_reads_ids_padding_and_segments_and_no_targets():
    model, batch = Seen(), hide(texts(6, 30), BERTS, generator(4))
    total, number = masked_loss(model, batch)
    for one, other in zip(model.asked, batch[:3], strict=True):
        assert one is other
    assert math.isclose(total, number * math.log(V), rel_tol=1e-12)


def test_a_text_without_hidden_words_has_no_loss():
    batch = hide(torch.tensor([[CLS, SEP, PAD]]), BERTS, generator())
    total, number = masked_loss(bert(), batch)
    assert (total.item(), number) == (0.0, 0)
