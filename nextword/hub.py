"""A model of ours as a folder that Hugging Face's libraries read.

Home: chapter 21, notebooks/21_ecosystem.ipynb. None of its files is code. Left
out: the way back, which `nextword.hub_reading` has, and an upload.
"""

import json
from pathlib import Path
from typing import Any

from nextword import storage
from nextword.hub_forms import find_form
from nextword.hub_tokenizers import frames, to_hub_tokenizer
from nextword.pretrained import ModelCard
from nextword.transformer import BERT
from nextword.weights import write_tensors
from nextword.words import CLS, END, MASK, PAD, SEP


def special_ids(tokenizer: Any) -> dict[str, int]:
    """What config.json calls the special tokens that a tokenizer has."""
    roles = {"pad_token_id": PAD, "eos_token_id": END, "mask_token_id": MASK}
    ids = getattr(tokenizer, "ids", {})
    return {"bos_token_id": None, "eos_token_id": None} | {
        role: ids[sign] for role, sign in roles.items() if sign in ids
    }


def hub_config(model: Any, tokenizer: Any) -> dict[str, Any]:
    """The content of config.json: architecture, sizes, special tokens."""
    name, settings, _ = find_form(model)
    kind = name.replace("LMHeadModel", "").split("For")[0].lower()
    return {
        "architectures": [name],
        "model_type": kind,
        "dtype": "float32",
        **settings(model.config),
        **special_ids(tokenizer),
    }


def tokenizer_config(model: Any, tokenizer: Any) -> dict[str, Any]:
    """The content of tokenizer_config.json: limits, names of special tokens."""
    roles = {"pad": PAD, "eos": END, "cls": CLS, "sep": SEP, "mask": MASK}
    ids = getattr(tokenizer, "ids", {})
    signs = {f"{r}_token": sign for r, sign in roles.items() if sign in ids}
    inputs = ["input_ids", "attention_mask"]
    if find_form(model)[0].startswith("Bert"):
        inputs.insert(1, "token_type_ids")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
        "model_input_names": inputs,
        **signs,
    }


def to_hub(folder: str | Path, model: Any, tokenizer: Any, card: str) -> None:
    """Write a model as a folder of Hugging Face: five files, none of them code.

    ``card`` is the text of README.md, see `model_card`. Raises ValueError for a
    model that none of their architectures computes.
    """
    folder, (_, _, convert) = Path(folder), find_form(model)
    theirs = to_hub_tokenizer(tokenizer)
    if isinstance(model, BERT) and CLS in getattr(tokenizer, "ids", ()):
        theirs.post_processor = frames(theirs)
    for name, content in {
        "config.json": hub_config(model, tokenizer),
        "tokenizer_config.json": tokenizer_config(model, tokenizer),
    }.items():
        storage.write_text(folder / name, json.dumps(content, indent=2) + "\n")
    storage.write_text(folder / "tokenizer.json", theirs.to_str(pretty=True))
    storage.write_text(folder / "README.md", card)
    write_tensors(folder / "model.safetensors", convert(model))


CARD = """---
license: mit
language: en
library_name: transformers
tags: [nextword]
---

# {name}

A {kind} of the course Next Word: {sizes}.

## Training

{steps:,} steps with batches of {batch} texts, by `{command}`.
The data: {data}.

## Evaluation

{measured}

## Limits

{limits}
"""


def model_card(name: str, card: ModelCard, measured: str, limits: str) -> str:
    """The text of README.md (Mitchell et al., 2019).

    What the model is, how it was made, what was measured, and its limits.
    """
    return CARD.format(
        name=name,
        kind=card.kind.upper(),
        sizes=", ".join(f"{key} {value}" for key, value in card.sizes.items()),
        steps=card.training["steps"],
        batch=card.training["batch_size"],
        command=card.command,
        data=f"{card.data['name']}, {card.data['config']}",
        measured=measured,
        limits=limits,
    )
