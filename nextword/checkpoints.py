"""Everything that training needs to go on exactly, in one safetensors file.

Home: chapter 10, notebooks/10_training.ipynb. A checkpoint holds parameters, the
optimizer's state, the state of the random numbers, config and history. Left
out: models without an optimizer.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nextword import storage


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: Any,
    history: Any,
) -> None:
    """Everything that training needs to go on, in one safetensors file.

    ``config`` and ``history`` are dataclasses. The file is written whole or not
    at all.
    """
    tensors = {f"model.{n}": p for n, p in model.named_parameters()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": x for k, x in state.items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    content = {n: x.detach().contiguous() for n, x in tensors.items()}
    metadata = {
        "config": json.dumps(asdict(config)),
        "history": json.dumps(asdict(history)),
    }
    storage.write_bytes(path, save(content, metadata))


def load_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: Any,
) -> dict:
    """Restore what `save_checkpoint` saved; return the fields of the history.

    Raises ValueError for a damaged file, and for one of another model or
    config; then nothing is changed.
    """
    tensors, saved = read_checkpoint(path)
    check_checkpoint(path, tensors, saved["config"], model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    state = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".", 2)
            state.setdefault(int(i), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return saved["history"]


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the metadata of a checkpoint; ValueError for others."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            saved = {k: json.loads(x) for k, x in file.metadata().items()}
        return tensors, {name: saved[name] for name in ("config", "history")}
    except (SafetensorError, AttributeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is not an intact checkpoint: {error}. Delete it to train "
            "from the beginning."
        ) from error


def check_checkpoint(
    path: str | Path,
    tensors: dict[str, Tensor],
    saved: dict,
    model: nn.Module,
    config: Any,
) -> None:
    """Raise ValueError unless a checkpoint belongs to this model and config."""
    now = asdict(config)
    differing = [k for k in now if saved.get(k) != now[k]]
    if differing:
        key = differing[0]
        raise ValueError(
            f"{path} was trained with {key} = {saved.get(key)}, not {now[key]}. "
            "Use the same config, or another path."
        )
    ours = {f"model.{n}": p.shape for n, p in model.named_parameters()}
    theirs = {n: x.shape for n, x in tensors.items() if n.startswith("model.")}
    if ours != theirs:
        raise ValueError(
            f"{path} holds another model: its parameters differ in name or "
            "shape. Build the model with the sizes it was trained with."
        )
