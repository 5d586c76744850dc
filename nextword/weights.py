"""Hugging Face's GPT-2 and BERT: their weights in our models, and ours in theirs.

Home: chapter 21, notebooks/21_ecosystem.ipynb.
And one pretrained model, all-MiniLM-L6-v2. Left out: the names and layouts,
which `nextword.layouts` holds.
"""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nextword import downloads, storage
from nextword.blocks import TransformerConfig
from nextword.layouts import (
    BODY,
    GPT2,
    MASKED,
    Layout,
    State,
    check_state,
    tidy,
    to_ours,
    to_theirs,
)
from nextword.transformer import BERT, GPT
from nextword.wordpiece import WordPieceTokenizer, read_vocabulary

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new"}

MINILM_SIZES = TransformerConfig(
    vocab_size=30522,
    context_length=512,
    d_model=384,
    n_heads=12,
    n_layers=6,
    d_ff=1536,
    dropout=0.1,
    norm_first=False,
    norm_eps=1e-12,
)


class NoHead(nn.Module):
    """Stands where a BERT was published without what fills gaps."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError(
            "These weights came without a head for hidden words, so there are "
            "no logits. Use model.encode(...), which gives a vector a token."
        )


@torch.no_grad()
def fill(model: nn.Module, state: Mapping[str, Tensor], layout: Layout) -> None:
    """Copy a checkpoint of theirs into our model, whose dtype it decides."""
    ours = dict(model.named_parameters())
    state = tidy(state, layout)
    shapes = {name: p.to("meta") for name, p in ours.items()}
    expected = to_theirs(shapes, layout)
    check_state(state, {n: expected[n] for n in expected.keys() - layout.tied})
    dtypes = {tensor.dtype for tensor in state.values()}
    model.to(reduce(torch.promote_types, dtypes))
    for name, tensor in to_ours(state, list(ours), layout).items():
        ours[name].copy_(tensor)


def check_kind(config: TransformerConfig, model: str, norm_first: bool) -> None:
    """Raise ValueError for a model that Hugging Face's class cannot be."""
    if config.positions != "learned" or config.norm_first != norm_first:
        raise ValueError(
            f"Hugging Face's {model} has learned positions and norm_first "
            f"{norm_first}, but this config has {config.positions} positions "
            f"and norm_first {config.norm_first}. Choose a config like theirs."
        )


# GPT-2


def gpt2_settings(config: TransformerConfig) -> dict[str, Any]:
    """The arguments of Hugging Face's GPT2Config for a model of ours.

    Raises ValueError for a model that a GPT-2 cannot be.
    """
    check_kind(config, "GPT-2", norm_first=True)
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_head": config.n_heads,
        "n_layer": config.n_layers,
        "n_inner": config.d_ff,
        "activation_function": ACTIVATIONS[config.activation],
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": config.norm_eps,
    }


def load_gpt2(state: Mapping[str, Tensor], config: TransformerConfig) -> GPT:
    """Our GPT with the weights of a GPT2LMHeadModel or GPT2Model.

    Raises ValueError, with their names, for tensors that do not fit.
    """
    check_kind(config, "GPT-2", norm_first=True)
    with torch.random.fork_rng(devices=[]):
        model = GPT(config)
    fill(model, state, GPT2)
    return model.eval()


def to_gpt2(model: GPT) -> State:
    """The state dict of a GPT2LMHeadModel with the weights of our GPT."""
    check_kind(model.config, "GPT-2", norm_first=True)
    ours = {name: p.detach() for name, p in model.named_parameters()}
    return to_theirs(ours, GPT2)


# BERT


def bert_settings(config: TransformerConfig) -> dict[str, Any]:
    """The arguments of Hugging Face's BertConfig for a model of ours.

    Raises ValueError for a model that their BERT cannot be.
    """
    check_kind(config, "BERT", norm_first=False)
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_attention_heads": config.n_heads,
        "num_hidden_layers": config.n_layers,
        "intermediate_size": config.d_ff,
        "hidden_act": ACTIVATIONS[config.activation],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "layer_norm_eps": config.norm_eps,
        "type_vocab_size": 2,
    }


def load_bert(state: Mapping[str, Tensor], config: TransformerConfig) -> BERT:
    """Our BERT with the weights of a BertForMaskedLM or BertModel.

    Without a head for hidden words among them, it can `encode` but not give
    logits. Raises ValueError, with their names, for tensors that do not fit.
    """
    check_kind(config, "BERT", norm_first=False)
    with torch.random.fork_rng(devices=[]):
        model = BERT(config)
    layout = MASKED
    if not any(name.startswith("cls.predictions.") for name in state):
        model.head, layout = NoHead(), BODY
    fill(model, state, layout)
    return model.eval()


def to_bert(model: BERT) -> State:
    """The state dict of a BertForMaskedLM with the weights of our BERT.

    Without a head, it is that of a BertModel that has no pooler.
    """
    check_kind(model.config, "BERT", norm_first=False)
    ours = {name: p.detach() for name, p in model.named_parameters()}
    if not isinstance(model.head, NoHead):
        return to_theirs(ours, MASKED)
    state = to_theirs(ours, BODY)
    return {name.removeprefix(BODY.prefix): x for name, x in state.items()}


# Files


def read_tensors(path: str | Path) -> State:
    """The tensors of a safetensors file; ValueError for any other file."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not an intact safetensors file: {error}. Copy it again "
            "from where it came."
        ) from error


def write_tensors(path: str | Path, state: Mapping[str, Tensor]) -> None:
    """Write a file ``model.safetensors``, whole or not at all.

    A tensor of two names is kept under the first one, as Hugging Face does.
    """
    kept: dict[tuple, str] = {}
    for name, tensor in state.items():
        kept.setdefault((tensor.data_ptr(), tensor.shape), name)
    tensors = {name: state[name].contiguous() for name in kept.values()}
    storage.write_bytes(path, save(tensors, {"format": "pt"}))


def minilm() -> tuple[BERT, WordPieceTokenizer]:
    """all-MiniLM-L6-v2 in our BERT, and its tokenizer.

    Wang et al., 2020; Reimers and Gurevych, 2019. Six layers, 22.6 million
    parameters, and no head for hidden words. Raises ValueError, with a remedy,
    if the files cannot be had or are not the known ones.
    """
    state = read_tensors(downloads.find(downloads.MINILM_WEIGHTS))
    vocabulary = downloads.find(downloads.MINILM_VOCABULARY)
    return load_bert(state, MINILM_SIZES), read_vocabulary(vocabulary)
