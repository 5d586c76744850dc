"""Who acts in a story, and where: exact labels for probes, and a control task.

Home: chapter 22, notebooks/22_interpretability.ipynb. The simulator of the town
knows every fact, so no label is guessed. Left out: the probe itself, which is
chapter 15's.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nextword.batches import pad
from nextword.patching import recording, streams_of
from nextword.town import Event, Scene, Story
from nextword.town_words import PLACES
from nextword.transformer import GPT
from nextword.words import END, town_tokenizer


class Moment(NamedTuple):
    """Somebody is about to act: the text so far, and what is true just then."""

    text: list[str]  # up to the word that names who acts, and with it
    who: str
    place: str  # where this person is
    free: tuple[str, ...]  # the things that lie there and nobody has
    theme: str  # of the story; no word says it


def follow(scene: Scene, event: Event) -> None:
    """Change the scene by one event, as the town does."""
    if event.place:
        for mover in (event.who, *scene.held_by(event.who)):
            scene.at[mover] = event.place
    elif event.action in ("took", "picked up"):
        scene.holder[event.thing] = event.who
    elif event.action == "put down":
        del scene.holder[event.thing]
    elif event.action == "gave":
        scene.holder[event.thing] = event.other
    elif event.action == "wanted":
        scene.wants[event.who] = event.thing


def opening(story: Story) -> Scene:
    """How things stand before the first event."""
    end = story.scene
    return Scene(dict(story.start), {}, {}, end.people, end.things)


def moments(story: Story) -> list[Moment]:
    """Each event of a story, as it stands before the event happens."""
    ends = [n for n, token in enumerate(story.tokens) if token == "."]
    scene, found = opening(story), []
    for n, event in enumerate(story.events, len(story.start)):
        text = story.tokens[: ends[n - 1] + 2]
        place = scene.at[event.who]
        free = tuple(scene.free_at(place))
        found.append(Moment(text, event.who, place, free, story.theme))
        follow(scene, event)
    return found


def one_moment(story: Story, seed: int) -> Moment:
    """One of the events of a story, each with the same probability."""
    return random.Random(seed).choice(moments(story))


def last_place(text: Sequence[str]) -> str:
    """The place that was named last; ValueError if there is none."""
    for word in reversed(text):
        if word in PLACES:
            return word
    raise ValueError("The text names no place. Pass a story of the town.")


def control_place(text: Sequence[str], seed: int) -> str:
    """A random place that belongs to the last word and the place named last.

    A control task (Hewitt and Liang, 2019): it is as easy to look up as the
    true place, and nobody in the town needs it. The same two words always give
    the same place.
    """
    rng = random.Random(f"control {seed} {text[-1]} {last_place(text)}")
    return rng.choice(list(PLACES))


# What a probe may ask of a moment. Every answer is exact.
FACTS: dict[str, Callable[[Moment], str]] = {
    "free": lambda moment: "yes" if moment.free else "no",
    "theme": lambda moment: moment.theme,
    "who": lambda moment: moment.who,
    "place": lambda moment: moment.place,
    "last place": lambda moment: last_place(moment.text),
    "control": lambda moment: control_place(moment.text, 0),
}


def numbered(labels: Sequence[str]) -> Tensor:
    """Labels as numbers, in the order of the alphabet."""
    order = sorted(set(labels))
    return torch.tensor([order.index(label) for label in labels])


def vectors_at(model: GPT, texts: Sequence[Sequence[str]]) -> dict[int, Tensor]:
    """The streams (N, C) of a GPT at the last word of each text, by number."""
    ids = town_tokenizer().ids
    rows = [[ids[word] for word in (END, *text)] for text in texts]
    last = torch.tensor([len(row) - 1 for row in rows])
    with torch.no_grad(), recording(streams_of(model)) as streams:
        model(pad(rows, ids[END]))
    return {n: x[torch.arange(len(rows)), last] for n, x in streams.items()}


def word_counts(texts: Sequence[Sequence[str]]) -> Tensor:
    """Texts as bags of words: counts (N, V), without any order."""
    tokenizer = town_tokenizer()
    rows = [torch.tensor([tokenizer.ids[w] for w in text]) for text in texts]
    V = tokenizer.vocab_size
    return torch.stack([row.bincount(minlength=V) for row in rows]).float()
