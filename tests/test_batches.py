"""Batches: padding and the shift by hand, every pair and window, and errors."""

from collections import Counter
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nextword.batches import (
    PairBatches,
    TokenBatches,
    epoch_order,
    pad,
    pair_batch,
)
from nextword.losses import IGNORE, token_losses

PAD, START, END = 0, 1, 2


def test_padding_by_hand():
    rows = pad([[5], [6, 7, 8], [9, 4]], 0)
    assert rows.tolist() == [[5, 0, 0], [6, 7, 8], [9, 4, 0]]
    assert rows.dtype == torch.int64


@given(
    st.lists(
        st.lists(st.integers(3, 99), min_size=1, max_size=9),
        min_size=1,
        max_size=9,
    )
)
def test_padding_keeps_every_id_and_adds_only_itself(sequences):
    rows = pad(sequences, -7)
    assert rows.shape == (len(sequences), max(map(len, sequences)))
    for row, sequence in zip(rows.tolist(), sequences, strict=True):
        assert row[: len(sequence)] == sequence
        assert set(row[len(sequence) :]) <= {-7}


@pytest.mark.parametrize("sequences", [[], [[]], [[1, 2], []], ()])
def test_nothing_to_pad_is_refused(sequences):
    with pytest.raises(ValueError, match="empty sequence, or none at all"):
        pad(sequences, 0)


def test_a_batch_of_pairs_by_hand():
    """The decoder reads start a b c and says a b c end."""
    batch = pair_batch([([7, 8], [4, 5, 6]), ([9], [3])], START, END, PAD)
    assert batch.source.tolist() == [[7, 8], [9, PAD]]
    assert batch.real.tolist() == [[True, True], [True, False]]
    assert batch.real.dtype == torch.bool
    assert batch.target_in.tolist() == [[START, 4, 5, 6], [START, 3, PAD, PAD]]
    assert batch.target_out.tolist() == [
        [4, 5, 6, END],
        [3, END, IGNORE, IGNORE],
    ]


ids = st.lists(st.integers(3, 50), min_size=1, max_size=7)


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=6))
def test_the_input_is_the_output_one_place_later(pairs):
    batch = pair_batch(pairs, START, END, PAD)
    predicted = batch.target_out != IGNORE
    assert predicted.sum(dim=1).tolist() == [len(t) + 1 for _, t in pairs]
    later = batch.target_in[:, 1:]  # what is said is read at the next place
    said = batch.target_out[:, :-1]
    going_on = predicted[:, 1:]
    assert torch.equal(later[going_on], said[going_on])
    assert (batch.target_in[:, 0] == START).all()
    lengths = [len(s) for s, _ in pairs]
    assert batch.real.sum(dim=1).tolist() == lengths
    assert (batch.source[~batch.real] == PAD).all()


def test_padding_is_never_predicted():
    batch = pair_batch([([7], [4, 5, 6]), ([9], [3])], START, END, PAD)
    logits = torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(0))
    losses = token_losses(logits, batch.target_out)
    assert (losses == 0).tolist() == [[False] * 4, [False, False, True, True]]


def test_an_empty_target_is_only_its_end_but_a_source_is_needed():
    batch = pair_batch([([7], [])], START, END, PAD)
    assert batch.target_in.tolist() == [[START]]
    assert batch.target_out.tolist() == [[END]]
    with pytest.raises(ValueError, match="empty sequence"):
        pair_batch([([], [7])], START, END, PAD)


def pair_batches(n=10, batch_size=4, seed=0):
    pairs = [([10 + i], [100 + i] * (1 + i % 3)) for i in range(n)]
    return PairBatches(pairs, batch_size, START, END, PAD, seed)


def epoch(batches, number, per_epoch):
    """The sources of one epoch, each a number of its own."""
    steps = range(number * per_epoch, (number + 1) * per_epoch)
    return [batches(step).source[:, 0].tolist() for step in steps]


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 9))
def test_every_pair_comes_once_an_epoch(n, batch_size, number):
    per_epoch = (n + batch_size - 1) // batch_size
    parts = epoch(pair_batches(n, batch_size), number, per_epoch)
    assert sorted(chain(*parts)) == [10 + i for i in range(n)]
    assert {len(part) for part in parts[:-1]} <= {batch_size}
    assert len(parts[-1]) == n - batch_size * (per_epoch - 1)


