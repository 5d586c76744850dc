"""WordPiece, the tokenizer of BERT: words, cut into the longest known pieces.

Home: chapter 21, notebooks/21_ecosystem.ipynb.
Ids are those of Hugging Face's uncased BERT tokenizer (Devlin et al., 2019). Its
table of signs ends with Unicode 8.0: a mark or a punctuation sign that is
younger is one here, and an unknown letter there. Left out: how a vocabulary is
chosen, and vocabularies with capital letters.
"""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import regex
import torch
from torch import Tensor

from nextword import storage
from nextword.batches import pad
from nextword.tokenizer import look_up, require_text
from nextword.words import CLS, MASK, PAD, SEP

UNKNOWN = "[UNK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)
SPECIAL_PATTERN = regex.compile(f"({'|'.join(map(regex.escape, SPECIAL))})")
LONGEST_WORD = 100  # characters; a longer word is unknown

# Chinese characters, which stand for words of their own. The gap before 2B920
# is the reference's.
CHINESE = regex.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df"
    "\U0002a700-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f])"
)


class TextBatch(NamedTuple):
    """Texts as one batch for a `BERT`, in the order of its arguments."""

    ids: Tensor  # (B, T)
    real: Tensor  # (B, T) bool, False on padding
    segments: Tensor  # (B, T), 0 or 1: which of two texts


def clean(character: str) -> str:
    """A space for white space, nothing for a control sign, else the same."""
    if character in "\t\n\r":
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Co", "Cs") or character == "\ufffd":
        return ""
    return " " if character.isspace() else character


def plain_text(text: str) -> str:
    """Lower case without accents, with spaces around Chinese characters."""
    text = "".join(map(clean, text))
    text = CHINESE.sub(r" \1 ", text)
    parts = unicodedata.normalize("NFD", text)  # letters apart from accents
    return "".join(c.lower() for c in parts if unicodedata.category(c) != "Mn")


def is_punctuation(character: str) -> bool:
    """True for Unicode's punctuation and for every ASCII sign, such as $."""
    if character.isascii():
        return character.isprintable() and not character.isalnum()
    return unicodedata.category(character).startswith("P")


def split_words(text: str) -> Iterator[str]:
    """The words of a normalised text; each punctuation mark is one."""
    for chunk in text.split():
        word = ""
        for character in chunk:
            if is_punctuation(character):
                yield from (word, character) if word else (character,)
                word = ""
            else:
                word += character
        if word:
            yield word


def cut_word(word: str, pieces: Collection[str]) -> list[str]:
    """The longest piece that a word begins with, then that of the rest, ...

    All but the first are marked by ``##``. A word that cannot be cut whole, or
    of more than LONGEST_WORD characters, is UNKNOWN.
    """
    found, start = [], 0
    while start < len(word) <= LONGEST_WORD:
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((e for e in ends if mark + word[start:e] in pieces), None)
        if end is None:
            return [UNKNOWN]
        found.append(mark + word[start:end])
        start = end
    return found or [UNKNOWN]


def word_ids(
    word: str, ids: Mapping[str, int], cache: dict[str, list[int]]
) -> list[int]:
    """The ids of a word's pieces; ``cache`` keeps those of words met before."""
    if word not in cache:
        if len(cache) >= 2**16:  # or it would grow for ever
            cache.clear()
        cache[word] = [ids[piece] for piece in cut_word(word, ids)]
    return cache[word]


