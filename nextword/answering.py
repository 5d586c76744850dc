"""Where models that answer questions begin, and how a GPT writes answers.

Used by chapter 19. The GPT reads a story and a question and goes on with the
answer. Left out: spans, which `nextword.town_spans` has.
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from nextword.batches import TokenBatch, pad
from nextword.finetuning import renew_rows
from nextword.generation import generate
from nextword.losses import IGNORE
from nextword.pretrained import load_pretrained
from nextword.town_questions import TownQuestion
from nextword.training import TrainConfig
from nextword.transformer import initialise
from nextword.words import END, town_tokenizer

MOST_WORDS = 4  # that an answer may get; the right ones have one or two
NEW_WORDS = ("?", "Where", "Who", "What", "did", "want", "nobody")


def starting_model(name: str, seed: int, scratch: bool = False) -> nn.Module:
    """A shipped model whose rows for words it never read are drawn anew.

    With ``scratch``, every weight is drawn anew: the same sizes, no knowledge.
    """
    torch.manual_seed(seed)
    model = copy.deepcopy(load_pretrained(name).model)
    if scratch:
        initialise(model, std=0.02)
        return model
    ids = town_tokenizer().ids
    tokens = model.embedding.tokens
    renew_rows(tokens, [ids[word] for word in NEW_WORDS], seed)
    return model


def rate(steps: int, lr: float, seed: int) -> TrainConfig:
    """A tenth of the steps to warm up, then a cosine down to a tenth."""
    return TrainConfig(
        steps, lr, max(1, steps // 10), weight_decay=0.01, seed=seed
    )


def prompt(question: TownQuestion) -> list[int]:
    """END, story, question, as ids: what a GPT reads before it answers."""
    ids = town_tokenizer().ids
    return [ids[w] for w in (END, *question.story, *question.question)]


def answer_batch(questions: Sequence[TownQuestion], end: int) -> TokenBatch:
    """Prompts with their answers: ids (B, T), targets (B, T).

    Only the answers and the id ``end`` after them are targets. The rows are
    padded with ``end``.
    """
    ids = town_tokenizer().ids
    rows, targets = [], []
    for q in questions:
        before, answer = prompt(q), [ids[w] for w in q.answer.split()]
        rows.append(before + answer)
        targets.append([IGNORE] * (len(before) - 1) + [*answer, end])
    return TokenBatch(pad(rows, end), pad(targets, IGNORE))


def write_answers(
    model: nn.Module, questions: Sequence[TownQuestion], rows: int = 64
) -> list[str]:
    """What a GPT writes after each prompt, word by word, up to END."""
    tokenizer, texts = town_tokenizer(), []
    stop = [[tokenizer.ids[END]]]
    for first in range(0, len(questions), rows):
        prompts = [prompt(q) for q in questions[first : first + rows]]
        found = generate(model, prompts, MOST_WORDS, stop=stop)
        texts += [tokenizer.decode(ids) for ids in found]
    return texts
