"""Our model from a folder of Hugging Face, and two public ones by name.

Home: chapter 21, notebooks/21_ecosystem.ipynb. Left out: architectures that
differ from ours in what they compute; they are refused.
"""

import json
from pathlib import Path
from typing import Any

from nextword.blocks import TransformerConfig
from nextword.hub_forms import load_starcoder2, starcoder2_settings
from nextword.hub_tokenizers import from_hub_tokenizer
from nextword.weights import (
    ACTIVATIONS,
    bert_settings,
    gpt2_settings,
    load_bert,
    load_gpt2,
    read_tensors,
)

OURS = (  # fields of our config that have a name in theirs
    "vocab_size",
    "context_length",
    "d_model",
    "n_heads",
    "n_layers",
    "d_ff",
    "dropout",
    "activation",
    "norm_eps",
)

# For each model_type: the names of the fields OURS there, in order.
FIELDS = {
    "gpt2": "vocab_size n_positions n_embd n_head n_layer n_inner resid_pdrop "
    "activation_function layer_norm_epsilon",
    "bert": "vocab_size max_position_embeddings hidden_size "
    "num_attention_heads num_hidden_layers intermediate_size "
    "hidden_dropout_prob hidden_act layer_norm_eps",
    "starcoder2": "vocab_size max_position_embeddings hidden_size "
    "num_attention_heads num_hidden_layers intermediate_size residual_dropout "
    "hidden_act norm_epsilon",
}

# For each model_type: positions, norm_first, settings and loader.
READERS = {
    "gpt2": ("learned", True, gpt2_settings, load_gpt2),
    "bert": ("learned", False, bert_settings, load_bert),
    "starcoder2": ("rotary", True, starcoder2_settings, load_starcoder2),
}

# Switches of theirs that change what is computed, as our models have them.
SWITCHES = {
    "tie_word_embeddings": True,
    "position_embedding_type": "absolute",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "use_bias": True,
    "sliding_window": None,
    "is_decoder": False,
    "add_cross_attention": False,
}


def config_of(content: dict[str, Any]) -> TransformerConfig:
    """Our config for the content of a config.json.

    Raises ValueError, with a remedy, for a model that ours cannot be.
    """
    kind = content.get("model_type")
    if kind not in READERS:
        raise ValueError(
            f"This is a model of type {kind}. Our models can hold weights of "
            f"{', '.join(READERS)}. Use transformers for others."
        )
    positions, norm_first, settings, _ = READERS[kind]
    pairs = zip(OURS, FIELDS[kind].split(), strict=True)
    found = {ours: content.get(theirs) for ours, theirs in pairs}
    to_ours = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    found["activation"] = to_ours.get(found["activation"], "unknown")
    config = TransformerConfig(
        **found, positions=positions, norm_first=norm_first
    )
    wanted = settings(config) | SWITCHES
    for name in wanted.keys() & content.keys():
        if "drop" not in name and content[name] not in (None, wanted[name]):
            raise ValueError(
                f"Its {name} is {content[name]!r}, but in our model it is "
                f"{wanted[name]!r}. Use transformers for this model."
            )
    return config


def read_part(folder: Path, name: str) -> str:
    """The text of a file of a folder; ValueError, with a remedy, if none is."""
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(
            f"There is no {name} in {folder}. Write the folder by to_hub or "
            "save_pretrained, or copy it whole."
        ) from error


def from_hub(folder: str | Path) -> tuple[Any, Any]:
    """Our model and our tokenizer from a folder of Hugging Face.

    For GPT-2, BERT and StarCoder2 with as many heads for keys as for queries.
    Raises ValueError, with a remedy, for others, and for weights in a pickle.
    """
    folder = Path(folder)
    content = json.loads(read_part(folder, "config.json"))
    config = config_of(content)
    if not (folder / "model.safetensors").exists():
        raise ValueError(
            f"There is no model.safetensors in {folder}. Weights in a pickle, "
            "such as pytorch_model.bin, are not read, because reading one can "
            "run any program. Ask for a revision with safetensors."
        )
    load = READERS[content["model_type"]][3]
    model = load(read_tensors(folder / "model.safetensors"), config)
    return model, from_hub_tokenizer(read_part(folder, "tokenizer.json"))


# Public models, each with the commit that is meant: its files never change.
PINNED = {
    "gpt2": (
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    ),
    "bert-base-uncased": (
        "google-bert/bert-base-uncased",
        "86b5e0934494bd15c9632b12f734a8a67f723594",
    ),
}


def fetch_hub(name: str) -> Path:
    """The folder of a public model of PINNED, fetched once and kept.

    Raises ValueError, with a remedy, if it is not here and cannot be fetched.
    """
    if name not in PINNED:
        raise ValueError(f"{name!r} is not one of {', '.join(PINNED)}.")
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise ValueError("First run: pip install transformers") from error
    repository, revision = PINNED[name]
    files = ["config.json", "model.safetensors", "tokenizer.json"]
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision, allow_patterns=files
            )
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} is not on this computer, and the Hub was not reached. "
            "Connect, set HF_HUB_OFFLINE=0, and start again."
        ) from error
