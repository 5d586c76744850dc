"""Skewed texts, association tests, false sentences, unseen stories."""

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import limits, record
from nextword import association, hallucination, skew, unseen
from nextword.blocks import TransformerConfig
from nextword.stories import SHORT
from nextword.telling import Reader
from nextword.town import make_story
from nextword.town_score import first_wrong
from nextword.town_words import PEOPLE
from nextword.transformer import GPT
from nextword.words import town_tokenizer


def job_shares(mend, number):
    """The counted shares of the usual job in a mended text."""
    said, usual = Counter(), Counter()
    for n in range(number):
        tokens = skew.job_text(n, 7, mend)
        name, job = tokens[0], tokens[-2]
        said[name] += 1
        usual[name] += job == skew.JOBS[PEOPLE[name].pronoun]
    return {name: usual[name] / said[name] for name in said}


@pytest.mark.parametrize("mend", skew.MENDS)
def test_the_counted_shares_are_the_exact_ones(mend):
    shares = job_shares(mend, 4_000)
    assert shares.keys() == set(skew.KNOWN)
    for name, share in shares.items():
        exact = skew.mended_share(name, mend)
        assert abs(share - exact) < 4.5 * math.sqrt(exact * (1 - exact) / 300)


def test_balanced_by_group_is_balanced_on_the_average_only():
    kept = (1 - skew.group_share()) / skew.group_share()
    usual = sum(skew.usual_share(n) * kept for n in skew.KNOWN)
    rare = sum(1 - skew.usual_share(n) for n in skew.KNOWN)
    assert math.isclose(usual, rare)
    assert skew.mended_share("Anna", "by group") > 0.6
    assert skew.mended_share("Grace", "by group") < 0.15


def test_a_text_has_the_probability_that_the_teller_says():
    for n in range(20):
        tokens = skew.job_text(n, 3)
        reader = Reader(tokens)
        job = skew.tell_job(reader, tokens[0])
        assert reader.tokens == tokens and job == tokens[-2]
        usual = job == skew.JOBS[PEOPLE[tokens[0]].pronoun]
        p = skew.usual_share(tokens[0])
        assert math.isclose(reader.log_p[-2], math.log(p if usual else 1 - p))


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_swapping_twice_gives_the_text_back(number):
    tokens = skew.job_text(number, 0)
    other = skew.swap(tokens)
    assert skew.swap(other) == tokens
    assert PEOPLE[other[0]].pronoun != PEOPLE[tokens[0]].pronoun
    assert other[-2] == tokens[-2]


def test_every_other_text_is_the_counterpart_of_the_one_before():
    first, second = (skew.job_text(n, 0, "swapped") for n in (4, 5))
    assert second == skew.swap(first)


def test_batches_hold_the_texts_and_no_stranger():
    batch = skew.JobBatches(5)(2)
    words = skew.job_tokenizer()
    row = batch.ids[1].tolist()
    text = skew.job_text(11, 0)
    assert words.decode(row[1:]).split()[: len(text)] == text
    ids = torch.cat([skew.JobBatches(64)(n).ids.flatten() for n in range(5)])
    for name in skew.STRANGERS:
        assert words.ids[name] not in ids


def test_said_shares_read_the_two_logits():
    model = GPT(
        TransformerConfig(skew.job_tokenizer().vocab_size, 32, 16, 2, 1)
    )
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert skew.said_shares(model, ["Anna"]) == {"Anna": 0.5}

    class Odds(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, ids):
            logits = torch.zeros(*ids.shape, skew.job_tokenizer().vocab_size)
            logits[..., skew.job_tokenizer().ids["baker"]] = math.log(4)
            return logits

    for temperature, share in ((1.0, 0.8), (0.5, 16 / 17), (0.0, 1.0)):
        said = skew.said_shares(Odds(), ["Anna", "Ben"], temperature)
        assert math.isclose(said["Anna"], share, rel_tol=1e-6)
        assert math.isclose(said["Ben"], 1 - share, abs_tol=1e-6)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="no mend"):
        skew.mended_share("Anna", "prayer")
    with pytest.raises(ValueError, match="batch_size"):
        skew.JobBatches(0)
    with pytest.raises(ValueError, match="1 or more"):
        unseen.KnownBatches(0)
    with pytest.raises(ValueError, match="no factor"):
        unseen.config_of("age")
    with pytest.raises(ValueError, match="one size"):
        association.effect_size(np.ones(3), np.ones(2))