def test_a_pair_stays_together():
    for step in range(6):
        batch = pair_batches()(step)
        said = batch.target_out[:, 0] - 100
        assert torch.equal(batch.source[:, 0] - 10, said)


def test_another_epoch_has_another_order():
    batches = pair_batches(n=40, batch_size=7)
    orders = [tuple(chain(*epoch(batches, i, 6))) for i in range(5)]
    assert len(set(orders)) == 5


def test_another_seed_has_another_order():
    orders = {str(epoch(pair_batches(40, 7, s), 0, 6)) for s in range(5)}
    assert len(orders) == 5


def test_the_order_of_an_epoch_is_fair():
    """Over 2,000 epochs of 4 things, each of the 24 orders comes often."""
    orders = Counter(tuple(epoch_order(4, e, seed=3)) for e in range(2_000))
    assert len(orders) == 24
    expected = 2_000 / 24
    chi_square = sum((n - expected) ** 2 / expected for n in orders.values())
    assert chi_square < 49.7  # 23 degrees of freedom: 1 time in 1,000


def test_an_order_cannot_be_changed_by_who_reads_it():
    assert isinstance(epoch_order(5, 0, 0), tuple)


@pytest.mark.parametrize(
    "make", [pair_batches, lambda: TokenBatches(torch.arange(50), 3, 4)]
)
def test_a_batch_depends_on_its_number_alone(make):
    batches = make()
    inorder = [batches(step) for step in range(12)]
    torch.manual_seed(123)  # the global random numbers play no part
    for step in (11, 3, 7, 0, 3):
        for again in (batches(step), make()(step)):
            for a, b in zip(again, inorder[step], strict=True):
                assert torch.equal(a, b)
    assert any(
        not torch.equal(inorder[0][0], other[0]) for other in inorder[1:3]
    )


def test_batches_leave_the_global_random_numbers_alone():
    before = torch.get_rng_state()
    pair_batches()(3), TokenBatches(torch.arange(9), 2, 3)(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_targets_are_the_ids_that_follow():
    stream = torch.arange(100, 200) ** 2
    batch = TokenBatches(stream, batch_size=16, context_length=7)(0)
    assert batch.ids.shape == batch.targets.shape == (16, 7)
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    roots = batch.ids.double().sqrt().round().long()
    assert torch.equal((roots + 1) ** 2, batch.targets)
    assert batch.ids.dtype == stream.dtype


@pytest.mark.parametrize(("N", "T"), [(6, 5), (7, 5), (12, 3), (3, 1), (2, 1)])
def test_every_window_comes_equally_often(N, T):
    """N - T windows have an id behind them: the first starts at 0."""
    batches = TokenBatches(torch.arange(N), batch_size=200, context_length=T)
    starts = Counter(
        start
        for step in range(30)
        for start in batches(step).ids[:, 0].tolist()
    )
    assert sorted(starts) == list(range(N - T))
    ends = {int(batches(step).targets.max()) for step in range(30)}
    assert ends == {N - 1}
    expected = 6_000 / (N - T)
    chi_square = sum((n - expected) ** 2 / expected for n in starts.values())
    assert chi_square < 27.9  # at most 8 degrees of freedom: 1 in 2,000


def test_seeds_and_steps_give_different_windows():
    stream = torch.arange(10_000)
    drawn = {
        tuple(TokenBatches(stream, 8, 4, seed)(step).ids[:, 0].tolist())
        for seed in range(4)
        for step in range(50)
    }
    assert len(drawn) == 200


@pytest.mark.parametrize("N", [0, 3, 4])
def test_a_stream_that_is_too_short_is_refused(N):
    with pytest.raises(
        ValueError, match=f"^{N} ids do not give 2 windows of 4"
    ):
        TokenBatches(torch.arange(N), 2, 4)


@pytest.mark.parametrize("T", [0, -1])
def test_a_window_of_nothing_is_refused(T):
    with pytest.raises(ValueError, match=f"2 windows of {T} ids"):
        TokenBatches(torch.arange(9), 2, T)


@pytest.mark.parametrize("size", [0, -2])
def test_a_batch_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"do not give {size} windows"):
        TokenBatches(torch.arange(9), size, 4)
    with pytest.raises(ValueError, match=f"10 pairs .* batches of {size}"):
        pair_batches(batch_size=size)


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="0 pairs do not make"):
        pair_batches(n=0)
