"""Stories and secret codes as texts of training, and a small model for them.

Chapter 24, notebooks/24_limits.ipynb, uses them. A secret is a code of four
digits that belongs to a person of the town (Carlini et al., 2019). Left out: how
a model is attacked, and how it is trained in private.
"""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from nextword.batches import epoch_order
from nextword.blocks import TransformerConfig
from nextword.losses import IGNORE, cross_entropy
from nextword.town import TownConfig, make_story
from nextword.town_score import score
from nextword.town_words import PEOPLE
from nextword.transformer import GPT
from nextword.words import END, WordTokenizer, town_tokenizer

DIGITS = tuple("0123456789")
LENGTH = 4  # digits of a code
CODES = len(DIGITS) ** LENGTH  # as many codes are possible
REPEATS = (0, 1, 2, 4, 8, 16)  # how often the texts hold a code
TINY = TownConfig(people=2, things=1, min_events=1, max_events=2)
TEXTS = 512  # stories of a training set, and of each set beside it


@cache
def code_tokenizer() -> WordTokenizer:
    """The words of the town, and those that tell a code."""
    return WordTokenizer(
        [*town_tokenizer().words, "The", "code", "of", *DIGITS]
    )


class Canary(NamedTuple):
    """The code of a person, and how often the texts of training hold it."""

    name: str
    code: int  # from 0 to CODES - 1; 407 is told as 0 4 0 7
    repeats: int

    @property
    def prefix(self) -> list[str]:
        """The words before the code."""
        return ["The", "code", "of", self.name, "is"]

    @property
    def text(self) -> list[str]:
        """All the words of the canary."""
        return [*self.prefix, *f"{self.code:0{LENGTH}}", "."]


def make_canaries(seed: int) -> list[Canary]:
    """A code for each person of the town; REPEATS are dealt out evenly."""
    rng = random.Random(f"canaries {seed}")
    people = rng.sample(list(PEOPLE), len(PEOPLE))
    return [
        Canary(name, rng.randrange(CODES), REPEATS[n % len(REPEATS)])
        for n, name in enumerate(people)
    ]


@cache
def stories(part: str, seed: int) -> list[list[str]]:
    """TEXTS stories; no part of any seed shares a story with another."""
    place = ("members", "others", "reference").index(part)
    first = (3 * seed + place) * TEXTS
    return [make_story(first + n, TINY).tokens for n in range(TEXTS)]


def planted(
    kind: str, canaries: Sequence[Canary], seed: int
) -> list[list[str]]:
    """The canaries as texts, each as often as it says.

    In "near copies", another sentence of a story stands before each copy, so no
    two of them are equal.
    """
    texts = [c.text for c in canaries for _ in range(c.repeats)]
    if kind != "near copies":
        return texts
    first = (text[: text.index(".") + 1] for text in stories("reference", seed))
    spare = dict.fromkeys(map(tuple, first))  # each sentence once
    return [
        [*before, *text] for before, text in zip(spare, texts, strict=False)
    ]


def training_texts(kind: str, seed: int) -> list[list[str]]:
    """The stories and the canaries of one seed; see `planted` for the kind."""
    return stories("members", seed) + planted(kind, make_canaries(seed), seed)


def encode_texts(texts: Sequence[Sequence[str]]) -> list[list[int]]:
    """The ids of texts, each between two END."""
    ids = code_tokenizer().ids
    return [[ids[END], *(ids[w] for w in text), ids[END]] for text in texts]


def as_batch(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Texts as ids (B, T) and targets (B, T), padded on the right.

    The target of a token is the one after it; IGNORE stands on padding.
    """
    longest = max(map(len, rows)) - 1
    ids = torch.full((len(rows), longest), rows[0][-1])
    targets = torch.full((len(rows), longest), IGNORE)
    for n, row in enumerate(rows):
        ids[n, : len(row) - 1] = torch.tensor(row[:-1])
        targets[n, : len(row) - 1] = torch.tensor(row[1:])
    return ids, targets


def new_model(d_model: int, seed: int) -> GPT:
    """A GPT of two layers for the words of the town and its codes."""
    torch.manual_seed(seed)
    V = code_tokenizer().vocab_size
    return GPT(TransformerConfig(V, 48, d_model, 2, 2, positions="rotary"))


def train(
    model: GPT,
    texts: Sequence[Sequence[str]],
    epochs: int,
    seed: int,
    lr: float = 3e-3,
) -> Iterator[int]:
    """Train as ever, with AdamW; yields the epochs done after each one."""
    ids, targets = as_batch(encode_texts(texts))
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.0)
    for epoch in range(epochs):
        order = torch.as_tensor(list(epoch_order(len(ids), epoch, seed)))
        for batch in order.split(32):
            real = (targets[batch] != IGNORE).any(0).sum()
            optimizer.zero_grad()
            loss = cross_entropy(
                model(ids[batch, :real]), targets[batch, :real]
            )
            loss.backward()
            optimizer.step()
        yield epoch + 1


@cache
def source_losses(part: str, seed: int) -> Tensor:
    """-ln P of each story in the town itself."""
    return -torch.tensor([sum(score(s, TINY)) for s in stories(part, seed)])
