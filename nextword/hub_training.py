"""Fine-tuning by Hugging Face's Trainer, from the start of a run of ours.

Home: chapter 21, notebooks/21_ecosystem.ipynb. ``transformers`` and
``accelerate`` must be installed. Left out: tasks with a second text, for which
ESM has no segments.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.finetuning import (
    Classifier,
    LabelledBatch,
    LabelledBatches,
    Row,
    fine_tune,
    label_accuracy,
    labelled_batch,
)
from nextword.hub_forms import esm_settings, to_esm
from nextword.optim import warmup_cosine
from nextword.town_tasks import held_out_examples, training_examples
from nextword.training import TrainConfig
from nextword.transfer import TESTED, Run, batch_of, recipe, start_run
from nextword.words import PAD, town_tokenizer


def need_transformers() -> Any:
    """The package; ValueError with the remedy where it is not installed."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ValueError(
            "This needs Hugging Face's packages. First run: pip install "
            "transformers accelerate"
        ) from error
    return transformers


def quiet() -> None:
    """Neither the network nor progress bars, here and now.

    HF_HUB_OFFLINE must be set before ``transformers`` is imported.
    """
    logging = need_transformers().logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


class HubClassifier(nn.Module):
    """An encoder of Hugging Face, and a linear layer on its first vector.

    What the Trainer asks of a model: it gets a batch by the names of its
    entries, and returns the mean loss and the logits (B, K).
    """

    def __init__(self, body: nn.Module, head: nn.Linear):
        super().__init__()
        self.body, self.head = body, head

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        out = self.body(input_ids=input_ids, attention_mask=attention_mask)
        logits = self.head(out.last_hidden_state[:, 0])  # (B, K)
        if labels is None:
            return {"logits": logits}
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def hub_classifier(ours: Classifier) -> HubClassifier:
    """The same classifier around Hugging Face's ESM.

    Raises ValueError for one that reads the mean of all vectors.
    """
    if ours.mean:
        raise ValueError(
            "HubClassifier reads the first vector. Pass a Classifier with "
            "mean=False."
        )
    transformers = need_transformers()
    settings = esm_settings(ours.body.config)
    config = transformers.EsmConfig(**settings, pad_token_id=0, mask_token_id=4)
    whole = transformers.EsmForMaskedLM(config).to(ours.head.weight.dtype)
    whole.load_state_dict(to_esm(ours.body), strict=False)  # all but ESM.unused
    return HubClassifier(whole.esm, deepcopy(ours.head))


def named_batch(batch: LabelledBatch) -> dict[str, Tensor]:
    """A batch of ours by the names that Hugging Face's models use."""
    return {
        "input_ids": batch.ids,
        "attention_mask": batch.real.long(),
        "labels": batch.labels,
    }


def trainer_arguments(config: TrainConfig, folder: str, **changes: Any) -> Any:
    """TrainingArguments that mean what our config means.

    Their schedule warms up from 0, where ours begins with the first share.
    Their AdamW does not shrink biases and norms; ours shrinks all.
    """
    settings = {
        "max_steps": config.steps,
        "learning_rate": config.lr,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "warmup_steps": config.warmup,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": config.final},
        "seed": config.seed,
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    arguments = need_transformers().TrainingArguments
    return arguments(folder, **settings | changes)


def run_trainer(trainer: Any) -> list[float]:
    """Train without output; the loss of each step."""
    trainer.remove_callback(need_transformers().PrinterCallback)
    trainer.train()
    history = trainer.state.log_history
    return [entry["loss"] for entry in history if "loss" in entry]


def share_at(step: int, config: TrainConfig) -> float:
    """Our share of the peak rate; it stays after the last step."""
    step = min(step, config.steps - 1)
    return warmup_cosine(step, config.steps, config.warmup, config.final)


def train_alike(
    model: HubClassifier,
    batches: Callable[[int], LabelledBatch],
    config: TrainConfig,
) -> list[float]:
    """The Trainer with our batches, our optimizer and our schedule.

    One thing is not ours: ESM has no segment vector to train.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), config.lr, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: share_at(step, config)
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = need_transformers().Trainer(
            model,
            trainer_arguments(
                config,
                folder,
                per_device_train_batch_size=1,
                train_sampling_strategy="sequential",
            ),
            train_dataset=[batches(step) for step in range(config.steps)],
            data_collator=lambda one: named_batch(one[0]),
            optimizers=(optimizer, schedule),
        )
        return run_trainer(trainer)


def train_their_way(
    model: HubClassifier,
    rows: Sequence[Row],
    batch_size: int,
    pad_id: int,
    config: TrainConfig,
) -> list[float]:
    """The Trainer with its own order, optimizer and schedule."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = need_transformers().Trainer(
            model,
            trainer_arguments(
                config, folder, per_device_train_batch_size=batch_size
            ),
            train_dataset=list(rows),
            data_collator=lambda part: named_batch(
                labelled_batch(part, pad_id)
            ),
        )
        return run_trainer(trainer)


@torch.no_grad()
def hub_accuracy(model: HubClassifier, batch: LabelledBatch) -> float:
    """The share of the texts whose label has the largest logit."""
    model.eval()
    said = []
    for first in range(0, len(batch.ids), 64):
        ids, real = (x[first : first + 64] for x in batch[:2])
        said.append(model(ids, real.long())["logits"].argmax(-1))
    return float((torch.cat(said) == batch.labels).double().mean())


class ToolRun(NamedTuple):
    """One run of the comparison."""

    task: str  # of those without a second text: she, walk
    labels: int  # texts to learn from
    seed: int  # of the texts, the start values and the order
    tool: str  # "ours", "Trainer, our batches" or "Trainer"


def train_by(run: ToolRun) -> tuple[nn.Module, list[float]]:
    """The classifier of a run after its training, and the loss of each step."""
    start = Run(run.task, "full", run.labels, run.seed)
    model, config = start_run(start), recipe(start)
    examples = training_examples(run.task, run.labels, run.seed)
    rows, pad_id = [e.row() for e in examples], town_tokenizer().ids[PAD]
    batches = LabelledBatches(rows, 16, pad_id, run.seed)
    if run.tool == "ours":
        return model, fine_tune(model, batches, config)
    theirs = hub_classifier(model)
    if run.tool == "Trainer, our batches":
        return theirs, train_alike(theirs, batches, config)
    config = replace(config, seed=run.seed)  # it decides their order too
    return theirs, train_their_way(theirs, rows, 16, pad_id, config)


def measure_tool(run: ToolRun) -> dict[str, Any]:
    """What one run reached, and its first and its last losses."""
    begin = time.perf_counter()
    model, losses = train_by(run)
    tested = batch_of(held_out_examples(run.task, TESTED))
    compute = label_accuracy if run.tool == "ours" else hub_accuracy
    return {
        "accuracy": compute(model, tested),
        "first_loss": round(sum(losses[:5]) / 5, 4),
        "last_loss": round(sum(losses[-5:]) / 5, 4),
        "seconds": round(time.perf_counter() - begin, 1),
    }
