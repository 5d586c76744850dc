"""Stories that differ from those of the training in one thing at a time.

Used by chapter 24. The training knows one person, one thing, two or three
events. Left out: the models.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from nextword.batches import TokenBatch
from nextword.generation import evaluating
from nextword.stories import FIRST, story_batch
from nextword.town import Story, TownConfig, make_story
from nextword.town_score import next_token, score
from nextword.town_words import PEOPLE, THINGS
from nextword.words import END, town_tokenizer

TRAINED = TownConfig(people=1, things=1, min_events=2, max_events=3)
LONG = TownConfig(people=1, things=1, min_events=2, max_events=8)
TWO_THINGS = TownConfig(people=1, things=2, min_events=2, max_events=3)
NEW_NAMES = ("Iris", "Jack")
FACTORS = ("as trained", "new pair", "new name", "more events", "two things")


def is_new_pair(person: str, thing: str) -> bool:
    """One of eight pairs of a person and a thing is in no training story."""
    number = list(PEOPLE).index(person) * 5 + list(THINGS).index(thing)
    return number % 8 == 0


def is_known(story: Story) -> bool:
    """Whether names and pairs of a story may stand in the training."""
    (person, *_), things = story.scene.people, story.scene.things
    return person not in NEW_NAMES and not any(
        is_new_pair(person, thing) for thing in things
    )


def belongs(story: Story, factor: str) -> bool:
    """Whether a story of the factor's config differs in this factor alone."""
    (person, *_), thing = story.scene.people, story.scene.things[0]
    if factor == "new pair":
        return person not in NEW_NAMES and is_new_pair(person, thing)
    if factor == "new name":
        return person in NEW_NAMES and not is_new_pair(person, thing)
    return is_known(story) and (
        factor != "more events" or len(story.events) > TRAINED.max_events + 1
    )


def config_of(factor: str) -> TownConfig:
    """The town of a factor. Raises ValueError for a name not in FACTORS."""
    if factor not in FACTORS:
        raise ValueError(f"{factor!r} is no factor. Choose one of {FACTORS}.")
    return {"more events": LONG, "two things": TWO_THINGS}.get(factor, TRAINED)


def unseen_stories(factor: str, number: int, seed: int = 0) -> list[list[str]]:
    """The first stories of a factor; their numbers are in no training."""
    config, found, n = config_of(factor), [], seed * 20_000
    while len(found) < number:
        story = make_story(n, config)
        if belongs(story, factor):
            found.append(story.tokens)
        n += 1
    return found


@dataclass(frozen=True)
class KnownBatches:
    """Batch number ``step`` of training stories. ValueError for a size < 1."""

    batch_size: int
    seed: int = 0

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError("Choose a batch_size of 1 or more.")

    def stories(self, step: int) -> list[list[str]]:
        """The tokens of the stories of one batch."""
        n, found = FIRST + (self.seed * 10**6 + step) * 10**3, []
        while len(found) < self.batch_size:
            story = make_story(n, TRAINED)
            if is_known(story):
                found.append(story.tokens)
            n += 1
        return found

    def __call__(self, step: int) -> TokenBatch:
        return story_batch(self.stories(step))


# The probability of a token after a context: of any model of language.
Predict = Callable[[str, Sequence[str]], float]


def gpt_predict(model: nn.Module, story: Sequence[str]) -> Predict:
    """What a town GPT says at each place of one story, END included."""
    ids = town_tokenizer().ids
    with evaluating(model) as device:
        row = torch.tensor([[ids[t] for t in (END, *story)]], device=device)
        p = model(row)[0].double().softmax(-1)  # (T, V)
    return lambda token, context: float(p[len(context), ids[token]])


class Gap(NamedTuple):
    """How far a model is from the town, on some stories."""

    excess: float  # nats a token above the exact floor
    impossible: float  # the mean probability of words that cannot come


def gap(
    predict: Callable[[Sequence[str]], Predict],
    stories: Sequence[Sequence[str]],
    config: TownConfig,
) -> Gap:
    """Excess and impossible mass; ``predict(story)`` gives a `Predict`."""
    nats = impossible = places = 0.0
    for story in stories:
        p = predict(story)
        nats += sum(score(story, config))  # the floor, with its sign
        for n in range(len(story) + 1):
            before = story[:n]
            possible = next_token(before, config) or {END: 1.0}
            token = story[n] if n < len(story) else END
            nats -= math.log(p(token, before))
            impossible += 1 - sum(p(word, before) for word in possible)
        places += len(story) + 1
    return Gap(nats / places, impossible / places)
