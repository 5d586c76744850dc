"""Repeated sequences, and how far back a head looks."""

import pytest
import torch

from nextword.induction import (
    RepeatBatches,
    looks_back,
    repeat_batch,
    repeats,
)
from nextword.losses import IGNORE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rows_repeat_and_hold_no_token_twice_in_a_period():
    ids = repeats(torch.full((50,), 5), 17, 8, generator())
    assert ids.shape == (50, 17)
    assert torch.equal(ids[:, 5:], ids[:, :-5])
    for row in ids[:, :5].tolist():
        assert len(set(row)) == 5 and min(row) >= 0 and max(row) < 8
    assert len({tuple(row) for row in ids.tolist()}) > 45


def test_every_token_is_drawn_about_as_often():
    ids = repeats(torch.full((4000,), 3), 3, 6, generator())
    counts = ids.flatten().bincount()
    assert counts.min() > 1850 and counts.max() < 2150


@pytest.mark.parametrize("period", [0, 1, 9])
def test_a_period_that_cannot_be_is_refused(period):
    with pytest.raises(ValueError, match="Choose them from 2 to V = 8"):
        repeats(torch.tensor([3, period]), 20, 8, generator())


def test_targets_are_what_can_be_known():
    ids = torch.tensor([[3, 1, 4, 3, 1, 4, 3], [5, 2, 5, 2, 5, 2, 5]])
    batch = repeat_batch(ids, torch.tensor([3, 2]))
    assert batch.ids.tolist() == ids[:, :-1].tolist()
    assert batch.targets.tolist() == [
        [IGNORE, IGNORE, IGNORE, 1, 4, 3],
        [IGNORE, IGNORE, 2, 5, 2, 5],
    ]


def test_the_answer_follows_from_what_is_in_view():
    batch = RepeatBatches(20, seed=3)(7)
    known = (batch.targets != IGNORE).nonzero().tolist()
    assert known
    for row, t in known:
        seen = batch.ids[row, : t + 1].tolist()
        earlier = seen.index(seen[t])  # the first time: it was seen before
        assert earlier < t
        assert batch.targets[row, t] == seen[earlier + 1]


def test_batches_follow_from_seed_and_step_and_periods_change():
    batches = RepeatBatches(2, seed=1)
    assert torch.equal(batches(3).ids, batches(3).ids)
    assert not torch.equal(batches(3).ids, batches(4).ids)
    assert not torch.equal(batches(3).ids, RepeatBatches(2, seed=2)(3).ids)
    targets = RepeatBatches(400)(0).targets
    periods = (targets == IGNORE).sum(1)
    assert set(periods.tolist()) == set(range(16, 21))


def test_looks_back_by_hand():
    weights = torch.zeros(1, 2, 4, 4)
    weights[0, 0] = torch.tensor(
        [
            [1.0, 0.0, 0.0, 0.0],
            [0.9, 0.1, 0.0, 0.0],
            [0.2, 0.5, 0.3, 0.0],
            [0.1, 0.6, 0.3, 0.0],
        ]
    )
    weights[0, 1] = torch.eye(4)
    close = torch.testing.assert_close
    close(looks_back(weights, 1, 1), torch.tensor([(0.9 + 0.5 + 0.3) / 3, 0.0]))
    close(looks_back(weights, 1, 2), torch.tensor([0.4, 0.0]))
    close(looks_back(weights, 2, 2), torch.tensor([0.4, 0.0]))
    close(looks_back(weights, 0, 0), torch.tensor([1.4 / 4, 1.0]))


def test_looks_back_is_a_mean_over_the_batch():
    torch.manual_seed(0)
    weights = torch.rand(3, 2, 5, 5)
    each = torch.stack([looks_back(w[None], 2, 3) for w in weights])
    torch.testing.assert_close(looks_back(weights, 2, 3), each.mean(0))


@pytest.mark.parametrize(("distance", "first"), [(3, 2), (1, 4), (-1, 2)])
def test_a_token_that_is_none_is_refused(distance, first):
    with pytest.raises(ValueError, match="has no token"):
        looks_back(torch.zeros(1, 1, 4, 4), distance, first)
