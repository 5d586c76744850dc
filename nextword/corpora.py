"""Named texts and data sets that need no download.

Python's own manual, which every Python carries, is real English: about 40,000
words of prose. It differs a little between Python versions, so no exact count
of it is ever asserted. The landmark models are a small table of our own, with
its card beside it in ``nextword/data``. Dates come from the Unicode Common Locale
Data Repository (CLDR), which Babel carries.
"""

import datetime
import hashlib
import importlib.resources
import json
import random
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class LandmarkModel:
    """A published language model: how large, trained on how much, by whom.

    Where no paper states a number it is None, and so is its source. The fields
    are explained in ``nextword/data/landmarks.md``.
    """

    name: str
    date: str  # first public, "2018-06"
    family: str  # "recurrent", "encoder-decoder", "encoder" or "decoder"
    parameters: int  # N
    active_parameters: int  # those that one token passes through
    tokens: int | None  # D, repetitions counted
    tokens_source: str | None  # "published" or "derived"
    flops: float | None  # floating-point operations of the training run
    flops_source: str | None  # "published" or "derived" as 6 N D
    authors: str
    title: str
    url: str
    note: str

    @property
    def year(self) -> float:
        """The date as a number: June 2018 begins at 2018 + 5/12."""
        year, month = map(int, self.date.split("-"))
        return year + (month - 1) / 12


@dataclass(frozen=True)
class WrittenDate:
    """One day as English and as Chinese write it."""

    day: datetime.date
    style: str  # "full", "long" or "short", as CLDR names them
    english: str  # "Thursday, March 5, 1987"
    chinese: str  # "1987年3月5日星期四"


DATE_STYLES = ("full", "long", "short")


def dates(number: int, seed: int = 0) -> list[WrittenDate]:
    """Different days from 1950 to 2049, each in a style drawn at random.

    In a short English date the year has two digits; in these hundred years they
    mean one year. So each text has exactly one translation. Raises ValueError
    for more days than there are.
    """
    from babel.dates import format_date

    first, last = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
    days = (last - first).days + 1
    if not 1 <= number <= days:
        raise ValueError(
            f"{number} different days were asked for, but there are {days} "
            f"from {first} to {last}. Ask for 1 to {days}."
        )
    rng = random.Random(seed)
    written = []
    for offset in rng.sample(range(days), number):
        day = first + datetime.timedelta(days=offset)
        style = rng.choice(DATE_STYLES)
        english, chinese = (format_date(day, style, x) for x in ("en", "zh"))
        written.append(WrittenDate(day, style, english, chinese))
    return written


def python_manual() -> list[str]:
    """The prose paragraphs of Python's language reference, each once, in order.

    They come from `pydoc_data.topics`, the text behind ``help("for")``. Headings,
    tables, grammar rules and code are left out, spaces and line breaks become
    one space. A paragraph that several topics share stands only where it comes
    first: a copy in the test part would let a model be graded on what it has
    seen.
    """
    from pydoc_data.topics import topics

    blocks = [
        block
        for topic in sorted(topics)
        for block in re.split(r"\n\s*\n", topics[topic])
    ]
    prose = [" ".join(block.split()) for block in blocks if _is_prose(block)]
    return list(dict.fromkeys(prose))


def split(paragraphs: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Training, validation and test part: 80, 10 and 10 of 100 paragraphs.

    A hash of the paragraph's own text decides where it goes. So a paragraph is
    in the same part whatever else the text holds, and equal paragraphs can not
    end up in two parts.
    """
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for paragraph in paragraphs:
        digest = hashlib.sha256(paragraph.encode("utf-8")).digest()
        tenth = digest[0] * 256 + digest[1]
        parts[0 if tenth < 52429 else 1 if tenth < 58982 else 2].append(
            paragraph
        )
    return parts


def landmark_models() -> list[LandmarkModel]:
    """Fifteen language models from 2014 to 2024, the oldest first."""
    file = importlib.resources.files("nextword") / "data" / "landmarks.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [LandmarkModel(**row) for row in rows]


def _is_prose(block: str) -> bool:
    """A sentence or more: it starts with a letter and ends like a sentence."""
    text = block.strip()
    return (
        len(text.split()) >= 5
        and "::=" not in text
        and not re.search(r"[=*\-+~^]{5}", text)
        and re.search(r"[.:?!)]$", text) is not None
        and sum(c.isalpha() or c.isspace() for c in text) > 0.85 * len(text)
    )
