"""Questions about stories of the town whose answers stand in the text.

Used by chapter 19. Each question knows where its answer stands and how many
sentences one must read for it. Some have no answer. Left out: ids and models.
"""

import random
from dataclasses import dataclass, field
from typing import NamedTuple

from nextword.stories import FIRST, SHORT
from nextword.town import Event, Story, make_story
from nextword.town_words import PEOPLE, PLACES, THINGS

PER_SEED = 10_000  # stories that the training set of one seed may use


class Span(NamedTuple):
    """Words ``first`` to ``last`` of a text, both included."""

    first: int
    last: int

    def of(self, words: list[str]) -> str:
        """The text of the span."""
        return " ".join(words[self.first : self.last + 1])


class Fact(NamedTuple):
    """What is true at the moment, and how the story told it."""

    value: str  # a person, a place or a thing
    span: Span  # where the text names it
    sentences: frozenset[int]  # that one must read to know it


@dataclass
class Facts:
    """All that a reader of a story knows; each name has one fact of a kind."""

    at: dict[str, Fact] = field(default_factory=dict)  # person or thing
    holder: dict[str, Fact] = field(default_factory=dict)  # thing
    wants: dict[str, Fact] = field(default_factory=dict)  # person
    givers: dict[tuple[str, str], list[Fact]] = field(default_factory=dict)


class TownQuestion(NamedTuple):
    """A story, a question, and the span of the answer; None if there is none.

    ``facts``: the number of sentences that one must read for the answer.
    ``absent``: the question names someone or something that the story lacks.
    """

    kind: str  # "where", "who", "want" or "gave"
    story: list[str]
    question: list[str]
    span: Span | None
    facts: int
    absent: bool = False

    @property
    def answer(self) -> str:
        """The text of the answer; empty if there is none."""
        return self.span.of(self.story) if self.span else ""


def named_at(tokens: list[str], word: str, begin: int) -> Span:
    """The first place of a word from ``begin`` on, with "the" before it."""
    place = tokens.index(word, begin)
    return Span(place - (tokens[place - 1] == "the"), place)


def read_facts(story: Story) -> Facts:
    """Follow a story to its end; "she" and "he" are the one who acted last."""
    tokens, facts = story.tokens, Facts()
    begins = [0] + [n + 1 for n, token in enumerate(tokens) if token == "."]
    for n, (name, place) in enumerate(story.start):
        span = named_at(tokens, place, begins[n])
        facts.at[name] = Fact(place, span, frozenset([n]))
    actor = None
    for n, event in enumerate(story.events, len(story.start)):
        if event.named:
            span = named_at(tokens, event.who, begins[n])
            actor = Fact(event.who, span, frozenset([n]))
        told = actor.sentences | {n}  # who it was, and what happened
        read_event(facts, event, actor, told, tokens, begins[n])
    return facts


def read_event(
    facts: Facts,
    event: Event,
    actor: Fact,
    told: frozenset[int],
    tokens: list[str],
    begin: int,
) -> None:
    """Change the facts by one sentence, which starts at ``begin``."""
    who, thing, other = event.who, event.thing, event.other
    if event.place:
        span = named_at(tokens, event.place, begin)
        facts.at[who] = Fact(event.place, span, told)
        for held, owner in facts.holder.items():
            if owner.value == who:  # it comes along
                both = told | owner.sentences
                facts.at[held] = Fact(event.place, span, both)
    elif event.action in ("took", "picked up"):
        facts.holder[thing] = Fact(who, actor.span, told)
    elif event.action == "put down":
        del facts.holder[thing]
    elif event.action == "gave":
        span, n = named_at(tokens, other, begin), max(told)
        facts.holder[thing] = Fact(other, span, frozenset([n]))
        giver = Fact(who, actor.span, told)
        facts.givers.setdefault((thing, other), []).append(giver)
    elif event.action == "wanted":
        span = named_at(tokens, thing, begin)
        facts.wants[who] = Fact(thing, span, told)


def everything(story: Story) -> list[tuple[str, str, Fact | None, bool]]:
    """Every question about a story, with its fact, or None without answer.

    Names that the story lacks are asked for once of each kind. Who gave what
    to whom is asked unless it happened twice.
    """
    facts = read_facts(story)
    people, things = story.scene.people, story.scene.things
    rng = random.Random(" ".join(story.tokens))
    missing_person = rng.choice([p for p in PEOPLE if p not in people])
    missing_thing = rng.choice([t for t in THINGS if t not in things])
    asked = []
    for name in (*people, *things, missing_person, missing_thing):
        the, absent = "the " if name in THINGS else "", name not in facts.at
        fact = facts.at.get(name)
        asked.append(("where", f"Where is {the}{name} ?", fact, absent))
    for thing in (*things, missing_thing):
        fact, absent = facts.holder.get(thing), thing == missing_thing
        asked.append(("who", f"Who has the {thing} ?", fact, absent))
    for person in (*people, missing_person):
        fact, absent = facts.wants.get(person), person == missing_person
        asked.append(("want", f"What did {person} want ?", fact, absent))
    for thing in things:
        for person in people:
            givers = facts.givers.get((thing, person), [None])
            text = f"Who gave the {thing} to {person} ?"
            if len(givers) == 1:
                asked.append(("gave", text, givers[0], False))
    return asked


def ask(number: int, unanswerable: float = 0.0) -> TownQuestion:
    """One question about story ``number``; always the same.

    ``unanswerable``: the share of questions without an answer. First it is
    drawn how many sentences the answer needs, then the kind, then the question:
    so answers that need several are not rare.
    """
    story, rng = make_story(number, SHORT), random.Random(f"ask {number}")
    none = rng.random() < unanswerable
    asked = [q for q in everything(story) if (q[2] is None) == none]
    if not none:
        need = rng.choice(sorted({len(q[2].sentences) for q in asked}))
        asked = [q for q in asked if len(q[2].sentences) == need]
    kind = rng.choice(sorted({q[0] for q in asked}))
    kind, text, fact, absent = rng.choice([q for q in asked if q[0] == kind])
    span, facts = (None, 0) if none else (fact.span, need)
    return TownQuestion(kind, story.tokens, text.split(), span, facts, absent)


def training_questions(
    number: int, seed: int, unanswerable: float = 0.0
) -> list[TownQuestion]:
    """Questions to learn from; no pretraining and no other seed has them.

    Raises ValueError for more than PER_SEED.
    """
    if not 1 <= number <= PER_SEED:
        raise ValueError(f"{number} questions: choose 1 to {PER_SEED:,}.")
    first = FIRST // 2 + seed * PER_SEED
    return [ask(n, unanswerable) for n in range(first, first + number)]


def held_out_questions(
    number: int, unanswerable: float = 0.0
) -> list[TownQuestion]:
    """Questions about stories 0 to number - 1; nothing is trained on them."""
    return [ask(n, unanswerable) for n in range(number)]


def with_stranger(question: TownQuestion, number: int) -> TownQuestion:
    """At the end of the story, a stranger goes somewhere: no answer changes.

    Jia and Liang, 2017. ``number`` chooses among names that are not there.
    """
    story, names = question.story, (PEOPLE, PLACES)
    free = [[name for name in all if name not in story] for all in names]
    person, place = (others[number % 10] for others in free)
    extra = [person, "went", "to", "the", place, "."]
    return question._replace(story=[*story, *extra])
