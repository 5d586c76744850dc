"""Words as tokens, for texts whose words are few and known beforehand.

The town has such texts. Left out: everything that real text needs, which
`nextword.tokenizer` has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from nextword.storage import Stored
from nextword.tokenizer import look_up
from nextword.town_words import MOODS, PEOPLE, PLACES, THINGS

# Signs that are no words: padding, the border between two texts, and BERT's.
PAD, END, CLS, SEP, MASK = "[PAD]", "[END]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, END, CLS, SEP, MASK)

# What stories, recaps and questions hold besides names, places and things.
GRAMMAR = """. ? At Now She He There Where Who What a an and at did down
frowned gave has is last nobody nothing picked put ran smiled cried talked the
to took up walked want wanted was went yawned"""


@dataclass(frozen=True)
class WordTokenizer(Stored):
    """One id for each of these words; texts are words with spaces between."""

    words: Sequence[str]

    def __post_init__(self) -> None:
        words = tuple(self.words)
        if not words or sorted(set(" ".join(words).split())) != sorted(words):
            raise ValueError("Pass words without spaces, each of them once.")
        vars(self).update(  # once, past the frozen surface
            words=words,
            vocab_size=len(words),
            ids={word: id for id, word in enumerate(words)},
        )

    def encode(self, text: str) -> list[int]:
        """One id a word; ValueError for a word it does not know."""
        try:
            return [self.ids[word] for word in text.split()]
        except KeyError as error:
            raise ValueError(
                f"{error.args[0]!r} is not one of the {self.vocab_size} words "
                "of this tokenizer. Use them, and put spaces around . and ? ."
            ) from error

    def decode(self, ids: Iterable[int]) -> str:
        """The words of ids, with spaces between; ValueError for unknown ids."""
        return " ".join(look_up(ids, self.words))


@cache
def town_tokenizer() -> WordTokenizer:
    """Every word of the town in English, after the five special signs."""
    words = set(GRAMMAR.split()) | PEOPLE.keys() | PLACES.keys() | THINGS.keys()
    for ways in MOODS.values():
        words.update(word for english, _ in ways for word in english.split())
    return WordTokenizer([*SPECIAL, *sorted(words)])