# The association test


def test_weat_by_hand():
    """Two axes: A is east, B is north; cosines are 1, 0 or 1 / sqrt(2)."""
    east, north, between = [1.0, 0.0], [0.0, 2.0], [3.0, 3.0]
    s = association.associations(
        np.array([east, between, north]), np.array([east]), np.array([north])
    )
    assert np.allclose(s, [1, 0, -1])
    x, y = np.array([1.0, 0.5]), np.array([-1.0, -0.5])
    # mean difference 1.5; squares 1, 1/4, 1, 1/4 over n - 1 = 3
    assert math.isclose(association.effect_size(x, y), 1.5 / math.sqrt(2.5 / 3))
    assert math.isclose(association.p_value(x, y), 1 / 6)
    assert association.p_value(y, x) == 1.0


def test_p_value_is_that_of_all_divisions_written_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=4), rng.normal(size=4)
    both, larger, number = [*x, *y], 0, 0
    for half in itertools.combinations(range(8), 4):
        rest = [n for n in range(8) if n not in half]
        gap = sum(both[n] for n in half) - sum(both[n] for n in rest)
        larger += gap >= x.sum() - y.sum() - 1e-9
        number += 1
    assert math.isclose(association.p_value(x, y), larger / number)


def test_random_divisions_agree_with_all_of_them(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.4, 1, 7), rng.normal(0, 1, 7)
    exact = association.p_value(x, y)
    monkeypatch.setattr(association, "EXACT", 10)
    drawn = association.p_value(x, y)
    assert drawn != exact and abs(drawn - exact) < 0.02


def test_the_published_lists_are_whole():
    for test in association.TESTS.values():
        assert [len(words) for words in test] == [8] * 4
        assert len({word for words in test for word in words}) == 32


# False sentences


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_story_of_the_town_has_no_false_sentence(number, short):
    story = make_story(number, SHORT if short else limits.TOWNS["three people"])
    judged = hallucination.claims(story.tokens)
    assert all(claim.true for claim in judged)
    assert len(judged) == story.tokens.count(".")
    told = [claim.kind for claim in judged if claim.bound]
    assert len(told) == len(story.events) + 1 and told[-1] == "feel"


@given(st.integers(0, 10**5), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_a_false_sentence_makes_a_story_illegal(number, rng):
    tokens = list(make_story(number, SHORT).tokens)
    place = rng.randrange(len(tokens))
    tokens[place] = rng.choice(town_tokenizer().words[5:])
    if any(not claim.true for claim in hallucination.claims(tokens)):
        assert first_wrong(tokens, SHORT) is not None


BEGUN = "Anna was at the barn . Ben was at the pond . There was a cup at the barn . "


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("Anna took the cup .", [True]),
        ("Ben took the cup .", [False]),
        ("Anna took the key .", [False]),
        ("Anna went to the barn .", [False]),
        ("She went to the pond .", [False]),  # nobody was spoken of
        ("Anna talked to Ben .", [False]),
        ("Anna went to the pond . She talked to Ben .", [True, True]),
        ("Anna went to the pond . He talked to Ben .", [True, False]),
        ("Anna took the cup . Anna took the cup .", [True, False]),
        ("Anna gave the cup to Ben .", [False]),
        ("Ben took the cup . Ben put down the cup .", [False, True]),
        ("At last Anna was calm .", [True]),
        ("Anna wanted the cup . At last Anna cried .", [True, True]),
        ("Anna wanted the cup . At last Anna smiled .", [True, False]),
        ("Clara took the cup .", [False]),
        ("Anna took took .", [False]),
    ],
)
def test_sentences_by_hand(text, true):
    begun = BEGUN
    if text.startswith("She"):  # Ben was named last
        assert hallucination.claims((begun + text).split())[3].kind == (
            "unreadable"
        )
    judged = hallucination.claims((begun + text).split())[3:]
    assert [claim.true for claim in judged] == true


