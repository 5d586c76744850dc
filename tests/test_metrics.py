"""Each measure, against sums worked out another way."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.metrics import bits, bits_per_byte, exact_match, perplexity

probabilities = st.lists(
    st.floats(min_value=1e-3, max_value=1.0), min_size=1, max_size=20
)


def test_a_fair_die_leaves_six_choices():
    assert perplexity(math.log(6)) == pytest.approx(6, rel=1e-12)


def test_certainty_leaves_one_choice():
    assert perplexity(0.0) == 1.0


def test_an_impossible_token_leaves_endless_choices():
    assert perplexity(math.inf) == math.inf


@given(probabilities)
def test_perplexity_is_the_inverse_geometric_mean(ps):
    nats = -sum(math.log(p) for p in ps) / len(ps)
    inverse = math.prod(Fraction(1) / Fraction(p) for p in ps)
    expected = math.exp(
        (math.log(inverse.numerator) - math.log(inverse.denominator)) / len(ps)
    )
    assert perplexity(max(nats, 0.0)) == pytest.approx(expected, rel=1e-9)


@given(probabilities)
def test_bits_are_logarithms_to_the_base_two(ps):
    nats = -sum(math.log(p) for p in ps) / len(ps)
    expected = -sum(math.log2(p) for p in ps) / len(ps)
    assert bits(nats) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("text", ["ab", "naïve", "猫坐着"])
def test_uniform_bytes_cost_eight_bits_whatever_the_tokens_are(text):
    """A model for which all 256 bytes are alike pays 8 bits for each byte."""
    size = len(text.encode("utf-8"))
    for tokens in (1, size, 3 * size):
        nats = size * math.log(256) / tokens
        assert bits_per_byte(nats, tokens, size) == pytest.approx(8, rel=1e-12)


def test_bits_per_byte_by_hand():
    """Two tokens at probability 1/4, four bytes: 4 bits over 4 bytes."""
    assert bits_per_byte(math.log(4), 2, 4) == pytest.approx(1)


def test_a_negative_cross_entropy_is_refused():
    with pytest.raises(ValueError, match="never negative"):
        perplexity(-0.1)


@pytest.mark.parametrize(("tokens", "size"), [(0, 4), (4, 0), (-1, 4)])
def test_counts_must_be_positive(tokens, size):
    with pytest.raises(ValueError, match="number of tokens and of bytes"):
        bits_per_byte(1.0, tokens, size)


def test_exact_match_by_hand():
    references = ["1987年3月5日", "1990/1/2", "", "x"]
    predictions = ["1987年3月5日", "1990/1/02", "", "X"]
    assert exact_match(predictions, references) == 0.5


def test_exact_match_of_ids():
    assert exact_match([[1, 2], [3]], [[1, 2], [3, 3]]) == 0.5
    assert exact_match(((1, 2),), ((1, 2),)) == 1.0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_exact_match_is_a_share(pairs):
    predictions, references = (list(side) for side in zip(*pairs, strict=True))
    share = exact_match(predictions, references)
    assert share * len(pairs) == pytest.approx(
        sum(1 - min(abs(p - r), 1) for p, r in pairs)
    )
    assert exact_match(references, references) == 1.0
    assert exact_match(references, predictions) == share


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "0 predictions and 0 references"),
        (["a"], [], "1 predictions and 0 references"),
        (["a"], ["a", "b"], "Pass one reference for each prediction"),
    ],
)
def test_exact_match_needs_pairs(predictions, references, message):
    with pytest.raises(ValueError, match=message):
        exact_match(predictions, references)
