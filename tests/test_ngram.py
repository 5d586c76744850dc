"""The n-gram models, held against their formulas in exact fractions.

The formulas below are written from their definitions: they scan the text anew
for every count and share no code with the library.
"""

import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextword import ngram
from nextword.ngram import END, START, UNKNOWN

TOY = [list("abab"), list("abb"), list("c"), []]
CORPORA = st.lists(
    st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=6
)
ORDERS = st.integers(1, 4)
KINDS = {
    "add-k": lambda s, n, v: ngram.AddK(s, n, v, 0.3),
    "interpolated": ngram.Interpolated,
    "kneser-ney": ngram.KneserNey,
}


def windows(sequences, order):
    """All n-grams as tuples, by slicing each padded sequence."""
    found = []
    for sequence in sequences:
        row = (START,) * (order - 1) + tuple(sequence) + (END,)
        found += [row[i : i + order] for i in range(len(row) - order + 1)]
    return found


def ratio(sequences, token, context):
    """c(h, w) / c(h) as a fraction, or None if h was never seen."""
    order = len(context) + 1
    after = [g[-1] for g in windows(sequences, order) if g[:-1] == context]
    return Fraction(after.count(token), len(after)) if after else None


def table(sequences, length, order):
    """The counts that the order ``length`` uses inside a model of ``order``."""
    counts = Counter(windows(sequences, order))
    for _ in range(order - length):
        counts = Counter(gram[1:] for gram in counts)
    return counts


def kneser_ney(sequences, order, vocabulary, token, context):
    """The interpolated Kneser-Ney probability, recursively, from the top."""

    def level(length):
        if length == 0:
            return Fraction(1, len(vocabulary) + 1)
        counts = table(sequences, length, order)
        h = context[len(context) - length + 1 :] if length > 1 else ()
        row = {g[-1]: c for g, c in counts.items() if g[:-1] == h}
        if not row:
            return level(length - 1)
        ones = sum(c == 1 for c in counts.values())
        twos = sum(c == 2 for c in counts.values())
        D = Fraction(ones, ones + 2 * twos) if ones * twos else Fraction(1, 2)
        total = sum(row.values())
        kept = max(row.get(token, 0) - D, 0) / total
        return kept + D * len(row) / total * level(length - 1)

    return level(order)


def contexts(order):
    """Seen, unseen and padded contexts over a, b, c and a stranger."""
    rng = random.Random(order)
    yield (START,) * (order - 1)
    for _ in range(6):
        yield tuple(rng.choice(["a", "b", "c", "?"]) for _ in range(order - 1))


def test_words_keep_letters_digits_and_marks():
    assert ngram.words('The "x_1" isn\'t 3.') == (
        ["the", '"', "x_1", '"', "isn", "'", "t", "3", "."]
    )


@given(CORPORA, ORDERS)
def test_ngrams_are_the_windows_of_the_padded_text(sequences, order):
    got = [(*h, w) for s in sequences for h, w in ngram.ngrams(s, order)]
    assert got == windows(sequences, order)


@given(CORPORA, ORDERS)
def test_counts_are_the_counts_of_the_windows(sequences, order):
    counts = ngram.count(sequences, order)
    flat = {(*h, w): c for h, row in counts.items() for w, c in row.items()}
    assert flat == Counter(windows(sequences, order))


def test_counts_take_tokens_of_any_kind():
    counts = ngram.count([[1, 2, 1], "ab"], 2)
    assert counts[(1,)] == {2: 1, END: 1}
    assert counts[("a",)] == {"b": 1}


def test_the_vocabulary_holds_frequent_tokens_first():
    text = [list("abcab"), list("b")]
    assert ngram.build_vocabulary(text) == [UNKNOWN, "b", "a"]
    assert ngram.build_vocabulary(text, 1) == [UNKNOWN, "b", "a", "c"]
    assert ngram.build_vocabulary([[UNKNOWN, UNKNOWN]]) == [UNKNOWN]


def test_rare_tokens_become_unknown():
    assert ngram.replace_unknown([list("abc"), []], ["a", "b"]) == [
        ["a", "b", UNKNOWN],
        [],
    ]


@given(CORPORA, ORDERS)
def test_maximum_likelihood_is_the_ratio_of_counts(sequences, order):
    model = ngram.MaximumLikelihood(sequences, order, "abc")
    for context in contexts(order):
        for token in ["a", "b", "c", END]:
            expected = ratio(sequences, token, context) or 0
            assert model.probability(token, context) == float(expected)


