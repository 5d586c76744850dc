"""What ``nextword pretrain`` runs: from a task to a folder with a model.

The folder holds the whole state at every moment: the same command goes on where
it stopped. Left out: the tasks, and the command line.
"""

import json
import math
import platform
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from nextword import __version__, parallel, storage
from nextword.muon import Muon
from nextword.pretrained import (
    KINDS,
    ModelCard,
    load_tokenizer,
    save_weights,
)
from nextword.tasks import Task
from nextword.training import History, fit
from nextword.transformer import initialise


def model_card(task: Task, command: str) -> ModelCard:
    """What is known of a model before it is trained."""
    return ModelCard(
        task.kind,
        asdict(task.sizes),
        {**asdict(task.training), "batch_size": task.batch_size},
        task.data,
        command,
        {
            "nextword": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )


def open_folder(folder: Path, task: Task, command: str) -> ModelCard:
    """The card of the run in a folder, made now if the folder is new.

    Raises ValueError if another run is there; then nothing is changed.
    """
    card, path = model_card(task, command), folder / "tokenizer.json"
    new = not (folder / "model.json").exists()
    if not new:
        ours, card = card, ModelCard.load(folder / "model.json")
        check_same_run(folder, card, ours)
        if path.exists() and load_tokenizer(path) != task.tokenizer:
            refuse_run(folder, "tokenizer is another one")
    if parallel.rank() == 0:
        if new or not path.exists():
            task.tokenizer.save(path)
        if new:
            card.save(folder / "model.json")
    return card


def check_same_run(folder: Path, theirs: ModelCard, ours: ModelCard) -> None:
    """Raise ValueError unless two cards ask for the same training."""
    a, b = (
        {"kind": card.kind, **card.data, **card.sizes, **card.training}
        for card in (theirs, ours)
    )
    for name in {**a, **b}:
        if a.get(name) != b.get(name):
            refuse_run(folder, f"{name} is {a.get(name)}, not {b.get(name)}")


def refuse_run(folder: Path, difference: str) -> None:
    """Raise ValueError, with a remedy."""
    raise ValueError(
        f"{folder} holds another run: its {difference}. Choose another --out, "
        "or delete that folder."
    )


def check_shared(folder: Path) -> None:
    """Raise ValueError unless this process sees what the first one wrote."""
    if not (folder / "model.json").exists():
        raise ValueError(
            f"Process {parallel.rank()} does not see {folder / 'model.json'}. "
            "Choose an --out in a folder that all machines share."
        )


def build(task: Task) -> nn.Module:
    """The untrained model of a task, always the same for the same seed."""
    torch.manual_seed(task.training.seed)
    model = KINDS[task.kind](task.sizes)
    initialise(model, 0.5 / math.sqrt(task.sizes.d_model))
    return model


def pretrain(
    task: Task,
    folder: str | Path,
    command: str = "",
    device: torch.device | str = "cpu",
    compile: bool = False,
    mode: str = "ddp",
) -> History | None:
    """Train until the end, or until Ctrl-C, going on where a run stopped.

    Leaves the model and its history in the folder. Of several processes, all
    but the first return None.
    """
    folder = Path(folder)
    with parallel.together(torch.device(device)) as own_device:
        card = open_folder(folder, task, command)
        parallel.wait()
        check_shared(folder)
        model = build(task).to(own_device)
        called = parallel.spread(model, mode)
        called = torch.compile(called) if compile else called
        history = fit(
            model,
            parallel.loss_of_all(task.loss, called),
            parallel.share(task.batches),
            task.training,
            folder / "training.safetensors",
            Muon(model, task.training.lr, task.training.weight_decay),
        )
        if parallel.rank() == 0:
            text = json.dumps(asdict(history)) + "\n"
            storage.write_text(folder / "history.json", text)
        if len(history.losses) == task.training.steps:
            save_weights(folder, model, card)
        return history if parallel.rank() == 0 else None
