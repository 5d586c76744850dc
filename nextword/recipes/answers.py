"""The recipe on questions: MiniLM marks the answer in a paragraph.

A linear layer on each token's vector says how likely an answer begins or ends
there (Devlin et al., 2019). Long paragraphs are cut into windows that overlap.
Left out: questions without an answer.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nextword.finetuning import (
    LabelledBatches,
    fine_tune,
    in_parts,
    labelled_batch,
)
from nextword.public_forms import Question, read_questions
from nextword.recipes.base import Outcome, Request, score, ticking
from nextword.recipes.windows import (
    Window,
    labels,
    windows,
)
from nextword.squad_metrics import (
    best_of,
    exact_match,
    f1,
    normalise_answer,
)
from nextword.training import TrainConfig
from nextword.transformer import BERT
from nextword.weights import minilm
from nextword.wordpiece import WordPieceTokenizer
from nextword.words import PAD

LONGEST = 30  # tokens of an answer


class _Reader(nn.Module):
    """ids, real, segments (B, T) to logits (B, 2, T): beginning and end."""

    def __init__(self, body: BERT):
        super().__init__()
        self.body, self.head = body, nn.Linear(body.config.d_model, 2)
        nn.init.normal_(self.head.weight, 0.0, 0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor) -> Tensor:
        x = self.body.encode(ids, real, segments)  # (B, T, C)
        logits = self.head(x).transpose(1, 2)  # (B, 2, T)
        outside = ~(real & (segments == 1))[:, None]  # (B, 1, T)
        return logits.masked_fill(outside, -1e4)


def best_span(window: Window, logits: Tensor) -> tuple[float, int, int]:
    """The likeliest answer of a window (2, T): its score, and its characters."""
    best = (-float("inf"), 0, 0)
    begin, end = logits.tolist()
    inside = [n for n, place in enumerate(window.places) if place]
    for i in inside:
        for j in range(i, min(i + LONGEST, inside[-1] + 1)):
            if begin[i] + end[j] > best[0]:
                start, stop = window.places[i][0], window.places[j][1]
                best = (begin[i] + end[j], start, stop)
    return best


def answer_all(
    model: _Reader,
    tokenizer: WordPieceTokenizer,
    items: Sequence[Question],
    length: int,
) -> list[str]:
    """The answer to each question: the best over the windows of it."""
    said, pad_id = [], tokenizer.ids[PAD]
    for first in range(0, len(items), 64):
        part = items[first : first + 64]
        cut = [windows(tokenizer, item, length) for item in part]
        rows = [(w.ids, w.segments, 0) for ws in cut for w in ws]
        logits = iter(in_parts(model, model, labelled_batch(rows, pad_id), 16))
        for item, ws in zip(part, cut, strict=True):
            found = [best_span(w, next(logits)[:, : len(w.ids)]) for w in ws]
            _, start, stop = max(found)
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
        (window.ids, window.segments, found)
        for item in train
        for window in windows(tokenizer, item, size.context_length)
        if (found := labels(window, item))
    ]
    torch.manual_seed(request.seed)
    model = _Reader(body).to(request.device)
    batches = LabelledBatches(
        rows, size.batch_size, tokenizer.ids[PAD], request.seed
    )
    config = TrainConfig(
        size.steps,
        size.lr,
        size.steps // 10,
        weight_decay=0.01,
        seed=request.seed,
    )
    fine_tune(model, ticking(batches, size.steps), config)
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
