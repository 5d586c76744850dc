"""Text to ids and back: characters, and byte-level byte-pair encoding (BPE).

Merges and ids are those of Hugging Face ``tokenizers`` trained on the same text
in GPT-2's way (Radford et al., 2019). Left out: normalisation, dropout,
WordPiece, unigram. Home: chapter 3, notebooks/03_tokens.ipynb.
"""

import heapq
import operator
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from nextword.storage import Stored

Pair = tuple[int, int]  # the ids of two neighbours

# The byte of each id, in GPT-2's order: first those with a visible sign.
BYTE_ORDER = sorted(
    range(256),
    key=lambda b: not (33 <= b <= 126 or 161 <= b <= 172 or b >= 174),
)

# GPT-2's pattern (Radford et al., 2019): a text is cut so before BPE.
PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d"  # English endings
    r"| ?\p{L}+"  # letters, with one space before them
    r"| ?\p{N}+"  # digits, likewise
    r"| ?[^\s\p{L}\p{N}]+"  # other signs, likewise
    r"|\s+(?!\S)|\s+"  # white space, leaving one space for the next word
)


def byte_ids(piece: str) -> tuple[int, ...]:
    """The ids of the UTF-8 bytes of a text; ValueError if it has none."""
    try:
        return tuple(map(BYTE_ORDER.index, piece.encode("utf-8")))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{piece[error.start]!a} is a lone surrogate: half a character, "
            "without UTF-8 form. Read the text with its true encoding, or "
            "clean it by .encode('utf-8', 'replace').decode('utf-8')."
        ) from error


def require_text(text: str) -> None:
    """Raise TypeError for anything but a str."""
    if not isinstance(text, str):
        raise TypeError(
            f"The text must be a str, but it is a {type(text).__name__}. "
            "Decode bytes with .decode('utf-8'); join a list with ''.join."
        )


def split_text(text: str, special: Collection[str] = ()) -> Iterator[str]:
    """Cut a text into PATTERN's pieces; strings in ``special`` stay whole."""
    require_text(text)
    parts = [text]
    if special:
        longest_first = sorted(special, key=len, reverse=True)
        either = "|".join(map(regex.escape, longest_first))
        parts = regex.split(f"({either})", text)
    for part in parts:
        yield from [part] if part in special else PATTERN.findall(part)


def count_words(text: str) -> dict[tuple[int, ...], int]:
    """How often each piece of a text occurs; a piece is a tuple of byte ids."""
    pieces = Counter(split_text(text))
    return {byte_ids(piece): count for piece, count in pieces.items()}


def count_pairs(words: Mapping[tuple[int, ...], int]) -> Counter:
    """How often each pair of neighbours occurs inside the counted words."""
    counts: Counter = Counter()
    for ids, count in words.items():
        for pair in pairwise(ids):
            counts[pair] += count
    return counts


def merge_pair(ids: Sequence[int], pair: Pair, new_id: int) -> tuple[int, ...]:
    """Replace every ``pair`` by ``new_id``, from left to right."""
    merged, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return tuple(merged)


def train_bpe(
    words: Mapping[tuple[int, ...], int], n_merges: int
) -> list[Pair]:
    """The merges in order; fewer if no pair is left (Sennrich et al., 2016)."""
    spelt, times, merges = list(words), list(words.values()), []
    counts, places = count_pairs(words), defaultdict(set)
    for w, ids in enumerate(spelt):
        for pair in pairwise(ids):
            places[pair].add(w)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    while heap and len(merges) < n_merges:
        count, pair = heapq.heappop(heap)
        if count == 0 or counts[pair] != -count:
            continue  # an old entry: the count has changed since
        changes: Counter = Counter()
        for w in places.pop(pair):  # only the words that may change
            for old in pairwise(spelt[w]):
                changes[old] -= times[w]
            spelt[w] = merge_pair(spelt[w], pair, 256 + len(merges))
            for new in pairwise(spelt[w]):
                changes[new] += times[w]
                places[new].add(w)
        merges.append(pair)
        for changed in filter(changes.get, changes):
            counts[changed] += changes[changed]
            heapq.heappush(heap, (-counts[changed], changed))
    return merges


def merge_by_rank(ids: Sequence[int], ranks: Mapping[Pair, int]) -> list[int]:
    """Merge the pair of lowest rank, the leftmost first, until none is left."""
    n, ids = len(ids), list(ids)
    before, after = list(range(-1, n - 1)), list(range(1, n + 1))
    heap = [(ranks[p], i) for i, p in enumerate(pairwise(ids)) if p in ranks]
    heapq.heapify(heap)
    while heap:
        rank, left = heapq.heappop(heap)
        right = after[left]
        if right == n or ranks.get((ids[left], ids[right])) != rank:
            continue  # an old entry: a neighbour has been merged since
        ids[left], ids[right] = 256 + rank, -1  # -1: nothing is left here
        after[left] = after[right]
        if after[left] < n:
            before[after[left]] = left
        for i in (before[left], left):
            if i >= 0 and after[i] < n:
                pair = ids[i], ids[after[i]]
                if pair in ranks:
                    heapq.heappush(heap, (ranks[pair], i))
    return [id for id in ids if id >= 0]


