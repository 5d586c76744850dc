"""The exact probability of a story of the town, and whether it is one at all.

The theme of a story is hidden. So a probability is a mean over the themes, each
weighted by how well it explains the words so far. Left out: how the stories are made.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from nextword.telling import Frontier, IllegalStory, Reader
from nextword.town import TownConfig, tell
from nextword.town_words import THEMES

DEFAULT = TownConfig()


class Reading(NamedTuple):
    """What one theme says about a text, or the beginning of one."""

    log_p: list[float]  # of each token, as far as the text is legal
    next: dict[str, float]  # the tokens that may follow; none after the end
    wrong: int | None  # the place of the first wrong token


def read(text: Sequence[str], theme: str, config: TownConfig) -> Reading:
    """Follow a text under one theme as far as it goes."""
    reader = Reader(text)
    try:
        tell(reader, theme, config)
    except IllegalStory as error:
        return Reading(reader.log_p, {}, error.place)
    except Frontier as frontier:
        return Reading(reader.log_p, frontier.next, None)
    done = len(reader.tokens)
    return Reading(reader.log_p, {}, None if done == len(text) else done)


def readings(
    text: Sequence[str], config: TownConfig = DEFAULT
) -> list[Reading]:
    """Follow a text under every theme."""
    return [read(text, theme, config) for theme in THEMES]


def first_wrong(
    text: Sequence[str], config: TownConfig = DEFAULT
) -> int | None:
    """The place of the first token that the town could not have said.

    None if there is none. A story that stops too early is wrong at its length.
    """
    every = readings(text, config)
    if all(reading.wrong is not None for reading in every):
        return max(reading.wrong for reading in every)
    return len(text) if any(reading.next for reading in every) else None


def is_legal(text: Sequence[str], config: TownConfig = DEFAULT) -> bool:
    """Whether the town could have told this story, from beginning to end."""
    return first_wrong(text, config) is None


def log_sum_exp(values: Sequence[float]) -> float:
    """The logarithm of the sum of e^value, without overflow."""
    largest = max(values)
    return largest + math.log(sum(math.exp(v - largest) for v in values))


def score(text: Sequence[str], config: TownConfig = DEFAULT) -> list[float]:
    """The ln P of each token after those before it, with the theme unknown.

    Their sum is ln P of the story. Raises ValueError for a story that the town
    cannot tell.
    """
    place = first_wrong(text, config)
    if place is not None:
        raise ValueError(
            f"The town cannot tell this: token {place} is wrong, after "
            f"{' '.join(text[max(0, place - 8) : place])!r}."
        )
    columns = zip(*(r.log_p for r in readings(text, config)), strict=True)
    totals = [-math.log(len(THEMES))] * len(THEMES)  # ln P(theme, text so far)
    scores, before = [], 0.0
    for column in columns:
        totals = [t + p for t, p in zip(totals, column, strict=True)]
        now = log_sum_exp(totals)
        scores.append(now - before)
        before = now
    return scores


def next_token(
    text: Sequence[str], config: TownConfig = DEFAULT
) -> dict[str, float]:
    """The exact probability of every token after the beginning of a story.

    It is empty after a whole story. Raises ValueError for a wrong beginning.
    """
    every = readings(text, config)
    if all(reading.wrong is not None for reading in every):
        raise ValueError(
            f"The town cannot begin like this: token "
            f"{max(reading.wrong for reading in every)} is wrong."
        )
    weights = [sum(reading.log_p) for reading in every]
    norm = log_sum_exp(weights)
    mixed: dict[str, float] = {}
    for reading, weight in zip(every, weights, strict=True):
        for token, p in reading.next.items():
            mixed[token] = mixed.get(token, 0.0) + math.exp(weight - norm) * p
    return mixed
