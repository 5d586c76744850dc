"""The tasks of the town: exact labels, clean splits, nothing leaks."""

import itertools
import re
from collections import Counter

import pytest

from nextword.stories import FIRST, SHORT
from nextword.telling import Reader
from nextword.town import make_story, tell
from nextword.town_tasks import (
    PER_SEED,
    TASKS,
    Example,
    find_task,
    held_out_examples,
    training_examples,
)
from nextword.town_words import PEOPLE, PLACES, THINGS
from nextword.words import town_tokenizer

WORDS = town_tokenizer()
EVERY = pytest.mark.parametrize("name", TASKS)


def scene_of(tokens):
    """The end of a story, followed from its text alone."""
    return tell(Reader(tokens), "home", SHORT).scene


def answer_from_the_text(name, example):
    """What a reader of the text says who keeps track of everything."""
    if name == "she":
        return PEOPLE[example.first[0]].pronoun
    if name == "walk":
        return "yes" if example.first.count("walked") else "no"
    thing = example.second[-2]
    return scene_of(example.first).at[thing]


@EVERY
def test_the_ceiling_is_one(name):
    """Who reads the text and knows the rules is always right."""
    task = find_task(name)
    for example in held_out_examples(name, 150):
        right = task.labels[example.label]
        assert answer_from_the_text(name, example) == right


@EVERY
def test_an_example_is_always_the_same(name):
    assert held_out_examples(name, 5) == held_out_examples(name, 9)[:5]
    some = training_examples(name, 12, seed=3)
    assert training_examples(name, 5, seed=3) == some[:5]
    assert all(type(example) is Example for example in some)


@EVERY
def test_no_story_is_in_two_sets(name):
    sets = [held_out_examples(name, 60)]
    sets += [training_examples(name, 60, seed) for seed in range(5)]
    texts = [{" ".join(example.first) for example in part} for part in sets]
    for a, b in itertools.combinations(texts, 2):
        assert not a & b


def test_the_stories_are_those_that_no_pretraining_reads():
    example = training_examples("she", 3, seed=2)[2]
    number = FIRST // 2 + 2 * PER_SEED + 2
    assert example.first == make_story(number, SHORT).tokens
    assert number < FIRST
    last = FIRST // 2 // PER_SEED - 1
    (example,) = training_examples("she", 1, seed=last)
    assert example.first == make_story(FIRST - PER_SEED, SHORT).tokens


@EVERY
def test_the_labels_are_about_equally_frequent(name):
    number, classes = 2_000, len(find_task(name).labels)
    counts = Counter(e.label for e in held_out_examples(name, number))
    assert sorted(counts) == list(range(classes))
    for n in counts.values():
        assert n == pytest.approx(number / classes, rel=0.25)


@pytest.mark.parametrize("name", ["she", "walk"])
def test_the_label_does_not_follow_from_the_theme(name):
    """What is asked is drawn apart from the story: see the seed of `ask`."""
    by_theme = {}
    for n in range(1_500):
        theme = make_story(n, SHORT).theme
        by_theme.setdefault(theme, []).append(find_task(name).example(n).label)
    for labels in by_theme.values():
        assert 0.4 < sum(labels) / len(labels) < 0.6


def test_the_thing_that_is_asked_for_is_drawn_evenly():
    first = 0
    for n in range(1_000):
        example = find_task("where").example(n)
        first += make_story(n, SHORT).scene.things[0] == example.second[-2]
    assert 450 < first < 550


def test_the_question_of_where():
    for example in training_examples("where", 30):
        assert re.fullmatch(r"Where is the (\w+) \?", " ".join(example.second))
        assert example.second[-2] in THINGS
        assert example.second[-2] in example.first
        assert tuple(PLACES)[example.label] in example.first


def test_the_text_holds_no_answer_sentence():
    """No recaps: nothing says "Now the cup is at the pond"."""
    for name in TASKS:
        for example in held_out_examples(name, 50):
            assert "Now" not in example.first


def test_a_row_by_hand():
    example = Example(["Anna", "yawned"], ["Where", "?"], 3)
    ids, segments, label = example.row()
    words = WORDS.decode(ids).split()
    assert words == ["[CLS]", "Anna", "yawned", "[SEP]", "Where", "?", "[SEP]"]
    assert segments == [0, 0, 0, 0, 1, 1, 1]
    assert label == 3


def test_a_row_without_a_question():
    ids, segments, label = Example(["Anna", "yawned"], [], 0).row()
    assert WORDS.decode(ids) == "[CLS] Anna yawned [SEP]"
    assert segments == [0] * 4 and label == 0


def test_rows_fit_into_the_shipped_encoder():
    for name in TASKS:
        rows = [e.row() for e in held_out_examples(name, 300)]
        assert max(len(ids) for ids, _, _ in rows) < 90


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"'why'. Choose one of she, walk, wh"):
        find_task("why")


@pytest.mark.parametrize(
    ("number", "seed"), [(-1, 0), (PER_SEED + 1, 0), (1, -1), (1, 50)]
)
def test_examples_that_cannot_be_made_are_refused(number, seed):
    message = f"{number} examples of seed {seed} cannot be made. .* 0 to 49"
    with pytest.raises(ValueError, match=message):
        training_examples("she", number, seed)
