"""Everything that training needs to go on exactly, in one safetensors file.

Home: chapter 10, notebooks/10_training.ipynb. A checkpoint holds parameters,
the optimizer's state, the state of the random numbers, config and history. Left
out: buffers, of which our models have none.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from nextword import parallel, storage


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: Any,
    history: Any,
) -> None:
    """Everything that training needs to go on, in one safetensors file.

    ``config`` and ``history`` are dataclasses. The file is written whole or not
    at all. Of several processes, the first one writes.
    """
    tensors = {f"model.{n}": p for n, p in model.named_parameters()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": x for k, x in state.items()}
    tensors = {n: parallel.whole(x).cpu() for n, x in tensors.items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    tensors = {n: x.detach().contiguous() for n, x in tensors.items()}
    same = {"optimizer": type(optimizer).__name__, **asdict(config)}
    metadata = {
        "config": json.dumps(same),
        "history": json.dumps(asdict(history)),
        "sha256": storage.BLANK,
    }
    if parallel.rank() == 0:
        storage.write_bytes(path, storage.seal(save(tensors, metadata)))
    parallel.wait()


def load_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: Any,
) -> dict:
    """Restore what `save_checkpoint` saved; return the fields of the history.

    ValueError for a damaged file or one of another run; then nothing changes.
    """
    tensors, saved = read_checkpoint(path)
    now = {"optimizer": type(optimizer).__name__, **asdict(config)}
    check_checkpoint(path, tensors, saved["config"], model, now)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(parallel.like(tensors[f"model.{name}"], parameter))
    groups = optimizer.state_dict()["param_groups"]
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    state = {}
    for name, tensor in sorted(tensors.items()):  # in all processes alike
        if name.startswith("optimizer."):
            _, i, key = name.split(".", 2)
            tensor = parallel.like(tensor, trained[int(i)])
            state.setdefault(int(i), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return saved["history"]


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the metadata of a checkpoint; ValueError for others."""
    try:
        content = Path(path).read_bytes()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        storage.check_seal(content, metadata.pop("sha256", "no digest"))
        saved = {name: json.loads(text) for name, text in metadata.items()}
        return load(content), saved
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is not an intact checkpoint: {error}. Delete it, or "
            "choose another path, to train from the beginning."
        ) from error


def check_checkpoint(
    path: str | Path,
    tensors: dict[str, Tensor],
    saved: dict,
    model: nn.Module,
    now: dict,
) -> None:
    """Raise ValueError unless a checkpoint fits this model and config."""
    for key in {**now, **saved}:
        if saved.get(key) != now.get(key):
            raise ValueError(
                f"{path} was trained with {key} = {saved.get(key)}, not "
                f"{now.get(key)}. Use the same config, or another path."
            )
    ours = {
        f"model.{name}": (p.shape, p.dtype)
        for name, p in model.named_parameters()
    }
    theirs = {
        name: (x.shape, x.dtype)
        for name, x in tensors.items()
        if name.startswith("model.")
    }
    if ours != theirs:
        raise ValueError(
            f"{path} holds another model: its parameters differ in name, shape "
            "or dtype. Build the model with the sizes it was trained with."
        )