def token_table(merges: Iterable[Pair], special: Sequence[str]) -> list[bytes]:
    """The bytes of every id: single bytes, merges in order, special tokens."""
    table = [bytes([byte]) for byte in BYTE_ORDER]
    for pair in merges:
        if not all(0 <= id < len(table) for id in pair):
            raise ValueError(
                f"Merge {pair} names an id that no earlier merge has made. "
                "Give the merges in the order in which train_bpe made them."
            )
        table.append(table[pair[0]] + table[pair[1]])
    repeated = len(set(special)) < len(special)
    if isinstance(special, str) or "" in special or repeated:
        raise ValueError(
            f"The special tokens are {special!r}. Give a tuple of strings that "
            "differ and are not empty."
        )
    return table + [token.encode("utf-8") for token in special]


def encode_text(
    text: str,
    ranks: Mapping[Pair, int],
    special: Mapping[str, int],
    cache: dict[str, list[int]],
) -> list[int]:
    """The ids of a text; ``cache`` keeps the ids of pieces met before."""
    ids: list[int] = []
    for piece in split_text(text, special):
        if piece in special:
            ids.append(special[piece])
            continue
        if piece not in cache:
            if len(cache) >= 2**16:  # or it would grow for ever
                cache.clear()
            cache[piece] = merge_by_rank(byte_ids(piece), ranks)
        ids += cache[piece]
    return ids


def pick_special(
    known: Mapping[str, int], allowed: Collection[str]
) -> dict[str, int]:
    """The allowed tokens with their ids; ValueError if one is unknown."""
    if unknown := [token for token in allowed if token not in known]:
        raise ValueError(
            f"{unknown[0]!r} is not a special token of this tokenizer. Pass a "
            f"tuple of some of these: {list(known)}."
        )
    return {token: known[token] for token in allowed}


def look_up(ids: Iterable[int], table: Sequence) -> list:
    """What the table holds for each id; ValueError for an id outside it."""
    ids = [operator.index(id) for id in ids]
    if unknown := [id for id in ids if not 0 <= id < len(table)]:
        raise ValueError(
            f"Id {unknown[0]} is not in this vocabulary, whose ids run from 0 "
            f"to {len(table) - 1}. Decode with the tokenizer that encoded."
        )
    return [table[id] for id in ids]


@dataclass(frozen=True)
class Tokenizer(Stored):
    """Byte-level BPE; the special tokens take the ids after the merges."""

    merges: Sequence[Pair]
    special_tokens: Sequence[str] = ()

    def __post_init__(self) -> None:
        merges = tuple((left, right) for left, right in self.merges)
        special = enumerate(self.special_tokens, 256 + len(merges))
        vars(self).update(  # once, past the frozen surface
            merges=merges,
            special_tokens=tuple(self.special_tokens),
            special_ids={token: id for id, token in special},
            ranks={pair: rank for rank, pair in enumerate(merges)},
            token_bytes=token_table(merges, self.special_tokens),
            vocab_size=256 + len(merges) + len(self.special_tokens),
            cache={},
        )

    def encode(self, text: str, allowed_special: Collection = ()) -> list[int]:
        """The ids of a text; special tokens count as such only if allowed."""
        special = pick_special(self.special_ids, allowed_special)
        return encode_text(text, self.ranks, special, self.cache)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; what is no UTF-8 becomes the sign U+FFFD."""
        return b"".join(look_up(ids, self.token_bytes)).decode(errors="replace")


def train_tokenizer(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> Tokenizer:
    """A tokenizer of ``vocab_size`` ids; fewer if no pair is left in the text.

    Raises ValueError if there is no room for 256 bytes and the special tokens.
    """
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise ValueError(
            f"vocab_size is {vocab_size}, but 256 bytes and the special tokens "
            f"need {least}. Ask for that or more."
        )
    n_merges = vocab_size - least
    return Tokenizer(train_bpe(count_words(text), n_merges), special_tokens)


@dataclass(frozen=True)
class CharacterTokenizer(Stored):
    """One id for each character that ``characters`` holds, in sorted order."""

    characters: str

    def __post_init__(self) -> None:
        require_text(self.characters)
        distinct = sorted(set(self.characters))
        vars(self).update(  # once, past the frozen surface
            characters="".join(distinct),
            vocab_size=len(distinct),
            ids={character: id for id, character in enumerate(distinct)},
        )

    def encode(self, text: str) -> list[int]:
        """One id a character; ValueError for a character it does not know."""
        require_text(text)
        if unknown := set(text) - set(self.ids):
            raise ValueError(
                f"{min(unknown)!r} is not one of the {self.vocab_size} "
                "characters of this tokenizer. Make one from a text with it."
            )
        return [self.ids[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return "".join(look_up(ids, self.characters))
