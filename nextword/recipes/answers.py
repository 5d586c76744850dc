"""The recipe on questions: MiniLM marks the answer in a paragraph.

Its head, its loss and its search are those of chapter 19. Long paragraphs are
cut into windows that overlap. Left out: questions without an answer.
"""

import re
from collections.abc import Sequence

import torch
from torch import nn

from nextword.public_forms import Question, read_questions
from nextword.recipes.base import Outcome, Request, score, tune
from nextword.recipes.windows import Window, labels, windows
from nextword.spans import (
    SpanModel,
    SpanRow,
    find_spans,
    span_batch,
    span_loss,
)
from nextword.squad_metrics import (
    best_of,
    exact_match,
    f1,
    normalise_answer,
)
from nextword.weights import minilm
from nextword.wordpiece import WordPieceTokenizer
from nextword.words import PAD

LONGEST = 30  # tokens of an answer


def span_row(window: Window, span: tuple[int, int] = (0, 0)) -> SpanRow:
    """A window as a row; an answer may stand where the paragraph stands."""
    inside = [n for n, place in enumerate(window.places) if place]
    text = (inside[0], inside[-1])
    return SpanRow(window.ids, window.segments, text, span)


def answer_all(
    model: nn.Module,
    tokenizer: WordPieceTokenizer,
    items: Sequence[Question],
    length: int,
) -> list[str]:
    """The answer to each question: the best over the windows of it."""
    said, pad_id = [], tokenizer.ids[PAD]
    for first in range(0, len(items), 64):
        part = items[first : first + 64]
        cut = [windows(tokenizer, item, length) for item in part]
        batch = span_batch([span_row(w) for ws in cut for w in ws], pad_id)
        found = find_spans(model, batch, LONGEST, 16)
        ends = zip(*(x.tolist() for x in found[:3]), strict=True)
        for item, ws in zip(part, cut, strict=True):
            best, start, stop = -float("inf"), 0, 0
            for window in ws:
                begin, end, total = next(ends)
                if total > best:
                    best, start = total, window.places[begin][0]
                    stop = window.places[end][1]
            said.append(item.context[start:stop])
    return said


def likely_sentence(item: Question) -> str:
    """The sentence of the paragraph that shares most words with the question."""
    asked = set(normalise_answer(item.question).split())
    sentences = re.split(r"(?<=[.!?])\s+", item.context)
    return max(
        sentences,
        key=lambda text: len(asked & set(normalise_answer(text).split())),
    )


def squad(request: Request) -> Outcome:
    """MiniLM with a layer for beginning and end, beside a likely sentence."""
    size, (body, tokenizer) = request.size, minilm()
    if request.own:
        items = read_questions(request.own)
        last = items[-1].article
        train = [item for item in items if item.article != last]
        test = [item for item in items if item.article == last]
        if not train:
            raise ValueError(
                f"{request.own} has one article. Give a file with two or more: "
                "the last one is the test."
            )
        data = f"{request.own.name}, tested on its last article, {last}"
    else:
        train, test = (
            read_questions(request.paths[s]) for s in ("train", "dev")
        )
        data = "the training file, tested on the development file"
    train, test = train[: size.train], test[: size.test]
    rows = [
        span_row(window, found)
        for item in train
        for window in windows(tokenizer, item, size.context_length)
        if (found := labels(window, item))
    ]
    torch.manual_seed(request.seed)
    model = SpanModel(body).to(request.device)
    tune(model, rows, tokenizer.ids[PAD], request, span_loss, span_batch)
    said = {
        "the most alike sentence": [likely_sentence(item) for item in test],
        "MiniLM, fine-tuned": answer_all(
            model, tokenizer, test, size.context_length
        ),
    }
    scores = []
    for name, answers in said.items():
        for measure, metric in {"exact match": exact_match, "F1": f1}.items():
            values = [
                best_of(metric, answer, [text for _, text in item.answers])
                for answer, item in zip(answers, test, strict=True)
            ]
            mean = 100 * sum(values) / len(values)
            scores.append(score(name, measure, mean, "0 to 100"))
    examples = [
        f"{item.question}  →  {answer}  (reference: {item.answers[0][1]})"
        for item, answer in zip(
            test[:3], said["MiniLM, fine-tuned"], strict=False
        )
    ]
    return Outcome(data, len(train), len(test), scores, examples)
