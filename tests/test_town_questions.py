"""Questions with spans, against the town's own answers and by hand."""

import pytest

from nextword.stories import SHORT
from nextword.town import Event, Scene, Story, make_story, questions
from nextword.town_questions import (
    PER_SEED,
    Facts,
    Span,
    ask,
    everything,
    held_out_questions,
    named_at,
    read_event,
    read_facts,
    training_questions,
    with_stranger,
)
from nextword.town_words import PEOPLE, PLACES, THINGS

TEXT = """Anna was at the garden . Ben was at the garden . There was a cup at
the garden . Anna took the cup . She gave the cup to Ben . He ran to the pond .
Ben wanted the cup . At last Ben was happy ."""
EVENTS = [
    Event("took", "Anna", True, thing="cup"),
    Event("gave", "Anna", False, "cup", other="Ben"),
    Event("ran", "Ben", False, place="pond"),
    Event("wanted", "Ben", True, thing="cup"),
]


@pytest.fixture
def story():
    start = [(name, "garden") for name in ("Anna", "Ben", "cup")]
    scene = Scene(people=["Anna", "Ben"], things=["cup"])
    tokens = TEXT.split()
    return Story(tokens, [], "", scene, start, EVENTS, ("Ben", "happy", 0))


def test_the_span_and_the_sentences_of_each_fact_by_hand():
    """Sentences are counted from 0; "He" is told by the sentence before."""
    tokens = TEXT.split()
    events = [*EVENTS[:2], EVENTS[2]._replace(named=False)]
    start = [(name, "garden") for name in ("Anna", "Ben", "cup")]
    scene = Scene(people=["Anna", "Ben"], things=["cup"])
    anna_acts = Story(tokens, [], "", scene, start, events[:2], ("", "", 0))
    facts = read_facts(anna_acts)
    assert facts.at["Anna"].sentences == {0}
    assert facts.holder["cup"].value == "Ben"
    assert facts.holder["cup"].sentences == {4}
    giver = facts.givers["cup", "Ben"][0]
    assert giver.value == "Anna" and giver.sentences == {3, 4}
    assert giver.span.of(tokens) == "Anna"
    assert giver.span == named_at(tokens, "Anna", 5)


def test_a_thing_comes_along_with_its_owner(story):
    story.events[2:3] = [Event("ran", "Ben", True, place="pond")]
    story.tokens[story.tokens.index("He")] = "Ben"
    facts = read_facts(story)
    assert facts.at["cup"].value == facts.at["Ben"].value == "pond"
    assert facts.at["cup"].sentences == {4, 5}  # he was given it, he ran
    assert facts.at["Ben"].sentences == {5}
    assert facts.at["Anna"].value == "garden"
    assert facts.wants["Ben"].span.of(story.tokens) == "the cup"


def test_what_is_put_down_has_no_holder_and_stays():
    facts = Facts()
    text = "Anna took the cup . Anna put down the cup ."
    tokens = text.split()
    anna = read_facts(
        Story(tokens, [], "", Scene(), [], [EVENTS[0]], ("", "", 0))
    ).holder["cup"]
    facts.holder["cup"] = anna
    down = Event("put down", "Anna", True, thing="cup")
    read_event(facts, down, anna, frozenset([1]), tokens, 5)
    assert facts.holder == {} and facts.at == {}


def test_every_answer_is_that_of_the_town():
    """300 stories: the town keeps track of its scene in a way of its own."""
    for number in range(300):
        story = make_story(number, SHORT)
        facts = read_facts(story)
        for q in questions(story):
            words = q.text.split()
            name = words[2] if q.kind == "want" else words[-2]
            known = {"where": facts.at, "who": facts.holder}
            fact = known.get(q.kind, facts.wants).get(name)
            if fact is None:
                assert q.answer in ("nobody", "nothing")
            else:
                assert fact.value == q.answer
                assert fact.span.of(story.tokens).split()[-1] == q.answer


def test_the_sentence_of_the_answer_is_one_of_those_that_are_needed():
    for number in range(100):
        story = make_story(number, SHORT)
        for _, _, fact, _ in everything(story):
            if fact:
                before = story.tokens[: fact.span.first].count(".")
                assert before in fact.sentences


def test_questions_are_about_the_story_or_say_that_they_are_not():
    for number in range(100):
        story = make_story(number, SHORT)
        texts = set()
        for kind, text, fact, absent in everything(story):
            names = [w for w in text.split() if w in PEOPLE | THINGS]
            assert absent == any(n not in story.tokens for n in names)
            assert not (absent and fact)
            assert kind in ("where", "who", "want", "gave")
            texts.add(text)
        assert len(texts) == len(everything(story))


def test_asking_gives_the_same_question_each_time():
    assert ask(7) == ask(7)
    found = held_out_questions(400)
    assert all(q.answer and not q.absent for q in found)
    assert {q.kind for q in found} == {"where", "who", "want", "gave"}
    needs = [min(q.facts, 3) for q in found]
    assert all(needs.count(n) >= 10 for n in (1, 2, 3))


def test_half_can_be_without_an_answer():
    found = held_out_questions(400, 0.5)
    none = [q for q in found if q.span is None]
    assert 150 < len(none) < 250
    assert all(q.answer == "" and q.facts == 0 for q in none)
    assert 0 < sum(q.absent for q in none) < len(none)


def test_seeds_share_no_story():
    first, second = (training_questions(50, seed) for seed in (0, 1))
    stories = {tuple(q.story) for q in first}
    assert not stories & {tuple(q.story) for q in second}
    assert training_questions(10, 0) == first[:10]


@pytest.mark.parametrize("number", [0, PER_SEED + 1])
def test_too_many_questions_are_refused(number):
    with pytest.raises(ValueError, match="choose 1 to"):
        training_questions(number, 0)


def test_a_span_has_both_ends():
    text = "at the pond . a pond"
    assert Span(1, 2).of(["at", "the", "pond"]) == "the pond"
    assert named_at(text.split(), "pond", 3) == (5, 5)


def test_a_stranger_changes_no_answer():
    chosen = set()
    for number, q in enumerate(held_out_questions(60)):
        other = with_stranger(q, number)
        assert other.story[: len(q.story)] == q.story
        assert other.answer == q.answer
        assert other[2:] == q[2:]
        who, *between, where, stop = other.story[len(q.story) :]
        assert between == ["went", "to", "the"] and stop == "."
        assert who in PEOPLE and where in PLACES
        assert not {who, where} & set(q.story)
        chosen.add((who, where))
    assert len(chosen) > 20
