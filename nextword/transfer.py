"""What pretraining is worth: one experiment on the tasks of the town.

Home: chapter 15, notebooks/15_finetuning.ipynb. Each method learns a task from
a few labels and is tested on held-out stories. Left out: the grid of all runs,
which `benchmarks/finetuning.py` trains and records.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from nextword.filling import fill_score
from nextword.finetuning import (
    Classifier,
    LabelledBatch,
    LabelledBatches,
    features,
    fine_tune,
    fit_probe,
    label_accuracy,
    labelled_batch,
    layer_groups,
    renew_rows,
)
from nextword.gaps import held_out_gaps
from nextword.lora import add_lora
from nextword.pretrained import load_pretrained
from nextword.town_tasks import (
    Example,
    find_task,
    held_out_examples,
    training_examples,
)
from nextword.training import TrainConfig
from nextword.transformer import BERT, initialise
from nextword.words import END, PAD, town_tokenizer

TESTED = 400  # held-out stories of each task

# Words of questions that no story has, and a sign that BERT never reads.
UNSEEN = ("?", "Where", "Who", "What", "did", "want", "nobody", END)


class Run(NamedTuple):
    """One cell of the experiment."""

    task: str
    method: str  # "scratch", "full", …; what follows a comma is a variant
    labels: int  # texts to learn from
    seed: int  # of the texts, the start values and the order


def batch_of(examples: Sequence[Example]) -> LabelledBatch:
    """Examples as one batch, padded with the town's PAD."""
    pad_id = town_tokenizer().ids[PAD]
    return labelled_batch([example.row() for example in examples], pad_id)


def majority(known: Sequence[Example], tested: Sequence[Example]) -> float:
    """The accuracy of always saying the label that is most frequent."""
    most = Counter(example.label for example in known).most_common(1)[0][0]
    return sum(example.label == most for example in tested) / len(tested)


def bag_of_words(known: Sequence[Example], tested: Sequence[Example]) -> float:
    """The accuracy of logistic regression on counts of words.

    Words of the question are counted apart from those of the story.
    """

    def words(example: Example) -> list[str]:
        return [*example.first, *(f"asked {word}" for word in example.second)]

    model = make_pipeline(
        CountVectorizer(analyzer=words), LogisticRegression(max_iter=1000)
    )
    model.fit(known, [example.label for example in known])
    return float(model.score(tested, [example.label for example in tested]))


def start_run(run: Run) -> Classifier:
    """The classifier of a run before its training."""
    method, *variant = run.method.split(", ")
    torch.manual_seed(run.seed)
    body = load_pretrained("town-bert").model
    if method == "scratch":
        body = BERT(body.config)
        initialise(body, 0.5 / math.sqrt(body.config.d_model))
    elif "rows kept" not in variant:
        ids = town_tokenizer().ids
        unseen = [ids[word] for word in UNSEEN]
        renew_rows(body.embedding.tokens, unseen, run.seed)
        renew_rows(body.segment_embedding, [1])
    model = Classifier(body, len(find_task(run.task).labels))
    if method == "LoRA":
        add_lora(body)
    return model


def recipe(run: Run) -> TrainConfig:
    """How a run is trained: more labels, more steps."""
    rates = {"scratch": 2e-3, "full": 1e-3, "LoRA": 1e-2}
    lr = rates[run.method.split(", ")[0]]
    steps = 60 + run.labels // 10
    return TrainConfig(steps, lr, steps // 10, final=0.02, weight_decay=0.01)


def train_run(
    run: Run, device: torch.device | str = "cpu"
) -> tuple[Classifier, list[float]]:
    """The classifier of a run after its training, and the losses on the way."""
    model, config = start_run(run).to(device), recipe(run)
    rows = [e.row() for e in training_examples(run.task, run.labels, run.seed)]
    pad_id = town_tokenizer().ids[PAD]
    batches = LabelledBatches(rows, 16, pad_id, run.seed)
    groups = None
    if run.method.endswith(", by layer"):
        groups = layer_groups(model, config.lr, 0.8)
    return model, fine_tune(model, batches, config, groups)


def probe(run: Run, device: torch.device | str = "cpu") -> float:
    """The accuracy of a probe on the vectors of the encoder as it is.

    They are those of the first token or, in the variant "mean", the means.
    """
    mean = run.method.endswith(", mean")
    classes = len(find_task(run.task).labels)
    body = load_pretrained("town-bert", device).model
    model = Classifier(body, classes, mean).to(device)
    known = batch_of(training_examples(run.task, run.labels, run.seed))
    tested = batch_of(held_out_examples(run.task, TESTED))
    fitted = fit_probe(features(model, known), known.labels, classes)
    said = fitted.logits(features(model, tested)).argmax(-1)
    return float((said == tested.labels).double().mean())


def measure(run: Run, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What one run reached: its accuracy on held-out stories, and its cost.

    Where a model is trained, the row has its last loss, the number of its
    parameters that moved, and what its body has left of pretraining: its loss
    at hidden words.
    """
    begin, more = time.perf_counter(), {}
    known = training_examples(run.task, run.labels, run.seed)
    tested = held_out_examples(run.task, TESTED)
    if run.method == "majority":
        right = majority(known, tested)
    elif run.method == "bag of words":
        right = bag_of_words(known, tested)
    elif run.method.startswith("probe"):
        right = probe(run, device)
    else:
        model, losses = train_run(run, device)
        right = label_accuracy(model, batch_of(tested))
        moved = [p for p in model.parameters() if p.grad is not None]
        more = {
            "trained": sum(p.numel() for p in moved),
            "last_loss": round(sum(losses[-5:]) / 5, 4),
            "hidden": round(fill_score(model.body, held_out_gaps(100)).loss, 4),
        }
    seconds = round(time.perf_counter() - begin, 1)
    return {"accuracy": right, **more, "seconds": seconds}
