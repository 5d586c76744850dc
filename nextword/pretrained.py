"""A trained model as a folder: weights, sizes, tokenizer, and how it was made.

``model.json`` says what the model is and how it was trained, ``tokenizer.json``
holds its tokenizer, ``model.safetensors`` its weights. Each file carries a
digest of its own content, and the weights those of the two others: files of two
models do not mix. Left out: training.
"""

import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn

from nextword import parallel, storage
from nextword.blocks import TransformerConfig
from nextword.tokenizer import CharacterTokenizer, Tokenizer
from nextword.transformer import BERT, GPT
from nextword.words import WordTokenizer

KINDS = {"gpt": GPT, "bert": BERT}
TOKENIZERS = (Tokenizer, CharacterTokenizer, WordTokenizer)
SHIPPED = ("town-gpt", "town-bert")  # in nextword/data/checkpoints


@dataclass(frozen=True)
class ModelCard(storage.Stored):
    """What a model is and how it was made: ``model.json``."""

    kind: str  # a key of KINDS
    sizes: dict[str, Any]  # the fields of TransformerConfig
    training: dict[str, Any]  # of TrainConfig, and the batch size
    data: dict[str, Any]  # name, settings and SHA-256
    command: str
    versions: dict[str, str]


class Pretrained(NamedTuple):
    """A model that can be used."""

    model: nn.Module
    tokenizer: Any
    card: ModelCard


def find_folder(name: str | Path) -> Path:
    """A folder as it is, or that of a shipped model by its name."""
    if Path(name).exists() or str(name) not in SHIPPED:
        return Path(name)
    data = importlib.resources.files("nextword") / "data"
    return Path(str(data / "checkpoints" / str(name)))


def load_tokenizer(path: Path) -> Any:
    """The tokenizer that was saved there, of whichever class."""
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["format"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        name = None
    for kind in TOKENIZERS:
        if kind.__name__ == name:
            return kind.load(path)
    raise ValueError(
        f"{path} holds no tokenizer. Copy the whole folder again from where "
        "it came, or delete this file and run the training's command again."
    )


def save_weights(folder: str | Path, model: nn.Module, card: ModelCard) -> None:
    """Write ``model.safetensors``, whole or not at all.

    The tokenizer must be in the folder already.
    """
    tokenizer = load_tokenizer(Path(folder) / "tokenizer.json")
    tensors = {
        name: parallel.whole(parameter).detach().float().cpu().contiguous()
        for name, parameter in model.named_parameters()
    }
    metadata = {
        "model.json": card.digest(),
        "tokenizer.json": tokenizer.digest(),
        "sha256": storage.BLANK,
    }
    if parallel.rank() == 0:
        content = storage.seal(save(tensors, metadata))
        storage.write_bytes(Path(folder) / "model.safetensors", content)
    parallel.wait()


def read_weights(
    path: Path, card: ModelCard, tokenizer: storage.Stored
) -> dict[str, torch.Tensor]:
    """The tensors that `save_weights` wrote beside these two."""
    others = {"model.json": card, "tokenizer.json": tokenizer}
    try:
        content = path.read_bytes()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        storage.check_seal(content, metadata.get("sha256", "no digest"))
        for name, other in others.items():
            if metadata.get(name) != other.digest():
                raise ValueError(f"it belongs to another {name}")
        return load(content)
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is not intact: {error}. Copy the whole folder again from "
            "where it came, or train again."
        ) from error


def check_folder(folder: Path) -> None:
    """Raise ValueError, with a remedy, unless a finished model is there."""
    if not (folder / "model.json").exists():
        raise ValueError(
            f"There is no model in {folder}. Train one with `nextword "
            f"pretrain`, or name a shipped one: {', '.join(SHIPPED)}."
        )
    if not (folder / "model.safetensors").exists():
        raise ValueError(
            f"The training in {folder} is not finished. Run its command again "
            "to go on."
        )


def untrained(card: ModelCard, folder: Path) -> nn.Module:
    """A model of the card's sizes; the random numbers stay as they are."""
    try:
        with torch.random.fork_rng(devices=[]):
            return KINDS[card.kind](TransformerConfig(**card.sizes))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / 'model.json'} describes a model that this version of "
            f"nextword cannot build: {error}. Install nextword "
            f"{card.versions.get('nextword')}, which made it."
        ) from error


def load_pretrained(
    name: str | Path, device: torch.device | str = "cpu"
) -> Pretrained:
    """The model of a folder, or a shipped one by name, ready to use.

    Raises ValueError, with a remedy, where there is none or where a file is
    damaged or of another model.
    """
    folder = find_folder(name)
    check_folder(folder)
    card = ModelCard.load(folder / "model.json")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    tensors = read_weights(folder / "model.safetensors", card, tokenizer)
    model = untrained(card, folder)
    ours = {n: p.shape for n, p in model.named_parameters()}
    if ours != {n: x.shape for n, x in tensors.items()}:
        raise ValueError(
            f"{folder} holds weights of other sizes than its model.json says. "
            "Copy the whole folder again from where it came."
        )
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(tensors[parameter_name])
    return Pretrained(model.eval().to(device), tokenizer, card)
