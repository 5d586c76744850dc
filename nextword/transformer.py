"""The Transformer, and its two halves GPT and BERT: token ids in, logits out.

Home: chapter 9, notebooks/09_transformer.ipynb. Left out: losses, training, and
how to choose the next token.
"""

import math

import torch
from torch import Tensor, nn

from nextword.blocks import (
    Decoder,
    Embedding,
    Stack,
    TransformerConfig,
    token_positions,
)
from nextword.layers import ACTIVATIONS, LayerNorm


def tied_head(embedding: Embedding) -> nn.Linear:
    """The output layer whose weights are the token embeddings.

    (B, T, C) gives logits (B, T, V) (Press and Wolf, 2017).
    """
    V, C = embedding.tokens.weight.shape
    head = nn.Linear(C, V, bias=False)
    head.weight = embedding.tokens.weight
    return head


class MaskedHead(nn.Module):
    """BERT's output: one layer and norm more, then the tied weights and a bias.

    (B, T, C) gives logits (B, T, V).
    """

    def __init__(self, config: TransformerConfig, tokens: nn.Embedding):
        super().__init__()
        self.linear = nn.Linear(config.d_model, config.d_model)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = LayerNorm(config.d_model, config.norm_eps)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size)
        self.lm_head.weight = tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.lm_head(self.norm(self.activation(self.linear(x))))


@torch.no_grad()
def initialise(model: nn.Module, std: float) -> None:
    """Draw every weight from a normal distribution of this std; biases are 0.

    The last matrix of each residual branch is smaller, by the root of their
    number, so that their sum does not grow with depth (Radford et al., 2019).
    """
    last = ("out_proj.weight", "linear2.weight")
    named = list(model.named_parameters())
    branches = sum(name.endswith(last) for name, _ in named)
    for name, parameter in named:
        if parameter.dim() >= 2:
            small = branches**-0.5 if name.endswith(last) else 1.0
            parameter.normal_(0.0, std * small)
        elif name.endswith("bias"):
            parameter.zero_()


class Transformer(nn.Module):
    """Encoder and decoder, sharing one table of embeddings with the output.

    source (B, S), padding where ``real`` is False, and target (B, T) give
    logits (B, T, V). ``cache``: see `Decoder`.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config, scale=math.sqrt(config.d_model))
        self.dropout = nn.Dropout(config.dropout)
        self.encoder, self.decoder = Stack(config, False), Decoder(config)
        self.lm_head = tied_head(self.embedding)
        initialise(self, std=0.02)

    def encode(self, source, real=None) -> Tensor:
        positions = token_positions(source, self.config, real)
        x = self.dropout(self.embedding(source, positions))  # (B, S, C)
        return self.encoder(x, positions, real)

    def decode(self, target, memory, real=None, cache=None) -> Tensor:
        start = len(cache[0][0]) if cache else 0
        positions = token_positions(target, self.config, None, start)
        x = self.dropout(self.embedding(target, positions))  # (B, T, C)
        return self.lm_head(self.decoder(x, positions, memory, real, cache))

    def forward(self, source, target, real=None) -> Tensor:
        return self.decode(target, self.encode(source, real), real)


class GPT(nn.Module):
    """The decoder half: causal layers that predict the next token.

    Radford et al., 2018 and 2019. ids (B, T) give logits (B, T, V). ``real``
    (B, S) is False on padding, which stands on the left; S counts the cached
    tokens too. ``cache`` holds one cache for each layer.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = Stack(config, causal=True)
        self.lm_head = tied_head(self.embedding)
        initialise(self, std=0.02)

    def forward(self, ids, real=None, cache=None) -> Tensor:
        start = len(cache[0]) if cache else 0
        positions = token_positions(ids, self.config, real, start)
        x = self.dropout(self.embedding(ids, positions))  # (B, T, C)
        return self.lm_head(self.decoder(x, positions, real, cache))


class BERT(nn.Module):
    """The encoder half: every token sees every other one.

    Devlin et al., 2019. ids (B, T) give logits (B, T, V), for the tokens behind
    masks. ``segments`` (B, T) holds 0 or 1: which of two texts a token is of.
    ``real`` (B, T) is False on padding.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.segment_embedding = nn.Embedding(2, config.d_model)
        self.norm = LayerNorm(config.d_model, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Stack(config, causal=False)
        self.head = MaskedHead(config, self.embedding.tokens)
        initialise(self, std=0.02)

    def encode(self, ids, real=None, segments=None) -> Tensor:
        positions = token_positions(ids, self.config, real)
        segments = torch.zeros_like(ids) if segments is None else segments
        x = self.embedding(ids, positions) + self.segment_embedding(segments)
        x = self.dropout(self.norm(x))  # (B, T, C)
        return self.encoder(x, positions, real)

    def forward(self, ids, real=None, segments=None) -> Tensor:
        return self.head(self.encode(ids, real, segments))  # (B, T, V)
