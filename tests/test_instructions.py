"""Wishes that stories fulfil, and a loss that asks for the answer alone."""

import random

import pytest
import torch

from nextword.instructions import (
    NEW_WORDS,
    WISHES,
    InstructionBatches,
    answer_batch,
    draw_wish,
    facts,
    instruction,
    obeys,
)
from nextword.losses import IGNORE
from nextword.stories import SHORT
from nextword.town import make_story
from nextword.town_words import MOODS
from nextword.words import CLS, END, town_tokenizer

TEXT = "Anna was at the pond . Ben took the map . At last Ben smiled ."
TALE = TEXT.split()


def test_the_facts_of_a_tale_by_hand():
    assert facts(TALE) == {
        "person": ["Anna", "Ben"],
        "thing": ["map"],
        "place": ["pond"],
        "mood": ["happy"],
    }
    assert obeys(TALE, {"person": "Ben", "mood": "happy"})
    assert not obeys(TALE, {"person": "Ben", "mood": "sad"})
    assert not obeys(TALE, {"thing": "cup"})
    assert obeys(TALE, {})


@pytest.mark.parametrize("text", ["", ".", "Ben smiled", "was happy . Ben"])
def test_no_mood_at_the_end(text):
    assert facts(text.split())["mood"] == []


@pytest.mark.parametrize("mood", MOODS)
def test_a_mood_however_it_is_said(mood):
    for english, _ in MOODS[mood]:
        tokens = f"At last Ben {english} .".split()
        assert facts(tokens)["mood"] == [mood]


def test_the_mood_of_a_story_is_its_label():
    for n in range(60):
        story = make_story(n, SHORT)
        assert facts(story.tokens)["mood"] == [story.mood]


def test_a_story_fulfils_its_own_wish():
    sizes = set()
    for n in range(100):
        tokens = make_story(n, SHORT).tokens
        wish = draw_wish(tokens, random.Random(n))
        sizes.add(len(wish))
        assert obeys(tokens, wish)
        assert list(wish) == [kind for kind in WISHES if kind in wish]
    assert sizes == {1, 2, 3}


def test_an_instruction_by_hand():
    wish = {"person": "Anna", "mood": "happy"}
    words = [CLS, "Who", "?", "Anna", "last", "?", "happy", END]
    assert instruction(wish) == words


def test_stories_hold_no_new_word():
    words = {w for n in range(300) for w in make_story(n, SHORT).tokens}
    assert not words & set(NEW_WORDS)
    assert set(NEW_WORDS) <= set(town_tokenizer().words)


def test_an_answer_batch_by_hand():
    rows = [([5, 6, 7], [8, 9]), ([5], [6])]
    ids, targets = answer_batch(rows)
    assert ids.tolist() == [[5, 6, 7, 8], [5, 0, 0, 0]]
    no = IGNORE
    assert targets.tolist() == [[no, no, 8, 9], [6, no, no, no]]
    ids, targets = answer_batch(rows, everything=True)
    assert ids.tolist() == [[5, 6, 7, 8], [5, 0, 0, 0]]
    assert targets.tolist() == [[6, 7, 8, 9], [6, no, no, no]]


@pytest.mark.parametrize("row", [([], [1]), ([1], [])])
def test_an_empty_prompt_or_answer_is_refused(row):
    with pytest.raises(ValueError, match="A prompt or an answer is empty"):
        answer_batch([row])


def test_training_rows_ask_for_the_story_and_its_end():
    batches = InstructionBatches(4, 100)
    words = town_tokenizer().words
    ids, targets = batches(2)
    for row, (prompt, answer) in enumerate(map(batches.row, range(8, 12))):
        asked = targets[row][targets[row] != IGNORE].tolist()
        assert asked == answer and words[answer[-1]] == END
        text = [*prompt, *answer]
        assert ids[row, : len(text) - 1].tolist() == text[:-1]
        assert words[prompt[0]] == CLS and words[prompt[-1]] == END
    whole = InstructionBatches(4, 100, everything=True)(2)
    assert torch.equal(whole.ids, ids)
    assert (whole.targets != IGNORE).sum() > (targets != IGNORE).sum()
