"""Ways to score reviews, by hand and by plain loops, and their record."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import MultinomialNB

from benchmarks import sentiment as benchmark
from nextword import review_models
from nextword.records import read_record
from nextword.reviews import contrast_pairs, plain_reviews
from nextword.sentiment import (
    draw,
    log_odds,
    naive_bayes,
    pair_accuracy,
    sign_accuracy,
    word_pairs,
    words,
)
from nextword.training import TrainConfig
from nextword.wordpiece import SPECIAL

TEXTS = ["good soup", "good service", "cold soup"]
LABELS = [1, 1, 0]
TRAIN = plain_reviews("train")
ALL = [r.text for r in TRAIN], [r.label for r in TRAIN]


# Draws


def test_a_draw_has_half_of_each_label_and_holds_the_smaller_ones():
    labels = ALL[1]
    for seed in (0, 1):
        last = []
        for number in (2, 8, 32, 512, 640):
            chosen = draw(labels, number, seed)
            assert len(set(chosen)) == len(chosen) == number
            assert sum(labels[n] for n in chosen) == number // 2
            assert set(last) <= set(chosen)
            last = chosen
    assert set(draw(labels, 32, 0)) != set(draw(labels, 32, 1))
    assert draw(labels, 32, 0) == draw(labels, 32, 0)


def test_a_draw_has_many_subjects():
    """The file is in order of subject; a draw is not."""
    chosen = {TRAIN[n].subject for n in draw(ALL[1], 32, 0)}
    assert len(chosen) > 8


@pytest.mark.parametrize("number", [0, 3, -2, 8])
def test_an_impossible_draw_is_refused(number):
    with pytest.raises(
        ValueError, match=r"there are 3 and 3\. Ask for an even"
    ):
        draw([0, 1] * 3, number, 0)


# Counts


def test_words_by_hand():
    assert words("It's FINE, isn't it? 10/10!") == [
        "it's",
        "fine",
        "isn't",
        "it",
        "10",
        "10",
    ]


def test_log_odds_by_hand():
    prior, odds = log_odds(TEXTS, LABELS)
    assert math.isclose(prior, math.log(2))
    assert math.isclose(odds["good"], math.log((3 / 8) / (1 / 6)))
    assert math.isclose(odds["soup"], math.log((2 / 8) / (2 / 6)))
    assert math.isclose(odds["cold"], math.log((1 / 8) / (2 / 6)))
    assert odds.keys() == {"good", "soup", "service", "cold"}
    _, odds = log_odds(TEXTS, LABELS, k=0.5)
    assert math.isclose(odds["good"], math.log((2.5 / 6) / (0.5 / 4)))


def test_naive_bayes_is_that_of_scikit_learn():
    texts, labels = (part[:200] + part[-200:] for part in ALL)
    asked = [r.text for r in plain_reviews("test")]
    vocabulary = sorted({w for text in texts for w in words(text)})

    def bag(texts):
        counts = [Counter(words(text)) for text in texts]
        return np.array([[c[w] for w in vocabulary] for c in counts])

    theirs = MultinomialNB(alpha=0.7).fit(bag(texts), labels)
    log_p = theirs.predict_joint_log_proba(bag(asked))
    expected = torch.from_numpy(log_p[:, 1] - log_p[:, 0])
    found = naive_bayes(texts, labels, k=0.7)(asked)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_bag_has_no_order_to_the_last_bit():
    score = naive_bayes(*ALL)
    same = 0
    for pair in contrast_pairs():
        one, two = pair.positive.text, pair.negative.text
        if Counter(words(one)) == Counter(words(two)):
            same += 1
            assert torch.equal(*score([one, two]))
    assert same == 69
    tokens = words("it was slow but we loved it all")
    orders = [" ".join(o) for o in itertools.permutations(tokens[:6])]
    assert len(set(score(orders).tolist())) == 1


def test_an_unknown_word_adds_nothing():
    score = naive_bayes(TEXTS, LABELS)
    a, b, c = score(["good", "good zebra", "zebra"]).tolist()
    assert a == b and c == math.log(2)


def test_one_label_alone_is_refused():
    for labels in ([1, 1, 1], [0, 0, 0]):
        with pytest.raises(ValueError, match="Pass texts of both labels"):
            naive_bayes(TEXTS, labels)


def test_pairs_of_words_see_an_order_that_a_bag_cannot():
    texts = ["bad not good", "good not bad"] * 4
    labels = [0, 1] * 4
    assert naive_bayes(texts, labels)(texts[:2]).tolist() == [0.0, 0.0]
    scores = word_pairs(texts, labels)(texts[:2])
    assert scores[0] < 0 < scores[1] and scores.dtype == torch.float64


# Measures


def test_measures_by_hand():
    scores = torch.tensor([2.0, -1.0, 0.0, 3.0])
    assert sign_accuracy(scores, [1, 0, 0, 0]) == 2.5 / 4
    good = torch.tensor([1.0, -1.0, 2.0, 0.0])
    bad = torch.tensor([-1.0, -2.0, 1.0, -1.0])
    assert pair_accuracy(good, bad) == 1 / 4
    assert pair_accuracy(good, good) == 0


# Encoders


@pytest.fixture(scope="module")
def tokenizer():
    return review_models.small_vocabulary(ALL[0])


def test_a_small_vocabulary_keeps_frequent_words_and_loses_no_text(tokenizer):
    made = review_models.small_vocabulary(["Aha, an ox!", "An ox ate."])
    assert made.pieces[: len(SPECIAL)] == SPECIAL
    assert {"an", "ox", "##x", ",", "."} <= set(made.pieces)
    assert not {"aha", "ate"} & set(made.pieces)
    pieces = [made.pieces[id] for id in made.encode("Aha ox")]
    assert pieces == ["a", "##h", "##a", "ox"]
    for review in TRAIN:
        assert tokenizer.ids["[UNK]"] not in tokenizer.encode(review.text)


def test_filling_gaps_learns_without_labels(tokenizer):
    body = review_models.small_bert(tokenizer, seed=0)
    texts = ALL[0][:64]
    losses = review_models.fill_gaps(body, tokenizer, texts, 40, seed=0)
    assert abs(losses[0] - math.log(tokenizer.vocab_size)) < 1
    assert sum(losses[-5:]) / 5 < losses[0] - 1.5


def test_a_small_bert_learns_its_reviews_and_leaves_the_body(tokenizer):
    body = review_models.small_bert(tokenizer, seed=0)
    before = {k: v.clone() for k, v in body.state_dict().items()}
    texts, labels = (part[::40] for part in ALL)
    assert 0 < sum(labels) < len(labels)
    config = TrainConfig(60, 2e-3, 6, final=0.0, seed=1)
    model = review_models.fine_tuned(body, tokenizer, texts, labels, config)
    score = review_models.scorer(model, tokenizer)
    assert sign_accuracy(score(texts), labels) == 1
    for key, value in body.state_dict().items():
        assert torch.equal(value, before[key])
    again = review_models.fine_tuned(body, tokenizer, texts, labels, config)
    assert torch.equal(
        score(texts), review_models.scorer(again, tokenizer)(texts)
    )


def test_a_score_is_the_difference_of_two_logits(tokenizer):
    body = review_models.small_bert(tokenizer, seed=0)
    config = TrainConfig(1, 1e-3)
    model = review_models.fine_tuned(
        body, tokenizer, ["good", "bad"], [1, 0], config
    )
    texts = ["A good soup.", "Bad"]
    found = review_models.scorer(model, tokenizer)(texts)
    model.eval()
    for text, score in zip(texts, found.tolist(), strict=True):
        ids = [tokenizer.ids["[CLS]"], *tokenizer.encode(text)]
        ids = torch.tensor([[*ids, tokenizer.ids["[SEP]"]]])
        with torch.no_grad():
            logits = model(ids, torch.ones_like(ids).bool(), 0 * ids)[0]
        assert math.isclose(score, logits[1] - logits[0], abs_tol=1e-5)


def test_schedules_read_every_text_often_enough():
    for make, times in (
        (review_models.small_schedule, 4),
        (review_models.minilm_schedule, 3),
    ):
        assert make(8, 0).steps < make(512, 0).steps
        assert all(16 * make(n, 0).steps >= times * n for n in (8, 64, 512))
        assert make(8, 3).seed == 3


def test_a_probe_finds_a_direction():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(80, 6, generator=generator)
    labels = (vectors[:, 2] > 0).long().tolist()
    score = review_models.probe(vectors[:60], labels[:60], penalty=1.0)
    assert sign_accuracy(score(vectors[60:]), labels[60:]) > 0.85
    weak = review_models.probe(vectors[:60], labels[:60], penalty=1e6)
    assert weak(vectors).std() < 0.01 < score(vectors).std()  # a bias is left


# The record


@pytest.fixture(scope="module")
def rows():
    return read_record("sentiment")["rows"]


def test_the_record_has_every_run_once(rows):
    assert [benchmark.Run(*list(row.values())[:3]) for row in rows] == (
        benchmark.grid()
    )
    assert len(set(benchmark.grid())) == len(rows)


def test_the_measures_of_a_row_fit_together(rows):
    for row in rows:
        if row["method"] == benchmark.REASONS:
            continue
        kinds = row["kinds"]
        assert len(kinds) == 15
        mean = sum(kinds.values()) / 15  # as many pairs of each kind
        assert abs(mean - row["contrast"]) < 1e-3
        assert row["pairs"] <= row["contrast"] + 1e-9
        assert row["pairs"] <= row["ordered"] + 1e-9


def test_five_models_were_asked_for_their_reasons(rows):
    found = [row for row in rows if row["method"] == benchmark.REASONS]
    assert [row["seed"] for row in found] == list(benchmark.SEEDS)
    for row in found:
        assert row["top"] > row["random"]
        assert 0 <= row["same_top"] <= 12 and 0 < row["twice"] < 1


@pytest.mark.parametrize("number", [8, 128, 512])
def test_naive_bayes_is_as_recorded(rows, number):
    for seed in benchmark.SEEDS:
        data = benchmark.drawn(number, seed)
        found = benchmark.judge(benchmark.METHODS["naive Bayes"](data))
        (row,) = (
            r
            for r in rows
            if (r["method"], r["seed"], r["labels"])
            == ("naive Bayes", seed, number)
        )
        assert all(row[name] == found[name] for name in found)


def test_a_probe_of_minilm_is_as_recorded(rows, minilm_files):
    data = benchmark.drawn(512, 0)
    found = benchmark.judge(benchmark.METHODS["MiniLM probe"](data))
    (row,) = (
        r
        for r in rows
        if (r["method"], r["seed"], r["labels"]) == ("MiniLM probe", 0, 512)
    )
    for name in ("plain", "contrast", "pairs"):
        assert abs(row[name] - found[name]) < 0.02