@dataclass(frozen=True)
class WordPieceTokenizer(storage.Stored):
    """One id for each of these pieces; the five of SPECIAL are among them."""

    pieces: Sequence[str]

    def __post_init__(self) -> None:
        pieces = tuple(self.pieces)
        ids = {piece: id for id, piece in enumerate(pieces)}
        check_pieces(pieces, ids)
        vars(self).update(  # once, past the frozen surface
            pieces=pieces, vocab_size=len(pieces), ids=ids, cache={}
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a text; names of special pieces in it count as such."""
        require_text(text)
        ids: list[int] = []
        for part in SPECIAL_PATTERN.split(text):
            if part in SPECIAL:
                ids.append(self.ids[part])
                continue
            for word in split_words(plain_text(part)):
                ids += word_ids(word, self.ids, self.cache)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The pieces of ids, put together, with a space before each word."""
        return " ".join(look_up(ids, self.pieces)).replace(" ##", "")


def check_pieces(pieces: Sequence[str], ids: Mapping[str, int]) -> None:
    """Raise ValueError, with a remedy, for pieces that are no vocabulary."""
    if missing := [piece for piece in SPECIAL if piece not in ids]:
        raise ValueError(
            f"The vocabulary has no {missing[0]}. A BERT's vocabulary holds "
            f"{', '.join(SPECIAL)}."
        )
    for id, piece in enumerate(pieces):
        if ids[piece] != id or piece.split() != [piece]:
            raise ValueError(
                f"Piece {id} of the vocabulary, {piece!r}, is empty, holds "
                "white space, or comes twice. Pass each piece once."
            )


def read_vocabulary(path: str | Path) -> WordPieceTokenizer:
    """The tokenizer of a file ``vocab.txt``: one piece a line, in UTF-8.

    Raises ValueError, with its name, for a file of another kind.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return WordPieceTokenizer(text.removesuffix("\n").split("\n"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no vocabulary of a BERT: {error}"
        ) from error


def write_vocabulary(path: str | Path, tokenizer: WordPieceTokenizer) -> None:
    """Write what `read_vocabulary` reads, whole or not at all."""
    storage.write_text(path, "\n".join(tokenizer.pieces) + "\n")


def kept_lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts are kept: the longer one is cut first.

    Where both lose some, each keeps half, and the longer one an odd one more.
    """
    if first > second:
        return kept_lengths(second, first, room)[::-1]
    kept = min(first, room // 2)
    return kept, min(second, room - kept)


def frame(
    tokenizer: WordPieceTokenizer,
    first: str,
    second: str | None = None,
    max_length: int = 512,
) -> tuple[list[int], list[int]]:
    """[CLS] first [SEP] or [CLS] first [SEP] second [SEP]: ids and segments.

    Texts lose their ends so that no more than ``max_length`` ids are left.
    Raises ValueError for a length that leaves no room for any text.
    """
    a, b = tokenizer.encode(first), tokenizer.encode(second or "")
    room = max_length - (2 if second is None else 3)
    if room < 1:
        raise ValueError(
            f"max_length is {max_length}, which leaves no room for text beside "
            f"{CLS} and {SEP}. Choose 4 or more."
        )
    keep_a, keep_b = kept_lengths(len(a), len(b), room)
    cls, sep = tokenizer.ids[CLS], tokenizer.ids[SEP]
    ids = [cls, *a[:keep_a], sep]
    tail = [] if second is None else [*b[:keep_b], sep]
    return ids + tail, [0] * len(ids) + [1] * len(tail)


def text_batch(
    tokenizer: WordPieceTokenizer,
    texts: Sequence[str],
    seconds: Sequence[str] | None = None,
    max_length: int = 512,
) -> TextBatch:
    """Texts, or pairs of texts, as one batch, padded on the right.

    Raises ValueError for no texts, or for fewer or more second texts.
    """
    if isinstance(texts, str) or isinstance(seconds, str):
        raise TypeError("Pass a list of texts: for a single one, [text].")
    if seconds is not None and len(seconds) != len(texts):
        raise ValueError(
            f"There are {len(texts)} first texts but {len(seconds)} second "
            "ones. Pass as many of both, or first ones alone."
        )
    pairs = zip(texts, seconds or [None] * len(texts), strict=True)
    framed = [frame(tokenizer, a, b, max_length) for a, b in pairs]
    ids = pad([ids for ids, _ in framed], tokenizer.ids[PAD])  # (B, T)
    lengths = torch.tensor([len(ids) for ids, _ in framed])
    real = torch.arange(ids.shape[1]) < lengths[:, None]  # (B, T)
    return TextBatch(ids, real, pad([s for _, s in framed], 0))
