"""Exposure against codes scored one by one, ROC curves against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from nextword.losses import IGNORE, token_losses
from nextword.planted import (
    CODES,
    REPEATS,
    TEXTS,
    Canary,
    as_batch,
    code_tokenizer,
    encode_texts,
    make_canaries,
    new_model,
    planted,
    source_losses,
    stories,
    train,
    training_texts,
)
from nextword.privacy import (
    auc,
    code_log_p,
    exposure,
    most_true,
    rank,
    roc,
    text_losses,
    true_at,
    without_copies,
)
from nextword.town_words import PEOPLE
from nextword.words import END

# Secrets


def test_a_canary_tells_its_code_with_leading_zeros():
    canary = Canary("Kate", 407, 2)
    assert " ".join(canary.text) == "The code of Kate is 0 4 0 7 ."
    assert canary.text[: len(canary.prefix)] == canary.prefix


def test_each_person_has_one_code_and_repeats_are_dealt_evenly():
    canaries = make_canaries(3)
    assert {c.name for c in canaries} == set(PEOPLE)
    counts = [c.repeats for c in canaries]
    assert all(counts.count(r) == len(PEOPLE) // len(REPEATS) for r in REPEATS)
    assert all(0 <= c.code < CODES for c in canaries)


def test_canaries_follow_from_their_seed():
    assert make_canaries(1) == make_canaries(1) != make_canaries(2)


def test_codes_are_even_over_seeds():
    codes = [c.code for seed in range(200) for c in make_canaries(seed)]
    assert abs(sum(codes) / len(codes) / CODES - 0.5) < 0.03


def test_texts_stand_between_two_ends():
    row = encode_texts([["The", "code"]])[0]
    end = code_tokenizer().ids[END]
    assert row[0] == row[-1] == end and len(row) == 4
    assert code_tokenizer().decode(row[1:-1]) == "The code"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = new_model(16, 0)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(6.0)  # so that codes differ much
    return model.double()


def test_the_table_agrees_with_codes_scored_one_by_one(model):
    canary = Canary("Ben", 7, 1)
    log_p = code_log_p(model, canary)
    assert log_p.shape == (CODES,)
    for code in (0, 7, 1234, 9040, 9999):
        row = torch.tensor(encode_texts([canary._replace(code=code).text]))
        before = len(canary.prefix)
        losses = token_losses(model(row[:, :-1]), row[:, 1:])[0]
        expected = -losses[before : before + 4].sum().detach()
        assert math.isclose(log_p[code], expected, rel_tol=1e-9)


def test_the_probabilities_of_all_codes_sum_to_that_of_four_digits(model):
    total = float(code_log_p(model, Canary("Ben", 7, 1)).exp().sum())
    assert 0 < total < 1


def test_ranks_by_hand():
    log_p = torch.tensor([-3.0, -1.0, -2.0, -1.0])
    assert [rank(log_p, n) for n in range(4)] == [4, 1, 3, 1]


def test_exposure_by_hand():
    assert exposure(1, 1024) == 10
    assert exposure(1024, 1024) == 0
    assert exposure(8, 1024) == 7


@pytest.mark.parametrize("place", [0, 11])
def test_a_rank_that_is_none_is_refused(place):
    with pytest.raises(ValueError, match="rank"):
        exposure(place, 10)


def test_a_code_never_seen_has_an_exposure_of_about_one_and_a_half():
    """A rank drawn evenly gives 1 / ln 2 = 1.44 bits in the mean."""
    ranks = range(1, CODES + 1)
    mean = sum(exposure(r, CODES) for r in ranks) / CODES
    assert mean == pytest.approx(1 / math.log(2), abs=0.01)


def test_copies_go_and_the_order_stays():
    texts = [["b"], ["a", "b"], ["b"], ["a"], ["a", "b"]]
    assert without_copies(texts) == [["b"], ["a", "b"], ["a"]]


# Membership


scores = st.lists(st.integers(-4, 4), min_size=1, max_size=25)


def test_a_curve_by_hand():
    """From the top: member, other, then a member and an other that tie."""
    false, true = roc([3.0, 1.0], [2.0, 1.0])
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 0.5, 1]
    assert auc(false, true) == 0 * 0.5 + 0.5 * 0.5 + 0.5 * 0.75


@settings(max_examples=60, deadline=None)
@given(scores, scores)
def test_the_curve_is_that_of_scikit_learn(members, others):
    labels = [1] * len(members) + [0] * len(others)
    false, true, _ = roc_curve(
        labels, members + others, drop_intermediate=False
    )
    ours = roc(members, others)
    np.testing.assert_allclose(ours[0], false, atol=1e-12)
    np.testing.assert_allclose(ours[1], true, atol=1e-12)
    area = roc_auc_score(labels, members + others)
    assert auc(*ours) == pytest.approx(area, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(scores, scores)
def test_the_area_is_the_share_of_pairs_in_order(members, others):
    wins = [(m > o) + (m == o) / 2 for m in members for o in others]
    assert auc(*roc(members, others)) == pytest.approx(np.mean(wins))


def test_one_point_by_hand():
    curve = roc([5.0, 4.0, 2.0, 1.0], [3.0, 0.0, -1.0, -2.0])
    assert true_at(*curve, 0.0) == 0.5
    assert true_at(*curve, 0.24) == 0.5
    assert true_at(*curve, 0.25) == 1.0


@pytest.mark.parametrize("bad", [[], [math.nan], [math.inf]])
def test_scores_without_a_curve_are_refused(bad):
    with pytest.raises(ValueError, match="members"):
        roc(bad, [1.0])
    with pytest.raises(ValueError, match="others"):
        roc([1.0], bad)


def test_the_bound_by_hand():
    bound = most_true(np.array([0.0, 0.1, 1.0]), math.log(2), 0.0)
    np.testing.assert_allclose(bound, [0.0, 0.2, 1.0])
    assert most_true(np.array([0.3]), 0.0, 0.0)[0] == pytest.approx(0.3)
    assert most_true(np.array([0.0]), 0.0, 0.01)[0] == pytest.approx(0.01)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0, 5000.0])
def test_the_bound_is_a_curve_above_the_diagonal(epsilon):
    false = np.linspace(0, 1, 101)
    bound = most_true(false, epsilon, 1e-5)
    assert (bound >= false - 1e-12).all() and (bound <= 1).all()
    assert (np.diff(bound) >= -1e-12).all()


def test_the_best_attack_on_randomised_response_meets_the_bound():
    """A bit is told truly with probability e^ε / (1 + e^ε): ε exactly."""
    epsilon = 1.2
    truth = math.exp(epsilon) / (1 + math.exp(epsilon))
    bound = most_true(np.array([1 - truth]), epsilon, 0.0)[0]
    assert bound == pytest.approx(truth)


@pytest.mark.parametrize(("epsilon", "delta"), [(-1, 0), (1, -0.1), (1, 2)])
def test_a_promise_that_is_none_is_refused(epsilon, delta):
    with pytest.raises(ValueError, match="epsilon"):
        most_true(np.array([0.1]), epsilon, delta)


def test_a_batch_by_hand():
    ids, targets = as_batch([[9, 1, 2, 9], [9, 3, 9]])
    assert ids.tolist() == [[9, 1, 2], [9, 3, 9]]
    assert targets.tolist() == [[1, 2, 9], [3, 9, IGNORE]]


def test_losses_of_texts_do_not_depend_on_the_batch():
    model = new_model(16, 0)
    rows = [[1, 20, 30, 1], [1, 25, 1], [1, 22, 23, 24, 1]]
    together = text_losses(model, *as_batch(rows), rows=2)
    alone = torch.cat([text_losses(model, *as_batch([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    V = model.config.vocab_size
    expected = torch.tensor([3, 2, 4]) * math.log(V)
    torch.testing.assert_close(together, expected.double(), rtol=0.2, atol=0)


# The texts


def test_no_story_stands_in_two_parts():
    parts = [
        {tuple(text) for text in stories(part, seed)}
        for seed in (0, 1)
        for part in ("members", "others", "reference")
    ]
    assert all(len(part) == TEXTS for part in parts)
    assert len(set.union(*parts)) == 6 * TEXTS


def test_copies_are_planted_as_often_as_they_say():
    canaries = make_canaries(0)
    texts = training_texts("plain", 0)
    assert len(texts) == TEXTS + sum(c.repeats for c in canaries)
    for canary in canaries:
        assert texts.count(canary.text) == canary.repeats
    once = without_copies(texts)
    assert len(once) == TEXTS + sum(c.repeats > 0 for c in canaries)


def test_near_copies_are_no_copies():
    canaries = make_canaries(0)
    texts = planted("near copies", canaries, 0)
    assert len(texts) == sum(c.repeats for c in canaries)
    assert without_copies(texts) == texts
    for canary in canaries:
        ends = [text[-len(canary.text) :] for text in texts]
        assert ends.count(canary.text) == canary.repeats


def test_stories_fit_in_the_model():
    longest = max(
        len(text)
        for kind in ("plain", "near copies")
        for text in training_texts(kind, 0)
    )
    assert longest + 1 <= new_model(16, 0).config.context_length


def test_training_lowers_the_loss_towards_the_floor():
    model = new_model(32, 0)
    texts = stories("members", 0)
    batch = as_batch(encode_texts(texts))
    before = float(text_losses(model, *batch).mean())
    assert list(train(model, texts, 2, 0)) == [1, 2]
    after = float(text_losses(model, *batch).mean())
    floor = float(source_losses("members", 0).mean())
    assert floor < after < 0.7 * before
