"""The layers of a Transformer, from its config to whole stacks of them.

Home: chapter 9, notebooks/09_transformer.ipynb. ``real`` is True where an id is
a token and not padding. Left out: what turns token vectors into logits, and the
caches themselves, which chapter 11 builds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nextword.attention import MultiHeadAttention, Prepare, head_size
from nextword.layers import ACTIVATIONS, FeedForward, LayerNorm, Residual
from nextword.positions import rotary_angles, rotate, sinusoidal


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a model. Raises ValueError for one that cannot be built."""

    vocab_size: int  # V
    context_length: int  # the longest sequence
    d_model: int = 128  # C
    n_heads: int = 4  # H
    n_layers: int = 4
    d_ff: int | None = None  # inner size of the feed-forward net; None: 4 C
    dropout: float = 0.0
    activation: str = "gelu"
    positions: str = "learned"  # or "sinusoidal", "rotary"
    norm_first: bool = True  # pre-norm; False is the paper's post-norm
    norm_eps: float = 1e-5  # added to each variance

    def __post_init__(self):
        if self.d_ff is None:
            object.__setattr__(self, "d_ff", 4 * self.d_model)
        check_config(self)


def check_config(config: Any) -> None:
    """Raise ValueError, with a remedy, for the first wrong value."""
    sizes = ("vocab_size", "context_length", "d_model", "n_heads", "n_layers")
    for name in (*sizes, "d_ff"):
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}. Pass an int of 1 or more.")
    D = head_size(config.d_model, config.n_heads)
    for name, below in {"dropout": 1, "norm_eps": math.inf}.items():
        value = getattr(config, name)
        if not isinstance(value, int | float) or not 0 <= value < below:
            raise ValueError(
                f"{name} is {value!r}. Choose a number of 0 or more, and less "
                f"than {below}."
            )
    for name, choices in {
        "activation": tuple(ACTIVATIONS),
        "positions": ("learned", "sinusoidal", "rotary"),
        "norm_first": (True, False),
    }.items():
        if getattr(config, name) not in choices:
            raise ValueError(
                f"{name} is {getattr(config, name)!r}. Choose one of "
                f"{', '.join(map(str, choices))}."
            )
    turned = {"sinusoidal": config.d_model, "rotary": D}
    rotary_angles(torch.arange(1), turned.get(config.positions, 2))  # even?


def check_ids(ids: Tensor, config: TransformerConfig) -> None:
    """Raise ValueError unless ids are (B, T) whole numbers below V."""
    if ids.dim() != 2 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"ids are {ids.dtype} of shape {tuple(ids.shape)}. Pass whole "
            "numbers of shape (B, T); for one sequence, ids[None]."
        )
    if ids.is_cuda or ids.is_meta or not ids.numel():
        return  # to read them would make a GPU wait; PyTorch checks them there
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= config.vocab_size:
        raise ValueError(
            f"The ids go from {low} to {high}, but the vocabulary has only 0 "
            f"to {config.vocab_size - 1}. Use the tokenizer that the model was "
            "made for."
        )


def token_positions(
    ids: Tensor,
    config: TransformerConfig,
    real: Tensor | None = None,
    start: int = 0,
) -> Tensor:
    """The position of each of the ids (B, T): (1, T), or (B, T) with ``real``.

    ``start`` tokens came before. ``real`` (B, start + T) is True where a token
    is no padding; the first real token of a row has position 0. Raises
    ValueError for wrong ids or ``real``, and for more tokens than fit.
    """
    check_ids(ids, config)
    B, T = ids.shape
    if start + T > config.context_length:
        raise ValueError(
            f"{start + T} tokens do not fit in a context of "
            f"{config.context_length}. Cut the sequence, or build the model "
            "with a larger context_length."
        )
    if real is None:
        return torch.arange(start, start + T, device=ids.device)[None]  # (1, T)
    if real.dtype != torch.bool or real.shape != (B, start + T):
        raise ValueError(
            f"real is {real.dtype} of shape {tuple(real.shape)}. Pass bools of "
            f"shape {(B, start + T)}, such as ids != pad_id."
        )
    return (real.cumsum(dim=1) - 1).clamp(min=0)[:, start:]  # (B, T)


class Embedding(nn.Module):
    """A vector for each token, times ``scale``, plus one for its position.

    ids (B, T) and positions (B, T) or (1, T) give (B, T, C). With rotary
    positions nothing is added here: they act inside attention.
    """

    def __init__(self, config: TransformerConfig, scale: float = 1.0):
        super().__init__()
        self.config, self.scale = config, scale
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.positions = nn.Embedding(config.context_length, config.d_model)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        x = self.tokens(ids) * self.scale  # (B, T, C)
        if self.config.positions == "learned":
            x = x + self.positions(positions)
        if self.config.positions == "sinusoidal":
            x = x + sinusoidal(positions, self.config.d_model).to(x.dtype)
        return x


