"""Answer questions about the town by five methods, and record how well.

    python -m benchmarks.questions

The linear model and the commonest answer learn from 50 to 4,000 questions, the
networks from 50 to 1,000, each with five seeds. Then two networks learn from
1,000 questions of which half have no answer, and three methods with 200 questions
are asked again with one more sentence in each story. It writes
``benchmarks/results/questions.json`` after each run, and the copy in
``nextword/data`` that chapter 19 draws. Stop it at any time: the same command
goes on with the runs that are missing. All of them took less than half an hour of
one thread on a busy machine.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks import record
from nextword.answering import (
    answer_batch,
    rate,
    starting_model,
    write_answers,
)
from nextword.candidates import (
    WANTED,
    best_candidate,
    fit_candidates,
    kind_of,
    last_mention,
    last_or_none,
    most_frequent,
)
from nextword.finetuning import LabelledBatches
from nextword.spans import SpanModel, span_batch, span_loss
from nextword.squad_metrics import exact_match, f1, trade_off
from nextword.town_questions import (
    TownQuestion,
    held_out_questions,
    training_questions,
    with_stranger,
)
from nextword.town_spans import ask_spans, span_row
from nextword.training import fit, language_loss
from nextword.words import END, PAD, town_tokenizer

COMMAND = "python -m benchmarks.questions"
HELD_OUT = 600
BATCH, STEPS = 16, {50: 100, 200: 200, 1_000: 300}
READ = ", read again"  # the end of the name of a method that is asked twice
RATES = {"scratch": 1e-3, "town-bert": 1e-3, "town-gpt": 1e-3}
NOTES = [
    "exact and f1: means over the questions about the held-out stories 0 to "
    "599. exact_1, exact_2, exact_3: those whose answer needs one, two, or "
    "three and more sentences. exact_where and so on: by kind.",
    "seed: of the training questions, of the start values and of the order. "
    "Rates were chosen with 200 questions of seed 30, which is not in the "
    "record, on training questions of seed 40.",
    "elsewhere: the share of the answers that are no part of the story.",
    "unanswerable: the share of the questions without an answer, in training "
    "and among the held-out ones. There, exact counts a refusal as right if "
    "the story has no answer; answered is exact match where it has one; "
    "refused, refused_absent and refused_untold are shares of those without, "
    "and refused_wrongly of those with one. The GPT refuses by writing "
    "nothing, the span model by a margin of at most 0. exact_chosen: with the "
    "best threshold of 300 training questions of seed 40.",
    "read again: the method of the same name once more, of which more is "
    "asked. where and disturbed: exact match on the held-out questions with "
    "where, without and with one more sentence about a stranger. known: on its "
    "own training questions. sort: the share of the 600 answers that are of "
    "the right sort (person, place, thing). later: among the wrong answers to "
    "questions with one step, the share that is named after the right one.",
    "The order of the runs is that of the grid in benchmarks/questions.py. The "
    "seconds are those of training and answering, on a machine that did other "
    "work too.",
]


Reader = Callable[[Sequence[TownQuestion]], list[str]]


class Run(NamedTuple):
    """One cell of the grid."""

    method: str
    labels: int
    seed: int
    unanswerable: float = 0.0  # the share of the questions without an answer


def grid() -> list[Run]:
    """Every run, in an order in which each beginning is of use."""
    runs = [Run("rule", 0, 0)]
    for name in ("most frequent", "linear"):
        runs += [
            Run(name, labels, seed)
            for labels in (50, 200, 1_000, 4_000)
            for seed in range(5)
        ]
    for labels in (200, 1_000, 50):
        for seed in range(5):
            runs += [Run(name, labels, seed) for name in RATES]
    runs.append(Run("rule", 0, 0, 0.5))
    for seed in range(5):
        runs += [Run(n, 1_000, seed, 0.5) for n in ("town-bert", "town-gpt")]
    for name in ("linear", "town-bert", "town-gpt"):
        runs += [Run(name + READ, 200, seed) for seed in range(5)]
    return runs


def trained(run: Run) -> nn.Module:
    """The network of a run, after its training."""
    training = training_questions(run.labels, run.seed, run.unanswerable)
    config = rate(STEPS[run.labels], RATES[run.method], run.seed)
    ids = town_tokenizer().ids
    if run.method == "town-gpt":
        model = starting_model("town-gpt", run.seed)
        batches = LabelledBatches(
            training, BATCH, ids[END], run.seed, answer_batch
        )
        fit(model, language_loss, batches, config)
        return model
    body = starting_model("town-bert", run.seed, run.method == "scratch")
    model, rows = SpanModel(body), [span_row(q) for q in training]
    batches = LabelledBatches(rows, BATCH, ids[PAD], run.seed, span_batch)
    fit(model, span_loss, batches, config)
    return model


def reader(run: Run) -> Reader:
    """One of the methods after its training; each question has an answer."""
    if run.method == "rule":
        return lambda asked: [last_mention(q).of(q.story) for q in asked]
    if run.method in RATES:
        net = trained(run)
        if run.method == "town-gpt":
            return lambda asked: write_answers(net, asked)
        return lambda asked: ask_spans(net, asked)[0]
    training = training_questions(run.labels, run.seed)
    if run.method == "most frequent":
        return lambda asked: most_frequent(training, asked)
    model = fit_candidates(training)
    return lambda asked: [best_candidate(model, q).of(q.story) for q in asked]


def answers(run: Run, asked: Sequence[TownQuestion]) -> list[str]:
    """What one of the methods says."""
    return reader(run)(asked)


def read_again(run: Run, asked: Sequence[TownQuestion]) -> dict[str, float]:
    """What a method makes of one more sentence, and what it knows."""
    read = reader(run._replace(method=run.method.removesuffix(READ)))

    def right(questions):
        pairs = zip(read(questions), questions, strict=True)
        return mean([exact_match(text, q.answer) for text, q in pairs])

    where = [q for q in asked if q.kind == "where"]
    pairs = list(zip(read(asked), asked, strict=True))
    last = [(text.split() or [""])[-1] for text, _ in pairs]
    return {
        "where": right(where),
        "disturbed": right([with_stranger(q, n) for n, q in enumerate(where)]),
        "known": right(training_questions(run.labels, run.seed)),
        "sort": mean(
            [
                kind_of(w) == WANTED[q.kind]
                for w, q in zip(last, asked, strict=True)
            ]
        ),
        "later": mean(
            [
                word in q.story[q.span.last + 1 :]
                for word, (text, q) in zip(last, pairs, strict=True)
                if q.facts == 1 and not exact_match(text, q.answer)
            ]
        ),
    }


def above(
    model: nn.Module, asked: Sequence[TownQuestion], threshold: float
) -> list[str]:
    """The answers of a span model, "" where the margin is too small."""
    found = zip(*ask_spans(model, asked), strict=True)
    return [text if margin > threshold else "" for text, margin in found]


def best_threshold(model: nn.Module, asked: Sequence[TownQuestion]) -> float:
    """The smallest of those with the largest share of right decisions."""
    texts, margins = ask_spans(model, asked)
    pairs = zip(texts, asked, strict=True)
    right = [exact_match(text, q.answer) for text, q in pairs]
    trades = trade_off(margins, right, [q.span is not None for q in asked])
    return max(trades, key=lambda trade: trade.overall).threshold


def refusals(run: Run, asked: Sequence[TownQuestion]) -> dict[str, float]:
    """The scores of one method where some questions have no answer."""
    if run.method == "rule":
        return mixed_scores([last_or_none(q) for q in asked], asked)
    model = trained(run)
    if run.method == "town-gpt":
        return mixed_scores(write_answers(model, asked), asked)
    others = training_questions(300, 40, run.unanswerable)
    chosen = above(model, asked, best_threshold(model, others))
    row = mixed_scores(above(model, asked, 0.0), asked)
    return row | {"exact_chosen": mixed_scores(chosen, asked)["exact"]}


def mixed_scores(
    texts: Sequence[str], asked: Sequence[TownQuestion]
) -> dict[str, float]:
    """Exact match in all and where there is an answer, and refusals by sort."""
    pairs = list(zip(texts, asked, strict=True))
    with_answer = [(text, q) for text, q in pairs if q.span]
    without = [(text, q.absent) for text, q in pairs if not q.span]
    return {
        "exact": mean([exact_match(text, q.answer) for text, q in pairs]),
        "answered": mean([exact_match(t, q.answer) for t, q in with_answer]),
        "refused": mean([not text for text, _ in without]),
        "refused_absent": mean([not t for t, absent in without if absent]),
        "refused_untold": mean([not t for t, absent in without if not absent]),
        "refused_wrongly": mean([not text for text, _ in with_answer]),
    }


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
    asked = held_out_questions(HELD_OUT, run.unanswerable)
    if run.unanswerable:
        row = refusals(run, asked)
    elif run.method.endswith(READ):
        row = read_again(run, asked)
    else:
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
