"""Answer questions about the town by five methods, and record how well.

    python -m benchmarks.questions

The linear model and the commonest answer learn from 50 to 4,000 questions, the
encoders from 200 and 1,000, and the GPT from 200, each with five seeds. It
writes ``benchmarks/results/questions.json`` after each run, and the copy in
``nextword/data`` that chapter 19 draws. Stop it at any time: the same command
goes on with the runs that are missing. All of them took about ten minutes of
one thread on a busy machine.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from benchmarks import record
from nextword.answering import (
    AnswerBatches,
    rate,
    starting_model,
    write_answers,
)
from nextword.candidates import (
    best_candidate,
    fit_candidates,
    last_mention,
    most_frequent,
)
from nextword.spans import SpanBatches, SpanModel, span_loss
from nextword.squad_metrics import exact_match, f1
from nextword.town_questions import (
    TownQuestion,
    held_out_questions,
    training_questions,
)
from nextword.town_spans import ask_spans, span_row
from nextword.training import fit, language_loss
from nextword.words import PAD, town_tokenizer

COMMAND = "python -m benchmarks.questions"
HELD_OUT = 600
BATCH, STEPS = 16, {200: 200, 1_000: 300}
RATES = {"scratch": 1e-3, "town-bert": 1e-3, "town-gpt": 1e-3}
NOTES = [
    "exact and f1: means over the questions about the held-out stories 0 to "
    "599. exact_1, exact_2, exact_3: those whose answer needs one, two, or "
    "three and more sentences. exact_where and so on: by kind.",
    "seed: of the training questions, of the start values and of the order. "
    "Rates were chosen with 200 questions of seed 30, which is not in the "
    "record, on training questions of seed 40.",
    "elsewhere: the share of the answers that are no part of the story.",
    "The order of the runs is that of the grid in benchmarks/questions.py. The "
    "seconds are those of training and answering, on a machine that did other "
    "work too.",
]


class Run(NamedTuple):
    """One cell of the grid."""

    method: str
    labels: int
    seed: int


def grid() -> list[Run]:
    """Every run, in an order in which each beginning is of use."""
    runs = [Run("rule", 0, 0)]
    for name in ("most frequent", "linear"):
        runs += [
            Run(name, labels, seed)
            for labels in (50, 200, 1_000, 4_000)
            for seed in range(5)
        ]
    for name in RATES:
        runs += [Run(name, 200, seed) for seed in range(5)]
    for seed in range(5):
        runs += [Run(n, 1_000, seed) for n in ("town-bert", "scratch")]
    return runs


def network(run: Run, asked: Sequence[TownQuestion]) -> list[str]:
    """Train one, and let it answer the questions."""
    training = training_questions(run.labels, run.seed)
    config = rate(STEPS[run.labels], RATES[run.method], run.seed)
    if run.method == "town-gpt":
        model = starting_model("town-gpt", run.seed)
        batches = AnswerBatches(training, BATCH, run.seed)
        fit(model, language_loss, batches, config)
        return write_answers(model, asked)
    body = starting_model("town-bert", run.seed, run.method == "scratch")
    model, pad_id = SpanModel(body), town_tokenizer().ids[PAD]
    rows = [span_row(q) for q in training]
    batches = SpanBatches(rows, BATCH, pad_id, run.seed)
    fit(model, span_loss, batches, config)
    return ask_spans(model, asked)[0]


def answers(run: Run, asked: Sequence[TownQuestion]) -> list[str]:
    """What one of the methods says."""
    if run.method == "rule":
        return [last_mention(q).of(q.story) for q in asked]
    if run.method in RATES:
        return network(run, asked)
    training = training_questions(run.labels, run.seed)
    if run.method == "most frequent":
        return most_frequent(training, asked)
    model = fit_candidates(training)
    return [best_candidate(model, q).of(q.story) for q in asked]


def mean(values: Sequence[float]) -> float:
    """Rounded as it is recorded."""
    return round(sum(values) / len(values), 4)


def scores(texts: Sequence[str], asked: Sequence[TownQuestion]) -> dict:
    """Exact match and F1, in all and by what a question needs."""
    pairs = list(zip(texts, asked, strict=True))
    exact = [exact_match(text, q.answer) for text, q in pairs]
    row = {
        "exact": mean(exact),
        "f1": mean([f1(text, q.answer) for text, q in pairs]),
        "elsewhere": mean(
            [f" {text} " not in f" {' '.join(q.story)} " for text, q in pairs]
        ),
    }
    kinds = {str(need): [] for need in (1, 2, 3)}
    kinds |= {kind: [] for kind in ("where", "who", "want", "gave")}
    for right, q in zip(exact, asked, strict=True):
        kinds[str(min(q.facts, 3))].append(right)
        kinds[q.kind].append(right)
    return row | {f"exact_{kind}": mean(all) for kind, all in kinds.items()}


def measure(run: Run) -> list[dict[str, Any]]:
    """The row of one run."""
    start = time.perf_counter()
    asked = held_out_questions(HELD_OUT)
    row = scores(answers(run, asked), asked)
    return [row | {"seconds": round(time.perf_counter() - start, 1)}]


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "questions",
        grid(),
        measure,
        COMMAND,
        packages=["torch", "scikit-learn"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
