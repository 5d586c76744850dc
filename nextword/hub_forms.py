"""Which of Hugging Face's architectures computes what a model of ours computes.

Home: chapter 21, notebooks/21_ecosystem.ipynb. GPT-2 and BERT are those of
`nextword.weights`; here are the two for rotary positions. Left out: the
encoder-decoder Transformer, and sinusoidal positions.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nextword.blocks import TransformerConfig
from nextword.layouts import BODY, Layout, State, to_theirs
from nextword.transformer import BERT, GPT
from nextword.weights import (
    ACTIVATIONS,
    bert_settings,
    fill,
    gpt2_settings,
    to_bert,
    to_gpt2,
)

STARCODER2 = Layout(  # Lozhkov et al., 2024: a GPT with rotary positions
    {
        "embedding.tokens": "model.embed_tokens",
        **{
            f"decoder.layers.#.{ours}": f"model.layers.#.{theirs}"
            for ours, theirs in {
                "residual1.norm": "input_layernorm",
                "attention.q_proj": "self_attn.q_proj",
                "attention.k_proj": "self_attn.k_proj",
                "attention.v_proj": "self_attn.v_proj",
                "attention.out_proj": "self_attn.o_proj",
                "residual2.norm": "post_attention_layernorm",
                "feed_forward.linear1": "mlp.c_fc",
                "feed_forward.linear2": "mlp.c_proj",
            }.items()
        },
        "decoder.norm": "model.norm",
    },
    "model.",
    (),
    {"lm_head.weight": "model.embed_tokens.weight"},
    r"\.inv_freq$",
)

ESM = Layout(  # Lin et al., 2023: a pre-norm BERT with rotary positions
    {
        "embedding.tokens": "esm.embeddings.word_embeddings",
        "norm": "esm.embeddings.layer_norm",
        **{
            ours: theirs.replace("bert.", "esm.").replace(
                "output.LayerNorm", "LayerNorm"
            )
            for ours, theirs in BODY.names.items()
            if "layers" in ours
        },
        "encoder.norm": "esm.encoder.emb_layer_norm_after",
        "head.linear": "lm_head.dense",
        "head.norm": "lm_head.layer_norm",
        "head.lm_head": "lm_head",
    },
    "esm.",
    (),
    {},
    r"\.inv_freq$|contact_head",
)


def starcoder2_settings(config: TransformerConfig) -> dict[str, Any]:
    """The arguments of Hugging Face's Starcoder2Config for a model of ours."""
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_heads,
        "num_hidden_layers": config.n_layers,
        "intermediate_size": config.d_ff,
        "hidden_act": ACTIVATIONS[config.activation],
        "attention_dropout": config.dropout,
        "residual_dropout": config.dropout,
        "embedding_dropout": config.dropout,
        "norm_epsilon": config.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
    }


def to_starcoder2(model: GPT) -> State:
    """The state dict of a Starcoder2ForCausalLM with the weights of our GPT."""
    ours = {name: p.detach() for name, p in model.named_parameters()}
    return to_theirs(ours, STARCODER2)


def load_starcoder2(
    state: Mapping[str, Tensor], config: TransformerConfig
) -> GPT:
    """Our GPT with the weights of a Starcoder2ForCausalLM."""
    with torch.random.fork_rng(devices=[]):
        model = GPT(config)
    fill(model, state, STARCODER2)
    return model.eval()


def esm_settings(config: TransformerConfig) -> dict[str, Any]:
    """The arguments of Hugging Face's EsmConfig for a BERT of ours.

    Raises ValueError for an activation that ESM does not have.
    """
    if config.activation != "gelu":
        raise ValueError(
            f"ESM's activation is always gelu, but this config has "
            f"{config.activation}. Train a model with gelu."
        )
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_attention_heads": config.n_heads,
        "num_hidden_layers": config.n_layers,
        "intermediate_size": config.d_ff,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "layer_norm_eps": config.norm_eps,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": True,
        "tie_word_embeddings": False,
    }


def to_esm(model: BERT) -> State:
    """The state dict of an EsmForMaskedLM with the weights of our BERT.

    ESM has no segments, so segment 0 is added to every token's vector, and the
    output gets the table without it. Segment 1 is lost.
    """
    ours = {name: p.detach() for name, p in model.named_parameters()}
    segment = ours.pop("segment_embedding.weight")[0]  # (C,)
    table = ours["embedding.tokens.weight"]  # (V, C)
    ours["embedding.tokens.weight"] = table + segment
    return to_theirs(ours, ESM) | {"lm_head.decoder.weight": table.clone()}


# Class, positions and norm_first of a model of ours: what computes the same.
FORMS = {
    (GPT, "learned", True): ("GPT2LMHeadModel", gpt2_settings, to_gpt2),
    (GPT, "rotary", True): (
        "Starcoder2ForCausalLM",
        starcoder2_settings,
        to_starcoder2,
    ),
    (BERT, "learned", False): ("BertForMaskedLM", bert_settings, to_bert),
    (BERT, "rotary", True): ("EsmForMaskedLM", esm_settings, to_esm),
}


def find_form(model: Any) -> tuple:
    """The entry of FORMS for a model; ValueError, with a remedy, if none is."""
    config = model.config
    key = (type(model), config.positions, config.norm_first)
    if key not in FORMS:
        known = [f"{k.__name__}, {p}, {n}" for k, p, n in FORMS]
        raise ValueError(
            f"For a {key[0].__name__} with {key[1]} positions and norm_first "
            f"{key[2]}, no architecture is known here that computes the same. "
            f"Choose one of: {'; '.join(known)}."
        )
    return FORMS[key]
