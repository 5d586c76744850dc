"""Classifiers of docstrings: six of them, five seeds, careful and careless splits.

    python -m benchmarks.classification

A seed decides the split, the texts that are chosen, the start and the order of
training. It writes ``benchmarks/results/classification.json`` after each run, and
the copy in ``nextword/data`` that chapter 16 draws. Stop it at any time: the same
command goes on with the runs that are missing. MiniLM must be at hand: see
requirements. The longest run takes four minutes of one thread.
"""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch

from benchmarks import record
from nextword import classifiers
from nextword.classification import (
    calibration_error,
    confusion_matrix,
    fit_temperature,
    mean_nats,
    reliability,
)
from nextword.docstrings import (
    LIBRARIES,
    Docstring,
    read_docstrings,
    split_docstrings,
    without_copies,
)

COMMAND = "python -m benchmarks.classification"
PACKAGES = ["torch", "scikit-learn", "matplotlib", "networkx", "scipy"]
OURS = "pretrained here"
MODELS = {
    "majority": classifiers.majority,
    "TF-IDF": classifiers.word_regression,
    "from scratch": classifiers.small_bert,
    "MiniLM, probed": classifiers.minilm_probe,
    "MiniLM, fine-tuned": classifiers.fine_tuned_minilm,
    OURS: classifiers.pretrained_bert,
}
SEEDS = range(5)
NOTES = [
    "A seed decides the split, the texts that are chosen, the start of the "
    "model and the order of training. Every number is of the test part.",
    "per_class: training texts of each class; null: all. by_file, copies and "
    "names: whether a file is in one part only, copies stay in, and names are "
    "left as they are written.",
    "nats: mean -ln P of the right class. ece: the calibration error with ten "
    "bins. temperature: fitted on the validation part; cool_nats and cool_ece "
    "are those of the logits divided by it.",
    "matrix: texts of each class (row) that got each answer (column), in the "
    f"order {', '.join(LIBRARIES)}. bins: confidence, accuracy and number of "
    "ten bins. Both stand where all texts are used and the split is careful.",
    "The seconds are those of training and answering, on a machine that did "
    "other work too. The vectors of MiniLM are computed once for all probes.",
    "The model that was pretrained here filled gaps in all texts of its training "
    "part, without labels. That was done once for all such runs of a seed, and "
    "the seconds of the first of them hold it.",
]


class Run(NamedTuple):
    """One cell of the grid."""

    model: str
    seed: int
    per_class: int | None = None  # texts to train on; None: all
    by_file: bool = True
    copies: bool = False
    names: bool = False


def grid() -> list[Run]:
    """Every run, the quick ones first."""
    some = list(MODELS)[1:5]
    runs = [Run(model, seed) for model in list(MODELS)[:4] for seed in SEEDS]
    for careless in (
        {"by_file": False},
        {"copies": True},
        {"names": True},
        {"by_file": False, "copies": True, "names": True},
    ):
        runs += [Run("TF-IDF", seed, **careless) for seed in SEEDS]
    runs += [
        Run(model, seed, by_file=False)
        for model in ("MiniLM, probed", "from scratch")
        for seed in SEEDS
    ]
    runs += [Run(some[-1], seed) for seed in SEEDS]
    runs += [
        Run(model, seed, number)
        for number in (100, 20)
        for model in some
        for seed in SEEDS
    ]
    return runs + [  # one pretraining for each seed
        Run(OURS, seed, number) for seed in SEEDS for number in (None, 100, 20)
    ]


@cache
def texts(copies: bool, names: bool) -> Sequence[Docstring]:
    """The texts as a run wants them."""
    rows = read_docstrings()
    rows = rows if copies else without_copies(rows)
    return [row._replace(text=row.raw) for row in rows] if names else rows


def measure(run: Run) -> dict[str, Any]:
    """What one run reached, as a row without the fields of the run."""
    rows = texts(run.copies, run.names)
    parts = split_docstrings(rows, run.seed, run.by_file)
    train, more = parts.train, {}
    if run.model == OURS:
        more["unlabelled"] = [row.text for row in train]
    if run.per_class is not None:
        train = classifiers.some_of_each(train, run.per_class, run.seed)
    start = time.perf_counter()
    predict = MODELS[run.model](train, run.seed, **more)
    logits = [predict([r.text for r in part]) for part in parts[1:]]
    seconds = time.perf_counter() - start
    right, labels = ([row.label for row in part] for part in parts[1:])
    temperature = fit_temperature(logits[0], right)
    test, cool = logits[1], logits[1] / temperature
    matrix = confusion_matrix(labels, test.argmax(1), len(LIBRARIES))
    bins = reliability(test, labels)
    numbers = {
        "accuracy": matrix.trace() / len(labels),
        "nats": mean_nats(test, labels),
        "ece": calibration_error(bins),
        "temperature": temperature,
        "cool_nats": mean_nats(cool, labels),
        "cool_ece": calibration_error(reliability(cool, labels)),
    }
    row = {
        "train": len(train),
        "test": len(labels),
        **{name: round(float(x), 4) for name, x in numbers.items()},
        "seconds": round(seconds, 1),
    }
    if run == Run(run.model, run.seed):
        row["matrix"] = matrix.tolist()
        row["bins"] = [[round(a, 4), round(b, 4), n] for a, b, n in bins]
    return row


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "classification",
        grid(),
        lambda run: [measure(run)],
        COMMAND,
        packages=PACKAGES,
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
