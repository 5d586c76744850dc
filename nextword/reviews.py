"""Short English reviews of our own: plain ones, and pairs with opposite labels.

Home: chapter 17, notebooks/17_sentiment.ipynb, which learns from the plain ones
and then asks about the pairs. They stand in ``nextword/data/reviews.tsv``, one a
line, with their card beside it in ``nextword/data/reviews.md``. Left out: words
as tokens, batches, models.
"""

import hashlib
import importlib.resources
from typing import NamedTuple

FILE = importlib.resources.files("nextword") / "data" / "reviews.tsv"
SHA256 = "43d1c251b1cf9d6bb7b580aa2a6eb3fc1cde0831158ba38e999f7c5502374658"
LABELS = ("negative", "positive")  # label 0 and label 1
SPLITS = ("train", "test")


class Review(NamedTuple):
    """A text and what its author thought of the subject."""

    id: str  # "p001", or "c001a" and "c001b" for the two of a pair
    text: str
    label: int  # 0 or 1, a place in LABELS
    subject: str  # "film", "book", …
    split: str  # one of SPLITS; every contrast text is a test


class ContrastPair(NamedTuple):
    """Two texts that differ in little and have opposite labels."""

    id: str  # "c001"
    kind: str  # what turns the meaning: "negation", "comparison", …
    positive: Review
    negative: Review


def plain_reviews(split: str) -> list[Review]:
    """The plain reviews of one split, in the order of the file, by subject.

    Raises ValueError for another split, or a file that was altered.
    """
    if split not in SPLITS:
        raise ValueError(
            f"There is no split {split!r}. Ask for one of: {', '.join(SPLITS)}."
        )
    return [
        as_review(row)
        for row in read_rows()
        if row["set"] == "plain" and row["split"] == split
    ]


def contrast_pairs() -> list[ContrastPair]:
    """The contrast pairs, kind by kind; they are for testing alone.

    Raises ValueError for a file that was altered.
    """
    rows = [row for row in read_rows() if row["set"] == "contrast"]
    return [
        ContrastPair(one["pair"], one["kind"], as_review(one), as_review(two))
        for one, two in zip(rows[::2], rows[1::2], strict=True)
    ]


def as_review(row: dict[str, str]) -> Review:
    """The fields of a line that every review has."""
    label = LABELS.index(row["label"])
    return Review(row["id"], row["text"], label, row["subject"], row["split"])


def read_rows() -> list[dict[str, str]]:
    """The lines of the file, each with the names of its columns.

    Raises ValueError, with the remedy, unless the file is the known one.
    """
    content = FILE.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"{FILE} is not the file that the course was written with: its "
            f"SHA-256 begins with {digest[:8]}, not {SHA256[:8]}. Install "
            "nextword again, or put your own reviews into a file of your own."
        )
    head, *lines = content.decode("utf-8").splitlines()
    names = head.split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