def test_any_words_are_judged_without_an_error():
    rng = random.Random(0)
    words = list(town_tokenizer().words)
    words += [".", "the", "took", "gave", "to"] * 9
    for _ in range(2_000):
        hallucination.claims(BEGUN.split() + rng.choices(words, k=30))


def test_false_share_counts_only_what_is_bound():
    told = [hallucination.claims((BEGUN + "Ben took the cup .").split())]
    assert hallucination.false_share(told) == 1.0
    told += [hallucination.claims((BEGUN + "Anna took the cup .").split())]
    assert hallucination.false_share(told) == 0.5
    assert hallucination.false_share([]) == 0.0


# Stories that differ in one thing


def test_training_has_no_new_name_and_no_new_pair():
    for tokens in unseen.KnownBatches(400)(0).ids.tolist():
        words = [town_tokenizer().words[id] for id in tokens]
        assert not set(words) & set(unseen.NEW_NAMES)
        thing = words[words.index("There") + 3]
        assert not unseen.is_new_pair(words[1], thing)


@pytest.mark.parametrize("factor", unseen.FACTORS)
def test_each_factor_is_legal_in_its_own_town_and_differs(factor):
    for tokens in unseen.unseen_stories(factor, 6):
        assert first_wrong(tokens, unseen.config_of(factor)) is None
        thing = tokens[tokens.index("There") + 3]
        new = {
            "new pair": unseen.is_new_pair(tokens[0], thing),
            "new name": tokens[0] in unseen.NEW_NAMES,
            "more events": tokens.count(".") - tokens.count("There") > 5,
            "two things": tokens.count("There") == 2,
        }
        assert {name for name, is_new in new.items() if is_new} == (
            set() if factor == "as trained" else {factor}
        )


def test_the_town_itself_has_no_gap():
    config = unseen.TRAINED

    def town(token, context):
        possible = unseen.next_token(context, config) or {unseen.END: 1.0}
        return possible.get(token, 0.0)

    stories = unseen.unseen_stories("as trained", 3)
    found = unseen.gap(lambda story: town, stories, config)
    assert abs(found.excess) < 1e-9 and abs(found.impossible) < 1e-9


def test_a_model_without_knowledge_has_the_gap_of_a_die():
    V = town_tokenizer().vocab_size
    model = GPT(TransformerConfig(V, 96, 16, 2, 1))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    (story,) = unseen.unseen_stories("as trained", 1)
    config = unseen.TRAINED
    found = unseen.gap(lambda s: unseen.gpt_predict(model, s), [story], config)
    floor = -sum(unseen.score(story, config)) / (len(story) + 1)
    assert math.isclose(found.excess, math.log(V) - floor, rel_tol=1e-5)


# The record


def test_the_record_has_every_run_once():
    rows = limits.record_rows()
    runs = {tuple(row[f] for f in limits.Run._fields) for row in rows}
    assert runs == set(limits.grid()) and len(limits.grid()) == 45


def test_a_small_run_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")
    for folder in ("results", "copies"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(limits, "SKEWED", limits.TrainConfig(3, 1e-2))
    monkeypatch.setattr(limits, "MARKS", (1,))
    run = limits.Run("skew", "swapped", 60)
    monkeypatch.setattr(limits, "grid", lambda: [run])
    limits.main()
    (row,) = limits.record_rows(tmp_path / "copies" / "limits.json")
    assert [point["step"] for point in row["curve"]] == [1, 3]
    assert 0.3 < row["shares"]["1.0"]["regular"] < 0.7
    assert -2 < row["weat"] < 2


def test_the_last_sentence_is_asked_for_its_mood():
    stories = [make_story(n, SHORT) for n in range(3)]
    logits = limits.mood_logits(limits.Run("moods", "gpt", 0), stories)
    assert logits.shape == (3, 4)
    labels = [list(limits.MOODS).index(story.mood) for story in stories]
    assert (logits.argmax(1) == labels).sum() >= 2


def test_an_opening_is_what_introduces():
    tokens = make_story(2, SHORT).tokens
    begun = limits.opening(tokens, SHORT)
    assert begun.count(".") == 4 and begun[-1] == "."
    kinds = [claim.kind for claim in hallucination.claims(begun)]
    assert kinds == ["person", "person", "thing", "thing"]
