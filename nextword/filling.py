"""How well a BERT finds words that are hidden, and which ones it would put there.

Home: chapter 13, notebooks/13_bert.ipynb. Left out: how words are hidden, which
`nextword.masking` shows.
"""

from typing import NamedTuple

import torch
from torch import nn

from nextword.generation import evaluating
from nextword.losses import IGNORE, token_losses
from nextword.masking import MaskedBatch
from nextword.words import CLS, MASK, SEP, WordTokenizer


class FillScore(NamedTuple):
    """What a model reached at the hidden words of a batch."""

    loss: float  # nats a hidden word
    accuracy: float  # the share of them that were the likeliest word


def fill_score(
    model: nn.Module, batch: MaskedBatch, rows: int = 64
) -> FillScore:
    """How well a BERT finds the words that a batch asks for."""
    total, right, number = 0.0, 0, 0
    with evaluating(model) as device:
        for first in range(0, len(batch.ids), rows):
            part = (x[first : first + rows].to(device) for x in batch)
            ids, real, segments, targets = part
            logits = model(ids, real, segments)  # (B, T, V)
            losses = token_losses(logits, targets).cpu()  # (B, T)
            total += float(losses.double().sum())
            right += int((logits.argmax(-1) == targets).sum())
            number += int((targets != IGNORE).sum())
    return FillScore(total / number, right / number)


def likely_words(
    model: nn.Module, tokenizer: WordTokenizer, text: str, number: int = 5
) -> list[dict[str, float]]:
    """For each MASK of a text, its likeliest words and their probabilities.

    Raises ValueError for a text without a MASK, or one that is too long.
    """
    ids = tokenizer.encode(f"{CLS} {text} {SEP}")
    places = [n for n, id in enumerate(ids) if id == tokenizer.ids[MASK]]
    if not places:
        raise ValueError(
            f"A BERT fills gaps: write {MASK} where a word is missing, as in "
            f"'Anna was at the {MASK} .'"
        )
    check_length(len(ids), model.config.context_length)
    with evaluating(model) as device:
        logits = model(torch.tensor([ids], device=device))[0, places]
    best = logits.softmax(-1).topk(number)
    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    words = tokenizer.words
    return [{words[i]: p for i, p in zip(*row, strict=True)} for row in rows]


def check_length(tokens: int, most: int) -> None:
    """Raise ValueError for a text that does not fit."""
    if tokens > most:
        raise ValueError(
            f"The text has {tokens} tokens with {CLS} and {SEP}, but at most "
            f"{most} fit into the context. Shorten it."
        )
