"""Measures of a classifier, against scikit-learn, SciPy, and numbers by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics
from sklearn.feature_extraction.text import TfidfVectorizer
from torch.nn import functional as F

from nextword.classification import (
    Bin,
    bootstrap_means,
    calibration_error,
    check_pairs,
    confusion_matrix,
    fit_temperature,
    inverse_frequencies,
    log_softmax,
    mean_nats,
    middle,
    precision_and_recall,
    reliability,
    tf_idf,
    words_of,
)

TEXTS = [
    "Return the sum of two arrays, the sum.",
    "Draw a line; draw two lines!",
    "Naïve Bayes: 3D points, x and y, foo_bar",
    "",
    "a b c",
    "The the THE",
]


def drawn(N=300, K=5, scale=2.0, seed=0):
    """Logits (N, K), and labels that are drawn from their probabilities."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(N, K))
    p = special.softmax(logits, axis=1)
    labels = [int(rng.choice(K, p=row)) for row in p]
    return logits, np.array(labels)


# Words as numbers


def test_words_are_those_of_scikit_learn():
    theirs = TfidfVectorizer().build_analyzer()
    for text in TEXTS:
        assert words_of(text) == theirs(text)


@given(st.text())
def test_words_are_those_of_scikit_learn_for_any_text(text):
    assert words_of(text) == TfidfVectorizer().build_analyzer()(text)


def test_inverse_frequencies_by_hand():
    idf = inverse_frequencies(["red stone", "red red lake", "red hill"])
    assert idf.keys() == {"red", "stone", "lake", "hill"}
    assert idf["red"] == math.log(4 / 4) + 1
    assert idf["lake"] == math.log(4 / 2) + 1


@pytest.mark.parametrize("texts", [[], ["", "a b"]])
def test_texts_without_a_word_are_refused(texts):
    with pytest.raises(ValueError, match="no word in the texts"):
        inverse_frequencies(texts)


def test_tf_idf_is_that_of_scikit_learn():
    theirs = TfidfVectorizer()
    matrix = theirs.fit_transform(TEXTS).toarray()
    names = theirs.get_feature_names_out()
    idf = inverse_frequencies(TEXTS)
    np.testing.assert_allclose([idf[w] for w in names], theirs.idf_, rtol=1e-12)
    new = ["Draw the unknown sum of points", "nothing known", ""]
    for texts, rows in (
        (TEXTS, matrix),
        (new, theirs.transform(new).toarray()),
    ):
        for text, row in zip(texts, rows, strict=True):
            ours = tf_idf(text, idf)
            dense = [ours.get(word, 0.0) for word in names]
            np.testing.assert_allclose(dense, row, rtol=1e-12)


def test_tf_idf_by_hand():
    idf = {"red": 1.0, "lake": 2.0}
    assert tf_idf("red red red lake lake hill", idf) == {
        "red": 0.6,
        "lake": 0.8,
    }
    assert tf_idf("hill", idf) == {}


# Errors


