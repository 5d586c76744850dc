"""Look at what a model computes, and change it: record, replace, cut, hide.

Home: chapter 22, notebooks/22_interpretability.ipynb. Everything works by hooks,
functions that PyTorch calls when a part of a model runs; they are gone at the
end of their block. Left out: caches, and parts that a forward pass uses twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nextword.attention import (
    MultiHeadAttention,
    fused_attention,
    merge_heads,
    split_heads,
)
from nextword.transformer import BERT, GPT

Change = Callable[[Tensor], Tensor]


@contextmanager
def recording(parts: Mapping[Any, nn.Module]) -> Iterator[dict[Any, Tensor]]:
    """Inside, the output of each named part is kept when it runs."""
    found: dict[Any, Tensor] = {}

    def keeper(name: Any) -> Callable:
        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            found[name] = output.detach()

        return keep

    handles = [p.register_forward_hook(keeper(n)) for n, p in parts.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def check_change(before: Tensor, after: Tensor) -> Tensor:
    """The changed tensor; ValueError unless it has the shape of the old one."""
    if before.shape != after.shape:
        raise ValueError(
            f"The change turned shape {tuple(before.shape)} into "
            f"{tuple(after.shape)}. Give a tensor of the same shape back."
        )
    return after


@contextmanager
def changing(part: nn.Module, change: Change) -> Iterator[None]:
    """Inside, the model goes on with ``change(output)`` of a part.

    Raises ValueError for a change of shape.
    """

    def replace(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        return check_change(output, change(output))

    handle = part.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def changing_heads(
    attention: MultiHeadAttention, change: Change
) -> Iterator[None]:
    """Inside, ``change`` acts on what each head found, (B, H, T, D).

    That is before the last matrix of the layer mixes the heads. Raises
    ValueError for a change of shape.
    """

    def replace(module: nn.Module, inputs: tuple) -> tuple[Tensor]:
        heads = split_heads(inputs[0], attention.n_heads)  # (B, H, T, D)
        return (merge_heads(check_change(heads, change(heads))),)  # (B, T, C)

    handle = attention.out_proj.register_forward_pre_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def cut(heads: Sequence[int], means: Tensor | None = None) -> Change:
    """A change that puts 0 in the place of these heads, or means (H, 1, D).

    Means of many texts leave the next layer with usual values; 0 may be an
    unusual one.
    """

    def change(found: Tensor) -> Tensor:
        chosen = torch.zeros(found.shape[1], dtype=torch.bool)
        chosen[list(heads)] = True
        chosen = chosen.to(found.device)[:, None, None]  # (H, 1, 1)
        instead = torch.zeros_like(found) if means is None else means
        return torch.where(chosen, instead, found)

    return change


def put(source: Tensor, positions: Sequence[int]) -> Change:
    """A change that takes these positions (axis -2) from ``source`` instead."""
    chosen = list(positions)

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[..., chosen, :] = source[..., chosen, :]
        return x

    return change


def attention_map(
    attention: MultiHeadAttention,
    x: Tensor,
    memory: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    prepare: Callable | None = None,
) -> Tensor:
    """The weights (B, H, T, S) that a layer uses, but never stores.

    Each weighted mean of the rows of an identity matrix is a row of weights.
    """
    source = x if memory is None else memory
    q = split_heads(attention.q_proj(x), attention.n_heads)  # (B, H, T, D)
    k = split_heads(attention.k_proj(source), attention.n_heads)  # (B, H, S, D)
    q, k, _ = prepare(q, k, k) if prepare else (q, k, k)
    one = torch.eye(k.shape[2], dtype=k.dtype, device=k.device)  # (S, S)
    one = one.expand(*k.shape[:2], -1, -1)  # (B, H, S, S)
    return fused_attention(q, k, one, mask, causal)


ARGUMENTS = ("x", "memory", "mask", "causal", "prepare")


@contextmanager
def recording_maps(
    layers: Sequence[MultiHeadAttention],
) -> Iterator[dict[int, Tensor]]:
    """Inside, the weights (B, H, T, S) of each layer are kept by its number."""
    found: dict[int, Tensor] = {}

    def keeper(number: int) -> Callable:
        def keep(module: nn.Module, args: tuple, kwargs: dict) -> None:
            given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
            with torch.no_grad():
                found[number] = attention_map(module, **given)

        return keep

    handles = [
        layer.register_forward_pre_hook(keeper(n), with_kwargs=True)
        for n, layer in enumerate(layers)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def hiding(
    layers: Sequence[MultiHeadAttention], hidden: Tensor
) -> Iterator[None]:
    """Inside, no head of these layers looks where ``hidden`` is True.

    hidden fits (B, T, S); the other weights grow to a sum of 1 (Geva et al.,
    2023).
    """

    def narrow(module: nn.Module, args: tuple, kwargs: dict) -> tuple:
        given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
        mask = given.get("mask")
        given["mask"] = ~hidden if mask is None else mask & ~hidden
        return (), given

    handles = [
        layer.register_forward_pre_hook(narrow, with_kwargs=True)
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layers_of(model: GPT | BERT) -> nn.ModuleList:
    """The layers of a model, the lowest first."""
    stack = model.decoder if isinstance(model, GPT) else model.encoder
    return stack.layers


def streams_of(model: GPT | BERT) -> dict[int, nn.Module]:
    """The parts whose output is the residual stream (B, T, C).

    Number 0 is what enters the first layer, number n what leaves layer n.
    """
    return dict(enumerate([model.dropout, *layers_of(model)]))


def lens(model: GPT, x: Tensor) -> Tensor:
    """The logits (B, T, V) of a GPT that stopped at the stream x (B, T, C).

    The logit lens (nostalgebraist, 2020).
    """
    return model.lm_head(model.decoder.norm(x))


def restored(
    patched: Tensor | float, clean: Tensor | float, corrupted: Tensor | float
) -> Tensor | float:
    """The share of the way from ``corrupted`` to ``clean`` that a patch went.

    0 for no effect, 1 for the whole one (Zhang and Nanda, 2024).
    """
    return (patched - corrupted) / (clean - corrupted)
