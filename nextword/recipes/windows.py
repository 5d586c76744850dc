"""Paragraphs as windows of ids, and SQuAD's measures of an answer."""

import re
from typing import NamedTuple

from nextword.public_forms import Question
from nextword.wordpiece import WordPieceTokenizer
from nextword.words import CLS, SEP


class Window(NamedTuple):
    """A part of a paragraph behind its question, as ids."""

    ids: list[int]
    segments: list[int]
    places: list[tuple[int, int] | None]  # the characters of each token


def windows(
    tokenizer: WordPieceTokenizer, item: Question, length: int
) -> list[Window]:
    """Windows of at most ``length`` ids; each begins half a window later.

    Raises ValueError for a length that leaves too little of the paragraph.
    """
    cls, sep = tokenizer.ids[CLS], tokenizer.ids[SEP]
    asked = tokenizer.encode(item.question)[: length // 2]
    room = length - len(asked) - 3
    if room < 2:
        raise ValueError(
            f"{length} ids leave no room for a paragraph. Choose 16 or more."
        )
    pieces = [
        (id, match.span())
        for match in re.finditer(r"\w+|[^\w\s]", item.context)
        for id in tokenizer.encode(match.group())
    ]
    found, head = [], [cls, *asked, sep]
    for first in range(0, max(1, len(pieces)), max(1, room // 2)):
        part = pieces[first : first + room]
        found.append(
            Window(
                [*head, *(id for id, _ in part), sep],
                [0] * len(head) + [1] * (len(part) + 1),
                [None] * len(head) + [place for _, place in part] + [None],
            )
        )
        if first + room >= len(pieces):
            break
    return found


def labels(window: Window, item: Question) -> tuple[int, int] | None:
    """The first and last token of the first answer; None if it is not there."""
    start, text = item.answers[0]
    inside = [
        token
        for token, place in enumerate(window.places)
        if place and place[0] < start + len(text) and place[1] > start
    ]
    if not inside:
        return None
    first, last = window.places[inside[0]], window.places[inside[-1]]
    whole = first[0] <= start and last[1] >= start + len(text)
    return (inside[0], inside[-1]) if whole else None