def test_confusion_by_hand():
    matrix = confusion_matrix([0, 0, 0, 1, 2], [0, 1, 1, 1, 0], 4)
    assert matrix.tolist() == [
        [1, 2, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    precision, recall = precision_and_recall(matrix)
    np.testing.assert_allclose(precision, [1 / 2, 1 / 3, np.nan, np.nan])
    np.testing.assert_allclose(recall, [1 / 3, 1, 0, np.nan])


def test_confusion_is_that_of_scikit_learn():
    logits, labels = drawn()
    said = logits.argmax(1)
    matrix = confusion_matrix(labels, said, 5)
    assert np.array_equal(matrix, metrics.confusion_matrix(labels, said))
    precision, recall = precision_and_recall(matrix)
    theirs = metrics.precision_recall_fscore_support(labels, said)
    np.testing.assert_allclose(precision, theirs[0], rtol=1e-12)
    np.testing.assert_allclose(recall, theirs[1], rtol=1e-12)


@pytest.mark.parametrize("pair", [([], []), ([1], []), ([1, 2], [1])])
def test_lists_that_do_not_fit_are_refused(pair):
    message = f"are {len(pair[0])} of one and {len(pair[1])} of the other"
    with pytest.raises(ValueError, match=message):
        check_pairs(*pair)
    logits, labels = np.zeros((len(pair[0]), 3)), pair[1]
    for call in (
        lambda: confusion_matrix(labels, pair[0], 3),
        lambda: mean_nats(logits, labels),
        lambda: reliability(logits, labels),
        lambda: fit_temperature(logits, labels),
        lambda: bootstrap_means(pair[0], labels),
    ):
        with pytest.raises(ValueError, match="Pass one of each"):
            call()


# Probabilities


def test_log_softmax_and_nats_are_those_of_pytorch():
    logits, labels = drawn()
    z, y = torch.tensor(logits), torch.tensor(labels)
    np.testing.assert_allclose(log_softmax(logits), z.log_softmax(-1))
    nats = float(F.cross_entropy(z, y))
    assert math.isclose(mean_nats(logits, labels), nats, rel_tol=1e-12)
    huge = np.array([[1000.0, 0.0], [-1000.0, 0.0]])
    assert mean_nats(huge, [0, 0]) == 500.0


def logits_for(confidences):
    """Logits (N, 2) whose first class has these probabilities."""
    return np.array([[math.log(p), math.log(1 - p)] for p in confidences])


def test_reliability_by_hand():
    logits = logits_for([0.95, 0.85, 0.85, 0.55, 0.45])
    bins = reliability(logits, [0, 0, 1, 1, 1])
    expected = [Bin(0.55, 0.5, 2), Bin(0.85, 0.5, 2), Bin(0.95, 1.0, 1)]
    assert len(bins) == 3
    for found, wanted in zip(bins, expected, strict=True):
        assert found == pytest.approx(wanted)
        assert [type(x) for x in found] == [float, float, int]
    # 2/5 of 0.05, 2/5 of 0.35, 1/5 of 0.05
    assert calibration_error(bins) == pytest.approx(0.17)


def test_certain_answers_are_in_the_last_bin():
    logits = np.array([[1000.0, 0.0]] * 4)
    assert reliability(logits, [0, 0, 0, 1]) == [Bin(1.0, 0.75, 4)]
    assert calibration_error([Bin(1.0, 0.75, 4)]) == 0.25


def test_the_bins_hold_every_answer_once():
    logits, labels = drawn()
    for number in (1, 4, 10):
        bins = reliability(logits, labels, number)
        assert sum(b.number for b in bins) == len(labels)
        right = sum(b.number * b.accuracy for b in bins) / len(labels)
        assert right == pytest.approx((logits.argmax(1) == labels).mean())
    assert len(reliability(logits, labels, 1)) == 1


def test_true_probabilities_are_calibrated_and_others_not():
    logits, labels = drawn(20_000)
    errors = [
        calibration_error(reliability(logits * b, labels)) for b in (1, 3, 0.3)
    ]
    assert errors[0] < 0.015 and min(errors[1:]) > 0.1


@pytest.mark.parametrize("sharp", [0.2, 1.0, 4.0])
def test_the_temperature_undoes_a_factor(sharp):
    logits, labels = drawn(20_000)
    T = fit_temperature(logits * sharp, labels)
    assert pytest.approx(sharp, rel=0.03) == T
    assert fit_temperature(logits * sharp / T, labels) == pytest.approx(1)


def test_no_temperature_near_the_best_is_better():
    logits, labels = drawn(seed=3)
    T = fit_temperature(logits, labels)
    best = mean_nats(logits / T, labels)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert mean_nats(logits / (T * factor), labels) > best


def test_a_temperature_without_an_end_stays_finite():
    logits = np.array([[1.0, 0.0], [2.0, 0.0]])
    assert fit_temperature(logits, [0, 0]) == pytest.approx(0.01)
    assert fit_temperature(logits, [1, 1]) == pytest.approx(100)


# Uncertainty


def test_bootstrap_means_by_the_formula():
    values = np.random.default_rng(1).normal(size=400)
    means = bootstrap_means(values, number=4_000)
    assert means.shape == (4_000,)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / 20, rel=0.05)
    low, high = middle(means)
    normal = 1.96 * values.std() / 20
    assert high - low == pytest.approx(2 * normal, rel=0.06)


def test_values_of_a_unit_are_drawn_together():
    """Four values a unit, all equal: as uncertain as the units alone."""
    units = np.random.default_rng(2).normal(size=100)
    values, names = np.repeat(units, 4), np.repeat(np.arange(100), 4)
    whole = bootstrap_means(values, [f"file {n}" for n in names])
    np.testing.assert_allclose(whole, bootstrap_means(units))
    assert whole.std() == pytest.approx(
        2 * bootstrap_means(values).std(), rel=0.1
    )


def test_units_of_other_sizes_by_a_plain_loop():
    values, units = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0], list("abbbcc")
    drawn = bootstrap_means(values, units, number=50, seed=7)
    own = {
        u: [v for v, w in zip(values, units, strict=True) if w == u]
        for u in "abc"
    }
    rng = np.random.default_rng(7)
    for mean, draw in zip(drawn, rng.integers(3, size=(50, 3)), strict=True):
        every = [v for n in draw for v in own["abc"[n]]]
        assert mean == pytest.approx(sum(every) / len(every))


def test_bootstrap_repeats_with_its_seed():
    values = [0, 1, 1, 0, 1]
    assert np.array_equal(bootstrap_means(values), bootstrap_means(values))
    other = bootstrap_means(values, seed=1)
    assert not np.array_equal(bootstrap_means(values), other)


def test_the_middle_by_hand():
    assert middle(range(1001)) == (25.0, 975.0)
    assert all(type(x) is float for x in middle([1, 2]))