@given(CORPORA, ORDERS, st.fractions("1/100", 3))
def test_add_k_is_its_formula(sequences, order, k):
    model = ngram.AddK(sequences, order, "abc", float(k))
    grams = windows(sequences, order)
    for context in contexts(order):
        seen = sum(gram[:-1] == context for gram in grams)
        for token in ["a", "b", "c", END]:
            expected = (grams.count((*context, token)) + k) / (seen + 4 * k)
            got = model.probability(token, context)
            assert got == pytest.approx(float(expected), rel=1e-12)


@given(CORPORA, ORDERS, st.lists(st.fractions(0, 1), min_size=4, max_size=4))
def test_interpolation_is_its_formula(sequences, order, weights):
    model = ngram.Interpolated(sequences, order, "abc")
    model.weights = [float(a) for a in weights[:order]]
    for context in contexts(order):
        for token in ["a", "b", "c", END]:
            p = Fraction(1, 4)
            for n in range(order):
                h = context[len(context) - n :]
                estimate = ratio(sequences, token, h)
                if estimate is not None:
                    p = weights[n] * estimate + (1 - weights[n]) * p
            got = model.probability(token, context)
            assert got == pytest.approx(float(p), rel=1e-12, abs=1e-15)


@settings(deadline=None)
@given(CORPORA, ORDERS)
def test_kneser_ney_is_its_formula(sequences, order):
    model = ngram.KneserNey(sequences, order, "abc")
    for context in contexts(order):
        for token in ["a", "b", "c", END]:
            expected = kneser_ney(sequences, order, "abc", token, context)
            got = model.probability(token, context)
            assert got == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(sequences=CORPORA, order=ORDERS)
@settings(deadline=None)
def test_probabilities_sum_to_one_after_every_context(kind, sequences, order):
    model = KINDS[kind](sequences, order, [UNKNOWN, *"abc"])
    for context in contexts(order):
        ps = [model.probability(w, context) for w in model.outcomes]
        assert math.fsum(ps) == pytest.approx(1, abs=1e-12)
        assert min(ps) > 0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_maximum_likelihood_sums_to_one_after_seen_contexts(order):
    model = ngram.MaximumLikelihood(TOY, order, "abc")
    for context in model.counts:
        ps = [model.probability(w, context) for w in model.outcomes]
        assert math.fsum(ps) == pytest.approx(1, abs=1e-12)


@given(CORPORA, ORDERS)
def test_no_probabilities_fit_the_training_text_better(sequences, order):
    """Maximum likelihood: every other model finds its own text less likely."""
    best = ngram.MaximumLikelihood(sequences, order, "abc")
    bound = ngram.cross_entropy(best, sequences)
    for kind in KINDS.values():
        model = kind(sequences, order, "abc")
        assert ngram.cross_entropy(model, sequences) >= bound - 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_corpus_of_one_token_is_enough(kind, order):
    model = KINDS[kind]([["a"]], order, [UNKNOWN, "a"])
    p = {w: model.probability(w, []) for w in model.outcomes}
    assert sum(p.values()) == pytest.approx(1)
    assert p["a"] > p[UNKNOWN] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_is_cut_and_filled(kind):
    model = KINDS[kind](TOY, 3, "abc")
    p = model.probability("b", ("b", "a"))
    assert model.probability("b", list("cccba")) == p
    start = model.probability("a", (START, START))
    assert model.probability("a", ()) == start
    assert model.probability("a", [START]) == start


def test_an_unseen_context_falls_back_to_a_shorter_one():
    model = ngram.KneserNey(TOY, 3, "abc")
    shorter = model.probability("b", ("c", "a"))
    assert model.probability("b", ("?", "a")) == shorter
    assert model.probability("b", ("c", "a")) == shorter


def test_continuation_counts_count_kinds_not_cases():
    """'francisco' follows one word three times; 'glass' follows two words."""
    text = [["san", "francisco"]] * 3 + [["my", "glass"], ["a", "glass"]]
    lower = ngram.continuation_counts(ngram.count(text, 2))
    assert lower[()]["francisco"] == 1
    assert lower[()]["glass"] == 2
    model = ngram.KneserNey(text, 2, ngram.build_vocabulary(text, 1))
    new = ("never",)
    assert model.probability("glass", new) > model.probability("francisco", new)


def test_the_discount_comes_from_the_rare_counts():
    counts = {(): Counter(a=1, b=1, c=1, d=2, e=9)}
    assert ngram.estimate_discount(counts) == pytest.approx(3 / 5)
    assert ngram.estimate_discount({(): Counter(a=1)}) == 0.5
    assert ngram.estimate_discount({(): Counter(a=2)}) == 0.5


