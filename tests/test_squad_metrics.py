"""Exact match, F1 and thresholds of SQuAD, against cases worked out by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.squad_metrics import (
    Trade,
    best_of,
    exact_match,
    f1,
    normalise_answer,
    trade_off,
)

TEXT = st.text(alphabet="abthen .,'AT", max_size=30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Garden.", "garden"),
        ("a man, a plan", "man plan"),
        ("an apple", "apple"),
        ("Anna's", "annas"),
        ("theatre", "theatre"),  # the article is a word of its own
        ("U.S.A.", "usa"),
        ("the", ""),
        ("\tat the\npond ", "at pond"),
        ("Thé à la", "thé à la"),
    ],
)
def test_normalised(text, expected):
    assert normalise_answer(text) == expected


@given(TEXT)
def test_normalising_twice_changes_articles_at_most(text):
    """Punctuation inside an article may make a new one: "t.he" is "the"."""
    once = normalise_answer(text)
    assert once == once.lower().strip()
    assert not set(once.split()) & {"a", "an", "the"}
    assert normalise_answer(once) == once


@pytest.mark.parametrize(
    ("said", "right", "exact", "expected"),
    [
        ("the garden", "garden", 1, 1),
        ("in the garden", "the garden", 0, 2 / 3),  # precision 1/2, recall 1
        ("garden", "green garden gate", 0, 1 / 2),  # precision 1, recall 1/3
        ("hall", "pond", 0, 0),
        ("cup cup", "cup", 0, 2 / 3),  # one cup is shared, not two
        ("cup cup", "cup cup book", 0, 4 / 5),
        ("b a c", "c b", 0, 1),  # "a" is an article, order is free
        ("", "", 1, 1),
        ("", "pond", 0, 0),
        ("pond", "", 0, 0),
        ("the", "", 1, 1),
    ],
)
def test_scores_by_hand(said, right, exact, expected):
    assert exact_match(said, right) == exact
    assert f1(said, right) == pytest.approx(expected, abs=1e-12)


@given(TEXT, TEXT)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(said, right):
    """Each by its own count, the slow way."""
    a, b = normalise_answer(said).split(), normalise_answer(right).split()
    rest, shared = list(b), 0
    for word in a:
        if word in rest:
            rest.remove(word)
            shared += 1
    if a and b:
        precision, recall = shared / len(a), shared / len(b)
        both = precision + recall
        expected = 2 * precision * recall / both if both else 0.0
    else:
        expected = float(a == b)
    assert f1(said, right) == pytest.approx(expected, abs=1e-12)
    assert f1(said, right) == pytest.approx(f1(right, said))
    assert exact_match(said, right) <= f1(said, right) <= 1


def test_the_best_of_several_answers_counts():
    answers = ["the old library", "library"]
    assert best_of(f1, "a library", answers) == 1
    assert best_of(exact_match, "old", answers) == 0
    assert best_of(f1, "old", answers) == pytest.approx(2 / 3)
    assert best_of(exact_match, "", []) == 1  # no answer is right
    assert best_of(f1, "old", []) == 0


def test_thresholds_by_hand():
    """Two questions with an answer, two without; one answer is wrong."""
    trades = trade_off(
        [3.0, 1.0, 2.0, -1.0], [1.0, 0.0, 1.0, 1.0], [True, True, False, False]
    )
    assert trades == [
        Trade(-float("inf"), 0.5, 0.0, 0.25),
        Trade(-1.0, 0.5, 0.5, 0.5),
        Trade(1.0, 0.5, 0.5, 0.5),
        Trade(2.0, 0.5, 1.0, 0.75),
        Trade(3.0, 0.0, 1.0, 0.5),
    ]


def test_equal_margins_fall_together():
    trades = trade_off([0.0, 0.0], [1.0, 1.0], [True, False])
    assert [t.overall for t in trades] == [0.5, 0.5]


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=2,
        max_size=12,
    )
)
def test_a_higher_threshold_refuses_more(rows):
    margins, scores = zip(*rows, strict=True)
    has = [n % 2 == 0 for n in range(len(rows))]
    trades = trade_off(margins, scores, has)
    for low, high in itertools.pairwise(trades):
        assert low.threshold < high.threshold
        assert low.answered >= high.answered
        assert low.refused <= high.refused
    assert trades[0].refused == 0 and trades[-1].refused == 1
    assert trades[-1].answered == 0


@pytest.mark.parametrize("has", [[True, True], [False, False], []])
def test_one_kind_of_question_makes_no_trade(has):
    with pytest.raises(ValueError, match="Pass some of both kinds"):
        trade_off([0.0] * len(has), [1.0] * len(has), has)