def rotary(config: TransformerConfig, positions: Tensor) -> Tensor | None:
    """Angles (B, 1, T, D / 2) for all heads; None without rotary positions."""
    if config.positions != "rotary":
        return None
    D = head_size(config.d_model, config.n_heads)
    return rotary_angles(positions, D)[:, None]


def prepare_heads(angles: Tensor | None, past: Any = None) -> Prepare | None:
    """What happens to q, k and v before they meet; None if nothing does.

    The angles turn q and k. ``past``, a cache of earlier keys and values, puts
    them before the new ones.
    """
    if angles is None and past is None:
        return None

    def prepare(q, k, v):
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        if past is not None:
            k, v = past.extend(k, v)
        return q, k, v

    return prepare


def residual(config: TransformerConfig) -> Residual:
    """The connection around one sublayer of a model with this config."""
    return Residual(
        config.d_model, config.norm_first, config.dropout, config.norm_eps
    )


def final_norm(config: TransformerConfig) -> nn.Module:
    """A norm after the last pre-norm layer; post-norm layers end in theirs."""
    if config.norm_first:
        return LayerNorm(config.d_model, config.norm_eps)
    return nn.Identity()


class EncoderLayer(nn.Module):
    """Attention, then a feed-forward net, each in its residual connection.

    x (B, T, C) gives (B, T, C); ``mask`` fits (B, T, S). With ``causal`` it is
    the layer of GPT.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        C, dropout = config.d_model, config.dropout
        self.attention = MultiHeadAttention(C, config.n_heads, dropout)
        self.feed_forward = FeedForward(
            C, config.d_ff, config.activation, dropout
        )
        self.residual1, self.residual2 = residual(config), residual(config)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        prepare: Prepare | None = None,
    ) -> Tensor:
        def attend(x):
            return self.attention(x, None, mask, causal, prepare)

        return self.residual2(self.residual1(x, attend), self.feed_forward)


class DecoderLayer(EncoderLayer):
    """An encoder layer, causal, with attention to ``memory`` in its middle.

    x (B, T, C) and memory (B, S, C) give (B, T, C); ``mask`` fits (B, T, S).
    """

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        self.cross_attention = MultiHeadAttention(
            config.d_model, config.n_heads, config.dropout
        )
        self.residual3 = residual(config)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        prepare: Prepare | None = None,
        prepare_memory: Prepare | None = None,
    ) -> Tensor:
        def attend(x):
            return self.attention(x, causal=True, prepare=prepare)

        def look(x):
            return self.cross_attention(x, memory, mask, False, prepare_memory)

        x = self.residual2(self.residual1(x, attend), look)
        return self.residual3(x, self.feed_forward)


class Stack(nn.Module):
    """Encoder layers, one after the other: x (B, T, C) gives (B, T, C).

    ``real`` (B, S) is True where a token is no padding. ``causal`` and
    ``cache``, one for each layer, make it the body of GPT.
    """

    def __init__(self, config: TransformerConfig, causal: bool):
        super().__init__()
        self.config, self.causal = config, causal
        self.layers = nn.ModuleList(
            EncoderLayer(config) for _ in range(config.n_layers)
        )
        self.norm = final_norm(config)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        real: Tensor | None = None,
        cache: Sequence | None = None,
    ) -> Tensor:
        mask = None if real is None else real[:, None, :]  # (B, 1, S)
        angles = rotary(self.config, positions)
        for i, layer in enumerate(self.layers):
            prepare = prepare_heads(angles, cache[i] if cache else None)
            x = layer(x, mask, self.causal, prepare)
        return self.norm(x)


class Decoder(nn.Module):
    """Decoder layers: x (B, T, C) looks at memory (B, S, C), gives (B, T, C).

    ``cache``: for each layer, one of its own keys and one of the memory's.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config, self.norm = config, final_norm(config)
        self.layers = nn.ModuleList(
            DecoderLayer(config) for _ in range(config.n_layers)
        )

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        memory: Tensor,
        real: Tensor | None = None,
        cache: Sequence | None = None,
    ) -> Tensor:
        mask = None if real is None else real[:, None, :]  # (B, 1, S)
        angles = rotary(self.config, positions)
        for i, layer in enumerate(self.layers):
            past, seen = cache[i] if cache else (None, None)
            new = memory[:, :0] if seen else memory  # its keys: computed once
            look = prepare_heads(None, seen)
            x = layer(x, new, mask, prepare_heads(angles, past), look)
        return self.norm(x)
