"""The forms of public data sets: files in, pairs, questions and stories out.

Each reader refuses a file of another form with a ValueError that names the
place and the right form. Left out: where the files come from.
"""

import gzip
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

Pair = tuple[str, str]  # a text and its translation

END_OF_STORY = "<|endoftext|>"


class Question(NamedTuple):
    """A question on a paragraph, and where its answers stand there."""

    article: str
    context: str
    question: str
    answers: tuple[tuple[int, str], ...]  # first character, and the words


def refuse(path: Path, place: str, form: str) -> ValueError:
    """The error for a file that has another form."""
    return ValueError(
        f"{path} is not in the right form at {place}. Its form must be: {form}."
    )


def read_labelled(path: str | Path) -> list[tuple[str, int]]:
    """Texts and labels of a file of lines: 0 or 1, a space, and a text.

    Raises ValueError for a line of another form.
    """
    rows, path = [], Path(path)
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        label, _, text = line.partition(" ")
        if not line:
            continue
        if label not in ("0", "1") or not text.strip():
            raise refuse(path, f"line {number}", "0 or 1, a space, a text")
        rows.append((text.strip(), int(label)))
    return rows


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text that gzip packed. ValueError for another file."""
    try:
        text = gzip.decompress(Path(path).read_bytes()).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise refuse(Path(path), str(error), "a text in UTF-8, gzip") from error
    return text.removesuffix("\n").split("\n")


def read_captions(source: str | Path, target: str | Path) -> list[Pair]:
    """Pairs of lines with the same number. ValueError unless they pair up."""
    sides = read_lines(source), read_lines(target)
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            f"{source} has {len(sides[0])} lines, but {target} has "
            f"{len(sides[1])}. Use files that belong together."
        )
    return [
        (a.strip(), b.strip())
        for a, b in zip(*sides, strict=True)
        if a.strip() and b.strip()
    ]


def same_words(text: str) -> str:
    """What two texts share that differ in case and punctuation alone."""
    return " ".join(re.findall(r"\w+", text.lower()))


def hold_out(
    pairs: Sequence[Pair], number: int
) -> tuple[list[Pair], list[Pair]]:
    """Training pairs, and ``number`` test pairs with sources of their own.

    Which sources are tested does not depend on anything but the pairs. No
    training source has the same words as a tested one. A source with several
    translations is tested on its first one. Raises ValueError unless enough
    sources are left.
    """
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(same_words(pair[0]), pair)
    if not 0 < number < len(first):
        raise ValueError(
            f"{number} of {len(first)} different sources cannot be held out. "
            "Choose 1 or more, and fewer than there are."
        )
    chosen = set(random.Random(0).sample(sorted(first), number))
    train = [pair for pair in pairs if same_words(pair[0]) not in chosen]
    return train, [first[words] for words in first if words in chosen]


def read_questions(path: str | Path) -> list[Question]:
    """The questions of a file in SQuAD's form that have an answer.

    Raises ValueError for a file of another form, and for an answer that does
    not stand where the file says.
    """
    path, found = Path(path), []
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        for article in articles:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    answers = tuple(
                        (a["answer_start"], a["text"]) for a in qa["answers"]
                    )
                    found.append(
                        Question(
                            article["title"],
                            paragraph["context"],
                            qa["question"].strip(),
                            answers,
                        )
                    )
    except (ValueError, KeyError, TypeError) as error:
        raise refuse(path, repr(error), "JSON like SQuAD's") from error
    for item in found:
        for start, text in item.answers:
            if item.context[start : start + len(text)] != text:
                place = f"the question {item.question!r}"
                raise refuse(path, place, "answers that stand in the paragraph")
    return [item for item in found if item.answers]


def read_stories(path: str | Path, most: int | None = None) -> list[str]:
    """The first ``most`` stories of a text with END_OF_STORY after each.

    Raises ValueError for a text with fewer than two of them.
    """
    text = Path(path).read_text(encoding="utf-8")
    stories = [part.strip() for part in text.split(END_OF_STORY)]
    stories = [story for story in stories if story]
    if len(stories) < 2:
        raise refuse(
            Path(path), "the end", f"stories, each with {END_OF_STORY}"
        )
    return stories[:most]
