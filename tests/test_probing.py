"""Labels for probes: exact, and a control task that nobody needs."""

import random

import pytest
import torch

from nextword.pretrained import load_pretrained
from nextword.probing import (
    FACTS,
    control_place,
    follow,
    last_place,
    moments,
    numbered,
    one_moment,
    opening,
    vectors_at,
    word_counts,
)
from nextword.stories import SHORT, story_batch
from nextword.town import make_story
from nextword.town_score import next_token
from nextword.town_words import PEOPLE, PLACES, THINGS

STORIES = [make_story(n, SHORT) for n in range(60)]


def test_the_facts_end_where_the_simulator_ends():
    for story in STORIES:
        scene = opening(story)
        for event in story.events:
            follow(scene, event)
        assert scene.at == story.scene.at
        assert scene.holder == story.scene.holder
        assert scene.wants == story.scene.wants


def test_a_moment_ends_with_the_word_that_names_who_acts():
    for story in STORIES:
        found = moments(story)
        assert len(found) == len(story.events)
        for moment, event in zip(found, story.events, strict=True):
            assert moment.text == story.tokens[: len(moment.text)]
            assert moment.who == event.who
            named = PEOPLE[event.who].pronoun.capitalize()
            expected = event.who if event.named else named
            assert moment.text[-1] == expected


def test_what_is_free_is_what_the_town_lets_them_take():
    """An independent judge: the exact probability of the next word."""
    for story in STORIES[:25]:
        for moment in moments(story):
            after = [*moment.text, "took"]
            can = "took" in next_token(moment.text, SHORT)
            assert can == bool(moment.free)
            if can:
                things = set(next_token([*after, "the"], SHORT))
                assert things == set(moment.free)


def test_the_place_is_none_where_one_can_go():
    for story in STORIES[:25]:
        for moment in moments(story):
            goes = next_token([*moment.text, "went", "to", "the"], SHORT)
            assert set(PLACES) - set(goes) == {moment.place}


def test_one_moment_is_drawn_and_stays():
    story = STORIES[0]
    drawn = [one_moment(story, seed) for seed in range(60)]
    assert drawn[3] == one_moment(story, 3)
    lengths = {len(moment.text) for moment in drawn}
    assert lengths == {len(moment.text) for moment in moments(story)}


def test_the_last_place():
    assert (
        last_place(["Ben", "was", "at", "the", "pond", ".", "Ben", "took"])
        == "pond"
    )
    assert last_place(["a", "pond", "b", "hall", "c"]) == "hall"
    with pytest.raises(ValueError, match="Pass a story"):
        last_place(["Ben", "took"])


def test_the_control_depends_on_two_words_alone():
    one = ["Anna", "was", "at", "the", "pond", ".", "Ben"]
    two = [
        "Clara",
        "took",
        "the",
        "cup",
        ".",
        "She",
        "ran",
        "to",
        "the",
        "pond",
        ".",
        "Ben",
    ]
    assert control_place(one, 0) == control_place(two, 0)
    labels = {
        control_place(["the", place, who], 0)
        for place in PLACES
        for who in PEOPLE
    }
    assert labels == set(PLACES)
    moved = [
        control_place(["the", place, "Ben"], 0)
        != control_place(["the", place, "Ben"], 1)
        for place in PLACES
    ]
    assert sum(moved) > 8


def test_the_control_does_not_draw_from_the_global_generator():
    random.seed(0)
    expected = random.random()
    random.seed(0)
    control_place(["pond", "Ben"], 0)
    one_moment(STORIES[0], 1)
    assert random.random() == expected
    assert not set(THINGS) & set(PLACES)


def test_facts_are_words_and_numbers_follow_the_alphabet():
    found = [moment for story in STORIES for moment in moments(story)]
    for name, fact in FACTS.items():
        labels = [fact(moment) for moment in found]
        order = sorted(set(labels))
        assert len(order) > 1, name
        assert [order[n] for n in numbered(labels)] == labels
    assert {FACTS["free"](m) for m in found if not m.free} == {"no"}


def test_vectors_are_those_of_each_text_alone():
    """Texts of different lengths in one batch: padding changes nothing."""
    model = load_pretrained("town-gpt").model
    texts = [one_moment(story, 0).text for story in STORIES[:4]]
    together = vectors_at(model, texts)
    assert list(together) == [0, 1, 2, 3, 4]
    for row, text in enumerate(texts):
        logits = model(story_batch([text]).ids)[0, -1]
        last = model.lm_head(model.decoder.norm(together[4][row]))
        torch.testing.assert_close(last, logits, rtol=1e-4, atol=1e-4)


def test_counts_of_words_forget_the_order():
    counts = word_counts([["Ben", "took", "Ben"], ["took", "Ben", "Ben"]])
    assert torch.equal(counts[0], counts[1])
    assert counts.sum().item() == 6 and counts.max().item() == 2