@given(CORPORA, CORPORA, ORDERS)
@settings(deadline=None)
def test_every_round_of_em_helps_on_the_held_out_text(train, held_out, order):
    model = ngram.Interpolated(train, order, "abc")
    before = ngram.cross_entropy(model, held_out)
    for _ in range(5):
        ngram.fit_weights(model, held_out, rounds=1)
        after = ngram.cross_entropy(model, held_out)
        assert after <= before + 1e-9
        before = after
    assert all(0 <= a <= 1 for a in model.weights)


def test_em_finds_the_weight_that_a_fine_grid_finds():
    train, held_out = [list("aabac")] * 2, [list("abca"), list("aaa")]
    model = ngram.Interpolated(train, 1, "abc")
    grid = []
    for step in range(1001):
        model.weights = [step / 1000]
        grid.append((ngram.cross_entropy(model, held_out), step / 1000))
    model.weights = [0.5]
    ngram.fit_weights(model, held_out, rounds=2000)
    assert model.weights[0] == pytest.approx(min(grid)[1], abs=2e-3)


def test_cross_entropy_counts_the_end():
    """Unigram over a, b and END, each seen once: three times ln 3 over 3."""
    model = ngram.MaximumLikelihood([["a", "b"]], 1, "ab")
    assert ngram.cross_entropy(model, [["a", "b"]]) == pytest.approx(
        math.log(3)
    )
    assert ngram.cross_entropy(model, [[]]) == pytest.approx(math.log(3))


def test_cross_entropy_is_a_mean_over_tokens_not_over_sequences():
    model = ngram.AddK(TOY, 2, "abc", 0.5)
    text = [list("abab"), list("c")]
    costs = [
        -math.log(model.probability(w, h))
        for s in text
        for h, w in ngram.ngrams(s, 2)
    ]
    assert ngram.cross_entropy(model, text) == pytest.approx(sum(costs) / 7)


def test_one_impossible_token_makes_the_cross_entropy_infinite():
    model = ngram.MaximumLikelihood([["a", "b"]], 2, "ab")
    assert ngram.cross_entropy(model, [["b", "a"]]) == math.inf


def test_a_sample_depends_on_the_seed_alone():
    model = ngram.KneserNey(TOY, 2, "abc")
    draws = [ngram.sample(model, random.Random(3)) for _ in range(2)]
    assert draws[0] == draws[1]
    many = {tuple(ngram.sample(model, random.Random(i))) for i in range(9)}
    assert len(many) > 1


def test_samples_follow_the_probabilities():
    model = ngram.MaximumLikelihood([["a"]] * 3 + [["b"]], 2, "ab")
    rng = random.Random(0)
    draws = [ngram.sample(model, rng) for _ in range(2000)]
    assert all(draw in (["a"], ["b"]) for draw in draws)
    assert draws.count(["a"]) / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_sample_stops_at_its_limit():
    model = ngram.MaximumLikelihood([["a"] * 100], 1, "a")
    assert ngram.sample(model, random.Random(1), limit=5) == ["a"] * 5


@pytest.mark.parametrize("order", [0, -2])
@pytest.mark.parametrize("kind", KINDS)
def test_an_order_below_one_is_refused(kind, order):
    with pytest.raises(ValueError, match=f"order is {order}. Use 1"):
        KINDS[kind](TOY, order, "abc")
    with pytest.raises(ValueError, match=f"order is {order}. Use 1"):
        list(ngram.ngrams("ab", order))


@pytest.mark.parametrize("k", [0, -1])
def test_add_k_without_a_positive_k_is_refused(k):
    with pytest.raises(ValueError, match="or MaximumLikelihood"):
        ngram.AddK(TOY, 1, "abc", k)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_corpus_is_refused(kind):
    with pytest.raises(ValueError, match="nothing to count"):
        KINDS[kind]([], 2, "abc")


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_outside_the_vocabulary_is_refused(kind):
    with pytest.raises(ValueError, match="'c' is not in the vocabulary"):
        KINDS[kind](TOY, 2, "ab")
    model = KINDS[kind](TOY, 2, "abc")
    with pytest.raises(ValueError, match="replace_unknown"):
        model.probability("d", ())


def test_there_must_be_text_to_measure():
    model = ngram.AddK(TOY, 2, "abc", 1)
    with pytest.raises(ValueError, match="no text to measure"):
        ngram.cross_entropy(model, [])
